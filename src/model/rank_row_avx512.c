/* SPDX-License-Identifier: MIT */
/*
 * rank_row_avx512.c - one row as ranks: of each column sixteen pivots, then the sixteen thresholds
 * between two of them; how many are <= x is how many bits a comparison sets.
 */
#include "rank_row_avx512.h"

#include <immintrin.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A row of more features than that is not read for NaN first. */
enum { FEATURES_A_COLUMN = 4 };

ALWAYS_INLINE unsigned
passed_f32(__m512 x, const float *numbers)
{
    __mmask16 passed = _mm512_cmp_ps_mask(x, _mm512_loadu_ps(numbers), _CMP_GE_OQ);

    return (unsigned)__builtin_popcount(passed);
}

ALWAYS_INLINE unsigned
passed_f64(__m512d x, const double *numbers)
{
    __mmask8 low = _mm512_cmp_pd_mask(x, _mm512_loadu_pd(numbers), _CMP_GE_OQ);
    __mmask8 high = _mm512_cmp_pd_mask(x, _mm512_loadu_pd(numbers + 8), _CMP_GE_OQ);

    return (unsigned)__builtin_popcount((unsigned)low | (unsigned)high << 8);
}

ALWAYS_INLINE bool
ranks_f32(const struct model *model, const float *row, bool has_missing, bool has_rules,
          uint8_t *out_ranks)
{
    const struct rank_column *columns = rank_columns(model);
    const float *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    uint32_t count = blob_header(model)->rank_number_columns;
    unsigned missing = 0;

    for (uint32_t c = 0; c < count; c++) {
        float x = row[columns[c].feature];
        x = has_rules ? rank_value_f32(x, columns[c].rule) : x;
        __m512 all = _mm512_set1_ps(x);
        unsigned rank = RANK_SEGMENT * passed_f32(all, thresholds + (size_t)c * RANK_SEGMENT);
        rank += passed_f32(all, thresholds + columns[c].first + rank);
        if (has_missing) {
            unsigned is_missing = x != x;
            rank |= 0u - is_missing;
            missing |= is_missing;
        }
        out_ranks[c] = (uint8_t)rank;
    }
    return missing != 0;
}

ALWAYS_INLINE bool
ranks_f64(const struct model *model, const double *row, bool has_missing, bool has_rules,
          uint8_t *out_ranks)
{
    const struct rank_column *columns = rank_columns(model);
    const double *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    uint32_t count = blob_header(model)->rank_number_columns;
    unsigned missing = 0;

    for (uint32_t c = 0; c < count; c++) {
        double x = row[columns[c].feature];
        x = has_rules ? rank_value_f64(x, columns[c].rule) : x;
        __m512d all = _mm512_set1_pd(x);
        unsigned rank = RANK_SEGMENT * passed_f64(all, thresholds + (size_t)c * RANK_SEGMENT);
        rank += passed_f64(all, thresholds + columns[c].first + rank);
        if (has_missing) {
            unsigned is_missing = x != x;
            rank |= 0u - is_missing;
            missing |= is_missing;
        }
        out_ranks[c] = (uint8_t)rank;
    }
    return missing != 0;
}

/* Whether any of the row is NaN. */
static bool
has_nan_f32(const float *row, uint32_t count)
{
    unsigned missing = 0;
    uint32_t i = 0;

    for (; i + 16 <= count; i += 16) {
        __m512 x = _mm512_loadu_ps(row + i);
        missing |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    }
    __m512 x = _mm512_maskz_loadu_ps((__mmask16)((1u << (count - i)) - 1), row + i);
    return (missing | _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q)) != 0;
}

static bool
has_nan_f64(const double *row, uint32_t count)
{
    unsigned missing = 0;
    uint32_t i = 0;

    for (; i + 8 <= count; i += 8) {
        __m512d x = _mm512_loadu_pd(row + i);
        missing |= _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q);
    }
    __m512d x = _mm512_maskz_loadu_pd((__mmask8)((1u << (count - i)) - 1), row + i);
    return (missing | _mm512_cmp_pd_mask(x, x, _CMP_UNORD_Q)) != 0;
}

/* The plainest variant that is right for the row. */
static bool
ranks_f32_of(const struct model *model, const float *row, uint8_t *out_ranks)
{
    const struct blob_header *header = blob_header(model);

    if ((header->hints & BLOB_HINT_RULES) != 0) {
        return ranks_f32(model, row, true, true, out_ranks);
    }
    if (blob_width(header) > FEATURES_A_COLUMN * header->rank_number_columns ||
        has_nan_f32(row, blob_width(header))) {
        return ranks_f32(model, row, true, false, out_ranks);
    }
    return ranks_f32(model, row, false, false, out_ranks);
}

static bool
ranks_f64_of(const struct model *model, const double *row, uint8_t *out_ranks)
{
    const struct blob_header *header = blob_header(model);

    if ((header->hints & BLOB_HINT_RULES) != 0) {
        return ranks_f64(model, row, true, true, out_ranks);
    }
    if (blob_width(header) > FEATURES_A_COLUMN * header->rank_number_columns ||
        has_nan_f64(row, blob_width(header))) {
        return ranks_f64(model, row, true, false, out_ranks);
    }
    return ranks_f64(model, row, false, false, out_ranks);
}

bool
rank_row_avx512(const struct model *model, const void *row, uint8_t *out_ranks)
{
    bool has_missing = model->number == MODEL_FLOAT32 ? ranks_f32_of(model, row, out_ranks)
                                                      : ranks_f64_of(model, row, out_ranks);

    return rank_row_sets(model, row, out_ranks) || has_missing;
}
