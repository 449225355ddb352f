/* SPDX-License-Identifier: MIT */
/*
 * pidfile.c - one daemon a pidfile: the lock decides, the number in it is for people and scripts.
 * The lock belongs to the open file, which children must therefore close.
 */
#include "augury/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID_TEXT_BYTES = 16, OPEN_TRIES = 5 };

static long
read_pid(int fd)
{
    char text[PID_TEXT_BYTES + 1] = "";
    ssize_t len = pread(fd, text, PID_TEXT_BYTES, 0);
    uint64_t pid = 0;

    if (len <= 0 || bytes_to_u64(bytes_of(text, strcspn(text, "\n")), INT32_MAX, &pid) != 0) {
        return 0;
    }
    return (long)pid;
}

/* A closing daemon may have removed the file between our open and our lock. */
static bool
is_still_there(int fd, const char *path)
{
    struct stat ours;
    struct stat theirs;

    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

static int
open_locked(const char *path, int *out_fd, struct err *err)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) {
            return err_set(err, AUGURY_ERR_IO, "pidfile", "pidfile %s: %s", path, strerror(errno));
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            long pid = read_pid(fd);
            close(fd);
            return err_set(err, AUGURY_ERR_BUSY, "already_running",
                           "pidfile %s: held by process %ld, which runs already", path, pid);
        }
        if (is_still_there(fd, path)) {
            *out_fd = fd;
            return 0;
        }
        close(fd);
    }
    return err_set(err, AUGURY_ERR_BUSY, "pidfile", "pidfile %s: somebody keeps removing it", path);
}

int
proc_pidfile_open(struct proc_pidfile *pidfile, const char *path, struct err *err)
{
    char text[PID_TEXT_BYTES];
    int fd = -1;

    *pidfile = (struct proc_pidfile){.fd = -1};
    if (strlen(path) >= sizeof(pidfile->path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long", "pidfile: name of over %zu bytes",
                       sizeof(pidfile->path) - 1);
    }
    int rc = open_locked(path, &fd, err);
    if (rc != 0) {
        return rc;
    }
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (fchmod(fd, 0644) != 0 || ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len ||
        fsync(fd) != 0) {
        rc = err_set(err, AUGURY_ERR_IO, "pidfile", "pidfile %s: %s", path, strerror(errno));
        close(fd);
        return rc;
    }
    snprintf(pidfile->path, sizeof(pidfile->path), "%s", path);
    pidfile->fd = fd;
    pidfile->pid = getpid();
    return 0;
}

void
proc_pidfile_close(struct proc_pidfile *pidfile)
{
    if (pidfile->fd < 0) {
        return;
    }
    if (pidfile->pid == getpid() && is_still_there(pidfile->fd, pidfile->path) &&
        read_pid(pidfile->fd) == (long)pidfile->pid) {
        unlink(pidfile->path);
    }
    close(pidfile->fd);
    pidfile->fd = -1;
}
