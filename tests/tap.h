/* SPDX-License-Identifier: MIT */
/*
 * tap.h - tests that speak TAP 13 (testanything.org), in one header. A program:
 *     static void a_full_buffer_keeps_its_code(void) { … CHECK(buf.rc == AUGURY_ERR_LIMIT); … }
 *     int main(void) { TAP_RUN(a_full_buffer_keeps_its_code); return tap_done(); }
 * One test function is one TAP line; its first failed CHECK ends it. The function's name is the
 * behaviour.
 */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static struct {
    int count;
    int failures;
    bool has_failed;
    char skip_reason[160];
} tap;

#define TAP_FAIL(...)                                                                              \
    do {                                                                                           \
        tap.has_failed = true;                                                                     \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                   \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        return;                                                                                    \
    } while (0)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            TAP_FAIL("%s", #cond);                                                                 \
        }                                                                                          \
    } while (0)

#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long tap_got = (long long)(got);                                                      \
        long long tap_want = (long long)(want);                                                    \
        if (tap_got != tap_want) {                                                                 \
            TAP_FAIL("%s is %lld, want %lld", #got, tap_got, tap_want);                            \
        }                                                                                          \
    } while (0)

#define CHECK_TEXT(got, want)                                                                      \
    do {                                                                                           \
        const char *tap_got = (got);                                                               \
        const char *tap_want = (want);                                                             \
        if (strcmp(tap_got, tap_want) != 0) {                                                      \
            TAP_FAIL("%s is \"%s\", want \"%s\"", #got, tap_got, tap_want);                        \
        }                                                                                          \
    } while (0)

/* The text contains the words. */
#define CHECK_CONTAINS(got, words)                                                                 \
    do {                                                                                           \
        const char *tap_got = (got);                                                               \
        if (strstr(tap_got, (words)) == NULL) {                                                    \
            TAP_FAIL("%s is \"%s\", want it to contain \"%s\"", #got, tap_got, (words));           \
        }                                                                                          \
    } while (0)

#define SKIP(reason)                                                                               \
    do {                                                                                           \
        snprintf(tap.skip_reason, sizeof(tap.skip_reason), "%s", (reason));                        \
        return;                                                                                    \
    } while (0)

#define TAP_RUN(test) tap_run(#test, test)

__attribute__((unused)) static void
tap_run(const char *name, void (*test)(void))
{
    tap.has_failed = false;
    tap.skip_reason[0] = '\0';
    test();
    tap.count++;
    tap.failures += tap.has_failed ? 1 : 0;
    printf("%sok %d - ", tap.has_failed ? "not " : "", tap.count);
    for (const char *c = name; *c != '\0'; c++) {
        putchar(*c == '_' ? ' ' : *c);
    }
    if (tap.skip_reason[0] != '\0') {
        printf(" # SKIP %s", tap.skip_reason);
    }
    putchar('\n');
    fflush(stdout);
}

__attribute__((unused)) static int
tap_done(void)
{
    printf("1..%d\n", tap.count);
    return tap.failures == 0 ? 0 : 1;
}
