/* SPDX-License-Identifier: MIT */
/* test_protobuf.c - the wire format of protocol buffers; bytes from its published description. */
#include "../../../src/model/protobuf.h"
#include "../../tap.h"

static void
fields_of_every_wire_type_are_read_in_order(void)
{
    /* 1: 150; 2: "testing"; 3: fixed32 0x04030201; 4: fixed64 1.0 */
    static const uint8_t message[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's',  't',
                                      'i',  'n',  'g',  0x1d, 0x01, 0x02, 0x03, 0x04, 0x21,
                                      0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf0, 0x3f};
    struct protobuf rest = protobuf_of(bytes_of(message, sizeof(message)));
    struct protobuf_field field;

    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK(field.number == 1 && field.wire == PROTOBUF_VARINT && field.value == 150);
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK(field.number == 2 && bytes_equal_text(field.bytes, "testing"));
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK(field.number == 3 && field.value == 0x04030201);
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK(field.number == 4 && protobuf_f64(field.value) == 1.0);
    CHECK_INT(protobuf_next(&rest, &field), AUGURY_END);
}

static void
numbers_have_at_most_ten_bytes_and_64_bits(void)
{
    static const uint8_t most[] = {0x08, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0x01};
    static const uint8_t over[] = {0x08, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t endless[] = {0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                      0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    struct protobuf_field field;
    struct protobuf rest = protobuf_of(bytes_of(most, sizeof(most)));

    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK(field.value == UINT64_MAX);
    rest = protobuf_of(bytes_of(over, sizeof(over)));
    CHECK_INT(protobuf_next(&rest, &field), AUGURY_ERR_INVALID);
    rest = protobuf_of(bytes_of(endless, sizeof(endless)));
    CHECK_INT(protobuf_next(&rest, &field), AUGURY_ERR_INVALID);
}

static void
lengths_over_the_end_groups_and_field_zero_are_refused(void)
{
    static const struct {
        uint8_t bytes[6];
        size_t len;
    } cases[] = {
        {{0x12, 0x03, 'a', 'b'}, 4},
        {{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, 6},
        {{0x0b, 0x0c}, 2},
        {{0x0c}, 1},
        {{0x00, 0x01}, 2},
        {{0x08}, 1},
        {{0x1d, 1, 2, 3}, 4},
        {{0x21, 1, 2, 3, 4, 5}, 6},
        {{0x0e, 1}, 2},
        {{0x80}, 1},
    };

    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        struct protobuf rest = protobuf_of(bytes_of(cases[i].bytes, cases[i].len));
        struct protobuf_field field;
        CHECK_INT(protobuf_next(&rest, &field), AUGURY_ERR_INVALID);
    }
}

static void
repeated_numbers_stand_alone_or_packed(void)
{
    static const uint8_t packed[] = {0x22, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05};
    static const uint8_t floats[] = {0x3a, 0x08, 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0};
    static const uint8_t alone[] = {0x20, 0x03};
    struct protobuf rest = protobuf_of(bytes_of(packed, sizeof(packed)));
    struct protobuf_field field;
    size_t count = 0;

    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK_INT(protobuf_count(&field, PROTOBUF_VARINT, &count), 0);
    CHECK_INT(count, 3);
    struct bytes numbers = field.bytes;
    CHECK_INT(protobuf_take(&field, PROTOBUF_VARINT, &numbers), 3);
    CHECK_INT(protobuf_take(&field, PROTOBUF_VARINT, &numbers), 270);
    CHECK_INT(protobuf_take(&field, PROTOBUF_VARINT, &numbers), 86942);
    rest = protobuf_of(bytes_of(floats, sizeof(floats)));
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK_INT(protobuf_count(&field, PROTOBUF_FIXED32, &count), 0);
    CHECK_INT(count, 2);
    numbers = field.bytes;
    CHECK(protobuf_f32(protobuf_take(&field, PROTOBUF_FIXED32, &numbers)) == 1.0f);
    CHECK(protobuf_f32(protobuf_take(&field, PROTOBUF_FIXED32, &numbers)) == -2.0f);
    rest = protobuf_of(bytes_of(alone, sizeof(alone)));
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK_INT(protobuf_count(&field, PROTOBUF_VARINT, &count), 0);
    CHECK_INT(count, 1);
    CHECK_INT(protobuf_take(&field, PROTOBUF_VARINT, &numbers), 3);
}

static void
packed_numbers_that_are_cut_or_of_another_kind_are_refused(void)
{
    static const uint8_t cut[] = {0x22, 0x02, 0x03, 0x8e};
    static const uint8_t odd[] = {0x3a, 0x03, 0, 0, 0};
    static const uint8_t fixed[] = {0x1d, 1, 2, 3, 4};
    struct protobuf rest = protobuf_of(bytes_of(cut, sizeof(cut)));
    struct protobuf_field field;
    size_t count = 0;

    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK_INT(protobuf_count(&field, PROTOBUF_VARINT, &count), AUGURY_ERR_INVALID);
    rest = protobuf_of(bytes_of(odd, sizeof(odd)));
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK_INT(protobuf_count(&field, PROTOBUF_FIXED32, &count), AUGURY_ERR_INVALID);
    rest = protobuf_of(bytes_of(fixed, sizeof(fixed)));
    CHECK_INT(protobuf_next(&rest, &field), 0);
    CHECK_INT(protobuf_count(&field, PROTOBUF_VARINT, &count), AUGURY_ERR_INVALID);
}

int
main(void)
{
    TAP_RUN(fields_of_every_wire_type_are_read_in_order);
    TAP_RUN(numbers_have_at_most_ten_bytes_and_64_bits);
    TAP_RUN(lengths_over_the_end_groups_and_field_zero_are_refused);
    TAP_RUN(repeated_numbers_stand_alone_or_packed);
    TAP_RUN(packed_numbers_that_are_cut_or_of_another_kind_are_refused);
    return tap_done();
}
