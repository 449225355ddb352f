/* SPDX-License-Identifier: MIT */
/*
 * seal.h - cryptographic digests and random bytes.
 * Room: seal (floor 1, uses base). Library: libcrypto, here only. Process: any.
 */
#pragma once

#include <stdio.h>

#include "augury/base.h"

enum { SEAL_SHA256_BYTES = 32, SEAL_SHA256_HEX_BYTES = 64 };

AUGURY_MUST_USE int seal_sha256(struct bytes data, uint8_t *out_digest);
/* Of everything from the file's position to its end. */
AUGURY_MUST_USE int seal_sha256_file(FILE *file, uint8_t *out_digest);
/* From the system's generator; AUGURY_ERR_IO when it has none to give. */
AUGURY_MUST_USE int seal_random(uint8_t *out_data, size_t len);
/* Same contents, in time that depends on len alone. */
bool seal_equal(const uint8_t *a, const uint8_t *b, size_t len);
