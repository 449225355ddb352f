/* SPDX-License-Identifier: MIT */
/* test_server_stream.c - answers in pieces: their framing, clients that do not read, ends of every
 * kind. */
#include "server_bench.h"

static char text[1 << 20];

/* The chunks that follow a head, read by the rules of RFC 9112 7.1; false: cut off. */
static bool
hear_chunks(int fd, size_t *out_len)
{
    size_t len = 0;

    for (;;) {
        char line[32] = "";
        size_t at = 0;
        while (at < 2 || line[at - 1] != '\n') {
            if (at + 1 >= sizeof(line) || hear(fd, line + at, 1) != 1) {
                return false;
            }
            at++;
        }
        size_t chunk = strtoul(line, NULL, 16);
        for (size_t got = 0; got < chunk + 2;) {
            ssize_t n = hear(fd, text + len + got, chunk + 2 - got);
            if (n <= 0) {
                return false;
            }
            got += (size_t)n;
        }
        if (memcmp(text + len + chunk, "\r\n", 2) != 0) {
            return false;
        }
        len += chunk;
        text[len] = '\0';
        if (chunk == 0) {
            *out_len = len;
            return true;
        }
    }
}

static bool
nothing_is_open(struct bench *bench)
{
    for (int i = 0; i < PATIENCE_MS && bench->streams_open != 0; i++) {
        poll(NULL, 0, 1);
    }
    return bench->streams_open == 0;
}

static void
pieces_are_chunks_and_the_connection_goes_on(void)
{
    static const char *const wants[] = {"pieces of ", "pieces of bbbcccddd", "pieces of "};
    struct bench bench;
    struct answer answer;
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/pieces?count=0&bytes=3") GET("/pieces?count=3&bytes=3")
                      GET("/pieces?count=3&bytes=0") GET("/after")));
    for (size_t i = 0; i < AUGURY_COUNT(wants); i++) {
        CHECK(hear_answer(fd, true, &answer));
        CHECK_INT(answer.status, 200);
        CHECK_CONTAINS(answer.head, "\r\nTransfer-Encoding: chunked\r\n");
        CHECK(strstr(answer.head, "Content-Length") == NULL);
        CHECK(hear_chunks(fd, &len));
        CHECK_TEXT(text, wants[i]);
    }
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/after");
    CHECK_INT(bench.streams_open, 0);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_STREAMS_BEGUN), 3);
    close(fd);
    CHECK(bench_stop(&bench));
}

/* RFC 9112 6.1: no chunked coding for HTTP/1.0, whose answers may end with the connection. */
static void
http_1_0_reads_until_the_end(void)
{
    static const char *const requests[] = {
        "GET /pieces?count=2&bytes=4 HTTP/1.0\r\n\r\n",
        "GET /pieces?count=2&bytes=4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"};
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    for (size_t i = 0; i < AUGURY_COUNT(requests); i++) {
        int fd = dial(&bench, 0);
        CHECK(say(fd, requests[i]));
        CHECK(hear_answer(fd, true, &answer));
        CHECK_CONTAINS(answer.head, "\r\nConnection: close\r\n");
        CHECK(strstr(answer.head, "chunked") == NULL && strstr(answer.head, "-Length") == NULL);
        size_t len = 0;
        for (ssize_t n = 1; n > 0; len += n > 0 ? (size_t)n : 0) {
            n = hear(fd, text + len, sizeof(text) - len);
        }
        text[len] = '\0';
        CHECK_TEXT(text, "pieces of bbbbcccc");
        close(fd);
    }
    CHECK(nothing_is_open(&bench));
    CHECK(bench_stop(&bench));
}

static void
an_end_is_said_and_kept(void)
{
    struct bench bench;
    struct answer answer;
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "GET /pieces?count=9&bytes=9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    CHECK(hear_answer(fd, true, &answer));
    CHECK_CONTAINS(answer.head, "\r\nConnection: close\r\n");
    CHECK(hear_chunks(fd, &len));
    CHECK_INT(len, 10 + 81);
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
}

