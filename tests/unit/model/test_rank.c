/* SPDX-License-Identifier: MIT */
/* test_rank.c - a node's test on ranks is its test on values, for every node, rule and hard value;
 * and nothing damaged in the sections of ranks, roots and records is opened. */
#include "maker.h"

#include "../../../src/model/walk.h"

enum { ROWS = 24, WIDE_THRESHOLDS = 1000 };

static void
row_fill(struct maker *maker, const struct model *model, void *row)
{
    for (uint32_t i = 0; i < model->feature_count; i++) {
        double x = maker_random(maker, 6) == 0 ? (double)NAN : (double)maker_value(maker);
        if (maker_random(maker, 4) == 0) {
            x = (double)maker_random(maker, 300) * 0.25;
        }
        model_number_set(model, row, i, maker_random(maker, 6) == 0 ? -x : x);
    }
}

static bool
node_agrees(const struct rank_plan *plan, uint32_t number, uint32_t node, const void *row,
            const uint8_t *ranks)
{
    const struct neutral_tree *tree = &plan->model->trees[number];
    struct rank_node test = rank_plan_node(plan, number, node);
    bool is_missing = ranks[test.column] == RANK_MISSING;
    bool is_left = is_missing ? test.is_default_left : ranks[test.column] < test.code;

    return is_left ==
           maker_goes_left(tree, node, maker_cell(plan->model, row, tree->feature[node]));
}

/* Over ROWS rows, each node of each tree. */
static bool
nodes_agree(struct maker *maker, const struct fixture *f)
{
    static uint8_t ranks[RANK_COLUMNS_MAX];
    static double row[64];
    struct rank_plan plan;
    bool is_good = rank_plan_make(&maker->model, &maker->arena, &plan, NULL) == 0 &&
                   plan.column_count == blob_header(&f->model)->rank_column_count &&
                   plan.column_count > 0 && f->model.feature_count <= AUGURY_COUNT(row);

    for (uint32_t r = 0; is_good && r < ROWS; r++) {
        row_fill(maker, &f->model, row);
        bool has_missing = rank_row(&f->model, row, ranks);
        is_good = has_missing == (memchr(ranks, RANK_MISSING, plan.column_count) != NULL);
        for (uint32_t t = 0; is_good && t < maker->model.tree_count; t++) {
            const struct neutral_tree *tree = &maker->model.trees[t];
            for (uint32_t i = 0; is_good && i < tree->node_count; i++) {
                is_good = tree->left[i] == NEUTRAL_LEAF || node_agrees(&plan, t, i, row, ranks);
            }
        }
    }
    return is_good;
}

static void
a_nodes_test_on_ranks_is_its_test_on_values(void)
{
    for (uint32_t seed = 1; seed <= 80; seed++) {
        struct maker maker = maker_init(seed, 1 + seed % 9, 1, 1 + seed % 11);
        maker.model.number = seed % 2 == 0 ? MODEL_FLOAT32 : MODEL_FLOAT64;
        for (uint32_t t = 0; t < maker.model.tree_count; t++) {
            maker_grow(&maker, t, 1 + maker_random(&maker, 40),
                       seed % 3 == 0 ? MAKER_NUMERIC : MAKER_RULES);
        }
        struct fixture f = maker_compile(&maker);
        CHECK_INT(f.rc, 0);
        if (!nodes_agree(&maker, &f)) {
            TAP_FAIL("model of seed %u differs", seed);
        }
        fixture_close(&f);
        arena_fini(&maker.arena);
    }
}

/* One input of that many distinct thresholds. */
static struct maker
maker_of_thresholds(uint64_t seed, enum model_number number, uint32_t thresholds)
{
    struct maker maker = maker_init(seed, 2, 1, 4);

    maker.model.number = number;
    for (uint32_t t = 0; t < 4; t++) {
        maker_grow(&maker, t, thresholds / 4, MAKER_NUMERIC);
        const struct neutral_tree *tree = &maker.model.trees[t];
        uint32_t at = 0;
        for (uint32_t i = 0; i < tree->node_count; i++) {
            if (tree->left[i] != NEUTRAL_LEAF) {
                ((uint32_t *)(uintptr_t)tree->feature)[i] = 1;
                ((double *)(uintptr_t)tree->value)[i] = (double)(4 * at++ + t) * 0.25;
            }
        }
    }
    return maker;
}

