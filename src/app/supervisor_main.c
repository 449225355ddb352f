/* SPDX-License-Identifier: MIT */
/*
 * supervisor_main.c - the loop around the cache's keeper: rings wake it, a tick sweeps, clears
 * readers of the dead and follows the configuration, and the admin socket asks for the rest. It may
 * die anywhere: an entry leaves its ring only after the commit, and workers go on reading
 * meanwhile.
 */
#include "supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "admin.h"
#include "supervisor_sizing.h"

enum { TICK_MS = 1000, BEAT_MS = 500, TURNS_MAX = 16, FORGIVEN_MS = 60000, BUS_SILENT_TICKS = 2 };

#define GREETING "augury-admin/1 " PACKAGE_VERSION

/* ---- the keeper's work ----------------------------------------------------------------------- */

static void
note_commit(struct supervisor *supervisor, int rc)
{
    struct log *log = &supervisor->heritage->log;

    if (rc < 0 && !supervisor->is_commit_failing) {
        log_event(log, LOG_LEVEL_ERROR, "cache_commit_failed", "reason=\"%s\"",
                  augury_strerror(rc));
    } else if (rc >= 0 && supervisor->is_commit_failing) {
        log_event(log, LOG_LEVEL_INFO, "cache_commit_works_again", "turn=1");
    }
    supervisor->is_commit_failing = rc < 0;
}

void
supervisor_pump(struct supervisor *supervisor)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        bool has_more = false;
        int rc = cache_keeper_turn(supervisor->cache, clock_wall_ms(), &has_more);
        note_commit(supervisor, rc);
        if (rc < 0) {
            return; /* the tick tries again */
        }
        if (!has_more && cache_keeper_may_sleep(supervisor->cache)) {
            return;
        }
    }
    /* Others have their turn before the rest. */
    (void)eventfd_write(supervisor->heritage->wake_fd, 1);
}

static void
note_one_damage(struct supervisor *supervisor, enum stats_id id, const char *event, const char *dir,
                uint64_t *last)
{
    uint64_t replaced = stats_sum(supervisor->heritage->stats, id);

    if (replaced != *last) {
        log_event(&supervisor->heritage->log, LOG_LEVEL_WARN, event, "action=\"made anew\" dir=%s",
                  dir);
    }
    *last = replaced;
}

/* An environment that is damaged is replaced by whoever notices, at a start or later. */
static void
note_damage(struct supervisor *supervisor)
{
    const struct conf *conf = &supervisor->conf;

    note_one_damage(supervisor, STATS_CACHE_REPLACED, "cache_damaged", conf->cache.dir,
                    &supervisor->replaced);
    note_one_damage(supervisor, STATS_DISK_REPLACED, "cache_disk_damaged", conf->disk.dir,
                    &supervisor->disk_replaced);
}

static void
note_disk(struct supervisor *supervisor)
{
    struct log *log = &supervisor->heritage->log;
    bool is_off = !cache_disk_is_up(supervisor->cache);
    char quoted[400];
    uint64_t entries = 0;

    if (is_off && !supervisor->is_disk_off) {
        log_event(
            log, LOG_LEVEL_ERROR, "cache_disk_off",
            "dir=%s effect=\"memory alone; tried again each second\" reason=%s",
            supervisor->conf.disk.dir,
            log_quote(bytes_of_text(cache_disk_why(supervisor->cache)), quoted, sizeof(quoted)));
    } else if (!is_off && supervisor->is_disk_off) {
        log_event(log, LOG_LEVEL_INFO, "cache_disk_works_again", "dir=%s",
                  supervisor->conf.disk.dir);
    }
    supervisor->is_disk_off = is_off;
    if (cache_warm_ended(supervisor->cache, &entries)) {
        log_event(log, LOG_LEVEL_INFO, "cache_warmed", "entries=%llu from=disk",
                  (unsigned long long)entries);
    }
}

static void
check_readers(struct supervisor *supervisor)
{
    unsigned cleared = 0;

    int rc = cache_keeper_tick(supervisor->cache, clock_wall_ms());
    note_commit(supervisor, rc);
    note_disk(supervisor);
    note_damage(supervisor);
    if (registry_reader_check(supervisor->registry, &cleared) == 0 && cleared > 0) {
        log_event(&supervisor->heritage->log, LOG_LEVEL_INFO, "stale_readers_cleared",
                  "environment=models count=%u", cleared);
    }
}

