/* SPDX-License-Identifier: MIT */
/*
 * test_http_head.c - raw bytes against the outcome that RFC 9110, RFC 9112 and docs/protocol.md
 * prescribe. Every row is parsed whole and byte by byte; both must agree in status, code, offset
 * and bytes used.
 */
#include "augury/http.h"

#include "../../tap.h"

#include <stdlib.h>

enum { OK = 0, MORE = 1 }; /* beside statuses */

static const struct http_limits limits = {
    .head_bytes = 1024, .target_bytes = 256, .headers = 20, .body_bytes = 4096};

struct outcome {
    int rc;
    size_t used;
    struct http_refusal refusal;
    struct http_request request;
};

static struct outcome
parse_whole(struct bytes input, const struct http_limits *with)
{
    struct outcome outcome = {.used = 0};

    outcome.rc = http_parse_head(input, with, &outcome.request, &outcome.used, &outcome.refusal);
    return outcome;
}

/* As a connection does: parses only when http_head_may_end() says so. */
static struct outcome
parse_bytewise(struct bytes input, const struct http_limits *with)
{
    struct outcome outcome = {.rc = AUGURY_MORE};

    for (size_t len = 1; len <= input.len && outcome.rc == AUGURY_MORE; len++) {
        struct bytes part = bytes_of(input.data, len);
        if (len == 1 || http_head_may_end(part, len - 1, with)) {
            outcome = parse_whole(part, with);
        }
    }
    return outcome;
}

static bool
outcome_is(const struct outcome *outcome, unsigned status, const char *code)
{
    switch (status) {
    case OK: return outcome->rc == 0;
    case MORE: return outcome->rc == AUGURY_MORE;
    default:
        return outcome->rc == AUGURY_ERR_INVALID && outcome->refusal.status == status &&
               (code == NULL || strcmp(outcome->refusal.code, code) == 0);
    }
}

static bool
outcomes_agree(const struct outcome *a, const struct outcome *b)
{
    if (a->rc != b->rc) {
        return false;
    }
    if (a->rc == 0) {
        return a->used == b->used && a->request.flags == b->request.flags;
    }
    return a->rc == AUGURY_MORE ||
           (a->refusal.status == b->refusal.status && a->refusal.code == b->refusal.code &&
            a->refusal.offset == b->refusal.offset);
}

struct row {
    const char *name;
    unsigned status;
    const char *code;
    const char *text;
    size_t len; /* so that NUL can be part of it */
};
#define ROW(name, status, code, text)                                                              \
    {                                                                                              \
        name, status, code, text, sizeof(text) - 1                                                 \
    }
#define HOST "Host: a\r\n"

static void
check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        /* A copy of the exact size, so that a sanitizer sees a read past the end. */
        uint8_t *copy = malloc(row->len);
        CHECK(copy != NULL);
        memcpy(copy, row->text, row->len);
        struct bytes input = bytes_of(copy, row->len);
        struct outcome whole = parse_whole(input, &limits);
        struct outcome bytewise = parse_bytewise(input, &limits);
        free(copy);
        if (!outcome_is(&whole, row->status, row->code)) {
            TAP_FAIL("%s: rc %d, refusal %u %s", row->name, whole.rc, whole.refusal.status,
                     whole.rc == AUGURY_ERR_INVALID ? whole.refusal.code : "-");
        }
        if (!outcomes_agree(&whole, &bytewise)) {
            TAP_FAIL("%s: byte by byte gives rc %d, %u %s at %zu", row->name, bytewise.rc,
                     bytewise.refusal.status,
                     bytewise.rc == AUGURY_ERR_INVALID ? bytewise.refusal.code : "-",
                     bytewise.refusal.offset);
        }
    }
}

