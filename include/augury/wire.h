/* SPDX-License-Identifier: MIT */
/*
 * wire.h - JSON, MessagePack and UBJSON to one tree of values, and back.
 * Room: wire (floor 1, uses base). Libraries: yyjson, msgpack-c, libdeflate, here only. Process:
 * any.
 * Ownership: a decoded tree lives in the caller's arena and borrows nothing from the input, except
 * where WIRE_BORROW is given. A writer appends to the caller's buf.
 * Errors: AUGURY_ERR_INVALID (code "invalid_json", "invalid_msgpack", "invalid_ubjson"; `at` is
 * "byte N"), AUGURY_ERR_LIMIT (too deep, too many values), AUGURY_ERR_NOMEM (arena used up),
 * AUGURY_ERR_TIMEOUT. Never logs.
 */
#pragma once

#include "augury/base.h"

enum wire_format { WIRE_JSON, WIRE_MSGPACK, WIRE_UBJSON };

enum wire_type {
    WIRE_NULL,
    WIRE_BOOL,
    WIRE_INT,    /* integer; fits int64 */
    WIRE_UINT,   /* integer over INT64_MAX */
    WIRE_REAL,   /* f32 and f64 sources alike */
    WIRE_NUMBER, /* the number's own text, with WIRE_NUMBERS_AS_TEXT (JSON only) */
    WIRE_STRING, /* valid UTF-8 */
    WIRE_BINARY, /* msgpack bin */
    WIRE_ARRAY,
    WIRE_OBJECT, /* keys are unique strings */
    WIRE_TYPED,  /* UBJSON array of one numeric type, native byte order */
};

enum wire_element { WIRE_I8, WIRE_U8, WIRE_I16, WIRE_I32, WIRE_I64, WIRE_F32, WIRE_F64 };

struct wire_pair;

/* 16 bytes. count: bytes of a string, number text or binary; items of an array; pairs of an
 * object. */
struct wire_value {
    uint8_t type;    /* enum wire_type */
    uint8_t element; /* enum wire_element, of WIRE_TYPED */
    uint32_t count;
    union {
        bool boolean;
        int64_t integer;
        uint64_t uinteger;
        double real;
        const char *text; /* not NUL-terminated; a NUMBER's is followed by a byte that ends it */
        const struct wire_value *items;
        const struct wire_pair *pairs;
        const void *typed;
    } as;
};

struct wire_pair {
    struct bytes key;
    struct wire_value value;
};

enum wire_flags {
    WIRE_NUMBERS_AS_TEXT =
        1 << 0, /* JSON numbers as WIRE_NUMBER, so that the reader chooses float or double */
    WIRE_NONFINITE = 1 << 1, /* JSON: accept NaN, Infinity, -Infinity (model files write them) */
    WIRE_BORROW = 1 << 2,    /* strings may point into the input, which must outlive the tree */
};

struct wire_limits {
    unsigned depth; /* of nesting; 32 for requests */
    size_t values;  /* in the whole tree */
    enum wire_flags flags;
    uint64_t deadline_mono_ns; /* 0: none; looked at every few thousand values: "timeout" */
};

/* Reads one whole document (no trailing bytes but white space in JSON). Duplicate keys are
 * refused. A count that a document declares is compared with the bytes that remain before anything
 * is allocated. */
AUGURY_MUST_USE int wire_decode(enum wire_format format, struct bytes input,
                                const struct wire_limits *limits, struct arena *arena,
                                struct wire_value *out_value, struct err *err);

/* ---- reading a tree ------------------------------------------------------------------------ */

const char *wire_type_name(
    const struct wire_value *value); /* "a string", "an array", … for messages */
struct bytes wire_string(
    const struct wire_value *value); /* of WIRE_STRING, WIRE_NUMBER, WIRE_BINARY; else empty */
/* Member of an object; NULL when absent or when value is no object (value may be NULL). */
const struct wire_value *wire_member(const struct wire_value *value, const char *key);
/* As wire_member, but an error (code "missing_member") that names the key. */
AUGURY_MUST_USE int wire_need(const struct wire_value *value, const char *key, enum wire_type type,
                              const struct wire_value **out_member, struct err *err);
/* Any number as double or integer; AUGURY_ERR_INVALID when it is none or does not fit
 * (a finite number that a float would make infinite, a fraction as integer). NUMBER text is rounded
 * once, as strtod and strtof do. */
