/* SPDX-License-Identifier: MIT */
/* cli_predict.c - `augury predict MODEL_FILE ROWS`: the words of the command; cli_score.c does the
 * work. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_score.h"

enum { SKIP_COLUMNS_MAX = 65535 };

static bool
format_find(const char *name, enum rows_format *out_format)
{
    static const struct {
        const char *name;
        enum rows_format format;
    } formats[] = {{"csv", ROWS_CSV},       {"tsv", ROWS_TSV},         {"tab", ROWS_TSV},
                   {"libsvm", ROWS_LIBSVM}, {"svm", ROWS_LIBSVM},      {"svmlight", ROWS_LIBSVM},
                   {"npy", ROWS_NPY},       {"msgpack", ROWS_MSGPACK}, {"mpk", ROWS_MSGPACK}};

    for (size_t i = 0; i < AUGURY_COUNT(formats); i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *out_format = formats[i].format;
            return true;
        }
    }
    return false;
}

static int
refuse_output(const struct cli_command *command)
{
    char what[128];

    snprintf(what, sizeof(what), "--output is one of %s, not ", predict_output_names());
    return cli_usage(command, what, optarg);
}

static int
take_level(const struct cli_command *command, double *out_level)
{
    struct wire_value number = {
        .type = WIRE_NUMBER, .count = (uint32_t)strlen(optarg), .as.text = optarg};
    struct err err;

    if (wire_to_f64(&number, out_level) != 0 || predict_level_check(*out_level, &err) != 0) {
        return cli_usage(command, "--level is a number over 0 and under 1, not ", optarg);
    }
    return CLI_OK;
}

/* One option of `predict`. CLI_OK or CLI_USAGE after a message. */
static int
take_option(const struct cli_command *command, int option, struct cli_score_options *options)
{
    uint64_t number = 0;

    switch (option) {
    case 'b': options->is_best_iteration = true; return CLI_OK;
    case 'i':
        return model_iterations_parse(bytes_of_text(optarg), &options->iteration_begin,
                                      &options->iteration_end) == 0
                   ? CLI_OK
                   : cli_usage(command,
                               "--iterations is a range A:B, from A up to, not including, B, not ",
                               optarg);
    case 'n': options->rows.has_header = false; return CLI_OK;
    case 'H': options->has_names = true; return CLI_OK;
    case 'u': options->is_ignoring_unknown = true; return CLI_OK;
    case 'm': options->model_name = optarg; return CLI_OK;
    case 'l': return take_level(command, &options->level);
    case 'p': options->has_progress = true; return CLI_OK;
    case 't':
        if (bytes_to_u64(bytes_of_text(optarg), JOBS_THREADS_MAX, &number) != 0 || number == 0) {
            return cli_usage(command, "--threads is a number from 1 to 256, not ", optarg);
        }
        options->thread_count = (unsigned)number;
        return CLI_OK;
    case 'T':
        return cli_form_find(optarg, &options->form) == 0
                   ? CLI_OK
                   : cli_usage(command, "--to is tsv, csv or npy, not ", optarg);
    case 'f': options->features = optarg; return CLI_OK;
    case 's': options->schema_path = optarg; return CLI_OK;
    case 'K': options->kernel = optarg; return CLI_OK;
    case 'o':
        return predict_output_find(bytes_of_text(optarg), &options->output) == 0
                   ? CLI_OK
                   : refuse_output(command);
    case 'F':
        options->has_format = format_find(optarg, &options->rows.format);
        return options->has_format
                   ? CLI_OK
                   : cli_usage(command, "--format is csv, tsv, libsvm, npy or msgpack, not ",
                               optarg);
    case 'k':
        if (bytes_to_u64(bytes_of_text(optarg), SKIP_COLUMNS_MAX, &number) != 0) {
            return cli_usage(command, "--skip-columns is a number, not ", optarg);
        }
        options->rows.skip_columns = (unsigned)number;
        return CLI_OK;
    default: return cli_usage(command, "unknown option, or its value is missing", "");
    }
}

static int
take_arguments(const struct cli_command *command, int argc, char **argv,
               struct cli_score_options *options)
{
    static const struct option long_options[] = {{"best-iteration", no_argument, NULL, 'b'},
                                                 {"no-header", no_argument, NULL, 'n'},
                                                 {"header", no_argument, NULL, 'H'},
                                                 {"model", required_argument, NULL, 'm'},
                                                 {"level", required_argument, NULL, 'l'},
                                                 {"features", required_argument, NULL, 'f'},
                                                 {"schema", required_argument, NULL, 's'},
                                                 {"output", required_argument, NULL, 'o'},
                                                 {"format", required_argument, NULL, 'F'},
                                                 {"skip-columns", required_argument, NULL, 'k'},
                                                 {"ignore-unknown", no_argument, NULL, 'u'},
                                                 {"iterations", required_argument, NULL, 'i'},
                                                 {"threads", required_argument, NULL, 't'},
                                                 {"progress", no_argument, NULL, 'p'},
                                                 {"to", required_argument, NULL, 'T'},
                                                 {"kernel", required_argument, NULL, 'K'},
                                                 {0}};
    int option;

    optind = 0; /* a second parse in one program: main has read the options before the command */
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        int status = take_option(command, option, options);
        if (status != CLI_OK) {
            return status;
        }
    }
    if (argc - optind != (options->model_name != NULL ? 1 : 2)) {
        return cli_usage(command,
                         options->model_name != NULL
                             ? "with --model a file of rows is needed, and no other"
                             : "a model file and a file of rows are needed",
                         "");
    }
    options->model_path = options->model_name != NULL ? NULL : argv[optind];
    options->rows_path = argv[argc - 1];
    const char *dot = strrchr(options->rows_path, '.');
    if (!options->has_format && (dot == NULL || !format_find(dot + 1, &options->rows.format))) {
        return cli_usage(command, "--format is needed: the name does not say what is in ",
                         options->rows_path);
    }
    return CLI_OK;
}

int
cli_predict(const struct cli *cli, const struct cli_command *command, int argc,
            const char *const *argv)
{
    struct cli_score_options options = {.kernel = getenv("AUGURY_KERNEL"),
                                        .output = PREDICT_PREDICTION,
                                        .level = PREDICT_LEVEL,
                                        .rows = {.format = ROWS_CSV, .has_header = true}};
    struct err err;
    /* getopt_long() reorders the pointers, not the words: main's array may be reordered. */
    int status = take_arguments(command, argc, (char **)(uintptr_t)argv, &options);

    struct conf *conf = NULL;

    if (status != CLI_OK) {
        return status;
    }
    if (options.model_name != NULL && cli_conf_load(cli, &conf) != 0) {
        return CLI_FAILED;
    }
    options.conf = conf;
    status = cli_score(&options, &err) == 0 ? CLI_OK : cli_fail(&err);
    conf_free(&conf);
    return status;
}
