/* SPDX-License-Identifier: MIT */
/* test_cors.c - what pages of other origins are told: by name, by pattern, beforehand, and when
 * they may not read. Expectations are those of the Fetch standard. */
#include "../../tap.h"

#include "api_case.h"

static void
start(const char *const *overrides, size_t count)
{
    api_restart(overrides, count, NULL, NULL);
}

static struct reply
ask_from(enum http_method method, const char *path, const char *origin)
{
    struct http_header fields[2] = {{{NULL, 0}, {NULL, 0}}};
    size_t count = 0;

    if (origin != NULL) {
        fields[count++] = (struct http_header){bytes_of_text("Origin"), bytes_of_text(origin)};
    }
    if (method == HTTP_OPTIONS) {
        fields[count++] = (struct http_header){bytes_of_text("Access-Control-Request-Method"),
                                               bytes_of_text("POST")};
    }
    return send_request(
        (struct fake){.method = method, .path = path, .fields = fields, .field_count = count});
}

static bool
says(struct reply reply, const char *line)
{
    const char *found = strstr(reply.headers, line);

    return found != NULL && (found == reply.headers || found[-1] == '\n');
}

static void
without_origins_nothing_is_said(void)
{
    start(NULL, 0);
    struct reply reply = ask_from(HTTP_GET, "/api/v1", "https://a.example");
    CHECK_INT(reply.status, 200);
    CHECK(strstr(reply.headers, "Access-Control") == NULL);
    CHECK(strstr(reply.headers, "Vary: Origin") == NULL);
    reply = ask_from(HTTP_OPTIONS, PREDICT_PATH, "https://a.example");
    CHECK_INT(reply.status, 204);
    CHECK(strstr(reply.headers, "Access-Control") == NULL);
}

static void
an_origin_is_its_name_or_lies_below_a_star(void)
{
    static const char *const overrides[] = {
        "cors.origins=https://a.example, https://*.b.example http://*.c.example:8080,null"};
    static const char *const welcome[] = {"https://a.example", "https://x.b.example",
                                          "https://x.y-1.b.example", "http://x.c.example:8080",
                                          "null"};
    static const char *const others[] = {"https://a.example:8443",
                                         "http://a.example",
                                         "https://A.example",
                                         "https://a.example.evil.example",
                                         "https://evil.example/https://a.example",
                                         "https://b.example",
                                         "https://.b.example",
                                         "https://x..b.example",
                                         "https://.x.b.example",
                                         "https://xb.example",
                                         "https://evil.example/.b.example",
                                         "https://evil.example:1.b.example",
                                         "https://evil.example@x.b.example",
                                         "https://evil.example#x.b.example",
                                         "https://x.b.example.evil.example",
                                         "http://x.c.example",
                                         "https://",
                                         "*",
                                         "https://*.b.example",
                                         "nul"};

    start(overrides, 1);
    for (size_t i = 0; i < AUGURY_COUNT(welcome); i++) {
        char line[160];
        struct reply reply = ask_from(HTTP_GET, "/api/v1", welcome[i]);
        snprintf(line, sizeof(line), "Access-Control-Allow-Origin: %s\r\n", welcome[i]);
        CHECK(says(reply, line));
        CHECK(says(reply, "Vary: Origin\r\n"));
        CHECK(says(reply, "Access-Control-Expose-Headers: Age, ETag,"));
        CHECK(strstr(reply.headers, "Allow-Credentials") == NULL);
    }
    for (size_t i = 0; i < AUGURY_COUNT(others); i++) {
        struct reply reply = ask_from(HTTP_GET, "/api/v1", others[i]);
        CHECK_INT(reply.status, 200);
        if (strstr(reply.headers, "Access-Control") != NULL) {
            TAP_FAIL("%s is let in", others[i]);
        }
        CHECK(says(reply, "Vary: Origin\r\n"));
    }
    struct reply reply = ask_from(HTTP_GET, "/api/v1", NULL);
    CHECK(strstr(reply.headers, "Access-Control") == NULL);
    CHECK(says(reply, "Vary: Origin\r\n"));
}

static void
every_origin_is_told_a_star(void)
{
    static const char *const overrides[] = {"cors.origins=*"};

    start(overrides, 1);
    struct reply reply = ask_from(HTTP_GET, "/api/v1", "https://whoever.example");
    CHECK(says(reply, "Access-Control-Allow-Origin: *\r\n"));
    CHECK(strstr(reply.headers, "Vary: Origin") == NULL);
    CHECK(strstr(ask_from(HTTP_GET, "/api/v1", NULL).headers, "Access-Control") == NULL);
}

