/* SPDX-License-Identifier: MIT */
/*
 * calibration.h - the section BLOB_CALIBRATION: what calibrator.c writes and calibration.c reads.
 * Private to the room; docs/formats.md describes each byte. It is the last section of its blob:
 * struct blob_calibration, the sets, the scores, the target's name; then, of
 * MODEL_SCORE_QUANTILES, two whole blobs.
 */
#pragma once

#include "blob.h"

enum calibration_flags { CALIBRATION_BINS = 1 << 0 /* a group is a range, not a value */ };

enum {
    CALIBRATION_NO_FEATURE = -1,
    /* Like a blob's own place in the map: 16 bytes past a cache line. */
    CALIBRATION_MODEL_PLACE = BLOB_PAGE_OFFSET
};

struct blob_calibration {
    uint32_t score;                /* enum model_score; NONE: no section */
    uint32_t flags;                /* enum calibration_flags */
    /* 8 */ int32_t group_feature; /* or CALIBRATION_NO_FEATURE */
    uint32_t set_count;            /* the set of all rows, then those of the groups */
    /* 16 */ uint32_t score_count; /* of all sets */
    uint32_t target_bytes;
    /* 24 */ uint64_t lower_bytes, upper_bytes; /* of the two models; 0 without */
};

/* The k-th of `scores` scores has rank ⌊k × rows / scores⌋ among the set's rows. */
struct blob_score_set {
    double from;   /* the group's value, or the lower end of its range; of all rows: -inf */
    uint32_t rows; /* held-out rows */
    uint32_t scores;
    uint32_t first; /* of its scores */
    uint32_t reserved;
};

_Static_assert(sizeof(struct blob_calibration) == 40, "no padding");
_Static_assert(sizeof(struct blob_score_set) == 24, "no padding");

/* Places in the section. */
struct calibration_layout {
    uint64_t sets, scores, target, lower, upper, end;
};
struct calibration_layout calibration_layout(const struct blob_calibration *calibration);

/* Of one held-out row. */
struct scored {
    double score;
    double group; /* the value of its group's feature; NaN: none */
};

struct calibration_grouping {
    bool has_groups;
    uint32_t bins; /* 0: each value is a group; else so many ranges */
};

/* What a section is made of. */
struct calibration_sets {
    struct buf sets;   /* struct blob_score_set */
    struct buf scores; /* double */
};

/* Puts the rows in another order. */
AUGURY_MUST_USE int calibration_sets_make(struct scored *rows, size_t count,
                                          const struct calibration_grouping *grouping,
                                          struct calibration_sets *out_sets, struct err *err);

/* NULL: the model has none. */
const struct blob_calibration *calibration_of(const struct model *model);

/* Of a blob whose header is good: every index and order in the section, and the models in it. */
AUGURY_MUST_USE int calibration_check(const struct blob_header *header, struct err *err);
