/* SPDX-License-Identifier: MIT */
/*
 * xgboost.c - an XGBoost document (JSON and UBJSON have one shape) into the neutral form. Written
 * by XGBoost 1.0 to 3.x: unknown members are ignored, known ones are demanded and judged.
 * Parameters are strings in the file. The greatest trap is base_score: a score in output space, one
 * text or a list in a text, and a margin only after the objective's link.
 */
#include "xgboost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int
xgboost_invalid(struct xgboost_document *doc, const char *at, const char *reason)
{
    err_set(doc->err, AUGURY_ERR_INVALID, "invalid_model", "%s", reason);
    err_at(doc->err, "%s", at);
    return AUGURY_ERR_INVALID;
}

int
xgboost_no_memory(struct xgboost_document *doc)
{
    err_set(doc->err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to read the model");
    return AUGURY_ERR_NOMEM;
}

static int
need(struct xgboost_document *doc, const struct wire_value *value, const char *key,
     enum wire_type type, const char *at, const struct wire_value **out_member)
{
    int rc = wire_need(value, key, type, out_member, doc->err);

    if (rc != 0) {
        err_at(doc->err, "%s", at);
    }
    return rc;
}

int
xgboost_read_param(struct xgboost_document *doc, const struct wire_value *object, const char *key,
                   uint32_t fallback, uint32_t *out_number)
{
    const struct wire_value *member = wire_member(object, key);
    uint64_t number = 0;
    int64_t integer = 0;

    if (member == NULL) {
        *out_number = fallback;
        return 0;
    }
    if (member->type == WIRE_STRING) {
        if (bytes_to_u64(wire_string(member), INT32_MAX, &number) != 0) {
            return xgboost_invalid(doc, key, "expected a text of digits, as \"12\"");
        }
    } else if (wire_to_i64(member, &integer) != 0 || integer < 0 || integer > INT32_MAX) {
        return xgboost_invalid(doc, key, "expected a count, as \"12\"");
    } else {
        number = (uint64_t)integer;
    }
    *out_number = (uint32_t)number;
    return 0;
}

/* ---- head ---------------------------------------------------------------------------------- */

static int
read_objective(struct xgboost_document *doc)
{
    const struct wire_value *objective = NULL;
    const struct wire_value *name = NULL;
    int rc = need(doc, doc->learner, "objective", WIRE_OBJECT, "learner", &objective);

    if (rc == 0) {
        rc = need(doc, objective, "name", WIRE_STRING, "learner.objective", &name);
    }
    if (rc != 0) {
        return rc;
    }
    struct bytes text = wire_string(name);
    doc->objective = objective_find(text);
    if (doc->objective == NULL) {
        rc = err_set(doc->err, AUGURY_ERR_UNSUPPORTED, "unknown_objective",
                     "objective \"%.*s\" is not known to this version of augury: how its margins "
                     "become predictions would be a guess",
                     (int)(text.len < 80 ? text.len : 80), (const char *)text.data);
        err_at(doc->err, "learner.objective.name");
    }
    return rc;
}

static int
read_counts(struct xgboost_document *doc, struct neutral_model *model)
{
    uint32_t classes = 0;
    uint32_t targets = 0;
    int rc = xgboost_read_param(doc, doc->param, "num_feature", 0, &model->feature_count);

    if (rc == 0) {
        rc = xgboost_read_param(doc, doc->param, "num_class", 0, &classes);
    }
    if (rc == 0) {
        rc = xgboost_read_param(doc, doc->param, "num_target", 1, &targets);
    }
    if (rc != 0) {
        return rc;
    }
    model->output_count = classes > targets ? classes : targets;
    model->output_count = model->output_count == 0 ? 1 : model->output_count;
    if (model->feature_count == 0 || model->feature_count > MODEL_FEATURES_MAX) {
        return xgboost_invalid(doc, "learner.learner_model_param.num_feature",
                               "augury reads models of 1 to 65535 features");
    }
    if (model->output_count > MODEL_OUTPUTS_MAX) {
        return xgboost_invalid(doc, "learner.learner_model_param.num_class",
                               "augury reads models of up to 4096 outputs");
    }
    return 0;
}

/* The part of a list "[4.9E-1,2.1E-1]" up to the next comma; what follows it goes to *rest. */
static struct bytes
next_in_list(struct bytes *rest)
{
    const uint8_t *comma = rest->len == 0 ? NULL : memchr(rest->data, ',', rest->len);
    size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->data);
    struct bytes item = bytes_of(rest->data, len);

    *rest = comma == NULL ? bytes_of(NULL, 0) : bytes_of(comma + 1, rest->len - len - 1);
    return item;
}

