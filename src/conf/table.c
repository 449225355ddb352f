/* SPDX-License-Identifier: MIT */
/*
 * table.c - every option of the configuration, once: name, type, place, default, bounds and one
 * sentence. Rows of one section stand together; a nested section ("cache.prediction") follows its
 * parent.
 */
#include "augury/conf.h"

#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define PLACE(member) offsetof(struct conf, member), sizeof(((struct conf *)0)->member)
#define LISTEN(member)                                                                             \
    offsetof(struct conf_listen, member), sizeof(((struct conf_listen *)0)->member)
#define OBJECT(member)                                                                             \
    offsetof(struct conf_object, member), sizeof(((struct conf_object *)0)->member)
#define DIALECT(member)                                                                            \
    offsetof(struct conf_dialect, member), sizeof(((struct conf_dialect *)0)->member)

enum { YEAR_S = 31536000 };

#define ADMISSIONS "auto, always, second"
#define ADMISSION_HELP                                                                             \
    "always: all; second: those that come a second time; auto: at once what took 50 us to make, "  \
    "1,000 others a second of each worker, and the rest when it comes a second time."

/* Of a class that machines can share. */
#define CACHE_CLASS_REDIS(name, id, life)                                                          \
    {                                                                                              \
        "cache." name, "redis_ttl", CONF_SECONDS, PLACE(cache.classes[id].redis_ttl_s), life, 0,   \
            YEAR_S, NULL, NULL, "Life of an entry in redis; 0: it is not kept there."              \
    }

/* The options that every class of cache entries has. */
#define CACHE_CLASS(name, id, memory, disk, enabled_alias, ttl_alias)                              \
    {"cache." name,                                                                                \
     "enabled",                                                                                    \
     CONF_BOOL,                                                                                    \
     PLACE(cache.classes[id].is_enabled),                                                          \
     "yes",                                                                                        \
     0,                                                                                            \
     1,                                                                                            \
     NULL,                                                                                         \
     enabled_alias,                                                                                \
     "Whether entries of this class are cached."},                                                 \
        {"cache." name, "ttl", CONF_SECONDS, PLACE(cache.classes[id].ttl_s), memory, 1,            \
         YEAR_S,        NULL,  ttl_alias,    "Life of an entry in memory."},                       \
        {"cache." name, "disk_ttl",                                                                \
         CONF_SECONDS,  PLACE(cache.classes[id].disk_ttl_s),                                       \
         disk,          0,                                                                         \
         YEAR_S,        NULL,                                                                      \
         NULL,          "Life of an entry on disk; 0: it is not kept there."},                     \
        {"cache." name, "stale_while_revalidate",                                                  \
         CONF_SECONDS,  PLACE(cache.classes[id].stale_while_revalidate_s),                         \
         "0s",          0,                                                                         \
         YEAR_S,        NULL,                                                                      \
         NULL,          "Time past its life in which an entry answers while it is made anew."},    \
    {                                                                                              \
        "cache." name, "stale_if_error", CONF_SECONDS, PLACE(cache.classes[id].stale_if_error_s),  \
            "0s", 0, YEAR_S, NULL, NULL,                                                           \
            "Time past its life in which an entry answers when it cannot be made anew."            \
    }

