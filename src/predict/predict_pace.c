/* SPDX-License-Identifier: MIT */
/* predict_pace.c - a question's time, looked at between its rows: see predict_matrix.h. */
#include "predict_matrix.h"

enum {
    LOOK_CELLS = 2048
}; /* between two looks at the clock: less than a millisecond of any form */

void
predict_pace_init(struct predict_pace *pace, uint64_t deadline_mono_ns, size_t cells_a_row)
{
    *pace = (struct predict_pace){.deadline_mono_ns = deadline_mono_ns, .next = SIZE_MAX};
    if (deadline_mono_ns != 0) {
        pace->every = cells_a_row < LOOK_CELLS ? LOOK_CELLS / (cells_a_row + 1) : 1;
        pace->next = pace->every;
    }
}

int
predict_pace_over(struct predict_pace *pace, size_t done, const char *what, struct err *err)
{
    pace->next = done + pace->every;
    if (clock_mono_ns() < pace->deadline_mono_ns) {
        return 0;
    }
    return err_set(err, AUGURY_ERR_TIMEOUT, "timeout",
                   "the request's time was over when %zu rows were %s", done, what);
}
