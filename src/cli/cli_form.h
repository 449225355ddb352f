/* SPDX-License-Identifier: MIT */
/*
 * cli_form.h - answers as a file of one form on standard output. Private to the room.
 */
#pragma once

#include "cli_columns.h"

enum cli_form_kind { CLI_FORM_TSV, CLI_FORM_CSV, CLI_FORM_NPY };

struct cli_form {
    enum cli_form_kind kind;
    bool has_names;     /* tsv, csv: a first line names the columns */
    int64_t head_at;    /* npy: where its head stands, which is written again at the end */
    uint64_t row_count; /* written */
};

/* "csv" → CLI_FORM_CSV. */
AUGURY_MUST_USE int cli_form_find(const char *name, enum cli_form_kind *out_kind);
/* Writes what comes before the rows; refuses what the form or standard output cannot do. */
AUGURY_MUST_USE int cli_form_begin(struct cli_form *form, const struct cli_columns *columns,
                                   struct err *err);
/* Appends rows that were evaluated to out, which cli_form_write() takes later. Any thread. */
void cli_form_put(const struct cli_form *form, const struct cli_columns *columns, size_t row_count,
                  struct buf *out);
AUGURY_MUST_USE int cli_form_write(struct cli_form *form, struct bytes rows, uint64_t row_count,
                                   struct err *err);
AUGURY_MUST_USE int cli_form_end(struct cli_form *form, const struct cli_columns *columns,
                                 struct err *err);
