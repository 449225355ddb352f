/* SPDX-License-Identifier: MIT */
/*
 * api_flight.c - costly answers that several workers are asked for at once: one makes it, the
 * others' calls are parked until its eventfd says that it is there. The key is that of the rendered
 * answer, so whoever waits would have made the same bytes. Within a worker nothing is parked for
 * its own work: it answers one request at a time.
 * Invariants: (1) a parked call ends: by a value, by the cache, or by making its answer itself at
 * the latest at its give-up time; (2) its answer, when it makes it itself, comes from its handler,
 * called once more; (3) an owner always ends its lease (api_flight_end) before its call is over.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

enum {
    WORTH_US = 50, /* waking another process takes half of that */
    TICK_MS = 2,   /* for results that come through the cache, and for deadlines */
    LEASE_MIN_MS = 100,
    LEASE_MAX_MS = 5000,
    LEASE_COSTS = 4,                     /* an owner gets so many times the estimate */
    GIVE_UP_MS = 1000,                   /* after the lease */
    PARKED_BYTES_MAX = 16 * 1024 * 1024, /* of a worker: beyond it nobody waits */
    MAIL_HEADER = 32, /* created, expires, tag, u32 rows, u32 model; then the content */
};

struct api_parked {
    struct api_parked *next;
    struct api_later *later;
    unsigned (*handler)(struct api_call *call);
    enum api_form body_form;
    struct cache_lease lease;
    uint32_t lease_ms;
    uint64_t give_up_mono_ms;
    size_t bytes; /* of all of it */
    size_t key_len, body_len;
    uint8_t text[]; /* key of the rendered answer, body */
};

