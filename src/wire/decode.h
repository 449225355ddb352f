/* SPDX-License-Identifier: MIT */
/*
 * decode.h - what the decoders of the three formats share: one decode in progress, its errors and
 * limits.
 * Private to room wire. Process: any.
 */
#pragma once

#include "augury/wire.h"

/* One call of wire_decode(). `code` is the format's error word. */
struct decode {
    struct bytes input;
    const struct wire_limits *limits;
    struct arena *arena;
    struct err *err;
    const char *code;
    size_t values_left;
    size_t look_below; /* the clock is looked at when fewer are left; 0: never */
};

AUGURY_MUST_USE int decode_json(struct decode *decode, struct wire_value *out_value);
AUGURY_MUST_USE int decode_msgpack(struct decode *decode, struct wire_value *out_value);
AUGURY_MUST_USE int decode_ubjson(struct decode *decode, struct wire_value *out_value);

/* Each fills the error (with its place, the byte offset `at`) and returns its code. */
int decode_invalid(const struct decode *decode, size_t at, const char *fmt, ...)
    AUGURY_PRINTF(3, 4);
int decode_key_twice(const struct decode *decode, size_t at, struct bytes key);
int decode_too_deep(const struct decode *decode, size_t at);
int decode_too_many(const struct decode *decode, size_t at);
int decode_no_room(const struct decode *decode, size_t at);

/* Whether there is still time, when a few thousand values have been taken since the last look. */
int decode_look_at_the_clock(struct decode *decode);
AUGURY_MUST_USE static inline int
decode_look(struct decode *decode)
{
    return decode->values_left < decode->look_below ? decode_look_at_the_clock(decode) : 0;
}

/* Takes n values off what the limits still allow. */
AUGURY_MUST_USE int decode_take_values(struct decode *decode, size_t n, size_t at);

/* Refuses an object that holds a key twice. 0, AUGURY_ERR_NOMEM, or AUGURY_ERR_EXISTS with the
 * index of a second occurrence. Takes O(n log n) at worst, whatever the keys. The arena is left as
 * it was. */
AUGURY_MUST_USE int pairs_check_unique(struct arena *arena, const struct wire_pair *pairs,
                                       uint32_t count, uint32_t *out_index);
