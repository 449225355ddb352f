/* SPDX-License-Identifier: MIT */
/*
 * net_stream.c - answers whose body comes in pieces. A piece is asked for when the one before it
 * has left for the socket, and one a turn of the loop, so that neither a client that reads slowly
 * nor a long answer takes more memory, or more of the others' time, than a piece. HTTP/1.1 gets
 * them in chunked coding, HTTP/1.0 until the connection closes (RFC 9112 6.3). An answer that has
 * its pieces at intervals (server-sent events) waits for each on the wheel, and ends with a drain.
 * Invariants: (1) what a stream holds is given back once: behind its last piece, or with its
 * connection; (2) a piece is made outside of handlers.
 */
#include "net_conn.h"

#include <stdlib.h>

enum { CHUNK_LINE_MAX = 20 };

struct conn_stream {
    int (*more)(void *arg, struct buf *piece);
    void (*on_end)(void *arg);
    void *arg;
    uint32_t every_ms; /* 0: as the client takes it */
    bool is_chunked;
};

/* ---- pieces ---------------------------------------------------------------------------------- */

/* A chunk of none would be the last one. */
static void
put_piece(struct buf *out, struct bytes piece, bool is_chunked)
{
    if (piece.len == 0) {
        return;
    }
    if (!is_chunked) {
        buf_put_bytes(out, piece);
        return;
    }
    buf_printf(out, "%zx\r\n", piece.len);
    buf_put_bytes(out, piece);
    buf_put(out, "\r\n", 2);
}

void
stream_put_first(struct buf *out, struct bytes piece, unsigned flags)
{
    put_piece(out, piece, (flags & ANSWER_CHUNKED) != 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

void
stream_drop(struct net_answer *answer)
{
    if (answer->more != NULL) {
        answer->on_end(answer->more_arg);
        answer->more = NULL;
    }
}

bool
stream_begin(struct conn *conn, struct net_answer *answer, unsigned flags)
{
    struct conn_stream *stream = malloc(sizeof(*stream));

    if (stream == NULL) {
        stream_drop(answer);
        return false;
    }
    *stream = (struct conn_stream){.more = answer->more,
                                   .on_end = answer->on_end,
                                   .arg = answer->more_arg,
                                   .every_ms = answer->more_every_ms,
                                   .is_chunked = (flags & ANSWER_CHUNKED) != 0};
    answer->more = NULL;
    conn->stream = stream;
    stats_add(conn->server->stats, STATS_HTTP_STREAMS_BEGUN, 1);
    return true;
}

void
stream_end(struct conn *conn)
{
    if (conn->stream != NULL) {
        conn->stream->on_end(conn->stream->arg);
        free(conn->stream);
        conn->stream = NULL;
    }
}

int
stream_whole(struct net_answer *answer)
{
    int rc = answer->more_every_ms > 0 ? AUGURY_END : 0; /* that one has no end: its begin is it */

    while (rc == 0 && buf_finish(answer->body) == 0) {
        rc = answer->more(answer->more_arg, answer->body);
    }
    stream_drop(answer);
    return rc == AUGURY_END ? 0 : rc;
}

void
stream_soon(struct conn *conn)
{
    conn_arm(conn, 0);
    if (conn->stream->every_ms > 0) {
        conn_wait(conn, WAIT_STREAM, conn->stream->every_ms);
        return;
    }
    conn_wait(conn, WAIT_SEND, conn->server->limits.send_timeout_ms);
    if (!net_list_is_linked(&conn->ready)) {
        net_list_add(&conn->server->ready, &conn->ready);
        server_call_next_turn(conn->server);
    }
}

void
stream_next(struct conn *conn)
{
    struct net_server *server = conn->server;
    struct buf *piece = &server->answer_body;
    bool is_chunked = conn->stream->is_chunked;

    buf_reset(&server->out);
    buf_reset(piece);
    bool is_over = conn->stream->every_ms > 0 && server->is_draining;
    int rc = is_over ? AUGURY_END : conn->stream->more(conn->stream->arg, piece);
    if (server->on_turn_end != NULL) {
        server->on_turn_end(server->handler_arg);
    }
    if (rc < 0 || buf_finish(piece) != 0) {
        stats_add(server->stats, STATS_HTTP_STREAMS_CUT, 1);
        conn_close(conn); /* without a last chunk: the client sees that something is missing */
        return;
    }
    put_piece(&server->out, buf_view(piece), is_chunked);
    if (rc == AUGURY_END) {
        if (is_chunked) {
            buf_put_text(&server->out, "0\r\n\r\n");
        }
        stream_end(conn);
        conn->state = CONN_HEAD;
        conn->seen = 0;
        conn->is_closing = conn->is_closing || server->is_draining;
    }
    if (conn_send(conn, &server->out)) {
        enum net_bytes over = limiter_count_bytes(conn);
        if (conn->io->out.len == 0) {
            conn_go_on(conn);
        } else if (over == NET_BYTES_FIT) {
            conn_wait_send(conn);
        } else {
            conn_refuse_bytes(conn, over);
        }
    }
    server_trim(server);
}
