/* SPDX-License-Identifier: MIT */
/*
 * onnx_linear.c - LinearRegressor and LinearClassifier: coefficients output by output, in float32,
 * summed in double; what stands before them becomes inputs.
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
    return 0;
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

static int
put_weights(struct linear *linear)
{
    struct neutral_model *model = linear->model;
    struct arena *arena = &linear->onnx->import->arena;
    size_t features = model->feature_count;
    size_t outputs = model->output_count;
    struct neutral_layer *layer = arena_zalloc(arena, 1, sizeof(*layer));
    double *biases = arena_zalloc(arena, outputs, sizeof(*biases));
    double *base = arena_zalloc(arena, outputs, sizeof(*base));

    if (layer == NULL || biases == NULL || base == NULL) {
        return onnx_no_memory(linear->onnx);
    }
    for (size_t k = 0; k < outputs; k++) {
        biases[k] = intercept(linear, linear->first_row + k);
    }
    *layer = (struct neutral_layer){
        .inputs = (uint32_t)features,
        .outputs = (uint32_t)outputs,
        .activation = NEUTRAL_PLAIN,
        .weights = linear->coefficients.values + linear->first_row * features,
        .biases = biases,
    };
    model->layers = layer;
    model->layer_count = 1;
    model->base_margins = base;
    return 0;
}

/* ---- what stands before ---------------------------------------------------------------------- */

enum { STEPS_MAX = 3 };

static double
value_of(const struct onnx_numbers *numbers, size_t column)
{
    return numbers->values[column < numbers->count ? column : 0];
}

/* Filling in and scaling of one column, in their order. Returns how many steps. */
static uint32_t
put_steps(const struct onnx_rows *rows, size_t column, struct neutral_step *out_steps)
{
    const struct neutral_step fill = {.op = NEUTRAL_FILL, .a = onnx_rows_fill(rows, column)};
    bool has_fill = rows->fill_count > 0;
    uint32_t count = 0;

    if (has_fill && (rows->is_fill_scaled || rows->scales.count == 0)) {
        out_steps[count++] = fill;
    }
    if (rows->scales.count > 0) {
        out_steps[count++] =
            (struct neutral_step){.op = NEUTRAL_SUBTRACT, .a = value_of(&rows->offsets, column)};
        out_steps[count++] =
            (struct neutral_step){.op = NEUTRAL_MULTIPLY, .a = value_of(&rows->scales, column)};
    }
    if (has_fill && !rows->is_fill_scaled && rows->scales.count > 0) {
        out_steps[count++] = fill;
    }
    return count;
}

static int
put_inputs(struct linear *linear, const struct onnx_rows *rows)
{
    struct neutral_model *model = linear->model;
    struct arena *arena = &linear->onnx->import->arena;
    uint32_t count = model->feature_count;

    if (rows->fill_count == 0 && rows->scales.count == 0) {
        return 0;
    }
    struct neutral_input *inputs = arena_zalloc(arena, count, sizeof(*inputs));
    struct neutral_step *steps = arena_zalloc(arena, (size_t)count * STEPS_MAX, sizeof(*steps));
    if (inputs == NULL || steps == NULL) {
        return onnx_no_memory(linear->onnx);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct neutral_step *own = steps + (size_t)i * STEPS_MAX;
        inputs[i] = (struct neutral_input){
            .feature = i, .step_count = put_steps(rows, i, own), .steps = own};
    }
    model->inputs = inputs;
    model->input_count = count;
    return 0;
}

int
onnx_read_linear(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
                 struct neutral_model *model)
{
    struct linear linear = {.onnx = onnx, .node = node, .model = model};
    int rc = onnx_numbers(onnx, node, "coefficients", &linear.coefficients);

    model->kind = NEUTRAL_LINEAR;
    model->number = MODEL_FLOAT64;
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
    if (rc == 0) {
        rc = put_weights(&linear);
    }
    return rc == 0 ? put_inputs(&linear, rows) : rc;
}
