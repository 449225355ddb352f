/* SPDX-License-Identifier: MIT */
/*
 * rank_row_avx2.c - one row as ranks: sixteen pivots, then sixteen thresholds; how many are <= x is
 * how many bits the comparisons set.
 */
#include "rank_row_avx2.h"

#include <immintrin.h>

static inline unsigned
passed_f32(__m256 x, const float *numbers)
{
    __m256 low = _mm256_cmp_ps(x, _mm256_loadu_ps(numbers), _CMP_GE_OQ);
    __m256 high = _mm256_cmp_ps(x, _mm256_loadu_ps(numbers + 8), _CMP_GE_OQ);

    return (unsigned)__builtin_popcount((unsigned)_mm256_movemask_ps(low) |
                                        (unsigned)_mm256_movemask_ps(high) << 8);
}

static inline unsigned
passed_f64(__m256d x, const double *numbers)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < RANK_SEGMENT; i += 4) {
        __m256d passed = _mm256_cmp_pd(x, _mm256_loadu_pd(numbers + i), _CMP_GE_OQ);
        bits |= (unsigned)_mm256_movemask_pd(passed) << i;
    }
    return (unsigned)__builtin_popcount(bits);
}

static bool
ranks_f32(const struct model *model, const float *row, uint8_t *out_ranks)
{
    const struct rank_column *columns = rank_columns(model);
    const float *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    uint32_t count = blob_header(model)->rank_number_columns;
    unsigned missing = 0;

    for (uint32_t c = 0; c < count; c++) {
        float x = rank_value_f32(row[columns[c].feature], columns[c].rule);
        __m256 all = _mm256_set1_ps(x);
        unsigned rank = RANK_SEGMENT * passed_f32(all, thresholds + (size_t)c * RANK_SEGMENT);
        rank += passed_f32(all, thresholds + columns[c].first + rank);
        unsigned is_missing = x != x;
        missing |= is_missing;
        out_ranks[c] = (uint8_t)(rank | (0u - is_missing));
    }
    return missing != 0;
}

static bool
ranks_f64(const struct model *model, const double *row, uint8_t *out_ranks)
{
    const struct rank_column *columns = rank_columns(model);
    const double *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    uint32_t count = blob_header(model)->rank_number_columns;
    unsigned missing = 0;

    for (uint32_t c = 0; c < count; c++) {
        double x = rank_value_f64(row[columns[c].feature], columns[c].rule);
        __m256d all = _mm256_set1_pd(x);
        unsigned rank = RANK_SEGMENT * passed_f64(all, thresholds + (size_t)c * RANK_SEGMENT);
        rank += passed_f64(all, thresholds + columns[c].first + rank);
        unsigned is_missing = x != x;
        missing |= is_missing;
        out_ranks[c] = (uint8_t)(rank | (0u - is_missing));
    }
    return missing != 0;
}

bool
rank_row_avx2(const struct model *model, const void *row, uint8_t *out_ranks)
{
    bool has_missing = model->number == MODEL_FLOAT32 ? ranks_f32(model, row, out_ranks)
                                                      : ranks_f64(model, row, out_ranks);

    return rank_row_sets(model, row, out_ranks) || has_missing;
}
