/* SPDX-License-Identifier: MIT */
/*
 * registry_place.h - a registry in a folder of its own, for tests.
 */
#pragma once

#include "../../oracle/oracle.h"
#include "augury/registry.h"

#define SMALL_FILE "tests/data/models-xgboost/agaricus/model.json"
#define OTHER_FILE "tests/data/models-xgboost/gblinear-agaricus/model.json"
#define LARGE_FILE "tests/data/models-xgboost/nfl-completion-probability/model.ubj"
/* sha256sum of SMALL_FILE */
#define SMALL_SHA256 "1846daa42aeceebdef2c3d02a6ffc9e4a032abcef26e5fb309463753cb498ef2"

enum { MAP_BYTES = 64 << 20, NOW_MS = 1234567 };

struct place {
    char dir[64];
    struct registry *registry;
    struct err err;
};

bool place_make(struct place *place);
int place_open_sized(struct place *place, bool is_read_only, size_t map_bytes);
int place_open(struct place *place, bool is_read_only);
void place_remove(struct place *place);
int import_as(struct place *place, const char *name, uint32_t version, const char *path,
              enum registry_import_flags flags, struct registry_entry *out_entry);
int import_with(struct place *place, const char *name, const char *path,
                const struct registry_evidence *evidence);
int import_small(struct place *place, const char *name);
/* The version that a selector means in a snapshot of its own; 0 for none. */
uint32_t selected(struct place *place, const char *name, const char *selector);
/* Every version as "name@version[labels] ", into out. */
void list_all(struct place *place, char *out, size_t out_size);
/* The margin of a row of zeros, which tells the three files apart. */
float margin_of(const struct model *model);
