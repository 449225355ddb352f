/* SPDX-License-Identifier: MIT */
/*
 * net_client.c - who is at the other end of a connection: the address that it comes from, or what a
 * peer that is trusted says before the first byte (PROXY protocol) or with each request (Forwarded,
 * X-Forwarded-For).
 * Invariants:
 * 1. What a peer says counts if the listener trusts that peer, and for nothing else.
 * 2. Of the PROXY header not one byte too many is taken from the socket: what follows may be TLS,
 *    which reads the socket itself.
 */
#include "net_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* None for who comes by a UNIX socket. */
static struct ip_address
address_of(const struct sockaddr *address, uint16_t *out_port)
{
    struct ip_address client = {{0}};
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;

    if (address->sa_family == AF_INET) {
        memcpy(&in4, address, sizeof(in4));
        *out_port = ntohs(in4.sin_port);
        return ip_of_v4((const uint8_t *)&in4.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        *out_port = ntohs(in6.sin6_port);
        memcpy(client.bytes, &in6.sin6_addr, sizeof(client.bytes));
    }
    return client;
}

/* Whether headers of this client are looked at. */
static bool
is_trusted(const struct conn *conn)
{
    const struct listener *listener = conn->listener;

    return listener->trusted != NULL && ip_networks_contain(listener->trusted, &conn->client);
}

bool
conn_meet(struct conn *conn, const struct sockaddr *address)
{
    const struct listener *listener = conn->listener;

    conn->client = address_of(address, &conn->client_port);
    bool is_believed = is_trusted(conn);
    conn->names_clients = is_believed && listener->forwarded != HTTP_FORWARDED_NONE;
    if (listener->has_proxy_protocol && !is_believed) {
        stats_add(conn->server->stats, STATS_PROXY_UNTRUSTED, 1);
        return false;
    }
    conn->state = listener->has_proxy_protocol ? CONN_PROXY : CONN_HEAD;
    return true;
}

bool
conn_count_client(struct conn *conn)
{
    return conn->names_clients || limiter_client_enter(conn);
}

/* The header is whole, and gone from the socket. */
static void
proxy_apply(struct conn *conn, const struct http_proxy *proxy)
{
    char room[IP_TEXT_MAX + 1];

    stats_add(conn->server->stats, STATS_PROXY_READ, 1);
    if (proxy->has_client) {
        conn->client = proxy->client;
        conn->client_port = proxy->client_port;
        conn->names_clients = conn->listener->forwarded != HTTP_FORWARDED_NONE && is_trusted(conn);
    }
    log_event(conn->server->log, LOG_LEVEL_DEBUG, "proxy_header", "fd=%d client=%s port=%u",
              conn->fd, ip_to_text(&conn->client, room), conn->client_port);
    conn_input_drop(conn);
    conn->state = CONN_HEAD;
    if (!conn_count_client(conn)) {
        conn_refuse_client(conn);
    }
}

void
conn_read_proxy(struct conn *conn)
{
    struct net_server *server = conn->server;
    size_t have = conn->io->in.len; /* less than a whole header */
    struct http_proxy proxy;
    size_t used = 0;

    if (have > 0) {
        memcpy(server->scratch, conn->io->in.data, have);
    }
    ssize_t n = recv(conn->fd, server->scratch + have, HTTP_PROXY_MAX - have, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        conn_close(conn);
        return;
    }
    size_t seen = have + (size_t)n;
    int rc = http_proxy_parse(bytes_of(server->scratch, seen), &proxy, &used);
    if (rc < 0) {
        stats_add(server->stats, STATS_PROXY_MALFORMED, 1);
        conn_close(conn);
        return;
    }
    size_t take = (rc == AUGURY_MORE ? seen : used) - have;
    if (recv(conn->fd, server->scratch + have, take, 0) != (ssize_t)take) {
        conn_close(conn);
        return;
    }
    if (rc == 0) {
        proxy_apply(conn, &proxy);
        return;
    }
    if (conn_io_take(conn) != 0) {
        conn_close(conn);
        return;
    }
    buf_put(&conn->io->in, server->scratch + have, take);
    if (buf_finish(&conn->io->in) != 0) {
        conn_close(conn);
    }
}

struct ip_address
conn_client_behind(const struct conn *conn)
{
    const struct listener *listener = conn->listener;

    return http_client_behind(&conn->server->request, listener->forwarded, listener->trusted,
                              conn->client);
}
