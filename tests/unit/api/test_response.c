/* SPDX-License-Identifier: MIT */
/*
 * test_response.c - rendered answers and what caches are told: who is answered without being
 * parsed, who is not, and by which headers.
 */
#include "../../../src/api/api_call.h"
#include "api_case.h"

#define PATH "/api/v1/predict/nfl-wp"
#define ROW "{\"features\":{\"down\":3,\"ydstogo\":7}}"
#define OTHER_SPELLING "{ \"features\" : { \"ydstogo\" : 7.0, \"down\" : 3 } }"

static uint64_t
hits(void)
{
    return world_count(&world, STATS_CACHE_HITS_RESPONSE);
}

/* The request until its answer is kept; nothing of before is there. */
static void
ask_first(struct fake fake)
{
    world_flush(&world);
    CHECK_INT(send_request(fake).status, 200);
    world_commit(&world, clock_wall_ms());
}

static struct fake
question(const char *text)
{
    return (struct fake){
        .method = HTTP_POST, .path = PATH, .type = "application/json", .body = bytes_of_text(text)};
}

static void
an_exact_repeat_is_answered_without_being_parsed(void)
{
    char first[256], tag[64];

    world_flush(&world);
    struct reply reply = send_request(question(ROW));
    snprintf(first, sizeof(first), "%s", reply.body);
    snprintf(tag, sizeof(tag), "%.26s", strstr(reply.headers, "ETag: \""));
    CHECK_CONTAINS(reply.headers, "X-Cache: MISS\r\n");
    CHECK_CONTAINS(reply.headers, "Cache-Control: max-age=60\r\n");
    CHECK(strstr(reply.headers, "\nAge: ") == NULL);
    world_commit(&world, clock_wall_ms());
    uint64_t parsed = world_count(&world, STATS_PREDICT_SECONDS);
    uint64_t rows = world_count(&world, STATS_PREDICT_ROWS);
    uint64_t before = hits();
    reply = send_request(question(ROW));
    CHECK_INT(hits(), before + 1);
    CHECK_INT(world_count(&world, STATS_PREDICT_SECONDS), parsed);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS), rows + 1);
    CHECK_TEXT(reply.body, first);
    CHECK_TEXT(reply.type, "application/json");
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\nAge: 0\r\nCache-Control: max-age=60\r\n");
    CHECK_CONTAINS(reply.headers, tag);
}

/* Each differs from the first request in one thing that the answer depends on, or might. */
static void
only_a_repeat_of_all_that_matters_is_one(void)
{
    static const uint8_t packed[] = "\x81\xa8"
                                    "features\x81\xa4"
                                    "down\x03";
    struct fake others[] = {question(OTHER_SPELLING), question(ROW), question(ROW), question(ROW),
                            question(ROW)};
    others[1].accept = "application/msgpack";
    others[2].path = PATH "@1";
    others[3].query = "&";
    others[4].type = "application/msgpack";
    others[4].body = bytes_of(packed, sizeof(packed) - 1);

    for (size_t i = 0; i < AUGURY_COUNT(others); i++) {
        ask_first(question(ROW));
        uint64_t before = hits();
        CHECK_INT(send_request(others[i]).status, 200);
        CHECK_INT(hits(), before);
        world_commit(&world, clock_wall_ms());
        CHECK_INT(send_request(others[i]).status, 200);
        CHECK_INT(hits(), before + 1);
        CHECK_INT(send_request(question(ROW)).status, 200);
        CHECK_INT(hits(), before + 2);
    }
}

static void
what_does_not_matter_makes_no_other_answer(void)
{
    struct fake others[] = {question(ROW), question(ROW), question(ROW), question(ROW)};
    others[0].id = "request-7";
    others[1].type = "text/plain";
    others[2].accept = "application/json, text/html";
    others[3].cache_control = "max-age=3600, max-stale";

    ask_first(question(ROW));
    for (size_t i = 0; i < AUGURY_COUNT(others); i++) {
        uint64_t before = hits();
        struct reply reply = send_request(others[i]);
        CHECK_INT(hits(), before + 1);
        CHECK_INT(strstr(reply.headers, "X-Request-Id: request-7\r\n") != NULL, i == 0);
    }
}

