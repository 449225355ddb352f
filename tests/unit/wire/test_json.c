/* SPDX-License-Identifier: MIT */
/* test_json.c - JSON text to trees: RFC 8259, limits, and where errors are said to be. */
#include "augury/wire.h"

#include <stdlib.h>
#include <string.h>

#include "../../tap.h"

#define FIXTURE_FORMAT WIRE_JSON
#include "fixture.h"

static const struct wire_limits request_limits = {.depth = 32, .values = 100000};

static void
decode(struct fixture *fix, const char *text)
{
    decode_with(fix, bytes_of_text(text), &request_limits);
}

static void
a_request_becomes_a_tree(void)
{
    struct fixture fix;
    double number = 0;

    decode(&fix, " {\"features\": {\"down\": 3, \"gain\": -2.5, \"dome\": true, \"wind\": null}, "
                 "\"outputs\": [\"margin\"]}\n");
    CHECK_INT(fix.rc, 0);
    const struct wire_value *features = wire_member(&fix.root, "features");
    CHECK(features != NULL && features->type == WIRE_OBJECT);
    CHECK_INT(features->count, 4);
    CHECK_INT(wire_member(features, "down")->as.integer, 3);
    CHECK_INT(wire_to_f64(wire_member(features, "gain"), &number), 0);
    CHECK(number == -2.5);
    CHECK(wire_member(features, "dome")->as.boolean);
    CHECK_INT(wire_member(features, "wind")->type, WIRE_NULL);
    CHECK(wire_member(features, "dow") == NULL);
    CHECK(wire_member(features, "downs") == NULL);
    const struct wire_value *outputs = wire_member(&fix.root, "outputs");
    CHECK_INT(wire_array_len(outputs), 1);
    CHECK(bytes_equal_text(wire_string(&outputs->as.items[0]), "margin"));
    fini(&fix);
}

static void
integers_keep_all_their_bits(void)
{
    struct fixture fix;
    double number = 0;

    decode(&fix, "[9223372036854775807,9223372036854775808,18446744073709551615,"
                 "-9223372036854775808,18446744073709551616]");
    CHECK_INT(fix.rc, 0);
    CHECK(fix.root.as.items[0].type == WIRE_INT && fix.root.as.items[0].as.integer == INT64_MAX);
    CHECK(fix.root.as.items[1].type == WIRE_UINT);
    CHECK(fix.root.as.items[2].as.uinteger == UINT64_MAX);
    CHECK(fix.root.as.items[3].as.integer == INT64_MIN);
    CHECK(fix.root.as.items[4].type == WIRE_REAL);
    CHECK_INT(wire_to_f64(&fix.root.as.items[4], &number), 0);
    CHECK(number == 0x1p64);
    fini(&fix);
}

