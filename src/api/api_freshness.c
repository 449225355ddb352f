/* SPDX-License-Identifier: MIT */
/*
 * api_freshness.c - what a request wants of caches, and what an answer says to them: Cache-Control,
 * If-None-Match, If-Match, Age, ETag, X-Cache. Sources: RFC 9111 4.2, 5.1, 5.2.1; RFC 5861 4; RFC
 * 9110 8.8.3, 13.1. X-Cache is no standard, but what nginx, Varnish and CDNs have taught people to
 * look for.
 * Invariant: a tag is a hash of the very bytes that are sent, so it is strong, and the gzip form of
 * an answer has another one.
 */
#include "api_call.h"

#include <string.h>

enum { TAG_HEX_BYTES = 16, LINES_MAX = 256 };

/* ---- what a request wants -------------------------------------------------------------------- */

/* "60" and "\"60\"" alike (RFC 9111 5.2); a number that is none is 0: the careful reading. One that
 * is too large is the largest: not UINT32_MAX, which stands for none at all. */
static uint32_t
seconds_of(struct bytes text)
{
    uint64_t seconds = 0;

    if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"') {
        text = bytes_of(text.data + 1, text.len - 2);
    }
    int rc = bytes_to_u64(text, UINT32_MAX - 1, &seconds);
    if (rc == AUGURY_ERR_LIMIT) {
        return UINT32_MAX - 1;
    }
    return rc == 0 ? (uint32_t)seconds : 0;
}

struct api_wish
api_wish_of(const struct http_request *request)
{
    struct bytes cache_control = request->cache_control;
    struct api_wish wish = {.max_age_s = UINT32_MAX};

    while (cache_control.len > 0) {
        struct bytes argument;
        struct bytes name = api_cut(api_cut(cache_control, ',', &cache_control), '=', &argument);
        if (bytes_equal_nocase(name, "no-cache")) {
            wish.is_no_cache = true;
        } else if (bytes_equal_nocase(name, "no-store")) {
            wish.is_no_store = true;
        } else if (bytes_equal_nocase(name, "only-if-cached")) {
            wish.is_only_if_cached = true;
        } else if (bytes_equal_nocase(name, "max-age")) {
            wish.max_age_s = seconds_of(argument);
        } else if (bytes_equal_nocase(name, "stale-if-error")) {
            wish.stale_s = seconds_of(argument);
        }
    }
    if (bytes_equal_text(request->allow_stale, "1")) {
        wish.stale_s = UINT32_MAX;
    }
    /* What is computed now is 0 seconds old; what a cache has may be a moment older. */
    wish.is_no_cache = wish.is_no_cache || wish.max_age_s == 0;
    return wish;
}

/* ---- tags ------------------------------------------------------------------------------------ */

uint64_t
api_tag_of(struct bytes content)
{
    uint64_t tag = hash64_of(content);

    return tag != 0 ? tag : 1;
}

static void
tag_to_hex(uint64_t tag, char *out_hex)
{
    uint8_t bytes[sizeof(tag)];

    le64_put(bytes, tag);
    hex_encode(bytes_of(bytes, sizeof(bytes)), out_hex);
}

