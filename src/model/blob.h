/* SPDX-License-Identifier: MIT */
/*
 * blob.h - the bytes of a compiled model: what blob_compile() writes, model_open() checks and the
 * kernels read in place. Little-endian, offsets only.
 * Every section starts at an offset o with (16 + o) % 64 == 0: LMDB keeps large values 16 bytes
 * into a page, so that in the map each section begins a cache line. Any 8-byte aligned copy can be
 * read as well, for the fields here need no more than that.
 * docs/formats.md describes each byte; a change there or here raises BLOB_FORMAT.
 */
#pragma once

#include "neutral.h"

#define BLOB_MAGIC "AUGURYMD"

enum {
    BLOB_FORMAT = 7,
    BLOB_ENDIAN_MARK = 0x01020304,
    BLOB_PAGE_OFFSET = 16, /* where the bytes of a large value start in an LMDB page */
    BLOB_ALIGN = 64,
    BLOB_BYTES_MIN = 4096,  /* LMDB puts values over half a page on pages of their own */
    BLOB_CHECKSUM_FROM = 40 /* the digest covers all bytes from here on */
};

enum blob_kernel {
    BLOB_PACK8, /* numeric trees of up to PACK_FEATURES_MAX features: 8-byte nodes */
    BLOB_WIDE,  /* any tree: 16-byte nodes */
    BLOB_LINEAR,
    BLOB_DENSE,     /* layers of doubles */
    BLOB_SCORECARD, /* points of bins */
    BLOB_KERNEL_COUNT
};

enum blob_section {
    BLOB_BASE_MARGINS,    /* double × output_count */
    BLOB_ROUNDS,          /* struct blob_round × ceil(tree_count / 8) */
    BLOB_NODES,           /* struct pack_node or struct wide_node × node_count */
    BLOB_SETS,            /* uint32_t: category sets of wide nodes */
    BLOB_VECTORS,         /* double × vector_count × leaf_width */
    BLOB_TERMS,           /* struct blob_term × term_count: linear leaves of wide nodes */
    BLOB_WEIGHTS,         /* float × (feature_count + 1) × output_count */
    BLOB_FEATURES,        /* struct blob_feature × feature_count */
    BLOB_NAME_SLOTS,      /* uint32_t × a power of two: open addressing, feature + 1 or 0 */
    BLOB_LEVELS,          /* struct blob_level × all levels of all features */
    BLOB_TEXT,            /* names, levels, objective, source; UTF-8 */
    BLOB_SHARES,          /* model numbers × inner nodes: share of training rows that went left */
    BLOB_SOURCE_NODES,    /* uint32_t × node_count: number of the node in the source file's tree */
    BLOB_RANK_COLUMNS,    /* struct rank_column × rank_column_count (rank.h) */
    BLOB_RANK_THRESHOLDS, /* float or double × rank_threshold_count */
    BLOB_RANK_SETS,       /* uint8_t × rank_set_bytes */
    BLOB_WALK_ROOTS,      /* struct walk_root (walk.h) */
    BLOB_WALK_TREES,      /* struct walk_trees × ceil(tree_count / 16) */
    BLOB_WALK_RECORDS,    /* walk_stride × walk_record_count */
    BLOB_INPUTS,          /* struct blob_input × input_count */
    BLOB_STEPS,           /* struct blob_step × step_count */
    BLOB_CLASSES,         /* struct blob_text × class_count */
    BLOB_LAYERS,          /* struct blob_layer × layer_count */
    BLOB_ATTRIBUTES,      /* struct blob_attribute × attribute_count */
    BLOB_BINS,            /* struct blob_bin × bin_count */
    BLOB_REASONS,         /* struct blob_text × reason_count */
    BLOB_NUMBERS,         /* double × number_count: what steps, layers and attributes point at */
    BLOB_BATCH_TREES,     /* struct batch_tree × tree_count, or none (batch.h) */
    BLOB_BATCH_TESTS,     /* uint32_t × batch_test_count */
    BLOB_BATCH_LISTS,     /* uint16_t × batch_list_count */
    BLOB_BATCH_LEAVES,    /* uint8_t × batch_leaf_bytes */
    BLOB_QUADRATURE,      /* double × 2 contribution_points: points, then their weights */
    BLOB_BIASES,          /* double × output_count: average margin over the training rows */
    BLOB_CALIBRATION,     /* calibration.h; the last one, in a calibrated model alone */
    BLOB_SECTION_COUNT
};

