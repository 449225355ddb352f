/* SPDX-License-Identifier: MIT */
/*
 * supervisor.h - the cache's only writer and the door of the admin socket. Private to app. Process:
 * supervisor.
 */
#pragma once

#include "augury/api.h"
#include "heritage.h"
#include "redis_loop.h"

struct admin;
struct sizing;
struct supervisor_warm;

struct supervisor {
    struct heritage *heritage;
    struct conf conf; /* the one in force: it changes with a reload, this process does not */
    uint32_t conf_sequence;
    struct net_loop *loop;
    struct cache *cache;
    struct redis_loop bus_loop;
    struct cache_bus *bus; /* invalidations of other machines; NULL: none */
    uint64_t bus_print;    /* of its options */
    bool is_bus_up;        /* as last said */
    bool is_bus_told;      /* that it is up, or down, since it was opened */
    unsigned bus_ticks;    /* since then, the first few */
    struct registry *registry;
    struct stats_slot *stats;
    struct admin *admin;
    struct sizing *sizing;
    struct predict_learn *learn; /* habits of predictions; NULL: none */
    uint32_t learn_keys, learn_ttl_s;
    size_t learn_page;            /* of habits, that is looked at next */
    struct supervisor_warm *warm; /* a version that is to take over; NULL: none */
    struct net_line_server *lines;
    struct net_watch *life, *wake;
    struct net_timer *tick, *beat;
    struct net_signal *term, *quit, *reopen, *check;
    bool is_commit_failing;           /* said once, until it works again */
    bool is_disk_off;                 /* likewise */
    uint64_t replaced, disk_replaced; /* damaged environments, as last said */
    bool is_stopping;
};

/* Drains rings for a bounded time; what is left wakes the loop again. */
void supervisor_pump(struct supervisor *supervisor);
/* supervisor_learn.c. Follows the configuration; makes predictions ahead, once a second. */
void supervisor_learn_follow(struct supervisor *supervisor);
void supervisor_learn_turn(struct supervisor *supervisor);
void supervisor_learn_stop(struct supervisor *supervisor);
/* Gives up what is being warmed; its label stays where it is. */
void supervisor_warm_stop(struct supervisor *supervisor);

/* A proc_child_main. arg: struct heritage. */
int supervisor_main(void *arg, struct proc_link link);
