/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the evaluators of a compiled model. All are exact: the model's own precision, strict
 * <, one sum an output in tree order from the base margin, so that every kernel gives the same
 * bits. They trust the blob's indices (model_open has checked them), allocate nothing and call no
 * library. Rows and margins are arrays of the model's numbers.
 */
#pragma once

#include "blob.h"

struct kernel_ops {
    size_t (*scratch_bytes)(const struct model *model, size_t row_count);
    void (*margins)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                    void *out_margins);
    void (*leaves)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   uint32_t *out_leaves);
};

extern const struct kernel_ops kernel_pack8;  /* BLOB_PACK8, portable; float32 */
extern const struct kernel_ops kernel_wide;   /* BLOB_WIDE, both precisions */
extern const struct kernel_ops kernel_linear; /* BLOB_LINEAR */
