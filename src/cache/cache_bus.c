/* SPDX-License-Identifier: MIT */
/*
 * cache_bus.c - invalidations of all machines, in one order: a stream in Redis. One connection
 * reads it and waits for what is new, the other appends. After a connection cache_bus_check.c finds
 * what may have been missed. Then what is there is read, then it is waited for more.
 * Invariants: (1) what was invalidated here stays on the list until it has been read back from the
 * stream; (2) an event counts as done, and the marks move, after the keeper's commit alone; (3) an
 * event that another machine sent is never sent again; (4) the environment says that an event is
 * done in the commit that does it, or later.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "augury/seal.h"
#include "cache_bus_priv.h"
#include "redis_value.h"

enum {
    TICK_MS = 100,
    BLOCK_MS = 1000,    /* an answer comes at least so often: who is silent longer is gone */
    PATIENCE_MS = 1000, /* beyond the time of a command */
    PAGE_EVENTS = 256,  /* read at once; more than REDIS_ARRAY_MAX allows it is not */
    FIELDS = 4,
};
_Static_assert((int)PAGE_EVENTS <= (int)REDIS_ARRAY_MAX, "a page is an array");

/* ---- life of the connections --------------------------------------------------------------- */

static void
bus_down(struct cache_bus *bus, int rc)
{
    bus->state = BUS_DOWN;
    bus->retry_ms = clock_mono_ms() + redis_backoff_next(&bus->backoff_ms, &bus->random);
    stats_set(bus->stats, STATS_REDIS_BUS_UP, 0);
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        redis_line_down(&bus->lines[i], rc);
    }
    for (size_t i = 0; i < bus->count; i++) {
        bus->unsent[(bus->first + i) % BUS_UNSENT_MAX].is_told = false;
    }
}

void
cache_bus_break(struct cache_bus *bus)
{
    bus->lines[LINE_HEAR].is_broken = true;
}

static void
bus_connect(struct cache_bus *bus)
{
    bus->state = BUS_CONNECTING;
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        int rc = redis_line_connect(&bus->lines[i], clock_mono_ms());
        if (rc != 0) {
            bus_down(bus, rc);
            return;
        }
    }
}

uint64_t
cache_bus_deadline(const struct cache_bus *bus, uint32_t wait_ms)
{
    return clock_mono_ms() + bus->server.timeout_ms + PATIENCE_MS + wait_ms;
}

/* ---- what this machine tells --------------------------------------------------------------- */

struct unsent *
cache_bus_unsent(struct cache_bus *bus, size_t i)
{
    return &bus->unsent[(bus->first + i) % BUS_UNSENT_MAX];
}

void
cache_bus_clean(struct cache_bus *bus)
{
    uint64_t clean = cache_stamp(bus->cache);

    for (size_t i = 0; i < bus->count; i++) {
        uint64_t stamp = cache_bus_unsent(bus, i)->stamp;
        clean = stamp > 0 && stamp - 1 < clean ? stamp - 1 : clean;
    }
    atomic_store(&bus->marks->unpublished, bus->count);
    cache_marks_clean(bus->marks, clean);
}

static void
on_told(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;

    if (rc != 0 || reply->type == REDIS_REPLY_ERROR) {
        stats_add(bus->stats, rc == AUGURY_ERR_TIMEOUT ? STATS_REDIS_TIMEOUTS : STATS_REDIS_ERRORS,
                  1);
        cache_bus_break(bus); /* and told again on the next connection */
    }
}

static void
unsent_tell(struct cache_bus *bus, struct unsent *unsent)
{
    struct redis_line *line = &bus->lines[LINE_TELL];

    if (unsent->is_told || line->state != REDIS_LINE_READY ||
        !redis_line_has_room(line, unsent->len + sizeof(bus->stream))) {
        return; /* the tick tries again */
    }
    redis_line_put_count(line, 6 + 2 * FIELDS);
    redis_line_put_text(line, "XADD");
    redis_line_put_text(line, bus->stream);
    redis_line_put_text(line, "MAXLEN");
    redis_line_put_text(line, "~");
    redis_line_put_number(line, BUS_STREAM_EVENTS);
    redis_line_put_text(line, "*");
    redis_line_put_text(line, "origin");
    redis_line_put_bytes(line, bytes_of(bus->origin, sizeof(bus->origin)));
    redis_line_put_text(line, "number");
    redis_line_put_number(line, unsent->number);
    redis_line_put_text(line, "kind");
    redis_line_put_text(line, redis_event_kind(unsent->kind));
    redis_line_put_text(line, "text");
    redis_line_put_bytes(line, bytes_of(unsent->text, unsent->len));
    redis_line_call(line, cache_bus_deadline(bus, 0), on_told, bus);
    unsent->is_told = true;
}

