/* SPDX-License-Identifier: MIT */
/*
 * kernel_row_avx512.c - one row with 512-bit vectors: ranks of all columns sit in one or two
 * registers, a permutation of bytes brings each node its rank, one comparison decides 64 nodes.
 * Trees are taken in chunks, a chunk in passes: all roots, the way through them, all records, the
 * way through those, the leaves in the order of the trees. Each pass is many independent steps, and
 * the sum of one chunk, a chain of additions, runs beside the passes of the next.
 */
#include "kernel.h"
#include "walk.h"

#include <immintrin.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { CHUNK_TREES = 64, RECORD_TREES = 4, HEAD_WORDS = 4, INNER_SHIFT = 24 };

/* ---- a row's ranks --------------------------------------------------------------------------- */

ALWAYS_INLINE unsigned
passed_f32(__m512 x, const float *numbers)
{
    __mmask16 passed = _mm512_cmp_ps_mask(x, _mm512_loadu_ps(numbers), _CMP_GE_OQ);

    return (unsigned)__builtin_popcount(passed);
}

ALWAYS_INLINE unsigned
passed_f64(__m512d x, const double *numbers)
{
    __mmask8 low = _mm512_cmp_pd_mask(x, _mm512_loadu_pd(numbers), _CMP_GE_OQ);
    __mmask8 high = _mm512_cmp_pd_mask(x, _mm512_loadu_pd(numbers + 8), _CMP_GE_OQ);

    return (unsigned)__builtin_popcount((unsigned)low | (unsigned)high << 8);
}

static bool
ranks_f32(const struct model *model, const float *row, uint8_t *out_ranks)
{
    const struct rank_column *columns = rank_columns(model);
    const float *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    uint32_t count = blob_header(model)->rank_number_columns;
    unsigned missing = 0;

    for (uint32_t c = 0; c < count; c++) {
        float x = row[columns[c].feature];
        if (columns[c].rule == NEUTRAL_NAN_IS_ZERO) {
            x = x != x ? 0.0f : x;
        } else if (columns[c].rule == NEUTRAL_ZERO_IS_MISSING) {
            x = __builtin_fabs((double)x) <= NEUTRAL_ZERO ? __builtin_nanf("") : x;
        }
        __m512 wide = _mm512_set1_ps(x);
        unsigned rank = RANK_SEGMENT * passed_f32(wide, thresholds + (size_t)c * RANK_SEGMENT);
        rank += passed_f32(wide, thresholds + columns[c].first + rank);
        unsigned is_missing = x != x;
        out_ranks[c] = (uint8_t)(rank | (0u - is_missing));
        missing |= is_missing;
    }
    return missing != 0;
}

static bool
ranks_f64(const struct model *model, const double *row, uint8_t *out_ranks)
{
    const struct rank_column *columns = rank_columns(model);
    const double *thresholds = blob_section(model, BLOB_RANK_THRESHOLDS);
    uint32_t count = blob_header(model)->rank_number_columns;
    unsigned missing = 0;

    for (uint32_t c = 0; c < count; c++) {
        double x = row[columns[c].feature];
        if (columns[c].rule == NEUTRAL_NAN_IS_ZERO) {
            x = x != x ? 0.0 : x;
        } else if (columns[c].rule == NEUTRAL_ZERO_IS_MISSING) {
            x = __builtin_fabs(x) <= NEUTRAL_ZERO ? __builtin_nan("") : x;
        }
        __m512d wide = _mm512_set1_pd(x);
        unsigned rank = RANK_SEGMENT * passed_f64(wide, thresholds + (size_t)c * RANK_SEGMENT);
        rank += passed_f64(wide, thresholds + columns[c].first + rank);
        unsigned is_missing = x != x;
        out_ranks[c] = (uint8_t)(rank | (0u - is_missing));
        missing |= is_missing;
    }
    return missing != 0;
}

/* ---- tests of nodes -------------------------------------------------------------------------- */

/* What one row needs of the blob, and its ranks. */
struct walk_row {
    const struct walk_root *roots;
    const struct walk_trees *trees;
    const uint8_t *records;
    uint32_t tree_count;
    uint32_t stride_words;
    uint32_t step_count;
    uint32_t exit_words;
    _Alignas(64) uint8_t ranks[WALK_COLUMNS_MAX];
};

