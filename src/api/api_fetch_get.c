/* SPDX-License-Identifier: MIT */
/*
 * api_fetch_get.c - GET of an object that can be fetched: answered from the cache while it is
 * fresh, or past its time while it is read anew; else when its fetch has ended. One fetch of a name
 * at a time; whoever asks meanwhile waits for it.
 */
#include "api_fetch.h"

#include <stdlib.h>

/* How what the cache has stands to what is asked. */
enum standing {
    STANDS_FRESH,
    STANDS_EARLY,  /* fresh, but it is time to begin with the next one */
    STANDS_STALE,  /* answers while the next one is made */
    STANDS_ABSENT, /* it is known that there is none */
    STANDS_OLD,    /* is there, and does not answer */
    STANDS_NOT,
};

static enum standing
standing_of(struct api_call *call, const struct conf_object *section, struct object_found *found)
{
    struct object_query query = {.name = call->parameter, .now_wall_ms = call->now_wall_ms};
    uint64_t now = call->now_wall_ms;

    if (object_find(call->api, &query, found) != 0) {
        query.which = OBJECT_KEY_ABSENCE;
        bool is_asked_anew = call->wish.is_no_cache || call->wish.is_no_store;
        return !is_asked_anew && object_find(call->api, &query, found) == 0 ? STANDS_ABSENT
                                                                            : STANDS_NOT;
    }
    if (call->wish.is_no_cache || call->wish.is_no_store ||
        (call->wish.max_age_s != UINT32_MAX &&
         now > found->created_wall_ms + (uint64_t)call->wish.max_age_s * 1000)) {
        return STANDS_OLD;
    }
    if (found->x_cache == API_CACHE_STALE) {
        uint64_t until =
            found->expires_wall_ms + (uint64_t)section->stale_while_revalidate_s * 1000;
        return now < until ? STANDS_STALE : STANDS_OLD;
    }
    struct api_early early = {
        .now_wall_ms = now, .expires_wall_ms = found->expires_wall_ms, .cost_us = found->cost_us};
    return api_is_early(&early, &call->api->fetches->random) ? STANDS_EARLY : STANDS_FRESH;
}

/* In the background, unless it is under way. */
static void
refresh(struct api_call *call, const struct object_found *found, enum stats_id id)
{
    if (fetch_find(call->api->fetches, call->parameter) == NULL) {
        struct api_fetch *fetch = fetch_new(call, found);
        if (fetch != NULL) {
            stats_add(call->api->options.slot, id, 1);
            fetch_start(fetch);
        }
    }
}

/* A fetch of that name whose outcome answers this request too. */
static struct api_fetch *
fetch_to_join(struct api_call *call)
{
    struct api_fetch *fetch = fetch_find(call->api->fetches, call->parameter);

    /* What was begun before an invalidation may have read what it was about. */
    if (fetch == NULL || call->wish.is_no_store || fetch_is_outdated(fetch) ||
        (fetch->is_concluded && call->wish.is_no_cache)) {
        return NULL;
    }
    return fetch;
}

static bool
waiter_add(struct api_call *call, struct api_fetch *fetch, bool is_first)
{
    struct fetch_waiter *waiter = calloc(1, sizeof(*waiter));

    if (waiter == NULL || (waiter->later = api_call_later(call)) == NULL) {
        free(waiter);
        return false;
    }
    waiter->is_first = is_first;
    waiter->next = fetch->waiters;
    fetch->waiters = waiter;
    return true;
}

static unsigned
wait_for_fetch(struct api_call *call, const struct object_found *found)
{
    struct api_fetch *fetch = fetch_to_join(call);
    bool is_first = fetch == NULL;

    if (!is_first) {
        stats_add(call->api->options.slot, STATS_OBJECT_COALESCED, 1);
        if (fetch->is_concluded) {
            return fetch_answer(call, fetch, API_CACHE_COALESCED);
        }
    } else {
        fetch = fetch_new(call, found);
    }
    if (fetch == NULL || !waiter_add(call, fetch, is_first)) {
        if (is_first && fetch != NULL) {
            fetch_free(fetch);
        }
        return api_refuse_as(call, 503, "busy", "too many objects are being fetched");
    }
    if (is_first) {
        fetch_start(fetch);
    }
    return API_LATER;
}

unsigned
object_get_or_fetch(struct api_call *call)
{
    const struct conf_object *section = object_fetcher(call->api, call->parameter);
    struct object_found found;
    struct api_freshness absence = {.x_cache = API_CACHE_HIT};
    enum standing standing = standing_of(call, section, &found);

    switch (standing) {
    case STANDS_EARLY: refresh(call, &found, STATS_OBJECT_REFRESH_EARLY); break;
    case STANDS_STALE: refresh(call, &found, STATS_OBJECT_REFRESH_STALE); break;
    case STANDS_ABSENT:
        absence.created_wall_ms = found.created_wall_ms;
        absence.expires_wall_ms = found.expires_wall_ms;
        return object_answer_missing(call, &absence);
    case STANDS_OLD:
    case STANDS_NOT:
        if (call->wish.is_only_if_cached) {
            return object_refuse_uncached(call);
        }
        return wait_for_fetch(call, standing == STANDS_OLD ? &found : NULL);
    case STANDS_FRESH: break;
    }
    return object_answer(call, &found);
}
