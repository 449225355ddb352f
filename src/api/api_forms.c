/* SPDX-License-Identifier: MIT */
/*
 * api_forms.c - which form a body has and which the answer gets, of those that the route has. A
 * body without a type, or with the types that curl and browsers send unasked, is JSON. Source: RFC
 * 9110 12.5.1: of the ranges that mean a form the closest one has its weight, the greatest weight
 * wins, the body's own form on a tie, else the first in the table, and an Accept that names none is
 * answered anyway, because an answer in another form says more than 406.
 */
#include "api_routes.h"

enum {
    DOCUMENTS = API_FORM_JSON | API_FORM_MSGPACK,
    NEGOTIATED = DOCUMENTS | API_FORM_CSV | API_FORM_NPY | API_FORM_NDJSON,
};

/* The first of a form is what answers are called. */
static const struct {
    const char *type;
    enum api_form form;
} types[] = {
    {"application/json", API_FORM_JSON},
    {"application/x-www-form-urlencoded", API_FORM_JSON},
    {"text/plain", API_FORM_JSON},
    {"text/json", API_FORM_JSON},
    {"application/msgpack", API_FORM_MSGPACK},
    {"application/x-msgpack", API_FORM_MSGPACK},
    {"application/vnd.msgpack", API_FORM_MSGPACK},
    {"text/csv", API_FORM_CSV},
    {"application/csv", API_FORM_CSV},
    {"application/x-npy", API_FORM_NPY},
    {"application/npy", API_FORM_NPY},
    {"application/x-ndjson", API_FORM_NDJSON},
    {"application/ndjson", API_FORM_NDJSON},
    {"application/jsonl", API_FORM_NDJSON},
    {"application/jsonlines", API_FORM_NDJSON},
};

