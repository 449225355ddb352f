/* SPDX-License-Identifier: MIT */
/*
 * fuzz_websocket.c - frames of WebSocket. Properties: whole, in pieces (their sizes taken from the
 * first input byte) and stopped after every message there is one transcript; no message passes its
 * limit; text is UTF-8. Input is what clients send, masked; with the first byte's highest bit set
 * it is a list of frames instead, which is masked and given its lengths here.
 */
#include "../unit/net/frames_case.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 600 };

/* A byte of opcode, a byte of length, payload; again and again. */
static void
frames_from(const uint8_t *data, size_t size, struct buf *out)
{
    while (size >= 2) {
        size_t len = data[1] < size - 2 ? data[1] : size - 2;
        put_client_frame(out, data[0], data + 2, len);
        data += 2 + len;
        size -= 2 + len;
    }
}

static void
compare(const struct transcript *whole, const struct transcript *other)
{
    AUGURY_ASSERT(bytes_equal(buf_view(&whole->text), buf_view(&other->text)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct transcript whole = {.messages = 0}, pieces = {.messages = 0},
                      stopped = {.messages_max = 1};
    struct buf input;

    if (size < 2) {
        return 0;
    }
    buf_init(&input, 1 << 20);
    buf_init(&whole.text, 1 << 20);
    buf_init(&pieces.text, 1 << 20);
    buf_init(&stopped.text, 1 << 20);
    if ((data[0] & 0x80) != 0) {
        frames_from(data + 1, size - 1, &input);
    } else {
        buf_put(&input, data + 1, size - 1);
    }
    transcribe(&whole, buf_view(&input), input.len, MESSAGE_MAX);
    transcribe(&pieces, buf_view(&input), 1 + (data[0] & 15), MESSAGE_MAX);
    transcribe(&stopped, buf_view(&input), input.len, MESSAGE_MAX);
    compare(&whole, &pieces);
    compare(&whole, &stopped);
    buf_fini(&input);
    buf_fini(&whole.text);
    buf_fini(&pieces.text);
    buf_fini(&stopped.text);
    return 0;
}
