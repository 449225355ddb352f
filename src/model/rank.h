/* SPDX-License-Identifier: MIT */
/*
 * rank.h - ranks: a row as one byte a column, and a node as two bytes. Exact, not approximate.
 * A column holds up to 254 sorted distinct thresholds of one input under one rule for missing
 * values; its rank of x is how many of them are <= x, or RANK_MISSING. A node is a column and a
 * code: it goes right when rank >= code, but for a missing value with a default side of left.
 * float32 and float64, `x < t` and `x <= t`, numbers and category sets are then all the same to a
 * kernel; only leaves and sums keep the model's number.
 * rank_plan.c makes the columns when a model is compiled, rank_check.c proves them when it is
 * opened, rank_row.c is the plain quantiser that others are compared with.
 */
#pragma once

#include "blob.h"

enum {
    RANK_MISSING = 255,
    RANK_THRESHOLDS_MAX = 254, /* of a column; an input of more has several columns */
    RANK_NEVER = 255,          /* a code that no number reaches: every number goes left */
    RANK_COLUMNS_MAX = 4096,
    RANK_SEGMENT = 16, /* thresholds are stored in groups of so many */
};

enum rank_kind {
    RANK_NUMBER, /* ranks 0 to count */
    RANK_SET,    /* 1: this value goes right, 0: left */
};

/*
 * The columns of numbers come first, ascending by feature. BLOB_RANK_THRESHOLDS begins with 16
 * pivots a column of numbers, in the columns' order; at `first` each has its thresholds, ascending,
 * count / 16 + 1 segments of 16 with NaN after the last (no number is >= NaN). Pivot j is threshold
 * 16j + 15 or NaN: as many pivots as are <= x, so many segments are passed.
 *
 * The sets of one categorical input under one rule are a group of `width` adjacent columns with
 * equal descriptions, so that one copy fills them: a table at byte `first` of BLOB_RANK_SETS with
 * count + 1 rows of width bytes; row c is of category c < count, the last row of all other values.
 * Sets whose members go left are a group of their own: to them -0.5 is category 0, to others none.
 */
struct rank_column {
    uint32_t feature;
    uint32_t first;
    uint32_t count; /* thresholds; categories of the table */
    uint16_t width; /* columns of the group; of a number 1 */
    uint8_t kind;   /* enum rank_kind */
    uint8_t rule; /* 0, NEUTRAL_NAN_IS_ZERO or NEUTRAL_ZERO_IS_MISSING; of sets NEUTRAL_MEMBERS_LEFT
                   * too */
};
_Static_assert(sizeof(struct rank_column) == 16, "no padding");

/* ---- when a model is compiled ---------------------------------------------------------------- */

/* A node as the kernels test it. */
struct rank_node {
    uint16_t column;
    uint8_t code;
    bool is_default_left;
};

struct rank_inputs; /* private: what rank_plan_node() looks nodes up in */

/* The three sections. column_count 0: ranks do not pay for this model, or it has no test. */
struct rank_plan {
    const struct neutral_model *model;
    uint32_t column_count;
    uint32_t number_columns;
    uint32_t threshold_count; /* numbers in the section, pivots and filling included */
    uint32_t set_bytes;
    const struct rank_column *columns;
    const void *thresholds; /* of the model's number */
    const uint8_t *sets;
    const struct rank_inputs *inputs;
};

/* Of a checked model. The plan lives in the arena. Fails only for want of memory. */
AUGURY_MUST_USE int rank_plan_make(const struct neutral_model *model, struct arena *arena,
                                   struct rank_plan *out_plan, struct err *err);

/* Of an inner node of a plan with columns. */
struct rank_node rank_plan_node(const struct rank_plan *plan, uint32_t tree, uint32_t node);

/* ---- when a blob is opened ------------------------------------------------------------------- */

/* Proves what a quantiser reads: features, segments, tables. */
AUGURY_MUST_USE int rank_check(const struct blob_header *header, struct err *err);

/* ---- evaluation ------------------------------------------------------------------------------ */

static inline const struct rank_column *
rank_columns(const struct model *model)
{
    return blob_section(model, BLOB_RANK_COLUMNS);
}

/* A number under its column's rule: NaN when it is missing. */
static inline double
rank_value_f64(double x, unsigned rule)
{
    if (rule == NEUTRAL_NAN_IS_ZERO) {
        return x != x ? 0.0 : x;
    }
    return rule == NEUTRAL_ZERO_IS_MISSING && __builtin_fabs(x) <= NEUTRAL_ZERO ? __builtin_nan("")
                                                                                : x;
}

static inline float
rank_value_f32(float x, unsigned rule)
{
    return rule == 0 ? x : (float)rank_value_f64((double)x, rule);
}

/* The columns of sets alone: what every quantiser does alike. Returns whether one is missing. */
bool rank_row_sets(const struct model *model, const void *row, uint8_t *out_ranks);

/* One row: out_ranks has rank_column_count bytes. Returns whether any is RANK_MISSING. */
bool rank_row(const struct model *model, const void *row, uint8_t *out_ranks);
