/* SPDX-License-Identifier: MIT */
/*
 * predict_part.c - one thing computed for each row: looked up under the row's key, evaluated where
 * it was not found, kept.
 *
 * Invariants:
 * 1. What is kept is what is costly: margins, and under keys of their own leaves, contributions and
 *    what quantile models predict, as numbers of the model or uint32 words in the machine's order.
 *    What follows from them is never kept.
 * 2. A value whose length is not that of the part is no hit; margins may have their row behind
 *    them, from which another version's are made before it takes over.
 * 3. Whatever fails in the cache, the answer is computed.
 * 4. What a row costs to evaluate and to look up decides whether it is looked up, never what the
 *    answer is.
 */
#include "predict_asking.h"

#include <string.h>

enum {
    CONTENT_HEX_BYTES = 16,
    SUFFIX_MAX = 32,
    MANY_ROWS = 8,       /* so many and more cost less each */
    TIMED_ONE_IN = 16,   /* once enough is known */
    PROBE_ONE_IN = 1024, /* looked up although evaluating is cheaper */
    BLOCK_ROWS = 16,     /* evaluated first, where there is a deadline */
    BLOCK_NS = 1000000,
    LOOKUP_CELLS = 32, /* finding a row takes about as long as reading so many */
};

/* ---- keys ------------------------------------------------------------------------------------ */

static size_t
put_words(char *out, size_t at, const void *data, size_t len)
{
    memcpy(out + at, data, len);
    return at + len;
}

void
predict_key_begin(struct row_key *key, const struct registry_model *found)
{
    char hex[DIGEST_HEX_BYTES];
    size_t at = put_words(key->text, 0, "prediction:", 11);

    at = put_words(key->text, at, found->entry.name, strlen(found->entry.name));
    at = put_words(key->text, at, "@", 1);
    at += u64_to_text(found->entry.version, key->text + at);
    at = put_words(key->text, at, "#", 1);
    digest_to_hex(found->model.content, hex);
    at = put_words(key->text, at, hex, CONTENT_HEX_BYTES);
    key->row_at = put_words(key->text, at, ":", 1);
}

void
predict_part_keys(struct asking *asking)
{
    predict_key_begin(asking->key, asking->found);
}

struct bytes
predict_row_canonical(const struct asking *asking, size_t row)
{
    const struct predict_matrix *matrix = &asking->matrix;

    return bytes_of(matrix->values + row * matrix->row_bytes, matrix->row_bytes);
}

struct bytes
predict_part_key(struct asking *asking, const struct part *part, size_t row)
{
    struct bytes canonical = predict_row_canonical(asking, row);
    struct row_key *key = asking->key;

    digest_to_hex(cache_digest(asking->context->cache, canonical), key->text + key->row_at);
    key->len =
        put_words(key->text, key->row_at + DIGEST_HEX_BYTES, part->suffix, strlen(part->suffix));
    return bytes_of(key->text, key->len);
}

/* ---- parts ----------------------------------------------------------------------------------- */

void
predict_expires_by(struct asking *asking, uint64_t wall_ms)
{
    if (asking->expires_wall_ms == 0 || wall_ms < asking->expires_wall_ms) {
        asking->expires_wall_ms = wall_ms;
    }
}

/* What stands behind the words in a value that has the row. */
static size_t
kept_row_bytes(const struct asking *asking, const struct part *part)
{
    bool is_kept = part->suffix[0] == '\0' && asking->matrix.row_bytes <= PREDICT_KEPT_ROW_BYTES;

    return is_kept ? asking->matrix.row_bytes : 0;
}

/* Fills what the cache knows; the numbers of the other rows go to out_missed, which has room for
 * all. */
