/* SPDX-License-Identifier: MIT */
/*
 * main.c - `augury`, everything that a person types: one const table of commands, and the options
 * before them.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct cli_command commands[] = {
    {"predict", cli_predict, "predict MODEL_FILE|--model NAME ROWS [OPTION]…",
     "scores a file of rows with a model file, without a daemon",
     "  ROWS is a csv, tsv, libsvm, npy or msgpack file, or - for standard input. An empty cell is "
     "missing;\n"
     "  so is an absent entry to an XGBoost model, to others it is 0.\n"
     "  Without a header the columns are the model's features in order; with one they are found by "
     "name.\n"
     "  One line a row on standard output, tab between values, digits enough to read back the same "
     "number.\n"
     "\n"
     "  --output KIND      prediction (default), margin, probabilities, class, interval,\n"
     "                     contributions, reasons, spread or leaf\n"
     "  --level NUMBER     of intervals, 0.9 by default\n"
     "  --model NAME[@V]   a stored model instead of a file: a calibrated one has intervals\n"
     "  --header           the first line printed names the columns\n"
     "  --to FORM          tsv (default), csv or npy, which needs a file: > answers.npy\n"
     "  --format FORMAT    csv, tsv, libsvm, npy or msgpack; by default what the file's name ends "
     "with\n"
     "  --threads N        threads that evaluate; by default one for each CPU that may be used\n"
     "  --progress         rows and rows a second on standard error, as on a terminal anyway\n"
     "  --no-header        csv, tsv: the first line is a row\n"
     "  --skip-columns N   csv, tsv: leave out the first N columns\n"
     "  --ignore-unknown   leave out columns that are no features\n"
     "  --best-iteration   only the trees up to the best iteration that the file names\n"
     "  --iterations A:B   only the iterations from A up to, not including, B\n"
     "  --features a,b,c   names of the model's features, in order\n"
     "  --schema FILE      names, types, category levels and missing values of the features\n"},
    {"model", cli_model, "model VERB …", "imports, lists, shows, labels, unloads, verifies models",
     NULL},
    {"status", cli_admin, "status", "the daemon: processes, memory, generation, reloads", NULL},
    {"performance", cli_admin, "performance", "rates, latencies, hit ratios, evictions", NULL},
    {"stats", cli_admin, "stats", "every counter and histogram", NULL},
    {"workers", cli_admin, "workers", "one line a process", NULL},
    {"metrics", cli_admin, "metrics", "the counters in Prometheus' text format", NULL},
    {"cache", cli_cache,
     "cache stats|get KEY|purge KEY|ban PATTERN|bans|invalidate KIND NAME|flush [CLASS]",
     "shows the cache, looks at an entry, takes out what is no longer true",
     "  A key is the text that the cache's entries carry, "
     "\"prediction:NAME@VERSION#DIGEST:ROW\".\n"
     "  KIND NAME: model NAME, view NAME, entity NAME or class CLASS.\n"
     "  CLASS: prediction, feature, lineup, model, response or object.\n"},
    {"purge", cli_cache, "purge KEY", "takes one entry out of the cache", NULL},
    {"ban", cli_cache, "ban PATTERN", "takes out the entries whose key matches, at once",
     "  * stands for any bytes, ? for one, [a-z] for one of a set, [!a-z] for one outside of it;\n"
     "  \\ takes what follows as it is. Entries made later are not touched.\n"},
    {"bans", cli_cache, "bans", "the bans in force, and what they have removed so far", NULL},
    {"flush", cli_cache, "flush [CLASS]", "empties the cache, or a class of it", NULL},
    {"controller", cli_admin, "controller",
     "what the controller of the cache's size saw and did, and why", NULL},
    {"resize", cli_admin, "resize BYTES|auto",
     "holds the cache at a size until a restart, or lets the controller have it again",
     "  BYTES as in the configuration: 512MiB, 2G.\n"},
    {"warm", cli_warm,
     "warm FILE [--rate N/s] [--connections C] [--errors N] [--address A] [--progress]",
     "repeats the requests of a file, so that the cache has their answers",
     "  A line of FILE, or of standard input as -, is an object of JSON,\n"
     "    {\"method\":\"POST\",\"path\":\"/api/v1/predict/NAME\",\"headers\":{…},\"body\":…}\n"
     "  where only the path must be there, or a line of an access log in the combined format, of "
     "which\n"
     "  successful GETs are repeated. A body that is no string is sent as JSON.\n"
     "\n"
     "  --rate N/s         requests a second at most, 1000 by default\n"
     "  --connections C    requests under way at most, 4 by default, 256 at most\n"
     "  --errors N         stop after so many wrong lines, lost requests and statuses over 399; "
     "100\n"
     "  --address A        HOST:PORT instead of the first listener without TLS that is "
     "configured\n"
     "  --progress         answers and answers a second on standard error\n"},
    {"key", cli_key,
     "key new NAME --scopes LIST [--rate R] [--burst N] [--expires TIME] | key list",
     "makes keys for clients, and lists those of the file access.keys",
     "  new prints the key, which is kept nowhere, and its line for the file access.keys.\n"
     "\n"
     "  --scopes LIST      what it may do: predict, read and write, with commas between\n"
     "  --rate R           requests that it may make: 100/s, 600/min, 1000/h or 1000/d\n"
     "  --burst N          how many of them at once; as many as in a second\n"
     "  --expires TIME     2027-01-31 or 2027-01-31T12:00:00Z; never\n"
     "\n"
     "  list shows names, scopes and rates, no digests.\n"},
    {"reload", cli_admin, "reload",
     "starts new workers with a new configuration and lets the old ones finish", NULL},
    {"stop", cli_admin, "stop [fast]", "ends the daemon, after the requests in flight unless fast",
     NULL},
};

static void
put_options(FILE *out)
{
    fputs(
        "\nOptions before the command:\n"
        "  -c FILE   configuration (default: " AUGURY_CONF_FILE ", which may be absent)\n"
        "  -o SECTION.NAME=VALUE   overrides one option of it\n"
        "  -j        JSON\n"
        "  -V        version\n"
        "  -h        this help\n"
        "\nExit status: 0 done, 1 failed, 2 usage, 3 the daemon is not running, 4 missing right.\n",
        out);
}

static int
print_help(FILE *out)
{
    fputs("Usage: augury [OPTION]… COMMAND …\n\n", out);
    for (size_t i = 0; i < AUGURY_COUNT(commands); i++) {
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].sentence);
    }
    fprintf(out, "  %-12s %s\n", "help", "this help; help COMMAND says more");
    put_options(out);
    return out == stdout ? CLI_OK : CLI_USAGE;
}

static const struct cli_command *
command_find(const char *name)
{
    for (size_t i = 0; i < AUGURY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int
unknown_command(const char *name)
{
    struct predict_nearest nearest;

    predict_nearest_init(&nearest, bytes_of_text(name));
    for (size_t i = 0; i < AUGURY_COUNT(commands); i++) {
        predict_nearest_offer(&nearest, bytes_of_text(commands[i].name));
    }
    fprintf(stderr, "augury: there is no command \"%s\"", name);
    if (nearest.found.len > 0) {
        fprintf(stderr, "; did you mean \"%.*s\"?", (int)nearest.found.len,
                (const char *)nearest.found.data);
    }
    fputs("\n`augury help` lists them.\n", stderr);
    return CLI_USAGE;
}

static int
print_command_help(const char *name)
{
    const struct cli_command *command = command_find(name);

    if (command == NULL) {
        return unknown_command(name);
    }
    printf("Usage: augury %s\n\n  %s\n", command->usage, command->sentence);
    if (command->help != NULL) {
        printf("\n%s", command->help);
    }
    if (command->run == cli_model) {
        printf("\n%s%s", api_model_verb_help(), cli_manifest_help());
    }
    return CLI_OK;
}

/* -j may stand anywhere: people add it at the end of what they have typed. Words after "--" are
 * left alone. */
