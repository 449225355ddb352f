/* SPDX-License-Identifier: MIT */
/*
 * cache_lease.c - who computes what at the moment: a table of leases in shared memory, so that of
 * many processes that miss the same key one does the work and the others wait for it.
 * A lease is one word (state, slot, token) and fields beside it. Invariants:
 * 1. The word changes by compare-and-swap alone, and every claim takes a new token: a word never
 *    comes back, so whoever remembers one sees whether the lease is still what it was.
 * 2. Fields are written only by the process that has put the word into LEASE_CLAIMED; a reader that
 *    finds the same settled word before and after has read fields that belong together.
 * 3. A waiter sets its bit, then looks at the word again; an owner changes the word, then takes the
 *    bits. Both in one total order, so one of them sees the other: no wake is lost.
 * 4. A slot's leases are swept after its process has died and before the slot is given out anew, so
 *    a token of a dead process is nobody's.
 * Whatever goes wrong (a full bucket, a claimer that was stopped) ends in work done twice, never in
 * a wait without end: a waiter has a deadline of its own.
 */
#include "cache_priv.h"

#include <sched.h>
#include <unistd.h>

enum {
    LEASES = 1 << 14,
    WAYS = 4,
    WAITER_WORDS = (STATS_SLOTS + 63) / 64,
    SPINS = 64,     /* for a claimer at work, some nanoseconds each */
    YIELDS = 16,    /* and for one that lost its processor in the middle */
    ATTEMPTS = 8,   /* a claim that loses so often is given up */
    DONE_MS = 50,   /* a result answers latecomers from its mailbox: the keeper commits meanwhile */
    KEPT_MS = 1000, /* one that is too large is waited for until the keeper has committed it */
    FAILED_MS = 100, /* a failure is not tried again */
    NO_COALESCE_MS = 10000,
    UNTIL_MAX_MS = 60000, /* no lease lasts longer: what says so was not written by this code */
};

enum lease_state {
    LEASE_FREE,
    LEASE_CLAIMED, /* fields are being written */
    LEASE_COMPUTING,
    LEASE_DONE,
    LEASE_FAILED,
    LEASE_NO_COALESCE, /* the result was for one alone: waiting for the next would be in vain */
};

struct lease {
    atomic_uint_least64_t word; /* token: 32 | slot: 8 | state: 8 */
    atomic_uint_least64_t lo, hi;
    atomic_uint_least64_t until_mono_ms;         /* deadline; of a result, how long it counts */
    atomic_uint_least64_t stamp;                 /* the cache's clock when the work began */
    atomic_uint_least64_t waiters[WAITER_WORDS]; /* a bit a slot */
};
_Static_assert(sizeof(struct lease) == CACHE_LINE, "a lease is a line");
_Static_assert(STATS_SLOTS <= 256, "a slot has eight bits");

struct cache_flights {
    _Alignas(CACHE_LINE) atomic_uint token;
    _Alignas(CACHE_LINE) struct lease leases[LEASES];
};

/* A lease's fields as they were under one settled word. */
struct view {
    uint64_t word;
    uint64_t until_mono_ms;
    uint64_t stamp;
    struct digest key;
};

size_t
cache_flights_bytes(void)
{
    return sizeof(struct cache_flights);
}

struct cache_flights *
cache_flights_attach(void *shared_memory)
{
    return shared_memory; /* zeroed: all free */
}

static uint64_t
word_of(enum lease_state state, unsigned slot, uint32_t token)
{
    return token | (uint64_t)slot << 32 | (uint64_t)state << 40;
}

static enum lease_state
state_of(uint64_t word)
{
    return (enum lease_state)(word >> 40 & 0xff);
}

