/* SPDX-License-Identifier: MIT */
/*
 * test_cache_order.c - orders: conditions, order among puts, results once and only once, keepers
 * and workers that die between.
 */
#include "cache_case.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "../../tap.h"

enum { MIB = 1 << 20 };

static struct cache_item
object_of(const char *key, const char *value)
{
    return (struct cache_item){.class = CACHE_OBJECT,
                               .key = bytes_of_text(key),
                               .value = bytes_of_text(value),
                               .created_wall_ms = case_now,
                               .expires_wall_ms = case_now + 60000};
}

/* Gives the order, drains, takes its result. */
static int
order(struct cache_case *c, enum cache_order_kind kind, const char *key, const char *value,
      uint64_t match)
{
    struct cache_item item = object_of(key, value);
    uint64_t ticket = 0, answered = 0;
    int result = -99;

    int rc = cache_order(c->cache, kind, &item, match, &ticket);
    if (rc == 0) {
        rc = case_drain(c);
    }
    if (rc != 0) {
        return rc;
    }
    return cache_order_result(c->cache, &answered, &result) && answered == ticket ? result : -98;
}

/* "" when there is none. */
static const char *
value_of(struct cache_case *c, const char *key)
{
    static char text[64];
    struct cache_hit hit;

    text[0] = '\0';
    arena_reset(&c->arena, 0);
    if (cache_snapshot_begin(c->cache) == 0 &&
        case_look(c, CACHE_OBJECT, bytes_of_text(key), case_now, &hit) == 0) {
        snprintf(text, sizeof(text), "%.*s", (int)hit.value.len, (const char *)hit.value.data);
    }
    cache_snapshot_end(c->cache);
    return text;
}

static uint64_t
tag_of(const char *value)
{
    return cache_value_tag(bytes_of_text(value));
}

static void
conditions_hold_or_refuse(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_MATCH, "object:a", "1", tag_of("0")), AUGURY_NOT_FOUND);
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_ABSENT, "object:a", "1", 0), 0);
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_ABSENT, "object:a", "2", 0), AUGURY_ERR_EXISTS);
    CHECK_TEXT(value_of(&c, "object:a"), "1");
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_MATCH, "object:a", "2", tag_of("2")), AUGURY_ERR_EXISTS);
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_MATCH, "object:a", "2", tag_of("1")), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "2");
    CHECK_INT(order(&c, CACHE_ORDER_PUT, "object:a", "3", 0), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "3");
    CHECK_INT(order(&c, CACHE_ORDER_PURGE_IF_MATCH, "object:a", "", tag_of("2")),
              AUGURY_ERR_EXISTS);
    CHECK_INT(order(&c, CACHE_ORDER_PURGE_IF_MATCH, "object:a", "", tag_of("3")), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "");
    CHECK_INT(order(&c, CACHE_ORDER_PURGE, "object:a", "", 0), AUGURY_NOT_FOUND);
    CHECK_INT(order(&c, CACHE_ORDER_PUT, "object:a", "4", 0), 0);
    CHECK_INT(order(&c, CACHE_ORDER_PURGE, "object:a", "", 0), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "");
    case_fini(&c);
}

/* Also where the check's 32 bits agree and only the rest differs. */
static void
a_match_compares_all_of_a_large_value(void)
{
    static uint8_t value[300000];
    struct cache_case c;
    uint64_t ticket;
    int result = -99;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    case_value(7, sizeof(value), value);
    struct cache_item item = object_of("object:large", "");
    item.value = bytes_of(value, sizeof(value));
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(cache_order_result(c.cache, &ticket, &result));
    CHECK_INT(result, 0);
    uint64_t tag = cache_value_tag(item.value);
    CHECK_INT(order(&c, CACHE_ORDER_PURGE_IF_MATCH, "object:large", "", tag ^ UINT64_C(1) << 63),
              AUGURY_ERR_EXISTS);
    CHECK_INT(order(&c, CACHE_ORDER_PURGE_IF_MATCH, "object:large", "", tag), 0);
    case_fini(&c);
}

