/* SPDX-License-Identifier: MIT */
/*
 * api_oip_names.c - what tensors are called: ours, what other servers of this protocol call the
 * same thing, and what the configuration calls it for one model. Names are echoed as they came.
 */
#include "api_oip.h"

/* The first name of an output is the one that metadata shows. */
static const struct {
    const char *name;
    enum predict_outputs output;
} names[] = {
    {"predict", PREDICT_PREDICTION},
    {"prediction", PREDICT_PREDICTION},
    {"output__0", PREDICT_PREDICTION},
    {"output-0", PREDICT_PREDICTION},
    {"predict_proba", PREDICT_PROBABILITIES},
    {"probabilities", PREDICT_PROBABILITIES},
    {"margin", PREDICT_MARGIN},
    {"class", PREDICT_CLASS},
    {"leaf", PREDICT_LEAF},
    {"interval", PREDICT_INTERVAL},
    {"contributions", PREDICT_CONTRIBUTIONS},
    {"treeshap_output", PREDICT_CONTRIBUTIONS},
    {"spread", PREDICT_SPREAD},
};

static int
find_known(struct bytes name, enum predict_outputs *out_output)
{
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        if (bytes_equal_text(name, names[i].name)) {
            *out_output = names[i].output;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

/* ---- names of a model's own ------------------------------------------------------------------ */

static const struct conf_dialect *
dialect_of(const struct conf *conf, struct bytes model)
{
    for (uint32_t i = 0; i < conf->dialect_count; i++) {
        if (bytes_equal_text(model, conf->dialects[i].name)) {
            return &conf->dialects[i];
        }
    }
    return NULL;
}

const char *
oip_input_name(const struct conf *conf, struct bytes model)
{
    const struct conf_dialect *dialect = dialect_of(conf, model);

    return dialect != NULL ? dialect->input : "input-0";
}

const char *
oip_output_name(const struct conf *conf, struct bytes model, enum predict_outputs output)
{
    const struct conf_dialect *dialect = dialect_of(conf, model);
    enum predict_outputs known;

    /* A name that means another output stays that one's. */
    if (output == PREDICT_PREDICTION && dialect != NULL &&
        (find_known(bytes_of_text(dialect->output), &known) != 0 || known == output)) {
        return dialect->output;
    }
    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        if (names[i].output == output) {
            return names[i].name;
        }
    }
    return predict_output_name(output);
}

int
oip_output_find(const struct conf *conf, struct bytes model, struct bytes name,
                enum predict_outputs *out_output)
{
    const struct conf_dialect *dialect = dialect_of(conf, model);

    if (find_known(name, out_output) == 0) {
        return 0;
    }
    if (dialect == NULL || !bytes_equal_text(name, dialect->output)) {
        return AUGURY_NOT_FOUND;
    }
    *out_output = PREDICT_PREDICTION;
    return 0;
}
