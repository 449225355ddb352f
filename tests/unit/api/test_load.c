/* SPDX-License-Identifier: MIT */
/* test_load.c - when a worker is called busy. */
#include "../../../src/api/api_load.h"
#include "../../tap.h"

#define MS UINT64_C(1000000)

/* Whether it is busy at that time, as api_coding.c asks. */
static bool
ask(struct api_load *load, uint64_t wall_ns, uint64_t awake_ns)
{
    if (api_load_is_due(load, wall_ns)) {
        api_load_note(load, wall_ns, awake_ns);
    }
    return load->is_busy;
}

/* Asks every 10 ms for a second of a loop that is awake so many percent; the last answer. */
static bool
run(struct api_load *load, uint64_t *wall_ns, uint64_t *awake_ns, unsigned percent)
{
    bool is_busy = false;

    for (unsigned i = 0; i < 100; i++) {
        *wall_ns += 10 * MS;
        *awake_ns += 10 * MS * percent / 100;
        is_busy = ask(load, *wall_ns, *awake_ns);
    }
    return is_busy;
}

static void
a_loop_that_seldom_sleeps_is_busy(void)
{
    struct api_load load = {0};
    uint64_t wall_ns = 5000 * MS, awake_ns = 4900 * MS;

    CHECK(!ask(&load, wall_ns, awake_ns)); /* nothing is known yet */
    CHECK(!run(&load, &wall_ns, &awake_ns, 60));
    CHECK(run(&load, &wall_ns, &awake_ns, 80));
    CHECK(run(&load, &wall_ns, &awake_ns, 100));
    CHECK(!run(&load, &wall_ns, &awake_ns, 10));
}

static void
after_a_silence_the_first_moment_is_not_busy(void)
{
    struct api_load load = {0};
    uint64_t wall_ns = 1000 * MS, awake_ns = 0;

    CHECK(run(&load, &wall_ns, &awake_ns, 100));
    wall_ns += 60000 * MS;
    CHECK(!ask(&load, wall_ns, awake_ns));
}

/* A look within a moment changes nothing, however much was done. */
static void
a_moment_has_to_pass(void)
{
    struct api_load load = {0};

    CHECK(!ask(&load, 1000 * MS, 0));
    CHECK(!ask(&load, 1050 * MS, 50 * MS));
    CHECK(ask(&load, 1100 * MS, 100 * MS));
    CHECK(ask(&load, 1150 * MS, 100 * MS));
}

int
main(void)
{
    TAP_RUN(a_loop_that_seldom_sleeps_is_busy);
    TAP_RUN(after_a_silence_the_first_moment_is_not_busy);
    TAP_RUN(a_moment_has_to_pass);
    return tap_done();
}
