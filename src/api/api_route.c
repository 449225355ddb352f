/* SPDX-License-Identifier: MIT */
/*
 * api_route.c - one request: its route, the gates before its handler, its handler, what every
 * answer gets; OPTIONS, 404 and 405 where there is none.
 */
#include "api_access.h"
#include "api_order.h"
#include "api_routes.h"

#include <stdlib.h>
#include <string.h>

enum {
    ARENA_KEEP_BYTES = 256 * 1024,
    DECODED_KEEP_BYTES = 1024 * 1024,
    SOCKET_HEADERS_MAX = 64 * 1024,
    SOCKET_BODY_MAX = 64 * 1024 * 1024, /* a larger answer to a message is an error */
};

/* ---- without a route ------------------------------------------------------------------------- */

static void
put_allow(struct buf *headers, unsigned methods)
{
    buf_put_text(headers, "Allow: ");
    for (unsigned method = 0; method < HTTP_METHOD_COUNT; method++) {
        if ((methods & (1U << method)) != 0) {
            buf_printf(headers, "%s, ", http_method_name((enum http_method)method));
        }
        if (method == HTTP_GET && (methods & (1U << HTTP_GET)) != 0) {
            buf_put_text(headers, "HEAD, ");
        }
    }
    buf_put_text(headers, "OPTIONS\r\n");
}

unsigned
api_refuse_unknown_route(struct api_call *call)
{
    struct bytes path = call->request->path;

    return api_refuse_as(
        call, 404, "unknown_route", "nothing is at \"%.*s\"%s",
        (int)(path.len < 128 ? path.len : 128), (const char *)path.data,
        api_listener_serves(call, API_AREA_DOCS) ? "; GET /api/v1 lists what there is" : "");
}

/* Of all that this listener serves: what OPTIONS * is answered. */
static unsigned
methods_served(const struct api_call *call)
{
    const struct api_route *route;
    unsigned methods = 0;

    for (size_t i = 0; (route = api_route_at(i)) != NULL; i++) {
        methods |= api_listener_serves(call, route->area) ? 1U << route->method : 0;
    }
    return methods;
}

static unsigned
answer_without_route(struct api_call *call, unsigned methods)
{
    const struct http_request *request = call->request;

    if (request->method == HTTP_OPTIONS && bytes_equal_text(request->path, "*")) {
        methods = methods_served(call);
    }
    if (methods == 0) {
        return api_refuse_unknown_route(call);
    }
    put_allow(call->answer->headers, methods);
    if (request->method == HTTP_OPTIONS) {
        api_cors_preflight(call, methods);
        return 204;
    }
    return api_refuse_as(call, 405, "method_not_allowed", "%s is not possible at \"%.*s\"",
                         http_method_name(request->method),
                         (int)(request->path.len < 128 ? request->path.len : 128),
                         (const char *)request->path.data);
}

/* ---- one request ----------------------------------------------------------------------------- */

/* Segment by segment, so that no escape makes a new one. room: parameter.len bytes. */
static int
segments_decode(struct bytes parameter, uint8_t *room, size_t *out_len)
{
    size_t len = 0;

    for (size_t begin = 0, end = 0; end <= parameter.len; end++) {
        size_t segment_len = 0;
        if (end < parameter.len && parameter.data[end] != '/') {
            continue;
        }
        if (http_path_decode(bytes_of(parameter.data + begin, end - begin), room + len,
                             &segment_len) != 0) {
            return AUGURY_ERR_INVALID;
        }
        len += segment_len;
        if (end < parameter.len) {
            room[len++] = '/';
        }
        begin = end + 1;
    }
    *out_len = len;
    return 0;
}

/* Into room (API_PARAMETER_MAX bytes) when it has escapes. 0, or the status of a refusal. */
static unsigned
parameter_decode(struct api_call *call, uint8_t *room, struct bytes *parameter)
{
    size_t len = 0;

    if (parameter->len == 0 || memchr(parameter->data, '%', parameter->len) == NULL) {
        return 0;
    }
    if (parameter->len > API_PARAMETER_MAX) {
        return api_refuse_as(call, 400, "invalid_path",
                             "a name in a path with %%-escapes is not longer than %d bytes",
                             API_PARAMETER_MAX);
    }
    if (segments_decode(*parameter, room, &len) != 0) {
        return api_refuse_as(call, 400, "invalid_path",
                             "the path has a %%-escape that is not two hexadecimal digits, or "
                             "stands for no UTF-8, a control character or \"/\"");
    }
    *parameter = bytes_of(room, len);
    return 0;
}

