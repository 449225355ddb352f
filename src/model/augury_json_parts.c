/* SPDX-License-Identifier: MIT */
/*
 * augury_json_parts.c - inputs, linear models and layers of model JSON.
 */
#include "augury_json.h"

#include <math.h>
#include <stdio.h>

/* ---- inputs -------------------------------------------------------------------------------- */

/* A step is ["subtract", 3.5]: a word and as many numbers as it takes. */
static const struct {
    const char *name;
    uint32_t numbers;
} ops[NEUTRAL_OP_COUNT] = {
    [NEUTRAL_SUBTRACT] = {"subtract", 1},
    [NEUTRAL_ADD] = {"add", 1},
    [NEUTRAL_MULTIPLY] = {"multiply", 1},
    [NEUTRAL_DIVIDE] = {"divide", 1},
    [NEUTRAL_CLIP] = {"clip", 2},
    [NEUTRAL_FILL] = {"fill", 1},
    [NEUTRAL_IS_MISSING] = {"is_missing", 0},
    [NEUTRAL_EQUALS] = {"equals", 1},
    [NEUTRAL_FIND] = {"find", 4},
};

/* A number, or null for a missing value. */
static int
read_maybe(struct reader *reader, const struct wire_value *value, const char *at, double *out)
{
    *out = NAN;
    return value->type == WIRE_NULL ? 0 : reader_number(reader, value, at, out);
}

/* ["find", keys, values, else, missing] */
static int
read_find(struct reader *reader, const struct wire_value *items, const char *at,
          struct neutral_step *out_step)
{
    double *keys = NULL;
    double *values = NULL;
    uint32_t value_count = 0;
    int rc = reader_numbers(reader, &items[1], at, &keys, &out_step->key_count);

    if (rc == 0) {
        rc = reader_numbers(reader, &items[2], at, &values, &value_count);
    }
    if (rc == 0 && value_count != out_step->key_count) {
        rc = reader_refuse(reader, at, "%u values for %u keys", value_count, out_step->key_count);
    }
    if (rc == 0) {
        rc = read_maybe(reader, &items[3], at, &out_step->a);
    }
    if (rc == 0) {
        rc = read_maybe(reader, &items[4], at, &out_step->b);
    }
    out_step->keys = keys;
    out_step->values = values;
    return rc;
}

static int
read_step(struct reader *reader, const struct wire_value *value, const char *at,
          struct neutral_step *out_step)
{
    const struct wire_value *items = value->as.items;
    uint32_t op = 0;

    if (value->type != WIRE_ARRAY || value->count == 0 || items[0].type != WIRE_STRING) {
        return reader_refuse(reader, at, "a step is an array of a word and its numbers");
    }
    while (op < NEUTRAL_OP_COUNT && !bytes_equal_text(wire_string(&items[0]), ops[op].name)) {
        op++;
    }
    if (op == NEUTRAL_OP_COUNT || value->count != ops[op].numbers + 1) {
        return reader_refuse(reader, at,
                             "a step is subtract, add, multiply, divide, fill or "
                             "equals with a number, clip with two, is_missing, or find "
                             "with keys, values, else and missing");
    }
    out_step->op = (enum neutral_op)op;
    if (op == NEUTRAL_FIND) {
        return read_find(reader, items, at, out_step);
    }
    int rc = ops[op].numbers > 0 ? reader_number(reader, &items[1], at, &out_step->a) : 0;
    if (rc == 0 && ops[op].numbers > 1) {
        rc = reader_number(reader, &items[2], at, &out_step->b);
    }
    return rc;
}

static int
read_input(struct reader *reader, const struct wire_value *value, uint32_t number,
           struct neutral_input *out_input)
{
    static const char *const names[] = {"feature", "steps"};
    const struct wire_value *steps = wire_member(value, "steps");
    char at[40];
    int rc;

    (void)snprintf(at, sizeof(at), "inputs[%u]", number);
    rc = reader_object(reader, value, names, AUGURY_COUNT(names), at);
    if (rc == 0) {
        rc = reader_feature(reader, wire_member(value, "feature"), at, &out_input->feature);
    }
    if (rc != 0 || steps == NULL) {
        return rc;
    }
    if (steps->type != WIRE_ARRAY) {
        return reader_refuse(reader, at, "\"steps\" must be an array");
    }
    struct neutral_step *all = reader_alloc(reader, steps->count, sizeof(*all));
    rc = all == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < steps->count && rc == 0; i++) {
        rc = read_step(reader, &steps->as.items[i], at, &all[i]);
    }
    out_input->step_count = steps->count;
    out_input->steps = all;
    return rc;
}

