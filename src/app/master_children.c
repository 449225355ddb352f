/* SPDX-License-Identifier: MIT */
/*
 * master_children.c - forking into slots, reaping, respawning with back-off, ending what does not
 * end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master.h"
#include "supervisor.h"
#include "worker.h"

enum { ABORT_MS = 2000, FORK_AGAIN_MS = 1000 };

struct child_kind {
    const char *name;
    proc_child_main *child_main;
};

static const struct child_kind kinds[] = {
    [CHILD_SUPERVISOR] = {"supervisor", supervisor_main},
    [CHILD_WORKER] = {"worker", worker_main},
};

const char *
child_kind_name(enum child_kind_id kind)
{
    return kinds[kind].name;
}

void
child_name(const struct child *child, char *out, size_t size)
{
    if (child->generation == NULL) {
        snprintf(out, size, "%s", child_kind_name(child->kind));
    } else {
        snprintf(out, size, "%s %u gen %u", child_kind_name(child->kind), child->number,
                 child->generation->number);
    }
}

static unsigned
slot_of(const struct master *master, const struct child *child)
{
    return (unsigned)(child - master->children);
}

static struct proc_slot *
board_of(struct master *master, const struct child *child)
{
    return &master->heritage.shared->board.slots[slot_of(master, child)];
}

static void
set_state(struct master *master, const struct child *child, enum proc_state state)
{
    atomic_store(&board_of(master, child)->state, (uint32_t)state);
}

/* ---- forking --------------------------------------------------------------------------------- */

static bool
is_listener_of(const struct generation *generation, int fd)
{
    for (uint32_t i = 0; generation != NULL && i < generation->listener_count; i++) {
        if (generation->listeners[i].fd == fd) {
            return true;
        }
    }
    return false;
}

enum { CLOSE_MAX = 8 + PROC_SLOTS + MASTER_GENERATIONS * CONF_LISTEN_MAX };

/* What the child must not keep: above all listeners of other generations, which would go on taking
 * connections that nobody accepts, and the pidfile with its lock. */
static size_t
list_foreign(const struct master *master, const struct child *child, int *out_fds)
{
    const struct heritage *heritage = &master->heritage;
    size_t n = 0;

    out_fds[n++] = master->signal_fd;
    out_fds[n++] = master->pidfile.fd;
    /* The one that writes holds the lock for as long as it lives, also when the master has died. */
    out_fds[n++] = child->kind == CHILD_SUPERVISOR ? -1 : master->cache_lock_fd;
    out_fds[n++] = master->ready_fd;
    out_fds[n++] = heritage->command_read_fd;
    out_fds[n++] = child->kind == CHILD_SUPERVISOR ? -1 : heritage->command_write_fd;
    out_fds[n++] = child->kind == CHILD_SUPERVISOR ? -1 : heritage->admin_fd;
    for (size_t i = 0; i < PROC_SLOTS; i++) {
        out_fds[n++] = master->children[i].ready_fd;
    }
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        const struct generation *other = &master->generations[i];
        for (uint32_t j = 0; other->state != GENERATION_NONE && j < other->listener_count; j++) {
            int fd = other->listeners[j].fd;
            bool is_listed = is_listener_of(child->generation, fd);
            for (size_t k = 0; k < n && !is_listed; k++) {
                is_listed = out_fds[k] == fd;
            }
            out_fds[n] = is_listed ? -1 : fd;
            n++;
        }
    }
    AUGURY_ASSERT(n <= CLOSE_MAX);
    return n;
}

static void
prepare_heritage(struct master *master, const struct child *child)
{
    struct heritage *heritage = &master->heritage;
    const struct generation *generation = child->generation;

    heritage->slot = slot_of(master, child);
    heritage->number = child->number;
    if (generation == NULL) {
        heritage->generation = atomic_load(&heritage->shared->board.generation);
        heritage->conf = &heritage->shared->conf;
        heritage->listener_count = 0;
        heritage->keys = NULL;
        return;
    }
    heritage->generation = generation->number;
    heritage->conf = generation->conf;
    heritage->listener_count = generation->listener_count;
    memcpy(heritage->listeners, generation->listeners, sizeof(heritage->listeners));
    heritage->keys = generation->keys;
}

static void
on_fork_failed(struct master *master, struct child *child, const struct err *err)
{
    char quoted[256];

    log_event(&master->heritage.log, LOG_LEVEL_ERROR, "fork_failed", "reason=%s",
              log_quote(bytes_of_text(err->reason), quoted, sizeof(quoted)));
    child->respawn_mono_ms = clock_mono_ms() + FORK_AGAIN_MS;
    set_state(master, child, PROC_STATE_BACKING_OFF);
}

