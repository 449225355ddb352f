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
    HTTP_HOST = 1 << 2,   /* reg-name (RFC 3986 3.2.2) */
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

/* Index of the first byte that is not of the class, or text.len. */
size_t http_span(struct bytes text, enum http_class class);
/* The same for HTTP_VALUE, eight bytes at a time. */
size_t http_span_value(struct bytes text);
/* Without spaces and tabs at both ends. */
struct bytes http_trim(struct bytes text);
