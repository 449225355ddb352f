/* SPDX-License-Identifier: MIT */
/*
 * test_differential.c - the engine against libxgboost in one process: random models of every kind
 * and models that the library trains here, as we wrote them and as the library writes them (JSON
 * and UBJSON), over rows drawn around their thresholds. Margins, predictions and leaves are equal
 * to the bit, contributions within rounding.
 * ORACLE_SECONDS: how long (default 8); ORACLE_SEED: the first seed, so that a failure can be seen
 * again; ORACLE_SECONDS=0 goes on until it fails.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "../tap.h"
#include "peer.h"
#include "random_model.h"

enum { ROWS = 96, TREES_MAX = 256, OUTPUTS_MAX = 16, SHALLOW = 8 };

struct comparison {
    const char *what; /* "seed 17 gbtree multi:softmax as ubj" */
    struct peer *peer;
    const struct random_model *source; /* features and pools */
    float near; /* how near contributions must be, relative to the greatest of a row */
    struct oracle_model ours;
    float rows[ROWS * RANDOM_FEATURES_MAX];
    float margins[ROWS * OUTPUTS_MAX];
    float outputs[ROWS * OUTPUTS_MAX];
    float contributions[ROWS * OUTPUTS_MAX * (RANDOM_FEATURES_MAX + 1)];
    uint32_t leaves[ROWS * TREES_MAX];
};

/* Counts rows over the program's life for its last line. */
static uint64_t
rows_compared(const uint64_t *add)
{
    static uint64_t rows;

    rows += add != NULL ? *add : 0;
    return rows;
}

static void
print_row(const struct comparison *comparison, size_t row)
{
    size_t columns = comparison->source->feature_count;

    printf("# row:");
    for (size_t i = 0; i < columns; i++) {
        printf(" %.9g", (double)comparison->rows[row * columns + i]);
    }
    printf("\n");
}

static bool
same_floats(const struct comparison *comparison, const char *name, const float *ours,
            const float *theirs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!oracle_same_bits(ours[i], theirs[i])) {
            printf("# %s: %s %zu is %.9g, libxgboost says %.9g (%u steps)\n", comparison->what,
                   name, i, (double)ours[i], (double)theirs[i], oracle_ulps(ours[i], theirs[i]));
            print_row(comparison, i / (count / ROWS));
            return false;
        }
    }
    return true;
}

/* Ours for the rows at hand. */
static void
evaluate(struct comparison *comparison)
{
    const struct model *model = &comparison->ours.model;
    void *scratch = comparison->ours.scratch;

    model_margins(model, comparison->rows, ROWS, scratch, comparison->margins);
    model_predictions(model, comparison->margins, ROWS, comparison->outputs);
    if (model->tree_count > 0) {
        model_leaves(model, comparison->rows, ROWS, scratch, comparison->leaves);
    }
}

/* One row alone takes another path through the kernels than many. */
static bool
same_one_by_one(const struct comparison *comparison)
{
    const struct model *model = &comparison->ours.model;
    float margins[OUTPUTS_MAX];

    for (size_t row = 0; row < ROWS; row += 7) {
        const float *want = comparison->margins + row * model->output_count;
        model_margins(model, comparison->rows + row * model->feature_count, 1,
                      comparison->ours.scratch, margins);
        for (size_t k = 0; k < model->output_count; k++) {
            if (!oracle_same_bits(margins[k], want[k])) {
                printf("# %s: row %zu alone differs\n", comparison->what, row);
                return false;
            }
        }
    }
    return true;
}

