/* SPDX-License-Identifier: MIT */
/*
 * cache_priv.h - what the files of this room share: the rings, the stored records, a process's
 * view. Stored and shared bytes are described byte by byte in docs/formats.md ("cache").
 */
#pragma once

#include <stdatomic.h>

#include "augury/cache.h"
#include "augury/store.h"

/* ---- stored records: cache_entry.c --------------------------------------------------------- */

/* index: lo → place. small and main hold the entries and are, in the order of their keys, the two
 * queues of the eviction; chunk holds pages of long values. All three are keyed by seq, which only
 * grows: they are appended and freed from the front by whole pages; only the small index is
 * random. */
enum cache_table {
    CACHE_TABLE_INDEX,
    CACHE_TABLE_SMALL,
    CACHE_TABLE_MAIN,
    CACHE_TABLE_CHUNK,
    CACHE_TABLE_META,
    CACHE_TABLE_INVALID, /* stamps of invalidations: cache_generation.c */
    CACHE_TABLE_COUNT
};
extern const struct store_table_spec cache_tables[CACHE_TABLE_COUNT];

/* The two queues, by number. */
enum cache_queue { CACHE_QUEUE_SMALL, CACHE_QUEUE_MAIN, CACHE_QUEUE_COUNT };

enum {
    CACHE_FORMAT = 3,
    CACHE_ENTRY_HEADER = 40,
    CACHE_INDEX_BYTES = 6,
    CACHE_STATE_BYTES = 120,
    /* The most that LMDB keeps in one page outside its tree: a record is never larger, so every
     * allocation is one page. */
    CACHE_PAGE_VALUE_MAX = 4080,
    CACHE_CHUNK_BITS = 9, /* a chunk's key is seq << 9 | index */
    CACHE_PLACE_BITS = 48,
};
/* A place is a seq and, in this bit, its queue. */
static const uint64_t cache_place_main = UINT64_C(1) << (CACHE_PLACE_BITS - 1);

enum cache_entry_flags { CACHE_ENTRY_CHUNKED = 1 << 0 };

/* An entry, decoded; text and value are borrowed. */
struct cache_entry {
    uint64_t lo; /* of the key's digest; not stored: set by whoever knows the key */
    uint64_t place;
    uint64_t chunk_seq; /* under which its chunks lie, wherever it has moved */
    uint64_t created_wall_ms;
    uint64_t expires_wall_ms;
    uint64_t stamp;
    uint32_t stale_s;
    uint32_t cost_us;
    uint32_t value_len;
    uint32_t value_check;
    uint16_t tags[CACHE_TAGS];
    uint8_t class;
    uint8_t flags;
    struct bytes stored; /* the record; text and value lie in it */
    struct bytes text;
    struct bytes value; /* all of it; of a chunked one that was read, what follows the chunks */
};

struct cache_queue_state {
    uint64_t entries;
    uint64_t bytes; /* by cache_entry_cost() */
};

/* What the keeper knows of all entries, written with each commit. */
struct cache_state {
    uint64_t next_seq;
    uint64_t quota_bytes;
    uint64_t entries_of_class[CACHE_CLASS_COUNT];
    struct cache_queue_state queues[CACHE_QUEUE_COUNT];
    bool has_evicted; /* since it was made or flushed: it has been full once */
};

uint32_t cache_value_check(struct bytes value);
enum cache_queue cache_place_queue(uint64_t place);
uint64_t cache_place_seq(uint64_t place);
uint64_t cache_place_of(enum cache_queue queue, uint64_t seq);
/* false: not an entry of this format. */
bool cache_entry_decode(struct bytes stored, struct cache_entry *out_entry);
/* Bytes of pages that an entry takes, its index record and LMDB's own headers included. */
uint32_t cache_entry_cost(size_t text_len, size_t value_len);
/* The bytes of the record at that place. */
int cache_entry_stored(struct store_txn *txn, uint64_t place, struct bytes *out_stored);
/* The entry at that place, decoded; AUGURY_NOT_FOUND also for a record that cannot be decoded. */
int cache_entry_at(struct store_txn *txn, uint64_t place, struct cache_entry *out_entry);
/* Looks an entry up by its lo alone and decodes it; AUGURY_NOT_FOUND also for a record that cannot
 * be decoded. Whoever asks compares the text. */
