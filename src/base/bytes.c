/* SPDX-License-Identifier: MIT */
/* bytes.c - borrowed views of bytes, little-endian fields, UTF-8. */
#include "augury/base.h"

#include <string.h>

struct bytes
bytes_of(const void *data, size_t len)
{
    return (struct bytes){.data = data, .len = len};
}

struct bytes
bytes_of_text(const char *text)
{
    return (struct bytes){.data = (const uint8_t *)text, .len = strlen(text)};
}

bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool
bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool
bytes_equal_nocase(struct bytes a, const char *lower_case_text)
{
    for (size_t i = 0; i < a.len; i++) {
        if (lower_case_text[i] == '\0' || lower(a.data[i]) != (uint8_t)lower_case_text[i]) {
            return false;
        }
    }
    return lower_case_text[a.len] == '\0';
}

bool
bytes_start_with(struct bytes a, const char *prefix)
{
    size_t len = strlen(prefix);
    return a.len >= len && (len == 0 || memcmp(a.data, prefix, len) == 0);
}

int
bytes_to_u64(struct bytes text, uint64_t max, uint64_t *out_value)
{
    uint64_t value = 0;

    if (text.len == 0) {
        return AUGURY_ERR_INVALID;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return AUGURY_ERR_INVALID;
        }
    }
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        if (digit > max || value > (max - digit) / 10) {
            return AUGURY_ERR_LIMIT;
        }
        value = value * 10 + digit;
    }
    *out_value = value;
    return 0;
}

/* Bytes of the well-formed sequence at p (RFC 3629: no surrogates, nothing over U+10FFFF,
 * shortest form), or 0. */
static size_t
utf8_sequence(const uint8_t *p, size_t left)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, len;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    if (p[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        if (p[0] < forms[i].first_min || p[0] > forms[i].first_max) {
            continue;
        }
        if (left < forms[i].len || p[1] < forms[i].second_min || p[1] > forms[i].second_max) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].len; k++) {
            if ((p[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[i].len;
    }
    return 0;
}

bool
utf8_is_valid(struct bytes text)
{
    for (size_t i = 0; i < text.len;) {
        size_t len = utf8_sequence(text.data + i, text.len - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

uint16_t
le16_get(const uint8_t *p)
{
    return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

uint32_t
le32_get(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t
le64_get(const uint8_t *p)
{
    return (uint64_t)le32_get(p) | (uint64_t)le32_get(p + 4) << 32;
}

void
le16_put(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

void
le32_put(uint8_t *p, uint32_t value)
{
    le16_put(p, (uint16_t)value);
    le16_put(p + 2, (uint16_t)(value >> 16));
}

void
le64_put(uint8_t *p, uint64_t value)
{
    le32_put(p, (uint32_t)value);
    le32_put(p + 4, (uint32_t)(value >> 32));
}
