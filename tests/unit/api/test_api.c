/* SPDX-License-Identifier: MIT */
/*
 * test_api.c - the HTTP interface without a socket: a request goes into api_handle(), its answer is
 * read as text. The bytes that docs/protocol.md shows are checked here as well.
 */
#include "../predict/world_f64.h"
#include "api_case.h"

/* ---- counting allocations -------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_COUNT_ALLOCATIONS = 0 };
static size_t allocations;
#else
/* glibc's own names for what malloc() and its kin do: the program's definitions come first for
 * every library in it. */
enum { CAN_COUNT_ALLOCATIONS = 1 };
static size_t allocations;
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *room, size_t size);

void *
malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *
realloc(void *room, size_t size)
{
    allocations++;
    return __libc_realloc(room, size);
}
#endif

/* ---- numbers --------------------------------------------------------------------------------- */

static void
a_class_is_answered_by_its_number(void)
{
    struct reply reply = post(PREDICT_PATH, "{\"features\":{\"score_differential\":30},"
                                            "\"outputs\":[\"class\",\"probabilities\"]}");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body, "],\"class\":1}]");
    CHECK_CONTAINS(get("/api/v1/models/nfl-wp").body,
                   "\"classes\":null,\"outputs\":[\"prediction\",\"margin\","
                   "\"probabilities\",\"leaf\",\"class\",\"contributions\"]");
}

static void
a_model_of_float64_answers_with_the_shortest_double(void)
{
    world_add_f64(&world);
    struct reply reply =
        post("/api/v1/predict/strict@2",
             "{\"data\":[[0.09999999999999999,1],[0.1,1]],\"outputs\":\"margin\"}");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body,
                   "\"predictions\":[{\"margin\":0.5333333333333333},{\"margin\":1e300}]");
    struct reply packed = send_request(
        (struct fake){.method = HTTP_POST,
                      .path = "/api/v1/predict/strict@2",
                      .accept = "application/msgpack",
                      .body = bytes_of_text("{\"features\":{\"x\":0},\"outputs\":\"margin\"}")});
    /* float64 0.5333333333333333 */
    static const uint8_t wanted[] = {0xcb, 0x3f, 0xe1, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11};
    CHECK_INT(packed.status, 200);
    CHECK(packed.body_len > sizeof(wanted));
    CHECK(memcmp(packed.body + packed.body_len - sizeof(wanted), wanted, sizeof(wanted)) == 0);
}

/* ---- predictions ----------------------------------------------------------------------------- */

static void
a_prediction_is_missed_then_hit_with_the_same_body(void)
{
    static const char answer_begin[] =
        "{\"model\":\"nfl-wp\",\"version\":\"1\",\"predictions\":[{\"prediction\":0.";
    char first[512];

    world_flush(&world);
    struct reply reply = post(PREDICT_PATH, ROW_ZERO);
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.headers, "X-Cache: MISS\r\n");
    CHECK_TEXT(reply.type, "application/json");
    snprintf(first, sizeof(first), "%s", reply.body);
    CHECK(strncmp(first, answer_begin, sizeof(answer_begin) - 1) == 0);
    world_commit(&world, clock_wall_ms());
    reply = post(PREDICT_PATH "@stable", ROW_ZERO);
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\n");
    CHECK_TEXT(reply.body, first);
}

static void
every_published_row_gets_its_published_probability(void)
{
    char text[512];

    for (size_t row = 0; row < WORLD_ROWS; row++) {
        size_t at =
            (size_t)snprintf(text, sizeof(text), "{\"outputs\":[\"prediction\"],\"data\":[[");
        for (size_t i = 0; i < WORLD_FEATURES; i++) {
            char number[32] = "null";
            if (!isnan(world.rows[row][i])) {
                snprintf(number, sizeof(number), "%.9g", (double)world.rows[row][i]);
            }
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? "," : "", number);
        }
        snprintf(text + at, sizeof(text) - at, "]]}");
        struct reply reply = post(PREDICT_PATH, text);
        CHECK_INT(reply.status, 200);
        const char *number = strstr(reply.body, "\"prediction\":");
        CHECK(number != NULL);
        float value = strtof(number + 13, NULL);
        CHECK(memcmp(&value, &world.probabilities[row], sizeof(value)) == 0);
    }
}

