#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the machine has no more of: room for the log, descriptors, address space, processes. Whoever asks gets an answer or a
clear refusal, nothing dies of it, and all is as before once there is enough again."""
import http.client
import json
import os
import resource
import signal

import harness
from harness import Skip, check, contains, equal, wait_for
from siege import IS_SANITIZED
from served import send, serving

PREDICT = "/api/v1/predict/nfl-wp"
ROW = {"features": {"down": 3, "ydstogo": 7}}


def workers(daemon):
    return list(daemon.children("worker").values())


def predicts(daemon, number=0):
    body = {"features": {"down": 1, "ydstogo": number}}
    return send(daemon, "POST", PREDICT, body, {"Content-Type": "application/json"})[0] == 200


def ask(connection, path, body=None):
    connection.request("GET" if body is None else "POST", path, body and json.dumps(body),
                       {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    return answer.status, answer.read()


class Descriptors:
    """None of these processes can open one more file while the block lasts; what is open stays so."""

    def __init__(self, *pids):
        self.limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}

    def __enter__(self):
        for pid, (_, hard) in self.limits.items():
            taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(fd for fd in range(1 << 20) if fd not in taken), hard))

    def __exit__(self, *_):
        for pid, limits in self.limits.items():
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            except ProcessLookupError:
                pass


def test_a_log_without_room_stops_nothing(daemon):
    serving(daemon)
    kept = daemon.log_path + ".1"
    os.rename(daemon.log_path, kept)
    os.symlink("/dev/full", daemon.log_path)
    real_path, daemon.log_path = daemon.log_path, kept
    daemon.send(signal.SIGUSR1)
    pids = [daemon.pid(), *daemon.children().values()]
    full = os.stat("/dev/full").st_rdev

    def writes_to_full(pid):
        return any(os.stat(f"/proc/{pid}/fd/{fd}").st_rdev == full for fd in os.listdir(f"/proc/{pid}/fd"))
    wait_for(lambda: all(writes_to_full(pid) for pid in pids), "all have reopened the log")
    check(all(predicts(daemon, number) for number in range(20)), "predictions")
    equal(daemon.admin("ping"), (0, "answer  pong\n"))
    equal(daemon.admin("reload")[0], 0)
    os.unlink(real_path)
    daemon.log_path = real_path
    os.rename(kept, real_path)
    daemon.send(signal.SIGUSR1)
    daemon.wait_event("log_reopened")
    # What was said meanwhile is lost: the processes of the second generation are in no log.
    rows = daemon.admin_json("workers")
    rows = rows["processes"] if isinstance(rows, dict) else rows
    pids = [daemon.pid(), *(row["pid"] for row in rows)]
    check(predicts(daemon), "with a log again")
    daemon.send(signal.SIGQUIT)
    daemon.wait_gone(pids)


def test_workers_without_descriptors_refuse_and_go_on(daemon):
    daemon.options["workers"] = "1"
    folder = os.path.join(daemon.dir, "files")
    os.mkdir(folder)
    with open(os.path.join(folder, "a"), "w", encoding="ascii") as file:
        file.write("content")
    plain = daemon.conf_text
    daemon.conf_text = lambda: plain() + f'object "files" {{ folder = "{folder}" }}\n'
    serving(daemon)
    pid = workers(daemon)[0]
    kept = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    equal(ask(kept, PREDICT, ROW)[0], 200)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Room for a few connections more; then the one descriptor that is kept for it tells the next client.
    highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    others = []
    for _ in range(highest):
        others.append(http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10))
        status, text = ask(others[-1], "/ping")
        if status != 200:
            break
    equal((status, json.loads(text)["code"]), (503, "too_many_connections"))
    equal(ask(kept, PREDICT, ROW)[0], 200)
    status, text = ask(kept, "/api/v1/objects/files/a")
    equal((status, json.loads(text)["code"]), (502, "fetch_failed"))
    contains(json.loads(text)["error"], "Too many open files")
    for other in others:
        other.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    daemon.wait_event("accept_paused")
    wait_for(lambda: predicts(daemon), "new connections are taken again")
    wait_for(lambda: ask(kept, "/api/v1/objects/files/a") == (200, b"content"), "the file is read")
    kept.close()
    equal(workers(daemon), [pid])
    daemon.stop()


def test_the_supervisor_without_descriptors_says_so_and_goes_on(daemon):
    serving(daemon)
    supervisor = daemon.children()["supervisor"]
    with harness.Admin(daemon.socket_path) as admin:
        with Descriptors(supervisor):
            code, text = admin.ask(f"model import other {harness.SOURCE}/tests/data/nfl-wp/model.json")
            equal(code, 1, text)
            contains(text, "Too many open files")
            equal(admin.ask("ping"), (0, "answer  pong\n"))
            check(all(predicts(daemon, number) for number in range(20)), "predictions")
        equal(admin.ask("ping"), (0, "answer  pong\n"))
    wait_for(lambda: daemon.admin("ping")[0] == 0, "it takes connections again")
    check(daemon.children()["supervisor"] == supervisor, "the same process")
    daemon.stop()


def test_a_master_that_cannot_fork_tries_again(daemon):
    daemon.expect_error("fork_failed")
    serving(daemon)
    victim = daemon.children()["worker 0 gen 1"]
    with Descriptors(daemon.pid()):
        os.kill(victim, signal.SIGKILL)
        # What the dead one's pipe leaves is one descriptor; a pipe takes two.
        daemon.wait_event("fork_failed")
        check(all(predicts(daemon, number) for number in range(20)), "the other one answers")
    daemon.wait_event("child_ready", count=2, child="worker 0 gen 1")
    daemon.stop()


def test_workers_without_address_space_refuse_and_go_on(daemon):
    if IS_SANITIZED:
        raise Skip("a sanitizer ends a program that gets no memory")
    daemon.options["workers"] = "1"
    serving(daemon)
    pid = workers(daemon)[0]
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (size + 65536, before[1]))
    many = {"data": [[1] * 11] * 9000, "use_cache": False}
    statuses = set()
    for _ in range(10):
        try:
            statuses.add(send(daemon, "POST", PREDICT, many, {"Content-Type": "application/json"})[0])
        except (OSError, http.client.HTTPException):
            statuses.add("cut")
        check(predicts(daemon), "a small one")
    check(statuses <= {413, 503, "cut"}, statuses)
    resource.prlimit(pid, resource.RLIMIT_AS, before)
    equal(send(daemon, "POST", PREDICT, many, {"Content-Type": "application/json"})[0], 200, "with memory again")
    equal(workers(daemon), [pid])
    daemon.stop()


harness.run(globals())
