#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The cache's file cut off or written over, between two runs and while it is read: what is answered is right all the while,
the file is moved aside, and the cache works again. The same of a file system without a byte left."""
import os
import random
import subprocess

import harness
from damaged import PAGE, answers, ask, ask_on, fill, is_hit, mount_tmpfs, records_are_whole, started, write_over
from harness import check, equal, wait_for


def test_a_file_damaged_between_two_runs_is_made_anew(daemon):
    daemon.expect_crashes()
    started(daemon)
    wanted = answers(daemon)
    path = os.path.join(daemon.dir, "cache", "data.mdb")
    rng = random.Random(5)
    for harm in ("cut", "cut", "first page", "zeros", "pages"):
        wait_for(lambda: is_hit(daemon), "a hit")
        daemon.stop()
        os.truncate(daemon.log_path, 0)
        size = os.path.getsize(path)
        with open(path, "r+b") as file:
            if harm == "cut":
                file.truncate(rng.randrange(size // 2))
            elif harm == "first page":
                file.write(rng.randbytes(2 * PAGE))
            elif harm == "zeros":
                file.write(bytes(size))
            else:
                for page in rng.sample(range(2, size // PAGE), size // PAGE // 3):
                    file.seek(page * PAGE)
                    file.write(rng.randbytes(PAGE))
        daemon.start()
        # Pages written over may kill who reads them, until the environment is replaced.
        broken = ask_on(daemon, wanted, lambda: is_hit(daemon))
        check(broken == 0 or harm == "pages", f"{harm}: {broken} broken connections")
        if harm != "pages":
            daemon.wait_event("cache_damaged")
            check(os.path.exists(path + ".damaged"), "moved aside")
            records_are_whole(daemon)
    daemon.expect_error("cache_commit_failed")  # of pages written over
    daemon.stop()


def test_a_file_written_over_while_it_is_read_is_made_anew(daemon):
    daemon.expect_crashes()
    started(daemon)
    wanted = answers(daemon)
    path = os.path.join(daemon.dir, "cache", "data.mdb")
    rng = random.Random(6)
    for _ in range(3):
        wait_for(lambda: is_hit(daemon), "a hit")
        inode = os.stat(path).st_ino
        write_over(path, rng)
        ask_on(daemon, wanted, lambda: os.stat(path).st_ino != inode and is_hit(daemon))
        records_are_whole(daemon)
    # A commit that failed is said, or its process died of it.
    daemon.expect_error("cache_commit_failed")
    daemon.stop()


def test_a_file_cut_off_while_it_is_read_is_made_anew(daemon):
    daemon.expect_crashes()
    started(daemon)
    wanted = answers(daemon)
    path = os.path.join(daemon.dir, "cache", "data.mdb")
    rng = random.Random(7)
    for _ in range(3):
        wait_for(lambda: is_hit(daemon), "a hit")
        inode = os.stat(path).st_ino
        os.truncate(path, rng.randrange(os.path.getsize(path) // 2))
        ask_on(daemon, wanted, lambda: os.stat(path).st_ino != inode and is_hit(daemon))
        records_are_whole(daemon)
    # A commit that failed is said, or its process died of it.
    daemon.expect_error("cache_commit_failed")
    daemon.stop()


def test_a_full_file_system_turns_the_cache_off_until_there_is_room(daemon):
    folder = os.path.join(daemon.dir, "cache")
    mount_tmpfs(folder)
    started(daemon)
    wanted = answers(daemon)
    wait_for(lambda: is_hit(daemon), "a hit")
    fill(os.path.join(folder, "filler"))
    rows = iter(range(1000, 100000))
    wait_for(lambda: [ask(daemon, next(rows)) for _ in range(50)] and daemon.events("cache_commit_failed"), "the alarm", 20)
    equal(answers(daemon), wanted, "without the cache")
    os.unlink(os.path.join(folder, "filler"))
    equal(ask_on(daemon, wanted, lambda: daemon.events("cache_commit_works_again") and is_hit(daemon)), 0, "broken connections")
    daemon.expect_error("cache_commit_failed")
    daemon.expect_error("cache_off")
    daemon.stop()
    records_are_whole(daemon)
    subprocess.run(["umount", folder], check=True)


harness.run(globals())
