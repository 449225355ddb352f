/* SPDX-License-Identifier: MIT */
/* Two machines on one Redis: what one invalidates the other forgets, once, and none is missed. */
#include "../../../src/cache/redis_marks.h"
#include "../../tap.h"
#include "redis_case.h"

struct machine {
    struct cache_case c;
    struct case_loop loop;
    struct cache_bus *bus;
    uint32_t forgiven_ms;
};

struct world {
    struct redis_real server;
    struct machine a, b;
};

static void
ready(void *object, unsigned line, unsigned what)
{
    cache_bus_ready(object, line, what);
}

static void
tick(void *object)
{
    cache_bus_tick(object);
}

static bool
bus_open(struct machine *m, const char *address)
{
    struct err err = {0};
    struct cache_bus_options options = {
        .server = {.address = address,
                   .user = "",
                   .password_file = "",
                   .prefix = "test:",
                   .timeout_ms = 100,
                   .connect_timeout_ms = 500,
                   .queue_bytes = 4 << 20},
        .loop = {.arg = &m->loop, .watch = case_watch, .timer = case_timer},
        .cache = m->c.cache,
        .board = m->c.board,
        .stats = stats_slot(m->c.stats, 0),
        .forgiven_ms = m->forgiven_ms,
    };
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        options.redis_ttl_s[i] = 3600;
    }
    int rc = cache_bus_new(&options, &m->bus, &err);
    if (rc != 0) {
        printf("# cache_bus_new: %s\n", err.reason);
    }
    return rc == 0;
}

static void
turn(struct world *w)
{
    case_loop_turn(&w->a.loop, w->a.bus, ready, tick);
    if (w->b.bus != NULL) {
        case_loop_turn(&w->b.loop, w->b.bus, ready, tick);
    }
}

static bool
is_up(const struct world *w)
{
    return cache_bus_is_up(w->a.bus) && (w->b.bus == NULL || cache_bus_is_up(w->b.bus));
}

static bool
wait_up(struct world *w)
{
    uint64_t until = clock_mono_ms() + 10000;

    while (!is_up(w) && clock_mono_ms() < until) {
        turn(w);
    }
    return is_up(w);
}

static uint64_t
counted(const struct machine *m, enum stats_id id)
{
    return stats_of_slot(m->c.stats, 0, id);
}

static bool
wait_counted(struct world *w, const struct machine *m, enum stats_id id, uint64_t n)
{
    uint64_t until = clock_mono_ms() + 10000;

    while (counted(m, id) < n && clock_mono_ms() < until) {
        turn(w);
    }
    return counted(m, id) == n;
}

/* false: no redis-server here. */
static bool
world_begin(struct world *w)
{
    *w = (struct world){0};
    return case_begin(&w->a.c, 64 << 20, 4 << 20) && case_begin(&w->b.c, 64 << 20, 4 << 20) &&
           redis_real_start(&w->server, w->a.c.dir, NULL);
}

static void
world_end(struct world *w)
{
    cache_bus_free(&w->a.bus);
    cache_bus_free(&w->b.bus);
    redis_real_stop(&w->server);
    case_fini(&w->a.c);
    case_fini(&w->b.c);
}

/* An inline command; the beginning of its reply. */
static void
command(const struct world *w, const char *line, char *out, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, w->server.path, strlen(w->server.path) + 1);
    memset(out, 0, size);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        send(fd, line, strlen(line), MSG_NOSIGNAL) > 0 && send(fd, "\r\n", 2, MSG_NOSIGNAL) > 0) {
        (void)recv(fd, out, size - 1, 0);
    }
    close(fd);
}

static bool
keep(struct machine *m, const char *key, const char *tag)
{
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = bytes_of_text(key),
                              .value = bytes_of_text("v"),
                              .created_wall_ms = clock_wall_ms(),
                              .expires_wall_ms = clock_wall_ms() + 600000,
                              .stamp = cache_stamp(m->c.cache),
                              .tags = {tag == NULL ? 0 : cache_tag(bytes_of_text(tag))}};

    return cache_put(m->c.cache, &item) == 0 && case_drain(&m->c) == 0;
}

