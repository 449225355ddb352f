/* SPDX-License-Identifier: MIT */
/*
 * daemonize.c - leaving the terminal, with a pipe on which the first process learns how the start
 * ended. The news is one write of at most PIPE_BUF bytes: a status byte and the reason.
 */
#include "augury/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NEWS_BYTES = 1024 };

_Static_assert(NEWS_BYTES <= PIPE_BUF, "one write, one read");

/* The first process: waits for the news, says it, and leaves with its status. */
_Noreturn static void
await_news(int fd)
{
    static const char died[] = "the daemon died before it was ready\n";
    char news[NEWS_BYTES];
    ssize_t len = 0;

    do {
        len = read(fd, news, sizeof(news));
    } while (len < 0 && errno == EINTR);
    if (len <= 0) {
        ssize_t said = write(STDERR_FILENO, died, sizeof(died) - 1);
        (void)said;
        _exit(PROC_EXIT_FAILED);
    }
    if (len > 1) {
        ssize_t said = write(STDERR_FILENO, news + 1, (size_t)len - 1);
        (void)said;
    }
    _exit((unsigned char)news[0]);
}

static int
standard_to_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        return AUGURY_ERR_IO;
    }
    for (int standard = STDIN_FILENO; standard <= STDERR_FILENO; standard++) {
        if (fd != standard && dup2(fd, standard) < 0) {
            close(fd);
            return AUGURY_ERR_IO;
        }
    }
    if (fd > STDERR_FILENO) {
        close(fd);
    }
    return 0;
}

int
proc_daemonize(int *out_ready_fd, struct err *err)
{
    int fds[2];

    fflush(NULL);
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return err_set(err, AUGURY_ERR_IO, "daemonize", "pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return err_set(err, AUGURY_ERR_IO, "daemonize", "fork: %s", strerror(errno));
    }
    if (pid > 0) {
        close(fds[1]);
        await_news(fds[0]);
    }
    close(fds[0]);
    /* From here failures reach the user through the pipe: its end of file at the latest. */
    setsid();
    pid = fork();
    if (pid != 0) {
        _exit(pid < 0 ? PROC_EXIT_FAILED : PROC_EXIT_OK);
    }
    if (chdir("/") != 0 || standard_to_null() != 0) {
        proc_ready_tell(&fds[1], PROC_EXIT_FAILED, "cannot leave the terminal");
        _exit(PROC_EXIT_FAILED);
    }
    *out_ready_fd = fds[1];
    return 0;
}

void
proc_ready_tell(int *ready_fd, int status, const char *reason)
{
    char news[NEWS_BYTES];

    if (*ready_fd < 0) {
        return;
    }
    news[0] = (char)status;
    size_t len = 1;
    if (reason != NULL && reason[0] != '\0') {
        int printed = snprintf(news + 1, sizeof(news) - 1, "%s\n", reason);
        len += printed < 0 ? 0 : (size_t)printed;
        len = len > sizeof(news) - 1 ? sizeof(news) - 1 : len;
    }
    ssize_t written = write(*ready_fd, news, len);
    (void)written; /* nobody waits any more: the start goes on */
    close(*ready_fd);
    *ready_fd = -1;
}
