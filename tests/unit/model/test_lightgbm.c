/* SPDX-License-Identifier: MIT */
/*
 * test_lightgbm.c - LightGBM texts written by hand: which way each kind of decision sends a value,
 * what the head and the lines after the trees say, and what is refused. Results are worked out by
 * hand from LightGBM's rules; tests/oracle/test_fixtures_lightgbm.c has the published models.
 */
#include "fixture.h"

/* One split: feature x, left 1, right 2. */
#define STUMP_HEAD                                                                                 \
    "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n"  \
    "objective=regression\nfeature_names=x y\nfeature_infos=none none\ntree_sizes=1\n\n"           \
    "Tree=0\nnum_leaves=2\n"
#define STUMP_TAIL                                                                                 \
    "left_child=-1\nright_child=-2\nleaf_value=1 2\nleaf_weight=3 4\nleaf_count=30 40\n"           \
    "internal_value=0\ninternal_weight=0\ninternal_count=70\nis_linear=0\nshrinkage=1\n\n\n"       \
    "end of trees\n\nfeature_importances:\nx=1\n\nparameters:\n[boosting: gbdt]\n\n"               \
    "end of parameters\n\npandas_categorical:null\n"
#define STUMP(num_cat, middle)                                                                     \
    STUMP_HEAD "num_cat=" num_cat "\nsplit_feature=0\nsplit_gain=9\n" middle STUMP_TAIL

static const char numeric[] = STUMP("0", "threshold=0.5\ndecision_type=2\n");
/* Categories 1, 3 and 33. */
static const char categories[] =
    STUMP("1", "threshold=0\ndecision_type=1\ncat_boundaries=0 2\ncat_threshold=10 2\n");

/* What the one output answers for x; -1 when the text was refused. */
static double
answer_of(const char *text, double x, double y)
{
    struct fixture f = fixture_of_text(text);
    const double row[] = {x, y};
    double margin = -1.0;

    if (f.rc != 0) {
        printf("# %s: %s\n", f.err.at, f.err.reason);
    } else if (f.model.number == MODEL_FLOAT64 && f.model.feature_count == 2 &&
               f.model.output_count == 1) {
        model_margins(&f.model, row, 1, f.scratch, &margin);
        model_predictions(&f.model, &margin, 1, &margin);
    }
    fixture_close(&f);
    return margin;
}

static double
answer_with(const char *base, const char *from, const char *to, double x)
{
    char *text = fixture_replaced(bytes_of_text(base), from, to);
    double answer = text == NULL ? -2.0 : answer_of(text, x, 0.0);

    free(text);
    return answer;
}

/* ---- decisions ------------------------------------------------------------------------------- */

static void
a_value_on_the_threshold_goes_left(void)
{
    CHECK(answer_of(numeric, 0.5, 0.0) == 1.0);
    CHECK(answer_of(numeric, nextafter(0.5, 1.0), 0.0) == 2.0);
    CHECK(answer_of(numeric, -INFINITY, 0.0) == 1.0);
    CHECK(answer_of(numeric, INFINITY, 0.0) == 2.0);
}

static void
without_a_missing_type_nan_is_zero(void)
{
    CHECK(answer_of(numeric, NAN, 0.0) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-0.5", NAN) == 2.0);
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=0", NAN) == 1.0);
}

/* LightGBM copies rows so before it walks. */
static void
a_value_next_to_zero_is_zero(void)
{
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=0", 1e-36) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-0", (double)1e-35f) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=0", 1.1e-35) == 2.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-1e-36", -(double)1e-35f) == 2.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-1e-36", -1.1e-35) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-1.0000000180025095e-35",
                      -(double)1e-35f) == 2.0);
}

