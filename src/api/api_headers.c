/* SPDX-License-Identifier: MIT */
/*
 * api_headers.c - header fields that any answer may get, whatever its handler: the one place for
 * them. Called when the answer's status and body are final.
 */
#include "api_call.h"

enum { REQUEST_ID_MAX = 128 };

/* The client's own id comes back when it is a plain token; anything else is ignored. */
static void
echo_request_id(const struct api_call *call)
{
    struct bytes id = call->request->request_id;

    if (id.len == 0 || id.len > REQUEST_ID_MAX) {
        return;
    }
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.data[i];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == ':';
        if (!is_plain) {
            return;
        }
    }
    struct buf *headers = call->answer->headers;
    buf_put_text(headers, "X-Request-Id: ");
    buf_put_bytes(headers, id);
    buf_put_text(headers, "\r\n");
}

void
api_answer_headers(struct api_call *call)
{
    echo_request_id(call);
}
