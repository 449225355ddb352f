/* SPDX-License-Identifier: MIT */
/* test_streams.c - answers that are made in pieces: the same bytes as those that are made at once,
 * beside other requests, and whatever happens to their model; what they hold is given back. */
#include "../../../src/api/api_call.h"
#include "api_case.h"

#include <time.h>

enum { ROWS = 3000 };

static char text[2 << 20];
static struct http_request request;
static const char *timeout; /* X-Request-Timeout of the next requests, or NULL */

/* ROWS rows, no two the same, as a document with those options, or as lines. */
static struct bytes
many_rows(const char *options)
{
    size_t at =
        options == NULL ? 0 : (size_t)snprintf(text, sizeof(text), "{%s,\"rows\":[", options);

    for (unsigned i = 0; i < ROWS; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at,
                               "%s{\"down\":%u,\"ydstogo\":%u,\"yardline_100\":%u}%s",
                               options != NULL && i > 0 ? "," : "", i % 4 + 1, i % 10, i % 99,
                               options == NULL ? "\n" : "");
    }
    at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", options == NULL ? "" : "]}");
    return bytes_of(text, at);
}

/* What one request may take. */
static void
set_memory(size_t bytes)
{
    struct err err = {0};

    arena_fini(&api->arena);
    WORLD_MUST(arena_init(&api->arena, bytes));
}

/* An answer with what is to come. */
struct begun {
    struct net_answer answer;
    struct buf headers, body;
};

static void
begin(struct begun *begun, const char *type, const char *accept, struct bytes content)
{
    struct net_peer peer = {.listener = "test"};

    buf_init(&begun->headers, 4096);
    buf_init(&begun->body, 64 << 20);
    begun->answer =
        (struct net_answer){.status = 200, .headers = &begun->headers, .body = &begun->body};
    request = (struct http_request){.method = HTTP_POST,
                                    .minor = 1,
                                    .path = bytes_of_text(PREDICT_PATH),
                                    .content_type = bytes_of_text(type),
                                    .accept = bytes_of_text(accept),
                                    .cache_control = bytes_of_text("no-store")};
    request.request_timeout = text_or_none(timeout);
    api_handle(api, &request, content, &peer, &begun->answer);
    api_turn_end(api);
}

static int
one_more(struct begun *begun)
{
    return begun->answer.more(begun->answer.more_arg, &begun->body);
}

static void
end(struct begun *begun)
{
    if (begun->answer.more != NULL) {
        begun->answer.on_end(begun->answer.more_arg);
    }
    buf_fini(&begun->headers);
    buf_fini(&begun->body);
}

/* All of it; how many pieces there were, 0 when it was cut. */
static unsigned
finish(struct begun *begun)
{
    unsigned pieces = 1;
    int rc = begun->answer.more == NULL ? AUGURY_END : 0;

    while (rc == 0) {
        rc = one_more(begun);
        pieces++;
    }
    return rc == AUGURY_END && buf_finish(&begun->body) == 0 ? pieces : 0;
}

static void
pieces_are_the_whole_answer(void)
{
    static const char *const accepts[] = {"application/json", "application/msgpack", "text/csv",
                                          "application/x-npy", "application/x-ndjson"};
    struct bytes content = many_rows("\"outputs\":[\"contributions\",\"leaf\"]");

    for (size_t i = 0; i < AUGURY_COUNT(accepts); i++) {
        struct begun whole, pieces;
        api->streamed_bytes = API_STREAMED_MAX; /* as if others held all there may be */
        begin(&whole, "application/json", accepts[i], content);
        api->streamed_bytes = 0;
        CHECK(whole.answer.more == NULL && whole.answer.status == 200);
        begin(&pieces, "application/json", accepts[i], content);
        CHECK(pieces.answer.more != NULL && pieces.body.len < 512 * 1024);
        CHECK(api->streamed_bytes > 0);
        CHECK(finish(&pieces) > 2);
        CHECK(bytes_equal(buf_view(&pieces.body), buf_view(&whole.body)));
        buf_put_u8(&pieces.headers, 0);
        CHECK(strstr((const char *)pieces.headers.data, "ETag") == NULL);
        end(&pieces);
        end(&whole);
        CHECK_INT(api->streamed_bytes, 0);
    }
}

