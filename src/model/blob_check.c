/* SPDX-License-Identifier: MIT */
/*
 * blob_check.c - is this blob one that the kernels may trust? A compiled tree has one possible
 * shape: breadth first, siblings adjacent, so the k-th inner node's children stand at 1 + 2k and 2
 * + 2k. Checking that each distance says so proves every index, that each node is reached once, and
 * the depth, in one pass and no memory.
 */
#include "batch.h"
#include "calibration.h"
#include "contributions.h"
#include "walk.h"

#include <float.h>
#include <math.h>
#include <string.h>

static int
corrupt(struct err *err, const char *reason)
{
    return err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model", "%s", reason);
}

static bool
text_has(const struct blob_header *header, uint32_t offset, uint32_t bytes)
{
    return offset <= header->text_bytes && bytes <= header->text_bytes - offset;
}

static uint64_t
number_bytes(const struct blob_header *header)
{
    return header->number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double);
}

uint64_t
blob_section_bytes(const struct blob_header *header, enum blob_section section)
{
    uint64_t nodes = header->node_count;

    switch (section) {
    case BLOB_BASE_MARGINS: return sizeof(double) * header->output_count;
    case BLOB_ROUNDS:
        return sizeof(struct blob_round) *
               (((uint64_t)header->tree_count + BLOB_ROUND_TREES - 1) / BLOB_ROUND_TREES);
    case BLOB_NODES:
        return nodes *
               (header->kernel == BLOB_PACK8 ? sizeof(struct pack_node) : sizeof(struct wide_node));
    case BLOB_SETS: return sizeof(uint32_t) * (uint64_t)header->set_words;
    case BLOB_VECTORS: return sizeof(double) * (uint64_t)header->vector_count * header->leaf_width;
    case BLOB_TERMS: return sizeof(struct blob_term) * (uint64_t)header->term_count;
    case BLOB_WEIGHTS:
        return header->kernel != BLOB_LINEAR
                   ? 0
                   : sizeof(float) * ((uint64_t)header->feature_count + 1) * header->output_count;
    case BLOB_FEATURES: return sizeof(struct blob_feature) * (uint64_t)header->feature_count;
    case BLOB_NAME_SLOTS: return sizeof(uint32_t) * (uint64_t)header->name_slot_count;
    case BLOB_LEVELS: return sizeof(struct blob_level) * (uint64_t)header->level_count;
    case BLOB_TEXT: return header->text_bytes;
    case BLOB_SHARES:
        return header->contribution_points == 0
                   ? 0
                   : (nodes - header->tree_count) / 2 * number_bytes(header);
    case BLOB_QUADRATURE: return 2 * sizeof(double) * (uint64_t)header->contribution_points;
    case BLOB_BIASES:
        return header->contribution_points == 0 ? 0 : sizeof(double) * header->output_count;
    case BLOB_SOURCE_NODES: return sizeof(uint32_t) * nodes;
    case BLOB_RANK_COLUMNS: return sizeof(struct rank_column) * (uint64_t)header->rank_column_count;
    case BLOB_RANK_THRESHOLDS:
        return (header->number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double)) *
               (uint64_t)header->rank_threshold_count;
    case BLOB_RANK_SETS: return header->rank_set_bytes;
    case BLOB_WALK_ROOTS:
    case BLOB_WALK_TREES:
    case BLOB_WALK_RECORDS: return walk_section_bytes(header, section);
    case BLOB_INPUTS: return sizeof(struct blob_input) * (uint64_t)header->input_count;
    case BLOB_STEPS: return sizeof(struct blob_step) * (uint64_t)header->step_count;
    case BLOB_CLASSES: return sizeof(struct blob_text) * (uint64_t)header->class_count;
    case BLOB_LAYERS: return sizeof(struct blob_layer) * (uint64_t)header->layer_count;
    case BLOB_ATTRIBUTES: return sizeof(struct blob_attribute) * (uint64_t)header->attribute_count;
    case BLOB_BINS: return sizeof(struct blob_bin) * (uint64_t)header->bin_count;
    case BLOB_REASONS: return sizeof(struct blob_text) * (uint64_t)header->reason_count;
    case BLOB_NUMBERS: return sizeof(double) * (uint64_t)header->number_count;
    case BLOB_BATCH_TREES:
        return header->batch_mask_count == 0
                   ? 0
                   : sizeof(struct batch_tree) * (uint64_t)header->tree_count;
    case BLOB_BATCH_TESTS: return sizeof(uint32_t) * (uint64_t)header->batch_test_count;
    case BLOB_BATCH_LISTS: return sizeof(uint16_t) * (uint64_t)header->batch_list_count;
    case BLOB_BATCH_LEAVES: return header->batch_leaf_bytes;
    case BLOB_CALIBRATION: return header->sections[section].bytes; /* it says its size itself */
    case BLOB_SECTION_COUNT: break;
    }
    AUGURY_ASSERT(!"a section without a size");
    return 0;
}

