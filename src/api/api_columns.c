/* SPDX-License-Identifier: MIT */
/*
 * api_columns.c - an answer as a table of columns: text/csv with a line of names, or one array of
 * numpy's. Columns are called as those of `augury predict` are. What has no place in a table is
 * refused before anything is written.
 */
#include "api_call.h"

#include <string.h>

struct column_kind {
    enum predict_outputs output;
    size_t (*count)(const struct predict_answer *answer);
    void (*put_name)(const struct predict_answer *answer, size_t column, struct buf *text);
    /* One of these two. */
    double (*number)(const struct predict_answer *answer, size_t row, size_t column);
    void (*put_text)(const struct predict_answer *answer, size_t row, size_t column,
                     struct buf *text);
    bool is_double; /* whatever the model's numbers are */
};

static const struct model *
model_of(const struct predict_answer *answer)
{
    return &answer->model->model;
}

static bool
has_sets(const struct predict_answer *answer)
{
    return answer->class_sets != NULL;
}

/* ---- how many -------------------------------------------------------------------------------- */

static size_t
count_predictions(const struct predict_answer *answer)
{
    return model_of(answer)->prediction_count;
}

static size_t
count_margins(const struct predict_answer *answer)
{
    return model_of(answer)->output_count;
}

static size_t
count_probabilities(const struct predict_answer *answer)
{
    return model_of(answer)->probability_count;
}

static size_t
count_leaves(const struct predict_answer *answer)
{
    return model_of(answer)->tree_count;
}

static size_t
count_one(const struct predict_answer *answer)
{
    (void)answer;
    return 1;
}

/* A set is text, bounds are numbers: of the two kinds of an interval one has columns. */
static size_t
count_bounds(const struct predict_answer *answer)
{
    return has_sets(answer) ? 0 : 2;
}

static size_t
count_sets(const struct predict_answer *answer)
{
    return has_sets(answer) ? 1 : 0;
}

static size_t
count_contributions(const struct predict_answer *answer)
{
    return model_contributions_count(model_of(answer));
}

static size_t
count_spread(const struct predict_answer *answer)
{
    (void)answer;
    return MODEL_SPREAD_COUNT;
}

/* ---- values ---------------------------------------------------------------------------------- */

static double
number_prediction(const struct predict_answer *answer, size_t row, size_t column)
{
    const struct model *model = model_of(answer);

    return model_number_get(model, answer->predictions, row * model->prediction_count + column);
}

static double
number_margin(const struct predict_answer *answer, size_t row, size_t column)
{
    const struct model *model = model_of(answer);

    return model_number_get(model, answer->margins, row * model->output_count + column);
}

static double
number_probability(const struct predict_answer *answer, size_t row, size_t column)
{
    const struct model *model = model_of(answer);

    return model_number_get(model, answer->probabilities, row * model->probability_count + column);
}

static double
number_leaf(const struct predict_answer *answer, size_t row, size_t column)
{
    return (double)answer->leaves[row * model_of(answer)->tree_count + column];
}

static double
number_class(const struct predict_answer *answer, size_t row, size_t column)
{
    (void)column;
    return (double)answer->classes[row];
}

static double
number_bound(const struct predict_answer *answer, size_t row, size_t column)
{
    return model_number_get(model_of(answer), answer->intervals, 2 * row + column);
}

static double
number_contribution(const struct predict_answer *answer, size_t row, size_t column)
{
    size_t count = count_contributions(answer);

    return model_number_get(model_of(answer), answer->contributions, row * count + column);
}

static double
number_spread(const struct predict_answer *answer, size_t row, size_t column)
{
    return answer->spreads[row * MODEL_SPREAD_COUNT + column];
}

static void
put_class_of(const struct model *model, uint32_t number, struct buf *text)
{
    if (number < model_class_count(model)) {
        buf_put_bytes(text, model_class_name(model, number));
    } else {
        buf_put_u64(text, number);
    }
}

static void
put_class(const struct predict_answer *answer, size_t row, size_t column, struct buf *text)
{
    (void)column;
    put_class_of(model_of(answer), answer->classes[row], text);
}

/* The classes of a set with commas between. */
static void
put_set(const struct predict_answer *answer, size_t row, size_t column, struct buf *text)
{
    uint32_t count = model_of(answer)->probability_count;
    const uint8_t *set = answer->class_sets + row * count;
    bool is_first = true;

    (void)column;
    for (uint32_t i = 0; i < count; i++) {
        if (set[i] != 0) {
            buf_put_text(text, is_first ? "" : ",");
            put_class_of(model_of(answer), i, text);
            is_first = false;
        }
    }
}

