/* SPDX-License-Identifier: MIT */
/*
 * api_predict.c - POST /api/v1/predict/{model}: decode, ask, encode (api_answer.c). Nothing that
 * changes from call to call is in the body: how the answer came about is in the headers.
 */
#include "api_batch.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MANY_ROWS = 64 };

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

/* in: what has no such option, and the options that it has. */
static int
option_refuse(struct bytes name, const char *in, unsigned kinds, struct err *err)
{
    struct predict_nearest nearest;
    char names[256] = "";
    size_t len = 0;

    predict_nearest_init(&nearest, name);
    for (size_t i = 0; i < AUGURY_COUNT(options); i++) {
        if ((kinds & (1U << options[i].kind)) != 0) {
            predict_nearest_offer(&nearest, bytes_of_text(options[i].name));
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "",
                                    options[i].name);
        }
    }
    int shown = (int)(name.len < 64 ? name.len : 64);
    if (nearest.found.len > 0) {
        err_set(err, AUGURY_ERR_INVALID, "unknown_option",
                "the %s has no member \"%.*s\"; did you mean \"%.*s\"?", in, shown,
                (const char *)name.data, (int)nearest.found.len, (const char *)nearest.found.data);
    } else {
        err_set(err, AUGURY_ERR_INVALID, "unknown_option",
                "the %s has no member \"%.*s\"; it has %s", in, shown, (const char *)name.data,
                names);
    }
    return err_at(err, "%.*s", shown, (const char *)name.data);
}

int
api_question_refuse_query(struct bytes name, struct err *err)
{
    return option_refuse(name, "query", ~(1U << OPTION_VALUE), err);
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

int
api_question_option(struct predict_question *question, const struct wire_pair *pair,
                    struct err *err)
{
    for (size_t i = 0; i < AUGURY_COUNT(options); i++) {
        if (options[i].kind != OPTION_VALUE && bytes_equal_text(pair->key, options[i].name)) {
            return option_apply(&options[i], &pair->value, question, err);
        }
    }
    return AUGURY_NOT_FOUND;
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
                            : option_refuse(pair->key, "request", ~0U, err);
    }
    return rc;
}

/* Whether cached rows may answer: the request may want none, or none so old. */
void
api_question_wish(const struct api_call *call, struct predict_question *question)
{
    const struct api_wish *wish = &call->wish;
    bool wants_new = wish->is_no_cache || wish->is_no_store;
    uint64_t most_ms = (uint64_t)wish->max_age_s * 1000;

    question->flags =
        (wants_new ? 0 : PREDICT_USE_CACHE) | (wish->is_only_if_cached ? PREDICT_ONLY_CACHED : 0);
    if (wish->max_age_s != UINT32_MAX && most_ms < call->now_wall_ms) {
        question->born_from_wall_ms = call->now_wall_ms - most_ms;
    }
}

void
api_question_table(const struct api_call *call, enum api_form form,
                   struct predict_question *question)
{
    question->table = (struct rows_options){.format = form == API_FORM_NPY ? ROWS_NPY : ROWS_CSV,
                                            .has_header = form == API_FORM_CSV,
                                            .is_vector_row = true,
                                            .content = call->body};
}

static int
decode(struct api_call *call, void *state, struct predict_question *question)
{
    const struct conf *conf = call->api->options.conf;
    struct wire_value document;
    struct wire_limits limits = {
        .depth = conf->limits.json_depth,
        .values = call->body.len + 1, /* a value takes a byte at least; the arena bounds the rest */
        .flags = WIRE_BORROW | WIRE_NONFINITE,
        .deadline_mono_ns = call->deadline_mono_ns,
    };

    (void)state;
    api_split_name(call->parameter, &question->model, &question->selector);
    if (call->body.len == 0) {
        return err_set(&call->err, AUGURY_ERR_INVALID, "invalid_request",
                       "the body is empty; send {\"features\":{…}}");
    }
    if ((call->body_form & (API_FORM_CSV | API_FORM_NPY)) != 0) {
        api_question_table(call, call->body_form, question);
        return api_question_query(call, question);
    }
    int rc = api_query_check(call, NULL, ": options are members of the document");
    if (rc != 0) {
        return rc;
    }
    rc = wire_decode(call->body_format, call->body, &limits, &call->api->arena, &document,
                     &call->err);
    if (rc == AUGURY_ERR_NOMEM) {
        return err_set(&call->err, rc, "request_too_large",
                       "the request needs more working memory than one request may take "
                       "(limits.request_memory); send fewer rows");
    }
    return rc == 0 ? question_from_document(&document, question, &call->err) : rc;
}

