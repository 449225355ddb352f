/* SPDX-License-Identifier: MIT */
/*
 * api_lines.c - application/x-ndjson: a row a line, an answer a line, for batches that may have
 * more rows than one question. Lines are read, evaluated and answered in blocks, one a turn of the
 * loop once the first has been answered, so that memory is that of a block and of the body.
 * Invariants:
 * 1. All blocks are answered by the version that answered the first.
 * 2. What is wrong in the first block is a refusal with its status. Later, the good rows before it
 *    are answered, then a line says what is wrong and where, and the answer ends.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_ROWS = 1024,
    BLOCK_BYTES = 256 * 1024, /* of text; a longer line is a block */
    LOOK_LINES = 64,          /* between two looks at the clock */
    ARENA_KEEP_BYTES = 256 * 1024,
};

/* Where the reading of a body stands. */
struct lines {
    struct bytes text; /* what has not been read */
    uint64_t number;   /* of the next line, from 1 */
    uint64_t deadline_mono_ns;
};

/* Rows of one kind, objects or arrays, in the arena. */
struct block {
    struct wire_value *values;
    uint64_t *numbers;      /* of their lines */
    struct lines *ends;     /* what is left behind each */
    struct wire_value rows; /* all of them, as the question has them */
    uint32_t count;
};

struct api_lines {
    struct api *api;
    struct lines lines;
    struct predict_question question; /* names are those below */
    char name[MODEL_NAME_MAX + 1];
    char version[U64_TEXT_MAX];
    struct api_parts parts;
    bool is_answered; /* to the last line */
    size_t held_bytes;
    uint8_t body[];
};

/* ---- reading --------------------------------------------------------------------------------- */

/* The next line that has something in it. False: there is none. */
static bool
line_next(struct lines *lines, struct bytes *out_line, uint64_t *out_number)
{
    while (lines->text.len > 0) {
        const uint8_t *data = lines->text.data;
        const uint8_t *feed = memchr(data, '\n', lines->text.len);
        size_t len = feed != NULL ? (size_t)(feed - data) : lines->text.len;
        size_t used = feed != NULL ? len + 1 : len;

        *out_number = lines->number++;
        lines->text = bytes_of(data + used, lines->text.len - used);
        while (len > 0 &&
               (data[len - 1] == '\r' || data[len - 1] == ' ' || data[len - 1] == '\t')) {
            len--;
        }
        if (len > 0) {
            *out_line = bytes_of(data, len);
            return true;
        }
    }
    return false;
}

static int
row_decode(struct api *api, struct bytes line, uint64_t number, struct wire_value *out_value,
           struct err *err)
{
    struct wire_limits limits = {.depth = api->options.conf->limits.json_depth,
                                 .values = line.len + 1,
                                 .flags = WIRE_BORROW | WIRE_NONFINITE};
    char at[sizeof(err->at)];
    int rc = wire_decode(WIRE_JSON, line, &limits, &api->arena, out_value, err);

    if (rc == AUGURY_ERR_NOMEM) {
        rc = err_set(err, rc, "request_too_large",
                     "the line needs more working memory than one request may take "
                     "(limits.request_memory)");
    } else if (rc == 0 && out_value->type != WIRE_OBJECT && out_value->type != WIRE_ARRAY) {
        rc = err_set(err, AUGURY_ERR_INVALID, "invalid_request",
                     "a row is an object of features or an array of values, got %s",
                     wire_type_name(out_value));
    }
    if (rc != 0) {
        snprintf(at, sizeof(at), "%s", err->at);
        (void)err_at(err, "line %llu%s%s", (unsigned long long)number, at[0] != '\0' ? ", " : "",
                     at);
    }
    return rc;
}

static int
block_alloc(struct api *api, uint32_t rows, struct block *block, struct err *err)
{
    block->values = arena_alloc(&api->arena, rows * sizeof(*block->values));
    block->numbers = arena_alloc(&api->arena, rows * sizeof(*block->numbers));
    block->ends = arena_alloc(&api->arena, rows * sizeof(*block->ends));
    block->count = 0;
    if (block->values == NULL || block->numbers == NULL || block->ends == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "request_too_large",
                       "no working memory for a block of rows (limits.request_memory)");
    }
    return 0;
}

