/* SPDX-License-Identifier: MIT */
/*
 * onnx_graph.c - the one node of a graph that is a model, and what stands behind it: links, casts,
 * dictionaries of classes.
 * Whatever is not understood is refused by its operator: a node left out would answer wrongly
 * without a sign.
 * The nodes of a graph are sorted: one that reads a tensor stands behind the one that makes it.
 */
#include "onnx.h"

bool
onnx_is_op(const struct onnx_node *node, const char *op)
{
    return bytes_equal_text(node->op, op);
}

static bool
is_one_of(const struct onnx_node *node, const char *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (onnx_is_op(node, ops[i])) {
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

int
onnx_unknown_operator(struct onnx *onnx, const struct onnx_node *node)
{
    AUGURY_ASSERT(node != NULL);
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
                   ? onnx_unknown_operator(onnx, &onnx->nodes[0])
                   : err_set(onnx->err, AUGURY_ERR_INVALID, "invalid_model", "an empty graph");
    }
    *out_node = found;
    return 0;
}

const struct onnx_node *
onnx_find_maker(const struct onnx *onnx, struct bytes tensor)
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

int
onnx_cast_type(struct onnx *onnx, const struct onnx_node *node, uint32_t *out_type)
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
    const struct onnx_node *maker = onnx_find_maker(onnx, tensor);
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

    if (onnx_is_op(node, "Cast")) {
        rc = onnx_cast_type(rest->onnx, node, &type);
    } else if (onnx_is_op(node, "Normalizer")) {
        rc = normalize(rest, node);
    } else if (onnx_is_op(node, "Sigmoid")) {
        rc = set_link(rest, node, MODEL_LINK_SIGMOID);
    } else if (onnx_is_op(node, "Softmax")) {
        rc = set_link(rest, node, MODEL_LINK_SOFTPROB);
    } else if (onnx_is_op(node, "Exp")) {
        rc = set_link(rest, node, MODEL_LINK_EXP);
    } else if (!onnx_is_op(node, "Identity")) {
        return onnx_unknown_operator(rest->onnx, node);
    }
    rest->scores = node->output_count > 0 ? node->outputs[0] : bytes_of(NULL, 0);
    return rc;
}

/* Whether a node stands before the model: it has been read by onnx_read_rows() already, or feeds
 * nothing but labels. */
static bool
is_before(const struct onnx_node *node, const struct onnx_node *model)
{
    static const char *const steps[] = {"Identity", "Cast", "Imputer", "Scaler", "Concat"};

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
    return is_before(node, rest->model_node) && others > 0
               ? 0
               : onnx_unknown_operator(rest->onnx, node);
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
