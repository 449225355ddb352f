/* SPDX-License-Identifier: MIT */
/*
 * xgboost_schema.c - what an XGBoost document says about its features: names, types, and since 3.1
 * the dictionaries of categories ("cats"): for each feature either strings (offsets into bytes) or
 * integers, whose place is the code.
 */
#include "xgboost.h"

#include <string.h>

static int
invalid(struct err *err, const char *at, const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_model", "%s", reason);
    err_at(err, "%s", at);
    return AUGURY_ERR_INVALID;
}

static int
no_memory(struct err *err)
{
    err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to read the model");
    return AUGURY_ERR_NOMEM;
}

/* The text of entry i of an array of strings, one a feature; empty when the array is absent or
 * empty. */
static int
feature_text(const struct wire_value *array, uint32_t feature, const char *at,
             struct bytes *out_text, struct err *err)
{
    *out_text = bytes_of(NULL, 0);
    if (wire_array_len(array) == 0) {
        return 0;
    }
    if (array->type != WIRE_ARRAY || array->as.items[feature].type != WIRE_STRING) {
        return invalid(err, at, "expected an array of strings, one a feature");
    }
    *out_text = wire_string(&array->as.items[feature]);
    return 0;
}

static int
type_of(struct bytes text, enum model_feature_type *out_type, struct err *err)
{
    static const struct {
        const char *text;
        enum model_feature_type type;
    } types[] = {
        {"float", MODEL_FLOAT}, {"q", MODEL_FLOAT},    {"int", MODEL_INTEGER},
        {"i", MODEL_BOOLEAN},   {"c", MODEL_CATEGORY}, {"", MODEL_FLOAT},
    };

    for (size_t i = 0; i < AUGURY_COUNT(types); i++) {
        if (bytes_equal_text(text, types[i].text)) {
            *out_type = types[i].type;
            return 0;
        }
    }
    err_set(err, AUGURY_ERR_INVALID, "invalid_model",
            "type \"%.*s\" is not one of float, int, i, q, c", (int)(text.len < 40 ? text.len : 40),
            (const char *)text.data);
    err_at(err, "learner.feature_types");
    return AUGURY_ERR_INVALID;
}

/* ---- dictionaries of categories ------------------------------------------------------------ */

/* bytes offsets[k] to offsets[k + 1] of values are the name of code k. */
static int
read_string_levels(struct import *import, const struct wire_value *offsets,
                   const struct wire_value *values, struct neutral_feature *feature,
                   struct err *err)
{
    size_t count = wire_array_len(offsets) == 0 ? 0 : wire_array_len(offsets) - 1;
    size_t len = wire_array_len(values);
    uint8_t *text = arena_zalloc(&import->arena, len + 1, 1);
    struct bytes *levels = arena_zalloc(&import->arena, count + 1, sizeof(*levels));
    int64_t from = 0;

    if (text == NULL || levels == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < len; i++) {
        int64_t byte = 0;
        if (wire_array_i64(values, i, &byte) != 0 || byte < -128 || byte > 255) {
            return invalid(err, "cats", "the values of a string dictionary must be bytes");
        }
        text[i] = (uint8_t)byte;
    }
    for (size_t i = 0; i <= count && count > 0; i++) {
        int64_t to = 0;
        if (wire_array_i64(offsets, i, &to) != 0 || to < from || (uint64_t)to > len) {
            return invalid(err, "cats", "the offsets of a dictionary must rise within its values");
        }
        if (i > 0) {
            levels[i - 1] = bytes_of(text + from, (size_t)(to - from));
        }
        if (i > 0 && !utf8_is_valid(levels[i - 1])) {
            return invalid(err, "cats", "a category's name is not valid UTF-8");
        }
        from = to;
    }
    feature->levels = levels;
    feature->level_count = (uint32_t)count;
    return 0;
}

/* Of a dictionary's type, 9 to 16 for int8, uint8, int16 … uint64: the bits of an unsigned one, 0
 * of a signed one. */
static unsigned
unsigned_bits(int64_t type)
{
    return type >= 10 && type <= 16 && type % 2 == 0 ? 8U << ((unsigned)(type - 10) / 2) : 0;
}

