/* SPDX-License-Identifier: MIT */
/*
 * test_cache_ban.c - patterns against fnmatch(3), which somebody else wrote; bans at once, swept,
 * ended, kept over restarts and kills; readers beside a writer.
 */
#include "cache_case.h"

#include <fnmatch.h>
#include <pthread.h>

#include "../../tap.h"

enum { MIB = 1 << 20 };

static void
patterns_match_as_the_shells_do(void)
{
    static const char *const patterns[] = {
        "",
        "*",
        "?",
        "**",
        "a*b",
        "*a*b*",
        "a?c",
        "[abc]",
        "[a-c]x",
        "[!a-c]*",
        "[]a]",
        "[!]a]",
        "a\\*b",
        "*\\?",
        "[a-]",
        "*:*:*",
        "pred*:wp@3#*",
        "*[0-9][0-9]",
        "a*a*a*a*b",
        "prediction:*",
        "*@2#*",
        "[a-c]*[x-z]",
        "?*?",
        "a[b-",
    };
    static const char *const texts[] = {
        "",
        "a",
        "b",
        "ab",
        "abc",
        "axc",
        "cx",
        "dx",
        "]",
        "-",
        "a*b",
        "axb",
        "why?",
        "a:b:c",
        "prediction:wp@3#0123:45",
        "prediction:wp@2#77:1",
        "aaaaab",
        "aaaaaaaaaaaaaaaaaaaaaaac",
        "ax",
        "cz",
        "az",
        "xy",
    };
    for (size_t p = 0; p < AUGURY_COUNT(patterns); p++) {
        struct err err;
        bool is_whole = strcmp(patterns[p], "a[b-") != 0;
        CHECK_INT(cache_ban_check(bytes_of_text(patterns[p]), &err) == 0,
                  is_whole && patterns[p][0] != '\0');
        for (size_t t = 0; is_whole && t < AUGURY_COUNT(texts); t++) {
            bool want = fnmatch(patterns[p], texts[t], 0) == 0;
            bool got = cache_glob_match(bytes_of_text(patterns[p]), bytes_of_text(texts[t]));
            if (got != want) {
                TAP_FAIL("\"%s\" and \"%s\": %d, want %d", patterns[p], texts[t], got, want);
            }
        }
    }
}

/* Random patterns and texts of few letters, where near misses are common. */
static void
random_patterns_match_as_the_shells_do(void)
{
    static const char pieces[][8] = {"*", "?", "a", "b", "c", "[ab]", "[!a]", "[b-c]", "\\*", "*"};
    uint64_t seed = 12345;
    int matches = 0;

    for (int i = 0; i < 200000; i++) {
        char pattern[64] = "", text[16] = "";
        size_t len = 0;
        for (int piece = 0; piece < 6; piece++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            len += (size_t)snprintf(pattern + len, sizeof(pattern) - len, "%s",
                                    pieces[(seed >> 33) % AUGURY_COUNT(pieces)]);
        }
        for (int c = 0; c < 7; c++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[c] = "abc*"[seed >> 33 & 3];
        }
        text[seed >> 40 & 7] = '\0';
        bool want = fnmatch(pattern, text, 0) == 0;
        if (cache_glob_match(bytes_of_text(pattern), bytes_of_text(text)) != want) {
            TAP_FAIL("\"%s\" and \"%s\": want %d", pattern, text, want);
        }
        matches += want ? 1 : 0;
    }
    printf("# %d matches\n", matches);
    CHECK(matches > 3000);
}

static void
a_hostile_pattern_takes_no_time(void)
{
    char pattern[CACHE_BAN_BYTES], text[CACHE_KEY_TEXT_MAX];

    memset(text, 'a', sizeof(text));
    memset(pattern, 'a', sizeof(pattern));
    pattern[0] = '*';
    pattern[sizeof(pattern) - 1] = 'b';
    uint64_t begin = clock_mono_ns();
    for (int i = 0; i < 10; i++) {
        CHECK(!cache_glob_match(bytes_of(pattern, sizeof(pattern)), bytes_of(text, sizeof(text))));
    }
    printf("# %llu ns a match\n", (unsigned long long)(clock_mono_ns() - begin) / 10);
    CHECK(clock_mono_ns() - begin < UINT64_C(10) * 100000000);
}

static void
put_some(struct cache_case *c, const char *model, int count)
{
    char key[64];

    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "prediction:%s@3#0:%04d", model, i);
        (void)case_put_at(c, CACHE_PREDICTION, bytes_of_text(key), bytes_of_text("x"), case_now,
                          600);
    }
    (void)case_drain(c);
}

static bool
has(struct cache_case *c, const char *model, int i)
{
    struct cache_hit hit;
    char key[64];

    snprintf(key, sizeof(key), "prediction:%s@3#0:%04d", model, i);
    int rc = cache_snapshot_begin(c->cache);
    rc = rc == 0 ? case_look(c, CACHE_PREDICTION, bytes_of_text(key), case_now, &hit) : rc;
    cache_snapshot_end(c->cache);
    return rc == 0;
}

