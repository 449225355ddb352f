/* SPDX-License-Identifier: MIT */
/*
 * api_objects.c - GET, PUT and DELETE of /api/v1/objects/{name}. A GET is answered from this
 * process's view of the cache; what changes something is an order to the keeper, and its answer
 * comes when the order is committed, so that every worker's next GET sees it.
 */
#include "api_access.h"
#include "api_fetch.h"
#include "api_object.h"
#include "api_order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what every call begins with ------------------------------------------------------------- */

unsigned
object_call_check(struct api_call *call)
{
    const struct conf *conf = call->api->options.conf;

    call->wish = api_wish_of(call->request);
    if (!conf->cache.classes[CONF_CACHE_OBJECT].is_enabled) {
        return api_refuse_as(call, 404, "objects_off",
                             "objects are switched off: enabled = no in class \"object\" of cache");
    }
    if (call->api->options.cache == NULL) {
        return api_refuse_as(call, 503, "cache_off", "this worker could not open the cache");
    }
    return 0;
}

static unsigned
name_check(struct api_call *call)
{
    /* What a GET or PUT of it would mean, its POST does not. */
    if (bytes_equal_text(call->parameter, "mget")) {
        buf_put_text(call->answer->headers, "Allow: POST, OPTIONS\r\n");
        return api_refuse_at(call, 405, "method_not_allowed", "name",
                             "\"mget\" is no object: POST {\"names\":[…]} asks for many at once");
    }
    if (!object_name_is_good(call->parameter)) {
        return api_refuse_at(call, 400, "invalid_name", "name",
                             "an object's name is 1 to %d bytes of A-Z a-z 0-9 . _ ~ : / -, "
                             "without empty segments, \".\" and \"..\"",
                             OBJECT_NAME_MAX);
    }
    return 0;
}

static unsigned
write_check(struct api_call *call)
{
    if (!call->api->options.conf->cache.is_object_writable && !api_access_may_write(call)) {
        return api_refuse_at(call, 403, "not_writable", "cache.object.writable",
                             "objects are not written over HTTP here without a key of scope write; "
                             "writable = yes in class \"object\" of cache allows it to everybody");
    }
    return 0;
}

/* "?tll=1s" would keep it for another time. */
static unsigned
query_check(struct api_call *call, const char *allowed)
{
    int rc = api_query_check(call, allowed, allowed != NULL ? ", but ttl" : "");

    return rc != 0 ? api_refuse(call, rc) : 0;
}

/* ---- look up --------------------------------------------------------------------------------- */