/* Whether the row that has just been read, well or not, belongs to the block: one of the other kind
 * begins the next, as does a wrong one behind good ones, but in the first block. */
static bool
is_of_block(const struct block *block, bool is_first_block, int rc)
{
    if (block->count == 0) {
        return true;
    }
    return rc != 0 ? is_first_block : block->values[block->count].type == block->values[0].type;
}

/* Time is over, looked at now and then. */
static int
lines_look(const struct lines *lines, const struct block *block, struct err *err)
{
    if (lines->deadline_mono_ns == 0 || block->count % LOOK_LINES != LOOK_LINES - 1 ||
        clock_mono_ns() < lines->deadline_mono_ns) {
        return 0;
    }
    return err_set(err, AUGURY_ERR_TIMEOUT, "timeout",
                   "the request's time was over when %u rows were read", block->count);
}

/* Rows until the block is full, or the next one is not of it. */
static int
block_read(struct api *api, struct lines lines, struct block *block, struct err *err)
{
    uint32_t rows_max = api->options.predict->rows_max;
    uint32_t most = rows_max < BLOCK_ROWS ? rows_max : BLOCK_ROWS;
    const uint8_t *begin = lines.text.data;
    bool is_first_block = lines.number == 1;
    struct bytes line;
    uint64_t number;
    int rc = block_alloc(api, most, block, err);

    while (rc == 0 && block->count < most && line_next(&lines, &line, &number)) {
        rc = lines_look(&lines, block, err);
        if (rc != 0) {
            return rc;
        }
        rc = row_decode(api, line, number, &block->values[block->count], err);
        if (!is_of_block(block, is_first_block, rc)) {
            return 0;
        }
        if (rc == 0) {
            block->numbers[block->count] = number;
            block->ends[block->count++] = lines;
        }
        if (line.data + line.len > begin + BLOCK_BYTES) {
            break;
        }
    }
    return rc;
}

/* ---- evaluation ------------------------------------------------------------------------------ */

static void
question_take(struct predict_question *question, struct block *block)
{
    bool is_data = block->count > 0 && block->values[0].type == WIRE_ARRAY;

    block->rows =
        (struct wire_value){.type = WIRE_ARRAY, .count = block->count, .as.items = block->values};
    question->rows = is_data ? NULL : &block->rows;
    question->data = is_data ? &block->rows : NULL;
}

/* "rows[3].down" and "data[3][5]": the row's number, and what stands behind it. */
static bool
place_read(const char *at, uint32_t *out_row, const char **out_rest)
{
    char *end = NULL;

    if (strncmp(at, "rows[", 5) != 0 && strncmp(at, "data[", 5) != 0) {
        return false;
    }
    unsigned long row = strtoul(at + 5, &end, 10);
    if (*end != ']' || row > UINT32_MAX) {
        return false;
    }
    *out_row = (uint32_t)row;
    *out_rest = end + 1;
    return true;
}

/* "rows[0].down" becomes "line 17, down". */
static void
place_as_line(const struct block *block, struct err *err)
{
    char rest[sizeof(err->at)];
    const char *behind = NULL;
    uint32_t row = 0;

    if (!place_read(err->at, &row, &behind) || row >= block->count) {
        return;
    }
    snprintf(rest, sizeof(rest), "%s", behind[0] == '.' ? behind + 1 : behind);
    (void)err_at(err, "line %llu%s%s", (unsigned long long)block->numbers[row],
                 rest[0] != '\0' ? ", " : "", rest);
}

/* How many rows to ask for after a failure: those before the wrong one, or half of them where
 * memory is short. 0: it stays a failure. */
static uint32_t
rows_to_try(const struct block *block, int rc, bool is_first, const struct err *err)
{
    const char *rest;
    uint32_t row = 0;

    if (rc == AUGURY_ERR_NOMEM) {
        return block->count / 2;
    }
    bool is_cut = !is_first && place_read(err->at, &row, &rest) && row < block->count;
    return is_cut ? row : 0;
}

