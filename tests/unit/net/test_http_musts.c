/* SPDX-License-Identifier: MIT */
/*
 * test_http_musts.c - what RFC 9112, and of RFC 9110 what concerns messages, says that a server
 * MUST do with the bytes of a request: a row each, named by its section, with the bytes, its
 * answers and what becomes of the connection. Every row is sent at once and byte by byte, over a
 * real connection. Where the RFC leaves a choice, the row has ours (docs/protocol.md); the parser
 * alone has more rows in test_http_head.c and test_http_chunks.c.
 */
#include "server_bench.h"

/* What becomes of the connection. */
enum after {
    KEPT,   /* another request on it is answered */
    ENDED,  /* the server ends it, and answers nothing of what follows */
    UNDONE, /* the request is not whole when the client ends its side: nobody hears of it */
};

struct must {
    const char *name;
    const char *text;
    size_t len; /* so that NUL can be part of it */
    const char
        *answers; /* "status body" each, with a bar between; a refusal has its code as body */
    enum after after;
};
#define MUST(name, text, answers, after)                                                           \
    {                                                                                              \
        name, text, sizeof(text) - 1, answers, after                                               \
    }
#define HOST "Host: a\r\n"
#define TAKE "GET /x HTTP/1.1\r\n" HOST
#define GIVE "POST /echo HTTP/1.1\r\n" HOST
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define NEXT "GET /next HTTP/1.1\r\n" HOST "\r\n" /* what must not be answered, or must be */

