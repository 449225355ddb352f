/* SPDX-License-Identifier: MIT */
/*
 * batch_512.c - blocks of 512 rows in vectors of 512 bits, with AVX-512.
 */
#include "lanes_avx512.h"

#include "batch_body.h"

#include "batch_width.h"

const struct batch_width batch_width_512 = {
    .vector_bytes = sizeof(lanes),
    .masks_fill = width_masks_fill,
    .tree_walk = width_tree_walk,
};
