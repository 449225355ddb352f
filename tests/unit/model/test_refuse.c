/* SPDX-License-Identifier: MIT */
/*
 * test_refuse.c - what an import refuses, with which code and which words. Each case is a good file
 * with one text replaced, so that only the named thing is wrong.
 */
#include "fixture.h"

struct refusal {
    const char *file;
    const char *from; /* the first occurrence is replaced */
    const char *to;
    const char *code;
    const char *words; /* in place and reason */
};

static void
check_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct refusal *c = &cases[i];
        struct bytes good = fixture_read(c->file);
        char *text = fixture_replaced(good, c->from, c->to);
        char said[600];
        if (text == NULL) {
            TAP_FAIL("%s does not contain %s", c->file, c->from);
        }
        struct fixture f = fixture_of_text(text);
        if (f.rc >= 0) {
            TAP_FAIL("%s with %s was accepted", c->file, c->to);
        }
        snprintf(said, sizeof(said), "%s: %s", f.err.at, f.err.reason);
        if (strcmp(f.err.code, c->code) != 0 || strstr(said, c->words) == NULL) {
            TAP_FAIL("%s with %s: %s %s; want %s … %s …", c->file, c->to, f.err.code, said, c->code,
                     c->words);
        }
        fixture_close(&f);
        free(text);
        free((void *)(uintptr_t)good.data);
    }
}

