/* SPDX-License-Identifier: MIT */
/*
 * net_answer.c - answers as bytes: one reservation an answer, then pieces that are ready to be
 * copied.
 */
#include "net_conn.h"

#include <string.h>

enum {
    HEAD_BYTES_MAX = 320
}; /* all that is written beside content type, handler's headers and body */

static uint8_t *
put(uint8_t *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

#define PUT_LITERAL(at, text) put(at, text, sizeof(text) - 1)

static uint8_t *
put_u64(uint8_t *at, uint64_t value)
{
    return at + u64_to_text(value, (char *)at);
}

static uint8_t *
put_status_line(uint8_t *at, unsigned status)
{
    if (status == 200) {
        return PUT_LITERAL(at, "HTTP/1.1 200 OK\r\n");
    }
    const char *text = http_status_text(status);
    at = PUT_LITERAL(at, "HTTP/1.1 ");
    at = put_u64(at, status);
    at = PUT_LITERAL(at, " ");
    at = put(at, text, strlen(text));
    return PUT_LITERAL(at, "\r\n");
}

static void
count_status(struct net_server *server, const struct net_answer *answer)
{
    static const enum stats_id ids[] = {STATS_HTTP_REQUESTS_2XX, STATS_HTTP_REQUESTS_3XX,
                                        STATS_HTTP_REQUESTS_4XX, STATS_HTTP_REQUESTS_5XX};

    stats_add(server->stats, ids[answer->is_wanted ? 2 : answer->status / 100 - 2], 1);
}

void
answer_put(struct net_server *server, struct buf *out, const struct net_answer *answer,
           unsigned flags)
{
    unsigned status = answer->status;
    bool has_content = status != 204 && status != 304;
    size_t type_len = strlen(answer->content_type);
    struct bytes body = answer->ready.data != NULL ? answer->ready : buf_view(answer->body);
    bool is_first_piece = (flags & (ANSWER_CHUNKED | ANSWER_UNTIL_CLOSE)) != 0;
    bool is_whole = has_content && (flags & ANSWER_HEAD) == 0 && !is_first_piece;
    size_t body_len = is_whole ? body.len : 0;

    AUGURY_ASSERT(status >= 200 && status <= 599);
    count_status(server, answer);
    uint8_t *start = buf_reserve(out, HEAD_BYTES_MAX + type_len + answer->headers->len + body_len);
    if (start == NULL) {
        return; /* sticky: the connection is cut */
    }
    uint8_t *at = put_status_line(start, status);
    at = put(at, server->lines, server->lines_len);
    if (has_content) {
        at = PUT_LITERAL(at, "Content-Type: ");
        at = put(at, answer->content_type, type_len);
        if (!is_first_piece && !answer->has_no_length) {
            at = PUT_LITERAL(at, "\r\nContent-Length: ");
            at = put_u64(at, body.len);
        } else if ((flags & ANSWER_CHUNKED) != 0) {
            at = PUT_LITERAL(at, "\r\nTransfer-Encoding: chunked");
        }
        at = PUT_LITERAL(at, "\r\n");
    }
    if ((flags & ANSWER_CLOSE) != 0) {
        at = PUT_LITERAL(at, "Connection: close\r\n");
    } else if ((flags & ANSWER_KEEP_ALIVE) != 0) {
        at = PUT_LITERAL(at, "Connection: keep-alive\r\n");
    }
    if (answer->headers->len > 0) {
        at = put(at, answer->headers->data, answer->headers->len);
    }
    at = PUT_LITERAL(at, "\r\n");
    if (body_len > 0) {
        at = put(at, body.data, body_len);
    }
    buf_commit(out, (size_t)(at - start));
    if (is_first_piece) {
        stream_put_first(out, body, flags);
    }
}

void
answer_check(struct net_answer *answer)
{
    int rc = buf_finish(answer->body);

    rc = rc != 0 ? rc : buf_finish(answer->headers);
    if (rc == 0) {
        return;
    }
    stream_drop(answer);
    buf_reset(answer->headers);
    buf_reset(answer->body);
    answer->ready = bytes_of(NULL, 0);
    answer->content_type = "application/json";
    if (rc == AUGURY_ERR_NOMEM) {
        answer->status = 503;
        buf_put_text(answer->headers, "Retry-After: 1\r\n");
        buf_put_text(answer->body, "{\"error\":\"there is no memory for the answer\","
                                   "\"code\":\"no_memory\",\"at\":\"\"}");
    } else {
        answer->status = 500;
        buf_put_text(answer->body, "{\"error\":\"the answer is too large\","
                                   "\"code\":\"answer_too_large\",\"at\":\"\"}");
    }
}

/* What is refused for want of room, not for what it is: the same may be taken a moment later. */
static bool
is_overload(const struct http_refusal *refusal)
{
    return refusal->status == 503 || refusal->status == 429;
}

static enum stats_id
refusal_counter(const struct http_refusal *refusal)
{
    bool is_bytes = strcmp(refusal->code, "too_many_bytes") == 0;

    switch (refusal->status) {
    case 408: return STATS_HTTP_REFUSED_DEADLINE;
    case 413:
    case 414:
    case 431: return STATS_HTTP_REFUSED_LIMIT;
    case 429: return is_bytes ? STATS_HTTP_OVER_CLIENT_BYTES : STATS_HTTP_OVER_CLIENT_CONNECTIONS;
    case 503: return is_bytes ? STATS_HTTP_OVER_BYTES : STATS_HTTP_REFUSED_CONNECTIONS;
    default: return STATS_HTTP_REFUSED_FRAMING;
    }
}

void
answer_put_refusal(struct net_server *server, const struct http_refusal *refusal)
{
    struct net_answer answer = {
        .status = refusal->status,
        .content_type = "application/json",
        .headers = &server->answer_headers,
        .body = &server->answer_body,
    };

    stats_add(server->stats, refusal_counter(refusal), 1);
    buf_reset(answer.headers);
    buf_reset(answer.body);
    buf_printf(answer.body, "{\"error\":\"%s\",\"code\":\"%s\"", refusal->reason, refusal->code);
    if (is_overload(refusal)) {
        buf_put_text(answer.headers, "Retry-After: 1\r\n");
    }
    if (is_overload(refusal) || refusal->status == 408) {
        buf_put_text(answer.body, ",\"at\":\"\"}"); /* no byte is to blame */
    } else {
        buf_printf(answer.body, ",\"at\":\"byte %zu\"}", refusal->offset);
    }
    answer_put(server, &server->out, &answer, ANSWER_CLOSE);
}
