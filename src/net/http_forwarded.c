/* SPDX-License-Identifier: MIT */
/*
 * http_forwarded.c - who stands behind a proxy, by the header that it adds to.
 * Source: RFC 7239 (Forwarded); X-Forwarded-For as proxies write it. Each proxy appends the address
 * that it was asked from, so that a chain is believed from its right end as far as those who wrote
 * it are.
 */
#include "augury/http.h"

/* Longer chains are not looked into further. */
enum { HOPS_MAX = 32 };

/* One line's addresses as they are written, the last one of them last. */
struct hops {
    struct bytes list[HOPS_MAX];
    size_t count; /* of all; list[i % HOPS_MAX] */
};

static struct bytes
trim(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = bytes_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1" (in X-Forwarded-For alone), "[2001:db8::1]",
 * "[2001:db8::1]:80". Anything else, such as "unknown" and "_hidden", is no address. */
static int
read_node(struct bytes node, struct ip_address *out_address)
{
    const uint8_t *colon = node.len == 0 ? NULL : memchr(node.data, ':', node.len);
    struct ip_address address;

    if (node.len > 0 && node.data[0] == '[') {
        const uint8_t *end = memchr(node.data, ']', node.len);
        size_t len = end == NULL ? 0 : (size_t)(end - node.data);
        if (end == NULL || (len + 1 < node.len && node.data[len + 1] != ':')) {
            return AUGURY_ERR_INVALID;
        }
        node = bytes_of(node.data + 1, len - 1);
    } else if (colon != NULL &&
               memchr(colon + 1, ':', node.len - (size_t)(colon + 1 - node.data)) == NULL) {
        node.len = (size_t)(colon - node.data);
    }
    if (ip_parse(node, &address) != 0 || ip_is_none(&address)) {
        return AUGURY_ERR_INVALID;
    }
    *out_address = address;
    return 0;
}

static void
hops_add(struct hops *hops, struct bytes node)
{
    hops->list[hops->count++ % HOPS_MAX] = node;
}

static void
read_x_forwarded_for(struct bytes line, struct hops *hops)
{
    size_t begin = 0;

    for (size_t i = 0; i <= line.len; i++) {
        if (i == line.len || line.data[i] == ',') {
            hops_add(hops, trim(bytes_of(line.data + begin, i - begin)));
            begin = i + 1;
        }
    }
}

/* ---- RFC 7239 4 ------------------------------------------------------------------------------ */

/* Where a quoted text ends, behind its second quote; 0: nowhere. */
static size_t
quoted_end(struct bytes line, size_t at)
{
    for (size_t i = at + 1; i < line.len; i++) {
        if (line.data[i] == '\\') {
            i++;
        } else if (line.data[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

/* The value of one pair if it is called "for"; quotes are taken off, escapes are not undone: no
 * address has one. */
static bool
pair_is_for(struct bytes pair, struct bytes *out_node)
{
    const uint8_t *equals = pair.len == 0 ? NULL : memchr(pair.data, '=', pair.len);

    if (equals == NULL ||
        !bytes_equal_nocase(bytes_of(pair.data, (size_t)(equals - pair.data)), "for")) {
        return false;
    }
    struct bytes value = bytes_of(equals + 1, pair.len - (size_t)(equals + 1 - pair.data));
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
        value = bytes_of(value.data + 1, value.len - 2);
    }
    *out_node = value;
    return true;
}

/* False: the line's quotes are not even. Elements without "for" have an empty node. */
static bool
read_forwarded(struct bytes line, struct hops *hops)
{
    struct bytes node = bytes_of(NULL, 0);
    size_t begin = 0;

    for (size_t i = 0; i <= line.len; i++) {
        if (i < line.len && line.data[i] == '"') {
            size_t end = quoted_end(line, i);
            if (end == 0) {
                return false;
            }
            i = end - 1;
            continue;
        }
        bool is_last = i == line.len || line.data[i] == ',';
        if (is_last || line.data[i] == ';') {
            (void)pair_is_for(trim(bytes_of(line.data + begin, i - begin)), &node);
            begin = i + 1;
        }
        if (is_last) {
            hops_add(hops, node);
            node = bytes_of(NULL, 0);
        }
    }
    return true;
}

/* ---- the chain ------------------------------------------------------------------------------- */

/* From the right end of one line on; true: the line before it is wanted too. */
static bool
follow(const struct hops *hops, const struct ip_networks *trusted, struct ip_address *client)
{
    size_t first = hops->count > HOPS_MAX ? hops->count - HOPS_MAX : 0;

    for (size_t i = hops->count; i > first; i--) {
        struct ip_address address;
        if (read_node(hops->list[(i - 1) % HOPS_MAX], &address) != 0) {
            return false; /* who wrote this is the last one known */
        }
        *client = address;
        if (!ip_networks_contain(trusted, &address)) {
            return false;
        }
    }
    return first == 0;
}

struct ip_address
http_client_behind(const struct http_request *request, enum http_forwarded header,
                   const struct ip_networks *trusted, struct ip_address peer)
{
    const char *name = header == HTTP_FORWARDED ? "forwarded" : "x-forwarded-for";

    for (size_t i = request->header_count; i > 0; i--) {
        const struct http_header *line = &request->headers[i - 1];
        struct hops hops = {.count = 0};
        if (!bytes_equal_nocase(line->name, name)) {
            continue;
        }
        if (header != HTTP_FORWARDED) {
            read_x_forwarded_for(line->value, &hops);
        } else if (!read_forwarded(line->value, &hops)) {
            return peer;
        }
        if (!follow(&hops, trusted, &peer)) {
            return peer;
        }
    }
    return peer;
}