static void
what_is_not_json_is_refused_with_its_place(void)
{
    static const struct {
        const char *text, *at, *words;
    } cases[] = {
        {"", "byte 0", "empty"},
        {"{\"a\":1,}", "byte 6", "trailing comma"},
        {"{\"a\":1", "byte 6", "end of data"},
        {"[1 2]", "byte 3", "comma"},
        {"{a:1}", "byte 1", "string for object key"},
        {"[01]", "byte 1", "leading zero"},
        {"[NaN]", "byte 1", "write null"},
        {"[-Infinity]", "byte 2", ""},
        {"1 2", "byte 2", "after document"},
        {"{} x", "byte 3", "after document"},
        {"[\"\xc0\xaf\"]", "byte 2", "UTF-8"},
        {"[\"\xed\xa0\x80\"]", "byte 2", "UTF-8"},
        {"[\"\\ud800\"]", "byte 8", "surrogate"},
        {"\xef\xbb\xbf{}", "byte 0", "byte order mark"},
        {"['a']", "byte 1", "got '''"},
        {"[1e999]", "byte 1", "too large"},
        {"[\"a\nb\"]", "byte 3", "control character"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct fixture fix;
        decode(&fix, cases[i].text);
        printf("# %s: %s\n", fix.err.at, fix.err.reason);
        CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
        CHECK_TEXT(fix.err.code, "invalid_json");
        CHECK_CONTAINS(fix.err.reason, cases[i].words);
        CHECK_TEXT(fix.err.at, cases[i].at);
        fini(&fix);
    }
}

static void
a_key_twice_is_refused_with_its_place(void)
{
    struct fixture fix;

    decode(&fix, "{\"a\":1,\"b\":2,\"a\":3}");
    CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
    CHECK_TEXT(fix.err.at, "byte 13");
    CHECK_CONTAINS(fix.err.reason, "\"a\"");
    fini(&fix);
    decode(&fix, "{\"a\":1,\"\\u0061\":3}");
    CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
    CHECK_TEXT(fix.err.at, "byte 7");
    fini(&fix);
}

static void
a_key_twice_among_many_is_found(void)
{
    enum { KEYS = 100000 };
    struct buf text;
    struct fixture fix;

    for (int twice = 0; twice <= 1; twice++) {
        buf_init(&text, 8 << 20);
        buf_put_text(&text, "{");
        for (unsigned i = 0; i < KEYS; i++) {
            buf_printf(&text, "\"key%u\":%u,", i, i);
        }
        buf_put_text(&text, twice != 0 ? "\"key777\":0}" : "\"other\":0}");
        uint64_t start = clock_mono_ns();
        decode_with(&fix, buf_view(&text), &(struct wire_limits){.depth = 4, .values = KEYS + 2});
        uint64_t took = clock_mono_ns() - start;
        CHECK_INT(fix.rc, twice != 0 ? AUGURY_ERR_INVALID : 0);
        printf("# %d keys in %llu us\n", KEYS, (unsigned long long)took / 1000);
        CHECK(took < UINT64_C(2000000000));
        fini(&fix);
        buf_fini(&text);
    }
}

/* Keys whose hashes agree in their low bits, as a hostile client would choose them. */
static void
keys_made_to_collide_are_still_told_apart(void)
{
    enum { KEYS = 200, LOW_BITS = 0xfff };
    struct fixture fix;
    struct buf text;
    char key[24];

    for (int twice = 0; twice <= 1; twice++) {
        unsigned found = 0;
        buf_init(&text, 1 << 20);
        buf_put_text(&text, "{");
        for (unsigned i = 0; found < KEYS; i++) {
            snprintf(key, sizeof(key), "key%u", i);
            if ((hash64_of(bytes_of_text(key)) & LOW_BITS) == 5) {
                buf_printf(&text, "\"%s\":%u,", key, found++);
            }
        }
        buf_printf(&text, "\"%s\":0}", twice != 0 ? key : "other");
        decode_with(&fix, buf_view(&text), &(struct wire_limits){.depth = 4, .values = KEYS + 2});
        CHECK_INT(fix.rc, twice != 0 ? AUGURY_ERR_INVALID : 0);
        if (twice != 0) {
            CHECK_CONTAINS(fix.err.reason, key);
            CHECK_CONTAINS(fix.err.reason, "twice");
        }
        fini(&fix);
        buf_fini(&text);
    }
}

static void
nesting_ends_at_the_limit(void)
{
    struct wire_limits limits = {.depth = 3, .values = 100};
    struct fixture fix;

    decode_with(&fix, bytes_of_text("[[[1]]]"), &limits);
    CHECK_INT(fix.rc, 0);
    fini(&fix);
    decode_with(&fix, bytes_of_text("[[\"[[[\\\"[\",{\"a\":[]}]]"), &limits);
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.code, "too_deep");
    CHECK_TEXT(fix.err.at, "byte 16");
    fini(&fix);
}

static void
a_million_brackets_are_refused_in_a_moment(void)
{
    enum { BRACKETS = 1000000 };
    char *text = malloc(BRACKETS);
    struct fixture fix;

    memset(text, '[', BRACKETS);
    decode_with(&fix, bytes_of(text, BRACKETS), &request_limits);
    CHECK(fix.rc < 0);
    fini(&fix);
    memset(text + BRACKETS / 2, ']', BRACKETS / 2);
    decode_with(&fix, bytes_of(text, BRACKETS), &request_limits);
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.at, "byte 32");
    fini(&fix);
    free(text);
}

