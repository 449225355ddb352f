/* SPDX-License-Identifier: MIT */
/* api_access.h - the gates of this room that look at who asks: keys and rates (api_access.c), pages
 * of other origins (api_cors.c). Private to the room. */
#pragma once

#include "api_call.h"
#include "api_routes.h"

/* ---- api_access.c ---------------------------------------------------------------------------- */

AUGURY_MUST_USE int api_access_setup(struct api *api);
void api_access_teardown(struct api *api);
/* Before a handler, where api->access is not NULL. 0, or the status of the refusal that was
 * written: 401, 403, 429. */
unsigned api_access_enter(struct api_call *call);
/* The same for what comes later over the connection that an allowed request opened: call->key is
 * that request's, and what the key may do has been looked at. */
unsigned api_access_again(struct api_call *call);
/* Whether a key says that its client may change things; without one the configuration decides. */
bool api_access_may_write(const struct api_call *call);
/* What is left of a rate, and Strict-Transport-Security. */
void api_access_put(struct api_call *call);

/* ---- api_cors.c ------------------------------------------------------------------------------ */

/* These where api->has_cors. Of every request: whether a page of another origin may read the
 * answer. */
void api_cors_enter(struct api_call *call);
/* What the answer to OPTIONS says of a path that has those methods (1 << enum http_method). */
void api_cors_preflight(struct api_call *call, unsigned methods);
void api_cors_put(struct api_call *call);
