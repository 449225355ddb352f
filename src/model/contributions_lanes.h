/* SPDX-License-Identifier: MIT */
/*
 * contributions_lanes.h - the evaluation of contributions, written once for vectors of any length:
 * a file that includes it has defined LANES_BYTES and LANES_OF_DOUBLE and names a struct
 * contributions_ops; the compiler's flags for that file say which instructions there are.
 *
 * A tree is walked depth first, every node once, for LANE_COUNT rows together; contributions.h has
 * the formulas. On the way down a node gets the weight of its path at each point, on the way up it
 * gives its value at each point. The path stands on a stack in the scratch: depth is bounded by
 * MODEL_TREE_DEPTH_MAX and nothing recurses. A node whose sides are both leaves, which is every
 * other one, never goes on the stack.
 * A row's lane does the same operations whatever the length of the vectors and whoever stands in
 * the other lanes; no sum goes across lanes, and the flags keep products from being fused.
 * The shape (struct shape) is a constant of most callers, so that what is an array here lives in
 * registers there.
 */
#pragma once

#include "contributions.h"
#include "wide_node.h"

#include <math.h>
#include <string.h>

/* Inlined without asking: what a shape says must reach every line as a constant. */
#define LANES_INLINE static inline __attribute__((always_inline))

#if LANES_OF_DOUBLE
typedef double number;
typedef int64_t number_bits;
#else
typedef float number;
typedef int32_t number_bits;
#endif
typedef number lanes __attribute__((vector_size(LANES_BYTES)));
typedef number_bits lane_mask __attribute__((vector_size(LANES_BYTES))); /* all bits or none */

enum { LANE_COUNT = LANES_BYTES / sizeof(number) };

/* A node on the path, its test answered for each row. */
struct frame {
    lane_mask right;      /* rows that go right */
    lane_mask live;       /* rows that pass every earlier test of this feature on the path */
    lanes gain;           /* Q (1 - q) of rows that go left, -Q q of others; 0 where not live */
    lanes start;          /* the left side's weight is start - gain × slope */
    const number *slopes; /* (1 - t) u of each point, then u² of each */
    number rest;          /* Q: the product of the shares of the feature's earlier sides */
    number share;         /* q */
    uint32_t child;       /* the left one */
    uint32_t above;       /* frame of the last test of this feature, counted from 1; 0: none */
    uint32_t feature;
    bool is_right; /* the right side is being walked */
};

struct tree_place {
    uint32_t root;
    uint32_t inner; /* inner nodes of the trees before */
};

/* What differs between models: constants where a walk is compiled for them. */
struct shape {
    uint32_t points;
    bool is_packed; /* nodes of 8 bytes */
};

/* One call's working memory and what it reads of the blob. */
struct run {
    const struct model *model;
    const struct blob_round *rounds;
    const void *nodes;
    const number *shares;
    const uint32_t *sets;
    const double *vectors;
    const struct blob_input *inputs; /* NULL: nodes test features */
    uint32_t leaf_width;
    uint32_t output; /* of vectors: which value */
    lanes *cells;    /* by input: the rows, transposed */
    lanes *sums;     /* outputs of a pass × feature: contributions so far */
    lanes *sum;      /* of the output at hand */
    double *row;     /* the inputs of one row */
    uint32_t *last;  /* by feature: frame of its last test on the path, counted from 1 */
    struct frame *frames;
    lanes *frame_lanes;    /* of each frame: weights, then the left side's values */
    number *frame_numbers; /* of each frame: slopes and squares of a feature met again */
    number *points;        /* t, its weights, 1 - t, ones */
};

/* ---- lanes ----------------------------------------------------------------------------------- */

static inline lanes
lanes_of(number x)
{
    return x - (lanes){0}; /* not +: 0 + -0 is 0 */
}

static inline lanes
lanes_pick(lane_mask mask, lanes yes, lanes no)
{
    return (lanes)(((lane_mask)yes & mask) | ((lane_mask)no & ~mask));
}

static inline lane_mask
mask_all(bool is_set)
{
    return (lane_mask){0} - (number_bits)is_set;
}

/* ---- one node -------------------------------------------------------------------------------- */

static inline const struct pack_node *
pack_at(const struct run *run, uint32_t index)
{
    return (const struct pack_node *)run->nodes + index;
}

