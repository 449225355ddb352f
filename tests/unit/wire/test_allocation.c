/* SPDX-License-Identifier: MIT */
/*
 * test_allocation.c - what is on the path of a request calls no malloc: it is counted here. This
 * program's malloc stands in for the C library's, also in yyjson and msgpack-c.
 */
#include "augury/wire.h"

#include <stdlib.h>

#include "../../tap.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_COUNT = 0 }; /* the sanitizer has its own malloc */
#else
enum { CAN_COUNT = 1 };
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
#endif

static size_t calls;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *
malloc(size_t size)
{
    calls++;
    return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    calls++;
    return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
    calls++;
    return __libc_realloc(old, size);
}
#endif

static const char request[] =
    "{\"features\":{\"receive_2h_ko\":0,\"spread_time\":-3.2,\"home\":1,\"down\":3,"
    "\"half_seconds_remaining\":1432,\"game_seconds_remaining\":3232,\"diff_time_ratio\":-4.125,"
    "\"score_differential\":-3,\"ydstogo\":7,\"yardline_100\":45,\"posteam_timeouts\":3}}";

static void
count_decode(enum wire_format format, struct bytes input, enum wire_flags flags, size_t *out_calls)
{
    struct wire_limits limits = {.depth = 32, .values = 1000, .flags = flags};
    struct wire_value root;
    struct arena arena;
    struct err err;

    AUGURY_ASSERT(arena_init(&arena, 1 << 20) == 0);
    calls = 0;
    int rc = wire_decode(format, input, &limits, &arena, &root, &err);
    *out_calls = rc == 0 ? calls : SIZE_MAX;
    arena_fini(&arena);
}

/* The request as MessagePack. */
static void
pack_request(struct buf *buf)
{
    struct wire_limits limits = {.depth = 32, .values = 1000};
    struct wire_writer writer;
    struct wire_value root;
    struct arena arena;

    AUGURY_ASSERT(arena_init(&arena, 1 << 20) == 0);
    AUGURY_ASSERT(wire_decode(WIRE_JSON, bytes_of_text(request), &limits, &arena, &root, NULL) ==
                  0);
    wire_writer_init(&writer, WIRE_MSGPACK, buf);
    wire_put_value(&writer, &root);
    arena_fini(&arena);
}

static void
the_count_counts(void)
{
    if (!CAN_COUNT) {
        SKIP("a sanitizer has its own malloc");
    }
    calls = 0;
    void *volatile block = malloc(10);
    free(block);
    CHECK_INT(calls, 1);
}

static void
a_request_is_read_without_malloc(void)
{
    struct buf packed;
    size_t count = 0;

    if (!CAN_COUNT) {
        SKIP("a sanitizer has its own malloc");
    }
    count_decode(WIRE_JSON, bytes_of_text(request), 0, &count);
    CHECK_INT(count, 0);
    count_decode(WIRE_JSON, bytes_of_text(request), WIRE_NUMBERS_AS_TEXT, &count);
    CHECK_INT(count, 0);
    buf_init(&packed, 4096);
    pack_request(&packed);
    count_decode(WIRE_MSGPACK, buf_view(&packed), 0, &count);
    CHECK_INT(count, 0);
    buf_fini(&packed);
}

static void
an_answer_is_written_into_a_used_buffer_without_malloc(void)
{
    struct wire_writer writer;
    struct buf buf;

    if (!CAN_COUNT) {
        SKIP("a sanitizer has its own malloc");
    }
    for (int format = WIRE_JSON; format <= WIRE_MSGPACK; format++) {
        buf_init(&buf, 4096);
        buf_put_text(&buf, "the answer before");
        buf_reset(&buf);
        calls = 0;
        wire_writer_init(&writer, (enum wire_format)format, &buf);
        wire_object(&writer, 2);
        wire_key(&writer, "prediction");
        wire_put_f32(&writer, 0.7312F);
        wire_key(&writer, "margin");
        wire_put_f64(&writer, 1.0 / 3);
        wire_end(&writer);
        CHECK_INT(calls, 0);
        CHECK_INT(buf_finish(&buf), 0);
        buf_fini(&buf);
    }
}

int
main(void)
{
    TAP_RUN(the_count_counts);
    TAP_RUN(a_request_is_read_without_malloc);
    TAP_RUN(an_answer_is_written_into_a_used_buffer_without_malloc);
    return tap_done();
}
