/* SPDX-License-Identifier: MIT */
/*
 * batch_body.h - masks and trees in one width of vectors. Included by a .c file of one instruction
 * set after its lanes_*.h, which gives `lanes` and what can be done with it:
 *   lanes_select(m, a, b)    bits of a where m is set, of b elsewhere
 *   lanes_or_and(a, b, c)    a | (b & c)
 *   lanes_zip8_low(a, b) …   bytes (16, 32 bits) of the lower (upper) halves of each 16 bytes in
 *                            turn
 *   lanes_transpose(v)       each 8 bytes as an 8 × 8 matrix of bits, of planes 0 ^ LANES_FLIP,
 *                            1 ^ LANES_FLIP and so on
 *   lanes_of_ranks(r, v)     the eight planes of 8 × sizeof(lanes) bytes
 * It defines one `struct batch_width`'s functions, width_masks_fill() and width_tree_walk().
 */
#pragma once

#include "batch.h"

#include <string.h>

enum { WIDTH_BYTES = sizeof(lanes), WIDTH_ROWS = 8 * WIDTH_BYTES };

static inline lanes
lanes_none(void)
{
    return (lanes){0};
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* Of two bits: where they are just v, more than v, at least v. */
struct pair_tests {
    lanes equal[4];
    lanes above[4];
    lanes least[4];
};

static inline struct pair_tests
pair_tests_of(lanes high, lanes low)
{
    lanes all = ~lanes_none();

    return (struct pair_tests){
        .equal = {~(high | low), low & ~high, high & ~low, high & low},
        .above = {high | low, high, high & low, lanes_none()},
        .least = {all, high | low, high, high & low},
    };
}

/* The masks of codes 1 to count of a column with these planes; rank >= 16 h + l is: the upper half
 * is above h, or it is h and the lower is at least l. */
static inline void
codes_fill(const lanes *planes, uint32_t count, lanes *out_masks)
{
    struct pair_tests a = pair_tests_of(planes[7], planes[6]);
    struct pair_tests b = pair_tests_of(planes[5], planes[4]);
    struct pair_tests c = pair_tests_of(planes[3], planes[2]);
    struct pair_tests d = pair_tests_of(planes[1], planes[0]);
    lanes least[16];

    for (unsigned i = 0; i < 16; i++) {
        least[i] = lanes_or_and(c.above[i / 4], c.equal[i / 4], d.least[i % 4]);
    }
    out_masks -= 1;
    for (unsigned i = 0; 16 * i <= count; i++) {
        lanes above = lanes_or_and(a.above[i / 4], a.equal[i / 4], b.above[i % 4]);
        lanes equal = a.equal[i / 4] & b.equal[i % 4];
        lanes *out = out_masks + 16 * (size_t)i;
        unsigned left = count - 16 * i;
        if (i > 0) {
            out[0] = above | equal;
        }
        if (left >= 15) {
            for (unsigned k = 1; k < 16; k++) {
                out[k] = lanes_or_and(above, equal, least[k]);
            }
        } else {
            for (unsigned k = 1; k <= left; k++) {
                out[k] = lanes_or_and(above, equal, least[k]);
            }
        }
    }
}

static void
width_masks_fill(const struct batch_view *view, const uint8_t *ranks, void *out_masks)
{
    uint32_t columns = view->header->rank_column_count;
    lanes *masks = out_masks;
    lanes *codes = masks + 1 + columns;
    lanes planes[BATCH_PLANES];

    masks[0] = lanes_none();
    for (uint32_t c = 0; c < columns; c++) {
        const struct rank_column *column = &view->columns[c];
        uint32_t count = rank_code_count(column);
        lanes_of_ranks(ranks + (size_t)c * WIDTH_ROWS, planes);
        masks[1 + c] = planes[0] & planes[1] & planes[2] & planes[3] & planes[4] & planes[5] &
                       planes[6] & planes[7];
        codes_fill(planes, count, codes);
        codes += count;
    }
}

/* ---- whole trees ----------------------------------------------------------------------------- */

/* The planes of the leaf's number below a node, as many as there are levels. */
struct number {
    lanes planes[BATCH_PLANES];
};

struct walk {
    const lanes *masks;
    const uint32_t *tests;
    bool has_missing; /* a constant of every caller */
};

__attribute__((always_inline)) static inline lanes
node_mask(const struct walk *walk, unsigned node)
{
    uint32_t test = walk->tests[node];
    lanes right = walk->masks[test & BATCH_TEST_MASK];

    if (walk->has_missing) {
        right &= ~walk->masks[test >> BATCH_TEST_BITS];
    }
    return right;
}

__attribute__((always_inline)) static inline struct number
numbers_join(struct number left, struct number right, lanes is_right, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++) {
        left.planes[i] = lanes_select(is_right, right.planes[i], left.planes[i]);
    }
    left.planes[levels] = is_right;
    return left;
}

