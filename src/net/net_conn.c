/* SPDX-License-Identifier: MIT */
/*
 * net_conn.c - one HTTP connection: read, decode, answer, send, wait, close. A turn reads once into
 * the server's scratch memory, answers every whole request in it into the server's output, and
 * sends that with one system call. What is left of an incomplete request is kept in conn->in, what
 * the socket did not take in conn->out: an idle connection owns neither. A request whose answer
 * comes later (net_later.c) ends the turn; what follows it waits in conn->in.
 * Invariants:
 * 1. While conn->out has bytes, an answer is to come, or the connection is on the ready list,
 *    nothing is read: memory is bounded by the limits, whatever the client does.
 * 2. Every open connection is in the wheel with a deadline.
 * 3. Deadlines of heads and bodies are set once a request and never moved by arriving bytes.
 */
#include "net_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONN_MAGIC = 0x434f4e4e };

enum conn_state {
    CONN_HEAD,   /* in: a part of a head, or nothing */
    CONN_BODY,   /* in: the head and a part of its body, of need bytes together */
    CONN_CHUNKS, /* in: the head, of need bytes; what has been decoded is in chunked */
    CONN_LATER,  /* in: what follows the request whose answer is to come */
    CONN_LINGER, /* all is sent and the sending side shut; what comes is dropped */
};

enum conn_wait { WAIT_FIRST, WAIT_IDLE, WAIT_HEAD, WAIT_BODY, WAIT_ANSWER, WAIT_SEND, WAIT_LINGER };

/* A chunked body that did not arrive in one read. */
struct chunked {
    struct http_chunks chunks;
    struct buf body;
};

struct conn {
    uint32_t magic;
    int fd;
    struct listener *listener;
    struct net_server *server;
    struct net_list all;
    struct net_list ready;
    struct net_deadline deadline;
    struct buf in;
    struct buf out;
    size_t out_sent; /* bytes of out that are gone */
    size_t seen;     /* CONN_HEAD: bytes of in that were parsed in vain; CONN_LATER: its place */
    size_t need;     /* CONN_LINGER: bytes dropped */
    struct chunked *chunked;
    uint8_t state;     /* enum conn_state */
    uint8_t wait;      /* enum conn_wait: which deadline runs */
    short armed;       /* EV_READ, EV_WRITE or 0 */
    bool is_closing;   /* the last answer is written or being sent */
    bool is_lingering; /* the client may still be sending */
    bool has_answered; /* in this turn: the deadline begins anew */
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } peer;
    struct event event;
};
_Static_assert(sizeof(struct conn) <= 300 + sizeof(struct event), "idle connections are cheap");

static void conn_process(struct conn *conn, struct bytes input);

static struct conn *
conn_cast(void *arg)
{
    struct conn *conn = arg;

    AUGURY_ASSERT(conn->magic == CONN_MAGIC);
    return conn;
}

/* ---- close ---------------------------------------------------------------------------------- */

static void
chunked_free(struct chunked **chunked)
{
    if (*chunked != NULL) {
        buf_fini(&(*chunked)->body);
        free(*chunked);
        *chunked = NULL;
    }
}

static void
conn_close(struct conn *conn)
{
    struct net_server *server = conn->server;

    log_event(server->log, LOG_LEVEL_DEBUG, "connection_closed", "fd=%d", conn->fd);
    if (conn->state == CONN_LATER) {
        later_release(server, (uint32_t)conn->seen);
    }
    if (conn->armed != 0) {
        event_del(&conn->event);
    }
    net_wheel_del(&conn->deadline);
    net_list_del(&conn->all);
    net_list_del(&conn->ready);
    close(conn->fd);
    buf_fini(&conn->in);
    buf_fini(&conn->out);
    chunked_free(&conn->chunked);
    conn->magic = 0;
    free(conn);
    server_forget(server);
}

static void
conn_wait(struct conn *conn, enum conn_wait wait, uint32_t timeout_ms)
{
    conn->wait = (uint8_t)wait;
    net_wheel_set(&conn->server->wheel, &conn->deadline, server_now_ms(conn->server) + timeout_ms);
}

static void on_event(evutil_socket_t fd, short what, void *arg);

