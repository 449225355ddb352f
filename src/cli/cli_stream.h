/* SPDX-License-Identifier: MIT */
/*
 * cli_stream.h - many rows on their way through a model and out again, on several threads. Private
 * to the room.
 */
#pragma once

#include "cli_columns.h"
#include "cli_form.h"
#include "cli_progress.h"

struct cli_stream_options {
    const struct model *model;
    struct predict_file *file; /* its first row is the next */
    struct cli_output output;
    unsigned thread_count;
    struct cli_form *form; /* where answers go */
    struct cli_progress *progress;
};

/* Reads blocks of rows, has each evaluated by a thread, and hands the answers on in the rows'
 * order. Memory is bounded by the number of threads, not by that of rows. On failure what stands
 * before the wrong row has been handed on. */
AUGURY_MUST_USE int cli_stream(const struct cli_stream_options *options, struct err *err);