static void
an_expired_entry_is_absent_to_conditions(void)
{
    struct cache_case c;
    bool more;
    uint64_t ticket;
    int result = -99;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    CHECK_INT(order(&c, CACHE_ORDER_PUT, "object:a", "1", 0), 0);
    struct cache_item item = object_of("object:a", "2");
    item.created_wall_ms = case_now + 60000;
    item.expires_wall_ms = case_now + 120000;
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_ABSENT, &item, 0, &ticket), 0);
    CHECK_INT(cache_keeper_turn(c.cache, case_now + 60000, &more), 0);
    CHECK(cache_order_result(c.cache, &ticket, &result));
    CHECK_INT(result, 0);
    case_fini(&c);
}

static void
any_value_matches_any_but_there_must_be_one(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_MATCH, "object:a", "1", CACHE_MATCH_ANY),
              AUGURY_NOT_FOUND);
    CHECK_INT(order(&c, CACHE_ORDER_PURGE_IF_MATCH, "object:a", "", CACHE_MATCH_ANY),
              AUGURY_NOT_FOUND);
    CHECK_INT(order(&c, CACHE_ORDER_PUT, "object:a", "1", 0), 0);
    CHECK_INT(order(&c, CACHE_ORDER_PUT_IF_MATCH, "object:a", "2", CACHE_MATCH_ANY), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "2");
    CHECK_INT(order(&c, CACHE_ORDER_PURGE_IF_MATCH, "object:a", "", CACHE_MATCH_ANY), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "");
    case_fini(&c);
}

/* One turn at that time; the result of the order. */
static int
order_at(struct cache_case *c, enum cache_order_kind kind, const struct cache_item *item,
         uint64_t now)
{
    uint64_t ticket = 0;
    int result = -99;
    bool more;

    int rc = cache_order(c->cache, kind, item, 0, &ticket);
    rc = rc == 0 ? cache_keeper_turn(c->cache, now, &more) : rc;
    return rc == 0 && cache_order_result(c->cache, &ticket, &result) ? result : -98;
}

static int
look_stale(struct cache_case *c, const char *key, uint64_t now)
{
    struct cache_query query = {
        .class = CACHE_OBJECT, .key = bytes_of_text(key), .now_wall_ms = now, .takes_stale = true};
    struct cache_hit hit;

    int rc = cache_snapshot_begin(c->cache);
    rc = rc == 0 ? cache_get(c->cache, &query, &hit) : rc;
    cache_snapshot_end(c->cache);
    return rc;
}

/* To a condition it is not there, but it would answer until something newer is. */
static void
what_may_answer_as_stale_goes_with_a_purge(void)
{
    struct cache_case c;
    struct cache_item item = object_of("object:a", "1");
    uint64_t later = case_now + 61000;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    item.stale_s = 3600;
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT, &item, case_now), 0);
    CHECK_INT(look_stale(&c, "object:a", later), 0);
    CHECK_INT(order_at(&c, CACHE_ORDER_PURGE, &item, later), AUGURY_NOT_FOUND);
    CHECK_INT(look_stale(&c, "object:a", later), AUGURY_NOT_FOUND);
    case_fini(&c);
}

/* A clock that was put back leaves entries that no lookup finds: an object could not be made. */
static void
conditions_do_not_find_what_no_lookup_finds(void)
{
    struct cache_case c;
    struct cache_item item = object_of("object:a", "1");
    uint64_t earlier = case_now - 3600 * 1000;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT, &item, case_now), 0);
    CHECK_INT(look_stale(&c, "object:a", earlier), AUGURY_NOT_FOUND);
    item = object_of("object:a", "2");
    item.created_wall_ms = case_now; /* its worker's clock counts where the keeper's is behind */
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT_IF_ABSENT, &item, earlier), AUGURY_ERR_EXISTS);
    item.created_wall_ms = earlier;
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT_IF_MATCH, &item, earlier), AUGURY_NOT_FOUND);
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT_IF_ABSENT, &item, earlier), 0);
    CHECK_INT(look_stale(&c, "object:a", earlier), 0);
    case_fini(&c);
}

