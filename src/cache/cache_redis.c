/* SPDX-License-Identifier: MIT */
/*
 * cache_redis.c - a worker's client of Redis: lookups on one connection, puts on the other, so that
 * no lookup waits behind a large put, and a breaker over both. Closed: commands are sent. Open:
 * nothing is sent, a lookup costs one compare. Trying: connections are made and greeted; when both
 * are answered in a command's time, the breaker closes.
 * Invariants: (1) a lookup that was accepted is told its end once; (2) a value is believed only
 * after its check, its key and its mark; (3) the breaker's state is set before calls are told their
 * end, so what they ask next is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "cache_priv.h"
#include "redis_line.h"
#include "redis_marks.h"
#include "redis_value.h"

enum { LINE_ASK, LINE_TELL };
_Static_assert(LINE_TELL + 1 == CACHE_REDIS_LINES, "both lines are watched");

enum breaker { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_TRYING };

enum {
    FAILURES_MAX = 3,  /* one after the other, then the breaker opens */
    PUT_PATIENCE = 10, /* times the time of a command: nobody waits for a put */
    PUT_FLUSH_BYTES = 64 << 10,
    TICKS_A_TIMEOUT = 4,
    TICK_MAX_MS = 50,
    IDLE_TICKS = 16,  /* before the timer is stopped */
    FUTURE_MS = 5000, /* clocks of machines differ by less, or the value is not believed */
};

static const enum stats_id hits[CACHE_CLASS_COUNT] = {
    [CACHE_PREDICTION] = STATS_REDIS_HITS_PREDICTION, [CACHE_FEATURE] = STATS_REDIS_HITS_FEATURE,
    [CACHE_LINEUP] = STATS_REDIS_HITS_LINEUP,         [CACHE_MODEL] = STATS_REDIS_HITS_MODEL,
    [CACHE_RESPONSE] = STATS_REDIS_HITS_RESPONSE,     [CACHE_OBJECT] = STATS_REDIS_HITS_OBJECT,
};

struct cache_redis {
    struct redis_server server;
    struct redis_line lines[CACHE_REDIS_LINES];
    struct cache_redis_loop loop;
    struct cache *cache;
    const struct cache_marks *marks;
    const struct cache_invalid *invalid;
    struct stats_slot *stats;
    uint32_t memory_ttl_s[CACHE_CLASS_COUNT];
    uint32_t redis_ttl_s[CACHE_CLASS_COUNT];
    enum breaker breaker;
    unsigned failures; /* one after the other */
    uint64_t retry_ms; /* when open */
    uint32_t backoff_ms;
    uint64_t random;
    uint32_t timer_ms;
    unsigned idle_ticks;
    uint32_t round_trip_us;
};

/* A lookup under way; its keys' texts follow. */
struct lookup {
    struct cache_redis *redis;
    cache_redis_fn *fn;
    void *arg;
    uint64_t begin_ns;
    enum cache_class class;
    size_t count;
    struct bytes keys[CACHE_REDIS_KEYS_MAX];
    uint8_t texts[];
};

/* ---- the timer ----------------------------------------------------------------------------- */

static void
timer_set(struct cache_redis *redis, uint32_t every_ms)
{
    if (redis->timer_ms != every_ms) {
        redis->timer_ms = every_ms;
        redis->loop.timer(redis->loop.arg, every_ms);
    }
}

static uint32_t
tick_ms(const struct cache_redis *redis)
{
    uint32_t ms = redis->server.timeout_ms / TICKS_A_TIMEOUT;

    return ms < 1 ? 1 : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
}

/* Runs while anything is waited for, and a little longer, so that it does not come and go with
 * every lookup. */
static void
timer_follow(struct cache_redis *redis, uint64_t now_ms)
{
    if (redis->breaker == BREAKER_OPEN) {
        timer_set(redis, redis->retry_ms > now_ms ? (uint32_t)(redis->retry_ms - now_ms) : 1);
        return;
    }
    bool is_idle = redis->breaker == BREAKER_CLOSED &&
                   redis_line_is_idle(&redis->lines[LINE_ASK]) &&
                   redis_line_is_idle(&redis->lines[LINE_TELL]);
    redis->idle_ticks = is_idle ? redis->idle_ticks + 1 : 0;
    if (redis->idle_ticks < IDLE_TICKS) {
        timer_set(redis, tick_ms(redis));
    } else {
        timer_set(redis, 0);
    }
}

