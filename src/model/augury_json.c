/* SPDX-License-Identifier: MIT */
/*
 * augury_json.c - augury's own model JSON into the neutral form: what exporters of other libraries
 * and people write. docs/model-json.md describes it. All of it is float64.
 */
#include "augury_json.h"

#include <stdio.h>

/* ---- kinds --------------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    enum neutral_kind kind;
    int (*read)(struct reader *reader);
} kinds[] = {
    {"forest", NEUTRAL_FOREST, reader_trees}, {"gbdt", NEUTRAL_GBTREE, reader_trees},
    {"hgb", NEUTRAL_GBTREE, reader_trees},    {"linear", NEUTRAL_LINEAR, reader_linear},
    {"mlp", NEUTRAL_MLP, reader_layers},      {"scorecard", NEUTRAL_SCORECARD, reader_scorecard},
};

static int
find_kind(struct reader *reader, const struct kind **out_kind)
{
    const struct wire_value *value = wire_member(reader->document, "kind");

    for (size_t i = 0; i < AUGURY_COUNT(kinds) && value != NULL; i++) {
        if (bytes_equal_text(reader_text(value), kinds[i].name)) {
            *out_kind = &kinds[i];
            return 0;
        }
    }
    (void)reader_refuse(reader, "kind", "expected forest, gbdt, hgb, linear, mlp or scorecard");
    return AUGURY_ERR_INVALID;
}

static int
check_head(struct reader *reader)
{
    static const char *const names[] = {
        "format",      "format_version", "kind",      "source", "comment", "features",
        "inputs",      "classes",        "outputs",   "init",   "divisor", "compare",
        "link",        "trees",          "weights",   "bias",   "layers",  "attributes",
        "base_points", "scaling",        "self_test", "number",
    };
    uint32_t version = 0;
    int rc = reader_object(reader, reader->document, names, AUGURY_COUNT(names), "");

    if (rc == 0) {
        rc = reader_count(reader, wire_member(reader->document, "format_version"), INT32_MAX,
                          "format_version", &version);
    }
    if (rc == 0 && version != AUGURY_JSON_VERSION) {
        rc = err_set(reader->err, AUGURY_ERR_UNSUPPORTED, "unknown_format_version",
                     "model JSON of version %u; this augury reads version %d", version,
                     AUGURY_JSON_VERSION);
    }
    return rc;
}

/* ---- features ------------------------------------------------------------------------------ */

static int
read_flag(struct reader *reader, const struct wire_value *object, const char *key, const char *at,
          bool *out_flag)
{
    const struct wire_value *value = wire_member(object, key);

    if (value != NULL && value->type != WIRE_BOOL) {
        return reader_refuse(reader, at, "\"%s\" must be true or false", key);
    }
    *out_flag = value == NULL ? *out_flag : value->as.boolean;
    return 0;
}

static int
read_feature(struct reader *reader, const struct wire_value *value, const char *at,
             struct neutral_feature *out)
{
    static const char *const names[] = {"name", "type", "missing", "unknown", "levels"};
    static const char *const types[] = {[MODEL_FLOAT] = "float",
                                        [MODEL_INTEGER] = "integer",
                                        [MODEL_BOOLEAN] = "boolean",
                                        [MODEL_CATEGORY] = "category"};
    const struct wire_value *type = wire_member(value, "type");
    int rc = reader_object(reader, value, names, AUGURY_COUNT(names), at);
    int32_t choice = type == NULL ? MODEL_FLOAT : reader_choice(type, types, AUGURY_COUNT(types));

