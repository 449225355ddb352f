/* SPDX-License-Identifier: MIT */
/*
 * api_models.c - GET /api/v1/models and /api/v1/models/{model}: what the registry holds. The same
 * documents are the answers of `augury model list` and `augury model show`.
 */
#include "api_call.h"

#include <string.h>

enum { KEY_ID_SHOWN_BYTES = 8 };

static const char *const type_names[] = {
    [MODEL_FLOAT] = "float",
    [MODEL_INTEGER] = "integer",
    [MODEL_BOOLEAN] = "boolean",
    [MODEL_CATEGORY] = "category",
};

/* ---- parts ----------------------------------------------------------------------------------- */

/* "a,b" as ["a","b"]. */
static void
put_labels(struct wire_writer *writer, struct bytes labels)
{
    uint32_t count = labels.len > 0 ? 1 : 0;
    size_t begin = 0;

    for (size_t i = 0; i < labels.len; i++) {
        count += labels.data[i] == ',' ? 1 : 0;
    }
    wire_array(writer, count);
    for (size_t at = 0; count > 0 && at <= labels.len; at++) {
        if (at == labels.len || labels.data[at] == ',') {
            wire_put_string(writer, bytes_of(labels.data + begin, at - begin));
            begin = at + 1;
        }
    }
    wire_end(writer);
}

static void
put_digest(struct wire_writer *writer, struct digest digest)
{
    char hex[DIGEST_HEX_BYTES];

    digest_to_hex(digest, hex);
    wire_put_string(writer, bytes_of(hex, sizeof(hex)));
}

/* What the table of versions and the document of one model both begin with: 8 members. */
static void
put_version_members(struct wire_writer *writer, const struct registry_model *found)
{
    wire_key(writer, "name");
    wire_put_text(writer, found->entry.name);
    wire_key(writer, "version");
    api_put_version(writer, found->entry.version);
    wire_key(writer, "labels");
    put_labels(writer, found->entry.labels);
    wire_key(writer, "ready");
    wire_put_bool(writer, true); /* it has been opened */
    wire_key(writer, "objective");
    wire_put_string(writer, model_objective(&found->model));
    wire_key(writer, "trees");
    wire_put_u64(writer, found->model.tree_count);
    wire_key(writer, "imported");
    api_put_time(writer, found->entry.imported_wall_ms);
    wire_key(writer, "digest");
    put_digest(writer, found->model.content);
}

/* A version that does not open: what is known of it is what the record says. */
static void
put_damaged(struct wire_writer *writer, const struct registry_entry *entry)
{
    static const char *const unknown[] = {"objective", "trees"};

    wire_object(writer, 8);
    wire_key(writer, "name");
    wire_put_text(writer, entry->name);
    wire_key(writer, "version");
    api_put_version(writer, entry->version);
    wire_key(writer, "labels");
    put_labels(writer, entry->labels);
    wire_key(writer, "ready");
    wire_put_bool(writer, false);
    for (size_t i = 0; i < AUGURY_COUNT(unknown); i++) {
        wire_key(writer, unknown[i]);
        wire_put_null(writer);
    }
    wire_key(writer, "imported");
    if (entry->imported_wall_ms > 0) {
        api_put_time(writer, entry->imported_wall_ms);
    } else {
        wire_put_null(writer);
    }
    wire_key(writer, "digest");
    wire_put_null(writer);
    wire_end(writer);
}

/* Names in the order of the probabilities; null where there are none. */
static void
put_classes(struct wire_writer *writer, const struct model *model)
{
    uint32_t count = model_class_count(model);

    if (count == 0) {
        wire_put_null(writer);
        return;
    }
    wire_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_string(writer, model_class_name(model, i));
    }
    wire_end(writer);
}

static void
put_outputs(struct wire_writer *writer, const struct model *model)
{
    unsigned outputs = predict_outputs_of(model);

    wire_array(writer, (uint32_t)__builtin_popcount(outputs));
    for (unsigned bit = 1; bit <= outputs; bit <<= 1) {
        if ((outputs & bit) != 0) {
            wire_put_text(writer, predict_output_name((enum predict_outputs)bit));
        }
    }
    wire_end(writer);
}

static void
put_feature(struct wire_writer *writer, const struct model *model, uint32_t number)
{
    struct model_feature feature = model_feature(model, number);
    bool has_levels = feature.level_count > 0;

    wire_object(writer, 3u + (has_levels ? 1u : 0u) + (feature.is_unknown_allowed ? 1u : 0u));
    wire_key(writer, "name");
    wire_put_string(writer, feature.name);
    wire_key(writer, "type");
    wire_put_text(writer, type_names[feature.type]);
    wire_key(writer, "missing");
    wire_put_bool(writer, feature.is_missing_allowed);
    if (feature.is_unknown_allowed) {
        wire_key(writer, "unknown");
        wire_put_bool(writer, true);
    }
    if (has_levels) {
        wire_key(writer, "levels");
        wire_array(writer, feature.level_count);
        for (uint32_t i = 0; i < feature.level_count; i++) {
            wire_put_string(writer, model_feature_level(model, number, i));
        }
        wire_end(writer);
    }
    wire_end(writer);
}

