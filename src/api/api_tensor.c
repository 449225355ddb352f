/* SPDX-License-Identifier: MIT */
/*
 * api_tensor.c - tensors of a request as flat arrays of values: JSON's lists, nested or flat, and
 * raw little-endian bytes. A number of any type is a value like any other from here on, so that one
 * room alone, predict, judges what a feature may be.
 */
#include "api_tensor.h"

#include <string.h>

static const struct {
    const char *name;
    uint8_t bytes;
} types[TENSOR_TYPE_COUNT] = {
    [TENSOR_BOOL] = {"BOOL", 1},     [TENSOR_UINT8] = {"UINT8", 1},
    [TENSOR_UINT16] = {"UINT16", 2}, [TENSOR_UINT32] = {"UINT32", 4},
    [TENSOR_UINT64] = {"UINT64", 8}, [TENSOR_INT8] = {"INT8", 1},
    [TENSOR_INT16] = {"INT16", 2},   [TENSOR_INT32] = {"INT32", 4},
    [TENSOR_INT64] = {"INT64", 8},   [TENSOR_FP16] = {"FP16", 2},
    [TENSOR_BF16] = {"BF16", 2},     [TENSOR_FP32] = {"FP32", 4},
    [TENSOR_FP64] = {"FP64", 8},     [TENSOR_BYTES] = {"BYTES", 0},
};

static const char type_names[] = "BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, "
                                 "FP16, BF16, FP32, FP64, BYTES";

const char *
api_tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

size_t
api_tensor_type_bytes(enum tensor_type type)
{
    return types[type].bytes;
}

