/* SPDX-License-Identifier: MIT */
/*
 * api_mlflow.c - MLflow's scoring protocol: POST /invocations with one of its four JSON forms of a
 * table, or CSV with names of features in its first line; its errors, /version. The model is named
 * in the path (/models/{model}/invocations); the bare path answers where there is one model alone.
 */
#include "api_tables.h"

#include <string.h>

/* MLflow's words for a status. */
static const struct {
    unsigned status;
    const char *word;
} words[] = {
    {401, "UNAUTHENTICATED"},   {403, "PERMISSION_DENIED"},       {404, "RESOURCE_DOES_NOT_EXIST"},
    {409, "RESOURCE_CONFLICT"}, {413, "INVALID_PARAMETER_VALUE"}, {429, "REQUEST_LIMIT_EXCEEDED"},
    {500, "INTERNAL_ERROR"},    {501, "NOT_IMPLEMENTED"},         {503, "TEMPORARILY_UNAVAILABLE"},
    {504, "DEADLINE_EXCEEDED"},
};

void
api_put_invocations_error(struct wire_writer *writer, unsigned status, const struct err *err)
{
    const char *word = "BAD_REQUEST";

    for (size_t i = 0; i < AUGURY_COUNT(words); i++) {
        word = words[i].status == status ? words[i].word : word;
    }
    wire_object(writer, 4);
    wire_key(writer, "error_code");
    wire_put_text(writer, word);
    wire_key(writer, "message");
    wire_put_text(writer, err->reason);
    wire_key(writer, "code");
    wire_put_text(writer, err->code);
    wire_key(writer, "at");
    wire_put_text(writer, err->at);
    wire_end(writer);
}

/* ---- the four forms -------------------------------------------------------------------------- */

static int
table_from_split(struct api_call *call, const struct wire_value *split,
                 struct predict_question *question)
{
    const struct wire_value *columns = wire_member(split, "columns");
    const struct wire_value *data = wire_member(split, "data");

    if (data == NULL || data->type != WIRE_ARRAY ||
        (columns != NULL && columns->type != WIRE_ARRAY)) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                "dataframe_split: expected {\"columns\":[…],\"data\":[[…]]}");
        return err_at(&call->err, "dataframe_split");
    }
    question->columns = columns;
    question->data = data;
    call->place = (struct api_place){API_PLACE_SPLIT, "dataframe_split"};
    return 0;
}

static int
table_from_inputs(struct api_call *call, const struct wire_value *inputs,
                  struct predict_question *question)
{
    return inputs->type == WIRE_OBJECT ? api_table_columns(call, "inputs", inputs, question)
                                       : api_table_rows(call, "inputs", inputs, question);
}

static int
table_from_instances(struct api_call *call, const struct wire_value *instances,
                     struct predict_question *question)
{
    return api_table_rows(call, "instances", instances, question);
}

static int
table_from_records(struct api_call *call, const struct wire_value *records,
                   struct predict_question *question)
{
    return api_table_rows(call, "dataframe_records", records, question);
}

static const struct {
    const char *name;
    int (*read)(struct api_call *call, const struct wire_value *value,
                struct predict_question *question);
} forms[] = {
    {"dataframe_split", table_from_split},
    {"dataframe_records", table_from_records},
    {"instances", table_from_instances},
    {"inputs", table_from_inputs},
};

/* What a request may ask for beside the prediction; other parameters are for other models. */
static int
params_read(struct api_call *call, const struct wire_value *params,
            struct predict_question *question)
{
    int rc = 0;

    if (params == NULL || params->type == WIRE_NULL) {
        return 0;
    }
    if (params->type != WIRE_OBJECT) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                "params: expected an object, got %s", wire_type_name(params));
        return err_at(&call->err, "params");
    }
    for (uint32_t i = 0; rc >= 0 && i < params->count; i++) {
        struct bytes key = params->as.pairs[i].key;
        rc = api_question_option(question, &params->as.pairs[i], &call->err);
        if (rc < 0) {
            (void)err_at(&call->err, "params.%.*s", (int)(key.len < 64 ? key.len : 64),
                         (const char *)key.data);
        }
    }
    return rc < 0 ? rc : 0;
}

static int
table_read(struct api_call *call, struct predict_question *question)
{
    struct wire_value document;
    const struct wire_value *table = NULL;
    size_t form = 0;
    unsigned found = 0;
    int rc = api_decode_object(call, &document);

    for (size_t i = 0; rc == 0 && i < AUGURY_COUNT(forms); i++) {
        const struct wire_value *member = wire_member(&document, forms[i].name);
        if (member != NULL) {
            table = member;
            form = i;
            found++;
        }
    }
    if (rc == 0 && found != 1) {
        rc = err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                     "expected exactly one of dataframe_split, dataframe_records, instances, "
                     "inputs; got %u of them",
                     found);
    }
    if (rc == 0) {
        rc = forms[form].read(call, table, question);
    }
    return rc == 0 ? params_read(call, wire_member(&document, "params"), question) : rc;
}

