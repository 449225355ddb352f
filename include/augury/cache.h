/* SPDX-License-Identifier: MIT */
/*
 * cache.h - one memory of computed answers, shared by all processes.
 * Room: cache (floor 2, uses base, store, seal, stats). Process: workers look up and hand new
 * entries to a ring; the supervisor alone writes (cache_keeper_*).
 * Life of an entry: a worker's cache_put() copies it into its slot's ring → the supervisor drains
 * rings, commits a group → every worker finds it → it is evicted (S3-FIFO, under a quota of
 * pages), expires, or is purged. A full ring drops the entry and counts it; a request never waits.
 * A hit compares the key's text.
 */
#pragma once

#include "augury/base.h"
#include "augury/stats.h"

enum cache_class {
    CACHE_PREDICTION,
    CACHE_FEATURE,
    CACHE_LINEUP,
    CACHE_MODEL,
    CACHE_RESPONSE,
    CACHE_OBJECT,
    CACHE_CLASS_COUNT
};
const char *cache_class_name(enum cache_class class);

enum { CACHE_KEY_TEXT_MAX = 400, CACHE_VALUE_MAX = 1 << 20 };
/* What stands before a content, of an object its type too: api writes it, libaugury tells of it. */
enum { CACHE_RESPONSE_HEAD = 24, CACHE_OBJECT_HEAD = 32 };

/* ---- what crosses the fork: the board, in shared memory ------------------------------------ */

/* Rings from the workers to the keeper, and whatever else of the cache all processes share. The
 * memory stands at one address in all of them. */
struct cache_board;
struct cache_board_options {
    size_t ring_bytes;   /* of one slot */
    unsigned slots;      /* processes that may put: those of stats */
    size_t map_bytes;    /* of the environment: how many entries there may be */
    size_t disk_bytes;   /* of the tier on disk; 0: there is none, or it goes by age alone */
    int keeper_wake_fd;  /* an eventfd made before the forks, written when the keeper sleeps */
    const int *wake_fds; /* one eventfd a slot, or NULL: nobody is woken */
};
size_t cache_board_bytes(const struct cache_board_options *options);
/* Zeroed memory becomes an empty board. */
struct cache_board *cache_board_attach(void *shared_memory,
                                       const struct cache_board_options *options);
/* Process: master. The keeper has died by its own doing (a signal, not SIGKILL). If it was inside
 * LMDB, and that three times, the next one begins with a new environment. */
void cache_board_keeper_crashed(struct cache_board *board);
/* Process: master. The worker in that slot has died of what it read from a map. At the second one
 * the keeper makes the environment anew, of the tier that they read: it may have nothing to write,
 * and never meet what kills all workers. */
void cache_board_reader_crashed(struct cache_board *board, unsigned slot);

/* What a full cache of half, the same and twice the quota would hit of what is looked up (0 to 1):
 * from a sample of the keys, one in 64 or so, followed through simulated caches. false: not known
 * yet. Any process that has the board. */
bool cache_shadow_read(const struct cache_board *board, double *out_half, double *out_same,
                       double *out_twice);

/* Whether the file system takes no more: lookups miss, puts drop, and the keeper tries again each
 * second. Process: any. */
struct cache_condition {
    bool is_off;
    bool is_full;               /* as far as can be told, the reason */
    uint64_t off_since_wall_ms; /* 0: on */
};
void cache_condition(const struct cache_board *board, struct cache_condition *out_condition);
/* The same of the tier on disk; false: there is no such tier. */
bool cache_disk_condition(const struct cache_board *board, struct cache_condition *out_condition);

/* ---- a process's view ---------------------------------------------------------------------- */

struct cache;
/* The tier below memory: an environment on disk, which memory is filled from after a reboot. */
struct cache_disk_options {
    const char *dir;
    uint64_t size_bytes;                      /* quota; the file takes a little more */
    uint64_t entries;                         /* the most that there may be; 0: any number */
    uint32_t memory_ttl_s[CACHE_CLASS_COUNT]; /* of a hit that is put into memory */
    uint32_t disk_ttl_s[CACHE_CLASS_COUNT];   /* 0: the class is not kept on disk */
};
struct cache_options {
    const char *dir;
    size_t map_bytes;
    bool is_keeper;    /* supervisor: read and write; makes the environment and its secret */
    bool is_for_group; /* keeper: the folder's group may read the environment */
    struct cache_board *board; /* NULL: this process never puts (tools) */
    unsigned slot;             /* of this process on the board and in stats */
    struct stats_slot *stats;  /* or NULL */
    /* Keeper and readers alike, with a board; NULL: no such tier. One that cannot be opened is off
     * until it can. */
    const struct cache_disk_options *disk;
};
/* A reader waits up to 2 s for the keeper to make the environment, then AUGURY_NOT_FOUND; one that
 * has a board is then open without it, as while it is being replaced, and looks for it again. */
