/* SPDX-License-Identifier: MIT */
/*
 * net_wheel.h - coarse deadlines: a ring of lists, one a tick. Setting and moving a deadline is
 * O(1) and, when it moves later, one store: the entry stays in its slot and is put where it belongs
 * when the slot's turn comes. Private to net.
 * Invariant: an entry is visited no later than its deadline rounded up to a tick, and expires never
 * before it.
 */
#pragma once

#include "augury/base.h"

#include "net_list.h"

enum { NET_WHEEL_SLOTS = 1024, NET_WHEEL_TICK_MS = 100 };

struct net_deadline {
    struct net_list link;
    uint64_t at_ms;
    uint64_t slot_tick; /* when its slot is visited */
};

struct net_wheel {
    uint64_t tick; /* the last one visited */
    struct net_list slots[NET_WHEEL_SLOTS];
};

void net_wheel_init(struct net_wheel *wheel, uint64_t now_ms);
void net_wheel_set(struct net_wheel *wheel, struct net_deadline *deadline, uint64_t at_ms);
void net_wheel_del(struct net_deadline *deadline);
/* Calls fn for each deadline that has passed, after taking it off the wheel; fn may free its
 * owner. */
void net_wheel_advance(struct net_wheel *wheel, uint64_t now_ms,
                       void (*fn)(void *arg, struct net_deadline *deadline), void *arg);
