/* SPDX-License-Identifier: MIT */
/* rank_row_avx2.h - one row as ranks with 256-bit vectors. */
#pragma once

#include "rank.h"

/* As rank_row(). Only where the processor has AVX2. */
bool rank_row_avx2(const struct model *model, const void *row, uint8_t *out_ranks);
