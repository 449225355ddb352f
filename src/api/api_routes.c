/* SPDX-License-Identifier: MIT */
/*
 * api_routes.c - the table of routes and what finds a row of it. The rows are in order of use: the
 * first is the one that requests per second depend on. No path matches rows of two kinds but where
 * their methods differ; of two that do the first one counts.
 */
#include "api_test_routes.h"

#include <string.h>

/* What nearly every document of ours can be. */
enum { TWO = API_FORM_JSON | API_FORM_MSGPACK };

static const struct api_route routes[] = {
    {HTTP_POST, "/api/v1/predict/{model}", api_post_predict, API_AREA_PREDICT, API_SCOPE_PREDICT,
     TWO | API_FORM_CSV | API_FORM_NPY | API_FORM_NDJSON, API_TRAIT_QUESTION,
     "Predicts rows; {model} is a name, or name@version, or name@label."},
    {HTTP_POST, "/v2/models/{model}/infer", api_post_oip_infer, API_AREA_DIALECTS,
     API_SCOPE_PREDICT, API_FORM_JSON | API_FORM_BYTES, API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS,
     "Open Inference Protocol: predicts tensors, JSON or binary."},
    {HTTP_POST, "/v2/models/{model}/versions/{version}/infer", api_post_oip_infer,
     API_AREA_DIALECTS, API_SCOPE_PREDICT, API_FORM_JSON | API_FORM_BYTES,
     API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS, "As above, of one version or label."},
    {HTTP_POST, "/v1/models/{model}:predict", api_post_v1_predict, API_AREA_DIALECTS,
     API_SCOPE_PREDICT, API_FORM_JSON, API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS,
     "TensorFlow Serving and KServe v1: instances or inputs."},
    {HTTP_POST, "/v1/models/{model}/versions/{version}:predict", api_post_v1_predict,
     API_AREA_DIALECTS, API_SCOPE_PREDICT, API_FORM_JSON, API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS,
     "As above, of one version."},
    {HTTP_POST, "/v1/models/{model}/labels/{label}:predict", api_post_v1_predict, API_AREA_DIALECTS,
     API_SCOPE_PREDICT, API_FORM_JSON, API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS,
     "As above, of what a label names."},
    {HTTP_POST, "/invocations", api_post_invocations, API_AREA_DIALECTS, API_SCOPE_PREDICT,
     API_FORM_JSON | API_FORM_CSV, API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS,
     "MLflow's scoring protocol, for the only model."},
    {HTTP_POST, "/models/{model}/invocations", api_post_invocations, API_AREA_DIALECTS,
     API_SCOPE_PREDICT, API_FORM_JSON | API_FORM_CSV, API_TRAIT_QUESTION | API_TRAIT_OWN_FORMS,
     "As above, of one model."},
    {HTTP_GET, "/api/v1/objects/{name*}", api_get_object, API_AREA_OBJECTS, API_SCOPE_READ,
     API_FORM_BYTES, 0, "An object: its bytes as they were put, or as its file has them."},
    {HTTP_PUT, "/api/v1/objects/{name*}", api_put_object, API_AREA_OBJECTS, API_SCOPE_WRITE,
     API_FORM_BYTES, API_TRAIT_OWN_FORMS,
     "Puts an object: bytes of any type, for ?ttl=90s or Cache-Control: max-age=90."},
    {HTTP_DELETE, "/api/v1/objects/{name*}", api_delete_object, API_AREA_OBJECTS, API_SCOPE_WRITE,
     TWO, 0, "Deletes an object."},
    {HTTP_POST, "/api/v1/objects/mget", api_post_objects_mget, API_AREA_OBJECTS, API_SCOPE_READ,
     TWO, 0, "Many objects at once: {\"names\":[…]}."},
    {HTTP_GET, "/api/v1/health", api_get_health, API_AREA_HEALTH, API_SCOPE_NONE, TWO, 0,
     "Whether this worker can answer, and if not, why."},
    {HTTP_GET, "/health", api_get_health, API_AREA_HEALTH, API_SCOPE_NONE, TWO, 0,
     "As /api/v1/health."},
    {HTTP_GET, "/ping", api_get_health, API_AREA_HEALTH, API_SCOPE_NONE, TWO, 0,
     "As /api/v1/health."},
    {HTTP_GET, "/metrics", api_get_metrics, API_AREA_METRICS, API_SCOPE_READ, API_FORM_TEXT, 0,
     "Counters and histograms in Prometheus' text format."},
    {HTTP_GET, "/api/v1/models", api_get_models, API_AREA_MODELS, API_SCOPE_READ, TWO, 0,
     "Every version of every model."},
    {HTTP_GET, "/api/v1/models/{model}", api_get_model, API_AREA_MODELS, API_SCOPE_READ, TWO, 0,
     "One model: schema, outputs, versions, labels, digests."},
    {HTTP_GET, "/api/v1/status", api_get_status, API_AREA_STATUS, API_SCOPE_READ, TWO, 0,
     "Processes, memory, generation, reloads."},
    {HTTP_GET, "/api/v1/performance", api_get_performance, API_AREA_STATUS, API_SCOPE_READ, TWO, 0,
     "Rates, latencies, hit ratios, evictions."},
    {HTTP_GET, "/api/v1/performance/events", api_get_events, API_AREA_STATUS, API_SCOPE_READ,
     API_FORM_EVENTS, API_TRAIT_OWN_FORMS,
     "The same again and again, as server-sent events, each second or as ?every=10s says."},
    {HTTP_GET, "/api/v1/predict/{model}/stream", api_get_predict_stream, API_AREA_PREDICT,
     API_SCOPE_PREDICT, TWO, 0,
     "WebSocket: a message is a body of POST /api/v1/predict/{model}, and gets one back."},
    {HTTP_GET, "/api/v1", api_get_index, API_AREA_DOCS, API_SCOPE_NONE, TWO, 0, "This list."},
    {HTTP_GET, "/openapi.json", api_get_openapi, API_AREA_DOCS, API_SCOPE_NONE, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "This list with all parameters and schemas, as OpenAPI 3.1."},
    {HTTP_GET, "/v2/models/stats", api_get_oip_stats, API_AREA_DIALECTS, API_SCOPE_READ,
     API_FORM_JSON, API_TRAIT_OWN_FORMS,
     "What every version has answered since the start, in Triton's shape."},
    {HTTP_GET, "/v2/models/{model}/stats", api_get_oip_stats, API_AREA_DIALECTS, API_SCOPE_READ,
     API_FORM_JSON, API_TRAIT_OWN_FORMS, "As above, of one model's versions."},
    {HTTP_GET, "/v2/models/{model}/versions/{version}/stats", api_get_oip_stats, API_AREA_DIALECTS,
     API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS, "As above, of one version or label."},
    {HTTP_GET, "/v2/models/{model}/ready", api_get_oip_model_ready, API_AREA_DIALECTS,
     API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS, "Whether a model can answer."},
    {HTTP_GET, "/v2/models/{model}/versions/{version}/ready", api_get_oip_model_ready,
     API_AREA_DIALECTS, API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS,
     "As above, of one version or label."},
    {HTTP_GET, "/v2/models/{model}", api_get_oip_model, API_AREA_DIALECTS, API_SCOPE_READ,
     API_FORM_JSON, API_TRAIT_OWN_FORMS, "A model's tensors."},
    {HTTP_GET, "/v2/models/{model}/versions/{version}", api_get_oip_model, API_AREA_DIALECTS,
     API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS, "As above, of one version or label."},
    {HTTP_GET, "/v2/models/{model}/config", api_get_oip_config, API_AREA_DIALECTS, API_SCOPE_READ,
     API_FORM_JSON, API_TRAIT_OWN_FORMS,
     "A model's tensors, and how many rows a request may have, in Triton's shape."},
    {HTTP_GET, "/v2/models/{model}/versions/{version}/config", api_get_oip_config,
     API_AREA_DIALECTS, API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS,
     "As above, of one version or label."},
    {HTTP_GET, "/v2/models", api_get_oip_models, API_AREA_DIALECTS, API_SCOPE_READ, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "The models' names."},
    {HTTP_GET, "/v2", api_get_oip_server, API_AREA_DIALECTS, API_SCOPE_NONE, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "Name, version and extensions of this server."},
    {HTTP_GET, "/v2/", api_get_oip_server, API_AREA_DIALECTS, API_SCOPE_NONE, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "As /v2."},
    {HTTP_GET, "/v2/health/live", api_get_live, API_AREA_HEALTH, API_SCOPE_NONE, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "Whether this worker runs, even if it cannot answer predictions."},
    {HTTP_GET, "/v2/health/ready", api_get_health, API_AREA_HEALTH, API_SCOPE_NONE, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "As /api/v1/health."},
    {HTTP_POST, "/v2/repository/index", api_post_oip_index, API_AREA_DIALECTS, API_SCOPE_READ,
     API_FORM_JSON, API_TRAIT_OWN_FORMS, "Every version and its state."},
    {HTTP_POST, "/v2/repository/models/{model}/load", api_post_oip_load, API_AREA_DIALECTS,
     API_SCOPE_WRITE, API_FORM_JSON, API_TRAIT_OWN_FORMS,
     "Whether a model is there; what was imported is served."},
    {HTTP_POST, "/v2/repository/models/{model}/unload", api_post_oip_unload, API_AREA_DIALECTS,
     API_SCOPE_WRITE, API_FORM_JSON, API_TRAIT_OWN_FORMS,
     "Refused: models go by augury model unload."},
    {HTTP_GET, "/v1/models/{model}", api_get_v1_model, API_AREA_DIALECTS, API_SCOPE_READ,
     API_FORM_JSON, API_TRAIT_OWN_FORMS, "The state of a model's versions."},
    {HTTP_GET, "/v1/models/{model}/versions/{version}", api_get_v1_model, API_AREA_DIALECTS,
     API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS, "The state of one version."},
    {HTTP_GET, "/v1/models/{model}/labels/{label}", api_get_v1_model, API_AREA_DIALECTS,
     API_SCOPE_READ, API_FORM_JSON, API_TRAIT_OWN_FORMS, "The state of what a label names."},
    {HTTP_GET, "/v1/models", api_get_oip_models, API_AREA_DIALECTS, API_SCOPE_READ, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "The models' names."},
    {HTTP_GET, "/", api_get_alive, API_AREA_HEALTH, API_SCOPE_NONE, API_FORM_JSON,
     API_TRAIT_OWN_FORMS, "As /v2/health/live, in the words of KServe v1."},
    {HTTP_GET, "/version", api_get_version, API_AREA_HEALTH, API_SCOPE_NONE, API_FORM_TEXT,
     API_TRAIT_OWN_FORMS, "This server's version, as text."},
};

