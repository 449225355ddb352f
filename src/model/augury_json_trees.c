/* SPDX-License-Identifier: MIT */
/*
 * augury_json_trees.c - trees of model JSON. A tree is a few arrays of one length, as scikit-learn
 * has them; "compare" says what its test is, and every test becomes `x < t` of doubles here.
 */
#include "augury_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "lt": x < t. "le": x <= t. "f32_le": x, rounded to float32, <= t. */
enum compare { COMPARE_LT, COMPARE_LE, COMPARE_F32_LE };
static const char *const compare_names[] = {"lt", "le", "f32_le"};

static bool
is_even(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    return (bits & 1) == 0;
}

/*
 * The smallest double that rounds to a float32 over t: so a double x is under it exactly when
 * (float)x <= t. Between two neighbouring floats the border is their middle, which goes to the
 * even one of them; a float has fewer digits than a double, so the middle is a double.
 */
static double
above_f32(double t)
{
    float below = (float)t;

    if ((double)below > t) {
        below = nextafterf(below, -INFINITY);
    }
    float above = nextafterf(below, INFINITY);
    if (isinf(below)) {
        return nextafter(-(0x1p128 - 0x1p103), INFINITY);
    }
    double middle = isinf(above) ? 0x1p128 - 0x1p103 : ((double)below + (double)above) / 2.0;
    return is_even(below) && !isinf(above) ? nextafter(middle, INFINITY) : middle;
}

static double
threshold_of(enum compare compare, double t)
{
    switch (compare) {
    case COMPARE_LE: return neutral_above(MODEL_FLOAT64, t);
    case COMPARE_F32_LE: return above_f32(t);
    case COMPARE_LT: break;
    }
    return t;
}

/* ---- one tree ------------------------------------------------------------------------------ */

/* A tree being read: the arrays of the document, then the neutral ones. */
struct tree_reader {
    struct reader *reader;
    const struct wire_value *tree;
    enum compare compare;
    uint32_t count;
    char at[32];
    int32_t *left;
    int32_t *right;
    uint32_t *feature;
    double *value;
    uint8_t *flags;
    double *vectors;
    uint32_t vector_count;
};

static int
tree_refuse(struct tree_reader *tr, uint32_t node, const char *reason)
{
    char at[64];

    (void)snprintf(at, sizeof(at), "%s, node %u", tr->at, node);
    (void)reader_refuse(tr->reader, at, "%s", reason);
    return AUGURY_ERR_INVALID;
}

/* An array with an item for each node. */
static int
need_nodes(struct tree_reader *tr, const char *key, const struct wire_value **out_array)
{
    const struct wire_value *array = wire_member(tr->tree, key);

    if (array == NULL || array->type != WIRE_ARRAY || array->count != tr->count) {
        (void)reader_refuse(tr->reader, tr->at,
                            "\"%s\" must be an array with an item for each of %u nodes", key,
                            tr->count);
        return AUGURY_ERR_INVALID;
    }
    *out_array = array;
    return 0;
}

static int
read_children(struct tree_reader *tr)
{
    const struct wire_value *left = NULL;
    const struct wire_value *right = NULL;
    const struct wire_value *feature = NULL;
    int rc = need_nodes(tr, "left", &left);

    if (rc == 0) {
        rc = need_nodes(tr, "right", &right);
    }
    if (rc == 0) {
        rc = need_nodes(tr, "feature", &feature);
    }
    for (uint32_t i = 0; i < tr->count && rc == 0; i++) {
        int64_t l = 0;
        int64_t r = 0;
        int64_t f = 0;
        if (wire_to_i64(&left->as.items[i], &l) != 0 || wire_to_i64(&right->as.items[i], &r) != 0 ||
            wire_to_i64(&feature->as.items[i], &f) != 0 || l < -1 || l > INT32_MAX || r < -1 ||
            r > INT32_MAX || f < 0 || f > UINT32_MAX) {
            return tree_refuse(tr, i,
                               "\"left\" and \"right\" are numbers of nodes or, in a leaf, -1; "
                               "\"feature\" is one from 0 on");
        }
        tr->left[i] = (int32_t)l;
        tr->right[i] = (int32_t)r;
        tr->feature[i] = (uint32_t)f;
    }
    return rc;
}

static int
read_leaf(struct tree_reader *tr, uint32_t node, const struct wire_value *value)
{
    uint32_t width = tr->reader->model->leaf_width;

    if (width == 1) {
        return wire_to_f64(value, &tr->value[node]) == 0 && isfinite(tr->value[node])
                   ? 0
                   : tree_refuse(tr, node, "the value of a leaf must be a finite number");
    }
    if (value->type != WIRE_ARRAY || value->count != width) {
        return tree_refuse(tr, node,
                           "the value of this leaf must be a list with a number an "
                           "output, as those of the other leaves");
    }
    double *vector = tr->vectors + (size_t)tr->vector_count * width;
    for (uint32_t k = 0; k < width; k++) {
        if (wire_to_f64(&value->as.items[k], &vector[k]) != 0 || !isfinite(vector[k])) {
            return tree_refuse(tr, node, "the values of a leaf must be finite numbers");
        }
    }
    tr->right[node] = (int32_t)tr->vector_count++;
    return 0;
}

