/* SPDX-License-Identifier: MIT */
/* Addresses and networks: both families in one form, and what is no address. Expected texts are
 * those of RFC 5952. */
#include "../../tap.h"
#include "augury/base.h"

static const char *
text_of(const char *text, char *room)
{
    struct ip_address address;

    return ip_parse(bytes_of_text(text), &address) == 0 ? ip_to_text(&address, room) : "none";
}

static void
addresses_are_read_and_written_in_their_shortest_form(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::ffff:c000:201", "192.0.2.1"},
        {"::1", "::1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"", "none"},
        {"192.0.2", "none"},
        {"192.0.2.256", "none"},
        {"192.0.2.01", "none"},
        {"192.0.2.1 ", "none"},
        {" 192.0.2.1", "none"},
        {"0x7f.0.0.1", "none"},
        {"2130706433", "none"},
        {"[::1]", "none"},
        {"::1%lo", "none"},
        {"1::2::3", "none"},
        {"localhost", "none"},
        {"2001:0db8:0000:0000:0000:0000:0000:0000:0001", "none"},
        {"0000:0000:0000:0000:0000:ffff:192.168.100.228x", "none"},
    };
    char room[IP_TEXT_MAX + 1];

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        CHECK_TEXT(text_of(cases[i].text, room), cases[i].want);
    }
}

static void
a_zero_byte_ends_no_address(void)
{
    static const char text[] = "192.0.2.1\0.example";
    struct ip_address address;

    CHECK_INT(ip_parse(bytes_of(text, sizeof(text) - 1), &address), AUGURY_ERR_INVALID);
}

static void
no_address_is_written_as_a_dash_and_is_nobody_elses(void)
{
    struct ip_address none = {{0}};
    struct ip_address any;
    char room[IP_TEXT_MAX + 1];

    CHECK(ip_is_none(&none));
    CHECK_TEXT(ip_to_text(&none, room), "-");
    CHECK_INT(ip_parse(bytes_of_text("0.0.0.0"), &any), 0);
    CHECK(!ip_is_none(&any));
}

static bool
contains(const char *networks_text, const char *address_text)
{
    struct ip_networks networks;
    struct ip_address address = {{0}};
    struct err err;

    if (ip_networks_parse(networks_text, &networks, &err) != 0 ||
        (address_text[0] != '\0' && ip_parse(bytes_of_text(address_text), &address) != 0)) {
        return false;
    }
    return ip_networks_contain(&networks, &address);
}

static void
a_network_has_the_addresses_of_its_first_bits(void)
{
    CHECK(contains("10.0.0.0/8", "10.255.1.2"));
    CHECK(!contains("10.0.0.0/8", "11.0.0.0"));
    CHECK(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    CHECK(contains("192.0.2.128/25", "192.0.2.129"));
    CHECK(!contains("192.0.2.128/25", "192.0.2.127"));
    CHECK(contains("192.0.2.7", "192.0.2.7"));
    CHECK(!contains("192.0.2.7", "192.0.2.6"));
    CHECK(contains("0.0.0.0/0", "203.0.113.9"));
    CHECK(!contains("0.0.0.0/0", "2001:db8::1"));
    CHECK(contains("::/0", "203.0.113.9"));
    CHECK(contains("2001:db8::/33", "2001:db8:7fff::1"));
    CHECK(!contains("2001:db8::/33", "2001:db8:8000::1"));
    CHECK(contains("fe80::/10, 127.0.0.1,::1", "::1"));
    CHECK(!contains("fe80::/10, 127.0.0.1", "::1"));
    CHECK(!contains("", "127.0.0.1"));
}

static void
a_unix_socket_is_a_network_of_its_own(void)
{
    CHECK(contains("unix:", ""));
    CHECK(contains("127.0.0.1 unix:", ""));
    CHECK(!contains("0.0.0.0/0, ::/0", ""));
    CHECK(!contains("unix:", "127.0.0.1"));
}

static void
what_is_no_network_is_named(void)
{
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.1/8", "::1/129",  "10.0.0.0/",     "x",
                                      "10.0.0.0/-1", "10/8",       "::/0/0",   "unix",          "*",
                                      "10.0.0.0/8;", "/8",         "::1/0x10", "2001:db8::1/32"};
    struct ip_networks networks;
    struct err err;

    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        CHECK_INT(ip_networks_parse(bad[i], &networks, &err), AUGURY_ERR_INVALID);
        CHECK_CONTAINS(err.reason, bad[i]);
    }
    CHECK_INT(ip_networks_parse("1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,"
                                "1.1.1.9,1.1.2.1,1.1.2.2,1.1.2.3,1.1.2.4,1.1.2.5,1.1.2.6,1.1.2.7,"
                                "1.1.2.8",
                                &networks, &err),
              AUGURY_ERR_LIMIT);
}

static void
networks_are_written_as_they_are_read(void)
{
    static const char text[] = "10.0.0.0/8, 192.0.2.7/32, 0.0.0.0/0, ::/0, 2001:db8::/32, unix:";
    struct ip_networks networks, again;
    struct err err;
    struct buf buf;

    buf_init(&buf, 1000);
    CHECK_INT(ip_networks_parse(text, &networks, &err), 0);
    ip_networks_put(&networks, &buf);
    buf_put_u8(&buf, 0);
    CHECK_TEXT((const char *)buf.data, text);
    CHECK_INT(ip_networks_parse((const char *)buf.data, &again, &err), 0);
    CHECK(memcmp(&again, &networks, sizeof(again)) == 0);
    buf_fini(&buf);
}

int
main(void)
{
    TAP_RUN(addresses_are_read_and_written_in_their_shortest_form);
    TAP_RUN(a_zero_byte_ends_no_address);
    TAP_RUN(no_address_is_written_as_a_dash_and_is_nobody_elses);
    TAP_RUN(a_network_has_the_addresses_of_its_first_bits);
    TAP_RUN(a_unix_socket_is_a_network_of_its_own);
    TAP_RUN(what_is_no_network_is_named);
    TAP_RUN(networks_are_written_as_they_are_read);
    return tap_done();
}
