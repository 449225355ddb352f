/* SPDX-License-Identifier: MIT */
/*
 * api_stream.c - the rows of an answer as text: whole, or, when that would be large and nobody
 * keeps it, in pieces as the client takes them. What is computed is kept meanwhile, in the arena
 * that it was computed in (the next request gets another one), which is a fraction of its text.
 * Invariants:
 * 1. The model is looked up for each piece, by its version and contents: a version that is unloaded
 *    in the middle ends the answer there, without its end.
 * 2. So much may be held by all streams together; beyond it answers are rendered whole, as they are
 *    where there is no memory for a stream.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

enum {
    STREAM_OVER_BYTES = 256 * 1024, /* what is smaller is rendered whole */
    STREAM_PIECE_BYTES = 64 * 1024,
};

struct api_stream {
    struct api *api;
    struct arena arena;
    struct predict_answer answer; /* its model is that of no snapshot */
    struct registry_entry entry;
    struct digest content;
    struct wire_writer writer;
    enum api_form form;
    size_t next;
    size_t held_bytes;
};

/* ---- rows ------------------------------------------------------------------------------------ */

static void
put_begin(struct wire_writer *writer, enum api_form form, const struct predict_answer *answer)
{
    if (form == API_FORM_CSV || form == API_FORM_NPY) {
        api_columns_begin(answer, form, writer->buf);
    } else if (form != API_FORM_NDJSON) {
        api_answer_begin(writer, answer);
    }
}

static void
put_row(struct wire_writer *writer, enum api_form form, const struct predict_answer *answer,
        size_t row)
{
    if (form == API_FORM_CSV || form == API_FORM_NPY) {
        api_columns_put_row(answer, form, row, writer->buf);
        return;
    }
    api_put_row(writer, answer, row);
    if (form == API_FORM_NDJSON) {
        buf_put_u8(writer->buf, '\n');
    }
}

static void
put_end(struct wire_writer *writer, enum api_form form)
{
    if (form == API_FORM_JSON || form == API_FORM_MSGPACK) {
        api_answer_end(writer);
    }
}

/* From row `from` on, one at least, until there are so many bytes. Returns the first row that is
 * not there. */
static size_t
put_rows(struct wire_writer *writer, enum api_form form, const struct predict_answer *answer,
         size_t from, size_t bytes)
{
    bool has_room = from < answer->row_count;

    while (has_room) {
        put_row(writer, form, answer, from++);
        has_room = from < answer->row_count && writer->buf->len < bytes;
    }
    return buf_finish(writer->buf) == 0 ? from : answer->row_count;
}

void
api_put_rows(struct wire_writer *writer, enum api_form form, const struct predict_answer *answer)
{
    (void)put_rows(writer, form, answer, 0, SIZE_MAX);
}

/* ---- a stream -------------------------------------------------------------------------------- */

static void
on_end(void *arg)
{
    struct api_stream *stream = arg;

    stream->api->streamed_bytes -= stream->held_bytes;
    arena_fini(&stream->arena);
    free(stream);
}

/* The registry's snapshot is open. */
static int
find_again(struct api_stream *stream)
{
    char version[U64_TEXT_MAX];
    size_t len = u64_to_text(stream->entry.version, version);
    int rc =
        registry_find(stream->api->options.predict->registry, bytes_of_text(stream->entry.name),
                      bytes_of(version, len), &stream->answer.model, NULL);

    if (rc != 0 || !digest_equal(stream->answer.model->model.content, stream->content)) {
        return AUGURY_ERR_STATE;
    }
    return 0;
}

static int
more(void *arg, struct buf *piece)
{
    struct api_stream *stream = arg;
    struct registry *registry = stream->api->options.predict->registry;

    api_turn_end(stream->api);
    if (registry_snapshot_begin(registry) != 0) {
        return AUGURY_ERR_STATE;
    }
    int rc = find_again(stream);
    if (rc == 0) {
        stream->writer.buf = piece;
        stream->next = put_rows(&stream->writer, stream->form, &stream->answer, stream->next,
                                STREAM_PIECE_BYTES);
        if (stream->next == stream->answer.row_count) {
            put_end(&stream->writer, stream->form);
            rc = AUGURY_END;
        }
    }
    registry_snapshot_end(registry);
    return rc;
}

/* Only what lies in the call's own arena can go with it. */
static bool
is_all_in_arena(const struct arena *arena, const struct predict_answer *answer)
{
    const void *const parts[] = {answer->predictions,   answer->margins, answer->probabilities,
                                 answer->leaves,        answer->classes, answer->intervals,
                                 answer->class_sets,    answer->reasons, answer->reason_counts,
                                 answer->contributions, answer->top,     answer->spreads};
    bool is_in = true;

    for (size_t i = 0; i < AUGURY_COUNT(parts); i++) {
        uintptr_t at = (uintptr_t)parts[i];
        uintptr_t base = (uintptr_t)arena->base;
        is_in = is_in && (parts[i] == NULL || (at >= base && at < base + arena->used));
    }
    return is_in;
}

/* Whether the rest is worth a stream: what is small, what the cache may keep and what is compressed
 * has to be whole, as do answers outside of handlers, between which the registry's snapshot stays
 * open; reasons are views of a model that the next piece may find somewhere else. */
static bool
is_for_stream(const struct api_call *call, const struct predict_answer *answer, size_t next)
{
    const struct api *api = call->api;
    size_t bytes = call->answer->body->len / (next > 0 ? next : 1) * answer->row_count;
    bool may_be_kept = call->response.has_key && bytes <= CACHE_VALUE_MAX;

    return api->is_handling && !may_be_kept && answer->reasons == NULL &&
           is_all_in_arena(&api->arena, answer) && api_coding_for(call, bytes) == API_IDENTITY &&
           api->streamed_bytes + api->arena.used <= API_STREAMED_MAX;
}

/* Takes the arena out of the call. */
static struct api_stream *
stream_new(struct api_call *call, const struct predict_answer *answer, size_t next)
{
    struct api *api = call->api;
    struct arena fresh;
    struct api_stream *stream = malloc(sizeof(*stream));

    if (stream == NULL || arena_init(&fresh, api->arena.max) != 0) {
        free(stream);
        return NULL;
    }
    *stream = (struct api_stream){.api = api,
                                  .arena = api->arena,
                                  .answer = *answer,
                                  .entry = answer->model->entry,
                                  .content = answer->model->model.content,
                                  .writer = call->writer,
                                  .form = call->form,
                                  .next = next,
                                  .held_bytes = api->arena.used};
    api->arena = fresh;
    api->streamed_bytes += stream->held_bytes;
    return stream;
}

void
api_put_answer(struct api_call *call, const struct predict_answer *answer)
{
    struct wire_writer *writer = &call->writer;
    struct api_stream *stream = NULL;

    put_begin(writer, call->form, answer);
    size_t next = put_rows(writer, call->form, answer, 0, STREAM_OVER_BYTES);
    if (next < answer->row_count && is_for_stream(call, answer, next)) {
        stream = stream_new(call, answer, next);
    }
    if (stream == NULL) {
        (void)put_rows(writer, call->form, answer, next, SIZE_MAX);
        put_end(writer, call->form);
        return;
    }
    call->answer->more = more;
    call->answer->on_end = on_end;
    call->answer->more_arg = stream;
}