int cache_entry_find(struct store_txn *txn, uint64_t lo, struct cache_entry *out_entry);
/* The whole of a chunked value, into room (entry->value_len bytes). */
int cache_entry_gather(struct store_txn *txn, const struct cache_entry *entry, uint8_t *room);
/* Writes entry (with .lo, .value and .class) at the end of a queue, under a seq of its own. Nothing
 * else may lie under its lo. */
int cache_entry_put(struct store_txn *txn, struct cache_state *state, enum cache_queue queue,
                    const struct cache_entry *entry);
/* As cache_entry_del(), for the entry at the head of its queue: its index record stays, and is
 * known to be dead because its place comes before the head. .lo is not read. */
int cache_entry_behead(struct store_txn *txn, struct cache_state *state,
                       const struct cache_entry *entry);
/* Looks at the next index records from *lo on (0: the first), at most looks of them, and removes
 * those whose place comes before the first seq of its queue. */
int cache_index_trim(struct store_txn *txn, const uint64_t first_seqs[static CACHE_QUEUE_COUNT],
                     uint64_t looks, uint64_t *lo);
/* Removes an entry with all its records; reads .lo, .place, .class, lengths and flags alone. */
int cache_entry_del(struct store_txn *txn, struct cache_state *state,
                    const struct cache_entry *entry);
/* Moves an entry to the end of main; its chunks stay where they are. */
int cache_entry_move(struct store_txn *txn, struct cache_state *state,
                     const struct cache_entry *entry);
/* Up to max entries of a queue from seq on, oldest first, without .lo. Their texts and values are
 * lost with the next write of a transaction. */
int cache_entry_read(struct store_txn *txn, enum cache_queue queue, uint64_t from_seq,
                     struct cache_entry *out_entries, size_t max, size_t *out_count);

/* Up to max entries, without .lo, in the order of places: small, then main. What moves meanwhile is
 * met at its new place, if not before. *out_next: where to go on, 0 after the last. */
int cache_entry_walk(struct store_txn *txn, uint64_t from, struct cache_entry *out_entries,
                     size_t max, size_t *out_count, uint64_t *out_next);

int cache_state_read(struct store_txn *txn, struct cache_state *out_state);
int cache_state_write(struct store_txn *txn, const struct cache_state *state);

/* ---- rings: cache_ring.c ------------------------------------------------------------------- */

enum { CACHE_LINE = 64 };

struct cache_ring {
    _Alignas(CACHE_LINE)
        atomic_uint_least64_t head; /* bytes ever written; stored by the producer */
    _Alignas(CACHE_LINE) atomic_uint_least64_t tail; /* bytes ever taken; stored by the keeper */
};

struct cache_rings {
    uint64_t ring_bytes; /* a power of two */
    uint32_t slots;
    int32_t wake_fd;
    _Alignas(CACHE_LINE) atomic_uint sleeping; /* 1: the keeper waits on wake_fd */
    /* What orders are numbered by, in all rings together; a put carries the last number. */
    _Alignas(CACHE_LINE) atomic_uint_least64_t number;
    /* Even: the environment of this number may be used; odd: the keeper is opening or replacing
     * it. */
    _Alignas(CACHE_LINE) atomic_uint_least64_t epoch;
    atomic_uint off;         /* 1: the file system refused a commit; lookups miss, puts drop */
    atomic_uint off_is_full; /* 1: it was full */
    atomic_uint_least64_t off_since_wall_ms, off_ended_wall_ms;
    atomic_uint_least64_t damage; /* epoch + 1 of an environment that a worker found damaged */
    /* 1: the keeper works inside LMDB; found set at a start: it died there. */
    atomic_uint in_commit;
    atomic_uint has_crashed; /* 1: the last keeper died by its own doing; set by the master */
    atomic_uint deaths;      /* of keepers that crashed inside LMDB since COMMITS_HEALTHY commits */
    atomic_uint reader_crashes; /* since the last that was told as damage; counted by the master */
    struct cache_ring ring[];   /* slots of them, then slots × ring_bytes of data */
};

/* A record in a ring, decoded; text and value are borrowed until its tail moves. */
struct cache_ring_record {
    struct cache_item item;
    uint32_t value_check;
    unsigned slot;          /* whose ring; not stored */
    uint8_t order;          /* 0: a plain put, else 1 + enum cache_order_kind */
    uint64_t ticket, match; /* of an order */
    uint64_t number;        /* given by cache_ring_put(): its place among those of all rings */
};

