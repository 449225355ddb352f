/* SPDX-License-Identifier: MIT */
/*
 * xgboost.h - private to the readers of XGBoost documents: the parts of a document, found once, and
 * the steps that are in files of their own.
 */
#pragma once

#include "import.h"

struct xgboost_document {
    struct import *import;
    const struct wire_value *learner;
    const struct wire_value *param;   /* learner.learner_model_param */
    const struct wire_value *booster; /* learner.gradient_booster */
    const struct wire_value *model;   /* of the trees or weights, wherever the version keeps it */
    const struct objective *objective;
    struct err *err;
};

/* xgboost.c: one sentence at a place; AUGURY_ERR_INVALID. */
int xgboost_invalid(struct xgboost_document *doc, const char *at, const char *reason);
int xgboost_no_memory(struct xgboost_document *doc);
/* A parameter: digits in a string, or a number; fallback when absent. */
AUGURY_MUST_USE int xgboost_read_param(struct xgboost_document *doc,
                                       const struct wire_value *object, const char *key,
                                       uint32_t fallback, uint32_t *out_number);

/* xgboost_trees.c: model.trees, or those of the iterations that were asked for. */
AUGURY_MUST_USE int xgboost_read_trees(struct xgboost_document *doc, struct neutral_model *model);

/* xgboost_tree.c: tree `number` of model.trees, with vectors when its leaves have one value for
 * each of the model's outputs. */
AUGURY_MUST_USE int xgboost_read_tree(struct xgboost_document *doc, const struct wire_value *tree,
                                      uint32_t number, uint32_t output_count,
                                      struct neutral_tree *out_tree);

/* xgboost_schema.c: feature_names, feature_types and the dictionaries of categories. */
AUGURY_MUST_USE int xgboost_read_schema(struct import *import, const struct wire_value *learner,
                                        const struct wire_value *model,
                                        struct neutral_model *out_model, struct err *err);
