/* SPDX-License-Identifier: MIT */
/*
 * predict.h - one question in, one answer out: rows → cache → model → cache.
 * Room: predict (floor 3, uses model, cache, wire, stats, base). Process: worker, cli, tests. No
 * descriptor, no clock, no log: bytes and "now" are arguments. No allocation outside the arena of
 * the question. A row is canonical when it stands in schema order as the model reads it (its own
 * number, -0 as +0, one NaN, rounded if the class asks for it), so key order, white space and
 * number spelling do not matter to the cache. The canonical row is what the model evaluates, with
 * the cache or without: an answer is a function of its key, never of what was cached before.
 */
#pragma once

#include "augury/cache_redis.h"
#include "augury/registry.h"
#include "augury/rows.h"
#include "augury/wire.h"

enum predict_outputs {
    PREDICT_PREDICTION = 1 << 0,
    PREDICT_MARGIN = 1 << 1,
    PREDICT_PROBABILITIES = 1 << 2,
    PREDICT_LEAF = 1 << 3,
    PREDICT_CLASS = 1 << 4,
    PREDICT_INTERVAL = 1 << 5,
    PREDICT_REASONS = 1 << 6,
    PREDICT_CONTRIBUTIONS = 1 << 7,
    PREDICT_SPREAD = 1 << 8,
};
/* "margin" → PREDICT_MARGIN; AUGURY_NOT_FOUND. */
AUGURY_MUST_USE int predict_output_find(struct bytes name, enum predict_outputs *out_output);
const char *predict_output_name(enum predict_outputs output); /* of one bit */
const char *predict_output_names(void); /* "prediction, margin, …" for messages */
/* The outputs that the model has. */
unsigned predict_outputs_of(const struct model *model);
/* Fills err ("no_such_output", at "outputs") for the first of these that the model lacks: why, and
 * what would give it. */
AUGURY_MUST_USE int predict_outputs_check(const struct model *model, unsigned outputs,
                                          struct err *err);

enum predict_flags {
    PREDICT_USE_CACHE = 1 << 0,
    /* Features that the model does not know are dropped, not refused. */
    PREDICT_IGNORE_UNKNOWN = 1 << 1,
    /* A row that is not in the cache is not evaluated but refused: "not_cached". */
    PREDICT_ONLY_CACHED = 1 << 2,
    /* More of a question that has been counted. */
    PREDICT_CONTINUED = 1 << 3,
};

enum { PREDICT_NOT_ROUNDED = 255 };

#define PREDICT_LEVEL 0.9 /* of intervals, when none is asked for */
enum { PREDICT_REASONS_COUNT = 4, PREDICT_TOP_MAX = 1 << 16 };

/* What a row of a model with some outputs has taken, on average: predict_cost.c. */
enum { PREDICT_COSTS = 64 };
struct predict_cost {
    uint64_t key; /* 0: nothing is known */
    uint64_t row_ns;
};

/* A process's predictor: where models and cached answers are found. Zero-initialise, then set the
 * first ten. */
struct predict_context {
    struct registry *registry;
    struct cache *cache;       /* NULL: none */
    struct cache_redis *redis; /* rows that are dear to make are sent there; NULL: none */
    struct stats_slot *stats;
    uint32_t ttl_s;                 /* 0: nothing is looked up or kept */
    uint32_t decimals;              /* PREDICT_NOT_ROUNDED: features are taken as they are */
    uint32_t rows_max;              /* of one question */
    enum cache_admission admission; /* of rows; CACHE_ADMIT_ALWAYS: whatever is computed is kept */
    bool keeps_rows;                /* behind their margins, for predict_warm_new() */
    bool has_bypass;                /* what is cheaper evaluated than looked up is evaluated */
    unsigned part_count;            /* private: some are timed */
    bool has_snapshot; /* private: of the registry, between predict_answer() and predict_end() */
    struct predict_cost costs[PREDICT_COSTS]; /* private */
};

/* Redis, asked once a question between two calls of predict_answer(), which does not wait: the
 * first says what is wanted, the second is told what was found. Keys there are the same on every
 * machine, other than those in memory. */