    if (rc != 0) {
        return rc;
    }
    out->name = reader_text(wire_member(value, "name"));
    if (out->name.len == 0 || !utf8_is_valid(out->name)) {
        return reader_refuse(reader, at, "\"name\" must be a text that is not empty");
    }
    if (choice < 0) {
        return reader_refuse(reader, at, "\"type\" is float, integer, boolean or category");
    }
    out->type = (enum model_feature_type)choice;
    out->is_typed = true;
    out->is_missing_allowed = true;
    rc = read_flag(reader, value, "missing", at, &out->is_missing_allowed);
    if (rc == 0) {
        rc = read_flag(reader, value, "unknown", at, &out->is_unknown_allowed);
    }
    if (rc == 0 && wire_member(value, "levels") != NULL) {
        struct bytes *levels = NULL;
        rc = reader_texts(reader, wire_member(value, "levels"), at, &levels, &out->level_count);
        out->levels = levels;
    }
    if (rc == 0 && out->type != MODEL_CATEGORY && out->level_count > 0) {
        rc = reader_refuse(reader, at, "levels belong to the type category alone");
    }
    if (rc == 0 && out->is_unknown_allowed && out->level_count == 0) {
        rc = reader_refuse(reader, at, "\"unknown\" belongs to a category with levels");
    }
    return rc;
}

static int
index_features(struct reader *reader)
{
    const struct neutral_model *model = reader->model;
    struct bytes *names = reader_alloc(reader, model->feature_count, sizeof(*names));

    reader->levels = reader_alloc(reader, model->feature_count, sizeof(*reader->levels));
    int rc = names == NULL || reader->levels == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < model->feature_count && rc == 0; i++) {
        const struct neutral_feature *feature = &model->features[i];
        names[i] = feature->name;
        rc = reader_index(reader, feature->levels, feature->level_count, &reader->levels[i]);
    }
    return rc == 0 ? reader_index(reader, names, model->feature_count, &reader->features) : rc;
}

static int
read_features(struct reader *reader)
{
    const struct wire_value *values = wire_member(reader->document, "features");
    struct neutral_model *model = reader->model;

    if (values == NULL || values->type != WIRE_ARRAY || values->count == 0 ||
        values->count > MODEL_FEATURES_MAX) {
        return reader_refuse(reader, "features", "expected an array of 1 to %d features",
                             MODEL_FEATURES_MAX);
    }
    model->feature_count = values->count;
    model->features = reader_alloc(reader, values->count, sizeof(*model->features));
    int rc = model->features == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < values->count && rc == 0; i++) {
        char at[40];
        (void)snprintf(at, sizeof(at), "features[%u]", i);
        rc = read_feature(reader, &values->as.items[i], at, &model->features[i]);
    }
    return rc == 0 ? index_features(reader) : rc;
}

/* ---- outputs ------------------------------------------------------------------------------- */

static int
read_link(struct reader *reader)
{
    static const char *const members[] = {"name", "scale"};
    static const struct {
        const char *name;
        enum model_link link;
    } links[] = {
        {"identity", MODEL_LINK_IDENTITY},
        {"sigmoid", MODEL_LINK_SIGMOID},
        {"softmax", MODEL_LINK_SOFTPROB},
        {"sigmoid_share", MODEL_LINK_SIGMOID_SHARE},
        {"exp", MODEL_LINK_EXP},
        {"probability", MODEL_LINK_PROBABILITY},
        {"log1p_exp", MODEL_LINK_LOG1P_EXP},
    };
    const struct wire_value *value = wire_member(reader->document, "link");
    const struct wire_value *name = value;
    int rc = 0;

    if (value == NULL) {
        return 0;
    }
    if (value->type == WIRE_OBJECT) {
        name = wire_member(value, "name");
        rc = reader_object(reader, value, members, AUGURY_COUNT(members), "link");
        if (rc == 0) {
            rc = reader_optional(reader, value, "scale", 1.0, &reader->model->link_scale);
        }
    }
    for (size_t i = 0; i < AUGURY_COUNT(links) && rc == 0 && name != NULL; i++) {
        if (bytes_equal_text(reader_text(name), links[i].name)) {
            reader->model->link = links[i].link;
            return 0;
        }
    }
    return rc != 0 ? rc
                   : reader_refuse(reader, "link",
                                   "expected identity, sigmoid, softmax, "
                                   "sigmoid_share, exp, probability or log1p_exp");
}

