/* SPDX-License-Identifier: MIT */
/* board.c - names of states, and the back-off of a slot: pure functions. */
#include "augury/proc.h"

#include <sys/wait.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 30000,
    BACKOFF_KILLED_MAX_MS = 1000,
    BACKOFF_HEALTHY_MS = 60000,
    KILL_COST_MS = 500,      /* of life: whoever is killed less often than that is back at once, */
    KILL_DEBT_MAX_MS = 4000, /* and so many times more in a row */
};

const char *
proc_state_name(enum proc_state state)
{
    switch (state) {
    case PROC_STATE_NONE: return "none";
    case PROC_STATE_STARTING: return "starting";
    case PROC_STATE_READY: return "ready";
    case PROC_STATE_DRAINING: return "draining";
    case PROC_STATE_BACKING_OFF: return "backing-off";
    }
    return "unknown";
}

/* true: it is back at once, and this death is not held against it. */
static bool
kill_is_forgiven(struct proc_backoff *backoff, uint64_t lived_ms)
{
    backoff->kill_debt_ms -=
        lived_ms < backoff->kill_debt_ms ? (uint32_t)lived_ms : backoff->kill_debt_ms;
    if (backoff->kill_debt_ms + KILL_COST_MS > KILL_DEBT_MAX_MS) {
        return false;
    }
    backoff->kill_debt_ms += KILL_COST_MS;
    return true;
}

uint32_t
proc_backoff_next_ms(struct proc_backoff *backoff, uint64_t lived_ms, int wait_status)
{
    /* Nothing in a program ends it by SIGKILL: a person or the kernel did. Waiting long would mend
     * nothing. */
    bool is_killed = WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL;
    uint32_t max_ms = is_killed ? BACKOFF_KILLED_MAX_MS : BACKOFF_MAX_MS;
    uint32_t wait_ms = 0;

    if (lived_ms >= BACKOFF_HEALTHY_MS) {
        backoff->failures = 0;
    }
    if (is_killed && kill_is_forgiven(backoff, lived_ms)) {
        return 0;
    }
    if (backoff->failures > 0) {
        wait_ms = BACKOFF_FIRST_MS;
        for (uint32_t i = 1; i < backoff->failures && wait_ms < max_ms; i++) {
            wait_ms *= 2;
        }
        wait_ms = wait_ms > max_ms ? max_ms : wait_ms;
    }
    backoff->failures++;
    return wait_ms;
}
