/* SPDX-License-Identifier: MIT */
/*
 * cli_progress.h - how far a long command has come, on standard error. Private to the room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cli_progress {
    const char *noun; /* what is counted: "rows", unless the caller says otherwise */
    bool is_shown;
    bool is_terminal; /* one line that is written over, else a line now and then */
    uint64_t begin_ns;
    uint64_t shown_ns;
    uint64_t row_count;
};

/* is_wanted: asked for; else it is shown when standard error is a terminal and standard output is
 * not. */
void cli_progress_begin(struct cli_progress *progress, bool is_wanted);
void cli_progress_add(struct cli_progress *progress, uint64_t row_count);
void cli_progress_end(struct cli_progress *progress);
