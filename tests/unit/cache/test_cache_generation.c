/* SPDX-License-Identifier: MIT */
/*
 * test_cache_generation.c - classes and tags: what dies, what lives, what comes too late, what is
 * told to others, what a keeper remembers that takes over at any moment.
 */
#include "cache_case.h"

#include "../../tap.h"

enum { MIB = 1 << 20 };

static int
put(struct cache_case *c, enum cache_class class, const char *key, const char *tag, uint64_t stamp)
{
    struct cache_item item = {.class = class,
                              .key = bytes_of_text(key),
                              .value = bytes_of_text(key),
                              .created_wall_ms = case_now,
                              .expires_wall_ms = case_now + 600000,
                              .stamp = stamp};

    item.tags[1] = tag == NULL ? 0 : cache_tag(bytes_of_text(tag));
    int rc = cache_put(c->cache, &item);
    return rc == 0 ? case_drain(c) : rc;
}

static bool
has(struct cache_case *c, enum cache_class class, const char *key)
{
    struct cache_hit hit;

    int rc = cache_snapshot_begin(c->cache);
    rc = rc == 0 ? case_look(c, class, bytes_of_text(key), case_now, &hit) : rc;
    cache_snapshot_end(c->cache);
    return rc == 0;
}

static void
an_invalidation_kills_its_own_and_answers_rendered_from_them(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    uint64_t stamp = cache_stamp(c.cache);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", stamp), 0);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:ep:1", "ep", stamp), 0);
    CHECK_INT(put(&c, CACHE_RESPONSE, "response:wp", "wp", stamp), 0);
    CHECK_INT(put(&c, CACHE_RESPONSE, "response:ep", "ep", stamp), 0);
    CHECK_INT(put(&c, CACHE_OBJECT, "object:a", NULL, stamp), 0);
    CHECK_INT(put(&c, CACHE_FEATURE, "feature:v:1", "view:v", stamp), 0);

    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    CHECK(!has(&c, CACHE_RESPONSE, "response:wp"));
    CHECK(has(&c, CACHE_PREDICTION, "prediction:ep:1"));
    CHECK(has(&c, CACHE_RESPONSE, "response:ep"));
    CHECK(has(&c, CACHE_OBJECT, "object:a"));
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_DEAD_GENERATION), 2);

    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("view:v")), 0);
    CHECK(!has(&c, CACHE_FEATURE, "feature:v:1"));
    CHECK(!has(&c, CACHE_RESPONSE, "response:ep"));
    CHECK(has(&c, CACHE_OBJECT, "object:a"));

    CHECK_INT(put(&c, CACHE_RESPONSE, "response:ep", "ep", cache_stamp(c.cache)), 0);
    CHECK(has(&c, CACHE_RESPONSE, "response:ep"));
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_PREDICTION), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:ep:1"));
    CHECK(!has(&c, CACHE_RESPONSE, "response:ep"));
    CHECK(has(&c, CACHE_OBJECT, "object:a"));
    case_fini(&c);
}

static void
a_purge_takes_rendered_answers_and_late_puts_with_it(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    uint64_t stamp = cache_stamp(c.cache);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", stamp), 0);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:2", "wp", stamp), 0);
    CHECK_INT(put(&c, CACHE_RESPONSE, "response:wp", "wp", stamp), 0);
    CHECK_INT(cache_keeper_purge(c.cache, bytes_of_text("prediction:wp:1")), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    CHECK(!has(&c, CACHE_RESPONSE, "response:wp"));
    CHECK(has(&c, CACHE_PREDICTION, "prediction:wp:2"));
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", stamp), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_PUTS_LATE), 1);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", cache_stamp(c.cache)), 0);
    CHECK(has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    CHECK_INT(put(&c, CACHE_RESPONSE, "response:a", "wp", cache_stamp(c.cache)), 0);
    CHECK_INT(put(&c, CACHE_RESPONSE, "response:b", "wp", cache_stamp(c.cache)), 0);
    CHECK_INT(cache_keeper_purge(c.cache, bytes_of_text("response:a")), 0);
    CHECK(!has(&c, CACHE_RESPONSE, "response:a"));
    CHECK(has(&c, CACHE_RESPONSE, "response:b"));
    case_fini(&c);
}

static void
a_late_put_does_not_displace_a_newer_entry(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    uint64_t before = cache_stamp(c.cache);
    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", cache_stamp(c.cache)), 0);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", before), 0);
    CHECK(has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    /* A stamp that the clock has not reached is not believed. */
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:2", "wp", UINT64_MAX), 0);
    CHECK(has(&c, CACHE_PREDICTION, "prediction:wp:2"));
    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:wp:2"));
    case_fini(&c);
}

static void
what_is_dead_is_swept_in_one_round_and_then_nothing_is_walked(void)
{
    struct cache_case c;
    struct cache_usage usage;
    char key[64];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "prediction:%s:%d", i % 3 == 0 ? "wp" : "ep", i);
        CHECK_INT(put(&c, CACHE_PREDICTION, key, i % 3 == 0 ? "wp" : "ep", 0), 0);
    }
    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    for (int i = 0; i < 200 && c.cache->keeper.dead.done < cache_stamp(c.cache); i++) {
        CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    }
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 2000);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_DEAD_SWEPT), 1000);
    CHECK_INT(c.cache->keeper.dead.done, cache_stamp(c.cache));
    case_fini(&c);
}

