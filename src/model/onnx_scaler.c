/* SPDX-License-Identifier: MIT */
/*
 * onnx_scaler.c - a Scaler before trees goes into their thresholds. Scaling in float32 rounds, but
 * never changes the order of two numbers (or always, when the scale is negative), so that there is
 * one float32 from which on the scaled value has passed the threshold: it is searched for among all
 * of them, in 32 steps, and the answer stays exact.
 */
#include <math.h>

#include "onnx_forest.h"

/* Numbers in the order of the floats, without NaN: 0 is minus infinity. */
enum { KEY_SIGN = 31 };
static const uint32_t key_negative_infinity = 0x007fffff;
static const uint32_t key_infinity = 0xff800000;

static float
float_of(uint32_t key)
{
    uint32_t bits = key >> KEY_SIGN != 0 ? key & 0x7fffffff : ~key;
    float number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}

static bool
is_below(const struct onnx_rows *rows, size_t column, uint32_t key, double value)
{
    return (double)onnx_rows_scaled(rows, column, float_of(key)) < value;
}

struct onnx_test
onnx_unscale(const struct onnx_rows *rows, size_t column, struct onnx_test test)
{
    uint32_t low = key_negative_infinity;
    uint32_t high = key_infinity;
    bool is_low_below = is_below(rows, column, low, test.value);
    bool is_high_below = is_below(rows, column, high, test.value);

    if (test.is_all_left) {
        return test;
    }
    if (is_low_below == is_high_below) { /* one side for every number */
        test.is_all_left = is_low_below;
        test.value = (double)-INFINITY;
        return test;
    }
    while (low + 1 < high) { /* low is on its side, high on the other */
        uint32_t middle = low + (high - low) / 2;
        if (is_below(rows, column, middle, test.value) == is_low_below) {
            low = middle;
        } else {
            high = middle;
        }
    }
    test.value = (double)float_of(high);
    test.is_swapped = !is_low_below; /* a negative scale: the small numbers become great */
    return test;
}
