/* SPDX-License-Identifier: MIT */
/* api_object.c - an object's name, key, type and stored form. */
#include "api_object.h"

#include <string.h>

enum { FORM = 1, AT_TYPE_LEN = 2, AT_MODIFIED = 8, AT_MTIME = 16, AT_BYTES = 24 };

/* What is beside the content in a ring: its record's header, key, the object's header, its type. */
enum { MARGIN_BYTES = 1024 };

/* ---- names ----------------------------------------------------------------------------------- */

static bool
is_name_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
           c == '_' || c == '~' || c == ':' || c == '/' || c == '-';
}

static bool
segment_is_good(struct bytes segment)
{
    return segment.len > 0 && !bytes_equal_text(segment, ".") && !bytes_equal_text(segment, "..");
}

bool
object_name_is_good(struct bytes name)
{
    size_t begin = 0;

    if (name.len == 0 || name.len > OBJECT_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_byte(name.data[i])) {
            return false;
        }
        if (name.data[i] == '/') {
            if (!segment_is_good(bytes_of(name.data + begin, i - begin))) {
                return false;
            }
            begin = i + 1;
        }
    }
    return segment_is_good(bytes_of(name.data + begin, name.len - begin));
}

struct bytes
object_key(enum object_key which, struct bytes name, char *out)
{
    static const char *const beginnings[] = {
        [OBJECT_KEY_VALUE] = "object:", [OBJECT_KEY_ABSENCE] = "object:!"};
    size_t len = strlen(beginnings[which]);

    AUGURY_ASSERT(name.len <= OBJECT_NAME_MAX);
    memcpy(out, beginnings[which], len);
    memcpy(out + len, name.data, name.len);
    return bytes_of(out, len + name.len);
}

const struct conf_object *
object_section(const struct conf *conf, struct bytes name)
{
    const uint8_t *slash = name.len == 0 ? NULL : memchr(name.data, '/', name.len);

    for (uint32_t i = 0; slash != NULL && i < conf->object_count; i++) {
        if (bytes_equal_text(bytes_of(name.data, (size_t)(slash - name.data)),
                             conf->objects[i].name)) {
            return &conf->objects[i];
        }
    }
    return NULL;
}

const char *
object_type_of_name(struct bytes name)
{
    static const struct {
        const char *extension, *type;
    } types[] = {
        {".json", "application/json"},
        {".csv", "text/csv; charset=utf-8"},
        {".txt", "text/plain; charset=utf-8"},
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".xml", "application/xml"},
        {".yaml", "application/yaml"},
        {".toml", "application/toml"},
        {".msgpack", "application/msgpack"},
        {".ndjson", "application/x-ndjson"},
        {".parquet", "application/vnd.apache.parquet"},
        {".npy", "application/x-npy"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".gz", "application/gzip"},
        {".pdf", "application/pdf"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(types); i++) {
        size_t len = strlen(types[i].extension);
        if (name.len > len &&
            bytes_equal_nocase(bytes_of(name.data + name.len - len, len), types[i].extension)) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* ---- tags ------------------------------------------------------------------------------------ */

void
object_tag_to_text(uint64_t tag, char *out_text)
{
    uint8_t bytes[sizeof(tag)];

    le64_put(bytes, tag);
    out_text[0] = out_text[OBJECT_TAG_BYTES - 1] = '"';
    hex_encode(bytes_of(bytes, sizeof(bytes)), out_text + 1);
}

/* ---- the stored form ------------------------------------------------------------------------- */

size_t
object_encoded_len(const struct object *object)
{
    return OBJECT_HEADER_BYTES + object->type.len + object->content.len;
}

void
object_encode_head(const struct object *object, uint8_t *out)
{
    AUGURY_ASSERT(object->type.len <= OBJECT_TYPE_MAX);
    memset(out, 0, OBJECT_HEADER_BYTES);
    out[0] = FORM;
    le16_put(out + AT_TYPE_LEN, (uint16_t)object->type.len);
    le64_put(out + AT_MODIFIED, object->modified_wall_ms);
    le64_put(out + AT_MTIME, object->source_mtime_ns);
    le64_put(out + AT_BYTES, object->source_bytes);
    memcpy(out + OBJECT_HEADER_BYTES, object->type.data, object->type.len);
}

void
object_encode(const struct object *object, uint8_t *out)
{
    object_encode_head(object, out);
    if (object->content.len > 0) {
        memcpy(out + OBJECT_HEADER_BYTES + object->type.len, object->content.data,
               object->content.len);
    }
}

bool
object_type_is_good(struct bytes type)
{
    bool is_good = type.len > 0 && type.len <= OBJECT_TYPE_MAX;

    for (size_t i = 0; is_good && i < type.len; i++) {
        is_good = type.data[i] >= ' ' && type.data[i] <= '~';
    }
    return is_good;
}

bool
object_decode(struct bytes stored, struct object *out_object)
{
    if (stored.len < OBJECT_HEADER_BYTES || stored.data[0] != FORM) {
        return false;
    }
    size_t type_len = le16_get(stored.data + AT_TYPE_LEN);
    size_t head_len = OBJECT_HEADER_BYTES + type_len;
    if (head_len > stored.len) {
        return false;
    }
    struct object object = {
        .type = bytes_of(stored.data + OBJECT_HEADER_BYTES, type_len),
        .content = bytes_of(stored.data + head_len, stored.len - head_len),
        .modified_wall_ms = le64_get(stored.data + AT_MODIFIED),
        .source_mtime_ns = le64_get(stored.data + AT_MTIME),
        .source_bytes = le64_get(stored.data + AT_BYTES),
    };
    /* It goes into a header. */
    if (!object_type_is_good(object.type)) {
        return false;
    }
    *out_object = object;
    return true;
}

size_t
object_content_max(const struct conf *conf)
{
    uint64_t half_ring = conf->cache.ring_bytes / 2;
    uint64_t most = half_ring < CACHE_VALUE_MAX ? half_ring : CACHE_VALUE_MAX;

    return (size_t)(most - MARGIN_BYTES);
}

bool
api_object_view(struct bytes stored, struct api_object_view *out_view)
{
    struct object object;

    if (!object_decode(stored, &object)) {
        return false;
    }
    *out_view = (struct api_object_view){.type = object.type, .content = object.content};
    return true;
}
