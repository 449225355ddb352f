/* SPDX-License-Identifier: MIT */
/*
 * walk.h - trees over ranks, cut for one row: the first levels of all trees close together (roots),
 * then records of three levels each with what lies below them, one cache line a visit.
 * A level is not walked node by node: all nodes of a part are tested at once, which gives a mask,
 * and the way through the part is read from the mask's bits.
 *
 * Nodes of a part stand in heap order: the children of node i are 2i + 1 and 2i + 2, and the part's
 * exits are numbered from left to right. A column's byte has WALK_DEFAULT_LEFT set when a missing
 * value goes left; so no model with more than WALK_COLUMNS_MAX columns has these sections. In a
 * model of up to WALK_COLUMNS_NARROW the bit below is set as well: it names a second table. A place
 * without a node (the tree ended above) is WALK_NO_NODE: always left.
 */
#pragma once

#include "rank.h"

enum {
    WALK_COLUMNS_MAX = 128,
    WALK_COLUMNS_NARROW = 64, /* up to so many a single table of ranks does */
    WALK_DEFAULT_LEFT = 128,
    WALK_DEFAULT_LEFT_NARROW = 128 + 64,
    WALK_LANES = 16, /* trees described together */
    WALK_ROOT_BYTES = 64,
    WALK_DEPTH = 3, /* levels of a record */
    WALK_NODES = 7,
    WALK_EXITS = 8,
};

/*
 * BLOB_WALK_ROOTS: the first walk_root_depth (3 to 5) levels of 64 >> depth trees: 1 << depth bytes
 * a tree, the last of them unused. One vector of columns, one of codes.
 */
struct walk_root {
    uint8_t columns[WALK_ROOT_BYTES];
    uint8_t codes[WALK_ROOT_BYTES];
};

/* BLOB_WALK_TREES: of sixteen trees which exits of the root exist, and the record of the first
 * existing one; the others follow it. Past the last tree: zeros. */
struct walk_trees {
    uint32_t exits[WALK_LANES];
    uint32_t first[WALK_LANES];
};

/*
 * BLOB_WALK_RECORDS: walk_stride bytes each. After the header eight exits of walk_exit_bytes():
 * what the leaf adds (float or double), or its row of BLOB_VECTORS (uint32_t), or where the bit of
 * `inner` is set the number of another record (uint32_t), which is greater than this one's. The
 * last record is of no tree.
 */
struct walk_record {
    uint8_t columns[WALK_NODES];
    uint8_t unused;
    uint8_t codes[WALK_NODES];
    uint8_t inner; /* bit e: exit e leads to another record */
};
_Static_assert(sizeof(struct walk_record) == 16 && sizeof(struct walk_root) == 128 &&
                   sizeof(struct walk_trees) == 128,
               "no padding");

static inline uint32_t
walk_default_left(uint32_t column_count)
{
    return column_count <= WALK_COLUMNS_NARROW ? WALK_DEFAULT_LEFT_NARROW : WALK_DEFAULT_LEFT;
}

static inline uint32_t
walk_exit_bytes(const struct blob_header *header)
{
    return header->number == MODEL_FLOAT64 && header->leaf_width == 1 ? sizeof(double)
                                                                      : sizeof(uint32_t);
}

/* ---- when a model is compiled ---------------------------------------------------------------- */

/* The three sections; record_count 0: none. */
struct walk_plan {
    uint32_t root_depth;
    uint32_t stride;
    uint32_t record_count;
    uint32_t step_count; /* the most records on one way */
    const struct walk_root *roots;
    const struct walk_trees *trees;
    const uint8_t *records;
};

/* vector_count: leaves are numbered as they are found breadth first, as BLOB_VECTORS has them. The
 * plan lives in the arena. Fails only for want of memory. */
AUGURY_MUST_USE int walk_plan_make(const struct rank_plan *ranks, uint32_t tree_depth,
                                   struct arena *arena, struct walk_plan *out_plan,
                                   struct err *err);

/* ---- when a blob is opened ------------------------------------------------------------------- */

uint64_t walk_section_bytes(const struct blob_header *header, enum blob_section section);
AUGURY_MUST_USE int walk_check(const struct blob_header *header, struct err *err);