int
reader_inputs(struct reader *reader)
{
    const struct wire_value *values = wire_member(reader->document, "inputs");

    if (values == NULL) {
        return 0;
    }
    if (values->type != WIRE_ARRAY || values->count == 0 || values->count > MODEL_FEATURES_MAX) {
        return reader_refuse(reader, "inputs", "expected an array of 1 to %d inputs",
                             MODEL_FEATURES_MAX);
    }
    struct neutral_input *inputs = reader_alloc(reader, values->count, sizeof(*inputs));
    int rc = inputs == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < values->count && rc == 0; i++) {
        rc = read_input(reader, &values->as.items[i], i, &inputs[i]);
    }
    reader->model->input_count = values->count;
    reader->model->inputs = inputs;
    return rc;
}

/* ---- layers -------------------------------------------------------------------------------- */

/* A list of rows of weights, one an output, and as many biases. */
static int
read_matrix(struct reader *reader, const struct wire_value *object, uint32_t inputs, const char *at,
            struct neutral_layer *out_layer)
{
    const struct wire_value *rows = wire_member(object, "weights");
    double *biases = NULL;

    if (rows == NULL || rows->type != WIRE_ARRAY || rows->count == 0) {
        return reader_refuse(reader, at, "\"weights\" must be an array of rows, one an output");
    }
    for (uint32_t k = 0; k < rows->count; k++) {
        const struct wire_value *row = &rows->as.items[k];
        if (row->type != WIRE_ARRAY || row->count != inputs) {
            return reader_refuse(reader, at,
                                 "row %u of the weights must have %u numbers, as many "
                                 "as come before it",
                                 k, inputs);
        }
    }
    double *weights = reader_alloc(reader, (size_t)rows->count * inputs, sizeof(*weights));
    int rc = weights == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t k = 0; k < rows->count && rc == 0; k++) {
        for (uint32_t i = 0; i < inputs && rc == 0; i++) {
            rc = reader_number(reader, &rows->as.items[k].as.items[i], at,
                               &weights[(size_t)k * inputs + i]);
        }
    }
    uint32_t bias_count = 0;
    if (rc == 0) {
        rc = reader_numbers(reader, wire_member(object, "bias"), at, &biases, &bias_count);
    }
    if (rc == 0 && bias_count != rows->count) {
        rc = reader_refuse(reader, at, "%u biases for %u rows of weights", bias_count, rows->count);
    }
    *out_layer = (struct neutral_layer){
        .inputs = inputs, .outputs = rows->count, .weights = weights, .biases = biases};
    return rc;
}

int
reader_linear(struct reader *reader)
{
    struct neutral_layer *layer = reader_alloc(reader, 1, sizeof(*layer));

    if (layer == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    reader->model->layer_count = 1;
    reader->model->layers = layer;
    return read_matrix(reader, reader->document, neutral_width(reader->model), "weights", layer);
}

int
reader_layers(struct reader *reader)
{
    static const char *const names[] = {"weights", "bias", "activation"};
    static const char *const activations[] = {[NEUTRAL_PLAIN] = "identity",
                                              [NEUTRAL_RELU] = "relu",
                                              [NEUTRAL_TANH] = "tanh",
                                              [NEUTRAL_LOGISTIC] = "logistic"};
    const struct wire_value *values = wire_member(reader->document, "layers");
    uint32_t inputs = neutral_width(reader->model);

    if (values == NULL || values->type != WIRE_ARRAY || values->count == 0) {
        return reader_refuse(reader, "layers", "expected an array of layers");
    }
    struct neutral_layer *layers = reader_alloc(reader, values->count, sizeof(*layers));
    int rc = layers == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < values->count && rc == 0; i++) {
        const struct wire_value *value = &values->as.items[i];
        int32_t activation =
            reader_choice(wire_member(value, "activation"), activations, AUGURY_COUNT(activations));
        char at[40];
        (void)snprintf(at, sizeof(at), "layers[%u]", i);
        rc = reader_object(reader, value, names, AUGURY_COUNT(names), at);
        if (rc == 0 && activation < 0) {
            rc = reader_refuse(reader, at, "\"activation\" is identity, relu, tanh or logistic");
        }
        if (rc == 0) {
            rc = read_matrix(reader, value, inputs, at, &layers[i]);
        }
        layers[i].activation = (enum neutral_activation)activation;
        inputs = layers[i].outputs;
    }
    reader->model->layer_count = values->count;
    reader->model->layers = layers;
    return rc;
}
