/* SPDX-License-Identifier: MIT */
/*
 * text.c - a document for people at a terminal.
 *     model     nfl-wp            scalars: the keys of one object padded to one width
 *     outputs   margin, leaf      arrays of scalars: on one line
 *     workers                     arrays of objects: a table, headings in capitals
 *       ID  PID   STATE
 *        0  4711  serving
 *     cache                       objects: a section, indented by two
 *       hits  812
 * Nothing that a value holds can move the cursor or colour the screen: controls are shown as \xNN.
 */
#include "augury/wire.h"

#include <string.h>

enum { INDENT = 2, GAP = 2, WIDTH_MAX = 60, NEST_MAX = 24 };

/* ---- one scalar ---- */

static bool
is_scalar(const struct wire_value *value)
{
    return value->type != WIRE_OBJECT && !wire_is_array(value);
}

static bool
is_number(const struct wire_value *value)
{
    return value->type == WIRE_INT || value->type == WIRE_UINT || value->type == WIRE_REAL ||
           value->type == WIRE_NUMBER;
}

static void
put_printable(struct buf *buf, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        /* C1 controls are 0xc2 0x80 … 0xc2 0x9f in UTF-8. */
        bool is_c1 = c == 0xc2 && i + 1 < text.len && text.data[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || is_c1) {
            buf_printf(buf, "\\x%02x", is_c1 ? text.data[++i] : c);
        } else {
            buf_put_u8(buf, c);
        }
    }
}

static void
put_json(struct buf *buf, const struct wire_value *value)
{
    struct wire_writer writer;
    struct buf json;

    buf_init(&json, buf->max);
    wire_writer_init(&writer, WIRE_JSON, &json);
    wire_put_value(&writer, value);
    if (buf_finish(&json) == 0) {
        put_printable(buf, buf_view(&json));
    }
    buf_fini(&json);
}

static void
put_scalar(struct buf *buf, const struct wire_value *value)
{
    if (value->type == WIRE_NULL) {
        buf_put_text(buf, "-");
    } else if (value->type == WIRE_BOOL) {
        buf_put_text(buf, value->as.boolean ? "yes" : "no");
    } else if (value->type == WIRE_STRING) {
        put_printable(buf, wire_string(value));
    } else {
        put_json(buf, value);
    }
}

/* Columns on a terminal, one for each character. */
static size_t
width_of(struct bytes text)
{
    size_t width = 0;

    for (size_t i = 0; i < text.len; i++) {
        width += (text.data[i] & 0xc0) != 0x80 ? 1 : 0;
    }
    return width;
}

static void
put_spaces(struct buf *buf, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_put_u8(buf, ' ');
    }
}

/* ---- one line ---- */

/* Of scalars alone, so that it fits on a line. */
static bool
is_flat(const struct wire_value *value)
{
    for (uint32_t i = 0; value->type == WIRE_ARRAY && i < value->count; i++) {
        if (!is_scalar(&value->as.items[i])) {
            return false;
        }
    }
    return true;
}

static void
put_flat(struct buf *buf, const struct wire_value *value)
{
    if (value->type == WIRE_TYPED) {
        put_json(buf, value);
        return;
    }
    if (value->count == 0) {
        buf_put_text(buf, "-");
    }
    for (uint32_t i = 0; i < value->count; i++) {
        buf_put_text(buf, i > 0 ? ", " : "");
        put_scalar(buf, &value->as.items[i]);
    }
}

/* What stands in one cell of a table or behind a key: a scalar, a flat array, or JSON for the
 * rest. */
static void
put_inline(struct buf *buf, const struct wire_value *value)
{
    if (is_scalar(value)) {
        put_scalar(buf, value);
    } else if (wire_is_array(value) && is_flat(value)) {
        put_flat(buf, value);
    } else {
        put_json(buf, value);
    }
}

/* Width of what put_inline() writes: written and taken back. */
static size_t
inline_width(struct buf *buf, const struct wire_value *value)
{
    size_t mark = buf->len;

    put_inline(buf, value);
    if (buf_finish(buf) != 0) {
        return 0;
    }
    size_t width = width_of(bytes_of(buf->data + mark, buf->len - mark));
    buf->len = mark;
    return width;
}

/* ---- a table ---- */

static bool
is_table(const struct wire_value *value)
{
    if (value->type != WIRE_ARRAY || value->count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < value->count; i++) {
        if (value->as.items[i].type != WIRE_OBJECT) {
            return false;
        }
    }
    /* The first row names the columns. */
    return value->as.items[0].count > 0;
}

static const struct wire_value *
cell_of(const struct wire_value *row, struct bytes key)
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (bytes_equal(row->as.pairs[i].key, key)) {
            return &row->as.pairs[i].value;
        }
    }
    return NULL;
}

struct column {
    struct bytes key;
    size_t width;
    bool is_right; /* all numbers */
};

