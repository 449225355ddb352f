/* SPDX-License-Identifier: MIT */
/*
 * net_limit.h - what one worker takes on: connections and requests of one client, requests that
 * wait, memory for connections, work of one turn of the loop. All of it is off, and costs a branch,
 * until a limit is set. Private to net.
 */
#pragma once

#include "net_clients.h"
#include "net_lag.h"

#include <stdbool.h>

struct net_limiter {
    bool is_admitting; /* some limit is on that net_server_admit() has to look at */
    bool is_measuring; /* turns of the loop are */
    struct net_lag lag;
    uint64_t due_ns;             /* of a request from the ready list: since when it could be served;
                                    else 0 */
    uint64_t ready_ns;           /* since when the ready list has somebody */
    struct net_clients *clients; /* NULL: nobody counts them */
    size_t waiting;              /* requests with an answer to come */
    size_t buffered_bytes;       /* of all connections */
};

struct net_server;
struct conn;

int limiter_init(struct net_server *server);
void limiter_fini(struct net_server *server);
/* Turns take long: half of what a limit lets them. */
bool limiter_is_lagging(const struct net_server *server);
/* conn->client has one connection more; false: that is too many. */
bool limiter_client_enter(struct conn *conn);
void limiter_client_leave(struct conn *conn);
/* Until something else is asked, what was admitted before is at work. */
void limiter_note_work(struct net_server *server);
/* An answer to the client is to come, or no longer. */
void limiter_wait_begin(struct net_server *server, const struct ip_address *client);
void limiter_wait_end(struct net_server *server, const struct ip_address *client);
enum net_bytes {
    NET_BYTES_FIT,
    NET_BYTES_OVER,       /* all connections together take too much, and this one is among them */
    NET_BYTES_OVER_CLIENT /* the same, of this client's */
};
/* Counts what the connection's buffers take now. */
enum net_bytes limiter_count_bytes(struct conn *conn);
