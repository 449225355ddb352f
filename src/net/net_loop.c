/* SPDX-License-Identifier: MIT */
/*
 * net_loop.c - the loop and what can wake it: descriptors, timers, signals. Thin over libevent's
 * core, without its locks: a loop belongs to one thread.
 */
#include "net_loop.h"

#include <signal.h>
#include <stdlib.h>

enum { LOOP_MAGIC = 0x4c4f4f50, WATCH_MAGIC = 0x57415443 };

void
net_loop_turn(struct net_loop *loop)
{
    loop->now_ns = clock_mono_ns();
    if (loop->on_turn != NULL && loop->turn_begin_ns == 0) {
        loop->turn_begin_ns = loop->now_ns;
    }
}

void
net_loop_turn_coarse(struct net_loop *loop)
{
    uint64_t now_ns = clock_mono_coarse_ns();

    loop->now_ns = now_ns > loop->now_ns ? now_ns : loop->now_ns;
    if (loop->on_turn != NULL && loop->turn_begin_ns == 0) {
        loop->turn_begin_ns = clock_mono_ns();
    }
}

struct timeval
net_timeval_of_ms(uint32_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

int
net_loop_new(struct net_loop **out_loop, struct err *err)
{
    struct event_config *config = event_config_new();
    struct net_loop *loop = calloc(1, sizeof(*loop));
    int rc = AUGURY_ERR_NOMEM;

    if (config == NULL || loop == NULL) {
        goto out;
    }
    if (event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) != 0) {
        goto out;
    }
    loop->base = event_base_new_with_config(config);
    if (loop->base == NULL) {
        rc = AUGURY_ERR_IO;
        goto out;
    }
    /* A peer that is gone is a code from send(), not the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    loop->magic = LOOP_MAGIC;
    net_loop_turn(loop);
    *out_loop = loop;
    loop = NULL;
    rc = 0;
out:
    if (config != NULL) {
        event_config_free(config);
    }
    free(loop);
    return rc == 0 ? 0 : err_set(err, rc, "event_loop", "cannot make an event loop");
}

void
net_loop_free(struct net_loop **loop)
{
    if (*loop != NULL) {
        AUGURY_ASSERT((*loop)->magic == LOOP_MAGIC);
        event_base_free((*loop)->base);
        (*loop)->magic = 0;
        free(*loop);
        *loop = NULL;
    }
}

/* One turn after the other, so that their ends can be seen. */
static int
run_turns(struct net_loop *loop)
{
    do {
        if (event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY) < 0) {
            return AUGURY_ERR_IO;
        }
        if (loop->on_turn != NULL && loop->turn_begin_ns != 0) {
            loop->on_turn(loop->on_turn_arg, loop->turn_begin_ns, clock_mono_ns());
        }
        loop->turn_begin_ns = 0;
    } while (!event_base_got_break(loop->base));
    return 0;
}

int
net_loop_run(struct net_loop *loop)
{
    if (loop->on_turn != NULL) {
        return run_turns(loop);
    }
    return event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0 ? AUGURY_ERR_IO : 0;
}

void
net_loop_stop(struct net_loop *loop)
{
    event_base_loopbreak(loop->base);
}

uint64_t
net_loop_now_ms(const struct net_loop *loop)
{
    return loop->now_ns / 1000000u;
}

/* ---- watches, timers and signals: one event and one callback each --------------------------- */

struct watch {
    uint32_t magic;
    struct net_loop *loop;
    void *arg;
    struct event event;
};

struct net_watch {
    struct watch watch;
    net_watch_fn *fn;
};

struct net_timer {
    struct watch watch;
    net_timer_fn *fn;
};

struct net_signal {
    struct watch watch;
    net_signal_fn *fn;
};

/* Every callback's first line: checks the cast and takes the time. */
static struct watch *
watch_enter(void *arg)
{
    struct watch *watch = arg;

    AUGURY_ASSERT(watch->magic == WATCH_MAGIC);
    net_loop_turn(watch->loop);
    return watch;
}

