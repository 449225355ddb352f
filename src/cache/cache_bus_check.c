/* SPDX-License-Identifier: MIT */
/*
 * cache_bus_check.c - after each connection: what may this machine have missed, and what may lie in
 * Redis that others had invalidated?
 * A bus that has done events asks whether the last one is still in the stream. Then what follows it
 * is all that was missed. Else the server has lost the stream: after a short time away each machine
 * tells once more what it told last; after a longer one everything is invalidated.
 * A bus that begins asks for the first event. What was marked before it is dead: events between may
 * be gone, with the stream that had them. So a stream begins with an event that says nothing else.
 * The environment knows up to which event all is done; if that one is still there, only what
 * follows it is done, and what comes before is read for its marks alone.
 */
#include "cache_bus_priv.h"

enum { BEGINS_MAX = 3 /* tries to begin a stream that is gone when it is looked for */ };

static void first_ask(struct cache_bus *bus);
static void gap_close(struct cache_bus *bus);

static struct redis_line *
line_of(struct cache_bus *bus)
{
    return &bus->lines[LINE_HEAR];
}

static void
call(struct cache_bus *bus, redis_reply_fn *fn)
{
    redis_line_call(line_of(bus), cache_bus_deadline(bus, 0), fn, bus);
    redis_line_flush(line_of(bus));
}

static void
read_on(struct cache_bus *bus)
{
    bus->state = BUS_CATCHING;
    cache_bus_read(bus);
}

/* XRANGE of one event: that one, or the first of all. */
static void
range_ask(struct cache_bus *bus, const struct redis_place *place, redis_reply_fn *fn)
{
    struct redis_line *line = line_of(bus);

    redis_line_put_count(line, 6);
    redis_line_put_text(line, "XRANGE");
    redis_line_put_text(line, bus->stream);
    if (place != NULL) {
        cache_bus_put_place(line, *place);
        cache_bus_put_place(line, *place);
    } else {
        redis_line_put_text(line, "-");
        redis_line_put_text(line, "+");
    }
    redis_line_put_text(line, "COUNT");
    redis_line_put_number(line, 1);
    call(bus, fn);
}

/* ---- a stream that is not there -------------------------------------------------------------- */

static void
on_begun(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;

    if (rc != 0 || reply->type != REDIS_REPLY_STRING) {
        cache_bus_break(bus);
    } else {
        first_ask(bus);
    }
}

/* Whatever is marked from now on comes after it, in Redis's own time. */
static void
stream_begin(struct cache_bus *bus)
{
    struct redis_line *line = line_of(bus);

    if (bus->begins++ == BEGINS_MAX) {
        cache_bus_break(bus);
        return;
    }
    redis_line_put_count(line, 7);
    redis_line_put_text(line, "XADD");
    redis_line_put_text(line, bus->stream);
    redis_line_put_text(line, "*");
    redis_line_put_text(line, "origin");
    redis_line_put_bytes(line, bytes_of(bus->origin, sizeof(bus->origin)));
    redis_line_put_text(line, "kind");
    redis_line_put_text(line, "begin");
    call(bus, on_begun);
}

/* ---- everything is invalidated --------------------------------------------------------------- */

/* The newest event; all before it, known or not, is taken care of by invalidating everything. */
static void
on_newest(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;
    struct redis_event event = {0};
    bool is_empty = rc == 0 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0;
    bool is_whole = rc == 0 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
                    redis_event_decode(reply->element[0], &event) >= 0;

    if (is_empty) {
        bus->is_lost = true;
        stream_begin(bus);
        return;
    }
    if (!is_whole || cache_bus_invalidate_all(bus) != 0) {
        cache_bus_break(bus);
        return;
    }
    stats_add(bus->stats, STATS_REDIS_GAPS, 1);
    bus->has_gap = true;
    bus->has_begun = true;
    bus->is_lost = false;
    bus->last = bus->done = event.place;
    cache_keeper_place_set(bus->cache,
                           &(struct cache_place){bus->stream_id, redis_place_mark(event.place)});
    cache_marks_reset(bus->marks, redis_place_mark(event.place), cache_stamp(bus->cache));
    cache_bus_clean(bus);
    read_on(bus);
}

static void
gap_close(struct cache_bus *bus)
{
    struct redis_line *line = line_of(bus);

    redis_line_put_count(line, 6);
    redis_line_put_text(line, "XREVRANGE");
    redis_line_put_text(line, bus->stream);
    redis_line_put_text(line, "+");
    redis_line_put_text(line, "-");
    redis_line_put_text(line, "COUNT");
    redis_line_put_number(line, 1);
    call(bus, on_newest);
}

