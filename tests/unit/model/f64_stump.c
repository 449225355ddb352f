/* SPDX-License-Identifier: MIT */
/* f64_stump.c - the stump, in the neutral form and compiled. */
#include "f64_stump.h"

#include "../../../src/model/blob.h"

int
f64_stump_compile(struct buf *out_blob, struct err *err)
{
    static const int32_t left[] = {1, NEUTRAL_LEAF, NEUTRAL_LEAF};
    static const int32_t right[] = {2, NEUTRAL_LEAF, NEUTRAL_LEAF};
    static const uint32_t feature[3] = {0};
    static const double value[] = {F64_STUMP_THRESHOLD, F64_STUMP_LEFT, F64_STUMP_RIGHT};
    static const uint8_t flags[] = {NEUTRAL_DEFAULT_LEFT, 0, 0};
    static const double base = F64_STUMP_BASE;
    struct neutral_feature features[] = {{.type = MODEL_FLOAT, .is_missing_allowed = true},
                                         {.type = MODEL_INTEGER, .is_missing_allowed = true}};
    struct neutral_tree tree = {.node_count = 3,
                                .left = left,
                                .right = right,
                                .feature = feature,
                                .value = value,
                                .flags = flags};
    struct neutral_model model = {.number = MODEL_FLOAT64,
                                  .link_scale = 1,
                                  .feature_count = 2,
                                  .features = features,
                                  .output_count = 1,
                                  .base_margins = &base,
                                  .tree_count = 1,
                                  .trees = &tree,
                                  .leaf_width = 1,
                                  .divisor = 1,
                                  .objective = bytes_of_text("regression"),
                                  .source = bytes_of_text("a test")};
    struct arena scratch;

    features[0].name = bytes_of_text("x");
    features[1].name = bytes_of_text("n");
    int rc = arena_init(&scratch, 1 << 20);
    if (rc != 0) {
        return rc;
    }
    rc = neutral_check(&model, &scratch, err);
    if (rc == 0) {
        rc = blob_compile(&model, &scratch, out_blob, err);
    }
    arena_fini(&scratch);
    return rc;
}
