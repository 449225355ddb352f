#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Server-sent events at /api/v1/performance/events, read line by line as WHATWG HTML 9.2 has it, and by aiohttp."""
import http.client
import json
import signal
import socket

import harness
from harness import check, equal, wait_for
from served import send

PATH = "/api/v1/performance/events"


def listen(daemon, path=PATH, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("GET", path, headers=headers or {})
    return connection.getresponse()


def event_of(answer):
    """The fields of the next event; None at the end."""
    fields = {}
    while True:
        line = answer.readline().decode()
        if line == "":
            return None
        if line == "\n":
            if "data" in fields:
                return fields
            continue
        name, _, value = line.rstrip("\n").partition(": ")
        fields[name] = value


def test_events_come_again_and_again(daemon):
    daemon.start()
    answer = listen(daemon)
    equal((answer.status, answer.headers["Content-Type"], answer.headers["Cache-Control"]),
          (200, "text/event-stream", "no-store"))
    first = event_of(answer)
    equal((first["event"], int(first["retry"]) > 0), ("performance", True))
    plain = json.loads(send(daemon, "GET", "/api/v1/performance")[2])
    equal(list(json.loads(first["data"])), list(plain))
    second, third = event_of(answer), event_of(answer)
    check(int(first["id"]) < int(second["id"]) < int(third["id"]), "ids rise")
    check(int(second["id"]) - int(first["id"]) >= 900, "a second lies between them")
    check(json.loads(third["data"])["http"] != json.loads(first["data"])["http"], "they are of their time")
    answer.close()
    again = listen(daemon, headers={"Last-Event-ID": third["id"]})
    check(event_of(again)["data"], "an event at once")
    again.close()
    daemon.stop()


def test_what_is_asked_wrongly_is_refused(daemon):
    daemon.sections["events"] = {"streams": "1"}
    daemon.options["workers"] = "1"
    daemon.start()
    for every in ("0s", "2h", "soon", "", "1" * 40, "00000000000001hours"):
        status, _, content = send(daemon, "GET", f"{PATH}?every={every}")
        document = json.loads(content)
        equal((status, document["at"]), (400, "every"), f"{every}: {document}")
    status, headers, content = send(daemon, "HEAD", PATH)
    equal((status, headers["Content-Type"], content), (200, "text/event-stream", b""))
    equal(headers["Content-Length"], None, "RFC 9110 8.6: no length but that of the body of GET, which has none")
    answer = listen(daemon, PATH + "?every=1s")
    check(event_of(answer), "an event")
    status, headers, content = send(daemon, "GET", PATH)
    equal((status, json.loads(content)["code"]), (503, "too_many_streams"))
    check(headers["Retry-After"], "when to ask again")
    answer.close()
    wait_for(lambda: (other := listen(daemon)).status == 200 and (other.close() or True), "its place is free again")
    daemon.stop()


def test_http_1_0_gets_events_until_it_closes(daemon):
    daemon.start()
    with socket.create_connection(("127.0.0.1", daemon.port()), timeout=10) as client:
        client.sendall(f"GET {PATH} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        with client.makefile("rb") as file:
            head = b"".join(iter(file.readline, b"\r\n")).decode()
            check("Transfer-Encoding" not in head and "Connection: close" in head, head)
            check(event_of(file) and event_of(file), "two events")
    daemon.stop()


def test_a_reload_and_a_stop_end_them(daemon):
    daemon.start()
    for number in (signal.SIGHUP, signal.SIGQUIT):
        answer = listen(daemon)
        check(event_of(answer), "an event")
        daemon.send(number)
        while event_of(answer):
            pass  # the rest of the stream, then its last chunk: http.client would fail without
        answer.close()
        if number == signal.SIGHUP:
            daemon.wait_event("reload_done")
    daemon.wait_gone()


harness.run(globals())