static void
values_and_memory_end_at_the_limit(void)
{
    struct wire_limits limits = {.depth = 3, .values = 4};
    struct fixture fix;

    decode_with(&fix, bytes_of_text("[1,2,3]"), &limits);
    CHECK_INT(fix.rc, 0);
    fini(&fix);
    decode_with(&fix, bytes_of_text("[1,2,{\"a\":3}]"), &limits);
    CHECK_INT(fix.rc, AUGURY_ERR_LIMIT);
    CHECK_TEXT(fix.err.code, "too_many_values");
    fini(&fix);

    char text[5000];
    memset(text, ' ', sizeof(text));
    memcpy(text, "[1,2,3]", 7);
    fix = (struct fixture){0};
    CHECK_INT(arena_init(&fix.arena, 4096), 0);
    fix.rc = wire_decode(WIRE_JSON, bytes_of(text, sizeof(text)), &limits, &fix.arena, &fix.root,
                         &fix.err);
    CHECK_INT(fix.rc, AUGURY_ERR_NOMEM);
    fini(&fix);
}

static void
numbers_can_stay_text_for_the_reader_to_choose(void)
{
    static const struct wire_limits limits = {
        .depth = 4, .values = 100, .flags = WIRE_NUMBERS_AS_TEXT | WIRE_NONFINITE};
    struct fixture fix;
    float single = 0;
    double number = 0;
    int64_t integer = 0;

    /* 1.00000017881393432617187499 is just below the middle of two floats, and its nearest double
     * is the middle. */
    decode_with(&fix,
                bytes_of_text("[0.671, -12, NaN, -Infinity, 1.00000017881393432617187499, 1E-1, "
                              "5e0, 1.5, 1e-45]"),
                &limits);
    CHECK_INT(fix.rc, 0);
    CHECK_INT(fix.root.as.items[0].type, WIRE_NUMBER);
    CHECK(bytes_equal_text(wire_string(&fix.root.as.items[0]), "0.671"));
    CHECK_INT(wire_array_f32(&fix.root, 0, &single), 0);
    CHECK(single == 0.671F);
    CHECK_INT(wire_array_i64(&fix.root, 1, &integer), 0);
    CHECK_INT(integer, -12);
    CHECK_INT(wire_array_f32(&fix.root, 2, &single), 0);
    CHECK(isnan(single));
    CHECK_INT(wire_to_f64(&fix.root.as.items[3], &number), 0);
    CHECK(isinf(number) && number < 0);
    CHECK_INT(wire_array_f32(&fix.root, 4, &single), 0);
    CHECK(single == strtof("1.00000017881393432617187499", NULL));
    CHECK(single != (float)strtod("1.00000017881393432617187499", NULL));
    CHECK_INT(wire_array_f32(&fix.root, 5, &single), 0);
    CHECK(single == 0.1F);
    CHECK_INT(wire_array_i64(&fix.root, 6, &integer), 0);
    CHECK_INT(integer, 5);
    CHECK_INT(wire_array_i64(&fix.root, 7, &integer), AUGURY_ERR_INVALID);
    CHECK_INT(wire_array_f32(&fix.root, 8, &single), 0);
    CHECK(single == 1e-45F);
    CHECK_INT(wire_array_f32(&fix.root, 9, &single), AUGURY_ERR_INVALID);
    fini(&fix);
}

/* Python's json reads 1e999 as infinity; a server that predicts with it would answer nonsense. */
static void
a_number_beyond_a_double_is_refused_with_its_place(void)
{
    static const struct wire_limits finite = {.depth = 4, .values = 100};
    static const struct wire_limits nonfinite = {
        .depth = 4, .values = 100, .flags = WIRE_NONFINITE};
    static const char *const texts[] = {"[1,1e309]", "[1,-1e999999]", "[1,-17976931348623157e400]"};
    const struct wire_limits *limits[] = {&finite, &nonfinite};
    struct fixture fix;

    for (size_t i = 0; i < AUGURY_COUNT(texts); i++) {
        for (size_t j = 0; j < AUGURY_COUNT(limits); j++) {
            decode_with(&fix, bytes_of_text(texts[i]), limits[j]);
            CHECK_INT(fix.rc, AUGURY_ERR_INVALID);
            CHECK_TEXT(fix.err.at, "byte 3");
            fini(&fix);
        }
    }
    decode_with(&fix,
                bytes_of_text("[-Infinity, 1.7976931348623157e308, 123456789012345678901234]"),
                &nonfinite);
    CHECK_INT(fix.rc, 0);
    CHECK(isinf(fix.root.as.items[0].as.real));
    CHECK(fix.root.as.items[1].as.real == 1.7976931348623157e308);
    CHECK_INT(fix.root.as.items[2].type, WIRE_REAL);
    CHECK(fix.root.as.items[2].as.real == 123456789012345678901234.0);
    fini(&fix);
}

