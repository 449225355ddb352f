/* SPDX-License-Identifier: MIT */
/*
 * server_bench.h - the HTTP server over real sockets on the loopback interface, for the tests of
 * its protocol (test_server.c) and of its life (test_server_life.c): the server runs in a thread of
 * its own, the test is its client. Timeouts are short and always polled for, never slept through.
 */
#pragma once

#include "augury/net.h"

#include "../../tap.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    BIG_BYTES = 8 * 1024 * 1024,
    PART_BYTES = 200 * 1024, /* a turn answers one more after it */
    LATE_MAX = 256
};

/* ---- the server under test ------------------------------------------------------------------ */

struct bench {
    struct net_loop *loop;
    struct net_server *server;
    struct net_tls *tls; /* may be NULL */
    struct net_watch *commands;
    void *board;
    struct net_share *share; /* may be NULL */
    struct stats *stats;
    int listen_fd;
    int command_fds[2];
    uint16_t port;
    uint64_t late_tickets[LATE_MAX]; /* of requests for /late, in order of arrival */
    atomic_uint late_count;
    uint64_t soon_tickets[LATE_MAX]; /* of requests for /soon, of this turn */
    unsigned soon_count;
    atomic_bool is_paused;
    unsigned coming;                      /* as net_server_coming() said to the last of them */
    struct net_socket *sockets[LATE_MAX]; /* that /socket has opened and that are not closed */
    atomic_uint socket_count, closed_count;
    uint32_t drain_limit_ms;
    bool is_drained;
    atomic_uint streams_open;
    bool is_late_in_pieces;
    atomic_uint pieces_made;
    pthread_t thread;
};

/* Answers in pieces: /pieces?count=3&bytes=5 has "pieces of " and then that. cut=2: fails at
 * that piece. */
struct pieces {
    struct bench *bench;
    uint64_t made, count, bytes, cut;
};

static const struct net_limits usual = {
    .http = {.head_bytes = 16384, .target_bytes = 8192, .headers = 100, .body_bytes = 1 << 20},
    .header_timeout_ms = 3000,
    .body_timeout_ms = 3000,
    .send_timeout_ms = 3000,
    .keepalive_timeout_ms = 3000,
    .answer_timeout_ms = 3000,
    .connections = 2000,
    .sockets = {.message_bytes = 1 << 20,
                .queue_bytes = 1 << 20,
                .ping_ms = 60000,
                .pong_ms = 3000,
                .origins = "http://friend.example"},
};

static uint8_t
big_byte(size_t i)
{
    return (uint8_t)('a' + i % 23);
}

/* BIG_BYTES of big_byte(): by doubling, as a sanitizer makes a byte at a time take a second. */
static void
put_big(struct buf *body)
{
    size_t filled = 23 * 8;
    uint8_t *room = buf_reserve(body, BIG_BYTES);

    if (room == NULL) {
        return;
    }
    for (size_t i = 0; i < filled; i++) {
        room[i] = big_byte(i);
    }
    while (filled < BIG_BYTES) {
        size_t n = filled < BIG_BYTES - filled ? filled : BIG_BYTES - filled;
        memcpy(room + filled, room, n);
        filled += n;
    }
    buf_commit(body, BIG_BYTES);
}

static int
more_pieces(void *arg, struct buf *piece)
{
    struct pieces *pieces = arg;

    if (pieces->made == pieces->count) {
        return AUGURY_END;
    }
    if (++pieces->made == pieces->cut) {
        return AUGURY_ERR_STATE;
    }
    pieces->bench->pieces_made++;
    if (pieces->bytes > 0) {
        memset(buf_reserve(piece, pieces->bytes), (int)('a' + pieces->made % 23), pieces->bytes);
        buf_commit(piece, pieces->bytes);
    }
    return 0;
}

static void
end_pieces(void *arg)
{
    struct pieces *pieces = arg;

    pieces->bench->streams_open--;
    free(pieces);
}

static uint64_t
query_number(struct bytes query, const char *name)
{
    struct bytes value;
    uint64_t number = 0;

    if (http_query_find(query, name, &value) == 0 &&
        bytes_to_u64(value, UINT32_MAX, &number) != 0) {
        number = 0;
    }
    return number;
}

static void
begin_pieces(struct bench *bench, const struct pieces *wanted, struct net_answer *answer)
{
    struct pieces *pieces = malloc(sizeof(*pieces));

    *pieces = *wanted;
    pieces->bench = bench;
    bench->streams_open++;
    buf_put_text(answer->body, "pieces of ");
    answer->more = more_pieces;
    answer->on_end = end_pieces;
    answer->more_arg = pieces;
}

