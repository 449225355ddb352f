/* SPDX-License-Identifier: MIT */
/*
 * kernel_batch_neon.c - blocks of 128 rows with NEON: trees are batch_plain.c's, which the compiler
 * turns into NEON, and sums are lookups in registers, 64 places at a time.
 */
#include <arm_neon.h>

#include "lanes_plain.h"

#include "batch_sums.h"
#include "batch_width.h"

enum { ROWS_MIN = 48 /* fewer are the portable kernels' */ };

/* One byte of each of 16 rows' leaves. A lookup past a table's 64 gives 0, or leaves what was found
 * before. */
static inline uint8x16_t
leaf_bytes(const uint8_t *table, unsigned slot_bits, uint8x16_t index)
{
    uint8x16_t bytes;

    if (slot_bits == 4) {
        return vqtbl1q_u8(vld1q_u8(table), index);
    }
    if (slot_bits == 5) {
        return vqtbl2q_u8(vld1q_u8_x2(table), index);
    }
    bytes = vqtbl4q_u8(vld1q_u8_x4(table), index);
    for (unsigned at = 64; at < 1u << slot_bits; at += 64) {
        index = vsubq_u8(index, vdupq_n_u8(64));
        bytes = vqtbx4q_u8(bytes, vld1q_u8_x4(table + at), index);
    }
    return bytes;
}

static inline void
sum_f32(const uint8_t *table, unsigned slot_bits, uint8x16_t index, float *sums)
{
    size_t slots = (size_t)1 << slot_bits;
    uint8x16_t a = leaf_bytes(table, slot_bits, index);
    uint8x16_t b = leaf_bytes(table + slots, slot_bits, index);
    uint8x16_t c = leaf_bytes(table + 2 * slots, slot_bits, index);
    uint8x16_t d = leaf_bytes(table + 3 * slots, slot_bits, index);
    uint16x8x2_t ab = {
        {vreinterpretq_u16_u8(vzip1q_u8(a, b)), vreinterpretq_u16_u8(vzip2q_u8(a, b))}};
    uint16x8x2_t cd = {
        {vreinterpretq_u16_u8(vzip1q_u8(c, d)), vreinterpretq_u16_u8(vzip2q_u8(c, d))}};

    for (unsigned i = 0; i < 2; i++) {
        float32x4_t low = vreinterpretq_f32_u16(vzip1q_u16(ab.val[i], cd.val[i]));
        float32x4_t high = vreinterpretq_f32_u16(vzip2q_u16(ab.val[i], cd.val[i]));
        vst1q_f32(sums + 8 * i, vaddq_f32(vld1q_f32(sums + 8 * i), low));
        vst1q_f32(sums + 8 * i + 4, vaddq_f32(vld1q_f32(sums + 8 * i + 4), high));
    }
}

static void
item_add(const struct batch_item *item, uint32_t value, const uint8_t *numbers, size_t block_rows,
         float *sums)
{
    size_t slots = (size_t)1 << item->slot_bits;

    for (size_t at = 0; at < block_rows; at += 16) {
        sum_f32(item->tables + value * sizeof(float) * slots, item->slot_bits,
                vld1q_u8(numbers + at), sums + at);
    }
}

static void
sums_add(enum model_number number, const struct batch_item *items, size_t item_count,
         uint32_t value, const uint8_t *numbers, size_t block_rows, void *sums)
{
    for (size_t i = 0; i < item_count; i++, numbers += block_rows) {
        if (number == MODEL_FLOAT32) {
            item_add(&items[i], value, numbers, block_rows, sums);
        } else {
            item_add_f64(&items[i], value, numbers, block_rows, sums);
        }
    }
}

static const struct batch_isa isa = {
    .widths = {&batch_width_plain},
    .quantise = batch_quantise_plain,
    .sums_add = sums_add,
    .rows_min = ROWS_MIN,
    .sum_bytes = {16, 16},
};

static size_t
batch_neon_scratch_bytes(const struct model *model, size_t row_count)
{
    return batch_scratch_bytes(&isa, model, row_count);
}

static void
batch_neon_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   void *out_margins)
{
    batch_margins(&isa, model, rows, row_count, scratch, out_margins);
}

const struct kernel_ops kernel_batch_neon = {
    .name = "batch-neon",
    .needs = KERNEL_CPU_NEON,
    .rows_min = ROWS_MIN,
    .can_run = batch_can_run,
    .scratch_bytes = batch_neon_scratch_bytes,
    .margins = batch_neon_margins,
};
