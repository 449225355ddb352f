/* SPDX-License-Identifier: MIT */
/*
 * test_contributions.c - contributions against two evaluations that share nothing with them: the
 * definition (the average over all orders in which features become known, the expectation over
 * unknown ones following the training rows), and the exact values leaf by leaf from the
 * coefficients of each path's polynomial.
 */
#include "maker.h"

#include "../../../src/model/contributions.h"

enum {
    ROWS = 21,
    MANY_ROWS = 70, /* several blocks of the longest vectors, and some over */
    /* The reference over long paths takes the fourth power of their length. */
    ROWS_BY_LEAVES = 2
};

/* ---- references ------------------------------------------------------------------------------ */

/* Random rows seen by each node of a tree: leaves anything from 0 on, the others their sum. */
static void
grow_covers(struct maker *maker, uint32_t number)
{
    struct neutral_tree *tree = maker_tree(maker, number);
    float *cover = maker_alloc(maker, tree->node_count, sizeof(*cover));

    for (uint32_t i = tree->node_count; i-- > 0;) {
        cover[i] = tree->left[i] == NEUTRAL_LEAF ? (float)maker_random(maker, 9)
                                                 : cover[tree->left[i]] + cover[tree->right[i]];
    }
    tree->cover = cover;
}

static double
share_of(const struct neutral_model *model, const struct neutral_tree *tree, uint32_t node,
         bool is_left)
{
    double left = (double)tree->cover[tree->left[node]];
    double right = (double)tree->cover[tree->right[node]];
    double share = left + right > 0.0 ? left / (left + right) : 0.5;

    share = model->number == MODEL_FLOAT32 ? (double)(float)share : share;
    return is_left ? share : 1.0 - share;
}

static double
leaf_value(const struct neutral_model *model, const struct neutral_tree *tree, uint32_t leaf,
           uint32_t output)
{
    if (model->leaf_width == 1) {
        return tree->output == output ? tree->value[leaf] : 0.0;
    }
    return tree->vectors[(size_t)tree->right[leaf] * model->leaf_width + output];
}

/* What one reference evaluation is about. */
struct question {
    const struct neutral_model *model;
    const struct neutral_tree *tree;
    const void *row; /* inputs, where the model has them */
    uint32_t output;
};

/* The feature that a node's test is of. */
static uint32_t
feature_of(const struct question *question, uint32_t node)
{
    uint32_t input = question->tree->feature[node];

    return question->model->input_count == 0 ? input : question->model->inputs[input].feature;
}

static bool
is_left_at(const struct question *question, uint32_t node)
{
    const struct neutral_tree *tree = question->tree;

    return maker_goes_left(tree, node,
                           maker_cell(question->model, question->row, tree->feature[node]));
}

/* The tree's expectation when the features of the mask are known. */
static double
expectation(const struct question *question, uint32_t node, uint32_t known)
{
    const struct neutral_tree *tree = question->tree;

    if (tree->left[node] == NEUTRAL_LEAF) {
        return leaf_value(question->model, tree, node, question->output);
    }
    double left_share = share_of(question->model, tree, node, true);
    if ((known >> feature_of(question, node) & 1) != 0) {
        left_share = is_left_at(question, node) ? 1.0 : 0.0;
    }
    double left = expectation(question, (uint32_t)tree->left[node], known);
    double right = expectation(question, (uint32_t)tree->right[node], known);
    return left_share * left + (1.0 - left_share) * right;
}

/* The definition: out has feature_count values, then the bias. */
static void
add_by_definition(const struct question *question, double *out)
{
    uint32_t features = question->model->feature_count;
    double factorials[16] = {1.0};

    for (uint32_t i = 1; i <= features; i++) {
        factorials[i] = factorials[i - 1] * i;
    }
    for (uint32_t known = 0; known < UINT32_C(1) << features; known++) {
        uint32_t count = (uint32_t)__builtin_popcount(known);
        double value = expectation(question, 0, known);
        for (uint32_t i = 0; i < features; i++) {
            bool is_known = (known >> i & 1) != 0;
            uint32_t before = is_known ? count - 1 : count;
            double weight =
                factorials[before] * factorials[features - before - 1] / factorials[features];
            out[i] += is_known ? weight * value : -weight * value;
        }
        out[features] += known == 0 ? value : 0.0;
    }
}

