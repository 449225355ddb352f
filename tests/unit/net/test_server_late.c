/* SPDX-License-Identifier: MIT */
/* test_server_late.c - answers that come after their turn: order, deadlines, clients that leave,
 * drains, memory. A request for /late waits until the server hears 'l' or a request for
 * /release. */
#include "server_bench.h"

#include <malloc.h>

/* Whether nothing comes for a moment. */
static bool
is_silent(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, 50) == 0;
}

/* Until the server has so many requests waiting. */
static bool
wait_for_late(const struct bench *bench, unsigned count)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (bench->late_count == count) {
            return true;
        }
        poll(NULL, 0, 1);
    }
    return false;
}

static void
a_late_answer_is_a_whole_answer(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(say(fd, GET("/late")));
        CHECK(wait_for_late(&bench, 1));
        CHECK(is_silent(fd));
        CHECK(bench_command(&bench, 'l'));
        CHECK(hear_answer(fd, false, &answer));
        CHECK_INT(answer.status, 203);
        CHECK_CONTAINS(answer.head, "\r\nX-Late: yes\r\n");
        CHECK_TEXT(answer.body, "late 0");
    }
    CHECK(say(fd, GET("/after")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/after");
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REQUESTS_2XX), 4);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_LATE_ANSWERED), 3);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
pipelined_requests_wait_behind_a_late_answer(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd,
              GET("/one") GET("/late") GET("/two") "POST /late HTTP/1.1\r\nHost: a\r\n"
                                                   "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/one");
    CHECK(wait_for_late(&bench, 1));
    CHECK(say(fd, "lo\r\n0\r\n\r\n" GET("/thr")));
    CHECK(say(fd, ""));
    CHECK(is_silent(fd));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "late 0");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/two");
    CHECK(is_silent(fd));
    CHECK(wait_for_late(&bench, 1));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "late 0");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/thr");
    close(fd);
    CHECK(bench_stop(&bench));
}

/* 200 wait, and one request more answers them all while its own answer is being made. */
static void
a_handler_may_answer_those_who_wait(void)
{
    enum { CLIENTS = 200 };
    struct bench bench;
    struct answer answer;
    static int fds[CLIENTS];
    char want[32];

    CHECK(bench_start(&bench, &usual));
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/late")));
        CHECK(wait_for_late(&bench, i + 1));
    }
    int last = dial(&bench, 0);
    CHECK(say(last, GET("/before") GET("/release") GET("/after")));
    CHECK(hear_answer(last, false, &answer));
    CHECK_TEXT(answer.body, "/before");
    CHECK(hear_answer(last, false, &answer));
    CHECK_TEXT(answer.body, "released");
    CHECK(hear_answer(last, false, &answer));
    CHECK_TEXT(answer.body, "/after");
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK(hear_answer(fds[i], false, &answer));
        snprintf(want, sizeof(want), "late %u", i);
        CHECK_TEXT(answer.body, want);
        close(fds[i]);
    }
    close(last);
    CHECK(bench_stop(&bench));
}

