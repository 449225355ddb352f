/* SPDX-License-Identifier: MIT */
/*
 * conf.h - the configuration file as one const struct, from one table of options.
 * Room: conf (floor 1, uses base). Library: libconfuse, here only. Process: master reads it;
 * children inherit it. The table (conf_options) drives the parser, the check that reports every
 * error with its line, `auguryd -t` and `-T`, the environment overrides, the man page and docs.
 * There is no second default elsewhere.
 */
#pragma once

#include "augury/base.h"

enum { CONF_LISTEN_MAX = 8, CONF_OBJECT_MAX = 16, CONF_DIALECT_MAX = 16, CONF_PATH_BYTES = 256 };

/* Where an effective value came from; shown by -T. */
enum conf_origin {
    CONF_FROM_DEFAULT,
    CONF_FROM_FILE,
    CONF_FROM_ENVIRONMENT,
    CONF_FROM_COMMAND_LINE
};

struct conf_listen {
    char name[32];
    char address[CONF_PATH_BYTES]; /* "127.0.0.1:8080", "[::1]:8080", "*:8080", "unix:/path" */
    uint32_t backlog;
    uint32_t mode; /* of a UNIX socket, as are owner and group */
    char owner[64];
    char group[64];
    struct ip_networks trusted; /* peers whose word on their clients counts */
    char forwarded[16];         /* the header they say it by, or "none" */
    bool has_proxy_protocol;
    uint32_t routes;                       /* what is there for its clients, 1 << enum conf_area */
    char tls_certificate[CONF_PATH_BYTES]; /* empty: no TLS */
    char tls_key[CONF_PATH_BYTES];
    char tls_client_ca[CONF_PATH_BYTES]; /* empty: clients need no certificate */
    char tls_min[8];                     /* "1.2", "1.3" */
};

/* What routes are about, in the order of listen.routes' words. */
enum conf_area {
    CONF_AREA_PREDICT,
    CONF_AREA_OBJECTS,
    CONF_AREA_MODELS,
    CONF_AREA_STATUS,
    CONF_AREA_METRICS,
    CONF_AREA_HEALTH,
    CONF_AREA_DIALECTS,
    CONF_AREA_DOCS,
    CONF_AREA_COUNT
};

/* Objects whose names begin with "NAME/": how long they live, and where missing ones come from. */
struct conf_object {
    char name[64];
    char folder[CONF_PATH_BYTES]; /* "none": what is missing stays missing */
    uint32_t ttl_s;
    uint32_t stale_while_revalidate_s;
    uint32_t stale_if_error_s;
    uint32_t negative_ttl_s; /* how long "there is no such file" holds */
    char content_type[104];  /* "auto": by the name's extension */
    uint64_t max_bytes;      /* of a file */
};

/* What clients of other servers call a model's tensors. */
struct conf_dialect {
    char name[64]; /* of the model */
    char input[64];
    char output[64];
};

/* Classes of cache entries, in the order of enum cache_class. */
enum conf_cache_class_id {
    CONF_CACHE_PREDICTION,
    CONF_CACHE_FEATURE,
    CONF_CACHE_LINEUP,
    CONF_CACHE_MODEL,
    CONF_CACHE_RESPONSE,
    CONF_CACHE_OBJECT,
    CONF_CACHE_CLASS_COUNT
};

struct conf_cache_class {
    bool is_enabled;
    uint32_t ttl_s;       /* in memory */
    uint32_t redis_ttl_s; /* 0: not kept in that tier */
    uint32_t disk_ttl_s;
    uint32_t stale_while_revalidate_s; /* past its time an entry answers while it is made anew */
    uint32_t stale_if_error_s;         /* and when it cannot be made anew */
};

/* While less than below_bytes is available, so many percent; below_bytes rises. */
enum { CONF_STEPS_MAX = 4 };
struct conf_steps {
    uint32_t count;
    struct {
        uint64_t below_bytes;
        uint32_t percent;
    } list[CONF_STEPS_MAX];
};

