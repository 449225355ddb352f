/* SPDX-License-Identifier: MIT */
/*
 * redis_event.c - events of the stream, decoded: anybody may have written them. What is well formed
 * but unknown keeps its place, so that later versions may say more.
 */
#include "redis_event.h"

#include <string.h>

static const char *const kinds[] = {
    [CACHE_NEWS_KEY] = "key", [CACHE_NEWS_TAG] = "tag",     [CACHE_NEWS_CLASS] = "class",
    [CACHE_NEWS_BAN] = "ban", [CACHE_NEWS_FLUSH] = "flush",
};

const char *
redis_event_kind(enum cache_news_kind kind)
{
    AUGURY_ASSERT((size_t)kind < AUGURY_COUNT(kinds));
    return kinds[kind];
}

static bool
place_decode(struct bytes text, struct redis_place *out_place)
{
    const uint8_t *dash = text.len == 0 ? NULL : memchr(text.data, '-', text.len);
    size_t len = dash == NULL ? 0 : (size_t)(dash - text.data);

    /* 47 bits of milliseconds last beyond the year 6000. */
    return dash != NULL &&
           bytes_to_u64(bytes_of(text.data, len), (UINT64_C(1) << 47) - 1, &out_place->ms) == 0 &&
           bytes_to_u64(bytes_of(dash + 1, text.len - len - 1), UINT64_MAX, &out_place->number) ==
               0;
}

bool
redis_place_is_after(struct redis_place a, struct redis_place b)
{
    return a.ms > b.ms || (a.ms == b.ms && a.number > b.number);
}

uint64_t
redis_place_mark(struct redis_place place)
{
    return place.ms << 16 | (place.number > UINT16_MAX ? UINT16_MAX : place.number);
}

struct redis_place
redis_place_of_mark(uint64_t mark)
{
    return (struct redis_place){.ms = mark >> 16, .number = mark & UINT16_MAX};
}

static struct bytes
bytes_of_reply(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? bytes_of(reply->str, reply->len) : bytes_of(NULL, 0);
}

static void
field_decode(struct redis_event *event, struct bytes name, struct bytes value, unsigned *found)
{
    if (bytes_equal_text(name, "origin")) {
        event->origin = value;
    } else if (bytes_equal_text(name, "number")) {
        *found |= bytes_to_u64(value, UINT64_MAX, &event->number) == 0 ? 1u : 0u;
    } else if (bytes_equal_text(name, "text")) {
        event->text = value;
        *found |= value.len <= CACHE_KEY_TEXT_MAX ? 2u : 0u;
    } else if (bytes_equal_text(name, "kind")) {
        for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
            if (bytes_equal_text(value, kinds[i])) {
                event->kind = (enum cache_news_kind)i;
                *found |= 4u;
            }
        }
    }
}

int
redis_event_decode(const redisReply *reply, struct redis_event *out_event)
{
    unsigned found = 0;

    *out_event = (struct redis_event){0};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY ||
        !place_decode(bytes_of_reply(reply->element[0]), &out_event->place)) {
        return AUGURY_ERR_CORRUPT;
    }
    const redisReply *fields = reply->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        field_decode(out_event, bytes_of_reply(fields->element[i]),
                     bytes_of_reply(fields->element[i + 1]), &found);
    }
    return found == 7u ? 0 : AUGURY_NOT_FOUND;
}
