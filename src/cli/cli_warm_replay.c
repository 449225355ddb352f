/* SPDX-License-Identifier: MIT */
/*
 * cli_warm_replay.c - a file's requests over a few connections, one request under way on each, at
 * a rate that a bucket of tokens bounds. Told in order: connect, send, hear, the end of a request,
 * the bucket, one turn. A connection that the server has closed while it was idle is made anew and
 * its request sent once more; any other loss is a fault.
 */
#include "cli_warm.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli_progress.h"

#define SECOND_NS UINT64_C(1000000000)
#define BURST_NS (SECOND_NS / 10)  /* what a late turn may catch up with */
#define ANSWER_NS (30 * SECOND_NS) /* from the sending of a request to the end of its answer */
#define TURN_NS (SECOND_NS / 2)

enum { HEAR_BYTES = 64 << 10, FAULTS_SHOWN = 10, ARENA_MAX = 256 << 20 };

struct conn {
    int fd; /* -1: none */
    bool is_busy;
    bool is_reused; /* it has answered before: the server may just have closed it */
    bool has_heard;
    uint64_t line, sent_ns;
    struct buf out; /* the request */
    size_t out_used;
    struct buf in;
    struct warm_answer answer;
};

struct replay {
    const struct warm_options *options;
    struct warm_totals *totals;
    struct warm_input input;
    struct arena arena;
    struct sockaddr_storage address;
    socklen_t address_len;
    uint64_t next_ns; /* when the next request may go */
    uint64_t interval_ns;
    bool is_input_over, needs_input;
    struct cli_progress progress;
    struct conn conns[WARM_CONNECTIONS_MAX];
};

/* ---- faults ---------------------------------------------------------------------------------- */

static void
fault(struct replay *replay, uint64_t line, const char *what)
{
    struct warm_totals *totals = replay->totals;

    totals->errors++;
    if (totals->errors <= FAULTS_SHOWN) {
        fprintf(stderr, "augury: %s:%llu: %s\n", replay->input.name, (unsigned long long)line,
                what);
    } else if (totals->errors == FAULTS_SHOWN + 1) {
        fputs("augury: further faults are only counted\n", stderr);
    }
    totals->is_stopped = totals->is_stopped || totals->errors >= replay->options->errors_max;
}

static void
conn_close(struct conn *conn)
{
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    conn->fd = -1;
    conn->is_reused = false;
    buf_reset(&conn->in);
}

static void
request_failed(struct replay *replay, struct conn *conn, const char *what)
{
    conn_close(conn);
    conn->is_busy = false;
    replay->totals->failed++;
    fault(replay, conn->line, what);
}

/* ---- connect, send --------------------------------------------------------------------------- */

static void
conn_refused(struct replay *replay, struct conn *conn, int why)
{
    replay->totals->is_unreachable = replay->totals->answered == 0 && why == ECONNREFUSED;
    if (replay->totals->is_unreachable) {
        conn_close(conn);
        conn->is_busy = false;
        return;
    }
    request_failed(replay, conn, strerror(why));
}

static void
conn_open(struct replay *replay, struct conn *conn)
{
    const int on = 1;

    conn->fd = socket(replay->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        request_failed(replay, conn, strerror(errno));
        return;
    }
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(conn->fd, (const struct sockaddr *)&replay->address, replay->address_len) != 0 &&
        errno != EINPROGRESS) {
        conn_refused(replay, conn, errno);
    }
}

static void
request_begin(struct replay *replay, struct conn *conn, uint64_t now_ns)
{
    conn->is_busy = true;
    conn->has_heard = false;
    conn->out_used = 0;
    conn->sent_ns = now_ns;
    buf_reset(&conn->in);
    if (conn->fd < 0) {
        conn_open(replay, conn);
    }
}

/* The connection ended or broke. */
static void
conn_lost(struct replay *replay, struct conn *conn, int why)
{
    if (conn->is_reused && !conn->has_heard) {
        conn_close(conn);
        warm_answer_begin(&conn->answer, conn->answer.method);
        request_begin(replay, conn, conn->sent_ns);
        return;
    }
    if (why == ECONNREFUSED) {
        conn_refused(replay, conn, why);
        return;
    }
    request_failed(replay, conn, why != 0 ? strerror(why) : "the server closed the connection");
}

