/* SPDX-License-Identifier: MIT */
/*
 * rank_row.c - one row as ranks, in plain C: a search among sixteen pivots, then among the sixteen
 * thresholds between two of them. Not all sixteen can be <= x: the last is itself a pivot, which x
 * would have passed, or NaN.
 */
#include "rank.h"

#include <math.h>

/* Which row of its table. Where members go left a value is cut to an integer first (LightGBM),
 * where they go right no number under 0 is a category (XGBoost). */
static inline uint32_t
table_row(const struct rank_column *column, double x)
{
    bool is_over = (column->rule & NEUTRAL_MEMBERS_LEFT) != 0 ? x > -1.0 : x >= 0.0;

    return is_over && x < (double)column->count ? (uint32_t)x : column->count;
}

bool
rank_row_sets(const struct model *model, const void *row, uint8_t *out_ranks)
{
    const struct blob_header *header = blob_header(model);
    const struct rank_column *columns = rank_columns(model);
    const uint8_t *tables = blob_section(model, BLOB_RANK_SETS);
    bool has_missing = false;

    for (uint32_t c = header->rank_number_columns; c < header->rank_column_count;) {
        const struct rank_column *column = &columns[c];
        double x = rank_value_f64(model_number_get(model, row, column->feature),
                                  column->rule & ~(unsigned)NEUTRAL_MEMBERS_LEFT);
        if (!isnan(x)) {
            const uint8_t *from =
                tables + column->first + (size_t)table_row(column, x) * column->width;
            for (uint32_t k = 0; k < column->width; k++) {
                out_ranks[c + k] = from[k];
            }
        } else {
            has_missing = true;
            for (uint32_t k = 0; k < column->width; k++) {
                out_ranks[c + k] = RANK_MISSING;
            }
        }
        c += column->width;
    }
    return has_missing;
}

/* How many of sixteen ascending ones are <= x, at most 15. */
static inline uint32_t
passed_f32(const float *numbers, float x)
{
    uint32_t count = x >= numbers[7] ? 8 : 0;

    count += x >= numbers[count + 3] ? 4 : 0;
    count += x >= numbers[count + 1] ? 2 : 0;
    return count + (x >= numbers[count] ? 1 : 0);
}

static inline uint32_t
passed_f64(const double *numbers, double x)
{
    uint32_t count = x >= numbers[7] ? 8 : 0;

    count += x >= numbers[count + 3] ? 4 : 0;
    count += x >= numbers[count + 1] ? 2 : 0;
    return count + (x >= numbers[count] ? 1 : 0);
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
        uint32_t rank = RANK_SEGMENT * passed_f32(thresholds + (size_t)c * RANK_SEGMENT, x);
        rank += passed_f32(thresholds + columns[c].first + rank, x);
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
        uint32_t rank = RANK_SEGMENT * passed_f64(thresholds + (size_t)c * RANK_SEGMENT, x);
        rank += passed_f64(thresholds + columns[c].first + rank, x);
        unsigned is_missing = x != x;
        missing |= is_missing;
        out_ranks[c] = (uint8_t)(rank | (0u - is_missing));
    }
    return missing != 0;
}

bool
rank_row(const struct model *model, const void *row, uint8_t *out_ranks)
{
    bool has_missing = model->number == MODEL_FLOAT32 ? ranks_f32(model, row, out_ranks)
                                                      : ranks_f64(model, row, out_ranks);

    return rank_row_sets(model, row, out_ranks) || has_missing;
}
