/* SPDX-License-Identifier: MIT */
/*
 * random_model.c - a writer of XGBoost JSON models (form of versions 1.6 to 2.x) from a seed.
 * Shapes: single leaves, stumps, full and bushy trees, chains of depth 20 and more; pairs of
 * siblings in any order; unused (deleted) nodes as pruning leaves them.
 */
#include "random_model.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { JSON_BYTES_MAX = 64 << 20, NODES_MAX = 1200, CATEGORY_SET_MAX = 64 };

struct node {
    int left;
    int right;
    int parent;
    unsigned feature;
    float value; /* threshold or leaf */
    float cover; /* rows that the node saw; of an inner node the sum of its sides */
    bool is_default_left;
    bool is_category;
    bool is_deleted;
    unsigned depth;
    unsigned set_first; /* in the tree's categories */
    unsigned set_count;
};

struct tree {
    struct node nodes[NODES_MAX];
    unsigned count;
    unsigned deleted_count;
    unsigned categories[NODES_MAX * 4];
    unsigned category_count;
};

struct objective {
    const char *name;
    float base_from; /* range of base_score */
    float base_to;
    bool has_classes;
};

static const struct objective objectives[] = {
    {"reg:squarederror", -3.0f, 3.0f, false},  {"reg:squaredlogerror", 0.1f, 3.0f, false},
    {"reg:logistic", 0.01f, 0.99f, false},     {"reg:pseudohubererror", -3.0f, 3.0f, false},
    {"reg:absoluteerror", -3.0f, 3.0f, false}, {"reg:gamma", 0.1f, 5.0f, false},
    {"reg:tweedie", 0.1f, 5.0f, false},        {"count:poisson", 0.1f, 5.0f, false},
    {"survival:cox", 0.1f, 5.0f, false},       {"survival:aft", 0.1f, 5.0f, false},
    {"binary:logistic", 0.01f, 0.99f, false},  {"binary:logitraw", -1.0f, 1.0f, false},
    {"binary:hinge", -1.0f, 1.0f, false},      {"rank:pairwise", -1.0f, 1.0f, false},
    {"rank:ndcg", -1.0f, 1.0f, false},         {"rank:map", -1.0f, 1.0f, false},
    {"multi:softmax", -1.0f, 1.0f, true},      {"multi:softprob", -1.0f, 1.0f, true},
};

/* ---- trees ----------------------------------------------------------------------------------- */

void
random_model_note(struct random_model *model, unsigned feature, float threshold)
{
    if (model->pool_counts[feature] < RANDOM_POOL_MAX) {
        model->pool[feature][model->pool_counts[feature]++] = threshold;
    }
}

static float
threshold_draw(struct oracle_random *random)
{
    static const float odd[] = {0.0f,    -0.0f,       1e-42f, -1e-42f,      FLT_MIN, -FLT_MIN,
                                FLT_MAX, -FLT_MAX,    1.0f,   FLT_TRUE_MIN, 0.671f,  0.1f,
                                1e-30f,  16777216.0f, 1e30f,  -FLT_TRUE_MIN};

    switch (oracle_below(random, 8)) {
    case 0: return odd[oracle_below(random, AUGURY_COUNT(odd))];
    case 1:
    case 2: return (float)((int)oracle_below(random, 33) - 16) / 8.0f;
    default: return oracle_normal(random) * 2.0f;
    }
}

/* The categories of a node, ascending, each once, none or more. */
static void
node_draw_set(const struct random_model *model, struct oracle_random *random, struct tree *tree,
              struct node *node)
{
    unsigned limit = model->category_counts[node->feature];
    unsigned chance = 1 + oracle_below(random, 4);

    node->is_category = true;
    node->set_first = tree->category_count;
    for (unsigned c = 0; c < limit && node->set_count < CATEGORY_SET_MAX; c++) {
        bool fits = tree->category_count < AUGURY_COUNT(tree->categories);
        if (fits && oracle_below(random, 4) < chance) {
            tree->categories[tree->category_count++] = c;
            node->set_count++;
        }
    }
}

