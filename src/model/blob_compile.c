/* SPDX-License-Identifier: MIT */
/*
 * blob_compile.c - a checked neutral model becomes a blob.
 * First everything is counted (struct plan), then the sections get their places, then they are
 * filled in one pass. Padding is zero, so that the same model always gives the same bytes and the
 * same digest.
 */
#include "batch.h"
#include "contributions.h"
#include "walk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct plan {
    const struct neutral_model *model;
    enum blob_kernel kernel;
    uint64_t node_count;
    uint64_t set_words;
    uint64_t vector_count;
    uint64_t term_count;
    uint64_t text_bytes;
    uint64_t level_count;
    uint32_t name_slot_count;
    uint32_t tree_depth;
    bool has_other_tests; /* than of a number of which NaN alone is missing */
    struct rank_plan ranks;
    struct walk_plan walk;
    struct batch_plan batch;
    uint32_t contribution_points;
    uint32_t *order; /* room for the nodes of the largest tree */
    double *reach;   /* the same */
};

/* The blob being filled. */
struct sheet {
    const struct plan *plan;
    uint8_t *blob;
    struct blob_header *header;
    uint64_t node_at;
    uint64_t set_at;
    uint64_t vector_at;
    uint64_t term_at;
    uint64_t text_at;
    uint64_t level_at;
};

/* ---- counting ------------------------------------------------------------------------------ */

static uint32_t
unique_count(const struct neutral_set *set)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        count += i == 0 || set->categories[i] != set->categories[i - 1] ? 1 : 0;
    }
    return count;
}

static uint32_t
bitset_words(const struct neutral_set *set)
{
    return set->count == 0 ? 0 : set->categories[set->count - 1] / 32 + 1;
}

static uint32_t
set_words(const struct neutral_set *set)
{
    uint32_t list = unique_count(set);
    uint32_t bits = bitset_words(set);

    return SET_HEADER_WORDS + (bits <= list ? bits : list);
}

static void
plan_tree(struct plan *plan, const struct neutral_tree *tree)
{
    uint32_t depth = 0;
    uint32_t count = neutral_tree_order(tree, plan->order, &depth);
    uint32_t next = 1;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = plan->order[i];
        if (tree->left[node] == NEUTRAL_LEAF) {
            const struct neutral_linear *linear = neutral_linear_find(tree, node);
            plan->vector_count += plan->model->leaf_width > 1 ? 1 : 0;
            plan->term_count += linear == NULL ? 0 : BLOB_TERM_HEAD + linear->count;
            continue;
        }
        if ((tree->flags[node] & ~(unsigned)NEUTRAL_DEFAULT_LEFT) != 0) {
            plan->has_other_tests = true;
            plan->kernel = BLOB_WIDE;
        }
        if ((tree->flags[node] & NEUTRAL_CATEGORICAL) != 0) {
            plan->set_words += set_words(neutral_set_find(tree, node));
        } else if (tree->value[node] == -INFINITY) {
            /* Under a threshold of -inf a missing value could not go left. */
            plan->kernel = BLOB_WIDE;
        }
        if (next - i > PACK_DISTANCE_MAX) {
            plan->kernel = BLOB_WIDE;
        }
        next += 2;
    }
    plan->node_count += count;
    plan->tree_depth = depth > plan->tree_depth ? depth : plan->tree_depth;
}

static void
plan_text(struct plan *plan)
{
    const struct neutral_model *model = plan->model;

    plan->text_bytes = model->objective.len + model->source.len + blob_parts_text_bytes(model);
    for (uint32_t i = 0; i < model->feature_count; i++) {
        const struct neutral_feature *feature = &model->features[i];
        plan->text_bytes += feature->name.len;
        plan->level_count += feature->level_count;
        for (uint32_t k = 0; k < feature->level_count; k++) {
            plan->text_bytes += feature->levels[k].len;
        }
    }
    plan->name_slot_count = 4;
    while (plan->name_slot_count < 2 * model->feature_count) {
        plan->name_slot_count *= 2;
    }
}

