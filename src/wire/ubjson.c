/* SPDX-License-Identifier: MIT */
/*
 * ubjson.c - UBJSON to a tree (Universal Binary JSON, draft 12, ubjson.org), as XGBoost writes it
 * and in its other legal forms: counted and uncounted, typed and untyped containers, no-ops
 * between values.
 * Invariant: a declared count is held against the bytes that remain before anything is allocated
 * for it; containers of null, true or false, whose items take no bytes, are held against the limit
 * of values alone.
 */
#include "decode.h"

#include <string.h>

struct reader {
    struct decode *decode;
    const uint8_t *data;
    size_t len;
    size_t at;
};

/* `$` and `#` of a container. */
struct frame {
    uint8_t type; /* marker of all items; 0: each has its own */
    bool is_counted;
    uint32_t count;
    size_t at; /* of the container, for errors */
};

static int read_payload(struct reader *reader, uint8_t marker, unsigned depth,
                        struct wire_value *out_value);

/* ---- bytes ---- */

static size_t
remaining(const struct reader *reader)
{
    return reader->len - reader->at;
}

static int
refuse_end(const struct reader *reader)
{
    return decode_invalid(reader->decode, reader->len, "the document ends in the middle");
}

static int
read_byte(struct reader *reader, uint8_t *out_byte)
{
    if (remaining(reader) < 1) {
        return refuse_end(reader);
    }
    *out_byte = reader->data[reader->at++];
    return 0;
}

/* The marker of the next value; no-ops are skipped. */
static int
read_marker(struct reader *reader, uint8_t *out_marker)
{
    int rc = 0;

    do {
        rc = read_byte(reader, out_marker);
    } while (rc == 0 && *out_marker == 'N');
    return rc;
}

static uint64_t
big_endian(const uint8_t *p, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value = value << 8 | p[i];
    }
    return value;
}

/* Bytes of one number; 0 for what is no number. */
static size_t
number_size(uint8_t marker)
{
    switch (marker) {
    case 'i':
    case 'U': return 1;
    case 'I': return 2;
    case 'l':
    case 'd': return 4;
    case 'L':
    case 'D': return 8;
    default: return 0;
    }
}

/* ---- scalars ---- */

static int64_t
integer_of(uint8_t marker, uint64_t bits)
{
    switch (marker) {
    case 'i': return (int8_t)bits;
    case 'I': return (int16_t)bits;
    case 'l': return (int32_t)bits;
    default: return (int64_t)bits; /* U, L */
    }
}

static int
read_number(struct reader *reader, uint8_t marker, struct wire_value *out_value)
{
    size_t size = number_size(marker);

    if (remaining(reader) < size) {
        return refuse_end(reader);
    }
    uint64_t bits = big_endian(reader->data + reader->at, size);
    reader->at += size;
    if (marker == 'd') {
        uint32_t half = (uint32_t)bits;
        float single;
        memcpy(&single, &half, sizeof(single));
        *out_value = (struct wire_value){.type = WIRE_REAL, .as.real = (double)single};
    } else if (marker == 'D') {
        double real;
        memcpy(&real, &bits, sizeof(real));
        *out_value = (struct wire_value){.type = WIRE_REAL, .as.real = real};
    } else {
        *out_value = (struct wire_value){.type = WIRE_INT, .as.integer = integer_of(marker, bits)};
    }
    return 0;
}

/* A length or count: any integer marker, not negative, at most `max`, which the remaining bytes
 * decide. */
static int
read_count(struct reader *reader, uint8_t marker, size_t max, uint32_t *out_count)
{
    struct wire_value count;
    size_t at = reader->at - 1;

    if (number_size(marker) == 0 || marker == 'd' || marker == 'D') {
        return decode_invalid(reader->decode, at,
                              "expected a length (an integer), got the marker 0x%02x", marker);
    }
    int rc = read_number(reader, marker, &count);
    if (rc != 0) {
        return rc;
    }
    if (count.as.integer < 0) {
        return decode_invalid(reader->decode, at, "a length is negative");
    }
    if ((uint64_t)count.as.integer > max || (uint64_t)count.as.integer > UINT32_MAX) {
        return decode_invalid(reader->decode, at,
                              "a length of %lld goes beyond the end of the document",
                              (long long)count.as.integer);
    }
    *out_count = (uint32_t)count.as.integer;
    return 0;
}

