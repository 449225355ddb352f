/* SPDX-License-Identifier: MIT */
/*
 * test_augury_json.c - augury's own model JSON: every kind with answers worked out by hand, and
 * what is refused. Quotes are written as ' here.
 */
#include "fixture.h"

/* A document in which ' stands for ". */
static struct fixture
read_json(const char *text)
{
    char *copy = malloc(strlen(text) + 1);

    AUGURY_ASSERT(copy != NULL);
    memcpy(copy, text, strlen(text) + 1);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    struct fixture fixture = fixture_of_text(copy);
    free(copy);
    return fixture;
}

enum { MANY = 300 };

/* The margin of output 0 by one kernel: of a row alone, if the last of many equal ones is the same,
 * else NaN. */
static double
margin_by(const struct model *model, const double *row)
{
    size_t features = model->feature_count;
    size_t outputs = model->output_count;
    double *rows = malloc(MANY * features * sizeof(double));
    double *margins = malloc(MANY * outputs * sizeof(double));
    void *scratch = aligned_alloc(64, model_scratch_bytes(model, MANY));

    for (size_t r = 0; r < MANY; r++) {
        memcpy(rows + r * features, row, features * sizeof(double));
    }
    model_margins(model, rows, MANY, scratch, margins);
    double last = margins[(MANY - 1) * outputs];
    model_margins(model, rows, 1, scratch, margins);
    double one = margins[0];
    free(rows);
    free(margins);
    free(scratch);
    return memcmp(&one, &last, sizeof(one)) == 0 ? one : (double)NAN;
}

/* The same by every kernel; NaN when two differ. */
static double
margin_of(const struct fixture *f, const double *row)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(&f->model, names, MODEL_KERNELS_MAX);
    double chosen = margin_by(&f->model, row);

    for (size_t i = 0; i < count; i++) {
        struct model forced = f->model;
        struct err err;
        AUGURY_ASSERT(model_force_kernel(&forced, names[i], &err) == 0);
        double margin = margin_by(&forced, row);
        if (memcmp(&margin, &chosen, sizeof(margin)) != 0) {
            printf("# %s: %.17g, not %.17g\n", names[i], margin, chosen);
            return (double)NAN;
        }
    }
    return chosen;
}

#define HEAD "{'format':'augury-model','format_version':1,"
#define ONE_FEATURE "'features':[{'name':'x'}],"
#define TWO_FEATURES "'features':[{'name':'x'},{'name':'y'}],"
#define STUMP                                                                                      \
    "'trees':[{'left':[1,-1,-1],'right':[2,-1,-1],'feature':[0,0,0],'threshold':[0.5,0,0],"        \
    "'value':[0,1,2]}]"

/* ---- trees --------------------------------------------------------------------------------- */

static void
le_sends_the_threshold_itself_left_and_lt_right(void)
{
    struct fixture le = read_json(HEAD ONE_FEATURE "'kind':'gbdt','compare':'le'," STUMP "}");
    struct fixture lt = read_json(HEAD ONE_FEATURE "'kind':'gbdt','compare':'lt'," STUMP "}");
    const double above = nextafter(0.5, 1.0);
    const double at = 0.5;

    CHECK_INT(le.rc, 0);
    CHECK_INT(lt.rc, 0);
    CHECK(margin_of(&le, &at) == 1.0);
    CHECK(margin_of(&le, &above) == 2.0);
    CHECK(margin_of(&lt, &at) == 2.0);
    fixture_close(&le);
    fixture_close(&lt);
}

