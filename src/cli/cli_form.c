/* SPDX-License-Identifier: MIT */
/*
 * cli_form.c - answers as lines of text or as an array of numpy's.
 * Invariant: how many rows there are is known at the end alone, so an array's head is written first
 * to keep its place and once more with the right number.
 */
#include "cli_form.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* ---- text ------------------------------------------------------------------------------------ */

/* One cell by RFC 4180. */
static void
put_csv_cell(struct bytes cell, struct buf *out)
{
    bool is_quoted = false;

    for (size_t i = 0; i < cell.len; i++) {
        uint8_t c = cell.data[i];
        is_quoted = is_quoted || c == ',' || c == '"' || c == '\r';
    }
    if (!is_quoted) {
        buf_put_bytes(out, cell);
        return;
    }
    buf_put_u8(out, '"');
    for (size_t i = 0; i < cell.len; i++) {
        buf_put_text(out, cell.data[i] == '"' ? "\"" : "");
        buf_put_u8(out, cell.data[i]);
    }
    buf_put_u8(out, '"');
}

/* Tabs become commas; no cell holds a tab or a line end. */
static void
put_as_csv(struct bytes lines, struct buf *out)
{
    size_t begin = 0;

    for (size_t i = 0; i < lines.len; i++) {
        uint8_t c = lines.data[i];
        if (c == '\t' || c == '\n') {
            put_csv_cell(bytes_of(lines.data + begin, i - begin), out);
            buf_put_u8(out, c == '\t' ? ',' : '\n');
            begin = i + 1;
        }
    }
}

static void
put_text_rows(const struct cli_form *form, const struct cli_columns *columns, size_t row_count,
              struct buf *out)
{
    struct buf row;

    if (form->kind == CLI_FORM_TSV) {
        for (size_t i = 0; i < row_count; i++) {
            cli_columns_put_row(columns, i, out);
        }
        return;
    }
    buf_init(&row, out->max);
    for (size_t i = 0; i < row_count; i++) {
        buf_reset(&row);
        cli_columns_put_row(columns, i, &row);
        put_as_csv(buf_view(&row), out);
    }
    if (buf_finish(&row) != 0) {
        out->rc = row.rc;
    }
    buf_fini(&row);
}

static int
begin_text(const struct cli_form *form, const struct cli_columns *columns, struct err *err)
{
    struct buf names;
    struct buf text;
    int rc = 0;

    if (!form->has_names) {
        return 0;
    }
    buf_init(&names, 64 << 20);
    buf_init(&text, 64 << 20);
    cli_columns_put_header(columns, &names);
    if (form->kind == CLI_FORM_CSV) {
        put_as_csv(buf_view(&names), &text);
    } else {
        buf_put_bytes(&text, buf_view(&names));
    }
    if (buf_finish(&names) != 0 || buf_finish(&text) != 0) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for the columns' names");
    } else if (cli_print(buf_view(&text)) != CLI_OK) {
        rc = err_set(err, AUGURY_ERR_IO, "unwritable_output", "nothing has been written");
    }
    buf_fini(&text);
    buf_fini(&names);
    return rc;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static int
begin_array(struct cli_form *form, const struct cli_columns *columns, struct err *err)
{
    static const uint8_t nothing[ROWS_NPY_HEADER_BYTES];
    enum rows_npy_type type;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    if (cli_columns_npy_type(columns, &type) != 0) {
        return err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_form",
                       "--to npy holds numbers, of which %s has none: take tsv or csv",
                       predict_output_name(columns->output.kind));
    }
    form->head_at = (int64_t)lseek(STDOUT_FILENO, 0, SEEK_CUR);
    if (form->head_at < 0 || flags < 0 || (flags & O_APPEND) != 0) {
        return err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_form",
                       "--to npy needs a file: the number of rows stands at its beginning and is "
                       "known at the end (redirect: > answers.npy)");
    }
    return cli_print(bytes_of(nothing, sizeof(nothing))) == CLI_OK
               ? 0
               : err_set(err, AUGURY_ERR_IO, "unwritable_output", "nothing has been written");
}

static int
end_array(const struct cli_form *form, const struct cli_columns *columns, struct err *err)
{
    enum rows_npy_type type = ROWS_NPY_F8;
    struct buf head;
    int rc = cli_columns_npy_type(columns, &type);

    buf_init(&head, 2 * ROWS_NPY_HEADER_BYTES);
    rows_put_npy_header(type, form->row_count, columns->count, &head);
    rc = rc == 0 ? buf_finish(&head) : rc;
    if (rc != 0 || pwrite(STDOUT_FILENO, head.data, head.len, form->head_at) != (ssize_t)head.len) {
        rc = err_set(err, AUGURY_ERR_IO, "unwritable_output",
                     "the head of the array cannot be written: %s", strerror(errno));
    }
    buf_fini(&head);
    return rc;
}

/* ---- public ---------------------------------------------------------------------------------- */

int
cli_form_find(const char *name, enum cli_form_kind *out_kind)
{
    static const char *const names[] = {
        [CLI_FORM_TSV] = "tsv", [CLI_FORM_CSV] = "csv", [CLI_FORM_NPY] = "npy"};

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out_kind = (enum cli_form_kind)i;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

int
cli_form_begin(struct cli_form *form, const struct cli_columns *columns, struct err *err)
{
    return form->kind == CLI_FORM_NPY ? begin_array(form, columns, err)
                                      : begin_text(form, columns, err);
}

void
cli_form_put(const struct cli_form *form, const struct cli_columns *columns, size_t row_count,
             struct buf *out)
{
    if (form->kind == CLI_FORM_NPY) {
        cli_columns_put_raw(columns, row_count, out);
    } else {
        put_text_rows(form, columns, row_count, out);
    }
}

int
cli_form_write(struct cli_form *form, struct bytes rows, uint64_t row_count, struct err *err)
{
    if (cli_print(rows) != CLI_OK) {
        return err_set(err, AUGURY_ERR_IO, "unwritable_output", "not all rows have been written");
    }
    form->row_count += row_count;
    return 0;
}

int
cli_form_end(struct cli_form *form, const struct cli_columns *columns, struct err *err)
{
    return form->kind == CLI_FORM_NPY ? end_array(form, columns, err) : 0;
}
