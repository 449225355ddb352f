/* SPDX-License-Identifier: MIT */
/* test_hash.c - digests against the published values of the empty input and against the shared
 * library's own code. */
#include <stdint.h>
#include <xxhash.h>

#include "../../tap.h"
#include "augury/base.h"

static void
fill(uint8_t *data, size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(i * 131u + seed + (i >> 8));
    }
}

static void
the_digest_of_nothing_is_the_published_one(void)
{
    char hex[DIGEST_HEX_BYTES + 1] = {0};
    digest_to_hex(digest_of(bytes_of("", 0)), hex);
    CHECK_TEXT(hex, "99aa06d3014798d86001c324468d497f");
    CHECK(hash64_of(bytes_of("", 0)) == 0x2d06800538d394c2u);
}

/* base compiles xxhash's header into itself; the library on this machine was compiled by its
 * packagers. */
static void
digests_of_all_lengths_are_those_of_the_library(void)
{
    static uint8_t data[1100];
    static uint8_t secret[DIGEST_SECRET_BYTES];
    fill(data, sizeof(data), 1);
    fill(secret, sizeof(secret), 77);
    for (size_t len = 0; len <= sizeof(data); len++) {
        XXH128_hash_t want = XXH3_128bits(data, len);
        XXH128_hash_t keyed = XXH3_128bits_withSecret(data, len, secret, sizeof(secret));
        struct digest got = digest_of(bytes_of(data, len));
        struct digest got_keyed = digest_with_secret(bytes_of(data, len), secret);
        CHECK(got.lo == want.low64 && got.hi == want.high64);
        CHECK(got_keyed.lo == keyed.low64 && got_keyed.hi == keyed.high64);
        CHECK(hash64_of(bytes_of(data, len)) == XXH3_64bits(data, len));
        CHECK(!digest_equal(got, got_keyed));
    }
}

static void
digests_are_equal_only_in_both_halves(void)
{
    struct digest a = {.lo = 1, .hi = 2};
    CHECK(digest_equal(a, (struct digest){.lo = 1, .hi = 2}));
    CHECK(!digest_equal(a, (struct digest){.lo = 1, .hi = 3}));
    CHECK(!digest_equal(a, (struct digest){.lo = 3, .hi = 2}));
}

static void
hex_is_lower_case_and_high_half_first(void)
{
    char hex[DIGEST_HEX_BYTES + 1] = {0};
    digest_to_hex((struct digest){.lo = 0x89abcdef, .hi = 0xfedc000000000001u}, hex);
    CHECK_TEXT(hex, "fedc0000000000010000000089abcdef");
    char pair[5] = {0};
    hex_encode(bytes_of("\x0f\xa0", 2), pair);
    CHECK_TEXT(pair, "0fa0");
}

/* The vectors of RFC 4648 10. */
static void
base64_is_that_of_the_rfc(void)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};

    for (size_t i = 0; i < AUGURY_COUNT(vectors); i++) {
        char text[16] = {0};
        struct bytes data = bytes_of_text(vectors[i][0]);
        base64_encode(data, text);
        CHECK_TEXT(text, vectors[i][1]);
        CHECK_INT(base64_len(data.len), strlen(vectors[i][1]));
    }
    char high[5] = {0};
    base64_encode(bytes_of("\xfb\xff\xbf", 3), high);
    CHECK_TEXT(high, "+/+/");
}

int
main(void)
{
    TAP_RUN(the_digest_of_nothing_is_the_published_one);
    TAP_RUN(digests_of_all_lengths_are_those_of_the_library);
    TAP_RUN(digests_are_equal_only_in_both_halves);
    TAP_RUN(hex_is_lower_case_and_high_half_first);
    TAP_RUN(base64_is_that_of_the_rfc);
    return tap_done();
}
