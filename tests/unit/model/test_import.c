/* SPDX-License-Identifier: MIT */
/* test_import.c - what XGBoost files become: small files written by hand, results worked out by
 * hand. */
#include "fixture.h"

static void
a_value_below_the_threshold_goes_left_and_the_threshold_itself_right(void)
{
    struct fixture f = fixture_of_file("stump.json", NULL);
    const float below[] = {nextafterf(0.5f, 0.0f), 0.0f};
    const float at[] = {0.5f, 0.0f};

    CHECK_INT(f.rc, 0);
    CHECK(fixture_margin(&f, below) == 1.0f);
    CHECK(fixture_margin(&f, at) == 2.0f);
    fixture_close(&f);
}

static void
a_missing_value_goes_to_the_default_side_and_an_infinite_one_does_not(void)
{
    struct fixture f = fixture_of_file("two-trees.json", NULL);
    const float missing[] = {NAN, -NAN};
    const float most[] = {INFINITY, INFINITY};
    const float least[] = {-INFINITY, -INFINITY};

    CHECK_INT(f.rc, 0);
    CHECK(fixture_margin(&f, missing) == 2.0f + 0.25f);
    CHECK(fixture_margin(&f, most) == 2.0f + 0.75f);
    CHECK(fixture_margin(&f, least) == 1.0f + 0.25f);
    fixture_close(&f);
}

static void
names_and_types_come_from_the_file(void)
{
    struct fixture f = fixture_of_file("two-trees.json", NULL);

    CHECK_INT(f.rc, 0);
    CHECK(bytes_equal_text(model_feature(&f.model, 0).name, "down"));
    CHECK_INT(model_feature(&f.model, 1).type, MODEL_INTEGER);
    CHECK_INT(model_feature_find(&f.model, bytes_of_text("togo"), 0), 1);
    CHECK_INT(model_feature_find(&f.model, bytes_of_text("other"), 0), -1);
    CHECK(bytes_equal_text(model_source(&f.model), "xgboost 1.7.4 json"));
    CHECK(bytes_equal_text(model_objective(&f.model), "binary:logistic"));
    CHECK_INT(f.model.probability_count, 2);
    fixture_close(&f);
}

static void
dart_weights_count_however_the_version_writes_them(void)
{
    static const char *const files[] = {"dart-old.json", "dart-flat.json", "dart-new.json"};
    const float row[] = {0.0f, 0.0f};
    float want = 0.0f;

    want += 1.0f * 0.3f;
    want += 0.25f * 0.7f;
    for (size_t i = 0; i < AUGURY_COUNT(files); i++) {
        struct fixture f = fixture_of_file(files[i], NULL);
        CHECK_INT(f.rc, 0);
        CHECK_TEXT(model_kind(&f.model), "dart");
        CHECK(fixture_margin(&f, row) == want);
        fixture_close(&f);
    }
}

static void
a_linear_model_adds_bias_and_weights_and_nothing_for_a_missing_value(void)
{
    struct fixture f = fixture_of_file("gblinear.json", NULL);
    const float rows[] = {2.0f, 4.0f, NAN, 4.0f};
    float margins[4];

    CHECK_INT(f.rc, 0);
    CHECK_TEXT(model_kind(&f.model), "gblinear");
    CHECK_INT(f.model.tree_count, 0);
    model_margins(&f.model, rows, 2, f.scratch, margins);
    /* weights 0.5 -0.25 | 2 4 | bias 0.125 1, base score 1 */
    CHECK(margins[0] == 1.125f + 1.0f + 8.0f);
    CHECK(margins[1] == 2.0f - 0.5f + 16.0f);
    CHECK(margins[2] == 1.125f + 8.0f);
    CHECK(margins[3] == 2.0f + 16.0f);
    fixture_close(&f);
}

