/* SPDX-License-Identifier: MIT */
/*
 * predict.h - one question in, one answer out: rows → cache → model → cache.
 * Room: predict (floor 3, uses model, cache, wire, stats, base). Process: worker, cli, tests. No descriptor, no clock, no log: bytes and "now" are arguments.
 * A row is canonical when it stands in schema order as the model reads it (float32, -0 as +0, one NaN, rounded if the class asks for it),
 * so key order, white space and number spelling do not matter to the cache.
 */
#pragma once

#include "augury/cache.h"
#include "augury/registry.h"
#include "augury/wire.h"

enum predict_outputs {
    PREDICT_PREDICTION = 1 << 0,
    PREDICT_MARGIN = 1 << 1,
    PREDICT_PROBABILITIES = 1 << 2,
    PREDICT_LEAF = 1 << 3,
};
/* "margin" → PREDICT_MARGIN; AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int predict_output_find(struct bytes name, enum predict_outputs *out_output);
const char *predict_output_name(enum predict_outputs output); /* of one bit */
const char *predict_output_names(void); /* "prediction, margin, …" for messages */

enum predict_flags {
    PREDICT_USE_CACHE = 1 << 0,
    PREDICT_IGNORE_UNKNOWN =
        1 << 1, /* features that the model does not know are dropped, not refused */
};

/* A process's predictor: where models and cached answers are found. cache NULL: none. */
struct predict_context {
    struct registry *registry;
    struct cache *cache;
    struct stats_slot *stats;
    uint32_t ttl_s;
    uint32_t decimals; /* 255: features are not rounded for the key */
    uint32_t rows_max; /* of one question */
};

/* Exactly one of features, rows, data is set. */
struct predict_question {
    struct bytes model;
    struct bytes selector;             /* "", a version or a label */
    const struct wire_value *features; /* object: one row */
    const struct wire_value *rows;     /* array of objects */
    const struct wire_value
        *columns; /* array of names, with data; NULL: the model's features in order */
    const struct wire_value *data; /* array of arrays */
    unsigned outputs;              /* enum predict_outputs; 0: prediction */
    unsigned flags;                /* enum predict_flags */
    uint64_t now_wall_ms;
};

/* All of it lives in the arena, except model, which is valid until predict_end(). Row-major. */
struct predict_answer {
    const struct registry_model *model;
    size_t row_count;
    unsigned outputs;
    const float *predictions; /* row_count × model.prediction_count, or NULL when not asked for */
    const float *margins;     /* row_count × model.output_count */
    const float *probabilities; /* row_count × model.probability_count */
    const uint32_t *leaves;     /* row_count × model.tree_count */
    size_t hits;                /* rows answered from the cache */
    uint64_t expires_wall_ms;   /* earliest of the parts; 0: none came from or went to the cache */
};

/* Answers. On failure err has code and place: "unknown_model", "unknown_feature" at "rows[3].foo", "missing_feature", "invalid_feature", "invalid_category",
 * "no_such_output", "too_many_rows". Call predict_end() in every case, after the answer has been encoded. */
AUGURY_MUST_USE int predict_answer(struct predict_context *context,
                                   const struct predict_question *question, struct arena *arena,
                                   struct predict_answer *out_answer, struct err *err);
void predict_end(struct predict_context *context);

/* One row of texts (a file's cells) as the model reads it; for scoring files. cells[i] empty: missing. out_row: feature_count float32. */
AUGURY_MUST_USE int predict_cell(const struct model *model, uint32_t feature, struct bytes cell,
                                 float *out_value, struct err *err);
