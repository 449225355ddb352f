/* SPDX-License-Identifier: MIT */
/* test_title.c - the title as /proc shows it, and an environment that survives it. */
#include "../../tap.h"

#include <stdlib.h>
#include <unistd.h>

#include "augury/proc.h"

/* Made in main, as programs do; handed to the tests, which take no argument. */
static struct proc_title title;

static size_t
read_title(char *text, size_t size)
{
    FILE *file = fopen("/proc/self/cmdline", "r");
    size_t len = file == NULL ? 0 : fread(text, 1, size - 1, file);

    if (file != NULL) {
        fclose(file);
    }
    text[len] = '\0';
    return len;
}

static void
the_title_replaces_the_command_line(void)
{
    char text[4096];

    proc_title_set(&title, "auguryd: worker %d gen %d", 3, 5);
    CHECK(read_title(text, sizeof(text)) > 0);
    CHECK_TEXT(text, "auguryd: worker 3 gen 5");
}

static void
a_title_longer_than_the_memory_is_cut(void)
{
    char text[65536];
    char *longest = calloc(1, title.size + 100);

    CHECK(longest != NULL);
    memset(longest, 'x', title.size + 50);
    proc_title_set(&title, "%s", longest);
    size_t len = read_title(text, sizeof(text));
    CHECK(len > 0 && len <= title.size);
    CHECK(strspn(text, "x") > 0);
    free(longest);
}

static void
the_environment_survives(void)
{
    proc_title_set(&title, "%s", "auguryd: a title that covers the old place of the environment");
    const char *path = getenv("AUGURY_TITLE_TEST");
    CHECK(path != NULL);
    CHECK_TEXT(path, "still here");
}

int
main(int argc, char **argv)
{
    /* Once more, with a variable that was there when the program started. */
    if (getenv("AUGURY_TITLE_TEST") == NULL) {
        setenv("AUGURY_TITLE_TEST", "still here", 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    proc_title_setup(&title, argc, argv);
    TAP_RUN(the_title_replaces_the_command_line);
    TAP_RUN(a_title_longer_than_the_memory_is_cut);
    TAP_RUN(the_environment_survives);
    return tap_done();
}
