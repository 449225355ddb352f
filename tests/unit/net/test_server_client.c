/* SPDX-License-Identifier: MIT */
/* test_server_client.c - whom a connection's requests are from, when a proxy says so and when it
 * may not. /peer answers with what the handler is told. */
#include "server_bench.h"

#define FOUR                                                                                       \
    "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\xcb\x00\x71\x07\x7f\x00\x00" \
    "\x01"                                                                                         \
    "\xdc\x04\x1f\x90"
enum { FOUR_BYTES = 28 };

static bool
start(struct bench *bench, const char *trusted, struct net_listen_options like)
{
    static struct ip_networks networks;

    like.trusted = &networks;
    return ip_networks_parse(trusted, &networks, NULL) == 0 &&
           bench_start_like(bench, &usual, NULL, &like);
}

static void
check_peer(int fd, const char *want)
{
    struct answer answer;

    CHECK(hear_answer(fd, false, &answer));
    CHECK_TEXT(answer.body, want);
}

static void
a_proxys_header_is_taken_off_however_it_was_cut(void)
{
    static const char input[] = FOUR GET("/peer");
    struct bench bench;

    CHECK(start(&bench, "127.0.0.0/8", (struct net_listen_options){.has_proxy_protocol = true}));
    for (size_t cut = 0; cut <= FOUR_BYTES + 1; cut++) {
        int fd = dial(&bench, 0);
        CHECK(say_bytes(fd, input, cut));
        CHECK(say_bytes(fd, input + cut, sizeof(input) - 1 - cut));
        check_peer(fd, "public 203.0.113.7 56324");
        CHECK(say(fd, GET("/peer")));
        check_peer(fd, "public 203.0.113.7 56324");
        close(fd);
    }
    CHECK(wait_for_counter(&bench, STATS_PROXY_READ, FOUR_BYTES + 2));
    CHECK(bench_stop(&bench));
}

static void
a_line_and_a_proxys_own_check_are_headers_too(void)
{
    struct bench bench;

    CHECK(start(&bench, "127.0.0.1", (struct net_listen_options){.has_proxy_protocol = true}));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "PROXY TCP6 2001:db8::7 ::1 5 8080\r\n" GET("/peer")));
    check_peer(fd, "public 2001:db8::7 5");
    close(fd);
    fd = dial(&bench, 0);
    CHECK(say(fd, "PROXY UNKNOWN\r\n" GET("/none")));
    struct answer answer;
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 204);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
what_is_no_header_ends_the_connection_without_an_answer(void)
{
    static const char *const bad[] = {GET("/peer"), "PROXY TCP4 nobody\r\n", "\x16\x03\x01",
                                      "\r\n\r\nGET / HTTP/1.1\r\n"};
    struct bench bench;

    CHECK(start(&bench, "127.0.0.1", (struct net_listen_options){.has_proxy_protocol = true}));
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        int fd = dial(&bench, 0);
        char byte;
        CHECK(say(fd, bad[i]));
        CHECK(hear(fd, &byte, 1) <= 0); /* a reset, where the server has left bytes unread */
        close(fd);
    }
    CHECK(wait_for_counter(&bench, STATS_PROXY_MALFORMED, AUGURY_COUNT(bad)));
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REQUESTS_2XX), 0);
    CHECK(bench_stop(&bench));
}

static void
who_is_not_trusted_is_not_let_in_by_a_header(void)
{
    struct bench bench;

    CHECK(
        start(&bench, "192.0.2.1, unix:", (struct net_listen_options){.has_proxy_protocol = true}));
    int fd = dial(&bench, 0);
    CHECK(hears_end(fd));
    close(fd);
    CHECK(wait_for_counter(&bench, STATS_PROXY_UNTRUSTED, 1));
    CHECK(bench_stop(&bench));
}

static void
a_trusted_peers_header_names_the_client_of_each_request(void)
{
    struct bench bench;

    CHECK(
        start(&bench, "127.0.0.1", (struct net_listen_options){.forwarded = HTTP_X_FORWARDED_FOR}));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "GET /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n\r\n"
                  "POST /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.8\r\n"
                  "Content-Length: 4\r\n\r\nab"));
    struct answer answer;
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.body, "public 203.0.113.7 ");
    CHECK(say(fd, "cd"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.body, "public 203.0.113.8 ");
    CHECK(say(fd, GET("/peer")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.body, "public 127.0.0.1 ");
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
anybody_elses_header_is_not_looked_at(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(start(&bench, "10.0.0.0/8", (struct net_listen_options){.forwarded = HTTP_FORWARDED}));
    int fd = dial(&bench, 0);
    CHECK(say(fd, "GET /peer HTTP/1.1\r\nHost: a\r\nForwarded: for=203.0.113.7\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_CONTAINS(answer.body, "public 127.0.0.1 ");
    close(fd);
    CHECK(bench_stop(&bench));
}

int
main(void)
{
    TAP_RUN(a_proxys_header_is_taken_off_however_it_was_cut);
    TAP_RUN(a_line_and_a_proxys_own_check_are_headers_too);
    TAP_RUN(what_is_no_header_ends_the_connection_without_an_answer);
    TAP_RUN(who_is_not_trusted_is_not_let_in_by_a_header);
    TAP_RUN(a_trusted_peers_header_names_the_client_of_each_request);
    TAP_RUN(anybody_elses_header_is_not_looked_at);
    return tap_done();
}