/* The value of a group as a request would say it. */
static void
put_group_value(struct wire_writer *writer, const struct model *model, double value)
{
    uint32_t feature = (uint32_t)model_calibration(model).group_feature;
    uint32_t levels = model_feature(model, feature).level_count;

    if (value >= 0.0 && value < (double)levels) {
        wire_put_string(writer, model_feature_level(model, feature, (uint32_t)value));
    } else if (model->number == MODEL_FLOAT32) {
        wire_put_f32(writer, (float)value);
    } else {
        wire_put_f64(writer, value);
    }
}

static void
put_groups(struct wire_writer *writer, const struct model *model,
           const struct model_calibration *calibration)
{
    wire_object(writer, 2);
    wire_key(writer, "feature");
    wire_put_string(writer, model_feature(model, (uint32_t)calibration->group_feature).name);
    wire_key(writer, "groups");
    wire_array(writer, calibration->group_count);
    for (uint32_t i = 0; i < calibration->group_count; i++) {
        struct model_calibration_group group = model_calibration_group(model, i);
        wire_object(writer, 2);
        wire_key(writer, calibration->is_binned ? "from" : "value");
        put_group_value(writer, model, group.from);
        wire_key(writer, "rows");
        wire_put_u64(writer, group.row_count);
        wire_end(writer);
    }
    wire_end(writer);
    wire_end(writer);
}

void
api_put_calibration(struct wire_writer *writer, const struct model *model)
{
    static const char *const methods[] = {[MODEL_SCORE_RESIDUAL] = "residual",
                                          [MODEL_SCORE_CLASS] = "class",
                                          [MODEL_SCORE_QUANTILES] = "quantiles"};
    struct model_calibration calibration = model_calibration(model);

    if (calibration.score == MODEL_SCORE_NONE) {
        wire_put_null(writer);
        return;
    }
    wire_object(writer, 5);
    wire_key(writer, "method");
    wire_put_text(writer, methods[calibration.score]);
    wire_key(writer, "target");
    wire_put_string(writer, calibration.target);
    wire_key(writer, "rows");
    wire_put_u64(writer, calibration.row_count);
    wire_key(writer, "level_max"); /* (n + 1) × level <= n */
    wire_put_f64(writer, (double)calibration.row_count / (calibration.row_count + 1.0));
    wire_key(writer, "by");
    if (calibration.group_count > 0) {
        put_groups(writer, model, &calibration);
    } else {
        wire_put_null(writer);
    }
    wire_end(writer);
}

/* Which kernel answers a call of few rows, and which one of how many. */
static void
put_kernel(struct wire_writer *writer, const struct model *model)
{
    wire_object(writer, 3);
    wire_key(writer, "row");
    wire_put_text(writer, model_kernel(model, 1));
    wire_key(writer, "batch");
    wire_put_text(writer, model_kernel(model, SIZE_MAX));
    wire_key(writer, "batch_rows");
    wire_put_u64(writer, model->batch_rows_min);
    wire_end(writer);
}

static void
put_features(struct wire_writer *writer, const struct model *model)
{
    wire_array(writer, model->feature_count);
    for (uint32_t i = 0; i < model->feature_count; i++) {
        put_feature(writer, model, i);
    }
    wire_end(writer);
}

/* How many versions there are: of one name, or of all when name is NULL. */
static uint32_t
count_versions(const struct registry *registry, const char *name)
{
    const struct registry_entry *entry;
    uint32_t count = 0;

    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        count += name == NULL || strcmp(entry->name, name) == 0 ? 1 : 0;
    }
    return count;
}

/* None is opened: a damaged version does not hide its brothers. */
static void
put_versions(struct wire_writer *writer, const struct registry *registry, const char *name)
{
    const struct registry_entry *entry;

    wire_array(writer, count_versions(registry, name));
    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        if (strcmp(entry->name, name) != 0) {
            continue;
        }
        wire_object(writer, 3);
        wire_key(writer, "version");
        api_put_version(writer, entry->version);
        wire_key(writer, "labels");
        put_labels(writer, entry->labels);
        wire_key(writer, "imported");
        api_put_time(writer, entry->imported_wall_ms);
        wire_end(writer);
    }
    wire_end(writer);
}

static void
put_hex(struct wire_writer *writer, const uint8_t *data, size_t len)
{
    char hex[2 * REGISTRY_SHA256_BYTES];

    AUGURY_ASSERT(len <= REGISTRY_SHA256_BYTES);
    hex_encode(bytes_of(data, len), hex);
    wire_put_string(writer, bytes_of(hex, 2 * len));
}

