/* SPDX-License-Identifier: MIT */
/*
 * master_listeners.c - the listeners of a generation. What it has in common with another one is the
 * same descriptor, so that a queued connection is served by whichever generation accepts it. To
 * close a listener resets whoever waits in its queue: what only the old generation has first takes
 * nobody new, then gives its workers what it has, and is closed when they have done.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augury/net.h"
#include "master.h"

enum {
    RETIRE_MS = 100,
    RETIRE_HERE_MS = 10, /* on this machine the packets follow one another at once */
};

/* The path of a UNIX socket; NULL: the address is none. */
static const char *
unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static bool
is_any_port(const char *address)
{
    const char *colon = strrchr(address, ':');

    return colon != NULL && strcmp(colon, ":0") == 0;
}

/* Port 0 stands for another port in each listener, which only its name tells apart. */
static bool
is_same_place(const struct heritage_listener *listener, const struct conf_listen *wanted)
{
    return strcmp(listener->address, wanted->address) == 0 &&
           (!is_any_port(wanted->address) || strcmp(listener->name, wanted->name) == 0);
}

static const struct heritage_listener *
find_listener(const struct master *master, const struct generation *self,
              const struct conf_listen *wanted)
{
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        const struct generation *other = &master->generations[i];
        for (uint32_t j = 0;
             other != self && other->state != GENERATION_NONE && j < other->listener_count; j++) {
            if (is_same_place(&other->listeners[j], wanted)) {
                return &other->listeners[j];
            }
        }
    }
    return NULL;
}

static bool
is_used_elsewhere(const struct master *master, const struct generation *self, int fd)
{
    for (size_t i = 0; i < MASTER_GENERATIONS; i++) {
        const struct generation *other = &master->generations[i];
        for (uint32_t j = 0;
             other != self && other->state != GENERATION_NONE && j < other->listener_count; j++) {
            if (other->listeners[j].fd == fd) {
                return true;
            }
        }
    }
    return false;
}

/* ---- UNIX sockets ---------------------------------------------------------------------------- */

/* Rights, owner and group as they are wanted now: a reload may change them. */
static int
set_rights(const struct conf *conf, const struct conf_listen *wanted, const char *path,
           struct err *err)
{
    const char *user = wanted->owner[0] != '\0' ? wanted->owner : conf->user;
    const char *group =
        wanted->group[0] != '\0' || wanted->owner[0] != '\0' ? wanted->group : conf->group;
    bool is_root = geteuid() == 0;
    uid_t uid = 0;
    gid_t gid = 0;

    int rc = proc_find_user(user, group, &uid, &gid, err);
    if (rc != 0) {
        return rc;
    }
    if (!is_root && uid != geteuid()) {
        return err_set(err, AUGURY_ERR_DENIED, "not_root", "only root can give a socket to \"%s\"",
                       user);
    }
    if (((is_root || gid != getegid()) && lchown(path, is_root ? uid : (uid_t)-1, gid) != 0) ||
        chmod(path, (mode_t)wanted->mode) != 0) {
        return err_set(err, AUGURY_ERR_IO, "listen", "socket %s: %s", path, strerror(errno));
    }
    return 0;
}

static int
open_unix(struct master *master, const struct conf_listen *wanted, struct heritage_listener *made,
          struct err *err)
{
    const char *path = unix_path(wanted->address);
    struct net_unix_options options = {
        .path = path, .mode = wanted->mode & 0600, .backlog = wanted->backlog};
    struct stat status;

    (void)master;
    int rc = proc_make_parent(path, geteuid(), getegid(), err);
    if (rc == 0) {
        rc = net_unix_listener_open(&options, &made->fd, err);
    }
    if (rc == 0 && lstat(path, &status) == 0) {
        made->device = status.st_dev;
        made->inode = status.st_ino;
    }
    return rc;
}

/* What another daemon has put in its place meanwhile stays. */
static void
remove_unix(const struct heritage_listener *listener)
{
    const char *path = unix_path(listener->address);
    struct stat status;

    if (path != NULL && lstat(path, &status) == 0 && status.st_dev == listener->device &&
        status.st_ino == listener->inode) {
        unlink(path);
    }
}

/* ---- a generation's -------------------------------------------------------------------------- */

/* Made, or taken from the generation that has it. */
static int
take_or_open(struct master *master, const struct generation *generation, uint32_t number,
             struct heritage_listener *out_listener, struct err *err)
{
    const struct conf_listen *wanted = &generation->conf->listen[number];
    const struct heritage_listener *old = find_listener(master, generation, wanted);
    struct heritage_listener listener = {.fd = -1};
    char bound[128] = "";
    int rc = 0;

