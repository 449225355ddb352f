/* SPDX-License-Identifier: MIT */
/*
 * test_http_proxy.c - the PROXY protocol as raw bytes. Examples are those of the specification
 * (haproxy.org, doc/proxy-protocol.txt 2.1) and headers that haproxy 2.6 has sent.
 */
#include "../../tap.h"
#include "augury/http.h"

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define FOUR "\xcb\x00\x71\x07\x7f\x00\x00\x01\xdc\x04\x1f\x90"
#define SIX                                                                                        \
    "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"                             \
    "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xdc\x04\x1f\x90"
#define RAW(text)                                                                                  \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* As a connection sees it: a byte more each time. */
static int
parse_in_pieces(struct bytes input, struct http_proxy *out_proxy, size_t *out_used)
{
    int rc = AUGURY_MORE;

    for (size_t len = 1; len <= input.len && rc == AUGURY_MORE; len++) {
        rc = http_proxy_parse(bytes_of(input.data, len), out_proxy, out_used);
    }
    return rc;
}

static void
check_refused(struct bytes input)
{
    struct http_proxy proxy = {.client_port = 77};
    size_t used = 5;

    CHECK_INT(http_proxy_parse(input, &proxy, &used), AUGURY_ERR_INVALID);
    CHECK_INT(parse_in_pieces(input, &proxy, &used), AUGURY_ERR_INVALID);
    CHECK_INT(used, 5);
    CHECK_INT(proxy.client_port, 77);
}

/* client: "-" when the header names none. */
static void
check_read(struct bytes input, size_t want_used, const char *client, unsigned port)
{
    struct http_proxy whole, piece;
    char room[IP_TEXT_MAX + 1];
    size_t used = 0;

    CHECK_INT(http_proxy_parse(input, &whole, &used), 0);
    CHECK_INT(used, want_used);
    CHECK_TEXT(whole.has_client ? ip_to_text(&whole.client, room) : "-", client);
    CHECK_INT(whole.has_client ? whole.client_port : 0, port);
    CHECK_INT(parse_in_pieces(input, &piece, &used), 0);
    CHECK_INT(used, want_used);
    CHECK(piece.has_client == whole.has_client && ip_equal(&piece.client, &whole.client));
}

static void
a_line_names_the_client(void)
{
    static const struct {
        const char *line, *client;
        unsigned port;
    } cases[] = {
        {"PROXY TCP4 203.0.113.7 127.0.0.1 56324 8080\r\n", "203.0.113.7", 56324},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535},
        {"PROXY TCP6 2001:db8::7 ::1 0 8080\r\n", "2001:db8::7", 0},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
        {"PROXY UNKNOWN\r\n", "-", 0},
        {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "-", 0},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        char input[256];
        size_t len = strlen(cases[i].line);
        snprintf(input, sizeof(input), "%sGET / HTTP/1.1\r\n\r\n", cases[i].line);
        check_read(bytes_of_text(input), len, cases[i].client, cases[i].port);
    }
}

static void
a_line_that_is_not_exact_is_refused(void)
{
    static const char *const bad[] = {
        "PROXY TCP4 203.0.113.7 127.0.0.1 56324 8080\n\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 56324 8080 \r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 56324 8080 1\r\n",
        "PROXY TCP4  203.0.113.7 127.0.0.1 56324 8080\r\n",
        "PROXY  TCP4 203.0.113.7 127.0.0.1 56324 8080\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 56324\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 056324 8080\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 65536 8080\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 -1 8080\r\n",
        "PROXY TCP4 203.0.113.07 127.0.0.1 56324 8080\r\n",
        "PROXY TCP4 2001:db8::7 ::1 56324 8080\r\n",
        "PROXY TCP6 203.0.113.7 127.0.0.1 56324 8080\r\n",
        "PROXY TCP6 ::7 127.0.0.1 56324 8080\r\n",
        "PROXY TCP6 :: ::1 56324 8080\r\n",
        "PROXY UDP4 203.0.113.7 127.0.0.1 56324 8080\r\n",
        "PROXY tcp4 203.0.113.7 127.0.0.1 56324 8080\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
        "proxy TCP4 203.0.113.7 127.0.0.1 56324 8080\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
        "PROXY TCP4 203.0.113.7 127.0.0.1 56324 8080\rX\r\n",
        /* one byte longer than a line may be */
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350000\r\n",
    };

    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        check_refused(bytes_of_text(bad[i]));
    }
}

