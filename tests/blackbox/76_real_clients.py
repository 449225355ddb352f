#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Clients that people have: curl, requests, aiohttp, h2load, npm's ws and autocannon, and nginx as a proxy that keeps its
connections. Each asks for predictions, gets the numbers that XGBoost gave, and meets no error."""
import asyncio
import gzip
import http.client
import json
import os
import re
import shutil
import subprocess

import harness
from harness import SOURCE, Skip, check, equal
from proxies import Nginx
from served import NAMES, serving, table

PATH = "/api/v1/predict/nfl-wp"


def start(daemon):
    serving(daemon)
    return f"http://127.0.0.1:{daemon.port()}{PATH}"


def body_of(rows):
    return json.dumps({"data": rows}).encode()


def is_right(document, want):
    got = [row["prediction"] for row in document["predictions"]]
    equal(len(got), len(want))
    for mine, theirs in zip(got, want):
        check(abs(mine - theirs) <= 1e-6, f"{mine} is not {theirs}")


def tool(name):
    path = shutil.which(name)
    if path is None:
        raise Skip(f"{name} is not installed")
    return path


def test_curl(daemon):
    url = start(daemon)
    rows, want = table()
    path = os.path.join(daemon.dir, "body.json")
    with open(path, "wb") as file:
        file.write(body_of(rows * 100))  # large enough that curl expects 100-continue
    for options in (["--http1.0"], ["--http1.1"], ["--compressed"], ["-H", "Expect: 100-continue"],
                    ["-H", "Transfer-Encoding: chunked"], ["--http2"]):
        done = subprocess.run([tool("curl"), "-sS", "--fail", "-D", os.path.join(daemon.dir, "head"), *options,
                               "-H", "Content-Type: application/json", "--data-binary", "@" + path, url],
                              capture_output=True, timeout=30, check=False)
        equal((done.returncode, done.stderr), (0, b""), str(options))
        is_right(json.loads(done.stdout), want * 100)
        with open(os.path.join(daemon.dir, "head"), encoding="ascii") as file:
            equal("content-encoding: gzip" in file.read().lower(), options == ["--compressed"])
    daemon.stop()


def test_requests(daemon):
    try:
        import requests  # pylint: disable=import-outside-toplevel
    except ImportError as reason:
        raise Skip("python3-requests is not installed") from reason
    url = start(daemon)
    rows, want = table()
    with requests.Session() as session:
        for turn in range(200):
            answer = session.post(url, json={"data": rows[turn % 20:]}, timeout=10)
            equal(answer.status_code, 200)
            is_right(answer.json(), want[turn % 20:])
        answer = session.post(url, data=gzip.compress(body_of(rows)), timeout=10, headers={
            "Content-Type": "application/json", "Content-Encoding": "gzip"})
        is_right(answer.json(), want)
        answer = session.post(url, data=iter([body_of(rows)[:100], body_of(rows)[100:]]), timeout=10,
                              headers={"Content-Type": "application/json"})
        is_right(answer.json(), want)
        equal(session.get(url + "/none", timeout=10).status_code, 404)
    equal(daemon.metrics()["augury_http_connections_total"], 1)
    daemon.stop()


def test_aiohttp(daemon):
    try:
        import aiohttp  # pylint: disable=import-outside-toplevel
    except ImportError as reason:
        raise Skip("python3-aiohttp is not installed") from reason
    url = start(daemon)
    rows, want = table()

    async def one(session, first):
        async with session.post(url, json={"data": rows[first:]}) as answer:
            equal(answer.status, 200)
            is_right(await answer.json(), want[first:])

    async def all_of_them():
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(one(session, first % 30) for first in range(300)))

    asyncio.run(all_of_them())
    daemon.stop()


def test_h2load(daemon):
    program = tool("h2load")
    url = start(daemon)
    rows, _ = table()
    path = os.path.join(daemon.dir, "body.json")
    with open(path, "wb") as file:
        file.write(body_of(rows[:1]))
    done = subprocess.run([program, "--h1", "-n", "5000", "-c", "20", "-m", "8", "-d", path,
                           "-H", "Content-Type: application/json", url],
                          capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    told = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    check(told is not None, done.stdout)
    equal([int(number) for number in told.groups()], [5000, 5000, 0, 0, 0])
    equal(daemon.metrics()['augury_http_requests_total{status="2xx"}'], 5000)
    daemon.stop()


def test_autocannon(daemon):
    program = tool("autocannon")
    url = start(daemon)
    rows, _ = table()
    for pipelined in (1, 4):
        done = subprocess.run([program, "--json", "-a", "2000", "-c", "20", "-p", str(pipelined), "-m", "POST", "-H",
                               "Content-Type=application/json", "-b", body_of(rows[:1]).decode(), url],
                              capture_output=True, text=True, timeout=60, check=False)
        equal(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        equal([told[name] for name in ("errors", "timeouts", "mismatches", "non2xx")], [0, 0, 0, 0])
        # With pipelining it ends each connection without those answers that it waits for last.
        equal(told["2xx"], 2000 - 20 * (pipelined - 1))
    daemon.stop()


def test_ws_of_npm(daemon):
    node = tool("node")
    paths = [os.environ.get("NODE_PATH", ""), "/usr/share/nodejs", "/usr/lib/nodejs"]
    environment = {**os.environ, "NODE_PATH": ":".join(path for path in paths if path)}
    if subprocess.run([node, "-e", "require('ws')"], env=environment, capture_output=True, check=False).returncode != 0:
        raise Skip("node-ws is not installed")
    rows, want = table()
    url = start(daemon).replace("http:", "ws:") + "/stream"
    bodies = [{"features": dict(zip(NAMES, row))} for row in rows] + [{"data": rows * 20}]
    question = json.dumps({"url": url, "messages": [json.dumps(body) for body in bodies]})
    done = subprocess.run([node, os.path.join(SOURCE, "tests", "blackbox", "ws_client.js")], input=question,
                          env=environment, capture_output=True, text=True, timeout=30, check=False)
    equal((done.returncode, done.stderr), (0, ""))
    told = json.loads(done.stdout)
    for answer, number in zip(told["answers"], want):
        is_right(answer, [number])
    is_right(told["answers"][-1], want * 20)
    equal((len(told["answers"]), told["pongs"], told["extensions"], told["code"]), (len(bodies), 1, "", 1000))
    daemon.stop()


def test_nginx_keeps_its_connection(daemon):
    start(daemon)
    rows, want = table()
    with Nginx(daemon) as proxy:
        before = daemon.metrics()["augury_http_connections_total"]
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        for turn in range(300):
            client.request("POST", PATH, body_of(rows[turn % 20:]), {"Content-Type": "application/json"})
            answer = client.getresponse()
            equal(answer.status, 200)
            is_right(json.loads(answer.read()), want[turn % 20:])
        client.close()
        equal(daemon.metrics()["augury_http_connections_total"], before + 1)
    daemon.stop()


harness.run(globals())
