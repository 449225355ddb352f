/* SPDX-License-Identifier: MIT */
/* master_loop.c - the master's loop: signals, commands, ready pipes and what is due; and its ways
 * to an end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "master.h"

enum { TICK_MS = 1000, GAP_MS = 2 * TICK_MS, POLL_FIXED = 2 };

/* ---- ways to an end -------------------------------------------------------------------------- */

void
master_give_up(struct master *master, const char *reason)
{
    char quoted[600];

    log_event(&master->heritage.log, LOG_LEVEL_ERROR, "start_failed", "reason=%s",
              log_quote(bytes_of_text(reason), quoted, sizeof(quoted)));
    if (master->ready_fd >= 0) {
        snprintf(master->failure, sizeof(master->failure), "%s", reason);
    } else if (master->phase == MASTER_STARTING) {
        fprintf(stderr, "auguryd: %s\n", reason);
    }
    master->exit_status = PROC_EXIT_FAILED;
    master_stop(master);
}

static void
end_workers(struct master *master, int signal_number, uint64_t kill_after_ms)
{
    for (size_t i = PROC_SLOT_WORKER_FIRST; i < PROC_SLOTS; i++) {
        if (master->children[i].is_taken) {
            child_end(master, &master->children[i], signal_number, kill_after_ms);
        }
    }
}

/* When the workers have gone, the supervisor drains the rings once more and goes too. */
static void
end_when_empty(struct master *master)
{
    struct child *supervisor = children_supervisor(master);

    if (children_count(master, NULL, false) > 0) {
        return;
    }
    if (!supervisor->is_taken) {
        master->is_done = true;
    } else if (!supervisor->is_leaving) {
        child_end(master, supervisor, SIGTERM, MASTER_KILL_AFTER_MS);
    }
}

void
master_drain(struct master *master)
{
    const struct generation *serving = generations_find(master, GENERATION_SERVING);
    uint64_t limit_ms = serving == NULL ? 0 : serving->conf->limits.drain_timeout_ms;

    if (master->phase == MASTER_STARTING) {
        master_give_up(master, "stopped before it was ready");
        return;
    }
    if (master->phase != MASTER_RUNNING) {
        return;
    }
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "drain", "limit_ms=%llu",
              (unsigned long long)limit_ms);
    master->phase = MASTER_DRAINING;
    generations_drain(master);
}

void
master_stop(struct master *master)
{
    if (master->phase == MASTER_STOPPING) {
        return;
    }
    log_event(&master->heritage.log, LOG_LEVEL_INFO, "stop", "status=%d", master->exit_status);
    if (master->ready_fd >= 0) {
        master->exit_status = PROC_EXIT_FAILED;
    }
    master->phase = MASTER_STOPPING;
    end_workers(master, SIGTERM, MASTER_KILL_AFTER_MS);
}

/* ---- signals and commands -------------------------------------------------------------------- */

/* What is asked for again before it begins is one reload. */
static void
want_reload(struct master *master)
{
    if (!master->is_reload_wanted) {
        master->is_reload_wanted = true;
        master->wanted_mono_ms = clock_mono_ms();
    }
}

static void
on_signal(struct master *master, int number)
{
    if (number != SIGCHLD) {
        log_event(&master->heritage.log, LOG_LEVEL_INFO, "signal", "number=%d", number);
    }
    switch (number) {
    case SIGCHLD: children_reap(master); break;
    case SIGHUP: want_reload(master); break;
    case SIGUSR1: master_log_reopen(master); break;
    case SIGQUIT: master_drain(master); break;
    case SIGTERM:
    case SIGINT: master_stop(master); break;
    default: break;
    }
}

static void
read_signals(struct master *master)
{
    struct signalfd_siginfo info;

    while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        on_signal(master, (int)info.ssi_signo);
    }
}

static void
read_commands(struct master *master)
{
    char command = 0;

    while (read(master->heritage.command_read_fd, &command, 1) == 1) {
        log_event(&master->heritage.log, LOG_LEVEL_INFO, "command", "command=%c", command);
        switch (command) {
        case HERITAGE_RELOAD: want_reload(master); break;
        case HERITAGE_STOP_GRACEFULLY: master_drain(master); break;
        case HERITAGE_STOP_FAST: master_stop(master); break;
        default: break;
        }
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int
poll_timeout(const struct master *master)
{
    uint64_t now = clock_mono_ms();
    uint64_t next = children_next_mono_ms(master);
    uint64_t also = generations_next_mono_ms(master);

    next = also < next ? also : next;
    if (next <= now) {
        return 0;
    }
    return next - now < TICK_MS ? (int)(next - now) : TICK_MS;
}

static void
wait_for_events(struct master *master)
{
    struct pollfd fds[POLL_FIXED + PROC_SLOTS] = {
        {.fd = master->signal_fd, .events = POLLIN},
        {.fd = master->heritage.command_read_fd, .events = POLLIN},
    };

    for (size_t i = 0; i < PROC_SLOTS; i++) {
        fds[POLL_FIXED + i] = (struct pollfd){.fd = master->children[i].ready_fd, .events = POLLIN};
    }
    if (poll(fds, AUGURY_COUNT(fds), poll_timeout(master)) <= 0) {
        return;
    }
    /* Ready before dead: a child that said ready and died was ready. */
    for (size_t i = 0; i < PROC_SLOTS; i++) {
        if (fds[POLL_FIXED + i].revents != 0 &&
            master->children[i].ready_fd == fds[POLL_FIXED + i].fd) {
            children_on_ready(master, &master->children[i]);
        }
    }
    if (fds[1].revents != 0) {
        read_commands(master);
    }
    if (fds[0].revents != 0) {
        read_signals(master);
    }
}

static void
master_tick(struct master *master)
{
    uint64_t now = clock_mono_ms();

    /* When we did not run, nor did they: what froze us and thawed us must not look like their
     * fault. */
    if (now > master->ticked_mono_ms + GAP_MS) {
        master->awake_mono_ms = now;
    }
    master->ticked_mono_ms = now;
    atomic_store(&master->heritage.shared->board.slots[PROC_SLOT_MASTER].heartbeat_mono_ms, now);
    children_tick(master, now);
    generations_tick(master, now);
    if (master->phase == MASTER_STARTING && now > master->started_mono_ms + MASTER_START_MAX_MS) {
        master_give_up(master, "not ready within 60 seconds");
    }
    if (master->phase == MASTER_DRAINING || master->phase == MASTER_STOPPING) {
        end_when_empty(master);
    }
}

void
master_run(struct master *master)
{
    while (!master->is_done) {
        wait_for_events(master);
        if (master->is_reload_wanted && generations_may_reload(master, clock_mono_ms())) {
            master->is_reload_wanted = false;
            generations_reload(master);
        }
        master_tick(master);
    }
}
