/* SPDX-License-Identifier: MIT */
/*
 * net_conn_io.c - a connection's socket: what it is waited for, what is received and sent through
 * it, plain or by TLS, and how it ends.
 */
#include "net_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn *
conn_cast(void *arg)
{
    struct conn *conn = arg;

    AUGURY_ASSERT(conn->magic == CONN_MAGIC);
    return conn;
}

/* ---- what is left over between turns -------------------------------------------------------- */

static const struct conn_io none;

void
conn_io_init(struct conn *conn)
{
    conn->io = (struct conn_io *)(uintptr_t)&none;
}

int
conn_io_take(struct conn *conn)
{
    const struct http_limits *limits = &conn->server->limits.http;

    if (conn->io != &none) {
        return 0;
    }
    struct conn_io *io = calloc(1, sizeof(*io));
    if (io == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    buf_init(&io->in, limits->head_bytes + limits->body_bytes + SCRATCH_BYTES);
    buf_init(&io->out, SIZE_MAX);
    conn->io = io;
    return 0;
}

void
conn_io_drop(struct conn *conn)
{
    struct conn_io *io = conn->io;

    if (io == &none) {
        return;
    }
    if (io->in.len == 0) {
        buf_fini(&io->in);
    }
    if (io->out.len == 0) {
        buf_fini(&io->out);
        io->out_sent = 0;
    }
    if (io->in.data == NULL && io->out.data == NULL) {
        free(io);
        conn_io_init(conn);
    }
}

void
conn_input_drop(struct conn *conn)
{
    if (conn->io != &none) {
        conn->io->in.len = 0;
        conn_io_drop(conn);
    }
}

static void
conn_io_fini(struct conn *conn)
{
    if (conn->io != &none) {
        buf_fini(&conn->io->in);
        buf_fini(&conn->io->out);
        free(conn->io);
        conn_io_init(conn);
    }
}

/* ---- close ---------------------------------------------------------------------------------- */

void
conn_chunked_free(struct chunked **chunked)
{
    if (*chunked != NULL) {
        buf_fini(&(*chunked)->body);
        free(*chunked);
        *chunked = NULL;
    }
}

void
conn_close(struct conn *conn)
{
    struct net_server *server = conn->server;

    log_event(server->log, LOG_LEVEL_DEBUG, "connection_closed", "fd=%d", conn->fd);
    if (conn->state == CONN_LATER) {
        later_release(server, (uint32_t)conn->seen);
    }
    stream_end(conn);
    socket_free(conn);
    if (conn->armed != 0) {
        event_del(&conn->event);
    }
    net_wheel_del(&conn->deadline);
    net_list_del(&conn->all);
    net_list_del(&conn->ready);
    if (conn->tls != NULL) {
        tls_shutdown(conn->tls);
        tls_free(&conn->tls);
    }
    close(conn->fd);
    conn_io_fini(conn);
    conn_chunked_free(&conn->chunked);
    (void)limiter_count_bytes(conn);
    limiter_client_leave(conn);
    conn->magic = 0;
    free(conn);
    server_forget(server);
}

void
conn_wait(struct conn *conn, enum conn_wait wait, uint32_t timeout_ms)
{
    conn->wait = (uint8_t)wait;
    net_wheel_set(&conn->server->wheel, &conn->deadline, server_now_ms(conn->server) + timeout_ms);
}

void
conn_arm(struct conn *conn, short what)
{
    if (conn->armed == what) {
        return;
    }
    if (conn->armed != 0) {
        event_del(&conn->event);
    }
    conn->armed = what;
    if (what != 0) {
        int rc = event_assign(&conn->event, conn->server->loop->base, conn->fd,
                              (short)(what | EV_PERSIST), conn_event, conn);
        AUGURY_ASSERT(rc == 0);
        rc = event_add(&conn->event, NULL);
        AUGURY_ASSERT(rc == 0);
    }
}

void
conn_finish(struct conn *conn)
{
    if (conn->tls != NULL) {
        tls_shutdown(conn->tls);
    }
    if (!conn->is_lingering || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_close(conn);
        return;
    }
    conn_input_drop(conn);
    conn_chunked_free(&conn->chunked);
    (void)limiter_count_bytes(conn);
    net_list_del(&conn->ready);
    conn->state = CONN_LINGER;
    conn->need = 0;
    conn_wait(conn, WAIT_LINGER, LINGER_MS);
    conn_arm(conn, EV_READ);
}

/* MSG_TRUNC: what comes is dropped in the kernel, not copied (tcp(7)). */
void
conn_linger(struct conn *conn)
{
    ssize_t n = recv(conn->fd, conn->server->scratch, SCRATCH_BYTES, MSG_TRUNC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    conn->need += n > 0 ? (size_t)n : 0;
    if (n <= 0 || conn->need > LINGER_BYTES) {
        conn_close(conn);
    }
}

void
conn_peek(struct conn *conn)
{
    uint8_t byte = 0;

    if (recv(conn->fd, &byte, 1, MSG_PEEK) < 0 && errno != EAGAIN && errno != EINTR) {
        conn_close(conn);
    } else {
        conn_arm(conn, 0);
    }
}

/* ---- send ----------------------------------------------------------------------------------- */

/* As send(2). */
static ssize_t
conn_transmit(struct conn *conn, const uint8_t *data, size_t len)
{
    return conn->tls == NULL ? send(conn->fd, data, len, MSG_NOSIGNAL)
                             : tls_write(conn->tls, data, len);
}

bool
conn_send(struct conn *conn, struct buf *out)
{
    size_t sent = 0;

    if (buf_finish(out) != 0) {
        conn_close(conn);
        return false;
    }
    if (out->len == 0) {
        return true;
    }
    /* What the socket did not take before comes first. */
    ssize_t n = conn->io->out.len > 0 ? 0 : conn_transmit(conn, out->data, out->len);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_close(conn);
        return false;
    }
    sent = n > 0 ? (size_t)n : 0;
    stats_add(conn->server->stats, STATS_HTTP_BYTES_OUT, sent);
    if (sent < out->len) {
        if (conn_io_take(conn) != 0) {
            conn_close(conn);
            return false;
        }
        buf_put(&conn->io->out, out->data + sent, out->len - sent);
        if (buf_finish(&conn->io->out) != 0) {
            conn_close(conn);
            return false;
        }
    }
    return true;
}

static void
conn_join_ready(struct conn *conn)
{
    struct net_server *server = conn->server;

    if (net_list_is_linked(&conn->ready)) {
        return;
    }
    if (net_list_is_empty(&server->ready) && server->limiter.is_measuring) {
        server->limiter.ready_ns = clock_mono_ns();
    }
    net_list_add(&server->ready, &conn->ready);
    server_call_next_turn(server);
}

void
conn_call_next_turn(struct conn *conn)
{
    conn_arm(conn, 0);
    conn_join_ready(conn);
}

void
conn_mark_ready(struct conn *conn)
{
    conn_wait(conn, WAIT_HEAD, conn->server->limits.header_timeout_ms);
    conn_call_next_turn(conn);
}

void
conn_expect_input(struct conn *conn)
{
    if (!conn->has_more) {
        conn_arm(conn, EV_READ);
        return;
    }
    conn->reads_next = true;
    conn_call_next_turn(conn);
}

void
conn_go_on(struct conn *conn)
{
    const struct net_server *server = conn->server;

    if (conn->state == CONN_STREAM) {
        stream_soon(conn);
    } else if (conn->state == CONN_LATER) {
        uint64_t until_ms = server->laters[conn->seen].until_ms;
        uint64_t now_ms = server_now_ms(server);
        if (conn->armed == EV_WRITE) {
            conn_arm(conn, 0);
        }
        conn_wait(conn, WAIT_ANSWER, until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : 0);
    } else if (conn->is_closing) {
        conn_finish(conn);
    } else if (conn->state == CONN_SOCKET) {
        socket_go_on(conn);
    } else if (conn->io->in.len > 0) {
        conn->seen = 0;
        conn_mark_ready(conn); /* a whole request may wait in what has been read */
    } else {
        conn_wait(conn, WAIT_IDLE, server->limits.keepalive_timeout_ms);
        conn_expect_input(conn);
    }
}

void
conn_wait_send(struct conn *conn)
{
    conn_arm(conn, EV_WRITE);
    conn_wait(conn, WAIT_SEND, conn->server->limits.send_timeout_ms);
}

void
conn_flush(struct conn *conn)
{
    size_t left = conn->io->out.len - conn->io->out_sent;
    ssize_t n = conn_transmit(conn, conn->io->out.data + conn->io->out_sent, left);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            conn_close(conn);
        }
        return;
    }
    stats_add(conn->server->stats, STATS_HTTP_BYTES_OUT, (size_t)n);
    conn->io->out_sent += (size_t)n;
    if (conn->io->out_sent < conn->io->out.len) {
        return;
    }
    conn->io->out.len = 0;
    conn_io_drop(conn);
    (void)limiter_count_bytes(conn);
    conn_go_on(conn);
}

/* ---- receive --------------------------------------------------------------------------------- */

static void
conn_note_handshake(struct conn *conn, unsigned news)
{
    struct stats_slot *stats = conn->server->stats;

    stats_add(stats, (news & TLS_RESUMED) != 0 ? STATS_TLS_RESUMED : STATS_TLS_FULL, 1);
}

ssize_t
conn_receive(struct conn *conn)
{
    struct net_server *server = conn->server;
    unsigned news = 0;

    if (conn->tls == NULL) {
        return recv(conn->fd, server->scratch, SCRATCH_BYTES, 0);
    }
    ssize_t n = tls_read(conn->tls, server->scratch, SCRATCH_BYTES, &news);
    conn->has_more = (news & TLS_HAS_MORE) != 0;
    if ((news & TLS_HANDSHAKE_DONE) != 0) {
        conn_note_handshake(conn, news);
    }
    if (n < 0 && errno == EPROTO) {
        stats_add(server->stats, STATS_TLS_FAILED, 1);
    } else if (n < 0 && errno == EAGAIN) {
        conn_arm(conn, (news & TLS_WANTS_WRITE) != 0 ? EV_WRITE : EV_READ);
    }
    return n;
}
