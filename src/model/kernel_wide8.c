/* SPDX-License-Identifier: MIT */
/*
 * kernel_wide8.c - wide nodes, eight walks at a time, of models whose tests are of numbers with or
 * without a default side: what forests of deep trees are, with more thresholds than ranks are
 * worth. A walk is a chain of loads, mostly from far away, so that eight take hardly longer than
 * one: eight trees for a row alone, eight rows for a tree among many, which then stays in the
 * caches.
 */
#include "kernel.h"

#include <string.h>

enum {
    WALKS = BLOB_ROUND_TREES,
    BATCH_ROWS_MIN = 8,
    BLOCK_ROWS = 1024, /* fewer read the trees too often */
};

/* What one block reads of the blob, and its rows. */
struct wide_block {
    const struct model *model;
    const struct blob_round *rounds;
    const struct wide_node *nodes;
    const double *vectors;
    uint32_t width; /* values of a leaf */
    const uint8_t *rows;
    size_t row_count;
    uint8_t *margins;
    const uint8_t *ahead; /* nodes that will be wanted next, and so many bytes for eight rows */
    size_t ahead_bytes;
};

/* ---- walks ----------------------------------------------------------------------------------- */

/* number is a constant of each caller. x of a leaf is not looked at: its distance is 0. */
static inline const struct wide_node *
wide_step(const struct wide_node *node, const void *row, enum model_number number)
{
    double x = number == MODEL_FLOAT32 ? (double)((const float *)row)[node->feature]
                                       : ((const double *)row)[node->feature];
    unsigned is_missing_left = (unsigned)(x != x) & node->test & WIDE_DEFAULT_LEFT;
    unsigned is_right = (unsigned)!(x < node->value) & ~is_missing_left;

    return node + node->distance + (is_right & (unsigned)(node->distance != 0));
}

/* Until all stand on leaves, which a step does not leave. */
static inline void
walk_all(const struct wide_node **nodes, const uint8_t *const *rows, enum model_number number)
{
    uint32_t moved;

    do {
        moved = 0;
        for (size_t i = 0; i < WALKS; i++) {
            nodes[i] = wide_step(nodes[i], rows[i], number);
            moved |= nodes[i]->distance;
        }
    } while (moved != 0);
}

/* Eight rows from the root to their leaves; rows past the last are the last. */
static inline void
rows_walk(const struct wide_block *block, const struct wide_node *root, size_t first,
          enum model_number number, const struct wide_node **out_leaves)
{
    size_t row_bytes =
        block->model->feature_count * (number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double));
    const uint8_t *rows[WALKS];

    for (size_t i = 0; i < block->ahead_bytes; i += BLOB_ALIGN) {
        __builtin_prefetch(block->ahead + first / WALKS * block->ahead_bytes + i);
    }
    for (size_t i = 0; i < WALKS; i++) {
        size_t row = first + i < block->row_count ? first + i : block->row_count - 1;
        rows[i] = block->rows + row * row_bytes;
        out_leaves[i] = root;
    }
    walk_all(out_leaves, rows, number);
}

/* ---- sums ------------------------------------------------------------------------------------ */

static inline void
leaf_add_f32(const struct wide_block *block, const struct wide_node *leaf, uint32_t output,
             float *margins)
{
    if (block->width == 1) {
        margins[output] += (float)leaf->value;
        return;
    }
    const double *vector = block->vectors + (size_t)leaf->value * block->width;
    for (uint32_t k = 0; k < block->width; k++) {
        margins[k] += (float)vector[k];
    }
}

static inline void
leaf_add_f64(const struct wide_block *block, const struct wide_node *leaf, uint32_t output,
             double *margins)
{
    if (block->width == 1) {
        margins[output] += leaf->value;
        return;
    }
    const double *vector = block->vectors + (size_t)leaf->value * block->width;
    for (uint32_t k = 0; k < block->width; k++) {
        margins[k] += vector[k];
    }
}

static void
tree_f32(const struct wide_block *block, const struct wide_node *root, uint32_t output)
{
    const struct wide_node *leaves[WALKS];
    float *margins = (float *)block->margins;
    size_t outputs = block->model->output_count;

    for (size_t first = 0; first < block->row_count; first += WALKS) {
        rows_walk(block, root, first, MODEL_FLOAT32, leaves);
        for (size_t i = 0; i < WALKS && first + i < block->row_count; i++) {
            leaf_add_f32(block, leaves[i], output, margins + (first + i) * outputs);
        }
    }
}

static void
tree_f64(const struct wide_block *block, const struct wide_node *root, uint32_t output)
{
    const struct wide_node *leaves[WALKS];
    double *margins = (double *)block->margins;
    size_t outputs = block->model->output_count;

    for (size_t first = 0; first < block->row_count; first += WALKS) {
        rows_walk(block, root, first, MODEL_FLOAT64, leaves);
        for (size_t i = 0; i < WALKS && first + i < block->row_count; i++) {
            leaf_add_f64(block, leaves[i], output, margins + (first + i) * outputs);
        }
    }
}

/* ---- one row, eight trees -------------------------------------------------------------------- */

