/* SPDX-License-Identifier: MIT */
/*
 * rows_text_of.h - all rows of some bytes as text, for tests: read from one end to the other, or
 * cut into blocks that another reader reads.
 */
#pragma once

#include "augury/rows.h"

static inline void
rows_put_value(const struct wire_value *value, struct buf *buf)
{
    char digits[WIRE_F32_TEXT_MAX];

    switch ((enum wire_type)value->type) {
    case WIRE_NULL: buf_put_text(buf, "null"); break;
    case WIRE_BOOL: buf_put_text(buf, value->as.boolean ? "true" : "false"); break;
    case WIRE_INT: buf_printf(buf, "%lld", (long long)value->as.integer); break;
    case WIRE_UINT: buf_put_u64(buf, value->as.uinteger); break;
    case WIRE_REAL: buf_put(buf, digits, wire_f64_to_text(value->as.real, digits)); break;
    case WIRE_STRING:
        buf_put_text(buf, "\"");
        buf_put_bytes(buf, wire_string(value));
        buf_put_text(buf, "\"");
        break;
    default: buf_put_text(buf, wire_type_name(value)); break;
    }
}

static inline void
rows_put_cells(struct rows_reader *reader, enum rows_format format, const struct rows_cell *cells,
               size_t count, struct buf *buf)
{
    buf_printf(buf, "%llu:", (unsigned long long)rows_line(reader));
    for (size_t i = 0; i < count; i++) {
        buf_put_bytes(buf, cells[i].name);
        buf_printf(buf, "%s%u=", cells[i].name.len > 0 ? " " : "", cells[i].column);
        if (format == ROWS_NPY || format == ROWS_MSGPACK) {
            rows_put_value(&cells[i].value, buf);
        } else {
            buf_put_bytes(buf, cells[i].text);
        }
        buf_put_text(buf, "|");
    }
    buf_put_text(buf, "\n");
}

/* Appends what the reader gives; returns what ended it. */
static inline int
rows_put_rest(struct rows_reader *reader, enum rows_format format, struct buf *buf, struct err *err)
{
    const struct rows_cell *cells = NULL;
    size_t count = 0;
    int rc;

    while ((rc = rows_next(reader, &cells, &count, err)) == 0) {
        rows_put_cells(reader, format, cells, count, buf);
    }
    return rc;
}

static inline int
rows_text_of(struct bytes content, const struct rows_options *options, struct buf *buf,
             struct err *err)
{
    struct rows_options from_memory = *options;
    struct rows_reader *reader = NULL;

    from_memory.content =
        bytes_of(content.len > 0 ? content.data : (const uint8_t *)"", content.len);
    int rc = rows_open("mem", &from_memory, &reader, err);
    if (rc == 0) {
        rc = rows_put_rest(reader, options->format, buf, err);
    }
    rows_close(&reader);
    return rc;
}

/* The same through blocks of about target_bytes. */
static inline int
rows_text_of_blocks(struct bytes content, const struct rows_options *options, size_t target_bytes,
                    struct buf *buf, struct err *err)
{
    struct rows_options from_memory = *options;
    struct rows_reader *reader = NULL;
    struct rows_reader *of_blocks = NULL;
    struct buf block;
    uint64_t line = 0;

    from_memory.content =
        bytes_of(content.len > 0 ? content.data : (const uint8_t *)"", content.len);
    buf_init(&block, 64 << 20);
    int rc = rows_open("mem", &from_memory, &reader, err);
    if (rc == 0) {
        rc = rows_open_blocks(reader, &of_blocks, err);
    }
    while (rc == 0) {
        buf_reset(&block);
        rc = rows_cut(reader, target_bytes, &block, &line, err);
        if (rc == 0) {
            rows_feed(of_blocks, &block, line);
            rc = rows_put_rest(of_blocks, options->format, buf, err);
            rc = rc == AUGURY_END ? 0 : rc;
        }
    }
    rows_close(&of_blocks);
    rows_close(&reader);
    buf_fini(&block);
    return rc;
}
