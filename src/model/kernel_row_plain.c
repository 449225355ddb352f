/* SPDX-License-Identifier: MIT */
/* kernel_row_plain.c - one row over roots and records, node by node, in plain C. */
#include "kernel_row_body.h"

static void
row_plain_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  void *out_margins)
{
    (void)scratch;
    rows_margins(model, rows, row_count, rank_row, out_margins);
}

const struct kernel_ops kernel_row_plain = {
    .name = "row-plain",
    .needs = 0,
    .rows_min = 1,
    .trees_min = 24,
    .can_run = row_can_run,
    .scratch_bytes = row_scratch_bytes,
    .margins = row_plain_margins,
};