const char *
api_area_name(enum api_area area)
{
    static const char *const names[] = {
        [API_AREA_PREDICT] = "predict",   [API_AREA_OBJECTS] = "objects",
        [API_AREA_MODELS] = "models",     [API_AREA_STATUS] = "status",
        [API_AREA_METRICS] = "metrics",   [API_AREA_HEALTH] = "health",
        [API_AREA_DIALECTS] = "dialects", [API_AREA_DOCS] = "docs",
    };

    return names[area];
}

const char *
api_scope_name(enum api_scope scope)
{
    static const char *const names[] = {
        [API_SCOPE_NONE] = "",
        [API_SCOPE_PREDICT] = "predict",
        [API_SCOPE_READ] = "read",
        [API_SCOPE_WRITE] = "write",
    };

    return names[scope];
}

const struct api_route *
api_route_at(size_t i)
{
    return i < AUGURY_COUNT(routes) ? &routes[i] : NULL;
}

size_t
api_route_count(void)
{
    return AUGURY_COUNT(routes);
}

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

static bool
pattern_matches(const char *pattern, struct bytes path, struct api_match *match)
{
    size_t at = 0;

    match->parameter_count = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '{') {
            struct bytes *parameter = &match->parameters[match->parameter_count++];
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

/* True: that is it. */
static bool
route_try(const struct api_route *route, enum http_method method, struct bytes path,
          struct api_match *match)
{
    if (!pattern_matches(route->pattern, path, match)) {
        return false;
    }
    if (route->method == method) {
        match->route = route;
        return true;
    }
    match->methods |= 1U << route->method;
    match->other = match->other != NULL ? match->other : route;
    return false;
}

void
api_route_find(enum http_method method, struct bytes path, struct api_match *out_match)
{
    if (method == HTTP_HEAD) {
        method = HTTP_GET;
    }
    out_match->route = out_match->other = NULL;
    out_match->methods = 0;
    for (size_t i = 0; i < AUGURY_COUNT(routes); i++) {
        if (route_try(&routes[i], method, path, out_match)) {
            return;
        }
    }
    for (size_t i = 0; api_test_route_at(i) != NULL; i++) {
        if (route_try(api_test_route_at(i), method, path, out_match)) {
            return;
        }
    }
}