/* Scores as text: one, or a list of one for all or one an output. Returns how many there are, 0
 * for nonsense. */
static uint32_t
parse_scores(struct bytes text, uint32_t most, float *out_scores)
{
    uint32_t count = 0;

    text = text_trim(text);
    if (text.len >= 2 && text.data[0] == '[' && text.data[text.len - 1] == ']') {
        text = bytes_of(text.data + 1, text.len - 2);
    } else if (text.len > 0 && memchr(text.data, ',', text.len) != NULL) {
        return 0;
    }
    do {
        if (count == most || text_to_f32(next_in_list(&text), &out_scores[count]) != 0) {
            return 0;
        }
        count++;
    } while (text.data != NULL);
    return count;
}

static int
read_base_margins(struct xgboost_document *doc, struct neutral_model *model)
{
    const char *at = "learner.learner_model_param.base_score";
    const struct wire_value *member = wire_member(doc->param, "base_score");
    float *scores = arena_zalloc(&doc->import->arena, model->output_count, sizeof(float));
    double *margins = arena_zalloc(&doc->import->arena, model->output_count, sizeof(double));
    uint32_t count = 0;

    if (scores == NULL || margins == NULL) {
        return xgboost_no_memory(doc);
    }
    if (member != NULL && member->type == WIRE_STRING) {
        count = parse_scores(wire_string(member), model->output_count, scores);
    } else if (member != NULL && wire_to_f32(member, scores) == 0) {
        count = 1;
    }
    if (count == 0 || (count > 1 && count != model->output_count)) {
        return xgboost_invalid(
            doc, at,
            "expected a number in a text, \"5E-1\", or a list of one number or one an "
            "output, \"[4.9E-1,2.1E-1]\"");
    }
    for (uint32_t i = 0; i < model->output_count; i++) {
        float score = scores[count == 1 || model->kind == NEUTRAL_GBLINEAR ? 0 : i];
        float margin = objective_base_margin(doc->objective, score);
        if (!isfinite(margin)) {
            err_set(doc->err, AUGURY_ERR_INVALID, "invalid_model",
                    "%g is no base score of %s: it must lie in the range of its predictions",
                    (double)score, doc->objective->name);
            err_at(doc->err, "%s", at);
            return AUGURY_ERR_INVALID;
        }
        margins[i] = (double)margin;
    }
    model->base_margins = margins;
    return 0;
}

/* ---- gblinear ------------------------------------------------------------------------------ */

static int
read_weights(struct xgboost_document *doc, struct neutral_model *model)
{
    const struct wire_value *weights = wire_member(doc->model, "weights");
    size_t count = ((size_t)model->feature_count + 1) * model->output_count;

    int rc = import_refuse_iterations(doc->import, "a gblinear model", doc->err);
    if (rc != 0) {
        return rc;
    }
    if (wire_array_len(weights) != count) {
        return xgboost_invalid(doc, "learner.gradient_booster.model.weights",
                               "expected (features + 1) × outputs weights");
    }
    float *numbers = arena_zalloc(&doc->import->arena, count, sizeof(float));
    if (numbers == NULL) {
        return xgboost_no_memory(doc);
    }
    for (size_t i = 0; i < count; i++) {
        if (wire_array_f32(weights, i, &numbers[i]) != 0) {
            return xgboost_invalid(doc, "learner.gradient_booster.model.weights",
                                   "expected numbers alone");
        }
    }
    model->weights = numbers;
    return 0;
}

/* ---- the document -------------------------------------------------------------------------- */

static int
find_booster(struct xgboost_document *doc, struct neutral_model *model)
{
    const char *at = "learner.gradient_booster";
    const struct wire_value *name = NULL;
    int rc = need(doc, doc->booster, "name", WIRE_STRING, at, &name);

    if (rc != 0) {
        return rc;
    }
    struct bytes text = wire_string(name);
    const struct wire_value *inner = wire_member(doc->booster, "gbtree");
    if (bytes_equal_text(text, "dart")) {
        model->kind = NEUTRAL_DART;
    } else if (bytes_equal_text(text, "gblinear")) {
        model->kind = NEUTRAL_GBLINEAR;
    } else if (!bytes_equal_text(text, "gbtree")) {
        rc = err_set(doc->err, AUGURY_ERR_UNSUPPORTED, "unknown_booster",
                     "booster \"%.*s\" is not known; augury reads gbtree, dart and gblinear",
                     (int)(text.len < 80 ? text.len : 80), (const char *)text.data);
        err_at(doc->err, "%s.name", at);
        return rc;
    }
    return need(doc, inner != NULL ? inner : doc->booster, "model", WIRE_OBJECT, at, &doc->model);
}

