/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http_chunks.c - chunked bodies. Properties: whole and in pieces (their sizes taken from the
 * first input byte) have one outcome and one body; neither the body nor what surrounds it passes
 * its limit.
 */
#include "augury/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits limits = {
    .head_bytes = 512, .target_bytes = 512, .headers = 16, .body_bytes = 1024};

struct outcome {
    int rc;
    size_t used;
    struct http_refusal refusal;
    struct buf body;
};

static void
feed(struct bytes input, size_t piece, struct outcome *out)
{
    struct http_chunks chunks = {0};

    out->rc = AUGURY_MORE;
    out->used = 0;
    while (out->rc == AUGURY_MORE && out->used < input.len) {
        size_t left = input.len - out->used;
        size_t n = left < piece ? left : piece;
        size_t used = 0;
        out->rc = http_chunks_feed(&chunks, bytes_of(input.data + out->used, n), &limits,
                                   &out->body, &used, &out->refusal);
        AUGURY_ASSERT(out->rc != AUGURY_MORE || used == n);
        out->used += used;
    }
    AUGURY_ASSERT(chunks.total == out->body.len && chunks.total <= limits.body_bytes);
    AUGURY_ASSERT(chunks.overhead_bytes <= limits.head_bytes + 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = {.rc = 0}, pieces = {.rc = 0};

    if (size < 2) {
        return 0;
    }
    struct bytes input = bytes_of(data + 1, size - 1);
    buf_init(&whole.body, 1 << 20);
    buf_init(&pieces.body, 1 << 20);
    feed(input, input.len, &whole);
    feed(input, 1 + (data[0] & 15), &pieces);
    AUGURY_ASSERT(whole.rc == pieces.rc);
    AUGURY_ASSERT(bytes_equal(buf_view(&whole.body), buf_view(&pieces.body)));
    if (whole.rc == AUGURY_ERR_INVALID) {
        AUGURY_ASSERT(whole.refusal.status == pieces.refusal.status);
        AUGURY_ASSERT(whole.refusal.offset == pieces.refusal.offset);
    } else {
        AUGURY_ASSERT(whole.used == pieces.used);
    }
    buf_fini(&whole.body);
    buf_fini(&pieces.body);
    return 0;
}
