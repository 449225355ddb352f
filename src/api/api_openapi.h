/* SPDX-License-Identifier: MIT */
/*
 * api_openapi.h - what documents and bodies look like, as the interface's own description shows
 * it. Private to the room. Texts are JSON with ' where JSON has ", and hold neither " nor \.
 */
#pragma once

#include <stddef.h>

/* A member of one of the document's "components". */
struct openapi_component {
    const char *name;
    const char *text;
};
struct openapi_components {
    const char *name; /* "schemas", "parameters", … */
    const struct openapi_component *list;
    size_t count;
};
/* NULL behind the last. */
const struct openapi_components *openapi_components_at(size_t i);
