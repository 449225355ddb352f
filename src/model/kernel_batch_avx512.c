/* SPDX-License-Identifier: MIT */
/*
 * kernel_batch_avx512.c - blocks of up to 512 rows with AVX-512 (F, BW, DQ, VL, VBMI) and GFNI:
 * ranks, and sums of leaves. Trees: batch_body.h.
 * float32 ranks: sixteen columns of rows are transposed, then sixteen values at a time go through a
 * binary search whose thresholds all stand in registers. float64: two searches of sixteen a value.
 */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "batch.h"
#include "batch_width.h"

enum {
    TILE = 16,     /* columns and rows of a transposition */
    ROWS_MIN = 64, /* measured: from here on the row kernel is slower */
};

/* ---- ranks of float32 ------------------------------------------------------------------------ */

/* t[i]: rows 2i and 2i + 1 in turn, and so on by twos and fours: a 16 × 16 transposition. */
static inline void
tile_transpose(__m512 *r)
{
    __m512 t[TILE];

    for (unsigned i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (unsigned i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(t[4 * i]);
        __m512d b = _mm512_castps_pd(t[4 * i + 1]);
        __m512d c = _mm512_castps_pd(t[4 * i + 2]);
        __m512d d = _mm512_castps_pd(t[4 * i + 3]);
        r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (unsigned i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (unsigned i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Features first to first + 15 of the rows, feature by feature: out[feature × block_rows + row]. */
static void
strip_transpose(const float *rows, size_t row_count, uint32_t feature_count, uint32_t first,
                size_t block_rows, float *out)
{
    uint32_t left = feature_count - first;
    __mmask16 there = (__mmask16)(left >= TILE ? 0xffffu : (1u << left) - 1);
    __m512 tile[TILE];

    for (size_t at = 0; at < row_count; at += TILE) {
        for (size_t i = 0; i < TILE; i++) {
            const float *row = rows + (at + i) * feature_count + first;
            tile[i] = at + i < row_count ? _mm512_maskz_loadu_ps(there, row) : _mm512_setzero_ps();
        }
        tile_transpose(tile);
        for (size_t i = 0; i < TILE && i < left; i++) {
            _mm512_store_ps(out + i * block_rows + at, tile[i]);
        }
    }
}

/* The thresholds of one column, by the level of the search that compares with them. Level n has
 * 2^n of them: of all 255 places each whose number's lowest set bit is bit 7 - n. */
struct search {
    __m512 level_0;
    __m512 level_1, level_2, level_3, level_4;
    __m512 level_5[2];
    __m512 level_6[4];
    __m512 level_7[8];
};

static inline __m512
evens(__m512 a, __m512 b)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);

    return _mm512_permutex2var_ps(a, even, b);
}

static inline __m512
odds(__m512 a, __m512 b)
{
    const __m512i odd =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);

    return _mm512_permutex2var_ps(a, odd, b);
}

/* Thresholds past the last are NaN, which no number is at least. */
static inline void
search_init(struct search *search, const float *thresholds, uint32_t count)
{
    __m512 rest[16];

    for (unsigned i = 0; i < 16; i++) {
        bool is_there = i * RANK_SEGMENT <= count;
        rest[i] = is_there ? _mm512_loadu_ps(thresholds + i * RANK_SEGMENT) : _mm512_set1_ps(NAN);
    }
    for (unsigned i = 0; i < 8; i++) {
        search->level_7[i] = evens(rest[2 * i], rest[2 * i + 1]);
        rest[i] = odds(rest[2 * i], rest[2 * i + 1]);
    }
    for (unsigned i = 0; i < 4; i++) {
        search->level_6[i] = evens(rest[2 * i], rest[2 * i + 1]);
        rest[i] = odds(rest[2 * i], rest[2 * i + 1]);
    }
    for (unsigned i = 0; i < 2; i++) {
        search->level_5[i] = evens(rest[2 * i], rest[2 * i + 1]);
        rest[i] = odds(rest[2 * i], rest[2 * i + 1]);
    }
    search->level_4 = evens(rest[0], rest[1]);
    rest[0] = odds(rest[0], rest[1]);
    search->level_3 = evens(rest[0], rest[0]);
    rest[0] = odds(rest[0], rest[0]);
    search->level_2 = evens(rest[0], rest[0]);
    rest[0] = odds(rest[0], rest[0]);
    search->level_1 = evens(rest[0], rest[0]);
    rest[0] = odds(rest[0], rest[0]);
    search->level_0 = _mm512_broadcastss_ps(_mm512_castps512_ps128(rest[0]));
}

/* One bit more of each rank: 2 at + (x >= threshold). */
static inline __m512i
rank_step(__m512i at, __m512 x, __m512 threshold)
{
    __mmask16 is_least = _mm512_cmp_ps_mask(x, threshold, _CMP_GE_OQ);

    at = _mm512_add_epi32(at, at);
    return _mm512_mask_sub_epi32(at, is_least, at, _mm512_set1_epi32(-1));
}

static inline __m512
pick_64(const __m512 *tables, __m512i at)
{
    __mmask16 is_upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));

    return _mm512_mask_blend_ps(is_upper, _mm512_permutex2var_ps(tables[0], at, tables[1]),
                                _mm512_permutex2var_ps(tables[2], at, tables[3]));
}

