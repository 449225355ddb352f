/* SPDX-License-Identifier: MIT */
/* test_line.c - the line server over a real UNIX socket; the server runs in a forked child, the
 * test is its client. */
#include "augury/net.h"

#include "../../tap.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, LARGE_BYTES = 3000000 };

struct bench {
    char dir[32];
    char path[64];
    pid_t child;
};

/* What the child knows of its server. */
struct bench_child {
    struct net_line_server *server;
    uint64_t ticket;
    bool is_due;
};

static int
answer(void *arg, const struct net_line_peer *peer, struct bytes line, struct buf *out_body)
{
    struct bench_child *bench_child = arg;

    if (bytes_equal_text(line, "who")) {
        buf_printf(out_body, "%u %u %d", peer->uid, peer->gid, peer->pid);
        return 0;
    }
    if (bytes_equal_text(line, "large")) {
        for (int i = 0; i < LARGE_BYTES; i++) {
            buf_put_u8(out_body, 'l');
        }
        return 0;
    }
    if (bytes_equal_text(line, "later")) {
        bench_child->ticket = peer->ticket;
        return NET_LINE_LATER;
    }
    if (bytes_equal_text(line, "now")) { /* on another connection */
        bench_child->is_due = true;
    }
    if (bytes_equal_text(line, "huge")) {
        for (int i = 0; i < 100; i++) {
            (void)buf_reserve(out_body, 1 << 20);
            buf_commit(out_body, out_body->rc == 0 ? 1 << 20 : 0);
        }
        return 0;
    }
    buf_put_bytes(out_body, line);
    return bytes_start_with(line, "bad") ? 3 : 0;
}

static void
answer_what_is_due(void *arg)
{
    struct bench_child *child = arg;

    if (child->is_due) {
        child->is_due = false;
        net_line_answer(child->server, child->ticket, 7, bytes_of_text("at last"));
    }
}

static void
serve(int listen_fd)
{
    struct net_loop *loop = NULL;
    struct bench_child child = {0};
    struct net_timer *timer = NULL;

    alarm(30);
    bool is_good = net_loop_new(&loop, NULL) == 0 &&
                   net_line_server_new(loop, listen_fd, "augury-admin/1 test", answer, &child,
                                       &child.server, NULL) == 0 &&
                   net_timer_new(loop, 1, answer_what_is_due, &child, &timer) == 0 &&
                   net_loop_run(loop) == 0;
    _exit(is_good ? 0 : 1);
}

static bool
bench_start(struct bench *bench)
{
    int fd = -1;

    *bench = (struct bench){.dir = "/tmp/augury-line-XXXXXX"};
    if (mkdtemp(bench->dir) == NULL) {
        return false;
    }
    snprintf(bench->path, sizeof(bench->path), "%s/admin.sock", bench->dir);
    struct net_unix_options options = {.path = bench->path, .mode = 0600, .backlog = 64};
    if (net_unix_listener_open(&options, &fd, NULL) != 0) {
        return false;
    }
    bench->child = fork();
    if (bench->child == 0) {
        serve(fd);
    }
    close(fd);
    return bench->child > 0;
}

/* True: the child lived until now. */
static bool
bench_stop(struct bench *bench)
{
    int status = 0;
    bool is_alive = waitpid(bench->child, &status, WNOHANG) == 0;

    kill(bench->child, SIGKILL);
    waitpid(bench->child, &status, 0);
    unlink(bench->path);
    rmdir(bench->dir);
    return is_alive;
}

static int
dial(const struct bench *bench)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", bench->path);
    return connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ? fd : -1;
}

static bool
say(int fd, const char *text)
{
    size_t len = strlen(text);

    return send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static ssize_t
hear(int fd, void *out, size_t max)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, PATIENCE_MS) == 1 ? recv(fd, out, max, 0) : -1;
}

/* Whether exactly this text comes next. */
static bool
hears(int fd, const char *text)
{
    char got[512] = {0};
    size_t want = strlen(text);

    for (size_t len = 0; len < want;) {
        ssize_t n = hear(fd, got + len, want - len);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
    }
    return memcmp(got, text, want) == 0;
}

static bool
hears_end(int fd)
{
    char byte;

    return hear(fd, &byte, 1) == 0;
}

#define GREETING "augury-admin/1 test\n"

static void
a_line_gets_a_framed_answer(void)
{
    struct bench bench;

    CHECK(bench_start(&bench));
    int fd = dial(&bench);
    CHECK(hears(fd, GREETING));
    CHECK(say(fd, "status -j\n"));
    CHECK(hears(fd, "OK 0 9\nstatus -j\n"));
    CHECK(say(fd, "bad thing\r\n"));
    CHECK(hears(fd, "ERR 3 9\nbad thing\n"));
    CHECK(say(fd, "\n\r\none\ntwo\nth"));
    CHECK(hears(fd, "OK 0 3\none\nOK 0 3\ntwo\n"));
    CHECK(say(fd, "ree\n"));
    CHECK(hears(fd, "OK 0 5\nthree\n"));
    close(fd);
    CHECK(bench_stop(&bench));
}

