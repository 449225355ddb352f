/* SPDX-License-Identifier: MIT */
/*
 * rows.c - CSV, TSV and LibSVM files as a stream of rows.
 * CSV follows RFC 4180: quotes, doubled quotes, line breaks within quotes, CRLF or LF. TSV has no
 * quotes, as registered with IANA. LibSVM: `label index:value …`, indices ascending.
 * Invariant: data[start, end) is what was read and not yet handed out; a row's cells point into
 * the part before start, which stays until the next call. The buffer holds one row at least and
 * line_max_bytes at most.
 */
#include "augury/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_BUFFER_FIRST_BYTES = 64 * 1024,
    ROWS_LINE_MAX_BYTES = 16 * 1024 * 1024,
    ROWS_CELLS_FIRST = 64,
};

/* Where the search for a row's end stands; only CSV has more than one state. */
enum scan_state { AT_CELL_START, IN_PLAIN, IN_QUOTES, AFTER_QUOTE };

struct rows_reader {
    FILE *file;
    char *path; /* for messages */
    struct rows_options options;
    uint8_t *data;
    size_t start;
    size_t end;
    size_t cap;
    bool is_at_end;     /* of the file */
    bool has_begun;     /* the byte order mark, if any, has been dropped */
    uint64_t line;      /* of the last row */
    uint64_t next_line; /* of the next */
    size_t columns;     /* csv, tsv: cells of every row with the skipped ones; 0: not known yet */
    struct rows_cell *cells;
    size_t cell_count;
    size_t cell_cap;
    struct bytes *header;
    size_t header_count;
    uint8_t *header_text; /* the header's record; `header` points into it */
};

/* ---- errors ---- */

static int
refuse(const struct rows_reader *reader, struct err *err, const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "%s", reason);
    err_at(err, "%s:%llu", reader->path, (unsigned long long)reader->line);
    return AUGURY_ERR_INVALID;
}

/* column: from 1, of the file. */
static int
refuse_cell(const struct rows_reader *reader, struct err *err, size_t column, const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "%s", reason);
    err_at(err, "%s:%llu, column %zu", reader->path, (unsigned long long)reader->line, column);
    return AUGURY_ERR_INVALID;
}

