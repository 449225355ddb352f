/* SPDX-License-Identifier: MIT */
/*
 * predict_value.h - one value as the model reads it. Private to the room.
 */
#pragma once

#include "augury/predict.h"

/* What a value of one feature has to be; made once a question for every feature. */
struct predict_slot {
    uint32_t level_count; /* of a category with named levels */
    uint8_t type;         /* enum model_feature_type */
    uint8_t decimals;     /* PREDICT_NOT_ROUNDED: none */
    uint8_t number;       /* enum model_number */
    bool is_missing_allowed;
    bool is_unknown_allowed; /* a text that is no level: its code is level_count */
};

struct predict_slot predict_slot_of(const struct model *model, uint32_t feature, uint32_t decimals);

/* Where a value comes from, for messages. */
struct predict_place {
    const struct model *model;
    uint32_t feature;
};

/* Canonical value, already rounded to the model's number (a float32 widened); NaN is missing. On
 * failure *err has no place. */
AUGURY_MUST_USE int predict_value(const struct predict_slot *slot, struct predict_place place,
                                  const struct wire_value *value, double *out_value,
                                  struct err *err);
/* The same of a cell of text: predict_cell(). */
AUGURY_MUST_USE int predict_slot_cell(const struct predict_slot *slot, struct predict_place place,
                                      struct bytes cell, double *out_value, struct err *err);
int predict_missing(struct predict_place place, struct err *err);

/* The number that the whole text of a cell is: decimal, or nan and inf in any case. */
bool predict_number(struct bytes cell, double *out_number);

/* A name or text for a message: cut to 64 bytes at most, between two characters. For "%.*s". */
#define PREDICT_SHOWN(bytes) predict_shown_len(bytes), (const char *)(bytes).data
int predict_shown_len(struct bytes text);
