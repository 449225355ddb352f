/* SPDX-License-Identifier: MIT */
/* test_ed25519.c - signatures against the examples of RFC 8032, section 7.1. */
#include "augury/seal.h"

#include "../../tap.h"

/* TEST 1, 2, 3 and SHA(abc) of RFC 8032 7.1. */
static const struct {
    const char *secret, *public, *message, *signature;
} examples[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fee"
     "b"
     "bd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e"
     "0"
     "303dca179c138ac17ad9bef1177331a704"},
};

static size_t
from_hex(const char *hex, uint8_t *out_data)
{
    size_t len = strlen(hex) / 2;

    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        out_data[i] = (uint8_t)byte;
    }
    return len;
}

/* Base64 of what is a multiple of 3 bytes or one less than one. */
static void
to_base64(const uint8_t *data, size_t len, char *out_text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        unsigned group = (unsigned)data[i] << 16 | (i + 1 < len ? (unsigned)data[i + 1] << 8 : 0) |
                         (i + 2 < len ? data[i + 2] : 0);
        for (int j = 0; j < 4; j++) {
            size_t have = len - i < 3 ? len - i : 3;
            *out_text++ = (size_t)j <= have ? digits[group >> (18 - 6 * j) & 63] : '=';
        }
    }
    *out_text = '\0';
}

/* RFC 8410: the 12 or 16 bytes before a raw key make it SubjectPublicKeyInfo or PKCS #8. */
static size_t
pem_of(const char *kind, const char *prefix_hex, const char *raw_hex, char *out_pem, size_t size)
{
    uint8_t der[64];
    char base64[128];
    size_t len = from_hex(prefix_hex, der);

    len += from_hex(raw_hex, der + len);
    to_base64(der, len, base64);
    return (size_t)snprintf(out_pem, size, "-----BEGIN %s-----\n%s\n-----END %s-----\n", kind,
                            base64, kind);
}

static size_t
public_pem(const char *raw_hex, char *out_pem, size_t size)
{
    return pem_of("PUBLIC KEY", "302a300506032b6570032100", raw_hex, out_pem, size);
}

static size_t
private_pem(const char *raw_hex, char *out_pem, size_t size)
{
    return pem_of("PRIVATE KEY", "302e020100300506032b657004220420", raw_hex, out_pem, size);
}

static void
signatures_are_those_of_the_standard(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(examples); i++) {
        uint8_t message[128], wanted[SEAL_SIGNATURE_BYTES], signature[SEAL_SIGNATURE_BYTES];
        char pem[256];
        struct seal_key key;
        struct err err;
        size_t len = from_hex(examples[i].message, message);
        CHECK_INT(from_hex(examples[i].signature, wanted), SEAL_SIGNATURE_BYTES);
        size_t pem_len = private_pem(examples[i].secret, pem, sizeof(pem));
        CHECK_INT(seal_sign(bytes_of(pem, pem_len), bytes_of(message, len), signature, &err), 0);
        CHECK(memcmp(signature, wanted, sizeof(wanted)) == 0);
        pem_len = public_pem(examples[i].public, pem, sizeof(pem));
        CHECK_INT(seal_key_from_pem(bytes_of(pem, pem_len), &key, &err), 0);
        CHECK_INT(seal_verify(&key, bytes_of(message, len), bytes_of(wanted, sizeof(wanted))), 0);
    }
}

static void
one_changed_bit_is_found_wherever_it_is(void)
{
    uint8_t message[128], signature[SEAL_SIGNATURE_BYTES];
    char pem[256];
    struct seal_key key;
    struct err err;
    size_t len = from_hex(examples[3].message, message);

    CHECK_INT(from_hex(examples[3].signature, signature), SEAL_SIGNATURE_BYTES);
    size_t pem_len = public_pem(examples[3].public, pem, sizeof(pem));
    CHECK_INT(seal_key_from_pem(bytes_of(pem, pem_len), &key, &err), 0);
    for (size_t i = 0; i < 8 * sizeof(signature); i += 3) {
        signature[i / 8] ^= (uint8_t)(1U << i % 8);
        CHECK_INT(seal_verify(&key, bytes_of(message, len), bytes_of(signature, sizeof(signature))),
                  AUGURY_NOT_FOUND);
        signature[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    for (size_t i = 0; i < 8 * len; i += 7) {
        message[i / 8] ^= (uint8_t)(1U << i % 8);
        CHECK_INT(seal_verify(&key, bytes_of(message, len), bytes_of(signature, sizeof(signature))),
                  AUGURY_NOT_FOUND);
        message[i / 8] ^= (uint8_t)(1U << i % 8);
    }
    CHECK_INT(seal_verify(&key, bytes_of(message, len), bytes_of(signature, sizeof(signature) - 1)),
              AUGURY_NOT_FOUND);
    CHECK_INT(seal_verify(&key, bytes_of(message, len - 1), bytes_of(signature, sizeof(signature))),
              AUGURY_NOT_FOUND);
    CHECK_INT(seal_verify(&key, bytes_of(message, len), bytes_of(signature, sizeof(signature))), 0);
}

static void
a_key_s_id_is_the_digest_of_its_der(void)
{
    uint8_t der[44], wanted[SEAL_SHA256_BYTES];
    char pem[256];
    struct seal_key key;
    struct err err;
    size_t len = from_hex("302a300506032b6570032100", der);

    len += from_hex(examples[0].public, der + len);
    CHECK_INT(seal_sha256(bytes_of(der, len), wanted), 0);
    size_t pem_len = public_pem(examples[0].public, pem, sizeof(pem));
    CHECK_INT(seal_key_from_pem(bytes_of(pem, pem_len), &key, &err), 0);
    CHECK(memcmp(key.id, wanted, sizeof(wanted)) == 0);
}

static void
what_is_no_ed25519_key_is_refused_by_name(void)
{
    /* X25519, which signs nothing: the same bytes under another object identifier. */
    char pem[256];
    struct seal_key key;
    struct err err;
    uint8_t signature[SEAL_SIGNATURE_BYTES];
    size_t len =
        pem_of("PUBLIC KEY", "302a300506032b656e032100", examples[0].public, pem, sizeof(pem));

    CHECK_INT(seal_key_from_pem(bytes_of(pem, len), &key, &err), AUGURY_ERR_INVALID);
    CHECK_TEXT(err.code, "invalid_key");
    CHECK_CONTAINS(err.reason, "X25519");
    len = private_pem(examples[0].secret, pem, sizeof(pem));
    CHECK_INT(seal_key_from_pem(bytes_of(pem, len), &key, &err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "-pubout");
    len = public_pem(examples[0].public, pem, sizeof(pem));
    CHECK_INT(seal_sign(bytes_of(pem, len), bytes_of_text("x"), signature, &err),
              AUGURY_ERR_INVALID);
    CHECK_INT(seal_key_from_pem(bytes_of(pem, len / 2), &key, &err), AUGURY_ERR_INVALID);
    CHECK_INT(seal_key_from_pem(bytes_of_text(""), &key, &err), AUGURY_ERR_INVALID);
}

int
main(void)
{
    TAP_RUN(signatures_are_those_of_the_standard);
    TAP_RUN(one_changed_bit_is_found_wherever_it_is);
    TAP_RUN(a_key_s_id_is_the_digest_of_its_der);
    TAP_RUN(what_is_no_ed25519_key_is_refused_by_name);
    return tap_done();
}