static int
part_find(struct asking *asking, const struct part *part, struct part_missed *out_missed)
{
    struct cache *cache = asking->context->cache;
    size_t row_bytes = part->row_bytes;
    size_t kept_bytes = row_bytes + kept_row_bytes(asking, part);
    size_t missed = 0;
    struct predict_pace pace;
    int late = 0;

    if (cache_snapshot_begin(cache) != 0) {
        return AUGURY_ERR_IO;
    }
    predict_pace_init(&pace, asking->question->deadline_mono_ns, LOOKUP_CELLS);
    for (size_t row = 0; row < asking->matrix.row_count && late == 0; row++) {
        struct cache_hit hit;
        struct cache_query query = {.class = CACHE_PREDICTION,
                                    .key = predict_part_key(asking, part, row),
                                    .now_wall_ms = asking->question->now_wall_ms,
                                    .arena = asking->arena,
                                    .born_from_wall_ms = asking->question->born_from_wall_ms};
        int rc = cache_get(cache, &query, &hit);
        if (rc == 0 && (hit.value.len == kept_bytes || hit.value.len == row_bytes)) {
            memcpy(part->words + row * row_bytes, hit.value.data, row_bytes);
            predict_expires_by(asking, hit.expires_wall_ms);
        } else {
            out_missed->rows[missed++] = (uint32_t)row;
        }
        late = predict_pace_look(&pace, row + 1, "looked up", asking->err);
    }
    cache_snapshot_end(cache);
    out_missed->count = missed;
    return late;
}

/* Every block begins at a multiple of 64 bytes, as its rows come by 16. */
int
predict_part_evaluate(struct asking *asking, const struct part *part, const uint8_t *rows,
                      size_t count, void *scratch, uint8_t *out_words)
{
    uint64_t deadline_ns = asking->question->deadline_mono_ns;
    size_t block = deadline_ns == 0 ? count : BLOCK_ROWS;

    for (size_t at = 0; at < count;) {
        size_t n = block < count - at ? block : count - at;
        uint64_t begin_ns = deadline_ns == 0 ? 0 : clock_mono_ns();
        if (deadline_ns != 0 && begin_ns >= deadline_ns) {
            return err_set(asking->err, AUGURY_ERR_TIMEOUT, "timeout",
                           "the request's time was over when %zu of %zu rows were evaluated", at,
                           count);
        }
        part->evaluate(&asking->found->model, rows + at * asking->matrix.row_bytes, n, scratch,
                       out_words + at * part->row_bytes);
        at += n;
        if (at < count && clock_mono_ns() - begin_ns < BLOCK_NS / 2) {
            block *= 2;
        }
    }
    return 0;
}

/* Evaluates the rows in missed and puts each result in its place: gather, one pass, scatter. */
static int
part_evaluate_some(struct asking *asking, const struct part *part, const struct part_missed *missed,
                   void *scratch)
{
    const struct predict_matrix *matrix = &asking->matrix;
    size_t row_bytes = part->row_bytes;
    size_t count = missed->count;
    uint8_t *rows = arena_alloc_aligned(asking->arena, count * matrix->row_bytes, ROW_ALIGN);
    uint8_t *results = arena_alloc_aligned(asking->arena, count * row_bytes, ROW_ALIGN);

    if (rows == NULL || results == NULL) {
        return predict_memory_is_short(asking->err);
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(rows + i * matrix->row_bytes, matrix->values + missed->rows[i] * matrix->row_bytes,
               matrix->row_bytes);
    }
    int rc = predict_part_evaluate(asking, part, rows, count, scratch, results);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(part->words + missed->rows[i] * row_bytes, results + i * row_bytes, row_bytes);
    }
    return 0;
}

/* room: NULL, or for the words and the row. */
static struct bytes
kept_value(const struct asking *asking, const struct part *part, size_t row, uint8_t *room)
{
    const uint8_t *words = part->words + row * part->row_bytes;

    if (room == NULL) {
        return bytes_of(words, part->row_bytes);
    }
    struct bytes canonical = predict_row_canonical(asking, row);
    memcpy(room, words, part->row_bytes);
    memcpy(room + part->row_bytes, canonical.data, canonical.len);
    return bytes_of(room, part->row_bytes + canonical.len);
}

