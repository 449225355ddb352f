/* SPDX-License-Identifier: MIT */
/*
 * batch_width.h - what the instruction sets share: widths, each a file of its own.
 */
#pragma once

#include "batch.h"

extern const struct batch_width batch_width_512; /* AVX-512 */
extern const struct batch_width batch_width_256;
extern const struct batch_width batch_width_128;
extern const struct batch_width batch_width_avx2;
extern const struct batch_width batch_width_plain; /* 128 bits of any instruction set */

/* Ranks one value at a time, in plain C. */
bool batch_quantise_plain(const struct batch_view *view, const void *rows, size_t row_count,
                          size_t block_rows, void *room, uint8_t *out_ranks);
