/* SPDX-License-Identifier: MIT */
/*
 * lanes_avx2.h - vectors of 256 bits for batch_body.h: AVX2.
 */
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(32), may_alias));

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
    return (lanes)_mm256_unpacklo_epi8((__m256i)a, (__m256i)b);
}

static inline lanes
lanes_zip8_high(lanes a, lanes b)
{
    return (lanes)_mm256_unpackhi_epi8((__m256i)a, (__m256i)b);
}

static inline lanes
lanes_zip16_low(lanes a, lanes b)
{
    return (lanes)_mm256_unpacklo_epi16((__m256i)a, (__m256i)b);
}

static inline lanes
lanes_zip16_high(lanes a, lanes b)
{
    return (lanes)_mm256_unpackhi_epi16((__m256i)a, (__m256i)b);
}

static inline lanes
lanes_zip32_low(lanes a, lanes b)
{
    return (lanes)_mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
}

static inline lanes
lanes_zip32_high(lanes a, lanes b)
{
    return (lanes)_mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
}

static inline void
lanes_of_ranks(const uint8_t *ranks, lanes *out_planes)
{
    int words[8][8];

    for (unsigned i = 0; i < 8; i++) {
        __m256i bytes = _mm256_load_si256((const __m256i *)(ranks + 32 * i));
        for (unsigned plane = 8; plane-- > 0;) {
            words[plane][i] = _mm256_movemask_epi8(bytes);
            bytes = _mm256_add_epi8(bytes, bytes);
        }
    }
    memcpy(out_planes, words, sizeof(words));
}
