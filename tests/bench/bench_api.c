/* SPDX-License-Identifier: MIT */
/*
 * bench_api.c - what one prediction costs between a parsed request head and the finished body: JSON
 * in, JSON out, the eleven features of nfl-wp, the one-row evaluation and a cache lookup included;
 * no socket, no head. post_repeat is a rendered answer, asked for in one turn. One TSV line a
 * figure: name, ns a request, unit, peer, peer's figure, ratio. The peer is the bare evaluation of
 * the same row, so that the ratio says what the service around a model costs.
 */
#include "../unit/predict/world.h"
#include "augury/api.h"

enum { ROUND_REQUESTS = 30000, ROUNDS = 7 };

#define BENCH_ROW                                                                                  \
    "{\"features\":{\"receive_2h_ko\":1,\"home\":0,\"half_seconds_remaining\":900,"                \
    "\"game_seconds_remaining\":2700,\"Diff_Time_Ratio\":3.5,\"score_differential\":3,"            \
    "\"down\":3,\"ydstogo\":7,\"yardline_100\":45,\"posteam_timeouts_remaining\":3,"               \
    "\"defteam_timeouts_remaining\":2}"

static const char bench_key[] = "aug_HDc2wi6Gnvr2T8Y2TZ6R7ZO8GLl_Fv0Go14AjsmrjnI";

struct bench {
    struct world world;
    struct api *api;
    struct proc_board board;
    struct http_request request;
    struct buf headers;
    struct buf body;
    uint64_t answers;
};

static void
request_once(struct bench *bench, struct bytes text)
{
    struct net_peer peer = {.listener = "bench"};
    struct net_answer answer = {.status = 200, .headers = &bench->headers, .body = &bench->body};

    buf_reset(&bench->headers);
    buf_reset(&bench->body);
    api_handle(bench->api, &bench->request, text, &peer, &answer);
    AUGURY_ASSERT(answer.status == 200);
    bench->answers++;
}

/* The best of some rounds: what the machine does beside it only adds. */
static double
request_ns(struct bench *bench, const char *text)
{
    struct bytes bytes = bytes_of_text(text);
    double best = 1e18;

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_mono_ns();
        for (unsigned i = 0; i < ROUND_REQUESTS; i++) {
            request_once(bench, bytes);
        }
        double ns = (double)(clock_mono_ns() - begin) / ROUND_REQUESTS;
        best = ns < best ? ns : best;
    }
    return best;
}

static double
row_ns(struct bench *bench)
{
    const struct registry_model *found;
    struct err err;
    float margin;
    double best = 1e18;

    WORLD_MUST(registry_snapshot_begin(bench->world.registry));
    WORLD_MUST(registry_find(bench->world.registry, bytes_of_text("nfl-wp"), bytes_of_text(""),
                             &found, &err));
    void *scratch = aligned_alloc(64, (model_scratch_bytes(&found->model, 1) + 127) & ~(size_t)63);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = clock_mono_ns();
        for (unsigned i = 0; i < ROUND_REQUESTS; i++) {
            model_margins(&found->model, bench->world.rows[i % WORLD_ROWS], 1, scratch, &margin);
            __asm__ volatile("" : : "g"(&margin) : "memory");
        }
        double ns = (double)(clock_mono_ns() - begin) / ROUND_REQUESTS;
        best = ns < best ? ns : best;
    }
    free(scratch);
    registry_snapshot_end(bench->world.registry);
    return best;
}

/* The interface anew, with keys (NULL: without), and a request as clients send it, with one. */
static void
use_keys(struct bench *bench, struct api_options *options, const char *line_end)
{
    static const char *const fields[][2] = {
        {"Host", "127.0.0.1:8080"}, {"User-Agent", "bench/1.0"},
        {"Accept", "*/*"},          {"Content-Type", "application/json"},
        {"Content-Length", "250"},  {"X-API-Key", bench_key}};
    static struct conf_errors errors;
    static struct api_keys *keys;
    struct http_request *request = &bench->request;
    uint8_t sha256[SEAL_SHA256_BYTES];
    char hex[SEAL_SHA256_HEX_BYTES];
    char line[256];
    struct err err = {0};

    WORLD_MUST(seal_sha256(bytes_of_text(bench_key), sha256));
    hex_encode(bytes_of(sha256, sizeof(sha256)), hex);
    snprintf(line, sizeof(line), "app %.*s scopes=predict %s\n", (int)sizeof(hex), hex,
             line_end != NULL ? line_end : "");
    api_free(&bench->api);
    api_keys_free(&keys);
    if (line_end != NULL) {
        WORLD_MUST(api_keys_parse("bench", bytes_of_text(line), &keys, &errors));
    }
    options->keys = keys;
    WORLD_MUST(api_new(options, &bench->api, &err));
    request->header_count = AUGURY_COUNT(fields);
    for (size_t i = 0; i < AUGURY_COUNT(fields); i++) {
        request->headers[i] =
            (struct http_header){bytes_of_text(fields[i][0]), bytes_of_text(fields[i][1])};
    }
}

