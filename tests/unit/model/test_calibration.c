/* SPDX-License-Identifier: MIT */
/*
 * test_calibration.c - scores of held-out rows in a blob: which one a level asks for, groups,
 * refusals, the bytes, and that a damaged section is refused.
 */
#include "maker.h"

#include "../../../src/model/calibration.h"

enum { ROWS_MAX = 20000, FEATURES = 3 };

/* A model without trees, which answers 0.5 for every row, whatever its features are: a target is
 * 0.5 plus the score that is wanted. */
#define MODEL_OF(objective, base_score)                                                            \
    "{\"learner\":{\"feature_names\":[\"a\",\"b\",\"c\"],\"feature_types\":[],"                    \
    "\"gradient_booster\":{\"name\":\"gbtree\",\"model\":{\"gbtree_model_param\":{\"num_trees\":"  \
    "\"0\",\"num_parallel_tree\":\"1\"},\"tree_info\":[],\"trees\":[]}},"                          \
    "\"learner_model_param\":{\"base_score\":\"" base_score                                        \
    "\",\"num_class\":\"0\",\"num_feature\":\"3\"},"                                               \
    "\"objective\":{\"name\":\"" objective "\",\"reg_loss_param\":{\"scale_pos_weight\":"          \
    "\"1\"}}},\"version\":[1,7,4]}"
static const char constant[] = MODEL_OF("reg:squarederror", "5E-1");

static float rows[ROWS_MAX][FEATURES];
static double targets[ROWS_MAX];

static uint64_t state = 1;

static uint32_t
random_below(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % below);
}

/* Targets whose scores are 1 to count, in some order; every feature 0. */
static void
make_rows(size_t count)
{
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < count; i++) {
        targets[i] = 0.5 + (double)(i + 1);
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below((uint32_t)i);
        double swapped = targets[i - 1];
        targets[i - 1] = targets[other];
        targets[other] = swapped;
    }
    for (size_t i = 0; i < count; i += 3) {
        targets[i] = 1.0 - targets[i]; /* the other side: the same distance */
    }
}

struct calibrated {
    struct buf blob;
    struct model model;
    struct err err;
    int rc;
};

static const struct model_calibrator_options plain = {.target = "y", .group_feature = -1};

static struct calibrated
calibrate(const struct model *model, const struct model_calibrator_options *options, size_t count)
{
    struct calibrated done = {0};
    struct model_calibrator *calibrator = NULL;

    buf_init(&done.blob, (size_t)1 << 30);
    done.rc = model_calibrator_new(model, options, &calibrator, &done.err);
    if (done.rc == 0) {
        done.rc = model_calibrator_add(calibrator, rows, targets, count, &done.err);
    }
    if (done.rc == 0) {
        done.rc = model_calibrator_finish(calibrator, &done.blob, &done.err);
    }
    if (done.rc == 0) {
        done.rc = model_open(buf_view(&done.blob), MODEL_CHECK_ALL, &done.model, &done.err);
    }
    model_calibrator_free(&calibrator);
    return done;
}

static double
score_at(const struct calibrated *done, double level)
{
    static const float zeros[FEATURES];

    return model_calibration_score(&done->model, zeros, level);
}

/* ---- levels -------------------------------------------------------------------------------- */

