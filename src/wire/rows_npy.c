/* SPDX-License-Identifier: MIT */
/*
 * rows_npy.c - arrays as numpy.save() writes them: format 1.0 to 3.0 (numpy/lib/format.py, NEP 1),
 * floats of 4 and 8 bytes, integers and booleans, rows one after another; columns one after another
 * only where all of it is in memory, as a row's numbers lie far from each other there.
 * Invariant: the header is a literal of Python of which only three keys and the simplest values are
 * read; what else could stand there is refused.
 */
#include "rows_format.h"

#include <stdio.h>
#include <string.h>

enum {
    MAGIC_BYTES = 6,
    HEADER_MAX_BYTES = 65536,
    COLUMNS_MAX = 1 << 20,
    SHAPE_MAX = 4,
    WORD_MAX = 24
};

/* ---- the header ------------------------------------------------------------------------------ */

struct header {
    char descr[WORD_MAX];
    bool is_fortran;
    uint64_t shape[SHAPE_MAX];
    size_t shape_count;
    unsigned seen; /* a bit for each key */
};

static int
refuse(const struct rows_reader *reader, struct err *err, const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_rows", "%s", reason);
    (void)err_at(err, "%s", reader->path);
    return AUGURY_ERR_INVALID;
}

static void
skip_blanks(struct bytes *text)
{
    while (text->len > 0 && (text->data[0] == ' ' || text->data[0] == '\n')) {
        *text = bytes_of(text->data + 1, text->len - 1);
    }
}

static bool
take_char(struct bytes *text, char c)
{
    skip_blanks(text);
    if (text->len == 0 || text->data[0] != (uint8_t)c) {
        return false;
    }
    *text = bytes_of(text->data + 1, text->len - 1);
    return true;
}

/* 'descr' or "descr". */
static bool
take_string(struct bytes *text, char *out_word)
{
    skip_blanks(text);
    if (text->len < 2 || (text->data[0] != '\'' && text->data[0] != '"')) {
        return false;
    }
    const uint8_t *end = memchr(text->data + 1, text->data[0], text->len - 1);
    size_t len = end != NULL ? (size_t)(end - text->data) - 1 : WORD_MAX;
    if (len >= WORD_MAX) {
        return false;
    }
    memcpy(out_word, text->data + 1, len);
    out_word[len] = '\0';
    *text = bytes_of(text->data + len + 2, text->len - len - 2);
    return true;
}

static bool
take_number(struct bytes *text, uint64_t *out_number)
{
    size_t len = 0;

    skip_blanks(text);
    while (len < text->len && text->data[len] >= '0' && text->data[len] <= '9') {
        len++;
    }
    if (bytes_to_u64(bytes_of(text->data, len), UINT64_MAX, out_number) != 0) {
        return false;
    }
    *text = bytes_of(text->data + len, text->len - len);
    return true;
}

static bool
take_word(struct bytes *text, const char *word)
{
    size_t len = strlen(word);

    skip_blanks(text);
    if (!bytes_start_with(*text, word)) {
        return false;
    }
    *text = bytes_of(text->data + len, text->len - len);
    return true;
}

/* "(3, 4)", "(3,)", "()" */
static bool
take_shape(struct bytes *text, struct header *header)
{
    if (!take_char(text, '(')) {
        return false;
    }
    while (!take_char(text, ')')) {
        if (header->shape_count == SHAPE_MAX ||
            !take_number(text, &header->shape[header->shape_count])) {
            return false;
        }
        header->shape_count++;
        if (!take_char(text, ',')) {
            return take_char(text, ')');
        }
    }
    return true;
}

static bool
take_value(struct bytes *text, const char *key, struct header *header)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned number = 0;

    while (number < AUGURY_COUNT(keys) && strcmp(key, keys[number]) != 0) {
        number++;
    }
    if (number == AUGURY_COUNT(keys) || (header->seen & 1U << number) != 0) {
        return false;
    }
    header->seen |= 1U << number;
    switch (number) {
    case 0: return take_string(text, header->descr);
    case 1:
        header->is_fortran = take_word(text, "True");
        return header->is_fortran || take_word(text, "False");
    default: return take_shape(text, header);
    }
}