static struct bytes
key_of(const struct api_parked *parked)
{
    return bytes_of(parked->text, parked->key_len);
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool
answer_from_mail(struct api_call *call, struct bytes mail)
{
    if (mail.len < MAIL_HEADER) {
        return false;
    }
    struct api_made made = {.created_wall_ms = le64_get(mail.data),
                            .expires_wall_ms = le64_get(mail.data + 8),
                            .content_tag = le64_get(mail.data + 16),
                            .row_count = le32_get(mail.data + 24),
                            .model_key = le32_get(mail.data + 28),
                            .content = bytes_of(mail.data + MAIL_HEADER, mail.len - MAIL_HEADER)};
    stats_add(call->api->options.slot, STATS_PREDICT_COALESCED, 1);
    api_response_answer(call, &made, API_CACHE_COALESCED);
    return true;
}

/* No data: too large for a mailbox, or no memory. */
static struct bytes
mail_of(const struct api_call *call, const struct api_made *made)
{
    size_t len = MAIL_HEADER + made->content.len;
    uint8_t *mail = len <= CACHE_MAIL_MAX ? arena_alloc(&call->api->arena, len) : NULL;

    if (mail == NULL) {
        return bytes_of(NULL, 0);
    }
    le64_put(mail, made->created_wall_ms);
    le64_put(mail + 8, made->expires_wall_ms);
    le64_put(mail + 16, made->content_tag);
    le32_put(mail + 24, made->row_count);
    le32_put(mail + 28, made->model_key);
    memcpy(mail + MAIL_HEADER, made->content.data, made->content.len);
    return bytes_of(mail, len);
}

void
api_flight_end(struct api_call *call, const struct api_made *made, bool is_kept)
{
    if (call->flight.is_owner) {
        call->flight.is_owner = false;
        cache_flight_publish(call->api->options.cache, &call->flight.lease,
                             is_kept ? 0 : AUGURY_END,
                             made != NULL ? mail_of(call, made) : bytes_of(NULL, 0));
    }
}

/* ---- parking --------------------------------------------------------------------------------- */

static void
on_tick(void *arg)
{
    struct api *api = arg;

    api_fetches_follow(api);
    api_flights_look(api);
    api_arena_trim(api);
    if (api->parked == NULL && !api_fetches_are_waiting(api)) {
        net_timer_free(&api->tick);
    }
}

int
api_tick_start(struct api *api)
{
    if (api->options.loop == NULL) {
        return AUGURY_ERR_STATE;
    }
    return api->tick != NULL ? 0
                             : net_timer_new(api->options.loop, TICK_MS, on_tick, api, &api->tick);
}

static void
parked_add(struct api *api, struct api_parked *parked)
{
    parked->next = api->parked;
    api->parked = parked;
}

static void
parked_free(struct api *api, struct api_parked *parked)
{
    api->parked_bytes -= parked->bytes;
    api_later_free(&parked->later);
    free(parked);
}

static bool
park(struct api_call *call, uint32_t lease_ms)
{
    struct api *api = call->api;
    const struct api_response *response = &call->response;
    size_t bytes = sizeof(struct api_parked) + response->key_len + call->body.len;

    if (bytes > PARKED_BYTES_MAX - api->parked_bytes || api_tick_start(api) != 0) {
        return false;
    }
    struct api_parked *parked = malloc(bytes);
    struct api_later *later = parked != NULL ? api_call_later(call) : NULL;
    if (later == NULL) {
        free(parked);
        return false;
    }
    *parked = (struct api_parked){
        .later = later,
        .handler = call->handler,
        .body_form = call->body_form,
        .lease = call->flight.lease,
        .lease_ms = lease_ms,
        .give_up_mono_ms = clock_mono_ms() + lease_ms + GIVE_UP_MS,
        .bytes = bytes,
        .key_len = response->key_len,
        .body_len = call->body.len,
    };
    memcpy(parked->text, response->key, response->key_len);
    memcpy(parked->text + response->key_len, call->body.data, call->body.len);
    api->parked_bytes += bytes;
    parked_add(api, parked);
    return true;
}

static uint32_t
lease_ms_of(uint32_t cost_us)
{
    uint64_t ms = (uint64_t)cost_us * LEASE_COSTS / 1000;

    return ms < LEASE_MIN_MS ? LEASE_MIN_MS : ms > LEASE_MAX_MS ? LEASE_MAX_MS : (uint32_t)ms;
}

/* Its result may be there already; else the call waits for it, or goes alone when it cannot. */
static enum api_flight_join
join_other(struct api_call *call, uint32_t lease_ms)
{
    struct api *api = call->api;
    struct bytes mail;
    int rc = cache_flight_look(api->options.cache, &call->flight.lease.key, &api->arena, &mail);

    if (rc == 0 && answer_from_mail(call, mail)) {
        return API_FLIGHT_ANSWERED;
    }
    bool may_come = rc == AUGURY_ERR_BUSY || rc == AUGURY_NOT_FOUND;
    return may_come && park(call, lease_ms) ? API_FLIGHT_PARKED : API_FLIGHT_GO;
}

static enum cache_flight
flight_begin(struct api_call *call, uint32_t lease_ms)
{
    struct cache *cache = call->api->options.cache;
    struct bytes key = bytes_of(call->response.key, call->response.key_len);
    struct cache_wish wish = {.key = cache_digest(cache, key), .deadline_ms = lease_ms};

    return cache_flight_begin(cache, &wish, clock_mono_ms(), &call->flight.lease);
}

bool
api_flight_take(struct api_call *call, uint32_t cost_us)
{
    struct api_flight *flight = &call->flight;

    if (flight->is_owner || flight->is_late) {
        return true;
    }
    switch (flight_begin(call, lease_ms_of(cost_us))) {
    case CACHE_FLIGHT_OWNER: flight->is_owner = true; return true;
    case CACHE_FLIGHT_ALONE: return true;
    case CACHE_FLIGHT_WAITER:
    case CACHE_FLIGHT_FAILED: break;
    }
    return false;
}

enum api_flight_join
api_flight_join(struct api_call *call, uint32_t cost_us)
{
    struct api_flight *flight = &call->flight;

    if (cost_us < WORTH_US || flight->is_late || flight->is_owner ||
        call->api->options.cache == NULL || !call->response.has_key) {
        return API_FLIGHT_GO;
    }
    uint32_t lease_ms = lease_ms_of(cost_us);
    switch (flight_begin(call, lease_ms)) {
    case CACHE_FLIGHT_OWNER: flight->is_owner = true; return API_FLIGHT_GO;
    case CACHE_FLIGHT_WAITER: return join_other(call, lease_ms);
    case CACHE_FLIGHT_ALONE:
    case CACHE_FLIGHT_FAILED: break;
    }
    return API_FLIGHT_GO;
}

/* ---- the end of a wait ----------------------------------------------------------------------- */

/* The call's own way: its handler, once more. */
static unsigned
status_by_handler(struct api_call *call, const struct api_parked *parked,
                  const struct cache_lease *own)
{
    struct api *api = call->api;

    call->body = bytes_of(parked->text + parked->key_len, parked->body_len);
    api_call_body_form(call, parked->body_form);
    call->handler = parked->handler;
    call->flight.is_late = true;
    if (own != NULL) {
        call->flight.is_owner = true;
        call->flight.lease = *own;
    }
    api->is_handling = true;
    unsigned status = parked->handler(call);
    api->is_handling = false;
    api_flight_end(call, NULL, true); /* answered from the cache: whoever waits finds it there */
    return status;
}

/* mail: the result, or no data; own: the lease that it owns now, or NULL. */
static void
end_wait(struct api *api, struct api_parked *parked, struct bytes mail,
         const struct cache_lease *own)
{
    struct api_call *call = api_later_begin(api, parked->later);

    if (call == NULL && own != NULL) {
        cache_flight_publish(api->options.cache, own, AUGURY_NOT_FOUND, bytes_of(NULL, 0));
    }
    if (call == NULL) {
        return; /* nobody waits any more */
    }
    bool is_answered = mail.data != NULL && answer_from_mail(call, mail);
    unsigned status = is_answered ? 200 : status_by_handler(call, parked, own);
    api_later_end(api, &parked->later, status);
    api_turn_end(api);
}

/* What is over for one process may have been begun by another. True: it waits on. */
static bool
wait_again(struct api *api, struct api_parked *parked, uint64_t now_mono_ms)
{
    const struct bytes none = bytes_of(NULL, 0);
    struct cache_wish wish = {.key = parked->lease.key, .deadline_ms = parked->lease_ms};
    struct cache_lease lease;

    if (now_mono_ms >= parked->give_up_mono_ms || api_response_is_kept(api, key_of(parked))) {
        end_wait(api, parked, none, NULL);
        return false;
    }
    switch (cache_flight_begin(api->options.cache, &wish, now_mono_ms, &lease)) {
    case CACHE_FLIGHT_WAITER: parked->lease = lease; return true;
    case CACHE_FLIGHT_OWNER: end_wait(api, parked, none, &lease); break;
    case CACHE_FLIGHT_ALONE:
    case CACHE_FLIGHT_FAILED: end_wait(api, parked, none, NULL); break;
    }
    return false;
}

/* True: it waits on. */
static bool
look(struct api *api, struct api_parked *parked)
{
    uint64_t now_mono_ms = clock_mono_ms();
    struct bytes mail;
    int rc = cache_flight_look(api->options.cache, &parked->lease.key, &api->arena, &mail);

    if (rc == 0) {
        end_wait(api, parked, mail, NULL);
        return false;
    }
    if (rc == AUGURY_ERR_BUSY && now_mono_ms < parked->lease.deadline_mono_ms) {
        return true;
    }
    return wait_again(api, parked, now_mono_ms);
}

void
api_flights_look(struct api *api)
{
    struct api_parked *parked = api->parked;

    api->parked = NULL;
    while (parked != NULL) {
        struct api_parked *next = parked->next;
        if (look(api, parked)) {
            parked_add(api, parked);
        } else {
            parked_free(api, parked);
        }
        parked = next;
    }
}

void
api_flights_fini(struct api *api)
{
    while (api->parked != NULL) {
        struct api_parked *parked = api->parked;
        api->parked = parked->next;
        parked_free(api, parked);
    }
    net_timer_free(&api->tick);
}