/* Only when all that others told is done here: what they did before goes before. */
static void
unsent_tell_all(struct cache_bus *bus)
{
    for (size_t i = 0; bus->state == BUS_LISTENING && i < bus->count; i++) {
        unsent_tell(bus, cache_bus_unsent(bus, i));
    }
    if (bus->lines[LINE_TELL].state == REDIS_LINE_READY) {
        redis_line_flush(&bus->lines[LINE_TELL]);
    }
}

void
cache_bus_add(struct cache_bus *bus, enum cache_news_kind kind, struct bytes text, uint64_t stamp)
{
    /* Too many to remember: all of them at once. */
    if (bus->count == BUS_UNSENT_MAX || text.len > CACHE_KEY_TEXT_MAX) {
        uint64_t oldest = bus->count > 0 ? cache_bus_unsent(bus, 0)->stamp : stamp;
        bus->count = 0;
        kind = CACHE_NEWS_FLUSH;
        text = bytes_of(NULL, 0);
        stamp = oldest < stamp ? oldest : stamp;
    }
    struct unsent *unsent = cache_bus_unsent(bus, bus->count++);
    bus->confirmed =
        bus->confirmed + bus->count > BUS_UNSENT_MAX ? BUS_UNSENT_MAX - bus->count : bus->confirmed;
    *unsent =
        (struct unsent){.number = ++bus->numbers, .stamp = stamp, .kind = kind, .len = text.len};
    if (text.len > 0) {
        memcpy(unsent->text, text.data, text.len);
    }
    cache_bus_clean(bus);
}

/* The keeper's news. Several may come of one commit, with one clock. */
static void
on_news(void *arg, enum cache_news_kind kind, struct bytes text)
{
    struct cache_bus *bus = arg;
    uint64_t clock = cache_stamp(bus->cache);

    if (clock != bus->clock) {
        bus->clock_before = bus->clock;
        bus->clock = clock;
    }
    if (bus->is_applying && kind == bus->applying_kind && bytes_equal(text, bus->applying_text)) {
        bus->is_applying = false; /* another one like it is ours */
        return;
    }
    cache_bus_add(bus, kind, text, bus->clock_before + 1);
    unsent_tell_all(bus);
}

/* ---- what becomes of an entry in Redis ----------------------------------------------------- */

static void
on_kept(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;

    stats_add(bus->stats, STATS_REDIS_ERRORS, rc != 0 || reply->type == REDIS_REPLY_ERROR ? 1 : 0);
}

static void
put_key(const struct cache_bus *bus, struct redis_line *line, struct bytes key)
{
    struct bytes pieces[] = {bytes_of_text(bus->server.prefix), key};

    redis_line_put_pieces(line, pieces, AUGURY_COUNT(pieces));
}

static void
entry_forget(struct cache_bus *bus, struct bytes key)
{
    struct redis_line *line = &bus->lines[LINE_TELL];

    if (line->state == REDIS_LINE_READY && redis_line_has_room(line, key.len)) {
        redis_line_put_count(line, 2);
        redis_line_put_text(line, "DEL");
        put_key(bus, line, key);
        redis_line_call(line, cache_bus_deadline(bus, 0), on_kept, bus);
    }
}