size_t cache_rings_bytes(size_t ring_bytes, unsigned slots);
/* Zeroed memory becomes empty rings. wake_fd: written when the keeper sleeps. */
struct cache_rings *cache_rings_attach(void *shared_memory, size_t ring_bytes, unsigned slots,
                                       int wake_fd);
/* AUGURY_ERR_FULL; AUGURY_ERR_LIMIT: larger than half a ring. */
int cache_ring_put(struct cache_rings *rings, unsigned slot,
                   const struct cache_ring_record *record);
/* The record at *tail; 0 moves *tail behind it, AUGURY_END: none. Contents that no producer writes
 * count in *out_bad and are passed over: one record if its length is credible, else all of the
 * ring. */
int cache_ring_peek(struct cache_rings *rings, unsigned slot, uint64_t *tail,
                    struct cache_ring_record *out_record, unsigned *out_bad);
uint64_t cache_ring_tail(struct cache_rings *rings, unsigned slot);
/* The last number that was given. */
uint64_t cache_ring_number(struct cache_rings *rings);
void cache_ring_take(struct cache_rings *rings, unsigned slot, uint64_t tail);
bool cache_rings_are_empty(struct cache_rings *rings);

/* All rings as one, for a group: cache_gather.c. keeper.tails says how far it is; nothing is taken.
 * Records that are passed over count in *bad. */
struct cache_gather *cache_gather_new(unsigned slots);
void cache_gather_begin(struct cache *cache, unsigned *bad);
/* The next record, borrowed from its ring; false: no more for this group. */
bool cache_gather_next(struct cache *cache, struct cache_ring_record *out_record, unsigned *bad);

/* ---- the controller's history: cache_size_log.c ---------------------------------------------- */

struct cache_size_log;
size_t cache_size_log_bytes(void);
/* Zeroed memory becomes an empty history. */
struct cache_size_log *cache_size_log_attach(void *shared_memory);

/* ---- single flight: cache_lease.c, cache_mail.c --------------------------------------------- */

size_t cache_flights_bytes(void);
struct cache_flights *cache_flights_attach(void *shared_memory);

/* Results of leases; what does not fit (CACHE_MAIL_MAX) is not put. */
size_t cache_mails_bytes(void);
struct cache_mails *cache_mails_attach(void *shared_memory);
void cache_mail_put(struct cache_mails *mails, const struct cache_lease *lease, struct bytes value);
/* AUGURY_NOT_FOUND: not there, or not whole. */
AUGURY_MUST_USE int cache_mail_get(struct cache_mails *mails, const struct cache_lease *lease,
                                   struct arena *arena, struct bytes *out_value);

/* ---- what is asked for and what was let go of: cache_heat.c --------------------------------- */

struct cache_heat;
size_t cache_heat_bytes(size_t map_bytes);
/* Zeroed memory becomes a heat without memory of anything. */
struct cache_heat *cache_heat_attach(void *shared_memory, size_t map_bytes);
/* Soon touched. */
void cache_heat_prefetch(struct cache_heat *heat, uint64_t lo);
/* A hit; any process. */
void cache_heat_touch(struct cache_heat *heat, uint64_t lo);
/* The rest is the keeper's; heat may be NULL. 0 to 3 hits since the count was last set. */
unsigned cache_heat_of(struct cache_heat *heat, uint64_t lo);
void cache_heat_set(struct cache_heat *heat, uint64_t lo, unsigned count);
/* Remembers an entry that is let go of, and forgets the oldest beyond most. */
void cache_ghost_add(struct cache_heat *heat, uint64_t lo, uint64_t most);
/* true, once: it was let go of lately. */
bool cache_ghost_take(struct cache_heat *heat, uint64_t lo);
/* Bytes of the tables in use. */
uint64_t cache_heat_used_bytes(const struct cache_heat *heat);
/* Makes the tables large enough for so many entries. */
void cache_heat_fit(struct cache_heat *heat, uint64_t entries);

/* ---- where entries lie: cache_hint.c ------------------------------------------------------- */

