/* SPDX-License-Identifier: MIT */
/*
 * master.h - the master: owns listeners and shared memory, forks, respawns, reloads by generations,
 * takes the signals. Private to app. Process: master.
 * It opens no LMDB and no event loop: poll() over a signal descriptor, a command pipe and the
 * children's ready pipes. It must be too simple to fail.
 *
 *      starting ──(all workers of generation 1 ready)──► running ──QUIT──► draining ──┐
 *          │                                                └────TERM──► stopping ───┴──► done
 *          └──(a child cannot start)──► stopping, exit status 1
 */
#pragma once

#include "heritage.h"

enum {
    MASTER_OLD_GENERATIONS_MAX = 2,
    MASTER_GENERATIONS = MASTER_OLD_GENERATIONS_MAX + 3, /* serving, starting, one being killed */
    MASTER_KILL_AFTER_MS = 1000,
    MASTER_START_MAX_MS = 60000,
    MASTER_EARLY_MS = 5000
};

enum master_phase { MASTER_STARTING, MASTER_RUNNING, MASTER_DRAINING, MASTER_STOPPING };

enum generation_state {
    GENERATION_NONE,
    GENERATION_STARTING,
    GENERATION_SERVING,
    GENERATION_DRAINING
};

struct generation {
    enum generation_state state;
    uint32_t number;
    unsigned workers;
    struct conf *conf;
    struct api_keys *keys; /* or NULL */
    struct heritage_listener listeners[CONF_LISTEN_MAX];
    uint32_t listener_count;
    uint64_t deadline_mono_ms; /* while starting; while draining with listeners: for closing them */
    uint64_t quit_mono_ms;     /* while draining: its workers are told then; 0: they were */
};

/* The table of kinds is the architecture: who is forked, and what it runs. */
enum child_kind_id { CHILD_SUPERVISOR, CHILD_WORKER };

/* One slot of the board, as the master sees it. pid 0: nobody. */
struct child {
    pid_t pid;
    enum child_kind_id kind;
    struct generation *generation; /* NULL: the supervisor */
    unsigned number;
    int ready_fd;  /* -1 when it has said ready */
    bool is_taken; /* the slot belongs to somebody, alive or to be respawned */
    bool is_ready;
    bool is_leaving; /* asked to end: not respawned */
    bool is_hung;
    unsigned deaths;
    unsigned log_reopens; /* the master's, when this one was forked */
    uint64_t started_mono_ms;
    uint64_t respawn_mono_ms; /* when pid is 0 and the slot is taken */
    uint64_t kill_mono_ms;    /* 0: none; else KILL then */
    struct proc_backoff backoff;
};

struct master {
    struct heritage heritage;
    struct conf_source source;
    struct proc_pidfile pidfile;
    struct proc_life life;
    int cache_lock_fd; /* two supervisors must never write to one cache: theirs too */
    int signal_fd;
    int ready_fd;                         /* of proc_daemonize; -1 in the foreground or when told */
    char failure[HERITAGE_FAILURE_BYTES]; /* why the start failed; told at the very end */
    enum master_phase phase;
    bool is_done;
    bool is_reload_wanted;
    bool is_reload_ending;   /* the new generation serves, and the old one may still accept */
    uint64_t wanted_mono_ms; /* since then */
    int exit_status;
    uint64_t started_mono_ms;
    uint64_t reload_mono_ms;
    uint64_t ticked_mono_ms; /* the last turn of the loop */
    uint64_t awake_mono_ms;  /* since then without a gap: a paused machine is no hung child */
    uint32_t last_generation;
    unsigned log_reopens; /* by USR1 */
    uid_t uid;            /* of the children, for files that they must open anew */
    gid_t gid;
    struct generation generations[MASTER_GENERATIONS];
    struct child children[PROC_SLOTS];
};

/* ---- master_start.c -------------------------------------------------------------------------- */

