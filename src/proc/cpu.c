/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - how many CPUs this process may use: the affinity mask, limited by the smallest quota on
 * the way from our control group up to its mount (v1, v2, or both on a hybrid machine). All is read
 * from files, below a root that tests choose. A missing file is no limit.
 */
#include "augury/proc.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, LINE_BYTES = 4096 };

struct mount {
    char root[PATH_BYTES];  /* part of the hierarchy that is mounted */
    char point[PATH_BYTES]; /* where */
};

static FILE *
open_below(const char *root, const char *path)
{
    char full[2 * PATH_BYTES];

    snprintf(full, sizeof(full), "%s%s", root, path);
    return fopen(full, "re");
}

/* First line without its end. */
static bool
read_line(const char *root, const char *dir, const char *name, char *line, size_t size)
{
    char path[2 * PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = open_below(root, path);
    bool is_read = file != NULL && fgets(line, (int)size, file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    if (is_read) {
        line[strcspn(line, "\n")] = '\0';
    }
    return is_read;
}

/* ---- affinity -------------------------------------------------------------------------------- */

/* "0-3,7" → 5 */
static unsigned
count_list(const char *list)
{
    unsigned count = 0;

    while (*list >= '0' && *list <= '9') {
        char *end = NULL;
        unsigned long first = strtoul(list, &end, 10);
        unsigned long last = first;
        if (*end == '-') {
            last = strtoul(end + 1, &end, 10);
        }
        count += last >= first ? (unsigned)(last - first + 1) : 0;
        list = *end == ',' ? end + 1 : end;
    }
    return count;
}

static unsigned
affinity_count(const char *root)
{
    static const char name[] = "Cpus_allowed_list:";
    char line[LINE_BYTES];
    unsigned count = 0;
    FILE *file = open_below(root, "/proc/self/status");

    while (file != NULL && count == 0 && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, sizeof(name) - 1) == 0) {
            const char *list = line + sizeof(name) - 1;
            count = count_list(list + strspn(list, " \t"));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    if (count == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 ? (unsigned)online : 1;
    }
    return count;
}

/* ---- control groups -------------------------------------------------------------------------- */

static bool
has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list != '\0') {
        size_t here = strcspn(list, ",\n");
        if (here == len && memcmp(list, word, len) == 0) {
            return true;
        }
        list += here;
        list += strspn(list, ",\n");
    }
    return false;
}

/* Our path in the hierarchy: "0::/path" (v2), "4:cpu,cpuacct:/path" (v1). */
static bool
find_group(const char *root, bool is_v2, char *out_path, size_t size)
{
    char line[LINE_BYTES];
    bool is_found = false;
    FILE *file = open_below(root, "/proc/self/cgroup");

    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL) {
            continue;
        }
        *controllers++ = '\0';
        *path++ = '\0';
        is_found =
            is_v2 ? strcmp(line, "0") == 0 && controllers[0] == '\0' : has_word(controllers, "cpu");
        if (is_found) {
            snprintf(out_path, size, "%s", path);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* A field of mountinfo: octal escapes ("\040") become their bytes. */
static void
unescape(const char *field, char *out, size_t size)
{
    size_t n = 0;

    while (*field != '\0' && n + 1 < size) {
        if (field[0] == '\\' && field[1] >= '0' && field[1] <= '3' && field[2] >= '0' &&
            field[2] <= '7' && field[3] >= '0' && field[3] <= '7') {
            out[n++] = (char)((field[1] - '0') * 64 + (field[2] - '0') * 8 + (field[3] - '0'));
            field += 4;
        } else {
            out[n++] = *field++;
        }
    }
    out[n] = '\0';
}

/* One line of mountinfo (proc(5)): id parent major:minor root point options [more]… - type source
 * superoptions. */
static bool
parse_mount(char *line, bool is_v2, struct mount *out_mount)
{
    char *save = NULL;
    char *fields[5] = {NULL};
    char *rest = strstr(line, " - ");
    char type[32] = "";
    char options[512] = "";

    if (rest == NULL || sscanf(rest, " - %31s %*s %511s", type, options) != 2) {
        return false;
    }
    *rest = '\0';
    for (size_t i = 0; i < AUGURY_COUNT(fields); i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
        if (fields[i] == NULL) {
            return false;
        }
    }
    bool is_mine = is_v2 ? strcmp(type, "cgroup2") == 0
                         : strcmp(type, "cgroup") == 0 && has_word(options, "cpu");
    if (is_mine) {
        unescape(fields[3], out_mount->root, sizeof(out_mount->root));
        unescape(fields[4], out_mount->point, sizeof(out_mount->point));
    }
    return is_mine;
}

static bool
find_mount(const char *root, bool is_v2, struct mount *out_mount)
{
    char line[LINE_BYTES];
    bool is_found = false;
    FILE *file = open_below(root, "/proc/self/mountinfo");

    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        is_found = parse_mount(line, is_v2, out_mount);
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* Quota of one folder in CPUs, rounded up; UINT_MAX when there is none. */
static unsigned
quota_of(const char *root, const char *dir, bool is_v2)
{
    char line[128];
    uint64_t quota = 0;
    uint64_t period = 0;

    if (is_v2) {
        if (!read_line(root, dir, "cpu.max", line, sizeof(line)) ||
            sscanf(line, "%" SCNu64 " %" SCNu64, &quota, &period) != 2) {
            return UINT32_MAX; /* "max 100000" ends here */
        }
    } else {
        char *end = line;
        if (!read_line(root, dir, "cpu.cfs_quota_us", line, sizeof(line)) || line[0] == '-') {
            return UINT32_MAX;
        }
        quota = strtoull(line, &end, 10);
        if (!read_line(root, dir, "cpu.cfs_period_us", line, sizeof(line))) {
            return UINT32_MAX;
        }
        period = strtoull(line, &end, 10);
    }
    if (quota == 0 || period == 0) {
        return UINT32_MAX;
    }
    uint64_t cpus = (quota - 1) / period + 1;
    return cpus > UINT32_MAX ? UINT32_MAX : (unsigned)cpus;
}

/* The smallest quota from our group up to the mount. */
static unsigned
group_count(const char *root, bool is_v2)
{
    struct mount mount;
    char group[PATH_BYTES];
    char dir[2 * PATH_BYTES];
    unsigned count = UINT32_MAX;

    if (!find_group(root, is_v2, group, sizeof(group)) || !find_mount(root, is_v2, &mount)) {
        return UINT32_MAX;
    }
    /* In a container the mount shows a part of the hierarchy; a group outside of it (or "/../…") is
     * seen at its top. */
    size_t root_len = strcmp(mount.root, "/") == 0 ? 0 : strlen(mount.root);
    bool is_below = strncmp(group, mount.root, root_len) == 0 && strstr(group, "..") == NULL;
    snprintf(dir, sizeof(dir), "%s%s", mount.point, is_below ? group + root_len : "");
    size_t top = strlen(mount.point);
    for (;;) {
        unsigned here = quota_of(root, dir, is_v2);
        count = here < count ? here : count;
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= top || slash == NULL) {
            return count;
        }
        *slash = '\0';
    }
}

unsigned
proc_cpu_count(const char *root)
{
    unsigned count = affinity_count(root);
    unsigned v1 = group_count(root, false);
    unsigned v2 = group_count(root, true);

    count = v1 < count ? v1 : count;
    count = v2 < count ? v2 : count;
    return count == 0 ? 1 : count;
}
