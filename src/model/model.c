/* SPDX-License-Identifier: MIT */
/*
 * model.c - a view over a compiled model: opening, the schema, and which kernel answers.
 * Invariant: everything here reads the blob and nothing else; model->layout is the blob's header.
 */
#include "kernel.h"

#include <string.h>

static struct bytes
text_at(const struct model *model, uint32_t offset, uint32_t bytes)
{
    const uint8_t *text = blob_section(model, BLOB_TEXT);

    return bytes_of(text + offset, bytes);
}

static uint32_t
count_probabilities(const struct blob_header *header)
{
    if (header->link == MODEL_LINK_SOFTPROB || header->link == MODEL_LINK_SOFTMAX) {
        return header->output_count;
    }
    if (header->link == MODEL_LINK_SIGMOID_SHARE) {
        return header->output_count;
    }
    if (header->link == MODEL_LINK_PROBABILITY && header->output_count > 1) {
        return header->output_count;
    }
    return (header->flags & NEUTRAL_BINARY) != 0 ? 2 : 0;
}

int
model_open(struct bytes blob, enum model_blob_check check, struct model *out_model, struct err *err)
{
    int rc = blob_check_header(blob, err);

    if (rc == 0 && check == MODEL_CHECK_ALL) {
        rc = blob_check_all(blob, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct blob_header *header = (const struct blob_header *)blob.data;
    *out_model = (struct model){
        .blob = blob.data,
        .blob_bytes = blob.len,
        .feature_count = header->feature_count,
        .output_count = header->output_count,
        .tree_count = header->tree_count,
        .prediction_count = header->link == MODEL_LINK_SOFTMAX ? 1 : header->output_count,
        .probability_count = count_probabilities(header),
        .number = (enum model_number)header->number,
        .link = (enum model_link)header->link,
        .content = {.lo = header->checksum_lo, .hi = header->checksum_hi},
        .layout = header,
    };
    kernel_choose(out_model);
    return 0;
}

/* ---- schema -------------------------------------------------------------------------------- */

struct model_feature
model_feature(const struct model *model, uint32_t feature)
{
    AUGURY_ASSERT(feature < model->feature_count);
    const struct blob_feature *stored =
        (const struct blob_feature *)blob_section(model, BLOB_FEATURES) + feature;

    return (struct model_feature){
        .name = text_at(model, stored->name_offset, stored->name_bytes),
        .type = (enum model_feature_type)stored->type,
        .is_missing_allowed = (stored->allows & BLOB_ALLOWS_MISSING) != 0,
        .is_unknown_allowed = (stored->allows & BLOB_ALLOWS_UNKNOWN) != 0,
        .level_count = stored->level_count,
    };
}

struct model_feature_kind
model_feature_kind(const struct model *model, uint32_t feature)
{
    AUGURY_ASSERT(feature < model->feature_count);
    const struct blob_feature *stored =
        (const struct blob_feature *)blob_section(model, BLOB_FEATURES) + feature;

    return (struct model_feature_kind){
        .level_count = stored->level_count,
        .type = (uint8_t)stored->type,
        .is_missing_allowed = (stored->allows & BLOB_ALLOWS_MISSING) != 0,
        .is_unknown_allowed = (stored->allows & BLOB_ALLOWS_UNKNOWN) != 0,
    };
}

static bool
feature_has_name(const struct model *model, uint32_t feature, struct bytes name)
{
    const struct blob_feature *stored =
        (const struct blob_feature *)blob_section(model, BLOB_FEATURES) + feature;

    return stored->name_bytes == name.len &&
           bytes_equal(text_at(model, stored->name_offset, stored->name_bytes), name);
}

int32_t
model_feature_find(const struct model *model, struct bytes name, uint32_t hint)
{
    const uint32_t *slots = blob_section(model, BLOB_NAME_SLOTS);
    uint32_t mask = blob_header(model)->name_slot_count - 1;

    if (hint < model->feature_count && feature_has_name(model, hint, name)) {
        return (int32_t)hint;
    }
    for (uint32_t at = (uint32_t)hash64_of(name) & mask; slots[at] != 0; at = (at + 1) & mask) {
        if (feature_has_name(model, slots[at] - 1, name)) {
            return (int32_t)(slots[at] - 1);
        }
    }
    return -1;
}

static const struct blob_level *
levels_of(const struct model *model, uint32_t feature, uint32_t *out_count)
{
    AUGURY_ASSERT(feature < model->feature_count);
    const struct blob_feature *stored =
        (const struct blob_feature *)blob_section(model, BLOB_FEATURES) + feature;

    *out_count = stored->level_count;
    return (const struct blob_level *)blob_section(model, BLOB_LEVELS) + stored->level_first;
}

struct bytes
model_feature_level(const struct model *model, uint32_t feature, uint32_t level)
{
    uint32_t count = 0;
    const struct blob_level *levels = levels_of(model, feature, &count);

    AUGURY_ASSERT(level < count);
    return text_at(model, levels[level].offset, levels[level].bytes);
}

static int
compare_bytes(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int32_t
model_feature_level_find(const struct model *model, uint32_t feature, struct bytes name)
{
    uint32_t high = 0;
    uint32_t low = 0;
    const struct blob_level *levels = levels_of(model, feature, &high);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct blob_level *level = &levels[levels[middle].by_name];
        int order = compare_bytes(text_at(model, level->offset, level->bytes), name);
        if (order == 0) {
            return (int32_t)levels[middle].by_name;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

uint32_t
model_class_count(const struct model *model)
{
    return blob_header(model)->class_count;
}

struct bytes
model_class_name(const struct model *model, uint32_t i)
{
    const struct blob_text *classes = blob_section(model, BLOB_CLASSES);

    if (i >= blob_header(model)->class_count) {
        return bytes_of(NULL, 0);
    }
    return text_at(model, classes[i].offset, classes[i].bytes);
}

const char *
model_kind(const struct model *model)
{
    static const char *const names[] = {
        [NEUTRAL_GBTREE] = "gbtree",       [NEUTRAL_DART] = "dart",
        [NEUTRAL_GBLINEAR] = "gblinear",   [NEUTRAL_FOREST] = "forest",
        [NEUTRAL_LINEAR] = "linear",       [NEUTRAL_MLP] = "mlp",
        [NEUTRAL_SCORECARD] = "scorecard",
    };

    return names[blob_header(model)->kind];
}

struct bytes
model_objective(const struct model *model)
{
    return text_at(model, blob_header(model)->objective_offset,
                   blob_header(model)->objective_bytes);
}

struct bytes
model_source(const struct model *model)
{
    return text_at(model, blob_header(model)->source_offset, blob_header(model)->source_bytes);
}

void
model_base_margins(const struct model *model, double *out_margins)
{
    memcpy(out_margins, blob_section(model, BLOB_BASE_MARGINS),
           model->output_count * sizeof(double));
}

/* ---- evaluation ---------------------------------------------------------------------------- */

static const struct kernel_ops *
kernel_for(const struct model *model, size_t row_count)
{
    return row_count >= model->batch_rows_min ? model->batch_kernel : model->row_kernel;
}

/* What the kernels take for so many rows. */
static size_t
kernel_bytes(const struct model *model, size_t row_count)
{
    size_t bytes = model->row_kernel->scratch_bytes(model, row_count);
    size_t leaves = kernel_portable(model)->scratch_bytes(model, row_count);
    size_t batch = row_count < model->batch_rows_min
                       ? 0
                       : model->batch_kernel->scratch_bytes(model, row_count);

    bytes = leaves > bytes ? leaves : bytes;
    return batch > bytes ? batch : bytes;
}

enum { INPUT_BLOCK_ROWS = 512, INPUT_BLOCK_BYTES = 1 << 20 };

/* Rows whose inputs are computed at a time: enough for the kernels of many rows, few enough to stay
 * in the cache. */
static size_t
block_rows(const struct model *model, size_t row_count)
{
    size_t fitting = INPUT_BLOCK_BYTES / (blob_width(blob_header(model)) * sizeof(double));

    fitting = fitting < 1 ? 1 : fitting > INPUT_BLOCK_ROWS ? INPUT_BLOCK_ROWS : fitting;
    return row_count < fitting ? row_count : fitting;
}

/* Room for a block of inputs, in front of the kernel's own. */
static size_t
block_bytes(const struct model *model, size_t row_count)
{
    size_t inputs = blob_header(model)->input_count;
    size_t bytes = block_rows(model, row_count) * inputs * sizeof(double);

    return (bytes + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
}

/* The model as its kernel sees it: what it reads is inputs. */
static struct model
inner_of(const struct model *model)
{
    struct model inner = *model;

    inner.feature_count = blob_width(blob_header(model));
    return inner;
}

size_t
model_scratch_bytes(const struct model *model, size_t row_count)
{
    const struct model inner = inner_of(model);
    bool has_inputs = blob_header(model)->input_count > 0;
    size_t rows = has_inputs ? block_rows(model, row_count) : row_count;
    size_t bytes = block_bytes(model, row_count) + kernel_bytes(&inner, rows);

    return (bytes + BLOB_ALIGN) & ~(size_t)(BLOB_ALIGN - 1);
}

static void
margins_of_inputs(const struct model *model, const void *rows, size_t row_count, void *scratch,
                  void *out_margins)
{
    const struct model inner = inner_of(model);
    uint8_t *rest = (uint8_t *)scratch + block_bytes(model, row_count);
    size_t block = block_rows(model, row_count);
    const double *row = rows;
    double *margins = out_margins;

    while (row_count > 0) {
        size_t count = row_count < block ? row_count : block;
        kernel_inputs(model, row, count, scratch);
        kernel_for(model, count)->margins(&inner, scratch, count, rest, margins);
        row += count * model->feature_count;
        margins += count * model->output_count;
        row_count -= count;
    }
}

void
model_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
              void *out_margins)
{
    if (blob_header(model)->input_count > 0) {
        margins_of_inputs(model, rows, row_count, scratch, out_margins);
    } else {
        kernel_for(model, row_count)->margins(model, rows, row_count, scratch, out_margins);
    }
}

static void
leaves_of_inputs(const struct model *model, const void *rows, size_t row_count, void *scratch,
                 uint32_t *out_leaves)
{
    const struct model inner = inner_of(model);
    uint8_t *rest = (uint8_t *)scratch + block_bytes(model, row_count);
    size_t block = block_rows(model, row_count);
    const double *row = rows;

    while (row_count > 0) {
        size_t count = row_count < block ? row_count : block;
        kernel_inputs(model, row, count, scratch);
        kernel_portable(model)->leaves(&inner, scratch, count, rest, out_leaves);
        row += count * model->feature_count;
        out_leaves += count * model->tree_count;
        row_count -= count;
    }
}

void
model_leaves(const struct model *model, const void *rows, size_t row_count, void *scratch,
             uint32_t *out_leaves)
{
    if (blob_header(model)->input_count > 0) {
        leaves_of_inputs(model, rows, row_count, scratch, out_leaves);
    } else {
        kernel_portable(model)->leaves(model, rows, row_count, scratch, out_leaves);
    }
}

const char *
model_kernel(const struct model *model, size_t row_count)
{
    return kernel_for(model, row_count)->name;
}

bool
model_has_reasons(const struct model *model)
{
    return blob_header(model)->reason_count > 0;
}

size_t
model_reasons(const struct model *model, const void *row, size_t max,
              struct model_reason *out_reasons)
{
    return model_has_reasons(model) ? kernel_scorecard_reasons(model, row, max, out_reasons) : 0;
}
