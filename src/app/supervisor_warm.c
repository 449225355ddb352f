/* SPDX-License-Identifier: MIT */
/*
 * supervisor_warm.c - `model use`, and `model import --use`, which ends in one: what the version
 * before was asked for most is computed for the new one, a few milliseconds a turn of the loop;
 * then the label moves and the command is answered. The story: words, rows, slices, label, answer.
 * At most one version is warmed at a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"

enum { TURN_MS = 1, BUSY_MS = 4, SLICE_US_MIN = 500, SLICE_US_MAX = 2000, OUTCOME_BYTES = 4096 };

struct supervisor_warm {
    struct supervisor *supervisor;
    struct api_use use;
    struct predict_warm *rows;
    struct net_timer *timer;
    size_t slice_rows; /* that take about a millisecond */
    uint64_t begin_mono_ms, deadline_mono_ms;
    struct net_line_peer peer;
    bool is_json;
};

static void
warm_free(struct supervisor_warm **warm)
{
    if (*warm != NULL) {
        net_timer_free(&(*warm)->timer);
        predict_warm_free(&(*warm)->rows);
        free(*warm);
        *warm = NULL;
    }
}

/* ---- the label ------------------------------------------------------------------------------- */

static int
move_label(struct admin_call *call, const struct api_use *use, const struct api_warmth *warmth,
           struct err *err)
{
    char version[U64_TEXT_MAX + 1];
    const char *words[] = {"use", use->name, version, use->label};
    struct api_verbs verbs = {.registry = call->supervisor->registry,
                              .conf = &call->supervisor->conf,
                              .now_wall_ms = call->now_wall_ms,
                              .warmth = warmth};

