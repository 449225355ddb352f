/* SPDX-License-Identifier: MIT */
/* api_load.c - the rule of api_load.h. */
#include "api_load.h"

enum { MOMENT_NS = 100 * 1000 * 1000, BUSY_PERCENT = 70 };

bool
api_load_is_busy(struct api_load *load, uint64_t wall_ns, uint64_t cpu_ns)
{
    uint64_t wall = wall_ns - load->wall_ns;

    if (wall >= MOMENT_NS) {
        load->is_busy = load->wall_ns != 0 && (cpu_ns - load->cpu_ns) * 100 >= wall * BUSY_PERCENT;
        load->wall_ns = wall_ns;
        load->cpu_ns = cpu_ns;
    }
    return load->is_busy;
}
