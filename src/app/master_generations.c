/* SPDX-License-Identifier: MIT */
/*
 * master_generations.c - reload by generations. A new configuration is validated and its listeners
 * are opened before anything changes; its workers must all be ready before the old ones are told to
 * drain.
 */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "augury/net.h"
#include "master.h"

enum {
    SPARE_DESCRIPTORS = 256,
    RELOAD_HOLD_MS = 5000,
    STOP_ACCEPTING_MAX_MS = 2000,
    STOP_ACCEPTING_POLL_MS = 2
};

struct generation *
generations_find(struct master *master, enum generation_state state)
{
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        if (master->generations[i].state == state) {
            return &master->generations[i];
        }
    }
    return NULL;
}

/* Ends a generation without processes: what only it had is given back. */
static void
generation_forget(struct master *master, struct generation *generation)
{
    listeners_close(master, generation);
    api_keys_free(&generation->keys);
    conf_free(&generation->conf);
    *generation = (struct generation){.state = GENERATION_NONE};
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Read anew for each generation, as certificates are: workers may not read the file. The first of
 * its errors is told; `auguryd -t` tells all. */
static int
read_keys(struct master *master, struct generation *generation, struct err *err)
{
    const struct conf *conf = generation->conf;
    struct api_buckets *buckets = master->heritage.buckets;
    struct conf_errors errors;
    uint64_t now_mono_ns = clock_mono_ns();

    int rc = api_keys_read(conf->access.keys, &generation->keys, &errors);
    if (rc != 0) {
        const struct err *first = &errors.list[0];
        return err_set(err, rc, first->code, "access.keys: %s%s%s", first->at,
                       first->at[0] != '\0' ? ": " : "", first->reason);
    }
    api_keys_fit(generation->keys, buckets, now_mono_ns);
    api_clients_fit(buckets, api_client_rate(conf), now_mono_ns);
    if (generation->keys != NULL) {
        log_event(&master->heritage.log, LOG_LEVEL_INFO, "keys", "count=%zu",
                  api_keys_count(generation->keys));
    }
    return 0;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Children inherit it. */
static void
raise_file_limit(struct master *master, unsigned wanted)
{
    if (proc_raise_file_limit(wanted) != 0) {
        log_event(&master->heritage.log, LOG_LEVEL_WARN, "file_limit_low", "wanted=%u", wanted);
    }
}

/* Takes conf over in every case. */
static int
generation_make(struct master *master, struct conf *conf, struct generation **out_generation,
                struct err *err)
{
    struct generation *generation = generations_find(master, GENERATION_NONE);

    AUGURY_ASSERT(generation != NULL);
    *generation = (struct generation){
        .state = GENERATION_STARTING,
        .number = ++master->last_generation,
        .conf = conf,
        .workers = conf->workers != 0 ? conf->workers : proc_cpu_count(""),
        .deadline_mono_ms = clock_mono_ms() + MASTER_START_MAX_MS / 2,
    };
    generation->workers = generation->workers > 64 ? 64 : generation->workers;
    int rc = read_keys(master, generation, err);
    if (rc == 0) {
        rc = listeners_open(master, generation, err);
    }
    if (rc != 0) {
        generation_forget(master, generation);
        return rc;
    }
    raise_file_limit(master, conf->limits.connections + SPARE_DESCRIPTORS);
    *out_generation = generation;
    return 0;
}

void
generation_start(struct master *master, struct generation *generation)
{
    AUGURY_ASSERT(generation != NULL);
    for (unsigned i = 0; i < generation->workers; i++) {
        int rc = children_start_worker(master, generation, i);
        AUGURY_ASSERT(rc == 0); /* there was room for all */
    }
}

int
generations_first(struct master *master, struct conf *conf, struct err *err)
{
    struct generation *generation = NULL;
    return generation_make(master, conf, &generation, err);
}

/* ---- the outcome of a reload ----------------------------------------------------------------- */

/* Whoever asked through the admin socket waits there for the outcome. */
static void
wake_supervisor(const struct master *master)
{
    (void)eventfd_write(master->heritage.wake_fd, 1);
}

static void
reload_failed(struct master *master, const char *reason)
{
    struct proc_board *board = &master->heritage.shared->board;
    char quoted[600];

    log_event(&master->heritage.log, LOG_LEVEL_ERROR, "reload_failed", "reason=%s",
              log_quote(bytes_of_text(reason), quoted, sizeof(quoted)));
    snprintf(board->last_reload_error, sizeof(board->last_reload_error), "%s", reason);
    atomic_store(&board->has_last_reload_failed, 1);
    atomic_fetch_add(&board->reload_failures, 1); /* after the text: whoever waits reads it now */
    wake_supervisor(master);
    stats_add(stats_slot(master->heritage.stats, PROC_SLOT_MASTER), STATS_PROC_RELOAD_FAILURES, 1);
}

/* The log is what the serving generation's configuration says; a failure leaves the other one. */
static void
return_to_log(struct master *master)
{
    const struct generation *serving = generations_find(master, GENERATION_SERVING);
    struct err err;
    char quoted[400];

    if (serving != NULL && master_log_adopt(master, serving->conf, &err) != 0) {
        log_event(&master->heritage.log, LOG_LEVEL_ERROR, "log_open_failed", "reason=%s",
                  log_quote(bytes_of_text(err.reason), quoted, sizeof(quoted)));
    }
}

static void
abandon(struct master *master, struct generation *generation, const char *reason)
{
    return_to_log(master);
    reload_failed(master, reason);
    generation->state = GENERATION_DRAINING;
    generation->deadline_mono_ms = clock_mono_ms() + STOP_ACCEPTING_MAX_MS;
    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        if (master->children[i].generation == generation) {
            child_end(master, &master->children[i], SIGTERM, MASTER_KILL_AFTER_MS);
        }
    }
    generation_on_death(master, generation, false);
}

static size_t
count_old(const struct master *master)
{
    size_t old = 0;

    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        old += master->generations[i].state == GENERATION_DRAINING ? 1 : 0;
    }
    return old;
}

