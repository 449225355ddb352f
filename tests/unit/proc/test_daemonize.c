/* SPDX-License-Identifier: MIT */
/* test_daemonize.c - what the command's caller sees: status, text, and when. */
#include "../../tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/proc.h"

enum daemon_does { TELLS_READY, TELLS_FAILURE, DIES };

struct command {
    int status;
    char text[256]; /* on standard error */
};

_Noreturn static void
run_daemon(enum daemon_does does, int out)
{
    int ready_fd = -1;
    struct err err;
    char seen[64];
    struct stat null;
    struct stat standard;
    pid_t before = getsid(0);

    if (proc_daemonize(&ready_fd, &err) != 0) {
        _exit(99);
    }
    bool is_null = stat("/dev/null", &null) == 0 && fstat(STDERR_FILENO, &standard) == 0 &&
                   null.st_rdev == standard.st_rdev && null.st_ino == standard.st_ino;
    int len = snprintf(seen, sizeof(seen), "%d %d %d\n", getsid(0) != before, is_null,
                       getsid(0) != getpid());
    ssize_t written = write(out, seen, (size_t)len);
    (void)written;
    switch (does) {
    case TELLS_READY: proc_ready_tell(&ready_fd, 0, NULL); break;
    case TELLS_FAILURE: proc_ready_tell(&ready_fd, 1, "cannot bind 1.2.3.4:80"); break;
    case DIES: break;
    }
    _exit(0);
}

static size_t
read_all(int fd, char *text, size_t size)
{
    size_t len = 0;
    ssize_t got = 0;

    while (len + 1 < size && (got = read(fd, text + len, size - 1 - len)) > 0) {
        len += (size_t)got;
    }
    text[len] = '\0';
    return len;
}

/* The command runs as a user would start it; seen: what the daemon found about itself. */
static struct command
run_command(enum daemon_does does, char *seen, size_t seen_size)
{
    struct command command = {.status = -1};
    int said[2];
    int report[2];
    int status = 0;

    if (pipe(said) != 0 || pipe(report) != 0) {
        return command;
    }
    pid_t pid = fork();
    if (pid == 0) {
        dup2(said[1], STDERR_FILENO);
        close(said[0]);
        close(said[1]);
        close(report[0]);
        run_daemon(does, report[1]);
    }
    close(said[1]);
    close(report[1]);
    read_all(said[0], command.text, sizeof(command.text));
    read_all(report[0], seen, seen_size);
    close(said[0]);
    close(report[0]);
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status)) {
        command.status = WEXITSTATUS(status);
    }
    return command;
}

static void
the_command_returns_0_when_the_daemon_is_ready(void)
{
    char seen[64];
    struct command command = run_command(TELLS_READY, seen, sizeof(seen));

    CHECK_INT(command.status, 0);
    CHECK_TEXT(command.text, "");
    /* A session of its own, without being its leader, and nothing of the terminal left. */
    CHECK_TEXT(seen, "1 1 1\n");
}

static void
the_command_prints_the_reason_and_returns_the_status(void)
{
    char seen[64];
    struct command command = run_command(TELLS_FAILURE, seen, sizeof(seen));

    CHECK_INT(command.status, 1);
    CHECK_TEXT(command.text, "cannot bind 1.2.3.4:80\n");
}

static void
the_command_notices_a_daemon_that_dies(void)
{
    char seen[64];
    struct command command = run_command(DIES, seen, sizeof(seen));

    CHECK_INT(command.status, 1);
    CHECK_TEXT(command.text, "the daemon died before it was ready\n");
}

static void
telling_twice_or_nobody_does_nothing(void)
{
    int fd = -1;

    proc_ready_tell(&fd, 0, "nobody waits");
    CHECK_INT(fd, -1);
}

int
main(void)
{
    TAP_RUN(the_command_returns_0_when_the_daemon_is_ready);
    TAP_RUN(the_command_prints_the_reason_and_returns_the_status);
    TAP_RUN(the_command_notices_a_daemon_that_dies);
    TAP_RUN(telling_twice_or_nobody_does_nothing);
    return tap_done();
}
