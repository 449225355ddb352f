/* SPDX-License-Identifier: MIT */
/*
 * api_fetch_flight.c - one fetch of an object for all workers: the one that holds its lease reads,
 * the others' fetches wait for what comes of it, in a mailbox or, when it is large, in the cache. A
 * fetch that waits is looked at when this worker's eventfd is written and at every tick; at the
 * lease's deadline, or when the owner has died, one of them takes over and reads.
 */
#include "api_fetch.h"

#include <string.h>
#include <unistd.h>

enum {
    LEASE_MS = 2000,
    GIVE_UP_MS = 8000, /* whatever others do: this worker reads then */
    MAIL_HEADER = 17,  /* outcome, created, expires; then the stored object */
};

/* In the loop's next turn: not within the handler that begins the fetch, whose own call cannot be
 * answered yet. */
static void
look_soon(const struct api *api)
{
    const uint64_t one = 1;

    /* A full counter wakes as well, and the tick looks in any case. */
    ssize_t written = write(api->options.wake_fd, &one, sizeof(one));
    (void)written;
}

static void
take_role(struct api_fetch *fetch, enum fetch_role role)
{
    struct api_fetches *fetches = fetch->api->fetches;

    fetches->waiting_count -= fetch->role == FETCH_WAITER ? 1 : 0;
    fetches->waiting_count += role == FETCH_WAITER ? 1 : 0;
    fetch->role = role;
}

static void
lead(struct api_fetch *fetch, enum fetch_role role)
{
    take_role(fetch, role);
    fetch->stamp = cache_stamp(fetch->api->options.cache);
    fetch_read(fetch);
}

static enum cache_flight
begin(struct api_fetch *fetch)
{
    struct cache *cache = fetch->api->options.cache;
    char text[OBJECT_KEY_MAX];
    struct cache_item like = fetch_like(fetch, text);
    struct cache_wish wish = {
        .key = cache_digest(cache, like.key), .like = &like, .deadline_ms = LEASE_MS};

    fetch->lease = (struct cache_lease){.key = wish.key};
    return cache_flight_begin(cache, &wish, clock_mono_ms(), &fetch->lease);
}

void
fetch_start(struct api_fetch *fetch)
{
    struct api *api = fetch->api;

    /* Who wants it anew does not want what another process has begun before. */
    if (fetch->is_not_kept || fetch->is_asked_anew) {
        lead(fetch, FETCH_ALONE);
        return;
    }
    enum cache_flight flight = begin(fetch);
    if (flight == CACHE_FLIGHT_OWNER) {
        lead(fetch, FETCH_OWNER);
    } else if (flight == CACHE_FLIGHT_ALONE || api_tick_start(api) != 0) {
        lead(fetch, FETCH_ALONE);
    } else {
        take_role(fetch, FETCH_WAITER);
        look_soon(api);
    }
}

/* ---- what the owner has ---------------------------------------------------------------------- */

/* No data: too large for a mailbox. */
static struct bytes
mail_of(const struct api_fetch *fetch, uint8_t *room)
{
    const struct fetch_conclusion *conclusion = &fetch->conclusion;
    struct bytes content = bytes_of(NULL, 0);

    if (conclusion->outcome == FETCH_FAILED) {
        content = bytes_of_text(fetch->err.reason);
    } else if (conclusion->outcome != FETCH_ABSENT) {
        content = buf_view(&fetch->stored);
    }
    if (MAIL_HEADER + content.len > CACHE_MAIL_MAX) {
        return bytes_of(NULL, 0);
    }
    room[0] = (uint8_t)conclusion->outcome;
    le64_put(room + 1, conclusion->found.created_wall_ms);
    le64_put(room + 9, conclusion->found.expires_wall_ms);
    if (content.len > 0) {
        memcpy(room + MAIL_HEADER, content.data, content.len);
    }
    return bytes_of(room, MAIL_HEADER + content.len);
}

void
fetch_publish(struct api_fetch *fetch, bool is_kept)
{
    uint8_t room[CACHE_MAIL_MAX];

    if (fetch->role != FETCH_OWNER) {
        return;
    }
    take_role(fetch, FETCH_ALONE);
    struct cache *cache = fetch->api->options.cache;
    struct bytes mail = mail_of(fetch, room);
    int rc = 0;
    if (fetch->conclusion.outcome == FETCH_FAILED) {
        rc = AUGURY_ERR_IO;
    } else if (mail.data == NULL && !is_kept) {
        /* Too large to be handed on: whoever waits reads it himself, and nobody waits for the next
         * one. Unless it is only too old. */
        rc = fetch_is_outdated(fetch) ? AUGURY_NOT_FOUND : AUGURY_END;
    }
    cache_flight_publish(cache, &fetch->lease, rc, mail);
}

/* ---- what the others get --------------------------------------------------------------------- */

