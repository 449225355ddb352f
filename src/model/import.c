/* SPDX-License-Identifier: MIT */
/*
 * import.c - a whole foreign file becomes a blob: the format is told by its first bytes, decoded,
 * read into the neutral form, given its schema, checked, compiled. What augury does not read is
 * refused with what to do instead. Memory: one arena, bounded by the file's size, freed at the end.
 */
#include "import.h"
#include "blob.h"
#include "replay.h"

#include <string.h>

enum {
    IMPORT_DEPTH = 64, /* of the document; XGBoost's are under 10 */
    IMPORT_ARENA_FACTOR =
        40, /* times the file: 16-byte values for numbers of two bytes, and the neutral form */
    IMPORT_ARENA_BASE = 16 << 20,
};

/* ---- formats ------------------------------------------------------------------------------- */

static bool
has_prefix(struct bytes file, const char *prefix, size_t len)
{
    return file.len >= len && memcmp(file.data, prefix, len) == 0;
}

/* First bytes of files that are something else, and what to say. */
static const struct {
    const char *prefix;
    size_t len;
    const char *code;
    const char *reason;
} others[] = {
    {"binf", 4, "old_binary",
     "XGBoost's old binary format: convert it with an XGBoost before 3.1, "
     "b = Booster(); b.load_model(old); b.save_model('m.json')"},
    {"bs64", 4, "old_binary",
     "XGBoost's old binary format in base64: convert it with an XGBoost before 3.1, "
     "b = Booster(); b.load_model(old); b.save_model('m.json')"},
    {"booster[", 8, "xgboost_dump",
     "a dump_model() text, which has lost digits and settings: write the model with "
     "save_model('m.json')"},
    {"[", 1, "xgboost_dump",
     "a JSON array, as dump_model() writes it, is no model: write the model with "
     "save_model('m.json')"},
    {"\x80\x02", 2, "pickle",
     "a Python pickle executes code when it is read, so augury never does: load it where it was "
     "made and write the model with save_model('m.json')"},
    {"\x80\x03", 2, "pickle",
     "a Python pickle executes code when it is read, so augury never does: load it where it was "
     "made and write the model with save_model('m.json')"},
    {"\x80\x04", 2, "pickle",
     "a Python pickle executes code when it is read, so augury never does: load it where it was "
     "made and write the model with save_model('m.json')"},
    {"\x80\x05", 2, "pickle",
     "a Python pickle executes code when it is read, so augury never does: load it where it was "
     "made and write the model with save_model('m.json')"},
    {"x\x9c", 2, "joblib",
     "zlib data, as joblib writes pickles: they execute code when they are read, so augury never "
     "does; write the model with save_model('m.json')"},
    {"ZF", 2, "joblib",
     "a joblib file is a pickle and executes code when it is read, so augury never does; write "
     "the model with save_model('m.json')"},
    {"\x1f\x8b", 2, "gzip", "gzip data: unpack it first (gunzip)"},
    {"\xef\xbb\xbf", 3, "byte_order_mark",
     "the file begins with a byte order mark, which is no JSON: write it without one"},
    {"PK\x03\x04", 4, "zip", "a zip archive: unpack it first"},
};

static int
refuse(struct bytes file, struct err *err)
{
    for (size_t i = 0; i < AUGURY_COUNT(others); i++) {
        if (has_prefix(file, others[i].prefix, others[i].len)) {
            return err_set(err, AUGURY_ERR_UNSUPPORTED, others[i].code, "%s", others[i].reason);
        }
    }
    return err_set(err, AUGURY_ERR_UNSUPPORTED, "unknown_format",
                   "neither XGBoost JSON nor UBJSON, LightGBM text nor ONNX. If it is a model of "
                   "XGBoost's old binary "
                   "format, convert it with an XGBoost before 3.1: b = Booster(); "
                   "b.load_model(old); b.save_model('m.json')");
}

/* A document of either form begins with "{". In JSON a quote, white space or "}" comes next, in
 * UBJSON a type marker. */
static int
find_format(struct bytes file, enum wire_format *out_format, struct err *err)
{
    struct bytes text = text_trim(file);

    if (text.len == 0) {
        return err_set(err, AUGURY_ERR_INVALID, "empty_file", "the file is empty");
    }
    if (has_prefix(text, "{", 1) &&
        (text.len == 1 || memchr("\" \t\r\n}", text.data[1], 6) != NULL)) {
        *out_format = WIRE_JSON;
        return 0;
    }
    if (has_prefix(file, "{", 1) && memchr("LlIiU#$N", file.data[1], 8) != NULL) {
        *out_format = WIRE_UBJSON;
        return 0;
    }
    return refuse(file, err);
}

