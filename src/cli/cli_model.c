/* SPDX-License-Identifier: MIT */
/*
 * cli_model.c - `augury model VERB …`: the verbs on the model environment itself, with or without a
 * daemon; a running one sees the commit at its next turn. Only `use` is the daemon's, if there is
 * one, and so is what `import --use` does after the import: it warms the cache first.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

enum { DOCUMENT_MAX = 256 << 20, WORDS_MAX = 64, NAME_BYTES = 96 };

static bool
verb_is_read_only(const char *verb)
{
    static const char *const reading[] = {"list", "show", "verify"};

    for (size_t i = 0; i < AUGURY_COUNT(reading); i++) {
        if (strcmp(verb, reading[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Root imports before the daemon has ever run: what is made belongs to the user that the daemon
 * will run as. */
static int
hand_over(const struct conf *conf, uid_t uid, gid_t gid, struct err *err)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    char path[CONF_PATH_BYTES + 16];

    for (size_t i = 0; i < AUGURY_COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", conf->models.dir, files[i]);
        if (lchown(path, uid, gid) != 0) {
            return err_set(err, AUGURY_ERR_IO, "not_handed_over", "%s: cannot give it to user %s",
                           path, conf->user);
        }
    }
    return 0;
}

static int
run_verb(const struct conf *conf, int argc, const char *const *argv, struct buf *document,
         struct err *err)
{
    struct registry_options options = {
        .dir = conf->models.dir,
        .map_bytes = (size_t)conf->models.map_bytes,
        .is_read_only = verb_is_read_only(argv[0]),
        .kernel = conf->models.kernel,
    };
    struct registry *registry = NULL;
    struct wire_writer writer;
    int rc = registry_open(&options, &registry, err);

    if (rc != 0) {
        return rc;
    }
    struct api_verbs verbs = {.registry = registry, .conf = conf, .now_wall_ms = clock_wall_ms()};
    wire_writer_init(&writer, WIRE_JSON, document);
    rc = api_model_verb(&verbs, argc, argv, &writer, err);
    registry_close(&registry);
    return rc;
}

static int
run_as_owner(const struct conf *conf, int argc, const char *const *argv, struct buf *document,
             struct err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    bool is_root = uid == 0 && conf->user[0] != '\0';

    if (is_root) {
        int rc = proc_find_user(conf->user, conf->group, &uid, &gid, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (!verb_is_read_only(argv[0])) {
        int rc = proc_make_dir(conf->models.dir, uid, gid, err);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = run_verb(conf, argc, argv, document, err);
    return rc == 0 && is_root ? hand_over(conf, uid, gid, err) : rc;
}

/* ---- import, then use ------------------------------------------------------------------------ */

static bool
is_import_and_use(int argc, const char *const *argv)
{
    bool is_used = false;

    for (int i = 1; i < argc; i++) {
        is_used = is_used || strcmp(argv[i], "--use") == 0;
    }
    return strcmp(argv[0], "import") == 0 && is_used && argc <= WORDS_MAX;
}

/* "wp@3" of the version's document; what it warns of is told at once. */
static int
imported_name(struct bytes json, char *out_name, struct err *err)
{
    struct wire_limits limits = {.depth = 32, .values = 4 << 20};
    struct wire_value document;
    struct arena arena;

    int rc = arena_init(&arena, DOCUMENT_MAX);
    if (rc != 0) {
        return err_set(err, rc, "no_memory", "out of memory");
    }
    rc = wire_decode(WIRE_JSON, json, &limits, &arena, &document, err);
    if (rc == 0) {
        const struct wire_value *name = wire_member(&document, "name");
        const struct wire_value *version = wire_member(&document, "version");
        const struct wire_value *warning = wire_member(&document, "warning");
        struct bytes parts[] = {
            name != NULL && name->type == WIRE_STRING ? wire_string(name) : bytes_of(NULL, 0),
            version != NULL && version->type == WIRE_STRING ? wire_string(version)
                                                            : bytes_of(NULL, 0)};
        snprintf(out_name, NAME_BYTES, "%.*s@%.*s", (int)parts[0].len, (const char *)parts[0].data,
                 (int)parts[1].len, (const char *)parts[1].data);
        if (warning != NULL && warning->type == WIRE_STRING) {
            fprintf(stderr, "augury: %.*s\n", (int)wire_string(warning).len,
                    (const char *)wire_string(warning).data);
        }
    }
    arena_fini(&arena);
    return rc;
}

/* The daemon's answer is what is printed: the version, and how warm it is. */
static int
import_and_use(const struct cli *cli, const struct cli_command *command, const struct conf *conf,
               int argc, const char *const *argv)
{
    const char *words[WORDS_MAX] = {argv[0]};
    char name[NAME_BYTES];
    const char *use[] = {"model", "use", name};
    struct buf document;
    struct err err;
    int count = 1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--use") != 0) {
            words[count++] = argv[i];
        }
    }
    buf_init(&document, DOCUMENT_MAX);
    int rc = run_as_owner(conf, count, words, &document, &err);
    if (rc == 0) {
        rc = imported_name(buf_view(&document), name, &err);
    }
    buf_fini(&document);
    if (rc != 0) {
        return cli_fail(&err);
    }
    int status = cli_admin_ask(cli, command, (int)AUGURY_COUNT(use), use);
    if (status != CLI_OK) {
        fprintf(stderr, "augury: %s is imported, and not in use\n", name);
    }
    return status;
}

int
cli_model(const struct cli *cli, const struct cli_command *command, int argc,
          const char *const *argv)
{
    struct conf *conf = NULL;
    struct buf document;
    struct err err;

    if (argc < 2) {
        fputs(api_model_verb_help(), stderr);
        fputs(cli_manifest_help(), stderr);
        return cli_usage(command, "a verb is missing", "");
    }
    if (strcmp(argv[1], "manifest") == 0) {
        return cli_manifest(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "sign") == 0) {
        return cli_sign(argc - 1, argv + 1);
    }
    if (cli_conf_load(cli, &conf) != 0) {
        return CLI_FAILED;
    }
    if (strcmp(argv[1], "use") == 0 && cli_admin_is_there(conf)) {
        conf_free(&conf);
        return cli_admin_ask(cli, command, argc, argv);
    }
    if (is_import_and_use(argc - 1, argv + 1) && cli_admin_is_there(conf)) {
        int status = import_and_use(cli, command, conf, argc - 1, argv + 1);
        conf_free(&conf);
        return status;
    }
    buf_init(&document, DOCUMENT_MAX);
    int rc = run_as_owner(conf, argc - 1, argv + 1, &document, &err);
    int status = rc == 0 ? cli_print_document(cli, buf_view(&document)) : cli_fail(&err);
    buf_fini(&document);
    conf_free(&conf);
    return status;
}
