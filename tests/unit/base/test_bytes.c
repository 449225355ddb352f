/* SPDX-License-Identifier: MIT */
/* test_bytes.c - views, numbers, little-endian fields, and UTF-8 against the decoder of libc's
 * iconv. */
#include <iconv.h>
#include <stdint.h>

#include "../../tap.h"
#include "augury/base.h"

static void
views_compare_by_content(void)
{
    CHECK(bytes_equal(bytes_of(NULL, 0), bytes_of("x", 0)));
    CHECK(bytes_equal(bytes_of("abc", 2), bytes_of("abd", 2)));
    CHECK(!bytes_equal(bytes_of("abc", 3), bytes_of("abd", 3)));
    CHECK(!bytes_equal_text(bytes_of("abc", 2), "abc"));
    CHECK(bytes_start_with(bytes_of_text("prediction:x"), "prediction:"));
    CHECK(bytes_start_with(bytes_of(NULL, 0), ""));
    CHECK(!bytes_start_with(bytes_of_text("pre"), "pred"));
}

static void
letter_case_is_ignored_in_ascii_alone(void)
{
    CHECK(bytes_equal_nocase(bytes_of_text("Content-LENGTH"), "content-length"));
    CHECK(!bytes_equal_nocase(bytes_of_text("content-lengt"), "content-length"));
    CHECK(!bytes_equal_nocase(bytes_of_text("content-length:"), "content-length"));
    CHECK(!bytes_equal_nocase(bytes_of_text("@[`{"), "`{@["));
    CHECK(!bytes_equal_nocase(bytes_of("a\0", 2), "a"));
    CHECK(!bytes_equal_nocase(bytes_of_text("K\xc3\x84"), "k\xc3\xa4"));
}

static void
numbers_are_digits_up_to_their_maximum(void)
{
    static const struct {
        const char *text;
        uint64_t max;
        int rc;
        uint64_t value;
    } cases[] = {
        {"0", 0, 0, 0},
        {"007", 7, 0, 7},
        {"8", 7, AUGURY_ERR_LIMIT, 0},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, AUGURY_ERR_LIMIT, 0},
        {"99999999999999999999999", UINT64_MAX, AUGURY_ERR_LIMIT, 0},
        {"10", 9, AUGURY_ERR_LIMIT, 0},
        {"65535", 65535, 0, 65535},
        {"65536", 65535, AUGURY_ERR_LIMIT, 0},
        {"", 9, AUGURY_ERR_INVALID, 0},
        {"+1", 9, AUGURY_ERR_INVALID, 0},
        {"-1", 9, AUGURY_ERR_INVALID, 0},
        {" 1", 9, AUGURY_ERR_INVALID, 0},
        {"1 ", 9, AUGURY_ERR_INVALID, 0},
        {"0x1", 99, AUGURY_ERR_INVALID, 0},
        {"99999999999999999999999x", UINT64_MAX, AUGURY_ERR_INVALID, 0},
    };
    for (size_t i = 0; i < AUGURY_COUNT(cases); i++) {
        uint64_t value = 0;
        int rc = bytes_to_u64(bytes_of_text(cases[i].text), cases[i].max, &value);
        if (rc != cases[i].rc || value != cases[i].value) {
            TAP_FAIL("\"%s\" gives %d", cases[i].text, rc);
        }
    }
}

static void
stored_fields_are_little_endian_at_any_address(void)
{
    uint8_t raw[16] = {0};
    le16_put(raw + 1, 0x1234);
    le32_put(raw + 3, 0x89abcdef);
    le64_put(raw + 7, 0x0123456789abcdefu);
    static const uint8_t want[16] = {0,    0x34, 0x12, 0xef, 0xcd, 0xab, 0x89, 0xef,
                                     0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0};
    CHECK(memcmp(raw, want, sizeof(raw)) == 0);
    CHECK(le16_get(raw + 1) == 0x1234);
    CHECK(le32_get(raw + 3) == 0x89abcdefu);
    CHECK(le64_get(raw + 7) == 0x0123456789abcdefu);
}

/* What libc says: valid when the whole of it converts to UTF-32. */
static bool
libc_accepts(iconv_t libc, const uint8_t *data, size_t len)
{
    char in[8];
    char out[64];
    char *from = in;
    char *to = out;
    size_t from_left = len;
    size_t to_left = sizeof(out);

    memcpy(in, data, len);
    (void)iconv(libc, NULL, NULL, NULL, NULL);
    return iconv(libc, &from, &from_left, &to, &to_left) != (size_t)-1 && from_left == 0;
}

/* Every text of up to four bytes from the values at which the rules of RFC 3629 change. */
static void
utf8_is_judged_as_libc_judges_it(void)
{
    static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                    0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff};
    const size_t n = sizeof(edges);
    iconv_t libc = iconv_open("UTF-32LE", "UTF-8");
    if (libc == (iconv_t)-1) {
        SKIP("libc has no converter of UTF-8");
    }
    size_t valid = 0;
    for (size_t len = 1; len <= 4; len++) {
        size_t count = len == 1 ? n : len == 2 ? n * n : len == 3 ? n * n * n : n * n * n * n;
        for (size_t i = 0; i < count; i++) {
            uint8_t text[4];
            for (size_t k = 0, rest = i; k < len; k++, rest /= n) {
                text[k] = edges[rest % n];
            }
            bool is_valid = utf8_is_valid(bytes_of(text, len));
            valid += is_valid;
            if (is_valid != libc_accepts(libc, text, len)) {
                iconv_close(libc);
                TAP_FAIL("%zu bytes %02x %02x…: we say %d", len, text[0], text[1 % len], is_valid);
            }
        }
    }
    iconv_close(libc);
    CHECK(valid > 1000);
    CHECK(utf8_is_valid(bytes_of(NULL, 0)));
}

static void
numbers_are_written_as_libc_writes_them(void)
{
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 4294967295u, 10000000000u, UINT64_MAX};

    for (size_t i = 0; i < AUGURY_COUNT(numbers); i++) {
        char text[U64_TEXT_MAX + 1] = "";
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "%llu", (unsigned long long)numbers[i]);
        CHECK_INT(u64_to_text(numbers[i], text), strlen(wanted));
        CHECK_TEXT(text, wanted);
    }
}

int
main(void)
{
    TAP_RUN(views_compare_by_content);
    TAP_RUN(letter_case_is_ignored_in_ascii_alone);
    TAP_RUN(numbers_are_digits_up_to_their_maximum);
    TAP_RUN(stored_fields_are_little_endian_at_any_address);
    TAP_RUN(utf8_is_judged_as_libc_judges_it);
    TAP_RUN(numbers_are_written_as_libc_writes_them);
    return tap_done();
}
