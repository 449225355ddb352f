/* SPDX-License-Identifier: MIT */
/*
 * api_route.c - from a request to its handler by one const table, which also answers OPTIONS, HEAD,
 * 404 and 405. The table is in order of use: the first line is the one that requests per second
 * depend on.
 */
#include "api_call.h"
#include "api_order.h"

#include <stdlib.h>
#include <string.h>

struct route {
    enum http_method method;
    /* At most two {parameters}; each is a segment, less what follows the brace in it, or, with a
     * star at its end, the rest of the path. */
    const char *pattern;
    api_handler_fn *handler;
    const char *sentence;
};

static const struct route routes[] = {
    {HTTP_POST, "/api/v1/predict/{model}", api_post_predict,
     "Predicts rows; {model} is a name, or name@version, or name@label."},
    {HTTP_GET, "/api/v1/objects/{name*}", api_get_object,
     "An object: its bytes as they were put, or as its file has them."},
    {HTTP_PUT, "/api/v1/objects/{name*}", api_put_object,
     "Puts an object: bytes of any type, for ?ttl=90s or Cache-Control: max-age=90."},
    {HTTP_DELETE, "/api/v1/objects/{name*}", api_delete_object, "Deletes an object."},
    {HTTP_POST, "/api/v1/objects/mget", api_post_objects_mget,
     "Many objects at once: {\"names\":[…]}."},
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

/* Protocols of other servers: each has one form, JSON, and knows what its bodies may be. */
static const struct route dialects[] = {
    {HTTP_POST, "/v2/models/{model}/infer", api_post_oip_infer,
     "Open Inference Protocol: predicts tensors, JSON or binary."},
    {HTTP_POST, "/v2/models/{model}/versions/{version}/infer", api_post_oip_infer,
     "As above, of one version or label."},
    {HTTP_GET, "/v2/models/{model}/ready", api_get_oip_model_ready, "Whether a model can answer."},
    {HTTP_GET, "/v2/models/{model}/versions/{version}/ready", api_get_oip_model_ready,
     "As above, of one version or label."},
    {HTTP_GET, "/v2/models/{model}", api_get_oip_model, "A model's tensors."},
    {HTTP_GET, "/v2/models/{model}/versions/{version}", api_get_oip_model,
     "As above, of one version or label."},
    {HTTP_GET, "/v2/models", api_get_oip_models, "The models' names."},
    {HTTP_GET, "/v2", api_get_oip_server, "Name, version and extensions of this server."},
    {HTTP_GET, "/v2/", api_get_oip_server, "As /v2."},
    {HTTP_GET, "/v2/health/live", api_get_health, "As /api/v1/health."},
    {HTTP_GET, "/v2/health/ready", api_get_health, "As /api/v1/health."},
    {HTTP_POST, "/v2/repository/index", api_post_oip_index, "Every version and its state."},
    {HTTP_POST, "/v1/models/{model}:predict", api_post_v1_predict,
     "TensorFlow Serving and KServe v1: instances or inputs."},
    {HTTP_POST, "/v1/models/{model}/versions/{version}:predict", api_post_v1_predict,
     "As above, of one version."},
    {HTTP_POST, "/v1/models/{model}/labels/{label}:predict", api_post_v1_predict,
     "As above, of what a label names."},
    {HTTP_GET, "/v1/models/{model}", api_get_v1_model, "The state of a model's versions."},
    {HTTP_GET, "/v1/models/{model}/versions/{version}", api_get_v1_model,
     "The state of one version."},
    {HTTP_GET, "/v1/models", api_get_oip_models, "The models' names."},
    {HTTP_POST, "/invocations", api_post_invocations,
     "MLflow's scoring protocol, for the only model."},
    {HTTP_POST, "/models/{model}/invocations", api_post_invocations, "As above, of one model."},
    {HTTP_GET, "/version", api_get_version, "This server's version, as text."},
};

enum { REQUEST_ID_MAX = 128, ARENA_KEEP_BYTES = 256 * 1024 };

/* ---- matching -------------------------------------------------------------------------------- */

/* HEAD is GET here. */
struct request_line {
    enum http_method method;
    struct bytes path;
};

struct parameters {
    struct bytes list[API_PARAMETERS_MAX];
    size_t count;
};

/* The parameter at the start of rest: its segment, without the end of it that the pattern has
 * after the brace (":predict"); or all of rest, with a star before the brace. False: none is
 * there. */
static bool
parameter_take(const char *brace, struct bytes rest, struct bytes *out_parameter)
{
    bool is_rest = brace[-1] == '*';
    size_t suffix = strcspn(brace + 1, "/");
    size_t len = 0;

    while (len < rest.len && (is_rest || rest.data[len] != '/')) {
        len++;
    }
    *out_parameter = bytes_of(rest.data, len > suffix ? len - suffix : 0);
    return out_parameter->len > 0;
}

/* *out_parameters borrow from path. */
static bool
pattern_matches(const char *pattern, struct bytes path, struct parameters *out_parameters)
{
    size_t at = 0;

    out_parameters->count = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '{') {
            struct bytes *parameter = &out_parameters->list[out_parameters->count++];
            pattern += strcspn(pattern, "}");
            if (!parameter_take(pattern, bytes_of(path.data + at, path.len - at), parameter)) {
                return false;
            }
            at += parameter->len;
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
table_find(const struct route *table, size_t count, struct request_line line,
           const struct route **out_route, struct parameters *out_parameters)
{
    unsigned methods = 0;

    for (size_t i = 0; i < count && *out_route == NULL; i++) {
        struct parameters parameters;
        if (!pattern_matches(table[i].pattern, line.path, &parameters)) {
            continue;
        }
        methods |= 1U << table[i].method;
        if (table[i].method == line.method) {
            *out_route = &table[i];
            *out_parameters = parameters;
        }
    }
    return methods;
}

/* A path belongs to one table. */
static unsigned
routes_find(struct request_line line, const struct route **out_route,
            struct parameters *out_parameters)
{
    unsigned methods = table_find(routes, AUGURY_COUNT(routes), line, out_route, out_parameters);

    if (methods != 0) {
        return methods;
    }
    return table_find(dialects, AUGURY_COUNT(dialects), line, out_route, out_parameters);
}

static bool
is_dialect(const struct route *route)
{
    return route >= dialects && route < dialects + AUGURY_COUNT(dialects);
}

/* What api_answer_question() answers. */
static bool
is_question(const struct route *route)
{
    static api_handler_fn *const handlers[] = {api_post_predict, api_post_oip_infer,
                                               api_post_v1_predict, api_post_invocations};

    for (size_t i = 0; i < AUGURY_COUNT(handlers); i++) {
        if (route->handler == handlers[i]) {
            return true;
        }
    }
    return false;
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

static unsigned
answer_route(struct api_call *call, const struct route *route, struct parameters *parameters)
{
    unsigned status = 0;

    for (size_t i = 0; status == 0 && i < parameters->count; i++) {
        status = parameter_decode(call, call->api->parameter_rooms[i], &parameters->list[i]);
    }
    call->parameter = parameters->count > 0 ? parameters->list[0] : bytes_of(NULL, 0);
    call->parameter2 = parameters->count > 1 ? parameters->list[1] : bytes_of(NULL, 0);
    if (status == 0) {
        bool is_any_body = is_dialect(route) || route->handler == api_put_object;
        status = is_any_body ? api_negotiate_coding(call) : api_negotiate(call);
    }
    if (status != 0) {
        return status;
    }
    if (!is_question(route)) {
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
    call->parameter = call->parameter2 = bytes_of(NULL, 0);
    call->response.has_key = false;
    call->flight.is_owner = false;
    call->flight.is_late = false;
    call->now_wall_ms = now_wall_ms(api);
    call->is_coded = false;
    call->is_tagged = false;
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
    if (call->answer->status == 200) {
        api_encode_document(call);
        if (call->is_tagged) {
            api_tag_document(call);
        }
    }
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
    struct parameters parameters;
    struct request_line line = {request->method == HTTP_HEAD ? HTTP_GET : request->method,
                                request->path};

    (void)peer;
    api_call_init(&call, api, request, answer);
    call.body = body;
    api->is_handling = true;
    unsigned methods = routes_find(line, &route, &parameters);
    unsigned status = route != NULL ? answer_route(&call, route, &parameters)
                                    : answer_without_route(&call, methods);
    api->is_handling = false;
    if (status == API_LATER) {
        arena_reset(&api->arena, ARENA_KEEP_BYTES);
    } else {
        api_call_finish(&call, status);
    }
}

static void
put_routes(struct wire_writer *writer, const struct route *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        wire_object(writer, 3);
        wire_key(writer, "method");
        wire_put_text(writer, http_method_name(table[i].method));
        wire_key(writer, "path");
        wire_put_text(writer, table[i].pattern);
        wire_key(writer, "what");
        wire_put_text(writer, table[i].sentence);
        wire_end(writer);
    }
}

unsigned
api_get_index(struct api_call *call)
{
    struct wire_writer *writer = &call->writer;

    wire_object(writer, 1);
    wire_key(writer, "resources");
    wire_array(writer, AUGURY_COUNT(routes) + AUGURY_COUNT(dialects));
    put_routes(writer, routes, AUGURY_COUNT(routes));
    put_routes(writer, dialects, AUGURY_COUNT(dialects));
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
    if (api_coding_setup(api) != 0) {
        api_free(&api);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory to compress with");
    }
    api->options = *options;
    api->random = (clock_mono_ns() << 1) | 1;
    api->response_admission = cache_admission_of(options->conf->cache.response_admission);
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
        api_flights_fini(*api);
        api_fetches_fini(*api);
        api_orders_drop(*api);
        arena_fini(&(*api)->arena);
        api_coding_teardown(*api);
        free(*api);
        *api = NULL;
    }
}
