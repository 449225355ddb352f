/* SPDX-License-Identifier: MIT */
/*
 * api_batch.c - calls whose rows wait for those of other calls in the same turn of the loop, to be
 * evaluated in one pass (decisions/037). Whether a row waits is the predict room's to say; here
 * calls are put off, and answered when the turn ends: no call waits for anything to arrive, unless
 * predict.window allows it some microseconds.
 *
 * Invariants:
 * 1. Whoever waits is answered by api_soon(): at the end of the turn, or when the window is over.
 * 2. A call that cannot be put off is answered at once, alone.
 * 3. An owner of a flight stays it while it waits, and ends it in every case.
 */
#include "api_batch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { LATERS_BYTES = 1 << 20, LATERS_KEEP_BYTES = 64 * 1024 };

struct waiting {
    struct api_later *later;
    struct predict_wait wait;
    struct api_asked asked;
    struct api_wish wish;
    struct api_flight flight;
    struct api_response response;
    enum api_form body_form;
    uint64_t now_wall_ms;
    uint64_t own_ns; /* what was spent before it waited */
};

struct api_batch {
    struct api *api;
    struct predict_batch *rows;
    struct arena laters;
    uint32_t window_us;
    int timer_fd; /* of the window, or -1 */
    struct net_watch *timer;
    size_t count;
    struct waiting list[PREDICT_BATCH_QUESTIONS];
};

/* ---- the window ------------------------------------------------------------------------------ */

static void
window_set(const struct api_batch *batch, uint32_t us)
{
    struct itimerspec at = {
        .it_value = {.tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000}};

    if (batch->timer_fd >= 0) {
        int rc = timerfd_settime(batch->timer_fd, 0, &at, NULL);
        AUGURY_ASSERT(rc == 0);
    }
}

static void
on_window(void *arg, int fd, enum net_watch_what what)
{
    struct api_batch *batch = arg;
    uint64_t times;

    (void)what;
    if (read(fd, &times, sizeof(times)) == (ssize_t)sizeof(times)) {
        api_soon(batch->api);
    }
}

/* ---- leaving a call -------------------------------------------------------------------------- */

struct predict_wait *
api_batch_offer(struct api_call *call, const struct api_asked *asked, struct predict_wait *wait)
{
    const struct api_batch *batch = call->api->batch;

    bool is_keepable = asked->state == NULL || asked->dialect->keep != NULL;

    /* Who has waited once does not wait again. */
    if (batch == NULL || !is_keepable || call->flight.is_late || call->peer == NULL ||
        call->api->elsewhere != NULL || batch->count == PREDICT_BATCH_QUESTIONS) {
        return NULL;
    }
    *wait = (struct predict_wait){
        .batch = batch->rows, .coming = net_server_coming(*call->api->options.server, call->body)};
    return wait;
}

/* For the window: what is pipelined behind this request can only come when it is handled, and its
 * own time must not be over first. */
static bool
may_wait_longer(const struct api_batch *batch, const struct api_call *call)
{
    uint64_t window_ns = (uint64_t)batch->window_us * 1000;

    return batch->window_us > 0 && !net_server_has_behind(*call->api->options.server, call->body) &&
           (call->deadline_mono_ns == 0 ||
            clock_mono_ns() + 2 * window_ns < call->deadline_mono_ns);
}

bool
api_batch_join(struct api_call *call, const struct api_asked *asked,
               const struct predict_wait *wait)
{
    struct api_batch *batch = call->api->batch;
    struct waiting *waiting = &batch->list[batch->count];
    bool is_soon = !may_wait_longer(batch, call);
    void *state = asked->state == NULL ? NULL : asked->dialect->keep(asked->state, &batch->laters);
    bool is_kept = (state == NULL) == (asked->state == NULL);
    struct api_later *later =
        is_kept
            ? api_call_wait(call, &batch->laters, is_soon ? API_UNTIL_TURN_ENDS : API_UNTIL_TOLD)
            : NULL;

    if (later == NULL) {
        return false;
    }
    *waiting = (struct waiting){
        .later = later,
        .wait = *wait,
        .asked = *asked,
        .wish = call->wish,
        .flight = call->flight,
        .response = call->response,
        .body_form = call->body_form,
        .now_wall_ms = call->now_wall_ms,
        .own_ns = clock_mono_ns() - asked->begin_ns,
    };
    waiting->asked.state = state;
    waiting->asked.decoded_ns = 0; /* most of what follows is not this request's */
    call->flight.is_owner = false;
    if (batch->count++ == 0 && !is_soon) {
        window_set(batch, batch->window_us);
    }
    return true;
}

