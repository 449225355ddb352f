/* SPDX-License-Identifier: MIT */
/*
 * api_query.c - a prediction's options in the query, for bodies that have rows alone:
 * "?outputs=margin,leaf&level=0.8". Names and meanings are those of the members of a JSON body. And
 * what of a query nobody reads.
 */
#include "api_call.h"

/* true, false and numbers are what they are in JSON; everything else is text. */
static void
value_of(struct api_call *call, struct bytes text, struct wire_value *out_value)
{
    const struct wire_limits limits = {.depth = 1, .values = 1};
    struct wire_value value;
    bool is_document =
        wire_decode(WIRE_JSON, text, &limits, &call->api->arena, &value, NULL) == 0 &&
        value.type != WIRE_STRING && value.type != WIRE_NULL;

    *out_value = is_document ? value
                             : (struct wire_value){.type = WIRE_STRING,
                                                   .count = (uint32_t)text.len,
                                                   .as.text = (const char *)text.data};
}

static int
option_read(struct api_call *call, struct bytes name, struct bytes escaped,
            struct predict_question *question)
{
    uint8_t *room = arena_alloc(&call->api->arena, escaped.len + 1);
    struct wire_pair pair = {.key = name};
    size_t len = 0;

    if (room == NULL) {
        return err_set(&call->err, AUGURY_ERR_NOMEM, "request_too_large", "too long a query");
    }
    if (escaped.len > 0 && http_path_decode(escaped, room, &len) != 0) {
        err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                "a value in the query has a %%-escape that is none, or stands for no UTF-8");
        return err_at(&call->err, "%.*s", (int)(name.len < 64 ? name.len : 64),
                      (const char *)name.data);
    }
    value_of(call, bytes_of(room, len), &pair.value);
    int rc = api_question_option(question, &pair, &call->err);
    return rc == AUGURY_NOT_FOUND ? api_question_refuse_query(name, &call->err) : rc;
}

int
api_question_query(struct api_call *call, struct predict_question *question)
{
    struct bytes rest = call->request->query;
    int rc = 0;

    while (rc == 0 && rest.len > 0) {
        struct bytes value;
        struct bytes name = api_cut(api_cut(rest, '&', &rest), '=', &value);
        rc = name.len > 0 ? option_read(call, name, value, question) : 0;
    }
    return rc;
}

int
api_query_check(struct api_call *call, const char *allowed, const char *instead)
{
    struct bytes rest = call->request->query;
    bool is_seen = false;

    while (rest.len > 0) {
        struct bytes value;
        struct bytes name = api_cut(api_cut(rest, '&', &rest), '=', &value);
        int shown = (int)(name.len < 64 ? name.len : 64);
        bool is_allowed = allowed != NULL && bytes_equal_text(name, allowed);
        if (name.len == 0 || (is_allowed && !is_seen)) {
            is_seen = is_seen || is_allowed;
            continue;
        }
        if (is_allowed) {
            err_set(&call->err, AUGURY_ERR_INVALID, "duplicate_parameter",
                    "the query has \"%s\" twice", allowed);
            return err_at(&call->err, "%s", allowed);
        }
        err_set(&call->err, AUGURY_ERR_INVALID, "unknown_parameter",
                "the query of this request has no \"%.*s\"%s", shown, (const char *)name.data,
                instead);
        return err_at(&call->err, "%.*s", shown, (const char *)name.data);
    }
    return 0;
}
