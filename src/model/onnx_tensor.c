/* SPDX-License-Identifier: MIT */
/*
 * onnx_tensor.c - a TensorProto as a list of doubles: its numbers stand in raw_data, little-endian,
 * or in the repeated field of its type. Fields: dims (1), data_type (2), float_data (4), int32_data
 * (5), int64_data (7), raw_data (9), double_data (10), external_data (13), data_location (14).
 */
#include "onnx.h"

enum {
    TENSOR_DATA_TYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_INT64S = 7,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14
};

/* Where the numbers of a type stand, and how. */
struct tensor_kind {
    uint32_t type; /* enum onnx_type */
    uint32_t field;
    enum protobuf_wire wire;
    size_t raw_bytes;
};

static const struct tensor_kind kinds[] = {
    {ONNX_FLOAT, TENSOR_FLOATS, PROTOBUF_FIXED32, 4},
    {ONNX_DOUBLE, TENSOR_DOUBLES, PROTOBUF_FIXED64, 8},
    {ONNX_UINT8, TENSOR_INT32S, PROTOBUF_VARINT, 1},
    {ONNX_INT32, TENSOR_INT32S, PROTOBUF_VARINT, 4},
    {ONNX_INT64, TENSOR_INT64S, PROTOBUF_VARINT, 8},
};

static double
number_of(const struct tensor_kind *kind, uint64_t bits)
{
    switch (kind->type) {
    case ONNX_FLOAT: return (double)protobuf_f32(bits);
    case ONNX_DOUBLE: return protobuf_f64(bits);
    case ONNX_INT32: return (double)(int32_t)(uint32_t)bits;
    case ONNX_INT64: return (double)(int64_t)bits;
    default: return (double)(bits & 0xff);
    }
}

static double
raw_number(const struct tensor_kind *kind, const uint8_t *at)
{
    uint64_t bits = kind->raw_bytes == 1 ? *at : kind->raw_bytes == 4 ? le32_get(at) : le64_get(at);

    return number_of(kind, bits);
}

static int
read_raw(struct onnx *onnx, const struct onnx_node *node, const struct tensor_kind *kind,
         struct bytes raw, struct onnx_numbers *out_numbers)
{
    size_t count = raw.len / kind->raw_bytes;
    double *values = arena_zalloc(&onnx->import->arena, count, sizeof(*values));

    if (values == NULL) {
        return onnx_no_memory(onnx);
    }
    if (raw.len % kind->raw_bytes != 0) {
        return onnx_invalid(onnx, node, "a tensor's raw data are no whole number of values");
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = raw_number(kind, raw.data + i * kind->raw_bytes);
    }
    *out_numbers = (struct onnx_numbers){values, count, kind->type == ONNX_DOUBLE};
    return 0;
}

static int
read_list(struct onnx *onnx, const struct onnx_node *node, const struct tensor_kind *kind,
          struct bytes tensor, struct onnx_numbers *out_numbers)
{
    struct protobuf message = protobuf_of(tensor);
    struct protobuf_field field;
    size_t count = 0;
    size_t sum = 0;

    while (protobuf_next(&message, &field) == 0) {
        if (field.number == kind->field && protobuf_count(&field, kind->wire, &count) != 0) {
            return onnx_invalid(onnx, node, "a tensor's numbers are not of its type");
        }
        sum += field.number == kind->field ? count : 0;
    }
    double *values = arena_zalloc(&onnx->import->arena, sum, sizeof(*values));
    if (values == NULL) {
        return onnx_no_memory(onnx);
    }
    message = protobuf_of(tensor);
    for (size_t filled = 0; protobuf_next(&message, &field) == 0;) {
        struct bytes rest = field.bytes;
        if (field.number != kind->field || protobuf_count(&field, kind->wire, &count) != 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            values[filled++] = number_of(kind, protobuf_take(&field, kind->wire, &rest));
        }
    }
    *out_numbers = (struct onnx_numbers){values, sum, kind->type == ONNX_DOUBLE};
    return 0;
}

/* The fields of a tensor but its numbers. */
struct tensor_head {
    uint64_t type;
    struct bytes raw;
    bool has_raw;
    bool is_external;
};

static int
read_head(struct bytes tensor, struct tensor_head *out_head)
{
    struct protobuf message = protobuf_of(tensor);
    struct protobuf_field field;
    int rc = 0;

    *out_head = (struct tensor_head){0};
    while ((rc = protobuf_next(&message, &field)) == 0) {
        if (field.number == TENSOR_DATA_TYPE) {
            out_head->type = field.value;
        } else if (field.number == TENSOR_RAW && field.wire == PROTOBUF_BYTES) {
            out_head->raw = field.bytes;
            out_head->has_raw = true;
        } else if (field.number == TENSOR_EXTERNAL ||
                   (field.number == TENSOR_LOCATION && field.value != 0)) {
            out_head->is_external = true;
        }
    }
    return rc == AUGURY_END ? 0 : rc;
}

int
onnx_tensor(struct onnx *onnx, const struct onnx_node *node, const char *name, struct bytes tensor,
            struct onnx_numbers *out_numbers)
{
    struct tensor_head head;

    if (read_head(tensor, &head) != 0) {
        return onnx_invalid(onnx, node, "the tensor of \"%s\" is not whole", name);
    }
    if (head.is_external) {
        return onnx_unsupported(onnx, node,
                                "the numbers of \"%s\" are in another file: save the model with "
                                "its data inside (save_as_external_data=False)",
                                name);
    }
    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        if (kinds[i].type == head.type) {
            return head.has_raw ? read_raw(onnx, node, &kinds[i], head.raw, out_numbers)
                                : read_list(onnx, node, &kinds[i], tensor, out_numbers);
        }
    }
    return onnx_unsupported(onnx, node,
                            "the tensor of \"%s\" is of data type %llu; augury reads FLOAT (1) and "
                            "DOUBLE (11)",
                            name, (unsigned long long)head.type);
}
