/* SPDX-License-Identifier: MIT */
/*
 * api_order.h - orders to the cache's keeper whose results somebody waits for. Private to the room.
 * Results come in the order of the orders.
 */
#pragma once

#include "api_call.h"

/* rc: as cache_order_result(). api NULL: the process ends, and arg is to be freed. */
typedef void api_ordered_fn(struct api *api, void *arg, int rc);

struct api_order {
    enum cache_order_kind kind;
    const struct cache_item *item;
    uint64_t match;
};

/* fn is called later, by api_orders_look(), if 0 is returned; else as cache_order(). */
AUGURY_MUST_USE int api_order(struct api *api, const struct api_order *order, api_ordered_fn *fn,
                              void *arg);
/* Hands out the results that have come. */
void api_orders_look(struct api *api);
/* At the end of the process: nobody will look any more. */
void api_orders_drop(struct api *api);