/* The same with rendered answers kept: nothing is parsed. */
static double
repeat_ns(struct bench *bench, struct api_options *options)
{
    struct err err = {0};

    api_free(&bench->api);
    options->cache = bench->world.cache;
    WORLD_MUST(api_new(options, &bench->api, &err));
    for (unsigned i = 0; i < 3; i++) {
        request_once(bench, bytes_of_text(BENCH_ROW "}"));
        api_turn_end(bench->api);
        world_commit(&bench->world, clock_wall_ms());
    }
    double ns = request_ns(bench, BENCH_ROW "}");
    AUGURY_ASSERT(world_count(&bench->world, STATS_CACHE_HITS_RESPONSE) >= ROUND_REQUESTS * ROUNDS);
    api_turn_end(bench->api);
    return ns;
}

int
main(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct conf_source source = {.path = NULL};
    static struct conf_errors errors;
    struct conf *conf;
    struct net_server *no_server = NULL;
    struct err err = {0};

    world_init(&bench->world);
    WORLD_MUST(conf_load(&source, &conf, &errors));
    struct api_options options = {
        .conf = conf,
        .predict = &bench->world.context,
        .stats = bench->world.stats,
        .slot = bench->world.slot,
        .board = &bench->board,
        .server = &no_server,
    };
    WORLD_MUST(api_new(&options, &bench->api, &err));
    buf_init(&bench->headers, 4096);
    buf_init(&bench->body, 1 << 20);
    bench->request.method = HTTP_POST;
    bench->request.path = bytes_of_text("/api/v1/predict/nfl-wp");
    bench->request.content_type = bytes_of_text("application/json");

    request_once(bench, bytes_of_text(BENCH_ROW "}"));
    world_commit(&bench->world, clock_wall_ms());
    double row = row_ns(bench);
    double hit = request_ns(bench, BENCH_ROW "}");
    double bypass = request_ns(bench, BENCH_ROW ",\"use_cache\":false}");
    printf("api.post_hit\t%.0f\tns\trow_evaluation\t%.0f\t%.2f\n", hit, row, hit / row);
    printf("api.post_bypass\t%.0f\tns\trow_evaluation\t%.0f\t%.2f\n", bypass, row, bypass / row);
    void *buckets = shm_map(api_buckets_bytes());
    WORLD_MUST(buckets == NULL ? AUGURY_ERR_NOMEM : api_buckets_attach(buckets, &options.buckets));
    use_keys(bench, &options, "");
    double keyed = request_ns(bench, BENCH_ROW "}");
    use_keys(bench, &options, "rate=1000000/s burst=1000000");
    double rated = request_ns(bench, BENCH_ROW "}");
    use_keys(bench, &options, NULL);
    double again = request_ns(bench, BENCH_ROW "}");
    hit = again < hit ? again : hit;
    printf("api.post_hit_key\t%.0f\tns\tapi.post_hit\t%.0f\t%.2f\n", keyed, hit, keyed / hit);
    double repeat = repeat_ns(bench, &options);
    printf("api.post_repeat\t%.0f\tns\trow_evaluation\t%.0f\t%.2f\n", repeat, row, repeat / row);
    printf("api.post_hit_key_rate\t%.0f\tns\tapi.post_hit\t%.0f\t%.2f\n", rated, hit, rated / hit);
    AUGURY_ASSERT(world_count(&bench->world, STATS_CACHE_HITS_PREDICTION) >=
                  ROUND_REQUESTS * ROUNDS);

    buf_fini(&bench->headers);
    buf_fini(&bench->body);
    api_free(&bench->api);
    conf_free(&conf);
    world_fini(&bench->world);
    free(bench);
    return 0;
}