/* What makes kernels faster when they know it. */
enum blob_hint {
    BLOB_HINT_TURNS = 1 << 0, /* tree t adds to output t mod output_count */
    BLOB_HINT_RULES = 1 << 1, /* some column of ranks has a rule */
    /* All tests are of numbers, NaN alone is missing, and no leaf is linear. */
    BLOB_HINT_NUMBERS = 1 << 2,
    BLOB_HINTS = 7,
};

struct blob_range {
    uint64_t offset;
    uint64_t bytes;
};

struct blob_header {
    uint8_t magic[8];
    uint32_t format;
    uint32_t endian_mark;
    uint64_t total_bytes;
    uint64_t checksum_lo;
    /* 32 */ uint64_t checksum_hi;
    /* 40 */ uint32_t kind; /* enum neutral_kind */
    uint32_t kernel;        /* enum blob_kernel */
    /* 48 */ uint32_t link; /* enum model_link */
    uint32_t flags;         /* enum neutral_flags */
    /* 56 */ uint32_t feature_count;
    uint32_t output_count;
    uint32_t tree_count;
    uint32_t node_count;
    /* 72 */ uint32_t name_slot_count;
    uint32_t level_count; /* of all features */
    uint32_t set_words;
    uint32_t tree_depth;                                 /* of the deepest tree */
    /* 88 */ uint32_t objective_offset, objective_bytes; /* in BLOB_TEXT */
    uint32_t source_offset, source_bytes;
    /* 104 */ uint32_t text_bytes;
    uint32_t number; /* enum model_number */
    /* 112 */ double link_scale;
    double divisor;                       /* of the sum of base margin and leaves */
    /* 128 */ uint32_t leaf_width;        /* values that a leaf adds: 1, or one an output */
    uint32_t vector_count;                /* leaves of more than one value */
    uint32_t term_count;                  /* of linear leaves; 0: there are none */
    uint32_t hints;                       /* enum blob_hint */
    /* 144 */ uint32_t rank_column_count; /* 0: the model has no ranks */
    uint32_t rank_number_columns;
    uint32_t rank_threshold_count;
    uint32_t rank_set_bytes;
    /* 160 */ uint32_t walk_root_depth;
    uint32_t walk_stride;
    uint32_t walk_record_count; /* 0: the model has no roots and records */
    uint32_t walk_step_count;
    /* 176 */ double link_offset;   /* added to a margin before a sigmoid of float64 */
    uint32_t input_count;           /* 0: the kernels read the features as they are */
    uint32_t step_count;            /* of all inputs */
    /* 192 */ uint32_t class_count; /* that have names */
    uint32_t layer_count;
    uint32_t attribute_count;
    uint32_t bin_count; /* of all attributes */
    /* 208 */ uint32_t reason_count;
    uint32_t number_count;
    /* 216 */ uint32_t batch_mask_count; /* 0: the model has no trees for many rows */
    uint32_t batch_test_count;
    uint32_t batch_list_count;
    uint32_t batch_leaf_bytes;
    uint32_t batch_node_max;                /* of a sparse tree */
    uint32_t batch_part_max;                /* of a tree */
    /* 240 */ uint32_t contribution_points; /* 0: there are none, or there are no trees */
    uint32_t reserved;                      /* 0 */
    /* 248 */ struct blob_range sections[BLOB_SECTION_COUNT];
};

/* Eight trees, in the source's order. Past tree_count: root 0, depth 0, output 0. One cache
 * line. */
