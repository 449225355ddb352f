/* SPDX-License-Identifier: MIT */
/*
 * api_oip.c - the calls of the Open Inference Protocol, v2 (REST): what KServe, MLServer and Triton
 * clients speak. Their answers are JSON whatever Accept says; errors are {"error": …} with our code
 * and place beside it.
 */
#include "api_oip.h"

#include <string.h>

/* ---- the model asked for --------------------------------------------------------------------- */

void
oip_split_model(const struct api_call *call, struct bytes *out_name, struct bytes *out_selector)
{
    api_split_name(call->parameter, out_name, out_selector);
    if (call->parameter2.len > 0) {
        *out_selector = call->parameter2;
    }
}

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

/* ---- infer ----------------------------------------------------------------------------------- */

static int
decode(struct api_call *call, void *state, struct predict_question *question)
{
    struct oip_request *request = state;

    oip_split_model(call, &question->model, &question->selector);
    int rc = oip_decode(call, request, question);
    for (size_t i = 0; rc == 0 && i < request->output_count; i++) {
        if (request->outputs[i].is_binary) {
            call->response.has_key = false; /* a rendered answer has no header of its own */
        }
    }
    return rc;
}

static void
put(struct api_call *call, const void *state, const struct predict_answer *answer)
{
    oip_put_answer(call, state, answer);
}

static bool
keep_text(struct bytes *text, struct arena *arena)
{
    char *copy = arena_text(arena, *text);

    *text = bytes_of(copy, text->len);
    return copy != NULL;
}

/* What a request says of its answer, with the texts. */
static void *
keep(const void *state, struct arena *arena)
{
    struct oip_request *copy = arena_alloc(arena, sizeof(*copy));
    const struct oip_request *request = state;

    if (copy == NULL) {
        return NULL;
    }
    *copy = *request;
    bool is_whole = keep_text(&copy->id, arena);
    for (size_t i = 0; is_whole && i < copy->output_count; i++) {
        is_whole = keep_text(&copy->outputs[i].name, arena);
    }
    return is_whole ? copy : NULL;
}

/* The header says where in the body the document ends. */
static bool
is_repeatable(const struct api_call *call)
{
    return http_header_find(call->request, "inference-header-content-length").len == 0;
}

unsigned
api_post_oip_infer(struct api_call *call)
{
    static const struct api_dialect oip = {decode, put, api_refuse, is_repeatable, .keep = keep};
    struct oip_request request;

    api_call_form(call, WIRE_JSON);
    return api_answer_question(call, &oip, &request);
}

/* ---- metadata -------------------------------------------------------------------------------- */

unsigned
api_get_oip_server(struct api_call *call)
{
    static const char *const extensions[] = {"binary_tensor_data", "model_repository", "parameters",
                                             "statistics"};
    struct wire_writer *writer = &call->writer;

    api_call_form(call, WIRE_JSON);
    wire_object(writer, 3);
    wire_key(writer, "name");
    wire_put_text(writer, "augury");
    wire_key(writer, "version");
    wire_put_text(writer, PACKAGE_VERSION);
    wire_key(writer, "extensions");
    wire_array(writer, AUGURY_COUNT(extensions));
    for (size_t i = 0; i < AUGURY_COUNT(extensions); i++) {
        wire_put_text(writer, extensions[i]);
    }
    wire_end(writer);
    wire_end(writer);
    return 200;
}

/* One tensor's name, type and shape; rows are variable. */
static void
put_tensor_head(struct wire_writer *writer, struct bytes name, enum tensor_type type,
                uint32_t width)
{
    wire_object(writer, 3);
    wire_key(writer, "name");
    wire_put_string(writer, name);
    wire_key(writer, "datatype");
    wire_put_text(writer, api_tensor_type_name(type));
    wire_key(writer, "shape");
    wire_array(writer, 2);
    wire_put_i64(writer, -1);
    wire_put_u64(writer, width);
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
put_inputs(struct wire_writer *writer, const struct model *model, const char *name)
{
    enum tensor_type number = model->number == MODEL_FLOAT32 ? TENSOR_FP32 : TENSOR_FP64;

    if (!has_texts(model)) {
        wire_array(writer, 1);
        put_tensor_head(writer, bytes_of_text(name), number, model->feature_count);
        wire_end(writer);
        return;
    }
    wire_array(writer, model->feature_count);
    for (uint32_t i = 0; i < model->feature_count; i++) {
        bool is_text = model_feature_kind(model, i).level_count > 0;
        put_tensor_head(writer, model_feature(model, i).name, is_text ? TENSOR_BYTES : number, 1);
    }
    wire_end(writer);
}

static void
put_outputs(struct api_call *call, const struct registry_model *found)
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
            put_tensor_head(writer, bytes_of_text(name), oip_output_type(model, output),
                            oip_output_width(model, output));
        }
    }
    wire_end(writer);
}

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

unsigned
api_get_oip_model(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    struct wire_writer *writer = &call->writer;
    const struct registry_model *found;

    api_call_form(call, WIRE_JSON);
    int rc = model_begin(call, &found);
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    wire_object(writer, 6);
    wire_key(writer, "name");
    wire_put_text(writer, found->entry.name);
    wire_key(writer, "versions");
    put_version_names(writer, registry, found->entry.name);
    wire_key(writer, "platform");
    wire_put_text(writer, "augury");
    wire_key(writer, "inputs");
    put_inputs(writer, &found->model,
               oip_input_name(call->api->options.conf, bytes_of_text(found->entry.name)));
    wire_key(writer, "outputs");
    put_outputs(call, found);
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

/* ---- lists ----------------------------------------------------------------------------------- */

/* One entry a model, not a version: entries stand by name. */
static bool
is_first_of_name(const struct registry *registry, size_t i)
{
    return i == 0 || strcmp(registry_entry_at(registry, i - 1)->name,
                            registry_entry_at(registry, i)->name) != 0;
}

unsigned
api_get_oip_models(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    struct wire_writer *writer = &call->writer;
    const struct registry_entry *entry;
    uint32_t count = 0;

    api_call_form(call, WIRE_JSON);
    int rc = registry_snapshot_begin(registry);
    if (rc != 0) {
        err_set(&call->err, rc, "registry_unreadable", "the model environment cannot be read: %s",
                augury_strerror(rc));
        return api_refuse(call, rc);
    }
    for (size_t i = 0; registry_entry_at(registry, i) != NULL; i++) {
        count += is_first_of_name(registry, i) ? 1 : 0;
    }
    wire_object(writer, 1);
    wire_key(writer, "models");
    wire_array(writer, count);
    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        if (is_first_of_name(registry, i)) {
            wire_put_text(writer, entry->name);
        }
    }
    wire_end(writer);
    wire_end(writer);
    registry_snapshot_end(registry);
    return 200;
}
