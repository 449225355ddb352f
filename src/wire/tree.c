/* SPDX-License-Identifier: MIT */
/* tree.c - reading a decoded tree: members, items, and numbers as the type the reader wants. */
#include "augury/wire.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

const char *
wire_type_name(const struct wire_value *value)
{
    if (value == NULL) {
        return "nothing";
    }
    switch ((enum wire_type)value->type) {
    case WIRE_NULL: return "null";
    case WIRE_BOOL: return value->as.boolean ? "true" : "false";
    case WIRE_INT:
    case WIRE_UINT:
    case WIRE_REAL:
    case WIRE_NUMBER: return "a number";
    case WIRE_STRING: return "a string";
    case WIRE_BINARY: return "binary data";
    case WIRE_ARRAY:
    case WIRE_TYPED: return "an array";
    case WIRE_OBJECT: return "an object";
    }
    return "an unknown type";
}

struct bytes
wire_string(const struct wire_value *value)
{
    if (value != NULL &&
        (value->type == WIRE_STRING || value->type == WIRE_NUMBER || value->type == WIRE_BINARY)) {
        return bytes_of(value->as.text, value->count);
    }
    return bytes_of(NULL, 0);
}

const struct wire_value *
wire_member(const struct wire_value *value, const char *key)
{
    if (value == NULL || value->type != WIRE_OBJECT) {
        return NULL;
    }
    size_t len = strlen(key);
    for (uint32_t i = 0; i < value->count; i++) {
        const struct wire_pair *pair = &value->as.pairs[i];
        if (pair->key.len == len && memcmp(pair->key.data, key, len) == 0) {
            return &pair->value;
        }
    }
    return NULL;
}

static const char *
name_of_type(enum wire_type type)
{
    struct wire_value example = {.type = (uint8_t)type};
    return type == WIRE_BOOL ? "true or false" : wire_type_name(&example);
}

/* Readers ask for a kind; the sources spell it in several types. */
static bool
is_of_type(const struct wire_value *value, enum wire_type type)
{
    if (type == WIRE_ARRAY) {
        return wire_is_array(value);
    }
    if (type == WIRE_REAL) {
        return value->type == WIRE_REAL || value->type == WIRE_INT || value->type == WIRE_UINT ||
               value->type == WIRE_NUMBER;
    }
    return value->type == type;
}

int
wire_need(const struct wire_value *value, const char *key, enum wire_type type,
          const struct wire_value **out_member, struct err *err)
{
    const struct wire_value *member = wire_member(value, key);

    if (member == NULL) {
        return err_set(err, AUGURY_ERR_INVALID, "missing_member", "member \"%s\" is missing", key);
    }
    if (!is_of_type(member, type)) {
        return err_set(err, AUGURY_ERR_INVALID, "wrong_type", "member \"%s\": expected %s, got %s",
                       key, name_of_type(type), wire_type_name(member));
    }
    *out_member = member;
    return 0;
}

/* A number's text is followed by a byte that ends it (see wire.h), so that it needs no copy. */
static int
number_of_text(const struct wire_value *value, yyjson_val *out_number)
{
    const char *end =
        yyjson_read_number(value->as.text, out_number, YYJSON_READ_ALLOW_INF_AND_NAN, NULL, NULL);
    return end == value->as.text + value->count ? 0 : AUGURY_ERR_INVALID;
}

int
wire_to_f64(const struct wire_value *value, double *out_number)
{
    yyjson_val number;

    switch (value->type) {
    case WIRE_INT: *out_number = (double)value->as.integer; return 0;
    case WIRE_UINT: *out_number = (double)value->as.uinteger; return 0;
    case WIRE_REAL: *out_number = value->as.real; return 0;
    case WIRE_NUMBER:
        if (number_of_text(value, &number) != 0) {
            return AUGURY_ERR_INVALID;
        }
        *out_number = yyjson_get_num(&number);
        return 0;
    default: return AUGURY_ERR_INVALID;
    }
}

/*
 * The double nearest to a text rounds to the float nearest to it, except where that double lies in
 * the middle of two floats: there the text decides. Below FLT_MIN floats are coarser, so the test
 * of the middle does not hold.
 */