/* Answers all that waits, the last one first, each with its number. */
static void
answer_late(struct bench *bench)
{
    for (unsigned i = bench->late_count; i-- > 0;) {
        uint64_t ticket = bench->late_tickets[i];
        struct net_answer *answer = net_later_begin(bench->server, ticket);
        if (answer == NULL) {
            continue;
        }
        answer->status = 203;
        buf_put_text(answer->headers, "X-Late: yes\r\n");
        if (bench->is_late_in_pieces) {
            begin_pieces(bench, &(struct pieces){.count = 2, .bytes = 3}, answer);
        } else {
            buf_printf(answer->body, "late %u", i);
        }
        net_later_end(bench->server, ticket);
    }
    bench->late_count = 0;
}

/* At the end of a turn, the last one first: its number, and how many there are. */
__attribute__((unused)) static void
answer_soon(void *arg)
{
    struct bench *bench = arg;

    for (unsigned i = bench->soon_count; i-- > 0;) {
        uint64_t ticket = bench->soon_tickets[i];
        struct net_answer *answer = net_later_begin(bench->server, ticket);
        if (answer != NULL) {
            buf_printf(answer->body, "soon %u of %u", i, bench->soon_count);
            net_later_end(bench->server, ticket);
        }
    }
    bench->soon_count = 0;
}

/* ---- sockets: what comes goes back, but for a few words -------------------------------------- */

struct bench_socket {
    struct bench *bench;
    struct net_socket *socket;
};

static void
on_socket_message(void *state, struct net_socket *socket, enum net_message_kind kind,
                  struct bytes message)
{
    struct bench_socket *own = state;

    if (own->socket == NULL) { /* the first one: pushes go here */
        own->socket = socket;
        own->bench->sockets[own->bench->socket_count] = socket;
        own->bench->socket_count++;
    }
    if (bytes_equal_text(message, "close")) {
        net_socket_send(socket, NET_MESSAGE_TEXT, bytes_of_text("goodbye"));
        net_socket_close(socket, NET_CLOSE_NORMAL, "as you wish");
        net_socket_send(socket, NET_MESSAGE_TEXT, bytes_of_text("never sent"));
    } else if (bytes_equal_text(message, "twice")) {
        net_socket_send(socket, NET_MESSAGE_TEXT, bytes_of_text("one"));
        net_socket_send(socket, NET_MESSAGE_BINARY, bytes_of_text("two"));
    } else {
        net_socket_send(socket, kind, message);
    }
}

static void
on_socket_close(void *state)
{
    struct bench_socket *own = state;

    for (unsigned i = 0; own->socket != NULL && i < own->bench->socket_count; i++) {
        if (own->bench->sockets[i] == own->socket) {
            own->bench->sockets[i] = NULL;
        }
    }
    own->bench->closed_count++;
    free(own);
}

static void
accept_socket(struct bench *bench, struct net_answer *answer)
{
    static const struct net_socket_ops ops = {on_socket_message, on_socket_close};
    struct bench_socket *own = calloc(1, sizeof(*own));
    struct http_refusal refusal = {.status = 503, .code = "no_memory"};

    own->bench = bench;
    if (net_socket_accept(bench->server, &ops, own, answer, &refusal) == 0) {
        answer->status = 101;
        return;
    }
    free(own);
    answer->status = refusal.status;
    buf_put_text(answer->body, refusal.code);
}

/* To all that have said something: 100 KiB of text. */
static void
push(struct bench *bench)
{
    static char text[100 * 1024];

    memset(text, 'p', sizeof(text));
    for (unsigned i = 0; i < bench->socket_count; i++) {
        if (bench->sockets[i] != NULL) {
            net_socket_send(bench->sockets[i], NET_MESSAGE_TEXT, bytes_of(text, sizeof(text)));
        }
    }
}