AUGURY_MUST_USE int cache_open(const struct cache_options *options, struct cache **out_cache,
                               bool *out_was_damaged, struct err *err);
void cache_close(struct cache **cache);
/* false: it is off, or there is none yet; lookups miss. */
bool cache_is_open(const struct cache *cache);

/* Digest under the environment's secret: for canonical rows and key texts. */
struct digest cache_digest(const struct cache *cache, struct bytes data);

/* One snapshot a turn of the loop; lookups of a whole batch share it. 0 also while the cache is off
 * or being replaced: every lookup then misses. A replaced environment is opened anew here. */
AUGURY_MUST_USE int cache_snapshot_begin(struct cache *cache);
void cache_snapshot_end(struct cache *cache);

/* What an entry was made from, besides its class: at most so many tags, each the number of a name:
 * a model's name as it is, "view:NAME", "entity:NAME". */
enum { CACHE_TAGS = 3 };

/* What is asked for. */
struct cache_query {
    enum cache_class class;
    struct bytes key; /* the readable text, "prediction:nfl-wp@3#1f…:9c…" */
    uint64_t now_wall_ms;
    struct arena *arena;        /* large values are gathered here; NULL when none are expected */
    bool takes_stale;           /* an entry past its time, within its stale_s, is an answer too */
    uint64_t born_from_wall_ms; /* one created before is no answer */
};
struct cache_hit {
    struct bytes value; /* borrowed until the snapshot ends */
    uint64_t created_wall_ms;
    uint64_t expires_wall_ms;
    uint64_t stamp;
    uint32_t stale_s;
    uint32_t cost_us;
    uint16_t tags[CACHE_TAGS];
    bool is_stale;
};
/* 0 sets *out_hit; AUGURY_NOT_FOUND: absent, expired, invalidated or another key's. Counts hits and
 * misses of its class. */
AUGURY_MUST_USE int cache_get(struct cache *cache, const struct cache_query *query,
                              struct cache_hit *out_hit);

/* Invalidation is a clock of its own: whoever computes something takes the stamp before the first
 * input is read, and the entry carries it. An invalidation moves the clock on and holds for all
 * that was stamped before. A late put of an old value is so dead on arrival. */
uint64_t cache_stamp(const struct cache *cache);

uint16_t cache_tag(struct bytes name); /* 1 to 65535 */
struct cache_item;
/* Whether something has been invalidated since the stamp that holds for such an entry, by its
 * class, key and tags. In doubt true. */
bool cache_is_outdated(const struct cache *cache, const struct cache_item *like, uint64_t stamp);

/* Whether what is asked for the first time is kept, or only what was to be kept once before, lately
 * (by any process). */
enum cache_admission {
    CACHE_ADMIT_ALWAYS,
    CACHE_ADMIT_AUTO, /* at once what took 50 us to make, and 1,000 others a second */
    CACHE_ADMIT_SECOND
};
enum cache_admission cache_admission_of(const char *word); /* "always", "second"; else auto */

/* What is kept. Zero-initialise, then set class, key, value and times. */
struct cache_item {
    enum cache_class class;
    struct bytes key;
    struct bytes value;
    uint64_t created_wall_ms;  /* now */
    uint64_t expires_wall_ms;  /* not after created_wall_ms: not kept */
    uint64_t stamp;            /* cache_stamp() from before the inputs were read */
    uint32_t stale_s;          /* after its time it may answer so long where stale is taken */
    uint32_t cost_us;          /* what it took to make; refreshed the earlier the dearer */
    uint16_t tags[CACHE_TAGS]; /* 0: none */
    enum cache_admission admission;
    /* Of an order: from a source that every machine has for itself. The others are not told, and it
     * is refused (AUGURY_ERR_EXISTS) when it is outdated since its stamp. */
    bool is_fetched;
    bool is_copy;      /* of a tier below: does not take the place of what is there, nor go down */
    bool is_from_disk; /* that tier is the disk: kept if the disk still has it */
};
/* Hands an entry to the supervisor. AUGURY_NOT_FOUND: not admitted. Never blocks; AUGURY_ERR_FULL
 * or AUGURY_ERR_LIMIT: dropped and counted. Contents that do not fit half a ring are over the
 * limit. */