/* The tests of a path by feature: the share that reaches the leaf without knowing the feature, and
 * whether the row does. */
struct path_test {
    uint32_t feature;
    double share;
    double is_met; /* 0 or 1 */
};

/* The features' values in one leaf's game, from the coefficients of the product of
 * (share + is_met × x) over the other features. */
static void
add_leaf_game(const struct path_test *tests, uint32_t count, double value, double *out)
{
    for (uint32_t j = 0; j < count; j++) {
        long double terms[MODEL_TREE_DEPTH_MAX + 1] = {1.0L};
        uint32_t degree = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (i == j) {
                continue;
            }
            degree++;
            for (uint32_t k = degree; k > 0; k--) {
                terms[k] = terms[k] * (long double)tests[i].share +
                           terms[k - 1] * (long double)tests[i].is_met;
            }
            terms[0] *= (long double)tests[i].share;
        }
        long double sum = 0.0L;
        long double weight = 1.0L / (long double)count; /* k! (count - 1 - k)! / count! */
        for (uint32_t k = 0; k < count; k++) {
            sum += terms[k] * weight;
            weight *= (long double)(k + 1) / (long double)(k + 1 < count ? count - 1 - k : 1);
        }
        out[tests[j].feature] +=
            (double)(sum * (long double)(tests[j].is_met - tests[j].share)) * value;
    }
}