static void
head_close_and_http_1_0_hold_for_late_answers(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fds[3] = {dial(&bench, 0), dial(&bench, 0), dial(&bench, 0)};
    CHECK(say(fds[0], "HEAD /late HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK(wait_for_late(&bench, 1));
    CHECK(say(fds[1], "GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/never")));
    CHECK(wait_for_late(&bench, 2));
    CHECK(say(fds[2], "GET /late HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    CHECK(wait_for_late(&bench, 3));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fds[0], true, &answer));
    CHECK_CONTAINS(answer.head, "Content-Length: 6\r\n");
    CHECK(say(fds[0], GET("/more")));
    CHECK(hear_answer(fds[0], false, &answer));
    CHECK_TEXT(answer.body, "/more");
    CHECK(hear_answer(fds[1], false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK_TEXT(answer.body, "late 1");
    CHECK(hears_end(fds[1]));
    CHECK(hear_answer(fds[2], false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: keep-alive\r\n");
    for (size_t i = 0; i < 3; i++) {
        close(fds[i]);
    }
    CHECK(bench_stop(&bench));
}

static void
an_answer_that_does_not_come_is_504_and_its_ticket_void(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;

    limits.answer_timeout_ms = 150;
    limits.keepalive_timeout_ms = PATIENCE_MS;
    CHECK(bench_start(&bench, &limits));
    int fd = dial(&bench, 0);
    uint64_t begin_ms = clock_mono_ms();
    CHECK(say(fd, GET("/late") GET("/next")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK(clock_mono_ms() - begin_ms >= 140);
    CHECK_INT(answer.status, 504);
    CHECK_CONTAINS(answer.body, "\"code\":\"timeout\"");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/next");
    /* The same place, another generation: the old ticket must not answer the new request. */
    CHECK(say(fd, GET("/late")));
    CHECK(wait_for_late(&bench, 2));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "late 1");
    CHECK(wait_for_counter(&bench, STATS_HTTP_LATE_GONE, 1));
    CHECK(is_silent(fd));
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_LATE_TIMEOUT), 1);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
clients_that_leave_while_they_wait_harm_nobody(void)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    for (unsigned i = 0; i < 20; i++) {
        int fd = dial(&bench, 0);
        CHECK(say(fd, GET("/late") GET("/late")));
        CHECK(wait_for_late(&bench, i + 1));
        if (i % 2 == 0) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        }
        close(fd);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 10)); /* without those reset */
    CHECK(bench_command(&bench, 'l'));
    CHECK_INT(ask(&bench, GET("/alive"), &answer), 200);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_LATE_GONE), 10);
    CHECK(bench_command(&bench, 'l')); /* the pipelined second ones */
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK(bench_stop(&bench));
}

/* Half of the connection is shut, as `nc -N` does: the answer is wanted all the same. */
static void
a_client_that_has_said_all_gets_its_late_answer(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/late")));
    CHECK(shutdown(fd, SHUT_WR) == 0);
    CHECK(wait_for_late(&bench, 1));
    CHECK(is_silent(fd));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "late 0");
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
}

/* The client takes its time over a large answer; the late one comes behind it, whole. */
static void
a_late_answer_waits_for_what_is_still_being_sent(void)
{
    const int send_bytes = 4096;
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    CHECK(setsockopt(bench.listen_fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)) == 0);
    int fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/part") GET("/late") GET("/end")));
    CHECK(wait_for_late(&bench, 1));
    CHECK(bench_command(&bench, 'l'));
    CHECK(wait_for_counter(&bench, STATS_HTTP_LATE_ANSWERED, 1));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.body_len, PART_BYTES);
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "late 0");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/end");
    close(fd);
    /* And when the large one has gone before the late one comes. */
    fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/part") GET("/late")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK(wait_for_late(&bench, 1));
    CHECK(is_silent(fd));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "late 0");
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
a_drain_waits_for_late_answers(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    bench.drain_limit_ms = PATIENCE_MS;
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/late")));
    CHECK(wait_for_late(&bench, 1));
    CHECK(bench_command(&bench, 'd'));
    CHECK(is_silent(fd));
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK_TEXT(answer.body, "late 0");
    close(fd);
    CHECK(bench_stop(&bench));
    CHECK(bench.is_drained);
}

static void
a_drain_limit_cuts_those_who_wait(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    bench.drain_limit_ms = 200;
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/late")));
    CHECK(wait_for_late(&bench, 1));
    CHECK(bench_command(&bench, 'd'));
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
    CHECK(bench.is_drained);
}

static void
waiting_connections_grow_by_a_place_in_a_table(void)
{
    enum { CLIENTS = 250, BYTES_EACH = 200 };
    struct bench bench;
    static int fds[CLIENTS];

    CHECK(bench_start(&bench, &usual));
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = dial(&bench, 0);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, CLIENTS));
    struct mallinfo2 before = mallinfo2();
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK(say(fds[i], GET("/late")));
        CHECK(wait_for_late(&bench, i + 1));
    }
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks <= before.uordblks + (size_t)CLIENTS * BYTES_EACH);
    CHECK(bench_command(&bench, 'l'));
    CHECK(wait_for_counter(&bench, STATS_HTTP_LATE_ANSWERED, CLIENTS));
    for (unsigned i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    mallopt(M_ARENA_MAX, 1); /* so that mallinfo2() sees the server's thread too */
    TAP_RUN(a_late_answer_is_a_whole_answer);
    TAP_RUN(pipelined_requests_wait_behind_a_late_answer);
    TAP_RUN(a_handler_may_answer_those_who_wait);
    TAP_RUN(head_close_and_http_1_0_hold_for_late_answers);
    TAP_RUN(an_answer_that_does_not_come_is_504_and_its_ticket_void);
    TAP_RUN(clients_that_leave_while_they_wait_harm_nobody);
    TAP_RUN(a_client_that_has_said_all_gets_its_late_answer);
    TAP_RUN(a_late_answer_waits_for_what_is_still_being_sent);
    TAP_RUN(a_drain_waits_for_late_answers);
    TAP_RUN(a_drain_limit_cuts_those_who_wait);
    TAP_RUN(waiting_connections_grow_by_a_place_in_a_table);
    return tap_done();
}
