/* SPDX-License-Identifier: MIT */
/* fuzz_wire_ubjson.c - UBJSON: what is read, written as JSON and MessagePack, reads as the same
 * tree; refusals have a place. */
#include "wire_round.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    round_trip(WIRE_UBJSON, bytes_of(data, size));
    return 0;
}
