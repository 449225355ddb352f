/* SPDX-License-Identifier: MIT */
/* A worker's client of Redis against a real server, one that is stopped, killed or away, and one
 * that says anything. */
#include "../../../src/cache/redis_marks.h"
#include "../../tap.h"
#include "redis_case.h"

struct world {
    struct cache_case c;
    struct case_loop loop;
    struct cache_redis *redis;
    struct stats_slot *stats;
    uint32_t timeout_ms;
};

/* What a lookup was told. */
struct told {
    int calls;
    size_t count;
    int rc[CACHE_REDIS_KEYS_MAX];
    char value[CACHE_REDIS_KEYS_MAX][64];
    uint64_t expires_wall_ms, stamp;
};

static void
on_found(void *arg, const struct cache_redis_found *found, size_t count)
{
    struct told *told = arg;

    told->calls++;
    told->count = count;
    for (size_t i = 0; i < count; i++) {
        told->rc[i] = found[i].rc;
        if (found[i].rc == 0) {
            snprintf(told->value[i], sizeof(told->value[i]), "%.*s", (int)found[i].hit.value.len,
                     (const char *)found[i].hit.value.data);
            told->expires_wall_ms = found[i].hit.expires_wall_ms;
            told->stamp = found[i].hit.stamp;
        }
    }
}

static void
ready(void *object, unsigned line, unsigned what)
{
    cache_redis_ready(object, line, what);
}

static void
tick(void *object)
{
    cache_redis_tick(object);
}

static void
turn(struct world *w)
{
    case_loop_turn(&w->loop, w->redis, ready, tick);
}

static void
event_add(struct cache_marks *marks, uint64_t mark, uint64_t stamp, enum cache_mark_kind kind,
          struct bytes key)
{
    struct cache_mark_new event = {
        .mark = mark, .stamp = stamp, .top = stamp, .kind = kind, .key = key};

    cache_marks_add(marks, &event);
}

static bool
world_client(struct world *w, const char *address, const char *password_file)
{
    struct err err = {0};
    struct cache_redis_options options = {
        .server = {.address = address,
                   .user = "",
                   .password_file = password_file,
                   .prefix = "test:",
                   .timeout_ms = w->timeout_ms,
                   .connect_timeout_ms = 500,
                   .queue_bytes = 4 << 20},
        .loop = {.arg = &w->loop, .watch = case_watch, .timer = case_timer},
        .cache = w->c.cache,
        .board = w->c.board,
        .stats = w->stats,
    };
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        options.memory_ttl_s[i] = 60;
        options.redis_ttl_s[i] = i == CACHE_RESPONSE ? 0 : 3600;
    }
    int rc = cache_redis_new(&options, &w->redis, &err);
    if (rc != 0) {
        printf("# cache_redis_new: %s\n", err.reason);
    }
    return rc == 0;
}

static bool
world_begin(struct world *w)
{
    *w = (struct world){.timeout_ms = 1000}; /* a busy machine answers late */
    if (!case_begin(&w->c, 64 << 20, 4 << 20)) {
        return false;
    }
    w->stats = stats_slot(w->c.stats, 1);
    cache_marks_reset(w->c.board->marks, 100, 0);
    cache_marks_known(w->c.board->marks);
    return true;
}

static void
world_end(struct world *w)
{
    cache_redis_free(&w->redis);
    case_fini(&w->c);
}

static bool
wait_up(struct world *w, bool is_up, int limit_ms)
{
    uint64_t until = clock_mono_ms() + (uint64_t)limit_ms;

    while (cache_redis_is_up(w->redis, CACHE_OBJECT) != is_up && clock_mono_ms() < until) {
        turn(w);
    }
    return cache_redis_is_up(w->redis, CACHE_OBJECT) == is_up;
}

static bool
wait_told(struct world *w, const struct told *told, int calls)
{
    uint64_t until = clock_mono_ms() + 5000;

    while (told->calls < calls && clock_mono_ms() < until) {
        turn(w);
    }
    return told->calls == calls;
}

static uint64_t
counted(const struct world *w, enum stats_id id)
{
    return stats_of_slot(w->c.stats, 1, id);
}

static bool
wait_counted(struct world *w, enum stats_id id, uint64_t n)
{
    uint64_t until = clock_mono_ms() + 5000;

    while (counted(w, id) < n && clock_mono_ms() < until) {
        turn(w);
    }
    return counted(w, id) >= n;
}

