/* SPDX-License-Identifier: MIT */
/*
 * api_golden.h - golden rows of an import. Private to the room. Process: supervisor, cli.
 */
#pragma once

#include "augury/api.h"

enum { GOLDEN_TARGETS_MAX = MODEL_OUTPUTS_MAX };
#define GOLDEN_TOLERANCE 1e-6

/* The words of an import that concern them; each may be NULL. */
struct golden_words {
    const char *path;
    const char *targets; /* "a,b": columns that hold the answers */
    const char *output;
    const char *tolerance;
};

struct golden {
    const char *path;
    struct buf file;
    char *names;
    const char *targets[GOLDEN_TARGETS_MAX];
    size_t target_count;
    enum registry_golden_output output;
    double tolerance;
    size_t row_count;
    struct buf rows;     /* row_count × feature_count doubles */
    struct buf expected; /* row_count × target_count doubles */
};

/* Reads the words and the file; *out_golden is the argument of golden_load(), or stays as it is
 * when there are no such words. */
AUGURY_MUST_USE int golden_open(const struct golden_words *words, struct golden **out_golden,
                                struct err *err);
void golden_close(struct golden **golden);
/* A registry_golden_fn. */
int golden_load(void *arg, const struct model *model, struct registry_golden *out_golden,
                struct err *err);
/* Gives a mismatch its place in the file. */
void golden_place(const struct golden *golden, struct err *err);
