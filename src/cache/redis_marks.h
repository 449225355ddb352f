/* SPDX-License-Identifier: MIT */
/*
 * redis_marks.h - how invalidations of all machines and the stamps of this one go together.
 * Private to cache. Process: the supervisor writes (its bus), workers read.
 * Every invalidation of every machine is an event of one stream in Redis; an event's mark is its
 * place there. A value in Redis carries the mark of the last event that its maker knew of before it
 * read its inputs. Here is kept which local stamp each event got, so that a value from elsewhere
 * gets a stamp that everything it did not know of outdates, and what is made here the right mark.
 */
#pragma once

#include <stdatomic.h>

#include "augury/base.h"

enum { CACHE_MARK_EVENTS = 4096, CACHE_MARK_SETS = 4096, CACHE_MARK_WAYS = 7 };

enum cache_mark_kind {
    CACHE_MARK_BROAD, /* of a class, a tag, a pattern: the stamp decides what it holds for */
    CACHE_MARK_KEY,   /* of one key */
};

struct cache_mark_event {
    atomic_uint_least64_t mark;
    atomic_uint_least64_t stamp; /* that this machine gave it, or one before it */
    atomic_uint_least64_t top;   /* the clock after it and all before it were done */
    atomic_uint_least64_t kind;
};

/* Keys that were purged or put, by the hash of their text: the newest of each set. */
struct cache_mark_set {
    atomic_uint_least64_t forgotten; /* largest mark of one that fell out */
    struct {
        atomic_uint_least64_t hash; /* 0: free */
        atomic_uint_least64_t mark; /* of the last event about it */
    } ways[CACHE_MARK_WAYS];
};

/* All fields of one moment: sequence is odd while they change. A supervisor killed meanwhile leaves
 * it odd, and nobody uses Redis until the next one has put all in order. */
struct cache_marks {
    atomic_uint_least64_t sequence;
    atomic_uint_least64_t is_known;       /* 0: not connected yet, nothing can be said */
    atomic_uint_least64_t count;          /* events ever; the last ones are in the ring */
    atomic_uint_least64_t base, base_top; /* mark and stamp at the reset */
    atomic_uint_least64_t clean; /* stamp up to which all that this machine did is in the stream */
    atomic_uint_least64_t forgotten; /* largest mark of a broad event that fell out of the ring */
    atomic_uint_least64_t
        unpublished; /* invalidations of this machine that are not in the stream */
    struct cache_mark_event events[CACHE_MARK_EVENTS];
    struct cache_mark_set keys[CACHE_MARK_SETS];
};

/* Process: supervisor. No event yet, and nothing known; values marked before base are dead. stamp:
 * the clock now. */
void cache_marks_reset(struct cache_marks *marks, uint64_t base, uint64_t stamp);
/* All events up to now were added: readers may be told. */
void cache_marks_known(struct cache_marks *marks);
/* The next event of the stream, done here: its place there and its stamps here. */
struct cache_mark_new {
    uint64_t mark;
    uint64_t stamp; /* not after the invalidation's own */
    uint64_t top;   /* not before it */
    enum cache_mark_kind kind;
    struct bytes key; /* of CACHE_MARK_KEY */
};
void cache_marks_add(struct cache_marks *marks, const struct cache_mark_new *event);
/* All invalidations of this machine with a stamp up to it are in the stream and were added. */
void cache_marks_clean(struct cache_marks *marks, uint64_t stamp);
uint64_t cache_marks_last(const struct cache_marks *marks);
/* False also when the last writer died in the middle. */
bool cache_marks_are_known(const struct cache_marks *marks);

/* Process: worker. What a value carries that was made from inputs read at stamp; false: unknown. */
bool cache_marks_of_stamp(const struct cache_marks *marks, uint64_t stamp, uint64_t *out_mark);
/* The stamp of a value that carries mark; false: it may be outdated. is_rendered: made from other
 * entries, which any event may have changed. */
bool cache_marks_to_stamp(const struct cache_marks *marks, uint64_t mark, struct bytes key,
                          bool is_rendered, uint64_t *out_stamp);