/* What the sockets' buffers take is made, and a piece more; others are served meanwhile. */
static void
a_client_that_does_not_read_costs_a_piece(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct answer answer;

    limits.send_timeout_ms = 500;
    CHECK(bench_start(&bench, &limits));
    int fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/pieces?count=4000000&bytes=60000")));
    CHECK(hear_answer(fd, true, &answer));
    for (unsigned i = 0; i < 50; i++) {
        CHECK_INT(ask(&bench, GET("/other"), &answer), 200);
    }
    CHECK(nothing_is_open(&bench)); /* cut at the deadline */
    CHECK(bench.pieces_made > 0 && bench.pieces_made < 1000);
    close(fd);
    CHECK(bench_stop(&bench));
}

/* A slow one that does read gets all of it: the time is for each piece. */
static void
a_slow_client_gets_all_of_it(void)
{
    struct bench bench;
    struct answer answer;
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/pieces?count=14&bytes=70000") GET("/after")));
    CHECK(hear_answer(fd, true, &answer));
    poll(NULL, 0, 20);
    CHECK(hear_chunks(fd, &len));
    CHECK_INT(len, 10 + 14 * 70000);
    CHECK(text[10] == 'b' && text[len - 1] == 'o');
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/after");
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
what_fails_is_cut_without_a_last_chunk(void)
{
    struct bench bench;
    struct answer answer;
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/pieces?count=5&bytes=5&cut=3") GET("/never")));
    CHECK(hear_answer(fd, true, &answer));
    CHECK(!hear_chunks(fd, &len));
    CHECK_TEXT(text, "pieces of bbbbbccccc");
    CHECK(nothing_is_open(&bench));
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_STREAMS_CUT), 1);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
a_late_answer_may_come_in_pieces(void)
{
    struct bench bench;
    struct answer answer;
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    bench.is_late_in_pieces = true;
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/late") GET("/after")));
    for (int i = 0; i < PATIENCE_MS && bench.late_count == 0; i++) {
        poll(NULL, 0, 1);
    }
    CHECK(bench_command(&bench, 'l'));
    CHECK(hear_answer(fd, true, &answer));
    CHECK_INT(answer.status, 203);
    CHECK(hear_chunks(fd, &len));
    CHECK_TEXT(text, "pieces of bbbccc");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/after");
    close(fd);
    CHECK(bench_stop(&bench));
}

/* Answers that wait for the end of the turn stand before it: it is made whole, in its place. */
static void
among_answers_of_one_turn_it_is_whole(void)
{
    static const char *const wants[] = {"soon 0 of 2", "pieces of bbbccc", "soon 1 of 2", "/after"};
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/soon") GET("/pieces?count=2&bytes=3") GET("/soon") GET("/after")));
    for (size_t i = 0; i < AUGURY_COUNT(wants); i++) {
        CHECK(hear_answer(fd, false, &answer));
        CHECK_TEXT(answer.body, wants[i]);
    }
    CHECK_INT(bench.streams_open, 0);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
clients_that_leave_and_a_server_that_ends_give_back_what_is_held(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    for (int i = 0; i < 5; i++) {
        struct linger reset = {.l_onoff = 1};
        int fd = dial(&bench, 4096);
        CHECK(say(fd, GET("/pieces?count=4000000&bytes=60000")));
        CHECK(hear_answer(fd, true, &answer));
        if (i % 2 == 0) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        }
        close(fd);
    }
    CHECK(nothing_is_open(&bench));
    int fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/pieces?count=4000000&bytes=60000")));
    CHECK(hear_answer(fd, true, &answer));
    CHECK_INT(bench.streams_open, 1);
    CHECK(bench_stop(&bench));
    CHECK_INT(bench.streams_open, 0);
    close(fd);
}

int
main(void)
{
    TAP_RUN(pieces_are_chunks_and_the_connection_goes_on);
    TAP_RUN(http_1_0_reads_until_the_end);
    TAP_RUN(an_end_is_said_and_kept);
    TAP_RUN(a_client_that_does_not_read_costs_a_piece);
    TAP_RUN(a_slow_client_gets_all_of_it);
    TAP_RUN(what_fails_is_cut_without_a_last_chunk);
    TAP_RUN(a_late_answer_may_come_in_pieces);
    TAP_RUN(among_answers_of_one_turn_it_is_whole);
    TAP_RUN(clients_that_leave_and_a_server_that_ends_give_back_what_is_held);
    return tap_done();
}