struct conf_limits {
    uint32_t header_timeout_ms; /* whole request head, absolute */
    uint32_t body_timeout_ms;   /* whole body, absolute */
    uint32_t send_timeout_ms;
    uint32_t keepalive_timeout_ms;
    uint32_t answer_timeout_ms;     /* of an answer that waits for other work */
    uint32_t drain_timeout_ms;      /* an old generation is ended after it */
    uint32_t hang_timeout_ms;       /* a process without a heartbeat is replaced after it */
    uint32_t connections;           /* per worker */
    uint32_t requests;              /* per worker, with an answer to come; 0: any number */
    uint64_t buffered_bytes;        /* per worker; 0: any number */
    uint64_t client_buffered_bytes; /* of one client, per worker; 0: any number */
    uint32_t client_connections, client_requests; /* of one client, per worker; 0: any number */
    uint32_t queue_time_ms;                       /* 0: any */
    uint32_t target_lag_ms;                       /* 0: no adaptive limit; CONF_NUMBER_WORD: auto */
    uint32_t request_timeout_ms;                  /* 0: none */
    uint32_t headers;                             /* count */
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
        char keys[CONF_PATH_BYTES]; /* public keys that may sign manifests */
        char require_signature[8];  /* "yes", "warn", "no" */
        char kernel[32];            /* "auto", or the name of one */
    } models;
    struct {
        char dir[CONF_PATH_BYTES];
        uint64_t size_bytes; /* quota */
        uint32_t entries;    /* quota; 0: none */
        uint64_t map_bytes;  /* 0: size_bytes × 6 */
        uint64_t ring_bytes; /* of one worker slot */
        /* Features are rounded to so many decimals before they are read; 255: not at all. */
        char group[64]; /* whose members may read entries from the map; empty: nobody */
        uint32_t prediction_decimals;
        char prediction_admission[8]; /* "auto", "always", "second" */
        bool prediction_bypass;       /* what is cheaper evaluated is not looked up */
        char response_admission[8];
        bool is_keeping_rows; /* behind predictions */
        struct conf_cache_class classes[CONF_CACHE_CLASS_COUNT];
        bool is_object_writable; /* PUT and DELETE over HTTP */
    } cache;
    struct {
        bool is_batching; /* rows of several requests are evaluated in one pass */
        uint32_t batch_rows;
        uint32_t window_us; /* 0: nobody waits for what is to come */
    } predict;
    struct {
        bool is_auto;
        uint32_t interval_ms;
        uint32_t patience_ms;
        uint64_t floor_bytes;   /* 0: a quarter of cache.size */
        uint64_t ceiling_bytes; /* 0: four times cache.size */
        struct conf_steps memory_steps;
        uint32_t shrink_below_percent;
        uint32_t grow_above_percent;
        uint32_t target_cpu_percent; /* 0: not counted */
        char proc[CONF_PATH_BYTES];
        char cgroup[CONF_PATH_BYTES]; /* "auto", or a path */
    } supervisor;
    struct {
        bool is_enabled;
        char dir[CONF_PATH_BYTES];
        uint64_t size_bytes; /* quota */
    } disk;
    struct conf_object objects[CONF_OBJECT_MAX];
    uint32_t object_count;
    struct conf_dialect dialects[CONF_DIALECT_MAX];
    uint32_t dialect_count;
    struct {
        char address[CONF_PATH_BYTES]; /* empty: the tier is off */
        char user[64];
        char password_file[CONF_PATH_BYTES];
        uint32_t database;
        char prefix[64];
        uint32_t timeout_ms, connect_timeout_ms;
        uint64_t queue_bytes;
        uint32_t min_cost_us; /* a prediction that costs less is not looked up there */
    } redis;
    struct {
        uint32_t entries; /* 0: a version takes over with a cold cache */
        uint32_t time_ms;
        uint32_t learn; /* keys whose habits are followed; 0: none */
    } warm;
    struct {
        char socket[CONF_PATH_BYTES];
        char operator_group[64];
    } admin;
    struct {
        char keys[CONF_PATH_BYTES]; /* file of keys, or "none" */
        bool is_required;           /* nothing is answered without a key, but what is open */
        char open[64];              /* areas that need no key */
        char client_rate[24];       /* of one address without a key; empty: any */
        uint32_t client_burst;      /* 0: what the rate is in a second */
        bool has_headers;           /* X-Content-Type-Options */
        uint32_t hsts_s;            /* Strict-Transport-Security by TLS; 0: none */
    } access;
    struct {
        char origins[1024]; /* empty: none */
        char methods[64];
        char headers[512];
        uint32_t max_age_s;
        bool has_credentials;
    } cors;
    struct {
        char file[CONF_PATH_BYTES];
        char level[16];
    } log;
    struct conf_limits limits;
    struct {
        char request_id[8];    /* "echo", "make" */
        char server_timing[8]; /* "no", "asked", "yes" */
        uint32_t slow_us;      /* 0: none is slow */
    } http;
    struct {
        char origins[1024]; /* separated by spaces or commas; "*": all */
        uint64_t message_bytes;
        uint64_t queue_bytes;
        uint32_t ping_ms;
        uint32_t pong_ms;
    } websocket;
    struct {
        uint32_t every_s;
        uint32_t streams; /* of one worker */
    } events;
};

