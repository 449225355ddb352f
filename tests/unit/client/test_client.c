/* SPDX-License-Identifier: MIT */
/*
 * test_client.c - libaugury against a keeper in another process: what it finds is what the daemon's
 * own lookups would find. The keeper is a child that does one command after another.
 */
#include "augury/client.h"

#include "../cache/cache_case.h"

#include "../../tap.h"

enum { MIB = 1 << 20, LARGE = 300000, SPIN_KEYS = 50 };

struct command {
    char what; /* p put, g invalidate tag, c class, b ban, x purge, r replace, t tick */
    char key[64];
    char text[64];
    uint32_t ttl_s;
};

struct keeper {
    struct cache_case c;
    pid_t pid;
    int to, from;
};

static int
item_put(struct cache_case *c, const struct command *command)
{
    static uint8_t large[LARGE];
    struct cache_item item = {.class = CACHE_OBJECT,
                              .key = bytes_of_text(command->key),
                              .value = bytes_of_text(command->text),
                              .created_wall_ms = clock_wall_ms(),
                              .expires_wall_ms = clock_wall_ms() + command->ttl_s * 1000,
                              .stamp = cache_stamp(c->cache),
                              .tags = {cache_tag(bytes_of_text("wp"))}};
    bool more;

    if (strcmp(command->text, "large") == 0) {
        item.value = case_value(7, LARGE, large);
    }
    int rc = cache_put(c->cache, &item);
    return rc == 0 ? cache_keeper_turn(c->cache, clock_wall_ms(), &more) : rc;
}

static int
command_do(struct cache_case *c, const struct command *command)
{
    struct bytes text = bytes_of_text(command->text);

    switch (command->what) {
    case 'p': return item_put(c, command);
    case 'g': return cache_keeper_invalidate_tag(c->cache, text);
    case 'c': return cache_keeper_invalidate_class(c->cache, CACHE_OBJECT);
    case 'b': return cache_keeper_ban(c->cache, text, NULL);
    case 'x': return cache_keeper_purge(c->cache, bytes_of_text(command->key));
    case 'r': cache_keeper_replace(c->cache); return 0;
    case 't': return cache_keeper_tick(c->cache, clock_wall_ms());
    default: return -1;
    }
}

static void
serve(struct keeper *keeper, int in, int out)
{
    struct command command;

    int rc = case_open(&keeper->c, true, 0, NULL);
    while (rc == 0 && read(in, &command, sizeof(command)) == (ssize_t)sizeof(command)) {
        int done = command_do(&keeper->c, &command);
        rc = write(out, &done, sizeof(done)) == (ssize_t)sizeof(done) ? 0 : -1;
    }
    _exit(rc == 0 ? 0 : 1);
}

static int
tell(struct keeper *keeper, char what, const char *key, const char *text, uint32_t ttl_s)
{
    struct command command = {.what = what, .ttl_s = ttl_s};
    int rc = -99;

    snprintf(command.key, sizeof(command.key), "%s", key);
    snprintf(command.text, sizeof(command.text), "%s", text);
    if (write(keeper->to, &command, sizeof(command)) != (ssize_t)sizeof(command) ||
        read(keeper->from, &rc, sizeof(rc)) != (ssize_t)sizeof(rc)) {
        return -98;
    }
    return rc;
}

