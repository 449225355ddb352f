/* SPDX-License-Identifier: MIT */
/* err.c - codes in words, errors with a place, and the assertion that stops the process on a bug
 * of ours. */
#include "augury/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
augury_assert_fail(const char *cond, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, cond);
    abort();
}

const char *
augury_strerror(int rc)
{
    switch (rc) {
    case AUGURY_OK: return "done";
    case AUGURY_NOT_FOUND: return "not found";
    case AUGURY_MORE: return "more input needed";
    case AUGURY_END: return "end";
    case AUGURY_ERR_NOMEM: return "out of memory";
    case AUGURY_ERR_INVALID: return "invalid input";
    case AUGURY_ERR_LIMIT: return "over a limit";
    case AUGURY_ERR_UNSUPPORTED: return "not supported";
    case AUGURY_ERR_CORRUPT: return "damaged data";
    case AUGURY_ERR_IO: return "input/output error";
    case AUGURY_ERR_FULL: return "full";
    case AUGURY_ERR_EXISTS: return "exists already";
    case AUGURY_ERR_DENIED: return "permission denied";
    case AUGURY_ERR_BUSY: return "busy";
    case AUGURY_ERR_TIMEOUT: return "timed out";
    case AUGURY_ERR_STATE: return "not possible now";
    default: return "unknown error";
    }
}

/* Messages quote what clients sent, cut to a length: bytes that are no UTF-8 (or half of a
 * character) and control characters become '?', so that every message is one line of text,
 * whatever prints it. */
static void
make_printable(char *text)
{
    size_t left = strlen(text);
    size_t len = 1;

    for (; left > 0; text += len, left -= len) {
        uint8_t c = (uint8_t)*text;
        len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        if (c < 0x20 || c == 0x7f || len > left || !utf8_is_valid(bytes_of(text, len))) {
            *text = '?';
            len = 1;
        }
    }
}

int
err_set(struct err *err, int rc, const char *code, const char *fmt, ...)
{
    if (err == NULL) {
        return rc;
    }
    err->rc = rc;
    err->code = code;
    err->at[0] = '\0';
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->reason, sizeof(err->reason), fmt, args);
    va_end(args);
    make_printable(err->reason);
    return rc;
}

int
err_at(struct err *err, const char *fmt, ...)
{
    if (err == NULL) {
        return 0;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->at, sizeof(err->at), fmt, args);
    va_end(args);
    make_printable(err->at);
    return err->rc;
}
