/* SPDX-License-Identifier: MIT */
/*
 * supervisor_learn.c - predictions made ahead of their next use: the keeper's stream of puts goes
 * to predict, and once a second what is due is made, for a few milliseconds at most. When keys are
 * asked for is kept beside the cache's entries, so that a new start goes on with what is known.
 */
#include "supervisor.h"

#include <stdio.h>
#include <string.h>

enum {
    MADE_MAX = 256, /* a second */
    SLICE = 8,
    BUSY_MS = 5,
    PAGES_A_TURN = 4, /* written */
    NAME_BYTES = 16,
};
_Static_assert((int)PREDICT_HABITS_PAGE_BYTES <= (int)CACHE_NOTE_MAX, "a page fits a note");

static void
on_put(void *arg, const struct cache_item *item)
{
    if (item->class == CACHE_PREDICTION) {
        predict_learn_put(arg, item->key, item->value, item->created_wall_ms,
                          item->expires_wall_ms);
    }
}

/* ---- habits over starts ---------------------------------------------------------------------- */

static struct bytes
page_name(size_t page, char room[static NAME_BYTES])
{
    snprintf(room, NAME_BYTES, "habits/%03zu", page);
    return bytes_of_text(room);
}

/* Of those that have changed, at most so many pages. */
static void
habits_keep(struct supervisor *supervisor, size_t pages_max)
{
    uint8_t bytes[PREDICT_HABITS_PAGE_BYTES];
    char name[NAME_BYTES];
    size_t written = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < PREDICT_HABITS_PAGES && written < pages_max; i++) {
        size_t page = supervisor->learn_page++ % PREDICT_HABITS_PAGES;
        size_t len = predict_habits_take(supervisor->heritage->habits, page, bytes);
        if (len > 0) {
            rc = cache_keeper_note_put(supervisor->cache, page_name(page, name),
                                       bytes_of(bytes, len));
            if (rc != 0) {
                predict_habits_mark(supervisor->heritage->habits, page);
            }
            written++;
        }
    }
}

static void
habits_take_up(struct supervisor *supervisor)
{
    uint8_t bytes[CACHE_NOTE_MAX];
    char name[NAME_BYTES];
    size_t taken = 0;

    for (size_t page = 0; page < PREDICT_HABITS_PAGES; page++) {
        size_t len = 0;
        int rc = cache_keeper_note_get(supervisor->cache, page_name(page, name), bytes, &len);
        if (rc == 0) {
            taken += predict_habits_give(supervisor->heritage->habits, page, bytes_of(bytes, len),
                                         clock_wall_ms());
        }
    }
    if (taken > 0) {
        log_event(&supervisor->heritage->log, LOG_LEVEL_INFO, "habits_known", "keys=%zu", taken);
    }
}

/* ---- start, turn, stop ----------------------------------------------------------------------- */

void
supervisor_learn_stop(struct supervisor *supervisor)
{
    if (supervisor->learn != NULL) {
        cache_keeper_on_put(supervisor->cache, NULL, NULL);
        habits_keep(supervisor, PREDICT_HABITS_PAGES);
        predict_learn_free(&supervisor->learn);
    }
}

void
supervisor_learn_follow(struct supervisor *supervisor)
{
    const struct conf *conf = &supervisor->conf;
    const struct conf_cache_class *class = &conf->cache.classes[CONF_CACHE_PREDICTION];
    struct predict_context context = {.registry = supervisor->registry,
                                      .cache = supervisor->cache,
                                      .stats = supervisor->stats,
                                      .ttl_s = class->ttl_s};
    bool is_wanted = class->is_enabled && conf->cache.is_keeping_rows;
    uint32_t keys = is_wanted ? conf->warm.learn : 0;

    if (keys == supervisor->learn_keys && class->ttl_s == supervisor->learn_ttl_s) {
        return;
    }
    supervisor_learn_stop(supervisor);
    supervisor->learn_keys = keys;
    supervisor->learn_ttl_s = class->ttl_s;
    if (keys == 0) {
        return;
    }
    if (predict_learn_new(&context, keys, &supervisor->learn) != 0) {
        log_event(&supervisor->heritage->log, LOG_LEVEL_WARN, "learn_off",
                  "reason=\"out of memory\"");
        return;
    }
    habits_take_up(supervisor);
    predict_learn_share(supervisor->learn, supervisor->heritage->habits);
    cache_keeper_on_put(supervisor->cache, on_put, supervisor->learn);
}

void
supervisor_learn_turn(struct supervisor *supervisor)
{
    uint64_t end_mono_ms = clock_mono_ms() + BUSY_MS;
    int rc = supervisor->learn == NULL ? AUGURY_END : 0;

    for (size_t made = 0; rc == 0 && made < MADE_MAX && clock_mono_ms() < end_mono_ms;
         made += SLICE) {
        rc = predict_learn_turn(supervisor->learn, clock_wall_ms(), SLICE);
    }
    if (supervisor->learn != NULL) {
        habits_keep(supervisor, PAGES_A_TURN);
    }
}
