/* SPDX-License-Identifier: MIT */
/*
 * api_fetch.c - one fetch from its beginning to its end: on a thread it is read, in the loop it is
 * concluded, handed to the keeper, and told to all who wait; then it goes on, answering who does
 * not find it in the cache yet, until the keeper has it.
 */
#include "api_fetch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api_order.h"

enum {
    THREADS = 4,
    ACTIVE_MAX = 64,       /* bounds the memory: each holds at most one file */
    YOUNG_NS = 2000000000, /* a file may change again within its clock's step */
};

/* ---- sources --------------------------------------------------------------------------------- */

static void
folder_run(void *arg)
{
    struct api_fetch *fetch = arg;

    fetch_folder_read(fetch);
    api_fetch_ended(fetch);
}

static void
folder_start(struct api_fetch *fetch)
{
    fetch->job = (struct job){.run = folder_run, .arg = fetch};
    jobs_put(fetch->api->fetches->jobs, &fetch->job);
}

static const struct api_fetcher folder_fetcher = {"folder", folder_start};

const struct conf_object *
object_fetcher(struct api *api, struct bytes name)
{
    const struct conf_object *section =
        api->fetches != NULL ? object_section(api->options.conf, name) : NULL;

    if (section == NULL || section->folder[0] != '/') {
        return NULL;
    }
    for (size_t i = 1; i < name.len; i++) {
        if (name.data[i] == '.' && name.data[i - 1] == '/') {
            return NULL; /* hidden files are nobody's object */
        }
    }
    return section;
}

struct bytes
fetch_type(const struct api_fetch *fetch)
{
    const char *type = fetch->section->content_type;

    return bytes_of_text(strcmp(type, "auto") == 0 ? object_type_of_name(fetch->name) : type);
}

/* ---- the way back from a thread -------------------------------------------------------------- */

