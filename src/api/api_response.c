/* SPDX-License-Identifier: MIT */
/*
 * api_response.c - rendered answers (class response): an exact repeat of a request is answered from
 * the digest of its bytes, nothing parsed, the answer's bytes sent from where they are mapped.
 *
 * Invariants:
 * 1. The key covers everything that an answer follows from: the path with the model's name, the
 *    query, the bytes of the body, both formats, what the registry has (names, versions, labels,
 *    sources) and the options that have a say. A label that moves, a model that comes or goes makes
 *    all earlier keys unreachable at once; no clock and no message is part of that.
 * 2. Kept is only what was made from the registry that the key stands for.
 * 3. A rendered answer expires with the earliest of its parts, has a stamp from before the first of
 *    them was read, and the tag of its model.
 * 4. Request id and any other header field are no part of key or value.
 */
#include "api_call.h"

#include <string.h>

/* Before the body, little-endian: format 1, wire format, coding, 0, u32 rows, u64 tag
 * (docs/formats.md). */
enum { RESPONSE_FORMAT = 1, RESPONSE_HEADER = 16 };

static const char key_prefix[] = "response:";

/* ---- what the registry has, as a digest ------------------------------------------------------ */

static size_t
put_digest(uint8_t *at, struct digest digest)
{
    le64_put(at, digest.lo);
    le64_put(at + 8, digest.hi);
    return sizeof(digest);
}

/* Contents, not the number of a commit: a registry that has been made anew counts from the
 * beginning again, while the cache may know answers of the one before. */
static struct digest
print_with(struct digest print, const struct registry_entry *entry)
{
    uint8_t parts[3 * sizeof(struct digest) + sizeof(entry->source_sha256) + 20];
    size_t at = put_digest(parts, print);

    at += put_digest(parts + at, digest_of(bytes_of_text(entry->name)));
    at += put_digest(parts + at, digest_of(entry->labels));
    memcpy(parts + at, entry->source_sha256, sizeof(entry->source_sha256));
    at += sizeof(entry->source_sha256);
    le32_put(parts + at, entry->version);
    le64_put(parts + at + 4, entry->blob_bytes);
    le64_put(parts + at + 12, entry->imported_wall_ms);
    return digest_of(bytes_of(parts, at + 20));
}

/* Options of this process that answers depend on. */
static struct digest
print_of_options(const struct api *api)
{
    const struct predict_context *predict = api->options.predict;
    uint32_t options[] = {RESPONSE_FORMAT, predict->decimals, predict->rows_max,
                          api->options.conf->limits.json_depth};

    return digest_of(bytes_of(options, sizeof(options)));
}

