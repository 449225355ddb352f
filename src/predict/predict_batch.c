/* SPDX-License-Identifier: MIT */
/*
 * predict_batch.c - rows of several questions, evaluated in one pass. A question whose rows are all
 * to be evaluated, while others are about to come, leaves them here; predict_batch_run() evaluates
 * those of one model and the same outputs together, and each question takes its part of the answer.
 *
 * What that saves is measured, not assumed: margins of a row take the same alone as beside 30
 * others (decisions/037), contributions a tenth. Nobody waits for what has not been seen to save
 * time.
 *
 * Invariants:
 * 1. What is wrong with a question is found before its rows come here: no question fails for
 *    another's rows, and when the common pass fails for want of memory each is answered alone.
 * 2. Rows of a group were made from one content of a model. When another has its version by the
 *    time of the pass, the rows are not given to it.
 */
#include "predict_asking.h"

#include <stdlib.h>
#include <string.h>

enum {
    COSTS = 64,
    GROUPS_MAX = 16,
    SAMPLES_MIN = 4,   /* before what a row takes alone is believed */
    TIMED_ONE_IN = 16, /* of those answered alone, afterwards */
    PROBE_ONE_IN = 64, /* do what does not seem best, for what it takes now */
    SMOOTH_SHIFT = 3,  /* a new sample counts for an eighth */
    SPIKE_MAX = 4,     /* a sample counts for so many times what was known at most */
    WAIT_NS = 1000,    /* what leaving a question here and taking it up again costs */
    WINDOW_COMING = 8, /* rows that a window is expected to bring */
    KEEP_BYTES = 256 * 1024,
};

/* By the number of rows in a pass, what one of them takes. */
struct cost {
    uint64_t key; /* 0: free */
    unsigned asked;
    struct {
        uint32_t row_ns;
        uint32_t samples;
    } by_rows[PREDICT_BATCH_SIZES];
};

/* Rows of one question. */
struct member {
    uint32_t group;
    uint32_t row_count;
    size_t first_row; /* of its group, in the order of the pass */
    const uint8_t *rows;
    uint64_t deadline_mono_ns; /* its own; 0: none */
};

/* Questions that differ in their rows alone. */
struct group {
    uint64_t key;
    struct predict_question question; /* without rows; its deadline is the last of all */
    struct digest content;
    char selector[U64_TEXT_MAX + 1];
    struct asking asking;
    struct predict_matrix matrix;
    struct row_key row_key;
    struct predict_answer answer;
    struct err err;
    int rc;
};

struct predict_batch {
    struct arena arena;
    size_t rows_max;
    bool has_window, is_always;
    struct cost costs[COSTS];
    struct group groups[GROUPS_MAX];
    struct member members[PREDICT_BATCH_QUESTIONS];
    size_t group_count, member_count, row_count;
    uint64_t run_ns;
};

/* ---- what a row takes ------------------------------------------------------------------------ */

size_t
predict_batch_size_of(size_t rows)
{
    size_t size = 0;

    while (size + 1 < PREDICT_BATCH_SIZES && rows >> (size + 1) != 0) {
        size++;
    }
    return size;
}

static uint64_t
key_of(const struct asking *asking)
{
    const struct predict_question *question = asking->question;
    const uint64_t parts[] = {asking->found->model.content.lo, asking->found->model.content.hi,
                              (uint64_t)asking->outputs << 32 | question->top_k};

    return hash64_of(bytes_of(parts, sizeof(parts))) | 1;
}

static struct cost *
cost_of(struct predict_batch *batch, uint64_t key)
{
    struct cost *cost = &batch->costs[(key >> 1) % COSTS];

    if (cost->key != key) {
        *cost = (struct cost){.key = key};
    }
    return cost;
}

