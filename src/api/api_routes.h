/* SPDX-License-Identifier: MIT */
/*
 * api_routes.h - the one table of routes: what there is, in which area a listener may offer it,
 * what right it wants and which forms its bodies have. Matching, 404, 405 with Allow, OPTIONS,
 * HEAD, the list at /api/v1 and the documents about the interface all follow from it. Private to
 * the room.
 */
#pragma once

#include "api_call.h"

/* What a listener serves or does not. */
enum api_area {
    API_AREA_PREDICT,
    API_AREA_OBJECTS,
    API_AREA_MODELS,
    API_AREA_STATUS,
    API_AREA_METRICS,
    API_AREA_HEALTH,
    API_AREA_DIALECTS, /* protocols of other servers, but what only tells of health */
    API_AREA_DOCS,
    API_AREA_COUNT
};
const char *api_area_name(enum api_area area); /* "predict", … */

/* What a client has to be allowed to do. */
enum api_scope { API_SCOPE_NONE, API_SCOPE_PREDICT, API_SCOPE_READ, API_SCOPE_WRITE };
const char *api_scope_name(enum api_scope scope); /* "predict", …; of none "" */

enum api_trait {
    API_TRAIT_QUESTION = 1 << 0,  /* api_answer_question(): shares the snapshots of its turn */
    API_TRAIT_OWN_FORMS = 1 << 1, /* looks at Content-Type and Accept itself */
};

struct api_route {
    enum http_method method;
    /* At most API_PARAMETERS_MAX {parameters}; each is a segment, less what follows the brace in
     * it, or, with a star at its end, the rest of the path. */
    const char *pattern;
    api_handler_fn *handler;
    enum api_area area;
    enum api_scope scope;
    unsigned forms;  /* enum api_form */
    unsigned traits; /* enum api_trait */
    const char *sentence;
};

/* The routes in order of use; NULL behind the last. */
const struct api_route *api_route_at(size_t i);
size_t api_route_count(void);

/* What a path leads to. */
struct api_match {
    const struct api_route *route; /* of the method, or NULL */
    const struct api_route *other; /* without route: the first of another method, or NULL */
    unsigned methods; /* without route: of all that the path matches, 1 << enum http_method */
    struct bytes parameters[API_PARAMETERS_MAX]; /* of route; undecoded, borrowed from the path */
    size_t parameter_count;
};
/* method: HEAD is not told from GET. */
void api_route_find(enum http_method method, struct bytes path, struct api_match *out_match);

/* 404, as of a path that leads nowhere: api_route.c. */
unsigned api_refuse_unknown_route(struct api_call *call);

/* ---- gates: 0, or the status of the refusal that was written --------------------------------- */

/* What the listener serves that the call came by, 1 << enum api_area: api_listener.c. */
uint32_t api_listener_areas(const struct api_call *call);
bool api_listener_serves(const struct api_call *call, enum api_area area);
unsigned api_listener_allows(struct api_call *call, const struct api_route *route);