static void
node_split(struct random_model *model, struct oracle_random *random, struct tree *tree, int at)
{
    struct node *node = &tree->nodes[at];

    node->feature = oracle_below(random, model->feature_count);
    node->is_default_left = oracle_below(random, 2) != 0;
    if (model->category_counts[node->feature] > 0) {
        node_draw_set(model, random, tree, node);
        node->is_category = node->set_count > 0;
    }
    if (!node->is_category) {
        node->value = threshold_draw(random);
        random_model_note(model, node->feature, node->value);
    }
    node->left = (int)tree->count;
    node->right = (int)tree->count + 1;
    model->depth = node->depth >= model->depth ? node->depth + 1 : model->depth;
    for (int side = 0; side < 2; side++) {
        tree->nodes[tree->count++] =
            (struct node){.left = -1, .right = -1, .parent = at, .depth = node->depth + 1};
    }
}

/* Splits leaves until the tree has its size: the newest leaf (chains), the oldest (full) or any
 * (bushy). */
static void
tree_grow(struct random_model *model, struct oracle_random *random, struct tree *tree)
{
    static const unsigned splits[] = {0, 1, 3, 7, 63, 20, 40, 200, 300};
    unsigned wanted = splits[oracle_below(random, AUGURY_COUNT(splits))];
    unsigned manner = oracle_below(random, 3);
    unsigned oldest = 0;

    memset(tree, 0, sizeof(*tree));
    tree->nodes[0] = (struct node){.left = -1, .right = -1, .parent = INT32_MAX};
    tree->count = 1;
    for (unsigned i = 0; i < wanted; i++) {
        unsigned at = oldest;
        if (manner == 1) {
            at = tree->count - 1 - (i > 0 ? oracle_below(random, 2) : 0);
        } else if (manner == 2) {
            at = oracle_below(random, tree->count);
        }
        if (tree->nodes[at].left < 0) {
            node_split(model, random, tree, (int)at);
        }
        oldest++;
    }
}

static void
tree_fill_leaves(struct oracle_random *random, struct tree *tree)
{
    for (unsigned i = 0; i < tree->count; i++) {
        if (tree->nodes[i].left < 0) {
            tree->nodes[i].value = oracle_normal(random) * (oracle_below(random, 9) ? 0.1f : 9.0f);
        }
    }
}

/* Before nodes are numbered anew: the sides of a node come after it. */
static void
tree_fill_covers(struct oracle_random *random, struct tree *tree)
{
    for (unsigned i = tree->count; i-- > 0;) {
        struct node *node = &tree->nodes[i];
        node->cover = node->left < 0
                          ? 1.0f + (float)oracle_below(random, 1000)
                          : tree->nodes[node->left].cover + tree->nodes[node->right].cover;
    }
}

/* The new number of a node when pairs of siblings have changed places. */
static int
node_moved(const unsigned *pair_place, int node)
{
    return node <= 0 ? node : (int)(1 + 2 * pair_place[(node - 1) / 2]) + (node - 1) % 2;
}

/*
 * Numbers the nodes anew and lays unused nodes between them. The root stays first, and siblings
 * stay adjacent, left before right: libxgboost 1.7 finds the right child as left + 1.
 */