static int
read_values(struct tree_reader *tr)
{
    const struct wire_value *values = NULL;
    const struct wire_value *thresholds = NULL;
    int rc = need_nodes(tr, "value", &values);

    if (rc == 0) {
        rc = need_nodes(tr, "threshold", &thresholds);
    }
    for (uint32_t i = 0; i < tr->count && rc == 0; i++) {
        const struct wire_value *threshold = &thresholds->as.items[i];
        double t = 0.0;
        if (tr->left[i] == NEUTRAL_LEAF) {
            rc = read_leaf(tr, i, &values->as.items[i]);
        } else if (threshold->type == WIRE_NULL) {
            tr->flags[i] |= NEUTRAL_NUMBERS_LEFT;
        } else if (wire_to_f64(threshold, &t) != 0 || !isfinite(t)) {
            rc = tree_refuse(tr, i,
                             "its threshold must be a finite number, or null when every "
                             "number goes left");
        } else {
            tr->value[i] = threshold_of(tr->compare, t);
        }
    }
    return rc;
}

static int
read_missing(struct tree_reader *tr)
{
    const struct wire_value *sides = NULL;

    if (wire_member(tr->tree, "missing_left") == NULL) {
        return 0;
    }
    int rc = need_nodes(tr, "missing_left", &sides);
    for (uint32_t i = 0; i < tr->count && rc == 0; i++) {
        int64_t side = 0;
        if (wire_array_i64(sides, i, &side) != 0 || side < 0 || side > 1) {
            rc = tree_refuse(tr, i, "\"missing_left\" must be 0 or 1");
        }
        tr->flags[i] |= side == 1 ? NEUTRAL_DEFAULT_LEFT : 0;
    }
    return rc;
}

static int
read_set(struct tree_reader *tr, const struct wire_value *value, struct neutral_set *out_set)
{
    static const char *const names[] = {"node", "side", "members"};
    static const char *const sides[] = {"right", "left"};
    const struct wire_value *members = wire_member(value, "members");
    struct reader *reader = tr->reader;
    int rc = reader_object(reader, value, names, AUGURY_COUNT(names), tr->at);

    if (rc == 0) {
        rc =
            reader_count(reader, wire_member(value, "node"), tr->count - 1, tr->at, &out_set->node);
    }
    int32_t side = reader_choice(wire_member(value, "side"), sides, AUGURY_COUNT(sides));
    if (rc == 0 && (side < 0 || members == NULL || members->type != WIRE_ARRAY)) {
        rc = tree_refuse(tr, out_set->node,
                         "a set has a node, a side (left or right: where its "
                         "members go) and an array of members");
    }
    if (rc != 0) {
        return rc;
    }
    out_set->count = members->count;
    out_set->categories = reader_alloc(reader, members->count, sizeof(uint32_t));
    rc = out_set->categories == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < members->count && rc == 0; i++) {
        rc = reader_count(reader, &members->as.items[i], NEUTRAL_CATEGORY_MAX, tr->at,
                          &out_set->categories[i]);
    }
    tr->flags[out_set->node] |=
        (uint8_t)(NEUTRAL_CATEGORICAL | (side == 1 ? NEUTRAL_MEMBERS_LEFT : 0));
    return rc;
}

static int
read_sets(struct tree_reader *tr, struct neutral_tree *out_tree)
{
    const struct wire_value *values = wire_member(tr->tree, "sets");

    if (values == NULL) {
        return 0;
    }
    if (values->type != WIRE_ARRAY) {
        return reader_refuse(tr->reader, tr->at, "\"sets\" must be an array of objects");
    }
    struct neutral_set *sets = reader_alloc(tr->reader, values->count, sizeof(*sets));
    int rc = sets == NULL ? AUGURY_ERR_NOMEM : 0;
    for (uint32_t i = 0; i < values->count && rc == 0; i++) {
        rc = read_set(tr, &values->as.items[i], &sets[i]);
    }
    out_tree->sets = sets;
    out_tree->set_count = values->count;
    return rc;
}

static int
read_cover(struct tree_reader *tr, struct neutral_tree *out_tree)
{
    const struct wire_value *values = NULL;

    if (wire_member(tr->tree, "cover") == NULL) {
        return 0;
    }
    int rc = need_nodes(tr, "cover", &values);
    float *cover = reader_alloc(tr->reader, tr->count, sizeof(*cover));
    rc = rc == 0 && cover == NULL ? AUGURY_ERR_NOMEM : rc;
    for (uint32_t i = 0; i < tr->count && rc == 0; i++) {
        double weight = 0.0;
        if (wire_to_f64(&values->as.items[i], &weight) != 0 || !(weight >= 0.0 && weight < 1e38)) {
            rc = tree_refuse(tr, i, "\"cover\" is the weight of the training rows, 0 or more");
        } else {
            cover[i] = (float)weight;
        }
    }
    out_tree->cover = cover;
    return rc;
}

