/* SPDX-License-Identifier: MIT */
/*
 * predict_learn.c - predictions made ahead of the use that is expected. What a worker puts was
 * asked for while its entry was missing or expired: those are the uses that are worth expecting, so
 * the keeper's stream of puts tells all, and lookups are left alone. A key that was made ahead is
 * watched through the counter of its entry: raised, it was of use.
 *
 * Invariants:
 * 1. At most one entry is made in vain for each time that a worker has put the key: after that, the
 *    key is left alone until it is put again.
 * 2. A key that is not known drives out the weakest of its set only when that has no strength left,
 *    of which each unknown key takes a little.
 */
#include "predict_asking.h"

#include <stdlib.h>
#include <string.h>

enum {
    WAYS = 8,
    LEAD_MS = 2000, /* two turns */
    WITHIN_LEAST_MS = 1000,
    PREFIX_BYTES = 11,    /* "prediction:" */
    NAME_LEAST_BYTES = 3, /* "a@1" */
    CONTENT_BYTES = 18,   /* "#0123456789abcdef:" */
};

struct learned {
    struct predict_habit habit;
    struct predict_expected expected; /* wall_ms 0: nothing */
    uint64_t expires_wall_ms;         /* of the entry, as last known */
    uint32_t strength;
    bool is_ahead; /* made, and not seen in use yet */
    uint16_t key_len;
    uint16_t value_len;
    uint8_t *bytes; /* key, then the value as it was put; NULL: a free place */
};

struct predict_learn {
    struct predict_context context;
    struct learned *keys;
    struct predict_habits *habits; /* or NULL */
    size_t count;                  /* a multiple of WAYS */
    size_t next;                   /* where the turn goes on */
};

int
predict_learn_new(const struct predict_context *context, size_t keys,
                  struct predict_learn **out_learn)
{
    struct predict_learn *learn = calloc(1, sizeof(*learn));

    if (learn != NULL) {
        learn->context = *context;
        learn->count = (keys + WAYS - 1) / WAYS * WAYS;
        learn->keys = calloc(learn->count, sizeof(*learn->keys));
    }
    if (learn == NULL || learn->keys == NULL) {
        predict_learn_free(&learn);
        return AUGURY_ERR_NOMEM;
    }
    *out_learn = learn;
    return 0;
}

void
predict_learn_share(struct predict_learn *learn, struct predict_habits *habits)
{
    learn->habits = habits;
}

void
predict_learn_free(struct predict_learn **learn)
{
    if (*learn != NULL) {
        for (size_t i = 0; (*learn)->keys != NULL && i < (*learn)->count; i++) {
            free((*learn)->keys[i].bytes);
        }
        free((*learn)->keys);
        free(*learn);
        *learn = NULL;
    }
}

/* ---- what was put ---------------------------------------------------------------------------- */

static struct bytes
key_of(const struct learned *key)
{
    return bytes_of(key->bytes, key->key_len);
}

/* The key's place; NULL: there is none for it, and the weakest has lost some of its strength. */
static struct learned *
place_of(struct predict_learn *learn, struct bytes text)
{
    struct learned *set = &learn->keys[hash64_of(text) % (learn->count / WAYS) * WAYS];
    struct learned *weakest = set;

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].bytes != NULL && bytes_equal(key_of(&set[i]), text)) {
            return &set[i];
        }
        weakest = set[i].strength < weakest->strength ? &set[i] : weakest;
    }
    if (weakest->strength > 0) {
        weakest->strength--;
        return NULL;
    }
    free(weakest->bytes);
    *weakest = (struct learned){0};
    return weakest;
}

/* "prediction:name@3#0123456789abcdef:" and the row's digest, nothing behind it. Where the row's
 * part begins, or 0. */
static size_t
row_part_of(struct bytes text)
{
    size_t at = text.len - DIGEST_HEX_BYTES;

    return text.len > PREFIX_BYTES + NAME_LEAST_BYTES + CONTENT_BYTES + DIGEST_HEX_BYTES &&
                   bytes_start_with(text, "prediction:") && text.data[at - 1] == ':' &&
                   text.data[at - CONTENT_BYTES] == '#'
               ? at
               : 0;
}