static inline const struct wide_node *
wide_at(const struct run *run, uint32_t index)
{
    return (const struct wide_node *)run->nodes + index;
}

LANES_INLINE uint32_t
distance_of(const struct run *run, struct shape shape, uint32_t index)
{
    return shape.is_packed ? pack_at(run, index)->step >> PACK_SLOT_BITS
                           : wide_at(run, index)->distance;
}

LANES_INLINE uint32_t
input_of(const struct run *run, struct shape shape, uint32_t index)
{
    return shape.is_packed ? (pack_at(run, index)->step & PACK_SLOT_MASK) / 2
                           : wide_at(run, index)->feature;
}

LANES_INLINE lanes
leaf_of(const struct run *run, struct shape shape, uint32_t index)
{
    if (shape.is_packed) {
        return lanes_of((number)pack_at(run, index)->value);
    }
    double value = wide_at(run, index)->value;
    return lanes_of((number)(run->leaf_width == 1
                                 ? value
                                 : run->vectors[(size_t)value * run->leaf_width + run->output]));
}

/* Every number is at least -inf; NaN is not. */
static inline lane_mask
lanes_missing(lanes cell)
{
    return ~(cell >= lanes_of(-(number)INFINITY));
}

static inline lane_mask
pack_right(const struct pack_node *node, lanes cell)
{
    /* The slot's low bit: a missing value goes left. */
    lane_mask missing = lanes_missing(cell) & mask_all((node->step & 1) == 0);

    return missing | (cell >= lanes_of((number)node->value));
}

/* Sets are looked up value by value, not compared. */
static lane_mask
set_right(const struct run *run, const struct wide_node *node, const lanes *cell)
{
    number values[LANE_COUNT];
    lanes sides;

    memcpy(values, cell, sizeof(values));
    for (size_t i = 0; i < LANE_COUNT; i++) {
        values[i] = wide_goes_right(node, run->sets, (double)values[i]) ? (number)1 : (number)0;
    }
    memcpy(&sides, values, sizeof(sides));
    return sides == lanes_of(1);
}

/* wide_goes_right() for numbers. */
static inline lane_mask
wide_right(const struct wide_node *node, lanes cell)
{
    unsigned test = node->test;
    lane_mask missing = lanes_missing(cell);

    if ((test & WIDE_NAN_IS_ZERO) != 0) {
        cell = lanes_pick(missing, lanes_of(0), cell);
        missing = mask_all(false);
    }
    if ((test & WIDE_ZERO_IS_MISSING) != 0) {
        lanes zero = lanes_of((number)NEUTRAL_ZERO);
        missing |= (cell <= zero) & (cell >= -zero);
    }
    lane_mask right =
        (cell >= lanes_of((number)node->value)) & mask_all((test & WIDE_NUMBERS_LEFT) == 0);
    return (test & WIDE_DEFAULT_LEFT) != 0 ? right & ~missing : right | missing;
}

LANES_INLINE lane_mask
right_of(const struct run *run, struct shape shape, uint32_t index, const lanes *cell)
{
    if (shape.is_packed) {
        return pack_right(pack_at(run, index), *cell);
    }
    const struct wide_node *node = wide_at(run, index);
    return (node->test & WIDE_SET) != 0 ? set_right(run, node, cell) : wide_right(node, *cell);
}

/* ---- the path -------------------------------------------------------------------------------- */

/* The feature was tested above: who is still live, and the factors with its share so far. */
LANES_INLINE void
frame_again(const struct run *run, struct shape shape, uint32_t depth, struct frame *frame)
{
    const struct frame *above = &run->frames[frame->above - 1];
    number *slopes = run->frame_numbers + (size_t)depth * 2 * shape.points;

    frame->live = above->live & (above->is_right ? above->right : ~above->right);
    frame->rest = above->rest * (above->is_right ? 1 - above->share : above->share);
    for (uint32_t i = 0; i < shape.points; i++) {
        number t = run->points[i];
        number u = 1 / (frame->rest + (1 - frame->rest) * t);
        slopes[i] = (1 - t) * u;
        slopes[shape.points + i] = u * u;
    }
    frame->slopes = slopes;
}

