/* SPDX-License-Identifier: MIT */
/*
 * lanes_swap.h - an 8 × 8 matrix of bits in each 64 bits, transposed by shifts: first 2 × 2, then
 * 4 × 4, then the quarters change places. For lanes_*.h without an instruction of its own.
 */
#pragma once

enum { LANES_FLIP = 0 };

static inline lanes
lanes_swap(lanes v, lanes which, int distance)
{
    lanes swapped = (v ^ (v >> distance)) & which;

    return v ^ swapped ^ (swapped << distance);
}

static inline lanes
lanes_transpose(lanes v)
{
    const lanes none = {0};

    v = lanes_swap(v, none + UINT64_C(0x00aa00aa00aa00aa), 7);
    v = lanes_swap(v, none + UINT64_C(0x0000cccc0000cccc), 14);
    return lanes_swap(v, none + UINT64_C(0x00000000f0f0f0f0), 28);
}
