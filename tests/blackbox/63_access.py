#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who may ask, and how often: keys made by the command line, a file that reloads change, rates over all workers and over a killed
one, pages of other origins, and nothing of the admin socket over HTTP."""
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading

import harness
from harness import check, contains, equal, wait_for

AUGURY = os.path.join(harness.BUILD, "augury")
PREDICT = "/api/v1/predict/nfl-wp"


def key_new(name, *words):
    """(key, line) of the command."""
    done = subprocess.run([AUGURY, "-j", "key", "new", name, *words], capture_output=True, text=True, timeout=30, check=False)
    equal(done.returncode, 0, done.stderr)
    made = json.loads(done.stdout)
    return made["key"], made["line"]


class Site:
    def __init__(self, daemon, **access):
        self.daemon = daemon
        self.path = os.path.join(daemon.dir, "api_keys")
        daemon.sections["access"] = {"keys": f'"{self.path}"', **access}

    def write(self, *lines, mode=0o600):
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write("# keys\n" + "".join(line + "\n" for line in lines))
        os.chmod(self.path + ".new", mode)
        os.rename(self.path + ".new", self.path)

    def ask(self, path="/api/v1/models", key=None, method="GET", headers=None, body=None, connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.daemon.port(), timeout=20)
        fields = dict(headers or {})
        if key is not None:
            fields["Authorization"] = "Bearer " + key
        own.request(method, path, body, fields)
        answer = own.getresponse()
        content = answer.read()
        if connection is None:
            own.close()
        return answer, content

    def status(self, *args, **values):
        return self.ask(*args, **values)[0].status

    def refused(self, reason):
        found = [value for name, value in self.daemon.metrics().items() if f'reason="{reason}"' in name]
        return sum(found)

    def reload(self, code=0):
        """The admin socket answers when the reload has ended."""
        got, text = self.daemon.admin("reload")
        equal(got, code, text)
        return text


def test_a_key_of_the_command_line_opens_what_its_scopes_say(daemon):
    site = Site(daemon, required="yes")
    reader, reader_line = key_new("reader", "--scopes", "read")
    writer, writer_line = key_new("writer", "--scopes", "read,write", "--expires", "2999-01-01")
    old, old_line = key_new("old", "--scopes", "predict,read,write", "--expires", "2999-01-01")
    contains(reader_line, hashlib.sha256(reader.encode()).hexdigest())
    check(re.fullmatch(r"aug_[A-Za-z0-9_-]{43}", reader), reader)
    site.write(reader_line, writer_line, old_line.replace("2999", "2001"))
    daemon.start()
    answer, body = site.ask()
    equal((answer.status, answer.headers["WWW-Authenticate"], json.loads(body)["code"]),
          (401, 'Bearer realm="augury"', "key_missing"))
    equal([site.status(path) for path in ("/api/v1/health", "/ping", "/api/v1", "/metrics", "/nothing")], [200, 200, 200, 401, 404])
    equal(site.status(key=reader), 200)
    equal(site.status(headers={"x-api-key": reader}), 200)
    equal(site.status(PREDICT, key=reader, method="POST", body='{"features":{}}'), 403)
    answer, body = site.ask("/api/v1/objects/a", key=reader, method="PUT", body="x")
    equal((answer.status, json.loads(body)["code"]), (403, "scope_missing"))
    equal(site.status("/api/v1/objects/a", key=writer, method="PUT", body="x"), 201, "without writable = yes")
    answer, body = site.ask("/api/v1/objects/a", key=reader)
    equal((answer.status, body, answer.headers["X-Content-Type-Options"]), (200, b"x", "nosniff"))
    check(answer.headers["Cache-Control"].startswith("private, max-age="), answer.headers["Cache-Control"])
    first = site.ask(key=old)
    second = site.ask(key="aug_nobody")
    equal((first[0].status, first[1]), (second[0].status, second[1]), "expired and unknown")
    equal(first[0].headers["WWW-Authenticate"], second[0].headers["WWW-Authenticate"])
    equal((site.refused("expired"), site.refused("unknown"), site.refused("scope")), (1, 1, 2))
    done = subprocess.run([AUGURY, "-c", daemon.conf_path, "-j", "key", "list"], capture_output=True, text=True, timeout=30, check=True)
    listed = json.loads(done.stdout)["keys"]
    equal([(row["name"], row["scopes"], row["is_expired"]) for row in listed],
          [("reader", ["read"], False), ("writer", ["read", "write"], False), ("old", ["predict", "read", "write"], True)])
    with open(daemon.log_path, encoding="utf-8") as file:
        log = file.read()
    for secret in (reader, writer, hashlib.sha256(reader.encode()).hexdigest()):
        check(secret not in log and secret not in done.stdout, "a key or its digest is shown")
    daemon.stop()


def test_a_reload_takes_the_file_anew_and_loses_no_request(daemon):
    site = Site(daemon, required="yes")
    one, one_line = key_new("one", "--scopes", "read")
    two, two_line = key_new("two", "--scopes", "read")
    site.write(one_line)
    daemon.start()
    equal((site.status(key=one), site.status(key=two)), (200, 401))
    is_over = threading.Event()
    statuses = []

    def keep_asking():
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=20)
        while not is_over.is_set():
            answer, _ = site.ask(key=one, connection=connection)
            statuses.append(answer.status)
            if answer.headers["Connection"] == "close":
                connection.close()

    asking = threading.Thread(target=keep_asking)
    asking.start()
    site.write(one_line, two_line)
    site.reload()
    wait_for(lambda: site.status(key=two) == 200, "the new key counts")
    before = len(statuses)
    wait_for(lambda: len(statuses) > before + 10, "requests go on")
    is_over.set()
    asking.join()
    equal(set(statuses), {200})
    daemon.expect_error("reload_failed")
    site.write(one_line, two_line, "three")
    contains(site.reload(1), "api_keys:4: behind the name belongs the key's SHA-256")
    contains(daemon.command("-t").stderr, "api_keys:4: behind the name")
    equal((site.status(key=one), site.status(key=two)), (200, 200), "the old keys stay")
    site.write(two_line, mode=0o644)
    contains(site.reload(1), "open to everybody; chmod o-r")
    site.write(two_line)
    site.reload()
    wait_for(lambda: not daemon.children("worker 0 gen 2") and site.status(key=one) == 401, "the old key is gone")
    equal(site.status(key=two), 200)
    daemon.stop()


def test_a_rate_is_one_for_all_workers_and_outlives_them(daemon):
    daemon.options["workers"] = "3"
    site = Site(daemon, required="yes")
    slow, slow_line = key_new("slow", "--scopes", "read", "--rate", "4/h", "--burst", "12")
    free, free_line = key_new("free", "--scopes", "read")
    site.write(slow_line, free_line)
    daemon.start()
    left = []
    for _ in range(12):  # a connection each, so that several workers count
        answer, _ = site.ask(key=slow)
        equal((answer.status, answer.headers["RateLimit-Limit"]), (200, "12"))
        left.append(int(answer.headers["RateLimit-Remaining"]))
    equal(left, list(range(11, -1, -1)))
    answer, body = site.ask(key=slow)
    equal((answer.status, json.loads(body)["code"], answer.headers["RateLimit-Remaining"]), (429, "rate_limited", "0"))
    check(0 < int(answer.headers["Retry-After"]) <= 900, answer.headers["Retry-After"])
    equal(answer.headers["RateLimit-Reset"], "10800")
    equal(site.status(key=free), 200)
    for pid in daemon.children("worker").values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(daemon.children("worker")) == 3, "workers are back")
    equal(site.status(key=slow), 429, "after their deaths")
    site.reload()
    equal(site.status(key=slow), 429, "after a reload")
    site.write(slow_line.replace("rate=4/h", "rate=1000000/s"), free_line)
    site.reload()
    wait_for(lambda: site.status(key=slow) == 200, "a new rate counts at once")
    daemon.stop()


def test_an_address_without_a_key_has_a_rate_too(daemon):
    site = Site(daemon, client_rate='"3/h"', client_burst="5")
    free, free_line = key_new("free", "--scopes", "read")
    site.write(free_line)
    daemon.start()
    equal([site.status() for _ in range(4)], [200] * 4)
    equal(site.status(key="aug_a-guess"), 401)
    equal([site.status(), site.status(key="aug_a-guess"), site.status(key=free), site.status("/ping")], [429, 429, 200, 200])
    equal((site.refused("client_rate"), site.refused("unknown")), (2, 1))
    daemon.stop()


def test_a_page_of_a_named_origin_reads_answers_late_ones_too(daemon):
    site = Site(daemon, required="yes")
    daemon.sections["cors"] = {"origins": '"https://a.example, https://*.b.example"', "credentials": "yes"}
    key, line = key_new("page", "--scopes", "read,write", "--rate", "50/h", "--burst", "100")
    site.write(line)
    daemon.start()
    asked = {"Origin": "https://x.b.example", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-api-key"}
    answer, _ = site.ask("/api/v1/objects/a", method="OPTIONS", headers=asked)
    equal((answer.status, answer.headers["Access-Control-Allow-Origin"], answer.headers["Access-Control-Allow-Credentials"]),
          (204, "https://x.b.example", "true"), "a preflight needs no key")
    equal(answer.headers["Access-Control-Allow-Methods"], "GET, HEAD, PUT, DELETE")
    contains(answer.headers["Access-Control-Allow-Headers"], "X-API-Key")
    equal(answer.headers["Access-Control-Max-Age"], "600")
    answer, _ = site.ask("/api/v1/objects/a", method="PUT", body="x", key=key, headers={"Origin": "https://x.b.example"})
    equal((answer.status, answer.headers["Access-Control-Allow-Origin"]), (201, "https://x.b.example"), "answered by the keeper")
    equal((answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]), ("100", "99"))
    contains(answer.headers["Access-Control-Expose-Headers"], "RateLimit-Remaining")
    answer, _ = site.ask("/api/v1/objects/a", headers={"Origin": "https://a.example"})
    equal((answer.status, answer.headers["Access-Control-Allow-Origin"]), (401, "https://a.example"), "a page may read why")
    answer, body = site.ask("/api/v1/objects/a", key=key, headers={"Origin": "https://c.example"})
    equal((answer.status, body), (200, b"x"))
    equal([name for name in answer.headers if name.startswith("Access-Control")], [])
    check("Origin" in answer.headers.get_all("Vary"), "Vary")
    daemon.stop()
    done = daemon.command("-t", "-o", "cors.origins=*")
    check(done.returncode != 0 and "needs origins by name" in done.stderr, done.stderr)


def test_nothing_of_the_admin_socket_is_reached_over_http(daemon):
    site = Site(daemon)
    key, line = key_new("all", "--scopes", "predict,read,write")
    site.write(line)
    daemon.start()
    for verb in ("status", "reload", "stop", "flush", "purge", "cache/flush", "model/import", "resize", "help"):
        for path in (f"/{verb}", f"/admin/{verb}", f"/api/v1/admin/{verb}"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                equal(site.status(path, key=key, method=method), 404, f"{method} {path}")
    with socket.create_connection(("127.0.0.1", daemon.port()), timeout=10) as client:
        client.sendall(b"status -j\nstop\n")
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    check(answer.startswith(b"HTTP/1.1 400 "), answer)
    equal(daemon.events("drain"), [])
    daemon.stop()


harness.run(globals())
