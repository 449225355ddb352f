/* SPDX-License-Identifier: MIT */
/*
 * net_conn.c - one HTTP connection: read, decode, answer, send, wait, close. A turn reads once into
 * the server's scratch memory, answers every whole request in it into the server's output, and
 * sends that with one system call. What is left of an incomplete request is kept in io->in, what
 * the socket did not take in io->out: an idle connection owns neither. A request whose answer
 * comes later (net_later.c) ends the turn; what follows it waits in io->in.
 * Invariants:
 * 1. While io->out has bytes, an answer is to come, or the connection is on the ready list,
 *    nothing is read: memory is bounded by the limits, whatever the client does.
 * 2. Every open connection is in the wheel with a deadline.
 * 3. Deadlines of heads and bodies are set once a request and never moved by arriving bytes.
 */
#include "net_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void conn_process(struct conn *conn, struct bytes input);

/* ---- decode and answer ---------------------------------------------------------------------- */

static void
conn_refuse(struct conn *conn, const struct http_refusal *refusal)
{
    char room[IP_TEXT_MAX + 1];

    answer_put_refusal(conn->server, refusal);
    log_event(conn->server->log, LOG_LEVEL_DEBUG, "request_refused",
              "fd=%d client=%s status=%u code=%s", conn->fd, ip_to_text(&conn->client, room),
              refusal->status, refusal->code);
    conn->is_closing = true;
    conn->is_lingering = true;
}

/* The refusal is all that is sent in this turn. */
static void
conn_refuse_alone(struct conn *conn, const struct http_refusal *refusal)
{
    struct net_server *server = conn->server;

    buf_reset(&server->out);
    conn_refuse(conn, refusal);
    if (conn_send(conn, &server->out)) {
        conn_finish(conn);
    }
}

/* An answer in pieces: what is said of its end. Where other answers are put behind it in this turn
 * it is made whole. */
static unsigned
conn_begin_stream(struct conn *conn, struct buf *out, struct net_answer *answer, unsigned request,
                  unsigned flags)
{
    if (conn->server->held_count > 0) {
        out->rc = stream_whole(answer) != 0 ? AUGURY_ERR_NOMEM : out->rc;
        answer_check(answer);
        return flags;
    }
    if ((request & LATER_MINOR_0) != 0) {
        flags = (flags & ~(unsigned)ANSWER_KEEP_ALIVE) | ANSWER_CLOSE | ANSWER_UNTIL_CLOSE;
        conn->is_closing = true;
    } else {
        flags |= ANSWER_CHUNKED;
    }
    if (!stream_begin(conn, answer, flags)) {
        out->rc = AUGURY_ERR_NOMEM;
    }
    return flags;
}

/* What is not taken leaves no place for telling so. */
void
conn_refuse_bytes(struct conn *conn, enum net_bytes over)
{
    static const struct http_refusal of_all = {
        .status = 503, .code = "too_many_bytes", .reason = "too much waits for other clients"};
    static const struct http_refusal of_client = {
        .status = 429,
        .code = "too_many_bytes",
        .reason = "too much waits for other requests of this client"};
    bool is_client = over == NET_BYTES_OVER_CLIENT;

    if (conn->io->out.len > 0) {
        stats_add(conn->server->stats,
                  is_client ? STATS_HTTP_OVER_CLIENT_BYTES : STATS_HTTP_OVER_BYTES, 1);
        conn_close(conn);
        return;
    }
    conn_refuse_alone(conn, is_client ? &of_client : &of_all);
}

/* Puts an answer, and decides whether the connection goes on after it. */
bool
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
    if (answer->more != NULL) {
        flags = conn_begin_stream(conn, out, answer, request, flags);
    }
    answer_put(server, out, answer, flags);
    return (flags & ANSWER_CLOSE) == 0;
}

/* The same, for the request that the connection is at. */
static void
conn_put_next(struct conn *conn, struct buf *out, struct net_answer *answer, unsigned request)
{
    (void)conn_put_answer(conn, out, answer, request);
    conn->state = conn->stream != NULL ? CONN_STREAM : CONN_HEAD;
    conn->seen = 0;
}

