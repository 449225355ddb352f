/* SPDX-License-Identifier: MIT */
/* test_websocket.c - connections that speak WebSocket, over real sockets: the handshake, messages
 * in and out, pings, Close from both sides, deadlines, queues, drains. */
#include "server_bench.h"

#include "frames_case.h"

#define OPEN                                                                                       \
    "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"             \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

/* ---- the client ------------------------------------------------------------------------------ */

/* A frame of the server, read by the rules of RFC 6455, written here apart from it. */
struct heard {
    unsigned first; /* FIN | opcode */
    size_t len;
    char payload[200 * 1024];
};

static bool
hear_bytes(int fd, void *out, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = hear(fd, (uint8_t *)out + got, len - got);
        if (n <= 0) {
            return false;
        }
        got += (size_t)n;
    }
    return true;
}

static bool
hear_frame(int fd, struct heard *out)
{
    uint8_t head[2], more[8];
    size_t more_len;

    if (!hear_bytes(fd, head, 2)) {
        return false;
    }
    out->first = head[0];
    out->len = head[1];
    more_len = head[1] == 126 ? 2 : head[1] == 127 ? 8 : 0;
    if (!hear_bytes(fd, more, more_len)) {
        return false;
    }
    for (size_t i = 0; i < more_len; i++) {
        out->len = (i == 0 ? 0 : out->len << 8) | more[i];
    }
    if (out->len >= sizeof(out->payload) || !hear_bytes(fd, out->payload, out->len)) {
        return false;
    }
    out->payload[out->len] = '\0';
    return true;
}

/* "81 hello", or what went wrong. */
static const char *
next_frame(int fd)
{
    static struct heard heard;
    static char text[256];

    if (!hear_frame(fd, &heard)) {
        return "nothing";
    }
    if (heard.first == (FIN | FRAME_CLOSE) && heard.len >= 2) {
        snprintf(text, sizeof(text), "88 %u %.200s",
                 (unsigned)((uint8_t)heard.payload[0] << 8 | (uint8_t)heard.payload[1]),
                 heard.payload + 2);
    } else {
        snprintf(text, sizeof(text), "%02x %.200s", heard.first, heard.payload);
    }
    return text;
}

static bool
say_frame(int fd, unsigned first, const char *text)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    put_client_text(&out, first, text);
    bool is_said = say_bytes(fd, out.data, out.len);
    buf_fini(&out);
    return is_said;
}

/* A connection whose handshake is done, or -1. */
static int
open_socket(const struct bench *bench, int receive_bytes)
{
    static struct answer answer;
    int fd = dial(bench, receive_bytes);

    if (fd >= 0 && say(fd, OPEN "\r\n") && hear_answer(fd, true, &answer) && answer.status == 101) {
        return fd;
    }
    close(fd);
    return -1;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
a_handshake_turns_a_connection_into_a_socket(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/before")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK(say(fd, OPEN "\r\n"));
    CHECK(hear_answer(fd, true, &answer));
    CHECK_INT(answer.status, 101);
    CHECK_CONTAINS(answer.head, "\r\nUpgrade: websocket\r\n");
    CHECK_CONTAINS(answer.head, "\r\nConnection: Upgrade\r\n");
    CHECK_CONTAINS(answer.head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    CHECK(strstr(answer.head, "Content-") == NULL);
    CHECK(say_frame(fd, FIN | FRAME_TEXT, "hello"));
    CHECK_TEXT(next_frame(fd), "81 hello");
    CHECK(say_frame(fd, FIN | FRAME_BINARY, "GET / HTTP/1.1"));
    CHECK_TEXT(next_frame(fd), "82 GET / HTTP/1.1");
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_OPENED), 1);
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_OPEN), 1);
    CHECK_INT(stats_sum(bench.stats, STATS_HTTP_CONNECTIONS_OPEN), 1);
    close(fd);
    CHECK(wait_for_counter(&bench, STATS_SOCKETS_OPEN, 0));
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK_INT(bench.closed_count, 1);
    CHECK(bench_stop(&bench));
}

static void
a_refused_handshake_is_an_answer_like_others(void)
{
    struct bench bench;
    struct answer answer;

    CHECK(bench_start(&bench, &usual));
    int fd = dial(&bench, 0);
    CHECK(say(fd, GET("/socket")));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 426);
    CHECK_CONTAINS(answer.head, "\r\nUpgrade: websocket\r\n");
    CHECK_CONTAINS(answer.head, "\r\nSec-WebSocket-Version: 13\r\n");
    CHECK(say(fd, OPEN "Origin: http://foe.example\r\n\r\n"));
    CHECK(hear_answer(fd, false, &answer));
    CHECK_INT(answer.status, 403);
    CHECK_TEXT(answer.body, "origin_not_allowed");
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_REFUSED), 2);
    CHECK(say(fd, OPEN "Origin: http://friend.example\r\n\r\n"));
    CHECK(hear_answer(fd, true, &answer));
    CHECK_INT(answer.status, 101);
    close(fd);
    CHECK(bench_stop(&bench));
}

