/* SPDX-License-Identifier: MIT */
/* test_child.c - spawning, the two pipes, signals and back-off, with real processes. */
#include "../../tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/proc.h"

enum { WAIT_MS = 10000 };

/* 'R', 0 for end of file, -1 when nothing came in time. */
static int
read_ready(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    char byte = 0;

    if (poll(&wait, 1, WAIT_MS) != 1) {
        return -1;
    }
    return read(fd, &byte, 1) == 1 ? byte : 0;
}

static int
exit_status(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
child_that_serves(void *arg, struct proc_link link)
{
    proc_ready_say(&link);
    return *(int *)arg;
}

static int
child_that_fails(void *arg, struct proc_link link)
{
    (void)arg;
    (void)link;
    return PROC_EXIT_FATAL;
}

static void
a_child_says_ready_and_its_result_is_the_status(void)
{
    struct proc_life life;
    int status = 7;
    pid_t pid = 0;
    int ready_fd = -1;
    struct err err;

    CHECK_INT(proc_life_open(&life), 0);
    struct proc_spawn spawn = {.child_main = child_that_serves, .arg = &status, .life = &life};
    CHECK_INT(proc_spawn(&spawn, &pid, &ready_fd, &err), 0);
    CHECK_INT(read_ready(ready_fd), 'R');
    CHECK_INT(exit_status(pid), 7);
    close(ready_fd);
    proc_life_close(&life);
    CHECK_INT(life.read_fd, -1);
}

static void
a_child_that_dies_before_it_is_ready_gives_end_of_file(void)
{
    struct proc_life life;
    pid_t pid = 0;
    int ready_fd = -1;
    struct err err;

    CHECK_INT(proc_life_open(&life), 0);
    struct proc_spawn spawn = {.child_main = child_that_fails, .life = &life};
    CHECK_INT(proc_spawn(&spawn, &pid, &ready_fd, &err), 0);
    CHECK_INT(read_ready(ready_fd), 0);
    CHECK_INT(exit_status(pid), PROC_EXIT_FATAL);
    close(ready_fd);
    proc_life_close(&life);
}

static int
child_that_outlives_its_master(void *arg, struct proc_link link)
{
    int report = *(int *)arg;
    struct pollfd wait = {.fd = link.life_fd, .events = POLLIN};
    char byte = 0;

    proc_ready_say(&link);
    bool is_told = poll(&wait, 1, WAIT_MS) == 1 && read(link.life_fd, &byte, 1) == 0;
    return write(report, is_told ? "e" : "n", 1) == 1 ? 0 : 1;
}

/* A master that forks two children and dies: the second must not keep the first from noticing. */
static void
every_child_notices_that_the_master_was_killed(void)
{
    int report[2];
    char told[2] = "";
    int status = 0;

    CHECK_INT(pipe(report), 0);
    pid_t master = fork();
    if (master == 0) {
        struct proc_life life;
        struct err err;
        int rc = proc_life_open(&life);
        for (int i = 0; i < 2 && rc == 0; i++) {
            pid_t pid = 0;
            int ready_fd = -1;
            struct proc_spawn spawn = {
                .child_main = child_that_outlives_its_master, .arg = &report[1], .life = &life};
            rc = proc_spawn(&spawn, &pid, &ready_fd, &err);
            rc = rc == 0 && read_ready(ready_fd) == 'R' ? 0 : -1;
        }
        raise(SIGKILL);
        _exit(1);
    }
    waitpid(master, &status, 0);
    close(report[1]);
    CHECK_INT(read_ready(report[0]), 'e');
    CHECK_INT(read_ready(report[0]), 'e');
    CHECK_INT(read(report[0], told, 1), 0);
    close(report[0]);
}

static int
child_that_looks_around(void *arg, struct proc_link link)
{
    sigset_t mask;
    struct sigaction action;

    (void)link;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGUSR1, NULL, &action);
    bool is_closed = fcntl(*(int *)arg, F_GETFD) < 0 && errno == EBADF;
    bool is_default = action.sa_handler == SIG_DFL && !sigismember(&mask, SIGTERM);
    sigaction(SIGPIPE, NULL, &action);
    return is_closed && is_default && action.sa_handler == SIG_IGN ? 0 : 1;
}

