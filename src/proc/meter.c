/* SPDX-License-Identifier: MIT */
/*
 * meter.c - how much memory and CPU is left, read once a second from the files of the kernel. In
 * use, to a control group, is what it cannot get rid of by dropping clean pages: files that were
 * read count in memory.current, and are no pressure. Keys are looked up by name (Linux, cgroup-v2
 * and cgroup-v1/memory in Documentation/admin-guide): kernels differ in order and in what they
 * have.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

enum { LOCATE_MS = 30000, PATH_BYTES = PROC_CGROUP_BYTES + 64 };

/* A limit of v1 from here on is none: the kernel rounds "unlimited" to its pages. */
static const uint64_t unlimited_bytes = UINT64_C(1) << 62;

/* Running totals, to be compared with those of the reading before. */
struct cpu_totals {
    bool has_host, has_group;
    uint64_t host_busy, host_all; /* ticks of all CPUs */
    uint64_t group_us;
    uint64_t at_mono_ms;
};

struct proc_meter {
    char proc[PROC_CGROUP_BYTES];
    char cgroup[PROC_CGROUP_BYTES];
    bool is_located;
    uint64_t located_mono_ms;
    bool has_v1_memory, has_v1_cpu, has_v2;
    struct cgroup_place v1_memory, v1_cpu, v2;
    uint64_t cpu_millis; /* that we may use */
    struct cpu_totals cpu;
};

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t
minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* One more bound: whoever leaves least, in bytes and in share, is the one that counts. */
static void
bound_add(struct proc_reading *reading, uint64_t total, uint64_t available)
{
    available = available < total ? available : total;
    double headroom = total > 0 ? (double)available / (double)total : 0;

    if (!reading->has_memory || total < reading->total_bytes) {
        reading->total_bytes = total;
    }
    if (!reading->has_memory || available < reading->available_bytes) {
        reading->available_bytes = available;
    }
    if (!reading->has_memory || headroom < reading->headroom) {
        reading->headroom = headroom;
    }
    reading->has_memory = true;
}

/* What the group cannot drop. Unknown keys of an older kernel: all but the files read lately. */
static uint64_t
v2_used_bytes(const struct cgroup_place *place)
{
    struct keyed rows[] = {{.name = "anon"},          {.name = "shmem"},
                           {.name = "sock"},          {.name = "slab_unreclaimable"},
                           {.name = "kernel_stack"},  {.name = "pagetables"},
                           {.name = "percpu"},        {.name = "file_dirty"},
                           {.name = "file_writeback"}};
    uint64_t current = 0;
    uint64_t used = 0;
    bool has_current = cgroup_read_u64(place, "memory.current", &current);

    if (!cgroup_read_keyed(place, "memory.stat", rows, AUGURY_COUNT(rows)) || !rows[0].is_there) {
        return current;
    }
    for (size_t i = 0; i < AUGURY_COUNT(rows); i++) {
        used = rows[i].value > UINT64_MAX - used ? UINT64_MAX : used + rows[i].value;
    }
    return has_current && used > current ? current : used;
}

static uint64_t
v1_used_bytes(const struct cgroup_place *place)
{
    struct keyed rows[] = {{.name = "total_inactive_file"},
                           {.name = "total_active_file"},
                           {.name = "total_dirty"},
                           {.name = "total_writeback"}};
    uint64_t usage = 0;

    if (!cgroup_read_u64(place, "memory.usage_in_bytes", &usage)) {
        return 0;
    }
    (void)cgroup_read_keyed(place, "memory.stat", rows, AUGURY_COUNT(rows));
    uint64_t clean = minus(rows[0].value + rows[1].value, rows[2].value + rows[3].value);
    return minus(usage, clean);
}

static bool
limit_of(const struct cgroup_place *place, uint64_t *out_limit)
{
    uint64_t max = UINT64_MAX;
    uint64_t high = UINT64_MAX;

    if (place->is_v2) {
        (void)cgroup_read_u64(place, "memory.max", &max);
        (void)cgroup_read_u64(place, "memory.high", &high);
    } else {
        (void)cgroup_read_u64(place, "memory.limit_in_bytes", &max);
    }
    *out_limit = max < high ? max : high;
    return *out_limit < unlimited_bytes;
}

