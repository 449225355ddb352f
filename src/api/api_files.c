/* SPDX-License-Identifier: MIT */
/* api_files.c - whole files that a verb or the command line names: models and schemas. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

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

int
api_read_file(const char *path, size_t max_bytes, struct buf *out_text, struct err *err)
{
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return err_set(err, errno == EACCES ? AUGURY_ERR_DENIED : AUGURY_ERR_IO, "unreadable_file",
                       "%s: %s", path, strerror(errno));
    }
    buf_fini(out_text);
    buf_init(out_text, max_bytes + READ_BYTES); /* the last read asks for room before it knows */
    int rc = read_stream(file, path, out_text, err);
    fclose(file);
    return rc;
}
