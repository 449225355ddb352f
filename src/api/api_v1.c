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

static void
put_version_status(struct wire_writer *writer, const struct registry_entry *entry)
{
    wire_object(writer, 3);
    wire_key(writer, "version");
    api_put_version(writer, entry->version);
    wire_key(writer, "state");
    wire_put_text(writer, "AVAILABLE");
    wire_key(writer, "status");
    wire_object(writer, 2);
    wire_key(writer, "error_code");
    wire_put_text(writer, "OK");
    wire_key(writer, "error_message");
    wire_put_text(writer, "");
    wire_end(writer);
    wire_end(writer);
}

/* Of one version when one is asked for, else of all; the highest first. */
static void
put_statuses(struct wire_writer *writer, const struct registry *registry,
             const struct registry_model *found, bool is_one)
{
    const struct registry_entry *entry;
    uint32_t count = 0;

    for (size_t i = 0; (entry = registry_entry_at(registry, i)) != NULL; i++) {
        count += strcmp(entry->name, found->entry.name) == 0 ? 1 : 0;
    }
    wire_array(writer, is_one ? 1 : count);
    if (is_one) {
        put_version_status(writer, &found->entry);
    }
    for (size_t i = 0; !is_one && (entry = registry_entry_at(registry, i)) != NULL; i++) {
        if (strcmp(entry->name, found->entry.name) == 0) {
            put_version_status(writer, entry);
        }
    }
    wire_end(writer);
}

unsigned
api_get_v1_model(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    struct wire_writer *writer = &call->writer;
    const struct registry_model *found;
    struct bytes name, selector;

    api_call_form(call, WIRE_JSON);
    split_model(call, &name, &selector);
    int rc = registry_snapshot_begin(registry);
    if (rc != 0) {
        err_set(&call->err, rc, "registry_unreadable", "the model environment cannot be read: %s",
                augury_strerror(rc));
        return api_refuse(call, rc);
    }
    rc = registry_find(registry, name, selector, &found, &call->err);
    if (rc == 0) {
        wire_object(writer, 3);
        wire_key(writer, "name");
        wire_put_text(writer, found->entry.name);
        wire_key(writer, "ready");
        wire_put_bool(writer, true);
        wire_key(writer, "model_version_status");
        put_statuses(writer, registry, found, selector.len > 0);
        wire_end(writer);
    }
    unsigned status = rc == 0 ? 200 : api_refuse(call, rc);
    registry_snapshot_end(registry);
    return status;
}