static bool
read_literal(struct bytes text, struct header *header)
{
    char key[WORD_MAX];

    if (!take_char(&text, '{')) {
        return false;
    }
    while (!take_char(&text, '}')) {
        if (!take_string(&text, key) || !take_char(&text, ':') || !take_value(&text, key, header)) {
            return false;
        }
        if (!take_char(&text, ',')) {
            if (!take_char(&text, '}')) {
                return false;
            }
            break;
        }
    }
    skip_blanks(&text);
    return text.len == 0 && header->seen == 7;
}

/* "<f4", ">i8", "|u1": byte order, kind, bytes. */
static bool
read_descr(const char *descr, struct rows_npy *npy)
{
    static const char *const kinds[] = {"f4", "f8", "i1", "i2", "i4", "i8",
                                        "u1", "u2", "u4", "u8", "b1"};
    bool is_known = false;

    for (size_t i = 0; i < AUGURY_COUNT(kinds) && descr[0] != '\0' && !is_known; i++) {
        is_known = strcmp(descr + 1, kinds[i]) == 0;
    }
    if (!is_known || strchr(descr[2] == '1' ? "|<>" : "<>", descr[0]) == NULL) {
        return false;
    }
    npy->kind = descr[1];
    npy->number_bytes = (uint8_t)(descr[2] - '0');
    npy->is_big_endian = descr[0] == '>';
    return true;
}

/* Of an array in memory: its numbers, when they are all there and nothing else is. */
static int
find_columns(struct rows_reader *reader, size_t head_bytes, struct err *err)
{
    struct bytes content = reader->options.content;
    struct rows_npy *npy = &reader->npy;
    uint64_t bytes = 0;

    if (__builtin_mul_overflow(npy->row_count, (uint64_t)npy->column_count * npy->number_bytes,
                               &bytes) ||
        head_bytes > content.len || bytes != content.len - head_bytes) {
        return refuse(reader, err, "the array has more or fewer bytes than its shape tells");
    }
    npy->columns = content.data + head_bytes;
    return 0;
}

/* Rows and columns of one dimension or two. */
static bool
read_shape(const struct rows_reader *reader, const struct header *header, uint64_t *out_rows,
           uint64_t *out_columns)
{
    bool is_one = header->shape_count == 1;
    bool is_row = is_one && reader->options.is_vector_row;

    if (header->shape_count < 1 || header->shape_count > 2) {
        return false;
    }
    *out_rows = is_row ? 1 : header->shape[0];
    *out_columns = is_row ? header->shape[0] : is_one ? 1 : header->shape[1];
    return true;
}

static int
check_header(struct rows_reader *reader, const struct header *header, size_t head_bytes,
             struct err *err)
{
    struct rows_npy npy = {.row_count = 0};
    size_t columns_max = reader->options.cells_max > 0 ? reader->options.cells_max : COLUMNS_MAX;
    uint64_t columns = 0;
    char reason[200];

    if (!read_descr(header->descr, &npy)) {
        snprintf(reason, sizeof(reason),
                 "the array is of dtype '%s', expected floats of 4 or 8 bytes, integers or "
                 "booleans: save array.astype('<f8')",
                 header->descr);
        return refuse(reader, err, reason);
    }
    bool is_by_column = header->is_fortran && header->shape_count > 1;
    if (is_by_column && reader->options.content.data == NULL) {
        return refuse(reader, err,
                      "the array lies column by column (fortran_order): save "
                      "numpy.ascontiguousarray(array)");
    }
    if (!read_shape(reader, header, &npy.row_count, &columns)) {
        snprintf(reason, sizeof(reason), "the array has %zu dimensions, expected rows and columns",
                 header->shape_count);
        return refuse(reader, err, reason);
    }
    if (columns == 0 || columns > columns_max || columns * 8 > reader->options.line_max_bytes) {
        return refuse(reader, err, "the array has no columns, or too many");
    }
    npy.column_count = (uint32_t)columns;
    reader->npy = npy;
    return is_by_column ? find_columns(reader, head_bytes, err) : 0;
}

static int
need_header(struct rows_reader *reader, size_t len, struct err *err)
{
    int rc = rows_need(reader, len, err);

    return rc != AUGURY_END ? rc : refuse(reader, err, "the file ends within numpy's header");
}

