/* SPDX-License-Identifier: MIT */
/*
 * rows.h - files of rows, read as a stream: CSV (RFC 4180), TSV, LibSVM.
 * Room: wire (floor 1, uses base). Process: cli.
 * Ownership: a reader owns its buffer; a row's cells borrow from it until the next call.
 * Errors: AUGURY_ERR_INVALID with code "invalid_rows" and `at` "FILE:LINE" (or
 * "FILE:LINE, column N").
 */
#pragma once

#include <stdio.h>

#include "augury/base.h"

enum rows_format { ROWS_CSV, ROWS_TSV, ROWS_LIBSVM };

struct rows_reader;

struct rows_options {
    enum rows_format format;
    bool has_header;       /* csv, tsv: the first line names the columns */
    unsigned skip_columns; /* csv, tsv: leading columns that are dropped, of the header too */
    size_t line_max_bytes; /* 0: 16 MiB */
    /* data not NULL: what stands in the file, which is not opened; it outlives the reader. */
    struct bytes content;
};

/* path "-": standard input. */
AUGURY_MUST_USE int rows_open(const char *path, const struct rows_options *options,
                              struct rows_reader **out_reader, struct err *err);
void rows_close(struct rows_reader **reader);
/* Column names of the header after skipped ones; count 0 without a header. */
const struct bytes *rows_header(const struct rows_reader *reader, size_t *out_count);

/* One cell: csv, tsv: column is its position; libsvm: the index written (as in the file). An empty
 * cell has an empty text. */
struct rows_cell {
    uint32_t column;
    struct bytes text;
};

/* The next row. AUGURY_END after the last. Lines that are empty are skipped in libsvm; in csv and
 * tsv an empty line is a row of one empty cell when the header (or the first row) has one column,
 * and skipped otherwise. LibSVM: the label (first field), `qid:` and comments after # go. */
AUGURY_MUST_USE int rows_next(struct rows_reader *reader, const struct rows_cell **out_cells,
                              size_t *out_count, struct err *err);
uint64_t rows_line(const struct rows_reader *reader); /* line number of the last row, from 1 */