int cache_put(struct cache *cache, const struct cache_item *item);

/* ---- orders: what only the keeper may do, asked by a worker -------------------------------- */

/* An order goes through the slot's ring, in order with its puts; the keeper does it within a
 * commit, then gives the result and writes the slot's wake descriptor. Each is done once, also when
 * the keeper is killed meanwhile. What is put by order is stamped when it is done: no invalidation
 * before the order touches it. */
enum cache_order_kind {
    CACHE_ORDER_PUT,
    CACHE_ORDER_PUT_IF_ABSENT,
    CACHE_ORDER_PUT_IF_MATCH, /* the entry's value has the tag match, or it is CACHE_MATCH_ANY */
    CACHE_ORDER_PURGE,
    CACHE_ORDER_PURGE_IF_MATCH,
    CACHE_ORDER_INVALIDATE_TAG,   /* item->key: the name that cache_tag() was taken of */
    CACHE_ORDER_INVALIDATE_CLASS, /* item->class */
    CACHE_ORDER_COUNT
};
enum { CACHE_MATCH_ANY = 0 }; /* match: any value, if there is one */
/* item: class and key always; the rest for puts. Never blocks. 0 sets *out_ticket; AUGURY_ERR_FULL:
 * the ring is full or 512 results are outstanding; AUGURY_ERR_LIMIT: too large; AUGURY_ERR_STATE:
 * the cache is off. */
int cache_order(struct cache *cache, enum cache_order_kind kind, const struct cache_item *item,
                uint64_t match, uint64_t *out_ticket);
/* The next result of this process's orders, in their order; false: none now. *out_rc: 0;
 * AUGURY_NOT_FOUND: no such entry; AUGURY_ERR_EXISTS: the condition was false; AUGURY_ERR_FULL: no
 * room; AUGURY_ERR_STATE: the cache is off; another failure. */
bool cache_order_result(struct cache *cache, uint64_t *out_ticket, int *out_rc);
/* What a condition compares: XXH3, 64 bits. */
uint64_t cache_value_tag(struct bytes value);

/* ---- single flight: of many that miss the same key, one does the work ----------------------- */

/* CACHE_FLIGHT_OWNER: do it, then publish. WAITER: another process does; look once at once, then at
 * each wake of the slot's eventfd, and begin again when a look finds nothing that the cache has
 * either, or at the lease's deadline. ALONE: do it, and tell nobody (such results are not shared,
 * or there is no room to say so). FAILED: it failed a moment ago. */
enum cache_flight {
    CACHE_FLIGHT_OWNER,
    CACHE_FLIGHT_WAITER,
    CACHE_FLIGHT_ALONE,
    CACHE_FLIGHT_FAILED
};
struct cache_lease {
    struct digest key;
    uint64_t word; /* private */
    uint64_t deadline_mono_ms;
    uint32_t index; /* private */
};
enum { CACHE_MAIL_MAX = 8192 }; /* results up to here are there before the commit */
struct cache_wish {
    struct digest key;
    /* An entry of the class, key and tags that the work is for: a lease that began before something
     * was invalidated that holds for it is not joined after that. NULL: before anything was. */
    const struct cache_item *like;
    uint32_t deadline_ms; /* others wait so long for the owner, at most a minute; one takes over */
};
/* Sets *out_lease for owner and waiter. Never blocks. */
AUGURY_MUST_USE enum cache_flight cache_flight_begin(struct cache *cache,
                                                     const struct cache_wish *wish,
                                                     uint64_t now_mono_ms,
                                                     struct cache_lease *out_lease);
/* The owner's result, and the end of its lease; those who wait are woken. 0: value is for all, and
 * for latecomers until it is committed (the caller has put it). AUGURY_END: for those who wait, but
 * nobody waits for this key in the next 10 s. AUGURY_NOT_FOUND: given up, another may. < 0: failed,
 * which counts for 100 ms; value may say why. A value without data, or over CACHE_MAIL_MAX, has to
 * be looked for in the cache. Does nothing when the lease was taken over. */
void cache_flight_publish(struct cache *cache, const struct cache_lease *lease, int rc,
                          struct bytes value);
/* For a waiter. 0: *out_value, copied into the arena; AUGURY_NOT_FOUND: over, look in the cache;
 * AUGURY_ERR_BUSY: not yet; AUGURY_ERR_IO: it failed, *out_value is what was published with it. */
