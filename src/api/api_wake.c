/* SPDX-License-Identifier: MIT */
/* api_wake.c - what other processes and threads have for this worker: its eventfd was written. */
#include "api_fetch.h"
#include "api_order.h"

void
api_wake(struct api *api)
{
    api_orders_look(api);
    api_fetches_look(api);
    api_fetches_follow(api);
    api_flights_look(api);
    api_arena_trim(api);
}