static bool
has(struct machine *m, const char *key)
{
    struct cache_query query = {
        .class = CACHE_OBJECT, .key = bytes_of_text(key), .now_wall_ms = clock_wall_ms()};
    struct cache_hit hit;

    bool is_there =
        cache_snapshot_begin(m->c.cache) == 0 && cache_get(m->c.cache, &query, &hit) == 0;
    cache_snapshot_end(m->c.cache);
    return is_there;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
what_one_machine_invalidates_the_other_forgets(void)
{
    struct world w;
    struct err err;
    uint64_t entries = 0;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.b, "object:a", NULL) && keep(&w.b, "object:b", "nfl") &&
          keep(&w.b, "object:c/1", NULL) && keep(&w.b, "object:d", NULL));

    uint64_t begin = clock_mono_ms();
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:a")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK(clock_mono_ms() - begin < 100);
    CHECK(!has(&w.b, "object:a") && has(&w.b, "object:b"));

    CHECK_INT(cache_keeper_invalidate_tag(w.a.c.cache, bytes_of_text("nfl")), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 2));
    CHECK(!has(&w.b, "object:b") && has(&w.b, "object:c/1"));

    CHECK_INT(cache_keeper_ban(w.a.c.cache, bytes_of_text("object:c/*"), &err), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 3));
    CHECK(!has(&w.b, "object:c/1") && has(&w.b, "object:d"));

    CHECK_INT(cache_keeper_invalidate_class(w.a.c.cache, CACHE_OBJECT), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 4));
    CHECK(!has(&w.b, "object:d"));

    CHECK(keep(&w.b, "object:e", NULL) && has(&w.b, "object:e"));
    CHECK_INT(cache_keeper_flush(w.a.c.cache, &entries), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 5));
    CHECK(!has(&w.b, "object:e"));

    /* None came back, and none was told twice. */
    for (int i = 0; i < 10; i++) {
        turn(&w);
    }
    CHECK_INT(counted(&w.a, STATS_REDIS_EVENTS_SENT), 5);
    CHECK_INT(counted(&w.a, STATS_REDIS_EVENTS_TAKEN), 0);
    CHECK_INT(counted(&w.b, STATS_REDIS_EVENTS_SENT), 0);
    CHECK_INT(counted(&w.a, STATS_REDIS_GAPS) + counted(&w.b, STATS_REDIS_GAPS), 0);
    /* Whatever is made now is known by both to have come after all of it. */
    uint64_t mark = 0;
    uint64_t stamp = 0;
    CHECK(cache_marks_of_stamp(w.a.c.board->marks, cache_stamp(w.a.c.cache), &mark));
    CHECK(cache_marks_to_stamp(w.b.c.board->marks, mark, bytes_of_text("object:f"), false, &stamp));
    CHECK_INT(stamp, cache_stamp(w.b.c.cache));
    world_end(&w);
}

static void
an_object_put_here_lies_in_redis_and_replaces_what_others_have(void)
{
    struct world w;
    char reply[256];
    uint64_t ticket = 0;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.b, "object:x", NULL));
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = bytes_of_text("object:x"),
                              .value = bytes_of_text("new"),
                              .created_wall_ms = clock_wall_ms(),
                              .expires_wall_ms = clock_wall_ms() + 60000};
    CHECK_INT(cache_order(w.a.c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), 0);
    CHECK_INT(case_drain(&w.a.c), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 1));
    CHECK(!has(&w.b, "object:x") && has(&w.a, "object:x"));
    uint64_t until = clock_mono_ms() + 2000;
    do {
        turn(&w);
        command(&w, "GET test:object:x", reply, sizeof(reply));
    } while (reply[1] == '-' && clock_mono_ms() < until);
    CHECK_INT(atoll(reply + 1), 56 + 8 + 3);
    command(&w, "PTTL test:object:x", reply, sizeof(reply));
    CHECK(atoll(reply + 1) > 0 && atoll(reply + 1) <= 60000);

    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:x")), 0);
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 2));
    until = clock_mono_ms() + 2000;
    do {
        turn(&w);
        command(&w, "EXISTS test:object:x", reply, sizeof(reply));
    } while (reply[1] == '1' && clock_mono_ms() < until);
    CHECK_TEXT(reply, ":0\r\n");
    world_end(&w);
}