static void
watch_fini(struct watch *watch)
{
    AUGURY_ASSERT(watch->magic == WATCH_MAGIC);
    event_del(&watch->event);
    watch->magic = 0;
}

static void
watch_init(struct watch *watch, struct net_loop *loop, void *arg)
{
    *watch = (struct watch){.magic = WATCH_MAGIC, .loop = loop, .arg = arg};
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct net_watch *watch = (struct net_watch *)watch_enter(arg);
    unsigned ready = 0;

    ready |= (what & EV_READ) != 0 ? NET_WATCH_READ : 0;
    ready |= (what & EV_WRITE) != 0 ? NET_WATCH_WRITE : 0;
    watch->fn(watch->watch.arg, fd, (enum net_watch_what)ready);
}

int
net_watch_new(struct net_loop *loop, int fd, enum net_watch_what what, net_watch_fn *fn, void *arg,
              struct net_watch **out_watch)
{
    struct net_watch *watch = calloc(1, sizeof(*watch));
    short events = EV_PERSIST;

    if (watch == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    events = (short)(events | ((what & NET_WATCH_READ) != 0 ? EV_READ : 0));
    events = (short)(events | ((what & NET_WATCH_WRITE) != 0 ? EV_WRITE : 0));
    watch_init(&watch->watch, loop, arg);
    watch->fn = fn;
    if (event_assign(&watch->watch.event, loop->base, fd, events, on_watch, watch) != 0 ||
        event_add(&watch->watch.event, NULL) != 0) {
        free(watch);
        return AUGURY_ERR_IO;
    }
    *out_watch = watch;
    return 0;
}

void
net_watch_free(struct net_watch **watch)
{
    if (*watch != NULL) {
        watch_fini(&(*watch)->watch);
        free(*watch);
        *watch = NULL;
    }
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct net_timer *timer = (struct net_timer *)watch_enter(arg);

    (void)fd;
    (void)what;
    timer->fn(timer->watch.arg);
}

int
net_timer_new(struct net_loop *loop, uint32_t every_ms, net_timer_fn *fn, void *arg,
              struct net_timer **out_timer)
{
    struct net_timer *timer = calloc(1, sizeof(*timer));
    struct timeval every = net_timeval_of_ms(every_ms);

    if (timer == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    watch_init(&timer->watch, loop, arg);
    timer->fn = fn;
    if (event_assign(&timer->watch.event, loop->base, -1, EV_PERSIST, on_timer, timer) != 0 ||
        event_add(&timer->watch.event, &every) != 0) {
        free(timer);
        return AUGURY_ERR_IO;
    }
    *out_timer = timer;
    return 0;
}

void
net_timer_free(struct net_timer **timer)
{
    if (*timer != NULL) {
        watch_fini(&(*timer)->watch);
        free(*timer);
        *timer = NULL;
    }
}

static void
on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    struct net_signal *watch = (struct net_signal *)watch_enter(arg);

    (void)what;
    watch->fn(watch->watch.arg, signal_number);
}

int
net_signal_new(struct net_loop *loop, int signal_number, net_signal_fn *fn, void *arg,
               struct net_signal **out_signal)
{
    struct net_signal *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    watch_init(&watch->watch, loop, arg);
    watch->fn = fn;
    if (event_assign(&watch->watch.event, loop->base, signal_number, EV_SIGNAL | EV_PERSIST,
                     on_signal, watch) != 0 ||
        event_add(&watch->watch.event, NULL) != 0) {
        free(watch);
        return AUGURY_ERR_IO;
    }
    *out_signal = watch;
    return 0;
}

void
net_signal_free(struct net_signal **signal)
{
    if (*signal != NULL) {
        watch_fini(&(*signal)->watch);
        free(*signal);
        *signal = NULL;
    }
}
