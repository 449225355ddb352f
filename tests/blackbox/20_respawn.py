#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Death and return: whoever is killed is back within two seconds, and the others go on."""
import os
import signal
import time

import harness
from harness import check, equal, wait_for


def kill_and_wait(daemon, name, number=signal.SIGKILL, seconds=2):
    """Kills a child by name; its replacement's pid, ready."""
    old = daemon.children()[name]
    count = len(daemon.events("child_ready", child=name))
    os.kill(old, number)
    start = time.monotonic()
    daemon.wait_event("child_ready", count=count + 1, seconds=seconds, child=name)
    check(time.monotonic() - start < seconds * harness.SLOW, "in time")
    new = daemon.children()[name]
    check(new != old, "another process")
    return new


def test_a_killed_worker_is_replaced(daemon):
    daemon.start()
    kill_and_wait(daemon, "worker 1 gen 1")
    equal(daemon.metrics()["augury_process_respawns_total"], 1)
    for _ in range(10):
        equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_the_only_worker_is_replaced_and_no_connection_is_refused(daemon):
    daemon.options["workers"] = "1"
    daemon.start()
    kill_and_wait(daemon, "worker 0 gen 1")
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_workers_serve_while_the_supervisor_is_away(daemon):
    daemon.start()
    os.kill(daemon.children()["supervisor"], signal.SIGSTOP)
    for _ in range(10):
        equal(daemon.get("/ping")[0], 200)
    kill_and_wait(daemon, "supervisor")
    equal(daemon.admin("ping"), (0, "answer  pong\n"))
    daemon.stop()


def test_a_process_killed_again_and_again_is_back_each_time(daemon):
    daemon.start()
    for _ in range(6):
        kill_and_wait(daemon, "worker 0 gen 1")
        kill_and_wait(daemon, "supervisor")
    equal(daemon.metrics()["augury_process_respawns_total"], 12)
    daemon.stop()


def test_a_crash_is_replaced_with_growing_waits(daemon):
    daemon.expect_crashes()
    daemon.start()
    waits = []
    for _ in range(4):
        start = time.monotonic()
        kill_and_wait(daemon, "worker 0 gen 1", signal.SIGSEGV, 5)
        waits.append(time.monotonic() - start)
    # 0, 100, 200, 400 ms and the time to start.
    check(waits[1] >= 0.1 and waits[2] >= 0.2 and waits[3] >= 0.4, f"waits: {waits}")
    daemon.stop()


def test_a_hung_process_is_ended_and_replaced(daemon):
    daemon.expect_error("child_hung")
    daemon.sections["limits"]["hang_timeout"] = "2s"
    daemon.start()
    for name in ("worker 0 gen 1", "supervisor"):
        hung = daemon.children()[name]
        os.kill(hung, signal.SIGSTOP)
        daemon.wait_event("child_hung", child=name, child_pid=hung)
        # A stopped process takes no ABRT; KILL follows.
        wait_for(lambda: daemon.children().get(name, hung) != hung, f"{name} is back")
        daemon.wait_event("child_ready", child=name, child_pid=daemon.children()[name])
    equal(daemon.metrics()["augury_process_hung_total"], 2)
    daemon.stop()


def test_a_pause_of_the_whole_daemon_is_no_hang(daemon):
    daemon.sections["limits"]["hang_timeout"] = "2s"
    daemon.start()
    before = daemon.children()
    everybody = [*before.values(), daemon.pid()]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)  # time is what is tested
    for pid in reversed(everybody):
        os.kill(pid, signal.SIGCONT)
    for _ in range(3):  # turns of the master's loop
        done = len(daemon.events("log_reopened"))
        daemon.send(signal.SIGUSR1)
        daemon.wait_event("log_reopened", count=done + 1)
    equal(daemon.children(), before)
    equal(daemon.events("child_hung"), [])
    daemon.stop()


def test_counters_survive_the_process_and_gauges_do_not(daemon):
    daemon.options["workers"] = "1"
    daemon.start()
    for _ in range(7):
        daemon.get("/ping")
    before = daemon.metrics()
    equal(before['augury_http_requests_total{status="2xx"}'], 7)
    kill_and_wait(daemon, "worker 0 gen 1")
    after = daemon.metrics()
    equal(after['augury_http_requests_total{status="2xx"}'], 7)
    equal(after["augury_http_connections"], 0)
    daemon.get("/ping")
    equal(daemon.metrics()['augury_http_requests_total{status="2xx"}'], 8)
    daemon.stop()


def test_a_worker_that_is_to_be_respawned_does_not_hold_up_the_stop(daemon):
    daemon.expect_crashes()
    daemon.start()
    for _ in range(5):
        kill_and_wait(daemon, "worker 0 gen 1", signal.SIGSEGV, 5)
    os.kill(daemon.children()["worker 0 gen 1"], signal.SIGSEGV)
    wait_for(lambda: len(daemon.events("child_exit", child="worker 0 gen 1")) == 6, "sixth death")
    daemon.stop()


harness.run(globals())
