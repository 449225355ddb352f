/* SPDX-License-Identifier: MIT */
/*
 * api_test_routes.c - a WebSocket that says what it hears, at /test/echo: what suites that test the
 * protocol talk to. In builds of configure --enable-test-routes alone.
 */
#include "api_test_routes.h"

#include <stdlib.h>

static void
on_message(void *state, struct net_socket *socket, enum net_message_kind kind, struct bytes message)
{
    (void)state;
    net_socket_send(socket, kind, message);
}

static unsigned
get_echo(struct api_call *call)
{
    static const struct net_socket_ops ops = {on_message, free};

    return api_socket_accept(call, &ops, malloc(1));
}

static const struct api_route routes[] = {
    {HTTP_GET, "/test/echo", get_echo, API_AREA_DOCS, API_SCOPE_NONE, API_FORM_JSON, 0,
     "A WebSocket that says what it hears."},
};

const struct api_route *
api_test_route_at(size_t i)
{
    return i < AUGURY_COUNT(routes) ? &routes[i] : NULL;
}