/* ---- encode ---------------------------------------------------------------------------------- */

/* How rows and rendered answers were looked up, in one word. */
static enum api_x_cache
x_cache_of(const struct api_call *call, const struct predict_answer *answer, bool may_keep)
{
    if (answer->has_used_cache) {
        return answer->hits == answer->row_count ? API_CACHE_HIT : API_CACHE_MISS;
    }
    return call->response.has_key && may_keep && !answer->has_bypassed ? API_CACHE_MISS
                                                                       : API_CACHE_BYPASS;
}

/* Cached rows are as old as the oldest of them: what is left of its time tells. */
static uint64_t
created_of(const struct api_call *call, const struct predict_answer *answer)
{
    uint64_t ttl_ms = (uint64_t)call->api->options.predict->ttl_s * 1000;

    if (answer->hits == 0 || answer->expires_wall_ms <= ttl_ms) {
        return call->now_wall_ms;
    }
    uint64_t created = answer->expires_wall_ms - ttl_ms;
    return created < call->now_wall_ms ? created : call->now_wall_ms;
}

/* The earliest of what an answer was made from, whether that was kept or not: rows live as long as
 * their class says, the whole as long as its own. 0: neither class is in use. */
static uint64_t
expires_of(const struct api_call *call, const struct predict_answer *answer)
{
    const struct predict_context *predict = call->api->options.predict;
    uint64_t rows_ms = predict->cache != NULL ? (uint64_t)predict->ttl_s * 1000 : 0;
    uint64_t whole_ms =
        call->response.has_key || call->response.is_unlikely
            ? (uint64_t)call->api->options.conf->cache.classes[CONF_CACHE_RESPONSE].ttl_s * 1000
            : 0;
    uint64_t least_ms = rows_ms == 0 || (whole_ms > 0 && whole_ms < rows_ms) ? whole_ms : rows_ms;
    uint64_t expires = least_ms == 0 ? 0 : call->now_wall_ms + least_ms;

    return answer->expires_wall_ms != 0 && answer->expires_wall_ms < expires
               ? answer->expires_wall_ms
               : expires;
}

/* What is sent in pieces has no tag, is not compressed and not kept. */
static void
finish_pieces(struct api_call *call, const struct predict_answer *answer, bool may_keep)
{
    struct api_freshness freshness = {.x_cache = x_cache_of(call, answer, may_keep),
                                      .is_not_to_store = call->wish.is_no_store,
                                      .created_wall_ms = created_of(call, answer)};

    api_put_freshness(call, &freshness);
    call->is_coded = true;
}

/* The rendered answer as the client wants it, with its headers; and it is kept for the next request
 * of the same bytes. */
static void
finish(struct api_call *call, const struct predict_answer *answer, bool may_keep, uint64_t begin_ns)
{
    struct bytes content = buf_view(call->answer->body);
    const struct api_wish *wish = &call->wish;
    struct api_made made = {.content = content, .row_count = (uint32_t)answer->row_count};

    if (buf_finish(call->answer->body) != 0) {
        return;
    }
    if (call->answer->more != NULL) {
        finish_pieces(call, answer, may_keep);
        return;
    }
    enum api_coding coding = api_coding_for(call, content.len);
    enum wire_effort effort = api_effort_now(call->api);
    if (coding == API_GZIP && api_encode(call->api, effort, content, &made.coded) == 0) {
        made.coded_tag = api_tag_of(made.coded);
        call->answer->ready = made.coded;
        /* What is kept for others is worth the usual effort, which the first of them makes. */
        if (effort != WIRE_EFFORT_USUAL) {
            made.coded = bytes_of(NULL, 0);
        }
    } else {
        coding = API_IDENTITY;
    }
    made.content_tag = api_tag_of(content);
    call->took_ns = clock_mono_ns() - begin_ns; /* the one look at the clock for all that asks */
    struct api_freshness freshness = {
        .x_cache = x_cache_of(call, answer, may_keep),
        .is_not_to_store =
            wish->is_no_store || (!may_keep && !wish->is_no_cache && wish->max_age_s == UINT32_MAX),
        .tag = coding == API_GZIP ? made.coded_tag : made.content_tag,
        .created_wall_ms = created_of(call, answer),
        .expires_wall_ms = may_keep ? expires_of(call, answer) : 0,
    };
    api_put_freshness(call, &freshness);
    api_put_coding(call, content.len, coding);
    call->is_coded = true;
    if (may_keep) {
        made.created_wall_ms = freshness.created_wall_ms;
        made.expires_wall_ms = freshness.expires_wall_ms;
        made.cost_us = (uint32_t)(call->took_ns / 1000);
        made.tag = cache_tag(bytes_of_text(answer->model->entry.name));
        made.model_key = call->model_key;
        api_flight_end(call, &made, api_response_keep(call, &made));
    }
}