static bool
compare_leaves(const struct comparison *comparison, const float *theirs, size_t count)
{
    size_t trees = comparison->ours.model.tree_count;

    if (theirs == NULL || count != ROWS * trees) {
        printf("# %s: %zu leaves\n", comparison->what, count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if ((float)comparison->leaves[i] != theirs[i]) {
            printf("# %s: leaf of tree %zu is %u, libxgboost says %.0f\n", comparison->what,
                   i % trees, comparison->leaves[i], (double)theirs[i]);
            print_row(comparison, i / trees);
            return false;
        }
    }
    return true;
}

static bool
compare_floats(struct comparison *comparison, const struct peer_rows *rows, enum peer_output output,
               bool is_inplace)
{
    const struct model *model = &comparison->ours.model;
    bool is_margin = output == PEER_MARGIN;
    size_t width = is_margin ? model->output_count : model->prediction_count;
    size_t count = 0;
    const float *theirs = is_inplace ? peer_predict_inplace(comparison->peer, rows, output, &count)
                                     : peer_predict(comparison->peer, rows, output, &count);

    if (theirs == NULL || count != ROWS * width) {
        printf("# %s: %zu values, want %zu\n", comparison->what, count, ROWS * width);
        return false;
    }
    return same_floats(comparison, is_margin ? "margin" : "prediction",
                       is_margin ? comparison->margins : comparison->outputs, theirs, count);
}

/* Near, not equal: the library's recursion rounds in float32 at every node, and on long paths loses
 * all digits but three. How exact ours are is for test_contributions to say. */
static bool
near_contributions(const struct comparison *comparison, const float *theirs, size_t row, size_t k)
{
    const struct model *model = &comparison->ours.model;
    size_t width = model->feature_count + 1;
    size_t first = (row * model->output_count + k) * width;
    const float *ours = comparison->contributions + first;
    float greatest = 1.0f;

    for (size_t i = 0; i < width; i++) {
        greatest = fmaxf(greatest, fabsf(theirs[first + i]));
    }
    for (size_t i = 0; i < width; i++) {
        float want = theirs[first + i];
        if (!oracle_same_bits(ours[i], want) &&
            !(fabsf(ours[i] - want) <= comparison->near * greatest)) {
            printf("# %s: contribution %zu of output %zu is %.9g, libxgboost says %.9g\n",
                   comparison->what, i, k, (double)ours[i], (double)want);
            print_row(comparison, row);
            return false;
        }
    }
    return true;
}

/* Of some rows: the library takes long over deep trees. */
static bool
compare_contributions(struct comparison *comparison, const struct peer_rows *rows)
{
    const struct model *model = &comparison->ours.model;
    struct peer_rows some = *rows;
    struct err err = {.rc = 0};
    size_t count = 0;

    some.count = comparison->source->depth <= SHALLOW ? 17 : 2;
    const float *theirs = peer_predict(comparison->peer, &some, PEER_CONTRIBUTIONS, &count);
    size_t scratch_bytes = model_contributions_scratch_bytes(model, some.count);
    void *scratch = aligned_alloc(64, scratch_bytes / 64 * 64 + 64);
    bool is_near = theirs != NULL && count == some.count * model_contributions_count(model) &&
                   scratch != NULL && model_has_contributions(model, &err) == 0;

    if (is_near) {
        model_contributions(model, comparison->rows, some.count, scratch,
                            comparison->contributions);
    } else {
        printf("# %s: %zu contributions, %s\n", comparison->what, count, err.reason);
    }
    for (size_t i = 0; is_near && i < some.count * model->output_count; i++) {
        is_near = near_contributions(comparison, theirs, i / model->output_count,
                                     i % model->output_count);
    }
    free(scratch);
    return is_near;
}

static bool
compare_rows(struct comparison *comparison, enum random_rows kind)
{
    const struct random_model *source = comparison->source;
    struct peer_rows rows = {comparison->rows, ROWS, source->feature_count,
                             kind == RANDOM_PLUS_INFINITY    ? -INFINITY
                             : kind == RANDOM_MINUS_INFINITY ? INFINITY
                                                             : NAN};
    size_t count = 0;

    evaluate(comparison);
    bool is_same = same_one_by_one(comparison) &&
                   oracle_kernels_agree(&comparison->ours, comparison->rows, ROWS,
                                        comparison->margins, comparison->what) &&
                   compare_floats(comparison, &rows, PEER_MARGIN, false) &&
                   compare_floats(comparison, &rows, PEER_VALUE, false);
    /* dart in place subtracts the base margin from each tree's sum: other roundings than its
     * own. */
    if (is_same && source->booster == RANDOM_GBTREE) {
        is_same = compare_floats(comparison, &rows, PEER_MARGIN, true);
    }
    if (is_same && comparison->ours.model.tree_count > 0) {
        const float *theirs = peer_predict(comparison->peer, &rows, PEER_LEAF, &count);
        is_same = compare_leaves(comparison, theirs, count);
    }
    return is_same && compare_contributions(comparison, &rows);
}

/* Imports a file and compares the answers with those of the peer. */
static bool
compare_file(struct comparison *comparison, struct bytes file, uint64_t seed)
{
    struct oracle_random random = oracle_random_of(seed ^ 0x5eed);
    struct err err = {.rc = 0};
    bool is_same = true;

    if (!oracle_model_init(file, NULL, &comparison->ours, &err)) {
        printf("# %s: refused: %s (%s)\n", comparison->what, err.reason, err.at);
        return false;
    }
    const struct model *model = &comparison->ours.model;
    if (model->feature_count != comparison->source->feature_count ||
        model->output_count > OUTPUTS_MAX || model->tree_count > TREES_MAX) {
        printf("# %s: %u features, %u outputs, %u trees\n", comparison->what, model->feature_count,
               model->output_count, model->tree_count);
        is_same = false;
    }
    for (int kind = RANDOM_FINITE; is_same && kind <= RANDOM_MINUS_INFINITY; kind++) {
        random_model_rows(comparison->source, (enum random_rows)kind, &random, ROWS,
                          comparison->rows);
        is_same = compare_rows(comparison, (enum random_rows)kind);
        rows_compared(&(uint64_t){ROWS});
    }
    oracle_model_fini(&comparison->ours);
    return is_same;
}

/* The peer's own writings of the model it holds. */
static bool
compare_saved(struct comparison *comparison, const char *label, uint64_t seed)
{
    static const char *const formats[] = {"json", "ubj"};
    char what[160];
    bool is_same = true;

    for (size_t i = 0; is_same && i < AUGURY_COUNT(formats); i++) {
        struct bytes file;
        (void)snprintf(what, sizeof(what), "%s saved as %s", label, formats[i]);
        comparison->what = what;
        is_same = peer_save(comparison->peer, formats[i], &file);
        if (is_same) {
            /* Saved bytes are borrowed until the next call on the peer. */
            struct buf copy;
            buf_init(&copy, SIZE_MAX / 2);
            buf_put_bytes(&copy, file);
            is_same = buf_finish(&copy) == 0 && compare_file(comparison, buf_view(&copy), seed);
            buf_fini(&copy);
        }
    }
    comparison->what = label;
    return is_same;
}

static void
keep_file(struct bytes file, uint64_t seed)
{
    const char *tmp = getenv("TMPDIR");
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/differential-%ju.json", tmp ? tmp : "/tmp",
                   (uintmax_t)seed);
    FILE *kept = fopen(path, "wb");
    if (kept != NULL) {
        (void)fwrite(file.data, 1, file.len, kept);
        fclose(kept);
        printf("# the model is kept in %s\n", path);
    }
}

