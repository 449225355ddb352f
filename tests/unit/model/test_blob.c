/* SPDX-License-Identifier: MIT */
/* test_blob.c - the bytes of a compiled model: their places, golden values, and that nothing
 * damaged or hostile is opened. */
#include "maker.h"

/* The blob of a file of tests/data/models, in memory as LMDB would lay it: 16 bytes into a page. */
struct paged {
    uint8_t *page;
    struct bytes blob;
    struct blob_header *header;
};

static struct paged
paged_of(struct fixture f)
{
    struct paged paged = {0};

    if (f.rc == 0) {
        paged.page = aligned_alloc(4096, (f.blob.len + BLOB_PAGE_OFFSET + 4095) / 4096 * 4096);
        AUGURY_ASSERT(paged.page != NULL);
        memcpy(paged.page + BLOB_PAGE_OFFSET, f.blob.data, f.blob.len);
        paged.blob = bytes_of(paged.page + BLOB_PAGE_OFFSET, f.blob.len);
        paged.header = (struct blob_header *)(paged.page + BLOB_PAGE_OFFSET);
    }
    fixture_close(&f);
    return paged;
}

static struct paged
paged_of_file(const char *name)
{
    return paged_of(fixture_of_file(name, NULL));
}

static void *
section_of(struct paged *paged, enum blob_section section)
{
    return (uint8_t *)paged->header + paged->header->sections[section].offset;
}

/* As an attacker would: the checksum fits whatever the bytes are. */
static int
open_sealed(struct paged *paged)
{
    struct digest digest = digest_of(
        bytes_of(paged->blob.data + BLOB_CHECKSUM_FROM, paged->blob.len - BLOB_CHECKSUM_FROM));
    struct model model;

    paged->header->checksum_lo = digest.lo;
    paged->header->checksum_hi = digest.hi;
    return model_open(paged->blob, MODEL_CHECK_ALL, &model, NULL);
}

static void
sections_begin_cache_lines_when_the_value_stands_in_an_lmdb_page(void)
{
    struct paged paged = paged_of_file("categorical.json");
    uint64_t end = sizeof(struct blob_header);

    CHECK(paged.header != NULL);
    CHECK(paged.blob.len > 2048 && paged.blob.len % 8 == 0);
    for (unsigned i = 0; i < BLOB_SECTION_COUNT; i++) {
        CHECK_INT((uintptr_t)section_of(&paged, i) % 64, 0);
        CHECK(paged.header->sections[i].offset >= end);
        end = paged.header->sections[i].offset + paged.header->sections[i].bytes;
    }
    CHECK(end <= paged.blob.len);
    free(paged.page);
}

static void
the_bytes_of_a_small_model_are_the_documented_ones(void)
{
    struct paged paged = paged_of_file("stump.json");

    CHECK(paged.header != NULL);
    const uint8_t *blob = paged.blob.data;
    CHECK(memcmp(blob, "AUGURYMD", 8) == 0);
    CHECK_INT(le32_get(blob + 8), 7);           /* format */
    CHECK_INT(le32_get(blob + 12), 0x01020304); /* byte order */
    CHECK_INT(le64_get(blob + 16), 4096);       /* bytes in all */
    CHECK_INT(le32_get(blob + 56), 2);          /* features */
    CHECK_INT(le32_get(blob + 60), 1);          /* outputs */
    CHECK_INT(le32_get(blob + 64), 1);          /* trees */
    CHECK_INT(le32_get(blob + 68), 3);          /* nodes */
    const uint8_t *nodes = section_of(&paged, BLOB_NODES);
    static const uint8_t golden[] = {
        0, 0, 0x00, 0x3f, 0x00, 0x20, 0, 0, /* 0.5, slot 0, left child 1 further */
        0, 0, 0x80, 0x3f, 0x04, 0x00, 0, 0, /* 1.0, slot 4 (NaN), a leaf */
        0, 0, 0x00, 0x40, 0x04, 0x00, 0, 0, /* 2.0 */
    };
    CHECK(memcmp(nodes, golden, sizeof(golden)) == 0);
    free(paged.page);
}

/* A compiler that writes other bytes has to raise BLOB_FORMAT: what is stored would be called
 * damaged, or answer wrongly. */
