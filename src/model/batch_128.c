/* SPDX-License-Identifier: MIT */
/*
 * batch_128.c - blocks of 128 rows in vectors of 128 bits, with AVX-512.
 */
#include "lanes_avx512_128.h"

#include "batch_body.h"

#include "batch_width.h"

const struct batch_width batch_width_128 = {
    .vector_bytes = sizeof(lanes),
    .masks_fill = width_masks_fill,
    .tree_walk = width_tree_walk,
};
