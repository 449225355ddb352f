/* SPDX-License-Identifier: MIT */
/* fake_root.h - a folder laid out as /proc and /sys of a machine. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "augury/proc.h"

struct fake {
    char root[64];
    bool is_good;
};

static void
fake_file(struct fake *fake, const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof(full), "%s%s", fake->root, path);
    for (char *slash = full + strlen(fake->root) + 1; (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    fake->is_good = fake->is_good && file != NULL && fputs(text, file) >= 0;
    if (file != NULL) {
        fclose(file);
    }
}

static struct fake
fake_new(const char *cpus)
{
    struct fake fake = {.root = "/tmp/augury-root-XXXXXX"};
    char status[128];

    fake.is_good = mkdtemp(fake.root) != NULL;
    snprintf(status, sizeof(status), "Name:\tauguryd\nCpus_allowed:\tff\nCpus_allowed_list:\t%s\n",
             cpus);
    fake_file(&fake, "/proc/self/status", status);
    return fake;
}

static bool
fake_remove(const struct fake *fake)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", fake->root);
    return system(command) == 0;
}
