/* SPDX-License-Identifier: MIT */
/* Marks of the stream and stamps of this machine: what is found for one by the other. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "../../../src/cache/redis_marks.h"
#include "../../tap.h"

static const struct bytes none;

static void
event_add(struct cache_marks *marks, uint64_t mark, uint64_t stamp, enum cache_mark_kind kind,
          struct bytes key)
{
    struct cache_mark_new event = {
        .mark = mark, .stamp = stamp, .top = stamp, .kind = kind, .key = key};

    cache_marks_add(marks, &event);
}

static struct cache_marks *
marks_new(uint64_t base, uint64_t stamp)
{
    struct cache_marks *marks = calloc(1, sizeof(*marks));

    if (marks != NULL) {
        cache_marks_reset(marks, base, stamp);
        cache_marks_known(marks);
    }
    return marks;
}

static void
nothing_is_known_before_the_first_connection(void)
{
    struct cache_marks *marks = calloc(1, sizeof(*marks));
    uint64_t got = 0;

    CHECK(!cache_marks_of_stamp(marks, 5, &got));
    CHECK(!cache_marks_to_stamp(marks, 5, none, false, &got));
    cache_marks_reset(marks, 100, 3);
    CHECK(!cache_marks_of_stamp(marks, 3, &got));
    cache_marks_known(marks);
    CHECK(cache_marks_of_stamp(marks, 3, &got));
    CHECK_INT(got, 100);
    free(marks);
}

static void
what_was_read_before_an_event_was_done_here_does_not_carry_its_mark(void)
{
    struct cache_marks *marks = marks_new(100, 3);
    uint64_t got = 0;

    CHECK(!cache_marks_of_stamp(marks, 2, &got));
    event_add(marks, 110, 5, CACHE_MARK_BROAD, none);
    event_add(marks, 120, 7, CACHE_MARK_BROAD, none);
    CHECK(cache_marks_of_stamp(marks, 4, &got));
    CHECK_INT(got, 100);
    CHECK(cache_marks_of_stamp(marks, 5, &got));
    CHECK_INT(got, 110);
    CHECK(cache_marks_of_stamp(marks, 9, &got));
    CHECK_INT(got, 120);
    free(marks);
}

/* An invalidation of this machine gets its stamp at once and its place in the stream later: one of
 * another machine may come in between. */
static void
an_event_whose_stamp_is_older_than_its_forerunners_changes_nothing_for_it(void)
{
    struct cache_marks *marks = marks_new(100, 3);
    uint64_t got = 0;

    event_add(marks, 110, 6, CACHE_MARK_BROAD, none); /* of elsewhere, done here at 6 */
    event_add(marks, 120, 5, CACHE_MARK_BROAD, none); /* ours, of stamp 5 */
    CHECK(cache_marks_of_stamp(marks, 5, &got));
    CHECK_INT(got, 100);
    CHECK(cache_marks_of_stamp(marks, 6, &got));
    CHECK_INT(got, 120);
    cache_marks_clean(marks, 6);
    CHECK(cache_marks_to_stamp(marks, 110, none, false, &got));
    CHECK_INT(got, 4);
    free(marks);
}

static void
an_invalidation_that_is_not_in_the_stream_yet_outdates_all_values_from_there(void)
{
    struct cache_marks *marks = marks_new(100, 3);
    uint64_t got = 0;

    /* The clock went to 4 here; clean stays at 3 until the stream has it. */
    CHECK(cache_marks_to_stamp(marks, 100, none, false, &got));
    CHECK_INT(got, 3);
    event_add(marks, 110, 4, CACHE_MARK_BROAD, none);
    cache_marks_clean(marks, 4);
    CHECK(cache_marks_to_stamp(marks, 110, none, false, &got));
    CHECK_INT(got, 4);
    CHECK(cache_marks_to_stamp(marks, 100, none, false, &got));
    CHECK_INT(got, 3);
    free(marks);
}

static void
a_purge_is_for_its_key_and_what_was_made_before(void)
{
    struct cache_marks *marks = marks_new(100, 3);
    uint64_t got = 0;

    event_add(marks, 110, 4, CACHE_MARK_KEY, bytes_of_text("object:a"));
    cache_marks_clean(marks, 4);
    CHECK(!cache_marks_to_stamp(marks, 109, bytes_of_text("object:a"), false, &got));
    CHECK(cache_marks_to_stamp(marks, 110, bytes_of_text("object:a"), false, &got));
    CHECK(cache_marks_to_stamp(marks, 100, bytes_of_text("object:b"), false, &got));
    CHECK_INT(got, 4);
    /* What was rendered from other entries is outdated by any event. */
    CHECK(!cache_marks_to_stamp(marks, 109, bytes_of_text("response:b"), true, &got));
    CHECK(cache_marks_to_stamp(marks, 110, bytes_of_text("response:b"), true, &got));
    free(marks);
}

