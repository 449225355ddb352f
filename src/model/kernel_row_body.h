/* SPDX-License-Identifier: MIT */
/*
 * kernel_row_body.h - the text of the row kernels without masks: roots and records are walked node
 * by node over ranks. Included by each file that compiles it for one instruction set.
 * A walk is a chain of loads, but a short one of few cache lines, and the processor has several
 * trees' walks under way at once.
 */
#pragma once

#include "kernel.h"
#include "walk_sums.h"

/* A row's ranks twice over, at a column's byte: where that has WALK_DEFAULT_LEFT a missing value is
 * 0, which goes left, not 255. */
struct row_planes {
    uint8_t ranks[2 * WALK_COLUMNS_MAX];
};

typedef bool row_ranks(const struct model *model, const void *row, uint8_t *out_ranks);

static inline __attribute__((always_inline)) void
planes_fill(struct row_planes *planes, uint32_t column_count, bool has_missing)
{
    const uint8_t *from = planes->ranks;
    uint8_t *to = planes->ranks + walk_default_left(column_count);

    for (uint32_t c = 0; has_missing && c < column_count; c++) {
        to[c] = from[c] == RANK_MISSING ? 0 : from[c];
    }
    if (!has_missing) {
        memcpy(to, from, column_count);
    }
}

/* One level down in a part. */
static inline __attribute__((always_inline)) uint32_t
node_step(const uint8_t *columns, const uint8_t *codes, const uint8_t *ranks, uint32_t node)
{
    return 2 * node + 2 - (ranks[columns[node]] < codes[node]);
}

/* Four parts of four trees side by side: each alone is a chain of loads that leaves the processor
 * idle. Codes stand `apart` bytes after the columns. */
enum { TOGETHER = 4 };

static inline __attribute__((always_inline)) void
parts_walk(const uint8_t *const *parts, size_t apart, const uint8_t *ranks, uint32_t depth,
           uint32_t *out_exits)
{
    const uint8_t *p = parts[0], *q = parts[1], *r = parts[2], *s = parts[3];
    uint32_t a = 0, b = 0, c = 0, d = 0;

#pragma GCC unroll 5
    for (uint32_t level = 0; level < depth; level++) {
        a = node_step(p, p + apart, ranks, a);
        b = node_step(q, q + apart, ranks, b);
        c = node_step(r, r + apart, ranks, c);
        d = node_step(s, s + apart, ranks, d);
    }
    uint32_t nodes = (1u << depth) - 1;
    out_exits[0] = a - nodes;
    out_exits[1] = b - nodes;
    out_exits[2] = c - nodes;
    out_exits[3] = d - nodes;
}

/* What one row needs of the blob. */
struct row_walk {
    const struct walk_root *roots;
    const struct walk_trees *trees;
    const uint8_t *records;
    uint32_t stride_words;
    uint32_t step_count;
    uint32_t exit_words;
};

/* The first records of TOGETHER trees. Past the last tree there are more in the same group. */
static inline __attribute__((always_inline)) void
first_records(const struct row_walk *walk, uint32_t tree, const uint8_t *ranks, uint32_t depth,
              uint32_t *out_records)
{
    const uint32_t in_group = WALK_ROOT_BYTES >> depth;
    const struct walk_trees *trees = &walk->trees[tree / WALK_LANES];
    const uint8_t *parts[TOGETHER];
    uint32_t exits[TOGETHER];

    for (uint32_t i = 0; i < TOGETHER; i++) {
        parts[i] = walk->roots[(tree + i) / in_group].columns + ((tree + i) % in_group << depth);
    }
    parts_walk(parts, offsetof(struct walk_root, codes), ranks, depth, exits);
    for (uint32_t i = 0; i < TOGETHER; i++) {
        uint32_t lane = (tree + i) % WALK_LANES;
        uint32_t before = trees->exits[lane] & ((UINT32_C(1) << exits[i]) - 1);
        out_records[i] = trees->first[lane] + (uint32_t)__builtin_popcount(before);
    }
}

/* The place of the exit, in words. */
static inline __attribute__((always_inline)) uint32_t
exit_place(const struct row_walk *walk, uint32_t record, uint32_t exit)
{
    return record * walk->stride_words + (uint32_t)sizeof(struct walk_record) / 4 +
           exit * walk->exit_words;
}

