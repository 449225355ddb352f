/* SPDX-License-Identifier: MIT */
/* test_rows_msgpack.c - rows as MessagePack; the bytes are those of the specification's tables.
 * What another codec writes is read in tests/blackbox/24_many_rows.py. */
#include "rows_text_of.h"

#include <stdlib.h>

#include "../../tap.h"

static const struct rows_options msgpack = {.format = ROWS_MSGPACK};

static struct err err;
static struct buf text;

static int
read_bytes(const char *bytes, size_t len)
{
    buf_fini(&text);
    buf_init(&text, 1 << 20);
    int rc = rows_text_of(bytes_of(bytes, len), &msgpack, &text, &err);
    buf_put_u8(&text, 0);
    return rc;
}

#define READ(literal) read_bytes(literal, sizeof(literal) - 1)
#define TEXT ((const char *)text.data)

static void
rows_and_arrays_of_rows_may_follow_each_other(void)
{
    /* [1, 2], [[3, 4], [5]], {"a": 6}, [{"b": 7}], [], [[]] */
    CHECK_INT(READ("\x92\x01\x02"
                   "\x92\x92\x03\x04\x91\x05"
                   "\x81\xa1"
                   "a\x06"
                   "\x91\x81\xa1"
                   "b\x07"
                   "\x90"
                   "\x91\x90"),
              AUGURY_END);
    CHECK_TEXT(TEXT, "1:0=1|1=2|\n2:0=3|1=4|\n3:0=5|\n4:a 0=6|\n5:b 0=7|\n6:\n");
}

static void
every_kind_of_scalar_is_read(void)
{
    CHECK_INT(READ("\xdc\x00\x10"
                   "\x7f\xe0\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff"
                   "\xcf\x80\x00\x00\x00\x00\x00\x00\x00"
                   "\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00"
                   "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"
                   "\xca\x3f\x80\x00\x00\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"
                   "\xc0\xc2\xc3\xa2hi"),
              AUGURY_END);
    CHECK_TEXT(TEXT, "1:0=127|1=-32|2=255|3=65535|4=4294967295|5=9223372036854775808|6=-128|"
                     "7=-32768|8=-2147483648|9=-9223372036854775808|10=1.0|11=0.1|12=null|13=false|"
                     "14=true|15=\"hi\"|\n");
    CHECK_INT(READ("\x93\xd9\x02hi\xda\x00\x02hi\xdb\x00\x00\x00\x02hi"), AUGURY_END);
    CHECK_TEXT(TEXT, "1:0=\"hi\"|1=\"hi\"|2=\"hi\"|\n");
}

static void
what_no_feature_is_keeps_its_place(void)
{
    /* bin, ext, fixext, an array and a map beside numbers */
    CHECK_INT(READ("\x97\x01\xc4\x01x\xc7\x02\x05xy\xd4\x05x\x92\x01\x02\x81\xa1k\x01\x02"),
              AUGURY_END);
    CHECK_TEXT(TEXT,
               "1:0=1|1=binary data|2=binary data|3=binary data|4=an array|5=an object|6=2|\n");
}

static void
what_is_no_row_is_refused_with_its_number(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *at;
    } wrong[] = {
        {"\x01", 1, "mem, row 1"},
        {"\x91\x01\xa1x", 4, "mem, row 2"},
        {"\xc1", 1, "mem, row 1"},
        {"\x91\xc1", 2, "mem, row 1"},
        {"\x91\x91\x01\x05", 4, "mem, row 2"},
        {"\x92\x91\x01\x05", 4, "mem, row 2"},
        {"\x81\x01\x01", 3, "mem, row 1, column 1"},
        {"\x81\xa1\xff\x01", 4, "mem, row 1, column 1"},
        {"\x92\x01\xa1\xff", 4, "mem, row 1, column 2"},
        {"\x92\x01", 2, "mem, row 1"},
        {"\x92\x91\x01", 3, "mem, row 2"},
        {"\xdd\xff\xff\xff\xff", 5, "mem, row 1"},
        {"\xdd\xff\xff\xff\xff\x91\x01", 7, "mem, row 2"},
        {"\xdf\xff\xff\xff\xff\xa1k", 7, "mem, row 1"},
        {"\x91\xdb\xff\xff\xff\xff", 6, "mem, row 1"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        CHECK_INT(read_bytes(wrong[i].bytes, wrong[i].len), AUGURY_ERR_INVALID);
        CHECK_TEXT(err.code, "invalid_rows");
        CHECK_TEXT(err.at, wrong[i].at);
    }
}

static void
nesting_of_any_depth_is_measured_without_recursion(void)
{
    enum { DEPTH = 1 << 20 };
    char *bytes = malloc(DEPTH + 2);

    CHECK(bytes != NULL);
    memset(bytes, '\x91', DEPTH);
    bytes[0] = '\x92';
    bytes[1] = '\x05'; /* no array of rows */
    bytes[DEPTH] = '\x07';
    CHECK_INT(read_bytes(bytes, DEPTH + 1), AUGURY_END);
    CHECK_TEXT(TEXT, "1:0=5|1=an array|\n");
    free(bytes);
}

static void
blocks_hold_the_same_rows(void)
{
    struct buf bytes;
    struct buf blocks;

    buf_init(&bytes, 1 << 20);
    for (unsigned i = 0; i < 300; i++) {
        if (i % 50 == 0) {
            buf_put(&bytes, "\xdc\x00\x1e", 3); /* 30 rows of 50 stand in an array */
        }
        buf_put_u8(&bytes, 0x92);
        buf_put_u8(&bytes, (uint8_t)(i % 128));
        buf_put(&bytes, "\xa3xyz", 4);
    }
    CHECK_INT(read_bytes((const char *)bytes.data, bytes.len), AUGURY_END);
    text.len--;
    for (size_t target = 1; target < 5000; target = target * 3 + 1) {
        buf_init(&blocks, 1 << 20);
        CHECK_INT(rows_text_of_blocks(buf_view(&bytes), &msgpack, target, &blocks, &err),
                  AUGURY_END);
        CHECK(bytes_equal(buf_view(&blocks), buf_view(&text)));
        buf_fini(&blocks);
    }
    buf_put_u8(&bytes, 0x01);
    buf_init(&blocks, 1 << 20);
    CHECK_INT(rows_text_of_blocks(buf_view(&bytes), &msgpack, 1000, &blocks, &err),
              AUGURY_ERR_INVALID);
    CHECK_TEXT(err.at, "mem, row 301");
    CHECK(bytes_equal(buf_view(&blocks), buf_view(&text)));
    buf_fini(&blocks);
    buf_fini(&bytes);
}

int
main(void)
{
    buf_init(&text, 1 << 20);
    TAP_RUN(rows_and_arrays_of_rows_may_follow_each_other);
    TAP_RUN(every_kind_of_scalar_is_read);
    TAP_RUN(what_no_feature_is_keeps_its_place);
    TAP_RUN(what_is_no_row_is_refused_with_its_number);
    TAP_RUN(nesting_of_any_depth_is_measured_without_recursion);
    TAP_RUN(blocks_hold_the_same_rows);
    buf_fini(&text);
    return tap_done();
}
