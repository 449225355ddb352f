/* SPDX-License-Identifier: MIT */
/*
 * client.h - libaugury: reads entries of auguryd's cache straight from its memory, without a
 * socket. Room: client (floor 3). Process: any program of a user that may read the cache's folder:
 * the daemon's own, root, or a member of the group that the option cache.group names. Links: lmdb,
 * xxhash.
 * Rules: one client a folder and process at a time, and one thread at a time in a client; after a
 * fork the child opens its own. A process that is stopped inside augury_client_get() holds the
 * cache's memory like any of the daemon's; one that is killed there does not.
 * What comes back is a copy, and what the daemon's own lookups would say at that moment: entries
 * past their time, invalidated or banned are misses. Reading leaves no trace: it counts no hit and
 * keeps no entry from being evicted.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum augury_client_code {
    AUGURY_CLIENT_OK = 0,
    AUGURY_CLIENT_MISS = 1,      /* no valid entry */
    AUGURY_CLIENT_TOO_SMALL = 2, /* entry->value_bytes says how much room it takes */
    AUGURY_CLIENT_ABSENT = -1,   /* no cache in that folder */
    AUGURY_CLIENT_DENIED = -2,   /* no right to the folder or its files */
    AUGURY_CLIENT_MEMORY = -3,
    AUGURY_CLIENT_BUSY = -4,   /* more readers than there is room for */
    AUGURY_CLIENT_FORKED = -5, /* opened by another process: open anew */
    AUGURY_CLIENT_FAILED = -6, /* damaged, or of another version than this library */
};

/* Keys are texts as `augury cache get` takes them: "object:slate/2026-11-21". The largest value. */
enum { AUGURY_CLIENT_VALUE_MAX = 1 << 20 };

struct augury_client;
struct augury_client_entry {
    uint64_t created_ms; /* since 1970 */
    uint64_t expires_ms;
    uint64_t value_bytes;
    uint64_t content_at; /* where in the value an object's or a rendered answer's content begins */
};

#pragma GCC visibility push(default)

/* cache_dir: the daemon's option cache.dir. */
int augury_client_open(const char *cache_dir, struct augury_client **out_client);
void augury_client_close(struct augury_client **client);
/* Copies the value under key into room. entry may be NULL. */
int augury_client_get(struct augury_client *client, const void *key, size_t key_bytes, void *room,
                      size_t room_bytes, struct augury_client_entry *out_entry);
/* English, static. */
const char *augury_client_strerror(int code);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
