/* SPDX-License-Identifier: MIT */
/*
 * model.h - models: read foreign files, compile them into flat blobs, keep them in a registry,
 * evaluate them from the map.
 * Room: model (floor 2, uses base, store, wire, seal, stats). Process: import in cli and
 * supervisor; evaluation in workers and cli.
 * A compiled model (blob) is offset-only, little-endian, checksummed and validated when it is made,
 * so that a kernel's indices are in range by construction. struct model is a view over a blob and
 * owns nothing.
 * Sources: XGBoost model format 1.0 to 3.x (JSON and UBJSON), LightGBM text v2 to v4,
 * ONNX (ai.onnx.ml 1 to 5).
 * docs/formats.md has the blob byte by byte.
 * Errors: 0 done, > 0 a normal no, < 0 a failure with struct err filled. Never logs.
 */
#pragma once

#include "augury/base.h"
#include "augury/wire.h"

enum {
    MODEL_NAME_MAX = 64,  /* [A-Za-z0-9._-], first a letter or digit */
    MODEL_LABEL_MAX = 32, /* as names, not all digits */
    MODEL_FEATURES_MAX = 65535,
    MODEL_OUTPUTS_MAX = 4096, /* margins a row (K) */
    MODEL_TREE_DEPTH_MAX = 512,
};

/* ---- schema ------------------------------------------------------------------------------ */

enum model_feature_type { MODEL_FLOAT, MODEL_INTEGER, MODEL_BOOLEAN, MODEL_CATEGORY };

struct model_feature {
    struct bytes name;
    enum model_feature_type type;
    bool is_missing_allowed;
    bool is_unknown_allowed; /* a text that is no level has the code level_count */
    uint32_t level_count;    /* of MODEL_CATEGORY with named levels: level i has code i */
};

/* The same without the name, in one register: a question asks it of every feature. */
struct model_feature_kind {
    uint32_t level_count;
    uint8_t type; /* enum model_feature_type */
    bool is_missing_allowed;
    bool is_unknown_allowed;
};

/* ---- import ------------------------------------------------------------------------------ */

struct model_import_options {
    const char *names; /* "a,b,c", or NULL */
    /* JSON text of a schema file: {"features":[{"name","type","levels","missing"}]}. data NULL:
     * there is none. */
    struct bytes schema;
    bool is_best_iteration; /* only the trees up to attributes.best_iteration (inclusive) */
    /* Only the trees of iterations begin up to, not including, end, as XGBoost's iteration_range.
     * End 0: to the last one; both 0: all. Not together with is_best_iteration. */
    uint32_t iteration_begin;
    uint32_t iteration_end;
};

/* "A:B", "A:" or ":B" into iterations A up to, not including, B (0: to the last one).
 * AUGURY_ERR_INVALID when text is no such range or an empty one. */
AUGURY_MUST_USE int model_iterations_parse(struct bytes text, uint32_t *out_begin,
                                           uint32_t *out_end);

/* Reads a whole foreign file (format found by its bytes), validates everything and compiles it. The
 * blob is appended to out_blob, whose length must be divisible by 8 (0 is). Errors say what was
 * wrong, where ("tree 3, node 17") and what would be right. Memory: at most 40 × the file, mostly
 * under 10 ×. */
AUGURY_MUST_USE int model_import(struct bytes file, const struct model_import_options *options,
                                 struct buf *out_blob, struct err *err);

/* ---- a compiled model ---------------------------------------------------------------------- */

/* The precision a model was trained in: that of its rows, thresholds, sums and answers. */
enum model_number { MODEL_FLOAT32, MODEL_FLOAT64 };

enum model_link {
    MODEL_LINK_IDENTITY,
    MODEL_LINK_SIGMOID /* of each output */,
    MODEL_LINK_EXP,
    MODEL_LINK_SOFTPROB /* K probabilities */,
    MODEL_LINK_SOFTMAX /* number of the greatest class */,
    MODEL_LINK_HINGE /* margin > 0 */,
    MODEL_LINK_PROBABILITY /* margins are probabilities already (forests) */,
    MODEL_LINK_LOG1P_EXP /* log(1 + exp(margin)) */,
    MODEL_LINK_SIGNED_SQUARE /* sign(margin) × margin² */,
    MODEL_LINK_SIGMOID_SHARE /* sigmoid of each output, divided by their sum */,
    MODEL_LINK_COUNT
};

enum model_blob_check {
    MODEL_CHECK_HEADER /* magic, version, sizes */,
    MODEL_CHECK_ALL /* and the checksum and every index */
};

struct kernel_ops;

/* A view; the bytes must stay put and be 8-byte aligned at least (16 bytes past a page for the
 * best speed). */