/* ---- the header ---------------------------------------------------------------------------- */

static bool
is_treeless(const struct blob_header *header)
{
    return header->kernel == BLOB_LINEAR || header->kernel == BLOB_DENSE ||
           header->kernel == BLOB_SCORECARD;
}

static bool
leaves_are_sane(const struct blob_header *header)
{
    bool is_plain =
        header->number == MODEL_FLOAT32 && header->leaf_width == 1 && header->divisor == 1.0;

    return isfinite(header->link_scale) && isfinite(header->divisor) && header->divisor != 0.0 &&
           (header->leaf_width == 1 || header->leaf_width == header->output_count) &&
           (header->leaf_width > 1 || header->vector_count == 0) &&
           header->vector_count <= header->node_count && header->hints <= BLOB_HINTS &&
           (header->term_count == 0 ||
            (header->number == MODEL_FLOAT64 && header->leaf_width == 1)) &&
           (is_plain || header->kernel == BLOB_WIDE || is_treeless(header));
}

/* The kernel of a kind without trees, else BLOB_KERNEL_COUNT. */
static enum blob_kernel
treeless_kernel(uint32_t kind)
{
    switch ((enum neutral_kind)kind) {
    case NEUTRAL_GBLINEAR: return BLOB_LINEAR;
    case NEUTRAL_LINEAR:
    case NEUTRAL_MLP: return BLOB_DENSE;
    case NEUTRAL_SCORECARD: return BLOB_SCORECARD;
    case NEUTRAL_GBTREE:
    case NEUTRAL_DART:
    case NEUTRAL_FOREST:
    case NEUTRAL_KIND_COUNT: break;
    }
    return BLOB_KERNEL_COUNT;
}

static bool
kernel_is_sane(const struct blob_header *header)
{
    if (!is_treeless(header)) {
        return treeless_kernel(header->kind) == BLOB_KERNEL_COUNT;
    }
    return treeless_kernel(header->kind) == header->kernel && header->node_count == 0 &&
           (header->kernel == BLOB_LINEAR) == (header->number == MODEL_FLOAT32);
}

/* Of inputs, classes, layers and attributes: what is no index. */
static bool
parts_are_sane(const struct blob_header *header)
{
    uint32_t classes = header->output_count == 1 ? 2 : header->output_count;

    return isfinite(header->link_offset) && header->input_count <= MODEL_FEATURES_MAX &&
           (header->input_count == 0 || header->number == MODEL_FLOAT64) &&
           (header->class_count == 0 || header->class_count == classes) &&
           (header->kernel == BLOB_DENSE) == (header->layer_count > 0) &&
           (header->kind != NEUTRAL_LINEAR || header->layer_count == 1) &&
           (header->kernel == BLOB_SCORECARD) == (header->attribute_count > 0) &&
           (header->kernel != BLOB_SCORECARD ||
            (header->output_count == 1 && header->input_count == 0));
}

static bool
contributions_are_sane(const struct blob_header *header)
{
    return header->contribution_points <= CONTRIBUTIONS_POINTS_MAX && header->reserved == 0 &&
           (header->contribution_points == 0 || (!is_treeless(header) && header->term_count == 0));
}

static bool
counts_are_sane(const struct blob_header *header)
{
    return header->kind < NEUTRAL_KIND_COUNT && header->kernel < BLOB_KERNEL_COUNT &&
           header->number <= MODEL_FLOAT64 && leaves_are_sane(header) && kernel_is_sane(header) &&
           parts_are_sane(header) && header->link < MODEL_LINK_COUNT && header->feature_count > 0 &&
           header->feature_count <= MODEL_FEATURES_MAX && header->output_count > 0 &&
           header->output_count <= MODEL_OUTPUTS_MAX &&
           header->tree_depth <= MODEL_TREE_DEPTH_MAX && header->tree_count <= header->node_count &&
           (header->kernel != BLOB_PACK8 || header->feature_count <= PACK_FEATURES_MAX) &&
           contributions_are_sane(header) && header->name_slot_count > header->feature_count &&
           (header->name_slot_count & (header->name_slot_count - 1)) == 0 &&
           ((header->flags & NEUTRAL_SORTED) == 0 || header->output_count <= NEUTRAL_SORTED_MAX) &&
           ((header->flags & NEUTRAL_BINARY) == 0 ||
            (header->output_count == 1 &&
             (header->link == MODEL_LINK_SIGMOID || header->link == MODEL_LINK_PROBABILITY)));
}