static void
an_answer_in_messagepack_keeps_its_type(void)
{
    struct fake packed = question(ROW);
    packed.accept = "application/msgpack";

    ask_first(packed);
    uint64_t before = hits();
    struct reply reply = send_request(packed);
    CHECK_INT(hits(), before + 1);
    CHECK_TEXT(reply.type, "application/msgpack");
    CHECK_INT((uint8_t)reply.body[0], 0x83);
}

/* Its value lies in pieces in the map, and is larger than what the arena keeps between requests. */
static void
a_large_answer_is_repeated_whole(void)
{
    static char text[32 * 1024], first[512 * 1024];
    size_t at = (size_t)snprintf(text, sizeof(text), "{\"outputs\":\"leaf\",\"rows\":[{}");

    while (at + 8 < sizeof(text) && at < 5000) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, ",{}");
    }
    snprintf(text + at, sizeof(text) - at, "]}");
    world_flush(&world);
    struct reply reply = send_request(question(text));
    CHECK_INT(reply.status, 200);
    CHECK(reply.body_len > 260 * 1024 && reply.body_len < sizeof(first));
    size_t len = reply.body_len;
    memcpy(first, reply.body, len < sizeof(first) ? len : sizeof(first));
    world_commit(&world, clock_wall_ms());
    uint64_t before = hits();
    reply = send_request(question(text));
    CHECK_INT(hits(), before + 1);
    CHECK_INT(reply.body_len, len);
    CHECK(memcmp(reply.body, first, len) == 0);
}

/* Over 1 KiB as JSON, with one answer a row. */
static const char *
many_rows(void)
{
    static char text[512];
    size_t at = (size_t)snprintf(text, sizeof(text), "{\"rows\":[{}");

    for (unsigned i = 0; i < 100; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, ",{}");
    }
    snprintf(text + at, sizeof(text) - at, "]}");
    return text;
}

static const struct {
    const char *accept_encoding;
    bool is_gzip, is_gzip_when_short;
} codings[] = {
    {NULL, false, false},
    {"", false, false},
    {"identity", false, false},
    {"br, deflate", false, false},
    {"gzip", true, false},
    {"gzip, deflate, br", true, false},
    {"br;q=1.0, GZip;q=0.8, *;q=0.1", true, false},
    {"x-gzip", true, false},
    {"*", true, false},
    {"gzip;q=0", false, false},
    {"gzip;q=0.000, *", false, false},
    {"gzip;q=0.001", true, false},
    {"gzip;q=0.5, identity", false, false},
    {"gzip;q=0.5, identity;q=0.5", true, false},
    {"gzip;q=0.5, identity;q=0.6", false, false},
    {"gzip, identity;q=0", true, true},
    {"gzip;q=0.1, *;q=0", true, true},
    {"identity;q=0", false, false},
    {"*;q=0", false, false},
    {"gzip;q=", false, false},
    {",;,gzip ; q=1 ,", true, false},
};

static bool
is_gzip(const struct reply *reply)
{
    return reply->body_len > 2 && (uint8_t)reply->body[0] == 0x1f &&
           (uint8_t)reply->body[1] == 0x8b;
}

/* First as it is made, then from the cache. */
static void
check_coding(struct fake fake, bool wants_gzip, bool varies)
{
    world_flush(&world);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t before = hits();
        struct reply reply = send_request(fake);
        CHECK_INT(reply.status, 200);
        CHECK_INT(hits() > before, round > 0);
        CHECK_INT(is_gzip(&reply), wants_gzip);
        CHECK_INT(strstr(reply.headers, "Content-Encoding: gzip\r\n") != NULL, wants_gzip);
        CHECK_INT(strstr(reply.headers, "Vary: Accept-Encoding\r\n") != NULL, varies);
        world_commit(&world, clock_wall_ms());
    }
}

