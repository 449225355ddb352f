/* SPDX-License-Identifier: MIT */
/*
 * rank_plan.c - the columns of a model: all thresholds of an input under one rule, sorted and
 * distinct, 254 a column; all sets of a categorical input, distinct, a column each.
 * Ranks do not pay, and the plan stays empty, for linear models, for more columns than
 * RANK_COLUMNS_MAX and for tables of sets that would be far larger than the sets.
 */
#include "rank.h"

#include <math.h>
#include <stdlib.h>

enum {
    NUMBER_RULES = NEUTRAL_NAN_IS_ZERO | NEUTRAL_ZERO_IS_MISSING,
    SET_RULES = NUMBER_RULES | NEUTRAL_MEMBERS_LEFT,
    TABLE_BYTES_FREE = 16384, /* of the tables of sets, and further ones a category named */
    TABLE_BYTES_A_MEMBER = 32,
};

struct threshold {
    double value;
    uint32_t feature;
    uint32_t rule;
};

/* One node's use of a set. */
struct set_use {
    const struct neutral_set *set;
    uint32_t feature;
    uint32_t slot; /* in rank_inputs.set_columns */
    uint8_t rule;
};

/* The thresholds [first, first + count) of one input under one rule. */
struct number_input {
    uint32_t feature;
    uint32_t rule;
    uint32_t first;
    uint32_t count;
    uint32_t column;
};

struct rank_inputs {
    struct threshold *thresholds; /* sorted, distinct */
    uint32_t threshold_count;
    struct number_input *numbers;
    uint32_t number_count;
    const uint32_t *set_first; /* a tree: its first slot in set_columns */
    uint16_t *set_columns;     /* a set of a tree: its column */
    struct set_use *uses;      /* sorted, equal ones adjacent */
    uint32_t use_count;
};

static uint32_t
rule_of(const struct neutral_tree *tree, uint32_t node)
{
    unsigned flags = tree->flags[node];

    if ((flags & NEUTRAL_ZERO_IS_MISSING) != 0) {
        flags &= ~(unsigned)NEUTRAL_NAN_IS_ZERO; /* that zero is missing as well */
    }
    return flags & (unsigned)((flags & NEUTRAL_CATEGORICAL) != 0 ? SET_RULES : NUMBER_RULES);
}

/* ---- gathering ------------------------------------------------------------------------------- */

struct gather {
    const struct neutral_model *model;
    struct rank_inputs *inputs;
    uint32_t *order;
    uint32_t *set_first;
    uint64_t member_count;
};

static void
gather_node(struct gather *gather, uint32_t number, uint32_t node)
{
    const struct neutral_tree *tree = &gather->model->trees[number];
    struct rank_inputs *inputs = gather->inputs;

    if ((tree->flags[node] & NEUTRAL_CATEGORICAL) != 0) {
        const struct neutral_set *set = neutral_set_find(tree, node);
        inputs->uses[inputs->use_count++] = (struct set_use){
            .set = set,
            .feature = tree->feature[node],
            .slot = gather->set_first[number] + (uint32_t)(set - tree->sets),
            .rule = (uint8_t)rule_of(tree, node),
        };
        gather->member_count += set->count;
        return;
    }
    bool has_value = (tree->flags[node] & NEUTRAL_NUMBERS_LEFT) == 0;
    inputs->thresholds[inputs->threshold_count++] = (struct threshold){
        /* No value, but its input needs a column; INFINITY is no test that a number fails. */
        .value = has_value ? tree->value[node] : (double)INFINITY,
        .feature = tree->feature[node],
        .rule = rule_of(tree, node),
    };
}

