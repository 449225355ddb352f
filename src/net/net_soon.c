/* SPDX-License-Identifier: MIT */
/*
 * net_soon.c - answers that wait for the end of a turn of the loop, so that requests which arrived
 * together can be answered together. Two ways lead there: connections that were readable in one
 * turn each wait for their ticket, as any late answer does, until an event behind all of theirs;
 * and what one connection has pipelined is handled to its end first, the places of the answers that
 * are to come held in the turn's output.
 * Invariants:
 * 1. Tickets are held within conn_process() alone: before it sends, all of them are answered.
 * 2. A connection's answers go out in the order of its requests, whatever order they are given in.
 */
#include "net_conn.h"

#include <stdlib.h>

struct held {
    uint32_t index;    /* of its ticket */
    size_t at;         /* in server->out: what stands before goes before */
    size_t begin, len; /* in server->held_answers */
    bool is_answered;
    bool is_last; /* the connection ends with it */
};

/* ---- tickets --------------------------------------------------------------------------------- */

uint64_t
net_answer_soon(struct net_server *server)
{
    uint64_t ticket = server->on_soon != NULL ? net_answer_later(server) : 0;

    if (ticket == 0) {
        return 0;
    }
    server->laters[(ticket & UINT32_MAX) - 1].flags |= LATER_SOON;
    limiter_wait_end(server, &server->asked.client); /* it does not outlive the turn */
    if (!server->is_soon_due) {
        server->is_soon_due = true;
        event_active(&server->soon, EV_TIMEOUT, 0); /* behind everything that is active now */
    }
    return ticket;
}

/* What stands behind a body in what has been read; of a body that was decoded elsewhere nothing is
 * known. */
static size_t
bytes_behind(const struct net_server *server, struct bytes body)
{
    uintptr_t begin = (uintptr_t)server->input.data;
    uintptr_t end = begin + server->input.len;
    uintptr_t body_end = (uintptr_t)body.data + body.len;

    return body.len > 0 && body_end > begin && body_end < end ? end - body_end : 0;
}

bool
net_server_has_behind(const struct net_server *server, struct bytes body)
{
    return bytes_behind(server, body) > 0;
}

size_t
net_server_coming(const struct net_server *server, struct bytes body)
{
    int active = event_base_get_num_events(server->loop->base, EVENT_BASE_COUNT_ACTIVE);
    size_t coming = active > 0 ? (size_t)active - (server->is_soon_due ? 1 : 0) : 0;
    size_t behind = bytes_behind(server, body);

    return coming + (behind > 0 ? behind / (SOON_HEAD_BYTES + body.len) + 1 : 0);
}

static void
soon_call(struct net_server *server)
{
    server->is_soon_due = false;
    event_del(&server->soon);
    limiter_note_work(server);
    server->on_soon(server->handler_arg);
}

void
on_soon(evutil_socket_t fd, short what, void *arg)
{
    struct net_server *server = arg;

    (void)fd;
    (void)what;
    server_turn(server);
    soon_call(server);
    server_trim(server);
}

/* ---- what one connection has pipelined ------------------------------------------------------- */

bool
soon_hold(struct conn *conn, bool has_more)
{
    struct net_server *server = conn->server;
    struct later *later = &server->laters[conn->seen];

    if ((later->flags & LATER_SOON) == 0 || (!has_more && server->held_count == 0)) {
        return false;
    }
    if (server->held == NULL) {
        server->held = calloc(TURN_REQUESTS, sizeof(*server->held));
    }
    if (server->held == NULL) {
        return false;
    }
    AUGURY_ASSERT(server->held_count < TURN_REQUESTS);
    server->held[server->held_count] =
        (struct held){.index = (uint32_t)conn->seen, .at = server->out.len};
    server->holder = conn;
    later->held = ++server->held_count;
    conn->state = CONN_HEAD;
    conn->seen = 0;
    if ((later->flags & LATER_KEEP_ALIVE) == 0) {
        conn->is_closing = true; /* nothing behind this one is looked at */
    }
    return true;
}

void
soon_put(struct net_server *server, unsigned held_number, unsigned flags)
{
    struct held *held = &server->held[held_number - 1];

    if (server->late_answer.more != NULL && stream_whole(&server->late_answer) != 0) {
        server->held_answers.rc = AUGURY_ERR_NOMEM; /* nothing is sent */
    }
    held->begin = server->held_answers.len;
    held->is_last =
        !conn_put_answer(server->holder, &server->held_answers, &server->late_answer, flags);
    held->len = server->held_answers.len - held->begin;
    held->is_answered = true;
}

static void
put_part(struct buf *out, const struct buf *from, size_t begin, size_t end)
{
    if (end > begin) {
        buf_put(out, from->data + begin, end - begin);
    }
}

/* Both kinds of answers in the order of their requests. */
static void
held_weave(struct net_server *server)
{
    struct buf *out = &server->held_out;
    size_t from = 0;
    bool is_over = false;

    buf_reset(out);
    for (unsigned i = 0; i < server->held_count && !is_over; i++) {
        const struct held *held = &server->held[i];
        AUGURY_ASSERT(held->is_answered);
        put_part(out, &server->out, from, held->at);
        put_part(out, &server->held_answers, held->begin, held->begin + held->len);
        from = held->at;
        is_over = held->is_last;
    }
    if (!is_over) {
        put_part(out, &server->out, from, server->out.len);
    }
}

void
soon_finish(struct net_server *server)
{
    buf_reset(&server->held_answers);
    soon_call(server);
    held_weave(server);
    if (buf_finish(&server->held_answers) != 0 || buf_finish(&server->out) != 0) {
        server->held_out.rc = AUGURY_ERR_NOMEM; /* a part is missing: nothing is sent */
    }
    struct buf woven = server->held_out;
    server->held_out = server->out;
    server->out = woven;
    server->held_count = 0;
    server->holder = NULL;
}
