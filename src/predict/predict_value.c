/* SPDX-License-Identifier: MIT */
/*
 * predict_value.c - one value of a feature, from a decoded document or from the cell of a file, as
 * the model reads it.
 *
 * Invariants:
 * - A number is read as a double and then rounded to the model's number: of MODEL_FLOAT32 as a
 *   Python program does that hands a float64 array to the training library, of MODEL_FLOAT64 it
 *   stays as it is. So 3, 3.0 and 3e0 are the same value, and JSON, MessagePack and files agree
 *   with each other.
 * - The result is canonical: +0 for -0, one NaN for every missing value.
 */
#include "predict_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELL_NUMBER_MAX = 400,
    PLAIN_DIGITS_MAX = 15, /* 10^15 < 2^53 */
    CATEGORY_CODE_MAX = 1 << 24,
    LEVELS_SHOWN = 5,
    SHOWN_BYTES_MAX = 64
};

static const char *const type_wants[] = {
    [MODEL_FLOAT] = "a number",
    [MODEL_INTEGER] = "a whole number",
    [MODEL_BOOLEAN] = "true, false, 0 or 1",
    [MODEL_CATEGORY] = "a category",
};

static int
refuse_value(const struct predict_slot *slot, struct predict_place place, const char *got,
             struct err *err)
{
    struct bytes name = model_feature(place.model, place.feature).name;

    return err_set(err, AUGURY_ERR_INVALID, "invalid_feature",
                   "feature \"%.*s\": expected %s, got %s", PREDICT_SHOWN(name),
                   type_wants[slot->type], got);
}

static int
refuse_text(const struct predict_slot *slot, struct predict_place place, struct bytes text,
            struct err *err)
{
    char got[96];

    snprintf(got, sizeof(got), "\"%.*s\"", PREDICT_SHOWN(text));
    return refuse_value(slot, place, got, err);
}

static int
refuse_number(const struct predict_slot *slot, struct predict_place place, double number,
              struct err *err)
{
    char got[64];

    snprintf(got, sizeof(got), "%.17g", number);
    return refuse_value(slot, place, got, err);
}

/* Names the first few levels, or the range of codes. */
static int
refuse_category(const struct predict_slot *slot, struct predict_place place, const char *got,
                struct err *err)
{
    struct bytes name = model_feature(place.model, place.feature).name;
    char levels[160] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < slot->level_count && i < LEVELS_SHOWN && used < sizeof(levels); i++) {
        struct bytes level = model_feature_level(place.model, place.feature, i);
        int len = snprintf(levels + used, sizeof(levels) - used, "%s\"%.*s\"", i == 0 ? "" : ", ",
                           (int)(level.len < 24 ? level.len : 24), (const char *)level.data);
        used += len > 0 ? (size_t)len : 0;
    }
    if (slot->level_count == 0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_category",
                       "feature \"%.*s\": expected the code of a category, 0 to %d, got %s",
                       PREDICT_SHOWN(name), CATEGORY_CODE_MAX, got);
    }
    return err_set(err, AUGURY_ERR_INVALID, "invalid_category",
                   "feature \"%.*s\": expected one of %u levels (%s%s), got %s",
                   PREDICT_SHOWN(name), slot->level_count, levels,
                   slot->level_count > LEVELS_SHOWN ? ", …" : "", got);
}

static int
category_from_number(const struct predict_slot *slot, struct predict_place place, double number,
                     double *out_value, struct err *err)
{
    double max =
        slot->level_count > 0 ? (double)slot->level_count - 1.0 : (double)CATEGORY_CODE_MAX;

    max += slot->is_unknown_allowed ? 1.0 : 0.0;
    if (!(number >= 0.0 && number <= max) || number != floor(number)) {
        char got[64];
        snprintf(got, sizeof(got), "%.17g", number);
        return refuse_category(slot, place, got, err);
    }
    *out_value = number + 0.0;
    return 0;
}

