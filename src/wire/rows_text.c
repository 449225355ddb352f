/* SPDX-License-Identifier: MIT */
/*
 * rows_text.c - CSV, TSV and LibSVM.
 * CSV follows RFC 4180: quotes, doubled quotes, line breaks within quotes, CRLF or LF. TSV has no
 * quotes, as registered with IANA. LibSVM: `label index:value …`, indices ascending.
 */
#include "rows_format.h"

#include <stdlib.h>
#include <string.h>

/* Where the search for a row's end stands; only CSV has more than one state. */
enum scan_state { AT_CELL_START, IN_PLAIN, IN_QUOTES, AFTER_QUOTE };

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
    if (reader->options.format != ROWS_CSV || *at == 0) {
        const uint8_t *feed = memchr(data + *at, '\n', len - *at);
        size_t to = feed != NULL ? (size_t)(feed - data) : len;
        if (reader->options.format != ROWS_CSV || (feed != NULL && memchr(data, '"', to) == NULL)) {
            *at = to;
            return feed != NULL;
        }
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

    reader->line = first_line;
    while (!(is_found = scan_row(reader, &state, &at)) && !reader->is_at_end) {
        int rc = rows_read_more(reader, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (!is_found && at == 0) {
        return AUGURY_END;
    }
    if (!is_found && state == IN_QUOTES) {
        return rows_refuse(reader, err, "a quote is opened in this row and not closed");
    }
    struct bytes record = bytes_of(reader->data + reader->start, at);
    reader->start += at + (is_found ? 1 : 0);
    reader->next_line++;
    if (memchr(record.data, '\0', record.len) != NULL) {
        return rows_refuse(reader, err, "the line holds a NUL byte; expected text in UTF-8");
    }
    if (record.len > 0 && record.data[record.len - 1] == '\r') {
        record.len--;
    }
    *out_record = record;
    return 0;
}

/* ---- cells ---- */

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
            return rows_refuse_cell(reader, err, column + 1, reason);
        }
        int rc =
            column < skip
                ? 0
                : rows_add_cell(
                      reader, (struct rows_cell){.column = (uint32_t)(column - skip), .text = text},
                      err);
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
        return rows_refuse(reader, err, reason);
    }
    if (columns <= skip) {
        snprintf(reason, sizeof(reason), "the row has %zu cells, of which %zu are to be skipped",
                 columns, skip);
        return rows_refuse(reader, err, reason);
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
        return rows_refuse_cell(reader, err, place, "expected index:value");
    }
    size_t index_len = (size_t)(colon - word.data);
    struct bytes value = bytes_of(colon + 1, word.len - index_len - 1);
    if (bytes_to_u64(bytes_of(word.data, index_len), UINT32_MAX, &index) != 0) {
        return rows_refuse_cell(reader, err, place, "the index is no number from 0 to 4294967295");
    }
    if (value.len == 0) {
        return rows_refuse_cell(reader, err, place,
                                "the index has no value; leave a missing one out");
    }
    if (reader->cell_count > 0 && index <= reader->cells[reader->cell_count - 1].column) {
        bool is_twice = index == reader->cells[reader->cell_count - 1].column;
        return rows_refuse_cell(
            reader, err, place,
            is_twice ? "the index is in the row twice"
                     : "the index is lower than the one before, expected them ascending");
    }
    return rows_add_cell(reader, (struct rows_cell){.column = (uint32_t)index, .text = value}, err);
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
        return rows_refuse_cell(reader, err, 1, "a line begins with a label, which is a number");
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

/* ---- the header ---- */

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
        return rows_refuse_memory(err);
    }
    uint8_t *to = reader->header_text;
    for (size_t i = 0; i < reader->cell_count; i++) {
        struct bytes text = reader->cells[i].text;
        if (!utf8_is_valid(text)) {
            return rows_refuse_cell(reader, err, i + 1, "the column's name is not valid UTF-8");
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
    struct bytes record = bytes_of(NULL, 0);

    int rc = next_record(reader, &record, err);
    if (rc == AUGURY_END) {
        reader->line = 1;
        return rows_refuse(reader, err,
                           "the file is empty, expected a line with the columns' names");
    }
    if (rc == 0) {
        rc = read_columns(reader, record, err);
    }
    return rc == 0 ? keep_header(reader, err) : rc;
}

static int
text_open(struct rows_reader *reader, struct err *err)
{
    bool has_header = reader->options.has_header && reader->options.format != ROWS_LIBSVM;

    return has_header ? read_header(reader, err) : 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int
text_next(struct rows_reader *reader, struct err *err)
{
    bool is_libsvm = reader->options.format == ROWS_LIBSVM;
    struct bytes record = bytes_of(NULL, 0);
    int rc;

    do {
        rc = next_record(reader, &record, err);
        if (rc == 0 && is_libsvm) {
            record = strip_comment(record);
        }
    } while (rc == 0 && record.len == 0 && reader->columns != 1);
    if (rc != 0) {
        return rc;
    }
    return is_libsvm ? read_libsvm(reader, record, err) : read_columns(reader, record, err);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Bytes of whole rows that data begins with, line ends included; 0: not one. */
static size_t
whole_rows_len(const struct rows_reader *reader, const uint8_t *data, size_t len)
{
    enum scan_state state = AT_CELL_START;
    size_t whole = 0;

    if (reader->options.format != ROWS_CSV || memchr(data, '"', len) == NULL) {
        const uint8_t *feed = memrchr(data, '\n', len);
        return feed != NULL ? (size_t)(feed - data) + 1 : 0;
    }
    for (size_t i = 0; i < len; i++) {
        bool is_end = data[i] == '\n' && state != IN_QUOTES;
        state = is_end ? AT_CELL_START : scan_byte(state, data[i]);
        whole = is_end ? i + 1 : whole;
    }
    return whole;
}

static uint64_t
count_feeds(const uint8_t *data, size_t len)
{
    uint64_t count = 0;

    for (size_t i = 0; i < len; i++) {
        count += data[i] == '\n' ? 1 : 0;
    }
    return count;
}

static int
text_cut(struct rows_reader *reader, size_t target_bytes, struct buf *block, struct err *err)
{
    size_t target = target_bytes;
    size_t whole = 0;
    int rc = 0;

    reader->line = reader->next_line;
    while (whole == 0) {
        rc = rows_need(reader, target, err);
        if (rc < 0) {
            return rc;
        }
        size_t len = reader->end - reader->start;
        if (len == 0) {
            return AUGURY_END;
        }
        const uint8_t *data = reader->data + reader->start;
        whole = rc == AUGURY_END ? len : whole_rows_len(reader, data, len);
        target = len + 1; /* no row ends here: it is longer than a block */
    }
    const uint8_t *data = reader->data + reader->start;
    buf_put(block, data, whole);
    reader->next_line += count_feeds(data, whole);
    reader->start += whole;
    return buf_finish(block) == 0 ? 0 : rows_refuse_memory(err);
}

const struct rows_format_ops rows_text_ops = {
    .open = text_open, .next = text_next, .cut = text_cut};
