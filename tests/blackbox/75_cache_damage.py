#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The cache's file cut off or written over, between two runs and while it is read: what is answered is right all the while,
the file is moved aside, and the cache works again. The same of a file system without a byte left."""
import ctypes
import http.client
import json
import os
import random
import subprocess

import harness
from harness import BUILD, SOURCE, Skip, check, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
CACHE_CHECK = os.path.join(BUILD, "tests", "soak", "cache_check")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
         "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
PAGE = 4096


def started(daemon):
    daemon.start()
    done = subprocess.run([AUGURY, "-c", daemon.conf_path, "model", "import", "wp", NFL, "--features", NAMES],
                          capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""))


def ask(daemon, number):
    """(prediction, X-Cache); a worker that dies of what it read is another's request."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/wp", json.dumps({"features": {"score_differential": number, "down": 1}}),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    equal(answer.status, 200, body)
    return json.loads(body)["predictions"][0]["prediction"], answer.getheader("X-Cache")


def answers(daemon, count=300):
    return [ask(daemon, number)[0] for number in range(count)]


def ask_on(daemon, wanted, is_over):
    """Asks until it is over: whatever is answered is right; how many connections broke."""
    broken = 0

    def turn():
        nonlocal broken
        for number in random.sample(range(len(wanted)), 20):
            try:
                equal(ask(daemon, number)[0], wanted[number], f"row {number}")
            except (OSError, http.client.HTTPException):
                broken += 1
        return is_over()
    wait_for(turn, "the end of it", 30)
    return broken


def is_hit(daemon):
    try:
        return ask(daemon, 1)[1] == "HIT"
    except (OSError, http.client.HTTPException):
        return False


def records_are_whole(daemon):
    done = subprocess.run([CACHE_CHECK, os.path.join(daemon.dir, "cache")], capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)


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
        with open(path, "r+b") as file:
            for page in range(2, os.path.getsize(path) // PAGE):
                file.seek(page * PAGE)
                file.write(rng.randbytes(PAGE))
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


def mount_tmpfs(path):
    """In a mount namespace of this process and the daemons that it starts."""
    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(0x20000) != 0:  # CLONE_NEWNS
        raise Skip("no right to mount a tmpfs")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.makedirs(path, 0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", path], check=False).returncode != 0:
        raise Skip("no right to mount a tmpfs")


def fill(path):
    """To the last byte."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    for size in (1 << 16, PAGE, 1):
        try:
            while True:
                os.write(fd, bytes(size))
        except OSError:
            pass
    os.close(fd)


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
