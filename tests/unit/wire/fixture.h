/* SPDX-License-Identifier: MIT */
/*
 * fixture.h - one decoded document with the memory that it lives in, for the tests of a format,
 * which define FIXTURE_FORMAT first.
 */
#pragma once

#include "augury/wire.h"

struct fixture {
    struct arena arena;
    struct err err;
    struct wire_value root;
    int rc;
};

static void
decode_with(struct fixture *fix, struct bytes input, const struct wire_limits *limits)
{
    *fix = (struct fixture){0};
    AUGURY_ASSERT(arena_init(&fix->arena, 64 << 20) == 0);
    fix->rc = wire_decode(FIXTURE_FORMAT, input, limits, &fix->arena, &fix->root, &fix->err);
}

static void
fini(struct fixture *fix)
{
    arena_fini(&fix->arena);
}
