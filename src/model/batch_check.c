/* SPDX-License-Identifier: MIT */
/*
 * batch_check.c - may an evaluation trust these trees? Each begins where the one before it ends, so
 * that one pass covers every section and no tree is read twice; each mask, place and table is
 * there. Whether the trees are those of the other sections is not checked: it decides what comes
 * out, not what is read.
 */
#include "batch.h"

struct batch_pass {
    const struct blob_header *header;
    const struct batch_tree *trees;
    const uint32_t *tests;
    const uint16_t *lists;
    uint64_t test_at;
    uint64_t list_at;
    uint64_t leaf_at;
};

static bool
masks_are_counted(const struct blob_header *header)
{
    const struct rank_column *columns = blob_section_in(header, BLOB_RANK_COLUMNS);
    uint64_t masks = 1 + (uint64_t)header->rank_column_count;

    for (uint32_t c = 0; c < header->rank_column_count; c++) {
        masks += rank_code_count(&columns[c]);
    }
    return header->rank_column_count > 0 && header->rank_column_count <= BATCH_COLUMNS_MAX &&
           header->output_count <= BATCH_OUTPUTS_MAX && masks == header->batch_mask_count &&
           masks <= BATCH_MASKS_MAX;
}

static bool
check_tests(struct batch_pass *pass, uint64_t count)
{
    if (count > pass->header->batch_test_count - pass->test_at) {
        return false;
    }
    for (uint64_t end = pass->test_at + count; pass->test_at < end; pass->test_at++) {
        uint32_t test = pass->tests[pass->test_at];
        if ((test & BATCH_TEST_MASK) >= pass->header->batch_mask_count ||
            test >> BATCH_TEST_BITS > pass->header->rank_column_count) {
            return false;
        }
    }
    return true;
}

/* Of a sparse tree: the places of its inner nodes, each reached before it is read. */
static bool
check_places(struct batch_pass *pass, uint32_t inner)
{
    if (inner > pass->header->batch_list_count - pass->list_at) {
        return false;
    }
    for (uint32_t k = 0; k < inner; k++) {
        if (pass->lists[pass->list_at++] > 2 * k) {
            return false;
        }
    }
    return true;
}

/* Of one part of it: no number past its table, no place past its nodes. */
static bool
check_part(struct batch_pass *pass, const struct batch_tree *tree)
{
    for (unsigned plane = 0; plane < BATCH_PLANES; plane++) {
        uint64_t left = pass->header->batch_list_count - pass->list_at;
        uint32_t count = left > 0 ? pass->lists[pass->list_at++] : UINT32_MAX;
        if (count >= left || (count > 0 && plane >= tree->slot_bits)) {
            return false;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (pass->lists[pass->list_at++] > 2 * (uint32_t)tree->inner) {
                return false;
            }
        }
    }
    return true;
}

static bool
check_sparse(struct batch_pass *pass, const struct batch_tree *tree)
{
    bool is_good = tree->depth == 0 && tree->inner > 0 && tree->parts > 0 &&
                   2 * (uint32_t)tree->inner + 1 <= pass->header->batch_node_max &&
                   check_places(pass, tree->inner);

    for (uint32_t part = 0; is_good && part < tree->parts; part++) {
        is_good = check_part(pass, tree);
    }
    return is_good;
}

static bool
shape_is_sane(const struct blob_header *header, const struct batch_tree *tree)
{
    return tree->depth <= BATCH_DEPTH_MAX && tree->slot_bits >= BATCH_SLOT_BITS_MIN &&
           tree->slot_bits <= BATCH_PLANES && tree->slot_bits >= tree->depth &&
           tree->parts <= header->batch_part_max && tree->output < header->output_count &&
           (header->leaf_width == 1 || tree->output == 0);
}

static bool
check_tree(struct batch_pass *pass, const struct batch_tree *tree)
{
    const struct blob_header *header = pass->header;

    if (!shape_is_sane(header, tree) || tree->test != pass->test_at ||
        tree->list != pass->list_at || tree->leaf != pass->leaf_at) {
        return false;
    }
    uint64_t leaves = (uint64_t)header->leaf_width * tree->parts *
                          batch_number_bytes((enum model_number)header->number)
                      << tree->slot_bits;
    if (leaves > header->batch_leaf_bytes - BATCH_LEAF_PADDING - pass->leaf_at ||
        !check_tests(pass, batch_test_count(tree))) {
        return false;
    }
    pass->leaf_at += leaves;
    return tree->depth > 0 ? tree->parts == 1 && tree->inner == 0 : check_sparse(pass, tree);
}

int
batch_check(const struct blob_header *header, struct err *err)
{
    struct batch_pass pass = {
        .header = header,
        .trees = blob_section_in(header, BLOB_BATCH_TREES),
        .tests = blob_section_in(header, BLOB_BATCH_TESTS),
        .lists = blob_section_in(header, BLOB_BATCH_LISTS),
    };
    bool is_good = true;

    if (header->batch_mask_count == 0) {
        is_good = header->batch_test_count == 0 && header->batch_list_count == 0 &&
                  header->batch_leaf_bytes == 0;
    } else {
        is_good = masks_are_counted(header) && header->batch_leaf_bytes >= BATCH_LEAF_PADDING &&
                  header->batch_node_max <= BATCH_NODES_MAX &&
                  header->batch_part_max <= BATCH_PARTS_MAX;
        for (uint32_t t = 0; is_good && t < header->tree_count; t++) {
            is_good = check_tree(&pass, &pass.trees[t]);
        }
        is_good = is_good && pass.test_at == header->batch_test_count &&
                  pass.list_at == header->batch_list_count &&
                  pass.leaf_at == header->batch_leaf_bytes - BATCH_LEAF_PADDING;
    }
    return is_good ? 0
                   : err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model",
                             "the trees for many rows do not stand one after the other with all "
                             "that they name");
}
