/* SPDX-License-Identifier: MIT */
/*
 * write.c - the streaming writer of JSON and MessagePack (by msgpack-c's packer).
 * Invariant: every value goes through place_value(), which counts it in the container that is
 * open; a container is closed by wire_end() only when all that it announced has come.
 */
#include "augury/wire.h"

#include <math.h>
#include <string.h>

#include <msgpack/pack.h>

static const struct bytes replacement = {.data = (const uint8_t *)"\xef\xbf\xbd", .len = 3};

/* ---- the container that is open ---- */

/* Every answer puts dozens: the common case needs no call. */
static inline void
put_json_char(struct wire_writer *writer, char c)
{
    struct buf *buf = writer->buf;

    if (buf->rc == 0 && buf->len < buf->cap) {
        buf->data[buf->len++] = (uint8_t)c;
    } else {
        buf_put_u8(buf, (uint8_t)c);
    }
}

/* Before each value: counts it and writes what separates it from the one before. */
static void
place_value(struct wire_writer *writer)
{
    if (writer->depth == 0) {
        return;
    }
    AUGURY_ASSERT(writer->open[writer->depth - 1].left > 0);
    uint32_t left = writer->open[writer->depth - 1].left--;
    if (writer->open[writer->depth - 1].is_object) {
        /* A key is placed by place_key(), so that what is left is odd here: this value, then whole
         * pairs. */
        AUGURY_ASSERT(left % 2 == 1);
        return;
    }
    if (writer->format == WIRE_JSON && !writer->open[writer->depth - 1].is_first) {
        put_json_char(writer, ',');
    }
    writer->open[writer->depth - 1].is_first = false;
}

static void
place_key(struct wire_writer *writer)
{
    AUGURY_ASSERT(writer->depth > 0 && writer->open[writer->depth - 1].is_object);
    AUGURY_ASSERT(writer->open[writer->depth - 1].left > 0);
    AUGURY_ASSERT(writer->open[writer->depth - 1].left-- % 2 == 0);
    if (writer->format == WIRE_JSON && !writer->open[writer->depth - 1].is_first) {
        put_json_char(writer, ',');
    }
    writer->open[writer->depth - 1].is_first = false;
}

/* ---- text ---- */

/* Bytes of the well-formed UTF-8 sequence that text begins with; 0 when there is none. */
static size_t
sequence_len(struct bytes text)
{
    uint8_t first = text.data[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    return len <= text.len && utf8_is_valid(bytes_of(text.data, len)) ? len : 0;
}

static struct bytes
bytes_after(struct bytes text, size_t n)
{
    return bytes_of(text.data + n, text.len - n);
}

/* Passes on the text with every byte that is not UTF-8 replaced; returns the length. buf may be
 * NULL: counts only. */
static size_t
put_clean(struct buf *buf, struct bytes text)
{
    size_t total = 0;

    while (text.len > 0) {
        size_t len = sequence_len(text);
        struct bytes piece = len > 0 ? bytes_of(text.data, len) : replacement;
        if (buf != NULL) {
            buf_put_bytes(buf, piece);
        }
        total += piece.len;
        text = bytes_after(text, len > 0 ? len : 1);
    }
    return total;
}

static void
put_json_escape(struct buf *buf, uint8_t c)
{
    static const char letters[] = "btn?fr"; /* 0x08 … 0x0d; 0x0b has none */
    char text[6] = {'\\', 'u', '0', '0', '0', '0'};

    if (c == '"' || c == '\\') {
        text[1] = (char)c;
        buf_put(buf, text, 2);
    } else if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
        text[1] = letters[c - 0x08];
        buf_put(buf, text, 2);
    } else {
        hex_encode(bytes_of(&c, 1), text + 4);
        buf_put(buf, text, sizeof(text));
    }
}

/* 1: stands in JSON as it is. The others are controls, the quote, the backslash and what is not
 * ASCII. */
static const uint8_t is_plain[256] = {
    [0x20 ... 0x21] = 1, [0x23 ... 0x5b] = 1, [0x5d ... 0x7f] = 1};

