/* SPDX-License-Identifier: MIT */
/*
 * replay.h - rows whose answers are known, evaluated again: a model that answers otherwise than its
 * training library did is refused before anybody asks it.
 * Ownership: the arrays are the caller's. Errors: 0 agrees, < 0 with struct err filled.
 */
#pragma once

#include "augury/model.h"

enum replay_output { REPLAY_MARGINS, REPLAY_PREDICTIONS, REPLAY_PROBABILITIES };

#define REPLAY_TOLERANCE 1e-9 /* for a source of float64 that names none */

struct replay {
    const char *code; /* of the error: "self_test_failed", "golden_mismatch" */
    enum replay_output output;
    uint32_t row_count;
    const double *rows;     /* row_count × feature_count; NaN is missing */
    const double *expected; /* row_count × replay_width(); NaN: not compared */
    /* The most that an answer may differ by, as a share of |expected|, or of its column's median
     * where that is greater: near 0 a sum of large terms has few digits of its own, and one huge
     * answer excuses no other. */
    double tolerance;
};

/* Numbers a row of that output; 0: the model has no such output. */
uint32_t replay_width(const struct model *model, enum replay_output output);

/* Refuses (replay->code; `at` is "row 3, output 1") the first answer that differs by more than
 * the tolerance allows; the reason says how many do. A row with a missing value where a feature
 * allows none is evaluated as it stands. scratch is used and given back. */
AUGURY_MUST_USE int replay_run(const struct model *model, const struct replay *replay,
                               struct arena *scratch, struct err *err);
