/* SPDX-License-Identifier: MIT */
/* test_gzip.c - what is compressed here is what the program gzip reads back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/wire.h"

static struct wire_gzip *gzip;

/* Compares what `gzip -d` makes of member with content. */
static bool
gzip_reads(struct bytes member, struct bytes content)
{
    char path[] = "/tmp/augury-test-gzip-XXXXXX";
    char command[128];
    int fd = mkstemp(path);
    bool is_same = fd >= 0 && write(fd, member.data, member.len) == (ssize_t)member.len;

    close(fd);
    snprintf(command, sizeof(command), "gzip -dc < %s", path);
    FILE *pipe = popen(command, "r");
    for (size_t i = 0; is_same && i < content.len; i++) {
        is_same = fgetc(pipe) == content.data[i];
    }
    is_same = is_same && fgetc(pipe) == EOF;
    is_same = pclose(pipe) == 0 && is_same;
    unlink(path);
    return is_same;
}

static void
gzip_reads_what_is_written(void)
{
    static uint8_t content[300000];
    static const size_t lens[] = {0, 1, 13, 1024, 65536, sizeof(content)};
    struct buf buf;

    for (size_t i = 0; i < sizeof(content); i++) {
        static const char text[] = "{\"prediction\":0.";
        content[i] = (uint8_t)(i % 16 == 15 ? '0' + i * 7919 % 10 : (size_t)text[i % 16]);
    }
    buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < AUGURY_COUNT(lens); i++) {
        buf_reset(&buf);
        CHECK_INT(wire_gzip_put(gzip, WIRE_EFFORT_USUAL, bytes_of(content, lens[i]), &buf), 0);
        CHECK(gzip_reads(buf_view(&buf), bytes_of(content, lens[i])));
        CHECK(lens[i] < 1024 || buf.len < lens[i] / 4);
        size_t usual = buf.len;
        buf_reset(&buf);
        CHECK_INT(wire_gzip_put(gzip, WIRE_EFFORT_LITTLE, bytes_of(content, lens[i]), &buf), 0);
        CHECK(gzip_reads(buf_view(&buf), bytes_of(content, lens[i])));
        CHECK(lens[i] < 65536 || (buf.len > usual && buf.len < lens[i] / 2));
    }
    buf_fini(&buf);
}

static void
the_same_content_gives_the_same_bytes(void)
{
    struct bytes content = bytes_of_text("{\"model\":\"a\",\"model\":\"a\",\"model\":\"a\"}");
    struct buf first, second;

    buf_init(&first, 4096);
    buf_init(&second, 4096);
    CHECK_INT(wire_gzip_put(gzip, WIRE_EFFORT_USUAL, content, &first), 0);
    CHECK_INT(wire_gzip_put(gzip, WIRE_EFFORT_USUAL, bytes_of_text("something else"), &second), 0);
    buf_reset(&second);
    CHECK_INT(wire_gzip_put(gzip, WIRE_EFFORT_USUAL, content, &second), 0);
    CHECK(bytes_equal(buf_view(&first), buf_view(&second)));
    buf_fini(&first);
    buf_fini(&second);
}

static void
a_buffer_that_is_too_small_is_a_limit(void)
{
    uint8_t content[1000] = {0};
    struct buf buf;

    buf_init(&buf, 100);
    CHECK_INT(wire_gzip_put(gzip, WIRE_EFFORT_USUAL, bytes_of(content, sizeof(content)), &buf),
              AUGURY_ERR_LIMIT);
    buf_fini(&buf);
}

int
main(void)
{
    if (wire_gzip_new(&gzip) != 0) {
        printf("Bail out! no compressor\n");
        return 1;
    }
    TAP_RUN(gzip_reads_what_is_written);
    TAP_RUN(the_same_content_gives_the_same_bytes);
    TAP_RUN(a_buffer_that_is_too_small_is_a_limit);
    wire_gzip_free(&gzip);
    return tap_done();
}