/* ---- questions of every dialect -------------------------------------------------------------- */

/* Redis is for rows that take longer than asking it. Called again, the call has what it asked
 * for. */
static struct predict_elsewhere *
elsewhere_of(struct api_call *call, uint32_t cost_us)
{
    struct api *api = call->api;
    uint32_t min_us = api->options.conf->redis.min_cost_us;
    bool has_asked = api->elsewhere != NULL;
    struct predict_elsewhere *elsewhere = NULL;

    if (has_asked || (cost_us > 0 && cost_us >= min_us &&
                      cache_redis_is_up(api->options.redis, CACHE_PREDICTION))) {
        elsewhere = arena_zalloc(&api->arena, 1, sizeof(*elsewhere));
    }
    if (elsewhere != NULL) {
        elsewhere->cost_us = cost_us;
        elsewhere->min_cost_us = min_us;
        elsewhere->is_asked = has_asked || call->flight.is_late;
        elsewhere->count =
            api_elsewhere_list(api, elsewhere->wanted, elsewhere->found, PREDICT_WANTED_MAX);
    }
    return elsewhere;
}

/* AUGURY_MORE: the call is put off, until Redis has been asked or the turn ends. */
static int
ask(struct api_call *call, const struct api_asked *asked, struct predict_question *question,
    struct predict_answer *answer)
{
    struct api *api = call->api;
    struct predict_elsewhere *elsewhere = question->elsewhere;
    int rc = predict_answer(api->options.predict, question, &api->arena, answer, &call->err);

    if (rc != AUGURY_MORE) {
        return rc;
    }
    if (question->wait != NULL && question->wait->is_taken) {
        if (api_batch_join(call, asked, question->wait)) {
            return rc;
        }
    } else if (api_elsewhere_ask(call, CACHE_PREDICTION, elsewhere->wanted, elsewhere->count)) {
        return rc;
    }
    if (elsewhere != NULL) {
        elsewhere->is_asked = true;
        elsewhere->count = 0;
    }
    question->wait = NULL;
    predict_end(api->options.predict);
    return predict_answer(api->options.predict, question, &api->arena, answer, &call->err);
}

/* What cannot be decoded or answered. Who allows it gets an answer past its time rather than that
 * there was none in time. */
static unsigned
refuse(struct api_call *call, const struct api_dialect *dialect, int rc)
{
    (void)api_limit_note(call->api, rc, &call->err);
    return rc == AUGURY_ERR_TIMEOUT && api_answer_stale(call) ? 200 : dialect->refuse(call, rc);
}

/* Whether what was computed can be written, and is worth it: many rows take their time to write. */
static int
check_computed(struct api_call *call, const struct api_asked *asked,
               const struct predict_answer *answer)
{
    int rc = asked->dialect->check != NULL ? asked->dialect->check(call, answer) : 0;

    if (rc == 0 && answer->row_count >= MANY_ROWS && api_deadline_is_over(call)) {
        rc = err_set(&call->err, AUGURY_ERR_TIMEOUT, "timeout",
                     "the request's time was over when all of %zu rows were evaluated and none was "
                     "written",
                     answer->row_count);
    }
    stats_add(call->api->options.slot, STATS_PREDICT_ERRORS, rc != 0 ? 1 : 0);
    return rc;
}

unsigned
api_question_finish(struct api_call *call, const struct api_asked *asked,
                    const struct predict_answer *answer, int rc)
{
    api_timing_mark(call, API_PHASE_EVAL);
    if (rc == 0) {
        rc = check_computed(call, asked, answer);
    }
    if (rc != 0) {
        return refuse(call, asked->dialect, rc);
    }
    const struct registry_entry *entry = &answer->model->entry;
    struct api_times times = {.begin_ns = asked->begin_ns,
                              .decoded_ns = asked->decoded_ns,
                              .asked_ns = asked->decoded_ns != 0 ? clock_mono_ns() : 0};
    call->model_key = stats_model_key(bytes_of_text(entry->name), entry->version);
    asked->dialect->put(call, asked->state, answer);
    finish(call, answer, asked->may_keep, asked->begin_ns);
    api_timing_mark(call, API_PHASE_ENCODE);
    times.end_ns = call->took_ns != 0 ? asked->begin_ns + call->took_ns : clock_mono_ns();
    api_figures_answered(call, answer, &times);
    return 200;
}

