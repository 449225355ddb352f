/* SPDX-License-Identifier: MIT */
/*
 * lightgbm.c - a LightGBM text (v2 to v4) into the neutral form: head, objective, trees, and what
 * Python's package writes after them. Everything is double. The trees' leaves hold what they add:
 * the learning rate, dart's weights and the initial score are in them already.
 */
#include "lightgbm.h"

#include <math.h>
#include <stdio.h>

enum head_key {
    HEAD_VERSION,
    HEAD_NUM_CLASS,
    HEAD_TREES_PER_ITERATION,
    HEAD_MAX_FEATURE,
    HEAD_OBJECTIVE,
    HEAD_AVERAGE_OUTPUT,
    HEAD_FEATURE_NAMES,
    HEAD_FEATURE_INFOS,
    HEAD_TREE_SIZES,
    HEAD_KEY_COUNT
};

static const char *const head_keys[HEAD_KEY_COUNT] = {
    [HEAD_VERSION] = "version",
    [HEAD_NUM_CLASS] = "num_class",
    [HEAD_TREES_PER_ITERATION] = "num_tree_per_iteration",
    [HEAD_MAX_FEATURE] = "max_feature_idx",
    [HEAD_OBJECTIVE] = "objective",
    [HEAD_AVERAGE_OUTPUT] = "average_output",
    [HEAD_FEATURE_NAMES] = "feature_names",
    [HEAD_FEATURE_INFOS] = "feature_infos",
    [HEAD_TREE_SIZES] = "tree_sizes",
};

/* ---- objectives ---------------------------------------------------------------------------- */

enum objective_flags {
    OBJECTIVE_SIGMOID = 1 << 0, /* `sigmoid:` scales the margin */
    OBJECTIVE_CLASSES = 1 << 1, /* as many outputs as `num_class:` says */
    OBJECTIVE_BINARY = 1 << 2,
    OBJECTIVE_SQRT = 1 << 3, /* `sqrt`: trained on the label's root */
    OBJECTIVE_ANY = 1 << 4,  /* any number of outputs */
};

/* ConvertOutput() of LightGBM's objectives; the other names are aliases that its reader knows. */
static const struct lightgbm_objective {
    const char *name;
    enum model_link link;
    unsigned flags; /* enum objective_flags */
} objectives[] = {
    {"binary", MODEL_LINK_SIGMOID, OBJECTIVE_SIGMOID | OBJECTIVE_BINARY},
    {"cross_entropy", MODEL_LINK_SIGMOID, 0},
    {"cross_entropy_lambda", MODEL_LINK_LOG1P_EXP, 0},
    {"custom", MODEL_LINK_IDENTITY, OBJECTIVE_ANY},
    {"fair", MODEL_LINK_IDENTITY, OBJECTIVE_SQRT},
    {"gamma", MODEL_LINK_EXP, 0},
    {"huber", MODEL_LINK_IDENTITY, 0},
    {"l1", MODEL_LINK_IDENTITY, 0},
    {"l2", MODEL_LINK_IDENTITY, 0},
    {"l2_root", MODEL_LINK_IDENTITY, 0},
    {"lambdarank", MODEL_LINK_IDENTITY, 0},
    {"mae", MODEL_LINK_IDENTITY, 0},
    {"mape", MODEL_LINK_IDENTITY, 0},
    {"mean_absolute_error", MODEL_LINK_IDENTITY, 0},
    {"mean_absolute_percentage_error", MODEL_LINK_IDENTITY, 0},
    {"mean_squared_error", MODEL_LINK_IDENTITY, 0},
    {"mse", MODEL_LINK_IDENTITY, 0},
    {"multiclass", MODEL_LINK_SOFTPROB, OBJECTIVE_CLASSES},
    {"multiclassova", MODEL_LINK_SIGMOID, OBJECTIVE_SIGMOID | OBJECTIVE_CLASSES},
    {"na", MODEL_LINK_IDENTITY, OBJECTIVE_ANY},
    {"none", MODEL_LINK_IDENTITY, OBJECTIVE_ANY},
    {"null", MODEL_LINK_IDENTITY, OBJECTIVE_ANY},
    {"poisson", MODEL_LINK_EXP, 0},
    {"quantile", MODEL_LINK_IDENTITY, OBJECTIVE_SQRT},
    {"rank_xendcg", MODEL_LINK_IDENTITY, 0},
    {"regression", MODEL_LINK_IDENTITY, OBJECTIVE_SQRT},
    {"regression_l1", MODEL_LINK_IDENTITY, OBJECTIVE_SQRT},
    {"regression_l2", MODEL_LINK_IDENTITY, OBJECTIVE_SQRT},
    {"rmse", MODEL_LINK_IDENTITY, 0},
    {"root_mean_squared_error", MODEL_LINK_IDENTITY, 0},
    {"tweedie", MODEL_LINK_EXP, 0},
    {"xendcg", MODEL_LINK_IDENTITY, 0},
    {"xentlambda", MODEL_LINK_LOG1P_EXP, 0},
    {"xentropy", MODEL_LINK_SIGMOID, 0},
};

