/* SPDX-License-Identifier: MIT */
/*
 * version.c - versions for `auguryd -V`. Libraries belong to their rooms, so they are not asked
 * here: the build's versions come from configure, the running ones are the names of the files that
 * the kernel has mapped.
 */
#include "version.h"

#include <string.h>

enum { LINE_BYTES = 4096, NAME_BYTES = 128 };

void
version_print(FILE *out)
{
    char line[LINE_BYTES];
    char last[NAME_BYTES] = "";
    FILE *maps = fopen("/proc/self/maps", "re");

    fprintf(out, "compiler: %s\nbuilt with: %s\nrunning with:", __VERSION__, AUGURY_BUILT_WITH);
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        const char *slash = strrchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (slash == NULL || strstr(slash, ".so") == NULL || strcmp(slash + 1, last) == 0) {
            continue;
        }
        snprintf(last, sizeof(last), "%s", slash + 1);
        fprintf(out, " %s", last);
    }
    fputc('\n', out);
    if (maps != NULL) {
        fclose(maps);
    }
}
