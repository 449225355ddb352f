/* SPDX-License-Identifier: MIT */
/* test_lag.c - the limit of requests a turn against a model of a worker: requests arrive at a rate
 * and are served one after the other, all that have come by the time a turn begins. */
#include "../../../src/net/net_lag.h"

#include "../../tap.h"

#include <inttypes.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

struct worker {
    struct net_lag lag;
    uint64_t now_ns;
    double waiting;   /* requests that have come */
    double rate;      /* requests a second */
    uint64_t cost_ns; /* of a request that is served */
    uint64_t refuse_ns;
    uint64_t served, refused;
    uint64_t worst_turn_ns;
};

static void
start(struct worker *worker, uint64_t target_ns)
{
    *worker = (struct worker){.now_ns = 77 * SECOND, .refuse_ns = 5000};
    net_lag_init(&worker->lag, target_ns);
}

static void
turn(struct worker *worker)
{
    uint64_t begin_ns = worker->now_ns;
    uint64_t took_ns = 20000;

    uint64_t count = (uint64_t)worker->waiting;
    worker->waiting -= (double)count;
    for (; count > 0; count--) {
        bool is_admitted = net_lag_admit(&worker->lag, begin_ns + took_ns);
        worker->served += is_admitted;
        worker->refused += !is_admitted;
        took_ns += is_admitted ? worker->cost_ns : worker->refuse_ns;
    }
    net_lag_turn(&worker->lag, begin_ns, begin_ns + took_ns);
    worker->worst_turn_ns = took_ns > worker->worst_turn_ns ? took_ns : worker->worst_turn_ns;
    worker->now_ns += took_ns;
    worker->waiting += worker->rate * (double)took_ns / 1e9;
    if (worker->waiting < 1) { /* asleep until the next one comes */
        uint64_t sleep_ns = (uint64_t)((1 - worker->waiting) / worker->rate * 1e9) + 1;
        worker->now_ns += sleep_ns;
        worker->waiting = 1;
    }
}

/* Counts anew, and runs. */
static void
run(struct worker *worker, uint64_t time_ns)
{
    uint64_t end_ns = worker->now_ns + time_ns;

    worker->served = worker->refused = worker->worst_turn_ns = 0;
    while (worker->now_ns < end_ns) {
        turn(worker);
    }
}

static void
without_a_target_all_are_admitted(void)
{
    struct worker worker;

    start(&worker, 0);
    worker.cost_ns = 1 * MS;
    worker.rate = 900;
    run(&worker, 2 * SECOND);
    CHECK_INT(worker.refused, 0);
    for (int i = 0; i < 100000; i++) {
        CHECK(net_lag_admit(&worker.lag, worker.now_ns));
    }
}

static void
below_capacity_nobody_is_refused(void)
{
    struct worker worker;

    start(&worker, 20 * MS);
    worker.cost_ns = MS / 2;
    worker.rate = 1400; /* of 2,000 */
    run(&worker, 10 * SECOND);
    CHECK_INT(worker.refused, 0);
    CHECK(worker.served > 13000);
}

/* Four times of what it can do, for costs from 50 us to 5 ms. */
static void
under_overload_turns_keep_the_target_and_the_worker_stays_busy(void)
{
    static const uint64_t costs_us[] = {50, 200, 1000, 5000};

    for (size_t i = 0; i < sizeof(costs_us) / sizeof(costs_us[0]); i++) {
        struct worker worker;
        start(&worker, 40 * MS);
        worker.cost_ns = costs_us[i] * 1000;
        worker.rate = 4e9 / (double)worker.cost_ns;
        run(&worker, 3 * SECOND); /* to find the limit */
        run(&worker, 10 * SECOND);
        double share = (double)worker.served * (double)worker.cost_ns / 10e9;
        CHECK(worker.worst_turn_ns <= 40 * MS);
        CHECK(worker.refused > 0);
        CHECK(share > 0.55); /* of its time; refusals take the rest: 40 % at 50 us */
        CHECK(worker.lag.limit >= 1);
    }
}

static void
work_that_becomes_dearer_lowers_the_limit_within_a_second(void)
{
    struct worker worker;

    start(&worker, 40 * MS);
    worker.cost_ns = MS / 10;
    worker.rate = 20000;
    run(&worker, 5 * SECOND);
    uint32_t before = worker.lag.limit;
    worker.cost_ns = 4 * MS;
    run(&worker, 3 * SECOND);
    CHECK(worker.lag.limit < before / 8);
    run(&worker, 5 * SECOND);
    CHECK(worker.worst_turn_ns <= 40 * MS);
}

/* A thousand who come back at once when they are refused: most of a turn is refusals, and what is
 * left of it goes on. */
