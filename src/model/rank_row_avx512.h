/* SPDX-License-Identifier: MIT */
/*
 * rank_row_avx512.h - one row as ranks with 512-bit vectors: sixteen thresholds at a time.
 */
#pragma once

#include "rank.h"

/* As rank_row(). Only where the processor has AVX-512. */
bool rank_row_avx512(const struct model *model, const void *row, uint8_t *out_ranks);