static int
find_parts(struct xgboost_document *doc, const struct wire_value *root)
{
    if (wire_member(root, "learner") == NULL) {
        return xgboost_invalid(doc, "",
                               "there is no \"learner\": this is not what XGBoost's save_model() "
                               "writes (a dump_model() file is no model)");
    }
    int rc = need(doc, root, "learner", WIRE_OBJECT, "", &doc->learner);
    if (rc == 0) {
        rc = need(doc, doc->learner, "learner_model_param", WIRE_OBJECT, "learner", &doc->param);
    }
    if (rc == 0) {
        rc = need(doc, doc->learner, "gradient_booster", WIRE_OBJECT, "learner", &doc->booster);
    }
    if (rc == 0) {
        rc = read_objective(doc);
    }
    return rc;
}

/* "xgboost 1.7.4 json"; files of 1.0 may lack the version. */
static int
read_source(struct xgboost_document *doc, const struct wire_value *root,
            struct neutral_model *model)
{
    const struct wire_value *version = wire_member(root, "version");
    int64_t parts[3] = {0, 0, 0};
    char text[128];

    for (size_t i = 0; i < 3 && i < wire_array_len(version); i++) {
        if (wire_array_i64(version, i, &parts[i]) != 0 || parts[i] < 0 || parts[i] > 9999) {
            return xgboost_invalid(doc, "version", "expected three numbers, as [1, 7, 4]");
        }
    }
    snprintf(text, sizeof(text), "xgboost %lld.%lld.%lld %s", (long long)parts[0],
             (long long)parts[1], (long long)parts[2], doc->import->format);
    char *copy = arena_text(&doc->import->arena, bytes_of_text(text));
    if (copy == NULL) {
        return xgboost_no_memory(doc);
    }
    model->source = bytes_of_text(copy);
    return 0;
}

/* XGBoost 3.4 and later sort a row's quantiles, so that they do not cross; older ones leave them as
 * they are. */
static int
set_quantiles(struct xgboost_document *doc, const struct wire_value *root,
              struct neutral_model *model)
{
    const struct wire_value *version = wire_member(root, "version");
    int64_t major = 0;
    int64_t minor = 0;
    bool is_known = wire_array_len(version) >= 2 && wire_array_i64(version, 0, &major) == 0 &&
                    wire_array_i64(version, 1, &minor) == 0;

    if (!bytes_equal_text(model->objective, "reg:quantileerror") || model->output_count == 1 ||
        !is_known || major < 3 || (major == 3 && minor < 4)) {
        return 0;
    }
    model->flags |= NEUTRAL_SORTED;
    return model->output_count <= NEUTRAL_SORTED_MAX
               ? 0
               : xgboost_invalid(doc, "learner.learner_model_param.num_target",
                                 "augury reads models of up to 256 quantiles");
}

int
xgboost_read(struct import *import, const struct wire_value *document,
             struct neutral_model *out_model, struct err *err)
{
    struct xgboost_document doc = {.import = import, .err = err};
    struct neutral_model *model = out_model;
    int rc = find_parts(&doc, document);

    *model = (struct neutral_model){
        .kind = NEUTRAL_GBTREE,
        .number = MODEL_FLOAT32,
        .link_scale = 1.0,
        .leaf_width = 1,
        .divisor = 1.0,
    };
    if (rc == 0) {
        model->objective = bytes_of_text(doc.objective->name);
        model->link = doc.objective->link;
        rc = find_booster(&doc, model);
    }
    if (rc == 0) {
        rc = read_source(&doc, document, model);
    }
    if (rc == 0) {
        rc = read_counts(&doc, model);
    }
    if (rc == 0) {
        bool is_many = model->output_count > 1; /* labels, each with a probability of its own */
        model->flags =
            is_many ? doc.objective->flags & ~(unsigned)NEUTRAL_BINARY : doc.objective->flags;
        rc = read_base_margins(&doc, model);
    }
    if (rc == 0) {
        rc = set_quantiles(&doc, document, model);
    }
    if (rc == 0) {
        rc = model->kind == NEUTRAL_GBLINEAR ? read_weights(&doc, model)
                                             : xgboost_read_trees(&doc, model);
    }
    if (rc == 0) {
        rc = xgboost_read_schema(import, doc.learner, doc.model, model, err);
    }
    return rc;
}
