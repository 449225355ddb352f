/* SPDX-License-Identifier: MIT */
/* test_transform.c - margins to predictions. Equality with XGBoost's own answers is tested with
 * libxgboost; here the shapes and limits. */
#include "fixture.h"

#include "../../../src/model/blob.h"

static struct model
model_of(enum model_link link, uint32_t outputs)
{
    static const struct blob_header header = {.link_scale = 1.0, .divisor = 1.0};

    return (struct model){
        .output_count = outputs,
        .prediction_count = link == MODEL_LINK_SOFTMAX ? 1 : outputs,
        .probability_count = link == MODEL_LINK_SIGMOID                                  ? 2
                             : link == MODEL_LINK_SOFTPROB || link == MODEL_LINK_SOFTMAX ? outputs
                                                                                         : 0,
        .link = link,
        .layout = &header,
    };
}

static float
one(enum model_link link, float margin)
{
    struct model model = model_of(link, 1);
    float out = NAN;

    model_predictions(&model, &margin, 1, &out);
    return out;
}

static void
the_sigmoid_is_exact_where_it_can_be_and_never_overflows(void)
{
    CHECK(one(MODEL_LINK_SIGMOID, 0.0f) == 0.5f);
    CHECK(one(MODEL_LINK_SIGMOID, 100.0f) == 1.0f);
    CHECK(one(MODEL_LINK_SIGMOID, INFINITY) == 1.0f);
    CHECK(isfinite(one(MODEL_LINK_SIGMOID, -INFINITY)));
    CHECK(one(MODEL_LINK_SIGMOID, -1e30f) > 0.0f);
    CHECK(fabs((double)one(MODEL_LINK_SIGMOID, 1.5f) - 1.0 / (1.0 + exp(-1.5))) < 1e-7);
}

static void
each_link_is_what_its_name_says(void)
{
    CHECK(one(MODEL_LINK_IDENTITY, -3.25f) == -3.25f);
    CHECK(one(MODEL_LINK_EXP, 0.0f) == 1.0f);
    CHECK(fabs((double)one(MODEL_LINK_EXP, 2.0f) - exp(2.0)) < 1e-6);
    CHECK(one(MODEL_LINK_HINGE, 0.0f) == 0.0f);
    CHECK(one(MODEL_LINK_HINGE, 1e-45f) == 1.0f);
    CHECK(one(MODEL_LINK_HINGE, -1.0f) == 0.0f);
}

static void
softprob_gives_shares_and_softmax_the_first_greatest_class(void)
{
    const float margins[] = {1.0f, 3.0f, 3.0f, -200.0f, -200.0f, -200.0f};
    struct model prob = model_of(MODEL_LINK_SOFTPROB, 3);
    struct model max = model_of(MODEL_LINK_SOFTMAX, 3);
    float shares[6];
    float classes[2];

    model_predictions(&prob, margins, 2, shares);
    model_predictions(&max, margins, 2, classes);
    CHECK(shares[1] == shares[2] && shares[0] < shares[1]);
    CHECK(fabsf(shares[0] + shares[1] + shares[2] - 1.0f) < 1e-6f);
    CHECK(fabsf(shares[3] - 1.0f / 3.0f) < 1e-7f);
    CHECK(classes[0] == 1.0f && classes[1] == 0.0f);
}

static void
probabilities_of_two_classes_add_up_and_many_are_the_shares(void)
{
    struct model binary = model_of(MODEL_LINK_SIGMOID, 1);
    struct model max = model_of(MODEL_LINK_SOFTMAX, 2);
    const float margins[] = {0.75f, -2.0f};
    float out[4];

    model_probabilities(&binary, margins, 2, out);
    CHECK(out[0] + out[1] == 1.0f && out[1] == one(MODEL_LINK_SIGMOID, 0.75f));
    CHECK(out[3] == one(MODEL_LINK_SIGMOID, -2.0f));
    model_probabilities(&max, margins, 1, out);
    CHECK(fabs((double)out[0] - 1.0 / (1.0 + exp(-2.75))) < 1e-7);
}

int
main(void)
{
    TAP_RUN(the_sigmoid_is_exact_where_it_can_be_and_never_overflows);
    TAP_RUN(each_link_is_what_its_name_says);
    TAP_RUN(softprob_gives_shares_and_softmax_the_first_greatest_class);
    TAP_RUN(probabilities_of_two_classes_add_up_and_many_are_the_shares);
    return tap_done();
}
