/* SPDX-License-Identifier: MIT */
/*
 * predict_answer.c - the question's way: model → rows → cache → evaluation of what was not found →
 * cache → outputs.
 */
#include "predict_asking.h"

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

int
predict_compute(struct asking *asking, struct predict_answer *answer)
{
    const struct model *model = &asking->found->model;
    struct part margins = {.row_bytes = model->output_count * model_number_bytes(model),
                           .suffix = "",
                           .evaluate = evaluate_margins};
    struct part leaves = {.row_bytes = model->tree_count * sizeof(uint32_t),
                          .suffix = ":leaf",
                          .evaluate = evaluate_leaves};
    int rc = 0;

    if ((answer->outputs & ~(unsigned)(PREDICT_LEAF | PREDICT_CONTRIBUTIONS)) != 0) {
        rc = predict_part_answer(asking, &margins);
        answer->margins = margins.words;
    }
    if (rc == 0 && (answer->outputs & PREDICT_LEAF) != 0) {
        rc = predict_part_answer(asking, &leaves);
        answer->leaves = (const uint32_t *)(const void *)leaves.words;
    }
    if (rc == 0 && (answer->outputs & PREDICT_CONTRIBUTIONS) != 0) {
        struct part contributions = {
            .row_bytes = model_contributions_count(model) * model_number_bytes(model),
            .scratch_bytes = model_contributions_scratch_bytes(model, asking->matrix.row_count) + 1,
            .suffix = ":contributions",
            .evaluate = model_contributions};
        rc = predict_part_answer(asking, &contributions);
        answer->contributions = contributions.words;
    }
    return rc == 0 ? predict_derive(asking, answer) : rc;
}

/* ---- the question ---------------------------------------------------------------------------- */

int
predict_find_model(struct asking *asking)
{
    struct predict_context *context = asking->context;
    int rc = context->has_snapshot ? 0 : registry_snapshot_begin(context->registry);

    if (rc != 0) {
        return err_set(asking->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    context->has_snapshot = true;
    return registry_find(context->registry, asking->question->model, asking->question->selector,
                         &asking->found, asking->err);
}

int
predict_cache_prepare(struct asking *asking)
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
    asking->model_tag = cache_tag(bytes_of_text(asking->found->entry.name));
    predict_part_keys(asking);
    return 0;
}

static void
count_rows(const struct asking *asking, struct predict_answer *answer)
{
    size_t evaluated = answer->row_count;

    if (asking->has_looked) {
        evaluated = 0;
        for (size_t row = 0; row < answer->row_count; row++) {
            evaluated += asking->is_evaluated[row];
        }
    }
    answer->has_used_cache = asking->has_looked;
    answer->has_bypassed = asking->has_bypassed;
    answer->hits = answer->row_count - evaluated;
    answer->expires_wall_ms = asking->expires_wall_ms;
    stats_add(asking->context->stats, STATS_PREDICT_ROWS, answer->row_count);
    stats_add(asking->context->stats, STATS_PREDICT_ROWS_EVALUATED, evaluated);
}

/* Who asks for whatever a model knows of its uncertainty gets the spread of a forest that has not
 * been calibrated. */
static unsigned
also_of(const struct model *model, unsigned also)
{
    bool has_spread_alone = (also & PREDICT_INTERVAL) != 0 &&
                            model_calibration(model).score == MODEL_SCORE_NONE &&
                            model_has_spread(model);

    return has_spread_alone ? (also & ~(unsigned)PREDICT_INTERVAL) | PREDICT_SPREAD : also;
}

int
predict_answer(struct predict_context *context, const struct predict_question *question,
               struct arena *arena, struct predict_answer *out_answer, struct err *err)
{
    struct row_key key; /* not cleared: that would cost as much as looking a row up */
    struct asking asking = {
        .context = context, .question = question, .arena = arena, .err = err, .key = &key};
    struct predict_answer answer = {
        .outputs = question->outputs != 0 ? question->outputs : PREDICT_PREDICTION,
        .level = question->level != 0.0 ? question->level : PREDICT_LEVEL};

    bool is_again = (question->elsewhere != NULL && question->elsewhere->is_asked) ||
                    (question->flags & PREDICT_CONTINUED) != 0;
    stats_add(context->stats, STATS_PREDICT_REQUESTS, is_again ? 0 : 1);
    asking.stamp = context->cache == NULL ? 0 : cache_stamp(context->cache);
    int rc = predict_find_model(&asking);
    if (rc == 0) {
        answer.outputs |= also_of(&asking.found->model, question->also);
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
        rc = predict_cache_prepare(&asking);
    }
    if (rc == 0) {
        answer.model = asking.found;
        answer.row_count = asking.matrix.row_count;
        asking.outputs = answer.outputs;
        predict_batch_time(&asking);
        rc = predict_compute(&asking, &answer);
    }
    if (rc != 0) {
        /* What is refused because it is not cached was asked for so. */
        bool is_error = rc != AUGURY_MORE &&
                        (rc != AUGURY_ERR_TIMEOUT || (question->flags & PREDICT_ONLY_CACHED) == 0);
        stats_add(context->stats, STATS_PREDICT_ERRORS,
                  is_error && (question->flags & PREDICT_CONTINUED) == 0 ? 1 : 0);
        return rc;
    }
    count_rows(&asking, &answer);
    predict_batch_learn(&asking);
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
