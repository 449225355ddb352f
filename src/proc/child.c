/* SPDX-License-Identifier: MIT */
/*
 * child.c - forking a child with its two pipes, and the master's signal descriptor.
 * The life pipe has one writer, the master: a child that kept the write end would hide the master's
 * death from all.
 */
#include "augury/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void
close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

int
proc_life_open(struct proc_life *life)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return AUGURY_ERR_IO;
    }
    *life = (struct proc_life){.read_fd = fds[0], .write_fd = fds[1]};
    return 0;
}

void
proc_life_close(struct proc_life *life)
{
    close_fd(&life->read_fd);
    close_fd(&life->write_fd);
}

void
proc_ready_say(struct proc_link *link)
{
    if (link->ready_fd < 0) {
        return;
    }
    ssize_t written = write(link->ready_fd, "R", 1);
    (void)written; /* a master that does not listen any more has died: the life pipe says so */
    close_fd(&link->ready_fd);
}

static void
reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL); /* fails for KILL, STOP and libc's own: as it should be */
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void
run_child(const struct proc_spawn *spawn, int ready_fd)
{
    struct proc_link link = {.ready_fd = ready_fd, .life_fd = spawn->life->read_fd};

    close(spawn->life->write_fd);
    for (size_t i = 0; i < spawn->close_count; i++) {
        if (spawn->close_fds[i] >= 0) {
            close(spawn->close_fds[i]);
        }
    }
    reset_signals();
    exit(spawn->child_main(spawn->arg, link));
}

int
proc_spawn(const struct proc_spawn *spawn, pid_t *out_pid, int *out_ready_fd, struct err *err)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return err_set(err, AUGURY_ERR_IO, "spawn", "pipe: %s", strerror(errno));
    }
    /* The child leaves through exit(): what stands in our buffers must not be written twice. */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        run_child(spawn, fds[1]);
    }
    int why = errno;
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return err_set(err, AUGURY_ERR_IO, "spawn", "fork: %s", strerror(why));
    }
    int flags = fcntl(fds[0], F_GETFL);
    (void)fcntl(fds[0], F_SETFL, flags | O_NONBLOCK);
    *out_pid = pid;
    *out_ready_fd = fds[0];
    return 0;
}

int
proc_signal_fd(const sigset_t *signals, int *out_fd)
{
    if (sigprocmask(SIG_BLOCK, signals, NULL) != 0) {
        return AUGURY_ERR_IO;
    }
    int fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return AUGURY_ERR_IO;
    }
    *out_fd = fd;
    return 0;
}
