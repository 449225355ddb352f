/* SPDX-License-Identifier: MIT */
/*
 * predict_matrix.c - a question's rows, in any of the three forms, as one canonical matrix of
 * the model's numbers in schema order.
 *
 * Invariant: a row begins as all missing; every feature that the question names is written once, so
 * a row that has as many present values as the model has features needs no second look for missing
 * ones.
 */
#include "predict_matrix.h"

#include <math.h>
#include <string.h>

#include "predict_value.h"

/* Suggestions look at so many features at most: a wrong name must not cost more than a right
 * answer. */
enum { SUGGEST_FEATURES_MAX = 2048 };

struct maker {
    const struct predict_question *question;
    const struct model *model;
    const struct predict_slot *slots; /* one a feature */
    struct predict_matrix matrix;
    struct predict_pace pace;
    struct err *err;
};

/* ---- errors and their places ----------------------------------------------------------------- */

/* One row of features is "features", a row of several "rows[3]". */
static int
at_member(const struct maker *maker, size_t row, struct bytes name)
{
    if (maker->question->features != NULL) {
        return err_at(maker->err, "features.%.*s", PREDICT_SHOWN(name));
    }
    return err_at(maker->err, "rows[%zu].%.*s", row, PREDICT_SHOWN(name));
}

static int
refuse_shape(const struct maker *maker, const char *what, const char *wants,
             const struct wire_value *got)
{
    return err_set(maker->err, AUGURY_ERR_INVALID, "invalid_request", "%s: expected %s, got %s",
                   what, wants, wire_type_name(got));
}

static int
refuse_unknown(const struct maker *maker, struct bytes name)
{
    struct predict_nearest nearest;
    uint32_t count = maker->model->feature_count;

    predict_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < count && i < SUGGEST_FEATURES_MAX; i++) {
        predict_nearest_offer(&nearest, model_feature(maker->model, i).name);
    }
    if (nearest.found.len > 0) {
        return err_set(maker->err, AUGURY_ERR_INVALID, "unknown_feature",
                       "the model has no feature \"%.*s\"; did you mean \"%.*s\"?",
                       PREDICT_SHOWN(name), PREDICT_SHOWN(nearest.found));
    }
    return err_set(
        maker->err, AUGURY_ERR_INVALID, "unknown_feature",
        "the model has no feature \"%.*s\"; its first of %u is \"%.*s\" (ignore_unknown drops "
        "what it does not know)",
        PREDICT_SHOWN(name), count, PREDICT_SHOWN(model_feature(maker->model, 0).name));
}

