/* SPDX-License-Identifier: MIT */
/* test_arena.c - bounded memory that is freed all at once; what the kernel holds is asked from
 * mincore(2). */
#include <stdint.h>
#include <sys/mman.h>

#include "../../tap.h"
#include "augury/base.h"

enum { PAGE = 4096, PAGES = 64 };

static size_t
resident_pages(const struct arena *arena)
{
    unsigned char seen[PAGES] = {0};
    size_t count = 0;

    if (mincore(arena->base, arena->max, seen) != 0) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < PAGES; i++) {
        count += seen[i] & 1u;
    }
    return count;
}

static void
an_untouched_arena_takes_no_memory(void)
{
    struct arena arena;
    CHECK_INT(arena_init(&arena, PAGES * PAGE), 0);
    size_t resident = resident_pages(&arena);
    arena_fini(&arena);
    CHECK_INT(resident, 0);
}

static void
a_reset_gives_back_what_lies_beyond_the_kept_bytes(void)
{
    struct arena arena;
    CHECK_INT(arena_init(&arena, PAGES * PAGE), 0);
    char *room = arena_alloc(&arena, PAGES * PAGE);
    CHECK(room != NULL);
    memset(room, 7, PAGES * PAGE);
    size_t before = resident_pages(&arena);
    arena_reset(&arena, 3 * PAGE);
    size_t after = resident_pages(&arena);
    char *again = arena_alloc(&arena, PAGES * PAGE);
    char first = again[0];
    char beyond = again[3 * PAGE];
    arena_fini(&arena);
    CHECK_INT(before, PAGES);
    CHECK_INT(after, 3);
    CHECK(again == room);
    CHECK_INT(first, 7);
    CHECK_INT(beyond, 0);
}

static void
the_bound_refuses_and_leaves_the_rest_usable(void)
{
    struct arena arena;
    CHECK_INT(arena_init(&arena, PAGE), 0);
    void *most = arena_alloc(&arena, PAGE - 16);
    void *over = arena_alloc(&arena, 17);
    void *huge = arena_alloc(&arena, SIZE_MAX);
    void *rest = arena_alloc(&arena, 16);
    void *none = arena_alloc(&arena, 1);
    arena_fini(&arena);
    CHECK(most != NULL);
    CHECK(over == NULL);
    CHECK(huge == NULL);
    CHECK(rest != NULL);
    CHECK(none == NULL);
}

static void
addresses_are_aligned_as_asked(void)
{
    struct arena arena;
    CHECK_INT(arena_init(&arena, PAGE), 0);
    uintptr_t bits = 0;
    for (size_t align = 1; align <= 256; align *= 2) {
        (void)!arena_alloc_aligned(&arena, 1, 1);
        bits |= (uintptr_t)arena_alloc_aligned(&arena, 3, align) & (align - 1);
    }
    (void)!arena_alloc_aligned(&arena, 1, 1);
    bits |= (uintptr_t)arena_alloc(&arena, 1) & 15u;
    arena_fini(&arena);
    CHECK_INT(bits, 0);
}

static void
a_product_that_overflows_is_refused(void)
{
    struct arena arena;
    CHECK_INT(arena_init(&arena, PAGE), 0);
    void *wrapped = arena_zalloc(&arena, SIZE_MAX / 8 + 2, 8);
    memset(arena.base, 0xff, PAGE);
    unsigned char *zeroed = arena_zalloc(&arena, 10, 10);
    unsigned sum = 0;
    for (size_t i = 0; zeroed != NULL && i < 100; i++) {
        sum += zeroed[i];
    }
    arena_fini(&arena);
    CHECK(wrapped == NULL);
    CHECK(zeroed != NULL);
    CHECK_INT(sum, 0);
}

static void
texts_are_copied_with_an_end(void)
{
    struct arena arena;
    char source[] = "yards to go";
    CHECK_INT(arena_init(&arena, PAGE), 0);
    char *copy = arena_text(&arena, bytes_of(source, 5));
    char *empty = arena_text(&arena, bytes_of(NULL, 0));
    source[0] = '-';
    char seen[16];
    snprintf(seen, sizeof(seen), "%s|%s", copy, empty);
    arena_fini(&arena);
    CHECK_TEXT(seen, "yards|");
}

int
main(void)
{
    TAP_RUN(an_untouched_arena_takes_no_memory);
    TAP_RUN(a_reset_gives_back_what_lies_beyond_the_kept_bytes);
    TAP_RUN(the_bound_refuses_and_leaves_the_rest_usable);
    TAP_RUN(addresses_are_aligned_as_asked);
    TAP_RUN(a_product_that_overflows_is_refused);
    TAP_RUN(texts_are_copied_with_an_end);
    return tap_done();
}