/* level_n(): the number below a node with n levels. One function a level, for a recursion would
 * not become straight code. */
__attribute__((always_inline)) static inline struct number
level_1(const struct walk *walk, unsigned node)
{
    return (struct number){{node_mask(walk, node)}};
}

__attribute__((always_inline)) static inline struct number
level_2(const struct walk *walk, unsigned node)
{
    return numbers_join(level_1(walk, 2 * node + 1), level_1(walk, 2 * node + 2),
                        node_mask(walk, node), 1);
}

__attribute__((always_inline)) static inline struct number
level_3(const struct walk *walk, unsigned node)
{
    return numbers_join(level_2(walk, 2 * node + 1), level_2(walk, 2 * node + 2),
                        node_mask(walk, node), 2);
}

__attribute__((always_inline)) static inline struct number
level_4(const struct walk *walk, unsigned node)
{
    return numbers_join(level_3(walk, 2 * node + 1), level_3(walk, 2 * node + 2),
                        node_mask(walk, node), 3);
}

__attribute__((always_inline)) static inline struct number
level_5(const struct walk *walk, unsigned node)
{
    return numbers_join(level_4(walk, 2 * node + 1), level_4(walk, 2 * node + 2),
                        node_mask(walk, node), 4);
}

__attribute__((always_inline)) static inline struct number
level_6(const struct walk *walk, unsigned node)
{
    return numbers_join(level_5(walk, 2 * node + 1), level_5(walk, 2 * node + 2),
                        node_mask(walk, node), 5);
}

static inline void
planes_copy(const struct number *number, unsigned levels, lanes *out_planes)
{
    for (unsigned i = 0; i < levels; i++) {
        out_planes[i] = number->planes[i];
    }
}

/* A block of one to six levels. */
__attribute__((always_inline)) static inline void
block_walk(const struct walk *walk, unsigned depth, lanes *out_planes)
{
    struct number number;

    switch (depth) {
    case 1: out_planes[0] = node_mask(walk, 0); return;
    case 2:
        number = level_2(walk, 0);
        planes_copy(&number, 2, out_planes);
        return;
    case 3:
        number = level_3(walk, 0);
        planes_copy(&number, 3, out_planes);
        return;
    case 4:
        number = level_4(walk, 0);
        planes_copy(&number, 4, out_planes);
        return;
    case 5:
        number = level_5(walk, 0);
        planes_copy(&number, 5, out_planes);
        return;
    default:
        number = level_6(walk, 0);
        planes_copy(&number, 6, out_planes);
        return;
    }
}

static void
block_walk_dense(const lanes *masks, const uint32_t *tests, unsigned depth, lanes *out_planes)
{
    block_walk(&(struct walk){masks, tests, false}, depth, out_planes);
}

static void
block_walk_missing(const lanes *masks, const uint32_t *tests, unsigned depth, lanes *out_planes)
{
    block_walk(&(struct walk){masks, tests, true}, depth, out_planes);
}

/* Seven or eight levels: the numbers in the blocks below, joined by the nodes on top. */
__attribute__((always_inline)) static inline void
tall_walk(const struct walk *walk, unsigned depth, lanes *out_planes)
{
    unsigned blocks = 1u << (depth - BATCH_BLOCK_DEPTH);
    struct number numbers[4];

    for (unsigned i = 0; i < blocks; i++) {
        const uint32_t *tests = walk->tests + blocks - 1 + i * BATCH_BLOCK_NODES;
        if (walk->has_missing) {
            block_walk_missing(walk->masks, tests, BATCH_BLOCK_DEPTH, numbers[i].planes);
        } else {
            block_walk_dense(walk->masks, tests, BATCH_BLOCK_DEPTH, numbers[i].planes);
        }
    }
    if (blocks == 4) {
        numbers[0] = numbers_join(numbers[0], numbers[1], node_mask(walk, 1), BATCH_BLOCK_DEPTH);
        numbers[1] = numbers_join(numbers[2], numbers[3], node_mask(walk, 2), BATCH_BLOCK_DEPTH);
    }
    numbers[0] = numbers_join(numbers[0], numbers[1], node_mask(walk, 0), depth - 1);
    memcpy(out_planes, numbers[0].planes, depth * sizeof(lanes));
}

