/* SPDX-License-Identifier: MIT */
/* kernel_list_x86.c - the kernels built for x86-64, and what this processor has of it. */
#include "kernel.h"

const struct kernel_ops *const kernel_list[] = {
    &kernel_row_avx512,
    &kernel_batch_avx512,
    &kernel_batch_avx2,
    &kernel_batch_plain,
    &kernel_pack8,
    &kernel_row_avx2,
    &kernel_row_plain,
    &kernel_wide8,
    &kernel_wide,
    &kernel_linear,
    &kernel_dense,
    &kernel_scorecard,
    NULL,
};

/* Of the compiler's run-time: the answers of cpuid, asked once when the process started, and of
 * the system, whether it keeps the wide registers. */
unsigned
kernel_cpu_bits(void)
{
    bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vbmi") &&
                      __builtin_cpu_supports("avx512vbmi2") &&
                      __builtin_cpu_supports("avx512vpopcntdq") &&
                      __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("gfni");
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");

    return (has_avx2 ? (unsigned)KERNEL_CPU_AVX2 : 0) |
           (has_avx512 ? (unsigned)KERNEL_CPU_AVX512 : 0);
}
