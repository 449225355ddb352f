/* SPDX-License-Identifier: MIT */
/* test_loop.c - the loop, watches, timers, signals; listeners and their refusals. */
#include "augury/net.h"

#include "../../tap.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct seen {
    struct net_loop *loop;
    int count;
    int want;
    int fd;
    int signal_number;
    enum net_watch_what what;
};

static void
count(struct seen *seen)
{
    if (++seen->count >= seen->want) {
        net_loop_stop(seen->loop);
    }
}

static void
on_watch(void *arg, int fd, enum net_watch_what what)
{
    struct seen *seen = arg;
    char byte;

    seen->fd = fd;
    seen->what = what;
    if ((what & NET_WATCH_READ) != 0 && read(fd, &byte, 1) != 1) {
        seen->want = 0;
    }
    count(seen);
}

static void
on_timer(void *arg)
{
    count(arg);
}

static void
on_signal(void *arg, int signal_number)
{
    struct seen *seen = arg;

    seen->signal_number = signal_number;
    count(seen);
}

static void
a_watch_tells_what_a_descriptor_is_ready_for(void)
{
    struct seen seen = {.want = 2};
    struct net_watch *watch = NULL;
    int fds[2];

    CHECK_INT(net_loop_new(&seen.loop, NULL), 0);
    CHECK_INT(pipe(fds), 0);
    CHECK_INT(write(fds[1], "ab", 2), 2);
    CHECK_INT(net_watch_new(seen.loop, fds[0], NET_WATCH_READ, on_watch, &seen, &watch), 0);
    CHECK_INT(net_loop_run(seen.loop), 0);
    CHECK_INT(seen.count, 2);
    CHECK_INT(seen.fd, fds[0]);
    CHECK_INT(seen.what, NET_WATCH_READ);
    net_watch_free(&watch);
    CHECK_INT(net_watch_new(seen.loop, fds[1], NET_WATCH_WRITE, on_watch, &seen, &watch), 0);
    CHECK_INT(net_loop_run(seen.loop), 0);
    CHECK_INT(seen.what, NET_WATCH_WRITE);
    net_watch_free(&watch);
    net_watch_free(&watch);
    net_loop_free(&seen.loop);
    close(fds[0]);
    close(fds[1]);
}

static void
a_timer_repeats_and_time_passes(void)
{
    struct seen seen = {.want = 3};
    struct net_timer *timer = NULL;

    CHECK_INT(net_loop_new(&seen.loop, NULL), 0);
    uint64_t begin = net_loop_now_ms(seen.loop);
    CHECK_INT(net_timer_new(seen.loop, 10, on_timer, &seen, &timer), 0);
    CHECK_INT(net_loop_run(seen.loop), 0);
    CHECK_INT(seen.count, 3);
    CHECK(net_loop_now_ms(seen.loop) - begin >= 29);
    net_timer_free(&timer);
    net_loop_free(&seen.loop);
}

static void
a_signal_becomes_a_call_in_the_loop(void)
{
    struct seen seen = {.want = 1};
    struct net_signal *signal_watch = NULL;

    CHECK_INT(net_loop_new(&seen.loop, NULL), 0);
    CHECK_INT(net_signal_new(seen.loop, SIGUSR1, on_signal, &seen, &signal_watch), 0);
    CHECK_INT(raise(SIGUSR1), 0);
    CHECK_INT(net_loop_run(seen.loop), 0);
    CHECK_INT(seen.signal_number, SIGUSR1);
    net_signal_free(&signal_watch);
    net_loop_free(&seen.loop);
}

static void
a_listener_is_ready_for_workers(void)
{
    struct err err = {0};
    char text[64];
    int fd = -1;
    int value = 0;
    socklen_t len = sizeof(value);

    CHECK_INT(net_listener_open("127.0.0.1:0", 16, &fd, &err), 0);
    CHECK_INT(net_address_of(fd, text, sizeof(text)), 0);
    CHECK(strncmp(text, "127.0.0.1:", 10) == 0 && strcmp(text, "127.0.0.1:0") != 0);
    CHECK_INT(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    CHECK(value != 0);
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);

    int second = -1;
    CHECK_INT(net_listener_open(text, 16, &second, &err), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "in use");
    CHECK_INT(second, -1);
    close(fd);
    CHECK_INT(net_listener_open("*:0", 16, &fd, &err), 0);
    close(fd);
}

static void
bad_addresses_are_named(void)
{
    static const char *const bad[] = {"8080",         "127.0.0.1",
                                      "127.0.0.1:",   "127.0.0.1:x",
                                      ":8080",        "127.0.0.1:65536",
                                      "::1:8080",     "[]:80",
                                      "127.0.0.1:-1", ""};
    struct err err = {0};
    int fd = -1;

    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        if (net_listener_open(bad[i], 1, &fd, &err) != AUGURY_ERR_INVALID) {
            TAP_FAIL("accepted: %s", bad[i]);
        }
        CHECK_TEXT(err.code, "bad_address");
    }
}

static int
open_unix(const char *path, unsigned mode, int *out_fd, struct err *err)
{
    struct net_unix_options options = {.path = path, .mode = mode, .backlog = 8};

    return net_unix_listener_open(&options, out_fd, err);
}

static void
a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void)
{
    char dir[] = "/tmp/augury-net-XXXXXX";
    char path[64], other[64];
    struct err err = {0};
    struct stat status;
    int first = -1, second = -1;

    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/sock", dir);
    snprintf(other, sizeof(other), "%s/file", dir);
    CHECK_INT(open_unix(path, 0660, &first, &err), 0);
    CHECK_INT(stat(path, &status), 0);
    CHECK_INT(status.st_mode & 0777, 0660);

    CHECK_INT(open_unix(path, 0660, &second, &err), AUGURY_ERR_BUSY);
    CHECK_TEXT(err.code, "socket_in_use");
    close(first);
    CHECK_INT(open_unix(path, 0600, &second, &err), 0);
    CHECK_INT(stat(path, &status), 0);
    CHECK_INT(status.st_mode & 0777, 0600);
    close(second);

    close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    CHECK_INT(open_unix(other, 0600, &second, &err), AUGURY_ERR_EXISTS);
    CHECK_INT(access(other, F_OK), 0);
    unlink(path);
    unlink(other);
    rmdir(dir);
}

static void
a_unix_path_that_is_too_long_is_refused_whole(void)
{
    char path[200];
    struct err err = {0};
    int fd = -1;

    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    CHECK_INT(open_unix(path, 0600, &fd, &err), AUGURY_ERR_LIMIT);
    CHECK_TEXT(err.code, "path_too_long");
    CHECK_CONTAINS(err.reason, "107");
}

int
main(void)
{
    TAP_RUN(a_watch_tells_what_a_descriptor_is_ready_for);
    TAP_RUN(a_timer_repeats_and_time_passes);
    TAP_RUN(a_signal_becomes_a_call_in_the_loop);
    TAP_RUN(a_listener_is_ready_for_workers);
    TAP_RUN(bad_addresses_are_named);
    TAP_RUN(a_stale_unix_socket_is_replaced_and_a_live_one_is_not);
    TAP_RUN(a_unix_path_that_is_too_long_is_refused_whole);
    return tap_done();
}