/* How an option is written, and what it is kept as. */
enum conf_type {
    CONF_TEXT,     /* char[size] */
    CONF_PATH,     /* char[size]: an absolute path, or a word that `choices` allows */
    CONF_SERVER,   /* char[size]: as an address, or "unix:/path", or empty: none */
    CONF_ADDRESS,  /* char[size]: "127.0.0.1:8080", "[::1]:8080", "*:8080", a name and a port,
                     "unix:/path" */
    CONF_MODE,     /* uint32_t: rights of a file, "0660" */
    CONF_NETWORKS, /* struct ip_networks: "10.0.0.0/8, ::1, unix:", or "" */
    CONF_WORDS,    /* uint32_t: some of the choices' words, 1 << place, or "all" */
    CONF_BOOL,     /* bool: yes, no, true, false, on, off, 1, 0 */
    CONF_NUMBER,   /* uint32_t or uint64_t, by size */
    CONF_SIZE,     /* uint64_t bytes: "512MiB", "1G"; K, M, G, T are powers of 1024 */
    CONF_SECONDS,  /* uint32_t seconds: "60s", "5min", "1h", "7d" */
    CONF_US,       /* uint32_t microseconds: "200us", "1ms" */
    CONF_MS,       /* uint32_t milliseconds: "250ms", "10s", "1min" */
    CONF_STEPS     /* struct conf_steps: "2GiB:25, 4GiB:50", or "" */
};

/* A number whose value is a word: "auto". */
#define CONF_NUMBER_WORD UINT32_MAX

struct conf_option {
    const char *section; /* "" top level, "cache", "cache.prediction", "listen" */
    const char *name;
    enum conf_type type;
    /* In struct conf; in struct conf_listen for section "listen", in conf_object for "object",
     * in conf_dialect for "dialect". */
    size_t offset;
    size_t size;
    const char *default_text;
    uint64_t min, max;   /* of numbers, in their unit; of texts, bytes */
    const char *choices; /* NULL, or the only words allowed: "error, warn, info, debug"; of numbers
                            of 32 bits the one that stands for CONF_NUMBER_WORD */
    const char *alias;   /* a further environment name that users already have, or NULL */
    const char *help;    /* one sentence */
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

/* A time as the file has it ("90s", "5min", "1h"), 1 to max_s seconds; name: what it is called in
 * the error. */
AUGURY_MUST_USE int conf_read_seconds(const char *name, const char *text, uint32_t max_s,
                                      uint32_t *out_seconds, struct err *err);

/* A size as the file has it ("512MiB"), at least one byte; name: what it is called in the error. */
AUGURY_MUST_USE int conf_read_size(const char *name, const char *text, uint64_t *out_bytes,
                                   struct err *err);

/* "100/s", "600/min", "1000/h", "1000/d": the time between two, rounded up. */
AUGURY_MUST_USE int conf_read_rate(const char *name, const char *text, uint64_t *out_interval_ns,
                                   struct err *err);
/* How many at once, at that rate ("100/s"); 0 becomes what the rate is in a second, or 1. */
AUGURY_MUST_USE int conf_read_burst(const char *name, const char *rate, uint32_t *burst,
                                    struct err *err);
/* The next word of a list with commas or white space between; false: there is none. */
bool conf_list_next(const char **list, struct bytes *out_word);
/* Whether a list with commas or white space between has that word. */
bool conf_list_has(const char *list, struct bytes word);

/* The text of an option's value, as the file would have it ("256MiB", "10s"); base: struct conf,
 * conf_listen, conf_object or conf_dialect. */
void conf_put_value(const struct conf_option *option, const void *base, struct buf *buf);
/* "cache.size" → its row; AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int conf_option_find(const char *path, const struct conf_option **out_option);

/* Reads file, environment (AUGURY_CACHE_SIZE, aliases) and overrides, checks every value and
 * reports every error with its place. 0, or AUGURY_ERR_INVALID with at least one error in
 * *out_errors. */
AUGURY_MUST_USE int conf_load(const struct conf_source *source, struct conf **out_conf,
                              struct conf_errors *out_errors);
void conf_free(struct conf **conf);
/* Where an option ("cache.size", or "listen.address" of the section with that title, else NULL) got
 * its value, as errors say it: "FILE:12", "environment", "command line"; what nobody set has the
 * file alone, or the first line of its titled section. conf: of conf_load(). */
void conf_place(const struct conf *conf, const char *path, const char *title, char *out,
                size_t size);
/* The effective configuration in the file's own syntax, each line with its origin as a comment
 * (-T). conf: of conf_load(). */
void conf_put_effective(const struct conf *conf, struct buf *buf);
/* Every option with its help, commented out at its default: etc/augury.conf is this text. */
void conf_put_sample(struct buf *buf);
/* The table as documentation: a markdown table, or mdoc for the man page. */
void conf_put_markdown(struct buf *buf);
void conf_put_mdoc(struct buf *buf);
