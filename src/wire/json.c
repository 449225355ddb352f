/* SPDX-License-Identifier: MIT */
/*
 * json.c - JSON text to a tree, by yyjson (RFC 8259).
 * The text is copied into the arena and parsed in place there, so strings of the tree point into
 * that copy. yyjson's own values are working memory: in the arena for requests, which then need no
 * malloc; on the heap for long documents (model files), where they are given back before the tree
 * is used.
 * yyjson does not recurse; convert() does, and stops at the limit of depth.
 */
#include "decode.h"

#include <math.h>
#include <string.h>
#include <yyjson.h>

enum {
    JSON_PADDING = YYJSON_PADDING_SIZE,
    JSON_HEAP_MIN_BYTES = 1 << 20, /* from here on yyjson works on the heap */
};

/* ---- yyjson's allocator over an arena: the last block can grow, others only leak ---- */

static size_t
block_size(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static bool
is_last_block(const struct arena *arena, const void *block, size_t size)
{
    return (const uint8_t *)block + size == arena->base + arena->used;
}

static void *
on_malloc(void *ctx, size_t size)
{
    return arena_alloc(ctx, block_size(size));
}

static void *
on_realloc(void *ctx, void *old, size_t old_size, size_t size)
{
    struct arena *arena = ctx;

    if (is_last_block(arena, old, block_size(old_size))) {
        size_t at = (size_t)((const uint8_t *)old - arena->base);
        if (size > arena->max || block_size(size) > arena->max - at) {
            return NULL;
        }
        arena->used = at + block_size(size);
        return old;
    }
    void *room = arena_alloc(arena, block_size(size));
    if (room != NULL) {
        memcpy(room, old, old_size < size ? old_size : size);
    }
    return room;
}

static void
on_free(void *ctx, void *block)
{
    (void)ctx;
    (void)block; /* the arena's owner frees it all at once */
}

/* ---- from yyjson's values to ours ---- */

struct conversion {
    struct decode *decode;
    const char *text; /* the copy that yyjson has parsed in place */
};

/* yyjson tells no places after parsing; this finds the bracket that is one level too deep. */
static size_t
place_of_depth(struct bytes input, unsigned limit)
{
    unsigned depth = 0;
    bool is_in_string = false;

    for (size_t i = 0; i < input.len; i++) {
        uint8_t c = input.data[i];
        if (is_in_string) {
            i += c == '\\' ? 1 : 0;
            is_in_string = c != '"';
        } else if (c == '"') {
            is_in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limit) {
                return i;
            }
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return input.len;
}

/* Takes the values and checks the depth; sets *out_room, which is not NULL, also for an empty
 * container. */
static int
open_container(struct conversion *conv, size_t count, unsigned depth, size_t item_size,
               void **out_room)
{
    struct decode *decode = conv->decode;

    if (depth >= decode->limits->depth) {
        return decode_too_deep(decode, place_of_depth(decode->input, decode->limits->depth));
    }
    int rc = decode_take_values(decode, count, 0);
    if (rc != 0) {
        return rc;
    }
    void *room = arena_alloc(decode->arena, count * item_size);
    if (room == NULL) {
        return decode_no_room(decode, decode->input.len);
    }
    *out_room = room;
    return 0;
}

static int convert(struct conversion *conv, yyjson_val *val, unsigned depth,
                   struct wire_value *out_value);

static int
convert_array(struct conversion *conv, yyjson_val *val, unsigned depth,
              struct wire_value *out_value)
{
    size_t count = yyjson_get_len(val);
    void *room;

    int rc = open_container(conv, count, depth, sizeof(struct wire_value), &room);
    struct wire_value *items = rc == 0 ? room : NULL;
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = convert(conv, yyjson_arr_iter_next(&iter), depth + 1, &items[i]);
    }
    if (rc == 0) {
        *out_value =
            (struct wire_value){.type = WIRE_ARRAY, .count = (uint32_t)count, .as.items = items};
    }
    return rc;
}

static int
refuse_duplicate(const struct conversion *conv, struct bytes key)
{
    /* The key's text begins where it began in the input: one byte after its quote. */
    size_t at = (size_t)((const char *)key.data - conv->text) - 1;

    return decode_key_twice(conv->decode, at, key);
}

static int
convert_object(struct conversion *conv, yyjson_val *val, unsigned depth,
               struct wire_value *out_value)
{
    size_t count = yyjson_get_len(val);
    uint32_t twice = 0;
    void *room;

    int rc = open_container(conv, count, depth, sizeof(struct wire_pair), &room);
    struct wire_pair *pairs = rc == 0 ? room : NULL;
    yyjson_obj_iter iter = yyjson_obj_iter_with(val);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        yyjson_val *key = yyjson_obj_iter_next(&iter);
        pairs[i].key = bytes_of(yyjson_get_str(key), yyjson_get_len(key));
        rc = convert(conv, yyjson_obj_iter_get_val(key), depth + 1, &pairs[i].value);
    }
    if (rc != 0) {
        return rc;
    }
    rc = pairs_check_unique(conv->decode->arena, pairs, (uint32_t)count, &twice);
    if (rc == AUGURY_ERR_EXISTS) {
        return refuse_duplicate(conv, pairs[twice].key);
    }
    if (rc != 0) {
        return decode_no_room(conv->decode, conv->decode->input.len);
    }
    *out_value =
        (struct wire_value){.type = WIRE_OBJECT, .count = (uint32_t)count, .as.pairs = pairs};
    return 0;
}

