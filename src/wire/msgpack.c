/* SPDX-License-Identifier: MIT */
/*
 * msgpack.c - MessagePack to a tree, by msgpack-c's parser.
 * msgpack-c ships its parser as a template (msgpack/unpack_template.h) that calls back for each
 * value, so that the tree is built in the arena at once and nothing is allocated by the library.
 * The parser does not recurse: its stack has 32 levels.
 * Invariant: the counts that arrays and maps declare add up to less than the bytes of the
 * document, as each value takes one byte at least; so no declared count makes us allocate more
 * than a fixed multiple of what was sent.
 */
#include "decode.h"

#include <string.h>

#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

/* What the parser passes on: a value, and for a container how far it has been filled. */
struct item {
    struct wire_value value;
    uint32_t filled;
    union {
        struct wire_value *items;
        struct wire_pair *pairs;
    } room;
};

/* The parser's user: where the values go, and the first thing that was refused. */
struct unpacking {
    struct decode *decode;
    unsigned depth;
    unsigned depth_max;
    size_t budget; /* values that the bytes can still hold */
    int rc;
    size_t at; /* of the refusal; AT_UNKNOWN: where the parser stopped */
    const char *reason;
    struct bytes key; /* that was there twice */
};

#define AT_UNKNOWN SIZE_MAX

static int
refuse(struct unpacking *unpacking, int rc, const char *reason)
{
    unpacking->rc = rc;
    unpacking->reason = reason;
    return -1;
}

static int
put_integer(struct item *out_item, int64_t value)
{
    out_item->value = (struct wire_value){.type = WIRE_INT, .as.integer = value};
    return 0;
}

static int
put_real(struct item *out_item, double value)
{
    out_item->value = (struct wire_value){.type = WIRE_REAL, .as.real = value};
    return 0;
}

/* ---- what the parser calls; the names are the template's ---- */

static struct item
unpack_on_root(struct unpacking *unpacking)
{
    (void)unpacking;
    return (struct item){0};
}

static int
unpack_on_nil(struct unpacking *unpacking, struct item *out_item)
{
    (void)unpacking;
    out_item->value = (struct wire_value){.type = WIRE_NULL};
    return 0;
}

static int
unpack_on_true(struct unpacking *unpacking, struct item *out_item)
{
    (void)unpacking;
    out_item->value = (struct wire_value){.type = WIRE_BOOL, .as.boolean = true};
    return 0;
}

static int
unpack_on_false(struct unpacking *unpacking, struct item *out_item)
{
    (void)unpacking;
    out_item->value = (struct wire_value){.type = WIRE_BOOL, .as.boolean = false};
    return 0;
}

#define ON_NUMBER(name, type, put)                                                                 \
    static int unpack_on_##name(struct unpacking *unpacking, type value, struct item *out_item)    \
    {                                                                                              \
        (void)unpacking;                                                                           \
        return put(out_item, value);                                                               \
    }
ON_NUMBER(uint8, uint8_t, put_integer)
ON_NUMBER(uint16, uint16_t, put_integer)
ON_NUMBER(uint32, uint32_t, put_integer)
ON_NUMBER(int8, int8_t, put_integer)
ON_NUMBER(int16, int16_t, put_integer)
ON_NUMBER(int32, int32_t, put_integer)
ON_NUMBER(int64, int64_t, put_integer)
ON_NUMBER(float, float, put_real)
ON_NUMBER(double, double, put_real)
#undef ON_NUMBER

static int
unpack_on_uint64(struct unpacking *unpacking, uint64_t value, struct item *out_item)
{
    (void)unpacking;
    if (value <= INT64_MAX) {
        return put_integer(out_item, (int64_t)value);
    }
    out_item->value = (struct wire_value){.type = WIRE_UINT, .as.uinteger = value};
    return 0;
}

/* An empty text has no place of its own: the parser's pointer is stale then. */
static void
put_text(struct item *out_item, enum wire_type type, const char *text, unsigned len)
{
    out_item->value =
        (struct wire_value){.type = (uint8_t)type, .count = len, .as.text = len > 0 ? text : ""};
}