/* One threshold and the doubles around the middle above it, where rounding to float32 turns. */
static void
f32_le_decides_as_a_value_rounded_to_float32_does(void)
{
    static const double thresholds[] = {0.5,   0.1,    -0.1,  1.0 / 3.0,          0.0,
                                        1e-46, -1e-46, 1e-40, 16777217,           3e38,
                                        1e39,  -3e38,  -1e39, 0.30000001192092896};

    for (size_t t = 0; t < AUGURY_COUNT(thresholds); t++) {
        char text[512];
        snprintf(text, sizeof(text),
                 HEAD ONE_FEATURE "'kind':'gbdt','compare':'f32_le','trees':[{'left':[1,-1,-1],"
                                  "'right':[2,-1,-1],'feature':[0,0,0],'threshold':[%.17g,0,0],"
                                  "'value':[0,1,2]}]}",
                 thresholds[t]);
        struct fixture f = read_json(text);
        CHECK_INT(f.rc, 0);
        float near = (float)thresholds[t];
        const float around[] = {near, nextafterf(near, INFINITY), nextafterf(near, -INFINITY)};
        for (size_t i = 0; i < AUGURY_COUNT(around); i++) {
            double middle = ((double)around[i] + (double)nextafterf(around[i], INFINITY)) / 2.0;
            const double tried[] = {(double)around[i],
                                    nextafter(around[i], 1e308),
                                    nextafter(around[i], -1e308),
                                    middle,
                                    nextafter(middle, 1e308),
                                    nextafter(middle, -1e308)};
            for (size_t k = 0; k < AUGURY_COUNT(tried); k++) {
                bool is_left = (double)(float)tried[k] <= thresholds[t];
                CHECK(margin_of(&f, &tried[k]) == (is_left ? 1.0 : 2.0));
            }
        }
        fixture_close(&f);
    }
}

static void
missing_values_infinite_thresholds_and_category_sets_go_where_the_tree_says(void)
{
    struct fixture f = read_json(
        HEAD "'features':[{'name':'x'},{'name':'c','type':'category'}],'kind':'hgb',"
             "'compare':'le','init':[10],'trees':["
             "{'left':[1,-1,-1],'right':[2,-1,-1],'feature':[0,0,0],'threshold':[null,0,0],"
             "'value':[0,1,2],'missing_left':[0,0,0]},"
             "{'left':[1,-1,-1],'right':[2,-1,-1],'feature':[1,0,0],'threshold':[0,0,0],"
             "'value':[0,100,200],'missing_left':[1,0,0],"
             "'sets':[{'node':0,'side':'right','members':[3,1]}]}]}");
    const double largest[] = {INFINITY, 3.0};
    const double missing[] = {NAN, NAN};
    const double unknown[] = {0.0, 7.0};

    CHECK_INT(f.rc, 0);
    CHECK(margin_of(&f, largest) == 211.0);
    CHECK(margin_of(&f, missing) == 112.0);
    CHECK(margin_of(&f, unknown) == 111.0);
    fixture_close(&f);
}

static void
a_forest_of_vectors_answers_the_mean_with_names_of_classes(void)
{
    struct fixture f = read_json(
        HEAD ONE_FEATURE
        "'kind':'forest','compare':'le','outputs':3,'divisor':2,'link':'probability',"
        "'classes':['a','b','c'],'trees':["
        "{'left':[1,-1,-1],'right':[2,-1,-1],'feature':[0,0,0],'threshold':[0.5,0,0],"
        "'value':[0,[1,0,0],[0,0.25,0.75]]},"
        "{'left':[-1],'right':[-1],'feature':[0],'threshold':[0],'value':[[0.5,0.5,0]]}]}");
    const double row = 1.0;
    double probabilities[3];
    double margins[3];

    CHECK_INT(f.rc, 0);
    CHECK_TEXT(model_kind(&f.model), "forest");
    CHECK_INT(f.model.probability_count, 3);
    model_margins(&f.model, &row, 1, f.scratch, margins);
    model_probabilities(&f.model, margins, 1, probabilities);
    CHECK(probabilities[0] == 0.25 && probabilities[1] == 0.375 && probabilities[2] == 0.375);
    CHECK_INT(model_class_count(&f.model), 3);
    CHECK(bytes_equal_text(model_class_name(&f.model, 2), "c"));
    CHECK_INT(model_class_name(&f.model, 3).len, 0);
    fixture_close(&f);
}

/* ---- inputs, layers ------------------------------------------------------------------------ */

