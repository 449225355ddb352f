/* SPDX-License-Identifier: MIT */
/*
 * onnx_graph.c - the one node of a graph that is a model, what stands before it (casts, filling of
 * missing values, columns put side by side) and behind it (links, casts, dictionaries of classes).
 * Whatever is not understood is refused by its operator: a node left out would answer wrongly
 * without a sign.
 * The nodes of a graph are sorted: one that reads a tensor stands behind the one that makes it.
 */
#include <math.h>

#include "onnx.h"

static bool
is_op(const struct onnx_node *node, const char *op)
{
    return bytes_equal_text(node->op, op);
}

static bool
is_one_of(const struct onnx_node *node, const char *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_op(node, ops[i])) {
            return true;
        }
    }
    return false;
}

static bool
is_model(const struct onnx_node *node)
{
    static const char *const models[] = {"TreeEnsembleRegressor", "TreeEnsembleClassifier",
                                         "TreeEnsemble", "LinearRegressor", "LinearClassifier"};

    return is_one_of(node, models, AUGURY_COUNT(models));
}

static int
unknown_operator(struct onnx *onnx, const struct onnx_node *node)
{
    int len = (int)(node->op.len < ONNX_NAME_SHOWN ? node->op.len : ONNX_NAME_SHOWN);

    return onnx_unsupported(onnx, node,
                            "operator \"%.*s\" cannot stand here in a model that augury reads: one "
                            "TreeEnsemble, TreeEnsembleRegressor, TreeEnsembleClassifier, "
                            "LinearRegressor or LinearClassifier with plain steps around it",
                            len, (const char *)node->op.data);
}

int
onnx_find_model(struct onnx *onnx, const struct onnx_node **out_node)
{
    const struct onnx_node *found = NULL;

    for (uint32_t i = 0; i < onnx->node_count; i++) {
        if (!is_model(&onnx->nodes[i])) {
            continue;
        }
        if (found != NULL) {
            return onnx_unsupported(onnx, &onnx->nodes[i],
                                    "the graph has two models; augury reads one");
        }
        found = &onnx->nodes[i];
    }
    if (found == NULL) {
        return onnx->node_count > 0
                   ? unknown_operator(onnx, &onnx->nodes[0])
                   : err_set(onnx->err, AUGURY_ERR_INVALID, "invalid_model", "an empty graph");
    }
    *out_node = found;
    return 0;
}

static const struct onnx_input *
find_input(const struct onnx *onnx, struct bytes name)
{
    for (uint32_t i = 0; i < onnx->input_count; i++) {
        if (bytes_equal(onnx->inputs[i].name, name)) {
            return &onnx->inputs[i];
        }
    }
    return NULL;
}

static const struct onnx_node *
find_maker(const struct onnx *onnx, struct bytes tensor)
{
    for (uint32_t i = 0; i < onnx->node_count; i++) {
        for (uint32_t k = 0; k < onnx->nodes[i].output_count; k++) {
            if (bytes_equal(onnx->nodes[i].outputs[k], tensor)) {
                return &onnx->nodes[i];
            }
        }
    }
    return NULL;
}

static bool
is_initializer(const struct onnx *onnx, struct bytes name)
{
    for (uint32_t i = 0; i < onnx->initializer_count; i++) {
        if (bytes_equal(onnx->initializers[i], name)) {
            return true;
        }
    }
    return false;
}

/* ---- before the model ---------------------------------------------------------------------- */

/* A Cast to FLOAT or DOUBLE: what it casts to. */
static int
cast_type(struct onnx *onnx, const struct onnx_node *node, uint32_t *out_type)
{
    int64_t to = 0;
    int rc = onnx_integer(onnx, node, "to", 0, &to);

    if (rc == 0 && to != ONNX_FLOAT && to != ONNX_DOUBLE) {
        rc = onnx_unsupported(onnx, node,
                              "a cast to data type %lld; augury reads FLOAT (1) and "
                              "DOUBLE (11)",
                              (long long)to);
    }
    *out_type = (uint32_t)to;
    return rc;
}

