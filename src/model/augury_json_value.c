/* SPDX-License-Identifier: MIT */
/* augury_json_value.c - the steps that all readers of model JSON share. */
#include "augury_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct named_code {
    struct bytes name;
    uint32_t code;
};

int
reader_refuse(struct reader *reader, const char *at, const char *fmt, ...)
{
    char reason[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    (void)err_set(reader->err, AUGURY_ERR_INVALID, "invalid_model", "%s", reason);
    (void)err_at(reader->err, "%s", at);
    return AUGURY_ERR_INVALID;
}

void *
reader_alloc(struct reader *reader, size_t count, size_t size)
{
    void *room = arena_zalloc(&reader->import->arena, count + 1, size);

    if (room == NULL) {
        (void)err_set(reader->err, AUGURY_ERR_NOMEM, "out_of_memory",
                      "no memory to read the model");
    }
    return room;
}

int
reader_object(struct reader *reader, const struct wire_value *value, const char *const *names,
              size_t count, const char *at)
{
    if (value == NULL || value->type != WIRE_OBJECT) {
        return reader_refuse(reader, at, "expected an object");
    }
    for (uint32_t i = 0; i < value->count; i++) {
        struct bytes key = value->as.pairs[i].key;
        size_t k = 0;
        while (k < count && !bytes_equal_text(key, names[k])) {
            k++;
        }
        if (k == count) {
            return reader_refuse(reader, at, "the member \"%.*s\" is not known here",
                                 (int)(key.len < 60 ? key.len : 60), (const char *)key.data);
        }
    }
    return 0;
}

int
reader_number(struct reader *reader, const struct wire_value *value, const char *at,
              double *out_number)
{
    if (value == NULL || wire_to_f64(value, out_number) != 0 || !isfinite(*out_number)) {
        return reader_refuse(reader, at, "expected a finite number");
    }
    return 0;
}

int
reader_optional(struct reader *reader, const struct wire_value *object, const char *key,
                double fallback, double *out_number)
{
    const struct wire_value *value = wire_member(object, key);

    *out_number = fallback;
    return value == NULL ? 0 : reader_number(reader, value, key, out_number);
}

int
reader_count(struct reader *reader, const struct wire_value *value, uint32_t max, const char *at,
             uint32_t *out_count)
{
    int64_t count = 0;

    if (value == NULL || wire_to_i64(value, &count) != 0 || count < 0 || count > max) {
        return reader_refuse(reader, at, "expected a whole number from 0 to %u", max);
    }
    *out_count = (uint32_t)count;
    return 0;
}

int
reader_numbers(struct reader *reader, const struct wire_value *value, const char *at,
               double **out_numbers, uint32_t *out_count)
{
    if (value == NULL || value->type != WIRE_ARRAY) {
        return reader_refuse(reader, at, "expected an array of numbers");
    }
    double *numbers = reader_alloc(reader, value->count, sizeof(*numbers));
    int rc = numbers == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < value->count && rc == 0; i++) {
        if (wire_to_f64(&value->as.items[i], &numbers[i]) != 0 || !isfinite(numbers[i])) {
            rc = reader_refuse(reader, at, "item %u: expected a finite number", i);
        }
    }
    *out_numbers = numbers;
    *out_count = value->count;
    return rc;
}

int
reader_texts(struct reader *reader, const struct wire_value *value, const char *at,
             struct bytes **out_texts, uint32_t *out_count)
{
    if (value == NULL || value->type != WIRE_ARRAY) {
        return reader_refuse(reader, at, "expected an array of texts");
    }
    struct bytes *texts = reader_alloc(reader, value->count, sizeof(*texts));
    int rc = texts == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < value->count && rc == 0; i++) {
        texts[i] = wire_string(&value->as.items[i]);
        if (value->as.items[i].type != WIRE_STRING) {
            rc = reader_refuse(reader, at, "item %u: expected a text", i);
        }
    }
    *out_texts = texts;
    *out_count = value->count;
    return rc;
}

struct bytes
reader_text(const struct wire_value *value)
{
    return value != NULL && value->type == WIRE_STRING ? wire_string(value) : bytes_of(NULL, 0);
}

static int
compare_bytes(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int
compare_named_code(const void *a, const void *b)
{
    return compare_bytes(((const struct named_code *)a)->name,
                         ((const struct named_code *)b)->name);
}

int
reader_index(struct reader *reader, const struct bytes *names, uint32_t count,
             struct name_index *out_index)
{
    struct named_code *sorted = reader_alloc(reader, count, sizeof(*sorted));

    if (sorted == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        sorted[i] = (struct named_code){.name = names[i], .code = i};
    }
    qsort(sorted, count, sizeof(*sorted), compare_named_code);
    *out_index = (struct name_index){.names = sorted, .count = count};
    return 0;
}

int32_t
name_index_find(const struct name_index *index, struct bytes name)
{
    uint32_t low = 0;
    uint32_t high = index->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_bytes(index->names[middle].name, name);
        if (order == 0) {
            return (int32_t)index->names[middle].code;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

int32_t
reader_choice(const struct wire_value *value, const char *const *names, size_t count)
{
    for (size_t i = 0; value != NULL && value->type == WIRE_STRING && i < count; i++) {
        if (bytes_equal_text(wire_string(value), names[i])) {
            return (int32_t)i;
        }
    }
    return -1;
}

int
reader_feature(struct reader *reader, const struct wire_value *value, const char *at,
               uint32_t *out_feature)
{
    if (value == NULL || value->type != WIRE_STRING) {
        return reader_count(reader, value, reader->model->feature_count - 1, at, out_feature);
    }
    int32_t feature = name_index_find(&reader->features, wire_string(value));
    if (feature < 0) {
        return reader_refuse(reader, at, "\"%.*s\" is none of the features",
                             (int)(value->count < 60 ? value->count : 60), value->as.text);
    }
    *out_feature = (uint32_t)feature;
    return 0;
}
