/* SPDX-License-Identifier: MIT */
/*
 * predict_habits.c - habits in memory that outlives the process that learns them: a supervisor that
 * takes over knows them with the first put of a key, instead of after as many uses as it takes to
 * learn one. One place for each value of a hash; the newest has it.
 * Invariant: one process writes; killed in the middle it leaves a place without a key, or a habit
 * of this key that mixes two moments, which costs one computation in vain at most.
 */
#include <stdatomic.h>

#include "predict_asking.h"

enum { PLACES = 1 << 14 };

struct predict_habits {
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