/* Everything in one piece, then byte by byte: the answers are the same. */
static void
what_follows_the_head_belongs_to_the_socket(void)
{
    struct bench bench;
    struct answer answer;
    struct buf out;

    CHECK(bench_start(&bench, &usual));
    buf_init(&out, 1 << 20);
    buf_put_text(&out, OPEN "\r\n");
    put_client_text(&out, FIN | FRAME_TEXT, "first");
    put_client_text(&out, FRAME_TEXT, "in ");
    put_client_text(&out, FIN | FRAME_PING, "are you there");
    put_client_text(&out, FIN, "pieces");
    put_client_text(&out, FIN | FRAME_TEXT, "twice");
    put_client_text(&out, FIN | FRAME_CLOSE,
                    "\x03\xe8"
                    "bye");
    for (size_t piece = out.len; piece > 0; piece = piece > 1 ? 1 : 0) {
        int fd = dial(&bench, 0);
        for (size_t at = 0; at < out.len; at += piece) {
            CHECK(say_bytes(fd, out.data + at, piece));
        }
        CHECK(hear_answer(fd, true, &answer));
        CHECK_INT(answer.status, 101);
        CHECK_TEXT(next_frame(fd), "81 first");
        CHECK_TEXT(next_frame(fd), "8a are you there");
        CHECK_TEXT(next_frame(fd), "81 in pieces");
        CHECK_TEXT(next_frame(fd), "81 one");
        CHECK_TEXT(next_frame(fd), "82 two");
        CHECK_TEXT(next_frame(fd), "88 1000 ");
        CHECK(hears_end(fd));
        close(fd);
    }
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_IN), 6);
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_OUT), 8);
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_BAD_FRAME), 0);
    buf_fini(&out);
    CHECK(bench_stop(&bench));
}

static void
a_handler_closes_a_socket(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    int fd = open_socket(&bench, 0);
    CHECK(say_frame(fd, FIN | FRAME_TEXT, "close"));
    CHECK_TEXT(next_frame(fd), "81 goodbye");
    CHECK_TEXT(next_frame(fd), "88 1000 as you wish");
    CHECK(hears_end(fd));
    CHECK(say_frame(fd, FIN | FRAME_CLOSE, "\x03\xe8")); /* dropped, and no reset */
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_OUT), 1);
    close(fd);
    CHECK(wait_for_counter(&bench, STATS_HTTP_CONNECTIONS_OPEN, 0));
    CHECK(bench_stop(&bench));
}

static void
what_breaks_the_protocol_is_told_why(void)
{
    static const struct {
        unsigned first;
        const char *payload, *found;
    } rows[] = {
        {FIN | 3, "x", "88 1002 no frame of RFC 6455"},
        {FIN | FRAME_TEXT, "\xff", "88 1007 text is UTF-8"},
    };
    struct bench bench;
    static uint8_t large[(1 << 20) + 1];
    struct buf out;

    CHECK(bench_start(&bench, &usual));
    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        int fd = open_socket(&bench, 0);
        CHECK(say_frame(fd, FIN | FRAME_TEXT, "before"));
        CHECK(say_frame(fd, rows[i].first, rows[i].payload));
        CHECK(say_frame(fd, FIN | FRAME_TEXT, "after"));
        CHECK_TEXT(next_frame(fd), "81 before");
        CHECK_TEXT(next_frame(fd), rows[i].found);
        CHECK(hears_end(fd));
        close(fd);
    }
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_BAD_FRAME), 2);
    buf_init(&out, 1 << 22);
    put_client_frame(&out, FIN | FRAME_BINARY, large, sizeof(large));
    int fd = open_socket(&bench, 0);
    CHECK(say_bytes(fd, out.data, out.len)); /* refused by its head: the rest is dropped */
    CHECK_TEXT(next_frame(fd), "88 1009 the message is over the limit");
    CHECK(hears_end(fd));
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_TOO_LARGE), 1);
    close(fd);
    buf_fini(&out);
    CHECK(wait_for_counter(&bench, STATS_SOCKETS_OPEN, 0));
    CHECK_INT(bench.closed_count, 3);
    CHECK(bench_stop(&bench));
}

/* 5,000 messages in one piece go through many turns; another connection is answered meanwhile. */
static void
a_flood_is_answered_in_order(void)
{
    enum { MESSAGES = 5000 };
    struct bench bench;
    struct buf out;
    struct pollfd wait;
    char text[32], want[40];
    static struct heard heard;
    size_t at = 0;
    int heard_count = 0;

    CHECK(bench_start(&bench, &usual));
    buf_init(&out, 1 << 22);
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof(text), "message %d", i);
        put_client_text(&out, FIN | FRAME_TEXT, text);
    }
    int fd = open_socket(&bench, 0);
    while (heard_count < MESSAGES) { /* both ways, as neither side has to hold all of it */
        wait = (struct pollfd){.fd = fd, .events = (short)(POLLIN | (at < out.len ? POLLOUT : 0))};
        CHECK(poll(&wait, 1, PATIENCE_MS) == 1);
        if ((wait.revents & POLLOUT) != 0) {
            ssize_t n = send(fd, out.data + at, out.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
            at += n > 0 ? (size_t)n : 0;
        }
        if ((wait.revents & POLLIN) != 0) {
            CHECK(hear_frame(fd, &heard));
            snprintf(want, sizeof(want), "message %d", heard_count++);
            CHECK_TEXT(heard.payload, want);
        }
    }
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_IN), MESSAGES);
    close(fd);
    buf_fini(&out);
    CHECK(bench_stop(&bench));
}