static void
outputs_come_as_names_or_as_one_text(void)
{
    struct reply reply = post(
        PREDICT_PATH, "{\"outputs\":\"margin,probabilities,leaf\",\"rows\":[{\"down\":1},{}]}");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body, "\"predictions\":[{\"margin\":");
    CHECK_CONTAINS(reply.body, ",\"probabilities\":[0.");
    CHECK_CONTAINS(reply.body, ",\"leaf\":[");
    CHECK(strstr(reply.body, "\"prediction\":") == NULL);
    reply = post(PREDICT_PATH, "{\"outputs\":[],\"rows\":[]}");
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "\"at\":\"outputs\"");
    reply = post(PREDICT_PATH, "{\"outputs\":[\"shap\"],\"rows\":[]}");
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "\"code\":\"no_such_output\"");
}

static void
a_client_may_do_without_the_cache(void)
{
    struct reply reply = post(PREDICT_PATH, "{\"use_cache\":false,\"features\":{\"down\":1}}");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.headers, "X-Cache: BYPASS\r\n");
    reply = send_request((struct fake){.method = HTTP_POST,
                                       .path = PREDICT_PATH,
                                       .cache_control = "max-age=0, No-Cache",
                                       .body = bytes_of_text("{\"features\":{\"down\":1}}")});
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.headers, "X-Cache: BYPASS\r\n");
}

/* {"features":{"down":3.0}} as Python's msgpack.packb writes it. */
static const uint8_t packed_question[] = "\x81\xa8"
                                         "features\x81\xa4"
                                         "down\xcb\x40\x08\x00\x00\x00\x00\x00\x00";

static void
msgpack_in_is_msgpack_out_with_the_same_numbers(void)
{
    struct fake fake = {.method = HTTP_POST,
                        .path = PREDICT_PATH,
                        .type = "application/x-msgpack",
                        .body = bytes_of(packed_question, sizeof(packed_question) - 1)};
    struct reply reply = send_request(fake);
    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.type, "application/msgpack");
    /* {"model":"nfl-wp","version":"1","predictions":[{"prediction":f32}]} */
    static const char begin[] = "\x83\xa5model\xa6nfl-wp\xa7version\xa1"
                                "1\xabpredictions\x91\x81\xaaprediction\xca";
    CHECK_INT(reply.body_len, sizeof(begin) - 1 + 4);
    CHECK(memcmp(reply.body, begin, sizeof(begin) - 1) == 0);
    const uint8_t *packed = (const uint8_t *)reply.body + sizeof(begin) - 1;
    uint32_t bits = (uint32_t)packed[0] << 24 | (uint32_t)packed[1] << 16 |
                    (uint32_t)packed[2] << 8 | packed[3];
    fake.accept = "text/html;q=0.3, application/json, application/msgpack;q=0.9";
    reply = send_request(fake);
    CHECK_TEXT(reply.type, "application/json");
    float value = strtof(strstr(reply.body, "\"prediction\":") + 13, NULL);
    CHECK(memcmp(&value, &bits, sizeof(value)) == 0);
}

static void
json_may_be_answered_in_msgpack(void)
{
    struct reply reply = send_request((struct fake){.method = HTTP_POST,
                                                    .path = PREDICT_PATH,
                                                    .type = "application/json; charset=utf-8",
                                                    .accept = "application/vnd.msgpack",
                                                    .body = bytes_of_text("{\"rows\":[]}")});
    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.type, "application/msgpack");
    CHECK_INT((uint8_t)reply.body[0], 0x83);
}

