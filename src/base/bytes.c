/* SPDX-License-Identifier: MIT */
/* bytes.c - borrowed views of bytes, UTF-8; the smallest functions are in base.h. */
#include "augury/base.h"

#include <string.h>

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

size_t
u64_to_text(uint64_t value, char *out_text)
{
    char digits[U64_TEXT_MAX];
    size_t first = sizeof(digits);

    do {
        digits[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    memcpy(out_text, digits + first, sizeof(digits) - first);
    return sizeof(digits) - first;
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
