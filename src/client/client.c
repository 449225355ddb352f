/* SPDX-License-Identifier: MIT */
/*
 * client.c - libaugury's few functions over the cache's reader. The library holds this file and
 * what it needs of cache, store and base, its own copies, invisible to the program.
 */
#include "augury/client.h"

#include <stdlib.h>
#include <unistd.h>

#include "augury/cache.h"

_Static_assert((int)AUGURY_CLIENT_VALUE_MAX == (int)CACHE_VALUE_MAX, "the cache's limit");

struct augury_client {
    struct cache_reader *reader;
    pid_t pid; /* LMDB's environments do not cross a fork */
};

/* The heads that values of these classes have: docs/formats.md. */
enum { OBJECT_TYPE_AT = 2 };

static size_t
content_at(struct bytes key, struct bytes value)
{
    size_t at = 0;

    if (bytes_start_with(key, "object:") && value.len >= CACHE_OBJECT_HEAD) {
        at = CACHE_OBJECT_HEAD + (size_t)le16_get(value.data + OBJECT_TYPE_AT);
    } else if (bytes_start_with(key, "response:")) {
        at = CACHE_RESPONSE_HEAD;
    }
    return at <= value.len ? at : 0;
}

static int
code_of(int rc)
{
    switch (rc) {
    case 0: return AUGURY_CLIENT_OK;
    case AUGURY_NOT_FOUND: return AUGURY_CLIENT_MISS;
    case AUGURY_ERR_LIMIT: return AUGURY_CLIENT_TOO_SMALL;
    case AUGURY_ERR_DENIED: return AUGURY_CLIENT_DENIED;
    case AUGURY_ERR_NOMEM: return AUGURY_CLIENT_MEMORY;
    case AUGURY_ERR_BUSY: return AUGURY_CLIENT_BUSY;
    default: return AUGURY_CLIENT_FAILED;
    }
}

int
augury_client_open(const char *cache_dir, struct augury_client **out_client)
{
    struct augury_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return AUGURY_CLIENT_MEMORY;
    }
    client->pid = getpid();
    int rc = cache_reader_open(cache_dir, &client->reader, NULL);
    if (rc != 0) {
        free(client);
        return rc == AUGURY_NOT_FOUND ? (int)AUGURY_CLIENT_ABSENT : code_of(rc);
    }
    *out_client = client;
    return AUGURY_CLIENT_OK;
}

void
augury_client_close(struct augury_client **client)
{
    if (*client == NULL) {
        return;
    }
    /* In a child it is the parent's: closing would clear the parent's place in the lock file. */
    if ((*client)->pid == getpid()) {
        cache_reader_close(&(*client)->reader);
    }
    free(*client);
    *client = NULL;
}

int
augury_client_get(struct augury_client *client, const void *key, size_t key_bytes, void *room,
                  size_t room_bytes, struct augury_client_entry *out_entry)
{
    struct cache_hit hit = {.created_wall_ms = 0};

    if (client->pid != getpid()) {
        return AUGURY_CLIENT_FORKED;
    }
    int rc = cache_reader_get(client->reader, bytes_of(key, key_bytes), clock_wall_ms(), room,
                              room_bytes, &hit);
    if (out_entry != NULL && (rc == 0 || rc == AUGURY_ERR_LIMIT)) {
        *out_entry = (struct augury_client_entry){.created_ms = hit.created_wall_ms,
                                                  .expires_ms = hit.expires_wall_ms,
                                                  .value_bytes = hit.value.len};
        out_entry->content_at = rc == 0 ? content_at(bytes_of(key, key_bytes), hit.value) : 0;
    }
    return code_of(rc);
}

const char *
augury_client_strerror(int code)
{
    switch ((enum augury_client_code)code) {
    case AUGURY_CLIENT_OK: return "done";
    case AUGURY_CLIENT_MISS: return "no valid entry";
    case AUGURY_CLIENT_TOO_SMALL: return "the value is larger than the room for it";
    case AUGURY_CLIENT_ABSENT: return "no cache in that folder";
    case AUGURY_CLIENT_DENIED: return "no right to the cache's folder or files";
    case AUGURY_CLIENT_MEMORY: return "out of memory";
    case AUGURY_CLIENT_BUSY: return "more readers than there is room for";
    case AUGURY_CLIENT_FORKED: return "opened by another process";
    case AUGURY_CLIENT_FAILED: return "the cache is damaged or of another version";
    }
    return "unknown code";
}