/* Level and file. The master has made the file and given it to our user. */
static void
follow_log(struct supervisor *supervisor)
{
    struct log *log = &supervisor->heritage->log;
    const char *file = supervisor->conf.log.file;
    const char *path = strcmp(file, "stderr") == 0 ? "" : file;
    struct log fresh;
    struct err err;
    char quoted[400];

    int rc = log_level_find(supervisor->conf.log.level, &log->level);
    AUGURY_ASSERT(rc == 0); /* conf allows no other word */
    if (strcmp(path, log->path) == 0) {
        return;
    }
    if (log_open(&fresh, path, log->level, &err) != 0) {
        log_event(log, LOG_LEVEL_ERROR, "log_open_failed", "reason=%s",
                  log_quote(bytes_of_text(err.reason), quoted, sizeof(quoted)));
        return;
    }
    log_close(log);
    *log = fresh;
}

/* One process says how many versions there are: workers would each say it, when asked. */
static void
publish_models(struct supervisor *supervisor)
{
    if (registry_snapshot_begin(supervisor->registry) == 0) {
        stats_set(supervisor->stats, STATS_MODEL_VERSIONS,
                  registry_version_count(supervisor->registry));
        registry_snapshot_end(supervisor->registry);
    }
}

/* ---- other machines -------------------------------------------------------------------------- */

static void
on_bus_ready(void *object, unsigned line, unsigned what)
{
    cache_bus_ready(object, line, what);
}

static void
on_bus_tick(void *object)
{
    cache_bus_tick(object);
}

static void
close_bus(struct supervisor *supervisor)
{
    cache_bus_free(&supervisor->bus);
    redis_loop_fini(&supervisor->bus_loop);
}

/* Of all that the bus was made from. */
static uint64_t
bus_print(const struct conf *conf)
{
    return hash64_of(bytes_of(&conf->redis, sizeof(conf->redis))) ^
           hash64_of(bytes_of(conf->cache.classes, sizeof(conf->cache.classes)));
}

static void
open_bus(struct supervisor *supervisor)
{
    const struct conf *conf = &supervisor->conf;
    struct err err;
    char quoted[400];
    struct cache_bus_options options = {.server = redis_server_of(conf),
                                        .loop = redis_loop_of(&supervisor->bus_loop),
                                        .cache = supervisor->cache,
                                        .board = supervisor->heritage->cache_board,
                                        .stats = supervisor->stats,
                                        .forgiven_ms = FORGIVEN_MS};

    supervisor->bus_print = bus_print(conf);
    supervisor->bus_ticks = 0;
    supervisor->is_bus_told = false;
    if (conf->redis.address[0] == '\0') {
        return;
    }
    supervisor->bus_loop =
        (struct redis_loop){.loop = supervisor->loop, .ready = on_bus_ready, .tick = on_bus_tick};
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        const struct conf_cache_class *class = &conf->cache.classes[i];
        options.redis_ttl_s[i] = class->is_enabled ? class->redis_ttl_s : 0;
    }
    if (cache_bus_new(&options, &supervisor->bus, &err) != 0) {
        log_event(&supervisor->heritage->log, LOG_LEVEL_WARN, "redis_off", "reason=%s",
                  log_quote(bytes_of_text(err.reason), quoted, sizeof(quoted)));
    }
    supervisor->bus_loop.object = supervisor->bus;
}

static void
say_bus_is_down(struct supervisor *supervisor)
{
    char quoted[400];

    log_event(&supervisor->heritage->log, LOG_LEVEL_WARN, "redis_down", "address=%s reason=%s",
              supervisor->conf.redis.address,
              log_quote(bytes_of_text(cache_bus_why(supervisor->bus)), quoted, sizeof(quoted)));
}

/* Said once, when it changes; and when it is not there from the beginning, a moment after that. */
static void
note_bus(struct supervisor *supervisor)
{
    bool is_up = cache_bus_is_up(supervisor->bus);
    bool was_up = supervisor->is_bus_up;

    supervisor->bus_ticks += supervisor->bus_ticks < BUS_SILENT_TICKS ? 1 : 0;
    bool is_silent = supervisor->bus_ticks == BUS_SILENT_TICKS && !supervisor->is_bus_told;
    if (is_up && !was_up) {
        log_event(&supervisor->heritage->log, LOG_LEVEL_INFO, "redis_up", "address=%s",
                  supervisor->conf.redis.address);
        supervisor->is_bus_told = true;
    } else if (!is_up && supervisor->bus != NULL && (was_up || is_silent)) {
        say_bus_is_down(supervisor);
        supervisor->is_bus_told = true;
    }
    if (cache_bus_had_gap(supervisor->bus)) {
        log_event(
            &supervisor->heritage->log, LOG_LEVEL_WARN, "redis_gap",
            "address=%s reason=\"the stream of invalidations no longer has what was done here "
            "last; all entries are invalidated\"",
            supervisor->conf.redis.address);
    }
    supervisor->is_bus_up = is_up;
}