static void
an_answer_is_compressed_for_who_asks_for_it(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(codings); i++) {
        struct fake fake = question(many_rows());
        fake.accept_encoding = codings[i].accept_encoding;
        printf("# %s\n", fake.accept_encoding == NULL ? "none" : fake.accept_encoding);
        check_coding(fake, codings[i].is_gzip, true);
        fake.body = bytes_of_text(ROW);
        check_coding(fake, codings[i].is_gzip_when_short, codings[i].is_gzip_when_short);
    }
}

static void
the_compressed_form_is_made_once_and_has_a_tag_of_its_own(void)
{
    struct fake plain = question(many_rows());
    struct fake packed = question(many_rows());
    char tag[64], packed_tag[64];

    packed.accept_encoding = "gzip";
    ask_first(plain);
    snprintf(tag, sizeof(tag), "%.26s", strstr(send_request(plain).headers, "ETag: \""));
    uint64_t puts = world_count(&world, STATS_CACHE_PUTS);
    struct reply reply = send_request(packed);
    snprintf(packed_tag, sizeof(packed_tag), "%.26s", strstr(reply.headers, "ETag: \""));
    CHECK_INT(world_count(&world, STATS_CACHE_PUTS), puts + 1);
    CHECK(strcmp(tag, packed_tag) != 0);
    world_commit(&world, clock_wall_ms());
    reply = send_request(packed);
    CHECK_CONTAINS(reply.headers, packed_tag);
    CHECK_INT(world_count(&world, STATS_CACHE_PUTS), puts + 1);
    CHECK_CONTAINS(send_request(plain).headers, tag);
}

static void
documents_are_compressed_as_well(void)
{
    struct fake fake = {
        .method = HTTP_GET, .path = "/api/v1/models/nfl-wp", .accept_encoding = "gzip"};
    struct reply reply = send_request(fake);

    CHECK_INT(reply.status, 200);
    CHECK(is_gzip(&reply));
    fake.path = "/api/v1/models/none";
    CHECK_INT(send_request(fake).status, 404);
    CHECK(strstr((const char *)headers.data, "Content-Encoding") == NULL);
}

static void
documents_have_tags_and_conditions_on_them_hold(void)
{
    static const char *const paths[] = {"/api/v1/models", "/api/v1/models/nfl-wp"};
    static const enum http_method methods[] = {HTTP_GET, HTTP_HEAD};

    for (size_t i = 0; i < AUGURY_COUNT(paths); i++) {
        char tag[32], list[96];
        struct fake fake = {.path = paths[i]};
        struct reply reply = send_request(fake);
        CHECK_INT(reply.status, 200);
        snprintf(tag, sizeof(tag), "%.18s", strstr(reply.headers, "ETag: ") + 6);
        snprintf(list, sizeof(list), "\"other\", W/%s", tag);
        fake.none_match = list;
        fake.method = methods[i];
        reply = send_request(fake);
        CHECK_INT(reply.status, 304);
        CHECK_CONTAINS(reply.headers, tag);
        fake.none_match = "*";
        CHECK_INT(send_request(fake).status, 304);
        fake.none_match = "\"0123456789abcdef\", 0123456789abcdef";
        CHECK_INT(send_request(fake).status, 200);
        fake.none_match = list;
        fake.accept_encoding = "gzip"; /* of what is long enough: other bytes, another tag */
        CHECK(i == 0 || send_request(fake).status == 200);
    }
    struct fake missing = {.path = "/api/v1/models/none", .none_match = "*"};
    CHECK_INT(send_request(missing).status, 404);
}