static void
part_keep(struct asking *asking, const struct part *part, const struct part_missed *missed)
{
    struct predict_context *context = asking->context;
    size_t behind_bytes = context->keeps_rows ? kept_row_bytes(asking, part) : 0;
    /* Without room the words are kept alone. */
    uint8_t *room = behind_bytes > 0 && missed->count > 0
                        ? arena_alloc(asking->arena, part->row_bytes + behind_bytes)
                        : NULL;
    uint64_t now = asking->question->now_wall_ms;
    struct cache_item item = {.class = CACHE_PREDICTION,
                              .created_wall_ms = now,
                              .expires_wall_ms = now + (uint64_t)context->ttl_s * 1000,
                              .stamp = asking->stamp,
                              .cost_us = (uint32_t)(part->row_ns / 1000),
                              .tags = {asking->model_tag},
                              .admission = context->admission};

    for (size_t i = 0; i < missed->count; i++) {
        size_t row = missed->rows[i];
        asking->is_evaluated[row] = 1;
        item.key = predict_part_key(asking, part, row);
        item.value = kept_value(asking, part, row, room);
        /* What is not admitted, or does not fit the ring, is not kept; the answer is not
         * concerned. */
        if (cache_put(context->cache, &item) == 0) {
            predict_expires_by(asking, item.expires_wall_ms);
        }
        item.value = kept_value(asking, part, row, NULL);
        predict_elsewhere_put(asking, part, row, &item);
    }
}

/* ---- what is cheaper evaluated than looked up ------------------------------------------------ */

/* "nfl-wp@3:leaf" stands in the table of costs. */
static struct cache_worth *
worth_of(const struct asking *asking, const struct part *part)
{
    const struct registry_model *found = asking->found;
    char name[MODEL_NAME_MAX + 1 + U64_TEXT_MAX + SUFFIX_MAX];
    size_t at = put_words(name, 0, found->entry.name, strlen(found->entry.name));

    at = put_words(name, at, "@", 1);
    at += u64_to_text(found->entry.version, name + at);
    at = put_words(name, at, part->suffix, strlen(part->suffix));
    /* Two versions of the same contents are one, whatever they are called. */
    uint64_t id = found->model.content.lo + hash64_of(bytes_of_text(part->suffix));
    return cache_worth_of(asking->context->cache, id, bytes_of(name, at));
}

static enum cache_shape
shape_of(size_t rows)
{
    return rows < MANY_ROWS ? CACHE_ONE : CACHE_MANY;
}

/* Some are looked up all the same, for what that costs now. */
static bool
part_steps_aside(struct asking *asking, struct part *part)
{
    struct predict_context *context = asking->context;
    size_t rows = asking->matrix.row_count;

    if (!context->has_bypass || part->worth == NULL || rows == 0 ||
        (asking->question->flags & PREDICT_ONLY_CACHED) != 0 ||
        context->part_count % PROBE_ONE_IN == 0 ||
        !cache_worth_is_cheap(part->worth, shape_of(rows))) {
        return false;
    }
    asking->has_bypassed = true;
    cache_worth_bypassed(part->worth, rows);
    stats_add(context->stats, STATS_PREDICT_ROWS_BYPASSED, rows);
    return true;
}

/* Looks up, evaluates what was not found, and measures both now and then. */
static int
part_look_up(struct asking *asking, struct part *part, struct part_missed *missed)
{
    size_t rows = asking->matrix.row_count;
    uint64_t begin_ns = part->is_timed ? clock_mono_ns() : 0;
    int rc = part_find(asking, part, missed);

    if (rc != 0) {
        asking->has_cache = false;
        missed->count = rows;
        return rc;
    }
    asking->has_looked = true;
    if (part->is_timed && rows > 0) {
        cache_worth_found(part->worth, shape_of(rows), (clock_mono_ns() - begin_ns) / rows);
    }
    return 0;
}