static void
the_score_has_the_conformal_rank_and_too_few_rows_none(void)
{
    struct fixture fixture = fixture_of_text(constant);

    CHECK_INT(fixture.rc, 0);
    make_rows(99);
    struct calibrated done = calibrate(&fixture.model, &plain, 99);
    CHECK_INT(done.rc, 0);
    CHECK(score_at(&done, 0.001) == 1);
    CHECK(score_at(&done, 0.07) == 7);
    CHECK(score_at(&done, 0.0701) == 8);
    CHECK(score_at(&done, 0.5) == 50);
    CHECK(score_at(&done, 0.9) == 90);
    CHECK(score_at(&done, 0.95) == 95);
    CHECK(score_at(&done, 0.99) == 99);
    CHECK(isinf(score_at(&done, 0.991)));
    struct model_calibration said = model_calibration(&done.model);
    CHECK_INT(said.score, MODEL_SCORE_RESIDUAL);
    CHECK_INT(said.row_count, 99);
    CHECK_INT(said.group_count, 0);
    CHECK(bytes_equal_text(said.target, "y"));
    CHECK_INT(model_calibration(&fixture.model).score, MODEL_SCORE_NONE);
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

static size_t
read_numbers(const char *name, double (*out_rows)[2], size_t width)
{
    const char *source = getenv("AUGURY_SOURCE");
    char path[1024];
    char line[128];
    size_t count = 0;

    snprintf(path, sizeof(path), "%s/tests/data/calibration/%s", source == NULL ? "." : source,
             name);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL && count < 1000) {
        char *at = line;
        for (size_t i = 0; i < width; i++) {
            out_rows[count][i] = strtod(at, &at);
        }
        count++;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

static void
scores_with_ties_are_those_of_numpy(void)
{
    static double scores[1000][2];
    static double wanted[1000][2];
    struct fixture fixture = fixture_of_text(constant);
    size_t count = read_numbers("scores.tsv", scores, 1);
    size_t levels = read_numbers("quantiles.tsv", wanted, 2);

    CHECK_INT(count, 499);
    CHECK_INT(levels, 9);
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < count; i++) {
        targets[i] = 0.5 + scores[i][0];
    }
    struct calibrated done = calibrate(&fixture.model, &plain, count);
    CHECK_INT(done.rc, 0);
    for (size_t i = 0; i < levels; i++) {
        CHECK(fabs(score_at(&done, wanted[i][0]) - wanted[i][1]) < 1e-12);
    }
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

static void
many_scores_are_thinned_and_never_promise_more_than_they_hold(void)
{
    struct fixture fixture = fixture_of_text(constant);

    make_rows(ROWS_MAX);
    struct calibrated done = calibrate(&fixture.model, &plain, ROWS_MAX);
    CHECK_INT(done.rc, 0);
    CHECK_INT(model_calibration(&done.model).row_count, ROWS_MAX);
    CHECK(done.blob.len - fixture.blob.len < (MODEL_CALIBRATION_SCORES_MAX + 32) * sizeof(double));
    for (unsigned i = 1; i < 1000; i++) {
        double level = i / 1000.0;
        double exact = ceil((ROWS_MAX + 1.0) * level - 1e-9);
        double score = score_at(&done, level);
        if (score < exact || score > exact + (double)ROWS_MAX / MODEL_CALIBRATION_SCORES_MAX + 1) {
            TAP_FAIL("level %g: %g, exact %g", level, score, exact);
        }
    }
    CHECK(score_at(&done, (double)ROWS_MAX / (ROWS_MAX + 1)) == ROWS_MAX);
    CHECK(isinf(score_at(&done, 0.99999)));
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

/* ---- groups -------------------------------------------------------------------------------- */

static double
score_of_group(const struct calibrated *done, float value, double level)
{
    const float row[FEATURES] = {0, value, 0};

    return model_calibration_score(&done->model, row, level);
}

static void
groups_have_scores_of_their_own_and_others_those_of_all_rows(void)
{
    struct fixture fixture = fixture_of_text(constant);
    struct model_calibrator_options options = {.target = "y", .group_feature = 1};

    make_rows(150);
    for (size_t i = 0; i < 150; i++) {
        double score = fabs(targets[i] - 0.5);
        /* 1 to 50, 51 to 129, five rows of a rare one, and rows without */
        rows[i][1] = score <= 50 ? -2.0f : score <= 129 ? 7.0f : score <= 134 ? 8.0f : NAN;
    }
    struct calibrated done = calibrate(&fixture.model, &options, 150);
    CHECK_INT(done.rc, 0);
    struct model_calibration said = model_calibration(&done.model);
    CHECK_INT(said.group_count, 2);
    CHECK_INT(said.group_feature, 1);
    CHECK(model_calibration_group(&done.model, 0).from == -2.0);
    CHECK_INT(model_calibration_group(&done.model, 0).row_count, 50);
    CHECK_INT(model_calibration_group(&done.model, 1).row_count, 79);
    CHECK(score_of_group(&done, -2.0f, 0.5) == 26); /* ceil(51 / 2) */
    CHECK(score_of_group(&done, 7.0f, 0.5) == 50 + 40);
    double of_all = ceil(151 * 0.5);
    CHECK(score_of_group(&done, 8.0f, 0.5) == of_all);
    CHECK(score_of_group(&done, NAN, 0.5) == of_all);
    CHECK(score_of_group(&done, 0.0f, 0.5) == of_all);
    CHECK(score_of_group(&done, 9.0f, 0.5) == of_all);
    CHECK(isinf(score_of_group(&done, -2.0f, 0.99)));
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

static void
ranges_of_a_number_are_groups_too(void)
{
    struct fixture fixture = fixture_of_text(constant);
    struct model_calibrator_options options = {.target = "y", .group_feature = 1, .bins = 4};

    make_rows(200);
    for (size_t i = 0; i < 200; i++) {
        rows[i][1] = (float)fabs(targets[i] - 0.5) / 10.0f; /* 0.1 to 20: the larger, the farther */
    }
    struct calibrated done = calibrate(&fixture.model, &options, 200);
    CHECK_INT(done.rc, 0);
    struct model_calibration said = model_calibration(&done.model);
    CHECK_INT(said.group_count, 4);
    CHECK(said.is_binned);
    CHECK(isinf(model_calibration_group(&done.model, 0).from));
    CHECK((float)model_calibration_group(&done.model, 2).from == 10.1f);
    CHECK_INT(model_calibration_group(&done.model, 3).row_count, 50);
    CHECK(score_of_group(&done, -100.0f, 0.5) == 26);
    CHECK(score_of_group(&done, 5.05f, 0.5) == 26);
    CHECK(score_of_group(&done, 5.1f, 0.5) == 76);
    CHECK(score_of_group(&done, 1e30f, 0.5) == 176);
    CHECK(score_of_group(&done, NAN, 0.5) == 101);
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

static void
equal_values_never_part_into_two_ranges(void)
{
    struct fixture fixture = fixture_of_text(constant);
    struct model_calibrator_options options = {.target = "y", .group_feature = 1, .bins = 8};

    make_rows(200);
    for (size_t i = 0; i < 200; i++) {
        rows[i][1] = i < 120 ? 3.0f : 4.0f;
    }
    struct calibrated done = calibrate(&fixture.model, &options, 200);
    CHECK_INT(done.rc, 0);
    CHECK_INT(model_calibration(&done.model).group_count, 2);
    CHECK_INT(model_calibration_group(&done.model, 0).row_count, 120);
    CHECK(model_calibration_group(&done.model, 1).from == 4.0);
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

/* ---- classes ------------------------------------------------------------------------------- */

static void
the_score_of_a_classifier_is_what_the_true_class_lacks_to_certainty(void)
{
    struct fixture fixture = fixture_of_text(MODEL_OF("binary:logistic", "2.5E-1"));
    const double one = 0.75; /* class 1 has a quarter */
    const double zero = 0.25;

    CHECK_INT(fixture.rc, 0);
    CHECK_INT(fixture.model.probability_count, 2);
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < 39; i++) {
        targets[i] = i < 26 ? 1 : 0;
    }
    struct calibrated done = calibrate(&fixture.model, &plain, 39);
    CHECK_INT(done.rc, 0);
    CHECK_INT(model_calibration(&done.model).score, MODEL_SCORE_CLASS);
    CHECK(fabs(score_at(&done, 0.3) - zero) < 1e-7); /* 13 of 39 rows */
    CHECK(fabs(score_at(&done, 0.4) - one) < 1e-7);
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

/* ---- quantiles ----------------------------------------------------------------------------- */

static void
two_models_of_quantiles_are_kept_whole_inside(void)
{
    struct fixture middle = fixture_of_text(constant);
    struct fixture high = fixture_of_text(MODEL_OF("reg:squarederror", "9E0"));
    struct model lower, upper;

    CHECK_INT(high.rc, 0);
    struct model_calibrator_options options = {
        .target = "y", .group_feature = -1, .lower = &middle.model, .upper = &high.model};
    memset(rows, 0, sizeof(rows));
    for (size_t i = 0; i < 39; i++) {
        targets[i] = 9.0 - 5.0 + (double)(i + 1) * 0.5; /* 4.5 to 23.5: 4.5 inside 9 to 14.5 out */
    }
    struct calibrated done = calibrate(&middle.model, &options, 39);
    CHECK_INT(done.rc, 0);
    CHECK_INT(model_calibration(&done.model).score, MODEL_SCORE_QUANTILES);
    CHECK(score_at(&done, 0.01) == -4.0); /* 4.5: nearer to 0.5 than to 9, by 4 */
    CHECK(score_at(&done, 0.975) == 14.5);
    CHECK_INT(model_calibration_models(&done.model, &lower, &upper, &done.err), 0);
    CHECK(digest_equal(lower.content, middle.model.content));
    CHECK(digest_equal(upper.content, high.model.content));
    CHECK_INT((uintptr_t)(lower.blob - done.blob.data) % BLOB_ALIGN, 0);
    buf_fini(&done.blob);
    fixture_close(&middle);
    fixture_close(&high);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void
refused(const struct model *model, const struct model_calibrator_options *options, size_t count,
        const char *code, const char *words)
{
    struct calibrated done = calibrate(model, options, count);

    CHECK(done.rc < 0);
    CHECK_TEXT(done.err.code, code);
    CHECK_CONTAINS(done.err.reason, words);
    buf_fini(&done.blob);
}

static void
what_cannot_be_calibrated_is_refused_with_the_reason(void)
{
    struct model_calibrator_options grouped = {.target = "y", .group_feature = 1};
    struct model_calibrator_options binned = {.target = "y", .group_feature = 1, .bins = 64};
    struct fixture fixture = fixture_of_text(constant);
    struct fixture other = fixture_of_file("stump.json", NULL);
    struct model_calibrator_options differing = {
        .target = "y", .group_feature = -1, .lower = &other.model, .upper = &other.model};

    make_rows(ROWS_MAX);
    refused(&fixture.model, &plain, 19, "too_few_rows", "at least 20 are needed");
    for (size_t i = 0; i < ROWS_MAX; i++) {
        rows[i][1] = (float)i;
    }
    refused(&fixture.model, &grouped, 400, "too_few_rows", "--group-bins");
    refused(&fixture.model, &binned, 640, "too_few_rows", "fewer ranges");
    for (size_t i = 0; i < ROWS_MAX; i++) {
        rows[i][1] = (float)(i % 300);
    }
    refused(&fixture.model, &grouped, ROWS_MAX, "too_many_groups", "--group-bins");
    refused(&fixture.model, &differing, 40, "models_differ", "lower");
    fixture_close(&fixture);
    fixture_close(&other);

    struct maker maker = maker_init(5, 2, 3, 1);
    maker_grow(&maker, 0, 3, MAKER_NUMERIC);
    struct fixture wide = maker_compile(&maker);
    CHECK_INT(wide.rc, 0);
    refused(&wide.model, &plain, 40, "not_calibratable", "3 numbers");
    fixture_close(&wide);
    arena_fini(&maker.arena);
}

/* ---- bytes --------------------------------------------------------------------------------- */

static void
another_calibration_takes_the_place_of_the_first(void)
{
    struct fixture fixture = fixture_of_text(constant);

    make_rows(300);
    struct calibrated first = calibrate(&fixture.model, &plain, 100);
    struct calibrated again = calibrate(&first.model, &plain, 300);
    struct calibrated at_once = calibrate(&fixture.model, &plain, 300);
    CHECK_INT(again.rc, 0);
    CHECK(bytes_equal(buf_view(&again.blob), buf_view(&at_once.blob)));
    CHECK(!digest_equal(first.model.content, fixture.model.content));
    buf_fini(&first.blob);
    buf_fini(&again.blob);
    buf_fini(&at_once.blob);
    fixture_close(&fixture);
}

static void
the_section_is_the_documented_bytes(void)
{
    struct fixture fixture = fixture_of_text(constant);
    struct model_calibrator_options options = {.target = "strength", .group_feature = 2, .bins = 2};

    make_rows(40);
    for (size_t i = 0; i < 40; i++) {
        rows[i][2] = (float)i;
    }
    struct calibrated done = calibrate(&fixture.model, &options, 40);
    CHECK_INT(done.rc, 0);
    const struct blob_header *header = blob_header(&done.model);
    const uint8_t *section = done.blob.data + header->sections[BLOB_CALIBRATION].offset;
    double from, score;
    CHECK_INT(header->sections[BLOB_CALIBRATION].offset, header->total_bytes - 40 - 72 - 640 - 8);
    CHECK_INT(le32_get(section), 1);
    CHECK_INT(le32_get(section + 4), 1);
    CHECK_INT(le32_get(section + 8), 2);
    CHECK_INT(le32_get(section + 12), 3);
    CHECK_INT(le32_get(section + 16), 80);
    CHECK_INT(le32_get(section + 20), 8);
    memcpy(&from, section + 40 + 2 * 24, sizeof(from));
    CHECK(from == 20.0);
    CHECK_INT(le32_get(section + 40 + 2 * 24 + 8), 20);  /* rows */
    CHECK_INT(le32_get(section + 40 + 2 * 24 + 12), 20); /* scores */
    CHECK_INT(le32_get(section + 40 + 2 * 24 + 16), 60); /* the first of them */
    memcpy(&score, section + 40 + 3 * 24 + 39 * 8, sizeof(score));
    CHECK(score == 40.0);
    CHECK(memcmp(section + 40 + 3 * 24 + 80 * 8, "strength", 8) == 0);
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

/* Whatever a blob with a right checksum says is refused, or can be asked. */
static void
a_damaged_section_is_refused_or_harmless(void)
{
    struct fixture fixture = fixture_of_text(constant);
    struct model_calibrator_options options = {.target = "y",
                                               .group_feature = 1,
                                               .bins = 3,
                                               .lower = &fixture.model,
                                               .upper = &fixture.model};
    size_t refusals = 0, taken = 0;

    make_rows(90);
    for (size_t i = 0; i < 90; i++) {
        rows[i][1] = (float)i;
    }
    struct calibrated done = calibrate(&fixture.model, &options, 90);
    CHECK_INT(done.rc, 0);
    struct blob_header *header = (struct blob_header *)(void *)done.blob.data;
    uint64_t begin = header->sections[BLOB_CALIBRATION].offset;
    for (unsigned round = 0; round < 6000; round++) {
        uint64_t span = round % 2 == 0 ? 120 : header->sections[BLOB_CALIBRATION].bytes;
        uint8_t *at = done.blob.data + begin + random_below((uint32_t)span);
        uint8_t old = *at;
        struct model model;
        *at = (uint8_t)random_below(256);
        blob_seal(header);
        if (model_open(buf_view(&done.blob), MODEL_CHECK_ALL, &model, &done.err) == 0) {
            taken++;
            for (unsigned k = 1; k < 20; k++) {
                (void)model_calibration_score(&model, rows[random_below(90)], k / 20.0);
            }
        } else {
            refusals++;
        }
        *at = old;
    }
    CHECK(refusals > 1000);
    CHECK(taken > 100);
    buf_fini(&done.blob);
    fixture_close(&fixture);
}

int
main(void)
{
    TAP_RUN(the_score_has_the_conformal_rank_and_too_few_rows_none);
    TAP_RUN(scores_with_ties_are_those_of_numpy);
    TAP_RUN(many_scores_are_thinned_and_never_promise_more_than_they_hold);
    TAP_RUN(groups_have_scores_of_their_own_and_others_those_of_all_rows);
    TAP_RUN(ranges_of_a_number_are_groups_too);
    TAP_RUN(equal_values_never_part_into_two_ranges);
    TAP_RUN(the_score_of_a_classifier_is_what_the_true_class_lacks_to_certainty);
    TAP_RUN(two_models_of_quantiles_are_kept_whole_inside);
    TAP_RUN(what_cannot_be_calibrated_is_refused_with_the_reason);
    TAP_RUN(another_calibration_takes_the_place_of_the_first);
    TAP_RUN(the_section_is_the_documented_bytes);
    TAP_RUN(a_damaged_section_is_refused_or_harmless);
    return tap_done();
}