struct cache_hints;
size_t cache_hints_bytes(size_t map_bytes);
/* Zeroed memory knows nothing. */
struct cache_hints *cache_hints_attach(void *shared_memory, size_t map_bytes);
uint64_t cache_hints_used_bytes(const struct cache_hints *hints);
/* Soon looked at. */
void cache_hint_prefetch(struct cache_hints *hints, uint64_t lo);
/* A place where lo may lie; 0: not known. *out_near: where in the map it was last seen, for whoever
 * sees it elsewhere to change (store_line_of()). Any process. */
uint64_t cache_hint_find(struct cache_hints *hints, uint64_t lo, atomic_uint_least32_t **out_near);
/* The rest is the keeper's; hints may be NULL in put. */
void cache_hint_put(struct cache_hints *hints, uint64_t lo, uint64_t place);
void cache_hints_fit(struct cache_hints *hints, uint64_t entries);

/* ---- what another quota would hit: cache_shadow.c ------------------------------------------ */

struct cache_shadow_board;
size_t cache_shadow_bytes(unsigned slots);
struct cache_shadow_board *cache_shadow_attach(void *shared_memory, unsigned slots);
/* A lookup, found or not; any process, in its own slot. */
void cache_shadow_look(struct cache_shadow_board *board, unsigned slot, uint64_t lo,
                       uint32_t total);
/* The keeper's simulated caches. NULL: no memory. */
struct cache_shadow;
struct cache_shadow *cache_shadow_new(void);
void cache_shadow_free(struct cache_shadow **shadow);
/* Replays what was looked up; entries: that there is room for. */
void cache_shadow_tick(struct cache_shadow *shadow, struct cache_shadow_board *board,
                       uint64_t entries);

/* ---- what crosses the fork: cache_board.c -------------------------------------------------- */

enum { CACHE_DISK_ORDERS = 1 << 16 };

/* At the beginning of its shared memory; its parts follow, each on its own pages. Pointers are good
 * in every process: the memory is inherited, not mapped anew. */
struct cache_board {
    struct cache_flights *flights;
    struct cache_mails *mails;
    struct cache_rings *rings;
    struct cache_rings *disk_rings; /* one slot, which the keeper fills itself: cache_disk.c */
    struct cache_size_log *size_log;
    struct cache_marks *marks; /* invalidations of all machines: redis_marks.h */
    struct cache_heat *heat;
    struct cache_heat *disk_heat; /* or NULL */
    struct cache_hints *hints;
    struct cache_shadow_board *shadow;
    struct cache_door *door;
    struct cache_worths *worths;
    unsigned slots;
    struct cache_invalid *invalid;
    struct cache_order_slot *orders; /* one a slot */
    /* By the highest bits of lo: the number, of the disk's rings, of the last order of a key. */
    atomic_uint_least64_t disk_orders[CACHE_DISK_ORDERS];
    int wake_fds[STATS_SLOTS];         /* of each slot, or -1 */
    atomic_uint has_disk;              /* 1: there is a tier on disk, on or off */
    atomic_uint is_below[STATS_SLOTS]; /* 1: the process in the slot reads the disk tier just now */
};

/* ---- what is worth keeping: cache_worth.c ---------------------------------------------------- */

size_t cache_door_bytes(void);
/* Whether the hash was shown lately; it is remembered. */
bool cache_door_knows(struct cache_door *door, uint64_t hash);
bool cache_admits(struct cache *cache, const struct cache_item *item);
size_t cache_worths_bytes(void);

/* ---- what is no longer true: cache_generation.c -------------------------------------------- */

/* Processes differ by a second at most: what was made later than so long after now was made before
 * the clock was put back. */
enum { CACHE_FUTURE_MS = 5000 };
enum { CACHE_TAG_COUNT = 1 << 16, CACHE_TOMBS = 1 << 12, CACHE_GROUP_ENTRIES = 24 };

/* Keys of CACHE_TABLE_INVALID. The value is a stamp; of a ban its stamp, when it was made (ms), and
 * its pattern. */
enum {
    CACHE_KEY_CLASS = 0,
    CACHE_KEY_CLOCK = 256,
    CACHE_KEY_RETIRED = 257,
    CACHE_KEY_PLACE = 258, /* in the machines' stream: its id, and the mark of an event */
    CACHE_KEY_BAN = 512,
    CACHE_KEY_TAG = 1 << 16,
    CACHE_STAMP_BYTES = 8,
    CACHE_PLACE_BYTES = 16,
    CACHE_BAN_ROW = 16
};