static void
limit_old_generations(struct master *master)
{
    struct generation *oldest = NULL;

    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        struct generation *generation = &master->generations[i];
        if (generation->state == GENERATION_DRAINING) {
            oldest = oldest == NULL || generation->number < oldest->number ? generation : oldest;
        }
    }
    if (count_old(master) <= MASTER_OLD_GENERATIONS_MAX) {
        return;
    }
    log_event(&master->heritage.log, LOG_LEVEL_WARN, "generation_cut", "old=%u", oldest->number);
    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        if (master->children[i].generation == oldest) {
            child_end(master, &master->children[i], SIGTERM, 0);
        }
    }
}

static void
tell_workers_to_drain(struct master *master, struct generation *generation)
{
    uint64_t limit_ms = generation->conf->limits.drain_timeout_ms + (uint64_t)MASTER_KILL_AFTER_MS;

    generation->quit_mono_ms = 0;
    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        if (master->children[i].generation == generation) {
            child_end(master, &master->children[i], SIGQUIT, limit_ms);
        }
    }
    if (master->phase == MASTER_RUNNING) {
        limit_old_generations(master);
    }
    generation_on_death(master, generation, true); /* perhaps it was empty already */
}

/* Where a listener is taken away its workers go on for a moment: connections that were being made
 * when it stopped to take new ones reach them. */
static void
generation_drain(struct master *master, struct generation *generation)
{
    uint64_t now_mono_ms = clock_mono_ms();

    generation->state = GENERATION_DRAINING;
    uint32_t retire_ms = listeners_retire(master, generation);
    generation->deadline_mono_ms = now_mono_ms + retire_ms + STOP_ACCEPTING_MAX_MS;
    if (retire_ms > 0) {
        generation->quit_mono_ms = now_mono_ms + retire_ms;
    } else {
        tell_workers_to_drain(master, generation);
    }
}

/* A draining generation's listeners go when nobody of it accepts any more. */
static void
drain_tick(struct master *master, struct generation *generation, uint64_t now_mono_ms)
{
    if (generation->quit_mono_ms != 0) {
        if (now_mono_ms >= generation->quit_mono_ms) {
            tell_workers_to_drain(master, generation);
        }
        return;
    }
    if (now_mono_ms >= generation->deadline_mono_ms ||
        !children_are_accepting(master, generation)) {
        listeners_close(master, generation);
    }
}

static bool
has_old_listeners(const struct master *master)
{
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        const struct generation *generation = &master->generations[i];
        if (generation->state == GENERATION_DRAINING && generation->listener_count > 0) {
            return true;
        }
    }
    return false;
}

