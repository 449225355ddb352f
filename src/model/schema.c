/* SPDX-License-Identifier: MIT */
/*
 * schema.c - names, types and levels of features: what the model file said, then the names given at
 * the import, then the schema file, then f0, f1, …. Two sources may repeat each other; where they
 * disagree about a name or a level the import stops, because a model that reads its features in
 * another order answers wrongly without a sign.
 */
#include "import.h"

#include <stdio.h>
#include <string.h>

enum { SCHEMA_DEPTH = 8 };

static int
invalid(struct err *err, uint32_t feature, const char *reason)
{
    err_set(err, AUGURY_ERR_INVALID, "invalid_schema", "%s", reason);
    err_at(err, "features[%u]", feature);
    return AUGURY_ERR_INVALID;
}

static int
no_memory(struct err *err)
{
    return err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory for the schema");
}

static int
set_name(struct neutral_model *model, uint32_t feature, struct bytes name, struct err *err)
{
    struct bytes known = model->features[feature].name;

    if (name.len == 0 || !utf8_is_valid(name)) {
        return invalid(err, feature, "a name must be valid UTF-8 and not empty");
    }
    if (known.len > 0 && !bytes_equal(known, name)) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_schema",
                "the name \"%.*s\" contradicts \"%.*s\", which this feature has already",
                (int)(name.len < 100 ? name.len : 100), (const char *)name.data,
                (int)(known.len < 100 ? known.len : 100), (const char *)known.data);
        err_at(err, "features[%u]", feature);
        return AUGURY_ERR_INVALID;
    }
    model->features[feature].name = name;
    return 0;
}

static int
wrong_count(struct err *err, const char *what, size_t got, uint32_t want)
{
    return err_set(err, AUGURY_ERR_INVALID, "invalid_schema",
                   "%s lists %zu features, the model has %u", what, got, want);
}

/* "a,b,c" */
static int
apply_names(const char *names, struct neutral_model *model, struct err *err)
{
    size_t count = 1;
    int rc = 0;

    for (const char *c = names; *c != '\0'; c++) {
        count += *c == ',' ? 1 : 0;
    }
    if (count != model->feature_count) {
        return wrong_count(err, "the list of names", count, model->feature_count);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        size_t len = strcspn(names, ",");
        rc = set_name(model, i, text_trim(bytes_of(names, len)), err);
        names += len + 1;
    }
    return rc;
}

/* ---- the schema file ----------------------------------------------------------------------- */

static int
apply_type(const struct wire_value *value, uint32_t feature, struct neutral_model *model,
           struct err *err)
{
    static const char *const names[] = {[MODEL_FLOAT] = "float",
                                        [MODEL_INTEGER] = "integer",
                                        [MODEL_BOOLEAN] = "boolean",
                                        [MODEL_CATEGORY] = "category"};

    for (unsigned i = 0; i < AUGURY_COUNT(names); i++) {
        if (value->type == WIRE_STRING && bytes_equal_text(wire_string(value), names[i])) {
            model->features[feature].type = (enum model_feature_type)i;
            model->features[feature].is_typed = true;
            return 0;
        }
    }
    return invalid(err, feature, "\"type\" must be float, integer, boolean or category");
}

static int
apply_levels(struct import *import, const struct wire_value *value, uint32_t number,
             struct neutral_model *model, struct err *err)
{
    struct neutral_feature *feature = &model->features[number];

    if (value->type != WIRE_ARRAY) {
        return invalid(err, number, "\"levels\" must be an array of strings");
    }
    struct bytes *levels = arena_zalloc(&import->arena, value->count + (size_t)1, sizeof(*levels));
    if (levels == NULL) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < value->count; i++) {
        if (value->as.items[i].type != WIRE_STRING) {
            return invalid(err, number, "\"levels\" must be an array of strings");
        }
        levels[i] = wire_string(&value->as.items[i]);
        if (feature->level_count > 0 &&
            (i >= feature->level_count || !bytes_equal(levels[i], feature->levels[i]))) {
            return invalid(err, number, "\"levels\" contradicts the model file's own categories");
        }
    }
    if (value->count < feature->level_count) {
        return invalid(err, number, "\"levels\" contradicts the model file's own categories");
    }
    feature->levels = levels;
    feature->level_count = value->count;
    return 0;
}

static int
apply_member(struct import *import, const struct wire_pair *pair, uint32_t number,
             struct neutral_model *model, struct err *err)
{
    const struct wire_value *value = &pair->value;

