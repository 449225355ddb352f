/* SPDX-License-Identifier: MIT */
/* redis_loop.c - watches and a timer of net for connections that know no event loop. */
#include "redis_loop.h"

static void
on_line(void *arg, int fd, enum net_watch_what what)
{
    struct redis_watch *watch = arg;
    struct redis_loop *loop = watch->owner;
    unsigned ready = 0;

    (void)fd;
    ready |= (what & NET_WATCH_READ) != 0 ? CACHE_REDIS_READ : 0u;
    ready |= (what & NET_WATCH_WRITE) != 0 ? CACHE_REDIS_WRITE : 0u;
    if (loop->object != NULL) {
        loop->ready(loop->object, watch->line, ready);
    }
}

/* Without a watch, the line's time runs out: the connection is tried again later. */
static void
watch_line(void *arg, unsigned line, int fd, unsigned what)
{
    struct redis_loop *loop = arg;
    struct redis_watch *watch = &loop->watches[line];
    unsigned wanted = 0;

    net_watch_free(&watch->watch);
    if (what == 0) {
        return;
    }
    wanted |= (what & CACHE_REDIS_READ) != 0 ? NET_WATCH_READ : 0u;
    wanted |= (what & CACHE_REDIS_WRITE) != 0 ? NET_WATCH_WRITE : 0u;
    *watch = (struct redis_watch){.owner = loop, .line = line};
    int rc =
        net_watch_new(loop->loop, fd, (enum net_watch_what)wanted, on_line, watch, &watch->watch);
    (void)rc;
}

static void
on_tick(void *arg)
{
    struct redis_loop *loop = arg;

    if (loop->object != NULL) {
        loop->tick(loop->object);
    }
}

static void
set_timer(void *arg, uint32_t every_ms)
{
    struct redis_loop *loop = arg;

    net_timer_free(&loop->timer);
    if (every_ms != 0) {
        int rc = net_timer_new(loop->loop, every_ms, on_tick, loop, &loop->timer);
        (void)rc; /* out of memory: Redis is no longer asked, and nothing else happens */
    }
}

struct cache_redis_loop
redis_loop_of(struct redis_loop *loop)
{
    return (struct cache_redis_loop){.arg = loop, .watch = watch_line, .timer = set_timer};
}

void
redis_loop_fini(struct redis_loop *loop)
{
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        net_watch_free(&loop->watches[i].watch);
    }
    net_timer_free(&loop->timer);
    loop->object = NULL;
}

struct cache_redis_server
redis_server_of(const struct conf *conf)
{
    return (struct cache_redis_server){.address = conf->redis.address,
                                       .user = conf->redis.user,
                                       .password_file = conf->redis.password_file,
                                       .database = conf->redis.database,
                                       .prefix = conf->redis.prefix,
                                       .timeout_ms = conf->redis.timeout_ms,
                                       .connect_timeout_ms = conf->redis.connect_timeout_ms,
                                       .queue_bytes = conf->redis.queue_bytes};
}