static int
refuse_memory(struct err *err)
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
        err_at(err, "%s:%llu", reader->path, (unsigned long long)reader->next_line);
        return AUGURY_ERR_INVALID;
    }
    size_t cap = reader->cap == 0 ? ROWS_BUFFER_FIRST_BYTES : 2 * reader->cap;
    cap = cap > max ? max : cap;
    uint8_t *data = realloc(reader->data, cap);
    if (data == NULL) {
        return refuse_memory(err);
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

static int
read_more(struct rows_reader *reader, struct err *err)
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

static enum scan_state
scan_byte(enum scan_state state, uint8_t c)
{
    switch (state) {
    case IN_QUOTES: return c == '"' ? AFTER_QUOTE : IN_QUOTES;
    case AT_CELL_START:
        if (c == '"') {
            return IN_QUOTES;
        }
        break;
    case AFTER_QUOTE:
        if (c == '"') {
            return IN_QUOTES;
        }
        return c == ',' ? AT_CELL_START : AFTER_QUOTE;
    case IN_PLAIN: break;
    }
    return c == ',' ? AT_CELL_START : IN_PLAIN;
}

/* Goes on at *at (from start); stops behind the bytes that are there, or on the line feed that
 * ends the row. */
static bool
scan_row(struct rows_reader *reader, enum scan_state *state, size_t *at)
{
    size_t len = reader->end - reader->start;

    if (len == 0) {
        return false; /* nothing read yet: there may be no buffer */
    }
    const uint8_t *data = reader->data + reader->start;
    if (reader->options.format != ROWS_CSV) {
        const uint8_t *feed = memchr(data + *at, '\n', len - *at);
        *at = feed != NULL ? (size_t)(feed - data) : len;
        return feed != NULL;
    }
    for (; *at < len; (*at)++) {
        uint8_t c = data[*at];
        if (c == '\n' && *state != IN_QUOTES) {
            return true;
        }
        reader->next_line += c == '\n' ? 1 : 0;
        *state = scan_byte(*state, c);
    }
    return false;
}

/* The next row without its line end. AUGURY_END after the last. */
static int
next_record(struct rows_reader *reader, struct bytes *out_record, struct err *err)
{
    enum scan_state state = AT_CELL_START;
    uint64_t first_line = reader->next_line;
    size_t at = 0;
    bool is_found = false;

    while (!(is_found = scan_row(reader, &state, &at)) && !reader->is_at_end) {
        int rc = read_more(reader, err);
        if (rc != 0) {
            return rc;
        }
    }
    reader->line = first_line;
    if (!is_found && at == 0) {
        return AUGURY_END;
    }
    if (!is_found && state == IN_QUOTES) {
        return refuse(reader, err, "a quote is opened in this row and not closed");
    }
    struct bytes record = bytes_of(reader->data + reader->start, at);
    reader->start += at + (is_found ? 1 : 0);
    reader->next_line++;
    if (memchr(record.data, '\0', record.len) != NULL) {
        return refuse(reader, err, "the line holds a NUL byte; expected text in UTF-8");
    }
    if (record.len > 0 && record.data[record.len - 1] == '\r') {
        record.len--;
    }
    *out_record = record;
    return 0;
}

/* ---- cells ---- */

static int
add_cell(struct rows_reader *reader, uint32_t column, struct bytes text, struct err *err)
{
    if (reader->cell_count == reader->cell_cap) {
        size_t cap = reader->cell_cap == 0 ? ROWS_CELLS_FIRST : 2 * reader->cell_cap;
        struct rows_cell *cells = realloc(reader->cells, cap * sizeof(*cells));
        if (cells == NULL) {
            return refuse_memory(err);
        }
        reader->cells = cells;
        reader->cell_cap = cap;
    }
    reader->cells[reader->cell_count++] = (struct rows_cell){.column = column, .text = text};
    return 0;
}

/*
 * The quoted cell that record begins with, unescaped in place (it only gets shorter). *out_used:
 * bytes up to the comma or the record's end. NULL reason: fine.
 */
static const char *
take_quoted(struct bytes record, struct bytes *out_text, size_t *out_used)
{
    /* The record lies in the reader's own buffer. */
    uint8_t *to = (uint8_t *)(uintptr_t)record.data;
    size_t len = 0;
    size_t i = 1;

    for (; i < record.len; i++) {
        if (record.data[i] == '"' && (i + 1 == record.len || record.data[i + 1] != '"')) {
            break;
        }
        i += record.data[i] == '"' ? 1 : 0;
        to[len++] = record.data[i];
    }
    i++;
    if (i < record.len && record.data[i] != ',') {
        return "text follows a closing quote; expected a comma, or two quotes for one";
    }
    *out_text = bytes_of(to, len);
    *out_used = i < record.len ? i : record.len;
    return NULL;
}

static const char *
take_plain(struct bytes record, uint8_t separator, bool is_csv, struct bytes *out_text,
           size_t *out_used)
{
    const uint8_t *end = record.len > 0 ? memchr(record.data, separator, record.len) : NULL;
    size_t len = end != NULL ? (size_t)(end - record.data) : record.len;

    if (is_csv && len > 0 && memchr(record.data, '"', len) != NULL) {
        return "a quote stands within a cell that does not begin with one";
    }
    *out_text = bytes_of(record.data, len);
    *out_used = len;
    return NULL;
}

/* *out_columns: how many the row has, with those skipped. */
static int
split_columns(struct rows_reader *reader, struct bytes record, size_t *out_columns, struct err *err)
{
    bool is_csv = reader->options.format == ROWS_CSV;
    uint8_t separator = is_csv ? ',' : '\t';
    size_t skip = reader->options.skip_columns;

    reader->cell_count = 0;
    for (size_t column = 0;; column++) {
        struct bytes text;
        size_t used = 0;
        bool is_quoted = is_csv && record.len > 0 && record.data[0] == '"';
        const char *reason = is_quoted ? take_quoted(record, &text, &used)
                                       : take_plain(record, separator, is_csv, &text, &used);
        if (reason != NULL) {
            return refuse_cell(reader, err, column + 1, reason);
        }
        int rc = column < skip ? 0 : add_cell(reader, (uint32_t)(column - skip), text, err);
        if (rc != 0) {
            return rc;
        }
        if (used == record.len) {
            *out_columns = column + 1;
            return 0;
        }
        record = bytes_of(record.data + used + 1, record.len - used - 1);
    }
}

/* Splits a row and holds its number of cells against that of the first. */
static int
read_columns(struct rows_reader *reader, struct bytes record, struct err *err)
{
    char reason[120];
    size_t skip = reader->options.skip_columns;
    size_t columns = 0;

    int rc = split_columns(reader, record, &columns, err);
    if (rc != 0) {
        return rc;
    }
    if (reader->columns == 0) {
        reader->columns = columns;
    }
    if (columns != reader->columns) {
        snprintf(reason, sizeof(reason), "the row has %zu cells, expected %zu as in the first",
                 columns, reader->columns);
        return refuse(reader, err, reason);
    }
    if (columns <= skip) {
        snprintf(reason, sizeof(reason), "the row has %zu cells, of which %zu are to be skipped",
                 columns, skip);
        return refuse(reader, err, reason);
    }
    return 0;
}

/* ---- LibSVM ---- */

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of *record, which is moved behind it; empty at the end. */
static struct bytes
take_word(struct bytes *record)
{
    size_t from = 0;

    while (from < record->len && is_blank(record->data[from])) {
        from++;
    }
    size_t to = from;
    while (to < record->len && !is_blank(record->data[to])) {
        to++;
    }
    struct bytes word = bytes_of(record->data + from, to - from);
    *record = bytes_of(record->data + to, record->len - to);
    return word;
}

static int
read_entry(struct rows_reader *reader, struct bytes word, size_t place, struct err *err)
{
    const uint8_t *colon = memchr(word.data, ':', word.len);
    uint64_t index = 0;

    if (colon == NULL) {
        return refuse_cell(reader, err, place, "expected index:value");
    }
    size_t index_len = (size_t)(colon - word.data);
    struct bytes value = bytes_of(colon + 1, word.len - index_len - 1);
    if (bytes_to_u64(bytes_of(word.data, index_len), UINT32_MAX, &index) != 0) {
        return refuse_cell(reader, err, place, "the index is no number from 0 to 4294967295");
    }
    if (value.len == 0) {
        return refuse_cell(reader, err, place, "the index has no value; leave a missing one out");
    }
    if (reader->cell_count > 0 && index <= reader->cells[reader->cell_count - 1].column) {
        bool is_twice = index == reader->cells[reader->cell_count - 1].column;
        return refuse_cell(reader, err, place,
                           is_twice
                               ? "the index is in the row twice"
                               : "the index is lower than the one before, expected them ascending");
    }
    return add_cell(reader, (uint32_t)index, value, err);
}

/* The label, or label:weight as XGBoost reads it, is dropped; anything else in its place is a sign
 * that the line is no LibSVM. */
static int
check_label(const struct rows_reader *reader, struct bytes label, struct err *err)
{
    bool is_label = bytes_equal_nocase(label, "nan");
    size_t i = 0;

    while (i < label.len && memchr("0123456789+-.eE:", label.data[i], 16) != NULL) {
        i++;
    }
    if (!is_label && i < label.len) {
        return refuse_cell(reader, err, 1, "a line begins with a label, which is a number");
    }
    return 0;
}

static int
read_libsvm(struct rows_reader *reader, struct bytes record, struct err *err)
{
    size_t place = 2;

    reader->cell_count = 0;
    int rc = check_label(reader, take_word(&record), err);
    for (struct bytes word = take_word(&record); rc == 0 && word.len > 0;
         word = take_word(&record)) {
        rc = bytes_start_with(word, "qid:") ? 0 : read_entry(reader, word, place, err);
        place++;
    }
    return rc;
}

/* Without the comment; empty when nothing else is there. */
static struct bytes
strip_comment(struct bytes record)
{
    const uint8_t *hash = record.len > 0 ? memchr(record.data, '#', record.len) : NULL;

    record.len = hash != NULL ? (size_t)(hash - record.data) : record.len;
    struct bytes rest = record;
    return take_word(&rest).len > 0 ? record : bytes_of(record.data, 0);
}

/* ---- opening ---- */

/* The header outlives its record, so its text is copied: as one block that the names point into. */
static int
keep_header(struct rows_reader *reader, struct err *err)
{
    size_t total = 1;

    for (size_t i = 0; i < reader->cell_count; i++) {
        total += reader->cells[i].text.len;
    }
    reader->header_text = malloc(total);
    reader->header = calloc(reader->cell_count + 1, sizeof(*reader->header));
    if (reader->header_text == NULL || reader->header == NULL) {
        return refuse_memory(err);
    }
    uint8_t *to = reader->header_text;
    for (size_t i = 0; i < reader->cell_count; i++) {
        struct bytes text = reader->cells[i].text;
        if (!utf8_is_valid(text)) {
            return refuse_cell(reader, err, i + 1, "the column's name is not valid UTF-8");
        }
        if (text.len > 0) {
            memcpy(to, text.data, text.len);
        }
        reader->header[i] = bytes_of(to, text.len);
        to += text.len;
    }
    reader->header_count = reader->cell_count;
    return 0;
}

static int
read_header(struct rows_reader *reader, struct err *err)
{
    struct bytes record;

    int rc = next_record(reader, &record, err);
    if (rc == AUGURY_END) {
        reader->line = 1;
        return refuse(reader, err, "the file is empty, expected a line with the columns' names");
    }
    if (rc == 0) {
        rc = read_columns(reader, record, err);
    }
    return rc == 0 ? keep_header(reader, err) : rc;
}

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
        return refuse_memory(err);
    }
    reader->options = *options;
    reader->next_line = 1;
    if (reader->options.line_max_bytes == 0) {
        reader->options.line_max_bytes = ROWS_LINE_MAX_BYTES;
    }
    reader->path = strdup(is_stdin ? "(standard input)" : path);
    reader->file = open_file(path, options->content);
    if (reader->path == NULL) {
        rc = refuse_memory(err);
    } else if (reader->file == NULL) {
        rc = err_set(err, AUGURY_ERR_IO, "rows_open", "%s: %s", path, strerror(errno));
    } else if (options->has_header && options->format != ROWS_LIBSVM) {
        rc = read_header(reader, err);
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
    free((*reader)->path);
    free((*reader)->data);
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
    bool is_libsvm = reader->options.format == ROWS_LIBSVM;
    struct bytes record;
    int rc;

    do {
        rc = next_record(reader, &record, err);
        if (rc == 0 && is_libsvm) {
            record = strip_comment(record);
        }
    } while (rc == 0 && record.len == 0 && reader->columns != 1);
    if (rc == 0) {
        rc = is_libsvm ? read_libsvm(reader, record, err) : read_columns(reader, record, err);
    }
    if (rc == 0) {
        *out_cells = reader->cells;
        *out_count = reader->cell_count;
    }
    return rc;
}

uint64_t
rows_line(const struct rows_reader *reader)
{
    return reader->line;
}
