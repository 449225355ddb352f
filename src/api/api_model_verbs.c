/* SPDX-License-Identifier: MIT */
/*
 * api_model_verbs.c - `model import|list|use|show|unload|verify`, for the command line and the
 * admin socket alike: words in, one document out.
 */
#include "api_calibrate.h"
#include "api_call.h"
#include "api_gates.h"
#include "api_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MODEL_FILE_MAX = 1 << 30,
    SCHEMA_FILE_MAX = 16 << 20,
    PLAIN_ARGUMENTS_MAX = 3,
    VERSIONS_AT_ONCE = 64
};

/* One call: its words sorted into plain ones and options. */
struct verb_call {
    const struct api_verbs *verbs;
    struct registry *registry;
    struct wire_writer *writer;
    struct err *err;
    const char *plain[PLAIN_ARGUMENTS_MAX];
    int plain_count;
    const char *features;
    const char *schema_path;
    const char *manifest_path;
    const char *signature_path;
    struct golden_words golden;
    uint32_t version;
    bool is_best_iteration;
    uint32_t iteration_begin, iteration_end;
    bool is_used;
    bool is_cold;
};

typedef int verb_fn(struct verb_call *call);

struct verb {
    const char *name;
    verb_fn *run;
    int plain_min, plain_max;
    bool has_options;
    bool can_be_cold; /* --no-warm is one of its words */
    const char *usage;
};

/* ---- words ----------------------------------------------------------------------------------- */

static int
usage_error(const struct verb *verb, struct err *err, const char *what, const char *word)
{
    return err_set(err, AUGURY_ERR_INVALID, "usage", "%s%s; usage: model %s", what, word,
                   verb->usage);
}

/* Whether word is the option of that name; *out_value is what stands behind its "=", or NULL. */
static bool
option_is(const char *word, const char *name, const char **out_value)
{
    size_t len = strlen(name);

    if (strncmp(word, name, len) != 0 || (word[len] != '\0' && word[len] != '=')) {
        return false;
    }
    *out_value = word[len] == '=' ? word + len + 1 : NULL;
    return true;
}

/* Options of import that have a value. */
enum value_option {
    WITH_FEATURES,
    WITH_SCHEMA,
    WITH_MANIFEST,
    WITH_SIGNATURE,
    WITH_GOLDEN,
    WITH_GOLDEN_TARGET,
    WITH_GOLDEN_OUTPUT,
    WITH_TOLERANCE,
    WITH_ITERATIONS,
    WITH_VERSION,
};
static const struct {
    const char *name;
    enum value_option option;
} value_options[] = {
    {"--features", WITH_FEATURES},
    {"--schema", WITH_SCHEMA},
    {"--manifest", WITH_MANIFEST},
    {"--signature", WITH_SIGNATURE},
    {"--golden", WITH_GOLDEN},
    {"--golden-target", WITH_GOLDEN_TARGET},
    {"--golden-output", WITH_GOLDEN_OUTPUT},
    {"--tolerance", WITH_TOLERANCE},
    {"--iterations", WITH_ITERATIONS},
    {"--version", WITH_VERSION},
};

static int
take_value(const struct verb *verb, enum value_option option, const char *value,
           struct verb_call *call)
{
    uint64_t version = 0;

    switch (option) {
    case WITH_FEATURES: call->features = value; break;
    case WITH_SCHEMA: call->schema_path = value; break;
    case WITH_MANIFEST: call->manifest_path = value; break;
    case WITH_SIGNATURE: call->signature_path = value; break;
    case WITH_GOLDEN: call->golden.path = value; break;
    case WITH_GOLDEN_TARGET: call->golden.targets = value; break;
    case WITH_GOLDEN_OUTPUT: call->golden.output = value; break;
    case WITH_TOLERANCE: call->golden.tolerance = value; break;
    case WITH_ITERATIONS:
        if (model_iterations_parse(bytes_of_text(value), &call->iteration_begin,
                                   &call->iteration_end) != 0) {
            return usage_error(verb, call->err,
                               "--iterations is a range A:B, from A up to, not including, B, not ",
                               value);
        }
        break;
    case WITH_VERSION:
        if (bytes_to_u64(bytes_of_text(value), UINT32_MAX, &version) != 0 || version == 0) {
            return usage_error(verb, call->err, "--version is a positive number, not ", value);
        }
        call->version = (uint32_t)version;
        break;
    }
    return 0;
}

