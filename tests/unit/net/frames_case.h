/* SPDX-License-Identifier: MIT */
/*
 * frames_case.h - frames as a client sends them, and what a decoder found, as text; for the tests
 * of frames and of sockets.
 */
#pragma once

#include "../../../src/net/net_frames.h"

#include <string.h>

enum { FIN = 0x80, MASKED = 0x80 };

/* One frame: its first byte (FIN | opcode, or what breaks the rules), and its payload masked. */
__attribute__((unused)) static void
put_client_frame(struct buf *out, unsigned first, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    const uint8_t *at = payload;

    buf_put_u8(out, (uint8_t)first);
    if (len <= 125) {
        buf_put_u8(out, (uint8_t)(MASKED | len));
    } else if (len <= 65535) {
        buf_put_u8(out, MASKED | 126);
        buf_put_u8(out, (uint8_t)(len >> 8));
        buf_put_u8(out, (uint8_t)len);
    } else {
        buf_put_u8(out, MASKED | 127);
        for (int i = 7; i >= 0; i--) {
            buf_put_u8(out, (uint8_t)((uint64_t)len >> (8 * i)));
        }
    }
    buf_put(out, mask, sizeof(mask));
    for (size_t i = 0; i < len; i++) {
        buf_put_u8(out, at[i] ^ mask[i % 4]);
    }
}

__attribute__((unused)) static void
put_client_text(struct buf *out, unsigned first, const char *text)
{
    put_client_frame(out, first, text, strlen(text));
}

/* ---- what a decoder found -------------------------------------------------------------------- */

struct transcript {
    struct buf text;
    unsigned messages;
    unsigned messages_max; /* that a feed may go through; 0: any */
};

__attribute__((unused)) static void
tell(struct transcript *transcript, char what, struct bytes payload)
{
    bool is_short = payload.len <= 64;

    buf_put_u8(&transcript->text, (uint8_t)what);
    if (is_short) {
        buf_put_bytes(&transcript->text, payload);
    } else {
        buf_printf(&transcript->text, "(%zu)%016llx", payload.len,
                   (unsigned long long)hash64_of(payload));
    }
    buf_put_u8(&transcript->text, ';');
}

/* A message "stop" is the last one. */
__attribute__((unused)) static bool
tell_message(void *arg, enum net_message_kind kind, struct bytes message)
{
    struct transcript *transcript = arg;

    transcript->messages++;
    tell(transcript, kind == NET_MESSAGE_TEXT ? 'T' : 'B', message);
    return !bytes_equal_text(message, "stop");
}

__attribute__((unused)) static void
tell_control(void *arg, enum frame_opcode opcode, struct bytes payload)
{
    tell(arg, opcode == FRAME_PING ? 'p' : 'o', payload);
}

__attribute__((unused)) static bool
has_transcript_room(void *arg)
{
    const struct transcript *transcript = arg;

    return transcript->messages_max == 0 || transcript->messages < transcript->messages_max;
}

/* Feeds input in pieces and appends how it ends: "=1000" for Close, "!1002" for a failure, "+" for
 * between messages, "-" within one. */
__attribute__((unused)) static void
transcribe(struct transcript *transcript, struct bytes input, size_t piece, size_t message_max)
{
    const struct frames_sink sink = {
        .arg = transcript,
        .message_bytes_max = message_max,
        .on_message = tell_message,
        .on_control = tell_control,
        .has_room = has_transcript_room,
    };
    struct frames *frames = NULL;
    unsigned code = 0;

    int rc = frames_new(&frames);
    for (size_t at = 0; rc == 0 && at < input.len;) {
        size_t n = input.len - at < piece ? input.len - at : piece;
        size_t used = 0;
        transcript->messages = 0;
        rc = frames_feed(frames, &sink, bytes_of(input.data + at, n), &used, &code);
        AUGURY_ASSERT(used <= n && (rc != 0 || used == n || transcript->messages_max > 0));
        AUGURY_ASSERT(rc != 0 || used > 0 || transcript->messages_max > 0);
        at += used;
    }
    if (rc == 0) {
        buf_put_u8(&transcript->text, frames_are_between(frames) ? '+' : '-');
    } else {
        buf_printf(&transcript->text, "%c%u", rc == AUGURY_END ? '=' : '!', code);
    }
    frames_free(&frames);
}