static void
an_input_of_many_thresholds_takes_several_columns(void)
{
    static const uint32_t counts[] = {4, 12, 16, 20, 240, 252, 256, 260, 508, 512, WIDE_THRESHOLDS};

    for (size_t i = 0; i < AUGURY_COUNT(counts); i++) {
        for (int number = MODEL_FLOAT32; number <= MODEL_FLOAT64; number++) {
            struct maker maker = maker_of_thresholds(i + 1, (enum model_number)number, counts[i]);
            struct fixture f = maker_compile(&maker);
            CHECK_INT(f.rc, 0);
            CHECK_INT(blob_header(&f.model)->rank_column_count,
                      (counts[i] + RANK_THRESHOLDS_MAX - 1) / RANK_THRESHOLDS_MAX);
            CHECK(nodes_agree(&maker, &f));
            fixture_close(&f);
            arena_fini(&maker.arena);
        }
    }
}

static void
sets_of_distant_categories_have_no_ranks(void)
{
    struct maker maker = maker_init(5, 1, 1, 9);

    for (uint32_t t = 0; t < 9; t++) {
        maker_grow(&maker, t, 30, MAKER_SETS);
    }
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(blob_header(&f.model)->rank_column_count, 0);
    CHECK_INT(blob_header(&f.model)->walk_record_count, 0);
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
sets_that_are_equal_share_a_column(void)
{
    struct maker maker = maker_init(5, 1, 1, 9);

    for (uint32_t t = 0; t < 9; t++) {
        maker_grow(&maker, t, 30, MAKER_RULES);
    }
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    const struct blob_header *header = blob_header(&f.model);
    /* The maker draws two categories of three and two, and a side: twelve sets in all. */
    CHECK_INT(header->rank_column_count - header->rank_number_columns, 12);
    CHECK_INT(header->rank_set_bytes, 12 * 302);
    fixture_close(&f);
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

static struct fixture
fixture_of_rules(struct maker *out_maker)
{
    *out_maker = maker_init(3, 3, 1, 20);
    for (uint32_t t = 0; t < 20; t++) {
        maker_grow(out_maker, t, 40, MAKER_RULES);
    }
    return maker_compile(out_maker);
}

static void *
place_of(struct fixture *f, enum blob_section section)
{
    return f->blob.data + blob_header(&f->model)->sections[section].offset;
}

static void
columns_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct maker maker;
    struct fixture f = fixture_of_rules(&maker);

    CHECK_INT(f.rc, 0);
    const struct blob_header *header = blob_header(&f.model);
    struct rank_column *columns = place_of(&f, BLOB_RANK_COLUMNS);
    struct rank_column *sets = columns + header->rank_number_columns;
    CHECK(is_refused_with(&f, &columns[0].feature, 3));
    CHECK(is_refused_with(&f, &columns[0].first, (uint8_t)(columns[0].first + 16)));
    CHECK(is_refused_with(&f, &columns[0].count, 255));
    CHECK(is_refused_with(&f, &columns[0].kind, RANK_SET));
    CHECK(is_refused_with(&f, &columns[0].rule, 1));
    CHECK(is_refused_with(&f, &sets[0].width, 0));
    CHECK(is_refused_with(&f, &sets[0].width, 200));
    CHECK(is_refused_with(&f, &sets[0].first, 1));
    CHECK(is_refused_with(&f, &sets[0].count, (uint8_t)(sets[0].count + 1)));
    CHECK(is_refused_with(&f, place_of(&f, BLOB_RANK_SETS), 255));
    /* A pivot of its own: more segments would be passed than there are. */
    CHECK(is_refused_with(&f, (uint8_t *)place_of(&f, BLOB_RANK_THRESHOLDS) + 3, 0x3f));
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
roots_and_records_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct maker maker;
    struct fixture f = fixture_of_rules(&maker);

    CHECK_INT(f.rc, 0);
    const struct blob_header *header = blob_header(&f.model);
    CHECK(header->walk_record_count > 0 && header->walk_step_count > 1);
    struct walk_root *roots = place_of(&f, BLOB_WALK_ROOTS);
    struct walk_trees *trees = place_of(&f, BLOB_WALK_TREES);
    uint8_t *records = place_of(&f, BLOB_WALK_RECORDS);
    struct walk_record *record = (struct walk_record *)records;
    CHECK(header->rank_column_count < 127);
    CHECK(is_refused_with(&f, &roots[0].columns[0], 127));
    CHECK(is_refused_with(&f, &roots[0].columns[0], 255));
    CHECK(is_refused_with(&f, (uint8_t *)&trees[0].first[0] + 3, 1));
    CHECK(is_refused_with(&f, &trees[1].first[7], 1)); /* past the last tree */
    CHECK(is_refused_with(&f, &record->columns[6], 127));
    while (record->inner == 0) {
        records += header->walk_stride;
        record = (struct walk_record *)records;
    }
    unsigned exit = (unsigned)__builtin_ctz(record->inner);
    uint8_t *word = records + sizeof(*record) + exit * sizeof(uint32_t);
    CHECK(is_refused_with(&f, word, 0));     /* back */
    CHECK(is_refused_with(&f, word + 3, 1)); /* far out */
    CHECK(is_refused_with(&f, &((struct blob_header *)f.blob.data)->walk_step_count, 0));
    fixture_close(&f);
    arena_fini(&maker.arena);
}

/* The sections are as large as the header's counts want: none grows. */
static void
fit_sections(struct blob_header *header)
{
    for (unsigned i = 0; i < BLOB_SECTION_COUNT; i++) {
        header->sections[i].bytes = blob_section_bytes(header, i);
    }
}

/* A way longer than the header says would end at a record's number and take it for a vector's. */
static void
a_record_past_the_last_vector_is_refused_in_spite_of_the_checksum(void)
{
    enum { RECORDS = 8 };
    static const uint8_t room[RECORDS * 256 + 16];
    struct maker maker = maker_init(3, 3, 2, 1);

    maker.model.leaf_width = 2;
    maker_grow(&maker, 0, 1, MAKER_NUMERIC);
    struct fixture f = maker_compile(&maker);
    CHECK_INT(f.rc, 0);
    CHECK_INT(blob_header(&f.model)->vector_count, 2);
    size_t place = (f.blob.len + 15) / 16 * 16;
    buf_put_bytes(&f.blob, bytes_of(room, sizeof(room)));
    CHECK_INT(buf_finish(&f.blob), 0);
    struct blob_header *header = (struct blob_header *)f.blob.data;
    header->total_bytes = f.blob.len;
    header->walk_record_count = RECORDS;
    header->sections[BLOB_WALK_RECORDS] =
        (struct blob_range){place, (uint64_t)RECORDS * header->walk_stride};
    struct walk_record *record = (struct walk_record *)(f.blob.data + place);
    uint32_t *exits = (uint32_t *)(void *)(record + 1);
    record->inner = 1;
    exits[0] = 1;
    CHECK(is_refused_with(&f, exits, RECORDS - 1));
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
records_of_no_tree_are_refused_in_spite_of_the_checksum(void)
{
    struct maker maker;
    struct fixture f = fixture_of_rules(&maker);

    CHECK_INT(f.rc, 0);
    struct blob_header *header = (struct blob_header *)f.blob.data;
    header->tree_count = header->node_count = header->set_words = 0;
    header->batch_mask_count = header->batch_test_count = header->batch_list_count = 0;
    header->batch_leaf_bytes = header->contribution_points = 0;
    fit_sections(header);
    CHECK_INT(open_sealed(&f), AUGURY_ERR_CORRUPT);
    header->walk_record_count = header->walk_step_count = 0;
    header->walk_root_depth = header->walk_stride = 0;
    fit_sections(header);
    CHECK_INT(open_sealed(&f), 0);
    fixture_close(&f);
    arena_fini(&maker.arena);
}

static void
a_kernel_that_cannot_run_is_refused_with_the_names_of_those_that_can(void)
{
    struct fixture f = fixture_of_file("two-trees.json", NULL);

    CHECK_INT(f.rc, 0);
    CHECK_INT(model_force_kernel(&f.model, "pack8", &f.err), 0);
    CHECK(strcmp(model_kernel(&f.model, 1), "pack8") == 0);
    CHECK(strcmp(model_kernel(&f.model, 1000), "pack8") == 0);
    CHECK_INT(model_force_kernel(&f.model, "wide", &f.err), AUGURY_ERR_INVALID);
    CHECK(strstr(f.err.reason, "wide") != NULL && strstr(f.err.reason, "pack8") != NULL);
    CHECK_INT(model_force_kernel(&f.model, "no such", &f.err), AUGURY_ERR_INVALID);
    CHECK(strcmp(model_kernel(&f.model, 1), "pack8") == 0);
    CHECK_INT(model_force_kernel(&f.model, "auto", &f.err), 0);
    fixture_close(&f);
}

int
main(void)
{
    TAP_RUN(a_nodes_test_on_ranks_is_its_test_on_values);
    TAP_RUN(an_input_of_many_thresholds_takes_several_columns);
    TAP_RUN(sets_of_distant_categories_have_no_ranks);
    TAP_RUN(sets_that_are_equal_share_a_column);
    TAP_RUN(columns_that_lead_astray_are_refused_in_spite_of_the_checksum);
    TAP_RUN(roots_and_records_that_lead_astray_are_refused_in_spite_of_the_checksum);
    TAP_RUN(a_record_past_the_last_vector_is_refused_in_spite_of_the_checksum);
    TAP_RUN(records_of_no_tree_are_refused_in_spite_of_the_checksum);
    TAP_RUN(a_kernel_that_cannot_run_is_refused_with_the_names_of_those_that_can);
    return tap_done();
}