    if (bytes_equal_text(pair->key, "name")) {
        return value->type == WIRE_STRING ? set_name(model, number, wire_string(value), err)
                                          : invalid(err, number, "\"name\" must be a string");
    }
    if (bytes_equal_text(pair->key, "type")) {
        return apply_type(value, number, model, err);
    }
    if (bytes_equal_text(pair->key, "levels")) {
        return apply_levels(import, value, number, model, err);
    }
    if (bytes_equal_text(pair->key, "missing")) {
        model->features[number].is_missing_allowed = value->as.boolean;
        return value->type == WIRE_BOOL ? 0
                                        : invalid(err, number, "\"missing\" must be true or false");
    }
    if (bytes_equal_text(pair->key, "unknown")) {
        model->features[number].is_unknown_allowed = value->as.boolean;
        return value->type == WIRE_BOOL ? 0
                                        : invalid(err, number, "\"unknown\" must be true or false");
    }
    return invalid(err, number,
                   "a feature has the members name, type, levels, missing and unknown");
}

static int
apply_feature(struct import *import, const struct wire_value *value, uint32_t number,
              struct neutral_model *model, struct err *err)
{
    struct neutral_feature *feature = &model->features[number];
    int rc = 0;

    if (value->type != WIRE_OBJECT || wire_member(value, "name") == NULL) {
        return invalid(err, number, "expected an object with a \"name\"");
    }
    for (uint32_t i = 0; i < value->count && rc == 0; i++) {
        rc = apply_member(import, &value->as.pairs[i], number, model, err);
    }
    if (rc == 0 && feature->level_count > 0 && feature->type != MODEL_CATEGORY) {
        rc = invalid(err, number, "\"levels\" belong to the type category alone");
    }
    if (rc == 0 && feature->is_unknown_allowed && feature->level_count == 0) {
        rc = invalid(err, number, "\"unknown\" belongs to a category with levels");
    }
    return rc;
}

static int
apply_document(struct import *import, struct neutral_model *model, struct err *err)
{
    struct bytes text = import->options->schema;
    const struct wire_limits limits = {.depth = SCHEMA_DEPTH, .values = text.len};
    struct wire_value root;
    const struct wire_value *features = NULL;
    int rc = wire_decode(WIRE_JSON, text, &limits, &import->arena, &root, err);

    if (rc == 0) {
        rc = wire_need(&root, "features", WIRE_ARRAY, &features, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (root.count != 1) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_schema",
                       "a schema has the one member \"features\"");
    }
    if (features->count != model->feature_count) {
        return wrong_count(err, "the schema", features->count, model->feature_count);
    }
    for (uint32_t i = 0; i < features->count && rc == 0; i++) {
        rc = apply_feature(import, &features->as.items[i], i, model, err);
    }
    return rc;
}

/* The message says that it is about the schema: the model's file is beside it in the command. */
static int
apply_file(struct import *import, struct neutral_model *model, struct err *err)
{
    char at[sizeof(err->at)];
    int rc = apply_document(import, model, err);

    if (rc != 0) {
        memcpy(at, err->at, sizeof(at));
        (void)err_at(err, "schema%s%s", at[0] == '\0' ? "" : ", ", at);
    }
    return rc;
}

/* ---- what nobody said ---------------------------------------------------------------------- */

static int
name_the_rest(struct import *import, struct neutral_model *model, struct err *err)
{
    for (uint32_t i = 0; i < model->feature_count; i++) {
        char text[16];
        if (model->features[i].name.len > 0) {
            continue;
        }
        snprintf(text, sizeof(text), "f%u", i);
        char *copy = arena_text(&import->arena, bytes_of_text(text));
        if (copy == NULL) {
            return no_memory(err);
        }
        model->features[i].name = bytes_of_text(copy);
    }
    return 0;
}

static void
type_the_rest(struct neutral_model *model)
{
    /* Where trees read inputs, the importer knows what a feature is. */
    for (uint32_t t = 0; t < model->tree_count && model->input_count == 0; t++) {
        const struct neutral_tree *tree = &model->trees[t];
        for (uint32_t i = 0; i < tree->node_count; i++) {
            bool is_set = tree->left[i] != NEUTRAL_LEAF && (tree->flags[i] & NEUTRAL_CATEGORICAL);
            if (is_set && tree->feature[i] < model->feature_count &&
                !model->features[tree->feature[i]].is_typed) {
                model->features[tree->feature[i]].type = MODEL_CATEGORY;
            }
        }
    }
}

int
schema_apply(struct import *import, struct neutral_model *model, struct err *err)
{
    int rc = 0;

    if (import->options->names != NULL) {
        rc = apply_names(import->options->names, model, err);
    }
    if (rc == 0 && import->options->schema.data != NULL) {
        rc = apply_file(import, model, err);
    }
    if (rc == 0) {
        rc = name_the_rest(import, model, err);
    }
    type_the_rest(model);
    return rc;
}
