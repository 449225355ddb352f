/* SPDX-License-Identifier: MIT */
/*
 * worker_main.c - one worker's life: open models and cache read-only, serve the inherited
 * listeners, drain on QUIT or when the master dies, end at once on TERM. A worker without its
 * models cannot serve; one without the cache can, slower.
 */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "augury/api.h"
#include "redis_loop.h"

enum { BEAT_MS = 500 };

_Static_assert((int)CONF_CACHE_CLASS_COUNT == (int)CACHE_CLASS_COUNT &&
                   (int)CONF_CACHE_OBJECT == (int)CACHE_OBJECT,
               "conf and cache know the same classes in the same order");

_Static_assert(CONF_NUMBER_WORD == NET_TARGET_LAG_AUTO, "auto is the same to conf and to net");

struct worker {
    struct heritage *heritage;
    struct stats_slot *stats;
    struct net_loop *loop;
    struct cache *cache;
    struct redis_loop redis_loop;
    struct cache_redis *redis; /* NULL: none */
    struct registry *registry;
    struct predict_context predict;
    struct api *api;
    struct net_server *server;
    struct net_tls *tls[CONF_LISTEN_MAX]; /* of each listener, or NULL */
    struct net_watch *life;
    struct net_watch *wake;
    struct net_timer *beat;
    struct net_signal *term, *quit, *reopen;
    bool is_draining;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void
on_drained(void *arg)
{
    struct worker *worker = arg;
    net_loop_stop(worker->loop);
}

static void
drain(struct worker *worker)
{
    struct heritage *heritage = worker->heritage;

    if (worker->is_draining) {
        return;
    }
    worker->is_draining = true;
    proc_title_set(&heritage->title, "auguryd: worker %u gen %u (draining)", heritage->number,
                   heritage->generation);
    log_event(&heritage->log, LOG_LEVEL_INFO, "drain", "connections=%zu",
              net_server_connections(worker->server));
    net_server_drain(worker->server, heritage->conf->limits.drain_timeout_ms, on_drained, worker);
    /* Where this was the last one that had it, clients are refused and do not wait in vain. */
    for (uint32_t i = 0; i < heritage->listener_count; i++) {
        close(heritage->listeners[i].fd);
        heritage->listeners[i].fd = -1;
    }
}

static void
on_signal(void *arg, int number)
{
    struct worker *worker = arg;

    if (number == SIGQUIT) {
        drain(worker);
    } else if (number == SIGTERM) {
        worker->is_draining = true;
        net_loop_stop(worker->loop);
    } else if (log_reopen(&worker->heritage->log) != 0) {
        log_event(&worker->heritage->log, LOG_LEVEL_ERROR, "log_reopen_failed", "errno=%d", errno);
    }
}

static void
on_master_death(void *arg, int fd, enum net_watch_what what)
{
    struct worker *worker = arg;
    char byte = 0;

    (void)what;
    if (read(fd, &byte, 1) != 0) {
        return;
    }
    log_event(&worker->heritage->log, LOG_LEVEL_ERROR, "master_died", "action=drain");
    net_watch_free(&worker->life);
    drain(worker);
}

static void
on_wake(void *arg, int fd, enum net_watch_what what)
{
    struct worker *worker = arg;
    uint64_t count = 0;

    (void)what;
    if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
        api_wake(worker->api);
    }
}