static void
of_missing_type_zero_zeros_and_nan_take_the_default_side(void)
{
    static const double missing[] = {0.0, -0.0, (double)1e-35f, -(double)1e-35f, 1e-300};

    for (size_t i = 0; i < AUGURY_COUNT(missing); i++) {
        CHECK(answer_with(numeric, "decision_type=2", "decision_type=4", missing[i]) == 2.0);
        CHECK(answer_with(numeric, "decision_type=2", "decision_type=6", missing[i]) == 1.0);
    }
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=4", NAN) == 2.0);
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=6", NAN) == 1.0);
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=4",
                      nextafter((double)1e-35f, 1.0)) == 1.0);
}

static void
of_missing_type_nan_only_nan_takes_the_default_side(void)
{
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=8", NAN) == 2.0);
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=10", NAN) == 1.0);
    CHECK(answer_with(numeric, "decision_type=2", "decision_type=8", 0.0) == 1.0);
}

static void
without_decision_types_all_splits_are_plain(void)
{
    CHECK(answer_with(numeric, "decision_type=2\n", "", 0.5) == 1.0);
    CHECK(answer_with(numeric, "decision_type=2\n", "", NAN) == 1.0);
}

static void
under_an_infinite_threshold_every_number_goes_left(void)
{
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=inf", INFINITY) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=1e300", INFINITY) == 2.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=1e300", 1e300) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-inf", -INFINITY) == 1.0);
    CHECK(answer_with(numeric, "threshold=0.5", "threshold=-inf", -1e308) == 2.0);
    char *text = fixture_replaced(bytes_of_text(numeric), "threshold=0.5\ndecision_type=2",
                                  "threshold=inf\ndecision_type=8");
    CHECK(text != NULL && answer_of(text, NAN, 0.0) == 2.0);
    free(text);
}

static void
members_of_a_set_go_left_and_all_else_right(void)
{
    static const double members[] = {1.0, 1.9, 3.0, 33.0};
    static const double others[] = {0.0, 2.0, 32.0, 34.0, 65.0, -1.0, 1e9, 3e9, INFINITY, NAN};

    for (size_t i = 0; i < AUGURY_COUNT(members); i++) {
        CHECK(answer_of(categories, members[i], 0.0) == 1.0);
    }
    for (size_t i = 0; i < AUGURY_COUNT(others); i++) {
        CHECK(answer_of(categories, others[i], 0.0) == 2.0);
        CHECK(answer_with(categories, "decision_type=1", "decision_type=11", others[i]) == 2.0);
    }
    CHECK(answer_with(categories, "cat_threshold=10", "cat_threshold=1", -0.5) == 1.0);
    CHECK(answer_with(categories, "cat_threshold=10 2", "cat_threshold=0 0", 1.0) == 2.0);
}

static void
a_linear_leaf_is_a_function_of_the_row_unless_a_feature_is_missing(void)
{
    const char *linear = "is_linear=1\nleaf_const=10 20\nnum_features=2 0\nleaf_features=0 1  \n"
                         "leaf_coeff=2 4  \n";
    char *text = fixture_replaced(bytes_of_text(numeric), "is_linear=0\n", linear);

    CHECK(text != NULL);
    CHECK(answer_of(text, 0.25, 0.5) == 10.0 + 2.0 * 0.25 + 4.0 * 0.5);
    CHECK(answer_of(text, 0.25, NAN) == 1.0);
    CHECK(answer_of(text, NAN, 0.0) == 1.0); /* zero to the split, missing to the leaf */
    CHECK(answer_of(text, 0.75, NAN) == 20.0);
    free(text);
}