static bool
compare_random(struct comparison *comparison, struct random_model *source, uint64_t seed)
{
    static const char *const boosters[] = {"gbtree", "dart", "gblinear"};
    char label[128];

    if (!random_model_init(source, seed)) {
        return false;
    }
    (void)snprintf(label, sizeof(label), "seed %ju, random %s %s", (uintmax_t)seed,
                   boosters[source->booster], source->objective);
    comparison->what = label;
    comparison->source = source;
    comparison->near = source->depth <= SHALLOW ? 2e-5f : 1e-2f;
    comparison->peer = peer_load(buf_view(&source->json));
    bool is_same = comparison->peer != NULL &&
                   compare_file(comparison, buf_view(&source->json), seed) &&
                   compare_saved(comparison, label, seed);
    if (!is_same) {
        printf("# %s\n", label);
        keep_file(buf_view(&source->json), seed);
    }
    peer_free(&comparison->peer);
    random_model_fini(source);
    return is_same;
}

/* ---- models that the library trains ---------------------------------------------------------- */

struct recipe {
    const char *name;
    const char *const params[24];
    unsigned classes;
    unsigned group_size;
    bool has_categories;
    bool is_count; /* labels 0, 1, 2, … */
    bool is_linear;
    bool is_dart;
};

static const struct recipe recipes[] = {
    {.name = "logistic, exact, pruned",
     .params = {"objective", "binary:logistic", "tree_method", "exact", "max_depth", "6", "gamma",
                "2", NULL}},
    {.name = "logistic, hist, base_score 0.2",
     .params = {"objective", "binary:logistic", "tree_method", "hist", "base_score", "0.2", NULL}},
    {.name = "regression, depth 12, approx",
     .params = {"objective", "reg:squarederror", "tree_method", "approx", "max_depth", "12",
                "min_child_weight", "0", NULL}},
    {.name = "regression, leaf-wise",
     .params = {"objective", "reg:squarederror", "tree_method", "hist", "grow_policy", "lossguide",
                "max_depth", "0", "max_leaves", "40", NULL}},
    {.name = "absolute error",
     .params = {"objective", "reg:absoluteerror", "tree_method", "hist", NULL}},
    {.name = "random forest of 4",
     .params = {"objective", "binary:logistic", "num_parallel_tree", "4", "subsample", "0.6",
                "colsample_bynode", "0.7", NULL}},
    {.name = "softprob",
     .classes = 4,
     .params = {"objective", "multi:softprob", "num_class", "4", NULL}},
    {.name = "softmax forest",
     .classes = 3,
     .params = {"objective", "multi:softmax", "num_class", "3", "num_parallel_tree", "2", NULL}},
    {.name = "poisson", .is_count = true, .params = {"objective", "count:poisson", NULL}},
    {.name = "tweedie", .is_count = true, .params = {"objective", "reg:tweedie", NULL}},
    {.name = "hinge", .params = {"objective", "binary:hinge", NULL}},
    {.name = "ranking", .group_size = 10, .params = {"objective", "rank:ndcg", NULL}},
    {.name = "categories, one-hot and sets",
     .has_categories = true,
     .params = {"objective", "binary:logistic", "tree_method", "hist", "max_cat_to_onehot", "4",
                NULL}},
    {.name = "categories, softprob",
     .has_categories = true,
     .classes = 3,
     .params = {"objective", "multi:softprob", "num_class", "3", "tree_method", "approx", NULL}},
    {.name = "dart",
     .is_dart = true,
     .params = {"booster", "dart", "objective", "binary:logistic", "rate_drop", "0.3", "one_drop",
                "1", NULL}},
    {.name = "dart softprob",
     .is_dart = true,
     .classes = 3,
     .params = {"booster", "dart", "objective", "multi:softprob", "num_class", "3", "rate_drop",
                "0.5", "normalize_type", "forest", NULL}},
    {.name = "linear",
     .is_linear = true,
     .params = {"booster", "gblinear", "objective", "reg:squarederror", NULL}},
    {.name = "linear softmax",
     .is_linear = true,
     .classes = 3,
     .params = {"booster", "gblinear", "objective", "multi:softmax", "num_class", "3", "updater",
                "coord_descent", NULL}},
};

