/* SPDX-License-Identifier: MIT */
/*
 * api_early.c - when to make something anew before its time is over, so that nobody has to wait
 * when it is: the closer the end and the dearer the work, the likelier. Source: Vattani et al.
 * "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015, with beta 1.
 */
#include "api_call.h"

#include <math.h>

enum { COSTS_MAX = 20 }; /* further away than so many costs, one in 10^8 would begin */

bool
api_is_early(const struct api_early *early, uint64_t *random)
{
    double cost_ms = (double)early->cost_us / 1000;
    double left_ms = (double)early->expires_wall_ms - (double)early->now_wall_ms;

    if (left_ms > cost_ms * COSTS_MAX) {
        return false;
    }
    /* xorshift64: never 0. */
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    double drawn = ((double)(*random >> 11) + 1) / 9007199254740993.0; /* over 0, under 1 */
    return cost_ms * -log(drawn) >= left_ms;
}