static int
take_json_flag(struct cli *cli, int argc, char **argv)
{
    int kept = 0;
    bool is_over = false;

    for (int i = 0; i < argc; i++) {
        is_over = is_over || strcmp(argv[i], "--") == 0;
        if (!is_over && strcmp(argv[i], "-j") == 0) {
            cli->is_json = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    return kept;
}

static int
run(struct cli *cli, int argc, char **argv)
{
    argc = take_json_flag(cli, argc, argv);
    if (argc == 0) {
        return print_help(stderr);
    }
    if (strcmp(argv[0], "help") == 0) {
        return argc > 1 ? print_command_help(argv[1]) : print_help(stdout);
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return print_command_help(argv[0]);
        }
    }
    const struct cli_command *command = command_find(argv[0]);
    if (command == NULL) {
        return unknown_command(argv[0]);
    }
    return command->run(cli, command, argc, (const char *const *)argv);
}

int
main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    struct cli cli = {.config_path = NULL};
    int option;

    while ((option = getopt_long(argc, argv, "+c:o:jhV", long_options, NULL)) != -1) {
        switch (option) {
        case 'c': cli.config_path = optarg; break;
        case 'j': cli.is_json = true; break;
        case 'o':
            if (cli.override_count == CLI_OVERRIDES_MAX) {
                fprintf(stderr, "augury: more than %d -o\n", CLI_OVERRIDES_MAX);
                return CLI_USAGE;
            }
            cli.overrides[cli.override_count++] = optarg;
            break;
        case 'h': return print_help(stdout);
        case 'V': printf("augury %s\n", PACKAGE_VERSION); return CLI_OK;
        default: return print_help(stderr);
        }
    }
    return run(&cli, argc - optind, argv + optind);
}