/* Follows one column or one matrix up to an input of the graph. */
static int
follow(struct onnx *onnx, const struct onnx_node *reader, struct bytes tensor,
       const struct onnx_input **out_input, uint32_t *out_type)
{
    uint32_t type = 0;

    for (uint32_t steps = 0; steps <= onnx->node_count; steps++) {
        const struct onnx_node *maker = find_maker(onnx, tensor);
        const struct onnx_input *input = find_input(onnx, tensor);
        if (maker == NULL && input != NULL) {
            *out_input = input;
            *out_type = type != 0 ? type : input->type;
            return 0;
        }
        if (maker == NULL || maker->input_count == 0) {
            return onnx_invalid(onnx, maker != NULL ? maker : reader,
                                "reads a tensor that nothing makes");
        }
        uint32_t cast = 0;
        int rc = is_op(maker, "Identity") ? 0
                 : is_op(maker, "Cast")   ? cast_type(onnx, maker, &cast)
                                          : unknown_operator(onnx, maker);
        if (rc != 0) {
            return rc;
        }
        type = type != 0 ? type : cast; /* the last cast decides */
        tensor = maker->inputs[0];
    }
    return onnx_invalid(onnx, reader, "the graph has a cycle");
}

static int
single_matrix(struct onnx *onnx, const struct onnx_node *node, struct bytes tensor,
              struct onnx_rows *rows)
{
    const struct onnx_input *input = NULL;
    uint32_t type = 0;
    int rc = follow(onnx, node, tensor, &input, &type);

    if (rc == 0) {
        rows->type = rows->type != 0 ? rows->type : type;
        rows->width = (uint32_t)input->width;
    }
    return rc;
}

/* Columns that are inputs of their own, each with a name. */
static int
many_columns(struct onnx *onnx, const struct onnx_node *concat, struct onnx_rows *rows)
{
    struct bytes *names = arena_zalloc(&onnx->import->arena, concat->input_count, sizeof(*names));
    int64_t axis = 0;
    int rc = onnx_integer(onnx, concat, "axis", 1, &axis);

    if (rc == 0 && names == NULL) {
        rc = onnx_no_memory(onnx);
    }
    if (rc == 0 && axis != 1 && axis != -1) {
        rc = onnx_unsupported(onnx, concat, "joins rows, not columns");
    }
    for (uint32_t i = 0; i < concat->input_count && rc == 0; i++) {
        const struct onnx_input *input = NULL;
        uint32_t type = 0;
        rc = follow(onnx, concat, concat->inputs[i], &input, &type);
        if (rc == 0 && input->width != 1) {
            rc = onnx_unsupported(onnx, concat, "joins an input that is not said to be one column");
        }
        if (rc == 0) {
            names[i] = input->name;
            rows->type = rows->type != 0 ? rows->type : type;
        }
    }
    rows->names = names;
    rows->width = concat->input_count;
    return rc;
}

/* What a missing value becomes. Other replaced values than NaN have no place in a tree. */
static int
read_imputer(struct onnx *onnx, const struct onnx_node *node, struct onnx_rows *rows)
{
    struct onnx_numbers fills;
    double replaced = 0.0;
    int rc = onnx_numbers(onnx, node, "imputed_value_floats", &fills);

    if (rc == 0) {
        rc = onnx_float(onnx, node, "replaced_value_float", 0.0, &replaced);
    }
    if (rc == 0 && (fills.count == 0 || !isnan(replaced))) {
        rc = onnx_unsupported(onnx, node,
                              "replaces something else than NaN by numbers: do it before asking");
    }
    rows->fills = fills.values;
    rows->fill_count = fills.count;
    return rc;
}