static void
roots_and_records_have_the_bytes_of_this_format(void)
{
    static const enum blob_section sections[] = {BLOB_WALK_ROOTS, BLOB_WALK_TREES,
                                                 BLOB_WALK_RECORDS};
    static const uint64_t golden[] = {0x96064a396f63024fULL, 0x24cd1bf5d7d31e01ULL,
                                      0xf357b7da2f09f5b7ULL};
    struct paged paged = paged_of_file("../nfl-wp/model.json");

    CHECK(paged.header != NULL);
    CHECK_INT(paged.header->format, 7);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        const struct blob_range *range = &paged.header->sections[sections[i]];
        CHECK(range->bytes > 0);
        struct digest digest = digest_of(bytes_of(section_of(&paged, sections[i]), range->bytes));
        if (digest.lo != golden[i]) {
            TAP_FAIL("section %d has the digest %llx", (int)sections[i],
                     (unsigned long long)digest.lo);
        }
    }
    free(paged.page);
}

static void
a_blob_answers_from_any_eight_byte_aligned_place(void)
{
    struct fixture f = fixture_of_file("two-trees.json", NULL);
    uint8_t *room = aligned_alloc(64, f.blob.len + 128);
    const float row[] = {0.0f, 0.0f};

    CHECK_INT(f.rc, 0);
    CHECK(room != NULL);
    for (size_t shift = 0; shift < 64; shift += 8) {
        struct model model;
        float margin = 0.0f;
        memcpy(room + shift, f.blob.data, f.blob.len);
        CHECK_INT(model_open(bytes_of(room + shift, f.blob.len), MODEL_CHECK_ALL, &model, &f.err),
                  0);
        model_margins(&model, row, 1, f.scratch, &margin);
        CHECK(margin == 1.25f);
    }
    CHECK(model_open(bytes_of(room + 57, f.blob.len), MODEL_CHECK_ALL, &f.model, &f.err) ==
          AUGURY_ERR_CORRUPT);
    free(room);
    fixture_close(&f);
}

static void
a_change_of_any_byte_is_noticed(void)
{
    struct paged paged = paged_of_file("categorical.json");
    struct model model;

    CHECK(paged.header != NULL);
    uint8_t *bytes = (uint8_t *)paged.header;
    for (size_t i = 0; i < paged.blob.len; i++) {
        bytes[i] ^= 0x10;
        int rc = model_open(paged.blob, MODEL_CHECK_ALL, &model, NULL);
        bytes[i] ^= 0x10;
        if (rc >= 0) {
            TAP_FAIL("a change of byte %zu was not noticed", i);
        }
    }
    CHECK_INT(model_open(paged.blob, MODEL_CHECK_ALL, &model, NULL), 0);
    free(paged.page);
}

static void
every_truncation_is_noticed_by_the_header_alone(void)
{
    struct paged paged = paged_of_file("stump.json");
    struct model model;

    CHECK(paged.header != NULL);
    for (size_t len = 0; len < paged.blob.len; len += 8) {
        CHECK(model_open(bytes_of(paged.blob.data, len), MODEL_CHECK_HEADER, &model, NULL) < 0);
    }
    free(paged.page);
}

static void
packed_nodes_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct paged paged = paged_of_file("stump.json");

    CHECK(paged.header != NULL);
    struct pack_node *nodes = section_of(&paged, BLOB_NODES);
    const uint32_t good = nodes[0].step;
    const uint32_t bad[] = {
        good + (1u << PACK_SLOT_BITS),                /* children one further */
        good + (2u << PACK_SLOT_BITS),                /* outside */
        0xffffe000u,                                  /* far outside */
        good & (uint32_t)PACK_SLOT_MASK,              /* an inner node that stays */
        (good & ~(uint32_t)PACK_SLOT_MASK) | 5u,      /* no such slot */
        (good & ~(uint32_t)PACK_SLOT_MASK) | 0x1fffu, /* nor this one */
        (good & ~(uint32_t)PACK_SLOT_MASK) | 4u,      /* a leaf that moves */
    };
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        nodes[0].step = bad[i];
        CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    }
    nodes[0].step = good;
    nodes[2].step = good; /* the last leaf has children outside */
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    nodes[2].step = nodes[1].step;
    CHECK_INT(open_sealed(&paged), 0);
    free(paged.page);
}

static void
rounds_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct paged paged = paged_of_file("two-trees.json");

    CHECK(paged.header != NULL);
    struct blob_round *round = section_of(&paged, BLOB_ROUNDS);
    const struct blob_round good = *round;
    round->root[1] = 2;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    *round = good;
    round->root[1] = 60000;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    *round = good;
    round->root[5] = 60000; /* past the last tree, still walked */
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    *round = good;
    round->depth[0] = 2;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    *round = good;
    round->output[1] = 1;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    *round = good;
    CHECK_INT(open_sealed(&paged), 0);
    free(paged.page);
}

