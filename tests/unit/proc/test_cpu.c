/* SPDX-License-Identifier: MIT */
/* test_cpu.c - CPU counting below fake roots, laid out as real machines show them. */
#include "../../tap.h"

#include "fake_root.h"

static unsigned
fake_count(struct fake *fake)
{
    unsigned count = fake->is_good ? proc_cpu_count(fake->root) : 0;

    return fake_remove(fake) ? count : 0;
}

static void
the_affinity_list_is_counted(void)
{
    struct fake one = fake_new("3");
    struct fake many = fake_new("0-3,8,10-11");

    CHECK_INT(fake_count(&one), 1);
    CHECK_INT(fake_count(&many), 7);
}

static void
a_machine_without_files_still_has_a_cpu(void)
{
    CHECK(proc_cpu_count("/nonexistent") >= 1);
    CHECK(proc_cpu_count("") >= 1);
}

static void
a_v2_quota_is_rounded_up_and_the_smallest_on_the_way_counts(void)
{
    struct fake fake = fake_new("0-15");

    fake_file(&fake, "/proc/self/cgroup", "0::/system.slice/augury.service\n");
    fake_file(&fake, "/proc/self/mountinfo",
              "22 1 0:21 / /proc rw - proc proc rw\n"
              "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
    fake_file(&fake, "/sys/fs/cgroup/system.slice/cpu.max", "250000 100000\n");
    fake_file(&fake, "/sys/fs/cgroup/system.slice/augury.service/cpu.max", "max 100000\n");
    CHECK_INT(fake_count(&fake), 3);
}

static void
a_quota_below_one_cpu_still_gives_one(void)
{
    struct fake fake = fake_new("0-3");

    fake_file(&fake, "/proc/self/cgroup", "0::/\n");
    fake_file(&fake, "/proc/self/mountinfo",
              "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    fake_file(&fake, "/sys/fs/cgroup/cpu.max", "10000 100000\n");
    CHECK_INT(fake_count(&fake), 1);
}

static void
a_v1_quota_counts_and_minus_one_is_none(void)
{
    struct fake limited = fake_new("0-7");
    struct fake unlimited = fake_new("0-7");
    static const char group[] = "5:memory:/a\n4:cpu,cpuacct:/a/b\n1:name=systemd:/a\n";
    static const char mounts[] =
        "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";

    fake_file(&limited, "/proc/self/cgroup", group);
    fake_file(&limited, "/proc/self/mountinfo", mounts);
    fake_file(&limited, "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "400000\n");
    fake_file(&limited, "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    CHECK_INT(fake_count(&limited), 4);
    fake_file(&unlimited, "/proc/self/cgroup", group);
    fake_file(&unlimited, "/proc/self/mountinfo", mounts);
    fake_file(&unlimited, "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    fake_file(&unlimited, "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    CHECK_INT(fake_count(&unlimited), 8);
}

static void
on_a_hybrid_machine_the_smaller_of_both_counts(void)
{
    struct fake fake = fake_new("0-7");

    fake_file(&fake, "/proc/self/cgroup", "4:cpu,cpuacct:/x\n0::/y\n");
    fake_file(&fake, "/proc/self/mountinfo",
              "32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
              "33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    fake_file(&fake, "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "600000\n");
    fake_file(&fake, "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    fake_file(&fake, "/sys/fs/cgroup/unified/y/cpu.max", "200000 100000\n");
    CHECK_INT(fake_count(&fake), 2);
}

static void
a_container_sees_its_group_at_the_mount(void)
{
    struct fake v1 = fake_new("0-7");
    struct fake v2 = fake_new("0-7");

    fake_file(&v1, "/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n");
    fake_file(&v1, "/proc/self/mountinfo",
              "32 30 0:28 /docker/abc /sys/fs/cgroup/my\\040cpu ro - cgroup cgroup rw,cpu\n");
    fake_file(&v1, "/sys/fs/cgroup/my cpu/cpu.cfs_quota_us", "150000\n");
    fake_file(&v1, "/sys/fs/cgroup/my cpu/cpu.cfs_period_us", "50000\n");
    CHECK_INT(fake_count(&v1), 3);
    fake_file(&v2, "/proc/self/cgroup", "0::/../outside\n");
    fake_file(&v2, "/proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    fake_file(&v2, "/sys/fs/cgroup/cpu.max", "500000 100000\n");
    CHECK_INT(fake_count(&v2), 5);
}

int
main(void)
{
    TAP_RUN(the_affinity_list_is_counted);
    TAP_RUN(a_machine_without_files_still_has_a_cpu);
    TAP_RUN(a_v2_quota_is_rounded_up_and_the_smallest_on_the_way_counts);
    TAP_RUN(a_quota_below_one_cpu_still_gives_one);
    TAP_RUN(a_v1_quota_counts_and_minus_one_is_none);
    TAP_RUN(on_a_hybrid_machine_the_smaller_of_both_counts);
    TAP_RUN(a_container_sees_its_group_at_the_mount);
    return tap_done();
}
