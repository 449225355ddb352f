/* SPDX-License-Identifier: MIT */
/*
 * registry_record.c - keys and records of the model environment as bytes.
 * Invariants: a name never holds a NUL, so `name NUL` is a prefix of that name's keys alone;
 * versions are big-endian in keys, so that memcmp orders them; a record's checksum covers its key,
 * so that no record passes under another.
 */
#include <string.h>

#include "registry_internal.h"

enum {
    META_FORMAT = 1,
    META_AT_SHA256 = 4,
    META_AT_RESERVED = 36,
    META_AT_SOURCE_BYTES = 40,
    META_AT_BLOB_BYTES = 48,
    META_AT_IMPORTED = 56,
    META_AT_CONTENT = 64,
    META_AT_CHECKSUM = 80,
};

static bool
is_alphanumeric(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_word(struct bytes text, size_t len_max)
{
    if (text.len == 0 || text.len > len_max || !is_alphanumeric(text.data[0])) {
        return false;
    }
    for (size_t i = 1; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (!is_alphanumeric(c) && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

bool
registry_name_is_valid(struct bytes name)
{
    return is_word(name, MODEL_NAME_MAX);
}

bool
label_is_valid(struct bytes label)
{
    bool has_other = false;

    for (size_t i = 0; i < label.len; i++) {
        has_other = has_other || label.data[i] < '0' || label.data[i] > '9';
    }
    return has_other && is_word(label, MODEL_LABEL_MAX);
}

/* ---- keys ------------------------------------------------------------------------------------ */

struct bytes
key_view(const struct key *key)
{
    return bytes_of(key->data, key->len);
}

static void
key_append(struct key *key, const void *data, size_t len)
{
    AUGURY_ASSERT(len <= KEY_MAX - key->len);
    memcpy(key->data + key->len, data, len);
    key->len += len;
}

struct key
key_prefix(struct bytes name)
{
    struct key key = {.len = 0};

    key_append(&key, name.data, name.len);
    key_append(&key, "", 1);
    return key;
}

struct key
key_of_version(struct bytes name, uint32_t version)
{
    struct key key = key_prefix(name);
    uint8_t big_endian[4] = {(uint8_t)(version >> 24), (uint8_t)(version >> 16),
                             (uint8_t)(version >> 8), (uint8_t)version};

    key_append(&key, big_endian, sizeof(big_endian));
    return key;
}

struct key
key_of_label(struct bytes name, struct bytes label)
{
    struct key key = key_prefix(name);

    key_append(&key, label.data, label.len);
    return key;
}

int
key_read_version(struct bytes key, struct bytes *out_name, uint32_t *out_version)
{
    if (key.len < 6 || key.data[key.len - 5] != '\0') {
        return AUGURY_ERR_CORRUPT;
    }
    struct bytes name = bytes_of(key.data, key.len - 5);
    const uint8_t *v = key.data + key.len - 4;
    uint32_t version =
        (uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 | (uint32_t)v[2] << 8 | (uint32_t)v[3];
    if (!registry_name_is_valid(name) || version == 0) {
        return AUGURY_ERR_CORRUPT;
    }
    *out_name = name;
    *out_version = version;
    return 0;
}

/* ---- meta ------------------------------------------------------------------------------------ */

/* Over the record up to here, then the key. */
static uint64_t
meta_checksum(const uint8_t *record, struct bytes key)
{
    uint8_t covered[META_AT_CHECKSUM + KEY_MAX];

    memcpy(covered, record, META_AT_CHECKSUM);
    memcpy(covered + META_AT_CHECKSUM, key.data, key.len);
    return hash64_of(bytes_of(covered, META_AT_CHECKSUM + key.len));
}

void
meta_encode(const struct meta *meta, struct bytes key, uint8_t *out_record)
{
    AUGURY_ASSERT(key.len <= KEY_MAX);
    le32_put(out_record, META_FORMAT);
    memcpy(out_record + META_AT_SHA256, meta->source_sha256, sizeof(meta->source_sha256));
    le32_put(out_record + META_AT_RESERVED, 0);
    le64_put(out_record + META_AT_SOURCE_BYTES, meta->source_bytes);
    le64_put(out_record + META_AT_BLOB_BYTES, meta->blob_bytes);
    le64_put(out_record + META_AT_IMPORTED, meta->imported_wall_ms);
    le64_put(out_record + META_AT_CONTENT, meta->content.lo);
    le64_put(out_record + META_AT_CONTENT + 8, meta->content.hi);
    le64_put(out_record + META_AT_CHECKSUM, meta_checksum(out_record, key));
}

int
meta_decode(struct bytes record, struct bytes key, struct meta *out_meta)
{
    const uint8_t *p = record.data;

    if (record.len != META_BYTES || key.len > KEY_MAX || le32_get(p) != META_FORMAT ||
        le64_get(p + META_AT_CHECKSUM) != meta_checksum(p, key)) {
        return AUGURY_ERR_CORRUPT;
    }
    memcpy(out_meta->source_sha256, p + META_AT_SHA256, sizeof(out_meta->source_sha256));
    out_meta->source_bytes = le64_get(p + META_AT_SOURCE_BYTES);
    out_meta->blob_bytes = le64_get(p + META_AT_BLOB_BYTES);
    out_meta->imported_wall_ms = le64_get(p + META_AT_IMPORTED);
    out_meta->content.lo = le64_get(p + META_AT_CONTENT);
    out_meta->content.hi = le64_get(p + META_AT_CONTENT + 8);
    return 0;
}

int
version_decode(struct bytes record, uint32_t *out_version)
{
    if (record.len != 4 || le32_get(record.data) == 0) {
        return AUGURY_ERR_CORRUPT;
    }
    *out_version = le32_get(record.data);
    return 0;
}