/* ---- the breaker --------------------------------------------------------------------------- */

static void
breaker_open(struct cache_redis *redis, uint64_t now_ms, int rc)
{
    stats_add(redis->stats, STATS_REDIS_OPENED, redis->breaker == BREAKER_CLOSED ? 1 : 0);
    stats_set(redis->stats, STATS_REDIS_UP, 0);
    redis->breaker = BREAKER_OPEN;
    redis->retry_ms = now_ms + redis_backoff_next(&redis->backoff_ms, &redis->random);
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        redis_line_down(&redis->lines[i], rc);
    }
}

static void
breaker_try(struct cache_redis *redis, uint64_t now_ms)
{
    redis->breaker = BREAKER_TRYING;
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        int rc = redis_line_connect(&redis->lines[i], now_ms);
        if (rc != 0) {
            breaker_open(redis, now_ms, rc);
            return;
        }
    }
}

/* After every event and tick. */
static void
breaker_follow(struct cache_redis *redis, uint64_t now_ms)
{
    if (redis->breaker == BREAKER_CLOSED && redis->failures >= FAILURES_MAX) {
        breaker_open(redis, now_ms, AUGURY_ERR_TIMEOUT);
    } else if (redis->breaker == BREAKER_TRYING &&
               redis->lines[LINE_ASK].state == REDIS_LINE_READY &&
               redis->lines[LINE_TELL].state == REDIS_LINE_READY) {
        redis->breaker = BREAKER_CLOSED;
        redis->failures = 0;
        stats_set(redis->stats, STATS_REDIS_UP, 1);
    }
    timer_follow(redis, now_ms);
}

/* An answer in time. The waiting time begins anew only now: a server that greets and then fails
 * would else be asked again and again. */
static void
note_success(struct cache_redis *redis)
{
    redis->failures = 0;
    redis->backoff_ms = 0;
}

static void
note_failure(struct cache_redis *redis, int rc)
{
    stats_add(redis->stats, rc == AUGURY_ERR_TIMEOUT ? STATS_REDIS_TIMEOUTS : STATS_REDIS_ERRORS,
              1);
    redis->failures++;
}

/* ---- lookups ------------------------------------------------------------------------------- */

/* By what this machine knows, of itself and of others. */
static bool
is_invalidated(const struct cache_redis *redis, const struct cache_item *item)
{
    struct cache_entry entry = {
        .stamp = item->stamp, .class = (uint8_t)item->class, .text = item->key};

    memcpy(entry.tags, item->tags, sizeof(entry.tags));
    /* Of a ban that has ended only its stamp is left: what is older may have matched it. */
    return cache_death_of(redis->invalid, &entry) != CACHE_ALIVE ||
           atomic_load_explicit(&redis->invalid->retired, memory_order_acquire) > item->stamp;
}

/* The hit goes into memory too, for as long as its class lives there; what was put here since the
 * question was sent is newer, and stays. A row's key in memory is not the one that machines share:
 * who asked for it puts it there. */
static void
promote(struct cache_redis *redis, struct cache_item item, uint64_t now_wall_ms)
{
    uint64_t until = now_wall_ms + (uint64_t)redis->memory_ttl_s[item.class] * 1000;

    item.expires_wall_ms = until < item.expires_wall_ms ? until : item.expires_wall_ms;
    item.is_copy = true;
    if (redis->cache != NULL && item.class != CACHE_PREDICTION) {
        (void)cache_put(redis->cache, &item); /* a drop is counted there */
    }
}

