/* SPDX-License-Identifier: MIT */
/*
 * api_elsewhere.c - what memory lacks and Redis may have. The call is put off, Redis is asked, and
 * the call's handler is called once more with what was found: so a handler is written once, and
 * asks at most once.
 * Invariants: (1) nobody waits longer than Redis' time for a command, a batch: a call goes on
 * without what did not come; (2) a call that cannot be put off goes on at once; (3) an owner of a
 * flight stays it meanwhile, and ends it in every case.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

enum { FOUND_BYTES_MAX = 64 << 20 }; /* of one call; what is beyond it is not found */

struct api_elsewhere {
    struct api *api;
    struct api_later *later;
    api_handler_fn *handler;
    enum api_form body_form;
    struct api_flight flight;
    enum cache_class class;
    struct bytes body;
    size_t count, asked; /* asked: told of, so far */
    size_t found_bytes;
    struct bytes *keys;
    struct cache_hit *hits; /* values are copies; no data: not found */
    uint8_t text[];         /* body, keys */
};

/* ---- one call's question --------------------------------------------------------------------- */

static void
elsewhere_free(struct api_elsewhere *elsewhere)
{
    for (size_t i = 0; elsewhere->hits != NULL && i < elsewhere->count; i++) {
        free((void *)(uintptr_t)elsewhere->hits[i].value.data);
    }
    api_later_free(&elsewhere->later);
    free(elsewhere->hits);
    free(elsewhere->keys);
    free(elsewhere);
}

static struct bytes
text_take(uint8_t **at, struct bytes text)
{
    struct bytes copy = bytes_of(*at, text.len);

    if (text.len > 0) {
        memcpy(*at, text.data, text.len);
    }
    *at += text.len;
    return copy;
}

static struct api_elsewhere *
elsewhere_new(struct api_call *call, enum cache_class class, const struct bytes *keys, size_t count)
{
    struct api_elsewhere *elsewhere;
    size_t bytes = call->body.len;

    for (size_t i = 0; i < count; i++) {
        bytes += keys[i].len;
    }
    elsewhere = malloc(sizeof(*elsewhere) + bytes);
    if (elsewhere == NULL) {
        return NULL;
    }
    *elsewhere = (struct api_elsewhere){
        .api = call->api,
        .handler = call->handler,
        .body_form = call->body_form,
        .class = class,
        .count = count,
        .keys = calloc(count, sizeof(*elsewhere->keys)),
        .hits = calloc(count, sizeof(*elsewhere->hits)),
    };
    if (elsewhere->keys == NULL || elsewhere->hits == NULL) {
        elsewhere_free(elsewhere);
        return NULL;
    }
    uint8_t *at = elsewhere->text;
    elsewhere->body = text_take(&at, call->body);
    for (size_t i = 0; i < count; i++) {
        elsewhere->keys[i] = text_take(&at, keys[i]);
    }
    return elsewhere;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void
answer(struct api_elsewhere *elsewhere)
{
    struct api *api = elsewhere->api;
    struct api_call *call =
        elsewhere->later == NULL ? NULL : api_later_begin(api, elsewhere->later);

    if (call == NULL) {
        /* Nobody waits any more; but perhaps for the same somewhere else. */
        if (elsewhere->flight.is_owner) {
            cache_flight_publish(api->options.cache, &elsewhere->flight.lease, AUGURY_NOT_FOUND,
                                 bytes_of(NULL, 0));
        }
        return;
    }
    call->flight = elsewhere->flight;
    call->flight.is_late = true;
    call->body = elsewhere->body;
    api_call_body_form(call, elsewhere->body_form);
    call->handler = elsewhere->handler;
    api->elsewhere = elsewhere;
    api->is_handling = true;
    unsigned status = elsewhere->handler(call);
    api->is_handling = false;
    api->elsewhere = NULL;
    api_flight_end(call, NULL, true); /* answered from the cache: whoever waits finds it there */
    AUGURY_ASSERT(status != API_LATER);
    api_later_end(api, &elsewhere->later, status);
    api_turn_end(api);
    api_arena_trim(api);
}

static void
keep(struct api_elsewhere *elsewhere, size_t at, const struct cache_hit *hit)
{
    uint8_t *copy;

    if (hit->value.len > FOUND_BYTES_MAX - elsewhere->found_bytes) {
        return;
    }
    copy = malloc(hit->value.len + 1);
    if (copy != NULL) {
        memcpy(copy, hit->value.data, hit->value.len);
        elsewhere->hits[at] = *hit;
        elsewhere->hits[at].value = bytes_of(copy, hit->value.len);
        elsewhere->found_bytes += hit->value.len;
    }
}

static bool ask_some(struct api_elsewhere *elsewhere);

static void
on_found(void *arg, const struct cache_redis_found *found, size_t count)
{
    struct api_elsewhere *elsewhere = arg;

    for (size_t i = 0; i < count; i++) {
        if (found[i].rc == 0) {
            keep(elsewhere, elsewhere->asked + i, &found[i].hit);
        }
    }
    elsewhere->asked += count;
    if (elsewhere->asked < elsewhere->count && found[0].rc >= 0 && ask_some(elsewhere)) {
        return;
    }
    answer(elsewhere);
    elsewhere_free(elsewhere);
}

static bool
ask_some(struct api_elsewhere *elsewhere)
{
    size_t left = elsewhere->count - elsewhere->asked;

    return cache_redis_get(
               elsewhere->api->options.redis, elsewhere->class, elsewhere->keys + elsewhere->asked,
               left < CACHE_REDIS_KEYS_MAX ? left : CACHE_REDIS_KEYS_MAX, on_found, elsewhere) == 0;
}

/* ---- for handlers ---------------------------------------------------------------------------- */

bool
api_elsewhere_may_ask(const struct api *api, enum cache_class class)
{
    return api->elsewhere == NULL && cache_redis_is_up(api->options.redis, class);
}

bool
api_elsewhere_ask(struct api_call *call, enum cache_class class, const struct bytes *keys,
                  size_t count)
{
    if (!api_elsewhere_may_ask(call->api, class) || call->handler == NULL || count == 0 ||
        call->flight.is_late) {
        return false;
    }
    struct api_elsewhere *elsewhere = elsewhere_new(call, class, keys, count);
    if (elsewhere == NULL) {
        return false;
    }
    if (!ask_some(elsewhere)) {
        elsewhere_free(elsewhere);
        return false;
    }
    elsewhere->later = api_call_later(call); /* without it, what comes is thrown away */
    if (elsewhere->later != NULL) {
        elsewhere->flight = call->flight;
        call->flight.is_owner = false;
    }
    return elsewhere->later != NULL;
}

size_t
api_elsewhere_list(const struct api *api, struct bytes *out_keys, struct cache_hit *out_hits,
                   size_t max)
{
    const struct api_elsewhere *elsewhere = api->elsewhere;
    size_t count = elsewhere == NULL ? 0 : elsewhere->count < max ? elsewhere->count : max;

    for (size_t i = 0; i < count; i++) {
        out_keys[i] = elsewhere->keys[i];
        out_hits[i] = elsewhere->hits[i];
    }
    return count;
}

int
api_elsewhere_find(const struct api *api, struct bytes key, struct cache_hit *out_hit)
{
    const struct api_elsewhere *elsewhere = api->elsewhere;

    for (size_t i = 0; elsewhere != NULL && i < elsewhere->count; i++) {
        if (elsewhere->hits[i].value.data != NULL && bytes_equal(elsewhere->keys[i], key)) {
            *out_hit = elsewhere->hits[i];
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}
