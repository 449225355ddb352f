/* SPDX-License-Identifier: MIT */
/*
 * contributions.h - Shapley values of one prediction: how much each feature moved the margin away
 * from the model's average. Path-dependent: the average over a feature that is not known follows
 * the training rows' shares of a node's two sides.
 *
 * Method: a Shapley value is an integral over t in [0, 1]. With every feature known with
 * probability t, the expectation of a tree is a polynomial in t on each path; its derivative by one
 * feature's probability, integrated, is the feature's value. The integrals are taken by
 * Gauss-Legendre quadrature, exact for the model's longest path (contributions_points()). At one t
 * a row goes down both sides of a node with weights that add up to one:
 *   feature met first, row goes left:  left 1 - (1 - q)(1 - t),    right (1 - q)(1 - t)
 *   met again, Q the share of its earlier sides, u = 1 / (Q + (1 - Q) t):
 *                                      left 1 - Q (1 - q)(1 - t) u, right Q (1 - q)(1 - t) u
 *   an earlier test of it failed:      left q,                      right 1 - q
 * where q is the left side's share of the rows. The derivative at the node is the weight of the
 * path so far × Q (1 - q) u² × (left value - right value); with sides exchanged if the row goes
 * right. Sources: Lundberg et al. 2020 (path-dependent values), Yu et al. 2022 (values as
 * polynomials); the quadrature as XGBoost has it since 3.3, with another rule and other weights.
 */
#pragma once

#include "kernel.h"

enum {
    CONTRIBUTIONS_POINTS_MAX = 64, /* exact up to 128 features on one path */
    CONTRIBUTIONS_LANES_MAX = 16
};

/* ---- when a model is compiled ---------------------------------------------------------------- */

/* Points of the quadrature: half of the most distinct features on one path, rounded up to a count
 * that kernels are compiled for. 0: a tree does not say how many rows its nodes saw, or has linear
 * leaves. < 0: no memory. scratch is used and given back. */
int32_t contributions_points(const struct neutral_model *model, struct arena *scratch);

/* The quadrature's points, ascending, then their weights; and each output's average before its
 * first tree. */
void contributions_begin(const struct neutral_model *model, uint32_t point_count,
                         double *out_points, double *out_biases);

/* Where a tree's part of the sections goes. */
struct contributions_sheet {
    const struct neutral_model *model;
    void *shares;   /* of the tree's first inner node */
    double *biases; /* output_count: the tree's average is added */
    double *reach;  /* scratch: as many as the tree has nodes */
};
/* order: the tree's reachable nodes, breadth first. */
void contributions_fill(const struct contributions_sheet *sheet, const struct neutral_tree *tree,
                        const uint32_t *order, uint32_t count);

/* ---- when rows are explained ----------------------------------------------------------------- */

/* Explains up to `lanes` rows at once: a row is a lane of the processor's vectors. */
struct contributions_ops {
    unsigned needs; /* enum kernel_cpu */
    size_t lanes;
    size_t (*scratch_bytes)(const struct model *model);
    void (*block)(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  void *out);
};

extern const struct contributions_ops contributions_portable_f32;
extern const struct contributions_ops contributions_portable_f64;
extern const struct contributions_ops contributions_avx2_f32;
extern const struct contributions_ops contributions_avx2_f64;
extern const struct contributions_ops contributions_avx512_f32;
extern const struct contributions_ops contributions_avx512_f64;

/* contributions_list_*.c, one of them a processor family: those built for it in one precision, few
 * lanes first, NULL at the end. */
extern const struct contributions_ops *const contributions_list_f32[];
extern const struct contributions_ops *const contributions_list_f64[];
