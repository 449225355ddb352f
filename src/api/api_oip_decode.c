/* SPDX-License-Identifier: MIT */
/*
 * api_oip_decode.c - an inference request of the Open Inference Protocol as a question. Tables come
 * in three ways: one tensor of [rows, features], one of [features], or a tensor a column, of [rows]
 * or [rows, 1] and called as the feature (`content_type: pd` says so, several inputs mean it).
 */
#include "api_oip.h"

#include <stdlib.h>
#include <string.h>

enum {
    INPUTS_MAX = 65536,
    LOOK_VALUES = 4096, /* between two looks at the clock */
};

struct decoding {
    struct api_call *call;
    struct bytes model; /* its name */
    struct bytes raw;   /* behind the document; what tensors have not taken yet */
    const struct wire_value *document;
    struct tensor *tensors;
    size_t tensor_count;
    bool has_length; /* Inference-Header-Content-Length */
    bool is_pandas;
    bool wants_binary; /* parameters.binary_data_output */
};

static struct arena *
arena_of(const struct decoding *decoding)
{
    return &decoding->call->api->arena;
}

static int
no_memory(const struct decoding *decoding)
{
    return err_set(&decoding->call->err, AUGURY_ERR_NOMEM, "request_too_large",
                   "the request needs more working memory than one request may take "
                   "(limits.request_memory); send fewer rows");
}

/* values: of inputs, since the last look at the clock. */
static int
time_look(const struct decoding *decoding, uint32_t inputs, size_t *values)
{
    if (*values < LOOK_VALUES) {
        return 0;
    }
    *values = 0;
    return api_deadline_is_over(decoding->call)
               ? err_set(&decoding->call->err, AUGURY_ERR_TIMEOUT, "timeout",
                         "the request's time was over when %u inputs were read", inputs)
               : 0;
}

/* ---- the document ---------------------------------------------------------------------------- */

/* Bytes of the document by the extension's header: 0: the whole body is one tensor; all of it when
 * there is no such header. */
static int
document_bytes(struct decoding *decoding, size_t *out_len)
{
    struct api_call *call = decoding->call;
    struct bytes text = http_header_find(call->request, "inference-header-content-length");
    uint64_t len = 0;

    *out_len = call->body.len;
    decoding->has_length = text.len > 0;
    if (!decoding->has_length) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        bool is_digit = text.data[i] >= '0' && text.data[i] <= '9';
        len = is_digit ? len * 10 + (uint64_t)(text.data[i] - '0') : UINT64_MAX;
        if (len > call->body.len) {
            return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                           "Inference-Header-Content-Length: expected the bytes of the document, "
                           "from 0 to the %zu of the body",
                           call->body.len);
        }
    }
    *out_len = (size_t)len;
    return 0;
}

static int
document_decode(struct decoding *decoding, size_t len, struct wire_value *out_document)
{
    struct api_call *call = decoding->call;
    struct wire_limits limits = {
        .depth = call->api->options.conf->limits.json_depth,
        .values = len + 1,
        .flags = WIRE_BORROW | WIRE_NONFINITE,
        .deadline_mono_ns = call->deadline_mono_ns,
    };

    int rc = wire_decode(WIRE_JSON, bytes_of(call->body.data, len), &limits, arena_of(decoding),
                         out_document, &call->err);
    if (rc == AUGURY_ERR_NOMEM) {
        return no_memory(decoding);
    }
    if (rc < 0 && len > 0 && !decoding->has_length && memchr(call->body.data, '\0', len) != NULL) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "the body is not JSON alone; where values follow the document in binary, "
                       "Inference-Header-Content-Length tells the document's length");
    }
    if (rc == 0 && out_document->type != WIRE_OBJECT) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "expected an object with \"inputs\", got %s", wire_type_name(out_document));
    }
    decoding->document = out_document;
    decoding->raw = bytes_of(call->body.data + len, call->body.len - len);
    return rc;
}

static bool
is_pandas(const struct wire_value *parameters)
{
    const struct wire_value *type = wire_member(parameters, "content_type");

    return type != NULL && type->type == WIRE_STRING && bytes_equal_text(wire_string(type), "pd");
}

static bool
is_true(const struct wire_value *value)
{
    return value != NULL && value->type == WIRE_BOOL && value->as.boolean;
}

