/* SPDX-License-Identifier: MIT */
/* test_kernel.c - every kernel against the plainest walk, over random trees whose thresholds and
 * rows are drawn from hard values. */
#include "maker.h"

enum { ROWS = 37 };

/* Every kernel that can run: rows in one call, row by row and in odd groups. */
static bool
margins_agree(const struct model *model, const uint8_t *rows, const uint8_t *want, uint8_t *got)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(model, names, MODEL_KERNELS_MAX);
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    size_t margin_bytes = model->output_count * model_number_bytes(model);
    bool is_good = count > 0;

    for (size_t i = 0; is_good && i < count; i++) {
        struct model forced = *model;
        struct err err;
        is_good = model_force_kernel(&forced, names[i], &err) == 0;
        void *scratch = aligned_alloc(64, model_scratch_bytes(&forced, ROWS));
        is_good = is_good && scratch != NULL;
        for (size_t step = 1; is_good && step <= ROWS; step = step * 2 + 1) {
            memset(got, 0x55, ROWS * margin_bytes);
            for (size_t r = 0; r < ROWS; r += step) {
                model_margins(&forced, rows + r * row_bytes, ROWS - r < step ? ROWS - r : step,
                              scratch, got + r * margin_bytes);
            }
            is_good = memcmp(want, got, ROWS * margin_bytes) == 0;
        }
        if (!is_good) {
            printf("# the kernel %s differs\n", names[i]);
        }
        free(scratch);
    }
    return is_good;
}

/* Margins of ROWS random rows and the leaves: all equal to the plain walk. */
static bool
agrees(struct maker *maker, const struct fixture *f)
{
    size_t number_bytes = model_number_bytes(&f->model);
    size_t row_bytes = f->model.feature_count * number_bytes;
    size_t margin_bytes = f->model.output_count * number_bytes;
    uint8_t *rows = malloc(ROWS * row_bytes);
    uint8_t *want = malloc(ROWS * margin_bytes);
    uint8_t *got = malloc(ROWS * margin_bytes);
    uint32_t *leaves = malloc(sizeof(uint32_t) * ROWS * f->model.tree_count);
    bool is_good = rows != NULL && want != NULL && got != NULL && leaves != NULL;

    for (size_t i = 0; is_good && i < (size_t)ROWS * f->model.feature_count; i++) {
        double x = maker_random(maker, 6) == 0 ? (double)NAN : (double)maker_value(maker);
        model_number_set(&f->model, rows, i, maker_random(maker, 6) == 0 ? -x : x);
    }
    for (size_t r = 0; is_good && r < ROWS; r++) {
        maker_margins(&maker->model, rows + r * row_bytes, want + r * margin_bytes);
    }
    is_good = is_good && margins_agree(&f->model, rows, want, got);
    if (is_good) {
        model_leaves(&f->model, rows, ROWS, f->scratch, leaves);
    }
    for (size_t i = 0; is_good && i < (size_t)ROWS * f->model.tree_count; i++) {
        size_t tree = i % f->model.tree_count;
        size_t row = i / f->model.tree_count;
        is_good = leaves[i] ==
                  maker_leaf(&maker->model, &maker->model.trees[tree], rows + row * row_bytes);
    }
    free(rows);
    free(want);
    free(got);
    free(leaves);
    return is_good;
}

static enum blob_kernel
kernel_of(const struct fixture *f)
{
    return (enum blob_kernel)blob_header(&f->model)->kernel;
}

