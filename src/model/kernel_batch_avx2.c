/* SPDX-License-Identifier: MIT */
/*
 * kernel_batch_avx2.c - blocks of 256 rows with AVX2: ranks by two searches of sixteen, sums by
 * lookups in registers as long as a table has 64 places. Trees: batch_body.h.
 */
#include <immintrin.h>
#include <math.h>

#include "lanes_plain.h"

#include "batch_sums.h"
#include "batch_width.h"

enum { ROWS_MIN = 48 /* measured: from here on the other kernels are slower */ };

/* ---- ranks ----------------------------------------------------------------------------------- */

static inline unsigned
count_f32(__m256 low, __m256 high, __m256 x)
{
    int a = _mm256_movemask_ps(_mm256_cmp_ps(x, low, _CMP_GE_OQ));
    int b = _mm256_movemask_ps(_mm256_cmp_ps(x, high, _CMP_GE_OQ));

    return (unsigned)__builtin_popcount((unsigned)(a | b << 8));
}

static inline float
rule_apply(float x, uint8_t rule)
{
    if (rule == NEUTRAL_NAN_IS_ZERO) {
        return isnan(x) ? 0.0f : x;
    }
    return rule == NEUTRAL_ZERO_IS_MISSING && fabsf(x) <= (float)NEUTRAL_ZERO ? NAN : x;
}

static bool
column_rank(const struct rank_column *column, const float *pivots, const float *thresholds,
            const float *values, size_t stride, size_t row_count, uint8_t *out_ranks)
{
    __m256 low = _mm256_loadu_ps(pivots);
    __m256 high = _mm256_loadu_ps(pivots + 8);
    bool has_missing = false;

    for (size_t r = 0; r < row_count; r++) {
        float value = rule_apply(values[r * stride], column->rule);
        __m256 x = _mm256_set1_ps(value);
        unsigned rank = RANK_SEGMENT * count_f32(low, high, x);
        const float *segment = thresholds + rank;
        rank += count_f32(_mm256_loadu_ps(segment), _mm256_loadu_ps(segment + 8), x);
        out_ranks[r] = (uint8_t)(isnan(value) ? RANK_MISSING : rank);
        has_missing |= isnan(value);
    }
    return has_missing;
}

static bool
quantise(const struct batch_view *view, const void *rows, size_t row_count, size_t block_rows,
         void *room, uint8_t *out_ranks)
{
    const float *thresholds = blob_section(view->model, BLOB_RANK_THRESHOLDS);
    bool has_missing = false;

    if (view->model->number == MODEL_FLOAT64) {
        return batch_quantise_plain(view, rows, row_count, block_rows, room, out_ranks);
    }
    for (uint32_t c = 0; c < view->header->rank_number_columns; c++) {
        const struct rank_column *column = &view->columns[c];
        has_missing |=
            column_rank(column, thresholds + (size_t)c * RANK_SEGMENT, thresholds + column->first,
                        (const float *)rows + column->feature, view->model->feature_count,
                        row_count, out_ranks + c * block_rows);
    }
    return has_missing;
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* The indices as each quarter of a table of 64 wants them: bit 7 is set where it is another's. */
struct quarters {
    __m256i index[4];
};

static inline struct quarters
quarters_of(__m256i index)
{
    const __m256i other = _mm256_set1_epi8(0x70);
    struct quarters quarters;

    for (int i = 0; i < 4; i++) {
        __m256i in_quarter = _mm256_xor_si256(index, _mm256_set1_epi8((char)(16 * i)));
        quarters.index[i] = _mm256_add_epi8(in_quarter, other);
    }
    return quarters;
}

static inline __m256i
quarter_bytes(const uint8_t *table, __m256i index)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)table);

    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), index);
}

/* One byte of each of 32 rows' leaves, of a table of up to 64; count quarters are there. */
static inline __m256i
leaf_bytes(const uint8_t *table, const struct quarters *quarters, unsigned count)
{
    __m256i bytes = quarter_bytes(table, quarters->index[0]);

    if (count > 1) {
        bytes = _mm256_or_si256(bytes, quarter_bytes(table + 16, quarters->index[1]));
    }
    if (count > 2) {
        __m256i third = quarter_bytes(table + 32, quarters->index[2]);
        __m256i fourth = quarter_bytes(table + 48, quarters->index[3]);
        bytes = _mm256_or_si256(bytes, _mm256_or_si256(third, fourth));
    }
    return bytes;
}

