/* SPDX-License-Identifier: MIT */
/*
 * http_field.c - what single fields mean for framing and for the handler, and what a head as a
 * whole must satisfy. A field that occurs twice where one is meant is refused; of the others the
 * first one counts.
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

bool
http_host_is_valid(struct bytes host)
{
    size_t end = 0;

    if (host.len > 0 && host.data[0] == '[') {
        const uint8_t *close = memchr(host.data, ']', host.len);
        if (close == NULL || close == host.data + 1) {
            return false;
        }
        end = (size_t)(close - host.data) + 1;
        for (size_t i = 1; i + 1 < end; i++) {
            if (!http_is(host.data[i], HTTP_HOST) && host.data[i] != ':') {
                return false;
            }
        }
    } else {
        end = http_span(host, HTTP_HOST);
        if (end == 0) {
            return false;
        }
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

static int
take_transfer_encoding(struct http_head *head, const struct http_header *field)
{
    int rc = see_once(head, HTTP_SEEN_TRANSFER_ENCODING, field);

    if (rc == 0 && bytes_equal_nocase(field->value, "chunked")) {
        head->seen |= HTTP_SEEN_CHUNKED;
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

/* One row: a function, or a view in the request to fill. Ordered by length, rows of one length
 * together. */
static const struct known_field {
    const char *name;
    field_fn *take;
    uint16_t view; /* offset in struct http_request, when take is NULL */
    uint8_t len;
    bool is_single;
} known_fields[] = {
#define FIELD_TAKE(text, fn)                                                                       \
    {                                                                                              \
        text, fn, 0, sizeof(text) - 1, false                                                       \
    }
#define FIELD_VIEW(text, member, single)                                                           \
    {                                                                                              \
        text, NULL, offsetof(struct http_request, member), sizeof(text) - 1, single                \
    }
    FIELD_TAKE("host", take_host),
    FIELD_TAKE("expect", take_expect),
    FIELD_VIEW("accept", accept, false),
    FIELD_TAKE("upgrade", take_upgrade),
    FIELD_TAKE("connection", take_connection),
    FIELD_VIEW("content-type", content_type, true),
    FIELD_VIEW("x-request-id", request_id, false),
    FIELD_VIEW("cache-control", cache_control, false),
    FIELD_VIEW("if-none-match", if_none_match, false),
    FIELD_VIEW("x-allow-stale", allow_stale, false),
    FIELD_TAKE("content-length", take_content_length),
    FIELD_VIEW("accept-encoding", accept_encoding, false),
    FIELD_VIEW("content-encoding", content_encoding, true),
    FIELD_TAKE("transfer-encoding", take_transfer_encoding),
    FIELD_VIEW("x-request-timeout", request_timeout, true),
#undef FIELD_TAKE
#undef FIELD_VIEW
};

enum { KNOWN_LEN_MAX = 17 };
/* First row of each length plus one; 0: none. */
static const uint8_t first_of_len[KNOWN_LEN_MAX + 1] = {
    [4] = 1,  [6] = 2,   [7] = 4,   [10] = 5,  [12] = 6,
    [13] = 8, [14] = 11, [15] = 12, [16] = 13, [17] = 14,
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
        return known->is_single ? http_refuse(head, 400, "duplicate_field", field->name.data,
                                              "this field may occur only once")
                                : 0;
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
