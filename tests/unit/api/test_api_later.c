/* SPDX-License-Identifier: MIT */
/*
 * test_api_later.c - calls that are answered after their turn, over real sockets: what they keep of
 * their request, and what happens when the client has gone. The handler here parks every call; a
 * timer answers them once all are there.
 */
#include "../../../src/api/api_call.h"

#include "../../tap.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS_MAX = 8, PATIENCE_MS = 10000 };

struct bench {
    struct net_loop *loop;
    struct net_server *server;
    struct net_timer *timer;
    struct conf *conf;
    struct api *api;
    struct api_later *calls[CALLS_MAX];
    unsigned count, wanted, gone, answered;
    int listen_fd;
    uint16_t port;
};

/* ---- the server under test ------------------------------------------------------------------- */

static void
handle(void *arg, const struct http_request *request, struct bytes body,
       const struct net_peer *peer, struct net_answer *answer)
{
    struct bench *bench = arg;
    struct api_call call;

    (void)body;
    (void)peer;
    api_call_init(&call, bench->api, request, answer);
    call.parameter = bytes_of_text("a parameter");
    api_call_form(&call, bytes_equal_text(request->accept, "application/msgpack") ? WIRE_MSGPACK
                                                                                  : WIRE_JSON);
    bench->calls[bench->count++] = api_call_later(&call);
}

static void
encode(struct api_call *call)
{
    const struct http_request *request = call->request;
    const struct bytes shown[] = {request->path, request->query, call->parameter,
                                  request->if_none_match, request->accept_encoding};

    wire_array(&call->writer, AUGURY_COUNT(shown));
    for (size_t i = 0; i < AUGURY_COUNT(shown); i++) {
        wire_put_string(&call->writer, shown[i]);
    }
    wire_end(&call->writer);
}

static void
on_timer(void *arg)
{
    struct bench *bench = arg;

    if (bench->count < bench->wanted) {
        return;
    }
    for (unsigned i = 0; i < bench->count; i++) {
        struct api_call *call = api_later_begin(bench->api, bench->calls[i]);
        if (call == NULL) {
            bench->gone++;
            api_later_free(&bench->calls[i]);
            continue;
        }
        unsigned status = 200;
        if (bytes_equal_text(call->request->path, "/refused")) {
            status = api_refuse_as(call, 502, "fetch_failed", "it did not work");
        } else {
            encode(call);
        }
        api_later_end(bench->api, &bench->calls[i], status);
        bench->answered++;
    }
    net_loop_stop(bench->loop);
}

static bool
bench_start(struct bench *bench, unsigned wanted, uint32_t answer_timeout_ms)
{
    char address[64];
    uint64_t port = 0;
    struct err err;

    *bench = (struct bench){.wanted = wanted, .conf = calloc(1, sizeof(struct conf))};
    bench->conf->limits.request_memory_bytes = 1 << 20;
    struct api_options api = {.conf = bench->conf, .server = &bench->server};
    if (net_loop_new(&bench->loop, &err) != 0 || api_new(&api, &bench->api, &err) != 0 ||
        net_listener_open("127.0.0.1:0", 16, &bench->listen_fd, &err) != 0 ||
        net_address_of(bench->listen_fd, address, sizeof(address)) != 0 ||
        bytes_to_u64(bytes_of_text(strrchr(address, ':') + 1), 65535, &port) != 0) {
        return false;
    }
    bench->port = (uint16_t)port;
    struct net_server_options options = {
        .loop = bench->loop,
        .limits = {.http = {16384, 8192, 100, 1 << 20},
                   .header_timeout_ms = PATIENCE_MS,
                   .body_timeout_ms = PATIENCE_MS,
                   .send_timeout_ms = PATIENCE_MS,
                   .keepalive_timeout_ms = PATIENCE_MS,
                   .answer_timeout_ms = answer_timeout_ms,
                   .connections = 16},
        .handler = handle,
        .handler_arg = bench,
    };
    struct net_listen_options listen = {.fd = bench->listen_fd, .name = "test"};
    return net_server_new(&options, &bench->server, &err) == 0 &&
           net_server_listen(bench->server, &listen, &err) == 0 &&
           net_timer_new(bench->loop, 5, on_timer, bench, &bench->timer) == 0;
}

static void
bench_stop(struct bench *bench)
{
    net_timer_free(&bench->timer);
    net_server_free(&bench->server);
    api_free(&bench->api);
    net_loop_free(&bench->loop);
    close(bench->listen_fd);
    free(bench->conf);
}

/* ---- the client ------------------------------------------------------------------------------ */

static int
ask(const struct bench *bench, const char *request)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(bench->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0 ||
        send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* What one send brought; the answers here are small. */
static const char *
hear(int fd)
{
    static char text[4096];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&wait, 1, PATIENCE_MS) == 1 ? recv(fd, text, sizeof(text) - 1, 0) : 0;

    text[n > 0 ? n : 0] = '\0';
    close(fd);
    return text;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void
a_later_call_keeps_what_its_encoding_needs(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, 3, PATIENCE_MS));
    int one = ask(&bench, "GET /one?x=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\n"
                          "If-None-Match: \"tag\"\r\nAccept-Encoding: gzip\r\n\r\n");
    int two = ask(&bench, "GET /two HTTP/1.1\r\nHost: a\r\nX-Request-Id: not plain\r\n"
                          "Accept: application/msgpack\r\n\r\n");
    int three = ask(&bench, "GET /refused HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(net_loop_run(bench.loop) == 0);
    const char *text = hear(one);
    CHECK_CONTAINS(text, "HTTP/1.1 200 OK\r\n");
    CHECK_CONTAINS(text, "\r\nX-Request-Id: id-1\r\n");
    CHECK_CONTAINS(text, "\r\nContent-Type: application/json\r\n");
    CHECK_CONTAINS(text, "\r\n\r\n[\"/one\",\"x=1\",\"a parameter\",\"\\\"tag\\\"\",\"gzip\"]");
    text = hear(two);
    CHECK_CONTAINS(text, "\r\nContent-Type: application/msgpack\r\n");
    CHECK_CONTAINS(text, "\r\n\r\n\x95\xa4/two\xa0\xab"
                         "a parameter\xa0\xa0");
    CHECK(strstr(text, "X-Request-Id") == NULL);
    text = hear(three);
    CHECK_CONTAINS(text, "HTTP/1.1 502 ");
    CHECK_CONTAINS(text, "\"code\":\"fetch_failed\"");
    CHECK_INT(bench.answered, 3);
    bench_stop(&bench);
}

static void
a_call_that_nobody_waits_for_is_dropped(void)
{
    struct bench bench;

    /* The second call never comes before the first one's deadline. */
    CHECK(bench_start(&bench, 1, 0));
    bench.wanted = 2;
    int one = ask(&bench, "GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET /two HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(net_loop_run(bench.loop) == 0);
    CHECK_CONTAINS(hear(one), "HTTP/1.1 504 ");
    CHECK_INT(bench.gone, 1);
    CHECK_INT(bench.answered, 1);
    bench_stop(&bench);
}

int
main(void)
{
    TAP_RUN(a_later_call_keeps_what_its_encoding_needs);
    TAP_RUN(a_call_that_nobody_waits_for_is_dropped);
    return tap_done();
}
