/* SPDX-License-Identifier: MIT */
/* admin_verbs.c - the table of commands and what each does. */
#include <stdio.h>
#include <string.h>

#include "admin.h"

enum { SHOWN_BYTES = 256 };

static void
put_one(struct wire_writer *writer, const char *key, const char *text)
{
    wire_object(writer, 1);
    wire_key(writer, key);
    wire_put_text(writer, text);
    wire_end(writer);
}

/* ---- looking --------------------------------------------------------------------------------- */

static int
verb_ping(struct admin_call *call, struct err *err)
{
    (void)err;
    put_one(call->writer, "answer", "pong");
    return 0;
}

static int
verb_help(struct admin_call *call, struct err *err)
{
    struct wire_writer *writer = call->writer;

    (void)err;
    wire_array(writer, (uint32_t)admin_verb_count);
    for (size_t i = 0; i < admin_verb_count; i++) {
        const struct admin_verb *verb = &admin_verbs[i];
        wire_object(writer, 4);
        wire_key(writer, "command");
        wire_put_text(writer, verb->name);
        wire_key(writer, "args");
        wire_put_text(writer, verb->args);
        wire_key(writer, "role");
        wire_put_text(writer, admin_role_name(verb->role));
        wire_key(writer, "help");
        wire_put_text(writer, verb->help);
        wire_end(writer);
    }
    wire_end(writer);
    return 0;
}

static int
verb_status(struct admin_call *call, struct err *err)
{
    struct supervisor *supervisor = call->supervisor;

    (void)err;
    api_put_status(call->writer, &supervisor->conf, &supervisor->heritage->shared->board,
                   supervisor->heritage->stats, call->now_wall_ms);
    return 0;
}

static int
verb_workers(struct admin_call *call, struct err *err)
{
    (void)err;
    api_put_workers(call->writer, &call->supervisor->heritage->shared->board, clock_mono_ms());
    return 0;
}

static int
verb_stats(struct admin_call *call, struct err *err)
{
    (void)err;
    api_put_stats(call->writer, call->supervisor->heritage->stats);
    return 0;
}

static int
verb_performance(struct admin_call *call, struct err *err)
{
    struct heritage *heritage = call->supervisor->heritage;

    (void)err;
    api_put_performance(call->writer, heritage->stats, &heritage->shared->board, call->now_wall_ms);
    return 0;
}

static int
verb_metrics(struct admin_call *call, struct err *err)
{
    (void)err;
    stats_put_prometheus(call->supervisor->heritage->stats, call->raw);
    return 0;
}

/* ---- cache ----------------------------------------------------------------------------------- */

static int
verb_cache_stats(struct admin_call *call, struct err *err)
{
    int rc =
        api_put_cache(call->writer, call->supervisor->cache, call->supervisor->heritage->stats);
    return rc == 0 ? 0 : err_set(err, rc, "cache", "the cache: %s", augury_strerror(rc));
}

