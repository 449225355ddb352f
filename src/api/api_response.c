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

/* Before the body, little-endian: format 3, form, coding, 0, u32 rows, u64 tag, u32 model, u32 0
 * (docs/formats.md). */
enum { RESPONSE_FORMAT = 3, RESPONSE_HEADER = CACHE_RESPONSE_HEAD };

static const char key_prefix[] = "response:";
static const char twin_suffix[] = ":gzip"; /* of the key of the compressed form */

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
    const struct conf *conf = api->options.conf;
    uint32_t options[] = {RESPONSE_FORMAT, predict->decimals, predict->rows_max,
                          conf->limits.json_depth};
    uint8_t parts[sizeof(options) + sizeof(struct digest)];

    memcpy(parts, options, sizeof(options));
    put_digest(parts + sizeof(options),
               digest_of(bytes_of(conf->dialects, conf->dialect_count * sizeof(*conf->dialects))));
    return digest_of(bytes_of(parts, sizeof(parts)));
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

    if (len + sizeof(twin_suffix) - 1 > sizeof(response->key)) {
        return;
    }
    size_t at = put_digest(parts, api->registry_print);
    at += put_digest(parts + at, cache_digest(api->options.cache, call->body));
    at += put_digest(parts + at, cache_digest(api->options.cache, request->query));
    parts[at++] = (uint8_t)call->body_form;
    parts[at++] = (uint8_t)call->form;
    struct digest digest = cache_digest(api->options.cache, bytes_of(parts, at));
    memcpy(response->key, key_prefix, prefix_len);
    memcpy(response->key + prefix_len, request->path.data, request->path.len);
    response->key[prefix_len + request->path.len] = ':';
    digest_to_hex(digest, response->key + prefix_len + request->path.len + 1);
    memcpy(response->key + len, twin_suffix, sizeof(twin_suffix) - 1);
    response->key_len = len;
    response->change_id = api->registry_change_id;
    response->has_key = true;
}

