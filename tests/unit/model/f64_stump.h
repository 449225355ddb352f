/* SPDX-License-Identifier: MIT */
/*
 * f64_stump.h - a compiled model of float64 for tests of this room and those above it: one stump
 * over two features, with numbers that no float32 holds.
 */
#pragma once

#include "augury/model.h"

/* x < 0.1 ? 1/3 : 1e300, missing as the first; feature n is a whole number that nothing reads. */
#define F64_STUMP_BASE 0.2
#define F64_STUMP_THRESHOLD 0.1
#define F64_STUMP_LEFT (1.0 / 3.0)
#define F64_STUMP_RIGHT 1e300

AUGURY_MUST_USE int f64_stump_compile(struct buf *out_blob, struct err *err);
