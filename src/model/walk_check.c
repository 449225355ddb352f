/* SPDX-License-Identifier: MIT */
/*
 * walk_check.c - may the row kernels trust these roots and records? Every column is one of the
 * model's, every exit leads to a record that is there, and onwards only: a way cannot turn back,
 * and a kernel takes no more than walk_step_count records.
 */
#include "walk.h"

static uint64_t
lane_groups(const struct blob_header *header)
{
    return ((uint64_t)header->tree_count + WALK_LANES - 1) / WALK_LANES;
}

static uint64_t
root_groups(const struct blob_header *header)
{
    return lane_groups(header) * WALK_LANES / (WALK_ROOT_BYTES >> header->walk_root_depth);
}

static bool
has_walk(const struct blob_header *header)
{
    return header->walk_record_count > 0 && header->walk_root_depth >= 3 &&
           header->walk_root_depth <= 5;
}

uint64_t
walk_section_bytes(const struct blob_header *header, enum blob_section section)
{
    if (!has_walk(header)) {
        return 0;
    }
    switch (section) {
    case BLOB_WALK_ROOTS: return root_groups(header) * sizeof(struct walk_root);
    case BLOB_WALK_TREES: return lane_groups(header) * sizeof(struct walk_trees);
    default: return (uint64_t)header->walk_record_count * header->walk_stride;
    }
}

static bool
columns_are_there(const struct blob_header *header, const uint8_t *columns, size_t count)
{
    uint32_t left = walk_default_left(header->rank_column_count);

    for (size_t i = 0; i < count; i++) {
        uint32_t column = (columns[i] & left) == left ? columns[i] - left : columns[i];
        if (column >= header->rank_column_count) {
            return false;
        }
    }
    return true;
}

static bool
check_roots(const struct blob_header *header)
{
    const struct walk_root *roots = blob_section_in(header, BLOB_WALK_ROOTS);

    for (uint64_t i = 0; i < root_groups(header); i++) {
        if (!columns_are_there(header, roots[i].columns, WALK_ROOT_BYTES)) {
            return false;
        }
    }
    return true;
}

/* As many records as bits may be passed over, and one is then taken. */
static bool
check_trees(const struct blob_header *header)
{
    const struct walk_trees *trees = blob_section_in(header, BLOB_WALK_TREES);

    for (uint64_t t = 0; t < lane_groups(header) * WALK_LANES; t++) {
        const struct walk_trees *lanes = &trees[t / WALK_LANES];
        uint32_t exits = lanes->exits[t % WALK_LANES];
        uint64_t last =
            (uint64_t)lanes->first[t % WALK_LANES] + (uint32_t)__builtin_popcount(exits);
        if (last >= header->walk_record_count || (t >= header->tree_count && last != 0) ||
            (uint64_t)exits >> (1u << header->walk_root_depth) != 0) {
            return false;
        }
    }
    return true;
}

static uint32_t
word_at(const uint8_t *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

/*
 * A way that is longer than walk_step_count stops at a number of a record and takes it for what the
 * leaf adds: any bits are a number, but a row of BLOB_VECTORS must be there. A tree has at least as
 * many leaves as records, so that no record of a good model has a number past the vectors.
 */
static bool
check_record(const struct blob_header *header, uint32_t number)
{
    const uint8_t *record = (const uint8_t *)blob_section_in(header, BLOB_WALK_RECORDS) +
                            (size_t)number * header->walk_stride;
    const struct walk_record *head = (const struct walk_record *)record;
    uint32_t exit_bytes = walk_exit_bytes(header);

    if (!columns_are_there(header, head->columns, WALK_NODES)) {
        return false;
    }
    for (uint32_t e = 0; e < WALK_EXITS; e++) {
        uint32_t word = word_at(record + sizeof(*head) + (size_t)e * exit_bytes);
        bool is_inner = (head->inner >> e & 1) != 0;
        if (is_inner && (word <= number || word >= header->walk_record_count)) {
            return false;
        }
        if (header->leaf_width > 1 && word >= header->vector_count) {
            return false;
        }
    }
    return true;
}

/* Absent: every field is 0. */
static bool
sizes_are_sane(const struct blob_header *header)
{
    uint32_t bytes = (uint32_t)sizeof(struct walk_record) + WALK_EXITS * walk_exit_bytes(header);

    if (header->walk_record_count == 0) {
        return header->walk_root_depth == 0 && header->walk_stride == 0 &&
               header->walk_step_count == 0;
    }
    return has_walk(header) && header->tree_count > 0 && header->rank_column_count > 0 &&
           header->rank_column_count <= WALK_COLUMNS_MAX && header->walk_stride >= bytes &&
           header->walk_stride % 16 == 0 && header->walk_stride <= 256 &&
           (uint64_t)header->walk_record_count * header->walk_stride / 4 <= UINT32_MAX &&
           header->walk_step_count > 0 && header->walk_step_count <= MODEL_TREE_DEPTH_MAX;
}

int
walk_check(const struct blob_header *header, struct err *err)
{
    bool is_good = sizes_are_sane(header);

    if (is_good && header->walk_record_count > 0) {
        is_good = check_roots(header) && check_trees(header);
        for (uint32_t i = 0; is_good && i < header->walk_record_count; i++) {
            is_good = check_record(header, i);
        }
    }
    return is_good ? 0
                   : err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model",
                             "the roots and records of the trees lead outside the model");
}