/* Waits for EV_READ, for EV_WRITE, or for nothing (0). */
static void
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
                              (short)(what | EV_PERSIST), on_event, conn);
        AUGURY_ASSERT(rc == 0);
        rc = event_add(&conn->event, NULL);
        AUGURY_ASSERT(rc == 0);
    }
}

/* All is sent. A client that may still be sending is given time to read the answer: closing a
 * socket with unread input would reset the connection and throw the answer away (RFC 9112 9.6). */
static void
conn_finish(struct conn *conn)
{
    if (!conn->is_lingering || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_close(conn);
        return;
    }
    buf_fini(&conn->in);
    chunked_free(&conn->chunked);
    net_list_del(&conn->ready);
    conn->state = CONN_LINGER;
    conn->need = 0;
    conn_wait(conn, WAIT_LINGER, LINGER_MS);
    conn_arm(conn, EV_READ);
}

/* MSG_TRUNC: what comes is dropped in the kernel, not copied (tcp(7)). */
static void
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

/* ---- send ----------------------------------------------------------------------------------- */

/* Sends the turn's output, or a late answer. False: the connection is gone. Afterwards conn->out
 * has what was not taken. */
static bool
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
    ssize_t n = conn->out.len > 0 ? 0 : send(conn->fd, out->data, out->len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_close(conn);
        return false;
    }
    sent = n > 0 ? (size_t)n : 0;
    stats_add(conn->server->stats, STATS_HTTP_BYTES_OUT, sent);
    if (sent < out->len) {
        buf_put(&conn->out, out->data + sent, out->len - sent);
        if (buf_finish(&conn->out) != 0) {
            conn_close(conn);
            return false;
        }
    }
    return true;
}

static void
conn_mark_ready(struct conn *conn)
{
    conn_arm(conn, 0);
    conn_wait(conn, WAIT_HEAD, conn->server->limits.header_timeout_ms);
    if (!net_list_is_linked(&conn->ready)) {
        net_list_add(&conn->server->ready, &conn->ready);
        server_call_next_turn(conn->server);
    }
}

/* Goes on when what was answered has been sent: an answer that is to come, what has been read, or
 * what will be. */
static void
conn_go_on(struct conn *conn)
{
    const struct net_server *server = conn->server;

    if (conn->state == CONN_LATER) {
        uint64_t until_ms = server->laters[conn->seen].until_ms;
        uint64_t now_ms = server_now_ms(server);
        if (conn->armed == EV_WRITE) {
            conn_arm(conn, 0);
        }
        conn_wait(conn, WAIT_ANSWER, until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : 0);
    } else if (conn->is_closing) {
        conn_finish(conn);
    } else if (conn->in.len > 0) {
        conn->seen = 0;
        conn_mark_ready(conn); /* a whole request may wait in what has been read */
    } else {
        conn_wait(conn, WAIT_IDLE, server->limits.keepalive_timeout_ms);
        conn_arm(conn, EV_READ);
    }
}

static void
conn_wait_send(struct conn *conn)
{
    conn_arm(conn, EV_WRITE);
    conn_wait(conn, WAIT_SEND, conn->server->limits.send_timeout_ms);
}

/* The socket takes bytes again. */
static void
conn_flush(struct conn *conn)
{
    size_t left = conn->out.len - conn->out_sent;
    ssize_t n = send(conn->fd, conn->out.data + conn->out_sent, left, MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            conn_close(conn);
        }
        return;
    }
    stats_add(conn->server->stats, STATS_HTTP_BYTES_OUT, (size_t)n);
    conn->out_sent += (size_t)n;
    if (conn->out_sent < conn->out.len) {
        return;
    }
    buf_fini(&conn->out);
    conn->out_sent = 0;
    conn_go_on(conn);
}

/* ---- decode and answer ---------------------------------------------------------------------- */

static void
conn_refuse(struct conn *conn, const struct http_refusal *refusal)
{
    answer_put_refusal(conn->server, refusal);
    log_event(conn->server->log, LOG_LEVEL_DEBUG, "request_refused", "fd=%d status=%u code=%s",
              conn->fd, refusal->status, refusal->code);
    conn->is_closing = true;
    conn->is_lingering = true;
}

