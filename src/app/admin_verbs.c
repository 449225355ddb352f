/* SPDX-License-Identifier: MIT */
/* admin_verbs.c - the table of commands and what each does. */
#include <stdio.h>
#include <string.h>

#include "admin.h"
#include "augury/cache_size.h"

enum { SHOWN_RECORDS = 5 };

void
admin_put_one(struct wire_writer *writer, const char *key, const char *text)
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
    admin_put_one(call->writer, "answer", "pong");
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
    struct api_status status = {.conf = &supervisor->conf,
                                .board = &supervisor->heritage->shared->board,
                                .stats = supervisor->heritage->stats,
                                .cache_board = supervisor->heritage->cache_board,
                                .now_wall_ms = call->now_wall_ms};

    api_put_status(call->writer, &status);
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
    struct api_performance performance = {.stats = heritage->stats,
                                          .board = &heritage->shared->board,
                                          .cache = call->supervisor->cache,
                                          .cache_board = heritage->cache_board,
                                          .now_wall_ms = call->now_wall_ms,
                                          .records_max =
                                              call->is_json ? CACHE_SIZE_RECORDS : SHOWN_RECORDS};

    (void)err;
    api_put_performance(call->writer, &performance);
    return 0;
}

static int
verb_metrics(struct admin_call *call, struct err *err)
{
    (void)err;
    stats_put_prometheus(call->supervisor->heritage->stats, call->raw);
    return 0;
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
        admin_put_one(call->writer, "stopping",
                      is_fast ? "at once" : "after the requests under way");
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
    {"cache stats", "", "What the cache holds.", ADMIN_ROLE_READER, 0, 0, admin_cache_stats},
    {"cache get", "KEY", "Shows one entry.", ADMIN_ROLE_OPERATOR, 1, 1, admin_cache_get},
    {"cache bans", "", "Bans in force, and what they have removed.", ADMIN_ROLE_READER, 0, 0,
     admin_cache_bans},
    {"cache purge", "KEY", "Removes one entry.", ADMIN_ROLE_OPERATOR, 1, 1, admin_cache_purge},
    {"cache ban", "PATTERN", "Removes the entries whose key matches.", ADMIN_ROLE_OPERATOR, 1, 1,
     admin_cache_ban},
    {"cache invalidate", "model|view|entity|class NAME", "Removes what was made from it.",
     ADMIN_ROLE_OPERATOR, 2, 2, admin_cache_invalidate},
    {"cache flush", "[CLASS]", "Removes every entry, or those of a class.", ADMIN_ROLE_OPERATOR, 0,
     1, admin_cache_flush},
    {"model list", "", "Models, versions and labels.", ADMIN_ROLE_READER, 0, ANY, verb_model},
    {"model show", "NAME[@VERSION]", "One model: schema, outputs, digest.", ADMIN_ROLE_READER, 0,
     ANY, verb_model},
    {"model verify", "NAME[@VERSION]", "Checks the stored bytes of a model.", ADMIN_ROLE_READER, 0,
     ANY, verb_model},
    {"model use", "NAME@VERSION [LABEL] [--no-warm]",
     "Points a label at a version, once the cache is warm for it.", ADMIN_ROLE_OPERATOR, 0, ANY,
     admin_model_use},
    {"model import", "NAME FILE [OPTION]…", "Imports a model file that the daemon can read.",
     ADMIN_ROLE_ADMIN, 0, ANY, admin_model_import},
    {"model unload", "NAME[@VERSION]", "Takes a version out.", ADMIN_ROLE_ADMIN, 0, ANY,
     verb_model},
    {"controller", "", "What the controller of the cache's size saw and did.", ADMIN_ROLE_READER, 0,
     0, admin_controller},
    {"resize", "BYTES|auto", "Holds the cache at a size until a restart, or lets it go.",
     ADMIN_ROLE_OPERATOR, 1, 1, admin_resize},
    {"reload", "", "Reads the configuration again; answers with the outcome.", ADMIN_ROLE_OPERATOR,
     0, 0, admin_reload_ask},
    {"stop", "[fast]", "Ends the daemon, gracefully unless fast.", ADMIN_ROLE_ADMIN, 0, 1,
     verb_stop},
};
/* clang-format on */
const size_t admin_verb_count = AUGURY_COUNT(admin_verbs);