/* A source was read before something was invalidated: only what that holds for is refused. */
static void
what_was_fetched_is_refused_when_it_is_outdated(void)
{
    struct cache_case c;
    struct cache_item item = object_of("object:a", "1");

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    item.is_fetched = true;
    item.stamp = cache_stamp(c.cache);
    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    CHECK_INT(cache_keeper_purge(c.cache, bytes_of_text("object:b")), AUGURY_NOT_FOUND);
    CHECK(!cache_is_outdated(c.cache, &item, item.stamp));
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT_IF_ABSENT, &item, case_now), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "1");
    CHECK_INT(cache_keeper_purge(c.cache, bytes_of_text("object:a")), 0);
    CHECK(cache_is_outdated(c.cache, &item, item.stamp));
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT_IF_ABSENT, &item, case_now), AUGURY_ERR_EXISTS);
    CHECK_TEXT(value_of(&c, "object:a"), "");
    item.stamp = cache_stamp(c.cache);
    CHECK(!cache_is_outdated(c.cache, &item, item.stamp));
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT_IF_ABSENT, &item, case_now), 0);
    CHECK_INT(cache_keeper_ban(c.cache, bytes_of_text("object:?"), NULL), 0);
    CHECK(cache_is_outdated(c.cache, &item, item.stamp));
    case_fini(&c);
}

static void
what_would_go_again_at_once_is_refused(void)
{
    static uint8_t value[300000];
    struct cache_case c;
    struct cache_item item = object_of("object:a", "1");

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    cache_keeper_quota(c.cache, 512 << 10);
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT, &item, case_now), 0);
    item.value = bytes_of(value, sizeof(value));
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT, &item, case_now), AUGURY_ERR_FULL);
    CHECK_TEXT(value_of(&c, "object:a"), "1");
    cache_keeper_quota(c.cache, 2 * MIB);
    CHECK_INT(order_at(&c, CACHE_ORDER_PUT, &item, case_now), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(look_stale(&c, "object:a", case_now) == AUGURY_NOT_FOUND, 0);
    case_fini(&c);
}

static void
orders_and_puts_of_one_worker_are_done_in_their_order(void)
{
    struct cache_case c;
    uint64_t ticket, last = 0;
    int result = -99, results = 0;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    struct cache_item one = object_of("object:a", "1");
    struct cache_item two = object_of("object:a", "2");
    struct cache_item three = object_of("object:a", "3");
    CHECK_INT(cache_put(c.cache, &one), 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_MATCH, &two, tag_of("1"), &ticket), 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_INVALIDATE_CLASS, &two, 0, &ticket), 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_ABSENT, &three, 0, &ticket), 0);
    CHECK_INT(case_drain(&c), 0);
    while (cache_order_result(c.cache, &ticket, &result)) {
        CHECK_INT(result, 0);
        CHECK(ticket > last);
        last = ticket;
        results++;
    }
    CHECK_INT(results, 3);
    CHECK_TEXT(value_of(&c, "object:a"), "3");
    case_fini(&c);
}

/* As a worker of that slot leaves it in its ring. */
static int
leave(struct cache_case *c, unsigned slot, enum cache_order_kind kind, const char *key,
      const char *value)
{
    struct cache_ring_record record = {.item = object_of(key, value),
                                       .order = (uint8_t)(kind + 1),
                                       .ticket = cache_ring_number(c->rings) + 1};

    record.value_check = cache_value_check(record.item.value);
    return cache_ring_put(c->rings, slot, &record);
}

/* A worker is killed with an order in its ring, and its client asks another one. */
static void
what_a_killed_worker_left_comes_before_what_was_ordered_later(void)
{
    struct cache_case c;
    char key[32];

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    for (unsigned dead = 1; dead < CASE_SLOTS; dead++) {
        for (unsigned slot = 1; slot < CASE_SLOTS; slot++) {
            snprintf(key, sizeof(key), "object:%u-%u", dead, slot);
            CHECK_INT(leave(&c, dead, CACHE_ORDER_PUT, key, "old"), 0);
            CHECK_INT(leave(&c, slot, CACHE_ORDER_PUT, key, "new"), 0);
            CHECK_INT(case_drain(&c), 0);
            CHECK_TEXT(value_of(&c, key), "new");
            CHECK_INT(leave(&c, dead, CACHE_ORDER_PUT, key, "old"), 0);
            CHECK_INT(leave(&c, slot, CACHE_ORDER_PURGE, key, ""), 0);
            CHECK_INT(case_drain(&c), 0);
            CHECK_TEXT(value_of(&c, key), "");
        }
    }
    case_fini(&c);
}