static int
unpack_on_str(struct unpacking *unpacking, const char *base, const char *text, unsigned len,
              struct item *out_item)
{
    if (len > 0 && !utf8_is_valid(bytes_of(text, len))) {
        unpacking->at = (size_t)(text - base);
        return refuse(unpacking, AUGURY_ERR_INVALID,
                      "a str is not valid UTF-8; expected UTF-8, or bin for other bytes");
    }
    put_text(out_item, WIRE_STRING, text, len);
    return 0;
}

static int
unpack_on_bin(struct unpacking *unpacking, const char *base, const char *data, unsigned len,
              struct item *out_item)
{
    (void)unpacking;
    (void)base;
    put_text(out_item, WIRE_BINARY, data, len);
    return 0;
}

static int
unpack_on_ext(struct unpacking *unpacking, const char *base, const char *data, unsigned len,
              struct item *out_item)
{
    (void)out_item;
    if (len > 0) {
        unpacking->at = (size_t)(data - base);
        if (*data == -1) {
            return refuse(unpacking, AUGURY_ERR_INVALID,
                          "timestamps are not read; send a number or a str");
        }
    }
    return refuse(unpacking, AUGURY_ERR_INVALID, "extension types are not read");
}

/* Sets aside count places of item_size, once limits and bytes allow for them. NULL when refused. */
static void *
open_container(struct unpacking *unpacking, uint32_t count, size_t values_each, size_t item_size)
{
    struct decode *decode = unpacking->decode;

    if (unpacking->depth >= unpacking->depth_max) {
        refuse(unpacking, AUGURY_ERR_LIMIT, NULL);
        return NULL;
    }
    if (count * values_each > unpacking->budget) {
        refuse(unpacking, AUGURY_ERR_INVALID,
               "an array or map declares more items than the document has bytes");
        return NULL;
    }
    if (count > decode->values_left) {
        refuse(unpacking, AUGURY_ERR_FULL, NULL);
        return NULL;
    }
    void *room = arena_alloc(decode->arena, count * item_size);
    if (room == NULL) {
        refuse(unpacking, AUGURY_ERR_NOMEM, NULL);
        return NULL;
    }
    decode->values_left -= count;
    unpacking->budget -= count * values_each;
    unpacking->depth += count > 0 ? 1 : 0;
    if (decode_look(decode) != 0) {
        refuse(unpacking, AUGURY_ERR_TIMEOUT, NULL);
        return NULL;
    }
    return room;
}

static int
unpack_on_array(struct unpacking *unpacking, uint32_t count, struct item *out_item)
{
    struct wire_value *items = open_container(unpacking, count, 1, sizeof(*items));

    if (items == NULL) {
        return -1;
    }
    out_item->value = (struct wire_value){.type = WIRE_ARRAY, .count = count, .as.items = items};
    out_item->room.items = items;
    out_item->filled = 0;
    return 0;
}

static int
unpack_on_array_item(struct unpacking *unpacking, struct item *array, struct item item)
{
    array->room.items[array->filled++] = item.value;
    unpacking->depth -= array->filled == array->value.count ? 1 : 0;
    return 0;
}

static int
unpack_on_map(struct unpacking *unpacking, uint32_t count, struct item *out_item)
{
    struct wire_pair *pairs = open_container(unpacking, count, 2, sizeof(*pairs));

    if (pairs == NULL) {
        return -1;
    }
    out_item->value = (struct wire_value){.type = WIRE_OBJECT, .count = count, .as.pairs = pairs};
    out_item->room.pairs = pairs;
    out_item->filled = 0;
    return 0;
}

static int
check_keys(struct unpacking *unpacking, const struct item *map)
{
    uint32_t twice = 0;

    int rc = pairs_check_unique(unpacking->decode->arena, map->room.pairs, map->filled, &twice);
    if (rc == 0) {
        return 0;
    }
    if (rc == AUGURY_ERR_EXISTS) {
        unpacking->key = map->room.pairs[twice].key;
    }
    return refuse(unpacking, rc, NULL);
}