static int
part_evaluate(struct asking *asking, struct part *part, const struct part_missed *missed,
              void *scratch)
{
    size_t rows = asking->matrix.row_count;
    bool is_timed = part->is_timed || asking->is_timed;
    uint64_t begin_ns = is_timed ? clock_mono_ns() : 0;
    int rc = 0;

    if (missed->count == rows) {
        rc = predict_part_evaluate(asking, part, asking->matrix.values, rows, scratch, part->words);
    } else {
        rc = part_evaluate_some(asking, part, missed, scratch);
    }
    uint64_t took_ns = is_timed ? clock_mono_ns() - begin_ns : 0;
    asking->evaluate_ns += took_ns;
    if (part->is_timed && rc == 0) {
        part->row_ns = took_ns / missed->count;
        cache_worth_made(part->worth, shape_of(missed->count), part->row_ns);
    } else if (part->worth != NULL) {
        part->row_ns = cache_worth_make_ns(part->worth, shape_of(missed->count));
    }
    return rc;
}

static int
part_alloc(struct asking *asking, struct part *part, void **out_scratch, uint32_t **out_missed)
{
    size_t rows = asking->matrix.row_count;
    size_t scratch_bytes = part->scratch_bytes > 0
                               ? part->scratch_bytes
                               : model_scratch_bytes(&asking->found->model, rows);

    part->words = arena_alloc_aligned(asking->arena, rows * part->row_bytes, ROW_ALIGN);
    *out_scratch = arena_alloc_aligned(asking->arena, scratch_bytes, ROW_ALIGN);
    *out_missed = arena_alloc(asking->arena, rows * sizeof(**out_missed));
    bool is_short = part->words == NULL || *out_scratch == NULL || *out_missed == NULL;
    return is_short ? predict_memory_is_short(asking->err) : 0;
}

static int
refuse_missed(struct asking *asking, size_t missed_count)
{
    return err_set(asking->err, AUGURY_ERR_TIMEOUT, "not_cached",
                   "%zu of %zu rows are not in the cache, and the request wants no others "
                   "(only-if-cached)",
                   missed_count, asking->matrix.row_count);
}

/* The cache has been asked before the rows waited for others, or was not to be. */
static bool
part_is_known(const struct asking *asking, struct part_missed *missed)
{
    if (!asking->has_waited || asking->part_count > 1) {
        return false;
    }
    for (size_t row = 0; row < missed->count; row++) {
        missed->rows[row] = (uint32_t)row;
    }
    return true;
}

/* Whether its rows are kept afterwards. */
static bool
part_ask_cache(struct asking *asking, struct part *part, struct part_missed *missed)
{
    struct predict_context *context = asking->context;

    part->worth = worth_of(asking, part);
    part->is_timed = part->worth != NULL &&
                     (context->part_count++ % TIMED_ONE_IN == 0 ||
                      !cache_worth_is_known(part->worth, shape_of(asking->matrix.row_count)));
    if (part_is_known(asking, missed)) {
        return asking->has_looked;
    }
    return !part_steps_aside(asking, part) && part_look_up(asking, part, missed) == 0;
}

int
predict_part_answer(struct asking *asking, struct part *part)
{
    size_t rows = asking->matrix.row_count;
    struct part_missed missed = {.count = rows};
    void *scratch = NULL;
    bool is_looked_up = false;

    asking->part_count++;
    int rc = part_alloc(asking, part, &scratch, &missed.rows);
    if (rc == 0 && asking->has_cache) {
        is_looked_up = part_ask_cache(asking, part, &missed);
    }
    if (rc == 0 && is_looked_up && missed.count > 0 && asking->question->elsewhere != NULL) {
        rc = predict_elsewhere_find(asking, part, &missed);
    }
    if (rc != 0) {
        return rc;
    }
    if (missed.count > 0 && (asking->question->flags & PREDICT_ONLY_CACHED) != 0) {
        return refuse_missed(asking, missed.count);
    }
    if (missed.count == rows && predict_batch_take(asking)) {
        return AUGURY_MORE;
    }
    asking->has_hits = asking->has_hits || missed.count < rows;
    if (missed.count > 0) {
        rc = part_evaluate(asking, part, &missed, scratch);
    }
    if (rc == 0 && is_looked_up) {
        part_keep(asking, part, &missed);
    } else if (asking->is_evaluated != NULL) {
        memset(asking->is_evaluated, 1, rows);
    }
    return rc;
}