static int
category_from_text(const struct predict_slot *slot, struct predict_place place, struct bytes text,
                   double *out_value, struct err *err)
{
    int32_t code =
        slot->level_count > 0 ? model_feature_level_find(place.model, place.feature, text) : -1;

    if (code < 0 && slot->is_unknown_allowed) {
        *out_value = (double)slot->level_count;
        return 0;
    }
    if (code < 0) {
        char got[96];
        snprintf(got, sizeof(got), "\"%.*s\"", PREDICT_SHOWN(text));
        return refuse_category(slot, place, got, err);
    }
    *out_value = (double)code;
    return 0;
}

/* Decimal places as asked for; a number so large that its last digit is above them stays as it is.
 */
static double
round_to(double number, uint8_t decimals)
{
    double scale = pow(10.0, (double)decimals);
    double scaled = number * scale;

    return fabs(scaled) < 0x1p52 ? rint(scaled) / scale : number;
}

static int
refuse_size(struct predict_place place, const char *number, struct err *err)
{
    struct bytes name = model_feature(place.model, place.feature).name;

    return err_set(err, AUGURY_ERR_INVALID, "invalid_feature",
                   "feature \"%.*s\": %s does not fit a %s", PREDICT_SHOWN(name), number,
                   place.model->number == MODEL_FLOAT32 ? "float32" : "float64");
}

static int
float_from_number(const struct predict_slot *slot, struct predict_place place, double number,
                  double *out_value, struct err *err)
{
    if (slot->decimals != PREDICT_NOT_ROUNDED) {
        number = round_to(number, slot->decimals);
    }
    double value = slot->number == MODEL_FLOAT32 ? (double)(float)number : number;
    if (isinf(value) && !isinf(number)) {
        char text[32];
        snprintf(text, sizeof(text), "%.17g", number);
        return refuse_size(place, text, err);
    }
    *out_value = value + 0.0; /* -0 + 0 is +0 */
    return 0;
}

static int
from_number(const struct predict_slot *slot, struct predict_place place, double number,
            double *out_value, struct err *err)
{
    if (isnan(number)) {
        *out_value = NAN;
        return 0;
    }
    switch ((enum model_feature_type)slot->type) {
    case MODEL_CATEGORY: return category_from_number(slot, place, number, out_value, err);
    case MODEL_INTEGER:
        if (isinf(number) || number != floor(number)) {
            return refuse_number(slot, place, number, err);
        }
        break;
    case MODEL_BOOLEAN:
        if (number != 0.0 && number != 1.0) {
            return refuse_number(slot, place, number, err);
        }
        break;
    case MODEL_FLOAT: break;
    }
    return float_from_number(slot, place, number, out_value, err);
}

/* Up to 15 digits, with a point or without: the digits are a double, as is the power of ten that
 * divides them, and one division rounds once, as strtod does (Clinger, 1990). Other text: false. */
static bool
plain_number(struct bytes cell, double *out_number)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool is_negative = cell.data[0] == '-';
    bool has_point = false;
    uint64_t digits = 0;
    size_t count = 0;
    size_t behind = 0;

    for (size_t i = is_negative ? 1 : 0; i < cell.len; i++) {
        uint8_t c = cell.data[i];
        if (c == '.' && !has_point) {
            has_point = true;
        } else if (c >= '0' && c <= '9' && count < PLAIN_DIGITS_MAX) {
            digits = digits * 10 + (uint64_t)(c - '0');
            count++;
            behind += has_point ? 1 : 0;
        } else {
            return false;
        }
    }
    double number = (double)digits / powers[behind];
    *out_number = is_negative ? -number : number;
    return count > 0;
}

