/* SPDX-License-Identifier: MIT */
/*
 * api_gates.c - signatures over what is imported.
 * Invariants: a file is read once, and what was read is what is digested, compared and compiled; a
 * manifest's words are believed only after its signature has been found good; a key is believed
 * only when nobody but root or we could have written it.
 */
#include "api_gates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS_MAX = 64, PEM_MAX = 65536, PATH_BYTES = 1024, NAME_BYTES = 256 };

/* One import before its manifest. */
struct gate {
    const struct api_verbs *verbs;
    const struct gate_import *import;
    struct seal_manifest manifest; /* borrows from text */
    struct buf text;
    struct buf signature;
    struct err *err;
};

static int
refuse(const struct gate *gate, const char *code, const char *what)
{
    return err_set(gate->err, AUGURY_ERR_INVALID, code, "%s", what);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* "ops.pem" is the key "ops". */
static bool
name_of_key(const char *file_name, char *out_name)
{
    size_t len = strlen(file_name);

    if (file_name[0] == '.' || len < 5 || strcmp(file_name + len - 4, ".pem") != 0) {
        return false;
    }
    snprintf(out_name, NAME_BYTES, "%.*s", (int)(len - 4), file_name);
    return true;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The names of the keys in a folder that nobody else may write to, in order. */
static int
list_keys(const struct gate *gate, char (*names)[NAME_BYTES], size_t *out_count)
{
    const char *path = gate->verbs->conf->models.keys;
    const struct dirent *entry;
    struct stat status;
    int rc = 0;
    DIR *folder = opendir(path);

    *out_count = 0;
    if (folder == NULL || fstat(dirfd(folder), &status) != 0) {
        rc = err_set(gate->err, AUGURY_ERR_INVALID, "no_keys",
                     "%s: %s; the public keys that may sign models belong there (models.keys)",
                     path, strerror(errno));
    }
    rc = rc == 0 ? proc_check_trust(&status, path, PROC_TRUST_KEY, gate->err) : rc;
    while (rc == 0 && (entry = readdir(folder)) != NULL) {
        if (*out_count == KEYS_MAX) {
            rc = refuse(gate, "too_many_keys", "more than 64 keys in the folder models.keys");
        } else if (name_of_key(entry->d_name, names[*out_count])) {
            (*out_count)++;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    if (rc == 0 && *out_count == 0) {
        rc = err_set(gate->err, AUGURY_ERR_INVALID, "no_keys",
                     "%s holds no key; put the public keys that may sign models there, as NAME.pem",
                     path);
    }
    qsort(names, *out_count, sizeof(names[0]), compare_names);
    return rc;
}

static int
read_key(const struct gate *gate, const char *name, struct seal_key *out_key)
{
    char path[PATH_BYTES];
    struct buf pem;

    snprintf(path, sizeof(path), "%s/%s.pem", gate->verbs->conf->models.keys, name);
    if (strlen(name) > REGISTRY_SIGNER_MAX) {
        return err_set(gate->err, AUGURY_ERR_INVALID, "invalid_key",
                       "%s: a key's name has at most %d characters", path, REGISTRY_SIGNER_MAX);
    }
    buf_init(&pem, 0);
    int rc = api_read_checked(path, PEM_MAX, API_READ_KEY, &pem, gate->err);
    if (rc == 0) {
        rc = seal_key_from_pem(buf_view(&pem), out_key, gate->err);
        if (rc != 0) {
            (void)err_at(gate->err, "%s", path);
        }
    }
    buf_fini(&pem);
    return rc;
}

/* Every key is read, also behind the one that fits: a folder that is not in order is told at once,
 * not on the day that another key is needed. */
static int
find_signer(const struct gate *gate, char (*names)[NAME_BYTES], size_t count,
            struct registry_evidence *evidence)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct seal_key key;
        rc = read_key(gate, names[i], &key);
        int fit =
            rc != 0 ? rc : seal_verify(&key, buf_view(&gate->text), buf_view(&gate->signature));
        if (fit == 0 && evidence->signer[0] == '\0') {
            snprintf(evidence->signer, sizeof(evidence->signer), "%s", names[i]);
            memcpy(evidence->key_id, key.id, sizeof(evidence->key_id));
        }
    }
    if (rc == 0 && evidence->signer[0] == '\0') {
        rc = err_set(gate->err, AUGURY_ERR_INVALID, "signature_mismatch",
                     "%.160s: none of the %zu keys in %.120s signed these bytes",
                     gate->import->manifest_path, count, gate->verbs->conf->models.keys);
    }
    return rc;
}

/* ---- the manifest ---------------------------------------------------------------------------- */

static int
read_manifest(struct gate *gate)
{
    char path[PATH_BYTES];
    const char *signature = gate->import->signature_path;
    int rc = api_read_checked(gate->import->manifest_path, SEAL_MANIFEST_BYTES_MAX,
                              API_READ_TRUSTED, &gate->text, gate->err);

    if (rc == 0 && signature == NULL) {
        snprintf(path, sizeof(path), "%.1000s.sig", gate->import->manifest_path);
        signature = path;
    }
    if (rc == 0) {
        rc = api_read_checked(signature, SEAL_MANIFEST_BYTES_MAX, API_READ_TRUSTED,
                              &gate->signature, gate->err);
    }
    if (rc == 0 && gate->signature.len != SEAL_SIGNATURE_BYTES) {
        rc = err_set(gate->err, AUGURY_ERR_INVALID, "invalid_signature",
                     "%.160s has %zu bytes, an Ed25519 signature has %d (openssl pkeyutl -sign "
                     "-rawin -inkey KEY -in MANIFEST -out MANIFEST.sig)",
                     signature, gate->signature.len, SEAL_SIGNATURE_BYTES);
    }
    return rc;
}

static int
check_validity(const struct gate *gate)
{
    const struct seal_manifest *manifest = &gate->manifest;
    const char *name = gate->import->name;
    uint32_t version = gate->import->version;

    if (manifest->expires_wall_ms > 0 && manifest->expires_wall_ms <= gate->verbs->now_wall_ms) {
        char text[CLOCK_ISO_BYTES];
        clock_to_iso(manifest->expires_wall_ms, text);
        return err_set(gate->err, AUGURY_ERR_INVALID, "manifest_expired", "%.200s expired at %.*s",
                       gate->import->manifest_path, (int)sizeof(text), text);
    }
    if (manifest->model.len > 0 && !bytes_equal_text(manifest->model, name)) {
        return err_set(gate->err, AUGURY_ERR_INVALID, "manifest_mismatch",
                       "the manifest was signed for the model \"%.*s\", not for \"%s\"",
                       (int)(manifest->model.len < 64 ? manifest->model.len : 64),
                       (const char *)manifest->model.data, name);
    }
    if (manifest->version > 0 && version > 0 && manifest->version != version) {
        return err_set(gate->err, AUGURY_ERR_INVALID, "manifest_mismatch",
                       "the manifest was signed for version %u, not for %u", manifest->version,
                       version);
    }
    return 0;
}

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* A file is known by its bytes; its name only helps to say what is wrong. */
static int
check_file(const struct gate *gate, const struct gate_file *file)
{
    const struct seal_manifest *manifest = &gate->manifest;
    uint8_t digest[SEAL_SHA256_BYTES];
    char hex[SEAL_SHA256_HEX_BYTES];
    bool is_named = false;

    if (seal_sha256(file->content, digest) != 0) {
        return err_set(gate->err, AUGURY_ERR_NOMEM, "digest_failed", "SHA-256 of %s failed",
                       file->path);
    }
    for (size_t i = 0; i < manifest->file_count; i++) {
        const struct seal_manifest_file *listed = &manifest->files[i];
        if (listed->size_bytes == file->content.len &&
            seal_equal(listed->sha256, digest, sizeof(digest))) {
            return 0;
        }
        is_named = is_named || bytes_equal_text(listed->name, base_name(file->path));
    }
    hex_encode(bytes_of(digest, sizeof(digest)), hex);
    return err_set(gate->err, AUGURY_ERR_INVALID, "manifest_mismatch",
                   "%.120s (SHA-256 %.*s, %zu bytes) is not the file that was signed: the manifest "
                   "%s",
                   file->path, (int)sizeof(hex), hex, file->content.len,
                   is_named ? "has other bytes under its name" : "does not list it");
}

static int
check_manifest(struct gate *gate, struct gate_pass *pass)
{
    int rc = api_manifest_read(gate->import->manifest_path, buf_view(&gate->text), &gate->manifest,
                               gate->err);

    if (rc == 0) {
        rc = check_validity(gate);
    }
    for (size_t i = 0; rc == 0 && i < gate->import->file_count; i++) {
        rc = check_file(gate, &gate->import->files[i]);
    }
    if (rc == 0 && gate->import->features != NULL) {
        rc = refuse(gate, "unsigned_features",
                    "--features is covered by no signature; put the names into a schema file that "
                    "the manifest lists");
    }
    if (rc == 0 && seal_sha256(buf_view(&gate->text), pass->evidence.manifest_sha256) != 0) {
        rc =
            err_set(gate->err, AUGURY_ERR_NOMEM, "digest_failed", "SHA-256 of the manifest failed");
    }
    pass->version = gate->manifest.version;
    return rc;
}

int
api_manifest_read(const char *path, struct bytes text, struct seal_manifest *out_manifest,
                  struct err *err)
{
    char line[sizeof(err->at)];
    int rc = seal_manifest_read(text, out_manifest, err);

    if (rc != 0) {
        snprintf(line, sizeof(line), "%s", err->at);
        (void)err_at(err, "%.120s%s%s", path, line[0] != '\0' ? ", " : "", line);
    }
    return rc;
}

int
api_keys_check(const struct conf *conf, struct err *err)
{
    struct api_verbs verbs = {.conf = conf};
    struct gate gate = {.verbs = &verbs, .err = err};
    char(*names)[NAME_BYTES] = calloc(KEYS_MAX, sizeof(*names));
    size_t count = 0;
    int rc = names != NULL ? list_keys(&gate, names, &count)
                           : err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for keys");

    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct seal_key key;
        rc = read_key(&gate, names[i], &key);
    }
    free(names);
    return rc;
}

/* ---- the gates ------------------------------------------------------------------------------- */

static int
pass_unsigned(const struct api_verbs *verbs, struct err *err)
{
    bool is_wanted = strcmp(verbs->conf->models.require_signature, "yes") == 0;

    return !is_wanted ? 0
                      : err_set(err, AUGURY_ERR_INVALID, "unsigned_model",
                                "this installation imports signed models only "
                                "(models.require_signature): give --manifest and its signature");
}

int
gate_signature(const struct api_verbs *verbs, const struct gate_import *import,
               struct gate_pass *out_pass, struct err *err)
{
    char(*names)[NAME_BYTES] = NULL;
    struct gate gate = {.verbs = verbs, .import = import, .err = err};
    struct gate_pass pass = {.version = 0};
    size_t count = 0;

    if (import->manifest_path == NULL) {
        *out_pass = pass;
        return pass_unsigned(verbs, err);
    }
    buf_init(&gate.text, 0);
    buf_init(&gate.signature, 0);
    names = calloc(KEYS_MAX, sizeof(*names));
    int rc = names != NULL ? read_manifest(&gate)
                           : err_set(err, AUGURY_ERR_NOMEM, "no_memory", "no memory for keys");
    if (rc == 0) {
        rc = list_keys(&gate, names, &count);
    }
    if (rc == 0) {
        rc = find_signer(&gate, names, count, &pass.evidence);
    }
    if (rc == 0) {
        rc = check_manifest(&gate, &pass);
    }
    if (rc == 0) {
        *out_pass = pass;
    }
    free(names);
    buf_fini(&gate.signature);
    buf_fini(&gate.text);
    return rc;
}

const char *
gate_warning(const struct api_verbs *verbs, const struct gate_pass *pass)
{
    bool is_wanted = strcmp(verbs->conf->models.require_signature, "warn") == 0;

    return is_wanted && pass->evidence.signer[0] == '\0'
               ? "nobody has signed this model (models.require_signature is warn)"
               : NULL;
}