enum { PREDICT_WANTED_MAX = CACHE_REDIS_KEYS_MAX };
struct predict_elsewhere {
    uint32_t cost_us;     /* what all rows will probably take to make */
    uint32_t min_cost_us; /* rows that take less are not wanted */
    bool is_asked;        /* nothing more is wanted */
    size_t count;
    struct bytes wanted[PREDICT_WANTED_MAX];    /* keys, in the question's arena */
    struct cache_hit found[PREDICT_WANTED_MAX]; /* of each; no value: not found */
};

/* Where the rows of a question wait for those of others: predict_batch_new(). */
struct predict_wait {
    struct predict_batch *batch;
    size_t coming; /* about how many rows are to come in this turn */
    bool is_taken; /* they wait: predict_answer() said AUGURY_MORE */
    size_t member; /* private */
};

/* Exactly one of features, rows, data, table is set. */
struct predict_question {
    struct bytes model;
    struct bytes selector;             /* "", a version or a label */
    const struct wire_value *features; /* object: one row */
    const struct wire_value *rows;     /* array of objects */
    const struct wire_value
        *columns; /* array of names, with data; NULL: the model's features in order */
    const struct wire_value *data; /* array of arrays */
    /* Rows as a file has them (predict_file_open), read with memory of their own; set: its content
     * has data. Errors are at "body:LINE, column NAME". */
    struct rows_options table;
    unsigned outputs; /* enum predict_outputs; 0: prediction */
    unsigned flags;   /* enum predict_flags */
    /* Beside those, or beside the prediction. PREDICT_INTERVAL here is a spread where the model has
     * that alone. */
    unsigned also;
    double level;   /* of intervals, over 0 and under 1; 0: PREDICT_LEVEL */
    uint32_t top_k; /* reasons or contributions a row; 0: PREDICT_REASONS_COUNT, all */
    uint64_t now_wall_ms;
    uint64_t born_from_wall_ms; /* rows computed before are computed anew */
    /* 0: none. Rows that are not evaluated by then are not: AUGURY_ERR_TIMEOUT, "timeout". */
    uint64_t deadline_mono_ns;
    struct predict_elsewhere *elsewhere; /* NULL: only memory is asked */
    struct predict_wait *wait;           /* NULL: the rows wait for no others */
};

/* All of it lives in the arena, except model, which is valid until predict_end(). Row-major; void
 * arrays are of the model's numbers (model_number_get). */
struct predict_answer {
    const struct registry_model *model;
    size_t row_count;
    unsigned outputs;
    const void *predictions;   /* row_count × model.prediction_count, or NULL when not asked for */
    const void *margins;       /* row_count × model.output_count */
    const void *probabilities; /* row_count × model.probability_count */
    const uint32_t *leaves;    /* row_count × model.tree_count */
    const uint32_t *classes;   /* row_count */
    /* Of numbers row_count × 2, lower and upper, infinite when there is no bound; of classes
     * row_count × model.probability_count, 1: in the set. */
    const void *intervals;
    const uint8_t *class_sets;
    double level;
    const struct model_reason *reasons; /* row_count × reasons_max */
    const uint32_t *reason_counts;      /* row_count */
    size_t reasons_max;
    const void *contributions; /* row_count × output_count × (feature_count + 1), the bias last */
    const uint32_t *top;       /* row_count × output_count × top_count features, or NULL: all */
    uint32_t top_count;
    const double *spreads;    /* row_count × MODEL_SPREAD_COUNT */
    bool has_used_cache;      /* rows were looked up */
    bool has_bypassed;        /* rows were not, because evaluating them is cheaper */
    size_t hits;              /* rows answered from the cache alone */
    uint64_t expires_wall_ms; /* earliest of the parts; 0: none came from or went to the cache */
};

