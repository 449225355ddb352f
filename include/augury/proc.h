/* SPDX-License-Identifier: MIT */
/*
 * proc.h - processes: forking, ready pipes, back-off, pidfile, rights, signals, CPUs; and the board
 * that shows them. Room: proc (floor 1, uses base). Library: libc only. Process: said at each
 * function. The board lies in shared memory; the master writes a slot's life cycle, the process in
 * it its heartbeat and state.
 */
#pragma once

#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "augury/base.h"

/* ---- the board ------------------------------------------------------------------------------- */

enum {
    PROC_SLOTS = 160,
    PROC_SLOT_MASTER = 0,
    PROC_SLOT_SUPERVISOR = 1,
    PROC_SLOT_WORKER_FIRST = 2
};

enum proc_state {
    PROC_STATE_NONE,
    PROC_STATE_STARTING,
    PROC_STATE_READY,
    PROC_STATE_DRAINING,
    PROC_STATE_BACKING_OFF
};
const char *proc_state_name(enum proc_state state);

struct proc_slot {
    _Atomic int32_t pid;
    _Atomic uint32_t state; /* enum proc_state */
    _Atomic uint32_t
        kind; /* index into the table of process kinds of app; see proc_board.kind_names */
    _Atomic uint32_t number; /* which worker of its generation, from 0 */
    _Atomic uint32_t generation;
    _Atomic uint32_t restarts; /* of this slot since the start */
    _Atomic int32_t last_exit; /* wait status of the last process here */
    _Atomic uint64_t started_mono_ms;
    _Atomic uint64_t heartbeat_mono_ms; /* stored by the process from its loop, twice a second */
};

struct proc_board {
    char kind_names[4][16];
    _Atomic uint64_t started_wall_ms; /* of the daemon */
    _Atomic uint32_t generation;      /* the serving one */
    _Atomic uint32_t workers_wanted;
    _Atomic uint32_t reload_starts; /* each ends in one of the next two */
    _Atomic uint32_t reloads;
    _Atomic uint32_t reload_failures;
    _Atomic uint32_t has_last_reload_failed; /* 0 or 1; written before the counters move */
    char last_reload_error[512]; /* written by the master, under reload_failures as a sequence word
                                  */
    struct proc_slot slots[PROC_SLOTS];
};

/* ---- start-up -------------------------------------------------------------------------------- */

/* Detaches; standard input, output and error become /dev/null. The first process stays until the
 * final one calls proc_ready_tell(), prints its text on stderr and exits with its status; so the
 * command returns 0 only when workers serve. Returns only in the final process; *out_ready_fd is
 * kept for proc_ready_tell. Process: the one that becomes the master. */
AUGURY_MUST_USE int proc_daemonize(int *out_ready_fd, struct err *err);
/* status 0: ready; else the exit status, with the reason. Closes *ready_fd and sets it to -1. */
void proc_ready_tell(int *ready_fd, int status, const char *reason);

struct proc_pidfile {
    char path[256];
    int fd;
    pid_t pid;
};
/* Made with O_CREAT, locked for the life of the process, 0644. AUGURY_ERR_BUSY names the pid that
 * holds it. */
AUGURY_MUST_USE int proc_pidfile_open(struct proc_pidfile *pidfile, const char *path,
                                      struct err *err);
void proc_pidfile_close(
    struct proc_pidfile *pidfile); /* removes it only if it holds our pid; no-op in a child */

/* Drops to user and group (empty: nothing to do; a name that does not exist or a missing right is
 * an error), verifies that root cannot be regained, sets no_new_privs. group empty: the user's. */
AUGURY_MUST_USE int proc_drop_rights(const char *user, const char *group, struct err *err);
AUGURY_MUST_USE int proc_find_user(const char *user, const char *group, uid_t *out_uid,
                                   gid_t *out_gid, struct err *err);
/* Makes dir (0700) and its parents (0755). What it makes as root is given to uid:gid; a folder that
 * is there already is left as it is. */
AUGURY_MUST_USE int proc_make_dir(const char *dir, uid_t uid, gid_t gid, struct err *err);
/* The same for the folder that a file is to lie in: 0755, for what is private in it has its own
 * mode. */
AUGURY_MUST_USE int proc_make_parent(const char *file, uid_t uid, gid_t gid, struct err *err);
/* One daemon a folder, as one a pidfile: AUGURY_ERR_BUSY when another has held it for wait_ms. It
 * is held until all processes that have the descriptor have closed it. */
AUGURY_MUST_USE int proc_lock_dir(const char *dir, unsigned wait_ms, int *out_fd, struct err *err);
/* What is read and believed: refused (AUGURY_ERR_INVALID, "file_writable_by_others") when everybody
 * may write to it, or a group that is neither its owner's own nor ours. A key, or the folder of
 * keys, also when any group may, and ("file_of_another_user") when its owner is neither root nor
 * we. Process: any. */