static struct cache_item
item_of(const char *key, const char *value)
{
    return (struct cache_item){.class = CACHE_OBJECT,
                               .key = bytes_of_text(key),
                               .value = bytes_of_text(value),
                               .created_wall_ms = clock_wall_ms(),
                               .expires_wall_ms = clock_wall_ms() + 60000,
                               .stale_s = 7,
                               .cost_us = 1234};
}

static int
ask(struct world *w, const char *key, struct told *told)
{
    struct bytes bytes = bytes_of_text(key);

    *told = (struct told){0};
    return cache_redis_get(w->redis, CACHE_OBJECT, &bytes, 1, on_found, told);
}

/* ---- with a server that works ---------------------------------------------------------------- */

static void
an_entry_put_is_found_again_and_comes_into_memory(void)
{
    struct world w;
    struct redis_real server;
    struct told told;
    struct cache_hit hit;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    struct cache_item item = item_of("object:a/b", "one value");
    cache_redis_put(w.redis, &item, 0);
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, 1));
    CHECK_INT(ask(&w, "object:a/b", &told), 0);
    CHECK_INT(told.calls, 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], 0);
    CHECK_TEXT(told.value[0], "one value");
    CHECK_INT(told.expires_wall_ms, item.created_wall_ms + 3600 * 1000);
    CHECK_INT(counted(&w, STATS_REDIS_HITS_OBJECT), 1);
    CHECK(cache_redis_round_trip_us(w.redis) > 0);

    /* The keeper finds it on its ring. */
    CHECK_INT(case_drain(&w.c), 0);
    struct cache_query query = {
        .class = CACHE_OBJECT, .key = bytes_of_text("object:a/b"), .now_wall_ms = clock_wall_ms()};
    CHECK_INT(cache_snapshot_begin(w.c.cache), 0);
    CHECK_INT(cache_get(w.c.cache, &query, &hit), 0);
    CHECK(bytes_equal_text(hit.value, "one value"));
    CHECK_INT(hit.stale_s, 7);
    CHECK_INT(hit.cost_us, 1234);
    CHECK(hit.expires_wall_ms <= clock_wall_ms() + 60 * 1000);
    cache_snapshot_end(w.c.cache);

    CHECK_INT(ask(&w, "object:a/c", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], AUGURY_NOT_FOUND);
    CHECK_INT(counted(&w, STATS_REDIS_MISSES), 1);
    redis_real_stop(&server);
    world_end(&w);
}

/* The old value was on its way here when the new one was put. */
static void
a_value_from_redis_takes_no_newer_ones_place(void)
{
    struct world w;
    struct redis_real server;
    struct told told = {0};
    struct cache_hit hit;
    uint64_t ticket = 0;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    struct cache_item item = item_of("object:a", "old");
    cache_redis_put(w.redis, &item, 0);
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, 1));
    CHECK_INT(ask(&w, "object:a", &told), 0);
    item.value = bytes_of_text("new");
    CHECK_INT(cache_order(w.c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), 0);
    CHECK_INT(case_drain(&w.c), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_TEXT(told.value[0], "old");
    CHECK_INT(case_drain(&w.c), 0);
    struct cache_query query = {
        .class = CACHE_OBJECT, .key = item.key, .now_wall_ms = clock_wall_ms()};
    CHECK_INT(cache_snapshot_begin(w.c.cache), 0);
    CHECK_INT(cache_get(w.c.cache, &query, &hit), 0);
    CHECK(bytes_equal_text(hit.value, "new"));
    cache_snapshot_end(w.c.cache);
    redis_real_stop(&server);
    world_end(&w);
}

static void
many_keys_are_asked_in_one_command_and_told_in_order(void)
{
    enum { KEYS = CACHE_REDIS_KEYS_MAX };
    struct world w;
    struct redis_real server;
    struct told told = {0};
    char texts[KEYS][32];
    char values[KEYS][32];
    struct bytes keys[KEYS];

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    for (int i = 0; i < KEYS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "object:%d", i);
        snprintf(values[i], sizeof(values[i]), "value %d", i);
        keys[i] = bytes_of_text(texts[i]);
        struct cache_item item = item_of(texts[i], values[i]);
        if (i % 3 != 0) {
            cache_redis_put(w.redis, &item, 0);
        }
    }
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, KEYS - (KEYS + 2) / 3));
    CHECK_INT(cache_redis_get(w.redis, CACHE_OBJECT, keys, KEYS, on_found, &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.count, KEYS);
    for (int i = 0; i < KEYS; i++) {
        CHECK_INT(told.rc[i], i % 3 != 0 ? 0 : AUGURY_NOT_FOUND);
        CHECK_TEXT(told.value[i], i % 3 != 0 ? values[i] : "");
    }
    redis_real_stop(&server);
    world_end(&w);
}