static void
a_tree_of_one_leaf_needs_no_more_than_its_value(void)
{
    const char *text = "tree\nversion=v3\nnum_class=1\nmax_feature_idx=1\nobjective=regression\n"
                       "Tree=7\nnum_leaves=1\nnum_cat=0\nleaf_value=0.125\nsplit_feature=\n\n"
                       "end of trees\n";

    CHECK(answer_of(text, 1.0, 1.0) == 0.125);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void
lines_may_come_in_any_order_and_end_as_on_windows(void)
{
    const char *text =
        "tree\r\nfeature_infos=none none\r\nobjective=regression\r\nmax_feature_idx=1\r\n"
        "feature_names=x y\r\nnum_class=1\r\nversion=v2\r\n\r\nTree=0\r\nleaf_value=1 2\r\n"
        "right_child=-2\r\nleft_child=-1\r\ndecision_type=2\r\nthreshold=0.5\r\nsplit_feature=0\r\n"
        "num_cat=0\r\nnum_leaves=2\r\n\r\nfeature importances:\r\nx=1\r\n";

    CHECK(answer_of(text, 0.5, 0.0) == 1.0);
    CHECK(answer_of(text, 0.6, 0.0) == 2.0);
}

static void
leaves_are_numbered_as_in_the_file(void)
{
    struct fixture f = fixture_of_text(numeric);
    const double rows[] = {0.0, 0.0, 1.0, 0.0};
    uint32_t leaves[2] = {9, 9};

    CHECK_INT(f.rc, 0);
    model_leaves(&f.model, rows, 2, f.scratch, leaves);
    CHECK_INT(leaves[0], 0);
    CHECK_INT(leaves[1], 1);
    fixture_close(&f);
}

static void
the_head_tells_names_source_and_objective(void)
{
    char *text = fixture_replaced(bytes_of_text(numeric), "feature_names=x y",
                                  "feature_names=gr\303\266\303\237e a=b");
    struct fixture f = fixture_of_text(text == NULL ? "" : text);

    CHECK_INT(f.rc, 0);
    CHECK(bytes_equal_text(model_feature(&f.model, 0).name, "gr\303\266\303\237e"));
    CHECK(bytes_equal_text(model_feature(&f.model, 1).name, "a=b"));
    CHECK(bytes_equal_text(model_source(&f.model), "lightgbm v4 text"));
    CHECK(bytes_equal_text(model_objective(&f.model), "regression"));
    CHECK_TEXT(model_kind(&f.model), "gbtree");
    fixture_close(&f);
    free(text);
}

static void
binary_models_give_both_probabilities(void)
{
    char *text = fixture_replaced(bytes_of_text(numeric), "objective=regression",
                                  "objective=binary sigmoid:2");
    struct fixture f = fixture_of_text(text == NULL ? "" : text);
    const double row[] = {0.5, 0.0};
    double margin = 0.0;
    double p[2] = {0.0, 0.0};

    CHECK_INT(f.rc, 0);
    CHECK_INT(f.model.probability_count, 2);
    model_margins(&f.model, row, 1, f.scratch, &margin);
    model_probabilities(&f.model, &margin, 1, p);
    CHECK(margin == 1.0);
    CHECK(fabs(p[1] - 1.0 / (1.0 + exp(-2.0))) < 1e-15);
    CHECK(p[0] == 1.0 - p[1]);
    fixture_close(&f);
    free(text);
}

static void
given_names_replace_the_numbered_ones_alone(void)
{
    const struct model_import_options named = {.names = "speed,height"};
    char *text = fixture_replaced(bytes_of_text(numeric), "feature_names=x y",
                                  "feature_names=Column_0 Column_1");
    struct fixture f = fixture_of_bytes(bytes_of_text(text == NULL ? "" : text), &named);
    struct fixture g = fixture_of_text(text == NULL ? "" : text);
    struct fixture h = fixture_of_bytes(bytes_of_text(numeric), &named);

    CHECK_INT(f.rc, 0);
    CHECK(bytes_equal_text(model_feature(&f.model, 1).name, "height"));
    CHECK_INT(g.rc, 0);
    CHECK(bytes_equal_text(model_feature(&g.model, 1).name, "Column_1"));
    CHECK(h.rc < 0);
    CHECK_CONTAINS(h.err.reason, "contradicts");
    fixture_close(&f);
    fixture_close(&g);
    fixture_close(&h);
    free(text);
}

/* ---- categories of pandas -------------------------------------------------------------------- */

static struct fixture
fixture_of_pandas(const char *infos, const char *levels, const struct model_import_options *options)
{
    static const struct model_import_options none;
    char *first = fixture_replaced(bytes_of_text(categories), "none none", infos);
    char *text = first == NULL ? NULL : fixture_replaced(bytes_of_text(first), "null\n", levels);
    struct fixture f = fixture_of_bytes(bytes_of_text(text == NULL ? "" : text),
                                        options == NULL ? &none : options);

    free(first);
    free(text);
    return f;
}

static void
levels_of_pandas_belong_to_the_categorical_features_in_order(void)
{
    struct fixture f =
        fixture_of_pandas("-1:0:1:3 1:0", "[[\"red\", \"green\"], [7, 2.5, true]]", NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature(&f.model, 0).type, MODEL_CATEGORY);
    CHECK_INT(model_feature(&f.model, 0).level_count, 2);
    CHECK_INT(model_feature_level_find(&f.model, 0, bytes_of_text("green")), 1);
    CHECK_INT(model_feature(&f.model, 1).level_count, 3);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("7")), 0);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("2.5")), 1);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("true")), 2);
    fixture_close(&f);
}

