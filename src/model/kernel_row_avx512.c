/* SPDX-License-Identifier: MIT */
/*
 * kernel_row_avx512.c - one row with 512-bit vectors: ranks of all columns sit in one or two
 * registers, a permutation of bytes brings each node its rank, one comparison decides 64 nodes.
 * Sixteen trees are a group. While the leaves of one group are added, a chain of additions in the
 * order of the trees, the records of the next are tested and the roots of the ones after that: the
 * processor does all three at once. Trees of more than one record a way are taken in chunks, record
 * by record, those whose ways go on in a list.
 */
#include "kernel.h"
#include "rank_row_avx512.h"
#include "walk_sums.h"

#include <immintrin.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum {
    RECORD_TREES = 4,
    HEAD_WORDS = 4,
    INNER_SHIFT = 24,
    AHEAD = 4, /* groups between a root and its records: their lines are on the way */
    RING = 8,  /* groups whose places are kept; a power of two over AHEAD */
    CHUNK_TREES = 128,
};

/* ---- tests of nodes -------------------------------------------------------------------------- */

/* What one row needs of the blob, and its ranks. */
struct walk_row {
    const struct model *model;
    walk_sum *sum;
    uint32_t sum_leaves;
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
    /* One table serves rows without missing values; else, of a narrow model, the second has 0 for
     * them, and the columns' bytes say which is meant. */
    __m512i ranks = variant.has_two_tables || variant.has_missing
                        ? _mm512_permutex2var_epi8(tables.low, columns, tables.high)
                        : _mm512_permutexvar_epi8(columns, tables.low);
    __mmask64 right = _mm512_cmpge_epu8_mask(ranks, codes);

    if (variant.has_two_tables && variant.has_missing) {
        __mmask64 left =
            _mm512_mask_cmpeq_epu8_mask(_mm512_movepi8_mask(columns), ranks, _mm512_set1_epi8(-1));
        right = _kandn_mask64(left, right);
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

/* Masks come from registers, not from memory: a load of what several stores wrote would wait until
 * they are done. */
ALWAYS_INLINE __m128i
pair_of(uint64_t low, uint64_t high)
{
    return _mm_insert_epi64(_mm_cvtsi64_si128((long long)low), (long long)high, 1);
}

ALWAYS_INLINE uint64_t
root_test(struct variant variant, struct tables tables, const struct walk_root *root)
{
    return nodes_test(variant, tables, _mm512_loadu_si512(root->columns),
                      _mm512_loadu_si512(root->codes));
}

/* Of 16 trees: one mask a lane. */
ALWAYS_INLINE __m512i
roots_test(struct variant variant, struct tables tables, const struct walk_root *roots)
{
    __m128i first =
        pair_of(root_test(variant, tables, &roots[0]), root_test(variant, tables, &roots[1]));

    if (variant.root_depth == 3) {
        return _mm512_cvtepu8_epi32(first);
    }
    __m256i half = _mm256_inserti128_si256(
        _mm256_castsi128_si256(first),
        pair_of(root_test(variant, tables, &roots[2]), root_test(variant, tables, &roots[3])), 1);
    if (variant.root_depth == 4) {
        return _mm512_cvtepu16_epi32(half);
    }
    __m256i other = _mm256_castsi128_si256(
        pair_of(root_test(variant, tables, &roots[4]), root_test(variant, tables, &roots[5])));
    other = _mm256_inserti128_si256(
        other,
        pair_of(root_test(variant, tables, &roots[6]), root_test(variant, tables, &roots[7])), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(half), other, 1);
}

/* In halves: of what a whole vector stored, single words could not be read at once. */
ALWAYS_INLINE void
words_store(uint32_t *out_words, __m512i words)
{
    _mm256_storeu_si256((void *)out_words, _mm512_castsi512_si256(words));
    _mm256_storeu_si256((void *)(out_words + 8), _mm512_extracti64x4_epi64(words, 1));
}

/* Where the first records of sixteen trees stand, in words. */
ALWAYS_INLINE void
roots_group(struct variant variant, const struct walk_row *row, struct tables tables,
            uint32_t group, uint32_t *out_at)
{
    const unsigned roots_a_group = (1u << variant.root_depth) * WALK_LANES / WALK_ROOT_BYTES;
    const struct walk_trees *trees = row->trees + group;
    __m512i masks = roots_test(variant, tables, row->roots + (size_t)group * roots_a_group);
    __m512i exits = _mm512_sub_epi32(ways_through(masks, variant.root_depth),
                                     _mm512_set1_epi32((int)(UINT32_C(1) << variant.root_depth)));
    __m512i before = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), exits),
                                         _mm512_loadu_si512(trees->exits));
    __m512i record =
        _mm512_add_epi32(_mm512_loadu_si512(trees->first), _mm512_popcnt_epi32(before));

    words_store(out_at, _mm512_mullo_epi32(record, _mm512_set1_epi32((int)row->stride_words)));
}

