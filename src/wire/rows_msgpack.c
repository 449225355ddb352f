/* SPDX-License-Identifier: MIT */
/*
 * rows_msgpack.c - rows as MessagePack: a row is an array of values or a map of names to values; a
 * file is any number of rows and of arrays of rows, one after another. An array whose first item is
 * an array or a map is one of rows.
 * Invariants: no step recurses; a declared count makes us allocate nothing, as cells are made when
 * their values are there; a row is handed out when all of its bytes are.
 */
#include "rows_format.h"

#include <stdio.h>
#include <string.h>

/* ---- one value ------------------------------------------------------------------------------- */

enum kind { KIND_SCALAR, KIND_STRING, KIND_BINARY, KIND_ARRAY, KIND_MAP, KIND_NONE };

/* What a first byte means: bytes of the head, of which the last count_bytes are the big-endian
 * count (of bytes, items or pairs) or, of a scalar, the value. */
struct head {
    enum kind kind;
    size_t head_bytes;
    uint64_t count;
};

static uint64_t
be_get(const uint8_t *p, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

/* Of 0xc0 to 0xdf: the kind and how many bytes follow the first one. ext: a binary whose count
 * leaves its type byte out. */
static const struct {
    uint8_t kind;
    uint8_t len;
} heads[32] = {
    {KIND_SCALAR, 0}, {KIND_NONE, 0},   {KIND_SCALAR, 0},
    {KIND_SCALAR, 0},                                     /* nil, -, false, true */
    {KIND_BINARY, 1}, {KIND_BINARY, 2}, {KIND_BINARY, 4}, /* bin */
    {KIND_BINARY, 1}, {KIND_BINARY, 2}, {KIND_BINARY, 4}, /* ext */
    {KIND_SCALAR, 4}, {KIND_SCALAR, 8},                   /* float */
    {KIND_SCALAR, 1}, {KIND_SCALAR, 2}, {KIND_SCALAR, 4},
    {KIND_SCALAR, 8}, /* uint */
    {KIND_SCALAR, 1}, {KIND_SCALAR, 2}, {KIND_SCALAR, 4},
    {KIND_SCALAR, 8}, /* int */
    {KIND_BINARY, 0}, {KIND_BINARY, 0}, {KIND_BINARY, 0},
    {KIND_BINARY, 0},                                     /* fixext 1 to 8 */
    {KIND_BINARY, 0},                                     /* fixext 16 */
    {KIND_STRING, 1}, {KIND_STRING, 2}, {KIND_STRING, 4}, /* str */
    {KIND_ARRAY, 2},  {KIND_ARRAY, 4},  {KIND_MAP, 2},
    {KIND_MAP, 4},
};

static bool
is_ext(uint8_t c)
{
    return c >= 0xc7 && c <= 0xc9;
}

/* AUGURY_MORE when the head is not all there; AUGURY_ERR_INVALID: no value begins so. */
static int
read_head(struct bytes text, struct head *out_head)
{
    if (text.len == 0) {
        return AUGURY_MORE;
    }
    uint8_t c = text.data[0];
    struct head head = {.kind = KIND_SCALAR, .head_bytes = 1, .count = 0};
    if (c >= 0x80 && c <= 0x8f) {
        head = (struct head){.kind = KIND_MAP, .head_bytes = 1, .count = c & 0x0f};
    } else if (c >= 0x90 && c <= 0x9f) {
        head = (struct head){.kind = KIND_ARRAY, .head_bytes = 1, .count = c & 0x0f};
    } else if (c >= 0xa0 && c <= 0xbf) {
        head = (struct head){.kind = KIND_STRING, .head_bytes = 1, .count = c & 0x1f};
    } else if (c >= 0xc0 && c <= 0xdf) {
        size_t len = heads[c - 0xc0].len;
        if (text.len < 1 + len) {
            return AUGURY_MORE;
        }
        head.kind = heads[c - 0xc0].kind;
        head.head_bytes = 1 + len;
        head.count = head.kind == KIND_SCALAR ? 0 : be_get(text.data + 1, len);
        head.count += c >= 0xd4 && c <= 0xd8 ? 1 + (UINT64_C(1) << (c - 0xd4)) : 0;
        head.count += is_ext(c) ? 1 : 0;
    }
    *out_head = head;
    return head.kind == KIND_NONE ? AUGURY_ERR_INVALID : 0;
}

static bool
is_container(enum kind kind)
{
    return kind == KIND_ARRAY || kind == KIND_MAP;
}

/* How many bytes the value that text begins with has, with everything in it. AUGURY_MORE when they
 * are not all there. */
static int
value_len(struct bytes text, size_t *out_len)
{
    uint64_t values = 1;
    size_t at = 0;

    while (values > 0) {
        struct head head;
        int rc = read_head(bytes_of(text.data + at, text.len - at), &head);
        if (rc != 0) {
            return rc;
        }
        at += head.head_bytes;
        values--;
        if (is_container(head.kind)) {
            values += head.kind == KIND_MAP ? 2 * head.count : head.count;
        } else if (head.count > text.len - at) {
            return AUGURY_MORE;
        } else {
            at += (size_t)head.count;
        }
    }
    *out_len = at;
    return 0;
}

/* ---- scalars --------------------------------------------------------------------------------- */

static double
float_of(const uint8_t *p, size_t len)
{
    uint64_t word = be_get(p, len);

    if (len == 4) {
        uint32_t half = (uint32_t)word;
        float number;
        memcpy(&number, &half, sizeof(number));
        return (double)number;
    }
    double number;
    memcpy(&number, &word, sizeof(number));
    return number;
}

static struct wire_value
integer_of(const uint8_t *p, size_t len, bool is_signed)
{
    uint64_t word = be_get(p, len);

    if (is_signed) {
        /* The sign stands in the topmost of len bytes. */
        unsigned shift = 64 - 8 * (unsigned)len;
        return (struct wire_value){.type = WIRE_INT,
                                   .as.integer = (int64_t)(word << shift) >> shift};
    }
    if (word <= INT64_MAX) {
        return (struct wire_value){.type = WIRE_INT, .as.integer = (int64_t)word};
    }
    return (struct wire_value){.type = WIRE_UINT, .as.uinteger = word};
}

static struct wire_value
scalar_of(const uint8_t *p, size_t head_bytes)
{
    uint8_t c = p[0];

    if (c <= 0x7f || c >= 0xe0) {
        return (struct wire_value){.type = WIRE_INT, .as.integer = (int8_t)c};
    }
    if (c == 0xc2 || c == 0xc3) {
        return (struct wire_value){.type = WIRE_BOOL, .as.boolean = c == 0xc3};
    }
    if (c == 0xca || c == 0xcb) {
        return (struct wire_value){.type = WIRE_REAL, .as.real = float_of(p + 1, head_bytes - 1)};
    }
    if (c == 0xc0) {
        return (struct wire_value){.type = WIRE_NULL};
    }
    return integer_of(p + 1, head_bytes - 1, c >= 0xd0);
}

/* The value that *text begins with, all of which is there; *text is moved behind it. Containers
 * keep their type alone: no feature is one. */
static struct wire_value
take_value(struct bytes *text)
{
    static const uint8_t types[] = {
        [KIND_BINARY] = WIRE_BINARY, [KIND_ARRAY] = WIRE_ARRAY, [KIND_MAP] = WIRE_OBJECT};
    struct wire_value value = {.type = WIRE_NULL};
    struct head head = {.kind = KIND_NONE};
    size_t len = 0;
    int rc = value_len(*text, &len) == 0 ? read_head(*text, &head) : AUGURY_MORE;

    AUGURY_ASSERT(rc == 0); /* the whole row has been measured */
    if (head.kind == KIND_SCALAR) {
        value = scalar_of(text->data, head.head_bytes);
    } else if (head.kind == KIND_STRING) {
        value.type = WIRE_STRING;
        value.count = (uint32_t)head.count;
        value.as.text = (const char *)text->data + head.head_bytes;
    } else {
        value.type = types[head.kind];
    }
    *text = bytes_of(text->data + len, text->len - len);
    return value;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool
is_text(const struct wire_value *value)
{
    return value->type != WIRE_STRING || utf8_is_valid(wire_string(value));
}

static int
read_row(struct rows_reader *reader, struct bytes row, struct err *err)
{
    struct head head = {.kind = KIND_NONE};
    int rc = read_head(row, &head);

    AUGURY_ASSERT(rc == 0 && is_container(head.kind));
    reader->cell_count = 0;
    reader->is_named = head.kind == KIND_MAP;
    row = bytes_of(row.data + head.head_bytes, row.len - head.head_bytes);
    for (uint64_t i = 0; rc == 0 && i < head.count; i++) {
        struct rows_cell cell = {.column = (uint32_t)i};
        if (reader->is_named) {
            struct wire_value key = take_value(&row);
            if (key.type != WIRE_STRING || !is_text(&key)) {
                return rows_refuse_cell(reader, err, (size_t)i + 1, "a key is not UTF-8 text");
            }
            cell.name = wire_string(&key);
        }
        cell.value = take_value(&row);
        if (!is_text(&cell.value)) {
            return rows_refuse_cell(reader, err, (size_t)i + 1, "a string is not valid UTF-8");
        }
        rc = rows_add_cell(reader, cell, err);
    }
    return rc;
}

static struct bytes
unread(const struct rows_reader *reader)
{
    size_t len = reader->end - reader->start;

    return bytes_of(len > 0 ? reader->data + reader->start : NULL, len);
}

/* Begins an array of rows when one stands there. *out_is_row: a row stands there instead. Needs one
 * byte behind an array's head. */
static int
try_begin(struct rows_reader *reader, bool *out_is_row, struct err *err)
{
    struct head head, first;
    struct bytes text = unread(reader);
    int rc = read_head(text, &head);

    if (rc == AUGURY_MORE) {
        return rc;
    }
    if (rc != 0 || !is_container(head.kind)) {
        return rows_refuse(reader, err, "expected a row: an array of values or a map of names");
    }
    *out_is_row = true;
    if (head.kind == KIND_MAP || reader->batch_left > 0 || reader->file == NULL) {
        return 0;
    }
    text = bytes_of(text.data + head.head_bytes, text.len - head.head_bytes);
    rc = head.count > 0 ? read_head(text, &first) : 0;
    if (rc == AUGURY_MORE) {
        return rc;
    }
    if (rc == 0 && (head.count == 0 || is_container(first.kind))) {
        reader->start += head.head_bytes;
        reader->batch_left = head.count;
        *out_is_row = false;
    }
    return 0;
}

/* More bytes, or AUGURY_END where the file may end. */
static int
read_on(struct rows_reader *reader, struct err *err)
{
    if (!reader->is_at_end) {
        return rows_read_more(reader, err);
    }
    if (reader->end == reader->start && reader->batch_left == 0) {
        return AUGURY_END;
    }
    return rows_refuse(reader, err, "the file ends within this row, or before it");
}

/* The bytes of the next row, at start; they count as read. AUGURY_END after the last. */
static int
take_row(struct rows_reader *reader, struct bytes *out_row, struct err *err)
{
    size_t len = 0;
    int rc = AUGURY_MORE;

    reader->line = reader->next_line;
    while (rc != 0) {
        bool is_row = false;
        rc = try_begin(reader, &is_row, err);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0 && !is_row) {
            rc = AUGURY_MORE; /* the head of an array of rows has been read */
            continue;
        }
        rc = rc == 0 ? value_len(unread(reader), &len) : rc;
        if (rc == AUGURY_MORE) {
            int more_rc = read_on(reader, err);
            if (more_rc != 0) {
                return more_rc;
            }
        } else if (rc < 0) {
            return rows_refuse(reader, err, "the row holds a byte (0xc1) that begins no value");
        }
    }
    *out_row = bytes_of(reader->data + reader->start, len);
    reader->start += len;
    reader->next_line++;
    reader->batch_left -= reader->batch_left > 0 ? 1 : 0;
    return 0;
}

static int
msgpack_open(struct rows_reader *reader, struct err *err)
{
    (void)reader;
    (void)err;
    return 0;
}

static int
msgpack_next(struct rows_reader *reader, struct err *err)
{
    struct bytes row = bytes_of(NULL, 0);
    int rc = take_row(reader, &row, err);

    return rc == 0 ? read_row(reader, row, err) : rc;
}

static int
msgpack_cut(struct rows_reader *reader, size_t target_bytes, struct buf *block, struct err *err)
{
    struct bytes row = bytes_of(NULL, 0);
    int rc = 0;

    while (rc == 0 && block->len < target_bytes) {
        rc = take_row(reader, &row, err);
        if (rc == 0) {
            buf_put_bytes(block, row);
        }
    }
    if (buf_finish(block) != 0) {
        return rows_refuse_memory(err);
    }
    return block->len > 0 ? 0 : rc; /* what stands behind the rows is met again */
}

const struct rows_format_ops rows_msgpack_ops = {
    .open = msgpack_open, .next = msgpack_next, .cut = msgpack_cut};
