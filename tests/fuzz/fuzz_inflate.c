/* SPDX-License-Identifier: MIT */
/*
 * fuzz_inflate.c - compressed bodies; the first byte chooses gzip or zlib. Properties: whatever
 * comes in, no more comes out than the buffer takes, and a refusal has one of three codes; what was
 * compressed here becomes again what it was.
 */
#include "augury/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 16 };

static void
check_bound(struct wire_inflater *inflater, enum wire_coding coding, struct bytes input)
{
    struct buf out;

    buf_init(&out, OUT_MAX);
    buf_put_text(&out, "before");
    int rc = wire_inflate(inflater, coding, input, &out);
    AUGURY_ASSERT(rc == 0 || rc == AUGURY_ERR_INVALID || rc == AUGURY_ERR_LIMIT);
    AUGURY_ASSERT(out.len <= OUT_MAX && memcmp(out.data, "before", 6) == 0);
    AUGURY_ASSERT(rc != 0 || buf_finish(&out) == 0);
    buf_fini(&out);
}

static void
check_round(struct wire_inflater *inflater, struct bytes content)
{
    struct wire_gzip *gzip = NULL;
    struct buf packed, out;

    int rc = wire_gzip_new(&gzip);
    AUGURY_ASSERT(rc == 0);
    buf_init(&packed, 2 * OUT_MAX);
    buf_init(&out, OUT_MAX);
    rc = wire_gzip_put(gzip, WIRE_EFFORT_USUAL, content, &packed);
    AUGURY_ASSERT(rc == 0);
    rc = wire_inflate(inflater, WIRE_GZIP, buf_view(&packed), &out);
    AUGURY_ASSERT(rc == 0 && bytes_equal(buf_view(&out), content));
    buf_fini(&out);
    buf_fini(&packed);
    wire_gzip_free(&gzip);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_inflater *inflater = NULL;

    if (size < 1 || size > OUT_MAX) {
        return 0;
    }
    struct bytes input = bytes_of(data + 1, size - 1);
    int rc = wire_inflater_new(&inflater);
    AUGURY_ASSERT(rc == 0);
    check_bound(inflater, (data[0] & 1) != 0 ? WIRE_ZLIB : WIRE_GZIP, input);
    check_round(inflater, input);
    wire_inflater_free(&inflater);
    return 0;
}