static void
other_requests_are_answered_between_pieces(void)
{
    static char want[512], got[512];
    struct bytes content = many_rows("\"outputs\":[\"contributions\",\"leaf\"]");
    struct begun whole, pieces;
    int rc = 0;

    api->streamed_bytes = API_STREAMED_MAX;
    begin(&whole, "application/json", "*/*", content);
    api->streamed_bytes = 0;
    snprintf(want, sizeof(want), "%s", post(PREDICT_PATH, ROW_ZERO).body);
    begin(&pieces, "application/json", "*/*", content);
    while (rc == 0) {
        snprintf(got, sizeof(got), "%s", post(PREDICT_PATH, ROW_ZERO).body);
        CHECK_TEXT(got, want);
        rc = one_more(&pieces);
    }
    CHECK(bytes_equal(buf_view(&pieces.body), buf_view(&whole.body)));
    end(&pieces);
    end(&whole);
}

static void
a_version_that_is_unloaded_ends_its_answers(void)
{
    struct begun answer, lines;
    struct err err;

    world_import(&world, "nfl-wp", NULL); /* version 2; stable stays at 1 */
    WORLD_MUST(registry_use(world.registry, "nfl-wp", 2, "stable", &err));
    begin(&answer, "application/json", "*/*",
          many_rows("\"outputs\":[\"contributions\",\"leaf\"]"));
    CHECK(answer.answer.more != NULL);
    CHECK_INT(one_more(&answer), 0);
    begin(&lines, "application/x-ndjson", "*/*", many_rows(NULL));
    CHECK(lines.answer.more != NULL);
    WORLD_MUST(registry_use(world.registry, "nfl-wp", 1, "stable", &err));
    CHECK_INT(one_more(&answer), 0); /* version 2 goes on */
    CHECK_INT(one_more(&lines), 0);
    WORLD_MUST(registry_unload(world.registry, "nfl-wp", 2, &err));
    CHECK(one_more(&answer) < 0);
    size_t before = lines.body.len;
    CHECK_INT(one_more(&lines), AUGURY_END);
    buf_put_u8(&lines.body, 0);
    CHECK_CONTAINS((const char *)lines.body.data + before, "\"code\":\"version_not_found\"");
    end(&answer);
    end(&lines);
    CHECK_INT(api->streamed_bytes, 0);
}

static void
lines_are_answered_in_blocks_of_bounded_memory(void)
{
    struct begun lines;
    uint64_t requests = world_count(&world, STATS_PREDICT_REQUESTS);
    uint64_t rows = world_count(&world, STATS_PREDICT_ROWS);
    unsigned feeds = 0;

    begin(&lines, "application/x-ndjson", "*/*", many_rows(NULL));
    CHECK_INT(lines.answer.status, 200);
    CHECK_TEXT(lines.answer.content_type, "application/x-ndjson");
    CHECK_INT(finish(&lines), 3);
    for (size_t i = 0; i < lines.body.len; i++) {
        feeds += lines.body.data[i] == '\n' ? 1 : 0;
    }
    CHECK_INT(feeds, ROWS);
    CHECK_INT(world_count(&world, STATS_PREDICT_REQUESTS), requests + 1);
    CHECK_INT(world_count(&world, STATS_PREDICT_ROWS), rows + ROWS);
    end(&lines);
    api->streamed_bytes = API_STREAMED_MAX;
    begin(&lines, "application/x-ndjson", "*/*", many_rows(NULL));
    api->streamed_bytes = 0;
    CHECK_INT(lines.answer.status, 503);
    CHECK(lines.answer.more == NULL);
    CHECK_TEXT(lines.answer.content_type, "application/json");
    end(&lines);
}

/* 512 KiB of working memory are too little for the contributions of a whole block. */
static void
a_block_that_needs_too_much_memory_is_made_smaller(void)
{
    struct begun lines;
    unsigned feeds = 0;

    struct bytes content = many_rows(NULL);
    set_memory(512 * 1024);
    begin(&lines, "application/x-ndjson", "*/*", content);
    end(&lines);
    buf_init(&lines.headers, 4096);
    buf_init(&lines.body, 64 << 20);
    lines.answer =
        (struct net_answer){.status = 200, .headers = &lines.headers, .body = &lines.body};
    request.query = bytes_of_text("outputs=contributions,leaf,margin");
    api_handle(api, &request, content, &(struct net_peer){.listener = "test"}, &lines.answer);
    CHECK_INT(lines.answer.status, 200);
    CHECK(finish(&lines) > 3);
    for (size_t i = 0; i < lines.body.len; i++) {
        feeds += lines.body.data[i] == '\n' ? 1 : 0;
    }
    CHECK_INT(feeds, ROWS);
    end(&lines);
    set_memory(64 << 20);
}

