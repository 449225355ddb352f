/* SPDX-License-Identifier: MIT */
/*
 * net_websocket.c - a connection that speaks WebSocket: messages in, messages out, pings, Close.
 * It is a connection as any other: one read a turn into the server's scratch memory, one send, and
 * nothing is read while anything waits to be sent. Between messages it owns no buffer and no
 * decoder: the server's spare one serves whoever has something to decode.
 * Deadlines: a silent client is pinged, and cut when it does not answer; a message that has begun
 * has a time of its own, which no byte moves. Every end that the server begins goes: Close, all is
 * sent, the sending side is shut, what still comes is dropped for a while (conn_finish).
 */
#include "net_conn.h"
#include "net_frames.h"
#include "net_upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { SOCKET_MAGIC = 0x534f434b, TURN_MESSAGES = 64 };

enum socket_state {
    SOCKET_SILENT,  /* nothing is begun; after ping_ms it is asked */
    SOCKET_ASKED,   /* a ping is out */
    SOCKET_BEGUN,   /* a message has begun */
    SOCKET_CLOSING, /* Close is said */
};

struct net_socket {
    uint32_t magic;
    uint8_t state;          /* enum socket_state */
    unsigned turn_messages; /* that this turn has gone through */
    struct conn *conn;
    const struct net_socket_ops *ops;
    void *owner;
    struct frames *frames; /* while something has begun, or NULL */
};

static struct net_socket *
socket_cast(void *arg)
{
    struct net_socket *socket = arg;

    AUGURY_ASSERT(socket->magic == SOCKET_MAGIC);
    return socket;
}

static void
count_sockets(struct net_server *server, size_t count)
{
    server->socket_count = count;
    stats_set(server->stats, STATS_SOCKETS_OPEN, count);
}