static void
inputs_are_computed_step_by_step(void)
{
    struct fixture f = read_json(
        HEAD "'features':[{'name':'x'},{'name':'c','type':'category','levels':['red','blue'],"
             "'unknown':true}],'kind':'linear','inputs':["
             "{'feature':'x','steps':[['fill',7],['subtract',2],['divide',4]]},"
             "{'feature':0,'steps':[['is_missing']]},"
             "{'feature':'c','steps':[['equals',1]]},"
             "{'feature':1,'steps':[['find',[0,1],[5,6],-1,-2],['multiply',3],['add',1]]},"
             "{'feature':0,'steps':[['fill',0],['clip',-1,1]]}],"
             "'weights':[[1,10,100,1000,0.25]],'bias':[0.5]}");
    const double blue[] = {10.0, 1.0};
    const double missing[] = {NAN, NAN};
    const double other[] = {-6.0, 2.0};

    CHECK_INT(f.rc, 0);
    CHECK(margin_of(&f, blue) == 0.5 + 2.0 + 100.0 + 19000.0 + 0.25);
    CHECK(margin_of(&f, missing) == 0.5 + 1.25 + 10.0 - 5000.0);
    CHECK(margin_of(&f, other) == 0.5 - 2.0 - 2000.0 - 0.25);
    CHECK(model_feature(&f.model, 1).is_unknown_allowed);
    CHECK(!model_feature(&f.model, 0).is_unknown_allowed);
    fixture_close(&f);
}

/* One feature, twenty inputs; the tree tests the last one, where it is missing too. */
static void
a_tree_reads_more_inputs_than_there_are_features(void)
{
    char text[4096] = HEAD ONE_FEATURE "'kind':'hgb','compare':'le','inputs':[";
    const double missing = NAN;
    const double low = 0.5;
    const double high = 1.5;

    for (size_t i = 0; i < 19; i++) {
        memcpy(text + strlen(text), "{'feature':0,'steps':[['is_missing']]},", 40);
    }
    size_t at = strlen(text);
    snprintf(text + at, sizeof(text) - at,
             "{'feature':0}],'trees':[{'left':[1,-1,-1],'right':[2,-1,-1],'feature':[19,0,0],"
             "'threshold':[1,0,0],'value':[0,1,2],'missing_left':[0,0,0]},{'left':[1,-1,-1],"
             "'right':[2,-1,-1],'feature':[19,0,0],'threshold':[1,0,0],'value':[0,10,20],"
             "'missing_left':[1,0,0]}]}");
    struct fixture f = read_json(text);
    CHECK_INT(f.rc, 0);
    CHECK(margin_of(&f, &low) == 11.0);
    CHECK(margin_of(&f, &high) == 22.0);
    CHECK(margin_of(&f, &missing) == 12.0);
    fixture_close(&f);
}

static void
a_perceptron_runs_its_layers(void)
{
    struct fixture f =
        read_json(HEAD TWO_FEATURES
                  "'kind':'mlp','classes':['no','yes'],'link':'sigmoid','layers':["
                  "{'weights':[[1,2],[-1,0],[0.5,0.5]],'bias':[0,0.5,-1],'activation':'relu'},"
                  "{'weights':[[1,1,1],[2,-1,0]],'bias':[0.25,0],'activation':'tanh'},"
                  "{'weights':[[3,-2]],'bias':[0.125],'activation':'identity'}]}");
    const double row[] = {1.0, 3.0}; /* relu: 7, 0, 1; tanh: 8.25, 14 */
    double want = 3.0 * tanh(8.25) - 2.0 * tanh(14.0) + 0.125;
    double margin = 0.0;
    double probabilities[2];

    CHECK_INT(f.rc, 0);
    CHECK(fabs(margin_of(&f, row) - want) < 1e-15);
    model_margins(&f.model, row, 1, f.scratch, &margin);
    model_probabilities(&f.model, &margin, 1, probabilities);
    CHECK(fabs(probabilities[1] - 1.0 / (1.0 + exp(-want))) < 1e-15);
    CHECK(fabs(probabilities[0] + probabilities[1] - 1.0) < 1e-15);
    fixture_close(&f);
}

