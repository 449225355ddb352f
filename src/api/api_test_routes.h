/* SPDX-License-Identifier: MIT */
/*
 * api_test_routes.h - routes that are there for suites of tests alone, which no normal build has:
 * configure --enable-test-routes builds api_test_routes.c, else api_test_routes_none.c. Private to
 * the room.
 */
#pragma once

#include "api_routes.h"

/* NULL behind the last. */
const struct api_route *api_test_route_at(size_t i);
