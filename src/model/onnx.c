/* SPDX-License-Identifier: MIT */
/*
 * onnx.c - an ONNX file with one model of trees or weights into the neutral form: the graph is
 * read, its model found, the steps around it are folded into the model.
 */
#include <stdio.h>

#include "onnx.h"

bool
onnx_is_file(struct bytes file)
{
    /* ir_version (field 1, a small number) and then one of the fields 2 to 8 or 14. */
    static const uint8_t seconds[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72};

    return file.len > 2 && file.data[0] == 0x08 && file.data[1] > 0 && file.data[1] < 0x80 &&
           memchr(seconds, file.data[2], sizeof(seconds)) != NULL;
}

/* Printable ASCII alone is shown. */
static int
shown_len(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return 0;
        }
    }
    return (int)(text.len < ONNX_NAME_SHOWN ? text.len : ONNX_NAME_SHOWN);
}

static int
copy_text(struct onnx *onnx, const char *text, struct bytes *out_bytes)
{
    const char *copy = arena_text(&onnx->import->arena, bytes_of_text(text));

    if (copy == NULL) {
        return onnx_no_memory(onnx);
    }
    *out_bytes = bytes_of_text(copy);
    return 0;
}

/* "onnx skl2onnx 1.14.0"; the objective is the operator. */
static int
read_words(struct onnx *onnx, const struct onnx_node *node, struct neutral_model *model)
{
    char text[2 * ONNX_NAME_SHOWN + 16];
    int name = shown_len(onnx->producer);
    int version = shown_len(onnx->producer_version);

    snprintf(text, sizeof(text), "onnx%s%.*s%s%.*s", name > 0 ? " " : "", name,
             name > 0 ? (const char *)onnx->producer.data : "", version > 0 ? " " : "", version,
             version > 0 ? (const char *)onnx->producer_version.data : "");
    int rc = copy_text(onnx, text, &model->source);
    if (rc != 0) {
        return rc;
    }
    snprintf(text, sizeof(text), "%.*s", shown_len(node->op), (const char *)node->op.data);
    return copy_text(onnx, text, &model->objective);
}

/* Columns of inputs that are put side by side have the inputs' names; those of one matrix none. */
static int
read_features(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
              struct neutral_model *model)
{
    if (model->feature_count == 0 || model->feature_count > MODEL_FEATURES_MAX) {
        return onnx_invalid(onnx, node, "%u features; augury reads models of 1 to %d",
                            model->feature_count, MODEL_FEATURES_MAX);
    }
    struct neutral_feature *features =
        arena_zalloc(&onnx->import->arena, model->feature_count, sizeof(*features));
    if (features == NULL) {
        return onnx_no_memory(onnx);
    }
    for (uint32_t i = 0; i < model->feature_count; i++) {
        features[i].is_missing_allowed = model->kind != NEUTRAL_LINEAR || rows->fill_count > 0;
        if (rows->names != NULL && i < rows->width) {
            features[i].name = rows->names[i];
        }
    }
    model->features = features;
    return 0;
}

static int
read_model(struct onnx *onnx, const struct onnx_node *node, const struct onnx_rows *rows,
           struct neutral_model *model)
{
    if (bytes_equal_text(node->op, "TreeEnsemble")) {
        return onnx_read_ensemble(onnx, node, rows, model);
    }
    return bytes_start_with(node->op, "Linear") ? onnx_read_linear(onnx, node, rows, model)
                                                : onnx_read_trees(onnx, node, rows, model);
}

int
onnx_read(struct import *import, struct bytes file, struct neutral_model *out_model,
          struct err *err)
{
    struct onnx onnx = {.import = import, .err = err};
    const struct onnx_node *node = NULL;
    struct onnx_rows rows;
    int rc = import_refuse_iterations(import, "an ONNX file", err);

    *out_model = (struct neutral_model){
        .kind = NEUTRAL_GBTREE,
        .number = MODEL_FLOAT32,
        .link_scale = 1.0,
        .leaf_width = 1,
        .divisor = 1.0,
    };
    if (rc == 0) {
        rc = onnx_read_graph(&onnx, file);
    }
    if (rc == 0) {
        rc = onnx_find_model(&onnx, &node);
    }
    if (rc == 0) {
        rc = onnx_read_rows(&onnx, node, &rows);
    }
    if (rc == 0) {
        rc = read_model(&onnx, node, &rows, out_model);
    }
    if (rc == 0) {
        rc = onnx_apply_rest(&onnx, node, out_model);
    }
    if (rc == 0) {
        rc = read_features(&onnx, node, &rows, out_model);
    }
    return rc != 0 ? rc : read_words(&onnx, node, out_model);
}
