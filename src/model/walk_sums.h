/* SPDX-License-Identifier: MIT */
/*
 * walk_sums.h - what row kernels do once leaves are known, in plain C: a leaf is the place of its
 * exit in BLOB_WALK_RECORDS, in words of four bytes.
 */
#pragma once

#include "walk.h"

/* Adds the leaves of trees [first, first + count) in their order. */
typedef void walk_sum(const struct model *model, const uint8_t *records, const uint32_t *leaves,
                      uint32_t first, uint32_t count, void *margins);

/* So many groups of WALK_LANES trees at a time are best: each output has as many leaves in them. */
enum { WALK_SUM_GROUPS_MAX = 16 };
uint32_t walk_sum_groups(const struct model *model);

/* The one for this model's number, outputs and leaves. */
walk_sum *walk_sum_of(const struct model *model);

/* Before the first leaf, and after the last. */
void walk_sums_begin(const struct model *model, void *out_margins);
void walk_sums_end(const struct model *model, void *margins);
