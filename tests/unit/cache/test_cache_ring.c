/* SPDX-License-Identifier: MIT */
/*
 * test_cache_ring.c - the rings: two threads at once (run it under TSan), a producer killed at any
 * instruction, contents that no producer writes, the wake that is never lost.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/cache/cache_priv.h"
#include "../../tap.h"

enum { SLOTS = 3, RING = 32768 };

struct ring_case {
    void *shared;
    struct cache_rings *rings;
    int wake_fd;
};

static bool
rings_init(struct ring_case *c, size_t ring_bytes)
{
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->shared = shm_map(cache_rings_bytes(ring_bytes, SLOTS));
    c->rings =
        c->shared == NULL ? NULL : cache_rings_attach(c->shared, ring_bytes, SLOTS, c->wake_fd);
    return c->rings != NULL && c->wake_fd >= 0;
}

static void
rings_fini(struct ring_case *c)
{
    shm_unmap(&c->shared, cache_rings_bytes(RING, SLOTS));
    close(c->wake_fd);
}

/* Length and bytes of a value follow from its number, which the text tells. */
static size_t
value_len(uint64_t number)
{
    return number * 7919 % 5000;
}

static int
number_put(struct cache_rings *rings, unsigned slot, uint64_t number)
{
    uint8_t value[5000];
    char text[32];

    int len = snprintf(text, sizeof(text), "object:%llu", (unsigned long long)number);
    memset(value, (int)(number & 255), sizeof(value));
    struct cache_ring_record record = {
        .item = {.class = CACHE_OBJECT,
                 .key = bytes_of(text, (size_t)len),
                 .value = bytes_of(value, value_len(number)),
                 .created_wall_ms = number,
                 .expires_wall_ms = number + 1,
                 .stamp = number * 3,
                 .tags = {1, 2, 65535}},
        .value_check = cache_value_check(bytes_of(value, value_len(number))),
    };
    return cache_ring_put(rings, slot, &record);
}

static bool
number_is(const struct cache_ring_record *record, uint64_t number)
{
    char text[32];

    snprintf(text, sizeof(text), "object:%llu", (unsigned long long)number);
    const struct cache_item *item = &record->item;
    if (item->created_wall_ms != number || item->stamp != number * 3 || item->tags[2] != 65535 ||
        !bytes_equal_text(item->key, text) || item->value.len != value_len(number)) {
        return false;
    }
    for (size_t i = 0; i < item->value.len; i++) {
        if (item->value.data[i] != (uint8_t)number) {
            return false;
        }
    }
    return true;
}

