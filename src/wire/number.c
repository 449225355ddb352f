/* SPDX-License-Identifier: MIT */
/*
 * number.c - floating-point numbers as the shortest decimal text that reads back the same.
 * double: yyjson. float: its digits are found here, then laid out as yyjson lays out a double:
 * plain when the decimal point falls within (-6, 21], otherwise with an exponent; always with a
 * point or an exponent, so that it stays a real.
 */
#include "augury/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

enum {
    F32_DIGITS_MAX = 9,   /* as many digits tell any two floats apart */
    F32_DIGITS_SURE = 6,  /* a float of normal size keeps that many, so fewer need not be tried */
    PLAIN_POINT_MIN = -5, /* 0.000001 */
    PLAIN_POINT_MAX = 21,
    SCRATCH_BYTES = 128, /* what yyjson wants to write one number */
};

/* Within these, nine digits are scaled by powers of ten that a double holds exactly. */
#define FAST_MIN 1e-13F
#define FAST_MAX 1e22F

/* 0.DIGITS × 10^point; digits without zeros at their end. */
struct decimal {
    char digits[24];
    int count;
    int point;
};

/* Powers of ten that a double holds exactly. */
static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static void
decimal_trim(struct decimal *decimal)
{
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0') {
        decimal->count--;
    }
}

static void
decimal_set(struct decimal *decimal, uint32_t number, int exponent)
{
    char text[10];
    int at = (int)sizeof(text);

    AUGURY_ASSERT(number != 0);
    while (number != 0) {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    }
    decimal->count = (int)sizeof(text) - at;
    memcpy(decimal->digits, text + at, (size_t)decimal->count);
    decimal->point = decimal->count + exponent;
    decimal_trim(decimal);
}

/* number × 10^exponent, rounded once; |exponent| <= 22. */
static double
scale(double number, int exponent)
{
    return exponent >= 0 ? number * exact_powers[exponent] : number / exact_powers[-exponent];
}

/* The middle of value and its neighbour `step` units in the last place away; value > 0, neighbour
 * finite. */
static double
middle_to_neighbour(float value, int step)
{
    uint32_t bits;
    float neighbour;

    memcpy(&bits, &value, sizeof(bits));
    bits += (uint32_t)step;
    memcpy(&neighbour, &bits, sizeof(neighbour));
    return ((double)value + (double)neighbour) / 2;
}

/* floor(log10(number)): 1233 / 4096 is log10(2) closely enough, and a comparison puts it right. */
static int
magnitude_of(double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof(bits));
    int power_of_two = (int)(bits >> 52) - 1023;
    int magnitude = (power_of_two * 1233) >> 12;
    return scale(number, -magnitude) >= 10 ? magnitude + 1 : magnitude;
}

static bool
reads_back(uint32_t number, int exponent, float value)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu32 "e%d", number, exponent);
    return strtof(text, NULL) == value;
}

/*
 * Fewest digits for a float between 1e-13 and 1e22, in double arithmetic: the value is scaled to
 * an integer of n digits, rounded, and scaled back. n digits and one correctly rounded operation
 * give the double nearest to the decimal, so the decimal reads back as value exactly when that
 * double lies strictly between the middles to the neighbours of value.
 * Just on a middle strtof is asked.
 */
static void
fast_digits(float value, struct decimal *out_decimal)
{
    double exact = (double)value;
    double low = middle_to_neighbour(value, -1);
    double high = middle_to_neighbour(value, 1);
    int magnitude = magnitude_of(exact);

    for (int n = F32_DIGITS_SURE; n <= F32_DIGITS_MAX; n++) {
        int exponent = magnitude - n + 1;
        double rounded = nearbyint(scale(exact, -exponent));
        /* Above a power of two the neighbour is further away: the next decimal up may do where the
         * nearest does not. */
        for (int step = 0; step <= 1; step++) {
            double back = scale(rounded + step, exponent);
            uint32_t number = (uint32_t)(rounded + step);
            if ((low < back && back < high) ||
                ((back == low || back == high) && reads_back(number, exponent, value))) {
                decimal_set(out_decimal, number, exponent);
                return;
            }
        }
    }
    AUGURY_ASSERT(!"nine digits tell any two floats apart");
}