static inline void
sum_f32(const struct batch_item *item, uint32_t value, __m256i index, __m256 *sums)
{
    struct quarters quarters = quarters_of(index);
    unsigned count = 1u << (item->slot_bits - BATCH_SLOT_BITS_MIN);
    size_t slots = (size_t)1 << item->slot_bits;
    const uint8_t *table = item->tables + value * sizeof(float) * slots;
    __m256i a = leaf_bytes(table, &quarters, count);
    __m256i b = leaf_bytes(table + slots, &quarters, count);
    __m256i c = leaf_bytes(table + 2 * slots, &quarters, count);
    __m256i d = leaf_bytes(table + 3 * slots, &quarters, count);
    __m256i ab_low = _mm256_unpacklo_epi8(a, b);
    __m256i ab_high = _mm256_unpackhi_epi8(a, b);
    __m256i cd_low = _mm256_unpacklo_epi8(c, d);
    __m256i cd_high = _mm256_unpackhi_epi8(c, d);

    sums[0] = _mm256_add_ps(sums[0], _mm256_castsi256_ps(_mm256_unpacklo_epi16(ab_low, cd_low)));
    sums[1] = _mm256_add_ps(sums[1], _mm256_castsi256_ps(_mm256_unpackhi_epi16(ab_low, cd_low)));
    sums[2] = _mm256_add_ps(sums[2], _mm256_castsi256_ps(_mm256_unpacklo_epi16(ab_high, cd_high)));
    sums[3] = _mm256_add_ps(sums[3], _mm256_castsi256_ps(_mm256_unpackhi_epi16(ab_high, cd_high)));
}

static void
item_add_small(const struct batch_item *item, uint32_t value, const uint8_t *numbers,
               size_t block_rows, float *sums)
{
    for (size_t at = 0; at < block_rows; at += 32) {
        __m256 here[4];
        for (unsigned i = 0; i < 4; i++) {
            here[i] = _mm256_load_ps(sums + at + 8 * i);
        }
        sum_f32(item, value, _mm256_load_si256((const __m256i *)(numbers + at)), here);
        for (unsigned i = 0; i < 4; i++) {
            _mm256_store_ps(sums + at + 8 * i, here[i]);
        }
    }
}

/* Row by row, but the sums stand in the order of item_add_small(). */
static void
item_add_large(const struct batch_item *item, uint32_t value, const uint8_t *numbers,
               size_t block_rows, float *sums)
{
    float table[SUM_SLOTS_MAX];
    size_t slots = (size_t)1 << item->slot_bits;

    table_join_f32(item->tables + value * sizeof(float) * slots, slots, table);
    for (size_t at = 0; at < block_rows; at += 16) {
        float *to = sums + (at & ~(size_t)31) + (at & 16) / 4;
        for (size_t i = 0; i < 16; i++) {
            to[i % 4 + i / 4 * 8] += table[numbers[at + i]];
        }
    }
}

static void
sums_add(enum model_number number, const struct batch_item *items, size_t item_count,
         uint32_t value, const uint8_t *numbers, size_t block_rows, void *sums)
{
    for (size_t i = 0; i < item_count; i++, numbers += block_rows) {
        if (number == MODEL_FLOAT64) {
            item_add_f64(&items[i], value, numbers, block_rows, sums);
        } else if (items[i].slot_bits <= 6) {
            item_add_small(&items[i], value, numbers, block_rows, sums);
        } else {
            item_add_large(&items[i], value, numbers, block_rows, sums);
        }
    }
}

static const struct batch_isa isa = {
    .widths = {&batch_width_avx2},
    .quantise = quantise,
    .sums_add = sums_add,
    .rows_min = ROWS_MIN,
    .sum_bytes = {32, 16},
};

static size_t
batch_avx2_scratch_bytes(const struct model *model, size_t row_count)
{
    return batch_scratch_bytes(&isa, model, row_count);
}

static void
batch_avx2_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   void *out_margins)
{
    batch_margins(&isa, model, rows, row_count, scratch, out_margins);
}

const struct kernel_ops kernel_batch_avx2 = {
    .name = "batch-avx2",
    .needs = KERNEL_CPU_AVX2,
    .rows_min = ROWS_MIN,
    .can_run = batch_can_run,
    .scratch_bytes = batch_avx2_scratch_bytes,
    .margins = batch_avx2_margins,
};
