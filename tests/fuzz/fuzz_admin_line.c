/* SPDX-License-Identifier: MIT */
/*
 * fuzz_admin_line.c - a line of the admin socket, which every local user may write to. Properties:
 * it is split into words that lie in it and end, or refused with a reason; a verb that is found
 * has as many words as it says.
 */
#include "../../src/app/admin.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[ADMIN_ARGS_MAX];
    const struct admin_verb *verb = NULL;
    struct err err = {.rc = 0};
    int count = 0;
    int used = 0;
    char *line = calloc(1, size + 1);

    AUGURY_ASSERT(line != NULL);
    if (size > 0) {
        memcpy(line, data, size);
    }
    if (admin_split(line, size, words, &count, &err) != 0) {
        AUGURY_ASSERT(err.reason[0] != '\0' && err.rc < 0);
    } else {
        AUGURY_ASSERT(count <= ADMIN_ARGS_MAX);
        for (int i = 0; i < count; i++) {
            AUGURY_ASSERT(words[i] >= line && words[i] + strlen(words[i]) <= line + size);
        }
        bool is_verb = admin_find(words, count, &verb, &used) == 0;
        AUGURY_ASSERT(!is_verb || (used >= 1 && used <= count && verb->name != NULL));
    }
    free(line);
    return 0;
}