/* After a commit in the registry; the turn's snapshot of it is open. */
static void
print_follow(struct api *api)
{
    const struct registry *registry = api->options.predict->registry;
    uint64_t change_id = registry_change_id(registry);

    if (api->has_registry_print && api->registry_change_id == change_id) {
        return;
    }
    struct digest print = print_of_options(api);
    for (size_t i = 0; registry_entry_at(registry, i) != NULL; i++) {
        print = print_with(print, registry_entry_at(registry, i));
    }
    api->registry_print = print;
    api->registry_change_id = change_id;
    api->has_registry_print = true;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

bool
api_turn_begin(struct api *api)
{
    if (api->has_turn) {
        return true;
    }
    if (registry_snapshot_begin(api->options.predict->registry) != 0) {
        return false;
    }
    if (cache_snapshot_begin(api->options.cache) != 0) {
        registry_snapshot_end(api->options.predict->registry);
        return false;
    }
    print_follow(api);
    api->has_turn = true;
    return true;
}

void
api_turn_end(void *arg)
{
    struct api *api = arg;

    if (api->has_turn) {
        api->has_turn = false;
        cache_snapshot_end(api->options.cache);
        registry_snapshot_end(api->options.predict->registry);
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* "response:/api/v1/predict/nfl-wp:" and 32 hexadecimal digits. A path that is too long for a key
 * is answered without. */
static void
key_make(struct api_call *call)
{
    const struct http_request *request = call->request;
    const struct api *api = call->api;
    struct api_response *response = &call->response;
    uint8_t parts[3 * sizeof(struct digest) + 2];
    size_t prefix_len = sizeof(key_prefix) - 1;
    size_t len = prefix_len + request->path.len + 1 + DIGEST_HEX_BYTES;

    if (len > sizeof(response->key)) {
        return;
    }
    size_t at = put_digest(parts, api->registry_print);
    at += put_digest(parts + at, cache_digest(api->options.cache, call->body));
    at += put_digest(parts + at, cache_digest(api->options.cache, request->query));
    parts[at++] = (uint8_t)call->body_format;
    parts[at++] = (uint8_t)call->writer.format;
    struct digest digest = cache_digest(api->options.cache, bytes_of(parts, at));
    memcpy(response->key, key_prefix, prefix_len);
    memcpy(response->key + prefix_len, request->path.data, request->path.len);
    response->key[prefix_len + request->path.len] = ':';
    digest_to_hex(digest, response->key + prefix_len + request->path.len + 1);
    response->key_len = len;
    response->change_id = api->registry_change_id;
    response->has_key = true;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

/* What another process wrote is looked at before it is followed. */
static bool
value_is_ours(const struct api_call *call, struct bytes value)
{
    return value.len >= RESPONSE_HEADER && value.data[0] == RESPONSE_FORMAT &&
           value.data[1] == (uint8_t)call->writer.format && value.data[2] == 0;
}

static bool
is_young_enough(const struct api_call *call, const struct cache_hit *hit)
{
    uint64_t most_ms = (uint64_t)call->wish.max_age_s * 1000;

    return call->wish.max_age_s == UINT32_MAX ||
           hit->created_wall_ms + most_ms >= call->now_wall_ms;
}

/* is_gathered: the value lies in pieces in the map and whole in the arena, which ends with the
 * call. */
static void
answer_from(struct api_call *call, const struct cache_hit *hit, bool is_gathered)
{
    struct api_freshness freshness = {.x_cache = API_CACHE_HIT,
                                      .tag = le64_get(hit->value.data + 8),
                                      .created_wall_ms = hit->created_wall_ms,
                                      .expires_wall_ms = hit->expires_wall_ms};
    struct stats_slot *stats = call->api->options.slot;

    api_put_freshness(call->answer->headers, &freshness, call->now_wall_ms);
    struct bytes body =
        bytes_of(hit->value.data + RESPONSE_HEADER, hit->value.len - RESPONSE_HEADER);
    if (is_gathered) {
        buf_put_bytes(call->answer->body, body);
    } else {
        call->answer->ready = body;
    }
    stats_add(stats, STATS_PREDICT_REQUESTS, 1);
    stats_add(stats, STATS_PREDICT_ROWS, le32_get(hit->value.data + 4));
}

static bool
find_kept(struct api_call *call)
{
    struct api *api = call->api;
    size_t used = api->arena.used;
    struct cache_hit hit;

    struct cache_query query = {.class = CACHE_RESPONSE,
                                .key = bytes_of(call->response.key, call->response.key_len),
                                .now_wall_ms = call->now_wall_ms,
                                .arena = &api->arena};
    if (cache_get(api->options.cache, &query, &hit) != 0 || !value_is_ours(call, hit.value) ||
        !is_young_enough(call, &hit)) {
        return false;
    }
    answer_from(call, &hit, api->arena.used != used);
    return true;
}

bool
api_response_find(struct api_call *call)
{
    struct api *api = call->api;
    const struct conf_cache_class *class = &api->options.conf->cache.classes[CONF_CACHE_RESPONSE];
    bool is_found = false;

    call->response.has_key = false;
    if (api->options.cache == NULL || !class->is_enabled || class->ttl_s == 0 ||
        call->wish.is_no_store || call->body.len == 0) {
        return false;
    }
    call->response.stamp = cache_stamp(api->options.cache);
    if (api_turn_begin(api)) {
        key_make(call);
        is_found = call->response.has_key && !call->wish.is_no_cache && find_kept(call);
    }
    if (!is_found) {
        api_turn_end(api);
    }
    return is_found;
}

/* ---- keeping --------------------------------------------------------------------------------- */

void
api_response_keep(struct api_call *call, const struct api_made *made)
{
    struct api *api = call->api;
    size_t len = RESPONSE_HEADER + made->content.len;

    if (!call->response.has_key || len > CACHE_VALUE_MAX ||
        registry_change_id(api->options.predict->registry) != call->response.change_id) {
        return;
    }
    uint8_t *value = arena_alloc(&api->arena, len);
    if (value == NULL) {
        return;
    }
    value[0] = RESPONSE_FORMAT;
    value[1] = (uint8_t)call->writer.format;
    value[2] = 0;
    value[3] = 0;
    le32_put(value + 4, made->row_count);
    le64_put(value + 8, made->content_tag);
    memcpy(value + RESPONSE_HEADER, made->content.data, made->content.len);
    struct cache_item item = {.class = CACHE_RESPONSE,
                              .key = bytes_of(call->response.key, call->response.key_len),
                              .value = bytes_of(value, len),
                              .created_wall_ms = made->created_wall_ms,
                              .expires_wall_ms = made->expires_wall_ms,
                              .stamp = call->response.stamp,
                              .cost_us = made->cost_us,
                              .tags = {made->tag}};
    /* A full ring drops the entry and counts it; the answer is not concerned. */
    (void)cache_put(api->options.cache, &item);
}
