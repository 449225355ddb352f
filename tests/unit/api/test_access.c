/* SPDX-License-Identifier: MIT */
/* test_access.c - requests with and without keys: who is let in, who is told what, what is counted,
 * and that a rendered answer is no way around. */
#include "../../tap.h"

#include "api_case.h"

static const char secret_app[] = "aug_app-secret-0123456789abcdefghijklmnopqrstuv";
static const char secret_slow[] = "a key that somebody has chosen";
static const char secret_old[] = "aug_old";
static const char secret_long[] =
    "aug_0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567";

static struct api_keys *keys;
static struct api_buckets *buckets;

/* ---- the room with keys ---------------------------------------------------------------------- */

static void
add_line(struct buf *text, const char *name, const char *secret, const char *rest)
{
    char hex[SEAL_SHA256_HEX_BYTES];
    uint8_t sha256[SEAL_SHA256_BYTES];
    struct err err = {0};

    WORLD_MUST(seal_sha256(bytes_of_text(secret), sha256));
    hex_encode(bytes_of(sha256, sizeof(sha256)), hex);
    buf_printf(text, "%s %.*s %s\n", name, (int)sizeof(hex), hex, rest);
}

static void
make_keys(void)
{
    static struct conf_errors errors;
    struct err err = {0};
    struct buf text;

    buf_init(&text, 1 << 16);
    add_line(&text, "app", secret_app, "scopes=predict,read");
    add_line(&text, "slow", secret_slow, "scopes=predict rate=2/h burst=3");
    add_line(&text, "old", secret_old, "scopes=predict,read,write expires=2020-01-01");
    add_line(&text, "long", secret_long, "scopes=predict,read,write");
    add_line(&text, "writer", "aug_writer", "scopes=write");
    WORLD_MUST(api_keys_parse("keys", buf_view(&text), &keys, &errors));
    api_keys_fit(keys, buckets, clock_mono_ns());
    buf_fini(&text);
}

static void
restart(const char *const *overrides, size_t count, const struct api_keys *with)
{
    api_restart(overrides, count, with, buckets);
}

static void
start(const char *first, const char *second)
{
    const char *const overrides[] = {"access.keys=/keys", first, second};

    restart(overrides, second != NULL ? 3 : first != NULL ? 2 : 1, keys);
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct http_header
field(const char *name, const char *value)
{
    return (struct http_header){bytes_of_text(name), bytes_of_text(value)};
}

/* A PUT goes as far as its query, which is wrong: 400. */
static struct reply
ask(enum http_method method, const char *path, struct http_header one)
{
    struct http_header fields[] = {field("Host", "x"), one};

    return send_request((struct fake){.method = method,
                                      .path = path,
                                      .query = method == HTTP_PUT ? "ttl=never" : NULL,
                                      .type = "application/json",
                                      .body = bytes_of_text(method == HTTP_POST ? ROW_ZERO : ""),
                                      .fields = fields,
                                      .field_count = 2});
}

static struct reply
predict_with(const char *secret)
{
    return ask(HTTP_POST, PREDICT_PATH, field("X-API-Key", secret));
}

static uint64_t
counted(enum stats_id id)
{
    static uint64_t before[STATS_COUNT];
    uint64_t now = world_count(&world, id);
    uint64_t new = now - before[id];

    before[id] = now;
    return new;
}

static void
a_key_comes_as_bearer_or_in_a_field_of_its_own(void)
{
    char value[160];

    start("access.required=yes", NULL);
    CHECK_INT(predict_with(secret_app).status, 200);
    CHECK_INT(predict_with(secret_app).status, 200);
    static const char *const forms[] = {"Bearer %s", "bearer %s", "BEARER \t %s"};
    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        snprintf(value, sizeof(value), forms[i], secret_app); /* NOLINT: constant forms */
        CHECK_INT(ask(HTTP_POST, PREDICT_PATH, field("authorization", value)).status, 200);
        CHECK_INT(ask(HTTP_POST, PREDICT_PATH, field("AUTHORIZATION", value)).status, 200);
    }
    CHECK_INT(predict_with(secret_long).status, 200);
    CHECK_INT(predict_with(secret_long).status, 200);
    CHECK_INT(counted(STATS_ACCESS_KEYED), 10);
}

