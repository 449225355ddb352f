#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Listeners: what each one serves, UNIX sockets with their rights, both families of addresses, and reloads that add, take
away and change listeners."""
import http.client
import json
import os
import socket
import stat

import harness
from harness import Skip, check, contains, equal, wait_for


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def conf(daemon, *listeners, **options):
    """The usual file with these sections in the place of its listener."""
    daemon.options.update({"workers": 2}, **options)
    daemon.listeners = {}
    return daemon.conf_text() + "\n".join(f'listen "{name}" {{ {words} }}' for name, words in listeners) + "\n"


def start(daemon, *listeners, **options):
    text = conf(daemon, *listeners, **options)
    daemon.conf_text = lambda: text
    daemon.start()


def reload(daemon, text):
    daemon.write_conf(text)
    code, answer = daemon.admin("reload")
    equal(code, 0, answer)


def ask(connection, path, method="GET"):
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def at(daemon, listener):
    return http.client.HTTPConnection("127.0.0.1", daemon.port(listener), timeout=10)


def test_each_listener_serves_its_routes_and_nothing_tells_of_others(daemon):
    start(daemon, ("public", 'address = "127.0.0.1:0"\n routes = "predict, health, docs"'),
          ("inner", 'address = "127.0.0.1:0"\n routes = "metrics, status"'),
          ("all", 'address = "127.0.0.1:0"'))
    ports = {name: daemon.port(name) for name in ("public", "inner", "all")}
    equal(len(set(ports.values())), 3, "port 0 is another port each time")
    wanted = {"/api/v1/health": "public all", "/metrics": "inner all", "/api/v1/status": "inner all",
              "/api/v1/models": "all", "/v2": "all", "/api/v1/predict/nobody": "public all",
              "/api/v1/objects/x": "all"}
    for name in ports:
        connection = at(daemon, name)
        nothing = ask(connection, "/nothing")
        equal(nothing[0], 404)
        for path, there in wanted.items():
            method = "POST" if "predict" in path else "GET"
            status, body = ask(connection, path, method)
            if name in there.split():
                check(status != 404 or json.loads(body)["code"] != "unknown_route", f"{path} at {name}")
                continue
            for other in (method, "DELETE", "OPTIONS"):
                equal((status, body.replace(path.encode(), b"/nothing")), nothing, f"{other} {path} at {name}")
                status, body = ask(connection, path, other)
        connection.close()
    connection = at(daemon, "public")
    paths = [one["path"] for one in json.loads(ask(connection, "/api/v1")[1])["resources"]]
    check("/api/v1/health" in paths and "/metrics" not in paths, f"the list has {paths}")
    connection.close()
    daemon.stop()


def test_a_unix_socket_has_its_rights_and_goes_with_the_daemon(daemon):
    path = os.path.join(daemon.dir, "made", "http.sock")
    os.mkdir(os.path.dirname(path))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    start(daemon, ("nginx", f'address = "unix:{path}"\n mode = "0606"'))
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o606)
    connection = UnixConnection(path)
    equal(ask(connection, "/api/v1/health")[0], 200)
    reload(daemon, daemon.conf_text().replace("0606", "0660"))
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o660)
    equal(ask(UnixConnection(path), "/api/v1/health")[0], 200)
    connection.close()
    daemon.stop()
    check(not os.path.exists(path), "the socket is left behind")


def test_a_unix_socket_that_another_has_made_meanwhile_stays(daemon):
    path = os.path.join(daemon.dir, "http.sock")
    start(daemon, ("nginx", f'address = "unix:{path}"'))
    os.unlink(path)
    other = socket.socket(socket.AF_UNIX)
    other.bind(path)
    daemon.stop()
    check(os.path.exists(path), "somebody else's socket was removed")
    other.close()


def test_reloads_add_and_take_away_listeners_and_lose_nobody(daemon):
    path = os.path.join(daemon.dir, "http.sock")
    one, two = ("one", 'address = "127.0.0.1:0"'), ("two", f'address = "unix:{path}"\n backlog = 500')
    only_one, both, only_two = conf(daemon, one), conf(daemon, one, two), conf(daemon, two)
    daemon.conf_text = lambda: only_one
    daemon.start()
    kept = at(daemon, "one")
    equal(ask(kept, "/api/v1/health")[0], 200)
    port = daemon.port("one")
    reload(daemon, both)
    equal(ask(UnixConnection(path), "/api/v1/health")[0], 200)
    equal(daemon.port("one"), port)
    # Connections without a request yet, some of them perhaps still in the kernel's queue.
    waiting = []
    for _ in range(40):
        waiting.append(at(daemon, "one"))
        waiting[-1].connect()
    reload(daemon, only_two)
    for connection in waiting:
        equal(ask(connection, "/api/v1/health")[0], 200)
        connection.close()
    kept.close()
    daemon.wait_event("listen_end", name="one")
    with socket.socket() as late:
        check(late.connect_ex(("127.0.0.1", port)) != 0, "a listener that was taken away is still there")
    equal(ask(UnixConnection(path), "/api/v1/health")[0], 200)
    reload(daemon, only_one)
    wait_for(lambda: not os.path.exists(path), "the socket goes with its listener")
    equal(len(daemon.events("listen", name="one")), 2)
    daemon.stop()


def test_both_families_on_one_machine(daemon):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as why:
        raise Skip(f"no IPv6 here: {why}") from why
    start(daemon, ("six", 'address = "[::1]:0"'), ("both", 'address = "*:0"'))
    check(daemon.events("listen", name="six")[-1]["address"].startswith("[::1]:"), "the log names the address")
    six = http.client.HTTPConnection("::1", daemon.port("six"), timeout=10)
    equal(ask(six, "/api/v1/health")[0], 200)
    with socket.socket() as four:
        check(four.connect_ex(("127.0.0.1", daemon.port("six"))) != 0, "[::1] is reached by IPv4")
    for host in ("::1", "127.0.0.1"):
        both = http.client.HTTPConnection(host, daemon.port("both"), timeout=10)
        equal(ask(both, "/api/v1/health")[0], 200)
        both.close()
    six.close()
    daemon.stop()


def test_what_cannot_be_is_said_with_its_place(daemon):
    def why(*listeners):
        daemon.write_conf(conf(daemon, *listeners))
        done = daemon.command("-t")
        check(done.returncode != 0, f"{listeners} passed")
        return done.stderr + done.stdout

    one = 'address = "127.0.0.1:0"'
    contains(why(("a", one + '\n routes = "predict, gates"')), "expected all, or some of predict, objects")
    contains(why(("a", one + '\n routes = ""')), "expected all, or some of")
    contains(why(("a", one + '\n mode = "0999"')), "rights such as 0660")
    contains(why(("a", 'address = "unix:here"')), "unix:/run")
    contains(why(("a", f'address = "unix:{daemon.socket_path}"')), "admin commands")
    contains(why(("a", 'address = "127.0.0.1:81"'), ("b", 'address = "127.0.0.1:81"')), '"a" and "b"')
    contains(why(("a", 'address = "unix:/tmp/' + 110 * "x" + '"')), "at most 107 bytes")
    contains(why(("a", f'address = "unix:{daemon.dir}"')), "not a socket")
    contains(why(("a", f'address = "unix:{daemon.dir}/a.sock"\n group = "no such group"')), "no such group")


if __name__ == "__main__":
    harness.run(globals())
