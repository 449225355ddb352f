/* SPDX-License-Identifier: MIT */
/* net_loop.h - what the files of net see of the loop. Private; event.h stays within net. */
#pragma once

#include "augury/net.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/time.h>

struct net_loop {
    uint32_t magic;
    struct event_base *base;
    uint64_t now_ns; /* monotonic, as of this turn */
};

/* Takes the time: the first thing of every callback. */
void net_loop_turn(struct net_loop *loop);
/* The same by the kernel's last tick, for callbacks of every request; never goes back. */
void net_loop_turn_coarse(struct net_loop *loop);
struct timeval net_timeval_of_ms(uint32_t ms);