/* Also when the dead one left more than a group takes. */
static void
a_long_ring_is_no_reason_to_do_a_later_order_first(void)
{
    struct cache_case c;
    bool more = true;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    for (unsigned i = 0; i < 3 * CACHE_GROUP_ENTRIES; i++) {
        CHECK_INT(leave(&c, 3, CACHE_ORDER_PUT, "object:a", "old"), 0);
    }
    CHECK_INT(leave(&c, 5, CACHE_ORDER_PUT, "object:a", "new"), 0);
    for (int turn = 0; more; turn++) {
        CHECK_INT(cache_keeper_turn(c.cache, case_now, &more), 0);
        CHECK_TEXT(value_of(&c, "object:a"), turn < 3 ? "old" : "new");
    }
    CHECK(cache_rings_are_empty(c.rings));
    case_fini(&c);
}

static void
a_number_that_nobody_drew_holds_nothing_up(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    atomic_store(&c.rings->number, UINT64_MAX - 9);
    CHECK_INT(leave(&c, 3, CACHE_ORDER_PUT, "object:a", "1"), 0);
    CHECK_INT(leave(&c, 3, CACHE_ORDER_PUT, "object:b", "2"), 0);
    atomic_store(&c.rings->number, 7);
    CHECK_INT(leave(&c, 3, CACHE_ORDER_PUT, "object:b", "3"), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(cache_rings_are_empty(c.rings));
    CHECK_TEXT(value_of(&c, "object:a"), "1");
    CHECK_TEXT(value_of(&c, "object:b"), "3");
    case_fini(&c);
}

/* Those of two workers stand between each other in one group. */
static void
results_of_mixed_workers_are_all_repeated(void)
{
    struct cache_case c;
    uint64_t tails[3], ticket, answered;
    int result = -99;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    struct cache_item item = object_of("object:a", "1");
    for (unsigned slot = 0; slot < 3; slot++) {
        tails[slot] = cache_ring_tail(c.rings, slot);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_ABSENT, &item, 0, &ticket), 0);
        CHECK_INT(leave(&c, 2, CACHE_ORDER_PURGE, "object:b", ""), 0);
    }
    CHECK_INT(case_drain(&c), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(cache_order_result(c.cache, &answered, &result));
        CHECK_INT(result, i == 0 ? 0 : AUGURY_ERR_EXISTS);
    }
    cache_close(&c.cache);
    for (unsigned slot = 0; slot < 3; slot++) {
        cache_ring_take(c.rings, slot, tails[slot]);
    }
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    c.cache->order_ticket = ticket;
    CHECK_INT(case_drain(&c), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(cache_order_result(c.cache, &answered, &result));
        CHECK_INT(result, i == 0 ? 0 : AUGURY_ERR_EXISTS);
    }
    case_fini(&c);
}

static void
more_results_than_there_is_room_for_are_not_ordered(void)
{
    struct cache_case c;
    uint64_t ticket;
    int result, given = 0, taken = 0;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    struct cache_item item = object_of("object:a", "1");
    while (cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket) == 0) {
        given++;
    }
    CHECK_INT(given, 512);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), AUGURY_ERR_FULL);
    while (cache_order_result(c.cache, &ticket, &result)) {
        taken++;
    }
    CHECK_INT(taken, 512);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), 0);
    case_fini(&c);
}

/* The last keeper was killed after its commit: whatever it had done is found in the ring again. */
static void
a_keeper_that_takes_over_repeats_results_not_work(void)
{
    struct cache_case c;
    uint64_t ticket[3], answered;
    int result = -99;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    struct cache_item item = object_of("object:a", "1");
    uint64_t tail = cache_ring_tail(c.rings, 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_ABSENT, &item, 0, &ticket[0]), 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_ABSENT, &item, 0, &ticket[1]), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(cache_order_result(c.cache, &answered, &result));
    CHECK_INT(result, 0);
    CHECK(cache_order_result(c.cache, &answered, &result));
    CHECK_INT(result, AUGURY_ERR_EXISTS);

    cache_close(&c.cache);
    cache_ring_take(c.rings, 0, tail);
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    c.cache->order_ticket = ticket[1]; /* the worker lives on and has taken no result */
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PURGE, &item, 0, &ticket[2]), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(cache_order_result(c.cache, &answered, &result));
    CHECK_INT(answered, ticket[0]);
    CHECK_INT(result, 0);
    CHECK(cache_order_result(c.cache, &answered, &result));
    CHECK_INT(result, AUGURY_ERR_EXISTS);
    CHECK(cache_order_result(c.cache, &answered, &result));
    CHECK_INT(result, 0);
    CHECK_TEXT(value_of(&c, "object:a"), "");

    /* And once more, for a worker that has taken all: it sees no result twice. */
    cache_ring_take(c.rings, 0, tail);
    CHECK_INT(case_drain(&c), 0);
    CHECK(!cache_order_result(c.cache, &answered, &result));
    CHECK_TEXT(value_of(&c, "object:a"), "");
    case_fini(&c);
}

