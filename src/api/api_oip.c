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
