/* SPDX-License-Identifier: MIT */
/* test_bucket.c - token buckets: what passes at once and over time, threads that share one, clients
 * by their addresses, and a process that is killed while it takes. */
#include "../../tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/api_keys.h"

enum { MS = 1000000, THREADS = 4, TAKES = 200000 };

static struct api_buckets *buckets;

static struct api_take
take(struct api_bucket *bucket, struct api_rate rate, uint64_t now_ns)
{
    struct api_take taken;

    api_bucket_take(bucket, rate, now_ns, &taken);
    return taken;
}

static void
a_burst_passes_at_once_and_then_one_an_interval(void)
{
    struct api_bucket bucket = {0};
    struct api_rate rate = {10 * MS, 3};
    uint64_t now = 77 * UINT64_C(1000) * MS;

    for (uint32_t i = 0; i < 3; i++) {
        struct api_take taken = take(&bucket, rate, now);
        CHECK(taken.is_allowed);
        CHECK_INT(taken.limit, 3);
        CHECK_INT(taken.left, 2 - i);
        CHECK_INT(taken.full_ns, (i + 1) * 10 * MS);
    }
    struct api_take refused = take(&bucket, rate, now + 4 * MS);
    CHECK(!refused.is_allowed);
    CHECK_INT(refused.left, 0);
    CHECK_INT(refused.retry_ns, 6 * MS);
    CHECK_INT(refused.full_ns, 26 * MS);
    CHECK(!take(&bucket, rate, now + 10 * MS - 1).is_allowed); /* refusals cost nothing */
    CHECK(take(&bucket, rate, now + 10 * MS).is_allowed);
    CHECK(!take(&bucket, rate, now + 10 * MS).is_allowed);
    struct api_take rested = take(&bucket, rate, now + 1000 * UINT64_C(1000) * MS);
    CHECK(rested.is_allowed);
    CHECK_INT(rested.left, 2); /* no more than the burst is saved up */
}

/* A clock that a thread read a moment ago makes it more careful, not less. */
static void
an_old_now_lets_no_more_pass(void)
{
    struct api_bucket bucket = {0};
    struct api_rate rate = {10 * MS, 2};
    uint64_t now = 1000 * UINT64_C(1000) * MS;

    CHECK(take(&bucket, rate, now).is_allowed);
    CHECK(take(&bucket, rate, now).is_allowed);
    CHECK(!take(&bucket, rate, now - 50 * MS).is_allowed);
    CHECK(!take(&bucket, rate, now + 9 * MS).is_allowed);
    CHECK(take(&bucket, rate, now + 10 * MS).is_allowed);
}

struct hammer {
    pthread_t thread;
    struct api_bucket *bucket;
    struct api_rate rate;
    uint64_t passed;
    uint64_t from_ns, to_ns;
};

static void *
hammer(void *arg)
{
    struct hammer *self = arg;

    self->from_ns = clock_mono_ns();
    for (unsigned i = 0; i < TAKES; i++) {
        self->to_ns = clock_mono_ns();
        self->passed += take(self->bucket, self->rate, self->to_ns).is_allowed ? 1 : 0;
    }
    return NULL;
}

static void
threads_together_pass_no_more_than_rate_and_burst(void)
{
    struct api_rate rate = {20000, 50};
    struct api_bucket bucket = {0};
    struct hammer hammers[THREADS];
    uint64_t passed = 0, from_ns = UINT64_MAX, to_ns = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.bucket = &bucket, .rate = rate};
        CHECK(pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(hammers[i].thread, NULL);
        passed += hammers[i].passed;
        from_ns = hammers[i].from_ns < from_ns ? hammers[i].from_ns : from_ns;
        to_ns = hammers[i].to_ns > to_ns ? hammers[i].to_ns : to_ns;
    }
    uint64_t most = rate.burst + (to_ns - from_ns) / rate.interval_ns + 1;
    printf("# %llu of %d passed, at most %llu may\n", (unsigned long long)passed, THREADS * TAKES,
           (unsigned long long)most);
    CHECK(passed >= rate.burst);
    CHECK(passed <= most);
    /* The word accounts for each that passed: no update was lost. */
    CHECK(atomic_load(&bucket.full_mono_ns) >= from_ns + passed * rate.interval_ns);
}

static void
a_killed_process_leaves_the_bucket_usable(void)
{
    struct api_rate rate = {1000, 100};
    struct api_bucket *bucket = shm_map(sizeof(*bucket));

    CHECK(bucket != NULL);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t before = atomic_load(&bucket->full_mono_ns);
        pid_t pid = fork();
        if (pid == 0) {
            for (;;) {
                take(bucket, rate, clock_mono_ns());
            }
        }
        while (atomic_load(&bucket->full_mono_ns) == before) {
            usleep(100);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        uint64_t now = clock_mono_ns();
        CHECK(atomic_load(&bucket->full_mono_ns) <= now + rate.burst * rate.interval_ns);
        CHECK(take(bucket, rate, now + rate.interval_ns).is_allowed);
    }
    void *map = bucket;
    shm_unmap(&map, sizeof(*bucket));
}

