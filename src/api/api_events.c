/* SPDX-License-Identifier: MIT */
/*
 * api_events.c - GET /api/v1/performance/events: the document of /api/v1/performance again and
 * again as server-sent events (WHATWG HTML, 9.2). An event is made when the one before it has been
 * taken: what a slow client misses is never made, so nothing is queued for it. The document is that
 * of now, so Last-Event-ID asks for nothing that could be missing, and is not looked at.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_MAGIC = 0x45564e54,
    HEARTBEAT_MS = 15000, /* proxies give up a silent connection after half a minute or more */
    RETRY_MS = 2000,
    EVERY_MAX_S = 3600,
    RECORDS_MAX = 1 /* of the controller's history: the others were in earlier events */
};

struct api_events {
    uint32_t magic;
    struct api *api;
    uint64_t due_mono_ms; /* the next event */
    uint32_t every_ms;
    uint32_t slice_ms; /* from one piece to the next: an event, or a heartbeat */
};

static struct api_events *
events_cast(void *arg)
{
    struct api_events *events = arg;

    AUGURY_ASSERT(events->magic == EVENTS_MAGIC);
    return events;
}

static void
put_event(const struct api *api, struct buf *out)
{
    struct api_performance performance = {.stats = api->options.stats,
                                          .board = api->options.board,
                                          .cache = api->options.cache,
                                          .cache_board = api->options.cache_board,
                                          .now_wall_ms = clock_wall_ms(),
                                          .records_max = RECORDS_MAX};
    struct wire_writer writer;

    buf_put_text(out, "id: ");
    buf_put_u64(out, performance.now_wall_ms);
    buf_put_text(out, "\nevent: performance\ndata: ");
    wire_writer_init(&writer, WIRE_JSON, out);
    api_put_performance(&writer, &performance); /* one line: JSON escapes the others */
    buf_put_text(out, "\n\n");
}

static int
more(void *arg, struct buf *piece)
{
    struct api_events *events = events_cast(arg);
    uint64_t now_ms = clock_mono_ms();

    if (now_ms + events->slice_ms / 2 < events->due_mono_ms) {
        buf_put_text(piece, ": still here\n\n");
        return 0;
    }
    events->due_mono_ms = now_ms + events->every_ms;
    put_event(events->api, piece);
    return 0;
}

static void
on_end(void *arg)
{
    struct api_events *events = events_cast(arg);

    events->api->event_streams--;
    events->magic = 0;
    free(events);
}

/* 0, or the status of a refusal. */
static unsigned
every_read(struct api_call *call, uint32_t *every_s)
{
    char text[16] = "";
    struct bytes value;

    if (http_query_find(call->request->query, "every", &value) != 0) {
        return 0;
    }
    memcpy(text, value.data, value.len < sizeof(text) ? value.len : 0); /* none is so long */
    if (conf_read_seconds("every", text, EVERY_MAX_S, every_s, &call->err) != 0) {
        (void)err_at(&call->err, "every");
        return api_refuse(call, AUGURY_ERR_INVALID);
    }
    return 0;
}

unsigned
api_get_events(struct api_call *call)
{
    struct api *api = call->api;
    struct net_answer *answer = call->answer;
    uint32_t every_s = api->options.conf->events.every_s;
    unsigned status = every_read(call, &every_s);

    if (status != 0) {
        return status;
    }
    answer->content_type = "text/event-stream";
    call->is_coded = true; /* what a coder has not said yet would reach nobody */
    buf_put_text(answer->headers, "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
    if (call->request->method == HTTP_HEAD) {
        answer->has_no_length = true;
        return 200;
    }
    struct api_events *events = NULL;
    if (api->event_streams < api->options.conf->events.streams) {
        events = malloc(sizeof(*events));
    }
    if (events == NULL) {
        return api_refuse_as(call, 503, "too_many_streams",
                             "this worker has as many listeners as it may (events.streams)");
    }
    uint32_t every_ms = every_s * 1000;
    *events = (struct api_events){.magic = EVENTS_MAGIC,
                                  .api = api,
                                  .every_ms = every_ms,
                                  .slice_ms = every_ms / ((every_ms - 1) / HEARTBEAT_MS + 1),
                                  .due_mono_ms = clock_mono_ms() + every_s * 1000ULL};
    api->event_streams++;
    buf_printf(answer->body, "retry: %d\n", RETRY_MS);
    put_event(api, answer->body);
    answer->more = more;
    answer->on_end = on_end;
    answer->more_arg = events;
    answer->more_every_ms = events->slice_ms;
    return 200;
}