/* What is known of all rows of a model, and of this one: constants of each variant. */
struct variant {
    unsigned root_depth;
    bool has_two_tables; /* more than 64 columns */
    bool has_missing;
};

struct tables {
    __m512i low;
    __m512i high;
};

/* Bit i: node i goes right. codes may hold more than columns do: those bits mean nothing. */
ALWAYS_INLINE uint64_t
nodes_test(struct variant variant, struct tables tables, __m512i columns, __m512i codes)
{
    __m512i ranks = variant.has_two_tables
                        ? _mm512_permutex2var_epi8(tables.low, columns, tables.high)
                        : _mm512_permutexvar_epi8(columns, tables.low);
    uint64_t right = _mm512_cmpge_epu8_mask(ranks, codes);

    if (variant.has_missing) {
        __mmask64 left = _mm512_movepi8_mask(columns);
        right &= ~_mm512_mask_cmpeq_epu8_mask(left, ranks, _mm512_set1_epi8(-1));
    }
    return right;
}

/* The way through parts of `depth` levels by their masks; 1 << depth is added to the exits. */
ALWAYS_INLINE __m512i
ways_through(__m512i masks, unsigned depth)
{
    const __m512i one = _mm512_set1_epi32(1);
    __m512i place = _mm512_add_epi32(_mm512_set1_epi32(2), _mm512_and_si512(masks, one));

    masks = _mm512_add_epi32(masks, masks);
    for (unsigned level = 1; level < depth; level++) {
        /* 2 place + the bit: 0xf8 is a | (b & c). */
        place = _mm512_ternarylogic_epi32(_mm512_add_epi32(place, place),
                                          _mm512_srlv_epi32(masks, place), one, 0xf8);
    }
    return place;
}

ALWAYS_INLINE __m512i
root_masks(const uint64_t *masks, unsigned depth)
{
    if (depth == 3) {
        return _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)masks));
    }
    if (depth == 4) {
        return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)masks));
    }
    return _mm512_loadu_si512(masks);
}

/* The trees' roots: where each tree's first record stands, in words. */
ALWAYS_INLINE void
roots_pass(struct variant variant, const struct walk_row *row, struct tables tables,
           uint32_t first_tree, uint32_t lane_groups, uint32_t *out_at)
{
    const unsigned in_root = WALK_ROOT_BYTES >> variant.root_depth;
    const unsigned roots_a_group = WALK_LANES / in_root;
    const struct walk_root *roots = row->roots + first_tree / in_root;
    const struct walk_trees *trees = row->trees + first_tree / WALK_LANES;
    uint64_t masks[CHUNK_TREES / 2];

    for (unsigned i = 0; i < lane_groups * roots_a_group; i++) {
        masks[i] = nodes_test(variant, tables, _mm512_loadu_si512(roots[i].columns),
                              _mm512_loadu_si512(roots[i].codes));
    }
    for (unsigned i = 0; i < lane_groups; i++) {
        __m512i exits =
            _mm512_sub_epi32(ways_through(root_masks(masks + i * roots_a_group, variant.root_depth),
                                          variant.root_depth),
                             _mm512_set1_epi32(1 << variant.root_depth));
        __m512i before = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), exits),
                                             _mm512_loadu_si512(trees[i].exits));
        __m512i record =
            _mm512_add_epi32(_mm512_loadu_si512(trees[i].first), _mm512_popcnt_epi32(before));
        _mm512_storeu_si512(out_at + i * WALK_LANES,
                            _mm512_mullo_epi32(record, _mm512_set1_epi32((int)row->stride_words)));
    }
}

ALWAYS_INLINE __m512i
heads_load(const uint8_t *records, const uint32_t *at)
{
    __m512i heads = _mm512_castsi128_si512(
        _mm_loadu_si128((const void *)(records + (size_t)at[0] * sizeof(uint32_t))));

    heads = _mm512_inserti32x4(
        heads, _mm_loadu_si128((const void *)(records + (size_t)at[1] * sizeof(uint32_t))), 1);
    heads = _mm512_inserti32x4(
        heads, _mm_loadu_si128((const void *)(records + (size_t)at[2] * sizeof(uint32_t))), 2);
    return _mm512_inserti32x4(
        heads, _mm_loadu_si128((const void *)(records + (size_t)at[3] * sizeof(uint32_t))), 3);
}

