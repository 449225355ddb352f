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

#include "../tap.h"

enum { ALLOC_FAIL_MAX = 2000 };

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

/* Does all there is and gives all back. 0; < 0: there was no memory, and that was said; > 0: it
 * failed in another way. */
typedef int alloc_scenario_fn(void);

/* The scenario with each of its allocations failing, once alone and once with all that follow; at
 * the end without one that fails, which has to succeed. */
static inline void
alloc_fail_each(alloc_scenario_fn *scenario)
{
    for (unsigned lasts = 0; lasts < 2; lasts++) {
        bool has_failed = true;
        int rc = 0;
        for (unsigned n = 1; has_failed && n < ALLOC_FAIL_MAX; n++) {
            alloc_fail_arm(n, lasts != 0);
            rc = scenario();
            has_failed = alloc_fail_disarm();
            CHECK(rc <= 0);
            CHECK(has_failed || n > 1); /* it does allocate */
        }
        CHECK(!has_failed);
        CHECK_INT(rc, 0);
    }
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
