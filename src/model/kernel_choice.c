/* SPDX-License-Identifier: MIT */
/*
 * kernel_choice.c - which kernels answer for a model: the first of kernel_list that this processor
 * and this model can run, one for few rows and one for many; or the one that the operator names.
 */
#include "kernel.h"

#include <stdio.h>
#include <string.h>

static const struct kernel_ops *const portable[BLOB_KERNEL_COUNT] = {
    [BLOB_PACK8] = &kernel_pack8,         [BLOB_WIDE] = &kernel_wide,
    [BLOB_LINEAR] = &kernel_linear,       [BLOB_DENSE] = &kernel_dense,
    [BLOB_SCORECARD] = &kernel_scorecard,
};

const struct kernel_ops *
kernel_portable(const struct model *model)
{
    return portable[blob_header(model)->kernel];
}

static bool
runs_here(const struct kernel_ops *kernel, const struct model *model)
{
    return (kernel->needs & ~kernel_cpu_bits()) == 0 && kernel->can_run(model);
}

void
kernel_choose(struct model *model)
{
    model->row_kernel = NULL;
    model->batch_kernel = NULL;
    for (size_t i = 0; kernel_list[i] != NULL; i++) {
        const struct kernel_ops *kernel = kernel_list[i];
        const struct kernel_ops **place =
            kernel->rows_min > 1 ? &model->batch_kernel : &model->row_kernel;
        if (*place == NULL && model->tree_count >= kernel->trees_min && runs_here(kernel, model)) {
            *place = kernel;
        }
    }
    AUGURY_ASSERT(model->row_kernel != NULL);
    if (model->batch_kernel == NULL) {
        model->batch_kernel = model->row_kernel;
    }
    model->batch_rows_min = model->batch_kernel->rows_min;
}

size_t
model_kernel_names(const struct model *model, const char **out_names, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; kernel_list[i] != NULL; i++) {
        if (runs_here(kernel_list[i], model)) {
            if (count < room) {
                out_names[count] = kernel_list[i]->name;
            }
            count++;
        }
    }
    return count;
}

static bool
is_auto(const char *name)
{
    return name[0] == '\0' || strcmp(name, "auto") == 0;
}

/* names: of those that would do. */
static int
refuse(const char *name, const char *where, const char *const *names, size_t count, struct err *err)
{
    char text[192] = "";
    size_t at = 0;

    for (size_t i = 0; i < count && at < sizeof(text); i++) {
        int len = snprintf(text + at, sizeof(text) - at, ", %s", names[i]);
        at += len > 0 ? (size_t)len : 0;
    }
    return err_set(err, AUGURY_ERR_INVALID, "unknown_kernel",
                   "no kernel \"%.32s\" %s; there are auto%s", name, where, text);
}

/* False: it cannot, and nothing changed. */
static bool
take_kernel(struct model *model, const char *name)
{
    if (is_auto(name)) {
        kernel_choose(model);
        return true;
    }
    for (size_t i = 0; kernel_list[i] != NULL; i++) {
        if (strcmp(kernel_list[i]->name, name) == 0 && runs_here(kernel_list[i], model)) {
            model->row_kernel = kernel_list[i];
            model->batch_kernel = kernel_list[i];
            model->batch_rows_min = 1;
            return true;
        }
    }
    return false;
}

int
model_force_kernel(struct model *model, const char *name, struct err *err)
{
    const char *names[MODEL_KERNELS_MAX];

    if (take_kernel(model, name)) {
        return 0;
    }
    size_t count = model_kernel_names(model, names, MODEL_KERNELS_MAX);
    return refuse(name, "answers for this model on this processor", names,
                  count < MODEL_KERNELS_MAX ? count : MODEL_KERNELS_MAX, err);
}

void
model_prefer_kernel(struct model *model, const char *name)
{
    (void)take_kernel(model, name);
}

int
model_kernel_check(const char *name, struct err *err)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = 0;

    for (size_t i = 0; kernel_list[i] != NULL; i++) {
        if ((kernel_list[i]->needs & ~kernel_cpu_bits()) != 0) {
            continue;
        }
        if (strcmp(kernel_list[i]->name, name) == 0) {
            return 0;
        }
        if (count < MODEL_KERNELS_MAX) {
            names[count++] = kernel_list[i]->name;
        }
    }
    return is_auto(name) ? 0 : refuse(name, "runs on this processor", names, count, err);
}
