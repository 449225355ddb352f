/* SPDX-License-Identifier: MIT */
/*
 * api_calibrate.c - `model calibrate`: held-out rows become scores in a further version of the
 * model. The rows are streamed; of each one a score stays. The registry's snapshot is open while
 * they are evaluated and closed before the new version is stored.
 */
#include "api_call.h"

#include <stdlib.h>
#include <string.h>

#include "api_calibrate.h"

enum { BLOCK_ROWS = 512, CALIBRATED_BLOB_MAX_SHIFT = 40 };

/* The words of the command. */
struct words {
    const char *model;
    const char *rows_path;
    const char *target;
    const char *group;
    const char *bins;
    const char *lower;
    const char *upper;
    const char *format;
    const char *skip_columns;
    bool is_used;
    bool is_ignoring_unknown;
};

struct calibrate {
    const struct api_verbs *verbs;
    struct err *err;
    struct words words;
    struct rows_options rows;
    struct model_calibrator_options options;
    char name[MODEL_NAME_MAX + 1];
    uint32_t version;
    const struct registry_model *found, *lower, *upper; /* in the snapshot */
    uint64_t row_count;
    struct buf blob;
};

static const char usage[] =
    "usage: model calibrate NAME[@SELECTOR] ROWS --target COLUMN [--group FEATURE "
    "[--group-bins N]] [--lower NAME@SELECTOR --upper NAME@SELECTOR] [--format csv|tsv] "
    "[--skip-columns N] [--ignore-unknown] [--use]";

/* ---- words ----------------------------------------------------------------------------------- */

static int
usage_error(struct err *err, const char *what, const char *word)
{
    return err_set(err, AUGURY_ERR_INVALID, "usage", "%s%s; %s", what, word, usage);
}

/* Where an option's value goes; NULL: there is no such option. */
static const char **
place_of(struct words *words, const char *word, size_t len)
{
    const struct {
        const char *name;
        const char **place;
    } places[] = {
        {"--target", &words->target},
        {"--group", &words->group},
        {"--group-bins", &words->bins},
        {"--lower", &words->lower},
        {"--upper", &words->upper},
        {"--format", &words->format},
        {"--skip-columns", &words->skip_columns},
    };

    for (size_t i = 0; i < AUGURY_COUNT(places); i++) {
        if (strlen(places[i].name) == len && memcmp(places[i].name, word, len) == 0) {
            return places[i].place;
        }
    }
    return NULL;
}

/* "--name value" or "--name=value"; *at moves past a value that stands alone. */
static int
take_option(struct words *words, int argc, const char *const *argv, int *at, struct err *err)
{
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);

    if (strcmp(word, "--use") == 0) {
        words->is_used = true;
        return 0;
    }
    if (strcmp(word, "--ignore-unknown") == 0) {
        words->is_ignoring_unknown = true;
        return 0;
    }
    const char **place = place_of(words, word, len);
    if (place == NULL) {
        return usage_error(err, "unknown option ", word);
    }
    if (equals == NULL && *at + 1 >= argc) {
        return usage_error(err, "a value is missing after ", word);
    }
    *place = equals != NULL ? equals + 1 : argv[++*at];
    return 0;
}

static int
take_words(struct words *words, int argc, const char *const *argv, struct err *err)
{
    int rc = 0;

    for (int i = 1; rc == 0 && i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            rc = take_option(words, argc, argv, &i, err);
        } else if (words->model == NULL) {
            words->model = argv[i];
        } else if (words->rows_path == NULL) {
            words->rows_path = argv[i];
        } else {
            rc = usage_error(err, "one word too many: ", argv[i]);
        }
    }
    if (rc == 0 && words->rows_path == NULL) {
        rc = usage_error(err, "a model and a file of held-out rows are needed", "");
    }
    if (rc == 0 && words->target == NULL) {
        rc = usage_error(err, "--target is needed: the column that holds what was to be predicted",
                         "");
    }
    if (rc == 0 && (words->lower == NULL) != (words->upper == NULL)) {
        rc = usage_error(err, "--lower and --upper go together", "");
    }
    return rc;
}

static bool
is_tsv(const struct words *words)
{
    const char *dot = strrchr(words->rows_path, '.');
    const char *format = words->format != NULL ? words->format : dot != NULL ? dot + 1 : "";

    return strcmp(format, "tsv") == 0 || strcmp(format, "tab") == 0;
}