/* Root: {1, 3, 40} right; its left child: {100000} right. 1, 2 and 3 are the leaves. */
static void
members_of_a_category_set_go_right_and_everything_else_left(void)
{
    static const struct {
        float team;
        float want;
    } cases[] = {
        {1.0f, 2.0f},        {3.9f, 2.0f},  {40.0f, 2.0f},    {0.0f, 1.0f},      {-0.0f, 1.0f},
        {2.0f, 1.0f},        {41.0f, 1.0f}, {1000.0f, 1.0f},  {-1.0f, 1.0f},     {-0.5f, 1.0f},
        {16777216.0f, 1.0f}, {3e9f, 1.0f},  {INFINITY, 1.0f}, {-INFINITY, 1.0f}, {1e-45f, 1.0f},
    };
    struct fixture f = fixture_of_file("categorical.json", NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature(&f.model, 0).type, MODEL_CATEGORY);
    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        const float row[] = {cases[i].team, 0.0f};
        float margin = fixture_margin(&f, row);
        if (margin != cases[i].want) {
            TAP_FAIL("category %g gives %g, want %g", (double)cases[i].team, (double)margin,
                     (double)cases[i].want);
        }
    }
    fixture_close(&f);
}

static void
a_missing_category_goes_to_the_default_side(void)
{
    struct fixture f = fixture_of_file("categorical.json", NULL);
    const float row[] = {NAN, 0.0f};
    uint32_t leaf = 0;

    CHECK_INT(f.rc, 0);
    /* default right at the root, whose right child has the set {100000} and default left */
    CHECK(fixture_margin(&f, row) == 2.0f);
    model_leaves(&f.model, row, 1, f.scratch, &leaf);
    CHECK_INT(leaf, 3);
    fixture_close(&f);
}

static void
a_sparse_category_set_is_searched_like_a_dense_one(void)
{
    struct fixture f = fixture_of_file("sparse-categories.json", NULL);
    static const float members[] = {7, 70000, 9000000};
    static const float others[] = {6, 8, 69999, 70001, 8999999, 9000001};

    CHECK_INT(f.rc, 0);
    CHECK(f.model.blob_bytes < 10000);
    for (size_t i = 0; i < AUGURY_COUNT(members); i++) {
        CHECK(fixture_margin(&f, &members[i]) == 2.0f);
    }
    for (size_t i = 0; i < AUGURY_COUNT(others); i++) {
        CHECK(fixture_margin(&f, &others[i]) == 1.0f);
    }
    fixture_close(&f);
}

static void
named_categories_of_newer_files_become_levels(void)
{
    struct fixture f = fixture_of_file("categories-named.json", NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature(&f.model, 0).level_count, 3);
    CHECK(bytes_equal_text(model_feature_level(&f.model, 0, 0), "AB"));
    CHECK(bytes_equal_text(model_feature_level(&f.model, 0, 1), "\xc3\xa9"
                                                                "C"));
    CHECK(bytes_equal_text(model_feature_level(&f.model, 0, 2), ""));
    CHECK_INT(model_feature_level_find(&f.model, 0, bytes_of_text("AB")), 0);
    CHECK_INT(model_feature_level_find(&f.model, 0,
                                       bytes_of_text("\xc3\xa9"
                                                     "C")),
              1);
    CHECK_INT(model_feature_level_find(&f.model, 0, bytes_of_text("A")), -1);
    CHECK_INT(model_feature(&f.model, 1).level_count, 0);
    fixture_close(&f);
}

/* Type 9 to 16: 8 to 64 bits, signed and unsigned in turn; the unsigned ones are written as the
 * signed numbers of the same bits. */
static void
integer_dictionaries_become_levels_and_unsigned_ones_keep_their_numbers(void)
{
    static const struct {
        const char *enc;
        const char *levels[2];
    } cases[] = {
        {"{\"type\":9,\"values\":[-3,40]}", {"-3", "40"}},
        {"{\"type\":10,\"values\":[200,-1]}", {"200", "255"}},
        {"{\"type\":12,\"values\":[7,-2]}", {"7", "65534"}},
        {"{\"type\":13,\"values\":[7,-2]}", {"7", "-2"}},
        {"{\"type\":14,\"values\":[7,-2]}", {"7", "4294967294"}},
        {"{\"type\":16,\"values\":[9223372036854775807,-1]}",
         {"9223372036854775807", "18446744073709551615"}},
    };
    struct bytes good = fixture_read("categories-named.json");
    const char *at = memmem(good.data, good.len, "{\"offsets\":[0,2,", 16);

    CHECK(at != NULL);
    size_t before = (size_t)(at - (const char *)good.data);
    const char *after = strchr(at, '}') + 1;
    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        buf_put(&text, good.data, before);
        buf_put_text(&text, cases[i].enc);
        buf_put(&text, after, good.len - (size_t)(after - (const char *)good.data));
        struct fixture f = fixture_of_bytes(buf_view(&text), NULL);
        CHECK_INT(f.rc, 0);
        CHECK_INT(model_feature(&f.model, 0).level_count, 2);
        for (uint32_t k = 0; k < 2; k++) {
            CHECK_INT(model_feature_level_find(&f.model, 0, bytes_of_text(cases[i].levels[k])), k);
        }
        fixture_close(&f);
        buf_fini(&text);
    }
    free((void *)(uintptr_t)good.data);
}

