/* SPDX-License-Identifier: MIT */
/*
 * onnx.h - private to the readers of ONNX files: the graph as its messages say it, the numbers of
 * attributes, and the steps that are in files of their own.
 * Everything points into the file or lives in the import's arena.
 * Source: onnx.proto, the operators of domain ai.onnx.ml 1 to 5; where they leave a choice, what
 * onnxruntime answers.
 */
#pragma once

#include "import.h"
#include "protobuf.h"

enum {
    ONNX_NODES_MAX = 256, /* of a graph around one model: converters write under 30 */
    /* Each of: inputs of the graph, initializers, tensors that its nodes read, that they make.
     * Names are looked for one after another, so that a file may not have many. */
    ONNX_NAMES_MAX = 4096,
    ONNX_NAME_SHOWN = 60 /* characters of a name in a message */
};

/* TensorProto.DataType */
enum onnx_type { ONNX_FLOAT = 1, ONNX_UINT8 = 2, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_DOUBLE = 11 };

struct onnx_node {
    struct bytes op;
    struct bytes domain;
    struct bytes body; /* the NodeProto, for its attributes */
    const struct bytes *inputs;
    const struct bytes *outputs;
    uint32_t input_count;
    uint32_t output_count;
};

/* What the caller feeds. */
struct onnx_input {
    struct bytes name;
    uint32_t type; /* enum onnx_type, 0: not said, or no tensor */
    int64_t width; /* last of two dimensions; 0: not said */
};

struct onnx {
    struct import *import;
    struct err *err;
    struct bytes producer;
    struct bytes producer_version;
    uint64_t opset;    /* of domain ai.onnx, 0: not said */
    uint64_t ml_opset; /* of domain ai.onnx.ml */
    uint32_t node_count;
    const struct onnx_node *nodes;
    uint32_t input_count;
    const struct onnx_input *inputs;
    uint32_t read_count; /* tensors that all nodes read */
    uint32_t made_count; /* that they make */
    uint32_t initializer_count;
    const struct bytes *initializers; /* names */
};

/* Numbers of an attribute. */
struct onnx_numbers {
    const double *values;
    size_t count;
    bool is_double; /* else every one is a float32 widened */
};
struct onnx_integers {
    const int64_t *values;
    size_t count;
};

/* What the nodes before the model do with the inputs. */
struct onnx_rows {
    uint32_t type;       /* enum onnx_type of what the model reads */
    uint32_t input_type; /* of the inputs, casts next to them included */
    uint32_t width;      /* columns, 0: not said */
    /* Concatenated inputs, one name a column; NULL: the columns have none. */
    const struct bytes *names;
    const double *fills; /* what a missing value becomes, one a column or one for all; NULL: it
                          * stays missing */
    size_t fill_count;
    /* Of a Scaler: (x - offset) × scale, one a column or one for all; counts 0: there is none. */
    struct onnx_numbers offsets;
    struct onnx_numbers scales;
    bool is_fill_scaled; /* what is missing is filled in before the scaling, not after it */
};

/* ---- errors -------------------------------------------------------------------------------- */

/* onnx_attribute.c: AUGURY_ERR_INVALID or AUGURY_ERR_UNSUPPORTED with a sentence, at the node's
 * operator. */
int onnx_invalid(struct onnx *onnx, const struct onnx_node *node, const char *fmt, ...)
    AUGURY_PRINTF(3, 4);
int onnx_unsupported(struct onnx *onnx, const struct onnx_node *node, const char *fmt, ...)
    AUGURY_PRINTF(3, 4);
int onnx_no_memory(struct onnx *onnx);

/* ---- attributes (onnx_attribute.c) --------------------------------------------------------- */

/* The AttributeProto of that name: 0, AUGURY_NOT_FOUND or an error. */
AUGURY_MUST_USE int onnx_attribute(struct onnx *onnx, const struct onnx_node *node,
                                   const char *name, struct bytes *out_body);
/* Absent attributes have count 0, or are the fallback. */
AUGURY_MUST_USE int onnx_integers(struct onnx *onnx, const struct onnx_node *node, const char *name,
                                  struct onnx_integers *out_integers);
AUGURY_MUST_USE int onnx_integer(struct onnx *onnx, const struct onnx_node *node, const char *name,
                                 int64_t fallback, int64_t *out_integer);