/* Classes, outputs, what a margin begins with, the link. */
static int
read_outputs(struct reader *reader)
{
    const struct wire_value *outputs = wire_member(reader->document, "outputs");
    const struct wire_value *classes = wire_member(reader->document, "classes");
    const struct wire_value *init = wire_member(reader->document, "init");
    struct neutral_model *model = reader->model;
    struct bytes *names = NULL;
    double *base = NULL;
    uint32_t init_count = 0;
    int rc = outputs == NULL ? 0
                             : reader_count(reader, outputs, MODEL_OUTPUTS_MAX, "outputs",
                                            &model->output_count);

    if (rc == 0 && model->output_count == 0) {
        rc = reader_refuse(reader, "outputs", "expected a number from 1 to %d", MODEL_OUTPUTS_MAX);
    }
    if (rc == 0 && classes != NULL) {
        rc = reader_texts(reader, classes, "classes", &names, &model->class_count);
        model->classes = names;
    }
    if (rc == 0 && init != NULL) {
        rc = reader_numbers(reader, init, "init", &base, &init_count);
        if (rc == 0 && init_count != model->output_count) {
            rc = reader_refuse(reader, "init", "%u numbers for %u outputs", init_count,
                               model->output_count);
        }
    }
    if (rc == 0 && init == NULL) {
        base = reader_alloc(reader, model->output_count, sizeof(*base));
        rc = base == NULL ? AUGURY_ERR_NOMEM : 0;
    }
    model->base_margins = base;
    return rc == 0 ? read_link(reader) : rc;
}

/* One margin and two classes: the probability of the second. */
static void
set_binary(struct neutral_model *model)
{
    bool is_probability =
        model->link == MODEL_LINK_SIGMOID || model->link == MODEL_LINK_PROBABILITY;

    if (model->output_count == 1 && model->class_count == 2 && is_probability) {
        model->flags |= NEUTRAL_BINARY;
    }
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int
read_source(struct reader *reader, const char *kind)
{
    static const char fallback[] = "augury model json";
    const struct wire_value *source = wire_member(reader->document, "source");

    reader->model->objective = bytes_of_text(kind);
    reader->model->source = bytes_of_text(fallback);
    if (source != NULL) {
        reader->model->source = wire_string(source);
        if (source->type != WIRE_STRING) {
            return reader_refuse(reader, "source", "expected a text");
        }
    }
    return 0;
}

bool
augury_json_is(const struct wire_value *document)
{
    const struct wire_value *format = wire_member(document, "format");

    return format != NULL && format->type == WIRE_STRING &&
           bytes_equal_text(wire_string(format), "augury-model");
}

int
augury_json_read(struct import *import, const struct wire_value *document,
                 struct neutral_model *out_model, struct err *err)
{
    struct reader reader = {.import = import, .document = document, .model = out_model, .err = err};
    const struct kind *kind = NULL;

    *out_model = (struct neutral_model){
        .number = MODEL_FLOAT64,
        .link_scale = 1.0,
        .output_count = 1,
        .leaf_width = 1,
        .divisor = 1.0,
    };
    int rc = import_refuse_iterations(import, "model JSON", err);
    if (rc == 0) {
        rc = check_head(&reader);
    }
    if (rc == 0) {
        rc = find_kind(&reader, &kind);
    }
    if (rc == 0) {
        out_model->kind = kind->kind;
        rc = read_source(&reader, kind->name);
    }
    if (rc == 0) {
        rc = read_features(&reader);
    }
    if (rc == 0) {
        rc = read_outputs(&reader);
    }
    if (rc == 0) {
        set_binary(out_model);
        rc = reader_inputs(&reader);
    }
    if (rc == 0) {
        rc = kind->read(&reader);
    }
    return rc == 0 ? reader_self_test(&reader) : rc;
}