static bool
plan_fits(const struct plan *plan)
{
    struct blob_header counts;

    return plan->node_count <= UINT32_MAX && plan->set_words <= UINT32_MAX &&
           plan->vector_count <= UINT32_MAX && plan->term_count <= UINT32_MAX &&
           plan->text_bytes <= UINT32_MAX && plan->level_count <= UINT32_MAX &&
           blob_parts_count(plan->model, &counts);
}

static int
plan_make(const struct neutral_model *model, struct arena *scratch, struct plan *out_plan,
          struct err *err)
{
    uint32_t largest = 1;
    bool is_wide = model->feature_count > PACK_FEATURES_MAX || model->number != MODEL_FLOAT32 ||
                   model->leaf_width > 1 || model->divisor != 1.0;
    struct plan plan = {.model = model, .kernel = is_wide ? BLOB_WIDE : BLOB_PACK8};

    for (uint32_t t = 0; t < model->tree_count; t++) {
        uint32_t count = model->trees[t].node_count;
        largest = count > largest ? count : largest;
    }
    plan.order = arena_zalloc(scratch, largest, sizeof(uint32_t));
    plan.reach = arena_zalloc(scratch, largest, sizeof(double));
    int32_t points = contributions_points(model, scratch);
    if (plan.order == NULL || plan.reach == NULL || points < 0) {
        err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to compile the model");
        return AUGURY_ERR_NOMEM;
    }
    plan.contribution_points = (uint32_t)points;
    for (uint32_t t = 0; t < model->tree_count; t++) {
        plan_tree(&plan, &model->trees[t]);
    }
    if (model->kind == NEUTRAL_GBLINEAR) {
        plan.kernel = BLOB_LINEAR;
    } else if (model->kind == NEUTRAL_LINEAR || model->kind == NEUTRAL_MLP) {
        plan.kernel = BLOB_DENSE;
    } else if (model->kind == NEUTRAL_SCORECARD) {
        plan.kernel = BLOB_SCORECARD;
    }
    plan_text(&plan);
    int rc = rank_plan_make(model, scratch, &plan.ranks, err);
    if (rc == 0) {
        rc = walk_plan_make(&plan.ranks, plan.tree_depth, scratch, &plan.walk, err);
    }
    if (rc == 0) {
        rc = batch_plan_make(model, &plan.ranks, scratch, &plan.batch, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (!plan_fits(&plan)) {
        err_set(err, AUGURY_ERR_LIMIT, "model_too_large",
                "%llu nodes, %llu words of category sets, %llu bytes of names: a compiled model "
                "numbers each with 32 bits",
                (unsigned long long)plan.node_count, (unsigned long long)plan.set_words,
                (unsigned long long)plan.text_bytes);
        return AUGURY_ERR_LIMIT;
    }
    *out_plan = plan;
    return 0;
}

/* ---- placing ------------------------------------------------------------------------------- */

uint64_t
blob_section_place(uint64_t at)
{
    return ((at + BLOB_PAGE_OFFSET + BLOB_ALIGN - 1) & ~(uint64_t)(BLOB_ALIGN - 1)) -
           BLOB_PAGE_OFFSET;
}

static uint32_t
plan_hints(const struct plan *plan)
{
    const struct neutral_model *model = plan->model;
    uint32_t hints = model->leaf_width == 1 ? BLOB_HINT_TURNS : 0;

    for (uint32_t t = 0; t < model->tree_count; t++) {
        if (model->trees[t].output != t % model->output_count) {
            hints = 0;
        }
    }
    for (uint32_t i = 0; i < plan->ranks.column_count; i++) {
        hints |= plan->ranks.columns[i].rule != 0 ? BLOB_HINT_RULES : 0;
    }
    hints |= plan->has_other_tests || plan->term_count > 0 ? 0 : BLOB_HINT_NUMBERS;
    return hints;
}

void
blob_seal(struct blob_header *header)
{
    struct digest digest = digest_of(bytes_of((const uint8_t *)header + BLOB_CHECKSUM_FROM,
                                              header->total_bytes - BLOB_CHECKSUM_FROM));

    header->checksum_lo = digest.lo;
    header->checksum_hi = digest.hi;
}

/* A header with everything but text places and checksum. */
static struct blob_header
plan_header(const struct plan *plan)
{
    const struct neutral_model *model = plan->model;
    struct blob_header header = {
        .format = BLOB_FORMAT,
        .endian_mark = BLOB_ENDIAN_MARK,
        .kind = model->kind,
        .kernel = plan->kernel,
        .link = model->link,
        .flags = model->flags,
        .feature_count = model->feature_count,
        .output_count = model->output_count,
        .tree_count = model->tree_count,
        .node_count = (uint32_t)plan->node_count,
        .name_slot_count = plan->name_slot_count,
        .level_count = (uint32_t)plan->level_count,
        .set_words = (uint32_t)plan->set_words,
        .tree_depth = plan->tree_depth,
        .text_bytes = (uint32_t)plan->text_bytes,
        .number = model->number,
        .link_scale = model->link_scale,
        .divisor = model->divisor,
        .leaf_width = model->leaf_width,
        .vector_count = (uint32_t)plan->vector_count,
        .term_count = (uint32_t)plan->term_count,
        .hints = plan_hints(plan),
        .rank_column_count = plan->ranks.column_count,
        .rank_number_columns = plan->ranks.number_columns,
        .rank_threshold_count = plan->ranks.threshold_count,
        .rank_set_bytes = plan->ranks.set_bytes,
        .walk_root_depth = plan->walk.root_depth,
        .walk_stride = plan->walk.stride,
        .walk_record_count = plan->walk.record_count,
        .walk_step_count = plan->walk.step_count,
        .batch_mask_count = plan->batch.mask_count,
        .batch_test_count = plan->batch.test_count,
        .batch_list_count = plan->batch.list_count,
        .batch_leaf_bytes = plan->batch.leaf_bytes,
        .batch_node_max = plan->batch.node_max,
        .batch_part_max = plan->batch.part_max,
        .contribution_points = plan->contribution_points,
    };
    uint64_t at = sizeof(header);

    AUGURY_ASSERT(blob_parts_count(model, &header));
    memcpy(header.magic, BLOB_MAGIC, sizeof(header.magic));
    for (unsigned i = 0; i < BLOB_SECTION_COUNT; i++) {
        header.sections[i].offset = blob_section_place(at);
        header.sections[i].bytes = blob_section_bytes(&header, i);
        at = header.sections[i].offset + header.sections[i].bytes;
    }
    at = (at + 7) & ~(uint64_t)7;
    header.total_bytes = at < BLOB_BYTES_MIN ? BLOB_BYTES_MIN : at;
    return header;
}

static void *
sheet_section(const struct sheet *sheet, enum blob_section section)
{
    return sheet->blob + sheet->header->sections[section].offset;
}

/* ---- filling: trees ------------------------------------------------------------------------ */

static uint32_t
fill_set(struct sheet *sheet, const struct neutral_set *set)
{
    uint32_t first = (uint32_t)sheet->set_at;
    uint32_t *words = (uint32_t *)sheet_section(sheet, BLOB_SETS) + first;
    uint32_t size = set_words(set);
    uint32_t at = SET_HEADER_WORDS;

    words[0] = bitset_words(set) <= unique_count(set) ? SET_BITS : SET_LIST;
    words[1] = size - SET_HEADER_WORDS;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t category = set->categories[i];
        if (words[0] == SET_BITS) {
            words[SET_HEADER_WORDS + category / 32] |= UINT32_C(1) << (category % 32);
        } else if (i == 0 || category != set->categories[i - 1]) {
            words[at++] = category;
        }
    }
    sheet->set_at += size;
    return first;
}

static uint32_t
fill_vector(struct sheet *sheet, const struct neutral_tree *tree, uint32_t row)
{
    uint32_t width = sheet->plan->model->leaf_width;
    double *vectors = sheet_section(sheet, BLOB_VECTORS);

    memcpy(vectors + sheet->vector_at * width, tree->vectors + (size_t)row * width,
           width * sizeof(double));
    return (uint32_t)sheet->vector_at++;
}

static uint32_t
fill_linear(struct sheet *sheet, const struct neutral_linear *linear, double missing)
{
    uint32_t first = (uint32_t)sheet->term_at;
    struct blob_term *terms = (struct blob_term *)sheet_section(sheet, BLOB_TERMS) + first;

    terms[0] = (struct blob_term){.number = linear->constant, .count = linear->count};
    terms[1] = (struct blob_term){.number = missing};
    for (uint32_t k = 0; k < linear->count; k++) {
        terms[BLOB_TERM_HEAD + k] =
            (struct blob_term){.number = linear->coefficients[k], .feature = linear->features[k]};
    }
    sheet->term_at += BLOB_TERM_HEAD + (uint64_t)linear->count;
    return first;
}

static struct wide_node
wide_leaf_of(struct sheet *sheet, const struct neutral_tree *tree, uint32_t node)
{
    const struct neutral_linear *linear = neutral_linear_find(tree, node);
    struct wide_node wide = {.value = tree->value[node]};

    if (sheet->plan->model->leaf_width > 1) {
        wide.value = (double)fill_vector(sheet, tree, (uint32_t)tree->right[node]);
    } else if (linear != NULL) {
        wide.value = (double)fill_linear(sheet, linear, tree->value[node]);
        wide.test = WIDE_LINEAR_LEAF;
    }
    return wide;
}

static struct pack_node
pack_node_of(const struct neutral_tree *tree, uint32_t node, uint32_t distance,
             uint32_t feature_count)
{
    uint32_t slot = 2 * feature_count; /* of a leaf: the NaN */

    if (distance != 0) {
        slot = 2 * tree->feature[node] + ((tree->flags[node] & NEUTRAL_DEFAULT_LEFT) != 0 ? 1 : 0);
    }
    return (struct pack_node){.value = (float)tree->value[node],
                              .step = slot | distance << PACK_SLOT_BITS};
}

static struct wide_node
wide_node_of(struct sheet *sheet, const struct neutral_tree *tree, uint32_t node, uint32_t distance)
{
    struct wide_node wide = {.value = tree->value[node], .distance = distance};

    if (distance == 0) {
        return wide_leaf_of(sheet, tree, node);
    }
    wide.feature = (uint16_t)tree->feature[node];
    wide.test = tree->flags[node];
    if ((wide.test & WIDE_SET) != 0) {
        wide.value = (double)fill_set(sheet, neutral_set_find(tree, node));
    } else if ((wide.test & WIDE_NUMBERS_LEFT) != 0) {
        wide.value = 0.0;
    }
    return wide;
}

static void
fill_contributions(struct sheet *sheet, uint32_t number, const uint32_t *order, uint32_t count)
{
    const struct neutral_model *model = sheet->plan->model;
    size_t number_bytes = model->number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double);
    uint8_t *shares = sheet_section(sheet, BLOB_SHARES);
    struct contributions_sheet part = {
        .model = model,
        .shares = shares + (sheet->node_at - number) / 2 * number_bytes,
        .biases = sheet_section(sheet, BLOB_BIASES),
        .reach = sheet->plan->reach,
    };

