/* SPDX-License-Identifier: MIT */
/*
 * net_later.c - tickets for answers that come after their turn. A ticket is a number, generation
 * and place in a table, never a pointer: one whose client has gone, or that was answered already,
 * is seen to be void. The table grows to the largest number of requests that ever waited at a time,
 * which the limit of connections bounds, as each waits for one answer at most.
 */
#include "net_server.h"

#include <stdlib.h>
#include <string.h>

enum { LATERS_FIRST = 16 };

struct later_else {
    const char *content_type;
    size_t headers_len, body_len;
    unsigned status;
    uint8_t text[]; /* headers, body */
};

unsigned
later_flags_of(const struct http_request *request)
{
    return (request->method == HTTP_HEAD ? LATER_HEAD : 0U) |
           ((request->flags & HTTP_KEEP_ALIVE) != 0 ? LATER_KEEP_ALIVE : 0U) |
           (request->minor == 0 ? LATER_MINOR_0 : 0U);
}

/* ---- the table ------------------------------------------------------------------------------ */

static int
laters_grow(struct net_server *server)
{
    uint32_t count = server->later_count == 0 ? LATERS_FIRST : server->later_count * 2;
    struct later *laters = realloc(server->laters, count * sizeof(*laters));

    if (laters == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    server->laters = laters;
    for (uint32_t i = count; i-- > server->later_count;) {
        laters[i] = (struct later){.next_free = server->later_free};
        server->later_free = i + 1;
    }
    server->later_count = count;
    return 0;
}

static uint64_t
ticket_of(const struct later *later, uint32_t index)
{
    return (uint64_t)later->generation << 32 | (index + 1);
}

/* NULL: void. */
static struct later *
later_find(struct net_server *server, uint64_t ticket)
{
    uint64_t place = ticket & UINT32_MAX;

    if (place == 0 || place > server->later_count) {
        return NULL;
    }
    struct later *later = &server->laters[place - 1];
    bool is_good = later->conn != NULL && later->generation == ticket >> 32;
    return is_good ? later : NULL;
}

void
later_release(struct net_server *server, uint32_t index)
{
    struct later *later = &server->laters[index];

    if ((later->flags & LATER_SOON) == 0) {
        limiter_wait_end(server, &later->asked.client);
    }
    later->conn = NULL;
    free(later->instead);
    later->instead = NULL;
    later->next_free = server->later_free;
    server->later_free = index + 1;
}

/* Ends the wait with what is in server->late_answer. */
static void
later_answer(struct net_server *server, uint32_t index)
{
    struct conn *conn = server->laters[index].conn;
    unsigned flags = server->laters[index].flags;
    unsigned held = server->laters[index].held;

    note_answer_if(server, &server->laters[index].asked, &server->late_answer);
    later_release(server, index);
    if (held != 0) {
        soon_put(server, held, flags);
    } else {
        conn_answer_late(conn, flags);
    }
}

static struct net_answer *
late_answer_begin(struct net_server *server)
{
    server->late_answer = (struct net_answer){
        .status = 200,
        .content_type = "application/json",
        .headers = &server->late_headers,
        .body = &server->late_body,
    };
    buf_reset(&server->late_headers);
    buf_reset(&server->late_body);
    return &server->late_answer;
}

void
net_later_else(struct net_server *server, uint64_t ticket, const struct net_answer *answer)
{
    struct later *later = later_find(server, ticket);
    struct bytes body = answer->ready.data != NULL ? answer->ready : buf_view(answer->body);
    size_t headers_len = answer->headers->len;
    struct later_else *instead =
        later != NULL ? malloc(sizeof(*instead) + headers_len + body.len) : NULL;

    if (instead == NULL) {
        return;
    }
    *instead = (struct later_else){.content_type = answer->content_type,
                                   .status = answer->status,
                                   .headers_len = headers_len,
                                   .body_len = body.len};
    if (headers_len > 0) {
        memcpy(instead->text, answer->headers->data, headers_len);
    }
    if (body.len > 0) {
        memcpy(instead->text + headers_len, body.data, body.len);
    }
    free(later->instead);
    later->instead = instead;
}

void
later_expire(struct net_server *server, uint32_t index)
{
    struct net_answer *answer = late_answer_begin(server);
    const struct later_else *instead = server->laters[index].instead;

    stats_add(server->stats, STATS_HTTP_LATE_TIMEOUT, 1);
    if (instead != NULL) {
        stats_add(server->stats, STATS_HTTP_OVER_STALE, 1);
        answer->status = instead->status;
        answer->content_type = instead->content_type;
        buf_put(answer->headers, instead->text, instead->headers_len);
        buf_put(answer->body, instead->text + instead->headers_len, instead->body_len);
        later_answer(server, index);
        return;
    }
    answer->status = 504;
    buf_put_text(
        answer->body,
        "{\"error\":\"the answer did not come in time\",\"code\":\"timeout\",\"at\":\"\"}");
    later_answer(server, index);
}

/* ---- times of their own --------------------------------------------------------------------- */

/* The wheel is too coarse for what a client counts in milliseconds. */
static void
later_arm(struct net_server *server, uint64_t until_ms)
{
    if (server->later_due_ms != 0 && server->later_due_ms <= until_ms) {
        return;
    }
    uint64_t now_ms = server_now_ms(server);
    uint64_t wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    struct timeval wait = net_timeval_of_ms(wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX);

    server->later_due_ms = until_ms;
    event_add(&server->later_due, &wait);
}

static void
on_later_due(evutil_socket_t fd, short what, void *arg)
{
    struct net_server *server = arg;
    uint64_t next_ms = UINT64_MAX;

    (void)fd;
    (void)what;
    server_turn(server);
    net_loop_turn(server->loop);
    uint64_t now_ms = server_now_ms(server);
    server->later_due_ms = 0;
    for (uint32_t i = 0; i < server->later_count; i++) {
        const struct later *later = &server->laters[i];
        if (later->conn == NULL || !later->is_timed) {
            continue;
        }
        if (later->until_ms <= now_ms) {
            later_expire(server, i);
        } else if (later->until_ms < next_ms) {
            next_ms = later->until_ms;
        }
    }
    if (next_ms != UINT64_MAX) {
        later_arm(server, next_ms);
    }
}

int
laters_init(struct net_server *server)
{
    return event_assign(&server->later_due, server->loop->base, -1, 0, on_later_due, server);
}

void
laters_fini(struct net_server *server)
{
    event_del(&server->later_due);
    free(server->laters);
    server->laters = NULL;
}

/* ---- handlers ------------------------------------------------------------------------------- */

uint64_t
net_answer_later(struct net_server *server)
{
    return net_answer_later_by(server, UINT64_MAX);
}

uint64_t
net_answer_later_by(struct net_server *server, uint64_t deadline_mono_ns)
{
    AUGURY_ASSERT(server->asking != NULL);
    if (server->later_free == 0 && laters_grow(server) != 0) {
        return 0;
    }
    uint32_t index = server->later_free - 1;
    struct later *later = &server->laters[index];
    bool is_first = conn_wait_later(server->asking, index);
    AUGURY_ASSERT(is_first);
    server->later_free = later->next_free;
    later->conn = server->asking;
    later->generation++;
    later->flags = later_flags_of(&server->request);
    later->held = 0;
    later->asked = server->asked;
    later->until_ms = server_now_ms(server) + server->limits.answer_timeout_ms;
    /* Rounded up: an answer that comes just in time is in time. */
    uint64_t own_ms = deadline_mono_ns / 1000000 + 1;
    later->is_timed = own_ms < later->until_ms;
    if (later->is_timed) {
        later->until_ms = own_ms;
        later_arm(server, own_ms);
    }
    limiter_wait_begin(server, &server->asked.client);
    return ticket_of(later, index);
}

struct net_answer *
net_later_begin(struct net_server *server, uint64_t ticket)
{
    struct later *later = later_find(server, ticket);

    AUGURY_ASSERT(server->later_ticket == 0);
    if (later == NULL) {
        stats_add(server->stats, STATS_HTTP_LATE_GONE, 1);
        return NULL;
    }
    AUGURY_ASSERT(later->conn != server->asking);
    server->later_ticket = ticket;
    return late_answer_begin(server);
}

void
net_later_end(struct net_server *server, uint64_t ticket)
{
    AUGURY_ASSERT(server->later_ticket == ticket);
    server->later_ticket = 0;
    stats_add(server->stats, STATS_HTTP_LATE_ANSWERED, 1);
    server_turn(server);
    later_answer(server, (uint32_t)(ticket & UINT32_MAX) - 1);
}
