/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_schema.c - what a LightGBM text says about its features: their names, which of them are
 * categories (feature_infos), and the levels that pandas gave those (pandas_categorical: one list a
 * categorical column, in the columns' order; the place of a level is its code).
 * The lists do not say whose they are. Where their number is not that of the categorical features
 * (an ordered or a constant pandas column is none to LightGBM), they are not guessed at.
 */
#include "lightgbm.h"

#include <stdio.h>

enum { PANDAS_DEPTH = 4 };

/* ---- names --------------------------------------------------------------------------------- */

/* "Column_0", "Column_1", …: LightGBM's names where the training data had none. */
static bool
name_is_default(struct bytes name, uint32_t feature)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "Column_%u", feature);
    return bytes_equal_text(name, text);
}

/* LightGBM's own numbering gives way to names that the importer was given. */
static void
drop_default_names(const struct lightgbm_reader *reader, struct neutral_model *model)
{
    const struct model_import_options *options = reader->import->options;
    bool are_default = options->names != NULL || options->schema.data != NULL;

    for (uint32_t i = 0; i < model->feature_count && are_default; i++) {
        are_default = name_is_default(model->features[i].name, i);
    }
    for (uint32_t i = 0; i < model->feature_count && are_default; i++) {
        model->features[i].name = bytes_of(NULL, 0);
    }
}

static int
read_names(struct lightgbm_reader *reader, struct lightgbm_field names, struct neutral_model *model)
{
    size_t count = lightgbm_word_count(names.value);

    if (names.line == 0) {
        return 0;
    }
    if (count != model->feature_count) {
        return lightgbm_invalid(reader, names.line,
                                "\"feature_names\" holds %zu names, max_feature_idx says %u", count,
                                model->feature_count);
    }
    for (uint32_t i = 0; i < model->feature_count; i++) {
        (void)lightgbm_word_next(&names.value, &model->features[i].name);
        if (!utf8_is_valid(model->features[i].name)) {
            return lightgbm_invalid(reader, names.line, "the name of feature %u is not valid UTF-8",
                                    i);
        }
    }
    drop_default_names(reader, model);
    return 0;
}

/* ---- infos --------------------------------------------------------------------------------- */

/* "-1:3:0:7", the categories of the training data; -1 stands for missing. */
static bool
info_is_categories(struct bytes info)
{
    for (size_t i = 0; i < info.len; i++) {
        bool is_digit = info.data[i] >= '0' && info.data[i] <= '9';
        if (!is_digit && info.data[i] != ':' && info.data[i] != '-') {
            return false;
        }
    }
    return info.len > 0;
}

/* "[0:9.5]" and "none" leave a feature untyped: a tree may still split it by category. */
static int
read_infos(struct lightgbm_reader *reader, struct lightgbm_field infos, struct neutral_model *model)
{
    size_t count = lightgbm_word_count(infos.value);
    struct bytes info;

    if (infos.line == 0) {
        return 0;
    }
    if (count != model->feature_count) {
        return lightgbm_invalid(reader, infos.line,
                                "\"feature_infos\" holds %zu entries, max_feature_idx says %u",
                                count, model->feature_count);
    }
    for (uint32_t i = 0; i < model->feature_count; i++) {
        (void)lightgbm_word_next(&infos.value, &info);
        if (info_is_categories(info)) {
            model->features[i].type = MODEL_CATEGORY;
            model->features[i].is_typed = true;
        }
    }
    return 0;
}

/* ---- levels -------------------------------------------------------------------------------- */

static int
level_text(const struct wire_value *value, struct bytes *out_text)
{
    if (value->type == WIRE_STRING || value->type == WIRE_NUMBER) {
        *out_text = wire_string(value);
        return 0;
    }
    if (value->type == WIRE_BOOL) {
        *out_text = bytes_of_text(value->as.boolean ? "true" : "false");
        return 0;
    }
    return AUGURY_ERR_INVALID;
}

static int
read_levels(struct lightgbm_reader *reader, uint32_t line, const struct wire_value *list,
            struct neutral_feature *feature)
{
    struct bytes *levels =
        arena_zalloc(&reader->import->arena, (size_t)list->count + 1, sizeof(*levels));

    if (levels == NULL) {
        return lightgbm_no_memory(reader);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (level_text(&list->as.items[i], &levels[i]) != 0) {
            return lightgbm_invalid(reader, line,
                                    "a level of \"pandas_categorical\" is %s; a string, a number "
                                    "or a truth value is expected",
                                    wire_type_name(&list->as.items[i]));
        }
    }
    feature->levels = levels;
    feature->level_count = list->count;
    return 0;
}

static uint32_t
category_count(const struct neutral_model *model)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < model->feature_count; i++) {
        count += model->features[i].type == MODEL_CATEGORY ? 1 : 0;
    }
    return count;
}

/* Lists that fit no features are left to a schema file, where one is given. */
static int
read_pandas(struct lightgbm_reader *reader, struct lightgbm_field pandas,
            struct neutral_model *model)
{
    const struct wire_limits limits = {.depth = PANDAS_DEPTH,
                                       .values = pandas.value.len + 1,
                                       .flags = WIRE_NUMBERS_AS_TEXT | WIRE_BORROW};
    struct wire_value lists;
    uint32_t features = category_count(model);
    uint32_t at = 0;

    if (pandas.line == 0) {
        return 0;
    }
    int rc =
        wire_decode(WIRE_JSON, pandas.value, &limits, &reader->import->arena, &lists, reader->err);
    if (rc != 0) {
        return err_at(reader->err, "line %u, pandas_categorical", pandas.line);
    }
    bool is_schema_given = reader->import->options->schema.data != NULL;
    if (lists.type == WIRE_NULL || (lists.type == WIRE_ARRAY && lists.count == 0) ||
        (is_schema_given && wire_array_len(&lists) != features)) {
        return 0;
    }
    if (lists.type != WIRE_ARRAY || lists.count != features) {
        return lightgbm_invalid(
            reader, pandas.line,
            "\"pandas_categorical\" lists the levels of %zu columns, but %u features are "
            "categories: give types and levels in a schema file",
            wire_array_len(&lists), features);
    }
    for (uint32_t i = 0; i < model->feature_count && rc == 0; i++) {
        if (model->features[i].type != MODEL_CATEGORY) {
            continue;
        }
        const struct wire_value *list = &lists.as.items[at++];
        rc = list->type == WIRE_ARRAY
                 ? read_levels(reader, pandas.line, list, &model->features[i])
                 : lightgbm_invalid(reader, pandas.line,
                                    "\"pandas_categorical\" must be a list of lists");
    }
    return rc;
}

int
lightgbm_read_schema(struct lightgbm_reader *reader, const struct lightgbm_schema *schema,
                     struct neutral_model *model)
{
    model->features =
        arena_zalloc(&reader->import->arena, model->feature_count, sizeof(*model->features));
    if (model->features == NULL) {
        return lightgbm_no_memory(reader);
    }
    for (uint32_t i = 0; i < model->feature_count; i++) {
        model->features[i].is_missing_allowed = true;
    }
    int rc = read_names(reader, schema->names, model);
    if (rc == 0) {
        rc = read_infos(reader, schema->infos, model);
    }
    if (rc == 0) {
        rc = read_pandas(reader, schema->pandas, model);
    }
    return rc;
}
