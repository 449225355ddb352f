/* SPDX-License-Identifier: MIT */
/*
 * api_route.c - from a request to its handler by one const table, which also answers OPTIONS, HEAD,
 * 404 and 405. The table is in order of use: the first line is the one that requests per second
 * depend on.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

struct route {
    enum http_method method;
    const char *pattern; /* at most one {parameter}, which is a whole segment */
    api_handler_fn *handler;
    const char *sentence;
};

static const struct route routes[] = {
    {HTTP_POST, "/api/v1/predict/{model}", api_post_predict,
     "Predicts rows; {model} is a name, or name@version, or name@label."},
    {HTTP_GET, "/api/v1/health", api_get_health,
     "Whether this worker can answer, and if not, why."},
    {HTTP_GET, "/health", api_get_health, "As /api/v1/health."},
    {HTTP_GET, "/ping", api_get_health, "As /api/v1/health."},
    {HTTP_GET, "/metrics", api_get_metrics, "Counters and histograms in Prometheus' text format."},
    {HTTP_GET, "/api/v1/models", api_get_models, "Every version of every model."},
    {HTTP_GET, "/api/v1/models/{model}", api_get_model,
     "One model: schema, outputs, versions, labels, digests."},
    {HTTP_GET, "/api/v1/status", api_get_status, "Processes, memory, generation, reloads."},
    {HTTP_GET, "/api/v1/performance", api_get_performance,
     "Rates, latencies, hit ratios, evictions."},
    {HTTP_GET, "/api/v1", api_get_index, "This list."},
};

enum { PARAMETER_MAX = 512, REQUEST_ID_MAX = 128, ARENA_KEEP_BYTES = 256 * 1024 };

/* ---- matching -------------------------------------------------------------------------------- */

/* *out_parameter borrows from path. */
static bool
pattern_matches(const char *pattern, struct bytes path, struct bytes *out_parameter)
{
    size_t at = 0;

    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '{') {
            size_t begin = at;
            while (at < path.len && path.data[at] != '/') {
                at++;
            }
            *out_parameter = bytes_of(path.data + begin, at - begin);
            pattern += strcspn(pattern, "}");
            if (out_parameter->len == 0) {
                return false;
            }
        } else if (at < path.len && path.data[at] == (uint8_t)*pattern) {
            at++;
        } else {
            return false;
        }
    }
    return at == path.len;
}

/* Methods of the routes that the path matches, one bit each; a route of the method itself goes to
 * *out_route. */
static unsigned
routes_find(enum http_method method, struct bytes path, const struct route **out_route,
            struct bytes *out_parameter)
{
    unsigned methods = 0;

    for (size_t i = 0; i < AUGURY_COUNT(routes); i++) {
        struct bytes parameter = bytes_of(NULL, 0);
        if (!pattern_matches(routes[i].pattern, path, &parameter)) {
            continue;
        }
        methods |= 1U << routes[i].method;
        if (routes[i].method == method) {
            *out_route = &routes[i];
            *out_parameter = parameter;
            return methods;
        }
    }
    return methods;
}

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

static unsigned
answer_without_route(struct api_call *call, unsigned methods)
{
    const struct http_request *request = call->request;

    if (request->method == HTTP_OPTIONS && bytes_equal_text(request->path, "*")) {
        methods = (1U << HTTP_GET) | (1U << HTTP_POST);
    }
    if (methods == 0) {
        return api_refuse_as(call, 404, "unknown_route",
                             "nothing is at \"%.*s\"; GET /api/v1 lists what there is",
                             (int)(request->path.len < 128 ? request->path.len : 128),
                             (const char *)request->path.data);
    }
    put_allow(call->answer->headers, methods);
    if (request->method == HTTP_OPTIONS) {
        return 204;
    }
    return api_refuse_as(call, 405, "method_not_allowed", "%s is not possible at \"%.*s\"",
                         http_method_name(request->method),
                         (int)(request->path.len < 128 ? request->path.len : 128),
                         (const char *)request->path.data);
}

/* ---- one request ----------------------------------------------------------------------------- */

/* The client's own id comes back when it is a plain token; anything else is ignored. */
static void
echo_request_id(const struct api_call *call)
{
    struct bytes id = call->request->request_id;

    if (id.len == 0 || id.len > REQUEST_ID_MAX) {
        return;
    }
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.data[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == ':';
        if (!is_plain) {
            return;
        }
    }
    struct buf *headers = call->answer->headers;
    buf_put_text(headers, "X-Request-Id: ");
    buf_put_bytes(headers, id);
    buf_put_text(headers, "\r\n");
}

static unsigned
answer_route(struct api_call *call, const struct route *route, struct bytes parameter)
{
    uint8_t decoded[PARAMETER_MAX];
    size_t len = 0;

    if (parameter.len > 0 && memchr(parameter.data, '%', parameter.len) != NULL) {
        if (parameter.len > sizeof(decoded)) {
            return api_refuse_as(call, 400, "invalid_path",
                                 "a name in a path with %%-escapes is not longer than %d bytes",
                                 PARAMETER_MAX);
        }
        if (http_path_decode(parameter, decoded, &len) != 0) {
            return api_refuse_as(call, 400, "invalid_path",
                                 "the path has a %%-escape that is not two hexadecimal digits, or "
                                 "stands for no UTF-8, a control character or \"/\"");
        }
        parameter = bytes_of(decoded, len);
    }
    call->parameter = parameter;
    unsigned status = api_negotiate(call);
    if (status != 0) {
        return status;
    }
    if (route->handler != api_post_predict) {
        api_turn_end(call->api); /* other handlers open snapshots of their own */
    }
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
    call->parameter = bytes_of(NULL, 0);
    call->now_wall_ms = now_wall_ms(api);
    call->response.has_key = false;
    api_call_form(call, WIRE_JSON);
}

void
api_call_finish(struct api_call *call, unsigned status)
{
    call->answer->status = check_body(call, status);
    echo_request_id(call);
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
    const struct route *route = NULL;
    struct bytes parameter = bytes_of(NULL, 0);
    enum http_method method = request->method == HTTP_HEAD ? HTTP_GET : request->method;

    (void)peer;
    api_call_init(&call, api, request, answer);
    call.body = body;
    api->is_handling = true;
    unsigned methods = routes_find(method, request->path, &route, &parameter);
    unsigned status = route != NULL ? answer_route(&call, route, parameter)
                                    : answer_without_route(&call, methods);
    api->is_handling = false;
    if (status == API_LATER) {
        arena_reset(&api->arena, ARENA_KEEP_BYTES);
    } else {
        api_call_finish(&call, status);
    }
}

unsigned
api_get_index(struct api_call *call)
{
    struct wire_writer *writer = &call->writer;

    wire_object(writer, 1);
    wire_key(writer, "resources");
    wire_array(writer, AUGURY_COUNT(routes));
    for (size_t i = 0; i < AUGURY_COUNT(routes); i++) {
        wire_object(writer, 3);
        wire_key(writer, "method");
        wire_put_text(writer, http_method_name(routes[i].method));
        wire_key(writer, "path");
        wire_put_text(writer, routes[i].pattern);
        wire_key(writer, "what");
        wire_put_text(writer, routes[i].sentence);
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
    *out_api = api;
    return 0;
}

void
api_free(struct api **api)
{
    if (*api != NULL) {
        arena_fini(&(*api)->arena);
        free(*api);
        *api = NULL;
    }
}
