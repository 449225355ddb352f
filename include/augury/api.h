/* SPDX-License-Identifier: MIT */
/*
 * api.h - the HTTP interface and the verbs that it shares with the admin socket and the command
 * line: one file a resource.
 * Room: api (floor 4, uses predict, model, cache, net, wire, stats, proc, seal, conf, base).
 * Process: worker (api_handle), supervisor and cli (verbs).
 */
#pragma once

#include "augury/api_keys.h"
#include "augury/cache_redis.h"
#include "augury/conf.h"
#include "augury/net.h"
#include "augury/predict.h"
#include "augury/proc.h"
#include "augury/seal.h"

struct api;
struct api_options {
    const struct conf *conf;
    const struct cache_board *cache_board; /* or NULL */
    struct predict_context *predict;
    struct cache *cache;       /* of rendered answers and objects; NULL: none */
    struct cache_redis *redis; /* NULL: none */
    const struct stats *stats; /* the whole board */
    struct stats_slot *slot;   /* this worker's */
    const struct proc_board *board;
    struct net_server *const *server; /* for the cached clock; may point at NULL in tests */
    struct net_loop *loop;            /* NULL: no call waits for what another process makes */
    const struct api_keys *keys;      /* of clients; NULL: there are none */
    struct api_buckets
        *buckets; /* of keys and clients with a rate; NULL: there are none of either */
    int wake_fd;  /* eventfd of this worker, or -1: whoever writes it gets api_wake() called */
};
AUGURY_MUST_USE int api_new(const struct api_options *options, struct api **out_api,
                            struct err *err);
void api_free(struct api **api);
/* A net_handler_fn: routes by one const table; every error is {"error","code","at"}. arg: struct
 * api. */
void api_handle(void *arg, const struct http_request *request, struct bytes body,
                const struct net_peer *peer, struct net_answer *answer);
/* Ends what the requests of one turn share: net calls it (on_turn_end), as does whoever calls
 * api_handle() himself. arg: struct api. */
void api_turn_end(void *arg);
/* Answers the calls whose rows wait for one another: net_server_options.on_soon. */
void api_soon(void *arg);
/* Takes what other processes and threads have for this worker: results of orders to the cache's
 * keeper, fetched objects. From the loop, not from within api_handle(). */
void api_wake(struct api *api);

/* ---- documents that more than one door shows ------------------------------------------------- */

/* Each writes one whole document. */
struct api_status {
    const struct conf *conf;
    const struct proc_board *board;
    const struct stats *stats;
    const struct cache_board *cache_board; /* or NULL */
    uint64_t now_wall_ms;
};
void api_put_status(struct wire_writer *writer, const struct api_status *status);
void api_put_workers(struct wire_writer *writer, const struct proc_board *board,
                     uint64_t now_mono_ms);
void api_put_stats(struct wire_writer *writer, const struct stats *stats);
struct api_performance {
    const struct stats *stats;
    const struct proc_board *board;
    const struct cache *cache;             /* for what predictions cost; or NULL */
    const struct cache_board *cache_board; /* or NULL: nothing is known of the cache's size */
    uint64_t now_wall_ms;
    uint32_t records_max; /* of the controller's history */
};
void api_put_performance(struct wire_writer *writer, const struct api_performance *performance);
/* What the controller of the cache's size saw and did; null when nothing is known. */
void api_put_controller(struct wire_writer *writer, const struct cache_board *board,
                        uint32_t records_max);
/* An object as its entry in the cache has it. false: no object's value. Borrowed. */
struct api_object_view {
    struct bytes type, content;
};
bool api_object_view(struct bytes stored, struct api_object_view *out_view);
AUGURY_MUST_USE int api_put_cache(struct wire_writer *writer, struct cache *cache,
                                  const struct stats *stats);

/* What has been computed for a version before it is used. */
struct api_warmth {
    uint64_t rows, of_rows;
    uint64_t took_ms;
    const char *why;     /* not all, or nothing, was computed; NULL: all was */
    const char *warning; /* of the import that it belongs to, or NULL */
};
struct api_use;

/* What the verbs of `model` work on. */
struct api_verbs {
    struct registry *registry;
    const struct conf *conf; /* keys, and whether a signature is wanted */
    uint64_t now_wall_ms;
    const struct api_warmth *warmth; /* told by `use`; NULL: nothing is told */
    /* Of `import --use`: set to what is to be used, which the caller does; no document is written
     * then. NULL: the label moves with the import. */
    struct api_use *use_later;
};
/* The words of `model use`, argv[0] being "use". */
struct api_use {
    char name[MODEL_NAME_MAX + 1];
    char label[MODEL_LABEL_MAX + 1];
    uint32_t version;
    bool is_cold;        /* --no-warm */
    const char *warning; /* of its import, or NULL */
};
AUGURY_MUST_USE int api_model_use_words(int argc, const char *const *argv, struct api_use *out_use,
                                        struct err *err);
/* `model VERB ARGS…` for the admin socket and the command line alike: import, list, use, show,
 * unload, verify; calibrate, which reads files of many rows, for the command line alone. argv[0] is
 * the verb. Writes one document on success. */
AUGURY_MUST_USE int api_model_verb(const struct api_verbs *verbs, int argc, const char *const *argv,
                                   struct wire_writer *writer, struct err *err);
const char *api_model_verb_help(void);
/* "name@selector" in its parts; the selector may be empty. */
void api_split_name(struct bytes text, struct bytes *out_name, struct bytes *out_selector);
/* A whole regular file, at most max_bytes; never waits for a pipe. AUGURY_ERR_IO,
 * AUGURY_ERR_DENIED, AUGURY_ERR_LIMIT; err names it. out: initialised, empty. */
AUGURY_MUST_USE int api_read_file(const char *path, size_t max_bytes, struct buf *out_text,
                                  struct err *err);
/* The same of a file that is believed: proc_check_trust() or proc_check_secret() looks at it. */
enum api_read_trust {
    API_READ_ANY,
    API_READ_TRUSTED,
    API_READ_KEY,
    API_READ_CONFIDENTIAL, /* as API_READ_KEY, and not open to everybody */
    API_READ_SECRET
};
AUGURY_MUST_USE int api_read_checked(const char *path, size_t max_bytes, enum api_read_trust trust,
                                     struct buf *out_text, struct err *err);
/* seal_manifest_read(), with the file in the place of an error. */
AUGURY_MUST_USE int api_manifest_read(const char *path, struct bytes text,
                                      struct seal_manifest *out_manifest, struct err *err);
/* Whether the folder models.keys is in order: keys that can be read, and that nobody else could
 * have written. */
AUGURY_MUST_USE int api_keys_check(const struct conf *conf, struct err *err);
