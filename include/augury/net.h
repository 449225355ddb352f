/* SPDX-License-Identifier: MIT */
/*
 * net.h - the event loop, listeners, connections, HTTP and WebSocket on them, line servers, watches
 * and timers.
 * Room: net (floor 2, uses base, stats). Libraries: libevent (core), libssl and wslay,
 * here only.
 * Process: worker, supervisor; made after fork.
 * The master uses net_listener_open() alone, which needs no loop.
 * Logs: connection life at debug, refused accepts at warn.
 */
#pragma once

#include <stdatomic.h>

#include "augury/base.h"
#include "augury/http.h"
#include "augury/stats.h"

/* ---- loop ----------------------------------------------------------------------------------- */

struct net_loop;
AUGURY_MUST_USE int net_loop_new(struct net_loop **out_loop, struct err *err);
void net_loop_free(struct net_loop **loop);
AUGURY_MUST_USE int net_loop_run(struct net_loop *loop); /* until net_loop_stop() */
void net_loop_stop(struct net_loop *loop);
uint64_t net_loop_now_ms(const struct net_loop *loop); /* monotonic, as of this turn */

/* Any descriptor; the callback runs in the loop. */
enum net_watch_what { NET_WATCH_READ = 1 << 0, NET_WATCH_WRITE = 1 << 1 };
struct net_watch;
typedef void net_watch_fn(void *arg, int fd, enum net_watch_what what);
AUGURY_MUST_USE int net_watch_new(struct net_loop *loop, int fd, enum net_watch_what what,
                                  net_watch_fn *fn, void *arg, struct net_watch **out_watch);
void net_watch_free(struct net_watch **watch);

struct net_timer;
typedef void net_timer_fn(void *arg);
AUGURY_MUST_USE int net_timer_new(struct net_loop *loop, uint32_t every_ms, net_timer_fn *fn,
                                  void *arg, struct net_timer **out_timer);
void net_timer_free(struct net_timer **timer);

typedef void net_signal_fn(void *arg, int signal_number);
struct net_signal;
AUGURY_MUST_USE int net_signal_new(struct net_loop *loop, int signal_number, net_signal_fn *fn,
                                   void *arg, struct net_signal **out_signal);
void net_signal_free(struct net_signal **signal);

/* ---- listeners: before the fork, without a loop --------------------------------------------- */

/* "127.0.0.1:8080", "[::1]:8080", "*:8080", port 0 for any. Non-blocking, close-on-exec,
 * TCP_NODELAY inherited by connections. */
AUGURY_MUST_USE int net_listener_open(const char *address, unsigned backlog, int *out_fd,
                                      struct err *err);
/* A UNIX socket with the given mode, made under umask 077; a stale one (nobody answers) is
 * replaced. */
struct net_unix_options {
    const char *path;
    unsigned mode;
    unsigned backlog;
};
AUGURY_MUST_USE int net_unix_listener_open(const struct net_unix_options *options, int *out_fd,
                                           struct err *err);
/* "127.0.0.1:41234" of a bound socket. */
AUGURY_MUST_USE int net_address_of(int fd, char *out_text, size_t out_size);

/* ---- TLS ------------------------------------------------------------------------------------- */

/* Keys of session tickets, in shared memory, zeroed, made before the forks: a session that began
 * with one worker goes on with another. */
struct net_tickets;
size_t net_tickets_bytes(void);
struct net_tickets *net_tickets_attach(void *shared_memory);
/* A new key when the newest is older than 12 h; two older ones still open tickets. Process: one at
 * a time: the master before the first fork, then the supervisor. */
AUGURY_MUST_USE int net_tickets_rotate(struct net_tickets *tickets, uint64_t now_wall_ms);