    contributions_fill(&part, &model->trees[number], order, count);
}

static void
fill_tree(struct sheet *sheet, uint32_t number)
{
    const struct neutral_model *model = sheet->plan->model;
    const struct neutral_tree *tree = &model->trees[number];
    uint32_t *order = sheet->plan->order;
    uint32_t depth = 0;
    uint32_t count = neutral_tree_order(tree, order, &depth);
    struct blob_round *rounds = sheet_section(sheet, BLOB_ROUNDS);
    struct blob_round *round = &rounds[number / BLOB_ROUND_TREES];
    unsigned lane = number % BLOB_ROUND_TREES;
    struct pack_node *pack = (struct pack_node *)sheet_section(sheet, BLOB_NODES) + sheet->node_at;
    struct wide_node *wide = (struct wide_node *)sheet_section(sheet, BLOB_NODES) + sheet->node_at;
    uint32_t *sources = (uint32_t *)sheet_section(sheet, BLOB_SOURCE_NODES) + sheet->node_at;
    uint32_t next = 1;

    round->root[lane] = (uint32_t)sheet->node_at;
    round->depth[lane] = (uint16_t)depth;
    round->output[lane] = (uint16_t)tree->output;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t node = order[i];
        uint32_t distance = tree->left[node] == NEUTRAL_LEAF ? 0 : next - i;
        next += distance == 0 ? 0 : 2;
        sources[i] = tree->numbers == NULL ? node : tree->numbers[node];
        if (sheet->plan->kernel == BLOB_PACK8) {
            pack[i] = pack_node_of(tree, node, distance, model->feature_count);
        } else {
            wide[i] = wide_node_of(sheet, tree, node, distance);
        }
    }
    if (sheet->plan->contribution_points > 0) {
        fill_contributions(sheet, number, order, count);
    }
    sheet->node_at += count;
}

