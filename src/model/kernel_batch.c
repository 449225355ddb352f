/* SPDX-License-Identifier: MIT */
/*
 * kernel_batch.c - blocks of rows through a model, whatever the instruction set: ranks, masks, then
 * trees in small groups, whose leaves are added output by output. Sums of a row and an output are
 * made in the source's order of trees, one after the other, as every kernel does.
 */
#include "batch.h"

#include <string.h>

enum {
    GROUP_ITEMS = 16, /* leaves' numbers that wait to be added: they stay in the L1 cache */
    GROUP_ITEMS_MAX = GROUP_ITEMS + BATCH_PARTS_MAX,
    SET_ROWS = 16, /* rows whose sets are looked up together */
    STRIP_BYTES_A_ROW = 16 * sizeof(float),
    MASK_BYTES_MAX = 2 << 20, /* masks beyond that are slower than narrower blocks */
};

/* One evaluation's working memory, in the scratch. */
struct batch_run {
    const struct batch_isa *isa;
    const struct batch_width *width;
    struct batch_view view;
    size_t block_rows;
    uint8_t *masks;
    uint8_t *reach;
    uint8_t *sums;    /* output_count × block_rows of the model's number */
    uint8_t *ranks;   /* column × block_rows */
    uint8_t *numbers; /* item × block_rows */
    uint8_t *room;    /* of the quantiser */
    struct batch_item items[GROUP_ITEMS_MAX];
    size_t item_count;
};

static struct batch_view
view_of(const struct model *model)
{
    return (struct batch_view){
        .model = model,
        .header = blob_header(model),
        .columns = rank_columns(model),
        .trees = blob_section(model, BLOB_BATCH_TREES),
        .tests = blob_section(model, BLOB_BATCH_TESTS),
        .lists = blob_section(model, BLOB_BATCH_LISTS),
        .leaves = blob_section(model, BLOB_BATCH_LEAVES),
    };
}

/* ---- working memory -------------------------------------------------------------------------- */

/* The narrowest width that takes all rows at once, but none whose masks leave the caches. */
static const struct batch_width *
width_for(const struct batch_isa *isa, const struct blob_header *header, size_t row_count)
{
    const struct batch_width *width = isa->widths[0];

    for (unsigned i = 1; isa->widths[i] != NULL && row_count > 8 * width->vector_bytes; i++) {
        if (isa->widths[i]->vector_bytes * header->batch_mask_count <= MASK_BYTES_MAX) {
            width = isa->widths[i];
        }
    }
    return width;
}

/* So many bytes of the scratch; of no scratch it only counts. */
static uint8_t *
take(uint8_t *scratch, size_t *used, size_t bytes)
{
    size_t at = *used;

    *used += (bytes + BLOB_ALIGN - 1) & ~(size_t)(BLOB_ALIGN - 1);
    return scratch == NULL ? NULL : scratch + at;
}

/* Places all of it in `scratch`, or of NULL nothing; returns how many bytes it takes. */
static size_t
run_place(struct batch_run *run, const struct batch_width *width, uint8_t *scratch)
{
    const struct blob_header *header = run->view.header;
    size_t rows = 8 * width->vector_bytes;
    size_t used = 0;

    run->width = width;
    run->block_rows = rows;
    run->masks = take(scratch, &used, header->batch_mask_count * width->vector_bytes);
    run->reach = take(scratch, &used, header->batch_node_max * width->vector_bytes);
    run->sums =
        take(scratch, &used, header->output_count * rows * model_number_bytes(run->view.model));
    run->ranks = take(scratch, &used, header->rank_column_count * rows);
    run->numbers = take(scratch, &used, (GROUP_ITEMS + (size_t)header->batch_part_max) * rows);
    run->room = take(scratch, &used,
                     STRIP_BYTES_A_ROW * rows + SET_ROWS * (size_t)header->rank_column_count);
    return used;
}

bool
batch_can_run(const struct model *model)
{
    return blob_header(model)->batch_mask_count > 0;
}

size_t
batch_scratch_bytes(const struct batch_isa *isa, const struct model *model, size_t row_count)
{
    struct batch_run run = {.isa = isa, .view = view_of(model)};

    return run_place(&run, width_for(isa, run.view.header, row_count), NULL);
}

/* ---- ranks of sets --------------------------------------------------------------------------- */