/* What decodes is answered by whoever is at it already, or here. */
static unsigned
answer_decoded(struct api_call *call, const struct api_asked *asked,
               struct predict_question *question)
{
    const struct api_options *api = &call->api->options;
    struct predict_answer answer;
    struct predict_wait wait;

    if (api_deadline_is_over(call)) {
        api_flight_end(call, NULL, false);
        return api_refuse_late(call);
    }
    uint32_t cost_us = asked->may_keep ? predict_cost_us(api->predict, question) : 0;
    /* What others are at may be made of older rows than this request takes. */
    switch (api_flight_join(call, question->born_from_wall_ms == 0 ? cost_us : 0)) {
    case API_FLIGHT_ANSWERED: return 200;
    case API_FLIGHT_PARKED: return API_LATER;
    case API_FLIGHT_GO: break;
    }
    /* What is put off is read from its body alone. */
    bool may_wait = asked->dialect->is_repeatable == NULL || asked->dialect->is_repeatable(call);
    question->elsewhere = may_wait ? elsewhere_of(call, cost_us) : NULL;
    question->wait = api_batch_offer(call, asked, &wait);
    int rc = ask(call, asked, question, &answer);
    if (rc == AUGURY_MORE) {
        predict_end(api->predict);
        return API_LATER;
    }
    if (rc != 0) {
        api_place_translate(&call->place, question, &call->err);
    }
    unsigned status = api_question_finish(call, asked, &answer, rc);
    if (rc == 0 && call->took_ns != 0) {
        predict_cost_learn(api->predict, question, &answer, call->took_ns);
    }
    predict_end(api->predict);
    api_flight_end(call, NULL, false); /* unless finish() had something for others */
    return status;
}

unsigned
api_answer_question(struct api_call *call, const struct api_dialect *dialect, void *state)
{
    const struct api_options *api = &call->api->options;
    struct predict_question question = {.now_wall_ms = call->now_wall_ms,
                                        .deadline_mono_ns = call->deadline_mono_ns};
    unsigned status;

    call->wish = api_wish_of(call->request);
    if (dialect->is_repeatable != NULL && !dialect->is_repeatable(call)) {
        api_turn_end(call->api);
    } else if (api_response_find(call)) {
        api_timing_mark(call, API_PHASE_CACHE);
        return 200;
    }
    api_timing_mark(call, API_PHASE_CACHE);
    status = api_limit_admit(call);
    if (status != 0) {
        api_flight_end(call, NULL, false);
        return status;
    }
    uint64_t begin_ns = clock_mono_ns();
    call->place.kind = API_PLACE_OWN;
    api_question_wish(call, &question);
    int rc = dialect->decode(call, state, &question);
    api_timing_mark(call, API_PHASE_PARSE);
    if (rc == 0) {
        bool is_sample = api_figures_is_sample(&call->api->decoded_count);
        const struct api_asked asked = {.dialect = dialect,
                                        .state = state,
                                        .begin_ns = begin_ns,
                                        .decoded_ns = is_sample ? clock_mono_ns() : 0,
                                        .may_keep = (question.flags & PREDICT_USE_CACHE) != 0};
        status = answer_decoded(call, &asked, &question);
    } else {
        /* What does not decode is a request all the same: errors are a part of the requests. */
        stats_add(api->slot, STATS_PREDICT_REQUESTS, 1);
        stats_add(api->slot, STATS_PREDICT_ERRORS, 1);
        status = refuse(call, dialect, rc);
        api_flight_end(call, NULL, false); /* it may own what is to be made anew */
    }
    if (status != API_LATER) {
        uint64_t took_ns = call->took_ns != 0 ? call->took_ns : clock_mono_ns() - begin_ns;
        stats_observe(api->slot, STATS_PREDICT_SECONDS, took_ns);
        if (status >= 400) {
            api_figures_refused(call, &question, took_ns);
        }
    }
    return status;
}

/* ---- the handler ----------------------------------------------------------------------------- */

static void
put(struct api_call *call, const void *state, const struct predict_answer *answer)
{
    (void)state;
    api_put_answer(call, answer);
}

static int
check(struct api_call *call, const struct predict_answer *answer)
{
    bool has_columns = (call->form & (API_FORM_CSV | API_FORM_NPY)) != 0;

    return has_columns ? api_columns_check(answer, call->form, &call->err) : 0;
}

unsigned
api_post_predict(struct api_call *call)
{
    static const struct api_dialect native = {decode, put, api_refuse, .check = check};

    if (call->body_form == API_FORM_NDJSON) {
        return api_post_lines(call);
    }

    return api_answer_question(call, &native, NULL);
}
