/* SPDX-License-Identifier: MIT */
/*
 * net_limit.c - what one worker takes on (net_limit.h). A worker serves one request after the
 * other, so its queue is what the kernel holds and its ready list, and it is the turn of the loop
 * that measures it: what is ready when the loop wakes up is served before anything else is looked
 * at. Limits are those of one worker: it counts alone, and nothing is left behind by one that was
 * killed.
 */
#include "net_conn.h"

#include <stdlib.h>

enum { NS_A_US = 1000, NS_A_MS = 1000000 };

static void
on_turn(void *arg, uint64_t begin_ns, uint64_t end_ns)
{
    struct net_server *server = arg;
    struct net_lag *lag = &server->limiter.lag;
    uint32_t limit = lag->limit;
    uint64_t target_ns = lag->target_ns;

    net_lag_turn(lag, begin_ns, end_ns);
    stats_observe(server->stats, STATS_HTTP_LAG, lag->lag_ns);
    if (lag->limit != limit) {
        stats_set(server->stats, STATS_HTTP_ADMISSION, lag->limit);
    }
    if (lag->target_ns != target_ns) {
        stats_set(server->stats, STATS_HTTP_TARGET_LAG, lag->target_ns / NS_A_US);
    }
}

int
limiter_init(struct net_server *server)
{
    const struct net_limits *limits = &server->limits;
    struct net_limiter *limiter = &server->limiter;

    limiter->is_measuring = limits->target_lag_ms > 0 || limits->queue_time_ms > 0;
    limiter->is_admitting =
        limiter->is_measuring || limits->requests > 0 || limits->client_requests > 0;
    bool is_auto = limits->target_lag_ms == NET_TARGET_LAG_AUTO;
    net_lag_init(&limiter->lag, is_auto ? NET_LAG_AUTO : (uint64_t)limits->target_lag_ms * NS_A_MS);
    if (limits->client_connections > 0 || limits->client_requests > 0 ||
        limits->client_buffered_bytes > 0) {
        /* A proxy's connection has a client of its own, and one whose request waits. */
        limiter->clients = net_clients_new((size_t)limits->connections * 2, clock_mono_ns());
        if (limiter->clients == NULL) {
            return AUGURY_ERR_NOMEM;
        }
    }
    if (limiter->is_measuring) {
        server->loop->on_turn = on_turn;
        server->loop->on_turn_arg = server;
    }
    stats_set(server->stats, STATS_HTTP_ADMISSION,
              limits->target_lag_ms > 0 ? limiter->lag.limit : 0);
    stats_set(server->stats, STATS_HTTP_TARGET_LAG, limiter->lag.target_ns / NS_A_US);
    return 0;
}

void
limiter_fini(struct net_server *server)
{
    net_clients_free(&server->limiter.clients);
    if (server->loop->on_turn_arg == server) {
        server->loop->on_turn = NULL;
        server->loop->on_turn_arg = NULL;
    }
}

bool
limiter_is_lagging(const struct net_server *server)
{
    const struct net_lag *lag = &server->limiter.lag;
    uint64_t queue_ns = (uint64_t)server->limits.queue_time_ms * NS_A_MS;

    return server->limiter.is_measuring &&
           lag->lag_ns > (lag->target_ns > 0 ? lag->target_ns : queue_ns) / 2;
}

/* ---- clients -------------------------------------------------------------------------------- */

bool
limiter_client_enter(struct conn *conn)
{
    struct net_server *server = conn->server;
    uint32_t most = server->limits.client_connections;

    if (server->limiter.clients == NULL) {
        return true;
    }
    struct net_client_key key = net_client_key_of(&conn->client);
    struct net_client *client = net_clients_get(server->limiter.clients, key);
    if (client == NULL) {
        return true;
    }
    if (most > 0 && client->connections >= most) {
        return false;
    }
    client->connections++;
    client->bytes += conn->counted_bytes;
    conn->counted_client = key;
    return true;
}

void
limiter_client_leave(struct conn *conn)
{
    struct net_client *client =
        net_clients_get(conn->server->limiter.clients, conn->counted_client);

    if (client != NULL) {
        client->connections--;
        client->bytes -= conn->counted_bytes;
        net_clients_settle(conn->server->limiter.clients, conn->counted_client);
    }
}

/* ---- requests ------------------------------------------------------------------------------- */

static void
count_waiting(struct net_server *server, const struct ip_address *address, int more)
{
    struct net_clients *clients = server->limiter.clients;

    server->limiter.waiting += (size_t)more;
    stats_set(server->stats, STATS_HTTP_WAITING, server->limiter.waiting);
    if (clients != NULL) {
        struct net_client_key key = net_client_key_of(address);
        struct net_client *client = net_clients_get(clients, key);
        if (client != NULL) {
            client->requests += (uint32_t)more;
            net_clients_settle(clients, key);
        }
    }
}

