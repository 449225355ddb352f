/* SPDX-License-Identifier: MIT */
/*
 * calibration.c - reading and checking what a model knows of its own errors.
 * Method: split conformal prediction. Of n held-out rows that are exchangeable with those to come,
 * a new row's score is at most the k-th smallest of theirs, k = ⌈(n + 1) × level⌉, with a
 * probability of level at least (and level + 1 / (n + 1) at most, but for ties). With k > n no
 * score is large enough: the interval is unbounded. Groups (Mondrian) have scores of their own, and
 * the same promise each.
 */
#include "calibration.h"

#include <math.h>
#include <string.h>

static uint64_t
round_up(uint64_t at, uint64_t step)
{
    return (at + step - 1) / step * step;
}

struct calibration_layout
calibration_layout(const struct blob_calibration *calibration)
{
    struct calibration_layout layout = {.sets = sizeof(*calibration)};

    layout.scores = layout.sets + sizeof(struct blob_score_set) * (uint64_t)calibration->set_count;
    layout.target = layout.scores + sizeof(double) * (uint64_t)calibration->score_count;
    layout.end = round_up(layout.target + calibration->target_bytes, 8);
    if (calibration->score == MODEL_SCORE_QUANTILES) {
        layout.lower = round_up(layout.end, BLOB_ALIGN) + CALIBRATION_MODEL_PLACE;
        layout.upper =
            round_up(layout.lower + calibration->lower_bytes, BLOB_ALIGN) + CALIBRATION_MODEL_PLACE;
        layout.end = layout.upper + calibration->upper_bytes;
    }
    return layout;
}

const struct blob_calibration *
calibration_of(const struct model *model)
{
    return blob_header(model)->sections[BLOB_CALIBRATION].bytes == 0
               ? NULL
               : blob_section(model, BLOB_CALIBRATION);
}

static const struct blob_score_set *
sets_of(const struct blob_calibration *calibration)
{
    return (const struct blob_score_set *)((const uint8_t *)calibration +
                                           calibration_layout(calibration).sets);
}

static const double *
scores_of(const struct blob_calibration *calibration)
{
    return (const double *)((const uint8_t *)calibration + calibration_layout(calibration).scores);
}

/* ---- checks -------------------------------------------------------------------------------- */

static int
corrupt(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model", "%s", reason);
}

static bool
counts_are_sane(const struct blob_header *header, const struct blob_calibration *calibration,
                uint64_t bytes)
{
    bool has_models = calibration->score == MODEL_SCORE_QUANTILES;
    bool has_groups = calibration->set_count > 1;
    uint64_t models_max = (uint64_t)1 << 40;

    return calibration->score != MODEL_SCORE_NONE && calibration->score < MODEL_SCORE_COUNT &&
           calibration->flags <= CALIBRATION_BINS && calibration->set_count > 0 &&
           calibration->set_count <= 1 + MODEL_CALIBRATION_GROUPS_MAX &&
           (has_groups ? calibration->group_feature >= 0 &&
                             (uint32_t)calibration->group_feature < header->feature_count
                       : calibration->group_feature == CALIBRATION_NO_FEATURE) &&
           calibration->lower_bytes <= models_max && calibration->upper_bytes <= models_max &&
           (has_models || (calibration->lower_bytes == 0 && calibration->upper_bytes == 0)) &&
           (calibration->score == MODEL_SCORE_CLASS || header->output_count == 1) &&
           calibration_layout(calibration).end == bytes;
}

static bool
set_is_sane(const struct blob_calibration *calibration, const struct blob_score_set *set,
            uint64_t first)
{
    const double *scores = scores_of(calibration) + first;

    if (set->first != first || set->scores == 0 || isnan(set->from) ||
        set->scores > MODEL_CALIBRATION_SCORES_MAX || set->scores > set->rows ||
        set->scores > calibration->score_count - first) {
        return false;
    }
    for (uint32_t i = 0; i < set->scores; i++) {
        if (isnan(scores[i]) || (i > 0 && scores[i] < scores[i - 1])) {
            return false;
        }
    }
    return true;
}

static int
check_sets(const struct blob_calibration *calibration, struct err *err)
{
    const struct blob_score_set *sets = sets_of(calibration);
    uint64_t first = 0;

    for (uint32_t i = 0; i < calibration->set_count; i++) {
        bool is_ordered = i < 2 || sets[i].from > sets[i - 1].from;
        if (!is_ordered || !set_is_sane(calibration, &sets[i], first)) {
            corrupt(err, "the scores of a group are not in order or outside their section");
            err_at(err, "calibration, set %u", i);
            return AUGURY_ERR_CORRUPT;
        }
        first += sets[i].scores;
    }
    return first == calibration->score_count ? 0 : corrupt(err, "scores of no set");
}