static bool
keeper_begin(struct keeper *keeper)
{
    int in[2], out[2];

    if (!case_init(&keeper->c, 64 * MIB, 4 * MIB) || pipe(in) != 0 || pipe(out) != 0) {
        return false;
    }
    keeper->pid = fork();
    if (keeper->pid == 0) {
        close(in[1]);
        close(out[0]);
        serve(keeper, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    keeper->to = in[1];
    keeper->from = out[0];
    return tell(keeper, 't', "", "", 0) == 0;
}

static void
keeper_end(struct keeper *keeper)
{
    close(keeper->to);
    close(keeper->from);
    waitpid(keeper->pid, NULL, 0);
    case_fini(&keeper->c);
}

/* The value as a text, "miss", or the code. */
static const char *
get(struct augury_client *client, const char *key)
{
    static char text[64];
    struct augury_client_entry entry;

    int code = augury_client_get(client, key, strlen(key), text, sizeof(text) - 1, &entry);
    if (code != AUGURY_CLIENT_OK) {
        if (code == AUGURY_CLIENT_MISS) {
            return "miss";
        }
        snprintf(text, sizeof(text), "code %d", code);
        return text;
    }
    text[entry.value_bytes] = '\0';
    return text;
}

static void
an_entry_is_read_as_it_was_put(void)
{
    static uint8_t room[LARGE];
    struct augury_client_entry entry = {.value_bytes = 0};
    struct augury_client *client = NULL;
    struct keeper keeper;

    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    CHECK_TEXT(get(client, "object:a"), "miss");
    CHECK_INT(tell(&keeper, 'p', "object:a", "one", 60), 0);
    CHECK_INT(tell(&keeper, 'p', "object:empty", "", 60), 0);
    CHECK_INT(tell(&keeper, 'p', "object:large", "large", 60), 0);
    CHECK_TEXT(get(client, "object:a"), "one");
    CHECK_TEXT(get(client, "object:empty"), "");
    CHECK_TEXT(get(client, "object:b"), "miss");
    CHECK_TEXT(get(client, ""), "miss");
    CHECK_INT(augury_client_get(client, "object:large", 12, room, 100, &entry),
              AUGURY_CLIENT_TOO_SMALL);
    CHECK_INT(entry.value_bytes, LARGE);
    CHECK_INT(augury_client_get(client, "object:large", 12, room, sizeof(room), &entry), 0);
    CHECK(case_value_is(7, bytes_of(room, LARGE)));
    CHECK(entry.expires_ms - entry.created_ms >= 60000);
    CHECK(clock_wall_ms() - entry.created_ms < 60000);
    CHECK_INT(tell(&keeper, 'p', "object:a", "two", 60), 0);
    CHECK_TEXT(get(client, "object:a"), "two");
    augury_client_close(&client);
    CHECK(client == NULL);
    keeper_end(&keeper);
}

static void
the_content_of_a_rendered_answer_begins_behind_its_head(void)
{
    struct augury_client_entry entry = {.content_at = 0};
    struct augury_client *client = NULL;
    struct keeper keeper;
    char room[64];

    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    CHECK_INT(tell(&keeper, 'p', "response:/x:1", "24 bytes of head, then: {}", 60), 0);
    CHECK_INT(augury_client_get(client, "response:/x:1", 13, room, sizeof(room), &entry), 0);
    CHECK_INT(entry.content_at, 24);
    CHECK_INT(entry.value_bytes, 26);
    augury_client_close(&client);
    keeper_end(&keeper);
}

static void
what_is_no_longer_true_is_a_miss(void)
{
    static const struct {
        char what;
        const char *key, *text;
    } ends[] = {{'g', "", "wp"}, {'c', "", ""}, {'b', "", "obj*:[a-c]"}, {'x', "object:a", ""}};
    struct augury_client *client = NULL;
    struct keeper keeper;

    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    for (size_t i = 0; i < AUGURY_COUNT(ends); i++) {
        CHECK_INT(tell(&keeper, 'p', "object:a", "one", 60), 0);
        CHECK_TEXT(get(client, "object:a"), "one");
        CHECK_INT(tell(&keeper, ends[i].what, ends[i].key, ends[i].text, 0), 0);
        CHECK_TEXT(get(client, "object:a"), "miss");
    }
    CHECK_INT(tell(&keeper, 'p', "object:a", "one", 60), 0);
    CHECK_INT(tell(&keeper, 'g', "", "another", 0), 0);
    CHECK_INT(tell(&keeper, 't', "", "", 0), 0); /* the ban ends */
    CHECK_TEXT(get(client, "object:a"), "one");
    augury_client_close(&client);
    CHECK_INT(tell(&keeper, 'g', "", "wp", 0), 0);
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    CHECK_TEXT(get(client, "object:a"), "miss");
    augury_client_close(&client);
    keeper_end(&keeper);
}

static void
time_passes_for_the_client_too(void)
{
    struct augury_client *client = NULL;
    struct keeper keeper;

    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    uint64_t begin = clock_mono_ms();
    CHECK_INT(tell(&keeper, 'p', "object:a", "one", 2), 0);
    CHECK_TEXT(get(client, "object:a"), "one");
    while (strcmp(get(client, "object:a"), "miss") != 0 && clock_mono_ms() - begin < 10000) {
        usleep(1000);
    }
    CHECK(clock_mono_ms() - begin >= 1900 && clock_mono_ms() - begin < 6000);
    augury_client_close(&client);
    keeper_end(&keeper);
}

static void
a_replaced_environment_is_followed(void)
{
    struct augury_client *client = NULL;
    struct keeper keeper;

    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    CHECK_INT(tell(&keeper, 'p', "object:a", "one", 60), 0);
    CHECK_TEXT(get(client, "object:a"), "one");
    CHECK_INT(tell(&keeper, 'r', "", "", 0), 0);
    CHECK_TEXT(get(client, "object:a"), "miss");
    CHECK_INT(tell(&keeper, 'p', "object:a", "two", 60), 0);
    CHECK_TEXT(get(client, "object:a"), "two");
    augury_client_close(&client);
    keeper_end(&keeper);
}

static void
refusals_say_what_is_wrong(void)
{
    struct augury_client *client = NULL;
    struct keeper keeper;
    char key[1000];
    int status = -1;

    CHECK_INT(augury_client_open("/nonexistent", &client), AUGURY_CLIENT_ABSENT);
    CHECK(client == NULL);
    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    memset(key, 'k', sizeof(key));
    CHECK_INT(augury_client_get(client, key, sizeof(key), NULL, 0, NULL), AUGURY_CLIENT_MISS);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_refused = augury_client_get(client, key, 1, NULL, 0, NULL) == AUGURY_CLIENT_FORKED;
        augury_client_close(&client);
        _exit(is_refused ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK_TEXT(get(client, "object:a"), "miss");
    augury_client_close(&client);
    CHECK_TEXT(augury_client_strerror(AUGURY_CLIENT_DENIED),
               "no right to the cache's folder or files");
    CHECK_TEXT(augury_client_strerror(77), "unknown code");
    keeper_end(&keeper);
}

static void
read_for_ever(const char *dir)
{
    static uint8_t room[LARGE];
    struct augury_client *client = NULL;
    char key[64];

    if (augury_client_open(dir, &client) != 0) {
        _exit(1);
    }
    for (unsigned turn = 0;; turn++) {
        snprintf(key, sizeof(key), "object:%u", turn % SPIN_KEYS);
        (void)augury_client_get(client, key, strlen(key), room, sizeof(room), NULL);
    }
}

/* Killed at any instruction: their places in the lock file are cleared by the keeper, and the
 * others read on. */
static void
readers_killed_in_the_middle_hold_nothing(void)
{
    enum { KILLS = 60 };
    struct augury_client *client = NULL;
    struct keeper keeper;
    char key[64];

    CHECK(keeper_begin(&keeper));
    for (int i = 0; i < SPIN_KEYS; i++) {
        snprintf(key, sizeof(key), "object:%d", i);
        CHECK_INT(tell(&keeper, 'p', key, i % 5 == 0 ? "large" : "small", 600), 0);
    }
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            read_for_ever(keeper.c.dir);
        }
        usleep(3000 + (unsigned)i * 7919 % 4000);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        CHECK_INT(tell(&keeper, 'p', "object:0", "large", 600), 0);
        CHECK_INT(tell(&keeper, 't', "", "", 0), 0);
    }
    uint64_t cleared = stats_sum(keeper.c.stats, STATS_CACHE_STALE_READERS);
    printf("# %llu places cleared\n", (unsigned long long)cleared);
    CHECK(cleared >= KILLS / 2);
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    CHECK_TEXT(get(client, "object:1"), "small");
    augury_client_close(&client);
    keeper_end(&keeper);
}

static void
a_lookup_needs_no_socket_and_takes_microseconds(void)
{
    enum { LOOKUPS = 100000 };
    struct augury_client *client = NULL;
    struct keeper keeper;
    char room[64];

    CHECK(keeper_begin(&keeper));
    CHECK_INT(augury_client_open(keeper.c.dir, &client), AUGURY_CLIENT_OK);
    CHECK_INT(tell(&keeper, 'p', "object:a", "one", 600), 0);
    uint64_t begin = clock_mono_ns();
    for (int i = 0; i < LOOKUPS; i++) {
        CHECK_INT(augury_client_get(client, "object:a", 8, room, sizeof(room), NULL), 0);
    }
    uint64_t one_ns = (clock_mono_ns() - begin) / LOOKUPS;
    printf("# %llu ns a lookup\n", (unsigned long long)one_ns);
    CHECK(one_ns < 1000000);
    augury_client_close(&client);
    keeper_end(&keeper);
}

int
main(void)
{
    TAP_RUN(an_entry_is_read_as_it_was_put);
    TAP_RUN(the_content_of_a_rendered_answer_begins_behind_its_head);
    TAP_RUN(what_is_no_longer_true_is_a_miss);
    TAP_RUN(time_passes_for_the_client_too);
    TAP_RUN(a_replaced_environment_is_followed);
    TAP_RUN(refusals_say_what_is_wrong);
    TAP_RUN(readers_killed_in_the_middle_hold_nothing);
    TAP_RUN(a_lookup_needs_no_socket_and_takes_microseconds);
    return tap_done();
}
