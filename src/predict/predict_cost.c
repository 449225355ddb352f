/* SPDX-License-Identifier: MIT */
/*
 * predict_cost.c - what a question will probably take, from what the like of it took: a mean a row
 * for each model, selector and set of outputs, in a small table where the latest comer takes a
 * place. An estimate that is wrong costs time, never an answer.
 * It is no second table of worths (augury/cache.h): those are of the parts of a model's contents,
 * known once the model is found, and say whether a row is looked up. This one is asked before
 * anything is found, by the names that the request has, and says what all of the answer takes,
 * reading and writing included: whether it is worth waiting for somebody else's, or asking Redis.
 */
#include "augury/predict.h"

enum { MEAN_OF = 8 };

static uint64_t
cost_key(const struct predict_question *question)
{
    const uint64_t parts[] = {hash64_of(question->model), hash64_of(question->selector),
                              (uint64_t)question->outputs << 32 | question->also};

    return hash64_of(bytes_of(parts, sizeof(parts)));
}

static uint64_t
rows_of(const struct predict_question *question)
{
    if (question->rows != NULL && question->rows->type == WIRE_ARRAY) {
        return question->rows->count;
    }
    if (question->data != NULL && question->data->type == WIRE_ARRAY) {
        return question->data->count;
    }
    return 1;
}

uint32_t
predict_cost_us(const struct predict_context *context, const struct predict_question *question)
{
    uint64_t key = cost_key(question);
    const struct predict_cost *cost = &context->costs[key % PREDICT_COSTS];

    if (cost->key != key) {
        return 0;
    }
    uint64_t us = cost->row_ns * rows_of(question) / 1000;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void
predict_cost_learn(struct predict_context *context, const struct predict_question *question,
                   const struct predict_answer *answer, uint64_t took_ns)
{
    size_t evaluated = answer->row_count - answer->hits;

    if (evaluated == 0) {
        return;
    }
    uint64_t key = cost_key(question);
    struct predict_cost *cost = &context->costs[key % PREDICT_COSTS];
    uint64_t row_ns = took_ns / evaluated;
    if (cost->key != key) {
        *cost = (struct predict_cost){.key = key, .row_ns = row_ns};
        return;
    }
    cost->row_ns = (cost->row_ns * (MEAN_OF - 1) + row_ns) / MEAN_OF;
}