static struct bytes
trim(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = bytes_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

struct bytes
api_cut(struct bytes text, uint8_t separator, struct bytes *rest)
{
    size_t len = 0;

    while (len < text.len && text.data[len] != separator) {
        len++;
    }
    *rest = len < text.len ? bytes_of(text.data + len + 1, text.len - len - 1) : bytes_of(NULL, 0);
    return trim(bytes_of(text.data, len));
}

/* What the route has of those that are agreed on. */
static unsigned
forms_of(const struct api_call *call)
{
    unsigned forms = call->route != NULL ? call->route->forms & NEGOTIATED : 0;

    return forms != 0 ? forms : DOCUMENTS;
}

bool
api_forms_are_several(const struct api_call *call)
{
    return __builtin_popcount(forms_of(call)) > 1;
}

static bool
form_of_type(struct bytes type, unsigned forms, enum api_form *out_form)
{
    for (size_t i = 0; i < AUGURY_COUNT(types); i++) {
        if ((types[i].form & forms) != 0 && bytes_equal_nocase(type, types[i].type)) {
            *out_form = types[i].form;
            return true;
        }
    }
    return false;
}

static const char *
type_of_form(enum api_form form)
{
    for (size_t i = 0; i < AUGURY_COUNT(types); i++) {
        if (types[i].form == form) {
            return types[i].type;
        }
    }
    return types[0].type;
}

unsigned
api_weight_of(struct bytes parameters)
{
    while (parameters.len > 0) {
        struct bytes parameter = api_cut(parameters, ';', &parameters);
        if (!bytes_start_with(parameter, "q=") && !bytes_start_with(parameter, "Q=")) {
            continue;
        }
        unsigned weight = 0;
        unsigned scale = 1000;
        for (size_t i = 2; i < parameter.len && scale > 0; i++) {
            uint8_t c = parameter.data[i];
            if (c >= '0' && c <= '9') {
                weight += (unsigned)(c - '0') * scale;
                scale /= 10;
            }
        }
        return weight < 1000 ? weight : 1000;
    }
    return 1000;
}

/* How closely a range of Accept means a form; the closest one's weight counts. */
enum closeness { NOT_MEANT, ANY_TYPE, ANY_SUBTYPE, THIS_TYPE };

static enum closeness
closeness_of(struct bytes range, enum api_form form)
{
    bool is_text = bytes_start_with(bytes_of_text(type_of_form(form)), "text/");
    enum api_form named;

    if (bytes_equal_text(range, "*/*")) {
        return ANY_TYPE;
    }
    if (bytes_equal_nocase(range, is_text ? "text/*" : "application/*")) {
        return ANY_SUBTYPE;
    }
    return form_of_type(range, (unsigned)form, &named) ? THIS_TYPE : NOT_MEANT;
}

/* Thousandths; 0: not named, or not wanted. */
static unsigned
weight_in_accept(struct bytes accept, enum api_form form)
{
    enum closeness closest = NOT_MEANT;
    unsigned weight = 0;

    while (accept.len > 0) {
        struct bytes parameters;
        struct bytes range = api_cut(api_cut(accept, ',', &accept), ';', &parameters);
        enum closeness closeness = closeness_of(range, form);
        if (closeness == NOT_MEANT || closeness < closest) {
            continue;
        }
        unsigned named = api_weight_of(parameters);
        weight = closeness > closest || named > weight ? named : weight;
        closest = closeness;
    }
    return weight;
}

static enum api_form
form_of_accept(struct bytes accept, unsigned forms, enum api_form preferred)
{
    enum api_form best = preferred;
    unsigned best_weight = weight_in_accept(accept, preferred);

    for (unsigned bit = 1; bit <= forms; bit <<= 1) {
        unsigned weight = (forms & bit) != 0 ? weight_in_accept(accept, (enum api_form)bit) : 0;
        if (weight > best_weight) {
            best = (enum api_form)bit;
            best_weight = weight;
        }
    }
    return best;
}

void
api_call_form_any(struct api_call *call, enum api_form form)
{
    wire_writer_init(&call->writer, form == API_FORM_MSGPACK ? WIRE_MSGPACK : WIRE_JSON,
                     call->answer->body);
    call->form = form;
    call->answer->content_type = type_of_form(form);
}

void
api_call_form(struct api_call *call, enum wire_format format)
{
    wire_writer_init(&call->writer, format, call->answer->body);
    call->form = format == WIRE_JSON ? API_FORM_JSON : API_FORM_MSGPACK;
    call->answer->content_type = format == WIRE_JSON ? "application/json" : "application/msgpack";
}

void
api_call_body_form(struct api_call *call, enum api_form form)
{
    call->body_form = form;
    call->body_format = form == API_FORM_MSGPACK ? WIRE_MSGPACK : WIRE_JSON;
}

static unsigned
refuse_type(struct api_call *call, unsigned forms)
{
    struct bytes type = call->request->content_type;
    struct buf *headers = call->answer->headers;
    char accepted[160] = "";
    size_t len = 0;
    unsigned told = 0;

    for (size_t i = 0; i < AUGURY_COUNT(types); i++) {
        if ((types[i].form & forms & ~told) != 0) {
            len += (size_t)snprintf(accepted + len, sizeof(accepted) - len, "%s%s",
                                    told != 0 ? ", " : "", types[i].type);
            told |= types[i].form;
        }
    }
    buf_printf(headers, "Accept: %s\r\n", accepted);
    return api_refuse_as(call, 415, "unsupported_type",
                         "the body's type is \"%.*s\"; accepted are %s",
                         (int)(type.len < 64 ? type.len : 64), (const char *)type.data, accepted);
}

unsigned
api_negotiate(struct api_call *call)
{
    const struct http_request *request = call->request;
    struct bytes parameters;
    unsigned forms = forms_of(call);
    enum api_form form = API_FORM_JSON;
    /* What nearly every request says is compared before it is taken apart. */
    bool is_known = request->content_type.len == 0 ||
                    bytes_equal_text(request->content_type, "application/json") ||
                    form_of_type(api_cut(request->content_type, ';', &parameters), forms, &form);

    api_call_body_form(call, form);
    if (request->accept.len > 0 && !bytes_equal_text(request->accept, "*/*")) {
        form = form_of_accept(request->accept, forms, form);
    }
    if ((form & DOCUMENTS) != 0) {
        api_call_form(call, form == API_FORM_JSON ? WIRE_JSON : WIRE_MSGPACK);
    } else {
        api_call_form_any(call, form);
    }
    if (call->body.len == 0) {
        return 0;
    }
    return is_known ? api_body_decode(call) : refuse_type(call, forms);
}
