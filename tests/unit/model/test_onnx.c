/* SPDX-License-Identifier: MIT */
/* test_onnx.c - ONNX files made byte by byte: what is refused and why, what is taken apart rightly;
 * results worked out by hand. */
#include "onnx_maker.h"

/* x0 <= 0.5 ? 1 : (x1 > -1 ? 3 : 2); a second tree of one leaf, 10. */
static const struct onnx_node_text trees = {
    "TreeEnsembleRegressor",
    "X",
    "Y",
    {"nodes_treeids=ints:0,0,0,0,0,1", "nodes_nodeids=ints:0,1,2,3,4,0",
     "nodes_featureids=ints:0,0,1,0,0,0",
     "nodes_modes=strings:BRANCH_LEQ,LEAF,BRANCH_GT,LEAF,LEAF,LEAF",
     "nodes_values=floats:0.5,0,-1,0,0,0", "nodes_truenodeids=ints:1,0,4,0,0,0",
     "nodes_falsenodeids=ints:2,0,3,0,0,0", "nodes_missing_value_tracks_true=ints:0,0,1,0,0,0",
     "target_treeids=ints:0,0,0,1", "target_nodeids=ints:1,3,4,0", "target_ids=ints:0,0,0,0",
     "target_weights=floats:1,2,3,10", "n_targets=int:1"}};

static const struct onnx_node_text classes = {
    "TreeEnsembleClassifier",
    "X",
    "label,scores",
    {"nodes_treeids=ints:0,0,0", "nodes_nodeids=ints:7,8,9", "nodes_featureids=ints:1,0,0",
     "nodes_modes=strings:BRANCH_LT,LEAF,LEAF", "nodes_values=floats:0,0,0",
     "nodes_truenodeids=ints:9,0,0", "nodes_falsenodeids=ints:8,0,0", "class_treeids=ints:0,0",
     "class_nodeids=ints:8,9", "class_ids=ints:0,0", "class_weights=floats:0.25,-0.25",
     "classlabels_int64s=ints:0,1", "post_transform=string:LOGISTIC"}};

/* x0 is 2 or 5 ? 4 : 8 */
static const struct onnx_node_text ensemble = {
    "TreeEnsemble",
    "X",
    "Y",
    {"tree_roots=ints:0", "nodes_featureids=ints:0", "nodes_modes=doubles:6",
     "nodes_splits=doubles:0", "nodes_truenodeids=ints:1", "nodes_falsenodeids=ints:0",
     "nodes_trueleafs=ints:1", "nodes_falseleafs=ints:1", "leaf_targetids=ints:0,0",
     "leaf_weights=doubles:8,4", "membership_values=doubles:2,5,nan"}};

static const struct onnx_node_text weights = {
    "LinearRegressor", "X", "Y", {"coefficients=floats:2,3", "intercepts=floats:0.5"}};

static struct fixture
fixture_of_nodes(const struct onnx_node_text *nodes, size_t count, const char *replaced)
{
    struct buf file = onnx_file(nodes, count, replaced);
    struct fixture fixture = fixture_of_bytes(buf_view(&file), NULL);

    if (fixture.rc != 0) {
        printf("# %s at \"%s\": %s\n", fixture.err.code, fixture.err.at, fixture.err.reason);
    }
    buf_fini(&file);
    return fixture;
}

static float
margin_of(const struct fixture *fixture, float x0, float x1)
{
    const float row[] = {x0, x1};

    return fixture_margin(fixture, row);
}

