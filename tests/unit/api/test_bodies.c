/* SPDX-License-Identifier: MIT */
/* test_bodies.c - bodies in other codings and forms: what they mean is what JSON means. */
#include "../../../src/api/api_call.h"
#include "api_case.h"

#define ROW "{\"features\":{\"down\":3,\"ydstogo\":7}}"
#define LITERAL(bytes) bytes_of(bytes, sizeof(bytes) - 1)

/* ROW, by Python's gzip.compress and zlib.compress. */
static const char row_gzip[] =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x4b\x4d\x2c\x29\x2d"
    "\x4a\x2d\x56\xb2\xaa\x56\x4a\xc9\x2f\xcf\x53\xb2\x32\xd6\x51\xaa\x4c\x29"
    "\x2e\xc9\x4f\xcf\x57\xb2\x32\xaf\xad\x05\x00\xe0\x7b\xa1\xf1\x23\x00\x00"
    "\x00";
static const char row_zlib[] =
    "\x78\xda\xab\x56\x4a\x4b\x4d\x2c\x29\x2d\x4a\x2d\x56\xb2\xaa\x56\x4a\xc9"
    "\x2f\xcf\x53\xb2\x32\xd6\x51\xaa\x4c\x29\x2e\xc9\x4f\xcf\x57\xb2\x32\xaf"
    "\xad\x05\x00\xdc\xeb\x0c\x21";
/* 2,000,000 spaces before ROW. */
static const char spaces_zlib[] =
    "\x78\xda\xed\xc1\xbb\x09\x80\x30\x14\x00\xc0\x55\xc2\xab\xed\x2c\x84\x6c"
    "\x23\x18\xed\x0c\xf8\x41\x24\x64\x77\x07\xf1\xee\x52\x02\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\xfe\xa6\xc5\x5a\xe6\xeb\x3e\xca\x19\xb9\xc5"
    "\x52\x9f\x3d\xf2\x38\xc4\xbb\x9c\x57\xdd\x6a\xe4\xa9\xf7\x0f\xe1\xb4\xd5"
    "\x51";

/* numpy.save() of float32: all missing but down and ydstogo, 3 and 7, 1 and 10; the same column by
 * column. */
static const char rows_npy[] =
    "\x93\x4e\x55\x4d\x50\x59\x01\x00\x76\x00\x7b\x27\x64\x65\x73\x63\x72\x27"
    "\x3a\x20\x27\x3c\x66\x34\x27\x2c\x20\x27\x66\x6f\x72\x74\x72\x61\x6e\x5f"
    "\x6f\x72\x64\x65\x72\x27\x3a\x20\x46\x61\x6c\x73\x65\x2c\x20\x27\x73\x68"
    "\x61\x70\x65\x27\x3a\x20\x28\x32\x2c\x20\x31\x31\x29\x2c\x20\x7d\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x0a\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f"
    "\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\x40\x40\x00\x00\xe0\x40\x00\x00"
    "\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f"
    "\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00"
    "\x80\x3f\x00\x00\x20\x41\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f";
static const char columns_npy[] =
    "\x93\x4e\x55\x4d\x50\x59\x01\x00\x76\x00\x7b\x27\x64\x65\x73\x63\x72\x27"
    "\x3a\x20\x27\x3c\x66\x34\x27\x2c\x20\x27\x66\x6f\x72\x74\x72\x61\x6e\x5f"
    "\x6f\x72\x64\x65\x72\x27\x3a\x20\x54\x72\x75\x65\x2c\x20\x27\x73\x68\x61"
    "\x70\x65\x27\x3a\x20\x28\x32\x2c\x20\x31\x31\x29\x2c\x20\x7d\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x0a\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f"
    "\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00"
    "\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\x40\x40"
    "\x00\x00\x80\x3f\x00\x00\xe0\x40\x00\x00\x20\x41\x00\x00\xc0\x7f\x00\x00"
    "\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f\x00\x00\xc0\x7f";
/* The first of these rows alone, as an array of one dimension, big-endian. */
static const char vector_npy[] =
    "\x93\x4e\x55\x4d\x50\x59\x01\x00\x76\x00\x7b\x27\x64\x65\x73\x63\x72\x27"
    "\x3a\x20\x27\x3e\x66\x38\x27\x2c\x20\x27\x66\x6f\x72\x74\x72\x61\x6e\x5f"
    "\x6f\x72\x64\x65\x72\x27\x3a\x20\x46\x61\x6c\x73\x65\x2c\x20\x27\x73\x68"
    "\x61\x70\x65\x27\x3a\x20\x28\x31\x31\x2c\x29\x2c\x20\x7d\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20\x20"
    "\x20\x0a\x7f\xf8\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x00"
    "\x7f\xf8\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x00\x7f\xf8"
    "\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x00\x40\x08\x00\x00"
    "\x00\x00\x00\x00\x40\x1c\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00"
    "\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x00\x7f\xf8\x00\x00\x00\x00\x00\x00";

