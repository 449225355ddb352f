/* SPDX-License-Identifier: MIT */
/*
 * net_conn.h - one HTTP connection, shared by net_conn.c, which decodes and answers, and
 * net_conn_io.c, which receives, sends, waits and closes. Private to these two.
 */
#pragma once

#include "net_server.h"
#include "net_tls.h"

enum { CONN_MAGIC = 0x434f4e4e };

enum conn_state {
    CONN_HEAD,   /* in: a part of a head, or nothing */
    CONN_BODY,   /* in: the head and a part of its body, of need bytes together */
    CONN_CHUNKS, /* in: the head, of need bytes; what has been decoded is in chunked */
    /* These answer no request: */
    CONN_LATER,  /* in: what follows the request whose answer is to come */
    CONN_STREAM, /* in: what follows the request whose answer is being made and sent in pieces */
    CONN_SOCKET, /* speaks WebSocket; in: frames that no turn got to */
    CONN_LINGER, /* all is sent and the sending side shut; what comes is dropped */
    CONN_PROXY,  /* in: a part of the header by which a proxy names its client */
};

enum conn_wait {
    WAIT_FIRST,
    WAIT_IDLE,
    WAIT_HEAD,
    WAIT_BODY,
    WAIT_ANSWER,
    WAIT_SEND,
    WAIT_LINGER,
    WAIT_STREAM, /* for the time of the next piece */
    WAIT_SOCKET  /* the socket knows for what */
};

/* A chunked body that did not arrive in one read. */
struct chunked {
    struct http_chunks chunks;
    struct buf body;
};

/* What is left over between turns. */
struct conn_io {
    struct buf in;   /* received, and not decoded yet */
    struct buf out;  /* to be sent when the socket takes more */
    size_t out_sent; /* bytes of out that are gone */
};

struct conn {
    uint32_t magic;
    int fd;
    struct listener *listener;
    struct net_server *server;
    struct net_list all;
    struct net_list ready;
    struct net_deadline deadline;
    /* An idle connection has the one empty object of all, which nobody can write to. */
    struct conn_io *io;
    size_t seen; /* CONN_HEAD: bytes of in that were parsed in vain; CONN_LATER: its place */
    size_t need; /* CONN_LINGER: bytes dropped */
    struct chunked *chunked;
    struct conn_stream *stream; /* of CONN_STREAM: net_stream.c */
    struct net_socket *socket;  /* or NULL: it speaks HTTP */
    struct tls_session *tls;    /* or NULL: plain */
    uint8_t state;              /* enum conn_state */
    uint8_t wait;               /* enum conn_wait: which deadline runs */
    short armed;                /* EV_READ, EV_WRITE or 0 */
    bool is_closing;            /* the last answer is written or being sent */
    bool is_lingering;          /* the client may still be sending */
    bool has_answered;          /* in this turn: the deadline begins anew */
    bool has_more;   /* more has arrived than the last read took, and the socket is silent of it */
    bool reads_next; /* on the ready list to read, not to answer what is in */
    bool names_clients; /* headers of its requests say who they are from */
    uint16_t client_port;
    struct ip_address client; /* who is at the other end, or who a proxy there said it is */
    struct net_client_key counted_client; /* that one, where clients are counted */
    size_t counted_bytes;                 /* of its buffers, in the limiter */
    struct event event;
};
_Static_assert(sizeof(struct conn) <= 224 + sizeof(struct event), "idle connections are cheap");

struct conn *conn_cast(void *arg);
void conn_chunked_free(struct chunked **chunked);
/* Memory for what is left over; the other two give back what is empty, and what has been received
 * in any case. */
