/* SPDX-License-Identifier: MIT */
/*
 * kernel_batch_plain.c - blocks of 128 rows without an instruction that only some processors have.
 */
#include "lanes_plain.h"

#include "batch_sums.h"
#include "batch_width.h"

#include <math.h>

enum { ROWS_MIN = 48 /* measured: from here on the other kernels are slower */ };

/* ---- ranks ----------------------------------------------------------------------------------- */

/* Missing under the rule becomes NaN, anything else a number. */
static inline double
rule_apply(double x, uint8_t rule)
{
    if (rule == NEUTRAL_NAN_IS_ZERO) {
        return isnan(x) ? 0.0 : x;
    }
    return rule == NEUTRAL_ZERO_IS_MISSING && fabs(x) <= NEUTRAL_ZERO ? (double)NAN : x;
}

/* How many of the first fifteen of sixteen ascending numbers are <= x; no branch, so that the
 * searches of several rows overlap. NaN is above all. */
static inline size_t
count_f32(const float *numbers, float x)
{
    size_t at = x >= numbers[7] ? 8 : 0;

    at += x >= numbers[at + 3] ? 4 : 0;
    at += x >= numbers[at + 1] ? 2 : 0;
    return at + (x >= numbers[at] ? 1 : 0);
}

static inline size_t
count_f64(const double *numbers, double x)
{
    size_t at = x >= numbers[7] ? 8 : 0;

    at += x >= numbers[at + 3] ? 4 : 0;
    at += x >= numbers[at + 1] ? 2 : 0;
    return at + (x >= numbers[at] ? 1 : 0);
}

static bool
column_rank_f32(const struct rank_column *column, const float *pivots, const float *thresholds,
                const float *values, size_t stride, size_t row_count, uint8_t *out_ranks)
{
    bool has_missing = false;

    for (size_t r = 0; r < row_count; r++) {
        float x = (float)rule_apply((double)values[r * stride], column->rule);
        size_t first = count_f32(pivots, x) * RANK_SEGMENT;
        size_t rank = first + count_f32(thresholds + first, x);
        has_missing |= isnan(x);
        out_ranks[r] = (uint8_t)(isnan(x) ? RANK_MISSING : rank);
    }
    return has_missing;
}

static bool
column_rank_f64(const struct rank_column *column, const double *pivots, const double *thresholds,
                const double *values, size_t stride, size_t row_count, uint8_t *out_ranks)
{
    bool has_missing = false;

    for (size_t r = 0; r < row_count; r++) {
        double x = rule_apply(values[r * stride], column->rule);
        size_t first = count_f64(pivots, x) * RANK_SEGMENT;
        size_t rank = first + count_f64(thresholds + first, x);
        has_missing |= isnan(x);
        out_ranks[r] = (uint8_t)(isnan(x) ? RANK_MISSING : rank);
    }
    return has_missing;
}

bool
batch_quantise_plain(const struct batch_view *view, const void *rows, size_t row_count,
                     size_t block_rows, void *room, uint8_t *out_ranks)
{
    const float *f32 = blob_section(view->model, BLOB_RANK_THRESHOLDS);
    const double *f64 = blob_section(view->model, BLOB_RANK_THRESHOLDS);
    size_t stride = view->model->feature_count;
    bool has_missing = false;

    (void)room;
    for (uint32_t c = 0; c < view->header->rank_number_columns; c++) {
        const struct rank_column *column = &view->columns[c];
        uint8_t *out = out_ranks + c * block_rows;
        if (view->model->number == MODEL_FLOAT32) {
            has_missing |=
                column_rank_f32(column, f32 + (size_t)c * RANK_SEGMENT, f32 + column->first,
                                (const float *)rows + column->feature, stride, row_count, out);
        } else {
            has_missing |=
                column_rank_f64(column, f64 + (size_t)c * RANK_SEGMENT, f64 + column->first,
                                (const double *)rows + column->feature, stride, row_count, out);
        }
    }
    return has_missing;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void
sums_add(enum model_number number, const struct batch_item *items, size_t item_count,
         uint32_t value, const uint8_t *numbers, size_t block_rows, void *sums)
{
    for (size_t i = 0; i < item_count; i++, numbers += block_rows) {
        if (number == MODEL_FLOAT32) {
            item_add_f32(&items[i], value, numbers, block_rows, sums);
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
batch_plain_scratch_bytes(const struct model *model, size_t row_count)
{
    return batch_scratch_bytes(&isa, model, row_count);
}

static void
batch_plain_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                    void *out_margins)
{
    batch_margins(&isa, model, rows, row_count, scratch, out_margins);
}

const struct kernel_ops kernel_batch_plain = {
    .name = "batch-plain",
    .needs = 0,
    .rows_min = ROWS_MIN,
    .can_run = batch_can_run,
    .scratch_bytes = batch_plain_scratch_bytes,
    .margins = batch_plain_margins,
};
