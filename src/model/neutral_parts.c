/* SPDX-License-Identifier: MIT */
/*
 * neutral_parts.c - the validator's part for what is no tree: inputs and their steps, classes,
 * layers, the attributes of a scorecard.
 */
#include "neutral.h"

#include <math.h>

static int
bad(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_INVALID, "invalid_model", "%s", reason);
}

static bool
all_finite(const double *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i])) {
            return false;
        }
    }
    return true;
}

/* Finite, and each over the one before. */
static bool
is_ascending(const double *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!isfinite(numbers[i]) || (i > 0 && !(numbers[i] > numbers[i - 1]))) {
            return false;
        }
    }
    return true;
}

/* ---- inputs -------------------------------------------------------------------------------- */

static int
check_step(const struct neutral_step *step, struct err *err)
{
    switch (step->op) {
    case NEUTRAL_DIVIDE:
        if (step->a == 0.0) {
            return bad(err, "a step divides by 0");
        }
        break;
    case NEUTRAL_CLIP:
        if (!(step->a <= step->b) || !isfinite(step->b)) {
            return bad(err, "a step clips to a range whose end lies below its begin");
        }
        break;
    case NEUTRAL_FIND:
        if (!is_ascending(step->keys, step->key_count) ||
            !all_finite(step->values, step->key_count) || isinf(step->a) || isinf(step->b)) {
            return bad(err, "the keys of a step are not finite and ascending, or a value is not "
                            "finite");
        }
        return 0;
    case NEUTRAL_SUBTRACT:
    case NEUTRAL_ADD:
    case NEUTRAL_MULTIPLY:
    case NEUTRAL_FILL:
    case NEUTRAL_IS_MISSING:
    case NEUTRAL_EQUALS:
    case NEUTRAL_OP_COUNT: break;
    }
    return isfinite(step->a) ? 0 : bad(err, "the number of a step is not finite");
}

static int
check_inputs(const struct neutral_model *model, struct err *err)
{
    if (model->input_count > MODEL_FEATURES_MAX) {
        return err_set(err, AUGURY_ERR_LIMIT, "invalid_model",
                       "%u inputs; augury reads models of up to %d", model->input_count,
                       MODEL_FEATURES_MAX);
    }
    if (model->input_count > 0 && model->number != MODEL_FLOAT64) {
        return bad(err, "inputs belong to models of float64");
    }
    for (uint32_t i = 0; i < model->input_count; i++) {
        const struct neutral_input *input = &model->inputs[i];
        int rc = input->feature < model->feature_count
                     ? 0
                     : bad(err, "reads a feature that the model has not");
        for (uint32_t k = 0; k < input->step_count && rc == 0; k++) {
            rc = check_step(&input->steps[k], err);
        }
        if (rc != 0) {
            return err_at(err, "inputs[%u]", i);
        }
    }
    return 0;
}

/* ---- classes ------------------------------------------------------------------------------- */

static int
check_classes(const struct neutral_model *model, struct err *err)
{
    uint32_t wanted = model->output_count == 1 ? 2 : model->output_count;

    if (model->class_count == 0) {
        return 0;
    }
    if (model->class_count != wanted) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_model",
                       "%u names of classes, but the model has %u", model->class_count, wanted);
    }
    for (uint32_t i = 0; i < model->class_count; i++) {
        if (!utf8_is_valid(model->classes[i])) {
            err_set(err, AUGURY_ERR_INVALID, "invalid_model", "the name is not UTF-8");
            return err_at(err, "classes[%u]", i);
        }
    }
    return 0;
}

/* ---- layers -------------------------------------------------------------------------------- */

static int
check_layer(const struct neutral_layer *layer, uint32_t inputs, uint32_t outputs, struct err *err)
{
    size_t weights = (size_t)layer->inputs * layer->outputs;

    if (layer->inputs != inputs || layer->outputs == 0 ||
        (outputs > 0 && layer->outputs != outputs)) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_model",
                       "%u × %u weights: it reads the %u numbers that come before it and gives at "
                       "least one, the last layer one an output",
                       layer->outputs, layer->inputs, inputs);
    }
    return all_finite(layer->weights, weights) && all_finite(layer->biases, layer->outputs)
               ? 0
               : bad(err, "a weight or bias is not finite");
}

static int
check_layers(const struct neutral_model *model, struct err *err)
{
    bool has_layers = model->kind == NEUTRAL_LINEAR || model->kind == NEUTRAL_MLP;
    uint32_t inputs = neutral_width(model);

    if (has_layers != (model->layer_count > 0) ||
        (model->kind == NEUTRAL_LINEAR && model->layer_count != 1) ||
        (has_layers && model->number != MODEL_FLOAT64)) {
        return bad(err, "a linear model has one layer, an mlp one or more, others none, and "
                        "both are of float64");
    }
    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct neutral_layer *layer = &model->layers[i];
        bool is_last = i + 1 == model->layer_count;
        if (check_layer(layer, inputs, is_last ? model->output_count : 0, err) != 0) {
            return err_at(err, "layers[%u]", i);
        }
        inputs = layer->outputs;
    }
    return 0;
}

/* ---- scorecards ---------------------------------------------------------------------------- */

static int
check_attribute(const struct neutral_model *model, const struct neutral_attribute *attribute,
                struct err *err)
{
    if (attribute->feature >= neutral_width(model)) {
        return bad(err, "reads a feature that the model has not");
    }
    if (!is_ascending(attribute->cuts, attribute->cut_count)) {
        return bad(err, "the cuts are not finite and ascending");
    }
    if (!isfinite(attribute->reference)) {
        return bad(err, "the reference is not finite");
    }
    for (uint32_t i = 0; i < attribute->cut_count + 2; i++) {
        const struct neutral_bin *bin = &attribute->bins[i];
        if (!isfinite(bin->points) ||
            (bin->reason != NEUTRAL_NO_REASON && bin->reason >= model->reason_count)) {
            return bad(err, "the points of a bin are not finite, or its reason is not there");
        }
    }
    return 0;
}

static int
check_attributes(const struct neutral_model *model, struct err *err)
{
    bool is_scorecard = model->kind == NEUTRAL_SCORECARD;

    if (is_scorecard != (model->attribute_count > 0) ||
        (is_scorecard &&
         (model->output_count != 1 || model->number != MODEL_FLOAT64 || model->input_count > 0))) {
        return bad(err, "a scorecard, and nothing else, has attributes; it has one output, of "
                        "float64, and no inputs");
    }
    for (uint32_t i = 0; i < model->attribute_count; i++) {
        if (check_attribute(model, &model->attributes[i], err) != 0) {
            return err_at(err, "attributes[%u]", i);
        }
    }
    return 0;
}

int
neutral_check_parts(const struct neutral_model *model, struct err *err)
{
    int rc = isfinite(model->link_offset) ? 0 : bad(err, "the offset of the link is not finite");

    if (rc == 0) {
        rc = check_inputs(model, err);
    }
    if (rc == 0) {
        rc = check_classes(model, err);
    }
    if (rc == 0) {
        rc = check_layers(model, err);
    }
    return rc == 0 ? check_attributes(model, err) : rc;
}