/*
 * Answers. AUGURY_MORE: the rows wait in question->wait (is_taken), and predict_batch_answer()
 * follows; or question->elsewhere says what to ask for, then the question is asked again.
 * On failure err has code and place, and the result is the code's kind:
 *   AUGURY_NOT_FOUND          "model_not_found", "version_not_found" (registry_find)
 *   AUGURY_ERR_INVALID        "invalid_request", "unknown_feature" at "rows[3].foo",
 *   "missing_feature",
 *                             "duplicate_feature", "invalid_feature", "invalid_category",
 *                             "invalid_shape"
 *   AUGURY_ERR_UNSUPPORTED    "no_such_output"
 *   AUGURY_ERR_INVALID        "invalid_level"
 *   AUGURY_ERR_LIMIT          "too_many_rows"
 *   AUGURY_ERR_TIMEOUT        "not_cached" (PREDICT_ONLY_CACHED), "timeout" (the deadline)
 *   AUGURY_ERR_NOMEM          "request_too_large": the arena is used up Call predict_end() in every
 *   case, after the answer has been encoded.
 */
AUGURY_MUST_USE int predict_answer(struct predict_context *context,
                                   const struct predict_question *question, struct arena *arena,
                                   struct predict_answer *out_answer, struct err *err);
void predict_end(struct predict_context *context);
/* What evaluating all rows of the question will probably take; 0: its like has not been seen. */
uint32_t predict_cost_us(const struct predict_context *context,
                         const struct predict_question *question);
/* took_ns: the whole of a question and its answer. Rows from the cache do not count. */
void predict_cost_learn(struct predict_context *context, const struct predict_question *question,
                        const struct predict_answer *answer, uint64_t took_ns);

/* ---- rows of several questions in one pass --------------------------------------------------- */

/* Rows of questions that come in one turn of a worker's loop, where evaluating them together has
 * been seen to take less. */
enum { PREDICT_BATCH_ROWS_MAX = 1024, PREDICT_BATCH_QUESTIONS = 256 };
/* Sizes of passes: 1, 2 to 3, 4 to 7, … 128 and more rows. */
enum { PREDICT_BATCH_SIZES = 8 };
size_t predict_batch_size_of(size_t rows);

struct predict_batch;
struct predict_batch_options {
    size_t rows_max;     /* that wait at a time; beyond it nobody waits */
    size_t memory_bytes; /* of a pass; where it is too little, each question is answered alone */
    bool has_window;     /* rows may come after this turn */
    bool is_always;      /* who may wait does, whatever has been measured: tests */
};
AUGURY_MUST_USE int predict_batch_new(const struct predict_batch_options *options,
                                      struct predict_batch **out_batch);
void predict_batch_free(struct predict_batch **batch);
size_t predict_batch_rows(const struct predict_batch *batch); /* that wait */
/* Evaluates all that waits, in one pass each for a model and its outputs. Then
 * predict_batch_answer() for each question, predict_end(), predict_batch_reset(). */
void predict_batch_run(struct predict_batch *batch);
uint64_t predict_batch_row_ns(const struct predict_batch *batch); /* what that took, a row */
/* The question's part, as predict_answer(); in the batch's memory until its reset. arena: for a
 * question that has to be answered alone. */
AUGURY_MUST_USE int predict_batch_answer(struct predict_batch *batch,
                                         const struct predict_wait *wait, struct arena *arena,
                                         struct predict_answer *out_answer, struct err *err);
/* Of the version that the question asked: stats_model_key(). */
uint32_t predict_batch_model_key(const struct predict_batch *batch,
                                 const struct predict_wait *wait);
void predict_batch_reset(struct predict_batch *batch);

/* One cell of a file of rows as the model reads it (a float32 widened where those are its numbers):
 * text of a number, "nan", "true" or "false", or the name of a level. Empty: missing. err has no
 * place: the caller knows file and line. */
AUGURY_MUST_USE int predict_cell(const struct model *model, uint32_t feature, struct bytes cell,
                                 double *out_value, struct err *err);
/* An absent feature of a row: AUGURY_ERR_INVALID ("missing_feature") when the schema wants every
 * feature that is NaN in row. */
AUGURY_MUST_USE int predict_row_check(const struct model *model, const void *row, struct err *err);

/* The truth in a cell: a number, of a classifier the number of a class, which the cell names or is
 * (true and false are 1 and 0). err has no place. */
AUGURY_MUST_USE int predict_target(const struct model *model, struct bytes cell, double *out_target,
                                   struct err *err);

/* ---- warming --------------------------------------------------------------------------------- */