static const struct lightgbm_objective *
find_objective(struct bytes name)
{
    for (size_t i = 0; i < AUGURY_COUNT(objectives); i++) {
        if (bytes_equal_text(name, objectives[i].name)) {
            return &objectives[i];
        }
    }
    return NULL;
}

/* What follows the name: "sigmoid:1", "num_class:5", "sqrt". */
struct objective_words {
    double sigmoid;   /* 0: not given */
    uint64_t classes; /* 0: not given */
    bool has_sqrt;
};

static int
read_objective_words(struct bytes rest, struct objective_words *out_words)
{
    struct bytes word;
    int rc = 0;

    while (rc == 0 && lightgbm_word_next(&rest, &word)) {
        if (bytes_start_with(word, "sigmoid:")) {
            rc = text_to_f64(bytes_of(word.data + 8, word.len - 8), &out_words->sigmoid);
        } else if (bytes_start_with(word, "num_class:")) {
            rc = bytes_to_u64(bytes_of(word.data + 10, word.len - 10), INT32_MAX,
                              &out_words->classes);
        } else if (bytes_equal_text(word, "sqrt")) {
            out_words->has_sqrt = true;
        }
    }
    return rc;
}

static int
check_outputs(struct lightgbm_reader *reader, uint32_t line,
              const struct lightgbm_objective *objective, uint64_t classes,
              const struct neutral_model *model)
{
    bool is_right = (objective->flags & OBJECTIVE_CLASSES) != 0 ? classes == model->output_count
                                                                : model->output_count == 1;

    return is_right || (objective->flags & OBJECTIVE_ANY) != 0
               ? 0
               : lightgbm_invalid(reader, line,
                                  "objective %s of %llu classes does not fit %u trees an iteration",
                                  objective->name, (unsigned long long)classes,
                                  model->output_count);
}

static int
apply_objective(struct lightgbm_reader *reader, uint32_t line,
                const struct lightgbm_objective *objective, struct bytes rest,
                struct neutral_model *model)
{
    struct objective_words words = {.sigmoid = 0.0};

    if (read_objective_words(rest, &words) != 0) {
        return lightgbm_invalid(reader, line, "a word of the objective %s is no number",
                                objective->name);
    }
    model->objective = bytes_of_text(objective->name);
    model->link = objective->link;
    if (words.has_sqrt && (objective->flags & OBJECTIVE_SQRT) != 0) {
        model->link = MODEL_LINK_SIGNED_SQUARE;
    }
    model->flags = (objective->flags & OBJECTIVE_BINARY) != 0 ? NEUTRAL_BINARY : 0;
    if ((objective->flags & OBJECTIVE_SIGMOID) != 0) {
        model->link_scale = words.sigmoid;
        if (!(words.sigmoid > 0.0 && isfinite(words.sigmoid))) {
            return lightgbm_invalid(reader, line,
                                    "objective %s needs a \"sigmoid:\" over 0, as \"sigmoid:1\"",
                                    objective->name);
        }
    }
    return check_outputs(reader, line, objective, words.classes, model);
}

/* No objective: the sum of the leaves is the answer. */
static int
read_objective(struct lightgbm_reader *reader, struct lightgbm_field field,
               struct neutral_model *model)
{
    struct bytes rest = field.value;
    struct bytes name = bytes_of_text("none");

    if (field.line != 0 && !lightgbm_word_next(&rest, &name)) {
        return lightgbm_invalid(reader, field.line, "\"objective\" has no name");
    }
    const struct lightgbm_objective *objective = find_objective(name);
    if (objective == NULL) {
        err_set(reader->err, AUGURY_ERR_UNSUPPORTED, "unknown_objective",
                "objective \"%.*s\" is not known to this version of augury: how its margins "
                "become predictions would be a guess",
                (int)(name.len < 80 ? name.len : 80), (const char *)name.data);
        err_at(reader->err, "line %u", field.line);
        return AUGURY_ERR_UNSUPPORTED;
    }
    return apply_objective(reader, field.line, objective, rest, model);
}

/* ---- head ---------------------------------------------------------------------------------- */

static int
read_version(struct lightgbm_reader *reader, struct lightgbm_field field,
             struct neutral_model *model)
{
    static const char *const sources[][2] = {
        {"v2", "lightgbm v2 text"}, {"v3", "lightgbm v3 text"}, {"v4", "lightgbm v4 text"}};