/* Puts an answer, and decides whether the connection goes on after it. */
static void
conn_put_answer(struct conn *conn, struct buf *out, struct net_answer *answer, unsigned request)
{
    struct net_server *server = conn->server;
    bool is_kept = (request & LATER_KEEP_ALIVE) != 0;
    unsigned flags = (request & LATER_HEAD) != 0 ? ANSWER_HEAD : 0;

    answer_check(answer);
    if (!is_kept || answer->is_closing || server->is_draining) {
        flags |= ANSWER_CLOSE;
        conn->is_closing = true;
        conn->is_lingering = is_kept; /* the client did not expect the end and may have sent more */
    } else if ((request & LATER_MINOR_0) != 0) {
        flags |= ANSWER_KEEP_ALIVE;
    }
    answer_put(server, out, answer, flags);
    conn->state = CONN_HEAD;
    conn->seen = 0;
}

/* server->request is whole: calls the handler and puts the answer, if there is one. */
static void
conn_answer(struct conn *conn, struct bytes body)
{
    struct net_server *server = conn->server;
    const struct http_request *request = &server->request;
    struct net_peer peer = {.listener = conn->listener->name, .address = &conn->peer.any};
    struct net_answer answer = {
        .status = 200,
        .content_type = "application/json",
        .headers = &server->answer_headers,
        .body = &server->answer_body,
    };

    buf_reset(answer.headers);
    buf_reset(answer.body);
    server->asking = conn;
    server->handler(server->handler_arg, request, body, &peer, &answer);
    server->asking = NULL;
    conn->has_answered = true;
    if (conn->state != CONN_LATER) {
        conn_put_answer(conn, &server->out, &answer, later_flags_of(request));
    }
}

bool
conn_wait_later(struct conn *conn, uint32_t index)
{
    if (conn->state == CONN_LATER) {
        return false;
    }
    conn->state = CONN_LATER;
    conn->seen = index;
    return true;
}

void
conn_answer_late(struct conn *conn, unsigned flags)
{
    struct net_server *server = conn->server;

    buf_reset(&server->late_out);
    conn_put_answer(conn, &server->late_out, &server->late_answer, flags);
    conn->is_lingering = conn->is_lingering || conn->in.len > 0;
    if (!conn_send(conn, &server->late_out)) {
        return;
    }
    if (conn->out.len > 0) {
        conn_wait_send(conn);
    } else {
        conn_go_on(conn);
    }
}