static const struct must of_lines[] = {
    MUST("2.2: a message is octets, a superset of ASCII", TAKE "X: \x80\xff\xc3\xa9\r\n\r\n",
         "200 /x", KEPT),
    MUST("2.2: CR LF ends a line; LF alone is no line end here", "GET /x HTTP/1.1\nHost: a\n\n",
         "400 bad_line_end", ENDED),
    MUST("2.2: LF alone after a field", "GET /x HTTP/1.1\r\nHost: a\n\r\n" NEXT, "400 bad_line_end",
         ENDED),
    MUST("2.2: a bare CR is invalid in a request line", "GET /x\rHTTP/1.1\r\n" HOST "\r\n" NEXT,
         "400 bad_request_line", ENDED),
    MUST("2.2: a bare CR is invalid in a field", TAKE "X: a\rY: b\r\n\r\n" NEXT, "400 bad_field",
         ENDED),
    MUST("2.2: one empty line before a request is ignored", "\r\n" TAKE "\r\n", "200 /x", KEPT),
    MUST("2.2: white space between request line and fields",
         "GET /x HTTP/1.1\r\n Host: a\r\n" HOST "\r\n" NEXT, "400 bad_field", ENDED),
    MUST("2.2: a tab between request line and fields",
         "GET /x HTTP/1.1\r\n\tX: a\r\n" HOST "\r\n" NEXT, "400 bad_field", ENDED),
    MUST("2.2: what is no HTTP is 400, and the connection ends", "\x16\x03\x01\x02\x00\x01\x00",
         "400 bad_request_line", ENDED),
    MUST("2.3: HTTP-name is case-sensitive", "GET /x http/1.1\r\n" HOST "\r\n" NEXT,
         "400 bad_request_line", ENDED),
    MUST("2.3, 9110 15.6.6: another major version is 505", "GET /x HTTP/2.0\r\n" HOST "\r\n" NEXT,
         "505 bad_version", ENDED),
    MUST("3: parts of a request line have one space between", "GET  /x HTTP/1.1\r\n" HOST "\r\n",
         "400 bad_request_line", ENDED),
    MUST("3: a target has no white space", "GET /x y HTTP/1.1\r\n" HOST "\r\n" NEXT,
         "400 bad_request_line", ENDED),
    MUST("3.1, 9110 9.1: methods are case-sensitive", "get /x HTTP/1.1\r\n" HOST "\r\n" NEXT,
         "501 unknown_method", ENDED),
    MUST("3.1, 9110 9.1: an unknown method is 501", "BREW /x HTTP/1.1\r\n" HOST "\r\n" NEXT,
         "501 unknown_method", ENDED),
    MUST("3.2: HTTP/1.1 without Host is 400", "GET /x HTTP/1.1\r\nX: a\r\n\r\n" NEXT,
         "400 bad_host", ENDED),
    MUST("3.2: HTTP/1.0 needs none", "GET /x HTTP/1.0\r\n\r\n", "200 /x", ENDED),
    MUST("3.2: two Hosts are 400", TAKE HOST "\r\n" NEXT, "400 duplicate_field", ENDED),
    MUST("3.2: two Hosts are 400 in HTTP/1.0 too", "GET /x HTTP/1.0\r\n" HOST "Host: b\r\n\r\n",
         "400 duplicate_field", ENDED),
    MUST("3.2: a Host with user information", "GET /x HTTP/1.1\r\nHost: u@a\r\n\r\n" NEXT,
         "400 bad_host", ENDED),
    MUST("3.2: a Host that is a list", "GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n" NEXT, "400 bad_host",
         ENDED),
    MUST("3.2: a Host whose port is no number", "GET /x HTTP/1.1\r\nHost: a:b\r\n\r\n" NEXT,
         "400 bad_host", ENDED),
    MUST("3.2: a Host whose %-escape is none", "GET /x HTTP/1.1\r\nHost: a%zz\r\n\r\n" NEXT,
         "400 bad_host", ENDED),
    MUST("3.2: a Host in brackets that is no address", "GET /x HTTP/1.1\r\nHost: [a]\r\n\r\n" NEXT,
         "400 bad_host", ENDED),
    MUST("3.2.2: absolute-form is taken", "GET http://a/x?y HTTP/1.1\r\n" HOST "\r\n", "200 /x",
         KEPT),
    MUST("3.2.2: absolute-form of https, without a path",
         "OPTIONS HTTPS://a HTTP/1.1\r\n" HOST "\r\n", "200 /", KEPT),
    MUST("3.2.2: a Host that contradicts absolute-form is refused, not ignored",
         "GET http://b/x HTTP/1.1\r\n" HOST "\r\n" NEXT, "400 bad_host", ENDED),
    MUST("3.2.3: authority-form is for CONNECT", "GET a:80 HTTP/1.1\r\n" HOST "\r\n" NEXT,
         "400 bad_target", ENDED),
    MUST("3.2.4: asterisk-form is for OPTIONS", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "200 *",
         KEPT),
    MUST("3.2.4: and for nothing else", "GET * HTTP/1.1\r\n" HOST "\r\n" NEXT, "400 bad_target",
         ENDED),
    MUST("5.1: white space before a colon is 400", TAKE "X : a\r\n\r\n" NEXT, "400 bad_field",
         ENDED),
    MUST("5.1: before the colon of Content-Length", GIVE "Content-Length : 5\r\n\r\nhello" NEXT,
         "400 bad_field", ENDED),
    MUST("5.1: white space around a value is no part of it",
         GIVE "Content-Length: \t 5 \t\r\n\r\nhello", "200 hello", KEPT),
    MUST("5.1: white space around a value need not be", GIVE "Content-Length:5\r\n\r\nhello",
         "200 hello", KEPT),
    MUST("5.2: a folded line is 400", TAKE "X: a\r\n b\r\n\r\n" NEXT, "400 bad_field", ENDED),
    MUST("9110 5.5: NUL in a value", TAKE "X: a\0b\r\n\r\n" NEXT, "400 bad_field", ENDED),
    MUST("9110 5.1: names are case-insensitive", GIVE "CONTENT-length: 5\r\n\r\nhello", "200 hello",
         KEPT),
};

