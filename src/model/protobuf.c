/* SPDX-License-Identifier: MIT */
/* protobuf.c - fields of a message, one after another, each inside its bounds. */
#include "protobuf.h"

enum { VARINT_BYTES_MAX = 10, VARINT_LAST_SHIFT = 63, TAG_WIRE_BITS = 3 };

/* Moves *rest past a number of seven bits a byte. */
static int
take_varint(struct bytes *rest, uint64_t *out_value)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < VARINT_BYTES_MAX && i < rest->len; i++) {
        uint8_t byte = rest->data[i];
        unsigned shift = 7 * i;
        if (shift == VARINT_LAST_SHIFT && byte > 1) {
            return AUGURY_ERR_INVALID;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *rest = bytes_of(rest->data + i + 1, rest->len - i - 1);
            *out_value = value;
            return 0;
        }
    }
    return AUGURY_ERR_INVALID;
}

static int
take_fixed(struct bytes *rest, size_t size, uint64_t *out_value)
{
    if (rest->len < size) {
        return AUGURY_ERR_INVALID;
    }
    *out_value = size == sizeof(uint32_t) ? le32_get(rest->data) : le64_get(rest->data);
    *rest = bytes_of(rest->data + size, rest->len - size);
    return 0;
}

static int
take_bytes(struct bytes *rest, struct bytes *out_bytes)
{
    uint64_t len = 0;

    if (take_varint(rest, &len) != 0 || len > rest->len) {
        return AUGURY_ERR_INVALID;
    }
    *out_bytes = bytes_of(rest->data, (size_t)len);
    *rest = bytes_of(rest->data + len, rest->len - (size_t)len);
    return 0;
}

int
protobuf_next(struct protobuf *message, struct protobuf_field *out_field)
{
    struct bytes rest = message->rest;
    struct protobuf_field field = {0};
    uint64_t tag = 0;

    if (rest.len == 0) {
        return AUGURY_END;
    }
    if (take_varint(&rest, &tag) != 0 || tag > UINT32_MAX || tag >> TAG_WIRE_BITS == 0) {
        return AUGURY_ERR_INVALID;
    }
    field.number = (uint32_t)(tag >> TAG_WIRE_BITS);
    field.wire = (enum protobuf_wire)(tag & 7);
    int rc = AUGURY_ERR_INVALID;
    switch (field.wire) {
    case PROTOBUF_VARINT: rc = take_varint(&rest, &field.value); break;
    case PROTOBUF_FIXED64: rc = take_fixed(&rest, sizeof(uint64_t), &field.value); break;
    case PROTOBUF_FIXED32: rc = take_fixed(&rest, sizeof(uint32_t), &field.value); break;
    case PROTOBUF_BYTES: rc = take_bytes(&rest, &field.bytes); break;
    default: break;
    }
    if (rc == 0) {
        message->rest = rest;
        *out_field = field;
    }
    return rc;
}

/* ---- repeated numbers ---------------------------------------------------------------------- */

static int
count_varints(struct bytes rest, size_t *out_count)
{
    size_t count = 0;
    uint64_t value = 0;

    while (rest.len > 0) {
        if (take_varint(&rest, &value) != 0) {
            return AUGURY_ERR_INVALID;
        }
        count++;
    }
    *out_count = count;
    return 0;
}

int
protobuf_count(const struct protobuf_field *field, enum protobuf_wire wire, size_t *out_count)
{
    size_t size = wire == PROTOBUF_FIXED32 ? sizeof(uint32_t) : sizeof(uint64_t);

    if (field->wire == wire) {
        *out_count = 1;
        return 0;
    }
    if (field->wire != PROTOBUF_BYTES) {
        return AUGURY_ERR_INVALID;
    }
    if (wire == PROTOBUF_VARINT) {
        return count_varints(field->bytes, out_count);
    }
    *out_count = field->bytes.len / size;
    return field->bytes.len % size == 0 ? 0 : AUGURY_ERR_INVALID;
}

uint64_t
protobuf_take(const struct protobuf_field *field, enum protobuf_wire wire, struct bytes *rest)
{
    uint64_t value = field->value;

    if (field->wire == PROTOBUF_BYTES) {
        int rc = wire == PROTOBUF_VARINT
                     ? take_varint(rest, &value)
                     : take_fixed(rest, wire == PROTOBUF_FIXED32 ? 4 : 8, &value);
        AUGURY_ASSERT(rc == 0);
    }
    return value;
}

float
protobuf_f32(uint64_t bits)
{
    uint32_t word = (uint32_t)bits;
    float number;

    memcpy(&number, &word, sizeof(number));
    return number;
}

double
protobuf_f64(uint64_t bits)
{
    double number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}
