/* SPDX-License-Identifier: MIT */
/* kernel_list_other.c - the kernels of a processor that none is written for: the portable ones. */
#include "kernel.h"

const struct kernel_ops *const kernel_list[] = {
    &kernel_batch_plain, &kernel_pack8, &kernel_row_plain, &kernel_wide8, &kernel_wide,
    &kernel_linear,      &kernel_dense, &kernel_scorecard, NULL};

unsigned
kernel_cpu_bits(void)
{
    return 0;
}
