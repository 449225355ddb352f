/* SPDX-License-Identifier: MIT */
/* test_clock.c - clocks go forward; dates are those of RFC 9110 and of libc's strftime. */
#include <stdint.h>
#include <time.h>

#include "../../tap.h"
#include "augury/base.h"

static void
the_example_of_rfc_9110_is_written_so(void)
{
    char text[CLOCK_HTTP_BYTES + 1] = {0};
    clock_to_http(784111777000u, text);
    CHECK_TEXT(text, "Sun, 06 Nov 1994 08:49:37 GMT");
}

static void
iso_dates_carry_milliseconds(void)
{
    char text[CLOCK_ISO_BYTES + 1] = {0};
    clock_to_iso(784111777003u, text);
    CHECK_TEXT(text, "1994-11-06T08:49:37.003Z");
    clock_to_iso(0, text);
    CHECK_TEXT(text, "1970-01-01T00:00:00.000Z");
}

/* Prime steps over 130 years meet every weekday, month, leap day and century. */
static void
dates_are_those_of_libc(void)
{
    for (uint64_t seconds = 0; seconds < UINT64_C(4102444800); seconds += 7654321) {
        char http[CLOCK_HTTP_BYTES + 1] = {0};
        char iso[CLOCK_ISO_BYTES + 1] = {0};
        char want[64];
        struct tm tm;
        time_t when = (time_t)seconds;
        gmtime_r(&when, &tm);
        clock_to_http(seconds * 1000 + 999, http);
        clock_to_iso(seconds * 1000 + 999, iso);
        strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        CHECK_TEXT(http, want);
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.999Z", &tm);
        CHECK_TEXT(iso, want);
    }
}

static void
the_monotonic_clock_follows_a_sleep(void)
{
    uint64_t before_ns = clock_mono_ns();
    uint64_t before_ms = clock_mono_ms();
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    uint64_t after_ns = clock_mono_ns();
    CHECK(after_ns - before_ns >= 20000000u);
    CHECK(clock_mono_ms() - before_ms >= 19);
}

static void
the_coarse_clock_lags_the_monotonic_one_by_little(void)
{
    uint64_t before_ns = clock_mono_ns();
    uint64_t coarse_ns = clock_mono_coarse_ns();
    struct timespec pause = {.tv_nsec = 20000000};
    CHECK(coarse_ns <= clock_mono_ns());
    CHECK(coarse_ns + 20000000u >= before_ns);
    nanosleep(&pause, NULL);
    CHECK(clock_mono_coarse_ns() > coarse_ns);
}

/* Computing for 50 ms, and whatever it waited for a processor, is being awake; sleeping is not. The
 * kernel counts by its ticks. */
static void
a_thread_is_awake_while_it_does_not_sleep(void)
{
    const uint64_t tick_ns = 10000000;
    struct timespec pause = {.tv_nsec = 50000000};
    uint64_t begin_ns = clock_mono_ns();
    uint64_t awake_ns = clock_thread_awake_ns();

    while (clock_mono_ns() - begin_ns < 50000000u) {
    }
    CHECK(clock_thread_awake_ns() - awake_ns >= 50000000u - 2 * tick_ns);
    begin_ns = clock_mono_ns();
    awake_ns = clock_thread_awake_ns();
    nanosleep(&pause, NULL);
    uint64_t slept_ns = clock_thread_awake_ns() - awake_ns;
    CHECK(slept_ns <= clock_mono_ns() - begin_ns - 50000000u + 2 * tick_ns);
}

static void
the_wall_clock_is_that_of_time(void)
{
    time_t before = time(NULL);
    uint64_t wall_ms = clock_wall_ms();
    /* time() may lag the fine clock by one tick of the kernel. */
    CHECK(wall_ms / 1000 + 1 >= (uint64_t)before);
    CHECK(wall_ms / 1000 <= (uint64_t)time(NULL) + 1);
}

int
main(void)
{
    TAP_RUN(the_example_of_rfc_9110_is_written_so);
    TAP_RUN(iso_dates_carry_milliseconds);
    TAP_RUN(dates_are_those_of_libc);
    TAP_RUN(the_monotonic_clock_follows_a_sleep);
    TAP_RUN(the_coarse_clock_lags_the_monotonic_one_by_little);
    TAP_RUN(a_thread_is_awake_while_it_does_not_sleep);
    TAP_RUN(the_wall_clock_is_that_of_time);
    return tap_done();
}
