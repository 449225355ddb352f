/* SPDX-License-Identifier: MIT */
/* api_order.c - who waits for which order. The cache bounds how many there are. */
#include "api_order.h"

static struct api_wait *
waits_end(struct api_orders *orders)
{
    return &orders->waits[(orders->first + orders->count) % API_ORDERS_MAX];
}

int
api_order(struct api *api, const struct api_order *order, api_ordered_fn *fn, void *arg)
{
    struct api_orders *orders = &api->orders;
    uint64_t ticket = 0;

    if (orders->count == API_ORDERS_MAX) {
        return AUGURY_ERR_FULL;
    }
    int rc = cache_order(api->options.cache, order->kind, order->item, order->match, &ticket);
    if (rc == 0) {
        *waits_end(orders) = (struct api_wait){.ticket = ticket, .fn = fn, .arg = arg};
        orders->count++;
    }
    return rc;
}

/* The oldest wait, which is over. */
static struct api_wait
waits_take(struct api_orders *orders)
{
    struct api_wait wait = orders->waits[orders->first];

    orders->first = (orders->first + 1) % API_ORDERS_MAX;
    orders->count--;
    return wait;
}

void
api_orders_look(struct api *api)
{
    struct api_orders *orders = &api->orders;
    uint64_t ticket = 0;
    int rc = 0;

    if (api->options.cache == NULL) {
        return;
    }
    while (cache_order_result(api->options.cache, &ticket, &rc)) {
        while (orders->count > 0 && orders->waits[orders->first].ticket <= ticket) {
            struct api_wait wait = waits_take(orders);
            /* A result that was passed over is lost: the cache was replaced. */
            wait.fn(api, wait.arg, wait.ticket == ticket ? rc : AUGURY_ERR_STATE);
        }
    }
}

void
api_orders_drop(struct api *api)
{
    while (api->orders.count > 0) {
        struct api_wait wait = waits_take(&api->orders);
        wait.fn(NULL, wait.arg, AUGURY_ERR_STATE);
    }
}
