/* SPDX-License-Identifier: MIT */
/* test_ubjson.c - UBJSON bytes to trees: the forms of ubjson.org draft 12, and those that XGBoost
 * writes. */
#include "augury/wire.h"

#include "../../tap.h"

#define FIXTURE_FORMAT WIRE_UBJSON
#include "fixture.h"

static void
decode(struct fixture *fix, const char *data, size_t len)
{
    decode_with(fix, bytes_of(data, len), &(struct wire_limits){.depth = 8, .values = 1000});
}

#define DECODE(fix, literal) decode((fix), (literal), sizeof(literal) - 1)
#define BYTES(literal)                                                                             \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static void
the_form_of_xgboost_is_read(void)
{
    struct fixture fix;
    float single = 0;
    int64_t integer = 0;

    /* learner: {s: ["abc", true], f: [0.5, -inf], w: [-1, 65536]} */
    DECODE(&fix, "{L\0\0\0\0\0\0\0\007learner{"
                 "L\0\0\0\0\0\0\0\001s[#L\0\0\0\0\0\0\0\002SL\0\0\0\0\0\0\0\003abcT"
                 "L\0\0\0\0\0\0\0\001f[$d#L\0\0\0\0\0\0\0\002\x3f\0\0\0\xff\x80\0\0"
                 "L\0\0\0\0\0\0\0\001w[$l#L\0\0\0\0\0\0\0\002\xff\xff\xff\xff\0\001\0\0}}");
    CHECK_INT(fix.rc, 0);
    const struct wire_value *learner = wire_member(&fix.root, "learner");
    CHECK(bytes_equal_text(wire_string(&wire_member(learner, "s")->as.items[0]), "abc"));
    CHECK_INT(wire_array_i64(wire_member(learner, "s"), 1, &integer), 0);
    CHECK_INT(integer, 1);
    CHECK_INT(wire_member(learner, "f")->type, WIRE_TYPED);
    CHECK_INT(wire_array_f32(wire_member(learner, "f"), 0, &single), 0);
    CHECK(single == 0.5F);
    CHECK_INT(wire_array_f32(wire_member(learner, "f"), 1, &single), 0);
    CHECK(isinf(single));
    CHECK_INT(wire_array_i64(wire_member(learner, "w"), 0, &integer), 0);
    CHECK_INT(integer, -1);
    CHECK_INT(wire_array_i64(wire_member(learner, "w"), 1, &integer), 0);
    CHECK_INT(integer, 65536);
    CHECK_INT(wire_array_i64(wire_member(learner, "w"), 2, &integer), AUGURY_ERR_INVALID);
    fini(&fix);
}

static void
every_scalar_has_its_type(void)
{
    struct fixture fix;

    DECODE(&fix, "[ZTFi\x80U\xffI\x80\x00l\x80\x00\x00\x00L\x80\x00\x00\x00\x00\x00\x00\x00"
                 "d\x3f\x00\x00\x00"
                 "D\x3f\xb9\x99\x99\x99\x99\x99\x9a"
                 "CxHi\x03"
                 "1.5Si\x00]");
    CHECK_INT(fix.rc, 0);
    CHECK_INT(fix.root.count, 13);
    const struct wire_value *items = fix.root.as.items;
    CHECK_INT(items[0].type, WIRE_NULL);
    CHECK(items[1].as.boolean && !items[2].as.boolean);
    CHECK_INT(items[3].as.integer, -128);
    CHECK_INT(items[4].as.integer, 255);
    CHECK_INT(items[5].as.integer, INT16_MIN);
    CHECK_INT(items[6].as.integer, INT32_MIN);
    CHECK_INT(items[7].as.integer, INT64_MIN);
    CHECK(items[8].as.real == 0.5 && items[9].as.real == 0.1);
    CHECK(bytes_equal_text(wire_string(&items[10]), "x"));
    CHECK(bytes_equal_text(wire_string(&items[11]), "1.5"));
    CHECK(items[12].type == WIRE_STRING && items[12].count == 0);
    fini(&fix);
}

static void
containers_are_read_in_every_form(void)
{
    static const struct bytes forms[] = {
        BYTES("{i\x01"
              "a[i\x01i\x02]i\x01"
              "bT}"),
        BYTES("N{Ni\x01"
              "aN[Ni\x01NNi\x02N]Ni\x01"
              "bNTN}"),
        BYTES("{#i\x02i\x01"
              "a[#U\x02i\x01i\x02i\x01"
              "bT"),
        BYTES("{i\x01"
              "a[$i#I\x00\x02\x01\x02i\x01"
              "bT}"),
    };

    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        struct fixture fix;
        int64_t integer = 0;
        decode(&fix, (const char *)forms[i].data, forms[i].len);
        printf("# form %zu: %s %s\n", i, fix.err.at, fix.err.reason);
        CHECK_INT(fix.rc, 0);
        CHECK_INT(fix.root.count, 2);
        CHECK_INT(wire_array_len(wire_member(&fix.root, "a")), 2);
        CHECK_INT(wire_array_i64(wire_member(&fix.root, "a"), 1, &integer), 0);
        CHECK_INT(integer, 2);
        CHECK(wire_member(&fix.root, "b")->as.boolean);
        fini(&fix);
    }
}