/* What the words' texts mean, as far as no model is needed. */
static int
read_words(struct calibrate *calibrate)
{
    const struct words *words = &calibrate->words;
    uint64_t number = 0;

    if (words->format != NULL && strcmp(words->format, "csv") != 0 && !is_tsv(words)) {
        return usage_error(calibrate->err, "--format is csv or tsv, not ", words->format);
    }
    calibrate->rows.format = is_tsv(words) ? ROWS_TSV : ROWS_CSV;
    calibrate->rows.has_header = true;
    if (words->skip_columns != NULL) {
        if (bytes_to_u64(bytes_of_text(words->skip_columns), MODEL_FEATURES_MAX, &number) != 0) {
            return usage_error(calibrate->err, "--skip-columns is a number, not ",
                               words->skip_columns);
        }
        calibrate->rows.skip_columns = (unsigned)number;
    }
    calibrate->options.target = words->target;
    calibrate->options.group_feature = -1;
    if (words->bins == NULL) {
        return 0;
    }
    if (words->group == NULL) {
        return usage_error(calibrate->err, "--group-bins goes with --group", "");
    }
    if (bytes_to_u64(bytes_of_text(words->bins), MODEL_CALIBRATION_GROUPS_MAX, &number) != 0 ||
        number < 2) {
        return usage_error(calibrate->err, "--group-bins is a number from 2 to 256, not ",
                           words->bins);
    }
    calibrate->options.bins = (uint32_t)number;
    return 0;
}

/* ---- the models ------------------------------------------------------------------------------ */

static int
find_one(struct calibrate *calibrate, const char *word, const struct registry_model **out_found)
{
    struct bytes name;
    struct bytes selector;

    api_split_name(bytes_of_text(word), &name, &selector);
    return registry_find(calibrate->verbs->registry, name, selector, out_found, calibrate->err);
}

static int
find_group(struct calibrate *calibrate)
{
    const struct model *model = &calibrate->found->model;
    struct bytes name = bytes_of_text(calibrate->words.group);
    struct predict_nearest nearest;
    int32_t feature = model_feature_find(model, name, 0);

    calibrate->options.group_feature = feature;
    if (feature >= 0) {
        return 0;
    }
    predict_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < model->feature_count; i++) {
        predict_nearest_offer(&nearest, model_feature(model, i).name);
    }
    return err_set(calibrate->err, AUGURY_ERR_INVALID, "unknown_feature",
                   "--group: the model has no feature \"%s\"%s%.*s%s", calibrate->words.group,
                   nearest.found.len > 0 ? "; did you mean \"" : "", (int)nearest.found.len,
                   (const char *)nearest.found.data, nearest.found.len > 0 ? "\"?" : "");
}

static int
find_models(struct calibrate *calibrate)
{
    const struct words *words = &calibrate->words;
    int rc = find_one(calibrate, words->model, &calibrate->found);

    if (rc == 0 && words->lower != NULL) {
        rc = find_one(calibrate, words->lower, &calibrate->lower);
    }
    if (rc == 0 && words->upper != NULL) {
        rc = find_one(calibrate, words->upper, &calibrate->upper);
    }
    if (rc != 0) {
        return rc;
    }
    memcpy(calibrate->name, calibrate->found->entry.name, sizeof(calibrate->name));
    calibrate->version = calibrate->found->entry.version;
    if (words->lower != NULL) {
        calibrate->options.lower = &calibrate->lower->model;
        calibrate->options.upper = &calibrate->upper->model;
    }
    if (model_feature_find(&calibrate->found->model, bytes_of_text(words->target), 0) >= 0) {
        return err_set(calibrate->err, AUGURY_ERR_INVALID, "invalid_target",
                       "--target: \"%s\" is a feature of the model; the target is the column with "
                       "what it was to predict",
                       words->target);
    }
    return words->group != NULL ? find_group(calibrate) : 0;
}

/* ---- the rows -------------------------------------------------------------------------------- */

struct block {
    void *rows;
    double *targets;
    size_t filled;
};

static int
read_target(struct calibrate *calibrate, const struct predict_file *file, double *out_target)
{
    int rc = predict_target(&calibrate->found->model, predict_file_extra(file, 0), out_target,
                            calibrate->err);

    if (rc != 0) {
        (void)predict_file_at_extra(file, 0, calibrate->err);
    }
    return rc;
}

static int
add_block(struct calibrate *calibrate, struct model_calibrator *calibrator, struct block *block)
{
    int rc = model_calibrator_add(calibrator, block->rows, block->targets, block->filled,
                                  calibrate->err);

    calibrate->row_count += block->filled;
    block->filled = 0;
    return rc;
}

static int
add_rows(struct calibrate *calibrate, struct model_calibrator *calibrator,
         struct predict_file *file, struct block *block)
{
    const struct model *model = &calibrate->found->model;
    size_t row_bytes = model->feature_count * model_number_bytes(model);
    int rc;

