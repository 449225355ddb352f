/* SPDX-License-Identifier: MIT */
/*
 * api_openapi.c - GET /openapi.json: the table of routes as an OpenAPI 3.1 document. Paths,
 * methods, tags and the forms of bodies come from the table; what bodies look like, from the
 * handler's row here and the schemas in api_openapi_schemas.c. Source: OpenAPI Specification 3.1.0.
 */
#include "api_openapi.h"
#include "api_routes.h"

#include <stdlib.h>
#include <string.h>

/* What the table does not say of a handler. */
struct described {
    api_handler_fn *handler;
    const char *request;    /* schema of the body, or NULL */
    const char *answer;     /* schema, or NULL: no document of ours */
    const char *successes;  /* "201 204" */
    const char *parameters; /* beside those of the path, as components are named */
    const char *refusal;    /* a component of responses */
};

static const struct described handlers[] = {
    {api_post_predict, "PredictRequest", "PredictAnswer", "200",
     "outputs level top_k use_cache ignore_unknown include_uncertainty include_feature_importance "
     "cache_control request_timeout allow_stale",
     "Error"},
    {api_post_oip_infer, "OipInferRequest", "OipInferAnswer", "200",
     "header_length cache_control request_timeout allow_stale", "Error"},
    {api_post_v1_predict, "V1Request", "V1Answer", "200",
     "cache_control request_timeout allow_stale", "Error"},
    {api_post_invocations, "InvocationsRequest", "InvocationsAnswer", "200",
     "outputs level top_k use_cache ignore_unknown include_uncertainty include_feature_importance "
     "cache_control request_timeout allow_stale",
     "InvocationsError"},
    {api_get_object, NULL, NULL, "200", "if_none_match cache_control", "Error"},
    {api_put_object, NULL, NULL, "201 204", "ttl if_match if_none_match cache_control", "Error"},
    {api_delete_object, NULL, NULL, "204", "if_match", "Error"},
    {api_post_objects_mget, "MgetRequest", "MgetAnswer", "200", "", "Error"},
    {api_get_health, NULL, "Health", "200", "", "Health"},
    {api_get_metrics, NULL, NULL, "200", "", "Error"},
    {api_get_models, NULL, "Models", "200", "if_none_match", "Error"},
    {api_get_model, NULL, "Model", "200", "if_none_match", "Error"},
    {api_get_status, NULL, "Status", "200", "", "Error"},
    {api_get_performance, NULL, "Performance", "200", "", "Error"},
    {api_get_events, NULL, NULL, "200", "every", "Error"},
    {api_get_predict_stream, NULL, NULL, "101 426", "", "Error"},
    {api_get_index, NULL, "Index", "200", "", "Error"},
    {api_get_openapi, NULL, NULL, "200", "if_none_match", "Error"},
    {api_get_oip_server, NULL, "OipServer", "200", "", "Error"},
    {api_get_oip_models, NULL, "ModelNames", "200", "", "Error"},
    {api_get_oip_model, NULL, "OipModel", "200", "", "Error"},
    {api_get_oip_config, NULL, "OipConfig", "200", "", "Error"},
    {api_get_oip_model_ready, NULL, "OipModelReady", "200", "", "Error"},
    {api_get_alive, NULL, "Alive", "200", "", "Error"},
    {api_get_live, NULL, "Live", "200", "", "Error"},
    {api_get_oip_stats, NULL, "OipStatistics", "200", "", "Error"},
    {api_post_oip_load, "OipLoadRequest", "OipLoaded", "200", "", "Error"},
    {api_post_oip_unload, "OipLoadRequest", NULL, "", "", "Error"},
    {api_post_oip_index, "OipIndexRequest", "OipIndex", "200", "", "Error"},
    {api_get_v1_model, NULL, "V1Model", "200", "", "Error"},
    {api_get_version, NULL, NULL, "200", "", "Error"},
};

static const struct {
    enum api_form form;
    const char *type;
    bool has_schema; /* the same document as JSON */
} forms[] = {
    {API_FORM_JSON, "application/json", true},
    {API_FORM_MSGPACK, "application/msgpack", true},
    {API_FORM_CSV, "text/csv", false},
    {API_FORM_NPY, "application/x-npy", false},
    {API_FORM_NDJSON, "application/x-ndjson", false},
    {API_FORM_TEXT, "text/plain", false},
    {API_FORM_BYTES, "application/octet-stream", false},
    {API_FORM_EVENTS, "text/event-stream", false},
};

