/* SPDX-License-Identifier: MIT */
/*
 * supervisor_sizing.h - the cache's quota follows the memory and CPU that are left: once an
 * interval the kernel's figures go through the controller of cache_size.h, and what it decides is
 * applied, logged, counted and kept. Private to app. Process: supervisor.
 */
#pragma once

#include "augury/cache_size.h"
#include "supervisor.h"

struct sizing;

/* Begins at the configured size, or where the supervisor before this one ended. */
AUGURY_MUST_USE int sizing_new(struct supervisor *supervisor, struct sizing **out_sizing,
                               struct err *err);
void sizing_free(struct sizing **sizing);
/* After a reload. A pinned size stays pinned. */
void sizing_follow_conf(struct sizing *sizing);
/* Holds the cache at that size until sizing_release() or a restart. AUGURY_ERR_LIMIT: outside 4 MiB
 * and 70 % of the map. */
AUGURY_MUST_USE int sizing_pin(struct sizing *sizing, uint64_t bytes, struct err *err);
void sizing_release(struct sizing *sizing);
uint64_t sizing_quota(const struct sizing *sizing); /* in force */