static void
child_fork(struct master *master, struct child *child)
{
    int close_fds[CLOSE_MAX];
    struct proc_slot *slot = board_of(master, child);
    char name[64];
    struct err err;

    prepare_heritage(master, child);
    struct proc_spawn spawn = {
        .child_main = kinds[child->kind].child_main,
        .arg = &master->heritage,
        .life = &master->life,
        .close_fds = close_fds,
        .close_count = list_foreign(master, child, close_fds),
    };
    atomic_store(&slot->kind, (uint32_t)child->kind);
    atomic_store(&slot->number, child->number);
    atomic_store(&slot->generation, master->heritage.generation);
    set_state(master, child, PROC_STATE_STARTING);
    if (proc_spawn(&spawn, &child->pid, &child->ready_fd, &err) != 0) {
        on_fork_failed(master, child, &err);
        return;
    }
    child->started_mono_ms = clock_mono_ms();
    child->respawn_mono_ms = child->kill_mono_ms = 0;
    child->is_ready = child->is_leaving = child->is_hung = false;
    child->log_reopens = master->log_reopens;
    atomic_store(&slot->started_mono_ms, child->started_mono_ms);
    atomic_store(&slot->heartbeat_mono_ms, child->started_mono_ms);
    atomic_store(&slot->pid, (int32_t)child->pid);
    child_name(child, name, sizeof(name));
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "child_start", "child=\"%s\" child_pid=%d",
              name, (int)child->pid);
}

static void
slot_take(struct master *master, struct child *child, enum child_kind_id kind,
          struct generation *generation)
{
    (void)master;
    *child =
        (struct child){.kind = kind, .generation = generation, .ready_fd = -1, .is_taken = true};
}

static void
slot_free(struct master *master, struct child *child)
{
    *child = (struct child){.ready_fd = -1};
    set_state(master, child, PROC_STATE_NONE);
}

void
children_start_supervisor(struct master *master)
{
    struct child *child = children_supervisor(master);

    AUGURY_ASSERT(!child->is_taken);
    slot_take(master, child, CHILD_SUPERVISOR, NULL);
    child_fork(master, child);
}

int
children_start_worker(struct master *master, struct generation *generation, unsigned number)
{
    for (unsigned slot = PROC_SLOT_WORKER_FIRST; slot < PROC_SLOTS; slot++) {
        struct child *child = &master->children[slot];
        if (!child->is_taken) {
            slot_take(master, child, CHILD_WORKER, generation);
            child->number = number;
            child_fork(master, child);
            return 0;
        }
    }
    return AUGURY_ERR_FULL;
}

/* ---- ready ----------------------------------------------------------------------------------- */

void
children_on_ready(struct master *master, struct child *child)
{
    char byte = 0;
    char name[64];
    ssize_t len = read(child->ready_fd, &byte, 1);

    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    close(child->ready_fd);
    child->ready_fd = -1;
    if (len != 1) {
        return; /* it died: SIGCHLD tells the rest */
    }
    child->is_ready = true;
    if (child->log_reopens != master->log_reopens) {
        kill(child->pid, SIGUSR1); /* it was forked with the old file */
    }
    set_state(master, child, child->is_leaving ? PROC_STATE_DRAINING : PROC_STATE_READY);
    child_name(child, name, sizeof(name));
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "child_ready",
              "child=\"%s\" child_pid=%d ms=%llu", name, (int)child->pid,
              (unsigned long long)(clock_mono_ms() - child->started_mono_ms));
    if (child->generation != NULL) {
        generation_on_ready(master, child->generation);
    } else if (master->phase == MASTER_STARTING && children_count(master, NULL, false) == 0) {
        generation_start(master, generations_find(master, GENERATION_STARTING));
    }
}

/* ---- death ----------------------------------------------------------------------------------- */

static void
log_death(struct master *master, const struct child *child, int status)
{
    bool is_expected = child->is_leaving && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    char name[64];

    child_name(child, name, sizeof(name));
    log_event(&master->heritage.log, is_expected ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "child_exit",
              "child=\"%s\" child_pid=%d %s=%d lived_ms=%llu", name, (int)child->pid,
              WIFSIGNALED(status) ? "signal" : "status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
              (unsigned long long)(clock_mono_ms() - child->started_mono_ms));
}

