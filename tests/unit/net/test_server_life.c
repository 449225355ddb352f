/* SPDX-License-Identifier: MIT */
/* test_server_life.c - deadlines, limits, resets, fairness, drains and memory of the HTTP
 * server. */
#include "server_bench.h"

#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>

static void
a_slow_request_is_cut_while_others_are_served(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    unsigned served = 0;

    limits.header_timeout_ms = 300;
    limits.body_timeout_ms = 300;
    CHECK(bench_start(&bench, &limits));
    int slow = dial(&bench, 0);
    int body = dial(&bench, 0);
    CHECK(say(body, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"));
    /* One byte every few milliseconds: a timeout per read would never end this. */
    struct pollfd wait[2] = {{.fd = slow, .events = POLLIN}, {.fd = body, .events = POLLIN}};
    uint64_t begin_ms = clock_mono_ms();
    while (clock_mono_ms() - begin_ms < PATIENCE_MS) {
        int ready = poll(wait, 2, 5);
        if (ready == 2) {
            break;
        }
        if ((wait[0].revents & POLLIN) == 0) {
            CHECK(say(slow, served == 0 ? "GET / HTTP/1.1\r\nX:" : "x"));
        }
        if ((wait[1].revents & POLLIN) == 0) {
            CHECK(say(body, "x"));
        }
        CHECK_INT(ask(&bench, GET("/quick"), &answer), 200);
        served++;
    }
    CHECK(clock_mono_ms() - begin_ms >= 250);
    CHECK(served > 3);
    CHECK(hear_answer(slow, false, &answer));
    CHECK_INT(answer.status, 408);
    CHECK_CONTAINS(answer.body, "\"code\":\"timeout\"");
    CHECK(hears_end(slow));
    CHECK(hear_answer(body, false, &answer));
    CHECK_INT(answer.status, 408);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_DEADLINE), 2);
    close(slow);
    close(body);
    CHECK(bench_stop(&bench));
}

static void
silence_is_answered_by_silence(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;

    limits.header_timeout_ms = 200;
    limits.keepalive_timeout_ms = 200;
    CHECK(bench_start(&bench, &limits));
    int mute = dial(&bench, 0);
    int idle = dial(&bench, 0);
    CHECK(say(idle, GET("/")));
    CHECK(hear_answer(idle, false, &answer));
    CHECK(hears_end(mute));
    CHECK(hears_end(idle));
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_DEADLINE), 0);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    close(mute);
    close(idle);
    CHECK(bench_stop(&bench));
}

static void
a_client_that_does_not_read_is_cut(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;

    limits.send_timeout_ms = 200;
    CHECK(bench_start(&bench, &limits));
    int fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/big") GET("/big")));
    CHECK(wait_for_counter(&bench, STATS_HTTP_REQUESTS_2XX, 1));
    CHECK_INT(ask(&bench, GET("/other"), &answer), 200);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    /* The second one was never computed. */
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REQUESTS_2XX), 2);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
resets_at_any_moment_leave_nothing_behind(void)
{
    static const char *const starts[] = {
        "",
        "GET / HT",
        GET("/x"),
        GET("/big"),
        GET("/big") GET("/big") "GET /",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "GET / HTTP/9.9\r\n\r\n"};
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < AUGURY_COUNT(starts); i++) {
            int fd = dial(&bench, 4096);
            CHECK(say(fd, starts[i]));
            if (round % 2 == 0) {
                sched_yield();
            }
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            close(fd);
        }
    }
    CHECK_INT(ask(&bench, GET("/alive"), &answer), 200);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK(bench_stop(&bench));
}

static void
connections_over_the_limit_get_503(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int held[3];

    limits.connections = 3;
    CHECK(bench_start(&bench, &limits));
    for (size_t i = 0; i < 3; i++) {
        held[i] = dial(&bench, 0);
        CHECK(say(held[i], GET("/")));
        CHECK(hear_answer(held[i], false, &answer));
    }
    for (int i = 0; i < 10; i++) {
        CHECK_INT(ask(&bench, GET("/one-more"), &answer), 503);
        CHECK_CONTAINS(answer.body, "too_many_connections");
    }
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_CONNECTIONS), 10);
    for (size_t i = 0; i < 3; i++) {
        close(held[i]);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK_INT(ask(&bench, GET("/room-again"), &answer), 200);
    CHECK(bench_stop(&bench));
}

/* Descriptors run out; the server says so, waits, and goes on when there are some. */
static void
running_out_of_descriptors_is_survived(void)
{
    struct rlimit before, tight;
    struct bench bench;
    struct answer answer;
    int held[64];
    size_t count = 0;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/")));
    CHECK(hear_answer(fd, false, &answer));
    /* Both ends are this process: the client's end takes the last descriptor, so the server has
     * none. */
    tight = before;
    tight.rlim_cur = (rlim_t)fd + 3;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (count < 64 && (held[count] = dial(&bench, 0)) >= 0) {
        count++;
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_REFUSED_CONNECTIONS, 1));
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_INT(ask(&bench, GET("/again"), &answer), 200);
    while (count > 0) {
        close(held[--count]);
    }
    close(fd);
    CHECK(bench_stop(&bench));
}