/* An inner node of the tree whose first inner node has number tree_inner. */
LANES_INLINE void
frame_init(const struct run *run, struct shape shape, const struct tree_place *tree, uint32_t index,
           uint32_t depth, struct frame *frame)
{
    uint32_t input = input_of(run, shape, index);
    /* All inputs made of one feature become known together: they are one feature's tests. */
    uint32_t feature = run->inputs == NULL ? input : run->inputs[input].feature;

    frame->right = right_of(run, shape, index, &run->cells[input]);
    frame->live = mask_all(true);
    frame->slopes = run->points + (size_t)2 * shape.points;
    frame->rest = 1;
    frame->child = index + distance_of(run, shape, index);
    frame->above = run->last[feature];
    frame->feature = feature;
    frame->is_right = false;
    /* The k-th inner node's left child stands 1 + 2k after the root. */
    frame->share = run->shares[tree->inner + (frame->child - tree->root - 1) / 2];
    if (frame->above != 0) {
        frame_again(run, shape, depth, frame);
    }
    frame->gain = lanes_pick(frame->right, lanes_of(-frame->rest * frame->share),
                             lanes_of(frame->rest * (1 - frame->share)));
    frame->gain = lanes_pick(frame->live, frame->gain, lanes_of(0));
    frame->start = lanes_pick(frame->right, lanes_of(0), lanes_of(1));
    frame->start = lanes_pick(frame->live, frame->start, lanes_of(frame->share));
}

LANES_INLINE lanes
left_weight(const struct frame *frame, uint32_t point)
{
    return frame->start - frame->gain * lanes_of(frame->slopes[point]);
}

/* Both sides' values are there (values: the right side's): the feature's contribution, and the
 * node's own values. */
LANES_INLINE void
frame_close(const struct run *run, struct shape shape, const struct frame *frame,
            const lanes *weights, const lanes *lefts, lanes *values)
{
    lanes moved = lanes_of(0);

    for (uint32_t i = 0; i < shape.points; i++) {
        lanes gap = lefts[i] - values[i];
        lanes square = lanes_of(frame->slopes[shape.points + i]);
        moved += weights[i] * square * gap;
        values[i] += gap * left_weight(frame, i);
    }
    run->sum[frame->feature] += moved * frame->gain;
}

/* The weights of a side: those of the node, shared out. */
LANES_INLINE void
side_weights(struct shape shape, const struct frame *frame, const lanes *node_weights,
             lanes *out_weights)
{
    for (uint32_t i = 0; i < shape.points; i++) {
        lanes left = node_weights[i] * left_weight(frame, i);
        out_weights[i] = frame->is_right ? node_weights[i] - left : left;
    }
}

/* ---- a tree ---------------------------------------------------------------------------------- */

LANES_INLINE lanes *
frame_lanes_of(const struct run *run, struct shape shape, uint32_t depth)
{
    return run->frame_lanes + (size_t)depth * 2 * shape.points;
}

LANES_INLINE void
lanes_fill(lanes *out, uint32_t count, lanes value)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = value;
    }
}

LANES_INLINE void
lanes_copy(lanes *out, const lanes *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = from[i];
    }
}

/* From a side whose values are known up to the next side to walk: its first node, or 0 when the
 * tree is done. */
LANES_INLINE uint32_t
tree_climb(const struct run *run, struct shape shape, uint32_t *depth, lanes *values,
           lanes *out_weights)
{
    while (*depth > 0) {
        struct frame *frame = &run->frames[*depth - 1];
        lanes *weights = frame_lanes_of(run, shape, *depth - 1);
        if (!frame->is_right) {
            lanes_copy(weights + shape.points, values, shape.points);
            frame->is_right = true;
            if (distance_of(run, shape, frame->child + 1) != 0) {
                side_weights(shape, frame, weights, out_weights);
                return frame->child + 1;
            }
            lanes_fill(values, shape.points, leaf_of(run, shape, frame->child + 1));
        }
        frame_close(run, shape, frame, weights, weights + shape.points, values);
        run->last[frame->feature] = frame->above;
        *depth -= 1;
    }
    return 0;
}