static const struct must of_bodies[] = {
    MUST("6: a method says nothing about a body",
         "DELETE /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" NEXT,
         "200 hello|200 /next", KEPT),
    MUST("6.1: Transfer-Encoding in HTTP/1.0 is faulty framing",
         "POST /echo HTTP/1.0\r\n" HOST CHUNKED "Connection: keep-alive\r\n\r\n0\r\n\r\n" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.1: with a Content-Length as well, in HTTP/1.0",
         "POST /echo HTTP/1.0\r\nContent-Length: 5\r\n" CHUNKED "\r\n0\r\n\r\n", "400 bad_framing",
         ENDED),
    MUST("6.1: both framings end the connection",
         GIVE "Content-Length: 5\r\n" CHUNKED "\r\n0\r\n\r\n" NEXT, "400 bad_framing", ENDED),
    MUST("6.1: in the other order", GIVE CHUNKED "Content-Length: 5\r\n\r\n0\r\n\r\n" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.1: a coding that is not understood is 501",
         GIVE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT,
         "501 unknown_transfer_coding", ENDED),
    MUST("6.1: names of codings are case-insensitive",
         GIVE "Transfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", "200 x", KEPT),
    MUST("6.2: a length too large to be read",
         GIVE "Content-Length: 18446744073709551621\r\n\r\nhello" NEXT, "400 bad_framing", ENDED),
    MUST("6.3 (3): chunked is not the last coding",
         GIVE "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" NEXT, "400 bad_framing",
         ENDED),
    MUST("6.3 (3): chunked is none of the codings", GIVE "Transfer-Encoding: gzip\r\n\r\n" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.3 (3): what only looks like chunked",
         GIVE "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, "400 bad_framing", ENDED),
    MUST("6.3 (3): no coding at all", GIVE "Transfer-Encoding:\r\n\r\n0\r\n\r\n" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.3 (5): a length that is none", GIVE "Content-Length: 5x\r\n\r\nhello" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.3 (5): a length with a sign", GIVE "Content-Length: +5\r\n\r\nhello" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.3 (5): an empty length", GIVE "Content-Length:\r\n\r\nhello" NEXT, "400 bad_framing",
         ENDED),
    MUST("6.3 (5): two lengths", GIVE "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" NEXT,
         "400 duplicate_field", ENDED),
    MUST("6.3 (5): a list of lengths that differ", GIVE "Content-Length: 5, 6\r\n\r\nhello" NEXT,
         "400 bad_framing", ENDED),
    MUST("6.3 (6): the client ends its side within the body", GIVE "Content-Length: 5\r\n\r\nhell",
         "", UNDONE),
    MUST("6.3 (7): without either there is no body", "POST /x HTTP/1.1\r\n" HOST "\r\n" NEXT,
         "200 /x|200 /next", KEPT),
    MUST("7.1: chunked is decoded", GIVE CHUNKED "\r\n5\r\nhello\r\n00\r\n\r\n" NEXT,
         "200 hello|200 /next", KEPT),
    MUST("7.1: sizes are hexadecimal in both cases",
         GIVE CHUNKED "\r\na\r\n0123456789\r\nB\r\n01234567890\r\n0\r\n\r\n",
         "200 012345678901234567890", KEPT),
    MUST("7.1: sizes too large to be read",
         GIVE CHUNKED "\r\n10000000000000005\r\nhello\r\n0\r\n\r\n" NEXT, "400 bad_chunk", ENDED),
    MUST("7.1: sizes of which nothing would be left by overflow",
         GIVE CHUNKED "\r\nfffffffffffffffe\r\nhello\r\n0\r\n\r\n" NEXT, "413 body_too_large",
         ENDED),
    MUST("7.1: 0x is no digit", GIVE CHUNKED "\r\n0x5\r\nhello\r\n0\r\n\r\n" NEXT, "400 bad_chunk",
         ENDED),
    MUST("7.1: nor is a sign", GIVE CHUNKED "\r\n+5\r\nhello\r\n0\r\n\r\n" NEXT, "400 bad_chunk",
         ENDED),
    MUST("7.1: data end with CR LF", GIVE CHUNKED "\r\n5\r\nhelloXX0\r\n\r\n" NEXT, "400 bad_chunk",
         ENDED),
    MUST("7.1: a size line ends with CR LF", GIVE CHUNKED "\r\n5\nhello\r\n0\r\n\r\n" NEXT,
         "400 bad_chunk", ENDED),
    MUST("7.1.1: unknown extensions are ignored",
         GIVE CHUNKED "\r\n5;a;b=c;d=\"e;f\"\r\nhello\r\n0 ;z\r\n\r\n", "200 hello", KEPT),
    MUST("7.1.2: trailers do not become fields",
         GIVE CHUNKED
         "\r\n1\r\nx\r\n0\r\nContent-Length: 9\r\nHost: b\r\nConnection: close\r\n\r\n" NEXT,
         "200 x|200 /next", KEPT),
    MUST("7.1.2: trailers are fields by their form", GIVE CHUNKED "\r\n0\r\nX : a\r\n\r\n" NEXT,
         "400 bad_field", ENDED),
    MUST("8: the client ends its side within a chunk", GIVE CHUNKED "\r\n5\r\nhel", "", UNDONE),
    MUST("8: or before the last chunk", GIVE CHUNKED "\r\n5\r\nhello\r\n", "", UNDONE),
    MUST("8: or before the end of the trailers", GIVE CHUNKED "\r\n5\r\nhello\r\n0\r\n", "",
         UNDONE),
    MUST("8: or within a head", "GET /x HTTP/1.1\r\n" HOST, "", UNDONE),
    MUST("9.3: HTTP/1.1 goes on", TAKE "\r\n" NEXT, "200 /x|200 /next", KEPT),
    MUST("9.3: HTTP/1.0 ends", "GET /x HTTP/1.0\r\n" HOST "\r\n" NEXT, "200 /x", ENDED),
    MUST("9.3: HTTP/1.0 with keep-alive goes on",
         "GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" NEXT, "200 /x|200 /next", KEPT),
    MUST("9.3.2: answers come in the order of requests",
         "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\nGET /3 HTTP/1.1\r\n" HOST
         "\r\n",
         "200 /1|200 /2|200 /3", KEPT),
    MUST("9.6: after close nothing more is processed", TAKE "Connection: close\r\n\r\n" NEXT,
         "200 /x", ENDED),
    MUST("9.6: wherever close stands", TAKE "Connection: x\r\nConnection: , Y,CLOSE\r\n\r\n" NEXT,
         "200 /x", ENDED),
    MUST("9110 9.3.2: HEAD has no content", "HEAD /x HTTP/1.1\r\n" HOST "\r\n" NEXT,
         "200 |200 /next", KEPT),
    MUST("9110 10.1.1: HTTP/1.0 hears no 100",
         "POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
         "200 hello", ENDED),
    MUST("9110 10.1.1: nor does who asks for nothing", TAKE "Expect: 100-continue\r\n\r\n",
         "200 /x", KEPT),
};

/* ---- one row --------------------------------------------------------------------------------- */

static bool
say_bytewise(int fd, const struct must *must)
{
    for (size_t i = 0; i < must->len; i++) {
        /* A refusal may come before the last byte, and the end of the connection with it. */
        if (!say_bytes(fd, must->text + i, 1)) {
            return must->after == ENDED;
        }
    }
    return true;
}

/* What an answer is called in a row. */
static void
answer_name(const struct answer *answer, char *out, size_t size)
{
    const char *code = answer->status >= 400 ? strstr(answer->body, "\"code\":\"") : NULL;

    if (code != NULL) {
        code += strlen("\"code\":\"");
        snprintf(out, size, "%u %.*s", answer->status, (int)strcspn(code, "\""), code);
    } else {
        snprintf(out, size, "%u %s", answer->status, answer->body);
    }
}

/* Hears the answers of the row into text, as the row writes them; false: they did not come. */
static bool
hear_answers(int fd, const struct must *must, char *text, size_t size)
{
    struct answer answer;
    const char *want = must->answers;
    bool is_head = strncmp(must->text, "HEAD", 4) == 0;

    text[0] = '\0';
    while (*want != '\0') {
        char name[256];
        if (!hear_answer(fd, is_head, &answer)) {
            return false;
        }
        answer_name(&answer, name, sizeof(name));
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%s", len > 0 ? "|" : "", name);
        want += strcspn(want, "|");
        want += *want == '|' ? 1 : 0;
        is_head = false;
    }
    return true;
}

static bool
ends_as_said(int fd, enum after after)
{
    struct answer answer;

    if (after == KEPT) {
        return say(fd, "GET /still-there HTTP/1.1\r\n" HOST "\r\n") &&
               hear_answer(fd, false, &answer) && strcmp(answer.body, "/still-there") == 0;
    }
    return hears_end(fd);
}

static void
check_must(const struct bench *bench, const struct must *must, bool is_bytewise)
{
    int fd = dial(bench, 0);
    char got[1024] = "";

    CHECK(fd >= 0);
    bool is_said = is_bytewise ? say_bytewise(fd, must) : say_bytes(fd, must->text, must->len);
    if (must->after == UNDONE) {
        CHECK_INT(shutdown(fd, SHUT_WR), 0);
    }
    bool is_heard = is_said && hear_answers(fd, must, got, sizeof(got));
    if (!is_heard || strcmp(got, must->answers) != 0) {
        TAP_FAIL("%s%s: answered \"%s\", not \"%s\"", must->name,
                 is_bytewise ? ", byte by byte" : "", got, must->answers);
    } else if (!ends_as_said(fd, must->after)) {
        TAP_FAIL("%s%s: the connection is not %s", must->name, is_bytewise ? ", byte by byte" : "",
                 must->after == KEPT ? "kept" : "ended");
    }
    close(fd);
}

static void
check_musts(const struct must *musts, size_t count)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    for (size_t i = 0; i < count; i++) {
        check_must(&bench, &musts[i], false);
        check_must(&bench, &musts[i], true);
    }
    CHECK(bench_stop(&bench));
}

