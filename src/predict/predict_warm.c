/* SPDX-License-Identifier: MIT */
/*
 * predict_warm.c - the rows that an old version was asked for most, computed for a new one.
 *
 * Invariants:
 * 1. What is put is what a worker would put: the margins of a row under the digest of that row. So
 *    a row that is not what its entry's key says makes an entry that nobody asks for, never a wrong
 *    answer.
 * 2. The registry's snapshot is held within a call alone: a version that is taken out between two
 *    slices ends the warming.
 */
#include "predict_asking.h"

#include <stdlib.h>
#include <string.h>

struct predict_warm {
    struct registry *registry;
    struct cache *cache;
    char model[MODEL_NAME_MAX + 1];
    uint32_t version; /* the new one */
    uint32_t ttl_s;
    size_t row_bytes;
    size_t count, done, room;
    uint8_t *rows;
    uint8_t *margins; /* of a slice */
    uint8_t *scratch;
};

/* What cache_hottest() is looked through for. */
struct gathering {
    struct predict_warm *warm;
    struct row_key key; /* of the old version's rows, without the row's part */
    size_t words_bytes;
};

/* ---- the same features ----------------------------------------------------------------------- */

static bool
is_same_feature(const struct model *a, const struct model *b, uint32_t i)
{
    struct model_feature mine = model_feature(a, i);
    struct model_feature other = model_feature(b, i);

    if (!bytes_equal(mine.name, other.name) || mine.type != other.type ||
        mine.level_count != other.level_count ||
        mine.is_missing_allowed != other.is_missing_allowed ||
        mine.is_unknown_allowed != other.is_unknown_allowed) {
        return false;
    }
    for (uint32_t level = 0; level < mine.level_count; level++) {
        if (!bytes_equal(model_feature_level(a, i, level), model_feature_level(b, i, level))) {
            return false;
        }
    }
    return true;
}

/* Whether a canonical row of the one is one of the other. */
static bool
is_same_schema(const struct model *a, const struct model *b)
{
    bool is_same = a->number == b->number && a->feature_count == b->feature_count;

    for (uint32_t i = 0; is_same && i < a->feature_count; i++) {
        is_same = is_same_feature(a, b, i);
    }
    return is_same;
}

/* ---- gathering ------------------------------------------------------------------------------- */

static void
on_hot(void *arg, struct bytes text, struct bytes value, unsigned hits)
{
    struct gathering *gathering = arg;
    struct predict_warm *warm = gathering->warm;
    const struct row_key *key = &gathering->key;

    (void)hits;
    if (warm->count == warm->room || text.len != key->row_at + DIGEST_HEX_BYTES ||
        memcmp(text.data, key->text, key->row_at) != 0 ||
        value.len != gathering->words_bytes + warm->row_bytes) {
        return;
    }
    memcpy(warm->rows + warm->count * warm->row_bytes, value.data + gathering->words_bytes,
           warm->row_bytes);
    warm->count++;
}

static int
nothing(struct err *err, const char *why)
{
    err_set(err, AUGURY_ERR_STATE, "not_warmed", "%s", why);
    return AUGURY_NOT_FOUND;
}

static int
no_memory(struct err *err)
{
    return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "warming: out of memory");
}

static uint8_t *
alloc_aligned(size_t bytes)
{
    return aligned_alloc(ROW_ALIGN, (bytes + ROW_ALIGN) / ROW_ALIGN * ROW_ALIGN);
}

static int
make_room(struct predict_warm *warm, const struct model *to, struct err *err)
{
    size_t margins_bytes = to->output_count * model_number_bytes(to);

    warm->rows = alloc_aligned(warm->room * warm->row_bytes);
    warm->margins = alloc_aligned(PREDICT_WARM_SLICE * margins_bytes);
    warm->scratch = alloc_aligned(model_scratch_bytes(to, PREDICT_WARM_SLICE));
    return warm->rows != NULL && warm->margins != NULL && warm->scratch != NULL ? 0
                                                                                : no_memory(err);
}

/* Within the registry's snapshot. */
static int
gather(struct predict_warm *warm, const struct registry_model *from,
       const struct registry_model *to, struct err *err)
{
    struct gathering gathering = {
        .warm = warm, .words_bytes = from->model.output_count * model_number_bytes(&from->model)};

    if (from->entry.version == to->entry.version) {
        return nothing(err, "the label is there already");
    }
    if (!is_same_schema(&from->model, &to->model)) {
        return nothing(err, "the versions do not read the same features");
    }
    warm->row_bytes = from->model.feature_count * model_number_bytes(&from->model);
    if (warm->row_bytes > PREDICT_KEPT_ROW_BYTES) {
        return nothing(err, "rows are larger than those that the cache keeps");
    }
    memcpy(warm->model, to->entry.name, sizeof(warm->model));
    warm->version = to->entry.version;
    predict_key_begin(&gathering.key, from);
    int rc = make_room(warm, &to->model, err);
    if (rc == 0) {
        rc = cache_hottest(warm->cache, CACHE_PREDICTION, on_hot, &gathering, SIZE_MAX);
        if (rc != 0) {
            return err_set(err, rc, "cache", "the cache: %s", augury_strerror(rc));
        }
    }
    return rc == 0 && warm->count == 0
               ? nothing(err, "the cache has no rows that were asked for twice")
               : rc;
}

