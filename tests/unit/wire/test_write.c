/* SPDX-License-Identifier: MIT */
/* test_write.c - the writer of JSON and MessagePack, and numbers as the shortest text that reads
 * back the same. */
#include "augury/wire.h"

#include <float.h>
#include <stdlib.h>

#include "../../tap.h"

static const char *
text_of(struct buf *buf)
{
    buf_put_u8(buf, 0);
    return buf_finish(buf) == 0 ? (const char *)buf->data : "(failed)";
}

static void
write_answer(struct wire_writer *writer)
{
    wire_object(writer, 3);
    wire_key(writer, "model");
    wire_put_text(writer, "nfl-wp");
    wire_key(writer, "version");
    wire_put_text(writer, "3");
    wire_key(writer, "predictions");
    wire_array(writer, 1);
    wire_object(writer, 1);
    wire_key(writer, "prediction");
    wire_put_f32(writer, 0.731F);
    wire_end(writer);
    wire_end(writer);
    wire_end(writer);
}

static void
an_answer_is_written_as_compact_json(void)
{
    struct wire_writer writer;
    struct buf buf;

    buf_init(&buf, 4096);
    wire_writer_init(&writer, WIRE_JSON, &buf);
    write_answer(&writer);
    CHECK_TEXT(text_of(&buf), "{\"model\":\"nfl-wp\",\"version\":\"3\",\"predictions\":"
                              "[{\"prediction\":0.731}]}");
    buf_fini(&buf);
}

static void
text_is_escaped_and_made_utf8(void)
{
    struct wire_writer writer;
    struct buf buf;

    buf_init(&buf, 4096);
    wire_writer_init(&writer, WIRE_JSON, &buf);
    wire_put_string(&writer, bytes_of("a\"\\\b\f\n\r\t\x01\x7f\0\xc3\xa9\xff\xe2\x82", 16));
    CHECK_TEXT(text_of(&buf), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f\\u0000\xc3\xa9"
                              "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_fini(&buf);
}

/* RFC 8259 7: quotation mark, reverse solidus and the controls must be escaped, nothing else. */
static void
every_ascii_character_but_those_of_the_rfc_stands_as_it_is(void)
{
    for (unsigned c = 0; c < 0x80; c++) {
        struct wire_writer writer;
        struct buf buf;
        uint8_t text[] = {'a', (uint8_t)c, 'b'};
        buf_init(&buf, 64);
        wire_writer_init(&writer, WIRE_JSON, &buf);
        wire_put_string(&writer, bytes_of(text, sizeof(text)));
        bool must_escape = c < 0x20 || c == '"' || c == '\\';
        CHECK_INT(buf.data[2] == '\\', must_escape);
        CHECK_INT(buf.len == 5 && buf.data[2] == c, !must_escape);
        buf_fini(&buf);
    }
}

static void
scalars_are_written_as_json_knows_them(void)
{
    struct wire_writer writer;
    struct buf buf;

    buf_init(&buf, 4096);
    wire_writer_init(&writer, WIRE_JSON, &buf);
    wire_array(&writer, 12);
    wire_put_null(&writer);
    wire_put_bool(&writer, true);
    wire_put_bool(&writer, false);
    wire_put_i64(&writer, INT64_MIN);
    wire_put_u64(&writer, UINT64_MAX);
    wire_put_f64(&writer, NAN);
    wire_put_f32(&writer, -INFINITY);
    wire_put_f64(&writer, 0.1);
    wire_put_f32(&writer, 0.1F);
    wire_put_f32(&writer, 100.0F);
    wire_put_f32(&writer, -0.0F);
    wire_put_f32(&writer, FLT_MAX);
    wire_end(&writer);
    CHECK_TEXT(text_of(&buf), "[null,true,false,-9223372036854775808,18446744073709551615,null,"
                              "null,0.1,0.1,100.0,-0.0,3.4028235e38]");
    buf_fini(&buf);
}

static void
a_full_buffer_keeps_its_code(void)
{
    struct wire_writer writer;
    struct buf buf;

    buf_init(&buf, 20);
    wire_writer_init(&writer, WIRE_JSON, &buf);
    write_answer(&writer);
    CHECK_INT(buf_finish(&buf), AUGURY_ERR_LIMIT);
    buf_fini(&buf);
}

static float
float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static bool
reads_back(float value)
{
    char text[WIRE_F32_TEXT_MAX + 1];
    size_t len = wire_f32_to_text(value, text);

    if (len > WIRE_F32_TEXT_MAX) {
        return false;
    }
    text[len] = '\0';
    float back = strtof(text, NULL);
    bool is_same = isnan(value) ? isnan(back) : memcmp(&back, &value, sizeof(value)) == 0;
    if (!is_same) {
        printf("# %a was written as %s\n", (double)value, text);
    }
    return is_same;
}

static void
floats_at_every_edge_read_back_bit_for_bit(void)
{
    for (uint32_t exponent = 0; exponent <= 255; exponent++) {
        for (uint32_t k = 0; k < 64; k++) {
            CHECK(reads_back(float_of_bits(exponent << 23 | k)));
            CHECK(reads_back(float_of_bits(exponent << 23 | (0x7fffff - k))));
            CHECK(
                reads_back(float_of_bits(UINT32_C(0x80000000) | exponent << 23 | 1u << (k % 23))));
        }
    }
}

static void
a_million_random_floats_read_back_bit_for_bit(void)
{
    uint64_t state = 42;

    for (int i = 0; i < 1000000; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        float value = float_of_bits((uint32_t)(state >> 32));
        CHECK(isnan(value) || reads_back(value));
    }
}

int
main(void)
{
    TAP_RUN(an_answer_is_written_as_compact_json);
    TAP_RUN(text_is_escaped_and_made_utf8);
    TAP_RUN(every_ascii_character_but_those_of_the_rfc_stands_as_it_is);
    TAP_RUN(scalars_are_written_as_json_knows_them);
    TAP_RUN(a_full_buffer_keeps_its_code);
    TAP_RUN(floats_at_every_edge_read_back_bit_for_bit);
    TAP_RUN(a_million_random_floats_read_back_bit_for_bit);
    return tap_done();
}
