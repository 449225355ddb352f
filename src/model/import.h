/* SPDX-License-Identifier: MIT */
/*
 * import.h - the steps of an import, each in a file of its own: a document of one format becomes a
 * neutral model, which then gets its schema. Everything made here lives in the import's arena.
 */
#pragma once

#include "neutral.h"

/* One import, from the file's bytes to the blob. */
struct import {
    struct arena arena;
    const struct model_import_options *options;
    const char *format; /* "json", "ubjson" */
    /* Rows of the file with known answers, which the compiled model must give; or NULL. */
    const struct replay *self_test;
    uint32_t self_test_width; /* answers a row */
};

/* xgboost.c: the whole document into out_model, schema as far as the file tells (nameless
 * features have an empty name). */
AUGURY_MUST_USE int xgboost_read(struct import *import, const struct wire_value *document,
                                 struct neutral_model *out_model, struct err *err);

/* augury_json.c: whether a document is augury's own model JSON; and such a one into out_model. */
bool augury_json_is(const struct wire_value *document);
AUGURY_MUST_USE int augury_json_read(struct import *import, const struct wire_value *document,
                                     struct neutral_model *out_model, struct err *err);

/* import.c: 0 unless the options ask for some iterations, which this kind of model ("a gblinear
 * model") does not have. */
AUGURY_MUST_USE int import_refuse_iterations(const struct import *import, const char *what,
                                             struct err *err);

/* lightgbm.c: a whole LightGBM text into out_model, schema as far as the file tells. */
AUGURY_MUST_USE int lightgbm_read(struct import *import, struct bytes file,
                                  struct neutral_model *out_model, struct err *err);

/* onnx.c: whether a file begins as an ONNX model does, and the whole of one. */
bool onnx_is_file(struct bytes file);
AUGURY_MUST_USE int onnx_read(struct import *import, struct bytes file,
                              struct neutral_model *out_model, struct err *err);

/* schema.c: names from the options and the schema file on top of what the model file said, f0,
 * f1, … for the rest; features that a tree splits by category and nobody typed become
 * MODEL_CATEGORY. */
AUGURY_MUST_USE int schema_apply(struct import *import, struct neutral_model *model,
                                 struct err *err);

/* objective.c: what an objective means for base score and margins. */
struct objective {
    const char *name;
    enum model_link link;
    enum objective_base { BASE_IDENTITY, BASE_LOGIT, BASE_LOG } base;
    unsigned flags; /* enum neutral_flags */
};
/* NULL: unknown. */
const struct objective *objective_find(struct bytes name);
/* The margin that a base score stands for; not finite when the score is outside the objective's
 * range. */
float objective_base_margin(const struct objective *objective, float score);

/* text.c */
/* A whole text as a finite float32 (strtof, C locale). */
AUGURY_MUST_USE int text_to_f32(struct bytes text, float *out_number);
/* A whole text as a float64 (strtod, C locale), decimal; "nan", "inf" and "-inf" count as
 * numbers here. */
AUGURY_MUST_USE int text_to_f64(struct bytes text, double *out_number);
struct bytes text_trim(struct bytes text);
