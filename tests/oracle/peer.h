/* SPDX-License-Identifier: MIT */
/*
 * peer.h - libxgboost through its C API, one thread: what the engine is compared with.
 * Two files stand behind it: peer_xgboost.c where configure found the library, peer_absent.c else.
 * Results are borrowed until the next call on the same peer. Failures print the library's reason.
 */
#pragma once

#include "augury/base.h"

struct peer;

bool peer_is_there(void);
const char *peer_version(void); /* "1.7.4" */

struct peer *peer_load(struct bytes model_file);
void peer_free(struct peer **peer);

enum peer_output { PEER_VALUE = 0, PEER_MARGIN = 1, PEER_CONTRIBUTIONS = 2, PEER_LEAF = 6 };

struct peer_rows {
    const float *values; /* count × columns; NaN is missing */
    size_t count;
    size_t columns;
    float missing; /* also missing. The library takes infinite values only when this is infinite */
};

/* Over a matrix object: every booster. NULL on failure. */
const float *peer_predict(struct peer *peer, const struct peer_rows *rows, enum peer_output output,
                          size_t *out_count);
/* Straight over the rows: no gblinear, no leaves, no contributions. */
const float *peer_predict_inplace(struct peer *peer, const struct peer_rows *rows,
                                  enum peer_output output, size_t *out_count);
/* Margins of the iterations from begin up to, not including, end. */
const float *peer_predict_iterations(struct peer *peer, const struct peer_rows *rows,
                                     unsigned begin, unsigned end, size_t *out_count);
/* The model as the library writes it: format "json" or "ubj". */
bool peer_save(struct peer *peer, const char *format, struct bytes *out_file);

struct peer_training {
    struct peer_rows rows;
    const float *labels;
    const char *const *params; /* name, value, …, NULL */
    const char *const *types;  /* one a column, "q" or "c"; NULL: all numbers */
    unsigned group_size;       /* rows a ranking query; 0: no ranking */
    unsigned rounds;
};
struct peer *peer_train(const struct peer_training *training);
