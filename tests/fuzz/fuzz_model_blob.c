/* SPDX-License-Identifier: MIT */
/*
 * fuzz_model_blob.c - a compiled model with changed bytes and a checksum that fits them, as an
 * attacker who can write the file would make it. Input: a byte that picks the model (modulo 6; of
 * 24 and more a forest), and its calibration (of the rest: none, plain, by groups, by quantiles),
 * then changes of four bytes each (offset, offset, offset, value). Properties: refused, or every
 * evaluation by every kernel and each look-up stays inside the blob (the sanitizer watches).
 */
#include "../unit/model/maker.h"

enum { ROWS = 9, REASONS = 4, MODELS = 6, CHOICES = 4 * MODELS, FORESTS = 4, HELD_OUT = 60 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One model a kernel: packed, wide with category sets and levels, linear; wide of float64 with
 * linear leaves; layers behind inputs; a scorecard with reasons. */
#define TREES                                                                                      \
    "{\"base_weights\":[],\"categories\":[1,3,70000],\"categories_nodes\":[0],"                    \
    "\"categories_segments\":[0],\"categories_sizes\":[%s],\"default_left\":[1,0,0,0,0],\"id\":0," \
    "\"left_children\":[1,3,-1,-1,-1],\"right_children\":[2,4,-1,-1,-1],"                          \
    "\"split_conditions\":[0.5,1.5,1,2,3],\"split_indices\":[0,1,0,0,0],"                          \
    "\"split_type\":[%s,0,0,0,0]}"
#define MODEL(booster)                                                                             \
    "{\"learner\":{\"feature_names\":[\"a\",\"b\"],\"gradient_booster\":" booster ","              \
    "\"learner_model_param\":{\"base_score\":\"5E-1\",\"num_feature\":\"2\"},"                     \
    "\"objective\":{\"name\":\"binary:logistic\"}},\"version\":[3,1,0]}"
#define GBTREE                                                                                     \
    "{\"name\":\"gbtree\",\"model\":{\"tree_info\":[0],\"trees\":[" TREES "],"                     \
    "\"cats\":{\"enc\":[{\"offsets\":[0,1,2],\"values\":[120,121]},{\"values\":[]}]}}}"
#define GBLINEAR "{\"name\":\"gblinear\",\"model\":{\"weights\":[0.5,-1.5,2%s%s]}}"

#define LIGHTGBM                                                                                   \
    "tree\nversion=v4\nnum_class=1\nmax_feature_idx=1\nfeature_names=a b\naverage_output\n"        \
    "feature_infos=0:1 [0:1]\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\n"              \
    "threshold=0 0.5\ndecision_type=1 6\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=1 2 3\n"   \
    "cat_boundaries=0 1\ncat_threshold=2\nis_linear=1\nleaf_const=4 5 6\nnum_features=2 0 1\n"     \
    "leaf_features=0 1  1\nleaf_coeff=0.5 2  3\n\nend of "                                         \
    "trees\n\npandas_categorical:[[\"x\",\"y\"]]"

#define FEATURES                                                                                   \
    "\"format\":\"augury-model\",\"format_version\":1,\"classes\":[\"no\",\"yes\"],"               \
    "\"features\":[{\"name\":\"x\"},{\"name\":\"c\",\"type\":\"category\",\"levels\":[\"a\","      \
    "\"b\"]}],"
#define PERCEPTRON                                                                                 \
    "{" FEATURES "\"kind\":\"mlp\",\"link\":\"sigmoid\",\"inputs\":[{\"feature\":1,\"steps\":"     \
    "[[\"find\",[0,1],[5,6],-1,null],[\"fill\",2]]},{\"feature\":0}],\"layers\":[{\"weights\":"    \
    "[[1,2],[3,4],[5,6]],\"bias\":[1,2,3],\"activation\":\"relu\"},{\"weights\":[[1,2,3]],"        \
    "\"bias\":[1],\"activation\":\"identity\"}]}"
#define SCORECARD                                                                                  \
    "{" FEATURES "\"kind\":\"scorecard\",\"attributes\":[{\"feature\":0,\"cuts\":[1,2],"           \
    "\"points\":[1,2,3],\"missing\":4,\"reason\":\"r\"},{\"feature\":1,\"levels\":[[\"a\"]],"      \
    "\"points\":[7],\"other\":3,\"missing\":1,\"reasons\":[\"s\"]}]}"

static void
make_blob(unsigned which, struct buf *out_blob)
{
    static const struct model_import_options options;
    char text[4096];
    struct err err;

    if (which % 6 >= 3) {
        static const char *const texts[] = {LIGHTGBM, PERCEPTRON, SCORECARD};
        struct bytes whole = bytes_of_text(texts[which % 6 - 3]);
        AUGURY_ASSERT(model_import(whole, &options, out_blob, &err) == 0);
        return;
    }
    if (which % 6 == 0) {
        snprintf(text, sizeof(text), MODEL(GBTREE), "3", "0");
    } else if (which % 6 == 1) {
        snprintf(text, sizeof(text), MODEL(GBTREE), "3", "1");
    } else {
        snprintf(text, sizeof(text), MODEL(GBLINEAR), "", "");
    }
    AUGURY_ASSERT(model_import(bytes_of_text(text), &options, out_blob, &err) == 0);
}

/* Trees of every kernel, with ranks, ways of several records and sparse trees: by `which` of both
 * numbers, of one sum, several in turn, several by tree or vectors. */
static void
make_forest(unsigned which, struct buf *out_blob)
{
    const uint32_t outputs[FORESTS] = {1, 3, 2, 3};
    struct maker maker = maker_init(which + 1, 4, outputs[which % FORESTS], 18);
    struct fixture fixture;

    maker.model.number = which / FORESTS % 2 == 0 ? MODEL_FLOAT32 : MODEL_FLOAT64;
    maker.model.leaf_width = which % FORESTS == 3 ? 3 : 1;
    maker.model.divisor = which % FORESTS == 2 ? 7.0 : 1.0;
    for (uint32_t t = 0; t < maker.model.tree_count; t++) {
        maker_grow(&maker, t, t % 6 == 0 ? 40 : 5,
                   t % 6 == 0                 ? MAKER_CHAIN
                   : which % FORESTS % 2 == 0 ? MAKER_NUMERIC
                                              : MAKER_RULES);
        if (which % FORESTS == 1) {
            maker_tree(&maker, t)->output = t % 3;
        }
    }
    fixture = maker_compile(&maker);
    AUGURY_ASSERT(fixture.rc == 0);
    *out_blob = fixture.blob;
    free(fixture.scratch);
    arena_fini(&maker.arena);
}

/* What the model is calibrated with; linear models have one output as the trees have. */
static void
calibrate(unsigned how, struct buf *blob)
{
    static double rows[HELD_OUT * 2];
    static double targets[HELD_OUT];
    struct model_calibrator_options options = {
        .target = "y", .group_feature = how == 2 ? 0 : -1, .bins = 0};
    struct model_calibrator *calibrator = NULL;
    struct buf whole;
    struct model model;
    struct err err;

    AUGURY_ASSERT(model_open(buf_view(blob), MODEL_CHECK_ALL, &model, &err) == 0);
    if (how == 3 && model.probability_count == 0) {
        options.lower = options.upper = &model;
    }
    for (size_t i = 0; i < HELD_OUT; i++) {
        model_number_set(&model, rows, 2 * i, (double)(i % 2));
        targets[i] = (double)(i % 2);
    }
    buf_init(&whole, (size_t)1 << 20);
    AUGURY_ASSERT(model_calibrator_new(&model, &options, &calibrator, &err) == 0);
    AUGURY_ASSERT(model_calibrator_add(calibrator, rows, targets, HELD_OUT, &err) == 0);
    AUGURY_ASSERT(model_calibrator_finish(calibrator, &whole, &err) == 0);
    model_calibrator_free(&calibrator);
    buf_fini(blob);
    *blob = whole;
}

/* A copy of the model that was chosen; each is made once. */
static void
make_chosen(unsigned choice, struct buf *out_blob)
{
    static struct buf made[CHOICES + 2 * FORESTS];
    struct buf *blob = &made[choice];

    if (blob->len == 0 && choice >= CHOICES) {
        make_forest(choice - CHOICES, blob);
    } else if (blob->len == 0) {
        buf_init(blob, (size_t)1 << 20);
        make_blob(choice, blob);
        if (choice / MODELS != 0) {
            calibrate(choice / MODELS, blob);
        }
    }
    buf_init(out_blob, blob->len);
    buf_put_bytes(out_blob, buf_view(blob));
    AUGURY_ASSERT(buf_finish(out_blob) == 0);
}

static void
change_and_seal(struct buf *blob, const uint8_t *data, size_t size)
{
    struct blob_header *header = (struct blob_header *)blob->data;

    for (size_t i = 0; i + 4 <= size; i += 4) {
        size_t at = ((size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16);
        blob->data[at % blob->len] = data[i + 3];
    }
    struct digest digest =
        digest_of(bytes_of(blob->data + BLOB_CHECKSUM_FROM, blob->len - BLOB_CHECKSUM_FROM));
    header->checksum_lo = digest.lo;
    header->checksum_hi = digest.hi;
}

/* Each kernel that can run, the ones that would not be chosen for so small a model as well. */
static void
evaluate_by_each_kernel(const struct model *model, const void *rows, void *margins)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(model, names, MODEL_KERNELS_MAX);

    for (size_t i = 0; i < count; i++) {
        struct model forced = *model;
        struct err err;
        AUGURY_ASSERT(model_force_kernel(&forced, names[i], &err) == 0);
        void *scratch = aligned_alloc(64, model_scratch_bytes(&forced, ROWS));
        AUGURY_ASSERT(scratch != NULL);
        model_margins(&forced, rows, ROWS, scratch, margins);
        model_margins(&forced, rows, 1, scratch, margins);
        free(scratch);
    }
}

static void
evaluate(const struct model *model)
{
    size_t values = ROWS * (size_t)model->feature_count;
    size_t outputs = ROWS * (size_t)model->output_count;
    void *rows = calloc(values, sizeof(double));
    void *margins = calloc(outputs, sizeof(double));
    void *answers = calloc(outputs * 2, sizeof(double));
    struct model_reason reasons[REASONS];
    uint32_t *leaves = calloc(ROWS * (size_t)model->tree_count + 1, sizeof(uint32_t));
    void *scratch = aligned_alloc(64, model_scratch_bytes(model, ROWS));

    AUGURY_ASSERT(rows != NULL && margins != NULL && answers != NULL && leaves != NULL &&
                  scratch != NULL);
    for (size_t i = 0; i < values; i++) {
        model_number_set(model, rows, i, i % 5 == 0 ? (double)NAN : (double)(i % 7) * 0.5);
    }
    model_margins(model, rows, ROWS, scratch, margins);
    model_margins(model, rows, 1, scratch, margins);
    evaluate_by_each_kernel(model, rows, margins);
    for (size_t i = model_reasons(model, rows, REASONS, reasons); i > 0; i--) {
        (void)utf8_is_valid(reasons[i - 1].code);
        AUGURY_ASSERT(reasons[i - 1].feature < model->feature_count);
    }
    model_leaves(model, rows, ROWS, scratch, leaves);
    model_predictions(model, margins, ROWS, answers);
    model_probabilities(model, margins, ROWS, answers);
    free(rows);
    free(margins);
    free(answers);
    free(leaves);
    free(scratch);
}

static void
evaluate_all(const struct model *model)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(model, names, MODEL_KERNELS_MAX);
    struct model forced = *model;