static struct fake
question(struct bytes text)
{
    return (struct fake){
        .method = HTTP_POST, .path = PREDICT_PATH, .type = "application/json", .body = text};
}

/* The answer to ROW as it is. */
static const char *
plain_answer(void)
{
    static char text[512];

    snprintf(text, sizeof(text), "%s", send_request(question(LITERAL(ROW))).body);
    return text;
}

/* ---- codings --------------------------------------------------------------------------------- */

static void
a_compressed_body_is_the_question_that_it_was_made_of(void)
{
    static const char *const names[] = {"gzip", "X-GZIP", "deflate", "identity"};
    struct bytes bodies[] = {LITERAL(row_gzip), LITERAL(row_gzip), LITERAL(row_zlib), LITERAL(ROW)};

    for (size_t i = 0; i < AUGURY_COUNT(names); i++) {
        struct fake fake = question(bodies[i]);
        fake.encoding = names[i];
        struct reply reply = send_request(fake);
        CHECK_INT(reply.status, 200);
        char got[512];
        snprintf(got, sizeof(got), "%s", reply.body);
        CHECK_TEXT(got, plain_answer());
    }
    CHECK_INT(world_count(&world, STATS_HTTP_BODIES_DECODED), 3);
}

/* The key is of what was decoded: one answer for all ways of sending a question; and the bytes of a
 * compressed form, sent as they are, are another body. */
static void
a_compressed_repeat_is_a_repeat_and_its_bytes_are_another_body(void)
{
    struct fake coded = question(LITERAL(row_gzip));

    world_flush(&world);
    CHECK_INT(send_request(question(LITERAL(ROW))).status, 200);
    world_commit(&world, clock_wall_ms());
    uint64_t before = world_count(&world, STATS_CACHE_HITS_RESPONSE);
    coded.encoding = "gzip";
    CHECK_CONTAINS(send_request(coded).headers, "X-Cache: HIT\r\n");
    CHECK_INT(world_count(&world, STATS_CACHE_HITS_RESPONSE), before + 1);
    coded.encoding = NULL;
    CHECK_INT(send_request(coded).status, 400);
    CHECK_INT(world_count(&world, STATS_CACHE_HITS_RESPONSE), before + 1);
}

static void
what_decodes_to_more_than_a_body_may_have_is_too_large(void)
{
    struct fake fake = question(LITERAL(spaces_zlib));
    uint64_t before = world_count(&world, STATS_HTTP_BODIES_TOO_LARGE);

    fake.encoding = "deflate";
    struct reply reply = send_request(fake);
    CHECK_INT(reply.status, 413);
    CHECK_CONTAINS(reply.body, "\"code\":\"body_too_large\"");
    CHECK_CONTAINS(reply.body, "1048576 bytes");
    CHECK_INT(world_count(&world, STATS_HTTP_BODIES_TOO_LARGE), before + 1);
}

static void
damaged_and_unknown_codings_are_refused(void)
{
    struct fake fake = question(bytes_of(row_gzip, sizeof(row_gzip) - 2));

    fake.encoding = "gzip";
    struct reply reply = send_request(fake);
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "\"code\":\"invalid_encoding\"");
    fake = question(LITERAL(ROW));
    fake.encoding = "br";
    reply = send_request(fake);
    CHECK_INT(reply.status, 415);
    CHECK_CONTAINS(reply.headers, "Accept-Encoding: gzip, deflate\r\n");
    fake.encoding = "gzip, gzip";
    CHECK_INT(send_request(fake).status, 415);
}

/* ---- forms ----------------------------------------------------------------------------------- */

#define TWO_ROWS "{\"rows\":[{\"down\":3,\"ydstogo\":7},{\"down\":1,\"ydstogo\":10}],"
#define TWO_CSV "down,ydstogo\r\n3,7\r\n1,10\r\n"

static struct reply
ask_as(const char *type, const char *accept, const char *query, struct bytes text)
{
    struct fake fake = question(text);

    fake.type = type;
    fake.accept = accept;
    fake.query = query;
    return send_request(fake);
}

