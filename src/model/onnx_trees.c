/* SPDX-License-Identifier: MIT */
/*
 * onnx_trees.c - TreeEnsembleRegressor and TreeEnsembleClassifier (ai.onnx.ml 1 to 3): one list
 * entry a node, found by its tree's and its own number; a child is a number in the same tree. Trees
 * are summed in the order in which they first appear. In the neutral form nodes stand in the order
 * of their numbers, the root first.
 */
#include <math.h>
#include <stdlib.h>

#include "onnx_trees.h"

/* ---- lists --------------------------------------------------------------------------------- */

static int
mode_of(struct onnx_ensemble *ensemble, struct bytes text, uint8_t *out_mode)
{
    static const char *const names[] = {
        [ONNX_LEQ] = "BRANCH_LEQ", [ONNX_LT] = "BRANCH_LT", [ONNX_GTE] = "BRANCH_GTE",
        [ONNX_GT] = "BRANCH_GT",   [ONNX_EQ] = "BRANCH_EQ", [ONNX_NEQ] = "BRANCH_NEQ",
        [ONNX_MEMBER] = "",        [ONNX_LEAF] = "LEAF"};

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        if (text.len > 0 && bytes_equal_text(text, names[i])) {
            *out_mode = (uint8_t)i;
            return 0;
        }
    }
    return onnx_unsupported(ensemble->forest.onnx, ensemble->forest.node,
                            "node mode \"%.*s\" is not known",
                            (int)(text.len < ONNX_NAME_SHOWN ? text.len : ONNX_NAME_SHOWN),
                            text.len > 0 ? (const char *)text.data : "");
}

static int
read_modes(struct onnx_ensemble *ensemble)
{
    const struct bytes *texts = NULL;
    size_t count = 0;
    int rc =
        onnx_texts(ensemble->forest.onnx, ensemble->forest.node, "nodes_modes", &texts, &count);

    if (rc != 0) {
        return rc;
    }
    ensemble->lists.modes = arena_zalloc(&ensemble->forest.onnx->import->arena, count, 1);
    if (ensemble->lists.modes == NULL) {
        return onnx_no_memory(ensemble->forest.onnx);
    }
    if (count == 0 || count > INT32_MAX / 2) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node, "it has no nodes");
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = mode_of(ensemble, texts[i], &ensemble->lists.modes[i]);
    }
    ensemble->count = (uint32_t)count;
    return rc;
}

/* One entry a node; may_lack: or none at all. */
static int
read_list(struct onnx_ensemble *ensemble, const char *name, bool may_lack,
          struct onnx_integers *out)
{
    int rc = onnx_integers(ensemble->forest.onnx, ensemble->forest.node, name, out);

    if (rc == 0 && out->count != ensemble->count && !(may_lack && out->count == 0)) {
        rc = onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                          "\"%s\" has %zu entries for %u nodes", name, out->count, ensemble->count);
    }
    return rc;
}

static int
read_lists(struct onnx_ensemble *ensemble)
{
    struct onnx_lists *lists = &ensemble->lists;
    int rc = read_modes(ensemble);

    if (rc == 0) {
        rc = read_list(ensemble, "nodes_treeids", false, &lists->trees);
    }
    if (rc == 0) {
        rc = read_list(ensemble, "nodes_nodeids", false, &lists->nodes);
    }
    if (rc == 0) {
        rc = read_list(ensemble, "nodes_featureids", false, &lists->features);
    }
    if (rc == 0) {
        rc = read_list(ensemble, "nodes_truenodeids", false, &lists->trues);
    }
    if (rc == 0) {
        rc = read_list(ensemble, "nodes_falsenodeids", false, &lists->falses);
    }
    if (rc == 0) {
        rc = read_list(ensemble, "nodes_missing_value_tracks_true", true, &lists->tracks);
    }
    if (rc == 0) {
        rc = onnx_numbers(ensemble->forest.onnx, ensemble->forest.node, "nodes_values",
                          &lists->values);
    }
    if (rc == 0 && lists->values.count != ensemble->count) {
        rc = onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                          "\"nodes_values\" has %zu entries for %u nodes", lists->values.count,
                          ensemble->count);
    }
    return rc;
}

/* ---- places -------------------------------------------------------------------------------- */

static int
compare_place(const void *a, const void *b)
{
    const struct onnx_place *x = a;
    const struct onnx_place *y = b;

    return x->tree != y->tree ? (x->tree > y->tree) - (x->tree < y->tree)
                              : (x->node > y->node) - (x->node < y->node);
}

static int
compare_span(const void *a, const void *b)
{
    const struct onnx_span *x = a;
    const struct onnx_span *y = b;

    return (x->entry > y->entry) - (x->entry < y->entry);
}