static void
on_beat(void *arg)
{
    struct worker *worker = arg;

    heritage_heartbeat(worker->heritage);
    /* A worker that is asked nothing would else keep the pages of unloaded models mapped. */
    if (registry_snapshot_begin(worker->registry) == 0) {
        registry_snapshot_end(worker->registry);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void
open_cache(struct worker *worker)
{
    struct heritage *heritage = worker->heritage;
    struct cache_disk_options disk;
    bool was_damaged = false;
    struct err err;
    char quoted[400];
    struct cache_options options = {.dir = heritage->conf->cache.dir,
                                    .map_bytes = heritage->cache_map_bytes,
                                    .board = heritage->cache_board,
                                    .slot = heritage->slot,
                                    .stats = worker->stats,
                                    .disk = heritage_disk(heritage->conf, &disk)};

    if (cache_open(&options, &worker->cache, &was_damaged, &err) != 0) {
        worker->cache = NULL;
        log_event(&heritage->log, LOG_LEVEL_WARN, "cache_off", "reason=%s",
                  log_quote(bytes_of_text(err.reason), quoted, sizeof(quoted)));
    } else if (!cache_is_open(worker->cache)) {
        log_event(&heritage->log, LOG_LEVEL_WARN, "cache_off",
                  "reason=\"there is no environment yet\" action=\"looked for again\"");
    }
}

static void
on_redis_ready(void *object, unsigned line, unsigned what)
{
    cache_redis_ready(object, line, what);
}

static void
on_redis_tick(void *object)
{
    cache_redis_tick(object);
}

/* A worker without Redis answers all the same. */
static void
open_redis(struct worker *worker)
{
    const struct conf *conf = worker->heritage->conf;
    struct err err;
    char quoted[400];
    struct cache_redis_options options = {.server = redis_server_of(conf),
                                          .loop = redis_loop_of(&worker->redis_loop),
                                          .cache = worker->cache,
                                          .board = worker->heritage->cache_board,
                                          .stats = worker->stats};

    if (conf->redis.address[0] == '\0' || worker->cache == NULL) {
        return;
    }
    worker->redis_loop.loop = worker->loop;
    worker->redis_loop.ready = on_redis_ready;
    worker->redis_loop.tick = on_redis_tick;
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        const struct conf_cache_class *class = &conf->cache.classes[i];
        options.memory_ttl_s[i] = class->ttl_s;
        options.redis_ttl_s[i] = class->is_enabled ? class->redis_ttl_s : 0;
    }
    if (cache_redis_new(&options, &worker->redis, &err) != 0) {
        log_event(&worker->heritage->log, LOG_LEVEL_WARN, "redis_off", "reason=%s",
                  log_quote(bytes_of_text(err.reason), quoted, sizeof(quoted)));
    }
    worker->redis_loop.object = worker->redis;
}

static int
open_models(struct worker *worker, struct err *err)
{
    const struct conf *conf = worker->heritage->conf;
    struct registry_options options = {.dir = conf->models.dir,
                                       .map_bytes = (size_t)conf->models.map_bytes,
                                       .is_read_only = true,
                                       .stats = worker->stats,
                                       .kernel = conf->models.kernel};

    return registry_open(&options, &worker->registry, err);
}

static int
make_api(struct worker *worker, struct err *err)
{
    const struct conf *conf = worker->heritage->conf;
    const struct conf_cache_class *prediction = &conf->cache.classes[CONF_CACHE_PREDICTION];

    worker->predict = (struct predict_context){
        .registry = worker->registry,
        .cache = prediction->is_enabled ? worker->cache : NULL,
        .redis = worker->redis,
        .stats = worker->stats,
        .ttl_s = prediction->ttl_s,
        .decimals = conf->cache.prediction_decimals,
        .keeps_rows = conf->cache.is_keeping_rows,
        .rows_max = conf->limits.rows,
        .admission = cache_admission_of(conf->cache.prediction_admission),
        .has_bypass = conf->cache.prediction_bypass,
    };
    struct api_options options = {
        .conf = conf,
        .predict = &worker->predict,
        .cache = worker->cache,
        .redis = worker->redis,
        .stats = worker->heritage->stats,
        .slot = worker->stats,
        .board = &worker->heritage->shared->board,
        .cache_board = worker->heritage->cache_board,
        .server = &worker->server,
        .loop = worker->loop,
        .keys = worker->heritage->keys,
        .buckets = worker->heritage->buckets,
        .wake_fd = worker->heritage->worker_wake_fds[worker->heritage->slot],
    };
    return api_new(&options, &worker->api, err);
}

static enum http_forwarded
forwarded_of(const char *word)
{
    if (strcmp(word, "none") == 0) {
        return HTTP_FORWARDED_NONE;
    }
    return strcmp(word, "forwarded") == 0 ? HTTP_FORWARDED : HTTP_X_FORWARDED_FOR;
}

static int
listen_on(struct worker *worker, uint32_t number, struct err *err)
{
    struct heritage *heritage = worker->heritage;
    struct heritage_listener *listener = &heritage->listeners[number];
    const struct conf_listen *conf = &heritage->conf->listen[number];
    int rc = 0;

    if (listener->tls != NULL) {
        rc = listener_tls_open(listener->tls, heritage->tickets, &worker->tls[number], err);
        listener_tls_free(&listener->tls); /* this process's copy of the key */
    }
    struct net_listen_options options = {.fd = listener->fd,
                                         .name = listener->name,
                                         .index = number,
                                         .tls = worker->tls[number],
                                         .trusted = &conf->trusted,
                                         .forwarded = forwarded_of(conf->forwarded),
                                         .has_proxy_protocol = conf->has_proxy_protocol,
                                         .backlog = conf->backlog};
    return rc != 0 ? rc : net_server_listen(worker->server, &options, err);
}

static int
make_server(struct worker *worker, struct err *err)
{
    const struct conf *conf = worker->heritage->conf;
    const struct conf_limits *limits = &conf->limits;
    struct net_server_options options = {
        .loop = worker->loop,
        .limits = {.http = {.head_bytes = (size_t)limits->head_bytes,
                            .target_bytes = (size_t)limits->target_bytes,
                            .headers = limits->headers,
                            .body_bytes = limits->body_bytes},
                   .header_timeout_ms = limits->header_timeout_ms,
                   .body_timeout_ms = limits->body_timeout_ms,
                   .send_timeout_ms = limits->send_timeout_ms,
                   .keepalive_timeout_ms = limits->keepalive_timeout_ms,
                   .answer_timeout_ms = limits->answer_timeout_ms,
                   .connections = limits->connections,
                   .requests = limits->requests,
                   .client_connections = limits->client_connections,
                   .client_requests = limits->client_requests,
                   .buffered_bytes = limits->buffered_bytes,
                   .client_buffered_bytes = limits->client_buffered_bytes,
                   .queue_time_ms = limits->queue_time_ms,
                   .target_lag_ms = limits->target_lag_ms,
                   .sockets = {.message_bytes = (size_t)conf->websocket.message_bytes,
                               .queue_bytes = (size_t)conf->websocket.queue_bytes,
                               .ping_ms = conf->websocket.ping_ms,
                               .pong_ms = conf->websocket.pong_ms,
                               .origins = conf->websocket.origins}},
        .handler = api_handle,
        .handler_arg = worker->api,
        .on_turn_end = api_turn_end,
        .on_soon = api_soon,
        .stats = worker->stats,
        .log = &worker->heritage->log,
        .gives_ids = strcmp(worker->heritage->conf->http.request_id, "make") == 0,
        .slow_us = worker->heritage->conf->http.slow_us,
        .share = &worker->heritage->shared->share,
        .has_nosniff = worker->heritage->conf->access.has_headers,
        .share_slot = worker->heritage->slot,
    };

    int rc = net_server_new(&options, &worker->server, err);
    for (uint32_t i = 0; rc == 0 && i < worker->heritage->listener_count; i++) {
        rc = listen_on(worker, i, err);
    }
    return rc;
}

static int
watch_events(struct worker *worker, struct proc_link link)
{
    struct net_loop *loop = worker->loop;

    int rc =
        net_watch_new(loop, link.life_fd, NET_WATCH_READ, on_master_death, worker, &worker->life);
    if (rc == 0) {
        rc = net_watch_new(loop, worker->heritage->worker_wake_fds[worker->heritage->slot],
                           NET_WATCH_READ, on_wake, worker, &worker->wake);
    }
    if (rc == 0) {
        rc = net_timer_new(loop, BEAT_MS, on_beat, worker, &worker->beat);
    }
    if (rc == 0) {
        rc = net_signal_new(loop, SIGTERM, on_signal, worker, &worker->term);
    }
    if (rc == 0) {
        rc = net_signal_new(loop, SIGQUIT, on_signal, worker, &worker->quit);
    }
    return rc != 0 ? rc : net_signal_new(loop, SIGUSR1, on_signal, worker, &worker->reopen);
}

/* The rooms in their order. */
static int
worker_setup(struct worker *worker, struct proc_link link, struct err *err)
{
    int rc = heritage_child_begin(worker->heritage, "worker", err);

    if (rc == 0) {
        rc = open_models(worker, err);
    }
    if (rc == 0) {
        open_cache(worker);
        rc = net_loop_new(&worker->loop, err);
    }
    if (rc == 0) {
        open_redis(worker);
        rc = make_api(worker, err);
    }
    if (rc == 0 && watch_events(worker, link) != 0) {
        rc = err_set(err, AUGURY_ERR_IO, "events", "cannot watch signals and timers");
    }
    return rc != 0 ? rc : make_server(worker, err);
}

static void
worker_teardown(struct worker *worker)
{
    cache_redis_free(&worker->redis); /* whoever waits for it is answered */
    redis_loop_fini(&worker->redis_loop);
    net_server_free(&worker->server);
    for (size_t i = 0; i < CONF_LISTEN_MAX; i++) {
        net_tls_free(&worker->tls[i]);
    }
    api_free(&worker->api);
    net_watch_free(&worker->life);
    net_watch_free(&worker->wake);
    net_timer_free(&worker->beat);
    net_signal_free(&worker->term);
    net_signal_free(&worker->quit);
    net_signal_free(&worker->reopen);
    cache_close(&worker->cache);
    registry_close(&worker->registry);
    net_loop_free(&worker->loop);
}

int
worker_main(void *arg, struct proc_link link)
{
    struct heritage *heritage = arg;
    struct worker worker = {
        .heritage = heritage,
        .stats = stats_slot(heritage->stats, heritage->slot),
    };
    struct err err;

    int rc = worker_setup(&worker, link, &err);
    if (rc != 0) {
        worker_teardown(&worker);
        return heritage_fail(heritage, PROC_EXIT_FAILED, "worker", &err);
    }
    proc_ready_say(&link);
    rc = net_loop_run(worker.loop);
    bool is_clean = rc == 0 && worker.is_draining;
    worker_teardown(&worker);
    log_close(&heritage->log);
    return is_clean ? PROC_EXIT_OK : PROC_EXIT_FAILED;
}
