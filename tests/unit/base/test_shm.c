/* SPDX-License-Identifier: MIT */
/* test_shm.c - memory that a process shares with the children it forks later. */
#include <stdatomic.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/base.h"

enum { CHILDREN = 4, ROUNDS = 20000 };

static void
children_add_to_one_counter(void)
{
    void *map = shm_map(sizeof(_Atomic uint64_t));
    CHECK(map != NULL);
    _Atomic uint64_t *counter = map;
    uint64_t at_first = atomic_load(counter);
    fflush(stdout);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            for (int k = 0; k < ROUNDS; k++) {
                atomic_fetch_add(counter, 1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        (void)wait(NULL);
    }
    uint64_t at_last = atomic_load(counter);
    shm_unmap(&map, sizeof(_Atomic uint64_t));
    CHECK_INT(at_first, 0);
    CHECK_INT(at_last, CHILDREN * ROUNDS);
    CHECK(map == NULL);
    shm_unmap(&map, sizeof(_Atomic uint64_t));
}

/* More than the machine has: pages count only when touched. */
static void
a_large_map_costs_nothing_until_it_is_touched(void)
{
    const size_t size = (size_t)1 << 38;
    void *map = shm_map(size);
    CHECK(map != NULL);
    uint8_t *bytes = map;
    bytes[size - 1] = 1;
    uint8_t middle = bytes[size / 2];
    shm_unmap(&map, size);
    CHECK_INT(middle, 0);
}

static void
an_impossible_size_is_refused(void)
{
    CHECK(shm_map(SIZE_MAX) == NULL);
}

int
main(void)
{
    TAP_RUN(children_add_to_one_counter);
    TAP_RUN(a_large_map_costs_nothing_until_it_is_touched);
    TAP_RUN(an_impossible_size_is_refused);
    return tap_done();
}