struct model {
    const uint8_t *blob;
    size_t blob_bytes;
    uint32_t feature_count;
    uint32_t output_count; /* K: margins a row */
    uint32_t tree_count;
    /* Values of the output `prediction` a row: K, or 1 for MODEL_LINK_SOFTMAX. */
    uint32_t prediction_count;
    uint32_t probability_count; /* 0: the model has none */
    enum model_number number;
    enum model_link link;
    struct digest content; /* digest of the blob: part of every cache key */
    const void *layout;    /* private to the kernels */
    /* Which kernel answers: for calls of fewer than batch_rows_min rows, and for the others. */
    const struct kernel_ops *row_kernel;
    const struct kernel_ops *batch_kernel;
    size_t batch_rows_min;
};
AUGURY_MUST_USE int model_open(struct bytes blob, enum model_blob_check check,
                               struct model *out_model, struct err *err);

struct model_feature model_feature(const struct model *model, uint32_t feature);
struct model_feature_kind model_feature_kind(const struct model *model, uint32_t feature);
/* The feature of that name, or -1. hint: where it is likely (the one after the last found). */
int32_t model_feature_find(const struct model *model, struct bytes name, uint32_t hint);
struct bytes model_feature_level(const struct model *model, uint32_t feature, uint32_t level);
int32_t model_feature_level_find(const struct model *model, uint32_t feature,
                                 struct bytes name); /* code, or -1 */
/* Name of class i in the order of the probabilities; empty when the classes have none. */
struct bytes model_class_name(const struct model *model, uint32_t i);
uint32_t model_class_count(const struct model *model);   /* that have names: 0 or all */
const char *model_kind(const struct model *model);       /* "gbtree", "dart", "gblinear" */
struct bytes model_objective(const struct model *model); /* "binary:logistic" */
struct bytes model_source(const struct model *model);    /* "xgboost 1.7.4 json" */
void model_base_margins(const struct model *model, double *out_margins); /* K */

/* ---- evaluation: no allocation, no lock, no library call ----------------------------------- */

/* Rows, margins, predictions and probabilities are arrays of the model's numbers: float for
 * MODEL_FLOAT32, double for MODEL_FLOAT64. */
static inline size_t
model_number_bytes(const struct model *model)
{
    return model->number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double);
}

static inline double
model_number_get(const struct model *model, const void *numbers, size_t i)
{
    return model->number == MODEL_FLOAT32 ? (double)((const float *)numbers)[i]
                                          : ((const double *)numbers)[i];
}

static inline void
model_number_set(const struct model *model, void *numbers, size_t i, double number)
{
    if (model->number == MODEL_FLOAT32) {
        ((float *)numbers)[i] = (float)number;
    } else {
        ((double *)numbers)[i] = number;
    }
}

/* Working memory for up to row_count rows at a time, 64-byte aligned, of any content; SIZE_MAX: for
 * any number. Kernels for many rows want some megabytes, those for a few some kilobytes. */
size_t model_scratch_bytes(const struct model *model, size_t row_count);

/* rows: row_count × feature_count, row-major, NaN is missing. out_margins: row_count × K. Equal to
 * XGBoost bit for bit; to LightGBM and scikit-learn within 1e-12 relative. */
void model_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   void *out_margins);

/* Why a scorecard's row has not more points: an attribute whose bin has fewer than the attribute's
 * reference, and the code that the card gives for it. */
struct model_reason {
    struct bytes code;
    double points_lost;
    uint32_t feature;
};
bool model_has_reasons(const struct model *model);
/* The most important first (most points lost; of equals the card's order), each code once with its
 * largest loss, at most max. Returns how many. row: feature_count of the model's numbers. */
size_t model_reasons(const struct model *model, const void *row, size_t max,
                     struct model_reason *out_reasons);
/* out_leaves: row_count × tree_count: number of the leaf node in the source file's tree. */
void model_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  uint32_t *out_leaves);
/* Every kernel gives the same bits; they differ in speed and in what they need of the processor.
 * The best is chosen when a model is opened. */
enum { MODEL_KERNELS_MAX = 16 };
/* The name of the one that answers a call of row_count rows: "row-avx512". */
const char *model_kernel(const struct model *model, size_t row_count);
/* Names of those that can answer for this model on this processor; the count is returned. */
size_t model_kernel_names(const struct model *model, const char **out_names, size_t room);
/* From now on this one answers all; "auto" or "": the best again. The working memory must be asked
 * for anew. AUGURY_ERR_INVALID names those that can. */
AUGURY_MUST_USE int model_force_kernel(struct model *model, const char *name, struct err *err);
/* The same where that kernel can answer for the model; otherwise nothing changes. */
void model_prefer_kernel(struct model *model, const char *name);
/* Whether this processor has a kernel of that name, for any model, or it is "auto" or "". */
AUGURY_MUST_USE int model_kernel_check(const char *name, struct err *err);

/* margins: row_count × K; out: row_count × prediction_count (what the library's predict returns; of
 * MODEL_FLOAT32 in XGBoost's own float32 arithmetic). */
void model_predictions(const struct model *model, const void *margins, size_t row_count,
                       void *out_predictions);
/* out: row_count × probability_count; classes in order (binary: 1 - p, p). */
void model_probabilities(const struct model *model, const void *margins, size_t row_count,
                         void *out_probabilities);

/* ---- spread: what each tree of a forest answers alone --------------------------------------- */