static void
modes_thresholds_and_missing_values_send_a_row_where_they_say(void)
{
    struct fixture f = fixture_of_nodes(&trees, 1, NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(f.model.feature_count, 2);
    CHECK_INT(f.model.tree_count, 2);
    CHECK(margin_of(&f, 0.5f, 0.0f) == 11.0f);
    CHECK(margin_of(&f, nextafterf(0.5f, 1.0f), -1.0f) == 12.0f);
    CHECK(margin_of(&f, 1.0f, nextafterf(-1.0f, 0.0f)) == 13.0f);
    CHECK(margin_of(&f, NAN, -2.0f) == 12.0f); /* not true, so that it goes on to the second test */
    CHECK(margin_of(&f, NAN, NAN) == 13.0f);   /* and there what is missing counts as true */
    CHECK(bytes_equal_text(model_source(&f.model), "onnx a test"));
    CHECK(bytes_equal_text(model_objective(&f.model), "TreeEnsembleRegressor"));
    fixture_close(&f);
}

static void
leaves_are_numbered_as_in_the_file(void)
{
    struct fixture f = fixture_of_nodes(&trees, 1, NULL);
    const float row[] = {1.0f, -1.0f};
    uint32_t leaves[2];

    CHECK_INT(f.rc, 0);
    model_leaves(&f.model, row, 1, f.scratch, leaves);
    CHECK_INT(leaves[0], 3);
    CHECK_INT(leaves[1], 0);
    fixture_close(&f);
}

static void
an_infinite_threshold_lets_every_number_through(void)
{
    struct fixture f = fixture_of_nodes(&trees, 1, "nodes_values=floats:inf,0,-inf,0,0,0");

    CHECK_INT(f.rc, 0);
    CHECK(margin_of(&f, INFINITY, 0.0f) == 11.0f);
    CHECK(margin_of(&f, NAN, -INFINITY) == 12.0f);
    CHECK(margin_of(&f, NAN, -3.4e38f) == 13.0f);
    fixture_close(&f);
}

static void
one_column_of_scores_is_of_class_1(void)
{
    struct fixture f = fixture_of_nodes(&classes, 1, NULL);
    float shares[2];
    float margin;

    CHECK_INT(f.rc, 0);
    CHECK_INT(f.model.output_count, 1);
    CHECK_INT(f.model.probability_count, 2);
    margin = margin_of(&f, 0.0f, -1.0f);
    CHECK(margin == -0.25f);
    model_probabilities(&f.model, &margin, 1, shares);
    CHECK(fabs((double)shares[1] - 1.0 / (1.0 + exp(0.25))) < 1e-7);
    CHECK(fabs((double)shares[0] + (double)shares[1] - 1.0) < 1e-7);
    fixture_close(&f);
}

static void
members_of_a_set_are_categories(void)
{
    struct fixture f = fixture_of_nodes(&ensemble, 1, NULL);
    double row[] = {2.0, 0.0};
    double margin = 0.0;

    /* The file says that its input is FLOAT, its tensors are DOUBLE. */
    CHECK_INT(f.rc, AUGURY_ERR_UNSUPPORTED);
    CHECK_CONTAINS(f.err.reason, "double");
    fixture_close(&f);
    const struct onnx_node_text nodes[] = {
        {"Cast", "X", "D", {"to=int:11"}},
        {ensemble.op, "D", "Y", {0}},
    };
    struct onnx_node_text two[2] = {nodes[0], ensemble};
    two[1].inputs = "D";
    f = fixture_of_nodes(two, 2, NULL);
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.model.number, MODEL_FLOAT64);
    CHECK_INT(model_feature(&f.model, 0).type, MODEL_CATEGORY);
    model_margins(&f.model, row, 1, f.scratch, &margin);
    CHECK(margin == 4.0);
    row[0] = 3.0;
    model_margins(&f.model, row, 1, f.scratch, &margin);
    CHECK(margin == 8.0);
    fixture_close(&f);
}

static void
weights_need_every_value(void)
{
    struct fixture f = fixture_of_nodes(&weights, 1, NULL);

    CHECK_INT(f.rc, 0);
    const double row[] = {1.0, 10.0};
    double margin = 0.0;
    model_margins(&f.model, row, 1, f.scratch, &margin);
    CHECK(margin == 32.5);
    CHECK(!model_feature(&f.model, 0).is_missing_allowed);
    fixture_close(&f);
}