static void
levels_that_fit_no_feature_ask_for_a_schema(void)
{
    const struct model_import_options options = {
        .schema = bytes_of_text("{\"features\":[{\"name\":\"x\",\"type\":\"category\","
                                "\"levels\":[\"a\",\"b\"]},{\"name\":\"y\"}]}")};
    struct fixture f = fixture_of_pandas("-1:0:1 [0:1]", "[[\"a\"], [\"b\"]]", NULL);
    struct fixture g = fixture_of_pandas("-1:0:1 [0:1]", "[[\"a\"], [\"b\"]]", &options);

    CHECK(f.rc < 0);
    CHECK_CONTAINS(f.err.reason, "schema file");
    CHECK_INT(g.rc, 0);
    CHECK_INT(model_feature(&g.model, 0).level_count, 2);
    fixture_close(&f);
    fixture_close(&g);
}

/* As in Python, where pandas makes a value that is no category a missing one. */
static void
a_schema_may_welcome_unknown_levels(void)
{
    const struct model_import_options options = {
        .schema =
            bytes_of_text("{\"features\":[{\"name\":\"x\",\"unknown\":true},{\"name\":\"y\"}]}")};
    struct fixture f = fixture_of_pandas("-1:0:1 [0:1]", "[[\"a\", \"b\"]]", &options);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature(&f.model, 0).level_count, 2);
    CHECK(model_feature(&f.model, 0).is_unknown_allowed);
    fixture_close(&f);
}

/* ---- iterations ------------------------------------------------------------------------------ */

static void
a_range_of_iterations_is_kept_and_averaged_over(void)
{
    const char *text =
        "tree\nversion=v4\nnum_class=1\nmax_feature_idx=1\naverage_output\n\n"
        "Tree=0\nnum_leaves=1\nnum_cat=0\nleaf_value=1\n\nTree=1\nnum_leaves=1\nnum_cat=0\n"
        "leaf_value=2\n\nTree=2\nnum_leaves=1\nnum_cat=0\nleaf_value=6\n\nend of trees\n";
    static const struct {
        uint32_t begin, end;
        double answer;
    } cases[] = {{0, 0, 3.0}, {1, 3, 4.0}, {1, 0, 4.0}, {0, 1, 1.0}};
    const double row[] = {0.0, 0.0};

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        const struct model_import_options options = {.iteration_begin = cases[i].begin,
                                                     .iteration_end = cases[i].end};
        struct fixture f = fixture_of_bytes(bytes_of_text(text), &options);
        double margin = 0.0;
        CHECK_INT(f.rc, 0);
        CHECK_TEXT(model_kind(&f.model), "forest");
        model_margins(&f.model, row, 1, f.scratch, &margin);
        CHECK(margin == cases[i].answer);
        fixture_close(&f);
    }
    const struct model_import_options wrong = {.iteration_begin = 0, .iteration_end = 4};
    struct fixture f = fixture_of_bytes(bytes_of_text(text), &wrong);
    CHECK(f.rc < 0);
    CHECK_TEXT(f.err.code, "invalid_iterations");
    fixture_close(&f);
}

