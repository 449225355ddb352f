/* SPDX-License-Identifier: MIT */
/*
 * arena.c - one reserved range of address space, handed out from the front.
 * Invariant: used <= high <= max; pages above high have never been touched since the last trim.
 */
#include "augury/base.h"

#include <string.h>
#include <sys/mman.h>

enum { ARENA_ALIGN = 16, ARENA_PAGE = 4096 };

static size_t
round_up(size_t size, size_t align)
{
    return (size + align - 1) & ~(align - 1);
}

int
arena_init(struct arena *arena, size_t max_bytes)
{
    *arena = (struct arena){0};
    size_t max = round_up(max_bytes == 0 ? 1 : max_bytes, ARENA_PAGE);
    void *base =
        mmap(NULL, max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return AUGURY_ERR_NOMEM;
    }
    arena->base = base;
    arena->max = max;
    return 0;
}

void
arena_fini(struct arena *arena)
{
    if (arena->base != NULL) {
        munmap(arena->base, arena->max);
    }
    *arena = (struct arena){0};
}

void
arena_reset(struct arena *arena, size_t keep_bytes)
{
    size_t keep = round_up(keep_bytes, ARENA_PAGE);

    if (arena->used > arena->high) {
        arena->high = arena->used;
    }
    arena->used = 0;
    if (arena->high > keep) {
        (void)madvise(arena->base + keep, round_up(arena->high, ARENA_PAGE) - keep, MADV_DONTNEED);
        arena->high = keep;
    }
}

void *
arena_alloc_aligned(struct arena *arena, size_t size, size_t align)
{
    size_t at = round_up(arena->used, align);

    if (at > arena->max || size > arena->max - at) {
        return NULL;
    }
    arena->used = at + size;
    return arena->base + at;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
    return arena_alloc_aligned(arena, size, ARENA_ALIGN);
}

void *
arena_zalloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *room = arena_alloc(arena, bytes);
    if (room != NULL) {
        memset(room, 0, bytes);
    }
    return room;
}

char *
arena_text(struct arena *arena, struct bytes text)
{
    char *copy = arena_alloc_aligned(arena, text.len + 1, 1);
    if (copy != NULL) {
        if (text.len > 0) {
            memcpy(copy, text.data, text.len);
        }
        copy[text.len] = '\0';
    }
    return copy;
}