/* The first bytes that go into JSON as they are. */
static size_t
plain_len(struct bytes text)
{
    size_t len = 0;

    while (len < text.len && is_plain[text.data[len]] != 0) {
        len++;
    }
    return len;
}

static void
put_json_plain(struct buf *buf, struct bytes text)
{
    uint8_t *room = buf_reserve(buf, text.len + 2);

    if (room != NULL) {
        room[0] = '"';
        memcpy(room + 1, text.data, text.len);
        room[text.len + 1] = '"';
        buf_commit(buf, text.len + 2);
    }
}

static void
put_json_text(struct buf *buf, struct bytes text)
{
    if (text.len > 0 && plain_len(text) == text.len) {
        put_json_plain(buf, text);
        return;
    }
    buf_put_u8(buf, '"');
    while (text.len > 0) {
        size_t plain = plain_len(text);
        buf_put(buf, text.data, plain);
        text = bytes_after(text, plain);
        if (text.len == 0) {
            break;
        }
        size_t len = 1;
        if (text.data[0] < 0x80) {
            put_json_escape(buf, text.data[0]);
        } else {
            len = sequence_len(text);
            buf_put_bytes(buf, len > 0 ? bytes_of(text.data, len) : replacement);
            len = len > 0 ? len : 1;
        }
        text = bytes_after(text, len);
    }
    buf_put_u8(buf, '"');
}

/* ---- MessagePack ---- */

static int
on_packed(void *ctx, const char *data, size_t len)
{
    buf_put(ctx, data, len);
    return 0; /* the buf keeps its own code */
}

static msgpack_packer
packer_of(const struct wire_writer *writer)
{
    return (msgpack_packer){.data = writer->buf, .callback = on_packed};
}

static void
put_msgpack_text(struct wire_writer *writer, struct bytes text)
{
    msgpack_packer packer = packer_of(writer);

    if (utf8_is_valid(text)) {
        msgpack_pack_str(&packer, text.len);
        buf_put_bytes(writer->buf, text);
    } else {
        msgpack_pack_str(&packer, put_clean(NULL, text));
        put_clean(writer->buf, text);
    }
}

/* ---- values without their place: the writer's calls and whole trees share these ---- */

static void
emit_literal(struct wire_writer *writer, const char *json, int (*pack)(msgpack_packer *))
{
    if (writer->format == WIRE_JSON) {
        buf_put_text(writer->buf, json);
    } else {
        msgpack_packer packer = packer_of(writer);
        pack(&packer);
    }
}

