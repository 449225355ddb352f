/* SPDX-License-Identifier: MIT */
/* predict_derive.c - outputs that follow from a row's margins beyond the link. */
#include "augury/predict.h"

void
predict_classes(const struct model *model, const void *margins, size_t row_count, void *room,
                uint32_t *out_classes)
{
    uint32_t count = model->probability_count;

    if (count == 0) { /* the hinge: its prediction is the class */
        model_predictions(model, margins, row_count, room);
        for (size_t row = 0; row < row_count; row++) {
            out_classes[row] = model_number_get(model, room, row) > 0.0 ? 1 : 0;
        }
        return;
    }
    model_probabilities(model, margins, row_count, room);
    for (size_t row = 0; row < row_count; row++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < count; i++) {
            if (model_number_get(model, room, row * count + i) >
                model_number_get(model, room, row * count + best)) {
                best = i;
            }
        }
        out_classes[row] = best;
    }
}
