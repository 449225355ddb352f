/* SPDX-License-Identifier: MIT */
/*
 * batch_plan.c - the trees of a model as tests on masks, for batch.h.
 * A tree becomes whole where the places without a node cost less than the steps of a sparse one.
 */
#include "batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Measured, in the time of a whole tree's node: what a sparse tree's inner node and its leaf
     * cost, what a part costs; and what a level of a tree costs a block of rows in a walk. */
    SPARSE_STEPS = 5,
    PART_STEPS = 40,
    LEVEL_STEPS = 800,
};

/* One tree as it is laid out. Nodes are numbered breadth first: `place`. */
struct tree_work {
    const struct neutral_tree *tree;
    uint32_t number; /* in the model */
    uint32_t *order; /* place: node of the source */
    uint32_t *left;  /* place: place of the left child, or 0 */
    uint32_t count;
    uint32_t depth;
    uint32_t *leaves; /* places of the leaves from left to right */
    uint32_t leaf_count;
    uint32_t *stack;
    uint32_t *parent;
    uint8_t *common; /* place: the bits that all leaves below have in their numbers in one part */
};

struct planner {
    const struct neutral_model *model;
    const struct rank_plan *rank;
    struct batch_plan plan;
    struct tree_work work;
    const uint32_t *mask_first; /* of each column's code 1 */
    struct batch_tree *trees;
    uint32_t *tests; /* NULL while all is counted */
    uint16_t *lists;
    uint8_t *leaves;
    uint64_t leaf_at;
    uint64_t test_at;
    uint64_t list_at;
    uint64_t steps; /* what a block costs */
};

/* ---- one tree -------------------------------------------------------------------------------- */

/* Children, parents, and the leaves from left to right. */
static void
work_read(struct tree_work *work, const struct neutral_tree *tree, uint32_t number)
{
    uint32_t next = 1;
    uint32_t top = 0;

    work->tree = tree;
    work->number = number;
    work->count = neutral_tree_order(tree, work->order, &work->depth);
    work->leaf_count = 0;
    for (uint32_t i = 0; i < work->count; i++) {
        bool is_leaf = tree->left[work->order[i]] == NEUTRAL_LEAF;
        work->left[i] = is_leaf ? 0 : next;
        if (!is_leaf) {
            work->parent[next] = work->parent[next + 1] = i;
            next += 2;
        }
    }
    work->stack[top++] = 0;
    while (top > 0) {
        uint32_t place = work->stack[--top];
        if (work->left[place] == 0) {
            work->leaves[work->leaf_count++] = place;
        } else {
            work->stack[top++] = work->left[place] + 1;
            work->stack[top++] = work->left[place];
        }
    }
}

static uint32_t
inner_count(const struct tree_work *work)
{
    return work->count / 2;
}

static bool
is_whole(const struct tree_work *work)
{
    return work->depth <= BATCH_DEPTH_MAX &&
           (1u << work->depth) <= SPARSE_STEPS * (inner_count(work) + 1);
}

static uint32_t
part_count(const struct tree_work *work)
{
    return work->leaf_count <= BATCH_PART_LEAVES + 1
               ? 1
               : (work->leaf_count + BATCH_PART_LEAVES - 1) / BATCH_PART_LEAVES;
}

