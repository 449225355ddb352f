/* SPDX-License-Identifier: MIT */
/*
 * net_note.c - what is said of single requests: an id for those that come without one, and lines of
 * the log about those that were refused or took long. Both are off unless somebody wants them.
 */
#include "net_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

enum { REFUSED_FROM = 400, NS_A_US = 1000 };

/* Half of an id stands for this process, drawn at its start; the rest is counted. */
void
note_init(struct net_server *server)
{
    uint8_t drawn[6];

    if (getrandom(drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn)) {
        uint64_t now_ns = clock_mono_ns();
        memcpy(drawn, &now_ns, sizeof(drawn));
    }
    snprintf(server->id_text, sizeof(server->id_text), "%02x%02x%02x%02x%02x%02x-", drawn[0],
             drawn[1], drawn[2], drawn[3], drawn[4], drawn[5]);
}

void
note_id(struct net_server *server)
{
    struct http_request *request = &server->request;

    if (http_id_is_plain(request->request_id)) {
        return;
    }
    size_t len = u64_to_text(++server->id_count, server->id_text + ID_PREFIX_BYTES);
    request->request_id = bytes_of(server->id_text, ID_PREFIX_BYTES + len);
}

void
note_answer(const struct net_server *server, const struct asked *asked,
            const struct net_answer *answer)
{
    uint64_t took_ns = asked->begin_ns != 0 ? clock_mono_ns() - asked->begin_ns : 0;
    bool is_slow = server->slow_ns != 0 && took_ns >= server->slow_ns;
    bool is_refused = answer->status >= REFUSED_FROM;
    char client[IP_TEXT_MAX + 1];
    struct bytes id = answer->request_id.len > 0 ? answer->request_id : bytes_of_text("-");

    if (server->log == NULL ||
        (!is_slow && (!is_refused || server->log->level < LOG_LEVEL_DEBUG))) {
        return;
    }
    log_event(server->log, is_slow ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
              is_slow ? "request_slow" : "request_refused",
              "listener=%s client=%s id=%.*s status=%u us=%" PRIu64, asked->listener,
              ip_to_text(&asked->client, client), (int)id.len, (const char *)id.data,
              answer->status, took_ns / NS_A_US);
}