static void
a_body_of_an_unnamed_or_curl_type_is_json(void)
{
    static const char *const types[] = {NULL, "text/plain", "application/x-www-form-urlencoded",
                                        "Application/JSON;charset=utf-8"};

    for (size_t i = 0; i < AUGURY_COUNT(types); i++) {
        struct reply reply = send_request((struct fake){.method = HTTP_POST,
                                                        .path = PREDICT_PATH,
                                                        .type = types[i],
                                                        .body = bytes_of_text("{\"rows\":[]}")});
        CHECK_INT(reply.status, 200);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static const struct {
    struct fake fake;
    const char *text;
    unsigned status;
    const char *code, *words;
} refusals[] = {
    {{HTTP_POST, .path = PREDICT_PATH}, "", 400, "invalid_request", "empty"},
    {{HTTP_POST, .path = PREDICT_PATH}, "[1,2]", 400, "invalid_request", "an object"},
    {{HTTP_POST, .path = PREDICT_PATH}, "{\"features\":", 400, "invalid_json", "byte"},
    {{HTTP_POST, .path = PREDICT_PATH},
     "{\"feature\":{}}",
     400,
     "unknown_option",
     "did you mean \\\"features\\\"?"},
    {{HTTP_POST, .path = PREDICT_PATH},
     "{\"use_cache\":1,\"rows\":[]}",
     400,
     "invalid_request",
     "use_cache"},
    {{HTTP_POST, .path = PREDICT_PATH},
     "{\"rows\":[{},{},{},{\"ydstogo\":\"seven\"}]}",
     400,
     "invalid_feature",
     "{\"error\":\"feature \\\"ydstogo\\\": expected a number, got \\\"seven\\\"\",\"code\":"
     "\"invalid_feature\",\"at\":\"rows[3].ydstogo\"}"},
    {{HTTP_POST, .path = "/api/v1/predict/other"},
     "{\"rows\":[]}",
     404,
     "model_not_found",
     "nfl-wp"},
    {{HTTP_POST, .path = PREDICT_PATH "@9"}, "{\"rows\":[]}", 404, "version_not_found", "1"},
    {{HTTP_POST, .path = "/api/v1/predict/"}, "{}", 404, "unknown_route", "/api/v1/predict/"},
    {{HTTP_POST, .path = "/api/v1/predict/a%zz"}, "{}", 400, "invalid_path", "escape"},
    {{HTTP_POST, .path = PREDICT_PATH, .type = "text/xml"},
     "<a/>",
     415,
     "unsupported_type",
     "application/msgpack"},
    {{HTTP_POST, .path = PREDICT_PATH, .encoding = "br"}, "x", 415, "unsupported_encoding", "gzip"},
    {{HTTP_GET, .path = PREDICT_PATH}, "", 405, "method_not_allowed", "GET"},
    {{HTTP_GET, .path = "/api/v2"}, "", 404, "unknown_route", "/api/v1"},
    {{HTTP_DELETE, .path = "/metrics"}, "", 405, "method_not_allowed", "DELETE"},
    {{HTTP_GET, .path = "/api/v1/models/none"}, "", 404, "model_not_found", "none"},
};

static void
every_refusal_has_its_status_and_code(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(refusals); i++) {
        struct fake fake = refusals[i].fake;
        char code[64];
        fake.body = bytes_of_text(refusals[i].text);
        struct reply reply = send_request(fake);
        snprintf(code, sizeof(code), "\"code\":\"%s\"", refusals[i].code);
        if (reply.status != refusals[i].status || strstr(reply.body, code) == NULL ||
            strstr(reply.body, refusals[i].words) == NULL) {
            TAP_FAIL("%s %s: %u %s", fake.path, refusals[i].text, reply.status, reply.body);
        }
    }
}

static void
a_wrong_method_is_told_the_right_ones(void)
{
    struct reply reply = get(PREDICT_PATH);
    CHECK_CONTAINS(reply.headers, "Allow: POST, OPTIONS\r\n");
    reply = send_request((struct fake){.method = HTTP_OPTIONS, .path = "/health"});
    CHECK_INT(reply.status, 204);
    CHECK_CONTAINS(reply.headers, "Allow: GET, HEAD, OPTIONS\r\n");
    CHECK_INT(reply.body_len, 0);
}

static void
a_request_over_its_memory_is_refused(void)
{
    size_t size = 64 << 10;
    char *text = malloc(size);
    size_t at = (size_t)snprintf(text, size, "{\"outputs\":\"leaf\",\"rows\":[{}");

    while (at + 8 < size && at < 3 * 16000) {
        at += (size_t)snprintf(text + at, size - at, ",{}");
    }
    snprintf(text + at, size - at, "]}");
    struct reply reply = post(PREDICT_PATH, text);
    free(text);
    CHECK_INT(reply.status, 413);
    CHECK_CONTAINS(reply.body, "\"code\":\"request_too_large\"");
}

/* ---- other resources ------------------------------------------------------------------------- */

static void
a_plain_request_id_comes_back_and_no_other(void)
{
    struct reply reply = send_request(
        (struct fake){.method = HTTP_GET, .path = "/ping", .id = "0af7651916cd-43.dd:84_48"});
    CHECK_CONTAINS(reply.headers, "X-Request-Id: 0af7651916cd-43.dd:84_48\r\n");
    reply = send_request((struct fake){.method = HTTP_GET, .path = "/ping", .id = "a b"});
    CHECK(strstr(reply.headers, "X-Request-Id") == NULL);
}

static void
health_is_ready_and_names_what_is_degraded(void)
{
    atomic_store(&board.slots[PROC_SLOT_SUPERVISOR].state, PROC_STATE_READY);
    atomic_store(&board.slots[PROC_SLOT_SUPERVISOR].heartbeat_mono_ms, clock_mono_ms());
    struct reply reply = get("/health");
    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.body, "{\"status\":\"ready\",\"live\":true,\"ready\":true,\"reasons\":[],"
                           "\"warnings\":[]}");
    atomic_store(&board.slots[PROC_SLOT_SUPERVISOR].state, PROC_STATE_BACKING_OFF);
    reply = get("/api/v1/health");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body, "\"warnings\":[\"the supervisor is not running\"]");
}