    evaluate(model);
    for (size_t i = 0; i < count; i++) {
        AUGURY_ASSERT(model_force_kernel(&forced, names[i], NULL) == 0);
        evaluate(&forced);
    }
}

static void
evaluate_quantiles(const struct model *model, const void *rows)
{
    struct model inner[2];
    double margin = 0;
    struct err err;

    if (model_calibration(model).score != MODEL_SCORE_QUANTILES) {
        return;
    }
    AUGURY_ASSERT(model_calibration_models(model, &inner[0], &inner[1], &err) == 0);
    for (size_t i = 0; i < 2; i++) {
        void *scratch = aligned_alloc(64, model_scratch_bytes(&inner[i], 1));
        AUGURY_ASSERT(scratch != NULL);
        model_margins(&inner[i], rows, 1, scratch, &margin);
        free(scratch);
    }
}

static void
ask_calibration(const struct model *model)
{
    struct model_calibration calibration = model_calibration(model);
    double *row = calloc(model->feature_count, sizeof(double));

    AUGURY_ASSERT(row != NULL);
    (void)utf8_is_valid(calibration.target);
    for (uint32_t i = 0; i < calibration.group_count; i++) {
        (void)model_calibration_group(model, i);
    }
    for (size_t i = 1; i < 8 && calibration.score != MODEL_SCORE_NONE; i++) {
        model_number_set(model, row, 0, (double)(i % 3));
        (void)model_calibration_score(model, row, (double)i / 8.0);
    }
    evaluate_quantiles(model, row);
    free(row);
}

