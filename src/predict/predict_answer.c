/* SPDX-License-Identifier: MIT */
/*
 * predict_answer.c - the question's way: model → rows → cache → evaluation of what was not found →
 * cache → outputs.
 *
 * Invariants:
 * 1. What is kept is what is costly: margins (and leaves, under a key of their own) as the model's
 *    numbers or uint32 words in the machine's order. Predictions and probabilities follow
 *    from margins and are never kept.
 * 2. A value whose length is not that of the part is no hit.
 * 3. Whatever fails in the cache, the answer is computed.
 */
#include "augury/predict.h"

#include <string.h>

#include "predict_matrix.h"

enum { ROW_ALIGN = 64, CONTENT_HEX_BYTES = 16 };

/* Key of one row: a prefix that is the question's, 32 hex characters that are the row's, a suffix
 * that is the part's. */
struct row_key {
    char text[CACHE_KEY_TEXT_MAX];
    size_t row_at;
    size_t len;
};

/* One thing computed for each row. */
struct part {
    uint8_t *words; /* row_count × row_bytes */
    size_t row_bytes;
    size_t scratch_bytes; /* 0: as margins and leaves need */
    const char *suffix;
    void (*evaluate)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                     void *out_words);
};

struct asking {
    struct predict_context *context;
    const struct predict_question *question;
    const struct registry_model *found;
    struct predict_matrix matrix;
    struct arena *arena;
    struct err *err;
    struct row_key *key;
    bool has_cache;
    uint8_t *is_evaluated; /* one a row; NULL without a cache */
    uint64_t expires_wall_ms;
};

/* ---- keys ------------------------------------------------------------------------------------ */

static size_t
put_words(char *out, size_t at, const void *data, size_t len)
{
    memcpy(out + at, data, len);
    return at + len;
}

/* "prediction:nfl-wp@3#0123456789abcdef:" */
static void
key_begin(struct row_key *key, const struct registry_model *found)
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

static struct bytes
key_of_row(struct asking *asking, const struct part *part, size_t row)
{
    const struct predict_matrix *matrix = &asking->matrix;
    struct bytes canonical = bytes_of(matrix->values + row * matrix->row_bytes, matrix->row_bytes);
    struct row_key *key = asking->key;

    digest_to_hex(cache_digest(asking->context->cache, canonical), key->text + key->row_at);
    key->len =
        put_words(key->text, key->row_at + DIGEST_HEX_BYTES, part->suffix, strlen(part->suffix));
    return bytes_of(key->text, key->len);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void
evaluate_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                 void *out_words)
{
    model_margins(model, rows, row_count, scratch, out_words);
}

static void
evaluate_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
                void *out_words)
{
    model_leaves(model, rows, row_count, scratch, out_words);
}

static void
expires_by(struct asking *asking, uint64_t wall_ms)
{
    if (asking->expires_wall_ms == 0 || wall_ms < asking->expires_wall_ms) {
        asking->expires_wall_ms = wall_ms;
    }
}

/* Fills what the cache knows; the numbers of the other rows go to out_missed. */
static int
part_find(struct asking *asking, const struct part *part, uint32_t *out_missed, size_t *out_count)
{
    struct cache *cache = asking->context->cache;
    size_t row_bytes = part->row_bytes;
    size_t missed = 0;

    if (cache_snapshot_begin(cache) != 0) {
        return AUGURY_ERR_IO;
    }
    for (size_t row = 0; row < asking->matrix.row_count; row++) {
        struct cache_hit hit;
        int rc = cache_get(cache, CACHE_PREDICTION, key_of_row(asking, part, row),
                           asking->question->now_wall_ms, asking->arena, &hit);
        if (rc == 0 && hit.value.len == row_bytes) {
            memcpy(part->words + row * row_bytes, hit.value.data, row_bytes);
            expires_by(asking, hit.expires_wall_ms);
        } else {
            out_missed[missed++] = (uint32_t)row;
        }
    }
    cache_snapshot_end(cache);
    *out_count = missed;
    return 0;
}

