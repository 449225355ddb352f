/* SPDX-License-Identifier: MIT */
/*
 * cache_mail.c - results of single flights, in shared memory, from the moment when they are known:
 * those who wait need not wait for the commit, and results that are not kept are shared as well.
 * A box belongs to several leases, and its last writer wins: a reader copies it and believes it
 * only when the check over lease, length and bytes is right, so a box that is written meanwhile, or
 * that was left half-written by a killed process, is an empty one. All words are atomics, because
 * readers and writers meet.
 */
#include "cache_priv.h"

#include <string.h>

enum { MAILS = 256, MAIL_WORDS = CACHE_MAIL_MAX / 8 };

struct mail {
    atomic_uint_least64_t token; /* of the lease; 0: empty */
    atomic_uint_least64_t check;
    atomic_uint_least64_t len;
    atomic_uint_least64_t words[MAIL_WORDS];
};

struct cache_mails {
    struct mail mails[MAILS];
};

size_t
cache_mails_bytes(void)
{
    return sizeof(struct cache_mails);
}

struct cache_mails *
cache_mails_attach(void *shared_memory)
{
    return shared_memory; /* zeroed: all empty */
}

static uint32_t
token_of(const struct cache_lease *lease)
{
    return (uint32_t)lease->word;
}

static uint64_t
check_of(const struct cache_lease *lease, struct bytes value)
{
    const uint64_t parts[] = {lease->key.lo, lease->key.hi, token_of(lease), value.len,
                              hash64_of(value)};

    return hash64_of(bytes_of((const uint8_t *)parts, sizeof(parts)));
}

void
cache_mail_put(struct cache_mails *mails, const struct cache_lease *lease, struct bytes value)
{
    struct mail *mail = &mails->mails[lease->index % MAILS];

    if (value.len > CACHE_MAIL_MAX) {
        return;
    }
    atomic_store_explicit(&mail->token, 0, memory_order_relaxed);
    for (size_t at = 0; at < value.len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, value.data + at, value.len - at < 8 ? value.len - at : 8);
        atomic_store_explicit(&mail->words[at / 8], word, memory_order_relaxed);
    }
    atomic_store_explicit(&mail->len, value.len, memory_order_relaxed);
    atomic_store_explicit(&mail->check, check_of(lease, value), memory_order_relaxed);
    atomic_store_explicit(&mail->token, token_of(lease), memory_order_release);
}

int
cache_mail_get(struct cache_mails *mails, const struct cache_lease *lease, struct arena *arena,
               struct bytes *out_value)
{
    struct mail *mail = &mails->mails[lease->index % MAILS];

    if (atomic_load_explicit(&mail->token, memory_order_acquire) != token_of(lease)) {
        return AUGURY_NOT_FOUND;
    }
    uint64_t len = atomic_load_explicit(&mail->len, memory_order_relaxed);
    uint64_t check = atomic_load_explicit(&mail->check, memory_order_relaxed);
    uint8_t *room = len <= CACHE_MAIL_MAX ? arena_alloc(arena, (size_t)len + 8) : NULL;
    if (room == NULL) {
        return AUGURY_NOT_FOUND;
    }
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = atomic_load_explicit(&mail->words[at / 8], memory_order_relaxed);
        memcpy(room + at, &word, sizeof(word));
    }
    struct bytes value = bytes_of(room, (size_t)len);
    if (check_of(lease, value) != check) {
        return AUGURY_NOT_FOUND;
    }
    *out_value = value;
    return 0;
}
