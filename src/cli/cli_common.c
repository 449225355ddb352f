/* SPDX-License-Identifier: MIT */
/* cli_common.c - what the commands share: configuration, messages, documents. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { DOCUMENT_MAX = 256 << 20, DOCUMENT_DEPTH = 32 };

extern char **environ;

int
cli_conf_load(const struct cli *cli, struct conf **out_conf)
{
    bool has_default = cli->config_path == NULL && access(AUGURY_CONF_FILE, F_OK) == 0;
    struct conf_source source = {
        .path = cli->config_path != NULL ? cli->config_path
                : has_default            ? AUGURY_CONF_FILE
                                         : NULL,
        .overrides = cli->overrides,
        .override_count = cli->override_count,
        .environment = environ,
    };
    struct conf_errors errors;
    int rc = conf_load(&source, out_conf, &errors);

    for (size_t i = 0; rc != 0 && i < errors.count && i < AUGURY_COUNT(errors.list); i++) {
        (void)cli_fail(&errors.list[i]);
    }
    return rc;
}

int
cli_fail(const struct err *err)
{
    if (err->at[0] != '\0') {
        fprintf(stderr, "augury: %s: %s\n", err->at, err->reason);
    } else {
        fprintf(stderr, "augury: %s\n", err->reason);
    }
    if (err->rc == AUGURY_ERR_DENIED) {
        return CLI_DENIED;
    }
    return strcmp(err->code, "usage") == 0 ? CLI_USAGE : CLI_FAILED;
}

int
cli_usage(const struct cli_command *command, const char *what, const char *word)
{
    fprintf(stderr, "augury: %s%s\nUsage: augury %s\n", what, word, command->usage);
    return CLI_USAGE;
}

int
cli_print(struct bytes text)
{
    if ((text.len > 0 && fwrite(text.data, 1, text.len, stdout) != text.len) ||
        fflush(stdout) != 0) {
        fprintf(stderr, "augury: standard output: %s\n", strerror(errno));
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int
print_as_text(struct bytes json, struct arena *arena, struct buf *text)
{
    struct wire_limits limits = {
        .depth = DOCUMENT_DEPTH, .values = json.len + 1, .flags = WIRE_BORROW};
    struct wire_value document;
    struct err err;
    int rc = wire_decode(WIRE_JSON, json, &limits, arena, &document, &err);

    if (rc != 0) {
        return cli_fail(&err);
    }
    wire_put_as_text(&document, text);
    return buf_finish(text) == 0 ? cli_print(buf_view(text)) : CLI_FAILED;
}

int
cli_print_document(const struct cli *cli, struct bytes json)
{
    struct arena arena;
    struct buf text;

    if (cli->is_json) {
        int status = cli_print(json);
        return status == CLI_OK ? cli_print(bytes_of_text("\n")) : status;
    }
    if (arena_init(&arena, DOCUMENT_MAX) != 0) {
        fputs("augury: no memory\n", stderr);
        return CLI_FAILED;
    }
    buf_init(&text, DOCUMENT_MAX);
    int status = print_as_text(json, &arena, &text);
    buf_fini(&text);
    arena_fini(&arena);
    return status;
}