ALWAYS_INLINE __m128i
head_load(const uint8_t *records, uint32_t at)
{
    return _mm_loadu_si128((const void *)(records + (size_t)at * sizeof(uint32_t)));
}

/* Four heads side by side. A broadcast under a mask keeps the units for shuffles free. */
ALWAYS_INLINE __m512i
heads_load(const uint8_t *records, const uint32_t *at)
{
    __m512i heads = _mm512_broadcast_i32x4(head_load(records, at[0]));

    heads = _mm512_mask_broadcast_i32x4(heads, 0x00f0, head_load(records, at[1]));
    heads = _mm512_mask_broadcast_i32x4(heads, 0x0f00, head_load(records, at[2]));
    return _mm512_mask_broadcast_i32x4(heads, 0xf000, head_load(records, at[3]));
}

/* Of four records: 16 bits each; and in bits 24 to 31 of out_inner, which exits lead on. */
ALWAYS_INLINE uint64_t
records_test(struct variant variant, struct tables tables, const uint8_t *records,
             const uint32_t *at, uint32_t *out_inner)
{
    const __m512i last_words = _mm512_setr_epi32(3, 7, 11, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512i heads = heads_load(records, at);

    if (out_inner != NULL) {
        _mm_storeu_si128((void *)out_inner,
                         _mm512_castsi512_si128(_mm512_permutexvar_epi32(last_words, heads)));
    }
    return nodes_test(variant, tables, heads, _mm512_bsrli_epi128(heads, 8));
}

/* Of sixteen records at `at`: the words of the exits that are taken. out_inner may be NULL. */
ALWAYS_INLINE void
records_group(struct variant variant, const struct walk_row *row, struct tables tables,
              const uint32_t *at, uint32_t *out_words, uint32_t *out_inner)
{
    const bool has_inner = out_inner != NULL;
    uint64_t a = records_test(variant, tables, row->records, at, out_inner);
    uint64_t b =
        records_test(variant, tables, row->records, at + 4, has_inner ? out_inner + 4 : NULL);
    uint64_t c =
        records_test(variant, tables, row->records, at + 8, has_inner ? out_inner + 8 : NULL);
    uint64_t d =
        records_test(variant, tables, row->records, at + 12, has_inner ? out_inner + 12 : NULL);
    __m256i masks =
        _mm256_inserti128_si256(_mm256_castsi128_si256(pair_of(a, b)), pair_of(c, d), 1);
    __m512i exits = _mm512_sub_epi32(ways_through(_mm512_cvtepu16_epi32(masks), WALK_DEPTH),
                                     _mm512_set1_epi32(WALK_EXITS));
    __m512i words = _mm512_sll_epi32(exits, _mm_cvtsi32_si128((int)row->exit_words >> 1));

    words = _mm512_add_epi32(words, _mm512_set1_epi32(HEAD_WORDS));
    words_store(out_words, _mm512_add_epi32(words, _mm512_loadu_si512(at)));
}

ALWAYS_INLINE struct tables
tables_load(struct variant variant, const struct walk_row *row)
{
    __m512i low = _mm512_load_si512(row->ranks);
    __mmask64 there = _mm512_cmpneq_epu8_mask(low, _mm512_set1_epi8(-1));

    return (struct tables){
        .low = low,
        .high = variant.has_two_tables ? _mm512_load_si512(row->ranks + WALK_COLUMNS_NARROW)
                                       : _mm512_maskz_mov_epi8(there, low),
    };
}

/* ---- trees of one record a way --------------------------------------------------------------- */

ALWAYS_INLINE float
leaves_add_f32(const uint8_t *records, const uint32_t *words, uint32_t count, float margin)
{
    for (uint32_t i = 0; i < count; i++) {
        /* Vector stores have filled words. */
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.ArraySubscript) */
        margin += ((const float *)(const void *)records)[words[i]];
    }
    return margin;
}