/* The same key has the same value, with its row or without. */
static bool
key_store(struct learned *key, struct bytes text, struct bytes value)
{
    if (key->bytes != NULL && key->value_len == value.len) {
        return true;
    }
    uint8_t *bytes = malloc(text.len + value.len);
    if (bytes == NULL) {
        return false;
    }
    memcpy(bytes, text.data, text.len);
    memcpy(bytes + text.len, value.data, value.len);
    free(key->bytes);
    key->bytes = bytes;
    key->key_len = (uint16_t)text.len;
    key->value_len = (uint16_t)value.len;
    return true;
}

static void
use(struct predict_learn *learn, struct learned *key, uint64_t now_wall_ms)
{
    predict_habit_use(&key->habit, now_wall_ms);
    key->expected = predict_habit_next(&key->habit);
    predict_habits_put(learn->habits, hash64_of(key_of(key)), &key->habit);
}

void
predict_learn_put(struct predict_learn *learn, struct bytes text, struct bytes value,
                  uint64_t created_wall_ms, uint64_t expires_wall_ms)
{
    if (text.len > CACHE_KEY_TEXT_MAX || value.len > PREDICT_LEARN_VALUE_MAX ||
        row_part_of(text) == 0) {
        return;
    }
    struct learned *key = place_of(learn, text);
    if (key == NULL || !key_store(key, text, value)) {
        return;
    }
    key->strength += key->strength < UINT32_MAX ? 1 : 0;
    key->is_ahead = false;
    key->expires_wall_ms = expires_wall_ms;
    predict_habits_take_up(learn->habits, hash64_of(text), created_wall_ms, &key->habit);
    use(learn, key, created_wall_ms);
}

/* ---- what is made ahead ---------------------------------------------------------------------- */

/* "name@3" of the key; false when it is none of ours. */
static bool
model_of(const struct learned *key, struct bytes *out_name, struct bytes *out_version)
{
    struct bytes text = key_of(key);
    const uint8_t *begin = text.data + PREFIX_BYTES;
    const uint8_t *end = text.data + row_part_of(text) - CONTENT_BYTES;
    const uint8_t *at = memchr(begin, '@', (size_t)(end - begin));

    if (at == NULL) {
        return false;
    }
    *out_name = bytes_of(begin, (size_t)(at - begin));
    *out_version = bytes_of(at + 1, (size_t)(end - at - 1));
    return true;
}

/* Evaluates the key's row and puts it; within the registry's snapshot. The key is made anew: the
 * cache's secret may be another one. */
static int
key_make(struct predict_learn *learn, struct learned *key, uint64_t now_wall_ms)
{
    const struct registry_model *found = NULL;
    struct bytes name, version;
    struct row_key text;
    struct err err;

    if (!model_of(key, &name, &version) ||
        registry_find(learn->context.registry, name, version, &found, &err) != 0) {
        return AUGURY_NOT_FOUND;
    }
    size_t row_bytes = found->model.feature_count * model_number_bytes(&found->model);
    size_t margins_bytes = found->model.output_count * model_number_bytes(&found->model);
    if (key->value_len != margins_bytes + row_bytes) {
        return AUGURY_NOT_FOUND; /* without its row */
    }
    uint8_t *room = aligned_alloc(ROW_ALIGN, 2 * PREDICT_LEARN_VALUE_MAX);
    uint8_t *scratch = aligned_alloc(
        ROW_ALIGN, (model_scratch_bytes(&found->model, 1) + ROW_ALIGN) / ROW_ALIGN * ROW_ALIGN);
    int rc = room == NULL || scratch == NULL ? AUGURY_ERR_NOMEM : 0;
    if (rc == 0) {
        uint8_t *row = room + PREDICT_LEARN_VALUE_MAX;
        memcpy(row, key->bytes + key->key_len + margins_bytes, row_bytes);
        model_margins(&found->model, row, 1, scratch, room);
        memcpy(room + margins_bytes, row, row_bytes);
        predict_key_begin(&text, found);
        digest_to_hex(cache_digest(learn->context.cache, bytes_of(row, row_bytes)),
                      text.text + text.row_at);
        struct cache_item item = {.class = CACHE_PREDICTION,
                                  .key = bytes_of(text.text, text.row_at + DIGEST_HEX_BYTES),
                                  .value = bytes_of(room, margins_bytes + row_bytes),
                                  .created_wall_ms = now_wall_ms,
                                  .expires_wall_ms =
                                      now_wall_ms + (uint64_t)learn->context.ttl_s * 1000,
                                  .stamp = cache_stamp(learn->context.cache),
                                  .tags = {cache_tag(bytes_of_text(found->entry.name))}};
        rc = bytes_equal(item.key, key_of(key)) ? cache_put(learn->context.cache, &item)
                                                : AUGURY_NOT_FOUND;
        key->expires_wall_ms = item.expires_wall_ms;
    }
    free(room);
    free(scratch);
    return rc;
}