/* Room for all nodes and sets, then the reachable ones. */
static int
gather_all(struct gather *gather, struct arena *arena)
{
    const struct neutral_model *model = gather->model;
    struct rank_inputs *inputs = gather->inputs;
    size_t nodes = 0;
    uint32_t largest = 1;
    size_t sets = 0;

    gather->set_first = arena_zalloc(arena, (size_t)model->tree_count + 1, sizeof(uint32_t));
    for (uint32_t t = 0; t < model->tree_count && gather->set_first != NULL; t++) {
        const struct neutral_tree *tree = &model->trees[t];
        largest = tree->node_count > largest ? tree->node_count : largest;
        nodes += tree->node_count / 2 + 1;
        gather->set_first[t] = (uint32_t)sets;
        sets += tree->set_count;
    }
    gather->order = arena_zalloc(arena, largest, sizeof(uint32_t));
    inputs->thresholds = arena_zalloc(arena, nodes, sizeof(struct threshold));
    inputs->uses = arena_zalloc(arena, sets + 1, sizeof(struct set_use));
    inputs->set_columns = arena_zalloc(arena, sets + 1, sizeof(uint16_t));
    inputs->set_first = gather->set_first;
    if (gather->set_first == NULL || gather->order == NULL || inputs->thresholds == NULL ||
        inputs->uses == NULL || inputs->set_columns == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (uint32_t t = 0; t < model->tree_count; t++) {
        uint32_t depth;
        uint32_t count = neutral_tree_order(&model->trees[t], gather->order, &depth);
        for (uint32_t i = 0; i < count; i++) {
            if (model->trees[t].left[gather->order[i]] != NEUTRAL_LEAF) {
                gather_node(gather, t, gather->order[i]);
            }
        }
    }
    return 0;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static int
compare_thresholds(const void *a, const void *b)
{
    const struct threshold *x = a;
    const struct threshold *y = b;

    if (x->feature != y->feature) {
        return x->feature < y->feature ? -1 : 1;
    }
    if (x->rule != y->rule) {
        return x->rule < y->rule ? -1 : 1;
    }
    return x->value < y->value ? -1 : x->value > y->value;
}

static bool
same_input(const struct threshold *a, const struct threshold *b)
{
    return a->feature == b->feature && a->rule == b->rule;
}

static void
thresholds_sort(struct rank_inputs *inputs)
{
    uint32_t kept = 0;

    qsort(inputs->thresholds, inputs->threshold_count, sizeof(struct threshold),
          compare_thresholds);
    for (uint32_t i = 0; i < inputs->threshold_count; i++) {
        const struct threshold *next = &inputs->thresholds[i];
        if (kept == 0 || compare_thresholds(next, &inputs->thresholds[kept - 1]) != 0) {
            inputs->thresholds[kept++] = *next;
        }
    }
    inputs->threshold_count = kept;
}

/* One input a run of thresholds of the same feature and rule. */
static int
numbers_find(struct rank_inputs *inputs, struct arena *arena)
{
    uint32_t runs = 0;

    for (uint32_t i = 0; i < inputs->threshold_count; i++) {
        runs += i == 0 || !same_input(&inputs->thresholds[i], &inputs->thresholds[i - 1]);
    }
    inputs->numbers = arena_zalloc(arena, (size_t)runs + 1, sizeof(struct number_input));
    if (inputs->numbers == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < inputs->threshold_count; i++) {
        const struct threshold *threshold = &inputs->thresholds[i];
        if (i == 0 || !same_input(threshold, threshold - 1)) {
            inputs->numbers[inputs->number_count++] = (struct number_input){
                .feature = threshold->feature, .rule = threshold->rule, .first = i};
        }
        inputs->numbers[inputs->number_count - 1].count++;
    }
    return 0;
}

static uint32_t
columns_of_number(const struct number_input *input)
{
    return (input->count + RANK_THRESHOLDS_MAX - 1) / RANK_THRESHOLDS_MAX;
}

static uint32_t
thresholds_of_column(const struct number_input *input, uint32_t part)
{
    uint32_t left = input->count - part * RANK_THRESHOLDS_MAX;

    return left < RANK_THRESHOLDS_MAX ? left : RANK_THRESHOLDS_MAX;
}

static void
number_put(const struct neutral_model *model, void *numbers, uint32_t i, double value)
{
    if (model->number == MODEL_FLOAT32) {
        ((float *)numbers)[i] = (float)value;
    } else {
        ((double *)numbers)[i] = value;
    }
}

/* The pivots and segments of one column. */
static void
column_fill(const struct rank_plan *plan, void *numbers, uint32_t column,
            const struct threshold *thresholds)
{
    const struct rank_column *it = &plan->columns[column];
    uint32_t slots = (it->count / RANK_SEGMENT + 1) * RANK_SEGMENT;

    for (uint32_t i = 0; i < RANK_SEGMENT; i++) {
        uint32_t at = i * RANK_SEGMENT + RANK_SEGMENT - 1;
        number_put(plan->model, numbers, column * RANK_SEGMENT + i,
                   at < it->count ? thresholds[at].value : (double)NAN);
    }
    for (uint32_t i = 0; i < slots; i++) {
        number_put(plan->model, numbers, it->first + i,
                   i < it->count ? thresholds[i].value : (double)NAN);
    }
}

static int
numbers_plan(struct rank_plan *plan, struct rank_inputs *inputs, struct rank_column *columns,
             struct arena *arena)
{
    size_t number_bytes = plan->model->number == MODEL_FLOAT32 ? sizeof(float) : sizeof(double);
    uint32_t at = plan->number_columns * RANK_SEGMENT;
    uint32_t column = 0;

    for (uint32_t i = 0; i < inputs->number_count; i++) {
        struct number_input *input = &inputs->numbers[i];
        input->column = column;
        for (uint32_t part = 0; part < columns_of_number(input); part++) {
            columns[column++] = (struct rank_column){
                .feature = input->feature,
                .first = at,
                .count = thresholds_of_column(input, part),
                .width = 1,
                .kind = RANK_NUMBER,
                .rule = (uint8_t)input->rule,
            };
            at += (columns[column - 1].count / RANK_SEGMENT + 1) * RANK_SEGMENT;
        }
    }
    void *numbers = arena_zalloc(arena, (size_t)at + 1, number_bytes);
    if (numbers == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    plan->threshold_count = at;
    plan->thresholds = numbers;
    for (uint32_t i = 0; i < inputs->number_count; i++) {
        const struct number_input *input = &inputs->numbers[i];
        for (uint32_t part = 0; part < columns_of_number(input); part++) {
            column_fill(plan, numbers, input->column + part,
                        inputs->thresholds + input->first + part * RANK_THRESHOLDS_MAX);
        }
    }
    return 0;
}

/* ---- sets ------------------------------------------------------------------------------------ */

static int
compare_groups(const struct set_use *x, const struct set_use *y)
{
    if (x->feature != y->feature) {
        return x->feature < y->feature ? -1 : 1;
    }
    return (x->rule > y->rule) - (x->rule < y->rule);
}

static int
compare_uses(const void *a, const void *b)
{
    const struct set_use *x = a;
    const struct set_use *y = b;
    int order = compare_groups(x, y);

    if (order == 0) {
        order = (x->set->count > y->set->count) - (x->set->count < y->set->count);
    }
    return order != 0 || x->set->count == 0 ? order
                                            : memcmp(x->set->categories, y->set->categories,
                                                     x->set->count * sizeof(x->set->categories[0]));
}

/* The group that begins at use `from`: how many uses it has, distinct sets and categories. */
struct set_group {
    uint32_t use_count;
    uint32_t width;
    uint32_t categories;
};

static struct set_group
group_at(const struct rank_inputs *inputs, uint32_t from)
{
    struct set_group group = {.use_count = 0};
    const struct set_use *first = &inputs->uses[from];

    for (uint32_t i = from; i < inputs->use_count; i++) {
        const struct set_use *use = &inputs->uses[i];
        if (compare_groups(first, use) != 0) {
            break;
        }
        group.use_count++;
        group.width += i == from || compare_uses(use, use - 1) != 0;
        /* Sorted: the last category is the greatest. */
        uint32_t size = use->set->count == 0 ? 0 : use->set->categories[use->set->count - 1] + 1;
        group.categories = size > group.categories ? size : group.categories;
    }
    return group;
}

static void
group_fill(struct rank_inputs *inputs, uint32_t from, const struct set_group *group,
           uint32_t column, uint8_t *table)
{
    uint32_t at = 0;

    for (uint32_t i = from; i < from + group->use_count; i++) {
        const struct set_use *use = &inputs->uses[i];
        bool is_new = i == from || compare_uses(use, use - 1) != 0;
        at += is_new && i != from;
        inputs->set_columns[use->slot] = (uint16_t)(column + at);
        bool is_left = (use->rule & NEUTRAL_MEMBERS_LEFT) != 0;
        for (uint32_t c = 0; is_new && is_left && c <= group->categories; c++) {
            table[(size_t)c * group->width + at] = 1;
        }
        for (uint32_t c = 0; is_new && c < use->set->count; c++) {
            table[(size_t)use->set->categories[c] * group->width + at] = is_left ? 0 : 1;
        }
    }
}

static int
sets_plan(struct rank_plan *plan, struct rank_inputs *inputs, struct rank_column *columns,
          struct arena *arena)
{
    uint32_t column = plan->number_columns;
    uint8_t *tables = arena_zalloc(arena, (size_t)plan->set_bytes + 1, 1);
    uint32_t at = 0;

    if (tables == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    plan->sets = tables;
    for (uint32_t i = 0; i < inputs->use_count;) {
        struct set_group group = group_at(inputs, i);
        for (uint32_t k = 0; k < group.width; k++) {
            columns[column + k] = (struct rank_column){
                .feature = inputs->uses[i].feature,
                .first = at,
                .count = group.categories,
                .width = (uint16_t)group.width,
                .kind = RANK_SET,
                .rule = inputs->uses[i].rule,
            };
        }
        group_fill(inputs, i, &group, column, tables + at);
        column += group.width;
        at += (group.categories + 1) * group.width;
        i += group.use_count;
    }
    return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Counts the columns and the tables. False: more than pays. */
static bool
plan_count(struct rank_plan *plan, const struct gather *gather)
{
    const struct rank_inputs *inputs = gather->inputs;
    uint64_t columns = 0;
    uint64_t set_bytes = 0;

    for (uint32_t i = 0; i < inputs->number_count; i++) {
        columns += columns_of_number(&inputs->numbers[i]);
    }
    plan->number_columns = (uint32_t)columns;
    for (uint32_t i = 0; i < inputs->use_count;) {
        struct set_group group = group_at(inputs, i);
        columns += group.width;
        set_bytes += ((uint64_t)group.categories + 1) * group.width;
        i += group.use_count;
    }
    plan->set_bytes = (uint32_t)set_bytes;
    plan->column_count = (uint32_t)columns;
    return columns > 0 && columns <= RANK_COLUMNS_MAX &&
           set_bytes <= TABLE_BYTES_FREE + TABLE_BYTES_A_MEMBER * gather->member_count;
}

static int
plan_make(struct rank_plan *plan, struct arena *arena)
{
    struct rank_inputs *inputs = arena_zalloc(arena, 1, sizeof(*inputs));
    struct gather gather = {.model = plan->model, .inputs = inputs};
    int rc = inputs == NULL ? AUGURY_ERR_NOMEM : gather_all(&gather, arena);

    if (rc == 0) {
        thresholds_sort(inputs);
        qsort(inputs->uses, inputs->use_count, sizeof(struct set_use), compare_uses);
        rc = numbers_find(inputs, arena);
    }
    if (rc != 0) {
        return rc;
    }
    if (!plan_count(plan, &gather)) {
        *plan = (struct rank_plan){.model = plan->model};
        return 0;
    }
    struct rank_column *columns = arena_zalloc(arena, plan->column_count, sizeof(*columns));
    if (columns == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    plan->columns = columns;
    plan->inputs = inputs;
    rc = numbers_plan(plan, inputs, columns, arena);
    return rc == 0 ? sets_plan(plan, inputs, columns, arena) : rc;
}

/* In any leaf: such a model reads the row again when the leaf is known. */
static bool
is_linear(const struct neutral_model *model)
{
    for (uint32_t t = 0; t < model->tree_count; t++) {
        if (model->trees[t].linear_count > 0) {
            return true;
        }
    }
    return model->kind == NEUTRAL_GBLINEAR;
}

int
rank_plan_make(const struct neutral_model *model, struct arena *arena, struct rank_plan *out_plan,
               struct err *err)
{
    struct rank_plan plan = {.model = model};

    if (!is_linear(model) && plan_make(&plan, arena) != 0) {
        return err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to compile the model");
    }
    *out_plan = plan;
    return 0;
}

/* ---- looking up ------------------------------------------------------------------------------ */

static const struct number_input *
number_find(const struct rank_inputs *inputs, uint32_t feature, uint32_t rule)
{
    uint32_t low = 0;
    uint32_t high = inputs->number_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct number_input *input = &inputs->numbers[middle];
        if (input->feature < feature || (input->feature == feature && input->rule < rule)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    AUGURY_ASSERT(low < inputs->number_count && inputs->numbers[low].feature == feature &&
                  inputs->numbers[low].rule == rule);
    return &inputs->numbers[low];
}

/* How many of the input's thresholds are below value. */
static uint32_t
thresholds_below(const struct rank_inputs *inputs, const struct number_input *input, double value)
{
    const struct threshold *thresholds = inputs->thresholds + input->first;
    uint32_t low = 0;
    uint32_t high = input->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (thresholds[middle].value < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct rank_node
rank_plan_node(const struct rank_plan *plan, uint32_t tree, uint32_t node)
{
    const struct neutral_tree *source = &plan->model->trees[tree];
    const struct rank_inputs *inputs = plan->inputs;
    unsigned flags = source->flags[node];
    struct rank_node it = {.code = 1, .is_default_left = (flags & NEUTRAL_DEFAULT_LEFT) != 0};

    if ((flags & NEUTRAL_CATEGORICAL) != 0) {
        const struct neutral_set *set = neutral_set_find(source, node);
        it.column = inputs->set_columns[inputs->set_first[tree] + (set - source->sets)];
        return it;
    }
    const struct number_input *input =
        number_find(inputs, source->feature[node], rule_of(source, node));
    it.column = (uint16_t)input->column;
    if ((flags & NEUTRAL_NUMBERS_LEFT) != 0) {
        it.code = RANK_NEVER;
        return it;
    }
    uint32_t below = thresholds_below(inputs, input, source->value[node]);
    it.column = (uint16_t)(input->column + below / RANK_THRESHOLDS_MAX);
    it.code = (uint8_t)(below % RANK_THRESHOLDS_MAX + 1);
    return it;
}
