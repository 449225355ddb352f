#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Rows of requests that arrive together are evaluated together, and every client gets its own rows' numbers: those that
xgboost published. The worker is stopped while requests are sent, so that all of them are there when it goes on."""
import http.client
import json
import os
import signal
import socket
import struct
import subprocess

import harness
from harness import BUILD, SOURCE, check, equal, wait_for

AUGURY = os.path.join(BUILD, "augury")
DATA = os.path.join(SOURCE, "tests", "data", "nfl-wp")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,"
         "score_differential,down,ydstogo,yardline_100,posteam_timeouts_remaining,"
         "defteam_timeouts_remaining")
PATH = "/api/v1/predict/nfl-wp"
CLIENTS = 24
ROUNDS = 20
BATCHED = "augury_predict_rows_batched_total"


def table(name):
    with open(os.path.join(DATA, name), encoding="ascii") as file:
        return [[float(cell) if cell else None for cell in line.rstrip("\n").split("\t")] for line in file]


ROWS = table("input.tsv")
MARGINS = [line[0] for line in table("xgb174_margin.tsv")]
CONTRIBUTIONS = table("xgb174_contributions.tsv")


def float32(number):
    return struct.unpack("f", struct.pack("f", number))[0]


def start(daemon, **predict):
    daemon.options["workers"] = "1"
    daemon.sections["predict"] = predict
    daemon.start()
    result = subprocess.run([AUGURY, "-c", daemon.conf_path, "model", "import", "nfl-wp",
                             os.path.join(DATA, "model.json"), "--features", NAMES],
                            capture_output=True, text=True, timeout=60, check=False)
    equal((result.returncode, result.stderr), (0, ""))


def request_of(first, count=1, path=PATH, accept="application/json", **options):
    body = json.dumps({"data": ROWS[first:first + count], **options}).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def explained(first, count=1, **options):
    """Contributions take long enough for several rows to be worth a pass."""
    return request_of(first, count, outputs=["margin", "contributions"], **options)


def tensor(row):
    """The same in the Open Inference Protocol, whose answers say what the request called itself and its outputs."""
    body = json.dumps({"id": f"row {row}", "inputs": [{"name": "rows", "shape": [1, len(ROWS[row])], "datatype": "FP32",
                                                       "data": [ROWS[row]]}],
                       "outputs": [{"name": "margin"}, {"name": "treeshap_output"}]}).encode()
    return (f"POST /v2/models/nfl-wp/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def check_tensor(answer, row, name):
    equal(answer.status, 200, f"{name}: {answer.text}")
    document = json.loads(answer.text)
    equal(document["id"], f"row {row}", name)
    equal([output["name"] for output in document["outputs"]], ["margin", "treeshap_output"], name)
    equal(float32(document["outputs"][0]["data"][0]), float32(MARGINS[row]), name)
    check(abs(sum(document["outputs"][1]["data"]) - MARGINS[row]) < 1e-3, f"{name}: {document}")


def check_rows(answer, first, count, name=""):
    equal(answer.status, 200, f"{name}: {answer.text}")
    predictions = json.loads(answer.text)["predictions"]
    equal(len(predictions), count)
    for row, prediction in enumerate(predictions, first):
        check(float32(prediction["margin"]) == float32(MARGINS[row]), f"{name}: row {row}: {prediction}")
        values = list(prediction["contributions"].values())
        check(abs(sum(values) - MARGINS[row]) < 1e-3, f"{name}: row {row}: {prediction}")
        if row < len(CONTRIBUTIONS):
            check(all(abs(a - b) < 1e-4 for a, b in zip(values, CONTRIBUTIONS[row])), f"{name}: row {row}")


class Client:
    def __init__(self, daemon):
        self.socket = socket.create_connection(("127.0.0.1", daemon.port()), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def hear(self):
        answer = http.client.HTTPResponse(self)
        answer.begin()
        answer.text = answer.read()
        return answer

    def makefile(self, *_):
        """For HTTPResponse: the one reader, which has read on when answers came together."""
        return self

    def readline(self, *args):
        return self.file.readline(*args)

    def read(self, *args):
        return self.file.read(*args)

    def readinto(self, room):
        return self.file.readinto(room)

    def flush(self):
        pass

    def close(self):
        """Only of an answer."""

    def end(self, is_reset=False):
        if is_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


class Crowd:
    """Clients whose requests are all there when the worker looks."""

    def __init__(self, daemon, count=CLIENTS):
        (self.worker,) = daemon.children("worker 0").values()
        self.clients = [Client(daemon) for _ in range(count)]
        for number, client in enumerate(self.clients):  # what a row takes alone becomes known
            client.send(explained(number, use_cache=False))
            check_rows(client.hear(), number, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.worker, signal.SIGCONT)
        for client in self.clients:
            client.end()

    def send(self, requests):
        os.kill(self.worker, signal.SIGSTOP)
        try:
            for client, request in zip(self.clients, requests):
                client.send(request)
        finally:
            os.kill(self.worker, signal.SIGCONT)


def repeat_until_batched(daemon, crowd, turn):
    """Turns are cheap, and a busy machine may measure anything in one of them."""
    before = daemon.metrics()[BATCHED]
    for number in range(ROUNDS):
        turn(number)
        if number >= 2 and daemon.metrics()[BATCHED] >= before + len(crowd.clients):
            return
    raise harness.Failure(f"no rows shared a pass in {ROUNDS} rounds")


def test_every_client_gets_the_numbers_of_its_own_rows(daemon):
    start(daemon)
    with Crowd(daemon) as crowd:
        def turn(number):
            firsts = [(37 * number + 11 * i) % 900 for i in range(CLIENTS)]
            crowd.send(explained(first, 1 + i % 3, use_cache=False) for i, first in enumerate(firsts))
            for i, client in enumerate(crowd.clients):
                check_rows(client.hear(), firsts[i], 1 + i % 3, f"round {number}, client {i}")

        repeat_until_batched(daemon, crowd, turn)
    found = daemon.metrics()
    passes = sum(value for name, value in found.items() if name.startswith("augury_predict_batches_total"))
    check(passes >= 1, "no passes are counted")
    check(found["augury_predict_rows_total"] == found["augury_predict_rows_evaluated_total"], str(found))
    daemon.stop()


def test_a_row_is_answered_with_the_same_digits_alone_among_many_rows_and_in_a_pass(daemon):
    start(daemon)
    with Crowd(daemon) as crowd:
        def predictions(client):
            answer = client.hear()
            equal(answer.status, 200, answer.text)
            return json.loads(answer.text)["predictions"]

        first = crowd.clients[0]
        first.send(explained(0, 200, use_cache=False))
        told = predictions(first)
        for row in range(30):
            first.send(explained(row, use_cache=False))
            equal(predictions(first), told[row:row + 1], f"row {row} alone")

        def turn(number):
            starts = [(41 * number + 7 * i) % 190 for i in range(CLIENTS)]
            crowd.send(explained(row, 1 + i % 7, use_cache=False) for i, row in enumerate(starts))
            for i, client in enumerate(crowd.clients):
                row = starts[i]
                equal(predictions(client), told[row:row + 1 + i % 7], f"round {number}, client {i}")

        repeat_until_batched(daemon, crowd, turn)
    daemon.stop()


def test_options_errors_and_other_outputs_are_each_clients_own(daemon):
    start(daemon)
    with Crowd(daemon) as crowd:
        def request(i):
            return (explained(i), explained(i, 2, top_k=2), request_of(i, outputs=["margin"]),
                    request_of(i, outputs=["nonsense"]), request_of(i, path=PATH + "@7"),
                    request_of(i, columns=["down"]), explained(i, accept="text/csv"),
                    explained(i, accept="application/msgpack"), tensor(i))[i % 9]

        def turn(number):
            daemon.admin("cache flush")
            crowd.send(request(i) for i in range(CLIENTS))
            for i, client in enumerate(crowd.clients):
                answer = client.hear()
                name = f"round {number}, client {i}"
                if i % 9 == 0:
                    check_rows(answer, i, 1, name)
                elif i % 9 == 1:
                    for row, prediction in enumerate(json.loads(answer.text)["predictions"], i):
                        equal(float32(prediction["margin"]), float32(MARGINS[row]), name)
                        equal(len(prediction["contributions"]["top"]), 2, name)
                elif i % 9 == 2:
                    predictions = json.loads(answer.text)["predictions"]
                    equal([list(row) for row in predictions], [["margin"]], name)
                    equal(float32(predictions[0]["margin"]), float32(MARGINS[i]), name)
                elif i % 9 == 8:
                    check_tensor(answer, i, name)
                elif i % 9 == 6:
                    equal(answer.getheader("Content-Type").split(";")[0], "text/csv", name)
                    lines = answer.text.decode().split("\r\n" if b"\r\n" in answer.text else "\n")
                    values = dict(zip(lines[0].split(","), lines[1].split(",")))
                    equal(float32(float(values["margin"])), float32(MARGINS[i]), name)
                elif i % 9 == 7:
                    equal(answer.getheader("Content-Type"), "application/msgpack", name)
                    check(b"\xca" + struct.pack(">f", MARGINS[i]) in answer.text, f"{name}: {answer.text}")
                else:
                    equal(answer.status, (400, 404, 400)[i % 9 - 3], f"{name}: {answer.text}")

        before = daemon.metrics()[BATCHED]
        for number in range(ROUNDS):
            turn(number)
            if daemon.metrics()[BATCHED] > before:
                break
        else:
            raise harness.Failure("no rows shared a pass")
    daemon.stop()


def test_pipelined_requests_share_a_pass_and_are_answered_in_order(daemon):
    start(daemon)
    with Crowd(daemon, 8) as crowd:
        client = crowd.clients[0]

        def turn(number):
            firsts = [(53 * number + 7 * i) % 900 for i in range(32)]
            requests = [explained(first, use_cache=False) for first in firsts]
            requests[10] = b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
            requests[20] = request_of(0, outputs=["nonsense"])
            os.kill(crowd.worker, signal.SIGSTOP)
            client.send(b"".join(requests))
            os.kill(crowd.worker, signal.SIGCONT)
            for i, first in enumerate(firsts):
                answer = client.hear()
                if i in (10, 20):
                    equal(answer.status, 200 if i == 10 else 400)
                else:
                    check_rows(answer, first, 1, f"round {number}, request {i}")

        repeat_until_batched(daemon, crowd, turn)
    daemon.stop()


def test_what_a_pass_made_is_in_the_cache_afterwards(daemon):
    start(daemon)
    with Crowd(daemon) as crowd:
        def turn(number):
            firsts = [300 + 25 * number + i for i in range(CLIENTS)]
            crowd.send(explained(first) for first in firsts)
            for i, client in enumerate(crowd.clients):
                answer = client.hear()
                equal(answer.getheader("X-Cache"), "MISS")
                check_rows(answer, firsts[i], 1)

        repeat_until_batched(daemon, crowd, turn)

        def is_hit():
            crowd.clients[3].send(explained(303))
            answer = crowd.clients[3].hear()
            check_rows(answer, 303, 1)
            return answer.getheader("X-Cache") == "HIT"

        wait_for(is_hit, "the row of a pass is found in the cache")
    daemon.stop()


def test_clients_that_leave_meanwhile_are_no_others_concern(daemon):
    start(daemon)
    with Crowd(daemon) as crowd:
        os.kill(crowd.worker, signal.SIGSTOP)
        for i, client in enumerate(crowd.clients):
            client.send(explained(i, use_cache=False))
        for i in range(0, CLIENTS, 3):
            crowd.clients[i].end(is_reset=i % 2 == 0)
        os.kill(crowd.worker, signal.SIGCONT)
        for i, client in enumerate(crowd.clients):
            if i % 3 != 0:
                check_rows(client.hear(), i, 1)
        crowd.clients = [client for i, client in enumerate(crowd.clients) if i % 3 != 0]
        wait_for(lambda: daemon.metrics()["augury_http_connections"] == len(crowd.clients), "the others have gone")
    daemon.stop()


def test_a_window_waits_for_what_comes_and_no_longer(daemon):
    start(daemon, window='"30ms"')
    with Crowd(daemon, 8) as crowd:
        def turn(number):
            for i, client in enumerate(crowd.clients):
                client.send(explained(10 * number + i, use_cache=False))
            for i, client in enumerate(crowd.clients):
                check_rows(client.hear(), 10 * number + i, 1)
            crowd.clients[0].send(explained(5, use_cache=False))  # nobody comes
            check_rows(crowd.clients[0].hear(), 5, 1)

        repeat_until_batched(daemon, crowd, turn)
    daemon.stop()


def test_batching_can_be_switched_off(daemon):
    start(daemon, batching="no")
    with Crowd(daemon) as crowd:
        for _ in range(3):
            crowd.send(explained(i, use_cache=False) for i in range(CLIENTS))
            for i, client in enumerate(crowd.clients):
                check_rows(client.hear(), i, 1)
    equal(daemon.metrics()[BATCHED], 0)
    daemon.stop()


harness.run(globals())
