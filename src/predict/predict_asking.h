/* SPDX-License-Identifier: MIT */
/*
 * predict_asking.h - a question on its way to its answer: what predict_answer.c, predict_part.c and
 * predict_derive.c share. Private to the room.
 */
#pragma once

#include "predict_matrix.h"

enum { ROW_ALIGN = 64 };

/* Key of one row: a prefix that is the question's, 32 hex characters that are the row's, a suffix
 * that is the part's. */
struct row_key {
    char text[CACHE_KEY_TEXT_MAX];
    size_t row_at;
    size_t len;
};

/* One thing computed for each row, and kept. */
struct part {
    uint8_t *words; /* row_count × row_bytes */
    size_t row_bytes;
    size_t scratch_bytes; /* 0: as margins and leaves need */
    const char *suffix;   /* of at most 31 bytes */
    void (*evaluate)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                     void *out_words);
    /* Set by predict_part_answer(). */
    struct cache_worth *worth;
    uint64_t row_ns; /* to evaluate a row, 0 when not known */
    bool is_timed;
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
    bool has_looked;   /* rows were looked up */
    bool has_bypassed; /* rows were not, because evaluating them is cheaper */
    uint64_t stamp;    /* of the cache, before the model was found */
    uint16_t model_tag;
    uint8_t *is_evaluated; /* one a row; NULL without a cache */
    uint64_t expires_wall_ms;
    unsigned outputs;    /* all that are asked for */
    unsigned part_count; /* begun so far */
    /* Of rows that several questions may share: predict_batch.c. */
    bool has_waited;      /* the first part has been looked up in vain, or not at all */
    bool is_timed;        /* evaluate_ns counts */
    bool has_hits;        /* not all was evaluated */
    uint32_t version;     /* of the model, while it waits */
    uint64_t batch_key;   /* of what is evaluated */
    uint64_t evaluate_ns; /* of all parts */
};

/* predict_answer.c. Finds the model, in the registry's snapshot that lasts until predict_end(). */
AUGURY_MUST_USE int predict_find_model(struct asking *asking);
/* Needs the matrix. */
AUGURY_MUST_USE int predict_cache_prepare(struct asking *asking);
/* All parts and what follows from them; answer has model, row_count, outputs and level. */
AUGURY_MUST_USE int predict_compute(struct asking *asking, struct predict_answer *answer);

/* predict_batch.c. Before and after parts are answered: whether they are timed, and what that
 * says. */
void predict_batch_time(struct asking *asking);
void predict_batch_learn(const struct asking *asking);
/* All rows are to be evaluated. True: they have been left to question->wait->batch. */
bool predict_batch_take(struct asking *asking);

/* predict_part.c. "prediction:nfl-wp@3#0123456789abcdef:" */
void predict_key_begin(struct row_key *key, const struct registry_model *found);
/* Rows up to this size stand behind their margins in the cache, if the context says so. */
enum { PREDICT_KEPT_ROW_BYTES = 1024 };
/* Begins the keys of a question's rows; needs the model and the cache. */
void predict_part_keys(struct asking *asking);
/* Fills part->words, in the arena: from the cache what it knows, the rest evaluated in one pass and
 * kept. */
AUGURY_MUST_USE int predict_part_answer(struct asking *asking, struct part *part);
/* Rows in blocks of about a millisecond, so that a deadline is noticed; without one, all at once.
 * scratch: as a block of all of them needs. */
AUGURY_MUST_USE int predict_part_evaluate(struct asking *asking, const struct part *part,
                                          const uint8_t *rows, size_t count, void *scratch,
                                          uint8_t *out_words);
struct bytes predict_row_canonical(const struct asking *asking, size_t row);
/* The row's key, ended by its 32 hex characters and the part's suffix; one at a time. */
struct bytes predict_part_key(struct asking *asking, const struct part *part, size_t row);
void predict_expires_by(struct asking *asking, uint64_t wall_ms);

/* predict_elsewhere.c. Rows that memory lacks: what Redis was found to have leaves the list.
 * AUGURY_MORE: it is to be asked for them. */
struct part_missed {
    uint32_t *rows;
    size_t count;
};
AUGURY_MUST_USE int predict_elsewhere_find(struct asking *asking, const struct part *part,
                                           struct part_missed *missed);
/* Sends a row that was made here, if it was dear. item: as it was kept in memory. */
void predict_elsewhere_put(struct asking *asking, const struct part *part, size_t row,
                           const struct cache_item *item);

/* predict_habits.c. habits may be NULL. A habit without uses continues the one that is known. */
void predict_habits_put(struct predict_habits *habits, uint64_t key,
                        const struct predict_habit *habit);
void predict_habits_take_up(const struct predict_habits *habits, uint64_t key, uint64_t now_wall_ms,
                            struct predict_habit *habit);

/* predict_derive.c. What follows from margins and contributions, or from the rows as they are. */
AUGURY_MUST_USE int predict_derive(struct asking *asking, struct predict_answer *answer);