static void
news_of_an_outage_arrive_after_it_on_both_sides(void)
{
    struct world w;
    char reply[256];

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:0")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK(keep(&w.b, "object:a", NULL) && keep(&w.a, "object:b", NULL));

    /* Both connections of both are cut; then each invalidates something. */
    command(&w, "CLIENT KILL TYPE normal SKIPME yes", reply, sizeof(reply));
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:a")), AUGURY_NOT_FOUND);
    CHECK_INT(cache_keeper_purge(w.b.c.cache, bytes_of_text("object:b")), AUGURY_NOT_FOUND);
    for (int i = 0; i < 3; i++) {
        turn(&w);
    }
    CHECK(!is_up(&w));
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 2));
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK(!has(&w.b, "object:a") && !has(&w.a, "object:b"));
    CHECK_INT(counted(&w.a, STATS_REDIS_GAPS) + counted(&w.b, STATS_REDIS_GAPS), 0);
    world_end(&w);
}

static void
a_stream_that_lost_its_past_invalidates_everything_and_is_counted(void)
{
    struct world w;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.a, "object:a", NULL));
    /* Nothing was ever told: an empty server is no loss. */
    redis_real_stop(&w.server);
    for (int i = 0; i < 5; i++) {
        turn(&w);
    }
    CHECK(!is_up(&w));
    CHECK(redis_real_start(&w.server, w.a.c.dir, NULL));
    CHECK(wait_up(&w));
    CHECK(has(&w.a, "object:a"));
    CHECK_INT(counted(&w.a, STATS_REDIS_GAPS), 0);

    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:0")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 1));
    redis_real_stop(&w.server);
    for (int i = 0; i < 5; i++) {
        turn(&w);
    }
    CHECK(has(&w.a, "object:a"));
    CHECK(redis_real_start(&w.server, w.a.c.dir, NULL));
    CHECK(wait_up(&w));
    CHECK_INT(counted(&w.a, STATS_REDIS_GAPS), 1);
    CHECK(!has(&w.a, "object:a"));
    world_end(&w);
}

static void
a_stream_lost_in_a_short_outage_is_made_up_by_what_each_tells_again(void)
{
    struct world w;
    char reply[256];

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    w.a.forgiven_ms = w.b.forgiven_ms = 60000;
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:0")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 1));
    CHECK(keep(&w.a, "object:a", NULL) && keep(&w.b, "object:b", NULL) &&
          keep(&w.b, "object:c", NULL));
    redis_real_stop(&w.server);
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:b")), AUGURY_NOT_FOUND);
    CHECK(redis_real_start(&w.server, w.a.c.dir, NULL));
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 3));
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 3));
    CHECK(wait_up(&w));
    CHECK(has(&w.a, "object:a") && !has(&w.b, "object:b") && has(&w.b, "object:c"));
    CHECK_INT(counted(&w.a, STATS_REDIS_GAPS) + counted(&w.b, STATS_REDIS_GAPS), 0);
    command(&w, "XLEN test:~events", reply, sizeof(reply));
    CHECK_TEXT(reply, ":2\r\n");
    world_end(&w);
}

static void
a_machine_that_starts_does_what_the_stream_still_has(void)
{
    struct world w;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.b, "object:a", NULL) && keep(&w.b, "object:b", NULL));
    for (int i = 0; i < 600; i++) { /* more than a page */
        char key[32];
        int len = snprintf(key, sizeof(key), "object:n%d", i);
        CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of(key, (size_t)len)), AUGURY_NOT_FOUND);
    }
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:a")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 601));
    CHECK(bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK_INT(counted(&w.b, STATS_REDIS_EVENTS_TAKEN), 601);
    CHECK(!has(&w.b, "object:a") && has(&w.b, "object:b"));
    world_end(&w);
}