/* server->request is whole: calls the handler and puts the answer, if there is one. */
static void
conn_answer(struct conn *conn, struct bytes body)
{
    struct net_server *server = conn->server;
    const struct http_request *request = &server->request;
    struct net_peer peer = {.listener = conn->listener->name,
                            .listener_index = conn->listener->index,
                            .client_port = conn->client_port,
                            .client = conn->names_clients ? conn_client_behind(conn) : conn->client,
                            .is_tls = conn->tls != NULL};
    struct net_answer answer = {
        .status = 200,
        .content_type = "application/json",
        .headers = &server->answer_headers,
        .body = &server->answer_body,
    };

    buf_reset(answer.headers);
    buf_reset(answer.body);
    if ((request->flags & HTTP_LISTS_GO_ON) != 0) {
        http_lists_join(&server->request, server->lists);
    }
    server->asking = conn;
    server->asked = (struct asked){.listener = peer.listener,
                                   .client = peer.client,
                                   .begin_ns = server->slow_ns != 0 ? clock_mono_ns() : 0};
    if (server->gives_ids) {
        note_id(server);
    }
    server->handler(server->handler_arg, request, body, &peer, &answer);
    server->asking = NULL;
    conn->has_answered = true;
    if (conn->state < CONN_LATER) {
        note_answer_if(server, &server->asked, &answer);
        conn_put_next(conn, &server->out, &answer, later_flags_of(request));
    } else if (conn->state == CONN_SOCKET) {
        socket_begin(conn, &answer);
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
    conn_put_next(conn, &server->late_out, &server->late_answer, flags);
    conn->is_lingering = conn->is_lingering || conn->io->in.len > 0;
    if (!conn_send(conn, &server->late_out)) {
        return;
    }
    enum net_bytes over = limiter_count_bytes(conn);
    if (over != NET_BYTES_FIT && conn->io->out.len > 0) {
        conn_refuse_bytes(conn, over);
    } else if (conn->io->out.len > 0) {
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
    conn_chunked_free(&conn->chunked);
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
    case CONN_STREAM:
    case CONN_SOCKET:
    case CONN_LINGER:
    case CONN_PROXY: break;
    }
    AUGURY_ASSERT(!"a connection that waits or lingers decodes nothing");
    return AUGURY_ERR_STATE;
}

/* A part of a request, or whole ones beyond the turn's share. */
int
conn_keep(struct conn *conn, struct bytes input, size_t used)
{
    size_t keep = input.len - used;

    if (conn->state == CONN_CHUNKS) {
        keep = conn->need; /* the coded bytes after the head are decoded already */
    }
    if (keep == 0) {
        conn_input_drop(conn);
        return 0;
    }
    if (conn->io->in.len == 0) {
        if (conn_io_take(conn) != 0) {
            return AUGURY_ERR_NOMEM;
        }
        buf_put(&conn->io->in, input.data + used, keep);
        return buf_finish(&conn->io->in);
    }
    buf_consume(&conn->io->in, used);
    conn->io->in.len = keep;
    return 0;
}

/* Which deadline runs now. One that is running for the same request goes on. */
static void
conn_wait_input(struct conn *conn)
{
    const struct net_limits *limits = &conn->server->limits;
    bool is_new = conn->has_answered;

    conn_expect_input(conn);
    if (conn->state != CONN_HEAD) {
        if (is_new || conn->wait != WAIT_BODY) {
            conn_wait(conn, WAIT_BODY, limits->body_timeout_ms);
        }
    } else if (conn->io->in.len == 0) {
        conn_wait(conn, WAIT_IDLE, limits->keepalive_timeout_ms);
    } else if (is_new || conn->wait == WAIT_IDLE) {
        conn_wait(conn, WAIT_HEAD, limits->header_timeout_ms);
    } else {
        conn->wait = WAIT_HEAD; /* the first request: its time began with the connection */
    }
}

void
server_trim(struct net_server *server)
{
    struct buf *shared[] = {&server->out,          &server->answer_body, &server->answer_headers,
                            &server->late_out,     &server->late_body,   &server->late_headers,
                            &server->chunked_body, &server->held_out,    &server->held_answers};

    for (size_t i = 0; i < AUGURY_COUNT(shared); i++) {
        if (shared[i]->cap > KEEP_BYTES) {
            buf_fini(shared[i]);
        }
    }
}

/* One turn over what has been read: input is io->in, or the scratch memory when that is empty. */
static void
conn_process(struct conn *conn, struct bytes input)
{
    struct net_server *server = conn->server;
    size_t used = 0;
    int rc = 0;

    if (conn->state == CONN_SOCKET) {
        socket_process(conn, input);
        return;
    }
    buf_reset(&server->out);
    conn->has_answered = false;
    server->input = input;
    for (unsigned left = TURN_REQUESTS; left > 0 && rc == 0 && used < input.len; left--) {
        size_t n = 0;
        rc = conn_step(conn, bytes_of(input.data + used, input.len - used), &n);
        used += n;
        if (conn->state == CONN_LATER && soon_hold(conn, used < input.len) && !conn->is_closing) {
            continue;
        }
        if (conn->is_closing || conn->state >= CONN_LATER || server->out.len >= TURN_OUT_BYTES) {
            break;
        }
    }
    if (conn->has_answered && server->on_turn_end != NULL) {
        server->on_turn_end(server->handler_arg);
    }
    if (server->held_count > 0) {
        soon_finish(server);
    }
    if (conn->is_closing) {
        conn->is_lingering = conn->is_lingering || used < input.len;
        used = input.len;
        conn->state = conn->stream != NULL ? CONN_STREAM : CONN_HEAD;
    }
    if (rc < 0 || conn_keep(conn, input, used) != 0) {
        conn_close(conn);
        return;
    }
    if (!conn_send(conn, &server->out)) {
        return;
    }
    bool may_refuse = conn->io->out.len > 0 || (conn->state < CONN_LATER && !conn->is_closing);
    enum net_bytes over = limiter_count_bytes(conn);
    if (over != NET_BYTES_FIT && may_refuse) {
        conn_refuse_bytes(conn, over);
    } else if (conn->io->out.len > 0) {
        conn_wait_send(conn);
    } else if (conn->is_closing || conn->state >= CONN_LATER) {
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
    ssize_t n = conn_receive(conn);

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            conn_close(conn);
        }
        return;
    }
    stats_add(server->stats, STATS_HTTP_BYTES_IN, (size_t)n);
    if (conn->io->in.len == 0) {
        conn_process(conn, bytes_of(server->scratch, (size_t)n));
        return;
    }
    buf_put(&conn->io->in, server->scratch, (size_t)n);
    if (buf_finish(&conn->io->in) != 0) {
        conn_close(conn);
        return;
    }
    conn_process(conn, buf_view(&conn->io->in));
}