AUGURY_MUST_USE int conn_io_take(struct conn *conn);
void conn_io_drop(struct conn *conn);
void conn_input_drop(struct conn *conn);
void conn_io_init(struct conn *conn);
void conn_close(struct conn *conn);
/* Sets the one deadline that runs. */
void conn_wait(struct conn *conn, enum conn_wait wait, uint32_t timeout_ms);
/* Waits for EV_READ, for EV_WRITE, or for nothing (0): conn_event() is called. */
void conn_arm(struct conn *conn, short what);
/* All is sent. A client that may still be sending is given time to read the answer: closing a
 * socket with unread input would reset the connection and throw the answer away (RFC 9112 9.6). */
void conn_finish(struct conn *conn);
void conn_linger(struct conn *conn);
/* Something comes while an answer is to come, and stays where it is; a reset ends the wait. The end
 * of what the client sends does not: it may well wait for its answer. */
void conn_peek(struct conn *conn);
/* Keeps what a turn did not use of its input. */
AUGURY_MUST_USE int conn_keep(struct conn *conn, struct bytes input, size_t used);
/* Sends the turn's output, or a late answer. False: the connection is gone. Afterwards io->out
 * has what was not taken. */
bool conn_send(struct conn *conn, struct buf *out);
/* Whole requests wait in io->in: the next turn answers them. */
void conn_mark_ready(struct conn *conn);
/* Waits for what the client sends; the rest of what it has sent is read in the next turn. */
void conn_expect_input(struct conn *conn);
/* Goes on when what was answered has been sent: an answer that is to come, what has been read, or
 * what will be. */
void conn_go_on(struct conn *conn);
void conn_wait_send(struct conn *conn);
/* The socket takes bytes again. */
void conn_flush(struct conn *conn);
/* The first look at who connected: net_client.c. False: the connection is not wanted. */
bool conn_meet(struct conn *conn, const struct sockaddr *address);
/* Once the client is known; a proxy that names clients is none itself. False: it has too many
 * connections. */
bool conn_count_client(struct conn *conn);
void conn_refuse_client(struct conn *conn);
/* CONN_PROXY: bytes of a proxy's header have come. */
void conn_read_proxy(struct conn *conn);
/* Whom the request at hand is from, by its headers. */
struct ip_address conn_client_behind(const struct conn *conn);
/* As recv(2), into the server's scratch memory. */
ssize_t conn_receive(struct conn *conn);
/* ---- net_stream.c --------------------------------------------------------------------------- */

/* Takes over answer->more and what belongs to it. False: no memory, and it has been given back. */
bool stream_begin(struct conn *conn, struct net_answer *answer, unsigned flags);
/* Appends the first piece as those flags (enum answer_flags) say. */
void stream_put_first(struct buf *out, struct bytes piece, unsigned flags);
/* The answer goes out otherwise, or not at all. */
void stream_drop(struct net_answer *answer);
/* All of it at once, into answer->body, where no stream can be. */
AUGURY_MUST_USE int stream_whole(struct net_answer *answer);
/* The next piece in the next turn of the loop; and that turn. */
void stream_soon(struct conn *conn);
void stream_next(struct conn *conn);
void stream_end(struct conn *conn);

/* The next turn goes on with the connection. */
void conn_call_next_turn(struct conn *conn);
/* It takes more memory than it may: told so if that can be sent, else cut. */
void conn_refuse_bytes(struct conn *conn, enum net_bytes over);

/* ---- net_websocket.c: a connection with a socket --------------------------------------------- */

/* The handler has taken it over: the answer with status 101 goes to server->out. */
void socket_begin(struct conn *conn, const struct net_answer *answer);
/* Memory of the message that it has got in part; 0 where there is no socket. */
size_t socket_bytes(const struct conn *conn);
/* One turn over what has been read. */
void socket_process(struct conn *conn, struct bytes input);
/* All is sent. */
void socket_go_on(struct conn *conn);
void socket_expire(struct conn *conn);
/* Says that the server goes away; the connection stays until that is sent. */
void socket_drain(struct conn *conn);
/* The end of conn->socket, if there is one. */
void socket_free(struct conn *conn);

/* The socket can do what conn_arm() waits for: net_conn.c. */
void conn_event(evutil_socket_t fd, short what, void *arg);