enum { TRAIN_ROWS = 400, TRAIN_COLUMNS = 8 };

struct training_data {
    float rows[TRAIN_ROWS * TRAIN_COLUMNS];
    float labels[TRAIN_ROWS];
    const char *types[TRAIN_COLUMNS];
};

static float
label_of(const struct recipe *recipe, const float *row, float noise)
{
    float score = noise;

    for (size_t i = 0; i < TRAIN_COLUMNS; i++) {
        float x = isnan(row[i]) ? 0.3f : row[i];
        score += (i % 2 == 0 ? x : -x) * (x > 0.5f ? 1.0f : 0.4f);
    }
    if (recipe->classes > 0) {
        int class = (int)floorf(fabsf(score) * 2.0f) % (int)recipe->classes;
        return (float)class;
    }
    if (recipe->is_count) {
        return floorf(fabsf(score));
    }
    return strstr(recipe->params[1], "squared") != NULL ? score : score > 0.0f ? 1.0f : 0.0f;
}

/* Values on a grid, so that thresholds meet values; the source notes each value for the rows. */
static void
training_fill(const struct recipe *recipe, struct training_data *data, struct random_model *source,
              struct oracle_random *random)
{
    memset(source, 0, sizeof(*source));
    source->feature_count = TRAIN_COLUMNS;
    source->booster = recipe->is_linear ? RANDOM_GBLINEAR
                      : recipe->is_dart ? RANDOM_DART
                                        : RANDOM_GBTREE;
    for (unsigned i = 0; i < TRAIN_COLUMNS; i++) {
        bool is_category = recipe->has_categories && i % 3 == 0;
        source->category_counts[i] = is_category ? 3 + 6 * i : 0;
        data->types[i] = is_category ? "c" : "q";
    }
    for (size_t row = 0; row < TRAIN_ROWS; row++) {
        for (unsigned i = 0; i < TRAIN_COLUMNS; i++) {
            float *cell = &data->rows[row * TRAIN_COLUMNS + i];
            unsigned categories = source->category_counts[i];
            *cell = categories > 0 ? (float)oracle_below(random, categories)
                                   : roundf(oracle_normal(random) * 8.0f) / 8.0f;
            *cell = oracle_below(random, 20) == 0 ? NAN : *cell;
            if (!isnan(*cell)) {
                random_model_note(source, i, *cell);
            }
        }
        data->labels[row] =
            label_of(recipe, data->rows + row * TRAIN_COLUMNS, oracle_normal(random) * 0.3f);
    }
}

