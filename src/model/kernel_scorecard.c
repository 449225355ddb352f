/* SPDX-License-Identifier: MIT */
/*
 * kernel_scorecard.c - points: base points, then those of each attribute's bin, added in order, and
 * the reasons why there are not more of them.
 */
#include "kernel.h"

#include <math.h>

/* Bin i holds cuts[i - 1] <= x < cuts[i]; the one after the last is for a missing value. */
static uint32_t
bin_of(const double *cuts, uint32_t cut_count, double x)
{
    uint32_t low = 0;
    uint32_t count = cut_count;

    if (isnan(x)) {
        return cut_count + 1;
    }
    while (count > 0) {
        uint32_t half = count / 2;
        if (cuts[low + half] <= x) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

/* What one evaluation reads of the blob. */
struct card {
    const struct blob_attribute *attributes;
    const struct blob_bin *bins;
    const double *numbers;
    uint32_t count;
};

static struct card
card_of(const struct model *model)
{
    return (struct card){
        .attributes = blob_section(model, BLOB_ATTRIBUTES),
        .bins = blob_section(model, BLOB_BINS),
        .numbers = blob_section(model, BLOB_NUMBERS),
        .count = blob_header(model)->attribute_count,
    };
}

static const struct blob_bin *
card_bin(const struct card *card, uint32_t number, const double *row)
{
    const struct blob_attribute *attribute = &card->attributes[number];
    uint32_t bin =
        bin_of(card->numbers + attribute->cut_first, attribute->cut_count, row[attribute->feature]);

    return card->bins + attribute->bin_first + bin;
}

static size_t
scorecard_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)model, (void)row_count;
    return 0;
}

static void
scorecard_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  void *out_margins)
{
    const struct card card = card_of(model);
    const double *base = blob_section(model, BLOB_BASE_MARGINS);

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        const double *row = (const double *)rows + r * model->feature_count;
        double points = base[0];
        for (uint32_t i = 0; i < card.count; i++) {
            points += card_bin(&card, i, row)->points;
        }
        ((double *)out_margins)[r] = points;
    }
}

static void
scorecard_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
                 uint32_t *out_leaves)
{
    (void)model, (void)rows, (void)row_count, (void)scratch, (void)out_leaves;
}

static bool
scorecard_can_run(const struct model *model)
{
    return blob_header(model)->kernel == BLOB_SCORECARD;
}

const struct kernel_ops kernel_scorecard = {
    .name = "scorecard",
    .rows_min = 1,
    .can_run = scorecard_can_run,
    .scratch_bytes = scorecard_scratch_bytes,
    .margins = scorecard_margins,
    .leaves = scorecard_leaves,
};

/* ---- contributions ------------------------------------------------------------------------- */

/* Points over the reference; the bias is what a row of references would get. */
void
kernel_scorecard_contributions(const struct model *model, const double *row, double *out)
{
    const struct card card = card_of(model);

    memset(out, 0, (model->feature_count + 1) * sizeof(*out));
    out[model->feature_count] = *(const double *)blob_section(model, BLOB_BASE_MARGINS);
    for (uint32_t i = 0; i < card.count; i++) {
        const struct blob_attribute *attribute = &card.attributes[i];
        out[attribute->feature] += card_bin(&card, i, row)->points - attribute->reference;
        out[model->feature_count] += attribute->reference;
    }
}

/* ---- reasons ------------------------------------------------------------------------------- */

/* Puts a reason among those kept, largest loss first; what was there first stays before its
 * equals, and of one code the largest loss is kept. */
static size_t
keep_reason(struct model_reason *kept, size_t count, size_t max, struct model_reason reason)
{
    size_t at = count;

    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(kept[i].code, reason.code)) {
            if (kept[i].points_lost >= reason.points_lost) {
                return count;
            }
            memmove(&kept[i], &kept[i + 1], (count - i - 1) * sizeof(*kept));
            at = --count;
            break;
        }
    }
    while (at > 0 && kept[at - 1].points_lost < reason.points_lost) {
        at--;
    }
    if (at == max) {
        return count;
    }
    size_t end = count == max ? max - 1 : count;
    memmove(&kept[at + 1], &kept[at], (end - at) * sizeof(*kept));
    kept[at] = reason;
    return end + 1;
}

size_t
kernel_scorecard_reasons(const struct model *model, const double *row, size_t max,
                         struct model_reason *out_reasons)
{
    const struct card card = card_of(model);
    const struct blob_text *codes = blob_section(model, BLOB_REASONS);
    const uint8_t *text = blob_section(model, BLOB_TEXT);
    size_t count = 0;

    for (uint32_t i = 0; i < card.count && max > 0; i++) {
        const struct blob_bin *bin = card_bin(&card, i, row);
        double lost = card.attributes[i].reference - bin->points;
        if (bin->reason == NEUTRAL_NO_REASON || !(lost > 0.0)) {
            continue;
        }
        const struct blob_text *code = &codes[bin->reason];
        const struct model_reason reason = {
            .code = bytes_of(text + code->offset, code->bytes),
            .points_lost = lost,
            .feature = card.attributes[i].feature,
        };
        count = keep_reason(out_reasons, count, max, reason);
    }
    return count;
}
