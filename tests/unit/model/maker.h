/* SPDX-License-Identifier: MIT */
/*
 * maker.h - random neutral models for tests, and the plainest evaluation of one: the rules of the
 * format read aloud, node by node over the source arrays, so that it shares nothing with a kernel.
 */
#pragma once

#include "fixture.h"

#include "../../../src/model/blob.h"

struct maker {
    struct arena arena;
    uint64_t state;
    struct neutral_model model;
};

static inline uint32_t
maker_random(struct maker *maker, uint32_t below)
{
    maker->state = maker->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((maker->state >> 33) % below);
}

static inline void *
maker_alloc(struct maker *maker, size_t count, size_t size)
{
    void *room = arena_zalloc(&maker->arena, count + 1, size);
    AUGURY_ASSERT(room != NULL);
    return room;
}

static inline struct maker
maker_init(uint64_t seed, uint32_t features, uint32_t outputs, uint32_t trees)
{
    struct maker maker = {.state = seed};

    AUGURY_ASSERT(arena_init(&maker.arena, (size_t)512 << 20) == 0);
    struct neutral_feature *all = maker_alloc(&maker, features, sizeof(*all));
    float *base = maker_alloc(&maker, outputs, sizeof(*base));
    for (uint32_t i = 0; i < features; i++) {
        char text[16];
        snprintf(text, sizeof(text), "f%u", i);
        all[i].name = bytes_of_text(arena_text(&maker.arena, bytes_of_text(text)));
        all[i].type = MODEL_CATEGORY;
        all[i].is_missing_allowed = true;
    }
    for (uint32_t i = 0; i < outputs; i++) {
        base[i] = (float)maker_random(&maker, 100) / 7.0f;
    }
    maker.model = (struct neutral_model){
        .feature_count = features,
        .features = all,
        .output_count = outputs,
        .base_margins = base,
        .tree_count = trees,
        .trees = maker_alloc(&maker, trees, sizeof(struct neutral_tree)),
        .objective = bytes_of_text("reg:squarederror"),
        .source = bytes_of_text("a test"),
    };
    return maker;
}

static inline struct neutral_tree *
maker_tree(struct maker *maker, uint32_t number)
{
    return (struct neutral_tree *)(uintptr_t)&maker->model.trees[number];
}

/* Values that thresholds and features are drawn from, so that they often meet. */
static inline float
maker_value(struct maker *maker)
{
    static const float special[] = {0.0f,         -0.0f,    1e-45f,   -1e-45f, 1.17549435e-38f,
                                    3.4e38f,      -3.4e38f, INFINITY, 1.0f,    1.00000012f,
                                    0.999999940f, -1.0f,    0.5f,     2.0f,    40.0f};

    return special[maker_random(maker, AUGURY_COUNT(special))];
}

enum maker_shape { MAKER_NUMERIC = 0, MAKER_SETS = 1, MAKER_CHAIN = 2 };

/* A random tree of `inner` inner nodes: grown leaf by leaf, numbered in order of growth. */
static inline void
maker_grow(struct maker *maker, uint32_t number, uint32_t inner, enum maker_shape shape)
{
    uint32_t count = 2 * inner + 1;
    int32_t *left = maker_alloc(maker, count, sizeof(*left));
    int32_t *right = maker_alloc(maker, count, sizeof(*right));
    uint32_t *feature = maker_alloc(maker, count, sizeof(*feature));
    float *value = maker_alloc(maker, count, sizeof(*value));
    uint8_t *flags = maker_alloc(maker, count, 1);
    struct neutral_set *sets = maker_alloc(maker, count, sizeof(*sets));
    uint32_t set_count = 0;
    uint32_t grown = 1;

    for (uint32_t i = 0; i < count; i++) {
        left[i] = NEUTRAL_LEAF;
        right[i] = NEUTRAL_LEAF;
        value[i] = ((float)maker_random(maker, 2000) - 1000.0f) / 1024.0f;
    }
    for (uint32_t i = 0; i < inner; i++) {
        uint32_t node = shape == MAKER_CHAIN ? grown - 1 : maker_random(maker, grown);
        while (left[node] != NEUTRAL_LEAF) {
            node = (node + 1) % grown;
        }
        left[node] = (int32_t)grown++;
        right[node] = (int32_t)grown++;
        feature[node] = maker_random(maker, maker->model.feature_count);
        value[node] = maker_value(maker);
        flags[node] = maker_random(maker, 2) == 0 ? 0 : NEUTRAL_DEFAULT_LEFT;
    }
    for (uint32_t i = 0; i < count && shape == MAKER_SETS; i++) {
        if (left[i] == NEUTRAL_LEAF || maker_random(maker, 2) == 0) {
            continue;
        }
        uint32_t *categories = maker_alloc(maker, 2, sizeof(*categories));
        categories[0] = maker_random(maker, 3);
        categories[1] = maker_random(maker, 2) == 0 ? 40 : 100000;
        flags[i] |= NEUTRAL_CATEGORICAL;
        sets[set_count++] = (struct neutral_set){.node = i, .count = 2, .categories = categories};
    }
    *maker_tree(maker, number) = (struct neutral_tree){
        .node_count = count,
        .output = maker_random(maker, maker->model.output_count),
        .left = left,
        .right = right,
        .feature = feature,
        .value = value,
        .flags = flags,
        .sets = sets,
        .set_count = set_count,
    };
}

static inline bool
maker_goes_left(const struct neutral_tree *tree, uint32_t node, float x)
{
    if (isnan(x)) {
        return (tree->flags[node] & NEUTRAL_DEFAULT_LEFT) != 0;
    }
    if ((tree->flags[node] & NEUTRAL_CATEGORICAL) == 0) {
        return x < tree->value[node];
    }
    for (uint32_t i = 0; i < tree->set_count; i++) {
        const struct neutral_set *set = &tree->sets[i];
        for (uint32_t k = 0; set->node == node && k < set->count; k++) {
            if (x >= (float)set->categories[k] && x < (float)set->categories[k] + 1.0f) {
                return false;
            }
        }
    }
    return true;
}

static inline uint32_t
maker_leaf(const struct neutral_tree *tree, const float *row)
{
    uint32_t node = 0;

    while (tree->left[node] != NEUTRAL_LEAF) {
        bool is_left = maker_goes_left(tree, node, row[tree->feature[node]]);
        node = (uint32_t)(is_left ? tree->left[node] : tree->right[node]);
    }
    return node;
}

static inline void
maker_margins(const struct neutral_model *model, const float *row, float *out_margins)
{
    memcpy(out_margins, model->base_margins, model->output_count * sizeof(float));
    for (uint32_t t = 0; t < model->tree_count; t++) {
        const struct neutral_tree *tree = &model->trees[t];
        out_margins[tree->output] += tree->value[maker_leaf(tree, row)];
    }
}

/* Checks, compiles and opens the model that was made. */
static inline struct fixture
maker_compile(struct maker *maker)
{
    struct fixture fixture = {0};

    buf_init(&fixture.blob, (size_t)1 << 30);
    fixture.rc = neutral_check(&maker->model, &maker->arena, &fixture.err);
    if (fixture.rc == 0) {
        fixture.rc = blob_compile(&maker->model, &maker->arena, &fixture.blob, &fixture.err);
    }
    if (fixture.rc == 0) {
        fixture.rc =
            model_open(buf_view(&fixture.blob), MODEL_CHECK_ALL, &fixture.model, &fixture.err);
    }
    if (fixture.rc == 0) {
        fixture.scratch = aligned_alloc(64, model_scratch_bytes(&fixture.model));
    }
    return fixture;
}
