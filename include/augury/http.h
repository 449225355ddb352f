/* SPDX-License-Identifier: MIT */
/*
 * http.h - HTTP/1.1 as pure functions over bytes: request heads, chunked bodies, answer heads.
 * Room: net (floor 2, uses base). No descriptor, no clock, no allocation: fuzzed one-shot against
 * byte by byte.
 * Sources: RFC 9110, RFC 9112. Stricter than both where leniency has led to smuggling: see
 * docs/protocol.md.
 */
#pragma once

#include "augury/base.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_METHOD_COUNT
};
const char *http_method_name(enum http_method method);

struct http_header {
    struct bytes name;  /* as sent */
    struct bytes value; /* white space at both ends removed */
};

enum { HTTP_HEADERS_MAX = 128 };

struct http_limits {
    size_t head_bytes;   /* 431 */
    size_t target_bytes; /* 414 */
    size_t headers;      /* 431; at most HTTP_HEADERS_MAX */
    uint64_t body_bytes; /* 413 */
};

enum http_flags {
    HTTP_KEEP_ALIVE = 1 << 0,
    HTTP_CHUNKED = 1 << 1,  /* the body is chunked; body_bytes is unknown */
    HTTP_HAS_BODY = 1 << 2, /* Content-Length was given, or chunked */
    HTTP_EXPECT_CONTINUE = 1 << 3,
    HTTP_UPGRADE = 1 << 4, /* Connection: upgrade with an Upgrade field */
    /* Accept, Accept-Encoding, Cache-Control or If-None-Match has several lines, of which the
     * request shows the first: http_lists_join() */
    HTTP_LISTS_GO_ON = 1 << 5,
};

/* Everything borrows from the input. */
struct http_request {
    enum http_method method;
    uint8_t minor; /* HTTP/1.minor: 0 or 1 */
    enum http_flags flags;
    /* undecoded, without the query; of absolute-form, what follows the authority; "*" for
     * OPTIONS */
    struct bytes path;
    struct bytes query; /* after '?', may be empty */
    struct bytes host;
    struct bytes content_type, accept, if_none_match, cache_control, request_id, accept_encoding,
        content_encoding, request_timeout, allow_stale, if_match,
        if_modified_since; /* empty when absent */
    uint64_t body_bytes;
    size_t header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* A refusal: status and one sentence; the connection is closed after it. */
struct http_refusal {
    unsigned status;
    const char *code; /* "bad_framing", "head_too_large", … */
    const char *reason;
    size_t offset; /* of the offending byte, in the head or in the chunked body */
};

/* Parses one request head at the start of input. 0: *out_request, and *out_used bytes belong to
 * the head. AUGURY_MORE: incomplete and so far right. AUGURY_ERR_INVALID: *out_refusal. In both
 * *out_request is undefined. CRLF before the request line: at most one is skipped (RFC 9112
 * 2.2). */
AUGURY_MUST_USE int http_parse_head(struct bytes input, const struct http_limits *limits,
                                    struct http_request *out_request, size_t *out_used,
                                    struct http_refusal *out_refusal);

/* Makes one text of the lines of each such field; room: as many bytes as the head has had, kept as
 * long as the request. */
void http_lists_join(struct http_request *request, uint8_t *room);

/* After AUGURY_MORE for the first `seen` bytes of input: false when a parse of all of input
 * would say AUGURY_MORE again. So a head that comes in tiny pieces is parsed once a line, not
 * once a piece. */
bool http_head_may_end(struct bytes input, size_t seen, const struct http_limits *limits);

/* Chunked bodies, incrementally. Zero-initialise. */
struct http_chunks {
    uint8_t state;
    uint8_t digits;
    uint16_t line_bytes;     /* of the extension of this chunk */
    uint32_t overhead_bytes; /* extensions and trailers so far, at most limits->head_bytes */
    uint64_t left;           /* of this chunk */
    uint64_t total;          /* body bytes so far */
    uint64_t fed; /* bytes of the coding so far; offsets of refusals count from the first */
};
/* Consumes input, appends body bytes to out. 0: the body ended, *out_used bytes belong to it;
 * AUGURY_MORE: all of input was consumed; AUGURY_ERR_INVALID. Chunk extensions and trailers are
 * checked and dropped. */
AUGURY_MUST_USE int http_chunks_feed(struct http_chunks *chunks, struct bytes input,
                                     const struct http_limits *limits, struct buf *out,
                                     size_t *out_used, struct http_refusal *out_refusal);

/* What a proxy says of its client before the client's own bytes: the PROXY protocol, versions 1
 * and 2. */
struct http_proxy {
    bool has_client; /* false: it is the proxy's own, or the proxy does not tell */
    struct ip_address client;
    uint16_t client_port;
};
enum { HTTP_PROXY_MAX = 4096 }; /* bytes; longer ones are refused */
/* 0: *out_used bytes belong to the header; AUGURY_MORE: incomplete and so far right, so that all of
 * input belongs to it; AUGURY_ERR_INVALID: refused, whatever follows. */
AUGURY_MUST_USE int http_proxy_parse(struct bytes input, struct http_proxy *out_proxy,
                                     size_t *out_used);

/* The header by which proxies say who asked them. */
enum http_forwarded { HTTP_FORWARDED_NONE, HTTP_X_FORWARDED_FOR, HTTP_FORWARDED };
/* The client behind a peer who is trusted: the rightmost address that is not, or the leftmost when
 * all are. What is no address ends the chain at the one who wrote it. */
struct ip_address http_client_behind(const struct http_request *request, enum http_forwarded header,
                                     const struct ip_networks *trusted, struct ip_address peer);

const char *http_status_text(unsigned status);
/* Decodes %XX of one path segment into out (segment.len bytes are enough; out may be the segment
 * itself). AUGURY_ERR_INVALID: bad escape, control character, '/', "." or "..", or not UTF-8. */
AUGURY_MUST_USE int http_path_decode(struct bytes segment, uint8_t *out, size_t *out_len);
/* Value of name in a query (undecoded); AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int http_query_find(struct bytes query, const char *name, struct bytes *out_value);
/* Whether an id of a request may be repeated in headers and logs: 1 to 128 letters, digits and
 * -_.: */
bool http_id_is_plain(struct bytes id);
/* First header of that lower-case name; empty when absent. */
struct bytes http_header_find(const struct http_request *request, const char *lower_case_name);
