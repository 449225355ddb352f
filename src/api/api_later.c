/* SPDX-License-Identifier: MIT */
/*
 * api_later.c - a call whose answer comes later: what its encoding needs of the request is copied
 * into one piece of memory, and becomes a call again when there is something to say. Nothing here
 * is done for a request that is answered at once.
 */
#include "api_call.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What is kept of a request. The body and the other fields are gone when the answer comes. */
static const size_t kept[] = {
    offsetof(struct http_request, path),          offsetof(struct http_request, query),
    offsetof(struct http_request, if_none_match), offsetof(struct http_request, cache_control),
    offsetof(struct http_request, request_id),    offsetof(struct http_request, accept_encoding),
    offsetof(struct http_request, if_match),      offsetof(struct http_request, if_modified_since),
    offsetof(struct http_request, allow_stale),
};

enum { KEPT = AUGURY_COUNT(kept) };

struct api_later {
    uint64_t ticket;
    uint64_t deadline_mono_ns;
    const struct api_route *route;
    enum api_form form;
    const struct api_key *key;
    struct api_take take;
    bool is_tls;
    enum http_method method;
    enum http_flags flags;
    uint8_t minor;
    struct api_timing timing;
    bool is_borrowed; /* its memory is an arena's */
    uint32_t kept_len[KEPT];
    uint32_t parameter_len, parameter2_len, origin_len;
    uint8_t text[]; /* the kept ones in their order, then the parameters, then the origin */
};

static const struct bytes *
kept_of(const struct http_request *request, size_t i)
{
    return (const struct bytes *)(const void *)((const char *)request + kept[i]);
}

static void
kept_set(struct http_request *request, size_t i, struct bytes value)
{
    memcpy((char *)request + kept[i], &value, sizeof(value));
}

static uint8_t *
text_put(uint8_t *at, struct bytes text)
{
    if (text.len > 0) {
        memcpy(at, text.data, text.len);
    }
    return at + text.len;
}

/* Who allows it gets what the cache has past its time when the answer does not come in time; the
 * answer at hand is not sent any more, so it has room. */
static uint64_t
ticket_take(struct api_call *call)
{
    struct net_server *server = *call->api->options.server;
    uint64_t deadline_ns = call->deadline_mono_ns;
    uint64_t ticket =
        deadline_ns == 0 ? net_answer_later(server) : net_answer_later_by(server, deadline_ns);

    if (ticket != 0 && api_response_find_stale(call)) {
        api_answer_headers(call);
        net_later_else(server, ticket, call->answer);
    }
    return ticket;
}

static size_t
later_bytes(const struct api_call *call)
{
    size_t len =
        sizeof(struct api_later) + call->parameter.len + call->parameter2.len + call->origin.len;

    for (size_t i = 0; i < KEPT; i++) {
        len += kept_of(call->request, i)->len;
    }
    return len;
}

/* later: later_bytes(). */
static void
later_fill(struct api_later *later, const struct api_call *call, uint64_t ticket)
{
    const struct http_request *request = call->request;

    *later = (struct api_later){
        .ticket = ticket,
        .deadline_mono_ns = call->deadline_mono_ns,
        .route = call->route,
        .form = call->form,
        .key = call->key,
        .take = call->take,
        .is_tls = call->is_tls,
        .method = request->method,
        .flags = request->flags,
        .minor = request->minor,
        .timing = call->timing,
        .parameter_len = (uint32_t)call->parameter.len,
        .parameter2_len = (uint32_t)call->parameter2.len,
        .origin_len = (uint32_t)call->origin.len,
    };
    uint8_t *at = later->text;
    for (size_t i = 0; i < KEPT; i++) {
        later->kept_len[i] = (uint32_t)kept_of(request, i)->len;
        at = text_put(at, *kept_of(request, i));
    }
    text_put(text_put(text_put(at, call->parameter), call->parameter2), call->origin);
}

struct api_later *
api_call_later(struct api_call *call)
{
    struct api_later *later = malloc(later_bytes(call));
    uint64_t ticket = later != NULL ? ticket_take(call) : 0;

    if (ticket == 0) {
        free(later);
        return NULL;
    }
    later_fill(later, call, ticket);
    return later;
}

struct api_later *
api_call_wait(struct api_call *call, struct arena *arena, enum api_until until)
{
    struct net_server *server = *call->api->options.server;
    struct api_later *later = arena_alloc(arena, later_bytes(call));
    uint64_t ticket = 0;

    if (later != NULL) {
        ticket = until == API_UNTIL_TURN_ENDS ? net_answer_soon(server) : ticket_take(call);
    }
    if (ticket == 0) {
        return NULL;
    }
    later_fill(later, call, ticket);
    later->is_borrowed = true;
    return later;
}

struct api_call *
api_later_begin(struct api *api, const struct api_later *later)
{
    struct net_answer *answer = net_later_begin(*api->options.server, later->ticket);
    struct http_request *request = &api->later_request;
    const uint8_t *at = later->text;

    if (answer == NULL) {
        return NULL;
    }
    memset(request, 0, offsetof(struct http_request, headers));
    request->method = later->method;
    request->flags = later->flags;
    request->minor = later->minor;
    for (size_t i = 0; i < KEPT; i++) {
        kept_set(request, i, bytes_of(at, later->kept_len[i]));
        at += later->kept_len[i];
    }
    api_call_init(&api->later_call, api, request, answer);
    api->later_call.route = later->route;
    api->later_call.deadline_mono_ns = later->deadline_mono_ns;
    api->later_call.timing = later->timing;
    api->later_call.key = later->key;
    api->later_call.take = later->take;
    api->later_call.is_tls = later->is_tls;
    api->later_call.parameter = bytes_of(at, later->parameter_len);
    at += later->parameter_len;
    api->later_call.parameter2 = bytes_of(at, later->parameter2_len);
    api->later_call.origin = bytes_of(at + later->parameter2_len, later->origin_len);
    api_call_form_any(&api->later_call, later->form);
    return &api->later_call;
}

void
api_later_end(struct api *api, struct api_later **later, unsigned status)
{
    api_call_finish(&api->later_call, status);
    net_later_end(*api->options.server, (*later)->ticket);
    api_later_free(later);
}

void
api_later_free(struct api_later **later)
{
    if (*later != NULL && !(*later)->is_borrowed) {
        free(*later);
    }
    *later = NULL;
}