static void
numeric_trees_of_any_shape_give_the_plain_walks_bits(void)
{
    for (uint32_t seed = 1; seed <= 120; seed++) {
        struct maker maker = maker_init(seed, 1 + seed % 9, 1 + seed % 4, seed % 30);
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, maker_random(&maker, 40),
                       t % 5 == 4 ? MAKER_CHAIN : MAKER_NUMERIC);
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        CHECK_INT(kernel_of(&f), BLOB_PACK8);
        if (!agrees(&maker, &f)) {
            TAP_FAIL("model of seed %u differs", seed);
        }
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
trees_with_category_sets_give_the_plain_walks_bits(void)
{
    for (uint32_t seed = 1; seed <= 60; seed++) {
        struct maker maker = maker_init(seed, 1 + seed % 5, 1 + seed % 3, 1 + seed % 20);
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, 1 + maker_random(&maker, 20), MAKER_SETS);
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        if (!agrees(&maker, &f)) {
            TAP_FAIL("model of seed %u differs", seed);
        }
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
every_rule_for_missing_values_and_members_holds_in_both_precisions(void)
{
    for (uint32_t seed = 1; seed <= 120; seed++) {
        struct maker maker = maker_init(seed, 1 + seed % 9, 1 + seed % 4, 1 + seed % 11);
        maker.model.number = seed % 2 == 0 ? MODEL_FLOAT32 : MODEL_FLOAT64;
        maker.model.leaf_width = seed % 3 == 0 ? maker.model.output_count : 1;
        maker.model.divisor = seed % 5 == 0 ? (double)maker.model.tree_count : 1.0;
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, maker_random(&maker, 40), MAKER_RULES);
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        CHECK(agrees(&maker, &f));
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
more_features_than_packed_nodes_can_name_are_read_by_the_wide_kernel(void)
{
    static const struct {
        uint32_t features;
        enum blob_kernel kernel;
    } cases[] = {{PACK_FEATURES_MAX, BLOB_PACK8}, {PACK_FEATURES_MAX + 1, BLOB_WIDE}};

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct maker maker = maker_init(i + 1, cases[i].features, 1, 9);
        for (uint32_t t = 0; t < 9; t++) {
            maker_grow(&maker, t, 200, MAKER_NUMERIC);
            ((uint32_t *)(uintptr_t)maker.model.trees[t].feature)[0] = cases[i].features - 1;
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        CHECK_INT(kernel_of(&f), cases[i].kernel);
        CHECK(agrees(&maker, &f));
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
a_threshold_of_minus_infinity_still_sends_the_missing_left(void)
{
    struct maker maker = maker_init(1, 1, 1, 1);
    const float missing[] = {NAN};
    const float least[] = {-INFINITY};

    maker_grow(&maker, 0, 1, MAKER_NUMERIC);
    struct neutral_tree *tree = maker_tree(&maker, 0);
    ((double *)(uintptr_t)tree->value)[0] = -INFINITY;
    ((uint8_t *)(uintptr_t)tree->flags)[0] = NEUTRAL_DEFAULT_LEFT;
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK(fixture_margin(&f, missing) == maker.model.base_margins[0] + tree->value[1]);
    CHECK(fixture_margin(&f, least) == maker.model.base_margins[0] + tree->value[2]);
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
a_level_wider_than_a_packed_distance_is_read_by_the_wide_kernel(void)
{
    /* 2^20 - 1 inner nodes, 20 levels: the last level's children are further away than 19 bits
     * say. */
    enum { INNER = (1 << 20) - 1 };
    struct maker maker = maker_init(1, 3, 1, 1);
    const float rows[] = {0.5f, NAN, -7.0f, NAN, 1.0f, INFINITY};
    uint32_t leaves[2];

    maker_grow(&maker, 0, 0, MAKER_NUMERIC);
    struct neutral_tree *tree = maker_tree(&maker, 0);
    int32_t *left = maker_alloc(&maker, 2 * INNER + 1, sizeof(*left));
    int32_t *right = maker_alloc(&maker, 2 * INNER + 1, sizeof(*right));
    uint32_t *feature = maker_alloc(&maker, 2 * INNER + 1, sizeof(*feature));
    double *value = maker_alloc(&maker, 2 * INNER + 1, sizeof(*value));
    for (int32_t i = 0; i < 2 * INNER + 1; i++) {
        left[i] = i < INNER ? 2 * i + 1 : NEUTRAL_LEAF;
        right[i] = i < INNER ? 2 * i + 2 : NEUTRAL_LEAF;
        feature[i] = (uint32_t)i % 3;
        value[i] = (double)(i % 5) - 2.0;
    }
    tree->node_count = 2 * INNER + 1;
    tree->left = left;
    tree->right = right;
    tree->feature = feature;
    tree->value = value;
    tree->flags = maker_alloc(&maker, 2 * INNER + 1, 1);
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(kernel_of(&f), BLOB_WIDE);
    model_leaves(&f.model, rows, 2, f.scratch, leaves);
    CHECK_INT(leaves[0], maker_leaf(&maker.model, tree, rows));
    CHECK_INT(leaves[1], maker_leaf(&maker.model, tree, rows + 3));
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
a_tree_as_deep_as_the_limit_is_read_and_a_deeper_one_refused(void)
{
    for (uint32_t depth = MODEL_TREE_DEPTH_MAX; depth <= MODEL_TREE_DEPTH_MAX + 1; depth++) {
        struct maker maker = maker_init(depth, 4, 1, 1);
        maker_grow(&maker, 0, depth, MAKER_CHAIN);
        struct fixture f = maker_compile(&maker);
        if (depth == MODEL_TREE_DEPTH_MAX) {
            CHECK_INT(f.rc, 0);
            CHECK_INT(blob_header(&f.model)->tree_depth, depth);
            CHECK(agrees(&maker, &f));
        } else {
            CHECK_INT(f.rc, AUGURY_ERR_LIMIT);
            CHECK_CONTAINS(f.err.at, "tree 0, node");
        }
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
a_model_without_trees_answers_its_base_margins(void)
{
    struct maker maker = maker_init(5, 3, 4, 0);
    struct fixture f = maker_compile(&maker);
    const float row[] = {1.0f, 2.0f, 3.0f};
    float margins[4];
    double base[4];

    CHECK_INT(f.rc, 0);
    model_margins(&f.model, row, 1, f.scratch, margins);
    model_base_margins(&f.model, base);
    CHECK(memcmp(base, maker.model.base_margins, sizeof(base)) == 0);
    for (unsigned k = 0; k < 4; k++) {
        CHECK((double)margins[k] == base[k]);
    }
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
a_batch_of_no_rows_writes_nothing(void)
{
    struct fixture f = fixture_of_file("stump.json", NULL);
    float margin = 42.0f;

    CHECK_INT(f.rc, 0);
    model_margins(&f.model, NULL, 0, f.scratch, &margin);
    CHECK(margin == 42.0f);
    fixture_close(&f);
}

int
main(void)
{
    TAP_RUN(numeric_trees_of_any_shape_give_the_plain_walks_bits);
    TAP_RUN(trees_with_category_sets_give_the_plain_walks_bits);
    TAP_RUN(every_rule_for_missing_values_and_members_holds_in_both_precisions);
    TAP_RUN(more_features_than_packed_nodes_can_name_are_read_by_the_wide_kernel);
    TAP_RUN(a_threshold_of_minus_infinity_still_sends_the_missing_left);
    TAP_RUN(a_level_wider_than_a_packed_distance_is_read_by_the_wide_kernel);
    TAP_RUN(a_tree_as_deep_as_the_limit_is_read_and_a_deeper_one_refused);
    TAP_RUN(a_model_without_trees_answers_its_base_margins);
    TAP_RUN(a_batch_of_no_rows_writes_nothing);
    return tap_done();
}