static void
a_best_iteration_is_said_to_be_cut_to_already(void)
{
    const struct model_import_options options = {.is_best_iteration = true};
    struct fixture f = fixture_of_bytes(bytes_of_text(numeric), &options);

    CHECK(f.rc < 0);
    CHECK_CONTAINS(f.err.reason, "save_model()");
    fixture_close(&f);
}

/* ---- refusals -------------------------------------------------------------------------------- */

struct refusal {
    const char *base;
    const char *from;
    const char *to;
    const char *code;
    const char *words; /* in place and reason */
};

static void
check_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct refusal *c = &cases[i];
        char *text = fixture_replaced(bytes_of_text(c->base), c->from, c->to);
        char said[600];
        if (text == NULL) {
            TAP_FAIL("the text does not contain %s", c->from);
        }
        struct fixture f = fixture_of_text(text);
        if (f.rc >= 0) {
            TAP_FAIL("%s was accepted", c->to);
        }
        snprintf(said, sizeof(said), "%s: %s", f.err.at, f.err.reason);
        if (strcmp(f.err.code, c->code) != 0 || strstr(said, c->words) == NULL) {
            TAP_FAIL("%s: %s %s; want %s … %s …", c->to, f.err.code, said, c->code, c->words);
        }
        fixture_close(&f);
        free(text);
    }
}

