/* SPDX-License-Identifier: MIT */
/*
 * rank_check.c - may the quantisers trust these columns? Thresholds stand one column after the
 * other without gap, each pivot is the threshold that it repeats, and every row of a table is
 * inside its section. Order inside a column is not checked: it decides what comes out, not what is
 * read.
 */
#include "rank.h"

#include <math.h>

struct rank_pass {
    const struct blob_header *header;
    const struct rank_column *columns;
    uint64_t threshold_at;
    uint64_t set_at;
};

static double
threshold_at(const struct blob_header *header, uint64_t i)
{
    const void *numbers = blob_section_in(header, BLOB_RANK_THRESHOLDS);

    return header->number == MODEL_FLOAT32 ? (double)((const float *)numbers)[i]
                                           : ((const double *)numbers)[i];
}

static bool
same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool
rule_is_known(unsigned rule)
{
    return rule == 0 || rule == NEUTRAL_NAN_IS_ZERO || rule == NEUTRAL_ZERO_IS_MISSING;
}

/* count <= 254 and NaN after the last threshold: at most count of them are <= x, and at most
 * count / 16 pivots, so that the segment is there and the rank is not RANK_MISSING. */
static bool
check_number(struct rank_pass *pass, uint32_t number)
{
    const struct rank_column *column = &pass->columns[number];
    uint64_t slots = ((uint64_t)column->count / RANK_SEGMENT + 1) * RANK_SEGMENT;

    if (column->count > RANK_THRESHOLDS_MAX || column->width != 1 ||
        column->first != pass->threshold_at ||
        slots > pass->header->rank_threshold_count - pass->threshold_at) {
        return false;
    }
    for (uint64_t i = 0; i < slots; i++) {
        if (isnan(threshold_at(pass->header, column->first + i)) != (i >= column->count)) {
            return false;
        }
    }
    for (uint64_t i = 0; i < RANK_SEGMENT; i++) {
        uint64_t at = i * RANK_SEGMENT + RANK_SEGMENT - 1;
        double pivot = threshold_at(pass->header, (uint64_t)number * RANK_SEGMENT + i);
        double want =
            at < column->count ? threshold_at(pass->header, column->first + at) : (double)NAN;
        if (!same_number(pivot, want)) {
            return false;
        }
    }
    pass->threshold_at += slots;
    return true;
}

static bool
check_group(struct rank_pass *pass, uint32_t number)
{
    const struct rank_column *column = &pass->columns[number];
    uint64_t bytes = ((uint64_t)column->count + 1) * column->width;
    const uint8_t *tables = blob_section_in(pass->header, BLOB_RANK_SETS);

    if (column->width == 0 || column->width > pass->header->rank_column_count - number ||
        column->first != pass->set_at || column->count > NEUTRAL_CATEGORY_MAX + 1 ||
        bytes > pass->header->rank_set_bytes - pass->set_at) {
        return false;
    }
    for (uint32_t k = 1; k < column->width; k++) {
        if (memcmp(column, column + k, sizeof(*column)) != 0) {
            return false;
        }
    }
    for (uint64_t i = 0; i < bytes; i++) {
        if (tables[column->first + i] > 1) {
            return false;
        }
    }
    pass->set_at += bytes;
    return true;
}

int
rank_check(const struct blob_header *header, struct err *err)
{
    struct rank_pass pass = {
        .header = header,
        .columns = blob_section_in(header, BLOB_RANK_COLUMNS),
        .threshold_at = (uint64_t)header->rank_number_columns * RANK_SEGMENT,
    };
    bool is_good = header->rank_number_columns <= header->rank_column_count &&
                   header->rank_column_count <= RANK_COLUMNS_MAX &&
                   pass.threshold_at <= header->rank_threshold_count;

    for (uint32_t c = 0; is_good && c < header->rank_column_count;) {
        const struct rank_column *column = &pass.columns[c];
        bool is_number = c < header->rank_number_columns;
        unsigned side = is_number ? 0 : NEUTRAL_MEMBERS_LEFT;
        is_good = column->feature < blob_width(header) && rule_is_known(column->rule & ~side) &&
                  column->kind == (is_number ? RANK_NUMBER : RANK_SET) &&
                  (is_number ? check_number(&pass, c) : check_group(&pass, c));
        c += is_good ? column->width : 0;
    }
    return is_good && pass.threshold_at == header->rank_threshold_count &&
                   pass.set_at == header->rank_set_bytes
               ? 0
               : err_set(err, AUGURY_ERR_CORRUPT, "corrupt_model",
                         "the columns of ranks do not describe their thresholds and sets");
}