static void
more_news_than_are_remembered_become_one_flush(void)
{
    struct world w;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.b, "object:a", NULL));
    kill(w.server.pid, SIGSTOP);
    for (int i = 0; i < 5000; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "object:n%d", i);
        CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of(key, (size_t)len)), AUGURY_NOT_FOUND);
    }
    kill(w.server.pid, SIGCONT);
    uint64_t until = clock_mono_ms() + 10000;
    while (has(&w.b, "object:a") && clock_mono_ms() < until) {
        turn(&w);
    }
    CHECK(!has(&w.b, "object:a"));
    world_end(&w);
}

static void
a_bus_that_died_with_news_has_everything_forgotten(void)
{
    struct world w;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.b, "object:a", NULL));
    kill(w.server.pid, SIGSTOP);
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:a")), AUGURY_NOT_FOUND);
    CHECK_INT(atomic_load(&w.a.c.board->marks->unpublished), 1);
    cache_bus_free(&w.a.bus);
    kill(w.server.pid, SIGCONT);
    CHECK(bus_open(&w.a, w.server.address));
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 1));
    CHECK(!has(&w.b, "object:a"));
    CHECK_INT(atomic_load(&w.a.c.board->marks->unpublished), 0);
    world_end(&w);
}

/* As a supervisor that was killed leaves it. */
static void
a_bus_after_one_that_was_killed_goes_on_where_it_was(void)
{
    struct world w;
    uint64_t entries = 0;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK_INT(cache_keeper_flush(w.a.c.cache, &entries), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK(keep(&w.b, "object:a", NULL));
    struct cache_marks *kept = malloc(sizeof(*kept));
    CHECK(kept != NULL);
    memcpy(kept, w.b.c.board->marks, sizeof(*kept));
    cache_bus_free(&w.b.bus);
    memcpy(w.b.c.board->marks, kept, sizeof(*kept));
    free(kept);
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:b")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 2));
    CHECK(bus_open(&w.b, w.server.address));
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 2));
    CHECK(has(&w.b, "object:a")); /* the flush is not done again */
    CHECK_INT(counted(&w.b, STATS_REDIS_GAPS), 0);
    world_end(&w);
}

/* The daemon of a machine stops, and starts again with what its folder has. */
static bool
stop(struct machine *m)
{
    bool is_kept = cache_keeper_tick(m->c.cache, clock_wall_ms()) == 0;

    cache_bus_free(&m->bus);
    cache_close(&m->c.cache);
    return is_kept;
}

static bool
start(struct machine *m, const char *address)
{
    struct cache_board_options options = {.ring_bytes = m->c.ring_bytes,
                                          .slots = CASE_SLOTS,
                                          .map_bytes = m->c.map_bytes,
                                          .keeper_wake_fd = m->c.wake_fd};

    memset(m->c.shared, 0, m->c.shared_bytes);
    m->c.board = cache_board_attach(m->c.shared, &options);
    m->c.rings = m->c.board->rings;
    return case_open(&m->c, true, 0, NULL) == 0 && bus_open(m, address);
}

/* What a value made now would carry. */
static uint64_t
mark_now(const struct machine *m)
{
    uint64_t mark = 0;

    return cache_marks_of_stamp(m->c.board->marks, cache_stamp(m->c.cache), &mark) ? mark : 0;
}

/* Whether an object's value that carries the mark is taken from Redis. */
static bool
is_alive(const struct machine *m, uint64_t mark, const char *key)
{
    struct cache_entry entry = {.class = CACHE_OBJECT, .text = bytes_of_text(key)};

    return cache_marks_to_stamp(m->c.board->marks, mark, entry.text, false, &entry.stamp) &&
           cache_death_of(m->c.board->invalid, &entry) == CACHE_ALIVE;
}

