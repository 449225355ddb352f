/* SPDX-License-Identifier: MIT */
/* contributions_avx512_f64.c - contributions in double, vectors of 512 bits. */
#define LANES_BYTES 64
#define LANES_OF_DOUBLE 1
#include "contributions_lanes.h"

const struct contributions_ops contributions_avx512_f64 = {
    .needs = KERNEL_CPU_AVX512,
    .lanes = LANE_COUNT,
    .scratch_bytes = lanes_scratch_bytes,
    .block = lanes_block,
};
