/* SPDX-License-Identifier: MIT */
/*
 * batch.h - many rows at once, one bit a row. All tests of a block of rows are made first: a mask
 * for each column and code (bit r: row r goes right), by a few operations on the bits of the ranks.
 * A tree is then logic on masks, without a branch or a gather: what comes out is, for each row, the
 * number of the leaf it reached, in eight planes of bits, which are turned into a byte a row and
 * looked up.
 *
 * A tree of up to BATCH_DEPTH_MAX levels is `whole`: its nodes stand in heap order, places without
 * a node are always left, and the number of the leaf is the way taken, a bit a level. Any other is
 * `sparse`: which rows reach each node is worked out from the root down, breadth first, and a plane
 * is the union of the nodes that the lists name. Its leaves are numbered from left to right, 255 in
 * a part; number 0 of a part is of the rows whose leaf is in another one, and adds -0.0, which
 * changes no sum. A sparse tree of one part has no such number.
 *
 * batch_plan.c makes the sections when a model is compiled, batch_check.c proves them when it is
 * opened, kernel_batch.c evaluates with what an instruction set gives (struct batch_isa).
 */
#pragma once

#include "kernel.h"
#include "rank.h"

enum {
    BATCH_DEPTH_MAX = 8,
    BATCH_BLOCK_DEPTH = 6, /* levels that are worked out in registers */
    BATCH_BLOCK_NODES = 63,
    BATCH_PLANES = 8,
    BATCH_PART_LEAVES = 255,
    BATCH_SLOT_BITS_MIN = 4,
    BATCH_NODES_MAX = 8191, /* of a sparse tree */
    BATCH_PARTS_MAX = BATCH_NODES_MAX / 2 / BATCH_PART_LEAVES + 1,
    BATCH_TEST_BITS = 20,
    BATCH_TEST_MASK = (1 << BATCH_TEST_BITS) - 1,
    BATCH_MASKS_MAX = 1 << 17,
    BATCH_COLUMNS_MAX = 4095,
    BATCH_OUTPUTS_MAX = 256,
    BATCH_LEAF_PADDING = 64, /* bytes past the last table that a lookup may read */
};

/*
 * Masks are numbered: 0 is of no row, 1 + c of the rows that miss column c, then those of each
 * column's codes 1, 2, … in the columns' order. A test (BLOB_BATCH_TESTS) is the mask of the rows
 * that go right, and in its upper bits that of the rows that go left all the same: 0, or what
 * misses the column.
 */

/* BLOB_BATCH_TREES, sorted by output, else in the source's order. */
struct batch_tree {
    uint32_t test;  /* its first test */
    uint32_t list;  /* of a sparse tree: its first in BLOB_BATCH_LISTS */
    uint32_t leaf;  /* first byte in BLOB_BATCH_LEAVES */
    uint16_t inner; /* of a sparse tree: tests, breadth first */
    uint16_t parts;
    uint16_t output;
    uint8_t depth;     /* 1 to BATCH_DEPTH_MAX; 0: sparse */
    uint8_t slot_bits; /* a table of leaves has 1 << slot_bits places */
};
_Static_assert(sizeof(struct batch_tree) == 20, "no padding");

/*
 * BLOB_BATCH_TESTS of a whole tree: up to six levels in heap order; of seven or eight first the 1
 * or 3 nodes on top, then 2 or 4 blocks of six levels.
 *
 * BLOB_BATCH_LISTS (uint16_t) of a sparse tree: for each test the place of its node among all
 * nodes, breadth first (the children of the k-th inner node are 2k + 1 and 2k + 2); then for each
 * part and plane a count and so many places.
 *
 * BLOB_BATCH_LEAVES of a part: a table for each of leaf_width values; a table has the first byte of
 * all its numbers (little-endian), then the second, and so on.
 */
static inline uint32_t
batch_test_count(const struct batch_tree *tree)
{
    if (tree->depth == 0) {
        return tree->inner;
    }
    if (tree->depth <= BATCH_BLOCK_DEPTH) {
        return (1u << tree->depth) - 1;
    }
    uint32_t blocks = 1u << (tree->depth - BATCH_BLOCK_DEPTH);
    return blocks - 1 + blocks * BATCH_BLOCK_NODES;
}

