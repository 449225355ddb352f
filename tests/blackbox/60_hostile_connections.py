#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Clients that do not keep their side: silent, half, slow, deaf, gone. Each is cut by a deadline or costs nothing, and a client
that behaves is answered quickly all the while."""
import contextlib
import resource
import socket
import struct
import threading
import time

import harness
from harness import check, equal, wait_for
from siege import PREDICT, read_answer, siege

BODY = b'{"features":{}}'
GOOD = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n" + BODY
PARTIAL_HEAD = GOOD[:30]
PARTIAL_BODY = GOOD[:-5]
LONG_BODY = GOOD.replace(b"15\r\n\r\n" + BODY, b"1000\r\n\r\n{")
PARTIAL_CHUNK = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhel"
SLOW_MS = 250  # a good answer takes well under 1 ms; this machine may be busy with other tests


class Prober:
    """A client that behaves, in a thread: one request a few milliseconds."""

    def __init__(self, target):
        self.target = target
        self.millis = []
        self.problems = []
        self.is_done = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            with self.target.connect() as connection:
                while not self.is_done:
                    begin = time.monotonic()
                    connection.sendall(GOOD)
                    answer = read_answer(connection)
                    self.millis.append((time.monotonic() - begin) * 1000)
                    if answer is None or answer[0] != 200:
                        self.problems.append(answer)
                        return
                    time.sleep(0.003)
        except OSError as error:
            self.problems.append(error)


@contextlib.contextmanager
def probing(target):
    probers = [Prober(target) for _ in range(4)]
    for prober in probers:
        prober.thread.start()
    try:
        yield
    finally:
        for prober in probers:
            prober.is_done = True
            prober.thread.join()
    for prober in probers:
        equal(prober.problems, [], "a client that behaves")
        check(len(prober.millis) > 5, f"{len(prober.millis)} probes")
    millis = sorted(sum((prober.millis for prober in probers), []))
    p99 = millis[len(millis) * 99 // 100]
    print(f"# {len(millis)} probes, p50 {millis[len(millis) // 2]:.2f} ms, p99 {p99:.2f} ms, worst {millis[-1]:.2f} ms")
    check(p99 < SLOW_MS, f"p99 {p99} ms")


def room_for_descriptors():
    """A thousand clients need more than the usual 1,024; the daemon, started from here, has as many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096 if hard == resource.RLIM_INFINITY else min(4096, hard), hard))


def open_connections(daemon):
    return daemon.metrics()["augury_http_connections"]


def refused(daemon, reason):
    return daemon.metrics()[f'augury_http_refused_total{{reason="{reason}"}}']


def test_a_thousand_half_open_connections_are_cut_and_nobody_waits(daemon):
    room_for_descriptors()
    with siege(daemon, header_timeout="1500ms", body_timeout="1500ms") as target:
        late = refused(daemon, "deadline")
        with probing(target):
            parts = (b"", PARTIAL_HEAD, PARTIAL_BODY, PARTIAL_CHUNK)
            clients = [target.connect() for _ in range(1000)]
            for i, client in enumerate(clients):
                client.sendall(parts[i % 4])
            wait_for(lambda: open_connections(daemon) >= 1000, "all are open")
            for i, client in enumerate(clients):
                answer = read_answer(client)
                if i % 4 == 0:
                    equal(answer, None, "silence is answered by silence")
                else:
                    equal(answer[0], 408, parts[i % 4])
                    check(b'"code":"timeout","at":""}' in answer[2], answer)
                client.close()
            wait_for(lambda: open_connections(daemon) <= 4, "all are gone")
        equal(refused(daemon, "deadline") - late, 750)


