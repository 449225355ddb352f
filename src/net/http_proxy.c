/* SPDX-License-Identifier: MIT */
/*
 * http_proxy.c - what a proxy says of its client before the client's own bytes.
 * Source: "The PROXY protocol, versions 1 & 2" (haproxy.org, doc/proxy-protocol.txt), 2.1 and 2.2.
 * Invariant: a longer input never turns a header that was refused, or whole, into something else.
 */
#include "augury/http.h"

enum {
    LINE_MAX_BYTES = 107, /* of version 1, with its CRLF */
    SIGNATURE_BYTES = 12,
    FIXED_BYTES = 16, /* of version 2, before the addresses */
    VERSION_2 = 2,
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    FAMILY_UNSPECIFIED = 0,
    FAMILY_INET = 1,
    FAMILY_INET6 = 2,
    FAMILY_UNIX = 3,
    TRANSPORT_UNSPECIFIED = 0,
    TRANSPORT_STREAM = 1,
    TLV_HEAD_BYTES = 3,
};

static const uint8_t signature[SIGNATURE_BYTES] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                                   0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const char word[] = "PROXY ";

/* ---- version 1: a line ----------------------------------------------------------------------- */

/* The text before the next blank, or all; *rest goes on behind it. */
static struct bytes
line_cut(struct bytes *rest)
{
    const uint8_t *blank = rest->len == 0 ? NULL : memchr(rest->data, ' ', rest->len);
    size_t len = blank == NULL ? rest->len : (size_t)(blank - rest->data);
    struct bytes part = bytes_of(rest->data, len);
    size_t used = blank == NULL ? len : len + 1;

    *rest = bytes_of(rest->data + used, rest->len - used);
    return part;
}