/* "d.ddde±xx" as an integer of all its digits and the exponent that goes with it. */
static uint32_t
split_scientific(const char *text, int *out_exponent)
{
    uint32_t number = 0;
    int behind_point = 0;
    bool is_behind = false;

    for (; *text != 'e'; text++) {
        if (*text == '.') {
            is_behind = true;
            continue;
        }
        number = number * 10 + (uint32_t)(*text - '0');
        behind_point += is_behind ? 1 : 0;
    }
    *out_exponent = (int)strtol(text + 1, NULL, 10) - behind_point;
    return number;
}

/* The same for every other float: print with more and more digits until strtof agrees. */
static void
slow_digits(float value, struct decimal *out_decimal)
{
    char text[40];
    int exponent;

    for (int n = 1; n <= F32_DIGITS_MAX; n++) {
        snprintf(text, sizeof(text), "%.*e", n - 1, (double)value);
        uint32_t number = split_scientific(text, &exponent);
        for (uint32_t step = 0; step <= 1; step++) {
            if (reads_back(number + step, exponent, value)) {
                decimal_set(out_decimal, number + step, exponent);
                return;
            }
        }
    }
    AUGURY_ASSERT(!"nine digits tell any two floats apart");
}

static char *
put_digits(char *out, const char *digits, int count)
{
    memcpy(out, digits, (size_t)count);
    return out + count;
}

static char *
put_zeros(char *out, int count)
{
    memset(out, '0', (size_t)count);
    return out + count;
}

static char *
lay_out_plain(char *out, const struct decimal *decimal)
{
    if (decimal->point <= 0) {
        *out++ = '0';
        *out++ = '.';
        out = put_zeros(out, -decimal->point);
        return put_digits(out, decimal->digits, decimal->count);
    }
    if (decimal->count <= decimal->point) {
        out = put_digits(out, decimal->digits, decimal->count);
        out = put_zeros(out, decimal->point - decimal->count);
        *out++ = '.';
        *out++ = '0';
        return out;
    }
    out = put_digits(out, decimal->digits, decimal->point);
    *out++ = '.';
    return put_digits(out, decimal->digits + decimal->point, decimal->count - decimal->point);
}

static char *
lay_out_exponent(char *out, const struct decimal *decimal)
{
    int exponent = decimal->point - 1;

    *out++ = decimal->digits[0];
    if (decimal->count > 1) {
        *out++ = '.';
        out = put_digits(out, decimal->digits + 1, decimal->count - 1);
    }
    *out++ = 'e';
    if (exponent < 0) {
        *out++ = '-';
        exponent = -exponent;
    }
    /* A float's exponent has at most two digits. */
    if (exponent >= 10) {
        *out++ = (char)('0' + exponent / 10);
    }
    *out++ = (char)('0' + exponent % 10);
    return out;
}

/* "nan", "inf", "-inf"; 0 for a finite number. */
static size_t
nonfinite_text(double value, char *out_text)
{
    if (isfinite(value)) {
        return 0;
    }
    const char *name = isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
    size_t len = strlen(name);
    memcpy(out_text, name, len);
    return len;
}

size_t
wire_f32_to_text(float value, char *out_text)
{
    struct decimal decimal = {.count = 0};
    char *out = out_text;

    size_t len = nonfinite_text((double)value, out_text);
    if (len > 0) {
        return len;
    }
    if (signbit(value)) {
        *out++ = '-';
        value = -value;
    }
    if (value == 0.0F) {
        out = put_digits(out, "0.0", 3);
        return (size_t)(out - out_text);
    }
    if (value >= FAST_MIN && value < FAST_MAX) {
        fast_digits(value, &decimal);
    } else {
        slow_digits(value, &decimal);
    }
    bool is_plain = decimal.point >= PLAIN_POINT_MIN && decimal.point <= PLAIN_POINT_MAX;
    out = is_plain ? lay_out_plain(out, &decimal) : lay_out_exponent(out, &decimal);
    return (size_t)(out - out_text);
}

size_t
wire_f64_to_text(double value, char *out_text)
{
    char scratch[SCRATCH_BYTES];
    yyjson_alc alc;
    yyjson_val val;
    size_t len = nonfinite_text(value, out_text);

    if (len > 0) {
        return len;
    }
    AUGURY_ASSERT(yyjson_alc_pool_init(&alc, scratch, sizeof(scratch)));
    val.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL;
    val.uni.f64 = value;
    const char *text = yyjson_val_write_opts(&val, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
    AUGURY_ASSERT(text != NULL && len < WIRE_F32_TEXT_MAX);
    memcpy(out_text, text, len);
    return len;
}