int
api_tensor_type_find(struct bytes name, enum tensor_type *out_type)
{
    for (size_t i = 0; i < TENSOR_TYPE_COUNT; i++) {
        if (bytes_equal_text(name, types[i].name)) {
            *out_type = (enum tensor_type)i;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

/* One input on its way. */
struct reading {
    size_t number; /* in "inputs" */
    struct arena *arena;
    struct tensor *tensor;
    struct err *err;
};

static int
no_memory(struct err *err)
{
    return err_set(err, AUGURY_ERR_NOMEM, "request_too_large",
                   "the request needs more working memory than one request may take "
                   "(limits.request_memory); send fewer rows");
}

/* ---- shape and type -------------------------------------------------------------------------- */

static int
shape_read(struct reading *reading, const struct wire_value *shape)
{
    struct tensor *tensor = reading->tensor;
    uint64_t count = 1;

    if (shape == NULL || shape->type != WIRE_ARRAY || shape->count == 0 ||
        shape->count > TENSOR_DIMS_MAX) {
        err_set(reading->err, AUGURY_ERR_INVALID, "invalid_shape",
                "shape: expected an array of 1 to %d whole numbers, got %s", TENSOR_DIMS_MAX,
                shape == NULL ? "nothing" : wire_type_name(shape));
        return err_at(reading->err, "inputs[%zu].shape", reading->number);
    }
    tensor->dims = shape->count;
    for (uint32_t i = 0; i < shape->count; i++) {
        int64_t extent;
        if (wire_to_i64(&shape->as.items[i], &extent) != 0 || extent < 0 ||
            __builtin_mul_overflow(count, (uint64_t)extent, &count) || count > UINT32_MAX) {
            err_set(reading->err, AUGURY_ERR_INVALID, "invalid_shape",
                    "shape: expected whole numbers from 0 on, whose product is below 2^32");
            return err_at(reading->err, "inputs[%zu].shape[%u]", reading->number, i);
        }
        tensor->shape[i] = (uint64_t)extent;
    }
    tensor->count = (size_t)count;
    return 0;
}

static int
head_read(struct reading *reading, const struct wire_value *input)
{
    const struct wire_value *name = wire_member(input, "name");
    const struct wire_value *datatype = wire_member(input, "datatype");

    if (input->type != WIRE_OBJECT) {
        err_set(reading->err, AUGURY_ERR_INVALID, "invalid_request",
                "an input: expected an object with name, shape, datatype and data, got %s",
                wire_type_name(input));
        return err_at(reading->err, "inputs[%zu]", reading->number);
    }
    if (name == NULL || name->type != WIRE_STRING) {
        err_set(reading->err, AUGURY_ERR_INVALID, "invalid_request", "name: expected a text");
        return err_at(reading->err, "inputs[%zu].name", reading->number);
    }
    reading->tensor->name = wire_string(name);
    if (datatype == NULL || datatype->type != WIRE_STRING ||
        api_tensor_type_find(wire_string(datatype), &reading->tensor->type) != 0) {
        err_set(reading->err, AUGURY_ERR_INVALID, "invalid_datatype",
                "datatype: expected one of %s", type_names);
        return err_at(reading->err, "inputs[%zu].datatype", reading->number);
    }
    return shape_read(reading, wire_member(input, "shape"));
}

/* ---- values in JSON -------------------------------------------------------------------------- */

/* What integers of so many bits may be. */
static bool
integer_suits(enum tensor_type type, const struct wire_value *value)
{
    unsigned bits = types[type].bytes * 8U;
    bool is_negative = value->type == WIRE_INT && value->as.integer < 0;
    uint64_t size = value->type == WIRE_UINT ? value->as.uinteger
                    : is_negative            ? ~(uint64_t)value->as.integer
                                             : (uint64_t)value->as.integer;

    switch (type) {
    case TENSOR_BOOL: return !is_negative && size <= 1;
    case TENSOR_UINT8:
    case TENSOR_UINT16:
    case TENSOR_UINT32:
    case TENSOR_UINT64: return !is_negative && size <= UINT64_MAX >> (64 - bits);
    case TENSOR_INT8:
    case TENSOR_INT16:
    case TENSOR_INT32:
    case TENSOR_INT64: return size <= UINT64_MAX >> (65 - bits);
    default: return type != TENSOR_BYTES; /* rounded, as the model reads numbers */
    }
}

static bool
value_suits(enum tensor_type type, const struct wire_value *value)
{
    switch ((enum wire_type)value->type) {
    case WIRE_NULL: return true; /* missing */
    case WIRE_STRING: return type == TENSOR_BYTES;
    case WIRE_BOOL: return type != TENSOR_BYTES;
    case WIRE_INT:
    case WIRE_UINT: return integer_suits(type, value);
    case WIRE_REAL: return type >= TENSOR_FP16 && type != TENSOR_BYTES;
    default: return false;
    }
}

static int
length_refuse(struct reading *reading, size_t got, size_t want)
{
    err_set(reading->err, AUGURY_ERR_INVALID, "invalid_shape",
            "data: a list of %zu, where the shape says %zu", got, want);
    return err_at(reading->err, "inputs[%zu].data", reading->number);
}

/* The values of a list that has no others in it; *filled counts those of all lists. */
static int
values_copy(struct reading *reading, const struct wire_value *list, struct wire_value *out,
            size_t *filled)
{
    struct tensor *tensor = reading->tensor;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct wire_value *item = &list->as.items[i];
        if (!value_suits(tensor->type, item)) {
            err_set(reading->err, AUGURY_ERR_INVALID, "invalid_value", "data: value %zu is no %s",
                    *filled, types[tensor->type].name);
            return err_at(reading->err, "inputs[%zu].data", reading->number);
        }
        out[(*filled)++] = *item;
    }
    return 0;
}

/* The values of lists in lists behind each other; each list has as many items as the shape says of
 * its depth, so that all of them together are as many as the tensor has room for. */
static int
values_flatten(struct reading *reading, const struct wire_value *list, unsigned depth,
               struct wire_value *out, size_t *filled)
{
    struct tensor *tensor = reading->tensor;
    int rc = 0;

    if (list->count != tensor->shape[depth]) {
        return length_refuse(reading, list->count, (size_t)tensor->shape[depth]);
    }
    if (depth + 1 == tensor->dims) {
        return values_copy(reading, list, out, filled);
    }
    for (uint32_t i = 0; rc == 0 && i < list->count; i++) {
        const struct wire_value *item = &list->as.items[i];
        if (item->type != WIRE_ARRAY) {
            err_set(reading->err, AUGURY_ERR_INVALID, "invalid_shape",
                    "data: %s among lists, where the shape has %u dimensions", wire_type_name(item),
                    tensor->dims);
            return err_at(reading->err, "inputs[%zu].data", reading->number);
        }
        rc = values_flatten(reading, item, depth + 1, out, filled);
    }
    return rc;
}

static int
values_from_json(struct reading *reading, const struct wire_value *data)
{
    struct tensor *tensor = reading->tensor;
    size_t filled = 0;

    if (data == NULL || data->type != WIRE_ARRAY) {
        err_set(reading->err, AUGURY_ERR_INVALID, "invalid_request",
                "data: expected an array of values, or parameters.binary_data_size for values "
                "behind the document; got %s",
                data == NULL ? "neither" : wire_type_name(data));
        return err_at(reading->err, "inputs[%zu].data", reading->number);
    }
    struct wire_value *values =
        arena_zalloc(reading->arena, tensor->count + 1, sizeof(*tensor->values));
    if (values == NULL) {
        return no_memory(reading->err);
    }
    bool is_nested = data->count > 0 && data->as.items[0].type == WIRE_ARRAY;
    if (!is_nested && data->count != tensor->count) {
        return length_refuse(reading, data->count, tensor->count);
    }
    tensor->values = values;
    return is_nested ? values_flatten(reading, data, 0, values, &filled)
                     : values_copy(reading, data, values, &filled);
}

/* ---- values in raw bytes --------------------------------------------------------------------- */

static float
float_of_bits(uint32_t bits)
{
    float number;

    memcpy(&number, &bits, sizeof(number));
    return number;
}

/* IEEE half precision. */
static float
float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t fraction = half & 0x3ff;

    if (exponent == 0) {
        float number = (float)fraction * 0x1p-24f;
        return sign != 0 ? -number : number;
    }
    return float_of_bits(sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | fraction << 13);
}

static struct wire_value
integer_value(int64_t integer)
{
    return (struct wire_value){.type = WIRE_INT, .as.integer = integer};
}

static struct wire_value
real_value(double real)
{
    return (struct wire_value){.type = WIRE_REAL, .as.real = real};
}

static struct wire_value
value_from_raw(enum tensor_type type, const uint8_t *at)
{
    uint64_t words = 0;
    double real;

    switch (type) {
    case TENSOR_BOOL: return (struct wire_value){.type = WIRE_BOOL, .as.boolean = at[0] != 0};
    case TENSOR_UINT8: return integer_value(at[0]);
    case TENSOR_INT8: return integer_value((int8_t)at[0]);
    case TENSOR_UINT16: return integer_value(le16_get(at));
    case TENSOR_INT16: return integer_value((int16_t)le16_get(at));
    case TENSOR_UINT32: return integer_value(le32_get(at));
    case TENSOR_INT32: return integer_value((int32_t)le32_get(at));
    case TENSOR_INT64: return integer_value((int64_t)le64_get(at));
    case TENSOR_FP16: return real_value((double)float_of_half(le16_get(at)));
    case TENSOR_BF16: return real_value((double)float_of_bits((uint32_t)le16_get(at) << 16));
    case TENSOR_FP32: return real_value((double)float_of_bits(le32_get(at)));
    case TENSOR_FP64:
        words = le64_get(at);
        memcpy(&real, &words, sizeof(real));
        return real_value(real);
    case TENSOR_UINT64:
        words = le64_get(at);
        return words <= INT64_MAX ? integer_value((int64_t)words)
                                  : (struct wire_value){.type = WIRE_UINT, .as.uinteger = words};
    case TENSOR_BYTES:
    case TENSOR_TYPE_COUNT: break;
    }
    AUGURY_ASSERT(!"a type of fixed size");
    return integer_value(0);
}

/* Elements of a length of four bytes and so many bytes each. */
static int
texts_from_raw(struct bytes raw, struct wire_value *out, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = raw.len >= 4 ? le32_get(raw.data) : SIZE_MAX;
        if (raw.len < 4 || len > raw.len - 4) {
            return err_set(err, AUGURY_ERR_INVALID, "invalid_value",
                           "element %zu of BYTES ends after the tensor", i);
        }
        struct bytes text = bytes_of(raw.data + 4, len);
        if (!utf8_is_valid(text)) {
            return err_set(err, AUGURY_ERR_INVALID, "invalid_value",
                           "element %zu of BYTES is not UTF-8", i);
        }
        out[i] = (struct wire_value){
            .type = WIRE_STRING, .count = (uint32_t)len, .as.text = (const char *)text.data};
        raw = bytes_of(raw.data + 4 + len, raw.len - 4 - len);
    }
    return raw.len == 0 ? 0
                        : err_set(err, AUGURY_ERR_INVALID, "invalid_value",
                                  "%zu bytes are left behind the last element", raw.len);
}