static void
describe_death(struct master *master, const struct child *child, int status, char *out, size_t size)
{
    const char *failure = master->heritage.shared->failure;
    char name[64];

    child_name(child, name, sizeof(name));
    if (WIFSIGNALED(status)) {
        snprintf(out, size, "%s was ended by signal %d before it was ready", name,
                 WTERMSIG(status));
    } else if (failure[0] != '\0') {
        snprintf(out, size, "%.400s", failure); /* it says who */
    } else {
        snprintf(out, size, "%s ended with status %d before it was ready", name,
                 WEXITSTATUS(status));
    }
}

/* Every worker of the first generation has died at least once, and none serves. */
static bool
is_start_hopeless(const struct master *master)
{
    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        const struct child *child = &master->children[i];
        if (child->is_taken && (child->deaths == 0 || child->is_ready)) {
            return false;
        }
    }
    return true;
}

/* While starting: what ends the attempt? */
static bool
must_give_up(const struct master *master, const struct child *child, int status)
{
    bool is_early = clock_mono_ms() - master->started_mono_ms < MASTER_EARLY_MS;

    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        return true; /* it said why */
    }
    return child->kind == CHILD_SUPERVISOR ? !is_early : is_start_hopeless(master);
}

static void
respawn_later(struct master *master, struct child *child, int status)
{
    uint64_t now = clock_mono_ms();

    child->respawn_mono_ms =
        now + proc_backoff_next_ms(&child->backoff, now - child->started_mono_ms, status);
    child->is_ready = false;
    set_state(master, child, PROC_STATE_BACKING_OFF);
}

/* Damaged pages lead past the end of the file, or out of the map. */
static bool
is_death_by_map(int status, bool was_ready)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    return number == SIGBUS || (number == SIGSEGV && !was_ready);
}

static void
on_death(struct master *master, struct child *child, int status)
{
    struct generation *generation = child->generation;
    struct proc_slot *slot = board_of(master, child);
    bool was_ready = child->is_ready;
    bool is_wanted = generation == NULL || generation->state == GENERATION_STARTING ||
                     generation->state == GENERATION_SERVING;
    bool is_fatal = WIFEXITED(status) && WEXITSTATUS(status) == PROC_EXIT_FATAL;
    char reason[512];

    log_death(master, child, status);
    describe_death(master, child, status, reason, sizeof(reason));
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->last_exit, status);
    stats_slot_gauges_zero(stats_slot(master->heritage.stats, slot_of(master, child)));
    atomic_store(&master->heritage.shared->share.load[slot_of(master, child)], 0);
    if (child->ready_fd >= 0) {
        close(child->ready_fd);
        child->ready_fd = -1;
    }
    cache_flight_slot_died(master->heritage.cache_board, slot_of(master, child));
    if (child->kind == CHILD_SUPERVISOR && WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
        cache_board_keeper_crashed(master->heritage.cache_board);
    }
    if (child->kind == CHILD_WORKER && is_death_by_map(status, was_ready)) {
        cache_board_reader_crashed(master->heritage.cache_board, slot_of(master, child));
    }
    child->pid = 0;
    child->kill_mono_ms = 0;
    child->deaths++;
    bool is_ending = master->phase == MASTER_DRAINING || master->phase == MASTER_STOPPING;
    if (is_ending || child->is_leaving || !is_wanted) {
        slot_free(master, child);
    } else if (master->phase == MASTER_STARTING && must_give_up(master, child, status)) {
        slot_free(master, child);
        master_give_up(master, reason);
        return;
    } else if (is_fatal || (master->phase == MASTER_RUNNING && generation != NULL &&
                            generation->state == GENERATION_STARTING)) {
        slot_free(master, child); /* would fail again, or belongs to a reload that has failed */
    } else {
        respawn_later(master, child, status);
    }
    if (generation != NULL) {
        generation_on_death(master, generation, was_ready);
    }
}

void
children_reap(struct master *master)
{
    bool has_worker_died = false;
    int status = 0;
    pid_t pid = 0;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < PROC_SLOTS; i++) {
            struct child *child = &master->children[i];
            if (child->pid == pid) {
                has_worker_died = has_worker_died || child->kind == CHILD_WORKER;
                on_death(master, child, status);
                break;
            }
        }
    }
    /* The dead left readers in the environments: the supervisor clears them at once. */
    struct child *supervisor = children_supervisor(master);
    if (has_worker_died && supervisor->pid > 0 && supervisor->is_ready) {
        kill(supervisor->pid, SIGUSR2);
    }
}