/* All trees of a row, one output of float32. */
ALWAYS_INLINE void
row_walk_one(struct variant variant, const struct walk_row *row, void *margins)
{
    const struct tables tables = tables_load(variant, row);
    const uint32_t groups = (row->tree_count + WALK_LANES - 1) / WALK_LANES;
    const uint32_t last_trees = row->tree_count - (groups - 1) * WALK_LANES;
    uint32_t at[RING][WALK_LANES];
    uint32_t words[2][WALK_LANES];
    float margin = *(float *)margins;

    for (uint32_t g = 0; g < AHEAD && g < groups; g++) {
        roots_group(variant, row, tables, g, at[g]);
    }
    for (uint32_t g = 0; g < groups; g++) {
        if (g + AHEAD < groups) {
            roots_group(variant, row, tables, g + AHEAD, at[(g + AHEAD) % RING]);
        }
        records_group(variant, row, tables, at[g % RING], words[g % 2], NULL);
        if (g > 0) {
            margin = leaves_add_f32(row->records, words[(g - 1) % 2], WALK_LANES, margin);
        }
    }
    *(float *)margins = leaves_add_f32(row->records, words[(groups - 1) % 2], last_trees, margin);
}

/* All trees of a row, leaves of any kind: added as soon as row->sum_leaves are known. */
ALWAYS_INLINE void
row_walk(struct variant variant, const struct walk_row *row, void *margins)
{
    const struct tables tables = tables_load(variant, row);
    const uint32_t groups = (row->tree_count + WALK_LANES - 1) / WALK_LANES;
    uint32_t at[RING][WALK_LANES];
    uint32_t words[WALK_SUM_GROUPS_MAX * WALK_LANES];
    uint32_t held = 0; /* leaves in words */

    for (uint32_t g = 0; g < AHEAD && g < groups; g++) {
        roots_group(variant, row, tables, g, at[g]);
    }
    for (uint32_t g = 0; g < groups; g++) {
        if (g + AHEAD < groups) {
            roots_group(variant, row, tables, g + AHEAD, at[(g + AHEAD) % RING]);
        }
        records_group(variant, row, tables, at[g % RING], words + held, NULL);
        held += WALK_LANES;
        if (held == row->sum_leaves && g + 1 < groups) {
            row->sum(row->model, row->records, words, (g + 1) * WALK_LANES - held, held, margins);
            held = 0;
        }
    }
    if (held > 0) {
        uint32_t first = groups * WALK_LANES - held;
        row->sum(row->model, row->records, words, first, row->tree_count - first, margins);
    }
}

/* ---- trees of several records a way ---------------------------------------------------------- */

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
    uint32_t count;
};

/* Leaves go to out_leaves, the others stay in the list. */
static void
worklist_keep(const struct walk_row *row, struct worklist *list, uint32_t *out_leaves)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t exit = (list->words[i] - list->at[i] - HEAD_WORDS) / row->exit_words;
        bool goes_on = (list->inner[i] >> (INNER_SHIFT + exit) & 1) != 0;
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

ALWAYS_INLINE void
chunk_walk(struct variant variant, const struct walk_row *row, struct tables tables,
           uint32_t first_group, uint32_t groups, uint32_t *out_leaves)
{
    struct worklist list;

    list.count = groups * WALK_LANES;
    for (uint32_t g = 0; g < groups; g++) {
        roots_group(variant, row, tables, first_group + g, list.at + g * WALK_LANES);
    }
    for (uint32_t i = 0; i < list.count; i++) {
        list.who[i] = i;
    }
    for (uint32_t step = 0; step < row->step_count && list.count > 0; step++) {
        for (uint32_t i = 0; i < list.count; i += WALK_LANES) {
            records_group(variant, row, tables, list.at + i, list.words + i, list.inner + i);
        }
        worklist_keep(row, &list, out_leaves);
    }
}