static struct column
measure_column(struct buf *buf, const struct wire_value *table, struct bytes key)
{
    struct column column = {.key = key, .width = width_of(key), .is_right = true};

    for (uint32_t i = 0; i < table->count; i++) {
        const struct wire_value *cell = cell_of(&table->as.items[i], key);
        size_t width = cell == NULL ? 1 : inline_width(buf, cell);
        column.width = width > column.width ? width : column.width;
        column.is_right =
            column.is_right && (cell == NULL || cell->type == WIRE_NULL || is_number(cell));
    }
    column.width = column.width > WIDTH_MAX ? WIDTH_MAX : column.width;
    return column;
}

/* Puts what was written since mark in its column: spaces before numbers, behind text unless it is
 * the line's last. */
static void
align(struct buf *buf, size_t mark, const struct column *column, bool is_last)
{
    if (buf_finish(buf) != 0) {
        return;
    }
    size_t len = buf->len - mark;
    size_t width = width_of(bytes_of(buf->data + mark, len));
    size_t pad = width < column->width ? column->width - width : 0;
    if (column->is_right) {
        put_spaces(buf, pad);
        if (buf_finish(buf) == 0) {
            memmove(buf->data + mark + pad, buf->data + mark, len);
            memset(buf->data + mark, ' ', pad);
        }
    } else if (!is_last) {
        put_spaces(buf, pad);
    }
    put_spaces(buf, is_last ? 0 : GAP);
}

static void
put_heading(struct buf *buf, struct bytes key)
{
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        c = c == '_' ? ' ' : c;
        c = c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c;
        put_printable(buf, bytes_of(&c, 1));
    }
}

enum { COLUMNS_MAX = 32 };

static void
put_table(struct buf *buf, const struct wire_value *table, unsigned indent)
{
    const struct wire_value *first = &table->as.items[0];
    uint32_t count = first->count < COLUMNS_MAX ? first->count : COLUMNS_MAX;
    struct column columns[COLUMNS_MAX];

    put_spaces(buf, indent);
    for (uint32_t c = 0; c < count; c++) {
        columns[c] = measure_column(buf, table, first->as.pairs[c].key);
        size_t mark = buf->len;
        put_heading(buf, columns[c].key);
        align(buf, mark, &columns[c], c + 1 == count);
    }
    buf_put_u8(buf, '\n');
    for (uint32_t i = 0; i < table->count; i++) {
        put_spaces(buf, indent);
        for (uint32_t c = 0; c < count; c++) {
            const struct wire_value *cell = cell_of(&table->as.items[i], columns[c].key);
            size_t mark = buf->len;
            if (cell == NULL) {
                buf_put_text(buf, "-");
            } else {
                put_inline(buf, cell);
            }
            align(buf, mark, &columns[c], c + 1 == count);
        }
        buf_put_u8(buf, '\n');
    }
}

/* ---- sections ---- */

static void put_section(struct buf *buf, const struct wire_value *value, unsigned indent);

static bool
is_inline(const struct wire_value *value, unsigned indent)
{
    return is_scalar(value) || value->count == 0 || indent >= INDENT * NEST_MAX ||
           (wire_is_array(value) && is_flat(value));
}

static void
put_object(struct buf *buf, const struct wire_value *object, unsigned indent)
{
    size_t width = 0;

    for (uint32_t i = 0; i < object->count; i++) {
        size_t key_width = width_of(object->as.pairs[i].key);
        bool counts = is_inline(&object->as.pairs[i].value, indent) && key_width <= WIDTH_MAX;
        width = counts && key_width > width ? key_width : width;
    }
    for (uint32_t i = 0; i < object->count; i++) {
        const struct wire_pair *pair = &object->as.pairs[i];
        size_t key_width = width_of(pair->key);
        put_spaces(buf, indent);
        put_printable(buf, pair->key);
        if (is_inline(&pair->value, indent)) {
            put_spaces(buf, (key_width < width ? width - key_width : 0) + GAP);
            put_inline(buf, &pair->value);
            buf_put_u8(buf, '\n');
        } else {
            buf_put_u8(buf, '\n');
            put_section(buf, &pair->value, indent + INDENT);
        }
    }
}

/* A mixed array: one item a line, or a section each behind a dash. */
static void
put_list(struct buf *buf, const struct wire_value *list, unsigned indent)
{
    for (uint32_t i = 0; i < list->count; i++) {
        put_spaces(buf, indent);
        buf_put_u8(buf, '-');
        if (is_inline(&list->as.items[i], indent)) {
            buf_put_u8(buf, ' ');
            put_inline(buf, &list->as.items[i]);
            buf_put_u8(buf, '\n');
        } else {
            buf_put_u8(buf, '\n');
            put_section(buf, &list->as.items[i], indent + INDENT);
        }
    }
}

static void
put_section(struct buf *buf, const struct wire_value *value, unsigned indent)
{
    if (is_inline(value, indent)) {
        put_spaces(buf, indent);
        put_inline(buf, value);
        buf_put_u8(buf, '\n');
    } else if (value->type == WIRE_OBJECT) {
        put_object(buf, value, indent);
    } else if (is_table(value)) {
        put_table(buf, value, indent);
    } else {
        put_list(buf, value, indent);
    }
}

void
wire_put_as_text(const struct wire_value *value, struct buf *buf)
{
    put_section(buf, value, 0);
}
