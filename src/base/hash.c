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

void
digest_to_hex(struct digest digest, char *out_hex)
{
    uint8_t raw[16];

    for (size_t i = 0; i < 8; i++) {
        raw[i] = (uint8_t)(digest.hi >> (56 - 8 * i));
        raw[8 + i] = (uint8_t)(digest.lo >> (56 - 8 * i));
    }
    hex_encode(bytes_of(raw, sizeof(raw)), out_hex);
}
