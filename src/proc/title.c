/* SPDX-License-Identifier: MIT */
/* title.c - what ps shows: the memory of argv and of the environment behind it, overwritten in
 * place. */
#include "augury/proc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Copies the environment to the heap, so that its old place may be overwritten. False: left as it
 * was. */
static bool
move_environment(void)
{
    size_t count = 0;

    while (environ[count] != NULL) {
        count++;
    }
    char **moved = calloc(count + 1, sizeof(moved[0]));
    for (size_t i = 0; moved != NULL && i < count; i++) {
        moved[i] = strdup(environ[i]);
        if (moved[i] == NULL) {
            while (i > 0) {
                free(moved[--i]);
            }
            free(moved);
            moved = NULL;
        }
    }
    if (moved == NULL) {
        return false;
    }
    environ = moved; /* lives as long as the process */
    return true;
}

void
proc_title_setup(struct proc_title *title, int argc, char **argv)
{
    *title = (struct proc_title){0};
    if (argc < 1) {
        return;
    }
    char *end = argv[0];
    for (int i = 0; i < argc; i++) {
        /* The kernel lays them out one behind the other; stop where somebody changed that. */
        if (argv[i] == end) {
            end += strlen(argv[i]) + 1;
        }
    }
    char *end_of_environment = end;
    for (size_t i = 0; environ[i] != NULL; i++) {
        if (environ[i] == end_of_environment) {
            end_of_environment += strlen(environ[i]) + 1;
        }
    }
    if (end_of_environment != end && move_environment()) {
        end = end_of_environment;
    }
    title->area = argv[0];
    title->size = (size_t)(end - argv[0]);
}

void
proc_title_set(const struct proc_title *title, const char *fmt, ...)
{
    va_list args;

    if (title->size < 2) {
        return;
    }
    memset(title->area, 0, title->size);
    va_start(args, fmt);
    vsnprintf(title->area, title->size, fmt, args);
    va_end(args);
}
