/* SPDX-License-Identifier: MIT */
/*
 * net_server.h - one HTTP server on one loop: its listeners, its connections, and the buffers all
 * of them share, because only one of them is at work at a time. Private to net: net_server.c
 * accepts, drains and counts, net_conn*.c reads, decodes and sends, net_answer.c writes heads.
 */
#pragma once

#include "net_limit.h"
#include "net_loop.h"
#include "net_wheel.h"

#include <netinet/in.h>

enum {
    SCRATCH_BYTES = 128 * 1024,  /* most that one turn reads from one connection */
    TURN_OUT_BYTES = 256 * 1024, /* a turn answers no further request beyond this */
    TURN_REQUESTS = 256,         /* nor more than these */
    TURN_TIMED_ONE_IN = 16,
    ANSWER_BODY_MAX = 256 * 1024 * 1024, /* a larger answer becomes status 500 */
    ANSWER_HEADERS_MAX = 64 * 1024,
    KEEP_BYTES = 1024 * 1024,        /* shared buffers above this are given back after the turn */
    LINGER_MS = 5000,                /* how long a client may take to read a refusal */
    LINGER_BYTES = 64 * 1024 * 1024, /* and what it may still send meanwhile */
    REFUSED_MAX = 64,                /* connections over the limit that may linger at a time */
    DRAIN_IDLE_MS = 1000,
    SERVER_LINES_MAX = 128,
    ID_PREFIX_BYTES = 13,
    SOON_HEAD_BYTES = 128, /* of a pipelined request, as a guess */
};

struct listener {
    uint32_t magic;
    struct net_list link;
    struct net_server *server;
    int fd;
    unsigned index;
    const struct net_tls *tls;         /* or NULL */
    const struct ip_networks *trusted; /* or NULL */
    enum http_forwarded forwarded;
    bool has_proxy_protocol;
    uint32_t queue; /* connections that wait in it at most */
    char name[48];
    bool has_waited; /* after a pause one connection is taken whatever the share */
    struct event event;
    struct event resume; /* ends a pause in accepting */
};

/* What is to be said of a request when its answer is there. */
struct asked {
    const char *listener;
    struct ip_address client;
    uint64_t begin_ns; /* 0: its time is not taken */
};

/* A request whose answer comes later; conn NULL: free, and next_free goes on. */
struct later {
    struct conn *conn;
    uint64_t until_ms;
    uint32_t generation;        /* of the ticket: one more each time the place is given out */
    uint32_t next_free;         /* index + 1, or 0 */
    unsigned flags;             /* enum later_flags */
    unsigned held;              /* number of its place in the turn's output, or 0 */
    struct later_else *instead; /* of 504, or NULL */
    bool is_timed;              /* until_ms is its own, not that of the connection on the wheel */
    struct asked asked;
};

struct net_server {
    uint32_t magic;
    struct net_loop *loop;
    struct net_limits limits;
    net_handler_fn *handler;
    void *handler_arg;
    void (*on_turn_end)(void *arg); /* or NULL */
    void (*on_soon)(void *arg);     /* or NULL */
    struct stats_slot *stats;
    struct log *log;
    struct net_share *share; /* or NULL */
    unsigned share_slot;

    struct net_limiter limiter;
    struct net_list listeners;
    struct net_list connections; /* struct conn.all */
    struct net_list ready;       /* struct conn.ready: have input that this turn did not get to */
    size_t connection_count;
    struct net_wheel wheel;
    struct event tick;      /* turns the wheel, while there are connections */
    struct event next_turn; /* ready connections, the end of a drain */
    int reserve_fd;         /* given up for a moment when descriptors run out */

    bool is_draining;
    void (*on_drained)(void *arg);
    void *on_drained_arg;
    struct event drain_limit;

    /* Shared by all connections, in use within one turn of one of them. */
    uint8_t *scratch;
    struct buf out;
    struct buf answer_headers, answer_body;
    struct buf chunked_body;
    struct http_request request;
    uint8_t *lists;      /* fields of it that came in several lines; behind scratch */
    struct conn *asking; /* whose request the handler has; NULL between handlers */
    bool is_messaging;   /* a socket's owner has a message of this turn */
    struct asked asked;  /* of that request */

    bool gives_ids;
    uint64_t id_count;
    char id_text[ID_PREFIX_BYTES + U64_TEXT_MAX + 1];
    uint64_t slow_ns;      /* 0: the log does not tell of slow requests */
    struct conn *heard;    /* whose messages a turn goes through, or NULL */
    struct frames *frames; /* spare decoder of messages, or NULL */
    size_t socket_count;

    /* Late answers have buffers of their own, as they may be given while a handler is at work. */
    struct later *laters;
    struct event later_due; /* the earliest of those that have a time of their own */
    uint64_t later_due_ms;  /* when that is; 0: there is none */
    uint32_t later_count;   /* places, most of them free */
    uint32_t later_free;    /* index + 1 of the first free one, or 0 */
    uint64_t later_ticket;  /* between net_later_begin and net_later_end */
    struct net_answer late_answer;
    struct buf late_out, late_headers, late_body;

    /* Answers at the end of a turn of the loop: net_soon.c. */
    struct event soon;
    bool is_soon_due;
    struct bytes input;  /* of the connection that is being read */
    struct conn *holder; /* whose pipelined requests are held */
    struct held *held;   /* TURN_REQUESTS, or NULL until the first */
    unsigned held_count;
    struct buf held_answers, held_out;

