/* SPDX-License-Identifier: MIT */
/*
 * api_load.h - whether this worker is busy: what part of the last moments its loop has computed. A
 * busy worker compresses with less effort. Pure: times are arguments. Private to api.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialise. */
struct api_load {
    uint64_t wall_ns, cpu_ns; /* where the moment at hand began */
    bool is_busy;             /* in the moment before */
};

/* cpu_ns: what the thread of the loop has computed so far. To be asked whenever it matters; what
 * it says is of moments of a tenth of a second, and of longer ones where nobody has asked. */
bool api_load_is_busy(struct api_load *load, uint64_t wall_ns, uint64_t cpu_ns);
