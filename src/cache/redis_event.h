/* SPDX-License-Identifier: MIT */
/*
 * redis_event.h - events of the stream by which invalidations reach every machine, as they come
 * from Redis. Private to cache.
 */
#pragma once

#include <hiredis/hiredis.h>

#include "augury/cache.h"

/* "1700000000000-3": the stream's own name for an event's place. */
struct redis_place {
    uint64_t ms, number;
};
static inline bool
redis_place_is_none(struct redis_place place)
{
    return place.ms == 0 && place.number == 0;
}
bool redis_place_is_after(struct redis_place a, struct redis_place b);
/* In one number, as values carry it. */
uint64_t redis_place_mark(struct redis_place place);
struct redis_place redis_place_of_mark(uint64_t mark);

const char *redis_event_kind(enum cache_news_kind kind);

/* Borrowed from the reply. */
struct redis_event {
    struct redis_place place;
    struct bytes origin;
    uint64_t number;
    enum cache_news_kind kind;
    struct bytes text;
};
/* 0; AUGURY_NOT_FOUND: in its place, but nothing that this version understands;
 * AUGURY_ERR_CORRUPT: no event. */
AUGURY_MUST_USE int redis_event_decode(const redisReply *reply, struct redis_event *out_event);