static void
a_class_without_a_time_in_redis_is_neither_put_nor_asked(void)
{
    struct world w;
    struct redis_real server;
    struct told told = {0};
    struct bytes key = bytes_of_text("response:x");

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    struct cache_item item = item_of("response:x", "v");
    item.class = CACHE_RESPONSE;
    cache_redis_put(w.redis, &item, 0);
    CHECK_INT(cache_redis_get(w.redis, CACHE_RESPONSE, &key, 1, on_found, &told), AUGURY_NOT_FOUND);
    for (int i = 0; i < 20; i++) {
        turn(&w);
    }
    CHECK_INT(counted(&w, STATS_REDIS_PUTS), 0);
    CHECK_INT(told.calls, 0);
    redis_real_stop(&server);
    world_end(&w);
}

static void
an_entry_lives_no_longer_than_it_is_told(void)
{
    struct world w;
    struct redis_real server;
    struct told told;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    struct cache_item item = item_of("object:brief", "v");
    cache_redis_put(w.redis, &item, clock_wall_ms() + 60);
    item = item_of("object:past", "v");
    cache_redis_put(w.redis, &item, clock_wall_ms() - 1);
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, 1));
    CHECK_INT(ask(&w, "object:brief", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], 0);
    uint64_t until = clock_wall_ms() + 100;
    while (clock_wall_ms() < until) {
        turn(&w);
    }
    CHECK_INT(ask(&w, "object:brief", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], AUGURY_NOT_FOUND);
    CHECK_INT(counted(&w, STATS_REDIS_PUTS), 1);
    redis_real_stop(&server);
    world_end(&w);
}

static void
a_password_is_given_and_a_wrong_one_leaves_the_tier_off(void)
{
    struct world w;
    struct redis_real server;
    char path[300];
    struct err err;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, "open sesame")) {
        world_end(&w);
        SKIP("no redis-server");
    }
    case_path(&w.c, "password", path, sizeof(path));
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs("open sesame\n", file) >= 0 && fclose(file) == 0);
    CHECK(world_client(&w, server.address, path));
    CHECK(wait_up(&w, true, 5000));
    cache_redis_free(&w.redis);
    CHECK(world_client(&w, server.address, ""));
    CHECK(!wait_up(&w, true, 400));
    CHECK(counted(&w, STATS_REDIS_ERRORS) >= 1);
    cache_redis_free(&w.redis);
    unlink(path);

    struct cache_redis_options options = {
        .server = {.address = server.address, .user = "", .password_file = path, .prefix = ""},
        .board = w.c.board};
    CHECK_INT(cache_redis_new(&options, &w.redis, &err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "password_file");
    redis_real_stop(&server);
    world_end(&w);
}

static void
a_lookup_under_way_is_told_when_the_client_ends(void)
{
    struct world w;
    struct redis_real server;
    struct told told;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    CHECK_INT(ask(&w, "object:a", &told), 0);
    cache_redis_free(&w.redis);
    CHECK_INT(told.calls, 1);
    CHECK_INT(told.rc[0], AUGURY_ERR_STATE);
    redis_real_stop(&server);
    world_end(&w);
}

/* ---- invalidated ----------------------------------------------------------------------------- */

static void
a_value_from_before_an_invalidation_gets_a_stamp_from_before_it(void)
{
    struct world w;
    struct redis_real server;
    struct told told;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    struct cache_marks *marks = w.c.board->marks;
    struct cache_item item = item_of("object:old", "v");
    cache_redis_put(w.redis, &item, 0);
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, 1));
    event_add(marks, 200, 9, CACHE_MARK_BROAD, bytes_of(NULL, 0));
    cache_marks_clean(marks, 9);
    CHECK_INT(ask(&w, "object:old", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], 0);
    CHECK_INT(told.stamp, 8);

    /* The same item again, made from what was read at stamp 0: it did not see the event. */
    cache_redis_put(w.redis, &item, 0);
    CHECK_INT(counted(&w, STATS_REDIS_DROPPED), 0);
    item.stamp = 9;
    cache_redis_put(w.redis, &item, 0);
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, 3));
    CHECK_INT(ask(&w, "object:old", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.stamp, 9);

    /* A purge of the key is for what was made before it. */
    event_add(marks, 300, 10, CACHE_MARK_KEY, bytes_of_text("object:old"));
    cache_marks_clean(marks, 10);
    CHECK_INT(ask(&w, "object:old", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], AUGURY_NOT_FOUND);
    CHECK_INT(counted(&w, STATS_REDIS_OUTDATED), 1);

    /* While nothing is known of invalidations, nothing is believed. */
    item.stamp = 10;
    cache_redis_put(w.redis, &item, 0);
    CHECK(wait_counted(&w, STATS_REDIS_PUTS, 4));
    cache_marks_reset(marks, 100, 0);
    CHECK_INT(ask(&w, "object:old", &told), 0);
    CHECK(wait_told(&w, &told, 1));
    CHECK_INT(told.rc[0], AUGURY_NOT_FOUND);
    redis_real_stop(&server);
    world_end(&w);
}

