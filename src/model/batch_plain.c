/* SPDX-License-Identifier: MIT */
/*
 * batch_plain.c - blocks of 128 rows in vectors of 128 bits, with whatever the processor has.
 */
#include "lanes_plain.h"

#include "batch_body.h"

#include "batch_width.h"

const struct batch_width batch_width_plain = {
    .vector_bytes = sizeof(lanes),
    .masks_fill = width_masks_fill,
    .tree_walk = width_tree_walk,
};
