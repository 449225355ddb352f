/* SPDX-License-Identifier: MIT */
/*
 * net_frames.c - wslay decodes, without buffering: it checks reserved bits, masks, lengths,
 * opcodes, their order and UTF-8; messages are put together here, under a limit of our own. Its
 * sending side is shut, so that it queues nothing: answers to pings and Close are the caller's,
 * and which code a failure has follows from where in a frame it occurred.
 */
#include "net_frames.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

enum {
    FRAMES_MAGIC = 0x46524d53,
    KEEP_MESSAGE_BYTES = 64 * 1024,
    HEAD_MAX = 14,
    HELD_MAX = 6 + FRAME_CONTROL_MAX,
};
_Static_assert((int)HELD_MAX >= (int)HEAD_MAX, "a head is held as well");

struct frames {
    uint32_t magic;
    wslay_event_context_ptr wslay;
    struct buf message;    /* of the message that has begun */
    uint64_t payload_left; /* of the frame whose head wslay has got */
    size_t held_len;
    uint8_t held[HELD_MAX]; /* the begin of a head, or of a whole control frame */
    bool is_in_frame;       /* a head has been seen, and not the end of its payload */
    bool is_in_message;     /* a frame that was not the last one has been seen */
    bool is_data;           /* the frame at hand belongs to a message */
    bool is_over;           /* on_message said no, a Close came, or a failure was found here */
    bool is_failed;         /* the last of these */
    unsigned code;          /* of the failure, or of the client's Close */

    /* During frames_feed() alone. */
    const struct frames_sink *sink;
    struct bytes input;
    size_t used;
};

static struct frames *
frames_cast(void *arg)
{
    struct frames *frames = arg;

    AUGURY_ASSERT(frames->magic == FRAMES_MAGIC);
    return frames;
}

/* ---- writing --------------------------------------------------------------------------------- */

void
frame_put(struct buf *out, enum frame_opcode opcode, struct bytes payload)
{
    uint8_t head[FRAME_HEAD_MAX] = {(uint8_t)(0x80U | opcode)};
    size_t head_len = 2;

    if (payload.len <= FRAME_CONTROL_MAX) {
        head[1] = (uint8_t)payload.len;
    } else if (payload.len <= UINT16_MAX) {
        head[1] = 126;
        head_len = 4;
    } else {
        head[1] = 127;
        head_len = 10;
    }
    for (size_t i = 2; i < head_len; i++) {
        head[i] = (uint8_t)((uint64_t)payload.len >> (8 * (head_len - 1 - i)));
    }
    uint8_t *at = buf_reserve(out, head_len + payload.len);
    if (at == NULL) {
        return; /* sticky */
    }
    memcpy(at, head, head_len);
    if (payload.len > 0) {
        memcpy(at + head_len, payload.data, payload.len);
    }
    buf_commit(out, head_len + payload.len);
}

