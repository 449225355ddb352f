/* SPDX-License-Identifier: MIT */
/*
 * objective.c - XGBoost's objectives: the link from base score to margin and from margin to prediction.
 * Source: ProbToMargin and PredTransform of each objective in XGBoost 1.7 to 3.x. An objective that is not here is refused: guessing its
 * link would give wrong numbers that look right.
 */
#include "import.h"

#include <math.h>

static const struct objective objectives[] = {
    {"binary:hinge", MODEL_LINK_HINGE, BASE_IDENTITY, false},
    {"binary:logistic", MODEL_LINK_SIGMOID, BASE_LOGIT, true},
    {"binary:logitraw", MODEL_LINK_IDENTITY, BASE_LOGIT, false},
    {"count:poisson", MODEL_LINK_EXP, BASE_LOG, false},
    {"multi:softmax", MODEL_LINK_SOFTMAX, BASE_IDENTITY, false},
    {"multi:softprob", MODEL_LINK_SOFTPROB, BASE_IDENTITY, false},
    {"rank:map", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"rank:ndcg", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"rank:pairwise", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:absoluteerror", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:gamma", MODEL_LINK_EXP, BASE_LOG, false},
    {"reg:linear", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:logistic", MODEL_LINK_SIGMOID, BASE_LOGIT, false},
    {"reg:pseudohubererror", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:quantileerror", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:squarederror", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:squaredlogerror", MODEL_LINK_IDENTITY, BASE_IDENTITY, false},
    {"reg:tweedie", MODEL_LINK_EXP, BASE_LOG, false},
    {"survival:aft", MODEL_LINK_EXP, BASE_LOG, false},
    {"survival:cox", MODEL_LINK_EXP, BASE_LOG, false},
};

const struct objective *
objective_find(struct bytes name)
{
    for (size_t i = 0; i < AUGURY_COUNT(objectives); i++) {
        if (bytes_equal_text(name, objectives[i].name)) {
            return &objectives[i];
        }
    }
    return NULL;
}

float
objective_base_margin(const struct objective *objective, float score)
{
    switch (objective->base) {
    case BASE_LOGIT: return -logf(1.0f / score - 1.0f);
    case BASE_LOG: return logf(score);
    case BASE_IDENTITY: break;
    }
    return score;
}