static unsigned
slot_of(uint64_t word)
{
    return (unsigned)(word >> 32 & 0xff);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void
pause_briefly(unsigned round)
{
    if (round >= SPINS) {
        sched_yield();
    }
}

/* False: claimed by somebody who does not come to an end with it. */
static bool
lease_view(struct lease *lease, struct view *out_view)
{
    for (unsigned round = 0; round < SPINS + YIELDS; round++) {
        uint64_t word = atomic_load(&lease->word);
        if (state_of(word) != LEASE_CLAIMED) {
            out_view->word = word;
            out_view->key.lo = atomic_load_explicit(&lease->lo, memory_order_acquire);
            out_view->key.hi = atomic_load_explicit(&lease->hi, memory_order_acquire);
            out_view->until_mono_ms =
                atomic_load_explicit(&lease->until_mono_ms, memory_order_acquire);
            out_view->stamp = atomic_load_explicit(&lease->stamp, memory_order_acquire);
            if (atomic_load(&lease->word) == word) {
                return true;
            }
        }
        pause_briefly(round);
    }
    return false;
}

static bool
view_counts(const struct view *view, uint64_t now_mono_ms)
{
    return now_mono_ms < view->until_mono_ms && view->until_mono_ms - now_mono_ms <= UNTIL_MAX_MS;
}

static uint32_t
bucket_of(const struct digest *key)
{
    return (uint32_t)(key->lo & (LEASES - 1)) & ~(uint32_t)(WAYS - 1);
}

/* The lease of that key, work in progress before a result: 0; AUGURY_NOT_FOUND; AUGURY_ERR_BUSY: it
 * cannot be seen now. */
static int
lease_find(struct cache_flights *flights, const struct digest *key, uint32_t *out_index,
           struct view *out_view)
{
    uint32_t first = bucket_of(key);
    bool is_blind = false;
    int rc = AUGURY_NOT_FOUND;

    for (uint32_t index = first; index < first + WAYS; index++) {
        struct view view;
        if (!lease_view(&flights->leases[index], &view)) {
            is_blind = true;
        } else if (state_of(view.word) != LEASE_FREE && digest_equal(view.key, *key) &&
                   (rc != 0 || state_of(view.word) == LEASE_COMPUTING)) {
            *out_index = index;
            *out_view = view;
            rc = 0;
        }
    }
    return rc != 0 && is_blind ? AUGURY_ERR_BUSY : rc;
}

/* ---- waiting and waking --------------------------------------------------------------------- */

/* False: the lease is not the one of that word any more. */
static bool
lease_wait(struct lease *lease, uint64_t word, unsigned slot)
{
    atomic_fetch_or(&lease->waiters[slot / 64], UINT64_C(1) << slot % 64);
    return atomic_load(&lease->word) == word;
}

static void
lease_wake(struct cache_board *board, struct lease *lease)
{
    const uint64_t one = 1;

    for (unsigned i = 0; i < WAITER_WORDS; i++) {
        if (atomic_load(&lease->waiters[i]) == 0) {
            continue;
        }
        uint64_t bits = atomic_exchange(&lease->waiters[i], 0);
        for (; bits != 0; bits &= bits - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(bits);
            if (slot < board->slots && board->wake_fds[slot] >= 0) {
                /* EAGAIN: the counter is full, so it is awake already. */
                ssize_t written = write(board->wake_fds[slot], &one, sizeof(one));
                (void)written;
            }
        }
    }
}

/* ---- claiming ------------------------------------------------------------------------------- */

struct claim {
    const struct digest *key;
    const struct cache_item *like;
    uint64_t stamp;
    uint64_t now_mono_ms;
    uint64_t deadline_mono_ms;
};

/* Makes a lease this process's if its word is still that of the view. Waiters of the same key stay;
 * those of another one are woken, to claim anew. */
static bool
lease_take(struct cache *cache, uint32_t index, const struct view *view, const struct claim *claim,
           struct cache_lease *out_lease)
{
    struct cache_flights *flights = cache->board->flights;
    struct lease *lease = &flights->leases[index];
    uint32_t token = atomic_fetch_add(&flights->token, 1) + 1;
    uint64_t word = view->word;

    if (!atomic_compare_exchange_strong(&lease->word, &word,
                                        word_of(LEASE_CLAIMED, cache->slot, token))) {
        return false;
    }
    if (!digest_equal(view->key, *claim->key)) {
        lease_wake(cache->board, lease);
    }
    atomic_store_explicit(&lease->lo, claim->key->lo, memory_order_release);
    atomic_store_explicit(&lease->hi, claim->key->hi, memory_order_release);
    atomic_store_explicit(&lease->until_mono_ms, claim->deadline_mono_ms, memory_order_release);
    atomic_store_explicit(&lease->stamp, claim->stamp, memory_order_release);
    *out_lease = (struct cache_lease){
        .key = *claim->key,
        .word = word_of(LEASE_COMPUTING, cache->slot, token),
        .deadline_mono_ms = claim->deadline_mono_ms,
        .index = index,
    };
    atomic_store(&lease->word, out_lease->word);
    return true;
}

/* Ends a lease of this process, in that state. False: it is not its own any more. */
static bool
lease_settle(struct cache *cache, const struct cache_lease *own, enum lease_state state,
             uint64_t until_mono_ms)
{
    struct lease *lease = &cache->board->flights->leases[own->index];
    uint64_t word = own->word;
    uint32_t token = (uint32_t)word;

    if (!atomic_compare_exchange_strong(&lease->word, &word,
                                        word_of(LEASE_CLAIMED, cache->slot, token))) {
        return false;
    }
    atomic_store_explicit(&lease->until_mono_ms, until_mono_ms, memory_order_release);
    atomic_store(&lease->word, word_of(state, cache->slot, token));
    lease_wake(cache->board, lease);
    return true;
}

/* The best place for a new key: a free one, else what no longer counts, else a result that does;
 * work in progress only when nobody has taken it over at its deadline. */
static unsigned
rank_of(const struct view *view, uint64_t now_mono_ms)
{
    bool is_over = !view_counts(view, now_mono_ms);

    switch (state_of(view->word)) {
    case LEASE_FREE: return 4;
    case LEASE_COMPUTING: return is_over ? 1 : 0;
    default: return is_over ? 3 : 2;
    }
}

/* False: the bucket is full of work in progress. */
static bool
victim_find(struct cache_flights *flights, const struct claim *claim, uint32_t *out_index,
            struct view *out_view)
{
    uint32_t first = bucket_of(claim->key);
    unsigned best = 0;

    for (uint32_t index = first; index < first + WAYS; index++) {
        struct view view;
        unsigned rank =
            lease_view(&flights->leases[index], &view) ? rank_of(&view, claim->now_mono_ms) : 0;
        if (rank > best) {
            best = rank;
            *out_index = index;
            *out_view = view;
        }
    }
    return best > 0;
}

/* Whether another way of the bucket has work on the same key: two processes that saw none may have
 * claimed two ways. Both look after their claims, so one at least sees the other. */
static bool
has_twin(struct cache_flights *flights, const struct cache_lease *own)
{
    uint32_t first = bucket_of(&own->key);
    struct view view;

    for (uint32_t index = first; index < first + WAYS; index++) {
        if (index != own->index && lease_view(&flights->leases[index], &view) &&
            state_of(view.word) == LEASE_COMPUTING && digest_equal(view.key, own->key)) {
            return true;
        }
    }
    return false;
}

/* False: it was taken by another, or has a twin, and the bucket has to be looked at again. */
static bool
lease_claim(struct cache *cache, uint32_t index, const struct view *view, const struct claim *claim,
            struct cache_lease *out_lease)
{
    if (!lease_take(cache, index, view, claim, out_lease)) {
        return false;
    }
    if (has_twin(cache->board->flights, out_lease)) {
        (void)lease_settle(cache, out_lease, LEASE_FREE, 0);
        return false;
    }
    return true;
}

/* ---- begin ---------------------------------------------------------------------------------- */

enum attempt { ATTEMPT_AGAIN = -1 }; /* else enum cache_flight */

/* A lease of the key is there: join it, or take it over. */
static int
attempt_found(struct cache *cache, uint32_t index, const struct view *view,
              const struct claim *claim, struct cache_lease *out_lease)
{
    struct lease *lease = &cache->board->flights->leases[index];
    bool counts = view_counts(view, claim->now_mono_ms);
    /* What was begun before an invalidation may not answer who asks after it, if it is about it. */
    bool is_fresh = view->stamp >= claim->stamp ||
                    (claim->like != NULL && !cache_is_outdated(cache, claim->like, view->stamp));

    switch (state_of(view->word)) {
    case LEASE_FAILED:
        if (counts && is_fresh) {
            return CACHE_FLIGHT_FAILED;
        }
        break;
    case LEASE_NO_COALESCE:
        if (counts) {
            return CACHE_FLIGHT_ALONE;
        }
        break;
    default:
        if (counts && is_fresh) {
            *out_lease = (struct cache_lease){.key = *claim->key,
                                              .word = view->word,
                                              .deadline_mono_ms = view->until_mono_ms,
                                              .index = index};
            return lease_wait(lease, view->word, cache->slot) ? CACHE_FLIGHT_WAITER : ATTEMPT_AGAIN;
        }
    }
    if (!lease_claim(cache, index, view, claim, out_lease)) {
        return ATTEMPT_AGAIN;
    }
    if (state_of(view->word) == LEASE_COMPUTING) {
        stats_add(cache->stats, STATS_CACHE_FLIGHTS_TAKEN_OVER, 1);
    }
    return CACHE_FLIGHT_OWNER;
}

static int
attempt_new(struct cache *cache, const struct claim *claim, struct cache_lease *out_lease)
{
    struct cache_flights *flights = cache->board->flights;
    struct view view;
    uint32_t index = 0;

    if (!victim_find(flights, claim, &index, &view)) {
        return CACHE_FLIGHT_ALONE;
    }
    return lease_claim(cache, index, &view, claim, out_lease) ? CACHE_FLIGHT_OWNER : ATTEMPT_AGAIN;
}

static enum cache_flight
flight_begin(struct cache *cache, const struct claim *claim, struct cache_lease *out_lease)
{
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct view view;
        uint32_t index = 0;
        int rc = lease_find(cache->board->flights, claim->key, &index, &view);
        if (rc == AUGURY_ERR_BUSY) {
            return CACHE_FLIGHT_ALONE;
        }
        int attempt = rc == 0 ? attempt_found(cache, index, &view, claim, out_lease)
                              : attempt_new(cache, claim, out_lease);
        if (attempt != ATTEMPT_AGAIN) {
            return (enum cache_flight)attempt;
        }
    }
    return CACHE_FLIGHT_ALONE;
}

