/* SPDX-License-Identifier: MIT */
/*
 * cli.h - what the commands of `augury` share. Private to the room. Process: cli.
 */
#pragma once

#include "augury/api.h"

/* LSB-like; documented in augury(1). */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* refused, or it did not work */
    CLI_USAGE = 2,       /* the words make no command */
    CLI_NOT_RUNNING = 3, /* no daemon behind the admin socket */
    CLI_DENIED = 4,      /* missing right */
};

enum { CLI_OVERRIDES_MAX = 32 };

struct cli {
    const char *config_path;                  /* -c; NULL: the default, which may be absent */
    bool is_json;                             /* -j */
    const char *overrides[CLI_OVERRIDES_MAX]; /* -o */
    size_t override_count;
};

struct cli_command;
/* argv[0] is the command's name. Returns an exit status (enum cli_exit). */
typedef int cli_run_fn(const struct cli *cli, const struct cli_command *command, int argc,
                       const char *const *argv);

struct cli_command {
    const char *name;
    cli_run_fn *run;
    const char *usage;    /* without "augury" */
    const char *sentence; /* one line for the list */
    const char *help;     /* further lines, or NULL */
};

/* ---- commands, one file each ----------------------------------------------------------------- */

int cli_predict(const struct cli *cli, const struct cli_command *command, int argc,
                const char *const *argv);
int cli_model(const struct cli *cli, const struct cli_command *command, int argc,
              const char *const *argv);
/* Verbs of `model` that need neither configuration nor registry; argv[0] is the verb. */
int cli_manifest(int argc, const char *const *argv);
int cli_sign(int argc, const char *const *argv);
const char *cli_manifest_help(void);
/* Hands the words to the daemon as they are and prints what comes back. */
int cli_admin(const struct cli *cli, const struct cli_command *command, int argc,
              const char *const *argv);
/* `cache VERB …`, or one of its verbs alone. */
int cli_cache(const struct cli *cli, const struct cli_command *command, int argc,
              const char *const *argv);
int cli_key(const struct cli *cli, const struct cli_command *command, int argc,
            const char *const *argv);
int cli_warm(const struct cli *cli, const struct cli_command *command, int argc,
             const char *const *argv);
/* Whether a daemon listens that this user may ask. Says nothing. */
bool cli_admin_is_there(const struct conf *conf);
/* The same as cli_admin for words that have been looked at. */
int cli_admin_ask(const struct cli *cli, const struct cli_command *command, int argc,
                  const char *const *argv);

/* ---- helpers --------------------------------------------------------------------------------- */

/* The configuration, or every error with its place on standard error. */
AUGURY_MUST_USE int cli_conf_load(const struct cli *cli, struct conf **out_conf);
/* "augury: place: reason" on standard error; returns the exit status that suits. */
int cli_fail(const struct err *err);
int cli_usage(const struct cli_command *command, const char *what, const char *word);
/* A document written by a wire_writer as JSON: as it is with -j, else for people. Returns an exit
 * status. */
int cli_print_document(const struct cli *cli, struct bytes json);
/* Writes all of it and flushes; CLI_FAILED with a message when standard output does not take it. */
int cli_print(struct bytes text);