static void
values_older_than_what_is_remembered_are_dead_only_if_it_matters(void)
{
    struct cache_marks *marks = marks_new(100, 3);
    uint64_t got = 0;

    event_add(marks, 110, 4, CACHE_MARK_BROAD, none);
    for (uint64_t i = 0; i < 2 * CACHE_MARK_EVENTS; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "object:%llu", (unsigned long long)i);
        event_add(marks, 200 + i, 5 + i, CACHE_MARK_KEY, bytes_of(key, (size_t)len));
    }
    cache_marks_clean(marks, 5 + 2 * CACHE_MARK_EVENTS);
    /* Keys share places: one whose set has forgotten nothing newer is looked for. */
    bool is_found = false;
    for (int i = 0; i < 100000 && !is_found; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "model:%d", i);
        is_found = cache_marks_to_stamp(marks, 150, bytes_of(key, (size_t)len), false, &got);
        if (is_found) {
            CHECK(!cache_marks_to_stamp(marks, 105, bytes_of(key, (size_t)len), false, &got));
        }
    }
    CHECK(is_found);
    CHECK(!cache_marks_to_stamp(marks, 99, none, false, &got));
    CHECK(!cache_marks_of_stamp(marks, 5, &got));
    free(marks);
}

static void
purges_of_other_keys_do_not_concern_a_key(void)
{
    struct cache_marks *marks = marks_new(100, 3);
    uint64_t got = 0;
    char key[32];
    int alive = 0;

    for (uint64_t i = 0; i < 10000; i++) {
        int len = snprintf(key, sizeof(key), "object:%llu", (unsigned long long)i);
        event_add(marks, 200 + i, 5, CACHE_MARK_KEY, bytes_of(key, (size_t)len));
    }
    for (uint64_t i = 0; i < 10000; i++) {
        int len = snprintf(key, sizeof(key), "object:%llu", (unsigned long long)i);
        struct bytes text = bytes_of(key, (size_t)len);
        alive += cache_marks_to_stamp(marks, 200 + i, text, false, &got) ? 1 : 0;
        CHECK(!cache_marks_to_stamp(marks, 199 + i, text, false, &got));
    }
    CHECK(alive > 9900); /* some sets are fuller than others */
    free(marks);
}

struct race {
    struct cache_marks *marks;
    atomic_int is_over;
};

/* Event n has mark 10 n and stamp n: whatever a reader is told must fit together. */
static void *
write_events(void *arg)
{
    struct race *race = arg;
    struct timespec pause = {.tv_nsec = 20000};

    for (uint64_t n = 1; n <= 200000; n++) {
        if (n % 500 == 0) {
            nanosleep(&pause, NULL); /* else a reader hardly ever finds it between two events */
        }
        event_add(race->marks, 10 * n, n, CACHE_MARK_BROAD, none);
        cache_marks_clean(race->marks, n);
    }
    atomic_store(&race->is_over, 1);
    return NULL;
}

static void
readers_beside_the_writer_see_one_moment(void)
{
    struct race race = {.marks = marks_new(0, 0)};
    pthread_t writer;
    uint64_t mark = 0;
    uint64_t stamp = 0;
    uint64_t reads = 0;
    uint64_t torn = 0;

    CHECK_INT(pthread_create(&writer, NULL, write_events, &race), 0);
    while (atomic_load(&race.is_over) == 0) {
        if (cache_marks_of_stamp(race.marks, UINT64_MAX, &mark) &&
            cache_marks_to_stamp(race.marks, mark, none, false, &stamp)) {
            reads++;
            torn += stamp == mark / 10 || stamp + 1 == mark / 10 ? 0 : 1;
        }
    }
    pthread_join(writer, NULL);
    CHECK_INT(torn, 0);
    CHECK(reads > 0);
    free(race.marks);
}

int
main(void)
{
    TAP_RUN(nothing_is_known_before_the_first_connection);
    TAP_RUN(what_was_read_before_an_event_was_done_here_does_not_carry_its_mark);
    TAP_RUN(an_event_whose_stamp_is_older_than_its_forerunners_changes_nothing_for_it);
    TAP_RUN(an_invalidation_that_is_not_in_the_stream_yet_outdates_all_values_from_there);
    TAP_RUN(a_purge_is_for_its_key_and_what_was_made_before);
    TAP_RUN(purges_of_other_keys_do_not_concern_a_key);
    TAP_RUN(values_older_than_what_is_remembered_are_dead_only_if_it_matters);
    TAP_RUN(readers_beside_the_writer_see_one_moment);
    return tap_done();
}
