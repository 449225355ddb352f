/* SPDX-License-Identifier: MIT */
/*
 * net_lag.h - how much work one turn of the loop may take on, so that nothing waits long for its
 * own: the requests of a turn are served one after the other, and what arrives meanwhile waits for
 * the next. A limit of admitted requests a turn, raised while turns are short and halved when they
 * are not (AIMD). Pure: times are arguments. Private to net.
 * What refusals take is no part of it: a lower limit makes more of them, not less, and in the end
 * the worker would do nothing else.
 * Invariants: (1) a turn admits one request at least; (2) a turn of one request lowers nothing, as
 * no limit makes it shorter; (3) the limit rises only where it was what refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    NET_LAG_FIRST = 256,   /* the limit to begin with */
    NET_LAG_MOST = 1 << 16 /* and its upper bound */
};

/* A target that follows what requests take: NET_LAG_AUTO_TIMES as long as the one of the mean takes
 * by itself, measured when the machine let it run best in the last ten to twenty seconds. That is
 * the same however many wait, so that load does not raise it. */
#define NET_LAG_AUTO UINT64_MAX
enum { NET_LAG_AUTO_TIMES = 10 };
enum { NET_LAG_AUTO_LEAST_NS = 20000000, NET_LAG_AUTO_MOST_NS = 1000000000 };

/* What a request takes: the least of means of so many, of this epoch and of the one before. */
struct net_lag_alone {
    uint64_t begin_ns;            /* of the epoch; 0: none has begun */
    uint64_t least_ns, before_ns; /* 0: nothing is known */
    uint64_t work_ns;             /* of those that are counted */
    uint32_t count;
};

struct net_lag {
    uint64_t target_ns; /* longest that a request may wait for its turn and in it; 0: no limit */
    bool is_auto;
    struct net_lag_alone alone; /* where it is */
    uint32_t limit;             /* requests that a turn admits */
    uint32_t admitted, refused; /* of this turn */
    uint64_t work_ns;           /* of this turn, from what is admitted to what is asked next */
    uint64_t work_begin_ns;     /* of what was admitted last; 0: something else is at work */
    uint64_t lag_ns;            /* of the last turn: the longest that anything in it has waited */
    uint64_t end_ns, busy_ns;   /* of the last turn */
    struct {
        uint64_t begin_ns; /* 0: none has begun */
        uint32_t turns, late_turns;
        uint32_t late_admitted; /* least that a late turn admitted */
        bool was_limited;
    } window;
};

/* target_ns: or NET_LAG_AUTO. */
void net_lag_init(struct net_lag *lag, uint64_t target_ns);
/* Whether this turn takes on one request more. */
bool net_lag_admit(struct net_lag *lag, uint64_t now_ns);
/* What was admitted is at work again, until the next is asked. */
void net_lag_go_on(struct net_lag *lag, uint64_t now_ns);
/* A turn is over that served what was ready at begin_ns. */
void net_lag_turn(struct net_lag *lag, uint64_t begin_ns, uint64_t end_ns);