static void
cost_learn(struct cost *cost, size_t rows, uint64_t took_ns)
{
    size_t size = predict_batch_size_of(rows);
    uint32_t *row_ns = &cost->by_rows[size].row_ns;
    uint64_t sample = took_ns / rows + 1;

    if (cost->by_rows[size].samples++ == 0) {
        *row_ns = sample < UINT32_MAX ? (uint32_t)sample : UINT32_MAX;
        return;
    }
    uint64_t most = (uint64_t)*row_ns * SPIKE_MAX;
    sample = sample < most ? sample : most;
    uint64_t mean = ((uint64_t)*row_ns * ((1 << SMOOTH_SHIFT) - 1) + sample) >> SMOOTH_SHIFT;
    *row_ns = mean < UINT32_MAX ? (uint32_t)mean : UINT32_MAX;
}

/* Whether rows are worth waiting, when so many in all are expected. */
static bool
is_worth_waiting(struct cost *cost, size_t rows, size_t expected)
{
    size_t alone = predict_batch_size_of(rows);
    size_t together = predict_batch_size_of(expected);
    uint64_t alone_ns = cost->by_rows[alone].row_ns;

    if (together == alone || cost->by_rows[alone].samples < SAMPLES_MIN ||
        alone_ns * rows < WAIT_NS) {
        return false;
    }
    bool is_probe = cost->asked++ % PROBE_ONE_IN == PROBE_ONE_IN - 1;
    if (cost->by_rows[together].samples == 0) {
        return true;
    }
    uint64_t together_ns = cost->by_rows[together].row_ns;
    bool is_worth = alone_ns > together_ns && (alone_ns - together_ns) * rows > WAIT_NS;
    return is_worth != is_probe;
}

void
predict_batch_time(struct asking *asking)
{
    const struct predict_wait *wait = asking->question->wait;

    if (wait == NULL) {
        return;
    }
    asking->batch_key = key_of(asking);
    struct cost *cost = cost_of(wait->batch, asking->batch_key);
    size_t size = predict_batch_size_of(asking->matrix.row_count);
    asking->is_timed =
        cost->by_rows[size].samples < SAMPLES_MIN || cost->asked++ % TIMED_ONE_IN == 0;
}

void
predict_batch_learn(const struct asking *asking)
{
    const struct predict_wait *wait = asking->question->wait;

    if (wait != NULL && asking->is_timed && !asking->has_hits && asking->matrix.row_count > 0) {
        cost_learn(cost_of(wait->batch, asking->batch_key), asking->matrix.row_count,
                   asking->evaluate_ns);
    }
}

/* ---- waiting --------------------------------------------------------------------------------- */

static bool
is_of_group(const struct group *group, const struct asking *asking)
{
    const struct predict_question *question = asking->question;

    return group->key == asking->batch_key && group->question.level == question->level &&
           group->question.also == question->also && group->question.outputs == question->outputs &&
           group->question.top_k == question->top_k && group->question.flags == question->flags &&
           group->question.born_from_wall_ms == question->born_from_wall_ms &&
           group->asking.has_cache == asking->has_cache &&
           group->asking.has_looked == asking->has_looked &&
           group->asking.has_bypassed == asking->has_bypassed &&
           bytes_equal_text(group->question.model, asking->found->entry.name) &&
           group->asking.version == asking->found->entry.version &&
           memcmp(&group->content, &asking->found->model.content, sizeof(group->content)) == 0;
}

