/* SPDX-License-Identifier: MIT */
/* test_http_chunks.c - chunked bodies of RFC 9112 7.1 as raw bytes, each fed whole, byte by byte
 * and in threes. */
#include "augury/http.h"

#include "../../tap.h"

static const struct http_limits limits = {
    .head_bytes = 512, .target_bytes = 256, .headers = 20, .body_bytes = 100};

struct outcome {
    int rc;
    size_t used;
    struct http_refusal refusal;
    char body[128];
    size_t body_len;
};

static struct outcome
feed(struct bytes input, size_t piece)
{
    struct http_chunks chunks = {0};
    struct outcome outcome = {.rc = AUGURY_MORE};
    struct buf out;

    buf_init(&out, 1 << 16);
    while (outcome.rc == AUGURY_MORE && outcome.used < input.len) {
        size_t n = input.len - outcome.used < piece ? input.len - outcome.used : piece;
        size_t used = 0;
        outcome.rc = http_chunks_feed(&chunks, bytes_of(input.data + outcome.used, n), &limits,
                                      &out, &used, &outcome.refusal);
        outcome.used += used;
    }
    outcome.body_len = out.len < sizeof(outcome.body) ? out.len : sizeof(outcome.body) - 1;
    memcpy(outcome.body, out.len > 0 ? out.data : (const uint8_t *)"", outcome.body_len);
    buf_fini(&out);
    return outcome;
}

struct row {
    const char *name;
    unsigned status; /* 0 done, 1 more */
    const char *text;
    size_t len;
    const char *body;
};
#define ROW(name, status, text, body)                                                              \
    {                                                                                              \
        name, status, text, sizeof(text) - 1, body                                                 \
    }

static bool
row_holds(const struct row *row, size_t piece)
{
    struct outcome got = feed(bytes_of(row->text, row->len), piece);

    if (row->status == 0) {
        return got.rc == 0 && strcmp(got.body, row->body) == 0;
    }
    if (row->status == 1) {
        return got.rc == AUGURY_MORE && strcmp(got.body, row->body) == 0;
    }
    struct outcome whole = feed(bytes_of(row->text, row->len), row->len);
    return got.rc == AUGURY_ERR_INVALID && got.refusal.status == row->status &&
           got.refusal.offset == whole.refusal.offset && got.refusal.code == whole.refusal.code;
}

static void
check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t pieces[] = {rows[i].len, 1, 3};
        for (size_t k = 0; k < AUGURY_COUNT(pieces); k++) {
            if (!row_holds(&rows[i], pieces[k])) {
                TAP_FAIL("%s, in pieces of %zu", rows[i].name, pieces[k]);
            }
        }
    }
}

