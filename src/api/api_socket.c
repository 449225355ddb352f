/* SPDX-License-Identifier: MIT */
/*
 * api_socket.c - GET /api/v1/predict/{model}/stream, upgraded to WebSocket: each message is what
 * the body of a POST to /api/v1/predict/{model} would be, text as JSON and binary as MessagePack,
 * and gets one message of the same kind. It is answered as that POST is, from the same caches; a
 * label is looked up for each message, so that `model use` shows at once. An error is a message
 * too, and the socket goes on.
 * Each counts for the rate of the key that the socket was opened with, or of the client's address.
 * A message is answered within its turn: it waits for no other process and not for Redis. Overload
 * and deadlines hold for it as for a request.
 */
#include "api_access.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { SOCKET_MAGIC = 0x41534f43, KEEP_BYTES = 64 * 1024 };

static const char suffix[] = "/stream"; /* of the path, behind that of the POST */

struct api_socket {
    uint32_t magic;
    struct api *api;
    const struct api_key *key; /* that it was opened with, or NULL */
    struct ip_address client;
    uint32_t path_len, model_len;
    uint8_t text[]; /* the path of the POST as it was sent, then the parameter */
};

static struct api_socket *
socket_cast(void *arg)
{
    struct api_socket *own = arg;

    AUGURY_ASSERT(own->magic == SOCKET_MAGIC);
    return own;
}

/* A message is whole: what would go out in pieces is put together. */
static void
answer_put_rest(struct net_answer *answer)
{
    int rc = answer->more != NULL ? 0 : AUGURY_END;

    while (rc == 0 && buf_finish(answer->body) == 0) {
        rc = answer->more(answer->more_arg, answer->body);
    }
    if (answer->more != NULL) {
        answer->on_end(answer->more_arg);
        answer->more = NULL;
    }
    if (rc < 0) {
        answer->body->rc = AUGURY_ERR_NOMEM;
    }
}

static void
message_answer(const struct api_socket *own, struct bytes message, enum wire_format format,
               struct net_answer *answer)
{
    struct api *api = own->api;
    struct http_request *request = &api->socket_request;
    const struct net_peer peer = {.listener = "", .client = own->client};
    struct api_call call;

    memset(request, 0, offsetof(struct http_request, headers));
    request->method = HTTP_POST;
    request->minor = 1;
    request->path = bytes_of(own->text, own->path_len);
    request->body_bytes = message.len;
    api_call_init(&call, api, request, answer);
    api_call_form(&call, format);
    api_call_body_form(&call, format == WIRE_JSON ? API_FORM_JSON : API_FORM_MSGPACK);
    call.body = message;
    call.parameter = bytes_of(own->text + own->path_len, own->model_len);
    call.handler = api_post_predict;
    call.peer = &peer;
    call.key = own->key;
    call.flight.is_late = true; /* it waits for nobody */
    api_limit_message(&call);
    api->is_handling = true;
    unsigned status = api->access != NULL ? api_access_again(&call) : 0;
    status = status != 0 ? status : api_post_predict(&call);
    AUGURY_ASSERT(status != API_LATER);
    answer_put_rest(answer);
    api->is_handling = false;
    api_call_finish(&call, status);
}

static void
on_message(void *state, struct net_socket *socket, enum net_message_kind kind, struct bytes message)
{
    struct api_socket *own = socket_cast(state);
    struct buf *body = &own->api->socket_body;
    struct net_answer answer = {.headers = &own->api->socket_headers, .body = body};

    buf_reset(answer.headers);
    buf_reset(answer.body);
    message_answer(own, message, kind == NET_MESSAGE_TEXT ? WIRE_JSON : WIRE_MSGPACK, &answer);
    net_socket_send(socket, kind, answer.ready.data != NULL ? answer.ready : buf_view(body));
    if (body->cap > KEEP_BYTES) {
        buf_fini(body);
    }
}

static void
on_close(void *state)
{
    struct api_socket *own = socket_cast(state);

    own->magic = 0;
    free(own);
}

unsigned
api_socket_accept(struct api_call *call, const struct net_socket_ops *ops, void *state)
{
    struct http_refusal refusal = {
        .status = 503, .code = "no_memory", .reason = "no memory for a socket"};
    int rc = state == NULL ? AUGURY_ERR_NOMEM
                           : net_socket_accept(*call->api->options.server, ops, state, call->answer,
                                               &refusal);

    if (rc == 0) {
        return 101;
    }
    free(state);
    return api_refuse_as(call, refusal.status, refusal.code, "%s", refusal.reason);
}

unsigned
api_get_predict_stream(struct api_call *call)
{
    static const struct net_socket_ops ops = {on_message, on_close};
    struct bytes path = call->request->path;
    struct bytes model = call->parameter;

    path.len -= sizeof(suffix) - 1;
    struct api_socket *own = malloc(sizeof(*own) + path.len + model.len);
    if (own != NULL) {
        *own = (struct api_socket){.magic = SOCKET_MAGIC,
                                   .api = call->api,
                                   .key = call->key,
                                   .client = call->peer->client,
                                   .path_len = (uint32_t)path.len,
                                   .model_len = (uint32_t)model.len};
        memcpy(own->text, path.data, path.len);
        memcpy(own->text + path.len, model.data, model.len);
    }
    return api_socket_accept(call, &ops, own);
}
