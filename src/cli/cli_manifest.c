/* SPDX-License-Identifier: MIT */
/*
 * cli_manifest.c - `augury model manifest` and `augury model sign`: what an operator does before an
 * import that asks for a signature, on whatever machine has the key. No configuration, no registry.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { SECRET_MAX = 65536, FILE_MODE = 0644, PATH_BYTES = 4096 };

static const struct cli_command manifest_command = {
    "manifest", NULL,
    "model manifest FILE… [--model NAME] [--version N] [--expires TIME] [--out FILE]",
    "writes what a signature vouches for: names, sizes and SHA-256 of files", NULL};
static const struct cli_command sign_command = {"sign", NULL,
                                                "model sign MANIFEST --key KEY.pem [--out FILE]",
                                                "signs a manifest with an Ed25519 key", NULL};

const char *
cli_manifest_help(void)
{
    return "model manifest FILE… [--model NAME] [--version N] [--expires TIME] [--out FILE]\n"
           "    writes names, sizes and SHA-256 of files, for a signature\n"
           "model sign MANIFEST --key KEY.pem [--out FILE]\n"
           "    signs a manifest with an Ed25519 key, into MANIFEST.sig\n";
}

/* The words of either command. */
struct words {
    struct seal_manifest manifest;
    const char *key_path;
    const char *out_path;
};

static int
take_option(const struct cli_command *command, int option, struct words *words)
{
    uint64_t version = 0;

    switch (option) {
    case 'k': words->key_path = optarg; return CLI_OK;
    case 'o': words->out_path = optarg; return CLI_OK;
    case 'm':
        words->manifest.model = bytes_of_text(optarg);
        return registry_name_is_valid(words->manifest.model)
                   ? CLI_OK
                   : cli_usage(command, "no name of a model: ", optarg);
    case 'v':
        if (bytes_to_u64(bytes_of_text(optarg), UINT32_MAX, &version) != 0 || version == 0) {
            return cli_usage(command, "--version is a positive number, not ", optarg);
        }
        words->manifest.version = (uint32_t)version;
        return CLI_OK;
    case 'e':
        return seal_time_read(bytes_of_text(optarg), &words->manifest.expires_wall_ms) == 0
                   ? CLI_OK
                   : cli_usage(command, "--expires is 2027-01-31 or 2027-01-31T12:00:00Z, not ",
                               optarg);
    default: return cli_usage(command, "unknown option, or its value is missing", "");
    }
}

static int
take_options(const struct cli_command *command, int argc, char **argv,
             const struct option *long_options, struct words *words)
{
    int option;

    optind = 0; /* a second parse in one program: main has read the options before the command */
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        int status = take_option(command, option, words);
        if (status != CLI_OK) {
            return status;
        }
    }
    return CLI_OK;
}

/* path NULL: standard output. */
static int
write_file(const char *path, struct bytes content)
{
    struct err err;

    if (path == NULL) {
        return cli_print(content);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, FILE_MODE);
    bool is_written = fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len;
    is_written = (fd < 0 || close(fd) == 0) && is_written;
    if (!is_written) {
        err_set(&err, AUGURY_ERR_IO, "unwritable_file", "%s: %s", path, strerror(errno));
        return cli_fail(&err);
    }
    return CLI_OK;
}

/* ---- manifest -------------------------------------------------------------------------------- */

static int
add_file(struct seal_manifest *manifest, const char *path, struct err *err)
{
    struct seal_manifest_file *file = &manifest->files[manifest->file_count];
    const char *slash = strrchr(path, '/');
    FILE *stream = fopen(path, "rbe");
    int rc = 0;

    if (stream == NULL) {
        return err_set(err, AUGURY_ERR_IO, "unreadable_file", "%s: %s", path, strerror(errno));
    }
    rc = seal_sha256_file(stream, file->sha256);
    long end = rc == 0 ? ftell(stream) : 0;
    fclose(stream);
    if (rc != 0 || end < 0) {
        return err_set(err, AUGURY_ERR_IO, "unreadable_file", "%s cannot be read to its end", path);
    }
    file->size_bytes = (uint64_t)end;
    file->name = bytes_of_text(slash != NULL ? slash + 1 : path);
    manifest->file_count++;
    return 0;
}

