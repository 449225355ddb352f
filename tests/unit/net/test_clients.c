/* SPDX-License-Identifier: MIT */
/* test_clients.c - the table of clients against a plain array, and what makes two addresses one
 * client. */
#include "../../../src/net/net_clients.h"

#include "../../tap.h"

#include <stdlib.h>

static struct net_client_key
key_of(const char *text)
{
    struct ip_address address = {{0}};

    if (ip_parse(bytes_of_text(text), &address) != 0) {
        printf("# no address: %s\n", text);
    }
    return net_client_key_of(&address);
}

static bool
is_one_client(const char *a, const char *b)
{
    return net_client_key_equal(key_of(a), key_of(b));
}

static void
an_ipv4_address_is_a_client_and_so_is_a_network_of_ipv6(void)
{
    CHECK(is_one_client("10.1.2.3", "10.1.2.3"));
    CHECK(!is_one_client("10.1.2.3", "10.1.2.4"));
    CHECK(is_one_client("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
    CHECK(!is_one_client("2001:db8:1:2::1", "2001:db8:1:3::1"));
    CHECK(is_one_client("::ffff:10.1.2.3", "10.1.2.3"));
    CHECK(!is_one_client("::1", "0.0.0.1"));
    CHECK_INT(key_of("::").family, NET_CLIENT_NONE); /* who comes by a UNIX socket */
    CHECK_INT(key_of("::1").family, NET_CLIENT_IPV6);
}

static void
who_has_no_address_is_not_counted(void)
{
    struct net_clients *clients = net_clients_new(10, 1);
    struct net_client_key none = {0, 0};

    CHECK(net_clients_get(clients, none) == NULL);
    CHECK(net_clients_get(NULL, key_of("10.0.0.1")) == NULL);
    net_clients_settle(clients, none);
    CHECK_INT(net_clients_count(clients), 0);
    net_clients_free(&clients);
    CHECK(clients == NULL);
}

/* 400 addresses come and go 200,000 times; the table has place for 100 clients at a time, and every
 * count is that of a plain array. */
static void
counts_are_those_of_a_plain_array(void)
{
    enum { ADDRESSES = 400, MOST = 100 };
    static uint32_t want[ADDRESSES];
    struct net_clients *clients = net_clients_new(MOST, 42);
    unsigned seed = 7;
    size_t open = 0;
    size_t lines = 0;

    CHECK(clients != NULL);
    for (int i = 0; i < 200000; i++) {
        unsigned n = (unsigned)rand_r(&seed) % ADDRESSES;
        struct net_client_key key = {n * UINT64_C(0x100000001),
                                     n % 2 == 0 ? NET_CLIENT_IPV4 : NET_CLIENT_IPV6};
        if (rand_r(&seed) % 2 == 0 && open < MOST) {
            struct net_client *client = net_clients_get(clients, key);
            CHECK(client != NULL && client->connections == want[n]);
            client->connections++;
            lines += want[n] == 0;
            want[n]++;
            open++;
        } else if (want[n] > 0) {
            struct net_client *client = net_clients_get(clients, key);
            CHECK(client != NULL && client->connections == want[n]);
            client->connections--;
            net_clients_settle(clients, key);
            want[n]--;
            lines -= want[n] == 0;
            open--;
        }
        CHECK_INT(net_clients_count(clients), lines);
    }
    net_clients_free(&clients);
}

static void
a_line_stays_while_a_request_waits(void)
{
    struct net_clients *clients = net_clients_new(4, 1);
    struct net_client_key key = key_of("192.0.2.1");

    net_clients_get(clients, key)->requests = 1;
    net_clients_settle(clients, key);
    CHECK_INT(net_clients_count(clients), 1);
    net_clients_get(clients, key)->requests = 0;
    net_clients_settle(clients, key);
    CHECK_INT(net_clients_count(clients), 0);
    net_clients_free(&clients);
}

int
main(void)
{
    TAP_RUN(an_ipv4_address_is_a_client_and_so_is_a_network_of_ipv6);
    TAP_RUN(who_has_no_address_is_not_counted);
    TAP_RUN(counts_are_those_of_a_plain_array);
    TAP_RUN(a_line_stays_while_a_request_waits);
    return tap_done();
}
