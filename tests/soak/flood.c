/* SPDX-License-Identifier: MIT */
/*
 * flood.c - a load client that asks at a rate, whatever the answers do: request number i is due at
 * i / rate seconds, goes out on a connection that is free, and its time counts from when it was
 * due, so that no wait is left out. With rate 0 it is a closed loop, and says what the server can
 * do. Answers are counted by status; times of 200 and of refusals apart. One line of JSON at the
 * end.
 *
 * usage: flood PORT PATH BODYFILE CONNECTIONS RATE SECONDS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 64, BUCKETS = STEPS * 40, RX_BYTES = 1 << 20, EVENTS = 256 };

struct times {
    uint64_t count, max_us;
    uint64_t buckets[BUCKETS];
};

struct conn {
    int fd;
    uint64_t due_ns;
    size_t sent, received;
    char *rx;
    struct conn *next; /* free */
};

struct flood {
    struct sockaddr_in address;
    int epoll;
    char *request;
    size_t request_len;
    double rate;
    uint64_t begin_ns, end_ns;
    uint64_t due;  /* requests that have gone out */
    uint64_t late; /* of them, with no free connection when they were due */
    struct conn *conns, *free, **free_tail;
    struct times ok, refused;
    uint64_t other, without_retry_after, lost;
};

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- times ----------------------------------------------------------------------------------- */

/* 64 steps a power of two. */
static unsigned
bucket_of(uint64_t us)
{
    unsigned power = 0;

    while (us >> power >= 2 * STEPS) {
        power++;
    }
    return power * STEPS + (unsigned)(us >> power);
}

static void
times_add(struct times *times, uint64_t us)
{
    times->count++;
    times->max_us = us > times->max_us ? us : times->max_us;
    times->buckets[bucket_of(us)]++;
}

static uint64_t
times_at(const struct times *times, double share)
{
    uint64_t left = (uint64_t)(share * (double)times->count);

    for (unsigned i = 0; i < BUCKETS; i++) {
        if (times->buckets[i] > left) {
            unsigned power = i < 2 * STEPS ? 0 : i / STEPS - 1;
            return (uint64_t)(i - power * STEPS) << power;
        }
        left -= times->buckets[i];
    }
    return times->max_us;
}

static void
times_print(const char *name, const struct times *times)
{
    printf(
        "\"%s\":{\"count\":%llu,\"p50_us\":%llu,\"p99_us\":%llu,\"p999_us\":%llu,\"max_us\":%llu}",
        name, (unsigned long long)times->count, (unsigned long long)times_at(times, 0.5),
        (unsigned long long)times_at(times, 0.99), (unsigned long long)times_at(times, 0.999),
        (unsigned long long)times->max_us);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void
conn_open(struct flood *flood, struct conn *conn)
{
    const int on = 1;

    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0 ||
        connect(conn->fd, (const struct sockaddr *)&flood->address, sizeof(flood->address)) != 0) {
        fail("connect");
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = conn}};
    if (epoll_ctl(flood->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        fail("epoll_ctl");
    }
}

/* The one that has been free longest is next. */
static void
conn_release(struct flood *flood, struct conn *conn)
{
    conn->next = NULL;
    *flood->free_tail = conn;
    flood->free_tail = &conn->next;
}

static struct conn *
conn_take(struct flood *flood)
{
    struct conn *conn = flood->free;

    flood->free = conn->next;
    if (flood->free == NULL) {
        flood->free_tail = &flood->free;
    }
    return conn;
}

static void
conn_ask(struct flood *flood, struct conn *conn, uint64_t due_ns)
{
    conn->due_ns = due_ns;
    conn->received = 0;
    if (send(conn->fd, flood->request, flood->request_len, MSG_NOSIGNAL) !=
        (ssize_t)flood->request_len) {
        fail("send"); /* a request is smaller than any socket's buffer */
    }
}

/* Bytes of the whole answer in rx; 0: not there yet. */
static size_t
answer_len(struct conn *conn)
{
    conn->rx[conn->received] = '\0';
    const char *end = strstr(conn->rx, "\r\n\r\n");
    const char *length = end != NULL ? strstr(conn->rx, "\r\nContent-Length: ") : NULL;

    if (length == NULL) {
        return 0;
    }
    size_t need = (size_t)(end + 4 - conn->rx) + strtoull(length + 18, NULL, 10);
    return conn->received >= need ? need : 0;
}