/* ---- what is counted of lines ---------------------------------------------------------------- */

static uint64_t
figure(enum stats_model_id id)
{
    struct stats_model_figures figures;

    stats_model_gather(world.stats, stats_model_key(bytes_of_text("nfl-wp"), 1), &figures);
    return figures.values[id];
}

/* One request, whatever its blocks; a failure when it does not come to its end. */
static void
lines_count_as_one_request_and_with_all_their_rows(void)
{
    struct begun lines;
    uint64_t good = figure(STATS_MODEL_SUCCESSES), bad = figure(STATS_MODEL_FAILURES);
    uint64_t rows = figure(STATS_MODEL_ROWS), executions = figure(STATS_MODEL_EXECUTIONS);

    begin(&lines, "application/x-ndjson", "*/*", many_rows(NULL));
    CHECK_INT(figure(STATS_MODEL_SUCCESSES), good);
    CHECK_INT(finish(&lines), 3);
    end(&lines);
    CHECK_INT(figure(STATS_MODEL_SUCCESSES), good + 1);
    CHECK_INT(figure(STATS_MODEL_FAILURES), bad);
    CHECK_INT(figure(STATS_MODEL_ROWS), rows + ROWS);
    CHECK_INT(figure(STATS_MODEL_EXECUTIONS), executions + 3);
    begin(&lines, "application/x-ndjson", "*/*", bytes_of_text("{\"down\":1}\n{\"down\":2}\n"));
    end(&lines);
    CHECK_INT(figure(STATS_MODEL_SUCCESSES), good + 2);
    begin(&lines, "application/x-ndjson", "*/*", bytes_of_text("{\"dwn\":1}\n"));
    CHECK_INT(lines.answer.status, 400);
    end(&lines);
    CHECK_INT(figure(STATS_MODEL_FAILURES), bad + 1);
    begin(&lines, "application/x-ndjson", "*/*", many_rows(NULL));
    end(&lines); /* the client has gone */
    CHECK_INT(figure(STATS_MODEL_FAILURES), bad + 2);
    CHECK_INT(figure(STATS_MODEL_SUCCESSES), good + 2);
}

/* The first block is answered long before it, the next is not. */
static void
lines_end_with_the_first_that_there_was_no_time_for(void)
{
    const struct timespec longer = {.tv_nsec = 510 * 1000000};
    struct begun lines;
    uint64_t bad = figure(STATS_MODEL_FAILURES);
    uint64_t late = stats_sum(world.stats, STATS_HTTP_OVER_DEADLINE);

    timeout = "500ms";
    begin(&lines, "application/x-ndjson", "*/*", many_rows(NULL));
    timeout = NULL;
    CHECK_INT(lines.answer.status, 200);
    size_t before = lines.body.len;
    nanosleep(&longer, NULL);
    CHECK_INT(one_more(&lines), AUGURY_END);
    buf_put_u8(&lines.body, 0);
    const char *last = (const char *)lines.body.data + before;
    CHECK_TEXT(last, "{\"error\":\"the request's time was over when the lines before this one were "
                     "answered\",\"code\":\"timeout\",\"at\":\"line 1025\"}\n");
    end(&lines);
    CHECK_INT(figure(STATS_MODEL_FAILURES), bad + 1);
    CHECK_INT(stats_sum(world.stats, STATS_HTTP_OVER_DEADLINE), late + 1);
}

int
main(void)
{
    set_up();
    set_memory(64 << 20);
    TAP_RUN(pieces_are_the_whole_answer);
    TAP_RUN(other_requests_are_answered_between_pieces);
    TAP_RUN(lines_are_answered_in_blocks_of_bounded_memory);
    TAP_RUN(a_block_that_needs_too_much_memory_is_made_smaller);
    TAP_RUN(a_version_that_is_unloaded_ends_its_answers);
    TAP_RUN(lines_count_as_one_request_and_with_all_their_rows);
    TAP_RUN(lines_end_with_the_first_that_there_was_no_time_for);
    tear_down();
    return tap_done();
}
