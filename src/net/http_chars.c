/* SPDX-License-Identifier: MIT */
/* http_chars.c - the table of character classes and the scans over it. */
#include "http_chars.h"

#include <string.h>

enum {
    V = HTTP_VALUE,
    T = HTTP_TCHAR | V,
    G = HTTP_TARGET | V,
    TG = HTTP_TCHAR | G,
    GH = HTTP_TARGET | HTTP_HOST | V,
    ALL = HTTP_TCHAR | GH,
};

const uint8_t http_classes[256] = {
    ['\t'] = V,          [' '] = V,           ['"'] = V,           ['<'] = V,   ['>'] = V,
    ['\\'] = V,          [0x80 ... 0xff] = V,

    ['A' ... 'Z'] = ALL, ['a' ... 'z'] = ALL, ['0' ... '9'] = ALL,

    ['!'] = ALL,         ['$'] = ALL,         ['%'] = TG,          ['&'] = ALL, ['\''] = ALL,
    ['*'] = ALL,         ['+'] = ALL,         ['-'] = ALL,         ['.'] = ALL, ['_'] = ALL,
    ['~'] = ALL,

    ['('] = GH,          [')'] = GH,          [','] = GH,          [';'] = GH,  ['='] = GH,

    ['/'] = G,           [':'] = G,           ['?'] = G,           ['@'] = G,   ['['] = G,
    [']'] = G,           ['{'] = G,           ['}'] = G,

    ['^'] = TG,          ['|'] = TG,          ['#'] = T,           ['`'] = T,
};

/* Whether one of eight bytes is below 0x20 or is 0x7f. Bytes of 0x80 and above pass. A tab is
 * reported too: the table decides then. */
static bool
has_control(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    const uint64_t highs = ones << 7;
    uint64_t del = word ^ (ones * 0x7f);
    uint64_t below = (word - ones * 0x20) & ~word;

    return ((below | ((del - ones) & ~del)) & highs) != 0;
}

size_t
http_span_value(struct bytes text)
{
    size_t i = 0;

    while (text.len - i >= 8) {
        uint64_t word;
        memcpy(&word, text.data + i, 8);
        if (has_control(word)) {
            size_t good = http_span(http_view(text.data + i, 8), HTTP_VALUE);
            if (good < 8) {
                return i + good;
            }
        }
        i += 8;
    }
    return i + http_span(http_view(text.data + i, text.len - i), HTTP_VALUE);
}
