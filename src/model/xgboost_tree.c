/* SPDX-License-Identifier: MIT */
/*
 * xgboost_tree.c - one tree of an XGBoost document, a structure of arrays, into the neutral form.
 * Only shapes are judged here (every array one entry a node, category segments inside their list);
 * neutral_check() judges the tree. Names of members as XGBoost writes them; parents, loss_changes
 * and unknown members are not read.
 */
#include "xgboost.h"

#include <limits.h>

struct tree_reader {
    struct import *import;
    const struct wire_value *tree;
    uint32_t output_count; /* of the model */
    uint32_t leaf_width;   /* values of a leaf: 1, or one an output */
    uint32_t node_count;
    struct err *err;
};

static int
no_memory(struct err *err)
{
    err_set(err, AUGURY_ERR_NOMEM, "out_of_memory", "no memory to read the model");
    return AUGURY_ERR_NOMEM;
}

/* An array of one entry a node. */
static int
node_array(struct tree_reader *reader, const char *key, const struct wire_value **out_array)
{
    const struct wire_value *array = wire_member(reader->tree, key);

    if (array == NULL || !wire_is_array(array)) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree", "it has no array \"%s\"",
                       key);
    }
    if (wire_array_len(array) != reader->node_count) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "\"%s\" has %zu entries, but the tree has %u nodes", key,
                       wire_array_len(array), reader->node_count);
    }
    *out_array = array;
    return 0;
}

static int
bad_entry(struct tree_reader *reader, const char *key, size_t i)
{
    return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                   "entry %zu of \"%s\" is not a number of the right kind", i, key);
}

/* Deleted nodes hold any number, so the range is only that of the type; neutral_check() looks at
 * the nodes that count. */
static int
read_integers(struct tree_reader *reader, const char *key, int64_t least, int64_t most,
              int32_t **out_numbers)
{
    const struct wire_value *array = NULL;
    int rc = node_array(reader, key, &array);

    if (rc != 0) {
        return rc;
    }
    int32_t *numbers = arena_zalloc(&reader->import->arena, reader->node_count, sizeof(*numbers));
    if (numbers == NULL) {
        return no_memory(reader->err);
    }
    for (uint32_t i = 0; i < reader->node_count; i++) {
        int64_t number = 0;
        if (wire_array_i64(array, i, &number) != 0 || number < least || number > most) {
            return bad_entry(reader, key, i);
        }
        numbers[i] = (int32_t)number;
    }
    *out_numbers = numbers;
    return 0;
}

static int
read_values(struct tree_reader *reader, const char *key, double **out_numbers)
{
    const struct wire_value *array = NULL;
    int rc = node_array(reader, key, &array);

    if (rc != 0) {
        return rc;
    }
    double *numbers = arena_zalloc(&reader->import->arena, reader->node_count, sizeof(*numbers));
    if (numbers == NULL) {
        return no_memory(reader->err);
    }
    for (uint32_t i = 0; i < reader->node_count; i++) {
        float number = 0.0f;
        if (wire_array_f32(array, i, &number) != 0) {
            return bad_entry(reader, key, i);
        }
        numbers[i] = (double)number;
    }
    *out_numbers = numbers;
    return 0;
}

static int
read_covers(struct tree_reader *reader, float **out_covers)
{
    const struct wire_value *array = NULL;
    int rc = node_array(reader, "sum_hessian", &array);

    if (rc != 0) {
        return rc;
    }
    float *covers = arena_zalloc(&reader->import->arena, reader->node_count, sizeof(*covers));
    if (covers == NULL) {
        return no_memory(reader->err);
    }
    for (uint32_t i = 0; i < reader->node_count; i++) {
        if (wire_array_f32(array, i, &covers[i]) != 0) {
            return bad_entry(reader, "sum_hessian", i);
        }
    }
    *out_covers = covers;
    return 0;
}

/* An array that older files do not have: absent or empty reads as no array. */
static bool
has_array(const struct wire_value *tree, const char *key)
{
    return wire_array_len(wire_member(tree, key)) > 0;
}

static int
read_flags(struct tree_reader *reader, uint8_t **out_flags)
{
    int32_t *default_left = NULL;
    int32_t *split_type = NULL;
    int rc = read_integers(reader, "default_left", 0, 1, &default_left);

    if (rc == 0 && has_array(reader->tree, "split_type")) {
        rc = read_integers(reader, "split_type", 0, 1, &split_type);
    }
    if (rc != 0) {
        return rc;
    }
    uint8_t *flags = arena_zalloc(&reader->import->arena, reader->node_count, 1);
    if (flags == NULL) {
        return no_memory(reader->err);
    }
    for (uint32_t i = 0; i < reader->node_count; i++) {
        bool is_set = split_type != NULL && split_type[i] == 1;
        flags[i] = (uint8_t)((default_left[i] == 1 ? NEUTRAL_DEFAULT_LEFT : 0) |
                             (is_set ? NEUTRAL_CATEGORICAL : 0));
    }
    *out_flags = flags;
    return 0;
}