/* The options of import; *at moves past an option's value. */
static int
take_option(const struct verb *verb, int argc, const char *const *argv, int *at,
            struct verb_call *call)
{
    const char *word = argv[*at];
    const char *value = NULL;

    if (strcmp(word, "--best-iteration") == 0) {
        call->is_best_iteration = true;
        return 0;
    }
    if (strcmp(word, "--use") == 0) {
        call->is_used = true;
        return 0;
    }
    for (size_t i = 0; i < AUGURY_COUNT(value_options); i++) {
        if (!option_is(word, value_options[i].name, &value)) {
            continue;
        }
        if (value == NULL && *at + 1 >= argc) {
            return usage_error(verb, call->err, "a value is missing after ", word);
        }
        return take_value(verb, value_options[i].option, value != NULL ? value : argv[++*at], call);
    }
    return usage_error(verb, call->err, "unknown option ", word);
}

static int
take_words(const struct verb *verb, int argc, const char *const *argv, struct verb_call *call)
{
    int rc = 0;

    for (int i = 1; rc == 0 && i < argc; i++) {
        if (verb->can_be_cold && strcmp(argv[i], "--no-warm") == 0) {
            call->is_cold = true;
        } else if (verb->has_options && strncmp(argv[i], "--", 2) == 0) {
            rc = take_option(verb, argc, argv, &i, call);
        } else if (call->plain_count == verb->plain_max) {
            rc = usage_error(verb, call->err, "one word too many: ", argv[i]);
        } else {
            call->plain[call->plain_count++] = argv[i];
        }
    }
    if (rc == 0 && call->plain_count < verb->plain_min) {
        rc = usage_error(verb, call->err, "too few words", "");
    }
    return rc;
}

/* ---- the registry ---------------------------------------------------------------------------- */

static int
snapshot_begin(struct verb_call *call)
{
    int rc = registry_snapshot_begin(call->registry);

    return rc == 0 ? 0
                   : err_set(call->err, rc, "registry_unreadable",
                             "the model environment cannot be read: %s", augury_strerror(rc));
}

/* The document of one version, or of the one that a name means without a selector. */
static int
put_found(struct verb_call *call, struct bytes name, struct bytes selector, const char *warning)
{
    const struct registry_model *found;
    int rc = snapshot_begin(call);

    if (rc != 0) {
        return rc;
    }
    rc = registry_find(call->registry, name, selector, &found, call->err);
    if (rc == 0) {
        api_put_model(call->writer, call->registry, found, warning);
    }
    registry_snapshot_end(call->registry);
    return rc;
}

/* "name@selector" as a name of its own and the number of the version; 0 when no selector was given.
 */
