/* SPDX-License-Identifier: MIT */
/* test_stats.c - slots of several processes, sums, histograms and the text format. */
#include "../../tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../src/stats/buckets.h"
#include "augury/stats.h"

enum { WRITERS = 4, ROUNDS = 20000 };

static struct stats *
board_new(void)
{
    return stats_attach(shm_map(stats_bytes()));
}

static void
board_free(struct stats *stats)
{
    void *map = stats;
    shm_unmap(&map, stats_bytes());
}

static void
an_empty_board_sums_to_zero(void)
{
    struct stats *stats = board_new();
    struct stats_summary summary;

    for (size_t id = 0; id < STATS_COUNT; id++) {
        CHECK_INT(stats_sum(stats, (enum stats_id)id), 0);
    }
    stats_summarise(stats, STATS_HTTP_TURN, &summary);
    CHECK_INT(summary.count, 0);
    CHECK_INT(summary.max_ns, 0);
    board_free(stats);
}

static void
a_null_slot_counts_nothing(void)
{
    stats_add(NULL, STATS_HTTP_BYTES_IN, 1);
    stats_set(NULL, STATS_HTTP_CONNECTIONS_OPEN, 1);
    stats_observe(NULL, STATS_HTTP_TURN, 1);
    CHECK(true);
}

static void
write_rounds(struct stats *stats, unsigned slot)
{
    struct stats_slot *own = stats_slot(stats, slot);

    for (uint64_t i = 0; i < ROUNDS; i++) {
        stats_add(own, STATS_HTTP_BYTES_IN, slot);
        stats_observe(own, STATS_HTTP_TURN, i);
    }
    stats_set(own, STATS_HTTP_CONNECTIONS_OPEN, slot);
}

static int
fork_writer(struct stats *stats, unsigned slot)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        write_rounds(stats, slot);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return status;
}

static void
forked_writers_add_up(void)
{
    struct stats *stats = board_new();
    uint64_t want = 0;

    for (unsigned slot = 1; slot <= WRITERS; slot++) {
        CHECK_INT(fork_writer(stats, slot), 0);
        want += (uint64_t)slot * ROUNDS;
    }
    CHECK_INT(stats_sum(stats, STATS_HTTP_BYTES_IN), want);
    CHECK_INT(stats_of_slot(stats, 3, STATS_HTTP_BYTES_IN), 3 * ROUNDS);
    CHECK_INT(stats_sum(stats, STATS_HTTP_TURN), WRITERS * ROUNDS);
    CHECK_INT(stats_sum(stats, STATS_HTTP_CONNECTIONS_OPEN), 1 + 2 + 3 + 4);
    board_free(stats);
}

static void
a_respawned_slot_keeps_its_counters_and_loses_its_gauges(void)
{
    struct stats *stats = board_new();

    CHECK_INT(fork_writer(stats, 2), 0);
    stats_slot_gauges_zero(stats_slot(stats, 2));
    CHECK_INT(stats_of_slot(stats, 2, STATS_HTTP_CONNECTIONS_OPEN), 0);
    CHECK_INT(stats_of_slot(stats, 2, STATS_HTTP_BYTES_IN), 2 * ROUNDS);
    CHECK_INT(fork_writer(stats, 2), 0);
    CHECK_INT(stats_of_slot(stats, 2, STATS_HTTP_BYTES_IN), 4 * ROUNDS);
    CHECK_INT(stats_sum(stats, STATS_HTTP_TURN), 2 * ROUNDS);
    board_free(stats);
}

struct thread_case {
    struct stats *stats;
    unsigned slot;
};

static void *
thread_writes(void *arg)
{
    struct thread_case *own = arg;
    write_rounds(own->stats, own->slot);
    return NULL;
}