/* The answer to TWO_ROWS with that in it. */
static const char *
two_rows_answer(const char *options)
{
    static char text[4096], answer[4096];

    snprintf(text, sizeof(text), TWO_ROWS "%s}", options);
    struct reply reply = send_request(question(bytes_of_text(text)));
    snprintf(answer, sizeof(answer), "%s", reply.body);
    return answer;
}

static void
rows_in_every_form_have_one_answer(void)
{
    const struct {
        const char *type;
        struct bytes text;
    } forms[] = {
        {"text/csv", LITERAL(TWO_CSV)},
        {"text/csv; charset=utf-8", LITERAL("\xef\xbb\xbf\"ydstogo\",down\n7,\"3\"\n10,1")},
        {"text/csv", LITERAL("home,down,ydstogo\n,3,7\nNaN,1,10\n")},
        {"application/x-npy", LITERAL(rows_npy)},
        {"application/x-npy", LITERAL(columns_npy)},
    };
    char want[4096];

    snprintf(want, sizeof(want), "%s", two_rows_answer("\"use_cache\":true"));
    for (size_t i = 0; i < AUGURY_COUNT(forms); i++) {
        struct reply reply = ask_as(forms[i].type, "application/json", NULL, forms[i].text);
        CHECK_INT(reply.status, 200);
        CHECK_TEXT(reply.body, want);
        CHECK_TEXT(reply.type, "application/json");
    }
    struct reply reply = ask_as("application/x-npy", "application/json", NULL, LITERAL(vector_npy));
    char got[4096];
    snprintf(got, sizeof(got), "%s", reply.body);
    CHECK_TEXT(got, plain_answer());
}

/* An answer has the form of its request when nothing else is asked for; the options are in the
 * query, under their names. */
static void
csv_is_answered_with_csv_and_options_are_in_the_query(void)
{
    struct reply reply =
        ask_as("text/csv", "*/*", "outputs=margin%2Cprediction&use_cache=false", LITERAL(TWO_CSV));
    char csv[512], cell[64];

    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.type, "text/csv");
    CHECK_CONTAINS(reply.headers, "X-Cache: BYPASS\r\n");
    snprintf(csv, sizeof(csv), "%s", reply.body);
    CHECK(strncmp(csv, "prediction,margin\r\n", 19) == 0);
    double first = strtod(csv + 19, NULL);
    const char *answer = two_rows_answer("\"outputs\":[\"prediction\",\"margin\"]");
    CHECK(first == strtod(strstr(answer, "{\"prediction\":") + 14, NULL));
    snprintf(cell, sizeof(cell), ",%.9s", strstr(answer, "\"margin\":") + 9);
    CHECK_CONTAINS(csv, cell);
    reply = ask_as("text/csv", NULL, "outputs=nothing", LITERAL(TWO_CSV));
    CHECK_INT(reply.status, 400);
    CHECK_TEXT(reply.type, "application/json");
    CHECK_CONTAINS(reply.body, "no_such_output");
    reply = ask_as("text/csv", NULL, "output=margin", LITERAL(TWO_CSV));
    CHECK_CONTAINS(reply.body, "did you mean \\\"outputs\\\"");
    reply = ask_as("text/csv", NULL, "features=1", LITERAL(TWO_CSV));
    CHECK_CONTAINS(reply.body, "the query has no member \\\"features\\\"; it has outputs");
    reply = ask_as("text/csv", NULL, "level=2", LITERAL(TWO_CSV));
    CHECK_CONTAINS(reply.body, "invalid_level");
    reply = ask_as("text/csv", NULL, "use_cache=maybe", LITERAL(TWO_CSV));
    CHECK_CONTAINS(reply.body, "expected true or false");
}

static void
arrays_are_answered_with_arrays(void)
{
    struct reply reply = ask_as("application/x-npy", NULL, NULL, LITERAL(rows_npy));
    float numbers[4];

    CHECK_INT(reply.status, 200);
    CHECK_TEXT(reply.type, "application/x-npy");
    CHECK_INT(reply.body_len, 128 + 2 * 4);
    CHECK_CONTAINS(reply.body + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }");
    memcpy(numbers, reply.body + 128, 8);
    float first = numbers[0];
    CHECK(first == strtof(strstr(plain_answer(), "\"prediction\":") + 13, NULL));
    reply = ask_as("application/x-npy", NULL, "outputs=prediction,margin", LITERAL(rows_npy));
    CHECK_INT(reply.body_len, 128 + 4 * 4);
    CHECK_CONTAINS(reply.body + 10, "'shape': (2, 2)");
    memcpy(numbers, reply.body + 128, 16);
    CHECK(numbers[0] == first && numbers[1] != first);
    /* Nothing in an array says what a column is: their order is that of the documentation. */
    char told[128 + 4 * 4];
    memcpy(told, reply.body, sizeof(told));
    reply = ask_as("application/x-npy", NULL, "outputs=margin,prediction", LITERAL(rows_npy));
    CHECK_INT(reply.body_len, sizeof(told));
    CHECK(memcmp(reply.body, told, sizeof(told)) == 0);
}