static void
on_writable(struct replay *replay, struct conn *conn)
{
    ssize_t sent = send(conn->fd, conn->out.data + conn->out_used, conn->out.len - conn->out_used,
                        MSG_NOSIGNAL);

    if (sent >= 0) {
        conn->out_used += (size_t)sent;
    } else if (errno != EAGAIN && errno != EINTR) {
        conn_lost(replay, conn, errno);
    }
}

/* ---- hear ------------------------------------------------------------------------------------ */

/* Of microseconds: exact below 16, then 16 steps a power of two. */
static size_t
bucket_of(uint64_t us)
{
    if (us < WARM_STEPS) {
        return (size_t)us;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(us);
    return (size_t)(power - 3) * WARM_STEPS + (size_t)(us >> (power - 4) & (WARM_STEPS - 1));
}

static void
request_done(struct replay *replay, struct conn *conn)
{
    struct warm_totals *totals = replay->totals;
    const struct warm_answer *answer = &conn->answer;
    char what[64];

    totals->answered++;
    totals->hits += answer->cache == WARM_HIT;
    totals->misses += answer->cache == WARM_MISS;
    totals->statuses[answer->status - WARM_STATUS_MIN]++;
    totals->latency[bucket_of((clock_mono_ns() - conn->sent_ns) / 1000)]++;
    cli_progress_add(&replay->progress, 1);
    conn->is_busy = false;
    conn->is_reused = true;
    if (answer->status >= 400) {
        totals->refused++;
        snprintf(what, sizeof(what), "answered with %u %s", answer->status,
                 http_status_text(answer->status));
        fault(replay, conn->line, what);
    }
    /* Bytes behind the answer belong to no request. */
    if (answer->is_closing || conn->in.len > 0 || conn->out_used < conn->out.len) {
        conn_close(conn);
    }
}

static void
on_readable(struct replay *replay, struct conn *conn)
{
    struct err err;
    uint8_t *room = buf_reserve(&conn->in, HEAR_BYTES);
    ssize_t got = room != NULL ? recv(conn->fd, room, HEAR_BYTES, 0) : -1;

    if (got < 0 && room != NULL && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        bool is_complete = got == 0 && conn->has_heard && conn->answer.phase == WARM_UNTIL_CLOSE;
        if (is_complete) {
            request_done(replay, conn);
        } else {
            conn_lost(replay, conn, got < 0 ? errno : 0);
        }
        return;
    }
    buf_commit(&conn->in, (size_t)got);
    conn->has_heard = true;
    int rc = warm_answer_feed(&conn->answer, &conn->in, &err);
    if (rc < 0) {
        request_failed(replay, conn, err.reason);
    } else if (rc == 0) {
        request_done(replay, conn);
    }
}

/* ---- the bucket ------------------------------------------------------------------------------ */

static struct conn *
idle_conn(struct replay *replay)
{
    struct conn *found = NULL;

    for (unsigned i = 0; i < replay->options->connections; i++) {
        struct conn *conn = &replay->conns[i];
        if (!conn->is_busy && (found == NULL || (found->fd < 0 && conn->fd >= 0))) {
            found = conn; /* an open one first */
        }
    }
    return found;
}

/* The next line that stands for a request, into conn. 0, AUGURY_MORE, AUGURY_END or < 0. */
static int
take_line(struct replay *replay, struct conn *conn, struct err *err)
{
    struct bytes line;
    enum http_method method = HTTP_GET;
    struct err reason;
    int rc = 0;

    while (!replay->totals->is_stopped && (rc = warm_input_next(&replay->input, &line, err)) == 0) {
        buf_reset(&conn->out);
        rc = warm_line_to_request(line, replay->options->address, &replay->arena, &conn->out,
                                  &method, &reason);
        if (rc == 0) {
            conn->line = replay->input.line;
            warm_answer_begin(&conn->answer, method);
            return 0;
        }
        if (rc == AUGURY_NOT_FOUND) {
            replay->totals->skipped++;
        } else {
            char what[sizeof(reason.at) + sizeof(reason.reason) + 2];
            snprintf(what, sizeof(what), "%s%s%s", reason.at, reason.at[0] != '\0' ? ": " : "",
                     reason.reason);
            replay->totals->bad_lines++;
            fault(replay, replay->input.line, what);
        }
    }
    return replay->totals->is_stopped ? AUGURY_END : rc;
}

/* Gives lines to idle connections as long as there are tokens. */
static int
requests_begin(struct replay *replay, struct err *err)
{
    uint64_t now_ns = clock_mono_ns();

    replay->needs_input = false;
    while (!replay->is_input_over && replay->next_ns <= now_ns) {
        struct conn *conn = idle_conn(replay);
        int rc = conn != NULL ? take_line(replay, conn, err) : AUGURY_MORE;
        if (rc < 0) {
            return rc;
        }
        if (rc == AUGURY_END) {
            replay->is_input_over = true;
        }
        if (rc != 0) {
            replay->needs_input = conn != NULL && rc == AUGURY_MORE;
            return 0;
        }
        if (replay->next_ns + BURST_NS < now_ns) {
            replay->next_ns = now_ns - BURST_NS;
        }
        replay->next_ns += replay->interval_ns;
        replay->totals->sent++;
        request_begin(replay, conn, now_ns);
    }
    return 0;
}

/* ---- one turn -------------------------------------------------------------------------------- */

static size_t
fill_polls(struct replay *replay, struct pollfd *polls, struct conn **owners)
{
    size_t count = 0;

    for (unsigned i = 0; i < replay->options->connections; i++) {
        struct conn *conn = &replay->conns[i];
        if (conn->is_busy) {
            bool is_sending = conn->out_used < conn->out.len;
            polls[count] = (struct pollfd){
                .fd = conn->fd, .events = (short)(is_sending ? POLLIN | POLLOUT : POLLIN)};
            owners[count++] = conn;
        }
    }
    if (replay->needs_input) {
        polls[count] = (struct pollfd){.fd = replay->input.fd, .events = POLLIN};
        owners[count++] = NULL;
    }
    return count;
}

static int
wait_for_events(struct replay *replay, struct pollfd *polls, size_t count)
{
    uint64_t now_ns = clock_mono_ns();
    uint64_t wait_ns = TURN_NS;

    /* Without an idle connection or a line the next token wakes nobody. */
    bool has_idle = idle_conn(replay) != NULL;
    if (!replay->is_input_over && !replay->needs_input && has_idle) {
        uint64_t left_ns = replay->next_ns > now_ns ? replay->next_ns - now_ns : 0;
        wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
    }
    const struct timespec timeout = {.tv_nsec = (long)wait_ns};
    return ppoll(polls, (nfds_t)count, &timeout, NULL);
}

static void
serve_conn(struct replay *replay, struct conn *conn, short events)
{
    if ((events & (POLLIN | POLLERR | POLLHUP)) != 0) {
        on_readable(replay, conn);
    } else if ((events & POLLOUT) != 0) {
        on_writable(replay, conn);
    }
}

static bool
is_under_way(const struct replay *replay)
{
    for (unsigned i = 0; i < replay->options->connections; i++) {
        if (replay->conns[i].is_busy) {
            return true;
        }
    }
    return false;
}

static void
end_the_silent(struct replay *replay)
{
    uint64_t now_ns = clock_mono_ns();

    for (unsigned i = 0; i < replay->options->connections; i++) {
        struct conn *conn = &replay->conns[i];
        if (conn->is_busy && now_ns - conn->sent_ns > ANSWER_NS) {
            request_failed(replay, conn, "no answer within 30 s");
        }
    }
}

static int
run(struct replay *replay, struct err *err)
{
    struct pollfd polls[WARM_CONNECTIONS_MAX + 1];
    struct conn *owners[WARM_CONNECTIONS_MAX + 1];
    int rc = 0;

    while (rc == 0 && !replay->totals->is_unreachable) {
        rc = requests_begin(replay, err);
        bool is_over = replay->is_input_over || replay->totals->is_stopped;
        if (rc != 0 || (is_over && !is_under_way(replay))) {
            return rc;
        }
        size_t count = fill_polls(replay, polls, owners);
        int ready = wait_for_events(replay, polls, count);
        if (ready < 0 && errno != EINTR) {
            return err_set(err, AUGURY_ERR_IO, "poll", "poll: %s", strerror(errno));
        }
        for (size_t i = 0; ready > 0 && rc == 0 && i < count; i++) {
            if (owners[i] != NULL) {
                serve_conn(replay, owners[i], polls[i].revents);
            } else if (polls[i].revents != 0) {
                rc = warm_input_read(&replay->input, err);
            }
        }
        end_the_silent(replay);
    }
    return rc;
}

/* ---- public ---------------------------------------------------------------------------------- */

static int
resolve(struct replay *replay, struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[256];
    const char *address = replay->options->address;
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;

    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (colon == NULL || len == 0 || len >= sizeof(host)) {
        return err_set(err, AUGURY_ERR_INVALID, "usage", "%s: an address is host:port",
                       replay->options->address);
    }
    memcpy(host, address, len);
    host[len] = '\0';
    int got = getaddrinfo(host, colon + 1, &hints, &found);
    if (got != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "usage", "%s: %s", replay->options->address,
                       gai_strerror(got));
    }
    memcpy(&replay->address, found->ai_addr, found->ai_addrlen);
    replay->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static void
replay_fini(struct replay *replay)
{
    for (size_t i = 0; i < WARM_CONNECTIONS_MAX; i++) {
        conn_close(&replay->conns[i]);
        buf_fini(&replay->conns[i].in);
        buf_fini(&replay->conns[i].out);
    }
    if (replay->input.name != NULL) {
        warm_input_close(&replay->input);
    }
    arena_fini(&replay->arena);
    free(replay);
}

int
warm_replay(const struct warm_options *options, struct warm_totals *out_totals, struct err *err)
{
    struct replay *replay = calloc(1, sizeof(*replay));

    *out_totals = (struct warm_totals){.begin_ns = clock_mono_ns()};
    if (replay == NULL || arena_init(&replay->arena, ARENA_MAX) != 0) {
        free(replay);
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory");
    }
    replay->options = options;
    replay->totals = out_totals;
    replay->interval_ns = SECOND_NS / options->rate;
    for (size_t i = 0; i < WARM_CONNECTIONS_MAX; i++) {
        replay->conns[i].fd = -1;
        buf_init(&replay->conns[i].out, WARM_REQUEST_MAX);
        buf_init(&replay->conns[i].in, WARM_ANSWER_HEAD_MAX + 2 * HEAR_BYTES);
    }
    int rc = resolve(replay, err);
    rc = rc == 0 ? warm_input_open(&replay->input, options->path, err) : rc;
    if (rc == 0) {
        cli_progress_begin(&replay->progress, options->has_progress);
        replay->progress.noun = "requests";
        out_totals->begin_ns = clock_mono_ns();
        replay->next_ns = out_totals->begin_ns;
        rc = run(replay, err);
        cli_progress_end(&replay->progress);
    }
    out_totals->end_ns = clock_mono_ns();
    replay_fini(replay);
    return rc;
}

/* The greatest of a bucket. */
static uint64_t
bucket_us(size_t bucket)
{
    if (bucket < WARM_STEPS) {
        return bucket;
    }
    unsigned power = (unsigned)(bucket / WARM_STEPS) + 3;
    uint64_t step = UINT64_C(1) << (power - 4);
    return (WARM_STEPS + bucket % WARM_STEPS) * step + step - 1;
}

uint64_t
warm_latency_us(const struct warm_totals *totals, double share)
{
    double wanted = share * (double)totals->answered;
    uint64_t seen = 0;

    for (size_t i = 0; i < WARM_BUCKETS && totals->answered > 0; i++) {
        seen += totals->latency[i];
        if ((double)seen >= wanted && seen > 0) {
            return bucket_us(i);
        }
    }
    return 0;
}
