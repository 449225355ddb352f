/* SPDX-License-Identifier: MIT */
/* test_frames.c - frames of WebSocket: what RFC 6455 allows and what it forbids, each whole and in
 * pieces of every size; frames that are written, against the examples of RFC 6455 5.7. */
#include "frames_case.h"

#include "../../tap.h"

enum { MESSAGE_MAX = 70000 };

/* What was found in all of these bytes, however they were cut; "differs" when that mattered. */
static const char *
found(const struct buf *input)
{
    static const size_t pieces[] = {1, 2, 3, 5, 7, 64, 4096};
    static char whole[1024];
    struct transcript transcript = {.messages = 0};

    buf_init(&transcript.text, 65536);
    transcribe(&transcript, buf_view(input), input->len, MESSAGE_MAX);
    snprintf(whole, sizeof(whole), "%.*s", (int)transcript.text.len,
             (const char *)transcript.text.data);
    for (size_t i = 0; i < AUGURY_COUNT(pieces); i++) {
        buf_reset(&transcript.text);
        transcribe(&transcript, buf_view(input), pieces[i], MESSAGE_MAX);
        if (!bytes_equal_text(buf_view(&transcript.text), whole)) {
            snprintf(whole, sizeof(whole), "differs in pieces of %zu: %.*s", pieces[i],
                     (int)transcript.text.len, (const char *)transcript.text.data);
            break;
        }
    }
    buf_fini(&transcript.text);
    return whole;
}

/* Frames of a table: first bytes and payloads. */
struct frame {
    unsigned first;
    const char *payload;
    size_t len; /* 0: of the text */
};

enum { FRAMES_MAX = 6 };

static const char *
found_in(const struct frame *frames)
{
    struct buf input;
    const char *text;

    buf_init(&input, 1 << 20);
    for (size_t i = 0; i < FRAMES_MAX && frames[i].payload != NULL; i++) {
        size_t len = frames[i].len > 0 ? frames[i].len : strlen(frames[i].payload);
        put_client_frame(&input, frames[i].first, frames[i].payload, len);
    }
    text = found(&input);
    buf_fini(&input);
    return text;
}