/* Thresholds lie between values: take them from the text that the library writes. */
static void
note_thresholds(struct random_model *source, struct bytes json)
{
    const char *at = (const char *)json.data;
    const char *end = at + json.len;

    while (at != NULL && at < end) {
        at = memmem(at, (size_t)(end - at), "\"split_conditions\":[", 20);
        if (at == NULL) {
            return;
        }
        at += 20;
        for (size_t i = 0; at < end && *at != ']'; i++) {
            char *next = NULL;
            float value = strtof(at, &next);
            at = next + (*next == ',' ? 1 : 0);
            random_model_note(source, (unsigned)(i % source->feature_count), value);
        }
    }
}

static bool
compare_trained(struct comparison *comparison, struct random_model *source,
                const struct recipe *recipe, uint64_t seed)
{
    static struct training_data data; /* too large for a stack */
    struct oracle_random random = oracle_random_of(seed ^ 0x7ea1);
    struct bytes json;
    char label[128];

    (void)snprintf(label, sizeof(label), "seed %ju, trained %s", (uintmax_t)seed, recipe->name);
    training_fill(recipe, &data, source, &random);
    struct peer_training training = {
        .rows = {data.rows, TRAIN_ROWS, TRAIN_COLUMNS, NAN},
        .labels = data.labels,
        .params = recipe->params,
        .types = recipe->has_categories ? data.types : NULL,
        .group_size = recipe->group_size,
        .rounds = 8,
    };
    comparison->source = source;
    comparison->near = 1e-5f;
    comparison->peer = peer_train(&training);
    bool is_same = comparison->peer != NULL && peer_save(comparison->peer, "json", &json);
    if (is_same) {
        note_thresholds(source, json);
        is_same = compare_saved(comparison, label, seed);
    }
    if (!is_same) {
        printf("# %s\n", label);
    }
    peer_free(&comparison->peer);
    return is_same;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static struct comparison *
comparison_new(struct random_model **out_source)
{
    struct comparison *comparison = calloc(1, sizeof(*comparison));

    *out_source = calloc(1, sizeof(**out_source));
    AUGURY_ASSERT(comparison != NULL && *out_source != NULL);
    return comparison;
}

static void
models_that_libxgboost_trains_answer_alike(void)
{
    struct random_model *source;
    struct comparison *comparison = comparison_new(&source);
    uint64_t seed = oracle_setting("ORACLE_SEED", 1);
    size_t same = 0;

    if (!peer_is_there()) {
        SKIP("libxgboost was not found by configure");
    }
    for (size_t i = 0; i < AUGURY_COUNT(recipes); i++) {
        same += compare_trained(comparison, source, &recipes[i], seed) ? 1 : 0;
    }
    free(comparison);
    free(source);
    CHECK_INT(same, AUGURY_COUNT(recipes));
}

static void
random_models_of_every_kind_answer_as_libxgboost(void)
{
    struct random_model *source;
    struct comparison *comparison = comparison_new(&source);
    uint64_t seconds = oracle_setting("ORACLE_SECONDS", 8);
    uint64_t seed = oracle_setting("ORACLE_SEED", 1);
    uint64_t models_max = oracle_setting("ORACLE_MODELS", UINT64_MAX);
    uint64_t start_ms = clock_mono_ms();
    unsigned wrong = 0;
    uint64_t models = 0;

    if (!peer_is_there()) {
        SKIP("libxgboost was not found by configure");
    }
    while (wrong < 5 && models < models_max &&
           (seconds == 0 || clock_mono_ms() - start_ms < seconds * 1000)) {
        wrong += compare_random(comparison, source, seed++) ? 0 : 1;
        models++;
        if (seconds == 0 && models % 10000 == 0) {
            printf("# %ju models\n", (uintmax_t)models);
            fflush(stdout);
        }
    }
    printf("# libxgboost %s: %ju random models, %ju rows in each of three forms, all in all %ju\n",
           peer_version(), (uintmax_t)models, (uintmax_t)(3 * ROWS),
           (uintmax_t)rows_compared(NULL));
    free(comparison);
    free(source);
    CHECK_INT(wrong, 0);
    CHECK(models >= 20);
}

int
main(void)
{
    TAP_RUN(models_that_libxgboost_trains_answer_alike);
    TAP_RUN(random_models_of_every_kind_answer_as_libxgboost);
    return tap_done();
}