static void
conn_say_continue(struct conn *conn)
{
    if ((conn->server->request.flags & HTTP_EXPECT_CONTINUE) != 0) {
        buf_put_text(&conn->server->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

/* Parses the head that input begins with, which was parsed well before: its views point into
 * input again. */
static void
conn_parse_again(struct conn *conn, struct bytes input, size_t *out_used)
{
    struct http_refusal refusal;
    int rc = http_parse_head(input, &conn->server->limits.http, &conn->server->request, out_used,
                             &refusal);

    AUGURY_ASSERT(rc == 0);
}

/* A body that begins with this read goes to the server's buffer, and to one of its own when it
 * does not end with it. */
static int
conn_step_chunks(struct conn *conn, struct bytes input, size_t *out_used)
{
    struct net_server *server = conn->server;

    buf_reset(&server->chunked_body);
    struct chunked first = {.body = server->chunked_body};
    struct chunked *chunked = conn->chunked != NULL ? conn->chunked : &first;
    struct http_refusal refusal;
    size_t used = 0;
    size_t head_len = 0;

    int rc = http_chunks_feed(&chunked->chunks,
                              bytes_of(input.data + conn->need, input.len - conn->need),
                              &server->limits.http, &chunked->body, &used, &refusal);
    if (chunked == &first) {
        server->chunked_body = first.body;
    }
    if (rc == AUGURY_ERR_INVALID) {
        conn_refuse(conn, &refusal);
        *out_used = input.len;
        return 0;
    }
    if (rc == AUGURY_MORE && chunked == &first) {
        conn->chunked = malloc(sizeof(first));
        if (conn->chunked == NULL) {
            return AUGURY_ERR_NOMEM;
        }
        *conn->chunked = first;
        buf_init(&server->chunked_body, server->limits.http.body_bytes);
    }
    if (rc == AUGURY_MORE) {
        return rc;
    }
    conn_parse_again(conn, input, &head_len);
    conn_answer(conn, buf_view(&chunked->body));
    *out_used = conn->need + used;
    chunked_free(&conn->chunked);
    return 0;
}

static int
conn_step_body(struct conn *conn, struct bytes input, size_t *out_used)
{
    size_t head_len = 0;

    if (input.len < conn->need) {
        return AUGURY_MORE;
    }
    conn_parse_again(conn, input, &head_len);
    conn_answer(conn, bytes_of(input.data + head_len, conn->need - head_len));
    *out_used = conn->need;
    return 0;
}

static int
conn_step_head(struct conn *conn, struct bytes input, size_t *out_used)
{
    struct net_server *server = conn->server;
    struct http_request *request = &server->request;
    struct http_refusal refusal;
    size_t head_len = 0;

    if (conn->seen > 0 && !http_head_may_end(input, conn->seen, &server->limits.http)) {
        conn->seen = input.len;
        return AUGURY_MORE;
    }
    int rc = http_parse_head(input, &server->limits.http, request, &head_len, &refusal);
    if (rc == AUGURY_MORE) {
        conn->seen = input.len;
        return rc;
    }
    if (rc != 0) {
        conn_refuse(conn, &refusal);
        *out_used = input.len;
        return 0;
    }
    if ((request->flags & HTTP_CHUNKED) != 0) {
        conn->need = head_len;
        conn->state = CONN_CHUNKS;
        rc = conn_step_chunks(conn, input, out_used);
    } else if (input.len - head_len < request->body_bytes) {
        conn->need = head_len + (size_t)request->body_bytes;
        conn->state = CONN_BODY;
        rc = AUGURY_MORE;
    } else {
        conn_answer(conn, bytes_of(input.data + head_len, (size_t)request->body_bytes));
        *out_used = head_len + (size_t)request->body_bytes;
    }
    if (rc == AUGURY_MORE) {
        conn_say_continue(conn);
    }
    return rc;
}

/* One request at most. 0: *out_used bytes are done with; AUGURY_MORE. */
static int
conn_step(struct conn *conn, struct bytes input, size_t *out_used)
{
    switch ((enum conn_state)conn->state) {
    case CONN_HEAD: return conn_step_head(conn, input, out_used);
    case CONN_BODY: return conn_step_body(conn, input, out_used);
    case CONN_CHUNKS: return conn_step_chunks(conn, input, out_used);
    case CONN_LATER:
    case CONN_LINGER: break;
    }
    AUGURY_ASSERT(!"a connection that waits or lingers decodes nothing");
    return AUGURY_ERR_STATE;
}

/* Keeps what the turn did not use: a part of a request, or whole ones beyond its share. */
static int
conn_keep(struct conn *conn, struct bytes input, size_t used)
{
    size_t keep = input.len - used;

    if (conn->state == CONN_CHUNKS) {
        keep = conn->need; /* the coded bytes after the head are decoded already */
    }
    if (keep == 0) {
        buf_fini(&conn->in);
        return 0;
    }
    if (conn->in.len == 0) {
        buf_put(&conn->in, input.data + used, keep);
        return buf_finish(&conn->in);
    }
    buf_consume(&conn->in, used);
    conn->in.len = keep;
    return 0;
}

/* Which deadline runs now. One that is running for the same request goes on. */
static void
conn_wait_input(struct conn *conn)
{
    const struct net_limits *limits = &conn->server->limits;
    bool is_new = conn->has_answered;

    conn_arm(conn, EV_READ);
    if (conn->state != CONN_HEAD) {
        if (is_new || conn->wait != WAIT_BODY) {
            conn_wait(conn, WAIT_BODY, limits->body_timeout_ms);
        }
    } else if (conn->in.len == 0) {
        conn_wait(conn, WAIT_IDLE, limits->keepalive_timeout_ms);
    } else if (is_new || conn->wait == WAIT_IDLE) {
        conn_wait(conn, WAIT_HEAD, limits->header_timeout_ms);
    } else {
        conn->wait = WAIT_HEAD; /* the first request: its time began with the connection */
    }
}

/* Gives memory back that one large exchange took. */
static void
server_trim(struct net_server *server)
{
    struct buf *shared[] = {&server->out,         &server->answer_body, &server->answer_headers,
                            &server->late_out,    &server->late_body,   &server->late_headers,
                            &server->chunked_body};

    for (size_t i = 0; i < AUGURY_COUNT(shared); i++) {
        if (shared[i]->cap > KEEP_BYTES) {
            buf_fini(shared[i]);
        }
    }
}

/* One turn over what has been read: input is conn->in, or the scratch memory when that is empty. */
static void
conn_process(struct conn *conn, struct bytes input)
{
    struct net_server *server = conn->server;
    size_t used = 0;
    int rc = 0;

    buf_reset(&server->out);
    conn->has_answered = false;
    for (unsigned left = TURN_REQUESTS; left > 0 && rc == 0 && used < input.len; left--) {
        size_t n = 0;
        rc = conn_step(conn, bytes_of(input.data + used, input.len - used), &n);
        used += n;
        if (conn->is_closing || conn->state == CONN_LATER || server->out.len >= TURN_OUT_BYTES) {
            break;
        }
    }
    if (conn->has_answered && server->on_turn_end != NULL) {
        server->on_turn_end(server->handler_arg);
    }
    if (conn->is_closing) {
        conn->is_lingering = conn->is_lingering || used < input.len;
        used = input.len;
        conn->state = CONN_HEAD;
    }
    if (rc < 0 || conn_keep(conn, input, used) != 0) {
        conn_close(conn);
        return;
    }
    if (!conn_send(conn, &server->out)) {
        return;
    }
    if (conn->out.len > 0) {
        conn_wait_send(conn);
    } else if (conn->is_closing || conn->state == CONN_LATER) {
        conn_go_on(conn);
    } else if (rc == 0 && used < input.len) {
        conn_mark_ready(conn);
    } else {
        conn_wait_input(conn);
    }
}

/* ---- read ----------------------------------------------------------------------------------- */

static void
conn_read(struct conn *conn)
{
    struct net_server *server = conn->server;
    ssize_t n = recv(conn->fd, server->scratch, SCRATCH_BYTES, 0);

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            conn_close(conn);
        }
        return;
    }
    stats_add(server->stats, STATS_HTTP_BYTES_IN, (size_t)n);
    if (conn->in.len == 0) {
        conn_process(conn, bytes_of(server->scratch, (size_t)n));
        return;
    }
    buf_put(&conn->in, server->scratch, (size_t)n);
    if (buf_finish(&conn->in) != 0) {
        conn_close(conn);
        return;
    }
    conn_process(conn, buf_view(&conn->in));
}

/* Something comes while an answer is to come, and stays where it is; a reset ends the wait. The end
 * of what the client sends does not: it may well wait for its answer. */
static void
conn_peek(struct conn *conn)
{
    uint8_t byte = 0;

    if (recv(conn->fd, &byte, 1, MSG_PEEK) < 0 && errno != EAGAIN && errno != EINTR) {
        conn_close(conn);
    } else {
        conn_arm(conn, 0);
    }
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = conn_cast(arg);
    struct net_server *server = conn->server;

    (void)fd;
    server_turn(server);
    if ((what & EV_WRITE) != 0) {
        conn_flush(conn);
        return;
    }
    if (conn->state == CONN_LATER) {
        conn_peek(conn);
        return;
    }
    if (conn->state == CONN_LINGER) {
        conn_linger(conn);
        return;
    }
    bool is_timed = server->turn_count++ % TURN_TIMED_ONE_IN == 0;
    uint64_t begin_ns = is_timed ? clock_mono_ns() : 0;
    conn_read(conn);
    server_trim(server);
    if (is_timed) {
        stats_observe(server->stats, STATS_HTTP_TURN, clock_mono_ns() - begin_ns);
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

/* NULL: no memory; fd is closed. */
static struct conn *
conn_new(struct listener *listener, int fd)
{
    struct net_server *server = listener->server;
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn->magic = CONN_MAGIC;
    conn->fd = fd;
    conn->listener = listener;
    conn->server = server;
    buf_init(&conn->in,
             server->limits.http.head_bytes + server->limits.http.body_bytes + SCRATCH_BYTES);
    buf_init(&conn->out, SIZE_MAX);
    net_list_add(&server->connections, &conn->all);
    server_remember(server);
    return conn;
}

void
conn_open(struct listener *listener, int fd, const struct sockaddr *address)
{
    struct conn *conn = conn_new(listener, fd);

    if (conn == NULL) {
        return;
    }
    size_t len = address->sa_family == AF_INET6 ? sizeof(conn->peer.in6) : sizeof(conn->peer.in4);
    memcpy(&conn->peer, address, len);
    stats_add(conn->server->stats, STATS_HTTP_CONNECTIONS_ACCEPTED, 1);
    log_event(conn->server->log, LOG_LEVEL_DEBUG, "connection_opened", "fd=%d listener=%s", fd,
              listener->name);
    conn_wait(conn, WAIT_FIRST, conn->server->limits.header_timeout_ms);
    conn_arm(conn, EV_READ);
}

void
conn_open_refused(struct listener *listener, int fd, bool may_linger)
{
    static const struct http_refusal refusal = {
        .status = 503, .code = "too_many_connections", .reason = "too many connections"};
    struct net_server *server = listener->server;

    buf_reset(&server->out);
    answer_put_refusal(server, &refusal);
    ssize_t n = send(fd, server->out.data, server->out.len, MSG_NOSIGNAL);
    if (n < 0 || !may_linger) {
        close(fd);
        return;
    }
    struct conn *conn = conn_new(listener, fd);
    if (conn != NULL) {
        conn->is_closing = true;
        conn->is_lingering = true;
        conn_finish(conn);
    }
}

/* A deadline passed. In the middle of a request the client is told; silence is answered by
 * silence. */
void
conn_expire(struct net_server *server, struct net_deadline *deadline)
{
    static const struct http_refusal late = {
        .status = 408, .code = "timeout", .reason = "the request did not arrive in time"};
    struct conn *conn = conn_cast(NET_LIST_OWNER(deadline, struct conn, deadline));

    if (conn->wait == WAIT_ANSWER) {
        later_expire(server, (uint32_t)conn->seen);
        return;
    }
    if (conn->wait != WAIT_HEAD && conn->wait != WAIT_BODY) {
        conn_close(conn);
        return;
    }
    buf_reset(&server->out);
    conn_refuse(conn, &late);
    if (conn_send(conn, &server->out)) {
        conn_finish(conn);
    }
}

void
conn_resume_ready(struct net_server *server)
{
    struct net_list now;

    net_list_init(&now);
    while (!net_list_is_empty(&server->ready)) {
        net_list_add(&now, net_list_pop(&server->ready));
    }
    while (!net_list_is_empty(&now)) {
        struct conn *conn = conn_cast(NET_LIST_OWNER(net_list_pop(&now), struct conn, ready));
        conn_process(conn, buf_view(&conn->in));
    }
}

/* Idle connections get idle_ms more: a client in the middle of a series of requests is then told
 * by an answer that the connection ends, and loses none to a close that crosses it on the way. */
void
conn_drain_all(struct net_server *server, uint32_t idle_ms)
{
    uint64_t until_ms = server_now_ms(server) + idle_ms;
    struct net_list *link = server->connections.next;

    for (; link != &server->connections; link = link->next) {
        struct conn *conn = conn_cast(NET_LIST_OWNER(link, struct conn, all));
        bool is_idle = conn->wait == WAIT_IDLE || conn->wait == WAIT_FIRST;
        if (is_idle && conn->deadline.at_ms > until_ms) {
            net_wheel_set(&server->wheel, &conn->deadline, until_ms);
        }
    }
}

void
conn_close_all(struct net_server *server)
{
    while (!net_list_is_empty(&server->connections)) {
        conn_close(conn_cast(NET_LIST_OWNER(net_list_pop(&server->connections), struct conn, all)));
    }
}