/* The other worker looks idle and takes nothing: a step back is a delay and no more. */
static void
a_worker_over_its_share_still_serves(void)
{
    static struct net_share share;
    struct bench bench;
    struct answer answer;
    int fds[10];

    share.load[1] = 1;
    CHECK(bench_start_shared(&bench, &usual, &share));
    for (size_t i = 0; i < 10; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/")));
        CHECK(hear_answer(fds[i], false, &answer));
    }
    CHECK_INT(atomic_load(&share.load[0]), 11);
    for (size_t i = 0; i < 10; i++) {
        close(fds[i]);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK_INT(atomic_load(&share.load[0]), 1);
    CHECK(bench_stop(&bench));
    CHECK_INT(atomic_load(&share.load[0]), 0);
}

static void
a_drain_answers_what_it_has_and_then_ends(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int idle = dial(&bench, 0);
    int half = dial(&bench, 0);
    int busy = dial(&bench, 0);
    CHECK(say(idle, GET("/")));
    CHECK(hear_answer(idle, false, &answer));
    CHECK(say(busy, GET("/")));
    CHECK(hear_answer(busy, false, &answer));
    CHECK(say(half, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab"));
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_ACCEPTED, 3));
    bench.drain_limit_ms = 3000;
    CHECK(bench_command(&bench, 'd'));
    /* In the middle of a series of requests: the next answer says that it is the last. */
    poll(NULL, 0, 20);
    CHECK(say(busy, GET("/last")));
    CHECK(hear_answer(busy, false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK(say(half, "cd"));
    CHECK(hear_answer(half, false, &answer));
    CHECK_TEXT(answer.body, "abcd");
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK(hears_end(idle));
    CHECK(hears_end(busy));
    CHECK(hears_end(half));
    close(idle);
    close(busy);
    close(half);
    CHECK(bench_stop(&bench));
    CHECK(bench.is_drained);
}

static void
a_drain_has_a_limit(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK(say(fd, "GET / HTTP"));
    CHECK(wait_for_counter(&bench, STATS_HTTP_BYTES_IN, strlen(GET("/")) + 10));
    uint64_t begin_ms = clock_mono_ms();
    bench.drain_limit_ms = 200;
    CHECK(bench_command(&bench, 'd'));
    CHECK(bench_stop(&bench));
    CHECK(bench.is_drained);
    CHECK(clock_mono_ms() - begin_ms >= 195 && clock_mono_ms() - begin_ms < 2500);
    close(fd);
}

static void
a_drain_without_connections_ends_at_once(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    uint64_t begin_ms = clock_mono_ms();
    bench.drain_limit_ms = 5000;
    CHECK(bench_command(&bench, 'd'));
    CHECK(bench_stop(&bench));
    CHECK(bench.is_drained);
    CHECK(clock_mono_ms() - begin_ms < 2000);
}

/* Each has asked once, some in large, and is idle: all it owns is its struct. */
static void
idle_connections_own_no_buffer(void)
{
    enum { IDLE = 1000 };
    static int fds[IDLE];
    struct rlimit files;
    struct bench bench;
    struct answer answer;

    CHECK_INT(getrlimit(RLIMIT_NOFILE, &files), 0);
    if (files.rlim_max < 2 * IDLE + 64) {
        SKIP("too few descriptors");
    }
    files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &files), 0);
    CHECK(bench_start(&bench, &usual));
    CHECK_INT(ask(&bench, GET("/warm"), &answer), 200);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < IDLE; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(fds[i] >= 0);
        CHECK(say(fds[i], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"));
        CHECK(say(fds[i], "bc"));
        CHECK(hear_answer(fds[i], false, &answer));
    }
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks - before.uordblks) / IDLE;
    printf("# %zu bytes a connection\n", each);
    CHECK(each < 600);
    for (int i = 0; i < IDLE; i++) {
        close(fds[i]);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    mallopt(M_ARENA_MAX, 1); /* so that mallinfo2() sees the server's thread too */
    TAP_RUN(a_slow_request_is_cut_while_others_are_served);
    TAP_RUN(silence_is_answered_by_silence);
    TAP_RUN(a_client_that_does_not_read_is_cut);
    TAP_RUN(resets_at_any_moment_leave_nothing_behind);
    TAP_RUN(connections_over_the_limit_get_503);
    TAP_RUN(running_out_of_descriptors_is_survived);
    TAP_RUN(a_worker_over_its_share_still_serves);
    TAP_RUN(a_drain_answers_what_it_has_and_then_ends);
    TAP_RUN(a_drain_has_a_limit);
    TAP_RUN(a_drain_without_connections_ends_at_once);
    TAP_RUN(idle_connections_own_no_buffer);
    return tap_done();
}
