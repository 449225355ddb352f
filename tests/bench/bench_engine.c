/* SPDX-License-Identifier: MIT */
/*
 * bench_engine.c - one thread of the engine against one thread of libxgboost's C API
 * (XGBoosterPredictFromDense), in one process, margins of the same rows, repetitions interleaved.
 * Prints one TSV line a figure: name, ours, unit, peer, the peer's figure, ratio (more is better
 * for us). A figure is the median of its repetitions.
 * Usage: bench_engine FOLDER, where engine_models.py has put a.ubj, a.f32, …
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../oracle/oracle.h"
#include "../oracle/peer.h"
#include "augury/registry.h"

enum { REPETITIONS = 31, BATCH_ROWS = 1000, ROW_TURNS = 400, ROWS_SPARED = 7 };

struct subject {
    struct oracle_model ours;
    struct peer *peer;
    struct oracle_rows rows;
    float *margins;
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

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

static void
report(const char *name, struct subject *subject, measure *ours, measure *theirs)
{
    double our_ns[REPETITIONS];
    double peer_ns[REPETITIONS];

    (void)ours(subject); /* warm */
    (void)theirs(subject);
    for (size_t i = 0; i < REPETITIONS; i++) {
        our_ns[i] = ours(subject);
        peer_ns[i] = theirs(subject);
    }
    qsort(our_ns, REPETITIONS, sizeof(double), compare_doubles);
    qsort(peer_ns, REPETITIONS, sizeof(double), compare_doubles);
    printf("%s\t%.0f\tns/row\tlibxgboost %s\t%.0f\t%.2f\n", name, our_ns[REPETITIONS / 2],
           peer_version(), peer_ns[REPETITIONS / 2],
           peer_ns[REPETITIONS / 2] / our_ns[REPETITIONS / 2]);
    fflush(stdout);
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
                      ? oracle_read_tsv(rows_path, &subject->rows)
                      : rows_read_f32(rows_path, columns, &subject->rows);
    }
    buf_fini(&file);
    if (is_done) {
        subject->margins =
            malloc(subject->rows.count * subject->ours.model.output_count * sizeof(float));
    }
    is_done = is_done && subject->peer != NULL && subject->margins != NULL &&
              subject->rows.count >= BATCH_ROWS && answers_are_equal(subject);
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
    oracle_rows_fini(&subject->rows);
    peer_free(&subject->peer);
    free(subject->margins);
}

static bool
bench_model(const char *name, const char *model_path, const char *rows_path)
{
    struct subject subject;
    char figure[64];
    bool is_done = subject_init(&subject, model_path, rows_path);

    if (is_done) {
        (void)snprintf(figure, sizeof(figure), "engine.%srow_scalar", name);
        report(figure, &subject, ours_one_row, peer_one_row);
        (void)snprintf(figure, sizeof(figure), "engine.%sbatch_scalar", name);
        report(figure, &subject, ours_batch, peer_batch);
    }
    subject_fini(&subject);
    return is_done;
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"a", "b", "c"};
    char model_path[512];
    char rows_path[512];
    char name[8];

    if (argc != 2 || !peer_is_there()) {
        fprintf(stderr, "bench_engine: %s\n",
                argc != 2 ? "usage: bench_engine FOLDER" : "libxgboost was not found by configure");
        return 2;
    }
    bool is_done = bench_model("", "tests/data/nfl-wp/model.json", "tests/data/nfl-wp/input.tsv");
    for (size_t i = 0; is_done && i < AUGURY_COUNT(names); i++) {
        (void)snprintf(model_path, sizeof(model_path), "%s/%s.ubj", argv[1], names[i]);
        (void)snprintf(rows_path, sizeof(rows_path), "%s/%s.f32", argv[1], names[i]);
        (void)snprintf(name, sizeof(name), "%s.", names[i]);
        is_done = bench_model(name, model_path, rows_path);
    }
    return is_done ? 0 : 1;
}
