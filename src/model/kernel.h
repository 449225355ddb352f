/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the evaluators of a compiled model. All are exact: float32, strict <, one sum an
 * output in tree order from the base margin, so that every kernel gives the same bits. They trust
 * the blob's indices (model_open has checked them), allocate nothing and call no library.
 */
#pragma once

#include "blob.h"

struct kernel_ops {
    size_t (*scratch_bytes)(const struct model *model);
    void (*margins)(const struct model *model, const float *rows, size_t row_count, void *scratch,
                    float *out_margins);
    void (*leaves)(const struct model *model, const float *rows, size_t row_count, void *scratch,
                   uint32_t *out_leaves);
};

extern const struct kernel_ops kernel_pack8;  /* BLOB_PACK8, portable */
extern const struct kernel_ops kernel_wide;   /* BLOB_WIDE */
extern const struct kernel_ops kernel_linear; /* BLOB_LINEAR */
