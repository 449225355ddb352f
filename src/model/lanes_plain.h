/* SPDX-License-Identifier: MIT */
/*
 * lanes_plain.h - vectors of 128 bits for batch_body.h in the compiler's own terms: what every
 * processor with such registers has (SSE2, NEON).
 */
#pragma once

#include <stdint.h>
#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(16), may_alias));
typedef uint8_t lanes_8 __attribute__((vector_size(16), may_alias));
typedef uint16_t lanes_16 __attribute__((vector_size(16), may_alias));
typedef uint32_t lanes_32 __attribute__((vector_size(16), may_alias));

#include "lanes_swap.h"

static inline lanes
lanes_select(lanes mask, lanes a, lanes b)
{
    return (mask & a) | (~mask & b);
}

static inline lanes
lanes_or_and(lanes a, lanes b, lanes c)
{
    return a | (b & c);
}

static inline lanes
lanes_zip8_low(lanes a, lanes b)
{
    return (lanes)__builtin_shufflevector((lanes_8)a, (lanes_8)b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                          5, 21, 6, 22, 7, 23);
}

static inline lanes
lanes_zip8_high(lanes a, lanes b)
{
    return (lanes)__builtin_shufflevector((lanes_8)a, (lanes_8)b, 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                          28, 13, 29, 14, 30, 15, 31);
}

static inline lanes
lanes_zip16_low(lanes a, lanes b)
{
    return (lanes)__builtin_shufflevector((lanes_16)a, (lanes_16)b, 0, 8, 1, 9, 2, 10, 3, 11);
}

static inline lanes
lanes_zip16_high(lanes a, lanes b)
{
    return (lanes)__builtin_shufflevector((lanes_16)a, (lanes_16)b, 4, 12, 5, 13, 6, 14, 7, 15);
}

static inline lanes
lanes_zip32_low(lanes a, lanes b)
{
    return (lanes)__builtin_shufflevector((lanes_32)a, (lanes_32)b, 0, 4, 1, 5);
}

static inline lanes
lanes_zip32_high(lanes a, lanes b)
{
    return (lanes)__builtin_shufflevector((lanes_32)a, (lanes_32)b, 2, 6, 3, 7);
}

/* Sixteen rows at a time: transposed, byte p of each half is a byte of plane p. */
static inline void
lanes_of_ranks(const uint8_t *ranks, lanes *out_planes)
{
    uint8_t *bytes = (uint8_t *)out_planes;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t turned[16];
        lanes v;
        memcpy(&v, ranks + 16 * i, sizeof(v));
        v = lanes_transpose(v);
        memcpy(turned, &v, sizeof(v));
        for (unsigned plane = 0; plane < 8; plane++) {
            bytes[plane * 16 + 2 * i] = turned[plane];
            bytes[plane * 16 + 2 * i + 1] = turned[8 + plane];
        }
    }
}
