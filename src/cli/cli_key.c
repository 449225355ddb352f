/* SPDX-License-Identifier: MIT */
/*
 * cli_key.c - `augury key new` and `augury key list`: a key for a client with its line of the file
 * of keys, and what that file has. A new key is shown once and kept nowhere; no digest is shown but
 * in the line that is made.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum { DOCUMENT_MAX = 1 << 20 };

/* ---- new ------------------------------------------------------------------------------------- */

/* The words of `key new` as a line would have them, so that one reader says what is wrong. */
static int
take_options(const struct cli_command *command, int argc, char **argv, struct buf *options)
{
    static const struct option long_options[] = {{"scopes", required_argument, NULL, 0},
                                                 {"rate", required_argument, NULL, 0},
                                                 {"burst", required_argument, NULL, 0},
                                                 {"expires", required_argument, NULL, 0},
                                                 {0}};
    int number = 0;
    int option;

    optind = 0; /* a second parse in one program: main has read the options before the command */
    while ((option = getopt_long(argc, argv, "", long_options, &number)) != -1) {
        if (option != 0) {
            return cli_usage(command, "unknown option, or its value is missing", "");
        }
        if (optarg[strcspn(optarg, " \t\r\n")] != '\0') {
            return cli_usage(command, "there is white space in the value of --",
                             long_options[number].name);
        }
        buf_printf(options, " %s=%s", long_options[number].name, optarg);
    }
    return CLI_OK;
}

/* line: as the file is to have it, with the digest of no key yet. */
static int
key_of_line(struct bytes line, struct api_key *out_key)
{
    struct conf_errors errors;
    struct api_keys *keys = NULL;
    struct err err;

    if (api_keys_parse("key new", line, &keys, &errors) != 0) {
        err_set(&err, AUGURY_ERR_INVALID, "usage", "%s", errors.list[0].reason);
        return cli_fail(&err);
    }
    *out_key = *api_keys_at(keys, 0);
    api_keys_free(&keys);
    if (api_key_is_expired(out_key, clock_wall_ms())) {
        err_set(&err, AUGURY_ERR_INVALID, "usage", "expires= is a time that has passed");
        return cli_fail(&err);
    }
    return CLI_OK;
}

static int
print_key(const struct cli *cli, struct bytes text, struct bytes line)
{
    struct bytes plain_line = bytes_of(line.data, line.len - 1); /* without its end */
    struct wire_writer writer;
    struct buf out;

    buf_init(&out, DOCUMENT_MAX);
    if (cli->is_json) {
        wire_writer_init(&writer, WIRE_JSON, &out);
        wire_object(&writer, 2);
        wire_key(&writer, "key");
        wire_put_string(&writer, text);
        wire_key(&writer, "line");
        wire_put_string(&writer, plain_line);
        wire_end(&writer);
    } else {
        buf_put_bytes(&out, text);
        buf_put_u8(&out, '\n');
        buf_put_bytes(&out, plain_line);
    }
    buf_put_u8(&out, '\n');
    int status = buf_finish(&out) == 0 ? cli_print(buf_view(&out)) : CLI_FAILED;
    if (status == CLI_OK && !cli->is_json) {
        fputs("The first line is the key, for its client; it is kept nowhere. The second one is "
              "for the file access.keys;\nthen: augury reload\n",
              stderr);
    }
    if (out.data != NULL) {
        explicit_bzero(out.data, out.cap);
    }
    buf_fini(&out);
    return status;
}

static int
make_key(const struct cli *cli, const char *name, struct bytes options)
{
    uint8_t sha256[SEAL_SHA256_BYTES] = {0};
    char hex[SEAL_SHA256_HEX_BYTES];
    char text[API_KEY_NEW_BYTES];
    struct api_key key;
    struct err err;
    struct buf line;

    hex_encode(bytes_of(sha256, sizeof(sha256)), hex);
    buf_init(&line, DOCUMENT_MAX);
    buf_printf(&line, "%s %.*s", name, (int)sizeof(hex), hex);
    buf_put_bytes(&line, options);
    int status = buf_finish(&line) == 0 ? key_of_line(buf_view(&line), &key) : CLI_USAGE;
    if (status == CLI_OK && api_key_make(text, key.sha256) != 0) {
        err_set(&err, AUGURY_ERR_IO, "no_random", "the system gives no random bytes");
        status = cli_fail(&err);
    }
    if (status == CLI_OK) {
        buf_reset(&line);
        api_key_put_line(&key, &line);
        status = print_key(cli, bytes_of(text, sizeof(text)), buf_view(&line));
    }
    explicit_bzero(text, sizeof(text));
    buf_fini(&line);
    return status;
}

static int
key_new(const struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    struct buf options;

    buf_init(&options, DOCUMENT_MAX);
    int status = take_options(command, argc, argv, &options);
    if (status == CLI_OK && argc - optind != 1) {
        status = cli_usage(command, "one name is needed", "");
    }
    if (status == CLI_OK && !api_key_name_is_valid(bytes_of_text(argv[optind]))) {
        status = cli_usage(command,
                           "a name has 1 to 63 letters, digits and ._-, a letter or digit first, "
                           "not ",
                           argv[optind]);
    }
    if (status == CLI_OK) {
        status = make_key(cli, argv[optind], buf_view(&options));
    }
    buf_fini(&options);
    return status;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int
key_list(const struct cli *cli)
{
    struct conf *conf = NULL;
    struct conf_errors errors;
    struct api_keys *keys = NULL;
    struct wire_writer writer;
    struct buf document;
    int status = CLI_FAILED;

    if (cli_conf_load(cli, &conf) != 0) {
        return CLI_FAILED;
    }
    if (api_keys_read(conf->access.keys, &keys, &errors) != 0) {
        for (size_t i = 0; i < errors.count && i < AUGURY_COUNT(errors.list); i++) {
            status = cli_fail(&errors.list[i]);
        }
    } else {
        buf_init(&document, DOCUMENT_MAX);
        wire_writer_init(&writer, WIRE_JSON, &document);
        api_put_keys(&writer, keys, clock_wall_ms());
        status =
            buf_finish(&document) == 0 ? cli_print_document(cli, buf_view(&document)) : CLI_FAILED;
        buf_fini(&document);
    }
    api_keys_free(&keys);
    conf_free(&conf);
    return status;
}

int
cli_key(const struct cli *cli, const struct cli_command *command, int argc, const char *const *argv)
{
    /* getopt_long() reorders the pointers, not the words: main's array may be reordered. */
    char **words = (char **)(uintptr_t)argv;

    if (argc >= 2 && strcmp(argv[1], "new") == 0) {
        return key_new(cli, command, argc - 1, words + 1);
    }
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        return key_list(cli);
    }
    return cli_usage(command, argc < 2 ? "a verb is missing" : "not the words of key ",
                     argc < 2 ? "" : argv[1]);
}