/* Records at `at`: the words of the exits that are taken; and in bits 24 to 31 of out_inner, which
 * exits lead on. */
ALWAYS_INLINE void
records_pass(struct variant variant, const struct walk_row *row, struct tables tables,
             const uint32_t *at, uint32_t lane_groups, uint32_t *out_words, uint32_t *out_inner,
             uint32_t *out_exits)
{
    uint64_t masks[CHUNK_TREES / RECORD_TREES];
    const __m512i last_words = _mm512_setr_epi32(3, 7, 11, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    for (unsigned i = 0; i < lane_groups * WALK_LANES / RECORD_TREES; i++) {
        __m512i heads = heads_load(row->records, at + i * RECORD_TREES);
        masks[i] = nodes_test(variant, tables, heads, _mm512_bsrli_epi128(heads, 8));
        if (out_inner != NULL) {
            _mm_storeu_si128((void *)(out_inner + i * RECORD_TREES),
                             _mm512_castsi512_si128(_mm512_permutexvar_epi32(last_words, heads)));
        }
    }
    for (unsigned i = 0; i < lane_groups; i++) {
        __m512i places = ways_through(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(masks + i * RECORD_TREES))),
            WALK_DEPTH);
        __m512i exits = _mm512_sub_epi32(places, _mm512_set1_epi32(WALK_EXITS));
        __m512i words = row->exit_words == 1 ? exits : _mm512_add_epi32(exits, exits);
        words = _mm512_add_epi32(words, _mm512_set1_epi32(HEAD_WORDS));
        words = _mm512_add_epi32(words, _mm512_loadu_si512(at + i * WALK_LANES));
        _mm512_storeu_si512(out_words + i * WALK_LANES, words);
        if (out_exits != NULL) {
            _mm512_storeu_si512(out_exits + i * WALK_LANES, exits);
        }
    }
}

static uint32_t
word_at(const struct walk_row *row, uint32_t word)
{
    uint32_t value;

    memcpy(&value, row->records + (size_t)word * sizeof(uint32_t), sizeof(value));
    return value;
}

/* The chunk's trees whose ways go on: who they are and where, rounded up to a group of lanes. */
struct worklist {
    uint32_t at[CHUNK_TREES];
    uint32_t who[CHUNK_TREES];
    uint32_t words[CHUNK_TREES];
    uint32_t inner[CHUNK_TREES];
    uint32_t exits[CHUNK_TREES];
    uint32_t count;
};

/* Leaves go to out_leaves, the others stay in the list. */
static void
worklist_keep(const struct walk_row *row, struct worklist *list, uint32_t *out_leaves)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        bool goes_on = (list->inner[i] >> (INNER_SHIFT + list->exits[i]) & 1) != 0;
        out_leaves[list->who[i]] = list->words[i];
        list->who[kept] = list->who[i];
        /* Of a leaf this reads a number, and the place is overwritten. */
        list->at[kept] = word_at(row, list->words[i]) * row->stride_words;
        kept += goes_on;
    }
    for (uint32_t i = kept; i % WALK_LANES != 0; i++) {
        list->at[i] = 0;
    }
    list->count = kept;
}

/* The words of the leaves of a chunk of trees. */
ALWAYS_INLINE void
chunk_walk(struct variant variant, const struct walk_row *row, uint32_t first_tree,
           uint32_t lane_groups, uint32_t *out_leaves)
{
    const struct tables tables = {
        .low = _mm512_load_si512(row->ranks),
        .high = _mm512_load_si512(row->ranks + 64),
    };
    struct worklist list;

    roots_pass(variant, row, tables, first_tree, lane_groups, list.at);
    if (row->step_count == 1) {
        records_pass(variant, row, tables, list.at, lane_groups, out_leaves, NULL, NULL);
        return;
    }
    list.count = lane_groups * WALK_LANES;
    for (uint32_t i = 0; i < list.count; i++) {
        list.who[i] = i;
    }
    for (uint32_t step = 0; step < row->step_count && list.count > 0; step++) {
        uint32_t groups = (list.count + WALK_LANES - 1) / WALK_LANES;
        records_pass(variant, row, tables, list.at, groups, list.words, list.inner, list.exits);
        worklist_keep(row, &list, out_leaves);
    }
}