/* A section that was made whole beforehand. */
static void
fill_section(struct sheet *sheet, enum blob_section section, const void *data)
{
    size_t bytes = sheet->header->sections[section].bytes;

    if (bytes > 0) {
        memcpy(sheet_section(sheet, section), data, bytes);
    }
}

static void
fill_ranks(struct sheet *sheet)
{
    const struct rank_plan *ranks = &sheet->plan->ranks;
    const struct walk_plan *walk = &sheet->plan->walk;
    const struct batch_plan *batch = &sheet->plan->batch;

    fill_section(sheet, BLOB_RANK_COLUMNS, ranks->columns);
    fill_section(sheet, BLOB_RANK_THRESHOLDS, ranks->thresholds);
    fill_section(sheet, BLOB_RANK_SETS, ranks->sets);
    fill_section(sheet, BLOB_WALK_ROOTS, walk->roots);
    fill_section(sheet, BLOB_WALK_TREES, walk->trees);
    fill_section(sheet, BLOB_WALK_RECORDS, walk->records);
    fill_section(sheet, BLOB_BATCH_TREES, batch->trees);
    fill_section(sheet, BLOB_BATCH_TESTS, batch->tests);
    fill_section(sheet, BLOB_BATCH_LISTS, batch->lists);
    fill_section(sheet, BLOB_BATCH_LEAVES, batch->leaves);
}