static int
inputs_read(struct decoding *decoding)
{
    struct err *err = &decoding->call->err;
    const struct wire_value *inputs = wire_member(decoding->document, "inputs");
    size_t values = 0;

    if (inputs == NULL || inputs->type != WIRE_ARRAY || inputs->count == 0 ||
        inputs->count > INPUTS_MAX) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_request",
                "inputs: expected an array of 1 to %d tensors, got %s", INPUTS_MAX,
                inputs == NULL ? "nothing" : wire_type_name(inputs));
        return err_at(err, "inputs");
    }
    decoding->tensors = arena_zalloc(arena_of(decoding), inputs->count, sizeof(struct tensor));
    if (decoding->tensors == NULL) {
        return no_memory(decoding);
    }
    for (uint32_t i = 0; i < inputs->count; i++) {
        int rc = api_tensor_read(&inputs->as.items[i], i, &decoding->raw, arena_of(decoding),
                                 &decoding->tensors[i], err);
        values += decoding->tensors[i].count;
        rc = rc == 0 ? time_look(decoding, i + 1, &values) : rc;
        if (rc != 0) {
            return rc;
        }
    }
    decoding->tensor_count = inputs->count;
    if (decoding->raw.len > 0) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_request",
                       "%zu bytes follow that belong to no input", decoding->raw.len);
    }
    return 0;
}

/* ---- outputs --------------------------------------------------------------------------------- */

static struct bytes
prediction_name(const struct decoding *decoding)
{
    return bytes_of_text(
        oip_output_name(decoding->call->api->options.conf, decoding->model, PREDICT_PREDICTION));
}

/* Values elsewhere or classes by rank instead of the tensor: to leave such a wish out of an answer
 * would be to give a wrong one. Ranks: {"classification": 0} is none. */
static int
parameters_check(const struct wire_value *parameters, struct err *err)
{
    const struct wire_value *classes = wire_member(parameters, "classification");
    int64_t count = 0;

    if (wire_member(parameters, "shared_memory_region") != NULL) {
        err_set(err, AUGURY_ERR_UNSUPPORTED, "unsupported_parameter",
                "shared_memory_region: values go with the request and its answer alone");
        return AUGURY_ERR_UNSUPPORTED;
    }
    if (classes != NULL && (wire_to_i64(classes, &count) != 0 || count != 0)) {
        err_set(err, AUGURY_ERR_UNSUPPORTED, "unsupported_parameter",
                "classification: ask for the output \"class\" or \"predict_proba\" instead");
        return AUGURY_ERR_UNSUPPORTED;
    }
    return 0;
}

static int
output_add(struct decoding *decoding, struct oip_request *request, const struct wire_value *wish,
           uint32_t number)
{
    struct err *err = &decoding->call->err;
    const struct wire_value *name = wire_member(wish, "name");
    const struct wire_value *parameters = wire_member(wish, "parameters");
    const struct wire_value *binary = wire_member(parameters, "binary_data");
    struct oip_output output = {.is_binary =
                                    binary != NULL ? is_true(binary) : decoding->wants_binary};

    if (name == NULL || name->type != WIRE_STRING) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_request", "an output: expected its name");
        return err_at(err, "outputs[%u].name", number);
    }
    output.name = wire_string(name);
    if (oip_output_find(decoding->call->api->options.conf, decoding->model, output.name,
                        &output.output) != 0 ||
        !oip_output_is_tensor(output.output)) {
        err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output",
                "there is no output \"%.*s\"; the model's metadata lists them",
                (int)(output.name.len < 64 ? output.name.len : 64), (const char *)output.name.data);
        (void)err_at(err, "outputs[%u].name", number);
        return AUGURY_ERR_UNSUPPORTED;
    }
    if (parameters_check(parameters, err) != 0) {
        (void)err_at(err, "outputs[%u].parameters", number);
        return AUGURY_ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < request->output_count; i++) {
        if (bytes_equal(request->outputs[i].name, output.name)) {
            err_set(
                err, AUGURY_ERR_INVALID, "invalid_request", "output \"%.*s\" is asked for twice",
                (int)(output.name.len < 64 ? output.name.len : 64), (const char *)output.name.data);
            return err_at(err, "outputs[%u].name", number);
        }
    }
    if (request->output_count == OIP_OUTPUTS_MAX) {
        err_set(err, AUGURY_ERR_LIMIT, "too_many_outputs", "at most %d outputs", OIP_OUTPUTS_MAX);
        return err_at(err, "outputs");
    }
    request->outputs[request->output_count++] = output;
    return 0;
}

