/* SPDX-License-Identifier: MIT */
/*
 * wire_round.h - what the fuzz targets of room wire share: a tree that was read is written and
 * read again, and must be the same. Allowed differences: NaN and infinities become null, typed
 * arrays plain ones, bytes in JSON become hex.
 */
#pragma once

#include "augury/wire.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUND_ARENA_BYTES = 8 << 20, ROUND_BUF_BYTES = 8 << 20 };

static const struct wire_limits round_limits = {.depth = 32, .values = 100000};

static struct wire_value
round_item(const struct wire_value *array, uint32_t i)
{
    int64_t integer = 0;

    if (array->type == WIRE_ARRAY) {
        return array->as.items[i];
    }
    if (array->element == WIRE_F64) {
        return (struct wire_value){.type = WIRE_REAL,
                                   .as.real = ((const double *)array->as.typed)[i]};
    }
    if (array->element == WIRE_F32) {
        return (struct wire_value){.type = WIRE_REAL,
                                   .element = WIRE_F32,
                                   .as.real = (double)((const float *)array->as.typed)[i]};
    }
    AUGURY_ASSERT(wire_array_i64(array, i, &integer) == 0);
    return (struct wire_value){.type = WIRE_INT, .as.integer = integer};
}

static bool
round_same_scalar(const struct wire_value *a, const struct wire_value *b, enum wire_format format)
{
    if (a->type == WIRE_REAL && !isfinite(a->as.real)) {
        return b->type == WIRE_NULL;
    }
    if (a->type == WIRE_BINARY && format == WIRE_JSON) {
        return b->type == WIRE_STRING && b->count == 2 * a->count;
    }
    if (a->type != b->type) {
        return false;
    }
    if (a->type == WIRE_REAL && a->element == WIRE_F32) {
        return (float)a->as.real == (float)b->as.real; /* written with a float's digits */
    }
    switch ((enum wire_type)a->type) {
    case WIRE_NULL: return true;
    case WIRE_BOOL: return a->as.boolean == b->as.boolean;
    case WIRE_STRING:
    case WIRE_BINARY: return bytes_equal(wire_string(a), wire_string(b));
    default:
        return a->as.uinteger == b->as.uinteger; /* numbers: all 64 bits, the sign of zero too */
    }
}

/* b was read from what a was written as, in format. */
static bool
round_same(const struct wire_value *a, const struct wire_value *b, enum wire_format format)
{
    if (wire_is_array(a)) {
        bool same = b->type == WIRE_ARRAY && a->count == b->count;
        for (uint32_t i = 0; same && i < a->count; i++) {
            struct wire_value item = round_item(a, i);
            same = round_same(&item, &b->as.items[i], format);
        }
        return same;
    }
    if (a->type == WIRE_OBJECT) {
        bool same = b->type == WIRE_OBJECT && a->count == b->count;
        for (uint32_t i = 0; same && i < a->count; i++) {
            same = bytes_equal(a->as.pairs[i].key, b->as.pairs[i].key) &&
                   round_same(&a->as.pairs[i].value, &b->as.pairs[i].value, format);
        }
        return same;
    }
    return round_same_scalar(a, b, format);
}

/* Writes the tree in format, reads that, and compares. */
static void
round_check(const struct wire_value *tree, enum wire_format format)
{
    struct wire_writer writer;
    struct wire_value back;
    struct arena arena;
    struct err err;
    struct buf buf;

    AUGURY_ASSERT(arena_init(&arena, ROUND_ARENA_BYTES) == 0);
    buf_init(&buf, ROUND_BUF_BYTES);
    wire_writer_init(&writer, format, &buf);
    wire_put_value(&writer, tree);
    AUGURY_ASSERT(buf_finish(&buf) == 0);
    AUGURY_ASSERT(wire_decode(format, buf_view(&buf), &round_limits, &arena, &back, &err) == 0);
    AUGURY_ASSERT(round_same(tree, &back, format));
    buf_fini(&buf);
    arena_fini(&arena);
}

static void
round_render(const struct wire_value *tree)
{
    struct buf buf;

    buf_init(&buf, ROUND_BUF_BYTES);
    wire_put_as_text(tree, &buf);
    buf_fini(&buf);
}

static void
round_trip(enum wire_format format, struct bytes input)
{
    struct wire_value tree;
    struct arena arena;
    struct err err = {0};

    AUGURY_ASSERT(arena_init(&arena, ROUND_ARENA_BYTES) == 0);
    int rc = wire_decode(format, input, &round_limits, &arena, &tree, &err);
    if (rc == 0) {
        round_check(&tree, WIRE_MSGPACK);
        round_check(&tree, WIRE_JSON);
        round_render(&tree);
    } else {
        /* A refusal says what and where. */
        AUGURY_ASSERT(rc < 0 && err.rc == rc && err.code[0] != '\0' && err.reason[0] != '\0');
        AUGURY_ASSERT(strncmp(err.at, "byte ", 5) == 0);
        AUGURY_ASSERT(strtoull(err.at + 5, NULL, 10) <= input.len);
    }
    arena_fini(&arena);
}
