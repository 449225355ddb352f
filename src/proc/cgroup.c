/* SPDX-License-Identifier: MIT */
/*
 * cgroup.c - finds our control group. /proc/self/cgroup names it within its hierarchy ("0::/path"
 * of v2, "4:cpu,cpuacct:/path" of v1), /proc/self/mountinfo says where that hierarchy is mounted,
 * and in a container only a part of it is. Nothing here trusts a file to be there, whole, or sane.
 */
#include "cgroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096, NUMBER_BYTES = 64 };

struct mount {
    char root[PROC_CGROUP_BYTES];  /* part of the hierarchy that is mounted */
    char point[PROC_CGROUP_BYTES]; /* where */
};

static FILE *
open_in(const char *dir, const char *name)
{
    char path[2 * PROC_CGROUP_BYTES];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return fopen(path, "re");
}

/* ---- our path in the hierarchy --------------------------------------------------------------- */

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

/* One line of /proc/self/cgroup; cut at its colons. */
static bool
is_group_line(char *line, const char *controller, char *out_path, size_t size)
{
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');

    if (path == NULL) {
        return false;
    }
    *controllers++ = '\0';
    *path++ = '\0';
    bool is_ours = controller == NULL ? strcmp(line, "0") == 0 && controllers[0] == '\0'
                                      : has_word(controllers, controller);
    if (is_ours) {
        snprintf(out_path, size, "%s", path);
    }
    return is_ours;
}

static bool
find_group(const struct cgroup_roots *roots, const char *controller, char *out_path, size_t size)
{
    char line[LINE_BYTES];
    bool is_found = false;
    FILE *file = open_in(roots->proc, "self/cgroup");

    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        is_found = is_group_line(line, controller, out_path, size);
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* ---- where it is mounted --------------------------------------------------------------------- */

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
parse_mount(char *line, const char *controller, struct mount *out_mount)
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
    bool is_ours = controller == NULL
                       ? strcmp(type, "cgroup2") == 0
                       : strcmp(type, "cgroup") == 0 && has_word(options, controller);
    if (is_ours) {
        unescape(fields[3], out_mount->root, sizeof(out_mount->root));
        unescape(fields[4], out_mount->point, sizeof(out_mount->point));
    }
    return is_ours;
}

static bool
find_mount(const struct cgroup_roots *roots, const char *controller, struct mount *out_mount)
{
    char line[LINE_BYTES];
    struct mount mount;
    bool is_found = false;
    FILE *file = open_in(roots->proc, "self/mountinfo");

    while (file != NULL && !is_found && fgets(line, sizeof(line), file) != NULL) {
        is_found = parse_mount(line, controller, &mount);
    }
    if (file != NULL) {
        fclose(file);
    }
    if (is_found) {
        memcpy(out_mount->root, mount.root, sizeof(mount.root));
        int len =
            snprintf(out_mount->point, sizeof(out_mount->point), "%s%s", roots->below, mount.point);
        is_found = len > 0 && (size_t)len < sizeof(out_mount->point);
    }
    return is_found;
}

/* Where the operator says: v2 is the folder itself, a controller of v1 its subfolder. */
static bool
take_mount(const struct cgroup_roots *roots, const char *controller, struct mount *out_mount)
{
    int len = snprintf(out_mount->point, sizeof(out_mount->point), "%s%s%s", roots->cgroup,
                       controller == NULL ? "" : "/", controller == NULL ? "" : controller);

    snprintf(out_mount->root, sizeof(out_mount->root), "/");
    return len > 0 && (size_t)len < sizeof(out_mount->point);
}

bool
cgroup_find(const struct cgroup_roots *roots, const char *controller,
            struct cgroup_place *out_place)
{
    struct mount mount;
    char group[PROC_CGROUP_BYTES];
    bool is_found = find_group(roots, controller, group, sizeof(group)) &&
                    (roots->cgroup[0] != '\0' ? take_mount(roots, controller, &mount)
                                              : find_mount(roots, controller, &mount));

    if (!is_found) {
        return false;
    }
    /* In a container the mount shows a part of the hierarchy; a group outside of it (or "/../…") is
     * seen at its top. */
    size_t root_len = strcmp(mount.root, "/") == 0 ? 0 : strlen(mount.root);
    bool is_below = strncmp(group, mount.root, root_len) == 0 && strstr(group, "..") == NULL;
    const char *rest = is_below ? group + root_len : "";
    int len = snprintf(out_place->dir, sizeof(out_place->dir), "%s%s", mount.point,
                       strcmp(rest, "/") == 0 ? "" : rest);
    out_place->is_v2 = controller == NULL;
    out_place->top = strlen(mount.point);
    return len > 0 && (size_t)len < sizeof(out_place->dir);
}

bool
cgroup_up(struct cgroup_place *place)
{
    char *slash = strrchr(place->dir, '/');

    if (strlen(place->dir) <= place->top || slash == NULL) {
        return false;
    }
    *slash = '\0';
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

bool
cgroup_read_line(const struct cgroup_place *place, const char *name, char *out_line, size_t size)
{
    FILE *file = open_in(place->dir, name);
    bool is_read = file != NULL && fgets(out_line, (int)size, file) != NULL;

    if (file != NULL) {
        fclose(file);
    }
    if (is_read) {
        out_line[strcspn(out_line, "\n")] = '\0';
    }
    return is_read;
}

/* Decimal digits, then a blank or the end. */
static bool
to_u64(const char *text, uint64_t *out_value)
{
    char *end = NULL;

    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || (*end != '\0' && *end != ' ' && *end != '\n')) {
        return false;
    }
    *out_value = value;
    return true;
}

bool
cgroup_read_u64(const struct cgroup_place *place, const char *name, uint64_t *out_value)
{
    char line[NUMBER_BYTES];

    return cgroup_read_line(place, name, line, sizeof(line)) && to_u64(line, out_value);
}

bool
keyed_read(const char *path, struct keyed *rows, size_t count)
{
    char line[LINE_BYTES];
    FILE *file = fopen(path, "re");
    bool has_line = false;

    for (size_t i = 0; i < count; i++) {
        rows[i].is_there = false;
        rows[i].value = 0;
    }
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        size_t len = strcspn(line, " \t");
        const char *value = line + len + strspn(line + len, " \t");
        has_line = true;
        for (size_t i = 0; i < count; i++) {
            if (!rows[i].is_there && strlen(rows[i].name) == len &&
                memcmp(rows[i].name, line, len) == 0) {
                rows[i].is_there = to_u64(value, &rows[i].value);
            }
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return has_line;
}

bool
cgroup_read_keyed(const struct cgroup_place *place, const char *name, struct keyed *rows,
                  size_t count)
{
    char path[2 * PROC_CGROUP_BYTES];

    snprintf(path, sizeof(path), "%s/%s", place->dir, name);
    return keyed_read(path, rows, count);
}