const struct onnx_place *
onnx_find_place(const struct onnx_ensemble *ensemble, int64_t tree, int64_t node)
{
    const struct onnx_place wanted = {.tree = tree, .node = node};

    return bsearch(&wanted, ensemble->places, ensemble->count, sizeof(wanted), compare_place);
}

static int
sort_places(struct onnx_ensemble *ensemble)
{
    struct arena *arena = &ensemble->forest.onnx->import->arena;
    struct onnx_place *places = arena_zalloc(arena, ensemble->count, sizeof(*places));

    ensemble->places = places;
    ensemble->spans = arena_zalloc(arena, ensemble->count, sizeof(*ensemble->spans));
    ensemble->tree_of = arena_zalloc(arena, ensemble->count, sizeof(*ensemble->tree_of));
    ensemble->has_parent = arena_zalloc(arena, ensemble->count, 1);
    if (places == NULL || ensemble->spans == NULL || ensemble->tree_of == NULL ||
        ensemble->has_parent == NULL) {
        return onnx_no_memory(ensemble->forest.onnx);
    }
    for (uint32_t i = 0; i < ensemble->count; i++) {
        places[i] = (struct onnx_place){ensemble->lists.trees.values[i],
                                        ensemble->lists.nodes.values[i], i};
    }
    qsort(places, ensemble->count, sizeof(*places), compare_place);
    for (uint32_t i = 1; i < ensemble->count; i++) {
        if (compare_place(&places[i - 1], &places[i]) == 0) {
            return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                                "tree %lld has two nodes %lld", (long long)places[i].tree,
                                (long long)places[i].node);
        }
    }
    return 0;
}

static void
find_spans(struct onnx_ensemble *ensemble)
{
    uint32_t trees = 0;

    for (uint32_t i = 0; i < ensemble->count; i++) {
        const struct onnx_place *place = &ensemble->places[i];
        if (i == 0 || place->tree != place[-1].tree) {
            ensemble->spans[trees++] = (struct onnx_span){.first = i, .entry = place->entry};
        }
        struct onnx_span *span = &ensemble->spans[trees - 1];
        span->count++;
        span->entry = span->entry < place->entry ? span->entry : place->entry;
    }
    qsort(ensemble->spans, trees, sizeof(*ensemble->spans), compare_span);
    for (uint32_t t = 0; t < trees; t++) {
        for (uint32_t i = 0; i < ensemble->spans[t].count; i++) {
            ensemble->tree_of[ensemble->spans[t].first + i] = t;
        }
    }
    ensemble->forest.model->tree_count = trees;
}

uint32_t
onnx_local_of(const struct onnx_span *span, uint32_t place)
{
    uint32_t local = place - span->first;

    return local == span->root ? 0 : local == 0 ? span->root : local;
}

/* ---- nodes --------------------------------------------------------------------------------- */

static int
find_child(struct onnx_ensemble *ensemble, const struct onnx_place *parent, int64_t node,
           uint32_t *out_place)
{
    const struct onnx_place *child = onnx_find_place(ensemble, parent->tree, node);

    if (child == NULL) {
        return onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                            "tree %lld, node %lld: its child %lld is not there",
                            (long long)parent->tree, (long long)parent->node, (long long)node);
    }
    *out_place = (uint32_t)(child - ensemble->places);
    return 0;
}

/* The root of a tree is the one node that is no child. */
static int
find_roots(struct onnx_ensemble *ensemble)
{
    const struct onnx_lists *lists = &ensemble->lists;
    int rc = 0;

    for (uint32_t i = 0; i < ensemble->count && rc == 0; i++) {
        const struct onnx_place *place = &ensemble->places[i];
        uint32_t child = 0;
        if (lists->modes[place->entry] == ONNX_LEAF) {
            continue;
        }
        rc = find_child(ensemble, place, lists->trues.values[place->entry], &child);
        ensemble->has_parent[child] |= rc == 0 ? 1 : 0;
        if (rc == 0) {
            rc = find_child(ensemble, place, lists->falses.values[place->entry], &child);
            ensemble->has_parent[child] |= rc == 0 ? 1 : 0;
        }
    }
    for (uint32_t t = 0; t < ensemble->forest.model->tree_count && rc == 0; t++) {
        struct onnx_span *span = &ensemble->spans[t];
        uint32_t roots = 0;
        for (uint32_t i = 0; i < span->count; i++) {
            bool is_root = ensemble->has_parent[span->first + i] == 0;
            span->root = is_root ? i : span->root;
            roots += is_root ? 1 : 0;
        }
        if (roots != 1) {
            rc = onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                              "tree %lld has %u nodes without a parent; one is its root",
                              (long long)ensemble->places[span->first].tree, roots);
        }
    }
    return rc;
}