/* len bytes of UTF-8 as they will last; the caller has held len against what remains. */
static int
take_text(struct reader *reader, uint32_t len, struct bytes *out_text)
{
    struct decode *decode = reader->decode;
    struct bytes text = bytes_of(reader->data + reader->at, len);

    if (!utf8_is_valid(text)) {
        return decode_invalid(decode, reader->at, "a string is not valid UTF-8");
    }
    reader->at += len;
    if ((decode->limits->flags & WIRE_BORROW) == 0) {
        text.data = (const uint8_t *)arena_text(decode->arena, text);
        if (text.data == NULL) {
            return decode_no_room(decode, reader->at);
        }
    }
    *out_text = text;
    return 0;
}

/* marker: of the length. */
static int
read_text(struct reader *reader, uint8_t marker, struct bytes *out_text)
{
    uint32_t len = 0;

    int rc = read_count(reader, marker, reader->len, &len);
    if (rc == 0 && len > remaining(reader)) {
        rc = refuse_end(reader);
    }
    return rc != 0 ? rc : take_text(reader, len, out_text);
}

static int
read_string(struct reader *reader, struct wire_value *out_value)
{
    struct bytes text;
    uint8_t marker = 0;

    int rc = read_byte(reader, &marker);
    if (rc == 0) {
        rc = read_text(reader, marker, &text);
    }
    if (rc == 0) {
        *out_value = (struct wire_value){
            .type = WIRE_STRING, .count = (uint32_t)text.len, .as.text = (const char *)text.data};
    }
    return rc;
}

static int
read_char(struct reader *reader, struct wire_value *out_value)
{
    struct bytes text;

    if (remaining(reader) < 1) {
        return refuse_end(reader);
    }
    int rc = take_text(reader, 1, &text);
    if (rc == 0) {
        *out_value = (struct wire_value){
            .type = WIRE_STRING, .count = 1, .as.text = (const char *)text.data};
    }
    return rc;
}

/* ---- containers ---- */

/* The fewest bytes that one item takes. */
static size_t
item_min_size(uint8_t type)
{
    switch (type) {
    case 'Z':
    case 'T':
    case 'F': return 0;
    case 'S':
    case 'H': return 2;
    default: return number_size(type) > 0 ? number_size(type) : 1;
    }
}

/* Reads `$ type` and `# count`, where they are. key_size: bytes that each item's key takes at
 * least. */
static int
read_frame(struct reader *reader, size_t key_size, struct frame *out_frame)
{
    struct frame frame = {.at = reader->at - 1};
    uint8_t marker = 0;

    if (remaining(reader) >= 1 && reader->data[reader->at] == '$') {
        reader->at++;
        int rc = read_byte(reader, &frame.type);
        if (rc != 0) {
            return rc;
        }
        if (frame.type == 0 || strchr("ZTFiUIlLdDCHS[{", frame.type) == NULL) {
            return decode_invalid(reader->decode, reader->at - 1,
                                  "0x%02x is no type for a container", frame.type);
        }
        if (remaining(reader) < 1 || reader->data[reader->at] != '#') {
            return decode_invalid(reader->decode, reader->at,
                                  "a typed container has no count, expected '#'");
        }
    }
    if (remaining(reader) >= 1 && reader->data[reader->at] == '#') {
        reader->at++;
        int rc = read_byte(reader, &marker);
        /* The number that holds the count is among what remains: too generous by that, checked by
         * every read. */
        size_t each = key_size + (frame.type != 0 ? item_min_size(frame.type) : 1);
        size_t max = each > 0 ? remaining(reader) / each : UINT32_MAX;
        rc = rc != 0 ? rc : read_count(reader, marker, max, &frame.count);
        if (rc != 0) {
            return rc;
        }
        frame.is_counted = true;
    }
    *out_frame = frame;
    return 0;
}

static const struct {
    uint8_t marker;
    uint8_t element; /* enum wire_element */
} typed_elements[] = {
    {'i', WIRE_I8},  {'U', WIRE_U8},  {'I', WIRE_I16}, {'l', WIRE_I32},
    {'L', WIRE_I64}, {'d', WIRE_F32}, {'D', WIRE_F64},
};

static void
copy_swapped(const uint8_t *from, size_t count, size_t size, void *out_data)
{
    uint16_t *out16 = out_data;
    uint32_t *out32 = out_data;
    uint64_t *out64 = out_data;

    for (size_t i = 0; size == 2 && i < count; i++) {
        out16[i] = (uint16_t)big_endian(from + 2 * i, 2);
    }
    for (size_t i = 0; size == 4 && i < count; i++) {
        out32[i] = (uint32_t)big_endian(from + 4 * i, 4);
    }
    for (size_t i = 0; size == 8 && i < count; i++) {
        out64[i] = big_endian(from + 8 * i, 8);
    }
    if (size == 1 && count > 0) {
        memcpy(out_data, from, count);
    }
}

