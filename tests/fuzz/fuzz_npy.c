/* SPDX-License-Identifier: MIT */
/*
 * fuzz_npy.c - arrays of numpy's in memory, as requests bring them; the first byte chooses whether
 * a vector is a row, and how many cells a row may have. Properties: it ends; what is read to its
 * end has as many bytes as its shape tells, which is never more than there are; a refusal names the
 * array, and a row that the shape has; rows that were cut into blocks are the same rows, whichever
 * way the array lies.
 */
#include "../unit/wire/rows_text_of.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_number(const struct wire_value *value)
{
    return value->type == WIRE_REAL || value->type == WIRE_INT || value->type == WIRE_UINT ||
           value->type == WIRE_BOOL;
}

static void
check_refusal(const struct rows_reader *reader, const struct err *err)
{
    AUGURY_ASSERT(err->rc == AUGURY_ERR_INVALID && err->reason[0] != '\0');
    AUGURY_ASSERT(strncmp(err->at, "mem", 3) == 0);
    if (reader != NULL && err->at[3] != '\0') {
        uint64_t row = strtoull(err->at + strlen("mem, row "), NULL, 10);
        AUGURY_ASSERT(row >= 1 && row <= rows_count_max(reader));
    }
}

/* How many cells there are; each is a number. */
static void
read_all(const struct rows_options *options, size_t size)
{
    const struct rows_cell *cells = NULL;
    struct rows_reader *reader = NULL;
    struct err err = {0};
    uint64_t rows = 0, all = 0;
    size_t count = 0;
    int rc = rows_open("mem", options, &reader, &err);

    while (rc == 0) {
        rc = rows_next(reader, &cells, &count, &err);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            AUGURY_ASSERT(cells[i].column == i && is_number(&cells[i].value));
        }
        rows += rc == 0 ? 1 : 0;
        all += rc == 0 ? count : 0;
    }
    if (rc == AUGURY_END) {
        AUGURY_ASSERT(rows == rows_count_max(reader));
    } else {
        check_refusal(reader, &err);
    }
    AUGURY_ASSERT(all <= size);
    AUGURY_ASSERT(options->cells_max == 0 || all <= rows * options->cells_max);
    rows_close(&reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, blocks;
    struct err err = {0}, block_err = {0};

    if (size < 2) {
        return 0;
    }
    struct bytes content = bytes_of(data + 1, size - 1);
    struct rows_options options = {.format = ROWS_NPY,
                                   .is_vector_row = (data[0] & 1) != 0,
                                   .cells_max = data[0] >> 2,
                                   .content = content};
    read_all(&options, size);
    buf_init(&whole, 64 << 20);
    buf_init(&blocks, 64 << 20);
    int rc = rows_text_of(content, &options, &whole, &err);
    int block_rc = rows_text_of_blocks(content, &options, 40, &blocks, &block_err);
    AUGURY_ASSERT(rc == block_rc && strcmp(err.at, block_err.at) == 0);
    AUGURY_ASSERT(bytes_equal(buf_view(&whole), buf_view(&blocks)));
    buf_fini(&blocks);
    buf_fini(&whole);
    return 0;
}