/* A tree whose root is an inner node. */
LANES_INLINE void
tree_walk(const struct run *run, struct shape shape, struct tree_place tree)
{
    lanes weights[CONTRIBUTIONS_POINTS_MAX];
    lanes values[CONTRIBUTIONS_POINTS_MAX];
    lanes lefts[CONTRIBUTIONS_POINTS_MAX];
    uint32_t depth = 0;
    uint32_t index = tree.root;

    for (uint32_t i = 0; i < shape.points; i++) {
        weights[i] = lanes_of(run->points[shape.points + i]);
    }
    do {
        struct frame frame;
        frame_init(run, shape, &tree, index, depth, &frame);
        bool has_left = distance_of(run, shape, frame.child) != 0;
        if (!has_left && distance_of(run, shape, frame.child + 1) == 0) {
            lanes_fill(lefts, shape.points, leaf_of(run, shape, frame.child));
            lanes_fill(values, shape.points, leaf_of(run, shape, frame.child + 1));
            frame_close(run, shape, &frame, weights, lefts, values);
        } else {
            run->frames[depth] = frame;
            lanes_copy(frame_lanes_of(run, shape, depth), weights, shape.points);
            run->last[frame.feature] = ++depth;
            if (has_left) {
                side_weights(shape, &frame, weights, weights);
                index = frame.child;
                continue;
            }
            lanes_fill(values, shape.points, leaf_of(run, shape, frame.child));
        }
        index = tree_climb(run, shape, &depth, values, weights);
    } while (index != 0);
}

/* ---- all trees, some outputs ----------------------------------------------------------------- */

/* Outputs first to first + count - 1. */
struct output_range {
    uint32_t first;
    uint32_t count;
};

LANES_INLINE void
trees_walk(struct run *run, struct shape shape, struct output_range outputs)
{
    size_t features = run->model->feature_count;

    for (uint32_t t = 0; t < run->model->tree_count; t++) {
        const struct blob_round *round = &run->rounds[t / BLOB_ROUND_TREES];
        struct tree_place tree = {.root = round->root[t % BLOB_ROUND_TREES]};
        uint32_t output = round->output[t % BLOB_ROUND_TREES];
        uint32_t last = run->leaf_width == 1 ? output + 1 : outputs.first + outputs.count;
        tree.inner = (tree.root - t) / 2;
        output = run->leaf_width == 1 ? output : outputs.first;
        if (distance_of(run, shape, tree.root) == 0) {
            continue;
        }
        for (; output < last && output - outputs.first < outputs.count; output++) {
            run->output = output;
            run->sum = run->sums + (output - outputs.first) * features;
            tree_walk(run, shape, tree);
        }
    }
}

/* One copy of the walk for each count of points that contributions_points() rounds up to. */
LANES_INLINE void
trees_walk_points(struct run *run, uint32_t points, bool is_packed, struct output_range outputs)
{
    switch (points) {
    case 3: trees_walk(run, (struct shape){3, is_packed}, outputs); break;
    case 4: trees_walk(run, (struct shape){4, is_packed}, outputs); break;
    case 6: trees_walk(run, (struct shape){6, is_packed}, outputs); break;
    case 8: trees_walk(run, (struct shape){8, is_packed}, outputs); break;
    default: trees_walk(run, (struct shape){points, is_packed}, outputs); break;
    }
}

static void
packed_walk(struct run *run, uint32_t points, struct output_range outputs)
{
    trees_walk_points(run, points, true, outputs);
}

static void
wide_walk(struct run *run, uint32_t points, struct output_range outputs)
{
    trees_walk_points(run, points, false, outputs);
}

/* ---- a block of rows ------------------------------------------------------------------------- */

/* Sums of many outputs at once take memory, one after another time. */
static uint32_t
outputs_a_pass(const struct model *model)
{
    size_t fit = ((size_t)256 << 10) / (model->feature_count * sizeof(lanes));

    return fit == 0 ? 1 : fit < model->output_count ? (uint32_t)fit : model->output_count;
}