static void
nodes_that_pruning_left_behind_do_no_harm(void)
{
    struct fixture f = fixture_of_file("deleted-nodes.json", NULL);
    const float left[] = {0.0f, 0.0f};
    const float right[] = {1.0f, 0.0f};
    uint32_t leaves[2];

    CHECK_INT(f.rc, 0);
    CHECK(fixture_margin(&f, left) == 1.0f);
    CHECK(fixture_margin(&f, right) == 2.0f);
    model_leaves(&f.model, left, 1, f.scratch, &leaves[0]);
    model_leaves(&f.model, right, 1, f.scratch, &leaves[1]);
    CHECK_INT(leaves[0], 3);
    CHECK_INT(leaves[1], 4);
    fixture_close(&f);
}

static void
files_of_version_1_0_lack_what_came_later_and_write_booleans(void)
{
    struct fixture f = fixture_of_file("old-booleans.json", NULL);
    const float missing[] = {NAN, NAN};

    CHECK_INT(f.rc, 0);
    CHECK(fixture_margin(&f, missing) == 1.0f);
    CHECK(bytes_equal_text(model_source(&f.model), "xgboost 1.0.2 json"));
    fixture_close(&f);
}

static void
a_list_of_base_scores_gives_each_output_its_own(void)
{
    struct fixture f = fixture_of_file("list-base-score.json", NULL);
    const float row[] = {0.0f, 0.0f};
    float margins[3];
    float class = -1.0f;

    CHECK_INT(f.rc, 0);
    CHECK_INT(f.model.prediction_count, 1);
    double base[3];
    model_base_margins(&f.model, base);
    CHECK(base[0] == (double)0.49f && base[1] == (double)0.21f && base[2] == (double)-0.3f);
    model_margins(&f.model, row, 1, f.scratch, margins);
    CHECK(margins[0] == 0.49f + 0.0f + 3.0f);
    CHECK(margins[2] == -0.3f + 2.0f + 5.0f);
    model_predictions(&f.model, margins, 1, &class);
    CHECK(class == 2.0f);
    fixture_close(&f);
}

static void
the_best_iteration_is_used_when_asked_for_and_counts_itself(void)
{
    const struct model_import_options best = {.is_best_iteration = true};
    struct fixture all = fixture_of_file("best-iteration.json", NULL);
    struct fixture f = fixture_of_file("best-iteration.json", &best);
    struct fixture none = fixture_of_file("stump.json", &best);
    const float row[] = {0.0f, 0.0f};

    CHECK_INT(f.rc, 0);
    CHECK_INT(all.rc, 0);
    CHECK(fixture_margin(&all, row) == 1111.0f);
    CHECK(fixture_margin(&f, row) == 11.0f);
    CHECK_INT(f.model.tree_count, 2);
    CHECK_INT(none.rc, AUGURY_ERR_INVALID);
    CHECK_CONTAINS(none.err.reason, "no best iteration");
    fixture_close(&all);
    fixture_close(&f);
    fixture_close(&none);
}

/* Both margins of a model of two. */
static void
check_two_margins(const struct fixture *f, float x0, float x1, float first, float second)
{
    const float row[] = {x0, x1};
    float margins[2] = {NAN, NAN};

    CHECK_INT(f->rc, 0);
    CHECK_INT(f->model.output_count, 2);
    model_margins(&f->model, row, 1, f->scratch, margins);
    CHECK(margins[0] == first);
    CHECK(margins[1] == second);
}

static void
leaves_of_several_values_add_to_every_output_however_the_version_writes_them(void)
{
    static const char *const files[] = {"vector-leaves.json", "vector-leaves-listed.json"};

    for (size_t i = 0; i < AUGURY_COUNT(files); i++) {
        struct fixture f = fixture_of_file(files[i], NULL);
        check_two_margins(&f, 0.0f, 0.0f, 1.0f + 1.0f + 0.5f, -2.0f + 10.0f + 0.25f);
        check_two_margins(&f, 0.5f, 1.0f, 1.0f + 2.0f + 0.5f, -2.0f + 20.0f + 0.25f);
        check_two_margins(&f, NAN, 2.0f, 1.0f + 3.0f + 0.5f, -2.0f + 30.0f + 0.25f);
        check_two_margins(&f, 1.0f, NAN, 1.0f + 2.0f + 0.5f, -2.0f + 20.0f + 0.25f);
        fixture_close(&f);
    }
}

