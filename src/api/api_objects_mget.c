/* SPDX-License-Identifier: MIT */
/*
 * api_objects_mget.c - POST /api/v1/objects/mget: many objects as of one moment, in one document.
 * What is JSON is written as JSON (or MessagePack), text as text, other bytes as base64 (or bin).
 * Nothing is fetched: what is neither in the cache nor in Redis is missing.
 */
#include "api_fetch.h"
#include "api_object.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 1000 };

struct found_one {
    struct bytes name;
    struct object_found found;
};

static unsigned
refuse_names(struct api_call *call)
{
    return api_refuse_at(call, 400, "invalid_request", "names",
                         "expected {\"names\":[…]} with 1 to %d names of objects", NAMES_MAX);
}

static unsigned
refuse_name(struct api_call *call, uint32_t i)
{
    char at[32];

    snprintf(at, sizeof(at), "names[%u]", i);
    return api_refuse_at(call, 400, "invalid_name", at,
                         "expected a name of 1 to %d bytes of A-Z a-z 0-9 . _ ~ : / -, without "
                         "empty segments, \".\" and \"..\"",
                         OBJECT_NAME_MAX);
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool
is_json(struct bytes type)
{
    static const char suffix[] = "+json";
    struct bytes parameters;
    struct bytes plain = api_cut(type, ';', &parameters);
    size_t len = sizeof(suffix) - 1;

    return bytes_equal_nocase(plain, "application/json") ||
           (plain.len > len &&
            bytes_equal_nocase(bytes_of(plain.data + plain.len - len, len), suffix));
}

static bool
is_text(struct bytes type)
{
    return type.len > 5 && bytes_equal_nocase(bytes_of(type.data, 5), "text/");
}

static void
put_binary(struct api_call *call, struct bytes content)
{
    struct wire_value value = {.type = WIRE_BINARY, .count = (uint32_t)content.len};
    size_t len = base64_len(content.len);
    char *text;

    if (call->writer.format == WIRE_MSGPACK) {
        value.as.text = (const char *)content.data;
        wire_put_value(&call->writer, &value);
        return;
    }
    text = arena_alloc(&call->api->arena, len + 1);
    if (text == NULL) {
        call->answer->body->rc = AUGURY_ERR_LIMIT;
        wire_put_null(&call->writer);
        return;
    }
    base64_encode(content, text);
    wire_put_string(&call->writer, bytes_of(text, len));
}

/* A document that is none, whatever its type says, is shown as the text that it is. */
static void
put_value(struct api_call *call, const struct object *object)
{
    struct wire_limits limits = {.depth = call->api->options.conf->limits.json_depth,
                                 .values = object->content.len + 1,
                                 .flags = WIRE_NUMBERS_AS_TEXT | WIRE_BORROW};
    struct wire_value value;

    if (is_json(object->type) && wire_decode(WIRE_JSON, object->content, &limits, &call->api->arena,
                                             &value, &call->err) == 0) {
        wire_put_value(&call->writer, &value);
    } else if ((is_json(object->type) || is_text(object->type)) && utf8_is_valid(object->content)) {
        wire_put_string(&call->writer, object->content);
    } else {
        put_binary(call, object->content);
    }
}

static void
put_object(struct api_call *call, const struct found_one *one)
{
    const struct object_found *found = &one->found;
    uint64_t age_ms =
        call->now_wall_ms > found->created_wall_ms ? call->now_wall_ms - found->created_wall_ms : 0;
    char tag[OBJECT_TAG_BYTES];

    object_tag_to_text(found->tag, tag);
    wire_key_bytes(&call->writer, one->name);
    wire_object(&call->writer, 4);
    wire_key(&call->writer, "value");
    put_value(call, &found->object);
    wire_key(&call->writer, "content_type");
    wire_put_string(&call->writer, found->object.type);
    wire_key(&call->writer, "etag");
    wire_put_string(&call->writer, bytes_of(tag, sizeof(tag)));
    wire_key(&call->writer, "age");
    wire_put_u64(&call->writer, age_ms / 1000);
    wire_end(&call->writer);
}

/* ---- the call -------------------------------------------------------------------------------- */

static bool
is_repeated(const struct wire_value *names, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++) {
        if (bytes_equal(wire_string(&names->as.items[j]), wire_string(&names->as.items[i]))) {
            return true;
        }
    }
    return false;
}