void
limiter_wait_begin(struct net_server *server, const struct ip_address *client)
{
    count_waiting(server, client, 1);
}

void
limiter_wait_end(struct net_server *server, const struct ip_address *client)
{
    count_waiting(server, client, -1);
}

static bool
has_client_too_many(const struct net_server *server)
{
    struct net_client_key key = net_client_key_of(&server->asked.client);
    const struct net_client *client = net_clients_get(server->limiter.clients, key);
    bool is_over = client != NULL && client->requests >= server->limits.client_requests;

    net_clients_settle(server->limiter.clients, key);
    return is_over;
}

uint64_t
net_server_due_mono_ns(const struct net_server *server)
{
    const struct net_limiter *limiter = &server->limiter;

    if (limiter->due_ns != 0) {
        return limiter->due_ns;
    }
    return server->loop->turn_begin_ns != 0 ? server->loop->turn_begin_ns : clock_mono_ns();
}

static bool
has_queued_too_long(const struct net_server *server)
{
    uint32_t most_ms = server->limits.queue_time_ms;

    return most_ms > 0 &&
           clock_mono_ns() - net_server_due_mono_ns(server) > (uint64_t)most_ms * 1000000;
}

/* A message is answered within its turn, so that what is counted of those who wait is no matter. */
static enum net_over
judge(struct net_server *server)
{
    const struct net_limits *limits = &server->limits;
    struct net_limiter *limiter = &server->limiter;
    bool may_wait = !server->is_messaging;

    if (may_wait && limits->client_requests > 0 && has_client_too_many(server)) {
        return NET_OVER_CLIENT_REQUESTS;
    }
    if (may_wait && limits->requests > 0 && limiter->waiting >= limits->requests) {
        return NET_OVER_REQUESTS;
    }
    if (has_queued_too_long(server)) {
        return NET_OVER_QUEUE;
    }
    bool is_admitted = limits->target_lag_ms == 0 || net_lag_admit(&limiter->lag, clock_mono_ns());
    return is_admitted ? NET_OVER_NOTHING : NET_OVER_LAG;
}

enum net_over
net_server_admit(struct net_server *server)
{
    static const enum stats_id counters[] = {[NET_OVER_LAG] = STATS_HTTP_OVER_LAG,
                                             [NET_OVER_QUEUE] = STATS_HTTP_OVER_QUEUE,
                                             [NET_OVER_REQUESTS] = STATS_HTTP_OVER_REQUESTS,
                                             [NET_OVER_CLIENT_REQUESTS] =
                                                 STATS_HTTP_OVER_CLIENT_REQUESTS};

    if (!server->limiter.is_admitting || (server->asking == NULL && !server->is_messaging)) {
        return NET_OVER_NOTHING;
    }
    enum net_over over = judge(server);
    if (over != NET_OVER_NOTHING) {
        stats_add(server->stats, counters[over], 1);
    }
    return over;
}

void
limiter_note_work(struct net_server *server)
{
    if (server->limits.target_lag_ms > 0) {
        net_lag_go_on(&server->limiter.lag, clock_mono_ns());
    }
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* 0: there is no limit. */
static bool
is_over(size_t bytes, uint64_t limit)
{
    return limit != 0 && bytes > limit;
}

/* What the buffers of the connection's client take, with this one's more. */
static size_t
client_count_bytes(struct conn *conn, size_t now)
{
    struct net_client *client =
        net_clients_get(conn->server->limiter.clients, conn->counted_client);

    if (client == NULL) {
        return 0;
    }
    client->bytes = client->bytes - conn->counted_bytes + now;
    return client->bytes;
}

enum net_bytes
limiter_count_bytes(struct conn *conn)
{
    struct net_server *server = conn->server;
    size_t *all = &server->limiter.buffered_bytes;
    size_t now = conn->io->in.cap + conn->io->out.cap + socket_bytes(conn);

    if (conn->chunked != NULL) {
        now += conn->chunked->body.cap;
    }
    if (now == conn->counted_bytes) {
        return NET_BYTES_FIT;
    }
    size_t of_client = client_count_bytes(conn, now);
    *all = *all - conn->counted_bytes + now;
    conn->counted_bytes = now;
    stats_set(server->stats, STATS_HTTP_BUFFERED, *all);
    if (now == 0) {
        return NET_BYTES_FIT;
    }
    if (is_over(of_client, server->limits.client_buffered_bytes)) {
        return NET_BYTES_OVER_CLIENT;
    }
    return is_over(*all, server->limits.buffered_bytes) ? NET_BYTES_OVER : NET_BYTES_FIT;
}