    for (size_t i = 0; i < AUGURY_COUNT(sources); i++) {
        if (field.line != 0 && bytes_equal_text(field.value, sources[i][0])) {
            model->source = bytes_of_text(sources[i][1]);
            return 0;
        }
    }
    err_set(
        reader->err, AUGURY_ERR_UNSUPPORTED, "unknown_version",
        "augury reads versions v2, v3 and v4 of LightGBM's text; this one has %s%.*s: save it "
        "with a LightGBM from 2.1 to 4.x",
        field.line == 0 ? "none" : "version=", (int)(field.value.len < 40 ? field.value.len : 40),
        field.value.len == 0 ? "" : (const char *)field.value.data);
    err_at(reader->err, "line %u", field.line == 0 ? 1 : field.line);
    return AUGURY_ERR_UNSUPPORTED;
}

static int
read_counts(struct lightgbm_reader *reader, const struct lightgbm_block *head,
            struct neutral_model *model)
{
    bool has_trees = lightgbm_has(head, HEAD_TREES_PER_ITERATION);
    enum head_key key = has_trees ? HEAD_TREES_PER_ITERATION : HEAD_NUM_CLASS;
    uint32_t last = 0;
    int rc = lightgbm_count(reader, head, HEAD_MAX_FEATURE, &last);

    if (rc == 0) {
        rc = lightgbm_count(reader, head, key, &model->output_count);
    }
    if (rc != 0) {
        return rc;
    }
    if (last >= MODEL_FEATURES_MAX) {
        return lightgbm_invalid(reader, head->fields[HEAD_MAX_FEATURE].line,
                                "augury reads models of 1 to %d features", MODEL_FEATURES_MAX);
    }
    if (model->output_count == 0 || model->output_count > MODEL_OUTPUTS_MAX) {
        return lightgbm_invalid(reader, head->fields[key].line,
                                "augury reads models of 1 to %d outputs", MODEL_OUTPUTS_MAX);
    }
    model->feature_count = last + 1;
    model->base_margins = arena_zalloc(&reader->import->arena, model->output_count, sizeof(double));
    return model->base_margins == NULL ? lightgbm_no_memory(reader) : 0;
}

/* ---- trees --------------------------------------------------------------------------------- */

/* The trees from here to the end of the section. */
static uint32_t
count_trees(struct lightgbm_reader ahead)
{
    struct bytes line;
    uint32_t count = 0;

    while (lightgbm_line_next(&ahead, &line)) {
        if (bytes_start_with(line, "Tree=")) {
            count++;
        } else if (lightgbm_line_is_section(line)) {
            break;
        }
    }
    return count;
}

static int
check_tree_count(struct lightgbm_reader *reader, const struct lightgbm_block *head,
                 const struct neutral_model *model)
{
    const struct lightgbm_field *sizes = &head->fields[HEAD_TREE_SIZES];
    size_t count = lightgbm_word_count(sizes->value);

    if (sizes->line != 0 && count != model->tree_count) {
        return lightgbm_invalid(reader, sizes->line,
                                "\"tree_sizes\" tells of %zu trees, the file holds %u: it was cut "
                                "or edited",
                                count, model->tree_count);
    }
    if (model->tree_count % model->output_count != 0) {
        return lightgbm_invalid(reader, reader->line,
                                "%u trees are no whole number of iterations of %u trees",
                                model->tree_count, model->output_count);
    }
    return 0;
}

static int
read_each_tree(struct lightgbm_reader *reader, const struct neutral_model *model,
               struct neutral_tree *out_trees)
{
    struct bytes line;
    int rc = 0;

    for (uint32_t i = 0; i < model->tree_count && rc == 0; i++) {
        (void)lightgbm_line_next(reader, &line); /* `Tree=i`, where the last block ended */
        reader->tree = i;
        rc = lightgbm_read_tree(reader, model, &out_trees[i]);
        out_trees[i].output = i % model->output_count;
    }
    /* LightGBM writes more after the trees: they are whole. */
    if (rc == 0 && lightgbm_is_end(reader)) {
        rc = lightgbm_invalid(reader, reader->line,
                              "the file ends here, among its trees: it was "
                              "cut");
    }
    reader->tree = LIGHTGBM_NO_TREE;
    return rc;
}

static int
read_trees(struct lightgbm_reader *reader, const struct lightgbm_block *head,
           struct neutral_model *model)
{
    model->tree_count = count_trees(*reader);
    int rc = check_tree_count(reader, head, model);

    if (rc != 0) {
        return rc;
    }
    struct neutral_tree *trees =
        arena_zalloc(&reader->import->arena, model->tree_count, sizeof(*trees));
    if (trees == NULL) {
        return lightgbm_no_memory(reader);
    }
    model->trees = trees;
    return read_each_tree(reader, model, trees);
}