static inline void
trees_walk(const struct wide_block *block, const struct blob_round *round, enum model_number number,
           const struct wide_node **out_leaves)
{
    const uint8_t *rows[WALKS];

    /* Past the last tree stands the first one's root. */
    for (size_t i = 0; i < WALKS; i++) {
        out_leaves[i] = block->nodes + round->root[i];
        rows[i] = block->rows;
    }
    walk_all(out_leaves, rows, number);
}

static void
row_f32(const struct wide_block *block)
{
    const struct wide_node *leaves[WALKS];

    for (uint32_t t = 0; t < block->model->tree_count; t++) {
        const struct blob_round *round = &block->rounds[t / WALKS];
        if (t % WALKS == 0) {
            trees_walk(block, round, MODEL_FLOAT32, leaves);
        }
        leaf_add_f32(block, leaves[t % WALKS], round->output[t % WALKS], (float *)block->margins);
    }
}

static void
row_f64(const struct wide_block *block)
{
    const struct wide_node *leaves[WALKS];

    for (uint32_t t = 0; t < block->model->tree_count; t++) {
        const struct blob_round *round = &block->rounds[t / WALKS];
        if (t % WALKS == 0) {
            trees_walk(block, round, MODEL_FLOAT64, leaves);
        }
        leaf_add_f64(block, leaves[t % WALKS], round->output[t % WALKS], (double *)block->margins);
    }
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static void
margins_begin(const struct wide_block *block)
{
    const double *base = blob_section(block->model, BLOB_BASE_MARGINS);
    size_t outputs = block->model->output_count;

    for (size_t i = 0; i < block->row_count * outputs; i++) {
        model_number_set(block->model, block->margins, i, base[i % outputs]);
    }
}

static void
margins_end(const struct wide_block *block)
{
    double divisor = blob_header(block->model)->divisor;
    size_t count = block->row_count * block->model->output_count;

    for (size_t i = 0; divisor != 1.0 && i < count; i++) {
        if (block->model->number == MODEL_FLOAT32) {
            ((float *)block->margins)[i] /= (float)divisor;
        } else {
            ((double *)block->margins)[i] /= divisor;
        }
    }
}

/* The tree after this one is fetched while this one is walked: a walk meets its nodes in no order
 * that a processor foresees. */
static void
block_look_ahead(struct wide_block *block, uint32_t tree)
{
    const struct blob_header *header = blob_header(block->model);
    size_t groups = (block->row_count + WALKS - 1) / WALKS;
    uint32_t next = tree + 1 < header->tree_count ? tree + 1 : tree;
    uint32_t first = block->rounds[next / WALKS].root[next % WALKS];
    uint32_t end = next + 1 < header->tree_count
                       ? block->rounds[(next + 1) / WALKS].root[(next + 1) % WALKS]
                       : header->node_count;
    size_t bytes = (end - first) * sizeof(struct wide_node) / groups;

    /* Whole cache lines; a fetch past the end is harmless. */
    block->ahead = (const uint8_t *)(block->nodes + first);
    block->ahead_bytes = (bytes + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
}

static void
block_trees(struct wide_block *block)
{
    for (uint32_t t = 0; t < block->model->tree_count; t++) {
        const struct blob_round *round = &block->rounds[t / BLOB_ROUND_TREES];
        unsigned lane = t % BLOB_ROUND_TREES;
        const struct wide_node *root = block->nodes + round->root[lane];
        block_look_ahead(block, t);
        if (block->model->number == MODEL_FLOAT32) {
            tree_f32(block, root, round->output[lane]);
        } else {
            tree_f64(block, root, round->output[lane]);
        }
    }
}

static void
block_margins(struct wide_block *block)
{
    margins_begin(block);
    if (block->row_count > 1) {
        block_trees(block);
    } else if (block->model->number == MODEL_FLOAT32) {
        row_f32(block);
    } else {
        row_f64(block);
    }
    margins_end(block);
}

static void
wide8_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
              void *out_margins)
{
    size_t number_bytes = model_number_bytes(model);
    struct wide_block block = {
        .model = model,
        .rounds = blob_section(model, BLOB_ROUNDS),
        .nodes = blob_section(model, BLOB_NODES),
        .vectors = blob_section(model, BLOB_VECTORS),
        .width = blob_header(model)->leaf_width,
        .rows = rows,
        .margins = out_margins,
    };

    (void)scratch;
    while (row_count > 0) {
        block.row_count = row_count < BATCH_ROWS_MIN ? 1
                          : row_count < BLOCK_ROWS   ? row_count
                                                     : BLOCK_ROWS;
        block_margins(&block);
        block.rows += block.row_count * model->feature_count * number_bytes;
        block.margins += block.row_count * model->output_count * number_bytes;
        row_count -= block.row_count;
    }
}

static size_t
wide8_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)model, (void)row_count;
    return 0;
}

static bool
wide8_can_run(const struct model *model)
{
    const struct blob_header *header = blob_header(model);

    return header->kernel == BLOB_WIDE && header->tree_count > 0 &&
           (header->hints & BLOB_HINT_NUMBERS) != 0;
}

const struct kernel_ops kernel_wide8 = {
    .name = "wide8",
    .rows_min = 1,
    .can_run = wide8_can_run,
    .scratch_bytes = wide8_scratch_bytes,
    .margins = wide8_margins,
};
