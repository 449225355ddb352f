/* SPDX-License-Identifier: MIT */
/*
 * api_v1.c - the v1 protocol of TensorFlow Serving and KServe: `:predict` with "instances" (rows)
 * or "inputs" (columns), by version or label, and the state of models.
 */
#include "api_tables.h"

#include <string.h>

static void
split_model(const struct api_call *call, struct bytes *out_name, struct bytes *out_selector)
{
    *out_name = call->parameter;
    *out_selector = call->parameter2;
}

/* state: bool, whether "inputs" were asked with, which "outputs" answer. */
static int
decode(struct api_call *call, void *state, struct predict_question *question)
{
    bool *is_columnar = state;
    struct wire_value document;

    split_model(call, &question->model, &question->selector);
    int rc = api_decode_object(call, &document);
    if (rc != 0) {
        return rc;
    }
    const struct wire_value *instances = wire_member(&document, "instances");
    const struct wire_value *inputs = wire_member(&document, "inputs");
    if ((instances == NULL) == (inputs == NULL)) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "expected either \"instances\" (rows) or \"inputs\" (columns), got %s",
                       instances == NULL ? "neither" : "both");
    }
    *is_columnar = inputs != NULL;
    if (instances != NULL) {
        return api_table_rows(call, "instances", instances, question);
    }
    return inputs->type == WIRE_OBJECT ? api_table_columns(call, "inputs", inputs, question)
                                       : api_table_rows(call, "inputs", inputs, question);
}

static void
put(struct api_call *call, const void *state, const struct predict_answer *answer)
{
    const bool *is_columnar = state;

    wire_object(&call->writer, 1);
    wire_key(&call->writer, *is_columnar ? "outputs" : "predictions");
    api_put_table(&call->writer, answer);
    wire_end(&call->writer);
}

static void *
keep(const void *state, struct arena *arena)
{
    bool *copy = arena_alloc(arena, sizeof(*copy));

    if (copy != NULL) {
        *copy = *(const bool *)state;
    }
    return copy;
}

unsigned
api_post_v1_predict(struct api_call *call)
{
    static const struct api_dialect v1 = {decode, put, api_refuse, .keep = keep};
    bool is_columnar = false;

    api_call_form(call, WIRE_JSON);
    return api_answer_question(call, &v1, &is_columnar);
}

/* A damaged version has ended, in that protocol's words. */
static void
put_version_status(struct wire_writer *writer, const struct registry_entry *entry, bool is_ready)
{
    wire_object(writer, 3);
    wire_key(writer, "version");
    api_put_version(writer, entry->version);
    wire_key(writer, "state");
    wire_put_text(writer, is_ready ? "AVAILABLE" : "END");
    wire_key(writer, "status");
    wire_object(writer, 2);
    wire_key(writer, "error_code");
    wire_put_text(writer, is_ready ? "OK" : "DATA_LOSS");
    wire_key(writer, "error_message");
    wire_put_text(writer, is_ready ? "" : "the stored version is damaged");
    wire_end(writer);
    wire_end(writer);
}

/* Of the version found alone, or of all of its name. */
static bool
is_shown(const struct registry_entry *entry, const struct registry_entry *found, bool is_one)
{
    return strcmp(entry->name, found->name) == 0 && (!is_one || entry->version == found->version);
}

/* *out_is_ready: whether the version found can answer. */
static void
put_statuses(struct wire_writer *writer, struct registry *registry,
             const struct registry_entry *found, bool is_one, bool *out_is_ready)
{
    const struct registry_model *model;
    const struct registry_entry *entry;
    struct err damage;
    uint32_t count = 0;

    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        count += is_shown(entry, found, is_one) ? 1 : 0;
    }
    wire_array(writer, count);
    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        if (is_shown(entry, found, is_one)) {
            bool is_ready = registry_each(registry, i, &model, &damage) == 0;
            put_version_status(writer, entry, is_ready);
            *out_is_ready = entry->version == found->version ? is_ready : *out_is_ready;
        }
    }
    wire_end(writer);
}

unsigned
api_get_v1_model(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    struct wire_writer *writer = &call->writer;
    const struct registry_entry *found;
    struct bytes name, selector;
    bool is_ready = true;

    api_call_form(call, WIRE_JSON);
    split_model(call, &name, &selector);
    int rc = registry_snapshot_begin(registry);
    if (rc != 0) {
        err_set(&call->err, rc, "registry_unreadable", "the model environment cannot be read: %s",
                augury_strerror(rc));
        return api_refuse(call, rc);
    }
    rc = registry_find_entry(registry, name, selector, &found, &call->err);
    if (rc == 0) {
        wire_object(writer, 3);
        wire_key(writer, "name");
        wire_put_text(writer, found->name);
        wire_key(writer, "model_version_status");
        put_statuses(writer, registry, found, selector.len > 0, &is_ready);
        wire_key(writer, "ready");
        wire_put_bool(writer, is_ready);
        wire_end(writer);
    }
    unsigned status = rc != 0 ? api_refuse(call, rc) : is_ready ? 200 : 503;
    registry_snapshot_end(registry);
    return status;
}