/* What is written is read again: a name that the format has no room for shows here, not at the
 * import. */
static int
print_manifest(const struct words *words)
{
    struct seal_manifest again;
    struct err err;
    struct buf text;

    buf_init(&text, SEAL_MANIFEST_BYTES_MAX);
    seal_manifest_put(&words->manifest, &text);
    int rc = buf_finish(&text);
    rc = rc == 0 ? seal_manifest_read(buf_view(&text), &again, &err)
                 : err_set(&err, rc, "invalid_manifest", "the manifest would be too long");
    int status = rc == 0 ? write_file(words->out_path, buf_view(&text)) : cli_fail(&err);
    buf_fini(&text);
    return status;
}

int
cli_manifest(int argc, const char *const *words_of)
{
    /* getopt_long() reorders the pointers, not the words: main's array may be reordered. */
    char **argv = (char **)(uintptr_t)words_of;
    static const struct option long_options[] = {{"model", required_argument, NULL, 'm'},
                                                 {"version", required_argument, NULL, 'v'},
                                                 {"expires", required_argument, NULL, 'e'},
                                                 {"out", required_argument, NULL, 'o'},
                                                 {0}};
    struct words words = {.manifest.created_wall_ms = clock_wall_ms()};
    struct err err;
    int status = take_options(&manifest_command, argc, argv, long_options, &words);

    if (status != CLI_OK) {
        return status;
    }
    if (optind == argc || argc - optind > SEAL_MANIFEST_FILES_MAX) {
        return cli_usage(&manifest_command, "1 to 16 files are needed", "");
    }
    for (int i = optind; i < argc; i++) {
        if (add_file(&words.manifest, argv[i], &err) != 0) {
            return cli_fail(&err);
        }
    }
    return print_manifest(&words);
}

/* ---- sign ------------------------------------------------------------------------------------ */

/* Only what can be read as a manifest is signed. */
static int
sign_manifest(const struct words *words, const char *path, uint8_t *out_signature, struct err *err)
{
    struct seal_manifest manifest;
    struct buf text;
    struct buf secret;

    buf_init(&text, 0);
    buf_init(&secret, 0);
    int rc = api_read_file(path, SEAL_MANIFEST_BYTES_MAX, &text, err);
    if (rc == 0) {
        rc = api_manifest_read(path, buf_view(&text), &manifest, err);
    }
    if (rc == 0) {
        rc = api_read_checked(words->key_path, SECRET_MAX, API_READ_SECRET, &secret, err);
    }
    if (rc == 0) {
        rc = seal_sign(buf_view(&secret), buf_view(&text), out_signature, err);
    }
    if (secret.data != NULL) {
        explicit_bzero(secret.data, secret.cap);
    }
    buf_fini(&secret);
    buf_fini(&text);
    return rc;
}

int
cli_sign(int argc, const char *const *words_of)
{
    char **argv = (char **)(uintptr_t)words_of;
    static const struct option long_options[] = {
        {"key", required_argument, NULL, 'k'}, {"out", required_argument, NULL, 'o'}, {0}};
    uint8_t signature[SEAL_SIGNATURE_BYTES];
    struct words words = {.key_path = NULL};
    char path[PATH_BYTES];
    struct err err;
    int status = take_options(&sign_command, argc, argv, long_options, &words);

    if (status != CLI_OK) {
        return status;
    }
    if (argc - optind != 1 || words.key_path == NULL) {
        return cli_usage(&sign_command, "one manifest and --key are needed", "");
    }
    if (words.out_path == NULL) {
        snprintf(path, sizeof(path), "%.4000s.sig", argv[optind]);
        words.out_path = path;
    }
    return sign_manifest(&words, argv[optind], signature, &err) == 0
               ? write_file(words.out_path, bytes_of(signature, sizeof(signature)))
               : cli_fail(&err);
}
