#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`augury warm FILE`: requests of a file, sent to a server of this test that sees every byte and every moment, and to auguryd,
whose answers to the same requests then come from the cache."""
import http.client
import json
import os
import socket
import subprocess
import threading
import time

import harness
from harness import BUILD, SOURCE, check, contains, equal

AUGURY = os.path.join(BUILD, "augury")
NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
PATH = "/api/v1/predict/nfl-wp"
OK, FAILED, USAGE, NOT_RUNNING = range(4)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cache: HIT\r\n\r\n{}"


class Server:
    """Reads whole requests; what answer(request, number) gives is sent, and None closes the connection."""

    def __init__(self, answer):
        self.answer = answer
        self.requests, self.times, self.connections = [], [], 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        with connection:
            while True:
                while not self.is_whole(data):
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                with self.lock:
                    self.times.append(time.monotonic())
                    self.requests.append(data)
                    number = len(self.requests)
                answer = self.answer(data, number)
                data = b""
                if answer is None:
                    return
                connection.sendall(answer)
                if b"nection: close" in answer or answer.endswith(b"broken"):
                    return

    @staticmethod
    def is_whole(data):
        head, end, body = data.partition(b"\r\n\r\n")
        length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return bool(end) and len(body) >= (int(length[0].split(b":")[1]) if length else 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def lines_file(daemon, lines):
    path = os.path.join(daemon.dir, "requests")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return path


def warm(daemon, path, *words, stdin=None):
    daemon.write_conf()
    return subprocess.run([AUGURY, "-c", daemon.conf_path, "-j", "warm", path, *words], capture_output=True,
                          text=True, timeout=120, check=False, input=stdin)


def summary(done, status=OK):
    equal(done.returncode, status, done.stderr)
    return json.loads(done.stdout)


def test_a_file_of_requests_fills_the_cache_of_a_daemon(daemon):
    # A small model is otherwise found to be cheaper than a lookup, and nothing of it is kept.
    daemon.start("-o", "cache.prediction.bypass=no", "-o", "cache.prediction.admission=always")
    words = ["model", "import", "nfl-wp", NFL, "--features", NAMES]
    subprocess.run([AUGURY, "-c", daemon.conf_path, *words], check=True, capture_output=True, timeout=60)
    address = f"127.0.0.1:{daemon.port()}"
    rows = [{"down": down, "ydstogo": togo} for down in range(1, 5) for togo in range(1, 26)]
    path = lines_file(daemon, [{"path": PATH, "body": {"features": row}} for row in rows])
    first = summary(warm(daemon, path, "--address", address))
    equal((first["sent"], first["answered"], first["statuses"]), (100, 100, {"200": 100}))
    equal(first["hits"] + first["misses"], 100, "each answer says where it came from")
    check(first["misses"] >= 90, first)
    check(0 < first["p50_us"] <= first["p99_us"], first)
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)

    def is_hit(row):
        connection.request("POST", PATH, json.dumps({"features": row}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("X-Cache") == "HIT"
    harness.wait_for(lambda: all(is_hit(row) for row in rows), "what was warmed is answered from the cache")
    connection.close()
    again = summary(warm(daemon, path, "--address", address))
    equal((again["hits"], again["misses"]), (100, 0))
    daemon.stop()


def test_requests_are_sent_as_the_lines_say(daemon):
    with Server(lambda *_: GOOD) as server:
        path = lines_file(daemon, [
            {"path": "/a?b=c%20d"},
            {"method": "HEAD", "path": "/head"},
            {"path": "/json", "body": {"x": [1, 2.5, None, "é"]}},
            {"method": "POST", "path": "/text", "headers": {"Content-Type": "text/csv", "X-Y": "z"}, "body": "1,2\n"},
            {"method": "POST", "path": "/empty"},
            '1.2.3.4 - bob [01/Nov/2026:10:00:00 +0000] "GET /log?q=1 HTTP/1.1" 200 12 "-" "curl"',
            '1.2.3.4 - - [01/Nov/2026:10:00:00 +0000] "POST /no HTTP/1.1" 200 12 "-" "curl"',
            '1.2.3.4 - - [01/Nov/2026:10:00:00 +0000] "GET /no HTTP/1.1" 404 12 "-" "curl"',
            "",
        ])
        got = summary(warm(daemon, path, "--address", server.address, "--connections", "1"))
        equal((got["sent"], got["skipped_lines"], got["hits"], server.connections), (6, 3, 6, 2))
        host = f"Host: {server.address}\r\n".encode()
        bodies = [request.replace(host, b"") for request in server.requests]
        equal(bodies[0], b"GET /a?b=c%20d HTTP/1.1\r\n\r\n")
        equal(bodies[1], b"HEAD /head HTTP/1.1\r\n\r\n")
        body = '{"x":[1,2.5,null,"é"]}'.encode()
        equal(bodies[2], b"POST /json HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
              % (len(body), body))
        equal(bodies[3], b"POST /text HTTP/1.1\r\nContent-Type: text/csv\r\nX-Y: z\r\nContent-Length: 4\r\n\r\n1,2\n")
        equal(bodies[4], b"POST /empty HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        equal(bodies[5], b"GET /log?q=1 HTTP/1.1\r\n\r\n")


def test_the_rate_is_kept(daemon):
    path = lines_file(daemon, [{"path": "/"}] * 401)
    for _ in range(3):
        with Server(lambda *_: GOOD) as server:
            got = summary(warm(daemon, path, "--address", server.address, "--rate", "200/s"))
            equal(got["answered"], 401)
            seconds = server.times[-1] - server.times[0]
            check(seconds >= 1.8, f"400 requests at 200/s within {seconds} s")
            check(server.connections <= 4, "connections are kept")
            if seconds <= 2.2:
                return
    raise harness.Failure("400 requests at 200/s took more than 2.2 s, three times")


def test_wrong_lines_are_named_and_the_others_are_sent(daemon):
    wrong = [
        ("{", ""),
        ('{"path": 3}', "path is a string"),
        ('{"path": "/a b"}', "path is a string"),
        ('{"path": "/a\\r\\nX: y"}', "path is a string"),
        ('{"path": "/", "method": "DELETE"}', "method is"),
        ('{"path": "/", "method": "GET", "body": "x"}', "only POST has a body"),
        ('{"path": "/", "headers": {"a": "b\\r\\nc"}}', "no header may have"),
        ('{"path": "/", "headers": {"Content-Length": "9"}}', "is set by augury itself"),
        ('{"path": "/", "verb": 1}', '"verb" is none of'),
        ("nonsense", "neither an object of JSON"),
    ]
    with Server(lambda *_: GOOD) as server:
        path = lines_file(daemon, ['{"path":"/"}'] + [line for line, _ in wrong] + ['{"path":"/"}'])
        done = warm(daemon, path, "--address", server.address)
        got = summary(done, FAILED)
        equal((got["sent"], got["bad_lines"], len(server.requests)), (2, len(wrong), 2))
        said = done.stderr.splitlines()
        for number, (_, reason) in enumerate(wrong, 2):
            contains(said[number - 2], f"augury: {path}:{number}: ")
            contains(said[number - 2], reason)


def test_it_stops_after_too_many_errors(daemon):
    bad = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with Server(lambda *_: bad) as server:
        path = lines_file(daemon, [{"path": "/"}] * 500)
        done = warm(daemon, path, "--address", server.address, "--errors", "20", "--connections", "2")
        got = summary(done, FAILED)
        check(got["is_stopped"] and 20 <= got["sent"] <= 22, got)
        equal(got["statuses"], {"503": got["sent"]})
        contains(done.stderr, f"{path}:1: answered with 503")
        contains(done.stderr, "stopped after")
        equal(done.stderr.count("answered with"), 10, "further ones are only counted")


def test_refused_requests_are_counted_and_told_by_the_exit_status(daemon):
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    with Server(lambda _request, number: gone if number == 2 else GOOD) as server:
        path = lines_file(daemon, [{"path": "/"}] * 5)
        done = warm(daemon, path, "--address", server.address, "--connections", "1")
        got = summary(done, FAILED)
        equal((got["sent"], got["answered"], got["refused"], got["failed"], got["is_stopped"]), (5, 5, 1, 0, False))
        contains(done.stderr, f"{path}:2: answered with 404")
        contains(done.stderr, "1 of 5 requests were refused, 0 had no answer, 0 lines were wrong")


def test_a_connection_closed_between_requests_loses_none(daemon):
    def answer(_request, number):
        return GOOD.replace(b"X-Cache", b"Connection: close\r\nX-Cache") if number % 3 == 0 else GOOD
    with Server(answer) as server:
        path = lines_file(daemon, [{"path": "/"}] * 30)
        got = summary(warm(daemon, path, "--address", server.address, "--connections", "1"))
        equal((got["answered"], got["failed"], server.connections), (30, 0, 10))
    # Without an announcement: the request is sent once more on a new connection.
    with Server(lambda _request, number: None if number % 3 == 0 else GOOD) as server:
        path = lines_file(daemon, [{"path": "/"}] * 30)
        got = summary(warm(daemon, path, "--address", server.address, "--connections", "1"))
        equal((got["answered"], got["failed"]), (30, 0))


def test_answers_of_every_framing_are_read(daemon):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Cache: MISS\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + GOOD
    nothing = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nX-Cache: HIT\r\n\r\n"
    to_end = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end"
    with Server(lambda _request, number: [chunked, interim, nothing, to_end][number % 4]) as server:
        path = lines_file(daemon, [{"path": "/"}] * 40)
        got = summary(warm(daemon, path, "--address", server.address, "--connections", "1"))
        equal((got["answered"], got["hits"], got["misses"], got["failed"]), (40, 20, 10, 0))
        equal((got["statuses"], server.connections), ({"200": 30, "304": 10}, 11), "one anew behind each that ended")


def test_answers_that_are_none_are_faults(daemon):
    answers = [b"SSH-2.0-broken\r\n\r\nbroken", b"HTTP/1.1 999 No\r\n\r\nbroken", b"HTTP/1.1 200 OK\r\nbroken",
               b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nbroken",
               b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken",
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbroken",
               b"HTTP/1.1 200 OK\r\nno colon\r\n\r\nbroken", b"HTTP/1.1 101 Up\r\n\r\nbroken",
               b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20000 + b"broken", None]
    with Server(lambda _request, number: answers[number - 1]) as server:
        path = lines_file(daemon, [{"path": "/"}] * len(answers))
        got = summary(warm(daemon, path, "--address", server.address, "--connections", "1"), FAILED)
        equal((got["sent"], got["failed"], got["answered"]), (len(answers), len(answers), 0))


def test_lines_come_from_standard_input(daemon):
    with Server(lambda *_: GOOD) as server:
        done = warm(daemon, "-", "--address", server.address, stdin='{"path":"/"}\n{"path":"/last"}')
        equal(summary(done)["answered"], 2)
        done = warm(daemon, "-", "--address", server.address, stdin='{"path":"/"}\nwrong\n')
        equal(summary(done, FAILED)["answered"], 1)
        contains(done.stderr, "standard input:2: ")
        done = warm(daemon, "-", "--address", server.address, stdin="")
        equal((summary(done)["sent"], summary(done)["p99_us"]), (0, 0))


def test_words_that_make_no_command_are_named(daemon):
    path = lines_file(daemon, [{"path": "/"}])
    for words in (["--rate", "0"], ["--rate", "fast"], ["--connections", "257"], ["--errors", "0"], ["again"],
                  ["--address", "nowhere"]):
        equal(warm(daemon, path, *words).returncode, USAGE, str(words))
    done = warm(daemon, path)
    equal(done.returncode, USAGE)
    contains(done.stderr, "--address HOST:PORT")
    done = warm(daemon, os.path.join(daemon.dir, "absent"), "--address", "127.0.0.1:1")
    equal((done.returncode, "absent" in done.stderr), (FAILED, True))


def test_a_daemon_that_does_not_run_is_said_so(daemon):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    done = warm(daemon, lines_file(daemon, [{"path": "/"}] * 3), "--address", address)
    equal(done.returncode, NOT_RUNNING, done.stderr)
    contains(done.stderr, address)
    daemon.listeners = {"public": address.replace("127.0.0.1", "*")}
    done = warm(daemon, lines_file(daemon, [{"path": "/"}]))
    equal(done.returncode, NOT_RUNNING)
    contains(done.stderr, address)


harness.run(globals())
