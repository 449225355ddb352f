/* SPDX-License-Identifier: MIT */
/*
 * main.c - the daemon's command line: check, show, or run.
 * Exit status: 0 the workers serve, or the check found nothing; 1 the daemon could not start, or
 * the configuration has errors; 2 the command line is wrong.
 */
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "augury/conf.h"
#include "augury/proc.h"
#include "check.h"
#include "master.h"
#include "version.h"

enum { EXIT_USAGE = 2, OVERRIDES_MAX = 64, TEXT_MAX = 1 << 20, MMAP_BLOCK_BYTES = 1 << 20 };

enum long_only { OPTION_SAMPLE_CONFIG = 256 };

enum mode { MODE_RUN, MODE_CHECK, MODE_SHOW, MODE_SAMPLE };

struct command_line {
    enum mode mode;
    bool is_quiet;
    const char *path;
    char absolute_path[PATH_MAX]; /* a daemon leaves its folder */
    char *made[OVERRIDES_MAX];    /* of -f, -p, -u, -g, -o */
    size_t override_count;
};

static const char usage[] =
    "Usage: auguryd [OPTION]...\n"
    "Prediction server for tabular models.\n"
    "\n"
    "  -c, --config=FILE      configuration (default " AUGURY_CONF_FILE ")\n"
    "  -o, --option=KEY=VAL   override an option, such as cache.size=1GiB\n"
    "  -f, --foreground       do not leave the terminal\n"
    "  -p, --pidfile=FILE     the same as -o pidfile=FILE\n"
    "  -u, --user=USER        the same as -o user=USER\n"
    "  -g, --group=GROUP      the same as -o group=GROUP\n"
    "  -t, --test             check configuration and machine, show every error, exit\n"
    "  -T, --show             as -t, and show the configuration in force with origins\n"
    "  -q, --quiet            with -t: show errors alone\n"
    "      --sample-config    print a configuration file with every option, exit\n"
    "  -v, --version          show the version, exit\n"
    "  -V, --versions         show the versions of the libraries too, exit\n"
    "  -h, --help             show this, exit\n"
    "\n"
    "Signals: HUP reload, USR1 reopen the log, QUIT stop gracefully, TERM stop at once.\n";

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"option", required_argument, NULL, 'o'},
    {"foreground", no_argument, NULL, 'f'},
    {"pidfile", required_argument, NULL, 'p'},
    {"user", required_argument, NULL, 'u'},
    {"group", required_argument, NULL, 'g'},
    {"test", no_argument, NULL, 't'},
    {"show", no_argument, NULL, 'T'},
    {"quiet", no_argument, NULL, 'q'},
    {"sample-config", no_argument, NULL, OPTION_SAMPLE_CONFIG},
    {"version", no_argument, NULL, 'v'},
    {"versions", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static _Noreturn void
wrong_usage(const char *reason)
{
    if (reason != NULL) {
        fprintf(stderr, "auguryd: %s\n", reason);
    }
    fprintf(stderr, "Try 'auguryd --help'.\n");
    exit(EXIT_USAGE);
}

static void
add_override(struct command_line *line, const char *key, const char *value)
{
    size_t size = strlen(key) + strlen(value) + 2;

    if (line->override_count == OVERRIDES_MAX) {
        wrong_usage("too many options");
    }
    char *text = malloc(size);
    if (text == NULL) {
        wrong_usage("out of memory");
    }
    snprintf(text, size, "%s%s%s", key, key[0] == '\0' ? "" : "=", value);
    line->made[line->override_count++] = text;
}

static void
show_version(bool with_libraries)
{
    printf("auguryd %s\n", PACKAGE_VERSION);
    if (with_libraries) {
        version_print(stdout);
    }
    exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void
take_option(struct command_line *line, int option)
{
    switch (option) {
    case 'c': line->path = optarg; break;
    case 'o': add_override(line, "", optarg); break;
    case 'f': add_override(line, "daemon", "no"); break;
    case 'p': add_override(line, "pidfile", optarg); break;
    case 'u': add_override(line, "user", optarg); break;
    case 'g': add_override(line, "group", optarg); break;
    case 't': line->mode = line->mode == MODE_SHOW ? MODE_SHOW : MODE_CHECK; break;
    case 'T': line->mode = MODE_SHOW; break;
    case 'q': line->is_quiet = true; break;
    case 'v': show_version(false); break;
    case 'V': show_version(true); break;
    case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
    case OPTION_SAMPLE_CONFIG: line->mode = MODE_SAMPLE; break;
    default: wrong_usage(NULL);
    }
}

static void
read_command_line(struct command_line *line, int argc, char **argv)
{
    int option = 0;

    *line = (struct command_line){.path = AUGURY_CONF_FILE};
    while ((option = getopt_long(argc, argv, "c:o:fp:u:g:tTqvVh", long_options, NULL)) != -1) {
        take_option(line, option);
    }
    if (optind < argc) {
        wrong_usage("auguryd takes options only");
    }
    /* One that is not there keeps its name for the message. */
    if (realpath(line->path, line->absolute_path) != NULL) {
        line->path = line->absolute_path;
    }
}

static void
show_errors(const struct conf_errors *errors)
{
    size_t shown =
        errors->count < AUGURY_COUNT(errors->list) ? errors->count : AUGURY_COUNT(errors->list);

    for (size_t i = 0; i < shown; i++) {
        fprintf(stderr, "auguryd: %s: %s\n", errors->list[i].at, errors->list[i].reason);
    }
    if (shown < errors->count) {
        fprintf(stderr, "auguryd: and %zu more errors\n", errors->count - shown);
    }
}

static int
print_buf(struct buf *buf)
{
    bool is_good = buf_finish(buf) == 0 && fwrite(buf->data, 1, buf->len, stdout) == buf->len &&
                   fflush(stdout) == 0;

    buf_fini(buf);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
print_sample(void)
{
    struct buf buf;

    buf_init(&buf, TEXT_MAX);
    conf_put_sample(&buf);
    return print_buf(&buf);
}

/* -t and -T: everything that is wrong, then perhaps everything that is right. */
static int
check(const struct command_line *line, const struct conf *conf)
{
    struct conf_errors errors;
    struct buf buf;
    int status = EXIT_SUCCESS;

    check_machine(conf, &errors);
    show_errors(&errors);
    if (line->mode == MODE_SHOW) {
        buf_init(&buf, TEXT_MAX);
        conf_put_effective(conf, &buf);
        status = print_buf(&buf);
    } else if (errors.count == 0 && !line->is_quiet) {
        fprintf(stderr, "auguryd: %s is right\n", line->path);
    }
    return errors.count == 0 ? status : EXIT_FAILURE;
}

static void
free_overrides(struct command_line *line)
{
    for (size_t i = 0; i < line->override_count; i++) {
        free(line->made[i]);
    }
}

/* Left alone, glibc raises the size from which a block is mapped to that of the largest that was
 * freed; from then on a process keeps what one large request took. */
static void
give_large_blocks_back(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_BLOCK_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, 2 * MMAP_BLOCK_BYTES);
}

int
main(int argc, char **argv)
{
    struct command_line line;
    struct proc_title title;
    struct conf_errors errors;
    struct conf *conf = NULL;
    int status = EXIT_FAILURE;

    read_command_line(&line, argc, argv);
    if (line.mode == MODE_SAMPLE) {
        return print_sample();
    }
    struct conf_source source = {
        .path = line.path,
        .overrides = (const char *const *)line.made,
        .override_count = line.override_count,
        .environment = environ,
    };
    if (conf_load(&source, &conf, &errors) != 0) {
        show_errors(&errors);
    } else if (line.mode != MODE_RUN) {
        status = check(&line, conf);
        conf_free(&conf);
    } else {
        give_large_blocks_back();
        proc_title_setup(&title, argc, argv);
        /* The title takes the place of the words and of the environment; -c and -o may point into
         * them. */
        source.environment = environ;
        status = master_main(&source, conf, &title);
    }
    free_overrides(&line);
    return status;
}