/* What stands before the answer of a known path, whatever its method: call->route and call->peer
 * are set. Each gate is a function in a file of its own that returns 0 or the status of the refusal
 * that it wrote. In this order: whether this listener serves the route's area, other origins. */
static unsigned
path_gates_pass(struct api_call *call)
{
    return api_listener_allows(call, call->route);
}

/* What stands before a handler, as above, in this order: rights, limits. */
static unsigned
handler_gates_pass(struct api_call *call)
{
    unsigned status = call->api->access != NULL ? api_access_enter(call) : 0;

    return status != 0 ? status : api_limit_enter(call);
}

static unsigned
answer_route(struct api_call *call, struct api_match *match)
{
    const struct api_route *route = match->route;
    unsigned status = handler_gates_pass(call);

    for (size_t i = 0; status == 0 && i < match->parameter_count; i++) {
        status = parameter_decode(call, call->api->parameter_rooms[i], &match->parameters[i]);
    }
    if (match->parameter_count > 0) {
        call->parameter = match->parameters[0];
    }
    if (match->parameter_count > 1) {
        call->parameter2 = match->parameters[1];
    }
    if (status == 0) {
        status = (route->traits & API_TRAIT_OWN_FORMS) != 0 ? api_body_decode(call)
                                                            : api_negotiate(call);
    }
    if (status != 0) {
        return status;
    }
    if ((route->traits & API_TRAIT_QUESTION) == 0) {
        api_turn_end(call->api); /* other handlers open snapshots of their own */
    }
    call->handler = route->handler;
    return route->handler(call);
}

/* A document that did not fit is replaced by an error that does. */
static unsigned
check_body(struct api_call *call, unsigned status)
{
    int rc = buf_finish(call->answer->body);

    if (rc == AUGURY_ERR_LIMIT) {
        return api_refuse_as(call, 413, "answer_too_large",
                             "the answer is larger than an answer may be; ask for fewer rows");
    }
    if (rc != 0) {
        return api_refuse_as(call, 503, "no_memory", "no memory for the answer");
    }
    return status;
}

static uint64_t
now_wall_ms(const struct api *api)
{
    const struct net_server *server = api->options.server != NULL ? *api->options.server : NULL;

    return server != NULL ? net_server_now_wall_ms(server) : clock_wall_ms();
}

void
api_call_init(struct api_call *call, struct api *api, const struct http_request *request,
              struct net_answer *answer)
{
    call->api = api; /* not cleared: err alone has half a kilobyte */
    call->request = request;
    call->body = bytes_of(NULL, 0);
    call->answer = answer;
    call->key = NULL;
    call->take.limit = 0;
    call->origin = bytes_of(NULL, 0);
    call->is_tls = false;
    call->route = NULL;
    call->peer = NULL;
    call->parameter = call->parameter2 = bytes_of(NULL, 0);
    api_call_body_form(call, API_FORM_JSON);
    call->model_key = 0;
    call->response.has_key = call->response.is_unlikely = false;
    call->flight.is_owner = false;
    call->flight.is_late = false;
    call->deadline_mono_ns = 0;
    call->now_wall_ms = now_wall_ms(api);
    call->took_ns = 0;
    call->is_coded = false;
    call->is_tagged = false;
    call->wish.is_only_if_cached = false;
    call->timing.is_wanted = false;
    api_call_form(call, WIRE_JSON);
}

void
api_arena_trim(struct api *api)
{
    arena_reset(&api->arena, ARENA_KEEP_BYTES);
}

void
api_call_finish(struct api_call *call, unsigned status)
{
    call->answer->status = check_body(call, status);
    /* Nothing has failed: there is nothing in the cache, and the request wanted nothing else. */
    call->answer->is_wanted = status == 504 && call->wish.is_only_if_cached;
    if (call->answer->status == 200) {
        api_encode_document(call);
        if (call->is_tagged) {
            api_tag_document(call);
        }
    }
    api_answer_headers(call);
    if (!call->api->is_handling) {
        arena_reset(&call->api->arena, ARENA_KEEP_BYTES);
    }
}