static void
entry_send(struct cache_bus *bus, const struct redis_value *value, uint64_t life_ms)
{
    struct redis_line *line = &bus->lines[LINE_TELL];
    uint8_t header[REDIS_VALUE_HEADER];
    struct bytes pieces[] = {bytes_of(header, sizeof(header)), value->item.key, value->item.value};

    if (line->state != REDIS_LINE_READY ||
        !redis_line_has_room(line,
                             sizeof(header) + 2 * value->item.key.len + value->item.value.len)) {
        stats_add(bus->stats, STATS_REDIS_DROPPED, 1);
        return;
    }
    redis_value_encode(value, header);
    redis_line_put_count(line, 5);
    redis_line_put_text(line, "SET");
    put_key(bus, line, value->item.key);
    redis_line_put_pieces(line, pieces, AUGURY_COUNT(pieces));
    redis_line_put_text(line, "PX");
    redis_line_put_number(line, life_ms);
    redis_line_call(line, cache_bus_deadline(bus, 0), on_kept, bus);
}

/* An event of ours about a key has its place: from now on others take what lies there now. */
static void
entry_follow(struct cache_bus *bus, struct bytes key, uint64_t mark)
{
    enum cache_class class = cache_class_of_key(key);
    uint64_t now = clock_wall_ms();
    struct cache_query query = {
        .class = class, .key = key, .now_wall_ms = now, .arena = &bus->arena};
    struct cache_hit hit;

    bool is_there = bus->redis_ttl_s[class] > 0 && cache_snapshot_begin(bus->cache) == 0 &&
                    cache_get(bus->cache, &query, &hit) == 0;
    if (is_there) {
        struct redis_value value = {.item = {.class = class,
                                             .key = key,
                                             .value = hit.value,
                                             .created_wall_ms = hit.created_wall_ms,
                                             .expires_wall_ms = hit.expires_wall_ms,
                                             .stale_s = hit.stale_s,
                                             .cost_us = hit.cost_us},
                                    .mark = mark};
        uint64_t until = hit.created_wall_ms + (uint64_t)bus->redis_ttl_s[class] * 1000;
        value.item.expires_wall_ms = until < hit.expires_wall_ms ? until : hit.expires_wall_ms;
        if (value.item.expires_wall_ms > now) {
            entry_send(bus, &value, value.item.expires_wall_ms - now);
        }
    } else {
        entry_forget(bus, key);
    }
    cache_snapshot_end(bus->cache);
    arena_reset(&bus->arena, 0);
}

/* ---- what others tell ---------------------------------------------------------------------- */

static int
class_invalidate(struct cache_bus *bus, struct bytes name)
{
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        if (bytes_equal_text(name, cache_class_name((enum cache_class)i))) {
            return cache_keeper_invalidate_class(bus->cache, (enum cache_class)i);
        }
    }
    return AUGURY_NOT_FOUND;
}

int
cache_bus_invalidate_all(struct cache_bus *bus)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < CACHE_CLASS_COUNT; i++) {
        struct bytes name = bytes_of_text(cache_class_name((enum cache_class)i));
        bus->is_applying = true;
        bus->applying_kind = CACHE_NEWS_CLASS;
        bus->applying_text = name;
        rc = class_invalidate(bus, name);
    }
    bus->is_applying = false;
    return rc;
}

/* Does here what was done elsewhere. < 0: the keeper cannot now. */
static int
event_apply(struct cache_bus *bus, const struct redis_event *event)
{
    struct cache_place place = {bus->stream_id, redis_place_mark(event->place)};
    uint64_t entries = 0;
    int rc = 0;

    bus->is_applying = true;
    bus->applying_kind = event->kind;
    bus->applying_text = event->text;
    cache_keeper_place_next(bus->cache, &place);
    switch (event->kind) {
    case CACHE_NEWS_KEY: rc = cache_keeper_purge(bus->cache, event->text); break;
    case CACHE_NEWS_TAG: rc = cache_keeper_invalidate_tag(bus->cache, event->text); break;
    case CACHE_NEWS_CLASS: rc = class_invalidate(bus, event->text); break;
    case CACHE_NEWS_BAN: rc = cache_keeper_ban(bus->cache, event->text, NULL); break;
    case CACHE_NEWS_FLUSH: rc = cache_keeper_flush(bus->cache, &entries); break;
    }
    bus->is_applying = false;
    cache_keeper_place_next(bus->cache, NULL);
    if (rc == AUGURY_ERR_LIMIT) {
        rc = cache_bus_invalidate_all(bus); /* more bans at once than there is room for */
    }
    return rc > 0 || rc == AUGURY_ERR_INVALID ? 0 : rc;
}

