/* SPDX-License-Identifier: MIT */
/* predict_output.c - the names of the outputs, and the nearest of some names for messages about a
 * wrong one. */
#include "augury/predict.h"

#include <string.h>

static const struct {
    enum predict_outputs output;
    const char *name;
} outputs[] = {
    {PREDICT_PREDICTION, "prediction"},
    {PREDICT_MARGIN, "margin"},
    {PREDICT_PROBABILITIES, "probabilities"},
    {PREDICT_LEAF, "leaf"},
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
    return "prediction, margin, probabilities, leaf";
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