void
api_handle(void *arg, const struct http_request *request, struct bytes body,
           const struct net_peer *peer, struct net_answer *answer)
{
    struct api *api = arg;
    struct api_call call;
    struct api_match match;

    api_call_init(&call, api, request, answer);
    call.body = body;
    call.peer = peer;
    if (api->timing_when != API_TIMING_NEVER) {
        api_timing_begin(&call);
    }
    call.is_tls = peer->is_tls;
    if (api->has_cors) {
        api_cors_enter(&call);
    }
    api->is_handling = true;
    api_route_find(request->method, request->path, &match);
    call.route = match.route != NULL ? match.route : match.other;
    unsigned status = call.route != NULL ? path_gates_pass(&call) : 0;
    if (status == 0) {
        status = match.route != NULL ? answer_route(&call, &match)
                                     : answer_without_route(&call, match.methods);
    }
    api->is_handling = false;
    if (status == API_LATER) {
        arena_reset(&api->arena, ARENA_KEEP_BYTES);
    } else {
        api_call_finish(&call, status);
    }
    if (api->decoded.cap > DECODED_KEEP_BYTES) {
        buf_fini(&api->decoded);
    }
}

static uint32_t
count_served(const struct api_call *call)
{
    const struct api_route *route;
    uint32_t count = 0;

    for (size_t i = 0; (route = api_route_at(i)) != NULL; i++) {
        count += api_listener_serves(call, route->area) ? 1 : 0;
    }
    return count;
}

unsigned
api_get_index(struct api_call *call)
{
    struct wire_writer *writer = &call->writer;
    const struct api_route *route;

    wire_object(writer, 1);
    wire_key(writer, "resources");
    wire_array(writer, count_served(call));
    for (size_t i = 0; (route = api_route_at(i)) != NULL; i++) {
        if (!api_listener_serves(call, route->area)) {
            continue;
        }
        wire_object(writer, 3);
        wire_key(writer, "method");
        wire_put_text(writer, http_method_name(route->method));
        wire_key(writer, "path");
        wire_put_text(writer, route->pattern);
        wire_key(writer, "what");
        wire_put_text(writer, route->sentence);
        wire_end(writer);
    }
    wire_end(writer);
    wire_end(writer);
    return 200;
}

int
api_new(const struct api_options *options, struct api **out_api, struct err *err)
{
    struct api *api = calloc(1, sizeof(*api));

    if (api == NULL ||
        arena_init(&api->arena, (size_t)options->conf->limits.request_memory_bytes) != 0) {
        free(api);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for requests");
    }
    api->options = *options;
    buf_init(&api->socket_headers, SOCKET_HEADERS_MAX);
    buf_init(&api->socket_body, SOCKET_BODY_MAX);
    if (api_coding_setup(api) != 0 || api_body_setup(api) != 0) {
        api_free(&api);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory to compress with");
    }
    api->has_cors = options->conf->cors.origins[0] != '\0';
    api->is_private = options->conf->access.is_required;
    if (api_access_setup(api) != 0) {
        api_free(&api);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for keys");
    }
    api->random = (clock_mono_ns() << 1) | 1;
    api->timing_when = api_timing_when(options->conf->http.server_timing);
    api->response_admission = cache_admission_of(options->conf->cache.response_admission);
    api->response_stale_s =
        options->conf->cache.classes[CONF_CACHE_RESPONSE].stale_while_revalidate_s;
    api->response_kept_s = options->conf->cache.classes[CONF_CACHE_RESPONSE].stale_if_error_s;
    if (api->response_kept_s < api->response_stale_s) {
        api->response_kept_s = api->response_stale_s;
    }
    if (api_batch_init(api) != 0) {
        api_free(&api);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for rows that wait");
    }
    if (api_fetches_init(api) != 0) {
        api_free(&api);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no threads for fetching objects");
    }
    *out_api = api;
    return 0;
}

void
api_free(struct api **api)
{
    if (*api != NULL) {
        api_batch_fini(*api);
        api_flights_fini(*api);
        api_fetches_fini(*api);
        api_orders_drop(*api);
        buf_fini(&(*api)->socket_headers);
        buf_fini(&(*api)->socket_body);
        arena_fini(&(*api)->arena);
        api_coding_teardown(*api);
        api_body_teardown(*api);
        api_access_teardown(*api);
        free(*api);
        *api = NULL;
    }
}
