/* SPDX-License-Identifier: MIT */
/*
 * api_place.c - where in a request of another protocol what is wrong stands. What judges rows names
 * members of our own documents ("rows[3].age", "data[3][1]", "columns[1]"); clients of the others
 * have sent none of these.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

/* A place of ours, taken apart. */
struct own_place {
    bool is_column;  /* "columns[…]": index[0] is a column */
    size_t count;    /* of indices */
    size_t index[2]; /* a row, a column */
    const char *rest;
};

/* False: it is none of rows. */
static bool
own_place_read(const char *at, struct own_place *out_place)
{
    size_t len = strcspn(at, "[.");
    struct bytes name = bytes_of(at, len);
    struct own_place place = {.is_column = bytes_equal_text(name, "columns")};

    if (!place.is_column && !bytes_equal_text(name, "rows") && !bytes_equal_text(name, "data")) {
        return false;
    }
    place.rest = at + len;
    for (; place.count < 2 && *place.rest == '['; place.count++) {
        char *end;
        place.index[place.count] = strtoul(place.rest + 1, &end, 10);
        place.rest = *end == ']' ? end + 1 : end;
    }
    *out_place = place;
    return true;
}

/* "inputs.age[3]" */
static void
put_column(const char *member, const struct own_place *own, const struct predict_question *question,
           struct err *err)
{
    bool has_cell = own->count == 2 && !own->is_column;
    size_t column = own->is_column ? own->index[0] : own->index[1];

    if (own->count == 0 || (!has_cell && !own->is_column) || question->columns == NULL ||
        column >= question->columns->count) {
        (void)err_at(err, "%s", member);
        return;
    }
    struct bytes name = wire_string(&question->columns->as.items[column]);
    int shown = (int)(name.len < 64 ? name.len : 64);
    if (has_cell) {
        (void)err_at(err, "%s.%.*s[%zu]", member, shown, (const char *)name.data, own->index[0]);
    } else {
        (void)err_at(err, "%s.%.*s", member, shown, (const char *)name.data);
    }
}

/* A tensor's values are counted through, as they may be nested, flat or raw bytes. */
static void
put_tensor(const char *member, const struct own_place *own, const struct predict_question *question,
           struct err *err)
{
    const struct wire_value *rows = question->data;

    if (own->count == 2 && rows != NULL && rows->count > 0) {
        (void)err_at(err, "%s, value %zu", member,
                     own->index[0] * rows->as.items[0].count + own->index[1]);
    } else {
        (void)err_at(err, "%s", member);
    }
}

/* A tensor is a column. */
static void
put_tensors(const char *member, const struct own_place *own, struct err *err)
{
    if (own->is_column && own->count > 0) {
        (void)err_at(err, "%s[%zu].name", member, own->index[0]);
    } else if (own->count == 2) {
        (void)err_at(err, "%s[%zu], value %zu", member, own->index[1], own->index[0]);
    } else {
        (void)err_at(err, "%s", member);
    }
}

void
api_place_translate(const struct api_place *place, const struct predict_question *question,
                    struct err *err)
{
    char at[sizeof(err->at)];
    struct own_place own;

    memcpy(at, err->at, sizeof(at));
    if (place->kind == API_PLACE_OWN || !own_place_read(at, &own)) {
        return;
    }
    switch (place->kind) {
    case API_PLACE_OWN: break;
    case API_PLACE_ROWS: (void)err_at(err, "%s%s", place->member, at + strcspn(at, "[.")); break;
    case API_PLACE_SPLIT: (void)err_at(err, "%s.%s", place->member, at); break;
    case API_PLACE_SCALARS:
        if (own.count > 0) {
            (void)err_at(err, "%s[%zu]", place->member, own.index[0]);
        } else {
            (void)err_at(err, "%s", place->member);
        }
        break;
    case API_PLACE_COLUMNS: put_column(place->member, &own, question, err); break;
    case API_PLACE_TENSOR: put_tensor(place->member, &own, question, err); break;
    case API_PLACE_TENSORS: put_tensors(place->member, &own, err); break;
    }
}