int
predict_memory_is_short(struct err *err)
{
    return err_set(err, AUGURY_ERR_NOMEM, "request_too_large",
                   "the request needs more working memory than one request may take "
                   "(limits.request_memory); send fewer rows");
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void
row_clear(const struct maker *maker, void *row)
{
    for (size_t i = 0; i < maker->matrix.width; i++) {
        model_number_set(maker->model, row, i, NAN);
    }
}

/* The first feature of the row that the schema forbids to be missing, or -1. */
static int64_t
row_find_missing(const struct maker *maker, const void *row, size_t present)
{
    for (size_t i = 0; i < maker->matrix.width && present < maker->matrix.width; i++) {
        if (isnan(model_number_get(maker->model, row, i)) && !maker->slots[i].is_missing_allowed) {
            return (int64_t)i;
        }
    }
    return -1;
}

static int
row_from_object(const struct maker *maker, size_t row_number, const struct wire_value *object,
                void *row)
{
    const struct model *model = maker->model;
    uint32_t hint = 0;
    size_t present = 0;

    row_clear(maker, row);
    for (uint32_t i = 0; i < object->count; i++) {
        const struct wire_pair *pair = &object->as.pairs[i];
        int32_t found = model_feature_find(model, pair->key, hint);
        if (found < 0) {
            if ((maker->question->flags & PREDICT_IGNORE_UNKNOWN) != 0) {
                continue;
            }
            (void)refuse_unknown(maker, pair->key);
            (void)at_member(maker, row_number, pair->key);
            return AUGURY_ERR_INVALID;
        }
        uint32_t feature = (uint32_t)found;
        struct predict_place place = {.model = model, .feature = feature};
        double number;
        int rc = predict_value(&maker->slots[feature], place, &pair->value, &number, maker->err);
        if (rc != 0) {
            (void)at_member(maker, row_number, pair->key);
            return rc;
        }
        model_number_set(model, row, feature, number);
        present += isnan(number) ? 0 : 1;
        hint = feature + 1;
    }
    int64_t missing = row_find_missing(maker, row, present);
    if (missing >= 0) {
        uint32_t feature = (uint32_t)missing;
        int rc =
            predict_missing((struct predict_place){.model = model, .feature = feature}, maker->err);
        (void)at_member(maker, row_number, model_feature(model, feature).name);
        return rc;
    }
    return 0;
}

static int
rows_from_objects(struct maker *maker)
{
    const struct wire_value *rows = maker->question->rows;

    for (uint32_t i = 0; i < rows->count; i++) {
        const struct wire_value *object = &rows->as.items[i];
        if (object->type != WIRE_OBJECT) {
            int rc = refuse_shape(maker, "a row", "an object of features", object);
            (void)err_at(maker->err, "rows[%u]", i);
            return rc;
        }
        int rc = predict_pace_look(&maker->pace, i, "read", maker->err);
        if (rc == 0) {
            rc = row_from_object(maker, i, object,
                                 maker->matrix.values + i * maker->matrix.row_bytes);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- columns and data ------------------------------------------------------------------------ */

/* Feature of each column, -1 for one that is dropped. */
struct columns {
    int32_t *features;
    uint32_t count;
};

static int
columns_in_order(const struct maker *maker, struct arena *arena, struct columns *out_columns)
{
    uint32_t count = maker->model->feature_count;
    int32_t *features = arena_alloc(arena, count * sizeof(*features));

    if (features == NULL) {
        return predict_memory_is_short(maker->err);
    }
    for (uint32_t i = 0; i < count; i++) {
        features[i] = (int32_t)i;
    }
    *out_columns = (struct columns){.features = features, .count = count};
    return 0;
}

static int
column_find(const struct maker *maker, const struct wire_value *name, uint32_t hint,
            int32_t *out_feature)
{
    if (name->type != WIRE_STRING) {
        return refuse_shape(maker, "a column", "the name of a feature", name);
    }
    *out_feature = model_feature_find(maker->model, wire_string(name), hint);
    if (*out_feature < 0 && (maker->question->flags & PREDICT_IGNORE_UNKNOWN) == 0) {
        return refuse_unknown(maker, wire_string(name));
    }
    return 0;
}

static int
columns_from_names(const struct maker *maker, struct arena *arena, struct columns *out_columns)
{
    const struct wire_value *names = maker->question->columns;
    int32_t *features = arena_alloc(arena, names->count * sizeof(*features));
    uint8_t *is_taken = arena_zalloc(arena, maker->model->feature_count, 1);
    uint32_t hint = 0;

    if (features == NULL || is_taken == NULL) {
        return predict_memory_is_short(maker->err);
    }
    for (uint32_t i = 0; i < names->count; i++) {
        int rc = column_find(maker, &names->as.items[i], hint, &features[i]);
        if (rc == 0 && features[i] >= 0 && is_taken[features[i]] != 0) {
            rc = err_set(maker->err, AUGURY_ERR_INVALID, "duplicate_feature",
                         "column \"%.*s\" is named twice",
                         PREDICT_SHOWN(wire_string(&names->as.items[i])));
        }
        if (rc != 0) {
            (void)err_at(maker->err, "columns[%u]", i);
            return rc;
        }
        if (features[i] >= 0) {
            is_taken[features[i]] = 1;
            hint = (uint32_t)features[i] + 1;
        }
    }
    *out_columns = (struct columns){.features = features, .count = names->count};
    return 0;
}

static int
row_from_cells(const struct maker *maker, const struct columns *columns, size_t row_number,
               const struct wire_value *cells)
{
    void *row = maker->matrix.values + row_number * maker->matrix.row_bytes;
    size_t present = 0;

    row_clear(maker, row);
    for (uint32_t i = 0; i < columns->count; i++) {
        if (columns->features[i] < 0) {
            continue;
        }
        uint32_t feature = (uint32_t)columns->features[i];
        struct predict_place place = {.model = maker->model, .feature = feature};
        double number;
        int rc =
            predict_value(&maker->slots[feature], place, &cells->as.items[i], &number, maker->err);
        if (rc != 0) {
            (void)err_at(maker->err, "data[%zu][%u]", row_number, i);
            return rc;
        }
        model_number_set(maker->model, row, feature, number);
        present += isnan(number) ? 0 : 1;
    }
    int64_t missing = row_find_missing(maker, row, present);
    if (missing >= 0) {
        struct predict_place place = {.model = maker->model, .feature = (uint32_t)missing};
        predict_missing(place, maker->err);
        (void)err_at(maker->err, "data[%zu]", row_number);
        return AUGURY_ERR_INVALID;
    }
    return 0;
}

static int
rows_from_data(struct maker *maker, struct arena *arena)
{
    const struct predict_question *question = maker->question;
    struct columns columns = {0};
    int rc = question->columns != NULL ? columns_from_names(maker, arena, &columns)
                                       : columns_in_order(maker, arena, &columns);

    for (uint32_t i = 0; rc == 0 && i < question->data->count; i++) {
        const struct wire_value *cells = &question->data->as.items[i];
        if (cells->type != WIRE_ARRAY) {
            rc = refuse_shape(maker, "a row of data", "an array of values", cells);
            (void)err_at(maker->err, "data[%u]", i);
        } else if (cells->count != columns.count) {
            rc = err_set(maker->err, AUGURY_ERR_INVALID, "invalid_shape",
                         "the row has %u values, but there are %u columns", cells->count,
                         columns.count);
            (void)err_at(maker->err, "data[%u]", i);
        } else {
            rc = predict_pace_look(&maker->pace, i, "read", maker->err);
            rc = rc == 0 ? row_from_cells(maker, &columns, i, cells) : rc;
        }
    }
    return rc;
}

/* ---- the question as a whole ----------------------------------------------------------------- */

static int
check_member(const struct maker *maker, const char *name, const struct wire_value *value,
             enum wire_type type, const char *wants)
{
    if (value == NULL || value->type == type) {
        return 0;
    }
    int rc = refuse_shape(maker, name, wants, value);
    (void)err_at(maker->err, "%s", name);
    return rc;
}

/* Types of the members, and exactly one form. */
static int
check_form(const struct maker *maker)
{
    const struct predict_question *question = maker->question;
    int forms = (question->features != NULL) + (question->rows != NULL) + (question->data != NULL) +
                (question->table.content.data != NULL);

    if (forms != 1) {
        return err_set(maker->err, AUGURY_ERR_INVALID, "invalid_request",
                       "give exactly one of \"features\" (an object), \"rows\" (an array of "
                       "objects) and \"data\" "
                       "(an array of arrays, with \"columns\")");
    }
    if (question->columns != NULL && question->data == NULL) {
        return err_set(maker->err, AUGURY_ERR_INVALID, "invalid_request",
                       "\"columns\" goes with \"data\"");
    }
    int rc = check_member(maker, "features", question->features, WIRE_OBJECT, "an object");
    if (rc == 0) {
        rc = check_member(maker, "rows", question->rows, WIRE_ARRAY, "an array of objects");
    }
    if (rc == 0) {
        rc = check_member(maker, "columns", question->columns, WIRE_ARRAY, "an array of names");
    }
    if (rc == 0) {
        rc = check_member(maker, "data", question->data, WIRE_ARRAY, "an array of arrays");
    }
    return rc;
}

static int
count_rows(const struct maker *maker, const struct predict_context *context, size_t *out_rows)
{
    const struct predict_question *question = maker->question;
    size_t rows = question->features != NULL ? 1
                  : question->rows != NULL   ? question->rows->count
                                             : question->data->count;

    if (rows > context->rows_max) {
        err_set(maker->err, AUGURY_ERR_LIMIT, "too_many_rows",
                "%zu rows; one request may ask for %u", rows, context->rows_max);
        (void)err_at(maker->err, question->rows != NULL ? "rows" : "data");
        return AUGURY_ERR_LIMIT;
    }
    *out_rows = rows;
    return 0;
}

static int
alloc_matrix(struct maker *maker, const struct predict_context *context, size_t rows,
             struct arena *arena)
{
    uint32_t width = maker->model->feature_count;

    /* At most 2^32 rows of 2^16 features of 8 bytes: no overflow in 64 bits. */
    maker->matrix.row_bytes = width * model_number_bytes(maker->model);
    maker->matrix.values = arena_alloc_aligned(arena, rows * maker->matrix.row_bytes, 64);
    struct predict_slot *slots = arena_alloc(arena, width * sizeof(*slots));
    if (maker->matrix.values == NULL || slots == NULL) {
        return predict_memory_is_short(maker->err);
    }
    for (uint32_t i = 0; i < width; i++) {
        slots[i] = predict_slot_of(maker->model, i, context->decimals);
    }
    maker->slots = slots;
    maker->matrix.row_count = rows;
    maker->matrix.width = width;
    predict_pace_init(&maker->pace, maker->question->deadline_mono_ns, width);
    return 0;
}

static int
rows_from_table(struct maker *maker, const struct predict_context *context, struct arena *arena)
{
    struct predict_file *file = NULL;
    size_t rows = 0;
    int rc = predict_table_open(context, maker->question, maker->model, &file, maker->err);

    if (rc == 0) {
        rc = predict_table_rows_max(context, file, maker->question, &rows, maker->err);
    }
    if (rc == 0) {
        rc = alloc_matrix(maker, context, rows, arena);
    }
    if (rc == 0) {
        rc = predict_table_read(context, file, &maker->matrix, &maker->pace, maker->err);
    }
    predict_file_close(&file);
    return rc;
}

static int
rows_from_document(struct maker *maker, const struct predict_context *context, struct arena *arena)
{
    const struct predict_question *question = maker->question;
    size_t rows = 0;
    int rc = count_rows(maker, context, &rows);

    if (rc == 0) {
        rc = alloc_matrix(maker, context, rows, arena);
    }
    if (rc != 0) {
        return rc;
    }
    if (question->features != NULL) {
        return row_from_object(maker, 0, question->features, maker->matrix.values);
    }
    return question->rows != NULL ? rows_from_objects(maker) : rows_from_data(maker, arena);
}

int
predict_matrix_make(const struct predict_context *context, const struct predict_question *question,
                    const struct model *model, struct arena *arena,
                    struct predict_matrix *out_matrix, struct err *err)
{
    struct maker maker = {.question = question, .model = model, .err = err};
    int rc = check_form(&maker);

    if (rc == 0) {
        rc = question->table.content.data != NULL ? rows_from_table(&maker, context, arena)
                                                  : rows_from_document(&maker, context, arena);
    }
    if (rc == 0) {
        *out_matrix = maker.matrix;
    }
    return rc;
}
