/* SPDX-License-Identifier: MIT */
/*
 * test_server.c - the HTTP server over real sockets on the loopback interface: the server runs in a thread of its own,
 * the test is its client. Timeouts are short and always polled for, never slept through.
 */
#include "augury/net.h"

#include "../../tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000, BIG_BYTES = 8 * 1024 * 1024 };

/* ---- the server under test ------------------------------------------------------------------------ */

struct bench {
    struct net_loop *loop;
    struct net_server *server;
    struct net_watch *commands;
    void *board;
    struct net_share *share; /* may be NULL */
    struct stats *stats;
    int listen_fd;
    int command_fds[2];
    uint16_t port;
    uint32_t drain_limit_ms;
    bool is_drained;
    pthread_t thread;
};

static const struct net_limits usual = {
    .http = {.head_bytes = 16384, .target_bytes = 8192, .headers = 100, .body_bytes = 1 << 20},
    .header_timeout_ms = 3000,
    .body_timeout_ms = 3000,
    .send_timeout_ms = 3000,
    .keepalive_timeout_ms = 3000,
    .connections = 2000,
};

static uint8_t
big_byte(size_t i)
{
    return (uint8_t)('a' + i % 23);
}

/* Fixed routes, so that each test sees one thing. */
static void
handle(void *arg, const struct http_request *request, struct bytes body,
       const struct net_peer *peer, struct net_answer *answer)
{
    (void)arg;
    if (bytes_equal_text(request->path, "/echo")) {
        answer->content_type = "application/octet-stream";
        buf_put_bytes(answer->body, body);
    } else if (bytes_equal_text(request->path, "/big")) {
        uint8_t *room = buf_reserve(answer->body, BIG_BYTES);
        for (size_t i = 0; i < BIG_BYTES && room != NULL; i++) {
            room[i] = big_byte(i);
        }
        buf_commit(answer->body, room == NULL ? 0 : BIG_BYTES);
    } else if (bytes_equal_text(request->path, "/none")) {
        answer->status = 204;
    } else if (bytes_equal_text(request->path, "/same")) {
        answer->status = 304;
        buf_put_text(answer->headers, "ETag: \"x\"\r\n");
        buf_put_text(answer->body, "never sent");
    } else if (bytes_equal_text(request->path, "/close")) {
        answer->is_closing = true;
    } else if (bytes_equal_text(request->path, "/overflow")) {
        for (int i = 0; i < 10000; i++) {
            buf_put_text(answer->headers, "X-Many: fields\r\n");
        }
    } else if (bytes_equal_text(request->path, "/peer")) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)peer->address;
        buf_printf(answer->body, "%s %d", peer->listener, ntohs(in4->sin_port));
    } else {
        buf_put_bytes(answer->body, request->path);
    }
}

static void
on_drained(void *arg)
{
    struct bench *bench = arg;

    bench->is_drained = true;
    net_loop_stop(bench->loop);
}

static void
on_command(void *arg, int fd, enum net_watch_what what)
{
    struct bench *bench = arg;
    char command = 0;

    (void)what;
    if (read(fd, &command, 1) == 1 && command == 'd') {
        net_server_drain(bench->server, bench->drain_limit_ms, on_drained, bench);
    } else {
        net_loop_stop(bench->loop);
    }
}

static void *
run(void *arg)
{
    struct bench *bench = arg;

    return net_loop_run(bench->loop) == 0 ? bench : NULL;
}

static bool
bench_start_shared(struct bench *bench, const struct net_limits *limits, struct net_share *share)
{
    char address[64];
    uint64_t port = 0;

    *bench = (struct bench){.board = shm_map(stats_bytes()), .share = share};
    bench->stats = stats_attach(bench->board);
    if (net_listener_open("127.0.0.1:0", 2048, &bench->listen_fd, NULL) != 0 ||
        net_address_of(bench->listen_fd, address, sizeof(address)) != 0 ||
        bytes_to_u64(bytes_of_text(strrchr(address, ':') + 1), 65535, &port) != 0 ||
        pipe(bench->command_fds) != 0 || net_loop_new(&bench->loop, NULL) != 0) {
        return false;
    }
    bench->port = (uint16_t)port;
    struct net_server_options options = {.loop = bench->loop,
                                         .limits = *limits,
                                         .handler = handle,
                                         .handler_arg = bench,
                                         .stats = stats_slot(bench->stats, 0),
                                         .share = bench->share};
    return net_server_new(&options, &bench->server, NULL) == 0 &&
           net_server_listen(bench->server, bench->listen_fd, "public", NULL) == 0 &&
           net_watch_new(bench->loop, bench->command_fds[0], NET_WATCH_READ, on_command, bench,
                         &bench->commands) == 0 &&
           pthread_create(&bench->thread, NULL, run, bench) == 0;
}

static bool
bench_start(struct bench *bench, const struct net_limits *limits)
{
    return bench_start_shared(bench, limits, NULL);
}

static bool
bench_command(struct bench *bench, char command)
{
    return write(bench->command_fds[1], &command, 1) == 1;
}

