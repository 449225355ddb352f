/* SPDX-License-Identifier: MIT */
/*
 * calibration_sets.c - scores of held-out rows as ordered sets, one of all rows and one a group.
 * Of more than MODEL_CALIBRATION_SCORES_MAX scores of a set that many are stored, evenly spaced in
 * rank, the greatest among them; a lookup takes the next larger one, so that it never covers less
 * than it says, and at most 1 / MODEL_CALIBRATION_SCORES_MAX more.
 */
#include "calibration.h"

#include <math.h>
#include <stdlib.h>

static int
compare_numbers(double a, double b)
{
    return (a > b) - (a < b);
}

static int
compare_scores(const void *a, const void *b)
{
    return compare_numbers(((const struct scored *)a)->score, ((const struct scored *)b)->score);
}

/* By group, those without one last; then by score. */
static int
compare_groups(const void *a, const void *b)
{
    const struct scored *x = a;
    const struct scored *y = b;

    if (isnan(x->group) || isnan(y->group)) {
        return (isnan(x->group) ? 1 : 0) - (isnan(y->group) ? 1 : 0);
    }
    int order = compare_numbers(x->group, y->group);
    return order != 0 ? order : compare_numbers(x->score, y->score);
}

/* Ordered by score. */
static void
put_set(struct calibration_sets *sets, const struct scored *rows, size_t count, double from)
{
    size_t kept = count < MODEL_CALIBRATION_SCORES_MAX ? count : MODEL_CALIBRATION_SCORES_MAX;
    struct blob_score_set set = {.from = from,
                                 .rows = (uint32_t)count,
                                 .scores = (uint32_t)kept,
                                 .first = (uint32_t)(sets->scores.len / sizeof(double))};

    for (size_t i = 1; i <= kept; i++) {
        buf_put(&sets->scores, &rows[(uint64_t)i * count / kept - 1].score, sizeof(double));
    }
    buf_put(&sets->sets, &set, sizeof(set));
}

/* Replaces the groups' values, which are in order, by the lower ends of their ranges: quantiles of
 * the values. Equal values never part, so there may be fewer ranges than asked for. */
static void
make_bins(struct scored *rows, size_t count, uint32_t bins)
{
    double edges[MODEL_CALIBRATION_GROUPS_MAX];
    uint32_t edge_count = 0;
    uint32_t next = 1; /* the first edge is under every value */

    edges[edge_count++] = -INFINITY;
    for (uint32_t k = 1; k < bins; k++) {
        double edge = rows[(uint64_t)k * count / bins].group;
        bool is_new = edge > edges[edge_count - 1] && edge > rows[0].group;
        if (is_new) {
            edges[edge_count++] = edge;
        }
    }
    for (size_t i = 0; i < count; i++) {
        while (next < edge_count && rows[i].group >= edges[next]) {
            next++;
        }
        rows[i].group = edges[next - 1];
    }
}

static int
refuse_bin(size_t count, struct err *err)
{
    return err_set(err, AUGURY_ERR_INVALID, "too_few_rows",
                   "a range of the group has %zu rows and needs %d: fewer ranges or more rows",
                   count, MODEL_CALIBRATION_ROWS_MIN);
}

/* Sets of the groups, of rows ordered by group and score. */
static int
put_groups(struct calibration_sets *sets, const struct scored *rows, size_t count, bool is_binned,
           struct err *err)
{
    uint32_t groups = 0;

    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && rows[end].group == rows[begin].group;) {
            end++;
        }
        if (end - begin < MODEL_CALIBRATION_ROWS_MIN && is_binned) {
            return refuse_bin(end - begin, err);
        }
        if (end - begin < MODEL_CALIBRATION_ROWS_MIN) {
            continue; /* answered by the scores of all rows */
        }
        if (++groups > MODEL_CALIBRATION_GROUPS_MAX) {
            return err_set(err, AUGURY_ERR_LIMIT, "too_many_groups",
                           "the group has more than %d values; --group-bins N makes N ranges of "
                           "them",
                           MODEL_CALIBRATION_GROUPS_MAX);
        }
        put_set(sets, rows + begin, end - begin, rows[begin].group);
    }
    return groups > 0 ? 0
                      : err_set(err, AUGURY_ERR_INVALID, "too_few_rows",
                                "no value of the group has %d rows, which a group needs; "
                                "--group-bins N makes N ranges of them",
                                MODEL_CALIBRATION_ROWS_MIN);
}

int
calibration_sets_make(struct scored *rows, size_t count,
                      const struct calibration_grouping *grouping,
                      struct calibration_sets *out_sets, struct err *err)
{
    size_t grouped = 0;

    if (count < MODEL_CALIBRATION_ROWS_MIN) {
        return err_set(err, AUGURY_ERR_INVALID, "too_few_rows",
                       "%zu held-out rows; at least %d are needed, which support levels up to "
                       "%.3f (n rows support n / (n + 1))",
                       count, MODEL_CALIBRATION_ROWS_MIN,
                       (double)MODEL_CALIBRATION_ROWS_MIN / (MODEL_CALIBRATION_ROWS_MIN + 1));
    }
    qsort(rows, count, sizeof(*rows), compare_scores);
    put_set(out_sets, rows, count, -INFINITY);
    if (!grouping->has_groups) {
        return 0;
    }
    qsort(rows, count, sizeof(*rows), compare_groups);
    while (grouped < count && !isnan(rows[grouped].group)) {
        grouped++;
    }
    if (grouping->bins > 0 && grouped > 0) {
        make_bins(rows, grouped, grouping->bins);
        qsort(rows, grouped, sizeof(*rows), compare_groups);
    }
    return put_groups(out_sets, rows, grouped, grouping->bins > 0, err);
}