struct net_tls;
struct net_tls_options {
    struct bytes certificate; /* PEM: the server's, then those between it and a root */
    struct bytes key;         /* PEM, without a password */
    struct bytes client_ca;   /* PEM: who signs clients' certificates; empty: they need none */
    bool is_12_allowed;       /* TLS 1.2 beside 1.3 */
    const struct net_tickets *tickets; /* or NULL: every session begins anew */
};
/* The texts are not needed afterwards. AUGURY_ERR_INVALID ("bad_tls"): which of them, and why. */
AUGURY_MUST_USE int net_tls_new(const struct net_tls_options *options, struct net_tls **out_tls,
                                struct err *err);
void net_tls_free(struct net_tls **tls);

/* ---- HTTP server ---------------------------------------------------------------------------- */

/* Connections that speak WebSocket (RFC 6455). */
struct net_socket_limits {
    size_t message_bytes; /* of one message; 1009 */
    size_t queue_bytes;   /* that wait for a client to take them; 1008 */
    uint32_t ping_ms;     /* a silent client is asked after it */
    uint32_t pong_ms;     /* and has so long to answer */
    /* Origins beside the server's own, separated by spaces or commas; "*": all; NULL: none. */
    const char *origins;
};

struct net_limits {
    struct http_limits http;
    struct net_socket_limits sockets;
    uint32_t header_timeout_ms, body_timeout_ms, send_timeout_ms, keepalive_timeout_ms,
        answer_timeout_ms; /* absolute deadlines, on a timer wheel */
    uint32_t connections;
    /* Each 0: no such limit. Of this server alone, not of all that share its listeners. */
    uint32_t requests;                            /* with an answer to come */
    uint32_t client_connections, client_requests; /* of one client */
    uint64_t buffered_bytes;                      /* of what clients send and take */
    uint64_t client_buffered_bytes;               /* the same of one client */
    uint32_t queue_time_ms, target_lag_ms;        /* net_server_admit() */
};

/* target_lag_ms: some times what requests are found to take by themselves. */
#define NET_TARGET_LAG_AUTO UINT32_MAX

/* What a handler fills. body and headers are empty, growable, and belong to the server. headers:
 * complete lines "Name: value\r\n" beside Date, Content-Type, Content-Length and Connection,
 * which the server writes. */
struct net_answer {
    unsigned status;          /* 200 */
    const char *content_type; /* "application/json" */
    struct buf *headers;
    struct buf *body;
    struct bytes request_id; /* for the log; plain, borrowed until the turn ends */
    struct bytes ready;      /* stands for body when it has data; borrowed until the turn ends */
    bool is_closing;         /* close after this answer */
    bool has_no_length;      /* to HEAD: how long the body of GET would be cannot be said */
    bool is_wanted; /* a refusal that the request asked for: counted with those of clients */
    /* Or NULL: the body is not whole, it goes on with what more() appends to piece, asked for as
     * the client takes it, never within a handler. 0: there is more; AUGURY_END: that was the last;
     * < 0: the connection is cut. on_end() is called once, whatever happens. */
    int (*more)(void *more_arg, struct buf *piece);
    void (*on_end)(void *more_arg);
    void *more_arg;
    /* 0, or how long after one piece the next is asked for; a drain then ends the answer. */
    uint32_t more_every_ms;
};

struct net_peer {
    const char *listener; /* its name */
    unsigned listener_index;
    uint16_t client_port; /* 0: not known */
    struct ip_address client;
    bool is_tls; /* it speaks TLS to us */
};

/* One whole request in, one answer out, within the call or by net_answer_later(). body: decoded,
 * contiguous, borrowed during the call. */
typedef void net_handler_fn(void *arg, const struct http_request *request, struct bytes body,
                            const struct net_peer *peer, struct net_answer *answer);

/* In shared memory, zeroed, made before the forks: lets the workers of one listener divide its
 * connections evenly. Slots are as those of stats. */
enum { NET_SHARE_SLOTS = STATS_SLOTS };
struct net_share {
    _Atomic uint32_t load[NET_SHARE_SLOTS]; /* 0: does not accept; else connections + 1 */
};

