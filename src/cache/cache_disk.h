/* SPDX-License-Identifier: MIT */
/*
 * cache_disk.h - the tier below memory, as the other files of this room see it: cache_disk.c writes
 * (keeper), cache_below.c reads (workers), cache_warm.c brings back (keeper), cache_mark.c knows
 * whether what lies there may be read. Every function does nothing without a disk tier.
 */
#pragma once

#include "cache_priv.h"

/* What comes back into memory after a start, newest first. */
struct cache_warm {
    bool is_on;
    bool has_ended;         /* and nobody has been told yet */
    enum cache_queue queue; /* main, of what was asked for on disk, then small */
    uint64_t upper_seq;     /* what is below it is still to come */
    uint64_t floor_seq;     /* the oldest of the queue */
    uint64_t entries;       /* brought back */
    uint8_t *room;          /* for a long value */
};

struct cache_disk {
    struct cache_disk_options options;
    uint64_t next_mono_ns; /* of a turn */
    uint64_t stamp;        /* of the clock before the group that is being written */
    int lock_fd;           /* the keeper's, on the folder; -1: not held */
    struct err why;        /* the keeper's: why the tier was off when it was tried last */
    bool has_been_off;
    bool has_missed; /* something could not be removed: the tier begins empty when it is on again */
    struct cache_warm warm;
};

/* ---- cache_disk.c --------------------------------------------------------------------------- */

/* Before memory is opened: memory's keeper takes the disk's secret over when it is made anew. A
 * disk that cannot be opened is off. */
int cache_disk_open(struct cache *cache, const struct cache_disk_options *options);
/* Afterwards, and when it is on again: one secret, the quota. */
void cache_disk_settle(struct cache *cache);
void cache_disk_close(struct cache *cache);
struct cache *cache_below_new(struct cache *cache, const struct cache_disk_options *options);

/* Within the transaction of a group: what its orders take away goes from the disk first. */
void cache_disk_before(struct cache *cache, const struct cache_ring_record *records,
                       const int *results, size_t count);
/* After its commit, before the tails move: what it put goes down. */
void cache_disk_after(struct cache *cache, const struct cache_ring_record *records,
                      const int *results, size_t count);
/* Within memory's transaction: what it invalidates is committed on the disk first. */
int cache_disk_moves(struct cache *cache);
void cache_disk_turn(struct cache *cache);
/* On the disk: whether its key has been put by order, or purged, since it was handed down. */
bool cache_disk_is_outdone(const struct cache *below, const struct cache_ring_record *record);
void cache_disk_tick(struct cache *cache);
void cache_disk_gauges(struct cache *cache);

/* ---- cache_below.c -------------------------------------------------------------------------- */

/* Looks a key up that memory does not have; a hit is put into memory as well. */
int cache_below_get(struct cache *cache, const struct cache_query *query,
                    struct cache_hit *out_hit);
/* An entry of the disk as it comes up. */
struct cache_item cache_item_of_entry(const struct cache *cache, const struct cache_entry *entry,
                                      struct bytes value, uint64_t now_wall_ms);
void cache_below_end(struct cache *cache); /* of the snapshot */
/* Keeper: whether the disk has what that copy was made of. */
bool cache_below_still_has(struct cache *cache, const struct cache_ring_record *record);
/* An order looks into memory alone: what lies on the disk alone comes up first. */
int cache_below_pull(struct cache *cache, struct store_txn *txn, struct cache_state *state,
                     struct bytes key);

/* ---- cache_warm.c --------------------------------------------------------------------------- */

void cache_warm_begin(struct cache *cache);
bool cache_warm_is_due(const struct cache *cache);
void cache_warm_slice(struct cache *cache);

/* ---- cache_mark.c: a file beside the environment -------------------------------------------- */

/* Makes the folder and takes it, unless *lock_fd holds it already: AUGURY_ERR_BUSY when another
 * daemon has it. Removes an environment that may not be read again, then says that one is open in
 * this run of the machine. */
int cache_mark_begin(const char *dir, int *lock_fd, bool *out_was_removed, struct err *err);
void cache_mark_end(const char *dir);   /* closed and synced */
void cache_mark_clear(const char *dir); /* not to be read again */
