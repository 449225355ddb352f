/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - how many CPUs this process may use: the affinity mask, limited by the smallest quota on
 * the way from our control group up to its mount (v1, v2, or both on a hybrid machine). All is read
 * from files, below a root that tests choose. A missing file is no limit.
 */
#include "cpu.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

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
affinity_count(const char *proc)
{
    static const char name[] = "Cpus_allowed_list:";
    char path[PROC_CGROUP_BYTES];
    char line[LINE_BYTES];
    unsigned count = 0;

    snprintf(path, sizeof(path), "%s/self/status", proc);
    FILE *file = fopen(path, "re");

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

/* Quota of one group in thousandths of a CPU, rounded up; UINT64_MAX when there is none. */
static uint64_t
quota_of(const struct cgroup_place *place)
{
    char line[128];
    uint64_t quota = 0;
    uint64_t period = 0;

    if (place->is_v2) {
        if (!cgroup_read_line(place, "cpu.max", line, sizeof(line)) ||
            sscanf(line, "%" SCNu64 " %" SCNu64, &quota, &period) != 2) {
            return UINT64_MAX; /* "max 100000" ends here */
        }
    } else if (!cgroup_read_u64(place, "cpu.cfs_quota_us", &quota) ||
               !cgroup_read_u64(place, "cpu.cfs_period_us", &period)) {
        return UINT64_MAX; /* so does -1 */
    }
    if (quota == 0 || period == 0 || quota > UINT64_MAX / 1000) {
        return UINT64_MAX;
    }
    return (quota * 1000 - 1) / period + 1;
}

/* The smallest quota from our group up to the mount. */
static uint64_t
group_millis(const struct cgroup_roots *roots, const char *controller)
{
    struct cgroup_place place;
    uint64_t least = UINT64_MAX;

    if (!cgroup_find(roots, controller, &place)) {
        return UINT64_MAX;
    }
    do {
        uint64_t here = quota_of(&place);
        least = here < least ? here : least;
    } while (cgroup_up(&place));
    return least;
}

uint64_t
cpu_millis(const struct cgroup_roots *roots)
{
    uint64_t millis = (uint64_t)affinity_count(roots->proc) * 1000;
    uint64_t v1 = group_millis(roots, "cpu");
    uint64_t v2 = group_millis(roots, NULL);

    millis = v1 < millis ? v1 : millis;
    return v2 < millis ? v2 : millis;
}

unsigned
proc_cpu_count(const char *root)
{
    char proc[PROC_CGROUP_BYTES];
    struct cgroup_roots roots = {.proc = proc, .cgroup = "", .below = root};

    snprintf(proc, sizeof(proc), "%s/proc", root);
    return (unsigned)((cpu_millis(&roots) - 1) / 1000 + 1);
}
