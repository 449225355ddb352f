/* SPDX-License-Identifier: MIT */
/* api_test_routes_none.c - a normal build: there are no routes for tests. */
#include "api_test_routes.h"

const struct api_route *
api_test_route_at(size_t i)
{
    (void)i;
    return NULL;
}
