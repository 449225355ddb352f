/* SPDX-License-Identifier: MIT */
/* test_schema.c - names, types, levels: who says what, and what happens when they disagree. */
#include "fixture.h"

static struct fixture
with_schema(const char *file, const char *names, const char *schema)
{
    const struct model_import_options options = {
        .names = names,
        .schema = schema == NULL ? bytes_of(NULL, 0) : bytes_of_text(schema),
    };

    return fixture_of_file(file, &options);
}

static void
features_without_names_are_numbered(void)
{
    struct fixture f = with_schema("stump.json", NULL, NULL);

    CHECK_INT(f.rc, 0);
    CHECK(bytes_equal_text(model_feature(&f.model, 0).name, "f0"));
    CHECK(bytes_equal_text(model_feature(&f.model, 1).name, "f1"));
    CHECK_INT(model_feature(&f.model, 1).type, MODEL_FLOAT);
    CHECK(model_feature(&f.model, 1).is_missing_allowed);
    fixture_close(&f);
}

static void
names_may_be_given_in_a_list(void)
{
    struct fixture f = with_schema("stump.json", "down, togo", NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature_find(&f.model, bytes_of_text("down"), 0), 0);
    CHECK_INT(model_feature_find(&f.model, bytes_of_text("togo"), 99), 1);
    fixture_close(&f);
}

static void
a_schema_file_gives_names_types_levels_and_whether_missing_is_allowed(void)
{
    struct fixture f = with_schema(
        "stump.json", NULL,
        "{\"features\":[{\"name\":\"down\",\"type\":\"integer\",\"missing\":false},"
        "{\"name\":\"roof\",\"type\":\"category\",\"levels\":[\"open\",\"dome\",\"closed\"]}]}");

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature(&f.model, 0).type, MODEL_INTEGER);
    CHECK(!model_feature(&f.model, 0).is_missing_allowed);
    CHECK_INT(model_feature(&f.model, 1).type, MODEL_CATEGORY);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("open")), 0);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("dome")), 1);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("closed")), 2);
    CHECK_INT(model_feature_level_find(&f.model, 1, bytes_of_text("")), -1);
    fixture_close(&f);
}

static void
a_schema_may_repeat_the_file_but_not_contradict_it(void)
{
    struct fixture same = with_schema("two-trees.json", "down,togo", NULL);
    struct fixture other = with_schema("two-trees.json", "togo,down", NULL);
    struct fixture levels = with_schema(
        "categories-named.json", NULL,
        "{\"features\":[{\"name\":\"team\",\"levels\":[\"AB\",\"x\",\"\"]},{\"name\":\"x\"}]}");

    CHECK_INT(same.rc, 0);
    CHECK_INT(other.rc, AUGURY_ERR_INVALID);
    CHECK_CONTAINS(other.err.reason, "contradicts \"down\"");
    CHECK_TEXT(other.err.at, "features[0]");
    CHECK_INT(levels.rc, AUGURY_ERR_INVALID);
    CHECK_CONTAINS(levels.err.reason, "categories");
    fixture_close(&same);
    fixture_close(&other);
    fixture_close(&levels);
}

static void
a_schema_that_is_wrong_is_refused(void)
{
    static const struct {
        const char *names;
        const char *schema;
        const char *words;
    } cases[] = {
        {"a", NULL, "lists 1 features, the model has 2"},
        {"a,b,c", NULL, "lists 3 features"},
        {"a,", NULL, "not empty"},
        {"a,a", NULL, "both named \"a\""},
        {"a,\xff", NULL, "UTF-8"},
        {NULL, "[]", ""},
        {NULL, "{}", "features"},
        {NULL, "{\"features\":[]}", "lists 0 features"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"x\":1}", "one member"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":1}]}", "string"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"type\":\"float\"}]}", "\"name\""},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"type\":\"real\"}]}",
         "float, integer, boolean or category"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"missing\":0}]}", "true or false"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"unknown\":0}]}", "true or false"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"unknown\":true}]}",
         "with levels"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"levels\":[\"x\"]}]}",
         "category alone"},
        {NULL,
         "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"type\":\"category\","
         "\"levels\":[\"x\",\"x\"]}]}",
         "two levels of one name"},
        {NULL,
         "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"type\":\"category\",\"levels\":[1]}]}",
         "array of strings"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\",\"extra\":1}]}", "members"},
        {NULL, "{\"features\":[{\"name\":\"a\"},{\"name\":\"b\"}]", ""},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture f = with_schema("stump.json", cases[i].names, cases[i].schema);
        if (f.rc >= 0 || strstr(f.err.reason, cases[i].words) == NULL) {
            TAP_FAIL("case %zu gives %d, \"%s\"", i, f.rc, f.err.reason);
        }
        fixture_close(&f);
    }
}

static void
a_feature_split_by_categories_cannot_be_a_number(void)
{
    struct fixture f =
        with_schema("categorical.json", NULL,
                    "{\"features\":[{\"name\":\"team\",\"type\":\"float\"},{\"name\":\"x\"}]}");

    CHECK_INT(f.rc, AUGURY_ERR_INVALID);
    CHECK_TEXT(f.err.at, "tree 0, node 0");
    CHECK_CONTAINS(f.err.reason, "\"team\"");
    fixture_close(&f);
}

static void
a_feature_split_by_categories_is_one_though_nobody_said_so(void)
{
    struct fixture f = fixture_of_file("sparse-categories.json", NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_feature(&f.model, 0).type, MODEL_CATEGORY);
    fixture_close(&f);
}

int
main(void)
{
    TAP_RUN(features_without_names_are_numbered);
    TAP_RUN(names_may_be_given_in_a_list);
    TAP_RUN(a_schema_file_gives_names_types_levels_and_whether_missing_is_allowed);
    TAP_RUN(a_schema_may_repeat_the_file_but_not_contradict_it);
    TAP_RUN(a_schema_that_is_wrong_is_refused);
    TAP_RUN(a_feature_split_by_categories_cannot_be_a_number);
    TAP_RUN(a_feature_split_by_categories_is_one_though_nobody_said_so);
    return tap_done();
}