static void
typed_containers_of_anything_are_read(void)
{
    struct fixture fix;
    int64_t integer = 0;

    DECODE(&fix, "[[$T#i\x03[$S#i\x02i\x01xi\x01y[$[#i\x02i\x01]$U#i\x01\x07{$I#i\x01i\x01k\x00\x09"
                 "{$Z#i\x01i\x01n]");
    CHECK_INT(fix.rc, 0);
    const struct wire_value *items = fix.root.as.items;
    CHECK_INT(fix.root.count, 5);
    CHECK(items[0].count == 3 && items[0].as.items[2].as.boolean);
    CHECK(bytes_equal_text(wire_string(&items[1].as.items[1]), "y"));
    CHECK_INT(items[2].as.items[1].type, WIRE_TYPED);
    CHECK_INT(wire_array_i64(&items[2].as.items[1], 0, &integer), 0);
    CHECK_INT(integer, 7);
    CHECK_INT(wire_member(&items[3], "k")->as.integer, 9);
    CHECK_INT(wire_member(&items[4], "n")->type, WIRE_NULL);
    fini(&fix);
}

static void
what_is_not_ubjson_is_refused_with_its_place(void)
{
    static const struct {
        const char *data;
        size_t len;
        const char *at, *words;
    } cases[] = {
        {"", 0, "byte 0", "in the middle"},
        {"?", 1, "byte 0", "0x3f"},
        {"[i\x01", 3, "byte 3", "in the middle"},
        {"l\0\0", 3, "byte 3", "in the middle"},
        {"ZZ", 2, "byte 1", "1 bytes follow"},
        {"Si\xff", 3, "byte 1", "negative"},
        {"SL\x7f\xff\xff\xff\xff\xff\xff\xff", 10, "byte 1", "beyond the end"},
        {"SZ", 2, "byte 1", "length"},
        {"Si\x02\xc0\xaf", 5, "byte 3", "UTF-8"},
        {"[#L\x00\xff\xff\xff\xff\xff\xff\xff", 11, "byte 2", "beyond the end"},
        {"[$d#l\x7f\xff\xff\xff", 9, "byte 4", "beyond the end"},
        {"{#i\x05i\x01", 6, "byte 2", "beyond the end"},
        {"[$i", 3, "byte 3", "no count"},
        {"[$N#i\x01", 6, "byte 2", "no type"},
        {"{i\x01xZi\x01xZ}", 10, "byte 0", "\"x\""},
        {"{Si\x01xZ}", 7, "byte 1", "length"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture fix;
        decode(&fix, cases[i].data, cases[i].len);
        printf("# %s: %s\n", fix.err.at, fix.err.reason);
        CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
        CHECK_TEXT(fix.err.code, "invalid_ubjson");
        CHECK_CONTAINS(fix.err.reason, cases[i].words);
        CHECK_TEXT(fix.err.at, cases[i].at);
        fini(&fix);
    }
}

static void
items_without_bytes_end_at_the_limit_of_values(void)
{
    struct fixture fix;

    DECODE(&fix, "[$T#l\x7f\xff\xff\xff");
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.code, "too_many_values");
    CHECK(fix.arena.used < 4096);
    fini(&fix);
}

static void
nesting_ends_at_the_limit(void)
{
    struct fixture fix;

    DECODE(&fix, "[[[[[[[[]]]]]]]]");
    CHECK_INT(fix.rc, 0);
    fini(&fix);
    DECODE(&fix, "[[[[[[[[[]]]]]]]]]");
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.code, "too_deep");
    CHECK_TEXT(fix.err.at, "byte 8");
    fini(&fix);
}

int
main(void)
{
    TAP_RUN(the_form_of_xgboost_is_read);
    TAP_RUN(every_scalar_has_its_type);
    TAP_RUN(containers_are_read_in_every_form);
    TAP_RUN(typed_containers_of_anything_are_read);
    TAP_RUN(what_is_not_ubjson_is_refused_with_its_place);
    TAP_RUN(items_without_bytes_end_at_the_limit_of_values);
    TAP_RUN(nesting_ends_at_the_limit);
    return tap_done();
}