static void
request_lines_are_exact(void)
{
    static const struct row rows[] = {
        ROW("the example of RFC 9112 2.1", OK, NULL,
            "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\n"
            "Accept-Language: en, mi\r\n\r\n"),
        ROW("HTTP/1.0 needs no Host", OK, NULL, "GET / HTTP/1.0\r\n\r\n"),
        ROW("one empty line before it", OK, NULL, "\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("two empty lines before it", 400, "bad_request_line",
            "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a bare LF before it", 400, "bad_request_line", "\nGET / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a bare CR before it", 400, "bad_request_line", "\rGET / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a space before it", 400, "bad_request_line", " GET / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("CR alone so far", MORE, NULL, "\r"),
        ROW("an empty line alone so far", MORE, NULL, "\r\n"),
        ROW("two spaces", 400, NULL, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("two spaces before the version", 400, NULL, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a tab for a space", 400, NULL, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a space at the end", 400, NULL, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
        ROW("white space in the target", 400, "bad_request_line",
            "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
        ROW("HTTP/0.9", 400, "bad_request_line", "GET /\r\n\r\n"),
        ROW("no target", 400, "bad_request_line", "GET\r\n\r\n"),
        ROW("an empty target", 400, NULL, "GET  HTTP/1.1\r\n" HOST "\r\n"),
        ROW("HTTP/1.2", 505, "bad_version", "GET / HTTP/1.2\r\n" HOST "\r\n"),
        ROW("HTTP/2.0", 505, "bad_version", "GET / HTTP/2.0\r\n" HOST "\r\n"),
        ROW("the preface of HTTP/2", 505, "bad_version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ROW("a version that goes on", 505, "bad_version", "GET / HTTP/1.1x\r\n" HOST "\r\n"),
        ROW("a version with more digits", 505, "bad_version", "GET / HTTP/1.10\r\n" HOST "\r\n"),
        ROW("a version in lower case", 400, "bad_request_line", "GET / http/1.1\r\n" HOST "\r\n"),
        ROW("another protocol", 400, "bad_request_line", "GET / ICY/1.1\r\n" HOST "\r\n"),
        ROW("bare LF", 400, "bad_line_end", "GET / HTTP/1.1\nHost: a\n\n"),
        ROW("CR in the target", 400, NULL, "GET /\ra HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a TLS hello", 400, "bad_request_line", "\x16\x03\x01\x02"),
        ROW("incomplete", MORE, NULL, "GET / HTT"),
        ROW("incomplete at CR", MORE, NULL, "GET / HTTP/1.1\r"),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
methods_are_known_tokens(void)
{
    static const struct row rows[] = {
        ROW("PATCH", OK, NULL, "PATCH / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("CONNECT", 501, "unknown_method", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n"),
        ROW("TRACE", 501, "unknown_method", "TRACE / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("methods know case", 501, "unknown_method", "get / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a prefix of a method", 501, "unknown_method", "GE / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("not a token", 400, "bad_request_line", "GE(T / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("NUL", 400, "bad_request_line", "GE\0T / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("obs-text", 400, "bad_request_line", "GET\xe9 / HTTP/1.1\r\n" HOST "\r\n"),
        ROW("very long, nothing after it yet", 501, "unknown_method",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ROW("very long, a bare LF after it", 501, "unknown_method",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\nHost: a\n\n"),
        ROW("very long and not a token", 400, "bad_request_line",
            "AAAAAAAAAAAAAAAA\x01ssssssssssssssssssssss"),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
targets_have_a_form_and_a_character_set(void)
{
    static const struct row rows[] = {
        ROW("absolute-form", OK, NULL, "GET http://a/x HTTP/1.1\r\n" HOST "\r\n"),
        ROW("absolute-form, scheme and host in any case", OK, NULL,
            "GET HTTP://A/x HTTP/1.1\r\n" HOST "\r\n"),
        ROW("absolute-form with a port", OK, NULL,
            "GET http://a:8080/x HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
        ROW("absolute-form against another Host", 400, "bad_host",
            "GET http://b/x HTTP/1.1\r\n" HOST "\r\n"),
        ROW("absolute-form without Host", 400, "bad_host", "GET http://a/x HTTP/1.1\r\n\r\n"),
        ROW("absolute-form with userinfo", 400, "bad_target",
            "GET http://u@a/x HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ROW("absolute-form with an empty host", 400, "bad_target",
            "GET http:///x HTTP/1.1\r\n" HOST "\r\n"),
        ROW("another scheme", 400, "bad_target", "GET ftp://a/x HTTP/1.1\r\n" HOST "\r\n"),
        ROW("authority-form", 400, "bad_target", "GET a:80 HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a relative path", 400, "bad_target", "GET x HTTP/1.1\r\n" HOST "\r\n"),
        ROW("asterisk-form with OPTIONS", OK, NULL, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
        ROW("asterisk-form with GET", 400, "bad_target", "GET * HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a fragment", 400, "bad_target", "GET /a#b HTTP/1.1\r\n" HOST "\r\n"),
        ROW("NUL", 400, "bad_target", "GET /a\0b HTTP/1.1\r\n" HOST "\r\n"),
        ROW("DEL", 400, "bad_target", "GET /a\x7f HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a vertical tab", 400, "bad_target", "GET /a\vb HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a tab", 400, "bad_target", "GET /a\tb HTTP/1.1\r\n" HOST "\r\n"),
        ROW("raw UTF-8", 400, "bad_target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a backslash", 400, "bad_target", "GET /a\\b HTTP/1.1\r\n" HOST "\r\n"),
        ROW("a quote", 400, "bad_target", "GET /a\"b HTTP/1.1\r\n" HOST "\r\n"),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
fields_are_exact(void)
{
    static const struct row rows[] = {
        ROW("no space after the colon", OK, NULL, "GET / HTTP/1.1\r\nHost:a\r\n\r\n"),
        ROW("spaces and tabs around a value", OK, NULL, "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n"),
        ROW("an empty value", OK, NULL, "GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n"),
        ROW("obs-text in a value", OK, NULL, "GET / HTTP/1.1\r\n" HOST "X: caf\xe9\xff\r\n\r\n"),
        ROW("a tab inside a long value", OK, NULL,
            "GET / HTTP/1.1\r\n" HOST "X: 0123456\t89012345678\r\n\r\n"),
        ROW("a space before the colon", 400, "bad_field", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ROW("a space before the colon of Content-Length", 400, "bad_field",
            "POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\nhello"),
        ROW("a tab before the colon", 400, "bad_field", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"),
        ROW("a folded line", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"),
        ROW("a line folded by a tab", 400, "bad_field",
            "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n"),
        ROW("white space before the first field", 400, "bad_field",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ROW("an empty name", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n"),
        ROW("no colon", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"),
        ROW("a name with a space", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X Y: z\r\n\r\n"),
        ROW("a name with a bracket", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X[: z\r\n\r\n"),
        ROW("a name with NUL", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X\0: z\r\n\r\n"),
        ROW("a name with obs-text", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X\xe9: z\r\n\r\n"),
        ROW("NUL in a value", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"),
        ROW("DEL in a value", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"),
        ROW("ESC in a value", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X: a\x1b[0m\r\n\r\n"),
        ROW("a control deep in a long value", 400, "bad_field",
            "GET / HTTP/1.1\r\n" HOST "X: 0123456789012345678901\x01rest\r\n\r\n"),
        ROW("a bare CR in a value", 400, "bad_field",
            "GET / HTTP/1.1\r\n" HOST "X: a\rContent-Length: 5\r\n\r\n"),
        ROW("two CRs", 400, "bad_field", "GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n"),
        ROW("a bare LF after a field", 400, "bad_line_end", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        ROW("a bare LF at the end", 400, "bad_line_end", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ROW("no empty line yet", MORE, NULL, "GET / HTTP/1.1\r\nHost: a\r\n"),
        ROW("half of the empty line", MORE, NULL, "GET / HTTP/1.1\r\nHost: a\r\n\r"),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
host_is_there_once_and_well_formed(void)
{
    static const struct row rows[] = {
        ROW("missing", 400, "bad_host", "GET / HTTP/1.1\r\nX: a\r\n\r\n"),
        ROW("twice", 400, "duplicate_field", "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
        ROW("twice, differing", 400, "duplicate_field",
            "GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n\r\n"),
        ROW("twice in 1.0", 400, "duplicate_field", "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
        ROW("empty", 400, "bad_host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ROW("a list", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ROW("a path", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ROW("userinfo", 400, "bad_host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ROW("a port of letters", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
        ROW("a port too long", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n"),
        ROW("two ports", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
        ROW("a port", OK, NULL, "GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
        ROW("IPv6", OK, NULL, "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
        ROW("IPv6 that is IPv4 at its end", OK, NULL,
            "GET / HTTP/1.1\r\nHost: [::ffff:192.0.2.1]\r\n\r\n"),
        ROW("a name in brackets", 400, "bad_host", "GET / HTTP/1.1\r\nHost: [a]\r\n\r\n"),
        ROW("IPv4 in brackets", 400, "bad_host", "GET / HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n"),
        ROW("empty brackets", 400, "bad_host", "GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
        ROW("too many groups", 400, "bad_host",
            "GET / HTTP/1.1\r\nHost: [1:2:3:4:5:6:7:8:9]\r\n\r\n"),
        ROW("a zone", 400, "bad_host", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n"),
        ROW("an escape", OK, NULL, "GET / HTTP/1.1\r\nHost: caf%C3%a9.example:80\r\n\r\n"),
        ROW("an escape that is none", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n"),
        ROW("an escape of other digits", 400, "bad_host", "GET / HTTP/1.1\r\nHost: a%4g\r\n\r\n"),
        ROW("a per cent sign alone", 400, "bad_host", "GET / HTTP/1.1\r\nHost: %\r\n\r\n"),
        ROW("IPv6 not closed", 400, "bad_host", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        ROW("IPv6 and more", 400, "bad_host", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
framing_is_never_ambiguous(void)
{
#define POST "POST / HTTP/1.1\r\n" HOST
    static const struct row rows[] = {
        ROW("Content-Length", OK, NULL, POST "Content-Length: 5\r\n\r\nhello"),
        ROW("Content-Length 0", OK, NULL, POST "Content-Length: 0\r\n\r\n"),
        ROW("differing lengths", 400, "duplicate_field",
            POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ROW("equal lengths twice", 400, "duplicate_field",
            POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ROW("a list of lengths", 400, "bad_framing", POST "Content-Length: 5, 5\r\n\r\nhello"),
        ROW("a plus", 400, "bad_framing", POST "Content-Length: +5\r\n\r\nhello"),
        ROW("a minus", 400, "bad_framing", POST "Content-Length: -5\r\n\r\nhello"),
        ROW("hexadecimal", 400, "bad_framing", POST "Content-Length: 0x5\r\n\r\nhello"),
        ROW("empty", 400, "bad_framing", POST "Content-Length:\r\n\r\nhello"),
        ROW("a space inside", 400, "bad_framing", POST "Content-Length: 5 5\r\n\r\nhello"),
        ROW("a fraction", 400, "bad_framing", POST "Content-Length: 5.0\r\n\r\nhello"),
        ROW("an exponent", 400, "bad_framing", POST "Content-Length: 1e1\r\n\r\nhello"),
        ROW("over 64 bits", 400, "bad_framing",
            POST "Content-Length: 18446744073709551616\r\n\r\n"),
        ROW("64 bits", 413, "body_too_large", POST "Content-Length: 18446744073709551615\r\n\r\n"),
        ROW("at the limit", OK, NULL, POST "Content-Length: 4096\r\n\r\n"),
        ROW("over the limit", 413, "body_too_large", POST "Content-Length: 4097\r\n\r\n"),
        ROW("chunked", OK, NULL, POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked in any case", OK, NULL, POST "transfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked and a length", 400, "bad_framing",
            POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ROW("a length and chunked", 400, "bad_framing",
            POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ROW("identity and a length", 400, "bad_framing",
            POST "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello"),
        ROW("chunked twice", 400, "duplicate_field",
            POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked in 1.0", 400, "bad_framing",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ROW("gzip, chunked", 501, "unknown_transfer_coding",
            POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked twice in one line", 501, "unknown_transfer_coding",
            POST "Transfer-Encoding: chunked,chunked\r\n\r\n0\r\n\r\n"),
        ROW("gzip", 400, "bad_framing", POST "Transfer-Encoding: gzip\r\n\r\n"),
        ROW("no coding", 400, "bad_framing", POST "Transfer-Encoding:\r\n\r\n"),
        ROW("chunked with a parameter", 400, "bad_framing",
            POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
        ROW("chunked, identity", 400, "bad_framing",
            POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ROW("xchunked", 400, "bad_framing", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked in quotes", 400, "bad_framing",
            POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
        ROW("chunked with a comma", 501, "unknown_transfer_coding",
            POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked after a vertical tab", 400, "bad_field",
            POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"),
        ROW("chunked with a space before the colon", 400, "bad_field",
            POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ROW("an underscore is another field", OK, NULL,
            POST "Transfer_Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
        ROW("another expectation", 417, "bad_expectation", POST "Expect: 200-ok\r\n\r\n"),
        ROW("100-continue", OK, NULL, POST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n"),
        ROW("two content types", 400, "duplicate_field",
            POST "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"),
    };
#undef POST

    check_rows(rows, AUGURY_COUNT(rows));
}

/* "GET /", target of n bytes in all, then the rest; returns its length. */
static size_t
fill_target(char *out, size_t target_bytes, const char *rest)
{
    memcpy(out, "GET /", 5);
    memset(out + 5, 'a', target_bytes - 1);
    memcpy(out + 4 + target_bytes, rest, strlen(rest));
    return 4 + target_bytes + strlen(rest);
}

static void
check_size(const char *text, size_t len, unsigned status, const char *code)
{
    struct row row = {"size", status, code, text, len};
    check_rows(&row, 1);
}

static void
sizes_have_limits_and_no_byte_more(void)
{
    static const char rest[] = " HTTP/1.1\r\n" HOST "\r\n";
    char text[4096];

    check_size(text, fill_target(text, 256, rest), OK, NULL);
    check_size(text, fill_target(text, 257, rest), 414, "target_too_long");
    check_size(text, fill_target(text, 900, rest), 414, "target_too_long");
    check_size(text, fill_target(text, 2000, ""), 414, "target_too_long");

    /* A head of exactly 1,024 bytes, and of one more. */
    for (size_t over = 0; over < 2; over++) {
        size_t len = 0;
        memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
        len = 28;
        memset(text + len, 'x', 1024 - 4 - 28 + over);
        len = 1024 - 4 + over;
        memcpy(text + len, "\r\n\r\n", 4);
        check_size(text, len + 4, over == 0 ? OK : 431, over == 0 ? NULL : "head_too_large");
    }
    memset(text + 28, 'x', 2000);
    check_size(text, 2000, 431, "head_too_large");
    check_size(text, 1024, 431, "head_too_large");
    check_size(text, 1023, MORE, NULL);

    /* 20 fields, and 21. */
    for (size_t extra = 0; extra < 2; extra++) {
        size_t len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST);
        for (size_t i = 0; i < 19 + extra; i++) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "X: %zu\r\n", i);
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
        check_size(text, len, extra == 0 ? OK : 431, extra == 0 ? NULL : "too_many_fields");
    }
}

static void
a_request_is_described_to_the_handler(void)
{
    static const char text[] =
        "POST http://Example.org:80/api/v1/predict/m%20x?fields=a,b&x HTTP/1.1\r\n"
        "HOST: example.org:80\r\nContent-type:  application/json \r\naccept: text/csv\r\n"
        "If-None-Match: \"abc\"\r\nCache-Control: no-cache\r\nX-Request-ID: r1\r\n"
        "Accept-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 17\r\n"
        "Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\nExpect: 100-continue\r\n\r\nbody";
    struct outcome got = parse_whole(bytes_of(text, sizeof(text) - 1), &limits);
    const struct http_request *request = &got.request;

    CHECK_INT(got.rc, 0);
    CHECK_INT(got.used, sizeof(text) - 1 - 4);
    CHECK_INT(request->method, HTTP_POST);
    CHECK_INT(request->minor, 1);
    CHECK_INT(request->body_bytes, 17);
    CHECK_INT(request->header_count, 12);
    CHECK_INT(request->flags,
              HTTP_KEEP_ALIVE | HTTP_HAS_BODY | HTTP_EXPECT_CONTINUE | HTTP_UPGRADE);
    CHECK(bytes_equal_text(request->path, "/api/v1/predict/m%20x"));
    CHECK(bytes_equal_text(request->query, "fields=a,b&x"));
    CHECK(bytes_equal_text(request->host, "Example.org:80"));
    CHECK(bytes_equal_text(request->content_type, "application/json"));
    CHECK(bytes_equal_text(request->accept, "text/csv"));
    CHECK(bytes_equal_text(request->if_none_match, "\"abc\""));
    CHECK(bytes_equal_text(request->cache_control, "no-cache"));
    CHECK(bytes_equal_text(request->request_id, "r1"));
    CHECK(bytes_equal_text(request->accept_encoding, "gzip"));
    CHECK(bytes_equal_text(request->content_encoding, "br"));
    CHECK(bytes_equal_text(http_header_find(request, "upgrade"), "websocket"));
    CHECK_INT(http_header_find(request, "cookie").len, 0);
}

static void
keep_alive_follows_version_and_connection(void)
{
    static const struct {
        const char *text;
        bool is_kept;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x,,Close \r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        struct outcome got = parse_whole(bytes_of_text(rows[i].text), &limits);
        CHECK_INT(got.rc, 0);
        if (((got.request.flags & HTTP_KEEP_ALIVE) != 0) != rows[i].is_kept) {
            TAP_FAIL("%s", rows[i].text);
        }
    }
}

static void
an_expectation_in_http_1_0_is_ignored(void)
{
    struct outcome got = parse_whole(
        bytes_of_text("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"),
        &limits);

    CHECK_INT(got.rc, 0);
    CHECK_INT(got.request.flags & HTTP_EXPECT_CONTINUE, 0);
}

static void
a_refusal_says_where(void)
{
    struct outcome got = parse_whole(bytes_of_text("GET /a#b HTTP/1.1\r\n\r\n"), &limits);
    CHECK_INT(got.refusal.offset, 6);
    got = parse_whole(bytes_of_text("GET / HTTP/1.1\r\nContent-Length : 5\r\n"), &limits);
    CHECK_INT(got.refusal.offset, 30);
    got = parse_whole(bytes_of_text("GET / HTTP/1.1\r\nContent-Length: +5\r\n"), &limits);
    CHECK_INT(got.refusal.offset, 32);
}

/* 16 KiB one byte at a time, 100 fields: parsed once a line, so a few million bytes are looked
 * at, not 134 million. */
static void
tiny_reads_do_not_cost_a_rescan_each(void)
{
    static const struct http_limits wide = {
        .head_bytes = 16384, .target_bytes = 8192, .headers = 100, .body_bytes = 0};
    static char text[16384];
    size_t parses = 0;
    size_t len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST);

    for (size_t i = 0; i < 99; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "X-%zu: %0150d\r\n", i, 1);
    }
    memset(text + len, 'y', sizeof(text) - len);
    for (size_t n = 2; n <= sizeof(text); n++) {
        struct bytes part = bytes_of(text, n);
        if (http_head_may_end(part, n - 1, &wide)) {
            struct outcome got = parse_whole(part, &wide);
            parses++;
            CHECK(got.rc == AUGURY_MORE || n == sizeof(text));
        }
    }
    CHECK(parses >= 100 && parses < 160);
}

int
main(void)
{
    TAP_RUN(request_lines_are_exact);
    TAP_RUN(methods_are_known_tokens);
    TAP_RUN(targets_have_a_form_and_a_character_set);
    TAP_RUN(fields_are_exact);
    TAP_RUN(host_is_there_once_and_well_formed);
    TAP_RUN(framing_is_never_ambiguous);
    TAP_RUN(sizes_have_limits_and_no_byte_more);
    TAP_RUN(a_request_is_described_to_the_handler);
    TAP_RUN(keep_alive_follows_version_and_connection);
    TAP_RUN(an_expectation_in_http_1_0_is_ignored);
    TAP_RUN(a_refusal_says_where);
    TAP_RUN(tiny_reads_do_not_cost_a_rescan_each);
    return tap_done();
}