static int
block_answer(struct api *api, struct predict_question *question, struct block *block,
             struct predict_answer *answer, struct err *err)
{
    bool is_first = (question->flags & PREDICT_CONTINUED) == 0;
    struct arena *arena = &api->arena;
    size_t mark = arena->used;

    for (;;) {
        question_take(question, block);
        int rc = predict_answer(api->options.predict, question, arena, answer, err);
        uint32_t rows = rc != 0 ? rows_to_try(block, rc, is_first, err) : 0;
        if (rows == 0) {
            if (rc != 0) {
                place_as_line(block, err);
            }
            return rc;
        }
        predict_end(api->options.predict);
        block->count = rows;
        arena->high = arena->used > arena->high ? arena->used : arena->high;
        arena->used = mark;
    }
}

static void
block_put(const struct predict_answer *answer, struct buf *out)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_JSON, out);
    api_put_rows(&writer, API_FORM_NDJSON, answer);
}

/* ---- the rest of a body, in pieces ----------------------------------------------------------- */

static void
on_end(void *arg)
{
    struct api_lines *rest = arg;
    struct api *api = rest->api;

    if (rest->is_answered) {
        api_figures_whole(api, &rest->parts, clock_wall_ms());
    } else {
        api_figures_failed(api, rest->parts.model_key, clock_wall_ms(), rest->parts.took_ns);
    }
    api->streamed_bytes -= rest->held_bytes;
    free(rest);
}

static void
put_error(const struct err *err, struct buf *out)
{
    struct wire_writer writer;

    wire_writer_init(&writer, WIRE_JSON, out);
    api_put_error(&writer, err);
    buf_put_u8(out, '\n');
}

static bool
is_over(struct lines lines)
{
    struct bytes line;
    uint64_t number;

    return !line_next(&lines, &line, &number);
}

/* The last line of an answer that does not come to its end. Where it is not a line that is wrong,
 * it is the first without an answer that is named. */
static void
put_end(struct api_lines *rest, int rc, struct err *err, struct buf *piece)
{
    struct lines lines = rest->lines;
    struct bytes line;
    uint64_t number = lines.number;

    if (api_limit_note(rest->api, rc, err)) {
        (void)err_set(err, rc, "timeout",
                      "the request's time was over when the lines before this one were answered");
    }
    (void)line_next(&lines, &line, &number);
    if (err->at[0] == '\0') {
        (void)err_at(err, "line %llu", (unsigned long long)number);
    }
    stats_add(rest->api->options.slot, STATS_PREDICT_ERRORS, 1);
    put_error(err, piece);
}

static int
more(void *arg, struct buf *piece)
{
    struct api_lines *rest = arg;
    struct api *api = rest->api;
    struct predict_question question = rest->question;
    struct predict_answer answer;
    struct block block = {.count = 0};
    struct err err;
    uint64_t begin_ns = clock_mono_ns();

    api_turn_end(api);
    question.now_wall_ms = clock_wall_ms();
    int rc = block_read(api, rest->lines, &block, &err);
    if (rc == 0 && block.count > 0) {
        rc = block_answer(api, &question, &block, &answer, &err);
        if (rc == 0) {
            block_put(&answer, piece);
            rest->lines = block.ends[block.count - 1];
            api_figures_part(api, &rest->parts, &answer, clock_mono_ns() - begin_ns);
        }
        predict_end(api->options.predict);
    }
    if (rc != 0) {
        put_end(rest, rc, &err, piece);
    }
    arena_reset(&api->arena, ARENA_KEEP_BYTES);
    rest->is_answered = rc == 0 && is_over(rest->lines);
    return rc != 0 || rest->is_answered ? AUGURY_END : 0;
}

