/* SPDX-License-Identifier: MIT */
/*
 * test_meter.c - memory, pressure and CPU read below fake roots. What the files hold is taken from
 * machines of each kind; what is expected of them follows from the kernel's documentation of each
 * key.
 */
#include "../../tap.h"

#include "fake_root.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const char meminfo_8g[] = "MemTotal:        8388608 kB\nMemFree:          100000 kB\n"
                                 "MemAvailable:    6291456 kB\nSwapTotal:  0 kB\n";

/* Takes "cgroup2 POINT" as it is mounted below the fake root. */
static void
fake_mounts(struct fake *fake, const char *v2, const char *v1_memory, const char *v1_cpu)
{
    char text[1024] = "22 1 0:21 / /proc rw - proc proc rw\n";
    size_t used = strlen(text);

    if (v2 != NULL) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "30 23 0:26 / %s%s rw - cgroup2 cgroup2 rw\n", fake->root, v2);
    }
    if (v1_memory != NULL) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "31 23 0:27 / %s%s rw - cgroup cgroup rw,memory\n", fake->root,
                                 v1_memory);
    }
    if (v1_cpu != NULL) {
        (void)snprintf(text + used, sizeof(text) - used,
                       "32 23 0:28 / %s%s rw - cgroup cgroup rw,cpu,cpuacct\n", fake->root, v1_cpu);
    }
    fake_file(fake, "/proc/self/mountinfo", text);
}

static struct proc_meter *
fake_meter(const struct fake *fake, const char *cgroup)
{
    struct proc_meter *meter = NULL;
    char proc[128];

    snprintf(proc, sizeof(proc), "%s/proc", fake->root);
    return proc_meter_new(proc, cgroup, &meter) == 0 ? meter : NULL;
}

static struct proc_reading
read_once(struct fake *fake)
{
    struct proc_reading reading = {.total_bytes = 1, .has_psi = true, .has_memory = true};
    struct proc_meter *meter = fake_meter(fake, "");

    if (fake->is_good && meter != NULL) {
        proc_meter_read(meter, 1000, &reading);
    }
    proc_meter_free(&meter);
    (void)fake_remove(fake);
    return reading;
}

static void
a_machine_without_groups_has_what_meminfo_says(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/meminfo", meminfo_8g);
    struct proc_reading reading = read_once(&fake);
    CHECK(reading.has_memory);
    CHECK_INT(reading.total_bytes, 8 * GIB);
    CHECK_INT(reading.available_bytes, 6 * GIB);
    CHECK(reading.headroom == 0.75);
    CHECK(!reading.has_psi);
    CHECK(!reading.has_cpu);
}

static void
v2_counts_what_cannot_be_dropped(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/meminfo", meminfo_8g);
    fake_file(&fake, "/proc/self/cgroup", "0::/system.slice/augury.service\n");
    fake_mounts(&fake, "/cg", NULL, NULL);
    fake_file(&fake, "/cg/system.slice/augury.service/memory.max", "1073741824\n");
    fake_file(&fake, "/cg/system.slice/augury.service/memory.high", "max\n");
    fake_file(&fake, "/cg/system.slice/augury.service/memory.current", "1000000000\n");
    /* 100 + 50 + 10 + 20 MiB stay; 700 MB of files that were read do not. */
    fake_file(&fake, "/cg/system.slice/augury.service/memory.stat",
              "anon 104857600\nfile 800000000\nkernel_stack 0\nshmem 52428800\n"
              "file_dirty 10485760\nslab_reclaimable 5000000\nslab_unreclaimable 20971520\n"
              "inactive_file 700000000\n");
    fake_file(&fake, "/cg/system.slice/augury.service/memory.events",
              "low 0\nhigh 9\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n");
    struct proc_reading reading = read_once(&fake);
    CHECK_INT(reading.total_bytes, GIB);
    CHECK_INT(reading.available_bytes, GIB - 180 * MIB);
    CHECK_INT(reading.limit_events, 3);
    CHECK_INT(reading.oom_events, 3);
}