static int
unpack_on_map_item(struct unpacking *unpacking, struct item *map, struct item key,
                   struct item value)
{
    if (key.value.type != WIRE_STRING) {
        return refuse(unpacking, AUGURY_ERR_INVALID, "a map key is no str");
    }
    map->room.pairs[map->filled++] =
        (struct wire_pair){.key = wire_string(&key.value), .value = value.value};
    if (map->filled < map->value.count) {
        return 0;
    }
    unpacking->depth--;
    return check_keys(unpacking, map);
}

/* ---- msgpack-c's parser, made for the types above ---- */

#define msgpack_unpack_struct(name) struct unpack##name
#define msgpack_unpack_func(ret, name) static ret unpack##name
#define msgpack_unpack_callback(name) unpack_on##name
#define msgpack_unpack_object struct item
#define msgpack_unpack_user struct unpacking

#include <msgpack/unpack_template.h>

/* ---- */

/* Translates what a callback has refused, or what the parser itself did not like. */
static int
report(const struct unpacking *unpacking, int parsed, size_t stopped)
{
    const struct decode *decode = unpacking->decode;
    size_t at = unpacking->at != AT_UNKNOWN ? unpacking->at : stopped;

    if (unpacking->rc == 0 && parsed == MSGPACK_UNPACK_NOMEM_ERROR) {
        return decode_too_deep(decode, at); /* the parser's own stack */
    }
    switch (unpacking->rc) {
    case AUGURY_ERR_LIMIT: return decode_too_deep(decode, at);
    case AUGURY_ERR_FULL: return decode_too_many(decode, at);
    case AUGURY_ERR_NOMEM: return decode_no_room(decode, at);
    case AUGURY_ERR_EXISTS: return decode_key_twice(decode, at, unpacking->key);
    case AUGURY_ERR_TIMEOUT: return unpacking->rc; /* told where it was found */
    case AUGURY_ERR_INVALID: return decode_invalid(decode, at, "%s", unpacking->reason);
    default:
        return decode_invalid(decode, at, "byte 0x%02x begins no value of MessagePack",
                              at < decode->input.len ? decode->input.data[at] : 0);
    }
}

/* The bytes that strings of the tree will point into; NULL when the arena is full. */
static const char *
lasting_bytes(struct decode *decode)
{
    if ((decode->limits->flags & WIRE_BORROW) != 0) {
        return (const char *)decode->input.data;
    }
    return arena_text(decode->arena, decode->input);
}

int
decode_msgpack(struct decode *decode, struct wire_value *out_value)
{
    unsigned depth = decode->limits->depth;
    struct unpack_context context;
    size_t stopped = 0;

    if (decode->input.len == 0) {
        return decode_invalid(decode, 0, "the document is empty, expected a MessagePack value");
    }
    int rc = decode_take_values(decode, 1, 0);
    if (rc != 0) {
        return rc;
    }
    const char *text = lasting_bytes(decode);
    if (text == NULL) {
        return decode_no_room(decode, 0);
    }
    context.user = (struct unpacking){
        .decode = decode,
        .depth_max = depth < MSGPACK_EMBED_STACK_SIZE ? depth : MSGPACK_EMBED_STACK_SIZE,
        .budget = decode->input.len - 1,
        .at = AT_UNKNOWN,
    };
    unpack_init(&context);
    int done = unpack_execute(&context, text, decode->input.len, &stopped);
    if (done < 0) {
        return report(&context.user, done, stopped);
    }
    if (done == 0) {
        return decode_invalid(decode, decode->input.len, "the document ends in the middle");
    }
    if (stopped < decode->input.len) {
        return decode_invalid(decode, stopped, "%zu bytes follow the document, expected its end",
                              decode->input.len - stopped);
    }
    *out_value = unpack_data(&context).value;
    return 0;
}