int
onnx_read_rows(struct onnx *onnx, const struct onnx_node *node, struct onnx_rows *out_rows)
{
    struct bytes tensor = node->input_count > 0 ? node->inputs[0] : bytes_of(NULL, 0);
    struct onnx_rows rows = {0};
    bool is_done = false;
    int rc = 0;

    for (uint32_t steps = 0; rc == 0 && !is_done && steps <= onnx->node_count; steps++) {
        const struct onnx_node *maker = find_maker(onnx, tensor);
        uint32_t cast = 0;
        if (maker != NULL && maker->input_count > 0 && is_op(maker, "Cast")) {
            rc = cast_type(onnx, maker, &cast);
            rows.type = rows.type != 0 ? rows.type : cast;
        } else if (maker != NULL && maker->input_count > 0 && is_op(maker, "Imputer") &&
                   rows.fills == NULL) {
            rc = read_imputer(onnx, maker, &rows);
        } else if (maker != NULL && is_op(maker, "Concat")) {
            rc = many_columns(onnx, maker, &rows);
            is_done = true;
        } else if (maker == NULL || !is_op(maker, "Identity") || maker->input_count == 0) {
            rc = single_matrix(onnx, node, tensor, &rows);
            is_done = true;
        }
        tensor = is_done ? tensor : maker->inputs[0];
    }
    if (rc == 0 && !is_done) {
        rc = onnx_invalid(onnx, node, "the graph has a cycle");
    }
    if (rc == 0 && rows.fill_count > 1 && rows.width > 0 && rows.fill_count != rows.width) {
        rc = onnx_invalid(onnx, node, "%zu values for what is missing in %u columns",
                          rows.fill_count, rows.width);
    }
    *out_rows = rows;
    return rc;
}

/* ---- behind the model ---------------------------------------------------------------------- */

/* Tensors behind the model: the scores as they are now, and what no answer is made of: labels,
 * dictionaries. */
struct rest {
    struct onnx *onnx;
    const struct onnx_node *model_node;
    struct neutral_model *model;
    struct bytes scores;
    bool is_label[ONNX_NODES_MAX]; /* of every node: its outputs are labels or dictionaries */
};

enum tensor_role { ROLE_OTHER, ROLE_CONSTANT, ROLE_SCORES, ROLE_OLD_SCORES, ROLE_LABEL };

static enum tensor_role
role_of(const struct rest *rest, struct bytes tensor)
{
    const struct onnx *onnx = rest->onnx;
    const struct onnx_node *node = rest->model_node;

    if (tensor.len == 0 || is_initializer(onnx, tensor)) {
        return ROLE_CONSTANT;
    }
    if (bytes_equal(tensor, rest->scores)) {
        return ROLE_SCORES;
    }
    const struct onnx_node *maker = find_maker(onnx, tensor);
    if (maker == node) {
        bool is_label = node->output_count > 1 && bytes_equal(tensor, node->outputs[0]);
        return is_label ? ROLE_LABEL : ROLE_OLD_SCORES;
    }
    return maker != NULL && rest->is_label[maker - onnx->nodes] ? ROLE_LABEL : ROLE_OTHER;
}

static int
normalize(const struct rest *rest, const struct onnx_node *node)
{
    struct neutral_model *model = rest->model;
    struct bytes norm;
    int rc = onnx_text(rest->onnx, node, "norm", "MAX", &norm);

    if (rc != 0) {
        return rc;
    }
    bool is_sum_one = model->link == MODEL_LINK_SOFTPROB || (model->flags & NEUTRAL_BINARY) != 0;
    if (bytes_equal_text(norm, "L1") && model->link == MODEL_LINK_SIGMOID && !is_sum_one) {
        model->link = MODEL_LINK_SIGMOID_SHARE;
        return 0;
    }
    return bytes_equal_text(norm, "L1") && is_sum_one
               ? 0
               : onnx_unsupported(rest->onnx, node,
                                  "divides scores that are no probabilities of classes by their "
                                  "%.*s norm",
                                  (int)(norm.len < 8 ? norm.len : 8), (const char *)norm.data);
}