/* Who writes "?outputs=margin" and gets a prediction takes it for a margin. */
static void
a_query_beside_a_document_is_refused(void)
{
    static const char *const queries[] = {"outputs=margin", "nonsense=1", "&&outputs", "a%zz=%"};
    static const char *const names[] = {"outputs", "nonsense", "outputs", "a%zz"};
    const struct bytes packed = LITERAL("\x81\xa8"
                                        "features\x80");

    for (size_t i = 0; i < 2 * AUGURY_COUNT(queries); i++) {
        bool is_json = i % 2 == 0;
        char at[64];
        struct reply reply =
            ask_as(is_json ? "application/json" : "application/msgpack", "application/json",
                   queries[i / 2], is_json ? LITERAL(ROW) : packed);
        CHECK_INT(reply.status, 400);
        CHECK_CONTAINS(reply.body, "\"code\":\"unknown_parameter\"");
        snprintf(at, sizeof(at), "\"at\":\"%s\"", names[i / 2]);
        CHECK_CONTAINS(reply.body, at);
    }
    CHECK_INT(ask_as("application/json", NULL, "", LITERAL(ROW)).status, 200);
    CHECK_INT(ask_as("application/json", NULL, "&", LITERAL(ROW)).status, 200);
    CHECK_INT(ask_as("application/msgpack", NULL, NULL, packed).status, 200);
}

/* RFC 9110 12.5.1: the closest range that means a form has its weight, and 0 is not wanted. */
static void
an_accept_is_weighed_by_its_closest_ranges(void)
{
    static const struct {
        const char *type, *accept, *want;
    } rows[] = {
        {"text/csv", "*/*", "text/csv"},
        {"text/csv", "text/*, application/json;q=0.9", "text/csv"},
        {"text/csv", "application/json, text/csv;q=0.9", "application/json"},
        {"text/csv", "text/csv;q=0, */*", "application/json"},
        {"text/csv", "*/*, text/csv;q=0, application/json;q=0.0", "application/msgpack"},
        {"text/csv", "application/*", "application/json"},
        {"text/csv", "application/*;q=0.2, */*;q=0.1", "application/json"},
        {"text/csv", "application/*;q=0.1, */*;q=0.2", "text/csv"},
        {"text/csv", "Text/CSV;q=0.5, application/x-npy ; q=0.7", "application/x-npy"},
        {"text/csv", "*/*;q=0, text/csv;q=0.001", "text/csv"},
        {"text/csv", "application/msgpack;level=1;q=0.5, text/csv;q=0.4", "application/msgpack"},
        /* Nothing that there is: it is answered all the same. */
        {"text/csv", "text/html", "text/csv"},
        {"text/csv", "*/*;q=0", "text/csv"},
        {"text/csv", ",, ;q=1,application/", "text/csv"},
    };

    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        struct reply reply = ask_as(rows[i].type, rows[i].accept, NULL, LITERAL(TWO_CSV));
        CHECK_INT(reply.status, 200);
        if (strcmp(reply.type, rows[i].want) != 0) {
            TAP_FAIL("%s: %s, not %s", rows[i].accept, reply.type, rows[i].want);
        }
    }
}

/* A repeat is one in each form, and of each form. */
static void
forms_are_cached_apart(void)
{
    static const char *const accepts[] = {"application/json", "application/msgpack", "text/csv",
                                          "application/x-npy", "application/x-ndjson"};

    world_flush(&world);
    for (size_t i = 0; i < 2 * AUGURY_COUNT(accepts); i++) {
        uint64_t before = world_count(&world, STATS_CACHE_HITS_RESPONSE);
        struct reply reply = ask_as("text/csv", accepts[i / 2], NULL, LITERAL(TWO_CSV));
        CHECK_INT(reply.status, 200);
        CHECK_TEXT(reply.type, accepts[i / 2]);
        CHECK_INT(world_count(&world, STATS_CACHE_HITS_RESPONSE) - before, i % 2);
        world_commit(&world, clock_wall_ms());
    }
}

