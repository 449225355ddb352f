/* SPDX-License-Identifier: MIT */
/* test_inflate.c - what the program gzip and Python's zlib compress is read back, within bounds;
 * what is damaged, cut off or goes on is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tap.h"
#include "augury/wire.h"

#define TEXT "{\"features\":{\"down\":3,\"ydstogo\":7}}"

/* Of Python's zlib.compress(TEXT, 9), zlib.compress(TEXT, 0), and the first without its frame. */
static const char zlib_9[] =
    "\x78\xda\xab\x56\x4a\x4b\x4d\x2c\x29\x2d\x4a\x2d\x56\xb2\xaa\x56\x4a\xc9"
    "\x2f\xcf\x53\xb2\x32\xd6\x51\xaa\x4c\x29\x2e\xc9\x4f\xcf\x57\xb2\x32\xaf"
    "\xad\x05\x00\xdc\xeb\x0c\x21";
static const char zlib_0[] =
    "\x78\x01\x01\x23\x00\xdc\xff\x7b\x22\x66\x65\x61\x74\x75\x72\x65\x73\x22"
    "\x3a\x7b\x22\x64\x6f\x77\x6e\x22\x3a\x33\x2c\x22\x79\x64\x73\x74\x6f\x67"
    "\x6f\x22\x3a\x37\x7d\x7d\xdc\xeb\x0c\x21";
static const char raw_9[] =
    "\xab\x56\x4a\x4b\x4d\x2c\x29\x2d\x4a\x2d\x56\xb2\xaa\x56\x4a\xc9\x2f\xcf"
    "\x53\xb2\x32\xd6\x51\xaa\x4c\x29\x2e\xc9\x4f\xcf\x57\xb2\x32\xaf\xad\x05"
    "\x00";

#define LITERAL(bytes) bytes_of(bytes, sizeof(bytes) - 1)

static struct wire_inflater *inflater;
static struct buf out;

/* As `gzip -N` writes it. */
static struct bytes
gzip_of(const char *flags, struct bytes content, uint8_t *room, size_t room_bytes)
{
    char path[] = "/tmp/augury-test-inflate-XXXXXX";
    char command[128];
    int fd = mkstemp(path);
    size_t len = 0;

    if (fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len) {
        snprintf(command, sizeof(command), "gzip %s -c < %s", flags, path);
        FILE *pipe = popen(command, "r");
        len = fread(room, 1, room_bytes, pipe);
        pclose(pipe);
    }
    close(fd);
    unlink(path);
    return bytes_of(room, len);
}

static int
inflate(enum wire_coding coding, struct bytes input, size_t max)
{
    buf_fini(&out);
    buf_init(&out, max);
    return wire_inflate(inflater, coding, input, &out);
}

static void
zlib_streams_are_read(void)
{
    CHECK_INT(inflate(WIRE_ZLIB, LITERAL(zlib_9), 1000), 0);
    CHECK(bytes_equal_text(buf_view(&out), TEXT));
    CHECK_INT(inflate(WIRE_ZLIB, LITERAL(zlib_0), strlen(TEXT)), 0);
    CHECK(bytes_equal_text(buf_view(&out), TEXT));
}

static void
what_gzip_writes_is_read(void)
{
    static uint8_t content[1 << 20], room[2 << 20];
    static const size_t lens[] = {0, 1, 1000, 5000, 300000, sizeof(content)};

    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (uint8_t)(i < 4096 ? 'a' : (i * 2654435761U) >> 17);
    }
    for (size_t i = 0; i < 2 * AUGURY_COUNT(lens); i++) {
        struct bytes text = bytes_of(content, lens[i / 2]);
        struct bytes coded = gzip_of(i % 2 == 0 ? "-1" : "-9", text, room, sizeof(room));
        CHECK(coded.len > 0);
        CHECK_INT(inflate(WIRE_GZIP, coded, text.len), 0);
        CHECK(bytes_equal(buf_view(&out), text));
        CHECK(out.cap <= text.len);
    }
}