    unsigned turn_count;     /* one in TURN_TIMED_ONE_IN is timed */
    uint64_t wall_offset_ms; /* wall clock less monotonic clock, of this second */
    uint64_t date_until_ms;  /* monotonic: when lines are due again */
    bool has_nosniff;
    uint8_t lines_len;
    char lines[SERVER_LINES_MAX + 1]; /* "Date: …\r\nServer: augury\r\n", and what else all say */
};

/* First thing of every callback: takes the time and, once a second, writes the date. */
void server_turn(struct net_server *server);
uint64_t server_now_ms(const struct net_server *server);
/* One connection more, or less; the last one of a drain ends it. */
void server_remember(struct net_server *server);
void server_forget(struct net_server *server);
void server_call_next_turn(struct net_server *server);

/* ---- net_share.c ---------------------------------------------------------------------------- */

/* Tells the others how many connections there are, or that this server accepts none. */
void share_put(const struct net_server *server);
void share_leave(const struct net_server *server);
/* Whether another worker should take the next connection. */
bool share_is_over(const struct net_server *server);

/* ---- net_answer.c --------------------------------------------------------------------------- */

enum answer_flags {
    ANSWER_CLOSE = 1 << 0,       /* says Connection: close */
    ANSWER_KEEP_ALIVE = 1 << 1,  /* says Connection: keep-alive, for HTTP/1.0 */
    ANSWER_HEAD = 1 << 2,        /* to HEAD: no body */
    ANSWER_CHUNKED = 1 << 3,     /* body is the first piece of one in chunked coding */
    ANSWER_UNTIL_CLOSE = 1 << 4, /* body is the first piece of one that ends with the connection */
};

/* Appends a whole answer to out and counts its status. */
void answer_put(struct net_server *server, struct buf *out, const struct net_answer *answer,
                unsigned flags);
/* An answer beyond its bounds becomes status 500, one that there was no memory for 503. */
void answer_check(struct net_answer *answer);
/* Appends a refusal as JSON with Connection: close to server->out, and counts it. */
void answer_put_refusal(struct net_server *server, const struct http_refusal *refusal);

/* ---- net_note.c ----------------------------------------------------------------------------- */

void note_init(struct net_server *server);
/* The request at hand gets an id of ours unless the client's is a good one. */
void note_id(struct net_server *server);
/* Tells the log of an answer, if it is one that the log is to know of. */
void note_answer(const struct net_server *server, const struct asked *asked,
                 const struct net_answer *answer);
static inline void
note_answer_if(const struct net_server *server, const struct asked *asked,
               const struct net_answer *answer)
{
    if (answer->status >= 400 || server->slow_ns != 0) {
        note_answer(server, asked, answer);
    }
}

/* ---- net_later.c ---------------------------------------------------------------------------- */

/* What has to be known of a request when its answer comes. */
enum later_flags {
    LATER_HEAD = 1 << 0,       /* its method */
    LATER_KEEP_ALIVE = 1 << 1, /* the client would go on */
    LATER_MINOR_0 = 1 << 2,    /* HTTP/1.0 */
    LATER_SOON = 1 << 3,       /* answered at the end of the turn: net_soon.c */
};
unsigned later_flags_of(const struct http_request *request);
/* The events of the table; they end with laters_fini(). */
int laters_init(struct net_server *server);
void laters_fini(struct net_server *server);
/* Voids the ticket of that place. */
void later_release(struct net_server *server, uint32_t index);
/* 504 for a client that has waited too long; its connection goes on. */
void later_expire(struct net_server *server, uint32_t index);

/* ---- net_soon.c ----------------------------------------------------------------------------- */

void on_soon(evutil_socket_t fd, short what, void *arg);
/* The connection waits for a ticket. True: its place in server->out is held, and what follows may
 * be handled meanwhile; soon_finish() is due. */
bool soon_hold(struct conn *conn, bool has_more);
/* server->late_answer is the answer of that held place; flags: enum later_flags. */
void soon_put(struct net_server *server, unsigned held_number, unsigned flags);
/* Has all held places answered, and makes server->out whole. */
void soon_finish(struct net_server *server);

/* ---- net_conn.c ----------------------------------------------------------------------------- */

/* Gives memory back that one large exchange took. */
void server_trim(struct net_server *server);
/* Appends an answer. False: the connection ends with it. */
bool conn_put_answer(struct conn *conn, struct buf *out, struct net_answer *answer,
                     unsigned request);
/* Takes over fd, also on failure. */
void conn_open(struct listener *listener, int fd, const struct sockaddr *address);
/* The same for a connection over the limit: answers 503, or 429, lingers if it may. */
void conn_open_refused(struct listener *listener, int fd, bool may_linger);
void conn_expire(struct net_server *server, struct net_deadline *deadline);
/* The connection whose handler is at work waits for the answer under that place. False: it does
 * already. */
bool conn_wait_later(struct conn *conn, uint32_t index);
/* Sends server->late_answer as the answer of a request with those flags (enum later_flags); the
 * connection may be gone afterwards. */
void conn_answer_late(struct conn *conn, unsigned flags);
void conn_resume_ready(struct net_server *server);
void conn_drain_all(struct net_server *server, uint32_t idle_ms);
void conn_close_all(struct net_server *server);