static void
group_read(struct cgroup_place place, struct proc_reading *reading)
{
    uint64_t limit = 0;

    do {
        if (limit_of(&place, &limit)) {
            uint64_t used = place.is_v2 ? v2_used_bytes(&place) : v1_used_bytes(&place);
            bound_add(reading, limit, minus(limit, used));
        }
    } while (cgroup_up(&place));
}

static void
host_read(const struct proc_meter *meter, struct proc_reading *reading)
{
    struct keyed rows[] = {{.name = "MemTotal:"}, {.name = "MemAvailable:"}};
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/meminfo", meter->proc);
    if (keyed_read(path, rows, AUGURY_COUNT(rows)) && rows[0].is_there && rows[1].is_there &&
        rows[0].value < UINT64_MAX / 1024) {
        uint64_t kib = rows[1].value < rows[0].value ? rows[1].value : rows[0].value;
        bound_add(reading, rows[0].value * 1024, kib * 1024);
    }
}

static void
events_read(const struct proc_meter *meter, struct proc_reading *reading)
{
    struct keyed v2[] = {{.name = "max"}, {.name = "oom"}, {.name = "oom_kill"}};
    struct keyed v1[] = {{.name = "oom_kill"}};
    uint64_t failures = 0;

    if (meter->has_v2 && cgroup_read_keyed(&meter->v2, "memory.events", v2, AUGURY_COUNT(v2))) {
        reading->limit_events += v2[0].value;
        reading->oom_events += v2[1].value + v2[2].value;
    }
    if (meter->has_v1_memory) {
        reading->limit_events +=
            cgroup_read_u64(&meter->v1_memory, "memory.failcnt", &failures) ? failures : 0;
        (void)cgroup_read_keyed(&meter->v1_memory, "memory.oom_control", v1, AUGURY_COUNT(v1));
        reading->oom_events += v1[0].value;
    }
}

/* ---- pressure -------------------------------------------------------------------------------- */

/* "full avg10=1.23 avg60=…". Where the kernel was told not to keep it, the file is there and
 * reading it fails. */
static void
psi_read(const char *path, struct proc_reading *reading)
{
    char line[256];
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        double avg10 = -1;
        bool is_full = sscanf(line, "full avg10=%lf", &avg10) == 1;
        /* Also false for what is no number. */
        if (is_full && avg10 >= 0 && avg10 <= 100) {
            bool is_more = !reading->has_psi || avg10 > reading->psi_full_avg10;
            reading->psi_full_avg10 = is_more ? avg10 : reading->psi_full_avg10;
            reading->has_psi = true;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void
pressure_read(const struct proc_meter *meter, struct proc_reading *reading)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof(path), "%s/pressure/memory", meter->proc);
    psi_read(path, reading);
    if (meter->has_v2) {
        snprintf(path, sizeof(path), "%s/memory.pressure", meter->v2.dir);
        psi_read(path, reading);
    }
}

/* ---- CPU ------------------------------------------------------------------------------------- */

/* "cpu user nice system idle iowait irq softirq steal …": idle is what nobody wanted. */
static bool
host_cpu(const struct proc_meter *meter, struct cpu_totals *totals)
{
    char path[PATH_BYTES];
    char line[512];
    uint64_t ticks[8] = {0};

    snprintf(path, sizeof(path), "%s/stat", meter->proc);
    FILE *file = fopen(path, "re");
    bool is_read = file != NULL && fgets(line, sizeof(line), file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    if (!is_read || sscanf(line,
                           "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                           " %" SCNu64 " %" SCNu64 " %" SCNu64,
                           &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5],
                           &ticks[6], &ticks[7]) < 4) {
        return false;
    }
    totals->host_all = 0;
    for (size_t i = 0; i < AUGURY_COUNT(ticks); i++) {
        totals->host_all += ticks[i];
    }
    totals->host_busy = totals->host_all - ticks[3] - ticks[4];
    return true;
}

