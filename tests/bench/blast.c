/* SPDX-License-Identifier: MIT */
/*
 * blast.c - a load client that costs less than the server it measures: keep-alive connections on
 * one epoll, requests built beforehand, answers only framed (and compared, when asked). Closed
 * loop: each connection sends its next batch when the last one is answered. With -P it reads what
 * the server's processes spent on the CPU, the figure that a shared machine disturbs least. A close
 * that the server announced (Connection: close) is followed by a new connection and no error;
 * unanswered requests behind the announcement are sent again. A request that is neither answered
 * nor announced is lost. With -k one request stands for many: a marker in its path or body becomes
 * the number of a key.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 256, FILES_MAX = 4096, PIDS_MAX = 64, STEPS = 64, BUCKETS = STEPS * 40 };
enum { MARK_DIGITS = 7, MARKS_MAX = 8, KEYS_MAX = 1000000 };
static const char mark[MARK_DIGITS + 1] = "@@@@@@@"; /* becomes 1000000 and more */

struct text {
    char *data;
    size_t len;
};

struct options {
    const char *host;
    uint16_t port;
    unsigned connections, depth, keys;
    double seconds, warmup, zipf;
    const char *method, *path, *content_type, *field;
    const char *bodies[FILES_MAX], *wanted[FILES_MAX];
    unsigned body_count, wanted_count;
    int pids[PIDS_MAX];
    unsigned pid_count;
};

struct totals {
    uint64_t requests, statuses, mismatches, lost, resent, reconnects, refused;
    uint64_t max_us;
    uint64_t buckets[BUCKETS];
};

struct conn {
    int fd;
    bool is_closing;           /* the server announced the end */
    unsigned outstanding;      /* of the batch, not answered yet */
    unsigned batch[DEPTH_MAX]; /* which request each one is; the oldest at depth - outstanding */
    uint64_t sent_ns;
    size_t tx_at, tx_len, tx_cap;
    char *tx;
    size_t rx_len, rx_cap;
    char *rx;
};

struct blast {
    struct options options;
    struct text *requests; /* one a body */
    struct text *wanted;
    size_t marks[MARKS_MAX]; /* with keys: where in the one request */
    unsigned mark_count;
    double *zipf_sums;
    uint64_t random;
    unsigned next; /* round robin */
    struct conn *conns;
    struct sockaddr_in address;
    int epoll;
    struct totals totals;
};

static _Noreturn void
fail(const char *what, const char *detail)
{
    fprintf(stderr, "blast: %s: %s\n", what, detail);
    exit(2);
}

static void *
must(void *memory)
{
    if (memory == NULL) {
        fail("memory", "used up");
    }
    return memory;
}

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct text
read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct text text = {NULL, 0};
    size_t cap = 0;

    if (file == NULL) {
        fail(path, strerror(errno));
    }
    for (;;) {
        if (text.len == cap) {
            cap = cap == 0 ? 65536 : cap * 2;
            text.data = must(realloc(text.data, cap));
        }
        size_t n = fread(text.data + text.len, 1, cap - text.len, file);
        if (n == 0) {
            break;
        }
        text.len += n;
    }
    fclose(file);
    return text;
}

static struct text
build_request(const struct options *options, struct text body)
{
    char head[4096];
    int len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s:%u\r\n", options->method,
                       options->path, options->host, options->port);

    if (body.len > 0) {
        len += snprintf(head + len, sizeof(head) - (size_t)len,
                        "Content-Type: %s\r\nContent-Length: %zu\r\n", options->content_type,
                        body.len);
    }
    len += snprintf(head + len, sizeof(head) - (size_t)len, "%s%s\r\n", options->field,
                    options->field[0] != '\0' ? "\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof(head)) {
        fail("request", "the head is too long");
    }
    struct text request = {must(malloc((size_t)len + body.len)), (size_t)len + body.len};
    memcpy(request.data, head, (size_t)len);
    if (body.len > 0) {
        memcpy(request.data + len, body.data, body.len);
    }
    return request;
}