/* Options stand in the query, as a table has no room for them. */
static int
csv_read(struct api_call *call, struct predict_question *question)
{
    if (call->body.len == 0) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "the body is empty; expected names of features, then rows");
    }
    api_question_table(call, API_FORM_CSV, question);
    return api_question_query(call, question);
}

/* ---- the model ------------------------------------------------------------------------------- */

/* The only name that there is. */
static int
only_model(struct api_call *call, struct bytes *out_name)
{
    struct registry *registry = call->api->options.predict->registry;
    const struct registry_entry *first, *entry;
    int rc = registry_snapshot_begin(registry);

    if (rc != 0) {
        return err_set(&call->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    first = registry_entry_at(registry, 0);
    for (size_t i = 1; first != NULL && (entry = registry_entry_at(registry, i)) != NULL; i++) {
        rc = strcmp(entry->name, first->name) == 0 ? rc : AUGURY_ERR_INVALID;
    }
    if (first == NULL) {
        rc = err_set(&call->err, AUGURY_NOT_FOUND, "model_not_found",
                     "no model has been imported: augury model import NAME FILE");
    } else if (rc != 0) {
        rc = err_set(&call->err, AUGURY_NOT_FOUND, "model_not_named",
                     "there are several models; say which: /models/NAME/invocations");
    } else {
        char *name = arena_text(&call->api->arena, bytes_of_text(first->name));
        *out_name = name == NULL ? bytes_of(NULL, 0) : bytes_of_text(name);
        rc = name == NULL ? err_set(&call->err, AUGURY_ERR_NOMEM, "no_memory", "out of memory") : 0;
    }
    registry_snapshot_end(registry);
    return rc;
}

static int
decode(struct api_call *call, void *state, struct predict_question *question)
{
    (void)state;
    api_split_name(call->parameter, &question->model, &question->selector);
    int rc = call->parameter.len == 0 ? only_model(call, &question->model) : 0;
    if (rc == 0 && call->body_form == API_FORM_CSV) {
        return csv_read(call, question);
    }
    return rc == 0 ? table_read(call, question) : rc;
}

static void
put(struct api_call *call, const void *state, const struct predict_answer *answer)
{
    (void)state;
    wire_object(&call->writer, 1);
    wire_key(&call->writer, "predictions");
    api_put_table(&call->writer, answer);
    wire_end(&call->writer);
}

/* No parameter, or charset=utf-8: other charsets would be read as that. */
static bool
is_utf8(struct bytes parameters)
{
    while (parameters.len > 0) {
        struct bytes value;
        struct bytes name = api_cut(api_cut(parameters, ';', &parameters), '=', &value);
        bool is_good = bytes_equal_nocase(value, "utf-8") || bytes_equal_nocase(value, "utf8") ||
                       bytes_equal_nocase(value, "\"utf-8\"");
        if (bytes_equal_nocase(name, "charset") && !is_good) {
            return false;
        }
    }
    return true;
}

/* JSON is also what has no type, or what curl sends unasked. False: another type. */
static bool
body_form_find(const struct http_request *request, enum api_form *out_form)
{
    static const char *const json[] = {"", "application/json", "application/x-www-form-urlencoded",
                                       "text/plain", "text/json"};
    struct bytes parameters;
    struct bytes type = api_cut(request->content_type, ';', &parameters);

    for (size_t i = 0; i < AUGURY_COUNT(json); i++) {
        if (bytes_equal_nocase(type, json[i])) {
            *out_form = API_FORM_JSON;
            return is_utf8(parameters);
        }
    }
    *out_form = API_FORM_CSV;
    return bytes_equal_nocase(type, "text/csv") && is_utf8(parameters);
}

unsigned
api_post_invocations(struct api_call *call)
{
    static const struct api_dialect mlflow = {decode, put, api_refuse, .keep = NULL};

    enum api_form form = call->body_form;

    api_call_form(call, WIRE_JSON);
    /* Of a call that is here again only what was found is left, and not the field. */
    if (!call->flight.is_late && !body_form_find(call->request, &form)) {
        buf_put_text(call->answer->headers, "Accept: application/json, text/csv\r\n");
        return api_refuse_as(call, 415, "unsupported_type",
                             "a body is application/json or text/csv, of UTF-8");
    }
    api_call_body_form(call, form);
    return api_answer_question(call, &mlflow, NULL);
}

unsigned
api_get_version(struct api_call *call)
{
    call->answer->content_type = "text/plain; charset=utf-8";
    buf_put_text(call->answer->body, PACKAGE_VERSION);
    return 200;
}