/* Up to that event of that stream all is done in the environment. */
struct cache_place {
    uint64_t stream_id;
    uint64_t mark; /* 0: not known; UINT64_MAX: it is new, there is nothing to do it to */
};

static inline bool
cache_place_is(const struct cache_place *a, const struct cache_place *b)
{
    return a->stream_id == b->stream_id && a->mark == b->mark;
}

/* Written by the keeper alone; an odd version: just now. */
struct cache_ban_slot {
    atomic_uint_least64_t version;
    atomic_uint_least64_t stamp; /* 0: free */
    atomic_uint_least64_t created_wall_ms;
    atomic_uint_least64_t swept;
    atomic_uint_least64_t len;
    atomic_uint_least64_t pattern[CACHE_BAN_BYTES / 8];
};

/* The clock of invalidations and when each generation last moved. A process without a board has one
 * of its own, read from the environment. Stored by the keeper: generations, then the clock. */
struct cache_invalid {
    _Alignas(CACHE_LINE) atomic_uint_least64_t clock; /* stamp of the newest invalidation */
    atomic_uint_least64_t classes[CACHE_CLASS_COUNT];
    /* Stamps of purges by the highest bits of lo: a put that was stamped before comes too late. */
    atomic_uint_least64_t tombs[CACHE_TOMBS];
    atomic_uint_least64_t retired;    /* stamp of the newest ban that has ended */
    atomic_uint_least64_t ban_newest; /* stamp of the newest ban that holds, or 0 */
    struct cache_ban_slot bans[CACHE_BANS];
    atomic_uint_least64_t tags[CACHE_TAG_COUNT];
};

static inline uint64_t
cache_stamp_at(const atomic_uint_least64_t *stamp)
{
    return atomic_load_explicit(stamp, memory_order_relaxed);
}

/* What a write transaction invalidates: stored with it, seen by others once it is committed. Each
 * invalidation moves the clock, so that it holds for what was put before it in the same group. */
struct cache_moves {
    uint64_t clock;
    uint64_t classes[CACHE_CLASS_COUNT]; /* 0: not moved */
    struct {
        uint64_t stamp;
        uint16_t tag;
    } tags[CACHE_GROUP_ENTRIES];
    size_t tag_count;
    /* One ban; len 0: none. */
    size_t ban_slot, ban_len;
    uint64_t ban_stamp;
    uint8_t ban_pattern[CACHE_BAN_BYTES];
    uint64_t retire; /* bans up to this stamp end */
    struct cache_place place;
};

size_t cache_invalid_bytes(void);
enum cache_death { CACHE_ALIVE, CACHE_DEAD_BY_GENERATION, CACHE_DEAD_BY_BAN };
enum cache_death cache_death_look(const struct cache_invalid *invalid,
                                  const struct cache_entry *entry);
/* One compare with the newest stamp settles the usual case. */
static inline enum cache_death
cache_death_of(const struct cache_invalid *invalid, const struct cache_entry *entry)
{
    return entry->stamp >= atomic_load_explicit(&invalid->clock, memory_order_acquire)
               ? CACHE_ALIVE
               : cache_death_look(invalid, entry);
}
/* Whether a put that was stamped then comes too late; also after a purge of its key. */
bool cache_is_late(const struct cache *cache, const struct cache_entry *entry);
/* Whether what the open transaction invalidates is the death of it. */
bool cache_moves_kill(const struct cache *cache, const struct cache_entry *entry);

/* Writes it where it has changed, at most once a tick. */
int cache_place_tick(struct cache *cache);
/* The stamp of the last invalidation like it, or one before that. */
uint64_t cache_stamp_of_news(const struct cache *cache, enum cache_news_kind kind,
                             struct bytes text);
/* Keeper: how far in that stream the environments of both tiers are; 0: not known. */
uint64_t cache_keeper_place(const struct cache *cache, uint64_t stream_id);
/* All up to there is done. */
void cache_keeper_place_set(struct cache *cache, const struct cache_place *place);
/* The next request (purge, invalidate, ban, flush) does that event; NULL: it does none. */
void cache_keeper_place_next(struct cache *cache, const struct cache_place *place);

/* Process without a board: takes over what the environment knows, if it is news. */
int cache_invalid_follow(struct cache_invalid *invalid, struct store_txn *txn);
/* Keeper, at open: board and environment take over from each other what the other lacks. */
int cache_invalid_adopt(struct cache *cache);