/* x0 goes left at (x0 - 1) × -2 <= 0.5, so from 0.75 on. */
static void
a_scaler_before_trees_moves_their_thresholds_and_may_turn_them_around(void)
{
    struct onnx_node_text nodes[2] = {
        {"Scaler", "X", "S", {"offset=floats:1,0", "scale=floats:-2,1"}}, trees};
    nodes[1].inputs = "S";
    struct fixture f = fixture_of_nodes(nodes, 2, NULL);

    CHECK_INT(f.rc, 0);
    CHECK(margin_of(&f, 0.75f, 0.0f) == 11.0f);
    CHECK(margin_of(&f, nextafterf(0.75f, 0.0f), -1.0f) == 12.0f);
    CHECK(margin_of(&f, INFINITY, -1.0f) == 11.0f);
    CHECK(margin_of(&f, NAN, -1.0f) == 12.0f);
    fixture_close(&f);
}

/* ---- refusals ------------------------------------------------------------------------------ */

struct refusal {
    const struct onnx_node_text *node;
    const char *attribute;
    const char *words;
};

/* The node with that attribute instead of its own. The tensors of the newer operator are DOUBLE, so
 * that its input is cast. */
static struct fixture
fixture_of_refusal(const struct refusal *refusal)
{
    struct onnx_node_text two[2] = {{"Cast", "X", "D", {"to=int:11"}}, *refusal->node};
    bool is_double = refusal->node == &ensemble;
    size_t name = strcspn(refusal->attribute, "=") + 1;
    size_t i = 0;

    while (two[1].attributes[i] != NULL &&
           strncmp(two[1].attributes[i], refusal->attribute, name) != 0) {
        i++;
    }
    two[1].attributes[i] = refusal->attribute;
    two[1].inputs = is_double ? "D" : "X";
    return fixture_of_nodes(two + (is_double ? 0 : 1), is_double ? 2 : 1, NULL);
}

