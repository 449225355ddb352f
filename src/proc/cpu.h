/* SPDX-License-Identifier: MIT */
/* cpu.h - what this process may use of the CPUs. Private to proc. */
#pragma once

#include "cgroup.h"

/* Thousandths of a CPU, at least 1: a quota need not be a whole number of them. */
uint64_t cpu_millis(const struct cgroup_roots *roots);
