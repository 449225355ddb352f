/* SPDX-License-Identifier: MIT */
/*
 * models.c - figures of single models, in each slot. A key has its place among WINDOW neighbours,
 * so that looking for it is bounded; when all of them are taken, the one that was asked for longest
 * ago goes. Who reads meanwhile may see figures of both; no more than that can happen.
 */
#include "models.h"

enum { WINDOW = 8 };

static uint64_t
load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint32_t
key_of(const struct stats_model *model)
{
    return atomic_load_explicit(&model->key, memory_order_relaxed);
}

uint32_t
stats_model_key(struct bytes name, uint32_t version)
{
    uint64_t print = digest_of(name).lo + (uint64_t)version * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t key = (uint32_t)(print >> 32);

    return key != 0 ? key : 1;
}

/* Figures of a new key begin at zero. */
static void
begin(struct stats_model *model, uint32_t key)
{
    atomic_store_explicit(&model->key, 0, memory_order_relaxed);
    for (size_t i = 0; i < STATS_MODEL_ID_COUNT; i++) {
        atomic_store_explicit(&model->values[i], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&model->key, key, memory_order_release);
}

struct stats_model *
stats_models_find(struct stats_models *models, uint32_t key)
{
    struct stats_model *oldest = NULL;

    for (uint32_t i = 0; i < WINDOW; i++) {
        struct stats_model *model = &models->list[(key + i) % STATS_MODELS];
        if (key_of(model) == key) {
            return model;
        }
        /* A free one was never used: the oldest of all. */
        if (oldest == NULL || load(&model->values[STATS_MODEL_LAST_WALL_MS]) <
                                  load(&oldest->values[STATS_MODEL_LAST_WALL_MS])) {
            oldest = model;
        }
    }
    begin(oldest, key);
    return oldest;
}

void
stats_model_add(struct stats_model *model, enum stats_model_id id, uint64_t n)
{
    if (model != NULL) {
        atomic_store_explicit(&model->values[id], load(&model->values[id]) + n,
                              memory_order_relaxed);
    }
}

void
stats_model_use(struct stats_model *model, uint64_t now_wall_ms)
{
    if (model != NULL && load(&model->values[STATS_MODEL_LAST_WALL_MS]) < now_wall_ms) {
        atomic_store_explicit(&model->values[STATS_MODEL_LAST_WALL_MS], now_wall_ms,
                              memory_order_relaxed);
    }
}

void
stats_models_sum(const struct stats_models *models, uint32_t key,
                 struct stats_model_figures *figures)
{
    for (uint32_t i = 0; i < WINDOW; i++) {
        const struct stats_model *model = &models->list[(key + i) % STATS_MODELS];
        if (atomic_load_explicit(&model->key, memory_order_acquire) != key) {
            continue;
        }
        uint64_t last = load(&model->values[STATS_MODEL_LAST_WALL_MS]);
        if (last > figures->values[STATS_MODEL_LAST_WALL_MS]) {
            figures->values[STATS_MODEL_LAST_WALL_MS] = last;
        }
        for (size_t id = STATS_MODEL_LAST_WALL_MS + 1; id < STATS_MODEL_ID_COUNT; id++) {
            figures->values[id] += load(&model->values[id]);
        }
        return;
    }
}