static int
put_node(struct onnx_ensemble *ensemble, const struct onnx_span *span, uint32_t local)
{
    const struct onnx_lists *lists = &ensemble->lists;
    uint32_t at = local == 0 ? span->root : local == span->root ? 0 : local;
    const struct onnx_place *place = &ensemble->places[span->first + at];
    uint32_t entry = place->entry;
    uint32_t on_true = 0;
    uint32_t on_false = 0;

    if (lists->modes[entry] == ONNX_LEAF) {
        onnx_forest_leaf(&ensemble->forest, span->first, local);
        return 0;
    }
    int rc = find_child(ensemble, place, lists->trues.values[entry], &on_true);
    if (rc == 0) {
        rc = find_child(ensemble, place, lists->falses.values[entry], &on_false);
    }
    if (rc != 0) {
        return rc;
    }
    const struct onnx_split split = {
        .mode = lists->modes[entry],
        .is_missing_true = lists->tracks.count > 0 && lists->tracks.values[entry] != 0,
        .feature = lists->features.values[entry],
        .values = &lists->values.values[entry],
        .value_count = 1,
        .on_true = (int32_t)onnx_local_of(span, on_true),
        .on_false = (int32_t)onnx_local_of(span, on_false),
    };
    return onnx_forest_split(&ensemble->forest, span->first, local, &split);
}

/* Every node hangs on the root: one that does not would be left out without a sign. */
static int
check_reach(struct onnx_ensemble *ensemble, const struct neutral_tree *tree, uint32_t number)
{
    struct arena *arena = &ensemble->forest.onnx->import->arena;
    size_t used = arena->used;
    uint32_t *order = arena_zalloc(arena, tree->node_count, sizeof(*order));
    uint8_t *marks = arena_zalloc(arena, tree->node_count, 1);
    uint32_t count = 1;

    if (order == NULL || marks == NULL) {
        return onnx_no_memory(ensemble->forest.onnx);
    }
    marks[0] = 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = order[i];
        for (unsigned side = 0; side < 2 && tree->left[node] != NEUTRAL_LEAF; side++) {
            uint32_t child = (uint32_t)(side == 0 ? tree->left[node] : tree->right[node]);
            if (marks[child] == 0) {
                marks[child] = 1;
                order[count++] = child;
            }
        }
    }
    arena->used = used;
    return count == tree->node_count
               ? 0
               : onnx_invalid(ensemble->forest.onnx, ensemble->forest.node,
                              "%u of the %u nodes of tree %u do not hang on its root",
                              tree->node_count - count, tree->node_count, number);
}

int
onnx_put_trees(struct onnx_ensemble *ensemble, struct neutral_tree *trees)
{
    struct onnx_forest *forest = &ensemble->forest;
    int rc = onnx_forest_init(forest, ensemble->count);

    for (uint32_t t = 0; t < forest->model->tree_count && rc == 0; t++) {
        const struct onnx_span *span = &ensemble->spans[t];
        uint32_t sets = forest->set_count;
        for (uint32_t i = 0; i < span->count && rc == 0; i++) {
            rc = put_node(ensemble, span, i);
        }
        trees[t] = (struct neutral_tree){
            .node_count = span->count,
            .left = forest->left + span->first,
            .right = forest->right + span->first,
            .feature = forest->feature + span->first,
            .value = forest->value + span->first,
            .flags = forest->flags + span->first,
            .sets = forest->sets + sets,
            .set_count = forest->set_count - sets,
        };
        if (rc == 0) {
            rc = check_reach(ensemble, &trees[t], t);
        }
    }
    return rc;
}

/* ---- all of them -------------------------------------------------------------------------- */

/* Columns of the input, or as many as the nodes read. */
static void
count_features(struct onnx_ensemble *ensemble)
{
    const struct onnx_integers *features = &ensemble->lists.features;
    int64_t most = 0;

    for (size_t i = 0; i < features->count; i++) {
        most = features->values[i] > most ? features->values[i] : most;
    }
    ensemble->forest.model->feature_count = ensemble->forest.rows->width > 0
                                                ? ensemble->forest.rows->width
                                            : most < MODEL_FEATURES_MAX ? (uint32_t)most + 1
                                                                        : MODEL_FEATURES_MAX;
}

int
onnx_read_nodes(struct onnx_ensemble *ensemble)
{
    int rc = read_lists(ensemble);

    if (rc == 0) {
        rc = sort_places(ensemble);
    }
    if (rc == 0) {
        find_spans(ensemble);
        count_features(ensemble);
        rc = find_roots(ensemble);
    }
    return rc;
}