/* false: not to be believed, or no longer true. */
static bool
value_is_good(struct cache_redis *redis, struct redis_value *value, uint64_t now_wall_ms)
{
    struct cache_item *item = &value->item;

    if (item->created_wall_ms > now_wall_ms + FUTURE_MS || item->expires_wall_ms <= now_wall_ms) {
        return false;
    }
    return cache_marks_to_stamp(redis->marks, value->mark, item->key, item->class == CACHE_RESPONSE,
                                &item->stamp) &&
           !is_invalidated(redis, item);
}

static void
take_one(const struct lookup *lookup, struct bytes key, const redisReply *reply,
         struct cache_redis_found *out_found)
{
    struct cache_redis *redis = lookup->redis;
    struct redis_value value;
    uint64_t now_wall_ms = clock_wall_ms();

    *out_found = (struct cache_redis_found){.rc = AUGURY_NOT_FOUND};
    if (reply->type != REDIS_REPLY_STRING) {
        stats_add(redis->stats, STATS_REDIS_MISSES, 1);
        return;
    }
    bool is_whole =
        redis_value_decode(bytes_of(reply->str, reply->len), lookup->class, key, &value);
    if (!is_whole || !value_is_good(redis, &value, now_wall_ms)) {
        stats_add(redis->stats, is_whole ? STATS_REDIS_OUTDATED : STATS_REDIS_BAD_VALUES, 1);
        stats_add(redis->stats, STATS_REDIS_MISSES, 1);
        return;
    }
    stats_add(redis->stats, hits[lookup->class], 1);
    promote(redis, value.item, now_wall_ms);
    *out_found = (struct cache_redis_found){
        .rc = 0,
        .hit = {.value = value.item.value,
                .created_wall_ms = value.item.created_wall_ms,
                .expires_wall_ms = value.item.expires_wall_ms,
                .stamp = value.item.stamp,
                .stale_s = value.item.stale_s,
                .cost_us = value.item.cost_us},
    };
}

static void
note_round_trip(struct cache_redis *redis, uint64_t begin_ns)
{
    uint64_t took_ns = clock_mono_ns() - begin_ns;
    uint32_t us = took_ns / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(took_ns / 1000) + 1;

    stats_observe(redis->stats, STATS_REDIS_GET, took_ns);
    redis->round_trip_us =
        redis->round_trip_us == 0 ? us : (uint32_t)(((uint64_t)redis->round_trip_us * 7 + us) / 8);
}

static void
on_values(void *arg, const redisReply *reply, int rc)
{
    struct lookup *lookup = arg;
    struct cache_redis_found found[CACHE_REDIS_KEYS_MAX];

    if (rc == 0 && (reply->type != REDIS_REPLY_ARRAY || reply->elements != lookup->count)) {
        rc = AUGURY_ERR_IO; /* an error ("LOADING …") or nonsense */
    }
    if (rc == 0) {
        note_success(lookup->redis);
        note_round_trip(lookup->redis, lookup->begin_ns);
    } else if (rc != AUGURY_ERR_STATE) {
        note_failure(lookup->redis, rc);
    }
    for (size_t i = 0; i < lookup->count; i++) {
        if (rc == 0) {
            take_one(lookup, lookup->keys[i], reply->element[i], &found[i]);
        } else {
            found[i] = (struct cache_redis_found){.rc = rc};
        }
    }
    lookup->fn(lookup->arg, found, lookup->count);
    free(lookup);
}

bool
cache_redis_is_up(const struct cache_redis *redis, enum cache_class class)
{
    return redis != NULL && redis->breaker == BREAKER_CLOSED && redis->redis_ttl_s[class] > 0;
}

uint32_t
cache_redis_round_trip_us(const struct cache_redis *redis)
{
    return redis->round_trip_us;
}

static struct lookup *
lookup_new(const struct bytes *keys, size_t count, size_t texts_bytes)
{
    struct lookup *lookup = malloc(sizeof(*lookup) + texts_bytes);
    size_t at = 0;

    if (lookup == NULL) {
        return NULL;
    }
    lookup->count = count;
    for (size_t i = 0; i < count; i++) {
        memcpy(lookup->texts + at, keys[i].data, keys[i].len);
        lookup->keys[i] = bytes_of(lookup->texts + at, keys[i].len);
        at += keys[i].len;
    }
    return lookup;
}

