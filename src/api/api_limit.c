/* SPDX-License-Identifier: MIT */
/*
 * api_limit.c - whether a request is taken on, and until when its answer is wanted. What the cache
 * answers costs as much as a refusal, so questions are asked about only when the cache has no
 * answer; and who allows it gets one that is past its time instead of 503 or 504. Health, metrics,
 * status and documents are always answered: they tell what is the matter.
 */
#include "api_routes.h"

#include <string.h>

enum { TIMEOUT_MAX_MS = 3600000, FRACTION_DIGITS = 3 };

/* ---- refusals, ready to be sent -------------------------------------------------------------- */

/* The same in both shapes that errors of predictions have. */
struct refusal {
    unsigned status;
    const char *body;
    const char *invocations_body; /* MLflow's */
};

#define REFUSAL(status, word, code, text)                                                          \
    {                                                                                              \
        status, "{\"error\":\"" text "\",\"code\":\"" code "\",\"at\":\"\"}",                      \
            "{\"error_code\":\"" word "\",\"message\":\"" text "\",\"code\":\"" code               \
            "\",\"at\":\"\"}"                                                                      \
    }

enum { OVER_TIME = NET_OVER_CLIENT_REQUESTS + 1 };
static const struct refusal refusals[] = {
    [NET_OVER_LAG] = REFUSAL(503, "TEMPORARILY_UNAVAILABLE", "overloaded",
                             "there is too much to do; come again in a second"),
    [NET_OVER_QUEUE] = REFUSAL(503, "TEMPORARILY_UNAVAILABLE", "overloaded",
                               "the request has waited longer for its turn than limits.queue_time"),
    [NET_OVER_REQUESTS] =
        REFUSAL(503, "TEMPORARILY_UNAVAILABLE", "overloaded",
                "as many requests wait for their answers as limits.requests lets"),
    [NET_OVER_CLIENT_REQUESTS] =
        REFUSAL(429, "REQUEST_LIMIT_EXCEEDED", "too_many_requests",
                "as many requests of this client wait for their answers as "
                "limits.client_requests lets"),
    [OVER_TIME] = REFUSAL(504, "DEADLINE_EXCEEDED", "timeout",
                          "the answer did not come within the time that the request gives it"),
};

/* Nothing is encoded: a refusal has to cost less than what it saves. */
static unsigned
refuse(struct api_call *call, unsigned over)
{
    const struct refusal *refusal = &refusals[over];
    bool is_invocation = call->route != NULL && call->route->handler == api_post_invocations;

    call->answer->content_type = "application/json";
    call->answer->ready = bytes_of_text(is_invocation ? refusal->invocations_body : refusal->body);
    if (over != OVER_TIME) {
        buf_put_text(call->answer->headers, "Retry-After: 1\r\n");
    }
    return refusal->status;
}

/* ---- deadlines ------------------------------------------------------------------------------- */

/* Digits from *at on, into *number, at most up to an hour of milliseconds. How many. */
static size_t
take_digits(struct bytes text, size_t *at, uint64_t *number)
{
    size_t begin = *at;

    for (; *at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9'; ++*at) {
        *number = *number * 10 + (uint64_t)(text.data[*at] - '0');
        *number = *number < TIMEOUT_MAX_MS ? *number : TIMEOUT_MAX_MS;
    }
    return *at - begin;
}

/* "2", "0.25", "2s", "250ms". */
static int
timeout_of(struct bytes text, uint64_t *out_ms)
{
    uint64_t whole = 0;
    uint64_t thousandths = 0;
    size_t at = 0;
    size_t digits = 0;

    if (take_digits(text, &at, &whole) == 0) {
        return AUGURY_ERR_INVALID;
    }
    if (at < text.len && text.data[at] == '.') {
        at++;
        digits = take_digits(text, &at, &thousandths);
        if (digits == 0 || digits > FRACTION_DIGITS) {
            return AUGURY_ERR_INVALID;
        }
    }
    struct bytes unit = bytes_of(text.data + at, text.len - at);
    bool is_ms = digits == 0 && bytes_equal_text(unit, "ms");
    if (!is_ms && unit.len > 0 && !bytes_equal_text(unit, "s")) {
        return AUGURY_ERR_INVALID;
    }
    for (size_t i = digits; i < FRACTION_DIGITS; i++) {
        thousandths *= 10;
    }
    uint64_t ms = is_ms ? whole : whole * 1000 + thousandths;
    if (ms == 0) {
        return AUGURY_ERR_INVALID;
    }
    *out_ms = ms < TIMEOUT_MAX_MS ? ms : TIMEOUT_MAX_MS;
    return 0;
}

