/* SPDX-License-Identifier: MIT */
/*
 * wide_node.h - which side of a wide node a value goes to.
 * The rule for categories: the value is cut to an integer; members of the set go to their side
 * (right in XGBoost, left in LightGBM), whatever is none or no category (negative, over 2^24 - 1,
 * unknown) to the other; a missing value goes to the default side.
 */
#pragma once

#include "blob.h"

#include <math.h>

static inline bool
wide_list_has(const uint32_t *list, uint32_t count, uint32_t category)
{
    uint32_t low = 0;

    while (count > 0) {
        uint32_t half = count / 2;
        if (list[low + half] < category) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return list[low] == category;
}

static inline bool
wide_set_has(const uint32_t *set, double x)
{
    /* Compared before the cast, which is undefined for what does not fit. */
    if (!(x > -1.0 && x < (double)(NEUTRAL_CATEGORY_MAX + 1))) {
        return false;
    }
    uint32_t category = (uint32_t)x;
    uint32_t count = set[1];
    const uint32_t *words = set + SET_HEADER_WORDS;

    if (set[0] == SET_BITS) {
        return category / 32 < count && (words[category / 32] >> (category % 32) & 1) != 0;
    }
    return count > 0 && category <= words[count - 1] && wide_list_has(words, count, category);
}

static inline bool
wide_goes_right(const struct wide_node *node, const uint32_t *sets, double x)
{
    unsigned test = node->test;

    if ((test & WIDE_NAN_IS_ZERO) != 0 && isnan(x)) {
        x = 0.0;
    }
    if (isnan(x) || ((test & WIDE_ZERO_IS_MISSING) != 0 && fabs(x) <= NEUTRAL_ZERO)) {
        return (test & WIDE_DEFAULT_LEFT) == 0;
    }
    if ((test & WIDE_SET) != 0) {
        /* XGBoost calls any number under 0 none, LightGBM cuts -0.5 to category 0. */
        x = x < 0.0 && (test & WIDE_MEMBERS_LEFT) == 0 ? -1.0 : x;
        return wide_set_has(sets + (uint32_t)node->value, x) == ((test & WIDE_MEMBERS_LEFT) == 0);
    }
    return (test & WIDE_NUMBERS_LEFT) == 0 && !(x < node->value);
}
