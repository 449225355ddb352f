/* SPDX-License-Identifier: MIT */
/* store_case.h - a folder of its own for each test of the room store. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augury/store.h"

struct store_case {
    char dir[256];
    struct store *store;
};

enum { TABLE_BYTES, TABLE_U64 };

static const struct store_table_spec case_tables[] = {
    {"bytes", STORE_TABLE_BYTES},
    {"u64", STORE_TABLE_U64},
};

static inline bool
case_init(struct store_case *c)
{
    const char *tmp = getenv("TMPDIR");

    *c = (struct store_case){0};
    snprintf(c->dir, sizeof(c->dir), "%s/augury-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(c->dir) != NULL;
}

static inline struct store_options
case_options(const struct store_case *c, enum store_flags flags)
{
    return (struct store_options){
        .dir = c->dir,
        .map_bytes = 64u << 20,
        .max_readers = 8,
        .flags = flags,
        .tables = case_tables,
        .table_count = AUGURY_COUNT(case_tables),
    };
}

static inline int
case_open(struct store_case *c, enum store_flags flags, bool *out_was_damaged, struct err *err)
{
    struct store_options options = case_options(c, flags);

    return store_open(&options, &c->store, out_was_damaged, err);
}

static inline void
case_path(const struct store_case *c, const char *name, char *out_path, size_t size)
{
    snprintf(out_path, size, "%s/%s", c->dir, name);
}

static inline void
case_fini(struct store_case *c)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "data.mdb.damaged",
                                        "lock.mdb.damaged"};
    char path[300];

    store_close(&c->store);
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        case_path(c, names[i], path, sizeof(path));
        unlink(path);
    }
    rmdir(c->dir);
}
