/* SPDX-License-Identifier: MIT */
/* log.c - one logfmt line an event, one write() a line, so that lines of several processes never
 * mix. */
#include "augury/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 2048 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};

int
log_level_find(const char *name, enum log_level *out_level)
{
    for (size_t i = 0; i < AUGURY_COUNT(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out_level = (enum log_level)i;
            return 0;
        }
    }
    return AUGURY_NOT_FOUND;
}

static int
open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int
log_open(struct log *log, const char *path, enum log_level level, struct err *err)
{
    *log = (struct log){.fd = STDERR_FILENO, .level = level};
    if (path[0] == '\0' || strcmp(path, "stderr") == 0) {
        return 0;
    }
    if (strlen(path) >= sizeof(log->path)) {
        return err_set(err, AUGURY_ERR_LIMIT, "path_too_long", "log file name: at most %zu bytes",
                       sizeof(log->path) - 1);
    }
    int fd = open_path(path);
    if (fd < 0) {
        return err_set(err, AUGURY_ERR_IO, "log_open", "log file %s: %s", path, strerror(errno));
    }
    log->fd = fd;
    memcpy(log->path, path, strlen(path) + 1);
    return 0;
}

int
log_reopen(struct log *log)
{
    if (log->path[0] == '\0') {
        return 0;
    }
    int fd = open_path(log->path);
    if (fd < 0) {
        return AUGURY_ERR_IO;
    }
    close(log->fd);
    log->fd = fd;
    return 0;
}

void
log_close(struct log *log)
{
    if (log->path[0] != '\0') {
        close(log->fd);
    }
    *log = (struct log){.fd = STDERR_FILENO};
}

void
log_name(struct log *log, const char *process, unsigned generation)
{
    snprintf(log->process, sizeof(log->process), "%s", process);
    log->generation = generation;
}

void
log_event(struct log *log, enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    char when[CLOCK_ISO_BYTES];

    if (log == NULL || level > log->level) {
        return;
    }
    clock_to_iso(clock_wall_ms(), when);
    int len = snprintf(line, sizeof(line), "%.*s level=%s process=%s gen=%u pid=%d event=%s ",
                       CLOCK_ISO_BYTES, when, level_names[level], log->process, log->generation,
                       (int)getpid(), event);
    size_t used = len < 0 ? 0 : (size_t)len;
    used = used > sizeof(line) - 1 ? sizeof(line) - 1 : used;
    va_list args;
    va_start(args, fmt);
    len = vsnprintf(line + used, sizeof(line) - used, fmt, args);
    va_end(args);
    used += len < 0 ? 0 : (size_t)len;
    used = used > sizeof(line) - 1 ? sizeof(line) - 1 : used;
    line[used++] = '\n';
    ssize_t written = write(log->fd, line, used);
    (void)written; /* a log that cannot be written must not stop the work */
}

const char *
log_quote(struct bytes text, char *out, size_t out_size)
{
    size_t at = 0;

    AUGURY_ASSERT(out_size >= 8);
    out[at++] = '"';
    for (size_t i = 0; i < text.len && at + 6 < out_size; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            at += (size_t)snprintf(out + at, out_size - at, "\\x%02x", c);
        } else {
            out[at++] = (char)c;
        }
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
