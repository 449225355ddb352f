/* SPDX-License-Identifier: MIT */
/* heritage.c - making what crosses fork, and the first steps of every child on the other side. */
#include "heritage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static size_t
cache_map_bytes(const struct conf *conf)
{
    return (size_t)(conf->cache.map_bytes != 0 ? conf->cache.map_bytes
                                               : conf->cache.size_bytes * 6);
}

static size_t
disk_bytes(const struct conf *conf)
{
    return conf->disk.is_enabled ? (size_t)conf->disk.size_bytes : 0;
}

static int
open_descriptors(struct heritage *heritage)
{
    int fds[2];

    heritage->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned slot = 0; slot < PROC_SLOTS; slot++) {
        heritage->worker_wake_fds[slot] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (heritage->worker_wake_fds[slot] < 0) {
            return AUGURY_ERR_IO;
        }
    }
    if (heritage->wake_fd < 0 || pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return AUGURY_ERR_IO;
    }
    heritage->command_read_fd = fds[0];
    heritage->command_write_fd = fds[1];
    return 0;
}

int
heritage_setup(struct heritage *heritage, const struct conf *conf, struct err *err)
{
    heritage->conf = conf;
    heritage->wake_fd = heritage->admin_fd = -1;
    for (unsigned slot = 0; slot < PROC_SLOTS; slot++) {
        heritage->worker_wake_fds[slot] = -1;
    }
    heritage->command_read_fd = heritage->command_write_fd = -1;
    heritage->cache_map_bytes = cache_map_bytes(conf);
    if (open_descriptors(heritage) != 0) {
        return err_set(err, AUGURY_ERR_IO, "heritage", "eventfd or pipe: %s", strerror(errno));
    }
    heritage->shared = shm_map(sizeof(*heritage->shared));
    void *stats = shm_map(stats_bytes());
    struct cache_board_options board = {.ring_bytes = (size_t)conf->cache.ring_bytes,
                                        .slots = PROC_SLOTS,
                                        .map_bytes = heritage->cache_map_bytes,
                                        .disk_bytes = disk_bytes(conf),
                                        .keeper_wake_fd = heritage->wake_fd,
                                        .wake_fds = heritage->worker_wake_fds};
    void *memory = shm_map(cache_board_bytes(&board));
    void *tickets = shm_map(net_tickets_bytes());
    void *buckets = shm_map(api_buckets_bytes());
    heritage->habits = shm_map(predict_habits_bytes());
    if (heritage->shared == NULL || stats == NULL || memory == NULL || tickets == NULL ||
        buckets == NULL || heritage->habits == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "heritage",
                       "%zu MiB of address space for shared memory were refused: %s; cache.map and "
                       "cache.ring say how much, `ulimit -v` what is allowed",
                       cache_board_bytes(&board) >> 20, strerror(errno));
    }
    heritage->stats = stats_attach(stats);
    heritage->cache_board = cache_board_attach(memory, &board);
    heritage->tickets = net_tickets_attach(tickets);
    if (net_tickets_rotate(heritage->tickets, clock_wall_ms()) != 0 ||
        api_buckets_attach(buckets, &heritage->buckets) != 0) {
        return err_set(err, AUGURY_ERR_IO, "heritage", "no random bytes");
    }
    return 0;
}

const struct cache_disk_options *
heritage_disk(const struct conf *conf, struct cache_disk_options *room)
{
    if (!conf->disk.is_enabled) {
        return NULL;
    }
    *room = (struct cache_disk_options){.dir = conf->disk.dir, .size_bytes = conf->disk.size_bytes};
    for (size_t i = 0; i < CACHE_CLASS_COUNT; i++) {
        const struct conf_cache_class *class = &conf->cache.classes[i];
        room->memory_ttl_s[i] = class->ttl_s;
        room->disk_ttl_s[i] = class->is_enabled ? class->disk_ttl_s : 0;
    }
    return room;
}

static void
close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void
heritage_teardown(struct heritage *heritage)
{
    void *shared = heritage->shared;
    void *stats = heritage->stats;
    void *tickets = heritage->tickets;
    void *habits = heritage->habits;
    void *buckets = heritage->buckets;

    /* The board's map ends with the process: only cache knows where it begins. */
    close_fd(&heritage->wake_fd);
    for (unsigned slot = 0; slot < PROC_SLOTS; slot++) {
        close_fd(&heritage->worker_wake_fds[slot]);
    }
    close_fd(&heritage->admin_fd);
    close_fd(&heritage->command_read_fd);
    close_fd(&heritage->command_write_fd);
    shm_unmap(&shared, sizeof(*heritage->shared));
    shm_unmap(&stats, stats_bytes());
    shm_unmap(&tickets, net_tickets_bytes());
    shm_unmap(&habits, predict_habits_bytes());
    shm_unmap(&buckets, api_buckets_bytes());
    heritage->shared = NULL;
    heritage->stats = NULL;
    heritage->cache_board = NULL;
    heritage->tickets = NULL;
    heritage->habits = NULL;
    heritage->buckets = NULL;
}

void
heritage_conf_put(struct heritage_shared *shared, const struct conf *conf)
{
    atomic_fetch_add(&shared->conf_sequence, 1);
    memcpy(&shared->conf, conf, sizeof(*conf));
    atomic_fetch_add(&shared->conf_sequence, 1);
}

bool
heritage_conf_get(struct heritage_shared *shared, uint32_t *sequence, struct conf *out_conf)
{
    uint32_t before = atomic_load(&shared->conf_sequence);

    if (before == *sequence || before % 2 != 0) {
        return false; /* an unfinished one is there at the next look */
    }
    memcpy(out_conf, &shared->conf, sizeof(*out_conf));
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&shared->conf_sequence) != before) {
        return false;
    }
    *sequence = before;
    return true;
}

int
heritage_fail(struct heritage *heritage, int status, const char *what, const struct err *err)
{
    char quoted[512];
    char reason[HERITAGE_FAILURE_BYTES];

    snprintf(reason, sizeof(reason), "%s: %s", what, err->reason);
    log_event(&heritage->log, LOG_LEVEL_ERROR, "child_start_failed", "reason=%s",
              log_quote(bytes_of_text(reason), quoted, sizeof(quoted)));
    memcpy(heritage->shared->failure, reason, sizeof(reason));
    return status;
}

int
heritage_child_begin(struct heritage *heritage, const char *kind, struct err *err)
{
    const struct conf *conf = heritage->conf;
    bool is_worker = heritage->slot >= PROC_SLOT_WORKER_FIRST;
    char name[48];

    /* Ctrl-C reaches the whole group; what it means is the master's to say. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (is_worker) {
        snprintf(name, sizeof(name), "%s.%u", kind, heritage->number);
        proc_title_set(&heritage->title, "auguryd: %s %u gen %u", kind, heritage->number,
                       heritage->generation);
    } else {
        snprintf(name, sizeof(name), "%s", kind);
        proc_title_set(&heritage->title, "auguryd: %s", kind);
    }
    log_name(&heritage->log, name, heritage->generation);
    heritage_heartbeat(heritage);
    return proc_drop_rights(conf->user, conf->group, err);
}

void
heritage_heartbeat(struct heritage *heritage)
{
    atomic_store_explicit(&heritage->shared->board.slots[heritage->slot].heartbeat_mono_ms,
                          clock_mono_ms(), memory_order_relaxed);
}
