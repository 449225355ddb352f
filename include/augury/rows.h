/* SPDX-License-Identifier: MIT */
/*
 * rows.h - files of rows, read as a stream: CSV (RFC 4180), TSV, LibSVM, numpy's arrays,
 * MessagePack.
 * Room: wire (floor 1, uses base). Process: cli.
 * Ownership: a reader owns its buffer; a row's cells borrow from it until the next call.
 * Errors: AUGURY_ERR_INVALID with code "invalid_rows" and `at` "FILE:LINE" (or
 * "FILE:LINE, column N"); of formats without lines "FILE, row N".
 */
#pragma once

#include <stdio.h>

#include "augury/wire.h"

enum rows_format { ROWS_CSV, ROWS_TSV, ROWS_LIBSVM, ROWS_NPY, ROWS_MSGPACK };

struct rows_reader;

struct rows_options {
    enum rows_format format;
    bool has_header;       /* csv, tsv: the first line names the columns */
    unsigned skip_columns; /* csv, tsv: leading columns that are dropped, of the header too */
    size_t line_max_bytes; /* 0: 16 MiB */
    size_t cells_max;      /* of a row; 0: any number */
    bool is_vector_row;    /* npy: an array of one dimension is one row, not one column */
    /* data not NULL: what stands in the file, which is not opened; it outlives the reader. */
    struct bytes content;
};

/* path "-": standard input. */
AUGURY_MUST_USE int rows_open(const char *path, const struct rows_options *options,
                              struct rows_reader **out_reader, struct err *err);
void rows_close(struct rows_reader **reader);
/* Column names of the header after skipped ones; count 0 without a header. */
const struct bytes *rows_header(const struct rows_reader *reader, size_t *out_count);

/* One cell. column: its position, or the index that a libsvm file has. csv, tsv, libsvm have text,
 * which is empty for an empty cell; npy and msgpack have a value: a scalar, or one of a container's
 * type without its contents. name: of a map of msgpack. */
struct rows_cell {
    uint32_t column;
    struct bytes text;
    struct bytes name;
    struct wire_value value;
};

/* The next row. AUGURY_END after the last. Lines that are empty are skipped in libsvm; in csv and
 * tsv an empty line is a row of one empty cell when the header (or the first row) has one column,
 * and skipped otherwise. LibSVM: the label (first field), `qid:` and comments after # go. npy:
 * float32, float64, integers and booleans of either byte order, of one or two dimensions; column by
 * column (Fortran order) only of content in memory. msgpack: rows, which are
 * arrays or maps, and arrays of rows, one after another. */
AUGURY_MUST_USE int rows_next(struct rows_reader *reader, const struct rows_cell **out_cells,
                              size_t *out_count, struct err *err);
/* Of content in memory, at most how many rows follow the header: what an array says that it has, or
 * a text's lines. */
uint64_t rows_count_max(const struct rows_reader *reader);
uint64_t rows_line(const struct rows_reader *reader);  /* line number of the last row, from 1 */
bool rows_are_named(const struct rows_reader *reader); /* the last row's cells have names */
const char *rows_unit(
    enum rows_format format); /* what stands between file and line: ":" or ", row " */

/* ---- blocks: for several threads, each with a reader of its own ------------------------------ */

/* Moves whole rows into block (initialised, empty): about target_bytes, one row at least. *out_line
 * is that of its first row. AUGURY_END after the last. Memory: twice target_bytes, or twice the
 * longest row. */
AUGURY_MUST_USE int rows_cut(struct rows_reader *reader, size_t target_bytes, struct buf *block,
                             uint64_t *out_line, struct err *err);
/* A reader of what rows_cut(whole) gives; whole is read during this call alone. */
AUGURY_MUST_USE int rows_open_blocks(const struct rows_reader *whole,
                                     struct rows_reader **out_reader, struct err *err);
/* The next rows come from block, until AUGURY_END. It stays the caller's, and cells are unescaped
 * in it. */
void rows_feed(struct rows_reader *reader, struct buf *block, uint64_t line);

/* ---- writing numpy's arrays ------------------------------------------------------------------ */

enum rows_npy_type { ROWS_NPY_F4, ROWS_NPY_F8, ROWS_NPY_U4 };
enum { ROWS_NPY_HEADER_BYTES = 128 };
/* ROWS_NPY_HEADER_BYTES, whatever the numbers are; the rows follow, little-endian. column_count 0:
 * of one dimension, a number a row. */
void rows_put_npy_header(enum rows_npy_type type, uint64_t row_count, size_t column_count,
                         struct buf *buf);