/* Keeps the iterations that the options ask for; LightGBM's start_iteration and num_iteration. */
static int
keep_iterations(struct lightgbm_reader *reader, struct neutral_model *model)
{
    const struct model_import_options *options = reader->import->options;
    uint32_t count = model->tree_count / model->output_count;
    uint32_t begin = options->iteration_begin;
    uint32_t end = options->iteration_end == 0 ? count : options->iteration_end;

    if (begin == 0 && options->iteration_end == 0) {
        return 0;
    }
    if (begin >= end || end > count) {
        err_set(reader->err, AUGURY_ERR_INVALID, "invalid_iterations",
                "iterations %u up to %u are asked for, the file has %u", begin, end, count);
        err_at(reader->err, "iterations");
        return AUGURY_ERR_INVALID;
    }
    model->trees += (size_t)begin * model->output_count;
    model->tree_count = (end - begin) * model->output_count;
    return 0;
}

/* A random forest's answer is the mean over its iterations. Before LightGBM 2.2.3 the leaves of
 * such a file were converted by the objective already, later they are not, and both say v2. */
static int
read_average(struct lightgbm_reader *reader, const struct lightgbm_block *head,
             struct neutral_model *model)
{
    uint32_t iterations = model->tree_count / model->output_count;

    if (!lightgbm_has(head, HEAD_AVERAGE_OUTPUT)) {
        return 0;
    }
    if (bytes_equal_text(head->fields[HEAD_VERSION].value, "v2") &&
        model->link != MODEL_LINK_IDENTITY) {
        err_set(reader->err, AUGURY_ERR_UNSUPPORTED, "old_forest",
                "a v2 file does not say whether the leaves of a random forest are margins or "
                "predictions, which LightGBM 2.2.3 changed: train it with a LightGBM from 2.3");
        err_at(reader->err, "line %u", head->fields[HEAD_AVERAGE_OUTPUT].line);
        return AUGURY_ERR_UNSUPPORTED;
    }
    model->kind = NEUTRAL_FOREST;
    model->divisor = iterations == 0 ? 1.0 : (double)iterations;
    return 0;
}

/* ---- after the trees ----------------------------------------------------------------------- */

/* The last line that begins so: Python's package appends it to what the library wrote. */
static struct lightgbm_field
find_pandas(struct lightgbm_reader *reader)
{
    static const char prefix[] = "pandas_categorical:";
    struct lightgbm_field field = {.line = 0};
    struct bytes line;

    while (lightgbm_line_next(reader, &line)) {
        if (bytes_start_with(line, prefix)) {
            field.line = reader->line;
            field.value = bytes_of(line.data + sizeof(prefix) - 1, line.len - sizeof(prefix) + 1);
        }
    }
    return field;
}

/* ---- the document -------------------------------------------------------------------------- */

static int
read_head(struct lightgbm_reader *reader, struct lightgbm_block *head, struct neutral_model *model)
{
    int rc = lightgbm_block_read(reader, head);

    if (rc == 0) {
        rc = read_version(reader, head->fields[HEAD_VERSION], model);
    }
    if (rc == 0 && reader->import->options->is_best_iteration) {
        rc = lightgbm_invalid(reader, 1,
                              "the file has no best iteration: LightGBM's save_model() leaves out "
                              "the trees after it, so import all of them");
    }
    if (rc == 0) {
        rc = read_counts(reader, head, model);
    }
    if (rc == 0) {
        rc = read_objective(reader, head->fields[HEAD_OBJECTIVE], model);
    }
    return rc;
}

int
lightgbm_read(struct import *import, struct bytes file, struct neutral_model *out_model,
              struct err *err)
{
    struct lightgbm_reader reader = {
        .import = import, .err = err, .rest = file, .tree = LIGHTGBM_NO_TREE};
    struct lightgbm_block head = {.keys = head_keys, .key_count = HEAD_KEY_COUNT};

    *out_model = (struct neutral_model){.kind = NEUTRAL_GBTREE,
                                        .number = MODEL_FLOAT64,
                                        .link_scale = 1.0,
                                        .leaf_width = 1,
                                        .divisor = 1.0};
    int rc = read_head(&reader, &head, out_model);
    if (rc == 0) {
        rc = read_trees(&reader, &head, out_model);
    }
    if (rc == 0) {
        rc = keep_iterations(&reader, out_model);
    }
    if (rc == 0) {
        rc = read_average(&reader, &head, out_model);
    }
    if (rc == 0) {
        const struct lightgbm_schema schema = {
            .names = head.fields[HEAD_FEATURE_NAMES],
            .infos = head.fields[HEAD_FEATURE_INFOS],
            .pandas = find_pandas(&reader),
        };
        rc = lightgbm_read_schema(&reader, &schema, out_model);
    }
    return rc;
}
