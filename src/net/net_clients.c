/* SPDX-License-Identifier: MIT */
/* net_clients.c - see net_clients.h. Linear probing; what follows a line that goes moves up, so
 * that no line is ever marked as having been. */
#include "net_clients.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_FIRST = 64 };

struct net_clients {
    uint64_t seed; /* who chooses his address does not know where its line is */
    size_t mask;
    size_t count;
    struct net_client lines[];
};

struct net_clients *
net_clients_new(size_t connections_max, uint64_t seed)
{
    size_t size = LINES_FIRST;

    while (size < connections_max * 2) {
        size *= 2;
    }
    struct net_clients *clients = calloc(1, sizeof(*clients) + size * sizeof(clients->lines[0]));
    if (clients != NULL) {
        clients->seed = seed;
        clients->mask = size - 1;
    }
    return clients;
}

void
net_clients_free(struct net_clients **clients)
{
    free(*clients);
    *clients = NULL;
}

struct net_client_key
net_client_key_of(const struct ip_address *address)
{
    struct net_client_key key = {0, NET_CLIENT_IPV6};
    uint8_t first[sizeof(key.prefix)] = {0};

    if (ip_is_none(address)) {
        key.family = NET_CLIENT_NONE;
    } else if (ip_is_v4(address)) {
        memcpy(first, address->bytes + 12, 4);
        key.family = NET_CLIENT_IPV4;
    } else {
        memcpy(first, address->bytes, sizeof(first));
    }
    memcpy(&key.prefix, first, sizeof(first));
    return key;
}

bool
net_client_key_equal(struct net_client_key a, struct net_client_key b)
{
    return a.prefix == b.prefix && a.family == b.family;
}

static size_t
place_of(const struct net_clients *clients, struct net_client_key key)
{
    uint64_t words[] = {clients->seed, key.prefix, key.family};

    return hash64_of(bytes_of(words, sizeof(words))) & clients->mask;
}

/* The key's line, or the free one where it belongs. */
static size_t
line_of(const struct net_clients *clients, struct net_client_key key)
{
    size_t at = place_of(clients, key);

    while (clients->lines[at].key.family != NET_CLIENT_NONE &&
           !net_client_key_equal(clients->lines[at].key, key)) {
        at = (at + 1) & clients->mask;
    }
    return at;
}

struct net_client *
net_clients_get(struct net_clients *clients, struct net_client_key key)
{
    if (clients == NULL || key.family == NET_CLIENT_NONE) {
        return NULL;
    }
    struct net_client *line = &clients->lines[line_of(clients, key)];
    if (line->key.family == NET_CLIENT_NONE) {
        if (clients->count >= clients->mask) {
            return NULL;
        }
        line->key = key;
        clients->count++;
    }
    return line;
}

void
net_clients_settle(struct net_clients *clients, struct net_client_key key)
{
    if (clients == NULL || key.family == NET_CLIENT_NONE) {
        return;
    }
    size_t hole = line_of(clients, key);
    struct net_client *line = &clients->lines[hole];
    if (line->key.family == NET_CLIENT_NONE || line->connections != 0 || line->requests != 0) {
        return;
    }
    memset(line, 0, sizeof(*line));
    clients->count--;
    /* A line moves up when its own place is not between the hole and where it stands. */
    for (size_t at = (hole + 1) & clients->mask; clients->lines[at].key.family != NET_CLIENT_NONE;
         at = (at + 1) & clients->mask) {
        size_t own = place_of(clients, clients->lines[at].key);
        if (((at - own) & clients->mask) >= ((at - hole) & clients->mask)) {
            clients->lines[hole] = clients->lines[at];
            memset(&clients->lines[at], 0, sizeof(clients->lines[at]));
            hole = at;
        }
    }
}

size_t
net_clients_count(const struct net_clients *clients)
{
    return clients->count;
}