/* Ends the thread (unless a drain does) and frees all. False: the loop failed. */
static bool
bench_stop(struct bench *bench)
{
    void *result = NULL;

    if (bench->drain_limit_ms == 0) {
        (void)bench_command(bench, 'q');
    }
    pthread_join(bench->thread, &result);
    net_watch_free(&bench->commands);
    net_server_free(&bench->server);
    net_loop_free(&bench->loop);
    close(bench->listen_fd);
    close(bench->command_fds[0]);
    close(bench->command_fds[1]);
    shm_unmap(&bench->board, stats_bytes());
    return result != NULL;
}

static bool
wait_for_counter(const struct bench *bench, enum stats_id id, uint64_t value)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (stats_sum(bench->stats, id) == value) {
            return true;
        }
        poll(NULL, 0, 1);
    }
    return false;
}

/* ---- the client ----------------------------------------------------------------------------------- */

static int
dial(const struct bench *bench, int receive_bytes)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(bench->port)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* pieces travel as they are sent */
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (receive_bytes > 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    }
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool
say_bytes(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool
say(int fd, const char *text)
{
    return say_bytes(fd, text, strlen(text));
}

/* Up to max bytes, within the patience. 0: end of file; -1: nothing came, or a reset. */
static ssize_t
hear(int fd, void *out, size_t max)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, PATIENCE_MS) == 1 ? recv(fd, out, max, 0) : -1;
}

struct answer {
    unsigned status;
    size_t body_len;
    char head[2048];
    char *body; /* NUL-terminated; static memory of the last answer */
};

/* Reads one answer by the rules of RFC 9112, written here apart from the server. */
static bool
hear_answer(int fd, bool is_head_only, struct answer *out)
{
    static char body[BIG_BYTES + 1];
    size_t len = 0;

    while (len < 4 || memcmp(out->head + len - 4, "\r\n\r\n", 4) != 0) {
        if (len + 1 >= sizeof(out->head) || hear(fd, out->head + len, 1) != 1) {
            return false;
        }
        len++;
    }
    out->head[len] = '\0';
    out->status = (unsigned)strtoul(out->head + 9, NULL, 10);
    const char *length = strstr(out->head, "Content-Length: ");
    out->body_len = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
    out->body = body;
    size_t got = 0;
    while (!is_head_only && got < out->body_len) {
        ssize_t n = hear(fd, body + got, out->body_len - got);
        if (n <= 0) {
            return false;
        }
        got += (size_t)n;
    }
    body[got] = '\0';
    return true;
}

static bool
hears_end(int fd)
{
    char byte;

    return hear(fd, &byte, 1) == 0;
}

/* One request on a connection of its own; the answer's status, or 0. */
static unsigned
ask(const struct bench *bench, const char *request, struct answer *out)
{
    int fd = dial(bench, 0);
    bool is_good = fd >= 0 && say(fd, request) && hear_answer(fd, false, out);

    close(fd);
    return is_good ? out->status : 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- tests ---------------------------------------------------------------------------------------- */

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

/* The client has not even begun to read when the refusal is sent, and still gets it. */
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
    for (int i = 0; i < 160 && say_bytes(fd, junk, sizeof(junk)); i++) {
    }
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 431);
    close(fd);
    CHECK_INT(ask(&bench, GET("/still-here"), &answer), 200);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_REFUSED_LIMIT), 1);
    CHECK(bench_stop(&bench));
}

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
    /* Both ends are this process: the client's end takes the last descriptor, so the server has none. */
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
    snprintf(want, sizeof(want), "public %d", ntohs(me.sin_port));
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
    TAP_RUN(an_answer_has_date_type_and_length);
    TAP_RUN(pipelined_requests_are_answered_in_order);
    TAP_RUN(how_bytes_are_cut_does_not_matter);
    TAP_RUN(a_body_as_large_as_the_limit_arrives_whole);
    TAP_RUN(head_and_answers_without_content_have_no_body);
    TAP_RUN(an_expectation_is_met_before_the_body_is_read);
    TAP_RUN(a_refusal_is_json_and_ends_the_connection);
    TAP_RUN(ten_megabytes_of_header_get_431);
    TAP_RUN(a_slow_request_is_cut_while_others_are_served);
    TAP_RUN(silence_is_answered_by_silence);
    TAP_RUN(a_large_answer_waits_for_a_small_window);
    TAP_RUN(a_client_that_does_not_read_is_cut);
    TAP_RUN(a_half_closed_client_gets_its_answers);
    TAP_RUN(resets_at_any_moment_leave_nothing_behind);
    TAP_RUN(connections_over_the_limit_get_503);
    TAP_RUN(running_out_of_descriptors_is_survived);
    TAP_RUN(connection_options_are_honoured);
    TAP_RUN(an_answer_over_the_bound_becomes_500);
    TAP_RUN(a_handler_knows_who_asks);
    TAP_RUN(a_flood_on_one_connection_leaves_turns_for_others);
    TAP_RUN(a_worker_over_its_share_still_serves);
    TAP_RUN(a_drain_answers_what_it_has_and_then_ends);
    TAP_RUN(a_drain_has_a_limit);
    TAP_RUN(a_drain_without_connections_ends_at_once);
    TAP_RUN(idle_connections_own_no_buffer);
    return tap_done();
}