struct net_server;
struct net_server_options {
    struct net_loop *loop;
    struct net_limits limits;
    net_handler_fn *handler;
    void *handler_arg;
    /* Or NULL. Called with handler_arg when all requests of one read are answered: what they shared
     * (a snapshot) ends here, before anything is waited for. */
    void (*on_turn_end)(void *arg);
    /* Or NULL. Called with handler_arg when every connection that was readable in this turn of the
     * loop has been read, or all that one had pipelined is handled: it answers all tickets of
     * net_answer_soon(). */
    void (*on_soon)(void *arg);
    struct stats_slot *stats; /* or NULL */
    struct log *log;          /* or NULL */
    bool gives_ids;           /* requests without an id get one, as if the client had sent it */
    uint32_t slow_us;         /* the log tells of requests that take so long; 0: of none */
    struct net_share *share;  /* or NULL: alone on its listeners */
    bool has_nosniff;         /* every answer says X-Content-Type-Options: nosniff */
    unsigned share_slot;
};
AUGURY_MUST_USE int net_server_new(const struct net_server_options *options,
                                   struct net_server **out_server, struct err *err);
void net_server_free(struct net_server **server); /* closes connections */
struct net_listen_options {
    int fd;
    const char *name;          /* copied */
    unsigned index;            /* of struct net_peer */
    const struct net_tls *tls; /* what its connections speak, outliving the server; or NULL */
    /* Whose word on clients counts, outliving the server; NULL: nobody's. */
    const struct ip_networks *trusted;
    enum http_forwarded forwarded; /* the header that they name clients by */
    bool has_proxy_protocol;       /* they do before the first byte; nobody else may connect */
    uint32_t backlog;              /* what the kernel queues; a drain takes as many */
};
/* Serves connections of an inherited listener; the descriptor stays the caller's. */
AUGURY_MUST_USE int net_server_listen(struct net_server *server,
                                      const struct net_listen_options *options, struct err *err);
/* Takes what the kernel has accepted already and then no more, answers what has arrived, closes
 * idle connections, says Connection: close on the rest; on_drained when none is left. limit_ms:
 * connections still open then are cut. */
void net_server_drain(struct net_server *server, uint32_t limit_ms, void (*on_drained)(void *arg),
                      void *arg);
/* Within a handler: the answer comes later, under the ticket returned; what the handler puts into
 * its answer is dropped. Its connection reads nothing meanwhile, and what was pipelined behind the
 * request waits. 0: no memory, so the handler has to answer. After limits.answer_timeout_ms the
 * client gets 504 and the ticket is void. */
uint64_t net_answer_later(struct net_server *server);
/* As net_answer_later(), for an answer that on_soon gives, before the loop waits again: what is
 * pipelined behind the request is handled first. 0: as above, or there is no on_soon. */
uint64_t net_answer_soon(struct net_server *server);
/* Within a handler, about how many requests this turn still has: connections to be read, and what
 * is pipelined behind the one with this body. */
size_t net_server_coming(const struct net_server *server, struct bytes body);
bool net_server_has_behind(const struct net_server *server, struct bytes body); /* the latter */
/* The same with a time of its own for the answer, if that is over earlier. */
uint64_t net_answer_later_by(struct net_server *server, uint64_t deadline_mono_ns);
/* What a ticket gets when its time is over, instead of 504; copied. Without memory it is 504. */
void net_later_else(struct net_server *server, uint64_t ticket, const struct net_answer *answer);
/* The empty answer of that ticket, to be filled before net_later_end() sends it; one at a time.
 * NULL when the ticket is void: the client has gone or was told 504. Also within a handler, for
 * tickets of other requests. */
struct net_answer *net_later_begin(struct net_server *server, uint64_t ticket);
void net_later_end(struct net_server *server, uint64_t ticket);

/* ---- overload: what a handler asks before work that costs more than a refusal ---------------- */

enum net_over {
    NET_OVER_NOTHING,
    NET_OVER_LAG,            /* this turn has as much to do as its target lets it */
    NET_OVER_QUEUE,          /* the request has waited longer than limits.queue_time_ms */
    NET_OVER_REQUESTS,       /* as many as may wait do */
    NET_OVER_CLIENT_REQUESTS /* the same, of this client */
};
/* Whether the request at hand is to be served; what is not is counted. A request whose answer came
 * later is not asked about again. */
