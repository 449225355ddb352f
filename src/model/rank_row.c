/* SPDX-License-Identifier: MIT */
/*
 * rank_row.c - one row as ranks, in plain C: two searches of sixteen a column. What the quantisers
 * for one instruction set each must equal.
 */
#include "rank.h"

#include <math.h>

/* False: missing under the rule. */
static inline bool
value_read(double *x, unsigned rule)
{
    if ((rule & NEUTRAL_NAN_IS_ZERO) != 0) {
        *x = isnan(*x) ? 0.0 : *x;
        return true;
    }
    return (rule & NEUTRAL_ZERO_IS_MISSING) != 0 ? fabs(*x) > NEUTRAL_ZERO : !isnan(*x);
}

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
        double x = model_number_get(model, row, column->feature);
        if (value_read(&x, column->rule)) {
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

/* How many of sixteen are <= x. */
static inline uint32_t
count_f32(const float *numbers, float x)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < RANK_SEGMENT; i++) {
        count += x >= numbers[i];
    }
    return count;
}

static inline uint32_t
count_f64(const double *numbers, double x)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < RANK_SEGMENT; i++) {
        count += x >= numbers[i];
    }
    return count;
}

static inline uint32_t
rank_f32(const float *thresholds, uint32_t first, uint32_t column, float x)
{
    uint32_t passed = count_f32(thresholds + (size_t)column * RANK_SEGMENT, x);

    return passed * RANK_SEGMENT + count_f32(thresholds + first + passed * RANK_SEGMENT, x);
}

static inline uint32_t
rank_f64(const double *thresholds, uint32_t first, uint32_t column, double x)
{
    uint32_t passed = count_f64(thresholds + (size_t)column * RANK_SEGMENT, x);

    return passed * RANK_SEGMENT + count_f64(thresholds + first + passed * RANK_SEGMENT, x);
}

bool
rank_row(const struct model *model, const void *row, uint8_t *out_ranks)
{
    const struct blob_header *header = blob_header(model);
    const struct rank_column *columns = rank_columns(model);
    const void *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    bool has_missing = rank_row_sets(model, row, out_ranks);

    for (uint32_t c = 0; c < header->rank_number_columns; c++) {
        const struct rank_column *column = &columns[c];
        double x = model_number_get(model, row, column->feature);
        if (!value_read(&x, column->rule)) {
            out_ranks[c] = RANK_MISSING;
            has_missing = true;
        } else if (model->number == MODEL_FLOAT32) {
            out_ranks[c] = (uint8_t)rank_f32(thresholds, column->first, c, (float)x);
        } else {
            out_ranks[c] = (uint8_t)rank_f64(thresholds, column->first, c, x);
        }
    }
    return has_missing;
}