static void
evaluate_contributions(const struct model *model)
{
    size_t bytes = model_contributions_scratch_bytes(model, ROWS);
    void *rows = calloc(ROWS, model->feature_count * sizeof(double));
    void *values = calloc(ROWS, model_contributions_count(model) * sizeof(double));
    void *scratch = aligned_alloc(64, (bytes + 64) & ~(size_t)63);

    AUGURY_ASSERT(rows != NULL && values != NULL && scratch != NULL);
    model_contributions(model, rows, ROWS, scratch, values);
    free(rows);
    free(values);
    free(scratch);
}

static void
look_up_names(const struct model *model)
{
    (void)model_kind(model);
    for (uint32_t i = 0; i < model_class_count(model); i++) {
        (void)utf8_is_valid(model_class_name(model, i));
    }
    (void)utf8_is_valid(model_objective(model));
    (void)utf8_is_valid(model_source(model));
    for (uint32_t i = 0; i < model->feature_count; i++) {
        struct model_feature feature = model_feature(model, i);
        (void)model_feature_find(model, feature.name, i + 1);
        for (uint32_t k = 0; k < feature.level_count; k++) {
            (void)model_feature_level_find(model, i, model_feature_level(model, i, k));
        }
    }
    (void)model_feature_find(model, bytes_of_text("no such name"), 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf blob;
    struct model model;
    struct err err;

    if (size < 5) {
        return 0;
    }
    make_chosen(data[0] % (CHOICES + 2 * FORESTS), &blob);
    change_and_seal(&blob, data + 1, size - 1);
    if (model_open(buf_view(&blob), MODEL_CHECK_ALL, &model, &err) == 0) {
        evaluate_all(&model);
        look_up_names(&model);
        ask_calibration(&model);
        if (model_has_contributions(&model, &err) == 0) {
            evaluate_contributions(&model);
        }
    }
    buf_fini(&blob);
    return 0;
}