static void
several_members_are_one_content(void)
{
    static uint8_t room[1000];
    struct bytes one = gzip_of("-9", bytes_of_text("one "), room, 500);
    struct bytes two = gzip_of("-9", bytes_of_text("and two"), room + one.len, 500);

    CHECK(two.len > 0);
    CHECK_INT(inflate(WIRE_GZIP, bytes_of(room, one.len + two.len), 100), 0);
    CHECK(bytes_equal_text(buf_view(&out), "one and two"));
    CHECK_INT(inflate(WIRE_GZIP, bytes_of(room, one.len + two.len), 10), AUGURY_ERR_LIMIT);
    CHECK_INT(inflate(WIRE_GZIP, bytes_of(room, one.len + two.len - 1), 100), AUGURY_ERR_INVALID);
    CHECK_INT(inflate(WIRE_GZIP, bytes_of(room, one.len + 4), 100), AUGURY_ERR_INVALID);
}

/* 64 MiB of zeros are 64 KiB as gzip. */
static void
a_bomb_takes_no_more_than_the_bound(void)
{
    static uint8_t room[128 << 10];
    size_t bytes = 64 << 20;
    uint8_t *zeros = calloc(1, bytes);
    struct bytes bomb = gzip_of("-9", bytes_of(zeros, bytes), room, sizeof(room));

    free(zeros);
    CHECK(bomb.len > 60000 && bomb.len < sizeof(room));
    CHECK_INT(inflate(WIRE_GZIP, bomb, 1 << 20), AUGURY_ERR_LIMIT);
    CHECK(out.cap <= 1 << 20);
    CHECK_INT(inflate(WIRE_GZIP, bomb, bytes - 1), AUGURY_ERR_LIMIT);
    CHECK_INT(inflate(WIRE_GZIP, bomb, bytes), 0);
    CHECK_INT(out.len, bytes);
}

static void
what_is_not_whole_is_refused(void)
{
    static uint8_t room[1000];
    struct bytes member = gzip_of("-9", bytes_of_text(TEXT), room, sizeof(room));
    struct bytes stream = LITERAL(zlib_9);

    for (size_t len = 0; len < member.len; len++) {
        CHECK_INT(inflate(WIRE_GZIP, bytes_of(member.data, len), 1000), AUGURY_ERR_INVALID);
    }
    for (size_t len = 0; len < stream.len; len++) {
        CHECK_INT(inflate(WIRE_ZLIB, bytes_of(stream.data, len), 1000), AUGURY_ERR_INVALID);
    }
    CHECK_INT(inflate(WIRE_ZLIB, bytes_of(zlib_9, sizeof(zlib_9)), 1000), AUGURY_ERR_INVALID);
    CHECK_INT(inflate(WIRE_ZLIB, LITERAL(raw_9), 1000), AUGURY_ERR_INVALID);
    CHECK_INT(inflate(WIRE_ZLIB, member, 1000), AUGURY_ERR_INVALID);
    CHECK_INT(inflate(WIRE_GZIP, stream, 1000), AUGURY_ERR_INVALID);
}

/* Each bit turned: refused, or, where a bit says nothing of the content (time, system, what fills
 * the last byte), the same content. */
static void
damage_is_noticed(void)
{
    static uint8_t room[1000];
    struct bytes member = gzip_of("-9n", bytes_of_text(TEXT), room, sizeof(room));
    unsigned refused = 0;

    for (size_t bit = 0; bit < 8 * member.len; bit++) {
        room[bit / 8] ^= (uint8_t)(1U << bit % 8);
        int rc = inflate(WIRE_GZIP, member, 1000);
        CHECK(rc == AUGURY_ERR_INVALID || (rc == 0 && bytes_equal_text(buf_view(&out), TEXT)));
        refused += rc != 0 ? 1 : 0;
        room[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    CHECK(refused > 8 * (member.len - 11));
}

int
main(void)
{
    buf_init(&out, 0);
    if (wire_inflater_new(&inflater) != 0) {
        printf("Bail out! no decompressor\n");
        return 1;
    }
    TAP_RUN(zlib_streams_are_read);
    TAP_RUN(what_gzip_writes_is_read);
    TAP_RUN(several_members_are_one_content);
    TAP_RUN(a_bomb_takes_no_more_than_the_bound);
    TAP_RUN(what_is_not_whole_is_refused);
    TAP_RUN(damage_is_noticed);
    wire_inflater_free(&inflater);
    buf_fini(&out);
    return tap_done();
}
