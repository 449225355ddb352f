/* SPDX-License-Identifier: MIT */
/*
 * inflate.c - gzip members (RFC 1952) and zlib streams (RFC 1950) to the bytes that they were made
 * of, by libdeflate. The whole input is there, so nothing is kept between pieces; the room for the
 * output begins small and doubles, which costs as much again at worst, and ends at the maximum of
 * the buffer: what a small input claims to become, or would, takes no more memory than that.
 */
#include <libdeflate.h>

#include "augury/wire.h"

enum { ROOM_FIRST_BYTES = 4096, ROOM_TIMES = 4 };

int
wire_inflater_new(struct wire_inflater **out_inflater)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();

    if (decompressor == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    *out_inflater = (struct wire_inflater *)decompressor;
    return 0;
}

void
wire_inflater_free(struct wire_inflater **inflater)
{
    libdeflate_free_decompressor((struct libdeflate_decompressor *)*inflater);
    *inflater = NULL;
}

static int
code_of(enum libdeflate_result result)
{
    switch (result) {
    case LIBDEFLATE_SUCCESS: return 0;
    case LIBDEFLATE_INSUFFICIENT_SPACE: return AUGURY_MORE;
    default: return AUGURY_ERR_INVALID;
    }
}

/* The member or stream that input begins with, into a room of so many bytes. AUGURY_MORE: that is
 * too few. */
static int
inflate_one(struct wire_inflater *inflater, enum wire_coding coding, struct bytes *input,
            size_t room_bytes, struct buf *out)
{
    struct libdeflate_decompressor *decompressor = (struct libdeflate_decompressor *)inflater;
    uint8_t nothing = 0; /* an empty content has to be written somewhere too */
    uint8_t *room = room_bytes > 0 ? buf_reserve(out, room_bytes) : &nothing;
    size_t used = 0;
    size_t len = 0;

    if (room == NULL) {
        return buf_finish(out);
    }
    int rc = code_of(coding == WIRE_GZIP
                         ? libdeflate_gzip_decompress_ex(decompressor, input->data, input->len,
                                                         room, room_bytes, &used, &len)
                         : libdeflate_zlib_decompress_ex(decompressor, input->data, input->len,
                                                         room, room_bytes, &used, &len));
    if (rc == 0) {
        buf_commit(out, len);
        *input = bytes_of(input->data + used, input->len - used);
    }
    return rc;
}

int
wire_inflate(struct wire_inflater *inflater, enum wire_coding coding, struct bytes input,
             struct buf *out)
{
    size_t wanted = input.len < ROOM_FIRST_BYTES ? ROOM_FIRST_BYTES : input.len * ROOM_TIMES;
    int rc;

    do {
        size_t left = out->max - out->len;
        rc = inflate_one(inflater, coding, &input, wanted < left ? wanted : left, out);
        if (rc == AUGURY_MORE && wanted >= left) {
            return AUGURY_ERR_LIMIT;
        }
        wanted *= rc == AUGURY_MORE ? 2 : 1;
    } while (rc == AUGURY_MORE || (rc == 0 && coding == WIRE_GZIP && input.len > 0));
    return rc == 0 && input.len > 0 ? AUGURY_ERR_INVALID : rc;
}
