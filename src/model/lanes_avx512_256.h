/* SPDX-License-Identifier: MIT */
/*
 * lanes_avx512_256.h - vectors of 256 bits with the instructions of AVX-512: for smaller blocks.
 */
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(32), may_alias));

/* The transposition below takes the highest plane first. */
enum { LANES_FLIP = 7 };

static inline lanes
lanes_select(lanes mask, lanes a, lanes b)
{
    return (lanes)_mm256_ternarylogic_epi64((__m256i)mask, (__m256i)a, (__m256i)b, 0xca);
}

static inline lanes
lanes_or_and(lanes a, lanes b, lanes c)
{
    return (lanes)_mm256_ternarylogic_epi64((__m256i)a, (__m256i)b, (__m256i)c, 0xf8);
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

/* The matrix times each unit vector: its columns. */
static inline lanes
lanes_transpose(lanes matrices)
{
    const __m256i units = _mm256_set1_epi64x((long long)0x8040201008040201);

    return (lanes)_mm256_gf2p8affine_epi64_epi8(units, (__m256i)matrices, 0);
}

static inline void
lanes_of_ranks(const uint8_t *ranks, lanes *out_planes)
{
    uint64_t words[8][sizeof(lanes) / 8];

    for (unsigned i = 0; i < sizeof(lanes) / 8; i++) {
        __m512i bytes = _mm512_load_si512(ranks + 64 * i);
        for (unsigned plane = 8; plane-- > 0;) {
            words[plane][i] = _mm512_movepi8_mask(bytes);
            bytes = _mm512_add_epi8(bytes, bytes);
        }
    }
    memcpy(out_planes, words, sizeof(words));
}
