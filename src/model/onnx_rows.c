/* SPDX-License-Identifier: MIT */
/*
 * onnx_rows.c - what stands between the inputs of a graph and its model: casts, filling in of what
 * is missing, scaling, columns put side by side. From the model up to the inputs.
 */
#include <math.h>

#include "onnx.h"

enum { FOLLOW_STEPS_MAX = 16 }; /* from a column to its input */

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

/* Follows one column or one matrix up to an input of the graph. */
static int
follow(struct onnx *onnx, const struct onnx_node *reader, struct bytes tensor,
       const struct onnx_input **out_input, uint32_t *out_type)
{
    uint32_t type = 0;

    for (uint32_t steps = 0; steps < FOLLOW_STEPS_MAX; steps++) {
        const struct onnx_node *maker = onnx_find_maker(onnx, tensor);
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
        int rc = onnx_is_op(maker, "Identity") ? 0
                 : onnx_is_op(maker, "Cast")   ? onnx_cast_type(onnx, maker, &cast)
                                               : onnx_unknown_operator(onnx, maker);
        if (rc != 0) {
            return rc;
        }
        type = type != 0 ? type : cast; /* the last cast decides */
        tensor = maker->inputs[0];
    }
    return onnx_invalid(onnx, reader, "more than %d steps lead to its input, or a cycle",
                        FOLLOW_STEPS_MAX);
}

static int
single_matrix(struct onnx *onnx, const struct onnx_node *node, struct bytes tensor,
              struct onnx_rows *rows)
{
    const struct onnx_input *input = NULL;
    uint32_t type = 0;
    int rc = follow(onnx, node, tensor, &input, &type);

    if (rc != 0) {
        return rc;
    }
    AUGURY_ASSERT(input != NULL);
    rows->input_type = type;
    rows->type = rows->type != 0 ? rows->type : type;
    rows->width = (uint32_t)input->width;
    return 0;
}

/* Columns that are inputs of their own, each with a name. */
static int
many_columns(struct onnx *onnx, const struct onnx_node *concat, struct onnx_rows *rows)
{
    struct bytes *names = arena_zalloc(&onnx->import->arena, concat->input_count, sizeof(*names));
    int64_t axis = 0;
    int rc = onnx_integer(onnx, concat, "axis", 1, &axis);

    if (rc == 0 && names == NULL) {
        return onnx_no_memory(onnx);
    }
    if (rc == 0 && axis != 1 && axis != -1) {
        rc = onnx_unsupported(onnx, concat, "joins rows, not columns");
    }
    for (uint32_t i = 0; i < concat->input_count && rc == 0; i++) {
        const struct onnx_input *input = NULL;
        uint32_t type = 0;
        rc = follow(onnx, concat, concat->inputs[i], &input, &type);
        if (rc != 0) {
            return rc;
        }
        AUGURY_ASSERT(input != NULL);
        if (input->width != 1) {
            return onnx_unsupported(onnx, concat,
                                    "joins an input that is not said to be one column");
        }
        names[i] = input->name;
        rows->input_type = rows->input_type != ONNX_DOUBLE ? type : rows->input_type;
        rows->type = rows->type != 0 ? rows->type : type;
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

/* (x - offset) × scale, in float32 as the operator computes it. */
static int
read_scaler(struct onnx *onnx, const struct onnx_node *node, struct onnx_rows *rows)
{
    int rc = onnx_numbers(onnx, node, "offset", &rows->offsets);

    if (rc == 0) {
        rc = onnx_numbers(onnx, node, "scale", &rows->scales);
    }
    for (size_t i = 0; rc == 0 && i < rows->offsets.count; i++) {
        if (!isfinite(rows->offsets.values[i])) {
            rc = onnx_invalid(onnx, node, "offset %zu is not finite", i);
        }
    }
    for (size_t i = 0; rc == 0 && i < rows->scales.count; i++) {
        if (!isfinite(rows->scales.values[i]) || rows->scales.values[i] == 0.0) {
            rc = onnx_invalid(onnx, node, "scale %zu is not finite, or is 0", i);
        }
    }
    if (rc == 0 && (rows->offsets.count == 0 || rows->scales.count == 0)) {
        rc = onnx_invalid(onnx, node, "it has no offset or no scale");
    }
    return rc;
}

/* A node that changes values, on the way up. AUGURY_NOT_FOUND: it is none. */
static int
take_step(struct onnx *onnx, const struct onnx_node *node, struct onnx_rows *rows)
{
    uint32_t cast = 0;

    if (onnx_is_op(node, "Identity")) {
        return 0;
    }
    if (onnx_is_op(node, "Cast")) {
        int rc = onnx_cast_type(onnx, node, &cast);
        rows->type = rows->type != 0 ? rows->type : cast;
        return rc;
    }
    if (onnx_is_op(node, "Imputer") && rows->fill_count == 0) {
        rows->is_fill_scaled = rows->scales.count > 0;
        return read_imputer(onnx, node, rows);
    }
    if (onnx_is_op(node, "Scaler") && rows->scales.count == 0) {
        rows->type = rows->type != 0 ? rows->type : ONNX_FLOAT;
        return read_scaler(onnx, node, rows);
    }
    return AUGURY_NOT_FOUND;
}

/* One value a column, or one for all. */
static int
check_count(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
            const char *what, size_t count)
{
    return count > 1 && rows->width > 0 && count != rows->width
               ? onnx_invalid(onnx, node, "%zu %s for %u columns", count, what, rows->width)
               : 0;
}

int
onnx_read_rows(struct onnx *onnx, const struct onnx_node *node, struct onnx_rows *out_rows)
{
    struct bytes tensor = node->input_count > 0 ? node->inputs[0] : bytes_of(NULL, 0);
    struct onnx_rows rows = {0};
    int rc = 0;

    for (uint32_t steps = 0; rc == 0 && steps <= onnx->node_count; steps++) {
        const struct onnx_node *maker = onnx_find_maker(onnx, tensor);
        bool is_step = maker != NULL && maker->input_count > 0;
        rc = is_step ? take_step(onnx, maker, &rows) : AUGURY_NOT_FOUND;
        tensor = rc == 0 ? maker->inputs[0] : tensor;
    }
    if (rc == 0) {
        return onnx_invalid(onnx, node, "the graph has a cycle");
    }
    if (rc == AUGURY_NOT_FOUND) {
        const struct onnx_node *maker = onnx_find_maker(onnx, tensor);
        rc = maker != NULL && onnx_is_op(maker, "Concat")
                 ? many_columns(onnx, maker, &rows)
                 : single_matrix(onnx, node, tensor, &rows);
    }
    if (rc == 0) {
        rc = check_count(onnx, node, &rows, "values for what is missing", rows.fill_count);
    }
    if (rc == 0) {
        rc = check_count(onnx, node, &rows, "offsets", rows.offsets.count);
    }
    if (rc == 0) {
        rc = check_count(onnx, node, &rows, "scales", rows.scales.count);
    }
    *out_rows = rows;
    return rc;
}

/* ---- of one column --------------------------------------------------------------------------- */

static double
value_of(const double *values, size_t count, size_t column)
{
    return column < count ? values[column] : values[0];
}

double
onnx_rows_fill(const struct onnx_rows *rows, size_t column)
{
    return rows->fill_count == 0 ? (double)NAN : value_of(rows->fills, rows->fill_count, column);
}

float
onnx_rows_scaled(const struct onnx_rows *rows, size_t column, float x)
{
    float offset = (float)value_of(rows->offsets.values, rows->offsets.count, column);
    float scale = (float)value_of(rows->scales.values, rows->scales.count, column);

    return (x - offset) * scale;
}
