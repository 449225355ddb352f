/* SPDX-License-Identifier: MIT */
/* test_http_forwarded.c - who stands behind trusted proxies. Forms of Forwarded are the examples of
 * RFC 7239 4 to 7.1. */
#include "../../tap.h"
#include "augury/http.h"

static const char trusted_text[] = "10.0.0.0/8, 192.168.1.1, 2001:db8:aaaa::/48, unix:";

/* lines: as they stand in the head; peer "" : a UNIX socket. */
static const char *
client_of(enum http_forwarded header, const char *peer, const char *lines, char *room)
{
    static const struct http_limits limits = {8192, 1024, 100, 0};
    static struct http_request request;
    struct http_refusal refusal;
    struct ip_networks trusted;
    struct ip_address address = {{0}};
    char head[4096];
    size_t used = 0;

    snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", lines);
    if (ip_networks_parse(trusted_text, &trusted, NULL) != 0 ||
        (peer[0] != '\0' && ip_parse(bytes_of_text(peer), &address) != 0) ||
        http_parse_head(bytes_of_text(head), &limits, &request, &used, &refusal) != 0) {
        return "broken test";
    }
    address = http_client_behind(&request, header, &trusted, address);
    return ip_to_text(&address, room);
}

struct chain {
    const char *peer, *lines, *client;
};

static void
check_chains(enum http_forwarded header, const struct chain *chains, size_t count)
{
    char room[IP_TEXT_MAX + 1];

    for (size_t i = 0; i < count; i++) {
        CHECK_TEXT(client_of(header, chains[i].peer, chains[i].lines, room), chains[i].client);
    }
}

static void
the_rightmost_address_that_is_not_trusted_is_the_client(void)
{
    static const struct chain chains[] = {
        {"10.0.0.1", "", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
        {"", "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"},
        {"", "", "-"},
        {"10.0.0.1", "x-forwarded-for: 198.51.100.1, 203.0.113.7\r\n", "203.0.113.7"},
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.2.3.4,192.168.1.1\r\n",
         "203.0.113.7"},
        {"10.0.0.1", "X-Forwarded-For: 10.9.9.9,\t10.8.8.8\r\n", "10.9.9.9"},
        {"10.0.0.1", "X-Forwarded-For: 2001:db8::7, 2001:db8:aaaa::1\r\n", "2001:db8::7"},
        {"10.0.0.1", "X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"},
        {"10.0.0.1", "X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7:4711\r\n", "203.0.113.7"},
        {"10.0.0.1", "X-Forwarded-For: ::ffff:203.0.113.7\r\n", "203.0.113.7"},
        /* several lines are one list */
        {"10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.7\r\n",
         "203.0.113.7"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7\r\nA: b\r\nX-Forwarded-For: 10.1.1.1\r\n",
         "203.0.113.7"},
        /* the other header is not looked at */
        {"10.0.0.1", "Forwarded: for=203.0.113.7\r\n", "10.0.0.1"},
    };

    check_chains(HTTP_X_FORWARDED_FOR, chains, AUGURY_COUNT(chains));
}

static void
what_is_no_address_ends_the_chain_at_who_wrote_it(void)
{
    static const struct chain chains[] = {
        {"10.0.0.1", "X-Forwarded-For: unknown\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7, unknown, 10.2.2.2\r\n", "10.2.2.2"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7,\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: \r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7 10.2.2.2\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.256\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: ::\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: [2001:db8::7\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: [2001:db8::7]x\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: [\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: :\r\n", "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: ,\r\n", "10.0.0.1"},
    };

    check_chains(HTTP_X_FORWARDED_FOR, chains, AUGURY_COUNT(chains));
}

static void
forwarded_is_read_as_its_rfc_has_it(void)
{
    static const struct chain chains[] = {
        {"10.0.0.1", "Forwarded: for=203.0.113.7\r\n", "203.0.113.7"},
        {"10.0.0.1", "Forwarded: For=\"[2001:db8:cafe::17]:4711\"\r\n", "2001:db8:cafe::17"},
        {"10.0.0.1", "Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\r\n", "192.0.2.60"},
        {"10.0.0.1", "Forwarded: for=192.0.2.43, for=198.51.100.17\r\n", "198.51.100.17"},
        {"10.0.0.1", "Forwarded: for=192.0.2.43,for=\"10.0.0.9\"\r\n", "192.0.2.43"},
        {"10.0.0.1", "Forwarded: proto=https ; for=\"192.0.2.43:_port\"\r\n", "192.0.2.43"},
        {"10.0.0.1", "Forwarded: for=\"_gazonk\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=192.0.2.1, for=unknown, for=10.3.3.3\r\n", "10.3.3.3"},
        {"10.0.0.1", "Forwarded: for=192.0.2.1, proto=https\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: by=192.0.2.1\r\n", "10.0.0.1"},
        /* commas and semicolons in quotes are no separators */
        {"10.0.0.1", "Forwarded: for=192.0.2.1;host=\"a,for=6.6.6.6;b\"\r\n", "192.0.2.1"},
        {"10.0.0.1", "Forwarded: for=192.0.2.1;host=\"a\\\",for=6.6.6.6\"\r\n", "192.0.2.1"},
        /* quotes that do not end: what stands before them may be what stands in them */
        {"10.0.0.1", "Forwarded: for=192.0.2.1;host=\"a, for=6.6.6.6\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=192.0.2.1;host=\"a\\\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=192.0.2.1\r\nForwarded: for=10.3.3.3\r\n", "192.0.2.1"},
        {"10.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: \r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\"\r\n", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: forx=192.0.2.1\r\n", "10.0.0.1"},
    };

    check_chains(HTTP_FORWARDED, chains, AUGURY_COUNT(chains));
}

static void
a_chain_of_proxies_is_followed_over_32_of_them_in_a_line(void)
{
    char line[1024] = "X-Forwarded-For: 203.0.113.7";
    char end[2][16] = {"\r\n", ", 10.0.0.77\r\n"};
    static const char *const clients[2] = {"203.0.113.7", "10.0.0.1"};
    char room[IP_TEXT_MAX + 1];
    size_t len = strlen(line);

    for (int i = 0; i < 31; i++) {
        len += (size_t)snprintf(line + len, sizeof(line) - len, ", 10.0.0.%d", i + 1);
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(line + len, sizeof(line) - len, "%s", end[i]);
        CHECK_TEXT(client_of(HTTP_X_FORWARDED_FOR, "10.0.0.99", line, room), clients[i]);
    }
}

int
main(void)
{
    TAP_RUN(the_rightmost_address_that_is_not_trusted_is_the_client);
    TAP_RUN(what_is_no_address_ends_the_chain_at_who_wrote_it);
    TAP_RUN(forwarded_is_read_as_its_rfc_has_it);
    TAP_RUN(a_chain_of_proxies_is_followed_over_32_of_them_in_a_line);
    return tap_done();
}