static bool
is_own(const struct cache_bus *bus, const struct redis_event *event)
{
    return bytes_equal(event->origin, bytes_of(bus->origin, sizeof(bus->origin)));
}

/* Our own, read back. One that is not the first on the list was told twice. */
static void
own_confirm(struct cache_bus *bus, const struct redis_event *event, struct cache_mark_new *mark)
{
    mark->top = mark->stamp = cache_stamp(bus->cache);
    mark->kind = CACHE_MARK_KEY;
    if (bus->count == 0 || cache_bus_unsent(bus, 0)->number != event->number) {
        return;
    }
    mark->stamp = cache_bus_unsent(bus, 0)->stamp;
    mark->kind = event->kind == CACHE_NEWS_KEY ? CACHE_MARK_KEY : CACHE_MARK_BROAD;
    mark->key = event->text;
    cache_bus_unsent(bus, 0)->confirmed_ms = clock_mono_ms();
    bus->first = (bus->first + 1) % BUS_UNSENT_MAX;
    bus->count--;
    bus->confirmed++;
    stats_add(bus->stats, STATS_REDIS_EVENTS_SENT, 1);
}

/* What is written next says that all up to there is done. */
static void
place_follow(struct cache_bus *bus)
{
    struct cache_place place = {bus->stream_id, redis_place_mark(bus->last)};

    if (redis_place_is_after(bus->last, bus->done)) {
        cache_keeper_place_set(bus->cache, &place);
    }
}

static int
event_take(struct cache_bus *bus, const redisReply *reply)
{
    struct redis_event event;

    int rc = redis_event_decode(reply, &event);
    if (rc < 0 || !redis_place_is_after(event.place, bus->last)) {
        return AUGURY_ERR_CORRUPT;
    }
    if (redis_place_mark(event.place) < cache_marks_last(bus->marks)) {
        bus->heard_ms = 0; /* another server, whose clock is behind: nothing is comparable */
        return AUGURY_ERR_CORRUPT;
    }
    struct cache_mark_new mark = {.mark = redis_place_mark(event.place),
                                  .stamp = cache_stamp(bus->cache) + 1,
                                  .kind = event.kind == CACHE_NEWS_KEY ? CACHE_MARK_KEY
                                                                       : CACHE_MARK_BROAD,
                                  .key = event.text};
    bool is_ours = rc == 0 && is_own(bus, &event);
    bus->has_heard = bus->has_heard || rc == 0;
    if (is_ours) {
        own_confirm(bus, &event, &mark);
    } else if (rc == 0 && !redis_place_is_after(event.place, bus->done)) {
        mark.stamp = cache_stamp_of_news(bus->cache, event.kind, event.text);
        mark.top = cache_stamp(bus->cache);
    } else if (rc == 0) {
        rc = event_apply(bus, &event);
        if (rc != 0) {
            return rc;
        }
        stats_add(bus->stats, STATS_REDIS_EVENTS_TAKEN, 1);
        mark.top = cache_stamp(bus->cache);
    }
    bus->last = event.place;
    place_follow(bus);
    cache_marks_add(bus->marks, &mark);
    cache_bus_clean(bus);
    if (is_ours && event.kind == CACHE_NEWS_KEY) {
        entry_follow(bus, event.text, mark.mark);
    }
    return 0;
}

/* ---- reading the stream -------------------------------------------------------------------- */

static void on_page(void *arg, const redisReply *reply, int rc);

void
cache_bus_put_place(struct redis_line *line, struct redis_place place)
{
    char text[2 * U64_TEXT_MAX + 2];

    snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, place.ms, place.number);
    redis_line_put_text(line, text);
}

