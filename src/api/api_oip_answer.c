/* SPDX-License-Identifier: MIT */
/*
 * api_oip_answer.c - an answer as tensors: values row by row in JSON, or their bytes behind the
 * document.
 */
#include "api_oip.h"

#include <stdio.h>
#include <string.h>

/* ---- outputs --------------------------------------------------------------------------------- */

bool
oip_output_is_tensor(enum predict_outputs output)
{
    return output != PREDICT_REASONS;
}

static bool
has_class_sets(const struct model *model)
{
    return model_calibration(model).score == MODEL_SCORE_CLASS;
}

enum tensor_type
oip_output_type(const struct model *model, enum predict_outputs output)
{
    enum tensor_type number = model->number == MODEL_FLOAT32 ? TENSOR_FP32 : TENSOR_FP64;

    switch (output) {
    case PREDICT_CLASS: return model_class_count(model) > 0 ? TENSOR_BYTES : TENSOR_UINT32;
    case PREDICT_LEAF: return TENSOR_UINT32;
    case PREDICT_SPREAD: return TENSOR_FP64;
    case PREDICT_INTERVAL: return has_class_sets(model) ? TENSOR_BOOL : number;
    default: return number;
    }
}

uint32_t
oip_output_width(const struct model *model, enum predict_outputs output)
{
    switch (output) {
    case PREDICT_MARGIN: return model->output_count;
    case PREDICT_PROBABILITIES: return model->probability_count;
    case PREDICT_CLASS: return 1;
    case PREDICT_LEAF: return model->tree_count;
    case PREDICT_SPREAD: return MODEL_SPREAD_COUNT;
    case PREDICT_INTERVAL: return has_class_sets(model) ? model->probability_count : 2;
    case PREDICT_CONTRIBUTIONS: return model->output_count * (model->feature_count + 1);
    default: return model->prediction_count;
    }
}

struct oip_shape
oip_output_shape(const struct model *model, enum predict_outputs output)
{
    if (output == PREDICT_CONTRIBUTIONS && model->output_count > 1) {
        return (struct oip_shape){2, {model->output_count, model->feature_count + 1}};
    }
    return (struct oip_shape){1, {oip_output_width(model, output)}};
}

static const void *
values_of(const struct predict_answer *answer, enum predict_outputs output)
{
    switch (output) {
    case PREDICT_MARGIN: return answer->margins;
    case PREDICT_PROBABILITIES: return answer->probabilities;
    case PREDICT_CLASS: return answer->classes;
    case PREDICT_LEAF: return answer->leaves;
    case PREDICT_SPREAD: return answer->spreads;
    case PREDICT_INTERVAL:
        return answer->intervals != NULL ? answer->intervals : (const void *)answer->class_sets;
    case PREDICT_CONTRIBUTIONS: return answer->contributions;
    default: return answer->predictions;
    }
}

/* ---- tensors --------------------------------------------------------------------------------- */

struct shown {
    struct api_call *call;
    const struct predict_answer *answer;
    const struct oip_output *output;
    enum tensor_type type;
    const void *values;
    size_t count;
};

static struct shown
shown_of(struct api_call *call, const struct predict_answer *answer,
         const struct oip_output *output)
{
    const struct model *model = &answer->model->model;

    return (struct shown){
        .call = call,
        .answer = answer,
        .output = output,
        .type = oip_output_type(model, output->output),
        .values = values_of(answer, output->output),
        .count = answer->row_count * oip_output_width(model, output->output),
    };
}

static struct bytes
class_text(const struct shown *shown, size_t i)
{
    return model_class_name(&shown->answer->model->model, ((const uint32_t *)shown->values)[i]);
}

static size_t
bytes_of_shown(const struct shown *shown)
{
    size_t bytes = shown->count * api_tensor_type_bytes(shown->type);

    for (size_t i = 0; shown->type == TENSOR_BYTES && i < shown->count; i++) {
        bytes += 4 + class_text(shown, i).len;
    }
    return bytes;
}

