/* SPDX-License-Identifier: MIT */
/* check.c - whether a start with this configuration would work here, as far as can be told without
 * starting. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "augury/api.h"
#include "augury/model.h"
#include "heritage.h"

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

/* The folder, or the nearest one above that is there; errno when it cannot be reached. */
static int
find_nearest(const char *path, char *out_dir, size_t size)
{
    struct stat status;

    snprintf(out_dir, size, "%s", path);
    while (stat(out_dir, &status) != 0) {
        char *slash = strrchr(out_dir, '/');
        if (errno != ENOENT || slash == NULL || strcmp(out_dir, "/") == 0) {
            return errno;
        }
        slash[slash == out_dir ? 1 : 0] = '\0';
    }
    return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
}

static void
check_dir(const char *option, const char *path, struct conf_errors *errors)
{
    char dir[CONF_PATH_BYTES];
    struct err why;
    int rc = find_nearest(path, dir, sizeof(dir));

    if (rc == 0 && access(dir, W_OK | X_OK) != 0) {
        rc = errno;
    }
    if (rc == ENOTDIR) {
        err_set(&why, AUGURY_ERR_IO, "not_a_folder", "%s is not a folder", dir);
        fail(errors, option, &why);
    } else if (rc != 0) {
        err_set(&why, AUGURY_ERR_DENIED, "not_writable", "folder %s: %s", dir, strerror(rc));
        fail(errors, option, &why);
    }
}

/* access() with the rights that the children will have. 0, or errno. */
static int
access_as_child(const struct conf *conf, const char *path, int mode)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct err ignored; /* an unknown user is told elsewhere */
        bool is_dropped = proc_drop_rights(conf->user, conf->group, &ignored) == 0;
        _exit(!is_dropped || access(path, mode) == 0 ? 0 : errno);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return 0;
    }
    return WEXITSTATUS(status);
}

/* A folder that the children write to. One that is not there is made by the master and given to
 * them; they must be able to get there. */
static void
check_child_dir(const char *option, const char *path, const struct conf *conf,
                struct conf_errors *errors)
{
    char dir[CONF_PATH_BYTES];
    struct err why;
    size_t before = errors->count;