static void
results_of_a_dead_worker_are_nobodys(void)
{
    struct cache_case c;
    struct cache_case mine;
    uint64_t ticket;
    int result, status = -1;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    pid_t pid = fork();
    if (pid == 0) {
        mine = c; /* the parent's environment is not used here */
        mine.cache = NULL;
        struct cache_item item = object_of("object:a", "1");
        _exit(case_open(&mine, false, 1, NULL) == 0 &&
                      cache_order(mine.cache, CACHE_ORDER_PUT, &item, 0, &ticket) == 0 &&
                      cache_order(mine.cache, CACHE_ORDER_PUT, &item, 0, &ticket) == 0
                  ? 0
                  : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    bool more;
    CHECK_INT(cache_keeper_turn(c.cache, case_now, &more), 0);
    CHECK_TEXT(value_of(&c, "object:a"), "1");
    pid = fork();
    if (pid == 0) {
        mine = c;
        mine.cache = NULL;
        _exit(case_open(&mine, false, 1, NULL) == 0 &&
                      !cache_order_result(mine.cache, &ticket, &result)
                  ? 0
                  : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    case_fini(&c);
}

static void
a_worker_is_woken_for_its_results_alone(void)
{
    int fds[CASE_SLOTS];
    struct cache_case c;
    eventfd_t count;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    for (int i = 0; i < CASE_SLOTS; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        c.board->wake_fds[i] = fds[i];
    }
    CHECK_INT(case_put(&c, 1, 100, 60), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(eventfd_read(fds[0], &count) != 0);
    CHECK_INT(order(&c, CACHE_ORDER_PUT, "object:a", "1", 0), 0);
    CHECK(eventfd_read(fds[0], &count) == 0 && count == 1);
    for (int i = 1; i < CASE_SLOTS; i++) {
        CHECK(eventfd_read(fds[i], &count) != 0);
    }
    for (int i = 0; i < CASE_SLOTS; i++) {
        close(fds[i]);
    }
    case_fini(&c);
}

static void
a_cache_that_is_off_answers_orders(void)
{
    struct cache_case c;
    uint64_t ticket;
    int result = 0;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    struct cache_item item = object_of("object:a", "1");
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), 0);
    cache_keeper_off(c.cache);
    CHECK(cache_order_result(c.cache, &ticket, &result));
    CHECK_INT(result, AUGURY_ERR_STATE);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), AUGURY_ERR_STATE);
    case_fini(&c);
}

/* ---- killed at any instruction ------------------------------------------------------------- */

struct tally {
    atomic_uint stop, done, lost, wrong;
};

static void
keep(struct cache_case *c)
{
    bool more;

    if (case_open(c, true, 0, NULL) != 0) {
        _exit(1);
    }
    for (;;) {
        if (cache_keeper_turn(c->cache, case_now, &more) != 0) {
            _exit(1);
        }
        if (!more) {
            sched_yield();
        }
    }
}

static int
result_wait(struct cache_case *c, uint64_t ticket)
{
    uint64_t begin = clock_mono_ms(), answered = 0;
    int result = -99;

    while (clock_mono_ms() - begin < 5000) {
        if (cache_order_result(c->cache, &answered, &result) && answered == ticket) {
            return result;
        }
        sched_yield();
    }
    return -99;
}

/* While a new keeper opens the environment, lookups miss. */
static bool
has_in_the_end(struct cache_case *c, const char *key, const char *value)
{
    uint64_t begin = clock_mono_ms();

    while (strcmp(value_of(c, key), value) != 0) {
        if (clock_mono_ms() - begin > 5000) {
            printf("# %s is \"%s\", want \"%s\"\n", key, value_of(c, key), value);
            return false;
        }
        sched_yield();
    }
    return true;
}

/* Counts one up by comparing and setting: each order done twice or not at all is seen. */
static void
count_up(struct cache_case *c, struct tally *tally, unsigned slot)
{
    char key[32], value[32] = "0", next[32];
    uint64_t ticket;
    int rc = -99;

    snprintf(key, sizeof(key), "object:%u", slot);
    if (case_open(c, false, slot, NULL) != 0) {
        atomic_fetch_add(&tally->lost, 1);
        return;
    }
    struct cache_item first = object_of(key, value);
    if (cache_order(c->cache, CACHE_ORDER_PUT, &first, 0, &ticket) == 0) {
        rc = result_wait(c, ticket);
    }
    for (unsigned i = 1; rc == 0 && atomic_load(&tally->stop) == 0; i++) {
        snprintf(next, sizeof(next), "%u", i);
        struct cache_item item = object_of(key, next);
        rc = cache_order(c->cache, CACHE_ORDER_PUT_IF_MATCH, &item, tag_of(value), &ticket);
        rc = rc == 0 ? result_wait(c, ticket) : rc;
        memcpy(value, next, sizeof(value));
        atomic_fetch_add(&tally->done, 1);
    }
    if (rc == -99) {
        atomic_fetch_add(&tally->lost, 1);
    } else if (rc != 0 || !has_in_the_end(c, key, value)) {
        atomic_fetch_add(&tally->wrong, 1);
    }
}

static pid_t
fork_one(struct cache_case *c, struct tally *tally, unsigned slot)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (slot == 0) {
            keep(c);
        }
        count_up(c, tally, slot);
        _exit(0);
    }
    return pid;
}