void
api_fetch_ended(struct api_fetch *fetch)
{
    struct api_fetches *fetches = fetch->api->fetches;
    int wake_fd = fetch->api->options.wake_fd;
    uint64_t one = 1;

    fetch->next_ended = atomic_load(&fetches->ended);
    while (!atomic_compare_exchange_weak(&fetches->ended, &fetch->next_ended, fetch)) {
    }
    /* A full counter wakes as well. */
    if (wake_fd >= 0 && write(wake_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

/* ---- one fetch ------------------------------------------------------------------------------- */

static void
waiters_free(struct api_fetch *fetch)
{
    while (fetch->waiters != NULL) {
        struct fetch_waiter *waiter = fetch->waiters;
        fetch->waiters = waiter->next;
        api_later_free(&waiter->later);
        free(waiter);
    }
}

static void
fetch_destroy(struct api_fetch *fetch)
{
    waiters_free(fetch);
    buf_fini(&fetch->stored);
    free(fetch);
}

void
fetch_free(struct api_fetch *fetch)
{
    struct api_fetches *fetches = fetch->api->fetches;
    struct api_fetch **link = &fetches->active;

    while (*link != fetch) {
        link = &(*link)->next_active;
    }
    *link = fetch->next_active;
    fetches->active_count--;
    fetch_destroy(fetch);
}

struct api_fetch *
fetch_find(const struct api_fetches *fetches, struct bytes name)
{
    struct api_fetch *fetch = fetches->active;

    while (fetch != NULL && !bytes_equal(fetch->name, name)) {
        fetch = fetch->next_active;
    }
    return fetch;
}

struct api_fetch *
fetch_new(struct api_call *call, const struct object_found *found)
{
    struct api *api = call->api;
    struct api_fetches *fetches = api->fetches;
    struct api_fetch *fetch = fetches->active_count < ACTIVE_MAX ? calloc(1, sizeof(*fetch)) : NULL;

    if (fetch == NULL) {
        return NULL;
    }
    fetch->api = api;
    fetch->section = object_fetcher(api, call->parameter);
    memcpy(fetch->room, call->parameter.data, call->parameter.len);
    fetch->name = bytes_of(fetch->room, call->parameter.len);
    fetch->is_not_kept = call->wish.is_no_store;
    fetch->is_asked_anew = call->wish.is_no_cache;
    fetch->stamp = cache_stamp(api->options.cache);
    fetch->begin_ns = clock_mono_ns();
    if (found != NULL) {
        fetch->has_known = found->object.source_mtime_ns != 0;
        fetch->known_tag = found->tag;
        fetch->known_expires_wall_ms = found->expires_wall_ms;
        fetch->known_mtime_ns = found->object.source_mtime_ns;
        fetch->known_bytes = found->object.source_bytes;
    }
    buf_init(&fetch->stored, CACHE_VALUE_MAX);
    fetch->next_active = fetches->active;
    fetches->active = fetch;
    fetches->active_count++;
    return fetch;
}

void
fetch_read(struct api_fetch *fetch)
{
    folder_fetcher.start(fetch);
}

/* ---- what has come --------------------------------------------------------------------------- */

static uint32_t
cost_us_of(const struct api_fetch *fetch)
{
    uint64_t us = (clock_mono_ns() - fetch->begin_ns) / 1000;

    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* The file's bytes stand behind the room for the header, which is filled here. */
static void
conclude_content(struct api_fetch *fetch, uint64_t now_wall_ms, struct fetch_conclusion *conclusion)
{
    struct bytes whole = buf_view(&fetch->stored);
    struct bytes type = fetch_type(fetch);
    size_t head = OBJECT_HEADER_BYTES + type.len;
    bool is_young = fetch->mtime_ns + YOUNG_NS > now_wall_ms * 1000000;
    struct object object = {.type = type,
                            .content = bytes_of(whole.data + head, whole.len - head),
                            .modified_wall_ms = fetch->mtime_ns / 1000000,
                            .source_mtime_ns = is_young ? 0 : fetch->mtime_ns,
                            .source_bytes = fetch->bytes};

    object_encode_head(&object, fetch->stored.data);
    conclusion->found = (struct object_found){.object = object, .tag = cache_value_tag(whole)};
    conclusion->has_found = true;
}

int
fetch_copy_kept(struct api_fetch *fetch, uint64_t now_wall_ms, struct object_found *out_found)
{
    struct api *api = fetch->api;
    struct object_query query = {.name = fetch->name, .now_wall_ms = now_wall_ms};
    int rc = cache_snapshot_begin(api->options.cache);

    if (rc == 0) {
        rc = object_find(api, &query, out_found);
    }
    if (rc == 0) {
        buf_reset(&fetch->stored);
        buf_put_bytes(&fetch->stored, out_found->stored);
        rc = buf_finish(&fetch->stored);
        out_found->stored = buf_view(&fetch->stored);
        if (rc == 0 && !object_decode(out_found->stored, &out_found->object)) {
            rc = AUGURY_NOT_FOUND;
        }
    }
    cache_snapshot_end(api->options.cache);
    return rc;
}

static void
conclude_failure(struct api_fetch *fetch, uint64_t now_wall_ms, struct fetch_conclusion *conclusion)
{
    uint64_t stale_ms = (uint64_t)fetch->section->stale_if_error_s * 1000;

    conclusion->has_found = fetch_copy_kept(fetch, now_wall_ms, &conclusion->found) == 0 &&
                            now_wall_ms < conclusion->found.expires_wall_ms + stale_ms;
    conclusion->found.x_cache = API_CACHE_STALE;
}

bool
fetch_conclude(struct api_fetch *fetch, uint64_t now_wall_ms,
               struct fetch_conclusion *out_conclusion)
{
    struct fetch_conclusion conclusion = {.outcome = fetch->outcome};
    uint64_t ttl_ms = (uint64_t)fetch->section->ttl_s * 1000;

    switch (fetch->outcome) {
    case FETCH_DONE: conclude_content(fetch, now_wall_ms, &conclusion); break;
    case FETCH_UNCHANGED:
        conclusion.has_found = fetch_copy_kept(fetch, now_wall_ms, &conclusion.found) == 0 &&
                               conclusion.found.tag == fetch->known_tag;
        if (!conclusion.has_found) {
            return false;
        }
        break;
    case FETCH_ABSENT: ttl_ms = (uint64_t)fetch->section->negative_ttl_s * 1000; break;
    case FETCH_FAILED: conclude_failure(fetch, now_wall_ms, &conclusion); break;
    }
    if (fetch->outcome != FETCH_FAILED) {
        conclusion.found.created_wall_ms = now_wall_ms;
        conclusion.found.expires_wall_ms = now_wall_ms + ttl_ms;
    }
    *out_conclusion = conclusion;
    return true;
}

struct cache_item
fetch_like(const struct api_fetch *fetch, char *text)
{
    return (struct cache_item){.class = CACHE_OBJECT,
                               .key = object_key(OBJECT_KEY_VALUE, fetch->name, text)};
}

bool
fetch_is_outdated(const struct api_fetch *fetch)
{
    char text[OBJECT_KEY_MAX];
    struct cache_item like = fetch_like(fetch, text);

    return cache_is_outdated(fetch->api->options.cache, &like, fetch->stamp);
}

/* ---- kept ------------------------------------------------------------------------------------ */

/* Whatever came of it: what was put or deleted meanwhile is newer than the file that was read. */
static void
on_kept(struct api *api, void *arg, int rc)
{
    (void)rc;
    if (api != NULL) {
        fetch_free(arg);
    }
}

/* True: on_kept() will end the fetch, and until then it answers those who do not find it kept. */
static bool
keep_object(struct api_fetch *fetch, struct cache_item *item)
{
    const struct conf_object *section = fetch->section;
    /* For the keeper, what is past its time is not there. */
    bool is_there = fetch->known_expires_wall_ms > item->created_wall_ms;
    struct api_order order = {.kind =
                                  is_there ? CACHE_ORDER_PUT_IF_MATCH : CACHE_ORDER_PUT_IF_ABSENT,
                              .item = item,
                              .match = fetch->known_tag};

    item->value = buf_view(&fetch->stored);
    item->stale_s = section->stale_while_revalidate_s > section->stale_if_error_s
                        ? section->stale_while_revalidate_s
                        : section->stale_if_error_s;
    if (api_order(fetch->api, &order, on_kept, fetch) != 0) {
        stats_add(fetch->api->options.slot, STATS_CACHE_PUTS_DROPPED, 1);
        return false;
    }
    return true;
}

static bool
keep(struct api_fetch *fetch, const struct fetch_conclusion *conclusion)
{
    struct cache *cache = fetch->api->options.cache;
    bool is_absent = conclusion->outcome == FETCH_ABSENT;
    uint8_t absence[OBJECT_HEADER_BYTES + 1];
    char key[OBJECT_KEY_MAX];
    struct cache_item item = {
        .is_fetched = true,
        .class = CACHE_OBJECT,
        .key = object_key(is_absent ? OBJECT_KEY_ABSENCE : OBJECT_KEY_VALUE, fetch->name, key),
        .created_wall_ms = conclusion->found.created_wall_ms,
        .expires_wall_ms = conclusion->found.expires_wall_ms,
        .stamp = fetch->stamp,
        .cost_us = cost_us_of(fetch),
    };

    if (conclusion->outcome == FETCH_FAILED || fetch->is_not_kept || fetch_is_outdated(fetch)) {
        return false;
    }
    if (!is_absent) {
        return keep_object(fetch, &item);
    }
    struct object nothing = {.type = bytes_of_text("-")};
    object_encode(&nothing, absence);
    item.value = bytes_of(absence, sizeof(absence));
    (void)cache_put(cache, &item); /* counts what it drops */
    return false;
}

/* ---- answered -------------------------------------------------------------------------------- */

unsigned
fetch_answer(struct api_call *call, const struct api_fetch *fetch, enum api_x_cache x_cache)
{
    const struct fetch_conclusion *conclusion = &fetch->conclusion;
    struct object_found found = conclusion->found;

    if (conclusion->outcome == FETCH_ABSENT) {
        struct api_freshness freshness = {.x_cache = x_cache,
                                          .created_wall_ms = found.created_wall_ms,
                                          .expires_wall_ms = found.expires_wall_ms};
        return object_answer_missing(call, &freshness);
    }
    if (!conclusion->has_found) {
        return api_refuse_as(call, 502, fetch->err.code, "%s", fetch->err.reason);
    }
    if (conclusion->outcome != FETCH_FAILED) {
        found.x_cache = x_cache;
    } else {
        stats_add(call->api->options.slot, STATS_OBJECT_STALE_ERROR, 1);
    }
    return object_answer(call, &found);
}

void
fetch_answer_waiters(struct api_fetch *fetch)
{
    struct api *api = fetch->api;

    while (fetch->waiters != NULL) {
        struct fetch_waiter *waiter = fetch->waiters;
        struct api_call *call = api_later_begin(api, waiter->later);
        enum api_x_cache x_cache = waiter->is_first ? API_CACHE_MISS : API_CACHE_COALESCED;
        fetch->waiters = waiter->next;
        if (call != NULL) {
            api_later_end(api, &waiter->later, fetch_answer(call, fetch, x_cache));
        }
        api_later_free(&waiter->later);
        free(waiter);
    }
}

static void
count(const struct api_fetch *fetch)
{
    static const enum stats_id ids[] = {
        [FETCH_DONE] = STATS_OBJECT_FETCHED,
        [FETCH_UNCHANGED] = STATS_OBJECT_UNCHANGED,
        [FETCH_ABSENT] = STATS_OBJECT_ABSENT,
        [FETCH_FAILED] = STATS_OBJECT_FETCH_FAILED,
    };
    struct stats_slot *slot = fetch->api->options.slot;

    stats_add(slot, ids[fetch->outcome], 1);
    stats_observe(slot, STATS_OBJECT_FETCH_SECONDS, clock_mono_ns() - fetch->begin_ns);
}

static void
fetch_end(struct api_fetch *fetch)
{
    count(fetch);
    if (!fetch_conclude(fetch, clock_wall_ms(), &fetch->conclusion)) {
        fetch->has_known = false;
        fetch_read(fetch);
        return;
    }
    fetch->is_concluded = true;
    bool is_going_on = keep(fetch, &fetch->conclusion);
    fetch_publish(fetch, is_going_on);
    fetch_answer_waiters(fetch);
    if (!is_going_on) {
        fetch_free(fetch);
    }
}

void
api_fetches_look(struct api *api)
{
    struct api_fetches *fetches = api->fetches;
    struct api_fetch *ended = fetches != NULL ? atomic_exchange(&fetches->ended, NULL) : NULL;

    while (ended != NULL) {
        struct api_fetch *fetch = ended;
        ended = fetch->next_ended;
        jobs_wait(fetches->jobs, &fetch->job); /* its thread may still be leaving it */
        fetch_end(fetch);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

int
api_fetches_init(struct api *api)
{
    const struct conf *conf = api->options.conf;
    bool has_folder = false;

    for (uint32_t i = 0; i < conf->object_count; i++) {
        has_folder = has_folder || conf->objects[i].folder[0] == '/';
    }
    if (!has_folder || api->options.cache == NULL) {
        return 0;
    }
    api->fetches = calloc(1, sizeof(*api->fetches));
    if (api->fetches == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    api->fetches->random = clock_mono_ns() | 1;
    return jobs_new(THREADS, &api->fetches->jobs);
}

void
api_fetches_fini(struct api *api)
{
    struct api_fetches *fetches = api->fetches;

    if (fetches == NULL) {
        return;
    }
    jobs_free(&fetches->jobs); /* does what was begun */
    while (fetches->active != NULL) {
        struct api_fetch *fetch = fetches->active;
        fetches->active = fetch->next_active;
        fetch_destroy(fetch);
    }
    free(fetches);
    api->fetches = NULL;
}