/* Whoever waits for the reload is told when no connection can reach the old generation. */
static void
end_reload(struct master *master)
{
    struct proc_board *board = &master->heritage.shared->board;

    master->is_reload_ending = false;
    stats_add(stats_slot(master->heritage.stats, PROC_SLOT_MASTER), STATS_PROC_RELOADS, 1);
    atomic_store(&board->has_last_reload_failed, 0);
    atomic_fetch_add(&board->reloads, 1);
    wake_supervisor(master);
}

static void
start_is_over(struct master *master)
{
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "ready", "workers=%u ms=%llu",
              atomic_load(&master->heritage.shared->board.workers_wanted),
              (unsigned long long)(clock_mono_ms() - master->started_mono_ms));
    master->phase = MASTER_RUNNING;
    proc_ready_tell(&master->ready_fd, PROC_EXIT_OK, NULL);
}

/* All of its workers are ready: it is the one that serves. */
static void
generation_take_over(struct master *master, struct generation *generation)
{
    struct proc_board *board = &master->heritage.shared->board;
    struct generation *old = generations_find(master, GENERATION_SERVING);

    generation->state = GENERATION_SERVING;
    atomic_store(&board->generation, generation->number);
    atomic_store(&board->workers_wanted, generation->workers);
    log_name(&master->heritage.log, "master", generation->number);
    proc_title_set(&master->heritage.title, "auguryd: master gen %u", generation->number);
    if (master->phase == MASTER_STARTING) {
        start_is_over(master);
        return;
    }
    heritage_conf_put(master->heritage.shared, generation->conf);
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "reload_done", "workers=%u ms=%llu",
              generation->workers, (unsigned long long)(clock_mono_ms() - master->reload_mono_ms));
    if (old != NULL) {
        generation_drain(master, old);
    }
    master->is_reload_ending = true;
}

void
generation_on_ready(struct master *master, struct generation *generation)
{
    bool is_ending = master->phase == MASTER_DRAINING || master->phase == MASTER_STOPPING;

    if (generation->state == GENERATION_STARTING && !is_ending &&
        children_count(master, generation, true) == generation->workers) {
        generation_take_over(master, generation);
    }
}

void
generation_on_death(struct master *master, struct generation *generation, bool was_ready)
{
    bool is_empty = children_count(master, generation, false) == 0;
    char reason[HERITAGE_FAILURE_BYTES + 64];

    (void)was_ready;
    if (generation->state == GENERATION_STARTING && master->phase == MASTER_RUNNING) {
        const char *failure = master->heritage.shared->failure;
        snprintf(reason, sizeof(reason), "a new worker died before all were ready%s%.400s",
                 failure[0] == '\0' ? "" : ": ", failure);
        abandon(master, generation, reason);
    } else if (generation->state == GENERATION_DRAINING && is_empty) {
        log_event(&master->heritage.log, LOG_LEVEL_INFO, "generation_end", "old=%u",
                  generation->number);
        generation_forget(master, generation);
    } else if (generation->state == GENERATION_SERVING && is_empty &&
               master->phase == MASTER_RUNNING) {
        master_give_up(master, "no worker is left, and none may be respawned");
    }
}

/* ---- reload ---------------------------------------------------------------------------------- */

/* First option that only a restart can change; NULL: none. */
static const char *
fixed_option_changed(const struct master *master, const struct conf *old, const struct conf *fresh)
{
    static const char *const fixed[] = {"user",         "group",        "daemon",
                                        "pidfile",      "models.dir",   "models.map",
                                        "cache.dir",    "cache.map",    "cache.ring",
                                        "cache.group",  "admin.socket", "admin.operator_group",
                                        "disk.enabled", "disk.dir",     "disk.size"};

    for (size_t i = 0; i < AUGURY_COUNT(fixed); i++) {
        const struct conf_option *option = NULL;
        int rc = conf_option_find(fixed[i], &option);
        AUGURY_ASSERT(rc == 0);
        if (memcmp((const uint8_t *)old + option->offset, (const uint8_t *)fresh + option->offset,
                   option->size) != 0) {
            return fixed[i];
        }
    }
    return fresh->cache.size_bytes > master->heritage.cache_map_bytes / 2 ? "cache.size" : NULL;
}

/* The first errors, one a line. */
static void
describe_errors(const struct conf_errors *errors, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < errors->count && i < AUGURY_COUNT(errors->list) && used < size; i++) {
        const struct err *err = &errors->list[i];
        int len =
            snprintf(out + used, size - used, "%s%s: %s", i == 0 ? "" : "; ", err->at, err->reason);
        used += len < 0 ? 0 : (size_t)len;
    }
}

