/* SPDX-License-Identifier: MIT */
/* contributions_avx2_f64.c - contributions in double, vectors of 256 bits. */
#define LANES_BYTES 32
#define LANES_OF_DOUBLE 1
#include "contributions_lanes.h"

const struct contributions_ops contributions_avx2_f64 = {
    .needs = KERNEL_CPU_AVX2,
    .lanes = LANE_COUNT,
    .scratch_bytes = lanes_scratch_bytes,
    .block = lanes_block,
};
