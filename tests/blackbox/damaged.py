# SPDX-License-Identifier: MIT
"""What tests of damaged files and full file systems share: a daemon with a model, answers that have to stay right whatever is
done to the files below, and ways to do it."""
import ctypes
import http.client
import json
import os
import random
import subprocess

from harness import BUILD, SOURCE, Skip, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
CACHE_CHECK = os.path.join(BUILD, "tests", "soak", "cache_check")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,down,"
         "ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
PAGE = 4096


def started(daemon, *options):
    daemon.start(*options)
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


def write_over(path, rng):
    """Everything but the first two pages."""
    with open(path, "r+b") as file:
        for page in range(2, os.path.getsize(path) // PAGE):
            file.seek(page * PAGE)
            file.write(rng.randbytes(PAGE))


def records_are_whole(daemon, folder="cache"):
    done = subprocess.run([CACHE_CHECK, os.path.join(daemon.dir, folder)], capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)


def mount_tmpfs(*paths):
    """One each, in a mount namespace of this process and the daemons that it starts."""
    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(0x20000) != 0:  # CLONE_NEWNS
        raise Skip("no right to mount a tmpfs")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for path in paths:
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
