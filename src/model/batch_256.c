/* SPDX-License-Identifier: MIT */
/*
 * batch_256.c - blocks of 256 rows in vectors of 256 bits, with AVX-512.
 */
#include "lanes_avx512_256.h"

#include "batch_body.h"

#include "batch_width.h"

const struct batch_width batch_width_256 = {
    .vector_bytes = sizeof(lanes),
    .masks_fill = width_masks_fill,
    .tree_walk = width_tree_walk,
};