/* ---- filling: schema ----------------------------------------------------------------------- */

static uint32_t
fill_text(struct sheet *sheet, struct bytes text)
{
    uint32_t at = (uint32_t)sheet->text_at;

    if (text.len > 0) {
        memcpy((uint8_t *)sheet_section(sheet, BLOB_TEXT) + at, text.data, text.len);
    }
    sheet->text_at += text.len;
    return at;
}

struct named_code {
    struct bytes name;
    uint32_t code;
};

static int
compare_named_code(const void *a, const void *b)
{
    const struct named_code *x = a;
    const struct named_code *y = b;
    size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = len == 0 ? 0 : memcmp(x->name.data, y->name.data, len);

    return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static int
fill_levels(struct sheet *sheet, const struct neutral_feature *feature, struct arena *scratch,
            struct err *err)
{
    struct blob_level *levels =
        (struct blob_level *)sheet_section(sheet, BLOB_LEVELS) + sheet->level_at;
    size_t used = scratch->used;
    struct named_code *names = arena_zalloc(scratch, feature->level_count, sizeof(*names));
    int rc = 0;

    if (names == NULL) {
        err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to compile the model");
        return AUGURY_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < feature->level_count; i++) {
        levels[i].bytes = (uint32_t)feature->levels[i].len;
        levels[i].offset = fill_text(sheet, feature->levels[i]);
        names[i] = (struct named_code){.name = feature->levels[i], .code = i};
    }
    qsort(names, feature->level_count, sizeof(*names), compare_named_code);
    for (uint32_t i = 0; i < feature->level_count && rc == 0; i++) {
        levels[i].by_name = names[i].code;
        if (i > 0 && bytes_equal(names[i].name, names[i - 1].name)) {
            rc = err_set(err, AUGURY_ERR_INVALID, "invalid_schema",
                         "feature \"%.*s\" has two levels of one name, codes %u and %u",
                         (int)feature->name.len, (const char *)feature->name.data,
                         names[i - 1].code, names[i].code);
        }
    }
    sheet->level_at += feature->level_count;
    scratch->used = used;
    return rc;
}

static int
fill_name_slot(struct sheet *sheet, uint32_t number, struct err *err)
{
    const struct neutral_model *model = sheet->plan->model;
    struct bytes name = model->features[number].name;
    uint32_t *slots = sheet_section(sheet, BLOB_NAME_SLOTS);
    uint32_t mask = sheet->plan->name_slot_count - 1;
    uint32_t at = (uint32_t)hash64_of(name) & mask;

    for (; slots[at] != 0; at = (at + 1) & mask) {
        if (bytes_equal(model->features[slots[at] - 1].name, name)) {
            return err_set(err, AUGURY_ERR_INVALID, "invalid_schema",
                           "features %u and %u are both named \"%.*s\"; names must differ",
                           slots[at] - 1, number, (int)name.len, (const char *)name.data);
        }
    }
    slots[at] = number + 1;
    return 0;
}

static int
fill_features(struct sheet *sheet, struct arena *scratch, struct err *err)
{
    const struct neutral_model *model = sheet->plan->model;
    struct blob_feature *features = sheet_section(sheet, BLOB_FEATURES);
    int rc = 0;

    for (uint32_t i = 0; i < model->feature_count && rc == 0; i++) {
        const struct neutral_feature *feature = &model->features[i];
        features[i] = (struct blob_feature){
            .name_offset = fill_text(sheet, feature->name),
            .name_bytes = (uint32_t)feature->name.len,
            .type = feature->type,
            .allows = (feature->is_missing_allowed ? BLOB_ALLOWS_MISSING : 0u) |
                      (feature->is_unknown_allowed ? BLOB_ALLOWS_UNKNOWN : 0u),
            .level_first = (uint32_t)sheet->level_at,
            .level_count = feature->level_count,
        };
        rc = fill_name_slot(sheet, i, err);
        if (rc == 0) {
            rc = fill_levels(sheet, feature, scratch, err);
        }
    }
    return rc;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static int
fill_blob(struct sheet *sheet, struct arena *scratch, struct err *err)
{
    const struct neutral_model *model = sheet->plan->model;
    struct blob_header *header = sheet->header;

    header->objective_bytes = (uint32_t)model->objective.len;
    header->objective_offset = fill_text(sheet, model->objective);
    header->source_bytes = (uint32_t)model->source.len;
    header->source_offset = fill_text(sheet, model->source);
    memcpy(sheet_section(sheet, BLOB_BASE_MARGINS), model->base_margins,
           model->output_count * sizeof(double));
    if (header->contribution_points > 0) {
        contributions_begin(model, header->contribution_points,
                            sheet_section(sheet, BLOB_QUADRATURE),
                            sheet_section(sheet, BLOB_BIASES));
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        fill_tree(sheet, t);
    }
    fill_ranks(sheet);
    if (sheet->plan->kernel == BLOB_LINEAR) {
        memcpy(sheet_section(sheet, BLOB_WEIGHTS), model->weights,
               header->sections[BLOB_WEIGHTS].bytes);
    }
    int rc = fill_features(sheet, scratch, err);
    if (rc == 0) {
        blob_parts_fill(model, sheet->blob, (uint32_t)sheet->text_at);
        blob_seal(header);
    }
    return rc;
}

static int
compile(const struct neutral_model *model, struct arena *scratch, struct buf *out_blob,
        struct err *err)
{
    struct plan plan = {.model = model};
    int rc = plan_make(model, scratch, &plan, err);

    if (rc != 0) {
        return rc;
    }
    AUGURY_ASSERT(out_blob->len % 8 == 0);
    struct blob_header header = plan_header(&plan);
    uint8_t *room = buf_reserve(out_blob, header.total_bytes);
    if (room == NULL) {
        return err_set(err, buf_finish(out_blob), "model_too_large",
                       "the compiled model takes %llu bytes, more than there is room for",
                       (unsigned long long)header.total_bytes);
    }
    memset(room, 0, header.total_bytes);
    memcpy(room, &header, sizeof(header));
    struct sheet sheet = {.plan = &plan, .blob = room, .header = (struct blob_header *)room};
    rc = fill_blob(&sheet, scratch, err);
    if (rc == 0) {
        buf_commit(out_blob, header.total_bytes);
    }
    return rc;
}

int
blob_compile(const struct neutral_model *model, struct arena *scratch, struct buf *out_blob,
             struct err *err)
{
    size_t used = scratch->used;
    int rc = compile(model, scratch, out_blob, err);

    scratch->used = used;
    return rc;
}