/* From a mailbox: checked there, and looked at again as everything that another process wrote. */
static bool
conclude_mail(struct api_fetch *fetch, struct bytes mail)
{
    struct fetch_conclusion conclusion = {.has_found = true};

    if (mail.len < MAIL_HEADER) {
        return false;
    }
    conclusion.outcome = mail.data[0] == FETCH_ABSENT ? FETCH_ABSENT : FETCH_DONE;
    conclusion.found.created_wall_ms = le64_get(mail.data + 1);
    conclusion.found.expires_wall_ms = le64_get(mail.data + 9);
    if (conclusion.outcome == FETCH_DONE) {
        buf_reset(&fetch->stored);
        buf_put(&fetch->stored, mail.data + MAIL_HEADER, mail.len - MAIL_HEADER);
        conclusion.found.stored = buf_view(&fetch->stored);
        conclusion.found.tag = cache_value_tag(conclusion.found.stored);
        if (buf_finish(&fetch->stored) != 0 ||
            !object_decode(conclusion.found.stored, &conclusion.found.object)) {
            return false;
        }
    }
    fetch->conclusion = conclusion;
    return true;
}

/* From the cache, if it has another one than when the fetch began. */
static bool
conclude_kept(struct api_fetch *fetch)
{
    uint64_t now_wall_ms = clock_wall_ms();
    struct fetch_conclusion conclusion = {.outcome = FETCH_DONE, .has_found = true};

    if (fetch_copy_kept(fetch, now_wall_ms, &conclusion.found) != 0 ||
        conclusion.found.expires_wall_ms <= now_wall_ms ||
        conclusion.found.expires_wall_ms == fetch->known_expires_wall_ms) {
        return false;
    }
    fetch->conclusion = conclusion;
    return true;
}

static void
end_wait(struct api_fetch *fetch)
{
    struct fetch_waiter *waiter = fetch->waiters;

    take_role(fetch, FETCH_ALONE);
    for (; waiter != NULL; waiter = waiter->next) {
        stats_add(fetch->api->options.slot, STATS_OBJECT_COALESCED, waiter->is_first ? 1 : 0);
        waiter->is_first = false;
    }
    fetch_answer_waiters(fetch);
    fetch_free(fetch);
}

/* mail: why, if its owner has said so. What is past its time may answer instead. */
static void
end_failed(struct api_fetch *fetch, struct bytes mail)
{
    struct bytes reason = bytes_of_text("the object could not be read a moment ago");

    if (mail.len > MAIL_HEADER && mail.data[0] == FETCH_FAILED) {
        reason = bytes_of(mail.data + MAIL_HEADER, mail.len - MAIL_HEADER);
    }
    fetch->outcome = FETCH_FAILED;
    (void)err_set(&fetch->err, AUGURY_ERR_IO, "fetch_failed", "%.*s", (int)reason.len,
                  (const char *)reason.data);
    if (fetch_conclude(fetch, clock_wall_ms(), &fetch->conclusion)) {
        end_wait(fetch);
    }
}

static void
begin_again(struct api_fetch *fetch)
{
    switch (begin(fetch)) {
    case CACHE_FLIGHT_OWNER: lead(fetch, FETCH_OWNER); break;
    case CACHE_FLIGHT_ALONE: lead(fetch, FETCH_ALONE); break;
    case CACHE_FLIGHT_FAILED:
    case CACHE_FLIGHT_WAITER: break; /* the next look */
    }
}

static void
look(struct api_fetch *fetch)
{
    struct api *api = fetch->api;
    struct bytes mail;
    int rc = cache_flight_look(api->options.cache, &fetch->lease.key, &api->arena, &mail);

    if (rc == AUGURY_ERR_BUSY && clock_mono_ms() < fetch->lease.deadline_mono_ms) {
        return;
    }
    bool is_given_up = clock_mono_ns() - fetch->begin_ns > GIVE_UP_MS * UINT64_C(1000000);
    if (fetch->waiters == NULL) {
        end_wait(fetch); /* a refresh, which another process has made */
    } else if (rc == AUGURY_ERR_IO) {
        end_failed(fetch, mail);
    } else if ((rc == 0 && conclude_mail(fetch, mail)) ||
               (rc == AUGURY_NOT_FOUND && conclude_kept(fetch))) {
        end_wait(fetch);
    } else if (is_given_up) {
        lead(fetch, FETCH_ALONE);
    } else {
        begin_again(fetch);
    }
}

void
api_fetches_follow(struct api *api)
{
    struct api_fetch *fetch = api->fetches != NULL ? api->fetches->active : NULL;

    while (fetch != NULL) {
        struct api_fetch *next = fetch->next_active;
        if (fetch->role == FETCH_WAITER) {
            look(fetch);
        }
        fetch = next;
    }
}

bool
api_fetches_are_waiting(const struct api *api)
{
    return api->fetches != NULL && api->fetches->waiting_count > 0;
}