/* Magic, version and the header's length, which has 2 bytes in version 1 and 4 later. */
static int
read_prefix(struct rows_reader *reader, size_t *out_len, size_t *out_prefix, struct err *err)
{
    int rc = rows_need(reader, MAGIC_BYTES + 6, err);

    if (rc < 0) {
        return rc;
    }
    const uint8_t *p = reader->data + reader->start;
    if (rc == AUGURY_END || memcmp(p, "\x93NUMPY", MAGIC_BYTES) != 0) {
        return refuse(reader, err,
                      "no array of numpy's: a file of numpy.save() begins with "
                      "\\x93NUMPY");
    }
    unsigned version = p[MAGIC_BYTES];
    if (version < 1 || version > 3) {
        return refuse(reader, err,
                      "a version of numpy's format that is not known, expected 1 to 3");
    }
    *out_len = version == 1 ? le16_get(p + 8) : le32_get(p + 8);
    *out_prefix = version == 1 ? 10 : 12;
    reader->start += *out_prefix;
    bool has_room = *out_len <= HEADER_MAX_BYTES && *out_len + 12 <= reader->options.line_max_bytes;
    return has_room ? 0 : refuse(reader, err, "numpy's header is too long");
}

static int
npy_open(struct rows_reader *reader, struct err *err)
{
    struct header header = {.seen = 0};
    size_t len = 0;
    size_t prefix = 0;
    int rc = read_prefix(reader, &len, &prefix, err);

    if (rc == 0) {
        rc = need_header(reader, len, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (!read_literal(bytes_of(reader->data + reader->start, len), &header)) {
        return refuse(reader, err,
                      "numpy's header is not {'descr': '<f4', 'fortran_order': False, 'shape': "
                      "(rows, columns)}; arrays of structures are not read");
    }
    reader->start += len;
    return check_header(reader, &header, prefix + len, err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static size_t
row_bytes_of(const struct rows_reader *reader)
{
    return (size_t)reader->npy.column_count * reader->npy.number_bytes;
}

/* 0 when the whole next row is there. */
static int
need_row(struct rows_reader *reader, struct err *err)
{
    size_t row_bytes = row_bytes_of(reader);
    bool is_over = reader->next_line > reader->npy.row_count;
    int rc = rows_need(reader, is_over ? 1 : row_bytes, err);

    if (rc == AUGURY_END && reader->file == NULL && reader->start == reader->end) {
        return rc; /* of a block, not of the array */
    }
    reader->line = is_over ? reader->line : reader->next_line;
    if (is_over && rc == 0) {
        return refuse(reader, err, "more bytes follow than the array's shape tells");
    }
    if (!is_over && rc == AUGURY_END) {
        return rows_refuse(reader, err, "the file ends before this row, which the shape tells of");
    }
    return rc;
}

static uint64_t
word_at(const uint8_t *p, const struct rows_npy *npy)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < npy->number_bytes; i++) {
        unsigned at = npy->is_big_endian ? npy->number_bytes - 1 - i : i;
        word |= (uint64_t)p[at] << (8 * i);
    }
    return word;
}

static int64_t
signed_of(uint64_t word, unsigned bytes)
{
    switch (bytes) {
    case 1: return (int8_t)word;
    case 2: return (int16_t)word;
    case 4: return (int32_t)word;
    default: return (int64_t)word;
    }
}

static struct wire_value
value_at(const uint8_t *p, const struct rows_npy *npy)
{
    uint64_t word = word_at(p, npy);
    uint32_t half = (uint32_t)word;
    struct wire_value value = {.type = WIRE_REAL};
    float number;

    switch (npy->kind) {
    case 'b': return (struct wire_value){.type = WIRE_BOOL, .as.boolean = word != 0};
    case 'u':
        return word > INT64_MAX
                   ? (struct wire_value){.type = WIRE_UINT, .as.uinteger = word}
                   : (struct wire_value){.type = WIRE_INT, .as.integer = (int64_t)word};
    case 'i':
        return (struct wire_value){.type = WIRE_INT,
                                   .as.integer = signed_of(word, npy->number_bytes)};
    default: break;
    }
    if (npy->number_bytes == 8) {
        memcpy(&value.as.real, &word, sizeof(value.as.real));
    } else {
        memcpy(&number, &half, sizeof(number));
        value.as.real = (double)number;
    }
    return value;
}

/* Numbers that lie column by column are all in memory. */
static int
next_by_column(struct rows_reader *reader, struct err *err)
{
    const struct rows_npy *npy = &reader->npy;
    uint64_t row = reader->next_line - 1;
    int rc = row < npy->row_count ? 0 : AUGURY_END;

    for (uint32_t i = 0; rc == 0 && i < npy->column_count; i++) {
        const uint8_t *p = npy->columns + (i * npy->row_count + row) * npy->number_bytes;
        rc = rows_add_cell(reader, (struct rows_cell){.column = i, .value = value_at(p, npy)}, err);
    }
    if (rc == 0) {
        reader->line = reader->next_line++;
    }
    return rc;
}

static int
npy_next(struct rows_reader *reader, struct err *err)
{
    reader->cell_count = 0;
    if (reader->npy.columns != NULL) {
        return next_by_column(reader, err);
    }
    int rc = need_row(reader, err);
    const uint8_t *p = reader->data + reader->start;
    for (uint32_t i = 0; rc == 0 && i < reader->npy.column_count; i++) {
        rc = rows_add_cell(
            reader,
            (struct rows_cell){
                .column = i,
                .value = value_at(p + (size_t)i * reader->npy.number_bytes, &reader->npy)},
            err);
    }
    if (rc == 0) {
        reader->start += row_bytes_of(reader);
        reader->next_line++;
    }
    return rc;
}

/* A block has rows one after another, whatever the array has. */
static int
cut_by_column(struct rows_reader *reader, size_t wanted, struct buf *block)
{
    const struct rows_npy *npy = &reader->npy;

    for (; wanted > 0; wanted--, reader->next_line++) {
        for (uint32_t i = 0; i < npy->column_count; i++) {
            buf_put(block,
                    npy->columns + (i * npy->row_count + reader->next_line - 1) * npy->number_bytes,
                    npy->number_bytes);
        }
    }
    return buf_finish(block);
}

static int
npy_cut(struct rows_reader *reader, size_t target_bytes, struct buf *block, struct err *err)
{
    size_t row_bytes = row_bytes_of(reader);
    uint64_t left = reader->npy.row_count - (reader->next_line - 1);
    size_t wanted = target_bytes / row_bytes > 0 ? target_bytes / row_bytes : 1;

    wanted = wanted > left ? (size_t)left : wanted;
    if (reader->npy.columns != NULL) {
        int rc = wanted > 0 ? cut_by_column(reader, wanted, block) : AUGURY_END;
        return rc < 0 ? rows_refuse_memory(err) : rc;
    }
    int rc = need_row(reader, err);
    if (rc != 0) {
        return rc;
    }
    rc = rows_need(reader, wanted * row_bytes, err);
    if (rc < 0) {
        return rc;
    }
    size_t there = (reader->end - reader->start) / row_bytes;
    size_t rows = there < wanted ? there : wanted;
    buf_put(block, reader->data + reader->start, rows * row_bytes);
    reader->start += rows * row_bytes;
    reader->next_line += rows;
    return buf_finish(block) == 0 ? 0 : rows_refuse_memory(err);
}

const struct rows_format_ops rows_npy_ops = {.open = npy_open, .next = npy_next, .cut = npy_cut};

/* ---- writing --------------------------------------------------------------------------------- */

void
rows_put_npy_header(enum rows_npy_type type, uint64_t row_count, size_t column_count,
                    struct buf *buf)
{
    static const char *const names[] = {
        [ROWS_NPY_F4] = "<f4", [ROWS_NPY_F8] = "<f8", [ROWS_NPY_U4] = "<u4"};
    char literal[ROWS_NPY_HEADER_BYTES];
    char columns[U64_TEXT_MAX + 2] = "";

    if (column_count > 0) {
        snprintf(columns, sizeof(columns), " %zu", column_count);
    }
    int len = snprintf(literal, sizeof(literal),
                       "{'descr': '%s', 'fortran_order': False, 'shape': (%llu,%s), }", names[type],
                       (unsigned long long)row_count, columns);
    size_t pad = ROWS_NPY_HEADER_BYTES - 10 - 1 - (size_t)len;

    buf_put(buf, "\x93NUMPY\x01\x00", 8);
    buf_put_u8(buf, ROWS_NPY_HEADER_BYTES - 10);
    buf_put_u8(buf, 0);
    buf_put(buf, literal, (size_t)len);
    for (size_t i = 0; i < pad; i++) {
        buf_put_u8(buf, ' ');
    }
    buf_put_u8(buf, '\n');
}