int
api_tensor_from_raw(struct bytes raw, struct arena *arena, struct tensor *tensor, struct err *err)
{
    size_t bytes = types[tensor->type].bytes;
    /* An element takes a byte at least: a count that the bytes cannot hold is no reason to ask for
     * memory. */
    bool is_credible = bytes > 0 ? raw.len / bytes == tensor->count && raw.len % bytes == 0
                                 : raw.len / 4 >= tensor->count;

    if (!is_credible) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_shape",
                       "%zu bytes are not %zu values of %s", raw.len, tensor->count,
                       types[tensor->type].name);
    }
    struct wire_value *values = arena_zalloc(arena, tensor->count + 1, sizeof(*values));
    if (values == NULL) {
        return no_memory(err);
    }
    tensor->values = values;
    if (bytes == 0) {
        return texts_from_raw(raw, values, tensor->count, err);
    }
    for (size_t i = 0; i < tensor->count; i++) {
        const uint8_t *at = raw.data + i * bytes;
        if (tensor->type == TENSOR_BOOL && at[0] > 1) {
            return err_set(err, AUGURY_ERR_INVALID, "invalid_value",
                           "value %zu of BOOL is the byte %u; expected 0 or 1", i, at[0]);
        }
        values[i] = value_from_raw(tensor->type, at);
    }
    return 0;
}

