/* SPDX-License-Identifier: MIT */
/*
 * protobuf.h - the wire format of protocol buffers, read field by field out of bytes that stay
 * where they are. Every length is held against what remains; nothing is copied, nothing recurses:
 * a message inside a message is another struct protobuf.
 * Source: protobuf.dev/programming-guides/encoding.
 */
#pragma once

#include "augury/base.h"

/* Groups (3 and 4) are refused: nothing has written them for long. */
enum protobuf_wire {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2,
    PROTOBUF_FIXED32 = 5
};

/* What of a message has not been read yet. */
struct protobuf {
    struct bytes rest;
};

struct protobuf_field {
    uint32_t number; /* from 1 on */
    enum protobuf_wire wire;
    uint64_t value;     /* of the numbers; fixed ones as the bits of a little-endian number */
    struct bytes bytes; /* of PROTOBUF_BYTES */
};

static inline struct protobuf
protobuf_of(struct bytes message)
{
    return (struct protobuf){.rest = message};
}

/* The next field: 0, AUGURY_END, or AUGURY_ERR_INVALID when the bytes are no message. */
AUGURY_MUST_USE int protobuf_next(struct protobuf *message, struct protobuf_field *out_field);

/* Repeated numbers stand one a field, or all of them in the bytes of one (packed). `wire` is that
 * of one number. How many a field holds; AUGURY_ERR_INVALID when it is of another kind. */
AUGURY_MUST_USE int protobuf_count(const struct protobuf_field *field, enum protobuf_wire wire,
                                   size_t *out_count);
/* Takes the next number of a field that protobuf_count() has passed: *rest begins as its bytes. */
uint64_t protobuf_take(const struct protobuf_field *field, enum protobuf_wire wire,
                       struct bytes *rest);

float protobuf_f32(uint64_t bits);
double protobuf_f64(uint64_t bits);