/* Null where nobody signed, or nothing was asked. */
static void
put_evidence(struct wire_writer *writer, const struct registry_evidence *evidence)
{
    wire_key(writer, "signature");
    if (evidence->signer[0] == '\0') {
        wire_put_null(writer);
    } else {
        wire_object(writer, 3);
        wire_key(writer, "signer");
        wire_put_text(writer, evidence->signer);
        wire_key(writer, "key_id");
        put_hex(writer, evidence->key_id, KEY_ID_SHOWN_BYTES);
        wire_key(writer, "manifest_sha256");
        put_hex(writer, evidence->manifest_sha256, sizeof(evidence->manifest_sha256));
        wire_end(writer);
    }
    wire_key(writer, "golden");
    if (evidence->golden_rows == 0) {
        wire_put_null(writer);
        return;
    }
    wire_object(writer, 3);
    wire_key(writer, "rows");
    wire_put_u64(writer, evidence->golden_rows);
    wire_key(writer, "tolerance");
    wire_put_f64(writer, evidence->golden_tolerance);
    wire_key(writer, "sha256");
    put_hex(writer, evidence->golden_sha256, sizeof(evidence->golden_sha256));
    wire_end(writer);
}

/* ---- documents ------------------------------------------------------------------------------- */

void
api_split_name(struct bytes text, struct bytes *out_name, struct bytes *out_selector)
{
    const uint8_t *at = text.len > 0 ? memchr(text.data, '@', text.len) : NULL;
    size_t len = at != NULL ? (size_t)(at - text.data) : text.len;

    *out_name = bytes_of(text.data, len);
    *out_selector = at != NULL ? bytes_of(at + 1, text.len - len - 1) : bytes_of(NULL, 0);
}

void
api_put_time(struct wire_writer *writer, uint64_t wall_ms)
{
    char text[CLOCK_ISO_BYTES];

    clock_to_iso(wall_ms, text);
    wire_put_string(writer, bytes_of(text, sizeof(text)));
}

void
api_put_version(struct wire_writer *writer, uint32_t version)
{
    char text[U64_TEXT_MAX];

    wire_put_string(writer, bytes_of(text, u64_to_text(version, text)));
}

void
api_put_models(struct wire_writer *writer, struct registry *registry)
{
    const struct registry_model *found;
    struct err damage;
    int rc;

    wire_object(writer, 1);
    wire_key(writer, "models");
    wire_array(writer, count_versions(registry, NULL));
    for (size_t i = 0; (rc = registry_each(registry, i, &found, &damage)) != AUGURY_END; i++) {
        if (rc != 0) {
            put_damaged(writer, &found->entry);
            continue;
        }
        wire_object(writer, 8);
        put_version_members(writer, found);
        wire_end(writer);
    }
    wire_end(writer);
    wire_end(writer);
}

void
api_put_model(struct wire_writer *writer, const struct registry *registry,
              const struct registry_model *found, const char *warning)
{
    const struct model *model = &found->model;

    wire_object(writer, 23 + (warning != NULL ? 1 : 0));
    put_version_members(writer, found);
    if (warning != NULL) {
        wire_key(writer, "warning");
        wire_put_text(writer, warning);
    }
    wire_key(writer, "kind");
    wire_put_text(writer, model_kind(model));
    wire_key(writer, "source");
    wire_put_string(writer, model_source(model));
    wire_key(writer, "source_sha256");
    wire_put_text(writer, found->entry.source_sha256);
    wire_key(writer, "source_bytes");
    wire_put_u64(writer, found->entry.source_bytes);
    wire_key(writer, "compiled_bytes");
    wire_put_u64(writer, found->entry.blob_bytes);
    put_evidence(writer, &found->entry.evidence);
    wire_key(writer, "margins");
    wire_put_u64(writer, model->output_count);
    wire_key(writer, "number");
    wire_put_text(writer, model->number == MODEL_FLOAT32 ? "float32" : "float64");
    wire_key(writer, "kernel");
    put_kernel(writer, model);
    wire_key(writer, "classes");
    put_classes(writer, model);
    wire_key(writer, "outputs");
    put_outputs(writer, model);
    wire_key(writer, "calibration");
    api_put_calibration(writer, model);
    wire_key(writer, "versions");
    put_versions(writer, registry, found->entry.name);
    wire_key(writer, "features");
    put_features(writer, model);
    wire_end(writer);
}

/* ---- handlers -------------------------------------------------------------------------------- */

static int
begin_snapshot(struct api_call *call, struct registry *registry)
{
    int rc = registry_snapshot_begin(registry);

    if (rc != 0) {
        return err_set(&call->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    return 0;
}

unsigned
api_get_models(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    int rc = begin_snapshot(call, registry);

    if (rc != 0) {
        return api_refuse(call, rc);
    }
    api_put_models(&call->writer, registry);
    registry_snapshot_end(registry);
    call->is_tagged = true;
    return 200;
}

unsigned
api_get_model(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    const struct registry_model *found;
    struct bytes name;
    struct bytes selector;
    int rc = begin_snapshot(call, registry);

    if (rc != 0) {
        return api_refuse(call, rc);
    }
    api_split_name(call->parameter, &name, &selector);
    rc = registry_find(registry, name, selector, &found, &call->err);
    if (rc == 0) {
        api_put_model(&call->writer, registry, found, NULL);
    }
    unsigned status = rc == 0 ? 200 : api_refuse(call, rc);
    registry_snapshot_end(registry);
    call->is_tagged = true;
    return status;
}
