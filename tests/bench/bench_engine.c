/* SPDX-License-Identifier: MIT */
/*
 * bench_engine.c - one thread of the engine against one thread of libxgboost's C API
 * (XGBoosterPredictFromDense), in one process, margins of the same rows, repetitions interleaved.
 * Prints one TSV line a figure: name, ours, unit, peer, the peer's figure, ratio (more is better
 * for us). A figure is the median of its repetitions. Cold: 96 MB of other memory are written
 * before each call, for ours and for the peer's.
 * Usage: bench_engine FOLDER [PART], where engine_models.py has put a.ubj, a.f32, and so on; PART:
 * only the figures that have it in their names.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../oracle/oracle.h"
#include "../oracle/peer.h"
#include "augury/registry.h"

enum {
    REPETITIONS = 31,
    COLD_REPETITIONS = 101,
    COLD_BYTES = 96 << 20,
    BATCH_ROWS = 1000,
    FEW_ROWS = 8,
    EXPLAINED_ROWS = 16,
    EXPLAINED_REPETITIONS = 5, /* the library takes a second for those rows of (b) */
    ROW_TURNS = 400,
    FEW_TURNS = 50,
    ROWS_SPARED = 7
};

struct subject {
    struct oracle_model ours;
    struct peer *peer;
    struct oracle_rows rows; /* those that are measured */
    struct oracle_rows dense;
    struct oracle_rows missing; /* or no values */
    float *margins;
    float *contributions; /* of EXPLAINED_ROWS */
    void *contributions_scratch;
    uint8_t *other; /* what is written to make the caches cold */
    size_t turn;
};

/* Some repetitions of the work: nanoseconds a row. */
typedef double measure(struct subject *subject);

static struct peer_rows
peer_rows_of(const struct subject *subject, size_t row, size_t count)
{
    return (struct peer_rows){subject->rows.values + row * subject->rows.columns, count,
                              subject->rows.columns, NAN};
}

static double
per_row(uint64_t start_ns, size_t rows)
{
    return (double)(clock_mono_ns() - start_ns) / (double)rows;
}

static size_t
row_of_turn(const struct subject *subject, size_t turn)
{
    return turn * ROWS_SPARED % subject->rows.count;
}

static double
ours_one_row(struct subject *subject)
{
    uint64_t start_ns = clock_mono_ns();

    for (size_t i = 0; i < ROW_TURNS; i++) {
        const float *row = subject->rows.values + row_of_turn(subject, i) * subject->rows.columns;
        model_margins(&subject->ours.model, row, 1, subject->ours.scratch, subject->margins);
    }
    return per_row(start_ns, ROW_TURNS);
}

static double
peer_one_row(struct subject *subject)
{
    uint64_t start_ns = clock_mono_ns();
    size_t count;

    for (size_t i = 0; i < ROW_TURNS; i++) {
        struct peer_rows rows = peer_rows_of(subject, row_of_turn(subject, i), 1);
        if (peer_predict_inplace(subject->peer, &rows, PEER_MARGIN, &count) == NULL) {
            return NAN;
        }
    }
    return per_row(start_ns, ROW_TURNS);
}

static void
make_cold(struct subject *subject)
{
    for (size_t i = 0; i < COLD_BYTES; i += 64) {
        subject->other[i]++;
    }
    subject->turn++;
}

static double
ours_cold_row(struct subject *subject)
{
    make_cold(subject);
    const float *row =
        subject->rows.values + row_of_turn(subject, subject->turn) * subject->rows.columns;
    uint64_t start_ns = clock_mono_ns();
    model_margins(&subject->ours.model, row, 1, subject->ours.scratch, subject->margins);
    return per_row(start_ns, 1);
}

static double
peer_cold_row(struct subject *subject)
{
    size_t count;

    make_cold(subject);
    struct peer_rows rows = peer_rows_of(subject, row_of_turn(subject, subject->turn), 1);
    uint64_t start_ns = clock_mono_ns();
    if (peer_predict_inplace(subject->peer, &rows, PEER_MARGIN, &count) == NULL) {
        return NAN;
    }
    return per_row(start_ns, 1);
}

