/* SPDX-License-Identifier: MIT */
/*
 * bench_api.c - what one prediction costs between a parsed request head and the finished body: JSON
 * in, JSON out, the eleven features of nfl-wp, the one-row evaluation and a cache lookup included;
 * no socket, no head. One TSV line a figure: name, ns a request, unit, peer, peer's figure, ratio.
 * The peer is the bare evaluation of the same row, so that the ratio says what the service around a
 * model costs.
 */
#include "../unit/predict/world.h"
#include "augury/api.h"

enum { ROUND_REQUESTS = 30000, ROUNDS = 7 };

#define BENCH_ROW                                                                                  \
    "{\"features\":{\"receive_2h_ko\":1,\"home\":0,\"half_seconds_remaining\":900,"                \
    "\"game_seconds_remaining\":2700,\"Diff_Time_Ratio\":3.5,\"score_differential\":3,"            \
    "\"down\":3,\"ydstogo\":7,\"yardline_100\":45,\"posteam_timeouts_remaining\":3,"               \
    "\"defteam_timeouts_remaining\":2}"

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