/* RFC 9110 13.1.1: what is not as the client wants it is not sent. */
static void
a_document_that_is_another_one_is_not_sent(void)
{
    struct fake fake = {.path = "/api/v1/models/nfl-wp"};
    struct reply reply = get(fake.path);
    char tag[32], list[96];

    CHECK_CONTAINS(reply.headers, "Vary: Accept\r\n"); /* it comes in several forms */
    CHECK(strstr(get("/openapi.json").headers, "Vary: Accept\r\n") == NULL);
    reply = get(fake.path);
    snprintf(tag, sizeof(tag), "%.18s", strstr(reply.headers, "ETag: ") + 6);
    snprintf(list, sizeof(list), "\"other\", %s", tag);
    fake.match = list;
    CHECK_INT(send_request(fake).status, 200);
    fake.match = "*";
    CHECK_INT(send_request(fake).status, 200);
    snprintf(list, sizeof(list), "W/%s", tag);
    fake.match = list;
    fake.accept_encoding = "gzip";
    reply = send_request(fake);
    CHECK_INT(reply.status, 412);
    CHECK_CONTAINS(reply.body, "\"code\":\"condition_failed\",\"at\":\"If-Match\"}");
    CHECK(strstr(reply.headers, "Content-Encoding") == NULL);
}

static const struct {
    const char *cache_control;
    unsigned status;
    const char *x_cache;
    const char *and_header;
    bool is_kept;
} wishes[] = {
    {"no-cache", 200, "X-Cache: BYPASS\r\n", "ETag: \"", false},
    {"No-Cache, max-age=10", 200, "X-Cache: BYPASS\r\n", "ETag: \"", false},
    {"no-store", 200, "X-Cache: BYPASS\r\n", "Cache-Control: no-store\r\n", false},
    {"no-cache, no-store", 200, "X-Cache: BYPASS\r\n", "Cache-Control: no-store\r\n", false},
    {"max-age=60, no-store", 200, "X-Cache: BYPASS\r\n", "Cache-Control: no-store\r\n", false},
    {"max-age=0", 200, "X-Cache: BYPASS\r\n", "ETag: \"", false},
    {"max-age=x", 200, "X-Cache: BYPASS\r\n", "ETag: \"", false},
    {"max-age=\"59\"", 200, "X-Cache: MISS\r\n", "Cache-Control: max-age=60\r\n", true},
    {"max-age=60", 200, "X-Cache: MISS\r\n", "Cache-Control: max-age=60\r\n", true},
    {"max-age=99999999999", 200, "X-Cache: MISS\r\n", "Cache-Control: max-age=60\r\n", true},
    {"x-no-cache, no-cachet", 200, "X-Cache: MISS\r\n", "Cache-Control: max-age=60\r\n", true},
    {", ,=,no-transform", 200, "X-Cache: MISS\r\n", "Cache-Control: max-age=60\r\n", true},
    {"only-if-cached", 504, "", "", false},
    {"only-if-cached, no-cache", 504, "", "", false},
};

static void
a_wish_is_granted_where_nothing_is_cached(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(wishes); i++) {
        struct fake fake = question(ROW);
        world_flush(&world);
        fake.cache_control = wishes[i].cache_control;
        struct reply reply = send_request(fake);
        CHECK_INT(reply.status, wishes[i].status);
        CHECK_CONTAINS(reply.headers, wishes[i].x_cache);
        CHECK_CONTAINS(reply.headers, wishes[i].and_header);
        world_commit(&world, clock_wall_ms());
        uint64_t before = hits();
        CHECK_INT(send_request(question(ROW)).status, 200);
        CHECK_INT(hits() - before, wishes[i].is_kept ? 1 : 0);
    }
}

