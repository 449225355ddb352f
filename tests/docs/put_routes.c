/* SPDX-License-Identifier: MIT */
/* put_routes.c - prints the table of routes as markdown, for check_docs.py. */
#include <stdio.h>

#include "../../src/api/api_routes.h"

int
main(void)
{
    const struct api_route *route;

    printf("| method | path | area | right | what |\n|---|---|---|---|---|\n");
    for (size_t i = 0; (route = api_route_at(i)) != NULL; i++) {
        printf("| %s | `%s` | %s | %s | %s |\n", http_method_name(route->method), route->pattern,
               api_area_name(route->area), api_scope_name(route->scope), route->sentence);
    }
    return 0;
}
