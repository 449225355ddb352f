/* SPDX-License-Identifier: MIT */
/*
 * net_share.c - how workers that accept from one listener know of each other. The kernel wakes them
 * all and the first one takes the connection; under a burst that is mostly the same one. A worker
 * with clearly more than the mean steps back for a moment. Figures may be a moment old, or those of
 * a worker that died: that costs such a moment, never a connection.
 */
#include "net_server.h"

enum { SLACK = 1 }; /* connections above the mean, beside a sixteenth of it */

static void
put_load(const struct net_server *server, uint32_t load)
{
    if (server->share != NULL) {
        atomic_store_explicit(&server->share->load[server->share_slot], load, memory_order_relaxed);
    }
}

void
share_put(const struct net_server *server)
{
    bool is_accepting = !server->is_draining && !net_list_is_empty(&server->listeners);

    put_load(server, is_accepting ? (uint32_t)server->connection_count + 1 : 0);
}

void
share_leave(const struct net_server *server)
{
    put_load(server, 0);
}

bool
share_is_over(const struct net_server *server)
{
    uint64_t total = 0;
    uint64_t workers = 0;

    if (server->share == NULL) {
        return false;
    }
    for (size_t i = 0; i < NET_SHARE_SLOTS; i++) {
        uint32_t load = atomic_load_explicit(&server->share->load[i], memory_order_relaxed);
        if (load > 0) {
            total += load - 1;
            workers++;
        }
    }
    uint64_t mean = workers == 0 ? 0 : total / workers;
    return workers > 1 && server->connection_count > mean + mean / 16 + SLACK;
}
