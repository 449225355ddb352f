/* SPDX-License-Identifier: MIT */
/* api_load.c - the rule of api_load.h. */
#include "api_load.h"

enum { MOMENT_NS = 100 * 1000 * 1000, BUSY_PERCENT = 70 };

bool
api_load_is_due(const struct api_load *load, uint64_t wall_ns)
{
    return wall_ns - load->wall_ns >= MOMENT_NS;
}

void
api_load_note(struct api_load *load, uint64_t wall_ns, uint64_t awake_ns)
{
    uint64_t wall = wall_ns - load->wall_ns;
    uint64_t awake = awake_ns - load->awake_ns;

    load->is_busy = load->wall_ns != 0 && awake * 100 >= wall * BUSY_PERCENT;
    load->wall_ns = wall_ns;
    load->awake_ns = awake_ns;
}
