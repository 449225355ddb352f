#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The tier on disk, with a whole daemon: warm after a reboot (a memory folder without files), after everything was killed,
with damaged files, and on a file system that is full. Answers are good throughout."""
import ctypes
import http.client
import json
import os
import shutil
import signal
import subprocess

import harness
from harness import BUILD, SOURCE, Skip, check, contains, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
MEMORY = 'augury_cache_hits_total{class="prediction",tier="memory"}'
DISK = 'augury_cache_hits_total{class="prediction",tier="disk"}'
CLONE_NEWNS = 0x20000
# The model is so fast that its rows would not be kept.
OPTIONS = ["-o", "cache.prediction.bypass=no"]


def begin(daemon):
    """A daemon with a tier on disk and a model."""
    daemon.sections["disk"] = {"enabled": "yes", "dir": f'"{daemon.dir}/disk"', "size": "16MiB"}
    daemon.sections["cache"] = {"size": "16MiB"}
    daemon.start(*OPTIONS)
    done = subprocess.run([AUGURY, "-c", daemon.conf_path, "model", "import", "nfl-wp", NFL,
                           "--features", NAMES], capture_output=True, text=True, timeout=60,
                          check=False)
    equal((done.returncode, done.stderr), (0, ""), "import")
    wait_for(lambda: ask(daemon, [0])[0] == 200, "the model is served")


def ask(daemon, numbers):
    """One row a number, each of its own."""
    rows = [{"down": 1 + number % 4, "ydstogo": 7, "game_seconds_remaining": number}
            for number in numbers]
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/nfl-wp", json.dumps({"rows": rows}),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def on_disk(daemon, count):
    wait_for(lambda: daemon.metrics()["augury_cache_disk_entries"] >= count,
             f"{count} entries on disk")


def reboot(daemon, number=signal.SIGQUIT):
    """What a reboot leaves: the disk."""
    ready = len(daemon.events("ready"))
    if number == signal.SIGKILL:
        daemon.expect_error("master_died")  # by whoever is killed after it
        pids = [pid for pid in daemon.all_pids() if harness.is_alive(pid)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it went by itself when the master was gone
        daemon.wait_gone(pids)
    else:
        daemon.stop(number)
    shutil.rmtree(os.path.join(daemon.dir, "cache"))
    daemon.start(*OPTIONS)
    daemon.wait_event("ready", count=ready + 1)


def fifty(daemon):
    answers = [ask(daemon, [number]) for number in range(1, 51)]
    check(all(status == 200 for status, _ in answers), "answers")
    return [body for _, body in answers]


def test_a_daemon_is_warm_after_a_reboot(daemon):
    begin(daemon)
    before = fifty(daemon)
    on_disk(daemon, 51)
    reboot(daemon)
    entries = int(daemon.wait_event("cache_warmed")[-1]["entries"])
    check(entries >= 51, f"{entries} came back")
    wait_for(lambda: daemon.metrics()["augury_cache_entries"] >= 51, "they are in memory")
    equal(fifty(daemon), before, "the same answers")
    metrics = daemon.metrics()
    equal(metrics[MEMORY] + metrics[DISK], 50, "hits")
    equal(metrics["augury_predict_rows_evaluated_total"], 0, "rows computed")
    daemon.stop()


def test_after_everything_was_killed_it_is_warm_too(daemon):
    begin(daemon)
    before = fifty(daemon)
    on_disk(daemon, 51)
    reboot(daemon, signal.SIGKILL)
    daemon.wait_event("cache_warmed")
    equal(fifty(daemon), before, "the same answers")
    equal(daemon.metrics()["augury_predict_rows_evaluated_total"], 0, "rows computed")
    daemon.stop()


def test_when_rows_are_asked_for_is_known_over_a_reboot(daemon):
    begin(daemon)
    for _ in range(5):
        equal(ask(daemon, [3])[0], 200)
        wait_for(lambda: daemon.metrics()["augury_cache_entries"] > 0, "the row in memory")
        equal(daemon.admin("cache flush")[0], 0, "flush")
    reboot(daemon)
    equal(daemon.wait_event("habits_known")[-1]["keys"], "1")
    daemon.stop()


def test_what_was_flushed_does_not_come_back(daemon):
    begin(daemon)
    fifty(daemon)
    on_disk(daemon, 51)
    equal(daemon.admin("cache flush")[0], 0, "flush")
    reboot(daemon, signal.SIGKILL)
    fifty(daemon)
    metrics = daemon.metrics()
    equal(metrics[MEMORY] + metrics[DISK], 0, "hits")
    daemon.stop()


def test_a_truncated_file_costs_what_was_in_it_alone(daemon):
    begin(daemon)
    before = fifty(daemon)
    on_disk(daemon, 51)
    daemon.stop()
    shutil.rmtree(os.path.join(daemon.dir, "cache"))
    os.truncate(os.path.join(daemon.dir, "disk", "data.mdb"), 3 * 4096)
    daemon.start(*OPTIONS)
    equal(fifty(daemon), before, "the same answers")
    on_disk(daemon, 50)
    reboot(daemon)
    daemon.wait_event("cache_warmed")
    daemon.stop()


def test_two_daemons_never_share_a_folder(daemon):
    """Each would contradict what the other remembers of it; the second goes on with memory alone."""
    begin(daemon)
    fifty(daemon)
    on_disk(daemon, 51)
    other = harness.Daemon()
    try:
        other.sections["disk"] = daemon.sections["disk"]
        other.sections["cache"] = {"size": "16MiB"}
        other.start()
        contains(other.wait_event("cache_disk_off")[0]["reason"], "another daemon uses it")
        equal(other.metrics()["augury_cache_disk_up"], 0)
        equal(daemon.metrics()["augury_cache_disk_up"], 1)
        daemon.stop()
        other.wait_event("cache_disk_works_again")
        other.expect_error("cache_disk_off")
        other.stop()
    finally:
        other.close(False)


def test_a_reload_that_changes_the_tier_is_refused(daemon):
    """Its workers would read what the supervisor does not write."""
    daemon.start()
    daemon.sections["disk"] = {"enabled": "yes", "dir": f'"{daemon.dir}/disk"', "size": "17MiB"}
    daemon.write_conf()
    code, text = daemon.admin("reload")
    equal(code, 1)
    contains(text, "disk.enabled can only be changed by a restart")
    done = daemon.command("-t", "-o", f"disk.dir={daemon.dir}/cache")
    equal(done.returncode, 1)
    contains(done.stderr, "must differ")
    daemon.expect_error("reload_failed")
    daemon.stop()


def mount_small(path):
    """A file system of 2 MiB in a mount namespace of this process's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0:
        raise Skip("needs the right to mount")
    os.makedirs(path)
    for words in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", "size=2m", "none", path]):
        if subprocess.run(["mount", *words], capture_output=True, check=False).returncode != 0:
            raise Skip("cannot mount a tmpfs")


def test_a_full_disk_costs_the_tier_alone_and_it_comes_back(daemon):
    path = os.path.join(daemon.dir, "disk")
    mount_small(path)
    daemon.expect_error("cache_disk_off")
    begin(daemon)
    number = 1000

    def more():
        nonlocal number
        status, body = ask(daemon, range(number, number + 1000))
        equal(status, 200, body[:200])
        number += 1000
        return daemon.events("cache_disk_off")

    wait_for(more, "the disk is full", 30)
    first = ask(daemon, [5])
    equal(first[0], 200)
    equal(ask(daemon, [5]), first)
    subprocess.run(["mount", "-o", "remount,size=64m", path], check=True)
    daemon.wait_event("cache_disk_works_again")
    wait_for(lambda: ask(daemon, [5]) == first and daemon.metrics()["augury_cache_disk_up"] == 1,
             "it is on")
    check(daemon.metrics()["augury_cache_commit_failures_total"] == 0, "memory was not concerned")
    daemon.stop()
    subprocess.run(["umount", path], check=True)


harness.run(globals())