AUGURY_MUST_USE int cache_flight_look(struct cache *cache, const struct digest *key,
                                      struct arena *arena, struct bytes *out_value);
/* Process: master. The slot's process has died, and the slot is not given out yet: its leases are
 * free, and those who wait for them are woken. */
void cache_flight_slot_died(struct cache_board *board, unsigned slot);

/* ---- what is cheaper made than found --------------------------------------------------------- */

/* What a row costs to make and to find, by what makes it (a model's output), known to all
 * processes. */
struct cache_worth;
enum cache_shape { CACHE_ONE, CACHE_MANY, CACHE_SHAPES }; /* a row alone, or a batch */
/* id: a digest of what makes it; name: for people, of up to 95 bytes. NULL without a board. */
struct cache_worth *cache_worth_of(struct cache *cache, uint64_t id, struct bytes name);
/* A measurement, a row. */
void cache_worth_made(struct cache_worth *worth, enum cache_shape shape, uint64_t ns);
void cache_worth_found(struct cache_worth *worth, enum cache_shape shape, uint64_t ns);
/* Whether both have been measured often enough; the cost of making, 0 before that. */
bool cache_worth_is_known(const struct cache_worth *worth, enum cache_shape shape);
uint64_t cache_worth_make_ns(const struct cache_worth *worth, enum cache_shape shape);
/* Whether making takes less than half of finding. */
bool cache_worth_is_cheap(const struct cache_worth *worth, enum cache_shape shape);
void cache_worth_bypassed(struct cache_worth *worth, size_t rows); /* were made, not looked up */
struct cache_worth_row {
    char name[96];
    uint64_t make_ns[CACHE_SHAPES], find_ns[CACHE_SHAPES]; /* 0: not known yet */
    bool is_bypassed[CACHE_SHAPES];
    uint64_t bypassed_rows;
};
/* The next line of the table from *i on, which begins at 0; false after the last. */
bool cache_worth_at(const struct cache *cache, size_t *i, struct cache_worth_row *out_row);

/* ---- the keeper: supervisor only ----------------------------------------------------------- */

/* Drains up to one group of entries from the rings and commits them, evicting others to stay under
 * the quota. *out_more: rings hold more. Safe after the previous keeper died anywhere: an
 * entry is taken from its ring only after the commit. */
AUGURY_MUST_USE int cache_keeper_turn(struct cache *cache, uint64_t now_wall_ms, bool *out_more);
/* About once a second, and after a child's death: expired entries, stale readers, gauges; opens a
 * cache that is off again.
 * AUGURY_ERR_STATE: off. */
AUGURY_MUST_USE int cache_keeper_tick(struct cache *cache, uint64_t now_wall_ms);
/* Arms the wake: true when nothing came in meanwhile and the keeper may sleep on wake_fd. */
bool cache_keeper_may_sleep(struct cache *cache);
/* The disk tier: whether it is in use or there is none; and, once after it has brought entries back
 * into an empty memory, how many. */
bool cache_disk_is_up(const struct cache *cache);
const char *cache_disk_why(const struct cache *cache); /* it is not */
bool cache_warm_ended(struct cache *cache, uint64_t *out_entries);
/* 0 or more than 70 % of the map: 70 % of the map. Turns evict until it is kept. */
void cache_keeper_quota(struct cache *cache, uint64_t quota_bytes);
/* Besides that, the most entries that there may be; 0: any number. */
void cache_keeper_quota_entries(struct cache *cache, uint64_t entries);
AUGURY_MUST_USE int cache_keeper_purge(struct cache *cache,
                                       struct bytes key); /* AUGURY_NOT_FOUND */
/* Up to max entries of a class that were asked for lately, by hits (3 to 1; 3 is that and more),
 * and of the same hits main before small, oldest first: what to compute first when all becomes
 * cold. Text and value are borrowed until fn returns; fn must not use the cache. A tenth of a
 * second for a million entries, up to three times. */
typedef void cache_hot_fn(void *arg, struct bytes text, struct bytes value, unsigned hits);
AUGURY_MUST_USE int cache_hottest(struct cache *cache, enum cache_class class, cache_hot_fn *fn,
                                  void *arg, size_t max);
/* How often an entry was asked for lately, 0 to 3; and from zero again. */
unsigned cache_keeper_hits(const struct cache *cache, struct bytes key);
void cache_keeper_forget_hits(struct cache *cache, struct bytes key);
/* What another process has put, after its commit; the item is borrowed. fn must not use the cache.
 */
