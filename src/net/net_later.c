/* SPDX-License-Identifier: MIT */
/*
 * net_later.c - tickets for answers that come after their turn. A ticket is a number, generation
 * and place in a table, never a pointer: one whose client has gone, or that was answered already,
 * is seen to be void. The table grows to the largest number of requests that ever waited at a time,
 * which the limit of connections bounds, as each waits for one answer at most.
 */
#include "net_server.h"

#include <stdlib.h>

enum { LATERS_FIRST = 16 };

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

    later->conn = NULL;
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
later_expire(struct net_server *server, uint32_t index)
{
    struct net_answer *answer = late_answer_begin(server);

    stats_add(server->stats, STATS_HTTP_LATE_TIMEOUT, 1);
    answer->status = 504;
    buf_put_text(answer->body,
                 "{\"error\":\"the answer did not come in time\",\"code\":\"timeout\"}");
    later_answer(server, index);
}

/* ---- handlers ------------------------------------------------------------------------------- */

uint64_t
net_answer_later(struct net_server *server)
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
    later->until_ms = server_now_ms(server) + server->limits.answer_timeout_ms;
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