int
blob_check_header(struct bytes blob, struct err *err)
{
    const struct blob_header *header = (const struct blob_header *)blob.data;

    if (blob.len < sizeof(*header) || memcmp(blob.data, BLOB_MAGIC, sizeof(header->magic)) != 0) {
        return corrupt(err, "not a compiled model: it does not begin with " BLOB_MAGIC);
    }
    if ((uintptr_t)blob.data % 8 != 0) {
        return corrupt(err, "the compiled model is not aligned to 8 bytes in memory");
    }
    if (header->endian_mark != BLOB_ENDIAN_MARK) {
        return corrupt(err, "compiled models are little-endian; this machine is not, or the file's "
                            "bytes are in another order");
    }
    if (header->format != BLOB_FORMAT) {
        return err_set(err, AUGURY_ERR_UNSUPPORTED, "unknown_blob_format",
                       "compiled in format %u, this version reads %d: import the source again",
                       header->format, BLOB_FORMAT);
    }
    if (header->total_bytes != blob.len) {
        return err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model",
                       "the header says %llu bytes, there are %zu",
                       (unsigned long long)header->total_bytes, blob.len);
    }
    if (!counts_are_sane(header)) {
        return corrupt(err, "the header's counts contradict each other");
    }
    for (unsigned i = 0; i < BLOB_SECTION_COUNT; i++) {
        const struct blob_range *range = &header->sections[i];
        if (range->offset % 16 != 0 || range->offset < sizeof(*header) ||
            range->offset > blob.len || range->bytes > blob.len - range->offset ||
            range->bytes != blob_section_bytes(header, i)) {
            return err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model",
                           "section %u does not lie inside the model as the counts want", i);
        }
    }
    if (!text_has(header, header->objective_offset, header->objective_bytes) ||
        !text_has(header, header->source_offset, header->source_bytes)) {
        return corrupt(err, "the objective or source text lies outside the text section");
    }
    return 0;
}

/* ---- trees --------------------------------------------------------------------------------- */

/* A tree's nodes [first, end) and the next category set, as the pass goes on. */
struct tree_pass {
    const struct blob_header *header;
    uint32_t first;
    uint32_t end;
    uint64_t set_at;
    uint64_t vector_at;
    uint64_t term_at;
    uint32_t depth;
};

/* The node's distance when it is well-formed, else -1. */
static int64_t
check_pack_node(const struct blob_header *header, const struct pack_node *node)
{
    uint32_t slot = node->step & PACK_SLOT_MASK;
    uint32_t distance = node->step >> PACK_SLOT_BITS;
    uint32_t leaf_slot = 2 * header->feature_count;

    return isnan(node->value) || slot > leaf_slot || (slot == leaf_slot) != (distance == 0)
               ? -1
               : (int64_t)distance;
}

static bool
check_set(struct tree_pass *pass, double first)
{
    const uint32_t *set = (const uint32_t *)blob_section_in(pass->header, BLOB_SETS) + pass->set_at;
    uint64_t room = pass->header->set_words - pass->set_at;

    if (first != (double)pass->set_at || room < SET_HEADER_WORDS ||
        set[1] > room - SET_HEADER_WORDS) {
        return false;
    }
    if (set[0] == SET_LIST) {
        for (uint32_t i = 1; i < set[1]; i++) {
            if (set[SET_HEADER_WORDS + i] <= set[SET_HEADER_WORDS + i - 1]) {
                return false;
            }
        }
    } else if (set[0] != SET_BITS) {
        return false;
    }
    pass->set_at += SET_HEADER_WORDS + (uint64_t)set[1];
    return true;
}