/* ---- scorecards ---------------------------------------------------------------------------- */

static const char card[] =
    HEAD "'kind':'scorecard','features':[{'name':'age'},{'name':'home','type':'category',"
         "'levels':['own','rent','free']},{'name':'debt'}],'classes':['bad','good'],"
         "'base_points':420,'scaling':{'pdo':20,'points':600,'odds':32},'attributes':["
         "{'feature':'age','cuts':[25,40],'points':[8,21,34],'missing':15,'reason':'A1'},"
         "{'feature':'home','levels':[['own'],['rent']],'points':[30,12],'other':10,"
         "'missing':0,'reasons':['H0','H1']},"
         "{'feature':'debt','cuts':[0.5],'closed':'right','points':[100,50],'reason':'A1',"
         "'reference':110}]}";

static void
a_scorecard_adds_the_points_of_each_bin(void)
{
    struct fixture f = read_json(card);
    const double best[] = {40.0, 0.0, 0.5};
    const double lower[] = {nextafter(40.0, 0.0), 1.0, nextafter(0.5, 1.0)};
    const double missing[] = {NAN, NAN, 0.0};
    const double unknown[] = {25.0, 3.0, 0.0};

    CHECK_INT(f.rc, 0);
    CHECK_TEXT(model_kind(&f.model), "scorecard");
    CHECK(margin_of(&f, best) == 420.0 + 34.0 + 30.0 + 100.0);
    CHECK(margin_of(&f, lower) == 420.0 + 21.0 + 12.0 + 50.0);
    CHECK(margin_of(&f, missing) == 420.0 + 15.0 + 0.0 + 100.0);
    CHECK(margin_of(&f, unknown) == 420.0 + 21.0 + 10.0 + 100.0);
    CHECK(model_feature(&f.model, 1).is_unknown_allowed);
    CHECK(model_feature(&f.model, 1).is_missing_allowed);
    CHECK(!model_feature(&f.model, 2).is_missing_allowed);
    fixture_close(&f);
}

static void
points_double_the_odds(void)
{
    struct fixture f = read_json(card);
    const double points[] = {600.0, 620.0, 500.0};
    double probabilities[6];
    double predictions[3];

    CHECK_INT(f.rc, 0);
    model_probabilities(&f.model, points, 3, probabilities);
    model_predictions(&f.model, points, 3, predictions);
    CHECK(fabs(probabilities[1] - 32.0 / 33.0) < 1e-14);
    CHECK(fabs(probabilities[3] - 64.0 / 65.0) < 1e-14);
    CHECK(fabs(probabilities[5] - 0.5) < 1e-14);
    CHECK(predictions[1] == probabilities[3]);
    fixture_close(&f);
}

static void
reasons_come_by_points_lost_each_code_once(void)
{
    struct fixture f = read_json(card);
    const double row[] = {30.0, 1.0, 0.7}; /* lost: age 13, home 18, debt 60 */
    const double best[] = {50.0, 0.0, 0.0};
    struct model_reason reasons[4];

    CHECK_INT(f.rc, 0);
    CHECK(model_has_reasons(&f.model));
    CHECK_INT(model_reasons(&f.model, row, 4, reasons), 2);
    CHECK(bytes_equal_text(reasons[0].code, "A1"));
    CHECK(reasons[0].points_lost == 60.0);
    CHECK_INT(reasons[0].feature, 2);
    CHECK(bytes_equal_text(reasons[1].code, "H1"));
    CHECK(reasons[1].points_lost == 18.0);
    CHECK_INT(model_reasons(&f.model, row, 1, reasons), 1);
    CHECK(bytes_equal_text(reasons[0].code, "A1"));
    CHECK_INT(model_reasons(&f.model, row, 0, reasons), 0);
    CHECK_INT(model_reasons(&f.model, best, 4, reasons), 1);
    CHECK(reasons[0].points_lost == 10.0);
    fixture_close(&f);
}

