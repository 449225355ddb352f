/* SPDX-License-Identifier: MIT */
/*
 * cli_score.h - a file of rows scored by a model file. Private to the room.
 */
#pragma once

#include "augury/rows.h"
#include "cli_form.h"

struct cli_score_options {
    const char *model_path;  /* NULL: model_name */
    const char *model_name;  /* NAME[@SELECTOR] of the model environment */
    const struct conf *conf; /* of model_name */
    const char *rows_path;
    const char *features;
    const char *schema_path;
    const char *kernel; /* NULL: the best */
    enum predict_outputs output;
    double level; /* of intervals */
    struct rows_options rows;
    bool has_format;
    bool is_ignoring_unknown; /* columns that are no features are left out */
    bool is_best_iteration;
    enum cli_form_kind form;
    bool has_names;                          /* the first line names the columns */
    bool has_progress;                       /* asked for */
    unsigned thread_count;                   /* 0: one a usable CPU */
    uint32_t iteration_begin, iteration_end; /* half-open; both 0: all */
};

/* Prints one line a row on standard output. On failure the rows before the wrong one have been
 * printed. */
AUGURY_MUST_USE int cli_score(const struct cli_score_options *options, struct err *err);
