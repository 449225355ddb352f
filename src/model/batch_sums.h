/* SPDX-License-Identifier: MIT */
/*
 * batch_sums.h - sums of leaves without a lookup in registers: a tree's table is put together from
 * its planes of bytes, then read row by row. Included after a lanes_*.h of 128 bits.
 */
#pragma once

#include "batch.h"

enum { SUM_SLOTS_MAX = 256 };

/* A table of float32 from its four planes. */
static inline void
table_join_f32(const uint8_t *planes, size_t slots, float *out_table)
{
    for (size_t at = 0; at < slots; at += 16) {
        lanes v[4];
        for (unsigned i = 0; i < 4; i++) {
            memcpy(&v[i], planes + i * slots + at, sizeof(v[i]));
        }
        lanes ab_low = lanes_zip8_low(v[0], v[1]);
        lanes ab_high = lanes_zip8_high(v[0], v[1]);
        lanes cd_low = lanes_zip8_low(v[2], v[3]);
        lanes cd_high = lanes_zip8_high(v[2], v[3]);
        v[0] = lanes_zip16_low(ab_low, cd_low);
        v[1] = lanes_zip16_high(ab_low, cd_low);
        v[2] = lanes_zip16_low(ab_high, cd_high);
        v[3] = lanes_zip16_high(ab_high, cd_high);
        memcpy(out_table + at, v, sizeof(v));
    }
}

/* A table of float64 from its eight planes. */
static inline void
table_join_f64(const uint8_t *planes, size_t slots, double *out_table)
{
    for (size_t at = 0; at < slots; at += 16) {
        lanes pairs[8];
        lanes fours[8];
        for (unsigned i = 0; i < 4; i++) {
            lanes v[2];
            memcpy(&v[0], planes + (2 * i) * slots + at, sizeof(v[0]));
            memcpy(&v[1], planes + (2 * i + 1) * slots + at, sizeof(v[1]));
            pairs[i] = lanes_zip8_low(v[0], v[1]);
            pairs[4 + i] = lanes_zip8_high(v[0], v[1]);
        }
        for (unsigned i = 0; i < 4; i++) {
            fours[2 * i] = lanes_zip16_low(pairs[2 * i], pairs[2 * i + 1]);
            fours[2 * i + 1] = lanes_zip16_high(pairs[2 * i], pairs[2 * i + 1]);
        }
        for (unsigned i = 0; i < 4; i++) {
            unsigned from = (i / 2) * 4 + i % 2;
            lanes low = lanes_zip32_low(fours[from], fours[from + 2]);
            lanes high = lanes_zip32_high(fours[from], fours[from + 2]);
            memcpy(out_table + at + 4 * i, &low, sizeof(low));
            memcpy(out_table + at + 4 * i + 2, &high, sizeof(high));
        }
    }
}

static inline void
item_add_f32(const struct batch_item *item, uint32_t value, const uint8_t *numbers,
             size_t block_rows, float *sums)
{
    float table[SUM_SLOTS_MAX];
    size_t slots = (size_t)1 << item->slot_bits;

    table_join_f32(item->tables + value * sizeof(float) * slots, slots, table);
    for (size_t r = 0; r < block_rows; r++) {
        sums[r] += table[numbers[r]];
    }
}

static inline void
item_add_f64(const struct batch_item *item, uint32_t value, const uint8_t *numbers,
             size_t block_rows, double *sums)
{
    double table[SUM_SLOTS_MAX];
    size_t slots = (size_t)1 << item->slot_bits;

    table_join_f64(item->tables + value * sizeof(double) * slots, slots, table);
    for (size_t r = 0; r < block_rows; r++) {
        sums[r] += table[numbers[r]];
    }
}