static void
models_are_listed_with_schema_and_versions(void)
{
    struct reply reply = get("/api/v1/models");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body, "{\"models\":[{\"name\":\"nfl-wp\",\"version\":\"1\","
                               "\"labels\":[\"stable\"],\"ready\":true,\"objective\":"
                               "\"binary:logistic\",\"trees\":65,\"imported\":"
                               "\"2023-11-14T22:13:20.000Z\"");
    reply = get("/api/v1/models/strict@1");
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body, "{\"name\":\"receive_2h_ko\",\"type\":\"category\",\"missing\":true,"
                               "\"levels\":[\"no\",\"yes\"]}");
    CHECK_CONTAINS(reply.body, "{\"name\":\"down\",\"type\":\"integer\",\"missing\":false}");
    CHECK_CONTAINS(reply.body,
                   "\"outputs\":[\"prediction\",\"margin\",\"probabilities\",\"leaf\",\"class\","
                   "\"contributions\"]");
}

static void
documents_of_the_daemon_are_whole(void)
{
    static const char *const paths[] = {"/api/v1", "/openapi.json", "/api/v1/status",
                                        "/api/v1/performance"};
    struct wire_limits limits = {.depth = 16, .values = 100000};
    struct arena arena;
    struct err err;

    CHECK_INT(arena_init(&arena, 8 << 20), 0);
    for (size_t i = 0; i < AUGURY_COUNT(paths); i++) {
        struct reply reply = get(paths[i]);
        struct wire_value document;
        CHECK_INT(reply.status, 200);
        CHECK_INT(wire_decode(WIRE_JSON, bytes_of(reply.body, reply.body_len), &limits, &arena,
                              &document, &err),
                  0);
    }
    arena_fini(&arena);
    struct reply reply = get("/api/v1/status");
    CHECK_CONTAINS(reply.body, "\"kind\":\"worker\"");
    CHECK_CONTAINS(reply.body, "\"workers_ready\":1");
    CHECK(strstr(reply.body, "\"private_bytes\":0") == NULL);
    reply = get("/metrics");
    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.type, "text/plain; version=0.0.4; charset=utf-8");
    CHECK_CONTAINS(reply.body, "# TYPE augury_predict_rows_total counter\n");
}