enum cache_flight
cache_flight_begin(struct cache *cache, const struct cache_wish *wish, uint64_t now_mono_ms,
                   struct cache_lease *out_lease)
{
    static const enum stats_id counters[] = {
        [CACHE_FLIGHT_OWNER] = STATS_CACHE_FLIGHTS_OWNED,
        [CACHE_FLIGHT_WAITER] = STATS_CACHE_FLIGHTS_JOINED,
        [CACHE_FLIGHT_ALONE] = STATS_CACHE_FLIGHTS_ALONE,
        [CACHE_FLIGHT_FAILED] = STATS_CACHE_FLIGHTS_FAILED,
    };
    enum cache_flight flight = CACHE_FLIGHT_ALONE;

    if (cache->board != NULL) {
        struct claim claim = {.key = &wish->key,
                              .like = wish->like,
                              .stamp = cache_stamp(cache),
                              .now_mono_ms = now_mono_ms,
                              .deadline_mono_ms = now_mono_ms + wish->deadline_ms};
        AUGURY_ASSERT(wish->deadline_ms <= UNTIL_MAX_MS);
        flight = flight_begin(cache, &claim, out_lease);
    }
    stats_add(cache->stats, counters[flight], 1);
    return flight;
}

/* ---- end ------------------------------------------------------------------------------------ */

