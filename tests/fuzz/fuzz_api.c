/* SPDX-License-Identifier: MIT */
/*
 * fuzz_api.c - requests with whatever for a body, in every form that a route takes, without a
 * socket. The first bytes choose route and type, what is accepted and how the body is compressed,
 * and how much of it is the document of a binary one; the query goes up to the first line feed, the
 * rest is the body. Properties: an answer of known status, never 500; a JSON answer is JSON, an
 * error has its three members; pieces come to an end; the same again is the same.
 */
#include "../unit/api/api_case.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICES = 3, INPUT_MAX = 65536, PIECES_MAX = 100000, COMMIT_EVERY = 16 };

static const struct {
    const char *path, *type;
} places[] = {
    {PREDICT_PATH, "application/json"},
    {PREDICT_PATH, "application/msgpack"},
    {PREDICT_PATH, "text/csv"},
    {PREDICT_PATH, "application/x-npy"},
    {PREDICT_PATH, "application/x-ndjson"},
    {"/api/v1/predict/strict", "application/json"},
    {"/api/v1/predict/strict", "text/csv"},
    {"/api/v1/predict/strict", "application/x-ndjson"},
    {"/v2/models/nfl-wp/infer", "application/json"},
    {"/v2/models/nfl-wp/infer", "application/octet-stream"},
    {"/v1/models/nfl-wp:predict", "application/json"},
    {"/models/nfl-wp/invocations", "application/json"},
    {"/models/nfl-wp/invocations", "text/csv"},
    {"/api/v1/objects/mget", "application/json"},
    {"/api/v1/objects/mget", "application/msgpack"},
    {"/v2/repository/index", "application/json"},
};
static const char *const accepts[] = {NULL,
                                      "application/json",
                                      "application/msgpack",
                                      "text/csv",
                                      "application/x-npy",
                                      "application/x-ndjson",
                                      "text/csv;q=0.5, */*",
                                      "image/png"};
static const char *const codings[] = {NULL, "gzip", "deflate", "br"};

struct outcome {
    unsigned status;
    const char *type;
    struct buf body;
};

static void
drain(struct net_answer *answer)
{
    int rc = answer->more == NULL ? AUGURY_END : 0;

    for (unsigned pieces = 0; rc == 0; pieces++) {
        AUGURY_ASSERT(pieces < PIECES_MAX);
        rc = answer->more(answer->more_arg, answer->body);
    }
    if (answer->more != NULL) {
        answer->on_end(answer->more_arg);
    }
}

static struct bytes
text_of(const char *text)
{
    return text == NULL ? bytes_of(NULL, 0) : bytes_of_text(text);
}

static void
ask(const uint8_t *choices, struct bytes query, struct bytes content, struct outcome *out)
{
    static struct http_request request;
    struct net_peer peer = {.listener = "test"};
    size_t place = choices[0] % AUGURY_COUNT(places);
    char number[8];

    *out = (struct outcome){.status = 200};
    buf_init(&out->body, 64 << 20);
    buf_reset(&headers);
    struct net_answer answer = {.status = 200, .headers = &headers, .body = &out->body};
    request =
        (struct http_request){.method = HTTP_POST,
                              .minor = 1,
                              .path = bytes_of_text(places[place].path),
                              .query = query,
                              .content_type = bytes_of_text(places[place].type),
                              .accept = text_of(accepts[choices[1] & 7]),
                              .content_encoding = text_of(codings[choices[1] >> 3 & 3]),
                              .accept_encoding = text_of((choices[1] & 64) != 0 ? "gzip" : NULL),
                              .body_bytes = content.len};
    if (choices[2] != 0) {
        snprintf(number, sizeof(number), "%u", (unsigned)choices[2] - 1);
        request.headers[request.header_count++] = (struct http_header){
            bytes_of_text("Inference-Header-Content-Length"), bytes_of_text(number)};
    }
    api_handle(api, &request, content, &peer, &answer);
    if (answer.ready.data != NULL) {
        buf_put_bytes(&out->body, answer.ready);
    }
    api_turn_end(api);
    drain(&answer);
    out->status = answer.status;
    out->type = answer.content_type;
}

static void
check_document(const struct outcome *outcome)
{
    const struct wire_limits limits = {.depth = 64, .values = 1 << 20};
    struct wire_value tree;
    struct arena arena;
    struct err err;

    AUGURY_ASSERT(arena_init(&arena, 256 << 20) == 0);
    int rc = wire_decode(WIRE_JSON, buf_view(&outcome->body), &limits, &arena, &tree, &err);
    AUGURY_ASSERT(rc == 0 && (tree.type == WIRE_OBJECT || tree.type == WIRE_ARRAY));
    if (outcome->status >= 400) {
        AUGURY_ASSERT(wire_member(&tree, "error") != NULL ||
                      wire_member(&tree, "error_code") != NULL);
    }
    arena_fini(&arena);
}

static void
check_outcome(const struct outcome *outcome, bool is_compressed)
{
    unsigned status = outcome->status;

    AUGURY_ASSERT(status == 200 || (status >= 400 && status < 500) || status == 503);
    AUGURY_ASSERT(buf_finish(&outcome->body) == 0);
    /* No line is answered by no line. */
    AUGURY_ASSERT(outcome->body.len > 0 || strcmp(outcome->type, "application/x-ndjson") == 0);
    if (outcome->type != NULL && strcmp(outcome->type, "application/json") == 0 && !is_compressed) {
        check_document(outcome);
    }
}

static void
leave(void)
{
    tear_down();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned asked;
    struct outcome first, second;

    if (api == NULL) {
        set_up();
        atexit(leave);
    }
    const uint8_t *end = size <= CHOICES ? NULL : memchr(data + CHOICES, '\n', size - CHOICES);
    if (end == NULL || size > INPUT_MAX) {
        return 0;
    }
    struct bytes query = bytes_of(data + CHOICES, (size_t)(end - data) - CHOICES);
    struct bytes content = bytes_of(end + 1, size - (size_t)(end - data) - 1);
    ask(data, query, content, &first);
    check_outcome(&first, (data[1] & 64) != 0);
    ask(data, query, content, &second);
    AUGURY_ASSERT(first.status == second.status);
    buf_fini(&first.body);
    buf_fini(&second.body);
    if (++asked % COMMIT_EVERY == 0) {
        world_commit(&world, clock_wall_ms());
    }
    return 0;
}
