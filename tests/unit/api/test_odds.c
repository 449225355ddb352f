/* SPDX-License-Identifier: MIT */
/* test_odds.c - when rendered answers are looked for, and when that is found to be of no use. */
#include "../../../src/api/api_odds.h"
#include "../../tap.h"

enum { HOPELESS = 1024, ASKED_ONE_IN = 8 };

/* So many requests that are no repeats: how many of them are looked for. */
static unsigned
ask(struct api_odds *odds, unsigned count)
{
    unsigned asked = 0;

    for (unsigned i = 0; i < count; i++) {
        if (api_odds_ask(odds)) {
            api_odds_miss(odds);
            asked++;
        }
    }
    return asked;
}

static void
what_is_never_repeated_is_looked_for_one_time_in_eight(void)
{
    struct api_odds odds = {0};

    api_odds_learn(&odds, 5);
    CHECK_INT(ask(&odds, HOPELESS), HOPELESS);
    CHECK_INT(ask(&odds, 80 * ASKED_ONE_IN), 80);
}

static void
a_hit_brings_everything_back(void)
{
    struct api_odds odds = {0};

    (void)ask(&odds, 2 * HOPELESS);
    odds.misses = 0; /* what a hit does */
    CHECK_INT(ask(&odds, HOPELESS - 1), HOPELESS - 1);
    odds.misses = 0;
    CHECK_INT(ask(&odds, HOPELESS), HOPELESS);
}

static void
dear_answers_are_always_looked_for(void)
{
    struct api_odds odds = {0};

    api_odds_learn(&odds, 400);
    CHECK_INT(ask(&odds, 3 * HOPELESS), 3 * HOPELESS);
    /* They have become cheap: that is seen after a while. */
    for (unsigned i = 0; i < 100; i++) {
        api_odds_learn(&odds, 5);
    }
    CHECK_INT(ask(&odds, 10 * ASKED_ONE_IN), 10);
}

static void
one_slow_answer_makes_none_dear(void)
{
    struct api_odds odds = {0};

    for (unsigned i = 0; i < 20; i++) {
        api_odds_learn(&odds, 10);
    }
    api_odds_learn(&odds, 100000); /* the processor was somebody else's */
    (void)ask(&odds, HOPELESS);
    CHECK_INT(ask(&odds, 10 * ASKED_ONE_IN), 10);
}

static void
a_path_has_a_line_of_the_table(void)
{
    struct api_odds table[API_ODDS];
    struct bytes path = bytes_of_text("/api/v1/predict/nfl-wp");

    CHECK(api_odds_of(table, path) == api_odds_of(table, path));
    CHECK(api_odds_of(table, path) >= table && api_odds_of(table, path) < table + API_ODDS);
    CHECK(api_odds_of(table, bytes_of_text("/")) < table + API_ODDS);
    CHECK(api_odds_of(table, path) != api_odds_of(table, bytes_of_text("/api/v1/predict/nfl-wq")));
}

int
main(void)
{
    TAP_RUN(what_is_never_repeated_is_looked_for_one_time_in_eight);
    TAP_RUN(a_hit_brings_everything_back);
    TAP_RUN(dear_answers_are_always_looked_for);
    TAP_RUN(one_slow_answer_makes_none_dear);
    TAP_RUN(a_path_has_a_line_of_the_table);
    return tap_done();
}
