/* SPDX-License-Identifier: MIT */
/* decode.c - wire_decode(): the limits, the errors and the choice of format. */
#include "decode.h"

#include <stdio.h>

enum { LOOK_VALUES = 4096 }; /* between two looks at the clock: about a tenth of a millisecond */

int
decode_invalid(const struct decode *decode, size_t at, const char *fmt, ...)
{
    char reason[sizeof(decode->err->reason)];
    va_list args;

    va_start(args, fmt);
    vsnprintf(reason, sizeof(reason), fmt, args);
    va_end(args);
    err_set(decode->err, AUGURY_ERR_INVALID, decode->code, "%s", reason);
    err_at(decode->err, "byte %zu", at);
    return AUGURY_ERR_INVALID;
}

int
decode_key_twice(const struct decode *decode, size_t at, struct bytes key)
{
    char text[100];

    return decode_invalid(decode, at, "the key %s is in the object twice",
                          log_quote(key, text, sizeof(text)));
}

int
decode_too_deep(const struct decode *decode, size_t at)
{
    err_set(decode->err, AUGURY_ERR_LIMIT, "too_deep",
            "arrays and objects are nested deeper than %u levels", decode->limits->depth);
    err_at(decode->err, "byte %zu", at);
    return AUGURY_ERR_LIMIT;
}

int
decode_too_many(const struct decode *decode, size_t at)
{
    err_set(decode->err, AUGURY_ERR_LIMIT, "too_many_values",
            "the document holds more than %zu values", decode->limits->values);
    err_at(decode->err, "byte %zu", at);
    return AUGURY_ERR_LIMIT;
}

int
decode_no_room(const struct decode *decode, size_t at)
{
    err_set(decode->err, AUGURY_ERR_NOMEM, "too_large",
            "the document needs more than the %zu bytes of memory set aside for it",
            decode->arena->max);
    err_at(decode->err, "byte %zu", at);
    return AUGURY_ERR_NOMEM;
}

static void
look_later(struct decode *decode)
{
    decode->look_below = decode->values_left > LOOK_VALUES ? decode->values_left - LOOK_VALUES : 0;
}

int
decode_look_at_the_clock(struct decode *decode)
{
    if (clock_mono_ns() >= decode->limits->deadline_mono_ns) {
        return err_set(decode->err, AUGURY_ERR_TIMEOUT, "timeout",
                       "the request's time was over while its document of %zu bytes was decoded",
                       decode->input.len);
    }
    look_later(decode);
    return 0;
}

int
decode_take_values(struct decode *decode, size_t n, size_t at)
{
    if (n > decode->values_left) {
        return decode_too_many(decode, at);
    }
    decode->values_left -= n;
    return decode_look(decode);
}

int
wire_decode(enum wire_format format, struct bytes input, const struct wire_limits *limits,
            struct arena *arena, struct wire_value *out_value, struct err *err)
{
    struct decode decode = {
        .input = input,
        .limits = limits,
        .arena = arena,
        .err = err,
        .code = "invalid_json",
        .values_left = limits->values,
    };

    if (limits->deadline_mono_ns != 0) {
        look_later(&decode);
    }
    /* Counts and lengths are kept in 32 bits. */
    if (input.len >= UINT32_MAX) {
        return err_set(err, AUGURY_ERR_LIMIT, "too_large", "documents of 4 GiB are not read");
    }
    switch (format) {
    case WIRE_JSON: return decode_json(&decode, out_value);
    case WIRE_MSGPACK: decode.code = "invalid_msgpack"; return decode_msgpack(&decode, out_value);
    case WIRE_UBJSON: decode.code = "invalid_ubjson"; return decode_ubjson(&decode, out_value);
    }
    AUGURY_ASSERT(!"a wire format");
    return AUGURY_ERR_UNSUPPORTED;
}