static void
tree_shuffle(struct oracle_random *random, struct tree *tree)
{
    static struct tree old; /* scratch of this call alone; too large for a stack */
    static unsigned place[NODES_MAX / 2];

    tree->deleted_count = oracle_below(random, 3) == 0 ? 2 * oracle_below(random, 3) : 0;
    for (unsigned i = 0; i < tree->deleted_count; i++) {
        tree->nodes[tree->count++] = (struct node){
            .left = -1, .right = -1, .parent = 0, .is_deleted = true, .is_default_left = true};
    }
    old = *tree;
    unsigned pairs = tree->count / 2;
    for (unsigned i = 0; i < pairs; i++) {
        place[i] = i;
    }
    for (unsigned i = pairs; i > 1; i--) {
        unsigned j = oracle_below(random, i);
        unsigned kept = place[i - 1];
        place[i - 1] = place[j];
        place[j] = kept;
    }
    for (unsigned i = 0; i < tree->count; i++) {
        struct node node = old.nodes[i];
        node.left = node_moved(place, node.left);
        node.right = node_moved(place, node.right);
        node.parent = i == 0 || node.is_deleted ? node.parent : node_moved(place, node.parent);
        tree->nodes[node_moved(place, (int)i)] = node;
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* One array of the tree, a number a node. */
#define PUT_ARRAY(json, tree, name, fmt, expression)                                               \
    do {                                                                                           \
        buf_printf(json, "\"%s\":[", name);                                                        \
        for (unsigned i = 0; i < (tree)->count; i++) {                                             \
            const struct node *node = &(tree)->nodes[i];                                           \
            (void)node;                                                                            \
            buf_printf(json, "%s" fmt, i > 0 ? "," : "", expression);                              \
        }                                                                                          \
        buf_put_text(json, "],");                                                                  \
    } while (0)

static void
put_categories(struct buf *json, const struct tree *tree)
{
    const char *names[] = {"categories_nodes", "categories_segments", "categories_sizes"};
    unsigned next = 0;

    for (unsigned array = 0; array < 3; array++) {
        const char *comma = "";
        next = 0;
        buf_printf(json, "\"%s\":[", names[array]);
        for (unsigned i = 0; i < tree->count; i++) {
            const struct node *node = &tree->nodes[i];
            if (node->left >= 0 && node->is_category) {
                unsigned value = array == 0 ? i : array == 1 ? next : node->set_count;
                buf_printf(json, "%s%u", comma, value);
                next += node->set_count;
                comma = ",";
            }
        }
        buf_put_text(json, "],");
    }
    next = 0;
    buf_put_text(json, "\"categories\":[");
    for (unsigned i = 0; i < tree->count; i++) {
        const struct node *node = &tree->nodes[i];
        for (unsigned k = 0; node->left >= 0 && node->is_category && k < node->set_count; k++) {
            buf_printf(json, "%s%u", next++ > 0 ? "," : "", tree->categories[node->set_first + k]);
        }
    }
    buf_put_text(json, "],");
}

static void
put_tree(struct buf *json, const struct tree *tree, unsigned id, unsigned feature_count)
{
    buf_printf(json, "%s{\"id\":%u,", id > 0 ? "," : "", id);
    PUT_ARRAY(json, tree, "left_children", "%d", node->left);
    PUT_ARRAY(json, tree, "right_children", "%d", node->right);
    PUT_ARRAY(json, tree, "parents", "%d", node->parent);
    PUT_ARRAY(json, tree, "split_indices", "%u", node->is_deleted ? INT32_MAX : node->feature);
    PUT_ARRAY(json, tree, "split_conditions", "%.8e", (double)node->value);
    PUT_ARRAY(json, tree, "default_left", "%d", node->is_default_left ? 1 : 0);
    PUT_ARRAY(json, tree, "split_type", "%d", node->left >= 0 && node->is_category ? 1 : 0);
    PUT_ARRAY(json, tree, "base_weights", "%.8e", node->left < 0 ? 1.0 : 0.5);
    PUT_ARRAY(json, tree, "loss_changes", "%.8e", node->left < 0 ? 0.0 : 1.5);
    PUT_ARRAY(json, tree, "sum_hessian", "%.8e", (double)node->cover);
    put_categories(json, tree);
    buf_printf(json,
               "\"tree_param\":{\"num_deleted\":\"%u\",\"num_feature\":\"%u\","
               "\"num_nodes\":\"%u\",\"size_leaf_vector\":\"0\"}}",
               tree->deleted_count, feature_count, tree->count);
}

static void
put_trees(struct random_model *model, struct oracle_random *random)
{
    static struct tree tree; /* scratch of this call alone; too large for a stack */
    struct buf *json = &model->json;

    buf_printf(json,
               "\"model\":{\"gbtree_model_param\":{\"num_parallel_tree\":\"%u\","
               "\"num_trees\":\"%u\",\"size_leaf_vector\":\"0\"},\"tree_info\":[",
               model->parallel_count, model->tree_count);
    for (unsigned i = 0; i < model->tree_count; i++) {
        unsigned group = i / model->parallel_count % model->group_count;
        buf_printf(json, "%s%u", i > 0 ? "," : "", group);
    }
    buf_put_text(json, "],\"trees\":[");
    for (unsigned i = 0; i < model->tree_count; i++) {
        tree_grow(model, random, &tree);
        tree_fill_leaves(random, &tree);
        tree_fill_covers(random, &tree);
        if (oracle_below(random, 2) == 0) {
            tree_shuffle(random, &tree);
        }
        put_tree(json, &tree, i, model->feature_count);
    }
    buf_put_text(json, "]}");
}

static void
put_booster(struct random_model *model, struct oracle_random *random)
{
    struct buf *json = &model->json;

    if (model->booster == RANDOM_GBTREE) {
        buf_put_text(json, "\"gradient_booster\":{");
        put_trees(model, random);
        buf_put_text(json, ",\"name\":\"gbtree\"},");
    } else if (model->booster == RANDOM_DART) {
        buf_put_text(json, "\"gradient_booster\":{\"gbtree\":{");
        put_trees(model, random);
        buf_put_text(json, ",\"name\":\"gbtree\"},\"name\":\"dart\",\"weight_drop\":[");
        for (unsigned i = 0; i < model->tree_count; i++) {
            double weight = oracle_below(random, 4) == 0 ? 1.0 : (double)oracle_unit(random);
            buf_printf(json, "%s%.8e", i > 0 ? "," : "", weight);
        }
        buf_put_text(json, "]},");
    } else {
        unsigned count = (model->feature_count + 1) * model->group_count;
        buf_put_text(json, "\"gradient_booster\":{\"model\":{\"boosted_rounds\":3,\"weights\":[");
        for (unsigned i = 0; i < count; i++) {
            buf_printf(json, "%s%.8e", i > 0 ? "," : "", (double)oracle_normal(random));
        }
        buf_put_text(json, "]},\"name\":\"gblinear\"},");
    }
}

/* The parameters of every objective at once: a reader takes those of its own and leaves the
 * rest. */
static void
put_objective(struct buf *json, const char *name, unsigned classes)
{
    buf_printf(json,
               "\"objective\":{\"name\":\"%s\",\"reg_loss_param\":{\"scale_pos_weight\":\"1\"},"
               "\"softmax_multiclass_param\":{\"num_class\":\"%u\"},"
               "\"poisson_regression_param\":{\"max_delta_step\":\"0.7\"},"
               "\"tweedie_regression_param\":{\"tweedie_variance_power\":\"1.5\"},"
               "\"pseudo_huber_param\":{\"huber_slope\":\"1\"},"
               "\"pseduo_huber_param\":{\"huber_slope\":\"1\"},"
               "\"aft_loss_param\":{\"aft_loss_distribution\":\"normal\","
               "\"aft_loss_distribution_scale\":\"1\"},"
               "\"lambda_rank_param\":{\"fix_list_weight\":\"0\",\"num_pairsample\":\"1\"}}",
               name, classes);
}

static void
put_schema(const struct random_model *model, struct buf *json, bool is_named)
{
    buf_put_text(json, "\"attributes\":{},\"feature_names\":[");
    for (unsigned i = 0; is_named && i < model->feature_count; i++) {
        buf_printf(json, "%s\"feature %u\"", i > 0 ? "," : "", i);
    }
    buf_put_text(json, "],\"feature_types\":[");
    for (unsigned i = 0; is_named && i < model->feature_count; i++) {
        buf_printf(json, "%s\"%s\"", i > 0 ? "," : "", model->category_counts[i] ? "c" : "float");
    }
    buf_put_text(json, "],");
}

static void
draw_schema(struct random_model *model, struct oracle_random *random)
{
    static const unsigned counts[] = {1, 3, 31, 32, 33, 64, 100};

    model->feature_count = 1 + oracle_below(random, RANDOM_FEATURES_MAX);
    model->has_categories = model->booster != RANDOM_GBLINEAR && oracle_below(random, 3) == 0;
    for (unsigned i = 0; model->has_categories && i < model->feature_count; i++) {
        if (oracle_below(random, 2) == 0) {
            model->category_counts[i] = counts[oracle_below(random, AUGURY_COUNT(counts))];
        }
    }
}

bool
random_model_init(struct random_model *model, uint64_t seed)
{
    struct oracle_random random = oracle_random_of(seed);
    const struct objective *objective =
        &objectives[oracle_below(&random, AUGURY_COUNT(objectives))];
    unsigned booster = oracle_below(&random, 5);

    memset(model, 0, sizeof(*model));
    model->seed = seed;
    model->booster = booster < 3 ? RANDOM_GBTREE : booster == 3 ? RANDOM_DART : RANDOM_GBLINEAR;
    model->objective = objective->name;
    model->group_count = objective->has_classes ? 2 + oracle_below(&random, 5) : 1;
    model->parallel_count =
        model->booster == RANDOM_GBTREE && oracle_below(&random, 3) == 0 ? 3 : 1;
    model->tree_count =
        model->booster == RANDOM_GBLINEAR
            ? 0
            : (1 + oracle_below(&random, 7)) * model->group_count * model->parallel_count;
    draw_schema(model, &random);
    buf_init(&model->json, JSON_BYTES_MAX);
    buf_put_text(&model->json, "{\"learner\":{");
    put_schema(model, &model->json, oracle_below(&random, 2) == 0);
    put_booster(model, &random);
    double base = (double)(objective->base_from +
                           (objective->base_to - objective->base_from) * oracle_unit(&random));
    base = oracle_below(&random, 2) == 0 ? 0.5 : base;
    unsigned classes = objective->has_classes ? model->group_count : 0;
    buf_printf(&model->json,
               "\"learner_model_param\":{\"base_score\":\"%.8E\",\"boost_from_average\":\"1\","
               "\"num_class\":\"%u\",\"num_feature\":\"%u\",\"num_target\":\"1\"},",
               base, classes, model->feature_count);
    put_objective(&model->json, model->objective, classes);
    buf_put_text(&model->json, "},\"version\":[1,7,4]}");
    return buf_finish(&model->json) == 0;
}

void
random_model_fini(struct random_model *model)
{
    buf_fini(&model->json);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static float
category_draw(struct oracle_random *random, unsigned count)
{
    static const float odd[] = {-1.0f, -0.5f, 0.5f, 1.75f, 1e6f, 16777215.0f, 16777216.0f, 3e9f};

    return oracle_below(random, 6) == 0 ? odd[oracle_below(random, AUGURY_COUNT(odd))]
                                        : (float)oracle_below(random, count + 2);
}

static float
value_draw(const struct random_model *model, unsigned feature, enum random_rows kind,
           struct oracle_random *random)
{
    static const float odd[] = {0.0f,   -0.0f,   FLT_TRUE_MIN, -FLT_TRUE_MIN,
                                1e-40f, FLT_MAX, -FLT_MAX};
    unsigned pool = model->pool_counts[feature];
    float near = pool > 0 ? model->pool[feature][oracle_below(random, pool)] : 0.5f;
    float value = oracle_normal(random) * 2.0f;

    switch (oracle_below(random, 10)) {
    case 0: return NAN;
    case 1: value = odd[oracle_below(random, AUGURY_COUNT(odd))]; break;
    case 2:
    case 3: value = near; break;
    case 4: value = nextafterf(near, -INFINITY); break;
    case 5: value = nextafterf(near, INFINITY); break;
    case 6: value = kind == RANDOM_FINITE ? -near : INFINITY; break;
    default: break;
    }
    if (model->category_counts[feature] > 0 && !isinf(value)) {
        value = category_draw(random, model->category_counts[feature]);
    }
    if (isinf(value) && kind == RANDOM_FINITE) {
        return signbit(value) ? -FLT_MAX : FLT_MAX;
    }
    return !isinf(value) ? value : kind == RANDOM_PLUS_INFINITY ? INFINITY : -INFINITY;
}

void
random_model_rows(const struct random_model *model, enum random_rows kind,
                  struct oracle_random *random, size_t count, float *out_rows)
{
    for (size_t i = 0; i < count * model->feature_count; i++) {
        out_rows[i] = value_draw(model, (unsigned)(i % model->feature_count), kind, random);
    }
}
