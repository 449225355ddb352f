/* SPDX-License-Identifier: MIT */
/* test_upgrade.c - the handshake of WebSocket as a table of requests; the proof of the key against
 * the example of RFC 6455 1.3. */
#include "../../../src/net/net_upgrade.h"

#include "../../tap.h"

#include <string.h>

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION_13 "Sec-WebSocket-Version: 13\r\n"
#define ASKS "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"

static const struct http_limits limits = {
    .head_bytes = 16384, .target_bytes = 8192, .headers = 100, .body_bytes = 1 << 20};

/* The status that a handshake of these fields gets. */
static unsigned
status_of(const char *line, const char *fields, const char *origins, bool is_secure)
{
    static struct http_request request;
    struct http_refusal refusal;
    struct buf head, headers;
    struct bytes key;
    size_t used = 0;
    unsigned status = 101;

    buf_init(&head, 65536);
    buf_init(&headers, 65536);
    buf_printf(&head, "%s\r\nHost: a.example:8080\r\n%s\r\n", line, fields);
    if (http_parse_head(buf_view(&head), &limits, &request, &used, &refusal) != 0) {
        status = refusal.status;
    } else if (upgrade_check(&request, origins, is_secure, &headers, &key, &refusal) != 0) {
        status = refusal.status;
        buf_put_u8(&headers, 0);
        bool tells = strstr((const char *)headers.data, "Sec-WebSocket-Version: 13\r\n") != NULL;
        status = tells == (status == 426) ? status : 0;
    }
    buf_fini(&head);
    buf_fini(&headers);
    return status;
}

static void
a_handshake_is_as_it_must_be(void)
{
    static const struct {
        const char *line, *fields;
        unsigned status;
    } rows[] = {
        {"GET / HTTP/1.1", ASKS VERSION_13 KEY, 101},
        {"GET / HTTP/1.1", "connection: UPGRADE\r\nupgrade: WebSocket\r\n" VERSION_13 KEY, 101},
        {"GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n" VERSION_13 KEY,
         101},
        {"GET / HTTP/1.1",
         "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n" VERSION_13 KEY, 101},
        {"GET / HTTP/1.1", ASKS VERSION_13 KEY "Content-Length: 0\r\n", 101},
        {"GET / HTTP/1.1", "", 426},
        {"GET / HTTP/1.1", VERSION_13 KEY, 426},
        {"GET / HTTP/1.1", "Connection: Upgrade\r\n" VERSION_13 KEY, 426},
        {"GET / HTTP/1.1", "Upgrade: websocket\r\n" VERSION_13 KEY, 426},
        {"GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n" VERSION_13 KEY, 426},
        {"GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket/13\r\n" VERSION_13 KEY, 426},
        {"GET / HTTP/1.0", ASKS VERSION_13 KEY, 426},
        {"POST / HTTP/1.1", ASKS VERSION_13 KEY, 426},
        {"HEAD / HTTP/1.1", ASKS VERSION_13 KEY, 426},
        {"GET / HTTP/1.1", ASKS KEY, 426},
        {"GET / HTTP/1.1", ASKS "Sec-WebSocket-Version: 12\r\n" KEY, 426},
        {"GET / HTTP/1.1", ASKS "Sec-WebSocket-Version: 13, 8\r\n" KEY, 426},
        {"GET / HTTP/1.1", ASKS VERSION_13 VERSION_13 KEY, 426},
        {"GET / HTTP/1.1", ASKS VERSION_13, 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 KEY KEY, 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 "Sec-WebSocket-Key: \r\n", 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n", 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ-==\r\n", 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 KEY "Content-Length: 1\r\n", 400},
        {"GET / HTTP/1.1", ASKS VERSION_13 KEY "Transfer-Encoding: chunked\r\n", 400},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        unsigned status = status_of(rows[i].line, rows[i].fields, NULL, false);
        if (status != rows[i].status) {
            printf("# row %zu: %s %s\n", i, rows[i].line, rows[i].fields);
        }
        CHECK_INT(status, rows[i].status);
    }
}

static void
pages_of_other_origins_are_refused(void)
{
    static const struct {
        const char *field, *origins;
        bool is_secure;
        unsigned status;
    } rows[] = {
        {"", NULL, false, 101},
        {"Origin: http://a.example:8080\r\n", NULL, false, 101},
        {"Origin: HTTP://A.example:8080\r\n", NULL, false, 101},
        {"Origin: https://a.example:8080\r\n", NULL, false, 101},
        {"Origin: https://a.example:8080\r\n", NULL, true, 101},
        {"Origin: http://a.example:8080\r\n", NULL, true, 403},
        {"Origin: http://a.example\r\n", NULL, false, 403},
        {"Origin: http://b.example:8080\r\n", NULL, false, 403},
        {"Origin: http://xa.example:8080\r\n", NULL, false, 403},
        {"Origin: null\r\n", NULL, false, 403},
        {"Origin: \r\n", NULL, false, 403},
        {"Origin: http://b.example\r\n", "", false, 403},
        {"Origin: http://b.example\r\n", "http://b.example", false, 101},
        {"Origin: http://b.example\r\n", "http://c.example, HTTP://B.example", false, 101},
        {"Origin: http://b.example.evil\r\n", "http://b.example", false, 403},
        {"Origin: http://b.example\r\nOrigin: http://b.example\r\n", "http://b.example", false,
         403},
        {"Origin: null\r\n", "*", false, 101},
        {"Origin: http://c.example\r\n", "http://b.example *", false, 101},
    };
    char fields[512];

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        snprintf(fields, sizeof(fields), ASKS VERSION_13 KEY "%s", rows[i].field);
        unsigned status = status_of("GET / HTTP/1.1", fields, rows[i].origins, rows[i].is_secure);
        if (status != rows[i].status) {
            printf("# row %zu: %s\n", i, rows[i].field);
        }
        CHECK_INT(status, rows[i].status);
    }
}

static void
the_proof_is_that_of_the_rfc(void)
{
    char accept[UPGRADE_ACCEPT_BYTES + 1] = {0};

    upgrade_accept_key(bytes_of_text("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    CHECK_TEXT(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int
main(void)
{
    TAP_RUN(a_handshake_is_as_it_must_be);
    TAP_RUN(pages_of_other_origins_are_refused);
    TAP_RUN(the_proof_is_that_of_the_rfc);
    return tap_done();
}