static void
a_number_that_does_not_fit_is_refused(void)
{
    struct fixture fix;
    int64_t integer = 0;
    float single = 0;

    decode(&fix, "[9223372036854775808, 9.3e18, 0.5, \"1\", 1e39, true]");
    CHECK_INT(fix.rc, 0);
    for (size_t i = 0; i < 5; i++) {
        CHECK_INT(wire_array_i64(&fix.root, i, &integer), AUGURY_ERR_INVALID);
    }
    CHECK_INT(wire_array_f32(&fix.root, 4, &single), AUGURY_ERR_INVALID);
    CHECK_INT(wire_array_i64(&fix.root, 5, &integer), 0);
    CHECK_INT(integer, 1);
    fini(&fix);
}

static void
a_needed_member_names_itself(void)
{
    struct fixture fix;
    const struct wire_value *member = NULL;

    decode(&fix, "{\"rows\":7}");
    CHECK_INT(wire_need(&fix.root, "rows", WIRE_REAL, &member, &fix.err), 0);
    CHECK_INT(wire_need(&fix.root, "data", WIRE_ARRAY, &member, &fix.err), AUGURY_ERR_INVALID);
    CHECK_TEXT(fix.err.code, "missing_member");
    CHECK_CONTAINS(fix.err.reason, "\"data\"");
    CHECK_INT(wire_need(&fix.root, "rows", WIRE_ARRAY, &member, &fix.err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(fix.err.reason, "\"rows\": expected an array, got a number");
    fini(&fix);
}

static void
a_long_document_reads_as_a_short_one(void)
{
    struct buf text;
    struct fixture fix;
    int64_t integer = 0;

    buf_init(&text, 8 << 20);
    buf_put_text(&text, "[");
    for (unsigned i = 0; i < 300000; i++) {
        buf_printf(&text, "%u,", i);
    }
    buf_put_text(&text, "\"end\"]");
    CHECK(text.len > 1 << 20);
    decode_with(&fix, buf_view(&text), &(struct wire_limits){.depth = 1, .values = 400000});
    CHECK_INT(fix.rc, 0);
    CHECK_INT(wire_array_len(&fix.root), 300001);
    CHECK_INT(wire_array_i64(&fix.root, 299999, &integer), 0);
    CHECK_INT(integer, 299999);
    CHECK(bytes_equal_text(wire_string(&fix.root.as.items[300000]), "end"));
    fini(&fix);
    buf_fini(&text);
}

static void
a_document_that_is_long_notices_that_its_time_is_over(void)
{
    enum { ITEMS = 20000 };
    struct wire_limits limits = {.depth = 32, .values = 100000, .deadline_mono_ns = 1};
    struct fixture fix;
    static char text[ITEMS * 4 + 3];
    size_t len = 1;

    text[0] = '[';
    for (size_t i = 0; i < ITEMS; i++) {
        memcpy(text + len, "[1],", 4);
        len += 4;
    }
    text[len - 1] = ']';
    struct bytes all = bytes_of(text, len);
    struct bytes few = bytes_of_text("[[1],[1]]");

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
    TAP_RUN(a_request_becomes_a_tree);
    TAP_RUN(integers_keep_all_their_bits);
    TAP_RUN(what_is_not_json_is_refused_with_its_place);
    TAP_RUN(a_key_twice_is_refused_with_its_place);
    TAP_RUN(a_key_twice_among_many_is_found);
    TAP_RUN(keys_made_to_collide_are_still_told_apart);
    TAP_RUN(nesting_ends_at_the_limit);
    TAP_RUN(a_million_brackets_are_refused_in_a_moment);
    TAP_RUN(values_and_memory_end_at_the_limit);
    TAP_RUN(numbers_can_stay_text_for_the_reader_to_choose);
    TAP_RUN(a_number_beyond_a_double_is_refused_with_its_place);
    TAP_RUN(a_number_that_does_not_fit_is_refused);
    TAP_RUN(a_needed_member_names_itself);
    TAP_RUN(a_long_document_reads_as_a_short_one);
    TAP_RUN(a_document_that_is_long_notices_that_its_time_is_over);
    return tap_done();
}
