/* SPDX-License-Identifier: MIT */
/* text.c - numbers in the strings of model files and of their options. */
#include "import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT_MAX = 128 };

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct bytes
text_trim(struct bytes text)
{
    while (text.len > 0 && is_space(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

int
text_to_f32(struct bytes text, float *out_number)
{
    char copy[NUMBER_TEXT_MAX];
    char *end = NULL;

    text = text_trim(text);
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return AUGURY_ERR_INVALID;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    float number = strtof(copy, &end);
    if (*end != '\0' || !isfinite(number)) {
        return AUGURY_ERR_INVALID;
    }
    *out_number = number;
    return 0;
}

int
model_iterations_parse(struct bytes text, uint32_t *out_begin, uint32_t *out_end)
{
    const uint8_t *colon = text.len == 0 ? NULL : memchr(text.data, ':', text.len);
    uint64_t begin = 0;
    uint64_t end = 0;

    if (colon == NULL || text.len == 1) {
        return AUGURY_ERR_INVALID;
    }
    struct bytes first = bytes_of(text.data, (size_t)(colon - text.data));
    struct bytes last = bytes_of(colon + 1, text.len - first.len - 1);
    if ((first.len > 0 && bytes_to_u64(first, INT32_MAX, &begin) != 0) ||
        (last.len > 0 && bytes_to_u64(last, INT32_MAX, &end) != 0) ||
        (last.len > 0 && begin >= end)) {
        return AUGURY_ERR_INVALID;
    }
    *out_begin = (uint32_t)begin;
    *out_end = (uint32_t)end;
    return 0;
}

int
text_to_f64(struct bytes text, double *out_number)
{
    char copy[NUMBER_TEXT_MAX];
    char *end = NULL;

    text = text_trim(text);
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.data, 'x', text.len) != NULL ||
        memchr(text.data, 'X', text.len) != NULL) {
        return AUGURY_ERR_INVALID;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    double number = strtod(copy, &end);
    if (*end != '\0') {
        return AUGURY_ERR_INVALID;
    }
    *out_number = number;
    return 0;
}