static void
a_wrong_head_is_refused_with_its_line(void)
{
    static const struct refusal cases[] = {
        {numeric, "version=v4", "version=v5", "unknown_version", "line 2: "},
        {numeric, "version=v4\n", "", "unknown_version", "none"},
        {numeric, "objective=regression", "objective=mine", "unknown_objective", "\"mine\""},
        {numeric, "objective=regression", "objective=", "invalid_model", "line 7: "},
        {numeric, "objective=regression", "objective=binary", "invalid_model", "sigmoid:"},
        {numeric, "objective=regression", "objective=binary sigmoid:-1", "invalid_model", "over 0"},
        {numeric, "objective=regression", "objective=binary sigmoid:x", "invalid_model", "number"},
        {numeric, "objective=regression", "objective=multiclass num_class:3", "invalid_model", "3"},
        {numeric, "num_tree_per_iteration=1", "num_tree_per_iteration=0", "invalid_model",
         "outputs"},
        {numeric, "num_tree_per_iteration=1", "num_tree_per_iteration=5000", "invalid_model",
         "outputs"},
        {numeric, "num_tree_per_iteration=1", "num_tree_per_iteration=2", "invalid_model", "trees"},
        {numeric, "max_feature_idx=1", "max_feature_idx=65535", "invalid_model", "features"},
        {numeric, "max_feature_idx=1", "max_feature_idx=-1", "invalid_model", "line 6: "},
        {numeric, "max_feature_idx=1\n", "", "invalid_model", "max_feature_idx"},
        {numeric, "max_feature_idx=1", "max_feature_idx=2", "invalid_model", "feature_names"},
        {numeric, "feature_names=x y", "feature_names=x \377", "invalid_model", "UTF-8"},
        {numeric, "feature_names=x y", "feature_names=x x", "invalid_schema", "differ"},
        {numeric, "feature_infos=none none", "feature_infos=none", "invalid_model", "infos"},
        {numeric, "num_class=1", "num_class=1\nnum_class=1", "invalid_model", "first in line 3"},
        {numeric, "tree_sizes=1", "tree_sizes=1 1", "invalid_model", "cut"},
        {numeric, "pandas_categorical:null", "pandas_categorical:[", "invalid_json", "line "},
        {numeric, "pandas_categorical:null", "pandas_categorical:3", "invalid_model", "schema"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
}

static void
a_wrong_tree_is_refused_with_its_line(void)
{
    static const struct refusal cases[] = {
        {numeric, "num_leaves=2", "num_leaves=3", "invalid_tree", "tree 0, line 13: "},
        {numeric, "num_leaves=2", "num_leaves=0", "invalid_tree", "one leaf"},
        {numeric, "num_leaves=2", "num_leaves=2147483647", "invalid_tree", "num_leaves"},
        {numeric, "num_leaves=2", "num_leaves=99999999999", "invalid_tree", "right kind"},
        {numeric, "num_leaves=2\n", "", "invalid_tree", "num_leaves"},
        {numeric, "num_cat=0\n", "", "invalid_tree", "num_cat"},
        {numeric, "leaf_value=1 2", "leaf_value=1 2 3", "invalid_tree", "3"},
        {numeric, "leaf_value=1 2", "leaf_value=1 two", "invalid_tree", "\"two\""},
        {numeric, "leaf_value=1 2", "leaf_value=1 0x2", "invalid_tree", "\"0x2\""},
        {numeric, "leaf_value=1 2", "leaf_value=1 inf", "invalid_tree", "node 2: "},
        {numeric, "threshold=0.5", "threshold=nan", "invalid_tree", "node 0: "},
        {numeric, "threshold=0.5", "threshold=", "invalid_tree", "0 numbers, there should be 1"},
        {numeric, "threshold=0.5\n", "", "invalid_tree", "threshold"},
        {numeric, "split_feature=0", "split_feature=2", "invalid_tree", "features"},
        {numeric, "split_feature=0", "split_feature=-1", "invalid_tree", "features"},
        {numeric, "decision_type=2", "decision_type=12", "invalid_tree", "0 to 11"},
        {numeric, "left_child=-1", "left_child=0", "invalid_tree", "twice"},
        {numeric, "left_child=-1", "left_child=1", "invalid_tree", "neither"},
        {numeric, "left_child=-1", "left_child=-3", "invalid_tree", "neither"},
        {numeric, "left_child=-1", "left_child=-2", "invalid_tree", "twice"},
        {numeric, "leaf_count=30 40", "leaf_count=30 -40", "invalid_tree", "rows"},
        {numeric, "leaf_count=30 40", "leaf_count=30", "invalid_tree", "leaf_count"},
        {numeric, "is_linear=0", "is_linear=2", "invalid_tree", "is_linear"},
        {numeric, "is_linear=0", "is_linear=1", "invalid_tree", "leaf_const"},
        {numeric, "left_child=-1", "left_child=-1\nleft_child=-1", "invalid_tree", "again"},
        {numeric, "\n\nend of trees\n\nfeature_importances:\nx=1\n\nparameters:\n", "",
         "invalid_tree", "cut"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
}

static void
wrong_sets_and_terms_are_refused(void)
{
    static const char linear[] =
        STUMP("0", "threshold=0.5\ndecision_type=2\nleaf_const=1 2\nnum_features=1 1\n"
                   "leaf_features=0 1\nleaf_coeff=3 4\n");
    char *on = fixture_replaced(bytes_of_text(linear), "is_linear=0", "is_linear=1");
    CHECK(on != NULL);
    const struct refusal cases[] = {
        {categories, "threshold=0\n", "threshold=1\n", "invalid_tree", "num_cat"},
        {categories, "threshold=0\n", "threshold=0.5\n", "invalid_tree", "num_cat"},
        {categories, "threshold=0\n", "threshold=-1\n", "invalid_tree", "num_cat"},
        {categories, "threshold=0\n", "threshold=nan\n", "invalid_tree", "num_cat"},
        {categories, "cat_boundaries=0 2", "cat_boundaries=0 3", "invalid_tree", "rise"},
        {categories, "cat_boundaries=0 2", "cat_boundaries=2 0", "invalid_tree", "rise"},
        {categories, "cat_boundaries=0 2", "cat_boundaries=-1 2", "invalid_tree", "rise"},
        {categories, "cat_boundaries=0 2\n", "", "invalid_tree", "cat_boundaries"},
        {categories, "cat_threshold=10 2", "cat_threshold=10 4294967296", "invalid_tree", "32"},
        {categories, "cat_threshold=10 2", "cat_threshold=10 -2", "invalid_tree", "32"},
        {categories, "num_cat=1", "num_cat=2147483647", "invalid_tree", "cat_boundaries"},
        {categories, "num_cat=1", "num_cat=0", "invalid_tree", "num_cat"},
        {on, "num_features=1 1", "num_features=1 2", "invalid_tree", "fit"},
        {on, "num_features=1 1", "num_features=1 0", "invalid_tree", "counts"},
        {on, "num_features=1 1", "num_features=3 -1", "invalid_tree", "fit"},
        {on, "leaf_features=0 1", "leaf_features=0 2", "invalid_tree", "features"},
        {on, "leaf_coeff=3 4", "leaf_coeff=3", "invalid_tree", "leaf_coeff"},
        {on, "leaf_coeff=3 4", "leaf_coeff=3 inf", "invalid_tree", "finite"},
        {on, "leaf_const=1 2", "leaf_const=1 nan", "invalid_tree", "finite"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
    free(on);
}

/* Every cut inside the trees is noticed; after them there is nothing that an answer needs. */
static void
a_cut_file_is_refused(void)
{
    size_t trees_end = (size_t)(strstr(numeric, "end of trees") - numeric);
    static const struct model_import_options none;

    for (size_t len = 1; len < trees_end; len++) {
        struct fixture f = fixture_of_bytes(bytes_of(numeric, len), &none);
        if (f.rc >= 0) {
            TAP_FAIL("cut to %zu bytes it was accepted", len);
        }
        fixture_close(&f);
    }
}

static void
an_old_forest_of_probabilities_is_refused(void)
{
    static const struct refusal cases[] = {
        {"tree\nversion=v2\nnum_class=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\n"
         "average_output\n\nTree=0\nnum_leaves=1\nnum_cat=0\nleaf_value=1\n\nend of trees\n",
         "num_cat", "num_cat", "old_forest", "2.2.3"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
}

int
main(void)
{
    TAP_RUN(a_value_on_the_threshold_goes_left);
    TAP_RUN(without_a_missing_type_nan_is_zero);
    TAP_RUN(a_value_next_to_zero_is_zero);
    TAP_RUN(of_missing_type_zero_zeros_and_nan_take_the_default_side);
    TAP_RUN(of_missing_type_nan_only_nan_takes_the_default_side);
    TAP_RUN(without_decision_types_all_splits_are_plain);
    TAP_RUN(under_an_infinite_threshold_every_number_goes_left);
    TAP_RUN(members_of_a_set_go_left_and_all_else_right);
    TAP_RUN(a_linear_leaf_is_a_function_of_the_row_unless_a_feature_is_missing);
    TAP_RUN(a_tree_of_one_leaf_needs_no_more_than_its_value);
    TAP_RUN(lines_may_come_in_any_order_and_end_as_on_windows);
    TAP_RUN(leaves_are_numbered_as_in_the_file);
    TAP_RUN(the_head_tells_names_source_and_objective);
    TAP_RUN(binary_models_give_both_probabilities);
    TAP_RUN(given_names_replace_the_numbered_ones_alone);
    TAP_RUN(levels_of_pandas_belong_to_the_categorical_features_in_order);
    TAP_RUN(levels_that_fit_no_feature_ask_for_a_schema);
    TAP_RUN(a_schema_may_welcome_unknown_levels);
    TAP_RUN(a_range_of_iterations_is_kept_and_averaged_over);
    TAP_RUN(a_best_iteration_is_said_to_be_cut_to_already);
    TAP_RUN(a_wrong_head_is_refused_with_its_line);
    TAP_RUN(a_wrong_tree_is_refused_with_its_line);
    TAP_RUN(wrong_sets_and_terms_are_refused);
    TAP_RUN(a_cut_file_is_refused);
    TAP_RUN(an_old_forest_of_probabilities_is_refused);
    return tap_done();
}
