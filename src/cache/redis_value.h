/* SPDX-License-Identifier: MIT */
/* redis_value.h - an entry as Redis keeps it; bytes in docs/formats.md ("in Redis"). Private to
 * cache. */
#pragma once

#include "augury/cache.h"

enum { REDIS_VALUE_HEADER = 56 };

struct redis_value {
    struct cache_item item; /* borrowed; .stamp is this machine's business: 0 */
    uint64_t mark;
};

/* The header that stands before the key's text and the value. */
void redis_value_encode(const struct redis_value *value,
                        uint8_t out_header[static REDIS_VALUE_HEADER]);
/* Bytes from elsewhere. false: not an entry of this format, not whole, or of another key. */
bool redis_value_decode(struct bytes stored, enum cache_class class, struct bytes key,
                        struct redis_value *out_value);
