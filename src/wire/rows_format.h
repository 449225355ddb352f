/* SPDX-License-Identifier: MIT */
/*
 * rows_format.h - what a reader of rows shares with the formats. Private to the room. A format
 * finds rows in data[start, end), asks for more bytes with rows_read_more(), and moves start behind
 * what it has handed out.
 */
#pragma once

#include "augury/rows.h"

struct rows_format_ops {
    /* Reads what stands before the rows. */
    int (*open)(struct rows_reader *reader, struct err *err);
    /* Fills cells. AUGURY_END after the last row. */
    int (*next)(struct rows_reader *reader, struct err *err);
    /* Moves whole rows into block, as many as target_bytes hold but one at least; AUGURY_END when
     * there is none. A block holds nothing but rows. */
    int (*cut)(struct rows_reader *reader, size_t target_bytes, struct buf *block, struct err *err);
};
extern const struct rows_format_ops rows_text_ops;
extern const struct rows_format_ops rows_npy_ops;
extern const struct rows_format_ops rows_msgpack_ops;

/* An array of numpy's. */
struct rows_npy {
    uint64_t row_count;
    uint32_t column_count;
    uint8_t number_bytes; /* 1, 2, 4 or 8 */
    char kind;            /* as numpy calls it: 'f', 'i', 'u' or 'b' */
    bool is_big_endian;
    const uint8_t *columns; /* where the numbers lie column by column, all of them; or NULL */
};

struct rows_reader {
    FILE *file; /* NULL: of blocks */
    char *path; /* for messages */
    struct rows_options options;
    const struct rows_format_ops *ops;
    uint8_t *data; /* of blocks: the caller's */
    size_t start;
    size_t end;
    size_t cap;
    bool is_at_end;     /* of the file */
    bool has_begun;     /* the byte order mark, if any, has been dropped */
    bool is_named;      /* the last row's cells have names (a map of MessagePack) */
    uint64_t line;      /* of the last row; npy, msgpack: number of the last row */
    uint64_t next_line; /* of the next */
    size_t columns;     /* csv, tsv: cells of every row with the skipped ones; 0: not known yet */
    struct rows_npy npy;
    uint64_t batch_left; /* msgpack: rows to come of the array that has begun */
    struct rows_cell *cells;
    size_t cell_count;
    size_t cell_cap;
    struct bytes *header;
    size_t header_count;
    uint8_t *header_text; /* the header's record; `header` points into it */
};

/* One more read at the end of data; is_at_end when nothing came. */
AUGURY_MUST_USE int rows_read_more(struct rows_reader *reader, struct err *err);
/* At least len bytes from start on; AUGURY_END when the file has fewer. */
AUGURY_MUST_USE int rows_need(struct rows_reader *reader, size_t len, struct err *err);
AUGURY_MUST_USE int rows_add_cell(struct rows_reader *reader, struct rows_cell cell,
                                  struct err *err);
/* Each returns a failure with its place: that of the last row. column: from 1, of the file. */
int rows_refuse(const struct rows_reader *reader, struct err *err, const char *reason);
int rows_refuse_cell(const struct rows_reader *reader, struct err *err, size_t column,
                     const char *reason);
int rows_refuse_memory(struct err *err);
