/* SPDX-License-Identifier: MIT */
/*
 * kernel.h - the evaluators of a compiled model. All are exact: the model's own precision, strict
 * <, one sum an output in tree order from the base margin, so that every kernel gives the same
 * bits. They trust the blob's indices (model_open has checked them), allocate nothing and call no
 * library. Rows and margins are arrays of the model's numbers.
 */
#pragma once

#include "blob.h"

/* What a processor must have beyond the least of its kind. */
enum kernel_cpu {
    KERNEL_CPU_AVX2 = 1 << 0,   /* and FMA */
    KERNEL_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL, VBMI, VBMI2, VPOPCNTDQ, BITALG, GFNI */
    KERNEL_CPU_NEON = 1 << 2,
};

struct kernel_ops {
    const char *name;
    unsigned needs;  /* enum kernel_cpu */
    size_t rows_min; /* chosen for calls of so many rows and more; it can answer fewer */
    /* Chosen for models of so many trees and more: fewer are not worth its preparations. */
    uint32_t trees_min;
    /* Whether the model has what this kernel reads. */
    bool (*can_run)(const struct model *model);
    size_t (*scratch_bytes)(const struct model *model, size_t row_count);
    void (*margins)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                    void *out_margins);
    /* NULL: the portable kernels tell leaves. */
    void (*leaves)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   uint32_t *out_leaves);
};

extern const struct kernel_ops kernel_pack8;      /* BLOB_PACK8, portable; float32 */
extern const struct kernel_ops kernel_wide8;      /* BLOB_WIDE of plain tests: BLOB_HINT_NUMBERS */
extern const struct kernel_ops kernel_wide;       /* BLOB_WIDE, both precisions */
extern const struct kernel_ops kernel_linear;     /* BLOB_LINEAR */
extern const struct kernel_ops kernel_dense;      /* BLOB_DENSE, float64 */
extern const struct kernel_ops kernel_scorecard;  /* BLOB_SCORECARD, float64 */
extern const struct kernel_ops kernel_row_plain;  /* roots and records (walk.h), portable */
extern const struct kernel_ops kernel_row_avx2;   /* the same for AVX2 */
extern const struct kernel_ops kernel_row_avx512; /* and with masks of 64 nodes */
/* Many rows (batch.h), by blocks of up to 512, 256 and 128. */
extern const struct kernel_ops kernel_batch_avx512;
extern const struct kernel_ops kernel_batch_avx2;
extern const struct kernel_ops kernel_batch_neon;
extern const struct kernel_ops kernel_batch_plain;

/* kernel_list_*.c, one of them a processor family: the kernels built for it, preferred ones first,
 * NULL at the end; and what this processor has. */
extern const struct kernel_ops *const kernel_list[];
unsigned kernel_cpu_bits(void);

/* kernel_choice.c. The portable kernel of the model's nodes. */
const struct kernel_ops *kernel_portable(const struct model *model);
/* Sets the model's kernels: the preferred ones that can run. */
void kernel_choose(struct model *model);

/* Of BLOB_SCORECARD: model_reasons(), model_contributions() of one row. */
size_t kernel_scorecard_reasons(const struct model *model, const double *row, size_t max,
                                struct model_reason *out_reasons);

void kernel_scorecard_contributions(const struct model *model, const double *row, double *out);

/* kernel_inputs.c: the inputs of rows (row_count × feature_count doubles), which the kernel then
 * reads in their place. out_inputs: row_count × input_count. */
void kernel_inputs(const struct model *model, const double *rows, size_t row_count,
                   double *out_inputs);
