/* SPDX-License-Identifier: MIT */
/*
 * fuzz_model_import.c - any file as a model. Properties: it is refused with a code and a reason, or
 * its blob passes every check and answers rows of hard values, one at a time and in a batch, with
 * the same bits. The first byte's lowest bit asks for the best iteration.
 */
#include "augury/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 9, FEATURES_MAX = 300, OUTPUTS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
evaluate(const struct model *model)
{
    static const double values[] = {0.0, -0.0, 0.5, 1.0, 40.0, 1e9, -1.0, INFINITY, -INFINITY, NAN};
    size_t features = model->feature_count;
    size_t outputs = model->output_count;
    size_t size = model_number_bytes(model);
    uint8_t *rows = calloc(ROWS * features, size);
    uint8_t *all = calloc(ROWS * outputs, size);
    uint8_t *one = calloc(outputs, size);
    uint8_t *answers = calloc(ROWS * outputs * 2, size);
    uint32_t *leaves = calloc(ROWS * (size_t)model->tree_count + 1, sizeof(uint32_t));
    void *scratch = aligned_alloc(64, model_scratch_bytes(model, ROWS));

    AUGURY_ASSERT(rows != NULL && all != NULL && one != NULL && answers != NULL && leaves != NULL &&
                  scratch != NULL);
    for (size_t i = 0; i < ROWS * features; i++) {
        model_number_set(model, rows, i, values[(i * 7 + i / features) % AUGURY_COUNT(values)]);
    }
    model_margins(model, rows, ROWS, scratch, all);
    for (size_t r = 0; r < ROWS; r++) {
        model_margins(model, rows + r * features * size, 1, scratch, one);
        AUGURY_ASSERT(memcmp(one, all + r * outputs * size, outputs * size) == 0);
    }
    model_leaves(model, rows, ROWS, scratch, leaves);
    model_predictions(model, all, ROWS, answers);
    model_probabilities(model, all, ROWS, answers);
    free(rows);
    free(all);
    free(one);
    free(answers);
    free(leaves);
    free(scratch);
}

static void
look_up_names(const struct model *model)
{
    for (uint32_t i = 0; i < model->feature_count; i++) {
        struct model_feature feature = model_feature(model, i);
        AUGURY_ASSERT(model_feature_find(model, feature.name, i + 1) == (int32_t)i);
        for (uint32_t k = 0; k < feature.level_count; k++) {
            struct bytes level = model_feature_level(model, i, k);
            AUGURY_ASSERT(model_feature_level_find(model, i, level) == (int32_t)k);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf blob;
    struct err err = {0};
    struct model model;

    if (size == 0) {
        return 0;
    }
    const struct model_import_options options = {.is_best_iteration = (data[0] & 1) != 0};
    buf_init(&blob, (size_t)64 << 20);
    int rc = model_import(bytes_of(data + 1, size - 1), &options, &blob, &err);
    if (rc != 0) {
        AUGURY_ASSERT(rc < 0 && err.rc == rc && err.code != NULL && err.reason[0] != '\0');
    } else {
        AUGURY_ASSERT(model_open(buf_view(&blob), MODEL_CHECK_ALL, &model, &err) == 0);
        look_up_names(&model);
        if (model.feature_count <= FEATURES_MAX && model.output_count <= OUTPUTS_MAX) {
            evaluate(&model);
        }
    }
    buf_fini(&blob);
    return 0;
}
