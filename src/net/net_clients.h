/* SPDX-License-Identifier: MIT */
/*
 * net_clients.h - what each client has open in this worker: connections with what they hold in
 * memory, and requests whose answer is to come. A client is an IPv4 address or the first 64 bits of
 * an IPv6 address, which is what one network gets. Open addressing; a line is there while the
 * client has anything open, so the table, made for the most connections that there may be, never
 * fills up. Private to net.
 */
#pragma once

#include "augury/base.h"

/* No family: a client that is not counted, such as one of a UNIX socket. */
enum net_client_family { NET_CLIENT_NONE, NET_CLIENT_IPV4, NET_CLIENT_IPV6 };
struct net_client_key {
    uint64_t prefix;
    uint32_t family; /* enum net_client_family */
};

struct net_client {
    struct net_client_key key;
    uint32_t connections;
    uint32_t requests;
    size_t bytes; /* of its connections' buffers */
};

struct net_clients;
/* NULL: no memory. */
struct net_clients *net_clients_new(size_t connections_max, uint64_t seed);
void net_clients_free(struct net_clients **clients);
/* An IPv4 address within IPv6 is the IPv4 address. */
struct net_client_key net_client_key_of(const struct ip_address *address);
bool net_client_key_equal(struct net_client_key a, struct net_client_key b);
/* A line of zeros where there is none; NULL: not counted. Valid until the next settle. */
struct net_client *net_clients_get(struct net_clients *clients, struct net_client_key key);
/* After a count went down: a line of zeros goes. */
void net_clients_settle(struct net_clients *clients, struct net_client_key key);
size_t net_clients_count(const struct net_clients *clients);
