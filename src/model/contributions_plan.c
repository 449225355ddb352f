/* SPDX-License-Identifier: MIT */
/*
 * contributions_plan.c - what a blob holds for contributions: the share of the training rows that
 * went left at each inner node, the average of each output, and the quadrature's points.
 */
#include "contributions.h"

#include <math.h>

/* Kernels have these counts of points compiled in; others are read from the header. */
static const uint32_t compiled_points[] = {3, 4, 6, 8};

/* Whether every tree says how many rows its nodes saw, and its leaves are constants. */
static bool
can_contribute(const struct neutral_model *model)
{
    for (uint32_t t = 0; t < model->tree_count; t++) {
        const struct neutral_tree *tree = &model->trees[t];
        if (tree->linear_count > 0 || (tree->left[0] != NEUTRAL_LEAF && tree->cover == NULL)) {
            return false;
        }
    }
    return model->kind == NEUTRAL_GBTREE || model->kind == NEUTRAL_DART ||
           model->kind == NEUTRAL_FOREST;
}

/* ---- the longest path ------------------------------------------------------------------------ */

/* A walk over a tree, depth first: a node stays on the stack while its sides are walked. */
struct path {
    uint32_t nodes[MODEL_TREE_DEPTH_MAX + 1];
    uint8_t sides_done[MODEL_TREE_DEPTH_MAX + 1];
    uint32_t depth;
    uint32_t distinct;
    uint16_t *uses; /* by feature: how often the path tests it or an input made of it */
    const struct neutral_input *inputs; /* NULL: nodes test features */
};

static uint16_t *
path_uses(const struct path *path, const struct neutral_tree *tree, uint32_t node)
{
    uint32_t input = tree->feature[node];

    return &path->uses[path->inputs == NULL ? input : path->inputs[input].feature];
}

static void
path_push(struct path *path, const struct neutral_tree *tree, uint32_t node)
{
    if (tree->left[node] == NEUTRAL_LEAF) {
        return;
    }
    AUGURY_ASSERT(path->depth <= MODEL_TREE_DEPTH_MAX);
    path->nodes[path->depth] = node;
    path->sides_done[path->depth++] = 0;
    path->distinct += (*path_uses(path, tree, node))++ == 0 ? 1 : 0;
}

static uint32_t
most_distinct(struct path *path, const struct neutral_tree *tree)
{
    uint32_t most = 0;

    path_push(path, tree, 0);
    while (path->depth > 0) {
        uint32_t top = path->depth - 1;
        uint32_t node = path->nodes[top];
        unsigned side = path->sides_done[top]++;
        most = path->distinct > most ? path->distinct : most;
        if (side < 2) {
            path_push(path, tree, (uint32_t)(side == 0 ? tree->left[node] : tree->right[node]));
        } else {
            path->distinct -= --*path_uses(path, tree, node) == 0 ? 1 : 0;
            path->depth--;
        }
    }
    return most;
}

int32_t
contributions_points(const struct neutral_model *model, struct arena *scratch)
{
    size_t used = scratch->used;
    uint32_t most = 0;

    if (!can_contribute(model)) {
        return 0;
    }
    struct path *path = arena_zalloc(scratch, 1, sizeof(*path));
    uint16_t *uses = arena_zalloc(scratch, model->feature_count, sizeof(*uses));
    if (path == NULL || uses == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    path->uses = uses;
    path->inputs = model->input_count > 0 ? model->inputs : NULL;
    for (uint32_t t = 0; t < model->tree_count; t++) {
        uint32_t distinct = most_distinct(path, &model->trees[t]);
        most = distinct > most ? distinct : most;
    }
    scratch->used = used;
    uint32_t points = (most + 1) / 2;
    for (size_t i = 0; i < AUGURY_COUNT(compiled_points); i++) {
        if (points <= compiled_points[i]) {
            return (int32_t)compiled_points[i];
        }
    }
    return points < CONTRIBUTIONS_POINTS_MAX ? (int32_t)points : CONTRIBUTIONS_POINTS_MAX;
}

/* ---- the quadrature -------------------------------------------------------------------------- */

/* The Legendre polynomial of degree n at x, and its derivative. */
static double
legendre(uint32_t n, double x, double *out_slope)
{
    double before = 1.0;
    double value = x;

    for (uint32_t k = 2; k <= n; k++) {
        double next = ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k;
        before = value;
        value = next;
    }
    *out_slope = n * (x * value - before) / (x * x - 1.0);
    return value;
}

/* Gauss-Legendre on [0, 1]. */
static void
quadrature(uint32_t point_count, double *out_points)
{
    double *weights = out_points + point_count;

    for (uint32_t i = 0; i < point_count; i++) {
        double x = cos(3.14159265358979323846 * (i + 0.75) / (point_count + 0.5));
        double slope = 0.0;
        /* Newton's steps; from this start four are enough for 64 points. */
        for (unsigned step = 0; step < 8; step++) {
            double value = legendre(point_count, x, &slope);
            x -= value / slope;
        }
        (void)legendre(point_count, x, &slope);
        out_points[point_count - 1 - i] = (1.0 + x) / 2.0;
        weights[point_count - 1 - i] = 1.0 / ((1.0 - x * x) * slope * slope);
    }
}

void
contributions_begin(const struct neutral_model *model, uint32_t point_count, double *out_points,
                    double *out_biases)
{
    quadrature(point_count, out_points);
    for (uint32_t k = 0; k < model->output_count; k++) {
        out_biases[k] = model->base_margins[k] / model->divisor;
    }
}

/* ---- a tree ---------------------------------------------------------------------------------- */

/* Of a node's rows, the share that went left: half when it saw none, or says nonsense. Rounded to
 * what is stored. */
static double
share_left(const struct neutral_model *model, const struct neutral_tree *tree, uint32_t node)
{
    double left = (double)tree->cover[tree->left[node]];
    double right = (double)tree->cover[tree->right[node]];
    bool is_sane = left >= 0.0 && right >= 0.0 && left + right > 0.0 && isfinite(left + right);
    double share = is_sane ? left / (left + right) : 0.5;

    return model->number == MODEL_FLOAT32 ? (double)(float)share : share;
}

static void
add_leaf(const struct contributions_sheet *sheet, const struct neutral_tree *tree, uint32_t node,
         double reach)
{
    uint32_t width = sheet->model->leaf_width;

    if (width == 1) {
        sheet->biases[tree->output] += reach * tree->value[node] / sheet->model->divisor;
        return;
    }
    for (uint32_t k = 0; k < width; k++) {
        sheet->biases[k] +=
            reach * tree->vectors[(size_t)tree->right[node] * width + k] / sheet->model->divisor;
    }
}

void
contributions_fill(const struct contributions_sheet *sheet, const struct neutral_tree *tree,
                   const uint32_t *order, uint32_t count)
{
    uint32_t next = 1;
    uint32_t inner = 0;

    sheet->reach[0] = 1.0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = order[i];
        if (tree->left[node] == NEUTRAL_LEAF) {
            add_leaf(sheet, tree, node, sheet->reach[i]);
            continue;
        }
        double share = share_left(sheet->model, tree, node);
        sheet->reach[next++] = sheet->reach[i] * share;
        sheet->reach[next++] = sheet->reach[i] * (1.0 - share);
        if (sheet->model->number == MODEL_FLOAT32) {
            ((float *)sheet->shares)[inner++] = (float)share;
        } else {
            ((double *)sheet->shares)[inner++] = share;
        }
    }
}
