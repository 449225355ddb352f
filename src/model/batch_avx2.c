/* SPDX-License-Identifier: MIT */
/*
 * batch_avx2.c - blocks of 256 rows in vectors of 256 bits, with AVX2.
 */
#include "lanes_avx2.h"

#include "batch_body.h"

#include "batch_width.h"

const struct batch_width batch_width_avx2 = {
    .vector_bytes = sizeof(lanes),
    .masks_fill = width_masks_fill,
    .tree_walk = width_tree_walk,
};