/* What requests may say to us that browsers send to no stranger unasked (Fetch, 4.8). */
static void
pages_may_send_every_field_that_is_read(void)
{
    static const char *const overrides[] = {"cors.origins=https://a.example"};
    static const char *const fields[] = {"Authorization",
                                         "X-API-Key",
                                         "Content-Type",
                                         "Content-Encoding",
                                         "X-Request-Id",
                                         "X-Request-Timeout",
                                         "X-Allow-Stale",
                                         "Cache-Control",
                                         "If-Match",
                                         "If-None-Match",
                                         "Inference-Header-Content-Length"};

    start(overrides, 1);
    struct reply reply = ask_from(HTTP_OPTIONS, PREDICT_PATH, "https://a.example");
    const char *line = strstr(reply.headers, "Access-Control-Allow-Headers: ");
    for (size_t i = 0; i < AUGURY_COUNT(fields); i++) {
        const char *name = line != NULL ? strstr(line, fields[i]) : NULL;
        CHECK(name != NULL && name < strchr(line, '\r'));
    }
}

static void
a_preflight_is_told_what_the_path_has(void)
{
    static const char *const overrides[] = {
        "cors.origins=https://a.example", "cors.methods=GET HEAD POST DELETE",
        "cors.headers=Content-Type, X-API-Key", "cors.max_age=90s", "cors.credentials=yes"};

    start(overrides, 5);
    struct reply reply = ask_from(HTTP_OPTIONS, PREDICT_PATH, "https://a.example");
    CHECK_INT(reply.status, 204);
    CHECK_INT(reply.body_len, 0);
    CHECK(says(reply, "Access-Control-Allow-Origin: https://a.example\r\n"));
    CHECK(says(reply, "Access-Control-Allow-Methods: POST\r\n"));
    CHECK(says(reply, "Access-Control-Allow-Headers: Content-Type, X-API-Key\r\n"));
    CHECK(says(reply, "Access-Control-Max-Age: 90\r\n"));
    CHECK(says(reply, "Access-Control-Allow-Credentials: true\r\n"));
    CHECK(says(reply, "Vary: Origin\r\n"));
    CHECK(says(reply, "Allow: POST, OPTIONS\r\n"));
    reply = ask_from(HTTP_OPTIONS, "/api/v1/objects/a/b", "https://a.example");
    CHECK(says(reply, "Access-Control-Allow-Methods: GET, HEAD, DELETE\r\n"));
    reply = ask_from(HTTP_OPTIONS, PREDICT_PATH, "https://b.example");
    CHECK_INT(reply.status, 204);
    CHECK(strstr(reply.headers, "Access-Control") == NULL);
    reply = ask_from(HTTP_OPTIONS, "/no/such/path", "https://a.example");
    CHECK_INT(reply.status, 404);
    CHECK(strstr(reply.headers, "Allow-Methods") == NULL);
}

/* So that a page can read why. */
static void
refusals_may_be_read_too(void)
{
    static const char *const overrides[] = {"cors.origins=https://a.example", "access.keys=/keys",
                                            "access.required=yes"};

    start(overrides, 3);
    struct reply reply = ask_from(HTTP_GET, "/nothing", "https://a.example");
    CHECK_INT(reply.status, 404);
    CHECK(says(reply, "Access-Control-Allow-Origin: https://a.example\r\n"));
    reply = ask_from(HTTP_GET, PREDICT_PATH, "https://a.example");
    CHECK_INT(reply.status, 405);
    CHECK(says(reply, "Access-Control-Allow-Origin: https://a.example\r\n"));
    reply = ask_from(HTTP_POST, PREDICT_PATH, "https://a.example");
    CHECK_INT(reply.status, 400);
    CHECK(says(reply, "Access-Control-Allow-Origin: https://a.example\r\n"));
}

int
main(void)
{
    set_up();
    TAP_RUN(without_origins_nothing_is_said);
    TAP_RUN(an_origin_is_its_name_or_lies_below_a_star);
    TAP_RUN(every_origin_is_told_a_star);
    TAP_RUN(pages_may_send_every_field_that_is_read);
    TAP_RUN(a_preflight_is_told_what_the_path_has);
    TAP_RUN(refusals_may_be_read_too);
    tear_down();
    conf_free(&own_conf);
    return tap_done();
}