AUGURY_MUST_USE int onnx_float(struct onnx *onnx, const struct onnx_node *node, const char *name,
                               double fallback, double *out_number);
AUGURY_MUST_USE int onnx_text(struct onnx *onnx, const struct onnx_node *node, const char *name,
                              const char *fallback, struct bytes *out_text);
AUGURY_MUST_USE int onnx_texts(struct onnx *onnx, const struct onnx_node *node, const char *name,
                               const struct bytes **out_texts, size_t *out_count);
/* Floats, or the tensor of the attribute `name`_as_tensor, or a tensor of that very name. */
AUGURY_MUST_USE int onnx_numbers(struct onnx *onnx, const struct onnx_node *node, const char *name,
                                 struct onnx_numbers *out_numbers);

/* onnx_tensor.c: a TensorProto of one of the types above, as doubles. */
AUGURY_MUST_USE int onnx_tensor(struct onnx *onnx, const struct onnx_node *node, const char *name,
                                struct bytes tensor, struct onnx_numbers *out_numbers);

/* ---- steps --------------------------------------------------------------------------------- */

/* onnx_proto.c: ModelProto and GraphProto. */
AUGURY_MUST_USE int onnx_read_graph(struct onnx *onnx, struct bytes file);

/* onnx_graph.c: the node that is a model, and what looks for nodes. */
AUGURY_MUST_USE int onnx_find_model(struct onnx *onnx, const struct onnx_node **out_node);
bool onnx_is_op(const struct onnx_node *node, const char *op);
/* The node that makes a tensor, or NULL. */
const struct onnx_node *onnx_find_maker(const struct onnx *onnx, struct bytes tensor);
int onnx_unknown_operator(struct onnx *onnx, const struct onnx_node *node);
/* Of a Cast to FLOAT or DOUBLE: what it casts to. */
AUGURY_MUST_USE int onnx_cast_type(struct onnx *onnx, const struct onnx_node *node,
                                   uint32_t *out_type);

/* onnx_rows.c: what stands before the model. */
AUGURY_MUST_USE int onnx_read_rows(struct onnx *onnx, const struct onnx_node *node,
                                   struct onnx_rows *out_rows);
/* What a missing value of a column becomes; NaN: it stays missing. */
double onnx_rows_fill(const struct onnx_rows *rows, size_t column);
/* A value of a column behind the Scaler. */
float onnx_rows_scaled(const struct onnx_rows *rows, size_t column, float x);

/* onnx_graph.c: applies what the nodes behind the model make of its scores to the model's link. */
AUGURY_MUST_USE int onnx_apply_rest(struct onnx *onnx, const struct onnx_node *node,
                                    struct neutral_model *model);

/* onnx_link.c: post_transform of scores. ONNX_ONE_COLUMN: a classifier of two classes that has a
 * score of one of them alone. */
enum onnx_scores { ONNX_VALUES, ONNX_CLASSES, ONNX_ONE_COLUMN };
AUGURY_MUST_USE int onnx_set_link(struct onnx *onnx, const struct onnx_node *node,
                                  struct bytes transform, enum onnx_scores scores,
                                  struct neutral_model *model);

/* Labels of a classifier: how many, and their names when they say more than a class's number does.
 * ints: the attribute's name, which differs between the operators. */
struct onnx_labels {
    size_t count;
    const struct bytes *names; /* or NULL */
};
AUGURY_MUST_USE int onnx_read_labels(struct onnx *onnx, const struct onnx_node *node,
                                     const char *ints, struct onnx_labels *out_labels);
/* Once link and outputs are set. */
void onnx_set_classes(const struct onnx_labels *labels, struct neutral_model *model);

/* onnx_targets.c: TreeEnsembleRegressor and TreeEnsembleClassifier. onnx_ensemble.c: TreeEnsemble
 * of ai.onnx.ml 5. onnx_linear.c: LinearRegressor and LinearClassifier. */
AUGURY_MUST_USE int onnx_read_trees(struct onnx *onnx, const struct onnx_node *node,
                                    const struct onnx_rows *rows, struct neutral_model *model);
AUGURY_MUST_USE int onnx_read_ensemble(struct onnx *onnx, const struct onnx_node *node,
                                       const struct onnx_rows *rows, struct neutral_model *model);
AUGURY_MUST_USE int onnx_read_linear(struct onnx *onnx, const struct onnx_node *node,
                                     const struct onnx_rows *rows, struct neutral_model *model);
