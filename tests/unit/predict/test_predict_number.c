/* SPDX-License-Identifier: MIT */
/* test_predict_number.c - the number that a cell's text is, compared with strtod. */
#include "../../../src/predict/predict_value.h"

#include <math.h>
#include <stdlib.h>

#include "../../tap.h"

static uint64_t state = 88172645463325252U;

/* xorshift64. */
static uint64_t
next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* One to twenty digits, a sign and a point perhaps. */
static size_t
make_text(char *text)
{
    size_t digits = next_random() % 20 + 1;
    size_t point = next_random() % (digits + 6);
    size_t len = 0;

    if (next_random() % 4 == 0) {
        text[len++] = '-';
    }
    for (size_t i = 0; i < digits; i++) {
        if (i == point) {
            text[len++] = '.';
        }
        text[len++] = (char)('0' + (next_random() % 3 == 0 ? 0 : next_random() % 10));
    }
    text[len] = '\0';
    return len;
}

static void
decimal_text_is_what_strtod_says(void)
{
    char text[64];

    for (unsigned i = 0; i < 300000; i++) {
        size_t len = make_text(text);
        double number = NAN;
        double want = strtod(text, NULL);
        bool is_number = predict_number(bytes_of(text, len), &number);
        if (!is_number || memcmp(&number, &want, sizeof(want)) != 0) {
            TAP_FAIL("\"%s\" is %.17g, want %.17g", text, number, want);
        }
    }
}

static void
other_text_is_a_number_or_none_as_before(void)
{
    static const struct {
        const char *text;
        bool is_number;
        double number;
    } cells[] = {
        {"7", true, 7},
        {"-7.5", true, -7.5},
        {".5", true, 0.5},
        {"5.", true, 5},
        {"+5", true, 5},
        {"1e3", true, 1000},
        {"-1E-3", true, -0.001},
        {"inf", true, INFINITY},
        {"-Infinity", true, -INFINITY},
        {".", false, 0},
        {"-", false, 0},
        {"-.", false, 0},
        {"1.2.3", false, 0},
        {"0x10", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1,5", false, 0},
        {"--1", false, 0},
        {"1-2", false, 0},
        {"seven", false, 0},
        {"nan(7)", false, 0},
        {"", false, 0},
        {"1e", false, 0},
        {"0.1234567890123456789", true, 0.1234567890123456789},
        {"999999999999999", true, 999999999999999.0},
        {"9007199254740993", true, 9007199254740992.0},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cells); i++) {
        double number = NAN;
        bool is_number = predict_number(bytes_of_text(cells[i].text), &number);
        if (is_number != cells[i].is_number || (is_number && number != cells[i].number)) {
            TAP_FAIL("\"%s\" is %d %.17g", cells[i].text, is_number, number);
        }
    }
    double number = 0;
    CHECK(predict_number(bytes_of_text("NaN"), &number) && isnan(number));
    CHECK(predict_number(bytes_of_text("-0"), &number) && signbit(number));
}

int
main(void)
{
    TAP_RUN(decimal_text_is_what_strtod_says);
    TAP_RUN(other_text_is_a_number_or_none_as_before);
    return tap_done();
}
