/* SPDX-License-Identifier: MIT */
/* test_admin.c - words of a line, the table of commands, roles. */
#include "../../tap.h"

#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../../src/app/admin.h"

/* Splits text and joins the words with '|'; the error's code when it is refused. */
static const char *
split(const char *text, char *out, size_t size)
{
    char line[512];
    const char *words[ADMIN_ARGS_MAX];
    int count = 0;
    size_t used = 0;
    struct err err;

    snprintf(line, sizeof(line), "%s", text);
    if (admin_split(line, strlen(text), words, &count, &err) != 0) {
        snprintf(out, size, "%s", err.reason);
        return out;
    }
    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : "|", words[i]);
    }
    return out;
}

static void
words_are_parted_by_blanks(void)
{
    char out[512];

    CHECK_TEXT(split("cache purge key", out, sizeof(out)), "cache|purge|key");
    CHECK_TEXT(split("  cache\t purge  ", out, sizeof(out)), "cache|purge");
    CHECK_TEXT(split("", out, sizeof(out)), "");
    CHECK_TEXT(split("   ", out, sizeof(out)), "");
    CHECK_TEXT(split("a", out, sizeof(out)), "a");
}

static void
quotes_keep_blanks_and_make_empty_words(void)
{
    char out[512];

    CHECK_TEXT(split("a 'b  c' d", out, sizeof(out)), "a|b  c|d");
    CHECK_TEXT(split("a \"b \\\"c\\\" \\\\ \\n\\t'\" d", out, sizeof(out)), "a|b \"c\" \\ \n\t'|d");
    CHECK_TEXT(split("'a\\n\"'", out, sizeof(out)), "a\\n\"");
    CHECK_TEXT(split("a '' \"\"", out, sizeof(out)), "a||");
    CHECK_TEXT(split("x'a b'y", out, sizeof(out)), "xa by");
    CHECK_TEXT(split("a '", out, sizeof(out)), "a quote (') is not closed");
    CHECK_TEXT(split("\"abc\\\"", out, sizeof(out)), "a quote (\") is not closed");
}

static void
a_nul_byte_and_too_many_words_are_refused(void)
{
    char line[4 * ADMIN_ARGS_MAX];
    const char *words[ADMIN_ARGS_MAX];
    int count = 0;
    struct err err;

    memcpy(line, "a\0b", 4);
    CHECK_INT(admin_split(line, 3, words, &count, &err), AUGURY_ERR_INVALID);
    for (size_t i = 0; i < sizeof(line); i++) {
        line[i] = i % 2 == 0 ? 'a' : ' ';
    }
    line[sizeof(line) - 1] = '\0';
    CHECK_INT(admin_split(line, sizeof(line) - 1, words, &count, &err), AUGURY_ERR_LIMIT);
}

static void
the_longest_command_that_the_words_begin_with_is_found(void)
{
    const struct admin_verb *verb = NULL;
    int used = 0;
    const char *purge[] = {"cache", "purge", "key"};
    const char *half[] = {"cache"};
    const char *status[] = {"status", "cache"};
    const char *prefix[] = {"cach", "stats"};

    CHECK_INT(admin_find(purge, 3, &verb, &used), 0);
    CHECK_TEXT(verb->name, "cache purge");
    CHECK_INT(used, 2);
    CHECK_INT(admin_find(status, 2, &verb, &used), 0);
    CHECK_TEXT(verb->name, "status");
    CHECK_INT(used, 1);
    CHECK_INT(admin_find(half, 1, &verb, &used), AUGURY_NOT_FOUND);
    CHECK_INT(admin_find(prefix, 2, &verb, &used), AUGURY_NOT_FOUND);
    CHECK_INT(admin_find(prefix, 0, &verb, &used), AUGURY_NOT_FOUND);
}

static void
every_command_is_whole_and_named_once(void)
{
    for (size_t i = 0; i < admin_verb_count; i++) {
        const struct admin_verb *verb = &admin_verbs[i];
        CHECK(verb->fn != NULL && verb->help[0] != '\0' && verb->args_min <= verb->args_max);
        for (size_t j = 0; j < i; j++) {
            CHECK(strcmp(verb->name, admin_verbs[j].name) != 0);
        }
    }
}

static void
commands_that_change_something_need_a_role(void)
{
    static const char *const changing[] = {"cache flush", "cache purge",  "model use",    "reload",
                                           "stop",        "model import", "model unload", "resize"};
    size_t found = 0;

    for (size_t i = 0; i < admin_verb_count; i++) {
        for (size_t j = 0; j < AUGURY_COUNT(changing); j++) {
            if (strcmp(admin_verbs[i].name, changing[j]) == 0) {
                CHECK(admin_verbs[i].role > ADMIN_ROLE_READER);
                found++;
            }
        }
    }
    CHECK_INT(found, AUGURY_COUNT(changing));
}

static void
roles_follow_the_peers_ids(void)
{
    struct conf conf = {.workers = 1};
    struct net_line_peer root = {.uid = 0, .gid = 0};
    struct net_line_peer self = {.uid = geteuid(), .gid = getegid()};
    struct net_line_peer stranger = {.uid = 4242424, .gid = 4242424};
    const struct group *group = getgrgid(0);

    CHECK_INT(admin_role_of(&conf, &root), ADMIN_ROLE_ADMIN);
    CHECK_INT(admin_role_of(&conf, &self), ADMIN_ROLE_ADMIN);
    CHECK_INT(admin_role_of(&conf, &stranger), ADMIN_ROLE_READER);
    /* No group is configured: nobody's gid makes an operator. */
    stranger.gid = 0;
    CHECK_INT(admin_role_of(&conf, &stranger), ADMIN_ROLE_READER);
    CHECK(group != NULL);
    snprintf(conf.admin.operator_group, sizeof(conf.admin.operator_group), "%s", group->gr_name);
    CHECK_INT(admin_role_of(&conf, &stranger), ADMIN_ROLE_OPERATOR);
    stranger.gid = 4242424;
    CHECK_INT(admin_role_of(&conf, &stranger), ADMIN_ROLE_READER);
    snprintf(conf.admin.operator_group, sizeof(conf.admin.operator_group), "no-such-group");
    CHECK_INT(admin_role_of(&conf, &stranger), ADMIN_ROLE_READER);
}

int
main(void)
{
    TAP_RUN(words_are_parted_by_blanks);
    TAP_RUN(quotes_keep_blanks_and_make_empty_words);
    TAP_RUN(a_nul_byte_and_too_many_words_are_refused);
    TAP_RUN(the_longest_command_that_the_words_begin_with_is_found);
    TAP_RUN(every_command_is_whole_and_named_once);
    TAP_RUN(commands_that_change_something_need_a_role);
    TAP_RUN(roles_follow_the_peers_ids);
    return tap_done();
}
