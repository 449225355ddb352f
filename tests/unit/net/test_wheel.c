/* SPDX-License-Identifier: MIT */
/* test_wheel.c - deadlines on the wheel, with a clock of the test's own. */
#include "../../../src/net/net_wheel.h"

#include "../../tap.h"

struct entry {
    struct net_deadline deadline;
    uint64_t fired_ms;
};

struct bench {
    struct net_wheel wheel;
    uint64_t now_ms;
    size_t fired;
};

static void
on_fire(void *arg, struct net_deadline *deadline)
{
    struct bench *bench = arg;
    struct entry *entry = (struct entry *)deadline;

    entry->fired_ms = bench->now_ms;
    bench->fired++;
}

static void
run_until(struct bench *bench, uint64_t end_ms, uint64_t step_ms)
{
    while (bench->now_ms < end_ms) {
        bench->now_ms += step_ms;
        net_wheel_advance(&bench->wheel, bench->now_ms, on_fire, bench);
    }
}

static void
start(struct bench *bench)
{
    *bench = (struct bench){.now_ms = 123456789};
    net_wheel_init(&bench->wheel, bench->now_ms);
}

static void
a_deadline_is_never_early_and_at_most_two_ticks_late(void)
{
    static struct bench bench;
    static struct entry entries[500];

    start(&bench);
    memset(entries, 0, sizeof(entries));
    uint64_t begin = bench.now_ms;
    for (size_t i = 0; i < 500; i++) {
        /* From 0 to about 5 minutes: three turns of the wheel. */
        net_wheel_set(&bench.wheel, &entries[i].deadline, begin + i * 613);
    }
    run_until(&bench, begin + 500 * 613, 7);
    CHECK_INT(bench.fired, 500);
    for (size_t i = 0; i < 500; i++) {
        CHECK(entries[i].fired_ms >= begin + i * 613);
        CHECK(entries[i].fired_ms <= begin + i * 613 + 2 * NET_WHEEL_TICK_MS + 7);
    }
}

static void
a_deadline_moved_later_fires_once_at_the_later_time(void)
{
    static struct bench bench;
    static struct entry entry;

    start(&bench);
    memset(&entry, 0, sizeof(entry));
    uint64_t begin = bench.now_ms;
    for (uint64_t at = 0; at < 10000; at += 50) {
        net_wheel_set(&bench.wheel, &entry.deadline, begin + at + 1000);
        run_until(&bench, begin + at + 50, 50);
    }
    CHECK_INT(bench.fired, 0);
    run_until(&bench, begin + 20000, 50);
    CHECK_INT(bench.fired, 1);
    CHECK(entry.fired_ms >= begin + 9950 + 1000);
}

static void
a_deadline_moved_earlier_fires_at_the_earlier_time(void)
{
    static struct bench bench;
    static struct entry entry;

    start(&bench);
    memset(&entry, 0, sizeof(entry));
    uint64_t begin = bench.now_ms;
    net_wheel_set(&bench.wheel, &entry.deadline, begin + 75000);
    net_wheel_set(&bench.wheel, &entry.deadline, begin + 300);
    run_until(&bench, begin + 600, 10);
    CHECK_INT(bench.fired, 1);
}

static void
a_deleted_deadline_does_not_fire(void)
{
    static struct bench bench;
    static struct entry entry;

    start(&bench);
    memset(&entry, 0, sizeof(entry));
    net_wheel_set(&bench.wheel, &entry.deadline, bench.now_ms + 300);
    net_wheel_del(&entry.deadline);
    net_wheel_del(&entry.deadline);
    run_until(&bench, bench.now_ms + 1000, 10);
    CHECK_INT(bench.fired, 0);
}

static void
after_a_long_sleep_all_that_passed_fires(void)
{
    static struct bench bench;
    static struct entry entries[50];

    start(&bench);
    memset(entries, 0, sizeof(entries));
    for (size_t i = 0; i < 50; i++) {
        net_wheel_set(&bench.wheel, &entries[i].deadline, bench.now_ms + i * 5000);
    }
    run_until(&bench, bench.now_ms + 86400000, 86400000);
    CHECK_INT(bench.fired, 50);
}

int
main(void)
{
    TAP_RUN(a_deadline_is_never_early_and_at_most_two_ticks_late);
    TAP_RUN(a_deadline_moved_later_fires_once_at_the_later_time);
    TAP_RUN(a_deadline_moved_earlier_fires_at_the_earlier_time);
    TAP_RUN(a_deleted_deadline_does_not_fire);
    TAP_RUN(after_a_long_sleep_all_that_passed_fires);
    return tap_done();
}