static void
the_tightest_group_on_the_way_up_counts(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/meminfo", meminfo_8g);
    fake_file(&fake, "/proc/self/cgroup", "0::/a/b/c\n");
    fake_mounts(&fake, "/cg", NULL, NULL);
    fake_file(&fake, "/cg/a/memory.max", "4294967296\n");
    fake_file(&fake, "/cg/a/memory.current", "4194304000\n");
    fake_file(&fake, "/cg/a/memory.stat", "anon 4194304000\n");
    fake_file(&fake, "/cg/a/b/memory.max", "max\n");
    fake_file(&fake, "/cg/a/b/c/memory.max", "2147483648\n");
    fake_file(&fake, "/cg/a/b/c/memory.high", "1073741824\n");
    fake_file(&fake, "/cg/a/b/c/memory.current", "536870912\n");
    fake_file(&fake, "/cg/a/b/c/memory.stat", "anon 536870912\n");
    struct proc_reading reading = read_once(&fake);
    CHECK_INT(reading.total_bytes, GIB);                           /* high of c */
    CHECK_INT(reading.available_bytes, 4 * GIB - 4194304000);      /* left in a: 96 MiB */
    CHECK(reading.headroom > 0.0234 && reading.headroom < 0.0235); /* of a's limit: 2.34 % */
}

static void
v1_leaves_out_clean_files_and_knows_unlimited(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/meminfo", meminfo_8g);
    fake_file(&fake, "/proc/self/cgroup", "4:memory:/x/y\n3:cpu,cpuacct:/\n0::/\n");
    fake_mounts(&fake, "/cg/unified", "/cg/memory", "/cg/cpu,cpuacct");
    fake_file(&fake, "/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    fake_file(&fake, "/cg/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
    fake_file(&fake, "/cg/memory/x/y/memory.limit_in_bytes", "2147483648\n");
    fake_file(&fake, "/cg/memory/x/y/memory.usage_in_bytes", "2000000000\n");
    fake_file(&fake, "/cg/memory/x/y/memory.stat",
              "cache 1600000000\nrss 400000000\ndirty 1\ninactive_file 5\n"
              "total_inactive_file 1000000000\ntotal_active_file 500000000\n"
              "total_dirty 90000000\ntotal_writeback 10000000\n");
    fake_file(&fake, "/cg/memory/x/y/memory.failcnt", "7\n");
    fake_file(&fake, "/cg/memory/x/y/memory.oom_control",
              "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
    struct proc_reading reading = read_once(&fake);
    CHECK_INT(reading.total_bytes, 2 * GIB);
    CHECK_INT(reading.available_bytes, 2 * GIB - 600000000);
    CHECK_INT(reading.limit_events, 7);
    CHECK_INT(reading.oom_events, 4);
}

static void
a_limit_below_what_is_used_leaves_nothing(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/meminfo", meminfo_8g);
    fake_file(&fake, "/proc/self/cgroup", "0::/g\n");
    fake_mounts(&fake, "/cg", NULL, NULL);
    fake_file(&fake, "/cg/g/memory.max", "1048576\n");
    fake_file(&fake, "/cg/g/memory.current", "9000000\n");
    fake_file(&fake, "/cg/g/memory.stat", "anon 9000000\n");
    struct proc_reading reading = read_once(&fake);
    CHECK_INT(reading.available_bytes, 0);
    CHECK(reading.headroom == 0);
}

static void
garbage_is_as_good_as_no_file(void)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "garbage\n",
                                        "-1\n",
                                        "99999999999999999999999\n",
                                        "max\n",
                                        "0x10\n",
                                        "MemTotal: lots kB\n",
                                        "full avg10=nan\nsome\n",
                                        "12abc\n"};
    static const char *const files[] = {
        "/proc/meminfo",         "/proc/stat",        "/proc/pressure/memory",
        "/cg/g/memory.max",      "/cg/g/memory.stat", "/cg/g/memory.events",
        "/cg/g/memory.pressure", "/cg/g/cpu.stat",    "/cg/g/cpu.max"};

    for (size_t i = 0; i < AUGURY_COUNT(texts); i++) {
        struct fake fake = fake_new("0-3");
        fake_file(&fake, "/proc/self/cgroup", "0::/g\nnonsense\n4:\n:::::\n");
        fake_mounts(&fake, "/cg", NULL, NULL);
        for (size_t k = 0; k < AUGURY_COUNT(files); k++) {
            fake_file(&fake, files[k], texts[i]);
        }
        struct proc_reading reading = read_once(&fake);
        CHECK(!reading.has_memory && !reading.has_psi && !reading.has_cpu);
    }
    struct fake fake = fake_new("0-3");
    fake_file(&fake, "/proc/self/cgroup", "\x01\x02\xff");
    fake_file(&fake, "/proc/self/mountinfo", " - \n - cgroup2\n- - -\n");
    CHECK(!read_once(&fake).has_memory);
}