static int
read_typed(struct reader *reader, const struct frame *frame, struct wire_value *out_value)
{
    struct decode *decode = reader->decode;
    size_t size = number_size(frame->type);
    uint8_t element = 0;

    if (frame->count > remaining(reader) / size) {
        return refuse_end(reader);
    }
    int rc = decode_take_values(decode, frame->count, frame->at);
    if (rc != 0) {
        return rc;
    }
    void *data = arena_alloc(decode->arena, frame->count * size);
    if (data == NULL) {
        return decode_no_room(decode, frame->at);
    }
    copy_swapped(reader->data + reader->at, frame->count, size, data);
    reader->at += frame->count * size;
    for (size_t i = 0; i < AUGURY_COUNT(typed_elements); i++) {
        element = typed_elements[i].marker == frame->type ? typed_elements[i].element : element;
    }
    *out_value = (struct wire_value){
        .type = WIRE_TYPED, .element = element, .count = frame->count, .as.typed = data};
    return 0;
}

/* Room for one more item of an uncounted container: doubles, so that the copies stay below the
 * final size. */
static void *
grow(struct arena *arena, void *items, uint32_t used, uint32_t *cap, size_t item_size)
{
    if (used < *cap) {
        return items;
    }
    uint32_t new_cap = *cap == 0 ? 8 : 2 * *cap;
    void *room = arena_alloc(arena, new_cap * item_size);
    if (room != NULL && used > 0) {
        memcpy(room, items, used * item_size);
    }
    *cap = room != NULL ? new_cap : *cap;
    return room;
}

/* Is there another item? Counted: by number; otherwise until `close`, which is taken. marker is
 * the item's. */
static int
next_item(struct reader *reader, const struct frame *frame, uint32_t i, uint8_t close,
          uint8_t *out_marker)
{
    uint8_t marker = 0;

    if (frame->is_counted && i == frame->count) {
        return AUGURY_END;
    }
    int rc = read_marker(reader, &marker);
    if (rc == 0 && !frame->is_counted && marker == close) {
        return AUGURY_END;
    }
    if (rc == 0 && !frame->is_counted) {
        rc = decode_take_values(reader->decode, 1, frame->at);
    }
    *out_marker = marker;
    return rc;
}

/* First room for the items: all of them when they are counted. */
static int
open_container(struct reader *reader, const struct frame *frame, size_t item_size, void **out_room,
               uint32_t *out_cap)
{
    *out_room = NULL;
    *out_cap = 0;
    if (!frame->is_counted) {
        return 0;
    }
    int rc = decode_take_values(reader->decode, frame->count, frame->at);
    if (rc != 0) {
        return rc;
    }
    *out_room = arena_alloc(reader->decode->arena, frame->count * item_size);
    *out_cap = frame->count;
    return *out_room != NULL ? 0 : decode_no_room(reader->decode, frame->at);
}

static int
read_items(struct reader *reader, const struct frame *frame, unsigned depth,
           struct wire_value *out_value)
{
    struct decode *decode = reader->decode;
    struct wire_value *items;
    void *room = NULL;
    uint32_t cap = 0;
    uint32_t i = 0;
    uint8_t marker = frame->type;

    int rc = open_container(reader, frame, sizeof(*items), &room, &cap);
    items = room;
    for (; rc == 0; i++) {
        if (frame->type == 0) {
            rc = next_item(reader, frame, i, ']', &marker);
        } else if (i == frame->count) {
            rc = AUGURY_END;
        }
        if (rc != 0) {
            break;
        }
        struct wire_value *grown = grow(decode->arena, items, i, &cap, sizeof(*items));
        if (grown == NULL) {
            return decode_no_room(decode, reader->at);
        }
        items = grown;
        rc = read_payload(reader, marker, depth + 1, &items[i]);
    }
    if (rc == AUGURY_END) {
        *out_value = (struct wire_value){.type = WIRE_ARRAY, .count = i, .as.items = items};
        rc = 0;
    }
    return rc;
}