static int
resolve(struct verb_call *call, const char *word, char *out_name, uint32_t *out_version)
{
    const struct registry_entry *entry;
    struct bytes name;
    struct bytes selector;

    api_split_name(bytes_of_text(word), &name, &selector);
    int rc = snapshot_begin(call);
    if (rc != 0) {
        return rc;
    }
    rc = registry_find_entry(call->registry, name, selector, &entry, call->err);
    if (rc == 0) {
        memcpy(out_name, entry->name, sizeof(entry->name));
        *out_version = selector.len > 0 ? entry->version : 0;
    }
    registry_snapshot_end(call->registry);
    return rc;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

/* Files that only their owner could have written, and what vouches for them. */
static int
read_import(struct verb_call *call, struct buf *file, struct buf *schema,
            struct gate_pass *out_pass)
{
    struct gate_import gate = {
        .name = call->plain[0],
        .version = call->version,
        .features = call->features,
        .manifest_path = call->manifest_path,
        .signature_path = call->signature_path,
        .file_count = call->schema_path != NULL ? 2 : 1,
    };
    int rc = api_read_checked(call->plain[1], MODEL_FILE_MAX, API_READ_TRUSTED, file, call->err);

    if (rc == 0 && call->schema_path != NULL) {
        rc = api_read_checked(call->schema_path, SCHEMA_FILE_MAX, API_READ_TRUSTED, schema,
                              call->err);
    }
    if (rc != 0) {
        return rc;
    }
    gate.files[0] = (struct gate_file){.path = call->plain[1], .content = buf_view(file)};
    gate.files[1] = (struct gate_file){.path = call->schema_path, .content = buf_view(schema)};
    return gate_signature(call->verbs, &gate, out_pass, call->err);
}

/* golden NULL: there are no golden rows. */
static int
import_golden(struct verb_call *call, struct registry_import *import, struct golden *golden,
              struct registry_entry *out_entry)
{
    import->golden = golden != NULL ? golden_load : NULL;
    import->golden_arg = golden;
    int rc = registry_import(call->registry, import, out_entry, call->err);
    if (rc != 0 && golden != NULL) {
        golden_place(golden, call->err);
    }
    return rc;
}

/* Whoever asked moves the label. */
static int
use_later(struct verb_call *call, const struct registry_entry *entry, const char *warning)
{
    struct api_use use = {.version = entry->version, .warning = warning};

    snprintf(use.name, sizeof(use.name), "%s", entry->name);
    snprintf(use.label, sizeof(use.label), "%s", REGISTRY_LABEL_STABLE);
    *call->verbs->use_later = use;
    return 0;
}

static int
import_files(struct verb_call *call, struct golden *golden, struct buf *file, struct buf *schema)
{
    struct registry_entry entry;
    struct gate_pass pass;
    char number[16];
    int rc = read_import(call, file, schema, &pass);

    if (rc != 0) {
        return rc;
    }
    bool is_for_later = call->is_used && call->verbs->use_later != NULL;
    struct model_import_options options = {
        .names = call->features,
        .schema = buf_view(schema),
        .is_best_iteration = call->is_best_iteration,
        .iteration_begin = call->iteration_begin,
        .iteration_end = call->iteration_end,
    };
    struct registry_import import = {
        .name = call->plain[0],
        .version = call->version > 0 ? call->version : pass.version,
        .file = buf_view(file),
        .options = &options,
        .flags = call->is_used && !is_for_later ? REGISTRY_IMPORT_USE : 0,
        .now_wall_ms = call->verbs->now_wall_ms,
        .evidence = &pass.evidence,
    };
    rc = import_golden(call, &import, golden, &entry);
    if (rc != 0) {
        return rc;
    }
    if (is_for_later) {
        return use_later(call, &entry, gate_warning(call->verbs, &pass));
    }
    snprintf(number, sizeof(number), "%u", entry.version);
    return put_found(call, bytes_of_text(call->plain[0]), bytes_of_text(number),
                     gate_warning(call->verbs, &pass));
}

static int
verb_import(struct verb_call *call)
{
    struct buf file;
    struct buf schema;
    struct golden *golden = NULL;
    int rc = golden_open(&call->golden, &golden, call->err);

    if (rc != 0) {
        return rc;
    }
    buf_init(&file, 0);
    buf_init(&schema, 0);
    rc = import_files(call, golden, &file, &schema);
    golden_close(&golden);
    buf_fini(&schema);
    buf_fini(&file);
    return rc;
}

static int
verb_list(struct verb_call *call)
{
    int rc = snapshot_begin(call);

    if (rc == 0) {
        api_put_models(call->writer, call->registry);
        registry_snapshot_end(call->registry);
    }
    return rc;
}

static int
verb_show(struct verb_call *call)
{
    struct bytes name;
    struct bytes selector;

    api_split_name(bytes_of_text(call->plain[0]), &name, &selector);
    return put_found(call, name, selector, NULL);
}

/* The version is a word of its own, or stands behind the name: "NAME VERSION [LABEL]" or
 * "NAME@VERSION [LABEL]". */
static int
take_version(struct verb_call *call, char *out_name, uint32_t *out_version, const char **out_label)
{
    struct bytes name;
    struct bytes text;
    uint64_t version = 0;
    int next = 1;

    api_split_name(bytes_of_text(call->plain[0]), &name, &text);
    if (text.len == 0 && call->plain_count > 1) {
        text = bytes_of_text(call->plain[next++]);
    }
    if (text.len == 0 || bytes_to_u64(text, UINT32_MAX, &version) != 0 || version == 0) {
        return err_set(call->err, AUGURY_ERR_INVALID, "usage",
                       "a version is a positive number, not \"%.*s\"", (int)text.len,
                       text.len > 0 ? (const char *)text.data : "");
    }
    if (call->plain_count > next + 1) {
        return err_set(call->err, AUGURY_ERR_INVALID, "usage", "one word too many: %s",
                       call->plain[next + 1]);
    }
    *out_label = call->plain_count > next ? call->plain[next] : REGISTRY_LABEL_STABLE;
    if (name.len > MODEL_NAME_MAX) {
        return err_set(call->err, AUGURY_ERR_INVALID, "usage",
                       "a model's name has at most %d characters", MODEL_NAME_MAX);
    }
    *out_version = (uint32_t)version;
    snprintf(out_name, MODEL_NAME_MAX + 1, "%.*s", (int)name.len, (const char *)name.data);
    return 0;
}

static void
put_warmth(struct wire_writer *writer, const struct api_warmth *warmth)
{
    wire_key(writer, "warmed");
    wire_put_u64(writer, warmth->rows);
    wire_key(writer, "hot");
    wire_put_u64(writer, warmth->of_rows);
    wire_key(writer, "warm_ms");
    wire_put_u64(writer, warmth->took_ms);
    if (warmth->why != NULL) {
        wire_key(writer, "not_warmed");
        wire_put_text(writer, warmth->why);
    }
    if (warmth->warning != NULL) {
        wire_key(writer, "warning");
        wire_put_text(writer, warmth->warning);
    }
}

static uint32_t
warmth_members(const struct api_warmth *warmth)
{
    return warmth == NULL ? 0 : 3u + (warmth->why != NULL) + (warmth->warning != NULL);
}

static int
verb_use(struct verb_call *call)
{
    char name[MODEL_NAME_MAX + 1];
    const char *label = NULL;
    uint32_t version = 0;
    int rc = take_version(call, name, &version, &label);

    if (rc == 0) {
        rc = registry_use(call->registry, name, version, label, call->err);
    }
    if (rc == 0) {
        const struct api_warmth *warmth = call->verbs->warmth;
        wire_object(call->writer, 3 + warmth_members(warmth));
        wire_key(call->writer, "name");
        wire_put_text(call->writer, name);
        wire_key(call->writer, "version");
        api_put_version(call->writer, version);
        wire_key(call->writer, "label");
        wire_put_text(call->writer, label);
        if (warmth != NULL) {
            put_warmth(call->writer, warmth);
        }
        wire_end(call->writer);
    }
    return rc;
}

static int
verb_unload(struct verb_call *call)
{
    char name[MODEL_NAME_MAX + 1];
    uint32_t version = 0;
    int rc = resolve(call, call->plain[0], name, &version);

    if (rc == 0) {
        rc = registry_unload(call->registry, name, version, call->err);
    }
    if (rc == 0) {
        wire_object(call->writer, 2);
        wire_key(call->writer, "unloaded");
        wire_put_text(call->writer, name);
        wire_key(call->writer, "version");
        if (version == 0) {
            wire_put_text(call->writer, "all");
        } else {
            api_put_version(call->writer, version);
        }
        wire_end(call->writer);
    }
    return rc;
}

struct version_name {
    char name[MODEL_NAME_MAX + 1];
    uint32_t version;
};

/* The next versions from number `first` on, of one model (version 0: every one of it) or of all
 * (name empty). */
static int
list_versions(struct verb_call *call, const struct version_name *wanted, size_t *next,
              struct version_name *out_list, uint32_t *out_count)
{
    const struct registry_entry *entry;
    int rc = snapshot_begin(call);

    *out_count = 0;
    if (rc != 0) {
        return rc;
    }
    while (*out_count < VERSIONS_AT_ONCE &&
           (entry = registry_entry_at(call->registry, *next)) != NULL) {
        bool is_wanted = wanted->name[0] == '\0' ||
                         (strcmp(wanted->name, entry->name) == 0 &&
                          (wanted->version == 0 || wanted->version == entry->version));
        (*next)++;
        if (is_wanted) {
            struct version_name *item = &out_list[(*out_count)++];
            memcpy(item->name, entry->name, sizeof(item->name));
            item->version = entry->version;
        }
    }
    registry_snapshot_end(call->registry);
    return 0;
}

/* The first damage is told in full, of the others the names, as far as there is room. */
static void
add_damage(struct err *all, const struct err *one)
{
    if (all->rc == 0) {
        *all = *one;
        return;
    }
    size_t used = strlen(all->reason);
    bool is_first = strstr(all->reason, "; damaged too: ") == NULL;
    if (used + strlen(one->at) + 32 < sizeof(all->reason)) {
        snprintf(all->reason + used, sizeof(all->reason) - used, "%s%s",
                 is_first ? "; damaged too: " : ", ", one->at);
    }
}

/* A version that was unloaded since it was listed is no failure, nor is it counted. */
static int
verify_list(struct verb_call *call, const struct version_name *list, uint32_t count,
            struct err *damage, uint64_t *verified)
{
    for (uint32_t i = 0; i < count; i++) {
        struct err err;
        int rc = registry_verify(call->registry, list[i].name, list[i].version, &err);
        if (rc == 0) {
            (*verified)++;
        } else if (rc == AUGURY_ERR_CORRUPT || rc == AUGURY_ERR_UNSUPPORTED) {
            add_damage(damage, &err);
        } else if (rc != AUGURY_NOT_FOUND) {
            *call->err = err;
            return rc;
        }
    }
    return 0;
}

static int
verb_verify(struct verb_call *call)
{
    struct version_name wanted = {.version = 0};
    struct version_name list[VERSIONS_AT_ONCE];
    struct err damage = {.rc = 0};
    uint32_t count = 0;
    uint64_t verified = 0;
    size_t next = 0;
    int rc =
        call->plain_count > 0 ? resolve(call, call->plain[0], wanted.name, &wanted.version) : 0;

    do {
        rc = rc == 0 ? list_versions(call, &wanted, &next, list, &count) : rc;
        rc = rc == 0 ? verify_list(call, list, count, &damage, &verified) : rc;
    } while (rc == 0 && count == VERSIONS_AT_ONCE);
    if (rc == 0 && damage.rc != 0) {
        *call->err = damage;
        rc = damage.rc;
    }
    if (rc == 0) {
        wire_object(call->writer, 1);
        wire_key(call->writer, "verified");
        wire_put_u64(call->writer, verified);
        wire_end(call->writer);
    }
    return rc;
}

#define USE_USAGE "use NAME VERSION [LABEL] [--no-warm], or use NAME@VERSION [LABEL] [--no-warm]"

static const struct verb verbs[] = {
    {"import", verb_import, 2, 2, true, false,
     "import NAME FILE [--features a,b,c] [--schema FILE] [--best-iteration] "
     "[--iterations A:B] [--version N] [--use] [--manifest FILE [--signature FILE]] "
     "[--golden ROWS --golden-target a,b [--golden-output KIND] [--tolerance X]]"},
    {"list", verb_list, 0, 0, false, false, "list"},
    {"use", verb_use, 1, 3, false, true, USE_USAGE},
    {"show", verb_show, 1, 1, false, false, "show NAME[@VERSION|@LABEL]"},
    {"unload", verb_unload, 1, 1, false, false, "unload NAME[@VERSION]"},
    {"verify", verb_verify, 0, 1, false, false, "verify [NAME[@VERSION]]"},
};

int
api_model_use_words(int argc, const char *const *argv, struct api_use *out_use, struct err *err)
{
    static const struct verb use = {"use", verb_use, 1, 3, false, true, USE_USAGE};
    struct verb_call call = {.err = err};
    struct api_use words = {.version = 0};
    const char *label = NULL;
    int rc = take_words(&use, argc, argv, &call);

    if (rc == 0) {
        rc = take_version(&call, words.name, &words.version, &label);
    }
    if (rc == 0 && strlen(label) > MODEL_LABEL_MAX) {
        rc = err_set(err, AUGURY_ERR_INVALID, "invalid_label", "a label has 1 to %d characters",
                     MODEL_LABEL_MAX);
    }
    if (rc == 0) {
        snprintf(words.label, sizeof(words.label), "%s", label);
        words.is_cold = call.is_cold;
        *out_use = words;
    }
    return rc;
}

int
api_model_verb(const struct api_verbs *verbs_of, int argc, const char *const *argv,
               struct wire_writer *writer, struct err *err)
{
    struct verb_call call = {
        .verbs = verbs_of, .registry = verbs_of->registry, .writer = writer, .err = err};

    if (argc > 0 && strcmp(argv[0], "calibrate") == 0) {
        return api_calibrate(verbs_of, argc, argv, writer, err);
    }
    for (size_t i = 0; argc > 0 && i < AUGURY_COUNT(verbs); i++) {
        if (strcmp(argv[0], verbs[i].name) == 0) {
            int rc = take_words(&verbs[i], argc, argv, &call);
            return rc == 0 ? verbs[i].run(&call) : rc;
        }
    }
    return err_set(err, AUGURY_ERR_INVALID, "usage",
                   "%s%s%s; there are import, list, use, show, calibrate, unload, verify",
                   argc > 0 ? "there is no model verb \"" : "a verb is missing",
                   argc > 0 ? argv[0] : "", argc > 0 ? "\"" : "");
}

const char *
api_model_verb_help(void)
{
    return "model import NAME FILE [--features a,b,c] [--schema FILE] [--best-iteration] "
           "[--iterations A:B] [--version N] [--use] [--manifest FILE [--signature FILE]]\n"
           "    [--golden ROWS.csv --golden-target a,b [--golden-output KIND] [--tolerance X]]\n"
           "    reads and compiles a model file and stores it as the next version\n"
           "model list\n"
           "    every version of every model\n"
           "model show NAME[@VERSION|@LABEL]\n"
           "    schema, outputs, versions, digests\n"
           "model use NAME VERSION [LABEL] [--no-warm], or model use NAME@VERSION [LABEL] "
           "[--no-warm]\n"
           "    points a label (stable) at a version; a running daemon computes for it what the "
           "version\n"
           "    before it was asked for most, then moves the label; without a daemon it moves at "
           "once\n"
           "model calibrate NAME[@SELECTOR] ROWS --target COLUMN [--group FEATURE "
           "[--group-bins N]]\n"
           "        [--lower NAME@SELECTOR --upper NAME@SELECTOR] [--format csv|tsv] "
           "[--skip-columns N] [--ignore-unknown] [--use]\n"
           "    stores a further version that knows from held-out rows how far it errs: it answers "
           "intervals\n"
           "model unload NAME[@VERSION]\n"
           "    takes one version out, or the whole model\n"
           "model verify [NAME[@VERSION]]\n"
           "    checks stored bytes: checksum and every index\n";
}
