/* SPDX-License-Identifier: MIT */
/*
 * alloc_fail.h - memory that runs out at a chosen allocation. A test program is linked with
 * $(alloc_fail_ldflags): what our own code allocates from the heap goes through here, libraries and
 * the test itself when nothing is armed are left alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* 0: nothing fails. n: the n-th allocation from now on fails, and all that follow when lasts. */
static struct {
    unsigned left;
    bool lasts;
    bool has_failed;
} alloc_fail;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *text);

static inline bool
alloc_fails(void)
{
    if (alloc_fail.has_failed && alloc_fail.lasts) {
        return true;
    }
    if (alloc_fail.left == 0 || --alloc_fail.left > 0) {
        return false;
    }
    alloc_fail.has_failed = true;
    return true;
}

static inline void
alloc_fail_arm(unsigned n, bool lasts)
{
    alloc_fail.left = n;
    alloc_fail.lasts = lasts;
    alloc_fail.has_failed = false;
}

/* Whether one has failed since it was armed. */
static inline bool
alloc_fail_disarm(void)
{
    bool has_failed = alloc_fail.has_failed;

    alloc_fail.left = 0;
    alloc_fail.has_failed = false;
    return has_failed;
}

void *
__wrap_malloc(size_t size)
{
    return alloc_fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return alloc_fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return alloc_fails() ? NULL : __real_realloc(old, size);
}

void *
__wrap_aligned_alloc(size_t align, size_t size)
{
    return alloc_fails() ? NULL : __real_aligned_alloc(align, size);
}

char *
__wrap_strdup(const char *text)
{
    return alloc_fails() ? NULL : __real_strdup(text);
}
