/* SPDX-License-Identifier: MIT */
/*
 * net_line.c - lines in, framed answers out, on a UNIX socket: the admin socket. Made so that `nc
 * -U` is a client.
 * Invariants: while an answer waits to be made or sent nothing is read; a connection is cut when it
 * is idle too long, its line too long, or its peer unknown.
 */
#include "net_list.h"
#include "net_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LINE_SERVER_MAGIC = 0x4c494e53,
    LINE_CONN_MAGIC = 0x4c494e43,
    LINE_BYTES_MAX = 64 * 1024,
    LINE_ANSWER_MAX = 16 * 1024 * 1024,
    LINE_IDLE_MS = 60 * 1000,
    LINE_CONNECTIONS_MAX = 64,
    LINE_READ_BYTES = 16 * 1024,
};

struct net_line_server {
    uint32_t magic;
    struct net_loop *loop;
    const char *greeting;
    net_line_fn *fn;
    void *arg;
    struct net_list connections;
    size_t connection_count;
    uint64_t last_ticket;
    struct buf body;
    struct event event;
};

struct line_conn {
    uint32_t magic;
    int fd;
    struct net_line_server *server;
    struct net_list link;
    struct net_line_peer peer;
    struct buf in;
    struct buf out;
    bool is_closing; /* after what is in out */
    bool is_put_off; /* the handler answers later; no event but the timeout */
    struct event event;
};

static struct line_conn *
conn_cast(void *arg)
{
    struct line_conn *conn = arg;

    AUGURY_ASSERT(conn->magic == LINE_CONN_MAGIC);
    return conn;
}

static void
conn_close(struct line_conn *conn)
{
    event_del(&conn->event);
    net_list_del(&conn->link);
    conn->server->connection_count--;
    close(conn->fd);
    buf_fini(&conn->in);
    buf_fini(&conn->out);
    conn->magic = 0;
    free(conn);
}

static void on_event(evutil_socket_t fd, short what, void *arg);

/* The timeout counts from the last byte either way. */
static int
conn_arm(struct line_conn *conn, short what)
{
    struct timeval idle = net_timeval_of_ms(LINE_IDLE_MS);

    if (event_assign(&conn->event, conn->server->loop->base, conn->fd, (short)(what | EV_PERSIST),
                     on_event, conn) != 0) {
        return AUGURY_ERR_IO;
    }
    return event_add(&conn->event, &idle) == 0 ? 0 : AUGURY_ERR_IO;
}

static void
put_frame(struct buf *out, int code, struct bytes body)
{
    buf_printf(out, "%s %d %zu\n", code == 0 ? "OK" : "ERR", code, body.len);
    buf_put_bytes(out, body);
    buf_put_u8(out, '\n');
}

/* Sends what there is. False: the connection is gone. */
static bool
conn_send(struct line_conn *conn)
{
    bool was_waiting = (event_get_events(&conn->event) & EV_WRITE) != 0;

    while (conn->out.len > 0) {
        ssize_t n = send(conn->fd, conn->out.data, conn->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            conn_close(conn);
            return false;
        }
        if (n < 0) {
            break;
        }
        buf_consume(&conn->out, (size_t)n);
    }
    bool is_waiting = conn->out.len > 0;
    if (!is_waiting && conn->is_closing) {
        conn_close(conn);
        return false;
    }
    if (is_waiting != was_waiting) {
        event_del(&conn->event);
        if (conn_arm(conn, is_waiting ? EV_WRITE : EV_READ) != 0) {
            conn_close(conn);
            return false;
        }
    }
    return true;
}

static void
conn_answer(struct line_conn *conn, struct bytes line)
{
    struct net_line_server *server = conn->server;

    if (line.len > 0 && line.data[line.len - 1] == '\r') {
        line.len--;
    }
    if (line.len == 0) {
        return;
    }
    buf_reset(&server->body);
    conn->peer.ticket = ++server->last_ticket;
    int code = server->fn(server->arg, &conn->peer, line, &server->body);
    if (code == NET_LINE_LATER) {
        conn->is_put_off = true;
        return;
    }
    if (buf_finish(&server->body) != 0) {
        put_frame(&conn->out, AUGURY_ERR_LIMIT, bytes_of_text("the answer is too large"));
        return;
    }
    put_frame(&conn->out, code, buf_view(&server->body));
}

/* Until the answer is made: neither reads nor writes. False: the connection is gone. */
static bool
conn_pause(struct line_conn *conn)
{
    event_del(&conn->event);
    if (conn_arm(conn, 0) != 0) {
        conn_close(conn);
        return false;
    }
    return true;
}

/* Answers the lines that are whole, until one answer has to wait for the client or to be made.
 * False: the connection is gone. */
static bool
conn_process(struct line_conn *conn)
{
    while (conn->out.len == 0 && conn->in.len > 0) {
        const uint8_t *end = memchr(conn->in.data, '\n', conn->in.len);
        size_t len = end == NULL ? conn->in.len : (size_t)(end - conn->in.data);
        if (len > LINE_BYTES_MAX) {
            put_frame(&conn->out, AUGURY_ERR_LIMIT, bytes_of_text("the line is too long"));
            conn->is_closing = true;
            return conn_send(conn);
        }
        if (end == NULL) {
            return true;
        }
        conn_answer(conn, bytes_of(conn->in.data, len));
        buf_consume(&conn->in, len + 1);
        if (conn->is_put_off) {
            return conn_pause(conn);
        }
        if (!conn_send(conn)) {
            return false;
        }
    }
    return true;
}

