/* SPDX-License-Identifier: MIT */
/*
 * redis_marks.c - the table behind redis_marks.h. One writer; readers look at the sequence before
 * and after, and rather miss than wait. Every word is stored as a release and loaded as an acquire:
 * none is seen before the sequence that precedes it, nor after the one that follows. In doubt a
 * value is dead: the price is a miss.
 */
#include "redis_marks.h"

enum { TRIES = 8 };

static uint64_t
load(const atomic_uint_least64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static void
store(atomic_uint_least64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t
key_hash(struct bytes key)
{
    return hash64_of(key) | 1; /* 0 is a free place */
}

static size_t
set_of(uint64_t hash)
{
    return (size_t)(hash >> 32) % CACHE_MARK_SETS;
}

/* ---- the writer ---------------------------------------------------------------------------- */

static void
write_begin(struct cache_marks *marks)
{
    store(&marks->sequence, load(&marks->sequence) | 1);
}

static void
write_end(struct cache_marks *marks)
{
    atomic_store_explicit(&marks->sequence, (load(&marks->sequence) | 1) + 1, memory_order_release);
}

void
cache_marks_reset(struct cache_marks *marks, uint64_t base, uint64_t stamp)
{
    write_begin(marks);
    store(&marks->count, 0);
    store(&marks->base, base);
    store(&marks->base_top, stamp);
    store(&marks->clean, stamp);
    store(&marks->forgotten, base);
    for (size_t i = 0; i < CACHE_MARK_SETS; i++) {
        store(&marks->keys[i].forgotten, 0);
        for (size_t way = 0; way < CACHE_MARK_WAYS; way++) {
            store(&marks->keys[i].ways[way].hash, 0);
        }
    }
    store(&marks->is_known, 0);
    write_end(marks);
}

void
cache_marks_known(struct cache_marks *marks)
{
    write_begin(marks);
    store(&marks->is_known, 1);
    write_end(marks);
}

static uint64_t
last_top(const struct cache_marks *marks)
{
    uint64_t count = load(&marks->count);

    return count == 0 ? load(&marks->base_top)
                      : load(&marks->events[(count - 1) % CACHE_MARK_EVENTS].top);
}

uint64_t
cache_marks_last(const struct cache_marks *marks)
{
    uint64_t count = load(&marks->count);

    return count == 0 ? load(&marks->base)
                      : load(&marks->events[(count - 1) % CACHE_MARK_EVENTS].mark);
}

/* In its own place, a free one, or that of the oldest. */
static void
key_add(struct cache_marks *marks, uint64_t hash, uint64_t mark)
{
    struct cache_mark_set *set = &marks->keys[set_of(hash)];
    size_t place = 0;

    for (size_t way = 0; way < CACHE_MARK_WAYS; way++) {
        uint64_t there = load(&set->ways[way].hash);
        if (there == hash) {
            place = way;
            break;
        }
        bool is_better = there == 0 ? load(&set->ways[place].hash) != 0
                                    : load(&set->ways[place].hash) != 0 &&
                                          load(&set->ways[way].mark) < load(&set->ways[place].mark);
        place = is_better ? way : place;
    }
    uint64_t was = load(&set->ways[place].hash);
    if (was != 0 && was != hash && load(&set->ways[place].mark) > load(&set->forgotten)) {
        store(&set->forgotten, load(&set->ways[place].mark));
    }
    store(&set->ways[place].hash, hash);
    store(&set->ways[place].mark, mark);
}

bool
cache_marks_are_known(const struct cache_marks *marks)
{
    return (load(&marks->sequence) & 1) == 0 && load(&marks->is_known) != 0;
}

void
cache_marks_add(struct cache_marks *marks, const struct cache_mark_new *fresh)
{
    uint64_t count = load(&marks->count);
    struct cache_mark_event *event = &marks->events[count % CACHE_MARK_EVENTS];
    uint64_t top = last_top(marks);

    write_begin(marks);
    if (count >= CACHE_MARK_EVENTS && load(&event->kind) == CACHE_MARK_BROAD) {
        store(&marks->forgotten, load(&event->mark));
    }
    store(&event->mark, fresh->mark);
    store(&event->stamp, fresh->stamp);
    store(&event->top, fresh->top > top ? fresh->top : top);
    store(&event->kind, fresh->kind);
    if (fresh->kind == CACHE_MARK_KEY) {
        key_add(marks, key_hash(fresh->key), fresh->mark);
    }
    store(&marks->count, count + 1);
    write_end(marks);
}

void
cache_marks_clean(struct cache_marks *marks, uint64_t stamp)
{
    write_begin(marks);
    store(&marks->clean, stamp);
    write_end(marks);
}

/* ---- readers ------------------------------------------------------------------------------- */

/* false: it changes just now, or the writer died in the middle. */
static bool
read_begin(const struct cache_marks *marks, uint64_t *out_sequence)
{
    *out_sequence = atomic_load_explicit(&marks->sequence, memory_order_acquire);
    return (*out_sequence & 1) == 0;
}

static bool
read_was_whole(const struct cache_marks *marks, uint64_t sequence)
{
    return load(&marks->sequence) == sequence;
}

/* How many of the last events are in the ring. */
static uint64_t
kept(uint64_t count)
{
    return count < CACHE_MARK_EVENTS ? count : CACHE_MARK_EVENTS;
}

/* The newest mark such that whatever came up to it was done here by that stamp. */
static bool
find_mark(const struct cache_marks *marks, uint64_t stamp, uint64_t *out_mark)
{
    uint64_t count = load(&marks->count);

    if (load(&marks->is_known) == 0) {
        return false;
    }
    for (uint64_t i = 0; i < kept(count); i++) {
        const struct cache_mark_event *event = &marks->events[(count - 1 - i) % CACHE_MARK_EVENTS];
        if (load(&event->top) <= stamp) {
            *out_mark = load(&event->mark);
            return true;
        }
    }
    *out_mark = load(&marks->base);
    return count <= CACHE_MARK_EVENTS && load(&marks->base_top) <= stamp;
}

bool
cache_marks_of_stamp(const struct cache_marks *marks, uint64_t stamp, uint64_t *out_mark)
{
    uint64_t sequence = 0;
    uint64_t mark = 0;

    for (int i = 0; i < TRIES; i++) {
        if (!read_begin(marks, &sequence)) {
            continue;
        }
        bool is_found = find_mark(marks, stamp, &mark);
        if (read_was_whole(marks, sequence)) {
            *out_mark = mark;
            return is_found;
        }
    }
    return false;
}

/* Whether an event about the key may have come after the mark. */
static bool
is_key_after(const struct cache_marks *marks, uint64_t hash, uint64_t mark)
{
    const struct cache_mark_set *set = &marks->keys[set_of(hash)];

    for (size_t way = 0; way < CACHE_MARK_WAYS; way++) {
        if (load(&set->ways[way].hash) == hash) {
            return load(&set->ways[way].mark) > mark;
        }
    }
    return load(&set->forgotten) > mark;
}

static bool
find_stamp(const struct cache_marks *marks, uint64_t mark, uint64_t hash, bool is_rendered,
           uint64_t *out_stamp)
{
    uint64_t count = load(&marks->count);
    uint64_t stamp = load(&marks->clean);
    uint64_t i = 0;

    if (load(&marks->is_known) == 0 || mark < load(&marks->base) ||
        is_key_after(marks, hash, mark) || (is_rendered && mark < cache_marks_last(marks))) {
        return false;
    }
    for (; i < kept(count); i++) {
        const struct cache_mark_event *event = &marks->events[(count - 1 - i) % CACHE_MARK_EVENTS];
        if (load(&event->mark) <= mark) {
            break;
        }
        uint64_t done = load(&event->stamp);
        if (load(&event->kind) == CACHE_MARK_BROAD && done <= stamp) {
            stamp = done == 0 ? 0 : done - 1;
        }
    }
    *out_stamp = stamp;
    return i < kept(count) || mark >= load(&marks->forgotten);
}

bool
cache_marks_to_stamp(const struct cache_marks *marks, uint64_t mark, struct bytes key,
                     bool is_rendered, uint64_t *out_stamp)
{
    uint64_t hash = key_hash(key);
    uint64_t sequence = 0;
    uint64_t stamp = 0;

    for (int i = 0; i < TRIES; i++) {
        if (!read_begin(marks, &sequence)) {
            continue;
        }
        bool is_alive = find_stamp(marks, mark, hash, is_rendered, &stamp);
        if (read_was_whole(marks, sequence)) {
            *out_stamp = stamp;
            return is_alive;
        }
    }
    return false;
}