static void
who_has_no_key_is_told_how_one_is_sent(void)
{
    start("access.required=yes", NULL);
    static const struct {
        const char *name, *value;
    } none[] = {{"Accept", "*/*"},
                {"X-API-Key", ""},
                {"Authorization", ""},
                {"Authorization", "Bearer"},
                {"Authorization", "Bearer "},
                {"Authorization", "Basic YTpi"},
                {"Authorization", "Bearers x"},
                {"X-API-Kez", "aug_x"}};
    for (size_t i = 0; i < AUGURY_COUNT(none); i++) {
        struct reply reply = ask(HTTP_POST, PREDICT_PATH, field(none[i].name, none[i].value));
        CHECK_INT(reply.status, 401);
        CHECK_CONTAINS(reply.headers, "WWW-Authenticate: Bearer realm=\"augury\"\r\n");
        CHECK_CONTAINS(reply.body, "\"code\":\"key_missing\",\"at\":\"\"}");
    }
    CHECK_INT(counted(STATS_ACCESS_MISSING), AUGURY_COUNT(none));
    struct reply reply = ask(HTTP_POST, "/models/nfl-wp/invocations", field("Accept", "*/*"));
    CHECK_INT(reply.status, 401);
    CHECK_CONTAINS(reply.body, "{\"error_code\":\"UNAUTHENTICATED\",\"message\":\"");
    CHECK_CONTAINS(reply.body, "\"code\":\"key_missing\",\"at\":\"\"}");
}

static void
an_unknown_key_and_an_expired_one_are_told_the_same(void)
{
    char unknown[4096], text[400];

    start("access.required=yes", NULL);
    struct reply reply = predict_with("aug_nobody");
    CHECK_INT(reply.status, 401);
    snprintf(unknown, sizeof(unknown), "%s%s", reply.headers, reply.body);
    CHECK_CONTAINS(unknown,
                   "WWW-Authenticate: Bearer realm=\"augury\", error=\"invalid_token\"\r\n");
    CHECK_CONTAINS(unknown, "\"code\":\"key_unknown\"");
    CHECK(strstr(unknown, "nobody") == NULL);
    reply = predict_with(secret_old);
    CHECK_INT(reply.status, 401);
    char expired[4096];
    snprintf(expired, sizeof(expired), "%s%s", reply.headers, reply.body);
    CHECK_TEXT(expired, unknown);
    CHECK_INT(predict_with(secret_old).status, 401); /* as well when it is remembered */
    CHECK_INT(counted(STATS_ACCESS_UNKNOWN), 1);
    CHECK_INT(counted(STATS_ACCESS_EXPIRED), 2);

    /* A right key with something before, behind or instead. */
    CHECK_INT(predict_with(secret_app).status, 200);
    for (size_t i = 0; i < strlen(secret_app); i += 7) {
        snprintf(text, sizeof(text), "%s", secret_app);
        text[i] ^= 1;
        CHECK_INT(predict_with(text).status, 401);
        text[i] = '\0';
        CHECK_INT(predict_with(text).status, 401);
    }
    snprintf(text, sizeof(text), "%sx", secret_app);
    CHECK_INT(predict_with(text).status, 401);
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    CHECK_INT(predict_with(text).status, 401);
}

static void
two_keys_that_differ_are_no_key(void)
{
    struct http_header fields[] = {field("X-API-Key", secret_app),
                                   field("Authorization", "Bearer aug_nobody")};
    struct fake fake = {
        .method = HTTP_GET, .path = "/api/v1/models", .fields = fields, .field_count = 2};

    start(NULL, NULL);
    struct reply reply = send_request(fake);
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "\"code\":\"two_keys\"");
    fields[1] = field("X-API-Key", "aug_writer");
    CHECK_INT(send_request(fake).status, 400);
    fields[1] = field("X-API-Key", secret_app);
    CHECK_INT(send_request(fake).status, 200);
}

static void
a_key_does_what_its_scopes_say(void)
{
    static const struct {
        const char *secret;
        unsigned predict, read, write;
    } cases[] = {
        {"aug_writer", 403, 403, 400}, {secret_app, 200, 200, 403}, {secret_long, 200, 200, 400}};

    start("access.required=yes", NULL);
    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct http_header key = field("X-API-Key", cases[i].secret);
        CHECK_INT(ask(HTTP_POST, PREDICT_PATH, key).status, cases[i].predict);
        CHECK_INT(ask(HTTP_GET, "/api/v1/models", key).status, cases[i].read);
        CHECK_INT(ask(HTTP_HEAD, "/metrics", key).status, cases[i].read);
        struct reply reply = ask(HTTP_PUT, "/api/v1/objects/a", key);
        CHECK_INT(reply.status, cases[i].write);
        if (cases[i].write == 403) {
            CHECK_CONTAINS(reply.headers, "error=\"insufficient_scope\", scope=\"write\"\r\n");
            CHECK_CONTAINS(reply.body, "\"code\":\"scope_missing\"");
        }
    }
}