static void
dart_weighs_each_value_of_a_leaf(void)
{
    struct fixture f = fixture_of_file("vector-leaves-dart.json", NULL);

    check_two_margins(&f, 0.0f, 0.0f, 1.0f + 1.0f * 0.5f + 0.5f * 0.1f,
                      -2.0f + 10.0f * 0.5f + 0.25f * 0.1f);
    fixture_close(&f);
}

static void
quantiles_are_sorted_in_files_of_versions_that_sort_them(void)
{
    static const struct {
        const char *version;
        float want[3];
    } cases[] = {{"\"version\":[3,4,0]", {-0.25f, 0.5f, 0.75f}},
                 {"\"version\":[4,0,0]", {-0.25f, 0.5f, 0.75f}},
                 {"\"version\":[3,3,0]", {0.5f, -0.25f, 0.75f}},
                 {"\"version\":[2,9,0]", {0.5f, -0.25f, 0.75f}}};
    struct bytes file = fixture_read("quantiles.json");

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        const float row[] = {0.0f, 0.0f};
        float margins[3];
        float predictions[3];
        char *at = memmem(file.data, file.len, "\"version\":[", 11);
        CHECK(at != NULL);
        memcpy(at, cases[i].version, strlen(cases[i].version));
        struct fixture f = fixture_of_bytes(file, NULL);
        CHECK_INT(f.rc, 0);
        model_margins(&f.model, row, 1, f.scratch, margins);
        model_predictions(&f.model, margins, 1, predictions);
        CHECK(margins[0] == 0.5f && margins[1] == -0.25f && margins[2] == 0.75f);
        CHECK(memcmp(predictions, cases[i].want, sizeof(predictions)) == 0);
        fixture_close(&f);
    }
    free((void *)(uintptr_t)file.data);
}

/* The margin of the first output of a file cut to iterations; NAN when it was refused. */
static float
margin_of_range(const char *file, uint32_t begin, uint32_t end)
{
    const struct model_import_options options = {.iteration_begin = begin, .iteration_end = end};
    struct fixture f = fixture_of_file(file, &options);
    const float row[] = {0.0f, 0.0f};
    float margins[3] = {NAN, NAN, NAN};

    if (f.rc == 0) {
        model_margins(&f.model, row, 1, f.scratch, margins);
    } else {
        printf("# %s %s: %s\n", f.err.code, f.err.at, f.err.reason);
    }
    fixture_close(&f);
    return margins[0];
}

static void
a_range_of_iterations_keeps_their_trees_alone(void)
{
    CHECK(margin_of_range("best-iteration.json", 1, 3) == 110.0f);
    CHECK(margin_of_range("best-iteration.json", 0, 1) == 1.0f);
    CHECK(margin_of_range("best-iteration.json", 2, 0) == 1100.0f);
    CHECK(margin_of_range("best-iteration.json", 0, 0) == 1111.0f);
    CHECK(margin_of_range("list-base-score.json", 0, 1) == 0.49f + 0.0f);
    CHECK(margin_of_range("list-base-score.json", 1, 2) == 0.49f + 3.0f);
}