static int
tree_alloc(struct tree_reader *tr)
{
    uint32_t width = tr->reader->model->leaf_width;

    tr->left = reader_alloc(tr->reader, tr->count, sizeof(*tr->left));
    tr->right = reader_alloc(tr->reader, tr->count, sizeof(*tr->right));
    tr->feature = reader_alloc(tr->reader, tr->count, sizeof(*tr->feature));
    tr->value = reader_alloc(tr->reader, tr->count, sizeof(*tr->value));
    tr->flags = reader_alloc(tr->reader, tr->count, sizeof(*tr->flags));
    if (width > 1) {
        /* A vector is a list of the document, so there are no more numbers than bytes. */
        uint32_t leaves = 0;
        const struct wire_value *values = wire_member(tr->tree, "value");
        for (uint32_t i = 0; values != NULL && i < wire_array_len(values); i++) {
            leaves += values->type == WIRE_ARRAY && values->as.items[i].type == WIRE_ARRAY &&
                              values->as.items[i].count == width
                          ? 1
                          : 0;
        }
        tr->vectors = reader_alloc(tr->reader, (size_t)leaves * width, sizeof(double));
    }
    return tr->left == NULL || tr->right == NULL || tr->feature == NULL || tr->value == NULL ||
                   tr->flags == NULL || (width > 1 && tr->vectors == NULL)
               ? AUGURY_ERR_NOMEM
               : 0;
}

static int
read_tree(struct tree_reader *tr, struct neutral_tree *out_tree)
{
    static const char *const names[] = {"output", "left",  "right", "feature",     "threshold",
                                        "value",  "cover", "sets",  "missing_left"};
    const struct wire_value *output = wire_member(tr->tree, "output");
    const struct neutral_model *model = tr->reader->model;
    int rc = reader_object(tr->reader, tr->tree, names, AUGURY_COUNT(names), tr->at);

    tr->count = (uint32_t)wire_array_len(wire_member(tr->tree, "left"));
    if (rc == 0 && tr->count == 0) {
        rc = reader_refuse(tr->reader, tr->at, "\"left\" must be an array, with an item a node");
    }
    if (rc == 0 && output != NULL) {
        rc = reader_count(tr->reader, output, model->output_count - 1, tr->at, &out_tree->output);
    }
    if (rc == 0) {
        rc = tree_alloc(tr);
    }
    if (rc == 0) {
        rc = read_children(tr);
    }
    if (rc == 0) {
        rc = read_values(tr);
    }
    if (rc == 0) {
        rc = read_missing(tr);
    }
    if (rc == 0) {
        rc = read_sets(tr, out_tree);
    }
    return rc == 0 ? read_cover(tr, out_tree) : rc;
}

/* ---- all of them --------------------------------------------------------------------------- */

/* Lists in the first leaf of the first tree: leaves of one value an output. */
static uint32_t
leaf_width(const struct reader *reader, const struct wire_value *trees)
{
    const struct wire_value *values =
        trees->count == 0 ? NULL : wire_member(&trees->as.items[0], "value");

    for (uint32_t i = 0; values != NULL && values->type == WIRE_ARRAY && i < values->count; i++) {
        if (values->as.items[i].type == WIRE_ARRAY) {
            return reader->model->output_count;
        }
    }
    return 1;
}

int
reader_trees(struct reader *reader)
{
    const struct wire_value *values = wire_member(reader->document, "trees");
    struct neutral_model *model = reader->model;
    int32_t compare = reader_choice(wire_member(reader->document, "compare"), compare_names,
                                    AUGURY_COUNT(compare_names));

    if (values == NULL || values->type != WIRE_ARRAY) {
        return reader_refuse(reader, "trees", "expected an array of trees");
    }
    if (compare < 0) {
        return reader_refuse(reader, "compare", "expected \"lt\", \"le\" or \"f32_le\"");
    }
    model->leaf_width = leaf_width(reader, values);
    struct neutral_tree *trees = reader_alloc(reader, values->count, sizeof(*trees));
    int rc = trees == NULL
                 ? AUGURY_ERR_NOMEM
                 : reader_optional(reader, reader->document, "divisor", 1.0, &model->divisor);
    for (uint32_t i = 0; i < values->count && rc == 0; i++) {
        struct tree_reader tr = {
            .reader = reader, .tree = &values->as.items[i], .compare = (enum compare)compare};
        (void)snprintf(tr.at, sizeof(tr.at), "tree %u", i);
        rc = read_tree(&tr, &trees[i]);
        trees[i].node_count = tr.count;
        trees[i].left = tr.left;
        trees[i].right = tr.right;
        trees[i].feature = tr.feature;
        trees[i].value = tr.value;
        trees[i].flags = tr.flags;
        trees[i].vectors = tr.vectors;
        trees[i].vector_count = tr.vector_count;
    }
    model->tree_count = values->count;
    model->trees = trees;
    return rc;
}
