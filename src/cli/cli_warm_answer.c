/* SPDX-License-Identifier: MIT */
/*
 * cli_warm_answer.c - where an answer ends, its status and what it says of the cache; bodies are
 * dropped as they come. Source: RFC 9112 6.3.
 */
#include <stdio.h>
#include <string.h>

#include "cli_warm.h"

void
warm_answer_begin(struct warm_answer *answer, enum http_method method)
{
    *answer = (struct warm_answer){.phase = WARM_HEAD, .method = method};
}

static int
refuse(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_INVALID, "bad_answer", "%s", reason);
}

static int
take_status_line(struct warm_answer *answer, struct bytes line, struct err *err)
{
    uint64_t status = 0;

    if (line.len < 12 || !bytes_start_with(line, "HTTP/1.") || line.data[8] != ' ' ||
        bytes_to_u64(bytes_of(line.data + 9, 3), WARM_STATUS_END - 1, &status) != 0 ||
        status < WARM_STATUS_MIN) {
        return refuse(err, "what answers does not speak HTTP/1.1");
    }
    answer->status = (unsigned)status;
    answer->is_closing = line.data[7] == '0';
    answer->phase = WARM_UNTIL_CLOSE;
    return 0;
}

static int
take_field(struct warm_answer *answer, struct bytes name, struct bytes value, struct err *err)
{
    if (bytes_equal_nocase(name, "content-length") && answer->phase != WARM_CHUNKED) {
        answer->phase = WARM_SIZED;
        return bytes_to_u64(value, UINT64_MAX, &answer->left) == 0
                   ? 0
                   : refuse(err, "the answer's Content-Length is no number");
    }
    if (bytes_equal_nocase(name, "transfer-encoding")) {
        answer->phase = WARM_CHUNKED;
        return bytes_equal_nocase(value, "chunked")
                   ? 0
                   : refuse(err, "the answer has a coding that was not asked for");
    }
    if (bytes_equal_nocase(name, "connection")) {
        answer->is_closing = answer->is_closing || bytes_equal_nocase(value, "close");
    }
    if (bytes_equal_nocase(name, "x-cache")) {
        answer->cache = bytes_start_with(value, "HIT") ? WARM_HIT : WARM_MISS;
    }
    return 0;
}

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

/* The head with the CRLF of each of its lines. */
static int
take_head(struct warm_answer *answer, struct bytes head, struct err *err)
{
    bool is_first = true;
    int rc = 0;

    while (head.len > 0 && rc == 0) {
        const uint8_t *end = memmem(head.data, head.len, "\r\n", 2);
        size_t len = end != NULL ? (size_t)(end - head.data) : head.len;
        const uint8_t *colon = memchr(head.data, ':', len);
        if (is_first) {
            rc = take_status_line(answer, bytes_of(head.data, len), err);
        } else if (colon == NULL) {
            rc = refuse(err, "the answer's head has a line without a colon");
        } else {
            size_t name_len = (size_t)(colon - head.data);
            rc = take_field(answer, bytes_of(head.data, name_len),
                            trim(bytes_of(colon + 1, len - name_len - 1)), err);
        }
        is_first = false;
        size_t used = end != NULL ? len + 2 : len;
        head = bytes_of(head.data + used, head.len - used);
    }
    return rc;
}

static void
settle_body(struct warm_answer *answer)
{
    bool has_none = answer->method == HTTP_HEAD || answer->status == 204 || answer->status == 304;

    if (has_none || (answer->phase == WARM_SIZED && answer->left == 0)) {
        answer->phase = WARM_DONE;
    }
    answer->is_closing = answer->is_closing || answer->phase == WARM_UNTIL_CLOSE;
}

/* 0 or AUGURY_MORE; an interim answer is passed over. */
static int
feed_head(struct warm_answer *answer, struct buf *input, struct err *err)
{
    const uint8_t *end = input->len > 0 ? memmem(input->data, input->len, "\r\n\r\n", 4) : NULL;

    if (end == NULL) {
        return input->len <= WARM_ANSWER_HEAD_MAX
                   ? AUGURY_MORE
                   : refuse(err, "the answer's head is longer than 64 KiB");
    }
    size_t len = (size_t)(end - input->data) + 2;
    int rc = take_head(answer, bytes_of(input->data, len), err);
    buf_consume(input, len + 2);
    if (rc == 0 && answer->status == 101) {
        return refuse(err, "the answer switches protocols");
    }
    if (rc == 0 && answer->status < 200) {
        warm_answer_begin(answer, answer->method);
    } else if (rc == 0) {
        settle_body(answer);
    }
    return rc;
}

static int
feed_chunks(struct warm_answer *answer, struct buf *input, struct err *err)
{
    const struct http_limits limits = {.head_bytes = WARM_ANSWER_HEAD_MAX,
                                       .body_bytes = UINT64_C(1) << 40};
    struct http_refusal refusal;
    struct buf dropped;
    size_t used = 0;

    buf_init(&dropped, input->len + 1);
    int rc = http_chunks_feed(&answer->chunks, buf_view(input), &limits, &dropped, &used, &refusal);
    buf_fini(&dropped);
    if (rc < 0) {
        return refuse(err, "the answer's chunks are broken");
    }
    buf_consume(input, rc == AUGURY_MORE ? input->len : used);
    answer->phase = rc == 0 ? WARM_DONE : WARM_CHUNKED;
    return rc;
}

int
warm_answer_feed(struct warm_answer *answer, struct buf *input, struct err *err)
{
    int rc = 0;

    while (rc == 0 && answer->phase == WARM_HEAD) {
        rc = feed_head(answer, input, err);
    }
    if (rc != 0 || answer->phase == WARM_DONE) {
        return rc;
    }
    if (answer->phase == WARM_CHUNKED) {
        return feed_chunks(answer, input, err);
    }
    size_t used = input->len;
    if (answer->phase == WARM_SIZED) {
        used = answer->left < input->len ? (size_t)answer->left : input->len;
        answer->left -= used;
    }
    buf_consume(input, used);
    if (answer->phase == WARM_SIZED && answer->left == 0) {
        answer->phase = WARM_DONE;
        return 0;
    }
    return AUGURY_MORE;
}
