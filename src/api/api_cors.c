/* SPDX-License-Identifier: MIT */
/*
 * api_cors.c - pages of other origins, as browsers ask for them: which may read answers, and what
 * they may send. Source: the Fetch standard, 3.2 (CORS protocol). A browser asks beforehand (a
 * preflight: OPTIONS with Access-Control-Request-Method) or reads the fields of the answer; what a
 * page may not read is answered all the same, without the fields, for the browser keeps it.
 * Invariants:
 * 1. An origin comes back only if the configuration names it; "*" otherwise, or nothing.
 * 2. Where origins are named, every answer says Vary: Origin, also to who sent none: no cache gives
 *    the answer for one page to another.
 * 3. A preflight needs no key: browsers send none.
 */
#include "api_access.h"

#include <string.h>

static const char exposed[] =
    "Access-Control-Expose-Headers: Age, ETag, Inference-Header-Content-Length, RateLimit-Limit, "
    "RateLimit-Remaining, RateLimit-Reset, Retry-After, Server-Timing, WWW-Authenticate, X-Cache, "
    "X-Request-Id\r\n";

/* What a star stands for: one label or several, with dots between. */
static bool
is_labels(struct bytes text)
{
    bool is_begun = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!is_plain && (c != '.' || !is_begun)) {
            return false;
        }
        is_begun = is_plain;
    }
    return is_begun;
}

/* pattern: an origin, in which a star before a domain stands for labels. */
static bool
origin_matches(struct bytes pattern, struct bytes origin)
{
    const uint8_t *star = memchr(pattern.data, '*', pattern.len);

    if (star == NULL) {
        return bytes_equal(pattern, origin);
    }
    size_t head = (size_t)(star - pattern.data);
    size_t tail = pattern.len - head - 1;
    return origin.len > head + tail && memcmp(origin.data, pattern.data, head) == 0 &&
           memcmp(origin.data + origin.len - tail, star + 1, tail) == 0 &&
           is_labels(bytes_of(origin.data + head, origin.len - head - tail));
}

static bool
is_any(const struct api *api)
{
    return api->options.conf->cors.origins[0] == '*';
}

static bool
is_named(const struct api *api, struct bytes origin)
{
    const char *list = api->options.conf->cors.origins;
    struct bytes pattern;

    while (conf_list_next(&list, &pattern)) {
        if (origin_matches(pattern, origin)) {
            return true;
        }
    }
    return false;
}

void
api_cors_enter(struct api_call *call)
{
    struct bytes origin = http_header_find(call->request, "origin");

    if (origin.len > 0 && (is_any(call->api) || is_named(call->api, origin))) {
        call->origin = origin;
    }
}

/* Methods of the path that pages may use. */
static void
put_methods(const struct api_call *call, unsigned methods)
{
    const char *list = call->api->options.conf->cors.methods;
    struct buf *headers = call->answer->headers;
    const char *comma = "";
    struct bytes word;

    buf_put_text(headers, "Access-Control-Allow-Methods: ");
    while (conf_list_next(&list, &word)) {
        bool is_there = bytes_equal_text(word, "HEAD") && (methods & (1U << HTTP_GET)) != 0;
        for (unsigned method = 0; method < HTTP_METHOD_COUNT; method++) {
            is_there = is_there || ((methods & (1U << method)) != 0 &&
                                    bytes_equal_text(word, http_method_name(method)));
        }
        if (is_there) {
            buf_printf(headers, "%s%.*s", comma, (int)word.len, (const char *)word.data);
            comma = ", ";
        }
    }
    buf_put_text(headers, "\r\n");
}

void
api_cors_preflight(struct api_call *call, unsigned methods)
{
    const struct conf *conf = call->api->options.conf;
    struct buf *headers = call->answer->headers;

    if (call->origin.len == 0 ||
        http_header_find(call->request, "access-control-request-method").len == 0) {
        return;
    }
    put_methods(call, methods);
    if (conf->cors.headers[0] != '\0') {
        buf_printf(headers, "Access-Control-Allow-Headers: %s\r\n", conf->cors.headers);
    }
    buf_printf(headers, "Access-Control-Max-Age: %u\r\n", (unsigned)conf->cors.max_age_s);
}

void
api_cors_put(struct api_call *call)
{
    const struct api *api = call->api;
    struct buf *headers = call->answer->headers;

    if (!is_any(api)) {
        buf_put_text(headers, "Vary: Origin\r\n");
    }
    if (call->origin.len == 0) {
        return;
    }
    buf_put_text(headers, "Access-Control-Allow-Origin: ");
    buf_put_bytes(headers, is_any(api) ? bytes_of_text("*") : call->origin);
    buf_put_text(headers, "\r\n");
    if (api->options.conf->cors.has_credentials) {
        buf_put_text(headers, "Access-Control-Allow-Credentials: true\r\n");
    }
    buf_put(headers, exposed, sizeof(exposed) - 1);
}
