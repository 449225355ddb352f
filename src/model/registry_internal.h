/* SPDX-License-Identifier: MIT */
/*
 * registry_internal.h - what the files of the registry share: records of the model environment, and
 * the table of the versions that one snapshot sees. docs/formats.md, "Model registry", has the
 * records byte by byte.
 */
#pragma once

#include "augury/registry.h"
#include "augury/store.h"

/* Tables of the environment, in the order given to store_open(). */
enum registry_table_id {
    TABLE_BLOB,   /* name NUL version -> compiled model, padded to blob_stored_min bytes */
    TABLE_META,   /* name NUL version -> struct meta */
    TABLE_LABEL,  /* name NUL label -> version */
    TABLE_SERIAL, /* name -> highest version ever given out */
    TABLE_COUNT,
};

/* ---- records (registry_record.c) ------------------------------------------------------------- */

enum { KEY_MAX = MODEL_NAME_MAX + 1 + MODEL_LABEL_MAX, VERSION_TEXT_MAX = 10 };

struct key {
    uint8_t data[KEY_MAX];
    size_t len;
};

struct bytes key_view(const struct key *key);
struct key key_of_version(struct bytes name, uint32_t version);
struct key key_of_label(struct bytes name, struct bytes label);
struct key key_prefix(struct bytes name); /* name NUL: what all keys of a name begin with */
/* AUGURY_ERR_CORRUPT when the bytes are no such key. */
AUGURY_MUST_USE int key_read_version(struct bytes key, struct bytes *out_name,
                                     uint32_t *out_version);

struct meta {
    uint8_t source_sha256[32];
    uint64_t source_bytes;
    uint64_t blob_bytes;
    uint64_t imported_wall_ms;
    struct digest content; /* struct model.content of the blob */
    struct registry_evidence evidence;
};

enum { META_BYTES = 272 };

/* Writes META_BYTES: the record of `key`; its checksum covers the key too. */
void meta_encode(const struct meta *meta, struct bytes key, uint8_t *out_record);
/* AUGURY_ERR_CORRUPT: of another length or format, or not matching its checksum. */
AUGURY_MUST_USE int meta_decode(struct bytes record, struct bytes key, struct meta *out_meta);

/* label and serial hold one version: 4 bytes. */
AUGURY_MUST_USE int version_decode(struct bytes record, uint32_t *out_version);

bool label_is_valid(struct bytes label);

/* ---- the versions of a snapshot (registry_table.c) ------------------------------------------- */

struct version {
    struct registry_model shown; /* what callers see; shown.model is valid when is_open */
    struct bytes stored;         /* the blob in the map */
    struct digest content;
    int rc;          /* of the records; < 0: they do not match their checksum or each other */
    bool is_open;    /* shown.model views `stored` */
    bool is_checked; /* this content passed MODEL_CHECK_ALL in this process */
    bool is_refused; /* it could not be opened */
};

/* Ordered by name, then number. Everything in it lives in its arena. */
struct table {
    struct arena arena;
    struct version *versions;
    size_t count;
};

enum { TABLE_ARENA_BYTES = 64 << 20, TABLE_ARENA_KEEP = 64 << 10 };

/* Fills `fresh` with what the snapshot holds, and takes over from `old` what is still true:
 * views of records that did not move, and which contents passed the full check. Pages of records
 * that went or moved are given back. */
AUGURY_MUST_USE int table_resolve(struct table *fresh, struct table *old,
                                  struct store_txn *snapshot);
/* Gives back the pages of every opened view and empties the table. */
void table_drop(struct table *table);
struct version *table_find(const struct table *table, struct bytes name, uint32_t version);
/* The first version of a name and how many follow on; NULL when there is none. */
struct version *table_first(const struct table *table, struct bytes name, size_t *out_count);
/* Opens the view of a version when it is not open: fully checked once, by its header later. */
AUGURY_MUST_USE int version_open(const struct registry *registry, struct version *version,
                                 struct err *err);
/* Opens another view of the stored bytes, checked as said, and compares it with the version's
 * record. */
AUGURY_MUST_USE int version_check(const struct version *version, enum model_blob_check check,
                                  struct model *out_model, struct err *err);

/* AUGURY_NOT_FOUND with the names, or the versions of `name`, that the table holds. */
int table_no_model(const struct table *table, struct bytes name, struct err *err);
int table_no_version(const struct table *table, struct bytes name, struct bytes selector,
                     struct err *err);

/* ---- the registry ---------------------------------------------------------------------------- */

enum { FIND_SLOTS = 64, FIND_TEXT_MAX = MODEL_NAME_MAX + MODEL_LABEL_MAX };

/* A question answered before in this snapshot's state; slot = hash modulo FIND_SLOTS. */
struct find_slot {
    struct version *version; /* NULL: free */
    uint8_t name_len;
    uint8_t selector_len;
    char text[FIND_TEXT_MAX]; /* name, selector */
};

struct registry {
    struct store *store;
    struct store_txn *snapshot;
    struct stats_slot *stats;
    struct table tables[2]; /* one in use; the other is filled when something changed */
    unsigned current;
    bool is_read_only;
    bool is_in_snapshot;
    bool is_resolved;
    uint64_t resolved_txn_id;
    char kernel[32];   /* the operator's wish; empty: none */
    size_t stored_min; /* smaller blobs are padded, so that each has pages of its own */
    size_t blob_max;
    struct find_slot slots[FIND_SLOTS];
};

struct table *registry_table(const struct registry *registry);

/* ---- writing (registry_write.c, registry_import.c) ------------------------------------------- */

AUGURY_MUST_USE int write_refused(const struct registry *registry, const char *name,
                                  struct err *err);
int write_failed(int rc, const char *doing, struct err *err);
/* One version as a record: of a label, or the highest of a name. */
AUGURY_MUST_USE int version_get(struct store_txn *txn, enum registry_table_id table,
                                struct bytes key, uint32_t *out_version);
AUGURY_MUST_USE int version_put(struct store_txn *txn, enum registry_table_id table,
                                struct bytes key, uint32_t version);
AUGURY_MUST_USE int version_exists(struct store_txn *txn, struct bytes name, uint32_t version);
AUGURY_MUST_USE int versions_count(struct store_txn *txn, struct bytes name, size_t *out_count);
AUGURY_MUST_USE int label_put(struct store_txn *txn, struct bytes name, const char *label,
                              uint32_t version);
