/* SPDX-License-Identifier: MIT */
/*
 * rows.c - files of rows as a stream: the buffer that all formats share, opening and closing.
 * Invariant: data[start, end) is what was read and not yet handed out; a row's cells point into
 * the part before start, which stays until the next call. The buffer holds one row at least and
 * line_max_bytes at most.
 */
#include "rows_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_BUFFER_FIRST_BYTES = 64 * 1024,
    ROWS_LINE_MAX_BYTES = 16 * 1024 * 1024,
    ROWS_CELLS_FIRST = 64,
};

static const struct rows_format_ops *const formats[] = {
    [ROWS_CSV] = &rows_text_ops, [ROWS_TSV] = &rows_text_ops,        [ROWS_LIBSVM] = &rows_text_ops,
    [ROWS_NPY] = &rows_npy_ops,  [ROWS_MSGPACK] = &rows_msgpack_ops,
};

/* ---- errors ---- */

const char *
rows_unit(enum rows_format format)
{
    return format == ROWS_NPY || format == ROWS_MSGPACK ? ", row " : ":";
}

int
rows_refuse(const struct rows_reader *reader, struct err *err, const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "%s", reason);
    err_at(err, "%s%s%llu", reader->path, rows_unit(reader->options.format),
           (unsigned long long)reader->line);
    return AUGURY_ERR_INVALID;
}

/* column: from 1, of the file. */
int
rows_refuse_cell(const struct rows_reader *reader, struct err *err, size_t column,
                 const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "%s", reason);
    err_at(err, "%s%s%llu, column %zu", reader->path, rows_unit(reader->options.format),
           (unsigned long long)reader->line, column);
    return AUGURY_ERR_INVALID;
}

int
rows_refuse_memory(struct err *err)
{
    return err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory for a row");
}

/* ---- finding a row ---- */

/* Room behind end: first by moving what is left to the front, then by growing. */
static int
make_room(struct rows_reader *reader, struct err *err)
{
    if (reader->start > 0) {
        memmove(reader->data, reader->data + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->end < reader->cap) {
        return 0;
    }
    size_t max = reader->options.line_max_bytes;
    if (reader->cap >= max) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "a line is longer than %zu bytes%s", max,
                reader->options.format == ROWS_CSV ? " (is a quote left open?)" : "");
        err_at(err, "%s%s%llu", reader->path, rows_unit(reader->options.format),
               (unsigned long long)reader->line);
        return AUGURY_ERR_INVALID;
    }
    size_t cap = reader->cap == 0 ? ROWS_BUFFER_FIRST_BYTES : 2 * reader->cap;
    cap = cap > max ? max : cap;
    uint8_t *data = realloc(reader->data, cap);
    if (data == NULL) {
        return rows_refuse_memory(err);
    }
    reader->data = data;
    reader->cap = cap;
    return 0;
}

static void
drop_byte_order_mark(struct rows_reader *reader)
{
    if (!reader->has_begun && reader->end - reader->start >= 3 &&
        memcmp(reader->data + reader->start, "\xef\xbb\xbf", 3) == 0) {
        reader->start += 3;
    }
    reader->has_begun = true;
}

int
rows_read_more(struct rows_reader *reader, struct err *err)
{
    int rc = make_room(reader, err);
    if (rc != 0) {
        return rc;
    }
    size_t got = fread(reader->data + reader->end, 1, reader->cap - reader->end, reader->file);
    if (got == 0) {
        if (ferror(reader->file) != 0) {
            return err_set(err, AUGURY_ERR_IO, "rows_read", "%s: %s", reader->path,
                           strerror(errno));
        }
        reader->is_at_end = true;
    }
    reader->end += got;
    drop_byte_order_mark(reader);
    return 0;
}

int
rows_need(struct rows_reader *reader, size_t len, struct err *err)
{
    int rc = 0;

    while (rc == 0 && reader->end - reader->start < len) {
        rc = reader->is_at_end ? AUGURY_END : rows_read_more(reader, err);
    }
    return rc;
}

int
rows_add_cell(struct rows_reader *reader, struct rows_cell cell, struct err *err)
{
    if (reader->options.cells_max > 0 && reader->cell_count == reader->options.cells_max) {
        char reason[80];
        snprintf(reason, sizeof(reason), "the row has more than %zu cells",
                 reader->options.cells_max);
        return rows_refuse(reader, err, reason);
    }
    if (reader->cell_count == reader->cell_cap) {
        size_t cap = reader->cell_cap == 0 ? ROWS_CELLS_FIRST : 2 * reader->cell_cap;
        struct rows_cell *cells = realloc(reader->cells, cap * sizeof(*cells));
        if (cells == NULL) {
            return rows_refuse_memory(err);
        }
        reader->cells = cells;
        reader->cell_cap = cap;
    }
    reader->cells[reader->cell_count++] = cell;
    return 0;
}

