/* SPDX-License-Identifier: MIT */
/*
 * net_upgrade.c - the handshake of WebSocket. A request that does not ask for it gets 426 with what
 * it should ask for; one that asks wrongly 400; one of an origin that nobody allowed 403.
 */
#include "net_upgrade.h"

#include <openssl/sha.h>
#include <string.h>

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */

static int
refuse(struct http_refusal *refusal, unsigned status, const char *code, const char *reason)
{
    *refusal = (struct http_refusal){.status = status, .code = code, .reason = reason};
    return AUGURY_ERR_INVALID;
}

/* The value of a field that is there once. False: it is not there, or more than once. */
static bool
field_once(const struct http_request *request, const char *lower_case_name, struct bytes *out_value)
{
    unsigned count = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        if (bytes_equal_nocase(request->headers[i].name, lower_case_name)) {
            *out_value = request->headers[i].value;
            count++;
        }
    }
    return count == 1;
}

static bool
is_separator(uint8_t c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* The next word of a list; an empty one at its end. */
static struct bytes
word_next(struct bytes *rest)
{
    size_t begin = 0;

    while (begin < rest->len && is_separator(rest->data[begin])) {
        begin++;
    }
    size_t end = begin;
    while (end < rest->len && !is_separator(rest->data[end])) {
        end++;
    }
    struct bytes word = bytes_of(rest->data + begin, end - begin);
    *rest = bytes_of(rest->data + end, rest->len - end);
    return word;
}

/* Whether any Upgrade field names websocket. */
static bool
asks_for_websocket(const struct http_request *request)
{
    bool asks = false;

    for (size_t i = 0; i < request->header_count; i++) {
        struct bytes rest = request->headers[i].value;
        if (!bytes_equal_nocase(request->headers[i].name, "upgrade")) {
            continue;
        }
        for (struct bytes word = word_next(&rest); word.len > 0; word = word_next(&rest)) {
            asks = asks || bytes_equal_nocase(word, "websocket");
        }
    }
    return asks && (request->flags & HTTP_UPGRADE) != 0 && request->method == HTTP_GET;
}

/* ---- origins --------------------------------------------------------------------------------- */

static bool
equal_nocase(struct bytes a, struct bytes b)
{
    bool is_equal = a.len == b.len;

    for (size_t i = 0; is_equal && i < a.len; i++) {
        uint8_t x = a.data[i], y = b.data[i];
        x = (uint8_t)(x >= 'A' && x <= 'Z' ? x | 0x20 : x);
        y = (uint8_t)(y >= 'A' && y <= 'Z' ? y | 0x20 : y);
        is_equal = x == y;
    }
    return is_equal;
}

static bool
is_at(struct bytes origin, const char *scheme, struct bytes host)
{
    size_t len = strlen(scheme);

    return origin.len > len && equal_nocase(bytes_of(origin.data, len), bytes_of_text(scheme)) &&
           equal_nocase(bytes_of(origin.data + len, origin.len - len), host);
}

/* A page of this server itself. Before a connection without TLS there may be a proxy with it. */
static bool
is_own_origin(struct bytes origin, struct bytes host, bool is_secure)
{
    return is_at(origin, "https://", host) || (!is_secure && is_at(origin, "http://", host));
}

/* A client that is no browser says none. */
static bool
origin_is_allowed(const struct http_request *request, const char *origins, bool is_secure)
{
    struct bytes origin = bytes_of(NULL, 0);
    struct bytes rest = bytes_of_text(origins != NULL ? origins : "");

    if (!field_once(request, "origin", &origin)) {
        return origin.data == NULL; /* several are not allowed */
    }
    if (is_own_origin(origin, request->host, is_secure)) {
        return true;
    }
    for (struct bytes word = word_next(&rest); word.len > 0; word = word_next(&rest)) {
        if (bytes_equal_text(word, "*") || equal_nocase(word, origin)) {
            return true;
        }
    }
    return false;
}

/* ---- the key --------------------------------------------------------------------------------- */

/* 16 bytes as base64: 22 digits and two signs of padding. */
static bool
key_is_valid(struct bytes key)
{
    if (key.len != UPGRADE_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < UPGRADE_KEY_BYTES - 2; i++) {
        uint8_t c = key.data[i];
        bool is_digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                        (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (!is_digit) {
            return false;
        }
    }
    return key.data[22] == '=' && key.data[23] == '=';
}

void
upgrade_accept_key(struct bytes key, char out_text[UPGRADE_ACCEPT_BYTES])
{
    uint8_t text[UPGRADE_KEY_BYTES + sizeof(guid) - 1];
    uint8_t digest[SHA_DIGEST_LENGTH];

    AUGURY_ASSERT(key.len == UPGRADE_KEY_BYTES);
    memcpy(text, key.data, UPGRADE_KEY_BYTES);
    memcpy(text + UPGRADE_KEY_BYTES, guid, sizeof(guid) - 1);
    SHA1(text, sizeof(text), digest); /* no secret: a proof that this is no server of HTTP alone */
    base64_encode(bytes_of(digest, sizeof(digest)), out_text);
}

int
upgrade_check(const struct http_request *request, const char *origins, bool is_secure,
              struct buf *headers, struct bytes *out_key, struct http_refusal *out_refusal)
{
    struct bytes version = bytes_of(NULL, 0);
    struct bytes key = bytes_of(NULL, 0);

    if (!asks_for_websocket(request)) {
        buf_put_text(headers, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\n");
        return refuse(out_refusal, 426, "upgrade_required",
                      "this speaks WebSocket: ask with GET, HTTP/1.1, Connection: Upgrade and "
                      "Upgrade: websocket");
    }
    if ((request->flags & HTTP_CHUNKED) != 0 || request->body_bytes > 0) {
        return refuse(out_refusal, 400, "bad_handshake", "a WebSocket handshake has no body");
    }
    bool has_version = field_once(request, "sec-websocket-version", &version);
    if (!has_version || !bytes_equal_text(version, "13")) {
        buf_put_text(headers, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\n");
        return refuse(out_refusal, 426, "upgrade_required",
                      "Sec-WebSocket-Version has to be there once, and 13");
    }
    if (!field_once(request, "sec-websocket-key", &key) || !key_is_valid(key)) {
        return refuse(out_refusal, 400, "bad_handshake",
                      "Sec-WebSocket-Key has to be there once, as 16 bytes in base64");
    }
    if (!origin_is_allowed(request, origins, is_secure)) {
        return refuse(out_refusal, 403, "origin_not_allowed",
                      "pages of that origin may not open sockets here (websocket.origins)");
    }
    *out_key = key;
    return 0;
}
