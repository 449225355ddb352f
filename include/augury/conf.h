/* SPDX-License-Identifier: MIT */
/*
 * conf.h - the configuration file as one const struct, from one table of options.
 * Room: conf (floor 1, uses base). Library: libconfuse, here only. Process: master reads it; children inherit it.
 * The table (conf_options) drives the parser, the check that reports every error with its line, `auguryd -t` and `-T`,
 * the environment overrides, the man page and docs. There is no second default elsewhere.
 */
#pragma once

#include "augury/base.h"

enum { CONF_LISTEN_MAX = 8, CONF_PATH_BYTES = 256 };

/* Where an effective value came from; shown by -T. */
enum conf_origin {
    CONF_FROM_DEFAULT,
    CONF_FROM_FILE,
    CONF_FROM_ENVIRONMENT,
    CONF_FROM_COMMAND_LINE
};

struct conf_listen {
    char name[32];
    char address[CONF_PATH_BYTES]; /* "127.0.0.1:8080", "[::1]:8080", "*:8080" */
    uint32_t backlog;
};

/* One class of cache entries. */
struct conf_cache_class {
    bool is_enabled;
    uint32_t ttl_s;
    uint32_t decimals; /* features are rounded to so many decimals for the key; 255: not at all */
};

struct conf_limits {
    uint32_t header_timeout_ms; /* whole request head, absolute */
    uint32_t body_timeout_ms;   /* whole body, absolute */
    uint32_t send_timeout_ms;
    uint32_t keepalive_timeout_ms;
    uint32_t drain_timeout_ms; /* an old generation is ended after it */
    uint32_t connections;      /* per worker */
    uint32_t headers;          /* count */
    uint64_t head_bytes;
    uint64_t target_bytes;
    uint64_t body_bytes;
    uint64_t request_memory_bytes; /* arena of one request */
    uint32_t json_depth;
    uint32_t rows; /* of one request */
};

struct conf {
    uint32_t workers; /* 0: one a usable CPU */
    char user[64];
    char group[64];
    bool is_daemon;
    char pidfile[CONF_PATH_BYTES];
    struct conf_listen listen[CONF_LISTEN_MAX];
    uint32_t listen_count;
    struct {
        char dir[CONF_PATH_BYTES];
        uint64_t map_bytes;
    } models;
    struct {
        char dir[CONF_PATH_BYTES];
        uint64_t size_bytes; /* quota */
        uint64_t map_bytes;  /* 0: size_bytes × 4 */
        uint64_t ring_bytes; /* of one worker slot */
        struct conf_cache_class prediction;
    } cache;
    struct {
        char socket[CONF_PATH_BYTES];
        char operator_group[64];
    } admin;
    struct {
        char file[CONF_PATH_BYTES];
        char level[16];
    } log;
    struct conf_limits limits;
};

enum conf_type {
    CONF_TEXT,
    CONF_BOOL,
    CONF_U32,
    CONF_U64,
    CONF_SIZE /* "512MiB" */,
    CONF_SECONDS,
    CONF_MS /* "10s", "250ms" */
};

struct conf_option {
    const char *section; /* "" top level, "cache", "cache.prediction", "listen" */
    const char *name;
    enum conf_type type;
    size_t offset; /* in struct conf; in struct conf_listen for section "listen" */
    size_t size;
    const char *default_text;
    uint64_t min, max;
    const char *unit;
    const char *alias; /* a further environment name that users already have, or NULL */
    const char *help;  /* one sentence */
};
extern const struct conf_option conf_options[];
extern const size_t conf_option_count;

struct conf_errors {
    struct err list[32];
    size_t count; /* may exceed the list; the rest is not kept */
};

/* An override from the command line: "cache.size=1GiB" (-o). */
struct conf_source {
    const char *path; /* NULL: defaults only */
    const char *const *overrides;
    size_t override_count;
    char *const *environment; /* environ, or NULL */
};

/* Reads file, environment (AUGURY_CACHE_SIZE, aliases) and overrides, checks every value and reports every error with
 * its place. 0, or AUGURY_ERR_INVALID with at least one error in *out_errors. */
AUGURY_MUST_USE int conf_load(const struct conf_source *source, struct conf **out_conf,
                              struct conf_errors *out_errors);
void conf_free(struct conf **conf);
/* The effective configuration in the file's own syntax, each line with its origin as a comment (-T). */
void conf_put_effective(const struct conf *conf, struct buf *buf);
/* The table as documentation: a markdown table, or mdoc for the man page. */
void conf_put_markdown(struct buf *buf);
void conf_put_mdoc(struct buf *buf);
