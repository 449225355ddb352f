#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a daemon does not take on: too many connections of one client, requests whose time is over, more work than it can do in
time. Refusals say when to come again, what the cache knows is answered all the same, and who looks after the daemon always gets
an answer."""
import http.client
import json
import os
import signal
import struct
import subprocess
import threading

import harness
from harness import BUILD, SOURCE, check, equal, wait_for

NFL = os.path.join(SOURCE, "tests", "data", "nfl-wp", "model.json")
NAMES = ("receive_2h_ko,home,half_seconds_remaining,game_seconds_remaining,Diff_Time_Ratio,score_differential,"
         "down,ydstogo,yardline_100,posteam_timeouts_remaining,defteam_timeouts_remaining")
PATH = "/api/v1/predict/nfl-wp"
ROW = b'{"features":{"down":3,"ydstogo":7}}'


def many_rows(count, seed):
    rows = [[1, 0, 900, 2700 - i % 97, 3.5, i % 40 - 20, i % 4 + 1, 7, seed, 2, 2] for i in range(count)]
    return json.dumps({"data": rows, "include_feature_importance": True, "use_cache": False}).encode()


def start(daemon, limits):
    daemon.options["workers"] = "1"
    daemon.sections["limits"].update(limits)
    daemon.start()
    done = subprocess.run([os.path.join(BUILD, "augury"), "-c", daemon.conf_path, "model", "import", "nfl-wp", NFL,
                           "--features", NAMES], capture_output=True, text=True, timeout=60, check=False)
    equal((done.returncode, done.stderr), (0, ""), "import")


class Client:
    """One connection that stays open."""

    def __init__(self, daemon):
        self.connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)

    def ask(self, body=ROW, path=PATH, method="POST", **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, {"Content-Type": "application/json", **fields})
        answer = self.connection.getresponse()
        text = answer.read()
        is_document = answer.headers["Content-Type"] == "application/json"
        return answer.status, answer.headers, json.loads(text) if is_document else text

    def close(self):
        self.connection.close()


def overload(daemon):
    return json.loads(daemon.get("/api/v1/performance")[1])["http"]["overload"]


def test_a_client_has_so_many_connections(daemon):
    start(daemon, {"client_connections": "3"})
    clients = [Client(daemon) for _ in range(3)]
    for client in clients:
        equal(client.ask()[0], 200)
    over = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    over.connect()
    answer = http.client.HTTPResponse(over.sock)
    answer.begin()
    equal((answer.status, answer.getheader("Retry-After")), (429, "1"))
    equal(json.loads(answer.read())["code"], "too_many_connections")
    over.close()
    clients.pop().close()
    wait_for(lambda: daemon.metrics()["augury_http_connections"] == 2, "the third has gone")
    equal(overload(daemon)["refused"]["client_connections"], 1)
    for client in clients:
        client.close()
    daemon.stop()


def test_a_request_says_how_long_it_waits(daemon):
    start(daemon, {})
    client = Client(daemon)
    for text in ("", "0", "soon", "-1", "1.2345", "1.5ms", "1 s", "0.0"):
        status, _, document = client.ask(X_Request_Timeout=text)
        equal((status, document["code"]), (400, "invalid_timeout"), text)
    for text in ("30", "30s", "0.999", "9999ms", "99999999999999999999"):
        equal(client.ask(X_Request_Timeout=text)[0], 200, text)
    status, _, document = client.ask(many_rows(4000, 1), X_Request_Timeout="1ms")
    equal((status, document["code"]), (504, "timeout"))
    table = json.dumps({"dataframe_split": {"columns": NAMES.split(","), "data": json.loads(many_rows(16000, 1))["data"]}})
    status, _, document = client.ask(table.encode(), "/invocations", X_Request_Timeout="1ms")
    equal((status, document["error_code"], document["code"]), (504, "DEADLINE_EXCEEDED", "timeout"), "MLflow's shape")
    status, _, document = client.ask(many_rows(100, 1), X_Request_Timeout="20s")
    equal((status, document["count"] if "count" in document else 100), (200, 100))
    client.close()
    daemon.stop()


def npy(rows):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() +
            b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows))


def test_many_rows_of_every_form_end_with_their_time(daemon):
    """Rows that take many times a millisecond to read alone, whatever they are written in."""
    start(daemon, {"request_memory": "256MiB"})
    client = Client(daemon)
    rows = json.loads(many_rows(16000, 1))["data"]
    flat = [cell for row in rows for cell in row]
    bodies = {
        "application/json": json.dumps({"rows": [{"down": row[6], "ydstogo": row[7]} for row in rows]}).encode(),
        "text/csv": "\n".join([NAMES] + [",".join(map(str, row)) for row in rows]).encode() + b"\n",
        "application/x-npy": npy(rows),
        # An array of 16,000 arrays of 11 small numbers, under the one key of a map.
        "application/msgpack": b"\x81\xa4data\xdc\x3e\x80" + b"\x9b\x01\x00\x05\x05\x02\x07\x01\x07\x01\x02\x02" * 16000,
    }
    for kind, body in bodies.items():
        status, _, document = client.ask(body, Content_Type=kind, X_Request_Timeout="1ms", Cache_Control="no-cache",
                                         Accept="application/json")
        equal((status, document["code"]), (504, "timeout"), kind)
        check(document["error"].startswith("the request's time was over w"), document)
    tensor = {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": flat}]}
    status, _, document = client.ask(json.dumps(tensor).encode(), "/v2/models/nfl-wp/infer", X_Request_Timeout="1ms")
    equal(status, 504, "a tensor")
    check("time was over" in document["error"], document)
    tensor["parameters"] = {"timeout": 1000}  # microseconds
    equal(client.ask(json.dumps(tensor).encode(), "/v2/models/nfl-wp/infer")[0], 504, "a tensor that says so itself")
    for wrong in (-1, 1.5, "soon", [1]):
        status, _, document = client.ask(json.dumps({**tensor, "parameters": {"timeout": wrong}}).encode(), "/v2/models/nfl-wp/infer")
        equal((status, document["at"]), (400, "parameters.timeout"), str(wrong))
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    status, _, answer = client.ask(lines, Content_Type="application/x-ndjson", X_Request_Timeout="3ms")
    if status == 200:
        last = json.loads(answer.splitlines()[-1])
        equal((last["code"], last["at"]), ("timeout", f"line {len(answer.splitlines())}"))
    else:
        equal((status, answer["code"]), (504, "timeout"), "not even the first block")
    check(overload(daemon)["refused"]["deadline"] == len(bodies) + 3, overload(daemon))
    status, _, document = client.ask(bodies["application/msgpack"], Content_Type="application/msgpack",
                                     X_Request_Timeout="60s", Accept="application/json")
    equal((status, len(document["predictions"])), (200, 16000), "with time it is answered")
    client.close()
    daemon.stop()


def test_who_allows_it_gets_an_old_answer_instead_of_none(daemon):
    """An answer that takes milliseconds, for who has one: past its time it comes from the cache, and says so."""
    classes = 'class "response" { ttl = 1s stale_if_error = 1h admission = always } class "prediction" { enabled = no }'
    start(daemon, {"request_timeout": "10s"})
    daemon.write_conf(daemon.conf_text().replace("cache {\n", "cache {\n    " + classes + "\n"))
    daemon.send(signal.SIGHUP)
    daemon.wait_event("reload_done")
    body = json.dumps({"data": json.loads(many_rows(12000, 2))["data"]}).encode()  # takes 10 ms to read alone
    client = Client(daemon)
    status, _, fresh = client.ask(body)
    equal(status, 200)
    wait_for(lambda: client.ask(body)[1]["X-Cache"] == "HIT", "it is kept")
    hurry = {"X_Request_Timeout": "1ms"}
    wait_for(lambda: client.ask(body, **hurry)[0] == 504, "its time is over")
    wait_for(lambda: client.ask(body, **hurry, X_Allow_Stale="1")[1]["X-Cache"] == "STALE", "it is past its time")
    for allowed in ({"X_Allow_Stale": "1"}, {"Cache_Control": "stale-if-error=3600"}):
        status, headers, stale = client.ask(body, **hurry, **allowed)
        equal((status, headers["X-Cache"]), (200, "STALE"), str(allowed))
        check(int(headers["Age"]) >= 1, headers)
        equal(stale, fresh)
    equal(client.ask(body, **hurry, X_Allow_Stale="0")[0], 504)
    equal(client.ask(body, X_Allow_Stale="1")[1]["X-Cache"] in ("MISS", "BYPASS"), True, "with time it is made anew")
    check(overload(daemon)["answered_stale"] >= 3, overload(daemon))
    client.close()
    daemon.stop()


def test_more_work_than_there_is_time_for_is_refused_at_once(daemon):
    """24 clients ask one worker for work of milliseconds, and no turn may take long."""
    start(daemon, {"target_lag": "4ms"})
    keeper = Client(daemon)
    wait_for(lambda: keeper.ask()[1]["X-Cache"] == "HIT", "a known answer")
    is_over = threading.Event()
    statuses, problems = [], []

    def press(number):
        client = Client(daemon)
        body = many_rows(40, number)
        while not is_over.is_set():
            status, headers, document = client.ask(body)
            statuses.append(status)
            if status == 503 and (headers["Retry-After"], document["code"]) != ("1", "overloaded"):
                problems.append((dict(headers), document))
        client.close()

    threads = [threading.Thread(target=press, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: statuses.count(503) >= 50, "refusals")
        for _ in range(20):
            status, headers, _ = keeper.ask()
            equal((status, headers["X-Cache"]), (200, "HIT"), "what is known is answered")
            equal(keeper.ask(None, "/api/v1/health", "GET")[0], 200)
            equal(keeper.ask(None, "/metrics", "GET")[0], 200)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    equal(problems, [])
    equal(set(statuses), {200, 503})
    shown = overload(daemon)
    equal(shown["refused"]["lag"], statuses.count(503))
    check(1 <= shown["admission_limit"] < 256, shown)
    check(shown["lag_p99_us"] > 0, shown)
    equal(keeper.ask(many_rows(40, 99))[0], 200, "afterwards there is time again")
    keeper.close()
    daemon.stop()


def test_a_target_may_be_found_by_itself(daemon):
    start(daemon, {"target_lag": "auto"})
    client = Client(daemon)
    for seed in range(40):
        equal(client.ask(many_rows(200, seed))[0], 200)
    shown = overload(daemon)
    equal(shown["admission_limit"], 256, "one client alone lowers nothing")
    check(20000 <= shown["target_lag_us"] <= 1000000, shown)
    check(daemon.metrics()["augury_http_target_lag_us"] == shown["target_lag_us"], shown)
    client.close()
    daemon.stop()


harness.run(globals())