    while ((rc = predict_file_next(file, (uint8_t *)block->rows + block->filled * row_bytes,
                                   calibrate->err)) == 0) {
        rc = read_target(calibrate, file, &block->targets[block->filled]);
        block->filled += rc == 0 ? 1 : 0;
        if (rc == 0 && block->filled == BLOCK_ROWS) {
            rc = add_block(calibrate, calibrator, block);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return rc == AUGURY_END ? add_block(calibrate, calibrator, block) : rc;
}

static int
run_block(struct calibrate *calibrate, struct model_calibrator *calibrator)
{
    const struct model *model = &calibrate->found->model;
    const char *const extras[] = {calibrate->words.target};
    struct predict_file_options options = {.path = calibrate->words.rows_path,
                                           .rows = calibrate->rows,
                                           .extras = extras,
                                           .extra_count = 1,
                                           .is_ignoring_unknown =
                                               calibrate->words.is_ignoring_unknown};
    struct predict_file *file = NULL;
    struct block block = {.rows =
                              calloc(BLOCK_ROWS, model->feature_count * model_number_bytes(model)),
                          .targets = calloc(BLOCK_ROWS, sizeof(double))};
    int rc = block.rows != NULL && block.targets != NULL
                 ? predict_file_open(model, &options, &file, calibrate->err)
                 : err_set(calibrate->err, AUGURY_ERR_NOMEM, "no_memory",
                           "no memory for a block of rows");

    if (rc == 0) {
        rc = add_rows(calibrate, calibrator, file, &block);
    }
    predict_file_close(&file);
    free(block.targets);
    free(block.rows);
    return rc;
}

static int
run_in_snapshot(struct calibrate *calibrate)
{
    struct model_calibrator *calibrator = NULL;
    int rc = find_models(calibrate);

    if (rc == 0) {
        rc = model_calibrator_new(&calibrate->found->model, &calibrate->options, &calibrator,
                                  calibrate->err);
    }
    if (rc == 0) {
        rc = run_block(calibrate, calibrator);
    }
    if (rc == 0) {
        rc = model_calibrator_finish(calibrator, &calibrate->blob, calibrate->err);
        if (rc != 0 && calibrate->err->at[0] == '\0') {
            (void)err_at(calibrate->err, "%s", calibrate->words.rows_path);
        }
    }
    model_calibrator_free(&calibrator);
    return rc;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void
put_note(struct calibrate *calibrate, struct wire_writer *writer, uint32_t version)
{
    char note[256];

    if (calibrate->words.is_used) {
        snprintf(note, sizeof(note), "the label %s is at version %u", REGISTRY_LABEL_STABLE,
                 version);
    } else {
        snprintf(note, sizeof(note),
                 "no label was moved: `augury model use %s@%u` lets this version answer",
                 calibrate->name, version);
    }
    wire_put_text(writer, note);
}

static void
put_done(struct calibrate *calibrate, struct wire_writer *writer,
         const struct registry_entry *entry)
{
    struct model model;

    AUGURY_ASSERT(
        model_open(buf_view(&calibrate->blob), MODEL_CHECK_HEADER, &model, calibrate->err) == 0);
    wire_object(writer, 5);
    wire_key(writer, "name");
    wire_put_text(writer, calibrate->name);
    wire_key(writer, "version");
    api_put_version(writer, entry->version);
    wire_key(writer, "calibrated_from");
    api_put_version(writer, calibrate->version);
    wire_key(writer, "calibration");
    api_put_calibration(writer, &model);
    wire_key(writer, "note");
    put_note(calibrate, writer, entry->version);
    wire_end(writer);
}

static int
run(struct calibrate *calibrate, struct wire_writer *writer)
{
    struct registry *registry = calibrate->verbs->registry;
    struct registry_entry entry;
    int rc = registry_snapshot_begin(registry);

    if (rc != 0) {
        return err_set(calibrate->err, rc, "registry_unreadable",
                       "the model environment cannot be read: %s", augury_strerror(rc));
    }
    rc = run_in_snapshot(calibrate);
    registry_snapshot_end(registry);
    if (rc == 0) {
        rc = registry_derive(registry, calibrate->name, calibrate->version,
                             buf_view(&calibrate->blob),
                             calibrate->words.is_used ? REGISTRY_IMPORT_USE : 0,
                             calibrate->verbs->now_wall_ms, &entry, calibrate->err);
    }
    if (rc == 0) {
        put_done(calibrate, writer, &entry);
    }
    return rc;
}

int
api_calibrate(const struct api_verbs *verbs, int argc, const char *const *argv,
              struct wire_writer *writer, struct err *err)
{
    struct calibrate calibrate = {.verbs = verbs, .err = err};
    int rc = take_words(&calibrate.words, argc, argv, err);

    if (rc == 0) {
        rc = read_words(&calibrate);
    }
    if (rc != 0) {
        return rc;
    }
    buf_init(&calibrate.blob, (size_t)1 << CALIBRATED_BLOB_MAX_SHIFT);
    rc = run(&calibrate, writer);
    buf_fini(&calibrate.blob);
    return rc;
}