/* One of the two models inside: whole, of the same rows, and without any inside itself. */
static int
check_inner(const struct blob_header *outer, uint64_t at, uint64_t bytes, struct err *err)
{
    const uint8_t *section = (const uint8_t *)outer + outer->sections[BLOB_CALIBRATION].offset;
    struct bytes blob = bytes_of(section + at, bytes);
    int rc = blob_check_header(blob, err);

    if (rc == 0) {
        const struct blob_header *inner = (const struct blob_header *)blob.data;
        bool is_alike = inner->feature_count == outer->feature_count &&
                        inner->number == outer->number && inner->output_count == 1 &&
                        inner->sections[BLOB_CALIBRATION].bytes == 0;
        rc = is_alike ? blob_check_all(blob, err)
                      : corrupt(err, "a model of a quantile is not one of the same rows");
    }
    return rc;
}

int
calibration_check(const struct blob_header *header, struct err *err)
{
    const struct blob_range *range = &header->sections[BLOB_CALIBRATION];
    const struct blob_calibration *calibration =
        (const struct blob_calibration *)((const uint8_t *)header + range->offset);

    if (range->bytes == 0) {
        return 0;
    }
    if (range->bytes < sizeof(*calibration) ||
        !counts_are_sane(header, calibration, range->bytes) ||
        range->offset + range->bytes != header->total_bytes) {
        return corrupt(err, "the calibration's counts contradict each other or the model");
    }
    int rc = check_sets(calibration, err);
    if (rc == 0 && calibration->score == MODEL_SCORE_QUANTILES) {
        struct calibration_layout layout = calibration_layout(calibration);
        rc = check_inner(header, layout.lower, calibration->lower_bytes, err);
        if (rc == 0) {
            rc = check_inner(header, layout.upper, calibration->upper_bytes, err);
        }
    }
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct model_calibration
model_calibration(const struct model *model)
{
    const struct blob_calibration *calibration = calibration_of(model);

    if (calibration == NULL) {
        return (struct model_calibration){.score = MODEL_SCORE_NONE, .group_feature = -1};
    }
    struct calibration_layout layout = calibration_layout(calibration);
    return (struct model_calibration){
        .score = (enum model_score)calibration->score,
        .row_count = sets_of(calibration)[0].rows,
        .group_count = calibration->set_count - 1,
        .group_feature = calibration->group_feature,
        .is_binned = (calibration->flags & CALIBRATION_BINS) != 0,
        .target = bytes_of((const uint8_t *)calibration + layout.target, calibration->target_bytes),
    };
}

struct model_calibration_group
model_calibration_group(const struct model *model, uint32_t group)
{
    const struct blob_calibration *calibration = calibration_of(model);

    AUGURY_ASSERT(calibration != NULL && group + 1 < calibration->set_count);
    const struct blob_score_set *set = &sets_of(calibration)[group + 1];
    return (struct model_calibration_group){.from = set->from, .row_count = set->rows};
}

/* The set of the row's group; that of all rows when the group has none. */
static const struct blob_score_set *
set_of_row(const struct model *model, const struct blob_calibration *calibration, const void *row)
{
    const struct blob_score_set *sets = sets_of(calibration);
    uint32_t low = 1;
    uint32_t high = calibration->set_count;

    if (calibration->group_feature < 0) {
        return &sets[0];
    }
    double x = model_number_get(model, row, (size_t)calibration->group_feature);
    if (isnan(x)) {
        return &sets[0];
    }
    while (low < high) { /* the first set whose `from` is over x */
        uint32_t middle = low + (high - low) / 2;
        if (sets[middle].from <= x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_binned = (calibration->flags & CALIBRATION_BINS) != 0;
    return low > 1 && (is_binned || sets[low - 1].from == x) ? &sets[low - 1] : &sets[0];
}

double
model_calibration_score(const struct model *model, const void *row, double level)
{
    const struct blob_calibration *calibration = calibration_of(model);

    AUGURY_ASSERT(calibration != NULL && level > 0.0 && level < 1.0);
    const struct blob_score_set *set = set_of_row(model, calibration, row);
    /* 0.07 × 100 is a little more than 7 in a double: what is a whole number stays one. */
    double rank = ceil(((double)set->rows + 1.0) * level - 1e-9);
    uint64_t k = rank < 1.0 ? 1 : (uint64_t)rank;
    if (k > set->rows) {
        return INFINITY;
    }
    /* Of a thinned set the first score whose rank is k or more: never too small. */
    uint64_t i = (k * set->scores + set->rows - 1) / set->rows;
    return scores_of(calibration)[set->first + i - 1];
}

int
model_calibration_models(const struct model *model, struct model *out_lower,
                         struct model *out_upper, struct err *err)
{
    const struct blob_calibration *calibration = calibration_of(model);

    AUGURY_ASSERT(calibration != NULL && calibration->score == MODEL_SCORE_QUANTILES);
    struct calibration_layout layout = calibration_layout(calibration);
    const uint8_t *section = (const uint8_t *)calibration;
    int rc = model_open(bytes_of(section + layout.lower, calibration->lower_bytes),
                        MODEL_CHECK_HEADER, out_lower, err);
    return rc != 0 ? rc
                   : model_open(bytes_of(section + layout.upper, calibration->upper_bytes),
                                MODEL_CHECK_HEADER, out_upper, err);
}
