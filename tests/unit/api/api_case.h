/* SPDX-License-Identifier: MIT */
/*
 * api_case.h - the HTTP interface without a socket: a request goes into api_handle(), its answer is
 * read as text.
 */
#pragma once

#include "../predict/world.h"
#include "augury/api.h"

static struct world world;
static struct api *api;
static struct proc_board board;
static struct conf *conf;
static struct net_server *no_server;
static struct buf headers;
static struct buf body;

/* ---- one request ----------------------------------------------------------------------------- */

struct fake {
    enum http_method method;
    const char *path, *query, *type, *accept, *cache_control, *id, *encoding;
    const char *accept_encoding, *none_match, *match;
    const struct http_header *fields; /* those that have no member of their own */
    size_t field_count;
    struct ip_address client;
    bool is_tls;
    struct bytes body;
    bool has_next; /* the turn goes on with another request */
};

struct reply {
    unsigned status;
    const char *type;
    const char *headers;
    const char *body;
    size_t body_len;
};

static struct bytes
text_or_none(const char *text)
{
    return text != NULL ? bytes_of_text(text) : bytes_of(NULL, 0);
}

/* Valid until the next send(). */
static struct reply
send_request(struct fake fake)
{
    static struct http_request request;
    struct net_peer peer = {.listener = "test", .client = fake.client, .is_tls = fake.is_tls};
    struct net_answer answer = {.status = 200, .headers = &headers, .body = &body};

    request.method = fake.method;
    request.minor = 1;
    request.path = bytes_of_text(fake.path);
    request.query = text_or_none(fake.query);
    request.accept_encoding = text_or_none(fake.accept_encoding);
    request.if_none_match = text_or_none(fake.none_match);
    request.if_match = text_or_none(fake.match);
    request.content_type = text_or_none(fake.type);
    request.accept = text_or_none(fake.accept);
    request.cache_control = text_or_none(fake.cache_control);
    request.request_id = text_or_none(fake.id);
    request.content_encoding = text_or_none(fake.encoding);
    request.header_count = fake.field_count;
    for (size_t i = 0; i < fake.field_count; i++) {
        request.headers[i] = fake.fields[i];
    }
    buf_reset(&headers);
    buf_reset(&body);
    api_handle(api, &request, fake.body, &peer, &answer);
    if (answer.ready.data != NULL) {
        buf_reset(&body);
        buf_put_bytes(&body, answer.ready);
    }
    if (!fake.has_next) {
        api_turn_end(api);
    }
    struct reply reply = {.status = answer.status, .type = answer.content_type};
    reply.body_len = body.len;
    buf_put_u8(&headers, 0);
    buf_put_u8(&body, 0);
    reply.headers = (const char *)headers.data;
    reply.body = (const char *)body.data;
    return reply;
}

static inline struct reply
get(const char *path)
{
    return send_request((struct fake){.method = HTTP_GET, .path = path});
}

static inline struct reply
post(const char *path, const char *text)
{
    return send_request((struct fake){.method = HTTP_POST,
                                      .path = path,
                                      .type = "application/json",
                                      .body = bytes_of_text(text)});
}

#define PREDICT_PATH "/api/v1/predict/nfl-wp"
#define ROW_ZERO                                                                                   \
    "{\"features\":{\"receive_2h_ko\":1,\"home\":0,\"half_seconds_remaining\":900,"                \
    "\"game_seconds_remaining\":2700,\"Diff_Time_Ratio\":3.5,\"score_differential\":3,"            \
    "\"down\":3,\"ydstogo\":7,\"yardline_100\":45,\"posteam_timeouts_remaining\":3,"               \
    "\"defteam_timeouts_remaining\":2}}"

/* ---- the room set up ------------------------------------------------------------------------- */

static struct api_options
api_options_usual(void)
{
    return (struct api_options){
        .conf = conf,
        .predict = &world.context,
        .cache = world.cache,
        .stats = world.stats,
        .slot = world.slot,
        .board = &board,
        .server = &no_server,
    };
}

static void
set_up(void)
{
    static const char *const overrides[] = {"limits.request_memory=1MiB"};
    struct conf_source source = {.overrides = overrides, .override_count = 1};
    static struct conf_errors errors;
    struct err err;

    world_init(&world);
    WORLD_MUST(conf_load(&source, &conf, &errors));
    snprintf(board.kind_names[2], sizeof(board.kind_names[2]), "worker");
    struct proc_slot *slot = &board.slots[PROC_SLOT_WORKER_FIRST];
    atomic_store(&slot->kind, 2);
    atomic_store(&slot->pid, getpid());
    atomic_store(&slot->state, PROC_STATE_READY);
    atomic_store(&board.slots[PROC_SLOT_SUPERVISOR].pid, getpid());
    atomic_store(&board.started_wall_ms, clock_wall_ms());
    struct api_options options = api_options_usual();
    world.context.rows_max = conf->limits.rows;
    WORLD_MUST(api_new(&options, &api, &err));
    buf_init(&headers, 4096);
    buf_init(&body, 16 << 20);
}

static struct conf *own_conf; /* of api_restart(); a test that uses it frees it */

/* The interface anew, with these options of a configuration. */
static inline void
api_restart(const char *const *overrides, size_t count, const struct api_keys *keys,
            struct api_buckets *buckets)
{
    struct conf_source source = {.overrides = overrides, .override_count = count};
    static struct conf_errors errors;
    struct err err;

    api_free(&api);
    conf_free(&own_conf);
    WORLD_MUST(conf_load(&source, &own_conf, &errors));
    struct api_options options = {
        .conf = own_conf,
        .predict = &world.context,
        .cache = world.cache,
        .stats = world.stats,
        .slot = world.slot,
        .board = &board,
        .server = &no_server,
        .keys = keys,
        .buckets = buckets,
    };
    WORLD_MUST(api_new(&options, &api, &err));
}

static inline void
tear_down(void)
{
    buf_fini(&headers);
    buf_fini(&body);
    api_free(&api);
    conf_free(&conf);
    world_fini(&world);
}