static uint32_t
test_of(const struct planner *planner, const struct tree_work *work, uint32_t place)
{
    struct rank_node node = rank_plan_node(planner->rank, work->number, work->order[place]);
    uint32_t missing = 1u + node.column;
    uint32_t mask =
        node.code == RANK_NEVER ? missing : planner->mask_first[node.column] + node.code - 1;

    return mask | (node.is_default_left ? missing : 0) << BATCH_TEST_BITS;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

/* The bytes of one number, plane by plane. */
static void
leaf_put(const struct planner *planner, uint8_t *table, unsigned slot_bits, uint32_t slot,
         double value)
{
    uint8_t bytes[sizeof(double)];
    float narrow = (float)value;
    size_t number_bytes = batch_number_bytes(planner->model->number);

    memcpy(bytes, number_bytes == sizeof(float) ? (const void *)&narrow : &value, number_bytes);
    for (size_t i = 0; i < number_bytes; i++) {
        table[(i << slot_bits) + slot] = bytes[i];
    }
}

static size_t
part_bytes(const struct planner *planner, unsigned slot_bits)
{
    return planner->model->leaf_width * batch_number_bytes(planner->model->number) << slot_bits;
}

/* What a leaf adds, into its slot of each value's table. place UINT32_MAX: nothing. */
static void
leaf_write(const struct planner *planner, uint8_t *tables, unsigned slot_bits, uint32_t slot,
           uint32_t place)
{
    const struct tree_work *work = &planner->work;
    uint32_t width = planner->model->leaf_width;
    size_t table_bytes = batch_number_bytes(planner->model->number) << slot_bits;

    for (uint32_t k = 0; k < width; k++) {
        double value = -0.0;
        if (place != UINT32_MAX) {
            uint32_t node = work->order[place];
            value = width == 1 ? work->tree->value[node]
                               : work->tree->vectors[(size_t)work->tree->right[node] * width + k];
        }
        leaf_put(planner, tables + k * table_bytes, slot_bits, slot, value);
    }
}

/* ---- whole trees ----------------------------------------------------------------------------- */

/* Where heap node `node` of the level stands among the tests of a tree so deep. */
static uint32_t
test_place(uint32_t depth, uint32_t level, uint32_t node)
{
    uint32_t top = depth > BATCH_BLOCK_DEPTH ? depth - BATCH_BLOCK_DEPTH : 0;

    if (level < top || top == 0) {
        return node;
    }
    uint32_t in_level = node + 1 - (1u << level);
    uint32_t below = level - top; /* the level in the block */
    uint32_t block = in_level >> below;
    uint32_t in_block = (1u << below) - 1 + (in_level & ((1u << below) - 1));
    return (1u << top) - 1 + block * BATCH_BLOCK_NODES + in_block;
}

/* A node of the heap and what stands there; the tree may have ended above. */
struct heap_place {
    uint32_t node;
    uint32_t level;
    uint32_t place;
};

static void
whole_fill(struct planner *planner, const struct batch_tree *tree)
{
    const struct tree_work *work = &planner->work;
    struct heap_place stack[BATCH_DEPTH_MAX + 2];
    unsigned top = 0;

    stack[top++] = (struct heap_place){0, 0, 0};
    while (top > 0) {
        struct heap_place here = stack[--top];
        uint32_t left = work->left[here.place];
        if (here.level == tree->depth) {
            leaf_write(planner, planner->leaves + tree->leaf, tree->slot_bits,
                       here.node + 1 - (1u << tree->depth), here.place);
            continue;
        }
        uint32_t test = left == 0 ? 0 : test_of(planner, work, here.place);
        planner->tests[tree->test + test_place(tree->depth, here.level, here.node)] = test;
        /* Past the tree's end every place is left: the right side stays zero. */
        if (left != 0) {
            stack[top++] = (struct heap_place){2 * here.node + 2, here.level + 1, left + 1};
        }
        stack[top++] =
            (struct heap_place){2 * here.node + 1, here.level + 1, left == 0 ? here.place : left};
    }
}

/* ---- sparse trees ---------------------------------------------------------------------------- */

/* The lists of one part: for each plane the highest places below which all numbers have the bit.
 * out_list NULL: only counted. */
static uint32_t
part_lists(const struct tree_work *work, uint16_t *out_list)
{
    uint32_t at = 0;

    for (unsigned plane = 0; plane < BATCH_PLANES; plane++) {
        uint32_t count_at = at++;
        for (uint32_t place = 0; place < work->count; place++) {
            bool is_all = (work->common[place] >> plane & 1) != 0;
            bool is_above = place > 0 && (work->common[work->parent[place]] >> plane & 1) != 0;
            if (is_all && !is_above) {
                if (out_list != NULL) {
                    out_list[at] = (uint16_t)place;
                }
                at++;
            }
        }
        if (out_list != NULL) {
            out_list[count_at] = (uint16_t)(at - count_at - 1);
        }
    }
    return at;
}

/* Numbers the leaves of one part; all others have 0, so that no bit is common to them. */
static void
part_number(struct tree_work *work, uint32_t part, uint32_t parts)
{
    uint32_t first = part * BATCH_PART_LEAVES;
    uint32_t last = parts == 1 ? work->leaf_count : first + BATCH_PART_LEAVES;

    for (uint32_t i = 0; i < work->leaf_count; i++) {
        bool is_here = i >= first && i < last;
        work->common[work->leaves[i]] = (uint8_t)(is_here ? i - first + (parts == 1 ? 0 : 1) : 0);
    }
    for (uint32_t place = work->count; place-- > 0;) {
        uint32_t left = work->left[place];
        if (left != 0) {
            work->common[place] = work->common[left] & work->common[left + 1];
        }
    }
}

static void
sparse_fill(struct planner *planner, const struct batch_tree *tree)
{
    struct tree_work *work = &planner->work;
    uint16_t *list = planner->lists + tree->list;
    uint32_t *test = planner->tests + tree->test;
    uint8_t *tables = planner->leaves + tree->leaf;

    for (uint32_t place = 0; place < work->count; place++) {
        if (work->left[place] != 0) {
            *list++ = (uint16_t)place;
            *test++ = test_of(planner, work, place);
        }
    }
    for (uint32_t part = 0; part < tree->parts; part++) {
        uint32_t first = part * BATCH_PART_LEAVES;
        part_number(work, part, tree->parts);
        list += part_lists(work, list);
        if (tree->parts > 1) {
            leaf_write(planner, tables, tree->slot_bits, 0, UINT32_MAX);
        }
        for (uint32_t i = first;
             i < work->leaf_count && (i < first + BATCH_PART_LEAVES || tree->parts == 1); i++) {
            uint32_t place = work->leaves[i];
            leaf_write(planner, tables, tree->slot_bits, work->common[place], place);
        }
        tables += part_bytes(planner, tree->slot_bits);
    }
}

static uint32_t
sparse_list_count(struct tree_work *work, uint32_t parts)
{
    uint32_t count = inner_count(work);

    for (uint32_t part = 0; part < parts; part++) {
        part_number(work, part, parts);
        count += part_lists(work, NULL);
    }
    return count;
}

/* ---- all trees ------------------------------------------------------------------------------- */

static uint8_t
slot_bits_for(uint32_t leaves)
{
    uint8_t bits = BATCH_SLOT_BITS_MIN;

    while ((1u << bits) < leaves) {
        bits++;
    }
    return bits;
}

/* Describes the tree at hand where the ones before it end. */
static struct batch_tree
tree_describe(struct planner *planner)
{
    struct tree_work *work = &planner->work;
    uint32_t parts = is_whole(work) ? 1 : part_count(work);
    struct batch_tree tree = {
        .test = (uint32_t)planner->test_at,
        .list = (uint32_t)planner->list_at,
        .leaf = (uint32_t)planner->leaf_at,
        .parts = (uint16_t)parts,
        .output = (uint16_t)work->tree->output,
    };

    if (is_whole(work)) {
        tree.depth = (uint8_t)(work->depth == 0 ? 1 : work->depth);
        tree.slot_bits = slot_bits_for(1u << tree.depth);
        planner->steps += (uint64_t)1 << tree.depth;
    } else {
        tree.inner = (uint16_t)inner_count(work);
        tree.slot_bits = slot_bits_for(parts > 1 ? BATCH_PART_LEAVES + 1 : work->leaf_count);
        planner->list_at += sparse_list_count(work, parts);
        planner->steps += SPARSE_STEPS * (uint64_t)inner_count(work);
        planner->plan.node_max =
            work->count > planner->plan.node_max ? work->count : planner->plan.node_max;
    }
    planner->test_at += batch_test_count(&tree);
    planner->leaf_at += parts * part_bytes(planner, tree.slot_bits);
    planner->steps += PART_STEPS * (uint64_t)parts * planner->model->leaf_width;
    planner->plan.part_max = parts > planner->plan.part_max ? parts : planner->plan.part_max;
    return tree;
}

/* Levels that a row passes in the tree: the leaves' mean, as if all were as likely. */
static uint64_t
levels_of(const struct tree_work *work)
{
    uint64_t levels = 0;
    uint32_t *depth = work->stack; /* free once the leaves are known */

    depth[0] = 1;
    for (uint32_t place = 0; place < work->count; place++) {
        depth[place] = place == 0 ? 1 : depth[work->parent[place]] + 1;
        levels += work->left[place] == 0 ? depth[place] : 0;
    }
    return levels / work->leaf_count;
}

/* First pass. False: a tree or all of them are more than pays. */
static bool
trees_count(struct planner *planner, const uint32_t *sorted)
{
    uint64_t levels = 0;

    for (uint32_t i = 0; i < planner->model->tree_count; i++) {
        const struct neutral_tree *tree = &planner->model->trees[sorted[i]];
        work_read(&planner->work, tree, sorted[i]);
        if (planner->work.count > BATCH_NODES_MAX) {
            return false;
        }
        planner->trees[i] = tree_describe(planner);
        levels += levels_of(&planner->work);
    }
    return planner->steps <= LEVEL_STEPS * levels && planner->test_at <= UINT32_MAX &&
           planner->list_at <= UINT32_MAX && planner->leaf_at + BATCH_LEAF_PADDING <= UINT32_MAX;
}

static void
trees_fill(struct planner *planner, const uint32_t *sorted)
{
    for (uint32_t i = 0; i < planner->model->tree_count; i++) {
        const struct batch_tree *tree = &planner->trees[i];
        work_read(&planner->work, &planner->model->trees[sorted[i]], sorted[i]);
        if (tree->depth > 0) {
            whole_fill(planner, tree);
        } else {
            sparse_fill(planner, tree);
        }
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int
work_init(struct tree_work *work, const struct neutral_model *model, struct arena *arena)
{
    size_t largest = 1;

    for (uint32_t t = 0; t < model->tree_count; t++) {
        size_t count = model->trees[t].node_count;
        largest = count > largest ? count : largest;
    }
    work->order = arena_zalloc(arena, largest, sizeof(uint32_t));
    work->left = arena_zalloc(arena, largest, sizeof(uint32_t));
    work->leaves = arena_zalloc(arena, largest, sizeof(uint32_t));
    work->stack = arena_zalloc(arena, largest + 1, sizeof(uint32_t));
    work->parent = arena_zalloc(arena, largest, sizeof(uint32_t));
    work->common = arena_zalloc(arena, largest, 1);
    return work->order == NULL || work->left == NULL || work->leaves == NULL ||
                   work->stack == NULL || work->parent == NULL || work->common == NULL
               ? AUGURY_ERR_NOMEM
               : 0;
}

/* Numbers the masks; returns how many there are. */
static uint64_t
masks_number(const struct rank_plan *rank, uint32_t *out_first)
{
    uint64_t at = 1 + (uint64_t)rank->column_count;

    for (uint32_t c = 0; c < rank->column_count; c++) {
        out_first[c] = (uint32_t)at;
        at += rank_code_count(&rank->columns[c]);
    }
    return at;
}

/* The trees' numbers by output, else in their order. */
static uint32_t *
trees_sort(const struct neutral_model *model, struct arena *arena)
{
    uint32_t *sorted = arena_zalloc(arena, (size_t)model->tree_count + 1, sizeof(uint32_t));
    uint32_t *next = arena_zalloc(arena, (size_t)model->output_count + 1, sizeof(uint32_t));

    if (sorted == NULL || next == NULL) {
        return NULL;
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        next[model->trees[t].output + 1]++;
    }
    for (uint32_t k = 0; k < model->output_count; k++) {
        next[k + 1] += next[k];
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        sorted[next[model->trees[t].output]++] = t;
    }
    return sorted;
}

static int
plan_make(struct planner *planner, uint32_t *mask_first, struct arena *arena)
{
    const struct neutral_model *model = planner->model;
    uint32_t *sorted = trees_sort(model, arena);
    uint64_t masks = masks_number(planner->rank, mask_first);

    planner->mask_first = mask_first;
    planner->trees = arena_zalloc(arena, model->tree_count, sizeof(struct batch_tree));
    if (sorted == NULL || planner->trees == NULL || work_init(&planner->work, model, arena) != 0) {
        return AUGURY_ERR_NOMEM;
    }
    if (masks > BATCH_MASKS_MAX || !trees_count(planner, sorted)) {
        return 0;
    }
    planner->tests = arena_zalloc(arena, planner->test_at + 1, sizeof(uint32_t));
    planner->lists = arena_zalloc(arena, planner->list_at + 1, sizeof(uint16_t));
    planner->leaves = arena_zalloc(arena, planner->leaf_at + BATCH_LEAF_PADDING, 1);
    if (planner->tests == NULL || planner->lists == NULL || planner->leaves == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    trees_fill(planner, sorted);
    planner->plan.mask_count = (uint32_t)masks;
    planner->plan.tree_count = model->tree_count;
    planner->plan.test_count = (uint32_t)planner->test_at;
    planner->plan.list_count = (uint32_t)planner->list_at;
    planner->plan.leaf_bytes = (uint32_t)(planner->leaf_at + BATCH_LEAF_PADDING);
    planner->plan.trees = planner->trees;
    planner->plan.tests = planner->tests;
    planner->plan.lists = planner->lists;
    planner->plan.leaves = planner->leaves;
    return 0;
}

int
batch_plan_make(const struct neutral_model *model, const struct rank_plan *rank,
                struct arena *arena, struct batch_plan *out_plan, struct err *err)
{
    struct planner planner = {.model = model, .rank = rank};
    int rc = 0;

    *out_plan = (struct batch_plan){.mask_count = 0};
    if (rank->column_count == 0 || rank->column_count > BATCH_COLUMNS_MAX ||
        model->output_count > BATCH_OUTPUTS_MAX) {
        return 0;
    }
    uint32_t *mask_first = arena_zalloc(arena, rank->column_count, sizeof(uint32_t));
    rc = mask_first == NULL ? AUGURY_ERR_NOMEM : plan_make(&planner, mask_first, arena);
    if (rc != 0) {
        return err_set(err, rc, "out_of_memory", "no memory to compile the model");
    }
    if (planner.plan.mask_count > 0) {
        *out_plan = planner.plan;
    }
    return 0;
}