static int
verb_cache_flush(struct admin_call *call, struct err *err)
{
    uint64_t entries = 0;
    int rc = cache_keeper_flush(call->supervisor->cache, &entries);

    if (rc != 0) {
        return err_set(err, rc, "flush_failed", "flush: %s", augury_strerror(rc));
    }
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

static int
verb_cache_purge(struct admin_call *call, struct err *err)
{
    const char *key = call->argv[0];
    int rc = cache_keeper_purge(call->supervisor->cache, bytes_of_text(key));

    if (rc == AUGURY_NOT_FOUND) {
        return no_such_key(key, err);
    }
    if (rc != 0) {
        return err_set(err, rc, "purge_failed", "purge: %s", augury_strerror(rc));
    }
    put_one(call->writer, "purged", key);
    return 0;
}

/* "prediction:nfl-wp@3…" belongs to the class that its first word names. */
static int
class_of_key(const char *key, enum cache_class *out_class)
{
    size_t len = strcspn(key, ":");

    for (int i = 0; i < CACHE_CLASS_COUNT; i++) {
        const char *name = cache_class_name((enum cache_class)i);
        if (strlen(name) == len && memcmp(name, key, len) == 0) {
            *out_class = (enum cache_class)i;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

static void
put_hit(struct wire_writer *writer, const char *key, const struct cache_hit *hit)
{
    char hex[2 * SHOWN_BYTES];
    char created[CLOCK_ISO_BYTES];
    char expires[CLOCK_ISO_BYTES];
    size_t shown = hit->value.len < SHOWN_BYTES ? hit->value.len : SHOWN_BYTES;

    hex_encode(bytes_of(hit->value.data, shown), hex);
    clock_to_iso(hit->created_wall_ms, created);
    clock_to_iso(hit->expires_wall_ms, expires);
    wire_object(writer, 5);
    wire_key(writer, "key");
    wire_put_text(writer, key);
    wire_key(writer, "created");
    wire_put_string(writer, bytes_of(created, sizeof(created)));
    wire_key(writer, "expires");
    wire_put_string(writer, bytes_of(expires, sizeof(expires)));
    wire_key(writer, "bytes");
    wire_put_u64(writer, hit->value.len);
    wire_key(writer, "value_hex");
    wire_put_string(writer, bytes_of(hex, 2 * shown));
    wire_end(writer);
}

static int
verb_cache_get(struct admin_call *call, struct err *err)
{
    struct cache *cache = call->supervisor->cache;
    const char *key = call->argv[0];
    enum cache_class class = CACHE_PREDICTION;
    struct cache_hit hit;
    struct arena arena;

    if (class_of_key(key, &class) != 0) {
        return no_such_key(key, err);
    }
    if (arena_init(&arena, 2 * CACHE_VALUE_MAX) != 0) {
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
            put_hit(call->writer, key, &hit);
        }
        cache_snapshot_end(cache);
    }
    arena_fini(&arena);
    if (rc == AUGURY_NOT_FOUND) {
        return no_such_key(key, err);
    }
    return rc == 0 ? 0 : err_set(err, rc, "cache", "the cache: %s", augury_strerror(rc));
}

/* ---- models ---------------------------------------------------------------------------------- */

/* The verb's second word is api's verb; it stands before the arguments. */
static int
verb_model(struct admin_call *call, struct err *err)
{
    struct api_verbs verbs = {.registry = call->supervisor->registry,
                              .conf = &call->supervisor->conf,
                              .now_wall_ms = call->now_wall_ms};

    return api_model_verb(&verbs, call->argc + 1, call->argv - 1, call->writer, err);
}

/* ---- the daemon ------------------------------------------------------------------------------ */

static int
verb_stop(struct admin_call *call, struct err *err)
{
    bool is_fast = call->argc == 1 && strcmp(call->argv[0], "fast") == 0;

    if (call->argc == 1 && !is_fast) {
        return err_set(err, AUGURY_ERR_INVALID, "usage", "usage: stop [fast]");
    }
    int rc = admin_to_master(call, is_fast ? HERITAGE_STOP_FAST : HERITAGE_STOP_GRACEFULLY, err);
    if (rc == 0) {
        put_one(call->writer, "stopping", is_fast ? "at once" : "after the requests under way");
    }
    return rc;
}

/* ---- the table ------------------------------------------------------------------------------- */

enum { ANY = ADMIN_ARGS_MAX };

/* clang-format off */
const struct admin_verb admin_verbs[] = {
    {"help", "", "Lists the commands.", ADMIN_ROLE_READER, 0, 0, verb_help},
    {"ping", "", "Answers.", ADMIN_ROLE_READER, 0, 0, verb_ping},
    {"status", "", "Processes, generations and the last reload.", ADMIN_ROLE_READER, 0, 0,
     verb_status},
    {"workers", "", "Each process: state, age, restarts, heartbeat.", ADMIN_ROLE_READER, 0, 0,
     verb_workers},
    {"stats", "", "Every counter, gauge and histogram.", ADMIN_ROLE_READER, 0, 0, verb_stats},
    {"performance", "", "Rates, latencies and hit ratios.", ADMIN_ROLE_READER, 0, 0,
     verb_performance},
    {"metrics", "", "The counters in Prometheus' text format.", ADMIN_ROLE_READER, 0, 0,
     verb_metrics},
    {"cache stats", "", "What the cache holds.", ADMIN_ROLE_READER, 0, 0, verb_cache_stats},
    {"cache get", "KEY", "Shows one entry.", ADMIN_ROLE_OPERATOR, 1, 1, verb_cache_get},
    {"cache purge", "KEY", "Removes one entry.", ADMIN_ROLE_OPERATOR, 1, 1, verb_cache_purge},
    {"cache flush", "", "Removes every entry.", ADMIN_ROLE_OPERATOR, 0, 0, verb_cache_flush},
    {"model list", "", "Models, versions and labels.", ADMIN_ROLE_READER, 0, ANY, verb_model},
    {"model show", "NAME[@VERSION]", "One model: schema, outputs, digest.", ADMIN_ROLE_READER, 0,
     ANY, verb_model},
    {"model verify", "NAME[@VERSION]", "Checks the stored bytes of a model.", ADMIN_ROLE_READER, 0,
     ANY, verb_model},
    {"model use", "NAME@VERSION [LABEL]", "Points a label at a version.", ADMIN_ROLE_OPERATOR, 0,
     ANY, verb_model},
    {"model import", "NAME FILE [OPTION]…", "Imports a model file that the daemon can read.",
     ADMIN_ROLE_ADMIN, 0, ANY, verb_model},
    {"model unload", "NAME[@VERSION]", "Takes a version out.", ADMIN_ROLE_ADMIN, 0, ANY,
     verb_model},
    {"reload", "", "Reads the configuration again; answers with the outcome.", ADMIN_ROLE_OPERATOR,
     0, 0, admin_reload_ask},
    {"stop", "[fast]", "Ends the daemon, gracefully unless fast.", ADMIN_ROLE_ADMIN, 0, 1,
     verb_stop},
};
/* clang-format on */
const size_t admin_verb_count = AUGURY_COUNT(admin_verbs);
