/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what the tests of the engine against foreign answers share: files of rows and numbers,
 * and a model imported from bytes.
 * Ownership: the caller frees by the _fini of each type. Errors: false with the reason on standard
 * output as a TAP comment.
 */
#pragma once

#include "augury/model.h"

/* A matrix of float32; an empty cell is NaN. */
struct oracle_rows {
    float *values;
    size_t count;
    size_t columns;
};

/* The same in float64. */
struct oracle_numbers {
    double *values;
    size_t count;
    size_t columns;
};

/* path is below the source folder (AUGURY_SOURCE, else "."). */
bool oracle_read(const char *path, struct buf *out_file);
bool oracle_read_tsv(const char *path, struct oracle_rows *out_rows);
/* Entries `index:value` count columns from 0; a column that a line does not name is missing. */
bool oracle_read_libsvm(const char *path, size_t columns, struct oracle_rows *out_rows);
void oracle_rows_fini(struct oracle_rows *rows);
bool oracle_read_tsv_f64(const char *path, struct oracle_numbers *out_numbers);
void oracle_numbers_fini(struct oracle_numbers *numbers);

/* An imported model with its blob at an address as good as the registry's, and its scratch. */
struct oracle_model {
    struct model model;
    uint8_t *room;
    void *scratch;
};
bool oracle_model_init(struct bytes file, const struct model_import_options *options,
                       struct oracle_model *out_model, struct err *err);
void oracle_model_fini(struct oracle_model *model);
/* Every kernel that can run, over all rows at once, one by one and in odd groups, against margins
 * that are known to be right: to the bit. rows and margins are of the model's numbers. */
bool oracle_kernels_agree(struct oracle_model *model, const void *rows, size_t row_count,
                          const void *margins, const char *what);

bool oracle_same_bits(float a, float b); /* every NaN is the same */
/* Steps of float32 between two numbers of one sign; large otherwise. */
uint32_t oracle_ulps(float a, float b);
/* |a - b| / max(|b|, 1e-6) */
double oracle_relative(float a, float b);
double oracle_relative_f64(double a, double b);

/* A small generator with a seed: the same rows and models on every machine. */
struct oracle_random {
    uint64_t state;
};
struct oracle_random oracle_random_of(uint64_t seed);
uint32_t oracle_next(struct oracle_random *random);
uint32_t oracle_below(struct oracle_random *random, uint32_t limit); /* 0 .. limit - 1 */
float oracle_unit(struct oracle_random *random);                     /* [0, 1) */
float oracle_normal(struct oracle_random *random);                   /* about N(0, 1) */

/* A whole number from the environment, or `fallback`. */
uint64_t oracle_setting(const char *name, uint64_t fallback);
