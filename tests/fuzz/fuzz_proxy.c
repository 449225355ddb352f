/* SPDX-License-Identifier: MIT */
/*
 * fuzz_proxy.c - what proxies say of their clients: the PROXY header, and the lines of Forwarded
 * and X-Forwarded-For. Properties: a header parsed whole and the same byte by byte have one
 * outcome, which longer input does not change; a client is never "none" unless the peer was.
 */
#include "augury/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_proxy(struct bytes input)
{
    struct http_proxy whole = {.has_client = false};
    struct http_proxy piece = {.has_client = false};
    size_t used = 0;
    size_t piece_used = 0;
    int piece_rc = AUGURY_MORE;

    int rc = http_proxy_parse(input, &whole, &used);
    for (size_t len = 1; len <= input.len && piece_rc == AUGURY_MORE; len++) {
        uint8_t *exact = malloc(len); /* a read behind it is seen */
        AUGURY_ASSERT(exact != NULL);
        memcpy(exact, input.data, len);
        piece_rc = http_proxy_parse(bytes_of(exact, len), &piece, &piece_used);
        free(exact);
    }
    AUGURY_ASSERT(rc == piece_rc && used == piece_used);
    AUGURY_ASSERT(rc != 0 || (used <= input.len && used <= HTTP_PROXY_MAX));
    AUGURY_ASSERT(rc != AUGURY_MORE || input.len < HTTP_PROXY_MAX);
    AUGURY_ASSERT(whole.has_client == piece.has_client && ip_equal(&whole.client, &piece.client) &&
                  whole.client_port == piece.client_port);
    AUGURY_ASSERT(!whole.has_client || !ip_is_none(&whole.client));
}

static void
check_forwarded(struct bytes input)
{
    static struct http_request request;
    struct ip_networks trusted;
    struct ip_address peer;
    const uint8_t *cut = input.len == 0 ? NULL : memchr(input.data, '\n', input.len);
    size_t first = cut == NULL ? input.len : (size_t)(cut - input.data);
    static const char *const names[] = {"X-Forwarded-For", "Forwarded"};

    int rc = ip_networks_parse("10.0.0.0/8, ::1, unix:", &trusted, NULL);
    rc |= ip_parse(bytes_of_text("10.0.0.1"), &peer);
    AUGURY_ASSERT(rc == 0);
    request.header_count = 2;
    request.headers[0].value = bytes_of(input.data, first);
    request.headers[1].value = bytes_of(input.data + first, input.len - first);
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        request.headers[0].name = request.headers[1].name = bytes_of_text(names[i]);
        struct ip_address client = http_client_behind(
            &request, i == 0 ? HTTP_X_FORWARDED_FOR : HTTP_FORWARDED, &trusted, peer);
        AUGURY_ASSERT(!ip_is_none(&client));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size > 8192 ? 8192 : size);

    check_proxy(input);
    check_forwarded(input);
    return 0;
}
