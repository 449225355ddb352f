/* SPDX-License-Identifier: MIT */
/*
 * http_chunks.c - the chunked transfer coding of RFC 9112 7.1, one byte of framing at a time, data
 * in bulk.
 * Invariants:
 * - The state holds all there is between two calls, so any cut of the same bytes gives the same
 *   outcome.
 * - chunks->total never passes limits->body_bytes; extensions and trailers together never pass
 *   limits->head_bytes, so padding cannot be sent for ever beside a small body.
 * Extensions and trailers are checked and dropped.
 */
#include "augury/http.h"

#include "http_chars.h"

enum { SIZE_DIGITS_MAX = 16, EXTENSION_BYTES_MAX = 256 };

enum chunk_state {
    CHUNK_SIZE, /* zero: a fresh struct begins here */
    CHUNK_SPACE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
};

struct feed {
    struct http_chunks *chunks;
    const struct http_limits *limits;
    struct http_refusal *refusal;
};

static int
refuse(const struct feed *feed, unsigned status, const char *code, const char *reason)
{
    *feed->refusal = (struct http_refusal){
        .status = status,
        .code = code,
        .reason = reason,
        .offset = (size_t)feed->chunks->fed,
    };
    return AUGURY_ERR_INVALID;
}

static int
refuse_chunk(const struct feed *feed, const char *reason)
{
    return refuse(feed, 400, "bad_chunk", reason);
}

/* The size line is complete but for its LF. */
static int
size_end(const struct feed *feed)
{
    struct http_chunks *chunks = feed->chunks;

    if (chunks->digits == 0) {
        return refuse_chunk(feed, "chunked body: a chunk size is hexadecimal digits alone");
    }
    if (chunks->left > feed->limits->body_bytes - chunks->total) {
        return refuse(feed, 413, "body_too_large", "the body is over the limit");
    }
    chunks->state = CHUNK_SIZE_LF;
    return 0;
}

static int
size_step(const struct feed *feed, uint8_t c)
{
    struct http_chunks *chunks = feed->chunks;
    unsigned digit = http_hex_value(c);

    if (digit < 16) {
        if (++chunks->digits > SIZE_DIGITS_MAX) {
            return refuse_chunk(feed, "chunked body: a chunk size has at most 16 digits");
        }
        chunks->left = chunks->left << 4 | digit;
        return 0;
    }
    if (c == '\r') {
        return size_end(feed);
    }
    if (chunks->digits == 0 || (c != ';' && c != ' ' && c != '\t')) {
        return refuse_chunk(feed, "chunked body: a chunk size is hexadecimal digits alone");
    }
    chunks->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SPACE;
    return 0;
}

static int
overhead_step(const struct feed *feed, bool is_extension)
{
    struct http_chunks *chunks = feed->chunks;

    if (is_extension && ++chunks->line_bytes > EXTENSION_BYTES_MAX) {
        return refuse_chunk(feed, "chunked body: the extension of a chunk is too long");
    }
    if (++chunks->overhead_bytes > feed->limits->head_bytes) {
        return refuse(feed, 431, "trailers_too_large",
                      "chunked body: extensions and trailers are too large");
    }
    return 0;
}

static int
extension_step(const struct feed *feed, uint8_t c)
{
    if (c == '\r' && feed->chunks->state == CHUNK_EXTENSION) {
        return size_end(feed);
    }
    bool is_good = feed->chunks->state == CHUNK_EXTENSION ? http_is(c, HTTP_VALUE)
                                                          : c == ' ' || c == '\t' || c == ';';
    if (!is_good) {
        return refuse_chunk(feed, "chunked body: this is no chunk extension");
    }
    if (c == ';') {
        feed->chunks->state = CHUNK_EXTENSION;
    }
    return overhead_step(feed, true);
}

static int
trailer_step(const struct feed *feed, uint8_t c)
{
    struct http_chunks *chunks = feed->chunks;

    if (chunks->state == CHUNK_TRAILER_START && c == '\r') {
        chunks->state = CHUNK_END_LF;
        return 0;
    }
    if (chunks->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r') {
            chunks->state = CHUNK_TRAILER_LF;
        } else if (!http_is(c, HTTP_VALUE)) {
            return refuse(feed, 400, "bad_field",
                          "trailer: control characters are not allowed in a field");
        }
        return overhead_step(feed, false);
    }
    if (c == ':' && chunks->state == CHUNK_TRAILER_NAME) {
        chunks->state = CHUNK_TRAILER_VALUE;
    } else if (http_is(c, HTTP_TCHAR)) {
        chunks->state = CHUNK_TRAILER_NAME;
    } else {
        return refuse(feed, 400, "bad_field",
                      "trailer: a field is a name of token characters, then at once a colon");
    }
    return overhead_step(feed, false);
}

/* A byte that can only be the given one. */
static int
expect(const struct feed *feed, uint8_t c, uint8_t wanted, enum chunk_state next)
{
    if (c != wanted) {
        return refuse_chunk(feed, "chunked body: CR LF expected");
    }
    feed->chunks->state = (uint8_t)next;
    return 0;
}

static int
framing_step(const struct feed *feed, uint8_t c)
{
    struct http_chunks *chunks = feed->chunks;

    switch ((enum chunk_state)chunks->state) {
    case CHUNK_SIZE: return size_step(feed, c);
    case CHUNK_SPACE:
    case CHUNK_EXTENSION: return extension_step(feed, c);
    case CHUNK_SIZE_LF:
        chunks->digits = 0;
        chunks->line_bytes = 0;
        return expect(feed, c, '\n', chunks->left == 0 ? CHUNK_TRAILER_START : CHUNK_DATA);
    case CHUNK_DATA_CR: return expect(feed, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF: return expect(feed, c, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE: return trailer_step(feed, c);
    case CHUNK_TRAILER_LF: return expect(feed, c, '\n', CHUNK_TRAILER_START);
    case CHUNK_END_LF: return expect(feed, c, '\n', CHUNK_DONE);
    case CHUNK_DATA:
    case CHUNK_DONE: break;
    }
    AUGURY_ASSERT(!"a state without framing");
    return AUGURY_ERR_STATE;
}

/* Moves body bytes out; returns how many. */
static size_t
data_step(struct http_chunks *chunks, struct bytes input, struct buf *out)
{
    size_t n = input.len < chunks->left ? input.len : (size_t)chunks->left;

    buf_put(out, input.data, n);
    chunks->left -= n;
    chunks->total += n;
    if (chunks->left == 0) {
        chunks->state = CHUNK_DATA_CR;
    }
    return n;
}

int
http_chunks_feed(struct http_chunks *chunks, struct bytes input, const struct http_limits *limits,
                 struct buf *out, size_t *out_used, struct http_refusal *out_refusal)
{
    struct feed feed = {.chunks = chunks, .limits = limits, .refusal = out_refusal};
    size_t at = 0;

    while (at < input.len && chunks->state != CHUNK_DONE) {
        size_t n = 1;
        if (chunks->state == CHUNK_DATA) {
            n = data_step(chunks, bytes_of(input.data + at, input.len - at), out);
        } else {
            int rc = framing_step(&feed, input.data[at]);
            if (rc != 0) {
                return rc;
            }
        }
        at += n;
        chunks->fed += n;
    }
    *out_used = at;
    if (buf_finish(out) == AUGURY_ERR_NOMEM) {
        return refuse(&feed, 503, "out_of_memory", "no memory for the body");
    }
    if (buf_finish(out) != 0) {
        return refuse(&feed, 413, "body_too_large", "the body is over the limit");
    }
    return chunks->state == CHUNK_DONE ? 0 : AUGURY_MORE;
}