static void
build_requests(struct blast *blast)
{
    struct options *options = &blast->options;
    unsigned count = options->body_count > 0 ? options->body_count : 1;

    if (options->keys > 0 && count > 1) {
        fail("-k", "goes with one body, or none");
    }
    blast->requests = must(calloc(count, sizeof(*blast->requests)));
    blast->wanted = must(calloc(count, sizeof(*blast->wanted)));
    for (unsigned i = 0; i < count; i++) {
        struct text body = {NULL, 0};
        if (options->body_count > 0) {
            body = read_file(options->bodies[i]);
        }
        blast->requests[i] = build_request(options, body);
        free(body.data);
        if (i < options->wanted_count) {
            blast->wanted[i] = read_file(options->wanted[i]);
        }
    }
    options->body_count = count;
}

static void
find_marks(struct blast *blast)
{
    const struct text *request = &blast->requests[0];

    for (size_t i = 0; i + MARK_DIGITS <= request->len && blast->mark_count < MARKS_MAX; i++) {
        if (memcmp(request->data + i, mark, MARK_DIGITS) == 0) {
            blast->marks[blast->mark_count++] = i;
        }
    }
    if (blast->mark_count == 0) {
        fail("-k", "the request has no @@@@@@@");
    }
}

/* What choose() chooses from: bodies, or keys. */
static unsigned
choices(const struct blast *blast)
{
    return blast->options.keys > 0 ? blast->options.keys : blast->options.body_count;
}

static void
sum_zipf(struct blast *blast)
{
    unsigned count = choices(blast);

    blast->zipf_sums = must(calloc(count, sizeof(*blast->zipf_sums)));
    for (unsigned i = 0; i < count; i++) {
        blast->zipf_sums[i] =
            (i > 0 ? blast->zipf_sums[i - 1] : 0) + pow(i + 1.0, -blast->options.zipf);
    }
}

static unsigned
choose(struct blast *blast)
{
    unsigned count = choices(blast);

    if (blast->options.zipf <= 0) {
        blast->next = blast->next + 1 < count ? blast->next + 1 : 0;
        return blast->next;
    }
    blast->random ^= blast->random >> 12;
    blast->random ^= blast->random << 25;
    blast->random ^= blast->random >> 27;
    double at = (double)((blast->random * 0x2545f4914f6cdd1du) >> 11) * 0x1p-53;
    at *= blast->zipf_sums[count - 1];
    unsigned low = 0, high = count - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (blast->zipf_sums[middle] > at) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void
arm(struct blast *blast, struct conn *conn, int op, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};

    if (epoll_ctl(blast->epoll, op, conn->fd, &event) != 0) {
        fail("epoll_ctl", strerror(errno));
    }
}

static void
dial(struct blast *blast, struct conn *conn)
{
    const int on = 1;

    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int tries = 0;
         connect(conn->fd, (struct sockaddr *)&blast->address, sizeof(blast->address)) != 0;
         tries++) {
        blast->totals.refused++;
        if (tries == 100) {
            fail("connect", strerror(errno));
        }
        usleep(10000);
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    conn->is_closing = false;
    conn->rx_len = 0;
    arm(blast, conn, EPOLL_CTL_ADD, EPOLLIN);
}

