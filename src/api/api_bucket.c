/* SPDX-License-Identifier: MIT */
/*
 * api_bucket.c - token buckets that all workers share, without a lock: a bucket is the time at
 * which it will be full again, and a request moves that time by one interval with a
 * compare-and-swap. What a killed worker leaves is a whole word. Source: ITU-T I.371, "virtual
 * scheduling" (the generic cell rate algorithm).
 * Invariants:
 * 1. A bucket's time is moved only to what is at most burst intervals ahead of the mover's now; a
 *    now that is late by a moment moves it too far, never too little. So in any time t no more than
 *    burst + t / interval requests pass.
 * 2. A full bucket (its time is over) says nothing about whose it was.
 */
#include "augury/api_keys.h"

#include <string.h>

enum {
    KEY_BUCKETS = 8192, /* generations that drain have keys, too */
    CLIENT_SETS = 2048,
    CLIENT_WAYS = 8,
    CLAIMS_MAX = 4,
    IPV6_SITE_BYTES = 8
};

struct api_buckets {
    uint64_t seed[2]; /* nobody chooses which addresses meet in one set */
    struct api_bucket keys[KEY_BUCKETS];
    struct api_bucket clients[CLIENT_SETS][CLIENT_WAYS];
};

size_t
api_buckets_bytes(void)
{
    return sizeof(struct api_buckets);
}

int
api_buckets_attach(void *shared_memory, struct api_buckets **out_buckets)
{
    struct api_buckets *buckets = shared_memory;
    int rc = seal_random((uint8_t *)buckets->seed, sizeof(buckets->seed));

    if (rc == 0) {
        *out_buckets = buckets;
    }
    return rc;
}

static uint64_t
later_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void
api_bucket_take(struct api_bucket *bucket, struct api_rate rate, uint64_t now_mono_ns,
                struct api_take *out_take)
{
    uint64_t deep_ns = rate.interval_ns * rate.burst;
    uint64_t full = atomic_load_explicit(&bucket->full_mono_ns, memory_order_relaxed);
    uint64_t next;
    bool is_allowed;

    do {
        next = later_of(full, now_mono_ns) + rate.interval_ns;
        is_allowed = next - now_mono_ns <= deep_ns;
    } while (is_allowed &&
             !atomic_compare_exchange_weak_explicit(&bucket->full_mono_ns, &full, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    uint64_t owed_ns = (is_allowed ? next : later_of(full, now_mono_ns)) - now_mono_ns;
    *out_take = (struct api_take){
        .is_allowed = is_allowed,
        .limit = rate.burst,
        .left = owed_ns < deep_ns ? (uint32_t)((deep_ns - owed_ns) / rate.interval_ns) : 0,
        .retry_ns = is_allowed ? 0 : next - now_mono_ns - deep_ns,
        .full_ns = owed_ns,
    };
}

/* ---- clients --------------------------------------------------------------------------------- */

static uint64_t
id_of_client(const struct api_buckets *buckets, const struct ip_address *address)
{
    uint8_t text[sizeof(buckets->seed) + sizeof(address->bytes)] = {0};
    size_t len = ip_is_v4(address) ? sizeof(address->bytes) : IPV6_SITE_BYTES;

    memcpy(text, buckets->seed, sizeof(buckets->seed));
    memcpy(text + sizeof(buckets->seed), address->bytes, len);
    return hash64_of(bytes_of(text, sizeof(text))) | 1;
}

/* The place of that client, or the one that is full or will be full first. */
static struct api_bucket *
find_place(struct api_bucket *set, uint64_t id)
{
    struct api_bucket *first = &set[0];

    for (size_t i = 0; i < CLIENT_WAYS; i++) {
        if (atomic_load_explicit(&set[i].id, memory_order_relaxed) == id) {
            return &set[i];
        }
        if (atomic_load_explicit(&set[i].full_mono_ns, memory_order_relaxed) <
            atomic_load_explicit(&first->full_mono_ns, memory_order_relaxed)) {
            first = &set[i];
        }
    }
    return first;
}

/* A client that is new takes over a place with what is owed there: nothing, unless more clients are
 * busy than there are places, and then no more pass than the places let. */
struct api_bucket *
api_bucket_of_client(struct api_buckets *buckets, const struct ip_address *address)
{
    uint64_t id = id_of_client(buckets, address);
    struct api_bucket *set = buckets->clients[(id >> 8) % CLIENT_SETS];
    struct api_bucket *place = find_place(set, id);

    for (unsigned i = 0; i < CLAIMS_MAX; i++) {
        uint64_t old = atomic_load_explicit(&place->id, memory_order_relaxed);
        if (old == id || atomic_compare_exchange_strong_explicit(
                             &place->id, &old, id, memory_order_relaxed, memory_order_relaxed)) {
            break;
        }
        place = find_place(set, id); /* another worker was faster, perhaps for the same client */
    }
    return place;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Where the master puts them: nobody else claims places for keys. */
static uint32_t
place_of_key(struct api_buckets *buckets, const char *name)
{
    uint64_t id = hash64_of(bytes_of_text(name)) | 1;
    uint32_t first = 0;

    for (uint32_t i = 0; i < KEY_BUCKETS; i++) {
        uint64_t there = atomic_load_explicit(&buckets->keys[i].id, memory_order_relaxed);
        if (there == id) {
            return i;
        }
        if (there == 0) {
            first = i;
            break;
        }
        if (atomic_load_explicit(&buckets->keys[i].full_mono_ns, memory_order_relaxed) <
            atomic_load_explicit(&buckets->keys[first].full_mono_ns, memory_order_relaxed)) {
            first = i;
        }
    }
    atomic_store_explicit(&buckets->keys[first].id, id, memory_order_relaxed);
    return first;
}

static void
bucket_fit(struct api_bucket *bucket, struct api_rate rate, uint64_t now_mono_ns)
{
    uint64_t most = now_mono_ns + rate.interval_ns * rate.burst;
    uint64_t full = atomic_load_explicit(&bucket->full_mono_ns, memory_order_relaxed);

    while (full > most &&
           !atomic_compare_exchange_weak_explicit(&bucket->full_mono_ns, &full, most,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void
api_key_fit(struct api_key *key, struct api_buckets *buckets, uint64_t now_mono_ns)
{
    key->bucket = place_of_key(buckets, key->name);
    bucket_fit(&buckets->keys[key->bucket], key->rate, now_mono_ns);
}

void
api_clients_fit(struct api_buckets *buckets, struct api_rate rate, uint64_t now_mono_ns)
{
    for (size_t i = 0; rate.interval_ns != 0 && i < CLIENT_SETS; i++) {
        for (size_t j = 0; j < CLIENT_WAYS; j++) {
            bucket_fit(&buckets->clients[i][j], rate, now_mono_ns);
        }
    }
}

struct api_bucket *
api_bucket_of_key(struct api_buckets *buckets, const struct api_key *key)
{
    return &buckets->keys[key->bucket];
}