typedef void chunk_function(const struct walk_row *row, uint32_t first_tree, uint32_t lane_groups,
                            uint32_t *out_leaves);

#define CHUNK_FUNCTION(name, depth, two, missing)                                                  \
    static __attribute__((noinline)) void name(const struct walk_row *row, uint32_t first_tree,    \
                                               uint32_t lane_groups, uint32_t *out_leaves)         \
    {                                                                                              \
        chunk_walk((struct variant){depth, two, missing}, row, first_tree, lane_groups,            \
                   out_leaves);                                                                    \
    }

CHUNK_FUNCTION(chunk_3, 3, false, false)
CHUNK_FUNCTION(chunk_4, 4, false, false)
CHUNK_FUNCTION(chunk_5, 5, false, false)
CHUNK_FUNCTION(chunk_3_missing, 3, false, true)
CHUNK_FUNCTION(chunk_4_missing, 4, false, true)
CHUNK_FUNCTION(chunk_5_missing, 5, false, true)
CHUNK_FUNCTION(chunk_3_two, 3, true, false)
CHUNK_FUNCTION(chunk_4_two, 4, true, false)
CHUNK_FUNCTION(chunk_5_two, 5, true, false)
CHUNK_FUNCTION(chunk_3_two_missing, 3, true, true)
CHUNK_FUNCTION(chunk_4_two_missing, 4, true, true)
CHUNK_FUNCTION(chunk_5_two_missing, 5, true, true)

/* By depth of the root, two tables, missing values. */
static chunk_function *const chunk_functions[3][2][2] = {
    {{chunk_3, chunk_3_missing}, {chunk_3_two, chunk_3_two_missing}},
    {{chunk_4, chunk_4_missing}, {chunk_4_two, chunk_4_two_missing}},
    {{chunk_5, chunk_5_missing}, {chunk_5_two, chunk_5_two_missing}},
};

/* ---- sums ------------------------------------------------------------------------------------ */

/* Adds the leaves of trees [first, first + count) in their order. */
typedef void sum_function(const struct model *model, const uint8_t *records, const uint32_t *leaves,
                          uint32_t first, uint32_t count, void *out_margins);

static unsigned
output_of(const struct blob_round *rounds, uint32_t tree)
{
    return rounds[tree / BLOB_ROUND_TREES].output[tree % BLOB_ROUND_TREES];
}

static void
sum_one_f32(const struct model *model, const uint8_t *records, const uint32_t *leaves,
            uint32_t first, uint32_t count, void *out_margins)
{
    float margin = *(float *)out_margins;

    (void)model;
    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        margin += ((const float *)(const void *)records)[leaves[i]];
    }
    *(float *)out_margins = margin;
}

static void
sum_one_f64(const struct model *model, const uint8_t *records, const uint32_t *leaves,
            uint32_t first, uint32_t count, void *out_margins)
{
    double margin = *(double *)out_margins;

    (void)model;
    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        margin += *(const double *)(const void *)(records + (size_t)leaves[i] * 4);
    }
    *(double *)out_margins = margin;
}

static void
sum_many_f32(const struct model *model, const uint8_t *records, const uint32_t *leaves,
             uint32_t first, uint32_t count, void *out_margins)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    float *margins = out_margins;

    for (uint32_t i = 0; i < count; i++) {
        margins[output_of(rounds, first + i)] += ((const float *)(const void *)records)[leaves[i]];
    }
}

static void
sum_many_f64(const struct model *model, const uint8_t *records, const uint32_t *leaves,
             uint32_t first, uint32_t count, void *out_margins)
{
    const struct blob_round *rounds = blob_section(model, BLOB_ROUNDS);
    double *margins = out_margins;

    for (uint32_t i = 0; i < count; i++) {
        margins[output_of(rounds, first + i)] +=
            *(const double *)(const void *)(records + (size_t)leaves[i] * 4);
    }
}

