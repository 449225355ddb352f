/* SPDX-License-Identifier: MIT */
/*
 * cache_bus_priv.h - the supervisor's end of the stream, as its two files share it: cache_bus.c
 * tells, reads and does; cache_bus_check.c knows after each connection what may have been missed.
 */
#pragma once

#include "cache_priv.h"
#include "redis_event.h"
#include "redis_line.h"
#include "redis_marks.h"

enum { LINE_HEAR, LINE_TELL };

enum {
    BUS_STREAM_EVENTS = 16384, /* kept there, about */
    BUS_UNSENT_MAX = 4096,     /* invalidations of this machine, until they are read back */
    BUS_ORIGIN_BYTES = 16,
};

enum bus_state {
    BUS_DOWN,
    BUS_CONNECTING,
    BUS_CHECKING, /* what may have been missed */
    BUS_CATCHING, /* up with what is in the stream */
    BUS_LISTENING,
};

/* An invalidation of this machine on its way. */
struct unsent {
    uint64_t number;
    uint64_t stamp; /* not after its own */
    enum cache_news_kind kind;
    bool is_told;          /* since this connection was made */
    uint64_t confirmed_ms; /* when it was read back */
    size_t len;
    uint8_t text[CACHE_KEY_TEXT_MAX];
};

struct cache_bus {
    struct redis_server server;
    struct redis_line lines[CACHE_REDIS_LINES];
    struct cache_redis_loop loop;
    struct cache *cache;
    struct cache_marks *marks;
    struct stats_slot *stats;
    uint32_t redis_ttl_s[CACHE_CLASS_COUNT];
    enum bus_state state;
    uint64_t retry_ms;
    uint32_t backoff_ms;
    uint64_t random;
    char origin[BUS_ORIGIN_BYTES]; /* hex; tells our own events from those of others */
    char stream[80];               /* its key */
    bool has_begun;                /* last is known, if only as "none" */
    bool has_heard;                /* of anything but beginnings */
    unsigned begins;               /* told on this connection */
    bool is_lost;                  /* the stream is, and nothing is invalidated yet */
    bool has_gap;                  /* all was invalidated, and nobody has been told yet */
    struct redis_place last;       /* the last event done here; 0-0: none */
    /* Up to it all is done in the environments that this process found; 0-0: not known. */
    struct redis_place done;
    uint64_t stream_id; /* of server, database and prefix: places of another stream say nothing */
    struct arena arena; /* for values that are sent again */
    /* The news being made by an event of elsewhere: not ours to tell. */
    bool is_applying;
    enum cache_news_kind applying_kind;
    struct bytes applying_text;
    uint64_t clock, clock_before; /* of the last news, and before the commit that made it */
    struct unsent *unsent;        /* ring of BUS_UNSENT_MAX */
    size_t first, count;
    size_t confirmed; /* before the first, still there to be told again */
    uint32_t forgiven_ms;
    uint64_t heard_ms; /* when the stream answered last; 0: never */
    uint64_t numbers;  /* drawn so far */
};

/* ---- cache_bus.c ---------------------------------------------------------------------------- */

/* A reply that cannot be: from within a callback, where a line is not taken down. */
void cache_bus_break(struct cache_bus *bus);
uint64_t cache_bus_deadline(const struct cache_bus *bus, uint32_t wait_ms);
/* Whatever was invalidated here up to now and is not on the list is in the stream. */
void cache_bus_clean(struct cache_bus *bus);
struct unsent *cache_bus_unsent(struct cache_bus *bus, size_t i);
void cache_bus_add(struct cache_bus *bus, enum cache_news_kind kind, struct bytes text,
                   uint64_t stamp);
/* All classes, without telling others. */
int cache_bus_invalidate_all(struct cache_bus *bus);
/* Reads on from bus->last. */
void cache_bus_read(struct cache_bus *bus);
void cache_bus_put_place(struct redis_line *line, struct redis_place place);

/* ---- cache_bus_check.c ---------------------------------------------------------------------- */

/* Both lines are ready. Ends in cache_bus_read() with BUS_CATCHING, or breaks. */
void cache_bus_check(struct cache_bus *bus);
