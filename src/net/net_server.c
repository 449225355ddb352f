/* SPDX-License-Identifier: MIT */
/*
 * net_server.c - accepts connections, keeps time for them, drains.
 * Fairness among workers that share a listener: each wake-up accepts one, so that a worker busy
 * with its connections accepts less than one that waits, and a worker above its share steps back
 * (net_share.c).
 */
#include "net_server.h"
#include "net_frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SERVER_MAGIC = 0x53525652,
    LISTENER_MAGIC = 0x4c53544e,
    ACCEPTS_A_TURN = 1,
    ACCEPTS_OF_A_LONG_TURN = 16, /* else those who connect wait where no limit sees them */
    ACCEPTS_AT_LAST = 256,
    ACCEPT_PAUSE_MS = 250, /* when descriptors or memory ran out */
    SHARE_PAUSE_MS = 2,    /* when another worker should be faster */
};

/* ---- time ----------------------------------------------------------------------------------- */

static void
write_date(struct net_server *server, uint64_t now_ms)
{
    uint64_t wall_ms = clock_wall_ms();
    char date[CLOCK_HTTP_BYTES];

    clock_to_http(wall_ms, date);
    int len = snprintf(server->lines, sizeof(server->lines), "Date: %.*s\r\nServer: augury\r\n%s",
                       CLOCK_HTTP_BYTES, date,
                       server->has_nosniff ? "X-Content-Type-Options: nosniff\r\n" : "");
    server->lines_len = (uint8_t)len;
    server->wall_offset_ms = wall_ms - now_ms;
    server->date_until_ms = now_ms + 1000 - wall_ms % 1000;
}

uint64_t
server_now_ms(const struct net_server *server)
{
    return net_loop_now_ms(server->loop);
}

void
server_turn(struct net_server *server)
{
    net_loop_turn_coarse(server->loop);
    uint64_t now_ms = server_now_ms(server);

    if (now_ms >= server->date_until_ms) {
        write_date(server, now_ms);
    }
}

uint64_t
net_server_now_wall_ms(const struct net_server *server)
{
    return server_now_ms(server) + server->wall_offset_ms;
}

static struct net_server *
server_cast(void *arg)
{
    struct net_server *server = arg;

    AUGURY_ASSERT(server->magic == SERVER_MAGIC);
    return server;
}

static void
on_deadline(void *arg, struct net_deadline *deadline)
{
    conn_expire(server_cast(arg), deadline);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct net_server *server = server_cast(arg);

    (void)fd;
    (void)what;
    server_turn(server);
    net_wheel_advance(&server->wheel, server_now_ms(server), on_deadline, server);
}

void
server_call_next_turn(struct net_server *server)
{
    const struct timeval now = {0, 0};

    event_add(&server->next_turn, &now);
}

static void
on_next_turn(evutil_socket_t fd, short what, void *arg)
{
    struct net_server *server = server_cast(arg);

    (void)fd;
    (void)what;
    server_turn(server);
    conn_resume_ready(server);
    if (server->connection_count == 0 && server->on_drained != NULL) {
        void (*on_drained)(void *) = server->on_drained;
        server->on_drained = NULL;
        event_del(&server->drain_limit);
        on_drained(server->on_drained_arg); /* may free the server */
    }
}

static void
count_connections(struct net_server *server, size_t count)
{
    server->connection_count = count;
    stats_set(server->stats, STATS_HTTP_CONNECTIONS_OPEN, count);
    share_put(server);
}

void
server_remember(struct net_server *server)
{
    count_connections(server, server->connection_count + 1);
    if (server->connection_count == 1) {
        struct timeval tick = net_timeval_of_ms(NET_WHEEL_TICK_MS);
        event_add(&server->tick, &tick);
    }
}

void
server_forget(struct net_server *server)
{
    count_connections(server, server->connection_count - 1);
    if (server->connection_count == 0) {
        event_del(&server->tick);
        if (server->on_drained != NULL) {
            server_call_next_turn(server);
        }
    }
}

/* ---- accept --------------------------------------------------------------------------------- */

static struct listener *
listener_cast(void *arg)
{
    struct listener *listener = arg;

    AUGURY_ASSERT(listener->magic == LISTENER_MAGIC);
    return listener;
}

static void
listener_pause(struct listener *listener, uint32_t ms)
{
    struct timeval pause = net_timeval_of_ms(ms);

    event_del(&listener->event);
    event_add(&listener->resume, &pause);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = listener_cast(arg);

    (void)fd;
    (void)what;
    if (!listener->server->is_draining) {
        listener->has_waited = true;
        event_add(&listener->event, NULL);
    }
}