static int
check_axis(const struct rest *rest, const struct onnx_node *node)
{
    int64_t axis = 0;
    int rc = onnx_integer(rest->onnx, node, "axis", -1, &axis);

    return rc == 0 && axis != 1 && axis != -1
               ? onnx_unsupported(rest->onnx, node, "works along axis %lld; the outputs are axis 1",
                                  (long long)axis)
               : rc;
}

/* A link on scores that have none yet. */
static int
set_link(const struct rest *rest, const struct onnx_node *node, enum model_link link)
{
    if (rest->model->link != MODEL_LINK_IDENTITY) {
        return onnx_unsupported(rest->onnx, node, "a second link on top of the model's own");
    }
    if (link == MODEL_LINK_SOFTPROB && rest->model->output_count < 2) {
        return onnx_unsupported(rest->onnx, node, "shares of one single score");
    }
    rest->model->link = link;
    return link == MODEL_LINK_SOFTPROB ? check_axis(rest, node) : 0;
}

/* A node that reads the scores. */
static int
apply(struct rest *rest, const struct onnx_node *node)
{
    uint32_t type = 0;
    int rc = 0;

    if (is_op(node, "Cast")) {
        rc = cast_type(rest->onnx, node, &type);
    } else if (is_op(node, "Normalizer")) {
        rc = normalize(rest, node);
    } else if (is_op(node, "Sigmoid")) {
        rc = set_link(rest, node, MODEL_LINK_SIGMOID);
    } else if (is_op(node, "Softmax")) {
        rc = set_link(rest, node, MODEL_LINK_SOFTPROB);
    } else if (is_op(node, "Exp")) {
        rc = set_link(rest, node, MODEL_LINK_EXP);
    } else if (!is_op(node, "Identity")) {
        return unknown_operator(rest->onnx, node);
    }
    rest->scores = node->output_count > 0 ? node->outputs[0] : bytes_of(NULL, 0);
    return rc;
}

/* Whether a node stands before the model: it has been read by onnx_read_rows() already, or feeds
 * nothing but labels. */
static bool
is_before(const struct onnx_node *node, const struct onnx_node *model)
{
    static const char *const steps[] = {"Identity", "Cast", "Imputer", "Concat"};

    return node < model && is_one_of(node, steps, AUGURY_COUNT(steps));
}

static int
apply_node(struct rest *rest, const struct onnx_node *node)
{
    static const char *const ends[] = {"ZipMap", "ArgMax", "TopK"};
    uint32_t scores = 0;
    uint32_t labels = 0;
    uint32_t others = 0;
    bool is_old = false;

    for (uint32_t i = 0; i < node->input_count; i++) {
        enum tensor_role role = role_of(rest, node->inputs[i]);
        scores += role == ROLE_SCORES ? 1 : 0;
        labels += role == ROLE_LABEL ? 1 : 0;
        others += role == ROLE_OTHER ? 1 : 0;
        is_old = is_old || role == ROLE_OLD_SCORES;
    }
    bool is_end = is_one_of(node, ends, AUGURY_COUNT(ends)) && (scores > 0 || is_old);
    if (scores == 1 && labels == 0 && others == 0 && !is_end) {
        return apply(rest, node);
    }
    if (others == 0 && (is_end || (labels > 0 && scores == 0 && !is_old))) {
        rest->is_label[node - rest->onnx->nodes] = true;
        return 0;
    }
    return is_before(node, rest->model_node) && others > 0 ? 0 : unknown_operator(rest->onnx, node);
}

int
onnx_apply_rest(struct onnx *onnx, const struct onnx_node *node, struct neutral_model *model)
{
    struct rest rest = {.onnx = onnx, .model_node = node, .model = model};
    int rc = 0;

    if (node->output_count == 0) {
        return onnx_invalid(onnx, node, "it has no output");
    }
    rest.scores = node->outputs[node->output_count > 1 ? 1 : 0];
    for (uint32_t i = 0; i < onnx->node_count && rc == 0; i++) {
        if (&onnx->nodes[i] != node) {
            rc = apply_node(&rest, &onnx->nodes[i]);
        }
    }
    return rc;
}