static int
read_array(struct reader *reader, unsigned depth, struct wire_value *out_value)
{
    struct frame frame = {0};

    if (depth >= reader->decode->limits->depth) {
        return decode_too_deep(reader->decode, reader->at - 1);
    }
    int rc = read_frame(reader, 0, &frame);
    if (rc != 0) {
        return rc;
    }
    return number_size(frame.type) > 0 ? read_typed(reader, &frame, out_value)
                                       : read_items(reader, &frame, depth, out_value);
}

/* A key, whose length marker has been read, and its value. */
static int
read_pair(struct reader *reader, const struct frame *frame, uint8_t marker, unsigned depth,
          struct wire_pair *out_pair)
{
    uint8_t value_marker = frame->type;

    int rc = read_text(reader, marker, &out_pair->key);
    if (rc == 0 && frame->type == 0) {
        rc = read_marker(reader, &value_marker);
    }
    return rc != 0 ? rc : read_payload(reader, value_marker, depth + 1, &out_pair->value);
}

static int
check_keys(struct reader *reader, const struct frame *frame, const struct wire_pair *pairs,
           uint32_t count)
{
    uint32_t twice = 0;

    if (count == 0) {
        return 0;
    }
    int rc = pairs_check_unique(reader->decode->arena, pairs, count, &twice);
    if (rc == AUGURY_ERR_EXISTS) {
        return decode_key_twice(reader->decode, frame->at, pairs[twice].key);
    }
    return rc == 0 ? 0 : decode_no_room(reader->decode, reader->at);
}

static int
read_object(struct reader *reader, unsigned depth, struct wire_value *out_value)
{
    struct decode *decode = reader->decode;
    struct wire_pair *pairs;
    struct frame frame = {0};
    void *room = NULL;
    uint32_t cap = 0;
    uint32_t i = 0;

    if (depth >= decode->limits->depth) {
        return decode_too_deep(decode, reader->at - 1);
    }
    int rc = read_frame(reader, 2, &frame);
    if (rc == 0) {
        rc = open_container(reader, &frame, sizeof(*pairs), &room, &cap);
    }
    if (rc != 0) {
        return rc;
    }
    pairs = room;
    for (; rc == 0; i++) {
        uint8_t marker = 0;
        rc = next_item(reader, &frame, i, '}', &marker);
        if (rc != 0) {
            break;
        }
        struct wire_pair *grown = grow(decode->arena, pairs, i, &cap, sizeof(*pairs));
        if (grown == NULL) {
            return decode_no_room(decode, reader->at);
        }
        pairs = grown;
        rc = read_pair(reader, &frame, marker, depth, &pairs[i]);
    }
    if (rc != AUGURY_END) {
        return rc;
    }
    *out_value = (struct wire_value){.type = WIRE_OBJECT, .count = i, .as.pairs = pairs};
    return i > 0 ? check_keys(reader, &frame, pairs, i) : 0;
}

/* ---- values ---- */

static int
read_payload(struct reader *reader, uint8_t marker, unsigned depth, struct wire_value *out_value)
{
    switch (marker) {
    case 'Z': *out_value = (struct wire_value){.type = WIRE_NULL}; return 0;
    case 'T': *out_value = (struct wire_value){.type = WIRE_BOOL, .as.boolean = true}; return 0;
    case 'F': *out_value = (struct wire_value){.type = WIRE_BOOL, .as.boolean = false}; return 0;
    case 'C': return read_char(reader, out_value);
    case 'S':
    case 'H': return read_string(reader, out_value);
    case '[': return read_array(reader, depth, out_value);
    case '{': return read_object(reader, depth, out_value);
    default: break;
    }
    if (number_size(marker) > 0) {
        return read_number(reader, marker, out_value);
    }
    return decode_invalid(reader->decode, reader->at - 1,
                          "expected a value, got the unknown marker 0x%02x", marker);
}

int
decode_ubjson(struct decode *decode, struct wire_value *out_value)
{
    struct reader reader = {.decode = decode, .data = decode->input.data, .len = decode->input.len};
    struct wire_value root = {.type = WIRE_NULL};
    uint8_t marker = 0;

    int rc = decode_take_values(decode, 1, 0);
    if (rc == 0) {
        rc = read_marker(&reader, &marker);
    }
    if (rc == 0) {
        rc = read_payload(&reader, marker, 0, &root);
    }
    if (rc == 0 && remaining(&reader) > 0) {
        rc = decode_invalid(decode, reader.at, "%zu bytes follow the document, expected its end",
                            remaining(&reader));
    }
    if (rc == 0) {
        *out_value = root;
    }
    return rc;
}