static int
open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is left. The one in reserve tells one client so; the others wait in the queue,
 * where another worker may take them. */
static void
accept_without_descriptors(struct listener *listener, int why)
{
    struct net_server *server = listener->server;

    log_event(server->log, LOG_LEVEL_WARN, "accept_paused", "listener=%s reason=\"%s\" ms=%d",
              listener->name, strerror(why), ACCEPT_PAUSE_MS);
    if (server->reserve_fd >= 0) {
        close(server->reserve_fd);
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            conn_open_refused(listener, fd, false);
        }
        server->reserve_fd = open_reserve();
    }
    listener_pause(listener, ACCEPT_PAUSE_MS);
}

/* False: none is left, or nothing to take one with. */
static bool
accept_one(struct listener *listener)
{
    struct net_server *server = listener->server;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);
    int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0 && server->connection_count < server->limits.connections) {
        conn_open(listener, fd, (struct sockaddr *)&address);
    } else if (fd >= 0) {
        conn_open_refused(listener, fd,
                          server->connection_count < server->limits.connections + REFUSED_MAX);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        accept_without_descriptors(listener, errno);
        return false;
    }
    return fd >= 0 || errno != EAGAIN; /* else another worker was faster */
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct listener *listener = listener_cast(arg);
    struct net_server *server = listener->server;
    int left = limiter_is_lagging(server) ? ACCEPTS_OF_A_LONG_TURN : ACCEPTS_A_TURN;

    (void)listen_fd;
    (void)what;
    server_turn(server);
    if (!listener->has_waited && share_is_over(server)) {
        listener_pause(listener, SHARE_PAUSE_MS);
        return;
    }
    listener->has_waited = false; /* nobody else took it */
    while (left > 0 && accept_one(listener)) {
        left--;
    }
}

int
net_server_listen(struct net_server *server, const struct net_listen_options *options,
                  struct err *err)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "listen", "no memory for listener %s", options->name);
    }
    listener->magic = LISTENER_MAGIC;
    listener->server = server;
    listener->fd = options->fd;
    listener->index = options->index;
    listener->tls = options->tls;
    listener->trusted = options->trusted;
    listener->forwarded = options->forwarded;
    listener->has_proxy_protocol = options->has_proxy_protocol;
    listener->queue = options->backlog > ACCEPTS_AT_LAST ? options->backlog : ACCEPTS_AT_LAST;
    snprintf(listener->name, sizeof(listener->name), "%s", options->name);
    struct event_base *base = server->loop->base;
    if (event_assign(&listener->event, base, options->fd, EV_READ | EV_PERSIST, on_accept,
                     listener) != 0 ||
        event_assign(&listener->resume, base, -1, 0, on_resume, listener) != 0 ||
        event_add(&listener->event, NULL) != 0) {
        free(listener);
        return err_set(err, AUGURY_ERR_IO, "listen", "cannot watch listener %s", options->name);
    }
    net_list_add(&server->listeners, &listener->link);
    share_put(server);
    return 0;
}

/* ---- drain ---------------------------------------------------------------------------------- */

static void
stop_accepting(struct net_server *server)
{
    struct net_list *link = server->listeners.next;

    for (; link != &server->listeners; link = link->next) {
        struct listener *listener = NET_LIST_OWNER(link, struct listener, link);
        event_del(&listener->event);
        event_del(&listener->resume);
    }
    share_leave(server);
}

/* Nobody else may accept from a listener that ends with this server: what waits there would be
 * reset. */
static void
accept_the_last(struct net_server *server)
{
    struct net_list *link = server->listeners.next;

    for (; link != &server->listeners; link = link->next) {
        struct listener *listener = NET_LIST_OWNER(link, struct listener, link);
        for (uint32_t left = listener->queue; left > 0 && accept_one(listener); left--) {
        }
    }
}

static void
on_drain_limit(evutil_socket_t fd, short what, void *arg)
{
    struct net_server *server = server_cast(arg);

    (void)fd;
    (void)what;
    server_turn(server);
    log_event(server->log, LOG_LEVEL_WARN, "drain_cut", "connections=%zu",
              server->connection_count);
    conn_close_all(server);
}

