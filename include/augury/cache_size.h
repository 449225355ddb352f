/* SPDX-License-Identifier: MIT */
/*
 * cache_size.h - how large the cache may be: a controller that is a pure function, and the history
 * of what it saw and did.
 * Room: cache (floor 2). Process: the supervisor steps it and writes the history; any process reads
 * that.
 */
#pragma once

#include "augury/cache.h"

/* ---- the controller ------------------------------------------------------------------------ */

enum { CACHE_SIZE_STEPS = 4 };

/* While less than so much memory is available, the cache takes so much of its base. */
struct cache_size_rule {
    uint64_t below_bytes;
    uint32_t percent;
};

struct cache_size_config {
    bool is_auto;
    uint64_t base_bytes; /* what the operator asked for */
    uint64_t floor_bytes, ceiling_bytes;
    uint32_t rule_count;
    struct cache_size_rule rules[CACHE_SIZE_STEPS]; /* below_bytes rises */
    uint32_t shrink_below_percent; /* of memory available: less than this is pressure */
    uint32_t grow_above_percent;   /* more than this is room */
    uint32_t target_cpu_percent;   /* 0: CPU does not count */
    uint64_t patience_ms;          /* without pressure, before growth; 60 s */
};

/* What is seen at one moment. Unknown figures are said to be so, and nothing grows on them. */
struct cache_size_sample {
    uint64_t now_ms; /* any clock that only goes forward */
    bool has_memory;
    bool has_psi;
    bool has_cpu;
    uint64_t total_bytes, available_bytes;
    double headroom;       /* 0 to 1 */
    double psi_full_avg10; /* % */
    double cpu_percent;
    uint64_t limit_events, oom_events; /* totals */
    uint64_t used_bytes;               /* of the quota */
    uint64_t resident_bytes;           /* that the cache's file takes */
    uint64_t room_bytes; /* that its file system has for it, those included; 0: unknown */
    uint64_t hits, misses, evicted; /* totals */
    /* Share of all lookups that a cache of twice the size would answer beyond this one; below 0:
     * unknown. */
    double gain;
};

enum cache_size_action {
    CACHE_SIZE_HOLD,
    CACHE_SIZE_GROW,
    CACHE_SIZE_SHRINK,
    CACHE_SIZE_EMERGENCY,
    CACHE_SIZE_SET, /* by the operator: pinned, let go, configured anew */
    CACHE_SIZE_ACTION_COUNT
};

enum cache_size_reason {
    CACHE_SIZE_STEADY,      /* nothing calls for a change */
    CACHE_SIZE_OFF,         /* not automatic: the configured size */
    CACHE_SIZE_PINNED,      /* the operator named a size */
    CACHE_SIZE_CONFIGURED,  /* bounds have moved */
    CACHE_SIZE_BLIND,       /* nobody says how much memory there is */
    CACHE_SIZE_STARTING,    /* the first half of the patience */
    CACHE_SIZE_FROZEN,      /* within the patience of an emergency */
    CACHE_SIZE_COOLING,     /* soon after pressure or the last growth */
    CACHE_SIZE_TIGHT,       /* less room than growth asks for */
    CACHE_SIZE_RISING,      /* others take more and more */
    CACHE_SIZE_AT_RULE,     /* as large as a memory rule allows */
    CACHE_SIZE_AT_FLOOR,    /* there is pressure, and nothing left to give */
    CACHE_SIZE_HEADROOM,    /* little is available */
    CACHE_SIZE_RULE,        /* a memory rule holds */
    CACHE_SIZE_FILE_SYSTEM, /* the file system would be full */
    CACHE_SIZE_CPU_BUSY,    /* above the target */
    CACHE_SIZE_OUT_OF_ROOM, /* emergency: almost nothing is available */
    CACHE_SIZE_LIMIT_HIT,   /* emergency: a limit was run against, or worse */
    CACHE_SIZE_STALLED,     /* emergency: processes wait for memory */
    CACHE_SIZE_RECOVERING,  /* back towards what was asked for */
    CACHE_SIZE_EARNED,      /* beyond it: full, and more would be hits */
    CACHE_SIZE_REASON_COUNT
};
const char *cache_size_action_name(enum cache_size_action action);
const char *cache_size_reason_name(enum cache_size_reason reason);

/* Zero-initialise, then set quota_bytes to what is in force. pinned_bytes: the operator's, 0: none.
 * The rest is cache_size_step()'s own. */
struct cache_size_state {
    uint64_t quota_bytes;
    uint64_t pinned_bytes;
    bool has_begun;
    bool has_pressed;
    bool is_growing;             /* the last change of size that memory or CPU called for */
    uint8_t low_bits, rule_bits; /* of the last samples: little available; over a rule */
    uint32_t room_count;         /* samples in a row with room to grow */
    uint32_t cpu_busy_count, cpu_idle_count;
    uint32_t want_permille; /* of base: what CPU and hits call for; memory may allow less */
    uint64_t began_ms;
    uint64_t pressed_ms, grown_ms, cpu_changed_ms, turned_up_ms;
    uint64_t next_shrink_ms, frozen_until_ms;
    uint64_t wait_ms; /* without pressure, before growth */
    uint64_t limit_events, oom_events, evicted;
    double headroom_smooth, cpu_smooth, others_smooth;
};

struct cache_size_decision {
    enum cache_size_action action;
    enum cache_size_reason reason;
    uint64_t from_bytes, to_bytes;
};

/* One step, about once a second: what the quota should be from now on. No clock, no files. Never
 * grows while there is pressure or memory is unknown; stays between floor and ceiling unless
 * pinned; with less memory available in the same state it never decides on more. */
void cache_size_step(const struct cache_size_config *config, struct cache_size_state *state,
                     const struct cache_size_sample *sample,
                     struct cache_size_decision *out_decision);

/* ---- its history, on the board --------------------------------------------------------------- */

enum { CACHE_SIZE_RECORDS = 100, CACHE_SIZE_CHANGES = 32 };

struct cache_size_record {
    uint64_t wall_ms;
    struct cache_size_sample sample;
    struct cache_size_decision decision;
};

/* A copy of the history, oldest first. */
struct cache_size_history {
    struct cache_size_config config;
    uint64_t pinned_bytes;
    uint32_t count;
    uint32_t change_count;
    struct cache_size_record records[CACHE_SIZE_RECORDS];
    struct cache_size_record changes[CACHE_SIZE_CHANGES]; /* those that were no hold */
};

/* Process: supervisor. */
void cache_size_note(struct cache_board *board, const struct cache_size_config *config,
                     uint64_t pinned_bytes, const struct cache_size_record *record);
/* Empty (count 0) when there is none, or somebody died while writing it. */
void cache_size_read(const struct cache_board *board, struct cache_size_history *out_history);