enum { BLOB_ROUND_TREES = 8 };
struct blob_round {
    uint32_t root[BLOB_ROUND_TREES]; /* index in BLOB_NODES */
    uint16_t depth[BLOB_ROUND_TREES];
    uint16_t output[BLOB_ROUND_TREES];
};

/*
 * A node of 8 bytes. The nodes of a tree stand breadth first, siblings adjacent, trees one after
 * another. `step` holds the slot to test in its low 13 bits and the distance to the left child
 * above. Slots are the row twice over, so that no test for missing is needed: 2f is feature f with
 * a missing value as +inf (goes right), 2f + 1 with a missing value as -inf (goes left), and the
 * last slot is NaN. A leaf tests that last slot, with distance 0: it stays where it is, however
 * often it is stepped.
 */
struct pack_node {
    float value; /* threshold; in a leaf: what it adds */
    uint32_t step;
};
enum {
    PACK_SLOT_BITS = 13,
    PACK_SLOT_MASK = (1 << PACK_SLOT_BITS) - 1,
    PACK_DISTANCE_MAX = (1 << (32 - PACK_SLOT_BITS)) - 1,
    PACK_FEATURES_MAX = (PACK_SLOT_MASK - 1) / 2, /* 2 × 4095 + 1 slots fit 13 bits */
};

/*
 * A node of 16 bytes, in the same order. distance 0: a leaf.
 * value: the threshold; of WIDE_SET the set's first word in BLOB_SETS; in a leaf what it adds, or
 * its row of BLOB_VECTORS, or of WIDE_LINEAR_LEAF its first entry of BLOB_TERMS. Places are whole
 * numbers, exact in a double.
 */
struct wide_node {
    double value;
    uint32_t distance; /* to the left child; the right one is next to it */
    uint16_t feature;
    uint16_t test; /* enum wide_test */
};
enum wide_test { /* the bits of enum neutral_node_flags */
                 WIDE_DEFAULT_LEFT = NEUTRAL_DEFAULT_LEFT,
                 WIDE_SET = NEUTRAL_CATEGORICAL,
                 WIDE_MEMBERS_LEFT = NEUTRAL_MEMBERS_LEFT,
                 WIDE_NAN_IS_ZERO = NEUTRAL_NAN_IS_ZERO,
                 WIDE_ZERO_IS_MISSING = NEUTRAL_ZERO_IS_MISSING,
                 WIDE_NUMBERS_LEFT = NEUTRAL_NUMBERS_LEFT,
                 WIDE_TESTS = 63,       /* of inner nodes */
                 WIDE_LINEAR_LEAF = 64, /* in a leaf */
};

/*
 * A linear leaf is BLOB_TERM_HEAD entries, the first with the constant and the count of terms, the
 * second with what the leaf adds when a feature of its terms is missing, then the terms.
 */
struct blob_term {
    double number; /* of a term: the coefficient */
    uint32_t feature;
    uint32_t count;
};
enum { BLOB_TERM_HEAD = 2 };

/*
 * A category set: a word with the form, a word with the count, then that many words. A bitset has
 * bit (c % 32) of word c / 32 set for each category c in it; a list has the categories ascending.
 * Whichever is shorter is used.
 */
enum set_form { SET_BITS = 1, SET_LIST = 2 };
enum { SET_HEADER_WORDS = 2 };

struct blob_feature {
    uint32_t name_offset, name_bytes;  /* in BLOB_TEXT */
    uint32_t type;                     /* enum model_feature_type */
    uint32_t allows;                   /* enum blob_allows */
    uint32_t level_first, level_count; /* in BLOB_LEVELS; level i has code i */
};

enum blob_allows { BLOB_ALLOWS_MISSING = 1 << 0, BLOB_ALLOWS_UNKNOWN = 1 << 1 };

struct blob_level {
    uint32_t offset, bytes; /* in BLOB_TEXT */
    uint32_t by_name;       /* entry i: the code of the feature's i-th level in byte order */
};

