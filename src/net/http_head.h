/* SPDX-License-Identifier: MIT */
/*
 * http_head.h - one parse of one request head, shared by the line scanner (http_head.c) and the
 * meaning of single fields (http_field.c). Private.
 */
#pragma once

#include "augury/http.h"

enum http_seen {
    HTTP_SEEN_HOST = 1 << 0,
    HTTP_SEEN_CONTENT_LENGTH = 1 << 1,
    HTTP_SEEN_TRANSFER_ENCODING = 1 << 2,
    HTTP_SEEN_CHUNKED = 1 << 3, /* and the coding was exactly "chunked" */
    HTTP_SEEN_BAD_EXPECT = 1 << 4,
    HTTP_SEEN_CLOSE = 1 << 5, /* options of Connection */
    HTTP_SEEN_KEEP_ALIVE = 1 << 6,
    HTTP_SEEN_UPGRADE = 1 << 7,
    HTTP_SEEN_UPGRADE_TO = 1 << 8,   /* the Upgrade field itself */
    HTTP_SEEN_CHUNKED_LAST = 1 << 9, /* the coding was "chunked", or ended with it */
};

struct http_head {
    struct bytes input;
    const struct http_limits *limits;
    struct http_request *request;
    struct http_refusal *refusal;
    struct bytes authority; /* of an absolute-form target; data NULL for other forms */
    unsigned seen;          /* enum http_seen */
    size_t framing_at;      /* offset of the last field that speaks of framing */
    size_t expect_at;
};

/* The one place that fills a refusal. Returns AUGURY_ERR_INVALID. */
int http_refuse(const struct http_head *head, unsigned status, const char *code,
                const uint8_t *where, const char *reason);
/* Takes one field whose name is a token and whose value has no control characters. */
AUGURY_MUST_USE int http_field_take(struct http_head *head, const struct http_header *field);
/* What can be judged only when all fields are known. */
AUGURY_MUST_USE int http_fields_finish(struct http_head *head, const uint8_t *end);
/* uri-host [":" port], not empty (RFC 9110 7.2). */
bool http_host_is_valid(struct bytes host);
