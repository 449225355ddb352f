/* SPDX-License-Identifier: MIT */
/* test_jobs.c - threads and their queue. */
#include "augury/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../../tap.h"

enum { MANY = 5000 };

struct sum {
    struct job job;
    unsigned from;
    uint64_t total;
};

static void
add_up(void *arg)
{
    struct sum *sum = arg;

    for (unsigned i = 0; i < 100; i++) {
        sum->total += sum->from + i;
    }
}

static void
every_job_is_done_once_and_its_results_are_seen(void)
{
    static struct sum sums[MANY];
    struct jobs *jobs = NULL;

    CHECK_INT(jobs_new(4, &jobs), 0);
    CHECK_INT(jobs_thread_count(jobs), 4);
    for (unsigned i = 0; i < MANY; i++) {
        sums[i] = (struct sum){.job = {.run = add_up, .arg = &sums[i]}, .from = i};
        jobs_put(jobs, &sums[i].job);
    }
    for (unsigned i = 0; i < MANY; i++) {
        jobs_wait(jobs, &sums[i].job);
        CHECK_INT(sums[i].total, 100 * i + 4950);
    }
    jobs_free(&jobs);
    CHECK(jobs == NULL);
}

static void
a_job_may_be_put_again_after_it_was_waited_for(void)
{
    struct sum sum = {.job = {.run = add_up, .arg = &sum}};
    struct jobs *jobs = NULL;

    CHECK_INT(jobs_new(2, &jobs), 0);
    for (unsigned i = 1; i <= 200; i++) {
        jobs_put(jobs, &sum.job);
        jobs_wait(jobs, &sum.job);
        CHECK_INT(sum.total, 4950 * i);
    }
    jobs_free(&jobs);
}

static void
closing_does_what_was_put(void)
{
    static struct sum sums[MANY];
    struct jobs *jobs = NULL;
    uint64_t done = 0;

    CHECK_INT(jobs_new(3, &jobs), 0);
    for (unsigned i = 0; i < MANY; i++) {
        sums[i] = (struct sum){.job = {.run = add_up, .arg = &sums[i]}};
        jobs_put(jobs, &sums[i].job);
    }
    jobs_free(&jobs);
    for (unsigned i = 0; i < MANY; i++) {
        done += sums[i].total == 4950 ? 1 : 0;
    }
    CHECK_INT(done, MANY);
    jobs_free(&jobs);
}

/* Two jobs that each wait for the other to have begun are only done by two threads at once. */
struct meeting {
    _Atomic int *here;
    struct job job;
};

static void
meet(void *arg)
{
    struct meeting *meeting = arg;

    atomic_fetch_add(meeting->here, 1);
    while (atomic_load(meeting->here) < 2) {
        usleep(100);
    }
}

static void
jobs_run_beside_each_other(void)
{
    _Atomic int here = 0;
    struct meeting a = {.here = &here, .job = {.run = meet, .arg = &a}};
    struct meeting b = {.here = &here, .job = {.run = meet, .arg = &b}};
    struct jobs *jobs = NULL;

    CHECK_INT(jobs_new(2, &jobs), 0);
    jobs_put(jobs, &a.job);
    jobs_put(jobs, &b.job);
    jobs_wait(jobs, &a.job);
    jobs_wait(jobs, &b.job);
    jobs_free(&jobs);
    CHECK_INT(here, 2);
}

static void
look_at_mask(void *arg)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    *(int *)arg = sigismember(&mask, SIGTERM);
}

static void
signals_stay_with_the_thread_that_was_there(void)
{
    struct jobs *jobs = NULL;
    int is_blocked = 0;
    struct job job = {.run = look_at_mask, .arg = &is_blocked};
    sigset_t mask;

    CHECK_INT(jobs_new(1, &jobs), 0);
    jobs_put(jobs, &job);
    jobs_wait(jobs, &job);
    jobs_free(&jobs);
    CHECK_INT(is_blocked, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK_INT(sigismember(&mask, SIGTERM), 0);
}

int
main(void)
{
    TAP_RUN(every_job_is_done_once_and_its_results_are_seen);
    TAP_RUN(a_job_may_be_put_again_after_it_was_waited_for);
    TAP_RUN(closing_does_what_was_put);
    TAP_RUN(jobs_run_beside_each_other);
    TAP_RUN(signals_stay_with_the_thread_that_was_there);
    return tap_done();
}
