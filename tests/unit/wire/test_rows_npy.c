/* SPDX-License-Identifier: MIT */
/* test_rows_npy.c - arrays as numpy.save() writes them. What numpy itself writes is read in
 * tests/blackbox/24_many_rows.py. */
#include "rows_text_of.h"

#include <stdlib.h>

#include "../../tap.h"

static const struct rows_options npy = {.format = ROWS_NPY};

struct array {
    struct buf bytes;
    struct buf text;
    struct err err;
    int rc;
};

/* Magic, version, length and the literal, padded to 118 bytes as numpy does; then numbers. */
static void
begin_array(struct array *array, unsigned version, const char *literal)
{
    size_t len = strlen(literal);
    size_t padded = len < 118 ? 118 : len;

    *array = (struct array){.rc = 0};
    buf_init(&array->bytes, 1 << 20);
    buf_init(&array->text, 1 << 20);
    buf_put(&array->bytes, "\x93NUMPY", 6);
    buf_put_u8(&array->bytes, (uint8_t)version);
    buf_put_u8(&array->bytes, 0);
    buf_put_u8(&array->bytes, (uint8_t)padded);
    buf_put_u8(&array->bytes, (uint8_t)(padded >> 8));
    if (version > 1) {
        buf_put(&array->bytes, "\0\0", 2);
    }
    buf_put_text(&array->bytes, literal);
    for (size_t i = len; i + 1 < padded; i++) {
        buf_put_u8(&array->bytes, ' ');
    }
    if (len < padded) {
        buf_put_u8(&array->bytes, '\n');
    }
}

static void
put_f4(struct array *array, float number)
{
    uint8_t bytes[4];
    uint32_t word;

    memcpy(&word, &number, sizeof(word));
    le32_put(bytes, word);
    buf_put(&array->bytes, bytes, sizeof(bytes));
}

static void
put_f8(struct array *array, double number)
{
    uint8_t bytes[8];
    uint64_t word;

    memcpy(&word, &number, sizeof(word));
    le64_put(bytes, word);
    buf_put(&array->bytes, bytes, sizeof(bytes));
}

static const char *
read_array(struct array *array)
{
    array->rc = rows_text_of(buf_view(&array->bytes), &npy, &array->text, &array->err);
    buf_put_u8(&array->text, 0);
    return (const char *)array->text.data;
}

static void
free_array(struct array *array)
{
    buf_fini(&array->bytes);
    buf_fini(&array->text);
}

static void
float32_and_float64_are_read_in_every_version(void)
{
    struct array array;

    for (unsigned version = 1; version <= 3; version++) {
        begin_array(&array, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
        for (int i = 0; i < 6; i++) {
            put_f4(&array, (float)i + 0.1F);
        }
        CHECK_TEXT(read_array(&array),
                   "1:0=0.10000000149011612|1=1.100000023841858|2=2.0999999046325684|\n"
                   "2:0=3.0999999046325684|1=4.099999904632568|2=5.099999904632568|\n");
        CHECK_INT(array.rc, AUGURY_END);
        free_array(&array);
    }
    begin_array(&array, 1, "{\"shape\":(1,2),\"descr\":\"<f8\",\"fortran_order\":False}");
    put_f8(&array, 0.1);
    put_f8(&array, (double)NAN);
    CHECK_TEXT(read_array(&array), "1:0=0.1|1=nan|\n");
    free_array(&array);
}

static void
one_dimension_is_rows_of_one_column_and_none_are_rows_too(void)
{
    struct array array;

    begin_array(&array, 1, "{'descr': '<f8', 'fortran_order': True, 'shape': (2,), }");
    put_f8(&array, 5);
    put_f8(&array, -0.5);
    CHECK_TEXT(read_array(&array), "1:0=5.0|\n2:0=-0.5|\n");
    free_array(&array);
    begin_array(&array, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4), }");
    CHECK_TEXT(read_array(&array), "");
    CHECK_INT(array.rc, AUGURY_END);
    free_array(&array);
}