static void
refusals_do_not_crowd_out_work(void)
{
    struct net_lag lag;
    uint64_t now_ns = SECOND;
    uint64_t work_ns = 0;

    net_lag_init(&lag, 10 * MS);
    for (int i = 0; i < 2000; i++) {
        uint64_t begin_ns = now_ns;
        for (int j = 0; j < 1000; j++) {
            uint64_t took_ns = net_lag_admit(&lag, now_ns) ? MS / 2 : MS / 100;
            work_ns += took_ns > MS / 100 ? took_ns : 0;
            now_ns += took_ns;
        }
        net_lag_turn(&lag, begin_ns, now_ns);
    }
    CHECK(lag.limit >= 5 && lag.limit <= 14);
    CHECK(work_ns > (now_ns - SECOND) / 5);
}

static void
the_limit_comes_back_when_work_is_cheap_again(void)
{
    struct worker worker;

    start(&worker, 20 * MS);
    worker.cost_ns = 5 * MS;
    worker.rate = 4000;
    run(&worker, 5 * SECOND);
    CHECK(worker.lag.limit <= 3);
    worker.cost_ns = MS / 20;
    worker.rate = 10000; /* half of what it can do */
    run(&worker, 5 * SECOND);
    run(&worker, 5 * SECOND);
    CHECK_INT(worker.refused, 0);
}

static void
one_request_that_takes_long_lowers_nothing(void)
{
    struct worker worker;

    start(&worker, 10 * MS);
    worker.cost_ns = 50 * MS;
    worker.rate = 10; /* one at a time */
    run(&worker, 20 * SECOND);
    CHECK_INT(worker.lag.limit, NET_LAG_FIRST);
    CHECK_INT(worker.refused, 0);
}

/* Another program takes the CPU now and then: one turn in 200 is long. */
static void
a_turn_that_is_late_by_chance_lowers_nothing(void)
{
    struct net_lag lag;
    uint64_t now_ns = SECOND;

    net_lag_init(&lag, 10 * MS);
    for (int i = 0; i < 20000; i++) {
        for (int j = 0; j < 4; j++) {
            CHECK(net_lag_admit(&lag, now_ns));
        }
        uint64_t took_ns = i % 200 == 199 ? 30 * MS : MS / 5;
        net_lag_turn(&lag, now_ns, now_ns + took_ns);
        now_ns += took_ns + MS / 5;
    }
    CHECK_INT(lag.limit, NET_LAG_FIRST);
}

static void
a_limit_that_refuses_nobody_does_not_grow(void)
{
    struct worker worker;

    start(&worker, 20 * MS);
    worker.cost_ns = MS / 10;
    worker.rate = 1000;
    run(&worker, 20 * SECOND);
    CHECK_INT(worker.lag.limit, NET_LAG_FIRST);
}

/* Whatever comes: the limit keeps its bounds, and every turn serves somebody. */
static void
bounds_hold_for_any_sequence(void)
{
    struct net_lag lag;
    uint64_t now_ns = 1;
    unsigned seed = 5;

    net_lag_init(&lag, 5 * MS);
    for (int i = 0; i < 200000; i++) {
        int count = rand_r(&seed) % 50;
        for (int j = 0; j < count; j++) {
            bool is_admitted = net_lag_admit(&lag, now_ns);
            CHECK(is_admitted || j > 0);
        }
        uint64_t took_ns = (uint64_t)(rand_r(&seed) % 20) * MS;
        net_lag_turn(&lag, now_ns, now_ns + took_ns);
        now_ns += took_ns + (uint64_t)(rand_r(&seed) % 3) * MS;
        CHECK(lag.limit >= 1 && lag.limit <= NET_LAG_MOST);
    }
}

static void
the_lag_counts_the_turn_before_unless_the_loop_slept(void)
{
    struct net_lag lag;

    net_lag_init(&lag, 5 * MS);
    net_lag_turn(&lag, 10 * MS, 13 * MS);
    CHECK_INT(lag.lag_ns, 3 * MS);
    net_lag_turn(&lag, 13 * MS + 1000, 15 * MS + 1000);
    CHECK_INT(lag.lag_ns, 5 * MS);
    net_lag_turn(&lag, 25 * MS, 26 * MS);
    CHECK_INT(lag.lag_ns, 1 * MS);
}

/* ---- a target that is found ------------------------------------------------------------------ */

