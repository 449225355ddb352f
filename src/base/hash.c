/* SPDX-License-Identifier: MIT */
/* hash.c - XXH3 digests (xxhash, header form so that short inputs are inlined) and hex. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "augury/base.h"

struct digest
digest_of(struct bytes data)
{
    XXH128_hash_t hash = XXH3_128bits(data.data, data.len);
    return (struct digest){.lo = hash.low64, .hi = hash.high64};
}

struct digest
digest_with_secret(struct bytes data, const uint8_t *secret)
{
    XXH128_hash_t hash = XXH3_128bits_withSecret(data.data, data.len, secret, DIGEST_SECRET_BYTES);
    return (struct digest){.lo = hash.low64, .hi = hash.high64};
}

bool
digest_equal(struct digest a, struct digest b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

uint64_t
hash64_of(struct bytes data)
{
    return XXH3_64bits(data.data, data.len);
}

void
hex_encode(struct bytes data, char *out_hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < data.len; i++) {
        out_hex[2 * i] = digits[data.data[i] >> 4];
        out_hex[2 * i + 1] = digits[data.data[i] & 15];
    }
}

/* Eight digits, most significant first: every cached row has its digest in its key, so all eight
 * nibbles become characters at once, a byte each. */
static void
word_to_hex(uint32_t word, char *out_hex)
{
    uint64_t x = __builtin_bswap32(word);

    x = (x | x << 16) & 0x0000ffff0000ffffu;
    x = (x | x << 8) & 0x00ff00ff00ff00ffu;
    x = (x >> 4 & 0x000f000f000f000fu) | (x & 0x000f000f000f000fu) << 8;
    uint64_t is_letter = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
    le64_put((uint8_t *)out_hex, x + 0x3030303030303030u + is_letter * ('a' - '0' - 10));
}

void
digest_to_hex(struct digest digest, char *out_hex)
{
    word_to_hex((uint32_t)(digest.hi >> 32), out_hex);
    word_to_hex((uint32_t)digest.hi, out_hex + 8);
    word_to_hex((uint32_t)(digest.lo >> 32), out_hex + 16);
    word_to_hex((uint32_t)digest.lo, out_hex + 24);
}

size_t
base64_len(size_t data_len)
{
    return (data_len + 2) / 3 * 4;
}

void
base64_encode(struct bytes data, char *out_text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t group = (uint32_t)data.data[i] << 16;
        group |= left > 1 ? (uint32_t)data.data[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)data.data[i + 2] : 0;
        *out_text++ = digits[group >> 18];
        *out_text++ = digits[group >> 12 & 63];
        *out_text++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out_text++ = left > 2 ? digits[group & 63] : '=';
    }
}
