/* SPDX-License-Identifier: MIT */
/*
 * api_fetch.h - objects that are missing, read from where the configuration says they are. Private
 * to the room. A fetch begins in the loop, runs on a thread of the worker's small pool, and ends in
 * the loop; the thread touches nothing but its own struct api_fetch.
 */
#pragma once

#include <stdatomic.h>

#include "api_object.h"

enum fetch_outcome {
    FETCH_DONE,
    FETCH_UNCHANGED, /* the file is the one that is known: only its time is renewed */
    FETCH_ABSENT,
    FETCH_FAILED, /* err says why */
};

/* What those who wait are told: an object, or none. */
struct fetch_conclusion {
    enum fetch_outcome outcome;
    bool has_found; /* of a failure: what is past its time, but not too far */
    struct object_found found;
};

/* A request that waits for a fetch. */
struct fetch_waiter {
    struct fetch_waiter *next;
    struct api_later *later;
    bool is_first; /* the others are coalesced */
};

/* Among the fetches of this name in all workers. */
enum fetch_role {
    FETCH_ALONE,
    FETCH_OWNER,  /* reads for all */
    FETCH_WAITER, /* has what the owner reads */
};

struct api_fetch {
    struct api *api;
    const struct conf_object *section;
    struct bytes name;  /* in room */
    bool is_not_kept;   /* the request said no-store */
    bool is_asked_anew; /* or no-cache */
    enum fetch_role role;
    struct cache_lease lease; /* of owner and waiter */
    bool has_known;           /* of the entry that it may replace */
    uint64_t known_tag, known_expires_wall_ms, known_mtime_ns, known_bytes;
    uint64_t stamp; /* of the cache, from before the file was read */
    uint64_t begin_ns;

    enum fetch_outcome outcome;
    uint64_t mtime_ns, bytes;
    struct buf stored; /* of FETCH_DONE: room for the header and type, then the content */
    struct err err;    /* of FETCH_FAILED */

    /* From then on it goes on only until it is kept. */
    bool is_concluded;
    struct fetch_conclusion conclusion;

    struct fetch_waiter *waiters;
    struct api_fetch *next_active; /* loop */
    struct api_fetch *next_ended;  /* on its way from the thread */
    struct job job;
    char room[OBJECT_NAME_MAX];
};

struct api_fetches {
    struct jobs *jobs;
    _Atomic(struct api_fetch *) ended; /* pushed by threads, taken whole by the loop */
    struct api_fetch *active;
    unsigned active_count;
    unsigned waiting_count; /* for other processes */
    uint64_t random;        /* of early refreshes */
};

/* A kind of source. start() comes back at once; whatever thread has the outcome then calls
 * api_fetch_ended(). */
struct api_fetcher {
    const char *kind;
    void (*start)(struct api_fetch *fetch);
};
void api_fetch_ended(struct api_fetch *fetch);
/* Content type of what is fetched. */
struct bytes fetch_type(const struct api_fetch *fetch);

/* The section that a missing object of that name is fetched by; NULL: none, or no name for it. */
const struct conf_object *object_fetcher(struct api *api, struct bytes name);
/* GET of an object that has a fetcher: api_fetch_get.c. The cache's snapshot is open. */
unsigned object_get_or_fetch(struct api_call *call);

/* found: what the cache has, however old; NULL: nothing. NULL: too many are under way. */
struct api_fetch *fetch_new(struct api_call *call, const struct object_found *found);
void fetch_free(struct api_fetch *fetch);  /* before it was started, or when it has ended */
void fetch_start(struct api_fetch *fetch); /* here, or by another worker: api_fetch_flight.c */
void fetch_read(struct api_fetch *fetch);  /* here */
/* What it is for, its key in text (OBJECT_KEY_MAX); and whether something that holds for that has
 * been invalidated since the fetch began. */
struct cache_item fetch_like(const struct api_fetch *fetch, char *text);
bool fetch_is_outdated(const struct api_fetch *fetch);
/* Under way, or on its way into the cache; NULL. */
struct api_fetch *fetch_find(const struct api_fetches *fetches, struct bytes name);
/* What a fetch that is concluded says. */
unsigned fetch_answer(struct api_call *call, const struct api_fetch *fetch,
                      enum api_x_cache x_cache);

/* False: the object that the file was to be compared with has gone meanwhile, so it is read. */
bool fetch_conclude(struct api_fetch *fetch, uint64_t now_wall_ms,
                    struct fetch_conclusion *out_conclusion);
/* What the cache has, copied: it is answered from several times. */
AUGURY_MUST_USE int fetch_copy_kept(struct api_fetch *fetch, uint64_t now_wall_ms,
                                    struct object_found *out_found);
void fetch_answer_waiters(struct api_fetch *fetch);
/* What the owner has, for other workers; is_kept: the cache will have it. */
void fetch_publish(struct api_fetch *fetch, bool is_kept);

/* Process: worker's loop. Ends the fetches whose outcome has come. */
void api_fetches_look(struct api *api);

/* ---- files: api_fetch_folder.c --------------------------------------------------------------- */

/* The file of that path in the folder, and never one outside: segments are opened one by one,
 * links are not followed, nothing but a regular file is read, hidden files are absent. Sets outcome
 * and what belongs to it. Any thread. */
void fetch_folder_read(struct api_fetch *fetch);
