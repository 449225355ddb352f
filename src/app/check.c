/* SPDX-License-Identifier: MIT */
/* check.c - whether a start with this configuration would work here, as far as can be told without
 * starting. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augury/net.h"
#include "augury/proc.h"

static struct err *
next(struct conf_errors *errors)
{
    size_t i = errors->count++;
    return i < AUGURY_COUNT(errors->list) ? &errors->list[i] : NULL;
}

static void
fail(struct conf_errors *errors, const char *option, const struct err *why)
{
    struct err *err = next(errors);

    err_set(err, why->rc, why->code, "%s", why->reason);
    err_at(err, "%s", option);
}

static void
check_user(const char *option, const char *user, const char *group, struct conf_errors *errors)
{
    uid_t uid = 0;
    gid_t gid = 0;
    struct err why;

    if (proc_find_user(user, group, &uid, &gid, &why) != 0) {
        fail(errors, option, &why);
    } else if (geteuid() != 0 && uid != geteuid()) {
        err_set(&why, AUGURY_ERR_DENIED, "not_root", "only root can start the daemon for \"%s\"",
                user);
        fail(errors, option, &why);
    }
}

/* The folder, or the nearest one above that is there, can be written to. */
static void
check_dir(const char *option, const char *path, struct conf_errors *errors)
{
    char dir[CONF_PATH_BYTES];
    struct stat status;
    struct err why;

    snprintf(dir, sizeof(dir), "%s", path);
    while (stat(dir, &status) != 0 && errno == ENOENT && strrchr(dir, '/') != dir) {
        *strrchr(dir, '/') = '\0';
    }
    if (stat(dir, &status) != 0) {
        if (strrchr(dir, '/') == dir && errno == ENOENT) {
            snprintf(dir, sizeof(dir), "/");
        } else {
            err_set(&why, AUGURY_ERR_IO, "unreachable", "%s: %s", dir, strerror(errno));
            fail(errors, option, &why);
            return;
        }
    } else if (!S_ISDIR(status.st_mode)) {
        err_set(&why, AUGURY_ERR_IO, "not_a_folder", "%s is not a folder", dir);
        fail(errors, option, &why);
        return;
    }
    if (access(dir, W_OK | X_OK) != 0) {
        err_set(&why, AUGURY_ERR_DENIED, "not_writable", "folder %s: %s", dir, strerror(errno));
        fail(errors, option, &why);
    }
}

static void
check_file(const char *option, const char *path, struct conf_errors *errors)
{
    char dir[CONF_PATH_BYTES];
    struct stat status;
    struct err why;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        err_set(&why, AUGURY_ERR_IO, "is_a_folder", "%s is a folder", path);
        fail(errors, option, &why);
        return;
    }
    if (access(path, F_OK) == 0 && access(path, W_OK) != 0) {
        err_set(&why, AUGURY_ERR_DENIED, "not_writable", "%s: %s", path, strerror(errno));
        fail(errors, option, &why);
        return;
    }
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    slash[slash == dir ? 1 : 0] = '\0';
    check_dir(option, dir, errors);
}

static void
check_listener(const struct conf_listen *listen, struct conf_errors *errors)
{
    int fd = -1;
    char option[64];
    struct err why;

    errno = 0;
    if (net_listener_open(listen->address, listen->backlog, &fd, &why) == 0) {
        close(fd);
        return;
    }
    /* Most likely it is ours: the daemon that this file is for. */
    if (why.rc == AUGURY_ERR_BUSY || errno == EADDRINUSE) {
        return;
    }
    snprintf(option, sizeof(option), "listen \"%s\"", listen->name);
    fail(errors, option, &why);
}

void
check_machine(const struct conf *conf, struct conf_errors *out_errors)
{
    out_errors->count = 0;
    check_user("user", conf->user, conf->group, out_errors);
    if (conf->admin.operator_group[0] != '\0') {
        check_user("admin.operator_group", "", conf->admin.operator_group, out_errors);
    }
    check_file("pidfile", conf->pidfile, out_errors);
    check_file("admin.socket", conf->admin.socket, out_errors);
    if (strcmp(conf->log.file, "stderr") != 0) {
        check_file("log.file", conf->log.file, out_errors);
    }
    check_dir("models.dir", conf->models.dir, out_errors);
    check_dir("cache.dir", conf->cache.dir, out_errors);
    for (uint32_t i = 0; i < conf->listen_count; i++) {
        check_listener(&conf->listen[i], out_errors);
    }
}