static inline __m512
pick_128(const __m512 *tables, __m512i at)
{
    __mmask16 is_upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(64));

    return _mm512_mask_blend_ps(is_upper, pick_64(tables, at), pick_64(tables + 4, at));
}

static inline __m512i
search_rank(const struct search *search, __m512 x)
{
    __m512i at = rank_step(_mm512_setzero_si512(), x, search->level_0);

    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_1));
    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_2));
    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_3));
    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_4));
    at = rank_step(at, x, _mm512_permutex2var_ps(search->level_5[0], at, search->level_5[1]));
    at = rank_step(at, x, pick_64(search->level_6, at));
    return rank_step(at, x, pick_128(search->level_7, at));
}

/* Of thresholds that all stand in the first 127 places: one level less, the last ones at [0, 64) of
 * level 7 and so on. */
static inline __m512i
search_rank_127(const struct search *search, __m512 x)
{
    __m512i at = rank_step(_mm512_setzero_si512(), x,
                           _mm512_broadcastss_ps(_mm512_castps512_ps128(search->level_1)));

    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_2));
    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_3));
    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_4));
    at = rank_step(at, x, _mm512_permutexvar_ps(at, search->level_5[0]));
    at = rank_step(at, x, _mm512_permutex2var_ps(search->level_6[0], at, search->level_6[1]));
    return rank_step(at, x, pick_64(search->level_7, at));
}

/* Missing under the rule becomes NaN, anything else a number. */
static inline __m512
rule_apply(__m512 x, uint8_t rule)
{
    if (rule == NEUTRAL_NAN_IS_ZERO) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x);
    }
    if (rule == NEUTRAL_ZERO_IS_MISSING) {
        __mmask16 is_zero =
            _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps((float)NEUTRAL_ZERO), _CMP_LE_OQ);
        return _mm512_mask_mov_ps(x, is_zero, _mm512_set1_ps(NAN));
    }
    return x;
}

/* One column of the block. rows: its values. */
static bool
column_rank(const struct rank_column *column, const float *thresholds, const float *values,
            size_t row_count, uint8_t *out_ranks)
{
    struct search search;
    __mmask16 any_missing = 0;

    search_init(&search, thresholds, column->count);
    for (size_t at = 0; at < row_count; at += TILE) {
        __m512 x = rule_apply(_mm512_load_ps(values + at), column->rule);
        __m512i rank = column->count < 128 ? search_rank_127(&search, x) : search_rank(&search, x);
        __mmask16 is_missing = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        any_missing |= is_missing;
        rank = _mm512_mask_mov_epi32(rank, is_missing, _mm512_set1_epi32(RANK_MISSING));
        _mm_store_si128((__m128i *)(out_ranks + at), _mm512_cvtepi32_epi8(rank));
    }
    return any_missing != 0;
}

static bool
quantise_f32(const struct batch_view *view, const float *rows, size_t row_count, size_t block_rows,
             float *strip, uint8_t *out_ranks)
{
    const float *thresholds = blob_section(view->model, BLOB_RANK_THRESHOLDS);
    uint32_t strip_first = UINT32_MAX;
    bool has_missing = false;

    for (uint32_t c = 0; c < view->header->rank_number_columns; c++) {
        const struct rank_column *column = &view->columns[c];
        uint32_t first = column->feature / TILE * TILE;
        if (first != strip_first) {
            strip_transpose(rows, row_count, view->model->feature_count, first, block_rows, strip);
            strip_first = first;
        }
        has_missing |= column_rank(column, thresholds + column->first,
                                   strip + (column->feature - first) * block_rows, row_count,
                                   out_ranks + c * block_rows);
    }
    return has_missing;
}