/* Within a write transaction; cache_write_begin and cache_write_end do the rest. */
/* Answers rendered from them go with them. */
void cache_move_class(struct cache *cache, enum cache_class class);
void cache_move_tag(struct cache *cache, struct bytes name);
/* An entry is purged: neither a late put of its key nor an answer rendered from it may live on. */
void cache_move_key(struct cache *cache, uint64_t lo, enum cache_class class);
void cache_moves_begin(struct cache *cache);
/* An environment that has just been made is behind no event. */
int cache_place_fresh(struct store_txn *txn);
int cache_moves_store(struct cache *cache, struct store_txn *txn);
void cache_moves_publish(struct cache *cache);

/* ---- bans: cache_ban.c --------------------------------------------------------------------- */

bool cache_glob_match(struct bytes pattern, struct bytes text);
/* Whether a ban that is newer than the entry matches its text. */
bool cache_ban_find(const struct cache_invalid *invalid, const struct cache_entry *entry,
                    size_t *out_slot);
void cache_ban_count(struct cache_invalid *invalid, size_t slot); /* one entry more is swept */
/* Within a write transaction, one. false: all slots hold. */
bool cache_move_ban(struct cache *cache, struct bytes pattern);
/* Bans up to that stamp end: the sweep has seen every entry since. */
void cache_move_retire(struct cache *cache, uint64_t stamp);
size_t cache_bans_due(const struct cache *cache, uint64_t stamp); /* so many would end */
int cache_bans_store(struct cache *cache, struct store_txn *txn);
void cache_bans_publish(struct cache *cache);
void cache_ban_take(struct cache_invalid *invalid, size_t slot, struct bytes row);
/* A keeper was killed while it wrote a slot; what it wrote is in the environment. */
void cache_bans_repair(struct cache_invalid *invalid);
int cache_bans_give(const struct cache_invalid *invalid, struct store_txn *txn);

/* For some milliseconds: a tick's share of the round. */
int cache_dead_sweep(struct cache *cache);

/* ---- orders: cache_order.c ----------------------------------------------------------------- */

size_t cache_orders_bytes(unsigned slots);
/* A new process has the slot: results of the one before it are nobody's. */
int cache_order_slot_begin(struct cache *cache);
/* Within the group's transaction: 0 and *out_result, or a failure of the transaction. */
int cache_order_do(struct cache *cache, struct store_txn *txn, struct cache_state *state,
                   const struct cache_ring_record *record, int *out_result);
/* Results in the transaction that makes them, so that a repeated group repeats them. */
int cache_orders_store(struct cache *cache, struct store_txn *txn,
                       const struct cache_ring_record *records, const int *results, size_t count);
/* After the commit, before the tails are stored. */
void cache_orders_answer(struct cache *cache, const struct cache_ring_record *records,
                         const int *results, size_t count);
/* After the commit: tells whoever wants to know what the order invalidated. */
void cache_order_tell(struct cache *cache, const struct cache_ring_record *record, int result);
void cache_news_tell(struct cache *cache, enum cache_news_kind kind, struct bytes text);
/* Discards what is in the rings; orders are answered with rc. */
void cache_rings_refuse(struct cache *cache, int rc);

/* ---- a process's view: cache.c ------------------------------------------------------------- */

/* A round of removing what is dead: cache_dead.c. */
struct cache_dead_round {
    uint64_t clock; /* when it began */
    uint64_t from;  /* place where it goes on; 0: none is under way */
    uint64_t done;  /* clock of the last one that ended */
};

/* Where the sweep of expired ones stands. */
struct cache_sweep {
    uint64_t from;         /* place where the round goes on; 0: none is under way */
    uint64_t next_wall_ms; /* of all that this round has met, when the next one dies */
    uint64_t due_wall_ms;  /* nothing dies before: no round begins */
};

/* How far the giving back of memory is: cache_shrink.c. */
struct cache_shrink {
    bool is_on;
    bool is_idle;                                 /* nothing else is written */
    bool is_refused;                              /* the file system cannot */
    unsigned settles;                             /* commits without contents in this round */
    uint64_t round_bytes;                         /* given back in this round */
    uint64_t rest_until_mono_ms, rest_file_bytes; /* a rest ends at either */
    uint64_t next_mono_ns;                        /* the next slice while entries come in */
};