/* Ticks until no ban is left; a slow machine needs more than one. */
static int
settle(struct cache_case *c)
{
    struct cache_ban bans[CACHE_BANS];
    int rc = 0;

    for (int i = 0; rc == 0 && i < 200 && cache_bans(c->cache, bans) > 0; i++) {
        rc = cache_keeper_tick(c->cache, case_now);
    }
    return rc;
}

static int
ban(struct cache_case *c, const char *pattern)
{
    struct err err;
    return cache_keeper_ban(c->cache, bytes_of_text(pattern), &err);
}

static void
a_ban_holds_at_once_and_for_older_entries_alone(void)
{
    struct cache_case c;
    struct cache_ban bans[CACHE_BANS];
    struct cache_usage usage;

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    put_some(&c, "wp", 1000);
    put_some(&c, "ep", 1000);
    CHECK_INT(ban(&c, "prediction:wp@*"), 0);
    CHECK(!has(&c, "wp", 0) && !has(&c, "wp", 999));
    CHECK(has(&c, "ep", 0) && has(&c, "ep", 999));
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_DEAD_BAN), 2);
    put_some(&c, "wp", 3);
    CHECK(has(&c, "wp", 2) && !has(&c, "wp", 3));
    CHECK_INT(cache_bans(c.cache, bans), 1);
    CHECK(bytes_equal_text(bytes_of(bans[0].pattern, bans[0].len), "prediction:wp@*"));
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 2000);
    CHECK_INT(settle(&c), 0);
    CHECK_INT(cache_usage(c.cache, &usage), 0);
    CHECK_INT(usage.entries, 1003);
    CHECK_INT(cache_bans(c.cache, bans), 0);
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_DEAD_SWEPT), 997);
    CHECK(has(&c, "wp", 2) && !has(&c, "wp", 3) && has(&c, "ep", 500));
    case_fini(&c);
}

static void
what_was_computed_before_a_ban_comes_too_late_even_after_its_end(void)
{
    struct cache_case c;
    struct cache_ban bans[CACHE_BANS];
    struct cache_item item = {.class = CACHE_PREDICTION,
                              .key = bytes_of_text("prediction:wp@3#0:0001"),
                              .value = bytes_of_text("old"),
                              .created_wall_ms = case_now,
                              .expires_wall_ms = case_now + 60000};

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    item.stamp = cache_stamp(c.cache);
    CHECK_INT(ban(&c, "*:wp@*"), 0);
    CHECK_INT(cache_put(c.cache, &item), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(!has(&c, "wp", 1));
    CHECK_INT(settle(&c), 0);
    CHECK_INT(cache_bans(c.cache, bans), 0);
    CHECK_INT(cache_put(c.cache, &item), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(!has(&c, "wp", 1));
    CHECK_INT(stats_sum(c.stats, STATS_CACHE_PUTS_LATE), 2);
    item.stamp = cache_stamp(c.cache);
    CHECK_INT(cache_put(c.cache, &item), 0);
    CHECK_INT(case_drain(&c), 0);
    CHECK(has(&c, "wp", 1));
    case_fini(&c);
}

/* The round that ends them is made when their slots are needed. */
static void
a_small_cache_takes_any_number_of_bans(void)
{
    struct cache_case c;
    char pattern[64];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    put_some(&c, "wp", 10);
    for (int i = 0; i < 20 * CACHE_BANS; i++) {
        snprintf(pattern, sizeof(pattern), "object:%d*", i);
        CHECK_INT(ban(&c, pattern), 0);
    }
    CHECK(has(&c, "wp", 1));
    CHECK_INT(ban(&c, "prediction:wp*"), 0);
    CHECK(!has(&c, "wp", 1));
    case_fini(&c);
}

static void
the_same_pattern_again_takes_no_slot_and_the_65th_is_refused(void)
{
    enum { MANY = 20000 };
    struct cache_case c;
    struct err err;
    char pattern[64];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    put_some(&c, "wp", MANY); /* a round over them takes longer than a ban waits for one */
    for (int i = 0; i < 100; i++) {
        CHECK_INT(ban(&c, "prediction:ep*"), 0);
    }
    for (int i = 1; i < CACHE_BANS; i++) {
        snprintf(pattern, sizeof(pattern), "object:%d*", i);
        CHECK_INT(ban(&c, pattern), 0);
    }
    CHECK_INT(cache_keeper_ban(c.cache, bytes_of_text("one more"), &err), AUGURY_ERR_LIMIT);
    CHECK_CONTAINS(err.reason, "64 bans");
    CHECK_INT(ban(&c, "prediction:ep*"), 0);
    CHECK(has(&c, "wp", 1));
    CHECK_INT(settle(&c), 0);
    CHECK_INT(ban(&c, "one more"), 0);
    CHECK_INT(cache_keeper_ban(c.cache, bytes_of_text("[a"), &err), AUGURY_ERR_INVALID);
    CHECK_CONTAINS(err.reason, "byte 1");
    case_fini(&c);
}

/* The daemon comes back with a new board and finds the environment; a tool has none at all. */
static void
a_ban_survives_a_restart_and_a_new_environment(void)
{
    struct cache_case c;
    struct cache_ban bans[CACHE_BANS];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    put_some(&c, "wp", 10);
    CHECK_INT(ban(&c, "prediction:wp*"), 0);
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_OBJECT), 0);
    uint64_t stamp = cache_stamp(c.cache);
    cache_close(&c.cache);
    memset(c.board->invalid, 0, cache_invalid_bytes());
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    CHECK_INT(cache_stamp(c.cache), stamp);
    CHECK_INT(cache_bans(c.cache, bans), 1);
    CHECK(!has(&c, "wp", 1));

    cache_keeper_replace(c.cache);
    memset(c.board->invalid, 0, cache_invalid_bytes());
    cache_close(&c.cache);
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    CHECK_INT(cache_stamp(c.cache), stamp);
    CHECK_INT(cache_bans(c.cache, bans), 1);

    cache_close(&c.cache);
    struct cache_options tool = {.dir = c.dir, .map_bytes = c.map_bytes};
    CHECK_INT(cache_open(&tool, &c.cache, NULL, NULL), 0);
    CHECK_INT(cache_snapshot_begin(c.cache), 0);
    cache_snapshot_end(c.cache);
    CHECK_INT(cache_bans(c.cache, bans), 1);
    CHECK_INT(cache_stamp(c.cache), stamp);
    case_fini(&c);
}