static void
keepers_killed_at_any_time_do_each_order_once(void)
{
    enum { KILLS = 80, WORKERS = 3 };
    struct cache_case c;
    pid_t workers[WORKERS];

    struct tally *tally = shm_map(sizeof(*tally));
    CHECK(tally != NULL && case_begin(&c, 64 * MIB, 256 * 1024));
    cache_close(&c.cache); /* a fork must not inherit an open environment */
    pid_t keeper = fork_one(&c, tally, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = fork_one(&c, tally, 1 + i);
    }
    for (int i = 0; i < KILLS; i++) {
        struct timespec pause = {.tv_nsec = 2000000 + i * 7919 % 9000 * 1000};
        nanosleep(&pause, NULL);
        kill(keeper, SIGKILL);
        waitpid(keeper, NULL, 0);
        keeper = fork_one(&c, tally, 0);
    }
    /* Where keepers get little of the processor they do little before they are killed. */
    for (int i = 0; atomic_load(&tally->done) <= KILLS && i < 10000; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    atomic_store(&tally->stop, 1);
    for (unsigned i = 0; i < WORKERS; i++) {
        waitpid(workers[i], NULL, 0);
    }
    kill(keeper, SIGKILL);
    waitpid(keeper, NULL, 0);
    printf("# %u orders done\n", atomic_load(&tally->done));
    CHECK_INT(atomic_load(&tally->lost), 0);
    CHECK_INT(atomic_load(&tally->wrong), 0);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_REPLACED), 0);
    CHECK(atomic_load(&tally->done) > KILLS);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(conditions_hold_or_refuse);
    TAP_RUN(a_match_compares_all_of_a_large_value);
    TAP_RUN(an_expired_entry_is_absent_to_conditions);
    TAP_RUN(any_value_matches_any_but_there_must_be_one);
    TAP_RUN(what_may_answer_as_stale_goes_with_a_purge);
    TAP_RUN(conditions_do_not_find_what_no_lookup_finds);
    TAP_RUN(what_was_fetched_is_refused_when_it_is_outdated);
    TAP_RUN(what_would_go_again_at_once_is_refused);
    TAP_RUN(orders_and_puts_of_one_worker_are_done_in_their_order);
    TAP_RUN(what_a_killed_worker_left_comes_before_what_was_ordered_later);
    TAP_RUN(a_long_ring_is_no_reason_to_do_a_later_order_first);
    TAP_RUN(a_number_that_nobody_drew_holds_nothing_up);
    TAP_RUN(results_of_mixed_workers_are_all_repeated);
    TAP_RUN(more_results_than_there_is_room_for_are_not_ordered);
    TAP_RUN(a_keeper_that_takes_over_repeats_results_not_work);
    TAP_RUN(results_of_a_dead_worker_are_nobodys);
    TAP_RUN(a_worker_is_woken_for_its_results_alone);
    TAP_RUN(a_cache_that_is_off_answers_orders);
    TAP_RUN(keepers_killed_at_any_time_do_each_order_once);
    return tap_done();
}
