/* SPDX-License-Identifier: MIT */
/*
 * http_chars.h - the characters of RFC 9110 5.6 and RFC 3986, one table of classes.
 * Private to net's http_*.c files.
 */
#pragma once

#include "augury/base.h"

enum http_class {
    HTTP_TCHAR = 1 << 0,  /* token: methods, field names (RFC 9110 5.6.2) */
    HTTP_TARGET = 1 << 1, /* request target: RFC 3986 without '#', and {}|^ as browsers send them */
    HTTP_HOST = 1 << 2,   /* reg-name (RFC 3986 3.2.2), but for the % of escapes */
    HTTP_VALUE = 1 << 3,  /* field content: HTAB, SP, VCHAR, obs-text (RFC 9110 5.5) */
};

extern const uint8_t http_classes[256];

static inline bool
http_is(uint8_t c, enum http_class class)
{
    return (http_classes[c] & class) != 0;
}

/* 0..15, or 16 for what is no hexadecimal digit. */
static inline unsigned
http_hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10 : 16;
}

/* bytes_of() within reach of the optimiser: the parser makes dozens of views a request. */
static inline struct bytes
http_view(const uint8_t *data, size_t len)
{
    return (struct bytes){.data = data, .len = len};
}

/* Index of the first byte that is not of the class, or text.len. */
static inline size_t
http_span(struct bytes text, enum http_class class)
{
    size_t i = 0;

    while (i < text.len && http_is(text.data[i], class)) {
        i++;
    }
    return i;
}

/* The same for HTTP_VALUE, eight bytes at a time. */
size_t http_span_value(struct bytes text);
/* Without spaces and tabs at both ends. */
static inline struct bytes
http_trim(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}