static int
load_and_validate(struct master *master, struct conf **out_conf, char *out_reason, size_t size)
{
    const struct generation *serving = generations_find(master, GENERATION_SERVING);
    struct conf_errors errors = {.count = 0};
    struct conf *conf = NULL;

    int rc = conf_load(&master->source, &conf, &errors);
    if (rc != 0) {
        describe_errors(&errors, out_reason, size);
        return rc;
    }
    const char *fixed = fixed_option_changed(master, serving->conf, conf);
    if (fixed != NULL) {
        snprintf(out_reason, size, "%s can only be changed by a restart", fixed);
        conf_free(&conf);
        return AUGURY_ERR_STATE;
    }
    *out_conf = conf;
    return 0;
}

static const char still_ending[] = "older generations are still ending; try again";

static int
prepare_fork(struct master *master, const struct generation *generation, struct err *err)
{
    /* Fewer workers than asked for would serve until the next reload, long after the old ones have
     * gone. */
    if (children_room(master) < generation->workers) {
        return err_set(err, AUGURY_ERR_BUSY, "no_slot", "%s", still_ending);
    }
    return master_log_adopt(master, generation->conf, err); /* the new workers inherit it */
}

void
generations_reload(struct master *master)
{
    char reason[512] = "";
    struct conf *conf = NULL;
    struct generation *generation = NULL;
    struct err err;

    log_event(&master->heritage.log, LOG_LEVEL_INFO, "reload", "path=%s",
              master->source.path == NULL ? "" : master->source.path);
    master->reload_mono_ms = clock_mono_ms();
    atomic_fetch_add(&master->heritage.shared->board.reload_starts, 1);
    if (load_and_validate(master, &conf, reason, sizeof(reason)) != 0) {
        reload_failed(master, reason);
        return;
    }
    if (generations_find(master, GENERATION_NONE) == NULL) {
        conf_free(&conf);
        reload_failed(master, still_ending);
        return;
    }
    if (generation_make(master, conf, &generation, &err) != 0) {
        reload_failed(master, err.reason);
        return;
    }
    if (prepare_fork(master, generation, &err) != 0) {
        generation_forget(master, generation);
        reload_failed(master, err.reason);
        return;
    }
    master->heritage.shared->failure[0] = '\0';
    generation_start(master, generation);
}

bool
generations_may_reload(const struct master *master, uint64_t now_mono_ms)
{
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        if (master->generations[i].state == GENERATION_STARTING) {
            return false;
        }
    }
    /* A listener that is being taken away cannot be taken over. */
    if (master->is_reload_ending || has_old_listeners(master) || master->phase != MASTER_RUNNING) {
        return false;
    }
    /* One more would end the oldest in the middle of its requests; they are given time. */
    return count_old(master) < MASTER_OLD_GENERATIONS_MAX ||
           now_mono_ms >= master->wanted_mono_ms + RELOAD_HOLD_MS;
}

void
generations_tick(struct master *master, uint64_t now_mono_ms)
{
    struct generation *starting = generations_find(master, GENERATION_STARTING);

    if (starting != NULL && master->phase == MASTER_RUNNING &&
        now_mono_ms > starting->deadline_mono_ms) {
        abandon(master, starting, "new workers were not ready within 30 seconds");
    }
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        struct generation *generation = &master->generations[i];
        if (generation->state == GENERATION_DRAINING && generation->listener_count > 0) {
            drain_tick(master, generation, now_mono_ms);
        }
    }
    if (master->is_reload_ending && !has_old_listeners(master)) {
        end_reload(master);
    }
}

uint64_t
generations_next_mono_ms(const struct master *master)
{
    bool is_waiting = master->is_reload_ending || has_old_listeners(master);

    return is_waiting ? clock_mono_ms() + STOP_ACCEPTING_POLL_MS : UINT64_MAX;
}

/* The serving one first: what it has no other one keeps then. */
void
generations_drain(struct master *master)
{
    static const enum generation_state ending[] = {GENERATION_SERVING, GENERATION_STARTING};

    for (size_t i = 0; i < AUGURY_COUNT(ending); i++) {
        struct generation *generation = generations_find(master, ending[i]);
        if (generation != NULL) {
            generation_drain(master, generation);
        }
    }
}

void
generations_close(struct master *master)
{
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        if (master->generations[i].state != GENERATION_NONE) {
            generation_forget(master, &master->generations[i]);
        }
    }
}
