/* SPDX-License-Identifier: MIT */
/*
 * cache_mark.c - whether an environment on disk may be read: it is written without syncs, so what
 * was open when the machine stopped may be half of one commit and half of another. The file "mark"
 * beside it holds the machine's boot id while it is open, and "clean" once it is closed and synced.
 * Two keepers that wrote to one folder would each contradict what the other remembers of it: who
 * has it holds a lock on it, which ends with the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_disk.h"

enum { BOOT_ID_BYTES = 36, PATH_BYTES = 4096 };
static const char clean_word[] = "clean";

static bool
path_join(const char *dir, const char *name, char *out_path)
{
    int len = snprintf(out_path, PATH_BYTES, "%s/%s", dir, name);
    return len > 0 && len < PATH_BYTES;
}

/* The first line, without its end; empty when there is none. */
static void
line_read(const char *path, char *out_line, size_t size)
{
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        got = read(fd, out_line, size - 1);
        close(fd);
    }
    out_line[got > 0 ? got : 0] = '\0';
    out_line[strcspn(out_line, "\n")] = '\0';
}

static void
boot_id(char *out_id, size_t size)
{
    line_read("/proc/sys/kernel/random/boot_id", out_id, size);
}

static int
mark_write(const char *dir, const char *word)
{
    char path[PATH_BYTES];

    if (!path_join(dir, "mark", path)) {
        return AUGURY_ERR_LIMIT;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return AUGURY_ERR_IO;
    }
    size_t len = strlen(word);
    bool good = write(fd, word, len) == (ssize_t)len && fsync(fd) == 0;
    close(fd);
    return good ? 0 : AUGURY_ERR_IO;
}

static bool
is_good(const char *dir)
{
    char path[PATH_BYTES], mark[BOOT_ID_BYTES + 4], id[BOOT_ID_BYTES + 4];

    if (!path_join(dir, "mark", path)) {
        return false;
    }
    line_read(path, mark, sizeof(mark));
    boot_id(id, sizeof(id));
    return strcmp(mark, clean_word) == 0 || (id[0] != '\0' && strcmp(mark, id) == 0);
}

/* It is worth nothing, so it is not kept beside either. */
static int
environment_remove(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "data.mdb.damaged",
                                        "lock.mdb.damaged"};
    char path[PATH_BYTES];

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        if (!path_join(dir, names[i], path) || (unlink(path) != 0 && errno != ENOENT)) {
            return AUGURY_ERR_IO;
        }
    }
    return 0;
}

static int
folder_lock(const char *dir, int *lock_fd, struct err *err)
{
    if (*lock_fd >= 0) {
        return 0;
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "disk_lock", "folder %s: %s", dir, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool is_held = errno == EWOULDBLOCK;
        int rc = err_set(
            err, is_held ? AUGURY_ERR_BUSY : AUGURY_ERR_IO, "disk_lock", "folder %s: %s", dir,
            is_held ? "another daemon uses it; give each a disk.dir of its own" : strerror(errno));
        close(fd);
        return rc;
    }
    *lock_fd = fd;
    return 0;
}

int
cache_mark_begin(const char *dir, int *lock_fd, bool *out_was_removed, struct err *err)
{
    char id[BOOT_ID_BYTES + 4];

    int rc = store_folder_make(dir, err);
    if (rc == 0) {
        rc = folder_lock(dir, lock_fd, err);
    }
    bool is_taken = rc == 0;
    if (rc == 0 && !is_good(dir)) {
        rc = environment_remove(dir);
        *out_was_removed = rc == 0;
    }
    boot_id(id, sizeof(id));
    if (rc == 0) {
        rc = mark_write(dir, id);
    }
    if (is_taken && rc == AUGURY_ERR_IO) {
        (void)err_set(err, rc, "disk_mark", "cannot write in %s: %s", dir, strerror(errno));
    }
    return rc;
}

void
cache_mark_end(const char *dir)
{
    /* Not written: the next start takes the environment for one that was open. */
    int rc = mark_write(dir, clean_word);
    (void)rc;
}

void
cache_mark_clear(const char *dir)
{
    char path[PATH_BYTES];

    if (path_join(dir, "mark", path)) {
        (void)unlink(path);
    }
}
