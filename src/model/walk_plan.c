/* SPDX-License-Identifier: MIT */
/*
 * walk_plan.c - cuts trees into roots and records. Two passes of one function over all trees: the
 * first counts records, the second fills them.
 */
#include "walk.h"

enum {
    ROOT_DEPTH_MIN = 3,
    ROOT_DEPTH_MAX = 5,
    PLACES = 63,        /* a part of five levels and its exits */
    STRIDE_LINE = 64,   /* a record a cache line, where most of it is used */
    DEPTH_OF_LINES = 8, /* up to this depth; deeper trees are sparse below */
    NO_NODE = UINT32_MAX,
};

struct cutter {
    const struct rank_plan *ranks;
    const struct neutral_model *model;
    struct walk_plan *plan;
    uint32_t *order;   /* of a tree: its nodes, breadth first */
    uint32_t *vectors; /* of a node that is a leaf of several values: its row */
    uint32_t *queue;   /* of a tree: the top node of each record */
    uint32_t *steps;   /* and how many records lead there */
    uint32_t vector_count;
    uint32_t record_count;
    struct walk_root *roots; /* NULL: only count */
    struct walk_trees *trees;
    uint8_t *records;
};

/* The nodes of a part of `depth` levels in heap order, then its exits; NO_NODE where there is none.
 * A leaf above the exits goes down to the left. */
static void
part_cut(const struct neutral_tree *tree, uint32_t top, uint32_t depth, uint32_t *out_places)
{
    uint32_t nodes = (1u << depth) - 1;

    out_places[0] = top;
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t node = out_places[i];
        bool is_inner = node != NO_NODE && tree->left[node] != NEUTRAL_LEAF;
        out_places[2 * i + 1] = is_inner ? (uint32_t)tree->left[node] : node;
        out_places[2 * i + 2] = is_inner ? (uint32_t)tree->right[node] : NO_NODE;
    }
}

/* columns and codes of a part's nodes. */
static void
part_fill(const struct cutter *cutter, uint32_t number, const uint32_t *places, uint32_t depth,
          uint8_t *out_columns, uint8_t *out_codes)
{
    const struct neutral_tree *tree = &cutter->model->trees[number];
    uint32_t left = walk_default_left(cutter->ranks->column_count);

    for (uint32_t i = 0; i < (1u << depth) - 1; i++) {
        struct rank_node node = {.column = 0, .code = RANK_NEVER, .is_default_left = true};
        if (places[i] != NO_NODE && tree->left[places[i]] != NEUTRAL_LEAF) {
            node = rank_plan_node(cutter->ranks, number, places[i]);
        }
        out_columns[i] = (uint8_t)(node.column | (node.is_default_left ? left : 0));
        out_codes[i] = node.code;
    }
}

static void
exit_fill(const struct cutter *cutter, const struct neutral_tree *tree, uint32_t leaf,
          uint8_t *out_exit)
{
    const float single = (float)tree->value[leaf];

    if (cutter->model->leaf_width > 1) {
        memcpy(out_exit, &cutter->vectors[leaf], sizeof(uint32_t));
    } else if (cutter->model->number == MODEL_FLOAT32) {
        memcpy(out_exit, &single, sizeof(single));
    } else {
        memcpy(out_exit, &tree->value[leaf], sizeof(double));
    }
}

/* Record `at` of the tree's queue; inner exits join the queue. Returns the queue's new end. */
static uint32_t
record_cut(const struct cutter *cutter, uint32_t number, uint32_t at, uint32_t end)
{
    const struct neutral_tree *tree = &cutter->model->trees[number];
    uint32_t exit_bytes = cutter->model->number == MODEL_FLOAT64 && cutter->model->leaf_width == 1
                              ? sizeof(double)
                              : sizeof(uint32_t);
    uint8_t *record =
        cutter->records == NULL
            ? NULL
            : cutter->records + (size_t)(cutter->record_count + at) * cutter->plan->stride;
    struct walk_record head = {.inner = 0};
    uint32_t places[2 * WALK_EXITS - 1];

    part_cut(tree, cutter->queue[at], WALK_DEPTH, places);
    for (uint32_t e = 0; e < WALK_EXITS; e++) {
        uint32_t node = places[WALK_NODES + e];
        if (node == NO_NODE) {
            continue;
        }
        uint8_t *to = record == NULL ? NULL : record + sizeof(head) + (size_t)e * exit_bytes;
        if (tree->left[node] != NEUTRAL_LEAF) {
            uint32_t next = cutter->record_count + end;
            head.inner = (uint8_t)(head.inner | 1u << e);
            cutter->queue[end] = node;
            cutter->steps[end++] = cutter->steps[at] + 1;
            if (to != NULL) {
                memcpy(to, &next, sizeof(next));
            }
        } else if (to != NULL) {
            exit_fill(cutter, tree, node, to);
        }
    }
    if (record != NULL) {
        part_fill(cutter, number, places, WALK_DEPTH, head.columns, head.codes);
        memcpy(record, &head, sizeof(head));
    }
    return end;
}

