/* SPDX-License-Identifier: MIT */
/* test_text.c - documents as people read them at a terminal. */
#include "augury/wire.h"

#include "../../tap.h"

/* The document, given as JSON, as text; the caller finishes buf. */
static const char *
render(const char *json, struct buf *buf)
{
    struct wire_limits limits = {.depth = 40, .values = 1000};
    struct wire_value root;
    struct arena arena;
    struct err err;

    AUGURY_ASSERT(arena_init(&arena, 1 << 20) == 0);
    buf_init(buf, 1 << 20);
    int rc = wire_decode(WIRE_JSON, bytes_of_text(json), &limits, &arena, &root, &err);
    AUGURY_ASSERT(rc == 0);
    wire_put_as_text(&root, buf);
    buf_put_u8(buf, 0);
    arena_fini(&arena);
    return buf_finish(buf) == 0 ? (const char *)buf->data : "(failed)";
}

static void
keys_and_values_are_aligned_and_sections_indented(void)
{
    struct buf buf;

    CHECK_TEXT(
        render("{\"version\":\"0.1.0\",\"ready\":true,\"cache\":{\"hits\":812,\"hit_ratio\":0.5},"
               "\"labels\":[\"stable\",\"canary\"],\"reason\":null,\"jobs\":[],\"opts\":{}}",
               &buf),
        "version  0.1.0\n"
        "ready    yes\n"
        "cache\n"
        "  hits       812\n"
        "  hit_ratio  0.5\n"
        "labels   stable, canary\n"
        "reason   -\n"
        "jobs     -\n"
        "opts     {}\n");
    buf_fini(&buf);
}

static void
an_array_of_objects_is_a_table(void)
{
    struct buf buf;

    CHECK_TEXT(
        render("{\"workers\":[{\"id\":0,\"pid\":4711,\"state\":\"serving\",\"started_at\":\"x\"},"
               "{\"id\":12,\"pid\":99,\"state\":\"d\xc3\xa9j\xc3\xa0\"}]}",
               &buf),
        "workers\n"
        "  ID   PID  STATE    STARTED AT\n"
        "   0  4711  serving  x\n"
        "  12    99  d\xc3\xa9j\xc3\xa0     -\n");
    buf_fini(&buf);
}

static void
other_arrays_are_lists(void)
{
    struct buf buf;

    CHECK_TEXT(render("[1,{\"a\":{\"b\":2}},[3,[4]]]", &buf), "- 1\n"
                                                              "-\n"
                                                              "  a\n"
                                                              "    b  2\n"
                                                              "-\n"
                                                              "  - 3\n"
                                                              "  - 4\n");
    buf_fini(&buf);
}

static void
a_value_cannot_steer_the_terminal(void)
{
    struct buf buf;

    CHECK_TEXT(render("{\"a\\u001b[2J\":\"\\u001b]0;x\\u0007\\u009b1m\"}", &buf),
               "a\\x1b[2J  \\x1b]0;x\\x07\\x9b1m\n");
    buf_fini(&buf);
}

static void
a_document_of_one_scalar_is_one_line(void)
{
    struct buf buf;

    CHECK_TEXT(render("\"reloaded\"", &buf), "reloaded\n");
    buf_fini(&buf);
}

int
main(void)
{
    TAP_RUN(keys_and_values_are_aligned_and_sections_indented);
    TAP_RUN(an_array_of_objects_is_a_table);
    TAP_RUN(other_arrays_are_lists);
    TAP_RUN(a_value_cannot_steer_the_terminal);
    TAP_RUN(a_document_of_one_scalar_is_one_line);
    return tap_done();
}