static int
values_from_raw(struct reading *reading, const struct wire_value *size, struct bytes *raw)
{
    int64_t bytes = 0;

    if (wire_to_i64(size, &bytes) != 0 || bytes < 0 || (uint64_t)bytes > raw->len) {
        err_set(reading->err, AUGURY_ERR_INVALID, "invalid_request",
                "binary_data_size: expected a whole number, at most the %zu bytes that follow",
                raw->len);
        return err_at(reading->err, "inputs[%zu].parameters.binary_data_size", reading->number);
    }
    struct bytes mine = bytes_of(raw->data, (size_t)bytes);
    *raw = bytes_of(raw->data + bytes, raw->len - (size_t)bytes);
    int rc = api_tensor_from_raw(mine, reading->arena, reading->tensor, reading->err);
    if (rc != 0) {
        (void)err_at(reading->err, "inputs[%zu]", reading->number);
    }
    return rc;
}

int
api_tensor_read(const struct wire_value *input, size_t number, struct bytes *raw,
                struct arena *arena, struct tensor *out_tensor, struct err *err)
{
    struct reading reading = {.number = number, .arena = arena, .tensor = out_tensor, .err = err};
    const struct wire_value *size =
        wire_member(wire_member(input, "parameters"), "binary_data_size");

    *out_tensor = (struct tensor){.count = 0};
    int rc = head_read(&reading, input);
    if (rc != 0) {
        return rc;
    }
    if (wire_member(wire_member(input, "parameters"), "shared_memory_region") != NULL) {
        err_set(err, AUGURY_ERR_UNSUPPORTED, "unsupported_parameter",
                "tensors do not come by shared memory here; expected data, or "
                "parameters.binary_data_size for values behind the document");
        (void)err_at(err, "inputs[%zu].parameters.shared_memory_region", number);
        return AUGURY_ERR_UNSUPPORTED;
    }
    if (size == NULL) {
        return values_from_json(&reading, wire_member(input, "data"));
    }
    if (wire_member(input, "data") != NULL) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_request",
                "an input has data or parameters.binary_data_size, not both");
        return err_at(err, "inputs[%zu]", number);
    }
    return values_from_raw(&reading, size, raw);
}