    check_dir(option, path, errors);
    if (errors->count != before || find_nearest(path, dir, sizeof(dir)) != 0) {
        return;
    }
    int rc = access_as_child(conf, dir, strcmp(dir, path) == 0 ? W_OK | X_OK : X_OK);
    if (rc != 0) {
        err_set(&why, AUGURY_ERR_DENIED, "not_writable", "folder %s: %s for user \"%s\"", dir,
                strerror(rc), conf->user);
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

/* The socket itself is most likely ours: only its folder and who it is for can be looked at. */
static void
check_unix_listener(const char *option, const struct conf_listen *listen,
                    struct conf_errors *errors)
{
    const char *path = listen->address + 5;
    struct stat status;
    struct err why;

    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        err_set(&why, AUGURY_ERR_LIMIT, "path_too_long",
                "%s: a socket's path has at most %zu bytes", path,
                sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
        fail(errors, option, &why);
        return;
    }
    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
        err_set(&why, AUGURY_ERR_EXISTS, "not_a_socket", "%s exists and is not a socket", path);
        fail(errors, option, &why);
        return;
    }
    check_file(option, path, errors);
    if (listen->owner[0] != '\0' || listen->group[0] != '\0') {
        check_user(option, listen->owner, listen->group, errors);
    }
}

static void
check_listener(const struct conf_listen *listen, struct conf_errors *errors)
{
    struct listener_tls *tls = NULL;
    int fd = -1;
    char option[64];
    struct err why;

    snprintf(option, sizeof(option), "listen \"%s\"", listen->name);
    if (listener_tls_read(listen, &tls, &why) != 0) {
        fail(errors, option, &why);
    }
    listener_tls_free(&tls);
    if (strncmp(listen->address, "unix:", 5) == 0) {
        check_unix_listener(option, listen, errors);
        return;
    }
    errno = 0;
    if (net_listener_open(listen->address, listen->backlog, &fd, &why) == 0) {
        close(fd);
        return;
    }
    /* Most likely it is ours: the daemon that this file is for. */
    if (why.rc == AUGURY_ERR_BUSY || errno == EADDRINUSE) {
        return;
    }
    fail(errors, option, &why);
}

/* Where only signed models are imported, a folder of keys that is not in order stops every import.
 */
static void
check_keys(const struct conf *conf, struct conf_errors *errors)
{
    struct err why;

    if (strcmp(conf->models.require_signature, "yes") == 0 && api_keys_check(conf, &why) != 0) {
        fail(errors, "models.keys", &why);
    }
}

static void
check_clients(const struct conf *conf, struct conf_errors *errors)
{
    struct conf_errors found;
    struct api_keys *keys = NULL;

    (void)!api_keys_read(conf->access.keys, &keys, &found);
    for (size_t i = 0; i < found.count; i++) {
        struct err *err = next(errors);
        if (err != NULL && i < AUGURY_COUNT(found.list)) {
            *err = found.list[i];
            if (err->at[0] == '\0') {
                (void)err_at(err, "access.keys");
            }
        }
    }
    api_keys_free(&keys);
}

static void
check_objects(const struct conf *conf, struct conf_errors *errors)
{
    for (uint32_t i = 0; i < conf->object_count; i++) {
        const struct conf_object *object = &conf->objects[i];
        char option[96];
        struct stat status;
        struct err why;

        snprintf(option, sizeof(option), "object \"%s\"", object->name);
        if (strcmp(object->folder, "none") == 0) {
            continue;
        }
        int rc = stat(object->folder, &status) != 0 ? errno
                 : !S_ISDIR(status.st_mode)         ? ENOTDIR
                                                    : 0;
        rc = rc == 0 ? access_as_child(conf, object->folder, R_OK | X_OK) : rc;
        if (rc != 0) {
            err_set(&why, AUGURY_ERR_IO, "unreadable", "folder %s: %s", object->folder,
                    strerror(rc));
            fail(errors, option, &why);
        }
    }
}

static void
check_redis(const struct conf *conf, struct conf_errors *errors)
{
    const char *path = conf->redis.password_file;
    struct err why;

    if (conf->redis.address[0] == '\0' || path[0] == '\0') {
        return;
    }
    int rc = access_as_child(conf, path, R_OK);
    if (rc != 0) {
        err_set(&why, AUGURY_ERR_IO, "unreadable", "%s: %s", path, strerror(rc));
        fail(errors, "redis.password_file", &why);
    }
}

/* Until here an error's place is its option, or its line in a file of keys. */
static void
find_lines(const struct conf *conf, struct conf_errors *errors)
{
    for (size_t i = 0; i < errors->count && i < AUGURY_COUNT(errors->list); i++) {
        struct err *err = &errors->list[i];
        const struct conf_option *option = NULL;
        char path[sizeof(err->at)];
        char section[16] = "";
        char title[64] = "";
        char place[CONF_PATH_BYTES + 16];
        struct err plain = *err;

        snprintf(path, sizeof(path), "%s", err->at);
        if (sscanf(err->at, "%15[a-z] \"%63[^\"]\"", section, title) == 2) {
            snprintf(path, sizeof(path), "%s.%s", section,
                     strcmp(section, "listen") == 0 ? "address" : "folder");
        }
        if (conf_option_find(path, &option) == 0) {
            conf_place(conf, path, title, place, sizeof(place));
            err_set(err, plain.rc, plain.code, "%s: %s", plain.at, plain.reason);
            err_at(err, "%s", place);
        }
    }
}

void
check_machine(const struct conf *conf, struct conf_errors *out_errors)
{
    struct err why;

    out_errors->count = 0;
    check_user("user", conf->user, conf->group, out_errors);
    if (conf->admin.operator_group[0] != '\0') {
        check_user("admin.operator_group", "", conf->admin.operator_group, out_errors);
    }
    if (conf->cache.group[0] != '\0') {
        check_user("cache.group", "", conf->cache.group, out_errors);
    }
    check_file("pidfile", conf->pidfile, out_errors);
    check_file("admin.socket", conf->admin.socket, out_errors);
    if (strcmp(conf->log.file, "stderr") != 0) {
        check_file("log.file", conf->log.file, out_errors);
    }
    check_child_dir("models.dir", conf->models.dir, conf, out_errors);
    if (model_kernel_check(conf->models.kernel, &why) != 0) {
        fail(out_errors, "models.kernel", &why);
    }
    check_child_dir("cache.dir", conf->cache.dir, conf, out_errors);
    if (conf->disk.is_enabled) {
        check_child_dir("disk.dir", conf->disk.dir, conf, out_errors);
    }
    check_keys(conf, out_errors);
    check_clients(conf, out_errors);
    for (uint32_t i = 0; i < conf->listen_count; i++) {
        check_listener(&conf->listen[i], out_errors);
    }
    check_objects(conf, out_errors);
    check_redis(conf, out_errors);
    find_lines(conf, out_errors);
}
