/* SPDX-License-Identifier: MIT */
/*
 * registry.h - models by name, version and label in the model environment.
 * Room: model (floor 2). Process: workers read; supervisor and cli also write (LMDB orders them). A
 * version is a positive integer, never used twice; a label is an atomic alias of a version. A
 * writer's commit is seen by every reader at its next snapshot: nobody needs to be told.
 * Ownership: what a snapshot hands out dies with registry_snapshot_end().
 */
#pragma once

#include "augury/model.h"
#include "augury/stats.h"

#define REGISTRY_LABEL_STABLE "stable"

struct registry;

struct registry_options {
    const char *dir;
    size_t map_bytes; /* address space for the environment; 0: as it was made */
    bool is_read_only;
    struct stats_slot *stats; /* or NULL */
    /* The kernel that answers for every model that it can answer for; NULL or "auto": the best. */
    const char *kernel;
};
/* A writer makes the folder and the environment when they are absent. A reader makes nothing:
 * AUGURY_NOT_FOUND (with err) says that no writer has been there yet. One open a process. */
AUGURY_MUST_USE int registry_open(const struct registry_options *options,
                                  struct registry **out_registry, struct err *err);
void registry_close(struct registry **registry);
AUGURY_MUST_USE int registry_reader_check(struct registry *registry, unsigned *out_cleared);

enum { REGISTRY_SIGNER_MAX = 63, REGISTRY_SHA256_BYTES = 32 };

/* What vouched for a version when it was imported. */
struct registry_evidence {
    char signer[REGISTRY_SIGNER_MAX + 1]; /* name of the key that signed it; empty: nobody did */
    uint8_t key_id[REGISTRY_SHA256_BYTES];
    uint8_t manifest_sha256[REGISTRY_SHA256_BYTES];
    uint32_t golden_rows; /* rows that it answered as expected; 0: none were asked of it */
    double golden_tolerance;
    uint8_t golden_sha256[REGISTRY_SHA256_BYTES]; /* of the file that they stood in */
};

struct registry_entry {
    char name[MODEL_NAME_MAX + 1];
    uint32_t version;
    struct bytes labels; /* comma-separated, sorted; may be empty */
    char source_sha256[65];
    uint64_t source_bytes;
    uint64_t blob_bytes;
    uint64_t imported_wall_ms;
    struct registry_evidence evidence;
};

/* ---- reading: one snapshot a turn of the loop ------------------------------------------------ */

/* Cheap when nothing changed. When something did, views of unloaded versions are dropped and
 * their mapped pages given back. */
AUGURY_MUST_USE int registry_snapshot_begin(struct registry *registry);
void registry_snapshot_end(struct registry *registry);
uint64_t registry_change_id(
    const struct registry *registry); /* of the snapshot; differs after any commit */
size_t registry_version_count(const struct registry *registry); /* of all models together */

struct registry_model {
    struct registry_entry entry;
    struct model model; /* checked once per version and process */
};
/* selector: "" (label stable, else the highest version), a version or a label. AUGURY_NOT_FOUND
 * fills err: the models or versions that there are. */
AUGURY_MUST_USE int registry_find(struct registry *registry, struct bytes name,
                                  struct bytes selector, const struct registry_model **out_model,
                                  struct err *err);
/* The same without opening the model, so that a damaged version is found too. */
AUGURY_MUST_USE int registry_find_entry(struct registry *registry, struct bytes name,
                                        struct bytes selector,
                                        const struct registry_entry **out_entry, struct err *err);
/* Every version, by name then number; pass 0 first. AUGURY_END after the last. A failure is that of
 * one damaged version: its entry is there all the same, and the next ones can still be asked
 * for. */
AUGURY_MUST_USE int registry_each(struct registry *registry, size_t i,
                                  const struct registry_model **out_model, struct err *err);
/* The same without opening any; NULL after the last. */
const struct registry_entry *registry_entry_at(const struct registry *registry, size_t i);
/* Whether no version can be opened though there are some, as far as this process has tried. */
enum registry_damage { REGISTRY_WHOLE, REGISTRY_DAMAGED_IN_PART, REGISTRY_DAMAGED };
enum registry_damage registry_damage(const struct registry *registry);

/* ---- writing --------------------------------------------------------------------------------- */

bool registry_name_is_valid(struct bytes name);

enum registry_import_flags { REGISTRY_IMPORT_USE = 1 << 0 };

/* Rows whose answers are known. */
enum registry_golden_output {
    REGISTRY_GOLDEN_PREDICTION,
    REGISTRY_GOLDEN_MARGIN,
    REGISTRY_GOLDEN_PROBABILITIES,
};
struct registry_golden {
    enum registry_golden_output output;
    uint32_t row_count;
    const double *rows;                    /* row_count × feature_count; NaN is missing */
    const double *expected;                /* row_count × values of the output */
    double tolerance;                      /* as in struct replay: a share of what is expected */
    uint8_t sha256[REGISTRY_SHA256_BYTES]; /* of the file that they stood in */
};
/* Reads them for a model that has just been compiled; they have to live until the import is over.
 */
typedef int registry_golden_fn(void *arg, const struct model *model,
                               struct registry_golden *out_golden, struct err *err);

struct registry_import {
    const char *name;
    uint32_t version; /* 0: the next; AUGURY_ERR_EXISTS when it was given out before */
    struct bytes file;
    const struct model_import_options *options;
    enum registry_import_flags flags;
    uint64_t now_wall_ms;
    /* Who vouches for the file, checked by the caller; NULL: nobody. */
    const struct registry_evidence *evidence;
    registry_golden_fn *golden; /* NULL: none */
    void *golden_arg;
};
/* Compiles and stores the file as a version. "golden_mismatch": the model answers a golden row
 * otherwise than expected, and nothing is stored. The first version of a name gets the label
 * stable; use REGISTRY_IMPORT_USE to move it. One transaction. */
AUGURY_MUST_USE int registry_import(struct registry *registry, const struct registry_import *import,
                                    struct registry_entry *out_entry, struct err *err);
/* Stores another form of the version `base` (its blob with a section more) as the next version of
 * the name: of the same source, as the record says. Refused when base is gone. */
AUGURY_MUST_USE int registry_derive(struct registry *registry, const char *name, uint32_t base,
                                    struct bytes blob, enum registry_import_flags flags,
                                    uint64_t now_wall_ms, struct registry_entry *out_entry,
                                    struct err *err);
/* Points a label at a version, away from the one that had it. A damaged version gets none:
 * AUGURY_ERR_CORRUPT. */
AUGURY_MUST_USE int registry_use(struct registry *registry, const char *name, uint32_t version,
                                 const char *label, struct err *err);
/* Takes a version and its labels out (0: all of the name). Refused (AUGURY_ERR_STATE) for a
 * version that the label stable names while others exist. */
AUGURY_MUST_USE int registry_unload(struct registry *registry, const char *name, uint32_t version,
                                    struct err *err);
/* Full check of the stored bytes of a version (0: all of the name): checksum, every index, and that
 * record and blob describe each other. */
AUGURY_MUST_USE int registry_verify(struct registry *registry, const char *name, uint32_t version,
                                    struct err *err);
