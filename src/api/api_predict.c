/* SPDX-License-Identifier: MIT */
/*
 * api_predict.c - POST /api/v1/predict/{model}: decode, ask, encode (api_answer.c). Nothing that
 * changes from call to call is in the body: how the answer came about is in the headers.
 */
#include "api_call.h"

#include <stddef.h>
#include <string.h>

enum option_kind {
    OPTION_VALUE,
    OPTION_OUTPUTS,
    OPTION_FLAG,
    OPTION_ALSO,
    OPTION_LEVEL,
    OPTION_TOP
};

/* The members that a body may have. */
static const struct option {
    const char *name;
    enum option_kind kind;
    size_t offset; /* of a value, in struct predict_question */
    unsigned flag;
} options[] = {
    {"features", OPTION_VALUE, offsetof(struct predict_question, features), 0},
    {"rows", OPTION_VALUE, offsetof(struct predict_question, rows), 0},
    {"columns", OPTION_VALUE, offsetof(struct predict_question, columns), 0},
    {"data", OPTION_VALUE, offsetof(struct predict_question, data), 0},
    {"outputs", OPTION_OUTPUTS, 0, 0},
    {"use_cache", OPTION_FLAG, 0, PREDICT_USE_CACHE},
    {"ignore_unknown", OPTION_FLAG, 0, PREDICT_IGNORE_UNKNOWN},
    {"include_feature_importance", OPTION_ALSO, 0, PREDICT_CONTRIBUTIONS},
    {"include_uncertainty", OPTION_ALSO, 0, PREDICT_INTERVAL},
    {"level", OPTION_LEVEL, 0, 0},
    {"top_k", OPTION_TOP, 0, 0},
};

/* ---- decode ---------------------------------------------------------------------------------- */

static int
add_output(struct bytes name, unsigned *outputs, struct err *err)
{
    enum predict_outputs output;

    if (predict_output_find(name, &output) != 0) {
        err_set(err, AUGURY_ERR_UNSUPPORTED, "no_such_output",
                "there is no output \"%.*s\"; there are %s", (int)(name.len < 64 ? name.len : 64),
                (const char *)name.data, predict_output_names());
        (void)err_at(err, "outputs");
        return AUGURY_ERR_UNSUPPORTED;
    }
    *outputs |= output;
    return 0;
}

static int
outputs_from_text(struct bytes text, unsigned *outputs, struct err *err)
{
    int rc = 0;
    size_t begin = 0;

    for (size_t at = 0; rc == 0 && at <= text.len; at++) {
        if (at == text.len || text.data[at] == ',') {
            rc = add_output(bytes_of(text.data + begin, at - begin), outputs, err);
            begin = at + 1;
        }
    }
    return rc;
}

/* "margin,leaf" or ["margin","leaf"]. */
static int
outputs_from_value(const struct wire_value *value, unsigned *outputs, struct err *err)
{
    int rc = 0;

    if (value->type == WIRE_STRING) {
        return outputs_from_text(wire_string(value), outputs, err);
    }
    bool is_names = value->type == WIRE_ARRAY && value->count > 0;
    for (uint32_t i = 0; is_names && i < value->count; i++) {
        is_names = value->as.items[i].type == WIRE_STRING;
    }
    if (!is_names) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_request", "outputs: expected names out of %s",
                predict_output_names());
        return err_at(err, "outputs");
    }
    for (uint32_t i = 0; rc == 0 && i < value->count; i++) {
        rc = add_output(wire_string(&value->as.items[i]), outputs, err);
    }
    return rc;
}

static int
refuse_option(struct bytes name, struct err *err)
{
    struct predict_nearest nearest;

    predict_nearest_init(&nearest, name);
    for (size_t i = 0; i < AUGURY_COUNT(options); i++) {
        predict_nearest_offer(&nearest, bytes_of_text(options[i].name));
    }
    int shown = (int)(name.len < 64 ? name.len : 64);
    if (nearest.found.len > 0) {
        err_set(err, AUGURY_ERR_INVALID, "unknown_option",
                "the request has no member \"%.*s\"; did you mean \"%.*s\"?", shown,
                (const char *)name.data, (int)nearest.found.len, (const char *)nearest.found.data);
    } else {
        err_set(err, AUGURY_ERR_INVALID, "unknown_option",
                "the request has no member \"%.*s\"; it has features, rows, columns, data, "
                "outputs, include_uncertainty, include_feature_importance, level, top_k, "
                "use_cache, ignore_unknown",
                shown, (const char *)name.data);
    }
    return err_at(err, "%.*s", shown, (const char *)name.data);
}

/* The member of the question at that offset: each is a borrowed value. */
static const struct wire_value **
member_of(struct predict_question *question, size_t offset)
{
    return (const struct wire_value **)(void *)((char *)question + offset);
}

/* A bool that sets or clears bits; *bits is untouched unless value is one. */
static int
bits_apply(const struct option *option, const struct wire_value *value, unsigned *bits,
           struct err *err)
{
    if (value->type != WIRE_BOOL) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_request", "%s: expected true or false, got %s",
                option->name, wire_type_name(value));
        return err_at(err, "%s", option->name);
    }
    *bits = value->as.boolean ? *bits | option->flag : *bits & ~option->flag;
    return 0;
}

static int
level_apply(const struct wire_value *value, struct predict_question *question, struct err *err)
{
    double level;

    if (wire_to_f64(value, &level) != 0) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_level",
                "level: expected a number over 0 and under 1, got %s", wire_type_name(value));
        return err_at(err, "level");
    }
    question->level = level;
    return predict_level_check(level, err);
}

