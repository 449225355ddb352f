/* SPDX-License-Identifier: MIT */
/* test_server.c - what the HTTP server says on the wire. */
#include "server_bench.h"

#include <sched.h>

static void
an_answer_has_date_type_and_length(void)
{
    struct bench bench;
    struct answer answer;
    char date[CLOCK_HTTP_BYTES];

    CHECK(bench_start(&bench, &usual));
    CHECK_INT(ask(&bench, GET("/hello?x=1"), &answer), 200);
    clock_to_http(clock_wall_ms(), date);
    CHECK(strncmp(answer.head, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0);
    /* Day, month and year: the second may have changed. */
    CHECK(memcmp(answer.head + 23, date, 16) == 0);
    CHECK_CONTAINS(answer.head, " GMT\r\nServer: augury\r\n");
    CHECK_CONTAINS(answer.head, "Content-Type: application/json\r\nContent-Length: 6\r\n\r\n");
    CHECK(strstr(answer.head, "Connection") == NULL);
    CHECK_TEXT(answer.body, "/hello");
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REQUESTS_2XX), 1);
    CHECK(stats_sum(bench.stats, STATS_HTTP_BYTES_IN) == strlen(GET("/hello?x=1")));
    CHECK(bench_stop(&bench));
}

static void
pipelined_requests_are_answered_in_order(void)
{
    enum { REQUESTS = 3000 };
    struct bench bench;
    struct answer answer;
    static char text[REQUESTS * 64];
    char want[32];
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    for (int i = 0; i < REQUESTS; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, GET("/n/%d"), i);
    }
    CHECK(say_bytes(fd, text, len));
    for (int i = 0; i < REQUESTS; i++) {
        CHECK(hear_answer(fd, false, &answer));
        snprintf(want, sizeof(want), "/n/%d", i);
        CHECK_TEXT(answer.body, want);
    }
    close(fd);
    CHECK(bench_stop(&bench));
}

/* The same bytes in pieces of every size from 1 to 64. */
static void
how_bytes_are_cut_does_not_matter(void)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "6\r\nhello \r\n3;x=y\r\nall\r\n0\r\nT: v\r\n\r\n" GET("/end");
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    for (size_t piece = 1; piece <= 64; piece++) {
        int fd = dial(&bench, 0);
        for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
            size_t left = sizeof(text) - 1 - at;
            CHECK(say_bytes(fd, text + at, left < piece ? left : piece));
            if (piece < 8 && at % 5 == 0) {
                sched_yield();
            }
        }
        CHECK(hear_answer(fd, false, &answer));
        CHECK_TEXT(answer.body, "hello world");
        CHECK(hear_answer(fd, false, &answer));
        CHECK_TEXT(answer.body, "hello all");
        CHECK(hear_answer(fd, false, &answer));
        CHECK_TEXT(answer.body, "/end");
        close(fd);
    }
    CHECK(bench_stop(&bench));
}

static void
a_body_as_large_as_the_limit_arrives_whole(void)
{
    static uint8_t body[1 << 20];
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(1 + i * 7 % 255);
    }
    int fd = dial(&bench, 0);
    CHECK(say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"));
    CHECK(say_bytes(fd, body, sizeof(body)));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.body_len, sizeof(body));
    CHECK(memcmp(answer.body, body, sizeof(body)) == 0);

    CHECK(
        say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"));
    CHECK(say_bytes(fd, body, sizeof(body)));
    CHECK(say(fd, "\r\n0\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.body_len, sizeof(body));
    CHECK(memcmp(answer.body, body, sizeof(body)) == 0);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
head_and_answers_without_content_have_no_body(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/none") GET("/same") GET("/end")));
    CHECK(hear_answer(fd, true, &answer));
    CHECK_CONTAINS(answer.head, "Content-Length: 6\r\n");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 204);
    CHECK(strstr(answer.head, "Content-") == NULL);
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 304);
    CHECK_CONTAINS(answer.head, "ETag: \"x\"\r\n");
    CHECK(strstr(answer.head, "Content-") == NULL);
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/end");
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
an_expectation_is_met_before_the_body_is_read(void)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(
        fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.head, go_on);
    CHECK(say(fd, "hello"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "hello");
    CHECK(say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                  "Expect: 100-continue\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.head, go_on);
    CHECK(say(fd, "1\r\n"));
    CHECK(say(fd, "x\r\n0\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "x");
    close(fd);
    CHECK_INT(
        ask(&bench,
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n",
            &answer),
        413);
    CHECK_INT(ask(&bench, "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", &answer), 417);
    CHECK(bench_stop(&bench));
}

static void
a_refusal_is_json_and_ends_the_connection(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/ok") "GET / HTTP/1.1\r\nHost : a\r\n\r\n" GET("/never")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/ok");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 400);
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK_CONTAINS(answer.head, "Content-Type: application/json\r\n");
    CHECK_TEXT(answer.body,
               "{\"error\":\"a field is a name of token characters, then at once a colon\","
               "\"code\":\"bad_field\",\"at\":\"byte 20\"}");
    CHECK(hears_end(fd));
    close(fd);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_FRAMING), 1);
    CHECK(bench_stop(&bench));
}

/* The client has not even begun to read when the refusal is sent, and still gets it; nor does
 * sending fail, after which most clients would not look for an answer. */
static void
ten_megabytes_of_header_get_431(void)
{
    static char junk[64 * 1024];
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    memset(junk, 'x', sizeof(junk));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "GET / HTTP/1.1\r\nHost: a\r\nX: "));
    for (int i = 0; i < 160; i++) {
        CHECK(say_bytes(fd, junk, sizeof(junk)));
    }
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 431);
    close(fd);
    CHECK_INT(ask(&bench, GET("/still-here"), &answer), 200);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_LIMIT), 1);
    CHECK(bench_stop(&bench));
}