static void *
produce(void *arg)
{
    struct cache_rings *rings = arg;

    for (uint64_t number = 0; number < 20000;) {
        if (number_put(rings, 1, number) == 0) {
            number++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void
records_come_out_in_order_while_they_go_in(void)
{
    struct ring_case c;
    struct cache_ring_record record;
    pthread_t thread;
    unsigned bad = 0;
    uint64_t want = 0;

    CHECK(rings_init(&c, RING));
    CHECK_INT(pthread_create(&thread, NULL, produce, c.rings), 0);
    while (want < 20000) {
        uint64_t tail = cache_ring_tail(c.rings, 1);
        int taken = 0;
        while (taken < 5 && cache_ring_peek(c.rings, 1, &tail, &record, &bad) == 0) {
            CHECK(number_is(&record, want));
            want++;
            taken++;
        }
        cache_ring_take(c.rings, 1, tail);
        if (taken == 0) {
            sched_yield();
        }
    }
    pthread_join(thread, NULL);
    CHECK_INT(bad, 0);
    CHECK(cache_rings_are_empty(c.rings));
    rings_fini(&c);
}

static void
what_was_not_taken_is_read_again(void)
{
    struct ring_case c;
    struct cache_ring_record record;
    unsigned bad = 0;

    CHECK(rings_init(&c, RING));
    CHECK_INT(number_put(c.rings, 0, 1), 0);
    CHECK_INT(number_put(c.rings, 0, 2), 0);
    for (int keeper = 0; keeper < 3; keeper++) {
        uint64_t tail = cache_ring_tail(c.rings, 0);
        CHECK_INT(cache_ring_peek(c.rings, 0, &tail, &record, &bad), 0);
        CHECK(number_is(&record, 1));
        CHECK_INT(cache_ring_peek(c.rings, 0, &tail, &record, &bad), 0);
        CHECK(number_is(&record, 2));
        CHECK_INT(cache_ring_peek(c.rings, 0, &tail, &record, &bad), AUGURY_END);
    }
    rings_fini(&c);
}

/* Takes what producer 2 has published, checks and counts it. */
static void
take_whole_records(struct cache_rings *rings, uint64_t *records, unsigned *bad)
{
    struct cache_ring_record record;
    uint64_t tail = cache_ring_tail(rings, 2);

    while (cache_ring_peek(rings, 2, &tail, &record, bad) == 0) {
        CHECK(number_is(&record, record.item.created_wall_ms));
        (*records)++;
    }
    cache_ring_take(rings, 2, tail);
}

static void
a_producer_killed_anywhere_publishes_only_whole_records(void)
{
    struct ring_case c;
    unsigned bad = 0;

    CHECK(rings_init(&c, RING));
    for (int round = 0; round < 150; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            for (uint64_t number = (uint64_t)round << 32;;) {
                number += number_put(c.rings, 2, number) == 0 ? 1 : 0;
            }
        }
        CHECK(pid > 0);
        /* Its time counts from its first record: a busy machine may let it wait before that. */
        uint64_t records = 0;
        while (records == 0) {
            take_whole_records(c.rings, &records, &bad);
            sched_yield();
        }
        uint64_t until = clock_mono_ns() + (uint64_t)round * 7000;
        while (clock_mono_ns() < until) {
            take_whole_records(c.rings, &records, &bad);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        take_whole_records(c.rings, &records, &bad);
        CHECK(cache_rings_are_empty(c.rings));
    }
    CHECK_INT(bad, 0);
    rings_fini(&c);
}

static void
contents_that_no_producer_writes_are_passed_over(void)
{
    struct ring_case c;
    struct cache_ring_record record;
    uint64_t state = 88172645463325252u;
    uint8_t *data;
    unsigned bad = 0;

    CHECK(rings_init(&c, RING));
    data = (uint8_t *)c.shared + cache_rings_bytes(RING, SLOTS) - SLOTS * (size_t)RING;
    for (int round = 0; round < 20000; round++) {
        for (int i = 0; i < 6; i++) {
            (void)!number_put(c.rings, 0, (uint64_t)round * 6 + (uint64_t)i);
        }
        for (int i = 0; i < 20; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            data[state % RING] = (uint8_t)(state >> 32);
        }
        if (round % 7 == 0) {
            atomic_store(&c.rings->ring[0].head, state);
        }
        uint64_t tail = cache_ring_tail(c.rings, 0);
        for (int i = 0; cache_ring_peek(c.rings, 0, &tail, &record, &bad) == 0; i++) {
            CHECK(i < RING / 32);
            CHECK(cache_value_check(record.item.value) == record.value_check);
        }
        cache_ring_take(c.rings, 0, tail);
        CHECK(cache_rings_are_empty(c.rings));
    }
    CHECK(bad > 1000);
    /* The ring works as before. */
    CHECK_INT(number_put(c.rings, 0, 77), 0);
    uint64_t tail = cache_ring_tail(c.rings, 0);
    CHECK_INT(cache_ring_peek(c.rings, 0, &tail, &record, &bad), 0);
    CHECK(number_is(&record, 77));
    rings_fini(&c);
}

struct wake_case {
    struct cache_rings *rings;
    int wake_fd;
    uint64_t syscalls;
};

/* As the supervisor's loop: drain, arm, sleep until the descriptor is readable. */
static void *
keep(void *arg)
{
    struct wake_case *w = arg;
    struct cache_ring_record record;
    unsigned bad = 0;
    uint64_t want = 0, wakes;

    while (want < 3000) {
        atomic_store(&w->rings->sleeping, 0);
        uint64_t tail = cache_ring_tail(w->rings, 0);
        while (cache_ring_peek(w->rings, 0, &tail, &record, &bad) == 0) {
            want++;
        }
        cache_ring_take(w->rings, 0, tail);
        if (want == 3000) {
            break;
        }
        atomic_store(&w->rings->sleeping, 1);
        if (!cache_rings_are_empty(w->rings)) {
            continue;
        }
        if (read(w->wake_fd, &wakes, sizeof(wakes)) != sizeof(wakes)) {
            return NULL;
        }
        w->syscalls += wakes;
    }
    return w;
}

static void
a_sleeping_keeper_is_always_woken(void)
{
    struct ring_case c;
    struct wake_case w;
    pthread_t thread;
    void *woken = NULL;

    CHECK(rings_init(&c, RING));
    int blocking_fd = eventfd(0, EFD_CLOEXEC);
    c.rings->wake_fd = blocking_fd;
    w = (struct wake_case){.rings = c.rings, .wake_fd = blocking_fd};
    CHECK_INT(pthread_create(&thread, NULL, keep, &w), 0);
    for (uint64_t number = 0; number < 3000;) {
        number += number_put(c.rings, 0, number) == 0 ? 1 : 0;
        if (number % 3 == 0) {
            sched_yield();
        }
    }
    /* A lost wake would leave the keeper asleep for ever: the test driver's time limit would
     * tell. */
    CHECK_INT(pthread_join(thread, &woken), 0);
    CHECK(woken == &w);
    close(blocking_fd);
    rings_fini(&c);
}

static void
a_put_beside_a_keeper_that_is_awake_makes_no_wake(void)
{
    struct ring_case c;
    uint64_t wakes;

    CHECK(rings_init(&c, RING));
    CHECK_INT(number_put(c.rings, 0, 1), 0);
    CHECK(read(c.wake_fd, &wakes, sizeof(wakes)) < 0);
    atomic_store(&c.rings->sleeping, 1);
    CHECK_INT(number_put(c.rings, 0, 2), 0);
    CHECK_INT(number_put(c.rings, 0, 3), 0);
    CHECK_INT(read(c.wake_fd, &wakes, sizeof(wakes)), sizeof(wakes));
    CHECK_INT(wakes, 1);
    rings_fini(&c);
}

int
main(void)
{
    TAP_RUN(records_come_out_in_order_while_they_go_in);
    TAP_RUN(what_was_not_taken_is_read_again);
    TAP_RUN(a_producer_killed_anywhere_publishes_only_whole_records);
    TAP_RUN(contents_that_no_producer_writes_are_passed_over);
    TAP_RUN(a_sleeping_keeper_is_always_woken);
    TAP_RUN(a_put_beside_a_keeper_that_is_awake_makes_no_wake);
    return tap_done();
}