static bool
check_linear(struct tree_pass *pass, double first)
{
    const struct blob_term *terms =
        (const struct blob_term *)blob_section_in(pass->header, BLOB_TERMS) + pass->term_at;
    uint64_t room = pass->header->term_count - pass->term_at;

    if (first != (double)pass->term_at || room < BLOB_TERM_HEAD ||
        terms[0].count > room - BLOB_TERM_HEAD) {
        return false;
    }
    for (uint32_t k = 0; k < terms[0].count; k++) {
        if (terms[BLOB_TERM_HEAD + k].feature >= blob_width(pass->header)) {
            return false;
        }
    }
    pass->term_at += BLOB_TERM_HEAD + (uint64_t)terms[0].count;
    return true;
}

static bool
check_wide_leaf(struct tree_pass *pass, const struct wide_node *node)
{
    if (pass->header->leaf_width > 1) {
        return node->test == 0 && node->value == (double)pass->vector_at++;
    }
    return node->test == 0 || (node->test == WIDE_LINEAR_LEAF && check_linear(pass, node->value));
}

static int64_t
check_wide_node(struct tree_pass *pass, const struct wide_node *node)
{
    bool is_good = !isnan(node->value) && node->feature < blob_width(pass->header);

    if (is_good && node->distance == 0) {
        is_good = check_wide_leaf(pass, node);
    } else if (is_good) {
        is_good = (node->test & ~(unsigned)WIDE_TESTS) == 0 &&
                  ((node->test & WIDE_SET) == 0 || check_set(pass, node->value));
    }
    return is_good ? (int64_t)node->distance : -1;
}

static bool
check_tree(struct tree_pass *pass)
{
    const struct blob_header *header = pass->header;
    const struct pack_node *pack = blob_section_in(header, BLOB_NODES);
    const struct wide_node *wide = blob_section_in(header, BLOB_NODES);
    uint64_t next = (uint64_t)pass->first + 1; /* where the next inner node's children stand */
    uint64_t level_end = next;

    pass->depth = 0;
    for (uint64_t i = pass->first; i < pass->end; i++) {
        if (i == next) {
            return false; /* no parent */
        }
        if (i == level_end) {
            pass->depth++;
            level_end = next;
        }
        int64_t distance = header->kernel == BLOB_PACK8 ? check_pack_node(header, &pack[i])
                                                        : check_wide_node(pass, &wide[i]);
        if (distance < 0 || (distance > 0 && i + (uint64_t)distance != next)) {
            return false;
        }
        next += distance > 0 ? 2 : 0;
    }
    return next == pass->end;
}

static int
check_trees(const struct blob_header *header, struct err *err)
{
    const struct blob_round *rounds = blob_section_in(header, BLOB_ROUNDS);
    struct tree_pass pass = {.header = header};

    for (uint32_t t = 0; t < header->tree_count; t++) {
        const struct blob_round *round = &rounds[t / BLOB_ROUND_TREES];
        unsigned lane = t % BLOB_ROUND_TREES;
        bool is_last = t + 1 == header->tree_count;
        pass.first = pass.end;
        pass.end = is_last ? header->node_count
                           : rounds[(t + 1) / BLOB_ROUND_TREES].root[(t + 1) % BLOB_ROUND_TREES];
        if (round->root[lane] != pass.first || pass.end <= pass.first ||
            pass.end > header->node_count || round->output[lane] >= header->output_count ||
            !check_tree(&pass) || pass.depth != round->depth[lane] ||
            pass.depth > header->tree_depth) {
            corrupt(err, "the tree is not laid out breadth first inside the nodes");
            err_at(err, "tree %u", t);
            return AUGURY_ERR_CORRUPT;
        }
    }
    for (uint32_t t = header->tree_count; t % BLOB_ROUND_TREES != 0; t++) {
        const struct blob_round *round = &rounds[t / BLOB_ROUND_TREES];
        unsigned lane = t % BLOB_ROUND_TREES;
        if (round->root[lane] != 0 || round->depth[lane] != 0 || round->output[lane] != 0) {
            return corrupt(err, "the places after the last tree are not empty");
        }
    }
    if (pass.vector_at != header->vector_count) {
        return corrupt(err, "as many vectors as leaves are wanted");
    }
    if (pass.term_at != header->term_count) {
        return corrupt(err, "terms that no linear leaf uses");
    }
    return pass.set_at == header->set_words ? 0 : corrupt(err, "category sets that no node uses");
}

/* ---- contributions ------------------------------------------------------------------------- */

