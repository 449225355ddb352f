/* SPDX-License-Identifier: MIT */
/* admin_cache.c - commands about the cache: looking, and taking out what is no longer true. */
#include <stdio.h>
#include <string.h>

#include "admin.h"

enum { SHOWN_BYTES = 256, TAG_TEXT_BYTES = 256 };

/* ---- looking --------------------------------------------------------------------------------- */

int
admin_cache_stats(struct admin_call *call, struct err *err)
{
    int rc =
        api_put_cache(call->writer, call->supervisor->cache, call->supervisor->heritage->stats);
    return rc == 0 ? 0 : err_set(err, rc, "cache", "the cache: %s", augury_strerror(rc));
}

static int
no_such_class(const char *name, struct err *err)
{
    char names[128];
    size_t len = 0;

    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i == 0 ? "" : ", ",
                                cache_class_name((enum cache_class)i));
    }
    return err_set(err, AUGURY_ERR_INVALID, "not_found",
                   "there is no class \"%.60s\"; there are %s", name, names);
}

static int
class_find(struct bytes name, enum cache_class *out_class)
{
    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        if (bytes_equal_text(name, cache_class_name((enum cache_class)i))) {
            *out_class = (enum cache_class)i;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

static int
flush_class(struct admin_call *call, const char *name, struct err *err)
{
    struct cache *cache = call->supervisor->cache;
    enum cache_class class = CACHE_PREDICTION;
    struct cache_usage usage;

    if (class_find(bytes_of_text(name), &class) != 0) {
        return no_such_class(name, err);
    }
    int rc = cache_usage(cache, &usage);
    if (rc == 0) {
        rc = cache_keeper_invalidate_class(cache, class);
    }
    if (rc != 0) {
        return err_set(err, rc, "flush_failed", "flush: %s", augury_strerror(rc));
    }
    cache_keeper_sweep_dead(cache);
    wire_object(call->writer, 2);
    wire_key(call->writer, "flushed");
    wire_put_u64(call->writer, usage.entries_of_class[class]);
    wire_key(call->writer, "class");
    wire_put_text(call->writer, name);
    wire_end(call->writer);
    return 0;
}

int
admin_cache_flush(struct admin_call *call, struct err *err)
{
    uint64_t entries = 0;

    if (call->argc == 1) {
        return flush_class(call, call->argv[0], err);
    }
    int rc = cache_keeper_flush(call->supervisor->cache, &entries);
    if (rc != 0) {
        return err_set(err, rc, "flush_failed", "flush: %s", augury_strerror(rc));
    }
    cache_keeper_sweep_dead(call->supervisor->cache); /* of the disk tier */
    wire_object(call->writer, 1);
    wire_key(call->writer, "flushed");
    wire_put_u64(call->writer, entries);
    wire_end(call->writer);
    return 0;
}

static int
no_such_key(const char *key, struct err *err)
{
    return err_set(err, AUGURY_ERR_INVALID, "not_found", "no entry has the key \"%.200s\"", key);
}

/* "prediction:nfl-wp@3…" belongs to the class that its first word names. */
static int
class_of_key(const char *key, enum cache_class *out_class, struct err *err)
{
    size_t len = strlen(key);
    size_t word = strcspn(key, ":");

    if (len > CACHE_KEY_TEXT_MAX) {
        return err_set(err, AUGURY_ERR_INVALID, "not_found", "a key has at most %d bytes, not %zu",
                       (int)CACHE_KEY_TEXT_MAX, len);
    }
    if (key[word] != ':' || class_find(bytes_of(key, word), out_class) != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "not_found",
                       "\"%.100s\" is no key: one begins with its class and a colon, as in "
                       "object:NAME or prediction:MODEL@VERSION#…",
                       key);
    }
    return 0;
}

int
admin_cache_purge(struct admin_call *call, struct err *err)
{
    const char *key = call->argv[0];
    enum cache_class class = CACHE_PREDICTION;

    if (class_of_key(key, &class, err) != 0) {
        return AUGURY_ERR_INVALID;
    }
    int rc = cache_keeper_purge(call->supervisor->cache, bytes_of_text(key));
    if (rc == AUGURY_NOT_FOUND) {
        return no_such_key(key, err);
    }
    if (rc != 0) {
        return err_set(err, rc, "purge_failed", "purge: %s", augury_strerror(rc));
    }
    admin_put_one(call->writer, "purged", key);
    return 0;
}

/* What somebody has put, as it was put: text as text, other bytes as base64. */
static void
put_object(struct wire_writer *writer, const struct api_object_view *object, struct arena *arena)
{
    bool is_text = utf8_is_valid(object->content);
    size_t len = base64_len(object->content.len);
    char *room = is_text ? NULL : arena_alloc(arena, len + 1);

    wire_key(writer, "bytes");
    wire_put_u64(writer, object->content.len);
    wire_key(writer, "content_type");
    wire_put_string(writer, object->type);
    wire_key(writer, is_text ? "value" : "value_base64");
    if (is_text) {
        wire_put_string(writer, object->content);
    } else if (room != NULL) {
        base64_encode(object->content, room);
        wire_put_string(writer, bytes_of(room, len));
    } else {
        wire_put_null(writer);
    }
}

static void
put_hit(struct wire_writer *writer, const char *key, const struct cache_hit *hit,
        struct arena *arena)
{
    char hex[2 * SHOWN_BYTES];
    char created[CLOCK_ISO_BYTES];
    char expires[CLOCK_ISO_BYTES];
    size_t shown = hit->value.len < SHOWN_BYTES ? hit->value.len : SHOWN_BYTES;
    struct api_object_view object;
    enum cache_class class = CACHE_PREDICTION;
    bool is_object = class_of_key(key, &class, NULL) == 0 && class == CACHE_OBJECT &&
                     api_object_view(hit->value, &object);

    hex_encode(bytes_of(hit->value.data, shown), hex);
    clock_to_iso(hit->created_wall_ms, created);
    clock_to_iso(hit->expires_wall_ms, expires);
    wire_object(writer, is_object ? 6 : 5);
    wire_key(writer, "key");
    wire_put_text(writer, key);
    wire_key(writer, "created");
    wire_put_string(writer, bytes_of(created, sizeof(created)));
    wire_key(writer, "expires");
    wire_put_string(writer, bytes_of(expires, sizeof(expires)));
    if (is_object) {
        put_object(writer, &object, arena);
    } else {
        wire_key(writer, "bytes");
        wire_put_u64(writer, hit->value.len);
        wire_key(writer, "value_hex");
        wire_put_string(writer, bytes_of(hex, 2 * shown));
    }
    wire_end(writer);
}

int
admin_cache_get(struct admin_call *call, struct err *err)
{
    struct cache *cache = call->supervisor->cache;
    const char *key = call->argv[0];
    enum cache_class class = CACHE_PREDICTION;
    struct cache_hit hit;
    struct arena arena;

    if (class_of_key(key, &class, err) != 0) {
        return AUGURY_ERR_INVALID;
    }
    if (arena_init(&arena, 4 * CACHE_VALUE_MAX) != 0) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    int rc = cache_snapshot_begin(cache);
    if (rc == 0) {
        struct cache_query query = {.class = class,
                                    .key = bytes_of_text(key),
                                    .now_wall_ms = call->now_wall_ms,
                                    .arena = &arena};
        rc = cache_get(cache, &query, &hit);
        if (rc == 0) {
            put_hit(call->writer, key, &hit, &arena);
        }
        cache_snapshot_end(cache);
    }
    arena_fini(&arena);
    if (rc == AUGURY_NOT_FOUND) {
        return no_such_key(key, err);
    }
    return rc == 0 ? 0 : err_set(err, rc, "cache", "the cache: %s", augury_strerror(rc));
}

/* ---- taking out by name or pattern ----------------------------------------------------------- */

int
admin_cache_ban(struct admin_call *call, struct err *err)
{
    struct cache *cache = call->supervisor->cache;
    struct cache_ban bans[CACHE_BANS];

    int rc = cache_keeper_ban(cache, bytes_of_text(call->argv[0]), err);
    if (rc != 0) {
        return rc;
    }
    wire_object(call->writer, 2);
    wire_key(call->writer, "banned");
    wire_put_text(call->writer, call->argv[0]);
    wire_key(call->writer, "bans");
    wire_put_u64(call->writer, cache_bans(cache, bans));
    wire_end(call->writer);
    return 0;
}

int
admin_cache_bans(struct admin_call *call, struct err *err)
{
    struct cache_ban bans[CACHE_BANS];
    struct wire_writer *writer = call->writer;
    char made[CLOCK_ISO_BYTES];

    (void)err;
    size_t count = cache_bans(call->supervisor->cache, bans);
    wire_array(writer, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        uint64_t created = bans[i].created_wall_ms;
        clock_to_iso(created, made);
        wire_object(writer, 4);
        wire_key(writer, "pattern");
        wire_put_string(writer, bytes_of(bans[i].pattern, bans[i].len));
        wire_key(writer, "made");
        wire_put_string(writer, bytes_of(made, sizeof(made)));
        wire_key(writer, "age_s");
        wire_put_u64(writer,
                     call->now_wall_ms > created ? (call->now_wall_ms - created) / 1000 : 0);
        wire_key(writer, "removed");
        wire_put_u64(writer, bans[i].swept);
        wire_end(writer);
    }
    wire_end(writer);
    return 0;
}

/* A name that no model has is a mistake: nothing would be invalidated. */
static int
model_must_exist(struct admin_call *call, const char *name, struct err *err)
{
    struct registry *registry = call->supervisor->registry;
    const struct registry_entry *entry = NULL;

    int rc = registry_snapshot_begin(registry);
    if (rc != 0) {
        return err_set(err, rc, "models", "the models: %s", augury_strerror(rc));
    }
    rc = registry_find_entry(registry, bytes_of_text(name), bytes_of_text(""), &entry, err);
    registry_snapshot_end(registry);
    return rc == AUGURY_NOT_FOUND ? AUGURY_ERR_INVALID : rc;
}

/* The name that cache_tag() knows it by. */
static int
invalidate_tag(struct admin_call *call, const char *kind, const char *name, struct err *err)
{
    char text[TAG_TEXT_BYTES];
    bool is_model = strcmp(kind, "model") == 0;
    int len =
        snprintf(text, sizeof(text), "%s%s%s", is_model ? "" : kind, is_model ? "" : ":", name);

    if (len < 0 || (size_t)len >= sizeof(text)) {
        return err_set(err, AUGURY_ERR_LIMIT, "too_long", "a name has at most %zu bytes",
                       sizeof(text) - strlen("entity:") - 1);
    }
    if (name[0] == '\0') {
        return err_set(err, AUGURY_ERR_INVALID, "usage", "the name of the %s is empty", kind);
    }
    int rc = is_model ? model_must_exist(call, name, err) : 0;
    if (rc != 0) {
        return rc;
    }
    rc = cache_keeper_invalidate_tag(call->supervisor->cache, bytes_of_text(text));
    return rc == 0 ? 0
                   : err_set(err, rc, "invalidate_failed", "invalidate: %s", augury_strerror(rc));
}

int
admin_cache_invalidate(struct admin_call *call, struct err *err)
{
    static const char *const kinds[] = {"model", "view", "entity"};
    const char *kind = call->argv[0];
    const char *name = call->argv[1];
    int rc = AUGURY_NOT_FOUND;

    if (strcmp(kind, "class") == 0) {
        return flush_class(call, name, err);
    }
    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            rc = invalidate_tag(call, kind, name, err);
        }
    }
    if (rc == AUGURY_NOT_FOUND) {
        return err_set(err, AUGURY_ERR_INVALID, "usage",
                       "\"%.60s\" is none of model, view, entity, class", kind);
    }
    if (rc == 0) {
        cache_keeper_sweep_dead(call->supervisor->cache);
        wire_object(call->writer, 2);
        wire_key(call->writer, "invalidated");
        wire_put_text(call->writer, kind);
        wire_key(call->writer, "name");
        wire_put_text(call->writer, name);
        wire_end(call->writer);
    }
    return rc;
}
