/* SPDX-License-Identifier: MIT */
/* kernel_row_avx2.c - one row over roots and records, node by node, for processors with AVX2. */
#include "kernel_row_body.h"
#include "rank_row_avx2.h"

static void
row_avx2_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                 void *out_margins)
{
    (void)scratch;
    rows_margins(model, rows, row_count, rank_row_avx2, out_margins);
}

const struct kernel_ops kernel_row_avx2 = {
    .name = "row-avx2",
    .needs = KERNEL_CPU_AVX2,
    .rows_min = 1,
    .trees_min = 20,
    .can_run = row_can_run,
    .scratch_bytes = row_scratch_bytes,
    .margins = row_avx2_margins,
};