/* ---- opening ---- */

static FILE *
open_file(const char *path, struct bytes content)
{
    if (content.data != NULL) {
        return fmemopen((void *)(uintptr_t)content.data, content.len, "rb");
    }
    return strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
}

int
rows_open(const char *path, const struct rows_options *options, struct rows_reader **out_reader,
          struct err *err)
{
    bool is_stdin = options->content.data == NULL && strcmp(path, "-") == 0;
    int rc = 0;

    struct rows_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return rows_refuse_memory(err);
    }
    reader->options = *options;
    reader->ops = formats[options->format];
    reader->has_begun = options->format == ROWS_NPY || options->format == ROWS_MSGPACK;
    reader->next_line = 1;
    if (reader->options.line_max_bytes == 0) {
        reader->options.line_max_bytes = ROWS_LINE_MAX_BYTES;
    }
    reader->path = strdup(is_stdin ? "(standard input)" : path);
    reader->file = open_file(path, options->content);
    if (reader->path == NULL) {
        rc = rows_refuse_memory(err);
    } else if (reader->file == NULL) {
        rc = err_set(err, AUGURY_ERR_IO, "rows_open", "%s: %s", path, strerror(errno));
    } else {
        rc = reader->ops->open(reader, err);
    }
    if (rc != 0) {
        rows_close(&reader);
        return rc;
    }
    *out_reader = reader;
    return 0;
}

void
rows_close(struct rows_reader **reader)
{
    if (*reader == NULL) {
        return;
    }
    if ((*reader)->file != NULL && (*reader)->file != stdin) {
        fclose((*reader)->file);
    }
    if ((*reader)->file != NULL) {
        free((*reader)->data); /* without a file they are the caller's */
    }
    free((*reader)->path);
    free((*reader)->cells);
    free((*reader)->header);
    free((*reader)->header_text);
    free(*reader);
    *reader = NULL;
}

const struct bytes *
rows_header(const struct rows_reader *reader, size_t *out_count)
{
    *out_count = reader->header_count;
    return reader->header;
}

int
rows_next(struct rows_reader *reader, const struct rows_cell **out_cells, size_t *out_count,
          struct err *err)
{
    int rc = reader->ops->next(reader, err);

    if (rc == 0) {
        *out_cells = reader->cells;
        *out_count = reader->cell_count;
    }
    return rc;
}

uint64_t
rows_count_max(const struct rows_reader *reader)
{
    struct bytes content = reader->options.content;
    uint64_t count = 1;

    if (reader->options.format == ROWS_NPY) {
        return reader->npy.row_count;
    }
    for (size_t i = 0; i < content.len; i++) {
        count += content.data[i] == '\n' ? 1 : 0;
    }
    return count;
}

bool
rows_are_named(const struct rows_reader *reader)
{
    return reader->is_named;
}

uint64_t
rows_line(const struct rows_reader *reader)
{
    return reader->line;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

int
rows_cut(struct rows_reader *reader, size_t target_bytes, struct buf *block, uint64_t *out_line,
         struct err *err)
{
    size_t max = reader->options.line_max_bytes;
    uint64_t line = reader->next_line;
    int rc = reader->ops->cut(reader, target_bytes < max ? target_bytes : max, block, err);

    if (rc == 0) {
        *out_line = line;
    }
    return rc;
}

int
rows_open_blocks(const struct rows_reader *whole, struct rows_reader **out_reader, struct err *err)
{
    struct rows_reader *reader = calloc(1, sizeof(*reader));

    if (reader != NULL) {
        reader->path = strdup(whole->path);
    }
    if (reader == NULL || reader->path == NULL) {
        free(reader);
        return rows_refuse_memory(err);
    }
    reader->options = whole->options;
    reader->ops = whole->ops;
    reader->columns = whole->columns;
    reader->npy = whole->npy;
    reader->npy.columns = NULL; /* blocks have rows one after another */
    reader->is_at_end = true;
    reader->has_begun = true;
    *out_reader = reader;
    return 0;
}

void
rows_feed(struct rows_reader *reader, struct buf *block, uint64_t line)
{
    AUGURY_ASSERT(reader->file == NULL);
    reader->data = block->data;
    reader->start = 0;
    reader->end = block->len;
    reader->cap = block->len;
    reader->next_line = line;
    reader->line = line;
}