static int
group_init(struct predict_batch *batch, struct group *group, const struct asking *asking)
{
    const char *name = arena_text(&batch->arena, bytes_of_text(asking->found->entry.name));

    if (name == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    group->key = asking->batch_key;
    group->content = asking->found->model.content;
    group->question = *asking->question;
    group->question.model = bytes_of_text(name);
    group->question.features = group->question.rows = NULL;
    group->question.columns = group->question.data = NULL;
    group->question.elsewhere = NULL;
    group->question.wait = NULL;
    size_t len = u64_to_text(asking->found->entry.version, group->selector);
    group->question.selector = bytes_of(group->selector, len);
    group->matrix = asking->matrix;
    group->matrix.row_count = 0;
    group->asking = (struct asking){
        .context = asking->context,
        .has_cache = asking->has_cache,
        .has_looked = asking->has_looked,
        .has_bypassed = asking->has_bypassed,
        .outputs = asking->outputs,
        .version = asking->found->entry.version,
        .stamp = asking->stamp,
    };
    return 0;
}

/* NULL: there is no room for one more. */
static struct group *
group_for(struct predict_batch *batch, const struct asking *asking)
{
    for (size_t i = 0; i < batch->group_count; i++) {
        if (is_of_group(&batch->groups[i], asking)) {
            return &batch->groups[i];
        }
    }
    if (batch->group_count == GROUPS_MAX ||
        group_init(batch, &batch->groups[batch->group_count], asking) != 0) {
        return NULL;
    }
    return &batch->groups[batch->group_count++];
}

static size_t
rows_waiting(const struct predict_batch *batch, const struct asking *asking)
{
    size_t rows = 0;

    for (size_t i = 0; i < batch->group_count; i++) {
        rows += batch->groups[i].key == asking->batch_key ? batch->groups[i].matrix.row_count : 0;
    }
    return rows;
}

static bool
wants_to_wait(const struct asking *asking)
{
    const struct predict_wait *wait = asking->question->wait;
    struct predict_batch *batch = wait->batch;
    size_t rows = asking->matrix.row_count;
    size_t coming = wait->coming;

    if (rows == 0 || rows + batch->row_count > batch->rows_max ||
        batch->member_count == PREDICT_BATCH_QUESTIONS) {
        return false;
    }
    if (batch->is_always) {
        return true;
    }
    if (batch->has_window && coming < WINDOW_COMING) {
        coming = WINDOW_COMING;
    }
    size_t expected = rows + coming + rows_waiting(batch, asking);
    expected = expected < batch->rows_max ? expected : batch->rows_max;
    return is_worth_waiting(cost_of(batch, asking->batch_key), rows, expected);
}

/* The pass goes on as long as somebody waits for it. */
static void
group_wait_until(struct group *group, uint64_t deadline_mono_ns)
{
    uint64_t *latest = &group->question.deadline_mono_ns;
    bool is_endless = *latest == 0 || deadline_mono_ns == 0;
    uint64_t later = *latest > deadline_mono_ns ? *latest : deadline_mono_ns;

    *latest = is_endless ? 0 : later;
}

bool
predict_batch_take(struct asking *asking)
{
    struct predict_wait *wait = asking->question->wait;

    if (wait == NULL || asking->part_count > 1 || !wants_to_wait(asking)) {
        return false;
    }
    struct predict_batch *batch = wait->batch;
    struct group *group = group_for(batch, asking);
    size_t bytes = asking->matrix.row_count * asking->matrix.row_bytes;
    uint8_t *rows = group != NULL ? arena_alloc(&batch->arena, bytes) : NULL;
    if (rows == NULL) {
        return false;
    }
    memcpy(rows, asking->matrix.values, bytes);
    batch->members[batch->member_count] = (struct member){
        .group = (uint32_t)(group - batch->groups),
        .row_count = (uint32_t)asking->matrix.row_count,
        .first_row = group->matrix.row_count,
        .rows = rows,
        .deadline_mono_ns = asking->question->deadline_mono_ns,
    };
    group_wait_until(group, asking->question->deadline_mono_ns);
    group->matrix.row_count += asking->matrix.row_count;
    batch->row_count += asking->matrix.row_count;
    wait->member = batch->member_count++;
    wait->is_taken = true;
    return true;
}

/* ---- the pass -------------------------------------------------------------------------------- */

/* The version as it was when the rows were made for it. */
static int
find_again(struct group *group, struct asking *asking)
{
    int rc = predict_find_model(asking);

    if (rc == 0 &&
        memcmp(&group->content, &asking->found->model.content, sizeof(group->content)) != 0) {
        rc = err_set(asking->err, AUGURY_NOT_FOUND, "version_not_found",
                     "version %u of \"%.*s\" has been replaced just now",
                     asking->found->entry.version, (int)group->question.model.len,
                     (const char *)group->question.model.data);
    }
    return rc;
}

/* matrix: all rows of the group, or those of one question. */
static int
evaluate(struct group *group, const struct predict_matrix *matrix, struct arena *arena,
         struct predict_answer *out_answer)
{
    struct asking asking = group->asking;

    asking.question = &group->question;
    asking.arena = arena;
    asking.err = &group->err;
    asking.key = &group->row_key;
    asking.matrix = *matrix;
    asking.has_waited = true;
    asking.is_timed = true;
    *out_answer = (struct predict_answer){
        .outputs = asking.outputs,
        .level = group->question.level != 0.0 ? group->question.level : PREDICT_LEVEL};
    int rc = find_again(group, &asking);
    if (rc == 0 && asking.has_cache) {
        rc = predict_cache_prepare(&asking);
    }
    if (rc == 0) {
        out_answer->model = asking.found;
        out_answer->row_count = matrix->row_count;
        rc = predict_compute(&asking, out_answer);
    }
    out_answer->has_used_cache = asking.has_looked;
    out_answer->has_bypassed = asking.has_bypassed;
    out_answer->expires_wall_ms = asking.expires_wall_ms;
    group->asking.evaluate_ns = asking.evaluate_ns;
    return rc;
}

/* In the order in which they came. */
static int
gather(struct predict_batch *batch, size_t number)
{
    struct group *group = &batch->groups[number];
    struct predict_matrix *matrix = &group->matrix;

    matrix->values =
        arena_alloc_aligned(&batch->arena, matrix->row_count * matrix->row_bytes, ROW_ALIGN);
    if (matrix->values == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (size_t i = 0; i < batch->member_count; i++) {
        const struct member *member = &batch->members[i];
        if (member->group == number) {
            memcpy(matrix->values + member->first_row * matrix->row_bytes, member->rows,
                   member->row_count * matrix->row_bytes);
        }
    }
    return 0;
}

static void
count_batch(const struct group *group, size_t members)
{
    struct stats_slot *stats = group->asking.context->stats;
    size_t rows = group->matrix.row_count;

    stats_add(stats, (enum stats_id)(STATS_PREDICT_BATCH_1 + predict_batch_size_of(rows)), 1);
    if (members > 1) {
        stats_add(stats, STATS_PREDICT_ROWS_BATCHED, rows);
    }
}

static size_t
members_of(const struct predict_batch *batch, size_t number)
{
    size_t count = 0;

    for (size_t i = 0; i < batch->member_count; i++) {
        count += batch->members[i].group == number ? 1 : 0;
    }
    return count;
}

void
predict_batch_run(struct predict_batch *batch)
{
    uint64_t begin_ns = clock_mono_ns();

    for (size_t i = 0; i < batch->group_count; i++) {
        struct group *group = &batch->groups[i];
        group->rc = gather(batch, i);
        if (group->rc == 0) {
            group->rc = evaluate(group, &group->matrix, &batch->arena, &group->answer);
        }
        if (group->rc == 0) {
            cost_learn(cost_of(batch, group->key), group->matrix.row_count,
                       group->asking.evaluate_ns);
        }
        count_batch(group, members_of(batch, i));
    }
    batch->run_ns = clock_mono_ns() - begin_ns;
}

uint64_t
predict_batch_row_ns(const struct predict_batch *batch)
{
    return batch->row_count == 0 ? 0 : batch->run_ns / batch->row_count;
}

size_t
predict_batch_rows(const struct predict_batch *batch)
{
    return batch->row_count;
}

/* ---- each question's part -------------------------------------------------------------------- */

/* first × count numbers of bytes further on; what was not asked for stays NULL. */
static const void *
further(const void *values, size_t first, size_t bytes)
{
    return values == NULL ? NULL : (const uint8_t *)values + first * bytes;
}

static void
slice(struct predict_answer *answer, size_t first, size_t row_count)
{
    const struct model *model = &answer->model->model;
    size_t number = model_number_bytes(model);
    size_t outputs = model->output_count;
    size_t classes = model->probability_count;

    answer->row_count = row_count;
    answer->predictions = further(answer->predictions, first, model->prediction_count * number);
    answer->margins = further(answer->margins, first, outputs * number);
    answer->probabilities = further(answer->probabilities, first, classes * number);
    answer->leaves = further(answer->leaves, first, model->tree_count * sizeof(*answer->leaves));
    answer->classes = further(answer->classes, first, sizeof(*answer->classes));
    answer->intervals = further(answer->intervals, first, 2 * number);
    answer->class_sets = further(answer->class_sets, first, classes);
    answer->reasons =
        further(answer->reasons, first, answer->reasons_max * sizeof(*answer->reasons));
    answer->reason_counts = further(answer->reason_counts, first, sizeof(*answer->reason_counts));
    answer->contributions = further(answer->contributions, first,
                                    outputs * ((size_t)model->feature_count + 1) * number);
    answer->top = further(answer->top, first, outputs * answer->top_count * sizeof(*answer->top));
    answer->spreads =
        further(answer->spreads, first, MODEL_SPREAD_COUNT * sizeof(*answer->spreads));
}

/* Of the question's rows, whatever the others' time. */
static int
member_is_late(const struct member *member, const struct group *group, struct err *err)
{
    bool is_late = member->deadline_mono_ns != 0 && clock_mono_ns() >= member->deadline_mono_ns;

    if (!is_late && group->rc != AUGURY_ERR_TIMEOUT) {
        return 0;
    }
    return err_set(
        err, AUGURY_ERR_TIMEOUT, "timeout",
        "the request's time was over while its %u rows were evaluated with %zu of others",
        member->row_count, group->matrix.row_count - member->row_count);
}

uint32_t
predict_batch_model_key(const struct predict_batch *batch, const struct predict_wait *wait)
{
    const struct group *group = &batch->groups[batch->members[wait->member].group];

    return stats_model_key(group->question.model, group->asking.version);
}

int
predict_batch_answer(struct predict_batch *batch, const struct predict_wait *wait,
                     struct arena *arena, struct predict_answer *out_answer, struct err *err)
{
    const struct member *member = &batch->members[wait->member];
    struct group *group = &batch->groups[member->group];
    struct predict_answer answer = group->answer;
    int rc = member_is_late(member, group, err);

    if (rc != 0) {
        stats_add(group->asking.context->stats, STATS_PREDICT_ERRORS, 1);
        return rc;
    }
    rc = group->rc;
    if (rc == 0) {
        slice(&answer, member->first_row, member->row_count);
    } else if (rc == AUGURY_ERR_NOMEM) {
        struct predict_matrix alone = group->matrix;
        alone.row_count = member->row_count;
        alone.values = arena_alloc_aligned(arena, alone.row_count * alone.row_bytes, ROW_ALIGN);
        if (alone.values != NULL) {
            memcpy(alone.values, member->rows, alone.row_count * alone.row_bytes);
            rc = evaluate(group, &alone, arena, &answer);
        } else {
            (void)predict_memory_is_short(&group->err);
        }
    }
    if (rc != 0) {
        stats_add(group->asking.context->stats, STATS_PREDICT_ERRORS, 1);
        *err = group->err;
        return rc;
    }
    stats_add(group->asking.context->stats, STATS_PREDICT_ROWS, answer.row_count);
    stats_add(group->asking.context->stats, STATS_PREDICT_ROWS_EVALUATED, answer.row_count);
    *out_answer = answer;
    return 0;
}

void
predict_batch_reset(struct predict_batch *batch)
{
    batch->group_count = 0;
    batch->member_count = 0;
    batch->row_count = 0;
    arena_reset(&batch->arena, KEEP_BYTES);
}

/* ---- life ------------------------------------------------------------------------------------ */

int
predict_batch_new(const struct predict_batch_options *options, struct predict_batch **out_batch)
{
    struct predict_batch *batch = calloc(1, sizeof(*batch));

    if (batch == NULL || arena_init(&batch->arena, options->memory_bytes) != 0) {
        free(batch);
        return AUGURY_ERR_NOMEM;
    }
    batch->rows_max = options->rows_max;
    batch->has_window = options->has_window;
    batch->is_always = options->is_always;
    *out_batch = batch;
    return 0;
}

void
predict_batch_free(struct predict_batch **batch)
{
    if (*batch != NULL) {
        arena_fini(&(*batch)->arena);
        free(*batch);
        *batch = NULL;
    }
}