/* clang-format off */
const struct conf_option conf_options[] = {
    {"", "workers", CONF_NUMBER, PLACE(workers), "0", 0, 64, NULL, "PREDICTION_WORKERS",
     "Worker processes; 0 means one for each CPU that this machine or its cgroup lets us use."},
    {"", "user", CONF_TEXT, PLACE(user), "", 0, 63, NULL, NULL,
     "User that supervisor and workers run as when the daemon is started by root; empty: no "
     "change."},
    {"", "group", CONF_TEXT, PLACE(group), "", 0, 63, NULL, NULL,
     "Group to run as; empty: the user's own."},
    {"", "daemon", CONF_BOOL, PLACE(is_daemon), "yes", 0, 1, NULL, NULL,
     "Whether to leave the terminal; the command returns when the workers serve."},
    {"", "pidfile", CONF_PATH, PLACE(pidfile), "/run/augury/auguryd.pid", 1, 0, NULL, NULL,
     "File with the master's process id, locked while it lives."},

    {"listen", "address", CONF_ADDRESS, LISTEN(address), "127.0.0.1:8080", 1, 0, NULL, NULL,
     "Address and port, where port 0 takes any free one and * is every address of both families; "
     "or unix:/path."},
    {"listen", "backlog", CONF_NUMBER, LISTEN(backlog), "1024", 1, 65535, NULL, NULL,
     "Connections that the kernel may hold until a worker accepts them."},
    {"listen", "mode", CONF_MODE, LISTEN(mode), "0660", 0, 0777, NULL, NULL,
     "Rights of a UNIX socket; who may write may connect."},
    {"listen", "owner", CONF_TEXT, LISTEN(owner), "", 0, 63, NULL, NULL,
     "Owner of a UNIX socket; empty: the daemon's user."},
    {"listen", "group", CONF_TEXT, LISTEN(group), "", 0, 63, NULL, NULL,
     "Group of a UNIX socket; empty: its owner's."},
    {"listen", "trusted", CONF_NETWORKS, LISTEN(trusted), "", 0, 0, NULL, NULL,
     "Proxies whose word on their clients' addresses counts: addresses and networks such as "
     "127.0.0.1, 10.0.0.0/8, ::1, and unix: for a UNIX socket; empty: nobody's."},
    {"listen", "forwarded", CONF_TEXT, LISTEN(forwarded), "x-forwarded-for", 1, 15,
     "x-forwarded-for, forwarded, none", NULL,
     "Header by which trusted proxies say who asked them; the other one is not looked at."},
    {"listen", "proxy_protocol", CONF_BOOL, LISTEN(has_proxy_protocol), "no", 0, 1, NULL, NULL,
     "Whether trusted proxies say it before the first byte, by the PROXY protocol; nobody else may "
     "connect then."},
    {"listen", "routes", CONF_WORDS, LISTEN(routes), "all", 1, 0,
     "predict, objects, models, status, metrics, health, dialects, docs", NULL,
     "What is there for clients of this listener: all, or some of predict, objects, models, "
     "status, metrics, health, dialects, docs; the rest is 404 as if it did not exist."},
    {"listen", "tls_certificate", CONF_PATH, LISTEN(tls_certificate), "", 0, 0, NULL, NULL,
     "File with the server's certificate (PEM) and those between it and a root, read anew by a "
     "reload; empty: no TLS."},
    {"listen", "tls_key", CONF_PATH, LISTEN(tls_key), "", 0, 0, NULL, NULL,
     "File with the certificate's private key (PEM, without a password)."},
    {"listen", "tls_client_ca", CONF_PATH, LISTEN(tls_client_ca), "", 0, 0, NULL, NULL,
     "File with the certificates of those who sign clients' (PEM); empty: clients need none."},
    {"listen", "tls_min", CONF_TEXT, LISTEN(tls_min), "1.2", 1, 7, "1.2, 1.3", NULL,
     "Oldest version of TLS that is spoken."},

    {"models", "dir", CONF_PATH, PLACE(models.dir), "/var/lib/augury/models", 1, 0, NULL, NULL,
     "Folder of the model environment; durable."},
    {"models", "map", CONF_SIZE, PLACE(models.map_bytes), "16GiB", 16 * MIB, 16 * TIB, NULL, NULL,
     "Most that all models may take; address space, not memory."},
    {"models", "keys", CONF_PATH, PLACE(models.keys), "/etc/augury/keys", 1, 0, NULL, NULL,
     "Folder of the public keys (NAME.pem, Ed25519) that may sign the manifests of models."},
    {"models", "require_signature", CONF_TEXT, PLACE(models.require_signature), "no", 1, 7,
     "yes, warn, no", NULL,
     "Whether a model is imported without a signed manifest: yes refuses it, warn says so, no "
     "does not mind."},
    {"models", "kernel", CONF_TEXT, PLACE(models.kernel), "auto", 1, 31, NULL, "AUGURY_KERNEL",
     "Kernel that answers for every model that it can answer for; auto: the fastest of this "
     "processor, and all give the same answers."},

    {"predict", "batching", CONF_BOOL, PLACE(predict.is_batching), "yes", 0, 1, NULL, NULL,
     "Whether rows of requests that arrive together are evaluated in one pass, where that has been "
     "measured to take less; nobody waits for anything to arrive."},
    {"predict", "batch_rows", CONF_NUMBER, PLACE(predict.batch_rows), "256", 2, 1024, NULL, NULL,
     "Most rows that wait for one another at a time; those beyond are evaluated at once."},
    {"predict", "window", CONF_US, PLACE(predict.window_us), "0us", 0, 100000, NULL, NULL,
     "How long a row may wait for others to arrive, where one pass over them takes less; 0: only "
     "for what has arrived."},

    {"cache", "dir", CONF_PATH, PLACE(cache.dir), "/dev/shm/augury/cache", 1, 0, NULL, NULL,
     "Folder of the memory tier; should lie on a tmpfs."},
    {"cache", "group", CONF_TEXT, PLACE(cache.group), "", 0, 63, NULL, NULL,
     "Group whose members may read entries straight from the folder, with libaugury; empty: nobody "
     "but the daemon."},
    {"cache", "size", CONF_SIZE, PLACE(cache.size_bytes), "256MiB", 4 * MIB, 1 * TIB, NULL, NULL,
     "Quota of the memory tier; entries that are not asked for make room."},
    {"cache", "entries", CONF_NUMBER, PLACE(cache.entries), "0", 0, UINT32_MAX, NULL, NULL,
     "Most entries of the memory tier, besides its size; 0: any number."},
    {"cache", "map", CONF_SIZE, PLACE(cache.map_bytes), "0", 0, 16 * TIB, NULL, NULL,
     "Address space of the memory tier; 0: six times its size."},
    {"cache", "ring", CONF_SIZE, PLACE(cache.ring_bytes), "1MiB", 64 * KIB, 64 * MIB, NULL, NULL,
     "Room of each worker for entries on their way to the supervisor."},

    CACHE_CLASS("prediction", CONF_CACHE_PREDICTION, "60s", "1d", "ENABLE_PREDICTION_CACHING",
                "PREDICTION_CACHE_TTL"),
    CACHE_CLASS_REDIS("prediction", CONF_CACHE_PREDICTION, "1h"),
    {"cache.prediction", "decimals", CONF_NUMBER, PLACE(cache.prediction_decimals), "255", 0, 255,
     NULL, NULL, "Features are rounded to so many decimals for the key; 255: not at all."},
    {"cache.prediction", "admission", CONF_TEXT, PLACE(cache.prediction_admission), "auto", 1, 7,
     ADMISSIONS, NULL, "Which rows are kept: " ADMISSION_HELP},
    {"cache.prediction", "bypass", CONF_BOOL, PLACE(cache.prediction_bypass), "yes", 0, 1, NULL,
     NULL,
     "Whether rows of a model that evaluates them in less than half the time of a lookup are "
     "evaluated without one."},
    {"cache.prediction", "keep_rows", CONF_BOOL, PLACE(cache.is_keeping_rows), "yes", 0, 1, NULL,
     NULL,
     "Whether a prediction's row, if it has at most 1 KiB, is kept beside it: without rows a new "
     "version takes over with a cold cache."},

    CACHE_CLASS("feature", CONF_CACHE_FEATURE, "5min", "1d", "ENABLE_FEATURE_CACHING",
                "FEATURE_CACHE_TTL"),
    CACHE_CLASS_REDIS("feature", CONF_CACHE_FEATURE, "1h"),
    CACHE_CLASS("lineup", CONF_CACHE_LINEUP, "30s", "1h", NULL, NULL),
    CACHE_CLASS_REDIS("lineup", CONF_CACHE_LINEUP, "5min"),
    CACHE_CLASS("model", CONF_CACHE_MODEL, "1h", "7d", NULL, NULL),
    CACHE_CLASS_REDIS("model", CONF_CACHE_MODEL, "1d"),
    CACHE_CLASS("response", CONF_CACHE_RESPONSE, "1h", "0s", "ENABLE_RESPONSE_CACHING",
                "RESPONSE_CACHE_TTL"),
    {"cache.response", "admission", CONF_TEXT, PLACE(cache.response_admission), "auto", 1, 7,
     ADMISSIONS, NULL, "Which whole answers are kept: " ADMISSION_HELP},
    CACHE_CLASS("object", CONF_CACHE_OBJECT, "1d", "1d", NULL, NULL),
    CACHE_CLASS_REDIS("object", CONF_CACHE_OBJECT, "1d"),
    {"cache.object", "writable", CONF_BOOL, PLACE(cache.is_object_writable), "no", 0, 1, NULL, NULL,
     "Whether whoever reaches a listener may put and delete objects."},

    {"object", "folder", CONF_PATH, OBJECT(folder), "none", 1, 0, "none", NULL,
     "Folder of the files that missing objects are read from: NAME/a/b.json is a/b.json in it; "
     "none: what is missing stays missing."},
    {"object", "ttl", CONF_SECONDS, OBJECT(ttl_s), "1d", 1, YEAR_S, NULL, NULL,
     "Life of an object below this name, unless its PUT says otherwise."},
    {"object", "stale_while_revalidate", CONF_SECONDS, OBJECT(stale_while_revalidate_s), "0s", 0,
     YEAR_S, NULL, NULL,
     "Time past its life in which an object answers while its file is read anew."},
    {"object", "stale_if_error", CONF_SECONDS, OBJECT(stale_if_error_s), "0s", 0, YEAR_S, NULL,
     NULL, "Time past its life in which an object answers when its file cannot be read."},
    {"object", "negative_ttl", CONF_SECONDS, OBJECT(negative_ttl_s), "5s", 0, YEAR_S, NULL, NULL,
     "Time in which an absent file is not looked for again."},
    {"object", "content_type", CONF_TEXT, OBJECT(content_type), "auto", 1, 100, NULL, NULL,
     "Content type of the files; auto: by the name's extension."},
    {"object", "max_bytes", CONF_SIZE, OBJECT(max_bytes), "256KiB", 1, 1 * MIB, NULL, NULL,
     "Largest file that becomes an object; must fit half of cache.ring."},

    {"dialect", "input", CONF_TEXT, DIALECT(input), "input-0", 1, 63, NULL, NULL,
     "What the Open Inference Protocol calls the tensor of rows of the model of this title."},
    {"dialect", "output", CONF_TEXT, DIALECT(output), "predict", 1, 63, NULL, NULL,
     "What it calls the prediction, beside its other names."},

    {"disk", "enabled", CONF_BOOL, PLACE(disk.is_enabled), "no", 0, 1, NULL, NULL,
     "Whether entries are kept on disk too, below memory, so that memory is filled from there "
     "after a reboot; adopted at a start."},
    {"disk", "dir", CONF_PATH, PLACE(disk.dir), "/var/cache/augury/disk", 1, 0, NULL, NULL,
     "Folder of the disk tier."},
    {"disk", "size", CONF_SIZE, PLACE(disk.size_bytes), "1GiB", 16 * MIB, 16 * TIB, NULL, NULL,
     "Quota of the disk tier; the oldest entries make room."},

    {"warm", "entries", CONF_NUMBER, PLACE(warm.entries), "10000", 0, 1000000, NULL, NULL,
     "Most rows that are computed for a version before `model use` moves a label to it; 0: none."},
    {"warm", "time", CONF_MS, PLACE(warm.time_ms), "2s", 1, 30000, NULL, NULL,
     "Longest that a label waits for that."},
    {"warm", "learn", CONF_NUMBER, PLACE(warm.learn), "4096", 0, 65536, NULL, NULL,
     "Predictions whose times of use are learned, to compute those that come back regularly ahead "
     "of their next use; 0: none."},

    {"redis", "address", CONF_SERVER, PLACE(redis.address), "", 0, 0, NULL, NULL,
     "Redis or Valkey that joins machines: host:port, where a name is looked up when a process "
     "starts, or unix:/path; empty: none."},
    {"redis", "user", CONF_TEXT, PLACE(redis.user), "", 0, 63, NULL, NULL,
     "User to log in as; empty: the default user."},
    {"redis", "password_file", CONF_PATH, PLACE(redis.password_file), "", 0, 0, NULL, NULL,
     "File whose first line is the password, readable by the daemon's user; empty: no password."},
    {"redis", "database", CONF_NUMBER, PLACE(redis.database), "0", 0, 16383, NULL, NULL,
     "Number of the database."},
    {"redis", "prefix", CONF_TEXT, PLACE(redis.prefix), "augury:", 1, 63, NULL, NULL,
     "What every key begins with; machines share entries and invalidations when it is the same."},
    {"redis", "timeout", CONF_MS, PLACE(redis.timeout_ms), "20ms", 1, 10000, NULL, NULL,
     "Time for one command; three that take longer, one after the other, and Redis is left alone "
     "for 100ms to 5s."},
    {"redis", "connect_timeout", CONF_MS, PLACE(redis.connect_timeout_ms), "200ms", 1, 60000, NULL,
     NULL,
     "Time for a connection."},
    {"redis", "queue", CONF_SIZE, PLACE(redis.queue_bytes), "4MiB", 2 * MIB, 1 * GIB, NULL, NULL,
     "Commands of one connection that wait to be sent; what does not fit is dropped and counted."},
    {"redis", "min_cost", CONF_US, PLACE(redis.min_cost_us), "200us", 0, 60000000, NULL, NULL,
     "A prediction that takes less to make is not looked up in Redis."},

    {"supervisor", "auto", CONF_BOOL, PLACE(supervisor.is_auto), "yes", 0, 1, NULL, NULL,
     "Whether the memory tier follows the memory and CPU that are left; no: cache.size holds."},
    {"supervisor", "interval", CONF_MS, PLACE(supervisor.interval_ms), "1s", 100, 60000, NULL, NULL,
     "Time between two looks at memory and CPU."},
    {"supervisor", "patience", CONF_MS, PLACE(supervisor.patience_ms), "60s", 1000, 3600000, NULL,
     NULL,
     "Time without pressure before the memory tier grows again; up to ten times as long while "
     "growth does not last."},
    {"supervisor", "floor", CONF_SIZE, PLACE(supervisor.floor_bytes), "0", 0, 1 * TIB, NULL, NULL,
     "Least size of the memory tier under pressure; 0: a quarter of cache.size."},
    {"supervisor", "ceiling", CONF_SIZE, PLACE(supervisor.ceiling_bytes), "0", 0, 4 * TIB, NULL,
     NULL,
     "Most that the memory tier grows to while it pays; 0: four times cache.size."},
    {"supervisor", "memory_steps", CONF_STEPS, PLACE(supervisor.memory_steps),
     "2GiB:25, 4GiB:50, 8GiB:75", 0, 0, NULL, NULL,
     "While less than a size is available the memory tier takes so many percent of cache.size; "
     "empty: no such steps."},
    {"supervisor", "shrink_below", CONF_NUMBER, PLACE(supervisor.shrink_below_percent), "10", 3, 90,
     NULL, NULL, "Percent of memory available below which the memory tier shrinks."},
    {"supervisor", "grow_above", CONF_NUMBER, PLACE(supervisor.grow_above_percent), "20", 4, 99,
     NULL, NULL, "Percent of memory available above which it may grow."},
    {"supervisor", "target_cpu", CONF_NUMBER, PLACE(supervisor.target_cpu_percent), "70", 0, 100,
     NULL, NULL,
     "Percent of CPU in use; 10 above it the memory tier shrinks by a fifth, down to half of "
     "cache.size, 10 below it it may grow; 0: CPU does not count."},
    {"supervisor", "proc", CONF_PATH, PLACE(supervisor.proc), "/proc", 1, 0, NULL, NULL,
     "Where the process file system is mounted."},
    {"supervisor", "cgroup", CONF_PATH, PLACE(supervisor.cgroup), "auto", 1, 0, "auto", NULL,
     "Where control groups are mounted; auto: as the process file system says."},

    {"admin", "socket", CONF_PATH, PLACE(admin.socket), "/run/augury/admin.sock", 1, 107, NULL,
     NULL,
     "UNIX socket of the admin commands."},
    {"admin", "operator_group", CONF_TEXT, PLACE(admin.operator_group), "", 0, 63, NULL, NULL,
     "Group whose members may flush, purge and reload; empty: nobody beyond root and the daemon's "
     "user."},

    {"access", "keys", CONF_PATH, PLACE(access.keys), "none", 1, 0, "none", NULL,
     "File of the keys that clients may have, a line each as `augury key new` writes them, read "
     "anew by a reload; or none."},
    {"access", "required", CONF_BOOL, PLACE(access.is_required), "no", 0, 1, NULL, NULL,
     "Whether a request needs a key; health and the list at /api/v1 never do."},
    {"access", "open", CONF_TEXT, PLACE(access.open), "", 0, 63, NULL, NULL,
     "Areas that need none either, of predict, objects, models, status, metrics, health, dialects "
     "and docs."},
    {"access", "client_rate", CONF_TEXT, PLACE(access.client_rate), "", 0, 23, NULL, NULL,
     "Requests without a key that one address may make, such as 100/s or 600/min; empty: any."},
    {"access", "client_burst", CONF_NUMBER, PLACE(access.client_burst), "0", 0, 1000000, NULL, NULL,
     "How many of them may come at once; 0: as many as in a second of client_rate."},
    {"access", "headers", CONF_BOOL, PLACE(access.has_headers), "yes", 0, 1, NULL, NULL,
     "Whether answers say X-Content-Type-Options: nosniff."},
    {"access", "hsts", CONF_SECONDS, PLACE(access.hsts_s), "0s", 0, 2 * YEAR_S, NULL, NULL,
     "Time for which browsers are told to come by TLS alone (Strict-Transport-Security), on "
     "listeners with TLS; 0: they are not told."},

    {"cors", "origins", CONF_TEXT, PLACE(cors.origins), "", 0, 1023, NULL, NULL,
     "Origins whose pages may read answers, such as \"https://app.example, https://*.example\", or "
     "*; empty: none."},
    {"cors", "methods", CONF_TEXT, PLACE(cors.methods), "GET, HEAD, POST, PUT, DELETE", 0, 63, NULL,
     NULL, "Methods that they may use, as far as a path has them."},
    {"cors", "headers", CONF_TEXT, PLACE(cors.headers),
     "Authorization, Content-Type, Content-Encoding, X-API-Key, X-Request-Id, X-Request-Timeout, "
     "X-Allow-Stale, Cache-Control, If-Match, If-None-Match, Inference-Header-Content-Length",
     0, 511, NULL, NULL, "Header fields that they may send beside those that need no leave."},
    {"cors", "max_age", CONF_SECONDS, PLACE(cors.max_age_s), "10min", 0, 86400, NULL, NULL,
     "Time for which a browser need not ask again."},
    {"cors", "credentials", CONF_BOOL, PLACE(cors.has_credentials), "no", 0, 1, NULL, NULL,
     "Whether browsers may send cookies and certificates along; not where origins is a star."},

    {"log", "file", CONF_PATH, PLACE(log.file), "/var/log/augury/augury.log", 1, 0, "stderr", NULL,
     "Log file, reopened on USR1; or stderr."},
    {"log", "level", CONF_TEXT, PLACE(log.level), "info", 1, 15, "error, warn, info, debug", NULL,
     "Least important level that is written."},

    {"limits", "header_timeout", CONF_MS, PLACE(limits.header_timeout_ms), "10s", 100, 3600000,
     NULL, NULL,
     "Time for a whole request head, from its first byte or the connection's start."},
    {"limits", "body_timeout", CONF_MS, PLACE(limits.body_timeout_ms), "60s", 100, 3600000, NULL,
     NULL,
     "Time for a whole request body."},
    {"limits", "send_timeout", CONF_MS, PLACE(limits.send_timeout_ms), "60s", 100, 3600000, NULL,
     NULL,
     "Time for a client to take an answer."},
    {"limits", "keepalive_timeout", CONF_MS, PLACE(limits.keepalive_timeout_ms), "75s", 100,
     86400000, NULL, NULL,
     "Time that a connection may be idle between requests."},
    {"limits", "answer_timeout", CONF_MS, PLACE(limits.answer_timeout_ms), "30s", 100, 3600000,
     NULL, NULL,
     "Time for an answer that waits for other work, such as a fetch; 504 after it."},
    {"limits", "drain_timeout", CONF_MS, PLACE(limits.drain_timeout_ms), "30s", 100, 3600000, NULL,
     NULL,
     "Time for an old generation of workers to end its connections."},
    {"limits", "hang_timeout", CONF_MS, PLACE(limits.hang_timeout_ms), "30s", 2000, 3600000, NULL,
     NULL,
     "Silence after which a process that hangs is ended and replaced."},
    {"limits", "connections", CONF_NUMBER, PLACE(limits.connections), "4096", 1, 1000000, NULL,
     NULL,
     "Connections of one worker; 503 beyond it."},
    {"limits", "requests", CONF_NUMBER, PLACE(limits.requests), "0", 0, 1000000, NULL, NULL,
     "Requests of one worker whose answers wait for other work; 503 beyond it; 0: as many as there "
     "are connections."},
    {"limits", "buffered", CONF_SIZE, PLACE(limits.buffered_bytes), "512MiB", 0, 1 * TIB, NULL,
     NULL,
     "Memory of one worker for what its clients have sent in part or not taken yet; who wants more "
     "gets 503, or is cut; 0: no limit, else body, head and 512KiB at least."},
    {"limits", "client_connections", CONF_NUMBER, PLACE(limits.client_connections), "0", 0,
     1000000, NULL, NULL,
     "Connections that one client (an IPv4 address, an IPv6 network of 64 bits) has with one "
     "worker; 429 beyond it; 0: no limit."},
    {"limits", "client_requests", CONF_NUMBER, PLACE(limits.client_requests), "0", 0, 1000000,
     NULL, NULL,
     "Requests of one client whose answers wait for other work, in one worker; 429 beyond it; 0: "
     "no limit."},
    {"limits", "client_buffered", CONF_SIZE, PLACE(limits.client_buffered_bytes), "0", 0, 1 * TIB,
     NULL, NULL,
     "Memory of one worker for what one client has sent in part or not taken yet; the request that "
     "wants more gets 429, or is cut; 0: no limit, else body, head and 512KiB at least."},
    {"limits", "queue_time", CONF_MS, PLACE(limits.queue_time_ms), "0", 0, 3600000, NULL, NULL,
     "A request that has waited longer for its turn is refused with 503, unless its answer is in "
     "the cache; 0: it is answered, however late."},
    {"limits", "target_lag", CONF_MS, PLACE(limits.target_lag_ms), "0", 0, 60000, "auto",
     NULL,
     "Time between bytes that arrive and their answer that a worker keeps to under overload: it "
     "finds out how many requests it may take on at a time, and refuses others with 503, unless "
     "their answers are in the cache; auto: ten times what a request takes by itself, 20ms to 1s; "
     "0: it takes all."},
    {"limits", "request_timeout", CONF_MS, PLACE(limits.request_timeout_ms), "0", 0, 3600000, NULL,
     NULL,
     "Time for an answer unless X-Request-Timeout says otherwise; 504 after it; 0: only "
     "limits.answer_timeout counts."},
    {"limits", "headers", CONF_NUMBER, PLACE(limits.headers), "100", 8, 100, NULL, NULL,
     "Header lines of one request."},
    {"limits", "head", CONF_SIZE, PLACE(limits.head_bytes), "16KiB", 1 * KIB, 1 * MIB, NULL, NULL,
     "Bytes of a request head."},
    {"limits", "target", CONF_SIZE, PLACE(limits.target_bytes), "8KiB", 256, 1 * MIB, NULL, NULL,
     "Bytes of a request target."},
    {"limits", "body", CONF_SIZE, PLACE(limits.body_bytes), "1MiB", 1 * KIB, 1 * GIB, NULL, NULL,
     "Bytes of a request body."},
    {"limits", "request_memory", CONF_SIZE, PLACE(limits.request_memory_bytes), "64MiB", 1 * MIB,
     16 * GIB, NULL, NULL,
     "Memory that one request may take while it is answered."},
    {"limits", "json_depth", CONF_NUMBER, PLACE(limits.json_depth), "32", 4, 64, NULL, NULL,
     "Nesting of a request document."},
    {"limits", "rows", CONF_NUMBER, PLACE(limits.rows), "16384", 1, 10000000, NULL, NULL,
     "Rows of one request."},

    {"http", "request_id", CONF_TEXT, PLACE(http.request_id), "echo", 1, 7, "echo, make", NULL,
     "X-Request-Id of answers: echo repeats what the client has sent, make gives the others an id "
     "too."},
    {"http", "server_timing", CONF_TEXT, PLACE(http.server_timing), "no", 1, 7,
     "no, asked, yes", NULL,
     "Whether answers have a Server-Timing header; asked: those to requests with X-Server-Timing."},
    {"http", "slow_request", CONF_US, PLACE(http.slow_us), "0", 0, 60000000, NULL, NULL,
     "The log tells of requests that take at least so long; 0: of none."},

    {"websocket", "origins", CONF_TEXT, PLACE(websocket.origins), "", 0, 1023, NULL, NULL,
     "Origins beside the server's own whose pages may open WebSockets, separated by spaces, or * "
     "for any."},
    {"websocket", "max_message", CONF_SIZE, PLACE(websocket.message_bytes), "1MiB", 1 * KIB,
     1 * GIB, NULL, NULL,
     "Bytes of one WebSocket message, all its frames together; a larger one ends with code 1009."},
    {"websocket", "send_queue", CONF_SIZE, PLACE(websocket.queue_bytes), "4MiB", 64 * KIB, 1 * GIB,
     NULL, NULL,
     "Bytes that wait for one client to take them; beyond it the client is cut off."},
    {"websocket", "ping", CONF_MS, PLACE(websocket.ping_ms), "30s", 1000, 86400000, NULL, NULL,
     "Silence after which a WebSocket's client is pinged."},
    {"websocket", "pong_timeout", CONF_MS, PLACE(websocket.pong_ms), "10s", 100, 3600000, NULL,
     NULL,
     "Time for the answer to a ping."},

    {"events", "every", CONF_SECONDS, PLACE(events.every_s), "1s", 1, 3600, NULL, NULL,
     "Time between two events of /api/v1/performance/events, unless ?every= says otherwise."},
    {"events", "streams", CONF_NUMBER, PLACE(events.streams), "64", 0, 100000, NULL, NULL,
     "Clients of one worker that may listen to events at a time."},
};
/* clang-format on */

const size_t conf_option_count = AUGURY_COUNT(conf_options);

int
conf_option_find(const char *path, const struct conf_option **out_option)
{
    const char *dot = strrchr(path, '.');
    const char *name = dot == NULL ? path : dot + 1;
    size_t section_len = dot == NULL ? 0 : (size_t)(dot - path);

    for (size_t i = 0; i < conf_option_count; i++) {
        const struct conf_option *option = &conf_options[i];
        if (strcmp(option->name, name) == 0 && strlen(option->section) == section_len &&
            memcmp(option->section, path, section_len) == 0) {
            *out_option = option;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}
