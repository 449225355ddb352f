/* SPDX-License-Identifier: MIT */
/*
 * onnx_attribute.c - attributes of a node by name. They are few and looked for where they stand:
 * fields of AttributeProto are name (1), f (2), i (3), s (4), t (5), floats (7), ints (8),
 * strings (9).
 */
#include <stdarg.h>
#include <stdio.h>

#include "onnx.h"

enum { NODE_ATTRIBUTE = 5 };
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_F = 2,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_S = 4,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9
};

/* ---- errors -------------------------------------------------------------------------------- */

static int
refuse(struct onnx *onnx, const struct onnx_node *node, int rc, const char *fmt, va_list args)
{
    char reason[sizeof(onnx->err->reason)];
    int len = (int)(node->op.len < ONNX_NAME_SHOWN ? node->op.len : ONNX_NAME_SHOWN);

    vsnprintf(reason, sizeof(reason), fmt, args);
    err_set(onnx->err, rc, rc == AUGURY_ERR_UNSUPPORTED ? "unsupported_operator" : "invalid_model",
            "%s", reason);
    err_at(onnx->err, "%.*s", len, (const char *)node->op.data);
    return rc;
}

int
onnx_invalid(struct onnx *onnx, const struct onnx_node *node, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int rc = refuse(onnx, node, AUGURY_ERR_INVALID, fmt, args);
    va_end(args);
    return rc;
}

int
onnx_unsupported(struct onnx *onnx, const struct onnx_node *node, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int rc = refuse(onnx, node, AUGURY_ERR_UNSUPPORTED, fmt, args);
    va_end(args);
    return rc;
}

