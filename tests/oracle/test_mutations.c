/* SPDX-License-Identifier: MIT */
/*
 * test_mutations.c - model files that are broken on purpose: cut, flipped, spliced, with other
 * numbers, huge counts, deep nesting and doubled keys. Each is either refused with a reason or
 * loads as a model that answers. Every mutation is made from its number, in child processes with a
 * limit of memory and of time, so that a crash or a hang names the mutation and ends nothing else.
 * MUTATIONS: how many a test (default 1500); MUTATION_SEED: the first number.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "random_model.h"

enum {
    BATCH = 100, /* mutations a child */
    BATCH_SECONDS = 60,
    MEMORY_MAX = 1 << 30,
    PROBE_ROWS = 9,
    VALUES_MAX = 4096
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_MEMORY_LIMITED = 0 }; /* a sanitizer reserves terabytes of addresses */
#else
enum { IS_MEMORY_LIMITED = 1 };
#endif

/* What the children tell the parent, in memory that they share. */
struct tally {
    uint64_t at; /* the mutation in work */
    unsigned refused;
    unsigned loaded;
    unsigned wrong;
    char complaint[256];
};

/* ---- mutations ------------------------------------------------------------------------------- */

/* A place in the text where a number begins, or the start. */
static size_t
number_find(const struct buf *file, struct oracle_random *random)
{
    size_t from = oracle_below(random, (uint32_t)file->len);

    for (size_t i = from; i < file->len && i < from + 4096; i++) {
        bool is_digit = file->data[i] >= '0' && file->data[i] <= '9';
        if (is_digit && i > 0 && strchr(",:[\" =", file->data[i - 1]) != NULL) {
            return i;
        }
    }
    return from;
}

/* Replaces `cut` bytes at a place by a text. */
static void
splice(struct buf *file, size_t at, size_t cut, const void *text, size_t len)
{
    struct buf made;

    cut = cut < file->len - at ? cut : file->len - at;
    buf_init(&made, file->max);
    buf_put(&made, file->data, at);
    buf_put(&made, text, len);
    buf_put(&made, file->data + at + cut, file->len - at - cut);
    AUGURY_ASSERT(buf_finish(&made) == 0);
    buf_fini(file);
    *file = made;
}

static void
mutate_number(struct buf *file, struct oracle_random *random)
{
    static const char *const numbers[] = {
        "-1",          "0",          "1",         "2147483647",
        "-2147483648", "4294967296", "1e9",       "1e99",
        "NaN",         "Infinity",   "-Infinity", "18446744073709551616",
        "0.5",         "null",       "true",      "\"7\"",
        "{}",          "[]",         "65536",     "99999999999999999999999999",
        "1e-400",      "-0",         "00012",     "0x10"};
    const char *number = numbers[oracle_below(random, AUGURY_COUNT(numbers))];
    size_t at = number_find(file, random);
    size_t cut = 0;

    while (at + cut < file->len && strchr("0123456789.eE+-", file->data[at + cut]) != NULL &&
           file->data[at + cut] != '\0') {
        cut++;
    }
    splice(file, at, cut, number, strlen(number));
}

