/* SPDX-License-Identifier: MIT */
/* api_files.c - whole files that a verb or the command line names: models and schemas. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augury/api.h"

enum { READ_BYTES = 1 << 16 };

static int
read_stream(FILE *file, const char *path, struct buf *out, struct err *err)
{
    size_t got = 0;

    do {
        uint8_t *room = buf_reserve(out, READ_BYTES);
        if (room == NULL) {
            return err_set(err, AUGURY_ERR_LIMIT, "file_too_large",
                           "%s is larger than %zu bytes, or memory is short", path,
                           out->max - READ_BYTES);
        }
        got = fread(room, 1, READ_BYTES, file);
        buf_commit(out, got);
    } while (got == READ_BYTES);
    if (ferror(file) != 0) {
        return err_set(err, AUGURY_ERR_IO, "unreadable_file", "%s: %s", path, strerror(errno));
    }
    return 0;
}

/* A group may read it: the daemon's, when the daemon is not started by root. */
static int
check_confidential(const struct stat *status, const char *path, struct err *err)
{
    int rc = proc_check_trust(status, path, PROC_TRUST_KEY, err);

    if (rc == 0 && (status->st_mode & S_IROTH) != 0) {
        rc = err_set(err, AUGURY_ERR_INVALID, "secret_readable_by_others",
                     "%.200s is open to everybody; chmod o-r it first", path);
    }
    return rc;
}

static int
check_trust(const struct stat *status, const char *path, enum api_read_trust trust, struct err *err)
{
    switch (trust) {
    case API_READ_ANY: break;
    case API_READ_TRUSTED: return proc_check_trust(status, path, PROC_TRUST_FILE, err);
    case API_READ_KEY: return proc_check_trust(status, path, PROC_TRUST_KEY, err);
    case API_READ_CONFIDENTIAL: return check_confidential(status, path, err);
    case API_READ_SECRET: return proc_check_secret(status, path, err);
    }
    return 0;
}

/* A pipe whose other end is silent, or a device without end, would hold up the process that serves
 * the admin socket; so it is opened without waiting and must be a regular file. */
static int
open_regular(const char *path, enum api_read_trust trust, FILE **out_file, struct err *err)
{
    struct stat status = {.st_mode = 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    FILE *file = NULL;
    int rc = 0;

    if (fd < 0 || fstat(fd, &status) != 0) {
        rc = err_set(err, errno == EACCES ? AUGURY_ERR_DENIED : AUGURY_ERR_IO, "unreadable_file",
                     "%s: %s", path, strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        rc = err_set(err, AUGURY_ERR_IO, "unreadable_file", "%s: %s", path, strerror(EISDIR));
    } else if (!S_ISREG(status.st_mode)) {
        rc =
            err_set(err, AUGURY_ERR_IO, "unreadable_file",
                    "%s is no regular file; a pipe's content has to be written to one first", path);
    } else {
        rc = check_trust(&status, path, trust, err);
    }
    if (rc == 0 && (file = fdopen(fd, "r")) == NULL) {
        rc = err_set(err, AUGURY_ERR_NOMEM, "no_memory", "%s: %s", path, strerror(errno));
    }
    if (rc != 0 && fd >= 0) {
        close(fd);
    }
    *out_file = file;
    return rc;
}

int
api_read_checked(const char *path, size_t max_bytes, enum api_read_trust trust,
                 struct buf *out_text, struct err *err)
{
    FILE *file = NULL;
    int rc = open_regular(path, trust, &file, err);

    if (rc != 0) {
        return rc;
    }
    buf_fini(out_text);
    buf_init(out_text, max_bytes + READ_BYTES); /* the last read asks for room before it knows */
    rc = read_stream(file, path, out_text, err);
    fclose(file);
    return rc;
}

int
api_read_file(const char *path, size_t max_bytes, struct buf *out_text, struct err *err)
{
    return api_read_checked(path, max_bytes, API_READ_ANY, out_text, err);
}
