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
    double *base = maker_alloc(&maker, outputs, sizeof(*base));
    for (uint32_t i = 0; i < features; i++) {
        char text[16];
        snprintf(text, sizeof(text), "f%u", i);
        all[i].name = bytes_of_text(arena_text(&maker.arena, bytes_of_text(text)));
        all[i].type = MODEL_CATEGORY;
        all[i].is_missing_allowed = true;
    }
    for (uint32_t i = 0; i < outputs; i++) {
        base[i] = (double)((float)maker_random(&maker, 100) / 7.0f);
    }
    maker.model = (struct neutral_model){
        .link_scale = 1.0,
        .leaf_width = 1,
        .divisor = 1.0,
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

enum maker_shape {
    MAKER_NUMERIC = 0,
    MAKER_SETS = 1,
    MAKER_CHAIN = 2,
    MAKER_RULES = 3 /* sets, and every rule for what is missing and which side members go */
};

/* Flags of an inner node of MAKER_RULES. */
static inline uint8_t
maker_rules(struct maker *maker)
{
    static const uint8_t rules[] = {0, NEUTRAL_NAN_IS_ZERO, NEUTRAL_ZERO_IS_MISSING,
                                    NEUTRAL_NUMBERS_LEFT};

    return (uint8_t)(rules[maker_random(maker, AUGURY_COUNT(rules))] |
                     (maker_random(maker, 2) == 0 ? 0 : NEUTRAL_DEFAULT_LEFT));
}

/* Gives every leaf of a tree a row of random values. */
static inline void
maker_vectors(struct maker *maker, struct neutral_tree *tree, int32_t *right)
{
    uint32_t width = maker->model.leaf_width;
    double *vectors = maker_alloc(maker, (size_t)tree->node_count * width, sizeof(*vectors));

    for (size_t i = 0; i < (size_t)tree->node_count * width; i++) {
        vectors[i] = (double)((float)maker_random(maker, 2000) / 1024.0f);
    }
    for (uint32_t i = 0; i < tree->node_count; i++) {
        right[i] = tree->left[i] == NEUTRAL_LEAF ? (int32_t)i : right[i];
    }
    tree->output = 0;
    tree->vectors = vectors;
    tree->vector_count = tree->node_count;
}

/* A random tree of `inner` inner nodes: grown leaf by leaf, numbered in order of growth. */
static inline void
maker_grow(struct maker *maker, uint32_t number, uint32_t inner, enum maker_shape shape)
{
    uint32_t count = 2 * inner + 1;
    int32_t *left = maker_alloc(maker, count, sizeof(*left));
    int32_t *right = maker_alloc(maker, count, sizeof(*right));
    uint32_t *feature = maker_alloc(maker, count, sizeof(*feature));
    double *value = maker_alloc(maker, count, sizeof(*value));
    uint8_t *flags = maker_alloc(maker, count, 1);
    struct neutral_set *sets = maker_alloc(maker, count, sizeof(*sets));
    uint32_t set_count = 0;
    uint32_t grown = 1;

    for (uint32_t i = 0; i < count; i++) {
        left[i] = NEUTRAL_LEAF;
        right[i] = NEUTRAL_LEAF;
        value[i] = (double)(((float)maker_random(maker, 2000) - 1000.0f) / 1024.0f);
    }
    for (uint32_t i = 0; i < inner; i++) {
        uint32_t node = shape == MAKER_CHAIN ? grown - 1 : maker_random(maker, grown);
        while (left[node] != NEUTRAL_LEAF) {
            node = (node + 1) % grown;
        }
        left[node] = (int32_t)grown++;
        right[node] = (int32_t)grown++;
        feature[node] = maker_random(maker, maker->model.feature_count);
        value[node] = (double)maker_value(maker);
        flags[node] = maker_random(maker, 2) == 0 ? 0 : NEUTRAL_DEFAULT_LEFT;
        flags[node] = shape == MAKER_RULES ? maker_rules(maker) : flags[node];
    }
    for (uint32_t i = 0; i < count && (shape == MAKER_SETS || shape == MAKER_RULES); i++) {
        if (left[i] == NEUTRAL_LEAF || maker_random(maker, 2) == 0) {
            continue;
        }
        uint32_t *categories = maker_alloc(maker, 2, sizeof(*categories));
        categories[0] = maker_random(maker, 3);
        /* So far apart that ranks would not pay, or near enough. */
        categories[1] = maker_random(maker, 2) == 0 ? 40 : shape == MAKER_SETS ? 100000 : 300;
        flags[i] = (uint8_t)((flags[i] & NEUTRAL_DEFAULT_LEFT) | NEUTRAL_CATEGORICAL);
        if (shape == MAKER_RULES && maker_random(maker, 2) == 0) {
            flags[i] |= NEUTRAL_MEMBERS_LEFT;
        }
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
    if (maker->model.leaf_width > 1) {
        maker_vectors(maker, maker_tree(maker, number), right);
    }
}

static inline bool
maker_goes_left(const struct neutral_tree *tree, uint32_t node, double x)
{
    unsigned flags = tree->flags[node];

    if ((flags & NEUTRAL_NAN_IS_ZERO) != 0 && isnan(x)) {
        x = 0.0;
    }
    if (isnan(x) || ((flags & NEUTRAL_ZERO_IS_MISSING) != 0 && fabs(x) <= NEUTRAL_ZERO)) {
        return (flags & NEUTRAL_DEFAULT_LEFT) != 0;
    }
    if ((flags & NEUTRAL_CATEGORICAL) == 0) {
        return (flags & NEUTRAL_NUMBERS_LEFT) != 0 || x < tree->value[node];
    }
    x = (flags & NEUTRAL_MEMBERS_LEFT) != 0 ? trunc(x) : x; /* -0.5 is category 0 */
    for (uint32_t i = 0; i < tree->set_count; i++) {
        const struct neutral_set *set = &tree->sets[i];
        for (uint32_t k = 0; set->node == node && k < set->count; k++) {
            if (x >= (double)set->categories[k] && x < (double)set->categories[k] + 1.0) {
                return (flags & NEUTRAL_MEMBERS_LEFT) != 0;
            }
        }
    }
    return (flags & NEUTRAL_MEMBERS_LEFT) == 0;
}

static inline double
maker_cell(const struct neutral_model *model, const void *row, uint32_t feature)
{
    return model->number == MODEL_FLOAT32 ? (double)((const float *)row)[feature]
                                          : ((const double *)row)[feature];
}

static inline uint32_t
maker_leaf(const struct neutral_model *model, const struct neutral_tree *tree, const void *row)
{
    uint32_t node = 0;

    while (tree->left[node] != NEUTRAL_LEAF) {
        bool is_left = maker_goes_left(tree, node, maker_cell(model, row, tree->feature[node]));
        node = (uint32_t)(is_left ? tree->left[node] : tree->right[node]);
    }
    return node;
}

static inline void
maker_add(const struct neutral_model *model, void *margins, uint32_t k, double value)
{
    if (model->number == MODEL_FLOAT32) {
        ((float *)margins)[k] += (float)value;
    } else {
        ((double *)margins)[k] += value;
    }
}

/* out_margins: of the model's numbers. */
static inline void
maker_margins(const struct neutral_model *model, const void *row, void *out_margins)
{
    memset(out_margins, 0,
           model->output_count * (model->number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double)));
    for (uint32_t k = 0; k < model->output_count; k++) {
        maker_add(model, out_margins, k, model->base_margins[k]);
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        const struct neutral_tree *tree = &model->trees[t];
        uint32_t leaf = maker_leaf(model, tree, row);
        if (model->leaf_width == 1) {
            maker_add(model, out_margins, tree->output, tree->value[leaf]);
        }
        for (uint32_t k = 0; model->leaf_width > 1 && k < model->leaf_width; k++) {
            maker_add(model, out_margins, k,
                      tree->vectors[(size_t)tree->right[leaf] * model->leaf_width + k]);
        }
    }
    for (uint32_t k = 0; k < model->output_count; k++) {
        if (model->number == MODEL_FLOAT32) {
            ((float *)out_margins)[k] /= (float)model->divisor;
        } else {
            ((double *)out_margins)[k] /= model->divisor;
        }
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
        fixture.scratch = aligned_alloc(64, model_scratch_bytes(&fixture.model, SIZE_MAX));
    }
    return fixture;
}