/* ---- ranks of float64 ------------------------------------------------------------------------ */

/* How many of sixteen are <= x. */
static inline unsigned
count_16(__m512d a, __m512d b, __m512d x)
{
    unsigned low = _mm512_cmp_pd_mask(x, a, _CMP_GE_OQ);
    unsigned high = _mm512_cmp_pd_mask(x, b, _CMP_GE_OQ);

    return (unsigned)__builtin_popcount(low | high << 8);
}

static inline double
rule_apply_f64(double x, uint8_t rule)
{
    if (rule == NEUTRAL_NAN_IS_ZERO) {
        return isnan(x) ? 0.0 : x;
    }
    return rule == NEUTRAL_ZERO_IS_MISSING && fabs(x) <= NEUTRAL_ZERO ? (double)NAN : x;
}

static bool
quantise_f64(const struct batch_view *view, const double *rows, size_t row_count, size_t block_rows,
             uint8_t *out_ranks)
{
    const double *thresholds = blob_section(view->model, BLOB_RANK_THRESHOLDS);
    size_t stride = view->model->feature_count;
    bool has_missing = false;

    for (uint32_t c = 0; c < view->header->rank_number_columns; c++) {
        const struct rank_column *column = &view->columns[c];
        const double *pivots = thresholds + (size_t)c * RANK_SEGMENT;
        __m512d low = _mm512_loadu_pd(pivots);
        __m512d high = _mm512_loadu_pd(pivots + 8);
        uint8_t *out = out_ranks + c * block_rows;
        for (size_t r = 0; r < row_count; r++) {
            double value = rule_apply_f64(rows[r * stride + column->feature], column->rule);
            __m512d x = _mm512_set1_pd(value);
            unsigned rank = RANK_SEGMENT * count_16(low, high, x);
            const double *segment = thresholds + column->first + rank;
            rank += count_16(_mm512_loadu_pd(segment), _mm512_loadu_pd(segment + 8), x);
            out[r] = (uint8_t)(isnan(value) ? RANK_MISSING : rank);
            has_missing |= isnan(value);
        }
    }
    return has_missing;
}

static bool
quantise(const struct batch_view *view, const void *rows, size_t row_count, size_t block_rows,
         void *room, uint8_t *out_ranks)
{
    return view->model->number == MODEL_FLOAT32
               ? quantise_f32(view, rows, row_count, block_rows, room, out_ranks)
               : quantise_f64(view, rows, row_count, block_rows, out_ranks);
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* One byte of each of 64 rows' leaves. slot_bits up to 6: the other bits of an index are 0. */
static inline __m512i
leaf_bytes(const uint8_t *table, unsigned slot_bits, __m512i index)
{
    if (slot_bits <= 6) {
        return _mm512_permutexvar_epi8(index, _mm512_loadu_si512(table));
    }
    __m512i lower =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 64));
    if (slot_bits == 7) {
        return lower;
    }
    __m512i upper = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 128), index,
                                             _mm512_loadu_si512(table + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), lower, upper);
}

static inline void
sum_f32(const uint8_t *table, unsigned slot_bits, __m512i index, __m512 *sums)
{
    size_t slots = (size_t)1 << slot_bits;
    __m512i a = leaf_bytes(table, slot_bits, index);
    __m512i b = leaf_bytes(table + slots, slot_bits, index);
    __m512i c = leaf_bytes(table + 2 * slots, slot_bits, index);
    __m512i d = leaf_bytes(table + 3 * slots, slot_bits, index);
    __m512i ab_low = _mm512_unpacklo_epi8(a, b);
    __m512i ab_high = _mm512_unpackhi_epi8(a, b);
    __m512i cd_low = _mm512_unpacklo_epi8(c, d);
    __m512i cd_high = _mm512_unpackhi_epi8(c, d);

    sums[0] = _mm512_add_ps(sums[0], _mm512_castsi512_ps(_mm512_unpacklo_epi16(ab_low, cd_low)));
    sums[1] = _mm512_add_ps(sums[1], _mm512_castsi512_ps(_mm512_unpackhi_epi16(ab_low, cd_low)));
    sums[2] = _mm512_add_ps(sums[2], _mm512_castsi512_ps(_mm512_unpacklo_epi16(ab_high, cd_high)));
    sums[3] = _mm512_add_ps(sums[3], _mm512_castsi512_ps(_mm512_unpackhi_epi16(ab_high, cd_high)));
}