/* Threads in place of processes, so that the thread sanitizer sees the writers and the reader. */
static void
a_reader_beside_writers_sees_sums_that_only_grow(void)
{
    struct stats *stats = board_new();
    pthread_t threads[WRITERS];
    struct thread_case cases[WRITERS];
    uint64_t last = 0;

    for (unsigned i = 0; i < WRITERS; i++) {
        cases[i] = (struct thread_case){stats, i};
        CHECK_INT(pthread_create(&threads[i], NULL, thread_writes, &cases[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        struct stats_summary summary;
        stats_summarise(stats, STATS_HTTP_TURN, &summary);
        CHECK(summary.count >= last);
        CHECK(summary.count <= (uint64_t)WRITERS * ROUNDS);
        last = summary.count;
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_INT(stats_sum(stats, STATS_HTTP_TURN), WRITERS * ROUNDS);
    board_free(stats);
}

static void
every_value_lies_in_a_bucket_at_most_a_sixteenth_wide(void)
{
    uint64_t lower = 0;

    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        uint64_t edge = bucket_edge_ns(i);
        CHECK_INT(bucket_of(lower), i);
        CHECK_INT(bucket_of(edge), i);
        CHECK(edge - lower <= lower / 16);
        lower = edge + 1;
    }
    CHECK_INT(bucket_of(UINT64_MAX), STATS_BUCKETS - 1);
}

static int
compare_u64(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right ? 1 : 0;
}

static bool
is_near(uint64_t got, uint64_t want)
{
    return got >= want && got <= want + want / 16;
}

static void
percentiles_are_those_of_the_sorted_list_within_a_sixteenth(void)
{
    enum { N = 1000 };
    struct stats *stats = board_new();
    uint64_t values[N];
    uint64_t sum = 0;
    uint64_t state = 88172645463325252ULL;
    struct stats_summary summary;

    for (size_t i = 0; i < N; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[i] = 1 + (state >> (24 + state % 30));
        sum += values[i];
        stats_observe(stats_slot(stats, (unsigned)(i % 7)), STATS_PREDICT_SECONDS, values[i]);
    }
    qsort(values, N, sizeof(values[0]), compare_u64);
    stats_summarise(stats, STATS_PREDICT_SECONDS, &summary);
    CHECK_INT(summary.count, N);
    CHECK_INT(summary.sum_ns, sum);
    CHECK(is_near(summary.p50_ns, values[499]));
    CHECK(is_near(summary.p90_ns, values[899]));
    CHECK(is_near(summary.p95_ns, values[949]));
    CHECK(is_near(summary.p99_ns, values[989]));
    CHECK(is_near(summary.max_ns, values[999]));
    board_free(stats);
}

static size_t
count_of(const char *text, const char *words)
{
    size_t n = 0;

    for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words)) {
        n++;
    }
    return n;
}

static void
the_text_format_has_help_once_a_name_and_cumulative_buckets(void)
{
    struct stats *stats = board_new();
    struct buf buf;

    stats_add(stats_slot(stats, 1), STATS_HTTP_REQUESTS_2XX, 7);
    stats_add(stats_slot(stats, 2), STATS_HTTP_REQUESTS_2XX, 5);
    stats_observe(stats_slot(stats, 1), STATS_PREDICT_SECONDS, 800);
    stats_observe(stats_slot(stats, 2), STATS_PREDICT_SECONDS, 3000);
    stats_observe(stats_slot(stats, 2), STATS_PREDICT_SECONDS, 20000000000);
    buf_init(&buf, 1 << 20);
    stats_put_prometheus(stats, &buf);
    buf_put_u8(&buf, 0);
    CHECK_INT(buf_finish(&buf), 0);
    const char *text = (const char *)buf.data;
    CHECK_INT(count_of(text, "# HELP augury_http_requests_total "), 1);
    CHECK_INT(count_of(text, "# TYPE augury_http_requests_total counter\n"), 1);
    CHECK_CONTAINS(text, "\naugury_http_requests_total{status=\"2xx\"} 12\n");
    CHECK_CONTAINS(text, "# TYPE augury_http_connections gauge\naugury_http_connections 0\n");
    CHECK_CONTAINS(text, "# TYPE augury_predict_seconds histogram\n");
    CHECK_CONTAINS(text, "augury_predict_seconds_bucket{le=\"0.000001\"} 1\n"
                         "augury_predict_seconds_bucket{le=\"0.0000025\"} 1\n"
                         "augury_predict_seconds_bucket{le=\"0.000005\"} 2\n");
    CHECK_CONTAINS(text, "augury_predict_seconds_bucket{le=\"10\"} 2\n"
                         "augury_predict_seconds_bucket{le=\"+Inf\"} 3\n"
                         "augury_predict_seconds_sum 20.000003800\n"
                         "augury_predict_seconds_count 3\n");
    buf_fini(&buf);
    board_free(stats);
}

int
main(void)
{
    TAP_RUN(an_empty_board_sums_to_zero);
    TAP_RUN(a_null_slot_counts_nothing);
    TAP_RUN(forked_writers_add_up);
    TAP_RUN(a_respawned_slot_keeps_its_counters_and_loses_its_gauges);
    TAP_RUN(a_reader_beside_writers_sees_sums_that_only_grow);
    TAP_RUN(every_value_lies_in_a_bucket_at_most_a_sixteenth_wide);
    TAP_RUN(percentiles_are_those_of_the_sorted_list_within_a_sixteenth);
    TAP_RUN(the_text_format_has_help_once_a_name_and_cumulative_buckets);
    return tap_done();
}