/* Numbers that no index depends on; out of range they would give nonsense. */
static bool
are_within(const double *numbers, uint64_t count, double limit)
{
    for (uint64_t i = 0; i < count; i++) {
        if (!(fabs(numbers[i]) <= limit)) {
            return false;
        }
    }
    return true;
}

static int
check_contributions(const struct blob_header *header, struct err *err)
{
    uint64_t count = header->sections[BLOB_SHARES].bytes / number_bytes(header);
    const float *floats = blob_section_in(header, BLOB_SHARES);
    const double *doubles = blob_section_in(header, BLOB_SHARES);

    for (uint64_t i = 0; i < count; i++) {
        double share = header->number == MODEL_FLOAT32 ? (double)floats[i] : doubles[i];
        if (!(share >= 0.0 && share <= 1.0)) {
            corrupt(err, "a node's share of training rows is not between 0 and 1");
            err_at(err, "inner node %llu", (unsigned long long)i);
            return AUGURY_ERR_CORRUPT;
        }
    }
    if (!are_within(blob_section_in(header, BLOB_QUADRATURE), 2 * header->contribution_points,
                    1.0) ||
        !are_within(blob_section_in(header, BLOB_BIASES),
                    header->sections[BLOB_BIASES].bytes / sizeof(double), DBL_MAX)) {
        return corrupt(err, "the quadrature or an average margin is out of range");
    }
    return 0;
}

/* ---- schema -------------------------------------------------------------------------------- */

static int
check_features(const struct blob_header *header, struct err *err)
{
    const struct blob_feature *features = blob_section_in(header, BLOB_FEATURES);
    const struct blob_level *levels = blob_section_in(header, BLOB_LEVELS);
    uint64_t level_at = 0;

    for (uint32_t i = 0; i < header->feature_count; i++) {
        const struct blob_feature *feature = &features[i];
        if (!text_has(header, feature->name_offset, feature->name_bytes) ||
            feature->type > MODEL_CATEGORY || feature->level_first != level_at ||
            feature->level_count > header->level_count - level_at) {
            corrupt(err, "a name or levels outside their sections");
            err_at(err, "feature %u", i);
            return AUGURY_ERR_CORRUPT;
        }
        for (uint32_t k = 0; k < feature->level_count; k++) {
            const struct blob_level *level = &levels[level_at + k];
            if (!text_has(header, level->offset, level->bytes) ||
                level->by_name >= feature->level_count) {
                corrupt(err, "a level outside its section");
                err_at(err, "feature %u, level %u", i, k);
                return AUGURY_ERR_CORRUPT;
            }
        }
        level_at += feature->level_count;
    }
    return level_at == header->level_count ? 0 : corrupt(err, "levels of no feature");
}

static int
check_name_slots(const struct blob_header *header, struct err *err)
{
    const uint32_t *slots = blob_section_in(header, BLOB_NAME_SLOTS);
    uint32_t used = 0;

    for (uint32_t i = 0; i < header->name_slot_count; i++) {
        if (slots[i] > header->feature_count) {
            return corrupt(err, "the table of names points at a feature that is not there");
        }
        used += slots[i] != 0 ? 1 : 0;
    }
    /* Fewer entries than slots: a search always ends. */
    return used == header->feature_count ? 0 : corrupt(err, "the table of names is incomplete");
}

int
blob_check_all(struct bytes blob, struct err *err)
{
    const struct blob_header *header = (const struct blob_header *)blob.data;
    struct digest digest =
        digest_of(bytes_of(blob.data + BLOB_CHECKSUM_FROM, blob.len - BLOB_CHECKSUM_FROM));

    if (digest.lo != header->checksum_lo || digest.hi != header->checksum_hi) {
        return corrupt(err, "the checksum does not match: bytes of the compiled model changed");
    }
    int rc = check_trees(header, err);
    if (rc == 0) {
        rc = rank_check(header, err);
    }
    if (rc == 0) {
        rc = walk_check(header, err);
    }
    if (rc == 0) {
        rc = batch_check(header, err);
    }
    if (rc == 0) {
        rc = check_contributions(header, err);
    }
    if (rc == 0) {
        rc = check_features(header, err);
    }
    if (rc == 0) {
        rc = check_name_slots(header, err);
    }
    if (rc == 0) {
        rc = blob_parts_check(header, err);
    }
    if (rc == 0) {
        rc = calibration_check(header, err);
    }
    return rc;
}