/* A row that says nothing of its bodies is described all the same, and a test tells. */
static const struct described *
described_of(const struct api_route *route)
{
    static const struct described unknown = {NULL, NULL, NULL, "200", "", "Error"};

    for (size_t i = 0; i < AUGURY_COUNT(handlers); i++) {
        if (handlers[i].handler == route->handler) {
            return &handlers[i];
        }
    }
    return &unknown;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* JSON with ' for ". */
static void
put_json(struct buf *buf, const char *text)
{
    for (; *text != '\0'; text++) {
        buf_put_u8(buf, *text == '\'' ? '"' : (uint8_t)*text);
    }
}

static void
put_quoted(struct buf *buf, const char *text)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_JSON, buf);
    wire_put_text(&writer, text);
}

/* "/v1/models/{model}:predict" as get_v1_models_model_predict. */
static void
put_operation_id(struct buf *buf, const struct api_route *route)
{
    bool has_gap = true;

    for (const char *at = http_method_name(route->method); *at != '\0'; at++) {
        buf_put_u8(buf, (uint8_t)(*at | 0x20));
    }
    for (const char *at = route->pattern; *at != '\0'; at++) {
        bool is_letter =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        if (is_letter && has_gap) {
            buf_put_u8(buf, '_');
        }
        if (is_letter) {
            buf_put_u8(buf, (uint8_t)*at);
        }
        has_gap = !is_letter;
    }
    if (has_gap && route->pattern[strlen(route->pattern) - 1] == '/') {
        buf_put_text(buf, "_slash");
    }
}

/* The pattern without the stars of its parameters. */
static void
put_path(struct buf *buf, const char *pattern)
{
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '*') {
            buf_put_u8(buf, (uint8_t)*pattern);
        }
    }
}

/* ---- one operation --------------------------------------------------------------------------- */

/* Behind a first one comes a comma. */
static void
put_parameter(struct buf *buf, const char *name, size_t len, bool *is_first)
{
    buf_printf(buf, "%s{\"$ref\":\"#/components/parameters/%.*s\"}", *is_first ? "" : ",", (int)len,
               name);
    *is_first = false;
}

static void
put_parameters(struct buf *buf, const struct api_route *route, const struct described *described)
{
    bool is_first = true;

    buf_put_text(buf, "\"parameters\":[");
    for (const char *at = strchr(route->pattern, '{'); at != NULL; at = strchr(at, '{')) {
        at++;
        put_parameter(buf, at, strcspn(at, "*}"), &is_first);
    }
    for (const char *at = described->parameters; *at != '\0';) {
        size_t len = strcspn(at, " ");
        put_parameter(buf, at, len, &is_first);
        at += len + strspn(at + len, " ");
    }
    buf_put_text(buf, "],");
}

/* schema: of what is a document; NULL: of none. */
static void
put_content(struct buf *buf, unsigned wanted, const char *schema)
{
    bool is_first = true;

    buf_put_text(buf, "\"content\":{");
    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        if ((wanted & forms[i].form) == 0) {
            continue;
        }
        buf_printf(buf, "%s\"%s\":{", is_first ? "" : ",", forms[i].type);
        if (forms[i].has_schema && schema != NULL) {
            buf_printf(buf, "\"schema\":{\"$ref\":\"#/components/schemas/%s\"}", schema);
        }
        buf_put_u8(buf, '}');
        is_first = false;
    }
    buf_put_u8(buf, '}');
}

static const char *
status_text(const char *digits)
{
    return http_status_text((unsigned)strtoul(digits, NULL, 10));
}

/* MLflow's clients may ask with CSV, and are answered with JSON. */
static unsigned
answer_forms_of(const struct api_route *route)
{
    return route->handler == api_post_invocations ? API_FORM_JSON : route->forms;
}

static void
put_responses(struct buf *buf, const struct api_route *route, const struct described *described)
{
    buf_put_text(buf, "\"responses\":{");
    for (const char *at = described->successes; *at != '\0';) {
        size_t len = strcspn(at, " ");
        bool has_content = strncmp(at, "200", len) == 0;
        buf_printf(buf, "\"%.*s\":{\"description\":\"%s\"", (int)len, at,
                   has_content    ? "The answer."
                   : at[0] == '2' ? "Done."
                                  : status_text(at));
        if (has_content) {
            buf_put_u8(buf, ',');
            put_content(buf, answer_forms_of(route), described->answer);
        }
        buf_put_text(buf, "},");
        at += len + strspn(at + len, " ");
    }
    if (strstr(described->parameters, "if_none_match") != NULL && route->method == HTTP_GET) {
        buf_put_text(buf, "\"304\":{\"description\":\"As If-None-Match says.\"},");
    }
    buf_printf(buf, "\"default\":{\"$ref\":\"#/components/responses/%s\"}}", described->refusal);
}

/* Where keys are asked for at all: {} says that it may be without. */
static void
put_security(struct buf *buf, enum api_scope scope)
{
    const char *name = api_scope_name(scope);

    if (scope != API_SCOPE_NONE) {
        buf_printf(buf, "\"security\":[{},{\"bearer\":[\"%s\"]},{\"key\":[\"%s\"]}],", name, name);
    }
}