static void
emit_i64(struct wire_writer *writer, int64_t value)
{
    if (writer->format == WIRE_MSGPACK) {
        msgpack_packer packer = packer_of(writer);
        msgpack_pack_int64(&packer, value);
        return;
    }
    if (value < 0) {
        put_json_char(writer, '-');
    }
    buf_put_u64(writer->buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void
emit_u64(struct wire_writer *writer, uint64_t value)
{
    if (writer->format == WIRE_MSGPACK) {
        msgpack_packer packer = packer_of(writer);
        msgpack_pack_uint64(&packer, value);
    } else {
        buf_put_u64(writer->buf, value);
    }
}

static void
emit_f32(struct wire_writer *writer, float value)
{
    msgpack_packer packer = packer_of(writer);

    if (!isfinite(value)) {
        emit_literal(writer, "null", msgpack_pack_nil);
    } else if (writer->format == WIRE_MSGPACK) {
        msgpack_pack_float(&packer, value);
    } else {
        uint8_t *room = buf_reserve(writer->buf, WIRE_F32_TEXT_MAX);
        if (room != NULL) {
            buf_commit(writer->buf, wire_f32_to_text(value, (char *)room));
        }
    }
}

static void
emit_f64(struct wire_writer *writer, double value)
{
    msgpack_packer packer = packer_of(writer);

    if (!isfinite(value)) {
        emit_literal(writer, "null", msgpack_pack_nil);
    } else if (writer->format == WIRE_MSGPACK) {
        msgpack_pack_double(&packer, value);
    } else {
        uint8_t *room = buf_reserve(writer->buf, WIRE_F32_TEXT_MAX);
        if (room != NULL) {
            buf_commit(writer->buf, wire_f64_to_text(value, (char *)room));
        }
    }
}

static void
emit_text(struct wire_writer *writer, struct bytes text)
{
    if (writer->format == WIRE_JSON) {
        put_json_text(writer->buf, text);
    } else {
        put_msgpack_text(writer, text);
    }
}

/* A number that was kept as text: JSON takes it as it is, MessagePack as the integer or double
 * that it names. */
static void
emit_number_text(struct wire_writer *writer, const struct wire_value *value)
{
    int64_t integer;
    double real;
    bool is_integer = memchr(value->as.text, '.', value->count) == NULL &&
                      memchr(value->as.text, 'e', value->count) == NULL &&
                      memchr(value->as.text, 'E', value->count) == NULL;

    if (wire_to_f64(value, &real) != 0 || !isfinite(real)) {
        emit_literal(writer, "null", msgpack_pack_nil);
    } else if (writer->format == WIRE_JSON) {
        buf_put(writer->buf, value->as.text, value->count);
    } else if (is_integer && wire_to_i64(value, &integer) == 0) {
        emit_i64(writer, integer);
    } else {
        emit_f64(writer, real);
    }
}

static void
emit_binary(struct wire_writer *writer, struct bytes data)
{
    msgpack_packer packer = packer_of(writer);

    if (writer->format == WIRE_MSGPACK) {
        msgpack_pack_bin(&packer, data.len);
        buf_put_bytes(writer->buf, data);
        return;
    }
    /* JSON has no bytes: two hex digits each. */
    put_json_char(writer, '"');
    uint8_t *room = buf_reserve(writer->buf, 2 * data.len);
    if (room != NULL) {
        hex_encode(data, (char *)room);
        buf_commit(writer->buf, 2 * data.len);
    }
    put_json_char(writer, '"');
}

static void
emit_open(struct wire_writer *writer, bool is_object, uint32_t count)
{
    msgpack_packer packer = packer_of(writer);

    if (writer->format == WIRE_JSON) {
        put_json_char(writer, is_object ? '{' : '[');
    } else if (is_object) {
        msgpack_pack_map(&packer, count);
    } else {
        msgpack_pack_array(&packer, count);
    }
}

static void
emit_between(struct wire_writer *writer, uint32_t i)
{
    if (writer->format == WIRE_JSON && i > 0) {
        put_json_char(writer, ',');
    }
}

static void
emit_close(struct wire_writer *writer, bool is_object)
{
    if (writer->format == WIRE_JSON) {
        put_json_char(writer, is_object ? '}' : ']');
    }
}

static void
emit_typed(struct wire_writer *writer, const struct wire_value *value)
{
    bool is_real = value->element == WIRE_F32 || value->element == WIRE_F64;
    int64_t integer = 0;
    float f32 = 0;

    emit_open(writer, false, value->count);
    for (uint32_t i = 0; i < value->count; i++) {
        emit_between(writer, i);
        if (value->element == WIRE_F64) {
            emit_f64(writer, ((const double *)value->as.typed)[i]);
        } else if (is_real && wire_array_f32(value, i, &f32) == 0) {
            emit_f32(writer, f32);
        } else if (wire_array_i64(value, i, &integer) == 0) {
            emit_i64(writer, integer);
        }
    }
    emit_close(writer, false);
}

/* Recurses as deep as the tree, which its decoder has bounded. */
static void
emit_value(struct wire_writer *writer, const struct wire_value *value)
{
    switch ((enum wire_type)value->type) {
    case WIRE_NULL: emit_literal(writer, "null", msgpack_pack_nil); break;
    case WIRE_BOOL:
        emit_literal(writer, value->as.boolean ? "true" : "false",
                     value->as.boolean ? msgpack_pack_true : msgpack_pack_false);
        break;
    case WIRE_INT: emit_i64(writer, value->as.integer); break;
    case WIRE_UINT: emit_u64(writer, value->as.uinteger); break;
    case WIRE_REAL: emit_f64(writer, value->as.real); break;
    case WIRE_NUMBER: emit_number_text(writer, value); break;
    case WIRE_STRING: emit_text(writer, wire_string(value)); break;
    case WIRE_BINARY: emit_binary(writer, wire_string(value)); break;
    case WIRE_TYPED: emit_typed(writer, value); break;
    case WIRE_ARRAY:
        emit_open(writer, false, value->count);
        for (uint32_t i = 0; i < value->count; i++) {
            emit_between(writer, i);
            emit_value(writer, &value->as.items[i]);
        }
        emit_close(writer, false);
        break;
    case WIRE_OBJECT:
        emit_open(writer, true, value->count);
        for (uint32_t i = 0; i < value->count; i++) {
            emit_between(writer, i);
            emit_text(writer, value->as.pairs[i].key);
            if (writer->format == WIRE_JSON) {
                put_json_char(writer, ':');
            }
            emit_value(writer, &value->as.pairs[i].value);
        }
        emit_close(writer, true);
        break;
    }
}

/* ---- the writer ---- */

void
wire_writer_init(struct wire_writer *writer, enum wire_format format, struct buf *buf)
{
    AUGURY_ASSERT(format == WIRE_JSON || format == WIRE_MSGPACK);
    /* open[] is set as it is used: a writer is made for every answer. */
    writer->buf = buf;
    writer->format = format;
    writer->depth = 0;
}

static void
open_container(struct wire_writer *writer, bool is_object, uint32_t count)
{
    AUGURY_ASSERT(writer->depth < AUGURY_COUNT(writer->open));
    AUGURY_ASSERT(!is_object || count <= UINT32_MAX / 2);
    place_value(writer);
    writer->open[writer->depth].left = is_object ? 2 * count : count;
    writer->open[writer->depth].is_object = is_object;
    writer->open[writer->depth].is_first = true;
    writer->depth++;
    emit_open(writer, is_object, count);
}

void
wire_object(struct wire_writer *writer, uint32_t pairs)
{
    open_container(writer, true, pairs);
}

void
wire_array(struct wire_writer *writer, uint32_t items)
{
    open_container(writer, false, items);
}

void
wire_end(struct wire_writer *writer)
{
    AUGURY_ASSERT(writer->depth > 0);
    AUGURY_ASSERT(writer->open[writer->depth - 1].left == 0);
    writer->depth--;
    emit_close(writer, writer->open[writer->depth].is_object);
}

void
wire_key_bytes(struct wire_writer *writer, struct bytes key)
{
    place_key(writer);
    emit_text(writer, key);
    if (writer->format == WIRE_JSON) {
        put_json_char(writer, ':');
    }
}

void
wire_key(struct wire_writer *writer, const char *key)
{
    wire_key_bytes(writer, bytes_of_text(key));
}

void
wire_put_null(struct wire_writer *writer)
{
    place_value(writer);
    emit_literal(writer, "null", msgpack_pack_nil);
}

void
wire_put_bool(struct wire_writer *writer, bool value)
{
    place_value(writer);
    emit_literal(writer, value ? "true" : "false", value ? msgpack_pack_true : msgpack_pack_false);
}

void
wire_put_i64(struct wire_writer *writer, int64_t value)
{
    place_value(writer);
    emit_i64(writer, value);
}

void
wire_put_u64(struct wire_writer *writer, uint64_t value)
{
    place_value(writer);
    emit_u64(writer, value);
}

void
wire_put_f32(struct wire_writer *writer, float value)
{
    place_value(writer);
    emit_f32(writer, value);
}

void
wire_put_f64(struct wire_writer *writer, double value)
{
    place_value(writer);
    emit_f64(writer, value);
}

void
wire_put_text(struct wire_writer *writer, const char *text)
{
    wire_put_string(writer, bytes_of_text(text));
}

void
wire_put_string(struct wire_writer *writer, struct bytes text)
{
    place_value(writer);
    emit_text(writer, text);
}

void
wire_put_value(struct wire_writer *writer, const struct wire_value *value)
{
    place_value(writer);
    emit_value(writer, value);
}
