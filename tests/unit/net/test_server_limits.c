/* SPDX-License-Identifier: MIT */
/* test_server_limits.c - what the server takes on of clients, bytes and requests, over real
 * sockets. A request for /admit says what net_server_admit() says of it. */
#include "server_bench.h"

static void
a_client_has_so_many_connections_and_the_next_hears_429(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int fds[3];

    limits.client_connections = 3;
    CHECK(bench_start(&bench, &limits));
    for (size_t i = 0; i < 3; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/in")));
        CHECK(hear_answer(fds[i], false, &answer));
        CHECK_INT(answer.status, 200);
    }
    int over = dial(&bench, 0);
    CHECK(hear_answer(over, false, &answer));
    CHECK_INT(answer.status, 429);
    CHECK_CONTAINS(answer.head, "\r\nRetry-After: 1\r\n");
    CHECK_CONTAINS(answer.head, "\r\nConnection: close\r\n");
    CHECK_CONTAINS(answer.body, "\"code\":\"too_many_connections\",\"at\":\"\"}");
    close(over);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_OVER_CLIENT_CONNECTIONS), 1);
    close(fds[1]);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 2));
    fds[1] = dial(&bench, 0);
    CHECK(say(fds[1], GET("/again")));
    CHECK(hear_answer(fds[1], false, &answer));
    CHECK_INT(answer.status, 200);
    for (size_t i = 0; i < 3; i++) {
        close(fds[i]);
    }
    CHECK(bench_stop(&bench));
}

enum { PART = 600000, WHOLE = 700000 };
static char part[PART]; /* of a body of WHOLE bytes */

/* A new connection that has sent a part; its end is refused where there is no room for it. */
static void
dial_with_part(struct bench *bench, int *out_fd)
{
    memset(part, 'x', sizeof(part));
    *out_fd = dial(bench, 0);
    CHECK(say(*out_fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 700000\r\n\r\n"));
    (void)say_bytes(*out_fd, part, sizeof(part));
}

static void
rest_is_answered(int fd)
{
    struct answer answer;

    CHECK(say_bytes(fd, part, WHOLE - PART));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 200);
    CHECK_INT(answer.body_len, WHOLE);
}

/* Two clients hold bodies of 600 KB in part; a third one is told that there is no room for its. */
static void
bytes_of_all_connections_have_a_bound(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int fds[3];

    limits.buffered_bytes = 5 << 19; /* buffers double: two of 1 MiB, and not three */
    limits.body_timeout_ms = limits.header_timeout_ms = PATIENCE_MS;
    limits.keepalive_timeout_ms = PATIENCE_MS;
    CHECK(bench_start(&bench, &limits));
    for (size_t i = 0; i < 3; i++) {
        dial_with_part(&bench, &fds[i]);
        if (i < 2) {
            CHECK(wait_for_counter(&bench, STATS_HTTP_BYTES_IN, (PART + 56) * (i + 1)));
        }
    }
    CHECK(hear_answer(fds[2], false, &answer));
    CHECK_INT(answer.status, 503);
    CHECK_CONTAINS(answer.head, "\r\nRetry-After: 1\r\n");
    CHECK_CONTAINS(answer.body, "\"code\":\"too_many_bytes\"");
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_OVER_BYTES), 1);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_CONNECTIONS), 0);
    for (size_t i = 0; i < 2; i++) {
        rest_is_answered(fds[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        close(fds[i]);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_BUFFERED), 0);
    CHECK(bench_stop(&bench));
}

/* A part of a body, of which a client may have one: its next is refused, another's is not. */
static void
bytes_of_one_client_have_a_bound(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int fds[2];

    limits.client_buffered_bytes = 3 << 19; /* buffers double: one of 1 MiB, and not two */
    limits.body_timeout_ms = limits.header_timeout_ms = PATIENCE_MS;
    CHECK(bench_start(&bench, &limits));
    for (size_t i = 0; i < 2; i++) {
        dial_with_part(&bench, &fds[i]);
        if (i < 1) {
            CHECK(wait_for_counter(&bench, STATS_HTTP_BYTES_IN, PART + 56));
        }
    }
    CHECK(hear_answer(fds[1], false, &answer));
    CHECK_INT(answer.status, 429);
    CHECK_CONTAINS(answer.head, "\r\nRetry-After: 1\r\n");
    CHECK_CONTAINS(answer.body, "\"code\":\"too_many_bytes\"");
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_OVER_CLIENT_BYTES), 1);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_OVER_CLIENT_CONNECTIONS), 0);
    close(fds[1]);
    rest_is_answered(fds[0]);
    close(fds[0]);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    /* What was counted went with the connections: the same client begins anew. */
    dial_with_part(&bench, &fds[0]);
    rest_is_answered(fds[0]);
    close(fds[0]);
    CHECK(bench_stop(&bench));
}

/* Who asks for much and takes nothing is cut; the memory that this took comes back. */
static void
answers_that_nobody_takes_have_a_bound(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int fds[4];

    limits.buffered_bytes = BIG_BYTES * 3;
    limits.send_timeout_ms = PATIENCE_MS;
    CHECK(bench_start(&bench, &limits));
    for (size_t i = 0; i < 4; i++) {
        fds[i] = dial(&bench, 4096);
        CHECK(say(fds[i], GET("/big")));
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_REQUESTS_2XX, 4));
    for (int i = 0; i < PATIENCE_MS && stats_sum(bench.stats, STATS_HTTP_OVER_BYTES) == 0; i++) {
        poll(NULL, 0, 1);
    }
    CHECK(stats_sum(bench.stats, STATS_HTTP_OVER_BYTES) > 0);
    CHECK_INT(ask(&bench, GET("/alive"), &answer), 200);
    /* Who went over it has been cut by then. */
    CHECK(stats_sum(bench.stats, STATS_HTTP_BUFFERED) <= limits.buffered_bytes);
    for (size_t i = 0; i < 4; i++) {
        close(fds[i]);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_BUFFERED), 0);
    CHECK(bench_stop(&bench));
}

