/* SPDX-License-Identifier: MIT */
/*
 * onnx_linear.c - LinearRegressor and LinearClassifier: coefficients output by output, in float32.
 * A classifier of two classes whose rows are each other's negative, as converters write logistic
 * regression, is one score of class 1.
 */
#include <math.h>

#include "onnx.h"

struct linear {
    struct onnx *onnx;
    const struct onnx_node *node;
    struct neutral_model *model;
    struct onnx_numbers coefficients;
    struct onnx_numbers intercepts;
    struct onnx_labels labels; /* none: a regressor */
    size_t row_count;
    size_t first_row; /* that becomes output 0 */
};

static int
count_rows(struct linear *linear)
{
    bool is_classifier = bytes_equal_text(linear->node->op, "LinearClassifier");
    int64_t targets = 1;
    int rc = onnx_integer(linear->onnx, linear->node, "targets", 1, &targets);

    if (rc == 0 && is_classifier) {
        rc = onnx_read_labels(linear->onnx, linear->node, "classlabels_ints", &linear->labels);
    }
    if (rc != 0) {
        return rc;
    }
    linear->row_count = linear->intercepts.count > 0 ? linear->intercepts.count
                        : is_classifier              ? linear->labels.count
                        : targets > 0                ? (size_t)targets
                                                     : 0;
    if (is_classifier && linear->labels.count != linear->row_count) {
        return onnx_unsupported(linear->onnx, linear->node, "%zu rows of weights for %zu classes",
                                linear->row_count, linear->labels.count);
    }
    return 0;
}

static int
check_counts(struct linear *linear, const struct onnx_rows *rows)
{
    size_t count = linear->coefficients.count;

    if (linear->row_count == 0 || linear->row_count > MODEL_OUTPUTS_MAX || count == 0 ||
        count % linear->row_count != 0 || count / linear->row_count > MODEL_FEATURES_MAX) {
        return onnx_invalid(linear->onnx, linear->node,
                            "%zu coefficients and %zu intercepts are no weights of whole outputs",
                            count, linear->intercepts.count);
    }
    linear->model->feature_count = (uint32_t)(count / linear->row_count);
    linear->model->output_count = (uint32_t)linear->row_count;
    if (rows->width != 0 && rows->width != linear->model->feature_count) {
        return onnx_invalid(linear->onnx, linear->node,
                            "%u weights an output for an input of %u columns",
                            linear->model->feature_count, rows->width);
    }
    return rows->fill_count > 0
               ? onnx_unsupported(linear->onnx, linear->node,
                                  "weights behind an Imputer: fill in what is missing before "
                                  "asking")
               : 0;
}

static double
intercept(const struct linear *linear, size_t row)
{
    return linear->intercepts.count > 0 ? linear->intercepts.values[row] : 0.0;
}

/* Two rows of which one is the other's negative. */
static bool
is_mirrored(const struct linear *linear)
{
    size_t features = linear->model->feature_count;
    const double *values = linear->coefficients.values;

    if (linear->labels.count != 2 || intercept(linear, 0) != -intercept(linear, 1)) {
        return false;
    }
    for (size_t i = 0; i < features; i++) {
        if (values[i] != -values[features + i]) {
            return false;
        }
    }
    return true;
}

static int
set_link(struct linear *linear)
{
    struct neutral_model *model = linear->model;
    struct bytes transform;
    int rc = onnx_text(linear->onnx, linear->node, "post_transform", "NONE", &transform);

    if (rc == 0 && bytes_equal_text(transform, "LOGISTIC") && is_mirrored(linear)) {
        model->output_count = 1;
        linear->first_row = 1;
        rc = onnx_set_link(linear->onnx, linear->node, transform, ONNX_ONE_COLUMN, model);
    } else if (rc == 0) {
        rc = onnx_set_link(linear->onnx, linear->node, transform,
                           linear->labels.count > 0 ? ONNX_CLASSES : ONNX_VALUES, model);
    }
    onnx_set_classes(&linear->labels, model);
    return rc;
}

/* Feature by feature, the biases last. */
static int
put_weights(struct linear *linear)
{
    struct neutral_model *model = linear->model;
    struct arena *arena = &linear->onnx->import->arena;
    size_t features = model->feature_count;
    size_t outputs = model->output_count;
    float *weights = arena_zalloc(arena, (features + 1) * outputs, sizeof(*weights));
    double *base = arena_zalloc(arena, outputs, sizeof(*base));

    if (weights == NULL || base == NULL) {
        return onnx_no_memory(linear->onnx);
    }
    for (size_t k = 0; k < outputs; k++) {
        size_t row = linear->first_row + k;
        for (size_t i = 0; i < features; i++) {
            weights[i * outputs + k] = (float)linear->coefficients.values[row * features + i];
        }
        weights[features * outputs + k] = (float)intercept(linear, row);
    }
    model->weights = weights;
    model->base_margins = base;
    return 0;
}

int
onnx_read_linear(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
                 struct neutral_model *model)
{
    struct linear linear = {.onnx = onnx, .node = node, .model = model};
    int rc = onnx_numbers(onnx, node, "coefficients", &linear.coefficients);

    model->kind = NEUTRAL_GBLINEAR;
    if (rc == 0) {
        rc = onnx_numbers(onnx, node, "intercepts", &linear.intercepts);
    }
    if (rc == 0) {
        rc = count_rows(&linear);
    }
    if (rc == 0) {
        rc = check_counts(&linear, rows);
    }
    if (rc == 0) {
        rc = set_link(&linear);
    }
    return rc == 0 ? put_weights(&linear) : rc;
}
