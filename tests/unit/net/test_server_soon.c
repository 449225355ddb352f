/* SPDX-License-Identifier: MIT */
/* test_server_soon.c - answers at the end of a turn of the loop: which requests share a turn, and
 * that each connection gets its answers in the order of its requests. The bench answers the last
 * request of a turn first. */
#include "server_bench.h"

#define POST_SOON "POST /soon HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

static void
hear_text(int fd, const char *want)
{
    struct answer answer;

    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, want);
}

/* Until the next command the server reads nothing. */
static bool
pause_server(struct bench *bench)
{
    bool is_told = bench_command(bench, 'p');

    for (int i = 0; is_told && i < PATIENCE_MS && !bench->is_paused; i++) {
        poll(NULL, 0, 1);
    }
    return bench->is_paused;
}

static void
a_request_alone_is_answered_at_the_end_of_its_turn(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(say(fd, GET("/soon")));
        hear_text(fd, "soon 0 of 1");
    }
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_LATE_ANSWERED), 3);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
what_is_pipelined_is_answered_together_and_in_order(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/one") GET("/soon") GET("/soon") GET("/two") POST_SOON GET("/three")));
    hear_text(fd, "/one");
    hear_text(fd, "soon 0 of 3");
    hear_text(fd, "soon 1 of 3");
    hear_text(fd, "/two");
    hear_text(fd, "soon 2 of 3");
    hear_text(fd, "/three");
    CHECK(say(fd, GET("/soon") GET("/soon")));
    hear_text(fd, "soon 0 of 2");
    hear_text(fd, "soon 1 of 2");
    close(fd);
    CHECK(bench_stop(&bench));
}

/* A part of a request behind them stays a part of it. */
static void
what_has_not_arrived_whole_is_not_waited_for(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/soon") GET("/soon") "POST /soon HTTP/1.1\r\nHost: a\r\n"
                                            "Content-Length: 5\r\n\r\nhe"));
    hear_text(fd, "soon 0 of 2");
    hear_text(fd, "soon 1 of 2");
    CHECK(say(fd, "llo" GET("/soon") "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                     "Transfer-Encoding: chunked\r\n\r\n5\r\nwo"));
    hear_text(fd, "soon 0 of 2");
    hear_text(fd, "soon 1 of 2");
    CHECK(say(fd, "rld\r\n0\r\n\r\n" GET("/end")));
    hear_text(fd, "world");
    hear_text(fd, "/end");
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
the_last_request_of_a_connection_ends_it(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/soon") "GET /soon HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET(
                      "/soon")));
    hear_text(fd, "soon 0 of 2");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "soon 1 of 2");
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK(hears_end(fd));
    close(fd);
    /* And one that nobody could read, behind two that wait. */
    fd = dial(&bench, 0);
    CHECK(say(fd, GET("/soon") GET("/soon") "NONSENSE\r\n\r\n"));
    hear_text(fd, "soon 0 of 2");
    hear_text(fd, "soon 1 of 2");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 400);
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
an_answer_that_comes_much_later_does_not_keep_those_before_it(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/soon") GET("/soon") GET("/late") GET("/soon")));
    hear_text(fd, "soon 0 of 2");
    hear_text(fd, "soon 1 of 2");
    CHECK(bench_command(&bench, 'l'));
    hear_text(fd, "late 0");
    hear_text(fd, "soon 0 of 1");
    close(fd);
    CHECK(bench_stop(&bench));
}

/* While the server looks away, all of them become readable. */
static void
connections_that_are_readable_together_are_answered_together(void)
{
    enum { CLIENTS = 20, PIPELINED = CLIENTS / 2 };
    struct bench bench;
    int fds[CLIENTS];
    unsigned together = 0;
    char want[32];

    CHECK(bench_start(&bench, &usual));
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/hello")));
        hear_text(fds[i], "/hello");
    }
    CHECK(pause_server(&bench));
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK(say(fds[i], GET("/soon")));
    }
    CHECK(bench_command(&bench, 'l'));
    snprintf(want, sizeof(want), " of %u", CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct answer answer;
        CHECK(hear_answer(fds[i], false, &answer));
        together += strstr(answer.body, want) != NULL ? 1 : 0;
    }
    CHECK_INT(together, CLIENTS);
    CHECK_INT(bench.coming, 0);
    /* One of them pipelines: what has been read before goes with it. */
    CHECK(pause_server(&bench));
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK(say(fds[i], i == PIPELINED ? GET("/soon") GET("/soon") : GET("/soon")));
    }
    CHECK(bench_command(&bench, 'l'));
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct answer answer;
        CHECK(hear_answer(fds[i], false, &answer));
        CHECK_CONTAINS(answer.body, "soon ");
        if (i == PIPELINED) {
            CHECK(hear_answer(fds[i], false, &answer));
            CHECK_CONTAINS(answer.body, "soon ");
        }
        close(fds[i]);
    }
    CHECK(bench_stop(&bench));
}

static void
a_handler_is_told_how_much_there_is_to_come(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK_INT(ask(&bench, GET("/coming"), &answer), 200);
    CHECK_TEXT(answer.body, "0");
    CHECK(say(fd, "POST /coming HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET("/x")
                      GET("/x")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK(strcmp(answer.body, "0") != 0);
    hear_text(fd, "/x");
    hear_text(fd, "/x");
    close(fd);
    CHECK(bench_stop(&bench));
}

/* Their tickets are void, and the others get theirs. */
static void
clients_that_leave_harm_nobody(void)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct bench bench;
    struct answer answer;
    int fds[4];

    CHECK(bench_start(&bench, &usual));
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = dial(&bench, 0);
        CHECK(say(fds[i], GET("/hello")));
        hear_text(fds[i], "/hello");
    }
    CHECK(pause_server(&bench));
    for (unsigned i = 0; i < 4; i++) {
        CHECK(say(fds[i], GET("/soon")));
    }
    setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fds[0]);
    close(fds[1]);
    CHECK(bench_command(&bench, 'l'));
    for (unsigned i = 2; i < 4; i++) {
        CHECK(hear_answer(fds[i], false, &answer));
        CHECK_CONTAINS(answer.body, "soon ");
        close(fds[i]);
    }
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    TAP_RUN(a_request_alone_is_answered_at_the_end_of_its_turn);
    TAP_RUN(what_is_pipelined_is_answered_together_and_in_order);
    TAP_RUN(what_has_not_arrived_whole_is_not_waited_for);
    TAP_RUN(the_last_request_of_a_connection_ends_it);
    TAP_RUN(an_answer_that_comes_much_later_does_not_keep_those_before_it);
    TAP_RUN(connections_that_are_readable_together_are_answered_together);
    TAP_RUN(a_handler_is_told_how_much_there_is_to_come);
    TAP_RUN(clients_that_leave_harm_nobody);
    return tap_done();
}
