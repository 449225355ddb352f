/* SPDX-License-Identifier: MIT */
/* test_import.c - what XGBoost files become: small files written by hand, results worked out by hand. */
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
    const float missing[] = {NAN, NAN};
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

int
main(void)
{
    TAP_RUN(a_value_below_the_threshold_goes_left_and_the_threshold_itself_right);
    TAP_RUN(a_missing_value_goes_to_the_default_side_and_an_infinite_one_does_not);
    TAP_RUN(names_and_types_come_from_the_file);
    TAP_RUN(dart_weights_count_however_the_version_writes_them);
    return tap_done();
}