/* They share the turn's snapshots with a repeat before them, or open their own. */
static void
whatever_is_pipelined_behind_a_repeat_is_answered(void)
{
    static const char *const controls[] = {"no-store", "no-cache", "max-age=0", "only-if-cached"};
    static const char *const bodies[] = {"", "{", ROW,
                                         "{\"features\":{\"down\":3},\"use_cache\":false}"};

    for (size_t i = 0; i < AUGURY_COUNT(controls) * AUGURY_COUNT(bodies); i++) {
        struct fake repeat = question(ROW);
        struct fake next = question(bodies[i % AUGURY_COUNT(bodies)]);
        ask_first(question(ROW));
        repeat.has_next = true;
        uint64_t before = hits();
        CHECK_INT(send_request(repeat).status, 200);
        CHECK_INT(hits(), before + 1);
        next.cache_control = controls[i / AUGURY_COUNT(bodies)];
        next.has_next = i % 2 == 0;
        CHECK(send_request(next).status != 0);
        CHECK_INT(send_request(question(ROW)).status, 200);
        CHECK_INT(get("/api/v1/models").status, 200);
    }
}

static void
only_if_cached_is_answered_from_either_class_and_else_refused(void)
{
    struct fake fake = question(ROW);

    uint64_t errors = world_count(&world, STATS_PREDICT_ERRORS);
    fake.cache_control = "only-if-cached";
    ask_first(question(ROW));
    uint64_t before = hits();
    CHECK_INT(send_request(fake).status, 200);
    CHECK_INT(hits(), before + 1);
    fake.body = bytes_of_text(OTHER_SPELLING);
    struct reply reply = send_request(fake);
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\nAge: 0\r\n");
    fake.body = bytes_of_text("{\"rows\":[{\"down\":3,\"ydstogo\":7},{\"down\":4}]}");
    reply = send_request(fake);
    CHECK_INT(reply.status, 504);
    CHECK_CONTAINS(reply.body, "1 of 2 rows");
    CHECK_INT(world_count(&world, STATS_PREDICT_ERRORS), errors);
    CHECK_CONTAINS(reply.body, "\"code\":\"not_cached\"");
}

static void
a_client_that_wants_new_answers_gets_new_ones(void)
{
    static const char *const words[] = {"no-cache", "no-store", "max-age=0", "max-age=30"};

    ask_first(question(ROW));
    for (size_t i = 0; i < AUGURY_COUNT(words); i++) {
        struct fake fake = question(ROW);
        uint64_t evaluated = world_count(&world, STATS_PREDICT_ROWS_EVALUATED);
        uint64_t before = hits();
        fake.cache_control = words[i];
        CHECK_INT(send_request(fake).status, 200);
        bool is_old_enough = i == 3; /* what is a moment old is younger than 30 seconds */
        CHECK_INT(hits(), before + is_old_enough);
        CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED), evaluated + !is_old_enough);
    }
}

static void
use_cache_false_is_never_kept(void)
{
    struct fake fake = question("{\"use_cache\":false,\"features\":{\"down\":3}}");
    uint64_t before = hits();

    ask_first(fake);
    struct reply reply = send_request(fake);
    CHECK_CONTAINS(reply.headers, "X-Cache: BYPASS\r\nCache-Control: no-store\r\n");
    CHECK_INT(hits(), before);
}

static void
a_condition_does_not_keep_a_post_from_its_answer(void)
{
    struct fake fake = question(ROW);

    fake.none_match = "*";
    ask_first(fake);
    struct reply reply = send_request(fake);
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.body, "\"predictions\":");
}

/* Keeps the answer for a row as it would have been kept so long ago. */
static void
keep_row(const char *name, int64_t value, uint64_t ago_ms)
{
    struct wire_pair pair = {.key = bytes_of_text(name),
                             .value = {.type = WIRE_INT, .as.integer = value}};
    struct wire_value features = {.type = WIRE_OBJECT, .count = 1, .as.pairs = &pair};
    struct predict_question asked = {.model = bytes_of_text("nfl-wp"),
                                     .features = &features,
                                     .flags = PREDICT_USE_CACHE,
                                     .now_wall_ms = clock_wall_ms() - ago_ms};
    struct predict_answer answer;
    struct arena arena;
    struct err err = {0};

    WORLD_MUST(arena_init(&arena, 1 << 20));
    WORLD_MUST(predict_answer(&world.context, &asked, &arena, &answer, &err));
    predict_end(&world.context);
    world_commit(&world, asked.now_wall_ms);
    arena_fini(&arena);
}

