/* SPDX-License-Identifier: MIT */
/* test_batch.c - the kernels for many rows give the bits of the rules read aloud, for any number of
 * rows, tree shape and rule; and nothing damaged in their sections is opened. */
#include "maker.h"

#include "../../../src/model/batch.h"

enum { ROWS = 700, FEATURES_MAX = 40, OUTPUTS_MAX = 8 };

/* The rows that a kernel is asked about, and what the rules say. */
struct sample {
    struct fixture f;
    uint8_t *rows;
    uint8_t *wanted;
    uint8_t *got;
    size_t row_bytes;
    size_t margin_bytes;
};

static double
random_cell(struct maker *maker)
{
    double x = maker_random(maker, 7) == 0 ? (double)NAN : (double)maker_value(maker);

    if (maker_random(maker, 4) == 0) {
        x = (double)maker_random(maker, 300) * 0.25;
    }
    return maker_random(maker, 6) == 0 ? -x : x;
}

static struct sample
sample_open(struct maker *maker, uint32_t row_count, bool has_missing)
{
    const struct neutral_model *model = &maker->model;
    struct sample sample = {.f = maker_compile(maker)};

    AUGURY_ASSERT(sample.f.rc == 0);
    sample.row_bytes = model->feature_count * model_number_bytes(&sample.f.model);
    sample.margin_bytes = model->output_count * model_number_bytes(&sample.f.model);
    sample.rows = calloc(row_count, sample.row_bytes);
    sample.wanted = calloc(row_count, sample.margin_bytes);
    sample.got = calloc(row_count, sample.margin_bytes);
    AUGURY_ASSERT(sample.rows != NULL && sample.wanted != NULL && sample.got != NULL);
    for (size_t i = 0; i < (size_t)row_count * model->feature_count; i++) {
        double x = random_cell(maker);
        x = isnan(x) && !has_missing ? 0.25 : x;
        model_number_set(&sample.f.model, sample.rows, i, x);
    }
    for (size_t r = 0; r < row_count; r++) {
        maker_margins(model, sample.rows + r * sample.row_bytes,
                      sample.wanted + r * sample.margin_bytes);
    }
    return sample;
}

static void
sample_close(struct sample *sample)
{
    fixture_close(&sample->f);
    free(sample->rows);
    free(sample->wanted);
    free(sample->got);
}

/* The kernel of that name over the first rows, in memory of its own size, so that a sanitizer sees
 * a step beyond. */
static bool
kernel_agrees(struct sample *sample, const char *name, size_t row_count)
{
    struct model model = sample->f.model;
    bool is_good = model_force_kernel(&model, name, NULL) == 0;
    void *scratch = aligned_alloc(64, model_scratch_bytes(&model, row_count));

    AUGURY_ASSERT(scratch != NULL);
    memset(sample->got, 0x5a, row_count * sample->margin_bytes);
    if (is_good) {
        model_margins(&model, sample->rows, row_count, scratch, sample->got);
        is_good = memcmp(sample->got, sample->wanted, row_count * sample->margin_bytes) == 0;
    }
    free(scratch);
    return is_good;
}

/* How many kernels for many rows there are, or -1: some kernel differs. */
static int
kernels_agree(struct sample *sample, size_t row_count)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(&sample->f.model, names, MODEL_KERNELS_MAX);
    int batch = 0;

    for (size_t i = 0; i < count; i++) {
        if (!kernel_agrees(sample, names[i], row_count)) {
            printf("# %s differs over %zu rows\n", names[i], row_count);
            return -1;
        }
        batch += strncmp(names[i], "batch", 5) == 0;
    }
    return batch;
}

/* ---- every number of rows, every rule -------------------------------------------------------- */

static void
any_number_of_rows_gives_the_bits_of_the_rules(void)
{
    static const size_t counts[] = {1,   2,   15,  16,  17,  63,  64,  65,  127, 128,
                                    129, 255, 256, 257, 300, 511, 512, 513, ROWS};

    for (int number = MODEL_FLOAT32; number <= MODEL_FLOAT64; number++) {
        struct maker maker = maker_init(7, 4, 3, 40);
        maker.model.number = (enum model_number)number;
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, maker_random(&maker, 30), MAKER_RULES);
        }
        struct sample sample = sample_open(&maker, ROWS, true);
        for (size_t i = 0; i < AUGURY_COUNT(counts); i++) {
            CHECK(kernels_agree(&sample, counts[i]) > 0);
        }
        sample_close(&sample);
        arena_fini(&maker.arena);
    }
}