/* What the first block left; the version that answered it answers the rest. */
static bool
rest_begin(struct api_call *call, const struct predict_question *question, struct lines lines,
           const struct api_parts *parts, const struct registry_entry *entry)
{
    struct api *api = call->api;
    size_t bytes = sizeof(struct api_lines) + lines.text.len;
    struct api_lines *rest = api->streamed_bytes + bytes <= API_STREAMED_MAX ? malloc(bytes) : NULL;

    if (rest == NULL) {
        return false;
    }
    *rest = (struct api_lines){
        .api = api, .lines = lines, .question = *question, .parts = *parts, .held_bytes = bytes};
    memcpy(rest->name, entry->name, sizeof(rest->name));
    memcpy(rest->body, lines.text.data, lines.text.len);
    rest->lines.text.data = rest->body;
    rest->question.model = bytes_of_text(rest->name);
    rest->question.selector = bytes_of(rest->version, u64_to_text(entry->version, rest->version));
    rest->question.flags |= PREDICT_CONTINUED;
    api->streamed_bytes += bytes;
    call->answer->more = more;
    call->answer->on_end = on_end;
    call->answer->more_arg = rest;
    return true;
}

/* ---- the first block ------------------------------------------------------------------------- */

static unsigned
refuse_first(struct api_call *call, int rc)
{
    (void)api_limit_note(call->api, rc, &call->err);
    return api_refuse(call, rc);
}

static unsigned
answer_first(struct api_call *call, struct predict_question *question, struct block *block,
             struct lines lines, uint64_t begin_ns)
{
    struct api *api = call->api;
    struct predict_answer answer;
    struct api_parts parts = {.model_key = 0};
    unsigned status = 200;
    int rc = block_answer(api, question, block, &answer, &call->err);

    api_timing_mark(call, API_PHASE_EVAL);
    if (rc != 0) {
        status = refuse_first(call, rc);
    } else {
        block_put(&answer, call->answer->body);
        api_timing_mark(call, API_PHASE_ENCODE);
        lines = block->count > 0 ? block->ends[block->count - 1] : lines;
        api_figures_part(api, &parts, &answer, clock_mono_ns() - begin_ns);
        if (is_over(lines)) {
            api_figures_whole(api, &parts, call->now_wall_ms);
        } else if (!rest_begin(call, question, lines, &parts, &answer.model->entry)) {
            status = api_refuse_as(call, 503, "no_memory", "no memory for the rows to come");
        }
    }
    predict_end(api->options.predict);
    return status;
}

unsigned
api_post_lines(struct api_call *call)
{
    struct api *api = call->api;
    struct predict_question question = {.now_wall_ms = call->now_wall_ms,
                                        .deadline_mono_ns = call->deadline_mono_ns};
    struct lines lines = {
        .text = call->body, .number = 1, .deadline_mono_ns = call->deadline_mono_ns};
    uint64_t begin_ns = clock_mono_ns();
    struct block block = {.count = 0};
    unsigned status;

    api_turn_end(api);
    api_call_form_any(call, API_FORM_NDJSON);
    call->wish = api_wish_of(call->request);
    status = api_limit_admit(call);
    if (status != 0) {
        return status;
    }
    api_question_wish(call, &question);
    api_split_name(call->parameter, &question.model, &question.selector);
    if (bytes_start_with(lines.text, "\xef\xbb\xbf")) {
        lines.text = bytes_of(lines.text.data + 3, lines.text.len - 3);
    }
    int rc = api_question_query(call, &question);
    if (rc == 0) {
        rc = block_read(api, lines, &block, &call->err);
    }
    api_timing_mark(call, API_PHASE_PARSE);
    if (rc == 0) {
        status = answer_first(call, &question, &block, lines, begin_ns);
    } else {
        stats_add(api->options.slot, STATS_PREDICT_REQUESTS, 1);
        stats_add(api->options.slot, STATS_PREDICT_ERRORS, 1);
        status = refuse_first(call, rc);
    }
    call->is_coded = call->answer->more != NULL; /* what comes in pieces comes as it is */
    uint64_t took_ns = clock_mono_ns() - begin_ns;
    stats_observe(api->options.slot, STATS_PREDICT_SECONDS, took_ns);
    if (status >= 400) {
        api_figures_refused(call, &question, took_ns);
    }
    return status;
}