void
cache_flight_publish(struct cache *cache, const struct cache_lease *lease, int rc,
                     struct bytes value)
{
    uint64_t now_mono_ms = clock_mono_ms();
    enum lease_state state = LEASE_FREE;
    uint64_t until_mono_ms = 0;

    if (atomic_load(&cache->board->flights->leases[lease->index].word) != lease->word) {
        return; /* taken over at its deadline */
    }
    bool is_mailed = value.data != NULL && value.len <= CACHE_MAIL_MAX;
    if (rc != AUGURY_NOT_FOUND && is_mailed) {
        cache_mail_put(cache->board->mails, lease, value);
    }
    if (rc == 0) {
        state = LEASE_DONE;
        until_mono_ms = now_mono_ms + (is_mailed ? DONE_MS : KEPT_MS);
    } else if (rc == AUGURY_END) {
        state = LEASE_NO_COALESCE;
        until_mono_ms = now_mono_ms + NO_COALESCE_MS;
    } else if (rc < 0) {
        state = LEASE_FAILED;
        until_mono_ms = now_mono_ms + FAILED_MS;
    }
    (void)lease_settle(cache, lease, state, until_mono_ms);
}

/* For a lease that cannot be seen: a wake from each of its bucket that is claimed. False: none is
 * any more. */
