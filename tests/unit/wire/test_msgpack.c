/* SPDX-License-Identifier: MIT */
/* test_msgpack.c - MessagePack bytes to trees; the bytes are those of the specification
 * (msgpack.org). */
#include "augury/wire.h"

#include "../../tap.h"

#define FIXTURE_FORMAT WIRE_MSGPACK
#include "fixture.h"

static void
decode(struct fixture *fix, const char *data, size_t len)
{
    decode_with(fix, bytes_of(data, len), &(struct wire_limits){.depth = 32, .values = 1000});
}

#define DECODE(fix, literal) decode((fix), (literal), sizeof(literal) - 1)

static void
every_scalar_has_its_type(void)
{
    struct fixture fix;

    DECODE(&fix, "\xdc\x00\x10\xc0\xc2\xc3\x7f\xff\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff"
                 "\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00"
                 "\xd3\x80\x00\x00\x00\x00\x00\x00\x00\xca\x3f\x00\x00\x00"
                 "\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xa2hi");
    CHECK_INT(fix.rc, 0);
    CHECK_INT(fix.root.count, 16);
    const struct wire_value *items = fix.root.as.items;
    CHECK_INT(items[0].type, WIRE_NULL);
    CHECK(items[1].type == WIRE_BOOL && !items[1].as.boolean);
    CHECK(items[2].type == WIRE_BOOL && items[2].as.boolean);
    CHECK_INT(items[3].as.integer, 127);
    CHECK_INT(items[4].as.integer, -1);
    CHECK_INT(items[5].as.integer, 255);
    CHECK_INT(items[6].as.integer, 65535);
    CHECK_INT(items[7].as.integer, UINT32_MAX);
    CHECK(items[8].type == WIRE_UINT && items[8].as.uinteger == UINT64_MAX);
    CHECK_INT(items[9].as.integer, INT8_MIN);
    CHECK_INT(items[10].as.integer, INT16_MIN);
    CHECK_INT(items[11].as.integer, INT32_MIN);
    CHECK_INT(items[12].as.integer, INT64_MIN);
    CHECK(items[13].type == WIRE_REAL && items[13].as.real == 0.5);
    CHECK(items[14].type == WIRE_REAL && items[14].as.real == 0.1);
    CHECK(bytes_equal_text(wire_string(&items[15]), "hi"));
    fini(&fix);
}

static void
texts_and_bytes_of_every_length_form_are_read(void)
{
    struct fixture fix;

    DECODE(&fix, "\x96\xa0\xd9\x01x\xda\x00\x01y\xdb\x00\x00\x00\x01z\xc4\x02\xff\x00\xc4\x00");
    CHECK_INT(fix.rc, 0);
    CHECK(fix.root.as.items[0].type == WIRE_STRING && fix.root.as.items[0].count == 0);
    CHECK(bytes_equal_text(wire_string(&fix.root.as.items[1]), "x"));
    CHECK(bytes_equal_text(wire_string(&fix.root.as.items[2]), "y"));
    CHECK(bytes_equal_text(wire_string(&fix.root.as.items[3]), "z"));
    CHECK_INT(fix.root.as.items[4].type, WIRE_BINARY);
    CHECK(bytes_equal(wire_string(&fix.root.as.items[4]), bytes_of("\xff\0", 2)));
    CHECK(fix.root.as.items[5].type == WIRE_BINARY && fix.root.as.items[5].count == 0);
    fini(&fix);
}

static void
maps_nest(void)
{
    struct fixture fix;
    int64_t integer = 0;

    DECODE(&fix, "\x82\xa1"
                 "a\x81\xa1"
                 "b\x93\x01\x02\x80\xa1"
                 "c\x90");
    CHECK_INT(fix.rc, 0);
    const struct wire_value *b = wire_member(wire_member(&fix.root, "a"), "b");
    CHECK_INT(wire_array_len(b), 3);
    CHECK_INT(wire_array_i64(b, 1, &integer), 0);
    CHECK_INT(integer, 2);
    CHECK(b->as.items[2].type == WIRE_OBJECT && b->as.items[2].count == 0);
    CHECK_INT(wire_array_len(wire_member(&fix.root, "c")), 0);
    fini(&fix);
}

