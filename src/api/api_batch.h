/* SPDX-License-Identifier: MIT */
/*
 * api_batch.h - calls of one turn whose rows are evaluated together. Private to the room:
 * api_predict.c offers a question and leaves it, api_batch.c answers it.
 */
#pragma once

#include "api_call.h"

/* What is known of a question beside its rows. */
struct api_asked {
    const struct api_dialect *dialect;
    void *state;
    uint64_t begin_ns;
    uint64_t decoded_ns; /* 0: not looked at */
    bool may_keep;
};

/* api_predict.c: writes what predict_answer() said (rc, answer). Returns the status. */
unsigned api_question_finish(struct api_call *call, const struct api_asked *asked,
                             const struct predict_answer *answer, int rc);

/* *wait filled, for the question; or NULL: it is to be answered at once. */
struct predict_wait *api_batch_offer(struct api_call *call, const struct api_asked *asked,
                                     struct predict_wait *wait);
/* The question's rows have been taken. True: the call is put off, and answered at the end of the
 * turn or of the window. */
bool api_batch_join(struct api_call *call, const struct api_asked *asked,
                    const struct predict_wait *wait);
