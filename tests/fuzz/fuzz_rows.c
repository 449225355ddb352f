/* SPDX-License-Identifier: MIT */
/*
 * fuzz_rows.c - files of rows; the first byte chooses format and options. Properties: it ends;
 * cells are readable and their columns ascend; a refusal names the file and a line that exists;
 * rows that were cut into blocks are the same rows, up to the same refusal.
 */
#include "../unit/wire/rows_text_of.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_cells(const struct rows_cell *cells, size_t count)
{
    uint8_t all = 0;

    for (size_t i = 0; i < count; i++) {
        AUGURY_ASSERT(i == 0 || cells[i].column > cells[i - 1].column);
        for (size_t k = 0; k < cells[i].text.len; k++) {
            all |= cells[i].text.data[k];
        }
    }
    /* Reading every byte is the check; this keeps the compiler from leaving it out. */
    __asm__ volatile("" : : "r"(all));
}

static void
read_all(const char *path, const struct rows_options *options, uint64_t lines)
{
    const struct rows_cell *cells = NULL;
    struct rows_reader *reader = NULL;
    struct err err = {0};
    size_t count = 0;

    int rc = rows_open(path, options, &reader, &err);
    while (rc == 0) {
        rc = rows_next(reader, &cells, &count, &err);
        if (rc == 0) {
            check_cells(cells, count);
        }
    }
    if (rc != AUGURY_END) {
        const char *unit = rows_unit(options->format);
        size_t len = strlen(path);
        AUGURY_ASSERT(rc == AUGURY_ERR_INVALID && err.reason[0] != '\0');
        AUGURY_ASSERT(strncmp(err.at, path, len) == 0);
        bool has_line = strncmp(err.at + len, unit, strlen(unit)) == 0;
        AUGURY_ASSERT(has_line || (options->format == ROWS_NPY && err.at[len] == '\0'));
        unsigned long long line = has_line ? strtoull(err.at + len + strlen(unit), NULL, 10) : 1;
        AUGURY_ASSERT(line >= 1 && (unit[0] != ':' || line <= lines + 1));
    }
    rows_close(&reader);
}

/* Without a header each block takes the number of cells from its own first row. */
static void
compare_blocks(struct bytes content, const struct rows_options *options)
{
    struct buf whole, blocks;
    struct err err = {0}, block_err = {0};

    if (!options->has_header && (options->format == ROWS_CSV || options->format == ROWS_TSV)) {
        return;
    }
    buf_init(&whole, 64 << 20);
    buf_init(&blocks, 64 << 20);
    int rc = rows_text_of(content, options, &whole, &err);
    int block_rc = rows_text_of_blocks(content, options, 40, &blocks, &block_err);
    AUGURY_ASSERT(rc == block_rc && strcmp(err.at, block_err.at) == 0);
    AUGURY_ASSERT(bytes_equal(buf_view(&whole), buf_view(&blocks)));
    buf_fini(&blocks);
    buf_fini(&whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[40];
    uint64_t lines = 0;

    if (size < 1) {
        return 0;
    }
    struct rows_options options = {
        .format = (data[0] & 0x80) == 0 ? (enum rows_format)(data[0] % 3)
                  : (data[0] & 1) == 0  ? ROWS_NPY
                                        : ROWS_MSGPACK,
        .has_header = (data[0] >> 2 & 1) != 0,
        .skip_columns = data[0] >> 3 & 3,
        .line_max_bytes = 300,
    };
    FILE *file = tmpfile();
    AUGURY_ASSERT(file != NULL && fwrite(data + 1, 1, size - 1, file) == size - 1);
    AUGURY_ASSERT(fflush(file) == 0);
    for (size_t i = 1; i < size; i++) {
        lines += data[i] == '\n' ? 1 : 0;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
    read_all(path, &options, lines);
    fclose(file);
    compare_blocks(bytes_of(data + 1, size - 1), &options);
    return 0;
}