static const struct net_server *
server_of(const struct api_call *call)
{
    struct net_server *const *server = call->api->options.server;

    return server != NULL ? *server : NULL;
}

/* From when the request could have been served, not from when it is. */
static uint64_t
due_mono_ns(const struct api_call *call)
{
    const struct net_server *server = server_of(call);

    return server != NULL ? net_server_due_mono_ns(server) : clock_mono_ns();
}

static unsigned
deadline_set(struct api_call *call, uint64_t timeout_ms)
{
    struct bytes wanted = call->request->request_timeout;

    if (wanted.data != NULL && timeout_of(wanted, &timeout_ms) != 0) {
        return api_refuse_as(
            call, 400, "invalid_timeout",
            "X-Request-Timeout: expected a time from 1ms to an hour, in seconds or "
            "milliseconds: 2, 0.25, 2s or 250ms");
    }
    call->deadline_mono_ns = due_mono_ns(call) + timeout_ms * 1000000;
    return 0;
}

void
api_limit_sooner(struct api_call *call, uint64_t timeout_us)
{
    const uint64_t most_us = (uint64_t)TIMEOUT_MAX_MS * 1000;
    uint64_t deadline_ns = due_mono_ns(call) + (timeout_us < most_us ? timeout_us : most_us) * 1000;

    if (call->deadline_mono_ns == 0 || deadline_ns < call->deadline_mono_ns) {
        call->deadline_mono_ns = deadline_ns;
    }
}

void
api_limit_message(struct api_call *call)
{
    uint32_t timeout_ms = call->api->options.conf->limits.request_timeout_ms;

    if (timeout_ms > 0) {
        (void)deadline_set(call, timeout_ms); /* there is no header that may be wrong */
    }
}

bool
api_deadline_is_over(const struct api_call *call)
{
    return call->deadline_mono_ns != 0 && clock_mono_ns() >= call->deadline_mono_ns;
}

bool
api_limit_note(struct api *api, int rc, const struct err *err)
{
    /* The other reason is that the request wanted nothing but what is cached. */
    bool is_late = rc == AUGURY_ERR_TIMEOUT && strcmp(err->code, "timeout") == 0;

    stats_add(api->options.slot, STATS_HTTP_OVER_DEADLINE, is_late ? 1 : 0);
    return is_late;
}

bool
api_answer_stale(struct api_call *call)
{
    bool is_found = api_response_find_stale(call);

    stats_add(call->api->options.slot, STATS_HTTP_OVER_STALE, is_found ? 1 : 0);
    return is_found;
}

/* ---- gates ----------------------------------------------------------------------------------- */

unsigned
api_limit_admit(struct api_call *call)
{
    struct net_server *const *server = call->api->options.server;

    if (api_deadline_is_over(call)) {
        return api_refuse_late(call);
    }
    if (server == NULL || *server == NULL) {
        return 0;
    }
    enum net_over over = net_server_admit(*server);
    if (over == NET_OVER_NOTHING) {
        return 0;
    }
    return over != NET_OVER_CLIENT_REQUESTS && api_answer_stale(call) ? 200 : refuse(call, over);
}

unsigned
api_refuse_late(struct api_call *call)
{
    stats_add(call->api->options.slot, STATS_HTTP_OVER_DEADLINE, 1);
    return api_answer_stale(call) ? 200 : refuse(call, OVER_TIME);
}

unsigned
api_limit_enter(struct api_call *call)
{
    uint32_t timeout_ms = call->api->options.conf->limits.request_timeout_ms;
    unsigned status = 0;

    if (timeout_ms > 0 || call->request->request_timeout.data != NULL) {
        status = deadline_set(call, timeout_ms);
    }
    if (status == 0 && call->route->area == API_AREA_OBJECTS) {
        status = api_limit_admit(call);
    }
    return status;
}
