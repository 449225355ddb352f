/* SPDX-License-Identifier: MIT */
/* cli_progress.c - rows, or what else is counted, and how many a second; shown twice a second on a
 * terminal, else every five. */
#include "cli_progress.h"

#include <stdio.h>
#include <unistd.h>

#include "augury/base.h"

#define TERMINAL_EVERY_NS UINT64_C(500000000)
#define FILE_EVERY_NS UINT64_C(5000000000)

static void
show(struct cli_progress *progress, uint64_t now_ns, bool is_last)
{
    double seconds = (double)(now_ns - progress->begin_ns) / 1e9;
    double rate = seconds > 0.0 ? (double)progress->row_count / seconds : 0.0;
    const char *end = progress->is_terminal && !is_last ? "" : "\n";

    fprintf(stderr, "%s%llu %s, %.0f %s/s, %.1f s%s", progress->is_terminal ? "\r" : "",
            (unsigned long long)progress->row_count, progress->noun, rate, progress->noun, seconds,
            end);
    fflush(stderr);
    progress->shown_ns = now_ns;
}

void
cli_progress_begin(struct cli_progress *progress, bool is_wanted)
{
    bool is_terminal = isatty(STDERR_FILENO) == 1;

    *progress =
        (struct cli_progress){.noun = "rows",
                              .is_shown = is_wanted || (is_terminal && isatty(STDOUT_FILENO) != 1),
                              .is_terminal = is_terminal,
                              .begin_ns = clock_mono_ns()};
    progress->shown_ns = progress->begin_ns;
}

void
cli_progress_add(struct cli_progress *progress, uint64_t row_count)
{
    uint64_t every_ns = progress->is_terminal ? TERMINAL_EVERY_NS : FILE_EVERY_NS;

    progress->row_count += row_count;
    uint64_t now_ns = progress->is_shown ? clock_mono_ns() : 0;
    if (progress->is_shown && now_ns - progress->shown_ns >= every_ns) {
        show(progress, now_ns, false);
    }
}

void
cli_progress_end(struct cli_progress *progress)
{
    if (progress->is_shown) {
        show(progress, clock_mono_ns(), true);
    }
}
