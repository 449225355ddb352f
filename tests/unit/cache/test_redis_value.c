/* SPDX-License-Identifier: MIT */
/* An entry's bytes in Redis: golden, and nothing else is taken for one. */
#include <stdlib.h>

#include "../../../src/cache/redis_value.h"
#include "../../tap.h"

static size_t
encode(const struct redis_value *value, uint8_t *out, size_t size)
{
    size_t len = REDIS_VALUE_HEADER + value->item.key.len + value->item.value.len;

    if (len > size) {
        return 0;
    }
    redis_value_encode(value, out);
    memcpy(out + REDIS_VALUE_HEADER, value->item.key.data, value->item.key.len);
    memcpy(out + REDIS_VALUE_HEADER + value->item.key.len, value->item.value.data,
           value->item.value.len);
    return len;
}

static struct redis_value
sample(void)
{
    return (struct redis_value){
        .item = {.class = CACHE_OBJECT,
                 .key = bytes_of_text("object:a"),
                 .value = bytes_of_text("hello"),
                 .created_wall_ms = UINT64_C(0x0000018bcfe56800),
                 .expires_wall_ms = UINT64_C(0x0000018bcfe65260),
                 .stale_s = 30,
                 .cost_us = 250,
                 .tags = {1, 0x0203, 0}},
        .mark = UINT64_C(0x018bcfe568000001),
    };
}

static void
the_bytes_are_those_of_the_document(void)
{
    static const uint8_t want[] = {
        'A',  'G',  'R',  '1',  5,    0,    8,    0,    /* magic, class, text */
        0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, /* created */
        0x60, 0x52, 0xe6, 0xcf, 0x8b, 0x01, 0x00, 0x00, /* expires */
        0x01, 0x00, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, /* mark */
        30,   0,    0,    0,    250,  0,    0,    0,    /* stale, cost */
        1,    0,    0x03, 0x02, 0,    0,    0,    0,    /* tags */
    };
    struct redis_value value = sample();
    uint8_t bytes[128];

    size_t len = encode(&value, bytes, sizeof(bytes));
    CHECK_INT(len, REDIS_VALUE_HEADER + 13);
    CHECK_INT(memcmp(bytes, want, sizeof(want)), 0);
    CHECK_INT(memcmp(bytes + REDIS_VALUE_HEADER, "object:ahello", 13), 0);
}

static void
what_was_encoded_is_decoded(void)
{
    struct redis_value value = sample();
    struct redis_value got;
    uint8_t bytes[128];

    size_t len = encode(&value, bytes, sizeof(bytes));
    CHECK(redis_value_decode(bytes_of(bytes, len), CACHE_OBJECT, value.item.key, &got));
    CHECK(bytes_equal_text(got.item.value, "hello"));
    CHECK_INT(got.item.created_wall_ms, value.item.created_wall_ms);
    CHECK_INT(got.item.expires_wall_ms, value.item.expires_wall_ms);
    CHECK_INT(got.item.stale_s, 30);
    CHECK_INT(got.item.cost_us, 250);
    CHECK_INT(got.item.tags[1], 0x0203);
    CHECK_INT(got.mark, value.mark);
}

static void
every_flipped_bit_and_every_cut_is_refused(void)
{
    struct redis_value value = sample();
    struct redis_value got;
    uint8_t bytes[128];

    size_t len = encode(&value, bytes, sizeof(bytes));
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (redis_value_decode(bytes_of(bytes, len), CACHE_OBJECT, value.item.key, &got)) {
            TAP_FAIL("bit %zu", bit);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a read behind it */
        memcpy(exact, bytes, cut);
        bool is_taken =
            redis_value_decode(bytes_of(exact, cut), CACHE_OBJECT, value.item.key, &got);
        free(exact);
        CHECK(!is_taken);
    }
}

static void
an_entry_of_another_key_or_class_is_refused(void)
{
    struct redis_value value = sample();
    struct redis_value got;
    uint8_t bytes[128];

    size_t len = encode(&value, bytes, sizeof(bytes));
    CHECK(!redis_value_decode(bytes_of(bytes, len), CACHE_OBJECT, bytes_of_text("object:b"), &got));
    CHECK(!redis_value_decode(bytes_of(bytes, len), CACHE_OBJECT, bytes_of_text("object:"), &got));
    CHECK(!redis_value_decode(bytes_of(bytes, len), CACHE_MODEL, value.item.key, &got));
}

int
main(void)
{
    TAP_RUN(the_bytes_are_those_of_the_document);
    TAP_RUN(what_was_encoded_is_decoded);
    TAP_RUN(every_flipped_bit_and_every_cut_is_refused);
    TAP_RUN(an_entry_of_another_key_or_class_is_refused);
    return tap_done();
}