static void
a_machine_that_starts_again_does_only_what_it_has_missed(void)
{
    struct world w;
    uint64_t entries = 0;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
    CHECK(wait_up(&w));
    uint64_t before = mark_now(&w.a);
    CHECK_INT(cache_keeper_flush(w.a.c.cache, &entries), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 1));
    CHECK_INT(cache_keeper_invalidate_class(w.a.c.cache, CACHE_FEATURE), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_TAKEN, 2));
    uint64_t after = mark_now(&w.a);
    CHECK(before != 0 && after > before);
    CHECK(keep(&w.b, "object:a", NULL) && keep(&w.b, "object:b", NULL));
    CHECK(stop(&w.b));
    CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:b")), AUGURY_NOT_FOUND);
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 3));
    CHECK(start(&w.b, w.server.address));
    CHECK(wait_up(&w));
    /* The flush is not done again, the purge is; and what lies in Redis is judged by all of it. */
    CHECK_INT(counted(&w.b, STATS_REDIS_EVENTS_TAKEN), 3);
    CHECK(has(&w.b, "object:a") && !has(&w.b, "object:b"));
    CHECK(!is_alive(&w.b, before, "object:c") && is_alive(&w.b, after, "object:c"));
    CHECK(!is_alive(&w.b, after, "object:b") && is_alive(&w.b, mark_now(&w.b), "object:b"));
    /* Its own news are no news to it either. */
    CHECK_INT(cache_keeper_invalidate_class(w.b.c.cache, CACHE_LINEUP), 0);
    CHECK(wait_counted(&w, &w.b, STATS_REDIS_EVENTS_SENT, 1));
    CHECK(stop(&w.b));
    CHECK(start(&w.b, w.server.address));
    CHECK(wait_up(&w));
    CHECK_INT(counted(&w.b, STATS_REDIS_EVENTS_TAKEN), 3);
    CHECK(has(&w.b, "object:a"));
    CHECK_INT(counted(&w.b, STATS_REDIS_GAPS), 0);
    CHECK(!cache_bus_had_gap(w.b.bus));
    world_end(&w);
}

static void
a_machine_whose_place_is_gone_invalidates_everything_and_says_so(void)
{
    static const char *const losses[] = {"XTRIM test:~events MAXLEN 1", "DEL test:~events"};
    struct world w;
    char reply[256];

    for (size_t i = 0; i < AUGURY_COUNT(losses); i++) {
        if (!world_begin(&w)) {
            world_end(&w);
            SKIP("no redis-server");
        }
        CHECK(bus_open(&w.a, w.server.address) && bus_open(&w.b, w.server.address));
        CHECK(wait_up(&w));
        CHECK(keep(&w.b, "object:a", NULL));
        CHECK(stop(&w.b));
        CHECK_INT(cache_keeper_invalidate_class(w.a.c.cache, CACHE_OBJECT), 0);
        CHECK_INT(cache_keeper_purge(w.a.c.cache, bytes_of_text("object:0")), AUGURY_NOT_FOUND);
        CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 2));
        command(&w, losses[i], reply, sizeof(reply));
        CHECK(reply[0] == ':' && reply[1] != '0');
        CHECK(start(&w.b, w.server.address));
        CHECK(wait_up(&w));
        CHECK_INT(counted(&w.b, STATS_REDIS_GAPS), 1);
        CHECK(!has(&w.b, "object:a"));
        CHECK(cache_bus_had_gap(w.b.bus) && !cache_bus_had_gap(w.b.bus));
        /* Once: from now on its place is there. */
        CHECK(keep(&w.b, "object:b", NULL));
        CHECK(stop(&w.b));
        CHECK(start(&w.b, w.server.address));
        CHECK(wait_up(&w));
        CHECK_INT(counted(&w.b, STATS_REDIS_GAPS), 1);
        CHECK(has(&w.b, "object:b"));
        world_end(&w);
    }
}

/* Evicted, or the server was replaced, while nobody was there; what lies in Redis may have stayed.
 */
