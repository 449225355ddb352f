/* SPDX-License-Identifier: MIT */
/* api_listener.c - which routes are there for the clients of a listener. */
#include "api_routes.h"

_Static_assert((int)CONF_AREA_COUNT == (int)API_AREA_COUNT &&
                   (int)CONF_AREA_PREDICT == (int)API_AREA_PREDICT &&
                   (int)CONF_AREA_DOCS == (int)API_AREA_DOCS,
               "conf and api know the same areas in the same order");

uint32_t
api_listener_areas(const struct api_call *call)
{
    const struct conf *conf = call->api->options.conf;
    unsigned index = call->peer != NULL ? call->peer->listener_index : 0;

    return index >= conf->listen_count ? (1U << API_AREA_COUNT) - 1 : conf->listen[index].routes;
}

bool
api_listener_serves(const struct api_call *call, enum api_area area)
{
    return (api_listener_areas(call) & (1U << area)) != 0;
}

unsigned
api_listener_allows(struct api_call *call, const struct api_route *route)
{
    return api_listener_serves(call, route->area) ? 0 : api_refuse_unknown_route(call);
}