/* ---- the self-test ------------------------------------------------------------------------- */

#define SELF_TEST(expected)                                                                        \
    ",'self_test':{'output':'prediction','rows':[[0.25],[0.75],[null]],'expected':" expected "}}"

static void
a_model_that_passes_its_self_test_is_read_and_another_refused(void)
{
    struct fixture good = read_json(
        HEAD ONE_FEATURE "'kind':'gbdt','compare':'le'," STUMP SELF_TEST("[[1],[2],[2]]"));
    struct fixture bad = read_json(
        HEAD ONE_FEATURE "'kind':'gbdt','compare':'le'," STUMP SELF_TEST("[[1],[2.0000001],[2]]"));
    struct fixture wide = read_json(
        HEAD ONE_FEATURE "'kind':'gbdt','compare':'le'," STUMP SELF_TEST("[[1,1],[2,2],[2,2]]"));

    CHECK_INT(good.rc, 0);
    CHECK_INT(bad.rc, AUGURY_ERR_INVALID);
    CHECK_TEXT(bad.err.code, "self_test_failed");
    CHECK_TEXT(bad.err.at, "row 1, output 0");
    CHECK_CONTAINS(bad.err.reason, "got 2:");
    CHECK_INT(bad.blob.len, 0);
    CHECK_INT(wide.rc, AUGURY_ERR_INVALID);
    CHECK_CONTAINS(wide.err.reason, "has 2 answers, the model gives 1");
    fixture_close(&good);
    fixture_close(&bad);
    fixture_close(&wide);
}

/* ---- what is refused ------------------------------------------------------------------------ */

#define GBDT HEAD ONE_FEATURE "'kind':'gbdt','compare':'le',"
#define TREE_OF(members) GBDT "'trees':[{" members "}]}"
#define LINEAR HEAD TWO_FEATURES "'kind':'linear',"
#define CARD_OF(members)                                                                           \
    HEAD "'kind':'scorecard','features':[{'name':'x'},{'name':'c','type':'category','levels':['a'" \
         ",'b']}],'attributes':[{" members "}]}"

