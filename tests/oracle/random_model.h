/* SPDX-License-Identifier: MIT */
/*
 * random_model.h - XGBoost JSON models of every kind from a seed, and rows drawn around their
 * thresholds: each threshold and its neighbours, signed zeros, infinities, denormals, missing.
 */
#pragma once

#include "oracle.h"

enum random_booster { RANDOM_GBTREE, RANDOM_DART, RANDOM_GBLINEAR };

enum { RANDOM_FEATURES_MAX = 24, RANDOM_POOL_MAX = 512 };

struct random_model {
    uint64_t seed;
    struct buf json;
    enum random_booster booster;
    const char *objective;
    unsigned feature_count;
    unsigned group_count;
    unsigned parallel_count;
    unsigned tree_count;
    unsigned depth; /* of the deepest tree */
    bool has_categories;
    unsigned category_counts[RANDOM_FEATURES_MAX];    /* 0: a number */
    float pool[RANDOM_FEATURES_MAX][RANDOM_POOL_MAX]; /* thresholds used with a feature */
    unsigned pool_counts[RANDOM_FEATURES_MAX];
};

/* Writes the model of the seed; *model is large: give it static or heap storage. */
bool random_model_init(struct random_model *model, uint64_t seed);
void random_model_fini(struct random_model *model);

/* Which infinities rows may hold: the library takes one sign at a time. */
enum random_rows { RANDOM_FINITE, RANDOM_PLUS_INFINITY, RANDOM_MINUS_INFINITY };
void random_model_rows(const struct random_model *model, enum random_rows kind,
                       struct oracle_random *random, size_t count, float *out_rows);
/* Remembers a threshold of a feature, for the rows. */
void random_model_note(struct random_model *model, unsigned feature, float threshold);