static void
flush(struct blast *blast, struct conn *conn)
{
    ssize_t n = send(conn->fd, conn->tx + conn->tx_at, conn->tx_len - conn->tx_at, MSG_NOSIGNAL);
    bool was_partial = conn->tx_at > 0;

    conn->tx_at += n > 0 ? (size_t)n : 0;
    bool is_partial = conn->tx_at < conn->tx_len && (n >= 0 || errno == EAGAIN);
    if (is_partial != was_partial || (is_partial && n < 0)) {
        arm(blast, conn, EPOLL_CTL_MOD, is_partial ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    /* Any other failure shows as an end of file on the next read. */
}

static void
put_request(const struct blast *blast, struct conn *conn, unsigned choice)
{
    bool has_keys = blast->options.keys > 0;
    struct text request = blast->requests[has_keys ? 0 : choice];

    if (conn->tx_len + request.len > conn->tx_cap) {
        conn->tx_cap = (conn->tx_len + request.len) * 2;
        conn->tx = must(realloc(conn->tx, conn->tx_cap));
    }
    memcpy(conn->tx + conn->tx_len, request.data, request.len);
    for (unsigned i = 0; has_keys && i < blast->mark_count; i++) {
        char *digit = conn->tx + conn->tx_len + blast->marks[i] + MARK_DIGITS;
        for (unsigned n = KEYS_MAX + choice, left = MARK_DIGITS; left > 0; left--, n /= 10) {
            *--digit = (char)('0' + n % 10);
        }
    }
    conn->tx_len += request.len;
}

/* A new batch, or the last `again` requests of the batch before. */
static void
send_batch(struct blast *blast, struct conn *conn, unsigned again)
{
    unsigned depth = blast->options.depth;

    conn->tx_at = 0;
    conn->tx_len = 0;
    for (unsigned i = depth - (again > 0 ? again : depth); i < depth; i++) {
        if (again == 0) {
            conn->batch[i] = choose(blast);
        }
        put_request(blast, conn, conn->batch[i]);
    }
    conn->outstanding = again > 0 ? again : depth;
    conn->sent_ns = now_ns();
    flush(blast, conn);
}

static void
redial(struct blast *blast, struct conn *conn)
{
    unsigned left = conn->outstanding;

    close(conn->fd);
    blast->totals.reconnects++;
    if (conn->is_closing) {
        blast->totals.resent += left;
    } else {
        blast->totals.lost += left;
        left = 0;
    }
    dial(blast, conn);
    send_batch(blast, conn, left);
}

/* ---- answers -------------------------------------------------------------------------------- */

/* Log-linear: exact below STEPS, then STEPS / 2 buckets a power of two. */
static void
observe(struct totals *totals, uint64_t us)
{
    unsigned shift = us < STEPS ? 0 : 63 - (unsigned)__builtin_clzll(us / (STEPS / 2));
    uint64_t bucket = (uint64_t)shift * (STEPS / 2) + (us >> shift);

    totals->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    totals->max_us = us > totals->max_us ? us : totals->max_us;
}

static uint64_t
bucket_us(uint64_t bucket)
{
    uint64_t shift = bucket < STEPS ? 0 : bucket / (STEPS / 2) - 1;

    return (bucket - shift * (STEPS / 2)) << shift;
}

/* The value of a header field, by its name in any case, or NULL. head ends with an empty line. */
static const char *
field_find(const char *head, size_t head_len, const char *name)
{
    size_t name_len = strlen(name);
    const char *line = memchr(head, '\n', head_len);

    while (line != NULL && (size_t)(head + head_len - line) > name_len + 2) {
        if (strncasecmp(line + 1, name, name_len) == 0 && line[1 + name_len] == ':') {
            const char *value = line + 2 + name_len;
            return value + strspn(value, " ");
        }
        line = memchr(line + 1, '\n', (size_t)(head + head_len - line - 1));
    }
    return NULL;
}

/* One answer at the start of data: its length, or 0 when it is not whole. */
static size_t
frame(const char *data, size_t len, size_t *out_head_len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);

    if (end == NULL) {
        return 0;
    }
    size_t head_len = (size_t)(end - data) + 4;
    const char *field = field_find(data, head_len, "Content-Length");
    size_t body_len = field == NULL ? 0 : strtoul(field, NULL, 10);
    *out_head_len = head_len;
    return head_len + body_len <= len ? head_len + body_len : 0;
}

static void
judge(struct blast *blast, struct conn *conn, const char *answer, size_t head_len, size_t len)
{
    unsigned which = conn->batch[blast->options.depth - conn->outstanding];
    const struct text *wanted = &blast->wanted[blast->options.keys > 0 ? 0 : which];

    conn->outstanding--;
    blast->totals.requests++;
    if (len < 12 || memcmp(answer, "HTTP/1.1 2", 10) != 0) {
        blast->totals.statuses++;
    } else if (wanted->data != NULL &&
               (wanted->len != len - head_len ||
                memcmp(wanted->data, answer + head_len, wanted->len) != 0)) {
        blast->totals.mismatches++;
    }
    const char *connection = field_find(answer, head_len, "Connection");
    if (connection != NULL && strncasecmp(connection, "close", 5) == 0) {
        conn->is_closing = true;
    }
}

static void
on_readable(struct blast *blast, struct conn *conn)
{
    if (conn->rx_cap - conn->rx_len < 65536) {
        conn->rx_cap = (conn->rx_cap + 65536) * 2;
        conn->rx = must(realloc(conn->rx, conn->rx_cap));
    }
    ssize_t n = recv(conn->fd, conn->rx + conn->rx_len, conn->rx_cap - conn->rx_len, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            redial(blast, conn);
        }
        return;
    }
    conn->rx_len += (size_t)n;
    uint64_t us = (now_ns() - conn->sent_ns) / 1000;
    size_t at = 0;
    while (conn->outstanding > 0 && !conn->is_closing) {
        size_t head_len = 0;
        size_t len = frame(conn->rx + at, conn->rx_len - at, &head_len);
        if (len == 0) {
            break;
        }
        judge(blast, conn, conn->rx + at, head_len, len);
        observe(&blast->totals, us);
        at += len;
    }
    memmove(conn->rx, conn->rx + at, conn->rx_len - at);
    conn->rx_len -= at;
    if (conn->is_closing) {
        redial(blast, conn);
    } else if (conn->outstanding == 0) {
        send_batch(blast, conn, 0);
    }
}