/* Rows that one version was asked for most, computed for another before it takes over. Process:
 * supervisor, whose cache is the keeper's. */
struct predict_warm;
struct predict_warm_options {
    struct registry *registry;
    struct cache *cache;
    const char *model;
    struct bytes from, to; /* selectors */
    uint32_t ttl_s;        /* of what is put */
    uint32_t rows_max;
};
/* Copies the rows, the hottest first. AUGURY_NOT_FOUND: there is nothing to do, and err says why
 * (the versions do not read the same features, the cache has no rows of the old one …). */
AUGURY_MUST_USE int predict_warm_new(const struct predict_warm_options *options,
                                     struct predict_warm **out_warm, struct err *err);
void predict_warm_free(struct predict_warm **warm);
enum { PREDICT_WARM_SLICE = 256 };
/* Evaluates at most max rows (to PREDICT_WARM_SLICE) and puts them: the keeper has to take them
 * before the next slice. AUGURY_END: that was the last. AUGURY_ERR_FULL: one did not fit; it is put
 * again in the next slice. Anything else ends the warming. */
AUGURY_MUST_USE int predict_warm_slice(struct predict_warm *warm, size_t max, uint64_t now_wall_ms,
                                       struct err *err);
size_t predict_warm_count(const struct predict_warm *warm); /* of all rows */
size_t predict_warm_done(const struct predict_warm *warm);

/* When a key has been asked for, and is expected next. Zero-initialise. */
struct predict_habit {
    uint64_t last_wall_ms;
    uint64_t interval_ms, deviation_ms; /* means that forget */
    uint32_t uses;
    uint8_t hours[24]; /* of the day, UTC: in how many of them it was asked for */
};
struct predict_expected {
    uint64_t wall_ms; /* 0: nobody knows */
    uint64_t within_ms;
};
void predict_habit_use(struct predict_habit *habit, uint64_t now_wall_ms);
struct predict_expected predict_habit_next(const struct predict_habit *habit);

/* Habits of the keys that are put most, and what is made ahead by them. Process: supervisor. */
struct predict_learn;
enum { PREDICT_LEARN_VALUE_MAX = 2048 };
/* Of the context registry, cache, stats and ttl_s count. keys: followed at a time. */
AUGURY_MUST_USE int predict_learn_new(const struct predict_context *context, size_t keys,
                                      struct predict_learn **out_learn);
void predict_learn_free(struct predict_learn **learn);
/* Shared memory, made of zeroes before the forks, in which habits outlive their learner. */
struct predict_habits;
size_t predict_habits_bytes(void);
void predict_learn_share(struct predict_learn *learn, struct predict_habits *habits);
/* Habits as bytes, a page at a time, for whoever keeps them over a start. */
enum { PREDICT_HABITS_PAGES = 256, PREDICT_HABITS_PAGE_BYTES = 12 + 64 * 61 };
/* 0: the page has not changed since it was last taken, or never held a habit that is worth keeping;
 * else how many bytes of out_bytes it takes. */
size_t predict_habits_take(struct predict_habits *habits, size_t page,
                           uint8_t out_bytes[static PREDICT_HABITS_PAGE_BYTES]);
/* What was taken could not be kept: it has changed still. */
void predict_habits_mark(struct predict_habits *habits, size_t page);
/* The other way, into places that are free; how many. What is not whole or cannot be is left. */
size_t predict_habits_give(struct predict_habits *habits, size_t page, struct bytes stored,
                           uint64_t now_wall_ms);
/* A worker has put an entry: the keeper tells (cache_keeper_on_put). */
void predict_learn_put(struct predict_learn *learn, struct bytes text, struct bytes value,
                       uint64_t created_wall_ms, uint64_t expires_wall_ms);
/* Makes up to max entries that will be asked for when they have ended. AUGURY_END: all keys have
 * been looked at; otherwise it goes on with the next call. */
AUGURY_MUST_USE int predict_learn_turn(struct predict_learn *learn, uint64_t now_wall_ms,
                                       size_t max);

/* ---- files of rows --------------------------------------------------------------------------- */

/* A file of rows as a model reads it. Process: cli, supervisor (verbs). It has memory of its own,
 * which does not grow with the file. */
