/* SPDX-License-Identifier: MIT */
/* cli_warm.c - `augury warm FILE`: the words of the command and its summary; cli_warm_replay.c does
 * the work. */
#include "cli_warm.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum { RATE_DEFAULT = 1000, RATE_MAX = 1000000, CONNECTIONS_DEFAULT = 4, ERRORS_DEFAULT = 100 };
enum { SUMMARY_MAX = 64 << 10 };

/* "500" or "500/s". */
static bool
take_rate(const char *text, uint64_t *out_rate)
{
    struct bytes digits = bytes_of_text(text);

    if (digits.len > 2 && memcmp(text + digits.len - 2, "/s", 2) == 0) {
        digits.len -= 2;
    }
    return bytes_to_u64(digits, RATE_MAX, out_rate) == 0 && *out_rate > 0;
}

static int
take_option(const struct cli_command *command, int option, struct warm_options *options)
{
    uint64_t number = 0;

    switch (option) {
    case 'r':
        return take_rate(optarg, &options->rate)
                   ? CLI_OK
                   : cli_usage(command, "--rate is requests a second, 1 to 1000000, not ", optarg);
    case 'c':
        if (bytes_to_u64(bytes_of_text(optarg), WARM_CONNECTIONS_MAX, &number) != 0 ||
            number == 0) {
            return cli_usage(command, "--connections is a number from 1 to 256, not ", optarg);
        }
        options->connections = (unsigned)number;
        return CLI_OK;
    case 'e':
        return bytes_to_u64(bytes_of_text(optarg), UINT64_MAX, &options->errors_max) == 0 &&
                       options->errors_max > 0
                   ? CLI_OK
                   : cli_usage(command, "--errors is a number from 1, not ", optarg);
    case 'a': options->address = optarg; return CLI_OK;
    case 'p': options->has_progress = true; return CLI_OK;
    default: return cli_usage(command, "unknown option, or its value is missing", "");
    }
}

static int
take_arguments(const struct cli_command *command, int argc, char **argv,
               struct warm_options *options)
{
    static const struct option long_options[] = {
        {"rate", required_argument, NULL, 'r'},   {"connections", required_argument, NULL, 'c'},
        {"errors", required_argument, NULL, 'e'}, {"address", required_argument, NULL, 'a'},
        {"progress", no_argument, NULL, 'p'},     {0}};
    int option;

    optind = 0; /* a second parse in one program: main has read the options before the command */
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        int status = take_option(command, option, options);
        if (status != CLI_OK) {
            return status;
        }
    }
    if (argc - optind != 1) {
        return cli_usage(command, "one file of requests is needed, or - for standard input", "");
    }
    options->path = argv[optind];
    return CLI_OK;
}

/* The first listener that speaks plain HTTP; one that takes connections from everywhere is asked
 * on this machine. */
static int
address_of_conf(const struct conf *conf, char *out_address, size_t size)
{
    static const char *const everywhere[] = {"*:", "0.0.0.0:", "[::]:"};

    for (uint32_t i = 0; i < conf->listen_count; i++) {
        const char *address = conf->listen[i].address;
        const char *colon = strrchr(address, ':');
        if (conf->listen[i].tls_certificate[0] != '\0' || colon == NULL ||
            strcmp(colon, ":0") == 0) {
            continue;
        }
        snprintf(out_address, size, "%s", address);
        for (size_t e = 0; e < AUGURY_COUNT(everywhere); e++) {
            if (strncmp(address, everywhere[e], strlen(everywhere[e])) == 0) {
                snprintf(out_address, size, "%s%s", e == 2 ? "[::1]" : "127.0.0.1", colon);
            }
        }
        return CLI_OK;
    }
    fputs("augury: no listener without TLS and with a port of its own is configured: --address "
          "HOST:PORT\n",
          stderr);
    return CLI_USAGE;
}

/* ---- the summary ----------------------------------------------------------------------------- */

static uint32_t
status_kinds(const struct warm_totals *totals)
{
    uint32_t count = 0;

    for (size_t i = 0; i < AUGURY_COUNT(totals->statuses); i++) {
        count += totals->statuses[i] > 0;
    }
    return count;
}