static void
an_answer_is_as_old_as_the_oldest_of_its_rows_and_ends_with_it(void)
{
    struct fake fake = question("{\"rows\":[{\"down\":1},{\"down\":2}]}");

    world_flush(&world);
    keep_row("down", 1, 40000);
    struct reply reply = send_request(fake);
    CHECK_CONTAINS(reply.headers, "X-Cache: MISS\r\nAge: 40\r\nCache-Control: max-age=60\r\n");
    world_commit(&world, clock_wall_ms());
    uint64_t before = hits();
    reply = send_request(fake);
    CHECK_INT(hits(), before + 1);
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\nAge: 40\r\nCache-Control: max-age=60\r\n");
    fake.cache_control = "max-age=20";
    uint64_t evaluated = world_count(&world, STATS_PREDICT_ROWS_EVALUATED);
    CHECK_INT(send_request(fake).status, 200);
    /* The row that is too old alone is computed, and takes the place of the old one. */
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED), evaluated + 1);
    world_commit(&world, clock_wall_ms());
    fake.body = bytes_of_text("{\"rows\":[{\"down\":2},{\"down\":1}]}");
    reply = send_request(fake);
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\nAge: 0\r\n");
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS_EVALUATED), evaluated + 1);
    fake.body = bytes_of_text("{\"rows\":[{\"down\":1},{\"down\":2}]}");

    world_flush(&world);
    keep_row("down", 1, 59950);
    fake.cache_control = NULL;
    CHECK_INT(send_request(fake).status, 200);
    world_commit(&world, clock_wall_ms());
    usleep(100000);
    before = hits();
    reply = send_request(fake);
    CHECK_INT(hits(), before);
    CHECK_CONTAINS(reply.headers, "X-Cache: MISS\r\nCache-Control: max-age=60\r\n");
}

/* ---- past its time --------------------------------------------------------------------------- */

static void
key_take(void *arg, struct bytes text, struct bytes value, unsigned asked)
{
    (void)value;
    (void)asked;
    snprintf(arg, CACHE_KEY_TEXT_MAX + 1, "%.*s", (int)text.len, (const char *)text.data);
}

/* While somebody makes it anew, as another process does. */
static void
an_answer_past_its_time_is_sent_while_one_request_makes_it_anew(void)
{
    struct conf_cache_class *class = &conf->cache.classes[CONF_CACHE_RESPONSE];
    struct conf_cache_class before = *class;
    char key[CACHE_KEY_TEXT_MAX + 1] = "";
    struct cache_lease lease;

    class->ttl_s = 2; /* on a busy machine too, an answer is asked for again before its end */
    api->response_stale_s = 60;
    api->response_kept_s = api->response_stale_s;
    ask_first(question(ROW));
    struct reply reply = send_request(question(ROW));
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\nAge: ");
    CHECK_INT(cache_hottest(world.cache, CACHE_RESPONSE, key_take, key, 1), 0);
    CHECK(key[0] != '\0');
    usleep(2100000);

    /* Another one is at it. */
    struct cache_wish wish = {.key = cache_digest(world.cache, bytes_of_text(key)),
                              .deadline_ms = 5000};
    CHECK_INT(cache_flight_begin(world.cache, &wish, clock_mono_ms(), &lease), CACHE_FLIGHT_OWNER);
    uint64_t parsed = world_count(&world, STATS_PREDICT_SECONDS);
    uint64_t stale = world_count(&world, STATS_PREDICT_STALE);
    reply = send_request(question(ROW));
    CHECK_INT(reply.status, 200);
    CHECK_CONTAINS(reply.headers, "X-Cache: STALE\r\nAge: ");
    CHECK_INT(world_count(&world, STATS_PREDICT_SECONDS), parsed);
    CHECK_INT(world_count(&world, STATS_PREDICT_STALE), stale + 1);
    /* Nobody is, any more: the next request makes it, and those after it have a fresh one. */
    cache_flight_publish(world.cache, &lease, AUGURY_NOT_FOUND, bytes_of(NULL, 0));
    reply = send_request(question(ROW));
    CHECK(strstr(reply.headers, "STALE") == NULL);
    CHECK_INT(world_count(&world, STATS_PREDICT_SECONDS), parsed + 1);
    world_commit(&world, clock_wall_ms());
    reply = send_request(question(ROW));
    CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\n");
    CHECK_INT(world_count(&world, STATS_PREDICT_SECONDS), parsed + 1);

    *class = before;
    api->response_stale_s = 0;
    api->response_kept_s = api->response_stale_s;
    world_flush(&world);
}