static void
a_keeper_killed_while_it_writes_a_ban_leaves_no_slot_that_bans_all(void)
{
    struct cache_case c;
    struct cache_ban bans[CACHE_BANS];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    put_some(&c, "wp", 10);
    CHECK_INT(cache_keeper_invalidate_class(c.cache, CACHE_OBJECT), 0);
    CHECK_INT(ban(&c, "prediction:ep*"), 0);
    c.board->invalid->bans[0].version |= 1;
    c.board->invalid->bans[0].pattern[0] = 0;
    c.board->invalid->clock -= 1; /* it comes last */
    c.board->invalid->ban_newest = UINT64_MAX;
    CHECK(!has(&c, "wp", 1));
    cache_close(&c.cache);
    CHECK_INT(case_open(&c, true, 0, NULL), 0);
    CHECK_INT(cache_bans(c.cache, bans), 1);
    CHECK(bytes_equal_text(bytes_of(bans[0].pattern, bans[0].len), "prediction:ep*"));
    CHECK(has(&c, "wp", 1));
    case_fini(&c);
}

/* ---- readers beside the writer ------------------------------------------------------------- */

struct beside {
    struct cache_invalid *invalid;
    atomic_bool stop;
    unsigned long looks, wrong;
};

static void *
look_on(void *arg)
{
    struct beside *beside = arg;
    struct cache_entry old = {.stamp = 0, .text = bytes_of_text("prediction:none")};
    size_t slot;

    /* No pattern ever matches: what does was put together from two. */
    for (; !atomic_load(&beside->stop); beside->looks++) {
        struct cache_invalid *invalid = beside->invalid;
        uint64_t version = atomic_load(&invalid->bans[0].version);
        bool matches = cache_ban_find(invalid, &old, &slot);
        if (matches && version % 2 == 0 && atomic_load(&invalid->bans[0].version) == version) {
            beside->wrong++;
        }
    }
    return NULL;
}

static void
a_reader_never_sees_half_a_pattern(void)
{
    struct cache_case c;
    pthread_t thread;
    char pattern[CACHE_BAN_BYTES + 1];

    CHECK(case_begin(&c, 64 * MIB, 4 * MIB));
    struct beside beside = {.invalid = c.board->invalid};
    CHECK(pthread_create(&thread, NULL, look_on, &beside) == 0);
    for (int i = 0; i < 3000; i++) {
        memset(pattern, 'a' + i % 26, sizeof(pattern) - 1);
        pattern[i % 2 == 0 ? 255 : 40] = '\0';
        CHECK_INT(ban(&c, pattern), 0);
        CHECK_INT(cache_keeper_tick(c.cache, case_now), 0);
    }
    atomic_store(&beside.stop, true);
    pthread_join(thread, NULL);
    printf("# %lu looks\n", beside.looks);
    CHECK_INT(beside.wrong, 0);
    CHECK(beside.looks > 1000);
    case_fini(&c);
}

int
main(void)
{
    TAP_RUN(patterns_match_as_the_shells_do);
    TAP_RUN(random_patterns_match_as_the_shells_do);
    TAP_RUN(a_hostile_pattern_takes_no_time);
    TAP_RUN(a_ban_holds_at_once_and_for_older_entries_alone);
    TAP_RUN(what_was_computed_before_a_ban_comes_too_late_even_after_its_end);
    TAP_RUN(a_small_cache_takes_any_number_of_bans);
    TAP_RUN(the_same_pattern_again_takes_no_slot_and_the_65th_is_refused);
    TAP_RUN(a_ban_survives_a_restart_and_a_new_environment);
    TAP_RUN(a_keeper_killed_while_it_writes_a_ban_leaves_no_slot_that_bans_all);
    TAP_RUN(a_reader_never_sees_half_a_pattern);
    return tap_done();
}