/* ---- a bus that begins ----------------------------------------------------------------------- */

/* The last event that the environment knows, if it is still there. */
static void
on_done(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;

    if (rc != 0 || reply->type != REDIS_REPLY_ARRAY) {
        cache_bus_break(bus);
    } else if (reply->elements == 1) {
        read_on(bus);
    } else {
        gap_close(bus);
    }
}

/* How many events the stream has: all of them are news, unless it has lost some already. */
static void
on_length(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;

    if (rc != 0 || reply->type != REDIS_REPLY_INTEGER) {
        cache_bus_break(bus);
    } else if (reply->integer >= BUS_STREAM_EVENTS) {
        gap_close(bus);
    } else {
        read_on(bus);
    }
}

static void
length_ask(struct cache_bus *bus)
{
    struct redis_line *line = line_of(bus);

    redis_line_put_count(line, 2);
    redis_line_put_text(line, "XLEN");
    redis_line_put_text(line, bus->stream);
    call(bus, on_length);
}

static void
on_first(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;
    struct redis_event event = {0};

    if (rc != 0 || reply->type != REDIS_REPLY_ARRAY || reply->elements > 1 ||
        (reply->elements == 1 && redis_event_decode(reply->element[0], &event) < 0)) {
        cache_bus_break(bus);
        return;
    }
    if (reply->elements == 0) {
        stream_begin(bus);
        return;
    }
    if (bus->is_lost) {
        gap_close(bus);
        return;
    }
    if (!bus->has_begun) {
        cache_marks_reset(bus->marks, redis_place_mark(event.place), cache_stamp(bus->cache));
        cache_bus_clean(bus);
        bus->has_begun = true;
    }
    if (redis_place_is_none(bus->done)) {
        length_ask(bus);
    } else {
        range_ask(bus, &bus->done, on_done);
    }
}

static void
first_ask(struct cache_bus *bus)
{
    range_ask(bus, NULL, on_first);
}

/* ---- a bus that has done events -------------------------------------------------------------- */

/* The server has lost the stream. Whoever was away for a short time has missed at most what was
 * told just before, and all machines tell that again. */
static void
tell_again(struct cache_bus *bus, uint64_t away_ms)
{
    uint64_t since_ms = clock_mono_ms() - away_ms - bus->forgiven_ms;

    while (bus->confirmed > 0 &&
           bus->unsent[(bus->first + BUS_UNSENT_MAX - 1) % BUS_UNSENT_MAX].confirmed_ms >=
               since_ms) {
        bus->first = (bus->first + BUS_UNSENT_MAX - 1) % BUS_UNSENT_MAX;
        bus->confirmed--;
        bus->count++;
        cache_bus_unsent(bus, 0)->is_told = false;
    }
    if (bus->count == BUS_UNSENT_MAX) {
        /* And perhaps there were more. */
        cache_bus_add(bus, CACHE_NEWS_FLUSH, bytes_of(NULL, 0), 1);
    }
    bus->last = bus->done = (struct redis_place){0};
    cache_bus_clean(bus);
    read_on(bus);
}

/* The last event done here, if it is still there. */
static void
on_last(void *arg, const redisReply *reply, int rc)
{
    struct cache_bus *bus = arg;

    if (rc != 0 || reply->type != REDIS_REPLY_ARRAY) {
        cache_bus_break(bus);
        return;
    }
    if (reply->elements == 1) {
        read_on(bus);
        return;
    }
    uint64_t away_ms = clock_mono_ms() - bus->heard_ms;
    if (!bus->has_heard) {
        /* Nothing but beginnings: the stream begins once more. */
        bus->has_begun = false;
        bus->last = bus->done = (struct redis_place){0};
        first_ask(bus);
    } else if (bus->heard_ms != 0 && away_ms <= bus->forgiven_ms) {
        tell_again(bus, away_ms);
    } else {
        gap_close(bus);
    }
}

void
cache_bus_check(struct cache_bus *bus)
{
    bus->state = BUS_CHECKING;
    bus->begins = 0;
    bus->is_lost = false;
    if (redis_place_is_none(bus->last)) {
        first_ask(bus);
    } else {
        range_ask(bus, &bus->last, on_last);
    }
}