static int
outputs_read(struct decoding *decoding, struct oip_request *request)
{
    const struct wire_value *wishes = wire_member(decoding->document, "outputs");
    int rc = 0;

    if (wishes != NULL && wishes->type != WIRE_ARRAY) {
        err_set(&decoding->call->err, AUGURY_ERR_INVALID, "invalid_request",
                "outputs: expected an array, got %s", wire_type_name(wishes));
        return err_at(&decoding->call->err, "outputs");
    }
    for (uint32_t i = 0; rc == 0 && wishes != NULL && i < wishes->count; i++) {
        rc = output_add(decoding, request, &wishes->as.items[i], i);
    }
    if (rc == 0 && request->output_count == 0) {
        request->outputs[request->output_count++] =
            (struct oip_output){.name = prediction_name(decoding),
                                .output = PREDICT_PREDICTION,
                                .is_binary = decoding->wants_binary};
    }
    return rc;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static struct wire_value *
array_of(struct wire_value *value, const struct wire_value *items, size_t count)
{
    *value = (struct wire_value){.type = WIRE_ARRAY, .count = (uint32_t)count, .as.items = items};
    return value;
}

/* rows × width values that lie behind each other, as rows. */
static int
table_of_one(struct decoding *decoding, const struct tensor *tensor,
             struct predict_question *question)
{
    struct arena *arena = arena_of(decoding);
    size_t rows = tensor->dims == 1 ? 1 : (size_t)tensor->shape[0];
    size_t width = tensor->dims == 1 ? (size_t)tensor->shape[0] : (size_t)tensor->shape[1];

    if (tensor->dims > 2) {
        err_set(&decoding->call->err, AUGURY_ERR_INVALID, "invalid_shape",
                "shape: a table is [rows, features] or [features], not of %u dimensions",
                tensor->dims);
        return err_at(&decoding->call->err, "inputs[0].shape");
    }
    struct wire_value *table = arena_zalloc(arena, rows + 1, sizeof(*table));
    if (table == NULL) {
        return no_memory(decoding);
    }
    for (size_t row = 0; row < rows; row++) {
        array_of(&table[1 + row], tensor->values + row * width, width);
    }
    question->data = array_of(table, table + 1, rows);
    decoding->call->place = (struct api_place){API_PLACE_TENSOR, "inputs[0]"};
    return 0;
}

static int
column_check(struct decoding *decoding, size_t number, size_t rows)
{
    const struct tensor *tensor = &decoding->tensors[number];
    bool is_column = tensor->dims == 1 || (tensor->dims == 2 && tensor->shape[1] == 1);

    if (!is_column || tensor->count != rows) {
        err_set(&decoding->call->err, AUGURY_ERR_INVALID, "invalid_shape",
                "shape: a column is [rows] or [rows, 1], and all have as many rows as the first "
                "(%zu)",
                rows);
        return err_at(&decoding->call->err, "inputs[%zu].shape", number);
    }
    return 0;
}

static int
table_of_columns(struct decoding *decoding, struct predict_question *question)
{
    struct arena *arena = arena_of(decoding);
    size_t width = decoding->tensor_count;
    size_t rows = decoding->tensors[0].count;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < width; i++) {
        rc = column_check(decoding, i, rows);
    }
    if (rc != 0) {
        return rc;
    }
    struct wire_value *names = arena_zalloc(arena, width + 1, sizeof(*names));
    struct wire_value *table = arena_zalloc(arena, rows + 1, sizeof(*table));
    struct wire_value *cells = arena_zalloc(arena, rows * width + 1, sizeof(*cells));
    if (names == NULL || table == NULL || cells == NULL) {
        return no_memory(decoding);
    }
    for (size_t i = 0; i < width; i++) {
        const struct tensor *tensor = &decoding->tensors[i];
        names[1 + i] = (struct wire_value){.type = WIRE_STRING,
                                           .count = (uint32_t)tensor->name.len,
                                           .as.text = (const char *)tensor->name.data};
        for (size_t row = 0; row < rows; row++) {
            cells[row * width + i] = tensor->values[row];
        }
    }
    for (size_t row = 0; row < rows; row++) {
        array_of(&table[1 + row], cells + row * width, width);
    }
    question->columns = array_of(names, names + 1, width);
    question->data = array_of(table, table + 1, rows);
    decoding->call->place = (struct api_place){API_PLACE_TENSORS, "inputs"};
    return 0;
}

/* The whole body is the values of one row, of the model's own numbers. */
static int
table_of_raw(struct decoding *decoding, struct predict_question *question,
             struct oip_request *request)
{
    struct api_call *call = decoding->call;
    struct tensor *tensor = arena_zalloc(arena_of(decoding), 1, sizeof(*tensor));
    const struct registry_model *found;
    struct registry *registry = call->api->options.predict->registry;