static const struct net_socket_limits *
limits_of(const struct net_socket *socket)
{
    return &socket->conn->server->limits.sockets;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Where a frame with so many bytes goes: the turn's output while the connection is heard; else what
 * waits for the socket, with room for the whole frame. NULL: no memory. */
static struct buf *
out_of(const struct net_socket *socket, size_t len)
{
    struct conn *conn = socket->conn;

    if (conn->server->heard == conn) {
        return &conn->server->out;
    }
    if (conn_io_take(conn) != 0 || buf_reserve(&conn->io->out, FRAME_HEAD_MAX + len) == NULL) {
        return NULL;
    }
    return &conn->io->out;
}

/* What has been queued goes out when the loop comes to it: no caller's connection ends under its
 * hands. */
static void
call_flush(struct conn *conn)
{
    if (conn->server->heard == conn) {
        return;
    }
    (void)limiter_count_bytes(conn);
    if (conn->io->out.len == 0) { /* no memory for a Close: the next turn ends it without */
        conn->reads_next = false;
        conn_call_next_turn(conn);
    } else if (conn->armed != EV_WRITE) {
        conn_wait_send(conn);
    }
}

static void
close_with(struct net_socket *socket, unsigned code, const char *reason)
{
    struct conn *conn = socket->conn;

    if (socket->state == SOCKET_CLOSING) {
        return;
    }
    struct buf *out = out_of(socket, FRAME_CONTROL_MAX);
    if (out != NULL) {
        frame_put_close(out, code, reason);
    }
    socket->state = SOCKET_CLOSING;
    conn->is_closing = true;
    conn->is_lingering = true; /* it may have sent more, and has a Close to send */
    call_flush(conn);
}

void
net_socket_close(struct net_socket *socket, enum net_close code, const char *reason)
{
    close_with(socket_cast(socket), code, reason);
}

/* Whether the queue has room for so many bytes more; what has been sent goes out of it. */
static bool
queue_has_room(const struct net_socket *socket, size_t len)
{
    struct conn *conn = socket->conn;
    size_t limit = limits_of(socket)->queue_bytes;

    if (conn->server->heard == conn) {
        return true; /* an answer: a turn bounds it */
    }
    struct conn_io *io = conn->io;
    if (io->out_sent > io->out.len / 2) {
        buf_consume(&io->out, io->out_sent);
        io->out_sent = 0;
    }
    size_t waiting = io->out.len - io->out_sent;
    return waiting == 0 || (waiting <= limit && len <= limit - waiting);
}

void
net_socket_send(struct net_socket *socket, enum net_message_kind kind, struct bytes message)
{
    struct conn *conn = socket_cast(socket)->conn;
    struct stats_slot *stats = conn->server->stats;

    if (socket->state == SOCKET_CLOSING) {
        return;
    }
    if (!queue_has_room(socket, FRAME_HEAD_MAX + message.len)) {
        stats_add(stats, STATS_SOCKETS_SLOW, 1);
        close_with(socket, NET_CLOSE_POLICY, "too slow: the queue is full");
        return;
    }
    struct buf *out = out_of(socket, message.len);
    if (out == NULL) {
        close_with(socket, NET_CLOSE_FAILURE, "no memory");
        return;
    }
    frame_put(out, kind == NET_MESSAGE_TEXT ? FRAME_TEXT : FRAME_BINARY, message);
    stats_add(stats, STATS_SOCKETS_OUT, 1);
    call_flush(conn);
}

/* ---- hearing --------------------------------------------------------------------------------- */

static bool
on_message(void *arg, enum net_message_kind kind, struct bytes message)
{
    struct net_socket *socket = socket_cast(arg);

    struct net_server *server = socket->conn->server;

    socket->turn_messages++;
    server->is_messaging = true;
    socket->ops->on_message(socket->owner, socket, kind, message);
    server->is_messaging = false;
    return socket->state != SOCKET_CLOSING;
}

static void
on_control(void *arg, enum frame_opcode opcode, struct bytes payload)
{
    const struct net_socket *socket = socket_cast(arg);

    if (opcode == FRAME_PING) {
        frame_put(&socket->conn->server->out, FRAME_PONG, payload);
    }
}

static bool
has_room(void *arg)
{
    const struct net_socket *socket = socket_cast(arg);

    return socket->turn_messages < TURN_MESSAGES && socket->conn->server->out.len < TURN_OUT_BYTES;
}

static int
frames_take(struct net_socket *socket)
{
    struct net_server *server = socket->conn->server;

    if (socket->frames != NULL) {
        return 0;
    }
    socket->frames = server->frames;
    server->frames = NULL;
    return socket->frames != NULL ? 0 : frames_new(&socket->frames);
}

size_t
socket_bytes(const struct conn *conn)
{
    const struct net_socket *socket = conn->socket;

    return socket != NULL && socket->frames != NULL ? frames_bytes(socket->frames) : 0;
}

/* A decoder that is between messages serves others; one that found an end serves nobody. */
static void
frames_give(struct net_socket *socket)
{
    struct net_server *server = socket->conn->server;

    if (socket->state == SOCKET_CLOSING) {
        frames_free(&socket->frames);
    } else if (frames_are_between(socket->frames)) {
        frames_free(&server->frames);
        frames_trim(socket->frames);
        server->frames = socket->frames;
        socket->frames = NULL;
    }
}

static void
count_failure(struct net_server *server, unsigned code)
{
    stats_add(server->stats,
              code == NET_CLOSE_TOO_LARGE ? STATS_SOCKETS_TOO_LARGE : STATS_SOCKETS_BAD_FRAME, 1);
}

static const char *
reason_of(unsigned code)
{
    switch (code) {
    case NET_CLOSE_TOO_LARGE: return "the message is over the limit";
    case NET_CLOSE_NOT_UTF8: return "text is UTF-8";
    case NET_CLOSE_FAILURE: return "no memory";
    default: return "no frame of RFC 6455";
    }
}

/* Decodes and answers; what the client has ended, or has to be failed for, ends with Close. */
static void
hear(struct net_socket *socket, struct bytes input, size_t *out_used)
{
    struct conn *conn = socket->conn;
    const struct frames_sink sink = {
        .arg = socket,
        .message_bytes_max = limits_of(socket)->message_bytes,
        .on_message = on_message,
        .on_control = on_control,
        .has_room = has_room,
    };
    unsigned code = 0;

    if (frames_take(socket) != 0) {
        close_with(socket, NET_CLOSE_FAILURE, reason_of(NET_CLOSE_FAILURE));
        return;
    }
    switch (frames_feed(socket->frames, &sink, input, out_used, &code)) {
    case 0: break;
    case AUGURY_END:
        if (socket->state != SOCKET_CLOSING) {
            close_with(socket, code, "");
            conn->is_lingering = *out_used < input.len; /* the client sends no more */
        }
        break;
    default: count_failure(conn->server, code); close_with(socket, code, reason_of(code));
    }
    frames_give(socket);
}

void
socket_process(struct conn *conn, struct bytes input)
{
    struct net_server *server = conn->server;
    struct net_socket *socket = conn->socket;
    size_t used = 0;

    buf_reset(&server->out);
    socket->turn_messages = 0;
    if (conn->is_closing) {
        used = input.len; /* it was said while this waited for its turn */
    } else {
        server->heard = conn;
        hear(socket, input, &used);
        server->heard = NULL;
    }
    if (socket->turn_messages > 0) {
        stats_add(server->stats, STATS_SOCKETS_IN, socket->turn_messages);
        if (server->on_turn_end != NULL) {
            server->on_turn_end(server->handler_arg);
        }
    }
    if (conn->is_closing) {
        used = input.len;
    }
    if (conn_keep(conn, input, used) != 0) {
        conn_close(conn);
        return;
    }
    if (!conn_send(conn, &server->out)) {
        return;
    }
    if (limiter_count_bytes(conn) != NET_BYTES_FIT && !conn->is_closing) {
        close_with(socket, NET_CLOSE_POLICY, "this worker has no more memory for connections");
    }
    if (conn->io->out.len > 0) {
        conn_wait_send(conn);
    } else {
        conn_go_on(conn);
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Which deadline runs now: that of a message that has begun goes on. */
static void
wait_for_client(struct net_socket *socket)
{
    struct conn *conn = socket->conn;
    bool has_begun = socket->frames != NULL;

    if (has_begun && socket->state == SOCKET_BEGUN && socket->turn_messages == 0 &&
        conn->wait == WAIT_SOCKET) {
        return;
    }
    socket->state = has_begun ? SOCKET_BEGUN : SOCKET_SILENT;
    conn_wait(conn, WAIT_SOCKET,
              has_begun ? conn->server->limits.body_timeout_ms : limits_of(socket)->ping_ms);
}

void
socket_go_on(struct conn *conn)
{
    if (conn->io->in.len > 0) {
        conn_wait(conn, WAIT_SOCKET, conn->server->limits.body_timeout_ms);
        conn_call_next_turn(conn);
        return;
    }
    wait_for_client(conn->socket);
    conn_expect_input(conn);
}

/* Whether the client is still there. */
static void
socket_ask(struct net_socket *socket)
{
    struct conn *conn = socket->conn;
    struct buf *out = &conn->server->out;

    buf_reset(out);
    frame_put(out, FRAME_PING, bytes_of(NULL, 0));
    socket->state = SOCKET_ASKED;
    if (!conn_send(conn, out)) {
        return;
    }
    if (conn->io->out.len > 0) {
        conn_wait_send(conn);
    } else {
        conn_wait(conn, WAIT_SOCKET, limits_of(socket)->pong_ms);
    }
}

void
socket_expire(struct conn *conn)
{
    struct net_socket *socket = conn->socket;

    if (conn->wait == WAIT_SEND) {
        stats_add(conn->server->stats, STATS_SOCKETS_SLOW, socket->state == SOCKET_CLOSING ? 0 : 1);
        conn_close(conn);
        return;
    }
    if (socket->state == SOCKET_SILENT) {
        socket_ask(socket);
        return;
    }
    stats_add(conn->server->stats, STATS_SOCKETS_SILENT, 1);
    close_with(socket, NET_CLOSE_POLICY,
               socket->state == SOCKET_BEGUN ? "the message did not arrive in time"
                                             : "no pong came");
}

/* ---- life ------------------------------------------------------------------------------------ */

int
net_socket_accept(struct net_server *server, const struct net_socket_ops *ops, void *state,
                  struct net_answer *answer, struct http_refusal *out_refusal)
{
    struct conn *conn = server->asking;
    struct bytes key;
    char accept[UPGRADE_ACCEPT_BYTES];

    AUGURY_ASSERT(conn != NULL && conn->socket == NULL);
    int rc = upgrade_check(&server->request, server->limits.sockets.origins, conn->tls != NULL,
                           answer->headers, &key, out_refusal);
    if (rc == 0 && server->is_draining) {
        *out_refusal = (struct http_refusal){
            .status = 503, .code = "going_away", .reason = "this process ends; ask again"};
        rc = AUGURY_ERR_INVALID;
    }
    if (rc != 0) {
        stats_add(server->stats, STATS_SOCKETS_REFUSED, 1);
        return rc;
    }
    struct net_socket *socket = calloc(1, sizeof(*socket));
    if (socket == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    socket->magic = SOCKET_MAGIC;
    socket->conn = conn;
    socket->ops = ops;
    socket->owner = state;
    conn->socket = socket;
    conn->state = CONN_SOCKET;
    upgrade_accept_key(key, accept);
    buf_put_text(answer->headers, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Accept: ");
    buf_put(answer->headers, accept, sizeof(accept));
    buf_put_text(answer->headers, "\r\n");
    return 0;
}

void
socket_begin(struct conn *conn, const struct net_answer *answer)
{
    struct net_server *server = conn->server;
    struct buf *out = &server->out;

    AUGURY_ASSERT(answer->status == 101);
    count_sockets(server, server->socket_count + 1);
    if (buf_finish(answer->headers) != 0) { /* no memory */
        conn->socket->state = SOCKET_CLOSING;
        conn->is_closing = true;
        return;
    }
    buf_put_text(out, "HTTP/1.1 101 Switching Protocols\r\n");
    buf_put(out, server->lines, server->lines_len);
    buf_put_bytes(out, buf_view(answer->headers));
    buf_put_text(out, "\r\n");
    stats_add(server->stats, STATS_SOCKETS_OPENED, 1);
    log_event(server->log, LOG_LEVEL_DEBUG, "socket_opened", "fd=%d", conn->fd);
}

void
socket_drain(struct conn *conn)
{
    close_with(conn->socket, NET_CLOSE_GOING_AWAY, "the server ends; connect again");
}

void
socket_free(struct conn *conn)
{
    struct net_socket *socket = conn->socket;

    if (socket == NULL) {
        return;
    }
    conn->socket = NULL;
    count_sockets(conn->server, conn->server->socket_count - 1);
    frames_free(&socket->frames);
    socket->ops->on_close(socket->owner);
    socket->magic = 0;
    free(socket);
}