enum net_over net_server_admit(struct net_server *server);
/* Since when the request at hand waits for its turn, as far as is known for sure. */
uint64_t net_server_due_mono_ns(const struct net_server *server);

/* ---- WebSocket: connections that stop speaking HTTP ------------------------------------------ */

enum net_message_kind { NET_MESSAGE_TEXT, NET_MESSAGE_BINARY };
enum net_close { /* RFC 6455 7.4.1 */
                 NET_CLOSE_NORMAL = 1000,
                 NET_CLOSE_GOING_AWAY = 1001,
                 NET_CLOSE_PROTOCOL = 1002,
                 NET_CLOSE_NONE = 1005, /* a Close without a code */
                 NET_CLOSE_NOT_UTF8 = 1007,
                 NET_CLOSE_POLICY = 1008,
                 NET_CLOSE_TOO_LARGE = 1009,
                 NET_CLOSE_FAILURE = 1011,
};

struct net_socket;
/* Neither may free the server. */
struct net_socket_ops {
    /* A whole message, borrowed during the call; text is UTF-8. Several may come within a turn;
     * on_turn_end of the server follows them. */
    void (*on_message)(void *state, struct net_socket *socket, enum net_message_kind kind,
                       struct bytes message);
    /* The connection is over, and socket with it: state may be freed. Never from within
     * net_socket_send() or net_socket_close(). */
    void (*on_close)(void *state);
};
/* Within a handler: takes the connection over when its request is a handshake as it must be, of an
 * origin that may ask. 0: the handler answers with status 101, and ops has the word from then on.
 * AUGURY_ERR_INVALID: *out_refusal says with what it should answer; answer->headers has what goes
 * with that, and state is not taken. AUGURY_ERR_NOMEM. */
AUGURY_MUST_USE int net_socket_accept(struct net_server *server, const struct net_socket_ops *ops,
                                      void *state, struct net_answer *answer,
                                      struct http_refusal *out_refusal);
/* One message, copied. In on_message it goes out with the turn; else it is queued, and a client
 * that does not take it in time or lets the queue grow over its limit is cut off. */
void net_socket_send(struct net_socket *socket, enum net_message_kind kind, struct bytes message);
/* Says Close with that code; what comes afterwards is dropped. */
void net_socket_close(struct net_socket *socket, enum net_close code, const char *reason);

size_t net_server_connections(const struct net_server *server);
uint64_t net_server_now_wall_ms(const struct net_server *server); /* cached per turn */

/* ---- line server: the admin socket ---------------------------------------------------------- */

/* One line in, one framed answer out: "OK|ERR <code> <len>\n<body>\n"; empty lines are ignored.
 * Greets with `greeting` (borrowed). Peer's uid, gid and pid by SO_PEERCRED. Lines up to 64 KiB,
 * idle for 60 s, 64 connections. */
struct net_line_peer {
    uint32_t uid, gid;
    int32_t pid;
    uint64_t ticket; /* of this line, for net_line_answer */
};
enum { NET_LINE_LATER = INT32_MIN };
/* Returns the code: 0 OK, else ERR; or NET_LINE_LATER: the answer comes by net_line_answer, and the
 * connection's next line is read after it. */
typedef int net_line_fn(void *arg, const struct net_line_peer *peer, struct bytes line,
                        struct buf *out_body);
struct net_line_server;
AUGURY_MUST_USE int net_line_server_new(struct net_loop *loop, int listen_fd, const char *greeting,
                                        net_line_fn *fn, void *arg,
                                        struct net_line_server **out_server, struct err *err);
/* Answers a line that was put off. When its client has gone, nothing happens. Not from within a
 * net_line_fn. */
void net_line_answer(struct net_line_server *server, uint64_t ticket, int code, struct bytes body);
void net_line_server_free(struct net_line_server **server);
