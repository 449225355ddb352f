/* SPDX-License-Identifier: MIT */
/*
 * supervisor_learn.c - predictions made ahead of their next use: the keeper's stream of puts goes
 * to predict, and once a second what is due is made, for a few milliseconds at most.
 */
#include "supervisor.h"

enum { MADE_MAX = 256 /* a second */, SLICE = 8, BUSY_MS = 5 };

static void
on_put(void *arg, const struct cache_item *item)
{
    if (item->class == CACHE_PREDICTION) {
        predict_learn_put(arg, item->key, item->value, item->created_wall_ms,
                          item->expires_wall_ms);
    }
}

void
supervisor_learn_stop(struct supervisor *supervisor)
{
    if (supervisor->learn != NULL) {
        cache_keeper_on_put(supervisor->cache, NULL, NULL);
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
}
