/* SPDX-License-Identifier: MIT */
/*
 * lightgbm.h - what the files that read LightGBM text share: a cursor over lines, blocks of
 * `key=value` lines as maps, arrays of numbers.
 * Source of the format: LightGBM's GBDT::SaveModelToString() and Tree::ToString(), versions v2 to
 * v4.
 * Ownership: texts are borrowed from the file; arrays live in the import's arena.
 */
#pragma once

#include "import.h"

enum { LIGHTGBM_NO_TREE = UINT32_MAX };

struct lightgbm_reader {
    struct import *import;
    struct err *err;
    struct bytes rest; /* lines not read yet */
    uint32_t line;     /* number of the line read last, from 1 */
    uint32_t tree;     /* the tree in work, or LIGHTGBM_NO_TREE; for messages */
};

/* ---- lines --------------------------------------------------------------------------------- */

/* The next line without its end (\n or \r\n); false at the end of the file. */
bool lightgbm_line_next(struct lightgbm_reader *reader, struct bytes *out_line);
/* The line that ends a block: "Tree=0", "end of trees", "feature_importances:", … */
bool lightgbm_line_is_section(struct bytes line);
/* Whether nothing but empty lines is left. */
bool lightgbm_is_end(const struct lightgbm_reader *reader);

/* An error about a line of the file; 0: about no line. */
int lightgbm_invalid(struct lightgbm_reader *reader, uint32_t line, const char *fmt, ...)
    AUGURY_PRINTF(3, 4);
int lightgbm_no_memory(struct lightgbm_reader *reader);

/* ---- blocks -------------------------------------------------------------------------------- */

struct lightgbm_field {
    struct bytes value;
    uint32_t line; /* 0: the key is absent */
};

enum { LIGHTGBM_KEYS_MAX = 24 };

struct lightgbm_block {
    const char *const *keys; /* the known ones; others are skipped */
    unsigned key_count;
    struct lightgbm_field fields[LIGHTGBM_KEYS_MAX];
};

/* Reads up to the next section's line, which stays unread. Keys may come in any order, each
 * once. */
AUGURY_MUST_USE int lightgbm_block_read(struct lightgbm_reader *reader,
                                        struct lightgbm_block *block);
bool lightgbm_has(const struct lightgbm_block *block, unsigned key);
/* A count from 0 to INT32_MAX, which must be there. */
AUGURY_MUST_USE int lightgbm_count(struct lightgbm_reader *reader,
                                   const struct lightgbm_block *block, unsigned key,
                                   uint32_t *out_count);

/* The next word of a text of words between spaces; false when there is none. */
bool lightgbm_word_next(struct bytes *rest, struct bytes *out_word);
size_t lightgbm_word_count(struct bytes text);

/* Exactly `count` numbers; a double may be nan or inf. */
AUGURY_MUST_USE int lightgbm_doubles(struct lightgbm_reader *reader,
                                     const struct lightgbm_block *block, unsigned key, size_t count,
                                     double **out_numbers);
AUGURY_MUST_USE int lightgbm_integers(struct lightgbm_reader *reader,
                                      const struct lightgbm_block *block, unsigned key,
                                      size_t count, int64_t **out_numbers);

/* ---- parts --------------------------------------------------------------------------------- */

/* lightgbm_tree.c: the block after a line `Tree=i`. */
AUGURY_MUST_USE int lightgbm_read_tree(struct lightgbm_reader *reader,
                                       const struct neutral_model *model,
                                       struct neutral_tree *out_tree);

/* lightgbm_schema.c: names; infos and what pandas wrote may be absent. */
struct lightgbm_schema {
    struct lightgbm_field names;  /* feature_names */
    struct lightgbm_field infos;  /* feature_infos */
    struct lightgbm_field pandas; /* pandas_categorical, a JSON text */
};
AUGURY_MUST_USE int lightgbm_read_schema(struct lightgbm_reader *reader,
                                         const struct lightgbm_schema *schema,
                                         struct neutral_model *model);