static double
ours_few(struct subject *subject)
{
    uint64_t start_ns = clock_mono_ns();

    for (size_t i = 0; i < FEW_TURNS; i++) {
        const float *rows = subject->rows.values + i * FEW_ROWS * subject->rows.columns;
        model_margins(&subject->ours.model, rows, FEW_ROWS, subject->ours.scratch,
                      subject->margins);
    }
    return per_row(start_ns, FEW_TURNS * FEW_ROWS);
}

static double
peer_few(struct subject *subject)
{
    uint64_t start_ns = clock_mono_ns();
    size_t count;

    for (size_t i = 0; i < FEW_TURNS; i++) {
        struct peer_rows rows = peer_rows_of(subject, i * FEW_ROWS, FEW_ROWS);
        if (peer_predict_inplace(subject->peer, &rows, PEER_MARGIN, &count) == NULL) {
            return NAN;
        }
    }
    return per_row(start_ns, FEW_TURNS * FEW_ROWS);
}

static double
ours_batch(struct subject *subject)
{
    uint64_t start_ns = clock_mono_ns();

    model_margins(&subject->ours.model, subject->rows.values, BATCH_ROWS, subject->ours.scratch,
                  subject->margins);
    return per_row(start_ns, BATCH_ROWS);
}

static double
peer_batch(struct subject *subject)
{
    struct peer_rows rows = peer_rows_of(subject, 0, BATCH_ROWS);
    uint64_t start_ns = clock_mono_ns();
    size_t count;

    if (peer_predict_inplace(subject->peer, &rows, PEER_MARGIN, &count) == NULL) {
        return NAN;
    }
    return per_row(start_ns, BATCH_ROWS);
}

/* Contributions. The library wants a matrix, whose making is a thousandth of its time. */
static double
ours_explained(struct subject *subject, size_t rows)
{
    uint64_t start_ns = clock_mono_ns();

    model_contributions(&subject->ours.model, subject->rows.values, rows,
                        subject->contributions_scratch, subject->contributions);
    return per_row(start_ns, rows);
}

static double
peer_explained(struct subject *subject, size_t row_count)
{
    struct peer_rows rows = peer_rows_of(subject, 0, row_count);
    uint64_t start_ns = clock_mono_ns();
    size_t count;

    if (peer_predict(subject->peer, &rows, PEER_CONTRIBUTIONS, &count) == NULL) {
        return NAN;
    }
    return per_row(start_ns, row_count);
}

static double
ours_contributions(struct subject *subject)
{
    return ours_explained(subject, EXPLAINED_ROWS);
}

static double
peer_contributions(struct subject *subject)
{
    return peer_explained(subject, EXPLAINED_ROWS);
}

static double
ours_contributions_row(struct subject *subject)
{
    return ours_explained(subject, 1);
}