AUGURY_MUST_USE int wire_to_f64(const struct wire_value *value, double *out_number);
AUGURY_MUST_USE int wire_to_f32(const struct wire_value *value, float *out_number);
AUGURY_MUST_USE int wire_to_i64(const struct wire_value *value, int64_t *out_number);
/* Arrays of either kind (ARRAY or TYPED): length, and item i as a number. wire_array_len is 0 for
 * anything else. */
bool wire_is_array(const struct wire_value *value);
size_t wire_array_len(const struct wire_value *value);
AUGURY_MUST_USE int wire_array_f32(const struct wire_value *value, size_t i, float *out_number);
AUGURY_MUST_USE int wire_array_i64(const struct wire_value *value, size_t i,
                                   int64_t *out_number); /* booleans count as 0 and 1 */

/* ---- writing -------------------------------------------------------------------------------- */

/*
 * A streaming writer of JSON (compact) or MessagePack. Counts are given at the opening, as
 * MessagePack needs them; in JSON they are checked by assertion at the end. Numbers are written so
 * that they read back the same: f32 with the fewest digits that give the same float, f64 likewise;
 * NaN and infinities become null. Errors stick in the buf.
 */
struct wire_writer {
    struct buf *buf;
    enum wire_format format; /* WIRE_JSON or WIRE_MSGPACK */
    unsigned depth;
    struct {
        uint32_t left; /* values (object: keys and values) still to come */
        bool is_object;
        bool is_first;
    } open[24];
};

void wire_writer_init(struct wire_writer *writer, enum wire_format format, struct buf *buf);
void wire_object(struct wire_writer *writer, uint32_t pairs);
void wire_array(struct wire_writer *writer, uint32_t items);
void wire_end(struct wire_writer *writer); /* of the innermost object or array */
void wire_key(struct wire_writer *writer, const char *key);
void wire_key_bytes(struct wire_writer *writer, struct bytes key);
void wire_put_null(struct wire_writer *writer);
void wire_put_bool(struct wire_writer *writer, bool value);
void wire_put_i64(struct wire_writer *writer, int64_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
void wire_put_f32(struct wire_writer *writer, float value);
void wire_put_f64(struct wire_writer *writer, double value);
void wire_put_text(struct wire_writer *writer, const char *text);
void wire_put_string(struct wire_writer *writer,
                     struct bytes text); /* invalid UTF-8 is replaced by U+FFFD */
void wire_put_value(struct wire_writer *writer, const struct wire_value *value); /* a whole tree */

/* The document for people: `key  value` lines, an array of objects as a table with a heading,
 * nested objects indented. */
void wire_put_as_text(const struct wire_value *value, struct buf *buf);

enum { WIRE_F32_TEXT_MAX = 32 }; /* of a double too */
/* The shortest decimal text that strtof reads back as value ("nan", "inf", "-inf" for the rest).
 * Returns its length. */
size_t wire_f32_to_text(float value, char *out_text);
size_t wire_f64_to_text(double value, char *out_text);

/* ---- gzip ----------------------------------------------------------------------------------- */

/* How much time bytes are worth: around 10 ms a MiB, or a third of that for a fifth more bytes. */
enum wire_effort { WIRE_EFFORT_USUAL, WIRE_EFFORT_LITTLE, WIRE_EFFORT_COUNT };
/* What compressing needs, made once a process. */
struct wire_gzip;
AUGURY_MUST_USE int wire_gzip_new(struct wire_gzip **out_gzip);
void wire_gzip_free(struct wire_gzip **gzip);
/* Appends content as one gzip member (RFC 1952), the same bytes for the same content and effort. No
 * allocation but the buf's. */
AUGURY_MUST_USE int wire_gzip_put(struct wire_gzip *gzip, enum wire_effort effort,
                                  struct bytes content, struct buf *out);

/* What decompressing needs, made once a process. */
struct wire_inflater;
AUGURY_MUST_USE int wire_inflater_new(struct wire_inflater **out_inflater);
void wire_inflater_free(struct wire_inflater **inflater);
enum wire_coding { WIRE_GZIP /* RFC 1952 */, WIRE_ZLIB /* RFC 1950: HTTP's "deflate" */ };
/* Appends what input, all of it, was made of: of gzip one or more members, one after another.
 * AUGURY_ERR_LIMIT: it is more than out may hold, which is the most memory that it takes.
 * AUGURY_ERR_INVALID: no such coding, damaged, cut off, or other bytes follow. out has a part of it
 * then. No allocation but the buf's. */
AUGURY_MUST_USE int wire_inflate(struct wire_inflater *inflater, enum wire_coding coding,
                                 struct bytes input, struct buf *out);