    if (old != NULL) {
        listener.fd = old->fd;
        listener.device = old->device;
        listener.inode = old->inode;
        (void)listen(old->fd, (int)wanted->backlog); /* what else may be new */
    } else if (unix_path(wanted->address) != NULL) {
        rc = open_unix(master, wanted, &listener, err);
    } else {
        rc = net_listener_open(wanted->address, wanted->backlog, &listener.fd, err);
    }
    if (rc != 0) {
        return rc;
    }
    snprintf(listener.name, sizeof(listener.name), "%s", wanted->name);
    snprintf(listener.address, sizeof(listener.address), "%s", wanted->address);
    *out_listener = listener;
    if (old == NULL && net_address_of(listener.fd, bound, sizeof(bound)) == 0) {
        log_event(&master->heritage.log, LOG_LEVEL_INFO, "listen", "name=%s address=%s",
                  listener.name, bound);
    }
    return 0;
}

int
listeners_open(struct master *master, struct generation *generation, struct err *err)
{
    const struct conf *conf = generation->conf;

    for (uint32_t i = 0; i < conf->listen_count; i++) {
        const struct conf_listen *wanted = &conf->listen[i];
        struct heritage_listener *listener = &generation->listeners[i];
        struct listener_tls *tls = NULL;

        /* Read anew for each generation: a reload takes a renewed certificate. */
        int rc = listener_tls_read(wanted, &tls, err);
        if (rc == 0) {
            rc = take_or_open(master, generation, i, listener, err);
        }
        if (rc != 0) {
            listener_tls_free(&tls);
            return err_at(err, "listen \"%s\"", wanted->name);
        }
        listener->tls = tls;
        generation->listener_count = i + 1;
        const char *path = unix_path(wanted->address);
        if (path != NULL && set_rights(conf, wanted, path, err) != 0) {
            return err_at(err, "listen \"%s\"", wanted->name);
        }
    }
    return 0;
}

/* Drops the first packet of new connections; the last one of those that are being made comes in.
 * Whoever is dropped tries again after a second and is refused. */
static void
refuse_new(int fd)
{
    enum { FLAGS_OFFSET = 13 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_OFFSET),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = AUGURY_COUNT(code), .filter = code};

    /* Without it those who connect at the very end are reset. */
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* How long after the first packet of a connection its last may come. */
static uint32_t
retire_ms_of(int fd)
{
    struct sockaddr_storage place = {0};
    struct sockaddr_in *in4 = (struct sockaddr_in *)&place;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&place;
    socklen_t len = sizeof(place);
    bool is_here = false;

    if (getsockname(fd, (struct sockaddr *)&place, &len) == 0) {
        is_here = place.ss_family == AF_UNIX ||
                  (place.ss_family == AF_INET && ntohl(in4->sin_addr.s_addr) >> 24 == 127) ||
                  (place.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
    }
    return is_here ? RETIRE_HERE_MS : RETIRE_MS;
}

uint32_t
listeners_retire(struct master *master, struct generation *generation)
{
    const struct generation *serving = generations_find(master, GENERATION_SERVING);
    uint32_t longest_ms = 0;

    for (uint32_t i = 0; i < generation->listener_count; i++) {
        const struct heritage_listener *listener = &generation->listeners[i];
        bool is_kept = false;
        for (uint32_t j = 0; serving != NULL && j < serving->listener_count; j++) {
            is_kept = is_kept || serving->listeners[j].fd == listener->fd;
        }
        if (is_kept) {
            continue;
        }
        uint32_t ms = retire_ms_of(listener->fd);
        longest_ms = ms > longest_ms ? ms : longest_ms;
        if (unix_path(listener->address) != NULL) {
            remove_unix(listener);
        } else {
            refuse_new(listener->fd);
        }
    }
    return longest_ms;
}

void
listeners_close(struct master *master, struct generation *generation)
{
    for (uint32_t i = 0; i < generation->listener_count; i++) {
        struct heritage_listener *listener = &generation->listeners[i];
        if (!is_used_elsewhere(master, generation, listener->fd)) {
            remove_unix(listener);
            close(listener->fd);
            log_event(&master->heritage.log, LOG_LEVEL_INFO, "listen_end", "name=%s",
                      listener->name);
        }
        listener_tls_free(&listener->tls);
    }
    generation->listener_count = 0;
}
