/* SPDX-License-Identifier: MIT */
/*
 * kernel_pack8.c - the portable kernel for numeric trees: 8-byte nodes, eight walks at a time. A
 * walk is a chain of dependent loads, so one alone leaves the processor idle; eight side by side
 * (eight trees for one row, eight rows for one tree) fill it. There is no branch in a step and no
 * test for missing values or for leaves: see struct pack_node. Eight walks take as many steps as
 * the deepest of their trees.
 */
#include "kernel.h"

#include <math.h>
#include <string.h>

enum { BATCH_ROWS = 8, BATCH_ROWS_MIN = 4 };

static inline uint32_t
slot_count(const struct model *model)
{
    return 2 * model->feature_count + 1;
}

static void
base_spread(const struct model *model, float *out_margins)
{
    const double *base = blob_section(model, BLOB_BASE_MARGINS);

    for (uint32_t k = 0; k < model->output_count; k++) {
        out_margins[k] = (float)base[k];
    }
}

/* ---- one row, eight trees ------------------------------------------------------------------ */

static void
row_spread(const float *row, uint32_t feature_count, float *slots)
{
    for (uint32_t i = 0; i < feature_count; i++) {
        float x = row[i];
        slots[2 * i] = isnan(x) ? INFINITY : x;
        slots[2 * i + 1] = isnan(x) ? -INFINITY : x;
    }
    slots[2 * feature_count] = NAN;
}

/* x >= t is right for every x but NaN, and NaN is only in the slot of leaves, which stay. */
static inline const struct pack_node *
row_step(const struct pack_node *node, const float *slots)
{
    uint32_t step = node->step;

    return node + (step >> PACK_SLOT_BITS) + (slots[step & PACK_SLOT_MASK] >= node->value);
}

static inline unsigned
round_depth(const struct blob_round *round)
{
    unsigned depth = round->depth[0];

    for (unsigned i = 1; i < BLOB_ROUND_TREES; i++) {
        depth = round->depth[i] > depth ? round->depth[i] : depth;
    }
    return depth;
}

/* Written out: in an array the eight places would live in memory instead of registers. */
static inline void
row_walk(const struct blob_round *round, const struct pack_node *nodes, const float *slots,
         const struct pack_node **out_leaves)
{
    const struct pack_node *a = nodes + round->root[0], *b = nodes + round->root[1];
    const struct pack_node *c = nodes + round->root[2], *d = nodes + round->root[3];
    const struct pack_node *e = nodes + round->root[4], *f = nodes + round->root[5];
    const struct pack_node *g = nodes + round->root[6], *h = nodes + round->root[7];

    for (unsigned depth = round_depth(round); depth > 0; depth--) {
        a = row_step(a, slots);
        b = row_step(b, slots);
        c = row_step(c, slots);
        d = row_step(d, slots);
        e = row_step(e, slots);
        f = row_step(f, slots);
        g = row_step(g, slots);
        h = row_step(h, slots);
    }
    out_leaves[0] = a;
    out_leaves[1] = b;
    out_leaves[2] = c;
    out_leaves[3] = d;
    out_leaves[4] = e;
    out_leaves[5] = f;
    out_leaves[6] = g;
    out_leaves[7] = h;
}

static void
row_margins(const struct model *model, const float *row, float *slots, float *out_margins)
{
    const struct blob_round *round = blob_section(model, BLOB_ROUNDS);
    const struct pack_node *nodes = blob_section(model, BLOB_NODES);
    const struct pack_node *leaves[BLOB_ROUND_TREES];

    row_spread(row, model->feature_count, slots);
    base_spread(model, out_margins);
    for (uint32_t left = model->tree_count; left > 0; round++) {
        uint32_t count = left < BLOB_ROUND_TREES ? left : BLOB_ROUND_TREES;
        row_walk(round, nodes, slots, leaves);
        for (uint32_t i = 0; i < count; i++) {
            out_margins[round->output[i]] += leaves[i]->value;
        }
        left -= count;
    }
}

/* The same for one output: the sum stays in a register. */
static void
row_margin(const struct model *model, const float *row, float *slots, float *out_margin)
{
    const struct blob_round *round = blob_section(model, BLOB_ROUNDS);
    const struct pack_node *nodes = blob_section(model, BLOB_NODES);
    const struct pack_node *leaves[BLOB_ROUND_TREES];
    float margin = (float)*(const double *)blob_section(model, BLOB_BASE_MARGINS);

    row_spread(row, model->feature_count, slots);
    for (uint32_t left = model->tree_count; left > 0; round++) {
        uint32_t count = left < BLOB_ROUND_TREES ? left : BLOB_ROUND_TREES;
        row_walk(round, nodes, slots, leaves);
        for (uint32_t i = 0; i < count; i++) {
            margin += leaves[i]->value;
        }
        left -= count;
    }
    *out_margin = margin;
}