static uint64_t
at_least(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Ten times what a request takes, within bounds, whether it is one at a time or four times of what
 * the worker can do: load does not raise it. */
static void
the_target_follows_what_requests_take_and_not_how_many_wait(void)
{
    static const uint64_t costs_us[] = {50, 500, 4000, 30000, 200000};
    static const double loads[] = {0.2, 4};

    for (size_t i = 0; i < 2 * sizeof(costs_us) / sizeof(costs_us[0]); i++) {
        struct worker worker;
        start(&worker, NET_LAG_AUTO);
        worker.cost_ns = costs_us[i / 2] * 1000;
        worker.rate = loads[i % 2] * 1e9 / (double)worker.cost_ns;
        uint64_t wanted_ns = at_least(10 * worker.cost_ns, NET_LAG_AUTO_LEAST_NS);
        wanted_ns = wanted_ns < NET_LAG_AUTO_MOST_NS ? wanted_ns : NET_LAG_AUTO_MOST_NS;
        run(&worker, 60 * SECOND);
        CHECK(worker.lag.target_ns >= wanted_ns && worker.lag.target_ns <= wanted_ns + MS);
        run(&worker, 10 * SECOND);
        CHECK(i % 2 == 1 || worker.refused == 0);
        CHECK(i % 2 == 0 || worker.refused > 0);
        CHECK(worker.worst_turn_ns <= at_least(wanted_ns, worker.cost_ns + MS));
        CHECK(i % 2 == 0 || (double)worker.served * (double)worker.cost_ns > 0.4 * 10e9);
    }
}

/* Dearer requests are believed when the cheap ones of before are forgotten, cheaper ones at
 * once. */
static void
the_target_follows_within_seconds_when_requests_change(void)
{
    struct worker worker;

    start(&worker, NET_LAG_AUTO);
    worker.cost_ns = MS / 10;
    worker.rate = 5000;
    run(&worker, 15 * SECOND);
    CHECK_INT(worker.lag.target_ns, NET_LAG_AUTO_LEAST_NS);
    worker.cost_ns = 10 * MS;
    worker.rate = 50;
    run(&worker, 5 * SECOND);
    CHECK_INT(worker.lag.target_ns, NET_LAG_AUTO_LEAST_NS);
    run(&worker, 18 * SECOND);
    CHECK(worker.lag.target_ns >= 100 * MS && worker.lag.target_ns < 101 * MS);
    worker.cost_ns = 3 * MS;
    run(&worker, 3 * SECOND);
    CHECK(worker.lag.target_ns >= 30 * MS && worker.lag.target_ns < 31 * MS);
}

/* A neighbour that takes the CPU every other second makes requests take three times as long. */
static void
a_neighbour_that_comes_and_goes_does_not_raise_the_target(void)
{
    struct worker worker;

    start(&worker, NET_LAG_AUTO);
    worker.rate = 40;
    for (int i = 0; i < 60; i++) {
        worker.cost_ns = (i % 2 == 0 ? 5 : 15) * MS;
        run(&worker, SECOND);
    }
    CHECK(worker.lag.target_ns >= 50 * MS && worker.lag.target_ns < 60 * MS);
}

/* Whatever comes, the target keeps its bounds, and clocks that jump do not break it. */
static void
a_found_target_keeps_its_bounds(void)
{
    struct net_lag lag;
    uint64_t now_ns = 1;
    unsigned seed = 9;

    net_lag_init(&lag, NET_LAG_AUTO);
    CHECK_INT(lag.target_ns, NET_LAG_AUTO_LEAST_NS);
    for (int i = 0; i < 100000; i++) {
        uint64_t begin_ns = now_ns;
        for (int j = rand_r(&seed) % 20; j > 0; j--) {
            (void)net_lag_admit(&lag, now_ns);
            now_ns += (uint64_t)(rand_r(&seed) % 300) * MS * (uint64_t)(rand_r(&seed) % 2);
        }
        net_lag_turn(&lag, begin_ns, now_ns);
        now_ns += (uint64_t)(rand_r(&seed) % 100) * SECOND / 50;
        CHECK(lag.target_ns >= NET_LAG_AUTO_LEAST_NS && lag.target_ns <= NET_LAG_AUTO_MOST_NS);
    }
}

int
main(void)
{
    TAP_RUN(without_a_target_all_are_admitted);
    TAP_RUN(below_capacity_nobody_is_refused);
    TAP_RUN(under_overload_turns_keep_the_target_and_the_worker_stays_busy);
    TAP_RUN(work_that_becomes_dearer_lowers_the_limit_within_a_second);
    TAP_RUN(refusals_do_not_crowd_out_work);
    TAP_RUN(the_limit_comes_back_when_work_is_cheap_again);
    TAP_RUN(one_request_that_takes_long_lowers_nothing);
    TAP_RUN(a_turn_that_is_late_by_chance_lowers_nothing);
    TAP_RUN(a_limit_that_refuses_nobody_does_not_grow);
    TAP_RUN(bounds_hold_for_any_sequence);
    TAP_RUN(the_lag_counts_the_turn_before_unless_the_loop_slept);
    TAP_RUN(the_target_follows_what_requests_take_and_not_how_many_wait);
    TAP_RUN(the_target_follows_within_seconds_when_requests_change);
    TAP_RUN(a_neighbour_that_comes_and_goes_does_not_raise_the_target);
    TAP_RUN(a_found_target_keeps_its_bounds);
    return tap_done();
}