/* Committed, but the keeper was killed before the board knew: the next one makes it known. */
static void
a_keeper_killed_after_the_commit_has_invalidated(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:wp:1", "wp", 0), 0);
    CHECK_INT(put(&c, CACHE_PREDICTION, "prediction:ep:1", "ep", 0), 0);
    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    memset(c.board->invalid, 0, cache_invalid_bytes());
    CHECK(has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    cache_close(&c.cache);
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    CHECK(has(&c, CACHE_PREDICTION, "prediction:ep:1"));
    CHECK_INT(cache_stamp(c.cache), 1);

    /* A process without a board reads it from the environment. */
    cache_close(&c.cache);
    struct cache_options tool = {.dir = c.dir, .map_bytes = c.map_bytes};
    CHECK_INT(cache_open(&tool, &c.cache, NULL, NULL), 0);
    CHECK(!has(&c, CACHE_PREDICTION, "prediction:wp:1"));
    CHECK(has(&c, CACHE_PREDICTION, "prediction:ep:1"));
    case_fini(&c);
}

/* The board knows more than an environment that was made anew; a restart must not forget it. */
static void
a_new_environment_takes_over_the_clock(void)
{
    struct cache_case c;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    for (int i = 0; i < 5; i++) {
        CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_OBJECT), 0);
    }
    cache_keeper_replace(c.cache);
    CHECK_INT(put(&c, CACHE_OBJECT, "object:a", NULL, cache_stamp(c.cache)), 0);
    cache_close(&c.cache);
    memset(c.board->invalid, 0, cache_invalid_bytes());
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    CHECK_INT(cache_stamp(c.cache), 5);
    CHECK(has(&c, CACHE_OBJECT, "object:a"));
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_OBJECT), 0);
    CHECK(!has(&c, CACHE_OBJECT, "object:a"));
    case_fini(&c);
}

struct heard {
    int count[CACHE_NEWS_FLUSH + 1];
    char last[64];
};

static void
hear(void *arg, enum cache_news_kind kind, struct bytes text)
{
    struct heard *heard = arg;

    heard->count[kind]++;
    snprintf(heard->last, sizeof(heard->last), "%.*s", (int)text.len,
             text.len == 0 ? "" : (const char *)text.data);
}

static void
others_are_told_what_was_invalidated(void)
{
    struct heard heard = {.last = ""};
    struct cache_case c;
    struct err err;
    uint64_t ticket, entries;

    CHECK(case_begin(&c, 64 * MIB, 1 * MIB));
    cache_keeper_on_news(c.cache, hear, &heard);
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = bytes_of_text("object:a"),
                              .created_wall_ms = case_now,
                              .expires_wall_ms = case_now + 1000};
    CHECK_INT(cache_put(c.cache, &item), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(heard.count[CACHE_NEWS_KEY], 0);
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT_IF_ABSENT, &item, 0, &ticket), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(heard.count[CACHE_NEWS_KEY], 0); /* it was there */
    CHECK_INT(cache_order(c.cache, CACHE_ORDER_PUT, &item, 0, &ticket), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK_INT(heard.count[CACHE_NEWS_KEY], 1);
    CHECK_TEXT(heard.last, "object:a");
    CHECK_INT(cache_keeper_purge(c.cache, bytes_of_text("object:b")), AUGURY_NOT_FOUND);
    CHECK_INT(heard.count[CACHE_NEWS_KEY], 2); /* others may have it */
    CHECK_INT(cache_keeper_invalidate_tag(c.cache, bytes_of_text("wp")), 0);
    CHECK_INT(heard.count[CACHE_NEWS_TAG], 1);
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_LINEUP), 0);
    CHECK_INT(heard.count[CACHE_NEWS_CLASS], 1);
    CHECK_TEXT(heard.last, "lineup");
    CHECK_INT(cache_keeper_ban(c.cache, bytes_of_text("x*"), &err), 0);
    CHECK_INT(heard.count[CACHE_NEWS_BAN], 1);
    CHECK_TEXT(heard.last, "x*");
    CHECK_INT(cache_keeper_flush(c.cache, &entries), 0);
    CHECK_INT(heard.count[CACHE_NEWS_FLUSH], 1);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(an_invalidation_kills_its_own_and_answers_rendered_from_them);
    TAP_RUN(a_purge_takes_rendered_answers_and_late_puts_with_it);
    TAP_RUN(a_late_put_does_not_displace_a_newer_entry);
    TAP_RUN(what_is_dead_is_swept_in_one_round_and_then_nothing_is_walked);
    TAP_RUN(a_keeper_killed_after_the_commit_has_invalidated);
    TAP_RUN(a_new_environment_takes_over_the_clock);
    TAP_RUN(others_are_told_what_was_invalidated);
    return tap_done();
}
