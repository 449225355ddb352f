/* SPDX-License-Identifier: MIT */
/* contributions_portable_f64.c - contributions in double, on any processor. */
#define LANES_BYTES 16
#define LANES_OF_DOUBLE 1
#include "contributions_lanes.h"

const struct contributions_ops contributions_portable_f64 = {
    .lanes = LANE_COUNT,
    .scratch_bytes = lanes_scratch_bytes,
    .block = lanes_block,
};