static void
what_was_flushed_stays_dead_when_the_stream_is_lost_while_all_are_stopped(void)
{
    struct world w;
    char reply[256];
    uint64_t entries = 0;

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address));
    CHECK(wait_up(&w));
    uint64_t before = mark_now(&w.a);
    CHECK(before != 0);
    CHECK_INT(cache_keeper_flush(w.a.c.cache, &entries), 0);
    CHECK(wait_counted(&w, &w.a, STATS_REDIS_EVENTS_SENT, 1));
    uint64_t after = mark_now(&w.a);
    CHECK(stop(&w.a));
    command(&w, "DEL test:~events", reply, sizeof(reply));
    CHECK_TEXT(reply, ":1\r\n");
    /* One that knows nothing, one that knows the old stream. */
    CHECK(bus_open(&w.b, w.server.address));
    CHECK(start(&w.a, w.server.address));
    CHECK(wait_up(&w));
    CHECK(!is_alive(&w.b, before, "object:a") && !is_alive(&w.b, after, "object:a"));
    CHECK(!is_alive(&w.a, before, "object:a") && !is_alive(&w.a, after, "object:a"));
    CHECK(!is_alive(&w.b, 0, "object:a"));
    CHECK(is_alive(&w.b, mark_now(&w.a), "object:a") && is_alive(&w.a, mark_now(&w.b), "object:a"));
    command(&w, "XLEN test:~events", reply, sizeof(reply));
    CHECK(strcmp(reply, ":0\r\n") != 0);
    world_end(&w);
}

static void
what_anybody_else_writes_into_the_stream_does_no_harm(void)
{
    static const char *const lines[] = {
        "XADD test:~events * a b",
        "XADD test:~events * origin x number y kind key text z",
        "XADD test:~events * origin x number 1 kind nothing text z",
        "XADD test:~events * origin x number 1 kind class text nothing",
        "XADD test:~events * origin x number 1 kind ban text [",
        "XADD test:~events * origin x number 99999999999999999999999 kind key text z",
        "XADD test:~events * kind key kind ban text a text b",
    };
    struct world w;
    char reply[256];

    if (!world_begin(&w)) {
        world_end(&w);
        SKIP("no redis-server");
    }
    CHECK(bus_open(&w.a, w.server.address));
    CHECK(wait_up(&w));
    CHECK(keep(&w.a, "object:a", NULL) && keep(&w.a, "object:b", NULL));
    for (size_t i = 0; i < AUGURY_COUNT(lines); i++) {
        command(&w, lines[i], reply, sizeof(reply));
        CHECK_INT(reply[0], '$');
    }
    command(&w, "XADD test:~events * origin x number 1 kind key text object:a", reply,
            sizeof(reply));
    uint64_t until = clock_mono_ms() + 5000;
    while (has(&w.a, "object:a") && clock_mono_ms() < until) {
        turn(&w);
    }
    CHECK(!has(&w.a, "object:a") && has(&w.a, "object:b"));
    CHECK(is_up(&w));
    /* No stream at all: tried again and again, and nothing else. */
    command(&w, "DEL test:~events", reply, sizeof(reply));
    command(&w, "SET test:~events text", reply, sizeof(reply));
    until = clock_mono_ms() + 5000; /* an answer is waited for that long */
    while (is_up(&w) && clock_mono_ms() < until) {
        turn(&w);
    }
    CHECK(!is_up(&w));
    CHECK(has(&w.a, "object:b"));
    world_end(&w);
}

int
main(void)
{
    TAP_RUN(what_one_machine_invalidates_the_other_forgets);
    TAP_RUN(an_object_put_here_lies_in_redis_and_replaces_what_others_have);
    TAP_RUN(news_of_an_outage_arrive_after_it_on_both_sides);
    TAP_RUN(a_stream_that_lost_its_past_invalidates_everything_and_is_counted);
    TAP_RUN(a_stream_lost_in_a_short_outage_is_made_up_by_what_each_tells_again);
    TAP_RUN(a_machine_that_starts_does_what_the_stream_still_has);
    TAP_RUN(more_news_than_are_remembered_become_one_flush);
    TAP_RUN(a_bus_that_died_with_news_has_everything_forgotten);
    TAP_RUN(a_bus_after_one_that_was_killed_goes_on_where_it_was);
    TAP_RUN(a_machine_that_starts_again_does_only_what_it_has_missed);
    TAP_RUN(a_machine_whose_place_is_gone_invalidates_everything_and_says_so);
    TAP_RUN(what_was_flushed_stays_dead_when_the_stream_is_lost_while_all_are_stopped);
    TAP_RUN(what_anybody_else_writes_into_the_stream_does_no_harm);
    return tap_done();
}