static struct api_bucket *
bucket_of(const char *text)
{
    struct ip_address address = {{0}};

    (void)!ip_parse(bytes_of_text(text), &address); /* else by a UNIX socket */
    return api_bucket_of_client(buckets, &address);
}

static void
a_client_is_an_address_or_a_site_of_ipv6(void)
{
    struct api_bucket *first = bucket_of("192.0.2.1");

    CHECK(bucket_of("192.0.2.1") == first);
    CHECK(bucket_of("::ffff:192.0.2.1") == first);
    CHECK(bucket_of("192.0.2.2") != first);
    CHECK(bucket_of("2001:db8:1:2::1") == bucket_of("2001:db8:1:2:ffff:eeee:dddd:cccc"));
    CHECK(bucket_of("2001:db8:1:2::1") != bucket_of("2001:db8:1:3::1"));
    CHECK(bucket_of("/a/socket") == bucket_of("/another"));
    CHECK(bucket_of("/a/socket") != first);
}

/* 100,000 addresses, a few times what there is room for. */
static void
a_flood_of_addresses_passes_no_more_than_the_places_let(void)
{
    struct api_rate rate = {3600 * UINT64_C(1000) * MS, 2};
    uint64_t now = clock_mono_ns();
    size_t passed = 0;
    char address[32];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 100000; i++) {
            snprintf(address, sizeof(address), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
            passed += take(bucket_of(address), rate, now).is_allowed ? 1 : 0;
        }
    }
    CHECK(passed <= 2 * 16384);
    CHECK(passed > 16384);
    /* An hour later all have gone, and the next one finds a full bucket. */
    now += 2 * rate.interval_ns;
    CHECK_INT(take(bucket_of("198.51.100.7"), rate, now).left, 1);
    CHECK_INT(take(bucket_of("198.51.100.7"), rate, now).left, 0);
}

static struct api_key
key_of(const char *name, struct api_rate rate)
{
    struct api_key key = {.rate = rate};

    snprintf(key.name, sizeof(key.name), "%s", name);
    api_key_fit(&key, buckets, 5000);
    return key;
}

static void
a_key_keeps_its_bucket_over_a_reload(void)
{
    struct api_rate rate = {1000, 10};
    struct api_key key = key_of("app", rate);
    struct api_key other = key_of("other", rate);
    uint64_t now = 5000;

    CHECK(api_bucket_of_key(buckets, &key) != api_bucket_of_key(buckets, &other));
    for (unsigned i = 0; i < 10; i++) {
        CHECK(take(api_bucket_of_key(buckets, &key), rate, now).is_allowed);
    }
    struct api_key again = key_of("app", rate);
    CHECK(api_bucket_of_key(buckets, &again) == api_bucket_of_key(buckets, &key));
    CHECK(!take(api_bucket_of_key(buckets, &again), rate, now).is_allowed);
    CHECK(take(api_bucket_of_key(buckets, &other), rate, now).is_allowed);
}

/* One a day, all of it used, then a hundred a second: nobody waits for days. */
static void
a_faster_rate_counts_from_the_reload(void)
{
    struct api_rate slow = {86400 * UINT64_C(1000) * MS, 5};
    struct api_rate fast = {10 * MS, 10};
    struct api_key key = key_of("patient", slow);

    for (unsigned i = 0; i < 5; i++) {
        CHECK(take(api_bucket_of_key(buckets, &key), slow, 5000).is_allowed);
    }
    key = key_of("patient", fast);
    CHECK_INT(take(api_bucket_of_key(buckets, &key), fast, 5000).retry_ns, 10 * MS);
    CHECK(take(api_bucket_of_key(buckets, &key), fast, 5000 + 10 * MS).is_allowed);
}

static void
more_names_than_places_share_them(void)
{
    struct api_rate rate = {1000, 1};
    char name[32];

    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "name%u", i);
        struct api_key key = key_of(name, rate);
        CHECK(key.bucket < 8192);
    }
}

int
main(void)
{
    void *memory = shm_map(api_buckets_bytes());

    if (memory == NULL || api_buckets_attach(memory, &buckets) != 0) {
        return 1;
    }
    TAP_RUN(a_burst_passes_at_once_and_then_one_an_interval);
    TAP_RUN(an_old_now_lets_no_more_pass);
    TAP_RUN(threads_together_pass_no_more_than_rate_and_burst);
    TAP_RUN(a_killed_process_leaves_the_bucket_usable);
    TAP_RUN(a_client_is_an_address_or_a_site_of_ipv6);
    TAP_RUN(a_flood_of_addresses_passes_no_more_than_the_places_let);
    TAP_RUN(a_key_keeps_its_bucket_over_a_reload);
    TAP_RUN(a_faster_rate_counts_from_the_reload);
    TAP_RUN(more_names_than_places_share_them);
    shm_unmap(&memory, api_buckets_bytes());
    return tap_done();
}