/* strtod alone would also take hexadecimal, leading white space and "nan(…)". */
bool
predict_number(struct bytes cell, double *out_number)
{
    char text[CELL_NUMBER_MAX];
    struct bytes bare = cell;

    if (cell.len == 0 || cell.len >= sizeof(text)) {
        return false;
    }
    if (plain_number(cell, out_number)) {
        return true;
    }
    if (bare.data[0] == '-' || bare.data[0] == '+') {
        bare = bytes_of(bare.data + 1, bare.len - 1);
    }
    bool is_word = bytes_equal_nocase(bare, "nan") || bytes_equal_nocase(bare, "inf") ||
                   bytes_equal_nocase(bare, "infinity");
    for (size_t i = 0; i < bare.len && !is_word; i++) {
        if (memchr("0123456789.eE+-", bare.data[i], 15) == NULL) {
            return false;
        }
    }
    memcpy(text, cell.data, cell.len);
    text[cell.len] = '\0';
    char *end = NULL;
    *out_number = strtod(text, &end);
    return end == text + cell.len;
}

/* In a file "1.0" would else be a code where "1" is a level. One tells: a dictionary is of one
 * kind. */
static bool
levels_are_numbers(const struct predict_slot *slot, struct predict_place place)
{
    double number;

    return slot->type == MODEL_CATEGORY && slot->level_count > 0 &&
           predict_number(model_feature_level(place.model, place.feature, 0), &number);
}

/* Tells 1e999 from inf. */
static bool
has_digits(struct bytes cell)
{
    uint8_t last = cell.data[cell.len - 1];

    return (last >= '0' && last <= '9') || last == '.';
}

int
predict_shown_len(struct bytes text)
{
    size_t len = text.len < SHOWN_BYTES_MAX ? text.len : SHOWN_BYTES_MAX;

    while (len > 0 && len < text.len && (text.data[len] & 0xc0) == 0x80) {
        len--; /* what would follow is the middle of a character */
    }
    return (int)len;
}

struct predict_slot
predict_slot_of(const struct model *model, uint32_t feature, uint32_t decimals)
{
    struct model_feature_kind kind = model_feature_kind(model, feature);
    bool is_rounded = kind.type == MODEL_FLOAT && decimals < PREDICT_NOT_ROUNDED;

    return (struct predict_slot){
        .type = kind.type,
        .level_count = kind.level_count,
        .decimals = is_rounded ? (uint8_t)decimals : (uint8_t)PREDICT_NOT_ROUNDED,
        .number = (uint8_t)model->number,
        .is_missing_allowed = kind.is_missing_allowed,
        .is_unknown_allowed = kind.is_unknown_allowed,
    };
}

int
predict_missing(struct predict_place place, struct err *err)
{
    struct bytes name = model_feature(place.model, place.feature).name;

    return err_set(err, AUGURY_ERR_INVALID, "missing_feature",
                   "feature \"%.*s\" is missing, and the model's schema does not allow that",
                   PREDICT_SHOWN(name));
}

int
predict_value(const struct predict_slot *slot, struct predict_place place,
              const struct wire_value *value, double *out_value, struct err *err)
{
    double number = NAN;
    int rc;

    switch ((enum wire_type)value->type) {
    case WIRE_NULL: break;
    case WIRE_INT: number = (double)value->as.integer; break;
    case WIRE_UINT: number = (double)value->as.uinteger; break;
    case WIRE_REAL: number = value->as.real; break;
    case WIRE_BOOL:
        if (slot->type == MODEL_CATEGORY) {
            return refuse_category(slot, place, wire_type_name(value), err);
        }
        *out_value = value->as.boolean ? 1.0 : 0.0;
        return 0;
    case WIRE_STRING:
        if (slot->type != MODEL_CATEGORY) {
            return refuse_text(slot, place, wire_string(value), err);
        }
        return category_from_text(slot, place, wire_string(value), out_value, err);
    case WIRE_NUMBER:
        if (wire_to_f64(value, &number) != 0) {
            return refuse_text(slot, place, wire_string(value), err);
        }
        break;
    default: return refuse_value(slot, place, wire_type_name(value), err);
    }
    rc = from_number(slot, place, number, out_value, err);
    if (rc == 0 && isnan(*out_value) && !slot->is_missing_allowed) {
        return predict_missing(place, err);
    }
    return rc;
}

