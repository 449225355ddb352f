/* SPDX-License-Identifier: MIT */
/*
 * api_oip_repository.c - the model repository extension of the Open Inference Protocol: its index,
 * load and unload. What has been imported is served by every worker at once, so that loading it
 * asks whether it is there; taking it away is for `augury model unload` (decision 034).
 */
#include "api_oip.h"

static int
snapshot_begin(struct api_call *call)
{
    int rc = registry_snapshot_begin(call->api->options.predict->registry);

    return rc == 0 ? 0
                   : err_set(&call->err, rc, "registry_unreadable",
                             "the model environment cannot be read: %s", augury_strerror(rc));
}

/* ---- index ----------------------------------------------------------------------------------- */

/* {"ready": true} leaves out what is not. */
static int
index_wish(struct api_call *call, bool *out_ready_alone)
{
    struct wire_limits limits = {.depth = call->api->options.conf->limits.json_depth,
                                 .values = call->body.len + 1};
    struct wire_value document;

    *out_ready_alone = false;
    if (call->body.len == 0) {
        return 0;
    }
    int rc = wire_decode(WIRE_JSON, call->body, &limits, &call->api->arena, &document, &call->err);
    const struct wire_value *ready = rc == 0 ? wire_member(&document, "ready") : NULL;
    if (rc == 0 && ready != NULL && ready->type != WIRE_BOOL) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                "ready: expected true or false, got %s", wire_type_name(ready));
        return err_at(&call->err, "ready");
    }
    *out_ready_alone = ready != NULL && ready->as.boolean;
    return rc;
}

static void
put_index_entry(struct wire_writer *writer, const struct registry_entry *entry, bool is_ready)
{
    wire_object(writer, 4);
    wire_key(writer, "name");
    wire_put_text(writer, entry->name);
    wire_key(writer, "version");
    api_put_version(writer, entry->version);
    wire_key(writer, "state");
    wire_put_text(writer, is_ready ? "READY" : "UNAVAILABLE");
    wire_key(writer, "reason");
    wire_put_text(writer, is_ready ? "" : "the stored version is damaged");
    wire_end(writer);
}

static void
put_index(struct api_call *call, struct registry *registry, bool is_ready_alone)
{
    const struct registry_model *found;
    struct err damage;
    uint32_t count = 0;

    for (int pass = 0; pass < 2; pass++) {
        int rc = registry_each(registry, 0, &found, &damage);
        for (size_t i = 0; rc != AUGURY_END; rc = registry_each(registry, ++i, &found, &damage)) {
            if (rc != 0 && is_ready_alone) {
                continue;
            }
            if (pass == 0) {
                count++;
            } else {
                put_index_entry(&call->writer, registry_entry_at(registry, i), rc == 0);
            }
        }
        if (pass == 0) {
            wire_array(&call->writer, count);
        }
    }
    wire_end(&call->writer);
}

unsigned
api_post_oip_index(struct api_call *call)
{
    bool is_ready_alone;

    api_call_form(call, WIRE_JSON);
    int rc = index_wish(call, &is_ready_alone);
    if (rc == 0) {
        rc = snapshot_begin(call);
    }
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    put_index(call, call->api->options.predict->registry, is_ready_alone);
    registry_snapshot_end(call->api->options.predict->registry);
    return 200;
}

/* ---- load and unload ------------------------------------------------------------------------- */

static void
put_done(struct wire_writer *writer, const char *name, const char *what)
{
    wire_object(writer, 2);
    wire_key(writer, "name");
    wire_put_text(writer, name);
    wire_key(writer, what);
    wire_put_bool(writer, true);
    wire_end(writer);
}

/* Triton's clients may send a configuration or files along: these would be ignored, so they are
 * refused. */
static int
load_wish(struct api_call *call)
{
    struct wire_limits limits = {.depth = call->api->options.conf->limits.json_depth,
                                 .values = call->body.len + 1};
    struct wire_value document;

    if (call->body.len == 0) {
        return 0;
    }
    int rc = wire_decode(WIRE_JSON, call->body, &limits, &call->api->arena, &document, &call->err);
    const struct wire_value *parameters = rc == 0 ? wire_member(&document, "parameters") : NULL;
    if (rc == 0 && parameters != NULL && parameters->type == WIRE_OBJECT && parameters->count > 0) {
        err_set(&call->err, AUGURY_ERR_UNSUPPORTED, "unsupported_parameter",
                "a model is loaded as it was imported, without configuration or files; "
                "`augury model import` brings others");
        (void)err_at(&call->err, "parameters");
        return AUGURY_ERR_UNSUPPORTED;
    }
    return rc;
}

unsigned
api_post_oip_load(struct api_call *call)
{
    struct registry *registry = call->api->options.predict->registry;
    const struct registry_model *found;
    struct bytes name, selector;

    api_call_form(call, WIRE_JSON);
    int rc = load_wish(call);
    if (rc == 0) {
        rc = snapshot_begin(call);
    }
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    oip_split_model(call, &name, &selector);
    rc = registry_find(registry, name, selector, &found, &call->err);
    if (rc == 0) {
        put_done(&call->writer, found->entry.name, "load");
    }
    unsigned status = rc == 0 ? 200 : api_refuse(call, rc);
    registry_snapshot_end(registry);
    return status;
}

unsigned
api_post_oip_unload(struct api_call *call)
{
    const struct registry_entry *entry;
    struct bytes name, selector;

    api_call_form(call, WIRE_JSON);
    int rc = snapshot_begin(call);
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    oip_split_model(call, &name, &selector);
    rc = registry_find_entry(call->api->options.predict->registry, name, selector, &entry,
                             &call->err);
    registry_snapshot_end(call->api->options.predict->registry);
    if (rc != 0) {
        return api_refuse(call, rc);
    }
    return api_refuse_as(call, 403, "not_writable",
                         "models are not taken away over HTTP; `augury model unload %.*s` does it",
                         (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
}
