/* SPDX-License-Identifier: MIT */
/*
 * api_fetch_folder.c - one file of a folder, whole or not at all: a file that changes while it is
 * read is read again.
 */
#include "api_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 3, SEGMENT_MAX = 255 };

static void
fail(struct api_fetch *fetch, const char *reason)
{
    fetch->outcome = FETCH_FAILED;
    err_set(&fetch->err, AUGURY_ERR_IO, "fetch_failed", "the file of \"%.*s\": %s",
            (int)fetch->name.len, (const char *)fetch->name.data, reason);
}

/* What the system's refusal means: no such file, or a file that we cannot have. */
static void
fail_errno(struct api_fetch *fetch)
{
    if (errno == ENOENT || errno == ENAMETOOLONG) {
        fetch->outcome = FETCH_ABSENT;
    } else if (errno == ELOOP) {
        fail(fetch, "symbolic links are not followed");
    } else {
        fail(fetch, strerror(errno));
    }
}

/* The next segment of *rest as text; false: there is none that could be a file's name. */
static bool
segment_next(struct bytes *rest, char *out_segment)
{
    size_t len = 0;

    while (len < rest->len && rest->data[len] != '/') {
        len++;
    }
    if (len == 0 || len > SEGMENT_MAX) {
        return false;
    }
    memcpy(out_segment, rest->data, len);
    out_segment[len] = '\0';
    *rest =
        len < rest->len ? bytes_of(rest->data + len + 1, rest->len - len - 1) : bytes_of(NULL, 0);
    return true;
}

/* The folder inside `at`, which is closed; -1: outcome says why. */
static int
descend(struct api_fetch *fetch, int at, const char *segment)
{
    struct stat status;
    int fd = openat(at, segment, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOTDIR) {
        /* A file is no folder, so nothing is in it; a link may be one, and the operator's. */
        bool is_link =
            fstatat(at, segment, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
        errno = is_link ? ELOOP : ENOENT;
    }
    if (fd < 0) {
        fail_errno(fetch);
    }
    close(at);
    return fd;
}

/* Devices are looked at before they are opened: opening one may do something. */
static int
open_file(struct api_fetch *fetch, int at, const char *segment, struct stat *out_status)
{
    int fd = -1;

    if (fstatat(at, segment, out_status, AT_SYMLINK_NOFOLLOW) != 0) {
        fail_errno(fetch);
    } else if (S_ISDIR(out_status->st_mode)) {
        fetch->outcome = FETCH_ABSENT;
    } else if (S_ISLNK(out_status->st_mode)) {
        fail(fetch, "symbolic links are not followed");
    } else if (!S_ISREG(out_status->st_mode)) {
        fail(fetch, "it is no regular file");
    } else {
        fd = openat(at, segment, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, out_status) != 0) {
            fail_errno(fetch);
        } else if (!S_ISREG(out_status->st_mode)) {
            fail(fetch, "it is no regular file");
        } else {
            return fd;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static uint64_t
mtime_ns_of(const struct stat *status)
{
    return (uint64_t)status->st_mtim.tv_sec * 1000000000 + (uint64_t)status->st_mtim.tv_nsec;
}

static bool
is_same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && mtime_ns_of(a) == mtime_ns_of(b) &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* status: of the open file. True when its content is whole, or there will be none. */
static bool
read_content(struct api_fetch *fetch, int fd, struct stat *status)
{
    struct stat after;
    size_t head = OBJECT_HEADER_BYTES + fetch_type(fetch).len;
    size_t wanted = (size_t)status->st_size;
    size_t len = 0;
    ssize_t got = 1;

    buf_reset(&fetch->stored);
    uint8_t *room = buf_reserve(&fetch->stored, head + wanted);
    if (room == NULL) {
        fail(fetch, "no memory");
        return true;
    }
    while (got > 0 && len < wanted) {
        got = pread(fd, room + head + len, wanted - len, (off_t)len);
        len += got > 0 ? (size_t)got : 0;
    }
    if (got < 0 || fstat(fd, &after) != 0) {
        fail(fetch, strerror(errno));
        return true;
    }
    buf_commit(&fetch->stored, head + len);
    bool is_whole = len == wanted && is_same(status, &after);
    *status = after;
    return is_whole;
}

static void
read_file(struct api_fetch *fetch, int fd, struct stat *status)
{
    for (unsigned i = 0; i < TRIES; i++) {
        fetch->mtime_ns = mtime_ns_of(status);
        fetch->bytes = (uint64_t)status->st_size;
        if (fetch->bytes > fetch->section->max_bytes) {
            fail(fetch, "it is larger than max_bytes of its section");
            return;
        }
        if (fetch->has_known && fetch->known_mtime_ns == fetch->mtime_ns &&
            fetch->known_bytes == fetch->bytes) {
            fetch->outcome = FETCH_UNCHANGED;
            return;
        }
        fetch->outcome = FETCH_DONE;
        if (read_content(fetch, fd, status)) {
            return;
        }
    }
    fail(fetch, "it changes while it is read");
}

void
fetch_folder_read(struct api_fetch *fetch)
{
    struct bytes rest = fetch->name;
    char segment[SEGMENT_MAX + 1];
    struct stat status;
    int at = open(fetch->section->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    fetch->outcome = FETCH_ABSENT;
    if (at < 0) {
        /* The folder itself: that it is gone says nothing about its files. */
        fetch->outcome = FETCH_FAILED;
        err_set(&fetch->err, AUGURY_ERR_IO, "fetch_failed",
                "the folder of section object \"%s\" cannot be opened: %s", fetch->section->name,
                strerror(errno));
        return;
    }
    bool is_name = segment_next(&rest, segment); /* the section's name */
    while (is_name && at >= 0 && (is_name = segment_next(&rest, segment)) && rest.len > 0) {
        at = descend(fetch, at, segment);
    }
    int fd = is_name && at >= 0 ? open_file(fetch, at, segment, &status) : -1;
    if (fd >= 0) {
        read_file(fetch, fd, &status);
        close(fd);
    }
    if (at >= 0) {
        close(at);
    }
}