/* ---- categories ---------------------------------------------------------------------------- */

struct category_arrays {
    const struct wire_value *values;   /* all categories of the tree */
    const struct wire_value *nodes;    /* ascending */
    const struct wire_value *segments; /* first entry in values */
    const struct wire_value *sizes;
};

static int
read_set(struct tree_reader *reader, const struct category_arrays *arrays, size_t i,
         struct neutral_set *out_set)
{
    int64_t node = 0;
    int64_t first = 0;
    int64_t size = 0;
    int64_t count = (int64_t)wire_array_len(arrays->values);

    if (wire_array_i64(arrays->nodes, i, &node) != 0 || node < 0 || node >= reader->node_count ||
        wire_array_i64(arrays->segments, i, &first) != 0 || first < 0 || first > count ||
        wire_array_i64(arrays->sizes, i, &size) != 0 || size < 0 || size > count - first) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "category segment %zu does not lie inside its %lld categories and %u nodes",
                       i, (long long)count, reader->node_count);
    }
    uint32_t *categories = arena_zalloc(&reader->import->arena, (size_t)size, sizeof(*categories));
    if (categories == NULL) {
        return no_memory(reader->err);
    }
    for (int64_t k = 0; k < size; k++) {
        int64_t category = 0;
        if (wire_array_i64(arrays->values, (size_t)(first + k), &category) != 0 || category < 0 ||
            category > NEUTRAL_CATEGORY_MAX) {
            return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                           "entry %lld of \"categories\" is not a code from 0 to %d",
                           (long long)first + k, NEUTRAL_CATEGORY_MAX);
        }
        categories[k] = (uint32_t)category;
    }
    *out_set = (struct neutral_set){
        .node = (uint32_t)node, .count = (uint32_t)size, .categories = categories};
    return 0;
}

/* Segments that overlap would let a small file ask for much memory: together they may not be
 * longer than their list. */
static int
check_overlap(struct tree_reader *reader, const struct category_arrays *arrays)
{
    int64_t sum = 0;
    int64_t size = 0;

    for (size_t i = 0; i < wire_array_len(arrays->sizes); i++) {
        if (wire_array_i64(arrays->sizes, i, &size) != 0 || size < 0 || size > INT32_MAX) {
            return bad_entry(reader, "categories_sizes", i);
        }
        sum += size;
    }
    return sum <= (int64_t)wire_array_len(arrays->values)
               ? 0
               : err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                         "the category segments overlap: together %lld entries of a list of %zu",
                         (long long)sum, wire_array_len(arrays->values));
}

static int
read_sets(struct tree_reader *reader, struct neutral_tree *tree)
{
    struct category_arrays arrays = {
        .values = wire_member(reader->tree, "categories"),
        .nodes = wire_member(reader->tree, "categories_nodes"),
        .segments = wire_member(reader->tree, "categories_segments"),
        .sizes = wire_member(reader->tree, "categories_sizes"),
    };
    size_t count = wire_array_len(arrays.nodes);

    if (count == 0) {
        return 0;
    }
    if (count > reader->node_count || wire_array_len(arrays.segments) != count ||
        wire_array_len(arrays.sizes) != count) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "\"categories_nodes\", \"categories_segments\" and \"categories_sizes\" "
                       "have %zu, %zu and %zu entries; they must be equally long",
                       count, wire_array_len(arrays.segments), wire_array_len(arrays.sizes));
    }
    int rc = check_overlap(reader, &arrays);
    if (rc != 0) {
        return rc;
    }
    struct neutral_set *sets = arena_zalloc(&reader->import->arena, count, sizeof(*sets));
    if (sets == NULL) {
        return no_memory(reader->err);
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = read_set(reader, &arrays, i, &sets[i]);
    }
    tree->sets = sets;
    tree->set_count = (uint32_t)count;
    return rc;
}

/* ---- the tree ------------------------------------------------------------------------------ */

/* Values of a leaf. 0 and 1 are one value; else there is one for each output. */
static int
read_leaf_width(struct tree_reader *reader)
{
    const struct wire_value *size =
        wire_member(wire_member(reader->tree, "tree_param"), "size_leaf_vector");
    uint64_t width = 1;

    if (size != NULL && bytes_to_u64(wire_string(size), INT32_MAX, &width) != 0) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "\"size_leaf_vector\" is not a text of digits, as \"1\"");
    }
    width = width == 0 ? 1 : width;
    if (width != 1 && width != reader->output_count) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "leaves of %llu values in a model of %u outputs", (unsigned long long)width,
                       reader->output_count);
    }
    reader->leaf_width = (uint32_t)width;
    return 0;
}

