/* SPDX-License-Identifier: MIT */
/* test_buf.c - growable buffers with a maximum and a sticky code. */
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../tap.h"
#include "augury/base.h"

static void
puts_follow_each_other(void)
{
    struct buf buf;
    buf_init(&buf, 4096);
    buf_put_text(&buf, "down=");
    buf_put_u64(&buf, 3);
    buf_put_u8(&buf, '\n');
    buf_put(&buf, "ab", 2);
    buf_put_bytes(&buf, bytes_of_text("cd"));
    buf_put(&buf, NULL, 0);
    buf_printf(&buf, "%d/%s", 7, "x");
    bool is_right = bytes_equal_text(buf_view(&buf), "down=3\nabcd7/x");
    int rc = buf_finish(&buf);
    buf_fini(&buf);
    CHECK_INT(rc, 0);
    CHECK(is_right);
}

static void
a_full_buffer_keeps_its_code_and_its_content(void)
{
    struct buf buf;
    buf_init(&buf, 8);
    buf_put_text(&buf, "12345678");
    CHECK_INT(buf_finish(&buf), 0);
    buf_put_u8(&buf, '9');
    int first = buf_finish(&buf);
    buf_put(&buf, "", 0);
    buf_put_text(&buf, "x");
    void *room = buf_reserve(&buf, 1);
    int later = buf_finish(&buf);
    bool is_kept = bytes_equal_text(buf_view(&buf), "12345678");
    buf_reset(&buf);
    buf_put_text(&buf, "again");
    int after_reset = buf_finish(&buf);
    buf_fini(&buf);
    CHECK_INT(first, AUGURY_ERR_LIMIT);
    CHECK_INT(later, AUGURY_ERR_LIMIT);
    CHECK(room == NULL);
    CHECK(is_kept);
    CHECK_INT(after_reset, 0);
}

static void
a_length_near_the_end_of_the_address_space_is_refused(void)
{
    struct buf buf;
    buf_init(&buf, 1000);
    buf_put_text(&buf, "abc");
    void *room = buf_reserve(&buf, SIZE_MAX - 1);
    int rc = buf_finish(&buf);
    buf_fini(&buf);
    CHECK(room == NULL);
    CHECK_INT(rc, AUGURY_ERR_LIMIT);
}

static void
growth_never_passes_the_maximum(void)
{
    struct buf buf;
    size_t worst = 0;
    buf_init(&buf, 1000);
    for (int i = 0; i < 1000; i++) {
        buf_put_u8(&buf, (uint8_t)i);
        worst = buf.cap > worst ? buf.cap : worst;
    }
    int rc = buf_finish(&buf);
    bool is_right = buf.data[999] == (uint8_t)999 && buf.data[256] == 0;
    buf_fini(&buf);
    CHECK_INT(rc, 0);
    CHECK_INT(worst, 1000);
    CHECK(is_right);
}

static void
decimals_are_those_of_libc(void)
{
    static const uint64_t values[] = {0, 1, 9, 10, 99, 100, 1234567890123456789u, UINT64_MAX};
    for (size_t i = 0; i < AUGURY_COUNT(values); i++) {
        char want[32];
        struct buf buf;
        buf_init(&buf, 64);
        buf_put_u64(&buf, values[i]);
        snprintf(want, sizeof(want), "%" PRIu64, values[i]);
        bool is_right = bytes_equal_text(buf_view(&buf), want);
        buf_fini(&buf);
        CHECK(is_right);
    }
}

static void
long_formatted_text_arrives_whole(void)
{
    static char long_text[3000];
    memset(long_text, 'y', sizeof(long_text) - 1);
    for (size_t len = 505; len < 520; len++) {
        struct buf buf;
        buf_init(&buf, 5000);
        buf_printf(&buf, "%.*s|", (int)len, long_text);
        bool is_right = buf.len == len + 1 && buf.data[len] == '|' && buf.data[len - 1] == 'y';
        buf_fini(&buf);
        CHECK(is_right);
    }
}

static void
reserved_room_counts_only_when_committed(void)
{
    struct buf buf;
    buf_init(&buf, 4096);
    uint8_t *room = buf_reserve(&buf, 100);
    memcpy(room, "abcdef", 6);
    size_t before = buf.len;
    buf_commit(&buf, 4);
    bool is_right = bytes_equal_text(buf_view(&buf), "abcd");
    buf_consume(&buf, 3);
    bool is_rest = bytes_equal_text(buf_view(&buf), "d");
    buf_consume(&buf, 1);
    size_t after = buf.len;
    buf_fini(&buf);
    CHECK_INT(before, 0);
    CHECK(is_right);
    CHECK(is_rest);
    CHECK_INT(after, 0);
}

int
main(void)
{
    TAP_RUN(puts_follow_each_other);
    TAP_RUN(a_full_buffer_keeps_its_code_and_its_content);
    TAP_RUN(a_length_near_the_end_of_the_address_space_is_refused);
    TAP_RUN(growth_never_passes_the_maximum);
    TAP_RUN(decimals_are_those_of_libc);
    TAP_RUN(long_formatted_text_arrives_whole);
    TAP_RUN(reserved_room_counts_only_when_committed);
    return tap_done();
}
