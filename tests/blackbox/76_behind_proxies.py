#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Behind nginx and HAProxy, each with connections to augury that live on: what a proxy lets through is understood by
both sides alike. A smuggled request would be answered by augury without the proxy having asked, so both must have
counted the same number of requests, and whoever asks afterwards must get the answer to his own request."""
import http.client
import time

import harness
from harness import equal, wait_for
from proxies import Haproxy, Nginx

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
LEN = str(len(SMUGGLED)).encode()
HEAD = b"POST /api/v1/predict/none HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def post(fields, body):
    return HEAD + b"\r\n".join(fields) + b"\r\n\r\n" + body


CHUNKS = b"0\r\n\r\n" + SMUGGLED
# Each one request or none, in a form that some server in some version read as two.
ATTACKS = [post([field, b"Content-Length: " + str(len(CHUNKS)).encode()], CHUNKS) for field in (
    b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding:\r\n chunked", b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked", b"transfer_encoding: chunked", b"Transfer-Encoding: chunked\x00")]
ATTACKS += [post(fields, SMUGGLED) for fields in (
    [b"Content-Length: 0", b"Content-Length: " + LEN], [b"Content-Length: " + LEN, b"Content-Length: 0"],
    [b"Content-Length: 0, " + LEN], [b"Content-Length: +" + LEN], [b"Content-Length: 0x" + LEN],
    [b"Content-Length: " + LEN + b" 0"], [b"Content-Length : " + LEN], [b"Content-Length: -1"],
    [b"Content-Length: " + b"0" * 30 + LEN], [b"Content-Length: 18446744073709551616"],
    [b"Content_Length: 0", b"Content-Length: " + LEN], [b"Content-Length: \x0c" + LEN])]
ATTACKS += [post([b"Transfer-Encoding: chunked"], body) for body in (
    b"%x;a=b\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
    b"0x%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
    b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"XX0\r\n\r\n",
    b"100000000%08x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
    b"%x \r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
    b"-%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
    b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\nContent-Length: 5\r\n\r\n")]
ATTACKS += [
    b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: " + LEN + b"\r\n\r\n" + SMUGGLED,
    b"GET /api/v1/health HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    b"HEAD /api/v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: " + LEN + b"\r\n\r\n" + SMUGGLED,
    b"POST /api/v1/predict/none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: " + LEN
    + b"\r\n\r\n" + SMUGGLED,
    b"GET http://y/api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: Content-Length\r\nContent-Length: " + LEN
    + b"\r\n\r\n" + SMUGGLED,
    b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
]


def answered(daemon):
    """How many requests augury has answered, refusals of what is no request included."""
    return sum(value for name, value in daemon.metrics().items() if name.startswith("augury_http_requests_total"))


def attack(proxy, attempt):
    """Sends it and reads what comes until the proxy has nothing more to say."""
    with proxy.connect() as client:
        client.sendall(attempt)
        client.settimeout(0.05)
        try:
            while client.recv(65536):
                pass
        except (TimeoutError, ConnectionResetError):
            pass


def ask(proxy, token):
    """A request of somebody else: the answer must be its own."""
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    client.request("GET", f"/api/v1/{token}", headers={"X-Request-Id": token})
    answer = client.getresponse()
    body = answer.read().decode()
    client.close()
    return answer.status, answer.getheader("X-Request-Id"), f"/api/v1/{token}" in body


def attacked(daemon, proxy):
    for number, attempt in enumerate(ATTACKS):
        attack(proxy, attempt)
        for turn in range(2):
            token = f"mine-{number}-{turn}"
            equal(ask(proxy, token), (404, token, True), f"after {attempt[:160]!r}")
    wait_for(lambda: answered(daemon) >= proxy.answered(), "augury has counted what the proxy has")
    time.sleep(0.1)  # and whatever it should not have answered
    equal(answered(daemon), proxy.answered(), "requests that augury answered, that the proxy asked")
    daemon.stop()


def test_nothing_is_smuggled_through_nginx(daemon):
    daemon.start()
    with Nginx(daemon) as proxy:
        attacked(daemon, proxy)


def test_nothing_is_smuggled_through_nginx_that_does_not_buffer(daemon):
    daemon.start()
    with Nginx(daemon, "proxy_request_buffering off; proxy_buffering off;") as proxy:
        attacked(daemon, proxy)


def test_nothing_is_smuggled_through_haproxy(daemon):
    daemon.start()
    with Haproxy(daemon) as proxy:
        attacked(daemon, proxy)


harness.run(globals())