static void
nodes_that_contradict_themselves_are_refused(void)
{
    static const struct refusal cases[] = {
        {&trees, "nodes_modes=strings:", "no nodes"},
        {&trees, "nodes_treeids=ints:0,0", "2 entries for 6 nodes"},
        {&trees, "nodes_nodeids=ints:0,1,2,3,3,0", "two nodes 3"},
        {&trees, "nodes_values=floats:0.5", "1 entries for 6 nodes"},
        {&trees, "nodes_values=floats:nan,0,0,0,0,0", "threshold is not a number"},
        {&trees, "nodes_featureids=ints:0,0,2,0,0,0", "feature 2"},
        {&trees, "nodes_featureids=ints:0,0,-1,0,0,0", "feature -1"},
        {&trees, "nodes_truenodeids=ints:9,0,4,0,0,0", "child 9 is not there"},
        {&trees, "nodes_truenodeids=ints:0,0,4,0,0,0", "do not hang on its root"},
        {&trees, "nodes_falsenodeids=ints:2,0,4,0,0,0", "nodes without a parent"},
        {&trees, "target_treeids=ints:0,0,0,2", "weight 3 is of tree 2"},
        {&trees, "target_nodeids=ints:1,3,2,0", "is no leaf"},
        {&trees, "target_nodeids=ints:1,3,3,0", "two weights for output 0"},
        {&trees, "target_ids=ints:0,0,1,0", "adds to output 1"},
        {&trees, "target_weights=floats:1,2,inf,4", "not finite"},
        {&trees, "target_weights=floats:1,2", "equally long"},
        {&trees, "n_targets=int:0", "0 outputs"},
        {&trees, "n_targets=int:5000", "5000 outputs"},
        {&trees, "base_values=floats:nan", "not finite"},
        {&trees, "nodes_missing_value_tracks_true=ints:1", "1 entries for 6 nodes"},
        {&ensemble, "tree_roots=ints:1", "node 1 is not one of the 1"},
        {&ensemble, "tree_roots=ints:", "0 roots"},
        {&ensemble, "nodes_trueleafs=ints:0", "node 1 is not one of the 1"},
        {&ensemble, "nodes_falseleafs=ints:0", "node 0 is reached twice"},
        {&ensemble, "nodes_truenodeids=ints:2", "leaf 2 is not one of the 2"},
        {&ensemble, "leaf_targetids=ints:0", "1 and 2 entries"},
        {&weights, "coefficients=floats:1,2,3", "3 weights an output for an input of 2"},
        {&weights, "coefficients=floats:", "0 coefficients"},
        {&weights, "intercepts=floats:nan", "not finite"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture f = fixture_of_refusal(&cases[i]);
        CHECK(f.rc < 0);
        CHECK_CONTAINS(f.err.reason, cases[i].words);
        fixture_close(&f);
    }
}

static void
what_would_be_a_guess_is_refused_by_its_name(void)
{
    static const struct refusal cases[] = {
        {&trees, "nodes_modes=strings:BRANCH_XOR,LEAF,BRANCH_GT,LEAF,LEAF,LEAF", "BRANCH_XOR"},
        {&trees, "nodes_modes=strings:BRANCH_EQ,LEAF,BRANCH_GT,LEAF,LEAF,LEAF", "whole numbers"},
        {&trees, "post_transform=string:LOGISTIC", "Sigmoid"},
        {&trees, "aggregate_function=string:MAX", "MAX"},
        {&trees, "base_values=floats:1,2", "2 base_values for 1"},
        {&trees, "nodes_values_as_tensor=float16:1,2,3,4,5,6", "data type 10"},
        {&trees, "nodes_values_as_tensor=external:", "another file"},
        {&classes, "post_transform=string:PROBIT", "PROBIT"},
        {&classes, "post_transform=string:SOFTMAX", "one single score"},
        {&classes, "base_values=floats:1,2", "2 base_values for 1"},
        {&ensemble, "post_transform=int:2", "Softmax or Sigmoid"},
        {&weights, "post_transform=string:LOGISTIC", "Sigmoid"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture f = fixture_of_refusal(&cases[i]);
        CHECK_INT(f.rc, AUGURY_ERR_UNSUPPORTED);
        CHECK_TEXT(f.err.code, "unsupported_operator");
        CHECK_TEXT(f.err.at, cases[i].node->op);
        CHECK_CONTAINS(f.err.reason, cases[i].words);
        fixture_close(&f);
    }
}

static void
a_feature_is_a_number_or_a_category_not_both(void)
{
    struct onnx_node_text node = trees;

    node.attributes[2] = "nodes_featureids=ints:0,0,0,0,0,0";
    node.attributes[3] = "nodes_modes=strings:BRANCH_EQ,LEAF,BRANCH_GT,LEAF,LEAF,LEAF";
    node.attributes[4] = "nodes_values=floats:2,0,-1,0,0,0";
    struct fixture f = fixture_of_nodes(&node, 1, NULL);
    CHECK_INT(f.rc, AUGURY_ERR_UNSUPPORTED);
    CHECK_CONTAINS(f.err.reason, "not both");
    fixture_close(&f);
}

static void
graphs_around_a_model_are_refused_by_the_operator_that_is_not_understood(void)
{
    static const struct {
        struct onnx_node_text before;
        struct onnx_node_text after;
        const char *at;
        const char *words;
    } cases[] = {
        {{"OneHotEncoder", "X", "B", {0}},
         {"Identity", "Y", "Z", {0}},
         "OneHotEncoder",
         "\"OneHotEncoder\""},
        {{"Scaler", "X", "B", {0}}, {"Identity", "Y", "Z", {0}}, "Scaler", "no offset"},
        {{"Scaler", "X", "B", {"offset=floats:0", "scale=floats:0"}},
         {"Identity", "Y", "Z", {0}},
         "Scaler",
         "is 0"},
        {{"Scaler", "X", "B", {"offset=floats:inf", "scale=floats:1"}},
         {"Identity", "Y", "Z", {0}},
         "Scaler",
         "offset 0"},
        {{"Scaler", "X", "B", {"offset=floats:0,0,0", "scale=floats:1"}},
         {"Identity", "Y", "Z", {0}},
         "TreeEnsembleRegressor",
         "3 offsets for 2"},
        {{"Identity", "X", "B", {0}}, {"Mul", "Y,Y", "Z", {0}}, "Mul", "\"Mul\""},
        {{"Identity", "X", "B", {0}}, {"Abs", "Y", "Z", {0}}, "Abs", "\"Abs\""},
        {{"Identity", "X", "B", {0}}, {"Softmax", "Y", "Z", {0}}, "Softmax", "one single score"},
        {{"Identity", "X", "B", {0}}, {"Normalizer", "Y", "Z", {0}}, "Normalizer", "MAX"},
        {{"Identity", "X", "B", {0}}, {"Cast", "Y", "Z", {"to=int:7"}}, "Cast", "data type 7"},
        {{"Cast", "X", "B", {"to=int:8"}}, {"Identity", "Y", "Z", {0}}, "Cast", "data type 8"},
        {{"Imputer", "X", "B", {"imputed_value_floats=floats:1", "replaced_value_float=float:-9"}},
         {"Identity", "Y", "Z", {0}},
         "Imputer",
         "something else than NaN"},
        {{"Imputer",
          "X",
          "B",
          {"imputed_value_floats=floats:1,2,3", "replaced_value_float=float:nan"}},
         {"Identity", "Y", "Z", {0}},
         "TreeEnsembleRegressor",
         "3 values for what is missing for 2"},
        {{"Identity", "W", "B", {0}},
         {"Identity", "Y", "Z", {0}},
         "TreeEnsembleRegressor",
         "nothing makes"},
        {{"Identity", "B", "B", {0}},
         {"Identity", "Y", "Z", {0}},
         "TreeEnsembleRegressor",
         "cycle"},
        {{"LinearRegressor", "X", "B", {0}},
         {"Identity", "Y", "Z", {0}},
         "TreeEnsembleRegressor",
         "two models"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct onnx_node_text nodes[3] = {cases[i].before, trees, cases[i].after};
        nodes[1].inputs = "B";
        struct fixture f = fixture_of_nodes(nodes, 3, NULL);
        CHECK(f.rc < 0);
        CHECK_TEXT(f.err.at, cases[i].at);
        CHECK_CONTAINS(f.err.reason, cases[i].words);
        fixture_close(&f);
    }
}

static void
a_base_that_a_runtime_may_leave_out_is_refused(void)
{
    struct onnx_node_text node = trees;
    struct fixture f;

    node.attributes[10] = "target_ids=ints:0,1,0,0";
    node.attributes[12] = "n_targets=int:2";
    node.attributes[13] = "base_values=floats:1,0";
    f = fixture_of_nodes(&node, 1, NULL);
    CHECK_INT(f.rc, 0);
    CHECK_INT(f.model.output_count, 2);
    fixture_close(&f);
    node.attributes[13] = "base_values=floats:1,5";
    f = fixture_of_nodes(&node, 1, NULL);
    CHECK_INT(f.rc, AUGURY_ERR_UNSUPPORTED);
    CHECK_CONTAINS(f.err.reason, "base_values of output 1");
    fixture_close(&f);
}

static void
a_graph_without_a_model_is_refused_by_its_first_operator(void)
{
    const struct onnx_node_text conv = {"Conv", "X", "Y", {0}};
    struct fixture f = fixture_of_nodes(&conv, 1, NULL);

    CHECK_INT(f.rc, AUGURY_ERR_UNSUPPORTED);
    CHECK_CONTAINS(f.err.reason, "\"Conv\"");
    fixture_close(&f);
}

/* Names are looked for one after another: many of them would take hours. */
static void
a_graph_of_very_many_names_is_refused(void)
{
    enum { NAMES = 5000 };
    char names[NAMES * 2 + 1];
    struct onnx_node_text nodes[2] = {trees, {"Concat", names, "Z", {0}}};

    for (size_t i = 0; i < NAMES; i++) {
        memcpy(names + 2 * i, "Y,", 3);
    }
    struct fixture f = fixture_of_nodes(nodes, 2, NULL);
    CHECK_INT(f.rc, AUGURY_ERR_LIMIT);
    CHECK_CONTAINS(f.err.reason, "more than 4096 names");
    fixture_close(&f);
    nodes[1].inputs = "Y";
    nodes[1].outputs = names;
    f = fixture_of_nodes(nodes, 2, NULL);
    CHECK_INT(f.rc, AUGURY_ERR_LIMIT);
    fixture_close(&f);
}

static void
iterations_of_an_onnx_file_are_refused(void)
{
    const struct model_import_options options = {.iteration_end = 3};
    struct buf file = onnx_file(&trees, 1, NULL);
    struct fixture f = fixture_of_bytes(buf_view(&file), &options);

    CHECK_TEXT(f.err.code, "invalid_iterations");
    fixture_close(&f);
    buf_fini(&file);
}

/* ---- broken bytes -------------------------------------------------------------------------- */

/* Refused with a reason, or a model that answers. */
static bool
is_harmless(struct bytes file)
{
    struct fixture f = fixture_of_bytes(file, NULL);
    float row[64] = {0.5f};
    bool is_right = f.rc == 0 || (f.rc < 0 && f.err.reason[0] != '\0');

    if (f.rc == 0 && f.model.number == MODEL_FLOAT32 && f.model.feature_count <= 64 &&
        f.model.output_count == 1) {
        is_right = !isnan(fixture_margin(&f, row));
    }
    fixture_close(&f);
    return is_right;
}

static void
every_prefix_of_a_file_is_refused(void)
{
    struct buf file = onnx_file(&trees, 1, NULL);

    for (size_t len = 0; len < file.len; len++) {
        uint8_t *part = malloc(len + 1); /* its own, so that a sanitizer sees the end */
        CHECK(part != NULL);
        memcpy(part, file.data, len);
        struct fixture f = fixture_of_bytes(bytes_of(part, len), NULL);
        if (f.rc >= 0) {
            TAP_FAIL("cut to %zu bytes it was accepted", len);
        }
        fixture_close(&f);
        free(part);
    }
    buf_fini(&file);
}

static void
every_byte_may_be_another(void)
{
    static const uint8_t masks[] = {0x01, 0x02, 0x08, 0x10, 0x7f, 0x80, 0xff};
    const struct onnx_node_text *const all[] = {&trees, &classes, &weights};

    for (size_t n = 0; n < AUGURY_COUNT(all); n++) {
        struct buf file = onnx_file(all[n], 1, NULL);
        for (size_t i = 0; i < file.len * AUGURY_COUNT(masks); i++) {
            uint8_t mask = masks[i % AUGURY_COUNT(masks)];
            file.data[i / AUGURY_COUNT(masks)] ^= mask;
            if (!is_harmless(buf_view(&file))) {
                TAP_FAIL("byte %zu ^ %02x", i / AUGURY_COUNT(masks), mask);
            }
            file.data[i / AUGURY_COUNT(masks)] ^= mask;
        }
        buf_fini(&file);
    }
}

int
main(void)
{
    TAP_RUN(modes_thresholds_and_missing_values_send_a_row_where_they_say);
    TAP_RUN(leaves_are_numbered_as_in_the_file);
    TAP_RUN(an_infinite_threshold_lets_every_number_through);
    TAP_RUN(one_column_of_scores_is_of_class_1);
    TAP_RUN(members_of_a_set_are_categories);
    TAP_RUN(weights_need_every_value);
    TAP_RUN(a_scaler_before_trees_moves_their_thresholds_and_may_turn_them_around);
    TAP_RUN(nodes_that_contradict_themselves_are_refused);
    TAP_RUN(what_would_be_a_guess_is_refused_by_its_name);
    TAP_RUN(a_feature_is_a_number_or_a_category_not_both);
    TAP_RUN(graphs_around_a_model_are_refused_by_the_operator_that_is_not_understood);
    TAP_RUN(a_base_that_a_runtime_may_leave_out_is_refused);
    TAP_RUN(a_graph_without_a_model_is_refused_by_its_first_operator);
    TAP_RUN(a_graph_of_very_many_names_is_refused);
    TAP_RUN(iterations_of_an_onnx_file_are_refused);
    TAP_RUN(every_prefix_of_a_file_is_refused);
    TAP_RUN(every_byte_may_be_another);
    return tap_done();
}