static bool
bucket_wait(struct cache *cache, const struct digest *key)
{
    struct lease *ways = &cache->board->flights->leases[bucket_of(key)];
    bool is_waiting = false;

    for (uint32_t i = 0; i < WAYS; i++) {
        uint64_t word = atomic_load(&ways[i].word);
        if (state_of(word) == LEASE_CLAIMED && lease_wait(&ways[i], word, cache->slot)) {
            is_waiting = true;
        }
    }
    return is_waiting;
}

/* The lease may be another one than was joined: that one is over, and its wake has been taken. So
 * each look that finds work in progress asks for the next wake. */
static int
look_and_wait(struct cache *cache, const struct digest *key, uint32_t *out_index,
              struct view *out_view)
{
    struct cache_flights *flights = cache->board->flights;

    for (unsigned i = 0; i < ATTEMPTS; i++) {
        int rc = lease_find(flights, key, out_index, out_view);
        if (rc == AUGURY_ERR_BUSY) {
            if (bucket_wait(cache, key)) {
                return rc;
            }
        } else if (rc != 0 || state_of(out_view->word) != LEASE_COMPUTING) {
            return rc;
        } else if (lease_wait(&flights->leases[*out_index], out_view->word, cache->slot)) {
            return AUGURY_ERR_BUSY;
        }
    }
    return AUGURY_NOT_FOUND; /* it changes hands all the time: begin anew */
}

int
cache_flight_look(struct cache *cache, const struct digest *key, struct arena *arena,
                  struct bytes *out_value)
{
    struct view view;
    uint32_t index = 0;

    if (cache->board == NULL) {
        return AUGURY_NOT_FOUND;
    }
    int rc = look_and_wait(cache, key, &index, &view);
    if (rc != 0) {
        return rc;
    }
    struct cache_lease lease = {.key = *key, .word = view.word, .index = index};
    rc = cache_mail_get(cache->board->mails, &lease, arena, out_value);
    if (state_of(view.word) != LEASE_FAILED) {
        return rc;
    }
    *out_value = rc == 0 ? *out_value : bytes_of(NULL, 0);
    return AUGURY_ERR_IO;
}

void
cache_flight_slot_died(struct cache_board *board, unsigned slot)
{
    for (uint32_t index = 0; index < LEASES; index++) {
        struct lease *lease = &board->flights->leases[index];
        uint64_t word = atomic_load(&lease->word);
        bool is_held = state_of(word) == LEASE_CLAIMED || state_of(word) == LEASE_COMPUTING;
        if (is_held && slot_of(word) == slot &&
            atomic_compare_exchange_strong(&lease->word, &word,
                                           word_of(LEASE_FREE, slot, (uint32_t)word))) {
            lease_wake(board, lease);
        }
    }
}