static void
pressure_that_cannot_be_read_is_no_pressure(void)
{
    struct fake fake = fake_new("0-3");

    /* Opens and fails to be read, as where the kernel keeps none: a folder does that too. */
    fake_file(&fake, "/proc/pressure/memory/x", "");
    CHECK(!read_once(&fake).has_psi);
}

static void
the_worse_pressure_of_machine_and_group_counts(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/self/cgroup", "0::/g\n");
    fake_mounts(&fake, "/cg", NULL, NULL);
    fake_file(&fake, "/proc/pressure/memory",
              "some avg10=30.00 avg60=1.00 avg300=0.00 total=5\n"
              "full avg10=1.50 avg60=0.10 avg300=0.00 total=3\n");
    fake_file(&fake, "/cg/g/memory.pressure",
              "some avg10=80.00 avg60=1.00 avg300=0.00 total=5\n"
              "full avg10=12.25 avg60=0.10 avg300=0.00 total=3\n");
    struct proc_reading reading = read_once(&fake);
    CHECK(reading.has_psi);
    CHECK(reading.psi_full_avg10 == 12.25);
}

static void
cpu_is_what_was_used_since_the_last_reading(void)
{
    struct fake fake = fake_new("0-3");
    struct proc_reading reading;

    fake_file(&fake, "/proc/self/cgroup", "0::/g\n");
    fake_mounts(&fake, "/cg", NULL, NULL);
    fake_file(&fake, "/proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1\n");
    fake_file(&fake, "/cg/g/cpu.max", "200000 100000\n");
    fake_file(&fake, "/cg/g/cpu.stat", "usage_usec 5000000\nuser_usec 1\n");
    struct proc_meter *meter = fake_meter(&fake, "");
    proc_meter_read(meter, 1000, &reading);
    CHECK(!reading.has_cpu); /* nothing to compare with */
    /* 40 of 400 ticks busy, iowait is idle: 10 %. Group: 1.5 s in 1 s of two CPUs: 75 %. */
    fake_file(&fake, "/proc/stat", "cpu  120 0 110 1100 60 4 4 2 0 0\n");
    fake_file(&fake, "/cg/g/cpu.stat", "usage_usec 6500000\n");
    proc_meter_read(meter, 2000, &reading);
    CHECK(reading.has_cpu);
    CHECK(reading.cpu_percent == 75.0);
    fake_file(&fake, "/proc/stat", "cpu  210 0 110 1110 60 4 4 2 0 0\n"); /* 90 of 100 */
    fake_file(&fake, "/cg/g/cpu.stat", "usage_usec 6500000\n");
    proc_meter_read(meter, 3000, &reading);
    CHECK(reading.cpu_percent == 90.0);
    fake_file(&fake, "/proc/stat", "cpu  1 0 1 1 0 0 0 0 0 0\n"); /* went back */
    fake_file(&fake, "/cg/g/cpu.stat", "usage_usec 1\n");
    proc_meter_read(meter, 4000, &reading);
    CHECK(!reading.has_cpu);
    proc_meter_free(&meter);
    CHECK(fake_remove(&fake));
}