/* Decision 035: a key of scope write is what writable = yes is to everybody. */
static void
without_a_key_the_configuration_says_who_writes(void)
{
    start(NULL, NULL);
    struct reply reply = ask(HTTP_PUT, "/api/v1/objects/a", field("Accept", "*/*"));
    CHECK_INT(reply.status, 403);
    CHECK_CONTAINS(reply.body, "\"code\":\"not_writable\"");
    CHECK_INT(ask(HTTP_PUT, "/api/v1/objects/a", field("X-API-Key", secret_long)).status, 400);
    CHECK_INT(ask(HTTP_PUT, "/api/v1/objects/a", field("X-API-Key", secret_app)).status, 403);
    start("cache.object.writable=yes", NULL);
    CHECK_INT(ask(HTTP_PUT, "/api/v1/objects/a", field("Accept", "*/*")).status, 400);
    CHECK_INT(ask(HTTP_PUT, "/api/v1/objects/a", field("X-API-Key", secret_app)).status, 403);
    start("cache.object.writable=yes", "access.required=yes");
    CHECK_INT(ask(HTTP_PUT, "/api/v1/objects/a", field("Accept", "*/*")).status, 401);
}

static void
health_and_open_areas_need_no_key(void)
{
    start("access.required=yes", NULL);
    CHECK(get("/api/v1/health").status != 401);
    CHECK(get("/ping").status != 401);
    CHECK_INT(get("/api/v1").status, 200);
    CHECK_INT(get("/metrics").status, 401);
    CHECK_INT(get("/no/such/path").status, 404);
    CHECK_INT(get("/api/v1/predict/nfl-wp").status, 405);
    start("access.required=yes", "access.open=metrics, models");
    CHECK_INT(get("/metrics").status, 200);
    CHECK_INT(get("/api/v1/models").status, 200);
    CHECK_INT(get("/api/v1/status").status, 401);
    CHECK_INT(ask(HTTP_GET, "/metrics", field("X-API-Key", "aug_writer")).status, 200);
    CHECK_INT(ask(HTTP_GET, "/metrics", field("X-API-Key", "aug_nobody")).status, 401);
}

static void
where_keys_are_not_required_a_wrong_one_is_refused_all_the_same(void)
{
    start(NULL, NULL);
    CHECK_INT(post(PREDICT_PATH, ROW_ZERO).status, 200);
    CHECK_INT(predict_with(secret_app).status, 200);
    CHECK_INT(predict_with("aug_nobody").status, 401);
    CHECK_INT(predict_with(secret_old).status, 401);
    restart(NULL, 0, NULL);
    CHECK_INT(predict_with("aug_nobody").status, 200); /* there are no keys at all */
}

static void
a_key_with_a_rate_is_told_what_is_left(void)
{
    char line[64];

    start(NULL, NULL);
    (void)counted(STATS_ACCESS_KEY_RATE);
    for (unsigned i = 0; i < 3; i++) {
        struct reply reply = predict_with(secret_slow);
        CHECK_INT(reply.status, 200);
        snprintf(line, sizeof(line), "RateLimit-Limit: 3\r\nRateLimit-Remaining: %u\r\n", 2 - i);
        CHECK_CONTAINS(reply.headers, line);
    }
    struct reply reply = predict_with(secret_slow);
    CHECK_INT(reply.status, 429);
    CHECK_CONTAINS(reply.body, "\"code\":\"rate_limited\"");
    CHECK_CONTAINS(reply.headers, "RateLimit-Remaining: 0\r\nRateLimit-Reset: 5400\r\n");
    unsigned retry_s = 0;
    CHECK(sscanf(strstr(reply.headers, "Retry-After: "), "Retry-After: %u", &retry_s) == 1);
    CHECK(retry_s > 1700 && retry_s <= 1800);
    CHECK_INT(counted(STATS_ACCESS_KEY_RATE), 1);
    CHECK(strstr(predict_with(secret_app).headers, "RateLimit") == NULL);
    CHECK_INT(get("/api/v1/models").status, 200);
}

