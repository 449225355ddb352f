/* SPDX-License-Identifier: MIT */
/*
 * predict_elsewhere.c - rows in Redis. A key in memory is made with a secret of this machine, so
 * one that all machines agree on stands for it there: the row's SHA-256, of which 128 bits make no
 * two rows meet whoever chooses them. It costs more, and is made only for rows that are dear.
 */
#include <string.h>

#include "augury/seal.h"
#include "predict_asking.h"

enum { ROW_HEX_BYTES = 32 };

static struct bytes
shared_key(struct asking *asking, const struct part *part, size_t row)
{
    uint8_t digest[SEAL_SHA256_BYTES];
    struct bytes key = predict_part_key(asking, part, row);

    if (seal_sha256(predict_row_canonical(asking, row), digest) != 0) {
        return bytes_of(NULL, 0);
    }
    hex_encode(bytes_of(digest, ROW_HEX_BYTES / 2), asking->key->text + asking->key->row_at);
    return key;
}

static bool
is_dear(const struct asking *asking, size_t rows)
{
    const struct predict_elsewhere *elsewhere = asking->question->elsewhere;

    return (uint64_t)elsewhere->cost_us * rows >=
           (uint64_t)elsewhere->min_cost_us * asking->matrix.row_count + 1;
}

/* Says what is wanted. */
static int
ask(struct asking *asking, const struct part *part, const struct part_missed *missed)
{
    struct predict_elsewhere *elsewhere = asking->question->elsewhere;

    for (size_t i = 0; i < missed->count; i++) {
        struct bytes key = shared_key(asking, part, missed->rows[i]);
        uint8_t *room = arena_alloc(asking->arena, key.len + 1);
        if (key.len == 0 || room == NULL) {
            return 0;
        }
        memcpy(room, key.data, key.len);
        elsewhere->wanted[i] = bytes_of(room, key.len);
    }
    elsewhere->count = missed->count;
    return AUGURY_MORE;
}

/* Memory gets it too, under the key that it has there. */
static void
promote(struct asking *asking, const struct part *part, size_t row, const struct cache_hit *hit)
{
    const struct predict_context *context = asking->context;
    uint64_t until = asking->question->now_wall_ms + (uint64_t)context->ttl_s * 1000;
    struct cache_item item = {
        .class = CACHE_PREDICTION,
        .key = predict_part_key(asking, part, row),
        .value = hit->value,
        .created_wall_ms = hit->created_wall_ms,
        .expires_wall_ms = hit->expires_wall_ms < until ? hit->expires_wall_ms : until,
        .stamp = hit->stamp,
        .tags = {asking->model_tag},
    };

    predict_expires_by(asking, item.expires_wall_ms);
    (void)cache_put(context->cache, &item); /* a drop is counted there */
}

static bool
take(struct asking *asking, const struct part *part, size_t row)
{
    const struct predict_elsewhere *elsewhere = asking->question->elsewhere;
    struct bytes key = shared_key(asking, part, row);

    for (size_t i = 0; i < elsewhere->count; i++) {
        const struct cache_hit *hit = &elsewhere->found[i];
        bool is_young = hit->created_wall_ms >= asking->question->born_from_wall_ms;
        if (is_young && hit->value.len == part->row_bytes &&
            bytes_equal(elsewhere->wanted[i], key)) {
            memcpy(part->words + row * part->row_bytes, hit->value.data, part->row_bytes);
            promote(asking, part, row, hit);
            return true;
        }
    }
    return false;
}

int
predict_elsewhere_find(struct asking *asking, const struct part *part, struct part_missed *missed)
{
    const struct predict_elsewhere *elsewhere = asking->question->elsewhere;
    size_t left = 0;

    if (!elsewhere->is_asked) {
        bool is_wanted = missed->count <= PREDICT_WANTED_MAX && is_dear(asking, missed->count);
        return is_wanted ? ask(asking, part, missed) : 0;
    }
    for (size_t i = 0; elsewhere->count > 0 && i < missed->count; i++) {
        if (!take(asking, part, missed->rows[i])) {
            missed->rows[left++] = missed->rows[i];
        }
    }
    missed->count = elsewhere->count > 0 ? left : missed->count;
    return 0;
}

void
predict_elsewhere_put(struct asking *asking, const struct part *part, size_t row,
                      const struct cache_item *item)
{
    struct cache_item shared = *item;

    if (asking->question->elsewhere == NULL || asking->context->redis == NULL ||
        !is_dear(asking, asking->matrix.row_count)) {
        return;
    }
    shared.key = shared_key(asking, part, row);
    if (shared.key.len > 0) {
        cache_redis_put(asking->context->redis, &shared, 0);
    }
}
