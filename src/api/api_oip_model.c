/* SPDX-License-Identifier: MIT */
/*
 * api_oip_model.c - one model to the Open Inference Protocol: its tensors, as the metadata of the
 * protocol and as the configuration that clients of Triton read; whether it can answer.
 */
#include "api_oip.h"

#include <stdio.h>
#include <string.h>

static int
model_begin(struct api_call *call, const struct registry_model **out_found)
{
    struct registry *registry = call->api->options.predict->registry;
    struct bytes name, selector;
    int rc = registry_snapshot_begin(registry);

    if (rc != 0) {
        return err_set(&call->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    oip_split_model(call, &name, &selector);
    rc = registry_find(registry, name, selector, out_found, &call->err);
    if (rc != 0) {
        registry_snapshot_end(registry);
    }
    return rc;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* How tensors are told: metadata names the rows as well, a configuration has its own words. */
enum heads { HEADS_OF_METADATA, HEADS_OF_CONFIG };

static void
put_type(struct wire_writer *writer, enum heads heads, enum tensor_type type)
{
    char name[16];

    if (heads == HEADS_OF_METADATA) {
        wire_key(writer, "datatype");
        wire_put_text(writer, api_tensor_type_name(type));
        return;
    }
    snprintf(name, sizeof(name), "TYPE_%s",
             type == TENSOR_BYTES ? "STRING" : api_tensor_type_name(type));
    wire_key(writer, "data_type");
    wire_put_text(writer, name);
}

/* One tensor's name, type and shape; rows are variable. */
static void
put_tensor_head(struct wire_writer *writer, enum heads heads, struct bytes name,
                enum tensor_type type, struct oip_shape shape)
{
    bool has_rows = heads == HEADS_OF_METADATA;

    wire_object(writer, 3);
    wire_key(writer, "name");
    wire_put_string(writer, name);
    put_type(writer, heads, type);
    wire_key(writer, has_rows ? "shape" : "dims");
    wire_array(writer, (has_rows ? 1 : 0) + shape.count);
    if (has_rows) {
        wire_put_i64(writer, -1);
    }
    for (uint32_t i = 0; i < shape.count; i++) {
        wire_put_u64(writer, shape.dims[i]);
    }
    wire_end(writer);
    wire_end(writer);
}

static bool
has_texts(const struct model *model)
{
    for (uint32_t i = 0; i < model->feature_count; i++) {
        if (model_feature_kind(model, i).level_count > 0) {
            return true;
        }
    }
    return false;
}

/* Numbers alone are one tensor; with texts among them each feature is one. */
static void
put_inputs(struct api_call *call, enum heads heads, const struct registry_model *found)
{
    const char *name = oip_input_name(call->api->options.conf, bytes_of_text(found->entry.name));
    const struct model *model = &found->model;
    struct wire_writer *writer = &call->writer;
    enum tensor_type number = model->number == MODEL_FLOAT32 ? TENSOR_FP32 : TENSOR_FP64;

    if (!has_texts(model)) {
        wire_array(writer, 1);
        put_tensor_head(writer, heads, bytes_of_text(name), number,
                        (struct oip_shape){1, {model->feature_count}});
        wire_end(writer);
        return;
    }
    wire_array(writer, model->feature_count);
    for (uint32_t i = 0; i < model->feature_count; i++) {
        bool is_text = model_feature_kind(model, i).level_count > 0;
        put_tensor_head(writer, heads, model_feature(model, i).name,
                        is_text ? TENSOR_BYTES : number, (struct oip_shape){1, {1}});
    }
    wire_end(writer);
}

static void
put_outputs(struct api_call *call, enum heads heads, const struct registry_model *found)
{
    const struct conf *conf = call->api->options.conf;
    const struct model *model = &found->model;
    struct wire_writer *writer = &call->writer;
    unsigned outputs = predict_outputs_of(model) & ~(unsigned)PREDICT_REASONS;

    wire_array(writer, (uint32_t)__builtin_popcount(outputs));
    for (unsigned bit = 1; bit <= outputs; bit <<= 1) {
        enum predict_outputs output = (enum predict_outputs)bit;
        if ((outputs & bit) != 0) {
            const char *name = oip_output_name(conf, bytes_of_text(found->entry.name), output);
            put_tensor_head(writer, heads, bytes_of_text(name), oip_output_type(model, output),
                            oip_output_shape(model, output));
        }
    }
    wire_end(writer);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void
put_version_names(struct wire_writer *writer, const struct registry *registry, const char *name)
{
    const struct registry_entry *entry;
    uint32_t count = 0;

    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        count += strcmp(entry->name, name) == 0 ? 1 : 0;
    }
    wire_array(writer, count);
    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        if (strcmp(entry->name, name) == 0) {
            api_put_version(writer, entry->version);
        }
    }
    wire_end(writer);
}

/* Both documents of a model begin with its name, and have six members. */
static int
document_begin(struct api_call *call, const struct registry_model **out_found)
{
    api_call_form(call, WIRE_JSON);
    int rc = model_begin(call, out_found);
    if (rc == 0) {
        wire_object(&call->writer, 6);
        wire_key(&call->writer, "name");
        wire_put_text(&call->writer, (*out_found)->entry.name);
    }
    return rc;
}

unsigned
api_get_oip_model(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    struct wire_writer *writer = &call->writer;
    const struct registry_model *found;

    int rc = document_begin(call, &found);
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    wire_key(writer, "versions");
    put_version_names(writer, registry, found->entry.name);
    wire_key(writer, "platform");
    wire_put_text(writer, "augury");
    wire_key(writer, "inputs");
    put_inputs(call, HEADS_OF_METADATA, found);
    wire_key(writer, "outputs");
    put_outputs(call, HEADS_OF_METADATA, found);
    wire_key(writer, "properties");
    wire_object(writer, 2);
    wire_key(writer, "objective");
    wire_put_string(writer, model_objective(&found->model));
    wire_key(writer, "source");
    wire_put_string(writer, model_source(&found->model));
    wire_end(writer);
    wire_end(writer);
    registry_snapshot_end(registry);
    return 200;
}

/* What clients of Triton ask before they send tensors, and its perf_analyzer. */
unsigned
api_get_oip_config(struct api_call *call)
{
    struct wire_writer *writer = &call->writer;
    const struct registry_model *found;

    int rc = document_begin(call, &found);
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    wire_key(writer, "platform");
    wire_put_text(writer, "augury");
    wire_key(writer, "backend");
    wire_put_text(writer, "augury");
    wire_key(writer, "max_batch_size");
    wire_put_u64(writer, call->api->options.conf->limits.rows);
    wire_key(writer, "input");
    put_inputs(call, HEADS_OF_CONFIG, found);
    wire_key(writer, "output");
    put_outputs(call, HEADS_OF_CONFIG, found);
    wire_end(writer);
    registry_snapshot_end(call->api->options.predict->registry);
    return 200;
}

/* A damaged version is there, and cannot answer: its clients are told to come again, not that they
 * have made a mistake. */
static unsigned
answer_not_ready(struct api_call *call)
{
    struct wire_writer *writer = &call->writer;
    struct bytes name, selector;

    oip_split_model(call, &name, &selector);
    wire_object(writer, 5);
    wire_key(writer, "name");
    wire_put_string(writer, name);
    wire_key(writer, "ready");
    wire_put_bool(writer, false);
    wire_key(writer, "error");
    wire_put_text(writer, call->err.reason);
    wire_key(writer, "code");
    wire_put_text(writer, call->err.code);
    wire_key(writer, "at");
    wire_put_text(writer, call->err.at);
    wire_end(writer);
    buf_put_text(call->answer->headers, "Retry-After: 1\r\n");
    return 503;
}

unsigned
api_get_oip_model_ready(struct api_call *call)
{
    const struct registry_model *found;

    api_call_form(call, WIRE_JSON);
    int rc = model_begin(call, &found);
    if (rc == AUGURY_ERR_CORRUPT) {
        return answer_not_ready(call);
    }
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    wire_object(&call->writer, 2);
    wire_key(&call->writer, "name");
    wire_put_text(&call->writer, found->entry.name);
    wire_key(&call->writer, "ready");
    wire_put_bool(&call->writer, true);
    wire_end(&call->writer);
    registry_snapshot_end(call->api->options.predict->registry);
    return 200;
}