/* Codes with commas between, the most important first. */
static void
put_reasons(const struct predict_answer *answer, size_t row, size_t column, struct buf *text)
{
    (void)column;
    for (uint32_t i = 0; i < answer->reason_counts[row]; i++) {
        buf_put_text(text, i == 0 ? "" : ",");
        buf_put_bytes(text, answer->reasons[row * answer->reasons_max + i].code);
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The output's name; of several columns with :0, :1 and so on behind it. */
static void
put_numbered(const char *name, size_t count, size_t column, struct buf *text)
{
    buf_put_text(text, name);
    if (count > 1) {
        buf_put_u8(text, ':');
        buf_put_u64(text, column);
    }
}

static void
name_prediction(const struct predict_answer *answer, size_t column, struct buf *text)
{
    put_numbered("prediction", count_predictions(answer), column, text);
}

static void
name_margin(const struct predict_answer *answer, size_t column, struct buf *text)
{
    put_numbered("margin", count_margins(answer), column, text);
}

static void
name_probability(const struct predict_answer *answer, size_t column, struct buf *text)
{
    buf_put_text(text, "probability:");
    put_class_of(model_of(answer), (uint32_t)column, text);
}

static void
name_leaf(const struct predict_answer *answer, size_t column, struct buf *text)
{
    put_numbered("leaf", count_leaves(answer), column, text);
}

static void
name_class(const struct predict_answer *answer, size_t column, struct buf *text)
{
    (void)answer;
    (void)column;
    buf_put_text(text, "class");
}

static void
name_bound(const struct predict_answer *answer, size_t column, struct buf *text)
{
    (void)answer;
    buf_put_text(text, column == 0 ? "lower" : "upper");
}

static void
name_set(const struct predict_answer *answer, size_t column, struct buf *text)
{
    (void)answer;
    (void)column;
    buf_put_text(text, "set");
}

static void
name_reasons(const struct predict_answer *answer, size_t column, struct buf *text)
{
    (void)answer;
    (void)column;
    buf_put_text(text, "reasons");
}

/* "f:age" and "bias"; of several outputs with the class behind it. */
static void
name_contribution(const struct predict_answer *answer, size_t column, struct buf *text)
{
    const struct model *model = model_of(answer);
    size_t width = (size_t)model->feature_count + 1;
    uint32_t feature = (uint32_t)(column % width);

    if (feature < model->feature_count) {
        buf_put_text(text, "f:");
        buf_put_bytes(text, model_feature(model, feature).name);
    } else {
        buf_put_text(text, "bias");
    }
    if (model->output_count > 1) {
        buf_put_u8(text, ':');
        put_class_of(model, (uint32_t)(column / width), text);
    }
}

static void
name_spread(const struct predict_answer *answer, size_t column, struct buf *text)
{
    static const char *const names[MODEL_SPREAD_COUNT] = {"std", "min", "max"};

    (void)answer;
    buf_put_text(text, names[column]);
}

/* In the order of an answer's members. */
static const struct column_kind kinds[] = {
    {PREDICT_PREDICTION, count_predictions, name_prediction, number_prediction, NULL, false},
    {PREDICT_MARGIN, count_margins, name_margin, number_margin, NULL, false},
    {PREDICT_PROBABILITIES, count_probabilities, name_probability, number_probability, NULL, false},
    {PREDICT_CLASS, count_one, name_class, number_class, put_class, false},
    {PREDICT_INTERVAL, count_bounds, name_bound, number_bound, NULL, false},
    {PREDICT_INTERVAL, count_sets, name_set, NULL, put_set, false},
    {PREDICT_REASONS, count_one, name_reasons, NULL, put_reasons, false},
    {PREDICT_LEAF, count_leaves, name_leaf, number_leaf, NULL, true},
    {PREDICT_CONTRIBUTIONS, count_contributions, name_contribution, number_contribution, NULL,
     false},
    {PREDICT_SPREAD, count_spread, name_spread, number_spread, NULL, true},
};

static bool
is_asked(const struct predict_answer *answer, const struct column_kind *kind)
{
    return (answer->outputs & kind->output) != 0 && kind->count(answer) > 0;
}

/* ---- what has no columns --------------------------------------------------------------------- */

int
api_columns_check(const struct predict_answer *answer, enum api_form form, struct err *err)
{
    if (answer->top != NULL) {
        err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output",
                "the first few contributions of a row are no columns: leave top_k out, or accept "
                "application/json");
        (void)err_at(err, "top_k");
        return AUGURY_ERR_UNSUPPORTED;
    }
    for (size_t i = 0; form == API_FORM_NPY && i < AUGURY_COUNT(kinds); i++) {
        if (is_asked(answer, &kinds[i]) && kinds[i].number == NULL) {
            err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output",
                    "%s is text, and an array has numbers: accept text/csv or application/json",
                    predict_output_name(kinds[i].output));
            (void)err_at(err, "outputs");
            return AUGURY_ERR_UNSUPPORTED;
        }
    }
    return 0;
}

/* ---- text/csv -------------------------------------------------------------------------------- */