void
net_server_drain(struct net_server *server, uint32_t limit_ms, void (*on_drained)(void *arg),
                 void *arg)
{
    struct timeval limit = net_timeval_of_ms(limit_ms);

    server_turn(server);
    accept_the_last(server);
    server->is_draining = true;
    server->on_drained = on_drained;
    server->on_drained_arg = arg;
    stop_accepting(server);
    conn_drain_all(server, limit_ms / 2 < DRAIN_IDLE_MS ? limit_ms / 2 : DRAIN_IDLE_MS);
    event_add(&server->drain_limit, &limit);
    if (server->connection_count == 0) {
        server_call_next_turn(server);
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

static int
assign_events(struct net_server *server)
{
    struct event_base *base = server->loop->base;

    if (event_assign(&server->tick, base, -1, EV_PERSIST, on_tick, server) != 0 ||
        event_assign(&server->next_turn, base, -1, 0, on_next_turn, server) != 0 ||
        event_assign(&server->soon, base, -1, 0, on_soon, server) != 0 ||
        event_assign(&server->drain_limit, base, -1, 0, on_drain_limit, server) != 0 ||
        laters_init(server) != 0) {
        return AUGURY_ERR_IO;
    }
    return 0;
}

int
net_server_new(const struct net_server_options *options, struct net_server **out_server,
               struct err *err)
{
    struct net_server *server = calloc(1, sizeof(*server));
    uint8_t *scratch = malloc(SCRATCH_BYTES + options->limits.http.head_bytes);

    AUGURY_ASSERT(options->limits.http.headers <= HTTP_HEADERS_MAX);
    AUGURY_ASSERT(options->share == NULL || options->share_slot < NET_SHARE_SLOTS);
    if (server == NULL || scratch == NULL) {
        free(server);
        free(scratch);
        return err_set(err, AUGURY_ERR_NOMEM, "server", "no memory for a server");
    }
    server->magic = SERVER_MAGIC;
    server->loop = options->loop;
    server->limits = options->limits;
    server->handler = options->handler;
    server->handler_arg = options->handler_arg;
    server->on_turn_end = options->on_turn_end;
    server->on_soon = options->on_soon;
    server->stats = options->stats;
    server->log = options->log;
    server->gives_ids = options->gives_ids;
    server->slow_ns = (uint64_t)options->slow_us * 1000;
    note_init(server);
    server->share = options->share;
    server->share_slot = options->share_slot;
    server->has_nosniff = options->has_nosniff;
    server->scratch = scratch;
    server->lists = scratch + SCRATCH_BYTES;
    server->reserve_fd = open_reserve();
    net_list_init(&server->listeners);
    net_list_init(&server->connections);
    net_list_init(&server->ready);
    buf_init(&server->out, SIZE_MAX);
    buf_init(&server->answer_headers, ANSWER_HEADERS_MAX);
    buf_init(&server->answer_body, ANSWER_BODY_MAX);
    buf_init(&server->chunked_body, options->limits.http.body_bytes);
    buf_init(&server->late_out, SIZE_MAX);
    buf_init(&server->late_headers, ANSWER_HEADERS_MAX);
    buf_init(&server->late_body, ANSWER_BODY_MAX);
    buf_init(&server->held_answers, SIZE_MAX);
    buf_init(&server->held_out, SIZE_MAX);
    server_turn(server);
    net_wheel_init(&server->wheel, server_now_ms(server));
    if (assign_events(server) != 0 || limiter_init(server) != 0) {
        net_server_free(&server);
        return err_set(err, AUGURY_ERR_IO, "server", "cannot make the server's events");
    }
    *out_server = server;
    return 0;
}

void
net_server_free(struct net_server **server_ref)
{
    struct net_server *server = *server_ref;

    if (server == NULL) {
        return;
    }
    server_cast(server);
    server->on_drained = NULL;
    conn_close_all(server);
    stop_accepting(server);
    event_del(&server->tick);
    event_del(&server->next_turn);
    event_del(&server->soon);
    event_del(&server->drain_limit);
    while (!net_list_is_empty(&server->listeners)) {
        free(NET_LIST_OWNER(net_list_pop(&server->listeners), struct listener, link));
    }
    if (server->reserve_fd >= 0) {
        close(server->reserve_fd);
    }
    buf_fini(&server->out);
    buf_fini(&server->answer_headers);
    buf_fini(&server->answer_body);
    buf_fini(&server->chunked_body);
    buf_fini(&server->late_out);
    buf_fini(&server->late_headers);
    buf_fini(&server->late_body);
    buf_fini(&server->held_answers);
    buf_fini(&server->held_out);
    frames_free(&server->frames);
    free(server->held);
    laters_fini(server);
    limiter_fini(server);
    free(server->scratch);
    server->magic = 0;
    free(server);
    *server_ref = NULL;
}

size_t
net_server_connections(const struct net_server *server)
{
    return server->connection_count;
}