void
frame_put_close(struct buf *out, unsigned code, const char *reason)
{
    uint8_t payload[FRAME_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t len = strlen(reason);

    if (code == NET_CLOSE_NONE) {
        frame_put(out, FRAME_CLOSE, bytes_of(NULL, 0));
        return;
    }
    len = len < sizeof(payload) - 2 ? len : sizeof(payload) - 2;
    memcpy(payload + 2, reason, len);
    frame_put(out, FRAME_CLOSE, bytes_of(payload, 2 + len));
}

/* ---- wslay's callbacks ----------------------------------------------------------------------- */

static void
frames_end(struct frames *frames, unsigned code)
{
    frames->is_over = true;
    frames->code = code;
    wslay_event_shutdown_read(frames->wslay);
}

static void
frames_fail(struct frames *frames, unsigned code)
{
    frames->is_failed = true;
    frames_end(frames, code);
}

/* Bytes of what wslay gets in one piece at the begin of a frame, as far as is known: the head, and
 * the payload of a control frame. */
static size_t
held_want(const struct frames *frames)
{
    if (frames->held_len < 2) {
        return 2;
    }
    size_t len = frames->held[1] & 0x7f;
    size_t mask = (frames->held[1] & 0x80) != 0 ? 4 : 0;
    if (wslay_is_ctrl_frame(frames->held[0])) {
        return 2 + mask + (len <= FRAME_CONTROL_MAX ? len : 0);
    }
    return 2 + mask + (len == 127 ? 8 : len == 126 ? 2 : 0);
}

static uint64_t
payload_of_held(const struct frames *frames)
{
    size_t len = frames->held[1] & 0x7f;
    size_t more = len == 127 ? 8 : len == 126 ? 2 : 0;
    uint64_t payload = more == 0 ? len : 0;

    for (size_t i = 0; i < more; i++) {
        payload = payload << 8 | frames->held[2 + i];
    }
    return wslay_is_ctrl_frame(frames->held[0]) ? 0 : payload;
}

/* Goes on with held; its length when it is whole, else 0. */
static size_t
held_fill(struct frames *frames)
{
    while (frames->held_len < held_want(frames)) {
        if (frames->used == frames->input.len) {
            return 0;
        }
        frames->held[frames->held_len++] = frames->input.data[frames->used++];
    }
    return frames->held_len;
}

/* wslay gets no byte beyond the frame at hand, so that a turn ends where it should, and control
 * frames whole: it skips two bytes of every piece of a Close when it looks for UTF-8. */
static ssize_t
on_recv(wslay_event_context_ptr wslay, uint8_t *room, size_t len, int flags, void *arg)
{
    struct frames *frames = frames_cast(arg);
    size_t left = frames->input.len - frames->used;
    size_t n = 0;

    (void)flags;
    if (frames->payload_left > 0) {
        n = len < left ? len : left;
        n = n < frames->payload_left ? n : (size_t)frames->payload_left;
        memcpy(room, frames->input.data + frames->used, n);
        frames->used += n;
        frames->payload_left -= n;
    } else if (frames->held_len > 0 || frames->sink->has_room(frames->sink->arg)) {
        n = held_fill(frames);
        AUGURY_ASSERT(n <= len); /* at the begin of a frame its buffer is empty */
        memcpy(room, frames->held, n);
        frames->payload_left = n > 0 ? payload_of_held(frames) : 0;
        frames->held_len = n > 0 ? 0 : frames->held_len;
    }
    if (n == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    return (ssize_t)n;
}

static void
on_frame_begin(wslay_event_context_ptr wslay,
               const struct wslay_event_on_frame_recv_start_arg *head, void *arg)
{
    struct frames *frames = frames_cast(arg);
    uint64_t len = head->payload_length;

    (void)wslay;
    frames->is_in_frame = true;
    frames->is_data = !wslay_is_ctrl_frame(head->opcode);
    if (!frames->is_data || frames->is_over) {
        return;
    }
    frames->is_in_message = head->fin == 0;
    if (len > frames->sink->message_bytes_max - frames->message.len) {
        frames_fail(frames, NET_CLOSE_TOO_LARGE);
    }
}

static void
on_frame_part(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *part,
              void *arg)
{
    struct frames *frames = frames_cast(arg);

    (void)wslay;
    if (frames->is_data && !frames->is_over) {
        buf_put(&frames->message, part->data, part->data_length);
    }
}

static void
on_frame_end(wslay_event_context_ptr wslay, void *arg)
{
    (void)wslay;
    frames_cast(arg)->is_in_frame = false;
}

static void
close_take(struct frames *frames, const struct wslay_event_on_msg_recv_arg *message)
{
    if (message->msg_length == 1) { /* half a code (RFC 6455 5.5.1) */
        frames_fail(frames, NET_CLOSE_PROTOCOL);
        return;
    }
    frames_end(frames, message->status_code == 0 ? NET_CLOSE_NONE : message->status_code);
}

static void
message_take(struct frames *frames, enum net_message_kind kind)
{
    const struct frames_sink *sink = frames->sink;

    if (buf_finish(&frames->message) != 0) {
        frames_fail(frames, NET_CLOSE_FAILURE);
        return;
    }
    if (!sink->on_message(sink->arg, kind, buf_view(&frames->message))) {
        frames_end(frames, 0);
    }
    buf_reset(&frames->message);
}

static void
on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *message,
           void *arg)
{
    struct frames *frames = frames_cast(arg);

    (void)wslay;
    if (frames->is_over) {
        return;
    }
    switch (message->opcode) {
    case WSLAY_TEXT_FRAME: message_take(frames, NET_MESSAGE_TEXT); break;
    case WSLAY_BINARY_FRAME: message_take(frames, NET_MESSAGE_BINARY); break;
    case WSLAY_CONNECTION_CLOSE: close_take(frames, message); break;
    default:
        frames->sink->on_control(frames->sink->arg, (enum frame_opcode)message->opcode,
                                 bytes_of(message->msg, message->msg_length));
    }
}

/* ---- decoding -------------------------------------------------------------------------------- */

int
frames_new(struct frames **out_frames)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .on_frame_recv_start_callback = on_frame_begin,
        .on_frame_recv_chunk_callback = on_frame_part,
        .on_frame_recv_end_callback = on_frame_end,
        .on_msg_recv_callback = on_message,
    };
    struct frames *frames = calloc(1, sizeof(*frames));

    if (frames == NULL ||
        wslay_event_context_server_init(&frames->wslay, &callbacks, frames) != 0) {
        free(frames);
        return AUGURY_ERR_NOMEM;
    }
    frames->magic = FRAMES_MAGIC;
    buf_init(&frames->message, SIZE_MAX);
    wslay_event_config_set_no_buffering(frames->wslay, 1);
    wslay_event_config_set_max_recv_msg_length(frames->wslay, UINT64_MAX >> 1);
    wslay_event_shutdown_write(frames->wslay);
    *out_frames = frames;
    return 0;
}