static double
peer_contributions_row(struct subject *subject)
{
    return peer_explained(subject, 1);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

enum figure_rows { DENSE_ROWS, MISSING_ROWS };

struct figure {
    const char *name;
    const char *kernel; /* "auto": the one that is chosen */
    enum figure_rows rows;
    size_t repetitions;
    size_t turns_before; /* unmeasured: what the other side threw out of the caches comes back */
    measure *ours;
    measure *theirs;
};

static const struct figure figures[] = {
    {"row_warm", "auto", DENSE_ROWS, REPETITIONS, 1, ours_one_row, peer_one_row},
    {"row_missing", "auto", MISSING_ROWS, REPETITIONS, 1, ours_one_row, peer_one_row},
    {"row_cold", "auto", DENSE_ROWS, COLD_REPETITIONS, 0, ours_cold_row, peer_cold_row},
    {"batch8", "auto", DENSE_ROWS, REPETITIONS, 1, ours_few, peer_few},
    {"batch1000", "auto", DENSE_ROWS, REPETITIONS, 1, ours_batch, peer_batch},
    {"batch1000_missing", "auto", MISSING_ROWS, REPETITIONS, 1, ours_batch, peer_batch},
    {"batch_avx2", "batch-avx2", DENSE_ROWS, REPETITIONS, 1, ours_batch, peer_batch},
    {"batch_avx2_missing", "batch-avx2", MISSING_ROWS, REPETITIONS, 1, ours_batch, peer_batch},
    {"batch_plain", "batch-plain", DENSE_ROWS, REPETITIONS, 1, ours_batch, peer_batch},
    {"contributions", "auto", DENSE_ROWS, EXPLAINED_REPETITIONS, 0, ours_contributions,
     peer_contributions},
    {"contributions_row", "auto", DENSE_ROWS, EXPLAINED_REPETITIONS, 1, ours_contributions_row,
     peer_contributions_row},
    /* What auto takes for one row of float32 on a processor without vectors of 512 bits. */
    {"row_avx2", "pack8", DENSE_ROWS, REPETITIONS, 1, ours_one_row, peer_one_row},
    {"row_scalar", "pack8", DENSE_ROWS, REPETITIONS, 1, ours_one_row, peer_one_row},
    {"batch_scalar", "pack8", DENSE_ROWS, REPETITIONS, 1, ours_batch, peer_batch},
};

static double
after_turns(struct subject *subject, measure *work, size_t turns_before)
{
    for (size_t i = 0; i < turns_before; i++) {
        (void)work(subject);
    }
    return work(subject);
}

static void
report(const char *name, const struct figure *figure, struct subject *subject)
{
    double our_ns[COLD_REPETITIONS];
    double peer_ns[COLD_REPETITIONS];
    size_t middle = figure->repetitions / 2;

    for (size_t i = 0; i < figure->repetitions; i++) {
        our_ns[i] = after_turns(subject, figure->ours, figure->turns_before);
        peer_ns[i] = after_turns(subject, figure->theirs, figure->turns_before);
    }
    qsort(our_ns, figure->repetitions, sizeof(double), compare_doubles);
    qsort(peer_ns, figure->repetitions, sizeof(double), compare_doubles);
    printf("%s\t%.0f\tns/row\tlibxgboost %s\t%.0f\t%.2f\n", name, our_ns[middle], peer_version(),
           peer_ns[middle], peer_ns[middle] / our_ns[middle]);
    fflush(stdout);
}

/* With another kernel the working memory is another as well. */
static bool
kernel_take(struct subject *subject, const char *kernel)
{
    struct model *model = &subject->ours.model;
    struct err err;

    if (model_force_kernel(model, kernel, &err) != 0) {
        return false;
    }
    free(subject->ours.scratch);
    subject->ours.scratch = aligned_alloc(64, model_scratch_bytes(model, SIZE_MAX));
    return subject->ours.scratch != NULL;
}

/* A benchmark of wrong answers is worth nothing: all margins are compared first. */
static bool
answers_are_equal(struct subject *subject)
{
    struct peer_rows rows = peer_rows_of(subject, 0, subject->rows.count);
    size_t count = 0;
    const float *theirs = peer_predict_inplace(subject->peer, &rows, PEER_MARGIN, &count);

    if (theirs == NULL || count != subject->rows.count * subject->ours.model.output_count) {
        return false;
    }
    model_margins(&subject->ours.model, subject->rows.values, subject->rows.count,
                  subject->ours.scratch, subject->margins);
    for (size_t i = 0; i < count; i++) {
        if (!oracle_same_bits(theirs[i], subject->margins[i])) {
            return false;
        }
    }
    return true;
}

static bool
rows_read_f32(const char *path, size_t columns, struct oracle_rows *out_rows)
{
    struct buf file;

    if (!oracle_read(path, &file)) {
        return false;
    }
    out_rows->columns = columns;
    out_rows->count = file.len / (columns * sizeof(float));
    out_rows->values = malloc(file.len + 1);
    if (out_rows->values != NULL) {
        memcpy(out_rows->values, file.data, file.len);
    }
    buf_fini(&file);
    return out_rows->values != NULL;
}

/* "…/a.f32" beside "…/a.missing.f32". */
static void
rows_read_missing(const char *rows_path, size_t columns, struct oracle_rows *out_rows)
{
    char path[512];
    size_t len = strlen(rows_path);

    if (len > 4 && strcmp(rows_path + len - 4, ".f32") == 0) {
        (void)snprintf(path, sizeof(path), "%.*s.missing.f32", (int)(len - 4), rows_path);
        (void)rows_read_f32(path, columns, out_rows);
    }
}

static bool
subject_init(struct subject *subject, const char *model_path, const char *rows_path)
{
    struct err err = {.rc = 0};
    struct buf file;

    memset(subject, 0, sizeof(*subject));
    if (!oracle_read(model_path, &file)) {
        return false;
    }
    bool is_done = oracle_model_init(buf_view(&file), NULL, &subject->ours, &err);
    if (is_done) {
        subject->peer = peer_load(buf_view(&file));
        size_t columns = subject->ours.model.feature_count;
        is_done = strstr(rows_path, ".tsv") != NULL
                      ? oracle_read_tsv(rows_path, &subject->dense)
                      : rows_read_f32(rows_path, columns, &subject->dense);
        rows_read_missing(rows_path, columns, &subject->missing);
    }
    buf_fini(&file);
    subject->rows = subject->dense;
    subject->other = calloc(1, COLD_BYTES);
    if (is_done) {
        subject->margins =
            malloc(subject->rows.count * subject->ours.model.output_count * sizeof(float));
        subject->contributions = malloc(
            EXPLAINED_ROWS * model_contributions_count(&subject->ours.model) * sizeof(float));
        size_t scratch_bytes =
            model_contributions_scratch_bytes(&subject->ours.model, EXPLAINED_ROWS);
        subject->contributions_scratch = aligned_alloc(64, scratch_bytes / 64 * 64 + 64);
    }
    is_done = is_done && subject->peer != NULL && subject->margins != NULL &&
              subject->contributions != NULL && subject->contributions_scratch != NULL &&
              subject->other != NULL && subject->rows.count >= BATCH_ROWS &&
              answers_are_equal(subject);
    if (!is_done) {
        fprintf(stderr, "bench_engine: %s: not loaded or not answered alike: %s\n", model_path,
                err.reason);
    }
    return is_done;
}

static void
subject_fini(struct subject *subject)
{
    oracle_model_fini(&subject->ours);
    oracle_rows_fini(&subject->dense);
    oracle_rows_fini(&subject->missing);
    free(subject->other);
    peer_free(&subject->peer);
    free(subject->margins);
    free(subject->contributions);
    free(subject->contributions_scratch);
}

static bool
bench_figure(const struct figure *figure, const char *model_name, const char *part,
             struct subject *subject)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "engine.%s%s", model_name, figure->name);
    subject->rows = figure->rows == MISSING_ROWS ? subject->missing : subject->dense;
    /* A kernel of another processor has no figure here. */
    if (strstr(name, part) == NULL || subject->rows.values == NULL ||
        !kernel_take(subject, figure->kernel)) {
        return true;
    }
    if (!answers_are_equal(subject)) {
        fprintf(stderr, "bench_engine: %s: not answered alike\n", name);
        return false;
    }
    report(name, figure, subject);
    return true;
}