/* Runs the daemon with the first configuration until it has ended; the exit status. conf: taken
 * over. */
int master_main(const struct conf_source *source, struct conf *conf,
                const struct proc_title *title);

/* ---- master_loop.c --------------------------------------------------------------------------- */

void master_run(struct master *master);
/* Ends the daemon with status 1; reason goes to the log and to whoever waits for the start. */
void master_give_up(struct master *master, const char *reason);
void master_drain(struct master *master);
void master_stop(struct master *master);

/* ---- master_log.c ---------------------------------------------------------------------------- */

/* Makes the log what conf says; on failure it stays what it was. */
AUGURY_MUST_USE int master_log_adopt(struct master *master, const struct conf *conf,
                                     struct err *err);
void master_log_reopen(struct master *master); /* USR1: the children too */

/* ---- master_children.c ----------------------------------------------------------------------- */

const char *child_kind_name(enum child_kind_id kind);
void child_name(const struct child *child, char *out, size_t size); /* "worker 3 gen 2" */
/* Takes a slot and forks into it; AUGURY_ERR_FULL: no slot is free. */
void children_start_supervisor(struct master *master);
AUGURY_MUST_USE int children_start_worker(struct master *master, struct generation *generation,
                                          unsigned number);
void children_on_ready(struct master *master, struct child *child); /* its ready pipe is readable */
void children_reap(struct master *master);
void children_tick(struct master *master, uint64_t now_mono_ms); /* respawns, kills, heartbeats */
uint64_t children_next_mono_ms(const struct master *master);     /* UINT64_MAX: nothing is due */
/* signal_number 0: none. kill_after_ms: KILL when it is still there then. */
void child_end(struct master *master, struct child *child, int signal_number,
               uint64_t kill_after_ms);
void children_signal(struct master *master, int signal_number); /* to all that are ready */
size_t children_count(const struct master *master, const struct generation *generation,
                      bool only_ready);            /* generation NULL: workers of all */
size_t children_room(const struct master *master); /* workers that may still be started */
/* Whether one of its workers takes connections from the listeners. */
bool children_are_accepting(const struct master *master, const struct generation *generation);
struct child *children_supervisor(struct master *master);

/* ---- master_listeners.c ---------------------------------------------------------------------- */

/* Opens what the generation's configuration names, or takes it from another generation. What it has
 * got is in the generation's list also after a failure. */
AUGURY_MUST_USE int listeners_open(struct master *master, struct generation *generation,
                                   struct err *err);
/* What the serving generation does not have takes no new connections from now on; those that are
 * there or on their way are still accepted. Returns how long that may take those on their way, in
 * ms; 0: there is no such listener. */
uint32_t listeners_retire(struct master *master, struct generation *generation);
/* Closes those that no other generation has. */
void listeners_close(struct master *master, struct generation *generation);

/* ---- master_generations.c -------------------------------------------------------------------- */

/* The first generation: opens the listeners. */
AUGURY_MUST_USE int generations_first(struct master *master, struct conf *conf, struct err *err);
void generation_start(struct master *master, struct generation *generation);
struct generation *generations_find(struct master *master, enum generation_state state);
/* SIGHUP: loads, validates, starts a new generation; on any failure the old one goes on. */
void generations_reload(struct master *master);
/* Whether it may begin: one at a time, and not while it would cut requests short. */
bool generations_may_reload(const struct master *master, uint64_t now_mono_ms);
/* A worker of a generation became ready, or died for good. */
void generation_on_ready(struct master *master, struct generation *generation);
void generation_on_death(struct master *master, struct generation *generation, bool was_ready);
void generations_tick(struct master *master, uint64_t now_mono_ms);
uint64_t generations_next_mono_ms(const struct master *master); /* UINT64_MAX: nothing is due */
/* SIGQUIT: all give their listeners up as an old generation does, and end when they have done. */
void generations_drain(struct master *master);
void generations_close(struct master *master); /* at the end: listeners, configurations */