static void
random_models_give_the_bits_of_the_rules(void)
{
    unsigned compared = 0;

    for (uint32_t seed = 1; seed <= 90; seed++) {
        uint32_t outputs = seed % 5 == 0 ? 1 + seed % OUTPUTS_MAX : 1;
        struct maker maker = maker_init(seed, 1 + seed % FEATURES_MAX, outputs, 1 + seed % 37);
        maker.model.number = seed % 2 == 0 ? MODEL_FLOAT32 : MODEL_FLOAT64;
        maker.model.leaf_width = seed % 10 == 0 ? outputs : 1;
        maker.model.divisor = seed % 4 == 0 ? 7.0 : 1.0;
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, maker_random(&maker, seed % 7 == 0 ? 120 : 40),
                       seed % 3 == 0 ? MAKER_NUMERIC : MAKER_RULES);
        }
        struct sample sample = sample_open(&maker, 150 + seed * 4, seed % 8 != 0);
        int kernels = kernels_agree(&sample, 150 + seed * 4);
        if (kernels < 0) {
            TAP_FAIL("model of seed %u differs", seed);
        }
        compared += kernels > 0;
        sample_close(&sample);
        arena_fini(&maker.arena);
    }
    CHECK(compared > 50); /* the others have sets for which ranks do not pay */
}

/* ---- every shape ----------------------------------------------------------------------------- */

/* Makes the tree's inner nodes a heap: as full as that many can be. */
static void
tree_fill(struct maker *maker, uint32_t number, uint32_t inner)
{
    maker_grow(maker, number, inner, MAKER_NUMERIC);
    const struct neutral_tree *tree = &maker->model.trees[number];
    int32_t *left = (int32_t *)(uintptr_t)tree->left;
    int32_t *right = (int32_t *)(uintptr_t)tree->right;
    double *value = (double *)(uintptr_t)tree->value;

    for (uint32_t i = 0; i < tree->node_count; i++) {
        bool is_inner = i < inner;
        left[i] = is_inner ? (int32_t)(2 * i + 1) : NEUTRAL_LEAF;
        right[i] = is_inner ? (int32_t)(2 * i + 2) : NEUTRAL_LEAF;
        value[i] = is_inner ? (double)maker_random(maker, 300) * 0.25 : (double)(float)i / 3.0f;
        ((uint32_t *)(uintptr_t)tree->feature)[i] = maker_random(maker, maker->model.feature_count);
    }
}

static struct sample
sample_of_shape(struct maker *maker, uint32_t inner, enum maker_shape shape)
{
    for (uint32_t t = 0; t < maker->model.tree_count; t++) {
        if (shape == MAKER_CHAIN) {
            maker_grow(maker, t, inner, shape);
        } else {
            tree_fill(maker, t, inner);
        }
    }
    return sample_open(maker, 300, true);
}

static void
full_trees_of_every_depth_give_the_bits_of_the_rules(void)
{
    for (uint32_t depth = 0; depth <= 9; depth++) {
        for (int number = MODEL_FLOAT32; number <= MODEL_FLOAT64; number++) {
            struct maker maker = maker_init(depth + 1, 9, 2, 5);
            maker.model.number = (enum model_number)number;
            struct sample sample = sample_of_shape(&maker, (1u << depth) - 1, MAKER_NUMERIC);
            const struct blob_header *header = blob_header(&sample.f.model);
            CHECK_INT(header->batch_mask_count > 0, depth > 0);
            CHECK_INT(header->batch_node_max > 0, depth > BATCH_DEPTH_MAX);
            CHECK(kernels_agree(&sample, 300) > 0 || depth == 0);
            sample_close(&sample);
            arena_fini(&maker.arena);
        }
    }
}

static void
deep_trees_with_few_leaves_are_sparse_and_give_the_same_bits(void)
{
    static const uint32_t inner[] = {1, 2, 7, 8, 9, 20, 100, 200};

    for (size_t i = 0; i < AUGURY_COUNT(inner); i++) {
        struct maker maker = maker_init(i + 1, 9, 1, 6);
        struct sample sample = sample_of_shape(&maker, inner[i], MAKER_CHAIN);
        CHECK(kernels_agree(&sample, 300) > 0);
        CHECK_INT(blob_header(&sample.f.model)->batch_node_max > 0, inner[i] > 2);
        sample_close(&sample);
        arena_fini(&maker.arena);
    }
}

