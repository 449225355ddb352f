/* SPDX-License-Identifier: MIT */
/*
 * redis_case.h - servers for tests of the redis tier: a real redis-server on a UNIX socket in the
 * case's folder, and a fake one that says whatever a test wants. And a loop of poll().
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "augury/cache_redis.h"
#include "cache_case.h"

enum { REDIS_CASE_LINES = 8, FAKE_CONNECTIONS = 8 };

/* What lines of clients wait for, and their timers: one loop for several clients. */
struct case_loop {
    struct {
        int fd;
        unsigned what;
    } lines[REDIS_CASE_LINES];
    uint32_t timer_ms;
    uint64_t timer_at_ms;
};

static inline void
case_watch(void *arg, unsigned line, int fd, unsigned what)
{
    struct case_loop *loop = arg;

    loop->lines[line].fd = fd;
    loop->lines[line].what = what;
}

static inline void
case_timer(void *arg, uint32_t every_ms)
{
    struct case_loop *loop = arg;

    loop->timer_ms = every_ms;
    loop->timer_at_ms = clock_mono_ms() + every_ms;
}

typedef void case_ready_fn(void *object, unsigned line, unsigned what);
typedef void case_tick_fn(void *object);

/* One turn: waits for a line or the timer, at most 10 ms. */
static inline void
case_loop_turn(struct case_loop *loop, void *object, case_ready_fn *ready, case_tick_fn *tick)
{
    struct pollfd fds[CACHE_REDIS_LINES];
    uint64_t now_ms = clock_mono_ms();
    int wait_ms = 10;

    if (loop->timer_ms != 0) {
        wait_ms = loop->timer_at_ms > now_ms ? (int)(loop->timer_at_ms - now_ms) : 0;
        wait_ms = wait_ms > 10 ? 10 : wait_ms;
    }
    for (unsigned i = 0; i < CACHE_REDIS_LINES; i++) {
        unsigned what = loop->lines[i].what;
        int events = ((what & CACHE_REDIS_READ) != 0 ? POLLIN : 0) |
                     ((what & CACHE_REDIS_WRITE) != 0 ? POLLOUT : 0);
        fds[i] = (struct pollfd){.fd = what == 0 ? -1 : loop->lines[i].fd, .events = (short)events};
    }
    (void)poll(fds, CACHE_REDIS_LINES, wait_ms);
    for (unsigned i = 0; i < CACHE_REDIS_LINES; i++) {
        int got = fds[i].revents;
        unsigned what = ((got & (POLLIN | POLLHUP | POLLERR)) != 0 ? CACHE_REDIS_READ : 0u) |
                        ((got & (POLLOUT | POLLERR)) != 0 ? CACHE_REDIS_WRITE : 0u);
        /* As a loop does: what is no longer waited for is not told. */
        if (loop->lines[i].fd == fds[i].fd && (what & loop->lines[i].what) != 0) {
            ready(object, i, what & loop->lines[i].what);
        }
    }
    if (loop->timer_ms != 0 && clock_mono_ms() >= loop->timer_at_ms) {
        loop->timer_at_ms = clock_mono_ms() + loop->timer_ms;
        tick(object);
    }
}

/* ---- a real server --------------------------------------------------------------------------- */

struct redis_real {
    pid_t pid;
    char path[108];
    char address[120];
};

static inline bool
redis_real_answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[8] = {0};

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    bool is_up = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                 send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 &&
                 recv(fd, answer, sizeof(answer) - 1, 0) > 0 &&
                 (strncmp(answer, "+PONG", 5) == 0 || strncmp(answer, "-NOAUTH", 7) == 0);
    close(fd);
    return is_up;
}

/* false: no redis-server here. password: NULL or one. */
static inline bool
redis_real_start(struct redis_real *server, const char *dir, const char *password)
{
    struct timespec pause = {.tv_nsec = 5000000};

    snprintf(server->path, sizeof(server->path), "%.80s/redis.sock", dir);
    snprintf(server->address, sizeof(server->address), "unix:%s", server->path);
    unlink(server->path);
    server->pid = fork();
    if (server->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->path,
               "--save", "", "--appendonly", "no", "--dir", dir,
               password == NULL ? NULL : "--requirepass", password, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000; i++) {
        int status = 0;
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            server->pid = 0;
            return false;
        }
        if (redis_real_answers(server->path)) {
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

static inline void
redis_real_stop(struct redis_real *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        unlink(server->path);
        server->pid = 0;
    }
}

/* ---- a fake server --------------------------------------------------------------------------- */

/* A child that answers PING as it should, anything else by what it is given; or not at all. */
struct redis_fake {
    pid_t pid;
    char path[108];
    char address[120];
};

/* One answer to each read that begins another command than a greeting. repeats: the answer again
 * and again without being asked. */
static inline void
redis_fake_serve(int listen_fd, struct bytes answer, bool repeats)
{
    struct pollfd fds[FAKE_CONNECTIONS + 1] = {{.fd = listen_fd, .events = POLLIN}};
    static char received[1 << 20];
    unsigned count = 1;

    for (;;) {
        (void)poll(fds, count, -1);
        if ((fds[0].revents & POLLIN) != 0) {
            int fd = accept(listen_fd, NULL, NULL);
            fds[count < FAKE_CONNECTIONS ? count++ : FAKE_CONNECTIONS] =
                (struct pollfd){.fd = fd, .events = POLLIN};
        }
        for (unsigned i = 1; i < count; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0) {
                continue;
            }
            ssize_t n = recv(fds[i].fd, received, sizeof(received), 0);
            if (n <= 0) {
                close(fds[i].fd);
                fds[i] = fds[--count];
                continue;
            }
            if (n >= 14 && memcmp(received, "*1\r\n$4\r\nPING\r\n", 14) == 0) {
                (void)send(fds[i].fd, "+PONG\r\n", 7, MSG_NOSIGNAL);
                continue;
            }
            while (send(fds[i].fd, answer.data, answer.len, MSG_NOSIGNAL) > 0 && repeats) {
            }
        }
    }
}

static inline bool
redis_fake_start(struct redis_fake *server, const char *dir, struct bytes answer, bool repeats)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(server->path, sizeof(server->path), "%.80s/fake.sock", dir);
    snprintf(server->address, sizeof(server->address), "unix:%s", server->path);
    memcpy(address.sun_path, server->path, strlen(server->path) + 1);
    unlink(server->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 16) != 0) {
        close(fd);
        return false;
    }
    server->pid = fork();
    if (server->pid == 0) {
        redis_fake_serve(fd, answer, repeats);
        _exit(0);
    }
    close(fd);
    return server->pid > 0;
}

static inline void
redis_fake_stop(struct redis_fake *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    unlink(server->path);
}