static bool
line_port(struct bytes text, uint16_t *out_port)
{
    uint64_t port = 0;

    if (bytes_to_u64(text, UINT16_MAX, &port) != 0 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    *out_port = (uint16_t)port;
    return true;
}

/* What stands between "PROXY " and CRLF. */
static int
line_read(struct bytes line, struct http_proxy *out_proxy)
{
    struct http_proxy proxy = {.has_client = true};
    struct ip_address destination;
    uint16_t destination_port = 0;
    bool ends_blank = line.len > 0 && line.data[line.len - 1] == ' ';

    struct bytes family = line_cut(&line);
    if (bytes_equal_text(family, "UNKNOWN")) {
        *out_proxy = (struct http_proxy){.has_client = false};
        return 0;
    }
    bool is_4 = bytes_equal_text(family, "TCP4");
    struct bytes source_text = line_cut(&line);
    struct bytes destination_text = line_cut(&line);
    struct bytes port_text = line_cut(&line);
    if ((!is_4 && !bytes_equal_text(family, "TCP6")) || ends_blank ||
        ip_parse(source_text, &proxy.client) != 0 ||
        ip_parse(destination_text, &destination) != 0 || ip_is_none(&proxy.client) ||
        (memchr(source_text.data, ':', source_text.len) == NULL) != is_4 ||
        (memchr(destination_text.data, ':', destination_text.len) == NULL) != is_4 ||
        !line_port(port_text, &proxy.client_port) || !line_port(line, &destination_port)) {
        return AUGURY_ERR_INVALID;
    }
    *out_proxy = proxy;
    return 0;
}

static int
parse_line(struct bytes input, struct http_proxy *out_proxy, size_t *out_used)
{
    const size_t begin = sizeof(word) - 1;
    size_t len = input.len < LINE_MAX_BYTES ? input.len : LINE_MAX_BYTES;
    size_t seen = len < begin ? len : begin;

    if (memcmp(input.data, word, seen) != 0) {
        return AUGURY_ERR_INVALID;
    }
    const uint8_t *end = len <= begin ? NULL : memchr(input.data + begin, '\r', len - begin);
    size_t at = end == NULL ? len : (size_t)(end - input.data);
    if (at + 1 >= len) { /* CRLF has not come */
        return len == LINE_MAX_BYTES ? AUGURY_ERR_INVALID : AUGURY_MORE;
    }
    if (input.data[at + 1] != '\n') {
        return AUGURY_ERR_INVALID;
    }
    int rc = line_read(bytes_of(input.data + begin, at - begin), out_proxy);
    if (rc == 0) {
        *out_used = at + 2;
    }
    return rc;
}

/* ---- version 2: bytes ------------------------------------------------------------------------ */

static uint16_t
be16_get(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

/* What follows the addresses is skipped, as far as it keeps its own lengths. */
static bool
are_tlvs_whole(struct bytes rest)
{
    while (rest.len >= TLV_HEAD_BYTES) {
        size_t len = TLV_HEAD_BYTES + (size_t)be16_get(rest.data + 1);
        if (len > rest.len) {
            return false;
        }
        rest = bytes_of(rest.data + len, rest.len - len);
    }
    return rest.len == 0;
}

/* Two addresses, two ports; UNIX has two paths, which name nobody. */
static int
read_addresses(unsigned family, struct bytes block, struct http_proxy *out_proxy)
{
    static const size_t sizes[] = {
        [FAMILY_UNSPECIFIED] = 0, [FAMILY_INET] = 12, [FAMILY_INET6] = 36, [FAMILY_UNIX] = 216};
    struct http_proxy proxy = {.has_client = family == FAMILY_INET || family == FAMILY_INET6};

    if (family == FAMILY_UNSPECIFIED) {
        *out_proxy = proxy;
        return 0;
    }
    if (block.len < sizes[family] ||
        !are_tlvs_whole(bytes_of(block.data + sizes[family], block.len - sizes[family]))) {
        return AUGURY_ERR_INVALID;
    }
    if (family == FAMILY_INET) {
        proxy.client = ip_of_v4(block.data);
        proxy.client_port = be16_get(block.data + 8);
    } else if (family == FAMILY_INET6) {
        memcpy(proxy.client.bytes, block.data, sizeof(proxy.client.bytes));
        proxy.client_port = be16_get(block.data + 32);
    }
    if (proxy.has_client && ip_is_none(&proxy.client)) {
        return AUGURY_ERR_INVALID;
    }
    *out_proxy = proxy;
    return 0;
}

/* The four bytes behind the signature, as far as they have come. */
static bool
are_fixed_right(struct bytes input)
{
    if (input.len > SIGNATURE_BYTES &&
        (input.data[12] >> 4 != VERSION_2 || (input.data[12] & 0x0f) > COMMAND_PROXY)) {
        return false;
    }
    if (input.len > SIGNATURE_BYTES + 1 &&
        (input.data[13] >> 4 > FAMILY_UNIX || (input.data[13] & 0x0f) > TRANSPORT_STREAM)) {
        return false;
    }
    return input.len < FIXED_BYTES || be16_get(input.data + 14) <= HTTP_PROXY_MAX - FIXED_BYTES;
}

static int
parse_bytes(struct bytes input, struct http_proxy *out_proxy, size_t *out_used)
{
    size_t seen = input.len < SIGNATURE_BYTES ? input.len : SIGNATURE_BYTES;

    if (memcmp(input.data, signature, seen) != 0 || !are_fixed_right(input)) {
        return AUGURY_ERR_INVALID;
    }
    if (input.len < FIXED_BYTES) {
        return AUGURY_MORE;
    }
    size_t len = be16_get(input.data + 14);
    if (input.len < FIXED_BYTES + len) {
        return AUGURY_MORE;
    }
    unsigned family = input.data[13] >> 4;
    bool is_local = (input.data[12] & 0x0f) == COMMAND_LOCAL;
    if (is_local || (input.data[13] & 0x0f) == TRANSPORT_UNSPECIFIED) {
        family = FAMILY_UNSPECIFIED; /* whatever the block says is not about a client */
    }
    int rc = read_addresses(family, bytes_of(input.data + FIXED_BYTES, len), out_proxy);
    if (rc == 0) {
        *out_used = FIXED_BYTES + len;
    }
    return rc;
}

int
http_proxy_parse(struct bytes input, struct http_proxy *out_proxy, size_t *out_used)
{
    if (input.len == 0) {
        return AUGURY_MORE;
    }
    return input.data[0] == (uint8_t)word[0] ? parse_line(input, out_proxy, out_used)
                                             : parse_bytes(input, out_proxy, out_used);
}