/* The bytes of numpy.array([[…]], dtype), two numbers a row. */
static void
integers_booleans_and_both_byte_orders_are_read(void)
{
    static const struct {
        const char *descr, *numbers;
        size_t len;
        const char *text;
    } kinds[] = {
        {"<i1", "\x80\x7f", 2, "1:0=-128|1=127|\n"},
        {"|u1", "\x00\xff", 2, "1:0=0|1=255|\n"},
        {"<i2", "\x00\x80\x02\x01", 4, "1:0=-32768|1=258|\n"},
        {">i2", "\x80\x00\x01\x02", 4, "1:0=-32768|1=258|\n"},
        {"<u2", "\x01\x00\xff\xff", 4, "1:0=1|1=65535|\n"},
        {"<i4", "\x00\x00\x00\x80\x03\x02\x01\x00", 8, "1:0=-2147483648|1=66051|\n"},
        {">u4", "\x00\x00\x00\x01\xff\xff\xff\xff", 8, "1:0=1|1=4294967295|\n"},
        {"<i8", "\x00\x00\x00\x00\x00\x00\x00\x80\x08\x07\x06\x05\x04\x03\x02\x01", 16,
         "1:0=-9223372036854775808|1=72623859790382856|\n"},
        {">i8", "\xff\xff\xff\xff\xff\xff\xff\xfe\x01\x02\x03\x04\x05\x06\x07\x08", 16,
         "1:0=-2|1=72623859790382856|\n"},
        {"<u8", "\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", 16,
         "1:0=1|1=18446744073709551615|\n"},
        {"|b1", "\x01\x00", 2, "1:0=true|1=false|\n"},
        {">f4", "\x3f\x00\x00\x00\xc0\x50\x00\x00", 8, "1:0=0.5|1=-3.25|\n"},
        {">f8", "\x3f\xb9\x99\x99\x99\x99\x99\x9a\x7f\xf8\x00\x00\x00\x00\x00\x00", 16,
         "1:0=0.1|1=nan|\n"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(kinds); i++) {
        struct array array;
        char literal[100];
        snprintf(literal, sizeof(literal),
                 "{'descr': '%s', 'fortran_order': False, 'shape': (1, 2), }", kinds[i].descr);
        begin_array(&array, 1, literal);
        buf_put(&array.bytes, kinds[i].numbers, kinds[i].len);
        CHECK_TEXT(read_array(&array), kinds[i].text);
        CHECK_INT(array.rc, AUGURY_END);
        free_array(&array);
    }
}

/* numpy.asfortranarray([[1, 2, 3], [4, 5, 6]], '<i2'): read row by row, whole and in blocks. */
static void
columns_one_after_another_are_read_in_memory(void)
{
    static const char numbers[] = "\x01\x00\x04\x00\x02\x00\x05\x00\x03\x00\x06\x00";
    static const char rows[] = "1:0=1|1=2|2=3|\n2:0=4|1=5|2=6|\n";
    struct array array;
    struct err err;

    begin_array(&array, 1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }");
    buf_put(&array.bytes, numbers, sizeof(numbers) - 1);
    CHECK_TEXT(read_array(&array), rows);
    buf_reset(&array.text);
    CHECK_INT(rows_text_of_blocks(buf_view(&array.bytes), &npy, 1, &array.text, &err), AUGURY_END);
    buf_put_u8(&array.text, 0);
    CHECK_TEXT((const char *)array.text.data, rows);
    buf_put_u8(&array.bytes, 0);
    buf_reset(&array.text);
    CHECK_CONTAINS((read_array(&array), array.err.reason), "more or fewer bytes");
    free_array(&array);
}

/* As a request has it: an array of one dimension is a row. */
static void
a_vector_is_a_row_where_that_is_asked_for(void)
{
    const struct rows_options options = {.format = ROWS_NPY, .is_vector_row = true, .cells_max = 3};
    struct array array;

    begin_array(&array, 1, "{'descr': '<f8', 'fortran_order': True, 'shape': (3,), }");
    for (int i = 0; i < 3; i++) {
        put_f8(&array, i);
    }
    CHECK_INT(rows_text_of(buf_view(&array.bytes), &options, &array.text, &array.err), AUGURY_END);
    buf_put_u8(&array.text, 0);
    CHECK_TEXT((const char *)array.text.data, "1:0=0.0|1=1.0|2=2.0|\n");
    free_array(&array);
    begin_array(&array, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }");
    CHECK_INT(rows_text_of(buf_view(&array.bytes), &options, &array.text, &array.err),
              AUGURY_ERR_INVALID);
    CHECK_CONTAINS(array.err.reason, "too many");
    free_array(&array);
}

static void
other_arrays_are_refused_with_what_to_do(void)
{
    static const struct {
        const char *literal, *words;
    } wrong[] = {
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (1, 1), }", "'<f2'"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (1, 1), }", "astype('<f8')"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", "'|O'"},
        {"{'descr': '|f4', 'fortran_order': False, 'shape': (1, 1), }", "'|f4'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (1, 1), }", "''"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 5), }", "more or fewer bytes"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (9223372036854775807, 2), }",
         "more or fewer bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }", "3 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "0 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0), }", "columns"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999), }", "columns"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "structures"},
        {"{'descr': '<f4', 'fortran_order': False, }", "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), 'more': 1}", "header"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", "header"},
        {"{'descr': '<f4', 'fortran_order': maybe, 'shape': (1, 1), }", "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1), }", "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1), }",
         "header"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), } x", "header"},
        {"", "header"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        struct array array;
        begin_array(&array, 1, wrong[i].literal);
        put_f8(&array, 0.0);
        (void)read_array(&array);
        CHECK_INT(array.rc, AUGURY_ERR_INVALID);
        CHECK_TEXT(array.err.at, "mem");
        CHECK_CONTAINS(array.err.reason, wrong[i].words);
        free_array(&array);
    }
}