/* ---- eight rows, one tree ------------------------------------------------------------------ */

/* slots[s × 8 + r]: the eight rows' values of one slot share a cache line. */
static void
batch_spread(const float *rows, uint32_t feature_count, size_t row_count, float *slots)
{
    for (size_t r = 0; r < BATCH_ROWS; r++) {
        const float *row = rows + (r < row_count ? r : 0) * feature_count;
        for (size_t i = 0; i < feature_count; i++) {
            float x = row[i];
            slots[(2 * i) * BATCH_ROWS + r] = isnan(x) ? INFINITY : x;
            slots[(2 * i + 1) * BATCH_ROWS + r] = isnan(x) ? -INFINITY : x;
        }
        slots[(size_t)2 * feature_count * BATCH_ROWS + r] = NAN;
    }
}

static inline const struct pack_node *
batch_step(const struct pack_node *node, const float *slots, unsigned row)
{
    uint32_t step = node->step;
    float x = slots[(size_t)(step & PACK_SLOT_MASK) * BATCH_ROWS + row];

    return node + (step >> PACK_SLOT_BITS) + (x >= node->value);
}

static inline void
batch_walk(const struct pack_node *root, unsigned depth, const float *slots, float *out_values)
{
    const struct pack_node *a = root, *b = root, *c = root, *d = root;
    const struct pack_node *e = root, *f = root, *g = root, *h = root;

    for (; depth > 0; depth--) {
        a = batch_step(a, slots, 0);
        b = batch_step(b, slots, 1);
        c = batch_step(c, slots, 2);
        d = batch_step(d, slots, 3);
        e = batch_step(e, slots, 4);
        f = batch_step(f, slots, 5);
        g = batch_step(g, slots, 6);
        h = batch_step(h, slots, 7);
    }
    out_values[0] = a->value;
    out_values[1] = b->value;
    out_values[2] = c->value;
    out_values[3] = d->value;
    out_values[4] = e->value;
    out_values[5] = f->value;
    out_values[6] = g->value;
    out_values[7] = h->value;
}

static void
batch_margins(const struct model *model, const float *rows, size_t row_count, float *slots,
              float *out_margins)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    const struct pack_node *nodes = blob_section(model, BLOB_NODES);
    float values[BATCH_ROWS];

    batch_spread(rows, model->feature_count, row_count, slots);
    for (size_t r = 0; r < row_count; r++) {
        base_spread(model, out_margins + r * model->output_count);
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        const struct blob_round *round = &rounds[t / BLOB_ROUND_TREES];
        unsigned lane = t % BLOB_ROUND_TREES;
        float *margin = out_margins + round->output[lane];
        batch_walk(nodes + round->root[lane], round->depth[lane], slots, values);
        for (size_t r = 0; r < row_count; r++) {
            margin[r * model->output_count] += values[r];
        }
    }
}

/* ---- the kernel ---------------------------------------------------------------------------- */

static size_t
pack8_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)row_count;
    return (size_t)slot_count(model) * BATCH_ROWS * sizeof(float);
}

static void
pack8_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
              void *out_margins)
{
    const float *row = rows;
    float *margins = out_margins;
    size_t left = row_count;

    while (left > 0) {
        size_t count = left < BATCH_ROWS_MIN ? 1 : left < BATCH_ROWS ? left : BATCH_ROWS;
        if (count == 1 && model->output_count == 1) {
            row_margin(model, row, scratch, margins);
        } else if (count == 1) {
            row_margins(model, row, scratch, margins);
        } else {
            batch_margins(model, row, count, scratch, margins);
        }
        row += count * model->feature_count;
        margins += count * model->output_count;
        left -= count;
    }
}

static void
pack8_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
             uint32_t *out_leaves)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    const struct pack_node *nodes = blob_section(model, BLOB_NODES);
    const uint32_t *source_nodes = blob_section(model, BLOB_SOURCE_NODES);
    const struct pack_node *leaves[BLOB_ROUND_TREES];

    for (size_t r = 0; r < row_count; r++) {
        row_spread((const float *)rows + r * model->feature_count, model->feature_count, scratch);
        for (uint32_t t = 0; t < model->tree_count; t++) {
            if (t % BLOB_ROUND_TREES == 0) {
                row_walk(&rounds[t / BLOB_ROUND_TREES], nodes, scratch, leaves);
            }
            *out_leaves++ = source_nodes[leaves[t % BLOB_ROUND_TREES] - nodes];
        }
    }
}

static bool
pack8_can_run(const struct model *model)
{
    return blob_header(model)->kernel == BLOB_PACK8;
}

const struct kernel_ops kernel_pack8 = {
    .name = "pack8",
    .rows_min = 1,
    .can_run = pack8_can_run,
    .scratch_bytes = pack8_scratch_bytes,
    .margins = pack8_margins,
    .leaves = pack8_leaves,
};
