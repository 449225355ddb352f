/* SPDX-License-Identifier: MIT */
/*
 * buf.c - a growable buffer with a maximum and a sticky code.
 * Invariant: len <= cap <= max; after a failure nothing changes but rc until reset or fini.
 */
#include "augury/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

void
buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = (struct buf){.max = max_bytes};
}

void
buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

void
buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->rc = 0;
}

uint8_t *
buf_reserve(struct buf *buf, size_t len)
{
    if (buf->rc != 0) {
        return NULL;
    }
    if (len > buf->max - buf->len) {
        buf->rc = AUGURY_ERR_LIMIT;
        return NULL;
    }
    if (len > buf->cap - buf->len) {
        size_t cap = buf->cap < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->cap;
        while (cap < buf->len + len) {
            cap *= 2;
        }
        cap = cap > buf->max ? buf->max : cap;
        uint8_t *data = realloc(buf->data, cap);
        if (data == NULL) {
            buf->rc = AUGURY_ERR_NOMEM;
            return NULL;
        }
        buf->data = data;
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

void
buf_commit(struct buf *buf, size_t n)
{
    AUGURY_ASSERT(n <= buf->cap - buf->len);
    buf->len += n;
}

void
buf_put(struct buf *buf, const void *data, size_t len)
{
    uint8_t *room = len == 0 ? NULL : buf_reserve(buf, len);
    if (room != NULL) {
        memcpy(room, data, len);
        buf->len += len;
    }
}

void
buf_put_bytes(struct buf *buf, struct bytes bytes)
{
    buf_put(buf, bytes.data, bytes.len);
}

void
buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void
buf_put_u8(struct buf *buf, uint8_t value)
{
    buf_put(buf, &value, 1);
}

void
buf_put_u64(struct buf *buf, uint64_t value)
{
    char text[U64_TEXT_MAX];

    buf_put(buf, text, u64_to_text(value, text));
}

void
buf_printf(struct buf *buf, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    AUGURY_ASSERT(len >= 0);
    if ((size_t)len < sizeof(text)) {
        buf_put(buf, text, (size_t)len);
        return;
    }
    char *room = (char *)buf_reserve(buf, (size_t)len + 1);
    if (room != NULL) {
        va_start(args, fmt);
        vsnprintf(room, (size_t)len + 1, fmt, args);
        va_end(args);
        buf->len += (size_t)len;
    }
}

void
buf_consume(struct buf *buf, size_t n)
{
    AUGURY_ASSERT(n <= buf->len);
    if (n > 0 && n < buf->len) {
        memmove(buf->data, buf->data + n, buf->len - n);
    }
    buf->len -= n;
}

int
buf_finish(const struct buf *buf)
{
    return buf->rc;
}

struct bytes
buf_view(const struct buf *buf)
{
    return bytes_of(buf->data, buf->len);
}