static void
bytes_name_the_client(void)
{
    static const struct {
        struct bytes input;
        size_t used;
        const char *client;
        unsigned port;
    } cases[] = {
        {RAW(SIGNATURE "\x21\x11\x00\x0c" FOUR "GET "), 28, "203.0.113.7", 56324},
        {RAW(SIGNATURE "\x21\x21\x00\x24" SIX "\x16\x03\x01"), 52, "2001:db8::7", 56324},
        /* LOCAL: a proxy's own check, whatever its block says */
        {RAW(SIGNATURE "\x20\x00\x00\x00"), 16, "-", 0},
        {RAW(SIGNATURE "\x20\x11\x00\x0c" FOUR), 28, "-", 0},
        {RAW(SIGNATURE "\x20\x00\x00\x07\x04\x00\x04\x00\x00\x00\x00"), 23, "-", 0},
        {RAW(SIGNATURE "\x20\x00\x00\x02xx"), 18, "-", 0},
        /* a family that the proxy does not tell */
        {RAW(SIGNATURE "\x21\x00\x00\x00"), 16, "-", 0},
        {RAW(SIGNATURE "\x21\x10\x00\x0c" FOUR), 28, "-", 0},
        /* TLVs: an empty one, one of four bytes, ssl with two of its own */
        {RAW(SIGNATURE "\x21\x11\x00\x0f" FOUR "\x04\x00\x00"), 31, "203.0.113.7", 56324},
        {RAW(SIGNATURE "\x21\x11\x00\x16" FOUR "\x05\x00\x00\x03\x00\x04\x01\x02\x03\x04"), 38,
         "203.0.113.7", 56324},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        check_read(cases[i].input, cases[i].used, cases[i].client, cases[i].port);
    }
}

static void
paths_of_unix_sockets_name_nobody(void)
{
    uint8_t input[16 + 216] = SIGNATURE "\x21\x31\x00\xd8/run/client";

    check_read(bytes_of(input, sizeof(input)), sizeof(input), "-", 0);
    input[15]--;
    check_refused(bytes_of(input, sizeof(input)));
}

static void
bytes_that_are_not_exact_are_refused(void)
{
    static const struct bytes bad[] = {
        RAW("\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0d"), /* the signature's last byte */
        RAW("\x0d\x0a\x0d\x0aGET / HTTP/1.1\r\n"),
        RAW("\x16\x03\x01\x02\x00"),
        RAW("\x00"),
        RAW(SIGNATURE "\x11\x11\x00\x0c" FOUR), /* version 1 in bytes */
        RAW(SIGNATURE "\x31\x11\x00\x0c" FOUR),
        RAW(SIGNATURE "\x22\x11\x00\x0c" FOUR), /* a command that is not there */
        RAW(SIGNATURE "\x21\x12\x00\x0c" FOUR), /* datagrams */
        RAW(SIGNATURE "\x21\x13\x00\x0c" FOUR),
        RAW(SIGNATURE "\x21\x41\x00\x0c" FOUR), /* a family that is not there */
        RAW(SIGNATURE "\x21\x11\x00\x0b" FOUR), /* addresses of eleven bytes */
        RAW(SIGNATURE "\x21\x21\x00\x23" SIX),
        RAW(SIGNATURE "\x21\x11\x00\x00"),
        RAW(SIGNATURE "\x21\x11\x00\x0d" FOUR "\x04"),         /* a TLV of one byte */
        RAW(SIGNATURE "\x21\x11\x00\x0f" FOUR "\x04\x00\x01"), /* longer than the block */
        RAW(SIGNATURE "\x21\x11\x0f\xf1" FOUR),                /* more than is read */
        RAW(SIGNATURE "\x21\x11\xff\xff" FOUR),
        RAW(SIGNATURE
            "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
            "\0\0\0\0\0"),
    };

    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        check_refused(bad[i]);
    }
}

static void
the_largest_header_is_read_and_waits_for_its_last_byte(void)
{
    static uint8_t input[HTTP_PROXY_MAX] = SIGNATURE "\x21\x11\x0f\xf0" FOUR "\x04\x0f\xe1";
    struct http_proxy proxy;
    size_t used = 0;

    CHECK_INT(http_proxy_parse(bytes_of(input, sizeof(input) - 1), &proxy, &used), AUGURY_MORE);
    CHECK_INT(http_proxy_parse(bytes_of(input, sizeof(input)), &proxy, &used), 0);
    CHECK_INT(used, HTTP_PROXY_MAX);
    CHECK_INT(http_proxy_parse(bytes_of(NULL, 0), &proxy, &used), AUGURY_MORE);
}

int
main(void)
{
    TAP_RUN(a_line_names_the_client);
    TAP_RUN(a_line_that_is_not_exact_is_refused);
    TAP_RUN(bytes_name_the_client);
    TAP_RUN(paths_of_unix_sockets_name_nobody);
    TAP_RUN(bytes_that_are_not_exact_are_refused);
    TAP_RUN(the_largest_header_is_read_and_waits_for_its_last_byte);
    return tap_done();
}