static void
put_number(struct wire_writer *writer, const char *name, uint64_t value)
{
    wire_key(writer, name);
    wire_put_u64(writer, value);
}

static void
put_summary(struct wire_writer *writer, const struct warm_totals *totals)
{
    double seconds = (double)(totals->end_ns - totals->begin_ns) / 1e9;
    char name[8];

    wire_object(writer, 14);
    put_number(writer, "sent", totals->sent);
    put_number(writer, "answered", totals->answered);
    put_number(writer, "hits", totals->hits);
    put_number(writer, "misses", totals->misses);
    put_number(writer, "skipped_lines", totals->skipped);
    put_number(writer, "bad_lines", totals->bad_lines);
    put_number(writer, "refused", totals->refused);
    put_number(writer, "failed", totals->failed);
    wire_key(writer, "seconds");
    wire_put_f64(writer, (double)(uint64_t)(seconds * 1000.0) / 1000.0);
    wire_key(writer, "rate");
    wire_put_f64(writer, seconds > 0.0 ? (double)(uint64_t)((double)totals->sent / seconds) : 0.0);
    put_number(writer, "p50_us", warm_latency_us(totals, 0.5));
    put_number(writer, "p99_us", warm_latency_us(totals, 0.99));
    wire_key(writer, "is_stopped");
    wire_put_bool(writer, totals->is_stopped);
    wire_key(writer, "statuses");
    wire_object(writer, status_kinds(totals));
    for (size_t i = 0; i < AUGURY_COUNT(totals->statuses); i++) {
        if (totals->statuses[i] > 0) {
            snprintf(name, sizeof(name), "%zu", i + WARM_STATUS_MIN);
            put_number(writer, name, totals->statuses[i]);
        }
    }
    wire_end(writer);
    wire_end(writer);
}

static int
print_summary(const struct cli *cli, const struct warm_totals *totals)
{
    struct wire_writer writer;
    struct buf json;

    buf_init(&json, SUMMARY_MAX);
    wire_writer_init(&writer, WIRE_JSON, &json);
    put_summary(&writer, totals);
    int status = buf_finish(&json) == 0 ? cli_print_document(cli, buf_view(&json)) : CLI_FAILED;
    buf_fini(&json);
    return status;
}

static int
warm(const struct cli *cli, const struct warm_options *options)
{
    struct warm_totals totals;
    struct err err;
    int rc = warm_replay(options, &totals, &err);

    if (totals.is_unreachable) {
        fprintf(stderr, "augury: auguryd is not running (nothing listens at %s)\n",
                options->address);
        return CLI_NOT_RUNNING;
    }
    int status = rc != 0 ? cli_fail(&err) : CLI_OK;
    if (rc == 0 || totals.sent > 0) {
        int printed = print_summary(cli, &totals);
        status = status == CLI_OK ? printed : status;
    }
    if (totals.is_stopped) {
        fprintf(stderr, "augury: stopped after %llu errors\n", (unsigned long long)totals.errors);
    }
    if (totals.errors > 0) {
        fprintf(stderr,
                "augury: %llu of %llu requests were refused, %llu had no answer, %llu lines were "
                "wrong\n",
                (unsigned long long)totals.refused, (unsigned long long)totals.sent,
                (unsigned long long)totals.failed, (unsigned long long)totals.bad_lines);
    }
    return status == CLI_OK && totals.errors > 0 ? CLI_FAILED : status;
}

int
cli_warm(const struct cli *cli, const struct cli_command *command, int argc,
         const char *const *argv)
{
    struct warm_options options = {
        .rate = RATE_DEFAULT, .connections = CONNECTIONS_DEFAULT, .errors_max = ERRORS_DEFAULT};
    struct conf *conf = NULL;
    char address[CONF_PATH_BYTES];
    /* getopt_long() reorders the pointers, not the words: main's array may be reordered. */
    int status = take_arguments(command, argc, (char **)(uintptr_t)argv, &options);

    if (status == CLI_OK && options.address == NULL) {
        if (cli_conf_load(cli, &conf) != 0) {
            return CLI_FAILED;
        }
        status = address_of_conf(conf, address, sizeof(address));
        options.address = address;
        conf_free(&conf);
    }
    return status == CLI_OK ? warm(cli, &options) : status;
}