static bool
rounds_as_text(double number)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof(bits));
    bool is_middle = (bits & UINT64_C(0x1fffffff)) == UINT64_C(0x10000000);
    return number == 0 || (!is_middle && fabs(number) >= (double)FLT_MIN) || !isfinite(number);
}

int
wire_to_f32(const struct wire_value *value, float *out_number)
{
    double number;

    if (value->type == WIRE_INT) {
        *out_number = (float)value->as.integer;
        return 0;
    }
    if (value->type == WIRE_UINT) {
        *out_number = (float)value->as.uinteger;
        return 0;
    }
    int rc = wire_to_f64(value, &number);
    if (rc != 0) {
        return rc;
    }
    bool by_text = value->type == WIRE_NUMBER && !rounds_as_text(number);
    float single = by_text ? strtof(value->as.text, NULL) : (float)number;
    if (isinf(single) && isfinite(number)) {
        return AUGURY_ERR_INVALID;
    }
    *out_number = single;
    return 0;
}

static int
integer_of_real(double number, int64_t *out_number)
{
    /* 2^63 itself does not fit; NaN fails both comparisons. */
    if (!(number >= -9223372036854775808.0 && number < 9223372036854775808.0) ||
        number != trunc(number)) {
        return AUGURY_ERR_INVALID;
    }
    *out_number = (int64_t)number;
    return 0;
}

int
wire_to_i64(const struct wire_value *value, int64_t *out_number)
{
    yyjson_val number;

    switch (value->type) {
    case WIRE_INT: *out_number = value->as.integer; return 0;
    case WIRE_REAL: return integer_of_real(value->as.real, out_number);
    case WIRE_NUMBER:
        if (number_of_text(value, &number) != 0) {
            return AUGURY_ERR_INVALID;
        }
        if (yyjson_is_real(&number)) {
            return integer_of_real(yyjson_get_real(&number), out_number);
        }
        if (yyjson_is_uint(&number) && yyjson_get_uint(&number) > INT64_MAX) {
            return AUGURY_ERR_INVALID;
        }
        *out_number = yyjson_get_sint(&number);
        return 0;
    default: return AUGURY_ERR_INVALID;
    }
}

bool
wire_is_array(const struct wire_value *value)
{
    return value != NULL && (value->type == WIRE_ARRAY || value->type == WIRE_TYPED);
}

size_t
wire_array_len(const struct wire_value *value)
{
    return wire_is_array(value) ? value->count : 0;
}

/* Item i of a typed array as a value of its own. */
static struct wire_value
typed_item(const struct wire_value *value, size_t i)
{
    const void *typed = value->as.typed;
    int64_t integer = 0;

    switch ((enum wire_element)value->element) {
    case WIRE_I8: integer = ((const int8_t *)typed)[i]; break;
    case WIRE_U8: integer = ((const uint8_t *)typed)[i]; break;
    case WIRE_I16: integer = ((const int16_t *)typed)[i]; break;
    case WIRE_I32: integer = ((const int32_t *)typed)[i]; break;
    case WIRE_I64: integer = ((const int64_t *)typed)[i]; break;
    case WIRE_F32:
        return (struct wire_value){.type = WIRE_REAL, .as.real = (double)((const float *)typed)[i]};
    case WIRE_F64:
        return (struct wire_value){.type = WIRE_REAL, .as.real = ((const double *)typed)[i]};
    }
    return (struct wire_value){.type = WIRE_INT, .as.integer = integer};
}

static int
array_item(const struct wire_value *value, size_t i, struct wire_value *out_item)
{
    if (i >= wire_array_len(value)) {
        return AUGURY_ERR_INVALID;
    }
    *out_item = value->type == WIRE_TYPED ? typed_item(value, i) : value->as.items[i];
    return 0;
}

int
wire_array_f32(const struct wire_value *value, size_t i, float *out_number)
{
    struct wire_value item;

    int rc = array_item(value, i, &item);
    return rc != 0 ? rc : wire_to_f32(&item, out_number);
}

int
wire_array_i64(const struct wire_value *value, size_t i, int64_t *out_number)
{
    struct wire_value item;

    int rc = array_item(value, i, &item);
    if (rc != 0) {
        return rc;
    }
    if (item.type == WIRE_BOOL) {
        *out_number = item.as.boolean ? 1 : 0;
        return 0;
    }
    return wire_to_i64(&item, out_number);
}
