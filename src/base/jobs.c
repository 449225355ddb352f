/* SPDX-License-Identifier: MIT */
/*
 * jobs.c - a few threads and one queue, first in, first out.
 * Invariant: a job belongs to the pool from jobs_put() until it is done; whoever waits for it may
 * read what it wrote, for the lock orders the two.
 */
#include "augury/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t is_filled; /* a job was put, or the pool closes */
    pthread_cond_t is_done;   /* a job was done */
    struct job *first;
    struct job *last;
    bool is_closing;
    unsigned thread_count;
    pthread_t threads[JOBS_THREADS_MAX];
};

/* The next job; NULL when the pool closes and none is left. */
static struct job *
take(struct jobs *jobs)
{
    while (jobs->first == NULL && !jobs->is_closing) {
        pthread_cond_wait(&jobs->is_filled, &jobs->lock);
    }
    struct job *job = jobs->first;
    if (job != NULL) {
        jobs->first = job->next;
    }
    return job;
}

static void *
work(void *arg)
{
    struct jobs *jobs = arg;
    struct job *job;

    pthread_mutex_lock(&jobs->lock);
    while ((job = take(jobs)) != NULL) {
        pthread_mutex_unlock(&jobs->lock);
        job->run(job->arg);
        pthread_mutex_lock(&jobs->lock);
        job->is_done = true;
        pthread_cond_broadcast(&jobs->is_done);
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

/* Signals are the business of the thread that was there before. */
static void
start_threads(struct jobs *jobs, unsigned count)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (jobs->thread_count < count &&
           pthread_create(&jobs->threads[jobs->thread_count], NULL, work, jobs) == 0) {
        jobs->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int
jobs_new(unsigned thread_count, struct jobs **out_jobs)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));

    AUGURY_ASSERT(thread_count >= 1 && thread_count <= JOBS_THREADS_MAX);
    if (jobs == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->is_filled, NULL);
    pthread_cond_init(&jobs->is_done, NULL);
    start_threads(jobs, thread_count);
    if (jobs->thread_count == 0) {
        jobs_free(&jobs);
        return AUGURY_ERR_NOMEM;
    }
    *out_jobs = jobs;
    return 0;
}

void
jobs_free(struct jobs **out_jobs)
{
    struct jobs *jobs = *out_jobs;

    if (jobs == NULL) {
        return;
    }
    pthread_mutex_lock(&jobs->lock);
    jobs->is_closing = true;
    pthread_cond_broadcast(&jobs->is_filled);
    pthread_mutex_unlock(&jobs->lock);
    for (unsigned i = 0; i < jobs->thread_count; i++) {
        pthread_join(jobs->threads[i], NULL);
    }
    pthread_cond_destroy(&jobs->is_done);
    pthread_cond_destroy(&jobs->is_filled);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    *out_jobs = NULL;
}

unsigned
jobs_thread_count(const struct jobs *jobs)
{
    return jobs->thread_count;
}

void
jobs_put(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    job->is_done = false;
    pthread_mutex_lock(&jobs->lock);
    if (jobs->first == NULL) {
        jobs->first = job;
    } else {
        jobs->last->next = job;
    }
    jobs->last = job;
    pthread_cond_signal(&jobs->is_filled);
    pthread_mutex_unlock(&jobs->lock);
}

void
jobs_wait(struct jobs *jobs, const struct job *job)
{
    pthread_mutex_lock(&jobs->lock);
    while (!job->is_done) {
        pthread_cond_wait(&jobs->is_done, &jobs->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
}
