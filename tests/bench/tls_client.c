/* SPDX-License-Identifier: MIT */
/*
 * tls_client.c - a load client that speaks TLS: connections that are made for one request each, in
 * full or resumed, or that are kept. One thread a connection; blocking.
 *
 * usage: tls_client -m full|resumed|kept [-v 2|3] [-c CONNECTIONS] [-t SECONDS] [-P PID] [-p PATH]
 *                   PORT
 * Prints requests=N seconds=S rps=R resumed=N server_cpu_us=U; a request that fails ends it with
 * status 1.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum mode { MODE_FULL, MODE_RESUMED, MODE_KEPT };
enum { THREADS_MAX = 256, ANSWER_MAX = 65536 };

struct load {
    enum mode mode;
    int version; /* of TLS 1 */
    unsigned connections;
    double seconds;
    int server_pid;
    uint16_t port;
    const char *path;
    char request[512];
    SSL_CTX *context;
    atomic_bool is_over;
    atomic_bool has_failed;
    atomic_ullong requests, resumed;
};

struct client {
    struct load *load;
    SSL_SESSION *session; /* the newest */
};

static double
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Time on a processor, in nanoseconds; 0: not known. */
static double
cpu_ns_of(int pid)
{
    char path[64];
    double ns = 0;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%lf", &ns) != 1) {
            ns = 0;
        }
        fclose(file);
    }
    return ns;
}

/* ---- one connection -------------------------------------------------------------------------- */

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *client = SSL_get_app_data(ssl);

    SSL_SESSION_free(client->session);
    client->session = session;
    return 1; /* kept */
}

static SSL *
reach(struct client *client)
{
    struct load *load = client->load;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(load->port)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SSL *ssl = SSL_new(load->context);
    if (fd < 0 || ssl == NULL || connect(fd, (struct sockaddr *)&place, sizeof(place)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        SSL_free(ssl);
        close(fd);
        return NULL;
    }
    SSL_set_app_data(ssl, client);
    SSL_set_fd(ssl, fd);
    if (load->mode == MODE_RESUMED && client->session != NULL) {
        SSL_set_session(ssl, client->session);
    }
    if (SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        close(fd);
        return NULL;
    }
    return ssl;
}

static void
leave(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

/* One request and the whole of its answer, which says its length. */
static bool
ask(SSL *ssl, const char *request)
{
    char answer[ANSWER_MAX + 1];
    size_t got = 0;
    size_t want = ANSWER_MAX;

    if (SSL_write(ssl, request, (int)strlen(request)) <= 0) {
        return false;
    }
    while (got < want) {
        int n = SSL_read(ssl, answer + got, (int)(ANSWER_MAX - got));
        if (n <= 0) {
            return false;
        }
        got += (size_t)n;
        answer[got] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        const char *length = strstr(answer, "Content-Length: ");
        if (end != NULL && length != NULL) {
            want = (size_t)(end + 4 - answer) + strtoul(length + 16, NULL, 10);
        }
    }
    return strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static void *
run(void *arg)
{
    struct client client = {.load = arg};
    struct load *load = arg;
    SSL *ssl = NULL;

    while (!atomic_load_explicit(&load->is_over, memory_order_relaxed)) {
        ssl = ssl != NULL ? ssl : reach(&client);
        if (ssl == NULL || !ask(ssl, load->request)) {
            atomic_store(&load->has_failed, true);
            break;
        }
        atomic_fetch_add_explicit(&load->requests, 1, memory_order_relaxed);
        if (load->mode != MODE_KEPT) {
            atomic_fetch_add_explicit(&load->resumed, SSL_session_reused(ssl) ? 1 : 0,
                                      memory_order_relaxed);
            leave(ssl);
            ssl = NULL;
        }
    }
    if (ssl != NULL) {
        leave(ssl);
    }
    SSL_SESSION_free(client.session);
    return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool
read_words(int argc, char **argv, struct load *load)
{
    static const char *const modes[] = {"full", "resumed", "kept"};
    int option;

    while ((option = getopt(argc, argv, "m:v:c:t:P:p:")) != -1) {
        switch (option) {
        case 'm':
            for (unsigned i = 0; i < 3; i++) {
                load->mode = strcmp(optarg, modes[i]) == 0 ? (enum mode)i : load->mode;
            }
            break;
        case 'v': load->version = optarg[0] == '2' ? TLS1_2_VERSION : TLS1_3_VERSION; break;
        case 'c': load->connections = (unsigned)strtoul(optarg, NULL, 10); break;
        case 't': load->seconds = strtod(optarg, NULL); break;
        case 'P': load->server_pid = (int)strtol(optarg, NULL, 10); break;
        case 'p': load->path = optarg; break;
        default: return false;
        }
    }
    load->port = optind < argc ? (uint16_t)strtoul(argv[optind], NULL, 10) : 0;
    return load->port != 0 && load->connections > 0 && load->connections <= THREADS_MAX;
}

static bool
make_context(struct load *load)
{
    load->context = SSL_CTX_new(TLS_client_method());
    if (load->context == NULL || SSL_CTX_set_min_proto_version(load->context, load->version) != 1 ||
        SSL_CTX_set_max_proto_version(load->context, load->version) != 1) {
        return false;
    }
    SSL_CTX_set_session_cache_mode(load->context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(load->context, on_session);
    return true;
}

int
main(int argc, char **argv)
{
    static pthread_t threads[THREADS_MAX];
    struct load load = {.version = TLS1_3_VERSION, .connections = 8, .seconds = 2, .path = "/"};

    if (!read_words(argc, argv, &load) || !make_context(&load)) {
        fprintf(stderr,
                "tls_client: -m full|resumed|kept [-v 2|3] [-c N] [-t S] [-P PID] [-p PATH] "
                "PORT\n");
        return 2;
    }
    snprintf(load.request, sizeof(load.request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", load.path);
    double begin = now_s();
    double cpu = cpu_ns_of(load.server_pid);
    for (unsigned i = 0; i < load.connections; i++) {
        if (pthread_create(&threads[i], NULL, run, &load) != 0) {
            return 1;
        }
    }
    while (now_s() - begin < load.seconds && !atomic_load(&load.has_failed)) {
        usleep(10000);
    }
    double took = now_s() - begin;
    cpu = cpu_ns_of(load.server_pid) - cpu;
    double requests = (double)atomic_load(&load.requests);
    atomic_store(&load.is_over, true);
    for (unsigned i = 0; i < load.connections; i++) {
        pthread_join(threads[i], NULL);
    }
    SSL_CTX_free(load.context);
    printf("requests=%.0f seconds=%.3f rps=%.1f resumed=%llu server_cpu_us=%.3f\n", requests, took,
           requests / took, (unsigned long long)atomic_load(&load.resumed),
           requests > 0 ? cpu / requests / 1e3 : 0);
    return atomic_load(&load.has_failed) ? 1 : 0;
}