/* What the arrays do not say: the tree's place. */
static int
check_head(struct tree_reader *reader, uint32_t number)
{
    const struct wire_value *id = wire_member(reader->tree, "id");
    const struct wire_value *left = wire_member(reader->tree, "left_children");
    int64_t position = 0;

    if (reader->tree->type != WIRE_OBJECT) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "expected an object, got %s", wire_type_name(reader->tree));
    }
    if (id != NULL && (wire_to_i64(id, &position) != 0 || position != number)) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "its id is not its place in the file: trees are out of order");
    }
    if (wire_array_len(left) == 0 || wire_array_len(left) > INT32_MAX) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "\"left_children\" is absent or empty; even a constant tree has one node");
    }
    reader->node_count = (uint32_t)wire_array_len(left);
    return 0;
}

/* Leaves of several values (multi_strategy=multi_output_tree). Since 3.2 they stand in a list of
 * their own, whose entry the leaf's right child names; before, each node has its base weights. */
static int
read_vectors(struct tree_reader *reader, const int32_t *left, int32_t *right,
             struct neutral_tree *tree)
{
    bool is_listed = has_array(reader->tree, "leaf_weights");
    const char *key = is_listed ? "leaf_weights" : "base_weights";
    const struct wire_value *array = wire_member(reader->tree, key);
    size_t count = wire_array_len(array);
    size_t rows = count / reader->leaf_width;

    if (rows == 0 || count % reader->leaf_width != 0 || rows > reader->node_count ||
        (!is_listed && rows != reader->node_count)) {
        return err_set(reader->err, AUGURY_ERR_INVALID, "invalid_tree",
                       "\"%s\" has %zu entries, which are no rows of %u for %u nodes", key, count,
                       reader->leaf_width, reader->node_count);
    }
    double *vectors = arena_zalloc(&reader->import->arena, count, sizeof(*vectors));
    if (vectors == NULL) {
        return no_memory(reader->err);
    }
    for (size_t i = 0; i < count; i++) {
        float number = 0.0f;
        if (wire_array_f32(array, i, &number) != 0) {
            return bad_entry(reader, key, i);
        }
        vectors[i] = (double)number;
    }
    for (uint32_t i = 0; !is_listed && i < reader->node_count; i++) {
        right[i] = left[i] == NEUTRAL_LEAF ? (int32_t)i : right[i];
    }
    tree->vectors = vectors;
    tree->vector_count = (uint32_t)rows;
    return 0;
}

static int
read_arrays(struct tree_reader *reader, struct neutral_tree *tree)
{
    int32_t *left = NULL;
    int32_t *right = NULL;
    int32_t *feature = NULL;
    double *value = NULL;
    float *cover = NULL;
    uint8_t *flags = NULL;
    int rc = read_integers(reader, "left_children", INT32_MIN, INT32_MAX, &left);

    if (rc == 0) {
        rc = read_integers(reader, "right_children", INT32_MIN, INT32_MAX, &right);
    }
    if (rc == 0) {
        rc = read_integers(reader, "split_indices", 0, INT32_MAX, &feature);
    }
    if (rc == 0) {
        rc = read_values(reader, "split_conditions", &value);
    }
    if (rc == 0) {
        rc = read_flags(reader, &flags);
    }
    if (rc == 0 && has_array(reader->tree, "sum_hessian")) {
        rc = read_covers(reader, &cover);
    }
    *tree = (struct neutral_tree){
        .node_count = reader->node_count,
        .left = left,
        .right = right,
        .feature = (const uint32_t *)feature,
        .value = value,
        .flags = flags,
        .cover = cover,
    };
    return rc == 0 && reader->leaf_width > 1 ? read_vectors(reader, left, right, tree) : rc;
}

int
xgboost_read_tree(struct xgboost_document *doc, const struct wire_value *tree, uint32_t number,
                  uint32_t output_count, struct neutral_tree *out_tree)
{
    struct tree_reader reader = {
        .import = doc->import, .tree = tree, .output_count = output_count, .err = doc->err};
    int rc = check_head(&reader, number);

    if (rc == 0) {
        rc = read_leaf_width(&reader);
    }
    if (rc == 0) {
        rc = read_arrays(&reader, out_tree);
    }
    if (rc == 0) {
        rc = read_sets(&reader, out_tree);
    }
    if (rc != 0) {
        err_at(doc->err, "tree %u", number);
    }
    return rc;
}