static void
put_key(const struct cache_redis *redis, struct redis_line *line, struct bytes key)
{
    struct bytes pieces[] = {bytes_of_text(redis->server.prefix), key};

    redis_line_put_pieces(line, pieces, AUGURY_COUNT(pieces));
}

int
cache_redis_get(struct cache_redis *redis, enum cache_class class, const struct bytes *keys,
                size_t count, cache_redis_fn *fn, void *arg)
{
    struct redis_line *line = &redis->lines[LINE_ASK];
    size_t bytes = 0;

    AUGURY_ASSERT(count > 0 && count <= CACHE_REDIS_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        AUGURY_ASSERT(keys[i].len > 0 && keys[i].len <= CACHE_KEY_TEXT_MAX);
        bytes += keys[i].len;
    }
    if (!cache_redis_is_up(redis, class)) {
        return AUGURY_NOT_FOUND;
    }
    struct lookup *lookup =
        redis_line_has_room(line, bytes + count * (sizeof(redis->server.prefix) + 16))
            ? lookup_new(keys, count, bytes)
            : NULL;
    if (lookup == NULL) {
        stats_add(redis->stats, STATS_REDIS_DROPPED, 1);
        return AUGURY_NOT_FOUND;
    }
    lookup->redis = redis;
    lookup->fn = fn;
    lookup->arg = arg;
    lookup->class = class;
    lookup->begin_ns = clock_mono_ns();
    redis_line_put_count(line, count + 1);
    redis_line_put_text(line, "MGET");
    for (size_t i = 0; i < count; i++) {
        put_key(redis, line, keys[i]);
    }
    redis_line_call(line, clock_mono_ms() + redis->server.timeout_ms, on_values, lookup);
    redis_line_flush(line);
    timer_set(redis, tick_ms(redis));
    redis->idle_ticks = 0;
    return 0;
}

/* ---- puts ---------------------------------------------------------------------------------- */

static void
on_put(void *arg, const redisReply *reply, int rc)
{
    struct cache_redis *redis = arg;

    if (rc == 0 && reply->type == REDIS_REPLY_STATUS) {
        note_success(redis);
        stats_add(redis->stats, STATS_REDIS_PUTS, 1);
    } else if (rc == 0) {
        stats_add(redis->stats, STATS_REDIS_ERRORS, 1); /* read-only or full: lookups go on */
    } else if (rc != AUGURY_ERR_STATE) {
        note_failure(redis, rc);
    }
}

static void
send_put(struct cache_redis *redis, const struct redis_value *value, uint64_t life_ms)
{
    struct redis_line *line = &redis->lines[LINE_TELL];
    uint8_t header[REDIS_VALUE_HEADER];
    struct bytes pieces[] = {bytes_of(header, sizeof(header)), value->item.key, value->item.value};

    redis_value_encode(value, header);
    redis_line_put_count(line, 5);
    redis_line_put_text(line, "SET");
    put_key(redis, line, value->item.key);
    redis_line_put_pieces(line, pieces, AUGURY_COUNT(pieces));
    redis_line_put_text(line, "PX");
    redis_line_put_number(line, life_ms);
    redis_line_call(line, clock_mono_ms() + PUT_PATIENCE * redis->server.timeout_ms, on_put, redis);
    if (line->out.len >= PUT_FLUSH_BYTES) {
        redis_line_flush(line);
    }
    timer_set(redis, tick_ms(redis)); /* the tick sends what has gathered */
    redis->idle_ticks = 0;
}