/* Of a row, over the trees: population standard deviation, least and greatest answer. */
enum { MODEL_SPREAD_STD, MODEL_SPREAD_MIN, MODEL_SPREAD_MAX, MODEL_SPREAD_COUNT };
/* Forests (means of independent trees) that predict one number. */
bool model_has_spread(const struct model *model);
size_t model_spread_scratch_bytes(const struct model *model); /* 64-byte aligned */
/* out_spreads: row_count × MODEL_SPREAD_COUNT. */
void model_spread(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  double *out_spreads);

/* ---- intervals: conformal scores of held-out rows, kept in the blob ------------------------- */

/* What was measured of each held-out row. */
enum model_score {
    MODEL_SCORE_NONE,
    MODEL_SCORE_RESIDUAL, /* |target - prediction| */
    MODEL_SCORE_CLASS,    /* 1 - the true class' probability (LAC: Sadinle, Lei, Wasserman 2019) */
    /* How far the target lies outside what two further models predict, negative inside (CQR:
     * Romano, Patterson, Candes 2019). */
    MODEL_SCORE_QUANTILES,
    MODEL_SCORE_COUNT
};

enum {
    MODEL_CALIBRATION_ROWS_MIN = 20, /* of the whole and of a group: levels up to 20 / 21 */
    MODEL_CALIBRATION_GROUPS_MAX = 256,
    MODEL_CALIBRATION_SCORES_MAX = 4096, /* stored of one group */
};

struct model_calibration {
    enum model_score score; /* MODEL_SCORE_NONE: the model has no calibration */
    uint32_t row_count;     /* held-out rows */
    uint32_t group_count;   /* with scores of their own */
    int32_t group_feature;  /* -1: no groups */
    bool is_binned;         /* a group is the values from `from` up to the next one's */
    struct bytes target;    /* name of the column */
};
struct model_calibration model_calibration(const struct model *model);
struct model_calibration_group {
    double from; /* the group's value */
    uint32_t row_count;
};
struct model_calibration_group model_calibration_group(const struct model *model, uint32_t group);

/* The score that a fraction `level` (over 0, under 1) of rows like this one does not exceed: of its
 * group where that has scores, else of all rows. INFINITY: too few rows for that level. Of a model
 * that has a calibration. */
double model_calibration_score(const struct model *model, const void *row, double level);
/* The two models of MODEL_SCORE_QUANTILES. */
AUGURY_MUST_USE int model_calibration_models(const struct model *model, struct model *out_lower,
                                             struct model *out_upper, struct err *err);

/* Makes a calibration: new, add blocks of held-out rows, finish. Memory: 16 bytes a row. */
struct model_calibrator;
struct model_calibrator_options {
    const char *target;                /* name of the column; outlives the calibrator */
    int32_t group_feature;             /* -1: no groups */
    uint32_t bins;                     /* 0: each value is a group; else so many ranges */
    const struct model *lower, *upper; /* of MODEL_SCORE_QUANTILES: both, else NULL */
};
AUGURY_MUST_USE int model_calibrator_new(const struct model *model,
                                         const struct model_calibrator_options *options,
                                         struct model_calibrator **out_calibrator, struct err *err);
void model_calibrator_free(struct model_calibrator **calibrator);
/* Whether a target can be one: a finite number, of a classifier the number of a class. */
bool model_calibrator_takes(const struct model_calibrator *calibrator, double target);
AUGURY_MUST_USE int model_calibrator_add(struct model_calibrator *calibrator, const void *rows,
                                         const double *targets, size_t row_count, struct err *err);
/* Appends the model's blob with the calibration in place of one that it had. out_blob's length must
 * be divisible by 8. */
AUGURY_MUST_USE int model_calibrator_finish(struct model_calibrator *calibrator,
                                            struct buf *out_blob, struct err *err);

/* ---- contributions ------------------------------------------------------------------------- */

/*
 * How much each feature moved a margin away from the model's average over its training rows
 * (Shapley values, path-dependent; of linear models weight × value). Over the features and the bias
 * they add up to the margin: within 1e-4 relative of MODEL_FLOAT32, 1e-9 of MODEL_FLOAT64. Equal to
 * XGBoost's pred_contribs within float32 rounding.
 */

/* 0, or AUGURY_ERR_UNSUPPORTED (no_such_output) with what the model lacks. */
AUGURY_MUST_USE int model_has_contributions(const struct model *model, struct err *err);
/* Working memory, as model_scratch_bytes(). */
size_t model_contributions_scratch_bytes(const struct model *model, size_t row_count);
/* Numbers a row: K × (feature_count + 1). */
static inline size_t
model_contributions_count(const struct model *model)
{
    return (size_t)model->output_count * (model->feature_count + 1);
}
/* Of a model that has them. out: row_count × K × (feature_count + 1) numbers, the bias last. */
void model_contributions(const struct model *model, const void *rows, size_t row_count,
                         void *scratch, void *out);
/* Of one output's contributions (feature_count numbers): the k features that moved the margin most,
 * by magnitude, the earlier of equals first. Returns how many: k, or feature_count. */
uint32_t model_contributions_top(const struct model *model, const void *values, uint32_t k,
                                 uint32_t *out_features);
