/* SPDX-License-Identifier: MIT */
/*
 * objective.c - XGBoost's objectives: the link from base score to margin and from margin to
 * prediction. Source: ProbToMargin and PredTransform of each objective in XGBoost 1.7 to 3.x. An
 * objective that is not here is refused: guessing its link would give wrong numbers that look
 * right.
 */
#include "import.h"

#include <math.h>

static const struct objective objectives[] = {
    {"binary:hinge", MODEL_LINK_HINGE, BASE_IDENTITY, 0},
    {"binary:logistic", MODEL_LINK_SIGMOID, BASE_LOGIT, NEUTRAL_BINARY},
    {"binary:logitraw", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"count:poisson", MODEL_LINK_EXP, BASE_LOG, 0},
    {"multi:softmax", MODEL_LINK_SOFTMAX, BASE_IDENTITY, 0},
    {"multi:softprob", MODEL_LINK_SOFTPROB, BASE_IDENTITY, 0},
    {"rank:map", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"rank:ndcg", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"rank:pairwise", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:absoluteerror", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:gamma", MODEL_LINK_EXP, BASE_LOG, 0},
    {"reg:linear", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:logistic", MODEL_LINK_SIGMOID, BASE_LOGIT, 0},
    {"reg:pseudohubererror", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:quantileerror", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:squarederror", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:squaredlogerror", MODEL_LINK_IDENTITY, BASE_IDENTITY, 0},
    {"reg:tweedie", MODEL_LINK_EXP, BASE_LOG, 0},
    {"survival:aft", MODEL_LINK_EXP, BASE_LOG, NEUTRAL_EXP_IN_DOUBLE},
    {"survival:cox", MODEL_LINK_EXP, BASE_LOG, 0},
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
