/* SPDX-License-Identifier: MIT */
/*
 * models.h - one slot's figures of single models: a small hash table with one writer. Private to
 * the room.
 */
#pragma once

#include <stdatomic.h>

#include "augury/stats.h"

/* A model that is in use has a key; what the writer does most stands together. */
struct stats_model {
    _Alignas(64) _Atomic uint32_t key;
    _Atomic uint64_t values[STATS_MODEL_ID_COUNT];
};

struct stats_models {
    struct stats_model list[STATS_MODELS];
};

struct stats_model *stats_models_find(struct stats_models *models, uint32_t key);
/* Adds what a slot has of a key. */
void stats_models_sum(const struct stats_models *models, uint32_t key,
                      struct stats_model_figures *figures);