int
predict_warm_new(const struct predict_warm_options *options, struct predict_warm **out_warm,
                 struct err *err)
{
    struct predict_warm *warm = calloc(1, sizeof(*warm));
    const struct registry_model *from = NULL;
    const struct registry_model *to = NULL;
    struct bytes name = bytes_of_text(options->model);

    if (warm == NULL) {
        return no_memory(err);
    }
    *warm = (struct predict_warm){.registry = options->registry,
                                  .cache = options->cache,
                                  .ttl_s = options->ttl_s,
                                  .room = options->rows_max};
    int rc = registry_snapshot_begin(warm->registry);
    if (rc != 0) {
        predict_warm_free(&warm);
        return err_set(err, rc, "registry_unreadable", "the model environment cannot be read: %s",
                       augury_strerror(rc));
    }
    rc = registry_find(warm->registry, name, options->from, &from, err);
    if (rc == 0) {
        rc = registry_find(warm->registry, name, options->to, &to, err);
    }
    if (rc == 0) {
        rc = gather(warm, from, to, err);
    }
    registry_snapshot_end(warm->registry);
    if (rc != 0) {
        predict_warm_free(&warm);
        return rc;
    }
    *out_warm = warm;
    return 0;
}

void
predict_warm_free(struct predict_warm **warm)
{
    if (*warm != NULL) {
        free((*warm)->rows);
        free((*warm)->margins);
        free((*warm)->scratch);
        free(*warm);
        *warm = NULL;
    }
}

/* ---- computing ------------------------------------------------------------------------------- */

/* Puts the rows of a slice; the first that does not fit ends it. */
static int
put_rows(struct predict_warm *warm, const struct registry_model *found, size_t count,
         const struct cache_item *common)
{
    struct cache_item item = *common;
    size_t margins_bytes = found->model.output_count * model_number_bytes(&found->model);
    struct row_key key;
    int rc = 0;
    uint8_t *value = malloc(margins_bytes + warm->row_bytes);

    if (value == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    predict_key_begin(&key, found);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const uint8_t *row = warm->rows + warm->done * warm->row_bytes;
        digest_to_hex(cache_digest(warm->cache, bytes_of(row, warm->row_bytes)),
                      key.text + key.row_at);
        memcpy(value, warm->margins + i * margins_bytes, margins_bytes);
        memcpy(value + margins_bytes, row, warm->row_bytes);
        item.key = bytes_of(key.text, key.row_at + DIGEST_HEX_BYTES);
        item.value = bytes_of(value, margins_bytes + warm->row_bytes);
        rc = cache_put(warm->cache, &item);
        warm->done += rc == 0 ? 1 : 0;
    }
    free(value);
    return rc;
}

/* Within the registry's snapshot. */
static int
slice(struct predict_warm *warm, size_t count, struct cache_item *item, struct err *err)
{
    const struct registry_model *found = NULL;
    char version[U64_TEXT_MAX];
    size_t len = u64_to_text(warm->version, version);
    int rc = registry_find(warm->registry, bytes_of_text(warm->model), bytes_of(version, len),
                           &found, err);

    if (rc != 0) {
        return rc;
    }
    model_margins(&found->model, warm->rows + warm->done * warm->row_bytes, count, warm->scratch,
                  warm->margins);
    item->tags[0] = cache_tag(bytes_of_text(warm->model));
    rc = put_rows(warm, found, count, item);
    return rc == 0 || rc == AUGURY_ERR_FULL
               ? rc
               : err_set(err, rc, "cache", "the cache: %s", augury_strerror(rc));
}

int
predict_warm_slice(struct predict_warm *warm, size_t max, uint64_t now_wall_ms, struct err *err)
{
    size_t left = warm->count - warm->done;
    size_t count = max < PREDICT_WARM_SLICE ? max : PREDICT_WARM_SLICE;
    struct cache_item item = {.class = CACHE_PREDICTION,
                              .created_wall_ms = now_wall_ms,
                              .expires_wall_ms = now_wall_ms + (uint64_t)warm->ttl_s * 1000,
                              .stamp = cache_stamp(warm->cache)};

    int rc = registry_snapshot_begin(warm->registry);
    if (rc != 0) {
        return err_set(err, rc, "registry_unreadable", "the model environment cannot be read: %s",
                       augury_strerror(rc));
    }
    rc = slice(warm, count < left ? count : left, &item, err);
    registry_snapshot_end(warm->registry);
    return rc == 0 && warm->done == warm->count ? AUGURY_END : rc;
}

size_t
predict_warm_count(const struct predict_warm *warm)
{
    return warm->count;
}

size_t
predict_warm_done(const struct predict_warm *warm)
{
    return warm->done;
}
