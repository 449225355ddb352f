/* SPDX-License-Identifier: MIT */
/*
 * net_listener.c - listening sockets, made by the master before any fork and without a loop.
 * TCP_NODELAY is set on the listener: connections inherit it, so that no accept pays a system call
 * for it.
 */
#include "augury/net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { HOST_BYTES_MAX = 256 };

struct place {
    char host[HOST_BYTES_MAX];
    char port[6];
};

/* "host:port", "[v6]:port", "*:port" into its two parts. */
static int
split_address(const char *address, struct place *out_place, struct err *err)
{
    const char *colon = strrchr(address, ':');
    const char *host = address;
    uint64_t port = 0;

    if (colon == NULL || bytes_to_u64(bytes_of_text(colon + 1), 65535, &port) != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_address",
                       "%s: an address is host:port, with a port from 0 to 65535", address);
    }
    size_t len = (size_t)(colon - address);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len) != NULL) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_address",
                       "%s: an IPv6 address stands in brackets, [::1]:8080", address);
    }
    if (len == 0 || len >= sizeof(out_place->host)) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_address", "%s: no host before the colon",
                       address);
    }
    memcpy(out_place->host, host, len);
    out_place->host[len] = '\0';
    snprintf(out_place->port, sizeof(out_place->port), "%u", (unsigned)port);
    return 0;
}

/* A bound and listening socket, or -1 with errno. */
static int
listen_on(const struct addrinfo *info, unsigned backlog)
{
    const int on = 1;
    const int off = 0;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    bool is_good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                   setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
    if (is_good && info->ai_family == AF_INET6) {
        is_good = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0;
    }
    if (!is_good || bind(fd, info->ai_addr, info->ai_addrlen) != 0 ||
        listen(fd, (int)backlog) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int
net_listener_open(const char *address, unsigned backlog, int *out_fd, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    struct place place;
    int fd = -1;

    int rc = split_address(address, &place, err);
    if (rc != 0) {
        return rc;
    }
    /* '*': both families on one IPv6 socket where there is IPv6, else IPv4 (the next row of the
     * list). */
    bool is_any = strcmp(place.host, "*") == 0;
    int got = getaddrinfo(is_any ? NULL : place.host, place.port, &hints, &found);
    if (got != 0) {
        return err_set(err, AUGURY_ERR_INVALID, "bad_address", "%s: %s", address,
                       gai_strerror(got));
    }
    for (int pass = is_any ? 0 : 1; pass < 2 && fd < 0; pass++) {
        for (const struct addrinfo *i = found; i != NULL && fd < 0; i = i->ai_next) {
            fd = pass == 1 || i->ai_family == AF_INET6 ? listen_on(i, backlog) : -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "listen", "%s: cannot listen: %s", address,
                       strerror(errno));
    }
    *out_fd = fd;
    return 0;
}

/* Removes what is left of a server that died; whatever else is at path stays and is an error. */
static int
remove_stale(const struct sockaddr_un *place, struct err *err)
{
    const char *path = place->sun_path;
    struct stat status;

    if (lstat(path, &status) != 0) {
        return errno == ENOENT
                   ? 0
                   : err_set(err, AUGURY_ERR_IO, "listen", "%s: %s", path, strerror(errno));
    }
    if (!S_ISSOCK(status.st_mode)) {
        return err_set(err, AUGURY_ERR_EXISTS, "not_a_socket", "%s exists and is not a socket",
                       path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "listen", "%s: %s", path, strerror(errno));
    }
    int got = connect(fd, (const struct sockaddr *)place, sizeof(*place));
    int why = errno;
    close(fd);
    if (got == 0 || why != ECONNREFUSED) {
        return err_set(err, AUGURY_ERR_BUSY, "socket_in_use", "%s: another process answers there",
                       path);
    }
    return unlink(path) == 0 || errno == ENOENT
               ? 0
               : err_set(err, AUGURY_ERR_IO, "listen", "%s: %s", path, strerror(errno));
}

int
net_unix_listener_open(const struct net_unix_options *options, int *out_fd, struct err *err)
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    const char *path = options->path;

    if (strlen(path) >= sizeof(place.sun_path) || path[0] == '\0') {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long",
                       "socket %s: a path has from 1 to %zu bytes", path,
                       sizeof(place.sun_path) - 1);
    }
    memcpy(place.sun_path, path, strlen(path) + 1);
    int rc = remove_stale(&place, err);
    if (rc != 0) {
        return rc;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "listen", "%s: %s", path, strerror(errno));
    }
    /* Nobody may connect between bind and chmod. */
    mode_t before = umask(077);
    bool is_bound = bind(fd, (const struct sockaddr *)&place, sizeof(place)) == 0;
    int why = errno;
    umask(before);
    if (!is_bound || chmod(path, (mode_t)options->mode) != 0 ||
        listen(fd, (int)options->backlog) != 0) {
        why = is_bound ? errno : why;
        close(fd);
        if (is_bound) {
            unlink(path);
        }
        return err_set(err, AUGURY_ERR_IO, "listen", "%s: cannot listen: %s", path, strerror(why));
    }
    *out_fd = fd;
    return 0;
}

int
net_address_of(int fd, char *out_text, size_t out_size)
{
    struct sockaddr_storage place = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(place);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getsockname(fd, (struct sockaddr *)&place, &len) != 0) {
        return AUGURY_ERR_IO;
    }
    if (place.ss_family == AF_UNIX) {
        snprintf(out_text, out_size, "%s", ((const struct sockaddr_un *)&place)->sun_path);
        return 0;
    }
    if (getnameinfo((const struct sockaddr *)&place, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return AUGURY_ERR_IO;
    }
    int need = place.ss_family == AF_INET6 ? snprintf(out_text, out_size, "[%s]:%s", host, port)
                                           : snprintf(out_text, out_size, "%s:%s", host, port);
    return need >= 0 && (size_t)need < out_size ? 0 : AUGURY_ERR_LIMIT;
}