static void
sum_vectors(const struct model *model, const uint8_t *records, const uint32_t *leaves,
            uint32_t first, uint32_t count, void *out_margins)
{
    uint32_t width = blob_header(model)->leaf_width;
    const double *vectors = blob_section(model, BLOB_VECTORS);

    (void)first;
    for (uint32_t i = 0; i < count; i++) {
        const double *vector =
            vectors + (size_t)((const uint32_t *)(const void *)records)[leaves[i]] * width;
        for (uint32_t k = 0; k < width && model->number == MODEL_FLOAT32; k++) {
            ((float *)out_margins)[k] += (float)vector[k];
        }
        for (uint32_t k = 0; k < width && model->number == MODEL_FLOAT64; k++) {
            ((double *)out_margins)[k] += vector[k];
        }
    }
}

static sum_function *
sum_of(const struct model *model)
{
    if (blob_header(model)->leaf_width > 1) {
        return sum_vectors;
    }
    if (model->output_count == 1) {
        return model->number == MODEL_FLOAT32 ? sum_one_f32 : sum_one_f64;
    }
    return model->number == MODEL_FLOAT32 ? sum_many_f32 : sum_many_f64;
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static bool
row_can_run(const struct model *model)
{
    return blob_header(model)->walk_record_count > 0;
}

static size_t
row_scratch_bytes(const struct model *model, size_t row_count)
{
    (void)model;
    (void)row_count;
    return 0;
}

static void
base_spread(const struct model *model, void *out_margins)
{
    const double *base = blob_section(model, BLOB_BASE_MARGINS);

    for (uint32_t k = 0; k < model->output_count; k++) {
        model_number_set(model, out_margins, k, base[k]);
    }
}

static void
margins_divide(const struct model *model, void *margins)
{
    double divisor = blob_header(model)->divisor;

    for (uint32_t k = 0; divisor != 1.0 && k < model->output_count; k++) {
        if (model->number == MODEL_FLOAT32) {
            ((float *)margins)[k] /= (float)divisor;
        } else {
            ((double *)margins)[k] /= divisor;
        }
    }
}

static bool
row_ranks(const struct model *model, const void *row, uint8_t *out_ranks)
{
    bool has_missing = model->number == MODEL_FLOAT32 ? ranks_f32(model, row, out_ranks)
                                                      : ranks_f64(model, row, out_ranks);

    return rank_row_sets(model, row, out_ranks) || has_missing;
}

static void
row_margins(const struct model *model, const void *row, struct walk_row *walk, sum_function *sum,
            void *out_margins)
{
    const struct blob_header *header = blob_header(model);
    bool has_missing = row_ranks(model, row, walk->ranks);
    bool has_two_tables = header->rank_column_count > 64;
    chunk_function *chunk =
        chunk_functions[header->walk_root_depth - 3][has_two_tables][has_missing];
    uint32_t leaves[CHUNK_TREES];

    base_spread(model, out_margins);
    for (uint32_t first = 0; first < walk->tree_count; first += CHUNK_TREES) {
        uint32_t left = walk->tree_count - first;
        uint32_t count = left < CHUNK_TREES ? left : CHUNK_TREES;
        chunk(walk, first, (count + WALK_LANES - 1) / WALK_LANES, leaves);
        sum(model, walk->records, leaves, first, count, out_margins);
    }
    margins_divide(model, out_margins);
}

static void
row_avx512_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   void *out_margins)
{
    const struct blob_header *header = blob_header(model);
    size_t number_bytes = model_number_bytes(model);
    sum_function *sum = sum_of(model);
    struct walk_row walk = {
        .roots = blob_section(model, BLOB_WALK_ROOTS),
        .trees = blob_section(model, BLOB_WALK_TREES),
        .records = blob_section(model, BLOB_WALK_RECORDS),
        .tree_count = model->tree_count,
        .stride_words = header->walk_stride / 4,
        .step_count = header->walk_step_count,
        .exit_words = walk_exit_bytes(header) / 4,
    };

    (void)scratch;
    for (size_t r = 0; r < row_count; r++) {
        row_margins(model, (const uint8_t *)rows + r * model->feature_count * number_bytes, &walk,
                    sum, (uint8_t *)out_margins + r * model->output_count * number_bytes);
    }
}

const struct kernel_ops kernel_row_avx512 = {
    .name = "row-avx512",
    .needs = KERNEL_CPU_AVX512,
    .rows_min = 1,
    .can_run = row_can_run,
    .scratch_bytes = row_scratch_bytes,
    .margins = row_avx512_margins,
};