/* ---- the registry ---------------------------------------------------------------------------- */

static void
use(const char *name, uint32_t version)
{
    struct err err = {0};

    WORLD_MUST(registry_use(world.registry, name, version, REGISTRY_LABEL_STABLE, &err));
}

static void
a_label_that_moves_is_followed_by_the_very_next_answer(void)
{
    struct reply reply;

    world_import(&world, "nfl-wp", NULL);
    ask_first(question(ROW));
    CHECK_CONTAINS(send_request(question(ROW)).body, "\"version\":\"1\"");
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t version = 2 - round % 2;
        char words[32];
        use("nfl-wp", version);
        snprintf(words, sizeof(words), "\"version\":\"%u\"", version);
        reply = send_request(question(ROW));
        CHECK_CONTAINS(reply.body, words);
        world_commit(&world, clock_wall_ms());
        reply = send_request(question(ROW));
        CHECK_CONTAINS(reply.body, words);
        CHECK_CONTAINS(reply.headers, "X-Cache: HIT\r\n");
    }
    use("nfl-wp", 1);
}

static void
what_a_former_registry_answered_is_found_again_when_it_is_the_same(void)
{
    ask_first(question(ROW));
    use("nfl-wp", 2);
    CHECK_CONTAINS(send_request(question(ROW)).body, "\"version\":\"2\"");
    use("nfl-wp", 1);
    uint64_t before = hits();
    CHECK_CONTAINS(send_request(question(ROW)).body, "\"version\":\"1\"");
    CHECK_INT(hits(), before + 1);
}

static void
a_model_that_goes_is_not_answered_from_the_cache(void)
{
    struct err err = {0};
    struct fake fake = question(ROW);

    world_import(&world, "passing", NULL);
    fake.path = "/api/v1/predict/passing";
    ask_first(fake);
    CHECK_INT(send_request(fake).status, 200);
    WORLD_MUST(registry_unload(world.registry, "passing", 0, &err));
    CHECK_INT(send_request(fake).status, 404);
    world_import(&world, "passing", NULL);
    CHECK_CONTAINS(send_request(fake).body, "\"version\":\"2\"");
}

/* ---- what is found is not what was kept ------------------------------------------------------ */

/* The key under which the answer of a question is kept; nothing is kept there yet. */
static struct bytes
key_of(struct fake fake, char *room)
{
    static struct http_request request;
    static struct api_call call;
    struct net_answer answer = {.status = 200, .headers = &headers, .body = &body};

    request.path = bytes_of_text(fake.path);
    api_call_init(&call, api, &request, &answer);
    call.body = fake.body;
    api_call_body_form(&call, API_FORM_JSON);
    call.wish = (struct api_wish){.max_age_s = UINT32_MAX};
    AUGURY_ASSERT(!api_response_find(&call) && call.response.has_key);
    memcpy(room, call.response.key, call.response.key_len);
    return bytes_of(room, call.response.key_len);
}

