/* SPDX-License-Identifier: MIT */
/*
 * onnx_link.c - post_transform: what becomes of the scores inside a model's operator; and the
 * labels of classes.
 * A classifier of two classes may have scores of one class alone: they are of class 1, and under
 * LOGISTIC class 0 has what is left to 1.
 */
#include <stdio.h>

#include "onnx.h"

static int
unknown_transform(struct onnx *onnx, const struct onnx_node *node, struct bytes transform)
{
    return onnx_unsupported(
        onnx, node,
        "post_transform %.*s is not read; augury reads NONE, LOGISTIC and "
        "SOFTMAX",
        (int)(transform.len < ONNX_NAME_SHOWN ? transform.len : ONNX_NAME_SHOWN),
        (const char *)transform.data);
}

int
onnx_set_link(struct onnx *onnx, const struct onnx_node *node, struct bytes transform,
              enum onnx_scores scores, struct neutral_model *model)
{
    if (bytes_equal_text(transform, "NONE")) {
        model->link = MODEL_LINK_IDENTITY;
    } else if (scores == ONNX_VALUES && model->output_count == 1) {
        return onnx_unsupported(onnx, node,
                                "post_transform of one single output, which runtimes leave out "
                                "though the operator's definition has it: write NONE and a node "
                                "behind it (Sigmoid)");
    } else if (bytes_equal_text(transform, "LOGISTIC")) {
        model->link = MODEL_LINK_SIGMOID;
        model->flags |= scores == ONNX_ONE_COLUMN ? NEUTRAL_BINARY : 0;
    } else if (bytes_equal_text(transform, "SOFTMAX") && model->output_count > 1) {
        model->link = MODEL_LINK_SOFTPROB;
    } else if (bytes_equal_text(transform, "SOFTMAX")) {
        return onnx_unsupported(onnx, node, "post_transform SOFTMAX of one single score");
    } else {
        return unknown_transform(onnx, node, transform);
    }
    return 0;
}

/* ---- labels -------------------------------------------------------------------------------- */

/* Numbers 0, 1, 2, … are the classes' own. */
static bool
are_plain(const struct onnx_integers *numbers)
{
    for (size_t i = 0; i < numbers->count; i++) {
        if (numbers->values[i] != (int64_t)i) {
            return false;
        }
    }
    return true;
}

static int
name_numbers(struct onnx *onnx, const struct onnx_integers *numbers, const struct bytes **out_names)
{
    struct bytes *names = arena_zalloc(&onnx->import->arena, numbers->count, sizeof(*names));

    if (names == NULL) {
        return onnx_no_memory(onnx);
    }
    for (size_t i = 0; i < numbers->count; i++) {
        char text[24];
        int len = snprintf(text, sizeof(text), "%lld", (long long)numbers->values[i]);
        const char *copy = arena_text(&onnx->import->arena, bytes_of(text, (size_t)len));
        if (copy == NULL) {
            return onnx_no_memory(onnx);
        }
        names[i] = bytes_of_text(copy);
    }
    *out_names = names;
    return 0;
}

int
onnx_read_labels(struct onnx *onnx, const struct onnx_node *node, const char *ints,
                 struct onnx_labels *out_labels)
{
    struct onnx_labels labels = {0};
    struct onnx_integers numbers;
    int rc = onnx_texts(onnx, node, "classlabels_strings", &labels.names, &labels.count);

    if (rc == 0 && labels.count == 0) {
        rc = onnx_integers(onnx, node, ints, &numbers);
        labels.count = rc == 0 ? numbers.count : 0;
        labels.names = NULL;
        if (rc == 0 && !are_plain(&numbers)) {
            rc = name_numbers(onnx, &numbers, &labels.names);
        }
    }
    *out_labels = labels;
    return rc;
}

void
onnx_set_classes(const struct onnx_labels *labels, struct neutral_model *model)
{
    bool is_binary = (model->flags & NEUTRAL_BINARY) != 0 && labels->count == 2;

    if (labels->names != NULL && (is_binary || labels->count == model->output_count)) {
        model->classes = labels->names;
        model->class_count = (uint32_t)labels->count;
    }
}