static void
well_formed_bodies_are_joined(void)
{
    static const struct row rows[] = {
        ROW("two chunks", 0, "4\r\nWiki\r\n7\r\npedia i\r\n0\r\n\r\n", "Wikipedia i"),
        ROW("no chunk", 0, "0\r\n\r\n", ""),
        ROW("hex in both cases, leading zeros", 0,
            "00A\r\n0123456789\r\nb\r\n01234567890\r\n0\r\n\r\n", "012345678901234567890"),
        ROW("16 digits", 0, "0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x"),
        ROW("CR LF as data", 0, "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
        ROW("extensions are dropped", 0, "1;a=b;c=\"d e\"\r\nx\r\n0;z\r\n\r\n", "x"),
        ROW("white space before an extension", 0, "1 \t;a\r\nx\r\n0\r\n\r\n", "x"),
        ROW("trailers are dropped", 0, "1\r\nx\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n", "x"),
        ROW("what follows stays", 0, "1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1", "x"),
        ROW("incomplete in the size", 1, "1\r\nx\r\n0", "x"),
        ROW("incomplete in data", 1, "5\r\nxyz", "xyz"),
        ROW("incomplete in trailers", 1, "1\r\nx\r\n0\r\nA: b\r\n", "x"),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
sizes_are_plain_hexadecimal(void)
{
    static const struct row rows[] = {
        ROW("0x", 400, "0x5\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("a plus", 400, "+5\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("a minus", 400, "-5\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("empty", 400, "\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("an extension alone", 400, ";a\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("a space before", 400, " 5\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("a space after", 400, "5 \r\nhello\r\n0\r\n\r\n", NULL),
        ROW("an underscore", 400, "0_5\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("17 digits", 400, "00000000000000005\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("over 64 bits", 400, "10000000000000005\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("64 bits", 413, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("letters past f", 400, "g\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("a comma", 400, "5,5\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("NUL", 400, "5\0\r\nhello\r\n0\r\n\r\n", NULL),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
line_ends_are_exact(void)
{
    static const struct row rows[] = {
        ROW("bare LF after the size", 400, "5\nhello\r\n0\r\n\r\n", NULL),
        ROW("bare CR after the size", 400, "5\rhello\r\n0\r\n\r\n", NULL),
        ROW("two CRs after the size", 400, "5\r\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("bare LF after data", 400, "5\r\nhello\n0\r\n\r\n", NULL),
        ROW("no line end after data", 400, "5\r\nhello0\r\n\r\n", NULL),
        ROW("data longer than said", 400, "4\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("other bytes for CR LF", 400, "5\r\nhelloXX0\r\n\r\n", NULL),
        ROW("bare LF at the end", 400, "0\r\n\n", NULL),
        ROW("CR and no LF at the end", 400, "0\r\n\rX", NULL),
        ROW("LF inside an extension", 400, "5;a\nhello\r\n0\r\n\r\n", NULL),
        ROW("CR inside an extension", 400, "5;a\rb\r\nhello\r\n0\r\n\r\n", NULL),
        ROW("a control in an extension", 400, "5;a\x01\r\nhello\r\n0\r\n\r\n", NULL),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
trailers_are_as_strict_as_fields(void)
{
    static const struct row rows[] = {
        ROW("no colon", 400, "0\r\nA\r\n\r\n", NULL),
        ROW("an empty name", 400, "0\r\n: b\r\n\r\n", NULL),
        ROW("a space before the colon", 400, "0\r\nA : b\r\n\r\n", NULL),
        ROW("folded", 400, "0\r\nA: b\r\n c\r\n\r\n", NULL),
        ROW("bare LF", 400, "0\r\nA: b\n\r\n", NULL),
        ROW("bare CR", 400, "0\r\nA: b\rc\r\n\r\n", NULL),
        ROW("NUL", 400, "0\r\nA: \0\r\n\r\n", NULL),
        ROW("obs-text in a name", 400, "0\r\n\xe9: b\r\n\r\n", NULL),
        ROW("a request where a trailer should be", 400, "0\r\nGET / HTTP/1.1\r\n\r\n", NULL),
    };

    check_rows(rows, AUGURY_COUNT(rows));
}

static void
bodies_extensions_and_trailers_have_limits(void)
{
    char text[4096];
    struct outcome got = feed(bytes_of_text("65\r\n"), 1);
    CHECK_INT(got.refusal.status, 413);
    CHECK_INT(feed(bytes_of_text("64\r\n"), 1).rc, AUGURY_MORE);

    /* 60 + 41 bytes: the second size line is refused before its data. */
    int len = snprintf(text, sizeof(text), "3c\r\n%060d\r\n29\r\n", 0);
    got = feed(bytes_of(text, (size_t)len), 7);
    CHECK_INT(got.refusal.status, 413);
    CHECK_INT(got.body_len, 60);

    len = snprintf(text, sizeof(text), "1;%0300d\r\n", 0);
    CHECK_INT(feed(bytes_of(text, (size_t)len), 50).refusal.status, 400);

    len = snprintf(text, sizeof(text), "0\r\nA: %0600d\r\n", 0);
    got = feed(bytes_of(text, (size_t)len), 50);
    CHECK_INT(got.refusal.status, 431);

    /* Many chunks of one byte, each with an allowed extension: their sum is limited too. */
    len = 0;
    for (int i = 0; i < 20; i++) {
        len += snprintf(text + len, sizeof(text) - (size_t)len, "1;%0100d\r\nx\r\n", 0);
    }
    got = feed(bytes_of(text, (size_t)len), 11);
    CHECK_INT(got.refusal.status, 431);
    CHECK(got.body_len < 6);
}

static void
used_stops_at_the_end_of_the_body(void)
{
    static const char text[] = "3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /";
    struct outcome got = feed(bytes_of(text, sizeof(text) - 1), sizeof(text) - 1);

    CHECK_INT(got.rc, 0);
    CHECK_INT(got.used, sizeof(text) - 1 - 5);
}

int
main(void)
{
    TAP_RUN(well_formed_bodies_are_joined);
    TAP_RUN(sizes_are_plain_hexadecimal);
    TAP_RUN(line_ends_are_exact);
    TAP_RUN(trailers_are_as_strict_as_fields);
    TAP_RUN(bodies_extensions_and_trailers_have_limits);
    TAP_RUN(used_stops_at_the_end_of_the_body);
    return tap_done();
}