void
conn_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = conn_cast(arg);
    struct net_server *server = conn->server;

    (void)fd;
    server_turn(server);
    if ((what & EV_WRITE) != 0 && conn->io->out.len > 0) {
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
    if (conn->state == CONN_PROXY) {
        conn_read_proxy(conn);
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
    conn_io_init(conn);
    net_list_add(&server->connections, &conn->all);
    server_remember(server);
    return conn;
}

/* A client with too many connections is told before it asks; by TLS a handshake is what is saved.
 */
void
conn_refuse_client(struct conn *conn)
{
    static const struct http_refusal refusal = {.status = 429,
                                                .code = "too_many_connections",
                                                .reason = "too many connections of one client"};
    struct net_server *server = conn->server;

    if (conn->tls != NULL || server->connection_count > server->limits.connections) {
        conn_close(conn);
        return;
    }
    conn_refuse_alone(conn, &refusal);
}

void
conn_open(struct listener *listener, int fd, const struct sockaddr *address)
{
    struct conn *conn = conn_new(listener, fd);

    if (conn == NULL) {
        return;
    }
    if (listener->tls != NULL) {
        conn->tls = tls_accept(listener->tls, fd);
        if (conn->tls == NULL) {
            conn_close(conn);
            return;
        }
    }
    if (!conn_meet(conn, address)) {
        conn_close(conn);
        return;
    }
    if (conn->state != CONN_PROXY && !conn_count_client(conn)) {
        conn_refuse_client(conn);
        return;
    }
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
    if (listener->tls != NULL) { /* a handshake is what the limit is there to save */
        close(fd);
        return;
    }
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
    if (conn->state == CONN_SOCKET) {
        socket_expire(conn);
        return;
    }
    if (conn->wait == WAIT_STREAM) {
        stream_next(conn);
        return;
    }
    if (conn->state == CONN_STREAM) {
        stats_add(server->stats, STATS_HTTP_STREAMS_CUT, 1); /* the client did not take it */
    }
    if (conn->wait != WAIT_HEAD && conn->wait != WAIT_BODY) {
        conn_close(conn);
        return;
    }
    conn_refuse_alone(conn, &late);
}

void
conn_resume_ready(struct net_server *server)
{
    struct net_list now;

    net_list_init(&now);
    while (!net_list_is_empty(&server->ready)) {
        net_list_add(&now, net_list_pop(&server->ready));
    }
    server->limiter.due_ns = server->limiter.ready_ns;
    while (!net_list_is_empty(&now)) {
        struct conn *conn = conn_cast(NET_LIST_OWNER(net_list_pop(&now), struct conn, ready));
        if (conn->state == CONN_STREAM) {
            stream_next(conn);
        } else if (conn->reads_next) {
            conn->reads_next = false;
            conn_read(conn);
        } else {
            conn_process(conn, buf_view(&conn->io->in));
        }
    }
    server->limiter.due_ns = 0;
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
        bool is_idle =
            conn->wait == WAIT_IDLE || conn->wait == WAIT_FIRST || conn->wait == WAIT_STREAM;
        if (conn->state == CONN_SOCKET) {
            socket_drain(conn);
        }
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
