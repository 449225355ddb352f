#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""WebSocket at /api/v1/predict/{model}/stream: by frames that this file writes, and by clients that are not ours. What a
message gets is what the same body gets from POST, and what the library that trained the model says."""
import asyncio
import base64
import json
import os
import signal
import socket
import ssl
import struct
import subprocess

import msgpack

import harness
from harness import BUILD, Skip, check, contains, equal, wait_for
from served import NAMES, NFL, send, serving, table

PATH = "/api/v1/predict/nfl-wp/stream"
POST = "/api/v1/predict/nfl-wp"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Client:
    """RFC 6455 as far as a client needs it, written here apart from the server."""

    def __init__(self, daemon, path=PATH, headers=(), tls=None):
        self.socket = socket.create_connection(("127.0.0.1", daemon.port()), timeout=10)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket",
                 "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers]
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value
        self.body = self.file.read(int(self.headers.get("content-length", 0)))

    def say(self, payload, opcode=TEXT, first=None):
        payload = payload.encode() if isinstance(payload, str) else payload
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | opcode if first is None else first])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload)))

    def hear(self):
        """(opcode, payload)."""
        first, size = self.file.read(2)
        check(first & 0x70 == 0 and size < 128, f"a head of {first:x} {size:x}")
        if size == 126:
            size, = struct.unpack(">H", self.file.read(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.file.read(8))
        payload = self.file.read(size)
        equal(len(payload), size)
        check(first & 0x80, "the server sends whole messages")
        return first & 15, payload

    def ask(self, document):
        self.say(json.dumps(document))
        opcode, payload = self.hear()
        equal(opcode, TEXT)
        return json.loads(payload)

    def close(self):
        self.file.close()
        self.socket.close()


def body_of(row):
    return {"features": dict(zip(NAMES, row))}


def code_of(frame):
    equal(frame[0], CLOSE)
    return struct.unpack(">H", frame[1][:2])[0]


def test_a_message_gets_what_the_library_says(daemon):
    serving(daemon)
    rows, wanted = table()
    client = Client(daemon)
    equal(client.status, 101)
    for row in rows:  # all of them before the first answer is read
        client.say(json.dumps(body_of(row)))
    for want in wanted:
        document = json.loads(client.hear()[1])
        check(abs(document["predictions"][0]["prediction"] - want) < 1e-6, f"{document}, want {want}")
    client.say(msgpack.packb({"rows": [body_of(row)["features"] for row in rows]}), BINARY)
    opcode, payload = client.hear()
    equal(opcode, BINARY)
    for row, want in zip(msgpack.unpackb(payload)["predictions"], wanted):
        check(abs(row["prediction"] - want) < 1e-6, f"{row}, want {want}")
    client.close()
    daemon.stop()


def test_a_message_is_answered_as_its_post(daemon):
    serving(daemon)
    rows, _ = table()
    client = Client(daemon)
    bodies = [body_of(rows[0]), {**body_of(rows[1]), "outputs": ["margin", "leaf"]},
              {**body_of(rows[2]), "include_feature_importance": True}, {"rows": [], "x": 1}, {}, [], "text",
              {"features": {"down": "much"}}, {"rows": [body_of(row)["features"] for row in rows] * 30}]
    for body in bodies * 2:  # the second time out of the caches
        _, _, content = send(daemon, "POST", POST, body)
        equal(client.ask(body), json.loads(content))
    client.say("{")
    document = json.loads(client.hear()[1])
    equal(sorted(document), ["at", "code", "error"])
    client.say("")
    equal(json.loads(client.hear()[1])["code"], "invalid_request")
    equal(client.ask(bodies[0])["version"], json.loads(send(daemon, "POST", POST, bodies[0])[2])["version"])
    client.close()
    other = Client(daemon, "/api/v1/predict/nobody/stream")
    equal(other.status, 101)
    contains(other.ask(bodies[0])["error"], "nobody")
    other.close()
    daemon.stop()


def test_a_label_moves_under_an_open_socket(daemon):
    serving(daemon)
    augury = [os.path.join(BUILD, "augury"), "-c", daemon.conf_path]
    done = subprocess.run([*augury, "model", "import", "nfl-wp", os.path.join(NFL, "model.ubj"), "--features",
                           ",".join(NAMES)], capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    rows, _ = table()
    client = Client(daemon)
    before = client.ask(body_of(rows[0]))["version"]
    other = {"1": "2", "2": "1"}[before]
    equal(daemon.admin(f"model use nfl-wp {other}")[0], 0)
    wait_for(lambda: client.ask(body_of(rows[0]))["version"] == other, "the other version answers")
    client.close()
    daemon.stop()


def figures(daemon):
    stats, = json.loads(send(daemon, "GET", "/v2/models/nfl-wp/versions/1/stats")[2])["model_stats"]
    counts = stats["inference_stats"]
    return counts["success"]["count"], counts["fail"]["count"], stats["inference_count"]


def test_messages_count_and_end_in_time_as_requests_do(daemon):
    daemon.sections["limits"].update({"request_timeout": "5ms", "queue_time": "2ms"})
    daemon.options["workers"] = "1"
    serving(daemon)
    rows, _ = table()
    client = Client(daemon)
    good, bad, late, over, known_bad = 0, 0, 0, 0, 0

    def count(answer):
        nonlocal good, bad, late, over, known_bad
        known_bad += answer.get("code") == "unknown_feature" or answer.get("error", "").startswith("the request's time was")
        good += "predictions" in answer
        bad += answer.get("code") in ("timeout", "unknown_feature")
        late += answer.get("code") == "timeout"
        over += answer.get("code") == "overloaded"
        return "predictions" in answer

    wait_for(lambda: count(client.ask({**body_of(rows[0]), "use_cache": False})), "one that is answered")
    wait_for(lambda: (count(client.ask({"features": {"dwn": 1}})), bad > late)[1], "one that is wrong")
    many = {"data": (rows * 400)[:10000], "include_feature_importance": True, "use_cache": False}
    # 10,000 rows and what moved them take longer than 5 ms.
    wait_for(lambda: (count(client.ask(many)), late > 0 and known_bad > bad - late)[1], "one that takes too long")
    some = json.dumps({**many, "data": (rows * 5)[:200]})

    def burst():
        for _ in range(20):
            client.say(some)
        for _ in range(20):
            count(json.loads(client.hear()[1]))
        return over > 0

    wait_for(burst, "one that has waited too long")
    known = figures(daemon)
    equal(known[0], good, "successes")
    # What is refused before it is read has no model.
    check(known_bad <= known[1] <= bad, f"failures: {known[1]} of {bad}, {known_bad} of a model for sure")
    check(known[2] >= good, "rows")
    client.close()
    daemon.stop()


def test_messages_count_for_the_rate_of_the_key(daemon):
    path = os.path.join(daemon.dir, "api_keys")
    done = subprocess.run([os.path.join(BUILD, "augury"), "-j", "key", "new", "site", "--scopes", "predict", "--rate", "1/s",
                           "--burst", "4"], capture_output=True, text=True, timeout=30, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    made = json.loads(done.stdout)
    with open(path, "w", encoding="ascii") as file:
        file.write(made["line"] + "\n")
    os.chmod(path, 0o600)
    daemon.sections["access"] = {"keys": f'"{path}"', "required": "yes"}
    serving(daemon)
    rows, _ = table()
    equal(Client(daemon).status, 401)
    client = Client(daemon, headers=["Authorization: Bearer " + made["key"]])
    equal(client.status, 101)
    answers = []
    for _ in range(20):
        client.say(json.dumps({"data": rows[:1]}))
        answers.append(json.loads(client.hear()[1]))
    limited = [answer for answer in answers if answer.get("code") == "rate_limited"]
    check("predictions" in answers[0], f"{answers[0]}")
    check(limited, "twenty messages at once passed a rate of one a second")
    check(len(limited) < 20, "no message was answered")
    client.close()
    daemon.stop()


def test_handshakes_that_are_none_are_refused(daemon):
    daemon.sections["websocket"] = {"origins": '"https://friend.example"'}
    serving(daemon)
    status, headers, content = send(daemon, "GET", PATH)
    equal((status, headers["Upgrade"], json.loads(content)["code"]), (426, "websocket", "upgrade_required"))
    for origin, want in (("https://foe.example", 403), ("https://friend.example", 101), ("http://x", 101)):
        client = Client(daemon, headers=[f"Origin: {origin}"])
        equal(client.status, want, origin)
        client.close()
    wait_for(lambda: daemon.metrics()["augury_websocket_refused_total"] == 2, "two were refused")
    wait_for(lambda: daemon.metrics()["augury_websocket_connections"] == 0, "none is open")
    daemon.stop()


def test_what_breaks_the_protocol_ends_with_its_code(daemon):
    daemon.sections["websocket"] = {"max_message": "2KiB"}
    serving(daemon)
    for first, payload, code in ((0x83, b"x", 1002), (0x81, b"\xff", 1007), (0x82, bytes(4000), 1009)):
        client = Client(daemon)
        client.say(payload, first=first)
        equal(code_of(client.hear()), code)
        equal(client.file.read(), b"")
        client.close()
    client = Client(daemon)
    client.say(b"there?", PING)
    equal(client.hear(), (PONG, b"there?"))
    client.say(struct.pack(">H", 1000) + b"bye", CLOSE)
    equal(code_of(client.hear()), 1000)
    equal(client.file.read(), b"")
    client.close()
    daemon.stop()


def test_a_reload_and_a_stop_say_goodbye(daemon):
    serving(daemon)
    rows, _ = table()
    for number in (signal.SIGHUP, signal.SIGQUIT):
        client = Client(daemon)
        check("predictions" in client.ask(body_of(rows[0])), "it answers")
        daemon.send(number)
        equal(code_of(client.hear()), 1001)
        client.close()
        if number == signal.SIGHUP:
            daemon.wait_event("generation_end", old=1)  # until then a worker of before may take the connection
            again = Client(daemon)
            check("predictions" in again.ask(body_of(rows[0])), "the next generation answers")
            again.close()
    daemon.wait_gone()


def test_sockets_over_tls(daemon):
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-keyout", "s.key", "-out", "s.pem", "-subj", "/CN=localhost", "-days", "2", "-addext",
                           "subjectAltName=DNS:localhost"], cwd=daemon.dir, capture_output=True, check=False)
    equal(done.returncode, 0)
    text = daemon.conf_text().replace('address = "127.0.0.1:0"', f'address = "127.0.0.1:0"\n tls_certificate = '
                                      f'"{daemon.dir}/s.pem"\n tls_key = "{daemon.dir}/s.key"\n')
    daemon.conf_text = lambda: text
    serving(daemon)
    rows, wanted = table()
    client = Client(daemon, tls=ssl.create_default_context(cafile=os.path.join(daemon.dir, "s.pem")))
    equal(client.status, 101)
    for row in rows:
        client.say(json.dumps(body_of(row)))
    for want in wanted:
        check(abs(json.loads(client.hear()[1])["predictions"][0]["prediction"] - want) < 1e-6, f"{want}")
    many = {"rows": [body_of(row)["features"] for row in rows] * 30}
    equal(len(client.ask(many)["predictions"]), len(rows) * 30)
    client.close()
    daemon.stop()


# ---- clients that are not ours -------------------------------------------------------------------


def test_websockets_of_python(daemon):
    try:
        import websockets
    except ImportError as error:
        raise Skip("python3-websockets is not installed") from error
    serving(daemon)
    rows, wanted = table()

    async def talk():
        async with websockets.connect(f"ws://127.0.0.1:{daemon.port()}{PATH}") as client:
            for row, want in zip(rows, wanted):
                await client.send(json.dumps(body_of(row)))
                document = json.loads(await client.recv())
                check(abs(document["predictions"][0]["prediction"] - want) < 1e-6, f"{document}")
            await client.send(msgpack.packb(body_of(rows[0])))
            check(isinstance(await client.recv(), bytes), "binary gets binary")
            await (await client.ping())
            many = json.dumps({"rows": [body_of(row)["features"] for row in rows] * 25})
            await client.send([many[i:i + 1000] for i in range(0, len(many), 1000)])  # in fragments
            equal(len(json.loads(await client.recv())["predictions"]), len(rows) * 25)
        equal(client.close_code, 1000)

    asyncio.run(asyncio.wait_for(talk(), 10))
    daemon.stop()


def test_aiohttp(daemon):
    try:
        import aiohttp
    except ImportError as error:
        raise Skip("python3-aiohttp is not installed") from error
    serving(daemon)
    rows, wanted = table()

    async def talk():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"http://127.0.0.1:{daemon.port()}{PATH}", compress=15) as client:
                for row, want in zip(rows, wanted):
                    await client.send_json(body_of(row))
                    document = await client.receive_json()
                    check(abs(document["predictions"][0]["prediction"] - want) < 1e-6, f"{document}")
                await client.ping()
            equal(client.close_code, 1000)

    asyncio.run(asyncio.wait_for(talk(), 10))
    daemon.stop()


# ---- routes for tests ----------------------------------------------------------------------------


def test_a_normal_build_has_no_routes_for_tests(daemon):
    with open(os.path.join(BUILD, "config.status"), encoding="utf-8") as file:
        if 'S["TEST_ROUTES_TRUE"]=""' in file.read():
            raise Skip("this build has them: --enable-test-routes")
    daemon.start()
    equal(send(daemon, "GET", "/test/echo")[0], 404)
    with open(os.path.join(BUILD, "auguryd"), "rb") as file:
        check(b"/test/echo" not in file.read(), "the program holds the route's name")
    daemon.stop()


harness.run(globals())
