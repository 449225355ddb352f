/* SPDX-License-Identifier: MIT */
/*
 * api_oip.h - the Open Inference Protocol, v2 (REST): what its files share. Private to the room.
 */
#pragma once

#include "api_tensor.h"

enum { OIP_OUTPUTS_MAX = 16 };

/* One output as it was asked for. */
struct oip_output {
    struct bytes name; /* echoed */
    enum predict_outputs output;
    bool is_binary;
};

struct oip_request {
    struct bytes id;
    bool has_id;
    struct oip_output outputs[OIP_OUTPUTS_MAX];
    size_t output_count;
};

/* What the path names: the selector is a version or label, or empty. */
void oip_split_model(const struct api_call *call, struct bytes *out_name,
                     struct bytes *out_selector);
/* The document (or all of a raw request) and its tensors as a question; it lives in the call's
 * arena. */
AUGURY_MUST_USE int oip_decode(struct api_call *call, struct oip_request *out_request,
                               struct predict_question *out_question);
/* The answer, with the tensors behind the document that were asked for as binary. */
void oip_put_answer(struct api_call *call, const struct oip_request *request,
                    const struct predict_answer *answer);
/* Which output of a model a name means: "predict", "output__0", "margin", …; AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int oip_output_find(const struct conf *conf, struct bytes model, struct bytes name,
                                    enum predict_outputs *out_output);
/* Type and values a row of an output. */
enum tensor_type oip_output_type(const struct model *model, enum predict_outputs output);
uint32_t oip_output_width(const struct model *model, enum predict_outputs output);
/* Of one row's values: a list of them, or of several outputs' contributions a list each. */
struct oip_shape {
    uint32_t count;
    uint32_t dims[2];
};
struct oip_shape oip_output_shape(const struct model *model, enum predict_outputs output);
bool oip_output_is_tensor(enum predict_outputs output); /* numbers or texts of one shape */
/* As metadata calls them. */
const char *oip_input_name(const struct conf *conf, struct bytes model);
const char *oip_output_name(const struct conf *conf, struct bytes model,
                            enum predict_outputs output);
