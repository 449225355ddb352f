/* SPDX-License-Identifier: MIT */
/*
 * heritage.h - everything that crosses fork: configuration, listeners, shared memory, the
 * descriptors of pipes and events. Private to app. Process: the master makes it before the first
 * fork and sets slot, number, generation, conf and listeners for each child; a child has its own
 * copy and changes nothing shared but what is its own (its slots, its heartbeat).
 */
#pragma once

#include <sys/types.h>

#include "augury/api_keys.h"
#include "augury/cache.h"
#include "augury/conf.h"
#include "augury/net.h"
#include "augury/predict.h"
#include "augury/proc.h"
#include "augury/stats.h"

enum { HERITAGE_FAILURE_BYTES = 512 };

/* In shared memory, beside stats and the cache's board, which have maps of their own. */
struct heritage_shared {
    struct proc_board board;
    struct net_share share; /* how workers divide the connections of their listeners */
    /* The configuration in force, for the supervisor, which outlives generations; even sequence:
     * complete. */
    _Atomic uint32_t conf_sequence;
    struct conf conf;
    /* Why a child could not start: written by it before it exits, read by the master when it has.
     */
    char failure[HERITAGE_FAILURE_BYTES];
};

/* Texts in PEM of a listener that speaks TLS: listener_tls.c. */
struct listener_tls {
    struct buf certificate, key, client_ca;
    bool is_12_allowed;
};

struct heritage_listener {
    char name[32];
    char address[CONF_PATH_BYTES]; /* as configured: listeners are told apart by it */
    int fd;
    dev_t device; /* of a UNIX socket's name: whether it is still ours */
    ino_t inode;
    struct listener_tls *tls; /* of the generation; NULL: plain */
};

/* What the supervisor writes to the master's command pipe; it may not be allowed to send signals.
 */
enum heritage_command {
    HERITAGE_RELOAD = 'H',
    HERITAGE_STOP_GRACEFULLY = 'Q',
    HERITAGE_STOP_FAST = 'T'
};

struct heritage {
    const struct conf *conf; /* of this child's generation */
    unsigned slot;
    unsigned number; /* which worker of its generation, from 0 */
    uint32_t generation;
    struct heritage_listener listeners[CONF_LISTEN_MAX];
    uint32_t listener_count;

    struct heritage_shared *shared;
    struct stats *stats;
    struct cache_board *cache_board;
    struct net_tickets *tickets;
    struct predict_habits *habits; /* when predictions come back: the supervisor's */
    size_t cache_map_bytes;        /* fixed for the life of the daemon, as is the environment */
    int wake_fd;                   /* eventfd: the cache's rings → supervisor */
    struct api_buckets *buckets;   /* of clients and their keys */
    const struct api_keys *keys;   /* of this child's generation; or NULL */
    int worker_wake_fds
        [PROC_SLOTS]; /* eventfd of each slot: another process has something for it */
    int admin_fd;     /* listening UNIX socket */
    int command_read_fd, command_write_fd; /* supervisor → master */

    struct log log;
    struct proc_title title;
};

/* Maps the shared memory, makes the cache's board, eventfds and command pipe. title and log are
 * left as they are. */
AUGURY_MUST_USE int heritage_setup(struct heritage *heritage, const struct conf *conf,
                                   struct err *err);
void heritage_teardown(struct heritage *heritage);

/* Process: master, and `auguryd -t`. Reads what the listener's options name and tries it; NULL when
 * it speaks no TLS. */
AUGURY_MUST_USE int listener_tls_read(const struct conf_listen *listen,
                                      struct listener_tls **out_tls, struct err *err);
AUGURY_MUST_USE int listener_tls_open(const struct listener_tls *tls,
                                      const struct net_tickets *tickets, struct net_tls **out_tls,
                                      struct err *err);
void listener_tls_free(struct listener_tls **tls);

/* The disk tier as the configuration has it; NULL: none. */
const struct cache_disk_options *heritage_disk(const struct conf *conf,
                                               struct cache_disk_options *room);

/* Process: master. Makes conf the one that the supervisor sees. */
void heritage_conf_put(struct heritage_shared *shared, const struct conf *conf);
/* Process: supervisor. Copies when the sequence differs from *sequence; true when it did. */
bool heritage_conf_get(struct heritage_shared *shared, uint32_t *sequence, struct conf *out_conf);

/* Process: a child that cannot start. Logs, leaves the reason for the master, and returns status.
 */
int heritage_fail(struct heritage *heritage, int status, const char *what, const struct err *err);
/* Process: child. First steps of every child: name, title, rights. */
AUGURY_MUST_USE int heritage_child_begin(struct heritage *heritage, const char *kind,
                                         struct err *err);
void heritage_heartbeat(struct heritage *heritage);