void
cache_bus_read(struct cache_bus *bus)
{
    struct redis_line *line = &bus->lines[LINE_HEAR];
    bool waits = bus->state == BUS_LISTENING;

    redis_line_put_count(line, waits ? 8 : 6);
    redis_line_put_text(line, "XREAD");
    redis_line_put_text(line, "COUNT");
    redis_line_put_number(line, PAGE_EVENTS);
    if (waits) {
        redis_line_put_text(line, "BLOCK");
        redis_line_put_number(line, BLOCK_MS);
    }
    redis_line_put_text(line, "STREAMS");
    redis_line_put_text(line, bus->stream);
    cache_bus_put_place(line, bus->last);
    redis_line_call(line, cache_bus_deadline(bus, waits ? BLOCK_MS : 0), on_page, bus);
    redis_line_flush(line);
}

/* The events of an answer to XREAD: [[stream, [event, …]]]. NULL: none; *out_is_bad. */
static const redisReply *
page_events(const redisReply *reply, bool *out_is_bad)
{
    *out_is_bad = false;
    if (reply->type == REDIS_REPLY_NIL) {
        return NULL;
    }
    bool is_page = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
                   reply->element[0]->type == REDIS_REPLY_ARRAY &&
                   reply->element[0]->elements == 2 &&
                   reply->element[0]->element[1]->type == REDIS_REPLY_ARRAY;
    *out_is_bad = !is_page;
    return is_page ? reply->element[0]->element[1] : NULL;
}

static void
caught_up(struct cache_bus *bus)
{
    bus->state = BUS_LISTENING;
    bus->backoff_ms = 0;
    stats_set(bus->stats, STATS_REDIS_BUS_UP, 1);
    cache_marks_known(bus->marks);
    unsent_tell_all(bus);
}

static void
on_page(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;
    bool is_bad = false;
    const redisReply *events = rc == 0 ? page_events(reply, &is_bad) : NULL;

    if (rc != 0 || is_bad) {
        cache_bus_break(bus);
        return;
    }
    for (size_t i = 0; events != NULL && i < events->elements; i++) {
        if (event_take(bus, events->element[i]) != 0) {
            cache_bus_break(bus);
            return;
        }
    }
    bus->heard_ms = clock_mono_ms();
    if (bus->state == BUS_CATCHING && (events == NULL || events->elements < PAGE_EVENTS)) {
        caught_up(bus);
    }
    unsent_tell_all(bus); /* and entries that follow their events */
    cache_bus_read(bus);
}

/* ---- events -------------------------------------------------------------------------------- */

static void
bus_follow(struct cache_bus *bus, int rc)
{
    if (rc == 0 && bus->state != BUS_DOWN && bus->lines[LINE_HEAR].is_broken) {
        rc = AUGURY_ERR_IO;
    }
    if (rc != 0) {
        stats_add(bus->stats, rc == AUGURY_ERR_TIMEOUT ? STATS_REDIS_TIMEOUTS : STATS_REDIS_ERRORS,
                  1);
        bus_down(bus, rc);
    } else if (bus->state == BUS_CONNECTING && bus->lines[LINE_HEAR].state == REDIS_LINE_READY &&
               bus->lines[LINE_TELL].state == REDIS_LINE_READY) {
        cache_bus_check(bus);
    }
}

void
cache_bus_ready(struct cache_bus *bus, unsigned line, unsigned what)
{
    AUGURY_ASSERT(line < CACHE_REDIS_LINES);
    bus_follow(bus, redis_line_ready(&bus->lines[line], what, clock_mono_ms()));
}

void
cache_bus_tick(struct cache_bus *bus)
{
    uint64_t now_ms = clock_mono_ms();
    unsigned timeouts = 0;
    int rc = 0;

    if (bus->state == BUS_DOWN && now_ms >= bus->retry_ms) {
        bus_connect(bus);
    }
    for (size_t i = 0; rc == 0 && i < CACHE_REDIS_LINES; i++) {
        rc = redis_line_tick(&bus->lines[i], now_ms, &timeouts);
    }
    bus_follow(bus, rc);
    if (bus->state == BUS_LISTENING) {
        cache_bus_clean(bus);
        unsent_tell_all(bus);
    }
}

bool
cache_bus_had_gap(struct cache_bus *bus)
{
    bool has_gap = bus != NULL && bus->has_gap;

    if (has_gap) {
        bus->has_gap = false;
    }
    return has_gap;
}

bool
cache_bus_is_up(const struct cache_bus *bus)
{
    return bus != NULL && bus->state == BUS_LISTENING;
}

