/* SPDX-License-Identifier: MIT */
/*
 * kernel_wide.c - the kernel for every tree that 8-byte nodes cannot hold: category sets, more than
 * PACK_FEATURES_MAX features, wider levels, thresholds of -inf. One row, one tree at a time.
 * XGBoost's rule for categories: the value is cut to an integer; members of the set go right;
 * whatever is no category (negative, over 2^24 - 1, unknown) goes left; a missing value goes to the
 * default side.
 */
#include "kernel.h"

#include <math.h>
#include <string.h>

static bool
list_has(const uint32_t *list, uint32_t count, uint32_t category)
{
    uint32_t low = 0;

    while (count > 0) {
        uint32_t half = count / 2;
        if (list[low + half] < category) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return list[low] == category;
}

static bool
set_has(const uint32_t *set, float x)
{
    /* Compared before the cast, which is undefined for what does not fit. */
    if (!(x >= 0.0f && x < (float)(NEUTRAL_CATEGORY_MAX + 1))) {
        return false;
    }
    uint32_t category = (uint32_t)x;
    uint32_t count = set[1];
    const uint32_t *words = set + SET_HEADER_WORDS;

    if (set[0] == SET_BITS) {
        return category / 32 < count && (words[category / 32] >> (category % 32) & 1) != 0;
    }
    return count > 0 && category <= words[count - 1] && list_has(words, count, category);
}

static const struct wide_node *
wide_walk(const struct wide_node *node, const uint32_t *sets, const float *row)
{
    while (node->distance != 0) {
        float x = row[node->feature];
        bool is_right = false;
        if (isnan(x)) {
            is_right = (node->test & WIDE_DEFAULT_LEFT) == 0;
        } else if ((node->test & WIDE_SET) != 0) {
            is_right = set_has(sets + (node->test >> WIDE_SET_SHIFT), x);
        } else {
            is_right = !(x < node->value);
        }
        node += node->distance + is_right;
    }
    return node;
}

static size_t
wide_scratch_bytes(const struct model *model)
{
    (void)model;
    return 0;
}

static void
wide_margins(const struct model *model, const float *rows, size_t row_count, void *scratch,
             float *out_margins)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    const struct wide_node *nodes = blob_section(model, BLOB_NODES);
    const uint32_t *sets = blob_section(model, BLOB_SETS);
    const float *base = blob_section(model, BLOB_BASE_MARGINS);

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        memcpy(out_margins, base, model->output_count * sizeof(float));
        for (uint32_t t = 0; t < model->tree_count; t++) {
            const struct blob_round *round = &rounds[t / BLOB_ROUND_TREES];
            unsigned lane = t % BLOB_ROUND_TREES;
            out_margins[round->output[lane]] +=
                wide_walk(nodes + round->root[lane], sets, rows)->value;
        }
        rows += model->feature_count;
        out_margins += model->output_count;
    }
}

static void
wide_leaves(const struct model *model, const float *rows, size_t row_count, void *scratch,
            uint32_t *out_leaves)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    const struct wide_node *nodes = blob_section(model, BLOB_NODES);
    const uint32_t *sets = blob_section(model, BLOB_SETS);
    const uint32_t *source_nodes = blob_section(model, BLOB_SOURCE_NODES);

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        for (uint32_t t = 0; t < model->tree_count; t++) {
            uint32_t root = rounds[t / BLOB_ROUND_TREES].root[t % BLOB_ROUND_TREES];
            *out_leaves++ = source_nodes[wide_walk(nodes + root, sets, rows) - nodes];
        }
        rows += model->feature_count;
    }
}

const struct kernel_ops kernel_wide = {
    .scratch_bytes = wide_scratch_bytes,
    .margins = wide_margins,
    .leaves = wide_leaves,
};
