/* SPDX-License-Identifier: MIT */
/* contributions_portable_f32.c - contributions in float, on any processor. */
#define LANES_BYTES 16
#define LANES_OF_DOUBLE 0
#include "contributions_lanes.h"

const struct contributions_ops contributions_portable_f32 = {
    .lanes = LANE_COUNT,
    .scratch_bytes = lanes_scratch_bytes,
    .block = lanes_block,
};