/* ---- iterations ---------------------------------------------------------------------------- */

int
import_refuse_iterations(const struct import *import, const char *what, struct err *err)
{
    const struct model_import_options *options = import->options;

    return options->is_best_iteration || options->iteration_begin > 0 || options->iteration_end > 0
               ? err_set(err, AUGURY_ERR_INVALID, "invalid_iterations",
                         "%s keeps no iterations: import it whole", what)
               : 0;
}

static int
check_options(const struct model_import_options *options, struct err *err)
{
    bool is_range = options->iteration_begin > 0 || options->iteration_end > 0;

    if (options->is_best_iteration && is_range) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_iterations",
                       "a range of iterations and the best iteration contradict each other: ask "
                       "for one of them");
    }
    if (options->iteration_end > 0 && options->iteration_begin >= options->iteration_end) {
        return err_set(err, AUGURY_ERR_INVALID, "invalid_iterations",
                       "iterations %u up to, not including, %u are none", options->iteration_begin,
                       options->iteration_end);
    }
    return 0;
}

/* ---- the import ---------------------------------------------------------------------------- */

/* Asks the compiled model what the file's self-test asks. */
static int
run_self_test(struct import *import, struct bytes blob, struct err *err)
{
    const struct replay *test = import->self_test;
    struct model model;

    if (test == NULL) {
        return 0;
    }
    int rc = model_open(blob, MODEL_CHECK_ALL, &model, err);
    if (rc == 0 && import->self_test_width != replay_width(&model, test->output)) {
        return err_set(err, AUGURY_ERR_INVALID, test->code,
                       "a row of the self-test has %u answers, the model gives %u",
                       import->self_test_width, replay_width(&model, test->output));
    }
    return rc == 0 ? replay_run(&model, test, &import->arena, err) : rc;
}

/* A document in JSON or UBJSON. */
static int
read_document(struct import *import, struct bytes file, struct neutral_model *out_model,
              struct err *err)
{
    struct wire_limits limits = {
        .depth = IMPORT_DEPTH,
        .values = file.len,
        .flags = WIRE_NUMBERS_AS_TEXT | WIRE_NONFINITE | WIRE_BORROW,
    };
    enum wire_format format = WIRE_JSON;
    struct wire_value document;
    int rc = find_format(file, &format, err);

    if (rc == 0) {
        import->format = format == WIRE_JSON ? "json" : "ubjson";
        rc = wire_decode(format, file, &limits, &import->arena, &document, err);
    }
    if (rc != 0) {
        return rc;
    }
    return augury_json_is(&document) ? augury_json_read(import, &document, out_model, err)
                                     : xgboost_read(import, &document, out_model, err);
}

static int
import_run(struct import *import, struct bytes file, struct buf *out_blob, struct err *err)
{
    struct neutral_model model;
    size_t start = out_blob->len;
    bool is_lightgbm = has_prefix(file, "tree\n", 5) || has_prefix(file, "tree\r\n", 6);
    int rc = is_lightgbm          ? lightgbm_read(import, file, &model, err)
             : onnx_is_file(file) ? onnx_read(import, file, &model, err)
                                  : read_document(import, file, &model, err);

    if (rc == 0) {
        rc = schema_apply(import, &model, err);
    }
    if (rc == 0) {
        rc = neutral_check(&model, &import->arena, err);
    }
    if (rc == 0) {
        rc = blob_compile(&model, &import->arena, out_blob, err);
    }
    if (rc == 0) {
        struct bytes all = buf_view(out_blob);
        rc = run_self_test(import, bytes_of(all.data + start, all.len - start), err);
        if (rc != 0) {
            out_blob->len = start;
        }
    }
    return rc;
}

int
model_import(struct bytes file, const struct model_import_options *options, struct buf *out_blob,
             struct err *err)
{
    struct import import = {.options = options};
    size_t bytes = 0;
    int rc = check_options(options, err);

    if (rc != 0) {
        return rc;
    }
    if (__builtin_mul_overflow(file.len, (size_t)IMPORT_ARENA_FACTOR, &bytes) ||
        __builtin_add_overflow(bytes, (size_t)IMPORT_ARENA_BASE + options->schema.len * 40,
                               &bytes) ||
        arena_init(&import.arena, bytes) != 0) {
        return err_set(err, AUGURY_ERR_NOMEM, "out_of_memory",
                       "no address space to read a file of %zu bytes", file.len);
    }
    rc = import_run(&import, file, out_blob, err);
    arena_fini(&import.arena);
    return rc;
}