static void
run_for(struct blast *blast, double seconds)
{
    uint64_t end_ns = now_ns() + (uint64_t)(seconds * 1e9);
    struct epoll_event events[256];

    while (now_ns() < end_ns) {
        int n = epoll_wait(blast->epoll, events, 256, 50);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0) {
                flush(blast, conn);
            }
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) {
                on_readable(blast, conn);
            }
        }
    }
}

/* ---- report --------------------------------------------------------------------------------- */

static uint64_t
task_cpu_ns(const char *path)
{
    unsigned long long ns = 0;
    FILE *file = fopen(path, "r");

    if (file != NULL) {
        if (fscanf(file, "%llu", &ns) != 1) {
            ns = 0;
        }
        fclose(file);
    }
    return ns;
}

/* Nanoseconds on a CPU of all threads, from the scheduler. */
static uint64_t
cpu_ns(const struct options *options)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < options->pid_count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "/proc/%d/task", options->pids[i]);
        DIR *tasks = opendir(path);
        for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
            snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", options->pids[i],
                     task->d_name);
            sum += task->d_name[0] != '.' ? task_cpu_ns(path) : 0;
        }
        if (tasks != NULL) {
            closedir(tasks);
        }
    }
    return sum;
}

static uint64_t
percentile_us(const struct totals *totals, double part)
{
    uint64_t want = (uint64_t)ceil((double)totals->requests * part);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < BUCKETS; i++) {
        sum += totals->buckets[i];
        if (sum >= want && sum > 0) {
            return bucket_us(i);
        }
    }
    return 0;
}

static int
report(const struct blast *blast, double seconds, uint64_t spent_ns)
{
    const struct totals *t = &blast->totals;
    uint64_t errors = t->statuses + t->mismatches + t->lost + t->refused;

    printf("rps=%.0f p50_us=%llu p99_us=%llu max_us=%llu requests=%llu errors=%llu",
           (double)t->requests / seconds, (unsigned long long)percentile_us(t, 0.5),
           (unsigned long long)percentile_us(t, 0.99), (unsigned long long)t->max_us,
           (unsigned long long)t->requests, (unsigned long long)errors);
    printf(" not_2xx=%llu mismatches=%llu lost=%llu refused=%llu resent=%llu reconnects=%llu",
           (unsigned long long)t->statuses, (unsigned long long)t->mismatches,
           (unsigned long long)t->lost, (unsigned long long)t->refused,
           (unsigned long long)t->resent, (unsigned long long)t->reconnects);
    if (blast->options.pid_count > 0 && t->requests > 0) {
        printf(" server_cpu_us=%.3f", (double)spent_ns / 1000.0 / (double)t->requests);
    }
    printf("\n");
    return errors == 0 && t->requests > 0 ? 0 : 1;
}