struct predict_file;
struct predict_file_options {
    const char *path; /* "-": standard input */
    struct rows_options rows;
    /* Columns of a header that are wanted though they are no features (a target); they outlive the
     * file. Each has to be there. */
    const char *const *extras;
    size_t extra_count;
    bool is_ignoring_unknown; /* other columns that are no features are left out */
    bool is_request;          /* messages tell what a request can do about it */
    bool is_rounded;          /* floats have so many decimals at most */
    uint32_t decimals;
};
/* Errors have file and line, and column where there is one. */
AUGURY_MUST_USE int predict_file_open(const struct model *model,
                                      const struct predict_file_options *options,
                                      struct predict_file **out_file, struct err *err);
void predict_file_close(struct predict_file **file);
/* Of a file that is in memory, at most how many rows it has: what an array says, or a text's
 * lines. */
uint64_t predict_file_rows_max(const struct predict_file *file);
/* The next row: feature_count of the model's numbers, NaN what is missing. AUGURY_END after the
 * last. */
AUGURY_MUST_USE int predict_file_next(struct predict_file *file, void *out_row, struct err *err);
/* For several threads: rows in blocks, which one thread cuts and others read, each through a file
 * of its own. As rows_cut(), rows_open_blocks() and rows_feed(). */
AUGURY_MUST_USE int predict_file_cut(struct predict_file *file, size_t target_bytes,
                                     struct buf *block, uint64_t *out_line, struct err *err);
AUGURY_MUST_USE int predict_file_open_blocks(const struct predict_file *whole,
                                             struct predict_file **out_file, struct err *err);
void predict_file_feed(struct predict_file *file, struct buf *block, uint64_t line);
/* The text of an extra column in the last row, until the next one; and its place for messages. */
struct bytes predict_file_extra(const struct predict_file *file, size_t extra);
int predict_file_at_extra(const struct predict_file *file, size_t extra, struct err *err);
/* The same as a number that is finite; err has the place. */
AUGURY_MUST_USE int predict_file_extra_number(const struct predict_file *file, size_t extra,
                                              double *out_number, struct err *err);

/* ---- derived outputs ------------------------------------------------------------------------- */

/* The number of the class that a row belongs to: the most probable one, of several the first. room:
 * row_count × model.probability_count numbers (at least one a row). Of a model that has
 * PREDICT_CLASS. */
void predict_classes(const struct model *model, const void *margins, size_t row_count, void *room,
                     uint32_t *out_classes);

/* Rows with what a model says of each: its prediction, its probabilities, or two quantiles. */
struct predict_interval_rows {
    const void *rows;   /* count × feature_count: for the groups */
    const void *values; /* count × width */
    size_t width;
    size_t count;
};
/* Of a model with a calibration of numbers: lower and upper bound a row, -inf and +inf when the
 * held-out rows are too few for the level. Width 1, of MODEL_SCORE_QUANTILES 2. */
void predict_intervals(const struct model *model, const struct predict_interval_rows *rows,
                       double level, void *out_intervals);
/* Of one with a calibration of classes: 1 for each class in the set. Width probability_count. */
void predict_class_sets(const struct model *model, const struct predict_interval_rows *rows,
                        double level, uint8_t *out_sets);
/* What the two models of MODEL_SCORE_QUANTILES predict: two numbers a row. scratch: as many bytes
 * as the other says, 64-byte aligned. */
size_t predict_quantiles_scratch_bytes(const struct model *model);
void predict_quantiles(const struct model *model, const void *rows, size_t row_count, void *scratch,
                       void *out_quantiles);
/* Whether there can be an interval of that level: "invalid_level". */
AUGURY_MUST_USE int predict_level_check(double level, struct err *err);

/* ---- suggestions in error messages ----------------------------------------------------------- */

/* Remembers which of the names offered is nearest to wanted, if any is near enough to be meant. */
struct predict_nearest {
    struct bytes wanted;
    struct bytes found; /* empty: none near enough */
    size_t distance;
};
void predict_nearest_init(struct predict_nearest *nearest, struct bytes wanted);
void predict_nearest_offer(struct predict_nearest *nearest, struct bytes name);
