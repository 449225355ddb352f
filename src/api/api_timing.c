/* SPDX-License-Identifier: MIT */
/*
 * api_timing.c - where the time of one request went, as a header of its answer (Server Timing,
 * W3C).
 * The handler of questions sets marks, and between two marks lies a lap. Off, a mark is one branch.
 */
#include "api_call.h"

#include <inttypes.h>

enum { NS_A_US = 1000, US_A_MS = 1000 };

enum api_timing_when
api_timing_when(const char *word)
{
    if (strcmp(word, "yes") == 0) {
        return API_TIMING_ALWAYS;
    }
    return strcmp(word, "asked") == 0 ? API_TIMING_ASKED : API_TIMING_NEVER;
}

void
api_timing_begin(struct api_call *call)
{
    struct api_timing *timing = &call->timing;

    if (call->api->timing_when == API_TIMING_ASKED &&
        http_header_find(call->request, "x-server-timing").len == 0) {
        return;
    }
    *timing = (struct api_timing){.is_wanted = true};
    timing->begin_ns = timing->lap_ns = clock_mono_ns();
}

void
api_timing_lap(struct api_timing *timing, enum api_phase phase)
{
    uint64_t now_ns = clock_mono_ns();

    timing->took_ns[phase] += now_ns - timing->lap_ns;
    timing->lap_ns = now_ns;
}

static void
put_part(struct buf *headers, const char *name, uint64_t ns)
{
    uint64_t us = ns / NS_A_US;

    buf_printf(headers, "%s;dur=%" PRIu64 ".%03" PRIu64, name, us / US_A_MS, us % US_A_MS);
}

void
api_timing_put(const struct api_call *call)
{
    static const char *const names[API_PHASE_COUNT] = {"cache", "parse", "eval", "encode"};
    const struct api_timing *timing = &call->timing;
    struct buf *headers = call->answer->headers;

    buf_put_text(headers, "Server-Timing: ");
    for (size_t i = 0; i < API_PHASE_COUNT; i++) {
        if (timing->took_ns[i] > 0) {
            put_part(headers, names[i], timing->took_ns[i]);
            buf_put_text(headers, ", ");
        }
    }
    put_part(headers, "total", clock_mono_ns() - timing->begin_ns);
    buf_put_text(headers, "\r\n");
}
