/* SPDX-License-Identifier: MIT */
/*
 * cli_cache.c - `augury cache …`, and the four of its verbs that are typed most without the word
 * cache. The daemon carries them out; what can be said without asking it is said here.
 */
#include <string.h>

#include "cli.h"

enum { WORDS_MAX = 4 };

static const struct {
    const char *verb;
    int words_min, words_max; /* behind it */
} verbs[] = {
    {"stats", 0, 0}, {"get", 1, 1},   {"purge", 1, 1},      {"ban", 1, 1},
    {"bans", 0, 0},  {"flush", 0, 1}, {"invalidate", 2, 2},
};

/* words begin with the verb. */
static int
ask(const struct cli *cli, const struct cli_command *command, int count, const char *const *words)
{
    bool is_short = strcmp(command->name, "cache") != 0;
    const char *line[1 + WORDS_MAX] = {"cache"};

    for (size_t i = 0; count > 0 && i < AUGURY_COUNT(verbs); i++) {
        if (strcmp(words[0], verbs[i].verb) != 0) {
            continue;
        }
        if (count - 1 < verbs[i].words_min || count - 1 > verbs[i].words_max) {
            return cli_usage(command, is_short ? "not the words of " : "not the words of cache ",
                             words[0]);
        }
        memcpy(line + 1, words, (size_t)count * sizeof(*words));
        return cli_admin_ask(cli, command, count + 1, line);
    }
    return cli_usage(command, count > 0 ? "there is no cache verb " : "a verb is missing",
                     count > 0 ? words[0] : "");
}

int
cli_cache(const struct cli *cli, const struct cli_command *command, int argc,
          const char *const *argv)
{
    bool is_short = strcmp(argv[0], "cache") != 0;

    return is_short ? ask(cli, command, argc, argv) : ask(cli, command, argc - 1, argv + 1);
}