const char *
cache_bus_why(const struct cache_bus *bus)
{
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        if (bus->lines[i].why[0] != '\0') {
            return bus->lines[i].why;
        }
    }
    return "the connection is lost";
}

/* ---- life ---------------------------------------------------------------------------------- */

static uint64_t
stream_id(const struct redis_server *server, const char *stream)
{
    uint64_t parts[] = {hash64_of(bytes_of(&server->address, server->address_len)),
                        server->database, hash64_of(bytes_of_text(stream))};

    return hash64_of(bytes_of(parts, sizeof(parts)));
}

static int
bus_init(struct cache_bus *bus, const struct cache_bus_options *options, struct err *err)
{
    uint8_t random[BUS_ORIGIN_BYTES / 2];

    int rc = redis_server_init(&bus->server, &options->server, err);
    if (rc != 0) {
        return rc;
    }
    for (unsigned i = 0; rc == 0 && i < CACHE_REDIS_LINES; i++) {
        rc = redis_line_init(&bus->lines[i], &bus->server, &options->loop, i);
    }
    bus->unsent = calloc(BUS_UNSENT_MAX, sizeof(*bus->unsent));
    if (rc != 0 || bus->unsent == NULL ||
        arena_init(&bus->arena, 2 * (size_t)CACHE_VALUE_MAX) != 0) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    rc = seal_random(random, sizeof(random));
    if (rc != 0) {
        return err_set(err, rc, "random", "no random bytes");
    }
    hex_encode(bytes_of(random, sizeof(random)), bus->origin);
    memcpy(&bus->random, random, sizeof(bus->random));
    snprintf(bus->stream, sizeof(bus->stream), "%s~events", bus->server.prefix);
    bus->stream_id = stream_id(&bus->server, bus->stream);
    return 0;
}

int
cache_bus_new(const struct cache_bus_options *options, struct cache_bus **out_bus, struct err *err)
{
    struct cache_bus *bus = calloc(1, sizeof(*bus));

    if (bus == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    bus->loop = options->loop;
    bus->cache = options->cache;
    bus->marks = options->board->marks;
    bus->stats = options->stats;
    bus->forgiven_ms = options->forgiven_ms;
    memcpy(bus->redis_ttl_s, options->redis_ttl_s, sizeof(bus->redis_ttl_s));
    int rc = bus_init(bus, options, err);
    if (rc != 0) {
        cache_bus_free(&bus);
        return rc;
    }
    bus->clock = bus->clock_before = cache_stamp(bus->cache);
    if (cache_marks_are_known(bus->marks)) {
        /* The last one died: what it did is done. */
        bus->last = bus->done = redis_place_of_mark(cache_marks_last(bus->marks));
        bus->has_begun = bus->has_heard = true;
    } else {
        bus->done = redis_place_of_mark(cache_keeper_place(bus->cache, bus->stream_id));
        cache_marks_reset(bus->marks, UINT64_MAX, bus->clock);
    }
    if (atomic_load(&bus->marks->unpublished) != 0) {
        /* The last one died with news that nobody else knows. */
        cache_bus_add(bus, CACHE_NEWS_FLUSH, bytes_of(NULL, 0), 1);
    }
    cache_keeper_on_news(bus->cache, on_news, bus);
    bus_connect(bus);
    bus->loop.timer(bus->loop.arg, TICK_MS);
    *out_bus = bus;
    return 0;
}

void
cache_bus_free(struct cache_bus **bus)
{
    if (*bus == NULL) {
        return;
    }
    if ((*bus)->stream[0] != '\0') {
        cache_keeper_on_news((*bus)->cache, NULL, NULL);
        cache_marks_reset((*bus)->marks, UINT64_MAX, 0); /* the next one may have another stream */
        (*bus)->loop.timer((*bus)->loop.arg, 0);
    }
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        redis_line_down(&(*bus)->lines[i], AUGURY_ERR_STATE);
        redis_line_fini(&(*bus)->lines[i]);
    }
    arena_fini(&(*bus)->arena);
    free((*bus)->unsent);
    free(*bus);
    *bus = NULL;
}