/* Fixed routes, so that each test sees one thing. */
static void
handle(void *arg, const struct http_request *request, struct bytes body,
       const struct net_peer *peer, struct net_answer *answer)
{
    struct bench *bench = arg;

    if (bytes_equal_text(request->path, "/late")) {
        buf_put_text(answer->body, "never sent");
        bench->late_tickets[bench->late_count] = net_answer_later(bench->server);
        bench->late_count++;
    } else if (bytes_equal_text(request->path, "/soon")) {
        bench->coming = (unsigned)net_server_coming(bench->server, body);
        bench->soon_tickets[bench->soon_count] = net_answer_soon(bench->server);
        bench->soon_count++;
    } else if (bytes_equal_text(request->path, "/coming")) {
        buf_printf(answer->body, "%zu", net_server_coming(bench->server, body));
    } else if (bytes_start_with(request->path, "/late-")) {
        uint64_t ms = 0;
        CHECK(bytes_to_u64(bytes_of(request->path.data + 6, request->path.len - 6), 10000, &ms) ==
              0);
        bench->late_tickets[bench->late_count] =
            net_answer_later_by(bench->server, clock_mono_ns() + ms * 1000000);
        bench->late_count++;
    } else if (bytes_equal_text(request->path, "/admit")) {
        buf_printf(answer->body, "%d", (int)net_server_admit(bench->server));
    } else if (bytes_equal_text(request->path, "/slow")) {
        poll(NULL, 0, 300);
    } else if (bytes_equal_text(request->path, "/socket")) {
        accept_socket(bench, answer);
    } else if (bytes_equal_text(request->path, "/release")) {
        buf_put_text(answer->body, "released");
        answer_late(bench);
    } else if (bytes_equal_text(request->path, "/pieces")) {
        begin_pieces(bench,
                     &(struct pieces){.count = query_number(request->query, "count"),
                                      .bytes = query_number(request->query, "bytes"),
                                      .cut = query_number(request->query, "cut")},
                     answer);
    } else if (bytes_equal_text(request->path, "/echo")) {
        answer->content_type = "application/octet-stream";
        buf_put_bytes(answer->body, body);
    } else if (bytes_equal_text(request->path, "/big")) {
        put_big(answer->body);
    } else if (bytes_equal_text(request->path, "/part")) {
        memset(buf_reserve(answer->body, PART_BYTES), 'p', PART_BYTES);
        buf_commit(answer->body, PART_BYTES);
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
        char room[IP_TEXT_MAX + 1];
        buf_printf(answer->body, "%s %s %u", peer->listener, ip_to_text(&peer->client, room),
                   peer->client_port);
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
    if (read(fd, &command, 1) != 1) {
        net_loop_stop(bench->loop);
    } else if (command == 'd') {
        net_server_drain(bench->server, bench->drain_limit_ms, on_drained, bench);
    } else if (command == 'l') {
        answer_late(bench);
    } else if (command == 'p') { /* until there is another command, nothing is read */
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        bench->is_paused = true;
        (void)poll(&wait, 1, PATIENCE_MS);
        bench->is_paused = false;
    } else if (command == 'm') {
        push(bench);
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

/* like: of the listener, but for descriptor and name. */
__attribute__((unused)) static bool
bench_start_like(struct bench *bench, const struct net_limits *limits, struct net_share *share,
                 const struct net_listen_options *like)
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
                                         .on_soon = answer_soon,
                                         .stats = stats_slot(bench->stats, 0),
                                         .share = bench->share};
    struct net_listen_options listen = *like;
    listen.fd = bench->listen_fd;
    listen.name = "public";
    return net_server_new(&options, &bench->server, NULL) == 0 &&
           net_server_listen(bench->server, &listen, NULL) == 0 &&
           net_watch_new(bench->loop, bench->command_fds[0], NET_WATCH_READ, on_command, bench,
                         &bench->commands) == 0 &&
           pthread_create(&bench->thread, NULL, run, bench) == 0;
}

__attribute__((unused)) static bool
bench_start_shared(struct bench *bench, const struct net_limits *limits, struct net_share *share)
{
    static const struct net_listen_options plain = {.index = 0};

    return bench_start_like(bench, limits, share, &plain);
}

__attribute__((unused)) static bool
bench_start(struct bench *bench, const struct net_limits *limits)
{
    return bench_start_shared(bench, limits, NULL);
}

__attribute__((unused)) static bool
bench_command(struct bench *bench, char command)
{
    return write(bench->command_fds[1], &command, 1) == 1;
}

/* Ends the thread (unless a drain does) and frees all. False: the loop failed. */
__attribute__((unused)) static bool
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

__attribute__((unused)) static bool
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

/* ---- the client ----------------------------------------------------------------------------- */

__attribute__((unused)) static int
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

__attribute__((unused)) static bool
hears_end(int fd)
{
    char byte;

    return hear(fd, &byte, 1) == 0;
}

/* One request on a connection of its own; the answer's status, or 0. */
__attribute__((unused)) static unsigned
ask(const struct bench *bench, const char *request, struct answer *out)
{
    int fd = dial(bench, 0);
    bool is_good = fd >= 0 && say(fd, request) && hear_answer(fd, false, out);

    close(fd);
    return is_good ? out->status : 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