static void
trees_of_more_leaves_than_a_byte_counts_are_in_parts(void)
{
    static const uint32_t leaves[] = {255, 256, 257, 258, 300, 510, 511, 512, 900};
    static const uint32_t parts[] = {1, 1, 2, 2, 2, 2, 3, 3, 4};

    for (size_t i = 0; i < AUGURY_COUNT(leaves); i++) {
        for (int number = MODEL_FLOAT32; number <= MODEL_FLOAT64; number++) {
            struct maker maker = maker_init(i + 1, 9, 3, 3);
            maker.model.number = (enum model_number)number;
            maker.model.leaf_width = i % 2 == 0 ? 3 : 1;
            for (uint32_t t = 0; t < 3; t++) {
                maker_grow(&maker, t, leaves[i] - 1, MAKER_RULES);
            }
            struct sample sample = sample_open(&maker, 300, true);
            CHECK_INT(blob_header(&sample.f.model)->batch_part_max, parts[i]);
            CHECK(kernels_agree(&sample, 300) > 0);
            sample_close(&sample);
            arena_fini(&maker.arena);
        }
    }
}

static void
a_sum_of_minus_zero_stays_minus_zero(void)
{
    struct maker maker = maker_init(11, 9, 1, 2);

    for (uint32_t t = 0; t < 2; t++) {
        maker_grow(&maker, t, 400, MAKER_NUMERIC);
        const struct neutral_tree *tree = &maker.model.trees[t];
        for (uint32_t i = 0; i < tree->node_count; i++) {
            if (tree->left[i] == NEUTRAL_LEAF) {
                ((double *)(uintptr_t)tree->value)[i] = -0.0;
            }
        }
    }
    ((double *)(uintptr_t)maker.model.base_margins)[0] = -0.0;
    struct sample sample = sample_open(&maker, 300, true);
    CHECK_INT(blob_header(&sample.f.model)->batch_part_max, 2);
    /* The rules read aloud begin at +0. */
    for (size_t r = 0; r < 300; r++) {
        ((float *)sample.wanted)[r] = -0.0f;
    }
    CHECK(kernels_agree(&sample, 300) > 0);
    sample_close(&sample);
    arena_fini(&maker.arena);
}

static void
a_tree_too_large_for_masks_is_left_to_other_kernels(void)
{
    struct maker maker = maker_init(11, 9, 1, 1);

    maker_grow(&maker, 0, BATCH_NODES_MAX / 2 + 1, MAKER_NUMERIC);
    struct sample sample = sample_open(&maker, 300, true);
    CHECK_INT(blob_header(&sample.f.model)->batch_mask_count, 0);
    CHECK_INT(kernels_agree(&sample, 300), 0);
    sample_close(&sample);
    arena_fini(&maker.arena);
}

static bool
has_kernel(const struct model *model, const char *name)
{
    const char *names[MODEL_KERNELS_MAX];
    size_t count = model_kernel_names(model, names, MODEL_KERNELS_MAX);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void
forests_of_plain_tests_walk_eight_at_a_time_and_give_the_same_bits(void)
{
    static const size_t counts[] = {1, 2, 7, 8, 9, 15, 16, 100, ROWS};

    for (uint32_t seed = 1; seed <= 12; seed++) {
        struct maker maker = maker_init(seed, 9, 3, 1 + seed % 11);
        maker.model.number = seed % 2 == 0 ? MODEL_FLOAT32 : MODEL_FLOAT64;
        maker.model.leaf_width = seed % 4 < 2 ? 3 : 1;
        maker.model.divisor = 11.0;
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, maker_random(&maker, 200), MAKER_NUMERIC);
        }
        struct sample sample = sample_open(&maker, ROWS, true);
        CHECK(has_kernel(&sample.f.model, "wide8"));
        for (size_t i = 0; i < AUGURY_COUNT(counts); i++) {
            CHECK(kernels_agree(&sample, counts[i]) >= 0);
        }
        sample_close(&sample);
        arena_fini(&maker.arena);
    }
}

static void
other_tests_than_of_numbers_are_not_for_eight_plain_walks(void)
{
    struct maker maker = maker_init(5, 9, 1, 1);

    maker.model.number = MODEL_FLOAT64;
    maker_grow(&maker, 0, 50, MAKER_RULES);
    struct sample sample = sample_open(&maker, 10, true);
    CHECK(!has_kernel(&sample.f.model, "wide8") && has_kernel(&sample.f.model, "wide"));
    sample_close(&sample);
    arena_fini(&maker.arena);
}

/* ---- hostile blobs --------------------------------------------------------------------------- */

static int
open_sealed(struct fixture *f)
{
    struct blob_header *header = (struct blob_header *)f->blob.data;
    struct digest digest =
        digest_of(bytes_of(f->blob.data + BLOB_CHECKSUM_FROM, f->blob.len - BLOB_CHECKSUM_FROM));
    struct model model;

    header->checksum_lo = digest.lo;
    header->checksum_hi = digest.hi;
    return model_open(buf_view(&f->blob), MODEL_CHECK_ALL, &model, NULL);
}

