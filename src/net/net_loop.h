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
    /* Or NULL. Who measures turns: from when the loop woke up until all that was ready is served.
     */
    void (*on_turn)(void *arg, uint64_t begin_ns, uint64_t end_ns);
    void *on_turn_arg;
    uint64_t turn_begin_ns; /* 0: nothing of this turn has been served, or nobody measures */
};

/* Takes the time: the first thing of every callback. */
void net_loop_turn(struct net_loop *loop);
/* The same by the kernel's last tick, for callbacks of every request; never goes back. */
void net_loop_turn_coarse(struct net_loop *loop);
struct timeval net_timeval_of_ms(uint32_t ms);