/* Found ones first, then those that are missing; a name that is there twice counts once. */
static int
find_all(struct api_call *call, const struct wire_value *names, struct found_one *ones,
         uint32_t *out_found, uint32_t *out_missing)
{
    uint32_t found = 0;
    uint32_t missing = 0;

    for (uint32_t i = 0; i < names->count; i++) {
        struct object_query query = {.name = wire_string(&names->as.items[i]),
                                     .now_wall_ms = call->now_wall_ms};
        struct object_found one;
        if (is_repeated(names, i)) {
            continue;
        }
        int rc = object_find(call->api, &query, &one);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0 && one.x_cache == API_CACHE_HIT) {
            ones[found++] = (struct found_one){query.name, one};
        } else {
            missing++;
            ones[names->count - missing].name = query.name;
        }
    }
    *out_found = found;
    *out_missing = missing;
    return 0;
}

/* Those whose files are here are not in Redis. */
static bool
ask_elsewhere(struct api_call *call, const struct found_one *missing, uint32_t count)
{
    struct bytes *keys = NULL;
    size_t asked = 0;

    if (count > 0 && api_elsewhere_may_ask(call->api, CACHE_OBJECT)) {
        keys = arena_alloc(&call->api->arena, count * sizeof(*keys));
    }
    for (uint32_t i = 0; keys != NULL && i < count; i++) {
        char *room = arena_alloc(&call->api->arena, OBJECT_KEY_MAX);
        if (room != NULL && object_fetcher(call->api, missing[i].name) == NULL) {
            keys[asked++] = object_key(OBJECT_KEY_VALUE, missing[i].name, room);
        }
    }
    return asked > 0 && api_elsewhere_ask(call, CACHE_OBJECT, keys, asked);
}

static unsigned
answer_all(struct api_call *call, const struct wire_value *names)
{
    struct found_one *ones =
        arena_zalloc(&call->api->arena, names->count, sizeof(struct found_one));
    uint32_t found = 0;
    uint32_t missing = 0;
    int rc = ones == NULL ? AUGURY_ERR_NOMEM : find_all(call, names, ones, &found, &missing);

    if (rc != 0) {
        return api_refuse_as(call, 413, "answer_too_large",
                             "the objects are larger than an answer may be; ask for fewer");
    }
    if (ask_elsewhere(call, ones + names->count - missing, missing)) {
        return API_LATER;
    }
    wire_object(&call->writer, 2);
    wire_key(&call->writer, "objects");
    wire_object(&call->writer, found);
    for (uint32_t i = 0; i < found; i++) {
        put_object(call, &ones[i]);
    }
    wire_end(&call->writer);
    wire_key(&call->writer, "missing");
    wire_array(&call->writer, missing);
    for (uint32_t i = 0; i < missing; i++) {
        wire_put_string(&call->writer, ones[names->count - 1 - i].name);
    }
    wire_end(&call->writer);
    wire_end(&call->writer);
    return 200;
}

/* What is not "names" was meant to be something. */
static unsigned
members_check(struct api_call *call, const struct wire_value *document)
{
    for (uint32_t i = 0; document->type == WIRE_OBJECT && i < document->count; i++) {
        struct bytes key = document->as.pairs[i].key;
        int shown = (int)(key.len < 64 ? key.len : 64);
        if (!bytes_equal_text(key, "names")) {
            err_set(&call->err, AUGURY_ERR_INVALID, "unknown_option",
                    "the request has no member \"%.*s\"; it has names", shown,
                    (const char *)key.data);
            return api_refuse(call, err_at(&call->err, "%.*s", shown, (const char *)key.data));
        }
    }
    return 0;
}

static unsigned
names_check(struct api_call *call, const struct wire_value *names)
{
    if (names == NULL || names->type != WIRE_ARRAY || names->count < 1 ||
        names->count > NAMES_MAX) {
        return refuse_names(call);
    }
    for (uint32_t i = 0; i < names->count; i++) {
        const struct wire_value *name = &names->as.items[i];
        if (name->type != WIRE_STRING || !object_name_is_good(wire_string(name))) {
            return refuse_name(call, i);
        }
    }
    return 0;
}

unsigned
api_post_objects_mget(struct api_call *call)
{
    const struct conf *conf = call->api->options.conf;
    struct cache *cache = call->api->options.cache;
    struct wire_limits limits = {
        .depth = conf->limits.json_depth, .values = 4 * NAMES_MAX, .flags = WIRE_BORROW};
    struct wire_value document;
    unsigned status = object_call_check(call);

    if (status != 0) {
        return status;
    }
    int rc = wire_decode(call->body_format, call->body, &limits, &call->api->arena, &document,
                         &call->err);
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    const struct wire_value *names = wire_member(&document, "names");
    status = members_check(call, &document);
    if (status == 0) {
        status = names_check(call, names);
    }
    if (status != 0) {
        return status;
    }
    rc = cache_snapshot_begin(cache);
    if (rc != 0) {
        return api_refuse_as(call, 503, "cache_off", "the cache cannot be read now");
    }
    status = answer_all(call, names);
    cache_snapshot_end(cache);
    return status;
}
