/* SPDX-License-Identifier: MIT */
/*
 * http_field.c - what single fields mean for framing and for the handler, and what a head as a
 * whole must satisfy. A field that occurs twice where one is meant is refused; lists go on in the
 * next line; of the others the first one counts.
 */
#include "http_head.h"

#include <string.h>

#include "http_chars.h"

typedef int field_fn(struct http_head *head, const struct http_header *field);

static int
refuse_value(const struct http_head *head, unsigned status, const char *code,
             const struct http_header *field, const char *reason)
{
    return http_refuse(head, status, code, field->value.data, reason);
}

static size_t
offset_of(const struct http_head *head, const struct http_header *field)
{
    return (size_t)(field->name.data - head->input.data);
}

/* Notes that the field came; a second time is refused. */
static int
see_once(struct http_head *head, enum http_seen what, const struct http_header *field)
{
    if ((head->seen & what) != 0) {
        return http_refuse(head, 400, "duplicate_field", field->name.data,
                           "this field may occur only once");
    }
    head->seen |= what;
    return 0;
}

/* Bytes of the reg-name that host begins with; its %-escapes are two hexadecimal digits. */
static size_t
reg_name_bytes(struct bytes host)
{
    size_t end = http_span(host, HTTP_HOST);

    while (host.len - end >= 3 && host.data[end] == '%' &&
           http_hex_value(host.data[end + 1]) < 16 && http_hex_value(host.data[end + 2]) < 16) {
        end += 3;
        end += http_span(http_view(host.data + end, host.len - end), HTTP_HOST);
    }
    return end;
}

/* Bytes of the "[2001:db8::1]" that host begins with, or 0. What RFC 3986 keeps for addresses to
 * come ("[v7.…]") is nobody's yet. */
static size_t
ip_literal_bytes(struct bytes host)
{
    const uint8_t *close = memchr(host.data, ']', host.len);
    struct ip_address address;

    if (close == NULL) {
        return 0;
    }
    struct bytes inside = http_view(host.data + 1, (size_t)(close - host.data) - 1);
    bool is_v6 = inside.len > 0 && memchr(inside.data, ':', inside.len) != NULL &&
                 ip_parse(inside, &address) == 0;
    return is_v6 ? inside.len + 2 : 0;
}

bool
http_host_is_valid(struct bytes host)
{
    bool is_literal = host.len > 0 && host.data[0] == '[';
    size_t end = is_literal ? ip_literal_bytes(host) : reg_name_bytes(host);

    if (end == 0) {
        return false;
    }
    if (end == host.len) {
        return true;
    }
    if (host.data[end] != ':') {
        return false;
    }
    for (size_t i = end + 1; i < host.len; i++) {
        if (host.data[i] < '0' || host.data[i] > '9') {
            return false;
        }
    }
    return host.len - end <= 6; /* ":65535" */
}

static int
take_host(struct http_head *head, const struct http_header *field)
{
    int rc = see_once(head, HTTP_SEEN_HOST, field);

    if (rc == 0 && !http_host_is_valid(field->value)) {
        return refuse_value(head, 400, "bad_host", field, "Host is not host or host:port");
    }
    head->request->host = field->value;
    return rc;
}

static int
take_content_length(struct http_head *head, const struct http_header *field)
{
    int rc = see_once(head, HTTP_SEEN_CONTENT_LENGTH, field);

    if (rc == 0 && bytes_to_u64(field->value, UINT64_MAX, &head->request->body_bytes) != 0) {
        return refuse_value(head, 400, "bad_framing", field,
                            "Content-Length is not one number of decimal digits");
    }
    head->framing_at = offset_of(head, field);
    return rc;
}

static struct bytes
last_of_list(struct bytes list)
{
    size_t begin = list.len;

    while (begin > 0 && list.data[begin - 1] != ',') {
        begin--;
    }
    return http_trim(http_view(list.data + begin, list.len - begin));
}

static int
take_transfer_encoding(struct http_head *head, const struct http_header *field)
{
    int rc = see_once(head, HTTP_SEEN_TRANSFER_ENCODING, field);

    if (rc == 0 && bytes_equal_nocase(field->value, "chunked")) {
        head->seen |= HTTP_SEEN_CHUNKED | HTTP_SEEN_CHUNKED_LAST;
    } else if (rc == 0 && bytes_equal_nocase(last_of_list(field->value), "chunked")) {
        head->seen |= HTTP_SEEN_CHUNKED_LAST;
    }
    head->framing_at = offset_of(head, field);
    return rc;
}

static int
take_expect(struct http_head *head, const struct http_header *field)
{
    if (!bytes_equal_nocase(field->value, "100-continue")) {
        head->seen |= HTTP_SEEN_BAD_EXPECT;
        head->expect_at = offset_of(head, field);
    } else if (head->request->minor == 1) {
        head->request->flags |= HTTP_EXPECT_CONTINUE; /* ignored in 1.0: RFC 9110 10.1.1 */
    }
    return 0;
}