static void
a_tree_outlives_its_input_unless_it_borrows(void)
{
    char input[] = "\x92\xa3"
                   "abc\xa3xyz";
    struct wire_limits borrow = {.depth = 4, .values = 10, .flags = WIRE_BORROW};
    struct fixture fix;

    decode(&fix, input, sizeof(input) - 1);
    memset(input + 2, '?', 3);
    CHECK(bytes_equal_text(wire_string(&fix.root.as.items[0]), "abc"));
    fini(&fix);
    decode_with(&fix, bytes_of(input, sizeof(input) - 1), &borrow);
    CHECK(wire_string(&fix.root.as.items[1]).data == (const uint8_t *)input + 6);
    fini(&fix);
}

static void
what_augury_does_not_read_is_refused_in_words(void)
{
    static const struct {
        const char *data;
        size_t len;
        const char *at, *words;
    } cases[] = {
        {"", 0, "byte 0", "empty"},
        {"\xc1", 1, "byte 0", "0xc1"},
        {"\x91", 1, "byte 0", "more items"},
        {"\x92\xcd\x01", 3, "byte 3", "in the middle"},
        {"\xcb\x00\x00", 3, "byte 3", "in the middle"},
        {"\xa5hi", 3, "byte 3", "in the middle"},
        {"\x01\x02", 2, "byte 1", "1 bytes follow"},
        {"\xa2\xc0\xaf", 3, "byte 1", "UTF-8"},
        {"\x81\x01\x02", 3, "byte 2", "no str"},
        {"\x81\xc4\x01x\x02", 5, "byte 4", "no str"},
        {"\x82\xa1x\x01\xa1x\x02", 7, "byte 6", "\"x\""},
        {"\xd6\xff\x00\x00\x00\x00", 6, "byte 1", "timestamps"},
        {"\xd4\x05\x00", 3, "byte 1", "extension"},
        {"\xdd\xff\xff\xff\xff", 5, "byte 4", "more items"},
        {"\xdf\xff\xff\xff\xff", 5, "byte 4", "more items"},
        {"\xdf\x00\x00\x00\x02\xa1k\x02", 8, "byte 8", "in the middle"},
        {"\x92\xdc\x00\x04\x01\x02", 6, "byte 3", "more items"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture fix;
        decode(&fix, cases[i].data, cases[i].len);
        printf("# %s: %s\n", fix.err.at, fix.err.reason);
        CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
        CHECK_TEXT(fix.err.code, "invalid_msgpack");
        CHECK_CONTAINS(fix.err.reason, cases[i].words);
        CHECK_TEXT(fix.err.at, cases[i].at);
        fini(&fix);
    }
}

static void
nesting_and_values_end_at_the_limit(void)
{
    char deep[100];
    struct fixture fix;

    memset(deep, '\x91', sizeof(deep));
    deep[32] = '\x05';
    decode(&fix, deep, 33);
    CHECK_INT(fix.rc, 0);
    fini(&fix);
    deep[32] = '\x90';
    decode(&fix, deep, 33);
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.code, "too_deep");
    fini(&fix);
    decode_with(&fix, bytes_of(deep, sizeof(deep)),
                &(struct wire_limits){.depth = 90, .values = 1000});
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    fini(&fix);
    decode_with(&fix, bytes_of("\x93\x01\x02\x03", 4),
                &(struct wire_limits){.depth = 2, .values = 3});
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.code, "too_many_values");
    fini(&fix);
}