static void
conn_count(struct flood *flood, const struct conn *conn)
{
    unsigned status = (unsigned)strtoul(conn->rx + 9, NULL, 10);
    uint64_t us = (now_ns() - conn->due_ns) / 1000;

    if (status == 200) {
        times_add(&flood->ok, us);
    } else if (status == 503) {
        times_add(&flood->refused, us);
        flood->without_retry_after += strstr(conn->rx, "\r\nRetry-After: ") == NULL;
    } else {
        flood->other++;
    }
}

static void
conn_hear(struct flood *flood, struct conn *conn)
{
    ssize_t n = recv(conn->fd, conn->rx + conn->received, RX_BYTES - 1 - conn->received, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            flood->lost++;
            close(conn->fd);
            conn_open(flood, conn);
            conn_release(flood, conn);
        }
        return;
    }
    conn->received += (size_t)n;
    if (answer_len(conn) > 0) {
        conn_count(flood, conn);
        conn_release(flood, conn);
    }
}

/* ---- the flood ------------------------------------------------------------------------------- */

static void
send_due(struct flood *flood)
{
    uint64_t now = now_ns();

    while (flood->free != NULL && now < flood->end_ns) {
        uint64_t due_ns = now;
        if (flood->rate > 0) {
            due_ns = flood->begin_ns + (uint64_t)((double)flood->due / flood->rate * 1e9);
            if (due_ns > now) {
                break;
            }
            flood->late += now - due_ns > 1000000;
        }
        flood->due++;
        conn_ask(flood, conn_take(flood), due_ns);
    }
}

static bool
is_over(const struct flood *flood, unsigned connections, uint64_t now)
{
    unsigned count = 0;

    if (now < flood->end_ns) {
        return false;
    }
    for (const struct conn *conn = flood->free; conn != NULL; conn = conn->next) {
        count++;
    }
    return count == connections || now > flood->end_ns + 5000000000u;
}

static void
build(struct flood *flood, const char *path, const char *body_path)
{
    static char body[1 << 20];
    FILE *file = fopen(body_path, "rb");

    if (file == NULL) {
        fail(body_path);
    }
    size_t len = fread(body, 1, sizeof(body), file);
    fclose(file);
    flood->request = malloc(len + 1024);
    if (flood->request == NULL) {
        fail("memory");
    }
    int head = snprintf(flood->request, 1024,
                        "POST %s HTTP/1.1\r\nHost: flood\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, len);
    memcpy(flood->request + head, body, len);
    flood->request_len = (size_t)head + len;
}

int
main(int argc, char **argv)
{
    static struct flood flood;

    if (argc != 7) {
        fprintf(stderr, "usage: flood PORT PATH BODYFILE CONNECTIONS RATE SECONDS\n");
        return 2;
    }
    unsigned connections = (unsigned)strtoul(argv[4], NULL, 10);
    flood.address = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10))};
    flood.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    build(&flood, argv[2], argv[3]);
    flood.rate = strtod(argv[5], NULL);
    flood.epoll = epoll_create1(EPOLL_CLOEXEC);
    flood.conns = calloc(connections, sizeof(*flood.conns));
    flood.free_tail = &flood.free;
    for (unsigned i = 0; i < connections; i++) {
        flood.conns[i].rx = malloc(RX_BYTES);
        conn_open(&flood, &flood.conns[i]);
        conn_release(&flood, &flood.conns[i]);
    }
    flood.begin_ns = now_ns();
    flood.end_ns = flood.begin_ns + (uint64_t)(strtod(argv[6], NULL) * 1e9);
    while (!is_over(&flood, connections, now_ns())) {
        struct epoll_event events[EVENTS];
        send_due(&flood);
        int n = epoll_wait(flood.epoll, events, EVENTS, flood.rate > 4000 ? 0 : 1);
        for (int i = 0; i < n; i++) {
            conn_hear(&flood, events[i].data.ptr);
        }
    }
    double seconds = (double)(now_ns() - flood.begin_ns) / 1e9;
    printf("{\"seconds\":%.2f,\"asked\":%llu,\"late\":%llu,", seconds,
           (unsigned long long)flood.due, (unsigned long long)flood.late);
    times_print("ok", &flood.ok);
    putchar(',');
    times_print("refused", &flood.refused);
    printf(",\"without_retry_after\":%llu,\"other\":%llu,\"lost\":%llu}\n",
           (unsigned long long)flood.without_retry_after, (unsigned long long)flood.other,
           (unsigned long long)flood.lost);
    return 0;
}