static _Noreturn void
usage(int code)
{
    fprintf(
        code == 0 ? stdout : stderr,
        "usage: blast [options] HOST PORT\n"
        "  -c N     connections (64)          -d N     requests in flight on each (1)\n"
        "  -t S     seconds measured (5)      -w S     seconds before that (0.5)\n"
        "  -m WORD  method (GET; POST with -b) -p PATH  target (/)\n"
        "  -b FILE  a body; many are sent in turn, or by zipf with -z EXPONENT\n"
        "  -x FILE  what the body before must be answered with, byte for byte\n"
        "  -k N     the @@@@@@@ in path or body is 1000000 to 1000000 + N - 1, in turn or by -z\n"
        "  -T TYPE  content type (application/json)  -H \"NAME: VALUE\"  a header field more\n"
        "  -P PID   a server process whose CPU time counts; may be repeated\n");
    exit(code);
}

static double
number(const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0)) {
        fail(text, "not a number");
    }
    return value;
}

static void
parse_options(int argc, char **argv, struct options *out)
{
    *out = (struct options){.connections = 64,
                            .depth = 1,
                            .seconds = 5,
                            .warmup = 0.5,
                            .path = "/",
                            .content_type = "application/json",
                            .field = ""};
    for (int c; (c = getopt(argc, argv, "c:d:t:w:m:p:b:x:z:k:T:H:P:h")) != -1;) {
        switch (c) {
        case 'c': out->connections = (unsigned)number(optarg); break;
        case 'd': out->depth = (unsigned)number(optarg); break;
        case 't': out->seconds = number(optarg); break;
        case 'w': out->warmup = number(optarg); break;
        case 'z': out->zipf = number(optarg); break;
        case 'k': out->keys = (unsigned)number(optarg); break;
        case 'm': out->method = optarg; break;
        case 'p': out->path = optarg; break;
        case 'T': out->content_type = optarg; break;
        case 'H': out->field = optarg; break;
        case 'b':
            if (out->body_count == FILES_MAX) {
                fail("-b", "too many bodies");
            }
            out->bodies[out->body_count++] = optarg;
            break;
        case 'x':
            if (out->wanted_count + 1 != out->body_count) {
                fail("-x", "stands after each -b or after none");
            }
            out->wanted[out->wanted_count++] = optarg;
            break;
        case 'P':
            if (out->pid_count == PIDS_MAX) {
                fail("-P", "too many processes");
            }
            out->pids[out->pid_count++] = (int)number(optarg);
            break;
        case 'h': usage(0);
        default: usage(2);
        }
    }
    if (argc - optind != 2 || out->depth < 1 || out->depth > DEPTH_MAX || out->connections < 1 ||
        out->keys > KEYS_MAX) {
        usage(2);
    }
    out->host = argv[optind];
    out->port = (uint16_t)number(argv[optind + 1]);
    out->method = out->method != NULL ? out->method : out->body_count > 0 ? "POST" : "GET";
}

int
main(int argc, char **argv)
{
    static struct blast blast = {.random = 0x9e3779b97f4a7c15u};

    parse_options(argc, argv, &blast.options);
    blast.address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(blast.options.port)};
    if (inet_pton(AF_INET, blast.options.host, &blast.address.sin_addr) != 1) {
        fail(blast.options.host, "not an IPv4 address");
    }
    build_requests(&blast);
    if (blast.options.keys > 0) {
        find_marks(&blast);
    }
    sum_zipf(&blast);
    blast.epoll = epoll_create1(EPOLL_CLOEXEC);
    blast.conns = must(calloc(blast.options.connections, sizeof(*blast.conns)));
    for (unsigned i = 0; i < blast.options.connections; i++) {
        dial(&blast, &blast.conns[i]);
    }
    for (unsigned i = 0; i < blast.options.connections; i++) {
        send_batch(&blast, &blast.conns[i], 0);
    }
    run_for(&blast, blast.options.warmup);
    memset(&blast.totals, 0, sizeof(blast.totals));
    uint64_t begin_ns = now_ns();
    uint64_t begin_cpu_ns = cpu_ns(&blast.options);
    run_for(&blast, blast.options.seconds);
    double seconds = (double)(now_ns() - begin_ns) / 1e9;
    return report(&blast, seconds, cpu_ns(&blast.options) - begin_cpu_ns);
}