static void
trees_that_are_no_trees_are_refused_with_their_node(void)
{
    static const struct refusal cases[] = {
        {"stump.json", "\"left_children\":[1,", "\"left_children\":[0,", "invalid_tree",
         "tree 0, node 0: node 0 is reached twice"},
        {"stump.json", "\"left_children\":[1,", "\"left_children\":[2,", "invalid_tree",
         "node 2 is reached twice"},
        {"stump.json", "\"left_children\":[1,", "\"left_children\":[3,", "invalid_tree",
         "child 3 is not one of the tree's 3 nodes"},
        {"stump.json", "\"left_children\":[1,", "\"left_children\":[-2,", "invalid_tree",
         "child -2"},
        {"stump.json", "\"right_children\":[2,", "\"right_children\":[-1,", "invalid_tree",
         "child -1"},
        {"stump.json", "\"right_children\":[2,", "\"right_children\":[4294967298,", "invalid_tree",
         "right_children"},
        {"stump.json", "\"left_children\":[1,", "\"left_children\":[1.5,", "invalid_tree",
         "left_children"},
        {"stump.json", "\"split_indices\":[0,", "\"split_indices\":[2,", "invalid_tree",
         "tree 0, node 0: splits on feature 2, but the model has features 0 to 1"},
        {"stump.json", "\"split_conditions\":[0.5,1.0", "\"split_conditions\":[0.5,NaN",
         "invalid_tree", "tree 0, node 1: the leaf's value is not finite"},
        {"stump.json", "\"split_conditions\":[0.5,1.0", "\"split_conditions\":[0.5,-Infinity",
         "invalid_tree", "not finite"},
        {"stump.json", "\"split_conditions\":[0.5", "\"split_conditions\":[NaN", "invalid_tree",
         "tree 0, node 0: its threshold is not a number"},
        {"stump.json", "\"split_conditions\":[0.5", "\"split_conditions\":[\"a\"", "invalid_tree",
         "split_conditions"},
        {"stump.json", "\"split_conditions\":[0.5,", "\"split_conditions\":[", "invalid_tree",
         "\"split_conditions\" has 2 entries, but the tree has 3 nodes"},
        {"stump.json", "\"default_left\":[0,", "\"default_left\":[2,", "invalid_tree",
         "default_left"},
        {"stump.json", "\"left_children\":[1,-1,-1]", "\"left_children\":[]", "invalid_tree",
         "even a constant tree has one node"},
        {"stump.json", "\"sum_hessian\":[1.0,", "\"sum_hessian\":[", "invalid_tree",
         "\"sum_hessian\" has 2 entries"},
        {"two-trees.json", "\"id\":1", "\"id\":7", "invalid_tree", "tree 1"},
        {"categorical.json", "\"categories\":[1,", "\"categories\":[-1,", "invalid_tree",
         "not a code"},
        {"categorical.json", "\"categories\":[1,", "\"categories\":[16777216,", "invalid_tree",
         "not a code"},
        {"categorical.json", "\"categories_nodes\":[0,2]", "\"categories_nodes\":[2,0]",
         "invalid_tree", "ascending"},
        {"categorical.json", "\"categories_nodes\":[0,2]", "\"categories_nodes\":[0,3]",
         "invalid_tree", "without its categories"},
        {"categorical.json", "\"categories_nodes\":[0,2]", "\"categories_nodes\":[0,9]",
         "invalid_tree", "category segment 1"},
        {"categorical.json", "\"categories_sizes\":[3,1]", "\"categories_sizes\":[4,1]",
         "invalid_tree", "overlap"},
        {"categorical.json", "\"categories_segments\":[0,3]", "\"categories_segments\":[0,4]",
         "invalid_tree", "category segment 1"},
        {"categorical.json", "\"categories_sizes\":[3,1]", "\"categories_sizes\":[3]",
         "invalid_tree", "equally long"},
        {"categorical.json", "[\"c\",", "[\"float\",", "invalid_schema", "not category"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
}

static void
documents_that_contradict_themselves_are_refused(void)
{
    static const struct refusal cases[] = {
        {"stump.json", "\"num_trees\":\"1\"", "\"num_trees\":\"2\"", "invalid_model", "num_trees"},
        {"stump.json", "\"num_trees\":\"1\"", "\"num_trees\":\"x\"", "invalid_model", "digits"},
        {"stump.json", "\"tree_info\":[0]", "\"tree_info\":[1]", "invalid_model",
         "not one of the model's 1 outputs"},
        {"stump.json", "\"tree_info\":[0]", "\"tree_info\":[]", "invalid_model", "tree_info"},
        {"stump.json", "\"num_class\":\"0\",\"num_feature\":\"2\"",
         "\"num_class\":\"0\",\"num_feature\":\"0\"", "invalid_model", "1 to 65535 features"},
        {"stump.json", "\"num_class\":\"0\",\"num_feature\":\"2\"",
         "\"num_class\":\"0\",\"num_feature\":\"70000\"", "invalid_model", "1 to 65535 features"},
        {"stump.json", "\"num_class\":\"0\"", "\"num_class\":\"5000\"", "invalid_model",
         "4096 outputs"},
        {"stump.json", "\"version\":[1,7,4]", "\"version\":[-1,7,4]", "invalid_model", "version"},
        {"stump.json", "\"learner\"", "\"learned\"", "invalid_model", "save_model()"},
        {"stump.json", "\"trees\"", "\"treez\"", "missing_member", "trees"},
        {"stump.json", "\"objective\"", "\"objectiv\"", "missing_member", "objective"},
        {"stump.json", "\"name\":\"gbtree\"", "\"name\":\"forest\"", "unknown_booster", "forest"},
        {"stump.json", "reg:squarederror", "reg:expectileerror", "unknown_objective",
         "reg:expectileerror"},
        {"vector-leaves.json", "\"size_leaf_vector\":\"2\"", "\"size_leaf_vector\":\"3\"",
         "invalid_tree", "leaves of 3 values in a model of 2 outputs"},
        {"vector-leaves.json", "\"size_leaf_vector\":\"2\"", "\"size_leaf_vector\":\"1\"",
         "invalid_model", "the leaves of some trees"},
        {"vector-leaves.json", "\"size_leaf_vector\":\"2\"", "\"size_leaf_vector\":\"x\"",
         "invalid_tree", "size_leaf_vector"},
        {"vector-leaves.json", "\"base_weights\":[9.0,", "\"base_weights\":[", "invalid_tree",
         "9 entries, which are no rows of 2 for 5 nodes"},
        {"vector-leaves-listed.json", "\"leaf_weights\":[2.0,20.0,", "\"leaf_weights\":[",
         "invalid_tree", "vector 2 is not one of the tree's 2"},
        {"two-trees.json", "[\"down\",\"togo\"]", "[\"down\"]", "invalid_model", "feature_names"},
        {"two-trees.json", "[\"down\",\"togo\"]", "[\"down\",\"down\"]", "invalid_schema",
         "both named"},
        {"two-trees.json", "[\"float\",\"int\"]", "[\"float\",\"text\"]", "invalid_model",
         "\"text\" is not one of"},
        {"dart-old.json", "\"weight_drop\":[0.3,0.7]", "\"weight_drop\":[0.3]", "invalid_model",
         "weight_drop"},
        {"dart-old.json", "\"weight_drop\":[0.3,0.7]", "\"weight_drop\":[0.3,Infinity]",
         "invalid_model", "weight_drop"},
        {"gblinear.json", "\"weights\":[0.5,", "\"weights\":[", "invalid_model", "weights"},
        {"gblinear.json", "\"weights\":[0.5,", "\"weights\":[NaN,", "invalid_model", "weight 0"},
        {"categories-named.json", "\"offsets\":[0,2,", "\"offsets\":[0,9,", "invalid_model",
         "offsets"},
        {"categories-named.json", "\"offsets\":[0,2,", "\"offsets\":[3,2,", "invalid_model",
         "offsets"},
        {"categories-named.json", "[65,66,-61,", "[65,66,-60,-61,", "invalid_model", "UTF-8"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
}

static void
base_scores_outside_their_objective_are_refused(void)
{
    static const struct refusal cases[] = {
        {"two-trees.json", "\"5E-1\"", "\"1E0\"", "invalid_model", "binary:logistic"},
        {"two-trees.json", "\"5E-1\"", "\"-1\"", "invalid_model", "binary:logistic"},
        {"two-trees.json", "\"5E-1\"", "\"\"", "invalid_model", "base_score"},
        {"two-trees.json", "\"5E-1\"", "\"0.5x\"", "invalid_model", "base_score"},
        {"two-trees.json", "\"5E-1\"", "\"nan\"", "invalid_model", "base_score"},
        {"two-trees.json", "\"5E-1\"", "\"[]\"", "invalid_model", "base_score"},
        {"two-trees.json", "\"5E-1\"", "\"[0.5,0.5]\"", "invalid_model", "base_score"},
        {"two-trees.json", "\"5E-1\"", "\"[0.5\"", "invalid_model", "base_score"},
        {"two-trees.json", "\"5E-1\"", "\"0.5,0.5\"", "invalid_model", "base_score"},
        {"list-base-score.json", "[4.9E-1,2.1E-1,-3E-1]", "[4.9E-1,2.1E-1]", "invalid_model",
         "base_score"},
        {"list-base-score.json", "[4.9E-1,2.1E-1,-3E-1]", "[4.9E-1,,2.1E-1]", "invalid_model",
         "base_score"},
        {"list-base-score.json", "[4.9E-1,2.1E-1,-3E-1]", "[1,2,3,4]", "invalid_model",
         "base_score"},
    };

    check_refusals(cases, AUGURY_COUNT(cases));
}

static void
best_iterations_that_are_not_there_are_refused(void)
{
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        {"\"best_iteration\":\"1\"", "\"best_iteration\":\"4\""},
        {"\"best_iteration\":\"1\"", "\"best_iteration\":\"x\""},
        {"\"best_iteration\":\"1\"", "\"best_iteration\":\"4294967295\""},
        {"\"iteration_indptr\":[0,1,2,", "\"iteration_indptr\":[0,1,9,"},
        {"\"iteration_indptr\":[0,1,2,", "\"iteration_indptr\":[0,1,-2,"},
    };
    const struct model_import_options best = {.is_best_iteration = true};

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct bytes good = fixture_read("best-iteration.json");
        char *text = fixture_replaced(good, cases[i].from, cases[i].to);
        CHECK(text != NULL);
        struct fixture f = fixture_of_bytes(bytes_of_text(text), &best);
        CHECK_INT(f.rc, AUGURY_ERR_INVALID);
        CHECK_CONTAINS(f.err.at, "best_iteration");
        fixture_close(&f);
        free(text);
        free((void *)(uintptr_t)good.data);
    }
}

static void
files_of_other_kinds_are_refused_with_what_to_do(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *code;
        const char *words;
    } cases[] = {
        {"", 0, "empty_file", "empty"},
        {"binf\0\0\0\x3f", 8, "old_binary", "save_model('m.json')"},
        {"\0\0\0\x3f\x7f\0\0\0", 8, "unknown_format", "save_model('m.json')"},
        {"\x80\x04\x95xx", 5, "pickle", "executes code"},
        {"x\x9cxxxxxx", 8, "joblib", "execute code"},
        {"tree\nversion=v4\n", 16, "invalid_model", "max_feature_idx"},
        {"tree\r\nversion=v5\r\n", 18, "unknown_version", "v2, v3 and v4"},
        {"booster[0]:\n", 12, "xgboost_dump", "save_model('m.json')"},
        {"[{\"nodeid\":0}]", 14, "xgboost_dump", "save_model('m.json')"},
        {"\x1f\x8b\x08", 3, "gzip", "unpack"},
        {"{}", 2, "invalid_model", "learner"},
        {"{", 1, "invalid_json", ""},
        {"{L", 2, "invalid_ubjson", ""},
        {"hello", 5, "unknown_format", "neither"},
        {"\x08\x08\x12\x09", 4, "invalid_onnx", "cut"},
        {"\x08\x08\x12\x01x", 5, "invalid_onnx", "no ONNX model"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture f = fixture_of_bytes(bytes_of(cases[i].bytes, cases[i].len), NULL);
        CHECK(f.rc < 0);
        CHECK_TEXT(f.err.code, cases[i].code);
        CHECK_CONTAINS(f.err.reason, cases[i].words);
        fixture_close(&f);
    }
}

static void
every_truncation_of_a_file_is_refused(void)
{
    static const char *const files[] = {"categorical.json", "../nfl-wp/model.ubj"};

    for (size_t i = 0; i < AUGURY_COUNT(files); i++) {
        struct bytes whole = fixture_read(files[i]);
        size_t step = whole.len / 400 + 1;
        /* The last byte of the JSON file is a newline. */
        for (size_t len = 0; len < whole.len - 1; len += step) {
            uint8_t *part = malloc(len + 1);
            CHECK(part != NULL);
            memcpy(part, whole.data, len);
            struct fixture f = fixture_of_bytes(bytes_of(part, len), NULL);
            if (f.rc >= 0) {
                TAP_FAIL("%s cut to %zu bytes was accepted", files[i], len);
            }
            fixture_close(&f);
            free(part);
        }
        free((void *)(uintptr_t)whole.data);
    }
}

int
main(void)
{
    TAP_RUN(trees_that_are_no_trees_are_refused_with_their_node);
    TAP_RUN(documents_that_contradict_themselves_are_refused);
    TAP_RUN(base_scores_outside_their_objective_are_refused);
    TAP_RUN(best_iterations_that_are_not_there_are_refused);
    TAP_RUN(files_of_other_kinds_are_refused_with_what_to_do);
    TAP_RUN(every_truncation_of_a_file_is_refused);
    return tap_done();
}