int
predict_cell(const struct model *model, uint32_t feature, struct bytes cell, double *out_value,
             struct err *err)
{
    struct predict_slot slot = predict_slot_of(model, feature, PREDICT_NOT_ROUNDED);

    return predict_slot_cell(&slot, (struct predict_place){.model = model, .feature = feature},
                             cell, out_value, err);
}

int
predict_slot_cell(const struct predict_slot *slot, struct predict_place place, struct bytes cell,
                  double *out_value, struct err *err)
{
    struct wire_value value = {.type = WIRE_NULL};
    double number;

    if (cell.len == 0) {
        return predict_value(slot, place, &value, out_value, err);
    }
    bool is_level = slot->type == MODEL_CATEGORY &&
                    model_feature_level_find(place.model, place.feature, cell) >= 0;
    if (!is_level && predict_number(cell, &number)) {
        if (isinf(number) && has_digits(cell)) {
            char text[72];
            snprintf(text, sizeof(text), "%.*s", PREDICT_SHOWN(cell));
            return refuse_size(place, text, err);
        }
        if (!isnan(number) && levels_are_numbers(slot, place)) {
            return category_from_text(slot, place, cell, out_value, err);
        }
        value.type = WIRE_REAL;
        value.as.real = number;
    } else if (slot->type != MODEL_CATEGORY &&
               (bytes_equal_nocase(cell, "true") || bytes_equal_nocase(cell, "false"))) {
        value.type = WIRE_BOOL;
        value.as.boolean = cell.data[0] == 't' || cell.data[0] == 'T';
    } else if (slot->type == MODEL_CATEGORY) {
        return category_from_text(slot, place, cell, out_value, err);
    } else {
        return refuse_text(slot, place, cell, err);
    }
    return predict_value(slot, place, &value, out_value, err);
}

/* The number of the class that the text names or is; -1. */
static double
class_from_text(const struct model *model, struct bytes text, double number)
{
    for (uint32_t i = 0; i < model_class_count(model); i++) {
        if (bytes_equal(text, model_class_name(model, i))) {
            return (double)i;
        }
    }
    bool is_number =
        number >= 0.0 && number < (double)model->probability_count && number == floor(number);
    return is_number ? number : -1.0;
}

static int
refuse_class(const struct model *model, struct bytes cell, struct err *err)
{
    uint32_t last = model->probability_count - 1;

    if (model_class_count(model) == 0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_target",
                       "expected the number of a class, 0 to %u, got \"%.*s\"", last,
                       PREDICT_SHOWN(cell));
    }
    return err_set(err, AUGURY_ERR_INVALID, "invalid_target",
                   "expected a class, \"%.*s\" to \"%.*s\" or its number, 0 to %u, got \"%.*s\"",
                   PREDICT_SHOWN(model_class_name(model, 0)),
                   PREDICT_SHOWN(model_class_name(model, last)), last, PREDICT_SHOWN(cell));
}

int
predict_target(const struct model *model, struct bytes cell, double *out_target, struct err *err)
{
    double number = NAN;

    if (bytes_equal_nocase(cell, "true") || bytes_equal_nocase(cell, "false")) {
        number = cell.data[0] == 't' || cell.data[0] == 'T' ? 1.0 : 0.0;
    } else if (!predict_number(cell, &number)) {
        number = NAN;
    }
    if (model->probability_count > 0) {
        number = class_from_text(model, cell, number);
        if (number < 0.0) {
            return refuse_class(model, cell, err);
        }
    }
    if (!isfinite(number)) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_target",
                       "expected a finite number, got \"%.*s\"", PREDICT_SHOWN(cell));
    }
    *out_target = number;
    return 0;
}

int
predict_row_check(const struct model *model, const void *row, struct err *err)
{
    for (uint32_t i = 0; i < model->feature_count; i++) {
        if (isnan(model_number_get(model, row, i)) && !model_feature(model, i).is_missing_allowed) {
            return predict_missing((struct predict_place){.model = model, .feature = i}, err);
        }
    }
    return 0;
}
