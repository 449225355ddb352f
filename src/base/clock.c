/* SPDX-License-Identifier: MIT */
/* clock.c - monotonic and wall clocks, and dates as HTTP and ISO 8601 write them. */
#include "augury/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t
clock_read_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
clock_mono_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_mono_coarse_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC_COARSE);
}

/* "computed waited slices" in nanoseconds; where there is no such file, what was computed. */
uint64_t
clock_thread_awake_ns(void)
{
    char text[96] = "";
    char *end = NULL;
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    if (len <= 0) {
        return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
    }
    uint64_t computed_ns = strtoull(text, &end, 10);
    return computed_ns + strtoull(end, NULL, 10);
}

uint64_t
clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000u;
}

uint64_t
clock_thread_cpu_ns(void)
{
    return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t
clock_wall_ms(void)
{
    return clock_read_ns(CLOCK_REALTIME) / 1000000u;
}

void
clock_to_http(uint64_t wall_ms, char *out_text)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[64];

    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(out_text, text, CLOCK_HTTP_BYTES);
}

void
clock_to_iso(uint64_t wall_ms, char *out_text)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[64];

    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (unsigned)(wall_ms % 1000));
    memcpy(out_text, text, CLOCK_ISO_BYTES);
}