/* From one record on, to the leaf. */
static inline uint32_t
leaf_find(const struct row_walk *walk, uint32_t record, const uint8_t *ranks)
{
    uint32_t place = 0;

    for (uint32_t step = 1; step < walk->step_count; step++) {
        const struct walk_record *head =
            (const struct walk_record *)(walk->records + (size_t)record * walk->stride_words * 4);
        uint32_t node = 0;
        for (uint32_t level = 0; level < WALK_DEPTH; level++) {
            node = node_step(head->columns, head->codes, ranks, node);
        }
        place = exit_place(walk, record, node - WALK_NODES);
        if ((head->inner >> (node - WALK_NODES) & 1) == 0) {
            break;
        }
        memcpy(&record, walk->records + (size_t)place * 4, sizeof(record));
    }
    return place;
}

/* The leaves of TOGETHER trees whose first records are known. */
static inline __attribute__((always_inline)) void
leaves_find(const struct row_walk *walk, const uint32_t *records, const uint8_t *ranks,
            uint32_t *out_leaves)
{
    const uint8_t *parts[TOGETHER];
    uint32_t exits[TOGETHER];

    for (uint32_t i = 0; i < TOGETHER; i++) {
        parts[i] = walk->records + (size_t)records[i] * walk->stride_words * 4;
    }
    parts_walk(parts, offsetof(struct walk_record, codes), ranks, WALK_DEPTH, exits);
    for (uint32_t i = 0; i < TOGETHER; i++) {
        out_leaves[i] = exit_place(walk, records[i], exits[i]);
        const struct walk_record *head = (const struct walk_record *)parts[i];
        if (walk->step_count > 1 && (head->inner >> exits[i] & 1) != 0) {
            uint32_t next;
            memcpy(&next, walk->records + (size_t)out_leaves[i] * 4, sizeof(next));
            out_leaves[i] = leaf_find(walk, next, ranks);
        }
    }
}

/* depth is a constant of each caller. */
static inline __attribute__((always_inline)) void
row_trees(const struct model *model, const struct row_walk *walk, const uint8_t *ranks,
          uint32_t depth, walk_sum *sum, uint32_t sum_trees, void *margins)
{
    uint32_t leaves[WALK_SUM_GROUPS_MAX * WALK_LANES];
    uint32_t records[TOGETHER];

    for (uint32_t first = 0; first < model->tree_count; first += sum_trees) {
        uint32_t left = model->tree_count - first;
        uint32_t count = left < sum_trees ? left : sum_trees;
        for (uint32_t i = 0; i < count; i += TOGETHER) {
            first_records(walk, first + i, ranks, depth, records);
            leaves_find(walk, records, ranks, leaves + i);
        }
        sum(model, walk->records, leaves, first, count, margins);
    }
}

static inline __attribute__((always_inline)) void
rows_margins(const struct model *model, const void *rows, size_t row_count, row_ranks *rank,
             void *out_margins)
{
    const struct blob_header *header = blob_header(model);
    const struct row_walk walk = {
        .roots = blob_section(model, BLOB_WALK_ROOTS),
        .trees = blob_section(model, BLOB_WALK_TREES),
        .records = blob_section(model, BLOB_WALK_RECORDS),
        .stride_words = header->walk_stride / 4,
        .step_count = header->walk_step_count,
        .exit_words = walk_exit_bytes(header) / 4,
    };
    size_t number_bytes = model_number_bytes(model);
    uint32_t sum_trees = walk_sum_groups(model) * WALK_LANES;
    walk_sum *sum = walk_sum_of(model);
    struct row_planes planes = {.ranks = {0}};

    for (size_t r = 0; r < row_count; r++) {
        const uint8_t *row = (const uint8_t *)rows + r * model->feature_count * number_bytes;
        uint8_t *margins = (uint8_t *)out_margins + r * model->output_count * number_bytes;
        planes_fill(&planes, header->rank_column_count, rank(model, row, planes.ranks));
        walk_sums_begin(model, margins);
        switch (header->walk_root_depth) {
        case 3: row_trees(model, &walk, planes.ranks, 3, sum, sum_trees, margins); break;
        case 4: row_trees(model, &walk, planes.ranks, 4, sum, sum_trees, margins); break;
        default: row_trees(model, &walk, planes.ranks, 5, sum, sum_trees, margins); break;
        }
        walk_sums_end(model, margins);
    }
}

static bool
row_can_run(const struct model *model)
{
    return blob_header(model)->walk_record_count > 0;
}

static size_t
row_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)model;
    (void)row_count;
    return 0;
}