static bool
group_cpu(const struct proc_meter *meter, uint64_t *out_us)
{
    struct keyed rows[] = {{.name = "usage_usec"}};
    uint64_t ns = 0;

    if (meter->has_v2 && cgroup_read_keyed(&meter->v2, "cpu.stat", rows, AUGURY_COUNT(rows)) &&
        rows[0].is_there) {
        *out_us = rows[0].value;
        return true;
    }
    if (meter->has_v1_cpu && cgroup_read_u64(&meter->v1_cpu, "cpuacct.usage", &ns)) {
        *out_us = ns / 1000;
        return true;
    }
    return false;
}

/* Totals that fall (another group, another machine after a move) give no figure. */
static void
cpu_read(struct proc_meter *meter, uint64_t now_mono_ms, struct proc_reading *reading)
{
    struct cpu_totals now = {.at_mono_ms = now_mono_ms};
    const struct cpu_totals *old = &meter->cpu;
    double percent = -1;

    now.has_host = host_cpu(meter, &now);
    now.has_group = group_cpu(meter, &now.group_us);
    if (now.has_host && old->has_host && now.host_all > old->host_all &&
        now.host_busy >= old->host_busy) {
        percent = 100.0 * (double)(now.host_busy - old->host_busy) /
                  (double)(now.host_all - old->host_all);
    }
    if (now.has_group && old->has_group && now_mono_ms > old->at_mono_ms &&
        now.group_us >= old->group_us) {
        double allowed_us = (double)(now_mono_ms - old->at_mono_ms) * (double)meter->cpu_millis;
        double group = 100.0 * (double)(now.group_us - old->group_us) / allowed_us;
        percent = group > percent ? group : percent;
    }
    meter->cpu = now;
    reading->has_cpu = percent >= 0;
    reading->cpu_percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
}

/* ---- the meter ------------------------------------------------------------------------------- */

static void
locate(struct proc_meter *meter, uint64_t now_mono_ms)
{
    struct cgroup_roots roots = {.proc = meter->proc, .cgroup = meter->cgroup, .below = ""};
    uint64_t age_ms = minus(now_mono_ms, meter->located_mono_ms);

    if (meter->is_located && age_ms < LOCATE_MS) {
        return;
    }
    meter->is_located = true;
    meter->located_mono_ms = now_mono_ms;
    meter->has_v2 = cgroup_find(&roots, NULL, &meter->v2);
    meter->has_v1_memory = cgroup_find(&roots, "memory", &meter->v1_memory);
    meter->has_v1_cpu = cgroup_find(&roots, "cpuacct", &meter->v1_cpu);
    meter->cpu_millis = cpu_millis(&roots);
}

int
proc_meter_new(const char *proc, const char *cgroup, struct proc_meter **out_meter)
{
    struct proc_meter *meter = calloc(1, sizeof(*meter));

    if (meter == NULL) {
        return AUGURY_ERR_NOMEM;
    }
    if (strlen(proc) >= sizeof(meter->proc) || strlen(cgroup) >= sizeof(meter->cgroup)) {
        free(meter);
        return AUGURY_ERR_LIMIT;
    }
    memcpy(meter->proc, proc, strlen(proc) + 1);
    memcpy(meter->cgroup, cgroup, strlen(cgroup) + 1);
    *out_meter = meter;
    return 0;
}

void
proc_meter_free(struct proc_meter **meter)
{
    free(*meter);
    *meter = NULL;
}

void
proc_meter_read(struct proc_meter *meter, uint64_t now_mono_ms, struct proc_reading *out_reading)
{
    struct proc_reading reading = {.has_memory = false};

    locate(meter, now_mono_ms);
    host_read(meter, &reading);
    if (meter->has_v2) {
        group_read(meter->v2, &reading);
    }
    if (meter->has_v1_memory) {
        group_read(meter->v1_memory, &reading);
    }
    events_read(meter, &reading);
    pressure_read(meter, &reading);
    cpu_read(meter, now_mono_ms, &reading);
    *out_reading = reading;
}
