/* SPDX-License-Identifier: MIT */
/* rights.c - who we run as, folders that belong to them, and the limit of open files. */
#include "augury/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_RECORD_BYTES = 16384 };

static int
find_user(const char *user, uid_t *uid, gid_t *gid, struct err *err)
{
    char record[NAME_RECORD_BYTES];
    struct passwd entry;
    struct passwd *found = NULL;

    if (getpwnam_r(user, &entry, record, sizeof(record), &found) != 0 || found == NULL) {
        return err_set(err, AUGURY_ERR_INVALID, "unknown_user", "user \"%.64s\" does not exist",
                       user);
    }
    *uid = found->pw_uid;
    *gid = found->pw_gid;
    return 0;
}

static int
find_group(const char *group, gid_t *gid, struct err *err)
{
    char record[NAME_RECORD_BYTES];
    struct group entry;
    struct group *found = NULL;

    if (getgrnam_r(group, &entry, record, sizeof(record), &found) != 0 || found == NULL) {
        return err_set(err, AUGURY_ERR_INVALID, "unknown_group", "group \"%.64s\" does not exist",
                       group);
    }
    *gid = found->gr_gid;
    return 0;
}

int
proc_find_user(const char *user, const char *group, uid_t *out_uid, gid_t *out_gid, struct err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (user[0] != '\0' && find_user(user, &uid, &gid, err) != 0) {
        return AUGURY_ERR_INVALID;
    }
    if (group[0] != '\0' && find_group(group, &gid, err) != 0) {
        return AUGURY_ERR_INVALID;
    }
    *out_uid = uid;
    *out_gid = gid;
    return 0;
}

static int
denied(const char *step, struct err *err)
{
    return err_set(err, AUGURY_ERR_DENIED, "drop_rights", "%s: %s", step, strerror(errno));
}

static int
become(const char *user, uid_t uid, gid_t gid, struct err *err)
{
    if (geteuid() != 0) {
        if (uid == geteuid() && gid == getegid()) {
            return 0;
        }
        errno = EPERM;
        return denied("only root can change user or group", err);
    }
    if (user[0] != '\0' && initgroups(user, gid) != 0) {
        return denied("initgroups", err);
    }
    if (setresgid(gid, gid, gid) != 0) {
        return denied("setresgid", err);
    }
    if (setresuid(uid, uid, uid) != 0) {
        return denied("setresuid", err);
    }
    if (uid != 0 && setresuid(0, 0, 0) == 0) {
        errno = EPERM;
        return denied("root could be regained", err);
    }
    return 0;
}

int
proc_drop_rights(const char *user, const char *group, struct err *err)
{
    uid_t uid = 0;
    gid_t gid = 0;

    if (user[0] != '\0' || group[0] != '\0') {
        int rc = proc_find_user(user, group, &uid, &gid, err);
        if (rc == 0) {
            rc = become(user, uid, gid, err);
        }
        if (rc != 0) {
            return rc;
        }
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return denied("no_new_privs", err);
    }
    /* Changing the user turns core dumps off; a crash should still leave one. */
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 ? 0 : denied("dumpable", err);
}

/* Makes one folder. Sets *out_is_new. */
static int
make_one(const char *dir, mode_t mode, bool *out_is_new, struct err *err)
{
    struct stat status;

    *out_is_new = mkdir(dir, mode) == 0;
    if (*out_is_new) {
        /* The mask does not decide. */
        return chmod(dir, mode) == 0
                   ? 0
                   : err_set(err, AUGURY_ERR_IO, "make_dir", "%s: %s", dir, strerror(errno));
    }
    int why = errno;
    if (why == EEXIST && stat(dir, &status) == 0) {
        why = S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
    }
    if (why != 0) {
        return err_set(err, AUGURY_ERR_IO, "make_dir", "folder %s: %s", dir, strerror(why));
    }
    return 0;
}

static int
make_path(const char *dir, mode_t mode, uid_t uid, gid_t gid, struct err *err)
{
    char path[512];
    size_t len = strlen(dir);

    if (len == 0 || len >= sizeof(path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "make_dir", "folder name of %zu bytes", len);
    }
    memcpy(path, dir, len + 1);
    while (len > 1 && path[len - 1] == '/') {
        path[--len] = '\0';
    }
    for (size_t i = 1; i <= len; i++) {
        bool is_new = false;
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        path[i] = '\0';
        int rc = make_one(path, i == len ? mode : 0755, &is_new, err);
        if (rc != 0) {
            return rc;
        }
        if (i == len && is_new && geteuid() == 0 && chown(path, uid, gid) != 0) {
            return err_set(err, AUGURY_ERR_IO, "make_dir", "folder %s: %s", path, strerror(errno));
        }
        if (i < len) {
            path[i] = '/';
        }
    }
    return 0;
}

int
proc_make_dir(const char *dir, uid_t uid, gid_t gid, struct err *err)
{
    return make_path(dir, 0700, uid, gid, err);
}

int
proc_make_parent(const char *file, uid_t uid, gid_t gid, struct err *err)
{
    char dir[512];
    const char *slash = strrchr(file, '/');

    if (slash == NULL || slash == file) {
        return 0;
    }
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - file), file);
    return make_path(dir, 0755, uid, gid, err);
}

/* 0, or errno: EWOULDBLOCK when somebody has held it all the time. */
static int
lock_within(int fd, unsigned wait_ms)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000000L};
    uint64_t begin = clock_mono_ms();

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || clock_mono_ms() - begin >= wait_ms) {
            return errno;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

int
proc_lock_dir(const char *dir, unsigned wait_ms, int *out_fd, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "lock_dir", "folder %s: %s", dir, strerror(errno));
    }
    int why = lock_within(fd, wait_ms);
    if (why != 0) {
        close(fd);
        return why == EWOULDBLOCK
                   ? err_set(err, AUGURY_ERR_BUSY, "dir_in_use",
                             "folder %s: another daemon uses it already", dir)
                   : err_set(err, AUGURY_ERR_IO, "lock_dir", "folder %s: %s", dir, strerror(why));
    }
    *out_fd = fd;
    return 0;
}

int
proc_raise_file_limit(unsigned wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return AUGURY_ERR_IO;
    }
    if (limit.rlim_cur >= wanted) {
        return 0;
    }
    if (geteuid() == 0 && limit.rlim_max < wanted) {
        limit.rlim_max = wanted;
    }
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : AUGURY_ERR_IO;
}