struct cache_keeper {
    struct cache_state state; /* of the last commit */
    uint64_t *tails;          /* scratch: one a slot */
    struct cache_gather *gather;
    unsigned next_slot; /* whose plain puts come first, so that no ring starves */
    uint64_t used_pages, page_bytes, map_bytes;
    uint64_t quota_entries;      /* 0: none */
    struct cache_shadow *shadow; /* or NULL */
    uint64_t trim_lo;            /* where the removal of dead index records goes on */
    struct cache_sweep sweep;
    uint64_t file_bytes; /* blocks that the file takes from the system */
    struct cache_shrink shrink;
    uint64_t retry_mono_ms;   /* when off: next try to open */
    unsigned healthy_commits; /* since the start or the last death */
    uint64_t now_wall_ms;     /* as last told */
    struct cache_dead_round dead;
    struct cache_moves moves; /* of the transaction that is open */
    struct cache_place place, place_stored;
    struct cache_place place_next; /* of what the next request does; mark 0: none */
    bool place_is_due;             /* it is written now, whatever else is */
    cache_news_fn *news_fn;        /* or NULL */
    void *news_arg;
    cache_put_fn *put_fn; /* or NULL */
    void *put_arg;
};

enum { CACHE_MEMO_BITS = 14, CACHE_MEMO_WAYS = 2 };

/* Where this process found a key last, its value checked: a hot hit skips the index and the check,
 * and the tables too while nothing has been committed. Never wrong, at most stale: what lies at a
 * place never changes, and a displaced entry is gone in the same commit, so one that is there is
 * the newest; and record is followed only in a snapshot of the same commit, whose pages are the
 * same. */
struct cache_memo {
    uint64_t lo;
    uint64_t place : CACHE_PLACE_BITS;
    uint64_t len : 64 - CACHE_PLACE_BITS;
    const uint8_t *record;
    uint64_t txn_id; /* of the commit in which record lies there */
};

enum cache_tier { CACHE_TIER_MEMORY, CACHE_TIER_DISK };

struct cache {
    enum cache_tier tier;
    struct cache *below;     /* the disk tier, or NULL */
    struct cache_disk *disk; /* what memory knows of it: cache_disk.h */
    char *dir;
    size_t map_bytes;
    bool is_keeper;
    bool is_for_group;
    unsigned slot;
    struct cache_board *board;     /* or NULL */
    struct cache_rings *rings;     /* of the board, or NULL */
    struct cache_heat *heat;       /* of the board, or NULL */
    struct cache_hints *hints;     /* of the board, or NULL */
    struct cache_invalid *invalid; /* of the board, or this process's own */
    uint64_t order_ticket;         /* of the last order */
    uint64_t order_answered;       /* ticket of the last result taken */
    struct stats_slot *stats;      /* or NULL; the disk tier counts by cache_count() alone */
    struct stats_slot *tier_stats; /* of either tier */
    struct store *store;           /* NULL while off or being replaced */
    struct store_txn *snapshot;
    bool is_reading;      /* between snapshot begin and end, with an environment behind it */
    uint64_t free_second; /* puts at first sight: of this second, */
    uint32_t free_left;   /* so many more */
    unsigned get_count;   /* one in 64 is timed */
    uint64_t epoch;
    uint64_t reopen_mono_ms;
    uint8_t secret[DIGEST_SECRET_BYTES];
    uint8_t kin_secret[DIGEST_SECRET_BYTES]; /* of the other tier: a new environment takes it */
    bool has_kin;
    uint64_t txn_id; /* of the snapshot */
    struct cache_memo
        *memo; /* 1 << CACHE_MEMO_BITS of CACHE_MEMO_WAYS, by the highest bits of lo */
    struct cache_keeper keeper;
};

/* By the word before the colon; CACHE_RESPONSE for a word that is no class. */
enum cache_class cache_class_of_key(struct bytes key);
size_t cache_memo_bytes(void);
/* One lookup, uncounted; AUGURY_NOT_FOUND, AUGURY_ERR_CORRUPT. */
int cache_lookup(struct cache *cache, const struct cache_query *query, struct cache_hit *out_hit,
                 struct cache_entry *out_entry);
