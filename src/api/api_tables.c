/* SPDX-License-Identifier: MIT */
/* api_tables.c - rows and columns of JSON as other servers' clients write them. */
#include "api_tables.h"

static int
no_memory(struct api_call *call)
{
    return err_set(&call->err, AUGURY_ERR_NOMEM, "request_too_large",
                   "the request needs more working memory than one request may take "
                   "(limits.request_memory); send fewer rows");
}

int
api_decode_object(struct api_call *call, struct wire_value *out_document)
{
    struct wire_limits limits = {
        .depth = call->api->options.conf->limits.json_depth,
        .values = call->body.len + 1,
        .flags = WIRE_BORROW | WIRE_NONFINITE,
        .deadline_mono_ns = call->deadline_mono_ns,
    };

    if (call->body.len == 0) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "the body is empty; expected a JSON object");
    }
    int rc =
        wire_decode(WIRE_JSON, call->body, &limits, &call->api->arena, out_document, &call->err);
    if (rc == AUGURY_ERR_NOMEM) {
        return no_memory(call);
    }
    if (rc == 0 && out_document->type != WIRE_OBJECT) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "expected a JSON object, got %s", wire_type_name(out_document));
    }
    return rc;
}

static struct wire_value *
array_make(struct api_call *call, size_t count)
{
    struct wire_value *array = arena_zalloc(&call->api->arena, count + 1, sizeof(*array));

    if (array != NULL) {
        array[0] = (struct wire_value){
            .type = WIRE_ARRAY, .count = (uint32_t)count, .as.items = array + 1};
    }
    return array;
}

/* Each value is a row. */
static int
rows_of_scalars(struct api_call *call, const struct wire_value *rows,
                struct predict_question *question)
{
    struct wire_value *table = array_make(call, rows->count);

    if (table == NULL) {
        return no_memory(call);
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        table[1 + i] =
            (struct wire_value){.type = WIRE_ARRAY, .count = 1, .as.items = &rows->as.items[i]};
    }
    question->data = table;
    return 0;
}

int
api_table_rows(struct api_call *call, const char *at, const struct wire_value *rows,
               struct predict_question *question)
{
    if (rows->type != WIRE_ARRAY || rows->count == 0) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                "%s: expected an array of rows, got %s", at,
                rows->type == WIRE_ARRAY ? "an empty one" : wire_type_name(rows));
        return err_at(&call->err, "%s", at);
    }
    call->place = (struct api_place){API_PLACE_ROWS, at};
    switch ((enum wire_type)rows->as.items[0].type) {
    case WIRE_OBJECT: question->rows = rows; return 0;
    case WIRE_ARRAY: question->data = rows; return 0;
    default: call->place.kind = API_PLACE_SCALARS; return rows_of_scalars(call, rows, question);
    }
}

static int
columns_check(struct api_call *call, const char *at, const struct wire_value *columns)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        const struct wire_pair *pair = &columns->as.pairs[i];
        uint32_t rows = columns->as.pairs[0].value.count;
        if (pair->value.type != WIRE_ARRAY || pair->value.count != rows) {
            err_set(&call->err, AUGURY_ERR_INVALID, "invalid_shape",
                    "a column: expected an array of as many values as the first has, got %s",
                    pair->value.type != WIRE_ARRAY ? wire_type_name(&pair->value)
                                                   : "another length");
            return err_at(&call->err, "%s.%.*s", at, (int)(pair->key.len < 64 ? pair->key.len : 64),
                          (const char *)pair->key.data);
        }
    }
    return 0;
}

int
api_table_columns(struct api_call *call, const char *at, const struct wire_value *columns,
                  struct predict_question *question)
{
    if (columns->type != WIRE_OBJECT || columns->count == 0) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                "%s: expected an object of columns, got %s", at,
                columns->type == WIRE_OBJECT ? "an empty one" : wire_type_name(columns));
        return err_at(&call->err, "%s", at);
    }
    int rc = columns_check(call, at, columns);
    if (rc != 0) {
        return rc;
    }
    size_t width = columns->count;
    size_t rows = columns->as.pairs[0].value.count;
    struct wire_value *names = array_make(call, width);
    struct wire_value *table = array_make(call, rows);
    struct wire_value *cells = arena_zalloc(&call->api->arena, rows * width + 1, sizeof(*cells));
    if (names == NULL || table == NULL || cells == NULL) {
        return no_memory(call);
    }
    for (size_t i = 0; i < width; i++) {
        const struct wire_pair *pair = &columns->as.pairs[i];
        names[1 + i] = (struct wire_value){.type = WIRE_STRING,
                                           .count = (uint32_t)pair->key.len,
                                           .as.text = (const char *)pair->key.data};
        for (size_t row = 0; row < rows; row++) {
            cells[row * width + i] = pair->value.as.items[row];
        }
    }
    for (size_t row = 0; row < rows; row++) {
        table[1 + row] = (struct wire_value){
            .type = WIRE_ARRAY, .count = (uint32_t)width, .as.items = cells + row * width};
    }
    question->columns = names;
    question->data = table;
    call->place = (struct api_place){API_PLACE_COLUMNS, at};
    return 0;
}

void
api_put_table(struct wire_writer *writer, const struct predict_answer *answer)
{
    bool is_single = __builtin_popcount(answer->outputs) == 1;

    wire_array(writer, (uint32_t)answer->row_count);
    for (size_t row = 0; row < answer->row_count; row++) {
        if (is_single) {
            api_put_row_value(writer, answer, row);
        } else {
            api_put_row(writer, answer, row);
        }
    }
    wire_end(writer);
}