static int
take_connection(struct http_head *head, const struct http_header *field)
{
    struct bytes rest = field->value;

    while (rest.len > 0) {
        const uint8_t *comma = memchr(rest.data, ',', rest.len);
        size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.data);
        struct bytes option = http_trim(http_view(rest.data, len));
        if (bytes_equal_nocase(option, "close")) {
            head->seen |= HTTP_SEEN_CLOSE;
        } else if (bytes_equal_nocase(option, "keep-alive")) {
            head->seen |= HTTP_SEEN_KEEP_ALIVE;
        } else if (bytes_equal_nocase(option, "upgrade")) {
            head->seen |= HTTP_SEEN_UPGRADE;
        }
        len += comma != NULL ? 1 : 0;
        rest = http_view(rest.data + len, rest.len - len);
    }
    return 0;
}

static int
take_upgrade(struct http_head *head, const struct http_header *field)
{
    (void)field;
    head->seen |= HTTP_SEEN_UPGRADE_TO;
    return 0;
}

/* What a second line of a field means. */
enum again {
    AGAIN_IGNORED, /* the first line counts */
    AGAIN_REFUSED,
    AGAIN_LIST, /* it goes on with the list of the first (RFC 9110 5.3) */
};

/* One row: a function, or a view in the request to fill. Ordered by length, rows of one length
 * together. */
static const struct known_field {
    const char *name;
    field_fn *take;
    uint16_t view; /* offset in struct http_request, when take is NULL */
    uint8_t len;
    uint8_t again; /* enum again */
} known_fields[] = {
#define FIELD_TAKE(text, fn)                                                                       \
    {                                                                                              \
        text, fn, 0, sizeof(text) - 1, AGAIN_IGNORED                                               \
    }
#define FIELD_VIEW(text, member, again)                                                            \
    {                                                                                              \
        text, NULL, offsetof(struct http_request, member), sizeof(text) - 1, again                 \
    }
    FIELD_TAKE("host", take_host),
    FIELD_TAKE("expect", take_expect),
    FIELD_VIEW("accept", accept, AGAIN_LIST),
    FIELD_TAKE("upgrade", take_upgrade),
    FIELD_VIEW("if-match", if_match, AGAIN_LIST),
    FIELD_TAKE("connection", take_connection),
    FIELD_VIEW("content-type", content_type, AGAIN_REFUSED),
    FIELD_VIEW("x-request-id", request_id, AGAIN_IGNORED),
    FIELD_VIEW("cache-control", cache_control, AGAIN_LIST),
    FIELD_VIEW("if-none-match", if_none_match, AGAIN_LIST),
    FIELD_VIEW("x-allow-stale", allow_stale, AGAIN_IGNORED),
    FIELD_TAKE("content-length", take_content_length),
    FIELD_VIEW("accept-encoding", accept_encoding, AGAIN_LIST),
    FIELD_VIEW("content-encoding", content_encoding, AGAIN_REFUSED),
    FIELD_TAKE("transfer-encoding", take_transfer_encoding),
    FIELD_VIEW("if-modified-since", if_modified_since, AGAIN_IGNORED),
    FIELD_VIEW("x-request-timeout", request_timeout, AGAIN_REFUSED),
#undef FIELD_TAKE
#undef FIELD_VIEW
};

enum { KNOWN_LEN_MAX = 17 };
/* First row of each length plus one; 0: none. */
static const uint8_t first_of_len[KNOWN_LEN_MAX + 1] = {
    [4] = 1,  [6] = 2,   [7] = 4,   [8] = 5,   [10] = 6,  [12] = 7,
    [13] = 9, [14] = 12, [15] = 13, [16] = 14, [17] = 15,
};

static bool
eight_are(const uint8_t *name, const char *lower_case)
{
    uint64_t a, b;

    memcpy(&a, name, 8);
    memcpy(&b, lower_case, 8);
    return (a | 0x2020202020202020u) == b;
}

/* Both of one length. name is all token characters, and none of them but its upper case differs
 * from a letter, and none at all from '-', in bit 5 alone. */
static bool
name_is(struct bytes name, const char *lower_case)
{
    size_t i = 0;

    for (; name.len - i >= 8; i += 8) {
        if (!eight_are(name.data + i, lower_case + i)) {
            return false;
        }
    }
    for (; i < name.len; i++) {
        if ((name.data[i] | 0x20) != (uint8_t)lower_case[i]) {
            return false;
        }
    }
    return true;
}

static const struct known_field *
known_field_find(struct bytes name)
{
    size_t row = name.len <= KNOWN_LEN_MAX ? first_of_len[name.len] : 0;

    for (; row != 0 && row <= AUGURY_COUNT(known_fields); row++) {
        const struct known_field *known = &known_fields[row - 1];
        if (known->len != name.len) {
            break;
        }
        if (name_is(name, known->name)) {
            return known;
        }
    }
    return NULL;
}

