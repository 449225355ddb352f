/* SPDX-License-Identifier: MIT */
/*
 * test_server_no_memory.c - the server when memory runs out: each of its allocations fails, once
 * and with all that follow. It does not start, or a client gets its answer, a refusal or the end of
 * the connection, never nothing; and the next one is answered when there is memory again.
 */
#include "../alloc_fail.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "augury/net.h"

enum { LOOK_MS = 1, LOOKS_MAX = 10000, BODY_BYTES = 300 * 1024 };

static const struct net_limits usual = {
    .http = {.head_bytes = 16384, .target_bytes = 8192, .headers = 100, .body_bytes = 1 << 20},
    .header_timeout_ms = 5000,
    .body_timeout_ms = 5000,
    .send_timeout_ms = 5000,
    .keepalive_timeout_ms = 5000,
    .answer_timeout_ms = 5000,
    .connections = 100,
    .client_connections = 50,
};

static struct {
    struct net_loop *loop;
    struct net_server *server;
    struct net_timer *timer;
    void *stats_memory;
    struct stats *stats;
    int listen_fd;
    uint16_t port;
    /* the client */
    int fd;
    const char *parts[3]; /* sent one after the other */
    size_t part;
    size_t got;
    char answer[16];
    unsigned looks;
    bool is_over;
} bench;

/* The length of what came; "/large" gets much back. */
static void
on_request(void *arg, const struct http_request *request, struct bytes body,
           const struct net_peer *peer, struct net_answer *answer)
{
    (void)arg;
    (void)peer;
    buf_printf(answer->body, "%zu bytes", body.len);
    for (size_t i = 0; bytes_equal_text(request->path, "/large") && i < BODY_BYTES / 16; i++) {
        buf_put_text(answer->body, "0123456789abcdef");
    }
}

static int
server_start(void)
{
    struct err err = {.rc = 0};
    struct net_server_options options = {.loop = bench.loop,
                                         .limits = usual,
                                         .handler = on_request,
                                         .stats = stats_slot(bench.stats, 0)};
    struct net_listen_options listen = {.fd = bench.listen_fd, .name = "test"};

    int rc = net_server_new(&options, &bench.server, &err);
    if (rc == 0) {
        rc = net_server_listen(bench.server, &listen, &err);
    }
    if (rc != 0) {
        net_server_free(&bench.server);
        return err.reason[0] == '\0' ? 1 : rc;
    }
    return 0;
}

static int
start_and_end(void)
{
    int rc = server_start();

    net_server_free(&bench.server);
    return rc;
}

static void
a_server_starts_or_says_why_not(void)
{
    alloc_fail_each(start_and_end);
}

/* ---- a client -------------------------------------------------------------------------------- */

static void
client_read(void)
{
    char bytes[65536];
    ssize_t n = recv(bench.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n > 0) {
        size_t room = sizeof(bench.answer) - 1 - bench.got;
        size_t len = bench.got >= sizeof(bench.answer) - 1 ? 0
                     : (size_t)n < room                    ? (size_t)n
                                                           : room;
        memcpy(bench.answer + bench.got, bytes, len);
        bench.got += len;
    }
    bench.is_over = n == 0 || (n < 0 && errno != EAGAIN);
}

/* A part a turn, then whatever comes until the end. */
static void
on_look(void *arg)
{
    (void)arg;
    if (bench.part < AUGURY_COUNT(bench.parts) && bench.parts[bench.part] != NULL) {
        const char *text = bench.parts[bench.part++];
        (void)send(bench.fd, text, strlen(text), MSG_NOSIGNAL);
    }
    client_read();
    bench.looks++;
    if (bench.is_over || bench.looks > LOOKS_MAX) {
        net_loop_stop(bench.loop);
    }
}

static int
client_connect(void)
{
    struct sockaddr_in place = {.sin_family = AF_INET,
                                .sin_port = htons(bench.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return connect(fd, (struct sockaddr *)&place, sizeof(place)) == 0 ? fd : -1;
}

/* One connection with the parts, to its end. */
static int
converse(void)
{
    bench.fd = client_connect();
    bench.part = bench.got = bench.looks = 0;
    bench.is_over = false;
    memset(bench.answer, 0, sizeof(bench.answer));
    int rc = net_loop_run(bench.loop);
    close(bench.fd);
    if (rc == 0 && bench.is_over && strncmp(bench.answer, "HTTP/1.1 200", 12) == 0) {
        return 0;
    }
    if (rc == 0 && bench.is_over &&
        (bench.got == 0 || strncmp(bench.answer, "HTTP/1.1 503", 12) == 0)) {
        return AUGURY_ERR_NOMEM;
    }
    printf("# loop %d, over %d, answer \"%s\"\n", rc, bench.is_over, bench.answer);
    return 1;
}

static void
each_client_is_answered_refused_or_cut(void)
{
    static char body[BODY_BYTES + 1];
    static char head[200];
    static const char *const requests[][3] = {
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: ", "x\r\nConnection:", " close\r\n\r\n"},
        {"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: "
         "chunked\r\n\r\n5\r\nhe",
         "llo\r\n5\r\nhello\r\n", "0\r\n\r\n"},
        {head, body},
    };

    memset(body, 'a', BODY_BYTES);
    snprintf(head, sizeof(head),
             "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
             BODY_BYTES);
    CHECK_INT(server_start(), 0);
    for (size_t i = 0; i < AUGURY_COUNT(requests) && !tap.has_failed; i++) {
        memcpy(bench.parts, requests[i], sizeof(bench.parts));
        alloc_fail_each(converse);
    }
    net_server_free(&bench.server);
}

int
main(void)
{
    char address[64];
    struct err err;

    bench.stats_memory = shm_map(stats_bytes());
    bench.stats = stats_attach(bench.stats_memory);
    if (net_loop_new(&bench.loop, &err) != 0 ||
        net_listener_open("127.0.0.1:0", 16, &bench.listen_fd, &err) != 0 ||
        net_address_of(bench.listen_fd, address, sizeof(address)) != 0 ||
        net_timer_new(bench.loop, LOOK_MS, on_look, NULL, &bench.timer) != 0) {
        printf("Bail out! no server\n");
        return 1;
    }
    bench.port = (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
    TAP_RUN(a_server_starts_or_says_why_not);
    TAP_RUN(each_client_is_answered_refused_or_cut);
    net_timer_free(&bench.timer);
    net_loop_free(&bench.loop);
    close(bench.listen_fd);
    shm_unmap(&bench.stats_memory, stats_bytes());
    return tap_done();
}