static void
tall_walk_dense(const lanes *masks, const uint32_t *tests, unsigned depth, lanes *out_planes)
{
    tall_walk(&(struct walk){masks, tests, false}, depth, out_planes);
}

static void
tall_walk_missing(const lanes *masks, const uint32_t *tests, unsigned depth, lanes *out_planes)
{
    tall_walk(&(struct walk){masks, tests, true}, depth, out_planes);
}

/* ---- sparse trees ---------------------------------------------------------------------------- */

__attribute__((always_inline)) static inline void
reach_fill(const struct walk *walk, const uint16_t *places, uint32_t inner, lanes *out_reach)
{
    out_reach[0] = ~lanes_none();
    for (uint32_t k = 0; k < inner; k++) {
        lanes is_right = node_mask(walk, k);
        lanes here = out_reach[places[k]];
        out_reach[2 * k + 1] = here & ~is_right;
        out_reach[2 * k + 2] = here & is_right;
    }
}

static void
reach_fill_dense(const lanes *masks, const uint32_t *tests, const uint16_t *places, uint32_t inner,
                 lanes *out_reach)
{
    reach_fill(&(struct walk){masks, tests, false}, places, inner, out_reach);
}

static void
reach_fill_missing(const lanes *masks, const uint32_t *tests, const uint16_t *places,
                   uint32_t inner, lanes *out_reach)
{
    reach_fill(&(struct walk){masks, tests, true}, places, inner, out_reach);
}

/* The planes of one part; returns the list of the next. */
static const uint16_t *
part_planes(const lanes *reach, const uint16_t *list, lanes *out_planes)
{
    for (unsigned i = 0; i < BATCH_PLANES; i++) {
        lanes plane = lanes_none();
        for (unsigned count = *list++; count > 0; count--) {
            plane |= reach[*list++];
        }
        out_planes[i] = plane;
    }
    return list;
}

/* ---- numbers of leaves ----------------------------------------------------------------------- */

/* Eight planes of bits become a byte a row: bytes in turn, so that the eight bytes of eight rows
 * stand together, then those 8 × 8 bits transposed. */
static void
numbers_write(const lanes *planes, uint8_t *out_numbers)
{
    lanes pairs[8];
    lanes fours[8];

    for (unsigned i = 0; i < 4; i++) {
        lanes first = planes[(2 * i) ^ LANES_FLIP];
        lanes second = planes[(2 * i + 1) ^ LANES_FLIP];
        pairs[i] = lanes_zip8_low(first, second);
        pairs[4 + i] = lanes_zip8_high(first, second);
    }
    for (unsigned i = 0; i < 4; i++) {
        fours[2 * i] = lanes_zip16_low(pairs[2 * i], pairs[2 * i + 1]);
        fours[2 * i + 1] = lanes_zip16_high(pairs[2 * i], pairs[2 * i + 1]);
    }
    lanes *out = (lanes *)out_numbers;
    for (unsigned i = 0; i < 4; i++) {
        /* fours: four planes of the lower half, the other four of it, then the upper half. */
        unsigned at = (i / 2) * 4 + i % 2;
        out[2 * i] = lanes_transpose(lanes_zip32_low(fours[at], fours[at + 2]));
        out[2 * i + 1] = lanes_transpose(lanes_zip32_high(fours[at], fours[at + 2]));
    }
}

static void
width_tree_walk(const struct batch_view *view, const struct batch_tree *tree, const void *masks,
                bool has_missing, void *reach, uint8_t *out_numbers)
{
    const uint32_t *tests = view->tests + tree->test;
    lanes planes[BATCH_PLANES] = {lanes_none()};

    if (tree->depth > BATCH_BLOCK_DEPTH) {
        (has_missing ? tall_walk_missing : tall_walk_dense)(masks, tests, tree->depth, planes);
        numbers_write(planes, out_numbers);
        return;
    }
    if (tree->depth > 0) {
        (has_missing ? block_walk_missing : block_walk_dense)(masks, tests, tree->depth, planes);
        numbers_write(planes, out_numbers);
        return;
    }
    const uint16_t *list = view->lists + tree->list;
    (has_missing ? reach_fill_missing : reach_fill_dense)(masks, tests, list, tree->inner, reach);
    list += tree->inner;
    for (unsigned part = 0; part < tree->parts; part++) {
        list = part_planes(reach, list, planes);
        numbers_write(planes, out_numbers + (size_t)part * WIDTH_ROWS);
    }
}
