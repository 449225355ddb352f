#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The same that is done to the cache's file done to that of the tier on disk, which costs this tier alone: what is answered is
right all the while, and the tier works again. And memory and disk without a byte left, both at once."""
import os
import random
import subprocess

import harness
from damaged import answers, ask, ask_on, fill, is_hit, mount_tmpfs, records_are_whole, started, write_over
from harness import check, equal, wait_for

HITS = 'augury_cache_hits_total{class="prediction",tier="disk"}'
ROWS = 100
# Memory has room for few rows, so that the disk is asked; the model is so fast that its rows would not be kept.
OPTIONS = ["-o", "cache.entries=10", "-o", "cache.response.enabled=no", "-o", "cache.prediction.bypass=no",
           "-o", "cache.prediction.admission=always"]


def with_disk(daemon, *options):
    daemon.sections["disk"] = {"enabled": "yes", "dir": f'"{daemon.dir}/disk"', "size": "16MiB"}
    started(daemon, *OPTIONS, *options)


def is_read(daemon):
    """The disk answers what memory has no room for."""
    before = daemon.metrics()[HITS]
    try:
        for number in range(0, ROWS, 5):
            ask(daemon, number)
    except OSError:
        return False
    return daemon.metrics()[HITS] >= before + ROWS // 10


def on_disk(daemon):
    wait_for(lambda: daemon.metrics()["augury_cache_disk_entries"] >= ROWS, "the rows on disk")


def hurt(daemon, harm):
    """While it is read: until there is another file, and it is read as well."""
    daemon.expect_crashes()
    with_disk(daemon)
    wanted = answers(daemon, ROWS)
    on_disk(daemon)
    check(is_read(daemon), "the disk is read")
    path = os.path.join(daemon.dir, "disk", "data.mdb")
    inode = os.stat(path).st_ino
    harm(path)
    ask_on(daemon, wanted, lambda: os.stat(path).st_ino != inode and is_read(daemon))
    equal(answers(daemon, ROWS), wanted, "afterwards")
    metrics = daemon.metrics()
    check(metrics["augury_cache_disk_replaced_total"] >= 1, "it is counted")
    equal(metrics["augury_cache_replaced_total"], 0, "memory was not concerned")
    daemon.wait_event("cache_disk_damaged")
    figures = daemon.admin_json("performance")["disk"]
    equal((figures["condition"]["state"], figures["replaced"]), ("on", metrics["augury_cache_disk_replaced_total"]))
    records_are_whole(daemon, "disk")
    daemon.expect_error("cache_disk_off")
    daemon.expect_error("cache_commit_failed")
    daemon.stop()


def test_a_file_on_disk_written_over_while_it_is_read_is_made_anew(daemon):
    hurt(daemon, lambda path: write_over(path, random.Random(8)))


def test_a_file_on_disk_cut_off_while_it_is_read_is_made_anew(daemon):
    hurt(daemon, lambda path: os.truncate(path, 9 * 4096))


def test_with_memory_and_disk_full_answers_go_on_and_both_come_back(daemon):
    folders = [os.path.join(daemon.dir, name) for name in ("cache", "disk")]
    mount_tmpfs(*folders)
    with_disk(daemon, "-o", "cache.entries=0")
    wanted = answers(daemon, ROWS)
    wait_for(lambda: is_hit(daemon), "a hit")
    on_disk(daemon)
    rows = iter(range(1000, 1000000))
    fill(os.path.join(folders[1], "filler"))
    # What goes down has been committed in memory: so the disk first.
    wait_for(lambda: [ask(daemon, next(rows)) for _ in range(50)] and daemon.events("cache_disk_off"), "the disk's alarm", 20)
    fill(os.path.join(folders[0], "filler"))
    wait_for(lambda: [ask(daemon, next(rows)) for _ in range(50)] and daemon.events("cache_off"), "memory's alarm", 20)
    equal(answers(daemon, ROWS), wanted, "without either")
    disk = daemon.admin_json("performance")["disk"]
    equal((disk["condition"]["state"], disk["condition"]["reason"]), ("off", "the disk tier is off: the file system is full"))
    check(disk["condition"]["since"] is not None and disk["entries"] == 0, str(disk))
    warnings = daemon.get()[1].decode()
    check("the disk tier is off: the file system is full" in warnings, warnings)
    for folder in folders:
        os.unlink(os.path.join(folder, "filler"))
    equal(ask_on(daemon, wanted, lambda: is_hit(daemon) and daemon.events("cache_disk_works_again")), 0, "broken connections")
    wait_for(lambda: answers(daemon, 50) == wanted[:50] and daemon.metrics()["augury_cache_disk_entries"] > 0, "the disk is written")
    condition = daemon.admin_json("performance")["disk"]["condition"]
    equal(condition, {"state": "on", "reason": None, "since": None})
    for event in ("cache_commit_failed", "cache_off", "cache_disk_off"):
        daemon.expect_error(event)
    daemon.stop()
    records_are_whole(daemon)
    records_are_whole(daemon, "disk")
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


harness.run(globals())