static void
put_operation(struct buf *buf, const struct api_route *route)
{
    const struct described *described = described_of(route);
    bool has_body = described->request != NULL || route->method == HTTP_PUT;

    buf_put_u8(buf, '"');
    for (const char *at = http_method_name(route->method); *at != '\0'; at++) {
        buf_put_u8(buf, (uint8_t)(*at | 0x20));
    }
    buf_printf(buf, "\":{\"tags\":[\"%s\"],\"summary\":", api_area_name(route->area));
    put_quoted(buf, route->sentence);
    buf_put_text(buf, ",\"operationId\":\"");
    put_operation_id(buf, route);
    buf_put_text(buf, "\",");
    put_parameters(buf, route, described);
    if (has_body) {
        buf_put_text(buf, "\"requestBody\":{");
        put_content(buf, route->forms, described->request);
        buf_put_text(buf, "},");
    }
    put_security(buf, route->scope);
    put_responses(buf, route, described);
    buf_put_u8(buf, '}');
}

/* ---- the document ---------------------------------------------------------------------------- */

static bool
is_first_of_pattern(size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(api_route_at(j)->pattern, api_route_at(i)->pattern) == 0) {
            return false;
        }
    }
    return true;
}

static void
put_paths(struct buf *buf, uint32_t areas)
{
    const struct api_route *route;
    const struct api_route *other;
    const char *separator = "\"";

    buf_put_text(buf, "\"paths\":{");
    for (size_t i = 0; (route = api_route_at(i)) != NULL; i++) {
        if ((areas & (1U << route->area)) == 0 || !is_first_of_pattern(i)) {
            continue;
        }
        buf_put_text(buf, separator);
        separator = ",\"";
        put_path(buf, route->pattern);
        buf_put_text(buf, "\":{");
        put_operation(buf, route);
        for (size_t j = i + 1; (other = api_route_at(j)) != NULL; j++) {
            if (strcmp(other->pattern, route->pattern) == 0) {
                buf_put_u8(buf, ',');
                put_operation(buf, other);
            }
        }
        buf_put_u8(buf, '}');
    }
    buf_put_text(buf, "},");
}

static void
put_components(struct buf *buf)
{
    const struct openapi_components *components;

    buf_put_text(buf, "\"components\":{");
    for (size_t i = 0; (components = openapi_components_at(i)) != NULL; i++) {
        buf_printf(buf, "%s\"%s\":{", i == 0 ? "" : ",", components->name);
        for (size_t j = 0; j < components->count; j++) {
            buf_printf(buf, "%s\"%s\":", j == 0 ? "" : ",", components->list[j].name);
            put_json(buf, components->list[j].text);
        }
        buf_put_u8(buf, '}');
    }
    buf_put_u8(buf, '}');
}

static void
put_tags(struct buf *buf, uint32_t areas)
{
    static const char *const sentences[] = {
        [API_AREA_PREDICT] = "Predictions.",
        [API_AREA_OBJECTS] = "Bytes that the cache keeps for clients, or reads from files.",
        [API_AREA_MODELS] = "What can be asked.",
        [API_AREA_STATUS] = "The daemon: its processes, and what they do.",
        [API_AREA_METRICS] = "Counters for Prometheus.",
        [API_AREA_HEALTH] = "Whether this worker can answer.",
        [API_AREA_DIALECTS] = "Protocols of other servers.",
        [API_AREA_DOCS] = "What there is.",
    };

    const char *separator = "";

    buf_put_text(buf, "\"tags\":[");
    for (unsigned area = 0; area < API_AREA_COUNT; area++) {
        if ((areas & (1U << area)) != 0) {
            buf_printf(buf, "%s{\"name\":\"%s\",\"description\":\"%s\"}", separator,
                       api_area_name((enum api_area)area), sentences[area]);
            separator = ",";
        }
    }
    buf_put_text(buf, "],");
}

void
api_put_openapi(struct buf *buf, uint32_t areas)
{
    buf_put_text(buf, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"augury\",\"version\":\"");
    buf_put_text(buf, PACKAGE_VERSION);
    buf_put_text(buf, "\",\"summary\":\"A prediction server for tabular models.\","
                      "\"description\":\"HEAD is possible wherever GET is. An answer has the form "
                      "that Accept asks for, else that of the request.\","
                      "\"license\":{\"name\":\"MIT\",\"identifier\":\"MIT\"}},");
    put_tags(buf, areas);
    put_paths(buf, areas);
    put_components(buf);
    buf_put_u8(buf, '}');
}

unsigned
api_get_openapi(struct api_call *call)
{
    api_call_form(call, WIRE_JSON);
    api_put_openapi(call->answer->body, api_listener_areas(call));
    call->is_tagged = true;
    return 200;
}