/* Evaluates the rows in missed and puts each result in its place: gather, one pass, scatter. */
static int
part_evaluate_some(struct asking *asking, const struct part *part, const uint32_t *missed,
                   size_t count, void *scratch)
{
    const struct predict_matrix *matrix = &asking->matrix;
    size_t row_bytes = part->row_bytes;
    uint8_t *rows = arena_alloc_aligned(asking->arena, count * matrix->row_bytes, ROW_ALIGN);
    uint8_t *results = arena_alloc_aligned(asking->arena, count * row_bytes, ROW_ALIGN);

    if (rows == NULL || results == NULL) {
        return predict_memory_is_short(asking->err);
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(rows + i * matrix->row_bytes, matrix->values + missed[i] * matrix->row_bytes,
               matrix->row_bytes);
    }
    part->evaluate(&asking->found->model, rows, count, scratch, results);
    for (size_t i = 0; i < count; i++) {
        memcpy(part->words + missed[i] * row_bytes, results + i * row_bytes, row_bytes);
    }
    return 0;
}

static void
part_keep(struct asking *asking, const struct part *part, const uint32_t *missed, size_t count)
{
    struct predict_context *context = asking->context;
    size_t row_bytes = part->row_bytes;
    uint64_t now = asking->question->now_wall_ms;

    for (size_t i = 0; i < count; i++) {
        const uint8_t *words = part->words + missed[i] * row_bytes;
        asking->is_evaluated[missed[i]] = 1;
        /* A full ring drops the entry and counts it; the answer is not concerned. */
        if (cache_put(context->cache, CACHE_PREDICTION, key_of_row(asking, part, missed[i]),
                      bytes_of(words, row_bytes), now, context->ttl_s) == 0) {
            expires_by(asking, now + (uint64_t)context->ttl_s * 1000);
        }
    }
}

