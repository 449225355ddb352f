/* SPDX-License-Identifier: MIT */
/*
 * cache_redis.h - the tier that joins machines: entries in Redis (or Valkey), and the stream by
 * which invalidations reach every machine.
 * Room: cache (floor 2). Library: hiredis, its reader alone. Process: workers have a client
 * (cache_redis), the supervisor has the bus (cache_bus); made after fork.
 * Neither knows an event loop: each tells its owner which descriptors it waits for and how often it
 * wants to be called. Neither waits, blocks or logs. A server that is slow, gone or talks nonsense
 * costs hits and moves counters; nothing else depends on it, and when it is back it is used again.
 */
#pragma once

#include "augury/cache.h"

/* ---- what the owner of a loop provides ----------------------------------------------------- */

enum cache_redis_what { CACHE_REDIS_READ = 1 << 0, CACHE_REDIS_WRITE = 1 << 1 };
enum { CACHE_REDIS_LINES = 2 }; /* connections of one client or bus */

struct cache_redis_loop {
    void *arg;
    /* What line waits for from now on, instead of what it waited for; 0: nothing more on fd, which
     * is closed next. */
    void (*watch)(void *arg, unsigned line, int fd, unsigned what);
    /* Call the tick every so many ms from now on; 0: no more. */
    void (*timer)(void *arg, uint32_t every_ms);
};

/* ---- the server ---------------------------------------------------------------------------- */

struct cache_redis_server {
    const char *address; /* "127.0.0.1:6379", "[::1]:6379", "unix:/run/redis/redis.sock"; a name is
                            looked up once, here */
    const char *user;    /* empty: the default user */
    const char *password_file; /* first line; empty: no password */
    uint32_t database;
    const char *prefix;          /* of every key */
    uint32_t timeout_ms;         /* of a command */
    uint32_t connect_timeout_ms; /* of a connection */
    uint64_t queue_bytes;        /* waiting to be sent; more is dropped */
};

/* ---- the client: lookups and puts, worker -------------------------------------------------- */

struct cache_redis;
struct cache_redis_options {
    struct cache_redis_server server;
    struct cache_redis_loop loop;
    struct cache *cache; /* hits are put into it; or NULL */
    struct cache_board *board;
    struct stats_slot *stats;                 /* or NULL */
    uint32_t memory_ttl_s[CACHE_CLASS_COUNT]; /* of a hit that is put into the cache */
    uint32_t redis_ttl_s[CACHE_CLASS_COUNT];  /* 0: the class is not kept in Redis */
};
/* Begins to connect. AUGURY_ERR_INVALID: the address or the password's file cannot be used. */
AUGURY_MUST_USE int cache_redis_new(const struct cache_redis_options *options,
                                    struct cache_redis **out_redis, struct err *err);
/* Lookups under way end with AUGURY_ERR_STATE. Not from within a cache_redis_fn. */
void cache_redis_free(struct cache_redis **redis);

/* From the loop. what: enum cache_redis_what. */
void cache_redis_ready(struct cache_redis *redis, unsigned line, unsigned what);
void cache_redis_tick(struct cache_redis *redis);

/* Whether a lookup of that class would be sent now. */
bool cache_redis_is_up(const struct cache_redis *redis, enum cache_class class);

/* rc 0: hit, borrowed during the call, and already on its way into memory; AUGURY_NOT_FOUND;
 * < 0: no answer in time. */
struct cache_redis_found {
    int rc;
    struct cache_hit hit;
};
typedef void cache_redis_fn(void *arg, const struct cache_redis_found *found, size_t count);

enum { CACHE_REDIS_KEYS_MAX = 64 };
/* Asks for up to CACHE_REDIS_KEYS_MAX keys of a class at once. 0: fn is called exactly once, later,
 * with as many results in the same order. AUGURY_NOT_FOUND: the tier cannot be asked now, fn is not
 * called. */
AUGURY_MUST_USE int cache_redis_get(struct cache_redis *redis, enum cache_class class,
                                    const struct bytes *keys, size_t count, cache_redis_fn *fn,
                                    void *arg);
/* Sends an entry, pipelined, for as long as the class lives there but not past until_wall_ms (0:
 * no such bound). Nobody waits for it; what does not fit the queue is dropped and counted. */
void cache_redis_put(struct cache_redis *redis, const struct cache_item *item,
                     uint64_t until_wall_ms);
/* Round trip of a lookup in µs, smoothed; 0: not known yet. */
uint32_t cache_redis_round_trip_us(const struct cache_redis *redis);

/* ---- the bus: invalidations of all machines, supervisor ------------------------------------ */

/* One stream in Redis takes the invalidations of every machine in one order. What is invalidated
 * here goes there (also later, when Redis was away), what comes from there is done here. When some
 * may have been missed, all is invalidated and counted. */
struct cache_bus;
struct cache_bus_options {
    struct cache_redis_server server;
    struct cache_redis_loop loop;
    struct cache *cache; /* the keeper's; the bus listens to its news */
    struct cache_board *board;
    struct stats_slot *stats;                /* or NULL */
    uint32_t redis_ttl_s[CACHE_CLASS_COUNT]; /* of objects that were put here */
    /* Away no longer than that, and the server has lost the stream meanwhile: nothing was missed
     * but what all machines tell once more. */
    uint32_t forgiven_ms;
};
/* Begins to connect. AUGURY_ERR_INVALID: the address or the password's file cannot be used. */
AUGURY_MUST_USE int cache_bus_new(const struct cache_bus_options *options,
                                  struct cache_bus **out_bus, struct err *err);
void cache_bus_free(struct cache_bus **bus);
void cache_bus_ready(struct cache_bus *bus, unsigned line, unsigned what);
void cache_bus_tick(struct cache_bus *bus);
/* Once after each time that some may have been missed and everything was invalidated. */
bool cache_bus_had_gap(struct cache_bus *bus);
/* Whether invalidations of other machines arrive now. */
bool cache_bus_is_up(const struct cache_bus *bus);
const char *cache_bus_why(const struct cache_bus *bus); /* it is not, as far as is known */