/* In UBJSON a count or length is a type letter and big-endian bytes: a huge one in its place. */
static void
mutate_count(struct buf *file, struct oracle_random *random)
{
    static const uint8_t counts[][9] = {
        {'L', 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {'L', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {'L', 0, 0, 0, 0x10, 0, 0, 0, 0},
        {'L', 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
        {'L', 0, 0, 0, 0, 0, 0, 0, 0},
    };
    size_t from = oracle_below(random, (uint32_t)file->len);
    const uint8_t *at = memchr(file->data + from, 'L', file->len - from);

    if (at != NULL) {
        splice(file, (size_t)(at - file->data), 9, counts[oracle_below(random, 5)], 9);
    }
}

static void
mutate_nesting(struct buf *file, struct oracle_random *random)
{
    static const char *const opens[] = {"[", "{\"a\":", "[{\"k\":", "{L\0\0\0\0\0\0\0\1a"};
    static const size_t lens[] = {1, 5, 6, 11};
    unsigned which = oracle_below(random, 4);
    size_t at = number_find(file, random);
    struct buf deep;

    buf_init(&deep, 32 << 20);
    for (unsigned i = oracle_below(random, 200000); i > 0; i--) {
        buf_put(&deep, opens[which], lens[which]);
    }
    splice(file, at, 0, deep.data, deep.len);
    buf_fini(&deep);
}

/* A part of the file once more, somewhere: keys twice, arrays longer than they say. */
static void
mutate_repeat(struct buf *file, struct oracle_random *random)
{
    size_t from = number_find(file, random);
    size_t len = 1 + oracle_below(random, 300);
    uint8_t part[300];

    len = len < file->len - from ? len : file->len - from;
    memcpy(part, file->data + from, len);
    splice(file, number_find(file, random), oracle_below(random, 2) ? 0 : len, part, len);
}

/* A key that XGBoost knows is spelt otherwise, or given twice. */
static void
mutate_key(struct buf *file, struct oracle_random *random)
{
    static const char *const keys[] = {
        "left_children", "right_children", "split_indices", "split_conditions",
        "default_left",  "trees",          "tree_info",     "num_feature",
        "base_score",    "objective",      "weights",       "num_nodes",
        "num_class",     "categories",     "name",          "gradient_booster",
        "learner",       "split_type",     "weight_drop",   "num_trees",
        "num_leaves",    "leaf_value",     "threshold",     "decision_type",
        "left_child",    "right_child",    "cat_threshold", "cat_boundaries",
        "leaf_features", "leaf_coeff",     "num_features",  "is_linear",
        "tree_sizes",    "end of trees",   "feature_names", "max_feature_idx"};
    const char *key = keys[oracle_below(random, AUGURY_COUNT(keys))];
    const char *other = keys[oracle_below(random, AUGURY_COUNT(keys))];
    const uint8_t *at = memmem(file->data, file->len, key, strlen(key));

    if (at == NULL) {
        return;
    }
    size_t offset = (size_t)(at - file->data);
    if (oracle_below(random, 2) == 0 && offset > 0 && at[-1] == '"') {
        char twice[64];
        int len = snprintf(twice, sizeof(twice), "%s\":[],\"", key);
        splice(file, offset, 0, twice, (size_t)len);
    } else {
        splice(file, offset, strlen(key), other, strlen(other));
    }
}

static void
mutate_once(struct buf *file, struct oracle_random *random)
{
    if (file->len < 16) {
        return;
    }
    size_t at = oracle_below(random, (uint32_t)file->len);
    switch (oracle_below(random, 12)) {
    case 0: file->len = at; break;
    case 1: file->data[at] ^= (uint8_t)(1u << oracle_below(random, 8)); break;
    case 2: file->data[at] = (uint8_t)oracle_next(random); break;
    case 3: splice(file, at, 1 + oracle_below(random, 40), "", 0); break;
    case 4: mutate_repeat(file, random); break;
    case 5: mutate_count(file, random); break;
    case 6: mutate_key(file, random); break;
    case 7: oracle_below(random, 8) == 0 ? mutate_nesting(file, random) : (void)0; break;
    default: mutate_number(file, random); break;
    }
}

/* ---- what must hold -------------------------------------------------------------------------- */

static bool
complain(struct tally *tally, const char *what)
{
    (void)snprintf(tally->complaint, sizeof(tally->complaint), "mutation %ju: %s",
                   (uintmax_t)tally->at, what);
    tally->wrong++;
    return false;
}

/* Rows that go left, right and missing everywhere. */
static void
probe_fill(const struct model *model, void *rows)
{
    static const float values[PROBE_ROWS] = {0.0f,   -0.0f, 1.0f,     -1.0f,    3e38f,
                                             -3e38f, NAN,   INFINITY, -INFINITY};

    for (size_t i = 0; i < (size_t)PROBE_ROWS * model->feature_count; i++) {
        model_number_set(model, rows, i, (double)values[i / model->feature_count]);
    }
}

/* Memory of one probe; numbers of either precision fit. */
struct probe {
    double *rows;
    double *batch; /* VALUES_MAX each */
    double *alone;
    uint32_t *leaves;
};

static bool
probe_init(struct probe *probe, const struct model *model)
{
    *probe = (struct probe){
        .rows = malloc(((size_t)PROBE_ROWS * model->feature_count + 1) * sizeof(double)),
        .batch = malloc(VALUES_MAX * sizeof(double)),
        .alone = malloc(VALUES_MAX * sizeof(double)),
        .leaves = malloc(((size_t)PROBE_ROWS * model->tree_count + 1) * sizeof(uint32_t)),
    };
    return probe->rows != NULL && probe->batch != NULL && probe->alone != NULL &&
           probe->leaves != NULL;
}

static void
probe_fini(struct probe *probe)
{
    free(probe->rows);
    free(probe->batch);
    free(probe->alone);
    free(probe->leaves);
}

static bool
numbers_are_same(const struct model *model, const void *a, const void *b, size_t offset)
{
    for (size_t k = 0; k < model->output_count; k++) {
        double x = model_number_get(model, a, k);
        double y = model_number_get(model, b, offset + k);
        if (!(x == y || (isnan(x) && isnan(y)))) {
            return false;
        }
    }
    return true;
}

/* A model that loaded answers twice alike, alone and in a batch, within its own bounds. */
static bool
answers_hold(struct oracle_model *loaded, struct tally *tally, struct probe *probe)
{
    const struct model *model = &loaded->model;
    size_t row_bytes = model->feature_count * model_number_bytes(model);

    probe_fill(model, probe->rows);
    model_margins(model, probe->rows, PROBE_ROWS, loaded->scratch, probe->batch);
    for (size_t row = 0; row < PROBE_ROWS; row++) {
        const uint8_t *bytes = (const uint8_t *)probe->rows + row * row_bytes;
        model_margins(model, bytes, 1, loaded->scratch, probe->alone);
        if (!numbers_are_same(model, probe->alone, probe->batch, row * model->output_count)) {
            return complain(tally, "a row alone and in a batch differ");
        }
    }
    if (!oracle_kernels_agree(loaded, probe->rows, PROBE_ROWS, probe->batch, "a broken model")) {
        return complain(tally, "two kernels differ");
    }
    model_predictions(model, probe->batch, PROBE_ROWS, probe->alone);
    if (model->probability_count > 0) {
        model_probabilities(model, probe->batch, PROBE_ROWS, probe->alone);
    }
    if (model->tree_count > 0) {
        model_leaves(model, probe->rows, PROBE_ROWS, loaded->scratch, probe->leaves);
    }
    return true;
}

static bool
loaded_holds(struct oracle_model *loaded, struct tally *tally)
{
    const struct model *model = &loaded->model;
    struct probe probe;
    bool holds = true;

    if (probe_init(&probe, model) && (size_t)PROBE_ROWS * model->output_count <= VALUES_MAX) {
        holds = answers_hold(loaded, tally, &probe);
    }
    probe_fini(&probe);
    return holds;
}

static void
mutation_try(const struct buf *original, uint64_t number, struct tally *tally)
{
    struct oracle_random random = oracle_random_of(number);
    struct oracle_model loaded;
    struct err err = {.rc = 0, .code = NULL};
    struct buf file;

    buf_init(&file, 256 << 20);
    buf_put_bytes(&file, buf_view(original));
    AUGURY_ASSERT(buf_finish(&file) == 0);
    for (unsigned i = 1 + oracle_below(&random, 3); i > 0; i--) {
        mutate_once(&file, &random);
    }
    if (oracle_model_init(buf_view(&file), NULL, &loaded, &err)) {
        tally->loaded += loaded_holds(&loaded, tally) ? 1 : 0;
        oracle_model_fini(&loaded);
    } else if (err.rc >= 0 || err.code == NULL || err.code[0] == '\0' || err.reason[0] == '\0') {
        (void)complain(tally, "refused without a reason");
    } else {
        tally->refused++;
    }
    buf_fini(&file);
}

/* ---- children -------------------------------------------------------------------------------- */

static void
batch_run(const struct buf *original, uint64_t first, struct tally *tally)
{
    struct rlimit memory = {.rlim_cur = MEMORY_MAX, .rlim_max = MEMORY_MAX};

    if (IS_MEMORY_LIMITED != 0) {
        (void)setrlimit(RLIMIT_AS, &memory);
    }
    (void)alarm(BATCH_SECONDS);
    for (uint64_t i = first; i < first + BATCH; i++) {
        tally->at = i;
        mutation_try(original, i, tally);
    }
    _exit(tally->wrong == 0 ? 0 : 1);
}

static bool
batch_start(const struct buf *original, uint64_t first, struct tally *tally)
{
    int status = -1;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        batch_run(original, first, tally);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return false;
    }
    if (status != 0 && tally->wrong == 0) {
        (void)snprintf(tally->complaint, sizeof(tally->complaint), "mutation %ju: %s %d",
                       (uintmax_t)tally->at, WIFSIGNALED(status) ? "ended by signal" : "left with",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return status == 0;
}

static void
check_mutations(const struct buf *original)
{
    uint64_t first = oracle_setting("MUTATION_SEED", 1);
    uint64_t count = oracle_setting("MUTATIONS", 1500);
    struct tally *tally = shm_map(sizeof(*tally));
    bool is_right = tally != NULL;

    for (uint64_t i = first; is_right && i < first + count; i += BATCH) {
        is_right = batch_start(original, i, tally);
    }
    CHECK(tally != NULL);
    printf("# %u refused, %u loaded\n", tally->refused, tally->loaded);
    if (!is_right) {
        TAP_FAIL("%s", tally->complaint);
    }
    CHECK(tally->refused > count / 4);
    CHECK(tally->loaded > 0);
    shm_unmap((void **)&tally, sizeof(*tally));
}

static void
check_file(const char *path)
{
    struct buf original;

    CHECK(oracle_read(path, &original));
    check_mutations(&original);
    buf_fini(&original);
}

static void
broken_json_of_trees_is_refused_or_answers(void)
{
    check_file("tests/data/models-xgboost/agaricus/model.json");
}

static void
broken_ubjson_of_trees_is_refused_or_answers(void)
{
    check_file("tests/data/models-xgboost/agaricus/model.ubj");
}

static void
broken_json_of_a_linear_model_is_refused_or_answers(void)
{
    check_file("tests/data/models-xgboost/gblinear-agaricus/model.json");
}

static void
broken_ubjson_of_a_linear_model_is_refused_or_answers(void)
{
    check_file("tests/data/models-xgboost/gblinear-agaricus/model.ubj");
}

/* A small random model that has what is asked for. */
static bool
random_model_seek(struct random_model *model, enum random_booster booster, bool has_categories)
{
    for (uint64_t seed = 1; seed < 1000; seed++) {
        if (!random_model_init(model, seed)) {
            return false;
        }
        if (model->booster == booster && model->has_categories == has_categories &&
            model->group_count > 1 && model->json.len < 60000) {
            return true;
        }
        random_model_fini(model);
    }
    return false;
}

static void
check_random(enum random_booster booster, bool has_categories)
{
    struct random_model *model = calloc(1, sizeof(*model));

    CHECK(model != NULL && random_model_seek(model, booster, has_categories));
    check_mutations(&model->json);
    random_model_fini(model);
    free(model);
}

static void
broken_category_splits_are_refused_or_answer(void)
{
    check_random(RANDOM_GBTREE, true);
}

static void
broken_dart_of_several_classes_is_refused_or_answers(void)
{
    check_random(RANDOM_DART, false);
}

static void
broken_lightgbm_text_of_linear_leaves_is_refused_or_answers(void)
{
    check_file("tests/data/models-lightgbm/made-linear/model.txt");
}

static void
broken_lightgbm_text_of_classes_is_refused_or_answers(void)
{
    check_file("tests/data/models-lightgbm/made-forest-of-classes/model.txt");
}

static void
broken_onnx_trees_of_classes_are_refused_or_answer(void)
{
    check_file("tests/data/models-onnx/classifier-forest.onnx");
}

static void
broken_onnx_ensembles_with_members_are_refused_or_answer(void)
{
    check_file("tests/data/models-onnx/ensemble-members.onnx");
}

static void
broken_onnx_weights_are_refused_or_answer(void)
{
    check_file("tests/data/models-onnx/linear-binary.onnx");
}

static void
broken_model_json_is_refused_or_answers(void)
{
    check_file("tests/data/models-augury/forest-of-classes.json");
    check_file("tests/data/models-augury/pipeline-hgb.json");
    check_file("tests/data/models-augury/pipeline-linear.json");
    check_file("tests/data/models-augury/perceptron.json");
    check_file("tests/data/models-augury/scorecard.json");
}

int
main(void)
{
    TAP_RUN(broken_json_of_trees_is_refused_or_answers);
    TAP_RUN(broken_ubjson_of_trees_is_refused_or_answers);
    TAP_RUN(broken_json_of_a_linear_model_is_refused_or_answers);
    TAP_RUN(broken_ubjson_of_a_linear_model_is_refused_or_answers);
    TAP_RUN(broken_category_splits_are_refused_or_answer);
    TAP_RUN(broken_dart_of_several_classes_is_refused_or_answers);
    TAP_RUN(broken_lightgbm_text_of_linear_leaves_is_refused_or_answers);
    TAP_RUN(broken_lightgbm_text_of_classes_is_refused_or_answers);
    TAP_RUN(broken_onnx_trees_of_classes_are_refused_or_answer);
    TAP_RUN(broken_onnx_ensembles_with_members_are_refused_or_answer);
    TAP_RUN(broken_onnx_weights_are_refused_or_answer);
    TAP_RUN(broken_model_json_is_refused_or_answers);
    return tap_done();
}