/* A few rows at a time, for the tables give a row's ranks side by side. */
static bool
sets_quantise(const struct batch_run *run, const uint8_t *rows, size_t row_count)
{
    const struct model *model = run->view.model;
    uint32_t columns = run->view.header->rank_column_count;
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    bool has_missing = false;

    for (size_t at = 0; at < row_count; at += SET_ROWS) {
        size_t count = row_count - at < SET_ROWS ? row_count - at : SET_ROWS;
        for (size_t r = 0; r < count; r++) {
            has_missing |=
                rank_row_sets(model, rows + (at + r) * row_bytes, run->room + r * columns);
        }
        for (uint32_t c = run->view.header->rank_number_columns; c < columns; c++) {
            for (size_t r = 0; r < SET_ROWS; r++) {
                run->ranks[c * run->block_rows + at + r] = run->room[r * columns + c];
            }
        }
    }
    return has_missing;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void
sums_begin(const struct batch_run *run)
{
    const double *base = blob_section(run->view.model, BLOB_BASE_MARGINS);

    for (uint32_t k = 0; k < run->view.header->output_count; k++) {
        size_t at = k * run->block_rows;
        for (size_t i = at; i < at + run->block_rows; i++) {
            model_number_set(run->view.model, run->sums, i, base[k]);
        }
    }
}

/* Adds the items that wait: those of one output together, so that its sums are read once. */
static void
items_add(struct batch_run *run)
{
    const struct blob_header *header = run->view.header;
    size_t output_bytes = run->block_rows * model_number_bytes(run->view.model);
    size_t end;

    for (size_t i = 0; i < run->item_count; i = end) {
        const struct batch_item *items = &run->items[i];
        for (end = i + 1; end < run->item_count && run->items[end].output == items->output;) {
            end++;
        }
        for (uint32_t value = 0; value < header->leaf_width; value++) {
            run->isa->sums_add(run->view.model->number, items, end - i, value,
                               run->numbers + i * run->block_rows, run->block_rows,
                               run->sums + (items->output + value) * output_bytes);
        }
    }
    run->item_count = 0;
}

/* Where the sum of a row stands: the trees put rows in one order, the vectors of sums in another.
 * See struct batch_width and struct batch_isa. */
static inline size_t
sum_place(const struct batch_run *run, size_t row, size_t numbers_a_part)
{
    size_t vector = run->width->vector_bytes;
    size_t byte = row / 16 % 8 * vector + row / 128 * 16 + row % 16;
    size_t sum_bytes = run->isa->sum_bytes[run->view.model->number];
    size_t in_vector = byte % sum_bytes;
    size_t in_part = in_vector % 16;

    return byte - in_vector + in_part / numbers_a_part * (sum_bytes / 16 * numbers_a_part) +
           in_vector / 16 * numbers_a_part + in_part % numbers_a_part;
}

static void
sums_end_f32(const struct batch_run *run, size_t row_count, float *out_margins)
{
    const float *sums = (const float *)run->sums;
    size_t outputs = run->view.header->output_count;
    float divisor = (float)run->view.header->divisor;

    for (size_t row = 0; row < row_count; row++) {
        size_t place = sum_place(run, row, 4);
        for (size_t k = 0; k < outputs; k++) {
            float sum = sums[k * run->block_rows + place];
            *out_margins++ = divisor == 1.0f ? sum : sum / divisor;
        }
    }
}

static void
sums_end_f64(const struct batch_run *run, size_t row_count, double *out_margins)
{
    const double *sums = (const double *)run->sums;
    size_t outputs = run->view.header->output_count;
    double divisor = run->view.header->divisor;

    for (size_t row = 0; row < row_count; row++) {
        size_t place = sum_place(run, row, 2);
        for (size_t k = 0; k < outputs; k++) {
            double sum = sums[k * run->block_rows + place];
            *out_margins++ = divisor == 1.0 ? sum : sum / divisor;
        }
    }
}

/* ---- a block --------------------------------------------------------------------------------- */

static void
block_trees(struct batch_run *run, bool has_missing)
{
    const struct batch_view *view = &run->view;
    size_t number_bytes = model_number_bytes(view->model) * view->header->leaf_width;

    for (uint32_t t = 0; t < view->header->tree_count; t++) {
        const struct batch_tree *tree = &view->trees[t];
        run->width->tree_walk(view, tree, run->masks, has_missing, run->reach,
                              run->numbers + run->item_count * run->block_rows);
        for (uint32_t part = 0; part < tree->parts; part++) {
            run->items[run->item_count++] = (struct batch_item){
                .tables = view->leaves + tree->leaf + (part * number_bytes << tree->slot_bits),
                .output = tree->output,
                .slot_bits = tree->slot_bits,
            };
        }
        if (run->item_count >= GROUP_ITEMS) {
            items_add(run);
        }
    }
    items_add(run);
}

static void
block_margins(struct batch_run *run, const uint8_t *rows, size_t row_count, uint8_t *out_margins)
{
    bool has_missing =
        run->isa->quantise(&run->view, rows, row_count, run->block_rows, run->room, run->ranks);

    if (run->view.header->rank_number_columns < run->view.header->rank_column_count) {
        has_missing |= sets_quantise(run, rows, row_count);
    }
    run->width->masks_fill(&run->view, run->ranks, run->masks);
    sums_begin(run);
    block_trees(run, has_missing);
    if (run->view.model->number == MODEL_FLOAT32) {
        sums_end_f32(run, row_count, (float *)out_margins);
    } else {
        sums_end_f64(run, row_count, (double *)out_margins);
    }
}

void
batch_margins(const struct batch_isa *isa, const struct model *model, const void *rows,
              size_t row_count, void *scratch, void *out_margins)
{
    struct batch_run run = {.isa = isa, .view = view_of(model)};
    size_t number_bytes = model_number_bytes(model);
    const uint8_t *from = rows;
    uint8_t *to = out_margins;

    while (row_count > 0) {
        /* What is left over would cost a whole block. */
        if (row_count < isa->rows_min && model->row_kernel->rows_min == 1) {
            model->row_kernel->margins(model, from, row_count, scratch, to);
            return;
        }
        run_place(&run, width_for(isa, run.view.header, row_count), scratch);
        size_t count = row_count < run.block_rows ? row_count : run.block_rows;
        block_margins(&run, from, count, to);
        from += count * model->feature_count * number_bytes;
        to += count * model->output_count * number_bytes;
        row_count -= count;
    }
}
