/* SPDX-License-Identifier: MIT */
/* text.c - numbers in the strings of model files. */
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