static void
a_child_starts_with_default_signals_and_without_the_masters_descriptors(void)
{
    struct proc_life life;
    sigset_t old;
    sigset_t set;
    int signal_fd = -1;
    pid_t pid = 0;
    int ready_fd = -1;
    struct err err;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, NULL, &old);
    CHECK_INT(proc_signal_fd(&set, &signal_fd), 0);
    signal(SIGUSR1, SIG_IGN);
    CHECK_INT(proc_life_open(&life), 0);
    int close_fds[] = {-1, signal_fd};
    struct proc_spawn spawn = {.child_main = child_that_looks_around,
                               .arg = &signal_fd,
                               .life = &life,
                               .close_fds = close_fds,
                               .close_count = 2};
    CHECK_INT(proc_spawn(&spawn, &pid, &ready_fd, &err), 0);
    CHECK_INT(exit_status(pid), 0);
    close(ready_fd);
    close(signal_fd);
    signal(SIGUSR1, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    proc_life_close(&life);
}

static void
the_signal_descriptor_delivers_a_blocked_signal(void)
{
    sigset_t old;
    sigset_t set;
    int fd = -1;
    struct signalfd_siginfo info;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, NULL, &old);
    CHECK_INT(proc_signal_fd(&set, &fd), 0);
    CHECK_INT(read(fd, &info, sizeof(info)), -1);
    raise(SIGHUP);
    CHECK_INT(read(fd, &info, sizeof(info)), sizeof(info));
    CHECK_INT(info.ssi_signo, SIGHUP);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void
back_off_doubles_from_100_ms_to_30_s_and_a_healthy_minute_resets_it(void)
{
    static const uint32_t want[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000};
    struct proc_backoff backoff = {0};

    for (size_t i = 0; i < AUGURY_COUNT(want); i++) {
        CHECK_INT(proc_backoff_next_ms(&backoff, 10, SIGSEGV), want[i]);
    }
    backoff.failures = UINT32_MAX - 1;
    CHECK_INT(proc_backoff_next_ms(&backoff, 59999, SIGSEGV), 30000);
    CHECK_INT(proc_backoff_next_ms(&backoff, 60000, SIGSEGV), 0);
    CHECK_INT(proc_backoff_next_ms(&backoff, 10, SIGSEGV), 100);
}

static void
a_killed_process_is_back_within_a_second_however_often_it_is_killed(void)
{
    struct proc_backoff backoff = {.failures = 20};
    uint32_t waits_ms = 0;

    for (int i = 0; i < 40; i++) {
        waits_ms += proc_backoff_next_ms(&backoff, 10, SIGKILL);
    }
    CHECK_INT(waits_ms, 32 * 1000);
    CHECK_INT(proc_backoff_next_ms(&backoff, 10, SIGABRT), 30000);
}

static void
a_killed_process_is_back_at_once_unless_it_is_killed_again_and_again(void)
{
    static const uint32_t want[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 400, 800, 1000, 1000};
    struct proc_backoff backoff = {0};

    for (int i = 0; i < 100; i++) {
        CHECK_INT(proc_backoff_next_ms(&backoff, 500, SIGKILL), 0);
    }
    backoff = (struct proc_backoff){0};
    for (size_t i = 0; i < AUGURY_COUNT(want); i++) {
        CHECK_INT(proc_backoff_next_ms(&backoff, 10, SIGKILL), want[i]);
    }
    /* Half a second of life is one more. */
    CHECK_INT(proc_backoff_next_ms(&backoff, 500, SIGKILL), 0);
    CHECK_INT(proc_backoff_next_ms(&backoff, 10, SIGKILL), 1000);
    /* A crash is another matter, and not the first one. */
    CHECK_INT(proc_backoff_next_ms(&backoff, 10, SIGSEGV), 12800);
}

static void
every_state_has_a_name(void)
{
    CHECK_TEXT(proc_state_name(PROC_STATE_NONE), "none");
    CHECK_TEXT(proc_state_name(PROC_STATE_READY), "ready");
    CHECK_TEXT(proc_state_name(PROC_STATE_BACKING_OFF), "backing-off");
}

int
main(void)
{
    TAP_RUN(a_child_says_ready_and_its_result_is_the_status);
    TAP_RUN(a_child_that_dies_before_it_is_ready_gives_end_of_file);
    TAP_RUN(every_child_notices_that_the_master_was_killed);
    TAP_RUN(a_child_starts_with_default_signals_and_without_the_masters_descriptors);
    TAP_RUN(the_signal_descriptor_delivers_a_blocked_signal);
    TAP_RUN(back_off_doubles_from_100_ms_to_30_s_and_a_healthy_minute_resets_it);
    TAP_RUN(a_killed_process_is_back_at_once_unless_it_is_killed_again_and_again);
    TAP_RUN(a_killed_process_is_back_within_a_second_however_often_it_is_killed);
    TAP_RUN(every_state_has_a_name);
    return tap_done();
}