enum proc_trust { PROC_TRUST_FILE, PROC_TRUST_KEY };
AUGURY_MUST_USE int proc_check_trust(const struct stat *status, const char *path,
                                     enum proc_trust trust, struct err *err);
/* A private key: nobody but its owner may do anything with it ("secret_readable_by_others"). */
AUGURY_MUST_USE int proc_check_secret(const struct stat *status, const char *path, struct err *err);
AUGURY_MUST_USE int proc_raise_file_limit(unsigned wanted); /* as far as the hard limit allows */

/* CPUs that this process may use: affinity, and cgroup quota (v1, hybrid, v2) rounded up; at
 * least 1. root: prefix of /proc and /sys, "" outside tests. */
unsigned proc_cpu_count(const char *root);

/* ---- what is left of memory and CPU ---------------------------------------------------------- */

enum { PROC_CGROUP_BYTES = 1024 };

/* Reads what the kernel says of the machine and of our control group: limits, memory in use,
 * pressure, CPU. Finds its files anew every 30 s, since groups can be moved and limits laid on a
 * running process. Process: any; not shared. */
struct proc_meter;

/* One reading. What has no file, or a file that makes no sense, is not there: never an error. */
struct proc_reading {
    /* Machine and every group on the way up, whichever leaves least. */
    bool has_memory;
    uint64_t total_bytes;     /* the smallest: memory of the machine, or a group's limit */
    uint64_t available_bytes; /* the smallest: MemAvailable, or what is left below a limit */
    double headroom;          /* the smallest share of what is available, 0 to 1 */
    /* Times that our group ran against its limit, and out of memory, since the group was made. */
    uint64_t limit_events;
    uint64_t oom_events;
    bool has_psi;
    double psi_full_avg10; /* % of the last 10 s in which nobody got on for want of memory */
    bool has_cpu;
    double cpu_percent; /* since the reading before, machine or group, whichever is busier */
};

/* proc: "/proc". cgroup: folder in which the hierarchies are mounted (v2: itself, a controller of
 * v1: its subfolder), or "": where proc's mountinfo says. Both are copied. */
AUGURY_MUST_USE int proc_meter_new(const char *proc, const char *cgroup,
                                   struct proc_meter **out_meter);
void proc_meter_free(struct proc_meter **meter);
void proc_meter_read(struct proc_meter *meter, uint64_t now_mono_ms,
                     struct proc_reading *out_reading);

/* The memory of argv and environ, for titles. setup: once, at the start of main; it moves the
 * environment elsewhere. */
struct proc_title {
    char *area;
    size_t size;
};
void proc_title_setup(struct proc_title *title, int argc, char **argv);
/* What ps shows: "auguryd: …". Any process that inherits the struct. */
void proc_title_set(const struct proc_title *title, const char *fmt, ...) AUGURY_PRINTF(2, 3);

/* ---- children -------------------------------------------------------------------------------- */

/* How children learn that the master died: it holds the only write end of one pipe, so all of them
 * read end of file. */
struct proc_life {
    int read_fd;
    int write_fd;
};
AUGURY_MUST_USE int proc_life_open(struct proc_life *life);
void proc_life_close(struct proc_life *life);

/* A child's ends. */
struct proc_link {
    int ready_fd; /* for proc_ready_say() */
    int life_fd;  /* end of file: the master died */
};
/* Tells the master that this child serves; once. Process: child. */
void proc_ready_say(struct proc_link *link);

typedef int proc_child_main(void *arg, struct proc_link link);

struct proc_spawn {
    proc_child_main *child_main;
    void *arg;
    const struct proc_life *life;
    const int *close_fds; /* the master's own descriptors; -1 are skipped */
    size_t close_count;
};
/* Forks. In the child: every signal has its default action and none is blocked (SIGPIPE is
 * ignored), close_fds and the life pipe's write end are closed, child_main runs and its result is
 * the exit status. In the master: the pid, and a non-blocking descriptor that gives 'R' when the
 * child is ready and end of file when it died before. */
AUGURY_MUST_USE int proc_spawn(const struct proc_spawn *spawn, pid_t *out_pid, int *out_ready_fd,
                               struct err *err);

/* Back-off of one slot, a pure function of times: 0 for the first death in a healthy life, then 100
 * ms doubling to 30 s; a life of 60 s resets it. A death by SIGKILL is never the program's own
 * doing: 0 up to twice a second, and for eight in a row; beyond that 100 ms doubling to 1 s.
 * wait_status: as waitpid() gives it. */
struct proc_backoff {
    uint32_t failures;
    uint32_t kill_debt_ms;
};
uint32_t proc_backoff_next_ms(struct proc_backoff *backoff, uint64_t lived_ms, int wait_status);

enum {
    PROC_EXIT_OK = 0,
    PROC_EXIT_FAILED = 1,
    PROC_EXIT_FATAL = 2 /* configuration: not respawned */
};

/* Blocks the signals in `signals` and returns a descriptor from which the master reads them. */
AUGURY_MUST_USE int proc_signal_fd(const sigset_t *signals, int *out_fd);