/* What lies under the key, in date and not invalidated; AUGURY_NOT_FOUND. */
int cache_live_find(struct cache *cache, struct store_txn *txn, struct bytes key,
                    struct cache_entry *out_entry);
/* Writes what a ring record puts, unless it is late or there already; item->stamp counts. */
int cache_record_write(struct cache *cache, struct store_txn *txn, struct cache_state *state,
                       const struct cache_ring_record *record, uint64_t *written);
/* Of the keeper, as they are now. */
void cache_gauges_set(struct cache *cache);
/* Commits what was in the rings when it was called. */
int cache_rings_drain(struct cache *cache);

int cache_store_open(struct cache *cache, bool *out_was_damaged, struct err *err);
void cache_store_close(struct cache *cache);

/* ---- memory back to the system: cache_shrink.c --------------------------------------------- */

/* Whether blocks stand so far above what is live that a slice is worth it. */
bool cache_shrink_is_due(struct cache *cache);
/* A slice when there is nothing else to do; < 0: the environment is damaged. */
int cache_shrink_idle(struct cache *cache);
/* One between two commits: nothing if the last has just been. */
int cache_shrink_between(struct cache *cache);

/* ---- the frame around the keeper's writes: cache_guard.c ----------------------------------- */

int cache_keeper_open(struct cache *cache, bool *out_was_damaged, struct err *err);
/* Environment and epoch; set_aside: what is there is known to be unusable. */
int cache_keeper_reopen(struct cache *cache, bool set_aside, bool *out_was_damaged,
                        struct err *err);
/* The file system refused: lookups miss, puts drop, the server goes on. The tick tries again. */
void cache_keeper_off(struct cache *cache);
void cache_keeper_on(struct cache *cache); /* with rings */
void cache_keeper_replace(struct cache *cache);
/* What a failed write means for the environment; the caller has dropped its work. */
void cache_keeper_react(struct cache *cache, int rc);
/* A write transaction and a copy of the state to work on. */
int cache_write_begin(struct cache *cache, struct store_txn **out_txn,
                      struct cache_state *out_state);
/* Ends one that has come to rc: commits or aborts, and takes the state over. */
int cache_write_end(struct cache *cache, struct store_txn **txn, int rc,
                    const struct cache_state *state);
/* Marks that the keeper is inside LMDB; cache_write_begin does it by itself. */
void cache_keeper_enter(struct cache *cache);
/* After an abort without a failure; cache_write_end does it by itself. */
void cache_keeper_leave(struct cache *cache, int rc);
/* What both tiers count, under a name each. */
void cache_count(struct cache *cache, enum stats_id in_memory, enum stats_id on_disk,
                 uint64_t count);
int cache_used_measure(struct cache *cache);
uint64_t cache_used_bytes(const struct cache *cache);
uint64_t cache_entries_of(const struct cache_state *state);
/* 64 pages to 70 % of the map; 0: the most. */
uint64_t cache_quota_clamp(const struct cache *cache, uint64_t quota_bytes);

/* ---- eviction: cache_evict.c --------------------------------------------------------------- */

/* What has to go before a group is written. */
struct cache_need {
    uint64_t bytes;
    uint64_t entries;
};
/* Lets entries go until that is met, or the most that one transaction should. Counts them in
 * *evicted. */
int cache_evict(struct cache *cache, struct store_txn *txn, struct cache_state *state,
                const struct cache_need *need, uint64_t *evicted);
/* Into which queue a new entry goes, when nothing lies under its lo. */
enum cache_queue cache_evict_admit(struct cache *cache, const struct cache_state *state,
                                   uint64_t lo);
/* Remembers lo among the ghosts. */
void cache_evict_remember(struct cache *cache, const struct cache_state *state, uint64_t lo);
/* Every entry goes; the counts too. */
int cache_evict_all(struct store_txn *txn, struct cache_state *state);

/* ---- expired entries: cache_sweep.c -------------------------------------------------------- */

/* Past its time, and past that in which it may answer as stale. */
uint64_t cache_entry_until_ms(const struct cache_entry *entry);
/* That, at keeper.now_wall_ms; or invalidated. */
bool cache_entry_is_dead(const struct cache *cache, const struct cache_entry *entry);
/* One tick's share of the walk. */
int cache_sweep(struct cache *cache);
/* A new entry is good until then. */
void cache_sweep_expect(struct cache *cache, uint64_t until_wall_ms);