static inline void
sum_f64(const uint8_t *table, unsigned slot_bits, __m512i index, __m512d *sums)
{
    size_t slots = (size_t)1 << slot_bits;
    __m512i pairs[8];
    __m512i fours[8];

    for (unsigned i = 0; i < 4; i++) {
        __m512i a = leaf_bytes(table + 2 * i * slots, slot_bits, index);
        __m512i b = leaf_bytes(table + (2 * i + 1) * slots, slot_bits, index);
        pairs[i] = _mm512_unpacklo_epi8(a, b);
        pairs[4 + i] = _mm512_unpackhi_epi8(a, b);
    }
    for (unsigned i = 0; i < 4; i++) {
        fours[2 * i] = _mm512_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]);
        fours[2 * i + 1] = _mm512_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]);
    }
    for (unsigned i = 0; i < 4; i++) {
        unsigned at = (i / 2) * 4 + i % 2;
        __m512i low = _mm512_unpacklo_epi32(fours[at], fours[at + 2]);
        __m512i high = _mm512_unpackhi_epi32(fours[at], fours[at + 2]);
        sums[2 * i] = _mm512_add_pd(sums[2 * i], _mm512_castsi512_pd(low));
        sums[2 * i + 1] = _mm512_add_pd(sums[2 * i + 1], _mm512_castsi512_pd(high));
    }
}

static void
sums_add_f32(const struct batch_item *items, size_t item_count, uint32_t value,
             const uint8_t *numbers, size_t block_rows, float *sums)
{
    for (size_t at = 0; at < block_rows; at += 64) {
        __m512 here[4];
        for (unsigned i = 0; i < 4; i++) {
            here[i] = _mm512_load_ps(sums + at + 16 * i);
        }
        for (size_t k = 0; k < item_count; k++) {
            unsigned slot_bits = items[k].slot_bits;
            sum_f32(items[k].tables + ((size_t)value * sizeof(float) << slot_bits), slot_bits,
                    _mm512_load_si512(numbers + k * block_rows + at), here);
        }
        for (unsigned i = 0; i < 4; i++) {
            _mm512_store_ps(sums + at + 16 * i, here[i]);
        }
    }
}

static void
sums_add_f64(const struct batch_item *items, size_t item_count, uint32_t value,
             const uint8_t *numbers, size_t block_rows, double *sums)
{
    for (size_t at = 0; at < block_rows; at += 64) {
        __m512d here[8];
        for (unsigned i = 0; i < 8; i++) {
            here[i] = _mm512_load_pd(sums + at + 8 * i);
        }
        for (size_t k = 0; k < item_count; k++) {
            unsigned slot_bits = items[k].slot_bits;
            sum_f64(items[k].tables + ((size_t)value * sizeof(double) << slot_bits), slot_bits,
                    _mm512_load_si512(numbers + k * block_rows + at), here);
        }
        for (unsigned i = 0; i < 8; i++) {
            _mm512_store_pd(sums + at + 8 * i, here[i]);
        }
    }
}

static void
sums_add(enum model_number number, const struct batch_item *items, size_t item_count,
         uint32_t value, const uint8_t *numbers, size_t block_rows, void *sums)
{
    if (number == MODEL_FLOAT32) {
        sums_add_f32(items, item_count, value, numbers, block_rows, sums);
    } else {
        sums_add_f64(items, item_count, value, numbers, block_rows, sums);
    }
}

static const struct batch_isa isa = {
    .widths = {&batch_width_128, &batch_width_256, &batch_width_512},
    .quantise = quantise,
    .sums_add = sums_add,
    .rows_min = ROWS_MIN,
    .sum_bytes = {64, 64},
};

static size_t
batch_avx512_scratch_bytes(const struct model *model, size_t row_count)
{
    return batch_scratch_bytes(&isa, model, row_count);
}

static void
batch_avx512_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                     void *out_margins)
{
    batch_margins(&isa, model, rows, row_count, scratch, out_margins);
}

const struct kernel_ops kernel_batch_avx512 = {
    .name = "batch-avx512",
    .needs = KERNEL_CPU_AVX512,
    .rows_min = ROWS_MIN,
    .can_run = batch_can_run,
    .scratch_bytes = batch_avx512_scratch_bytes,
    .margins = batch_avx512_margins,
};