int
object_find(struct api *api, const struct object_query *query, struct object_found *out_found)
{
    struct cache_hit hit;
    char key[OBJECT_KEY_MAX];
    struct cache_query wanted = {
        .class = CACHE_OBJECT,
        .key = object_key(query->which, query->name, key),
        .now_wall_ms = query->now_wall_ms,
        .arena = &api->arena,
        .takes_stale = object_fetcher(api, query->name) != NULL,
    };

    int rc = cache_get(api->options.cache, &wanted, &hit);
    if (rc == AUGURY_NOT_FOUND) {
        rc = api_elsewhere_find(api, wanted.key, &hit);
    }
    if (rc != 0) {
        return rc;
    }
    struct object_found found = {.stored = hit.value,
                                 .tag = cache_value_tag(hit.value),
                                 .created_wall_ms = hit.created_wall_ms,
                                 .expires_wall_ms = hit.expires_wall_ms,
                                 .cost_us = hit.cost_us,
                                 .x_cache = hit.is_stale ? API_CACHE_STALE : API_CACHE_HIT};
    if (!object_decode(hit.value, &found.object)) {
        return AUGURY_NOT_FOUND;
    }
    *out_found = found;
    return 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool
is_unchanged(const struct http_request *request, const struct object_found *found,
             const char *modified)
{
    if (request->if_none_match.len > 0) {
        return api_tag_matches(request->if_none_match, found->tag, API_TAG_WEAK);
    }
    /* As the date was given, to the byte: another one is another file (RFC 9110 13.1.3 allows more,
     * and clients send back what they got). */
    return bytes_equal(request->if_modified_since, bytes_of(modified, CLOCK_HTTP_BYTES));
}

unsigned
object_answer(struct api_call *call, const struct object_found *found)
{
    const struct object *object = &found->object;
    struct net_answer *answer = call->answer;
    char modified[CLOCK_HTTP_BYTES];
    char *type = call->api->object_type;
    struct api_wish wish = api_wish_of(call->request);
    struct api_freshness freshness = {.x_cache = found->x_cache,
                                      .is_not_to_store = wish.is_no_store,
                                      .tag = found->tag,
                                      .created_wall_ms = found->created_wall_ms,
                                      .expires_wall_ms = found->expires_wall_ms};

    struct bytes if_match = call->request->if_match;
    if (if_match.len > 0 && !api_tag_matches(if_match, found->tag, API_TAG_STRONG)) {
        return api_refuse_condition(call);
    }
    clock_to_http(object->modified_wall_ms != 0 ? object->modified_wall_ms : found->created_wall_ms,
                  modified);
    api_put_freshness(call, &freshness);
    buf_put_text(answer->headers, "Last-Modified: ");
    buf_put(answer->headers, modified, sizeof(modified));
    buf_put_text(answer->headers, "\r\nAccept-Ranges: none\r\n");
    if (is_unchanged(call->request, found, modified)) {
        return 304;
    }
    /* Outlives this call as far as the answer's head, which is written before the next one. */
    memcpy(type, object->type.data, object->type.len);
    type[object->type.len] = '\0';
    answer->content_type = type;
    buf_put_bytes(answer->body, object->content);
    call->is_coded = true; /* as it was put: the tag is of these bytes */
    return 200;
}

unsigned
object_answer_missing(struct api_call *call, const struct api_freshness *freshness)
{
    api_put_freshness(call, freshness);
    return api_refuse_at(call, 404, "object_not_found", "name", "there is no object \"%.*s\"",
                         (int)call->parameter.len, (const char *)call->parameter.data);
}

/* Nothing is known of it. */
static unsigned
answer_missed(struct api_call *call)
{
    struct api_freshness missed = {.x_cache = API_CACHE_MISS, .created_wall_ms = call->now_wall_ms};

    return object_answer_missing(call, &missed);
}

unsigned
object_refuse_uncached(struct api_call *call)
{
    return api_refuse_at(call, 504, "not_cached", "Cache-Control",
                         "only-if-cached: there is nothing in the cache for it");
}

/* ---- GET ------------------------------------------------------------------------------------- */

static unsigned
get_from_cache(struct api_call *call)
{
    struct object_query query = {.name = call->parameter, .now_wall_ms = call->now_wall_ms};
    struct object_found found;
    int rc = object_find(call->api, &query, &found);

    if (rc == 0) {
        return object_answer(call, &found);
    }
    if (rc < 0) {
        err_set(&call->err, rc, "object_unreadable", "the object does not fit one answer");
        return api_refuse(call, rc);
    }
    if (call->wish.is_only_if_cached) {
        return object_refuse_uncached(call);
    }
    char room[OBJECT_KEY_MAX];
    struct bytes key = object_key(OBJECT_KEY_VALUE, call->parameter, room);
    return api_elsewhere_ask(call, CACHE_OBJECT, &key, 1) ? API_LATER : answer_missed(call);
}

unsigned
api_get_object(struct api_call *call)
{
    struct cache *cache = call->api->options.cache;
    unsigned status = object_call_check(call);

    if (status == 0) {
        status = name_check(call);
    }
    if (status != 0) {
        return status;
    }
    int rc = cache_snapshot_begin(cache);
    if (rc != 0) {
        return api_refuse_as(call, 503, "cache_off", "the cache cannot be read now");
    }
    status = object_fetcher(call->api, call->parameter) != NULL ? object_get_or_fetch(call)
                                                                : get_from_cache(call);
    cache_snapshot_end(cache);
    return status;
}

/* ---- orders ---------------------------------------------------------------------------------- */

/* A request that waits for its order. */
struct ordered {
    struct api_later *later;
    uint64_t tag;    /* of what is put */
    unsigned status; /* when it is done */
    bool is_deletion;
    bool has_match; /* If-Match, whose bytes are gone when the answer comes */
};

/* What a condition compares with; tag 0: there is none. */
struct condition {
    enum cache_order_kind kind;
    uint64_t match;
    bool is_false;
};

static unsigned
refuse_condition(struct api_call *call, bool has_match)
{
    return api_refuse_at(call, 412, "condition_failed", has_match ? "If-Match" : "If-None-Match",
                         "the object is not as If-Match or If-None-Match want it");
}

static unsigned
answer_ordered(struct api_call *call, const struct ordered *ordered, int rc)
{
    char tag[OBJECT_TAG_BYTES];

    switch (rc) {
    case 0:
        if (!ordered->is_deletion) {
            object_tag_to_text(ordered->tag, tag);
            buf_put_text(call->answer->headers, "ETag: ");
            buf_put(call->answer->headers, tag, sizeof(tag));
            buf_put_text(call->answer->headers, "\r\n");
        }
        return ordered->status;
    case AUGURY_NOT_FOUND:
        if (ordered->is_deletion) {
            return answer_missed(call);
        }
        return refuse_condition(call, ordered->has_match);
    case AUGURY_ERR_EXISTS: return refuse_condition(call, ordered->has_match);
    case AUGURY_ERR_FULL:
        return api_refuse_as(call, 503, "no_room",
                             "the cache has no room for the object now: it takes at most half of "
                             "what `augury controller` shows as its size");
    default: break;
    }
    return api_refuse_as(call, 503, "cache_off", "the cache does not take changes now");
}

static void
on_ordered(struct api *api, void *arg, int rc)
{
    struct ordered *ordered = arg;
    struct api_call *call =
        api != NULL && ordered->later != NULL ? api_later_begin(api, ordered->later) : NULL;

    if (call != NULL) {
        api_later_end(api, &ordered->later, answer_ordered(call, ordered, rc));
    }
    api_later_free(&ordered->later);
    free(ordered);
}

static unsigned
refuse_size(struct api_call *call)
{
    return api_refuse_at(call, 413, "object_too_large", "body",
                         "an object is at most %zu bytes: what half of cache.ring takes, and not "
                         "over 1 MiB",
                         object_content_max(call->api->options.conf));
}

static unsigned
refuse_order(struct api_call *call, int rc)
{
    if (rc == AUGURY_ERR_LIMIT) {
        return refuse_size(call);
    }
    if (rc == AUGURY_ERR_FULL) {
        return api_refuse_as(call, 503, "busy", "too many changes are on their way");
    }
    return api_refuse_as(call, 503, "cache_off", "the cache does not take changes now");
}

static unsigned
order_and_wait(struct api_call *call, const struct api_order *order, const struct ordered *wanted)
{
    struct ordered *ordered = malloc(sizeof(*ordered));

    if (ordered == NULL) {
        return api_refuse_as(call, 503, "no_memory", "no memory for the change");
    }
    *ordered = *wanted;
    int rc = api_order(call->api, order, on_ordered, ordered);
    if (rc != 0) {
        free(ordered);
        return refuse_order(call, rc);
    }
    ordered->later = api_call_later(call);
    return ordered->later != NULL
               ? API_LATER
               : api_refuse_as(call, 503, "no_memory", "no memory to wait for the change");
}

/* The object as it is now, as far as this worker sees: 0, AUGURY_NOT_FOUND. */
static int
find_now(struct api_call *call, struct object_found *out_found)
{
    struct cache *cache = call->api->options.cache;
    struct object_query query = {.name = call->parameter, .now_wall_ms = call->now_wall_ms};
    int rc = cache_snapshot_begin(cache);

    if (rc == 0) {
        rc = object_find(call->api, &query, out_found);
    }
    cache_snapshot_end(cache);
    return rc == 0 && out_found->x_cache == API_CACHE_STALE ? AUGURY_NOT_FOUND : rc;
}

/* The keeper compares one tag: the one that is there now, if the list has it. */
static struct condition
condition_of(const struct http_request *request, const struct object_found *now, int found_rc)
{
    struct bytes if_match = request->if_match;
    struct condition condition = {.kind = CACHE_ORDER_PUT};

    if (if_match.len > 0) {
        condition.kind = CACHE_ORDER_PUT_IF_MATCH;
        condition.match = bytes_equal_text(if_match, "*") ? CACHE_MATCH_ANY : now->tag;
        condition.is_false = found_rc != 0 || !api_tag_matches(if_match, now->tag, API_TAG_STRONG);
    } else if (request->if_none_match.len > 0) {
        bool is_any = bytes_equal_text(request->if_none_match, "*");
        condition.kind = is_any ? CACHE_ORDER_PUT_IF_ABSENT : CACHE_ORDER_PUT;
        condition.is_false =
            found_rc == 0 && api_tag_matches(request->if_none_match, now->tag, API_TAG_WEAK);
    }
    return condition;
}

/* ---- PUT ------------------------------------------------------------------------------------- */

static unsigned
ttl_read(struct api_call *call, struct bytes text, uint32_t *out_life_s)
{
    char ttl[32] = "";

    if (text.len >= sizeof(ttl)) {
        return api_refuse_at(call, 400, "invalid_value", "ttl",
                             "ttl: expected a time such as 60s, 5min or 1h, got %zu bytes",
                             text.len);
    }
    memcpy(ttl, text.data, text.len);
    if (conf_read_seconds("ttl", ttl, OBJECT_LIFE_MAX_S, out_life_s, &call->err) != 0) {
        err_at(&call->err, "ttl");
        return api_refuse(call, AUGURY_ERR_INVALID);
    }
    return 0;
}

/* ?ttl=90s, else Cache-Control: max-age=90, else what the configuration says of such names. */
static unsigned
life_of(struct api_call *call, uint32_t *out_life_s)
{
    const struct conf *conf = call->api->options.conf;
    const struct conf_object *section = object_section(conf, call->parameter);
    struct bytes text;

    if (http_query_find(call->request->query, "ttl", &text) == 0) {
        return ttl_read(call, text, out_life_s);
    }
    *out_life_s = call->wish.max_age_s;
    if (*out_life_s == UINT32_MAX) {
        *out_life_s =
            section != NULL ? section->ttl_s : conf->cache.classes[CONF_CACHE_OBJECT].ttl_s;
    }
    if (*out_life_s == 0 || *out_life_s > OBJECT_LIFE_MAX_S) {
        return api_refuse_at(call, 400, "invalid_life", "Cache-Control",
                             "max-age is 1 to %d seconds", OBJECT_LIFE_MAX_S);
    }
    return 0;
}

static unsigned
object_of_body(struct api_call *call, struct object *out_object)
{
    struct bytes type = call->request->content_type;

    /* A part would be taken for the whole (RFC 9110 14.5). */
    if (http_header_find(call->request, "content-range").len > 0) {
        return api_refuse_at(call, 400, "invalid_request", "Content-Range",
                             "an object is put whole, without Content-Range");
    }
    if (type.len == 0) {
        type = bytes_of_text(object_type_of_name(call->parameter));
    }
    if (!object_type_is_good(type)) {
        return api_refuse_at(call, 400, "invalid_type", "Content-Type",
                             "the content type is longer than %d bytes or not plain ASCII",
                             OBJECT_TYPE_MAX);
    }
    if (call->body.len > object_content_max(call->api->options.conf)) {
        return refuse_size(call);
    }
    *out_object = (struct object){.type = type, .content = call->body};
    return 0;
}

static unsigned
put(struct api_call *call, const struct object *object, uint32_t life_s)
{
    size_t len = object_encoded_len(object);
    uint8_t *stored = arena_alloc(&call->api->arena, len);
    struct object_found now = {.tag = 0};
    char key[OBJECT_KEY_MAX];

    if (stored == NULL) {
        return refuse_size(call);
    }
    object_encode(object, stored);
    int found_rc = find_now(call, &now);
    struct condition condition = condition_of(call->request, &now, found_rc);
    bool has_match = call->request->if_match.len > 0;
    if (condition.is_false) {
        return refuse_condition(call, has_match);
    }
    struct cache_item item = {
        .class = CACHE_OBJECT,
        .key = object_key(OBJECT_KEY_VALUE, call->parameter, key),
        .value = bytes_of(stored, len),
        .created_wall_ms = call->now_wall_ms,
        .expires_wall_ms = call->now_wall_ms + (uint64_t)life_s * 1000,
        .stamp = cache_stamp(call->api->options.cache),
    };
    struct api_order order = {.kind = condition.kind, .item = &item, .match = condition.match};
    struct ordered ordered = {.tag = cache_value_tag(item.value),
                              .status = found_rc == 0 ? 204 : 201,
                              .has_match = has_match};
    return order_and_wait(call, &order, &ordered);
}

unsigned
api_put_object(struct api_call *call)
{
    struct object object;
    uint32_t life_s = 0;
    unsigned status = object_call_check(call);

    if (status == 0) {
        status = name_check(call);
    }
    if (status == 0) {
        status = write_check(call);
    }
    if (status == 0) {
        status = query_check(call, "ttl");
    }
    if (status == 0) {
        status = object_of_body(call, &object);
    }
    if (status == 0) {
        status = life_of(call, &life_s);
    }
    return status != 0 ? status : put(call, &object, life_s);
}

/* ---- DELETE ---------------------------------------------------------------------------------- */

unsigned
api_delete_object(struct api_call *call)
{
    struct object_found now = {.tag = 0};
    char key[OBJECT_KEY_MAX];
    struct ordered ordered = {.status = 204, .is_deletion = true};
    struct bytes if_match = call->request->if_match;
    unsigned status = object_call_check(call);

    if (status == 0) {
        status = name_check(call);
    }
    if (status == 0) {
        status = write_check(call);
    }
    if (status == 0) {
        status = query_check(call, NULL);
    }
    if (status != 0) {
        return status;
    }
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = object_key(OBJECT_KEY_VALUE, call->parameter, key)};
    struct api_order order = {.kind = CACHE_ORDER_PURGE, .item = &item};
    if (if_match.len > 0) {
        if (find_now(call, &now) != 0 || !api_tag_matches(if_match, now.tag, API_TAG_STRONG)) {
            return refuse_condition(call, true);
        }
        order.kind = CACHE_ORDER_PURGE_IF_MATCH;
        order.match = bytes_equal_text(if_match, "*") ? CACHE_MATCH_ANY : now.tag;
        ordered.has_match = true;
    }
    return order_and_wait(call, &order, &ordered);
}