int
onnx_no_memory(struct onnx *onnx)
{
    return err_set(onnx->err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to read the model");
}

static int
bad_attribute(struct onnx *onnx, const struct onnx_node *node, const char *name, const char *want)
{
    return onnx_invalid(onnx, node, "attribute \"%s\" is not %s", name, want);
}

/* ---- one field ----------------------------------------------------------------------------- */

/* The last field of that number in a message that is known to be whole; false when absent. */
static bool
find_field(struct bytes message, uint32_t number, struct protobuf_field *out_field)
{
    struct protobuf rest = protobuf_of(message);
    struct protobuf_field field;
    bool is_found = false;

    while (protobuf_next(&rest, &field) == 0) {
        if (field.number == number) {
            *out_field = field;
            is_found = true;
        }
    }
    return is_found;
}

static bool
is_whole(struct bytes message)
{
    struct protobuf rest = protobuf_of(message);
    struct protobuf_field field;
    int rc = 0;

    while (rc == 0) {
        rc = protobuf_next(&rest, &field);
    }
    return rc == AUGURY_END;
}

/* The name stands first in what every writer makes, so that this reads no more than that. */
static bool
has_name(struct bytes attribute, const char *name)
{
    struct protobuf rest = protobuf_of(attribute);
    struct protobuf_field field;

    while (protobuf_next(&rest, &field) == 0) {
        if (field.number == ATTRIBUTE_NAME) {
            return field.wire == PROTOBUF_BYTES && bytes_equal_text(field.bytes, name);
        }
    }
    return false;
}

int
onnx_attribute(struct onnx *onnx, const struct onnx_node *node, const char *name,
               struct bytes *out_body)
{
    struct protobuf rest = protobuf_of(node->body);
    struct protobuf_field field;

    while (protobuf_next(&rest, &field) == 0) {
        if (field.number == NODE_ATTRIBUTE && field.wire == PROTOBUF_BYTES &&
            has_name(field.bytes, name)) {
            *out_body = field.bytes;
            return is_whole(field.bytes) ? 0 : bad_attribute(onnx, node, name, "whole");
        }
    }
    return AUGURY_NOT_FOUND;
}

/* ---- numbers ------------------------------------------------------------------------------- */

int
onnx_integer(struct onnx *onnx, const struct onnx_node *node, const char *name, int64_t fallback,
             int64_t *out_integer)
{
    struct bytes body;
    struct protobuf_field field;
    int rc = onnx_attribute(onnx, node, name, &body);

    *out_integer = fallback;
    if (rc != 0) {
        return rc == AUGURY_NOT_FOUND ? 0 : rc;
    }
    if (!find_field(body, ATTRIBUTE_I, &field)) {
        *out_integer = 0; /* what is not written is zero */
        return 0;
    }
    if (field.wire != PROTOBUF_VARINT) {
        return bad_attribute(onnx, node, name, "an integer");
    }
    *out_integer = (int64_t)field.value;
    return 0;
}

int
onnx_float(struct onnx *onnx, const struct onnx_node *node, const char *name, double fallback,
           double *out_number)
{
    struct bytes body;
    struct protobuf_field field;
    int rc = onnx_attribute(onnx, node, name, &body);

    *out_number = fallback;
    if (rc != 0) {
        return rc == AUGURY_NOT_FOUND ? 0 : rc;
    }
    if (!find_field(body, ATTRIBUTE_F, &field)) {
        *out_number = 0.0;
        return 0;
    }
    if (field.wire != PROTOBUF_FIXED32) {
        return bad_attribute(onnx, node, name, "a number");
    }
    *out_number = (double)protobuf_f32(field.value);
    return 0;
}

/* How many numbers the fields of that number hold in all. */
static int
count_numbers(struct onnx *onnx, const struct onnx_node *node, const char *name, struct bytes body,
              uint32_t number, enum protobuf_wire wire, size_t *out_count)
{
    struct protobuf rest = protobuf_of(body);
    struct protobuf_field field;
    size_t sum = 0;

    while (protobuf_next(&rest, &field) == 0) {
        size_t count = 0;
        if (field.number != number) {
            continue;
        }
        if (protobuf_count(&field, wire, &count) != 0) {
            return bad_attribute(onnx, node, name, "a list of numbers of its kind");
        }
        sum += count;
    }
    *out_count = sum;
    return 0;
}

int
onnx_integers(struct onnx *onnx, const struct onnx_node *node, const char *name,
              struct onnx_integers *out_integers)
{
    struct bytes body;
    struct protobuf_field field;
    size_t count = 0;
    size_t filled = 0;
    int rc = onnx_attribute(onnx, node, name, &body);

    *out_integers = (struct onnx_integers){0};
    if (rc != 0) {
        return rc == AUGURY_NOT_FOUND ? 0 : rc;
    }
    rc = count_numbers(onnx, node, name, body, ATTRIBUTE_INTS, PROTOBUF_VARINT, &count);
    if (rc != 0) {
        return rc;
    }
    int64_t *values = arena_zalloc(&onnx->import->arena, count, sizeof(*values));
    if (values == NULL) {
        return onnx_no_memory(onnx);
    }
    struct protobuf message = protobuf_of(body);
    while (protobuf_next(&message, &field) == 0) {
        struct bytes rest = field.bytes;
        if (field.number != ATTRIBUTE_INTS ||
            protobuf_count(&field, PROTOBUF_VARINT, &count) != 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            values[filled++] = (int64_t)protobuf_take(&field, PROTOBUF_VARINT, &rest);
        }
    }
    *out_integers = (struct onnx_integers){.values = values, .count = filled};
    return 0;
}

static int
read_floats(struct onnx *onnx, const struct onnx_node *node, const char *name, struct bytes body,
            struct onnx_numbers *out_numbers)
{
    struct protobuf message = protobuf_of(body);
    struct protobuf_field field;
    size_t count = 0;
    size_t filled = 0;
    int rc = count_numbers(onnx, node, name, body, ATTRIBUTE_FLOATS, PROTOBUF_FIXED32, &count);

    if (rc != 0) {
        return rc;
    }
    double *values = arena_zalloc(&onnx->import->arena, count, sizeof(*values));
    if (values == NULL) {
        return onnx_no_memory(onnx);
    }
    while (protobuf_next(&message, &field) == 0) {
        struct bytes rest = field.bytes;
        if (field.number != ATTRIBUTE_FLOATS ||
            protobuf_count(&field, PROTOBUF_FIXED32, &count) != 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            values[filled++] = (double)protobuf_f32(protobuf_take(&field, PROTOBUF_FIXED32, &rest));
        }
    }
    *out_numbers = (struct onnx_numbers){.values = values, .count = filled};
    return 0;
}

int
onnx_numbers(struct onnx *onnx, const struct onnx_node *node, const char *name,
             struct onnx_numbers *out_numbers)
{
    char tensor_name[64];
    struct bytes body;
    struct protobuf_field tensor;

    snprintf(tensor_name, sizeof(tensor_name), "%s_as_tensor", name);
    *out_numbers = (struct onnx_numbers){0};
    int rc = onnx_attribute(onnx, node, tensor_name, &body);
    if (rc == AUGURY_NOT_FOUND) {
        rc = onnx_attribute(onnx, node, name, &body);
    }
    if (rc != 0) {
        return rc == AUGURY_NOT_FOUND ? 0 : rc;
    }
    if (!find_field(body, ATTRIBUTE_T, &tensor)) {
        return read_floats(onnx, node, name, body, out_numbers);
    }
    return tensor.wire == PROTOBUF_BYTES ? onnx_tensor(onnx, node, name, tensor.bytes, out_numbers)
                                         : bad_attribute(onnx, node, name, "a tensor");
}

/* ---- texts --------------------------------------------------------------------------------- */

int
onnx_text(struct onnx *onnx, const struct onnx_node *node, const char *name, const char *fallback,
          struct bytes *out_text)
{
    struct bytes body;
    struct protobuf_field field;
    int rc = onnx_attribute(onnx, node, name, &body);

    *out_text = bytes_of_text(fallback);
    if (rc != 0) {
        return rc == AUGURY_NOT_FOUND ? 0 : rc;
    }
    if (!find_field(body, ATTRIBUTE_S, &field) || field.wire != PROTOBUF_BYTES) {
        return bad_attribute(onnx, node, name, "a text");
    }
    *out_text = field.bytes;
    return 0;
}

int
onnx_texts(struct onnx *onnx, const struct onnx_node *node, const char *name,
           const struct bytes **out_texts, size_t *out_count)
{
    struct bytes body = bytes_of(NULL, 0);
    struct protobuf_field field;
    size_t count = 0;
    int rc = onnx_attribute(onnx, node, name, &body);

    *out_texts = NULL;
    *out_count = 0;
    if (rc != 0) {
        return rc == AUGURY_NOT_FOUND ? 0 : rc;
    }
    struct protobuf message = protobuf_of(body);
    while (protobuf_next(&message, &field) == 0) {
        count += field.number == ATTRIBUTE_STRINGS ? 1 : 0;
    }
    struct bytes *texts = arena_zalloc(&onnx->import->arena, count, sizeof(*texts));
    if (texts == NULL) {
        return onnx_no_memory(onnx);
    }
    message = protobuf_of(body);
    for (size_t i = 0; protobuf_next(&message, &field) == 0;) {
        if (field.number == ATTRIBUTE_STRINGS) {
            texts[i++] = field.bytes; /* empty, should it be a number */
        }
    }
    *out_texts = texts;
    *out_count = count;
    return 0;
}
