#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reload by generations: nothing is lost, nothing invalid gets in."""
import http.client
import os
import signal
import socket
import threading

import harness
from harness import check, contains, equal, wait_for


class Load:
    """Threads that ask all the time; every failure is kept. Each request has a connection of its own, or all of a thread share
    one that is renewed when the server says close."""

    def __init__(self, port, threads=4, is_keeping=False):
        self.port = port
        self.failures = []
        self.answers = 0
        self.is_over = False
        self.is_keeping = is_keeping
        self.threads = [threading.Thread(target=self.ask) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask_once(self, connection):
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            self.failures.append(answer.status)
        self.answers += 1
        return not answer.will_close

    def ask(self):
        while not self.is_over:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                while self.ask_once(connection) and self.is_keeping and not self.is_over:
                    pass
            except Exception as error:  # any failure of a request counts
                self.failures.append(repr(error))
            connection.close()

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def reload_and_wait(daemon):
    count = len(daemon.events("reload_done"))
    daemon.send(signal.SIGHUP)
    daemon.wait_event("reload_done", count=count + 1)


def test_a_reload_starts_a_new_generation_and_ends_the_old(daemon):
    daemon.start()
    old = list(daemon.children("worker").values())
    port = daemon.port()
    daemon.options["workers"] = "3"
    daemon.write_conf()
    reload_and_wait(daemon)
    wait_for(lambda: not [pid for pid in old if harness.is_alive(pid)], "the old workers end")
    daemon.wait_event("generation_end", old=1)
    equal(sorted(daemon.children("worker")), ["worker 0 gen 2", "worker 1 gen 2", "worker 2 gen 2"])
    equal(daemon.port(), port, "the listener is the same")
    equal(daemon.get("/ping")[0], 200)
    equal(daemon.metrics()['augury_reloads_total{result="ok"}'], 1)
    daemon.stop()


def test_an_invalid_configuration_changes_nothing_and_is_told(daemon):
    daemon.expect_error("reload_failed")
    daemon.start()
    before = daemon.children()
    daemon.write_conf(daemon.conf_text() + "wrokers = 3\nuser = 7 8\n")
    daemon.send(signal.SIGHUP)
    failed = daemon.wait_event("reload_failed")
    contains(failed[0]["reason"], "augury.conf:")
    contains(failed[0]["reason"], "unknown option")
    equal(daemon.children(), before)
    equal(daemon.get("/ping")[0], 200)
    equal(daemon.metrics()['augury_reloads_total{result="failed"}'], 1)
    daemon.stop()


def test_what_only_a_restart_can_change_is_refused(daemon):
    daemon.expect_error("reload_failed")
    daemon.start()
    daemon.sections["cache"]["dir"] = f'"{daemon.dir}/elsewhere"'
    daemon.write_conf()
    daemon.send(signal.SIGHUP)
    contains(daemon.wait_event("reload_failed")[0]["reason"], "cache.dir can only be changed")
    daemon.stop()


def test_an_address_in_use_fails_the_reload_and_opens_nothing(daemon):
    daemon.expect_error("reload_failed")
    daemon.start()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        daemon.listeners["a_free"] = "127.0.0.1:0"
        daemon.listeners["taken"] = f"127.0.0.1:{other.getsockname()[1]}"
        # 127.0.0.1:0 is what the first listener has: the same text is the same listener.
        daemon.listeners["a_free"] = "127.0.0.2:0"
        daemon.write_conf()
        daemon.send(signal.SIGHUP)
        contains(daemon.wait_event("reload_failed")[0]["reason"], "in use")
    address = daemon.events("listen", name="a_free")[0]["address"]
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        raise harness.Failure("the listener of the failed reload is still open")
    except ConnectionRefusedError:
        pass
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_listeners_come_and_go(daemon):
    daemon.start()
    daemon.listeners["second"] = "127.0.0.2:0"
    daemon.write_conf()
    reload_and_wait(daemon)
    address = daemon.wait_event("listen", name="second")[0]["address"]
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    equal(daemon.get("/ping", connection=connection)[0], 200)
    connection.close()
    del daemon.listeners["second"]
    daemon.write_conf()
    reload_and_wait(daemon)
    daemon.wait_event("generation_end", old=2)

    def is_refused():
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return False
        except ConnectionRefusedError:
            return True

    wait_for(is_refused, "the old listener is closed")
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_every_process_follows_a_change_of_the_log(daemon):
    daemon.start()
    old = daemon.all_pids()
    daemon.sections["log"] = {"file": f'"{daemon.dir}/log.new"', "level": "info"}
    daemon.write_conf()
    daemon.send(signal.SIGHUP)
    daemon.log_path = f"{daemon.dir}/log.new"
    daemon.wait_event("generation_end", old=1)
    new = sorted(daemon.children("worker"))
    equal(new, ["worker 0 gen 2", "worker 1 gen 2"])
    pids = [daemon.pid()] + [int(entry["pid"]) for entry in daemon.admin_json("workers")]
    wait_for(lambda: all(daemon.log_files(pid) == [daemon.log_path] for pid in pids),
             "all write to the new file")
    daemon.send(signal.SIGTERM)
    daemon.wait_gone(daemon.all_pids() + old)


def test_a_log_that_cannot_be_opened_fails_the_reload(daemon):
    daemon.expect_error("reload_failed")
    daemon.start()
    daemon.sections["log"] = {"file": f'"{daemon.dir}/models"'}
    daemon.write_conf()
    code, text = daemon.admin("reload")
    equal(code, 1)
    contains(text, "log file")
    for pid in [daemon.pid(), *daemon.children().values()]:
        equal(daemon.log_files(pid), [daemon.log_path])
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_the_supervisor_follows_a_reload_without_a_restart(daemon):
    daemon.start()
    supervisor = daemon.children()["supervisor"]
    daemon.sections["cache"]["size"] = "8MiB"
    daemon.write_conf()
    reload_and_wait(daemon)
    daemon.wait_event("conf_adopted", cache_bytes=8 << 20)
    equal(daemon.children()["supervisor"], supervisor)
    daemon.stop()


def test_a_new_worker_that_cannot_start_fails_the_reload(daemon):
    daemon.expect_error("reload_failed")
    daemon.expect_error("child_start_failed")
    daemon.start()
    before = daemon.children()
    os.rename(os.path.join(daemon.dir, "models"), os.path.join(daemon.dir, "away"))
    daemon.send(signal.SIGHUP)
    daemon.wait_event("reload_failed")
    daemon.wait_event("generation_end", old=2)
    os.rename(os.path.join(daemon.dir, "away"), os.path.join(daemon.dir, "models"))
    equal(daemon.children(), before)
    equal(daemon.get("/ping")[0], 200)
    reload_and_wait(daemon)
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_fifty_reloads_under_load_lose_no_request(daemon):
    daemon.start()
    load = Load(daemon.port())
    keeping = Load(daemon.port(), 2, True)
    try:
        for _ in range(50):
            reload_and_wait(daemon)
    finally:
        load.stop()
        keeping.stop()
    equal(load.failures, [], "one connection a request")
    # A client that keeps a connection may lose the race with its being closed while idle; it never loses an answer.
    lost = [failure for failure in keeping.failures if "RemoteDisconnected" not in failure and
            "ConnectionReset" not in failure and "BrokenPipe" not in failure]
    equal(lost, [], "kept connections")
    check(load.answers > 100, f"there was load: {load.answers} answers")
    equal(daemon.metrics()['augury_reloads_total{result="ok"}'], 50)
    wait_for(lambda: len(daemon.children("worker")) == 2, "only the last generation is left")
    daemon.stop()


def test_signals_in_a_burst_end_in_one_serving_generation(daemon):
    daemon.start()
    for _ in range(20):
        daemon.send(signal.SIGHUP)
    daemon.wait_event("reload_done")
    wait_for(lambda: len(daemon.children("worker")) == 2, "two workers in the end")
    equal(daemon.get("/ping")[0], 200)
    daemon.stop()


def test_a_reload_without_room_for_all_workers_fails(daemon):
    """Better the old generation than one with half of its workers."""
    daemon.expect_error("reload_failed")
    daemon.options["workers"] = "64"
    daemon.sections["limits"]["drain_timeout"] = "60s"
    daemon.start()
    old = list(daemon.children("worker").values())
    for pid in old:
        os.kill(pid, signal.SIGSTOP)  # they do not end, and keep their slots
    reload_and_wait(daemon)
    code, text = daemon.admin("reload")
    for pid in old:
        os.kill(pid, signal.SIGCONT)
    equal(code, 1, text)
    contains(text, "still ending")
    daemon.wait_event("generation_end", old=1)
    equal(daemon.admin("reload")[0], 0)
    equal(daemon.events("ready")[0]["workers"], "64")
    equal([line["workers"] for line in daemon.events("reload_done")], ["64", "64"])
    daemon.stop()


def test_a_third_reload_waits_for_requests_of_the_first_generation(daemon):
    daemon.options["workers"] = "1"
    daemon.start()
    clients = []
    for generation in (1, 2):
        client = socket.create_connection(("127.0.0.1", daemon.port()), timeout=10)
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
        clients.append(client)
        wait_for(lambda: daemon.metrics()["augury_http_connections"] >= len(clients), "the connection is held")
        reload_and_wait(daemon)
    daemon.send(signal.SIGHUP)
    daemon.wait_event("signal", number=int(signal.SIGHUP), count=3)
    daemon.send(signal.SIGUSR1)  # a turn of the master's loop, in which the third could have begun
    daemon.wait_event("log_reopened")
    for client in clients:
        client.sendall(b"\r\n")
        contains(client.recv(100), b"HTTP/1.1 200")
        client.close()
    daemon.wait_event("reload_done", count=3)
    equal(daemon.events("generation_cut"), [])
    daemon.stop()


def test_at_most_two_old_generations_are_kept(daemon):
    daemon.sections["limits"]["drain_timeout"] = "60s"
    daemon.options["workers"] = "1"
    daemon.start()
    clients = []
    for generation in range(1, 5):
        client = socket.create_connection(("127.0.0.1", daemon.port()), timeout=10)
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n")
        clients.append(client)
        wait_for(lambda: daemon.metrics()["augury_http_connections"] >= min(generation, 3),
                 "the connection is held")
        reload_and_wait(daemon)
    daemon.wait_event("generation_cut", old=1)
    wait_for(lambda: "worker 0 gen 1" not in daemon.children(), "the oldest is gone")
    for client in clients:
        client.close()
    wait_for(lambda: len(daemon.children("worker")) == 1, "the others end by themselves")
    daemon.stop()


harness.run(globals())
