/* SPDX-License-Identifier: MIT */
/* ip.c - addresses of clients and networks of those who are trusted, both families in one form. */
#include "augury/base.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

enum { MAPPED_BITS = 96, ADDRESS_BITS = 128 };

struct ip_address
ip_of_v4(const uint8_t *four_bytes)
{
    struct ip_address address;

    memcpy(address.bytes, mapped_prefix, sizeof(mapped_prefix));
    memcpy(address.bytes + sizeof(mapped_prefix), four_bytes, 4);
    return address;
}

bool
ip_is_none(const struct ip_address *address)
{
    static const struct ip_address none = {{0}};

    return ip_equal(address, &none);
}

bool
ip_is_v4(const struct ip_address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

int
ip_parse(struct bytes text, struct ip_address *out_address)
{
    char copy[IP_TEXT_MAX + 1];
    uint8_t four_bytes[4];
    struct ip_address address;

    if (text.len == 0 || text.len > IP_TEXT_MAX || memchr(text.data, '\0', text.len) != NULL) {
        return AUGURY_ERR_INVALID;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, four_bytes) == 1) {
        *out_address = ip_of_v4(four_bytes);
        return 0;
    }
    if (inet_pton(AF_INET6, copy, address.bytes) == 1) {
        *out_address = address;
        return 0;
    }
    return AUGURY_ERR_INVALID;
}

const char *
ip_to_text(const struct ip_address *address, char *room)
{
    bool is_v4 = ip_is_v4(address);

    if (ip_is_none(address) ||
        inet_ntop(is_v4 ? AF_INET : AF_INET6, address->bytes + (is_v4 ? sizeof(mapped_prefix) : 0),
                  room, IP_TEXT_MAX + 1) == NULL) {
        snprintf(room, IP_TEXT_MAX + 1, "-");
    }
    return room;
}

/* ---- networks ------------------------------------------------------------------------------- */

static bool
is_within(const struct ip_network *network, const struct ip_address *address)
{
    size_t whole = network->bits / 8;
    uint8_t mask = (uint8_t)(0xff00U >> (network->bits % 8));

    if (memcmp(network->address.bytes, address->bytes, whole) != 0) {
        return false;
    }
    return (mask & 0xff) == 0 ||
           ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

bool
ip_networks_contain(const struct ip_networks *networks, const struct ip_address *address)
{
    if (ip_is_none(address)) {
        return networks->has_unix;
    }
    for (uint32_t i = 0; i < networks->count; i++) {
        if (is_within(&networks->list[i], address)) {
            return true;
        }
    }
    return false;
}

/* "10.0.0.0/8", "::1", … */
static int
network_parse(struct bytes text, struct ip_network *out_network, struct err *err)
{
    const uint8_t *slash = memchr(text.data, '/', text.len);
    size_t len = slash == NULL ? text.len : (size_t)(slash - text.data);
    struct ip_network network = {.bits = ADDRESS_BITS};
    uint64_t bits = 0;

    if (ip_parse(bytes_of(text.data, len), &network.address) != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_network",
                       "\"%.*s\" is no network such as 10.0.0.0/8, 192.0.2.1, 2001:db8::/32 or "
                       "unix:",
                       (int)(text.len > 60 ? 60 : text.len), (const char *)text.data);
    }
    unsigned family_bits = memchr(text.data, ':', len) == NULL ? MAPPED_BITS : 0;
    if (slash != NULL) {
        if (bytes_to_u64(bytes_of(slash + 1, text.len - len - 1), ADDRESS_BITS - family_bits,
                         &bits) != 0) {
            return err_set(err, AUGURY_ERR_INVALID, "bad_network",
                           "\"%.*s\": after the slash stands a number from 0 to %u",
                           (int)(text.len > 60 ? 60 : text.len), (const char *)text.data,
                           ADDRESS_BITS - family_bits);
        }
        network.bits = (uint8_t)(bits + family_bits);
    }
    for (unsigned bit = network.bits; bit < ADDRESS_BITS; bit++) {
        if ((network.address.bytes[bit / 8] & (0x80U >> (bit % 8))) != 0) {
            return err_set(err, AUGURY_ERR_INVALID, "bad_network",
                           "\"%.*s\" has bits behind its first %u: which network is meant?",
                           (int)(text.len > 60 ? 60 : text.len), (const char *)text.data,
                           network.bits - family_bits);
        }
    }
    *out_network = network;
    return 0;
}

int
ip_networks_parse(const char *text, struct ip_networks *out_networks, struct err *err)
{
    struct ip_networks networks;

    memset(&networks, 0, sizeof(networks)); /* may be compared as bytes */
    for (text += strspn(text, ", "); *text != '\0'; text += strspn(text, ", ")) {
        struct bytes word = bytes_of(text, strcspn(text, ", "));
        text += word.len;
        if (bytes_equal_text(word, "unix:")) {
            networks.has_unix = true;
            continue;
        }
        if (networks.count == IP_NETWORKS_MAX) {
            return err_set(err, AUGURY_ERR_LIMIT, "too_many_networks", "at most %d networks",
                           IP_NETWORKS_MAX);
        }
        int rc = network_parse(word, &networks.list[networks.count], err);
        if (rc != 0) {
            return rc;
        }
        networks.count++;
    }
    *out_networks = networks;
    return 0;
}

void
ip_networks_put(const struct ip_networks *networks, struct buf *buf)
{
    char room[IP_TEXT_MAX + 1];
    const char *separator = "";

    for (uint32_t i = 0; i < networks->count; i++) {
        const struct ip_network *network = &networks->list[i];
        bool is_v4 = ip_is_v4(&network->address) && network->bits >= MAPPED_BITS;
        const char *address =
            ip_is_none(&network->address) ? "::" : ip_to_text(&network->address, room);
        buf_printf(buf, "%s%s/%d", separator, address, network->bits - (is_v4 ? MAPPED_BITS : 0));
        separator = ", ";
    }
    if (networks->has_unix) {
        buf_printf(buf, "%sunix:", separator);
    }
}
