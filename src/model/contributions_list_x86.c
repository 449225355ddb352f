/* SPDX-License-Identifier: MIT */
/* contributions_list_x86.c - the evaluations of contributions built for x86-64. */
#include "contributions.h"

const struct contributions_ops *const contributions_list_f32[] = {
    &contributions_portable_f32,
    &contributions_avx2_f32,
    &contributions_avx512_f32,
    NULL,
};
const struct contributions_ops *const contributions_list_f64[] = {
    &contributions_portable_f64,
    &contributions_avx2_f64,
    &contributions_avx512_f64,
    NULL,
};