static bool
bench_model(const char *name, const char *model_path, const char *rows_path, const char *part)
{
    struct subject subject;
    bool is_done = subject_init(&subject, model_path, rows_path);

    for (size_t i = 0; is_done && i < AUGURY_COUNT(figures); i++) {
        is_done = bench_figure(&figures[i], name, part, &subject);
    }
    subject_fini(&subject);
    return is_done;
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"a", "b", "c"};
    const char *part = argc == 3 ? argv[2] : "";
    char model_path[512];
    char rows_path[512];
    char name[8];

    if (argc < 2 || argc > 3 || !peer_is_there()) {
        fprintf(stderr, "bench_engine: %s\n",
                argc < 2 || argc > 3 ? "usage: bench_engine FOLDER [PART]"
                                     : "libxgboost was not found by configure");
        return 2;
    }
    bool is_done =
        bench_model("", "tests/data/nfl-wp/model.json", "tests/data/nfl-wp/input.tsv", part);
    for (size_t i = 0; is_done && i < AUGURY_COUNT(names); i++) {
        (void)snprintf(model_path, sizeof(model_path), "%s/%s.ubj", argv[1], names[i]);
        (void)snprintf(rows_path, sizeof(rows_path), "%s/%s.f32", argv[1], names[i]);
        (void)snprintf(name, sizeof(name), "%s.", names[i]);
        is_done = bench_model(name, model_path, rows_path, part);
    }
    return is_done ? 0 : 1;
}