static void
the_operator_may_say_where_groups_are(void)
{
    struct fake fake = fake_new("0-3");
    struct proc_reading reading;
    char cgroup[128];

    fake_file(&fake, "/proc/self/cgroup", "5:memory:/m\n3:cpuacct:/c\n0::/g\n");
    fake_file(&fake, "/elsewhere/g/memory.max", "3000\n");
    fake_file(&fake, "/elsewhere/memory/m/memory.limit_in_bytes", "2000\n");
    fake_file(&fake, "/elsewhere/memory/m/memory.usage_in_bytes", "500\n");
    snprintf(cgroup, sizeof(cgroup), "%s/elsewhere", fake.root);
    struct proc_meter *meter = fake_meter(&fake, cgroup);
    proc_meter_read(meter, 1000, &reading);
    CHECK_INT(reading.total_bytes, 2000);
    CHECK_INT(reading.available_bytes, 1500);
    proc_meter_free(&meter);
    CHECK(fake_remove(&fake));
}

static void
a_group_is_looked_for_again_after_half_a_minute(void)
{
    struct fake fake = fake_new("0-3");
    struct proc_reading reading;

    fake_file(&fake, "/proc/self/cgroup", "0::/old\n");
    fake_mounts(&fake, "/cg", NULL, NULL);
    fake_file(&fake, "/cg/old/memory.max", "1000\n");
    fake_file(&fake, "/cg/new/memory.max", "5000\n");
    struct proc_meter *meter = fake_meter(&fake, "");
    proc_meter_read(meter, 1000, &reading);
    CHECK_INT(reading.total_bytes, 1000);
    fake_file(&fake, "/proc/self/cgroup", "0::/new\n");
    fake_file(&fake, "/cg/old/memory.max", "900\n"); /* a changed limit is seen at once */
    proc_meter_read(meter, 30000, &reading);
    CHECK_INT(reading.total_bytes, 900);
    proc_meter_read(meter, 31000, &reading);
    CHECK_INT(reading.total_bytes, 5000);
    proc_meter_free(&meter);
    CHECK(fake_remove(&fake));
}

static void
this_machine_can_be_read(void)
{
    struct proc_meter *meter = NULL;
    struct proc_reading reading;

    CHECK_INT(proc_meter_new("/proc", "", &meter), 0);
    proc_meter_read(meter, 1000, &reading);
    CHECK(reading.has_memory);
    CHECK(reading.available_bytes <= reading.total_bytes);
    CHECK(reading.headroom >= 0 && reading.headroom <= 1);
    proc_meter_free(&meter);
}

int
main(void)
{
    TAP_RUN(a_machine_without_groups_has_what_meminfo_says);
    TAP_RUN(v2_counts_what_cannot_be_dropped);
    TAP_RUN(the_tightest_group_on_the_way_up_counts);
    TAP_RUN(v1_leaves_out_clean_files_and_knows_unlimited);
    TAP_RUN(a_limit_below_what_is_used_leaves_nothing);
    TAP_RUN(garbage_is_as_good_as_no_file);
    TAP_RUN(pressure_that_cannot_be_read_is_no_pressure);
    TAP_RUN(the_worse_pressure_of_machine_and_group_counts);
    TAP_RUN(cpu_is_what_was_used_since_the_last_reading);
    TAP_RUN(the_operator_may_say_where_groups_are);
    TAP_RUN(a_group_is_looked_for_again_after_half_a_minute);
    TAP_RUN(this_machine_can_be_read);
    return tap_done();
}