static uint64_t
within_of(const struct learned *key)
{
    uint64_t within = key->expected.within_ms;

    return within > WITHIN_LEAST_MS ? within : WITHIN_LEAST_MS;
}

/* Whether it has been used by now, or it is too late for that. */
static void
key_watch(struct predict_learn *learn, struct learned *key, uint64_t now_wall_ms)
{
    uint64_t within = within_of(key);

    if (cache_keeper_hits(learn->context.cache, key_of(key)) > 0) {
        bool is_early = now_wall_ms + within < key->expected.wall_ms;
        key->is_ahead = false;
        key->strength += key->strength < UINT32_MAX ? 1 : 0;
        stats_add(learn->context.stats, STATS_PREDICT_AHEAD_USED, 1);
        if (is_early) {
            /* It is asked for all the time: needed again as soon as it ends. */
            key->expected.wall_ms = key->expires_wall_ms;
        } else {
            use(learn, key, now_wall_ms);
        }
    } else if (now_wall_ms > key->expected.wall_ms + within) {
        key->is_ahead = false;
        key->expected.wall_ms = 0;
    }
}

static bool
is_due(const struct predict_learn *learn, const struct learned *key, uint64_t now_wall_ms)
{
    uint64_t within = within_of(key);
    uint64_t ttl_ms = (uint64_t)learn->context.ttl_s * 1000;
    uint64_t end = key->expected.wall_ms + within;

    return key->expected.wall_ms > 0 && now_wall_ms + within + LEAD_MS >= key->expected.wall_ms &&
           now_wall_ms <= key->expected.wall_ms && key->expires_wall_ms < end &&
           ttl_ms >= 2 * within + LEAD_MS;
}

/* True: something was made. */
static bool
key_turn(struct predict_learn *learn, struct learned *key, uint64_t now_wall_ms)
{
    if (key->is_ahead) {
        key_watch(learn, key, now_wall_ms);
        return false;
    }
    if (!is_due(learn, key, now_wall_ms)) {
        return false;
    }
    if (key_make(learn, key, now_wall_ms) != 0) {
        key->expected.wall_ms = 0; /* until a worker puts it again */
        return true;
    }
    cache_keeper_forget_hits(learn->context.cache, key_of(key));
    key->is_ahead = true;
    stats_add(learn->context.stats, STATS_PREDICT_AHEAD, 1);
    return true;
}

int
predict_learn_turn(struct predict_learn *learn, uint64_t now_wall_ms, size_t max)
{
    size_t made = 0;

    if (learn->next == learn->count) {
        learn->next = 0;
    }
    if (registry_snapshot_begin(learn->context.registry) != 0) {
        return AUGURY_END;
    }
    for (; learn->next < learn->count && made < max; learn->next++) {
        struct learned *key = &learn->keys[learn->next];
        if (key->bytes != NULL) {
            made += key_turn(learn, key, now_wall_ms) ? 1 : 0;
        }
    }
    registry_snapshot_end(learn->context.registry);
    return learn->next == learn->count ? AUGURY_END : 0;
}