static void
a_prediction_allocates_nothing(void)
{
    if (!CAN_COUNT_ALLOCATIONS) {
        SKIP("the sanitizer has its own malloc");
    }
    (void)post(PREDICT_PATH, ROW_ZERO);
    world_commit(&world, clock_wall_ms());
    (void)post(PREDICT_PATH, ROW_ZERO);
    size_t before = allocations;
    struct reply hit = post(PREDICT_PATH, ROW_ZERO);
    CHECK_CONTAINS(hit.headers, "X-Cache: HIT");
    struct reply miss = post(PREDICT_PATH, "{\"features\":{\"down\":2,\"ydstogo\":31}}");
    CHECK_CONTAINS(miss.headers, "X-Cache: MISS");
    struct reply refused = post(PREDICT_PATH, "{\"features\":{\"down\":[]}}");
    CHECK_INT(refused.status, 400);
    CHECK_INT(allocations, before);
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static int
verb(struct err *err, int argc, const char *const *argv)
{
    struct wire_writer writer;

    buf_reset(&body);
    wire_writer_init(&writer, WIRE_JSON, &body);
    struct api_verbs verbs = {
        .registry = world.registry, .conf = conf, .now_wall_ms = 1700000000000};
    int rc = api_model_verb(&verbs, argc, argv, &writer, err);
    buf_put_u8(&body, 0);
    return rc;
}

#define VERB(...)                                                                                  \
    verb(&err, (int)AUGURY_COUNT(((const char *const[]){__VA_ARGS__})),                            \
         (const char *const[]){__VA_ARGS__})

static void
a_model_is_imported_used_verified_and_unloaded(void)
{
    const char *source = getenv("AUGURY_SOURCE");
    char path[1024];
    struct err err;

    snprintf(path, sizeof(path), "%s/tests/data/nfl-wp/model.ubj", source != NULL ? source : ".");
    CHECK_INT(VERB("import", "extra", path, "--features", world_names, "--version", "7"), 0);
    CHECK_CONTAINS((const char *)body.data, "\"name\":\"extra\",\"version\":\"7\"");
    CHECK_INT(VERB("import", "extra", path, "--use"), 0);
    CHECK_CONTAINS((const char *)body.data, "\"version\":\"8\",\"labels\":[\"stable\"]");
    CHECK_INT(VERB("import", "extra", path, "--iterations", "10:20"), 0);
    CHECK_CONTAINS((const char *)body.data, "\"trees\":10");
    CHECK_INT(VERB("unload", "extra@9"), 0);
    CHECK_INT(VERB("import", "extra", path, "--iterations=20"), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "--iterations is a range A:B");
    CHECK_INT(VERB("use", "extra", "7", "canary"), 0);
    CHECK_TEXT((const char *)body.data,
               "{\"name\":\"extra\",\"version\":\"7\",\"label\":\"canary\"}");
    CHECK_INT(VERB("use", "extra@7", "old"), 0);
    CHECK_TEXT((const char *)body.data, "{\"name\":\"extra\",\"version\":\"7\",\"label\":\"old\"}");
    CHECK_INT(VERB("show", "extra@canary"), 0);
    CHECK_CONTAINS((const char *)body.data, "\"version\":\"7\",\"labels\":[\"canary\",\"old\"]");
    CHECK_INT(VERB("verify", "extra"), 0);
    CHECK_TEXT((const char *)body.data, "{\"verified\":2}");
    CHECK_INT(VERB("verify"), 0);
    CHECK_TEXT((const char *)body.data, "{\"verified\":4}");
    CHECK_INT(VERB("unload", "extra@7"), 0);
    CHECK_TEXT((const char *)body.data, "{\"unloaded\":\"extra\",\"version\":\"7\"}");
    CHECK_INT(VERB("unload", "extra"), 0);
    CHECK_INT(VERB("show", "extra"), AUGURY_NOT_FOUND);
}

static void
wrong_words_of_a_verb_are_named(void)
{
    struct err err;

    CHECK_INT(VERB("improt", "a"), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "usage");
    CHECK_INT(VERB("import", "a"), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "too few");
    CHECK_INT(VERB("import", "a", "b", "--best"), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "--best");
    CHECK_INT(VERB("import", "a", "/nonexistent/file"), AUGURY_ERR_IO);
    CHECK_CONTAINS(err.reason, "/nonexistent/file");
    CHECK_INT(VERB("use", "nfl-wp", "zero"), AUGURY_ERR_INVALID);
    CHECK_INT(VERB("use", "nfl-wp@1", "a", "b"), AUGURY_ERR_INVALID);
    CHECK_INT(VERB("list", "x"), AUGURY_ERR_INVALID);
}

int
main(void)
{
    set_up();
    TAP_RUN(a_prediction_is_missed_then_hit_with_the_same_body);
    TAP_RUN(every_published_row_gets_its_published_probability);
    TAP_RUN(outputs_come_as_names_or_as_one_text);
    TAP_RUN(a_client_may_do_without_the_cache);
    TAP_RUN(msgpack_in_is_msgpack_out_with_the_same_numbers);
    TAP_RUN(json_may_be_answered_in_msgpack);
    TAP_RUN(a_body_of_an_unnamed_or_curl_type_is_json);
    TAP_RUN(every_refusal_has_its_status_and_code);
    TAP_RUN(a_wrong_method_is_told_the_right_ones);
    TAP_RUN(a_request_over_its_memory_is_refused);
    TAP_RUN(a_plain_request_id_comes_back_and_no_other);
    TAP_RUN(health_is_ready_and_names_what_is_degraded);
    TAP_RUN(models_are_listed_with_schema_and_versions);
    TAP_RUN(documents_of_the_daemon_are_whole);
    TAP_RUN(a_prediction_allocates_nothing);
    TAP_RUN(a_model_is_imported_used_verified_and_unloaded);
    TAP_RUN(wrong_words_of_a_verb_are_named);
    TAP_RUN(a_class_is_answered_by_its_number);
    TAP_RUN(a_model_of_float64_answers_with_the_shortest_double);
    tear_down();
    return tap_done();
}
