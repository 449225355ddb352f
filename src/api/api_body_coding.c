/* SPDX-License-Identifier: MIT */
/*
 * api_body_coding.c - bodies that come compressed. What follows, keys of the cache included, knows
 * the decoded body alone: the same question is the same however it was sent, and a body that looks
 * like another one's compressed form is no such thing. limits.body bounds what is decoded as it
 * bounds what arrives.
 */
#include "api_call.h"

static const struct {
    const char *name;
    enum wire_coding coding;
} codings[] = {
    {"gzip", WIRE_GZIP},
    {"x-gzip", WIRE_GZIP}, /* the same to who receives it: RFC 9110 8.4.1.3 */
    {"deflate", WIRE_ZLIB},
};

/* The name's place in the table, or how many there are. */
static size_t
coding_find(struct bytes name)
{
    size_t i = 0;

    while (i < AUGURY_COUNT(codings) && !bytes_equal_nocase(name, codings[i].name)) {
        i++;
    }
    return i;
}

static unsigned
refuse_coding(struct api_call *call, struct bytes name)
{
    buf_put_text(call->answer->headers, "Accept-Encoding: gzip, deflate\r\n");
    return api_refuse_as(call, 415, "unsupported_encoding",
                         "the body's content encoding is \"%.*s\"; expected one of gzip, deflate "
                         "and identity",
                         (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
}

unsigned
api_body_decode(struct api_call *call)
{
    struct api *api = call->api;
    struct bytes name = call->request->content_encoding;

    if (name.len == 0 || bytes_equal_nocase(name, "identity")) {
        return 0;
    }
    size_t i = coding_find(name);
    if (i == AUGURY_COUNT(codings)) {
        return refuse_coding(call, name);
    }
    if (call->body.len == 0) {
        return 0;
    }
    buf_reset(&api->decoded);
    int rc = wire_inflate(api->inflater, codings[i].coding, call->body, &api->decoded);
    if (rc == AUGURY_ERR_LIMIT) {
        stats_add(api->options.slot, STATS_HTTP_BODIES_TOO_LARGE, 1);
        return api_refuse_as(call, 413, "body_too_large",
                             "the body is larger than %zu bytes when it is decoded",
                             api->decoded.max);
    }
    if (rc == AUGURY_ERR_NOMEM) {
        return api_refuse_as(call, 503, "no_memory", "no memory to decode the body");
    }
    if (rc != 0) {
        stats_add(api->options.slot, STATS_HTTP_BODIES_DAMAGED, 1);
        return api_refuse_as(
            call, 400, "invalid_encoding",
            "the body is no %s, or damaged, or other bytes follow it%s", codings[i].name,
            codings[i].coding == WIRE_ZLIB ? "; deflate is the zlib format (RFC 1950)" : "");
    }
    stats_add(api->options.slot, STATS_HTTP_BODIES_DECODED, 1);
    call->body = buf_view(&api->decoded);
    return 0;
}

int
api_body_setup(struct api *api)
{
    buf_init(&api->decoded, (size_t)api->options.conf->limits.body_bytes);
    return wire_inflater_new(&api->inflater);
}

void
api_body_teardown(struct api *api)
{
    buf_fini(&api->decoded);
    if (api->inflater != NULL) {
        wire_inflater_free(&api->inflater);
    }
}