static struct reply
from(const char *address, const char *secret)
{
    struct ip_address client;
    struct http_header fields[] = {field("X-API-Key", secret != NULL ? secret : "")};

    if (ip_parse(bytes_of_text(address), &client) != 0) {
        abort();
    }
    return send_request((struct fake){.method = HTTP_GET,
                                      .path = "/api/v1/models",
                                      .fields = fields,
                                      .field_count = secret != NULL ? 1 : 0,
                                      .client = client});
}

static void
who_has_no_key_is_counted_by_address(void)
{
    start("access.client_rate=2/h", "access.client_burst=3");
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(from("192.0.2.1", NULL).status, 200);
    }
    struct reply reply = from("192.0.2.1", NULL);
    CHECK_INT(reply.status, 429);
    CHECK_CONTAINS(reply.headers, "Retry-After: ");
    CHECK_INT(from("192.0.2.2", NULL).status, 200);
    CHECK_INT(from("192.0.2.1", secret_app).status, 200); /* counted as a key, which has no rate */
    CHECK_INT(counted(STATS_ACCESS_CLIENT_RATE), 1);
}

static void
guesses_are_counted_too(void)
{
    char secret[32];

    start("access.client_rate=2/h", "access.client_burst=3");
    for (unsigned i = 0; i < 6; i++) {
        snprintf(secret, sizeof(secret), "aug_%u", i);
        CHECK_INT(from("192.0.2.3", secret).status, i < 3 ? 401 : 429);
    }
}

/* ROW_ZERO has been asked for above, so its answer is rendered. */
static void
a_rendered_answer_wants_a_key_too(void)
{
    start("access.required=yes", NULL);
    world_commit(&world, clock_wall_ms());
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(predict_with(secret_app).status, 200);
        world_commit(&world, clock_wall_ms());
    }
    uint64_t hits = world_count(&world, STATS_CACHE_HITS_RESPONSE);
    struct reply reply = predict_with(secret_app);
    CHECK_INT(reply.status, 200);
    CHECK(world_count(&world, STATS_CACHE_HITS_RESPONSE) == hits + 1);
    CHECK_CONTAINS(reply.headers, "Cache-Control: private, max-age=");
    CHECK_INT(post(PREDICT_PATH, ROW_ZERO).status, 401);
    CHECK_INT(predict_with("aug_nobody").status, 401);
    CHECK_INT(predict_with("aug_writer").status, 403);
    CHECK(world_count(&world, STATS_CACHE_HITS_RESPONSE) == hits + 1);
    start(NULL, NULL);
    CHECK_CONTAINS(post(PREDICT_PATH, ROW_ZERO).headers, "Cache-Control: max-age=");
}

static void
tls_alone_is_told_to_stay_with_tls(void)
{
    struct fake fake = {.method = HTTP_GET, .path = "/api/v1", .is_tls = true};

    start("access.hsts=365d", NULL);
    CHECK_CONTAINS(send_request(fake).headers, "Strict-Transport-Security: max-age=31536000\r\n");
    fake.is_tls = false;
    CHECK(strstr(send_request(fake).headers, "Strict-Transport-Security") == NULL);
    start(NULL, NULL);
    fake.is_tls = true;
    CHECK(strstr(send_request(fake).headers, "Strict-Transport-Security") == NULL);
}

int
main(void)
{
    void *memory = shm_map(api_buckets_bytes());

    if (memory == NULL || api_buckets_attach(memory, &buckets) != 0) {
        return 1;
    }
    set_up();
    make_keys();
    TAP_RUN(a_key_comes_as_bearer_or_in_a_field_of_its_own);
    TAP_RUN(who_has_no_key_is_told_how_one_is_sent);
    TAP_RUN(an_unknown_key_and_an_expired_one_are_told_the_same);
    TAP_RUN(two_keys_that_differ_are_no_key);
    TAP_RUN(a_key_does_what_its_scopes_say);
    TAP_RUN(without_a_key_the_configuration_says_who_writes);
    TAP_RUN(health_and_open_areas_need_no_key);
    TAP_RUN(where_keys_are_not_required_a_wrong_one_is_refused_all_the_same);
    TAP_RUN(who_has_no_key_is_counted_by_address);
    TAP_RUN(guesses_are_counted_too);
    TAP_RUN(a_rendered_answer_wants_a_key_too);
    TAP_RUN(tls_alone_is_told_to_stay_with_tls);
    TAP_RUN(a_key_with_a_rate_is_told_what_is_left);
    tear_down();
    conf_free(&own_conf);
    api_keys_free(&keys);
    shm_unmap(&memory, api_buckets_bytes());
    return tap_done();
}
