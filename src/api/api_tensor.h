/* SPDX-License-Identifier: MIT */
/*
 * api_tensor.h - tensors as the Open Inference Protocol (v2) writes them in requests and answers:
 * named, typed, of a shape, with values in JSON or as raw bytes behind the document. Private to the
 * room. Source: the protocol's inference_rest.md and its binary tensor extension.
 */
#pragma once

#include "api_call.h"

enum tensor_type {
    TENSOR_BOOL,
    TENSOR_UINT8,
    TENSOR_UINT16,
    TENSOR_UINT32,
    TENSOR_UINT64,
    TENSOR_INT8,
    TENSOR_INT16,
    TENSOR_INT32,
    TENSOR_INT64,
    TENSOR_FP16,
    TENSOR_BF16,
    TENSOR_FP32,
    TENSOR_FP64,
    TENSOR_BYTES,
    TENSOR_TYPE_COUNT
};
const char *api_tensor_type_name(enum tensor_type type);
AUGURY_MUST_USE int api_tensor_type_find(struct bytes name, enum tensor_type *out_type);
size_t api_tensor_type_bytes(enum tensor_type type); /* of one element; 0 for TENSOR_BYTES */

enum { TENSOR_DIMS_MAX = 8 };

struct tensor {
    struct bytes name;
    enum tensor_type type;
    uint32_t dims;
    uint64_t shape[TENSOR_DIMS_MAX];
    size_t count;                    /* product of the shape */
    const struct wire_value *values; /* count, row-major, whatever the form they came in */
};

/* Reads element number `number` of a request's "inputs". raw: bytes of binary tensors that are not
 * used yet; what this one takes is cut off its front. The tensor lives in the arena and borrows
 * from the request. err: at "inputs[2].shape". */
AUGURY_MUST_USE int api_tensor_read(const struct wire_value *input, size_t number,
                                    struct bytes *raw, struct arena *arena,
                                    struct tensor *out_tensor, struct err *err);
/* The same of bytes alone: values of type, as many as fill the shape. */
AUGURY_MUST_USE int api_tensor_from_raw(struct bytes raw, struct arena *arena,
                                        struct tensor *tensor, struct err *err);