static void
a_value_that_is_no_rendered_answer_is_a_miss(void)
{
    static const uint8_t values[][20] = {"", "\x01", "\x02\x02", "\x02\x01\x09", "\x02"};
    static const size_t lens[] = {1, 20, 20, 20, 15};
    char room[CACHE_KEY_TEXT_MAX];

    world_flush(&world);
    struct bytes key = key_of(question(ROW), room);
    CHECK_INT(key.len, strlen("response:" PATH ":") + DIGEST_HEX_BYTES);
    CHECK(bytes_start_with(key, "response:" PATH ":"));
    for (size_t i = 0; i < AUGURY_COUNT(values); i++) {
        struct cache_item item = {.class = CACHE_RESPONSE,
                                  .key = key,
                                  .value = bytes_of(values[i], lens[i]),
                                  .created_wall_ms = clock_wall_ms(),
                                  .expires_wall_ms = clock_wall_ms() + 60000,
                                  .stamp = cache_stamp(world.cache)};
        CHECK_INT(cache_put(world.cache, &item), 0);
        world_commit(&world, clock_wall_ms());
        uint64_t before = hits();
        struct reply reply = send_request(question(ROW));
        CHECK_INT(hits(), before + 1); /* found, and not believed */
        CHECK_INT(reply.status, 200);
        CHECK_CONTAINS(reply.body, "{\"model\":\"nfl-wp\"");
    }
}

static void
a_path_too_long_for_a_key_is_answered_without(void)
{
    char path[600];
    struct fake fake = question(ROW);

    snprintf(path, sizeof(path), "/api/v1/predict/%0*d", 500, 7);
    fake.path = path;
    CHECK_INT(send_request(fake).status, 404);
}

int
main(void)
{
    set_up();
    TAP_RUN(an_exact_repeat_is_answered_without_being_parsed);
    TAP_RUN(only_a_repeat_of_all_that_matters_is_one);
    TAP_RUN(what_does_not_matter_makes_no_other_answer);
    TAP_RUN(an_answer_in_messagepack_keeps_its_type);
    TAP_RUN(a_large_answer_is_repeated_whole);
    TAP_RUN(an_answer_is_compressed_for_who_asks_for_it);
    TAP_RUN(the_compressed_form_is_made_once_and_has_a_tag_of_its_own);
    TAP_RUN(documents_are_compressed_as_well);
    TAP_RUN(documents_have_tags_and_conditions_on_them_hold);
    TAP_RUN(a_document_that_is_another_one_is_not_sent);
    TAP_RUN(a_wish_is_granted_where_nothing_is_cached);
    TAP_RUN(whatever_is_pipelined_behind_a_repeat_is_answered);
    TAP_RUN(only_if_cached_is_answered_from_either_class_and_else_refused);
    TAP_RUN(a_client_that_wants_new_answers_gets_new_ones);
    TAP_RUN(use_cache_false_is_never_kept);
    TAP_RUN(a_condition_does_not_keep_a_post_from_its_answer);
    TAP_RUN(an_answer_is_as_old_as_the_oldest_of_its_rows_and_ends_with_it);
    TAP_RUN(an_answer_past_its_time_is_sent_while_one_request_makes_it_anew);
    TAP_RUN(a_label_that_moves_is_followed_by_the_very_next_answer);
    TAP_RUN(what_a_former_registry_answered_is_found_again_when_it_is_the_same);
    TAP_RUN(a_model_that_goes_is_not_answered_from_the_cache);
    TAP_RUN(a_value_that_is_no_rendered_answer_is_a_miss);
    TAP_RUN(a_path_too_long_for_a_key_is_answered_without);
    tear_down();
    return tap_done();
}