/* What is computed from a feature, in so many steps one after another. */
struct blob_input {
    uint32_t feature;
    uint32_t step_first, step_count; /* in BLOB_STEPS */
    uint32_t reserved;               /* 0 */
};

struct blob_step {
    uint32_t op;                   /* enum neutral_op */
    uint32_t key_first, key_count; /* in BLOB_NUMBERS; as many values follow the keys */
    uint32_t reserved;             /* 0 */
    double a, b;
};

struct blob_text {
    uint32_t offset, bytes; /* in BLOB_TEXT */
};

struct blob_layer {
    uint32_t inputs, outputs;
    uint32_t activation; /* enum neutral_activation */
    uint32_t first;      /* in BLOB_NUMBERS: outputs × inputs weights, then outputs biases */
};

struct blob_attribute {
    uint32_t feature;              /* an input's number where there are inputs */
    uint32_t bin_first;            /* in BLOB_BINS: cut_count + 2, the last for a missing value */
    uint32_t cut_first, cut_count; /* in BLOB_NUMBERS */
    double reference;
};

struct blob_bin {
    double points;
    uint32_t reason;   /* in BLOB_REASONS, or NEUTRAL_NO_REASON */
    uint32_t reserved; /* 0 */
};

_Static_assert(sizeof(struct blob_input) == 16 && sizeof(struct blob_step) == 32 &&
                   sizeof(struct blob_layer) == 16 && sizeof(struct blob_attribute) == 24 &&
                   sizeof(struct blob_bin) == 16,
               "no hidden padding");
_Static_assert(sizeof(struct blob_header) == 248 + 16 * BLOB_SECTION_COUNT, "no hidden padding");
_Static_assert(sizeof(struct blob_round) == 64, "a cache line");
_Static_assert(sizeof(struct pack_node) == 8 && sizeof(struct wide_node) == 16 &&
                   sizeof(struct blob_term) == 16,
               "no padding");

static inline const struct blob_header *
blob_header(const struct model *model)
{
    return (const struct blob_header *)model->layout;
}

/* Of a blob whose header is good. */
static inline const void *
blob_section_in(const struct blob_header *header, enum blob_section section)
{
    return (const uint8_t *)header + header->sections[section].offset;
}

static inline const void *
blob_section(const struct model *model, enum blob_section section)
{
    return model->blob + blob_header(model)->sections[section].offset;
}

/* What the kernels number: inputs, or without any the features. */
static inline uint32_t
blob_width(const struct blob_header *header)
{
    return header->input_count > 0 ? header->input_count : header->feature_count;
}

/* blob_parts.c: everything beside trees and schema. The counts of a checked model go to the header
 * (false: over 32 bits), its parts to a blob that has room for them; texts are put at text_at of
 * BLOB_TEXT and take blob_parts_text_bytes(). */
AUGURY_MUST_USE bool blob_parts_count(const struct neutral_model *model,
                                      struct blob_header *header);
uint64_t blob_parts_text_bytes(const struct neutral_model *model);
void blob_parts_fill(const struct neutral_model *model, uint8_t *blob, uint32_t text_at);
AUGURY_MUST_USE int blob_parts_check(const struct blob_header *header, struct err *err);

/* What a section must hold by the header's counts. */
uint64_t blob_section_bytes(const struct blob_header *header, enum blob_section section);

/* Where the first section at or after `at` may begin. */
uint64_t blob_section_place(uint64_t at);
/* Writes the checksum of a blob that is otherwise whole. */
void blob_seal(struct blob_header *header);

/* Everything that the header says, in constant time. */
AUGURY_MUST_USE int blob_check_header(struct bytes blob, struct err *err);
/* Of a blob with a good header: the checksum and every index, so that no evaluation can leave
 * the blob. */
AUGURY_MUST_USE int blob_check_all(struct bytes blob, struct err *err);

/* Compiles a checked model. scratch is used and given back. */
AUGURY_MUST_USE int blob_compile(const struct neutral_model *model, struct arena *scratch,
                                 struct buf *out_blob, struct err *err);