static void
closed_containers_do_not_count_as_depth(void)
{
    struct fixture fix;

    decode_with(&fix, bytes_of("\x94\x91\x01\x80\x81\xa1x\x02\x91\x90", 10),
                &(struct wire_limits){.depth = 3, .values = 100});
    CHECK_INT(fix.rc, 0);
    fini(&fix);
    decode_with(&fix, bytes_of("\x94\x91\x01\x80\x81\xa1x\x02\x91\x90", 10),
                &(struct wire_limits){.depth = 2, .values = 100});
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    fini(&fix);
}

static void
an_answer_is_written_in_the_shortest_forms(void)
{
    static const uint8_t want[] =
        "\x83\xa1"
        "a\x93\x05\xd1\xff\x38\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1"
        "b\xca\x3f\x00\x00\x00\xa1"
        "c\x94\xc0\xc3\xa4x\xef\xbf\xbd\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a";
    struct wire_writer writer;
    struct buf buf;

    buf_init(&buf, 4096);
    wire_writer_init(&writer, WIRE_MSGPACK, &buf);
    wire_object(&writer, 3);
    wire_key(&writer, "a");
    wire_array(&writer, 3);
    wire_put_i64(&writer, 5);
    wire_put_i64(&writer, -200);
    wire_put_u64(&writer, UINT64_MAX);
    wire_end(&writer);
    wire_key(&writer, "b");
    wire_put_f32(&writer, 0.5F);
    wire_key(&writer, "c");
    wire_array(&writer, 4);
    wire_put_f64(&writer, NAN);
    wire_put_bool(&writer, true);
    wire_put_string(&writer, bytes_of("x\xff", 2));
    wire_put_f64(&writer, 0.1);
    wire_end(&writer);
    wire_end(&writer);
    CHECK_INT(buf.len, sizeof(want) - 1);
    CHECK(memcmp(buf.data, want, sizeof(want) - 1) == 0);
    buf_fini(&buf);
}

static void
a_document_that_is_long_notices_that_its_time_is_over(void)
{
    enum { ITEMS = 20000 };
    struct wire_limits limits = {.depth = 32, .values = 100000, .deadline_mono_ns = 1};
    struct fixture fix;
    static uint8_t data[ITEMS * 2 + 3] = {0xdc, ITEMS >> 8, ITEMS & 255};

    for (size_t i = 0; i < ITEMS; i++) {
        data[3 + 2 * i] = 0x91;
        data[4 + 2 * i] = 1;
    }
    struct bytes all = bytes_of(data, sizeof(data));
    struct bytes few = bytes_of("\x92\x91\x01\x91\x01", 5);

    decode_with(&fix, all, &limits);
    CHECK_INT(fix.rc, AUGURY_ERR_TIMEOUT);
    CHECK_TEXT(fix.err.code, "timeout");
    CHECK_CONTAINS(fix.err.reason, "was decoded");
    fini(&fix);
    decode_with(&fix, few, &limits); /* nobody looks at the clock for so little */
    CHECK_INT(fix.rc, 0);
    fini(&fix);
    limits.deadline_mono_ns = clock_mono_ns() + UINT64_C(3600000000000);
    decode_with(&fix, all, &limits);
    CHECK_INT(fix.rc, 0);
    CHECK_INT(wire_array_len(&fix.root), ITEMS);
    fini(&fix);
}

int
main(void)
{
    TAP_RUN(every_scalar_has_its_type);
    TAP_RUN(texts_and_bytes_of_every_length_form_are_read);
    TAP_RUN(maps_nest);
    TAP_RUN(a_tree_outlives_its_input_unless_it_borrows);
    TAP_RUN(what_augury_does_not_read_is_refused_in_words);
    TAP_RUN(nesting_and_values_end_at_the_limit);
    TAP_RUN(closed_containers_do_not_count_as_depth);
    TAP_RUN(an_answer_is_written_in_the_shortest_forms);
    TAP_RUN(a_document_that_is_long_notices_that_its_time_is_over);
    return tap_done();
}