/* All trees of a row. */
ALWAYS_INLINE void
row_walk_deep(struct variant variant, const struct walk_row *row, void *margins)
{
    const struct tables tables = tables_load(variant, row);
    uint32_t leaves[CHUNK_TREES];

    for (uint32_t first = 0; first < row->tree_count; first += CHUNK_TREES) {
        uint32_t left = row->tree_count - first;
        uint32_t count = left < CHUNK_TREES ? left : CHUNK_TREES;
        chunk_walk(variant, row, tables, first / WALK_LANES, (count + WALK_LANES - 1) / WALK_LANES,
                   leaves);
        row->sum(row->model, row->records, leaves, first, count, margins);
    }
}

/* ---- variants -------------------------------------------------------------------------------- */

typedef void walk_function(const struct walk_row *row, void *margins);

/* What is known of a variant makes a function of its own of one text. */
#define WALK_FUNCTION(name, walk, ...)                                                             \
    static __attribute__((noinline)) void name(const struct walk_row *row, void *margins)          \
    {                                                                                              \
        walk((struct variant){__VA_ARGS__}, row, margins);                                         \
    }
#define WALK_FUNCTIONS(name, walk, depth)                                                          \
    WALK_FUNCTION(name##_dense, walk, depth, false, false)                                         \
    WALK_FUNCTION(name##_missing, walk, depth, false, true)                                        \
    WALK_FUNCTION(name##_two_dense, walk, depth, true, false)                                      \
    WALK_FUNCTION(name##_two_missing, walk, depth, true, true)
#define WALK_NAMES(name)                                                                           \
    {                                                                                              \
        {name##_dense, name##_missing},                                                            \
        {                                                                                          \
            name##_two_dense, name##_two_missing                                                   \
        }                                                                                          \
    }

WALK_FUNCTIONS(walk_3, row_walk, 3)
WALK_FUNCTIONS(walk_4, row_walk, 4)
WALK_FUNCTIONS(walk_5, row_walk, 5)
WALK_FUNCTIONS(walk_3_one, row_walk_one, 3)
WALK_FUNCTIONS(walk_4_one, row_walk_one, 4)
WALK_FUNCTIONS(walk_5_one, row_walk_one, 5)
WALK_FUNCTIONS(walk_deep, row_walk_deep, 5)

/* By two tables and missing values. */
static walk_function *const deep_functions[2][2] = WALK_NAMES(walk_deep);
/* By one sum of float32, depth of the root, two tables, missing values. */
static walk_function *const walk_functions[2][3][2][2] = {
    {WALK_NAMES(walk_3), WALK_NAMES(walk_4), WALK_NAMES(walk_5)},
    {WALK_NAMES(walk_3_one), WALK_NAMES(walk_4_one), WALK_NAMES(walk_5_one)},
};

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
row_margins(struct walk_row *walk, const void *row, void *out_margins)
{
    const struct model *model = walk->model;
    const struct blob_header *header = blob_header(model);
    bool has_missing = rank_row_avx512(model, row, walk->ranks);
    bool has_two_tables = header->rank_column_count > WALK_COLUMNS_NARROW;
    bool is_one_f32 = model->output_count == 1 && model->number == MODEL_FLOAT32;
    walk_function *function =
        header->walk_step_count > 1
            ? deep_functions[has_two_tables][has_missing]
            : walk_functions[is_one_f32][header->walk_root_depth - 3][has_two_tables][has_missing];

    walk_sums_begin(model, out_margins);
    function(walk, out_margins);
    walk_sums_end(model, out_margins);
}

static void
row_avx512_margins(const struct model *model, const void *rows, size_t row_count, void *scratch,
                   void *out_margins)
{
    const struct blob_header *header = blob_header(model);
    size_t number_bytes = model_number_bytes(model);
    struct walk_row walk = {
        .model = model,
        .sum = walk_sum_of(model),
        .sum_leaves = walk_sum_groups(model) * WALK_LANES,
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
        row_margins(&walk, (const uint8_t *)rows + r * model->feature_count * number_bytes,
                    (uint8_t *)out_margins + r * model->output_count * number_bytes);
    }
}

const struct kernel_ops kernel_row_avx512 = {
    .name = "row-avx512",
    .needs = KERNEL_CPU_AVX512,
    .rows_min = 1,
    .trees_min = 16,
    .can_run = row_can_run,
    .scratch_bytes = row_scratch_bytes,
    .margins = row_avx512_margins,
};
