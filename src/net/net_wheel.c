/* SPDX-License-Identifier: MIT */
/* net_wheel.c - see net_wheel.h. */
#include "net_wheel.h"

enum { SLOT_MASK = NET_WHEEL_SLOTS - 1 };

void
net_wheel_init(struct net_wheel *wheel, uint64_t now_ms)
{
    wheel->tick = now_ms / NET_WHEEL_TICK_MS;
    for (size_t i = 0; i < NET_WHEEL_SLOTS; i++) {
        net_list_init(&wheel->slots[i]);
    }
}

static void
link_deadline(struct net_wheel *wheel, struct net_deadline *deadline)
{
    uint64_t tick = deadline->at_ms / NET_WHEEL_TICK_MS + 1;
    uint64_t last = wheel->tick + NET_WHEEL_SLOTS - 1; /* the slot in work is never linked to */

    tick = tick <= wheel->tick ? wheel->tick + 1 : tick;
    deadline->slot_tick = tick < last ? tick : last;
    net_list_add(&wheel->slots[deadline->slot_tick & SLOT_MASK], &deadline->link);
}

void
net_wheel_set(struct net_wheel *wheel, struct net_deadline *deadline, uint64_t at_ms)
{
    deadline->at_ms = at_ms;
    if (net_list_is_linked(&deadline->link)) {
        if (deadline->slot_tick <= at_ms / NET_WHEEL_TICK_MS + 1) {
            return;
        }
        net_list_del(&deadline->link);
    }
    link_deadline(wheel, deadline);
}

void
net_wheel_del(struct net_deadline *deadline)
{
    net_list_del(&deadline->link);
}

void
net_wheel_advance(struct net_wheel *wheel, uint64_t now_ms,
                  void (*fn)(void *arg, struct net_deadline *deadline), void *arg)
{
    uint64_t now_tick = now_ms / NET_WHEEL_TICK_MS;

    /* After a long sleep each slot is visited once. */
    if (now_tick > wheel->tick + NET_WHEEL_SLOTS) {
        wheel->tick = now_tick - NET_WHEEL_SLOTS;
    }
    while (wheel->tick < now_tick) {
        wheel->tick++;
        struct net_list *slot = &wheel->slots[wheel->tick & SLOT_MASK];
        while (!net_list_is_empty(slot)) {
            struct net_deadline *deadline =
                NET_LIST_OWNER(net_list_pop(slot), struct net_deadline, link);
            if (deadline->at_ms <= now_ms) {
                fn(arg, deadline);
            } else {
                link_deadline(wheel, deadline);
            }
        }
    }
}
