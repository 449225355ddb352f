/* SPDX-License-Identifier: MIT */
/*
 * api_call.h - one request on its way through the api room. Private to the room. A handler decodes
 * what it needs, writes one document through call->writer and returns the status; a failure goes
 * through api_refuse(), which throws away what was written and writes the error's document instead.
 */
#pragma once

#include "augury/api.h"

struct api {
    struct api_options options;
    struct arena arena; /* of the request at hand; reset after each answer */
};

struct api_call {
    struct api *api;
    const struct http_request *request;
    struct bytes body;
    struct net_answer *answer;
    struct bytes parameter; /* what stands for {…} in the route's pattern, decoded */
    enum wire_format body_format;
    struct wire_writer writer;
    uint64_t now_wall_ms;
    struct err err;
};

typedef unsigned api_handler_fn(struct api_call *call);

/* ---- handlers, one file a resource ----------------------------------------------------------- */

unsigned api_get_index(struct api_call *call);
unsigned api_post_predict(struct api_call *call);
unsigned api_get_models(struct api_call *call);
unsigned api_get_model(struct api_call *call);
unsigned api_get_health(struct api_call *call);
unsigned api_get_status(struct api_call *call);
unsigned api_get_performance(struct api_call *call);
unsigned api_get_metrics(struct api_call *call);

/* ---- errors ---------------------------------------------------------------------------------- */

/* Writes call->err as the whole body and returns the status that suits rc. */
unsigned api_refuse(struct api_call *call, int rc);
/* As api_refuse(), with a status that no code of ours stands for (404 of a route, 405, 415). */
unsigned api_refuse_as(struct api_call *call, unsigned status, const char *code, const char *fmt,
                       ...) AUGURY_PRINTF(4, 5);

/* ---- forms ----------------------------------------------------------------------------------- */

/* Finds the body's and the answer's format by Content-Type and Accept. 0, or the status of a
 * refusal that has been written. */
unsigned api_negotiate(struct api_call *call);

/* ---- documents ------------------------------------------------------------------------------- */

/* Every version of every model as one table. The registry's snapshot is open. */
void api_put_models(struct wire_writer *writer, struct registry *registry);
/* One version with its schema, and the versions beside it. The registry's snapshot is open.
 * warning: what the one who asks should know, or NULL. */
void api_put_model(struct wire_writer *writer, const struct registry *registry,
                   const struct registry_model *model, const char *warning);
/* The rows of an answer, with the model and version that gave it. */
void api_put_answer(struct wire_writer *writer, const struct predict_answer *answer);
/* How a version was calibrated; null when it was not. */
void api_put_calibration(struct wire_writer *writer, const struct model *model);
void api_put_time(struct wire_writer *writer, uint64_t wall_ms); /* ISO 8601 */
void api_put_version(struct wire_writer *writer, uint32_t version);
