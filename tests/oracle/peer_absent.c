/* SPDX-License-Identifier: MIT */
/* peer_absent.c - peer.h where libxgboost is not installed: nothing is there to compare with. */
#include "peer.h"

bool
peer_is_there(void)
{
    return false;
}

const char *
peer_version(void)
{
    return "absent";
}

struct peer *
peer_load(struct bytes model_file)
{
    (void)model_file;
    return NULL;
}

void
peer_free(struct peer **peer)
{
    *peer = NULL;
}

const float *
peer_predict(struct peer *peer, const struct peer_rows *rows, enum peer_output output,
             size_t *out_count)
{
    (void)peer;
    (void)rows;
    (void)output;
    (void)out_count;
    return NULL;
}

const float *
peer_predict_inplace(struct peer *peer, const struct peer_rows *rows, enum peer_output output,
                     size_t *out_count)
{
    (void)peer;
    (void)rows;
    (void)output;
    (void)out_count;
    return NULL;
}

const float *
peer_predict_iterations(struct peer *peer, const struct peer_rows *rows, unsigned begin,
                        unsigned end, size_t *out_count)
{
    (void)peer;
    (void)rows;
    (void)begin;
    (void)end;
    (void)out_count;
    return NULL;
}

bool
peer_save(struct peer *peer, const char *format, struct bytes *out_file)
{
    (void)peer;
    (void)format;
    (void)out_file;
    return false;
}

struct peer *
peer_train(const struct peer_training *training)
{
    (void)training;
    return NULL;
}