/* A tag with a comma inside is cut, and its halves, a quotation mark short, are nobody's. */
bool
api_tag_matches(struct bytes list, uint64_t tag, enum api_tag_compare compare)
{
    char wanted[TAG_HEX_BYTES];

    tag_to_hex(tag, wanted);
    while (list.len > 0) {
        struct bytes rest;
        struct bytes item = api_cut(list, ',', &rest);
        list = rest;
        if (bytes_equal_text(item, "*")) {
            return true;
        }
        if (compare == API_TAG_WEAK && bytes_start_with(item, "W/")) {
            item = bytes_of(item.data + 2, item.len - 2);
        }
        if (item.len == TAG_HEX_BYTES + 2 && item.data[0] == '"' &&
            item.data[TAG_HEX_BYTES + 1] == '"' &&
            memcmp(item.data + 1, wanted, TAG_HEX_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- what an answer says --------------------------------------------------------------------- */

static const struct line {
    const char *text;
    size_t len;
} x_cache_lines[] = {
#define LINE(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
    [API_CACHE_HIT] = LINE("X-Cache: HIT\r\n"),
    [API_CACHE_MISS] = LINE("X-Cache: MISS\r\n"),
    [API_CACHE_STALE] = LINE("X-Cache: STALE\r\n"),
    [API_CACHE_COALESCED] = LINE("X-Cache: COALESCED\r\n"),
    [API_CACHE_BYPASS] = LINE("X-Cache: BYPASS\r\n"),
#undef LINE
};

static char *
put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

#define PUT_LITERAL(at, text) put(at, text, sizeof(text) - 1)

/* Name and number of a line, without its end. Ages over 136 years do not occur. */
static char *
put_seconds(char *at, uint64_t from_ms, uint64_t to_ms)
{
    uint64_t seconds = to_ms > from_ms ? (to_ms - from_ms) / 1000 : 0;

    return at + u64_to_text(seconds < UINT32_MAX ? seconds : UINT32_MAX, at);
}

/* One reservation and copies: this is written with every cached answer. */
void
api_put_freshness(const struct api_call *call, const struct api_freshness *freshness)
{
    struct buf *headers = call->answer->headers;
    uint64_t now_wall_ms = call->now_wall_ms;
    const struct line *x_cache = &x_cache_lines[freshness->x_cache];
    char *start = (char *)buf_reserve(headers, LINES_MAX);

    if (start == NULL) {
        return; /* sticky: becomes status 500 */
    }
    char *at = put(start, x_cache->text, x_cache->len);
    if (freshness->x_cache == API_CACHE_HIT || freshness->x_cache == API_CACHE_STALE ||
        freshness->created_wall_ms + 1000 <= now_wall_ms) {
        at = PUT_LITERAL(at, "Age: ");
        at = put_seconds(at, freshness->created_wall_ms, now_wall_ms);
        at = PUT_LITERAL(at, "\r\n");
    }
    if (freshness->is_not_to_store) {
        at = PUT_LITERAL(at, "Cache-Control: no-store\r\n");
    } else if (freshness->expires_wall_ms != 0) {
        at = PUT_LITERAL(at, "Cache-Control: ");
        if (call->api->is_private) {
            at = PUT_LITERAL(at, "private, ");
        }
        at = PUT_LITERAL(at, "max-age=");
        at = put_seconds(at, freshness->created_wall_ms, freshness->expires_wall_ms);
        at = PUT_LITERAL(at, "\r\n");
    }
    if (freshness->tag != 0) {
        at = PUT_LITERAL(at, "ETag: \"");
        tag_to_hex(freshness->tag, at);
        at = PUT_LITERAL(at + TAG_HEX_BYTES, "\"\r\n");
    }
    buf_commit(headers, (size_t)(at - start));
}

unsigned
api_refuse_condition(struct api_call *call)
{
    call->answer->ready = bytes_of(NULL, 0);
    buf_reset(call->answer->headers); /* they were those of what is not sent */
    return api_refuse_at(call, 412, "condition_failed", "If-Match",
                         "what is at \"%.*s\" is not as If-Match wants it",
                         (int)(call->request->path.len < 128 ? call->request->path.len : 128),
                         (const char *)call->request->path.data);
}

void
api_tag_document(struct api_call *call)
{
    struct net_answer *answer = call->answer;
    struct bytes sent = answer->ready.data != NULL ? answer->ready : buf_view(answer->body);
    struct bytes if_match = call->request->if_match;
    struct buf *headers = answer->headers;
    char hex[TAG_HEX_BYTES];
    uint64_t tag = api_tag_of(sent);

    if (if_match.len > 0 && !api_tag_matches(if_match, tag, API_TAG_STRONG)) {
        answer->status = api_refuse_condition(call);
        return;
    }
    if (api_forms_are_several(call)) {
        buf_put_text(headers, "Vary: Accept\r\n");
    }
    tag_to_hex(tag, hex);
    buf_put_text(headers, "ETag: \"");
    buf_put(headers, hex, sizeof(hex));
    /* Whoever keeps it asks each time whether it is still so. */
    buf_put_text(headers, call->api->is_private ? "\"\r\nCache-Control: private, no-cache\r\n"
                                                : "\"\r\nCache-Control: no-cache\r\n");
    if (api_tag_matches(call->request->if_none_match, tag, API_TAG_WEAK)) {
        answer->status = 304;
    }
}