static void
messages_pings_and_close_are_what_they_are(void)
{
    static const struct {
        struct frame frames[FRAMES_MAX];
        const char *found;
    } rows[] = {
        {{{FIN | 1, "hello", 0}}, "Thello;+"},
        {{{FIN | 2, "\xff\xfe", 2}}, "B\xff\xfe;+"},
        {{{FIN | 1, "", 0}}, "T;+"},
        {{{FIN | 1, "one", 0}, {FIN | 1, "two", 0}, {FIN | 2, "three", 0}}, "Tone;Ttwo;Bthree;+"},
        {{{1, "a", 0}, {0, "b", 0}, {FIN | 0, "c", 0}}, "Tabc;+"},
        {{{1, "", 0}, {0, "", 0}, {FIN | 0, "", 0}}, "T;+"},
        {{{1, "a", 0}, {FIN | 9, "x", 0}, {FIN | 0, "c", 0}}, "px;Tac;+"},
        {{{2, "a", 0}, {FIN | 10, "y", 0}, {FIN | 0, "c", 0}}, "oy;Bac;+"},
        {{{1, "a", 0}, {0, "b", 0}}, "-"},
        {{{FIN | 9, "", 0}, {FIN | 10, "", 0}}, "p;o;+"},
        {{{FIN | 1, "gr\xc3\xbc\xc3\x9f", 0}}, "Tgr\xc3\xbc\xc3\x9f;+"},
        {{{1, "\xe2\x82", 0}, {FIN | 0, "\xac", 0}}, "T\xe2\x82\xac;+"},
        {{{FIN | 8, "", 0}}, "=1005"},
        {{{FIN | 8, "\x03\xe8", 0}}, "=1000"},
        {{{FIN | 8, "\x03\xf1 large", 0}}, "=1009"},
        {{{FIN | 8, "\x0b\xb8own", 0}}, "=3000"},
        {{{1, "a", 0}, {FIN | 8, "\x03\xe9", 0}, {FIN | 0, "b", 0}}, "=1001"},
        {{{FIN | 1, "stop", 0}, {FIN | 1, "never", 0}}, "Tstop;=0"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        CHECK_TEXT(found_in(rows[i].frames), rows[i].found);
    }
}

static void
what_the_rfc_forbids_fails_the_connection(void)
{
    static const struct {
        struct frame frames[FRAMES_MAX];
        const char *found;
    } rows[] = {
        {{{FIN | 0x40 | 1, "x", 0}}, "!1002"}, /* reserved bits */
        {{{FIN | 0x20 | 1, "x", 0}}, "!1002"},
        {{{FIN | 0x10 | 2, "x", 0}}, "!1002"},
        {{{FIN | 3, "x", 0}}, "!1002"}, /* reserved opcodes */
        {{{FIN | 7, "x", 0}}, "!1002"},
        {{{FIN | 11, "x", 0}}, "!1002"},
        {{{FIN | 15, "x", 0}}, "!1002"},
        {{{FIN | 0, "x", 0}}, "!1002"}, /* nothing to go on with */
        {{{FIN | 1, "a", 0}, {0, "x", 0}}, "Ta;!1002"},
        {{{1, "a", 0}, {FIN | 1, "b", 0}}, "!1002"}, /* a message within one */
        {{{2, "a", 0}, {2, "b", 0}}, "!1002"},
        {{{9, "x", 0}}, "!1002"}, /* a ping in pieces */
        {{{8, "", 0}}, "!1002"},
        {{{FIN | 8, "\x03", 1}}, "!1002"},     /* half a code */
        {{{FIN | 8, "\x03\xe7", 0}}, "!1002"}, /* 999 */
        {{{FIN | 8, "\x03\xec", 0}}, "!1002"}, /* 1004 */
        {{{FIN | 8, "\x03\xed", 0}}, "!1002"}, /* 1005 */
        {{{FIN | 8, "\x03\xee", 0}}, "!1002"}, /* 1006 */
        {{{FIN | 8, "\x07\xd0", 0}}, "!1002"}, /* 2000 */
        {{{FIN | 8, "\x13\x88", 0}}, "!1002"}, /* 5000 */
        {{{FIN | 8, "\x03\xe8\xff", 0}}, "!1007"},
        {{{FIN | 1, "\xff", 0}}, "!1007"},
        {{{FIN | 1, "\xc0\xaf", 0}}, "!1007"},
        {{{FIN | 1, "\xed\xa0\x80", 0}}, "!1007"},
        {{{FIN | 1, "\xf4\x90\x80\x80", 0}}, "!1007"},
        {{{FIN | 1, "cut \xe2\x82", 0}}, "!1007"},
        {{{1, "early \xff", 0}}, "!1007"}, /* known before the message is whole */
        {{{1, "a", 0}, {FIN | 0, "\x80", 0}}, "!1007"},
        {{{FIN | 1, "a", 0}, {FIN | 9, "p", 0}, {FIN | 1, "\xff", 0}}, "Ta;pp;!1007"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        const char *text = found_in(rows[i].frames);
        if (strcmp(text, rows[i].found) != 0) {
            printf("# row %zu\n", i);
        }
        CHECK_TEXT(text, rows[i].found);
    }
}

/* RFC 6455 7.4: those of the protocol that may go over the wire, and those of libraries and
 * applications. */
static void
codes_of_close_are_those_that_may_be_sent(void)
{
    static const struct {
        unsigned from, to;
    } allowed[] = {{1000, 1003}, {1007, 1011}, {3000, 4999}};

    for (unsigned code = 0; code <= UINT16_MAX; code += code < 5100 ? 1 : 977) {
        char payload[] = {(char)(code >> 8), (char)code, '!', 0};
        const struct frame frames[FRAMES_MAX] = {{FIN | 8, payload, 3}};
        bool is_allowed = false;
        char want[16];
        for (size_t i = 0; i < AUGURY_COUNT(allowed); i++) {
            is_allowed = is_allowed || (code >= allowed[i].from && code <= allowed[i].to);
        }
        snprintf(want, sizeof(want), is_allowed ? "=%u" : "!1002", code);
        if (strcmp(found_in(frames), want) != 0) {
            TAP_FAIL("code %u: %s", code, found_in(frames));
        }
    }
}

/* The bounds of Unicode 3.9, table 3-7, each in two frames that part it at every byte. */
static void
text_is_utf8_wherever_its_frames_end(void)
{
    static const struct {
        const char *text;
        bool is_utf8;
    } rows[] = {
        {"\x01\x7f", true},
        {"\xc2\x80", true},
        {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true},
        {"\xed\x9f\xbf", true},
        {"\xee\x80\x80", true},
        {"\xef\xbf\xbf", true},
        {"\xf0\x90\x80\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xef\xbf\xbe!", true},
        {"\x80\x80", false},
        {"\xbf!", false},
        {"\xc0\x80", false},
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xed\xbf\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xf8\x88\x80\x80\x80", false},
        {"\xfe!", false},
        {"\xff!", false},
        {"\xc3!", false},
        {"\xe2\x82!", false},
        {"\xf0\x9f\x98!", false},
        {"!\xc3", false},
        {"!\xe2\x82", false},
        {"!\xf0\x9f\x98", false},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        size_t len = strlen(rows[i].text);
        char want[16];
        snprintf(want, sizeof(want), rows[i].is_utf8 ? "T%s;+" : "!1007", rows[i].text);
        for (size_t cut = 1; cut < len; cut++) {
            const struct frame frames[FRAMES_MAX] = {{1, rows[i].text, cut},
                                                     {FIN | 0, rows[i].text + cut, len - cut}};
            if (strcmp(found_in(frames), want) != 0) {
                TAP_FAIL("row %zu, cut at %zu: %s", i, cut, found_in(frames));
            }
        }
    }
}

static void
heads_that_break_the_rules_are_refused(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *found;
    } rows[] = {
        {"\x81\x01x", 3, "!1002"},                             /* not masked */
        {"\x89\x00", 2, "!1002"},                              /* a ping neither */
        {"\x89\xfe\x00\x7e\0\0\0\0", 8, "!1002"},              /* a ping of 126 bytes */
        {"\x82\xfe\x00\x05\0\0\0\0abcde", 13, "!1002"},        /* not the shortest length */
        {"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0", 14, "!1002"}, /* nor this */
        {"\x82\xff\x80\0\0\0\0\0\0\x01\0\0\0\0", 14, "!1002"}, /* its first bit is set */
        {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x", 15, "!1009"}, /* too much */
        {"\x82\xff\0\0\0\0\0\x01\x11\x71\0\0\0\0x", 15, "!1009"},           /* by one byte */
        {"\x81", 1, "-"},
        {"\x81\x85\x37\xfa\x21", 5, "-"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        struct buf input;
        buf_init(&input, 4096);
        buf_put(&input, rows[i].bytes, rows[i].len);
        const char *text = found(&input);
        if (strcmp(text, rows[i].found) != 0) {
            printf("# row %zu\n", i);
        }
        CHECK_TEXT(text, rows[i].found);
        buf_fini(&input);
    }
}

static void
lengths_are_right_at_their_edges(void)
{
    static const size_t lens[] = {1, 125, 126, 127, 4095, 4096, 4097, 65535, 65536, MESSAGE_MAX};
    static uint8_t payload[MESSAGE_MAX];
    char want[128];

    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)('a' + (i * 7 + i / 251) % 26);
    }
    for (size_t i = 0; i < AUGURY_COUNT(lens); i++) {
        struct transcript own = {.messages = 0};
        struct buf input;
        buf_init(&input, 1 << 20);
        buf_init(&own.text, 4096);
        put_client_frame(&input, FIN | 2, payload, lens[i]);
        tell(&own, 'B', bytes_of(payload, lens[i]));
        snprintf(want, sizeof(want), "%.*s+", (int)own.text.len, (const char *)own.text.data);
        CHECK_TEXT(found(&input), want);
        buf_fini(&input);
        buf_fini(&own.text);
    }
}

/* No frame is over the limit, their sum is. */
static void
a_message_in_pieces_is_bounded_as_a_whole(void)
{
    static uint8_t payload[30000];
    struct buf input;

    buf_init(&input, 1 << 20);
    put_client_frame(&input, 2, payload, sizeof(payload));
    put_client_frame(&input, 0, payload, sizeof(payload));
    put_client_frame(&input, FIN | 9, "p", 1);
    put_client_frame(&input, FIN | 0, payload, sizeof(payload));
    CHECK_TEXT(found(&input), "pp;!1009");
    buf_fini(&input);
}

static void
a_turn_stops_where_it_is_told_to(void)
{
    struct transcript transcript = {.messages_max = 2};
    struct buf input;
    static char text[4000];

    memset(text, 'x', sizeof(text) - 1);
    buf_init(&input, 1 << 20);
    buf_init(&transcript.text, 65536);
    for (int i = 0; i < 9; i++) {
        put_client_text(&input, FIN | 1, text);
    }
    const struct frames_sink sink = {&transcript, sizeof(text), tell_message, tell_control,
                                     has_transcript_room};
    struct frames *frames = NULL;
    size_t at = 0;
    unsigned feeds = 0, code = 0;
    CHECK_INT(frames_new(&frames), 0);
    for (; at < input.len && feeds < 100; feeds++) {
        size_t used = 0;
        transcript.messages = 0;
        CHECK_INT(
            frames_feed(frames, &sink, bytes_of(input.data + at, input.len - at), &used, &code), 0);
        CHECK(transcript.messages <= 2);
        at += used;
    }
    CHECK_INT(feeds, 5);
    CHECK(frames_are_between(frames));
    frames_free(&frames);
    buf_fini(&input);
    buf_fini(&transcript.text);
}

static void
frames_are_written_as_in_the_rfc(void)
{
    static uint8_t payload[65536];
    struct buf out;

    buf_init(&out, 1 << 20);
    frame_put(&out, FRAME_TEXT, bytes_of_text("Hello"));
    CHECK(bytes_equal(buf_view(&out), bytes_of("\x81\x05Hello", 7)));
    buf_reset(&out);
    frame_put(&out, FRAME_PING, bytes_of_text("Hello"));
    CHECK(bytes_equal(buf_view(&out), bytes_of("\x89\x05Hello", 7)));
    buf_reset(&out);
    frame_put(&out, FRAME_BINARY, bytes_of(payload, 256));
    CHECK(out.len == 260 && memcmp(out.data, "\x82\x7e\x01\x00", 4) == 0);
    buf_reset(&out);
    frame_put(&out, FRAME_BINARY, bytes_of(payload, 65536));
    CHECK(out.len == 65546 && memcmp(out.data, "\x82\x7f\0\0\0\0\0\1\0\0", 10) == 0);
    buf_reset(&out);
    frame_put_close(&out, NET_CLOSE_GOING_AWAY, "bye");
    CHECK(bytes_equal(buf_view(&out), bytes_of("\x88\x05\x03\xe9"
                                               "bye",
                                               7)));
    buf_reset(&out);
    frame_put_close(&out, NET_CLOSE_NONE, "");
    CHECK(bytes_equal(buf_view(&out), bytes_of("\x88\x00", 2)));
    buf_fini(&out);
}

int
main(void)
{
    TAP_RUN(messages_pings_and_close_are_what_they_are);
    TAP_RUN(what_the_rfc_forbids_fails_the_connection);
    TAP_RUN(codes_of_close_are_those_that_may_be_sent);
    TAP_RUN(text_is_utf8_wherever_its_frames_end);
    TAP_RUN(heads_that_break_the_rules_are_refused);
    TAP_RUN(lengths_are_right_at_their_edges);
    TAP_RUN(a_message_in_pieces_is_bounded_as_a_whole);
    TAP_RUN(a_turn_stops_where_it_is_told_to);
    TAP_RUN(frames_are_written_as_in_the_rfc);
    return tap_done();
}
