/* SPDX-License-Identifier: MIT */
/*
 * predict_habits.c - habits in memory that outlives the process that learns them: a supervisor that
 * takes over knows them with the first put of a key, instead of after as many uses as it takes to
 * learn one. One place for each value of a hash; the newest has it.
 * Invariant: one process writes; killed in the middle it leaves a place without a key, or a habit
 * of this key that mixes two moments, which costs one computation in vain at most.
 * Pages of them can be taken as bytes and given back at a later start; what is read is checked.
 */
#include <stdatomic.h>
#include <string.h>

#include "predict_asking.h"

enum {
    PLACES = 1 << 14,
    PAGE_PLACES = PLACES / PREDICT_HABITS_PAGES,
    /* Bytes of a page, as docs/formats.md has them. */
    FORMAT = 1,
    HEADER = 12,
    RECORD = 61,
    HOURS_AT = 37,
    HOURS = 24,
    USES_MIN = 3, /* one put more, and something is expected */
    HOUR_COUNT_MAX = 64,
};
_Static_assert(HEADER + PAGE_PLACES * RECORD == PREDICT_HABITS_PAGE_BYTES, "a page of habits");
#define INTERVAL_MAX_MS (UINT64_C(366) * 24 * 3600 * 1000)
#define FUTURE_MS UINT64_C(60000)

struct predict_habits {
    atomic_uchar has_changed[PREDICT_HABITS_PAGES];
    struct {
        atomic_uint_least64_t key; /* 0: free */
        struct predict_habit habit;
    } list[PLACES];
};

size_t
predict_habits_bytes(void)
{
    return sizeof(struct predict_habits);
}

void
predict_habits_put(struct predict_habits *habits, uint64_t key, const struct predict_habit *habit)
{
    if (habits == NULL) {
        return;
    }
    size_t place = key % PLACES;
    atomic_store(&habits->list[place].key, 0);
    habits->list[place].habit = *habit;
    atomic_store(&habits->list[place].key, key | 1);
    if (habit->uses >= USES_MIN) {
        atomic_store(&habits->has_changed[place / PAGE_PLACES], 1);
    }
}

void
predict_habits_take_up(const struct predict_habits *habits, uint64_t key, uint64_t now_wall_ms,
                       struct predict_habit *habit)
{
    if (habits == NULL || habit->uses > 0 ||
        atomic_load(&habits->list[key % PLACES].key) != (key | 1)) {
        return;
    }
    *habit = habits->list[key % PLACES].habit;
    /* What was used meanwhile nobody has seen. */
    habit->last_wall_ms = habit->interval_ms < now_wall_ms ? now_wall_ms - habit->interval_ms : 0;
}

/* ---- as bytes -------------------------------------------------------------------------------- */

static void
habit_encode(const struct predict_habit *habit, uint64_t key, size_t offset, uint8_t *out)
{
    out[0] = (uint8_t)offset;
    le64_put(out + 1, key);
    le64_put(out + 9, habit->last_wall_ms);
    le64_put(out + 17, habit->interval_ms);
    le64_put(out + 25, habit->deviation_ms);
    le32_put(out + 33, habit->uses);
    memcpy(out + HOURS_AT, habit->hours, HOURS);
}

/* false: no habit can be like that. */
static bool
habit_decode(const uint8_t *stored, uint64_t now_wall_ms, struct predict_habit *out)
{
    bool is_good = true;

    *out = (struct predict_habit){.last_wall_ms = le64_get(stored + 9),
                                  .interval_ms = le64_get(stored + 17),
                                  .deviation_ms = le64_get(stored + 25),
                                  .uses = le32_get(stored + 33)};
    memcpy(out->hours, stored + HOURS_AT, HOURS);
    for (size_t i = 0; i < HOURS; i++) {
        is_good = is_good && out->hours[i] <= HOUR_COUNT_MAX;
    }
    return is_good && out->uses >= USES_MIN && out->last_wall_ms <= now_wall_ms + FUTURE_MS &&
           out->interval_ms <= INTERVAL_MAX_MS && out->deviation_ms <= INTERVAL_MAX_MS;
}

void
predict_habits_mark(struct predict_habits *habits, size_t page)
{
    atomic_store(&habits->has_changed[page], 1);
}

size_t
predict_habits_take(struct predict_habits *habits, size_t page,
                    uint8_t out_bytes[static PREDICT_HABITS_PAGE_BYTES])
{
    size_t len = HEADER;

    AUGURY_ASSERT(page < PREDICT_HABITS_PAGES);
    if (atomic_exchange(&habits->has_changed[page], 0) == 0) {
        return 0;
    }
    for (size_t i = 0; i < PAGE_PLACES; i++) {
        size_t place = page * PAGE_PLACES + i;
        uint64_t key = atomic_load(&habits->list[place].key);
        if (key != 0 && habits->list[place].habit.uses >= USES_MIN) {
            habit_encode(&habits->list[place].habit, key, i, out_bytes + len);
            len += RECORD;
        }
    }
    le32_put(out_bytes + 8, FORMAT);
    le64_put(out_bytes, hash64_of(bytes_of(out_bytes + 8, len - 8)));
    return len;
}

size_t
predict_habits_give(struct predict_habits *habits, size_t page, struct bytes stored,
                    uint64_t now_wall_ms)
{
    struct predict_habit habit;
    size_t given = 0;

    AUGURY_ASSERT(page < PREDICT_HABITS_PAGES);
    if (stored.len < HEADER || stored.len > PREDICT_HABITS_PAGE_BYTES ||
        (stored.len - HEADER) % RECORD != 0 || le32_get(stored.data + 8) != FORMAT ||
        le64_get(stored.data) != hash64_of(bytes_of(stored.data + 8, stored.len - 8))) {
        return 0;
    }
    for (size_t at = HEADER; at < stored.len; at += RECORD) {
        const uint8_t *record = stored.data + at;
        uint64_t key = le64_get(record + 1);
        size_t place = page * PAGE_PLACES + record[0];
        /* The lowest bit of the hash is not stored: it stands in the place. */
        bool is_here = record[0] < PAGE_PLACES && (key & 1) != 0 &&
                       ((key ^ place) & (PLACES - 1) & ~UINT64_C(1)) == 0;
        if (is_here && atomic_load(&habits->list[place].key) == 0 &&
            habit_decode(record, now_wall_ms, &habit)) {
            habits->list[place].habit = habit;
            atomic_store(&habits->list[place].key, key);
            given++;
        }
    }
    return given;
}
