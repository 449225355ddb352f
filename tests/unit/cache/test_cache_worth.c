/* SPDX-License-Identifier: MIT */
/* test_cache_worth.c - what is kept at first sight, what at the second, what is not looked up. */
#include "../../tap.h"
#include "cache_case.h"

static struct cache_case c;

static int
put(unsigned number, enum cache_admission admission, uint32_t cost_us)
{
    char key[32];
    struct cache_item item = {.class = CACHE_PREDICTION,
                              .value = bytes_of_text("value"),
                              .created_wall_ms = case_now,
                              .expires_wall_ms = case_now + 60000,
                              .cost_us = cost_us,
                              .admission = admission};

    snprintf(key, sizeof(key), "prediction:m@1#x:%u", number);
    item.key = bytes_of_text(key);
    return cache_put(c.cache, &item);
}

/* Makes room in the ring. */
static void
drop(void)
{
    struct cache_ring *ring = &c.rings->ring[0];

    atomic_store(&ring->tail, atomic_load(&ring->head));
}

static void
always_is_at_first_sight(void)
{
    CHECK_INT(put(1, CACHE_ADMIT_ALWAYS, 0), 0);
    drop();
}

static void
second_is_at_the_second_sight_however_dear(void)
{
    uint64_t unseen = stats_sum(c.stats, STATS_CACHE_PUTS_UNSEEN);

    CHECK_INT(put(2, CACHE_ADMIT_SECOND, 1000000), AUGURY_NOT_FOUND);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_PUTS_UNSEEN), unseen + 1);
    CHECK_INT(put(2, CACHE_ADMIT_SECOND, 0), 0);
    CHECK_INT(put(2, CACHE_ADMIT_SECOND, 0), 0);
    drop();
}

static void
auto_keeps_the_dear_at_once_and_of_the_cheap_a_few(void)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < 20000; i++) {
        kept += put(1000000 + i, CACHE_ADMIT_AUTO, 49) == 0;
        CHECK(put(2000000 + i, CACHE_ADMIT_AUTO, 50) == 0);
        drop();
    }
    /* A thousand a second, what the door takes for known, and the seconds that this took. */
    CHECK(kept >= 1000 && kept < 8000);
}

static void
who_comes_again_is_known_and_who_came_long_ago_is_not(void)
{
    unsigned known = 0;

    CHECK_INT(put(3, CACHE_ADMIT_SECOND, 0), AUGURY_NOT_FOUND);
    for (unsigned i = 0; i < 30000; i++) {
        (void)put(3000000 + i, CACHE_ADMIT_SECOND, 0);
        drop();
    }
    CHECK_INT(put(3, CACHE_ADMIT_SECOND, 0), 0);
    CHECK_INT(put(4, CACHE_ADMIT_SECOND, 0), AUGURY_NOT_FOUND);
    for (unsigned i = 0; i < 200000; i++) {
        known += put(4000000 + i, CACHE_ADMIT_SECOND, 0) == 0;
        drop();
    }
    CHECK(known < 200000 / 20);
    CHECK_INT(put(4, CACHE_ADMIT_SECOND, 0), AUGURY_NOT_FOUND);
    drop();
}

static void
words_of_the_configuration_mean_what_they_say(void)
{
    CHECK_INT(cache_admission_of("always"), CACHE_ADMIT_ALWAYS);
    CHECK_INT(cache_admission_of("second"), CACHE_ADMIT_SECOND);
    CHECK_INT(cache_admission_of("auto"), CACHE_ADMIT_AUTO);
}

/* ---- costs ----------------------------------------------------------------------------------- */

static void
measure(struct cache_worth *worth, uint64_t make_ns, uint64_t find_ns, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        cache_worth_made(worth, CACHE_ONE, make_ns);
        cache_worth_found(worth, CACHE_ONE, find_ns);
    }
}

static void
nothing_is_cheap_before_it_has_been_measured_often(void)
{
    struct cache_worth *worth = cache_worth_of(c.cache, 77, bytes_of_text("m@1"));

    measure(worth, 10, 1000, 31);
    CHECK(!cache_worth_is_known(worth, CACHE_ONE));
    CHECK(!cache_worth_is_cheap(worth, CACHE_ONE));
    measure(worth, 10, 1000, 1);
    CHECK(cache_worth_is_cheap(worth, CACHE_ONE));
    CHECK(!cache_worth_is_cheap(worth, CACHE_MANY));
    CHECK_INT(cache_worth_make_ns(worth, CACHE_ONE), 10);
}

static void
cheap_is_less_than_half(void)
{
    struct cache_worth *worth = cache_worth_of(c.cache, 78, bytes_of_text("m@2"));

    measure(worth, 500, 1000, 100);
    CHECK(!cache_worth_is_cheap(worth, CACHE_ONE));
    measure(worth, 400, 1000, 100);
    CHECK(cache_worth_is_cheap(worth, CACHE_ONE));
    measure(worth, 900, 1000, 100);
    CHECK(!cache_worth_is_cheap(worth, CACHE_ONE));
}

static void
one_spike_changes_no_judgement(void)
{
    struct cache_worth *worth = cache_worth_of(c.cache, 79, bytes_of_text("m@3"));

    measure(worth, 100, 1000, 100);
    cache_worth_made(worth, CACHE_ONE, 4000000000U);
    CHECK(cache_worth_is_cheap(worth, CACHE_ONE));
    CHECK(cache_worth_make_ns(worth, CACHE_ONE) < 200);
}

static void
the_table_shows_names_and_gives_old_lines_away(void)
{
    struct cache_worth_row row;
    unsigned lines = 0, named = 0;

    cache_worth_bypassed(cache_worth_of(c.cache, 77, bytes_of_text("m@1")), 5);
    for (size_t i = 0; cache_worth_at(c.cache, &i, &row);) {
        bool is_first = strcmp(row.name, "m@1") == 0;
        CHECK(!is_first || (row.bypassed_rows == 5 && row.make_ns[CACHE_ONE] == 10 &&
                            row.is_bypassed[CACHE_ONE] && row.find_ns[CACHE_MANY] == 0));
        named += is_first;
    }
    CHECK_INT(named, 1);
    for (uint64_t id = 1; id < 10000; id++) {
        struct cache_worth *worth = cache_worth_of(c.cache, id, bytes_of_text("other"));
        CHECK(!cache_worth_is_known(worth, CACHE_ONE) || (id >= 77 && id <= 79));
        CHECK(cache_worth_of(c.cache, id, bytes_of_text("other")) == worth);
    }
    for (size_t i = 0; cache_worth_at(c.cache, &i, &row);) {
        lines++;
    }
    CHECK(lines > 64 && lines <= 128);
}

int
main(void)
{
    if (!case_begin(&c, 16 << 20, 1 << 16)) {
        printf("Bail out! no cache\n");
        return 1;
    }
    TAP_RUN(always_is_at_first_sight);
    TAP_RUN(second_is_at_the_second_sight_however_dear);
    TAP_RUN(auto_keeps_the_dear_at_once_and_of_the_cheap_a_few);
    TAP_RUN(who_comes_again_is_known_and_who_came_long_ago_is_not);
    TAP_RUN(words_of_the_configuration_mean_what_they_say);
    TAP_RUN(nothing_is_cheap_before_it_has_been_measured_often);
    TAP_RUN(cheap_is_less_than_half);
    TAP_RUN(one_spike_changes_no_judgement);
    TAP_RUN(the_table_shows_names_and_gives_old_lines_away);
    case_fini(&c);
    return tap_done();
}