/* Unsigned numbers are written as the signed ones of the same bits. */
static size_t
level_text(int64_t number, unsigned bits, char *out_text, size_t size)
{
    uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    int len = bits == 0 || number >= 0
                  ? snprintf(out_text, size, "%lld", (long long)number)
                  : snprintf(out_text, size, "%llu", (unsigned long long)((uint64_t)number & mask));

    return (size_t)len;
}

/* The decimal text of value k is the name of code k. */
static int
read_integer_levels(struct import *import, const struct wire_value *column,
                    struct neutral_feature *feature, struct err *err)
{
    const struct wire_value *values = wire_member(column, "values");
    const struct wire_value *type = wire_member(column, "type");
    int64_t kind = 0;
    size_t count = wire_array_len(values);
    struct bytes *levels = arena_zalloc(&import->arena, count + 1, sizeof(*levels));

    if (levels == NULL) {
        return no_memory(err);
    }
    if (type != NULL && wire_to_i64(type, &kind) != 0) {
        return invalid(err, "cats", "the type of a dictionary must be a number");
    }
    unsigned bits = unsigned_bits(kind);
    for (size_t i = 0; i < count; i++) {
        char text[24];
        int64_t number = 0;
        if (wire_array_i64(values, i, &number) != 0) {
            return invalid(err, "cats", "the values of a dictionary must be strings or integers");
        }
        size_t len = level_text(number, bits, text, sizeof(text));
        char *copy = arena_text(&import->arena, bytes_of(text, len));
        if (copy == NULL) {
            return no_memory(err);
        }
        levels[i] = bytes_of_text(copy);
    }
    feature->levels = levels;
    feature->level_count = (uint32_t)count;
    return 0;
}

static int
read_levels(struct import *import, const struct wire_value *model, struct neutral_model *out_model,
            struct err *err)
{
    const struct wire_value *columns = wire_member(wire_member(model, "cats"), "enc");
    int rc = 0;

    if (wire_array_len(columns) == 0) {
        return 0;
    }
    if (columns->type != WIRE_ARRAY || columns->count != out_model->feature_count) {
        return invalid(err, "cats.enc", "expected one dictionary a feature");
    }
    for (uint32_t i = 0; i < columns->count && rc == 0; i++) {
        struct neutral_feature *feature = &out_model->features[i];
        const struct wire_value *offsets = wire_member(&columns->as.items[i], "offsets");
        const struct wire_value *values = wire_member(&columns->as.items[i], "values");
        rc = offsets != NULL ? read_string_levels(import, offsets, values, feature, err)
                             : read_integer_levels(import, &columns->as.items[i], feature, err);
        if (feature->level_count > 0) {
            feature->type = MODEL_CATEGORY;
        }
    }
    return rc;
}

int
xgboost_read_schema(struct import *import, const struct wire_value *learner,
                    const struct wire_value *model, struct neutral_model *out_model,
                    struct err *err)
{
    const struct wire_value *names = wire_member(learner, "feature_names");
    const struct wire_value *types = wire_member(learner, "feature_types");
    uint32_t count = out_model->feature_count;
    int rc = 0;

    if (wire_array_len(names) != 0 && wire_array_len(names) != count) {
        return invalid(err, "learner.feature_names", "expected one name a feature (num_feature)");
    }
    if (wire_array_len(types) != 0 && wire_array_len(types) != count) {
        return invalid(err, "learner.feature_types", "expected one type a feature (num_feature)");
    }
    out_model->features = arena_zalloc(&import->arena, count, sizeof(*out_model->features));
    if (out_model->features == NULL) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct neutral_feature *feature = &out_model->features[i];
        struct bytes type;
        feature->is_missing_allowed = true;
        feature->is_typed = wire_array_len(types) != 0;
        rc = feature_text(names, i, "learner.feature_names", &feature->name, err);
        if (rc == 0) {
            rc = feature_text(types, i, "learner.feature_types", &type, err);
        }
        if (rc == 0) {
            rc = type_of(type, &feature->type, err);
        }
    }
    return rc != 0 ? rc : read_levels(import, model, out_model, err);
}