int
http_field_take(struct http_head *head, const struct http_header *field)
{
    const struct known_field *known = known_field_find(field->name);

    if (known == NULL) {
        return 0;
    }
    if (known->take != NULL) {
        return known->take(head, field);
    }
    struct bytes *view = (struct bytes *)((char *)head->request + known->view);
    if (view->data != NULL) {
        if (known->again == AGAIN_REFUSED) {
            return http_refuse(head, 400, "duplicate_field", field->name.data,
                               "this field may occur only once");
        }
        head->request->flags |= known->again == AGAIN_LIST ? HTTP_LISTS_GO_ON : 0;
        return 0;
    }
    *view = field->value;
    return 0;
}

static int
check_host(struct http_head *head, const uint8_t *end)
{
    bool has_host = (head->seen & HTTP_SEEN_HOST) != 0;

    if (!has_host && head->request->minor == 1) {
        return http_refuse(head, 400, "bad_host", end, "HTTP/1.1 requires one Host field");
    }
    if (head->authority.data == NULL) {
        return 0;
    }
    if (has_host) {
        struct bytes a = head->authority, b = head->request->host;
        bool is_equal = a.len == b.len;
        for (size_t i = 0; is_equal && i < a.len; i++) {
            uint8_t x = a.data[i], y = b.data[i];
            uint8_t folded = x >= 'A' && x <= 'Z' ? x | 0x20 : x;
            is_equal = folded == (y >= 'A' && y <= 'Z' ? y | 0x20 : y);
        }
        if (!is_equal) {
            return http_refuse(head, 400, "bad_host", b.data,
                               "Host differs from the target's authority");
        }
    }
    head->request->host = head->authority;
    return 0;
}

static int
check_framing(struct http_head *head)
{
    const uint8_t *where = head->input.data + head->framing_at;
    unsigned seen = head->seen;

    if ((seen & HTTP_SEEN_TRANSFER_ENCODING) != 0) {
        if (head->request->minor == 0) {
            return http_refuse(head, 400, "bad_framing", where,
                               "Transfer-Encoding is not part of HTTP/1.0");
        }
        if ((seen & HTTP_SEEN_CONTENT_LENGTH) != 0) {
            return http_refuse(head, 400, "bad_framing", where,
                               "Transfer-Encoding and Content-Length exclude each other");
        }
        if ((seen & HTTP_SEEN_CHUNKED_LAST) == 0) {
            return http_refuse(head, 400, "bad_framing", where,
                               "where chunked is not the last transfer coding, nobody can tell "
                               "where the body ends");
        }
        if ((seen & HTTP_SEEN_CHUNKED) == 0) {
            return http_refuse(head, 501, "unknown_transfer_coding", where,
                               "the only transfer coding is chunked");
        }
        head->request->flags |= HTTP_CHUNKED | HTTP_HAS_BODY;
    } else if ((seen & HTTP_SEEN_CONTENT_LENGTH) != 0) {
        head->request->flags |= HTTP_HAS_BODY;
    }
    if ((seen & HTTP_SEEN_BAD_EXPECT) != 0) {
        return http_refuse(head, 417, "bad_expectation", head->input.data + head->expect_at,
                           "the only expectation is 100-continue");
    }
    if (head->request->body_bytes > head->limits->body_bytes) {
        return http_refuse(head, 413, "body_too_large", where, "the body is over the limit");
    }
    return 0;
}

int
http_fields_finish(struct http_head *head, const uint8_t *end)
{
    unsigned seen = head->seen;
    int rc = check_host(head, end);

    if (rc == 0) {
        rc = check_framing(head);
    }
    bool is_asked = head->request->minor == 1 || (seen & HTTP_SEEN_KEEP_ALIVE) != 0;
    if (is_asked && (seen & HTTP_SEEN_CLOSE) == 0) {
        head->request->flags |= HTTP_KEEP_ALIVE;
    }
    if (head->request->minor == 1 && (seen & HTTP_SEEN_UPGRADE) != 0 &&
        (seen & HTTP_SEEN_UPGRADE_TO) != 0) {
        head->request->flags |= HTTP_UPGRADE;
    }
    return rc;
}

/* Of fields that are lists, all lines. Returns where the room goes on. */
static uint8_t *
list_join(struct http_request *request, const struct known_field *known, uint8_t *room)
{
    struct bytes *view = (struct bytes *)((char *)request + known->view);
    uint8_t *at = room;
    size_t lines = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *field = &request->headers[i];
        if (field->name.len != known->len || !name_is(field->name, known->name)) {
            continue;
        }
        if (lines++ > 0) {
            *at++ = ',';
            *at++ = ' ';
        }
        if (field->value.len > 0) {
            memcpy(at, field->value.data, field->value.len);
        }
        at += field->value.len;
    }
    if (lines > 1) {
        *view = http_view(room, (size_t)(at - room));
    }
    return at;
}

void
http_lists_join(struct http_request *request, uint8_t *room)
{
    for (size_t i = 0; i < AUGURY_COUNT(known_fields); i++) {
        if (known_fields[i].again == AGAIN_LIST) {
            room = list_join(request, &known_fields[i], room);
        }
    }
}
