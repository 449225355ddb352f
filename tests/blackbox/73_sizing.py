#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The cache's size follows what memory is left: a folder stands in for /proc and the control groups, and is rewritten while
the daemon runs. The controller's patience is shortened to seconds; everything else is as shipped."""
import http.client
import json
import os
import random
import signal
import subprocess

import harness
from harness import BUILD, SOURCE, check, contains, equal, wait_for

MODEL = os.path.abspath(os.path.join(SOURCE, "tests/data/nfl-wp/model.json"))
MIB = 1 << 20
GIB = 1 << 30
BASE = 8 * MIB


class Machine:
    """What the kernel of a small machine says."""

    def __init__(self, folder):
        self.folder = folder
        self.group = os.path.join(folder, "cgroup", "augury")
        os.makedirs(os.path.join(folder, "proc", "self"))
        os.makedirs(os.path.join(folder, "proc", "pressure"))
        os.makedirs(self.group)
        self.write("proc/self/cgroup", "0::/augury\n")
        self.write("proc/self/mountinfo", f"30 23 0:26 / {folder}/cgroup rw - cgroup2 cgroup2 rw\n")
        self.write("proc/self/status", "Cpus_allowed_list:\t0-3\n")
        self.available(16 * GIB)
        self.stalled(0.0)
        self.busy = self.ticks = 0

    def write(self, name, text):
        """As the kernel does it: never half a file."""
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def available(self, size, total=32 * GIB):
        self.write("proc/meminfo", f"MemTotal: {total >> 10} kB\nMemFree: 1 kB\nMemAvailable: {size >> 10} kB\n")

    def stalled(self, percent):
        self.write("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                                           f"full avg10={percent:.2f} avg60=0.00 avg300=0.00 total=0\n")

    def limit(self, size, used):
        self.write("cgroup/augury/memory.max", f"{size}\n")
        self.write("cgroup/augury/memory.current", f"{used}\n")
        self.write("cgroup/augury/memory.stat", f"anon {used}\nfile 0\n")

    def events(self, oom):
        self.write("cgroup/augury/memory.events", f"low 0\nhigh 0\nmax 0\noom {oom}\noom_kill {oom}\n")


def prepare(daemon, **options):
    machine = Machine(os.path.join(daemon.dir, "machine"))
    daemon.sections["cache"] = {"size": "8MiB"}
    daemon.sections["supervisor"] = {"proc": f'"{machine.folder}/proc"', "interval": "100ms", "patience": "2s", **options}
    daemon.start()
    wait_for(lambda: state(daemon) is not None, "the first look")
    return machine


def state(daemon):
    return daemon.admin_json("controller")


def quota(daemon):
    return daemon.admin_json("cache stats")["quota_bytes"]


def asker(daemon):
    """A function that asks 2,000 questions never asked before."""
    equal(daemon.admin(f"model import trees {MODEL}")[0], 0)
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=30)
    names = [feature["name"] for feature in daemon.admin_json("model show trees")["features"]]

    def ask():
        rows = [[random.random() * 10 for _ in names] for _ in range(2000)]
        connection.request("POST", "/api/v1/predict/trees", json.dumps({"columns": names, "data": rows}),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        equal(answer.status, 200, str(body[:300]))

    return ask


def fill(daemon):
    """Entries until the cache holds what its quota allows."""
    ask = asker(daemon)

    def is_full():
        ask()
        stats = daemon.admin_json("cache stats")
        return stats["used_bytes"] > stats["quota_bytes"] * 9 // 10

    wait_for(is_full, "a full cache", 30)


def resized(daemon, **values):
    return daemon.events("cache_resized", **values)


def test_quota_and_entries_follow_available_memory_down_and_back(daemon):
    machine = prepare(daemon, memory_steps='"2GiB:25, 4GiB:50, 8GiB:75"', ceiling="8MiB")
    fill(daemon)
    equal(quota(daemon), BASE)
    check(not resized(daemon), "nothing has called for a change")
    for left, percent in ((6, 75), (3, 50), (1, 25)):
        machine.available(left * GIB)
        wait_for(lambda: quota(daemon) == BASE * percent // 100, f"{percent} % with {left} GiB left", 5)
        wait_for(lambda: daemon.admin_json("cache stats")["used_bytes"] <= quota(daemon), "entries have gone", 5)
    equal(len(resized(daemon, action="shrink", reason="memory_step")), 3)
    machine.available(16 * GIB)
    wait_for(lambda: quota(daemon) == BASE, "the configured size again", 20)
    lines = resized(daemon)
    equal([line["action"] for line in lines if line["action"] == "shrink"], ["shrink"] * 3)
    check(len(lines) >= 6 and all(line["reason"] == "recovering" for line in lines[3:]), f"{lines}")
    for line in lines:
        for name in ("from", "to", "used", "resident", "available", "total", "headroom", "psi_full", "cpu", "limit_events"):
            check(name in line, f"{name} in {line}")
    daemon.stop()


def test_a_limit_on_the_group_counts_as_memory(daemon):
    machine = prepare(daemon)
    machine.limit(3 * GIB, 1 * GIB)  # 2 GiB left: the step below 4 GiB
    wait_for(lambda: quota(daemon) == BASE // 2, "half")
    machine.limit(3 * GIB, 4 * GIB)  # below what is used
    wait_for(lambda: quota(daemon) == BASE // 4, "the floor", 5)
    wait_for(lambda: daemon.events("cache_at_floor"), "an alarm")
    equal(len(daemon.events("cache_at_floor")), 1)
    daemon.stop()


def test_an_emergency_halves_at_once(daemon):
    machine = prepare(daemon)
    machine.stalled(35.0)
    event = daemon.wait_event("cache_resized", action="emergency", seconds=3)[0]
    equal((event["reason"], event["from"], event["to"]), ("memory_stalls", str(BASE), str(BASE // 2)))
    equal(event["level"], "warn")
    machine.stalled(0.0)
    wait_for(lambda: quota(daemon) == BASE, "the configured size again", 20)
    machine.events(1)
    wait_for(lambda: resized(daemon, reason="limit_hit"), "a kill for want of memory")
    metrics = daemon.metrics()
    check(metrics['augury_controller_actions_total{action="emergency",reason="memory_stalls"}'] >= 1, "counted")
    check(metrics['augury_controller_actions_total{action="grow",reason="recovering"}'] >= 1, "counted")
    check(metrics["augury_controller_available_bytes"] == 16 * GIB, "shown")
    daemon.stop()


def test_files_that_vanish_or_make_no_sense_change_nothing(daemon):
    machine = prepare(daemon)
    for text in ("", "garbage\n", "MemTotal: many\nMemAvailable: -1 kB\n", "\0" * 5000):
        machine.write("proc/meminfo", text)
        wait_for(lambda: state(daemon)["reason"] == "memory_unknown", repr(text[:20]))
        equal(quota(daemon), BASE)
        machine.available(16 * GIB)
        wait_for(lambda: state(daemon)["reason"] != "memory_unknown", "figures again")
    os.unlink(os.path.join(machine.folder, "proc/meminfo"))
    wait_for(lambda: state(daemon)["reason"] == "memory_unknown", "no file")
    check(not resized(daemon), "held")
    daemon.stop()


def test_a_size_is_pinned_until_it_is_let_go(daemon):
    machine = prepare(daemon)
    augury = os.path.join(BUILD, "augury")

    def run(*words):
        return subprocess.run([augury, "-c", daemon.conf_path, *words], capture_output=True, text=True, check=False, timeout=30)

    done = run("resize", "6MiB", "-j")
    equal((done.returncode, json.loads(done.stdout)["quota_bytes"]), (0, 6 * MIB))
    machine.available(1 * GIB)
    wait_for(lambda: state(daemon)["available_bytes"] == 1 * GIB, "seen")
    equal(state(daemon)["reason"], "pinned")
    equal(quota(daemon), 6 * MIB)
    equal(daemon.admin_json("reload")["reloaded"], True)
    equal(quota(daemon), 6 * MIB, "after a reload")
    os.kill(daemon.children()["supervisor"], signal.SIGKILL)
    wait_for(lambda: quota(daemon) == 6 * MIB, "after the supervisor's death")
    equal(state(daemon)["reason"], "pinned")
    equal(run("resize", "auto").returncode, 0)
    wait_for(lambda: quota(daemon) == BASE // 4, "what memory allows")
    for words, text in ((("resize", "64KiB"), "4194304"), (("resize", "1TiB"), "70 %"), (("resize", "much"), "512MiB"),
                        (("resize",), "one size"), (("resize", "1", "2"), "one size")):
        done = run(*words)
        check(done.returncode in (1, 2), f"{words}: {done}")
        contains(done.stderr, text)
    contains(run("controller").stdout, "memory_step")
    daemon.stop()


def test_a_reload_with_another_size_takes_it(daemon):
    machine = prepare(daemon)
    machine.available(1 * GIB)
    wait_for(lambda: quota(daemon) == BASE // 4, "the floor")
    machine.available(16 * GIB)
    daemon.sections["cache"]["size"] = "6MiB"
    daemon.write_conf()
    equal(daemon.admin_json("reload")["reloaded"], True)
    wait_for(lambda: quota(daemon) == 6 * MIB, "the new size")
    daemon.sections["supervisor"]["auto"] = "no"
    daemon.write_conf()
    equal(daemon.admin_json("reload")["reloaded"], True)
    machine.available(1 * GIB)
    wait_for(lambda: state(daemon)["reason"] == "not_automatic" and state(daemon)["available_bytes"] == 1 * GIB, "off")
    equal(quota(daemon), 6 * MIB)
    daemon.stop()


def test_bad_options_are_refused_with_reasons(daemon):
    cases = (({"memory_steps": '"2GiB"'}, "steps such as"), ({"memory_steps": '"4GiB:50, 2GiB:25"'}, "rising"),
             ({"memory_steps": '"1:1, 2:2, 3:3, 4:4, 5:5"'}, "at most 4"), ({"memory_steps": '"2GiB:101"'}, "1 to 100"),
             ({"floor": "9MiB"}, "between floor and ceiling"), ({"ceiling": "7MiB"}, "between floor and ceiling"),
             ({"shrink_below": "20", "grow_above": "20"}, "more than shrink_below"), ({"proc": "proc"}, "an absolute path"))
    daemon.sections["cache"] = {"size": "8MiB"}
    for options, text in cases:
        daemon.sections["supervisor"] = options
        daemon.write_conf()
        done = daemon.command("-t")
        check(done.returncode != 0, f"{options} is refused")
        contains(done.stderr, text)


def test_performance_shows_the_history_and_what_to_change(daemon):
    prepare(daemon, ceiling="8MiB")
    fill(daemon)
    status, body = daemon.get("/api/v1/performance")
    equal(status, 200)
    document = json.loads(body)
    controller = document["controller"]
    equal((controller["configured_bytes"], controller["floor_bytes"], controller["ceiling_bytes"]), (BASE, BASE // 4, BASE))

    def advices():
        return {row["what"]: row for row in json.loads(daemon.get("/api/v1/performance")[1])["recommendations"]}

    ask = asker(daemon)

    def advice_on_a_full_cache():
        ask()  # of the last 100 samples' lookups the ratio is
        found = advices()
        return found if found.get("cache_used", {"figure": 0})["figure"] > 0.9 and "hit_ratio" in found else None

    advice = wait_for(advice_on_a_full_cache, "over 90 % used, and few hits")
    contains(advice["cache_used"]["advice"], "raise cache.size")
    check(advice["hit_ratio"]["figure"] < 0.8, f"{advice}")
    equal(daemon.admin("cache flush")[0], 0)

    def rows():
        return json.loads(daemon.get("/api/v1/performance")[1])

    wait_for(lambda: len(rows()["controller"]["history"]) == 100, "100 samples", 20)
    wait_for(lambda: [row for row in rows()["recommendations"] if row["what"] == "cache_used" and row["figure"] < 0.25],
             "little used for 100 samples", 20)
    check(rows()["controller"]["history"][0]["time"] < rows()["controller"]["history"][-1]["time"], "oldest first")
    contains(daemon.admin("performance")[1], "recommendations")
    daemon.stop()


def mount(daemon, size):
    """The cache's folder becomes a small tmpfs."""
    folder = os.path.join(daemon.dir, "cache")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, check=False)
    if done.returncode != 0:
        raise harness.Skip("needs the right to mount")
    return folder


def test_a_small_file_system_bounds_the_cache(daemon):
    folder = mount(daemon, "6m")
    try:
        prepare(daemon)  # 8 MiB are configured
        wait_for(lambda: quota(daemon) <= 0.7 * 6 * MIB, "a quota that fits", 3)
        equal(resized(daemon)[0]["reason"], "file_system")
        fill(daemon)
        for _ in range(3):
            fill(daemon)
        equal(state(daemon)["action"], "hold")
        equal(daemon.metrics()["augury_cache_commit_failures_total"], 0)
        equal(json.loads(daemon.get("/api/v1/status")[1])["cache"]["condition"]["state"], "on")
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def test_a_full_file_system_is_an_alarm_and_the_daemon_goes_on(daemon):
    daemon.expect_error("cache_off")
    daemon.expect_error("cache_commit_failed")
    folder = mount(daemon, "6m")
    try:
        prepare(daemon, auto="no")
        with open(os.path.join(folder, "of-somebody-else"), "wb") as file:
            try:
                file.write(bytes(16 * MIB))
            except OSError:
                pass
        ask = asker(daemon)
        wait_for(lambda: ask() or daemon.events("cache_off"), "the alarm")
        contains(daemon.events("cache_off")[0]["reason"], "file system is full")
        wait_for(lambda: "the cache is off: the file system is full" in json.loads(daemon.get()[1])["warnings"], "a warning")
        equal(daemon.get()[0], 200, "still healthy")
        for path in ("/api/v1/status", "/api/v1/performance"):
            condition = json.loads(daemon.get(path)[1])["cache"]["condition"]
            check(condition["state"] == "off" and condition["since"] is not None, f"{path}: {condition}")
        os.unlink(os.path.join(folder, "of-somebody-else"))
        daemon.wait_event("cache_on_again", seconds=15)
        equal(json.loads(daemon.get("/api/v1/status")[1])["cache"]["condition"]["state"], "on")
        equal(len(daemon.events("cache_off")), 1)
        daemon.stop()
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


harness.run(globals())
