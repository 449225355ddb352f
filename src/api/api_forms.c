/* SPDX-License-Identifier: MIT */
/*
 * api_forms.c - which form a body has and which the answer gets: JSON or MessagePack. A body
 * without a type, or with the types that curl and browsers send unasked, is JSON. Source: RFC 9110
 * 12.5.1, as far as two forms need it: the greatest weight wins, the body's own form on a tie, and
 * an Accept that names neither is answered anyway, because an answer in another form says more than
 * 406.
 */
#include "api_call.h"

static const struct {
    const char *type;
    enum wire_format format;
} body_types[] = {
    {"application/json", WIRE_JSON},
    {"application/x-www-form-urlencoded", WIRE_JSON},
    {"text/plain", WIRE_JSON},
    {"text/json", WIRE_JSON},
    {"application/msgpack", WIRE_MSGPACK},
    {"application/x-msgpack", WIRE_MSGPACK},
    {"application/vnd.msgpack", WIRE_MSGPACK},
};

static const char accepted_types[] = "application/json, application/msgpack";

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

static bool
format_of_type(struct bytes type, enum wire_format *out_format)
{
    for (size_t i = 0; i < AUGURY_COUNT(body_types); i++) {
        if (bytes_equal_nocase(type, body_types[i].type)) {
            *out_format = body_types[i].format;
            return true;
        }
    }
    return false;
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

static enum wire_format
format_of_accept(struct bytes accept, enum wire_format preferred)
{
    unsigned weights[2] = {0, 0}; /* of JSON and MessagePack, when named */

    while (accept.len > 0) {
        struct bytes parameters;
        struct bytes range = api_cut(api_cut(accept, ',', &accept), ';', &parameters);
        unsigned weight = api_weight_of(parameters);
        enum wire_format format;
        if (bytes_equal_text(range, "*/*") || bytes_equal_nocase(range, "application/*")) {
            format = preferred;
        } else if (!format_of_type(range, &format)) {
            continue;
        }
        if (weight > weights[format]) {
            weights[format] = weight;
        }
    }
    if (weights[WIRE_JSON] == weights[WIRE_MSGPACK]) {
        return preferred;
    }
    return weights[WIRE_JSON] > weights[WIRE_MSGPACK] ? WIRE_JSON : WIRE_MSGPACK;
}

void
api_call_form(struct api_call *call, enum wire_format format)
{
    wire_writer_init(&call->writer, format, call->answer->body);
    call->answer->content_type = format == WIRE_JSON ? "application/json" : "application/msgpack";
}

unsigned
api_negotiate(struct api_call *call)
{
    const struct http_request *request = call->request;
    struct bytes parameters;
    enum wire_format format = WIRE_JSON;
    /* What nearly every request says is compared before it is taken apart. */
    bool is_known = request->content_type.len == 0 ||
                    bytes_equal_text(request->content_type, "application/json") ||
                    format_of_type(api_cut(request->content_type, ';', &parameters), &format);

    call->body_format = format;
    if (request->accept.len > 0 && !bytes_equal_text(request->accept, "*/*")) {
        format = format_of_accept(request->accept, format);
    }
    api_call_form(call, format);
    if (call->body.len == 0) {
        return 0;
    }
    if (!is_known) {
        buf_printf(call->answer->headers, "Accept: %s\r\n", accepted_types);
        return api_refuse_as(call, 415, "unsupported_type",
                             "the body's type is \"%.*s\"; accepted are %s",
                             (int)(request->content_type.len < 64 ? request->content_type.len : 64),
                             (const char *)request->content_type.data, accepted_types);
    }
    return api_body_decode(call);
}