/* The next lines; and the end, when the client has said that it was the last. */
static void
conn_go_on(struct line_conn *conn)
{
    if (conn_process(conn) && conn->is_closing && conn->out.len == 0 && !conn->is_put_off) {
        conn_close(conn);
    }
}

static void
conn_read(struct line_conn *conn)
{
    uint8_t *room = buf_reserve(&conn->in, LINE_READ_BYTES);
    ssize_t n = room == NULL ? -1 : recv(conn->fd, room, LINE_READ_BYTES, 0);

    if (n < 0) {
        if (room == NULL || (errno != EAGAIN && errno != EINTR)) {
            conn_close(conn);
        }
        return;
    }
    buf_commit(&conn->in, (size_t)n);
    if (n == 0) {
        /* `echo status | nc -U …`: the last line may lack its end, and the client still reads. */
        conn->is_closing = true;
        if (conn->in.len > 0) {
            buf_put_u8(&conn->in, '\n');
        }
    }
    conn_go_on(conn);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct line_conn *conn = conn_cast(arg);

    (void)fd;
    net_loop_turn(conn->server->loop);
    if ((what & EV_TIMEOUT) != 0) {
        conn_close(conn);
    } else if ((what & EV_READ) != 0) {
        conn_read(conn);
    } else if (conn_send(conn)) {
        conn_process(conn);
    }
}

/* Who connects, by the kernel's word; nobody unknown is let in. */
static int
peer_of(int fd, struct net_line_peer *out_peer)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.pid <= 0) {
        return AUGURY_ERR_DENIED;
    }
    *out_peer = (struct net_line_peer){.uid = cred.uid, .gid = cred.gid, .pid = cred.pid};
    return 0;
}

static void
conn_open(struct net_line_server *server, int fd)
{
    struct line_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL || peer_of(fd, &conn->peer) != 0) {
        close(fd);
        free(conn);
        return;
    }
    conn->magic = LINE_CONN_MAGIC;
    conn->fd = fd;
    conn->server = server;
    buf_init(&conn->in, LINE_BYTES_MAX + 2 * LINE_READ_BYTES);
    buf_init(&conn->out, LINE_ANSWER_MAX + 1024);
    net_list_add(&server->connections, &conn->link);
    server->connection_count++;
    if (conn_arm(conn, EV_READ) != 0) {
        conn_close(conn);
        return;
    }
    if (server->connection_count > LINE_CONNECTIONS_MAX) {
        put_frame(&conn->out, AUGURY_ERR_BUSY, bytes_of_text("too many admin connections"));
        conn->is_closing = true;
    } else {
        buf_put_text(&conn->out, server->greeting);
        buf_put_u8(&conn->out, '\n');
    }
    (void)conn_send(conn);
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct net_line_server *server = arg;
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    (void)what;
    AUGURY_ASSERT(server->magic == LINE_SERVER_MAGIC);
    net_loop_turn(server->loop);
    int fd = accept4(listen_fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        conn_open(server, fd);
    }
}

int
net_line_server_new(struct net_loop *loop, int listen_fd, const char *greeting, net_line_fn *fn,
                    void *arg, struct net_line_server **out_server, struct err *err)
{
    struct net_line_server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "admin_socket", "no memory for the admin socket");
    }
    server->magic = LINE_SERVER_MAGIC;
    server->loop = loop;
    server->greeting = greeting;
    server->fn = fn;
    server->arg = arg;
    net_list_init(&server->connections);
    buf_init(&server->body, LINE_ANSWER_MAX);
    if (event_assign(&server->event, loop->base, listen_fd, EV_READ | EV_PERSIST, on_accept,
                     server) != 0 ||
        event_add(&server->event, NULL) != 0) {
        free(server);
        return err_set(err, AUGURY_ERR_IO, "admin_socket", "cannot watch the admin socket");
    }
    *out_server = server;
    return 0;
}

void
net_line_answer(struct net_line_server *server, uint64_t ticket, int code, struct bytes body)
{
    for (struct net_list *i = server->connections.next; i != &server->connections; i = i->next) {
        struct line_conn *conn = conn_cast(NET_LIST_OWNER(i, struct line_conn, link));
        if (!conn->is_put_off || conn->peer.ticket != ticket) {
            continue;
        }
        conn->is_put_off = false;
        put_frame(&conn->out, code, body);
        event_del(&conn->event);
        if (conn_arm(conn, EV_READ) != 0) {
            conn_close(conn);
        } else if (conn_send(conn)) {
            conn_go_on(conn);
        }
        return;
    }
}

void
net_line_server_free(struct net_line_server **server_ref)
{
    struct net_line_server *server = *server_ref;

    if (server == NULL) {
        return;
    }
    AUGURY_ASSERT(server->magic == LINE_SERVER_MAGIC);
    while (!net_list_is_empty(&server->connections)) {
        conn_close(
            conn_cast(NET_LIST_OWNER(net_list_pop(&server->connections), struct line_conn, link)));
    }
    event_del(&server->event);
    buf_fini(&server->body);
    server->magic = 0;
    free(server);
    *server_ref = NULL;
}
