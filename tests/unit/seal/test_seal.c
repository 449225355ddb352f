/* SPDX-License-Identifier: MIT */
/* test_seal.c - digests against the examples of NIST for FIPS 180-4 (SHA256.pdf and its
 * long-message notes). */
#include "augury/seal.h"

#include <stdlib.h>

#include "../../tap.h"

/* What NIST publishes for "abc", the empty text, 448 bits, 896 bits and a million times "a". */
static const struct {
    const char *text, *hex;
} examples[] = {
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnop"
     "qrs"
     "mnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};
static const char million_hex[] =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void
to_text(const uint8_t *digest, char *out_text)
{
    hex_encode(bytes_of(digest, SEAL_SHA256_BYTES), out_text);
    out_text[SEAL_SHA256_HEX_BYTES] = '\0';
}

static void
digests_are_those_of_the_standard(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(examples); i++) {
        uint8_t digest[SEAL_SHA256_BYTES];
        char hex[SEAL_SHA256_HEX_BYTES + 1];
        CHECK_INT(seal_sha256(bytes_of_text(examples[i].text), digest), 0);
        to_text(digest, hex);
        CHECK_TEXT(hex, examples[i].hex);
    }
}

static void
a_file_is_digested_from_its_position_to_its_end(void)
{
    enum { MILLION = 1000000 };
    uint8_t digest[SEAL_SHA256_BYTES];
    char hex[SEAL_SHA256_HEX_BYTES + 1];
    FILE *file = tmpfile();

    CHECK(file != NULL);
    fputs("skip", file);
    for (int i = 0; i < MILLION; i++) {
        putc('a', file);
    }
    CHECK_INT(fseek(file, 4, SEEK_SET), 0);
    CHECK_INT(seal_sha256_file(file, digest), 0);
    to_text(digest, hex);
    CHECK_TEXT(hex, million_hex);
    fclose(file);
}

static void
a_file_that_cannot_be_read_is_an_error(void)
{
    uint8_t digest[SEAL_SHA256_BYTES] = {7};
    FILE *folder = fopen("/", "r");

    CHECK(folder != NULL);
    CHECK_INT(seal_sha256_file(folder, digest), AUGURY_ERR_IO);
    CHECK_INT(digest[0], 7);
    fclose(folder);
}

static void
random_bytes_fill_all_and_differ(void)
{
    uint8_t a[1000] = {0};
    uint8_t b[1000] = {0};
    size_t same = 0;

    CHECK_INT(seal_random(a, sizeof(a)), 0);
    CHECK_INT(seal_random(b, sizeof(b)), 0);
    for (size_t i = 0; i < sizeof(a); i++) {
        same += a[i] == b[i] ? 1 : 0;
    }
    /* Four are expected; forty happen once in 10^26 runs. */
    CHECK(same < 40);
    CHECK_INT(seal_random(NULL, 0), 0);
}

static void
equal_compares_every_byte(void)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};

    CHECK(seal_equal(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] = 0x80;
        CHECK(!seal_equal(a, b, sizeof(b)));
        CHECK(seal_equal(a, b, i));
        b[i] = 0;
    }
}

int
main(void)
{
    TAP_RUN(digests_are_those_of_the_standard);
    TAP_RUN(a_file_is_digested_from_its_position_to_its_end);
    TAP_RUN(a_file_that_cannot_be_read_is_an_error);
    TAP_RUN(random_bytes_fill_all_and_differ);
    TAP_RUN(equal_compares_every_byte);
    return tap_done();
}