static void
requests_that_wait_are_counted_for_all_and_for_each_client(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int fds[2];

    limits.requests = 2;
    CHECK(bench_start(&bench, &limits));
    CHECK_INT(ask(&bench, GET("/admit"), &answer), 200);
    CHECK_TEXT(answer.body, "0");
    for (unsigned i = 0; i < 2; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/late")));
        CHECK(wait_for_counter(&bench, STATS_HTTP_WAITING, i + 1));
    }
    CHECK_INT(ask(&bench, GET("/admit"), &answer), 200);
    CHECK_INT(strtol(answer.body, NULL, 10), NET_OVER_REQUESTS);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_OVER_REQUESTS), 1);
    close(fds[0]);
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fds[1], false, &answer));
    CHECK_INT(ask(&bench, GET("/admit"), &answer), 200);
    CHECK_TEXT(answer.body, "0");
    close(fds[1]);
    CHECK(bench_stop(&bench));

    limits.requests = 0;
    limits.client_requests = 1;
    CHECK(bench_start(&bench, &limits));
    fds[0] = dial(&bench, 0);
    CHECK(say(fds[0], GET("/late")));
    CHECK(wait_for_counter(&bench, STATS_HTTP_WAITING, 1));
    CHECK_INT(ask(&bench, GET("/admit"), &answer), 200);
    CHECK_INT(strtol(answer.body, NULL, 10), NET_OVER_CLIENT_REQUESTS);
    close(fds[0]);
    CHECK(bench_stop(&bench));
}

/* One turn with 300 ms of work in it: what is behind it on the same connection has waited. */
static void
what_has_waited_too_long_is_told_so(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;

    limits.queue_time_ms = 100;
    CHECK(bench_start(&bench, &limits));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/admit") GET("/slow") GET("/admit")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "0");
    CHECK(hear_answer(fd, false, &answer));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(strtol(answer.body, NULL, 10), NET_OVER_QUEUE);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_OVER_QUEUE), 1);
    CHECK(stats_sum(bench.stats, STATS_HTTP_LAG) > 0);
    close(fd);
    CHECK(bench_stop(&bench));
}

/* 1,000 in one turn are more than the first limit lets in; the next turn takes on some again. */
static void
a_turn_takes_on_so_many_requests(void)
{
    enum { REQUESTS = 250, CLIENTS = 4 };
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;
    int fds[CLIENTS];

    limits.target_lag_ms = 1000;
    CHECK(bench_start(&bench, &limits));
    int first = dial(&bench, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/known")));
        CHECK(hear_answer(fds[i], false, &answer));
    }
    CHECK(say(first, GET("/slow"))); /* meanwhile the others ask */
    for (size_t i = 0; i < CLIENTS; i++) {
        for (int j = 0; j < REQUESTS; j++) {
            CHECK(say(fds[i], GET("/admit")));
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        for (int j = 0; j < REQUESTS; j++) {
            CHECK(hear_answer(fds[i], false, &answer));
        }
        close(fds[i]);
    }
    CHECK(stats_sum(bench.stats, STATS_HTTP_OVER_LAG) > 0);
    CHECK(stats_sum(bench.stats, STATS_HTTP_OVER_LAG) < REQUESTS * CLIENTS);
    CHECK_INT(ask(&bench, GET("/admit"), &answer), 200);
    CHECK_TEXT(answer.body, "0");
    close(first);
    CHECK(bench_stop(&bench));
}

static void
a_late_answer_may_have_a_time_of_its_own(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;

    limits.answer_timeout_ms = PATIENCE_MS;
    limits.keepalive_timeout_ms = PATIENCE_MS;
    CHECK(bench_start(&bench, &limits));
    int slow = dial(&bench, 0);
    int quick = dial(&bench, 0);
    uint64_t begin_ms = clock_mono_ms();
    CHECK(say(slow, GET("/late-300")));
    CHECK(wait_for_counter(&bench, STATS_HTTP_WAITING, 1));
    CHECK(say(quick, GET("/late-20") GET("/next")));
    CHECK(hear_answer(quick, false, &answer));
    CHECK_INT(answer.status, 504);
    CHECK(clock_mono_ms() - begin_ms >= 19);
    CHECK(hear_answer(quick, false, &answer));
    CHECK_TEXT(answer.body, "/next");
    CHECK(hear_answer(slow, false, &answer));
    CHECK_INT(answer.status, 504);
    CHECK(clock_mono_ms() - begin_ms >= 299);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_LATE_TIMEOUT), 2);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_WAITING), 0);
    close(slow);
    close(quick);
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    TAP_RUN(a_client_has_so_many_connections_and_the_next_hears_429);
    TAP_RUN(bytes_of_all_connections_have_a_bound);
    TAP_RUN(bytes_of_one_client_have_a_bound);
    TAP_RUN(answers_that_nobody_takes_have_a_bound);
    TAP_RUN(requests_that_wait_are_counted_for_all_and_for_each_client);
    TAP_RUN(what_has_waited_too_long_is_told_so);
    TAP_RUN(a_turn_takes_on_so_many_requests);
    TAP_RUN(a_late_answer_may_have_a_time_of_its_own);
    return tap_done();
}
