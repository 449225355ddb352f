/* SPDX-License-Identifier: MIT */
/* net_lag.c - see net_lag.h. */
#include "net_lag.h"

#include <string.h>

enum {
    ASLEEP_NS = 100000,    /* between two turns: the loop has waited for something */
    WINDOW_NS = 100000000, /* time that one decision takes in */
    WINDOW_TURNS = 8,      /* and turns, at least, to raise the limit */
    LATE_TURNS = 4,        /* decide at once */
    LATE_ONE_IN = 64,      /* turns that may be late */
    RISE_PART = 8,         /* of the limit that one good window adds, beside 1 */
    ALONE_REQUESTS = 32,   /* to a mean */
};
#define EPOCH_NS UINT64_C(10000000000)

void
net_lag_init(struct net_lag *lag, uint64_t target_ns)
{
    memset(lag, 0, sizeof(*lag));
    lag->is_auto = target_ns == NET_LAG_AUTO;
    lag->target_ns = lag->is_auto ? NET_LAG_AUTO_LEAST_NS : target_ns;
    lag->limit = NET_LAG_FIRST;
}

static void
end_work(struct net_lag *lag, uint64_t now_ns)
{
    if (lag->work_begin_ns != 0) {
        lag->work_ns += now_ns - lag->work_begin_ns;
        lag->work_begin_ns = 0;
    }
}

bool
net_lag_admit(struct net_lag *lag, uint64_t now_ns)
{
    end_work(lag, now_ns);
    if (lag->target_ns == 0 || lag->admitted < lag->limit) {
        lag->admitted++;
        lag->work_begin_ns = now_ns;
        return true;
    }
    lag->refused++;
    return false;
}

static void
lower(struct net_lag *lag)
{
    uint32_t had = lag->window.late_admitted < lag->limit ? lag->window.late_admitted : lag->limit;

    lag->limit = had > 1 ? had / 2 : 1;
}

static void
raise(struct net_lag *lag)
{
    uint32_t more = 1 + lag->limit / RISE_PART;

    lag->limit = lag->limit + more < NET_LAG_MOST ? lag->limit + more : NET_LAG_MOST;
}

void
net_lag_go_on(struct net_lag *lag, uint64_t now_ns)
{
    if (lag->work_begin_ns == 0) {
        lag->work_begin_ns = now_ns;
    }
}

/* One late turn, or few among many, are chance: other programs of the machine delay some. */
static void
decide(struct net_lag *lag, uint64_t now_ns)
{
    uint32_t late = lag->window.late_turns;
    bool is_late = late >= 2 && late > lag->window.turns / LATE_ONE_IN;
    bool is_long = now_ns - lag->window.begin_ns >= WINDOW_NS;
    bool is_enough =
        is_late ? is_long || late >= LATE_TURNS : is_long && lag->window.turns >= WINDOW_TURNS;

    if (!is_enough) {
        return;
    }
    if (is_late) {
        lower(lag);
    } else if (lag->window.was_limited) {
        raise(lag);
    }
    memset(&lag->window, 0, sizeof(lag->window));
}

/* 0: not known. */
static uint64_t
least_of(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void
follow(struct net_lag *lag, uint64_t now_ns)
{
    struct net_lag_alone *alone = &lag->alone;

    alone->work_ns += lag->work_ns;
    alone->count += lag->admitted;
    if (alone->count < ALONE_REQUESTS) {
        return;
    }
    if (alone->begin_ns == 0 || now_ns - alone->begin_ns >= EPOCH_NS) {
        alone->begin_ns = now_ns;
        alone->before_ns = alone->least_ns;
        alone->least_ns = 0;
    }
    alone->least_ns = least_of(alone->least_ns, alone->work_ns / alone->count + 1);
    alone->work_ns = 0;
    alone->count = 0;
    uint64_t target_ns = NET_LAG_AUTO_TIMES * least_of(alone->least_ns, alone->before_ns);
    target_ns = target_ns > NET_LAG_AUTO_LEAST_NS ? target_ns : NET_LAG_AUTO_LEAST_NS;
    lag->target_ns = target_ns < NET_LAG_AUTO_MOST_NS ? target_ns : NET_LAG_AUTO_MOST_NS;
}

/* What came while the turn before was at work has waited for that too: a turn is late when two like
 * it take longer than the target. */
void
net_lag_turn(struct net_lag *lag, uint64_t begin_ns, uint64_t end_ns)
{
    uint64_t busy_ns = end_ns - begin_ns;
    bool has_slept = lag->end_ns == 0 || begin_ns - lag->end_ns > ASLEEP_NS;

    lag->lag_ns = busy_ns + (has_slept ? 0 : lag->busy_ns);
    if (lag->window.begin_ns == 0) {
        lag->window.begin_ns = begin_ns;
    }
    lag->window.turns++;
    end_work(lag, end_ns);
    if (lag->work_ns > lag->target_ns / 2 && lag->admitted > 1) {
        if (lag->window.late_turns++ == 0 || lag->admitted < lag->window.late_admitted) {
            lag->window.late_admitted = lag->admitted;
        }
    }
    lag->window.was_limited = lag->window.was_limited || lag->refused > 0;
    if (lag->is_auto) {
        follow(lag, end_ns);
    }
    lag->end_ns = end_ns;
    lag->busy_ns = busy_ns;
    lag->admitted = 0;
    lag->refused = 0;
    lag->work_ns = 0;
    decide(lag, end_ns);
}
