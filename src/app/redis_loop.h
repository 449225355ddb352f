/* SPDX-License-Identifier: MIT */
/*
 * redis_loop.h - the event loop that a client of Redis or the bus asks for, made of net's watches.
 * Private to app. Process: worker, supervisor.
 */
#pragma once

#include "augury/cache_redis.h"
#include "augury/conf.h"
#include "augury/net.h"

/* The owner's storage, zeroed. object: a cache_redis or a cache_bus, set once it is made; until
 * then nothing is told. */
struct redis_loop {
    struct net_loop *loop;
    void (*ready)(void *object, unsigned line, unsigned what);
    void (*tick)(void *object);
    void *object;
    struct net_timer *timer;
    struct redis_watch {
        struct redis_loop *owner;
        unsigned line;
        struct net_watch *watch;
    } watches[CACHE_REDIS_LINES];
};

/* What cache_redis_options and cache_bus_options want as .loop. */
struct cache_redis_loop redis_loop_of(struct redis_loop *loop);
/* After the object's end. */
void redis_loop_fini(struct redis_loop *loop);
/* The section redis of a configuration. */
struct cache_redis_server redis_server_of(const struct conf *conf);