static const struct {
    const char *text;
    const char *at;
    const char *reason;
} wrong[] = {
    {"{'format':'augury-model'}", "format_version", "whole number"},
    {"{'format':'augury-model','format_version':2}", "", "reads version 1"},
    {HEAD "'kind':'magic'}", "kind", "expected forest"},
    {HEAD "'kind':'gbdt','tress':[]}", "", "\"tress\" is not known"},
    {HEAD "'kind':'gbdt'}", "features", "array"},
    {HEAD "'kind':'gbdt','features':[{}]}", "features[0]", "\"name\""},
    {HEAD "'kind':'gbdt','features':[{'name':'x','type':'colour'}]}", "features[0]", "type"},
    {HEAD "'kind':'gbdt','features':[{'name':'x','levels':['a']}]}", "features[0]", "category"},
    {HEAD "'kind':'gbdt','features':[{'name':'x','type':'category','unknown':true}]}",
     "features[0]", "with levels"},
    {HEAD ONE_FEATURE "'kind':'gbdt'," STUMP "}", "compare", "f32_le"},
    {GBDT "'trees':3}", "trees", "array"},
    {GBDT "'link':'cosine'," STUMP "}", "link", "identity"},
    {GBDT "'outputs':0," STUMP "}", "outputs", "from 1"},
    {GBDT "'outputs':5000," STUMP "}", "outputs", "4096"},
    {GBDT "'init':[1,2]," STUMP "}", "init", "2 numbers for 1"},
    {GBDT "'init':[NaN]," STUMP "}", "init", "finite"},
    {GBDT "'classes':['a','b','c']," STUMP "}", "", "3 names of classes"},
    {GBDT "'divisor':0," STUMP "}", "", "divisor"},
    {TREE_OF("'left':[1,-1]"), "tree 0", "\"right\" must be an array with an item for each"},
    {TREE_OF("'left':[]"), "tree 0", "\"left\""},
    {TREE_OF("'left':[-1],'right':[-1],'feature':[0],'threshold':[0],'value':[[1]]"),
     "tree 0, node 0", "finite number"},
    {TREE_OF("'left':[-1],'right':[-1],'feature':[0],'threshold':[0],'value':[Infinity]"),
     "tree 0, node 0", "finite"},
    {TREE_OF("'left':[0],'right':[0],'feature':[0],'threshold':[0],'value':[0]"), "tree 0, node 0",
     "reached twice"},
    {TREE_OF("'left':[7,-1],'right':[1,-1],'feature':[0,0],'threshold':[0,0],'value':[0,1]"),
     "tree 0, node 0", "child 7"},
    {TREE_OF("'left':[1,-1,-1],'right':[2,-1,-1],'feature':[4,0,0],'threshold':[0,0,0],"
             "'value':[0,1,2]"),
     "tree 0, node 0", "feature 4"},
    {TREE_OF("'left':[1,-1,-1],'right':[2,-1,-1],'feature':[0,0,0],'threshold':[NaN,0,0],"
             "'value':[0,1,2]"),
     "tree 0, node 0", "threshold"},
    {TREE_OF("'left':[-1],'right':[-1],'feature':[0],'threshold':[0],'value':[1],'output':1"),
     "tree 0", "from 0 to 0"},
    {TREE_OF("'left':[-1],'right':[-1],'feature':[0],'threshold':[0],'value':[1],'sets':"
             "[{'node':1,'side':'left','members':[]}]"),
     "tree 0", "from 0 to 0"},
    {TREE_OF("'left':[-1],'right':[-1],'feature':[0],'threshold':[0],'value':[1],"
             "'missing_left':[2]"),
     "tree 0, node 0", "0 or 1"},
    {LINEAR "'weights':[[1]],'bias':[0]}", "weights", "2 numbers"},
    {LINEAR "'weights':[[1,2]],'bias':[0,1]}", "weights", "2 biases for 1"},
    {LINEAR "'weights':[[1,2],[3,4]],'bias':[0,1]}", "layers[0]", "one an output"},
    {LINEAR "'inputs':[{'feature':'z'}],'weights':[[1]],'bias':[0]}", "inputs[0]", "\"z\""},
    {LINEAR "'inputs':[{'feature':2}],'weights':[[1]],'bias':[0]}", "inputs[0]", "0 to 1"},
    {LINEAR "'inputs':[{'feature':0,'steps':[['cube']]}],'weights':[[1]],'bias':[0]}", "inputs[0]",
     "a step is"},
    {LINEAR "'inputs':[{'feature':0,'steps':[['divide',0]]}],'weights':[[1]],'bias':[0]}",
     "inputs[0]", "divides by 0"},
    {LINEAR "'inputs':[{'feature':0,'steps':[['find',[2,1],[0,0],0,0]]}],'weights':[[1]],"
            "'bias':[0]}",
     "inputs[0]", "ascending"},
    {HEAD TWO_FEATURES "'kind':'mlp','layers':[]}", "layers", "array"},
    {HEAD TWO_FEATURES "'kind':'mlp','layers':[{'weights':[[1,2]],'bias':[0],'activation':"
                       "'step'}]}",
     "layers[0]", "relu"},
    {HEAD TWO_FEATURES "'kind':'mlp','layers':[{'weights':[[1,2]],'bias':[0],'activation':"
                       "'relu'},{'weights':[[1,2]],'bias':[0],'activation':'relu'}]}",
     "layers[1]", "1 numbers"},
    {CARD_OF("'feature':'x','cuts':[1,2],'points':[1]"), "attributes[0]", "3 bins"},
    {CARD_OF("'feature':'x','cuts':[2,1],'points':[1,2,3]"), "attributes[0]", "ascending"},
    {CARD_OF("'feature':'x','levels':[['a']],'points':[1]"), "attributes[0]", "\"cuts\""},
    {CARD_OF("'feature':'c','levels':[['a']],'points':[1]"), "attributes[0]", "\"b\" has no"},
    {CARD_OF("'feature':'c','levels':[['a','b','a']],'points':[1]"), "attributes[0]",
     "\"a\" has points already"},
    {CARD_OF("'feature':'c','levels':[['q']],'points':[1]"), "attributes[0]", "\"q\" is none"},
    {CARD_OF("'feature':'x','cuts':[],'points':[1],'reasons':['a','b']"), "attributes[0]",
     "one for each of 1"},
};

