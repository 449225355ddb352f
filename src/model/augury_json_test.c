/* SPDX-License-Identifier: MIT */
/*
 * augury_json_test.c - the self-test of model JSON: rows with what the training library answered
 * for them. Read here, asked when the model has been compiled.
 */
#include "augury_json.h"

#include "replay.h"

#include <math.h>
#include <stdio.h>

static int
read_cell(struct reader *reader, const struct wire_value *cell, uint32_t feature, const char *at,
          double *out_number)
{
    const struct neutral_feature *known = &reader->model->features[feature];

    if (cell->type == WIRE_NULL) {
        *out_number = NAN;
        return 0;
    }
    if (cell->type == WIRE_BOOL) {
        *out_number = cell->as.boolean ? 1.0 : 0.0;
        return 0;
    }
    if (cell->type != WIRE_STRING) {
        return reader_number(reader, cell, at, out_number);
    }
    int32_t code = name_index_find(&reader->levels[feature], wire_string(cell));
    *out_number = (double)(code >= 0 ? (uint32_t)code : known->level_count);
    return code >= 0 || known->is_unknown_allowed
               ? 0
               : reader_refuse(reader, at, "\"%.*s\" is no level of feature %u",
                               (int)(cell->count < 60 ? cell->count : 60), cell->as.text, feature);
}

static int
read_test_rows(struct reader *reader, const struct wire_value *rows, struct replay *replay)
{
    uint32_t width = reader->model->feature_count;
    double *cells = reader_alloc(reader, (size_t)rows->count * width, sizeof(*cells));
    int rc = cells == NULL ? AUGURY_ERR_NOMEM : 0;

    for (uint32_t r = 0; r < rows->count && rc == 0; r++) {
        const struct wire_value *row = &rows->as.items[r];
        char at[40];
        (void)snprintf(at, sizeof(at), "self_test.rows[%u]", r);
        if (row->type != WIRE_ARRAY || row->count != width) {
            return reader_refuse(reader, at,
                                 "expected an array with a value for each of %u "
                                 "features",
                                 width);
        }
        for (uint32_t i = 0; i < width && rc == 0; i++) {
            rc = read_cell(reader, &row->as.items[i], i, at, &cells[(size_t)r * width + i]);
        }
    }
    replay->rows = cells;
    replay->row_count = rows->count;
    return rc;
}

/* Each row of answers has the first one's length; whether the model gives so many is told when it
 * is compiled. */
static int
read_expected(struct reader *reader, const struct wire_value *rows, struct replay *replay)
{
    size_t width = rows->count == 0 ? 0 : wire_array_len(&rows->as.items[0]);
    double *numbers = NULL;

    for (uint32_t r = 0; r < rows->count; r++) {
        if (rows->as.items[r].type != WIRE_ARRAY || rows->as.items[r].count != width) {
            return reader_refuse(reader, "self_test.expected",
                                 "row %u: expected an array as long as the others", r);
        }
    }
    numbers = reader_alloc(reader, rows->count * width, sizeof(*numbers));
    int rc = numbers == NULL ? AUGURY_ERR_NOMEM : 0;
    for (size_t i = 0; i < rows->count * width && rc == 0; i++) {
        rc = reader_number(reader, &rows->as.items[i / width].as.items[i % width],
                           "self_test.expected", &numbers[i]);
    }
    replay->expected = numbers;
    reader->import->self_test_width = (uint32_t)width;
    return rc;
}

int
reader_self_test(struct reader *reader)
{
    static const char *const names[] = {"rows", "expected", "output", "tolerance"};
    static const char *const outputs[] = {[REPLAY_MARGINS] = "margin",
                                          [REPLAY_PREDICTIONS] = "prediction",
                                          [REPLAY_PROBABILITIES] = "probabilities"};
    const struct wire_value *value = wire_member(reader->document, "self_test");
    const struct wire_value *rows = wire_member(value, "rows");
    const struct wire_value *expected = wire_member(value, "expected");

    if (value == NULL) {
        return 0;
    }
    struct replay *replay = reader_alloc(reader, 1, sizeof(*replay));
    int32_t output = reader_choice(wire_member(value, "output"), outputs, AUGURY_COUNT(outputs));
    int rc = replay == NULL ? AUGURY_ERR_NOMEM
                            : reader_object(reader, value, names, AUGURY_COUNT(names), "self_test");
    if (rc != 0) {
        return rc;
    }
    if (output < 0 || rows == NULL || expected == NULL || rows->type != WIRE_ARRAY ||
        expected->type != WIRE_ARRAY || rows->count != expected->count) {
        return reader_refuse(reader, "self_test",
                             "expected an output (margin, prediction or probabilities) and as many "
                             "rows as expected answers");
    }
    replay->code = "self_test_failed";
    replay->output = (enum replay_output)output;
    rc = reader_optional(reader, value, "tolerance", REPLAY_TOLERANCE, &replay->tolerance);
    if (rc == 0) {
        rc = read_test_rows(reader, rows, replay);
    }
    reader->import->self_test = replay;
    return rc == 0 ? read_expected(reader, expected, replay) : rc;
}
