/* SPDX-License-Identifier: MIT */
/*
 * redis_line.h - one connection to Redis: connects, greets, sends commands as they come, pairs
 * replies with calls in order, and gives up calls whose time is over. Private to cache.
 * Ownership: the owner's storage; it lives as long as the owner.
 */
#pragma once

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "augury/cache_redis.h"

enum {
    REDIS_CALLS_MAX = 8192,       /* waiting for their replies on one line */
    REDIS_ARRAY_MAX = 1024,       /* elements of one array of a reply */
    REDIS_REPLY_MAX = 80 << 20,   /* bytes of one reply, its strings and arrays together */
    REDIS_BACKOFF_FIRST_MS = 100, /* until the first new try */
    REDIS_BACKOFF_MAX_MS = 5000,
    REDIS_WHY_BYTES = 120,
};

/* Where the server is and how it is greeted: cache_redis_server, looked up and copied. */
struct redis_server {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un unix_path;
    } address;
    socklen_t address_len;
    char user[64];
    char password[256];
    char prefix[64];
    uint32_t database;
    uint32_t timeout_ms, connect_timeout_ms;
    size_t queue_bytes;
};
AUGURY_MUST_USE int redis_server_init(struct redis_server *server,
                                      const struct cache_redis_server *options, struct err *err);

/* reply: borrowed, NULL when rc says why there is none (AUGURY_ERR_TIMEOUT, AUGURY_ERR_IO,
 * AUGURY_ERR_STATE). An error reply comes as such, with rc 0. */
typedef void redis_reply_fn(void *arg, const redisReply *reply, int rc);

struct redis_call {
    redis_reply_fn *fn;
    void *arg;
    uint64_t deadline_ms;
};

enum redis_line_state {
    REDIS_LINE_DOWN,
    REDIS_LINE_CONNECTING,
    REDIS_LINE_GREETING,
    REDIS_LINE_READY,
};

struct redis_line {
    const struct redis_server *server;
    struct cache_redis_loop loop;
    unsigned index;
    enum redis_line_state state;
    int fd;
    unsigned watched;
    bool is_broken;       /* found while sending: taken down at the next event or tick */
    uint64_t deadline_ms; /* of connecting */
    struct buf out;
    size_t sent;              /* of out */
    struct redis_call *calls; /* ring of REDIS_CALLS_MAX */
    unsigned first, count;
    unsigned expired; /* of them, from the first on: told already, the reply is thrown away */
    redisReader *reader;
    redisReplyObjectFunctions functions; /* the library's, with bounds */
    redisReplyObjectFunctions library;
    size_t reply_bytes; /* of the reply being read */
    /* Why it is not ready, of the last connection that said so; empty: it has said nothing. */
    char why[REDIS_WHY_BYTES];
};

AUGURY_MUST_USE int redis_line_init(struct redis_line *line, const struct redis_server *server,
                                    const struct cache_redis_loop *loop, unsigned index);
void redis_line_fini(struct redis_line *line); /* down first */

/* From down. < 0: refused at once, and still down. */
AUGURY_MUST_USE int redis_line_connect(struct redis_line *line, uint64_t now_ms);
/* Closes; every call waiting is told rc. */
void redis_line_down(struct redis_line *line, int rc);
/* < 0: lost; the owner takes it down. */
AUGURY_MUST_USE int redis_line_ready(struct redis_line *line, unsigned what, uint64_t now_ms);
/* Tells calls whose time is over; *out_timeouts: how many. < 0: lost, or not connected in time. */
AUGURY_MUST_USE int redis_line_tick(struct redis_line *line, uint64_t now_ms,
                                    unsigned *out_timeouts);
/* Waiting for a reply or for being sent. */
bool redis_line_is_idle(const struct redis_line *line);

/* A command in three steps: room for `bytes` of arguments, the arguments, the call. */
bool redis_line_has_room(const struct redis_line *line, size_t bytes);
void redis_line_put_count(struct redis_line *line, size_t arguments);
void redis_line_put_bytes(struct redis_line *line, struct bytes argument);
void redis_line_put_text(struct redis_line *line, const char *argument);
void redis_line_put_number(struct redis_line *line, uint64_t argument);
/* One argument of several pieces. */
void redis_line_put_pieces(struct redis_line *line, const struct bytes *pieces, size_t count);
void redis_line_call(struct redis_line *line, uint64_t deadline_ms, redis_reply_fn *fn, void *arg);
void redis_line_flush(struct redis_line *line);

/* Waiting time until the next try: doubled up to REDIS_BACKOFF_MAX_MS, half of it by chance, so
 * that many processes do not come back at once. */
uint32_t redis_backoff_next(uint32_t *backoff_ms, uint64_t *random);
