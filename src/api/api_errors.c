/* SPDX-License-Identifier: MIT */
/* api_errors.c - refusals: the status of a code and the body that every error has: one, and
 * MLflow's on the paths of its protocol. */
#include "api_routes.h"

#include <stdio.h>

static const struct {
    int rc;
    unsigned status;
} statuses[] = {
    {AUGURY_NOT_FOUND, 404},   {AUGURY_ERR_INVALID, 400}, {AUGURY_ERR_UNSUPPORTED, 400},
    {AUGURY_ERR_LIMIT, 413},   {AUGURY_ERR_NOMEM, 413},   {AUGURY_ERR_CORRUPT, 500},
    {AUGURY_ERR_DENIED, 403},  {AUGURY_ERR_EXISTS, 409},  {AUGURY_ERR_IO, 503},
    {AUGURY_ERR_FULL, 503},    {AUGURY_ERR_BUSY, 503},    {AUGURY_ERR_STATE, 503},
    {AUGURY_ERR_TIMEOUT, 504},
};

static unsigned
status_of(int rc)
{
    for (size_t i = 0; i < AUGURY_COUNT(statuses); i++) {
        if (statuses[i].rc == rc) {
            return statuses[i].status;
        }
    }
    return 500;
}

void
api_put_error(struct wire_writer *writer, const struct err *err)
{
    wire_object(writer, 3);
    wire_key(writer, "error");
    wire_put_text(writer, err->reason);
    wire_key(writer, "code");
    wire_put_text(writer, err->code);
    wire_key(writer, "at");
    wire_put_text(writer, err->at);
    wire_end(writer);
}

/* A document, whatever form the answer was to have. */
static unsigned
refuse(struct api_call *call, unsigned status)
{
    buf_reset(call->answer->body);
    if (call->route != NULL && call->route->handler == api_post_invocations) {
        api_call_form(call, WIRE_JSON);
        api_put_invocations_error(&call->writer, status, &call->err);
    } else {
        api_call_form(call, call->writer.format);
        api_put_error(&call->writer, &call->err);
    }
    if (status == 503) {
        buf_put_text(call->answer->headers, "Retry-After: 1\r\n");
    }
    return status;
}

unsigned
api_refuse(struct api_call *call, int rc)
{
    return refuse(call, status_of(rc));
}

static void
err_fill(struct err *err, const char *code, const char *fmt, va_list args)
{
    err->rc = AUGURY_ERR_INVALID;
    err->code = code;
    err->at[0] = '\0';
    vsnprintf(err->reason, sizeof(err->reason), fmt, args);
}

unsigned
api_refuse_as(struct api_call *call, unsigned status, const char *code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err_fill(&call->err, code, fmt, args);
    va_end(args);
    return refuse(call, status);
}

unsigned
api_refuse_at(struct api_call *call, unsigned status, const char *code, const char *at,
              const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err_fill(&call->err, code, fmt, args);
    va_end(args);
    err_at(&call->err, "%s", at);
    return refuse(call, status);
}
