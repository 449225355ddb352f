/* SPDX-License-Identifier: MIT */
/*
 * api_load.h - whether this worker is busy: what part of the last moments its loop has not slept,
 * be it that it computed or that it waited for a processor. A busy worker compresses with less
 * effort. Pure: times are arguments. Private to api.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialise. */
struct api_load {
    uint64_t wall_ns, awake_ns; /* where the moment at hand began */
    bool is_busy;               /* in the moment before */
};

/* Whether a moment, a tenth of a second, has passed since the last note. */
bool api_load_is_due(const struct api_load *load, uint64_t wall_ns);
/* awake_ns: how long the thread of the loop has not slept so far. */
void api_load_note(struct api_load *load, uint64_t wall_ns, uint64_t awake_ns);
