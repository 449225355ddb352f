/* SPDX-License-Identifier: MIT */
/*
 * test_iterations.c - a model cut to a range of its iterations answers what libxgboost answers with
 * that iteration_range: random models of several outputs, parallel trees and dart.
 */
#include <math.h>
#include <string.h>

#include "../tap.h"
#include "peer.h"
#include "random_model.h"

enum { ROWS = 64, OUTPUTS_MAX = 16, RANGES = 4 };

/* One model with the rows that it is asked for. */
struct cut {
    const struct random_model *source;
    struct peer *peer;
    float rows[ROWS * RANDOM_FEATURES_MAX];
    float margins[ROWS * OUTPUTS_MAX];
};

static bool
same_margins(struct cut *cut, uint32_t begin, uint32_t end)
{
    const struct random_model *source = cut->source;
    const struct model_import_options options = {.iteration_begin = begin, .iteration_end = end};
    struct peer_rows rows = {cut->rows, ROWS, source->feature_count, NAN};
    struct oracle_model ours;
    struct err err;
    size_t count = 0;
    bool is_same = oracle_model_init(buf_view(&source->json), &options, &ours, &err);

    if (!is_same) {
        printf("# seed %ju: %s: %s\n", (uintmax_t)source->seed, err.at, err.reason);
        return false;
    }
    const float *theirs = peer_predict_iterations(cut->peer, &rows, begin, end, &count);
    model_margins(&ours.model, cut->rows, ROWS, ours.scratch, cut->margins);
    is_same = theirs != NULL && count == ROWS * (size_t)ours.model.output_count;
    for (size_t i = 0; i < count && is_same; i++) {
        is_same = oracle_same_bits(cut->margins[i], theirs[i]);
        if (!is_same) {
            printf("# seed %ju, iterations %u to %u: margin %zu is %.9g, libxgboost says %.9g\n",
                   (uintmax_t)source->seed, begin, end, i, (double)cut->margins[i],
                   (double)theirs[i]);
        }
    }
    oracle_model_fini(&ours);
    return is_same;
}

/* Ranges of a model; 0 when one of them differs. */
static unsigned
compare_ranges(struct cut *cut, struct oracle_random *random)
{
    const struct random_model *source = cut->source;
    unsigned iterations = source->tree_count / (source->group_count * source->parallel_count);

    for (unsigned i = 0; i < RANGES; i++) {
        uint32_t begin = oracle_below(random, iterations);
        uint32_t end = begin + 1 + oracle_below(random, iterations - begin);
        if (!same_margins(cut, begin, end)) {
            return 0;
        }
    }
    return RANGES;
}

static void
a_range_of_iterations_answers_as_libxgboosts_iteration_range(void)
{
    struct random_model *source = calloc(1, sizeof(*source));
    struct cut *cut = calloc(1, sizeof(*cut));
    struct oracle_random random = oracle_random_of(17);
    unsigned ranges = 0;
    unsigned wrong = 0;

    if (!peer_is_there()) {
        SKIP("libxgboost was not found by configure");
    }
    CHECK(source != NULL && cut != NULL);
    for (uint64_t seed = 1; seed < 60; seed++) {
        CHECK(random_model_init(source, seed));
        unsigned each = source->group_count * source->parallel_count;
        if (source->booster != RANDOM_GBLINEAR && source->tree_count >= each &&
            source->tree_count % each == 0) {
            cut->source = source;
            cut->peer = peer_load(buf_view(&source->json));
            random_model_rows(source, RANDOM_FINITE, &random, ROWS, cut->rows);
            unsigned same = compare_ranges(cut, &random);
            ranges += same;
            wrong += same == 0 ? 1 : 0;
            peer_free(&cut->peer);
        }
        random_model_fini(source);
    }
    printf("# %u ranges\n", ranges);
    free(cut);
    free(source);
    CHECK_INT(wrong, 0);
    CHECK(ranges >= 40);
}

int
main(void)
{
    TAP_RUN(a_range_of_iterations_answers_as_libxgboosts_iteration_range);
    return tap_done();
}