def test_a_slow_drip_does_not_move_its_deadline(daemon):
    with siege(daemon, header_timeout="1s", body_timeout="1s") as target:
        with probing(target):
            clients = {}
            for begin, rest in ((b"", GOOD), (LONG_BODY, b" " * 100), (PARTIAL_CHUNK, b"a" * 100), (GOOD, GOOD)):
                for _ in range(10):
                    client = target.connect()
                    client.sendall(begin)
                    if begin == GOOD:
                        equal(read_answer(client)[0], 200)
                    clients[client] = rest
            begun = time.monotonic()
            for at in range(60):
                for client, rest in clients.items():
                    with contextlib.suppress(OSError):
                        client.send(rest[at:at + 1])
                time.sleep(0.025)
            check(time.monotonic() - begun < 5, "this machine is too slow for the test")
            for client in clients:
                equal(read_answer(client)[0], 408)
                client.close()


def test_a_deaf_client_that_pipelines_is_held_back_and_then_cut(daemon):
    """10,000 requests are sent, no answer is read: the server stops to read, keeps little, and goes on when the client does."""
    with siege(daemon, send_timeout="2s") as target:
        metrics = GOOD.replace(b"POST " + PREDICT.encode(), b"GET /metrics").replace(b"Content-Length: 15\r\n\r\n" + BODY, b"\r\n")
        with probing(target):
            deaf, patient = target.connect(), target.connect()
            for client in (deaf, patient):
                client.setblocking(False)
            flood = metrics * 10000
            sent = {deaf: 0, patient: 0}
            for client in sent:
                with contextlib.suppress(BlockingIOError):
                    while sent[client] < len(flood):
                        sent[client] += client.send(flood[sent[client]:sent[client] + 65536])
            before = target.private_bytes()
            patient.setblocking(True)
            answers = 0
            feeder = threading.Thread(target=patient.sendall, args=(flood[sent[patient]:],))
            feeder.start()
            reader = patient.makefile("rb")
            while answers < 10000:
                line = reader.readline()
                equal(line, b"HTTP/1.1 200 OK\r\n", f"answer {answers}")
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                check(len(reader.read(length)) == length, "the whole body")
                answers += 1
            feeder.join()
            reader.close()
            patient.close()
            for name, now in target.private_bytes().items():
                check(now - before[name] < 8 << 20, f"{name} has grown to {now}")
            wait_for(lambda: open_connections(daemon) <= 4, "the deaf one is cut")
            deaf.close()


def test_resets_in_the_middle_leave_nothing(daemon):
    cuts = (b"", PARTIAL_HEAD, PARTIAL_BODY, PARTIAL_CHUNK, GOOD, GOOD * 300, GOOD + PARTIAL_HEAD)
    with siege(daemon) as target:
        with probing(target):
            for i in range(2100):
                client = target.connect()
                with contextlib.suppress(OSError):
                    client.sendall(cuts[i % len(cuts)])
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            wait_for(lambda: open_connections(daemon) <= 4, "all are gone")


def test_connections_over_the_limit_are_told_so(daemon):
    with siege(daemon, connections="20") as target:
        over = refused(daemon, "connections")
        clients = [target.connect() for _ in range(100)]
        wait_for(lambda: refused(daemon, "connections") - over == 60, "sixty are refused")
        told = 0
        for client in clients:
            client.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                told += client.recv(10000).startswith(b"HTTP/1.1 503 ")
        equal(told, 60)
        for client in clients:
            client.close()
        wait_for(lambda: open_connections(daemon) == 0, "all are gone")


def test_large_bodies_that_are_welcome_pass_in_every_framing(daemon):
    """What the limit allows is answered, so that the refusals above are the limit's."""
    with siege(daemon, body="12MiB") as target:
        body = b'{"features":{' + b" " * 10000000 + b"}}"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 70000]), body[i:i + 70000]) for i in range(0, len(body), 70000))
        equal(target.post(body)[0], 200)
        head = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        equal(target.raw(head + chunks + b"0\r\n\r\n")[0], 200)
        with target.connect() as connection:
            connection.sendall(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            equal(connection.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(chunks + b"0\r\n\r\n")
            equal(read_answer(connection)[0], 200)


harness.run(globals())
