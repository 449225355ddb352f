/* SPDX-License-Identifier: MIT */
/*
 * augury_json.h - the readers of augury's own model JSON (docs/model-json.md), one file a part, and
 * the few steps that they share. Unlike those of foreign formats they refuse members that they do
 * not know: the format has a version, so an unknown one is a slip of whoever wrote it.
 * Ownership: what they make lives in the import's arena.
 */
#pragma once

#include "import.h"

enum { AUGURY_JSON_VERSION = 1 };

/* Names in byte order, each with its number: found by halving. */
struct name_index {
    struct named_code *names;
    uint32_t count;
};

struct reader {
    struct import *import;
    const struct wire_value *document;
    struct neutral_model *model; /* being filled */
    struct name_index features;  /* by their names */
    struct name_index *levels;   /* of each feature */
    struct err *err;
};

/* ---- augury_json_value.c: steps of reading. `at` is the place that an error names. ---- */

int reader_refuse(struct reader *reader, const char *at, const char *fmt, ...) AUGURY_PRINTF(3, 4);
/* NULL when memory is used up, with the error set. */
void *reader_alloc(struct reader *reader, size_t count, size_t size);
/* An object, all of whose members are among names. */
AUGURY_MUST_USE int reader_object(struct reader *reader, const struct wire_value *value,
                                  const char *const *names, size_t count, const char *at);
AUGURY_MUST_USE int reader_number(struct reader *reader, const struct wire_value *value,
                                  const char *at, double *out_number);
/* A member that is a number; fallback when it is absent. */
AUGURY_MUST_USE int reader_optional(struct reader *reader, const struct wire_value *object,
                                    const char *key, double fallback, double *out_number);
/* A whole number from 0 to max. */
AUGURY_MUST_USE int reader_count(struct reader *reader, const struct wire_value *value,
                                 uint32_t max, const char *at, uint32_t *out_count);
/* An array of finite numbers. */
AUGURY_MUST_USE int reader_numbers(struct reader *reader, const struct wire_value *value,
                                   const char *at, double **out_numbers, uint32_t *out_count);
AUGURY_MUST_USE int reader_texts(struct reader *reader, const struct wire_value *value,
                                 const char *at, struct bytes **out_texts, uint32_t *out_count);
/* The text of a value; empty when it is none or NULL. */
struct bytes reader_text(const struct wire_value *value);
AUGURY_MUST_USE int reader_index(struct reader *reader, const struct bytes *names, uint32_t count,
                                 struct name_index *out_index);
/* The number of a name, or -1. */
int32_t name_index_find(const struct name_index *index, struct bytes name);
/* The place of a text in names, or -1. */
int32_t reader_choice(const struct wire_value *value, const char *const *names, size_t count);
/* A feature by its number or its name. */
AUGURY_MUST_USE int reader_feature(struct reader *reader, const struct wire_value *value,
                                   const char *at, uint32_t *out_feature);

/* ---- the parts ---- */

/* augury_json_trees.c: "trees" with "compare", "divisor", "init". */
AUGURY_MUST_USE int reader_trees(struct reader *reader);
/* augury_json_parts.c: "inputs"; "weights" and "bias"; "layers". */
AUGURY_MUST_USE int reader_inputs(struct reader *reader);
AUGURY_MUST_USE int reader_linear(struct reader *reader);
AUGURY_MUST_USE int reader_layers(struct reader *reader);
/* augury_json_scorecard.c: "attributes", "base_points", "reasons", "scaling". */
AUGURY_MUST_USE int reader_scorecard(struct reader *reader);
/* augury_json_test.c: "self_test", into the import. */
AUGURY_MUST_USE int reader_self_test(struct reader *reader);