/* ---- a server in trouble --------------------------------------------------------------------- */

static void
a_stopped_server_costs_its_timeouts_and_is_used_again_when_it_goes_on(void)
{
    struct world w;
    struct redis_real server;
    struct told told[3];

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    w.timeout_ms = 50;
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    kill(server.pid, SIGSTOP);
    uint64_t begin = clock_mono_ms();
    for (int i = 0; i < 3; i++) {
        CHECK_INT(ask(&w, "object:a", &told[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(wait_told(&w, &told[i], 1));
        CHECK_INT(told[i].rc[0], AUGURY_ERR_TIMEOUT);
    }
    CHECK(clock_mono_ms() - begin >= 50);
    CHECK(clock_mono_ms() - begin < 3000);
    CHECK(wait_up(&w, false, 1000));
    CHECK_INT(counted(&w, STATS_REDIS_OPENED), 1);
    CHECK_INT(counted(&w, STATS_REDIS_TIMEOUTS), 3);
    CHECK_INT(ask(&w, "object:a", &told[0]), AUGURY_NOT_FOUND);
    /* It takes connections, but answers none: tried, and left again. */
    CHECK(!wait_up(&w, true, 500));
    kill(server.pid, SIGCONT);
    CHECK(wait_up(&w, true, 8000));
    CHECK_INT(ask(&w, "object:a", &told[0]), 0);
    CHECK(wait_told(&w, &told[0], 1));
    CHECK_INT(told[0].rc[0], AUGURY_NOT_FOUND);
    redis_real_stop(&server);
    world_end(&w);
}

static void
a_killed_server_releases_its_lookups_and_a_new_one_is_found(void)
{
    struct world w;
    struct redis_real server;
    struct told told;

    CHECK(world_begin(&w));
    if (!redis_real_start(&server, w.c.dir, NULL)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    kill(server.pid, SIGSTOP);
    CHECK_INT(ask(&w, "object:a", &told), 0);
    redis_real_stop(&server);
    CHECK(wait_told(&w, &told, 1));
    CHECK(told.rc[0] < 0);
    CHECK(wait_up(&w, false, 1000));
    CHECK(redis_real_start(&server, w.c.dir, NULL));
    CHECK(wait_up(&w, true, 8000));
    redis_real_stop(&server);
    world_end(&w);
}

static void
puts_beyond_the_queue_are_dropped_and_counted(void)
{
    struct world w;
    struct redis_fake server;
    static char value[CACHE_VALUE_MAX];
    struct told told;

    CHECK(world_begin(&w));
    CHECK(redis_fake_start(&server, w.c.dir, bytes_of(NULL, 0), false));
    CHECK(world_client(&w, server.address, ""));
    CHECK(wait_up(&w, true, 5000));
    kill(server.pid, SIGSTOP);
    memset(value, 'x', sizeof(value));
    struct cache_item item = item_of("object:large", "");
    item.value = bytes_of(value, sizeof(value));
    for (int i = 0; i < 10; i++) {
        cache_redis_put(w.redis, &item, 0);
    }
    CHECK(counted(&w, STATS_REDIS_DROPPED) >= 5);
    CHECK_INT(ask(&w, "object:a", &told), 0); /* the other connection is free */
    CHECK(wait_told(&w, &told, 1));
    redis_fake_stop(&server);
    world_end(&w);
}

/* ---- a server that says anything ------------------------------------------------------------- */

static bool
is_survived(struct bytes answer, bool repeats, const char *name)
{
    struct world w;
    struct redis_fake server;
    struct told told = {0};

    if (!world_begin(&w) || !redis_fake_start(&server, w.c.dir, answer, repeats) ||
        !world_client(&w, server.address, "")) {
        return false;
    }
    bool is_good = wait_up(&w, true, 5000);
    for (int i = 0; is_good && i < 3 && cache_redis_is_up(w.redis, CACHE_OBJECT); i++) {
        is_good = ask(&w, "object:a", &told) == 0 && wait_told(&w, &told, 1) && told.rc[0] != 0;
    }
    for (int i = 0; is_good && i < 5; i++) {
        turn(&w);
    }
    if (!is_good) {
        printf("# %s: %d calls, rc %d\n", name, told.calls, told.rc[0]);
    }
    redis_fake_stop(&server);
    world_end(&w);
    return is_good;
}

static void
whatever_a_server_answers_is_a_miss(void)
{
    static const struct {
        const char *name;
        const char *answer;
        bool repeats;
    } answers[] = {
        {"an error", "-LOADING Redis is loading the dataset in memory\r\n", false},
        {"a status", "+OK\r\n", false},
        {"a number", ":12\r\n", false},
        {"nil", "$-1\r\n", false},
        {"no array", "*-1\r\n", false},
        {"an empty array", "*0\r\n", false},
        {"a number of elements that nobody asked for", "*2\r\n$-1\r\n$-1\r\n", false},
        {"a number for an element", "*1\r\n:5\r\n", false},
        {"an error for an element", "*1\r\n-ERR no\r\n", false},
        {"an array for an element", "*1\r\n*1\r\n$1\r\na\r\n", false},
        {"an empty value", "*1\r\n$0\r\n\r\n", false},
        {"another value", "*1\r\n$5\r\nhello\r\n", false},
        {"two replies", "*1\r\n$-1\r\n*1\r\n$-1\r\n", false},
        {"replies without end", "*1\r\n$-1\r\n", true},
        {"an array without end", "*2147483647\r\n", false},
        {"a count that overflows", "*99999999999999999999\r\n", false},
        {"a negative count", "*-7\r\n", false},
        {"a string of 2 GiB", "*1\r\n$2147483647\r\n", true},
        {"a string that overflows", "*1\r\n$99999999999999999999\r\n", false},
        {"nested arrays", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", true},
        {"no protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", false},
        {"a line without end", "+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         true},
        {"zeros", "\0\0\0\0", false},
        {"a push", ">2\r\n$1\r\na\r\n$1\r\nb\r\n", false},
    };

    for (size_t i = 0; i < AUGURY_COUNT(answers); i++) {
        CHECK(is_survived(bytes_of_text(answers[i].answer), answers[i].repeats, answers[i].name));
    }
    CHECK(is_survived(bytes_of("\0\0\0\0", 4), true, "zeros without end"));
}

/* ---- values ---------------------------------------------------------------------------------- */

static void
an_address_that_cannot_be_used_says_what_would_be_right(void)
{
    static const char *const wrong[] = {"redis", ":6379", "unix:redis.sock", "[]:1", "[::1]"};
    struct world w;
    struct err err;

    CHECK(world_begin(&w));
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        struct cache_redis_options options = {
            .server = {.address = wrong[i], .user = "", .password_file = "", .prefix = ""},
            .board = w.c.board};
        CHECK_INT(cache_redis_new(&options, &w.redis, &err), AUGURY_ERR_INVALID);
        CHECK_CONTAINS(err.reason, "redis.address");
    }
    world_end(&w);
}

int
main(void)
{
    TAP_RUN(an_entry_put_is_found_again_and_comes_into_memory);
    TAP_RUN(a_value_from_redis_takes_no_newer_ones_place);
    TAP_RUN(many_keys_are_asked_in_one_command_and_told_in_order);
    TAP_RUN(a_class_without_a_time_in_redis_is_neither_put_nor_asked);
    TAP_RUN(an_entry_lives_no_longer_than_it_is_told);
    TAP_RUN(a_password_is_given_and_a_wrong_one_leaves_the_tier_off);
    TAP_RUN(a_lookup_under_way_is_told_when_the_client_ends);
    TAP_RUN(a_value_from_before_an_invalidation_gets_a_stamp_from_before_it);
    TAP_RUN(a_stopped_server_costs_its_timeouts_and_is_used_again_when_it_goes_on);
    TAP_RUN(a_killed_server_releases_its_lookups_and_a_new_one_is_found);
    TAP_RUN(puts_beyond_the_queue_are_dropped_and_counted);
    TAP_RUN(whatever_a_server_answers_is_a_miss);
    TAP_RUN(an_address_that_cannot_be_used_says_what_would_be_right);
    return tap_done();
}
