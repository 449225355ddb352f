/* SPDX-License-Identifier: MIT */
/*
 * redis_value.c - entries on their way to Redis and back. What comes back is anybody's bytes:
 * lengths, class, text and a check over all of it must fit.
 */
#include "redis_value.h"

#include <string.h>

enum { MAGIC = 0x31524741 /* "AGR1" */, CHECKED = 48 };

static uint64_t
check_of(const uint8_t *header, struct bytes key, struct bytes value)
{
    uint8_t parts[CHECKED + 16];

    memcpy(parts, header, CHECKED);
    le64_put(parts + CHECKED, hash64_of(key));
    le64_put(parts + CHECKED + 8, hash64_of(value));
    return hash64_of(bytes_of(parts, sizeof(parts)));
}

void
redis_value_encode(const struct redis_value *value, uint8_t out_header[static REDIS_VALUE_HEADER])
{
    const struct cache_item *item = &value->item;
    uint8_t *p = out_header;

    AUGURY_ASSERT(item->key.len <= CACHE_KEY_TEXT_MAX && item->value.len <= CACHE_VALUE_MAX);
    le32_put(p, MAGIC);
    p[4] = (uint8_t)item->class;
    p[5] = 0;
    le16_put(p + 6, (uint16_t)item->key.len);
    le64_put(p + 8, item->created_wall_ms);
    le64_put(p + 16, item->expires_wall_ms);
    le64_put(p + 24, value->mark);
    le32_put(p + 32, item->stale_s);
    le32_put(p + 36, item->cost_us);
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        le16_put(p + 40 + 2 * i, item->tags[i]);
    }
    le16_put(p + 46, 0);
    le64_put(p + CHECKED, check_of(p, item->key, item->value));
}

bool
redis_value_decode(struct bytes stored, enum cache_class class, struct bytes key,
                   struct redis_value *out_value)
{
    const uint8_t *p = stored.data;

    if (stored.len < REDIS_VALUE_HEADER || le32_get(p) != MAGIC || p[4] != (uint8_t) class ||
        p[5] != 0 || le16_get(p + 46) != 0) {
        return false;
    }
    size_t text_len = le16_get(p + 6);
    if (text_len != key.len || stored.len - REDIS_VALUE_HEADER < text_len ||
        stored.len - REDIS_VALUE_HEADER - text_len > CACHE_VALUE_MAX) {
        return false;
    }
    struct bytes text = bytes_of(p + REDIS_VALUE_HEADER, text_len);
    struct bytes rest = bytes_of(text.data + text_len, stored.len - REDIS_VALUE_HEADER - text_len);
    if (!bytes_equal(text, key) || check_of(p, text, rest) != le64_get(p + CHECKED)) {
        return false;
    }
    *out_value = (struct redis_value){
        .item = {.class = class,
                 .key = text,
                 .value = rest,
                 .created_wall_ms = le64_get(p + 8),
                 .expires_wall_ms = le64_get(p + 16),
                 .stale_s = le32_get(p + 32),
                 .cost_us = le32_get(p + 36)},
        .mark = le64_get(p + 24),
    };
    for (size_t i = 0; i < CACHE_TAGS; i++) {
        out_value->item.tags[i] = le16_get(p + 40 + 2 * i);
    }
    return true;
}
