/* SPDX-License-Identifier: MIT */
/*
 * http_floor.c - the HTTP server with a handler that does nothing but answer a file: what the layer
 * itself costs.
 * Usage: http_floor ADDRESS BODY_FILE WORKERS. Workers share the listener as in the daemon. Prints
 * the address, then one line a worker with its connections whenever it gets SIGUSR1 (fairness of
 * accepting).
 */
#include "augury/net.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct floor {
    struct buf body;
    struct net_server *server;
    struct net_share *share;
    unsigned worker;
};

static void
handle(void *arg, const struct http_request *request, struct bytes body,
       const struct net_peer *peer, struct net_answer *answer)
{
    const struct floor *floor = arg;

    (void)request;
    (void)body;
    (void)peer;
    buf_put_bytes(answer->body, buf_view(&floor->body));
}

static void
on_report(void *arg, int signal_number)
{
    const struct floor *floor = arg;

    (void)signal_number;
    printf("worker=%u connections=%zu\n", floor->worker, net_server_connections(floor->server));
    fflush(stdout);
}

static int
serve(struct floor *floor, int listen_fd)
{
    struct net_loop *loop = NULL;
    struct net_signal *report = NULL;
    struct err err;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (net_loop_new(&loop, &err) != 0) {
        return 1;
    }
    struct net_server_options options = {
        .loop = loop,
        .limits = {.http = {.head_bytes = 16384,
                            .target_bytes = 8192,
                            .headers = 100,
                            .body_bytes = 1 << 20},
                   .header_timeout_ms = 10000,
                   .body_timeout_ms = 60000,
                   .send_timeout_ms = 60000,
                   .keepalive_timeout_ms = 75000,
                   .connections = 10000},
        .handler = handle,
        .handler_arg = floor,
        .share = floor->share,
        .share_slot = floor->worker,
    };
    struct net_listen_options listen = {.fd = listen_fd, .name = "public"};
    if (net_server_new(&options, &floor->server, &err) != 0 ||
        net_server_listen(floor->server, &listen, &err) != 0 ||
        net_signal_new(loop, SIGUSR1, on_report, floor, &report) != 0) {
        fprintf(stderr, "%s\n", err.reason);
        return 1;
    }
    return net_loop_run(loop) == 0 ? 0 : 1;
}

static bool
read_body(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");

    buf_init(out, 1 << 24);
    if (file == NULL) {
        return false;
    }
    for (size_t n = 1; n > 0;) {
        uint8_t *room = buf_reserve(out, 65536);
        n = room == NULL ? 0 : fread(room, 1, 65536, file);
        buf_commit(out, n);
    }
    fclose(file);
    return buf_finish(out) == 0;
}

int
main(int argc, char **argv)
{
    struct floor floor = {.worker = 0};
    struct err err;
    char address[64];
    uint64_t workers = 0;
    int listen_fd = -1;

    if (argc != 4 || bytes_to_u64(bytes_of_text(argv[3]), 64, &workers) != 0 || workers == 0 ||
        !read_body(argv[2], &floor.body)) {
        fprintf(stderr, "usage: http_floor ADDRESS BODY_FILE WORKERS\n");
        return 2;
    }
    floor.share = shm_map(sizeof(*floor.share));
    if (floor.share == NULL || net_listener_open(argv[1], 1024, &listen_fd, &err) != 0) {
        fprintf(stderr, "http_floor: %s\n", err.reason);
        return 1;
    }
    if (net_address_of(listen_fd, address, sizeof(address)) != 0) {
        return 1;
    }
    printf("%s", address);
    for (unsigned i = 0; i < workers; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            floor.worker = i;
            _exit(serve(&floor, listen_fd));
        }
        printf(" %d", (int)child);
    }
    printf("\n");
    fflush(stdout);
    return wait(NULL) > 0 ? 1 : 0; /* workers do not end by themselves */
}