    snprintf(version, sizeof(version), "%u", use->version);
    return api_model_verb(&verbs, (int)AUGURY_COUNT(words), words, call->writer, err);
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* The answer that was put off. */
static int
tell_outcome(struct admin_call *call, struct err *err)
{
    const struct supervisor_warm *warm = call->supervisor->warm;
    struct api_warmth warmth = {.rows = predict_warm_done(warm->rows),
                                .of_rows = predict_warm_count(warm->rows),
                                .took_ms = clock_mono_ms() - warm->begin_mono_ms,
                                .warning = warm->use.warning};

    warmth.why = warmth.rows == warmth.of_rows ? NULL : "the time was over, or the cache full";
    return move_label(call, &warm->use, &warmth, err);
}

static void
finish(struct supervisor_warm *warm)
{
    static const struct admin_verb outcome = {.name = "model use",
                                              .args = "",
                                              .help = "",
                                              .role = ADMIN_ROLE_OPERATOR,
                                              .fn = tell_outcome};
    struct supervisor *supervisor = warm->supervisor;
    struct admin_call call = {.supervisor = supervisor,
                              .peer = &warm->peer,
                              .is_json = warm->is_json,
                              .now_wall_ms = clock_wall_ms()};
    struct buf body;

    stats_add(supervisor->stats, STATS_PREDICT_WARMED, predict_warm_done(warm->rows));
    net_timer_free(&warm->timer);
    buf_init(&body, OUTCOME_BYTES);
    int code = admin_answer(supervisor->admin, &outcome, &call, &body);
    uint64_t ticket = warm->peer.ticket;
    warm_free(&supervisor->warm);
    if (buf_finish(&body) == 0) {
        net_line_answer(supervisor->lines, ticket, code, buf_view(&body));
    }
    buf_fini(&body);
}

static void
adapt(struct supervisor_warm *warm, uint64_t took_us)
{
    if (took_us < SLICE_US_MIN && warm->slice_rows < PREDICT_WARM_SLICE) {
        warm->slice_rows *= 2;
    } else if (took_us > SLICE_US_MAX && warm->slice_rows > 1) {
        warm->slice_rows /= 2;
    }
}

/* A slice, and what it put committed: the label moves to entries that are there. */
static int
do_slice(struct supervisor_warm *warm)
{
    uint64_t begin_ns = clock_mono_ns();
    struct err err;

    int rc = predict_warm_slice(warm->rows, warm->slice_rows, clock_wall_ms(), &err);
    adapt(warm, (clock_mono_ns() - begin_ns) / 1000);
    if (rc < 0 && rc != AUGURY_ERR_FULL) {
        log_event(&warm->supervisor->heritage->log, LOG_LEVEL_WARN, "warm_failed",
                  "model=%s version=%u reason=\"%s\"", warm->use.name, warm->use.version,
                  augury_strerror(rc));
    }
    supervisor_pump(warm->supervisor);
    return rc;
}

static void
on_turn(void *arg)
{
    struct supervisor_warm *warm = arg;
    uint64_t turn_mono_ms = clock_mono_ms();
    uint64_t now_mono_ms = turn_mono_ms;
    int rc = 0;

    while (rc == 0 && now_mono_ms < turn_mono_ms + BUSY_MS &&
           now_mono_ms < warm->deadline_mono_ms) {
        rc = do_slice(warm);
        now_mono_ms = clock_mono_ms();
    }
    bool is_over = now_mono_ms >= warm->deadline_mono_ms || (rc != 0 && rc != AUGURY_ERR_FULL);
    if (is_over) {
        finish(warm);
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

/* 0: slices have begun; AUGURY_NOT_FOUND: nothing is to be warmed, err says why. */
static int
begin(struct admin_call *call, const struct api_use *use, struct err *err)
{
    struct supervisor *supervisor = call->supervisor;
    const struct conf *conf = &supervisor->conf;
    char version[U64_TEXT_MAX];
    bool is_stable = strcmp(use->label, REGISTRY_LABEL_STABLE) == 0;
    struct predict_warm_options options = {
        .registry = supervisor->registry,
        .cache = supervisor->cache,
        .model = use->name,
        .from = bytes_of_text(is_stable ? "" : use->label),
        .to = bytes_of(version, u64_to_text(use->version, version)),
        .ttl_s = conf->cache.classes[CONF_CACHE_PREDICTION].ttl_s,
        .rows_max = conf->warm.entries};
    struct supervisor_warm *warm = calloc(1, sizeof(*warm));

    if (warm == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    *warm = (struct supervisor_warm){.supervisor = supervisor,
                                     .use = *use,
                                     .slice_rows = 1,
                                     .begin_mono_ms = clock_mono_ms(),
                                     .peer = *call->peer,
                                     .is_json = call->is_json};
    warm->deadline_mono_ms = warm->begin_mono_ms + conf->warm.time_ms;
    int rc = predict_warm_new(&options, &warm->rows, err);
    if (rc == 0) {
        rc = net_timer_new(supervisor->loop, TURN_MS, on_turn, warm, &warm->timer);
    }
    if (rc != 0) {
        warm_free(&warm);
        return rc;
    }
    supervisor->warm = warm;
    return 0;
}

/* Why nothing can be warmed, whatever the cache has; NULL: nothing speaks against it. */
static const char *
why_not(const struct supervisor *supervisor, const struct api_use *use)
{
    const struct conf *conf = &supervisor->conf;

    if (use->is_cold) {
        return "--no-warm";
    }
    if (conf->warm.entries == 0) {
        return "warm.entries is 0";
    }
    if (!conf->cache.classes[CONF_CACHE_PREDICTION].is_enabled) {
        return "predictions are not cached";
    }
    return conf->cache.is_keeping_rows ? NULL : "cache.prediction.keep_rows is no";
}

/* One at a time. */
static int
check_busy(const struct supervisor *supervisor, struct err *err)
{
    const struct supervisor_warm *warm = supervisor->warm;

    return warm == NULL
               ? 0
               : err_set(err, AUGURY_ERR_BUSY, "busy", "%s@%u is about to take over; try again",
                         warm->use.name, warm->use.version);
}

static int
use_version(struct admin_call *call, const struct api_use *use, struct err *err)
{
    struct api_warmth warmth = {.why = why_not(call->supervisor, use), .warning = use->warning};
    struct err reason = {.reason = "out of memory"};

    if (warmth.why == NULL) {
        if (begin(call, use, &reason) == 0) {
            return ADMIN_LATER;
        }
        /* A version that is not there is told by what follows. */
        warmth.why = reason.reason;
    }
    return move_label(call, use, &warmth, err);
}

int
admin_model_use(struct admin_call *call, struct err *err)
{
    struct api_use use;
    int rc = api_model_use_words(call->argc + 1, call->argv - 1, &use, err);

    if (rc == 0) {
        rc = check_busy(call->supervisor, err);
    }
    return rc == 0 ? use_version(call, &use, err) : rc;
}

int
admin_model_import(struct admin_call *call, struct err *err)
{
    struct supervisor *supervisor = call->supervisor;
    struct api_use use = {.version = 0};
    struct api_verbs verbs = {.registry = supervisor->registry,
                              .conf = &supervisor->conf,
                              .now_wall_ms = call->now_wall_ms,
                              .use_later = &use};
    int rc = 0;

    for (int i = 0; rc == 0 && i < call->argc; i++) {
        rc = strcmp(call->argv[i], "--use") == 0 ? check_busy(supervisor, err) : 0;
    }
    if (rc == 0) {
        rc = api_model_verb(&verbs, call->argc + 1, call->argv - 1, call->writer, err);
    }
    return rc == 0 && use.version > 0 ? use_version(call, &use, err) : rc;
}

void
supervisor_warm_stop(struct supervisor *supervisor)
{
    warm_free(&supervisor->warm);
}