static void
put_value(struct wire_writer *writer, const struct shown *shown, size_t i)
{
    switch (shown->type) {
    case TENSOR_BYTES: wire_put_string(writer, class_text(shown, i)); break;
    case TENSOR_UINT32: wire_put_u64(writer, ((const uint32_t *)shown->values)[i]); break;
    case TENSOR_BOOL: wire_put_bool(writer, ((const uint8_t *)shown->values)[i] != 0); break;
    case TENSOR_FP32: wire_put_f32(writer, ((const float *)shown->values)[i]); break;
    default: wire_put_f64(writer, ((const double *)shown->values)[i]); break;
    }
}

static void
put_tensor(const struct shown *shown)
{
    struct oip_shape shape = oip_output_shape(&shown->answer->model->model, shown->output->output);
    struct wire_writer *writer = &shown->call->writer;

    wire_object(writer, 4);
    wire_key(writer, "name");
    wire_put_string(writer, shown->output->name);
    wire_key(writer, "datatype");
    wire_put_text(writer, api_tensor_type_name(shown->type));
    wire_key(writer, "shape");
    wire_array(writer, 1 + shape.count);
    wire_put_u64(writer, shown->answer->row_count);
    for (uint32_t i = 0; i < shape.count; i++) {
        wire_put_u64(writer, shape.dims[i]);
    }
    wire_end(writer);
    if (shown->output->is_binary) {
        wire_key(writer, "parameters");
        wire_object(writer, 1);
        wire_key(writer, "binary_data_size");
        wire_put_u64(writer, bytes_of_shown(shown));
        wire_end(writer);
    } else {
        wire_key(writer, "data");
        wire_array(writer, (uint32_t)shown->count);
        for (size_t i = 0; i < shown->count; i++) {
            put_value(writer, shown, i);
        }
        wire_end(writer);
    }
    wire_end(writer);
}

/* Little-endian, as this machine has them. */
static void
put_raw(const struct shown *shown)
{
    struct buf *body = shown->call->answer->body;

    if (shown->type != TENSOR_BYTES) {
        buf_put(body, shown->values, bytes_of_shown(shown));
        return;
    }
    for (size_t i = 0; i < shown->count; i++) {
        struct bytes text = class_text(shown, i);
        uint8_t len[4];
        le32_put(len, (uint32_t)text.len);
        buf_put(body, len, sizeof(len));
        buf_put_bytes(body, text);
    }
}

static void
put_raws(struct api_call *call, const struct oip_request *request,
         const struct predict_answer *answer)
{
    size_t document_len = call->answer->body->len;
    bool has_binary = false;

    for (size_t i = 0; i < request->output_count; i++) {
        if (request->outputs[i].is_binary) {
            struct shown shown = shown_of(call, answer, &request->outputs[i]);
            put_raw(&shown);
            has_binary = true;
        }
    }
    if (has_binary) {
        buf_printf(call->answer->headers, "Inference-Header-Content-Length: %zu\r\n", document_len);
        call->answer->content_type = "application/octet-stream";
    }
}

void
oip_put_answer(struct api_call *call, const struct oip_request *request,
               const struct predict_answer *answer)
{
    struct wire_writer *writer = &call->writer;

    wire_object(writer, request->has_id ? 4 : 3);
    wire_key(writer, "model_name");
    wire_put_text(writer, answer->model->entry.name);
    wire_key(writer, "model_version");
    api_put_version(writer, answer->model->entry.version);
    if (request->has_id) {
        wire_key(writer, "id");
        wire_put_string(writer, request->id);
    }
    wire_key(writer, "outputs");
    wire_array(writer, (uint32_t)request->output_count);
    for (size_t i = 0; i < request->output_count; i++) {
        struct shown shown = shown_of(call, answer, &request->outputs[i]);
        put_tensor(&shown);
    }
    wire_end(writer);
    wire_end(writer);
    put_raws(call, request, answer);
}