/* The tree's root; its existing exits begin the queue. Returns the queue's end. */
static uint32_t
root_cut(const struct cutter *cutter, uint32_t number)
{
    uint32_t depth = cutter->plan->root_depth;
    uint32_t in_group = WALK_ROOT_BYTES >> depth;
    uint32_t nodes = (1u << depth) - 1;
    uint32_t places[PLACES];
    uint32_t exits = 0;
    uint32_t end = 0;

    part_cut(&cutter->model->trees[number], 0, depth, places);
    for (uint32_t e = 0; e <= nodes; e++) {
        if (places[nodes + e] != NO_NODE) {
            exits |= UINT32_C(1) << e;
            cutter->queue[end] = places[nodes + e];
            cutter->steps[end++] = 1;
        }
    }
    if (cutter->roots != NULL) {
        struct walk_root *root = &cutter->roots[number / in_group];
        size_t at = (size_t)(number % in_group) << depth;
        part_fill(cutter, number, places, depth, root->columns + at, root->codes + at);
        cutter->trees[number / WALK_LANES].exits[number % WALK_LANES] = exits;
        cutter->trees[number / WALK_LANES].first[number % WALK_LANES] = cutter->record_count;
    }
    return end;
}

static void
tree_cut(struct cutter *cutter, uint32_t number)
{
    const struct neutral_tree *tree = &cutter->model->trees[number];

    if (cutter->model->leaf_width > 1) {
        uint32_t depth;
        uint32_t count = neutral_tree_order(tree, cutter->order, &depth);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t node = cutter->order[i];
            if (tree->left[node] == NEUTRAL_LEAF) {
                cutter->vectors[node] = cutter->vector_count++;
            }
        }
    }
    uint32_t end = root_cut(cutter, number);
    for (uint32_t at = 0; at < end; at++) {
        end = record_cut(cutter, number, at, end);
        if (cutter->steps[at] > cutter->plan->step_count) {
            cutter->plan->step_count = cutter->steps[at];
        }
    }
    cutter->record_count += end;
}

static void
cut_all(struct cutter *cutter)
{
    cutter->record_count = 0;
    cutter->vector_count = 0;
    for (uint32_t t = 0; t < cutter->model->tree_count; t++) {
        tree_cut(cutter, t);
    }
}

/* Working memory for the largest tree. */
static bool
cutter_init(struct cutter *cutter, struct arena *arena)
{
    uint32_t largest = 1;

    for (uint32_t t = 0; t < cutter->model->tree_count; t++) {
        uint32_t count = cutter->model->trees[t].node_count;
        largest = count > largest ? count : largest;
    }
    cutter->order = arena_zalloc(arena, largest, sizeof(uint32_t));
    cutter->vectors = arena_zalloc(arena, largest, sizeof(uint32_t));
    cutter->queue = arena_zalloc(arena, largest, sizeof(uint32_t));
    cutter->steps = arena_zalloc(arena, largest, sizeof(uint32_t));
    return cutter->order != NULL && cutter->vectors != NULL && cutter->queue != NULL &&
           cutter->steps != NULL;
}

static uint32_t
stride_of(const struct neutral_model *model, uint32_t tree_depth)
{
    uint32_t exit_bytes = model->number == MODEL_FLOAT64 && model->leaf_width == 1
                              ? sizeof(double)
                              : sizeof(uint32_t);
    uint32_t bytes = sizeof(struct walk_record) + WALK_EXITS * exit_bytes;

    return bytes < STRIDE_LINE && tree_depth <= DEPTH_OF_LINES ? STRIDE_LINE : bytes;
}

static int
plan_fill(struct cutter *cutter, struct arena *arena)
{
    struct walk_plan *plan = cutter->plan;
    size_t lanes = ((size_t)cutter->model->tree_count + WALK_LANES - 1) / WALK_LANES;
    size_t roots = lanes * WALK_LANES / (WALK_ROOT_BYTES >> plan->root_depth);

    cutter->roots = arena_zalloc(arena, roots, sizeof(struct walk_root));
    cutter->trees = arena_zalloc(arena, lanes, sizeof(struct walk_trees));
    cutter->records = arena_zalloc(arena, plan->record_count, plan->stride);
    if (cutter->roots == NULL || cutter->trees == NULL || cutter->records == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    cut_all(cutter);
    plan->roots = cutter->roots;
    plan->trees = cutter->trees;
    plan->records = cutter->records;
    return 0;
}

int
walk_plan_make(const struct rank_plan *ranks, uint32_t tree_depth, struct arena *arena,
               struct walk_plan *out_plan, struct err *err)
{
    struct walk_plan plan = {.root_depth = tree_depth < ROOT_DEPTH_MIN + WALK_DEPTH
                                               ? ROOT_DEPTH_MIN
                                               : tree_depth - WALK_DEPTH};
    struct cutter cutter = {.ranks = ranks, .model = ranks->model, .plan = &plan};

    *out_plan = (struct walk_plan){.root_depth = 0};
    if (ranks->column_count == 0 || ranks->column_count > WALK_COLUMNS_MAX) {
        return 0;
    }
    plan.root_depth = plan.root_depth > ROOT_DEPTH_MAX ? ROOT_DEPTH_MAX : plan.root_depth;
    plan.stride = stride_of(ranks->model, tree_depth);
    int rc = cutter_init(&cutter, arena) ? 0 : AUGURY_ERR_NOMEM;
    if (rc == 0) {
        cut_all(&cutter);
        /* Kernels count words of four bytes with 32 bits. */
        if ((uint64_t)(cutter.record_count + 1) * plan.stride / 4 > UINT32_MAX) {
            return 0;
        }
        plan.record_count = cutter.record_count + 1;
        rc = plan_fill(&cutter, arena);
    }
    if (rc != 0) {
        return err_set(err, rc, "out_of_memory", "no memory to compile the model");
    }
    *out_plan = plan;
    return 0;
}