static void
request_lines_and_fields_are_read_as_the_rfc_demands(void)
{
    check_musts(of_lines, AUGURY_COUNT(of_lines));
}

static void
bodies_and_connections_end_where_the_rfc_demands(void)
{
    check_musts(of_bodies, AUGURY_COUNT(of_bodies));
}

/* RFC 9112 3: a target that is too long MUST be 414. */
static void
a_target_that_is_too_long_is_414(void)
{
    static char text[10000];
    struct bench bench;
    struct answer answer;

    memcpy(text, "GET /", 5);
    memset(text + 5, 'a', 9000);
    memcpy(text + 9005, " HTTP/1.1\r\n" HOST "\r\n", sizeof(" HTTP/1.1\r\n" HOST "\r\n"));
    CHECK(bench_start(&bench, &usual));
    CHECK_INT(ask(&bench, text, &answer), 414);
    CHECK(bench_stop(&bench));
}

/* RFC 9110 5.3: lines of one name are one list, in their order. */
static void
a_list_in_several_lines_is_one_list(void)
{
    static const char text[] =
        "GET / HTTP/1.1\r\n" HOST "Cache-Control: max-age=5\r\n"
        "Accept: text/csv\r\nIf-None-Match: \"a\"\r\ncache-control: no-store\r\n"
        "Accept-Encoding: gzip\r\nACCEPT: */*;q=0\r\nif-none-match:\r\n"
        "If-None-Match: \"b\"\r\n\r\n";
    static const struct http_limits limits = {
        .head_bytes = 1024, .target_bytes = 256, .headers = 20, .body_bytes = 4096};
    static struct http_request request;
    struct http_refusal refusal;
    uint8_t room[sizeof(text)];
    size_t used = 0;

    CHECK_INT(http_parse_head(bytes_of(text, sizeof(text) - 1), &limits, &request, &used, &refusal),
              0);
    CHECK((request.flags & HTTP_LISTS_GO_ON) != 0);
    http_lists_join(&request, room);
    CHECK(bytes_equal_text(request.cache_control, "max-age=5, no-store"));
    CHECK(bytes_equal_text(request.accept, "text/csv, */*;q=0"));
    CHECK(bytes_equal_text(request.if_none_match, "\"a\", , \"b\""));
    CHECK(bytes_equal_text(request.accept_encoding, "gzip"));
}

int
main(void)
{
    TAP_RUN(request_lines_and_fields_are_read_as_the_rfc_demands);
    TAP_RUN(bodies_and_connections_end_where_the_rfc_demands);
    TAP_RUN(a_target_that_is_too_long_is_414);
    TAP_RUN(a_list_in_several_lines_is_one_list);
    return tap_done();
}