/* ---- the end of the turn --------------------------------------------------------------------- */

/* Nobody wants this answer any more; but perhaps another process waits for it. */
static void
flight_leave(struct api *api, const struct api_flight *flight)
{
    if (flight->is_owner) {
        cache_flight_publish(api->options.cache, &flight->lease, AUGURY_NOT_FOUND,
                             bytes_of(NULL, 0));
    }
}

static void
answer_one(struct api_batch *batch, struct waiting *waiting)
{
    struct api *api = batch->api;
    struct api_call *call = api_later_begin(api, waiting->later);
    struct predict_answer answer;

    if (call == NULL) {
        flight_leave(api, &waiting->flight);
        api_later_free(&waiting->later);
        return;
    }
    call->wish = waiting->wish;
    call->flight = waiting->flight;
    call->response = waiting->response;
    api_call_body_form(call, waiting->body_form);
    call->now_wall_ms = waiting->now_wall_ms;
    int rc = predict_batch_answer(batch->rows, &waiting->wait, &api->arena, &answer, &call->err);
    uint64_t begin_ns = waiting->asked.begin_ns;
    uint64_t share_ns = rc == 0 ? predict_batch_row_ns(batch->rows) * answer.row_count : 0;
    /* What this answer has cost, without what was spent on others. */
    waiting->asked.begin_ns = clock_mono_ns() - waiting->own_ns - share_ns;
    unsigned status = api_question_finish(call, &waiting->asked, &answer, rc);
    stats_observe(api->options.slot, STATS_PREDICT_SECONDS, clock_mono_ns() - begin_ns);
    if (status >= 400) {
        api_figures_failed(api, predict_batch_model_key(batch->rows, &waiting->wait),
                           call->now_wall_ms, waiting->own_ns);
    }
    api_flight_end(call, NULL, false);
    api_later_end(api, &waiting->later, status);
}

void
api_soon(void *arg)
{
    struct api *api = arg;
    struct api_batch *batch = api->batch;

    if (batch == NULL || batch->count == 0) {
        return;
    }
    window_set(batch, 0);
    api_turn_end(api);
    predict_batch_run(batch->rows);
    for (size_t i = 0; i < batch->count; i++) {
        answer_one(batch, &batch->list[i]);
    }
    batch->count = 0;
    predict_end(api->options.predict);
    predict_batch_reset(batch->rows);
    arena_reset(&batch->laters, LATERS_KEEP_BYTES);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int
window_init(struct api_batch *batch, const struct api_options *options)
{
    if (batch->window_us == 0) {
        return 0;
    }
    batch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return batch->timer_fd >= 0 ? net_watch_new(options->loop, batch->timer_fd, NET_WATCH_READ,
                                                on_window, batch, &batch->timer)
                                : AUGURY_ERR_IO;
}

int
api_batch_init(struct api *api)
{
    const struct conf *conf = api->options.conf;
    struct predict_batch_options options = {
        .rows_max = conf->predict.batch_rows,
        .memory_bytes = (size_t)conf->limits.request_memory_bytes,
        .has_window = conf->predict.window_us > 0,
    };

    if (!conf->predict.is_batching || api->options.loop == NULL) {
        return 0;
    }
    struct api_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    api->batch = batch;
    batch->api = api;
    batch->window_us = conf->predict.window_us;
    batch->timer_fd = -1;
    int rc = arena_init(&batch->laters, LATERS_BYTES);
    if (rc == 0) {
        rc = predict_batch_new(&options, &batch->rows);
    }
    return rc == 0 ? window_init(batch, &api->options) : rc;
}

void
api_batch_fini(struct api *api)
{
    struct api_batch *batch = api->batch;

    if (batch == NULL) {
        return;
    }
    for (size_t i = 0; i < batch->count; i++) {
        flight_leave(api, &batch->list[i].flight);
        api_later_free(&batch->list[i].later);
    }
    net_watch_free(&batch->timer);
    if (batch->timer_fd >= 0) {
        close(batch->timer_fd);
    }
    predict_batch_free(&batch->rows);
    arena_fini(&batch->laters);
    free(batch);
    api->batch = NULL;
}