static void
an_array_that_is_cut_or_goes_on_is_refused_with_its_row(void)
{
    struct array array;

    begin_array(&array, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
    for (int i = 0; i < 5; i++) {
        put_f4(&array, 1);
    }
    CHECK_TEXT(read_array(&array), "1:0=1.0|1=1.0|\n2:0=1.0|1=1.0|\n");
    CHECK_INT(array.rc, AUGURY_ERR_INVALID);
    CHECK_TEXT(array.err.at, "mem, row 3");
    free_array(&array);
    begin_array(&array, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }");
    for (int i = 0; i < 3; i++) {
        put_f4(&array, 1);
    }
    CHECK_TEXT(read_array(&array), "1:0=1.0|1=1.0|\n");
    CHECK_INT(array.rc, AUGURY_ERR_INVALID);
    CHECK_CONTAINS(array.err.reason, "shape");
    free_array(&array);
}

static void
every_prefix_of_a_file_is_refused(void)
{
    struct array array;

    begin_array(&array, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }");
    put_f4(&array, 1);
    put_f4(&array, 2);
    for (size_t len = 0; len < array.bytes.len; len++) {
        buf_reset(&array.text);
        struct bytes prefix = bytes_of(array.bytes.data, len);
        CHECK_INT(rows_text_of(prefix, &npy, &array.text, &array.err), AUGURY_ERR_INVALID);
    }
    free_array(&array);
}

static void
blocks_hold_the_rows_that_are_there(void)
{
    struct array array;
    struct buf blocks;

    begin_array(&array, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (100, 3), }");
    for (int i = 0; i < 300; i++) {
        put_f8(&array, i);
    }
    (void)read_array(&array);
    CHECK_INT(array.rc, AUGURY_END);
    array.text.len--;
    for (size_t target = 1; target < 5000; target = target * 3 + 1) {
        buf_init(&blocks, 1 << 20);
        CHECK_INT(rows_text_of_blocks(buf_view(&array.bytes), &npy, target, &blocks, &array.err),
                  AUGURY_END);
        CHECK(bytes_equal(buf_view(&blocks), buf_view(&array.text)));
        buf_fini(&blocks);
    }
    free_array(&array);
}

static void
a_header_that_is_written_is_read_again(void)
{
    struct array array = {.rc = 0};

    buf_init(&array.bytes, 1 << 20);
    buf_init(&array.text, 1 << 20);
    rows_put_npy_header(ROWS_NPY_F8, 2, 1, &array.bytes);
    CHECK_INT(array.bytes.len, ROWS_NPY_HEADER_BYTES);
    put_f8(&array, 1.5);
    put_f8(&array, 2.5);
    CHECK_TEXT(read_array(&array), "1:0=1.5|\n2:0=2.5|\n");
    buf_reset(&array.bytes);
    rows_put_npy_header(ROWS_NPY_U4, UINT64_MAX, SIZE_MAX, &array.bytes);
    CHECK_INT(array.bytes.len, ROWS_NPY_HEADER_BYTES);
    free_array(&array);
}

int
main(void)
{
    TAP_RUN(float32_and_float64_are_read_in_every_version);
    TAP_RUN(one_dimension_is_rows_of_one_column_and_none_are_rows_too);
    TAP_RUN(integers_booleans_and_both_byte_orders_are_read);
    TAP_RUN(columns_one_after_another_are_read_in_memory);
    TAP_RUN(a_vector_is_a_row_where_that_is_asked_for);
    TAP_RUN(other_arrays_are_refused_with_what_to_do);
    TAP_RUN(an_array_that_is_cut_or_goes_on_is_refused_with_its_row);
    TAP_RUN(every_prefix_of_a_file_is_refused);
    TAP_RUN(blocks_hold_the_rows_that_are_there);
    TAP_RUN(a_header_that_is_written_is_read_again);
    return tap_done();
}