/* Masks of a column besides that of missing values. */
static inline uint32_t
rank_code_count(const struct rank_column *column)
{
    return column->kind == RANK_NUMBER ? column->count : 1;
}

static inline size_t
batch_number_bytes(enum model_number number)
{
    return number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double);
}

/* ---- when a model is compiled ---------------------------------------------------------------- */

struct batch_plan {
    uint32_t mask_count; /* 0: this way does not pay or cannot go; the sections are empty */
    uint32_t tree_count;
    uint32_t test_count;
    uint32_t list_count;
    uint32_t leaf_bytes; /* with the padding */
    uint32_t node_max;   /* places of the largest sparse tree */
    uint32_t part_max;
    const struct batch_tree *trees;
    const uint32_t *tests;
    const uint16_t *lists;
    const uint8_t *leaves;
};

/* Of a checked model and its columns. The plan lives in the arena. Fails only for want of memory.
 */
AUGURY_MUST_USE int batch_plan_make(const struct neutral_model *model, const struct rank_plan *rank,
                                    struct arena *arena, struct batch_plan *out_plan,
                                    struct err *err);

/* ---- when a blob is opened ------------------------------------------------------------------- */

/* Proves every index that an evaluation follows, after rank_check(). */
AUGURY_MUST_USE int batch_check(const struct blob_header *header, struct err *err);

/* ---- evaluation ------------------------------------------------------------------------------ */

/* What an evaluation reads of the blob. */
struct batch_view {
    const struct model *model;
    const struct blob_header *header;
    const struct rank_column *columns;
    const struct batch_tree *trees;
    const uint32_t *tests;
    const uint16_t *lists;
    const uint8_t *leaves;
};

/* One part of a tree, its leaves' numbers worked out. */
struct batch_item {
    const uint8_t *tables;
    uint16_t output;
    uint8_t slot_bits;
};

/*
 * One width of vectors. A block has 8 × the vector's bytes rows; masks and reach are arrays of
 * vectors. Row 128 l + 16 r + i of a block (i < 16, r < 8) has its leaf's number at byte
 * r × vector_bytes + 16 l + i.
 */
struct batch_width {
    size_t vector_bytes;
    /* ranks: a block's rows of each column. */
    void (*masks_fill)(const struct batch_view *view, const uint8_t *ranks, void *out_masks);
    /* out_numbers: a block of bytes for each part of the tree. */
    void (*tree_walk)(const struct batch_view *view, const struct batch_tree *tree,
                      const void *masks, bool has_missing, void *reach, uint8_t *out_numbers);
};

enum { BATCH_WIDTHS_MAX = 3 };

/* What an instruction set gives. */
struct batch_isa {
    const struct batch_width *widths[BATCH_WIDTHS_MAX + 1]; /* narrowest first, NULL ends them */
    /* Ranks of the columns of numbers: out_ranks[column × block_rows + row]; rows past row_count
     * are of any content. room: batch_room_bytes(). Returns whether one is missing. */
    bool (*quantise)(const struct batch_view *view, const void *rows, size_t row_count,
                     size_t block_rows, void *room, uint8_t *out_ranks);
    /* Adds table `value` of each item, in order, to a block's sums of one output. Byte
     * 64 c + 16 l + i of an item's numbers belongs to the sum batch_sum_place() says. */
    void (*sums_add)(enum model_number number, const struct batch_item *items, size_t item_count,
                     uint32_t value, const uint8_t *numbers, size_t block_rows, void *sums);
    size_t rows_min;     /* fewer are the row kernel's */
    size_t sum_bytes[2]; /* of the vectors in which sums are kept, by enum model_number */
};

size_t batch_scratch_bytes(const struct batch_isa *isa, const struct model *model,
                           size_t row_count);
bool batch_can_run(const struct model *model);
void batch_margins(const struct batch_isa *isa, const struct model *model, const void *rows,
                   size_t row_count, void *scratch, void *out_margins);