static int
part_answer(struct asking *asking, struct part *part)
{
    size_t rows = asking->matrix.row_count;
    size_t missed_count = rows;
    uint32_t *missed = NULL;
    int rc = 0;

    part->words = arena_alloc_aligned(asking->arena, rows * part->row_bytes, ROW_ALIGN);
    size_t scratch_bytes = part->scratch_bytes > 0
                               ? part->scratch_bytes
                               : model_scratch_bytes(&asking->found->model, rows);
    void *scratch = arena_alloc_aligned(asking->arena, scratch_bytes, ROW_ALIGN);
    if (part->words == NULL || scratch == NULL) {
        return predict_memory_is_short(asking->err);
    }
    if (asking->has_cache) {
        missed = arena_alloc(asking->arena, rows * sizeof(*missed));
        if (missed == NULL) {
            return predict_memory_is_short(asking->err);
        }
        asking->has_cache = part_find(asking, part, missed, &missed_count) == 0;
    }
    if (missed_count == rows) {
        part->evaluate(&asking->found->model, asking->matrix.values, rows, scratch, part->words);
    } else if (missed_count > 0) {
        rc = part_evaluate_some(asking, part, missed, missed_count, scratch);
    }
    if (rc == 0 && asking->has_cache) {
        part_keep(asking, part, missed, missed_count);
    }
    return rc;
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* Room in the arena for so many numbers of the model a row. */
static void *
alloc_numbers(const struct asking *asking, size_t rows, size_t count)
{
    return arena_alloc_aligned(asking->arena,
                               rows * count * model_number_bytes(&asking->found->model), ROW_ALIGN);
}

static int
derive_predictions(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    void *out = alloc_numbers(asking, answer->row_count, model->prediction_count);

    if (out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    model_predictions(model, answer->margins, answer->row_count, out);
    answer->predictions = out;
    return 0;
}

static int
derive_probabilities(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    void *out = alloc_numbers(asking, answer->row_count, model->probability_count);

    if (out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    model_probabilities(model, answer->margins, answer->row_count, out);
    answer->probabilities = out;
    return 0;
}

static int
derive_classes(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    size_t width = model->probability_count > 0 ? model->probability_count : 1;
    void *room = alloc_numbers(asking, answer->row_count, width);
    uint32_t *out = arena_alloc(asking->arena, answer->row_count * sizeof(*out));

    if (room == NULL || out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    predict_classes(model, answer->margins, answer->row_count, room, out);
    answer->classes = out;
    return 0;
}

static int
derive_class_sets(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    size_t count = model->probability_count;
    void *room = alloc_numbers(asking, answer->row_count, count);
    uint8_t *out = arena_alloc(asking->arena, answer->row_count * count);

    if (room == NULL || out == NULL) {
        return predict_memory_is_short(asking->err);
    }
    model_probabilities(model, answer->margins, answer->row_count, room);
    struct predict_interval_rows rows = {
        .rows = asking->matrix.values, .values = room, .width = count, .count = answer->row_count};
    predict_class_sets(model, &rows, answer->level, out);
    answer->class_sets = out;
    return 0;
}

/* Two models' predictions are kept under a key of their own; one model's follow from margins. */
static int
derive_intervals(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    enum model_score score = model_calibration(model).score;
    struct part quantiles = {.row_bytes = 2 * model_number_bytes(model),
                             .suffix = ":quantiles",
                             .evaluate = predict_quantiles};
    void *out = alloc_numbers(asking, answer->row_count, 2);
    void *values = out;
    int rc = out != NULL ? 0 : predict_memory_is_short(asking->err);

    if (score == MODEL_SCORE_CLASS) {
        return derive_class_sets(asking, answer);
    }
    if (rc == 0 && score == MODEL_SCORE_QUANTILES) {
        quantiles.scratch_bytes = predict_quantiles_scratch_bytes(model);
        rc = part_answer(asking, &quantiles);
        values = quantiles.words;
    } else if (rc == 0) {
        values = alloc_numbers(asking, answer->row_count, 1);
        rc = values != NULL ? 0 : predict_memory_is_short(asking->err);
    }
    if (rc != 0) {
        return rc;
    }
    if (score != MODEL_SCORE_QUANTILES) {
        model_predictions(model, answer->margins, answer->row_count, values);
    }
    struct predict_interval_rows rows = {.rows = asking->matrix.values,
                                         .values = values,
                                         .width = score == MODEL_SCORE_QUANTILES ? 2 : 1,
                                         .count = answer->row_count};
    predict_intervals(model, &rows, answer->level, out);
    answer->intervals = out;
    return 0;
}

static int
derive_reasons(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    const struct predict_matrix *matrix = &asking->matrix;
    size_t wanted = asking->question->top_k;
    size_t max = wanted == 0 ? PREDICT_REASONS_COUNT : wanted;

    max = max < model->feature_count ? max : model->feature_count;
    struct model_reason *out = arena_alloc(asking->arena, answer->row_count * max * sizeof(*out));
    uint32_t *counts = arena_alloc(asking->arena, answer->row_count * sizeof(*counts));
    if (out == NULL || counts == NULL) {
        return predict_memory_is_short(asking->err);
    }
    for (size_t row = 0; row < answer->row_count; row++) {
        counts[row] = (uint32_t)model_reasons(model, matrix->values + row * matrix->row_bytes, max,
                                              out + row * max);
    }
    answer->reasons = out;
    answer->reason_counts = counts;
    answer->reasons_max = max;
    return 0;
}

/* What follows from margins, or from the rows as they are. */
static int
derive(struct asking *asking, struct predict_answer *answer)
{
    static const struct {
        enum predict_outputs output;
        int (*derive)(struct asking *asking, struct predict_answer *answer);
    } steps[] = {
        {PREDICT_PREDICTION, derive_predictions}, {PREDICT_PROBABILITIES, derive_probabilities},
        {PREDICT_CLASS, derive_classes},          {PREDICT_INTERVAL, derive_intervals},
        {PREDICT_REASONS, derive_reasons},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < AUGURY_COUNT(steps); i++) {
        if ((answer->outputs & steps[i].output) != 0) {
            rc = steps[i].derive(asking, answer);
        }
    }
    return rc;
}

static int
compute(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    struct part margins = {.row_bytes = model->output_count * model_number_bytes(model),
                           .suffix = "",
                           .evaluate = evaluate_margins};
    struct part leaves = {.row_bytes = model->tree_count * sizeof(uint32_t),
                          .suffix = ":leaf",
                          .evaluate = evaluate_leaves};
    int rc = 0;

    if ((answer->outputs & ~(unsigned)PREDICT_LEAF) != 0) {
        rc = part_answer(asking, &margins);
        answer->margins = margins.words;
    }
    if (rc == 0 && (answer->outputs & PREDICT_LEAF) != 0) {
        rc = part_answer(asking, &leaves);
        answer->leaves = (const uint32_t *)(const void *)leaves.words;
    }
    return rc == 0 ? derive(asking, answer) : rc;
}

/* ---- the question ---------------------------------------------------------------------------- */

static int
find_model(struct asking *asking)
{
    struct predict_context *context = asking->context;
    int rc = registry_snapshot_begin(context->registry);

    if (rc != 0) {
        return err_set(asking->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    context->has_snapshot = true;
    return registry_find(context->registry, asking->question->model, asking->question->selector,
                         &asking->found, asking->err);
}

static int
prepare_cache(struct asking *asking)
{
    const struct predict_context *context = asking->context;

    asking->has_cache = context->cache != NULL && context->ttl_s > 0 &&
                        (asking->question->flags & PREDICT_USE_CACHE) != 0;
    if (!asking->has_cache) {
        return 0;
    }
    asking->is_evaluated = arena_zalloc(asking->arena, asking->matrix.row_count, 1);
    if (asking->is_evaluated == NULL) {
        return predict_memory_is_short(asking->err);
    }
    key_begin(asking->key, asking->found);
    return 0;
}

static void
count_rows(const struct asking *asking, struct predict_answer *answer)
{
    size_t evaluated = answer->row_count;

    if (asking->has_cache) {
        evaluated = 0;
        for (size_t row = 0; row < answer->row_count; row++) {
            evaluated += asking->is_evaluated[row];
        }
    }
    answer->has_used_cache = asking->has_cache;
    answer->hits = answer->row_count - evaluated;
    answer->expires_wall_ms = asking->expires_wall_ms;
    stats_add(asking->context->stats, STATS_PREDICT_ROWS, answer->row_count);
    stats_add(asking->context->stats, STATS_PREDICT_ROWS_EVALUATED, evaluated);
}

int
predict_answer(struct predict_context *context, const struct predict_question *question,
               struct arena *arena, struct predict_answer *out_answer, struct err *err)
{
    struct row_key key; /* not cleared: that would cost as much as looking a row up */
    struct asking asking = {
        .context = context, .question = question, .arena = arena, .err = err, .key = &key};
    struct predict_answer answer = {
        .outputs =
            (question->outputs != 0 ? question->outputs : PREDICT_PREDICTION) | question->also,
        .level = question->level != 0.0 ? question->level : PREDICT_LEVEL};

    stats_add(context->stats, STATS_PREDICT_REQUESTS, 1);
    int rc = find_model(&asking);
    if (rc == 0) {
        rc = predict_outputs_check(&asking.found->model, answer.outputs, err);
    }
    if (rc == 0) {
        rc = predict_level_check(answer.level, err);
    }
    if (rc == 0) {
        rc = predict_matrix_make(context, question, &asking.found->model, arena, &asking.matrix,
                                 err);
    }
    if (rc == 0) {
        rc = prepare_cache(&asking);
    }
    if (rc == 0) {
        answer.model = asking.found;
        answer.row_count = asking.matrix.row_count;
        rc = compute(&asking, &answer);
    }
    if (rc != 0) {
        stats_add(context->stats, STATS_PREDICT_ERRORS, 1);
        return rc;
    }
    count_rows(&asking, &answer);
    *out_answer = answer;
    return 0;
}

void
predict_end(struct predict_context *context)
{
    if (context->has_snapshot) {
        context->has_snapshot = false;
        registry_snapshot_end(context->registry);
    }
}