static const struct {
    const char *type, *text, *code, *at;
} wrong[] = {
    {"text/csv", "down,ydstogo\n3,7\n1,ten\n", "invalid_feature", "body:3, column ydstogo"},
    {"text/csv", "down,ydstogo\n3,7\n1\n", "invalid_rows", "body:3"},
    {"text/csv", "down,ydstogo\n3,\"7\n", "invalid_rows", "body:2"},
    {"text/csv", "down,ydstogo\n3,7\"\n", "invalid_rows", "body:2, column 2"},
    {"text/csv", "down,yardstogo\n3,7\n", "unknown_feature", "body:1"},
    {"text/csv", "down,down\n3,7\n", "duplicate_feature", "body:1"},
    {"text/csv", "down,ydstogo\n3,1e99\n", "invalid_feature", "body:2, column ydstogo"},
    {"application/x-npy", "NUMPY", "invalid_rows", "body"},
    {"application/x-npy", "\x93NUMPY\x01", "invalid_rows", "body"},
};

static void
what_is_wrong_is_named_with_line_and_column(void)
{
    for (size_t i = 0; i < AUGURY_COUNT(wrong); i++) {
        char code[64], at[64];
        struct reply reply = ask_as(wrong[i].type, NULL, NULL, bytes_of_text(wrong[i].text));
        CHECK_INT(reply.status, 400);
        CHECK_TEXT(reply.type, "application/json");
        snprintf(code, sizeof(code), "\"code\":\"%s\"", wrong[i].code);
        snprintf(at, sizeof(at), "\"at\":\"%s\"", wrong[i].at);
        CHECK_CONTAINS(reply.body, code);
        CHECK_CONTAINS(reply.body, at);
    }
    struct reply reply =
        ask_as("text/csv", NULL, "ignore_unknown=true", LITERAL("down,x,y\n3,a,b\n"));
    CHECK_INT(reply.status, 200);
    reply = ask_as("application/x-npy", NULL, NULL, bytes_of(rows_npy, sizeof(rows_npy) - 2));
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "\"at\":\"body, row 2\"");
    reply = ask_as("application/x-npy", NULL, NULL, bytes_of(columns_npy, sizeof(columns_npy) - 2));
    CHECK_INT(reply.status, 400);
    CHECK_CONTAINS(reply.body, "more or fewer bytes");
    CHECK_INT(ask_as("text/xml", NULL, NULL, LITERAL("<a/>")).status, 415);
    CHECK_CONTAINS((const char *)headers.data, "application/x-npy");
}

static void
tables_have_as_many_rows_as_questions(void)
{
    static char text[64 * 1024] = "down\n";
    size_t at = 5;
    uint32_t rows_max = world.context.rows_max;

    world.context.rows_max = 1000;
    for (size_t i = 0; i < 1000; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%zu\n", i % 4 + 1);
    }
    CHECK_INT(ask_as("text/csv", NULL, NULL, bytes_of(text, at)).status, 200);
    at += (size_t)snprintf(text + at, sizeof(text) - at, "1\n");
    struct reply reply = ask_as("text/csv", NULL, NULL, bytes_of(text, at));
    CHECK_INT(reply.status, 413);
    CHECK_CONTAINS(reply.body, "too_many_rows");
    world.context.rows_max = 1;
    reply = ask_as("application/x-npy", NULL, NULL, LITERAL(rows_npy));
    CHECK_INT(reply.status, 413);
    CHECK_CONTAINS(reply.body, "too_many_rows");
    world.context.rows_max = rows_max;
}

int
main(void)
{
    set_up();
    TAP_RUN(a_compressed_body_is_the_question_that_it_was_made_of);
    TAP_RUN(a_compressed_repeat_is_a_repeat_and_its_bytes_are_another_body);
    TAP_RUN(what_decodes_to_more_than_a_body_may_have_is_too_large);
    TAP_RUN(damaged_and_unknown_codings_are_refused);
    TAP_RUN(rows_in_every_form_have_one_answer);
    TAP_RUN(csv_is_answered_with_csv_and_options_are_in_the_query);
    TAP_RUN(arrays_are_answered_with_arrays);
    TAP_RUN(a_query_beside_a_document_is_refused);
    TAP_RUN(an_accept_is_weighed_by_its_closest_ranges);
    TAP_RUN(forms_are_cached_apart);
    TAP_RUN(what_is_wrong_is_named_with_line_and_column);
    TAP_RUN(tables_have_as_many_rows_as_questions);
    tear_down();
    return tap_done();
}