static void
iterations_that_are_not_there_are_refused(void)
{
    static const struct {
        const char *file;
        struct model_import_options options;
        const char *words;
    } cases[] = {
        {"best-iteration.json", {.iteration_end = 5}, "the file has 4"},
        {"best-iteration.json", {.iteration_begin = 4}, "no tree"},
        {"best-iteration.json", {.iteration_begin = 3, .iteration_end = 3}, "are none"},
        {"list-base-score.json", {.iteration_end = 3}, "the file has 2"},
        {"best-iteration.json", {.iteration_end = 3, .is_best_iteration = true}, "contradict"},
        {"gblinear.json", {.iteration_end = 1}, "keeps no iterations"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture f = fixture_of_file(cases[i].file, &cases[i].options);
        CHECK_INT(f.rc, AUGURY_ERR_INVALID);
        CHECK_TEXT(f.err.code, "invalid_iterations");
        CHECK_CONTAINS(f.err.reason, cases[i].words);
        fixture_close(&f);
    }
}

static void
a_range_is_two_numbers_around_a_colon_of_which_one_may_be_absent(void)
{
    static const char *const wrong[] = {"",    ":",     "3",    "3:3",  "4:3",
                                        "a:3", "1:2:3", "-1:3", " 1:2", "1:99999999999"};
    uint32_t begin = 9;
    uint32_t end = 9;

    CHECK_INT(model_iterations_parse(bytes_of_text("2:30"), &begin, &end), 0);
    CHECK(begin == 2 && end == 30);
    CHECK_INT(model_iterations_parse(bytes_of_text("7:"), &begin, &end), 0);
    CHECK(begin == 7 && end == 0);
    CHECK_INT(model_iterations_parse(bytes_of_text(":5"), &begin, &end), 0);
    CHECK(begin == 0 && end == 5);
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        CHECK_INT(model_iterations_parse(bytes_of_text(wrong[i]), &begin, &end),
                  AUGURY_ERR_INVALID);
    }
}

static void
the_same_file_gives_the_same_bytes(void)
{
    struct fixture a = fixture_of_file("categorical.json", NULL);
    struct fixture b = fixture_of_file("categorical.json", NULL);

    CHECK_INT(a.rc, 0);
    CHECK_INT(b.rc, 0);
    CHECK(bytes_equal(buf_view(&a.blob), buf_view(&b.blob)));
    CHECK(digest_equal(a.model.content, b.model.content));
    fixture_close(&a);
    fixture_close(&b);
}

static void
json_and_ubjson_of_one_model_answer_the_same(void)
{
    struct fixture json = fixture_of_file("../nfl-wp/model.json", NULL);
    struct fixture ubjson = fixture_of_file("../nfl-wp/model.ubj", NULL);
    float row[11];

    CHECK_INT(json.rc, 0);
    CHECK_INT(ubjson.rc, 0);
    CHECK(bytes_equal_text(model_source(&ubjson.model), "xgboost 1.7.4 ubjson"));
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < 11; k++) {
            row[k] = (i + k) % 13 == 0 ? NAN : (float)((i * 37 + k * 11) % 97);
        }
        CHECK(fixture_margin(&json, row) == fixture_margin(&ubjson, row));
    }
    fixture_close(&json);
    fixture_close(&ubjson);
}

int
main(void)
{
    TAP_RUN(a_value_below_the_threshold_goes_left_and_the_threshold_itself_right);
    TAP_RUN(a_missing_value_goes_to_the_default_side_and_an_infinite_one_does_not);
    TAP_RUN(names_and_types_come_from_the_file);
    TAP_RUN(dart_weights_count_however_the_version_writes_them);
    TAP_RUN(a_linear_model_adds_bias_and_weights_and_nothing_for_a_missing_value);
    TAP_RUN(members_of_a_category_set_go_right_and_everything_else_left);
    TAP_RUN(a_missing_category_goes_to_the_default_side);
    TAP_RUN(a_sparse_category_set_is_searched_like_a_dense_one);
    TAP_RUN(named_categories_of_newer_files_become_levels);
    TAP_RUN(integer_dictionaries_become_levels_and_unsigned_ones_keep_their_numbers);
    TAP_RUN(nodes_that_pruning_left_behind_do_no_harm);
    TAP_RUN(files_of_version_1_0_lack_what_came_later_and_write_booleans);
    TAP_RUN(a_list_of_base_scores_gives_each_output_its_own);
    TAP_RUN(the_best_iteration_is_used_when_asked_for_and_counts_itself);
    TAP_RUN(leaves_of_several_values_add_to_every_output_however_the_version_writes_them);
    TAP_RUN(dart_weighs_each_value_of_a_leaf);
    TAP_RUN(quantiles_are_sorted_in_files_of_versions_that_sort_them);
    TAP_RUN(a_range_of_iterations_keeps_their_trees_alone);
    TAP_RUN(iterations_that_are_not_there_are_refused);
    TAP_RUN(a_range_is_two_numbers_around_a_colon_of_which_one_may_be_absent);
    TAP_RUN(the_same_file_gives_the_same_bytes);
    TAP_RUN(json_and_ubjson_of_one_model_answer_the_same);
    return tap_done();
}