/* What was put from `start` on becomes one cell of RFC 4180: quoted where it has to be, quotes in
 * it doubled. */
static void
cell_end(struct buf *text, size_t start)
{
    size_t quotes = 0;
    bool is_plain = true;

    if (buf_finish(text) != 0) {
        return;
    }
    for (size_t i = start; i < text->len; i++) {
        uint8_t c = text->data[i];
        is_plain = is_plain && c != ',' && c != '\n' && c != '\r' && c != '"';
        quotes += c == '"' ? 1 : 0;
    }
    size_t len = text->len - start;
    if (is_plain || buf_reserve(text, quotes + 2) == NULL) {
        return;
    }
    buf_commit(text, quotes + 2);
    uint8_t *cell = text->data + start;
    size_t to = len + quotes + 2;
    cell[--to] = '"';
    for (size_t from = len; from-- > 0;) {
        uint8_t c = cell[from];
        cell[--to] = c;
        if (c == '"') {
            cell[--to] = '"';
        }
    }
    cell[0] = '"';
}

static void
put_number(const struct predict_answer *answer, const struct column_kind *kind, double number,
           struct buf *text)
{
    char digits[WIRE_F32_TEXT_MAX];

    if (kind->output == PREDICT_LEAF) {
        buf_put_u64(text, (uint64_t)number);
    } else if (kind->is_double || model_of(answer)->number != MODEL_FLOAT32) {
        buf_put(text, digits, wire_f64_to_text(number, digits));
    } else {
        buf_put(text, digits, wire_f32_to_text((float)number, digits));
    }
}

static void
put_csv_row(const struct predict_answer *answer, size_t row, struct buf *text)
{
    bool is_first = true;

    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        const struct column_kind *kind = &kinds[i];
        size_t count = is_asked(answer, kind) ? kind->count(answer) : 0;
        for (size_t column = 0; column < count; column++) {
            if (!is_first) {
                buf_put_u8(text, ',');
            }
            is_first = false;
            size_t start = text->len;
            if (kind->put_text == NULL) {
                put_number(answer, kind, kind->number(answer, row, column), text);
            } else {
                kind->put_text(answer, row, column, text);
                cell_end(text, start);
            }
        }
    }
    buf_put(text, "\r\n", 2);
}

static void
put_csv_head(const struct predict_answer *answer, struct buf *text)
{
    bool is_first = true;

    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        size_t count = is_asked(answer, &kinds[i]) ? kinds[i].count(answer) : 0;
        for (size_t column = 0; column < count; column++) {
            if (!is_first) {
                buf_put_u8(text, ',');
            }
            is_first = false;
            size_t start = text->len;
            kinds[i].put_name(answer, column, text);
            cell_end(text, start);
        }
    }
    buf_put(text, "\r\n", 2);
}

/* ---- application/x-npy ----------------------------------------------------------------------- */

static bool
is_double(const struct predict_answer *answer)
{
    bool is_any = model_of(answer)->number != MODEL_FLOAT32;

    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        is_any = is_any || (is_asked(answer, &kinds[i]) && kinds[i].is_double);
    }
    return is_any;
}

static void
put_npy_head(const struct predict_answer *answer, struct buf *out)
{
    size_t columns = 0;

    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        columns += is_asked(answer, &kinds[i]) ? kinds[i].count(answer) : 0;
    }
    rows_put_npy_header(is_double(answer) ? ROWS_NPY_F8 : ROWS_NPY_F4, answer->row_count,
                        columns == 1 ? 0 : columns, out);
}

static void
put_npy_row(const struct predict_answer *answer, size_t row, struct buf *out)
{
    bool is_f8 = is_double(answer);

    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        const struct column_kind *kind = &kinds[i];
        size_t count = is_asked(answer, kind) ? kind->count(answer) : 0;
        for (size_t column = 0; column < count; column++) {
            double number = kind->number(answer, row, column);
            float narrow = (float)number;
            uint8_t bytes[8];
            uint32_t word;
            uint64_t wide;
            memcpy(&word, &narrow, sizeof(word));
            memcpy(&wide, &number, sizeof(wide));
            if (is_f8) {
                le64_put(bytes, wide);
            } else {
                le32_put(bytes, word);
            }
            buf_put(out, bytes, is_f8 ? 8 : 4);
        }
    }
}

/* ---- both ------------------------------------------------------------------------------------ */

void
api_columns_begin(const struct predict_answer *answer, enum api_form form, struct buf *out)
{
    if (form == API_FORM_NPY) {
        put_npy_head(answer, out);
    } else {
        put_csv_head(answer, out);
    }
}

void
api_columns_put_row(const struct predict_answer *answer, enum api_form form, size_t row,
                    struct buf *out)
{
    if (form == API_FORM_NPY) {
        put_npy_row(answer, row, out);
    } else {
        put_csv_row(answer, row, out);
    }
}
