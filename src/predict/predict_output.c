/* SPDX-License-Identifier: MIT */
/* predict_output.c - the outputs: their names, which of them a model has, and the nearest of some
 * names for messages about a wrong one. */
#include "augury/predict.h"

#include <string.h>

/* Whether the model has it; else err says why not (code "no_such_output"). */
typedef int lacks_fn(const struct model *model, struct err *err);

static int
lacks(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output", "%s", reason);
}

static int
lacks_nothing(const struct model *model, struct err *err)
{
    (void)model;
    (void)err;
    return 0;
}

static int
lacks_probabilities(const struct model *model, struct err *err)
{
    return model->probability_count > 0
               ? 0
               : lacks(err, "the model's objective gives no probabilities: it was not trained as a "
                            "classifier that does");
}

static int
lacks_leaves(const struct model *model, struct err *err)
{
    return model->tree_count > 0 ? 0 : lacks(err, "the model has no trees, so it has no leaves");
}

static int
lacks_classes(const struct model *model, struct err *err)
{
    bool is_classifier = model->probability_count > 0 || model->link == MODEL_LINK_HINGE;

    return is_classifier
               ? 0
               : lacks(err, "the model was not trained as a classifier: it has no classes");
}

static int
lacks_intervals(const struct model *model, struct err *err)
{
    return model_calibration(model).score != MODEL_SCORE_NONE
               ? 0
               : lacks(err, "the model has no calibration: `augury model calibrate NAME ROWS.csv "
                            "--target COLUMN` makes one of held-out rows");
}

static int
lacks_reasons(const struct model *model, struct err *err)
{
    return model_has_reasons(model)
               ? 0
               : lacks(err, "the model is no scorecard with reason codes; what moved a prediction "
                            "of other models are contributions");
}

static int
lacks_spread(const struct model *model, struct err *err)
{
    return model_has_spread(model)
               ? 0
               : lacks(err, "the model is no forest of independent trees that predict one number: "
                            "its trees do not spread around the answer");
}

static const struct {
    enum predict_outputs output;
    const char *name;
    lacks_fn *lacks;
} outputs[] = {
    {PREDICT_PREDICTION, "prediction", lacks_nothing},
    {PREDICT_MARGIN, "margin", lacks_nothing},
    {PREDICT_PROBABILITIES, "probabilities", lacks_probabilities},
    {PREDICT_LEAF, "leaf", lacks_leaves},
    {PREDICT_CLASS, "class", lacks_classes},
    {PREDICT_INTERVAL, "interval", lacks_intervals},
    {PREDICT_REASONS, "reasons", lacks_reasons},
    {PREDICT_CONTRIBUTIONS, "contributions", model_has_contributions},
    {PREDICT_SPREAD, "spread", lacks_spread},
};

enum { NEAREST_LENGTH_MAX = 64 };

static size_t
least_of_three(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein distance in one row of the table; both texts are NEAREST_LENGTH_MAX bytes at most. */
static size_t
edit_distance(struct bytes a, struct bytes b)
{
    size_t row[NEAREST_LENGTH_MAX + 1];

    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            size_t above = row[j + 1];
            size_t changed = diagonal + (a.data[i] == b.data[j] ? 0 : 1);
            row[j + 1] = least_of_three(above + 1, row[j] + 1, changed);
            diagonal = above;
        }
    }
    return row[b.len];
}

int
predict_output_find(struct bytes name, enum predict_outputs *out_output)
{
    for (size_t i = 0; i < AUGURY_COUNT(outputs); i++) {
        if (bytes_equal_text(name, outputs[i].name)) {
            *out_output = outputs[i].output;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

const char *
predict_output_name(enum predict_outputs output)
{
    for (size_t i = 0; i < AUGURY_COUNT(outputs); i++) {
        if (outputs[i].output == output) {
            return outputs[i].name;
        }
    }
    return "?";
}

const char *
predict_output_names(void)
{
    return "prediction, margin, probabilities, leaf, class, interval, reasons, "
           "contributions, spread";
}

unsigned
predict_outputs_of(const struct model *model)
{
    struct err err;
    unsigned all = 0;

    for (size_t i = 0; i < AUGURY_COUNT(outputs); i++) {
        all |= outputs[i].lacks(model, &err) == 0 ? (unsigned)outputs[i].output : 0;
    }
    return all;
}

int
predict_outputs_check(const struct model *model, unsigned wanted, struct err *err)
{
    char reason[sizeof(err->reason)];
    int rc = 0;

    for (size_t i = 0; i < AUGURY_COUNT(outputs) && rc == 0; i++) {
        rc = (wanted & outputs[i].output) != 0 ? outputs[i].lacks(model, err) : 0;
    }
    if (rc == 0) {
        return 0;
    }
    struct bytes objective = model_objective(model);
    memcpy(reason, err->reason, sizeof(reason));
    err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output", "%s (%s, %.*s)", reason,
            model_kind(model), (int)objective.len, (const char *)objective.data);
    return err_at(err, "outputs");
}

int
predict_level_check(double level, struct err *err)
{
    if (level > 0.0 && level < 1.0) {
        return 0;
    }
    err_set(err, AUGURY_ERR_INVALID, "invalid_level",
            "level: expected a number over 0 and under 1 (0.9 holds the truth nine times in ten), "
            "got %g",
            level);
    return err_at(err, "level");
}

void
predict_nearest_init(struct predict_nearest *nearest, struct bytes wanted)
{
    /* One slip in three characters is still a slip; more is another word. */
    *nearest = (struct predict_nearest){.wanted = wanted, .distance = wanted.len / 3 + 1};
}

void
predict_nearest_offer(struct predict_nearest *nearest, struct bytes name)
{
    if (name.len == 0 || name.len > NEAREST_LENGTH_MAX ||
        nearest->wanted.len > NEAREST_LENGTH_MAX) {
        return;
    }
    size_t shorter = name.len < nearest->wanted.len ? name.len : nearest->wanted.len;
    size_t longer = name.len < nearest->wanted.len ? nearest->wanted.len : name.len;
    if (longer - shorter > nearest->distance) {
        return;
    }
    size_t distance = edit_distance(nearest->wanted, name);
    bool is_near =
        nearest->found.len == 0 ? distance <= nearest->distance : distance < nearest->distance;
    if (is_near && distance < longer) {
        nearest->found = name;
        nearest->distance = distance;
    }
}