void
cache_redis_put(struct cache_redis *redis, const struct cache_item *item, uint64_t until_wall_ms)
{
    struct redis_value value = {.item = *item};
    uint64_t now = clock_wall_ms();
    uint64_t expires = item->created_wall_ms;

    if (!cache_redis_is_up(redis, item->class) || item->key.len > CACHE_KEY_TEXT_MAX ||
        item->value.len > CACHE_VALUE_MAX) {
        return;
    }
    expires += (uint64_t)redis->redis_ttl_s[item->class] * 1000;
    expires = until_wall_ms != 0 && until_wall_ms < expires ? until_wall_ms : expires;
    if (expires <= now) {
        return;
    }
    value.item.expires_wall_ms = expires;
    bool is_marked = cache_marks_of_stamp(redis->marks, item->stamp, &value.mark);
    size_t bytes = REDIS_VALUE_HEADER + 2 * item->key.len + item->value.len;
    if (!is_marked || !redis_line_has_room(&redis->lines[LINE_TELL], bytes)) {
        stats_add(redis->stats, STATS_REDIS_DROPPED, 1);
        return;
    }
    send_put(redis, &value, expires - now + (uint64_t)item->stale_s * 1000);
}

/* ---- events -------------------------------------------------------------------------------- */

void
cache_redis_ready(struct cache_redis *redis, unsigned line, unsigned what)
{
    uint64_t now_ms = clock_mono_ms();

    AUGURY_ASSERT(line < CACHE_REDIS_LINES);
    int rc = redis_line_ready(&redis->lines[line], what, now_ms);
    if (rc != 0) {
        stats_add(redis->stats, STATS_REDIS_ERRORS, 1);
        breaker_open(redis, now_ms, rc);
    }
    breaker_follow(redis, now_ms);
}

void
cache_redis_tick(struct cache_redis *redis)
{
    uint64_t now_ms = clock_mono_ms();
    unsigned timeouts = 0;
    int rc = 0;

    if (redis->breaker == BREAKER_OPEN && now_ms >= redis->retry_ms) {
        breaker_try(redis, now_ms);
    }
    for (size_t i = 0; rc == 0 && i < CACHE_REDIS_LINES; i++) {
        rc = redis_line_tick(&redis->lines[i], now_ms, &timeouts);
    }
    if (rc != 0) {
        stats_add(redis->stats,
                  rc == AUGURY_ERR_TIMEOUT ? STATS_REDIS_TIMEOUTS : STATS_REDIS_ERRORS, 1);
        breaker_open(redis, now_ms, rc);
    }
    breaker_follow(redis, now_ms);
}

/* ---- life ---------------------------------------------------------------------------------- */

int
cache_redis_new(const struct cache_redis_options *options, struct cache_redis **out_redis,
                struct err *err)
{
    struct cache_redis *redis = calloc(1, sizeof(*redis));

    if (redis == NULL) {
        return err_set(err, AUGURY_ERR_NOMEM, "no_memory", "out of memory");
    }
    int rc = redis_server_init(&redis->server, &options->server, err);
    for (unsigned i = 0; rc == 0 && i < CACHE_REDIS_LINES; i++) {
        rc = redis_line_init(&redis->lines[i], &redis->server, &options->loop, i);
    }
    if (rc != 0) {
        cache_redis_free(&redis);
        return rc == AUGURY_ERR_NOMEM ? err_set(err, rc, "no_memory", "out of memory") : rc;
    }
    redis->loop = options->loop;
    redis->cache = options->cache;
    redis->marks = options->board->marks;
    redis->invalid = options->board->invalid;
    redis->stats = options->stats;
    memcpy(redis->memory_ttl_s, options->memory_ttl_s, sizeof(redis->memory_ttl_s));
    memcpy(redis->redis_ttl_s, options->redis_ttl_s, sizeof(redis->redis_ttl_s));
    redis->random = clock_mono_ns();
    breaker_try(redis, clock_mono_ms());
    timer_follow(redis, clock_mono_ms());
    *out_redis = redis;
    return 0;
}

void
cache_redis_free(struct cache_redis **redis)
{
    if (*redis == NULL) {
        return;
    }
    (*redis)->breaker = BREAKER_OPEN;
    for (size_t i = 0; i < CACHE_REDIS_LINES; i++) {
        redis_line_down(&(*redis)->lines[i], AUGURY_ERR_STATE);
        redis_line_fini(&(*redis)->lines[i]);
    }
    if ((*redis)->timer_ms != 0) {
        (*redis)->loop.timer((*redis)->loop.arg, 0);
    }
    free(*redis);
    *redis = NULL;
}
