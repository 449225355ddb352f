/* SPDX-License-Identifier: MIT */
/*
 * world_f64.h - a model of float64 in a test's registry: the stump of
 * f64_stump.h, stored as version 2 of "strict".
 */
#pragma once

#include "../model/f64_stump.h"
#include "world.h"

static inline void
world_add_f64(struct world *world)
{
    struct registry_entry entry;
    struct buf blob;
    struct err err;

    buf_init(&blob, 1 << 20);
    WORLD_MUST(f64_stump_compile(&blob, &err));
    WORLD_MUST(registry_derive(world->registry, "strict", 1, buf_view(&blob), 0, 1700000000000,
                               &entry, &err));
    buf_fini(&blob);
}
