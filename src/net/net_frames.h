/* SPDX-License-Identifier: MIT */
/*
 * net_frames.h - WebSocket frames (RFC 6455 5) as bytes, without a socket: what a client sends is
 * decoded by wslay into whole messages, what the server sends is written here. Private to net.
 * Invariants: (1) the same bytes give the same outcome however they were cut into pieces; (2)
 * memory for a message grows with what has arrived, never with what was announced; (3) between
 * messages there is no state, so that a decoder serves another connection then.
 */
#pragma once

#include "augury/net.h"

enum frame_opcode {
    FRAME_TEXT = 0x1,
    FRAME_BINARY = 0x2,
    FRAME_CLOSE = 0x8,
    FRAME_PING = 0x9,
    FRAME_PONG = 0xa,
};

enum { FRAME_HEAD_MAX = 10, FRAME_CONTROL_MAX = 125 };

/* Appends one whole frame, not masked, as servers send them (RFC 6455 5.1). */
void frame_put(struct buf *out, enum frame_opcode opcode, struct bytes payload);
/* A Close with its code; 1005 (NET_CLOSE_NONE) has none. reason: cut to what a frame holds. */
void frame_put_close(struct buf *out, unsigned code, const char *reason);

/* What a decoder finds. Nothing of it may free the decoder. */
struct frames_sink {
    void *arg;
    size_t message_bytes_max;
    /* A whole message, text already checked to be UTF-8; borrowed during the call. False: nothing
     * further is decoded, ever. */
    bool (*on_message)(void *arg, enum net_message_kind kind, struct bytes message);
    /* A ping or a pong, at most FRAME_CONTROL_MAX bytes. */
    void (*on_control)(void *arg, enum frame_opcode opcode, struct bytes payload);
    /* Whether another frame is to be taken. */
    bool (*has_room)(void *arg);
};

struct frames;
AUGURY_MUST_USE int frames_new(struct frames **out_frames);
void frames_free(struct frames **frames);

/* Decodes input. 0: *out_used bytes are done with, all of them unless sink->has_room said no.
 * AUGURY_END: the client's Close has arrived, with *out_code (1005: none); or on_message ended it,
 * with *out_code 0. AUGURY_ERR_INVALID: the connection is to be failed with *out_code (1002, 1007,
 * 1009, 1011). After anything but 0 the decoder is of no further use. */
AUGURY_MUST_USE int frames_feed(struct frames *frames, const struct frames_sink *sink,
                                struct bytes input, size_t *out_used, unsigned *out_code);
/* Nothing has begun that has not ended. */
bool frames_are_between(const struct frames *frames);
/* Gives memory back that one long message took. */
void frames_trim(struct frames *frames);
/* Memory of the message that has begun. */
size_t frames_bytes(const struct frames *frames);