/* What a reload changes for this process. */
static void
follow_conf(struct supervisor *supervisor)
{
    struct heritage *heritage = supervisor->heritage;

    if (!heritage_conf_get(heritage->shared, &supervisor->conf_sequence, &supervisor->conf)) {
        return;
    }
    if (bus_print(&supervisor->conf) != supervisor->bus_print) {
        close_bus(supervisor);
        open_bus(supervisor);
    }
    cache_keeper_quota_entries(supervisor->cache, supervisor->conf.cache.entries);
    sizing_follow_conf(supervisor->sizing);
    supervisor_learn_follow(supervisor);
    follow_log(supervisor);
    heritage->generation = atomic_load(&heritage->shared->board.generation);
    log_name(&heritage->log, "supervisor", heritage->generation);
    log_event(&heritage->log, LOG_LEVEL_INFO, "conf_adopted", "cache_bytes=%llu",
              (unsigned long long)supervisor->conf.cache.size_bytes);
}

static void
on_wake(void *arg, int fd, enum net_watch_what what)
{
    struct supervisor *supervisor = arg;
    eventfd_t count = 0;

    (void)what;
    (void)eventfd_read(fd, &count);
    supervisor_pump(supervisor);
    /* Perhaps it was the master: a reload has ended. */
    follow_conf(supervisor);
    admin_reload_settle(supervisor->admin);
}

static void
rotate_tickets(struct supervisor *supervisor)
{
    struct heritage *heritage = supervisor->heritage;

    if (net_tickets_rotate(heritage->tickets, clock_wall_ms()) != 0) {
        log_event(&heritage->log, LOG_LEVEL_WARN, "tls_tickets_kept", "reason=\"no random bytes\"");
    }
}

static void
on_tick(void *arg)
{
    struct supervisor *supervisor = arg;

    follow_conf(supervisor);
    rotate_tickets(supervisor);
    admin_reload_settle(supervisor->admin);
    check_readers(supervisor);
    publish_models(supervisor);
    supervisor_learn_turn(supervisor);
    note_bus(supervisor);
    supervisor_pump(supervisor); /* a wake that a dying worker never sent is made up for */
}

static void
on_beat(void *arg)
{
    struct supervisor *supervisor = arg;
    heritage_heartbeat(supervisor->heritage);
}

/* ---- signals and the master's death ---------------------------------------------------------- */

static void
stop(struct supervisor *supervisor)
{
    supervisor->is_stopping = true;
    net_loop_stop(supervisor->loop);
}

static void
on_signal(void *arg, int number)
{
    struct supervisor *supervisor = arg;

    if (number == SIGUSR1) {
        if (log_reopen(&supervisor->heritage->log) != 0) {
            log_event(&supervisor->heritage->log, LOG_LEVEL_ERROR, "log_reopen_failed", "errno=%d",
                      errno);
        }
    } else if (number == SIGUSR2) {
        check_readers(supervisor); /* a worker died */
    } else {
        stop(supervisor);
    }
}