static void
what_is_wrong_is_refused_with_its_place(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        struct fixture f = read_json(wrong[i].text);
        printf("# %s: %s: %s\n", wrong[i].text, f.err.at, f.err.reason);
        CHECK(f.rc < 0);
        CHECK_TEXT(f.err.at, wrong[i].at);
        CHECK_CONTAINS(f.err.reason, wrong[i].reason);
        fixture_close(&f);
    }
}

/* The sanitizers watch. */
static void
evaluate_if_open(struct bytes blob)
{
    double rows[64] = {0.0, 1.0, NAN, INFINITY, -1e300};
    double margins[8];
    struct model_reason reasons[4];
    struct model model;

    if (model_open(blob, MODEL_CHECK_ALL, &model, NULL) != 0) {
        return;
    }
    void *scratch = aligned_alloc(64, model_scratch_bytes(&model, 1));
    CHECK(model.feature_count < 64 && model.output_count <= 8);
    model_margins(&model, rows, 1, scratch, margins);
    (void)model_reasons(&model, rows, 4, reasons);
    (void)model_class_name(&model, 0);
    free(scratch);
}

static void
a_damaged_blob_of_any_kind_is_refused_or_harmless(void)
{
    struct fixture kinds[] = {
        read_json(card),
        read_json(LINEAR "'inputs':[{'feature':0,'steps':[['find',[1,2],[0,0],0,0],['fill',1]]},"
                         "{'feature':1}],'weights':[[1,2]],'bias':[0]}"),
    };

    for (size_t m = 0; m < AUGURY_COUNT(kinds); m++) {
        struct fixture *f = &kinds[m];
        CHECK_INT(f->rc, 0);
        uint64_t total = f->blob.len;
        uint8_t *copy = aligned_alloc(64, (total + 63) / 64 * 64);
        for (uint64_t at = 40; at < total; at += 4) {
            static const uint32_t values[] = {0, 1, 9, UINT32_MAX, 0x7ff00000, 1u << 30};
            for (size_t v = 0; v < AUGURY_COUNT(values); v++) {
                memcpy(copy, f->blob.data, total);
                memcpy(copy + at, &values[v], 4);
                struct digest digest = digest_of(bytes_of(copy + 40, total - 40));
                memcpy(copy + 24, &digest.lo, 8);
                memcpy(copy + 32, &digest.hi, 8);
                evaluate_if_open(bytes_of(copy, total));
            }
        }
        free(copy);
        fixture_close(f);
    }
}

int
main(void)
{
    TAP_RUN(le_sends_the_threshold_itself_left_and_lt_right);
    TAP_RUN(f32_le_decides_as_a_value_rounded_to_float32_does);
    TAP_RUN(missing_values_infinite_thresholds_and_category_sets_go_where_the_tree_says);
    TAP_RUN(a_forest_of_vectors_answers_the_mean_with_names_of_classes);
    TAP_RUN(inputs_are_computed_step_by_step);
    TAP_RUN(a_tree_reads_more_inputs_than_there_are_features);
    TAP_RUN(a_perceptron_runs_its_layers);
    TAP_RUN(a_scorecard_adds_the_points_of_each_bin);
    TAP_RUN(points_double_the_odds);
    TAP_RUN(reasons_come_by_points_lost_each_code_once);
    TAP_RUN(a_model_that_passes_its_self_test_is_read_and_another_refused);
    TAP_RUN(what_is_wrong_is_refused_with_its_place);
    TAP_RUN(a_damaged_blob_of_any_kind_is_refused_or_harmless);
    return tap_done();
}