static struct api_odds *
odds_of(const struct api_call *call)
{
    return api_odds_of(call->api->odds, call->request->path);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A rendered answer, with or without a life in the cache yet. */
struct rendered {
    struct bytes body;
    enum api_coding coding;
    uint64_t tag;
    uint32_t row_count;
    uint32_t model_key;
};

static struct bytes
key_for(const struct api_call *call, enum api_coding coding)
{
    size_t suffix_len = coding == API_GZIP ? sizeof(twin_suffix) - 1 : 0;

    return bytes_of(call->response.key, call->response.key_len + suffix_len);
}

/* What another process wrote is looked at before it is followed. */
static bool
value_read(const struct api_call *call, struct bytes value, enum api_coding coding,
           struct rendered *out_rendered)
{
    if (value.len < RESPONSE_HEADER || value.data[0] != RESPONSE_FORMAT ||
        value.data[1] != (uint8_t)call->form || value.data[2] != (uint8_t)coding) {
        return false;
    }
    *out_rendered = (struct rendered){
        .body = bytes_of(value.data + RESPONSE_HEADER, value.len - RESPONSE_HEADER),
        .coding = coding,
        .tag = le64_get(value.data + 8),
        .row_count = le32_get(value.data + 4),
        .model_key = le32_get(value.data + 16),
    };
    return true;
}

/* item has everything but key and value. False: it will not be found. */
static bool
keep(struct api_call *call, struct cache_item *item, const struct rendered *rendered)
{
    size_t len = RESPONSE_HEADER + rendered->body.len;
    uint8_t *value = len <= CACHE_VALUE_MAX ? arena_alloc(&call->api->arena, len) : NULL;

    if (value == NULL) {
        return false;
    }
    value[0] = RESPONSE_FORMAT;
    value[1] = (uint8_t)call->form;
    value[2] = (uint8_t)rendered->coding;
    value[3] = 0;
    le32_put(value + 4, rendered->row_count);
    le64_put(value + 8, rendered->tag);
    le32_put(value + 16, rendered->model_key);
    le32_put(value + 20, 0);
    memcpy(value + RESPONSE_HEADER, rendered->body.data, rendered->body.len);
    item->class = CACHE_RESPONSE;
    /* What is looked for without much hope is kept when it has come twice. */
    item->admission =
        api_odds_are_bad(odds_of(call)) && call->api->response_admission == CACHE_ADMIT_AUTO
            ? CACHE_ADMIT_SECOND
            : call->api->response_admission;
    item->key = key_for(call, rendered->coding);
    item->value = bytes_of(value, len);
    /* A full ring drops the entry and counts it; the answer is not concerned. */
    return cache_put(call->api->options.cache, item) == 0;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

/* For how long after its time an entry is kept says nothing of who gets it. */
static bool
is_in_time(const struct api_call *call, const struct cache_hit *hit, uint32_t stale_s)
{
    uint64_t most_ms = (uint64_t)stale_s * 1000;

    return !hit->is_stale || hit->expires_wall_ms + most_ms > call->now_wall_ms;
}

static bool
is_young_enough(const struct api_call *call, const struct cache_hit *hit)
{
    uint64_t most_ms = (uint64_t)call->wish.max_age_s * 1000;

    return call->wish.max_age_s == UINT32_MAX ||
           hit->created_wall_ms + most_ms >= call->now_wall_ms;
}

/* What was looked up: a value that lies in pieces in the map is whole in the arena, which ends with
 * the call. */
static bool
lookup(struct api_call *call, enum api_coding coding, struct cache_hit *out_hit,
       struct rendered *out_rendered, bool *out_is_in_arena)
{
    struct api *api = call->api;
    size_t used = api->arena.used;

    struct cache_query query = {.class = CACHE_RESPONSE,
                                .key = key_for(call, coding),
                                .now_wall_ms = call->now_wall_ms,
                                .arena = &api->arena,
                                .takes_stale = call->response.takes_stale};
    bool is_found = cache_get(api->options.cache, &query, out_hit) == 0 &&
                    is_in_time(call, out_hit, api->response_stale_s) &&
                    is_young_enough(call, out_hit) &&
                    value_read(call, out_hit->value, coding, out_rendered);
    *out_is_in_arena = api->arena.used != used;
    return is_found;
}

/* The gzip form of what is rendered, made the first time that somebody wants it and kept for as
 * long. */
static bool
twin_make(struct api_call *call, const struct cache_hit *hit, struct rendered *rendered)
{
    struct bytes coded;

    if (api_encode(call->api, WIRE_EFFORT_USUAL, rendered->body, &coded) != 0) {
        return false;
    }
    rendered->body = coded;
    rendered->coding = API_GZIP;
    rendered->tag = api_tag_of(coded);
    struct cache_item item = {.created_wall_ms = hit->created_wall_ms,
                              .expires_wall_ms = hit->expires_wall_ms,
                              .stamp = hit->stamp,
                              .stale_s = hit->stale_s,
                              .cost_us = hit->cost_us};
    memcpy(item.tags, hit->tags, sizeof(item.tags));
    (void)keep(call, &item, rendered);
    return true;
}

static void
answer_from(struct api_call *call, const struct cache_hit *hit, const struct rendered *rendered)
{
    struct api_freshness freshness = {.x_cache = hit->is_stale ? API_CACHE_STALE : API_CACHE_HIT,
                                      .tag = rendered->tag,
                                      .created_wall_ms = hit->created_wall_ms,
                                      .expires_wall_ms = hit->expires_wall_ms};
    struct stats_slot *stats = call->api->options.slot;

    api_put_freshness(call, &freshness);
    stats_add(stats, STATS_PREDICT_REQUESTS, 1);
    stats_add(stats, STATS_PREDICT_ROWS, rendered->row_count);
    if (hit->is_stale) {
        stats_add(stats, STATS_PREDICT_STALE, 1);
    }
    api_figures_hit(call, rendered->model_key, call->response.sampled_ns);
}

void
api_response_answer(struct api_call *call, const struct api_made *made, enum api_x_cache x_cache)
{
    struct api_freshness freshness = {.x_cache = x_cache,
                                      .tag = made->content_tag,
                                      .created_wall_ms = made->created_wall_ms,
                                      .expires_wall_ms = made->expires_wall_ms};
    enum api_coding coding = api_coding_for(call, made->content.len);
    struct stats_slot *stats = call->api->options.slot;
    struct bytes coded;

    if (coding == API_GZIP &&
        api_encode(call->api, api_effort_now(call->api), made->content, &coded) == 0) {
        freshness.tag = api_tag_of(coded);
        call->answer->ready = coded;
    } else {
        coding = API_IDENTITY;
        buf_put_bytes(call->answer->body, made->content);
    }
    api_put_freshness(call, &freshness);
    api_put_coding(call, made->content.len, coding);
    call->is_coded = true;
    stats_add(stats, STATS_PREDICT_REQUESTS, 1);
    stats_add(stats, STATS_PREDICT_ROWS, made->row_count);
    api_figures_hit(call, made->model_key, 0);
}

/* Made anew by this request before its time is over, so that the many that come after it need not
 * all find it gone. */
static bool
is_due(struct api_call *call, const struct cache_hit *hit)
{
    struct api_early early = {.now_wall_ms = call->now_wall_ms,
                              .expires_wall_ms = hit->expires_wall_ms,
                              .cost_us = hit->cost_us};

    return !call->wish.is_only_if_cached && api_is_early(&early, &call->api->random);
}

/* Of those that find it past its time one makes it anew; it answers the others meanwhile. */
static bool
is_to_be_made(struct api_call *call, const struct cache_hit *hit)
{
    if (hit->is_stale) {
        return !call->wish.is_only_if_cached && api_flight_take(call, hit->cost_us);
    }
    return is_due(call, hit);
}

static bool
find_kept(struct api_call *call)
{
    struct cache_hit hit;
    struct rendered rendered;
    bool is_in_arena;

    call->response.takes_stale = call->api->response_stale_s > 0;
    if (!lookup(call, API_IDENTITY, &hit, &rendered, &is_in_arena)) {
        return false;
    }
    call->response.is_due = is_to_be_made(call, &hit);
    if (call->response.is_due) {
        return false;
    }
    /* The twin of one that has been made anew is another answer. */
    call->response.takes_stale = hit.is_stale;
    size_t len = rendered.body.len;
    if (api_coding_for(call, len) == API_GZIP) {
        struct cache_hit twin_hit;
        struct rendered twin;
        bool is_twin_in_arena;
        if (lookup(call, API_GZIP, &twin_hit, &twin, &is_twin_in_arena)) {
            hit = twin_hit;
            rendered = twin;
            is_in_arena = is_twin_in_arena;
        } else if (twin_make(call, &hit, &rendered)) {
            is_in_arena = false;
        }
    }
    answer_from(call, &hit, &rendered);
    api_put_coding(call, len, rendered.coding);
    call->is_coded = true;
    if (is_in_arena) {
        buf_put_bytes(call->answer->body, rendered.body);
    } else {
        call->answer->ready = rendered.body;
    }
    return true;
}

/* ---- past its time --------------------------------------------------------------------------- */

static bool
lookup_stale(struct api_call *call, struct cache_hit *out_hit, struct rendered *out_rendered)
{
    struct api *api = call->api;
    uint32_t stale_s =
        call->wish.stale_s > api->response_stale_s ? call->wish.stale_s : api->response_stale_s;
    struct cache_query query = {.class = CACHE_RESPONSE,
                                .key = key_for(call, API_IDENTITY),
                                .now_wall_ms = call->now_wall_ms,
                                .arena = &api->arena,
                                .takes_stale = stale_s > 0};

    return cache_get(api->options.cache, &query, out_hit) == 0 &&
           is_in_time(call, out_hit, stale_s) && is_young_enough(call, out_hit) &&
           value_read(call, out_hit->value, API_IDENTITY, out_rendered);
}

/* Rare, so the bytes are copied, and the form is the plain one. */
bool
api_response_find_stale(struct api_call *call)
{
    struct api *api = call->api;
    struct cache_hit hit;
    struct rendered rendered;

    if (!call->response.has_key || call->wish.is_no_cache ||
        (call->wish.stale_s == 0 && !call->response.is_due) || api->has_turn ||
        cache_snapshot_begin(api->options.cache) != 0) {
        return false;
    }
    bool is_found = lookup_stale(call, &hit, &rendered);
    if (is_found) {
        struct api_freshness freshness = {.x_cache = hit.is_stale ? API_CACHE_STALE : API_CACHE_HIT,
                                          .tag = rendered.tag,
                                          .created_wall_ms = hit.created_wall_ms,
                                          .expires_wall_ms = hit.expires_wall_ms};
        buf_reset(call->answer->body);
        buf_put_bytes(call->answer->body, rendered.body);
        api_put_freshness(call, &freshness);
    }
    cache_snapshot_end(api->options.cache);
    return is_found;
}

bool
api_response_is_kept(struct api *api, struct bytes key)
{
    struct cache_query query = {
        .class = CACHE_RESPONSE, .key = key, .now_wall_ms = clock_wall_ms(), .arena = &api->arena};
    struct cache_hit hit;
    bool is_kept = api_turn_begin(api) && cache_get(api->options.cache, &query, &hit) == 0;

    api_turn_end(api);
    return is_kept;
}

/* Where everything is to be kept, everything is looked for, as is what only the cache may answer,
 * and what another process was to make. */
static bool
is_likely(const struct api_call *call)
{
    return call->api->response_admission == CACHE_ADMIT_ALWAYS || call->wish.is_only_if_cached ||
           call->wish.stale_s > 0 || call->flight.is_late || api_odds_ask(odds_of(call));
}

bool
api_response_find(struct api_call *call)
{
    struct api *api = call->api;
    const struct conf_cache_class *class = &api->options.conf->cache.classes[CONF_CACHE_RESPONSE];
    bool is_found = false;

    call->response.has_key = false;
    call->response.is_due = false;
    if (api->options.cache == NULL || !class->is_enabled || class->ttl_s == 0 ||
        call->wish.is_no_store || call->body.len == 0) {
        api_turn_end(api);
        return false;
    }
    if (!is_likely(call)) {
        call->response.is_unlikely = true;
        api_turn_end(api);
        return false;
    }
    call->response.sampled_ns = api_figures_is_sample(&api->looked_count) ? clock_mono_ns() : 0;
    call->response.stamp = cache_stamp(api->options.cache);
    if (api_turn_begin(api)) {
        key_make(call);
        is_found = call->response.has_key && !call->wish.is_no_cache && find_kept(call);
    }
    if (is_found) {
        odds_of(call)->misses = 0;
    } else {
        api_odds_miss(odds_of(call));
        api_turn_end(api);
    }
    return is_found;
}

/* ---- keeping --------------------------------------------------------------------------------- */

bool
api_response_keep(struct api_call *call, const struct api_made *made)
{
    uint64_t change_id = registry_change_id(call->api->options.predict->registry);
    struct cache_item item = {.created_wall_ms = made->created_wall_ms,
                              .expires_wall_ms = made->expires_wall_ms,
                              .stamp = call->response.stamp,
                              .stale_s = call->api->response_kept_s,
                              .cost_us = made->cost_us,
                              .tags = {made->tag}};
    struct rendered rendered = {.body = made->content,
                                .coding = API_IDENTITY,
                                .tag = made->content_tag,
                                .row_count = made->row_count,
                                .model_key = made->model_key};

    if (!call->response.has_key || change_id != call->response.change_id) {
        return false;
    }
    api_odds_learn(odds_of(call), made->cost_us);
    bool is_kept = keep(call, &item, &rendered);
    if (made->coded.len > 0) {
        rendered.body = made->coded;
        rendered.coding = API_GZIP;
        rendered.tag = made->coded_tag;
        (void)keep(call, &item, &rendered);
    }
    return is_kept;
}