/* Every leaf of a tree: the path is a copy a level. */
static void
add_by_leaves(const struct question *question, uint32_t node, const struct path_test *tests,
              uint32_t count, double *out)
{
    const struct neutral_tree *tree = question->tree;

    if (tree->left[node] == NEUTRAL_LEAF) {
        double value = leaf_value(question->model, tree, node, question->output);
        double reach = 1.0;
        for (uint32_t i = 0; i < count; i++) {
            reach *= tests[i].share;
        }
        add_leaf_game(tests, count, value, out);
        out[question->model->feature_count] += reach * value;
        return;
    }
    uint32_t feature = feature_of(question, node);
    bool is_left = is_left_at(question, node);
    struct path_test *longer = malloc((count + 1) * sizeof(*longer));
    AUGURY_ASSERT(longer != NULL);
    for (int side = 0; side < 2; side++) {
        uint32_t at = 0;
        memcpy(longer, tests, count * sizeof(*longer));
        while (at < count && longer[at].feature != feature) {
            at++;
        }
        if (at == count) {
            longer[at] = (struct path_test){feature, 1.0, 1.0};
        }
        longer[at].share *= share_of(question->model, tree, node, side == 0);
        longer[at].is_met *= is_left == (side == 0) ? 1.0 : 0.0;
        add_by_leaves(question, (uint32_t)(side == 0 ? tree->left[node] : tree->right[node]),
                      longer, at == count ? count + 1 : count, out);
    }
    free(longer);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void
fill_rows(struct maker *maker, const struct model *model, void *rows, size_t count)
{
    for (size_t i = 0; i < count * model->feature_count; i++) {
        double x = maker_random(maker, 6) == 0 ? (double)NAN : (double)maker_value(maker);
        model_number_set(model, rows, i, maker_random(maker, 6) == 0 ? -x : x);
    }
}

static void
reference(const struct neutral_model *model, const void *row, bool is_by_definition, double *out)
{
    uint32_t width = model->feature_count + 1;

    for (uint32_t k = 0; k < model->output_count; k++) {
        double *values = out + (size_t)k * width;
        memset(values, 0, width * sizeof(*values));
        values[width - 1] = model->base_margins[k];
        for (uint32_t t = 0; t < model->tree_count; t++) {
            struct question question = {model, &model->trees[t], row, k};
            if (is_by_definition) {
                add_by_definition(&question, values);
            } else {
                add_by_leaves(&question, 0, &(struct path_test){0}, 0, values);
            }
        }
        for (uint32_t i = 0; i < width; i++) {
            values[i] /= model->divisor;
        }
    }
}

/* The greatest difference between got and want, relative to the greatest value wanted. */
static double
difference(const struct model *model, const void *got, const double *want)
{
    size_t count = model_contributions_count(model);
    double greatest = 1e-3;
    double worst = 0.0;

    for (size_t i = 0; i < count; i++) {
        greatest = fmax(greatest, fabs(want[i]));
    }
    for (size_t i = 0; i < count; i++) {
        double gap = fabs(model_number_get(model, got, i) - want[i]);
        worst = isnan(gap) ? INFINITY : fmax(worst, gap / greatest);
    }
    return worst;
}

/* The contributions of each output's features and its bias add up to its margin. */
static double
sum_difference(const struct fixture *f, const void *row, const void *got)
{
    size_t width = f->model.feature_count + 1;
    double margins[64];
    double worst = 0.0;

    AUGURY_ASSERT(f->model.output_count <= 64);
    model_margins(&f->model, row, 1, f->scratch, margins);
    for (size_t k = 0; k < f->model.output_count; k++) {
        double margin = model_number_get(&f->model, margins, k);
        double sum = 0.0;
        double size = 1.0;
        for (size_t i = 0; i < width; i++) {
            double value = model_number_get(&f->model, got, k * width + i);
            sum += value;
            size += fabs(value);
        }
        worst = fmax(worst, fabs(sum - margin) / size);
    }
    return worst;
}

/* How contributions of ROWS random rows differ at most: from the reference, and in their sums. */
struct agreement {
    double values;
    double sums;
};

enum reference_kind { NO_REFERENCE, BY_DEFINITION, BY_LEAVES };

static struct agreement
compare(struct maker *maker, const struct fixture *f, enum reference_kind kind)
{
    const struct model *model = &f->model;
    size_t number_bytes = model_number_bytes(model);
    size_t row_bytes = model->feature_count * number_bytes;
    size_t out_bytes = model_contributions_count(model) * number_bytes;
    uint8_t *rows = malloc(ROWS * row_bytes);
    uint8_t *got = malloc(ROWS * out_bytes);
    double *want = malloc(model_contributions_count(model) * sizeof(double));
    void *scratch = aligned_alloc(64, model_contributions_scratch_bytes(model, ROWS) + 64);
    struct agreement worst = {0.0, 0.0};

    AUGURY_ASSERT(rows != NULL && got != NULL && want != NULL && scratch != NULL);
    memset(scratch, 0xff, model_contributions_scratch_bytes(model, ROWS));
    fill_rows(maker, model, rows, ROWS);
    model_contributions(model, rows, ROWS, scratch, got);
    for (size_t r = 0; r < ROWS; r++) {
        if (kind == BY_DEFINITION || (kind == BY_LEAVES && r < ROWS_BY_LEAVES)) {
            reference(&maker->model, rows + r * row_bytes, kind == BY_DEFINITION, want);
            worst.values = fmax(worst.values, difference(model, got + r * out_bytes, want));
        }
        worst.sums = fmax(worst.sums, sum_difference(f, rows + r * row_bytes, got + r * out_bytes));
    }
    free(rows);
    free(got);
    free(want);
    free(scratch);
    return worst;
}

/* A model of the seed with every trait in turn. */
static struct maker
make(uint32_t seed, uint32_t features, uint32_t trees, uint32_t inner)
{
    static const enum maker_shape shapes[] = {MAKER_NUMERIC, MAKER_RULES, MAKER_SETS, MAKER_CHAIN};
    struct maker maker = maker_init(seed, features, 1 + seed % 3, trees);

    maker.model.number = seed % 2 == 0 ? MODEL_FLOAT32 : MODEL_FLOAT64;
    maker.model.leaf_width = seed % 5 == 0 ? maker.model.output_count : 1;
    maker.model.divisor = seed % 7 == 0 ? (double)(trees + 1) : 1.0;
    maker.model.kind = seed % 7 == 0 ? NEUTRAL_FOREST : NEUTRAL_GBTREE;
    for (uint32_t t = 0; t < trees; t++) {
        maker_grow(&maker, t, maker_random(&maker, inner),
                   shapes[(seed / 2 + (t % 3 == 0 ? 0 : t)) % AUGURY_COUNT(shapes)]);
        grow_covers(&maker, t);
    }
    return maker;
}

static double
tolerance(const struct model *model)
{
    return model->number == MODEL_FLOAT32 ? 1e-5 : 1e-12;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
contributions_are_shapley_values_by_their_definition(void)
{
    for (uint32_t seed = 1; seed <= 160; seed++) {
        struct maker maker = make(seed, 1 + seed % 8, seed % 6, 14);
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        CHECK_INT(model_has_contributions(&f.model, &f.err), 0);
        struct agreement worst = compare(&maker, &f, BY_DEFINITION);
        if (worst.values > tolerance(&f.model) || worst.sums > tolerance(&f.model)) {
            TAP_FAIL("seed %u differs by %g, its sums by %g", seed, worst.values, worst.sums);
        }
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
the_two_references_agree(void)
{
    struct maker maker = make(3, 6, 4, 30);
    double row[6] = {0.5, NAN, 2.0, -1.0, 40.0, 0.0};
    double by_definition[32];
    double by_leaves[32];

    reference(&maker.model, row, true, by_definition);
    reference(&maker.model, row, false, by_leaves);
    for (size_t i = 0; i < 7 * maker.model.output_count; i++) {
        CHECK(fabs(by_definition[i] - by_leaves[i]) < 1e-12);
    }
    arena_fini(&maker.arena);
}

static void
long_paths_of_many_features_are_exact(void)
{
    static const uint32_t features[] = {12, 20, 30, 60, 120};

    for (uint32_t seed = 1; seed <= 40; seed++) {
        struct maker maker =
            make(seed, features[seed % AUGURY_COUNT(features)], 2, seed % 4 == 0 ? 200 : 90);
        for (uint32_t t = 0; t < 2; t++) {
            maker_grow(&maker, t, 40 + 60 * t, MAKER_CHAIN);
            grow_covers(&maker, t);
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        struct agreement worst = compare(&maker, &f, BY_LEAVES);
        if (worst.values > tolerance(&f.model) || worst.sums > tolerance(&f.model)) {
            TAP_FAIL("seed %u, %u points, differs by %g, its sums by %g", seed,
                     blob_header(&f.model)->contribution_points, worst.values, worst.sums);
        }
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

/* Over 128 features on one path the quadrature is no longer exact; the sums still are, nearly. */
static void
the_deepest_trees_are_near(void)
{
    struct maker maker = maker_init(5, 600, 1, 1);

    maker.model.number = MODEL_FLOAT64;
    maker_grow(&maker, 0, 170, MAKER_CHAIN);
    grow_covers(&maker, 0);
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(blob_header(&f.model)->contribution_points, CONTRIBUTIONS_POINTS_MAX);
    struct agreement worst = compare(&maker, &f, BY_LEAVES);
    printf("# differs by %g, its sums by %g\n", worst.values, worst.sums);
    CHECK(worst.values < 1e-9 && worst.sums < 1e-9);
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
many_outputs_and_features_add_up_to_the_margins(void)
{
    for (uint32_t seed = 1; seed <= 4; seed++) {
        struct maker maker = maker_init(seed, 5000 * (seed - 1) + 30, 40, 200);
        maker.model.number = seed % 2 == 0 ? MODEL_FLOAT64 : MODEL_FLOAT32;
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, maker_random(&maker, 60), MAKER_NUMERIC);
            grow_covers(&maker, t);
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        CHECK(compare(&maker, &f, NO_REFERENCE).sums < tolerance(&f.model));
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

/* ---- the same bits --------------------------------------------------------------------------- */

/* MANY_ROWS rows by one kind of vectors, `at_once` of them together. */
static void
explain(const struct contributions_ops *ops, const struct model *model, const uint8_t *rows,
        size_t at_once, uint8_t *out)
{
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    size_t out_bytes = model_contributions_count(model) * model_number_bytes(model);
    size_t scratch_bytes = ops->scratch_bytes(model);
    void *scratch = aligned_alloc(64, scratch_bytes + 64);

    AUGURY_ASSERT(scratch != NULL);
    memset(scratch, 0xff, scratch_bytes);
    for (size_t r = 0; r < MANY_ROWS; r += at_once) {
        size_t left = MANY_ROWS - r;
        ops->block(model, rows + r * row_bytes, left < at_once ? left : at_once, scratch,
                   out + r * out_bytes);
    }
    free(scratch);
}

/* Calls of 1 to MANY_ROWS rows against what their rows got alone. */
static bool
calls_agree(const struct model *model, const uint8_t *rows, const uint8_t *want, uint8_t *got)
{
    size_t out_bytes = model_contributions_count(model) * model_number_bytes(model);
    void *scratch =
        aligned_alloc(64, model_contributions_scratch_bytes(model, MANY_ROWS) / 64 * 64 + 64);
    bool is_same = true;

    AUGURY_ASSERT(scratch != NULL);
    for (size_t count = 1; count <= MANY_ROWS; count++) {
        memset(got, 0xff, MANY_ROWS * out_bytes);
        model_contributions(model, rows, count, scratch, got);
        is_same = is_same && memcmp(got, want, count * out_bytes) == 0;
    }
    free(scratch);
    return is_same;
}

/* Whether rows get, to the bit, what the portable vectors give each of them alone: from all vectors
 * that this processor has, however many stand in them, and from calls of any length. */
static bool
bits_agree(const struct model *model, const uint8_t *rows)
{
    const struct contributions_ops *const *list =
        model->number == MODEL_FLOAT32 ? contributions_list_f32 : contributions_list_f64;
    size_t bytes = MANY_ROWS * model_contributions_count(model) * model_number_bytes(model);
    uint8_t *want = malloc(bytes);
    uint8_t *got = malloc(bytes);

    AUGURY_ASSERT(want != NULL && got != NULL);
    explain(list[0], model, rows, 1, want);
    bool is_same = calls_agree(model, rows, want, got);
    for (size_t i = 0; list[i] != NULL; i++) {
        bool can_run = (list[i]->needs & ~kernel_cpu_bits()) == 0;
        for (size_t at_once = 1; can_run && at_once <= list[i]->lanes; at_once++) {
            memset(got, 0xff, bytes);
            explain(list[i], model, rows, at_once, got);
            is_same = is_same && memcmp(got, want, bytes) == 0;
        }
    }
    free(want);
    free(got);
    return is_same;
}

static void
a_row_gets_the_same_bits_alone_among_others_and_from_all_vectors(void)
{
    for (uint32_t seed = 1; seed <= 40; seed++) {
        struct maker maker = make(seed, 1 + seed % 40, 8, 60);
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        size_t row_bytes = f.model.feature_count * model_number_bytes(&f.model);
        uint8_t *rows = malloc(MANY_ROWS * row_bytes);
        AUGURY_ASSERT(rows != NULL);
        fill_rows(&maker, &f.model, rows, MANY_ROWS);
        if (!bits_agree(&f.model, rows)) {
            TAP_FAIL("seed %u: the bits of a row depend on the rows beside it", seed);
        }
        free(rows);
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

static void
a_trained_models_rows_get_the_same_bits_in_calls_of_any_length(void)
{
    struct fixture f = fixture_of_file("../nfl-wp/model.ubj", NULL);
    struct maker maker = maker_init(7, 1, 1, 0);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_has_contributions(&f.model, &f.err), 0);
    size_t count = (size_t)MANY_ROWS * f.model.feature_count;
    float *rows = malloc(count * sizeof(*rows));
    AUGURY_ASSERT(rows != NULL);
    for (size_t i = 0; i < count; i++) {
        rows[i] = maker_random(&maker, 9) == 0 ? NAN : (float)maker_random(&maker, 100);
    }
    CHECK(bits_agree(&f.model, (const uint8_t *)rows));
    free(rows);
    fixture_close(&f);
    arena_fini(&maker.arena);
}

/* A feature as it is, whether it is missing, and another one moved: what the inputs of a row are is
 * said twice, for the model and for the reference. */
static void
inputs_made_of_one_feature_become_known_together(void)
{
    static const struct neutral_step missing = {.op = NEUTRAL_IS_MISSING};
    static const struct neutral_step moved = {.op = NEUTRAL_SUBTRACT, .a = 0.5};
    static const struct neutral_input inputs[] = {
        {.feature = 1},
        {.feature = 1, .step_count = 1, .steps = &missing},
        {.feature = 0, .step_count = 1, .steps = &moved}};
    static const double rows[][2] = {{1.0, 0.5}, {40.0, NAN}, {NAN, -1.0}, {0.25, 2.0}};

    for (uint32_t seed = 1; seed <= 30; seed++) {
        struct maker maker = maker_init(seed, 3, 1, 4);
        maker.model.number = MODEL_FLOAT64;
        for (uint32_t t = 0; t < 4; t++) {
            maker_grow(&maker, t, maker_random(&maker, 12), MAKER_NUMERIC);
            grow_covers(&maker, t);
        }
        maker.model.feature_count = 2;
        maker.model.input_count = 3;
        maker.model.inputs = inputs;
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        void *scratch = aligned_alloc(64, model_contributions_scratch_bytes(&f.model, 1) + 64);
        for (size_t r = 0; r < AUGURY_COUNT(rows); r++) {
            const double row[] = {rows[r][1], isnan(rows[r][1]) ? 1.0 : 0.0, rows[r][0] - 0.5};
            double want[3];
            double got[3];
            reference(&maker.model, row, true, want);
            model_contributions(&f.model, rows[r], 1, scratch, got);
            CHECK(difference(&f.model, got, want) < 1e-12);
        }
        free(scratch);
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

/* Two inputs of feature 0 (itself and twice itself), one of feature 1. */
static void
a_layers_contributions_are_added_up_by_feature(void)
{
    static const struct neutral_step twice = {.op = NEUTRAL_MULTIPLY, .a = 2.0};
    static const struct neutral_input inputs[] = {
        {.feature = 0}, {.feature = 1}, {.feature = 0, .step_count = 1, .steps = &twice}};
    static const double weights[] = {1.0, 10.0, 100.0, -1.0, 0.5, 0.25};
    static const double biases[] = {7.0, 8.0};
    static const struct neutral_layer layer = {
        .inputs = 3, .outputs = 2, .weights = weights, .biases = biases};
    const double row[] = {3.0, 4.0};
    const double want[] = {603.0, 40.0, 7.0, -1.5, 2.0, 8.0};
    double got[6];
    double scratch[8];
    struct maker maker = maker_init(1, 2, 2, 0);

    maker.model.kind = NEUTRAL_LINEAR;
    maker.model.number = MODEL_FLOAT64;
    maker.model.base_margins = (const double[]){0.0, 0.0};
    maker.model.input_count = 3;
    maker.model.inputs = inputs;
    maker.model.layer_count = 1;
    maker.model.layers = &layer;
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(model_has_contributions(&f.model, &f.err), 0);
    CHECK(model_contributions_scratch_bytes(&f.model, 9) <= sizeof(scratch));
    model_contributions(&f.model, row, 1, scratch, got);
    for (size_t i = 0; i < AUGURY_COUNT(want); i++) {
        CHECK(got[i] == want[i]);
    }
    fixture_close(&f);
    arena_fini(&maker.arena);
}

/* Base 500; bins under and from 10 and of a missing value have 20, 35 and 5 points against 30. */
static void
a_scorecards_contributions_are_points_over_the_reference(void)
{
    static const double cuts[] = {10.0};
    static const struct neutral_bin bins[] = {
        {20.0, NEUTRAL_NO_REASON}, {35.0, NEUTRAL_NO_REASON}, {5.0, NEUTRAL_NO_REASON}};
    static const struct neutral_attribute attribute = {
        .feature = 1, .cut_count = 1, .cuts = cuts, .bins = bins, .reference = 30.0};
    const double rows[] = {0.0, 3.0, 0.0, 10.0, 0.0, NAN};
    const double want[] = {0.0, -10.0, 530.0, 0.0, 5.0, 530.0, 0.0, -25.0, 530.0};
    double got[9];
    struct maker maker = maker_init(1, 2, 1, 0);

    maker.model.kind = NEUTRAL_SCORECARD;
    maker.model.number = MODEL_FLOAT64;
    maker.model.base_margins = (const double[]){500.0};
    maker.model.attribute_count = 1;
    maker.model.attributes = &attribute;
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(model_has_contributions(&f.model, &f.err), 0);
    model_contributions(&f.model, rows, 3, NULL, got);
    for (size_t i = 0; i < AUGURY_COUNT(want); i++) {
        CHECK(got[i] == want[i]);
    }
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
a_linear_models_contributions_are_weight_times_value(void)
{
    struct fixture f = fixture_of_file("gblinear.json", NULL);
    /* Weights of feature 0: 0.5, -0.25; of 1: 2, 4; biases 0.125, 1; base score 1. */
    const float rows[] = {2.0f, 3.0f, NAN, -1.0f};
    const float want[] = {1.0f, 6.0f,  1.125f, -0.5f, 12.0f, 2.0f,
                          0.0f, -2.0f, 1.125f, 0.0f,  -4.0f, 2.0f};
    float got[12];

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_has_contributions(&f.model, &f.err), 0);
    model_contributions(&f.model, rows, 2, NULL, got);
    for (size_t i = 0; i < AUGURY_COUNT(want); i++) {
        CHECK(got[i] == want[i]);
    }
    fixture_close(&f);
}

static void
a_model_without_covers_says_what_it_lacks(void)
{
    struct maker maker = maker_init(1, 3, 1, 2);

    maker_grow(&maker, 0, 5, MAKER_NUMERIC);
    maker_grow(&maker, 1, 5, MAKER_NUMERIC);
    grow_covers(&maker, 0);
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(model_has_contributions(&f.model, &f.err), AUGURY_ERR_UNSUPPORTED);
    CHECK_TEXT(f.err.code, "no_such_output");
    CHECK_CONTAINS(f.err.reason, "sum_hessian");
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
the_largest_contributions_come_first_and_equals_in_order(void)
{
    struct maker maker = maker_init(1, 9, 1, 0);
    struct fixture f = maker_compile(&maker);
    const float values[] = {0.5f, -3.0f, 0.0f, 3.0f, NAN, -0.5f, 7.0f, 0.25f, -7.0f};
    static const uint32_t want[] = {6, 8, 1, 3, 0, 5, 7, 2, 4};
    uint32_t got[9];

    CHECK_INT(f.rc, 0);
    for (uint32_t k = 0; k <= 12; k++) {
        uint32_t count = k < 9 ? k : 9;
        CHECK_INT(model_contributions_top(&f.model, values, k, got), count);
        CHECK(memcmp(got, want, count * sizeof(*got)) == 0);
    }
    fixture_close(&f);
    arena_fini(&maker.arena);
}

int
main(void)
{
    TAP_RUN(the_two_references_agree);
    TAP_RUN(contributions_are_shapley_values_by_their_definition);
    TAP_RUN(long_paths_of_many_features_are_exact);
    TAP_RUN(the_deepest_trees_are_near);
    TAP_RUN(many_outputs_and_features_add_up_to_the_margins);
    TAP_RUN(a_row_gets_the_same_bits_alone_among_others_and_from_all_vectors);
    TAP_RUN(a_trained_models_rows_get_the_same_bits_in_calls_of_any_length);
    TAP_RUN(inputs_made_of_one_feature_become_known_together);
    TAP_RUN(a_layers_contributions_are_added_up_by_feature);
    TAP_RUN(a_scorecards_contributions_are_points_over_the_reference);
    TAP_RUN(a_linear_models_contributions_are_weight_times_value);
    TAP_RUN(a_model_without_covers_says_what_it_lacks);
    TAP_RUN(the_largest_contributions_come_first_and_equals_in_order);
    return tap_done();
}