static int
top_apply(const struct wire_value *value, struct predict_question *question, struct err *err)
{
    int64_t number = 0;

    if (wire_to_i64(value, &number) != 0 || number < 1 || number > PREDICT_TOP_MAX) {
        err_set(err, AUGURY_ERR_INVALID, "invalid_request",
                "top_k: expected a whole number from 1 to %d", PREDICT_TOP_MAX);
        return err_at(err, "top_k");
    }
    question->top_k = (uint32_t)number;
    return 0;
}

static int
option_apply(const struct option *option, const struct wire_value *value,
             struct predict_question *question, struct err *err)
{
    unsigned before = question->flags;
    int rc;

    switch (option->kind) {
    case OPTION_VALUE: *member_of(question, option->offset) = value; return 0;
    case OPTION_OUTPUTS: return outputs_from_value(value, &question->outputs, err);
    case OPTION_LEVEL: return level_apply(value, question, err);
    case OPTION_TOP: return top_apply(value, question, err);
    case OPTION_ALSO: return bits_apply(option, value, &question->also, err);
    case OPTION_FLAG: break;
    }
    rc = bits_apply(option, value, &question->flags, err);
    /* A request may switch the cache off, never on where it is off. */
    question->flags &= ~(unsigned)PREDICT_USE_CACHE | before;
    return rc;
}

static int
question_from_document(const struct wire_value *document, struct predict_question *question,
                       struct err *err)
{
    int rc = 0;

    if (document->type != WIRE_OBJECT) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_request",
                       "expected an object with \"features\", \"rows\" or \"data\", got %s",
                       wire_type_name(document));
    }
    for (uint32_t i = 0; rc == 0 && i < document->count; i++) {
        const struct wire_pair *pair = &document->as.pairs[i];
        const struct option *option = NULL;
        for (size_t j = 0; j < AUGURY_COUNT(options) && option == NULL; j++) {
            option = bytes_equal_text(pair->key, options[j].name) ? &options[j] : NULL;
        }
        rc = option != NULL ? option_apply(option, &pair->value, question, err)
                            : refuse_option(pair->key, err);
    }
    return rc;
}

/* Cache-Control: no-cache and no-store both mean: compute it now. */
static bool
wants_fresh(struct bytes cache_control)
{
    static const char *const words[] = {"no-cache", "no-store"};

    for (size_t i = 0; i < AUGURY_COUNT(words); i++) {
        size_t len = strlen(words[i]);
        for (size_t at = 0; at + len <= cache_control.len; at++) {
            if (bytes_equal_nocase(bytes_of(cache_control.data + at, len), words[i])) {
                return true;
            }
        }
    }
    return false;
}

static int
decode(struct api_call *call, struct predict_question *question)
{
    const struct conf *conf = call->api->options.conf;
    struct wire_value document;
    struct wire_limits limits = {
        .depth = conf->limits.json_depth,
        .values = call->body.len + 1, /* a value takes a byte at least; the arena bounds the rest */
        .flags = WIRE_BORROW | WIRE_NONFINITE,
    };

    api_split_name(call->parameter, &question->model, &question->selector);
    question->now_wall_ms = call->now_wall_ms;
    question->flags = conf->cache.classes[CONF_CACHE_PREDICTION].is_enabled &&
                              !wants_fresh(call->request->cache_control)
                          ? PREDICT_USE_CACHE
                          : 0;
    if (call->body.len == 0) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "the body is empty; send {\"features\":{…}}");
    }
    int rc = wire_decode(call->body_format, call->body, &limits, &call->api->arena, &document,
                         &call->err);
    if (rc == AUGURY_ERR_NOMEM) {
        return err_set(&call->err, rc, "request_too_large",
                       "the request needs more working memory than one request may take "
                       "(limits.request_memory); send fewer rows");
    }
    return rc == 0 ? question_from_document(&document, question, &call->err) : rc;
}

/* ---- encode ---------------------------------------------------------------------------------- */

static const char *
x_cache_header(const struct predict_answer *answer)
{
    if (!answer->has_used_cache) {
        return "X-Cache: BYPASS\r\n";
    }
    return answer->hits == answer->row_count ? "X-Cache: HIT\r\n" : "X-Cache: MISS\r\n";
}

/* ---- the handler ----------------------------------------------------------------------------- */

unsigned
api_post_predict(struct api_call *call)
{
    const struct api_options *api = &call->api->options;
    uint64_t begin_ns = clock_mono_ns();
    struct predict_question question = {0};
    struct predict_answer answer;
    unsigned status = 200;
    int rc = decode(call, &question);

    if (rc == 0) {
        rc = predict_answer(api->predict, &question, &call->api->arena, &answer, &call->err);
    } else {
        /* What does not decode is a request all the same: errors are a part of the requests. */
        stats_add(api->slot, STATS_PREDICT_REQUESTS, 1);
        stats_add(api->slot, STATS_PREDICT_ERRORS, 1);
    }
    if (rc == 0) {
        api_put_answer(&call->writer, &answer);
        buf_put_text(call->answer->headers, x_cache_header(&answer));
    } else {
        status = api_refuse(call, rc);
    }
    predict_end(api->predict);
    stats_observe(api->slot, STATS_PREDICT_SECONDS, clock_mono_ns() - begin_ns);
    return status;
}