/* Takes `bytes` of the scratch; called with base NULL it only counts. */
static void *
scratch_take(uint8_t *base, size_t *used, size_t bytes)
{
    size_t at = *used;

    *used += (bytes + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
    return base == NULL ? NULL : base + at;
}

static size_t
run_place(struct run *run, const struct model *model, void *scratch)
{
    const struct blob_header *header = blob_header(model);
    size_t features = model->feature_count;
    size_t width = blob_width(header);
    size_t frames = (size_t)header->tree_depth + 1;
    size_t points = header->contribution_points;
    size_t used = 0;

    run->cells = scratch_take(scratch, &used, width * sizeof(lanes));
    run->row = scratch_take(scratch, &used, header->input_count * sizeof(double));
    run->sums = scratch_take(scratch, &used, outputs_a_pass(model) * features * sizeof(lanes));
    run->frames = scratch_take(scratch, &used, frames * sizeof(struct frame));
    run->frame_lanes = scratch_take(scratch, &used, frames * 2 * points * sizeof(lanes));
    run->frame_numbers = scratch_take(scratch, &used, frames * 2 * points * sizeof(number));
    run->points = scratch_take(scratch, &used, 4 * points * sizeof(number));
    run->last = scratch_take(scratch, &used, features * sizeof(uint32_t));
    return used;
}

static size_t
lanes_scratch_bytes(const struct model *model)
{
    struct run run;

    return run_place(&run, model, NULL);
}

static void
run_init(struct run *run, const struct model *model, void *scratch)
{
    const double *quadrature = blob_section(model, BLOB_QUADRATURE);
    uint32_t points = blob_header(model)->contribution_points;

    *run = (struct run){
        .model = model,
        .rounds = blob_section(model, BLOB_ROUNDS),
        .nodes = blob_section(model, BLOB_NODES),
        .shares = blob_section(model, BLOB_SHARES),
        .sets = blob_section(model, BLOB_SETS),
        .vectors = blob_section(model, BLOB_VECTORS),
        .leaf_width = blob_header(model)->leaf_width,
    };
    if (blob_header(model)->input_count > 0) {
        run->inputs = blob_section(model, BLOB_INPUTS);
    }
    run_place(run, model, scratch);
    memset(run->last, 0, model->feature_count * sizeof(uint32_t));
    for (uint32_t i = 0; i < points; i++) {
        run->points[i] = (number)quadrature[i];
        run->points[points + i] = (number)quadrature[points + i];
        run->points[2 * points + i] = (number)(1.0 - quadrature[i]);
        run->points[3 * points + i] = 1;
    }
}

/* One row into its lane. */
static void
cells_put(const struct run *run, size_t lane, const number *row)
{
    size_t width = blob_width(blob_header(run->model));
    number *cells = (number *)run->cells + lane;

    if (run->inputs == NULL) {
        for (size_t i = 0; i < width; i++) {
            cells[i * LANE_COUNT] = row[i];
        }
        return;
    }
    kernel_inputs(run->model, (const double *)(const void *)row, 1, run->row);
    for (size_t i = 0; i < width; i++) {
        cells[i * LANE_COUNT] = (number)run->row[i];
    }
}

/* Lanes past the last row repeat the first. */
static void
cells_fill(const struct run *run, const number *rows, size_t row_count)
{
    for (size_t r = 0; r < LANE_COUNT; r++) {
        cells_put(run, r, rows + (r < row_count ? r : 0) * run->model->feature_count);
    }
}

static void
sums_write(const struct run *run, struct output_range outputs, size_t row_count, number *out)
{
    const double *biases = blob_section(run->model, BLOB_BIASES);
    number divisor = (number)blob_header(run->model)->divisor;
    size_t features = run->model->feature_count;
    const number *sums = (const number *)run->sums;

    for (size_t r = 0; r < row_count; r++) {
        for (uint32_t k = 0; k < outputs.count; k++) {
            size_t output = outputs.first + k;
            number *values = out + (r * run->model->output_count + output) * (features + 1);
            for (size_t i = 0; i < features; i++) {
                values[i] = sums[(k * features + i) * LANE_COUNT + r] / divisor;
            }
            values[features] = (number)biases[output];
        }
    }
}

static void
lanes_block(const struct model *model, const void *rows, size_t row_count, void *scratch, void *out)
{
    const struct blob_header *header = blob_header(model);
    uint32_t pass = outputs_a_pass(model);
    bool is_packed = header->kernel == BLOB_PACK8 && sizeof(number) == sizeof(float);
    struct run run;

    run_init(&run, model, scratch);
    cells_fill(&run, rows, row_count);
    for (uint32_t first = 0; first < model->output_count; first += pass) {
        uint32_t left = model->output_count - first;
        struct output_range outputs = {first, left < pass ? left : pass};
        memset(run.sums, 0, outputs.count * model->feature_count * sizeof(lanes));
        if (is_packed) {
            packed_walk(&run, header->contribution_points, outputs);
        } else {
            wide_walk(&run, header->contribution_points, outputs);
        }
        sums_write(&run, outputs, row_count, out);
    }
}
