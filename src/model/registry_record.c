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
    META_FORMAT = 2,
    META_AT_SHA256 = 4,
    META_AT_GOLDEN_ROWS = 36,
    META_AT_SOURCE_BYTES = 40,
    META_AT_BLOB_BYTES = 48,
    META_AT_IMPORTED = 56,
    META_AT_CONTENT = 64,
    META_AT_GOLDEN_TOLERANCE = 80,
    META_AT_GOLDEN_SHA256 = 88,
    META_AT_KEY_ID = 120,
    META_AT_MANIFEST_SHA256 = 152,
    META_AT_SIGNER = 184,
    META_AT_RESERVED = 248,
    META_AT_CHECKSUM = 264,
    META_1_AT_CHECKSUM = 80, /* format 1 ended where the evidence begins */
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

/* Over the record up to its checksum, then the key. */
static uint64_t
meta_checksum(const uint8_t *record, size_t covered_len, struct bytes key)
{
    uint8_t covered[META_AT_CHECKSUM + KEY_MAX];

    memcpy(covered, record, covered_len);
    memcpy(covered + covered_len, key.data, key.len);
    return hash64_of(bytes_of(covered, covered_len + key.len));
}

static void
evidence_encode(const struct registry_evidence *evidence, uint8_t *record)
{
    uint64_t tolerance;

    memcpy(&tolerance, &evidence->golden_tolerance, sizeof(tolerance));
    le32_put(record + META_AT_GOLDEN_ROWS, evidence->golden_rows);
    le64_put(record + META_AT_GOLDEN_TOLERANCE, tolerance);
    memcpy(record + META_AT_GOLDEN_SHA256, evidence->golden_sha256, REGISTRY_SHA256_BYTES);
    memcpy(record + META_AT_KEY_ID, evidence->key_id, REGISTRY_SHA256_BYTES);
    memcpy(record + META_AT_MANIFEST_SHA256, evidence->manifest_sha256, REGISTRY_SHA256_BYTES);
    memcpy(record + META_AT_SIGNER, evidence->signer, strlen(evidence->signer));
}

static void
evidence_decode(const uint8_t *record, struct registry_evidence *out_evidence)
{
    uint64_t tolerance = le64_get(record + META_AT_GOLDEN_TOLERANCE);

    out_evidence->golden_rows = le32_get(record + META_AT_GOLDEN_ROWS);
    memcpy(&out_evidence->golden_tolerance, &tolerance, sizeof(tolerance));
    memcpy(out_evidence->golden_sha256, record + META_AT_GOLDEN_SHA256, REGISTRY_SHA256_BYTES);
    memcpy(out_evidence->key_id, record + META_AT_KEY_ID, REGISTRY_SHA256_BYTES);
    memcpy(out_evidence->manifest_sha256, record + META_AT_MANIFEST_SHA256, REGISTRY_SHA256_BYTES);
    memcpy(out_evidence->signer, record + META_AT_SIGNER, REGISTRY_SIGNER_MAX);
    out_evidence->signer[REGISTRY_SIGNER_MAX] = '\0';
}

void
meta_encode(const struct meta *meta, struct bytes key, uint8_t *out_record)
{
    AUGURY_ASSERT(key.len <= KEY_MAX);
    memset(out_record, 0, META_BYTES);
    le32_put(out_record, META_FORMAT);
    memcpy(out_record + META_AT_SHA256, meta->source_sha256, sizeof(meta->source_sha256));
    le64_put(out_record + META_AT_SOURCE_BYTES, meta->source_bytes);
    le64_put(out_record + META_AT_BLOB_BYTES, meta->blob_bytes);
    le64_put(out_record + META_AT_IMPORTED, meta->imported_wall_ms);
    le64_put(out_record + META_AT_CONTENT, meta->content.lo);
    le64_put(out_record + META_AT_CONTENT + 8, meta->content.hi);
    evidence_encode(&meta->evidence, out_record);
    le64_put(out_record + META_AT_CHECKSUM, meta_checksum(out_record, META_AT_CHECKSUM, key));
}

/* Where the checksum of a record stands, which ends it; 0: no record of a format that we know. */
static size_t
checksum_at(struct bytes record)
{
    size_t at = record.len < 4                         ? 0
                : le32_get(record.data) == META_FORMAT ? META_AT_CHECKSUM
                : le32_get(record.data) == 1           ? META_1_AT_CHECKSUM
                                                       : 0;

    return record.len == at + 8 ? at : 0;
}

int
meta_decode(struct bytes record, struct bytes key, struct meta *out_meta)
{
    const uint8_t *p = record.data;
    size_t at = checksum_at(record);

    if (at == 0 || key.len > KEY_MAX || le64_get(p + at) != meta_checksum(p, at, key)) {
        return AUGURY_ERR_CORRUPT;
    }
    memcpy(out_meta->source_sha256, p + META_AT_SHA256, sizeof(out_meta->source_sha256));
    out_meta->source_bytes = le64_get(p + META_AT_SOURCE_BYTES);
    out_meta->blob_bytes = le64_get(p + META_AT_BLOB_BYTES);
    out_meta->imported_wall_ms = le64_get(p + META_AT_IMPORTED);
    out_meta->content.lo = le64_get(p + META_AT_CONTENT);
    out_meta->content.hi = le64_get(p + META_AT_CONTENT + 8);
    if (at == META_AT_CHECKSUM) {
        evidence_decode(p, &out_meta->evidence);
    } else {
        memset(&out_meta->evidence, 0, sizeof(out_meta->evidence));
    }
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