static struct wire_value
convert_number(yyjson_val *val)
{
    switch (yyjson_get_subtype(val)) {
    case YYJSON_SUBTYPE_UINT: {
        uint64_t number = yyjson_get_uint(val);
        return number > INT64_MAX
                   ? (struct wire_value){.type = WIRE_UINT, .as.uinteger = number}
                   : (struct wire_value){.type = WIRE_INT, .as.integer = (int64_t)number};
    }
    case YYJSON_SUBTYPE_SINT:
        return (struct wire_value){.type = WIRE_INT, .as.integer = yyjson_get_sint(val)};
    default: return (struct wire_value){.type = WIRE_REAL, .as.real = yyjson_get_real(val)};
    }
}

/* The text of a number: for the reader to choose, or because it is beyond what yyjson's own types
 * hold. The latter is a double, if there is one: 1e999 must not become infinity unsaid, which has
 * words of its own. */
static int
convert_number_text(const struct conversion *conv, yyjson_val *val, struct wire_value *out_value)
{
    struct wire_value text = {.type = WIRE_NUMBER,
                              .count = (uint32_t)yyjson_get_len(val),
                              .as.text = yyjson_get_raw(val)};
    double number = 0;

    if ((conv->decode->limits->flags & WIRE_NUMBERS_AS_TEXT) != 0) {
        *out_value = text;
        return 0;
    }
    int rc = wire_to_f64(&text, &number);
    char first = text.as.text[text.as.text[0] == '-'];
    bool is_word = first < '0' || first > '9';
    if (rc != 0 || (!is_word && !isfinite(number))) {
        return decode_invalid(conv->decode, (size_t)(text.as.text - conv->text),
                              "the number is too large for a double");
    }
    *out_value = (struct wire_value){.type = WIRE_REAL, .as.real = number};
    return 0;
}

static int
convert(struct conversion *conv, yyjson_val *val, unsigned depth, struct wire_value *out_value)
{
    switch (yyjson_get_type(val)) {
    case YYJSON_TYPE_NULL: *out_value = (struct wire_value){.type = WIRE_NULL}; return 0;
    case YYJSON_TYPE_BOOL:
        *out_value = (struct wire_value){.type = WIRE_BOOL, .as.boolean = yyjson_get_bool(val)};
        return 0;
    case YYJSON_TYPE_NUM: *out_value = convert_number(val); return 0;
    case YYJSON_TYPE_RAW: return convert_number_text(conv, val, out_value);
    case YYJSON_TYPE_STR:
        *out_value = (struct wire_value){.type = WIRE_STRING,
                                         .count = (uint32_t)yyjson_get_len(val),
                                         .as.text = yyjson_get_str(val)};
        return 0;
    case YYJSON_TYPE_ARR: return convert_array(conv, val, depth, out_value);
    case YYJSON_TYPE_OBJ: return convert_object(conv, val, depth, out_value);
    default: AUGURY_ASSERT(!"a type of yyjson"); return AUGURY_ERR_INVALID;
    }
}

/* yyjson says what is wrong and what it expected; this adds what stands there and what to do. */
static int
refuse_text(const struct decode *decode, const yyjson_read_err *why)
{
    struct bytes input = decode->input;

    if (why->code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
        return decode_no_room(decode, why->pos);
    }
    if (input.len == 0 || why->code == YYJSON_READ_ERROR_EMPTY_CONTENT) {
        return decode_invalid(decode, 0, "the document is empty, expected a JSON value");
    }
    if (input.len >= 3 && memcmp(input.data, "\xef\xbb\xbf", 3) == 0) {
        return decode_invalid(decode, 0,
                              "the document begins with a byte order mark, expected plain UTF-8");
    }
    if (why->pos >= input.len) {
        return decode_invalid(decode, input.len, "%s", why->msg);
    }
    uint8_t c = input.data[why->pos];
    if (c == 'N' || c == 'I' || (c == 'n' && why->code == YYJSON_READ_ERROR_UNEXPECTED_CHARACTER)) {
        return decode_invalid(decode, why->pos, "%s; NaN and Infinity are not JSON, write null",
                              why->msg);
    }
    if (c > 0x20 && c < 0x7f) {
        return decode_invalid(decode, why->pos, "%s, got '%c'", why->msg, c);
    }
    return decode_invalid(decode, why->pos, "%s, got byte 0x%02x", why->msg, c);
}

static yyjson_read_flag
read_flags(enum wire_flags flags)
{
    yyjson_read_flag read = YYJSON_READ_INSITU | YYJSON_READ_BIGNUM_AS_RAW;

    if ((flags & WIRE_NUMBERS_AS_TEXT) != 0) {
        read |= YYJSON_READ_NUMBER_AS_RAW;
    }
    if ((flags & WIRE_NONFINITE) != 0) {
        read |= YYJSON_READ_ALLOW_INF_AND_NAN;
    }
    return read;
}

int
decode_json(struct decode *decode, struct wire_value *out_value)
{
    struct bytes input = decode->input;
    bool is_long = input.len >= JSON_HEAP_MIN_BYTES;
    yyjson_alc in_arena = {on_malloc, on_realloc, on_free, decode->arena};
    yyjson_read_err why = {0};

    char *text = arena_alloc(decode->arena, input.len + JSON_PADDING);
    if (text == NULL) {
        return decode_no_room(decode, 0);
    }
    if (input.len > 0) {
        memcpy(text, input.data, input.len);
    }
    memset(text + input.len, 0, JSON_PADDING);
    yyjson_doc *doc = yyjson_read_opts(text, input.len, read_flags(decode->limits->flags),
                                       is_long ? NULL : &in_arena, &why);
    if (doc == NULL) {
        return refuse_text(decode, &why);
    }
    struct conversion conv = {.decode = decode, .text = text};
    int rc = decode_take_values(decode, 1, 0);
    if (rc == 0) {
        rc = convert(&conv, yyjson_doc_get_root(doc), 0, out_value);
    }
    yyjson_doc_free(doc);
    return rc;
}
