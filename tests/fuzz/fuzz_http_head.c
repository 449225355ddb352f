/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http_head.c - request heads. Properties: a head parsed whole and the same head fed byte by
 * byte, as a connection does, have one outcome; all views lie within the input; decoded segments
 * are no longer than raw ones.
 */
#include "augury/http.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits limits = {
    .head_bytes = 2048, .target_bytes = 512, .headers = 16, .body_bytes = 65536};

struct outcome {
    int rc;
    size_t used;
    struct http_refusal refusal;
    struct http_request request;
};

static void
parse(struct bytes input, struct outcome *out)
{
    out->rc = http_parse_head(input, &limits, &out->request, &out->used, &out->refusal);
}

static void
check_within(struct bytes input, struct bytes view)
{
    AUGURY_ASSERT(view.data == NULL || view.len == 0 ||
                  (view.data >= input.data && view.data + view.len <= input.data + input.len));
}

static void
check_request(struct bytes input, const struct http_request *request)
{
    uint8_t decoded[512];
    size_t len = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        check_within(input, request->headers[i].name);
        check_within(input, request->headers[i].value);
    }
    check_within(input, request->query);
    check_within(input, request->host);
    AUGURY_ASSERT(request->minor == 0 || request->host.len > 0);
    AUGURY_ASSERT(request->path.len > 0 && request->path.len <= sizeof(decoded));
    if (http_path_decode(request->path, decoded, &len) == 0) {
        AUGURY_ASSERT(len <= request->path.len && memchr(decoded, '\0', len) == NULL);
    }
    struct bytes value;
    if (http_query_find(request->query, "fields", &value) == 0) {
        check_within(input, value);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, piece;
    struct bytes input = bytes_of(data, size > 8192 ? 8192 : size);

    parse(input, &whole);
    piece.rc = AUGURY_MORE;
    for (size_t len = 1; len <= input.len && piece.rc == AUGURY_MORE; len++) {
        struct bytes part = bytes_of(data, len);
        bool may_end = len == 1 || http_head_may_end(part, len - 1, &limits);
        parse(part, &piece);
        AUGURY_ASSERT(may_end || piece.rc == AUGURY_MORE);
    }
    AUGURY_ASSERT(whole.rc == piece.rc || input.len == 0);
    if (whole.rc == 0) {
        AUGURY_ASSERT(whole.used == piece.used && whole.used <= limits.head_bytes);
        AUGURY_ASSERT(whole.request.flags == piece.request.flags);
        AUGURY_ASSERT(whole.request.body_bytes <= limits.body_bytes);
        check_request(input, &whole.request);
    } else if (whole.rc == AUGURY_ERR_INVALID) {
        AUGURY_ASSERT(whole.refusal.status == piece.refusal.status);
        AUGURY_ASSERT(whole.refusal.offset == piece.refusal.offset);
        AUGURY_ASSERT(whole.refusal.offset <= input.len);
    }
    return 0;
}
