/* SPDX-License-Identifier: MIT */
/*
 * test_no_memory.c - what starts up and what answers when memory runs out: each of its allocations
 * fails once, then each with all that follow. It ends with a code that says so or does without,
 * gives back what it had (the address sanitizer looks), and works when there is memory again.
 */
#include "../alloc_fail.h"
#include "api_case.h"

/* ---- starting -------------------------------------------------------------------------------- */

static int
read_configuration(void)
{
    static const char *const overrides[] = {"listen.inner.address=127.0.0.1:0",
                                            "object.players.folder=/tmp"};
    static struct conf_errors errors;
    const char *source_dir = getenv("AUGURY_SOURCE");
    char path[1024];
    struct conf *loaded = NULL;

    snprintf(path, sizeof(path), "%s/etc/augury.conf", source_dir != NULL ? source_dir : ".");
    struct conf_source source = {.path = path, .overrides = overrides, .override_count = 2};
    int rc = conf_load(&source, &loaded, &errors);
    if (rc != 0 && errors.count == 0) {
        return 1;
    }
    conf_free(&loaded);
    return rc;
}

static void
a_configuration_is_read_or_refused(void)
{
    alloc_fail_each(read_configuration);
}

static int
read_keys(void)
{
    static struct conf_errors errors;
    struct api_keys *keys = NULL;

    int rc = api_keys_parse("keys",
                            bytes_of_text("x aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa scopes=read\n"),
                            &keys, &errors);
    api_keys_free(&keys);
    return rc;
}

static void
keys_are_read_or_refused(void)
{
    alloc_fail_each(read_keys);
}

static int
start_interface(void)
{
    struct api_options options = api_options_usual();
    struct api *another = NULL;
    struct err err = {.rc = 0};

    int rc = api_new(&options, &another, &err);
    if (rc != 0 && err.reason[0] == '\0') {
        return 1;
    }
    api_free(&another);
    return rc;
}

static void
the_interface_starts_or_says_why_not(void)
{
    alloc_fail_each(start_interface);
}

static int
import_model(void)
{
    struct model_import_options options = {.names = world_names};
    struct registry_entry entry;
    struct err err = {.rc = 0};
    struct buf file;

    unsigned left = alloc_fail.left;
    alloc_fail.left = 0; /* the test's own buffer */
    world_read_model(&file);
    alloc_fail.left = left;
    struct registry_import import = {.name = "another",
                                     .file = buf_view(&file),
                                     .options = &options,
                                     .now_wall_ms = 1700000000000};
    int rc = registry_import(world.registry, &import, &entry, &err);
    buf_fini(&file);
    return rc != 0 && err.reason[0] == '\0' ? 1 : rc > 0 ? 0 : rc;
}

static void
a_model_is_imported_or_refused(void)
{
    alloc_fail_each(import_model);
}

/* ---- answering ------------------------------------------------------------------------------- */

static struct fake wanted;

/* An answer, or the news that there is no memory: never another error. */
static int
ask(void)
{
    static struct http_request request;
    struct net_peer peer = {.listener = "test"};
    struct buf own_headers, own_body;
    int rc = 0;

    buf_init(&own_headers, 4096);
    buf_init(&own_body, 16 << 20);
    struct net_answer answer = {.status = 200, .headers = &own_headers, .body = &own_body};
    request = (struct http_request){.method = wanted.method,
                                    .minor = 1,
                                    .path = bytes_of_text(wanted.path),
                                    .content_type = text_or_none(wanted.type),
                                    .content_encoding = text_or_none(wanted.encoding),
                                    .accept = text_or_none(wanted.accept),
                                    .accept_encoding = text_or_none(wanted.accept_encoding),
                                    .cache_control = bytes_of_text("no-store")};
    api_handle(api, &request, wanted.body, &peer, &answer);
    while (rc == 0 && answer.more != NULL) {
        rc = answer.more(answer.more_arg, &own_body);
    }
    if (answer.more != NULL) {
        answer.on_end(answer.more_arg);
    }
    api_turn_end(api);
    bool is_cut = rc < 0;
    buf_fini(&own_headers);
    buf_fini(&own_body);
    return is_cut || answer.status == 503 || answer.status == 413 ? AUGURY_ERR_NOMEM
           : answer.status == 200                                 ? 0
                                                                  : 1;
}

static struct bytes
many_lines(void)
{
    static char text[256 << 10];
    size_t at = 0;

    for (unsigned i = 0; i < 1900; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "{\"down\":%u,\"ydstogo\":%u}\n",
                               i % 4 + 1, i % 31);
    }
    return bytes_of(text, at);
}

static void
requests_are_answered_or_refused(void)
{
    static const char packed[] =
        "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x4b\x4d\x2c\x29\x2d"
        "\x4a\x2d\x56\xb2\xaa\x56\x4a\xc9\x2f\xcf\x53\xb2\x32\xd6\x51\xaa\x4c\x29"
        "\x2e\xc9\x4f\xcf\x57\xb2\x32\xaf\xad\x05\x00\xe0\x7b\xa1\xf1\x23\x00\x00"
        "\x00";
    const struct fake all[] = {
        {.method = HTTP_POST,
         .path = PREDICT_PATH,
         .type = "application/json",
         .body = bytes_of_text(ROW_ZERO)},
        {.method = HTTP_POST,
         .path = PREDICT_PATH,
         .type = "application/json",
         .encoding = "gzip",
         .body = bytes_of(packed, sizeof(packed) - 1)},
        {.method = HTTP_POST,
         .path = PREDICT_PATH,
         .type = "text/csv",
         .accept = "text/csv",
         .body = bytes_of_text("down,ydstogo\n1,10\n3,4\n")},
        {.method = HTTP_POST,
         .path = PREDICT_PATH,
         .type = "application/x-ndjson",
         .accept = "application/x-ndjson",
         .body = many_lines()},
        {.method = HTTP_POST,
         .path = PREDICT_PATH,
         .type = "application/x-ndjson",
         .accept = "application/json",
         .accept_encoding = "gzip",
         .body = many_lines()},
        {.method = HTTP_POST,
         .path = "/v2/models/nfl-wp/infer",
         .type = "application/json",
         .body = bytes_of_text("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,11],\"datatype\":"
                               "\"FP32\",\"data\":[1,0,900,2700,3.5,3,3,7,45,3,2]}]}")},
        {.method = HTTP_GET, .path = "/metrics"},
        {.method = HTTP_GET, .path = "/openapi.json"},
        {.method = HTTP_GET, .path = "/api/v1/models"},
        {.method = HTTP_GET, .path = "/api/v1/status"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(all); i++) {
        wanted = all[i];
        alloc_fail_each(ask);
        if (tap.has_failed) {
            printf("# request %zu, %s\n", i, all[i].path);
            return;
        }
    }
}

int
main(void)
{
    set_up();
    TAP_RUN(a_configuration_is_read_or_refused);
    TAP_RUN(keys_are_read_or_refused);
    TAP_RUN(the_interface_starts_or_says_why_not);
    TAP_RUN(a_model_is_imported_or_refused);
    TAP_RUN(requests_are_answered_or_refused);
    tear_down();
    return tap_done();
}