/* Refused with that byte changed, accepted without. */
static bool
is_refused_with(struct fixture *f, void *place, uint8_t value)
{
    uint8_t *byte = place;
    uint8_t kept = *byte;

    *byte = value;
    bool is_refused = open_sealed(f) == AUGURY_ERR_CORRUPT;
    *byte = kept;
    return is_refused && open_sealed(f) == 0;
}

static void *
place_of(struct fixture *f, enum blob_section section)
{
    return f->blob.data + blob_header(&f->model)->sections[section].offset;
}

static void
trees_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct maker maker = maker_init(3, 5, 2, 3);

    maker_grow(&maker, 0, 20, MAKER_RULES);
    maker_grow(&maker, 1, 30, MAKER_CHAIN);
    maker_grow(&maker, 2, 400, MAKER_RULES);
    maker_tree(&maker, 0)->output = 0;
    maker_tree(&maker, 1)->output = 0;
    maker_tree(&maker, 2)->output = 1;
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    struct blob_header *header = (struct blob_header *)f.blob.data;
    struct batch_tree *trees = place_of(&f, BLOB_BATCH_TREES);
    uint32_t *tests = place_of(&f, BLOB_BATCH_TESTS);
    uint16_t *lists = place_of(&f, BLOB_BATCH_LISTS);
    CHECK(trees[0].depth > 0 && trees[1].depth == 0 && trees[2].parts == 2);
    CHECK(is_refused_with(&f, (uint8_t *)&tests[0] + 1, 0xff)); /* a mask that is not there */
    CHECK(is_refused_with(&f, (uint8_t *)&tests[0] + 3, 0xff)); /* missing from no column */
    CHECK(is_refused_with(&f, &trees[0].test, 1));
    CHECK(is_refused_with(&f, &trees[0].leaf, 1));
    CHECK(is_refused_with(&f, &trees[0].depth, 9));
    CHECK(is_refused_with(&f, &trees[0].depth, (uint8_t)(trees[0].depth - 1)));
    CHECK(is_refused_with(&f, &trees[0].slot_bits, (uint8_t)(trees[0].slot_bits - 1)));
    CHECK(is_refused_with(&f, &trees[0].slot_bits, 9));
    CHECK(is_refused_with(&f, &trees[0].slot_bits, 248)); /* no shift by so many */
    CHECK(is_refused_with(&f, &trees[0].output, 2));
    CHECK(is_refused_with(&f, &trees[0].inner, 1));
    CHECK(is_refused_with(&f, &trees[0].parts, 2));
    CHECK(is_refused_with(&f, &trees[1].parts, 0));
    CHECK(is_refused_with(&f, &trees[1].slot_bits, 4));
    CHECK(is_refused_with(&f, &trees[1].inner, 31));
    CHECK(is_refused_with(&f, &trees[2].parts, 1));
    CHECK(is_refused_with(&f, &lists[1], 3));    /* read before it is reached */
    CHECK(is_refused_with(&f, &lists[30], 200)); /* a list past the section or into the next */
    CHECK(is_refused_with(&f, &lists[31], 61));  /* no such node */
    CHECK(is_refused_with(&f, &header->batch_mask_count, 0));
    CHECK(is_refused_with(&f, &header->batch_node_max, 0x20));
    CHECK(is_refused_with(&f, (uint8_t *)&header->batch_node_max + 2, 1));
    CHECK(is_refused_with(&f, &header->batch_part_max, 1));
    CHECK(is_refused_with(&f, (uint8_t *)&header->batch_part_max + 2, 1));
    CHECK(is_refused_with(&f, &header->batch_test_count, 1));
    CHECK(is_refused_with(&f, &header->batch_leaf_bytes, 1));
    fixture_close(&f);
    arena_fini(&maker.arena);
}

int
main(void)
{
    TAP_RUN(any_number_of_rows_gives_the_bits_of_the_rules);
    TAP_RUN(random_models_give_the_bits_of_the_rules);
    TAP_RUN(full_trees_of_every_depth_give_the_bits_of_the_rules);
    TAP_RUN(deep_trees_with_few_leaves_are_sparse_and_give_the_same_bits);
    TAP_RUN(trees_of_more_leaves_than_a_byte_counts_are_in_parts);
    TAP_RUN(a_sum_of_minus_zero_stays_minus_zero);
    TAP_RUN(a_tree_too_large_for_masks_is_left_to_other_kernels);
    TAP_RUN(forests_of_plain_tests_walk_eight_at_a_time_and_give_the_same_bits);
    TAP_RUN(other_tests_than_of_numbers_are_not_for_eight_plain_walks);
    TAP_RUN(trees_that_lead_astray_are_refused_in_spite_of_the_checksum);
    return tap_done();
}