static void
category_sets_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct paged paged = paged_of_file("categorical.json");

    CHECK(paged.header != NULL);
    struct wide_node *nodes = section_of(&paged, BLOB_NODES);
    uint32_t *sets = section_of(&paged, BLOB_SETS);
    const struct wide_node good = nodes[0];
    nodes[0].value += 1.0;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    nodes[0] = good;
    nodes[0].feature = 2;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    nodes[0] = good;
    nodes[0].distance = 3;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    nodes[0] = good;
    sets[1] = 1000;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    sets[1] = 2;
    sets[0] = 3;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    sets[0] = SET_BITS;
    CHECK_INT(open_sealed(&paged), 0);
    free(paged.page);
}

static void
a_schema_that_leads_astray_is_refused_in_spite_of_the_checksum(void)
{
    struct paged paged = paged_of_file("categories-named.json");

    CHECK(paged.header != NULL);
    struct blob_feature *features = section_of(&paged, BLOB_FEATURES);
    struct blob_level *levels = section_of(&paged, BLOB_LEVELS);
    uint32_t *slots = section_of(&paged, BLOB_NAME_SLOTS);
    features[0].name_bytes += 1000;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    features[0].name_bytes -= 1000;
    features[1].level_count = 1;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    features[1].level_count = 0;
    levels[2].by_name = 3;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    levels[2].by_name = 1;
    for (uint32_t i = 0; i < paged.header->name_slot_count; i++) {
        uint32_t kept = slots[i];
        slots[i] = kept == 0 ? 1 : kept + 2; /* full, or a feature that is not there */
        CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
        slots[i] = kept;
    }
    CHECK_INT(open_sealed(&paged), 0);
    free(paged.page);
}

static void
contributions_that_lead_astray_are_refused_in_spite_of_the_checksum(void)
{
    struct paged paged = paged_of_file("two-trees.json");

    CHECK(paged.header != NULL);
    float *shares = section_of(&paged, BLOB_SHARES);
    double *biases = section_of(&paged, BLOB_BIASES);
    const uint32_t points = paged.header->contribution_points;
    const double bias = biases[0];
    const float share = shares[0];
    const float bad[] = {-0.125f, 1.5f, NAN};
    for (size_t i = 0; i < AUGURY_COUNT(bad); i++) {
        shares[0] = bad[i];
        CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    }
    shares[0] = share;
    biases[0] = INFINITY;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    biases[0] = bias;
    paged.header->contribution_points = points + 1;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    paged.header->contribution_points = UINT32_MAX;
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    paged.header->contribution_points = points;
    paged.header->tree_depth -= 1; /* the stack of a walk would be too short */
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    paged.header->tree_depth += 1;
    CHECK_INT(open_sealed(&paged), 0);
    free(paged.page);
}

static void
a_linear_model_of_several_layers_is_refused_in_spite_of_the_checksum(void)
{
    struct paged paged = paged_of(fixture_of_text(
        "{\"format\":\"augury-model\",\"format_version\":1,\"kind\":\"mlp\",\"features\":"
        "[{\"name\":\"x\"}],\"layers\":[{\"weights\":[[1],[2],[3]],\"bias\":[0,0,0],"
        "\"activation\":\"relu\"},{\"weights\":[[1,1,1]],\"bias\":[0],\"activation\":"
        "\"identity\"}]}"));

    CHECK(paged.header != NULL);
    CHECK_INT(open_sealed(&paged), 0);
    paged.header->kind = NEUTRAL_LINEAR; /* its first layer would give three outputs of one */
    CHECK_INT(open_sealed(&paged), AUGURY_ERR_CORRUPT);
    free(paged.page);
}

int
main(void)
{
    TAP_RUN(sections_begin_cache_lines_when_the_value_stands_in_an_lmdb_page);
    TAP_RUN(the_bytes_of_a_small_model_are_the_documented_ones);
    TAP_RUN(roots_and_records_have_the_bytes_of_this_format);
    TAP_RUN(a_blob_answers_from_any_eight_byte_aligned_place);
    TAP_RUN(a_change_of_any_byte_is_noticed);
    TAP_RUN(every_truncation_is_noticed_by_the_header_alone);
    TAP_RUN(packed_nodes_that_lead_astray_are_refused_in_spite_of_the_checksum);
    TAP_RUN(rounds_that_lead_astray_are_refused_in_spite_of_the_checksum);
    TAP_RUN(category_sets_that_lead_astray_are_refused_in_spite_of_the_checksum);
    TAP_RUN(a_schema_that_leads_astray_is_refused_in_spite_of_the_checksum);
    TAP_RUN(contributions_that_lead_astray_are_refused_in_spite_of_the_checksum);
    TAP_RUN(a_linear_model_of_several_layers_is_refused_in_spite_of_the_checksum);
    return tap_done();
}
