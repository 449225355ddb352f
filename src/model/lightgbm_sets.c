/* SPDX-License-Identifier: MIT */
/*
 * lightgbm_sets.c - the category sets of a tree: bitsets of 32-bit words, one after another in
 * cat_threshold, parted by cat_boundaries; a categorical node's threshold is the number of its set.
 */
#include "lightgbm_tree.h"

#include <math.h>

enum { SET_WORDS_MAX = (NEUTRAL_CATEGORY_MAX + 1) / 32 };

/* A bitset of 32-bit words, written as numbers. */
struct bitset {
    const int64_t *words;
    uint32_t count;
};

static int
read_set(struct tree_draft *draft, struct bitset bits, uint32_t node, struct neutral_set *out_set)
{
    size_t count = 0;
    uint32_t at = 0;

    for (uint32_t w = 0; w < bits.count; w++) {
        count += (size_t)__builtin_popcountll((uint64_t)bits.words[w]);
    }
    uint32_t *categories = lightgbm_draft_alloc(draft, count, sizeof(*categories));
    if (categories == NULL) {
        return lightgbm_no_memory(draft->reader);
    }
    for (uint32_t w = 0; w < bits.count; w++) {
        for (uint32_t bit = 0; bit < 32; bit++) {
            if (((uint64_t)bits.words[w] >> bit & 1) != 0) {
                categories[at++] = w * 32 + bit;
            }
        }
    }
    *out_set = (struct neutral_set){.node = node, .count = at, .categories = categories};
    return 0;
}

struct bitsets {
    const int64_t *boundaries; /* set k is words boundaries[k] to boundaries[k + 1] */
    const int64_t *words;
    uint32_t count;
    uint8_t *is_used;
};

static int
read_bitsets(struct tree_draft *draft, uint32_t count, struct bitsets *out_sets)
{
    const struct lightgbm_block *block = draft->block;
    size_t word_count = lightgbm_word_count(block->fields[TREE_CAT_THRESHOLD].value);
    int64_t *boundaries = NULL;
    int64_t *words = NULL;
    int rc = lightgbm_integers(draft->reader, block, TREE_CAT_BOUNDARIES, (size_t)count + 1,
                               &boundaries);

    if (rc == 0) {
        rc = lightgbm_integers(draft->reader, block, TREE_CAT_THRESHOLD, word_count, &words);
    }
    for (size_t i = 0; i <= count && rc == 0; i++) {
        if (boundaries[i] < (i == 0 ? 0 : boundaries[i - 1]) ||
            boundaries[i] > (int64_t)word_count) {
            rc = lightgbm_invalid_entry(draft, TREE_CAT_BOUNDARIES, i,
                                        "does not rise within the words of \"cat_threshold\"");
        }
    }
    for (size_t i = 0; i < word_count && rc == 0; i++) {
        if (words[i] < 0 || words[i] > UINT32_MAX) {
            rc = lightgbm_invalid_entry(draft, TREE_CAT_THRESHOLD, i, "is not 32 bits of a set");
        }
    }
    if (rc == 0) {
        *out_sets = (struct bitsets){.boundaries = boundaries,
                                     .words = words,
                                     .count = count,
                                     .is_used = lightgbm_draft_alloc(draft, count, 1)};
        rc = out_sets->is_used == NULL ? lightgbm_no_memory(draft->reader) : 0;
    }
    return rc;
}

/* The threshold of a categorical node is the number of its set. LightGBM gives each node a set of
 * its own; shared ones would let a small file ask for much memory. */
static int
read_node_set(struct tree_draft *draft, struct bitsets *sets, uint32_t node)
{
    double number = draft->value[node];

    if (!(number >= 0.0 && number < (double)sets->count) || number != floor(number)) {
        return lightgbm_invalid_entry(draft, TREE_THRESHOLD, node,
                                      "is not one of the tree's num_cat sets");
    }
    uint32_t k = (uint32_t)number;
    if (sets->is_used[k] != 0) {
        return lightgbm_invalid_entry(draft, TREE_THRESHOLD, node,
                                      "names a set that another node uses");
    }
    if (sets->boundaries[k + 1] - sets->boundaries[k] > SET_WORDS_MAX) {
        return lightgbm_invalid_entry(draft, TREE_CAT_BOUNDARIES, (size_t)k + 1,
                                      "ends a set of categories over 2^24 - 1");
    }
    sets->is_used[k] = 1;
    const struct bitset bits = {
        .words = sets->words + sets->boundaries[k],
        .count = (uint32_t)(sets->boundaries[k + 1] - sets->boundaries[k]),
    };
    return read_set(draft, bits, node, &draft->sets[draft->set_count++]);
}

int
lightgbm_read_sets(struct tree_draft *draft)
{
    struct bitsets sets = {.count = 0};
    uint32_t set_count = 0;
    uint32_t node_count = 0;
    int rc = lightgbm_count(draft->reader, draft->block, TREE_NUM_CAT, &set_count);

    for (uint32_t i = 0; i < draft->inner_count; i++) {
        node_count += (draft->flags[i] & NEUTRAL_CATEGORICAL) != 0 ? 1 : 0;
    }
    if (rc == 0 && set_count > 0) {
        rc = read_bitsets(draft, set_count, &sets);
    }
    draft->sets = lightgbm_draft_alloc(draft, node_count, sizeof(*draft->sets));
    if (rc == 0 && draft->sets == NULL) {
        rc = lightgbm_no_memory(draft->reader);
    }
    for (uint32_t i = 0; i < draft->inner_count && rc == 0; i++) {
        if ((draft->flags[i] & NEUTRAL_CATEGORICAL) != 0) {
            rc = read_node_set(draft, &sets, i);
        }
    }
    return rc;
}