void
frames_free(struct frames **frames)
{
    if (*frames != NULL) {
        wslay_event_context_free((*frames)->wslay);
        buf_fini(&(*frames)->message);
        (*frames)->magic = 0;
        free(*frames);
        *frames = NULL;
    }
}

/* What wslay refused: inside a frame only its text can be wrong. */
static int
failure_of(const struct frames *frames, int rc, unsigned *out_code)
{
    if (rc == WSLAY_ERR_NOMEM) {
        *out_code = NET_CLOSE_FAILURE;
    } else {
        *out_code = rc == 0 && frames->is_in_frame ? NET_CLOSE_NOT_UTF8 : NET_CLOSE_PROTOCOL;
    }
    return AUGURY_ERR_INVALID;
}

int
frames_feed(struct frames *frames, const struct frames_sink *sink, struct bytes input,
            size_t *out_used, unsigned *out_code)
{
    frames->sink = sink;
    frames->input = input;
    frames->used = 0;
    wslay_event_set_error(frames->wslay, 0);
    int rc = wslay_event_recv(frames->wslay);
    frames->sink = NULL;
    frames->input = bytes_of(NULL, 0);
    *out_used = frames->used;
    if (frames->is_over) {
        *out_code = frames->code;
        return frames->is_failed ? AUGURY_ERR_INVALID : AUGURY_END;
    }
    if (rc == 0 && wslay_event_get_read_enabled(frames->wslay)) {
        return 0;
    }
    return failure_of(frames, rc, out_code);
}

bool
frames_are_between(const struct frames *frames)
{
    return frames->payload_left == 0 && frames->held_len == 0 && !frames->is_in_message &&
           !frames->is_over;
}

size_t
frames_bytes(const struct frames *frames)
{
    return frames->message.cap;
}

void
frames_trim(struct frames *frames)
{
    if (frames->message.cap > KEEP_MESSAGE_BYTES) {
        buf_fini(&frames->message);
    }
}