static void
on_master_death(void *arg, int fd, enum net_watch_what what)
{
    struct supervisor *supervisor = arg;
    char byte = 0;

    (void)what;
    if (read(fd, &byte, 1) != 0) {
        return;
    }
    log_event(&supervisor->heritage->log, LOG_LEVEL_ERROR, "master_died", "exit=1");
    stop(supervisor);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int
open_environments(struct supervisor *supervisor, struct err *err)
{
    struct heritage *heritage = supervisor->heritage;
    const struct conf *conf = &supervisor->conf;
    struct cache_disk_options disk;
    struct registry_options models = {.dir = conf->models.dir,
                                      .map_bytes = (size_t)conf->models.map_bytes,
                                      .stats = supervisor->stats,
                                      .kernel = conf->models.kernel};
    struct cache_options cache = {.dir = conf->cache.dir,
                                  .map_bytes = heritage->cache_map_bytes,
                                  .is_keeper = true,
                                  .is_for_group = conf->cache.group[0] != '\0',
                                  .board = heritage->cache_board,
                                  .slot = heritage->slot,
                                  .stats = supervisor->stats,
                                  .disk = heritage_disk(conf, &disk)};

    supervisor->replaced = stats_sum(heritage->stats, STATS_CACHE_REPLACED);
    supervisor->disk_replaced = stats_sum(heritage->stats, STATS_DISK_REPLACED);
    int rc = registry_open(&models, &supervisor->registry, err);
    if (rc == 0) {
        rc = cache_open(&cache, &supervisor->cache, NULL, err);
    }
    if (rc == 0) {
        note_damage(supervisor);
        cache_keeper_quota_entries(supervisor->cache, conf->cache.entries);
        publish_models(supervisor);
    }
    return rc;
}

static int
watch_events(struct supervisor *supervisor, struct proc_link link)
{
    struct net_loop *loop = supervisor->loop;
    int wake_fd = supervisor->heritage->wake_fd;

    int rc = net_watch_new(loop, link.life_fd, NET_WATCH_READ, on_master_death, supervisor,
                           &supervisor->life);
    if (rc == 0) {
        rc = net_watch_new(loop, wake_fd, NET_WATCH_READ, on_wake, supervisor, &supervisor->wake);
    }
    if (rc == 0) {
        rc = net_timer_new(loop, TICK_MS, on_tick, supervisor, &supervisor->tick);
    }
    if (rc == 0) {
        rc = net_timer_new(loop, BEAT_MS, on_beat, supervisor, &supervisor->beat);
    }
    if (rc == 0) {
        rc = net_signal_new(loop, SIGTERM, on_signal, supervisor, &supervisor->term);
    }
    if (rc == 0) {
        rc = net_signal_new(loop, SIGQUIT, on_signal, supervisor, &supervisor->quit);
    }
    if (rc == 0) {
        rc = net_signal_new(loop, SIGUSR1, on_signal, supervisor, &supervisor->reopen);
    }
    return rc != 0 ? rc : net_signal_new(loop, SIGUSR2, on_signal, supervisor, &supervisor->check);
}

static int
supervisor_setup(struct supervisor *supervisor, struct proc_link link, struct err *err)
{
    struct heritage *heritage = supervisor->heritage;

    int rc = heritage_child_begin(heritage, "supervisor", err);
    if (rc == 0) {
        rc = open_environments(supervisor, err);
    }
    if (rc == 0) {
        rc = net_loop_new(&supervisor->loop, err);
    }
    if (rc == 0) {
        open_bus(supervisor);
        rc = sizing_new(supervisor, &supervisor->sizing, err);
    }
    if (rc == 0) {
        supervisor_learn_follow(supervisor);
        rc = admin_new(supervisor, &supervisor->admin, err);
    }
    if (rc == 0) {
        rc = net_line_server_new(supervisor->loop, heritage->admin_fd, GREETING, admin_on_line,
                                 supervisor->admin, &supervisor->lines, err);
    }
    if (rc == 0 && watch_events(supervisor, link) != 0) {
        rc = err_set(err, AUGURY_ERR_IO, "events", "cannot watch signals and timers");
    }
    return rc;
}

static void
supervisor_teardown(struct supervisor *supervisor)
{
    supervisor_warm_stop(supervisor);
    supervisor_learn_stop(supervisor);
    net_line_server_free(&supervisor->lines);
    admin_free(&supervisor->admin);
    close_bus(supervisor);
    sizing_free(&supervisor->sizing);
    net_watch_free(&supervisor->life);
    net_watch_free(&supervisor->wake);
    net_timer_free(&supervisor->tick);
    net_timer_free(&supervisor->beat);
    net_signal_free(&supervisor->term);
    net_signal_free(&supervisor->quit);
    net_signal_free(&supervisor->reopen);
    net_signal_free(&supervisor->check);
    cache_close(&supervisor->cache);
    registry_close(&supervisor->registry);
    net_loop_free(&supervisor->loop);
}

int
supervisor_main(void *arg, struct proc_link link)
{
    struct heritage *heritage = arg;
    struct supervisor supervisor = {
        .heritage = heritage,
        .stats = stats_slot(heritage->stats, PROC_SLOT_SUPERVISOR),
    };
    struct err err;

    if (!heritage_conf_get(heritage->shared, &supervisor.conf_sequence, &supervisor.conf)) {
        supervisor.conf = *heritage->conf;
    }
    heritage->conf = &supervisor.conf;
    int rc = supervisor_setup(&supervisor, link, &err);
    if (rc != 0) {
        supervisor_teardown(&supervisor);
        return heritage_fail(heritage, PROC_EXIT_FAILED, "supervisor", &err);
    }
    proc_ready_say(&link);
    supervisor_pump(&supervisor); /* what the last one left in the rings */
    rc = net_loop_run(supervisor.loop);
    supervisor_pump(&supervisor);
    bool is_clean = rc == 0 && supervisor.is_stopping;
    supervisor_teardown(&supervisor);
    log_close(&heritage->log);
    return is_clean ? PROC_EXIT_OK : PROC_EXIT_FAILED;
}