typedef void cache_put_fn(void *arg, const struct cache_item *item);
void cache_keeper_on_put(struct cache *cache, cache_put_fn *fn, void *arg);
AUGURY_MUST_USE int cache_keeper_flush(struct cache *cache, uint64_t *out_entries);
/* All entries of a class, or of whatever was made from the name, that were stamped before now. */
AUGURY_MUST_USE int cache_keeper_invalidate_class(struct cache *cache, enum cache_class class);
AUGURY_MUST_USE int cache_keeper_invalidate_tag(struct cache *cache, struct bytes name);
/* What has been invalidated is removed by later ticks, some milliseconds each; this takes one such
 * share now, so that the figures of all but large caches are right for whoever asks next. */
void cache_keeper_sweep_dead(struct cache *cache);
/* All entries stamped before now whose key matches: * any bytes, ? one, [a-z] one of a set, [!a-z]
 * none of it, \\ takes what follows as it is. AUGURY_ERR_INVALID: no pattern; AUGURY_ERR_LIMIT:
 * CACHE_BANS are being swept. */
AUGURY_MUST_USE int cache_keeper_ban(struct cache *cache, struct bytes pattern, struct err *err);

enum { CACHE_BANS = 64, CACHE_BAN_BYTES = 256 };
struct cache_ban {
    uint64_t stamp;
    uint64_t created_wall_ms;
    uint64_t swept; /* entries removed by it so far */
    size_t len;
    uint8_t pattern[CACHE_BAN_BYTES];
};
/* Those that hold, until the sweep has passed all entries. out_bans: room for CACHE_BANS. */
size_t cache_bans(const struct cache *cache, struct cache_ban *out_bans);
int cache_ban_check(struct bytes pattern, struct err *err);

/* A small thing that another room keeps beside the entries, over starts: on disk where there is
 * that tier, else in memory. It is gone whenever the environment is made anew, and whoever takes it
 * up checks it. name: 1 to 64 bytes. Tables of the entries are not concerned. */
enum { CACHE_NOTE_MAX = 4000 };
AUGURY_MUST_USE int cache_keeper_note_put(struct cache *cache, struct bytes name,
                                          struct bytes value);
/* out_value: room for CACHE_NOTE_MAX bytes. AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int cache_keeper_note_get(struct cache *cache, struct bytes name,
                                          uint8_t *out_value, size_t *out_len);

/* What has just been invalidated here, for those who tell other machines. Called by the keeper
 * after the commit; a put by order invalidates what others keep under its key. */
enum cache_news_kind {
    CACHE_NEWS_KEY,   /* text: the key */
    CACHE_NEWS_TAG,   /* text: the name */
    CACHE_NEWS_CLASS, /* text: the class's name */
    CACHE_NEWS_BAN,   /* text: the pattern */
    CACHE_NEWS_FLUSH
};
typedef void cache_news_fn(void *arg, enum cache_news_kind kind, struct bytes text);
void cache_keeper_on_news(struct cache *cache, cache_news_fn *fn, void *arg);

struct cache_usage {
    uint64_t entries;
    uint64_t used_bytes, quota_bytes, map_bytes, file_blocks_bytes;
    uint64_t entries_of_class[CACHE_CLASS_COUNT];
    uint64_t oldest_created_wall_ms;
    uint64_t board_bytes;  /* counters, ghosts and hints, beside the map; 0 without a board */
    unsigned reader_slots; /* as in struct store_usage */
};
AUGURY_MUST_USE int cache_usage(struct cache *cache,
                                struct cache_usage *out_usage); /* any process */

/* ---- for other programs: one entry at a time, without board, counters or libcrypto ---------- */

struct cache_reader;
/* AUGURY_NOT_FOUND: no environment there. */
AUGURY_MUST_USE int cache_reader_open(const char *dir, struct cache_reader **out_reader,
                                      struct err *err);
void cache_reader_close(struct cache_reader **reader);
/* Copies the value into room; hit->value is that copy. Expiry, generations and bans hold as they do
 * in cache_get(); the key alone says the class. A replaced environment is opened anew.
 * AUGURY_ERR_LIMIT: room_bytes is less than hit->value.len, hit->value.data is NULL. */
AUGURY_MUST_USE int cache_reader_get(struct cache_reader *reader, struct bytes key,
                                     uint64_t now_wall_ms, void *room, size_t room_bytes,
                                     struct cache_hit *out_hit);