/* ---- ending and watching --------------------------------------------------------------------- */

void
child_end(struct master *master, struct child *child, int signal_number, uint64_t kill_after_ms)
{
    if (child->pid <= 0) {
        if (child->is_taken) {
            slot_free(master, child); /* it was to be respawned */
        }
        return;
    }
    /* One that is not ready has no handler for QUIT yet. */
    kill(child->pid, signal_number == SIGQUIT && !child->is_ready ? SIGTERM : signal_number);
    child->is_leaving = true;
    uint64_t kill_at = clock_mono_ms() + kill_after_ms;
    child->kill_mono_ms =
        child->kill_mono_ms == 0 || kill_at < child->kill_mono_ms ? kill_at : child->kill_mono_ms;
    set_state(master, child, PROC_STATE_DRAINING);
}

void
children_signal(struct master *master, int signal_number)
{
    for (size_t i = 0; i < PROC_SLOTS; i++) {
        if (master->children[i].pid > 0 && master->children[i].is_ready) {
            kill(master->children[i].pid, signal_number);
        }
    }
}

static void
check_heartbeat(struct master *master, struct child *child, uint64_t now_mono_ms)
{
    uint64_t beat = atomic_load(&board_of(master, child)->heartbeat_mono_ms);
    uint64_t since = beat > master->awake_mono_ms ? beat : master->awake_mono_ms;
    char name[64];

    if (!child->is_ready || child->is_hung ||
        now_mono_ms < since + master->heritage.shared->conf.limits.hang_timeout_ms) {
        return;
    }
    child_name(child, name, sizeof(name));
    log_event(&master->heritage.log, LOG_LEVEL_ERROR, "child_hung",
              "child=\"%s\" child_pid=%d silent_ms=%llu", name, (int)child->pid,
              (unsigned long long)(now_mono_ms - beat));
    stats_add(stats_slot(master->heritage.stats, PROC_SLOT_MASTER), STATS_PROC_HUNG, 1);
    child->is_hung = true;
    kill(child->pid, SIGABRT);
    child->kill_mono_ms = now_mono_ms + ABORT_MS;
}

static void
child_tick(struct master *master, struct child *child, uint64_t now_mono_ms)
{
    if (child->pid > 0) {
        check_heartbeat(master, child, now_mono_ms);
        if (child->kill_mono_ms != 0 && now_mono_ms >= child->kill_mono_ms) {
            kill(child->pid, SIGKILL);
            child->kill_mono_ms = 0;
        }
    } else if (child->is_taken && now_mono_ms >= child->respawn_mono_ms) {
        atomic_fetch_add(&board_of(master, child)->restarts, 1);
        stats_add(stats_slot(master->heritage.stats, PROC_SLOT_MASTER), STATS_PROC_RESPAWNS, 1);
        child_fork(master, child);
    }
}

void
children_tick(struct master *master, uint64_t now_mono_ms)
{
    for (size_t i = 0; i < PROC_SLOTS; i++) {
        if (master->children[i].is_taken) {
            child_tick(master, &master->children[i], now_mono_ms);
        }
    }
}

uint64_t
children_next_mono_ms(const struct master *master)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < PROC_SLOTS; i++) {
        const struct child *child = &master->children[i];
        uint64_t due = child->pid > 0 ? child->kill_mono_ms : child->respawn_mono_ms;
        if (child->is_taken && (due != 0 || child->pid == 0) && due < next) {
            next = due;
        }
    }
    return next;
}

size_t
children_count(const struct master *master, const struct generation *generation, bool only_ready)
{
    size_t n = 0;

    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        const struct child *child = &master->children[i];
        bool is_mine = child->is_taken && (generation == NULL || child->generation == generation);
        n += is_mine && (!only_ready || child->is_ready) ? 1 : 0;
    }
    return n;
}

size_t
children_room(const struct master *master)
{
    return PROC_SLOTS - PROC_SLOT_WORKER_FIRST - children_count(master, NULL, false);
}

bool
children_are_accepting(const struct master *master, const struct generation *generation)
{
    const struct net_share *share = &master->heritage.shared->share;

    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        if (master->children[i].generation == generation && atomic_load(&share->load[i]) > 0) {
            return true;
        }
    }
    return false;
}

struct child *
children_supervisor(struct master *master)
{
    return &master->children[PROC_SLOT_SUPERVISOR];
}