static void
a_silent_client_is_asked_and_then_cut(void)
{
    struct net_limits limits = usual;
    struct bench bench;

    limits.sockets.ping_ms = 200;
    limits.sockets.pong_ms = 300;
    CHECK(bench_start(&bench, &limits));
    int fd = open_socket(&bench, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_TEXT(next_frame(fd), "89 ");
        CHECK(say_frame(fd, FIN | FRAME_PONG, ""));
    }
    CHECK_TEXT(next_frame(fd), "89 ");
    CHECK_TEXT(next_frame(fd), "88 1008 no pong came");
    CHECK(hears_end(fd));
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_SILENT), 1);
    close(fd);
    CHECK(bench_stop(&bench));
}

/* Neither bytes nor pings move the deadline of a message. */
static void
a_message_has_to_arrive_in_time(void)
{
    struct net_limits limits = usual;
    struct bench bench;
    struct pollfd wait;

    limits.body_timeout_ms = 400;
    CHECK(bench_start(&bench, &limits));
    int fd = open_socket(&bench, 0);
    CHECK(say_frame(fd, FRAME_TEXT, "begun"));
    do {
        CHECK(say_frame(fd, 0, "more"));
        wait = (struct pollfd){.fd = fd, .events = POLLIN};
    } while (poll(&wait, 1, 20) == 0);
    CHECK_TEXT(next_frame(fd), "88 1008 the message did not arrive in time");
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_SILENT), 1);
    close(fd);
    CHECK(bench_stop(&bench));
}

static void
what_is_pushed_arrives_and_a_slow_client_is_cut(void)
{
    struct bench bench;
    static struct heard heard;

    CHECK(bench_start(&bench, &usual));
    int good = open_socket(&bench, 0);
    CHECK(say_frame(good, FIN | FRAME_TEXT, "hello"));
    CHECK_TEXT(next_frame(good), "81 hello");
    CHECK(bench_command(&bench, 'm'));
    CHECK(hear_frame(good, &heard));
    CHECK_INT(heard.len, 100 * 1024);
    CHECK(strspn(heard.payload, "p") == heard.len);
    int slow = open_socket(&bench, 4096);
    CHECK(say_frame(slow, FIN | FRAME_TEXT, "hello"));
    CHECK_TEXT(next_frame(slow), "81 hello");
    unsigned pushed = 0;
    while (stats_sum(bench.stats, STATS_SOCKETS_SLOW) == 0 && pushed < 500) {
        CHECK(bench_command(&bench, 'm'));
        CHECK(hear_frame(good, &heard)); /* which goes on all the while */
        CHECK_INT(heard.len, 100 * 1024);
        pushed++;
    }
    CHECK(pushed >= 10 && pushed < 500); /* the queue, and what the kernel holds */
    close(slow);
    CHECK(wait_for_counter(&bench, STATS_SOCKETS_OPEN, 1));
    CHECK_INT(bench.closed_count, 1);
    CHECK_INT(stats_sum(bench.stats, STATS_SOCKETS_SLOW), 1);
    close(good);
    CHECK(bench_stop(&bench));
}

static void
a_drain_says_that_the_server_goes_away(void)
{
    struct bench bench;

    CHECK(bench_start(&bench, &usual));
    bench.drain_limit_ms = 10000;
    int fd = open_socket(&bench, 0);
    int half = open_socket(&bench, 0);
    CHECK(say_frame(half, FRAME_TEXT, "begun"));
    CHECK(say_frame(fd, FIN | FRAME_TEXT, "hello"));
    CHECK_TEXT(next_frame(fd), "81 hello");
    CHECK(bench_command(&bench, 'd'));
    CHECK_TEXT(next_frame(fd), "88 1001 the server ends; connect again");
    CHECK_TEXT(next_frame(half), "88 1001 the server ends; connect again");
    CHECK(hears_end(fd));
    close(fd);
    close(half);
    CHECK(bench_stop(&bench));
    CHECK(bench.is_drained);
    CHECK_INT(bench.closed_count, 2);
}

int
main(void)
{
    TAP_RUN(a_handshake_turns_a_connection_into_a_socket);
    TAP_RUN(a_refused_handshake_is_an_answer_like_others);
    TAP_RUN(what_follows_the_head_belongs_to_the_socket);
    TAP_RUN(a_handler_closes_a_socket);
    TAP_RUN(what_breaks_the_protocol_is_told_why);
    TAP_RUN(a_flood_is_answered_in_order);
    TAP_RUN(a_silent_client_is_asked_and_then_cut);
    TAP_RUN(a_message_has_to_arrive_in_time);
    TAP_RUN(what_is_pushed_arrives_and_a_slow_client_is_cut);
    TAP_RUN(a_drain_says_that_the_server_goes_away);
    return tap_done();
}