static void
a_large_answer_waits_for_a_small_window(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 4096);
    CHECK(say(fd, GET("/big") GET("/after") GET("/big")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.body_len, BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) {
        CHECK((uint8_t)answer.body[i] == big_byte(i));
    }
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/after");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.body_len, BIG_BYTES);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
a_half_closed_client_gets_its_answers(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/a") GET("/b")));
    CHECK_INT(shutdown(fd, SHUT_WR), 0);
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/a");
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, "/b");
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
connection_options_are_honoured(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: keep-alive\r\n");
    CHECK(say(fd, "GET / HTTP/1.0\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK(hears_end(fd));
    close(fd);
    fd = dial(&bench, 0);
    CHECK(say(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK(hears_end(fd));
    close(fd);
    fd = dial(&bench, 0);
    CHECK(say(fd, GET("/close") GET("/never")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.head, "Connection: close\r\n");
    CHECK(hears_end(fd));
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
an_answer_over_the_bound_becomes_500(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    CHECK_INT(ask(&bench, GET("/overflow"), &answer), 500);
    CHECK_CONTAINS(answer.body, "answer_too_large");
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REQUESTS_5XX), 1);
    CHECK(bench_stop(&bench));
}

static void
a_handler_knows_who_asks(void)
{
    struct sockaddr_in me;
    socklen_t len = sizeof(me);
    struct bench bench;
    struct answer answer;
    char want[64];

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&me, &len), 0);
    snprintf(want, sizeof(want), "public 127.0.0.1 %d", ntohs(me.sin_port));
    CHECK(say(fd, GET("/peer")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, want);
    close(fd);
    CHECK(bench_stop(&bench));
}

/* A client that pipelines without end does not starve another one. */
static void
a_flood_on_one_connection_leaves_turns_for_others(void)
{
    static char flood[4000 * 32];
    struct bench bench;
    struct answer answer;
    size_t len = 0;

    CHECK(bench_start(&bench, &usual));
    for (int i = 0; i < 4000; i++) {
        len += (size_t)snprintf(flood + len, sizeof(flood) - len, GET("/"));
    }
    int fd = dial(&bench, 0);
    CHECK(say_bytes(fd, flood, len));
    uint64_t begin_ms = clock_mono_ms();
    CHECK_INT(ask(&bench, GET("/other"), &answer), 200);
    CHECK(clock_mono_ms() - begin_ms < 1000);
    for (int i = 0; i < 4000; i++) {
        CHECK(hear_answer(fd, false, &answer));
    }
    close(fd);
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    TAP_RUN(an_answer_has_date_type_and_length);
    TAP_RUN(pipelined_requests_are_answered_in_order);
    TAP_RUN(how_bytes_are_cut_does_not_matter);
    TAP_RUN(a_body_as_large_as_the_limit_arrives_whole);
    TAP_RUN(head_and_answers_without_content_have_no_body);
    TAP_RUN(an_expectation_is_met_before_the_body_is_read);
    TAP_RUN(a_refusal_is_json_and_ends_the_connection);
    TAP_RUN(ten_megabytes_of_header_get_431);
    TAP_RUN(a_large_answer_waits_for_a_small_window);
    TAP_RUN(a_half_closed_client_gets_its_answers);
    TAP_RUN(connection_options_are_honoured);
    TAP_RUN(an_answer_over_the_bound_becomes_500);
    TAP_RUN(a_handler_knows_who_asks);
    TAP_RUN(a_flood_on_one_connection_leaves_turns_for_others);
    return tap_done();
}
