/* SPDX-License-Identifier: MIT */
/* test_spread.c - how far the trees of a forest disagree, against each tree read aloud. */
#include "maker.h"

enum { TREES = 37, FEATURES = 6, ROWS = 200 };

static struct maker
make_forest(uint64_t seed, enum model_number number)
{
    struct maker maker = maker_init(seed, FEATURES, 1, TREES);
    struct neutral_feature *features = (struct neutral_feature *)(uintptr_t)maker.model.features;

    for (uint32_t i = 0; i < FEATURES; i++) {
        features[i].type = MODEL_FLOAT;
    }
    maker.model.kind = NEUTRAL_FOREST;
    maker.model.number = number;
    maker.model.divisor = TREES;
    for (uint32_t t = 0; t < TREES; t++) {
        maker_grow(&maker, t, 1 + maker_random(&maker, 20), MAKER_NUMERIC);
    }
    return maker;
}

static void
agrees(uint64_t seed, enum model_number number)
{
    struct maker maker = make_forest(seed, number);
    struct fixture fixture = maker_compile(&maker);
    double spread[MODEL_SPREAD_COUNT];
    double rows[FEATURES];
    double scratch[8];

    CHECK_INT(fixture.rc, 0);
    CHECK(model_has_spread(&fixture.model));
    CHECK(model_spread_scratch_bytes(&fixture.model) <= sizeof(scratch));
    for (unsigned r = 0; r < ROWS; r++) {
        double values[TREES], mean = 0, variance = 0, least = INFINITY, greatest = -INFINITY;
        for (uint32_t i = 0; i < FEATURES; i++) {
            model_number_set(&fixture.model, rows, i,
                             maker_random(&maker, 9) == 0 ? NAN : (double)maker_value(&maker));
        }
        for (uint32_t t = 0; t < TREES; t++) {
            const struct neutral_tree *tree = &maker.model.trees[t];
            /* the mean of what the trees answer is the margin */
            values[t] = maker.model.base_margins[0] / TREES +
                        tree->value[maker_leaf(&maker.model, tree, rows)];
            mean += values[t] / TREES;
            least = fmin(least, values[t]);
            greatest = fmax(greatest, values[t]);
        }
        for (uint32_t t = 0; t < TREES; t++) {
            variance += (values[t] - mean) * (values[t] - mean) / TREES;
        }
        model_spread(&fixture.model, rows, 1, scratch, spread);
        CHECK(fabs(spread[MODEL_SPREAD_STD] - sqrt(variance)) < 1e-9);
        CHECK(fabs(spread[MODEL_SPREAD_MIN] - least) < 1e-12);
        CHECK(fabs(spread[MODEL_SPREAD_MAX] - greatest) < 1e-12);
    }
    fixture_close(&fixture);
    arena_fini(&maker.arena);
}

static void
the_spread_is_that_of_the_trees_answers(void)
{
    agrees(1, MODEL_FLOAT64);
    agrees(2, MODEL_FLOAT64);
    agrees(3, MODEL_FLOAT32);
}

static void
boosted_trees_and_forests_of_classes_have_none(void)
{
    struct maker maker = make_forest(4, MODEL_FLOAT64);

    maker.model.link = MODEL_LINK_PROBABILITY;
    maker.model.flags = NEUTRAL_BINARY;
    struct fixture classes = maker_compile(&maker);
    CHECK_INT(classes.rc, 0);
    CHECK(!model_has_spread(&classes.model));
    fixture_close(&classes);
    maker.model.link = MODEL_LINK_IDENTITY;
    maker.model.flags = 0;
    maker.model.kind = NEUTRAL_GBTREE;
    maker.model.divisor = 1;
    struct fixture boosted = maker_compile(&maker);
    CHECK_INT(boosted.rc, 0);
    CHECK(!model_has_spread(&boosted.model));
    fixture_close(&boosted);
    arena_fini(&maker.arena);
}

int
main(void)
{
    TAP_RUN(the_spread_is_that_of_the_trees_answers);
    TAP_RUN(boosted_trees_and_forests_of_classes_have_none);
    return tap_done();
}
