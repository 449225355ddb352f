/* SPDX-License-Identifier: MIT */
/*
 * fuzz_conf.c - the configuration file. Properties: it is taken, or every error that is kept has a
 * place, a code and a reason; what was taken is written (-T) as a file that means the same.
 */
#include "augury/conf.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1 << 20 };

/* NULL: refused. */
static struct conf *
load(struct bytes text)
{
    static struct conf_errors errors;
    struct conf *conf = NULL;
    char path[40];

    int fd = memfd_create("conf", MFD_CLOEXEC);
    AUGURY_ASSERT(fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct conf_source source = {.path = path};
    int rc = conf_load(&source, &conf, &errors);
    close(fd);
    AUGURY_ASSERT((rc == 0) == (conf != NULL) && (rc == 0) == (errors.count == 0));
    for (size_t i = 0; i < errors.count && i < AUGURY_COUNT(errors.list); i++) {
        const struct err *err = &errors.list[i];
        AUGURY_ASSERT(err->code[0] != '\0' && err->reason[0] != '\0' && err->at[0] != '\0');
    }
    return conf;
}

static void
put(const struct conf *conf, struct buf *out)
{
    buf_init(out, TEXT_MAX);
    conf_put_effective(conf, out);
    AUGURY_ASSERT(buf_finish(out) == 0);
}

/* The next line of *text without the remark at its end, which says where a value came from. */
static struct bytes
next_line(struct bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    struct bytes line = bytes_of(text->data, len);

    *text = bytes_of(text->data + len + 1, end == NULL ? 0 : text->len - len - 1);
    for (size_t at = len; at-- > 2;) {
        if (memcmp(line.data + at - 2, " # ", 3) == 0) {
            line.len = at - 2;
            break;
        }
    }
    return line;
}

static void
compare(struct bytes one, struct bytes other)
{
    while (one.len > 0 && other.len > 0) {
        AUGURY_ASSERT(bytes_equal(next_line(&one), next_line(&other)));
    }
    AUGURY_ASSERT(one.len == 0 && other.len == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first, second;

    struct conf *conf = load(bytes_of(data, size));
    if (conf == NULL) {
        return 0;
    }
    put(conf, &first);
    struct conf *again = load(buf_view(&first));
    AUGURY_ASSERT(again != NULL);
    put(again, &second);
    compare(buf_view(&first), buf_view(&second));
    buf_fini(&second);
    buf_fini(&first);
    conf_free(&again);
    conf_free(&conf);
    return 0;
}
