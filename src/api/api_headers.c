/* SPDX-License-Identifier: MIT */
/*
 * api_headers.c - header fields that any answer may get, whatever its handler: the one place for
 * them. Called when the answer's status and body are final.
 */
#include "api_access.h"

/* The client's own id comes back when it is a plain token; anything else is ignored. */
static void
echo_request_id(const struct api_call *call)
{
    struct bytes id = call->request->request_id;

    if (!http_id_is_plain(id)) {
        return;
    }
    call->answer->request_id = id;
    struct buf *headers = call->answer->headers;
    buf_put_text(headers, "X-Request-Id: ");
    buf_put_bytes(headers, id);
    buf_put_text(headers, "\r\n");
}

void
api_answer_headers(struct api_call *call)
{
    echo_request_id(call);
    if (call->timing.is_wanted) {
        api_timing_put(call);
    }
    if (call->take.limit != 0 || call->is_tls) {
        api_access_put(call);
    }
    if (call->api->has_cors) {
        api_cors_put(call);
    }
}
