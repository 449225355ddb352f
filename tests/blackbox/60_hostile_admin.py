#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Nonsense on the admin socket: a code and a reason, or the end of that connection, and the daemon goes on."""
import contextlib
import json
import os
import random
import socket

import harness
from harness import Admin, check, equal, wait_for
from siege import siege

USAGE, FAILED = 2, 1
LINE_MAX = 65536
# (code, what the reason says, the line)
LINES = (
    (USAGE, "unknown command", b"statsu"),
    (USAGE, "unknown command", b"GET / HTTP/1.1"),
    (USAGE, "unknown command", b"\xff\xfe\xfd"),
    (USAGE, "unknown command", b"%s%s%n%n"),
    (USAGE, "unknown command", b'""'),
    (USAGE, "unknown command", b"cache"),
    (USAGE, "unknown command", b"model"),
    (USAGE, "unknown command", b"model explode"),
    (USAGE, "unknown command", b"x" * 65000),
    (USAGE, "is not closed", b'cache get "open'),
    (USAGE, "is not closed", b'cache get "open\\"'),
    (USAGE, "", b"ping\0pong"),
    (USAGE, "", b"\0"),
    (USAGE, "usage: ping", b"ping now"),
    (USAGE, "words", b"model list " + b"a " * 5000),
    (USAGE, "usage: cache get", b"cache get a b"),
    (FAILED, "there is no class", b"cache flush everything"),
    (USAGE, "usage: cache flush [CLASS]", b"cache flush object feature"),
    (FAILED, "is not closed", b"cache ban [a-"),
    (FAILED, "a backslash ends", b"cache ban 'a\\'"),
    (FAILED, "1 to 256 bytes, not 0", b"cache ban ''"),
    (FAILED, "1 to 256 bytes, not 257", b"cache ban " + b"a" * 257),
    (FAILED, "at most", b"cache invalidate view " + b"v" * 5000),
    (USAGE, "the name of the entity is empty", b'cache invalidate entity ""'),
    (FAILED, "begins with its class", b"cache purge nonsense"),
    (FAILED, "begins with its class", b"cache get nonsense:a"),
    (FAILED, "at most 400 bytes", b"cache purge object:" + b"v" * 394),
    (USAGE, "is none of model, view, entity, class", b"cache invalidate everything now"),
    (USAGE, "usage: cache invalidate", b"cache invalidate model"),
    (USAGE, "usage: stop", b"stop now"),
    (USAGE, "too few words", b"model import"),
    (USAGE, "too few words", b"model import nfl-wp"),
    (USAGE, "one word too many", b"model list all"),
    (FAILED, "nonsense", b"cache get nonsense"),
    (FAILED, "", b"cache get prediction:" + b"x" * 60000),
    (FAILED, "", b"cache purge \"prediction:\xff\xfe\""),
    (FAILED, "", b'cache purge ""'),
)


def test_each_hostile_line_has_a_code_and_a_reason_and_the_next_one_works(daemon):
    with siege(daemon):
        with Admin(daemon.socket_path) as admin:
            for code, words, line in LINES:
                got, text = admin.ask(line)
                check(got == code and text != "" and words in text, f"{line[:60]!r}: {got} {text[:200]!r}, want {code} {words!r}")
                if b"\0" not in line and b"open" not in line and line.count(b" ") < 100:
                    got, text = admin.ask(line + b" -j")
                    check(got == code and json.loads(text)["error"] != "", f"{line[:60]!r} -j: {got} {text[:200]!r}")
                equal(admin.ask("ping"), (0, "answer  pong\n"))


def test_a_line_without_end_is_cut(daemon):
    with siege(daemon):
        for data in (b"x" * 1000000, b'"' + b"\\" * 1000000, b"\0" * 1000000, random.Random(7).randbytes(1000000).replace(b"\n", b"")):
            with Admin(daemon.socket_path) as admin:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    admin.socket.sendall(data)
                head = admin.file.readline()
                check(head.startswith(b"ERR "), head)
                check(b"too long" in admin.file.read(int(head.split()[2])), "the reason")
                with contextlib.suppress(ConnectionResetError):
                    equal(admin.file.read(), b"\n", "and then the end")


def test_the_last_line_may_lack_its_end(daemon):
    with siege(daemon):
        for data, words in ((b"ping", b"pong"), (b"ping\nping -j", b'{"answer":"pong"}'), (b'cache get "', b"not closed"), (b"", b"")):
            with Admin(daemon.socket_path) as admin:
                admin.socket.sendall(data)
                admin.socket.shutdown(socket.SHUT_WR)
                check(words in admin.file.read(), data)


def test_many_connections_and_clients_that_vanish(daemon):
    with siege(daemon):
        clients = []
        for _ in range(100):
            client = socket.socket(socket.AF_UNIX)
            client.connect(daemon.socket_path)
            client.settimeout(10)
            clients.append(client)
        first = [client.makefile("rb").readline() for client in clients]
        greeted = sum(line.startswith(b"augury-admin/1 ") for line in first)
        equal((greeted, sum(line.startswith(b"ERR ") for line in first)), (64, 36), "64 are served, the others told")
        for client in clients:
            client.close()
        wait_for(lambda: answers(daemon), "room again")
        for i in range(200):  # gone before the answer is read, or in the middle of a line
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(daemon.socket_path)
                client.sendall((b"stats\n" * 50, b"metrics\nsta", b"model imp", b"")[i % 4])
            wait_for(lambda: answers(daemon), "an answer")


def answers(daemon):
    """False while the connections that have just been closed are still counted."""
    with contextlib.suppress(harness.Failure, OSError, ValueError):
        return daemon.admin("ping") == (0, "answer  pong\n")
    return False


def test_a_client_that_does_not_read_is_not_read_from(daemon):
    with siege(daemon) as target:
        with Admin(daemon.socket_path) as deaf:
            deaf.socket.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < 10000:
                    deaf.socket.send(b"stats -j\n" * 100)
                    sent += 100
            target.predict_right()
            equal(daemon.admin("ping"), (0, "answer  pong\n"))
            grown = target.private_bytes()["supervisor 0"] - target.before[1]["supervisor 0"]
            check(grown < 8 << 20, f"the supervisor has grown by {grown} bytes")


def test_a_stranger_changes_nothing(daemon):
    if os.geteuid() != 0:
        raise harness.Skip("needs root")
    with siege(daemon):
        model = os.path.join(daemon.dir, "m.json")
        before = daemon.admin_json("model list")
        os.chmod(daemon.socket_path, 0o666)
        lines = ("reload", "stop", "stop fast", "cache flush", "cache get prediction:x", "cache purge prediction:x",
                 f"model import a {model}", "model unload nfl-wp", "model use nfl-wp 1")
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(write, json.dumps([daemon.admin(line) for line in lines]).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as file:
            answers_got = json.loads(file.read())
        os.waitpid(pid, 0)
        for line, (code, text) in zip(lines, answers_got):
            check(code == 4 and "needs the role" in text, f"{line}: {code} {text}")
        equal(daemon.admin_json("model list"), before)


harness.run(globals())
