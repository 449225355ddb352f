/* SPDX-License-Identifier: MIT */
/*
 * fuzz_wire_json.c - JSON text: what is read, written as JSON and MessagePack, reads as the same
 * tree; refusals have a place; numbers that are kept as text are the same numbers.
 */
#include "wire_round.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
same_numbers(const struct wire_value *read, const struct wire_value *text)
{
    double number = 0;
    double want = 0;
    float single = 0;

    if (text->type == WIRE_NUMBER) {
        /* As the C library reads it; the text is ended by a byte that is no part of a number. */
        bool is_f32 = wire_to_f32(text, &single) == 0;
        float want_f32 = strtof(text->as.text, NULL);
        return wire_to_f64(read, &want) == 0 && wire_to_f64(text, &number) == 0 && number == want &&
               number == strtod(text->as.text, NULL) &&
               (is_f32 ? single == want_f32 : isinf(want_f32));
    }
    bool same = read->type == text->type;
    for (uint32_t i = 0; same && read->type == WIRE_ARRAY && i < read->count; i++) {
        same = same_numbers(&read->as.items[i], &text->as.items[i]);
    }
    for (uint32_t i = 0; same && read->type == WIRE_OBJECT && i < read->count; i++) {
        same = same_numbers(&read->as.pairs[i].value, &text->as.pairs[i].value);
    }
    return same;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_limits as_text = round_limits;
    struct bytes input = bytes_of(data, size);
    struct wire_value read;
    struct wire_value text;
    struct arena arena;

    as_text.flags = WIRE_NUMBERS_AS_TEXT;
    round_trip(WIRE_JSON, input);
    AUGURY_ASSERT(arena_init(&arena, ROUND_ARENA_BYTES) == 0);
    if (wire_decode(WIRE_JSON, input, &round_limits, &arena, &read, NULL) == 0 &&
        wire_decode(WIRE_JSON, input, &as_text, &arena, &text, NULL) == 0) {
        AUGURY_ASSERT(same_numbers(&read, &text));
    }
    as_text.flags |= WIRE_NONFINITE;
    int rc = wire_decode(WIRE_JSON, input, &as_text, &arena, &text, NULL);
    AUGURY_ASSERT(rc <= 0);
    arena_fini(&arena);
    return 0;
}