    if (tensor == NULL) {
        return no_memory(decoding);
    }
    int rc = registry_snapshot_begin(registry);
    if (rc != 0) {
        return err_set(&call->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    rc = registry_find(registry, question->model, question->selector, &found, &call->err);
    if (rc == 0) {
        tensor->type = found->model.number == MODEL_FLOAT32 ? TENSOR_FP32 : TENSOR_FP64;
        tensor->count = found->model.feature_count;
        tensor->dims = 1;
        tensor->shape[0] = tensor->count;
        rc = api_tensor_from_raw(call->body, arena_of(decoding), tensor, &call->err);
        if (rc == AUGURY_ERR_INVALID) {
            (void)err_at(&call->err, "body");
        }
    }
    registry_snapshot_end(registry);
    if (rc != 0) {
        return rc;
    }
    request->outputs[0] = (struct oip_output){
        .name = prediction_name(decoding), .output = PREDICT_PREDICTION, .is_binary = true};
    request->output_count = 1;
    rc = table_of_one(decoding, tensor, question);
    call->place.member = "body";
    return rc;
}

/* Microseconds; 0: as long as it takes. */
static int
timeout_read(struct decoding *decoding, const struct wire_value *timeout)
{
    struct api_call *call = decoding->call;
    int64_t us = 0;

    if (timeout != NULL && (wire_to_i64(timeout, &us) != 0 || us < 0)) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_timeout",
                "timeout: expected microseconds, a whole number from 0 on, got %s",
                wire_type_name(timeout));
        return err_at(&call->err, "parameters.timeout");
    }
    if (us > 0) {
        api_limit_sooner(call, (uint64_t)us);
    }
    return 0;
}

/* Names that begin with triton_ are that server's own, and none of them means anything here. */
static int
parameters_read(struct decoding *decoding)
{
    const struct wire_value *parameters = wire_member(decoding->document, "parameters");
    bool is_object = parameters != NULL && parameters->type == WIRE_OBJECT;

    if (parameters != NULL && !is_object && parameters->type != WIRE_NULL) {
        err_set(&decoding->call->err, AUGURY_ERR_INVALID, "invalid_request",
                "parameters: expected an object, got %s", wire_type_name(parameters));
        return err_at(&decoding->call->err, "parameters");
    }
    for (uint32_t i = 0; is_object && i < parameters->count; i++) {
        struct bytes key = parameters->as.pairs[i].key;
        int shown = (int)(key.len < 64 ? key.len : 64);
        if (bytes_start_with(key, "triton_")) {
            err_set(&decoding->call->err, AUGURY_ERR_UNSUPPORTED, "unsupported_parameter",
                    "parameters whose names begin with triton_ are reserved");
            (void)err_at(&decoding->call->err, "parameters.%.*s", shown, (const char *)key.data);
            return AUGURY_ERR_UNSUPPORTED;
        }
    }
    decoding->is_pandas = is_pandas(parameters);
    decoding->wants_binary = is_true(wire_member(parameters, "binary_data_output"));
    return timeout_read(decoding, wire_member(parameters, "timeout"));
}

static int
id_read(struct decoding *decoding, struct oip_request *request)
{
    const struct wire_value *id = wire_member(decoding->document, "id");

    if (id != NULL && id->type == WIRE_STRING) {
        request->id = wire_string(id);
        request->has_id = true;
    } else if (id != NULL && id->type != WIRE_NULL) {
        err_set(&decoding->call->err, AUGURY_ERR_INVALID, "invalid_request",
                "id: expected a text, got %s", wire_type_name(id));
        return err_at(&decoding->call->err, "id");
    }
    return 0;
}

int
oip_decode(struct api_call *call, struct oip_request *out_request,
           struct predict_question *out_question)
{
    struct decoding decoding = {.call = call, .model = out_question->model};
    struct wire_value document;
    size_t len = 0;

    *out_request = (struct oip_request){.output_count = 0};
    int rc = document_bytes(&decoding, &len);
    if (rc == 0 && len == 0 && call->body.len > 0) {
        return table_of_raw(&decoding, out_question, out_request);
    }
    if (rc == 0) {
        rc = document_decode(&decoding, len, &document);
    }
    if (rc == 0) {
        rc = parameters_read(&decoding);
    }
    if (rc == 0) {
        rc = id_read(&decoding, out_request);
    }
    if (rc == 0) {
        rc = inputs_read(&decoding);
    }
    if (rc == 0) {
        rc = outputs_read(&decoding, out_request);
    }
    if (rc != 0) {
        return rc;
    }
    out_question->deadline_mono_ns = call->deadline_mono_ns;
    for (size_t i = 0; i < out_request->output_count; i++) {
        out_question->outputs |= (unsigned)out_request->outputs[i].output;
    }
    return decoding.tensor_count > 1 || decoding.is_pandas
               ? table_of_columns(&decoding, out_question)
               : table_of_one(&decoding, &decoding.tensors[0], out_question);
}
