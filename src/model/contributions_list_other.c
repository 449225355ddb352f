/* SPDX-License-Identifier: MIT */
/* contributions_list_other.c - the evaluations of contributions where no vectors are known. */
#include "contributions.h"

const struct contributions_ops *const contributions_list_f32[] = {
    &contributions_portable_f32,
    NULL,
};
const struct contributions_ops *const contributions_list_f64[] = {
    &contributions_portable_f64,
    NULL,
};