/* As `echo status | nc -U` or `printf status | nc -U` do. */
static void
a_client_that_ends_its_input_still_gets_answers(void)
{
    struct bench bench;

    CHECK(bench_start(&bench));
    int fd = dial(&bench);
    CHECK(say(fd, "first\nlast"));
    CHECK_INT(shutdown(fd, SHUT_WR), 0);
    CHECK(hears(fd, GREETING "OK 0 5\nfirst\nOK 0 4\nlast\n"));
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
an_answer_that_is_put_off_holds_up_nobody_else(void)
{
    struct bench bench;

    CHECK(bench_start(&bench));
    int waiting = dial(&bench);
    CHECK(say(waiting, "first\nlater\nlast"));
    CHECK_INT(shutdown(waiting, SHUT_WR), 0);
    CHECK(hears(waiting, GREETING "OK 0 5\nfirst\n"));
    int other = dial(&bench);
    CHECK(hears(other, GREETING));
    CHECK(say(other, "one\nnow\n"));
    CHECK(hears(other, "OK 0 3\none\nOK 0 3\nnow\n"));
    CHECK(hears(waiting, "ERR 7 7\nat last\nOK 0 4\nlast\n"));
    CHECK(hears_end(waiting));
    close(waiting);
    close(other);
    CHECK(bench_stop(&bench));
}

static void
an_answer_for_a_client_that_has_gone_is_dropped(void)
{
    struct bench bench;

    CHECK(bench_start(&bench));
    int waiting = dial(&bench);
    CHECK(hears(waiting, GREETING));
    CHECK(say(waiting, "later\n"));
    close(waiting);
    int other = dial(&bench);
    CHECK(hears(other, GREETING));
    CHECK(say(other, "now\nnow\nwell\n"));
    CHECK(hears(other, "OK 0 3\nnow\nOK 0 3\nnow\nOK 0 4\nwell\n"));
    close(other);
    CHECK(bench_stop(&bench));
}

static void
the_peer_is_known_by_the_kernel(void)
{
    struct bench bench;
    char want[64], frame[96];

    CHECK(bench_start(&bench));
    int fd = dial(&bench);
    snprintf(want, sizeof(want), "%u %u %d", getuid(), getgid(), getpid());
    snprintf(frame, sizeof(frame), GREETING "OK 0 %zu\n%s\n", strlen(want), want);
    CHECK(say(fd, "who\n"));
    CHECK(hears(fd, frame));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
a_large_answer_comes_in_parts_and_the_next_one_after_it(void)
{
    static char got[65536];
    struct bench bench;
    size_t len = 0;

    CHECK(bench_start(&bench));
    int fd = dial(&bench);
    CHECK(hears(fd, GREETING));
    CHECK(say(fd, "large\nnext\n"));
    CHECK(hears(fd, "OK 0 3000000\n"));
    while (len < LARGE_BYTES) {
        size_t left = LARGE_BYTES - len;
        ssize_t n = hear(fd, got, left < sizeof(got) ? left : sizeof(got));
        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            CHECK(got[i] == 'l');
        }
        len += (size_t)n;
    }
    CHECK(hears(fd, "\nOK 0 4\nnext\n"));
    CHECK(say(fd, "huge\n"));
    CHECK(hears(fd, "ERR -3 23\nthe answer is too large\n"));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
a_line_without_end_is_cut(void)
{
    static char junk[20000];
    struct bench bench;

    CHECK(bench_start(&bench));
    memset(junk, 'x', sizeof(junk) - 1);
    int fd = dial(&bench);
    CHECK(hears(fd, GREETING));
    for (int i = 0; i < 8 && say(fd, junk); i++) {
    }
    CHECK(hears(fd, "ERR -3 20\nthe line is too long\n"));
    close(fd);
    fd = dial(&bench);
    CHECK(hears(fd, GREETING));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
connections_are_limited(void)
{
    struct bench bench;
    int fds[64];

    CHECK(bench_start(&bench));
    for (int i = 0; i < 64; i++) {
        fds[i] = dial(&bench);
        CHECK(hears(fds[i], GREETING));
    }
    int fd = dial(&bench);
    CHECK(hears(fd, "ERR -10 26\ntoo many admin connections\n"));
    CHECK(hears_end(fd));
    close(fd);
    CHECK(say(fds[0], "x\n"));
    CHECK(hears(fds[0], "OK 0 1\nx\n"));
    for (int i = 0; i < 64; i++) {
        close(fds[i]);
    }
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    TAP_RUN(a_line_gets_a_framed_answer);
    TAP_RUN(a_client_that_ends_its_input_still_gets_answers);
    TAP_RUN(an_answer_that_is_put_off_holds_up_nobody_else);
    TAP_RUN(an_answer_for_a_client_that_has_gone_is_dropped);
    TAP_RUN(the_peer_is_known_by_the_kernel);
    TAP_RUN(a_large_answer_comes_in_parts_and_the_next_one_after_it);
    TAP_RUN(a_line_without_end_is_cut);
    TAP_RUN(connections_are_limited);
    return tap_done();
}
